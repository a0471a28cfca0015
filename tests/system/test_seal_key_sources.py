"""Where the sealing key comes from: a file, a credential that systemd hands over, a key that a PKCS#11 token opens. The
token is SoftHSM's (Debian's softhsm2), through the same module interface as a card or an HSM."""
import pathlib
import secrets
import shutil
import subprocess

import pytest

from harness import PATIENCE_S, Unit, descriptors, make_registers, tool

MODULE = pathlib.Path('/usr/lib/softhsm/libsofthsm2.so')
PIN, WRONG_PIN = 'Zwiebelturm-kuq', 'Regenbogen-wyx'      # not digits: a port or a process number would look like them


def started(unit, env=None, **options):
    """Start, look at the state, and stop."""
    unit.start(env=env, **options)
    state = unit.status()
    assert unit.stop() == 0
    return state


def refused(unit, reason, env=None):
    before = len(unit.log())
    unit.start(env=env, ready=False)
    assert unit.daemon.wait(PATIENCE_S) == 78
    unit.daemon = None
    assert reason in unit.log()[before:], unit.log()[before:]


def test_credential(tmp_path):
    unit = Unit(tmp_path / 'unit')
    folder = tmp_path / 'credentials'
    folder.mkdir(mode=0o700)
    for name in ('seal.key', 'log.key'):
        shutil.move(unit.keys / 'daemon' / name, folder / name)
        (folder / name).chmod(0o440)                        # systemd's access list for the service's user shows so
    folder.chmod(0o550)
    unit.configure(seal_key='credential:seal.key', log_key='credential:log.key')
    refused(unit, 'credential:NAME only where systemd gives')
    env = {'CREDENTIALS_DIRECTORY': str(folder)}
    assert started(unit, env)['batches'] == 0
    (folder / 'seal.key').chmod(0o444)
    refused(unit, 'has mode 0444', env)
    (folder / 'seal.key').chmod(0o440)
    folder.chmod(0o755)                                     # a folder that is not the service's alone gives no credentials
    refused(unit, 'has mode 0440', env)
    folder.chmod(0o550)
    unit.configure(seal_key='credential:../seal.key')
    refused(unit, 'without slashes', env)
    unit.configure(seal_key='credential:absent')
    refused(unit, 'No such file', env)
    unit.configure(seal_key='credential:seal.key')
    started(unit, env)


@pytest.fixture
def token(tmp_path, monkeypatch):
    """An AES key in a SoftHSM token: (URI, environment)."""
    assert MODULE.exists() and shutil.which('softhsm2-util'), 'run: sh deploy/dependencies.sh test'
    folder = tmp_path / 'tokens'
    folder.mkdir(mode=0o700)
    conf = tmp_path / 'softhsm2.conf'
    conf.write_text(f'directories.tokendir = {folder}\nobjectstore.backend = file\nlog.level = ERROR\n')
    monkeypatch.setenv('SOFTHSM2_CONF', str(conf))
    pin = tmp_path / 'pin'
    pin.write_text(f'{PIN}\n')
    pin.chmod(0o600)

    def softhsm(*args):
        subprocess.run(['softhsm2-util', *args], check=True, capture_output=True, timeout=PATIENCE_S)
    softhsm('--init-token', '--free', '--label', 'unit', '--so-pin', '123456', '--pin', PIN)
    for label, key_id in (('seal', 'a1'), ('other', 'a2')):
        raw = tmp_path / 'aes'
        raw.write_text(secrets.token_hex(16))               # 32 bytes; the importer loses some others than letters
        softhsm('--import', str(raw), '--aes', '--token', 'unit', '--label', label, '--id', key_id, '--pin', PIN)
        raw.unlink()
    return f'pkcs11:token=unit;object=seal?module-path={MODULE}&pin-source=file:{pin}'


def test_token(tmp_path, token):
    unit = Unit(tmp_path / 'unit')
    registers = make_registers(tmp_path / 'registers', 60)
    seal = unit.keys / 'daemon' / 'seal.key'
    with unit:
        unit.push_registers(registers)
        batches = unit.status()['batches']
        # From a key file into the token, while the daemon serves.
        wrapped = unit.folder / 'wrapped.key'
        tool('keys', 'rotate', '--seal', seal, '--token', token, '-o', wrapped)
        unit.as_('operator', 'admin', 'rotate', f'{wrapped}.handover')
    plain = seal.read_text()
    seal.write_text(wrapped.read_text())
    assert seal.read_text().startswith('throughcare-seal-token-v1:') and (wrapped.stat().st_mode & 0o777) == 0o600
    refused(unit, 'is not a key file')                      # the file alone
    unit.configure(seal_key_token=f'"{token}"')
    assert started(unit)['batches'] == batches

    # And from one key of the token to the next.
    with unit:
        tool('keys', 'rotate', '--seal', seal, '--token', token, '-o', unit.folder / 'next.key')
        unit.as_('operator', 'admin', 'rotate', unit.folder / 'next.key.handover')
    refused(unit, 'another sealing key')
    (unit.folder / 'next.key').replace(seal)
    assert started(unit)['batches'] == batches
    good = seal.read_text()

    seal.write_text(plain)                                  # a key file in its place is not taken for one
    refused(unit, 'wrapped under a token')
    seal.write_text(good[:60] + ('0' if good[60] != '0' else '1') + good[61:])
    refused(unit, 'was not wrapped under its key, or was changed')
    seal.write_text(good)
    for change, reason in (((('object=seal', 'object=other'),), 'was not wrapped under its key, or was changed'),
                           ((('object=seal', 'object=none'),), 'no secret key fits'),
                           ((('object=seal', 'type=secret-key'),), 'more than one secret key fits'),
                           ((('token=unit', 'token=none'),), 'no token fits'),
                           ((('libsofthsm2', 'libnone'),), 'cannot be loaded'),
                           ((('module-path', 'x-path'),), 'has no module-path'),
                           ((('pkcs11:', 'token:'),), 'PKCS#11 URI'),
                           ((('pin-source=file:', 'pin-value='),), 'put it into a private file'),
                           ((('file:', 'https:'),), 'pin-source must be file'),
                           ((('/pin', '/nopin'),), 'No such file')):
        uri = token
        for a, b in change:
            assert a in uri
            uri = uri.replace(a, b)
        unit.configure(seal_key_token=f'"{uri}"')
        refused(unit, reason)
    unit.configure(seal_key_token=f'"{token}"')
    pin = tmp_path / 'pin'
    pin.write_text(f'{WRONG_PIN}\n')
    refused(unit, 'cannot log in')
    pin.chmod(0o644)
    refused(unit, 'has mode 0644')
    assert WRONG_PIN not in unit.log() and PIN not in unit.log()
    pin.write_text(PIN)
    pin.chmod(0o600)
    assert started(unit)['batches'] == batches


def test_nothing_of_the_token_stays(tmp_path, token):
    """Module, its files and the PIN are gone once the daemon is up, and a key made for a token opens only with it."""
    unit = Unit(tmp_path / 'unit')
    seal = unit.keys / 'daemon' / 'seal.key'
    seal.unlink()
    tool('keys', 'seal', seal, '--token', token)
    assert 'not overwritten' in tool('keys', 'seal', seal, '--token', token, check=False).stderr
    unit.configure(seal_key_token=f'"{token}"')
    with unit:
        for pid in unit.processes():
            maps = pathlib.Path(f'/proc/{pid}/maps').read_text()
            files = descriptors(pid).values()
            assert 'softhsm' not in maps and not any('/tokens/' in f or f.endswith('/pin') for f in files), files
