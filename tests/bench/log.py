#!/usr/bin/python3
"""A large audit log: how fast it grows, how long the daemon takes to start on it, how long an auditor takes to verify it,
how many proofs and tiles a second are given out.

    tests/bench/log.py [ENTRIES]        (1000000; TC_BINARY_DIR as for the system tests)
"""
import http.client
import json
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'system'))
from harness import BINARY, Unit, tile_path, tool  # noqa: E402


def rate(unit, paths):
    """Requests a second of one client on one connection."""
    connection = http.client.HTTPConnection('localhost', unit.port)
    connection.sock = unit.tls('auditor')
    start = time.monotonic()
    for path in paths:
        connection.request('GET', path)
        response = connection.getresponse()
        response.read()
        assert response.status == 200, (path, response.status)
    took = time.monotonic() - start
    connection.close()
    return round(len(paths) / took)


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        unit = Unit(pathlib.Path(folder) / 'unit', store_map_bytes='8G')
        with unit:
            pass
        done = subprocess.run([BINARY / 'tests' / 'bench_log', unit.conf_path, str(n)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        result['append'] = json.loads(done.stdout)
        start = time.monotonic()
        unit.start()
        result['start_seconds'] = round(time.monotonic() - start, 2)
        result['start_processor_seconds'] = round(unit.processor_seconds(), 2)
        state = pathlib.Path(folder) / 'state'
        for name in ('verify_seconds', 'verify_tiles_seconds'):
            options = ['--tiles'] if 'tiles' in name else ['--state', state]
            start, cpu = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
            said = tool('audit', 'verify', '--vkey', unit.keys / 'log.vkey', *options, env=unit.environment('auditor')).stdout
            result[name] = round(time.monotonic() - start, 2)
            now = resource.getrusage(resource.RUSAGE_CHILDREN)
            result[name.replace('seconds', 'processor_seconds')] = round(
                now.ru_utime + now.ru_stime - cpu.ru_utime - cpu.ru_stime, 2)
            assert 'audit log verified' in said
        rng = random.Random(1)
        result['proofs_per_s'] = rate(unit, [f'/audit/proof/{rng.randrange(n)}' for _ in range(2000)])
        result['hash_tiles_per_s'] = rate(unit, [f'/audit/tile/0/{tile_path(rng.randrange(n // 256))}' for _ in range(2000)])
        result['entry_bundles_per_s'] = rate(
            unit, [f'/audit/tile/entries/{tile_path(rng.randrange(n // 256))}' for _ in range(1000)])
        assert unit.stop() == 0
    print(json.dumps(result, indent=1))


if __name__ == '__main__':
    main()
