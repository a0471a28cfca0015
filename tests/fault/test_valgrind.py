# labels: full
"""memcheck, for what AddressSanitizer does not see: values that decide something before anybody set them. Unit tests, and both
processes of the daemon from the first batch over a release, a withdrawal, a backup and a rotation to the end."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'system'))
from harness import Unit, make_registers, read_csv, tool  # noqa: E402

VALGRIND = ['valgrind', '-q', '--error-exitcode=99', '--leak-check=full', '--show-leak-kinds=definite',
            '--errors-for-leak-kinds=definite']
BINARY = pathlib.Path(os.environ['TC_BINARY_DIR'])
# Their filter is not made for what valgrind itself calls.
CONFINED = {'confine'}
# A minute or more each without valgrind's factor of thirty: the first fail some thousand calls one by one, the others count.
SLOW = {'fail_core', 'fail_memory', 'fail_release', 'fail_store', 'answers', 'core_audit', 'core_faults', 'core_release',
        'core_withdrawals', 'damage', 'encode_idset', 'link_compare', 'link_join', 'link_kernel', 'link_persons', 'log_key', 'noise',
        'tlog'}

pytestmark = pytest.mark.skipif(shutil.which('valgrind') is None, reason='valgrind is not installed')


def unit_tests():
    listed = subprocess.run(['ctest', '--test-dir', BINARY, '--show-only=json-v1', '-L', 'quick', '-R', r'^unit\.test_'],
                            capture_output=True, check=True).stdout
    return [test['name'].removeprefix('unit.test_') for test in json.loads(listed)['tests']]


@pytest.mark.parametrize('name', [name for name in unit_tests() if name not in SLOW | CONFINED])
def test_unit(tmp_path, name):
    done = subprocess.run([*VALGRIND, BINARY / 'tests' / f'test_{name}'], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-6000:]


def test_daemon(tmp_path):
    registers = make_registers(tmp_path / 'registers', 150, 5)
    logs = tmp_path / 'memcheck'
    logs.mkdir()
    unit = Unit(tmp_path / 'unit', store_map_bytes='256M', confinement='off', backup_directory=tmp_path / 'backups')
    unit.start(wrapper=[*VALGRIND, f'--log-file={logs}/%p'])
    unit.push_registers(registers)
    unit.publish()
    ids = tmp_path / 'ids'
    ids.write_text(read_csv(registers / 'prison.csv')[3]['record_id'] + '\n')
    unit.as_('prison', 'push', '--withdraw', ids, '--record-key', unit.keys / 'prison' / 'record.key')
    assert unit.request('analyst', 'GET', '/v1/tables')[0] == 200
    assert unit.request('prison', 'GET', '/v1/tables')[0] == 403
    assert unit.post_batch('prison', b'no batch')[0] == 400
    unit.as_('operator', 'admin', 'backup')
    tool('keys', 'rotate', '--seal', unit.keys / 'daemon' / 'seal.key', '-o', tmp_path / 'new.key')
    unit.as_('operator', 'admin', 'rotate', tmp_path / 'new.key.handover')
    unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey')
    assert unit.stop() == 0, unit.log()
    found = {path.name: path.read_text() for path in logs.iterdir()}
    assert len(found) >= 2 and not any(found.values()), found
