# labels: quick once
"""The audit log of a real run, verified by code that this project did not write: Go's golang.org/x/mod/sumdb packages
(signed notes, tiles, inclusion and consistency proofs) over Go's TLS, from Debian's golang-go and
golang-golang-x-mod-dev, built without a network."""
import os
import pathlib
import shutil
import subprocess

import pytest

from harness import PATIENCE_S, SOURCE, STUDY, Unit, make_registers, tool
from log_server import Log, Server

PROGRAM = SOURCE / 'tests/system/go/verify_log.go'
DEBIAN_GO_PATH = pathlib.Path('/usr/share/gocode')


@pytest.fixture(scope='module')
def verifier(tmp_path_factory):
    """Build the Go program from Debian's sources; its absence is a failure, as of any other test dependency."""
    go = shutil.which('go')
    assert go and (DEBIAN_GO_PATH / 'src/golang.org/x/mod/sumdb').is_dir(), 'run: sh deploy/dependencies.sh test'
    folder = tmp_path_factory.mktemp('go')
    env = {'PATH': os.environ['PATH'], 'HOME': str(folder), 'GO111MODULE': 'off', 'GOPATH': str(DEBIAN_GO_PATH),
           'GOCACHE': str(folder / 'cache'), 'GOPROXY': 'off', 'CGO_ENABLED': '0', 'GOFLAGS': '-p=2'}
    subprocess.run([go, 'build', '-o', folder / 'verify_log', PROGRAM], check=True, env=env, cwd=folder,
                   timeout=PATIENCE_S)
    return folder / 'verify_log'


def verify(program, environment, vkey, *files, fails=None):
    done = subprocess.run([program, environment['THROUGHCARE_URL'], environment['THROUGHCARE_CA'],
                           environment['THROUGHCARE_CERT'], environment['THROUGHCARE_KEY'], vkey, *files],
                          capture_output=True, text=True, timeout=PATIENCE_S)
    if fails is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1 and fails in done.stderr, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def test_real_run(verifier, tmp_path):
    """Batches, a release, queries and more than one tile of refusals; the log is watched as it grows."""
    with Unit(tmp_path / 'unit') as unit:
        auditor, vkey = unit.environment('auditor'), unit.keys / 'log.vkey'
        first = tmp_path / 'first'
        first.write_bytes(unit.request('auditor', 'GET', '/audit/checkpoint')[2])
        assert 'verified 5 entries' in verify(verifier, auditor, vkey, first)
        registers = make_registers(tmp_path / 'registers', 200)
        for source in ('prison', 'treatment'):
            unit.encode(source, registers / f'{source}.csv', tmp_path / f'{source}.batch')
            unit.push(source, tmp_path / f'{source}.batch', options=('--receipts', tmp_path / 'receipts'))
        unit.publish()
        receipts = sorted((tmp_path / 'receipts').glob('*.receipt'))
        assert len(receipts) == 2
        unit.as_('analyst', 'query', 'continuity_by_quarter')
        for _ in range(260):
            unit.request('analyst', 'GET', '/v1/tables/continuity_by_quarter')
        second = tmp_path / 'second'
        second.write_bytes(unit.request('auditor', 'GET', '/audit/checkpoint')[2])
        unit.request('analyst', 'GET', '/v1/tables/continuity_by_quarter')
        size = len(unit.entries())
        assert size > 256
        assert f'verified {size} entries' in verify(verifier, auditor, vkey, first, second, *receipts)

        changed = tmp_path / 'changed.receipt'
        changed.write_text(receipts[0].read_text().replace('\\"records\\":', '\\"records\\":1', 1))
        verify(verifier, auditor, vkey, changed, fails='NOT VERIFIED')
        other = tmp_path / 'other.vkey'
        tool('keys', 'init', tmp_path / 'other', '--study', STUDY)
        shutil.copy(tmp_path / 'other/log.vkey', other)
        verify(verifier, auditor, other, fails='note has no verifiable signatures')

        # A rotated log key: both sign, then the new one alone; old checkpoints and receipts stay what they are.
        log_key, new = unit.keys / 'daemon/log.key', tmp_path / 'new.key'
        tool('keys', 'rotate', '--log', log_key, '-o', new)
        unit.as_('operator', 'admin', 'rotate', f'{new}.handover')
        new_vkey = tmp_path / 'new.vkey'
        new_vkey.write_text(tool('keys', 'log', new, '--origin', vkey.read_text().split('+')[0], '--show').stdout)
        both = tmp_path / 'both'
        both.write_bytes(unit.request('auditor', 'GET', '/audit/checkpoint')[2])
        size = len(unit.entries())
        assert f'verified {size} entries' in verify(verifier, auditor, vkey, first, second, both, *receipts)
        assert f'verified {size} entries' in verify(verifier, auditor, new_vkey, both)
        unit.stop()
        os.replace(new, log_key)
        unit.start()
        auditor = unit.environment('auditor')
        verify(verifier, auditor, new_vkey, both)
        verify(verifier, auditor, vkey, fails='note has no verifiable signatures')


def test_what_is_forged_is_refused(verifier, tmp_path):
    """The other verifier is no rubber stamp: it refuses what `throughcare audit verify` refuses."""
    tool('keys', 'init', tmp_path / 'keys', '--study', STUDY)
    server = Server(tmp_path / 'keys')
    try:
        vkey, log = tmp_path / 'keys/log.vkey', Log(tmp_path / 'keys')
        for n in range(300):
            log.add('refused', n, route='/v1/tables', reason='forbidden')
        older = tmp_path / 'older'
        older.write_bytes(log.checkpoint(size=256))
        good = log.all_files()
        server.files = good
        verify(verifier, server.environment, vkey, older)
        assert any('/tile/1/' in path for path in good)
        for path, data in good.items():
            if '/audit/proof/' in path and not path.endswith('/1'):
                continue
            server.files = {**good, path: data[:31] + bytes([data[31] ^ 1]) + data[32:]}
            verify(verifier, server.environment, vkey, older, fails='NOT VERIFIED')
        log.entries[7] = log.entries[7].replace(b'forbidden', b'forgotten')
        server.files = log.all_files()
        verify(verifier, server.environment, vkey, fails=None)
        verify(verifier, server.environment, vkey, older, fails='NOT VERIFIED')
    finally:
        server.close()
