# labels: quick once
"""The study's retention: what is over is erased with its keys and logged, is refused when it comes again, and stays gone
through crashes; a withdrawal that a crash interrupts is finished without being sent again."""
import datetime
import random
import shutil
import subprocess
import threading
import time

import pytest

from harness import PATIENCE_S, THROUGHCARED, Unit, make_registers, problem, read_csv, write_csv
from test_entry_schema import judge

YEARS = 2
SLOT_LEN, DESTROYED = 64, 2


def first_day():
    today = datetime.datetime.now(datetime.timezone.utc).date()
    try:
        return today.replace(year=today.year - YEARS)
    except ValueError:                                      # the 29th of February
        return datetime.date(today.year - YEARS, 3, 1)


@pytest.fixture(scope='module')
def registers(tmp_path_factory):
    """Registers of which every third record is 40 days older than the study will keep, the others 40 days younger."""
    folder = make_registers(tmp_path_factory.mktemp('registers'), 150, 5)
    for source in ('prison', 'treatment'):
        rows = read_csv(folder / f'{source}.csv')
        for i, row in enumerate(rows):
            row['event_date'] = str(first_day() + datetime.timedelta(days=-40 if i % 3 == 0 else 40))
        write_csv(folder / f'{source}.csv', rows)
    return folder


def is_old(row):
    return row['event_date'] < str(first_day())


def filled(folder, registers, batch_records=20):
    """A unit that has the registers, under a study that keeps records for longer."""
    unit = Unit(folder, store_map_bytes='256M')
    with unit:
        unit.push_registers(registers, '--batch-records', batch_records)
    return unit


def keep(unit, years=YEARS):
    text = unit.study.read_text()
    assert 'retention: {years: 10}' in text
    unit.study.write_text(text.replace('years: 10', f'years: {years}'))


def purged(unit):
    found = [e for e in unit.entries() if e['kind'] == 'purge']
    assert not any(judge(e) for e in found), found          # of the form that the schema says
    return found


def wait_purged(unit, n):
    deadline = time.monotonic() + PATIENCE_S
    while sum(e['records'] for e in purged(unit)) < n:
        assert time.monotonic() < deadline, unit.log()
        time.sleep(0.05)


def destroyed(unit):
    """How many chunk keys are."""
    salts = (unit.keys / 'daemon/store/salts').read_bytes()
    return [salts[at] for at in range(SLOT_LEN, len(salts), SLOT_LEN)].count(DESTROYED)


def test_what_is_over_goes(tmp_path, registers):
    unit = filled(tmp_path / 'unit', registers)
    rows = {source: read_csv(registers / f'{source}.csv') for source in ('prison', 'treatment')}
    old = {source: sum(map(is_old, rows[source])) for source in rows}
    with unit:
        assert not purged(unit)
    shutil.copytree(unit.keys / 'daemon', tmp_path / 'backup')
    keep(unit)
    days = {str(first_day())}                               # of both days, where midnight passes
    with unit:
        wait_purged(unit, sum(old.values()))
        days.add(str(first_day()))
        entries = purged(unit)
        for source in rows:
            mine = [e for e in entries if e['source'] == source]
            assert sum(e['records'] for e in mine) == old[source] and all('who' not in e for e in mine)
        assert {e['before'] for e in entries} <= days
        verified = unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey').stdout
        assert 'purge' in verified and 'audit log verified' in verified

        # Not again: neither the same records nor others as old.
        for row in rows['prison']:
            row['revision'] = '1'
        write_csv(tmp_path / 'again.csv', rows['prison'])
        unit.encode('prison', tmp_path / 'again.csv', tmp_path / 'again.batch')
        done = unit.push('prison', tmp_path / 'again.batch', check=False)
        assert done.returncode == 65 and 'record 1 of the batch is longer ago than the study keeps' in done.stderr
        write_csv(tmp_path / 'rest.csv', [row for row in rows['prison'] if not is_old(row)])
        unit.encode('prison', tmp_path / 'rest.csv', tmp_path / 'rest.batch')
        unit.push('prison', tmp_path / 'rest.batch')
    assert destroyed(unit) == sum(e['chunks'] for e in entries)
    with unit:
        assert len(purged(unit)) == len(entries)            # nothing is left to do

    # The store of before, beside the signer of after: refused.
    shutil.rmtree(unit.keys / 'daemon' / 'store')
    shutil.copytree(tmp_path / 'backup' / 'store', unit.keys / 'daemon' / 'store')
    done = subprocess.run([THROUGHCARED, '-c', unit.conf_path, '--check'], capture_output=True, text=True,
                          timeout=PATIENCE_S)
    assert done.returncode == 76, done


def test_purge_when_asked(tmp_path, registers):
    unit = filled(tmp_path / 'unit', registers)
    n = sum(is_old(row) for source in ('prison', 'treatment') for row in read_csv(registers / f'{source}.csv'))
    json_type = {'Content-Type': 'application/json'}
    keep(unit)
    with unit:
        days = {str(first_day())}
        said = unit.as_('operator', 'admin', 'purge').stdout
        days.add(str(first_day()))
        assert said in {f"records of before {day} are erased; the log's 'purge' entries say how many\n" for day in days}
        assert sum(e['records'] for e in purged(unit)) == n
        looked = unit.status()['retention']
        assert looked['before'] in days and looked['looks'] >= 2 and looked['error'] is None
        assert 'throughcare_retention_waits 0\n' in unit.request('operator', 'GET', '/metrics')[2].decode()
        assert unit.as_('operator', 'admin', 'purge', '--no-wait').stdout == 'the purge has begun\n'
        code, _, body = unit.request('operator', 'POST', '/v1/purges', '{"before":"2020-01-01"}', json_type)
        assert code == 400 and problem(body) == ('invalid-input', 'expected {}')
        assert unit.request('operator', 'POST', '/v1/purges', '{}', {'Content-Type': 'text/plain'})[0] == 415
        assert unit.request('auditor', 'POST', '/v1/purges', '{}', json_type)[0] == 403
    unit.study.write_text(unit.study.read_text().replace(f'retention: {{years: {YEARS}}}', ''))
    with unit:
        done = unit.as_('operator', 'admin', 'purge', check=False)
        assert done.returncode == 65 and 'the study says nothing of retention' in done.stderr, done
        assert unit.status()['retention']['before'] is None


def test_kills_during_purge(tmp_path, registers):
    """Each record is erased and counted once, whatever moment the process dies at."""
    unit, rng = filled(tmp_path / 'unit', registers), random.Random(8)
    n = sum(is_old(row) for source in ('prison', 'treatment') for row in read_csv(registers / f'{source}.csv'))
    keep(unit)
    for _ in range(6):
        unit.start()
        time.sleep(rng.uniform(0, 0.05))
        unit.kill()
    with unit:
        wait_purged(unit, n)
        assert sum(e['records'] for e in purged(unit)) == n
        unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey')


def test_interrupted_withdrawal_is_finished(tmp_path, registers):
    """A withdrawal of many chunks, killed while it works: where its first entry stands, all of it is done, unasked."""
    unit = filled(tmp_path / 'unit', registers, 3)          # so many chunks that a withdrawal takes several slices
    ids = [row['record_id'] for row in read_csv(registers / 'treatment.csv')]
    path = tmp_path / 'ids.txt'
    path.write_text(''.join(f'{i}\n' for i in ids))

    def withdraw():
        unit.as_('treatment', 'push', '--withdraw', path, '--record-key', unit.keys / 'treatment' / 'record.key', '--tries',
                 '1', check=False)
    n_chunks = -(-len(ids) // 3)
    pristine = tmp_path / 'pristine'
    shutil.copytree(unit.keys / 'daemon', pristine)
    unfinished, runs = 0, 0
    while runs < 4 or (unfinished == 0 and runs < 40):      # a busy machine may kill too late
        runs += 1
        shutil.rmtree(unit.keys / 'daemon')
        shutil.copytree(pristine, unit.keys / 'daemon')
        unit.start()
        worker = threading.Thread(target=withdraw)
        worker.start()
        while not destroyed(unit) and worker.is_alive():    # the keys of the first slice's chunks
            pass
        unit.kill()
        worker.join()
        unfinished += destroyed(unit) < n_chunks
        with unit:
            entries = [e for e in unit.entries() if e['kind'] == 'withdrawal']
            assert entries[0]['ids'] == len(ids)
            deadline = time.monotonic() + PATIENCE_S
            while sum(e['records'] for e in unit.entries() if e['kind'] == 'withdrawal') < len(ids):
                assert time.monotonic() < deadline, unit.log()
                time.sleep(0.05)
            assert sum(e['records'] for e in unit.entries() if e['kind'] == 'withdrawal') == len(ids)
        assert destroyed(unit) == n_chunks
    print(f'{unfinished} of {runs} withdrawals were unfinished when the daemon died')
    assert unfinished
