"""throughcare synth: the true counts are those of the rows it writes, recomputed here; the same seed gives the same bytes;
and what the study needs is there."""
import collections
import csv
import datetime
import hashlib
import json
import os
import pathlib
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ.get('TC_SOURCE_DIR', pathlib.Path(__file__).parents[2]))
BINARY = pathlib.Path(os.environ.get('TC_BINARY_DIR', SOURCE / 'build/release')) / 'tools/throughcare'
BANDS = (7, 14, 21, 28, 90)
FILES = ('prison.csv', 'treatment.csv', 'truth.csv', 'expected.json')
COLUMNS = ['record_id', 'given_name', 'middle_name', 'surname', 'date_of_birth', 'sex', 'place', 'postcode', 'event',
           'event_date', 'region', 'drug', 'intervention']


def make(folder, *options):
    subprocess.run([BINARY, 'synth', *map(str, options), '-o', folder], check=True, capture_output=True, text=True)
    return folder


@pytest.fixture(scope='module')
def registers(tmp_path_factory):
    return make(tmp_path_factory.mktemp('synth') / 'registers', '--persons', 3000, '--seed', 7)


def read(path):
    with open(path, newline='', encoding='utf-8') as f:
        return list(csv.DictReader(f))


def load(folder):
    rows = {name: read(folder / f'{name}.csv') for name in ('prison', 'treatment')}
    entity = {(row['file'], row['record_id']): row['entity'] for row in read(folder / 'truth.csv')}
    events = collections.defaultdict(list)
    for name, some in rows.items():
        for row in some:
            day = datetime.date.fromisoformat(row['event_date'])
            events[entity[name, row['record_id']]].append((day, row['event'], row['intervention']))
    return rows, entity, events


def quarter(day):
    return f'{day.year}-Q{(day.month + 2) // 3}'


def recount(events):
    """A person's first release of a quarter; treated within so many days, unless death or prison came first."""
    counts = collections.defaultdict(collections.Counter)
    for life in events.values():
        seen = set()
        for release, kind, intervention in sorted(e for e in life if e[1] == 'release'):
            if quarter(release) in seen:
                continue
            seen.add(quarter(release))
            starts = [d for d, k, _ in life if k == 'treatment_start' and d >= release]
            stops = [d for d, k, _ in life if k in ('death', 'reception') and d > release]
            first = min(starts, default=None)
            if first and stops and min(stops) <= first:
                first = None
            for key in ((quarter(release), None), ('all', None), (quarter(release), intervention), ('all', intervention)):
                counts[key]['releases'] += 1
                for band in BANDS:
                    counts[key][f'within_{band}'] += first is not None and (first - release).days <= band
    return counts


def test_true_counts(registers):
    rows, entity, events = load(registers)
    expected = json.loads((registers / 'expected.json').read_text())
    counts = recount(events)
    assert expected['prison_rows'] == len(rows['prison']) and expected['treatment_rows'] == len(rows['treatment'])
    assert expected['persons'] == len(events) and len(entity) == len(rows['prison']) + len(rows['treatment'])
    for period, figures in expected['expected'].items():
        assert figures == dict(counts[period, None]), period
    for period, arms in expected['by_intervention'].items():
        for arm, figures in arms.items():
            assert figures == dict(counts[period, arm]), (period, arm)
    sides = collections.Counter((e, name) for (name, _), e in entity.items())
    assert expected['true_cross_pairs'] == sum(n * sides[e, 'treatment'] for (e, name), n in sides.items() if name == 'prison')


def test_agonist_treatment_goes_on_most_often(registers):
    arms = json.loads((registers / 'expected.json').read_text())['by_intervention']['all']
    rate = {arm: c['within_21'] / c['releases'] for arm, c in arms.items()}
    assert max(rate, key=rate.get) == 'ost' and min(rate, key=rate.get) == 'none'
    assert rate['ost'] > rate['none'] + 0.25


def test_rows_are_what_the_study_takes(registers):
    rows, _, _ = load(registers)
    for name, some in rows.items():
        assert list(some[0])[:13] == COLUMNS
        assert [r['event_date'] for r in some] == sorted(r['event_date'] for r in some)
        assert len({r['record_id'] for r in some}) == len(some)
        for row in some:
            assert row['sex'] in ('male', 'female') and row['region'] in ('north', 'east', 'south', 'west')
            assert row['drug'] in ('opioids', 'cocaine', 'cannabis', 'other')
            assert (row['intervention'] != '') == (row['event'] == 'release')
            assert row['date_of_birth'] == '' or datetime.date.fromisoformat(row['date_of_birth']).year > 1930
    releases = [r['event_date'] for r in rows['prison'] if r['event'] == 'release']
    assert min(releases) >= '2024-01-01' and max(releases) <= '2024-12-31'


def test_names_are_skewed_and_wrong_here_and_there(registers):
    rows, entity, _ = load(registers)
    names = collections.Counter(r['surname'] for r in rows['prison'])
    assert names.most_common(1)[0][1] > 20 and len(names) > 300
    known = collections.defaultdict(set)
    for name, some in rows.items():
        for row in some:
            known[entity[name, row['record_id']], name].add((row['given_name'], row['surname'], row['date_of_birth']))
    both = [e for e, name in known if name == 'prison' and (e, 'treatment') in known]
    differ = sum(not known[e, 'prison'] & known[e, 'treatment'] for e in both)
    assert 0.1 < differ / len(both) < 0.6
    for field in ('given_name', 'surname', 'date_of_birth', 'place', 'postcode'):
        assert any(r[field] == '' for r in rows['prison'])


def test_no_errors_when_none_are_asked_for(tmp_path):
    folder = make(tmp_path / 'clean', '--persons', 500, '--typos', 0, '--movers', 0)
    rows, entity, _ = load(folder)
    known = collections.defaultdict(set)
    for name, some in rows.items():
        for row in some:
            known[entity[name, row['record_id']]].add((row['given_name'].lower().encode('ascii', 'ignore'),
                                                       row['date_of_birth'], row['place'], row['postcode']))
    assert all(len(variants) == 1 for variants in known.values())


def digest(folder):
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES]


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    one, same, other = (make(tmp_path / str(i), '--persons', 200, '--seed', seed) for i, seed in enumerate((5, 5, 6)))
    assert digest(one) == digest(same)
    assert all(a != b for a, b in zip(digest(one), digest(other)))
    # On every machine: what seed 5 gave when this was written.
    assert digest(one)[0] == PINNED


PINNED = '8102ac9bb10760f2fdae60b3f67026aeea3e3c86951b3c8160409eb975feadad'


@pytest.mark.parametrize('options', [['--persons', '0'], ['--persons', 'x'], ['--persons', '5', '--typos', '101'], []])
def test_bad_options(tmp_path, options):
    run = subprocess.run([BINARY, 'synth', *options, '-o', tmp_path / 'x'], capture_output=True, text=True)
    assert run.returncode == 64 and 'synth' in run.stderr
    assert not (tmp_path / 'x').exists()
