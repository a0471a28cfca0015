"""What a service manager sees: readiness, stopping, the check before a start."""
import contextlib
import http.client
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile

import pytest

from harness import PATIENCE_S, THROUGHCARED, Unit, wait_for


@pytest.fixture
def unit(tmp_path):
    return Unit(tmp_path / 'unit')


def test_ready_is_said_when_requests_are_answered(unit, tmp_path):
    path = tmp_path / 'notify'
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(PATIENCE_S)
        unit.start(env={'NOTIFY_SOCKET': str(path)}, ready=False)
        try:
            assert 'READY=1' in notify.recv(4096).decode()
            unit.port = int((unit.folder / 'port').read_text())
            assert unit.request('operator', 'GET', '/healthz')[0] == 200
            unit.daemon.terminate()
            said = ''
            while 'STOPPING=1' not in said:
                said += notify.recv(4096).decode()
        finally:
            assert unit.stop() == 0


def test_check_of_a_whole_set_makes_nothing(unit):
    before = sorted(p.name for p in (unit.keys / 'daemon').iterdir())
    done = subprocess.run([THROUGHCARED, '-c', unit.conf_path, '--check'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (unit.keys / 'daemon').iterdir()) == before
    with unit:
        done = subprocess.run([THROUGHCARED, '-c', unit.conf_path, '--check'], capture_output=True, text=True)
        assert unit.request('operator', 'GET', '/healthz')[0] == 200, 'a check beside a running daemon does no harm'


@pytest.fixture
def open_folder():
    """Where another user may look: pytest's own folder is closed again whenever another pytest starts."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


def test_privileges_are_dropped(open_folder):
    """Started as root: the keys stay root's, the state folder belongs to the service's user, as a package lays it out."""
    if os.geteuid() != 0:
        pytest.skip('dropping privileges needs root to begin with')
    unit = Unit(open_folder / 'unit')
    nobody = pwd.getpwnam('nobody')
    state = unit.folder / 'state'
    state.mkdir()
    (state / 'store').mkdir(mode=0o700)
    shutil.move(unit.keys / 'daemon' / 'log.key.state', state / 'signer.state')
    for path in (state, *state.iterdir()):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    for folder in (unit.folder, unit.keys, unit.keys / 'daemon'):
        folder.chmod(0o755)
    unit.configure(user='nobody', store_directory=state / 'store', signer_state=state / 'signer.state')
    with unit:
        wait_for(lambda: 'listening on' in unit.log(), unit.log)       # the front writes its port down before that
        for pid in unit.processes():
            status = pathlib.Path(f'/proc/{pid}/status').read_text()
            assert f'Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}\t' in status
            assert 'CapEff:\t0000000000000000' in status and 'CapPrm:\t0000000000000000' in status
        assert unit.request('operator', 'GET', '/v1/status')[0] == 200
    # A copy without lock files, looked at as root: they are made, and are the user's, or the daemon could not start.
    for option in ('--check', '--check-store'):
        for lock in ('open.lock', 'lock.mdb'):
            (state / 'store' / lock).unlink()
        done = subprocess.run([THROUGHCARED, '-c', unit.conf_path, option], capture_output=True, text=True)
        assert done.returncode == 0, done
        made = [path for path in (state / 'store').iterdir() if path.stat().st_uid != nobody.pw_uid]
        assert (state / 'store' / 'open.lock').exists() and not made, (option, made)
    with unit:
        assert unit.request('operator', 'GET', '/healthz')[0] == 200


def test_a_store_that_shrinks_under_the_daemon(tmp_path):
    """Pages that are gone are not read as something else: the process ends, and says which file it was."""
    unit = Unit(tmp_path / 'unit')
    unit.start()
    os.truncate(unit.keys / 'daemon' / 'store' / 'data.mdb', 0)
    with contextlib.suppress(OSError, http.client.HTTPException):
        unit.request('auditor', 'GET', '/audit/tile/entries/000.p/1')
    assert unit.daemon.wait(PATIENCE_S) == 74 and 'SIGBUS' in unit.log(), unit.log()
    unit.daemon = None
    done = subprocess.run([THROUGHCARED, '-c', unit.conf_path], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode in (74, 76), done                # damaged, or older than what was signed: never a new store
