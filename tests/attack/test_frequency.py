# labels: full once
"""Frequency alignment on labelled registers (../shared/data, read where it is present): what the profiles are for.

The attacker knows how often every value stands in either register; `throughcare lab encode` plays him (tools/lab/align.c).
The control shows that he is strong: on a filter a field he names nearly every common name.
"""
import json
import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parents[1] / folder) for folder in ('system', 'bench')]
import harness                                                     # noqa: E402
import linkage_secrets                                             # noqa: E402
from harness import SHARED, SOURCE, tool                           # noqa: E402

harness.PATIENCE_S = 1500              # clustering takes minutes on a busy machine

STUDY = SOURCE / 'tests' / 'data' / 'study-hardened.yaml'


def named(tmp_path, data, construction):
    folder = SHARED / 'data' / data
    if not folder.is_dir():
        pytest.skip(f'the labelled registers are not here ({folder}): nothing was attacked')
    secret = tmp_path / 'secret'
    linkage_secrets.write_secret(0, secret)
    out = tool('lab', 'encode', '--measure', 'attack', '--only', construction, '--study', STUDY, '--secret', secret,
               '--truth', folder / 'truth.csv', folder / 'prison.csv', folder / 'treatment.csv').stdout
    found, = json.loads(out)['constructions']
    print(f'{data}, {construction}: {found["named_of_100"]}, among incomplete filters {found["named_of_100_incomplete"]}')
    return found


@pytest.mark.parametrize('data', ['febrl4', 'census_cis'])
@pytest.mark.parametrize('construction', ['(balanced)', '(hardened)'])
def test_profiles_hide_the_commonest_values(tmp_path, data, construction):
    found = named(tmp_path, data, construction)
    for where in ('named_of_100', 'named_of_100_incomplete'):
        assert all(n <= 5 for n in found[where].values()), found


def test_control_names_most_on_a_filter_a_field(tmp_path):
    found = named(tmp_path, 'census_cis', '(quality)')['named_of_100']
    assert found['given'] >= 80 and found['surname'] >= 80
