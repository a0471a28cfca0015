# labels: quick once
"""The server's own certificate and key are renewed while clients ask without a pause: none is refused, the next connection
sees the new certificate, and a pair that is broken, mismatched, out of date, not for a server or open to others changes
nothing. The core never has a key, and no process keeps its file open."""
import contextlib
import datetime
import hashlib
import os
import pathlib
import pwd
import re
import signal
import ssl
import subprocess
import tempfile
import time

import pytest

from harness import PATIENCE_S, Unit, descriptors, tool
from test_access import fingerprint
from test_reload_load import Asker
from test_two_processes import find_in_memory, need_root

IN_USE, KEPT = 'certificate and key read again and in use', 'those before stay'
DAY = datetime.timedelta(days=1)


class Renewing(Unit):
    def __init__(self, folder, **conf):
        super().__init__(folder, **conf)
        self.crt, self.key = (self.keys / 'daemon' / f'tls.{end}' for end in ('crt', 'key'))

    def pair(self, name, *options):
        """Another certificate and key of the same authority; returns PREFIX of the two files."""
        prefix = self.folder / name
        tool('keys', 'cert', '--ca', self.keys / 'ca', *(options or ('--server', 'localhost')), '-o', prefix)
        return prefix

    def put(self, crt, key):
        """Into their places, one after the other, as an operator would."""
        for source, place in ((key, self.key), (crt, self.crt)):
            self.put_bytes(place, pathlib.Path(source).read_bytes())

    def put_bytes(self, place, data):
        new = place.with_suffix('.new')
        new.write_bytes(data)
        new.chmod(0o600)
        new.rename(place)

    def await_log(self, said, n):
        deadline = time.monotonic() + PATIENCE_S
        while self.log().count(said) < n:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def renew(self, prefix):
        """Until new connections are made under it: between the two renames an old pair may be found not to fit."""
        n = self.log().count(IN_USE)
        self.put(f'{prefix}.crt', f'{prefix}.key')
        self.await_log(IN_USE, n + 1)
        deadline = time.monotonic() + PATIENCE_S
        while self.shown() != fingerprint(f'{prefix}.crt'):
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def shown(self):
        with contextlib.closing(self.tls('auditor')) as connection:
            return hashlib.sha256(connection.getpeercert(True)).hexdigest()

    def logged(self, **wanted):
        return [e for e in self.entries() if wanted.items() <= e.items()]

    def await_entries(self, n, **wanted):
        deadline = time.monotonic() + PATIENCE_S
        while len(self.logged(**wanted)) < n:
            assert time.monotonic() < deadline, (self.entries(), self.log())
            time.sleep(0.02)
        return self.logged(**wanted)

    def reader(self):
        """Process id of the reader, the front's child."""
        front = self.processes()[1]
        children = pathlib.Path(f'/proc/{front}/task/{front}/children').read_text().split()
        assert len(children) == 1
        return int(children[0])


@pytest.fixture
def unit(tmp_path):
    with Renewing(tmp_path / 'unit', max_connections_per_client=64) as u:
        yield u


def test_renewal_under_load(unit):
    pairs = [unit.pair(f'server-{n}') for n in range(5)]
    before = fingerprint(unit.crt)
    askers = [Asker(unit, who, path) for who, path in (
        ('analyst', '/v1/tables'), ('auditor', '/audit/checkpoint'), ('operator', '/v1/status'), ('prison', '/v1/study'))]
    kept = unit.tls('auditor')                              # a connection made under the first pair goes on
    for asker in askers:
        asker.start()
    try:
        for pair in pairs:
            n = min(asker.n for asker in askers)
            unit.renew(pair)
            deadline = time.monotonic() + PATIENCE_S
            while min(asker.n for asker in askers) < n + 20:
                assert time.monotonic() < deadline and not any(asker.wrong for asker in askers), [a.wrong[:3] for a in askers]
                time.sleep(0.01)
    finally:
        for asker in askers:
            asker.stop.set()
        for asker in askers:
            asker.join()
    assert not [asker.wrong for asker in askers if asker.wrong], [asker.wrong[:3] for asker in askers]
    kept.sendall(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    assert kept.recv(100).startswith(b'HTTP/1.1 200')
    kept.close()
    rotated = unit.await_entries(len(pairs), kind='key_rotated', key='tls')
    fingerprints = [before] + [fingerprint(f'{pair}.crt') for pair in pairs]
    assert [(e['old'], e['new']) for e in rotated] == list(zip(fingerprints, fingerprints[1:]))
    assert [e['public'] for e in unit.logged(kind='keys', key='tls')] == [before]
    assert 'audit log verified' in unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey').stdout
    print(f'{len(pairs)} renewals beside {sum(asker.n for asker in askers)} requests, none refused')


def test_what_changed_while_it_was_stopped_is_logged(unit):
    first, second = fingerprint(unit.crt), unit.pair('second')
    unit.stop()
    unit.put(f'{second}.crt', f'{second}.key')
    unit.start()
    assert unit.shown() == fingerprint(f'{second}.crt')
    assert [(e['old'], e['new']) for e in unit.await_entries(1, kind='key_rotated')] == [
        (first, fingerprint(f'{second}.crt'))]
    unit.restart()
    assert len(unit.logged(kind='key_rotated')) == 1 and len(unit.logged(kind='keys', key='tls')) == 1


def openssl_pair(unit, prefix, kind):
    """A pair with another kind of key than ours."""
    options = {'rsa': ('rsa:3072',), 'ed25519': ('ed25519',)}[kind]
    done = subprocess.run(['openssl', 'req', '-new', '-newkey', *options, '-nodes', '-subj', '/CN=localhost', '-keyout',
                           f'{prefix}.key', '-out', f'{prefix}.csr'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tool('keys', 'cert', '--ca', unit.keys / 'ca', '--server', 'localhost', '--request', f'{prefix}.csr', '-o', prefix)
    return prefix


def test_another_kind_of_key(unit):
    """Nothing of the old pair stays: a server with two kinds of keys would go on showing the old certificate to some."""
    for kind in ('rsa', 'ed25519'):
        unit.renew(openssl_pair(unit, unit.folder / kind, kind))
    unit.renew(unit.pair('ec'))
    assert len(unit.await_entries(3, kind='key_rotated')) == 3


def test_pairs_that_are_refused(unit):
    good, other = unit.pair('good'), unit.pair('other')
    today = datetime.datetime.now(datetime.timezone.utc).date()
    old = unit.pair('old', '--server', 'localhost', '--not-before', str(today - 20 * DAY), '--not-after', str(today - 10 * DAY))
    early = unit.pair('early', '--server', 'localhost', '--not-before', str(today + 10 * DAY), '--not-after',
                      str(today + 20 * DAY))
    client = unit.pair('client', '--client', 'c', '--role', 'analyst')
    unit.renew(good)
    shown, broken = unit.shown(), unit.folder / 'broken'
    broken.write_text(pathlib.Path(f'{good}.crt').read_text()[:-60])
    huge = unit.folder / 'huge'
    huge.write_text('#' * 100000)
    empty = unit.folder / 'empty'
    empty.write_text('')
    cases = [(f'{other}.crt', f'{good}.key', 'mismatched'), (f'{old}.crt', f'{old}.key', 'out-of-date'),
             (f'{early}.crt', f'{early}.key', 'out-of-date'), (f'{client}.crt', f'{client}.key', 'not-for-a-server'),
             (broken, f'{good}.key', 'malformed'), (f'{good}.key', f'{good}.key', 'malformed'),
             (f'{good}.crt', empty, 'malformed'), (huge, f'{good}.key', 'unreadable')]
    for crt, key, reason in cases:
        # A good pair in between, so that what is found between two renames does not hide what the case is about.
        unit.renew(good)
        n = len(unit.logged(kind='renewal_refused', reason=reason))
        unit.put(crt, key)
        entry = unit.await_entries(n + 1, kind='renewal_refused', reason=reason)[-1]
        assert entry['file'] == 'tls_certificate'
        if reason != 'unreadable':
            assert entry['digest'] == hashlib.sha256(pathlib.Path(crt).read_bytes()).hexdigest()
        assert unit.shown() == shown and KEPT in unit.log()
    unit.renew(good)
    n = unit.log().count('group or others may use it')
    unit.key.chmod(0o640)                                   # a key that others could read
    unit.await_log('group or others may use it', n + 1)
    assert unit.shown() == shown
    assert not [e for e in unit.logged(kind='key_rotated') if e['new'] not in (shown,)]


def test_a_refusal_is_logged_once(unit):
    """Whoever may write the file does not fill the log: the same refusal once, and not more than some an hour."""
    good = unit.pair('good')
    unit.renew(good)
    unit.put_bytes(unit.crt, b'no certificate\n')
    unit.await_entries(1, kind='renewal_refused')
    n = unit.log().count(KEPT)
    for _ in range(3):
        unit.daemon.send_signal(signal.SIGHUP)              # reads both files, changed or not
        n += 1
        unit.await_log(KEPT, n)
    assert len(unit.logged(kind='renewal_refused')) == 1
    for i in range(30):
        unit.put_bytes(unit.crt, b'no certificate %d\n' % i)
        n += 1
        unit.await_log(KEPT, n)
    assert 1 < len(unit.logged(kind='renewal_refused')) <= 20
    unit.renew(good)


def test_who_has_the_key(unit):
    need_root()
    core, front = unit.processes()
    new = unit.pair('new')
    unit.renew(new)
    needles = private_bytes(f'{new}.key')
    assert not any(find_in_memory(core, n) for n in needles)
    assert not any(find_in_memory(unit.reader(), n) for n in needles), 'handed over, and wiped'
    assert any(find_in_memory(front, n) for n in needles), 'control: the front has it'
    text = pathlib.Path(f'{new}.key').read_bytes().split(b'\n')[1][:40]
    assert not find_in_memory(core, text) and not find_in_memory(unit.reader(), text)
    for pid in (core, front, unit.reader()):
        assert not [path for path in descriptors(pid).values() if path.endswith('.key') or '.key ' in path]


def private_bytes(path):
    text = subprocess.run(['openssl', 'pkey', '-in', path, '-text', '-noout'], capture_output=True, text=True, check=True).stdout
    private = bytes.fromhex(''.join(re.search(r'priv:\s*((?:[0-9a-f]{2}:?\s*)+)', text).group(1).split()).replace(':', ''))
    return private, private[::-1]


def test_what_the_reader_is(unit):
    """It is closed to others and confined, has one socket, no file, and none of root's rights but to read."""
    need_root()
    reader = unit.reader()
    status = dict(line.split(':\t', 1) for line in pathlib.Path(f'/proc/{reader}/status').read_text().splitlines() if ':\t' in line)
    assert status['NoNewPrivs'].strip() == '1' and status['CapInh'].strip() == '0' * 16
    assert int(status['CapEff'], 16) in (0, 1 << 2, 1 << 1)  # DAC_READ_SEARCH, or DAC_OVERRIDE where there is no other
    assert len([path for path in descriptors(reader).values() if path.startswith('socket:')]) == 1
    assert not [path for path in descriptors(reader).values() if str(unit.keys) in path]


def test_it_ends_with_the_front_and_the_front_without_it_goes_on(unit):
    need_root()
    os.kill(unit.reader(), signal.SIGKILL)
    unit.await_log('a new certificate and key need a restart', 1)
    assert unit.request('auditor', 'GET', '/audit/checkpoint')[0] == 200
    unit.restart()
    reader, front = unit.reader(), unit.processes()[1]
    os.kill(front, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while pathlib.Path(f'/proc/{reader}').exists() and 'Z' not in pathlib.Path(f'/proc/{reader}/stat').read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert unit.daemon.wait(PATIENCE_S) != 0
    unit.daemon = None


def test_a_client_renews_its_certificate(unit, tmp_path):
    """A client's new certificate is let in beside the old one: no request is refused while it changes from one to the other,
    and what the old one may do ends when it is revoked."""
    def ask(prefix):
        return unit.request(None, 'GET', '/v1/tables', cert=f'{prefix}.crt', key=f'{prefix}.key')[0]

    prefixes = []
    for n in range(4):
        prefix = tmp_path / f'client-{n}'
        tool('keys', 'cert', '--ca', unit.keys / 'ca', '--client', 'renewing', '--role', 'analyst', '-o', prefix)
        prefixes.append(prefix)
        assert all(ask(p) == 200 for p in prefixes[-2:])    # both, for as long as the change takes
        if n > 0:
            tool('keys', 'revoke', '--ca', unit.keys / 'ca', f'{prefixes[-2]}.crt')
            unit.await_entries(n, kind='certificate', change='revoked')
            with pytest.raises((ssl.SSLError, ConnectionError)):
                ask(prefixes[-2])
            assert ask(prefix) == 200


def test_a_key_of_root_after_privileges_are_dropped():
    """The service's user may read neither key: the reader, which kept root's right to read, still hands over a new one."""
    if os.geteuid() != 0:
        pytest.skip('privileges can be dropped only by root')
    nobody = pwd.getpwnam('nobody')
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)                             # pytest's own folders are closed to other users
        unit = Renewing(pathlib.Path(folder) / 'unit', user='nobody')
        daemon = unit.keys / 'daemon'
        for path in (unit.folder, unit.keys, unit.keys / 'ca'):
            path.chmod(0o755)
        for path in (unit.keys / 'ca' / 'ca.crt', unit.keys / 'ca' / 'revoked.crl', unit.study):
            path.chmod(0o644)
        os.chown(daemon, nobody.pw_uid, nobody.pw_gid)      # the signer's state is in it, beside its key
        for path in daemon.rglob('*'):
            if not path.name.endswith('.key'):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        with unit:
            assert unit.shown()                             # the front answers once it has dropped its privileges
            for pid, uid in zip((*unit.processes(), unit.reader()), (nobody.pw_uid, nobody.pw_uid, 0)):
                assert os.stat(f'/proc/{pid}').st_uid in (uid, 0)   # what is closed to others shows as root's
                status = pathlib.Path(f'/proc/{pid}/status').read_text()
                assert re.search(rf'(?m)^Uid:\t{uid}\t{uid}\t{uid}\t', status), status
            new = unit.pair('new')
            unit.renew(new)
            assert (daemon / 'tls.key').stat().st_uid == 0
            unit.await_entries(1, kind='key_rotated', key='tls')
