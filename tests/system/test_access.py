"""The access file against the real daemon: roles, tables and rates of single certificates, certificates of an authority
that knows nothing of Throughcare, renewal without a restart, mistakes that leave the old file in force, and that the audit
log has every change and every denial."""
import hashlib
import json
import pathlib
import signal
import ssl
import subprocess
import time

import pytest

from harness import PATIENCE_S, Unit, make_registers, problem, tool, wait_for

POLICY = '1.3.6.1.4.1.55555.7.1'
IN_USE, KEPT = 'access file in use', 'the one before stays in force'


def fingerprint(path):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pathlib.Path(path).read_text())).hexdigest()


def openssl(*args):
    done = subprocess.run(['openssl', *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def foreign_certificate(unit, out, policy=POLICY):
    """A certificate that the clients' authority signed as another software would have: no names of ours, but a policy."""
    out = pathlib.Path(out)
    extensions = out.with_suffix('.ext')
    extensions.write_text(f'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n'
                          f'extendedKeyUsage=clientAuth\ncertificatePolicies={policy},2.5.29.32.0\n')
    openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=Ann Person',
            '-keyout', f'{out}.key', '-out', f'{out}.csr')
    openssl('x509', '-req', '-in', f'{out}.csr', '-CA', unit.keys / 'ca/ca.crt', '-CAkey', unit.keys / 'ca/ca.key',
            '-days', 30, '-extfile', extensions, '-out', f'{out}.crt')
    return f'{out}.crt', f'{out}.key'


class WithAccess(Unit):
    def __init__(self, folder, text, **conf):
        super().__init__(folder, access_file='access/access.yaml', **conf)
        self.access = self.keys / 'daemon' / 'access' / 'access.yaml'
        self.access.parent.mkdir()
        self.access.write_text(text)

    def rule(self, who, *lines):
        return f'- fingerprint: {fingerprint(self.keys / who / "client.crt")}\n' + ''.join(f'  {line}\n' for line in lines)

    def await_log(self, said, n):
        wait_for(lambda: self.log().count(said) >= n, self.log)

    def start(self, **options):
        n = self.log().count(IN_USE)
        super().start(**options)
        if options.get('ready', True) and 'access_file' in self.conf_path.read_text():
            self.await_log(IN_USE, n + 1)
        return self

    def renew(self, text, said):
        """Replace the file as an operator should, and wait until the daemon's log says what it made of it."""
        before = self.log().count(said)
        new = self.access.with_suffix('.new')
        new.write_text(text)
        new.rename(self.access)
        self.await_log(said, before + 1)


@pytest.fixture
def unit(tmp_path):
    with WithAccess(tmp_path / 'unit', 'requests_per_minute: 100000\n') as u:
        yield u


def certificates(unit, **wanted):
    return [e for e in unit.entries() if e['kind'] == 'certificate' and wanted.items() <= e.items()]


def test_roles_are_taken_away_and_given_back(unit):
    assert unit.request('analyst', 'GET', '/v1/tables')[0] == 200
    unit.renew('certificates:\n' + unit.rule('analyst', 'roles: []'), IN_USE)
    status, _, body = unit.request('analyst', 'GET', '/v1/tables')
    assert (status, problem(body)[0]) == (403, 'forbidden')
    assert unit.request('auditor', 'GET', '/audit/checkpoint')[0] == 200
    unit.renew('certificates:\n' + unit.rule('analyst', 'roles: [analyst]'), IN_USE)
    assert unit.request('analyst', 'GET', '/v1/tables')[0] == 200
    # A rule cannot make an analyst an auditor.
    unit.renew('certificates:\n' + unit.rule('analyst', 'roles: [analyst, auditor]'), IN_USE)
    assert unit.request('analyst', 'GET', '/audit/checkpoint')[0] == 403
    fp = fingerprint(unit.keys / 'analyst/client.crt')
    assert [e['change'] for e in certificates(unit, fp=fp)] == ['added', 'changed', 'changed']
    denied = unit.refusals(2)
    assert [(e['route'], e['reason'], e.get('fp') or e['who']['fp']) for e in denied] == [
        ('none', 'forbidden', fp), ('/audit/checkpoint', 'forbidden', fp)]


def test_an_open_connection_is_judged_anew(unit):
    import http.client
    connection = http.client.HTTPConnection('localhost', unit.port)
    connection.sock = unit.tls('analyst')
    connection.request('GET', '/v1/tables')
    response = connection.getresponse()
    assert response.status == 200 and response.read()
    unit.renew('other_certificates: refuse\ncertificates:\n' + unit.rule('auditor'), IN_USE)
    connection.request('GET', '/v1/tables')
    response = connection.getresponse()
    assert response.status == 403, response.read()
    connection.close()
    assert unit.request('operator', 'GET', '/v1/status')[0] == 403
    assert unit.request('auditor', 'GET', '/audit/checkpoint')[0] == 200


def test_tables(tmp_path):
    with WithAccess(tmp_path / 'unit', '{}\n') as unit:
        unit.push_registers(make_registers(tmp_path / 'registers', 300))
        unit.publish()
        names = [t['name'] for t in json.loads(unit.request('analyst', 'GET', '/v1/tables')[2])['tables']]
        allowed, other = names[0], names[1]
        assert unit.request('analyst', 'GET', f'/v1/tables/{other}')[0] == 200
        unit.renew('certificates:\n' + unit.rule('analyst', f'tables: [{allowed}]'), IN_USE)
        assert unit.request('analyst', 'GET', f'/v1/tables/{allowed}')[0] == 200
        status, _, body = unit.request('analyst', 'GET', f'/v1/tables/{other}')
        assert (status, problem(body)) == (403, ('forbidden', 'the certificate may not read this table'))
        assert unit.request('analyst', 'GET', '/v1/tables')[0] == 200      # what there is, the study says anyway
        last = unit.refusals(1)[-1]
        assert (last['kind'], last['route'], last['reason'], last['who']['client']) == (
            'refused', '/v1/tables/{}', 'forbidden', 'analyst')


def test_rates(unit):
    unit.renew('certificates:\n' + unit.rule('analyst', 'requests_per_minute: 5'), IN_USE)
    began = time.monotonic()
    answers = [unit.request('analyst', 'GET', '/healthz') for _ in range(12)]
    took = time.monotonic() - began
    n_ok = sum(status == 200 for status, _, _ in answers)
    # Five at once, and one more for every twelve seconds that the machine took.
    assert 5 <= n_ok <= 5 + took / 12 + 1
    limited = [(headers, body) for status, headers, body in answers if status == 429]
    assert len(limited) == 12 - n_ok > 0
    for headers, body in limited:
        assert problem(body)[0] == 'too-many-requests'
        assert 1 <= int(headers['Retry-After']) <= 12
    assert unit.request('auditor', 'GET', '/healthz')[0] == 200       # others go on
    logged = unit.refusals(len(limited))
    assert {e['reason'] for e in logged} == {'too-many-requests'}
    assert len(logged) + sum(e.get('not_logged_before', 0) for e in logged) == len(limited)


def test_certificates_of_another_authority(unit, tmp_path):
    cert, key = foreign_certificate(unit, tmp_path / 'foreign')
    ask = lambda path: unit.request(None, 'GET', path, cert=cert, key=key)
    assert ask('/healthz')[0] == 403
    unit.renew(f'policies:\n- {{oid: {POLICY}, client: ward, roles: [auditor]}}\n', IN_USE)
    status, _, _ = ask('/audit/checkpoint')
    assert status == 200
    assert ask('/v1/tables')[0] == 403
    client = f'ward-{fingerprint(cert)[:16]}'
    assert unit.refusals(2)[-1]['who'] == {'client': client, 'fp': fingerprint(cert), 'role': 'auditor'}
    assert b'Ann' not in json.dumps(unit.entries()).encode()          # a subject's name is nobody's business
    unit.renew('{}\n', IN_USE)
    assert ask('/audit/checkpoint')[0] == 403
    assert [e['change'] for e in certificates(unit, policy=POLICY)] == ['added', 'removed']


def test_a_mistake_leaves_the_old_file_in_force(unit):
    unit.renew('certificates:\n' + unit.rule('analyst', 'roles: []'), IN_USE)
    n = len(unit.entries())
    for wrong in ('certificates: [\n', 'certificates:\n- fingerprint: 12\n', 'other_certificate: refuse\n',
                  'certificates:\n' + unit.rule('prison', 'source: no-such-source'),
                  'certificates:\n' + unit.rule('analyst', 'tables: [no_such_table]'), 'x' * 2000000):
        unit.renew(wrong, KEPT)
        assert unit.request('analyst', 'GET', '/v1/tables')[0] == 403
        assert unit.request('auditor', 'GET', '/audit/checkpoint')[0] == 200
    assert 'the study has no table of this name' in unit.log()
    assert not [e for e in unit.entries()[n:] if e['kind'] in ('certificate', 'access')]
    refused = [e for e in unit.entries()[n:] if e['kind'] == 'renewal_refused']
    assert [(e['file'], e['reason']) for e in refused] == [('access_file', 'malformed')] * 5 + [('access_file', 'unreadable')]
    assert refused[1]['digest'] == hashlib.sha256(b'certificates:\n- fingerprint: 12\n').hexdigest()
    unit.access.unlink()                                              # nor does a file that is gone open anything
    unit.daemon.send_signal(signal.SIGHUP)
    unit.await_log('access.yaml: No such file', 1)
    assert unit.request('analyst', 'GET', '/v1/tables')[0] == 403


def test_a_start_with_a_mistake_is_refused(tmp_path):
    unit = WithAccess(tmp_path / 'unit', 'certificates:\n- {fingerprint: 12}\n')
    unit.start(ready=False)
    assert unit.daemon.wait(PATIENCE_S) == 78
    assert 'access.yaml:2: certificates[0].fingerprint' in unit.log()


def test_each_change_is_logged_once(tmp_path):
    unit = WithAccess(tmp_path / 'unit', '{}\n')
    text = 'certificates:\n' + unit.rule('analyst', 'requests_per_minute: 50') + unit.rule('auditor')
    unit.access.write_text(text)
    with unit:
        first = unit.entries()
        tool('keys', 'cert', '--ca', unit.keys / 'ca', '--client', 'leaver', '--role', 'analyst', '-o', tmp_path / 'leaver')
        tool('keys', 'revoke', '--ca', unit.keys / 'ca', tmp_path / 'leaver.crt')
        wait_for(lambda: certificates(unit, change='revoked'), unit.log)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            unit.request(None, 'GET', '/healthz', cert=tmp_path / 'leaver.crt', key=tmp_path / 'leaver.key')
        refused = unit.refusals(1)
        assert refused[0]['fp'] == fingerprint(tmp_path / 'leaver.crt') and refused[0]['reason'] == 'not-authenticated'
        unit.restart()
        unit.daemon.send_signal(signal.SIGHUP)
        unit.restart()
        assert len(certificates(unit)) == 3 and len([e for e in unit.entries() if e['kind'] == 'access']) == 1
    access = [e for e in first if e['kind'] == 'access'][0]
    assert access['certificates'] == 2 and access['digest'] == hashlib.sha256(text.encode()).hexdigest()
    listing = subprocess.run(['openssl', 'x509', '-in', tmp_path / 'leaver.crt', '-noout', '-serial'], text=True,
                             capture_output=True).stdout.strip().split('=')[1].lower()
    with unit:
        assert certificates(unit, change='revoked')[0]['serial'] == listing
        done = unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey')
        assert 'audit log verified' in done.stdout
    unit.configure(access_file=None)                                  # without a file what was in force is taken back
    with unit:
        assert [e['change'] for e in certificates(unit)][-2:] == ['removed', 'removed']
        assert unit.request('analyst', 'GET', '/v1/tables')[0] == 200


def test_a_revocation_list_that_is_refused_is_logged(unit):
    """One of another authority, one from before, one that is none: the list in force stays, and the log says why."""
    crl = unit.keys / 'ca' / 'revoked.crl'
    first = crl.read_bytes()
    tool('keys', 'cert', '--ca', unit.keys / 'ca', '--client', 'leaver', '--role', 'analyst', '-o', unit.folder / 'leaver')
    time.sleep(1.1)                                         # lists are told apart by their second
    tool('keys', 'revoke', '--ca', unit.keys / 'ca', unit.folder / 'leaver.crt')
    deadline = time.monotonic() + PATIENCE_S
    while not certificates(unit, change='revoked'):
        assert time.monotonic() < deadline, unit.log()
        time.sleep(0.02)
    tool('keys', 'ca', unit.folder / 'other-ca')
    for data, reason in (((unit.folder / 'other-ca' / 'revoked.crl').read_bytes(), 'not-of-the-authority'),
                         (first, 'older'), (b'no list\n', 'malformed'), (b'', 'malformed')):
        new = crl.with_suffix('.new')
        new.write_bytes(data)
        new.rename(crl)
        want = {'kind': 'renewal_refused', 'file': 'tls_revocation_list', 'reason': reason,
                'digest': hashlib.sha256(data).hexdigest()}
        while not [e for e in unit.entries() if want.items() <= e.items()]:
            assert time.monotonic() < deadline, (want, unit.log())
            time.sleep(0.02)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            unit.request(None, 'GET', '/healthz', cert=unit.folder / 'leaver.crt', key=unit.folder / 'leaver.key')
    assert unit.request('auditor', 'GET', '/audit/checkpoint')[0] == 200
