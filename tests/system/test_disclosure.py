"""Answers about what is not there, releases on announced days, revisions, and a ledger that outlives studies and restores."""
import csv
import datetime
import io
import json
import re
import shutil
import sys

import pytest

from harness import PATIENCE_S, SOURCE, STUDY, Unit, make_registers, problem, read_csv, study_file, write_csv

sys.path.insert(0, str(SOURCE / 'tests' / 'ref'))
import measures as reference  # noqa: E402

AS_OF = '2025-06-30'
JSON = {'Content-Type': 'application/json'}


@pytest.fixture(scope='module')
def registers(tmp_path_factory):
    return make_registers(tmp_path_factory.mktemp('registers'), 800, 11)


def edit(unit, *replacements):
    text = unit.study.read_text()
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    unit.study.write_text(text)


def ask(unit, path, who='analyst', **headers):
    return unit.request(who, 'GET', f'/v1/tables/{path}', headers=headers)


def refused(unit, path):
    """Status, name and detail of what is not answered; the terminal says the same words."""
    code, _, body = ask(unit, path)
    name, detail = problem(body)
    return code, name, detail


def publish(unit, as_of=AS_OF):
    code, _, body = unit.request('operator', 'POST', '/v1/releases', json.dumps({'as_of': as_of}), JSON)
    return (code, json.loads(body)['state']) if code == 202 else (code, *problem(body))


def test_before_the_first_release(tmp_path):
    """An empty unit: tables are declared, nothing is published, and nothing can be."""
    with Unit(tmp_path / 'unit') as unit:
        listed = json.loads(unit.request('analyst', 'GET', '/v1/tables')[2])
        assert listed['release'] is None and [t['name'] for t in listed['tables']] == [
            'continuity_by_intervention', 'continuity_by_quarter']
        assert refused(unit, 'continuity_by_quarter') == (404, 'not-found', 'no release is published yet')
        assert refused(unit, 'continuity_by_quarter?release=3') == (404, 'not-found', 'no release is published yet')
        assert refused(unit, 'continuity_by_town')[2] == 'the study declares no table continuity_by_town; GET /v1/tables lists them'
        done = unit.as_('analyst', 'query', 'continuity_by_quarter', check=False)
        assert done.returncode != 0 and 'no release is published yet' in done.stderr
        assert 'no release yet' in unit.as_('analyst', 'query').stdout.lower()
        assert publish(unit) == (409, 'too-early', '0 records are new, the study asks for 1')
        assert unit.status()['ledger']['rho_total_micro'] == 0


def test_a_release_of_nothing(tmp_path):
    """A study that asks for no records publishes a release of none: the last closed period stands there, all hidden."""
    study_file(tmp_path / 'study.yaml', min_new_records=0, min_sources=0, method='none', rho_limit=4)
    text = re.sub(r', sigma2: \d+', '', (tmp_path / 'study.yaml').read_text())
    (tmp_path / 'study.yaml').write_text(text)
    with Unit(tmp_path / 'unit', tmp_path / 'study.yaml') as unit:
        unit.publish('--as-of', AS_OF)
        code, _, body = ask(unit, 'continuity_by_intervention')
        answer = json.loads(body)
        assert code == 200 and [r['period'] for r in answer['extension']['rates']] == ['2024-Q4'] * 5
        assert not any(r['shown'] for r in answer['extension']['rates']) and set(answer['value']) == {None}
        out = unit.as_('analyst', 'query', 'continuity_by_intervention').stdout
        assert 'hidden' in out and 'Hidden rows are unknown, not zero.' in out.replace('\n', ' ')


def test_what_a_release_has_not(tmp_path, registers):
    study_file(tmp_path / 'study.yaml', min_new_records=0, min_sources=0)
    with Unit(tmp_path / 'unit', tmp_path / 'study.yaml') as unit:
        unit.push_registers(registers)
        unit.publish('--as-of', AS_OF)
        # Q1 of 2025 ends on 31 March; 90 days of follow-up and 30 of reporting lag are complete on 29 July.
        assert refused(unit, 'continuity_by_quarter?period=2025-Q1') == (
            404, 'not-found', 'period 2025-Q1 of table continuity_by_quarter is not published in release 1: it is not closed, or '
            'before the first published one; it closes on 2025-07-29, and the first release as of that day or later has it')
        # Every form names the entry of the log that has the release's digest.
        index = next(i for i, e in enumerate(unit.entries()) if e['kind'] == 'release')
        assert json.loads(ask(unit, 'continuity_by_quarter')[2])['extension']['log_index'] == index
        rows = csv.DictReader(io.StringIO(ask(unit, 'continuity_by_quarter', Accept='text/csv')[2].decode()))
        assert {r['log_index'] for r in rows} == {str(index)}
        assert f'log entry {index};' in unit.as_('analyst', 'query', 'continuity_by_quarter').stdout
        assert refused(unit, 'continuity_by_quarter?period=1999-Q1')[2].endswith('or before the first published one')
        assert refused(unit, 'continuity_by_quarter?period=2024')[1:] == (
            'usage', 'period: expected a period of table continuity_by_quarter, such as 2024-Q1')
        assert refused(unit, 'continuity_by_intervention?by=sex')[1:] == (
            'usage', 'by: table continuity_by_intervention has no dimension sex; it has intervention')
        assert refused(unit, 'continuity_by_quarter?by=sex')[2] == 'by: table continuity_by_quarter has no dimension sex; it has none'
        assert refused(unit, 'continuity_by_quarter?release=7')[2] == 'there is no release 7; the last one is release 1'
        assert refused(unit, 'continuity_by_quarter?when=now')[0] == 400
        done = unit.as_('analyst', 'query', 'continuity_by_quarter', '--period', '2025-Q1', check=False)
        assert done.returncode != 0 and 'it closes on 2025-07-29' in done.stderr

        # ---- the study changes: one table goes, one comes, one gets another dimension ----
        before = json.loads(unit.release_body(1))
        unit.stop()
        shutil.copytree(unit.keys / 'daemon' / 'store', tmp_path / 'store-1')
        edit(unit, ('  continuity_by_quarter: {measure: continuity, period: quarter, by: [], sigma2: 10}\n',
                    '  continuity_by_sex: {measure: continuity, period: year, by: [sex], sigma2: 20}\n'))
        unit.start()
        assert unit.status()['ledger']['rho_total_micro'] == 200000
        assert refused(unit, 'continuity_by_quarter')[2].startswith('the study declares no table continuity_by_quarter')
        assert ask(unit, 'continuity_by_quarter?release=1')[0] == 200
        assert refused(unit, 'continuity_by_sex')[1:] == (
            'not-found', 'release 1 has no table continuity_by_sex; the study has changed since that release')
        assert refused(unit, 'continuity_by_quarter?release=1&by=sex')[2].endswith('the study has changed since that release')
        # The new table is charged, for all its years at once; the other one has nothing new, and is carried verbatim.
        unit.publish('--as-of', AS_OF)
        after = json.loads(unit.release_body(2))
        assert after['disclosure']['rho_micro'] == 50000 and after['disclosure']['rho_total_micro'] == 250000
        tables = [{t['name']: t for t in body['tables']} for body in (before, after)]
        assert tables[0]['continuity_by_intervention']['periods'] == tables[1]['continuity_by_intervention']['periods']
        assert set(tables[1]) == {'continuity_by_intervention', 'continuity_by_sex'}
        assert ask(unit, 'continuity_by_sex')[0] == 200

        # ---- the ledger is of the log, whatever a study says and whatever is put back ----
        unit.stop()
        shutil.copytree(unit.keys / 'daemon' / 'store', tmp_path / 'store-2')
        edit(unit, ('rho_limit: 4', 'rho_limit: 0.26'), ('sigma2: 20', 'sigma2: 21'))
        unit.start()
        assert publish(unit) == (409, 'budget-spent', 'the release would cost 47620 millionths of rho; 250000 of 260000 are spent')
        unit.stop()
        shutil.rmtree(unit.keys / 'daemon' / 'store')
        shutil.copytree(tmp_path / 'store-1', unit.keys / 'daemon' / 'store')
        unit.start(ready=False)
        assert unit.daemon.wait(PATIENCE_S) == 76                # an older ledger is not taken
        unit.daemon = None
        shutil.rmtree(unit.keys / 'daemon' / 'store')
        # The log went on after the copy (a start and a refusal): it, too, is older now.
        shutil.copytree(tmp_path / 'store-2', unit.keys / 'daemon' / 'store')
        unit.start(ready=False)
        assert unit.daemon.wait(PATIENCE_S) == 76
        unit.daemon = None


def test_queries_reach_no_record(tmp_path, registers):
    """The keys of all stored records are spoilt, so that nobody can open one: answers stay the same, byte for byte."""
    with Unit(tmp_path / 'unit') as unit:
        unit.push_registers(registers)
        unit.publish('--as-of', AS_OF)
        paths = ['continuity_by_quarter', 'continuity_by_intervention?by=', 'continuity_by_intervention?compare=intervention:none']
        before = [ask(unit, path)[2] for path in paths] + [unit.request('analyst', 'GET', '/v1/tables')[2]]
        unit.stop()
        salts = unit.keys / 'daemon' / 'store' / 'salts'
        data = salts.read_bytes()
        salts.write_bytes(data[:64] + bytes(b ^ 1 for b in data[64:]))
        unit.start()
        after = [ask(unit, path)[2] for path in paths] + [unit.request('analyst', 'GET', '/v1/tables')[2]]
        assert after == before and len(set(before)) == 4
        # Who has to read records cannot any more.
        unit.push('prison', make_more(unit, tmp_path))
        unit.push('treatment', make_more(unit, tmp_path, 'treatment'))
        done = unit.publish('--as-of', '2026-06-30', check=False)
        assert done.returncode != 0 and 'damaged' in unit.log()


def make_more(unit, folder, source='prison'):
    more = make_registers(folder / f'more-{source}', 50, 99)
    unit.encode(source, more / f'{source}.csv', folder / f'more-{source}.batch')
    return folder / f'more-{source}.batch'


def test_a_restored_store_keeps_the_ledger(tmp_path, registers):
    with Unit(tmp_path / 'unit') as unit:
        unit.push_registers(registers)
        unit.publish('--as-of', AS_OF)
        body = unit.release_body()
        unit.stop()
        shutil.copytree(unit.keys / 'daemon' / 'store', tmp_path / 'copy')
        shutil.rmtree(unit.keys / 'daemon' / 'store')
        shutil.copytree(tmp_path / 'copy', unit.keys / 'daemon' / 'store')
        unit.start()
        assert unit.status()['ledger'] == {'rho_total_micro': 200000, 'rho_limit_micro': 4000000}
        assert unit.release_body() == body


def test_announced_days_and_revisions(tmp_path, registers):
    """What is announced stands in every form of every table, and a period is counted once more when it said so."""
    study_file(tmp_path / 'study.yaml', min_new_records=0, min_sources=0)
    text = (tmp_path / 'study.yaml').read_text().replace(
        'provisional: false', 'provisional: false\n  revision_after_days: 300\n'
        '  release_dates: [2020-01-01, 2190-06-30]')
    (tmp_path / 'study.yaml').write_text(text)
    with Unit(tmp_path / 'unit', tmp_path / 'study.yaml') as unit:
        listed = json.loads(unit.request('analyst', 'GET', '/v1/tables')[2])
        assert listed['release_dates'] == ['2020-01-01', '2190-06-30'] and listed['revision_after_days'] == 300
        assert 'no release yet\nannounced: 2020-01-01, 2190-06-30\n' in unit.as_('analyst', 'query').stdout
        unit.push_registers(registers)
        unit.publish('--as-of', AS_OF)
        assert 'as of 2025-06-30\nannounced: 2190-06-30\n' in unit.as_('analyst', 'query').stdout
        extension = json.loads(ask(unit, 'continuity_by_quarter?period=2024-Q4')[2])['extension']
        assert extension['revision_after_days'] == 300 and extension['release_dates'] == ['2020-01-01', '2190-06-30']
        assert extension['next_release'] == '2190-06-30'
        # Q4 of 2024 closed on 30 April 2025, Q1 on 29 July 2024: more than 300 days before it was first published.
        assert [r['revision_due'] for r in extension['rates']] == ['2026-02-24']
        rows = list(csv.DictReader(io.StringIO(ask(unit, 'continuity_by_quarter?period=2024-Q4', Accept='text/csv')[2].decode())))
        assert {(r['revision'], r['next_release']) for r in rows} == {('due 2026-02-24', '2190-06-30')}
        out = unit.as_('analyst', 'query', 'continuity_by_quarter').stdout
        assert 'next release announced for 2190-06-30' in out.replace('\n', ' ')
        assert max(map(len, out.splitlines())) <= 100
        code, name, detail = publish(unit, '2026-03-01')
        assert (code, name, detail) == (409, 'too-early', 'the study announces the next release for 2190-06-30')
        unit.stop()
        edit(unit, ('  release_dates: [2020-01-01, 2190-06-30]\n', ''))
        unit.start()
        unit.publish('--as-of', '2026-03-01')
        first, second = json.loads(unit.release_body(1)), json.loads(unit.release_body(2))
        for before, after in zip(first['tables'], second['tables']):
            old, new = ({p['period']: p for p in t['periods']} for t in (before, after))
            for quarter in ('2024-Q2', '2024-Q3', '2024-Q4'):
                assert new[quarter]['revised_from'] == 1 and new[quarter]['released_in'] == 2
                assert new[quarter]['rows'] != old[quarter]['rows']      # nine cells and more with new noise
                assert 'revision_due' in old[quarter] and 'revision_due' not in new[quarter]
            assert new['2024-Q1'] == old['2024-Q1'] and 'revision_due' not in old['2024-Q1']
            assert new['2025-Q3']['revision_due'] == '2026-11-24'
        assert second['disclosure']['rho_micro'] == 200000               # new and revised periods together
        out = unit.as_('analyst', 'query', 'continuity_by_quarter', '--period', '2024-Q4').stdout
        assert 'revised' in out and 'a closed period is counted once more, 300 days after it closed' in out.replace('\n', ' ')


def test_open_periods_take_what_comes_late(tmp_path, registers):
    """Late records, corrections and withdrawals change open periods with the next release, and no closed one; what is withdrawn is
    erased before it. Without noise: once all that came late is withdrawn, open periods are what they were."""
    study_file(tmp_path / 'study.yaml', min_new_records=0, min_sources=0, method='none', threshold=0, provisional='true')
    rows = read_csv(registers / 'prison.csv')
    late = [r for r in rows if r['event'] == 'release' and r['event_date'][:7] in ('2024-02', '2024-05')]
    in_may = [r for r in late if r['event_date'][:7] == '2024-05']
    assert len(in_may) >= 10 and len(late) > len(in_may)
    with Unit(tmp_path / 'unit', tmp_path / 'study.yaml', fixed=True) as unit:
        def send(name, source, rows):
            write_csv(tmp_path / f'{name}.csv', rows)
            unit.encode(source, tmp_path / f'{name}.csv', tmp_path / f'{name}.batch')
            unit.push(source, tmp_path / f'{name}.batch')

        def quarters():
            """Rows of each quarter and how many releases they hold, as of a day when only the first is closed."""
            unit.publish('--as-of', '2024-08-15')
            body = json.loads(unit.release_body())
            table = next(t for t in body['tables'] if t['name'] == 'continuity_by_quarter')
            assert [p['state'] for p in table['periods'][-3:]] == ['final', 'provisional', 'provisional']
            return [(p['rows'], p['rows'][0]['n']) for p in table['periods'][-3:]]
        send('early', 'prison', [r for r in rows if r not in late])
        send('treatment', 'treatment', read_csv(registers / 'treatment.csv'))
        first = quarters()
        send('late', 'prison', late)
        second = quarters()
        assert second[0] == first[0] and second[2] == first[2]
        assert first[1][1] < second[1][1] <= first[1][1] + len(in_may)
        send('corrected', 'prison', [{**r, 'revision': '1', 'event_date': '2024-07-05'} for r in in_may[:5]])
        third = quarters()
        assert third[0] == first[0] and third[1][1] < second[1][1] and third[2][1] > second[2][1]
        (tmp_path / 'ids').write_text(''.join(f"{r['record_id']}\n" for r in late))
        unit.as_('prison', 'push', '--withdraw', tmp_path / 'ids', '--record-key', unit.keys / 'prison' / 'record.key')
        assert sum(e['records'] for e in unit.entries() if e['kind'] == 'withdrawal') == len(late) + 5   # and both revisions
        assert quarters() == first


def test_cell_key(tmp_path, registers):
    """Nothing is charged, outputs say what the method is not, closed periods are carried, and empty cells stay empty."""
    study_file(tmp_path / 'study.yaml', min_new_records=0, min_sources=0, method='cell-key')
    text = re.sub(r', sigma2: \d+', '', (tmp_path / 'study.yaml').read_text())
    (tmp_path / 'study.yaml').write_text(re.sub(r'(?m)^  rho_limit:.*\n', '', text))
    with Unit(tmp_path / 'unit', tmp_path / 'study.yaml') as unit:
        unit.push_registers(registers)
        unit.publish('--as-of', AS_OF)
        unit.publish('--as-of', '2025-12-31')
        first, second = (json.loads(unit.release_body(n)) for n in (1, 2))
        assert first['disclosure']['method'] == 'cell-key' and second['disclosure']['rho_total_micro'] == 0
        for before, after in zip(first['tables'], second['tables']):
            assert before['periods'] == after['periods'][:len(before['periods'])] and len(before['periods']) >= 4
            for row in (row for p in after['periods'] for row in p['rows'] if row['shown']):
                assert row['n'] == 0 or row['n'] >= 10
                assert row['cells'][8] == 0 and not {1, 2} & set(row['cells']) and min(row['cells']) >= 0
        assert unit.status()['ledger'] == {'rho_total_micro': 0, 'rho_limit_micro': 0}
        answer = json.loads(ask(unit, 'continuity_by_intervention')[2])
        assert answer['extension']['method'] == 'cell-key' and answer['extension']['sigma2'] == 3.0
        assert any('not differentially private' in note for note in answer['note'])
        assert b',cell-key,3.000,10,' in ask(unit, 'continuity_by_intervention', Accept='text/csv')[2]
        assert 'not differentially private' in ' '.join(unit.as_('analyst', 'query', 'continuity_by_quarter').stdout.split())


def day(text):
    return (datetime.date.fromisoformat(text) - datetime.date(1970, 1, 1)).days


def true_rates(folder):
    """Treatment within 21 days of a person's first release of 2024, by who is who: (releases, percent) of all and of each
    intervention and sex."""
    entity = {(r['file'], r['record_id']): r['entity'] for r in read_csv(folder / 'truth.csv')}
    order = ['reception', 'release', 'treatment_start', 'treatment_end', 'death']
    names, lives, groups = [''], {}, {}
    for file in ('prison', 'treatment'):
        for row in read_csv(folder / f'{file}.csv'):
            codes = []
            for dimension in ('intervention', 'sex'):
                if row[dimension] not in names:
                    names.append(row[dimension])
                codes.append(names.index(row[dimension]))
            lives.setdefault(entity[file, row['record_id']], []).append((day(row['event_date']), row['event'], True, codes))
    for life in lives.values():
        life.sort(key=lambda e: (e[0], order.index(e[1])))
        found = [e for e in reference.index_events(life, dict(kind='continuity', bands=[21]), day(AS_OF), 30)
                 if day('2024-01-01') <= e[0] <= day('2024-12-31')]
        for event in found[:1]:
            for name in ('all', *(names[c] for c in event[2])):
                groups.setdefault(name, []).append(event[1] == '0-21')
    return {name: (len(list_), 100 * sum(list_) / len(list_)) for name, list_ in groups.items()}


def test_a_small_service(tmp_path):
    """60 releases a quarter: a year of them in few groups is usable. Bounds are six standard deviations of the noise and more,
    with five points for links that were missed."""
    folder = make_registers(tmp_path / 'registers', 325, 3)
    truth = true_rates(folder)
    with Unit(tmp_path / 'unit', SOURCE / 'deploy' / 'study-small-service.yaml', fixed=True) as unit:
        unit.push_registers(folder)
        unit.publish('--as-of', AS_OF)
        assert 0.49 < unit.status()['ledger']['rho_total_micro'] / 1e6 <= 0.5
        rates = {}
        for name in ('continuity_by_year', 'continuity_by_intervention', 'continuity_by_sex'):
            answer = json.loads(ask(unit, name)[2])
            for row in answer['extension']['rates']:
                group = next(iter(row['by'].values()), 'all')
                if row['shown'] and group != 'unknown':
                    rates[group] = (row['n'], row['variance'], *(row['within'][0][k] for k in ('percent', 'low', 'high')))
            print(unit.as_('analyst', 'query', name).stdout.split('\n\n')[1])
    for group, figures in rates.items():
        print(group, 'true', truth[group], 'published', figures)
    assert {'all', 'ost', 'none', 'male'} <= set(rates)
    for group, (n, variance, percent, low, high) in rates.items():
        noise = 100 * (5 * variance) ** 0.5 / truth[group][0] / 2    # of a rate of 50 %, where it is largest
        assert low <= percent <= high and abs(percent - truth[group][1]) <= 5 + 8 * noise, group
    assert rates['all'][4] - rates['all'][3] < 17                    # within 8.5 points; 6.3 without any noise
    # Drawn with a variance of 100, the total has what the tables by intervention and by sex say of it.
    assert rates['all'][1] < 8
