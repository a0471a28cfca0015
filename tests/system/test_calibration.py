# labels: quick once
"""Expected precision and recall against the truth, on a few random cuts of a labelled register to 5 % overlap. The linkage secret and
the cuts are fixed: the figures are the same every time."""
import sys

import pytest

from harness import BINARY, SHARED, SOURCE

sys.path.insert(0, str(SOURCE / 'tests' / 'ref'))
import calibration                     # noqa: E402

SECRET = 'throughcare-linkage-v1:' + bytes(range(7, 39)).hex() + '\n'


def check(tmp_path, name, n_cuts):
    folder = SHARED / 'data' / name
    if not folder.is_dir():
        pytest.skip(f'the labelled registers are not here ({folder}): nothing was checked on them')
    secret = tmp_path / 'main.secret'
    secret.write_text(SECRET)
    secret.chmod(0o600)
    runs, mean, error = calibration.calibrate(BINARY, secret, folder, n_cuts)
    print(f'{name}: mean error of the expected precision {100 * mean:+.2f} points, standard error {100 * error:.2f}')
    assert [run['outcome'] for run in runs].count('done') == n_cuts
    assert abs(mean) <= max(0.015, 2 * error)
    recall, recall_error = calibration.recall_error(runs)
    print(f'{calibration.covered(runs)} of {n_cuts} intervals of recall hold the true one, mean error of the expected recall '
          f'{100 * recall:+.2f} points, standard error {100 * recall_error:.2f}')
    assert abs(recall) <= max(0.015, 2 * recall_error)
    assert calibration.covered(runs) >= 0.9 * n_cuts


def test_a_few_cuts(tmp_path):
    check(tmp_path, 'febrl4', 3)
