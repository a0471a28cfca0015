"""Bad input at every border: a clear error, nothing of a person in it, nothing lost and nothing half stored."""
import datetime
import json
import os
import pathlib
import shutil
import ssl
import subprocess

import pytest

from harness import (STUDY, THROUGHCARED, Unit, batches_of, make_registers, problem, read_csv, study_file, tool, write_csv)

SECRET_NAME = 'Zyxwvutquist'          # stands in the data and may stand in no message


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('unit')
    registers = make_registers(folder / 'registers', 300)
    unit = Unit(folder / 'unit')
    unit.encode('prison', registers / 'prison.csv', folder / 'prison.batch')
    unit.encode('treatment', registers / 'treatment.csv', folder / 'treatment.batch')
    with unit:
        unit.folder_of_test, unit.registers = folder, registers
        yield unit


@pytest.fixture
def rows(place):
    some = read_csv(place.registers / 'prison.csv')[:20]
    for row in some:
        row['surname'] = SECRET_NAME
    return some


def volumes(unit):
    """What the daemon says it holds; a refused batch must not change it."""
    status = unit.status()
    return json.dumps([status[key] for key in sorted(status) if key in ('sources', 'records', 'batches', 'received')])


def batch(unit, source='prison'):
    return batches_of(unit.folder_of_test / f'{source}.batch')[0]


def refused(unit, answer, status, name):
    """The answer is that problem, and it says nothing of a person."""
    code, headers, body = answer
    assert code == status, body
    assert headers['Content-Type'] == 'application/problem+json'
    got, detail = problem(body)
    assert got == name, body
    assert SECRET_NAME.encode() not in body
    return detail


# ---- the custodian's CSV ----

def encode_refused(unit, tmp_path, content):
    path = tmp_path / 'register.csv'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        write_csv(path, content)
    done = unit.encode('prison', path, tmp_path / 'out.batch', check=False)
    assert done.returncode == 65, done.stderr
    assert not (tmp_path / 'out.batch').exists()
    assert [p.name for p in tmp_path.iterdir()] == ['register.csv'], 'no half-written file is left'
    text = done.stdout + done.stderr
    assert SECRET_NAME not in text and SECRET_NAME.lower() not in text
    assert 'register.csv' in text
    return text


def test_csv_without_a_needed_column(place, tmp_path, rows):
    for column in ('surname', 'event_date', 'record_id'):
        text = encode_refused(place, tmp_path, [{k: v for k, v in row.items() if k != column} for row in rows])
        assert column in text


def test_csv_with_a_broken_row(place, tmp_path, rows):
    write_csv(tmp_path / 'whole.csv', rows)
    lines = (tmp_path / 'whole.csv').read_bytes().splitlines(keepends=True)
    (tmp_path / 'whole.csv').unlink()
    lines[5] = lines[5].split(b',', 1)[0] + b'\r\n'
    text = encode_refused(place, tmp_path, b''.join(lines))
    assert 'row 5 (line 6)' in text


def test_csv_with_a_wrong_date(place, tmp_path, rows):
    for wrong in ('2024-02-30', '30.02.2024', 'soon', '2024-1-1'):
        rows[7]['event_date'] = wrong
        text = encode_refused(place, tmp_path, rows)
        assert 'event_date' in text and wrong not in text


def test_csv_that_is_not_utf8(place, tmp_path, rows):
    write_csv(tmp_path / 'whole.csv', rows)
    data = (tmp_path / 'whole.csv').read_bytes()
    (tmp_path / 'whole.csv').unlink()
    text = encode_refused(place, tmp_path, data.replace(SECRET_NAME.encode(), b'M\xfcller', 1))
    assert 'UTF-8' in text


def test_csv_with_a_code_the_study_does_not_have(place, tmp_path, rows):
    rows[3]['sex'] = 'yes'
    text = encode_refused(place, tmp_path, rows)
    assert 'sex' in text and 'male' in text


def test_csv_with_a_record_number_twice(place, tmp_path, rows):
    rows[3]['record_id'] = rows[2]['record_id']
    assert 'record_id' in encode_refused(place, tmp_path, rows)


def test_rejected_rows_are_set_aside_by_number_only(place, tmp_path, rows):
    rows[7]['event_date'] = 'soon'
    write_csv(tmp_path / 'register.csv', rows)
    place.encode('prison', tmp_path / 'register.csv', tmp_path / 'out.batch', '--reject', tmp_path / 'rejected.txt')
    text = (tmp_path / 'rejected.txt').read_text()
    assert 'event_date' in text and SECRET_NAME not in text and rows[7]['record_id'] not in text


# ---- the study ----

def test_study_with_a_misspelled_key(place, tmp_path):
    text = STUDY.read_text().replace('threshold: 10', 'treshold: 10')
    (tmp_path / 'study.yaml').write_text(text)
    line = next(i for i, row in enumerate(text.splitlines(), 1) if 'treshold' in row)
    done = tool('study', 'check', tmp_path / 'study.yaml', check=False)
    assert done.returncode == 65
    for expected in (f'study.yaml:{line}:', 'treshold', 'threshold'):
        assert expected in done.stderr
    conf = place.conf_path.read_text().replace(str(place.study), 'X')
    conf = '\n'.join(line for line in conf.splitlines() if not line.startswith('study:')) + f'\nstudy: {tmp_path}/study.yaml\n'
    check = place.conf_path.with_name('check.yaml')
    check.write_text(conf)
    done = subprocess.run([THROUGHCARED, '-c', check, '--check'], capture_output=True, text=True)
    assert done.returncode != 0 and f':{line}:' in done.stderr and 'treshold' in done.stderr


# ---- batches ----

def test_batch_that_is_truncated(place):
    data, before = batch(place), volumes(place)
    for cut in (0, 5, 8, 11, 100, len(data) // 2, len(data) - 1):
        answer = place.post_batch('prison', data[:cut])
        assert answer[0] == 400, (cut, answer)
        assert problem(answer[2])[0] in ('truncated', 'malformed', 'invalid-input'), cut
    assert volumes(place) == before


def test_batch_with_a_flipped_byte(place):
    data, before = batch(place), volumes(place)
    for at in (0, 9, 20, len(data) // 3, len(data) // 2, len(data) - 40, len(data) - 1):
        answer = place.post_batch('prison', data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
        assert 400 <= answer[0] < 500, (at, answer)
    assert volumes(place) == before


def varint(n):
    out = b''
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def test_batch_that_claims_too_many_records(place):
    data, before = batch(place), volumes(place)
    header = int.from_bytes(data[8:12], 'big')
    start = data[:12 + header]
    chunk = b'\x08' + varint(2**32)                     # n_records
    frame = b'\x12' + varint(len(chunk)) + chunk
    refused(place, place.post_batch('prison', start + len(frame).to_bytes(4, 'big') + frame), 400,
            problem(place.post_batch('prison', start + len(frame).to_bytes(4, 'big') + frame)[2])[0])
    answer = place.post_batch('prison', start + b'\xff\xff\xff\xff' + frame)
    assert answer[0] in (400, 413)
    assert volumes(place) == before


def test_batch_of_another_secret(place, tmp_path):
    """The encoder refuses it before it reads data; the daemon refuses it if somebody patched the encoder."""
    other = Unit(tmp_path / 'other')
    done = tool('encode', '--study', place.study, '--secret', other.keys / 'custodians' / 'main.secret', '--record-key',
                place.keys / 'prison' / 'record.key', '--source', 'prison', place.registers / 'prison.csv', '-o',
                tmp_path / 'x.batch', check=False)
    assert done.returncode != 0 and 'key' in done.stderr and not (tmp_path / 'x.batch').exists()
    other.encode('prison', place.registers / 'prison.csv', tmp_path / 'other.batch')
    answer = place.post_batch('prison', batches_of(tmp_path / 'other.batch')[0])
    assert answer[0] == 422 and problem(answer[2])[0] in ('wrong-secret', 'wrong-schema')


def test_batch_of_another_schema(place, tmp_path):
    study = study_file(tmp_path / 'study.yaml', place.study, profile='hardened')
    tool('encode', '--study', study, '--secret', place.keys / 'custodians' / 'main.secret', '--record-key',
         place.keys / 'prison' / 'record.key', '--source', 'prison', place.registers / 'prison.csv', '-o', tmp_path / 'x.batch')
    refused(place, place.post_batch('prison', batches_of(tmp_path / 'x.batch')[0]), 422, 'wrong-schema')


def test_refusals_stand_in_the_log_and_name_no_record(place):
    place.post_batch('prison', batch(place)[:-1])
    rejected = [e for e in place.entries() if e['kind'] == 'batch_rejected']
    assert rejected and rejected[-1]['source'] == 'prison'
    assert set(rejected[-1]) <= {'v', 't', 'kind', 'who', 'source', 'reason', 'bytes'}


# ---- certificates, roles, routes ----

def cert(unit, folder, *options, ca=None):
    prefix = folder / 'c'
    tool('keys', 'cert', '--ca', ca or unit.keys / 'ca', '-o', prefix, *options)
    return {'cert': pathlib.Path(f'{prefix}.crt'), 'key': pathlib.Path(f'{prefix}.key')}


def tls_refused(unit, **files):
    """TLS 1.3 reports a refused client certificate at the first read."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        unit.request(None, 'GET', '/healthz', **files)


def test_certificate_missing(place):
    tls_refused(place)


def test_certificate_expired(place, tmp_path):
    yesterday = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)).date().isoformat()
    tls_refused(place, **cert(place, tmp_path, '--client', 'x', '--role', 'analyst', '--not-after', yesterday))


def test_certificate_of_another_authority(place, tmp_path):
    tool('keys', 'ca', tmp_path / 'ca')
    tls_refused(place, **cert(place, tmp_path, '--client', 'x', '--role', 'analyst', ca=tmp_path / 'ca'))


def test_certificate_of_the_wrong_role(place):
    refused(place, place.post_batch('analyst', batch(place)), 403, 'forbidden')
    refused(place, place.request('prison', 'GET', '/v1/tables'), 403, 'forbidden')
    refused(place, place.request('operator', 'GET', '/audit/checkpoint'), 403, 'forbidden')
    refused(place, place.request('auditor', 'GET', '/v1/status'), 403, 'forbidden')


def test_certificate_of_the_wrong_source(place):
    before = volumes(place)
    refused(place, place.post_batch('treatment', batch(place, 'prison')), 403, 'wrong-source')
    assert volumes(place) == before


def test_forbidden_pairs_of_roles(place, tmp_path):
    for pair in (('operator', 'analyst'), ('operator', 'auditor'), ('submitter', 'auditor')):
        options = [x for role in pair for x in ('--role', role)] + (['--source', 'prison'] if 'submitter' in pair else [])
        done = tool('keys', 'cert', '--ca', place.keys / 'ca', '--client', 'x', *options, '-o', tmp_path / 'p', check=False)
        assert done.returncode == 77, done.stderr
        assert not (tmp_path / 'p.crt').exists()


def openssl_certificate(unit, folder, uris):
    """A certificate of our authority that our own tool refuses to make."""
    (folder / 'ext').write_text('subjectAltName=' + ','.join(f'URI:{u}' for u in uris) + '\nextendedKeyUsage=clientAuth\n')
    run = lambda *args: subprocess.run(['openssl', *map(str, args)], check=True, capture_output=True)
    run('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', folder / 'o.key', '-subj',
        '/CN=x', '-out', folder / 'o.csr')
    run('x509', '-req', '-in', folder / 'o.csr', '-CA', unit.keys / 'ca' / 'ca.crt', '-CAkey', unit.keys / 'ca' / 'ca.key',
        '-set_serial', '4242', '-days', '1', '-extfile', folder / 'ext', '-out', folder / 'o.crt')
    return {'cert': folder / 'o.crt', 'key': folder / 'o.key'}


def test_forbidden_pair_in_a_certificate_of_our_authority(place, tmp_path):
    files = openssl_certificate(place, tmp_path, ['urn:throughcare:client:x', 'urn:throughcare:role:operator',
                                                  'urn:throughcare:role:analyst'])
    refused(place, place.request(None, 'GET', '/healthz', **files), 403, 'forbidden-role-pair')


def test_certificate_without_a_role(place, tmp_path):
    files = openssl_certificate(place, tmp_path, ['urn:throughcare:client:x'])
    refused(place, place.request(None, 'GET', '/v1/tables', **files), 403, 'forbidden')


def test_refused_clients_stand_in_the_log(place):
    place.request('prison', 'GET', '/v1/tables')
    refusals = place.refusals(1)
    assert any(e['reason'] == 'forbidden' and e['who']['client'] for e in refusals)


def test_route_that_does_not_exist(place):
    refused(place, place.request('analyst', 'GET', '/v1/records'), 404, 'not-found')
    refused(place, place.request('analyst', 'POST', '/v1/tables', '{}', {'Content-Type': 'application/json'}), 405,
            'method-not-allowed')
    refused(place, place.request('prison', 'POST', '/v1/batches', 'x', {'Content-Type': 'text/plain'}), 415,
            'unsupported-media-type')


def test_body_over_the_limit(tmp_path):
    registers = make_registers(tmp_path / 'registers', 400)
    unit = Unit(tmp_path / 'unit', max_body_bytes='64K')
    unit.encode('prison', registers / 'prison.csv', tmp_path / 'prison.batch')
    data = batches_of(tmp_path / 'prison.batch')[0]
    assert len(data) > 65536
    with unit:
        refused(unit, unit.post_batch('prison', data), 413, 'too-large')
        with unit.tls('prison') as s:                   # the same without a declared length
            s.sendall(b'POST /v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n'
                      b'Transfer-Encoding: chunked\r\n\r\n')
            answer = b''
            try:
                for at in range(0, len(data), 8192):
                    piece = data[at:at + 8192]
                    s.sendall(f'{len(piece):x}\r\n'.encode() + piece + b'\r\n')
            except (ConnectionError, ssl.SSLError):
                pass
            while b'\r\n\r\n' not in answer:
                got = s.recv(65536)
                if not got:
                    break
                answer += got
        assert answer.startswith(b'HTTP/1.1 413 '), answer[:200]
        assert '"batches":0' in json.dumps(unit.status(), separators=(',', ':'))


def test_disk_with_no_room(tmp_path):
    """A store on a file system of a few megabytes: what is acknowledged stays, what is not leaves no trace."""
    if os.geteuid() != 0:
        pytest.skip('mounting a small file system needs root')
    registers = make_registers(tmp_path / 'registers', 6000)
    unit = Unit(tmp_path / 'unit', store_map_bytes='1G', store_min_free_bytes=0)
    store = tmp_path / 'small'
    store.mkdir()
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=3m,mode=700', 'tmpfs', store], check=True)
    try:
        unit.configure(store_directory=store)
        unit.encode('prison', registers / 'prison.csv', tmp_path / 'prison.batch', '--batch-records', 500)
        pieces, known = batches_of(tmp_path / 'prison.batch'), {}
        with unit:
            for piece in pieces:
                code, _, body = unit.post_batch('prison', piece)
                if code != 201:
                    break
                known[piece] = body
            assert code in (507, 503), (code, body)
            assert problem(body)[0] in ('no-space', 'io'), body
            assert 0 < len(known) < len(pieces)
            for piece, receipt in known.items():        # still there, byte for byte
                assert unit.post_batch('prison', piece)[::2] == (200, receipt)
            unit.kill()
        subprocess.run(['mount', '-o', 'remount,size=200m', store], check=True)
        with unit:
            for piece, receipt in known.items():
                assert unit.post_batch('prison', piece)[::2] == (200, receipt)
            for piece in pieces[len(known):]:
                assert unit.post_batch('prison', piece)[0] == 201
    finally:
        if unit.daemon is not None:
            unit.kill()
        subprocess.run(['umount', '-l', store], check=True)


def test_clear_answers_where_there_is_nothing_yet(place):
    code, _, body = place.request('analyst', 'GET', '/v1/tables')
    assert code == 200 and b'continuity_by_quarter' in body
    refused(place, place.request('analyst', 'GET', '/v1/tables/continuity_by_quarter'), 404, 'not-found')
    refused(place, place.request('analyst', 'GET', '/v1/tables/no_such_table'), 404, 'not-found')
    refused(place, place.request('analyst', 'GET', '/v1/tables/continuity_by_quarter?colour=blue'), 400, 'usage')


def test_everything_still_works_after_all_that(place):
    assert place.post_batch('prison', batch(place))[0] in (200, 201)
    shutil.copy(place.folder_of_test / 'treatment.batch', place.folder / 't.batch')
    place.push('treatment', place.folder / 't.batch')
    assert SECRET_NAME not in place.log()
