# labels: quick once
"""Proofs and checkpoints of a real run, and a custodian's receipt, judged by the code that judges sigstore's own log: the npm
package @sigstore/verify as tests/sigstore/package-lock.json has it. Without npm or network this says so."""
import json
import os
import subprocess

import pytest

from harness import SOURCE, Unit, make_registers
from npm import npm_packages


@pytest.fixture(scope='module')
def modules(tmp_path_factory):
    return npm_packages(SOURCE / 'tests' / 'sigstore', tmp_path_factory.mktemp('sigstore'),
                        'the log was not verified with @sigstore/verify')


@pytest.mark.parametrize('said', ['network connect ENETUNREACH 2606:4700::1', 'code ERR_SOCKET_TIMEOUT', 'code ECONNRESET',
                                  'code EHOSTUNREACH', 'code E503', '502 Bad Gateway - GET https://registry'])
def test_without_the_registry_it_is_skipped(tmp_path, monkeypatch, said):
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    (tmp_path / 'node').symlink_to('/bin/true')
    npm = tmp_path / 'npm'
    npm.write_text(f'#!/bin/sh\necho "npm error {said}" >&2\nexit 1\n')
    npm.chmod(0o755)
    with pytest.raises(pytest.skip.Exception, match='cannot be reached: no test'):
        npm_packages(SOURCE / 'tests' / 'sigstore', tmp_path, 'no test')
    npm.write_text('#!/bin/sh\necho "npm error code EINTEGRITY" >&2\nexit 1\n')
    with pytest.raises(AssertionError, match='EINTEGRITY'):             # a package that is another one is no such case
        npm_packages(SOURCE / 'tests' / 'sigstore', tmp_path, 'no test')


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
