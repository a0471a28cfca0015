# labels: quick once
"""Influence through linkage: a custodian of treatment data sends records that were never treated anybody, and looks at what
they do to the counts. One to one linkage lets a crafted record take a link away from another one, and every record moves
the model and the threshold a little. No bound on rho covers this; here it is measured, without noise, end to end.

Control: as many crafted records of people who do not exist, which can take no link away.

Then the strongest attacker: all tables, the counts of links, a custodian's certificate, and everybody's records but one person's
treatment. The daemon links and counts both worlds; from the squared changes follows how often the best test of noisy counts
would be right, beside what it would be with linkage held fixed.
"""
import json
import math
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
    study = study_file(folder / 'study.yaml', STUDY, method='none', threshold='0\n  linkage_sigma2: 10\n  linkage_by: intervention')
    return folder, registers, Unit(folder / 'first', study, fixed=True)


def release(world, name, crafted, without=()):
    """What the daemon would add noise to, with `crafted` records beside the honest ones, without the treatment records `without`."""
    folder, registers, first = world
    with Unit(folder / name, like=first) as unit:
        (folder / name / 'sent').mkdir()
        for source in ('prison', 'treatment'):
            rows = [r for r in read_csv(registers / f'{source}.csv') if source == 'prison' or r['record_id'] not in without]
            write_csv(folder / name / 'sent' / f'{source}.csv', rows)
        unit.push_registers(folder / name / 'sent')
        if crafted:
            write_csv(folder / f'{name}.csv', crafted)
            unit.encode('treatment', folder / f'{name}.csv', folder / f'{name}.batch')
            unit.push('treatment', folder / f'{name}.batch')
        unit.publish('--as-of', AS_OF)
        return json.loads(unit.release_body())


def counts(body, name=TABLE):
    table = next(t for t in body['tables'] if t['name'] == name)
    return {(p['period'], *row['codes'], outcome): n for p in table['periods'] for row in p['rows'] if row['shown']
            for outcome, n in zip(table['outcomes'], row['cells'])}


def links(body):
    return {(arm['code'], k): arm[k] for arm in body['linkage']['arms'] for k in ('true', 'false', 'missed', 'doubt')}


def changes(before, after):
    return [after.get(k, 0) - before.get(k, 0) for k in before.keys() | after.keys()]


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
    honest = release(world, 'honest', [])
    for n in (1, 10, 100):
        stolen = crafted_records(registers, n)
        nobody = [{**row, 'given_name': f'zq{i}xv', 'surname': f'wj{i}kq', 'place': 'qqq', 'postcode': '99999'}
                  for i, row in enumerate(stolen)]
        moved = {}
        for kind, records in (('under the identifiers of real people', stolen), ('of nobody', nobody)):
            seen = release(world, f'{kind[0]}{n}', records)
            cells = changes(counts(honest), counts(seen))
            moved[kind] = sum(map(abs, cells))
            print(f'{n} crafted records {kind}: {sum(1 for v in cells if v)} counts move, by {moved[kind]} in all, counts of links '
                  f'by {sum(map(abs, changes(links(honest), links(seen))))}; exchanging {n} timelines moves counts by at most {2 * n}, '
                  f'of links by {4 * n}')
        assert n < 10 or moved['under the identifiers of real people'] > 0, 'the attack reaches somebody'
        # Those who lose a link and those who gain one, and whoever stands near the threshold: not the whole register.
        assert all(n_moved <= 6 * n + 60 for n_moved in moved.values())


SIGMA2_TABLES, SIGMA2_LINKS, TARGETS = 10, 10, 4


def right(squared):
    """How often the best test between two worlds is right, whose noisy counts differ by this much: in squares of sigma."""
    return 100 * (0.5 + 0.5 * math.erf(math.sqrt(squared / 8)))


def squared_changes(before, after):
    """Of all tables, and of the counts of links, each in units of its noise."""
    tables = sum(c * c for t in before['tables'] for c in changes(counts(before, t['name']), counts(after, t['name'])))
    return tables / SIGMA2_TABLES, sum(c * c for c in changes(links(before), links(after))) / SIGMA2_LINKS


def test_everything_an_attacker_can_hold(world):
    """One person's treatment records are there or not. With linkage held fixed that moves two counts a table for each of the person's
    index events, and two counts of links. In one pair of worlds a custodian has added a crafted record under the person's name."""
    folder, registers, _ = world
    entity = {(r['file'], r['record_id']): r['entity'] for r in read_csv(registers / 'truth.csv')}
    released = {entity['prison', r['record_id']] for r in read_csv(registers / 'prison.csv')
                if r['event'] == 'release' and '2024-01' <= r['event_date'][:7] <= '2024-11'}
    treated = {}
    for row in read_csv(registers / 'treatment.csv'):
        if entity['treatment', row['record_id']] in released:
            treated.setdefault(entity['treatment', row['record_id']], []).append(row)
    honest = release(world, 'everybody', [])
    n_tables = len(honest['tables'])
    fixed = 4 * (2 * n_tables / SIGMA2_TABLES) + 4 / SIGMA2_LINKS          # at the cap of four index events
    for i, target in enumerate(random.Random(5).sample(sorted(treated), TARGETS)):
        rows = treated[target]
        without = {r['record_id'] for r in rows}
        crafted = [{**rows[0], 'record_id': f'probe-{i}', 'person_id': f'probe-{i}', 'event': 'treatment_start',
                    'event_date': '2024-12-20'}]
        for name, extra, base in (('', [], honest), (' and a crafted one', crafted, release(world, f'probe{i}', crafted))):
            tables, of_links = squared_changes(base, release(world, f'target{i}{len(extra)}', extra, without))
            print(f'person {i}, {len(rows)} treatment records{name}: tables {tables:.1f}, counts of links {of_links:.1f} squared sigmas; the '
                  f'best test is right in {right(tables + of_links):.0f} % (tables alone {right(tables):.0f} %); with linkage held '
                  f'fixed {right(fixed):.0f} % at most')
            # No bound holds here; what is asserted is that one person does not move the register as a whole.
            assert tables < 40 * fixed and of_links < 400 * fixed
