# labels: quick once
"""Influence through linkage: a custodian of treatment data sends records that were never treated anybody, and looks at what
they do to the counts. One to one linkage lets a crafted record take a link away from another one, and every record moves
the model and the threshold a little. No bound on rho covers this; here it is measured, without noise, end to end.

Control: as many crafted records of people who do not exist, which can take no link away.
"""
import json
import pathlib
import random
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'system'))
from harness import STUDY, Unit, make_registers, read_csv, study_file, write_csv  # noqa: E402

AS_OF = '2025-06-30'
PERSONS = 1500
TABLE = 'continuity_by_intervention'


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('influence')
    registers = make_registers(folder / 'registers', PERSONS, 9, '--typos', '15')
    first = Unit(folder / 'first', study_file(folder / 'study.yaml', STUDY, method='none', threshold=0), fixed=True)
    return folder, registers, first


def counts(world, name, crafted):
    """The true counts that the daemon would add noise to, with `crafted` records beside the honest ones."""
    folder, registers, first = world
    with Unit(folder / name, like=first) as unit:
        unit.push_registers(registers)
        if crafted:
            write_csv(folder / f'{name}.csv', crafted)
            unit.encode('treatment', folder / f'{name}.csv', folder / f'{name}.batch')
            unit.push('treatment', folder / f'{name}.batch')
        unit.publish('--as-of', AS_OF)
        body = json.loads(unit.release_body())
    table = next(t for t in body['tables'] if t['name'] == TABLE)
    return {(p['period'], *row['codes'], outcome): n for p in table['periods'] for row in p['rows'] if row['shown']
            for outcome, n in zip(table['outcomes'], row['cells'])}


def crafted_records(registers, n):
    """Starts of treatment two days after release, under the identifiers that prison has of n people."""
    rng = random.Random(3)
    releases = [r for r in read_csv(registers / 'prison.csv') if r['event'] == 'release' and r['event_date'][:4] == '2024'
                and int(r['event_date'][8:]) < 25]
    template = read_csv(registers / 'treatment.csv')[0]
    out = []
    for i, victim in enumerate(rng.sample(releases, n)):
        day = int(victim['event_date'][8:]) + 2
        row = {**template, **{k: v for k, v in victim.items() if k in template}}
        out.append({**row, 'record_id': f'crafted-{i}', 'person_id': f'crafted-{i}', 'event': 'treatment_start',
                    'event_date': f"{victim['event_date'][:8]}{day:02d}"})
    return out


def test_influence_through_linkage(world):
    registers = world[1]
    honest = counts(world, 'honest', [])
    for n in (1, 10, 100):
        stolen = crafted_records(registers, n)
        nobody = [{**row, 'given_name': f'zq{i}xv', 'surname': f'wj{i}kq', 'place': 'qqq', 'postcode': '99999'}
                  for i, row in enumerate(stolen)]
        moved = {}
        for kind, records in (('under the identifiers of real people', stolen), ('of nobody', nobody)):
            seen = counts(world, f'{kind[0]}{n}', records)
            cells = {k: seen.get(k, 0) - honest.get(k, 0) for k in seen.keys() | honest.keys()}
            moved[kind] = sum(map(abs, cells.values()))
            print(f'{n} crafted records {kind}: {sum(1 for v in cells.values() if v)} counts move, by {moved[kind]} in all; '
                  f'exchanging {n} timelines moves them by at most {2 * n}')
        assert n < 10 or moved['under the identifiers of real people'] > 0, 'the attack reaches somebody'
        # Those who lose a link and those who gain one, and whoever stands near the threshold: not the whole register.
        assert all(n_moved <= 6 * n + 60 for n_moved in moved.values())
