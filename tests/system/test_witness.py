# labels: quick once
"""Witnesses: parties on other machines who cosign the log's checkpoints, and auditors who ask for their signatures."""
import base64
import json
import time

import pytest

from harness import PATIENCE_S, STUDY, Unit, tool
import log_server
from log_server import Log, Server

import tlog

LOG_DOES_NOT_FIT, AUDIT_FAILED = 76, 76
JSON = {'Content-Type': 'application/json'}


def make_witness(folder, name):
    tool('keys', 'witness', folder / f'{name}.key', '--name', f'witness.example/{name}', '--vkey', folder / f'{name}.vkey')
    return folder / f'{name}.vkey'


def witness(environment, keys, folder, name, check=True, vkey=None):
    return tool('audit', 'witness', '--vkey', keys / 'log.vkey', '--witness-key', folder / f'{name}.key', '--name',
                f'witness.example/{name}', '--state', folder / f'{name}.state', env=environment, check=check)


@pytest.fixture
def unit(tmp_path):
    """A unit that knows two of three witnesses."""
    known = [make_witness(tmp_path, name).read_text() for name in ('w1', 'w2')]
    make_witness(tmp_path, 'w3')
    (tmp_path / 'witnesses').write_text('# who watches\n\n' + ''.join(known))
    with Unit(tmp_path / 'unit', witnesses=tmp_path / 'witnesses') as unit:
        yield unit


def refuse(unit, note, status, text):
    code, _, body = unit.request('auditor', 'POST', '/audit/cosignatures', json.dumps({'note': note}), JSON)
    assert code == status and text in body.decode(), (code, body)


def cosigned(unit):
    code, _, note = unit.request('auditor', 'GET', '/audit/cosigned')
    return note.decode() if code == 200 else None


def test_cosigned_and_verified(unit, tmp_path):
    auditor = unit.environment('auditor')
    verify = ['audit', 'verify', '--vkey', unit.keys / 'log.vkey', '-w', tmp_path / 'w1.vkey', '-w', tmp_path / 'w2.vkey']
    assert cosigned(unit) is None
    none = tool(*verify, env=auditor, check=False)
    assert none.returncode == AUDIT_FAILED and 'no checkpoint of the log is cosigned' in none.stderr

    assert 'cosigned 5 entries' in witness(auditor, unit.keys, tmp_path, 'w1').stdout
    one = tool(*verify, env=auditor, check=False)
    assert one.returncode == AUDIT_FAILED and 'by 1 of these witnesses, 2 are needed' in one.stderr
    assert '1 witness cosigned 5 entries' in tool(*verify, '--witnesses', 1, env=auditor).stdout

    # The log grows; the second witness signs what the first one did, so that both stand on one checkpoint.
    unit.request('analyst', 'GET', '/v1/status')
    unit.refusals(1)
    assert 'cosigned 5 entries' in witness(auditor, unit.keys, tmp_path, 'w2').stdout
    assert '2 witnesses cosigned 5 entries' in tool(*verify, env=auditor).stdout
    # And the next round moves on.
    assert 'cosigned 6 entries' in witness(auditor, unit.keys, tmp_path, 'w2').stdout
    assert 'cosigned 6 entries' in witness(auditor, unit.keys, tmp_path, 'w1').stdout
    assert '2 witnesses cosigned 6 entries' in tool(*verify, env=auditor).stdout
    # After a restart too; the plain checkpoint has no more than its own line.
    unit.restart()
    auditor = unit.environment('auditor')
    assert '2 witnesses cosigned 6 entries' in tool(*verify, env=auditor).stdout

    # What a second implementation makes of it.
    text, _, lines = cosigned(unit).rpartition('\n\n')
    assert len(lines.splitlines()) == 3
    for line in lines.splitlines()[1:]:
        _, name, data = line.split(' ')
        data = base64.b64decode(data)
        public = base64.b64decode((tmp_path / f'{name[-2:]}.vkey').read_text().split('+', 2)[2])
        assert data[:4] == tlog.sha256(name.encode() + b'\n' + public)[:4] and public[0] == 4
        at = int.from_bytes(data[4:12], 'big')
        assert abs(at - time.time()) < 600
        assert tlog.verify(public[1:], f'cosignature/v1\ntime {at}\n{text}\n'.encode(), data[12:])


def test_refused(unit, tmp_path):
    """The daemon takes nothing but what its witnesses signed for its own log."""
    auditor = unit.environment('auditor')
    stranger = witness(auditor, unit.keys, tmp_path, 'w3', check=False)
    assert stranger.returncode == 65 and 'no cosignature is of a witness' in stranger.stderr
    witness(auditor, unit.keys, tmp_path, 'w1')
    good = cosigned(unit)
    plain = unit.request('auditor', 'GET', '/audit/checkpoint')[2].decode()
    refuse(unit, plain, 400, 'no cosignature')
    refuse(unit, good.replace('\n5\n', '\n4\n'), 400, 'does not fit')
    last = good.splitlines()[-1]
    for at in (-10, -40, -80):
        bad = last[:at] + ('A' if last[at] != 'A' else 'B') + last[at + 1:]
        refuse(unit, good.replace(last, bad), 400, '')
    refuse(unit, 'x', 400, '')
    # A cosigned checkpoint of the same key that is not of this log: what a fork would be.
    log = Log(unit.keys)
    log.add('start', 0, version='0', study_digest='0' * 64)
    seed = bytes.fromhex((tmp_path / 'w2.key').read_text().strip().split(':')[1])

    def cosign(note, at):
        return log_server.cosign(note, seed, 'witness.example/w2', at)

    refuse(unit, cosign(log.checkpoint().decode(), 1700000000), 409, 'not one of this log')
    refuse(unit, cosign(plain, int(time.time()) + 7200), 400, 'in the future')
    assert cosigned(unit) == good
    code, _, _ = unit.request('auditor', 'POST', '/audit/cosignatures', json.dumps({'note': cosign(plain, 1700000000)}), JSON)
    assert code == 200 and len(cosigned(unit).splitlines()) == len(good.splitlines()) + 1
    for who in ('prison', 'analyst', 'operator'):
        assert unit.request(who, 'POST', '/audit/cosignatures', '{}', JSON)[0] == 403


def test_witness_refuses_a_fork(tmp_path):
    """Shown another log, a shorter one, or entries that do not hash to their root, a witness signs nothing."""
    tool('keys', 'init', tmp_path / 'keys', '--study', STUDY)
    make_witness(tmp_path, 'w1')
    server, log = Server(tmp_path / 'keys'), Log(tmp_path / 'keys')
    try:
        for n in range(5):
            log.add('refused', n, route='/v1/tables', reason='forbidden')
        server.files = log.files()
        # Signed and kept, though this server takes no signatures.
        first = witness(server.environment, tmp_path / 'keys', tmp_path, 'w1', check=False)
        state = (tmp_path / 'w1.state').read_text()
        assert first.returncode != 0 and '\n5\n' in state and 'witness.example/w1' in state
        before = [*log.entries]
        for entries in (before[:4], before[:4] + [before[0]], before[:2] + before[3:] + before[:2]):
            log.entries = entries
            server.files = log.files()
            done = witness(server.environment, tmp_path / 'keys', tmp_path, 'w1', check=False)
            assert done.returncode == LOG_DOES_NOT_FIT and 'NOT COSIGNED' in done.stderr, done.stderr
            assert (tmp_path / 'w1.state').read_text() == state
    finally:
        server.close()


def test_configuration(tmp_path):
    """A line that is no witness's key stops the start, by file and line."""
    unit = Unit(tmp_path / 'unit', witnesses=tmp_path / 'witnesses')
    for text, line in (('x\n', 1), ((unit.keys / 'log.vkey').read_text(), 1),
                       (make_witness(tmp_path, 'w1').read_text() * 2, 2)):
        (tmp_path / 'witnesses').write_text(text)
        unit.start(ready=False)
        assert unit.daemon.wait(PATIENCE_S) == 78 and f'witnesses:{line}: expected the public key of a witness' in unit.log()
