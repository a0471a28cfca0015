# labels: quick once
"""A study that asks for witnesses: nothing of a release is read before enough of them have cosigned the log with it, the
log shows that they had, and `audit verify` finds every way around it."""
import hashlib
import json

import pytest

from harness import STUDY, Unit, make_registers, problem, study_file, tool
from log_server import Log, Server, canonical, cosign
from test_witness import make_witness, witness

import tlog

AUDIT_FAILED = 76


def study_with(folder, needed, keys, **replace):
    path = study_file(folder / 'study-witnesses.yaml', interval_days=0, min_new_records=0, min_sources=0, **replace)
    lines = ''.join(f'  - {vkey.read_text().strip()}\n' for vkey in keys)
    path.write_text(path.read_text() + f'\nwitnesses:\n  needed: {needed}\n  keys:\n{lines}')
    return path


def test_a_release_waits_for_its_witnesses(tmp_path):
    keys = [make_witness(tmp_path, name) for name in ('w1', 'w2', 'w3')]
    with Unit(tmp_path / 'unit', study=study_with(tmp_path, 2, keys)) as unit:
        verify = ['audit', 'verify', '--vkey', unit.keys / 'log.vkey', '--study', unit.study]
        unit.push_registers(make_registers(tmp_path / 'registers', 300))
        table = json.loads(unit.request('analyst', 'GET', '/v1/tables')[2])['tables'][0]['name']
        assert unit.request('analyst', 'GET', f'/v1/tables/{table}')[0] == 404
        assert 'once the study\'s witnesses have cosigned' in unit.publish().stdout
        release = unit.entries()[-1]
        assert release['kind'] == 'release' and unit.status()['releases_waiting'] == 1

        def waits():
            said = ('too-early', 'release 1 is published, and waits until 2 witnesses of the study have cosigned the log')
            for who, path in (('analyst', f'/v1/tables/{table}'), ('analyst', f'/v1/tables/{table}?release=1'),
                              ('auditor', f'/audit/release/{release["digest"]}')):
                status, _, body = unit.request(who, 'GET', path)
                assert (status, problem(body)) == (409, said)
            assert unit.request('analyst', 'GET', '/v1/tables')[0] == 200
            assert 'waits for 2 witnesses; its body is not served' in unit.as_('auditor', *verify).stdout

        waits()
        auditor = unit.environment('auditor')
        witness(auditor, unit.keys, tmp_path, 'w1')
        waits()
        witness(auditor, unit.keys, tmp_path, 'w1')           # the same one again is not a second one
        waits()
        unit.restart()                                        # nor does a start forget that it waits
        waits()
        auditor = unit.environment('auditor')
        witness(auditor, unit.keys, tmp_path, 'w3')
        assert unit.request('analyst', 'GET', f'/v1/tables/{table}')[0] == 200
        assert hashlib.sha256(unit.release_body()).hexdigest() == release['digest']
        witnessed = [e for e in unit.entries() if e['kind'] == 'witnessed']
        assert [e['number'] for e in witnessed] == [1] and witnessed[0]['note'].count('\n\u2014 witness.example/') == 2
        assert unit.status()['releases_waiting'] == 0
        report = unit.as_('auditor', *verify).stdout
        assert 'matches its digest, witnessed' in report and 'sources, witnesses\n' in report
        unit.restart()
        assert unit.request('analyst', 'GET', f'/v1/tables/{table}')[0] == 200

        # The next one waits for signatures of its own; the one before stays readable, and is what is meant.
        unit.publish()
        status, _, body = unit.request('analyst', 'GET', f'/v1/tables/{table}?release=2')
        assert (status, problem(body)[0]) == (409, 'too-early')
        assert unit.request('analyst', 'GET', f'/v1/tables/{table}')[0] == 200
        assert unit.entries()[-1]['release'] == 1
        auditor = unit.environment('auditor')
        for name in ('w1', 'w2', 'w1', 'w2'):                 # they come together on one checkpoint
            witness(auditor, unit.keys, tmp_path, name)
        assert unit.request('analyst', 'GET', f'/v1/tables/{table}?release=2')[0] == 200
        unit.as_('auditor', *verify)


def test_one_witness_does_not_keep_the_others_apart(tmp_path):
    names = ('w1', 'w2', 'w3', 'w4')
    keys = [make_witness(tmp_path, name) for name in names]
    with Unit(tmp_path / 'unit', study=study_with(tmp_path, 3, keys)) as unit:
        unit.push_registers(make_registers(tmp_path / 'registers', 100))
        unit.publish()
        auditor = unit.environment('auditor')

        def cosigned_when_w1_is_first():
            n = len([e for e in unit.entries() if e['kind'] == 'refused'])
            assert unit.request('prison', 'GET', '/v1/tables')[0] == 403
            unit.refusals(n + 1)                               # the log has grown
            witness(auditor, unit.keys, tmp_path, 'w1')
            note = unit.request('auditor', 'GET', '/audit/cosigned')[2].decode()
            return note, int(note.split('\n')[1])

        cosigned_when_w1_is_first()
        note, alone = cosigned_when_w1_is_first()              # one for one: the newer is kept
        assert note.count('\n\u2014 witness.example/') == 1
        witness(auditor, unit.keys, tmp_path, 'w2')
        note, size = cosigned_when_w1_is_first()               # one for two: it is not
        assert size == alone and note.count('\n\u2014 witness.example/') == 2
        assert unit.status()['releases_waiting'] == 1
        witness(auditor, unit.keys, tmp_path, 'w3')
        assert unit.status()['releases_waiting'] == 0
        assert [e['number'] for e in unit.entries() if e['kind'] == 'witnessed'] == [1]
        note, size = cosigned_when_w1_is_first()               # none waits: the newest again
        assert size > alone and note.count('\n\u2014 witness.example/') == 1
        unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey')


def refused_release(unit):
    status, _, body = unit.request('operator', 'POST', '/v1/releases', '{}', {'Content-Type': 'application/json'})
    return status, problem(body)


def test_a_study_cannot_be_swapped_to_get_around_it(tmp_path):
    keys = [make_witness(tmp_path, name) for name in ('w1', 'w2')]
    with Unit(tmp_path / 'unit', study=study_with(tmp_path, 2, keys)) as unit:
        unit.push_registers(make_registers(tmp_path / 'registers', 300))
        table = json.loads(unit.request('analyst', 'GET', '/v1/tables')[2])['tables'][0]['name']
        unit.publish()
        text = unit.study.read_text()
        unit.stop()
        unit.study.write_text(text.replace('  needed: 2\n', '  needed: 1\n'))
        unit.start()
        witness(unit.environment('auditor'), unit.keys, tmp_path, 'w1')
        assert unit.request('analyst', 'GET', f'/v1/tables/{table}')[0] == 409
        assert refused_release(unit)[0] == 409
        unit.stop()
        unit.study.write_text(text[:text.index('\nwitnesses:')])
        unit.start()
        assert unit.request('analyst', 'GET', f'/v1/tables/{table}')[0] == 409
        done = unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey')
        assert 'waits for 2 witnesses' in done.stdout
        # Nor can its figures be had from the next release, which would carry them.
        assert refused_release(unit) == (
            409, ('too-early', 'release 1 waits until 2 witnesses have cosigned the log; the next one would carry its '
                  'figures, and the study now asks for only 0'))
        assert unit.request('analyst', 'GET', f'/v1/tables/{table}?release=2')[0] == 404
        unit.stop()
        unit.study.write_text(text)
        unit.start()
        for name in ('w1', 'w2', 'w1', 'w2'):
            witness(unit.environment('auditor'), unit.keys, tmp_path, name)
        assert unit.request('analyst', 'GET', f'/v1/tables/{table}')[0] == 200
        unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey')


def test_witnesses_cannot_be_swapped_for_others(tmp_path):
    """As many of other keys: what waits goes on waiting for those of before, whose signatures are still taken."""
    keys = [make_witness(tmp_path, name) for name in ('w1', 'w2')]
    others = [make_witness(tmp_path, name) for name in ('x1', 'x2')]
    with Unit(tmp_path / 'unit', study=study_with(tmp_path, 2, keys)) as unit:
        unit.push_registers(make_registers(tmp_path / 'registers', 300))
        table = json.loads(unit.request('analyst', 'GET', '/v1/tables')[2])['tables'][0]['name']
        unit.publish()
        text = unit.study.read_text()
        unit.stop()
        changed = text
        for old, new in zip(keys, others):
            changed = changed.replace(old.read_text().strip(), new.read_text().strip())
        unit.study.write_text(changed)
        unit.start()
        for name in ('x1', 'x2', 'x1', 'x2'):
            witness(unit.environment('auditor'), unit.keys, tmp_path, name)
        note = unit.request('auditor', 'GET', '/audit/cosigned')[2].decode()
        assert note.count('\n\u2014 witness.example/x') == 2
        assert unit.request('analyst', 'GET', f'/v1/tables/{table}')[0] == 409 and unit.status()['releases_waiting'] == 1
        assert refused_release(unit) == (
            409, ('too-early', 'release 1 waits until 2 witnesses have cosigned the log; the next one would carry its '
                  'figures, and the study now asks for only 2, or for others'))
        for name in ('w1', 'w2', 'w1', 'w2'):
            witness(unit.environment('auditor'), unit.keys, tmp_path, name)
        assert unit.request('analyst', 'GET', f'/v1/tables/{table}')[0] == 200
        unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey')
        unit.publish()                                        # and the next one waits for the new ones
        assert unit.status()['releases_waiting'] == 1
        for name in ('x1', 'x2', 'x1', 'x2'):
            witness(unit.environment('auditor'), unit.keys, tmp_path, name)
        assert unit.status()['releases_waiting'] == 0
        unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey')


def test_a_wrong_rule_is_refused(tmp_path):
    key = make_witness(tmp_path, 'w1')
    for needed, keys, said in ((2, [key], '2 is above 1'), (1, [key, key], 'each name once'), (0, [key], '0 is below 1')):
        done = tool('study', 'check', study_with(tmp_path, needed, keys), check=False)
        assert done.returncode == 65 and said in done.stderr, done.stderr


# ---- what an auditor finds ----

@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('witnessed')
    tool('keys', 'init', folder / 'keys', '--study', STUDY)
    server = Server(folder / 'keys')
    server.keys = folder / 'keys'
    yield server
    server.close()


SEEDS = {f'witness.example/w{n}': hashlib.sha256(b'witness %d' % n).digest() for n in (1, 2, 3)}
OTHERS = {f'other.example/w{n}': hashlib.sha256(b'other %d' % n).digest() for n in (1, 2)}
MONTH_S = 30 * 86400


def vkey(name):
    public = b'\x04' + tlog.public_key({**SEEDS, **OTHERS}[name])
    return f'{name}+{tlog.sha256(f"{name}".encode() + bytes([10]) + public)[:4].hex()}+{tlog.base64.b64encode(public).decode()}'


@pytest.fixture
def log(place):
    """A release that waits for two of three, as entry 5."""
    log = Log(place.keys)
    digest = hashlib.sha256(b'study').hexdigest()
    log.add('keys', key='log', public=(place.keys / 'log.vkey').read_text().strip())
    log.add('start', version='0', study_digest=digest)
    log.add('study', name='two-registers', digest=digest, rho_limit_micro=4000000, synthetic=True,
            witnesses={'needed': 2, 'keys': [vkey(name) for name in sorted(SEEDS)]})
    log.add('refused', route='/v1/tables', reason='forbidden')
    started = log.add('release_started', number=1, as_of='2026-01-01', cut={
        'batches': 0, 'records': 0, 'digest': hashlib.sha256(b'').hexdigest()}, commitment=digest, rho_micro=200000,
        rho_total_micro=200000, rho_limit_micro=4000000, study_digest=digest)
    log.body = canonical({'v': 1, 'study': 'two-registers', 'study_digest': digest, 'synthetic': True, 'release': 1,
                          'as_of': '2026-01-01', 'tables': [], 'disclosure': {
                              'rho_micro': 200000, 'rho_total_micro': 200000, 'secret': 'destroyed'}})
    log.bodies.append(log.body)
    log.add('release', number=1, digest=hashlib.sha256(log.body).hexdigest(), started_index=started, version='0')
    log.add('refused', 10, route='/v1/tables', reason='forbidden')
    return log


def query(log):
    log.add('query', 20, release=1, query='t?release=1', answer='0' * 64)


def note(log, *names, size=None, **options):
    text = log.checkpoint(size, **options).decode()
    for name in names:
        text = cosign(text, {**SEEDS, **OTHERS}[name], name)
    return text


def verify(place, log, fails=None):
    place.files = log.files()
    done = tool('audit', 'verify', '--vkey', place.keys / 'log.vkey', env=place.environment, check=False)
    if fails is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == AUDIT_FAILED and fails in done.stderr, done.stderr
    return done.stdout


W1, W2, W3 = sorted(SEEDS)


def test_witnessed_by_the_book(place, log):
    assert 'waits for 2 witnesses' in verify(place, log)
    log.add('witnessed', 15, number=1, note=note(log, W1, W3, size=6))     # the release is the last of the six
    query(log)
    log.add('refused', 30, route='/v1/tables', reason='forbidden')
    assert 'matches its digest, witnessed' in verify(place, log)


def other_log(log):
    other = Log.__new__(Log)
    other.__dict__ = {**log.__dict__, 'entries': [*log.entries[:3], log.entries[3].replace(b'forbidden', b'forbiddem'),
                                                  *log.entries[4:]]}
    return other


@pytest.mark.parametrize('make, fails', [
    (lambda log: None, 'entry 7: a query was answered from a release that waited for witnesses'),
    (lambda log: note(log, W1), 'entry 7: fewer witnesses than the study asks for have cosigned'),
    (lambda log: note(log, W1, W1), 'entry 7: fewer witnesses'),
    (lambda log: note(log, W1, W2, size=5), 'entry 7: the cosigned checkpoint of a release does not have the release in it'),
    (lambda log: note(other_log(log), W1, W2), 'entry 7: the cosigned checkpoint of a release is of another log'),
    (lambda log: note(log, W1, W2, seed=b'7' * 32), 'entry 7: the cosigned checkpoint of a release is not signed'),
    (lambda log: note(log, W1, W2).replace('\n7\n', '\n8\n'), 'entry 7: the cosigned checkpoint of a release is not signed'),
    (lambda log: cosign(note(log, W1), SEEDS[W3], W2), 'entry 7: fewer witnesses'),
    (lambda log: note(log, W1, W2)[:-9] + 'AAAAAAA=\n', 'entry 7: a cosignature of a release is wrong'),
    (lambda log: 'x', 'entry 7: the cosigned checkpoint of a release is not signed'),
])
def test_ways_around_it_are_found(place, log, make, fails):
    text = make(log)
    if text is not None:
        log.add('witnessed', 15, number=1, note=text)
    query(log)
    verify(place, log, fails)


def test_witnessed_twice_or_unasked(place, log):
    for number in (0, 2):
        bad = other_log(log)
        bad.entries = [*log.entries]
        bad.add('witnessed', 15, number=number, note=note(log, W1, W2))
        verify(place, bad, 'entry 7: a release is witnessed that did not wait for it')
    log.add('witnessed', 15, number=1, note=note(log, W1, W2))
    log.add('witnessed', 15, number=1, note=note(log, W1, W2))
    verify(place, log, 'entry 8: a release is witnessed that did not wait for it')


def add_study(log, needed, second=15, names=None):
    rule = {'witnesses': {'needed': needed, 'keys': [vkey(name) for name in names or sorted(SEEDS)]}} if needed else {}
    log.add('study', second, name='two-registers', digest=hashlib.sha256(b'other').hexdigest(), rho_limit_micro=4000000,
            synthetic=True, **rule)


def add_started(log, number, second=20):
    digest = hashlib.sha256(b'other').hexdigest()
    return log.add('release_started', second, number=number, as_of='2026-01-01', cut={
        'batches': 0, 'records': 0, 'digest': hashlib.sha256(b'').hexdigest()}, commitment=digest, rho_micro=200000,
        rho_total_micro=200000 * number, rho_limit_micro=4000000, study_digest=digest)


@pytest.mark.parametrize('needed', [0, 1])
def test_a_release_that_would_carry_one_that_waits_is_found(place, log, needed):
    said = 'a release asks for fewer witnesses than one before it waits for'
    add_study(log, needed)
    add_started(log, 2)
    verify(place, log, f'entry 8: {said}')


def test_nor_does_a_study_change_while_it_is_made(place, log):
    add_study(log, 2)
    started = add_started(log, 2)
    verify(place, log)
    add_study(log, 0, 20)
    log.add('release', 20, number=2, digest=hashlib.sha256(b'body').hexdigest(), started_index=started, version='0')
    verify(place, log, 'entry 10: a release asks for fewer witnesses than one before it waits for')


def test_once_it_is_witnessed_the_next_may_ask_for_fewer(place, log):
    log.add('witnessed', 12, number=1, note=note(log, W1, W3, size=6))
    add_study(log, 0)
    add_started(log, 2)
    verify(place, log)


@pytest.mark.parametrize('later, fails', [
    (MONTH_S - 1, 'entry 8: fewer witnesses than the study asks for have cosigned'), (MONTH_S, None)])
def test_others_stand_in_only_after_a_month(place, log, later, fails):
    add_study(log, 2, names=sorted(OTHERS))
    log.add('witnessed', 15 + later, number=1, note=note(log, *sorted(OTHERS)))
    verify(place, log, fails)


def test_those_of_before_are_always_enough(place, log):
    add_study(log, 2, names=sorted(OTHERS))
    log.add('witnessed', 16, number=1, note=note(log, W1, W3))
    verify(place, log)


@pytest.mark.parametrize('later, fails', [
    (MONTH_S - 1, 'entry 8: a release asks for other witnesses than one before it waits for'), (MONTH_S, None)])
def test_a_release_under_others_that_would_carry_one_that_waits_is_found(place, log, later, fails):
    add_study(log, 2, names=sorted(OTHERS))
    add_started(log, 2, 15 + later)
    verify(place, log, fails)
