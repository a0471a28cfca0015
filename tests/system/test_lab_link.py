# labels: quick once
"""throughcare lab: linkage of labelled registers without labels, against the truth; and the kernels against each other.

The labelled registers are read from ../shared/data where they are present; linkage of synthetic registers is always tested."""
import csv
import json
import os
import random
import sys

import pytest

from harness import BINARY, SHARED, SOURCE, tool

sys.path.insert(0, str(SOURCE / 'tests' / 'bench'))
import linkage_secrets                 # noqa: E402

STUDY = SOURCE / 'tests' / 'data' / 'study-labelled.yaml'


@pytest.fixture(scope='module')
def secret(tmp_path_factory):
    path = tmp_path_factory.mktemp('keys') / 'main.secret'
    path.write_text('throughcare-linkage-v1:' + bytes(range(7, 39)).hex() + '\n')
    os.chmod(path, 0o600)
    return path


def lab_link(secret, folder, *options, check=True):
    done = tool('lab', 'link', '--study', STUDY, '--secret', secret, '--truth', folder / 'truth.csv', *options,
                folder / 'prison.csv', folder / 'treatment.csv', check=check)
    return json.loads(done.stdout) if check else done


@pytest.mark.parametrize('name, f1, precision_error', [
    ('febrl4', 0.985, 0.015),
    ('rl10000', 0.95, 0.03),           # 537 true pairs in 25 million, half of the dates wrong
    ('fake1000', 0.75, 0.03),          # several noisy records a person: what is expected of persons, not of rows
])
def test_labelled_registers(secret, name, f1, precision_error):
    folder = SHARED / 'data' / name
    if not folder.is_dir():
        pytest.skip(f'the labelled registers are not here ({folder}): nothing was checked on them')
    found = lab_link(secret, folder)
    print(name, found)
    assert found['outcome'] == 'done'
    assert found['f1'] >= f1
    assert abs(found['expected_precision'] - found['precision']) <= precision_error


def write(folder, name, header, rows):
    with open(folder / name, 'w', newline='') as f:
        csv.writer(f).writerows([header, *rows])


COLUMNS = ['record_id', 'given_name', 'middle_name', 'surname', 'date_of_birth', 'place', 'postcode', 'event', 'event_date',
           'sex', 'region', 'drug', 'intervention']


def person(i):
    """Invented people: names out of syllables, so that they resemble each other as names do."""
    part = ['ba', 'ke', 'li', 'mo', 'nu', 'ra', 'si', 'to', 'vel', 'wen', 'zor', 'dra', 'fi', 'gul', 'hem', 'jas']
    r = random.Random(i)
    name = [''.join(r.choices(part, k=3)) for _ in range(3)]
    date = f'{r.randrange(1950, 2000)}-{r.randrange(1, 13):02}-{r.randrange(1, 29):02}'
    return [name[0], '', name[1], date, name[2], str(r.randrange(1000, 10000))]


def registers(folder, prison, treatment):
    for name, event, people in (('prison', 'release', prison), ('treatment', 'treatment_start', treatment)):
        write(folder, f'{name}.csv', COLUMNS,
              [[f'{name[0]}{i}', *person(i), event, '2024-03-01', 'male', 'north', 'opioids', 'none' if name == 'prison' else '']
               for i in people])
    write(folder, 'truth.csv', ['file', 'record_id', 'entity'],
          [['prison', f'p{i}', i] for i in prison] + [['treatment', f't{i}', i] for i in treatment])


def test_invented_registers(secret, tmp_path):
    registers(tmp_path, range(200), range(120, 320))
    found = lab_link(secret, tmp_path)
    assert found['outcome'] == 'done' and found['records'] == [200, 200] and found['pairs'] == 80
    assert found['f1'] >= 0.98
    assert set(found['seconds']) == {'encode', 'compare', 'link'}
    low, high = found['expected_recall_interval']
    assert low <= found['recall'] <= high and found['crowded'] == 0 and found['true_pairs_below_floor'] == 0
    assert found['pairs_per_second'] > 0 and found['peak_memory_bytes'] > 1 << 20
    one = {**lab_link(secret, tmp_path, '--threads', 1, '--kernel', 'scalar')}
    for key in ('links', 'precision', 'recall', 'expected_precision', 'expected_recall', 'threshold', 'persons', 'candidates'):
        assert one[key] == found[key], key


def test_dependent_comparisons_are_named(secret, tmp_path):
    """A postcode that follows from the place says nothing new; as a comparison of its own it must be noticed."""
    study = tmp_path / 'study.yaml'
    joint = '    address: {filters: [place, postcode]}    # dependent fields are compared as one\n'
    assert joint in STUDY.read_text()
    study.write_text(STUDY.read_text().replace(joint, '    place: {filters: [place]}\n    postcode: {filters: [postcode]}\n'))
    registers(tmp_path, range(200), range(120, 320))
    towns = ['aldmoor', 'brinkhal', 'corvesta', 'dunwick', 'elsprig', 'fornholm', 'gratzen', 'hulmby', 'ivrea', 'jostedal', 'kvernes',
             'lomza', 'mirovar', 'nyborg', 'ostrava', 'pruszkow', 'quimper', 'rovigo', 'sundsval', 'trutnov']
    for name in ('prison', 'treatment'):
        with open(tmp_path / f'{name}.csv', newline='') as f:
            rows = list(csv.DictReader(f))
        for row in rows:
            town = int(row['record_id'][1:]) * 7 % 20
            row['place'], row['postcode'] = towns[town], str(1000 + 457 * town)
        write(tmp_path, f'{name}.csv', COLUMNS, [[row[c] for c in COLUMNS] for row in rows])
    command = ['lab', 'link', '--secret', secret, '--truth', tmp_path / 'truth.csv']
    for path, expected in ((study, [['place', 'postcode']]), (STUDY, [])):
        found = json.loads(tool(*command, '--study', path, tmp_path / 'prison.csv', tmp_path / 'treatment.csv').stdout)
        assert [d['comparisons'] for d in found['dependent_comparisons']] == expected
        assert all(d['excess_bits'] >= 3 and not d['merged'] for d in found['dependent_comparisons'])
    # Merged, the two are what the study that compares them together has from the start.
    study.write_text(study.read_text().replace('  floor: -3', '  merge_dependent: true\n  floor: -3'))
    merged = json.loads(tool(*command, '--study', study, tmp_path / 'prison.csv', tmp_path / 'treatment.csv').stdout)
    assert [(d['comparisons'], d['merged']) for d in merged['dependent_comparisons']] == [(['place', 'postcode'], True)]
    for key in ('links', 'precision', 'recall', 'expected_precision'):
        assert abs(merged[key] - found[key]) <= 0.01 * found[key], key


def test_no_overlap_links_nobody(secret, tmp_path):
    registers(tmp_path, range(150), range(1000, 1150))
    found = lab_link(secret, tmp_path)
    assert found['outcome'] == 'not-identifiable' and found['links'] == 0 and found['threshold'] is None
    assert 'chance' in found['statement'] or 'candidate' in found['statement']


def test_few_strangers_are_not_linked(tmp_path):
    """Composite filters have many levels: few pairs of strangers must not teach the model levels that only they have."""
    for seed in range(4):
        registers(tmp_path, range(1000 * seed, 1000 * seed + 100), range(1000 * seed + 500, 1000 * seed + 600))
        for profile in ('balanced', 'hardened'):
            for run in linkage_secrets.link(BINARY, tmp_path, profile, [seed]):
                assert run['outcome'] == 'not-identifiable' and run['links'] == 0 and run['threshold'] is None


def test_errors_name_file_and_row(secret, tmp_path):
    registers(tmp_path, range(20), range(20))
    truth = (tmp_path / 'truth.csv').read_text()
    (tmp_path / 'truth.csv').write_text(truth.replace('treatment,t3,3', 'hospital,t3,3'))
    done = lab_link(secret, tmp_path, check=False)
    assert done.returncode == 65 and 'truth.csv: row 24, column file' in done.stderr
    (tmp_path / 'truth.csv').write_text(truth.replace('record_id', 'id'))
    done = lab_link(secret, tmp_path, check=False)
    assert done.returncode == 65 and "no column 'record_id'" in done.stderr
    (tmp_path / 'truth.csv').write_text(truth.replace('treatment,t3,3\n', '').replace('treatment,t3,3\r\n', ''))
    done = lab_link(secret, tmp_path, check=False)
    assert done.returncode == 65 and 'has no row' in done.stderr
    done = lab_link(secret, tmp_path, '--kernel', 'fast', check=False)
    assert done.returncode == 64 and '--kernel' in done.stderr
    done = lab_link(tmp_path / 'absent', tmp_path, check=False)
    assert done.returncode != 0 and 'absent' in done.stderr


def test_kernels_find_the_same(tmp_path):
    runs = json.loads(tool('lab', 'kernel', '--records', 5000, '--queries', 4).stdout)['runs']
    assert {run['shape'] for run in runs} == {'1x1024', '6x512'}
    assert {'scalar'} <= {run['kernel'] for run in runs}
    for run in runs:
        assert run['hits_equal'] and run['gpairs_per_s'] > 0, run


@pytest.mark.parametrize('words', [['lab'], ['lab', 'link'], ['lab', 'kernel']])
def test_help_shows_an_example(words):
    assert 'example' in tool(*words, '--help').stdout.lower()
