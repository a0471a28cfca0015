"""The batch format (proto/batch.proto, docs/protocol.md) written and read a second time, with the standard library only.

A chunk is a dict of columns: record_ids, person_ids (16 bytes each, or None), revisions, filters (a list of columns, each
a list of bytes or None where missing), events, days, dimensions (a list of columns of codes).
"""
import base64
import datetime
import hashlib
import struct

MAGIC = b'TCBATCH1'
HEADER, CHUNK, TRAILER = 1, 2, 3


# ---- protobuf wire format ----

def varint(v):
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7f | 0x80)
        v >>= 7
    return bytes(out) + bytes([v])


def number(field, v):
    return varint(field << 3) + varint(v) if v else b''        # proto3: zero is not written


def data(field, v, always=False):
    return varint(field << 3 | 2) + varint(len(v)) + v if v or always else b''


def packed(field, values):
    return data(field, b''.join(varint(v) for v in values))


def zigzag(v):
    return v << 1 if v >= 0 else (-v << 1) - 1


def unzigzag(v):
    return v >> 1 if v % 2 == 0 else -(v + 1 >> 1)


def take_varint(b, at):
    v = shift = 0
    while True:
        byte = b[at]
        at += 1
        v |= (byte & 0x7f) << shift
        if byte < 0x80:
            return v, at
        shift += 7


def fields(b):
    """Yields (field, value): an int for a varint, bytes for what has a length."""
    at = 0
    while at < len(b):
        tag, at = take_varint(b, at)
        if tag & 7 == 0:
            v, at = take_varint(b, at)
        elif tag & 7 == 2:
            length, at = take_varint(b, at)
            v, at = b[at:at + length], at + length
            if len(v) != length:
                raise ValueError('truncated')
        else:
            raise ValueError('wire type')
        yield tag >> 3, v


def varints(b):
    at, out = 0, []
    while at < len(b):
        v, at = take_varint(b, at)
        out.append(v)
    return out


# ---- writing ----

def frame(kind, body):
    message = data(kind, body, always=True)
    return struct.pack('>I', len(message)) + message


def header(source, encoding_id, key_check, software='', first_row=0):
    return (number(1, 1) + data(2, source.encode()) + data(3, encoding_id) + data(4, key_check)
            + data(5, software.encode()) + number(6, first_row))


def bitmap(flags):
    out = bytearray((len(flags) + 7) // 8)
    for i, flag in enumerate(flags):
        if flag:
            out[i >> 3] |= 0x80 >> (i & 7)
    return bytes(out)


def filter_column(values, n_bytes):
    missing = [v is None for v in values]
    return (data(1, b''.join(v if v is not None else bytes(n_bytes) for v in values))
            + (data(2, bitmap(missing)) if any(missing) else b''))


def chunk(c, filter_bytes):
    out = number(1, len(c['record_ids'])) + data(2, b''.join(c['record_ids']))
    if any(c['revisions']):
        out += packed(3, c['revisions'])
    if any(c['person_ids']):
        out += data(4, b''.join(p or bytes(16) for p in c['person_ids']))
    for values, n_bytes in zip(c['filters'], filter_bytes):
        out += data(5, filter_column(values, n_bytes), always=True)
    out += packed(6, c['events']) + packed(7, [zigzag(d) for d in c['days']])
    for codes in c['dimensions']:
        out += data(8, data(1, bytes(codes)), always=True)
    return out


def write(head, chunks, filter_bytes):
    """One batch: header arguments, chunks, bytes of each filter. Returns the bytes; the batch id is their SHA-256."""
    out = MAGIC + frame(HEADER, header(**head))
    for c in chunks:
        out += frame(CHUNK, chunk(c, filter_bytes))
    trailer = (number(1, sum(len(c['record_ids']) for c in chunks)) + number(2, len(chunks))
               + data(3, hashlib.sha256(out).digest()))
    return out + frame(TRAILER, trailer)


def batch_id(batch):
    return hashlib.sha256(batch).hexdigest()


# ---- reading ----

def split(b):
    """Yields (kind, body, offset of the frame) of one batch at the start of b, and stops behind its trailer."""
    if b[:8] != MAGIC:
        raise ValueError('magic')
    at = 8
    while True:
        if len(b) - at < 4:
            raise ValueError('truncated')
        length = struct.unpack('>I', b[at:at + 4])[0]
        message = b[at + 4:at + 4 + length]
        if len(message) != length:
            raise ValueError('truncated')
        (kind, body), = fields(message)
        yield kind, body, at
        at += 4 + length
        if kind == TRAILER:
            return


def read_chunk(body, filter_bytes):
    c = {'revisions': None, 'person_ids': None, 'filters': [], 'dimensions': []}
    for field, v in fields(body):
        if field == 1:
            n = v
        elif field == 2:
            c['record_ids'] = [v[i:i + 16] for i in range(0, len(v), 16)]
        elif field == 3:
            c['revisions'] = varints(v)
        elif field == 4:
            c['person_ids'] = [v[i:i + 16] if any(v[i:i + 16]) else None for i in range(0, len(v), 16)]
        elif field == 5:
            column = dict(fields(v))
            size = filter_bytes[len(c['filters'])]
            missing = column.get(2, bytes((n + 7) // 8))
            c['filters'].append([None if missing[i >> 3] & 0x80 >> (i & 7) else column[1][i * size:(i + 1) * size]
                                 for i in range(n)])
        elif field == 6:
            c['events'] = varints(v)
        elif field == 7:
            c['days'] = [unzigzag(d) for d in varints(v)]
        elif field == 8:
            c['dimensions'].append(list(dict(fields(v)).get(1, b'')))
        else:
            raise ValueError('unknown field')
    c['revisions'] = c['revisions'] or [0] * n
    c['person_ids'] = c['person_ids'] or [None] * n
    return c


def read(b, filter_bytes):
    """Returns (header fields, chunks). Raises ValueError where it is not a batch, or digest or counts do not fit."""
    try:
        return read_frames(b, filter_bytes)
    except (IndexError, KeyError, TypeError, AttributeError, UnboundLocalError) as e:
        raise ValueError('malformed') from e


def read_frames(b, filter_bytes):
    head, chunks = None, []
    for kind, body, offset in split(b):
        if kind == HEADER:
            f = dict(fields(body))
            head = {'source': f[2].decode(), 'encoding_id': f[3], 'key_check': f[4],
                    'software': f.get(5, b'').decode(), 'first_row': f.get(6, 0)}
        elif kind == CHUNK:
            chunks.append(read_chunk(body, filter_bytes))
        else:
            f = dict(fields(body))
            if f[3] != hashlib.sha256(b[:offset]).digest():
                raise ValueError('digest')
            if f[1] != sum(len(c['record_ids']) for c in chunks) or f[2] != len(chunks):
                raise ValueError('counts')
    return head, chunks


def to_json(head, chunks, names):
    """The JSON form as a value; names has 'filters', 'events', 'dimensions': [(name, codes)]."""
    records = []
    for c in chunks:
        for i, record_id in enumerate(c['record_ids']):
            record = {'record_id': record_id.hex(), 'revision': c['revisions'][i],
                      'filters': {name: base64.b64encode(column[i]).decode()
                                  for name, column in zip(names['filters'], c['filters']) if column[i] is not None},
                      'event': names['events'][c['events'][i]],
                      'date': (datetime.date(1970, 1, 1) + datetime.timedelta(c['days'][i])).isoformat(),
                      'dimensions': {name: codes[column[i]]
                                     for (name, codes), column in zip(names['dimensions'], c['dimensions'])}}
            if c['person_ids'][i]:
                record['person_id'] = c['person_ids'][i].hex()
            records.append(record)
    return {'source': head['source'], 'encoding_id': head['encoding_id'].hex(), 'key_check': head['key_check'].hex(),
            'software': head['software'], 'first_row': head['first_row'], 'records': records}


# ---- the fixture of tests/unit/batch_fixture.h ----

FIXTURE_FILTER_BYTES = [8, 16]
FIXTURE_NAMES = {'filters': ['name', 'date_of_birth'], 'events': ['release', 'treatment_start'],
                 'dimensions': [('sex', ['unknown', 'male', 'female'])]}
FIXTURE_HEAD = {'source': 'prison', 'encoding_id': b'\xe1' * 32, 'key_check': b'\xc4' * 16, 'software': 'test 1',
                'first_row': 7}


def fixture_chunk(numbers):
    numbers = list(numbers)
    return {
        'record_ids': [struct.pack('>I', n) + bytes(11) + b'\x01' for n in numbers],
        'revisions': [n if n % 5 == 4 else 0 for n in numbers],
        'person_ids': [bytes([n % 250 + 1]) * 16 if n % 3 else None for n in numbers],
        'filters': [[None if f == 1 and n % 4 == 3 else bytes((n * 31 + b * 7 + f) & 0xff for b in range(size))
                     for n in numbers] for f, size in enumerate(FIXTURE_FILTER_BYTES)],
        'events': [0] * len(numbers),
        'days': [19700 + n % 400 for n in numbers],
        'dimensions': [[n % 3 for n in numbers]],
    }


def fixture(n, per_chunk):
    chunks = [fixture_chunk(range(i, min(i + per_chunk, n))) for i in range(0, n, per_chunk)]
    return write(FIXTURE_HEAD, chunks, FIXTURE_FILTER_BYTES)
