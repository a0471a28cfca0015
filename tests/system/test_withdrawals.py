# labels: quick once
"""Records taken back: erased with their keys, for good, in the middle of crashes too, and the log proves that it happened."""
import json
import shutil
import threading
import time

import pytest

from harness import PATIENCE_S, Unit, make_registers, read_csv, write_csv

LOG_DOES_NOT_FIT = 76
SLOT_LEN, DESTROYED = 64, 2


@pytest.fixture(scope='module')
def registers(tmp_path_factory):
    return make_registers(tmp_path_factory.mktemp('registers'), 700, 3)


def slots(unit):
    """The states of all chunk keys."""
    data = (unit.keys / 'daemon/store/salts').read_bytes()
    return [data[at] for at in range(SLOT_LEN, len(data), SLOT_LEN)]


def numbers(registers, source):
    return [row['record_id'] for row in read_csv(registers / f'{source}.csv')]


def withdraw(unit, source, ids, check=True, options=()):
    path = unit.folder / 'ids.txt'
    path.write_text(''.join(f'{i}\n' for i in ids))
    return unit.as_(source, 'push', '--withdraw', path, '--record-key', unit.keys / source / 'record.key', *options,
                    check=check)


def erased(unit):
    return sum(e['records'] for e in unit.entries() if e['kind'] == 'withdrawal')


def resealed(unit):
    return sum(e['chunks'] for e in unit.entries() if e['kind'] == 'withdrawal')


def wait_compared(unit):
    deadline = time.monotonic() + PATIENCE_S
    while unit.status()['comparing']['pending_records']:
        assert time.monotonic() < deadline, unit.status()
        time.sleep(0.05)


def test_from_register_to_log(tmp_path, registers):
    """With the tools: what is withdrawn is gone, cannot come again, and an auditor sees that and how many."""
    unit = Unit(tmp_path / 'unit')
    with unit:
        unit.push_registers(registers)
        ids = numbers(registers, 'prison')
        done = withdraw(unit, 'prison', ids[10:60] + [ids[10], 'never-sent'])
        assert done.stdout == '52 record numbers withdrawn: 50 stored records erased\n'
        assert '0 stored records erased' in withdraw(unit, 'prison', ids[10:60]).stdout
        entries = [e for e in unit.entries() if e['kind'] == 'withdrawal']
        assert [(e['source'], e['ids'], e['records']) for e in entries] == [('prison', 51, 50), ('prison', 50, 0)]
        assert not any(i in json.dumps(entries) for i in ids[10:60])
        report = unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey', '--tiles').stdout
        assert 'erased' in report and 'audit log verified' in report

        # The whole register again, as of next year: refused with the record's place; without the withdrawn it goes through.
        rows = read_csv(registers / 'prison.csv')
        for row in rows:
            row['revision'] = '1'
        write_csv(tmp_path / 'again.csv', rows)
        unit.encode('prison', tmp_path / 'again.csv', tmp_path / 'again.batch')
        refused = unit.push('prison', tmp_path / 'again.batch', check=False)
        assert refused.returncode == 65 and 'was withdrawn; leave it out' in refused.stderr, refused.stderr
        write_csv(tmp_path / 'rest.csv', [row for row in rows if row['record_id'] not in ids[10:60]])
        unit.encode('prison', tmp_path / 'rest.csv', tmp_path / 'rest.batch')
        unit.push('prison', tmp_path / 'rest.batch')
        unit.publish()
        sent = len(ids) + len(numbers(registers, 'treatment'))
        assert json.loads(unit.release_body())['facts']['records'] == sent - 50
        unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey', '--study', unit.study)

        # Nobody else may, and the command says what it needs.
        for who in ('auditor', 'analyst', 'operator'):
            code, _, _ = unit.request(who, 'POST', '/v1/withdrawals', '{}', {'Content-Type': 'application/json'})
            assert code == 403
        assert unit.as_('prison', 'push', '--withdraw', tmp_path / 'x', check=False).returncode == 64
        assert unit.as_('prison', 'push', check=False).returncode == 64
    assert DESTROYED in slots(unit)


def test_kill_during_withdrawals(tmp_path, registers):
    """After any kill -9, sent again, exactly the records asked for are gone, each counted once in the log, and no key of a
    replaced chunk is left."""
    unit = Unit(tmp_path / 'unit')
    with unit:
        for source in ('prison', 'treatment'):
            batch = unit.folder / f'{source}.batch'
            unit.encode(source, registers / f'{source}.csv', batch, '--batch-records', 5)
            unit.push(source, batch)
        ids = numbers(registers, 'treatment')[::7]
        delay_s = 0.03
        for _ in range(6):
            worker = threading.Thread(target=withdraw, args=(unit, 'treatment', ids, False, ('--tries', '1')))
            worker.start()
            time.sleep(delay_s)
            unit.kill()
            worker.join()
            unit.start()
            if erased(unit) == 0:
                delay_s *= 2
            deadline = time.monotonic() + PATIENCE_S        # what the crash interrupted is being finished meanwhile
            while slots(unit).count(DESTROYED) != resealed(unit):
                assert time.monotonic() < deadline, 'a start destroys what the crash left'
                time.sleep(0.02)
        withdraw(unit, 'treatment', ids)
        assert erased(unit) == len(ids)
        assert slots(unit).count(DESTROYED) == resealed(unit) > 0
        wait_compared(unit)
        unit.publish()
        total = sum(len(numbers(registers, source)) for source in ('prison', 'treatment'))
        assert json.loads(unit.release_body())['facts']['records'] == total - len(ids)
        unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey', '--tiles')


def test_old_backup(tmp_path, registers):
    """A backup from before a withdrawal is not taken up, whole or in part: it would bring the records back."""
    unit = Unit(tmp_path / 'unit')
    with unit:
        unit.push_registers(registers)
    store, backup = unit.keys / 'daemon/store', tmp_path / 'backup'
    shutil.copytree(store, backup)
    with unit:
        withdraw(unit, 'prison', numbers(registers, 'prison')[:20])
    current = tmp_path / 'current'
    shutil.copytree(store, current)
    for kept in ((), ('salts', 'secrets')):
        shutil.rmtree(store)
        shutil.copytree(backup, store)
        for name in kept:
            shutil.copy(current / name, store / name)
        unit.start(ready=False)
        assert unit.daemon.wait(PATIENCE_S) == LOG_DOES_NOT_FIT, unit.log()
        assert 'older copy' in unit.log()
    shutil.rmtree(store)
    shutil.copytree(current, store)
    with unit:
        unit.publish()
        total = sum(len(numbers(registers, source)) for source in ('prison', 'treatment'))
        assert json.loads(unit.release_body())['facts']['records'] == total - 20
