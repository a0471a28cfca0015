"""Rotation of keys while the daemon serves: no request fails, the log says so, and the old key opens nothing after."""
import base64
import json
import os
import shutil
import subprocess
import threading
import time

import pytest

from harness import PATIENCE_S, THROUGHCARED, Unit, batches_of, make_registers, tool
from test_entry_schema import judge

JSON = {'Content-Type': 'application/json'}


class Load:
    """Clients that go on asking until they are stopped; every answer must be one that a request of its kind deserves."""

    def __init__(self, unit, pieces):
        self.unit, self.pieces, self.stop = unit, pieces, threading.Event()
        self.wrong, self.receipts, self.answers = [], {}, 0
        self.threads = [threading.Thread(target=target) for target in (self.push, self.read, self.look)]

    def take(self, want, answer):
        code, _, body = answer
        self.answers += 1
        if code not in want:
            self.wrong.append((code, body))
        return body

    def guard(self, work):
        try:
            while not self.stop.is_set() and not self.wrong:
                work()
        except Exception as e:                              # a broken connection is a failed request too
            self.wrong.append(e)

    def push(self):
        left = iter(self.pieces * 1000)

        def one():
            source, data = next(left)
            receipt = self.take((200, 201), self.unit.post_batch(source, data))
            if self.receipts.setdefault((source, data), receipt) != receipt:
                self.wrong.append('another receipt')
        self.guard(one)

    def read(self):
        def one():
            self.take((200,), self.unit.request('analyst', 'GET', '/v1/tables'))
            self.take((200,), self.unit.request('auditor', 'GET', '/audit/checkpoint'))
        self.guard(one)

    def look(self):
        self.guard(lambda: self.take((200,), self.unit.request('operator', 'GET', '/v1/status')))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        assert not self.wrong, self.wrong[0]


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('rotation')
    registers = make_registers(folder / 'registers', 200, 3)
    unit = Unit(folder / 'unit', store_map_bytes='256M')
    pieces = []
    for source in ('prison', 'treatment'):
        out = unit.folder / f'{source}.batch'
        unit.encode(source, registers / f'{source}.csv', out, '--batch-records', 10)
        pieces += [(source, piece) for piece in batches_of(out)]
    return unit, pieces


def test_sealing_key_under_load(world):
    unit, pieces = world
    seal = unit.keys / 'daemon' / 'seal.key'
    with unit:
        with Load(unit, pieces) as load:
            while len(load.receipts) < 10 and not load.wrong:
                time.sleep(0.01)
            for n in (1, 2, 3):
                new = unit.folder / f'new-{n}.key'
                tool('keys', 'rotate', '--seal', seal, '-o', new)
                done = unit.as_('operator', 'admin', 'rotate', f'{new}.handover')
                assert 'sealed under the new key' in done.stdout
                shutil.copy2(seal, unit.folder / f'old-{n}.key')
                os.replace(new, seal)
            asked = load.answers
            while load.answers < asked + 30 and not load.wrong:
                time.sleep(0.01)
        entries = [e for e in unit.entries() if e['kind'] == 'key_rotated']
        assert not any(judge(e) for e in entries), entries
        assert [(e['key'], e['state']) for e in entries] == [('seal', 'started'), ('seal', 'done')] * 3
        for a, b in zip(entries[::2], entries[1::2]):
            assert (a['old'], a['new']) == (b['old'], b['new']) and a['old'] != a['new']
            assert a['who']['role'] == 'operator' and 'who' not in b
        assert entries[5]['new'] == unit.status()['sealing']['key']
        receipts = load.receipts
    with unit:                                              # the key that took the place of the old one
        for (source, data), receipt in receipts.items():
            assert unit.post_batch(source, data)[::2] == (200, receipt)
    current = seal.read_text()
    for n in (1, 2, 3):                                     # none of the old ones
        seal.write_text((unit.folder / f'old-{n}.key').read_text())
        done = subprocess.run([THROUGHCARED, '-c', unit.conf_path, '--check'], capture_output=True, text=True,
                              timeout=PATIENCE_S)
        assert done.returncode == 78 and 'another sealing key' in done.stderr, done
    seal.write_text(current)


def test_handovers_that_are_refused(world, tmp_path):
    unit, _ = world
    other = tmp_path / 'other.key'
    tool('keys', 'seal', other)
    tool('keys', 'rotate', '--seal', other, '-o', tmp_path / 'foreign.key')
    foreign = (tmp_path / 'foreign.key.handover').read_text().strip()
    assert 'not overwritten' in tool('keys', 'rotate', '--seal', other, '-o', tmp_path / 'foreign.key', check=False).stderr
    with unit:
        before = unit.status()['sealing']
        for who, body, want in (('operator', {'handover': foreign}, 400), ('operator', {'handover': foreign[:-2]}, 400),
                                ('operator', {'handover': foreign, 'x': 1}, 400), ('operator', {}, 400),
                                ('analyst', {'handover': foreign}, 403), ('auditor', {'handover': foreign}, 403)):
            code, _, answer = unit.request(who, 'POST', '/v1/keys', json.dumps(body), JSON)
            assert code == want, answer
            assert foreign[40:60].encode() not in answer
        done = unit.as_('operator', 'admin', 'rotate', tmp_path / 'foreign.key.handover', check=False)
        assert done.returncode == 65 and 'not made with the sealing key' in done.stderr
        assert unit.status()['sealing'] == before


def test_log_key_under_load(world, tmp_path):
    unit, pieces = world
    log_key, first_vkey = unit.keys / 'daemon' / 'log.key', unit.keys / 'log.vkey'
    origin = first_vkey.read_text().split('+')[0]
    state, receipts, vkeys = tmp_path / 'auditor.state', tmp_path / 'receipts', [first_vkey]
    tool('keys', 'witness', tmp_path / 'w.key', '--name', 'witness.example/w', '--vkey', tmp_path / 'w.vkey')
    unit.configure(witnesses=tmp_path / 'w.vkey')

    def verify(vkey=first_vkey, check=True, extra=()):
        return unit.as_('auditor', 'audit', 'verify', '--vkey', vkey, '--state', state, *extra, check=check)

    def witness(vkey=first_vkey):
        return unit.as_('auditor', 'audit', 'witness', '--vkey', vkey, '--witness-key', tmp_path / 'w.key', '--name',
                        'witness.example/w', '--state', tmp_path / 'w.state')

    def signed_by():
        """How many of the keys have signed the checkpoint: by key hash, as C2SP signed notes name them."""
        note = unit.request('auditor', 'GET', '/audit/checkpoint')[2].decode()
        hashes = [base64.b64decode(line.split(' ')[2])[:4].hex() for line in note.split('\n\n')[1].splitlines()]
        return [vkey.read_text().split('+')[1] in hashes for vkey in vkeys]

    receipts.mkdir()
    for n in (2, 3):
        with unit:
            verify()
            witness()
            with Load(unit, pieces) as load:
                asked = load.answers
                new = tmp_path / f'log-{n}.key'
                tool('keys', 'rotate', '--log', log_key, '-o', new)
                done = unit.as_('operator', 'admin', 'rotate', f'{new}.handover')
                assert 'signed by both keys' in done.stdout
                while load.answers < asked + 30 and not load.wrong:
                    time.sleep(0.01)
            vkey = tmp_path / f'log-{n}.vkey'
            vkey.write_text(tool('keys', 'log', new, '--origin', origin, '--show').stdout)
            vkeys.append(vkey)
            assert signed_by() == [False] * (n - 2) + [True, True]
            done = verify()
            assert f'{n} have signed it' in done.stdout and vkey.read_text().strip() in done.stdout
            witness()
            verify(extra=('--witness', tmp_path / 'w.vkey'))
            again = unit.as_('operator', 'admin', 'rotate', f'{new}.handover', check=False)
            assert again.returncode == 65
            unit.encode('prison', unit.folder.parent / 'registers/prison.csv', tmp_path / f'{n}.batch', '--batch-records', 50 + n)
            unit.as_('prison', 'push', '--receipts', receipts / str(n), '--log-key', vkey, tmp_path / f'{n}.batch')
        with unit:                                          # crash or restart before the swap: both go on
            assert signed_by() == [False] * (n - 2) + [True, True]
        os.replace(new, log_key)
        with unit:
            assert signed_by() == [False] * (n - 1) + [True]
            witness()
            for known in vkeys:                             # whoever knows any of the keys finds the present one
                verify(known, extra=('--witness', tmp_path / 'w.vkey'))
            files = sorted(receipts.glob('*/*.receipt'))    # under each of the keys so far
            verify(extra=[x for path in files for x in ('--receipt', path)])
            tool('audit', 'proof', *sorted((receipts / str(n)).glob('*.receipt')), '--vkey', vkey)
            entry = [e for e in unit.entries() if e['kind'] == 'key_rotated' and e['key'] == 'log'][-1]
            assert not judge(entry), entry
            assert entry['who']['role'] == 'operator'
            assert (entry['old'], entry['new']) == tuple(v.read_text().strip() for v in vkeys[-2:])
            assert unit.request('prison', 'GET', '/audit/keys')[0] == 200
            assert unit.request('analyst', 'GET', '/audit/keys')[0] == 403
    tool('keys', 'log', tmp_path / 'foreign.key', '--origin', origin, '--vkey', tmp_path / 'foreign.vkey')
    with unit:
        assert 'signed by this log' in verify(tmp_path / 'foreign.vkey', check=False).stderr
