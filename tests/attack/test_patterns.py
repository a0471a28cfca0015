# labels: full once
"""Pattern mining on labelled registers (../shared/data, read where it is present): strong on `quality`, the control; both other
profiles have to withstand it."""
import csv
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.importorskip('numpy', reason='pattern mining needs python3-numpy (deploy/dependencies.sh test): it was not run')
import graph_matching                                              # noqa: E402
import pattern_mining                                              # noqa: E402

REGISTER = graph_matching.SOURCE.parent / 'shared/data/febrl4/prison.csv'


@pytest.mark.parametrize('profile', ['quality', 'balanced', 'hardened'])
def test_pattern_mining(profile):
    if not REGISTER.is_file():
        pytest.skip(f'the labelled registers are not here ({REGISTER}): nothing was attacked')
    with open(REGISTER, newline='') as f:
        found = pattern_mining.measure(profile, list(csv.DictReader(f)), 5000)
    print(found)
    if profile == 'quality':
        assert found['isolated'] >= 20 and found['named'] >= found['with_common_surname'] / 3
    else:
        assert found['isolated'] <= 2 and found['named'] <= found['with_common_surname'] / 50
