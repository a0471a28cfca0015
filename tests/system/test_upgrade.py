# labels: quick once
"""A store that an earlier version made: it is brought up to the present format, and everything in it is as it was."""
import json
import shutil
import subprocess
import tarfile

import pytest

from harness import PATIENCE_S, SOURCE, THROUGHCARED, Unit, problem

OLD = {2: SOURCE / 'tests' / 'data' / 'store' / 'format-2.tar.xz'}


def unit_with(folder, archive):
    """A unit with keys of today, but for those that the old store and its log need."""
    old = folder / 'old'
    with tarfile.open(archive) as tar:
        tar.extractall(old)
    unit = Unit(folder / 'unit')
    for name in ('daemon/seal.key', 'daemon/log.key', 'daemon/log.key.state', 'daemon/log.key.state.ledger', 'study.yaml'):
        shutil.copy(old / name, unit.keys / name)
        (unit.keys / name).chmod(0o600)
    shutil.copytree(old / 'daemon' / 'store', unit.keys / 'daemon' / 'store')
    return old, unit


@pytest.mark.parametrize('number', sorted(OLD))
def test_upgrade(tmp_path, number):
    old, unit = unit_with(tmp_path, OLD[number])
    receipts = {p.name.split('.')[0]: p for p in old.glob('*.receipt')}
    assert len(receipts) == 2
    with unit:
        assert f'brought up from format {number}' in unit.log()
        for n, receipt in receipts.items():
            source = receipt.name.split('.')[1]
            code, _, body = unit.post_batch(source, (old / f'{n}.batch').read_bytes())
            assert (code, body) == (200, receipt.read_bytes())
        assert unit.release_body(1) == (old / 'release.body').read_bytes()
        status = unit.status()
        assert (status['batches'], status['releases']) == (6, 1) and status['comparing']['error'] is None
        assert unit.as_('auditor', 'audit', 'verify', '--vkey', old / 'log.vkey').returncode == 0
        withdrawn = [e for e in unit.entries() if e['kind'] == 'withdrawal']
        assert withdrawn[0]['records'] == 1
        # It goes on from there, and is of the present format now.
        unit.restart()
        assert unit.log().count('brought up') == 1
        code, _, body = unit.request('operator', 'POST', '/v1/releases', '{}', {'Content-Type': 'application/json'})
        assert code == 409 and problem(body)[0] == 'too-early', body       # nothing is new
        assert json.loads(unit.request('analyst', 'GET', '/v1/tables')[2])['release'] == 1


def test_check_changes_nothing(tmp_path):
    _, unit = unit_with(tmp_path, OLD[2])
    for _ in range(2):
        done = subprocess.run([THROUGHCARED, '-c', unit.conf_path, '--check'], capture_output=True, text=True,
                              timeout=PATIENCE_S)
        assert done.returncode == 0, done
    with unit:
        assert 'brought up from format 2' in unit.log()
