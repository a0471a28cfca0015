# labels: quick once
"""The published rate against the truth of labelled registers (../shared/data, read where it is present)."""
import json

import pytest

from harness import SHARED, SOURCE, Unit

STUDY = SOURCE / 'tests' / 'data' / 'study-labelled.yaml'


def published(tmp_path, folder):
    with Unit(tmp_path / 'unit', STUDY) as unit:
        for source in ('prison', 'treatment'):
            batch = tmp_path / f'{source}.batch'
            unit.encode(source, folder / f'{source}.csv', batch)
            unit.push(source, batch)
        unit.publish()
        return json.loads(unit.release_body())


def rate_21(body):
    """Crude share within 21 days, all quarters together, from the noisy cells of the table by quarter."""
    table = next(t for t in body['tables'] if t['name'] == 'continuity_by_quarter')
    within = [i for i, o in enumerate(table['outcomes']) if o in ('0-7', '8-14', '15-21')]
    assert len(within) == 3
    rows = [row for period in table['periods'] for row in period['rows'] if row['shown']]
    started = sum(row['cells'][i] for row in rows for i in within)
    return 100 * started / sum(row['n'] for row in rows)


@pytest.mark.parametrize('name', ['febrl4'])
def test_published_rate_is_near_the_truth(tmp_path, name):
    folder = SHARED / 'data' / name
    if not folder.is_dir():
        pytest.skip(f'the labelled registers are not here ({folder}): nothing was checked on them')
    expected = json.loads((folder / 'expected.json').read_text())['expected']['all']
    truth = 100 * expected['within_21'] / expected['releases']
    rate = rate_21(published(tmp_path, folder))
    print(f'{name}: published {rate:.1f} %, true {truth:.1f} %')
    assert abs(rate - truth) <= 1.5
