"""`throughcare audit` against honest, dishonest and broken logs: what breaks a rule or a byte is found and named."""
import hashlib
import json
import re
import shutil

import pytest

from harness import PATIENCE_S, STUDY, Unit, make_registers, study_file, tool
from log_server import Log, Server, canonical

import tlog

DAY = 86400
AUDIT_FAILED = 76


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('audit')
    tool('keys', 'init', folder / 'keys', '--study', STUDY)
    server = Server(folder / 'keys')
    server.keys, server.folder = folder / 'keys', folder
    yield server
    server.close()


def hex32(n):
    return hashlib.sha256(str(n).encode()).hexdigest()


WHO = {'client': 'prison-1', 'fp': hex32('fp'), 'role': 'submitter'}


def add_batch(log, n, source='prison', second=10):
    return log.add('batch', second, batch=hex32(n), source=source, records=100, chunks=1, encoding_id=hex32('e'), who=WHO)


def cut_of(log):
    entries = [json.loads(e) for e in log.entries]
    batches = sorted((e['source'], bytes.fromhex(e['batch'])) for e in entries if e['kind'] == 'batch')
    return {'batches': len(batches), 'records': 100 * len(batches),
            'digest': hashlib.sha256(b''.join(s.encode() + b'\0' + b for s, b in batches)).hexdigest()}


def add_start(log, number, second=20, **changed):
    fields = {'number': number, 'as_of': '2026-01-01', 'cut': cut_of(log), 'commitment': hex32('c'), 'rho_micro': 200000,
              'rho_total_micro': 200000 * number, 'rho_limit_micro': 4000000, 'study_digest': log.study_digest}
    return log.add('release_started', second, **{**fields, **changed})


def add_release(log, number, started, second=30, body_changes=None, **changed):
    body = {'v': 1, 'study': 'two-registers', 'study_digest': log.study_digest, 'synthetic': True, 'release': number,
            'as_of': '2026-01-01', 'disclosure': {'rho_micro': 200000, 'rho_total_micro': 200000 * number,
                                                  'secret': 'destroyed'}, 'tables': []}
    body = canonical({**body, **(body_changes or {})})
    log.bodies.append(body)
    return log.add('release', second, **{'number': number, 'digest': hashlib.sha256(body).hexdigest(),
                                         'started_index': started, 'version': '0', **changed})


@pytest.fixture
def log(place):
    """Two sources, one release, one query."""
    log = Log(place.keys)
    log.study_digest = hex32('study')
    log.add('start', 0, version='0', study_digest=log.study_digest)
    log.add('study', 0, name='two-registers', digest=log.study_digest, rho_limit_micro=4000000, synthetic=True)
    add_batch(log, 1)
    add_batch(log, 2, 'treatment')
    log.started = add_start(log, 1)
    add_release(log, 1, log.started)
    log.add('query', 40, release=1, query='continuity_by_quarter?release=1', answer=hex32('a'),
            who={**WHO, 'role': 'analyst'})
    return log


def verify(place, files, *options, fails=None):
    place.files = files.files() if isinstance(files, Log) else files
    done = tool('audit', 'verify', '--vkey', place.keys / 'log.vkey', *options, env=place.environment, check=False)
    if fails is None:
        assert done.returncode == 0, done.stderr
        assert 'audit log verified:' in done.stdout
    else:
        assert done.returncode == AUDIT_FAILED, (done.returncode, done.stdout, done.stderr)
        assert 'AUDIT FAILED' in done.stderr and fails in done.stderr, done.stderr
        assert 'verified' not in done.stdout
    return done.stdout


def test_honest_log(place, log, tmp_path):
    report = verify(place, log, '--tiles')
    assert 'audit log verified: 7 entries, 1 release\n' in report
    for word in ('batch', 'query', 'prison', 'treatment', '0.200000 of 4.000000'):
        assert word in report
    shown = tool('audit', 'show', '--vkey', place.keys / 'log.vkey', '--kind', 'query', env=place.environment).stdout
    assert shown.count('\n') == 1 and 'prison-1 (analyst)' in shown


def test_empty_log(place):
    assert '0 entries, 0 releases' in verify(place, Log(place.keys))


def test_log_of_several_bundles(place, log):
    for n in range(600):
        log.add('refused', 50 + n, route='/v1/tables', reason='forbidden')
    assert '607 entries' in verify(place, log, '--tiles')
    files = log.files()
    # A full tile may stand in for a partial one that is gone.
    part = next(p for p in files if p.startswith('/audit/tile/entries/002.p/'))
    files[part.split('.p/')[0]] = files.pop(part)
    verify(place, files)


# ---- tampering with bytes ----

def test_each_byte_class_is_covered(place, log):
    """One byte of every file of the log, at several places, flipped."""
    for path, good in log.files().items():
        options = ['--tiles'] if path.startswith('/audit/tile/0') else []
        for at in {0, 1, 2, len(good) // 3, len(good) // 2, len(good) - 1}:
            files = log.files()
            files[path] = good[:at] + bytes([good[at] ^ 1]) + good[at + 1:]
            verify(place, files, *options, fails='')


def test_truncated_or_missing(place, log):
    for path, good in log.files().items():
        options = ['--tiles'] if path.startswith('/audit/tile/0') else []
        if path != '/audit/checkpoint':
            verify(place, {k: v for k, v in log.files().items() if k != path}, *options, fails='served')
        verify(place, {**log.files(), path: good[:-1]}, *options, fails='')


def test_entries_dropped_or_reordered(place, log):
    bundle = next(p for p in log.files() if p.startswith('/audit/tile/entries'))
    e = log.entries
    for other in (e[:2] + e[3:] + [e[2]], e[1:] + e[:1], e[:-1] + e[-2:-1], e[:3] + [e[2]] + e[4:]):
        files = log.files()
        files[bundle] = b''.join(len(x).to_bytes(2, 'big') + x for x in other)
        verify(place, files, fails='')


def test_signatures(place, log):
    files = log.files()
    verify(place, {**files, '/audit/checkpoint': log.checkpoint(seed=bytes(32))}, fails='not signed by the log')
    verify(place, {**files, '/audit/checkpoint': log.checkpoint(origin='localhost/other')}, fails='not signed by the log')
    verify(place, {**files, '/audit/checkpoint': b'<html>hello</html>\n'}, fails='form')
    # Another signature beside the log's own, as witnesses add, changes nothing.
    verify(place, {**files, '/audit/checkpoint': log.checkpoint() + '\u2014 witness.example/w1 AAAAAHh4eHh4\n'.encode()})


# ---- forks and going back ----

def test_state_remembers(place, log, tmp_path):
    state = tmp_path / 'state'
    verify(place, log, '--state', state)
    assert state.read_bytes() == log.checkpoint()
    before = [*log.entries]
    log.add('refused', 60, route='/metrics', reason='forbidden')
    assert 'extends the 7 entries seen before by 1' in verify(place, log, '--state', state)
    assert state.read_bytes() == log.checkpoint()

    log.entries = before
    verify(place, log, '--state', state, fails='went back')
    log.add('refused', 61, route='/healthz', reason='forbidden')
    verify(place, log, '--state', state, fails='forked')
    log.add('refused', 62, route='/healthz', reason='forbidden')
    verify(place, log, '--state', state, fails='forked')
    # What failed is not remembered.
    assert state.read_bytes() != log.checkpoint()


def test_damaged_state(place, log, tmp_path):
    (tmp_path / 'state').write_bytes(log.checkpoint().replace(b'\n7\n', b'\n6\n'))
    place.files = log.files()
    done = tool('audit', 'verify', '--vkey', place.keys / 'log.vkey', '--state', tmp_path / 'state',
                env=place.environment, check=False)
    assert done.returncode == 74 and 'state' in done.stderr


# ---- receipts ----

def test_receipts(place, log, tmp_path):
    good = tmp_path / 'good.receipt'
    good.write_bytes(log.receipt(2, 3))
    assert '1, each in this log' in verify(place, log, '--receipt', good)
    assert 'is entry 2 of 3' in tool('audit', 'proof', good, '--vkey', place.keys / 'log.vkey').stdout

    # The log that signed the receipt and the log that is shown are two.
    other = Log(place.keys)
    other.entries = [*log.entries]
    other.entries[2] = other.entries[2].replace(b'"records":100', b'"records":101')
    forged = tmp_path / 'forked.receipt'
    forged.write_bytes(other.receipt(2, 3))
    verify(place, log, '--receipt', forged, fails='is not the one that')
    other.entries = [*log.entries]
    other.entries[1] = other.entries[0]
    forged.write_bytes(other.receipt(2, 5))
    verify(place, log, '--receipt', forged, fails='forked')


def test_tampered_receipts_offline(place, log, tmp_path):
    text = log.receipt(3)
    path = tmp_path / 'x.receipt'
    changes = [(b'"records":100', b'"records":101'), (b'"index":3', b'"index":2'), (b'"source":"treatment"', b'"source":"prison"'),
               (hex32(2).encode(), hex32(1).encode()), (b'index 3', b'index 2'), (b'two-registers', b'two-registert')]
    for old, new in changes:
        assert old in text
        path.write_bytes(text.replace(old, new, 1))
        done = tool('audit', 'proof', path, '--vkey', place.keys / 'log.vkey', check=False)
        assert done.returncode == AUDIT_FAILED and 'x.receipt' in done.stderr, done.stderr
    path.write_bytes(text)
    (tmp_path / 'other.vkey').write_text(tlog.format_vkey('localhost/two-registers', tlog.public_key(bytes(32))))
    assert tool('audit', 'proof', path, '--vkey', tmp_path / 'other.vkey', check=False).returncode == AUDIT_FAILED


# ---- the rules ----

def edit(index, **fields):
    def change(log):
        log.entries[index] = canonical({**json.loads(log.entries[index]), **fields})
    return change


def add(function, *args, **fields):
    return lambda log: function(log, *args, **fields)


def cut(**changed):
    return lambda log: edit(4, cut={**json.loads(log.entries[4])['cut'], **changed})(log)


def query(release):
    return lambda log: log.add('query', 50, release=release, query='q', answer=hex32('a'))


def second_release(**changed):
    def change(log):
        add_batch(log, 9, second=50)
        add_start(log, 2, second=60, **changed)
    return change


def restore(**changed):
    return lambda log: log.add('restore', 70, **{'entries': len(log.entries), 'root': hex32(3), 'signed_entries': 20,
                                                 'signed_root': hex32(4), 'releases': 3, 'rho_total_micro': 9000000, **changed})


@pytest.mark.parametrize('change, reason', [
    (restore(root='x'), 'entry 7: a restore that does not say'),
    (restore(entries=6), 'counts other entries'),
    (restore(signed_entries=6), 'counts other entries'),
    (restore(signed_entries=7, releases=1), 'counts other entries'),     # nothing is lost
    (restore(releases=0), 'gives back'),
    (restore(rho_total_micro=1), 'gives back'),
    (restore(releases=1), 'gives back'),
    (restore(releases=1 << 30), 'gives back'),
    (lambda log: log.add('backup', 50, entries=8, root=hex32(1), digest=hex32(2), backup='x'), 'of more entries'),
    (lambda log: log.add('backup', 50, entries=7, root=hex32(1), backup='x'), 'a backup without'),
    (edit(3, t='2025-12-31T23:59:59Z'), 'entry 3: its time is before'),
    (edit(3, kind='bach'), 'entry 3: kind'),
    (edit(3, v=2), 'entry 3: v'),
    (edit(3, who='me'), 'entry 3: who'),
    (edit(3, batch=hex32(1), source='prison'), 'logged twice'),
    (edit(3, records='100'), 'entry 3: a batch without'),
    (edit(1, digest=hex32('another')), 'another study'),
    (edit(1, rho_limit_micro=3000000), 'another limit'),
    (edit(1, synthetic=None), 'entry 1: a study without'),
    (lambda log: log.add('keys', 50, key='log', public='log.example/else+00000000+AQ=='), 'another key'),
    (lambda log: log.add('keys', 50, key='log'), 'without its public part'),
    (edit(4, number=2), 'do not ascend'),
    (edit(4, as_of='2026-02-01'), 'in the future'),
    (edit(4, as_of='soon'), 'without a date'),
    (edit(4, commitment='none'), 'commitment'),
    (edit(4, rho_total_micro=1), 'do not add up'),
    (edit(4, rho_micro=5000000, rho_total_micro=5000000), 'more than the limit'),
    (edit(4, cut={}), 'without its cut'),
    (cut(batches=3), 'counts other batches'),
    (cut(records=201), 'counts other batches'),
    (cut(digest=hex32('x')), 'of other batches'),
    (edit(5, number=2), 'was not started'),
    (edit(5, version='1'), 'made by another version'),
    (lambda log: log.entries.insert(5, canonical({**json.loads(log.entries[0]), 'version': '2', 't': json.loads(log.entries[4])['t']})),
     'made by another version'),
    (edit(0, version=None), 'without the daemon'),
    (edit(5, started_index=3), 'was not started'),
    (edit(5, digest=hex32('elsewhere')), 'its body is not served'),
    (add(add_release, 1, 4, second=50), 'published twice'),
    (query(2), 'not published'),
    (query(0), 'not published'),
    (second_release(rho_micro=0), 'do not add up'),
    (second_release(rho_micro=3900000, rho_total_micro=4100000), 'more than the limit'),
    (second_release(as_of='2025-12-31'), 'before that of the one before'),
    (lambda log: (second_release()(log), add_start(log, 3, second=70)), 'before the one before it was published'),
], ids=lambda x: x if isinstance(x, str) else '')
def test_rules(place, log, change, reason):
    change(log)
    verify(place, log, fails=reason)


@pytest.mark.parametrize('changes, field', [
    ({'release': 2}, 'release'), ({'as_of': '2025-01-01'}, 'as_of'), ({'study_digest': hex32('x')}, 'study_digest'),
    ({'disclosure': {'rho_micro': 1, 'rho_total_micro': 200000, 'secret': 'destroyed'}}, 'disclosure.rho_micro'),
    ({'disclosure': {'rho_micro': 200000, 'rho_total_micro': 1, 'secret': 'destroyed'}}, 'disclosure.rho_total_micro'),
    ({'synthetic': False, 'disclosure': {'rho_micro': 200000, 'rho_total_micro': 200000, 'secret': 'injected'}},
     'synthetic'),
], ids=lambda x: x if isinstance(x, str) else '')
def test_bodies(place, log, changes, field):
    del log.entries[5:]
    add_release(log, 1, log.started, body_changes=changes)
    verify(place, log, fails=f'contradicts the log in {field}\n')


@pytest.mark.parametrize('rules, reason', [
    ({'interval_days': 0}, None),
    ({'interval_days': 30}, 'interval'),
    ({'min_new_records': 100}, None),
    ({'min_new_records': 101}, 'fewer new records'),
    ({'min_sources': 2}, 'fewer sources'),
    ({'rho_limit': 3}, 'than the study itself'),
], ids=lambda x: x if isinstance(x, str) else '')
def test_rules_of_the_study(place, log, tmp_path, rules, reason):
    """The second release comes 40 s after the first, with 100 new records of one source."""
    study = study_file(tmp_path / 'study.yaml', **{'min_sources': 1, **rules})
    checked = tool('study', 'check', study).stdout
    log.study_digest = re.search(r'digest +([0-9a-f]{64})', checked).group(1)
    edit(1, digest=log.study_digest)(log)
    del log.entries[4:]
    add_release(log, 1, add_start(log, 1))
    second_release()(log)
    verify(place, log, '--study', study, fails=reason)


def test_rules_of_disclosure_are_those_of_the_body(place, log):
    rules = {'method': 'keyed-noise', 'threshold': 10}
    body = {'disclosure': {'rho_micro': 200000, 'rho_total_micro': 200000, 'secret': 'destroyed', **rules}}
    del log.entries[5:]
    entries = [*log.entries]
    add_release(log, 1, log.started, body_changes=body, disclosure=rules)
    verify(place, log)
    for other in ({**rules, 'threshold': 9}, {**rules, 'method': 'none'}, {**rules, 'max_index_events': 4}):
        log.entries = [*entries]
        add_release(log, 1, log.started, body_changes=body, disclosure=other)
        verify(place, log, fails='contradicts the log in disclosure\n')


def test_injected_secret_needs_a_synthetic_study(place, log):
    del log.entries[4:]
    edit(1, synthetic=False)(log)
    disclosure = {'rho_micro': 200000, 'rho_total_micro': 200000, 'secret': 'injected'}
    add_release(log, 1, add_start(log, 1), body_changes={'synthetic': False, 'disclosure': disclosure})
    verify(place, log, fails='disclosure.secret')


def test_entry_that_is_not_canonical(place, log):
    log.entries[3] = log.entries[3].replace(b',', b', ')
    verify(place, log, fails='entry 3: a log entry is not in canonical form')


def test_control_characters_do_not_reach_the_terminal(place, log):
    log.add('refused', 60, route='/\u009b31m\u007f', reason='x')
    place.files = log.files()
    shown = tool('audit', 'show', '--vkey', place.keys / 'log.vkey', env=place.environment).stdout
    assert '\u009b' not in shown and '\u007f' not in shown and '/?31m?' in shown


# ---- the real daemon ----

def test_real_daemon_and_rollback(tmp_path):
    """Verified before and after a release; a store put back to yesterday's backup is refused by the daemon itself."""
    unit = Unit(tmp_path / 'unit')
    registers = make_registers(tmp_path / 'registers', 200)
    options = ['--vkey', unit.keys / 'log.vkey', '--state', tmp_path / 'state', '--tiles', '--study', unit.study]
    with unit:
        unit.as_('auditor', 'audit', 'verify', *options)
    shutil.copytree(unit.keys / 'daemon/store', tmp_path / 'backup')
    with unit:
        unit.push_registers(registers)
        unit.publish()
        unit.as_('analyst', 'query', 'continuity_by_quarter')
        report = unit.as_('auditor', 'audit', 'verify', *options).stdout
        assert '1 release\n' in report and 'matches its digest' in report
    shutil.rmtree(unit.keys / 'daemon/store')
    shutil.copytree(tmp_path / 'backup', unit.keys / 'daemon/store')
    unit.start(ready=False)
    assert unit.daemon.wait(PATIENCE_S) == AUDIT_FAILED
    assert 'fork' in unit.log() or 'rolled back' in unit.log() or 'older' in unit.log()
