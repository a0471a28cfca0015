# labels: quick once
"""A withdrawal killed at some of its steps is finished at the next start; test_withdrawal_kill_often.py takes every one."""
from withdrawal_steps import Withdrawal


def test_some_steps(tmp_path):
    withdrawal = Withdrawal(tmp_path)
    n, n_runs = 1, 0
    while withdrawal.interrupt(n):
        n, n_runs = n + 7 + n_runs, n_runs + 1
    print(f'{n_runs} withdrawals killed at steps up to {n}: {withdrawal.kinds}')
    assert n_runs >= 3 and withdrawal.kinds['not begun'] > 0
