"""push, query and admin against a server that misbehaves on purpose: what the real daemon does only when it is in trouble.
Everything that a healthy daemon does is tested with the daemon itself. Batches come from the reference writer."""
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import pty
import ssl
import subprocess
import sys
import threading
import zlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / 'ref'))
import batch                                                       # noqa: E402
from harness import THROUGHCARE                                    # noqa: E402


def make_authority(folder, name):
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ed25519', '-nodes', '-keyout', folder / f'{name}.key', '-out',
                    folder / f'{name}.crt', '-days', '2', '-subj', f'/CN={name}'], check=True, capture_output=True)


def make_certificate(folder, authority, name, extra):
    subprocess.run(['openssl', 'req', '-newkey', 'ed25519', '-nodes', '-keyout', folder / f'{name}.key', '-out',
                    folder / f'{name}.csr', '-subj', f'/CN={name}'], check=True, capture_output=True)
    (folder / f'{name}.ext').write_text(extra)
    subprocess.run(['openssl', 'x509', '-req', '-in', folder / f'{name}.csr', '-CA', folder / f'{authority}.crt', '-CAkey',
                    folder / f'{authority}.key', '-CAcreateserial', '-days', '2', '-extfile', folder / f'{name}.ext',
                    '-out', folder / f'{name}.crt'], check=True, capture_output=True)
    os.chmod(folder / f'{name}.key', 0o600)


@pytest.fixture(scope='module')
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pki')
    make_authority(folder, 'ca')
    make_authority(folder, 'other')
    make_certificate(folder, 'ca', 'server', 'subjectAltName=DNS:localhost,IP:127.0.0.1')
    make_certificate(folder, 'ca', 'elsewhere', 'subjectAltName=DNS:elsewhere.example')
    make_certificate(folder, 'ca', 'client', 'subjectAltName=URI:urn:throughcare:client:test')
    make_certificate(folder, 'other', 'stranger', 'subjectAltName=URI:urn:throughcare:client:stranger')
    return folder


def receipt(data, source='prison'):
    _, chunks = batch.read(data, batch.FIXTURE_FILTER_BYTES)
    n = sum(len(c['record_ids']) for c in chunks)
    return json.dumps({'batch': batch.batch_id(data), 'entry': '{}', 'index': 0, 'proof': '', 'records': n,
                       'source': source, 'v': 1}, separators=(',', ':')).encode()


def problem(status, name, detail='', **headers):
    body = json.dumps({'type': f'urn:throughcare:error:{name}', 'title': f'title of {name}', 'status': status,
                       'detail': detail}).encode()
    return status, body, {'Content-Type': 'application/problem+json', **headers}


class Stub:
    """Stores batches as the daemon would; `script` holds answers to give instead, first come first served."""

    def __init__(self):
        self.stored, self.requests, self.script, self.get = {}, [], [], {}

    def answer(self, method, path, headers, body):
        self.requests.append((method, path, dict(headers), body))
        if self.script:
            answer = self.script.pop(0)
            if answer is not None:
                return answer
        if method == 'GET' and path.startswith('/v1/batches/'):
            known = path.rsplit('/', 1)[1] in self.stored
            return (200, b'{"stored":true}', {}) if known else problem(404, 'not-found')
        if method == 'POST' and path == '/v1/batches':
            if headers.get('Content-Encoding') == 'gzip':
                body = zlib.decompress(body, 31)
            name = batch.batch_id(body)
            status = 200 if name in self.stored else 201
            self.stored[name] = body
            return status, receipt(body), {}
        answer = self.get.get((method, path))
        if callable(answer):
            answer = answer()
        return (answer[0], answer[1], {}) if answer else problem(404, 'not-found')


@contextlib.contextmanager
def serve(pki, certificate='server', version=ssl.TLSVersion.TLSv1_3, authority='ca'):
    stub = Stub()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def handle_any(self):
            body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
            answer = stub.answer(self.command, self.path, self.headers, body)
            if answer == 'hang up':
                self.close_connection = True
                return
            status, content, headers = answer
            self.send_response(status)
            for name, value in {'Content-Type': 'application/json', **headers}.items():
                self.send_header(name, value)
            self.send_header('Content-Length', str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = handle_any

        def log_message(self, *args):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            pass

    server = Server(('127.0.0.1', 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(pki / f'{certificate}.crt', pki / f'{certificate}.key')
    context.load_verify_locations(pki / f'{authority}.crt')
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    stub.url = f'https://localhost:{server.server_address[1]}'
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def stub(pki):
    with serve(pki) as server:
        yield server


def run(pki, stub, *args, client='client', ca='ca', **options):
    env = {**os.environ, 'THROUGHCARE_URL': stub.url, 'THROUGHCARE_CERT': str(pki / f'{client}.crt'),
           'THROUGHCARE_KEY': str(pki / f'{client}.key'), 'THROUGHCARE_CA': str(pki / f'{ca}.crt')}
    return subprocess.run([str(THROUGHCARE), *map(str, args)], env=env, capture_output=True, text=True, timeout=120,
                          **options)


@pytest.fixture
def file(tmp_path):
    """Three batches of 10, 4 and 7 records."""
    path = tmp_path / 'prison.batch'
    path.write_bytes(batch.fixture(10, 4) + batch.fixture(4, 4) + batch.fixture(7, 2))
    return path


# ---- push ----

def test_push_sends_every_batch_and_keeps_receipts(pki, stub, file, tmp_path):
    done = run(pki, stub, 'push', '--receipts', tmp_path / 'receipts', file)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''                                       # quiet in a pipe
    assert '3 batches, 21 records: 3 sent' in done.stdout and '0 already known' in done.stdout
    assert b''.join(stub.stored.values()) == file.read_bytes()
    names = sorted(p.name for p in (tmp_path / 'receipts').iterdir())
    assert names == sorted(f'{name}.receipt' for name in stub.stored)
    for name, data in stub.stored.items():
        assert (tmp_path / 'receipts' / f'{name}.receipt').read_bytes() == receipt(data)


def test_push_resumes(pki, stub, file, tmp_path):
    first = batch.fixture(10, 4)
    stub.stored[batch.batch_id(first)] = first
    done = run(pki, stub, 'push', file)
    assert '2 sent' in done.stdout and '1 already known' in done.stdout
    assert [r[0] for r in stub.requests] == ['GET', 'GET', 'POST', 'GET', 'POST']
    # With receipts wanted, a known batch is sent again for its receipt, once.
    stub.requests.clear()
    done = run(pki, stub, 'push', '--receipts', tmp_path / 'r', file)
    assert '0 sent' in done.stdout and '3 already known' in done.stdout
    assert [r[0] for r in stub.requests] == ['GET', 'POST'] * 3
    stub.requests.clear()
    run(pki, stub, 'push', '--receipts', tmp_path / 'r', file)
    assert [r[0] for r in stub.requests] == ['GET'] * 3


def test_push_gzip_is_the_same_batch(pki, stub, file):
    done = run(pki, stub, 'push', '--gzip', file)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(b''.join(stub.stored.values())).digest() == hashlib.sha256(file.read_bytes()).digest()
    posts = [r for r in stub.requests if r[0] == 'POST']
    assert all(r[2]['Content-Encoding'] == 'gzip' and r[2]['Content-Type'] == 'application/x-protobuf' for r in posts)


def test_push_tries_again(pki, stub, file):
    # Two hang-ups: libcurl itself tries once more where a kept connection turns out dead.
    stub.script = [None, problem(503, 'busy', 'queue', **{'Retry-After': '1'}), 'hang up', 'hang up',
                   problem(429, 'too-many-requests', **{'Retry-After': '1'})]
    done = run(pki, stub, 'push', file)
    assert done.returncode == 0, done.stderr
    assert len(stub.stored) == 3
    assert done.stderr.count('next try in') == 3
    assert 'next try in 1.' in done.stderr                         # what Retry-After asked for


def test_push_gives_up(pki, stub, file):
    stub.script = [problem(503, 'busy')] * 10
    done = run(pki, stub, 'push', '--tries', '2', file)
    assert done.returncode == 75
    assert len(stub.requests) == 2
    assert 'prison.batch: batch 1 (records 1–10): 503 busy' in done.stderr


def test_push_stops_at_what_cannot_pass(pki, stub, file):
    stub.script = [None, None, None, problem(422, 'wrong-secret', 'header: encoded with another linkage secret')]
    done = run(pki, stub, 'push', file)
    assert done.returncode == 65
    assert ('prison.batch: batch 2 (records 11–14): 422 wrong-secret: title of wrong-secret: header: encoded with another '
            'linkage secret') in done.stderr
    assert '1 of 3 batches are stored; run the same command again' in done.stderr
    assert len(stub.stored) == 1


def test_push_believes_no_foreign_receipt(pki, stub, file, tmp_path):
    stub.script = [None, (201, receipt(batch.fixture(1, 1)), {})]
    done = run(pki, stub, 'push', '--receipts', tmp_path / 'r', file)
    assert done.returncode == 76 and 'receipt is one for another batch' in done.stderr
    assert list((tmp_path / 'r').iterdir()) == []
    stub.script = [None, (201, b'<html>', {})]
    done = run(pki, stub, 'push', file)
    assert done.returncode == 76 and 'not a receipt' in done.stderr


def test_push_verifies_receipts_with_the_log_key(pki, stub, file, tmp_path):
    key = tmp_path / 'log.vkey'
    key.write_text('nonsense\n')
    done = run(pki, stub, 'push', '--log-key', key, file)
    assert done.returncode == 78 and 'public key' in done.stderr and stub.requests == []


def test_server_text_cannot_drive_the_terminal(pki, stub, file):
    stub.script = [None, problem(400, 'malformed', '\x1b[2Jgone')]
    done = run(pki, stub, 'push', file)
    assert done.returncode == 65 and '\x1b' not in done.stderr and '?[2Jgone' in done.stderr


def test_answers_are_bounded(pki, stub, file):
    stub.script = [None, (201, b'x' * (1 << 20), {})]
    done = run(pki, stub, 'push', file)
    assert done.returncode == 65 and 'longer than' in done.stderr


def test_push_names_a_broken_file_before_sending(pki, stub, file, tmp_path):
    whole = file.read_bytes()
    for data, words in ((whole[:-5], 'batch 3'), (b'record_id,event\n', 'batch 1 (byte 0)'), (b'', 'encode'),
                        (whole + b'TC', 'batch 4')):
        file.write_bytes(data)
        done = run(pki, stub, 'push', file)
        assert done.returncode == 65 and words in done.stderr, done.stderr
    done = run(pki, stub, 'push', tmp_path / 'nowhere.batch')
    assert done.returncode == 74 and 'nowhere.batch' in done.stderr
    assert stub.requests == []


def test_progress_bar_on_a_terminal(pki, stub, file):
    main, terminal = pty.openpty()
    env = {**os.environ, 'THROUGHCARE_URL': stub.url, 'THROUGHCARE_CERT': str(pki / 'client.crt'),
           'THROUGHCARE_KEY': str(pki / 'client.key'), 'THROUGHCARE_CA': str(pki / 'ca.crt')}
    done = subprocess.run([str(THROUGHCARE), 'push', str(file)], env=env, stdout=subprocess.PIPE, stderr=terminal,
                          timeout=120)
    os.close(terminal)
    shown = os.read(main, 65536).decode()
    os.close(main)
    assert done.returncode == 0 and '#' in shown and '%' in shown and '/s' in shown


# ---- TLS ----

def test_server_of_another_authority(pki, stub, file):
    done = run(pki, stub, 'push', '--tries', '1', file, ca='other')
    assert done.returncode == 76 and 'not to be trusted' in done.stderr and stub.requests == []


def test_server_with_another_name(pki, file):
    with serve(pki, 'elsewhere') as stub:
        done = run(pki, stub, 'push', '--tries', '1', file)
        assert done.returncode == 76 and stub.requests == []


def test_server_without_tls_1_3(pki, file):
    with serve(pki, version=ssl.TLSVersion.TLSv1_2) as stub:
        done = run(pki, stub, 'push', '--tries', '1', file)
        assert done.returncode == 76 and 'TLS 1.3' in done.stderr and stub.requests == []


def test_refused_client_certificate(pki, stub, file):
    done = run(pki, stub, 'push', '--tries', '1', file, client='stranger')
    assert done.returncode in (69, 77), done.stderr                # the alert may be lost to a reset
    assert stub.requests == []


def test_nobody_listens(pki, stub, file):
    stub.url = 'https://localhost:1'
    done = run(pki, stub, 'push', '--tries', '1', file)
    assert done.returncode == 69 and 'localhost' in done.stderr


def test_plain_http_is_refused(pki, stub, file):
    stub.url = stub.url.replace('https', 'http')
    done = run(pki, stub, 'push', file)
    assert done.returncode == 64 and 'expected https://' in done.stderr


def test_open_private_key_is_refused(pki, stub, file, tmp_path):
    key = tmp_path / 'open.key'
    key.write_bytes((pki / 'client.key').read_bytes())
    os.chmod(key, 0o644)
    done = run(pki, stub, 'push', '--key', key, file)
    assert done.returncode == 78 and 'chmod 600' in done.stderr and stub.requests == []


def test_proxies_of_the_environment_are_not_used(pki, stub, file):
    os.environ['https_proxy'] = 'http://127.0.0.1:1'
    try:
        assert run(pki, stub, 'push', '--tries', '1', file).returncode == 0
    finally:
        del os.environ['https_proxy']


# ---- query ----

def rate(period, code, shown=True, state='final', n=120, percent=51.69, low=42.81, high=60.54):
    row = {'period': period, 'state': state, 'released_in': 1, 'by': {'intervention': code}, 'shown': shown}
    if shown:
        row.update(n=n, observable=n - 2, within=[
            {'days': 7, 'count': 10, 'percent': 8.47, 'low': 4.0, 'high': 15.1},
            {'days': 21, 'count': 61, 'percent': percent, 'low': low, 'high': high}])
    return row


def answer(rates, **extension):
    return json.dumps({
        'version': '2.0', 'class': 'dataset', 'label': 'Continuity, two registers', 'id': ['period', 'intervention', 'outcome'],
        'note': ['Hidden rows are unknown, not zero.'],
        'extension': {'synthetic': True, 'study': 'two-registers', 'study_digest': 'ab' * 32, 'release': 3,
                      'as_of': '2024-12-31', 'table': 'continuity_by_intervention',
                      'source_table': 'continuity_by_intervention', 'measure': 'continuity', 'kind': 'continuity', 'eligible': [],
                      'rate': 'treatment started within {days} days of release', 'method': 'keyed-noise',
                      'secret': 'destroyed', 'sigma2': 10.0, 'threshold': 10, 'log_index': 17, 'rates': rates,
                      'pooled': [{'by': {'intervention': 'ost'}, 'periods': 2, 'n': 240, 'observable': 236,
                                  'within': rates[0].get('within', [])}], **extension}}).encode()


def test_query_table(pki, stub):
    stub.get['GET', '/v1/tables/continuity_by_intervention?by=intervention&period=2024-Q1&release=3'] = 200, answer([
        rate('2024-Q1', 'ost'), rate('2024-Q1', 'psychosocial', shown=False), rate('2024-Q2', 'ost', state='provisional'),
        rate('2024-Q2', 'none', n=-3, percent=None, low=None, high=None)])
    done = run(pki, stub, 'query', 'continuity_by_intervention', '--by', 'intervention', '--period', '2024-Q1', '--release', 3)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(len(line) <= 100 for line in lines), done.stdout
    assert lines[0] == 'SYNTHETIC DATA. Continuity, two registers'
    assert lines[1] == 'continuity_by_intervention: treatment started within 21 days of release'
    assert lines[3].split() == ['period', 'intervention', 'releases', 'observed', 'within', '21', 'd', 'rate', '%', '95', '%',
                                'interval']
    assert lines[4].split() == ['2024-Q1', 'ost', '120', '118', '61', '51.7', '42.8', '-', '60.5']
    assert lines[5].split() == ['2024-Q1', 'psychosocial', '-', '-', '-', '-', '-', 'hidden']
    assert 'provisional' in lines[7] and lines[8].split() == ['2024-Q2', 'none', '-3', '-5', '61', '-', '-']
    assert 'together' in lines[10] and '2 periods' in lines[10]
    footer = ' '.join(lines[12:])
    for words in ('study two-registers', 'release 3 as of 2024-12-31', 'log entry 17', 'method keyed-noise', 'sigma 3.16',
                  'rows below 10 hidden', 'Linkage quality: not published by this study.', 'Hidden rows are unknown'):
        assert words in footer


def test_query_corrected_comparison(pki, stub):
    """Crude and corrected stand one below the other and say which they are; the widest such table fits."""
    by = {'intervention': 'psychosocial', 'sex': 'female', 'age_band': '25-34'}
    corrected = {'percent': 100.0, 'difference': {'points': -100.0, 'low': -100.0, 'high': -99.5},
                 'ratio': {'value': 812.12, 'low': 712.3, 'high': 912.5}}
    crude = {'days': 21, **corrected, 'percent': 51.69, 'corrected': corrected}
    rows = [{'standardised': False, 'period': '2024-Q1', 'state': 'final', 'by': by, 'within': [crude]},
            {'standardised': True, 'period': '2024-Q1', 'state': 'final', 'by': {'intervention': 'psychosocial'},
             'within': [{**crude, 'corrected': None}]}]
    body = json.loads(answer([rate('2024-Q1', 'ost')], linkage={}, comparison={
        'dimension': 'intervention', 'against': 'none', 'rows': rows, 'pooled': []}))
    body['id'] = ['period', *by, 'outcome']
    stub.get['GET', '/v1/tables/continuity_by_intervention?compare=intervention:none'] = 200, json.dumps(body).encode()
    done = run(pki, stub, 'query', 'continuity_by_intervention', '--compare', 'intervention:none')
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    lines = done.stdout.splitlines()
    assert all(len(line) <= 100 for line in lines), done.stdout
    assert 'each intervention against "none": difference in percentage points' in ' '.join(lines[1:3])
    found = [line for line in lines if line.startswith('2024-Q1')]
    assert [line.split()[-1] for line in found] == ['crude', 'corrected', 'standardised', 'corrected']
    assert '51.7' in found[0] and '100.0' in found[1] and found[3].split()[-2] == 'std.'
    assert found[3].split()[2:-2] == ['-'] * 5                     # withheld


def test_query_widest_tables_fit(pki, stub):
    """Three dimensions, corrected rates, and every marker."""
    by = {'intervention': 'psychosocial', 'primary_drug': 'opioids-and-others', 'age_band': '25-34'}
    interval = {'percent': 100.0, 'low': 99.5, 'high': 100.0}
    rows = [{'period': '2024-Q1', 'state': 'final', 'released_in': 1, 'revised_from': 1, 'by': by, 'shown': True, 'n': 1234567,
             'observable': 1234567, 'variance': 10.0, 'within': [{'days': 21, 'count': 1234567, **interval, 'corrected': interval}]}]
    body = json.loads(answer(rows, linkage={}))
    body['id'] = ['period', *by, 'outcome']
    body['extension']['pooled'] = [{'by': by, 'periods': 128, **{k: rows[0][k] for k in ('n', 'observable', 'within')}}]
    stub.get['GET', '/v1/tables/continuity_by_intervention'] = 200, json.dumps(body).encode()
    done = run(pki, stub, 'query', 'continuity_by_intervention')
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    assert all(len(line) <= 100 for line in done.stdout.splitlines()), max(map(len, done.stdout.splitlines()))


def test_query_other_band_and_long_names(pki, stub):
    long = 'a-very-long-name-of-an-intervention-that-somebody-thought-was-good'
    stub.get['GET', '/v1/tables/continuity_by_intervention'] = 200, answer([rate('2024-Q1', long[:63])])
    done = run(pki, stub, 'query', 'continuity_by_intervention', '--within', 7)
    assert done.returncode == 0 and '8.5' in done.stdout and 'within 7 d' in done.stdout
    assert all(len(line) <= 100 for line in done.stdout.splitlines()), done.stdout
    done = run(pki, stub, 'query', 'continuity_by_intervention', '--within', 8)
    assert done.returncode == 64 and 'band' in done.stderr


def test_query_raw_forms(pki, stub):
    body = answer([rate('2024-Q1', 'ost')])
    stub.get['GET', '/v1/tables/continuity_by_intervention?by='] = 200, body
    done = run(pki, stub, 'query', 'continuity_by_intervention', '--total', '--format', 'json')
    assert done.stdout.encode() == body + b'\n' and stub.requests[-1][2]['Accept'] == 'application/json'
    run(pki, stub, 'query', 'continuity_by_intervention', '--total', '--format', 'csv')
    assert stub.requests[-1][2]['Accept'] == 'text/csv'


def test_query_lists_tables(pki, stub):
    stub.get['GET', '/v1/tables'] = 200, json.dumps({
        'v': 1, 'study': 's', 'title': 'Title', 'synthetic': False, 'release': 2, 'as_of': '2024-12-31', 'tables': [
            {'name': 'one', 'measure': 'continuity', 'period_kind': 'quarter', 'by': [{'name': 'sex', 'codes': []}],
             'periods': [{'period': '2024-Q1', 'state': 'final', 'released_in': 1},
                         {'period': '2024-Q2', 'state': 'provisional', 'released_in': 2}]}]}).encode()
    done = run(pki, stub, 'query')
    assert done.stdout == ('Title\nrelease 2 as of 2024-12-31\n\none\n  continuity by quarter, sex; 2024-Q1 to 2024-Q2, '
                           '1 of 2 periods final\n')


@pytest.mark.parametrize('arguments', [['a/b'], ['A'], ['t', '--by', 'x&y'], ['t', '--period', '2024 Q1'], ['--by', 'sex'],
                                       ['t', '--format', 'xml'], ['t', '--total', '--by', 'sex'], ['t', 'u'],
                                       ['t', '--release', '0'], ['t', '--gzip=1'], ['t', '--total=1']])
def test_query_mistakes_are_not_sent(pki, stub, arguments):
    done = run(pki, stub, 'query', *arguments)
    assert done.returncode == 64 and done.stderr.startswith('throughcare query: ') and stub.requests == []


def test_query_of_something_else(pki, stub):
    for body in (b'{}', b'[]', b'not json', b'{"extension": {"rates": [7]}, "id": ["period", 5]}'):
        stub.get['GET', '/v1/tables/t'] = 200, body
        assert run(pki, stub, 'query', 't').returncode == 76
    assert run(pki, stub, 'query', 'unknown').returncode == 66


# ---- admin ----

def test_publish_waits_until_done(pki, stub):
    states = iter([('comparing', 1), ('linking', 1), ('done', 1)])

    def status():
        state, number = next(states)
        return 200, json.dumps({'release': {'number': number, 'state': state, 'error': None}}).encode()
    stub.get['POST', '/v1/releases'] = 202, b'{"release": 1, "state": "started"}'
    stub.get['GET', '/v1/status'] = status
    done = run(pki, stub, 'admin', 'publish', '--as-of', '2024-12-31')
    assert done.returncode == 0 and done.stdout.startswith('release 1 published after')
    assert stub.requests[0][3] == b'{"as_of":"2024-12-31"}' and len(stub.requests) == 4
    done = run(pki, stub, 'admin', 'publish', '--no-wait')
    assert done.returncode == 0 and done.stdout == 'release 1 started\n' and stub.requests[-1][3] == b'{}'


def test_publish_failures(pki, stub):
    stub.script = [problem(409, 'budget-spent', 'the limit is 4')]
    done = run(pki, stub, 'admin', 'publish')
    assert done.returncode == 75 and 'budget-spent' in done.stderr
    stub.get['POST', '/v1/releases'] = 202, b'{"release": 2, "state": "started"}'
    stub.get['GET', '/v1/status'] = 200, b'{"release": {"number": 2, "state": "failed", "error": "no-space"}}'
    done = run(pki, stub, 'admin', 'publish')
    assert done.returncode == 74 and 'release 2 failed: no-space' in done.stderr
    stub.get['GET', '/v1/status'] = 200, b'{"release": {"number": 2, "state": "linking"}}'
    done = run(pki, stub, 'admin', 'publish', '--timeout', '1')
    assert done.returncode == 75 and 'not done after 1 s' in done.stderr
    done = run(pki, stub, 'admin', 'publish', '--as-of', '2024-02-30')
    assert done.returncode == 64 and 'YYYY-MM-DD' in done.stderr


def test_status(pki, stub):
    stub.get['GET', '/v1/status'] = 200, json.dumps({
        'version': '0.1.0', 'uptime_s': 93784, 'free_bytes': 1234567890, 'synthetic': True,
        'ledger': {'rho_micro': 1500000}, 'sources': [{'name': 'prison', 'records': 12345}]}).encode()
    done = run(pki, stub, 'admin', 'status')
    assert done.returncode == 0
    text = ' '.join(done.stdout.split())
    for words in ('version 0.1.0', 'uptime 1 d 02:03:04', 'free 1.2 GB', 'rho 1.500000', 'records 12,345', 'synthetic yes'):
        assert words in text, done.stdout
    done = run(pki, stub, 'admin', 'status', '--json')
    assert json.loads(done.stdout)['uptime_s'] == 93784
