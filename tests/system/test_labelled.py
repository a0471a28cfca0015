# labels: quick once
"""The published rate, crude and corrected, against the truth of labelled registers (../shared/data, read where it is present)."""
import json

import pytest

from harness import SHARED, SOURCE, Unit

STUDY = SOURCE / 'tests' / 'data' / 'study-labelled.yaml'


def published(tmp_path, folder):
    """The release body, and the 21-day rate of all quarters together as an analyst reads it."""
    with Unit(tmp_path / 'unit', STUDY, fixed=True) as unit:
        for source in ('prison', 'treatment'):
            batch = tmp_path / f'{source}.batch'
            unit.encode(source, folder / f'{source}.csv', batch)
            unit.push(source, batch)
        unit.publish()
        answer = json.loads(unit.as_('analyst', 'query', 'continuity_by_quarter', '--format', 'json').stdout)
    return next(rate for row in answer['extension']['pooled'] for rate in row['within'] if rate['days'] == 21)


def labelled(name):
    folder = SHARED / 'data' / name
    if not folder.is_dir():
        pytest.skip(f'the labelled registers are not here ({folder}): nothing was checked on them')
    expected = json.loads((folder / 'expected.json').read_text())['expected']['all']
    return folder, 100 * expected['within_21'] / expected['releases']


@pytest.mark.parametrize('name', ['febrl4', 'census_cis'])
def test_published_rate_is_near_the_truth(tmp_path, name):
    folder, truth = labelled(name)
    rate = published(tmp_path, folder)
    print(f'{name}: published {rate}, true {truth:.2f} %')
    assert abs(rate['percent'] - truth) <= 1.5 and abs(rate['corrected']['percent'] - truth) <= 1.5


@pytest.mark.parametrize('name', ['rl10000', 'fake1000'])
def test_published_interval_covers_the_truth(tmp_path, name):
    """Linkage and release secrets are fixed, so this is one draw of noise that is the same everywhere; docs/methods.md says how
    other secrets fare."""
    folder, truth = labelled(name)
    rate = published(tmp_path, folder)
    print(f'{name}: published {rate}, true {truth:.2f} %')
    assert rate['corrected']['low'] <= truth <= rate['corrected']['high']
