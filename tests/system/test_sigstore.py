# labels: quick once
"""Proofs and checkpoints of a real run, and a custodian's receipt, judged by the code that judges sigstore's own log: the npm
package @sigstore/verify as tests/sigstore/package-lock.json has it. Without npm or network this says so."""
import json
import os
import shutil
import subprocess

import pytest

from harness import SOURCE, Unit, make_registers


@pytest.fixture(scope='module')
def modules(tmp_path_factory):
    if shutil.which('npm') is None or shutil.which('node') is None:
        pytest.skip('npm and node are not here: the log was not verified with @sigstore/verify')
    folder = tmp_path_factory.mktemp('sigstore')
    for name in ('package.json', 'package-lock.json'):
        shutil.copy(SOURCE / 'tests' / 'sigstore' / name, folder)
    done = subprocess.run(['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], cwd=folder, capture_output=True,
                          text=True, timeout=120)
    if done.returncode != 0 and any(word in done.stderr for word in ('ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED', 'ETIMEDOUT')):
        pytest.skip('the npm registry cannot be reached: the log was not verified with @sigstore/verify')
    assert done.returncode == 0, done.stderr
    return folder


def canonical(entry):
    return json.dumps(entry, sort_keys=True, separators=(',', ':'), ensure_ascii=False)


def test_proofs_and_receipts(modules, tmp_path):
    with Unit(tmp_path / 'unit') as unit:
        batch = unit.folder / 'prison.batch'
        unit.encode('prison', make_registers(tmp_path / 'registers', 200) / 'prison.csv', batch, '--batch-records', 40)
        unit.push('prison', batch, options=['--receipts', tmp_path / 'receipts'])
        entries = unit.entries()
        proofs = [unit.request('auditor', 'GET', f'/audit/proof/{n}')[2].decode() for n in range(len(entries))]
        vkey = (unit.keys / 'log.vkey').read_text()
    receipts = [json.loads(path.read_text()) for path in sorted((tmp_path / 'receipts').glob('*.receipt'))]
    assert len(entries) > 5 and len(receipts) > 2

    def judge(items, key=vkey):
        done = subprocess.run(['node', SOURCE / 'tests' / 'sigstore' / 'check.mjs'], input=json.dumps({'vkey': key, 'items': items}),
                              capture_output=True, text=True, env={**os.environ, 'CHECK_MODULES': str(modules)}, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    items = [{'entry': canonical(e), 'proof': p} for e, p in zip(entries, proofs)]
    items += [{'entry': r['entry'], 'proof': r['proof']} for r in receipts]
    assert set(judge(items)) == {'ok'}

    # Control: another entry, another proof, another index, a flipped root, a shorter signature, somebody else's key.
    good = items[3]
    wrong = [{**good, 'entry': good['entry'].replace('"', "'", 1)}, {**good, 'proof': items[2]['proof']},
             {**good, 'proof': good['proof'].replace('index 3\n', 'index 2\n')},
             {**good, 'proof': good['proof'].replace(good['proof'].split('\n\n')[1].split('\n')[2], 'A' * 43 + '=')},
             {**good, 'proof': good['proof'][:-9] + 'AAAA' + good['proof'][-5:]}]
    assert 'ok' not in judge(wrong)
    head, hint, key = vkey.strip().split('+', 2)
    assert set(judge(items, f'{head}+{hint}+{key[:-4]}AAAA')) == {'invalid checkpoint signature'}
    assert set(judge(items, f'{head}+00000000+{key}')) == {'invalid checkpoint signature'}
