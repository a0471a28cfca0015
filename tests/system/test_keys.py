"""`throughcare keys`: what it makes is what the parts need, private where it must be, and never overwritten."""
import re
import ssl
import stat
import subprocess

import pytest

from harness import STUDY, tool

import log_server  # noqa: F401  (puts the references on the path)
import tlog


def openssl(*args, check=True):
    done = subprocess.run(['openssl', *map(str, args)], capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope='module')
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp('keys') / 'set'
    tool('keys', 'init', folder, '--study', STUDY, '--host', 'unit.example.org', '--host', '192.0.2.7')
    return folder


def refused(status, *args):
    done = tool('keys', *args, check=False)
    assert done.returncode == status, (done.returncode, done.stderr)
    assert done.stderr.startswith('throughcare'), done.stderr
    return done.stderr


# ---- init ----

def test_the_whole_set(keys):
    want = {'study.yaml', 'log.vkey', 'ca/ca.crt', 'ca/ca.key', 'ca/revoked.crl', 'daemon/tls.crt', 'daemon/tls.key',
            'daemon/seal.key', 'daemon/log.key', 'daemon/log.key.state', 'daemon/throughcared.yaml', 'custodians/main.secret'}
    for who in ('prison', 'treatment', 'analyst', 'auditor', 'operator'):
        want |= {f'{who}/client.crt', f'{who}/client.key'}
    want |= {'prison/record.key', 'treatment/record.key'}
    there = {p.relative_to(keys).as_posix() for p in keys.rglob('*') if p.is_file()}
    assert want <= there and there - want == {'daemon/log.key.state.lock'}


def test_private_files_are_private(keys):
    for path in keys.rglob('*'):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        elif path.suffix in ('.key', '.secret', '.state'):
            assert mode == 0o600, path
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700


def test_key_files_have_their_form_and_differ(keys):
    seen = set()
    for path, kind in [('daemon/seal.key', 'seal'), ('daemon/log.key', 'log'), ('custodians/main.secret', 'linkage'),
                       ('prison/record.key', 'record'), ('treatment/record.key', 'record')]:
        match = re.fullmatch(rf'throughcare-{kind}-v1:([0-9a-f]{{64}})\n', (keys / path).read_text())
        assert match, path
        seen.add(match.group(1))
    assert len(seen) == 5


def test_study_is_pinned_and_nothing_else_changed(keys):
    check = tool('keys', 'linkage', keys / 'custodians/main.secret', '--show', '--study', STUDY).stdout.strip()
    assert re.fullmatch('key_check: [0-9a-f]{32}', check)
    assert (keys / 'study.yaml').read_text() == STUDY.read_text().replace('key_check: unset', check)


def test_domains_and_a_pinned_study(tmp_path, keys):
    """Five domains, five secrets, five checks; a study that was pinned before is pinned anew in the copy, and it is said."""
    study = STUDY.parent / 'study-five-countries.yaml'
    done = tool('keys', 'init', tmp_path / 'five', '--study', study)
    secrets = sorted((tmp_path / 'five/custodians').iterdir())
    checks = {tool('keys', 'linkage', s, '--show', '--study', study, '--domain', s.stem).stdout for s in secrets}
    text = (tmp_path / 'five/study.yaml').read_text()
    assert len(checks) == len(secrets) > 1 and all(c.split()[1] in text for c in checks)
    assert 'unset' not in ''.join(line for line in text.splitlines() if 'key_check' in line and not line.strip().startswith('#'))
    assert done.stderr == ''
    again = tool('keys', 'init', tmp_path / 'again', '--study', keys / 'study.yaml')
    assert "'main'" in again.stderr and 'new one' in again.stderr
    assert (tmp_path / 'again/study.yaml').read_text() != (keys / 'study.yaml').read_text()


def test_never_overwrites(keys, tmp_path):
    before = (keys / 'daemon/seal.key').read_bytes()
    assert 'not overwritten' in refused(65, 'init', keys, '--study', STUDY)
    for command in (['seal'], ['record'], ['log', '--origin', 'log.example/x'], ['linkage', '--study', STUDY]):
        assert 'not overwritten' in refused(65, command[0], keys / 'daemon/seal.key', *command[1:])
    assert 'not overwritten' in refused(65, 'ca', keys / 'ca')
    assert 'not overwritten' in refused(65, 'cert', '--ca', keys / 'ca', '--client', 'x', '--role', 'analyst', '-o',
                                        keys / 'analyst/client')
    assert (keys / 'daemon/seal.key').read_bytes() == before
    (tmp_path / 'empty').mkdir()
    tool('keys', 'init', tmp_path / 'empty', '--study', STUDY)


def test_failure_leaves_nothing(tmp_path):
    (tmp_path / 'bad.yaml').write_text(STUDY.read_text().replace('interval_days', 'intervall_days'))
    assert 'intervall_days' in refused(65, 'init', tmp_path / 'set', '--study', tmp_path / 'bad.yaml')
    (tmp_path / 'clash.yaml').write_text(STUDY.read_text().replace('  prison: {', '  analyst: {'))
    assert 'folder' in refused(65, 'init', tmp_path / 'set', '--study', tmp_path / 'clash.yaml')
    refused(65, 'init', tmp_path / 'set', '--study', STUDY, '--host', 'not a host')
    refused(64, 'init', tmp_path / 'set', '--study', STUDY, '--origin', 'two words')
    refused(66, 'init', tmp_path / 'set', '--study', tmp_path / 'absent.yaml')
    refused(74, 'init', tmp_path / 'no/such/folder', '--study', STUDY)
    assert {p.name for p in tmp_path.iterdir()} == {'bad.yaml', 'clash.yaml'}


# ---- certificates ----

def test_certificates_verify(keys):
    ca = ['-x509_strict', '-CAfile', keys / 'ca/ca.crt', '-CRLfile', keys / 'ca/revoked.crl', '-crl_check']
    for who in ('prison', 'treatment', 'analyst', 'auditor', 'operator'):
        assert 'OK' in openssl('verify', *ca, '-purpose', 'sslclient', keys / who / 'client.crt')
        assert 'OK' not in openssl('verify', *ca, '-purpose', 'sslserver', keys / who / 'client.crt', check=False)
    assert 'OK' in openssl('verify', *ca, '-purpose', 'sslserver', keys / 'daemon/tls.crt')
    names = openssl('x509', '-in', keys / 'daemon/tls.crt', '-noout', '-ext', 'subjectAltName')
    for name in ('DNS:localhost', 'IP Address:127.0.0.1', '0:0:0:0:0:0:0:1', 'DNS:unit.example.org', '192.0.2.7'):
        assert name in names
    uris = openssl('x509', '-in', keys / 'prison/client.crt', '-noout', '-ext', 'subjectAltName')
    assert set(re.findall(r'URI:([^,\s]+)', uris)) == {
        'urn:throughcare:client:prison', 'urn:throughcare:role:submitter', 'urn:throughcare:source:prison'}
    for path in keys.rglob('*.crt'):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path, path.with_suffix('.key'))       # the key belongs to the certificate


@pytest.mark.parametrize('args, status, reason', [
    (['--role', 'operator', '--role', 'analyst'], 77, 'may not be joined'),
    (['--role', 'operator', '--role', 'auditor'], 77, 'may not be joined'),
    (['--role', 'submitter', '--role', 'auditor', '--source', 's'], 77, 'may not be joined'),
    (['--role', 'submitter'], 65, 'source'),
    (['--role', 'analyst', '--source', 'prison'], 65, 'source'),
    ([], 77, 'no role'),
    (['--role', 'root'], 64, 'submitter, analyst, auditor or operator'),
    (['--role', 'analyst', '--not-after', 'soon'], 64, 'YYYY-MM-DD'),
    (['--role', 'analyst', '--not-before', '2030-01-01', '--not-after', '2029-01-01'], 64, 'before it begins'),
    (['--role', 'analyst', '--client', 'x' * 64], 65, 'longer'),
    (['--role', 'analyst', '--client', 'two words'], 65, ''),
    (['--role', 'analyst', '--server', 'localhost'], 64, "either a server's or a client's"),
    (['--role', 'analyst', '--days', '0'], 64, 'days'),
])
def test_certificates_that_are_refused(keys, tmp_path, args, status, reason):
    client = [] if '--client' in args else ['--client', 'x']
    assert reason in refused(status, 'cert', '--ca', keys / 'ca', *client, *args, '-o', tmp_path / 'x')
    assert list(tmp_path.iterdir()) == []


def test_allowed_role_pair_and_validity(keys, tmp_path):
    tool('keys', 'cert', '--ca', keys / 'ca', '--client', 'both', '--role', 'submitter', '--role', 'analyst', '--source',
         'treatment', '-o', tmp_path / 'both')
    tool('keys', 'cert', '--ca', keys / 'ca', '--client', 'old', '--role', 'analyst', '--not-after', '2020-02-29', '-o',
         tmp_path / 'old')
    tool('keys', 'cert', '--ca', keys / 'ca', '--client', 'new', '--role', 'analyst', '--not-before', '2090-01-01', '--days',
         '10', '-o', tmp_path / 'new')
    tool('keys', 'cert', '--ca', keys / 'ca', '--server', 'other.example', '--server', '::1', '-o', tmp_path / 'server')
    ca = ['-CAfile', keys / 'ca/ca.crt']
    assert 'OK' in openssl('verify', *ca, tmp_path / 'both.crt')
    assert 'expired' in openssl('verify', *ca, tmp_path / 'old.crt', check=False)
    assert 'not yet valid' in openssl('verify', *ca, tmp_path / 'new.crt', check=False)
    assert '2020' in openssl('x509', '-in', tmp_path / 'old.crt', '-noout', '-enddate')


def test_signing_requests(keys, tmp_path):
    """The client's key never leaves it, and the authority's operator, not the request, says what the certificate says."""
    tool('keys', 'request', '--client', 'prison-2', '-o', tmp_path / 'mine')
    assert stat.S_IMODE((tmp_path / 'mine.key').stat().st_mode) == 0o600
    assert 'not overwritten' in refused(65, 'request', '--client', 'x', '-o', tmp_path / 'mine')
    openssl('req', '-new', '-newkey', 'rsa:2048', '-nodes', '-keyout', tmp_path / 'rsa.key', '-subj', '/CN=root', '-addext',
            'subjectAltName=URI:urn:throughcare:role:operator', '-addext', 'basicConstraints=critical,CA:TRUE', '-out',
            tmp_path / 'rsa.csr')
    for name in ('mine', 'rsa'):
        before = (tmp_path / f'{name}.key').read_bytes()
        tool('keys', 'cert', '--ca', keys / 'ca', '--request', tmp_path / f'{name}.csr', '--client', 'prison-2', '--role',
             'submitter', '--source', 'prison', '-o', tmp_path / name)
        assert (tmp_path / f'{name}.key').read_bytes() == before
        text = openssl('x509', '-in', tmp_path / f'{name}.crt', '-noout', '-text')
        assert set(re.findall(r'URI:([^,\s]+)', text)) == {'urn:throughcare:client:prison-2', 'urn:throughcare:role:submitter',
                                                          'urn:throughcare:source:prison'}
        assert 'CA:FALSE' in text and 'CN = prison-2' in text and 'CN = root' not in text
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(tmp_path / f'{name}.crt', tmp_path / f'{name}.key')

    openssl('req', '-new', '-newkey', 'rsa:1024', '-nodes', '-keyout', tmp_path / 'weak.key', '-subj', '/CN=x', '-out',
            tmp_path / 'weak.csr')
    lines = (tmp_path / 'mine.csr').read_text().splitlines()
    lines[3] = lines[3][:10] + ('A' if lines[3][10] != 'A' else 'B') + lines[3][11:]
    (tmp_path / 'changed.csr').write_text('\n'.join(lines) + '\n')
    (tmp_path / 'none.csr').write_text('nothing\n')
    for name, reason in (('weak', 'too weak'), ('changed', ''), ('none', 'no PEM'), ('absent', 'No such file')):
        client = ['--client', 'x', '--role', 'analyst', '-o', tmp_path / f'{name}-out']
        assert reason in refused(65, 'cert', '--ca', keys / 'ca', '--request', tmp_path / f'{name}.csr',
                                 *client)
        assert not (tmp_path / f'{name}-out.crt').exists()


def test_expiry(keys, tmp_path):
    done = tool('keys', 'expiry', keys)
    lines = done.stdout.splitlines()
    assert len(lines) == len(list(keys.rglob('*.crt'))) + len(list(keys.rglob('*.crl')))
    assert lines == sorted(lines, key=lambda line: line[:10]) and 'OUT' not in done.stdout
    assert sum('revocation list' in line for line in lines) == 1 and sum('authority' in line for line in lines) == 1
    for name, days in (('soon', 10), ('later', 60)):
        tool('keys', 'cert', '--ca', keys / 'ca', '--client', name, '--role', 'analyst', '--days', days, '-o', tmp_path / name)
    tool('keys', 'cert', '--ca', keys / 'ca', '--client', 'old', '--role', 'analyst', '--not-after', '2020-02-29', '-o',
         tmp_path / 'old')
    done = tool('keys', 'expiry', tmp_path, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 78 and [line.split('/')[-1].split('.')[0] for line in lines] == ['old', 'soon', 'later']
    assert 'HAS RUN OUT' in lines[0] and lines[0].startswith('2020-02-29')
    assert 'RUNS OUT SOON' in lines[1] and lines[2].endswith('later.crt')
    assert tool('keys', 'expiry', tmp_path / 'later.crt').returncode == 0
    assert tool('keys', 'expiry', tmp_path / 'later.crt', '--days', 90, check=False).returncode == 78
    (tmp_path / 'no.crt').write_text('nothing')
    assert 'no PEM certificate' in refused(78, 'expiry', tmp_path / 'no.crt')
    assert 'No such file' in refused(66, 'expiry', tmp_path / 'absent.crt')


def test_unsafe_authority_key(keys, tmp_path):
    (tmp_path / 'ca.crt').write_bytes((keys / 'ca/ca.crt').read_bytes())
    (tmp_path / 'ca.key').write_bytes((keys / 'ca/ca.key').read_bytes())
    (tmp_path / 'ca.key').chmod(0o644)
    args = ['cert', '--ca', tmp_path, '--client', 'x', '--role', 'analyst', '-o', tmp_path / 'x']
    assert '0600' in refused(78, *args)
    tool('keys', 'ca', tmp_path / 'other')
    (tmp_path / 'ca.key').write_bytes((tmp_path / 'other/ca.key').read_bytes())
    (tmp_path / 'ca.key').chmod(0o600)
    assert 'does not belong' in refused(78, *args)


def test_revocation(tmp_path):
    tool('keys', 'ca', tmp_path / 'ca', '--name', 'One', '--days', '40')
    tool('keys', 'ca', tmp_path / 'other')
    for name in ('a', 'b'):
        tool('keys', 'cert', '--ca', tmp_path / 'ca', '--client', name, '--role', 'analyst', '-o', tmp_path / name)
    tool('keys', 'cert', '--ca', tmp_path / 'other', '--client', 'x', '--role', 'analyst', '-o', tmp_path / 'x')
    check = ['verify', '-CAfile', tmp_path / 'ca/ca.crt', '-CRLfile', tmp_path / 'ca/revoked.crl', '-crl_check']
    assert 'OK' in openssl(*check, tmp_path / 'a.crt')
    assert ': revoked' in tool('keys', 'revoke', '--ca', tmp_path / 'ca', tmp_path / 'a.crt').stdout
    assert 'revoked before' in tool('keys', 'revoke', '--ca', tmp_path / 'ca', tmp_path / 'a.crt').stdout
    assert 'certificate revoked' in openssl(*check, tmp_path / 'a.crt', check=False)
    assert 'OK' in openssl(*check, tmp_path / 'b.crt')
    text = openssl('crl', '-in', tmp_path / 'ca/revoked.crl', '-noout', '-text')
    assert re.search(r'CRL Number:\s+2', text) and text.count('Serial Number') == 1
    assert 'not issued by this' in refused(65, 'revoke', '--ca', tmp_path / 'ca', tmp_path / 'x.crt')
    assert 'no PEM' in refused(65, 'revoke', '--ca', tmp_path / 'ca', tmp_path / 'a.key')
    (tmp_path / 'ca/revoked.crl').write_bytes((tmp_path / 'other/revoked.crl').read_bytes())
    assert 'not a revocation list of this authority' in refused(65, 'revoke', '--ca', tmp_path / 'ca', tmp_path / 'b.crt')


# ---- single keys ----

def test_log_key(tmp_path):
    out = tool('keys', 'log', tmp_path / 'log.key', '--origin', 'log.example/1', '--vkey', tmp_path / 'log.vkey').stdout
    assert out == (tmp_path / 'log.vkey').read_text()
    name, public = tlog.parse_vkey(out)
    seed = bytes.fromhex((tmp_path / 'log.key').read_text().strip().split(':')[1])
    assert name == 'log.example/1' and public == tlog.public_key(seed)
    assert tool('keys', 'log', tmp_path / 'log.key', '--origin', 'log.example/1', '--show').stdout == out
    refused(65, 'log', tmp_path / 'other.key', '--origin', 'a b')
    assert not (tmp_path / 'other.key').exists()


def test_signer_state(tmp_path):
    """A lost state is made anew from a checkpoint of this very key, never over an existing one."""
    tool('keys', 'log', tmp_path / 'log.key', '--origin', 'log.example/1')
    seed = bytes.fromhex((tmp_path / 'log.key').read_text().strip().split(':')[1])
    note = tlog.sign_checkpoint('log.example/1', 7, tlog.sha256(b'root'), seed)
    (tmp_path / 'note').write_text(note)
    (tmp_path / 'forged').write_text(tlog.sign_checkpoint('log.example/1', 7, tlog.sha256(b'root'), bytes(32)))
    make = ['signer-state', '--key', tmp_path / 'log.key', '--origin', 'log.example/1']
    assert 'not overwritten' in refused(65, *make, '--empty')
    (tmp_path / 'log.key.state').unlink()
    refused(64, *make)
    refused(64, *make, '--empty', '--checkpoint', tmp_path / 'note')
    refused(65, *make, '--checkpoint', tmp_path / 'forged')
    assert not (tmp_path / 'log.key.state').exists()
    tool('keys', *make, '--checkpoint', tmp_path / 'note')
    assert (tmp_path / 'log.key.state').read_text().split()[1] == '7'


def test_linkage_domains(tmp_path):
    study = STUDY.parent / 'study-five-countries.yaml'
    assert '--domain' in refused(64, 'linkage', tmp_path / 's', '--study', study)
    assert 'no encoding domain' in refused(66, 'linkage', tmp_path / 's', '--study', study, '--domain', 'atlantis')
    weak = tmp_path / 'weak.secret'
    weak.write_text('throughcare-linkage-v1:' + b'correct horse battery staple, 32'.hex() + '\n')
    weak.chmod(0o600)
    done = refused(78, 'linkage', weak, '--show', '--study', STUDY)
    assert 'guessed' in done and 'horse' not in done


@pytest.mark.parametrize('command', ['init', 'ca', 'cert', 'revoke', 'linkage', 'record', 'seal', 'log', 'signer-state'])
def test_help(command):
    text = tool('keys', command, '--help').stdout
    assert 'usage: throughcare keys ' + command in text and 'example' in text
    assert command in tool('keys', '--help').stdout


def test_shares_of_the_linkage_secret(keys, tmp_path):
    """Any three of five printed shares give the secret back, checked against the study; each can be checked alone."""
    secret, study = tmp_path / 'main.secret', keys / 'study.yaml'
    secret.write_text((keys / 'custodians/main.secret').read_text())
    secret.chmod(0o600)
    tool('keys', 'linkage', secret, '--study', study, '--split', '3/5')
    shares = [tmp_path / f'main.secret.share-{n}' for n in range(1, 6)]
    for share in shares:
        assert stat.S_IMODE(share.stat().st_mode) == 0o600
        assert 'typed right' in tool('keys', 'linkage', share, '--study', study, '--check-share').stdout
        assert secret.read_text().strip().split(':')[1] not in share.read_text()
    assert refused(65, 'linkage', secret, '--study', study, '--split', '3/5'), 'never overwritten'

    def join(name, *which, study=study):
        options = [x for share in which for x in ('--join', share)]
        return ['linkage', tmp_path / name, '--study', study, *options]

    joined = tool('keys', *join('joined.secret', shares[4], shares[0], shares[2])).stdout
    assert joined == tool('keys', 'linkage', secret, '--study', study, '--show').stdout
    assert (tmp_path / 'joined.secret').read_text() == secret.read_text()
    tool('keys', *join('all.secret', *shares))
    assert '3 shares are needed, 2 given' in refused(65, *join('x', *shares[:2]))
    assert 'given twice' in refused(65, *join('x', shares[0], shares[1], shares[0]))
    # Typed in from paper with a slip, or of another secret.
    text = shares[1].read_text()
    at = text.index('throughcare-share-v1') + 60
    shares[1].write_text(text[:at] + ('0' if text[at] != '0' else '1') + text[at + 1:])
    assert 'mistyped' in refused(65, 'linkage', shares[1], '--study', study, '--check-share')
    assert 'mistyped' in refused(65, *join('x', *shares[:3]))
    tool('keys', 'linkage', tmp_path / 'other.secret', '--study', study)
    tool('keys', 'linkage', tmp_path / 'other.secret', '--study', study, '--split', '2/2')
    others = [tmp_path / f'other.secret.share-{n}' for n in (1, 2)]
    assert 'different splits' in refused(65, *join('x', shares[0], others[1]))
    assert 'key check the study has pinned' in refused(65, *join('x', *others))
    assert not (tmp_path / 'x').exists()
    for wrong in ('1/3', '4/3', '3', '2/17', '3/5x'):
        refused(64, 'linkage', secret, '--study', study, '--split', wrong)
    refused(64, 'linkage', secret, '--study', study, '--split', '2/2', '--show')
