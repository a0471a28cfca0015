# labels: quick once
"""docs/audit-entry.schema.json against the audit log of a run in which nearly every kind of entry comes up, judged by
python3-jsonschema, which is not ours."""
import copy
import json
import re
import time

import jsonschema
import pytest

from harness import PATIENCE_S, SOURCE, make_registers, read_csv, study_file, tool
from test_access import WithAccess, foreign_certificate
from test_witness import make_witness, witness

SCHEMA = json.loads((SOURCE / 'docs' / 'audit-entry.schema.json').read_text())
# What needs more of a story than fits here: its forms stand in the schema, and these are what they look like.
EXAMPLES = [
    {'kind': 'key_rotated', 'key': 'seal', 'state': 'started', 'old': '0000', 'new': 'a7f3',
     'who': {'client': 'ops', 'fp': '0' * 64, 'role': 'operator'}},
    {'kind': 'key_rotated', 'key': 'log', 'old': 'log+00000000+A', 'new': 'log+00000001+A', 'note': 'x\n'},
    {'kind': 'key_rotated', 'key': 'tls', 'old': '0' * 64, 'new': '1' * 64},
    {'kind': 'renewal_refused', 'file': 'tls_certificate', 'reason': 'mismatched', 'digest': '0' * 64, 'not_logged_before': 3},
    {'kind': 'withdrawal', 'source': 'prison', 'ids': 0, 'records': 3, 'chunks': 1},
    {'kind': 'withdrawal', 'again': True, 'source': 'prison', 'ids': 2, 'records': 3, 'chunks': 1},
    {'kind': 'purge', 'source': 'prison', 'before': '2016-02-29', 'records': 3, 'chunks': 1},
    {'kind': 'restore', 'entries': 9, 'root': '0' * 64, 'signed_entries': 12, 'signed_root': '1' * 64, 'releases': 1,
     'rho_total_micro': 200000},
]


@pytest.fixture(scope='module')
def entries(tmp_path_factory):
    folder = tmp_path_factory.mktemp('schema')
    study = study_file(folder / 'study.yaml', interval_days=0, min_new_records=0, min_sources=0)
    vkey = make_witness(folder, 'w1').read_text().strip()
    study.write_text(study.read_text() + f'\nwitnesses: {{needed: 1, keys: ["{vkey}"]}}\n')
    registers = make_registers(folder / 'registers', 300)
    unit = WithAccess(folder / 'unit', 'other_certificates: as-certified\n', study=study, backup_directory='backups')
    with unit:
        unit.push_registers(registers)
        assert unit.post_batch('prison', b'x' * 50)[0] == 400
        ids = folder / 'withdrawn'
        ids.write_text(read_csv(registers / 'prison.csv')[3]['record_id'] + '\n')
        unit.as_('prison', 'push', '--withdraw', ids, '--record-key', unit.keys / 'prison' / 'record.key')
        unit.publish()
        witness(unit.environment('auditor'), unit.keys, folder, 'w1')
        table = json.loads(unit.request('analyst', 'GET', '/v1/tables')[2])['tables'][0]['name']
        assert unit.request('analyst', 'GET', f'/v1/tables/{table}')[0] == 200
        assert unit.request('analyst', 'GET', '/audit/checkpoint')[0] == 403
        cert, key = foreign_certificate(unit, folder / 'foreign')
        assert unit.request(None, 'GET', '/healthz', cert=cert, key=key)[0] == 403
        unit.as_('operator', 'admin', 'backup')
        tables = f'policies:\n- {{oid: 1.2.3, client: p, roles: [submitter], source: prison, requests_per_minute: 9}}\n'
        unit.renew('certificates:\n' + unit.rule('analyst', f'tables: [{table}]') + tables, 'access file in use')
        unit.renew('certificates:\n' + unit.rule('analyst', 'roles: []'), 'access file in use')
        good = unit.access.read_text()
        unit.renew('no access file', 'the one before stays in force')
        unit.renew(good, 'access file in use')
        tool('keys', 'revoke', '--ca', unit.keys / 'ca', unit.keys / 'treatment' / 'client.crt')
    unit.configure(worker_threads=1, backup_keep=3)
    with unit:
        deadline = time.monotonic() + PATIENCE_S
        while not [e for e in unit.entries() if e.get('change') == 'revoked']:
            assert time.monotonic() < deadline, unit.log()
            time.sleep(0.05)
        return unit.entries()


def judge(entry):
    # Draft 2020-12; of the errors the nearest to what the entry wants to be.
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.message for error in validator.iter_errors(entry)]


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_kind_has_its_form():
    header = (SOURCE / 'proto' / 'entry.h').read_text()
    kinds = set(re.findall(r'X\(ENTRY_\w+,\s*"(\w+)"\)', header))
    forms = {form['properties']['kind']['const'] for form in SCHEMA['oneOf']}
    assert len(kinds) > 15 and kinds == forms
    described = (SOURCE / 'docs' / 'audit.md').read_text()
    assert not [kind for kind in kinds if f'| `{kind}` |' not in described]


def test_entries_of_a_run(entries):
    wrong = [(entry, judge(entry)) for entry in entries if judge(entry)]
    assert not wrong, wrong[0]
    kinds = {entry['kind'] for entry in entries}
    assert {form['properties']['kind']['const'] for form in SCHEMA['oneOf']} - kinds <= {'key_rotated', 'purge', 'restore'}
    changes = {entry['change'] for entry in entries if entry['kind'] == 'certificate'}
    assert changes == {'added', 'changed', 'removed', 'revoked'}
    changed = next(entry['changed'] for entry in entries if entry['kind'] == 'config')
    assert changed == {'worker_threads': {'from': '0', 'to': '1'}, 'backup_keep': {'from': '7', 'to': '3'}}


def test_other_forms():
    for entry in EXAMPLES:
        entry = {'v': 1, 't': '2026-01-01T00:00:00Z', **entry}
        assert not judge(entry), judge(entry)


def test_what_does_not_fit_is_refused(entries):
    """Control: a field too many, one too few, one of another type."""
    seen = {}
    for entry in entries:
        seen.setdefault((entry['kind'], entry.get('change')), entry)
    for entry in seen.values():
        assert judge({**entry, 'filter': 'x'})
        for field in entry:
            if field in ('who', 'not_logged_before', 'fp', 'client', 'roles', 'source', 'tables', 'requests_per_minute') and \
                    entry['kind'] in ('refused', 'certificate', 'release_started', 'backup'):
                continue                                    # what a form may leave out
            if field == 'witnesses' or (entry['kind'], field) == ('renewal_refused', 'digest'):
                continue
            assert judge({k: v for k, v in entry.items() if k != field}), (field, entry)
        for field in entry:
            assert judge({**copy.deepcopy(entry), field: 1.5}), (field, entry)
