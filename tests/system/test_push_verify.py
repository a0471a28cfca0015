"""`throughcare push --verify`: a custodian's kept receipts against the log as it is now."""
import base64
import json
import shutil

import pytest

from harness import STUDY, Unit, make_registers, read_csv, tool, write_csv
from log_server import Log, Server
from test_audit import add_batch

import tlog

FORKED = 76


@pytest.fixture(scope='module')
def unit(tmp_path_factory):
    folder = tmp_path_factory.mktemp('receipts')
    with Unit(folder / 'unit') as u:
        rows = read_csv(make_registers(folder / 'registers', 120) / 'prison.csv')
        u.parts = []
        for i in range(3):
            write_csv(folder / f'{i}.csv', rows[i::3])
            u.encode('prison', folder / f'{i}.csv', folder / f'{i}.batch')
            u.parts.append(folder / f'{i}.batch')
        yield u


def verify(unit, receipts, check=True):
    return unit.as_('prison', 'push', '--verify', '--receipts', receipts, '--log-key', unit.keys / 'log.vkey', check=check)


def test_receipts_of_a_growing_log(unit, tmp_path):
    kept = tmp_path / 'receipts'
    nothing = verify(unit, kept, check=False)
    assert nothing.returncode == 66 and 'No such file' in nothing.stderr
    unit.push('prison', *unit.parts[:2], options=['--receipts', kept])
    first = verify(unit, kept).stdout
    assert first.startswith('2 receipts of ') and 'seen before' not in first
    unit.push('prison', unit.parts[2], options=['--receipts', kept])
    unit.request('analyst', 'GET', '/v1/status')              # a denial is an entry
    again = verify(unit, kept).stdout
    assert again.startswith('3 receipts of ') and ', which extends the ' in again
    assert (kept / 'log.checkpoint').read_text().startswith('localhost/two-registers\n')
    wrong = unit.as_('prison', 'push', '--verify', '--receipts', kept, check=False)
    assert wrong.returncode == 64 and '--verify takes' in wrong.stderr


def test_consistency_route(unit):
    """What an independent implementation makes of the proofs; what is not there is not found."""
    code, _, note = unit.request('prison', 'GET', '/audit/checkpoint')
    size = int(note.split(b'\n')[1])
    leaves = [tlog.leaf_hash(json.dumps(e, sort_keys=True, separators=(',', ':'), ensure_ascii=False).encode())
              for e in unit.entries()][:size]
    for old in range(1, size + 1):
        code, headers, body = unit.request('prison', 'GET', f'/audit/consistency/{old}-{size}')
        assert code == 200 and 'immutable' in headers['Cache-Control']
        assert [base64.b64decode(line) for line in body.split()] == tlog.consistency(old, leaves)
    for path in (f'0-{size}', f'1-{size + 1000}', f'{size}-1', f'{size}', '-', '1-', '-1', '01-2', 'a-b', '1-2-3',
                 f'1-{2 ** 64}'):
        assert unit.request('prison', 'GET', f'/audit/consistency/{path}')[0] == 404, path
    for who in ('analyst', 'operator'):
        assert unit.request(who, 'GET', f'/audit/consistency/1-{size}')[0] == 403


# ---- a linkage unit that lies ----

@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('lying')
    tool('keys', 'init', folder / 'keys', '--study', STUDY)
    server = Server(folder / 'keys')
    server.keys = folder / 'keys'
    yield server
    server.close()


class Kept:
    """A log of twelve entries; the receipts of entries 3 and 7, signed when they came; the checkpoint seen at nine."""

    def __init__(self, place, folder):
        self.place, self.folder = place, folder
        self.log = Log(place.keys)
        for n in range(12):
            if n in (3, 7):
                add_batch(self.log, n, second=n)
            else:
                self.log.add('refused', n, route='/v1/tables', reason='forbidden')
        folder.mkdir()
        for n in (3, 7):
            (folder / f'{n}.receipt').write_bytes(self.log.receipt(n, n + 1))
        (folder / 'log.checkpoint').write_bytes(self.log.checkpoint(9))

    def files(self, log=None):
        log = log or self.log
        files, size, leaves = log.files(), len(log.entries), log.leaves()
        for n in (3, 7):
            if n < size:
                files[f'/audit/proof/{n}'] = log.proof(n)
        for old in range(1, size):
            files[f'/audit/consistency/{old}-{size}'] = b''.join(
                base64.b64encode(h) + b'\n' for h in tlog.consistency(old, leaves))
        return files

    def verify(self, files, fails=None, status=FORKED):
        self.place.files = files
        seen = (self.folder / 'log.checkpoint').read_bytes() if (self.folder / 'log.checkpoint').exists() else None
        done = tool('push', '--verify', '--receipts', self.folder, '--log-key', self.place.keys / 'log.vkey', '--tries', 1,
                    env=self.place.environment, check=False)
        if fails is None:
            assert done.returncode == 0, done.stderr
            return done.stdout
        assert done.returncode == status and fails in done.stderr, (done.returncode, done.stderr)
        assert 'verified' not in done.stdout
        if seen is not None:
            assert (self.folder / 'log.checkpoint').read_bytes() == seen      # what failed is not kept
        return done.stderr


@pytest.fixture
def kept(place, tmp_path):
    return Kept(place, tmp_path / 'receipts')


def changed(log, change):
    other = Log.__new__(Log)
    other.__dict__ = {**log.__dict__, 'entries': change([*log.entries])}
    return other


def test_honest(kept):
    assert kept.verify(kept.files()) == ('2 receipts of 200 records verified: each is in the log localhost/two-registers of '
                                         '12 entries, which extends the 9 seen before\n')
    assert 'of 12 entries, which extends the 12 seen before' in kept.verify(kept.files())


@pytest.mark.parametrize('change, said', [
    (lambda e: e[:2] + e[3:], '3.receipt: the log does not prove that entry 3 is the one'),
    (lambda e: e[:3] + [e[7]] + e[4:7] + [e[3]] + e[8:], '3.receipt: the log does not prove that entry 3 is the one'),
    (lambda e: e[:7], '7.receipt: entry 7 is not in the log any more'),
    (lambda e: e[:8], 'log.checkpoint: the log is shorter than the 9 entries'),
    (lambda e: [e[0].replace(b'forbidden', b'forbiddem')] + e[1:], 'receipt: the log does not prove that it goes on from'),
    (lambda e: e[:8] + [e[8].replace(b'forbidden', b'forbiddem')] + e[9:],
     'log.checkpoint: the log does not prove that it goes on from the 9 entries'),
    (lambda e: e[:8] + [e[8].replace(b'forbidden', b'forbiddem')], 'log.checkpoint: the log has other entries than the 9'),
])
def test_a_log_that_was_changed(kept, change, said):
    """Signed anew with the log's own key, with proofs that are right for what it says now."""
    kept.verify(kept.files(changed(kept.log, change)), said)


@pytest.mark.parametrize('path, said', [
    ('/audit/proof/3', '3.receipt: '), ('/audit/proof/7', '7.receipt: '), ('/audit/checkpoint', ''),
    ('/audit/consistency/4-12', '3.receipt: '), ('/audit/consistency/8-12', '7.receipt: '),
    ('/audit/consistency/9-12', 'log.checkpoint: '),
])
def test_each_answer_tampered_with(kept, path, said):
    good = kept.files()[path]
    for at in {0, len(good) // 3, len(good) // 2, len(good) - 3}:
        kept.verify({**kept.files(), path: good[:at] + bytes([good[at] ^ 1]) + good[at + 1:]}, said)
    kept.verify({**kept.files(), path: good[:-40]}, said)
    kept.verify({k: v for k, v in kept.files().items() if k != path}, said,
                status=66 if path == '/audit/checkpoint' else FORKED)
    other = '/audit/proof/7' if path == '/audit/proof/3' else '/audit/consistency/5-12'
    if path != '/audit/checkpoint':
        kept.verify({**kept.files(), path: kept.files()[other]}, said)       # another one in its place


def test_an_old_answer_again(kept):
    """The whole log as it was when nine entries were seen is no lie; as it was at eight it is."""
    assert 'of 9 entries' in kept.verify(kept.files(changed(kept.log, lambda e: e[:9])))
    (kept.folder / 'log.checkpoint').write_bytes(kept.log.checkpoint(9))
    kept.verify(kept.files(changed(kept.log, lambda e: e[:8])), 'log.checkpoint: ')


def test_receipts_tampered_with(kept):
    path = kept.folder / '3.receipt'
    good = path.read_bytes()
    for at in range(0, len(good), 47):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        kept.verify(kept.files(), '3.receipt: ')
    path.write_bytes(good[:-1])
    kept.verify(kept.files(), '3.receipt: ')
    path.write_bytes(good)
    shutil.copy(kept.folder / 'log.checkpoint', kept.folder / 'seen')
    (kept.folder / 'log.checkpoint').write_bytes(kept.log.checkpoint(9, seed=b'8' * 32))
    kept.verify(kept.files(), 'log.checkpoint', status=74)
