# labels: quick once
"""Backups of a running unit: made while batches come in, sealed, checked by restoring them, logged, the newest kept."""
import json
import threading

import pytest

from harness import Unit, batches_of, make_registers, problem


@pytest.fixture(scope='module')
def registers(tmp_path_factory):
    return make_registers(tmp_path_factory.mktemp('registers'), 300, 5)


def backups_in(unit):
    return sorted((unit.keys / 'daemon' / 'backups').glob('*.backup'))


def ask(unit, who='operator', body='{}'):
    return unit.request(who, 'POST', '/v1/backups', body, {'Content-Type': 'application/json'})


def test_backup_while_batches_come(tmp_path, registers):
    unit = Unit(tmp_path / 'unit', backup_directory='backups', backup_keep=2)
    pieces = []
    for source in ('prison', 'treatment'):
        out = unit.folder / f'{source}.batch'
        unit.encode(source, registers / f'{source}.csv', out, '--batch-records', 10)
        pieces += [(source, piece) for piece in batches_of(out)]
    with unit:
        codes = []
        pusher = threading.Thread(target=lambda: codes.extend(unit.post_batch(*key)[0] for key in pieces))
        pusher.start()
        said = [unit.as_('operator', 'admin', 'backup').stdout for _ in range(4)]
        pusher.join()
        assert set(codes) == {201} and len(codes) == len(pieces)
        assert all('checked by restoring it' in line for line in said)
        logged = [e for e in unit.entries() if e['kind'] == 'backup']
        assert len(logged) == 4 and all(e['who']['role'] == 'operator' for e in logged)
        assert [e['entries'] for e in logged] == sorted(e['entries'] for e in logged)
        names = [line.split()[1] for line in said]
        assert names == sorted(names)               # also those of one second
        # The newest are kept, nothing half made and nothing of the check is left, and only the service may read them.
        kept = backups_in(unit)
        assert len(kept) == 2 and said[-1].split()[1] == kept[-1].name
        assert [p for p in kept[0].parent.iterdir() if p not in kept] == [kept[0].parent / 'restored-for-checking']
        assert not list((kept[0].parent / 'restored-for-checking').iterdir())
        assert all(p.stat().st_mode & 0o077 == 0 for p in kept)
        for path in kept:                           # not even the sources' names stand in it
            assert b'prison' not in path.read_bytes() and b'treatment' not in path.read_bytes()
        status = unit.status()['backup']
        assert (status['state'], status['name']) == ('done', kept[-1].name) and status['last'] == logged[-1]['t']
        metrics = unit.request('operator', 'GET', '/metrics')[2].decode()
        assert 'throughcare_backup_failed 0\n' in metrics and 'throughcare_backup_timestamp_seconds 0\n' not in metrics
        verified = unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey').stdout
        assert 'backup                    4' in verified


def test_what_is_refused(tmp_path):
    with Unit(tmp_path / 'unit') as unit:
        code, _, body = ask(unit)
        assert (code, problem(body)[1]) == (409, "the daemon's configuration has no backup_directory")
        assert ask(unit, 'analyst')[0] == ask(unit, 'auditor')[0] == 403
        unit.configure(backup_directory='backups')
        unit.restart()
        assert ask(unit, body='{"to": "/tmp"}')[0] == 400
        # A folder that cannot be written to: the backup fails and says so, and the daemon goes on.
        unit.stop()
        folder = unit.keys / 'daemon' / 'backups'
        (folder / 'restored-for-checking' / 'data.mdb').mkdir()
        unit.start()
        done = unit.as_('operator', 'admin', 'backup', check=False)
        assert done.returncode == 74 and 'failed' in done.stderr, done
        assert not backups_in(unit) and not [e for e in unit.entries() if e['kind'] == 'backup']
        assert json.loads(unit.request('operator', 'GET', '/v1/status')[2])['backup']['state'] == 'failed'


def test_a_damaged_store_makes_no_backup(tmp_path, registers):
    """What cannot be read is found by the check, named, and the last good backup stays."""
    unit = Unit(tmp_path / 'unit', backup_directory='backups', backup_keep=1)
    with unit:
        unit.push_registers(registers)
        unit.as_('operator', 'admin', 'backup')
        good = backups_in(unit)
        unit.stop()
        salts = unit.keys / 'daemon' / 'store' / 'salts'
        data = bytearray(salts.read_bytes())
        data[64 + 30] ^= 1                          # in the key of the first chunk
        unit.start()
        salts.write_bytes(data)
        done = unit.as_('operator', 'admin', 'backup', check=False)
        assert done.returncode == 74 and 'records of batch 0, chunk 0' in done.stderr, done
        assert backups_in(unit) == good


def test_what_is_not_ours_stays(tmp_path):
    """Only names of backups' own form are removed, never the one just written, and what a kill left half made."""
    unit = Unit(tmp_path / 'unit', backup_directory='backups', backup_keep=1)
    with unit:
        folder = unit.keys / 'daemon' / 'backups'
        unit.as_('operator', 'admin', 'backup')
        first = backups_in(unit)
        unit.kill()
        foreign = [folder / name for name in ('z.backup', '0.backup', '.backup', '20000101T000000Z.backup', 'a.backup.new',
                                              '20000101T000000Z-x.backup', '20000101T000000Z-5.backup.new.new',
                                              'x20000101T000000Z-5.backup')]
        later = folder / '99991231T235959Z-7.backup'        # of a clock that was wrong
        left = folder / '20000101T000000Z-5.backup.new'
        for path in [*foreign, later, left]:
            path.write_text('x')
        unit.start()
        assert not left.exists() and later.exists() and all(path.exists() for path in [*foreign, *first])
        unit.as_('operator', 'admin', 'backup')
        written = folder / unit.status()['backup']['name']
        assert written.exists() and later.exists() and all(path.exists() for path in foreign)
        assert not first[0].exists() or first[0] == written
