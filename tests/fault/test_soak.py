# labels: full
"""A long day in short: batches, queries, refusals, broken handshakes, releases, for as long as TC_SOAK_S says (180 seconds).
Descriptors must not grow, and memory and files by no more than the records that came."""
import os
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'system'))
from harness import Unit, batches_of, make_registers  # noqa: E402

SECONDS = float(os.environ.get('TC_SOAK_S', '180'))
BATCH = 100                          # records
TABLE = '/v1/tables/continuity_by_quarter'


def descriptors(unit):
    return [len(os.listdir(f'/proc/{pid}/fd')) for pid in unit.processes()]


def stored(unit):
    return sum(path.stat().st_blocks * 512 for path in unit.keys.rglob('*') if path.is_file())


def day(unit, batches):
    """What comes in a day: two batches, ten queries, somebody at the door who should not be there."""
    for source in ('prison', 'treatment'):
        piece = next(batches[source], None)
        if piece is not None:
            status, _, body = unit.post_batch(source, piece)
            assert status in (200, 201), body
    for i in range(10):
        assert unit.request('analyst', 'GET', f'{TABLE}?by=' if i % 2 else TABLE)[0] in (200, 404)
    assert unit.request('prison', 'GET', TABLE)[0] == 403
    assert unit.post_batch('prison', b'no batch')[0] == 400
    with socket.create_connection(('127.0.0.1', unit.port)) as s:
        s.sendall(b'\x16\x03\x01 no handshake')


def test_soak(tmp_path):
    registers = make_registers(tmp_path / 'registers', 20000, 1)
    with Unit(tmp_path / 'unit') as unit:
        batches = {}
        for source in ('prison', 'treatment'):
            unit.encode(source, registers / f'{source}.csv', tmp_path / f'{source}.batch', '--batch-records', BATCH)
            batches[source] = iter(batches_of(tmp_path / f'{source}.batch'))
        samples, start, days = [], time.monotonic(), 0
        while time.monotonic() - start < SECONDS:
            day(unit, batches)
            days += 1
            if days % 60 == 0 and days <= 1200:   # the study's limit allows 20 releases
                unit.publish('--as-of', '2025-06-30', check=False)
            if days % 10 == 0:
                samples.append((days, descriptors(unit), unit.resident_bytes(), stored(unit)))
                print(*samples[-1], flush=True)
        assert len(samples) >= 4, 'too slow to say anything'
        warm, last = samples[len(samples) // 3], samples[-1]
        n_days = last[0] - warm[0]
        print(f'{n_days} days after warming up: descriptors {warm[1]} -> {last[1]}, memory +{last[2] - warm[2]} bytes, '
              f'files +{last[3] - warm[3]} bytes')
        assert all(b <= a + 4 for a, b in zip(warm[1], last[1]))
        # A record is five filters of 64 bytes, indexes over them and candidate pairs; a query is a log entry.
        assert last[2] - warm[2] <= n_days * (2 * BATCH * 4096) + (32 << 20)
        assert last[3] - warm[3] <= n_days * (2 * BATCH * 4096 + 20 * 4096) + (32 << 20)
