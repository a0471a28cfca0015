"""The front beside nginx, in one run: the same certificates, the same client, mutual TLS 1.3.

usage: python3 tests/bench/serve.py [--seconds 3] [--rounds 5] [--connections 8] [--persons 600] [--only-queries] [BUILD]

`/healthz` and a small table on kept connections, against nginx with one worker serving files of the same size; and
connections opened anew for each request. Rounds take turns, medians are printed. Needs Debian's nginx-light.

Then 50 clients ask for every table, whole, by each dimension and by period, in turn, and how long they wait is printed. The
first answer to each is rendered, the others are from memory. --persons: of the registers that the release is made of.
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

CONF = """daemon off; pid {folder}/nginx.pid; worker_processes 1; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; default_type application/json;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d;
  scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port} ssl backlog=1024; root {folder}/root; ssl_protocols TLSv1.3; ssl_session_tickets off;
    ssl_certificate {keys}/daemon/tls.crt; ssl_certificate_key {keys}/daemon/tls.key;
    ssl_client_certificate {keys}/ca/ca.crt; ssl_crl {keys}/ca/revoked.crl; ssl_verify_client on; }} }}
"""


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def start_nginx(folder, keys, files):
    (folder / 'root').mkdir(parents=True)
    for name, data in files.items():
        (folder / 'root' / name).write_bytes(data)
    port = free_port()
    (folder / 'nginx.conf').write_text(CONF.format(folder=folder, keys=keys, port=port))
    os.chmod(folder, 0o755)
    process = subprocess.Popen([shutil.which('nginx', path=os.environ['PATH'] + ':/usr/sbin'), '-p', str(folder), '-c',
                                str(folder / 'nginx.conf'), '-g', 'user root;' if os.getuid() == 0 else ''])
    for _ in range(500):
        with socket.socket() as s:
            if s.connect_ex(('127.0.0.1', port)) == 0:
                return process, port
        time.sleep(0.02)
    raise SystemExit('nginx did not start')


def bench_http(unit, pid, port, path, connections, seconds, how):
    """What bench_http prints, as numbers, and the processor seconds of server `pid` meanwhile."""
    from harness import processor_seconds   # TC_BINARY_DIR must be set before

    client = unit.keys / 'analyst'
    with subprocess.Popen([os.environ['TC_BINARY_DIR'] + '/tests/bench_http', str(port), unit.keys / 'ca' / 'ca.crt',
                           client / 'client.crt', client / 'client.key', path, str(connections), str(seconds), how],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        if asking.stdout.readline() != 'ready\n':
            raise SystemExit(f'{path}: no connection')
        before = processor_seconds(pid)
        asking.stdin.write('\n')
        asking.stdin.flush()
        numbers = [float(number) for number in asking.stdout.readline().split()]
        if len(numbers) != 5:
            raise SystemExit(f'{path}: no answer')
        return [*numbers, processor_seconds(pid) - before]


def all_queries(unit):
    """Paths of the tables of the study that the release has, whole, by each of their dimensions and by each period."""
    paths = []
    for table in json.loads(unit.request('analyst', 'GET', '/v1/tables')[2])['tables']:
        path = f'/v1/tables/{table["name"]}'
        status, _, body = unit.request('analyst', 'GET', path)
        if status != 200:
            continue
        answer = json.loads(body)
        periods = answer['dimension']['period']['category']['index']
        dimensions = [d for d in answer['id'] if d not in ('period', 'outcome')]
        paths += [path, *(f'{path}?by={d}' for d in dimensions), *(f'{path}?period={p}' for p in periods)]
    return paths[::(len(paths) + 63) // 64]


def waiting_times(unit, args):
    paths = all_queries(unit)
    runs = [bench_http(unit, unit.daemon.pid, unit.port, '|'.join(paths), 50, args.seconds, 'keep') for _ in range(args.rounds)]
    busy, n = (sum(r[i] for r in runs) for i in (5, 0))
    rate = statistics.median(r[0] / r[1] for r in runs)
    p50, p99, longest = (statistics.median(r[i] for r in runs) for i in (2, 3, 4))
    print(f'50 clients, {len(paths)} different queries: {rate:,.0f}/s, half within {p50:.1f} ms, 99 % within {p99:.1f} ms, all within '
          f'{longest:.1f} ms   ({1e6 * busy / n:,.0f} µs of processor time each)', flush=True)


def compare(unit, nginx, nginx_port, args, sizes):
    """By turns. Processor time is the servers' own, so that it says as much on a busy machine."""
    table = '/v1/tables/continuity_by_quarter'
    print(f'{args.connections} connections, {args.seconds} s a round, medians of {args.rounds}:')
    for name, mine, theirs, how in (('/healthz', '/healthz', '/healthz', 'keep'),
                                    (f'a table of {sizes[table]} bytes', table, '/table', 'keep'),
                                    ('a connection for each request', '/healthz', '/healthz', 'handshake')):
        rounds = [[bench_http(unit, pid, port, path, args.connections, args.seconds, how)
                   for pid, port, path in ((unit.daemon.pid, unit.port, mine), (nginx.pid, nginx_port, theirs))]
                  for _ in range(args.rounds)]
        rates = [[n / seconds for n, seconds, *_ in pair] for pair in rounds]
        us, nginx_rate = (statistics.median(pair[i] for pair in rates) for i in (0, 1))
        busy = [1e6 * sum(pair[i][5] for pair in rounds) / sum(pair[i][0] for pair in rounds) for i in (0, 1)]
        print(f'{name:30} throughcared {us:8,.0f}/s   nginx {nginx_rate:8,.0f}/s   '
              f'{statistics.median(a / b for a, b in rates):.2f} x   '
              f'(processor time each: {busy[0]:,.0f} and {busy[1]:,.0f} µs)', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=3)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--connections', type=int, default=8)
    parser.add_argument('--persons', type=int, default=600)
    parser.add_argument('--only-queries', action='store_true', help='without nginx: the waiting times of 50 clients')
    parser.add_argument('build', nargs='?', default='build/release')
    args = parser.parse_args()
    source, build = pathlib.Path(__file__).resolve().parents[2], pathlib.Path(args.build).resolve()
    os.environ['TC_BINARY_DIR'] = str(build)
    sys.path.insert(0, str(source / 'tests' / 'system'))
    from harness import Unit, make_registers

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        registers = make_registers(folder / 'registers', args.persons, 1)
        with Unit(folder / 'unit', max_connections=1024, max_connections_per_client=1024) as unit:
            unit.push_registers(registers)
            unit.publish('--as-of', '2025-06-30')
            table = '/v1/tables/continuity_by_quarter'
            answers = {path: unit.request('analyst', 'GET', path) for path in ('/healthz', table)}
            assert all(status == 200 for status, _, _ in answers.values()), answers
            if not args.only_queries:
                nginx, nginx_port = start_nginx(folder / 'nginx', unit.keys,
                                                {'healthz': answers['/healthz'][2], 'table': answers[table][2]})
                try:
                    compare(unit, nginx, nginx_port, args, {path: len(answer[2]) for path, answer in answers.items()})
                finally:
                    nginx.terminate()
                    nginx.wait()
            waiting_times(unit, args)


if __name__ == '__main__':
    main()
