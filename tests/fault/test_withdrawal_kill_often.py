# labels: full
"""A withdrawal killed at every one of its steps is finished at the next start."""
from withdrawal_steps import Withdrawal


def test_every_step(tmp_path):
    withdrawal = Withdrawal(tmp_path)
    n = 1
    while withdrawal.interrupt(n):
        n += 1
    print(f'{n - 1} steps: {withdrawal.kinds}')
    assert n > 10 and min(withdrawal.kinds['not begun'], withdrawal.kinds['begun']) > 0
