# labels: quick once
"""The clients' certificate authorities are renewed while clients ask without a pause: another one beside the old, then the
new alone. Nobody who may is refused; whose authority has gone is not answered any more a second later, on open connections
neither; a file that is not good changes nothing; and the log has which authorities were in force before it has anything of
whom they let in."""
import contextlib
import datetime
import hashlib
import http.client
import pathlib
import signal
import ssl
import subprocess

import pytest

from harness import Unit, tool, wait_for
from test_access import fingerprint, openssl
from test_reload_load import Asker, watch

CLIENTS = {'analyst': ('analyst',), 'auditor': ('auditor',), 'operator': ('operator',), 'prison': ('submitter', '--source', 'prison')}
PATHS = {'analyst': '/v1/tables', 'auditor': '/audit/checkpoint', 'operator': '/v1/status', 'prison': '/v1/study'}
IN_USE, LIST_IN_USE, KEPT = "clients' authorities in use", 'revocation list renewed', 'those before stay'
UNREADABLE = "clients' authorities: "


class TwoAuthorities(Unit):
    """A unit whose clients' authorities, and lists, are files of their own; another authority stands ready."""

    def __init__(self, folder, name='Throughcare', **conf):
        super().__init__(folder, tls_client_ca='clients/authorities.pem', tls_revocation_list='clients/revoked.crl',
                         max_connections_per_client=64, **conf)
        self.clients = self.keys / 'daemon' / 'clients'
        self.clients.mkdir()
        self.first, self.second = self.keys / 'ca', self.folder / 'second'
        tool('keys', 'ca', self.second, '--name', name)
        self.put('authorities.pem', self.first)
        self.put('revoked.crl', self.first)

    def __enter__(self):
        """Started, and both files read again as every start does: what is said of them from now on is of a change."""
        super().__enter__()
        self.await_log(IN_USE, 1)
        self.await_log(LIST_IN_USE, 1)
        return self

    def put(self, name, *authorities, text=None):
        """Certificates, or lists, of these into their place, as an operator would; returns the place."""
        source = {'authorities.pem': 'ca.crt', 'revoked.crl': 'revoked.crl'}[name]
        new, place = self.clients / f'{name}.new', self.clients / name
        new.write_text(''.join((a / source).read_text() for a in authorities) if text is None else text)
        new.rename(place)
        return place

    def await_log(self, said, n):
        wait_for(lambda: self.log().count(said) >= n, self.log)

    def renew(self, name, *authorities, said=None, **text):
        said = said or {'authorities.pem': IN_USE, 'revoked.crl': LIST_IN_USE}[name]
        n = self.log().count(said)
        self.put(name, *authorities, **text)
        self.await_log(said, n + 1)

    @contextlib.contextmanager
    def lists_are_read_again(self):
        """As they are for authorities that are others than before: of a list that is put there meanwhile nothing would be known by
        what the log says."""
        n = self.log().count(LIST_IN_USE)
        yield
        self.await_log(LIST_IN_USE, n + 1)

    def renew_both(self, *authorities):
        with self.lists_are_read_again():
            self.renew('authorities.pem', *authorities)
        self.renew('revoked.crl', *authorities)

    def client_of(self, authority, name, role, *options, out=None):
        out = out or self.folder / name
        tool('keys', 'cert', '--ca', authority, '--client', name, '--role', role, *options, '-o', out)
        return out

    def logged(self, kind, **wanted):
        return [e for e in self.entries() if e['kind'] == kind and wanted.items() <= e.items()]

    def in_force(self):
        return [e['certificates'] for e in self.logged('authorities')]


def digests(*authorities):
    return sorted(fingerprint(a / 'ca.crt') for a in authorities)


def ask(unit, prefix, path='/v1/tables'):
    return unit.request(None, 'GET', path, cert=f'{prefix}.crt', key=f'{prefix}.key')[0]


def is_refused(unit, prefix):
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        ask(unit, prefix)
    return True


class Kept:
    """A connection that is kept open."""

    def __init__(self, unit, prefix):
        self.connection = http.client.HTTPConnection('localhost', unit.port)
        self.connection.sock = unit.tls(None, f'{prefix}.crt', f'{prefix}.key')

    def ask(self):
        self.connection.request('GET', '/v1/tables')
        response = self.connection.getresponse()
        response.read()
        return response.status

    def is_closed(self):
        with pytest.raises((OSError, http.client.HTTPException)):
            self.ask()
        return True


@contextlib.contextmanager
def load(unit):
    """All the unit's clients ask without a pause; none may be refused."""
    askers = [Asker(unit, who, path) for who, path in PATHS.items()]
    for asker in askers:
        asker.start()
    try:
        wait_for(lambda: min(asker.n for asker in askers) > 5 or any(asker.wrong for asker in askers), unit.log)
        yield
        n = min(asker.n for asker in askers)
        wait_for(lambda: min(asker.n for asker in askers) > n + 20 or any(asker.wrong for asker in askers), unit.log)
    finally:
        for asker in askers:
            asker.stop.set()
        for asker in askers:
            asker.join()
    assert not any(asker.wrong for asker in askers), [asker.wrong[:3] for asker in askers]
    print(f'{sum(asker.n for asker in askers)} requests meanwhile, none refused')


@pytest.mark.parametrize('name', ['Another authority', 'the same name'])
def test_rotation_under_load(tmp_path, name):
    with TwoAuthorities(tmp_path / 'unit', name) as unit:
        if name == 'the same name':
            # As an authority does that makes itself a new key: its name stays.
            subject = subprocess.run(['openssl', 'x509', '-in', unit.first / 'ca.crt', '-noout', '-subject', '-nameopt', 'RFC2253'],
                                     capture_output=True, text=True, check=True).stdout.strip().removeprefix('subject=CN=')
            tool('keys', 'ca', unit.folder / 'same', '--name', subject)
            unit.second = unit.folder / 'same'
        wait_for(lambda: unit.in_force() == [digests(unit.first)], unit.log)
        leavers = [unit.client_of(unit.first, f'leaver{i}', 'analyst') for i in range(2)]
        with load(unit):
            unit.renew_both(unit.first, unit.second)
            newcomer = unit.client_of(unit.second, 'newcomer', 'analyst')
            assert ask(unit, newcomer) == 200 and ask(unit, leavers[0]) == 200
        assert unit.in_force() == [digests(unit.first), digests(unit.first, unit.second)]
        for who, (role, *options) in CLIENTS.items():       # everybody gets a certificate of the new one
            for end in ('crt', 'key'):
                (unit.keys / who / f'client.{end}').unlink()
            unit.client_of(unit.second, who, role, *options, out=unit.keys / who / 'client')
        kept = [Kept(unit, prefix) for prefix in (leavers[0], newcomer)]
        assert [k.ask() for k in kept] == [200, 200]
        with load(unit):
            leaver = Asker(unit, cert=f'{leavers[1]}.crt', key=f'{leavers[1]}.key')
            leaver.start()
            with unit.lists_are_read_again():
                took = watch(unit, leaver, lambda: unit.put('authorities.pem', unit.second), unit.clients / 'authorities.pem', IN_USE)
            assert kept[0].is_closed() and kept[1].ask() == 200
            assert all(is_refused(unit, prefix) for prefix in leavers) and ask(unit, newcomer) == 200
        print(f'last answered request {took[0]:.3f} s after the change ({took[1]:.3f} s of the daemon\'s own)')
        assert unit.in_force()[-1] == digests(unit.second) and len(unit.in_force()) == 3
        # The list that still has the old authority's beside the new one's is no mistake; the new one's is honoured.
        unit.renew('revoked.crl', unit.first, unit.second)
        tool('keys', 'revoke', '--ca', unit.second, f'{newcomer}.crt')
        unit.renew('revoked.crl', unit.second)
        assert kept[1].is_closed() and is_refused(unit, newcomer)
        wait_for(lambda: unit.logged('certificate', change='revoked', authority=digests(unit.second)[0]), unit.log)
        assert not unit.logged('renewal_refused')
        assert 'audit log verified' in unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey').stdout
        unit.restart()
        assert len(unit.in_force()) == 3                    # told once


def test_files_that_are_refused(tmp_path):
    with TwoAuthorities(tmp_path / 'unit') as unit:
        good = (unit.first / 'ca.crt').read_text()
        client = unit.client_of(unit.first, 'c', 'analyst')
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=old', '-keyout',
                tmp_path / 'old.key', '-out', tmp_path / 'old.crt', '-days', 1)
        text = subprocess.run(['openssl', 'x509', '-in', tmp_path / 'old.crt', '-key', tmp_path / 'old.key', '-not_before',
                               '20200101000000Z', '-not_after', '20210101000000Z'], capture_output=True, text=True)
        if text.returncode != 0:                            # OpenSSL before 3.4: dates by its small authority
            (tmp_path / 'ca.cnf').write_text(f'[ca]\ndefault_ca=d\n[d]\ndatabase={tmp_path}/db\nnew_certs_dir={tmp_path}\n'
                                             f'default_md=sha256\npolicy=p\nrand_serial=yes\nx509_extensions=e\n[p]\n'
                                             f'commonName=supplied\n[e]\nbasicConstraints=critical,CA:TRUE\n')
            (tmp_path / 'db').touch()
            openssl('req', '-new', '-key', tmp_path / 'old.key', '-subj', '/CN=old', '-out', tmp_path / 'old.csr')
            openssl('ca', '-batch', '-selfsign', '-config', tmp_path / 'ca.cnf', '-keyfile', tmp_path / 'old.key', '-in',
                    tmp_path / 'old.csr', '-startdate', '20200101000000Z', '-enddate', '20210101000000Z', '-out',
                    tmp_path / 'old.crt', '-notext')
            old = (tmp_path / 'old.crt').read_text()
        else:
            old = text.stdout
        kept = Kept(unit, client)
        cases = [('', 'malformed', UNREADABLE), ('no certificate\n', 'malformed', KEPT), (good[:-60], 'malformed', KEPT),
                 (good + good[:-60], 'malformed', KEPT), (pathlib.Path(f'{client}.crt').read_text(), 'not-an-authority', KEPT),
                 (good + pathlib.Path(f'{client}.crt').read_text(), 'not-an-authority', KEPT), (old, 'out-of-date', KEPT),
                 (good * 17, 'not-an-authority', KEPT)]
        for n, (text, reason, said) in enumerate(cases):
            unit.renew('authorities.pem', text=text, said=said)
            wait_for(lambda: len(unit.logged('renewal_refused')) == n + 1, unit.log)
            entry = unit.logged('renewal_refused')[-1]
            assert (entry['file'], entry['reason'], entry['digest']) == (
                'tls_client_ca', reason, hashlib.sha256(text.encode()).hexdigest())
            assert kept.ask() == 200 and ask(unit, client) == 200
        said = unit.log().count(KEPT)
        unit.daemon.send_signal(signal.SIGHUP)              # read again, refused again, told once
        unit.await_log(KEPT, said + 1)
        assert len(unit.logged('renewal_refused')) == len(cases)
        (unit.clients / 'authorities.pem').unlink()         # one that has gone is not an empty one
        unit.daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: unit.logged('renewal_refused', reason='unreadable'), unit.log)
        assert kept.ask() == 200
        unit.renew('authorities.pem', unit.first)
        assert kept.ask() == 200 and len(unit.in_force()) == 1
        # One that is out of date beside one that is not does no harm.
        unit.renew('authorities.pem', text=good + old)
        assert kept.ask() == 200 and len(unit.in_force()) == 2


def test_lists_and_authorities_in_any_order(tmp_path):
    with TwoAuthorities(tmp_path / 'unit') as unit:
        newcomer, revoked = (unit.client_of(unit.second, name, 'analyst') for name in ('newcomer', 'revoked'))
        tool('keys', 'revoke', '--ca', unit.second, f'{revoked}.crt')
        # The list before its authority: it waits, and is in force from the authority's first moment.
        unit.renew('revoked.crl', unit.first, unit.second)
        assert is_refused(unit, newcomer)
        with unit.lists_are_read_again():
            unit.renew('authorities.pem', unit.first, unit.second)
        assert ask(unit, newcomer) == 200 and is_refused(unit, revoked)
        # A list that has nothing of an authority any more: nobody of it is let in, or goes on.
        kept = Kept(unit, newcomer)
        assert kept.ask() == 200
        unit.renew('revoked.crl', unit.first)
        assert kept.is_closed() and is_refused(unit, newcomer) and unit.request('analyst', 'GET', '/v1/tables')[0] == 200
        # The authority before its list: nobody of it is let in until there is one.
        for authorities in ((unit.first,), (unit.first, unit.second)):
            with unit.lists_are_read_again():
                unit.renew('authorities.pem', *authorities)
        assert is_refused(unit, newcomer)
        unit.renew('revoked.crl', unit.first, unit.second)
        assert ask(unit, newcomer) == 200


def test_an_authority_with_a_new_certificate_for_its_key(tmp_path):
    """Before it runs out: its clients, and their open connections, go on; the old certificate may go at once."""
    with TwoAuthorities(tmp_path / 'unit') as unit:
        client = unit.client_of(unit.first, 'c', 'analyst')
        kept = Kept(unit, client)
        assert kept.ask() == 200
        again = tmp_path / 'again'
        again.mkdir()
        openssl('x509', '-in', unit.first / 'ca.crt', '-signkey', unit.first / 'ca.key', '-days',
                (datetime.date(2040, 1, 1) - datetime.date.today()).days, '-out', again / 'ca.crt')
        with unit.lists_are_read_again():
            unit.renew('authorities.pem', again)
        wait_for(lambda: digests(again) in unit.in_force(), unit.log)
        unit.renew('revoked.crl', unit.first)
        assert kept.ask() == 200 and ask(unit, client) == 200


def test_the_log_knows_who_is_trusted_from_the_start(tmp_path):
    """What was replaced while the daemon was stopped is logged before anybody is let in by it."""
    with TwoAuthorities(tmp_path / 'unit') as unit:
        unit.stop()
        unit.put('authorities.pem', unit.first, unit.second)
        unit.put('revoked.crl', unit.first, unit.second)
        newcomer = unit.client_of(unit.second, 'newcomer', 'auditor')
        unit.start()
        assert ask(unit, newcomer, '/audit/checkpoint') == 200
        kinds = [e['kind'] for e in unit.entries()]
        assert unit.in_force() == [digests(unit.first), digests(unit.first, unit.second)]
        assert kinds.index('authorities', kinds.index('stop')) > 0
