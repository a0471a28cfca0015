# labels: quick once
"""What a profile costs in links, without labels, under several fixed secrets: `balanced`, which the documentation recommends, may lie at
most 1.5 points of F1 below `quality`. The other register of the rule is in test_profiles_full.py."""
import statistics
import sys

import pytest

from harness import BINARY, SHARED, SOURCE

sys.path.insert(0, str(SOURCE / 'tests' / 'bench'))
import linkage_secrets                 # noqa: E402


def check(name, n_secrets, least):
    folder = SHARED / 'data' / name
    if not folder.is_dir():
        pytest.skip(f'the labelled registers are not here ({folder}): nothing was checked on them')
    f1 = {}
    for profile in linkage_secrets.PROFILES:
        runs = linkage_secrets.link(BINARY, folder, profile, range(n_secrets))
        print(linkage_secrets.line(name, profile, runs))
        f1[profile] = [run['f1'] for run in runs]
        for run in runs:
            assert run['outcome'] == 'done'
            assert abs(run['expected_precision'] - run['precision']) <= 0.015
    assert min(f1['quality']) >= least
    for profile in ('balanced', 'hardened'):
        # With every secret, not only in the median: a study has one secret and cannot choose.
        assert min(f1[profile]) >= statistics.median(f1['quality']) - 0.015, profile


def test_febrl4():
    check('febrl4', 4, 0.997)
