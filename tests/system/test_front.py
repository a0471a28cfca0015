"""The front under hostile clients: what TLS refuses, who may ask what, the strict form of HTTP on the wire, deadlines,
caps, an orderly end, and what the two processes can still do once they are confined."""
import contextlib
import http.client
import os
import pathlib
import re
import resource
import select
import signal
import socket
import ssl
import subprocess
import time

import pytest

from harness import STUDY, Unit, descriptors, make_registers, problem, sanitizers, tool, wait_for

# What the deadlines of the hurried unit are set to, and how late they may be noticed on a busy machine.
HEADER_S, IDLE_S, LATE_S = 2, 3, 120
CAPS = dict(max_body_bytes='1M', max_inflight_bytes='1M', max_connections=40, max_connections_per_client=8)


@pytest.fixture(scope='module')
def unit(tmp_path_factory):
    with Unit(tmp_path_factory.mktemp('front') / 'unit', **CAPS) as u:
        yield u


@pytest.fixture(scope='module')
def hurried(tmp_path_factory):
    """Its deadlines are so near that a client of these tests itself may miss one: for tests of deadlines alone."""
    with Unit(tmp_path_factory.mktemp('front') / 'hurried', header_timeout_s=HEADER_S, idle_timeout_s=IDLE_S,
              min_body_bytes_per_s=10000, **CAPS) as u:
        yield u


def get(path='/healthz', *fields):
    return ('\r\n'.join([f'GET {path} HTTP/1.1', 'Host: localhost', *fields]) + '\r\n\r\n').encode()


def post(path, *fields):
    return ('\r\n'.join([f'POST {path} HTTP/1.1', 'Host: localhost', *fields]) + '\r\n\r\n').encode()


PROTOBUF = 'Content-Type: application/x-protobuf'


def read_answer(s, rest=b''):
    """One answer off the wire: (status, fields, body, what follows it)."""
    while b'\r\n\r\n' not in rest:
        got = s.recv(65536)
        if not got:
            raise EOFError(rest)
        rest += got
    head, rest = rest.split(b'\r\n\r\n', 1)
    lines = head.decode().split('\r\n')
    fields = {k.lower(): v for k, v in (line.split(': ', 1) for line in lines[1:])}
    status, length = int(lines[0].split()[1]), int(fields.get('content-length', 0))
    while len(rest) < length:
        got = s.recv(65536)
        if not got:
            raise EOFError('the body is cut short')
        rest += got
    return status, fields, rest[:length], rest[length:]


def ends_well(s):
    """The server ends the connection with close_notify, not with a bare end of file or a reset."""
    s.suppress_ragged_eofs = False
    return s.recv(1) == b''


def is_closed(s):
    try:
        return s.recv(65536) == b''
    except (ConnectionError, ssl.SSLError):
        return True


# ---- TLS ----

def context(unit, who='analyst'):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.load_verify_locations(unit.keys / 'ca' / 'ca.crt')
    if who is not None:
        c.load_cert_chain(unit.keys / who / 'client.crt', unit.keys / who / 'client.key')
    return c


def connect(unit, c):
    return c.wrap_socket(socket.create_connection(('127.0.0.1', unit.port), LATE_S), server_hostname='localhost')


def tls_refused(unit, c):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with connect(unit, c) as s:
            s.sendall(get())
            if s.recv(1) == b'':
                raise ConnectionError


def test_only_tls_1_3(unit):
    c = context(unit)
    c.maximum_version = ssl.TLSVersion.TLSv1_2
    tls_refused(unit, c)
    with connect(unit, context(unit)) as s:
        assert s.version() == 'TLSv1.3'


def test_no_client_certificate(unit):
    tls_refused(unit, context(unit, None))


def test_a_servers_certificate_is_no_clients(unit):
    c = context(unit, None)
    c.load_cert_chain(unit.keys / 'daemon' / 'tls.crt', unit.keys / 'daemon' / 'tls.key')
    tls_refused(unit, c)


def test_no_other_protocol(unit):
    c = context(unit)
    c.set_alpn_protocols(['h2'])
    tls_refused(unit, c)
    c = context(unit)
    c.set_alpn_protocols(['h2', 'http/1.1'])
    with connect(unit, c) as s:
        assert s.selected_alpn_protocol() == 'http/1.1'


def test_no_resumption(unit):
    c = context(unit)
    with connect(unit, c) as s:
        s.sendall(get())
        assert read_answer(s)[0] == 200
        assert s.session is None or not s.session.has_ticket
        session = s.session
    if session is not None:
        raw = socket.create_connection(('127.0.0.1', unit.port), LATE_S)
        with c.wrap_socket(raw, server_hostname='localhost', session=session) as s:
            s.sendall(get())
            assert read_answer(s)[0] == 200
            assert not s.session_reused


def test_garbage_instead_of_tls(unit):
    for bytes_ in (b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n', b'\0' * 600, b'\x16\x03\x01\xff\xff' + b'\1' * 600):
        with socket.create_connection(('127.0.0.1', unit.port), LATE_S) as s:
            s.sendall(bytes_)
            answer = b''
            try:
                while got := s.recv(4096):
                    answer += got
            except ConnectionError:
                pass
            assert b'HTTP' not in answer


def test_revocation_reaches_new_and_open_connections(unit, tmp_path):
    tool('keys', 'cert', '--ca', unit.keys / 'ca', '--client', 'leaver', '--role', 'analyst', '-o', tmp_path / 'leaver')
    c = context(unit, None)
    c.load_cert_chain(tmp_path / 'leaver.crt', tmp_path / 'leaver.key')
    with connect(unit, c) as s, connect(unit, context(unit)) as other:
        s.sendall(get())
        assert read_answer(s)[0] == 200
        tool('keys', 'revoke', '--ca', unit.keys / 'ca', tmp_path / 'leaver.crt')
        unit.daemon.send_signal(signal.SIGHUP)
        s.settimeout(LATE_S)
        assert is_closed(s)
        tls_refused(unit, c)
        other.sendall(get())
        assert read_answer(other)[0] == 200


def test_revocation_list_is_sent_anew_once_the_store_is_open(tmp_path):
    """The front reads it before the core opens the store; what was revoked in between must not be missed."""
    with Unit(tmp_path / 'u') as u:
        wait_for(lambda: 'revocation list renewed' in u.log(), u.log)


# ---- who may ask what ----

ROUTES = {
    ('POST', '/v1/batches'): {'prison'},
    ('GET', '/v1/batches/' + '0' * 64): {'prison'},
    ('GET', '/v1/study'): {'prison', 'analyst', 'auditor', 'operator'},
    ('GET', '/v1/tables'): {'analyst'},
    ('GET', '/v1/tables/continuity_by_quarter'): {'analyst'},
    ('GET', '/audit/checkpoint'): {'auditor', 'prison'},
    ('GET', '/audit/tile/0/000'): {'auditor'},
    ('GET', '/audit/release/' + '0' * 64): {'auditor'},
    ('GET', '/audit/proof/0'): {'auditor', 'prison'},
    ('POST', '/v1/releases'): {'operator'},
    ('GET', '/v1/status'): {'operator'},
    ('GET', '/metrics'): {'operator'},
    ('GET', '/healthz'): {'prison', 'analyst', 'auditor', 'operator'},
}


@pytest.mark.parametrize('who', ['prison', 'analyst', 'auditor', 'operator'])
def test_routes_by_role(unit, who):
    for (method, path), allowed in ROUTES.items():
        # A body that the core refuses: what counts is whether the request gets there.
        body, fields = ('[', {'Content-Type': 'application/json'}) if method == 'POST' else (None, {})
        status, _, answer = unit.request(who, method, path, body, fields)
        if who in allowed:
            assert status != 403, (method, path)
        else:
            assert status == 403 and problem(answer)[0] == 'forbidden', (method, path, status)


def test_methods(unit):
    status, fields, body = unit.request('analyst', 'POST', '/v1/study', '{}', {'Content-Type': 'application/json'})
    assert status == 405 and fields['Allow'] == 'GET' and problem(body)[0] == 'method-not-allowed'
    status, fields, _ = unit.request('prison', 'GET', '/v1/batches')
    assert status == 405 and fields['Allow'] == 'POST'
    for method in ('HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'):
        status, fields, _ = unit.request('analyst', method, '/healthz')
        assert status == 405, method
    assert unit.request('analyst', 'GET', '/nowhere')[0] == 404


def test_head_is_answered_without_a_body(unit):
    with unit.tls('analyst', timeout=LATE_S) as s:
        s.sendall(b'HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')
        answer = b''
        while got := s.recv(65536):
            answer += got
        assert answer.startswith(b'HTTP/1.1 405 ') and answer.endswith(b'\r\n\r\n')


def test_bodies_are_judged_by_their_head(unit):
    def refused(status, name, head):
        with unit.tls('prison', timeout=LATE_S) as s:
            s.sendall(head)                      # and no body: the answer may not wait for it
            got, fields, body, _ = read_answer(s)
            assert (got, problem(body)[0]) == (status, name)
            assert fields['content-type'] == 'application/problem+json' and fields['connection'] == 'close'
            assert ends_well(s)

    refused(415, 'unsupported-media-type', post('/v1/batches', 'Content-Length: 5'))
    refused(415, 'unsupported-media-type', post('/v1/batches', 'Content-Length: 5', 'Content-Type: text/plain'))
    refused(415, 'unsupported-media-type', post('/v1/batches', 'Content-Length: 5', 'Content-Type: application/x-www-form-urlencoded'))
    refused(415, 'unsupported-media-type', post('/v1/batches', 'Content-Length: 5', PROTOBUF, 'Content-Encoding: br'))
    refused(413, 'too-large', post('/v1/batches', 'Content-Length: 1048577', PROTOBUF))
    refused(413, 'too-large', post('/v1/batches', 'Content-Length: 999999999999999999', PROTOBUF, 'Expect: 100-continue'))
    refused(403, 'forbidden', post('/v1/releases', 'Content-Length: 5', 'Content-Type: application/json'))
    refused(403, 'forbidden', post('/v1/batches', 'Content-Length: 5', PROTOBUF, 'Origin: https://evil.example'))
    refused(404, 'not-found', post('/v1/records', 'Content-Length: 5', PROTOBUF))
    refused(400, 'invalid-input', get('/v1/study', 'Content-Length: 5'))
    refused(400, 'invalid-input', get('/v1/study', 'Transfer-Encoding: chunked'))


def test_large_body_of_a_refused_request_does_not_hide_the_answer(unit):
    with unit.tls('analyst', timeout=LATE_S) as s:
        s.sendall(post('/v1/batches', 'Content-Length: 1000000', PROTOBUF))
        with contextlib.suppress(ConnectionError, ssl.SSLError):     # it is not read for ever
            s.sendall(b'x' * 1000000)
        assert read_answer(s)[0] == 403


# ---- the strict form ----

SMUGGLED = get('/v1/study')


@pytest.mark.parametrize('bad', [
    b'GET /healthz HTTP/1.1\r\n\r\n',
    b'GET /healthz HTTP/1.0\r\nHost: a\r\n\r\n',
    b'GET /healthz HTTP/1.1\nHost: a\n\n',
    b'GET http://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n',
    b'GET /v1/%2e%2e/healthz HTTP/1.1\r\nHost: a\r\n\r\n',
    b'GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
    b'GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n',
    b'GET /healthz HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n',
    b'POST /v1/batches HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
    b'POST /v1/batches HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    b'POST /v1/batches HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    b'\x16\x03\x01\0\1',
], ids=range(13))
def test_ambiguous_requests_end_the_connection(unit, bad):
    with unit.tls('prison', timeout=LATE_S) as s:
        s.sendall(get() + bad + SMUGGLED)
        status, _, _, rest = read_answer(s)
        assert status == 200
        status, fields, body, rest = read_answer(s, rest)
        assert status == 400 and problem(body)[0] == 'malformed' and fields['connection'] == 'close'
        assert rest == b'' and ends_well(s), 'nothing after it is answered'


def test_ambiguous_chunks_end_the_request(unit):
    for chunk in (b'0x3\r\nabc\r\n0\r\n\r\n', b'3;a=b\r\nabc\r\n0\r\n\r\n', b'3\nabc\r\n0\r\n\r\n', b'0\r\nX: y\r\n\r\n'):
        with unit.tls('prison', timeout=LATE_S) as s:
            s.sendall(post('/v1/batches', PROTOBUF, 'Transfer-Encoding: chunked') + chunk + SMUGGLED)
            status, fields, body, rest = read_answer(s)
            assert status == 400 and fields['connection'] == 'close'
            assert rest == b'' and ends_well(s)


def test_heads_are_bounded(unit):
    for head in (b'GET /' + b'a' * 3000 + b' HTTP/1.1\r\n', get()[:-2] + b'X: y\r\n' * 70, get()[:-2] + b'X: ' + b'y' * 20000):
        with unit.tls('analyst', timeout=LATE_S) as s:
            s.sendall(head)
            status, _, body, _ = read_answer(s)
            assert status == 431 and problem(body)[0] == 'headers-too-large'


# ---- keep-alive, pipelining, 100-continue ----

def test_many_requests_on_one_connection(unit):
    with unit.tls('analyst', timeout=LATE_S) as s:
        for _ in range(50):
            s.sendall(get())
            assert read_answer(s)[0] == 200
        s.sendall(get('/nowhere') + get('/v1/study') + get('/v1/status') + get('/healthz', 'Connection: close') + get())
        rest, seen = b'', []
        for _ in range(4):
            status, _, _, rest = read_answer(s, rest)
            seen.append(status)
        assert seen == [404, 200, 403, 200]
        assert rest == b'' and ends_well(s)


def test_one_byte_at_a_time(unit):
    with unit.tls('analyst', timeout=LATE_S) as s:
        for byte in get('/v1/tables'):
            s.send(bytes([byte]))
        assert read_answer(s)[0] == 200


def test_continue_is_sent_before_the_body(unit):
    with unit.tls('prison', timeout=LATE_S) as s:
        s.sendall(post('/v1/batches', PROTOBUF, 'Content-Length: 5', 'Expect: 100-continue'))
        status, _, _, rest = read_answer(s)
        assert status == 100
        s.sendall(b'hello')
        status, _, body, _ = read_answer(s, rest)
        assert status == 400, body


def test_body_larger_than_the_first_credit(unit):
    """900 KB of rubbish pass through flow control, or are refused before their end; the answer comes either way."""
    with unit.tls('prison', timeout=LATE_S) as s:
        s.sendall(post('/v1/batches', PROTOBUF, 'Content-Length: 900000'))
        s.sendall(bytes(900000))
        status, _, body, _ = read_answer(s)
        assert status == 400, body


# ---- deadlines ----

def seconds_until_closed(s):
    start = time.monotonic()
    s.settimeout(LATE_S)
    data = b''
    try:
        while got := s.recv(65536):
            data += got
    except (ConnectionError, ssl.SSLError):
        pass
    return time.monotonic() - start, data


def test_silent_before_the_handshake(hurried):
    with socket.create_connection(('127.0.0.1', hurried.port), LATE_S) as s:
        took, _ = seconds_until_closed(s)
    assert took > HEADER_S * 0.5


def test_silent_after_the_handshake(hurried):
    with hurried.tls('analyst') as s:
        took, data = seconds_until_closed(s)
    assert data == b'' and took > HEADER_S * 0.5


def test_slow_head_has_an_absolute_deadline(hurried):
    with hurried.tls('analyst', timeout=LATE_S) as s:
        start, answer = time.monotonic(), b''
        s.sendall(get()[:-2])
        s.settimeout(0.2)
        try:
            while time.monotonic() - start < LATE_S:
                s.sendall(b'X: y\r\n')           # trickles, and never ends
                try:
                    got = s.recv(4096)
                    if got == b'':
                        break
                    answer += got
                except TimeoutError:
                    continue
        except (ConnectionError, ssl.SSLError):
            pass
        assert HEADER_S * 0.5 < time.monotonic() - start < LATE_S
    assert answer == b'' or answer.startswith((b'HTTP/1.1 408 ', b'HTTP/1.1 431 '))


def test_idle_connection_ends(hurried):
    with hurried.tls('analyst') as s:
        s.sendall(get())
        read_answer(s)
        took, data = seconds_until_closed(s)
    assert data == b'' and took > IDLE_S * 0.5


def test_slow_body_is_cut_off(hurried):
    with hurried.tls('prison') as s:
        s.sendall(post('/v1/batches', PROTOBUF, 'Content-Length: 100000'))
        s.sendall(b'TCBATCH1' + (1000).to_bytes(4, 'big'))     # a frame that is waited for: nothing to refuse yet
        start = time.monotonic()
        s.settimeout(0.2)
        answer = b''
        with contextlib.suppress(ConnectionError, ssl.SSLError):    # who is late himself finds the connection gone
            while not answer and time.monotonic() - start < LATE_S:
                s.sendall(b'\0')                     # five bytes a second
                with contextlib.suppress(TimeoutError):
                    answer = s.recv(4096)
        assert answer == b'' or answer.startswith(b'HTTP/1.1 408 '), answer
        assert HEADER_S * 0.5 < time.monotonic() - start < LATE_S


def timeouts(u):
    return int(re.search(rb'^throughcare_timeouts_total (\d+)', u.request('operator', 'GET', '/metrics')[2], re.M)[1])


def test_slow_reader_is_cut_off(tmp_path):
    """An answer that is not fetched is held for a while, not for good."""
    large = tmp_path / 'large.yaml'
    large.write_text(STUDY.read_text() + f'# {"x" * 98}\n' * 9000)
    with Unit(tmp_path / 'unit', study=large, header_timeout_s=10, min_body_bytes_per_s=10000) as u:
        before, size = timeouts(u), len(u.request('analyst', 'GET', '/v1/study')[2])
        assert size > 900000
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)  # or the daemon's system buffers all of it
            raw.connect(('127.0.0.1', u.port))
            with u.tls('analyst', raw=raw) as s:
                s.sendall(get('/v1/study'))
                wait_for(lambda: timeouts(u) > before, 'nobody was cut off', LATE_S)
                assert len(seconds_until_closed(s)[1]) < size
        assert u.request('analyst', 'GET', '/healthz')[0] == 200


def test_listens_on_ipv6(tmp_path):
    if not socket.has_ipv6:
        pytest.skip('this system has no IPv6')
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(('::1', 0))
    except OSError:
        pytest.skip('this system has no ::1')
    with Unit(tmp_path / 'unit', listen='"[::1]:0"') as u, socket.create_connection(('::1', u.port), LATE_S) as raw:
        with u.tls('analyst', raw=raw) as s:
            s.sendall(get())
            assert read_answer(s)[0] == 200


# ---- caps ----

def test_bodies_in_flight_are_capped(unit):
    with unit.tls('prison', timeout=LATE_S) as first:
        first.sendall(post('/v1/batches', PROTOBUF, 'Content-Length: 1000000'))
        with unit.tls('treatment', timeout=LATE_S) as second:
            deadline = time.monotonic() + LATE_S
            while True:                          # until the first request's head has been read
                second.sendall(post('/v1/batches', PROTOBUF, 'Content-Length: 500000', 'Expect: 100-continue'))
                status, fields, body, _ = read_answer(second)
                if status == 503 or time.monotonic() > deadline:
                    break
                second.close()
                second = unit.tls('treatment', timeout=LATE_S)
            assert status == 503 and problem(body)[0] == 'busy' and int(fields['retry-after']) > 0
            assert ends_well(second)
    # The first has gone, and its share with it.
    with unit.tls('treatment', timeout=LATE_S) as third:
        third.sendall(post('/v1/batches', PROTOBUF, 'Content-Length: 900000', 'Expect: 100-continue'))
        assert read_answer(third)[0] == 100


def chunk(data):
    return b'%x\r\n%s\r\n' % (len(data), data)


def begin_endless_body(s):
    """Of a length that is not said; JSON that begins with more and more space, in which nothing is wrong yet."""
    s.sendall(post('/v1/batches', 'Content-Type: application/json', 'Transfer-Encoding: chunked'))


def test_body_of_unsaid_length_is_capped(unit):
    with unit.tls('prison', timeout=LATE_S) as s:
        begin_endless_body(s)
        with contextlib.suppress(ConnectionError, ssl.SSLError):     # it is not read for ever
            for _ in range(40):
                s.sendall(chunk(b' ' * 32768))
        status, fields, body, _ = read_answer(s)
        assert status == 413 and problem(body)[0] == 'too-large' and fields['connection'] == 'close'
        assert ends_well(s)


def test_bodies_of_unsaid_length_share_what_may_be_in_flight(unit):
    """Two that together are too much: one is refused, and leaves its share to the other."""
    with unit.tls('prison', timeout=LATE_S) as one, unit.tls('treatment', timeout=LATE_S) as other:
        for s in (one, other):
            begin_endless_body(s)
        for _ in range(28):                      # 896 KiB each, of 1 MiB
            for s in (one, other):
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    s.sendall(chunk(b' ' * 32768))
        ready = select.select([one, other], [], [], LATE_S)[0]
        assert len(ready) == 1
        refused, kept = ready[0], other if ready[0] is one else one
        status, fields, body, _ = read_answer(refused)
        assert status == 503 and problem(body)[0] == 'busy' and int(fields['retry-after']) > 0
        kept.sendall(chunk(b'x') + b'0\r\n\r\n')
        assert read_answer(kept)[0] == 400


def test_connections_of_one_client_are_capped(unit):
    open_ = [unit.tls('auditor', timeout=LATE_S) for _ in range(8)]
    try:
        for s in open_:
            s.sendall(get())
            assert read_answer(s)[0] == 200
        with unit.tls('auditor', timeout=LATE_S) as s:
            s.sendall(get())
            status, fields, body, _ = read_answer(s)
            assert status == 429 and problem(body)[0] == 'too-many-requests' and int(fields['retry-after']) > 0
            assert ends_well(s)
        assert unit.request('analyst', 'GET', '/healthz')[0] == 200, 'others are not touched'
    finally:
        for s in open_:
            s.close()


def test_half_handshakes_do_not_shut_others_out(unit):
    with unit.tls('analyst', timeout=LATE_S) as honest:
        honest.sendall(get())
        assert read_answer(honest)[0] == 200
        idle = [socket.create_connection(('127.0.0.1', unit.port), LATE_S) for _ in range(100)]
        try:
            assert unit.request('operator', 'GET', '/healthz')[0] == 200, 'a new client gets in'
            honest.sendall(get())
            assert read_answer(honest)[0] == 200, 'one that is at work stays'
        finally:
            for s in idle:
                s.close()


# ---- two processes, confined ----

def status_of(pid):
    return dict(line.split(':\t', 1) for line in pathlib.Path(f'/proc/{pid}/status').read_text().splitlines() if ':\t' in line)


def test_processes_are_confined(unit):
    core, front = unit.processes()
    for pid in (core, front):
        assert status_of(pid)['NoNewPrivs'] == '1'
        limits = pathlib.Path(f'/proc/{pid}/limits').read_text().splitlines()
        assert next(line.split()[4:6] for line in limits if line.startswith('Max core file size')) == ['0', '0']
    # ThreadSanitizer has a thread of its own in each process.
    assert status_of(front)['Threads'] == ('2' if 'tsan' in sanitizers() else '1')
    # The front has no file open beyond the log; the core has one socket, the pipe.
    for fd, target in descriptors(front).items():
        assert fd <= 2 or target.startswith(('socket:', 'anon_inode:', 'pipe:')), target
    sockets = [t for fd, t in descriptors(core).items() if fd > 2 and t.startswith('socket:')]
    assert len(sockets) == 1, sockets
    listening = pathlib.Path('/proc/net/tcp').read_text() + pathlib.Path('/proc/net/tcp6').read_text()
    inode = sockets[0][len('socket:['):-1]
    assert inode not in [line.split()[9] for line in listening.splitlines() if ':' in line.split()[0]]


def has_ended(pid):
    try:
        state = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == 'Z'                          # its parent has died and nobody reaps it here


@pytest.mark.parametrize('which', [0, 1], ids=['core', 'front'])
def test_when_one_dies_the_other_ends(tmp_path, which):
    u = Unit(tmp_path / 'unit').start()
    pids = u.processes()
    os.kill(pids[which], signal.SIGKILL)
    assert u.daemon.wait(LATE_S) != 0
    wait_for(lambda: has_ended(pids[1]), 'the front is still there')
    u.daemon = None


def allow_descriptors(pid, n):
    """Below n; what is open stays open."""
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (n, 1024))


def test_descriptors_run_out(tmp_path, monkeypatch):
    """In the front, clients wait until there are some again. In the core, which needs one to sign, nothing is acknowledged that
    is not signed: it stops, says why, and the next start has what was durable, once."""
    # A build with AddressSanitizer looks for leaks at its end, for which it opens files.
    monkeypatch.setenv('ASAN_OPTIONS', ':'.join(filter(None, (os.environ.get('ASAN_OPTIONS'), 'detect_leaks=0'))))
    u = Unit(tmp_path / 'unit').start()
    u.encode('prison', make_registers(tmp_path / 'registers', 30, 3) / 'prison.csv', tmp_path / 'prison.batch')
    batch = (tmp_path / 'prison.batch').read_bytes()
    core, front = u.processes()
    allow_descriptors(front, 3)
    with socket.create_connection(('127.0.0.1', u.port), LATE_S):
        wait_for(lambda: 'cannot accept a connection: Too many open files' in u.log(), u.log, LATE_S)
    allow_descriptors(front, 1024)
    assert u.request('operator', 'GET', '/healthz')[0] == 200
    allow_descriptors(core, 3)
    with contextlib.suppress(OSError, http.client.HTTPException):       # it may be gone before its answer is
        assert u.post_batch('prison', batch)[0] == 503
    assert u.daemon.wait(LATE_S) == 74 and 'cannot go on writing' in u.log(), u.log()
    u.daemon = None
    with u:
        assert u.post_batch('prison', batch)[0] in (200, 201)
        assert len([e for e in u.entries() if e['kind'] == 'batch']) == 1


def test_stop_lets_a_running_request_finish(tmp_path):
    u = Unit(tmp_path / 'unit').start()
    with u.tls('prison', timeout=LATE_S) as busy, u.tls('analyst', timeout=LATE_S) as idle:
        busy.sendall(post('/v1/releases', 'Content-Type: application/json', 'Content-Length: 2'))
        assert read_answer(busy)[0] == 403
        idle.sendall(get())
        assert read_answer(idle)[0] == 200
        with u.tls('prison', timeout=LATE_S) as running:
            running.sendall(post('/v1/batches', PROTOBUF, 'Content-Length: 5', 'Expect: 100-continue'))
            assert read_answer(running)[0] == 100
            u.daemon.send_signal(signal.SIGTERM)
            assert ends_well(idle), 'an idle connection ends at once'
            with pytest.raises((ConnectionError, ssl.SSLError, TimeoutError)):
                u.tls('analyst', timeout=LATE_S)
            running.sendall(b'hello')
            status, fields, body, _ = read_answer(running)
            assert status in (400, 503) and fields['connection'] == 'close', body
    assert u.stop() == 0, u.log()


# ---- starting ----

def daemon(*args):
    from harness import THROUGHCARED
    return subprocess.run([str(THROUGHCARED), *map(str, args)], capture_output=True, text=True, timeout=LATE_S)


def test_command_line(unit):
    assert 'Example' in daemon('--help').stdout
    assert daemon('--version').stdout.startswith('throughcared ')
    assert 'max_inflight_bytes: SIZE' in daemon('--help-config').stdout
    for wrong in ((), ('--nonsense',), ('-c',), ('-c', unit.conf_path, 'more')):
        done = daemon(*wrong)
        assert done.returncode == 64 and 'throughcared' in done.stderr, wrong


def test_mistakes_in_the_configuration_are_named(tmp_path):
    u = Unit(tmp_path / 'unit')
    good = u.conf_path.read_text()

    def refused(said, *args):
        done = daemon('-c', u.conf_path, *args)
        assert done.returncode in (74, 78), (done.returncode, done.stderr)
        assert said in done.stderr, done.stderr

    u.configure(max_conections=5)
    refused('max_conections: there is no such option; did you mean max_connections?')
    u.conf_path.write_text(good)
    u.configure(tls_key='nowhere.key')
    refused('nowhere.key', '--check')
    u.conf_path.write_text(good)
    os.chmod(u.keys / 'daemon' / 'tls.key', 0o644)
    refused('expected 0600', '--check')
    refused('expected 0600')
    os.chmod(u.keys / 'daemon' / 'tls.key', 0o600)
    u.configure(tls_key='../analyst/client.key')
    refused('is not the key of tls_certificate', '--check')
    u.conf_path.write_text(good)
    u.configure(tls_revocation_list='tls.crt')
    refused('expected a revocation list', '--check')
    u.conf_path.write_text(good)
    u.configure(user='nobody-of-this-name')
    refused('there is no user nobody-of-this-name')


def test_revocation_list_of_another_authority_is_refused(tmp_path):
    u = Unit(tmp_path / 'unit')
    tool('keys', 'ca', tmp_path / 'other')
    u.configure(tls_revocation_list=tmp_path / 'other' / 'revoked.crl')
    done = daemon('-c', u.conf_path, '--check')
    assert done.returncode == 78 and 'not signed by the clients' in done.stderr, done.stderr


def test_port_that_is_taken(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        u = Unit(tmp_path / 'unit', listen=f'"127.0.0.1:{taken.getsockname()[1]}"')
        done = daemon('-c', u.conf_path)
        assert done.returncode != 0 and 'cannot bind' in done.stderr
