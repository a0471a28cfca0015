# labels: full once
"""Frequency alignment on labelled registers (../shared/data, read where it is present): what the profiles are for.

The attacker knows how often every value stands in either register; `throughcare lab encode` plays him (tools/lab/align.c).
The control shows that he is strong: on a filter a field he names all that counts can tell. On census_cis that is every common
name; in febrl4, a fifth of the size, many surnames stand equally often in both registers, and no counts tell those apart.
"""
import collections
import csv
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


def told_by_counts(data, column):
    """Of the 100 commonest values, how many an attacker can expect to name who knows the counts in both registers, and guesses among
    values with the same two."""
    counts = []
    for source in ('prison', 'treatment'):
        with open(SHARED / 'data' / data / f'{source}.csv', newline='') as f:
            counts.append(collections.Counter(row[column].strip().lower() for row in csv.DictReader(f) if row[column].strip()))
    both = {value: (counts[0][value], counts[1][value]) for value in counts[0] | counts[1]}
    equal = collections.Counter(both.values())
    return sum(1 / equal[both[value]] for value, _ in (counts[0] + counts[1]).most_common(100))


@pytest.mark.parametrize('data, least', [('febrl4', {'given': 80, 'surname': 65}), ('census_cis', {'given': 95, 'surname': 95})])
def test_control_names_all_that_counts_tell_on_a_filter_a_field(tmp_path, data, least):
    found = named(tmp_path, data, '(quality)')['named_of_100']
    for where, column in (('given', 'given_name'), ('surname', 'surname')):
        told = told_by_counts(data, column)
        print(f'{data}, {where}: {found[where]} named, {told:.1f} to be expected of counts')
        assert found[where] >= least[where] and found[where] >= told - 5
