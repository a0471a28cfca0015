"""A unit whose key set, records and release are known, and the checker of what it must never forget.

The rules, whatever happened to the daemon in between: a batch with a receipt is there once and its receipt is the same
byte for byte; the log extends what anybody saw of it; a release that was asked for has one number, one charge and one
body, which is the one of a run that nothing disturbed.
"""
import contextlib
import http.client
import json
import os
import pathlib
import random
import secrets
import shutil
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'system'))

from harness import PATIENCE_S, Unit, batches_of, make_registers  # noqa: E402

AS_OF = '2026-01-31'
BATCH_RECORDS = 25
N_PUSHERS = 3


class World:
    """Key set, batches and the release of an undisturbed run."""

    def __init__(self, folder, persons=250, least_pieces=20, **unit):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        registers = make_registers(self.folder / 'registers', persons, 11)
        secret = self.folder / 'release.secret'
        secret.write_text(f'throughcare-release-v1:{secrets.token_hex(32)}\n')
        secret.chmod(0o600)
        self.unit = Unit(self.folder / 'unit', test_release_secret=secret, store_map_bytes='256M', **unit)
        self.pieces = []
        for source in ('prison', 'treatment'):
            out = self.unit.folder / f'{source}.batch'
            self.unit.encode(source, registers / f'{source}.csv', out, '--batch-records', BATCH_RECORDS)
            self.pieces += [(source, piece) for piece in batches_of(out)]
        assert len(self.pieces) >= least_pieces
        self.data = self.unit.keys / 'daemon'
        with self.unit:                                     # a store that was made, started and stopped
            pass
        self.pristine = self.folder / 'pristine'
        shutil.copytree(self.data, self.pristine)
        with self.unit:
            for key in self.pieces:
                assert self.unit.post_batch(*key)[0] == 201
            ask_for_release(self.unit)
            wait_for_release(self.unit)
            self.body = self.unit.release_body()
        assert b'"tables"' in self.body

    def put(self, image):
        """Put files of the store and the signer in place of those that are there."""
        shutil.rmtree(self.data)
        shutil.copytree(image, self.data)


def ask_for_release(unit):
    code, _, body = unit.request('operator', 'POST', '/v1/releases', json.dumps({'as_of': AS_OF}),
                                 {'Content-Type': 'application/json'})
    return code, json.loads(body)


class AssertLimit(AssertionError):
    """A release failed, or did not end in time."""


def wait_for_release(unit, limit_s=PATIENCE_S):
    deadline = time.monotonic() + limit_s
    while (state := unit.status()['release'])['state'] != 'done':
        if state['state'] == 'failed' or time.monotonic() > deadline:
            raise AssertLimit(state)
        time.sleep(0.02)


def wait_for_port(unit):
    """False when the daemon has ended before it was ready."""
    port = unit.folder / 'port'
    deadline = time.monotonic() + PATIENCE_S
    while unit.daemon.poll() is None:
        if port.exists() and (text := port.read_text().strip()):
            unit.port = int(text)
            return True
        assert time.monotonic() < deadline, unit.log()
        time.sleep(0.005)
    return False


class Line:
    """One connection a client, kept open."""

    def __init__(self, unit):
        self.unit, self.connections = unit, {}

    def post_batch(self, who, data):
        if who not in self.connections:
            self.connections[who] = http.client.HTTPConnection('localhost', self.unit.port)
            self.connections[who].sock = self.unit.tls(who)
        self.connections[who].request('POST', '/v1/batches', data, {'Content-Type': 'application/x-protobuf'})
        response = self.connections[who].getresponse()
        return response.status, response.read()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for connection in self.connections.values():
            connection.close()


class Pushers:
    """Threads that push what has no receipt yet until the daemon is gone; then, when all have one, ask for the release."""

    def __init__(self, world, history, rng):
        self.world, self.history, self.threads = world, history, []
        todo = [key for key in world.pieces if key not in history.receipts]
        rng.shuffle(todo)
        todo += rng.sample(world.pieces, 2)                 # some that are known are pushed again
        for i in range(N_PUSHERS):
            thread = threading.Thread(target=self.push, args=(todo[i::N_PUSHERS],))
            thread.start()
            self.threads.append(thread)

    def push(self, pieces):
        unit = self.world.unit
        with contextlib.suppress(OSError, http.client.HTTPException):   # the daemon has gone
            for key in pieces:
                code, _, body = unit.post_batch(*key)
                self.history.answered(key, code, body)
            if len(self.history.receipts) == len(self.world.pieces):
                code, body = ask_for_release(unit)
                self.history.asked(code, body)

    def join(self):
        for thread in self.threads:
            thread.join()


class History:
    """What clients were told, and when."""

    def __init__(self, may_fail=False):
        """`may_fail`: an answer that blames the server (5xx) is no fault of the daemon here."""
        self.receipts, self.times, self.wrong = {}, {}, []
        self.may_fail, self.failed = may_fail, []
        self.release_asked = None
        self.size = 0
        self.lock = threading.Lock()

    def answered(self, key, code, body):
        now = time.time()
        with self.lock:
            if code >= 500 and self.may_fail:
                self.failed.append((key, code, body))
                return
            if code not in (200, 201):
                self.wrong.append((code, body))
            elif self.receipts.setdefault(key, body) != body:
                self.wrong.append(('another receipt', body))
            self.times.setdefault(key, now)

    def asked(self, code, body):
        now = time.time()
        with self.lock:
            # 409 and 429: it was asked for already, by another thread or before a kill.
            if code == 202 and self.release_asked is None:
                self.release_asked = now
            elif code >= 500 and self.may_fail:
                self.failed.append((None, code, body))
            elif code not in (202, 409, 429):
                self.wrong.append((code, body))

    def check(self, unit, until=None):
        """Everything acknowledged (before `until`) is there, once."""
        assert not self.wrong, self.wrong[0]
        known = [key for key, at in self.times.items() if until is None or at <= until]
        code, _, note = unit.request('auditor', 'GET', '/audit/checkpoint')
        assert code == 200, note
        entries = [e for e in unit.entries() if e['kind'] == 'batch']
        assert len({(e['source'], e['batch']) for e in entries}) == len(entries), 'a batch is there twice'
        with Line(unit) as line:
            for key in known:
                assert line.post_batch(*key) == (200, self.receipts[key]), 'an acknowledged batch is lost'
        stored = {e['batch'] for e in entries}
        assert {json.loads(self.receipts[key])['batch'] for key in known} <= stored
        status = unit.status()
        assert status['batches'] == len(entries) and status['records'] == sum(e['records'] for e in entries)
        if self.release_asked is not None and (until is None or self.release_asked <= until):
            assert [e for e in unit.entries() if e['kind'] == 'release_started'], 'an accepted release is lost'
        return len(known)


def finish(world):
    """Push the rest, publish, and compare with the run that nothing disturbed."""
    unit = world.unit
    with Line(unit) as line:
        for key in world.pieces:
            code, body = line.post_batch(*key)
            assert code in (200, 201), body
    if not [e for e in unit.entries() if e['kind'] == 'release_started']:
        code, body = ask_for_release(unit)
        assert code == 202, body
    wait_for_release(unit)
    entries = unit.entries()
    started = [e for e in entries if e['kind'] == 'release_started']
    assert len(started) == len([e for e in entries if e['kind'] == 'release']) == 1
    assert unit.status()['ledger']['rho_total_micro'] == started[0]['rho_micro'], 'charged once'
    assert len([e for e in entries if e['kind'] == 'batch']) == len(world.pieces)
    assert unit.release_body() == world.body, 'another release than that of an undisturbed run'


def kill_hard(unit):
    """kill -9 of whatever there is of the daemon, also in the middle of its start."""
    pids = [unit.daemon.pid]
    with contextlib.suppress(OSError):
        pids = unit.processes()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    unit.daemon.wait(PATIENCE_S)
    unit.daemon = None


def crash_epoch(world, rng, max_kills):
    """From an empty store to a checked release, with kills at random moments. Returns how many."""
    world.put(world.pristine)
    history, unit, kills, done = History(), world.unit, 0, False
    while kills < max_kills and not done:
        unit.start(ready=False)
        pushers = None
        # Every other time counted from when it is ready, which a busy machine may put off beyond any moment chosen here.
        if kills % 2 and wait_for_port(unit):
            pushers = Pushers(world, history, rng)
        at = time.monotonic() + rng.uniform(0.02, 0.45)
        while time.monotonic() < at:
            if pushers is None and (unit.folder / 'port').exists() and wait_for_port(unit):
                pushers = Pushers(world, history, rng)
            time.sleep(0.005)
        assert unit.daemon.poll() is None, unit.log()
        kill_hard(unit)
        kills += 1
        if pushers is not None:
            pushers.join()
        assert not history.wrong, history.wrong[0]
        done = history.release_asked is not None and rng.random() < 0.25
    unit.start()
    history.check(unit)
    finish(world)
    assert unit.stop() == 0, unit.log()
    return kills, len(history.receipts)


def crash_until(world, seed, n_kills, per_epoch=25):
    """At least `n_kills`; returns (kills, batches acknowledged between them, epochs)."""
    rng, kills, acknowledged, epochs = random.Random(seed), 0, 0, 0
    while kills < n_kills:
        more, receipts = crash_epoch(world, rng, min(per_epoch, n_kills - kills))
        kills, acknowledged, epochs = kills + more, acknowledged + receipts, epochs + 1
    return kills, acknowledged, epochs
