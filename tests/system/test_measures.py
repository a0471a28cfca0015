# labels: quick once
"""All five measures end to end, from three registers, against a reference that knows who is who (tests/ref/measures.py)."""
import csv
import datetime
import io
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from harness import FIELDS, PATIENCE_S, SOURCE, Unit, make_registers, read_csv, study_file, write_csv
from npm import npm_packages

sys.path.insert(0, str(SOURCE / 'tests' / 'ref'))
import measures as reference  # noqa: E402

STUDY = SOURCE / 'deploy' / 'study-five-measures.yaml'
AS_OF = '2026-06-30'
CODES = {'treatment_need': ['identified', 'none'], 'referral': ['community', 'residential', 'none'],
         'cause': ['drug_related', 'other'], 'intervention': ['ost', 'psychosocial', 'naltrexone', 'none'],
         'drug': ['opioids', 'cocaine', 'cannabis', 'other']}


def pick(codes, number):
    """One of the codes or nothing, by the person."""
    return (['', *codes])[number * 2654435761 % 97 % (len(codes) + 1)]


def three_registers(folder):
    """Synthetic registers, with deaths in one of their own, and what the study wants beside."""
    entity = {(r['file'], r['record_id']): int(r['entity']) for r in read_csv(folder / 'truth.csv')}
    out = {'prison': [], 'treatment': [], 'deaths': []}
    for file in ('prison', 'treatment'):
        for row in read_csv(folder / f'{file}.csv'):
            who = entity[file, row['record_id']]
            is_death, is_release = row['event'] == 'death', row['event'] == 'release'
            row.update(treatment_need=pick(CODES['treatment_need'], who) if is_release else '',
                       referral=pick(CODES['referral'], who + 1) if is_release else '',
                       cause=pick(CODES['cause'], who) if is_death else '')
            if is_death:
                row.update(person_id='D' + row['person_id'], record_id='D' + row['record_id'])
            out['deaths' if is_death else file].append((who, row))
    for source, rows in out.items():
        write_csv(folder / f'{source}.csv', [row for _, row in rows])
    return out


@pytest.fixture(scope='module')
def unit(tmp_path_factory):
    folder = tmp_path_factory.mktemp('measures')
    registers = three_registers(make_registers(folder / 'registers', 3000, 4))
    with Unit(folder / 'unit', STUDY, fixed=True) as unit:
        for source in registers:
            unit.encode(source, folder / 'registers' / f'{source}.csv', folder / f'{source}.batch')
            unit.push(source, folder / f'{source}.batch')
        unit.publish('--as-of', AS_OF)
        unit.truth = registers
        yield unit


def day(text):
    return (datetime.date.fromisoformat(text) - datetime.date(1970, 1, 1)).days


def true_outcomes(registers, measure, lag, dimensions):
    """Outcomes of 2024, a person's first index event of the year."""
    order = ['reception', 'release', 'treatment_start', 'treatment_end', 'death']
    lives = {}
    for rows in registers.values():
        for who, row in rows:
            codes = [(['', *CODES[d]]).index(row[d]) for d in dimensions]
            lives.setdefault(who, []).append((day(row['event_date']), row['event'], True, codes))
    counts = {}
    for life in lives.values():
        life.sort(key=lambda e: (e[0], order.index(e[1])))
        found = [e for e in reference.index_events(life, measure, day(AS_OF), lag)
                 if day('2024-01-01') <= e[0] <= day('2024-12-31')]
        if found:
            counts[found[0][1]] = counts.get(found[0][1], 0) + 1
    return counts


def table(unit, name):
    return next(t for t in json.loads(unit.release_body())['tables'] if t['name'] == name)


def published(unit, name):
    """Noisy counts of 2024, all rows that are shown."""
    t = table(unit, name)
    rows = next(p for p in t['periods'] if p['period'] == '2024')['rows']
    return {o: sum(r['cells'][i] for r in rows if r['shown']) for i, o in enumerate(t['outcomes'])}


@pytest.mark.parametrize('name, measure, lag, dimensions, allowed', [
    ('c20_by_year', dict(kind='continuity', bands=[21], eligible=[(0, [1]), (1, [1, 2])]), 180,
     ('treatment_need', 'referral'), 40),
    ('mortality_by_year', dict(kind='mortality', bands=[14, 28, 365], drug_related=(0, [1])), 180, ('cause', 'drug'), 25),
    ('return_by_intervention', dict(kind='return', bands=[30, 90, 365]), 180, ('intervention', 'drug'), 60),
    ('retention_by_drug', dict(kind='retention', bands=[29, 89, 179], start_within=90), 180, ('drug', 'intervention'), 60),
])
def test_published_counts_are_near_the_truth(unit, name, measure, lag, dimensions, allowed):
    """What is left is linkage error and noise: of about 2,000 releases so many may sit in another cell."""
    truth, got = true_outcomes(unit.truth, measure, lag, dimensions), published(unit, name)
    print(name, 'true', truth, 'published', got)
    assert set(truth) <= set(got) and sum(truth.values()) > 100
    for outcome, n in got.items():
        assert abs(n - truth.get(outcome, 0)) <= allowed, outcome


def test_population(unit):
    answer = json.loads(unit.as_('analyst', 'query', 'opioid_users_by_year', '--format', 'json').stdout)
    assert answer['dimension']['outcome']['category']['index'] == ['prison', 'treatment', 'prison+treatment']
    extension = answer['extension']
    assert extension['kind'] == 'population' and extension['pooled'] == []
    assert extension['eligible'] == [{'dimension': 'drug', 'codes': ['opioids']}]
    row = next(r for r in extension['rates'] if r['period'] == '2024')
    seen = {who for file in ('prison', 'treatment') for who, r in unit.truth[file]
            if r['event_date'].startswith('2024') and r['drug'] == 'opioids'}
    assert abs(row['n'] - len(seen)) <= 0.05 * len(seen)
    p = row['population']
    assert p['method'] == 'chapman' and row['n'] < p['low'] < p['estimate'] < p['high']
    assert any('independ' in note or 'says nothing about being on the other' in note for note in answer['note'])


def test_text_fits_and_says_what_it_is(unit):
    for name, words in (('c20_by_year', 'only where referral is community or residential and treatment_need is identified'),
                        ('mortality_by_year', 'died at liberty within 365 days'),
                        ('return_by_intervention', 'back in prison within 365 days'),
                        ('retention_by_drug', 'in treatment for at least 180 days'),
                        ('opioid_users_by_year', 'people, seen or not')):
        text = unit.as_('analyst', 'query', name).stdout
        print(text)
        assert all(len(line) <= 100 for line in text.splitlines()), text
        assert words in ' '.join(text.split()), text
        assert '% of the links found (' in ' '.join(text.split()) and '; log entry ' in text
    text = unit.as_('analyst', 'query', 'mortality_by_year', '--drug-related', '--within', 14).stdout
    assert 'within 14 days of release, drug-related deaths only' in text
    done = unit.as_('analyst', 'query', 'return_by_intervention', '--drug-related', check=False)
    assert done.returncode == 64 and 'causes of death' in done.stderr


def test_csv_has_every_statistic_with_its_unit(unit):
    rows = {name: list(csv.DictReader(io.StringIO(unit.as_('analyst', 'query', name, '--format', 'csv').stdout)))
            for name in ('mortality_by_year', 'retention_by_drug', 'opioid_users_by_year')}
    units = {name: {r['statistic']: r['unit'] for r in table} for name, table in rows.items()}
    assert units['mortality_by_year']['within_14_drug_related'] == 'percent'
    assert units['mortality_by_year']['0-14_drug_related'] == 'releases'
    assert units['retention_by_drug']['at_least_180'] == 'percent' and units['retention_by_drug']['180+'] == 'starts'
    assert units['opioid_users_by_year'] == {'n': 'persons', 'prison': 'persons', 'treatment': 'persons',
                                             'prison+treatment': 'persons', 'population_chapman': 'persons'}
    for table in rows.values():
        assert all(r['value'] != '' or r['status'] in ('hidden', 'unavailable') for r in table)


def test_comparison(unit):
    """Differences and ratios by JSON, CSV and text; the text fits."""
    answer = json.loads(unit.as_('analyst', 'query', 'continuity_by_intervention', '--compare', 'intervention:none',
                                 '--format', 'json').stdout)
    pooled = {row['by']['intervention']: row['within'] for row in answer['extension']['comparison']['pooled']}
    ost = next(rate for rate in pooled['ost'] if rate['days'] == 21)
    assert ost['difference']['low'] > 0 and ost['ratio']['low'] > 1
    assert ost['difference']['low'] < ost['difference']['points'] < ost['difference']['high']
    text = unit.as_('analyst', 'query', 'continuity_by_intervention', '-c', 'intervention:none').stdout
    print(text)
    assert all(len(line) <= 100 for line in text.splitlines()), text
    words = ' '.join(text.split())
    assert 'each intervention against "none"' in words and 'not assigned to groups at random' in words
    rows = list(csv.DictReader(io.StringIO(unit.as_('analyst', 'query', 'continuity_by_intervention', '-c',
                                                    'intervention:none', '--format', 'csv').stdout)))
    found = [r for r in rows if r['statistic'] == 'within_21_ratio' and r['intervention'] == 'ost' and r['value']]
    assert found and all(r['against'] == 'none' and r['unit'] == 'ratio' for r in found)
    for wrong, words in (('intervention', 'DIM:CODE'), ('sex:male', 'no dimension'), ('intervention:yes', 'no code')):
        done = unit.as_('analyst', 'query', 'continuity_by_intervention', '-c', wrong, check=False)
        assert done.returncode == 64 and words in done.stderr, done.stderr
    assert any('compare=intervention:none' in e.get('query', '') for e in unit.entries() if e['kind'] == 'query')


def test_plot(unit):
    """The curves end where the table says, and both forms carry what they rest on."""
    answer = json.loads(unit.as_('analyst', 'query', 'continuity_by_intervention', '--format', 'json').stdout)
    rows = {row['by']['intervention']: row['within'] for row in answer['extension']['pooled']}
    # Corrected rates, unless they are withheld for one of the groups: then crude ones for all.
    is_corrected = all(rate['corrected'] for row in rows.values() for rate in row)
    pooled = {name: row[-1]['corrected'] if is_corrected else row[-1] for name, row in rows.items()}
    text = unit.as_('analyst', 'query', 'continuity_by_intervention', '--plot').stdout
    assert ('not corrected for missed links' in ' '.join(text.split())) != is_corrected
    print(text)
    lines = text.splitlines()
    assert all(len(line) <= 100 for line in lines)
    for name, rate in pooled.items():
        line = next(line for line in lines if f'  {name} ' in line)
        assert f"90 days: {rate['percent']:.1f} %" in line
    assert 'SYNTHETIC' in lines[0] and 'study five-measures, release 1' in ' '.join(text.split())
    path = unit.folder / 'curve.svg'
    unit.as_('analyst', 'query', 'continuity_by_intervention', '--svg', path)
    svg = xml.etree.ElementTree.parse(path).getroot()
    space = '{http://www.w3.org/2000/svg}'
    texts = ' '.join(t.text or '' for t in svg.iter(f'{space}text'))
    assert len(list(svg.iter(f'{space}polyline'))) == len(pooled) and 'Synthetic data' in texts
    assert 'bars are 95 % intervals' in texts
    died = ' '.join(unit.as_('analyst', 'query', 'mortality_by_year', '--drug-related', '--plot').stdout.split())
    assert 'drug-related deaths only, not corrected for missed links' in died
    for options, words in ((['retention_by_drug', '--plot'], 'cumulative incidence'),
                           (['--plot'], 'need a TABLE'), (['c20_by_year', '--plot', '--format', 'csv'], 'need a TABLE')):
        done = unit.as_('analyst', 'query', *options, check=False)
        assert done.returncode == 64 and words in done.stderr, done.stderr


def test_corrected_rates(tmp_path):
    """Registers so dirty that a tenth of the links is missed, in one arm far more: the corrected rate is nearer to the truth than
    the crude one, and its interval lies around it. How often an interval of one draw of noise covers the truth is a question for many
    draws (test_coverage), not for this one: the interval widened by its own width must."""
    registers = make_registers(tmp_path / 'registers', 3000, 3, '--typos', 25, '--typos-by', 'ost=50')
    study = study_file(tmp_path / 'study.yaml', FIELDS, rho_limit='4\n  linkage_sigma2: 20\n  linkage_by: intervention')
    with Unit(tmp_path / 'unit', study, fixed=True) as unit:
        unit.push_registers(registers)
        unit.publish('--as-of', '2025-06-30')
        answers = {table: json.loads(unit.as_('analyst', 'query', table, '--format', 'json').stdout)
                   for table in ('continuity_by_quarter', 'continuity_by_intervention')}
        text = unit.as_('analyst', 'query', 'continuity_by_intervention').stdout
        compared = json.loads(unit.as_('analyst', 'query', 'continuity_by_intervention', '--compare', 'intervention:none',
                                       '--format', 'json').stdout)
        compared_text = unit.as_('analyst', 'query', 'continuity_by_intervention', '--compare', 'intervention:none').stdout
        plots = [' '.join(unit.as_('analyst', 'query', 'continuity_by_quarter', '--plot').stdout.split()),
                 ' '.join(unit.as_('analyst', 'query', 'continuity_by_intervention', '--plot').stdout.split())]
        rows = list(csv.DictReader(io.StringIO(unit.as_('analyst', 'query', 'continuity_by_quarter', '--format',
                                                        'csv').stdout)))
        body, entries = json.loads(unit.release_body()), unit.entries()
    print(text)
    assert all(len(line) <= 100 for line in text.splitlines()) and 'corrected %' in text and 'crude %' in text
    print(compared_text)
    assert 'days of release, corrected for missed links' in plots[0] and ' corrected for missed links' in plots[1]
    assert all(len(line) <= 100 for line in compared_text.splitlines())
    assert 'Corrected comparisons compare corrected rates' in ' '.join(compared_text.split())
    expected = json.loads((registers / 'expected.json').read_text())
    truths = {'all': expected['expected']['all'], **expected['by_intervention']['all']}
    for answer in answers.values():
        assert any('counted apart for each arm' in note for note in answer['note'])
        links = answer['extension']['linkage']
        assert links['by'] == 'intervention' and links['true'] > 1000
        assert links['found_low'] < links['found_percent'] < links['found_high'] <= 100
        arms = {arm['code']: arm for arm in links['arms']}
        assert list(arms) == ['unknown', 'ost', 'psychosocial', 'naltrexone', 'none']
        assert sum(arm['true'] for arm in arms.values()) == links['true']
        for row in answer['extension']['pooled']:
            truth = truths[row['by'].get('intervention', 'all')]
            rate = next(r for r in row['within'] if r['days'] == 21)
            true = 100 * truth['within_21'] / truth['releases']
            crude, corrected = rate['percent'], rate['corrected']
            print(row['by'], 'true', round(true, 1), 'crude', crude, 'corrected', corrected)
            if row['by'].get('intervention', 'all') in ('all', 'ost'):  # of the others one draw says little
                assert abs(corrected['percent'] - true) < abs(crude - true)
            elif corrected is None:  # withheld: a small arm, and the noise
                continue
            width = corrected['high'] - corrected['low']
            assert corrected['low'] - width <= true <= corrected['high'] + width
            assert corrected['low'] <= corrected['percent'] <= corrected['high']
    # Half of the fields of `ost` are wrong: its advantage is understated until links that were missed are allowed for.
    row = next(r for r in compared['extension']['comparison']['pooled'] if r['by'] == {'intervention': 'ost'})
    rate = next(r for r in row['within'] if r['days'] == 21)
    shares = [truths[arm]['within_21'] / truths[arm]['releases'] for arm in ('ost', 'none')]
    true, corrected = 100 * (shares[0] - shares[1]), rate['corrected']['difference']
    print('difference ost - none: true', round(true, 1), rate)
    assert abs(corrected['points'] - true) < abs(rate['difference']['points'] - true)
    width = corrected['high'] - corrected['low']
    assert corrected['low'] - width <= true <= corrected['high'] + width
    ratio = rate['corrected']['ratio']
    assert ratio['low'] <= ratio['value'] <= ratio['high']
    assert any(r['statistic'] == 'within_21_corrected' and r['value'] and r['unit'] == 'percent' for r in rows)
    # What the counts of links cost is in the charge: two tables at 10 and these at 20, of which a person moves four.
    started = next(e for e in entries if e['kind'] == 'release_started')
    assert started['rho_micro'] == 300000 and body['linkage']['sigma2_milli'] == 20000


@pytest.fixture(scope='module')
def toolkit(tmp_path_factory):
    """jsonstat-toolkit as its lock file has it, from the npm registry; without npm or network this check says so."""
    return npm_packages(SOURCE / 'tests' / 'jsonstat', tmp_path_factory.mktemp('jsonstat'),
                        'the answers were not read with jsonstat-toolkit')


def test_jsonstat_toolkit_reads_every_table(unit, toolkit):
    """The package that others read JSON-stat with finds every dimension, code, unit and cell where the release has them."""
    body = json.loads(unit.release_body())
    for t in body['tables']:
        text = unit.as_('analyst', 'query', t['name'], '--format', 'json').stdout
        done = subprocess.run(['node', SOURCE / 'tests' / 'jsonstat' / 'check.mjs'], input=text, capture_output=True, text=True,
                              env={**os.environ, 'CHECK_MODULES': str(toolkit)}, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        dimensions = {d['id']: d for d in found['dimensions']}
        assert list(dimensions) == ['period', *(d['name'] for d in t['by']), 'outcome']
        assert dimensions['period']['role'] == 'time' and dimensions['outcome']['role'] == 'metric'
        assert dimensions['outcome']['categories'] == t['outcomes'] and all(u['label'] for u in dimensions['outcome']['units'])
        cells = {tuple(c['where'].values()): c for c in found['cells']}
        n = 0
        for period in t['periods']:
            for row in period['rows']:
                codes = [d['codes'][c] for d, c in zip(t['by'], row['codes'])]
                for i, outcome in enumerate(t['outcomes']):
                    cell = cells[(period['period'], *codes, outcome)]
                    assert cell['value'] == (row['cells'][i] if row['shown'] else None)
                    assert (cell['status'] == 'hidden') == (not row['shown'])
                    n += 1
        assert n == len(cells) > 0
    broken = json.loads(text)
    broken['class'] = 'datasets'
    done = subprocess.run(['node', SOURCE / 'tests' / 'jsonstat' / 'check.mjs'], input=json.dumps(broken), capture_output=True,
                          text=True, env={**os.environ, 'CHECK_MODULES': str(toolkit)}, timeout=PATIENCE_S)
    assert done.returncode != 0


def test_auditors_see_linkage_quality_as_released(unit, tmp_path):
    """The report for auditors plots what the body of a release says of its links, and nothing else of them."""
    release = next(e for e in unit.entries() if e['kind'] == 'release')
    links = json.loads(unit.request('auditor', 'GET', f'/audit/release/{release["digest"]}')[2])['linkage']
    true, false, missed = (max(0, sum(arm[name] for arm in links['arms'])) for name in ('true', 'false', 'missed'))
    found, wrong = (100 * part / (part + rest) for part, rest in ((true, missed), (false, true)))
    unit.as_('auditor', 'audit', 'report', '--vkey', unit.keys / 'log.vkey', '--year', release['t'][:4], '-o', tmp_path / 'r.html')
    page = (tmp_path / 'r.html').read_text()
    row = re.search(r'<tr><td class="n">1</td><td class="n">(\d+) %</td><td class="n">(\d+) %</td></tr>', page)
    assert page.count('<svg') == 3 and page.count('<circle') == 2 * len([e for e in unit.entries() if e['kind'] == 'release'])
    assert 50 < found < 100 and abs(int(row[1]) - found) <= .51 and abs(int(row[2]) - wrong) <= .51, (found, wrong, row)
