# labels: quick once
"""What was acknowledged survives kill -9: every batch with a receipt is there after a start, its receipt is byte for byte the
same, the log extends what anybody saw before, and nothing is half there."""
import json
import random
import threading
import time

import pytest

from harness import PATIENCE_S, Unit, batches_of, make_registers, wait_for

BATCH_RECORDS = 25


@pytest.fixture(scope='module')
def registers(tmp_path_factory):
    return make_registers(tmp_path_factory.mktemp('registers'), 700, 3)


def pieces_of(unit, registers):
    out = []
    for source in ('prison', 'treatment'):
        path = unit.folder / f'{source}.batch'
        unit.encode(source, registers / f'{source}.csv', path, '--batch-records', BATCH_RECORDS)
        out += [(source, piece) for piece in batches_of(path)]
    random.Random(1).shuffle(out)
    return out


class Pusher(threading.Thread):
    """Pushes its pieces one after the other until the daemon is gone; keeps what was acknowledged."""

    def __init__(self, unit, pieces):
        super().__init__()
        self.unit, self.pieces, self.receipts, self.refused = unit, pieces, {}, []

    def run(self):
        for key in self.pieces:
            try:
                code, _, body = self.unit.post_batch(*key)
            except OSError:
                return
            except Exception:                       # the connection ended in the middle of an answer
                return
            if code in (200, 201):
                self.receipts[key] = body
            else:
                self.refused.append((code, body))


def push_and_kill(unit, pieces, delay_s, least=0, n_threads=4):
    """Kill after so long, and not before so many batches were acknowledged."""
    pushers = [Pusher(unit, pieces[i::n_threads]) for i in range(n_threads)]
    for pusher in pushers:
        pusher.start()
    time.sleep(delay_s)
    wait_for(lambda: sum(len(pusher.receipts) for pusher in pushers) >= least, unit.log)
    unit.kill()
    for pusher in pushers:
        pusher.join()
    receipts = {}
    for pusher in pushers:
        assert not pusher.refused, pusher.refused[0]
        receipts.update(pusher.receipts)
    return receipts


def checkpoint(unit):
    code, _, note = unit.request('auditor', 'GET', '/audit/checkpoint')
    assert code == 200, note
    return int(note.split(b'\n')[1])


def test_kill_during_pushes(tmp_path, registers):
    unit = Unit(tmp_path / 'unit')
    pieces = pieces_of(unit, registers)
    assert len(pieces) > 60
    known, size = {}, 0
    with unit:
        for round_ in range(4):
            new = push_and_kill(unit, pieces, 0.15 + 0.15 * round_, least=round_ == 3)
            for key, receipt in new.items():        # a batch that is pushed again has one receipt for ever
                assert known.setdefault(key, receipt) == receipt
            unit.start()
            assert checkpoint(unit) >= size, 'the log never shrinks'
            size = checkpoint(unit)
            for key, receipt in known.items():
                assert unit.post_batch(*key)[::2] == (200, receipt)
        assert known, 'control: something was acknowledged'
        for key in pieces:
            code, _, body = unit.post_batch(*key)
            assert code in (200, 201)
            assert known.setdefault(key, body) == body

        # Each batch stands in the log once, and volumes are what was pushed: nothing half stored, nothing twice.
        entries = [e for e in unit.entries() if e['kind'] == 'batch']
        assert len(entries) == len(known)
        assert len({(e['source'], e['batch']) for e in entries}) == len(entries)
        for receipt in map(json.loads, known.values()):
            assert json.loads(receipt['entry'])['batch'] == receipt['batch']
        status = unit.status()
        assert status['batches'] == len(entries) and status['records'] == sum(e['records'] for e in entries)


def test_kill_during_a_release(tmp_path, registers):
    """A release that was started is finished by the next start: its own cut, one number, one charge."""
    unit = Unit(tmp_path / 'unit')
    with unit:
        for key in pieces_of(unit, registers):
            assert unit.post_batch(*key)[0] == 201
        code, _, body = unit.request('operator', 'POST', '/v1/releases', '{}', {'Content-Type': 'application/json'})
        assert (code, json.loads(body)['release']) == (202, 1)
        unit.kill()
        unit.start()
        deadline = time.monotonic() + PATIENCE_S
        while [(release := unit.status()['release'])[k] for k in ('number', 'state', 'error')] != [1, 'done', None]:
            assert time.monotonic() < deadline, release
            time.sleep(0.05)
        started = [e for e in unit.entries() if e['kind'] == 'release_started']
        finished = [e for e in unit.entries() if e['kind'] == 'release']
        assert len(started) == len(finished) == 1
        assert unit.status()['ledger']['rho_total_micro'] == started[0]['rho_total_micro'] == started[0]['rho_micro']
        body = unit.release_body()
        unit.restart()
        assert unit.release_body() == body
        assert json.loads(body)['facts']['records'] == started[0]['cut']['records']


def test_a_copy_from_yesterday_is_refused(tmp_path, registers):
    """A store put back from a backup would fork the log and refund the ledger: the daemon says so and does not start."""
    import shutil
    unit = Unit(tmp_path / 'unit')
    pieces = pieces_of(unit, registers)[:6]
    with unit:
        for key in pieces[:3]:
            assert unit.post_batch(*key)[0] == 201
        unit.stop()
        shutil.copytree(unit.keys / 'daemon' / 'store', tmp_path / 'yesterday')
        unit.start()
        for key in pieces[3:]:
            assert unit.post_batch(*key)[0] == 201
        unit.stop()
        shutil.move(unit.keys / 'daemon' / 'store', tmp_path / 'today')
        shutil.copytree(tmp_path / 'yesterday', unit.keys / 'daemon' / 'store')
        unit.start(ready=False)
        assert unit.daemon.wait(PATIENCE_S) == 76, unit.log()
        assert 'older copy' in unit.log()
        unit.daemon = None
        shutil.rmtree(unit.keys / 'daemon' / 'store')
        shutil.move(tmp_path / 'today', unit.keys / 'daemon' / 'store')
        unit.start()
        assert unit.status()['batches'] == 6


def test_second_daemon_on_one_store(tmp_path):
    with Unit(tmp_path / 'unit') as unit:
        first = unit.daemon
        unit.start(ready=False)
        assert unit.daemon.wait(PATIENCE_S) != 0
        assert 'another process' in unit.log()
        unit.daemon = first
        unit.port = int((unit.folder / 'port').read_text()) if (unit.folder / 'port').exists() else unit.port
        assert first.poll() is None
