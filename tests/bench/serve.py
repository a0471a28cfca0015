"""The front beside nginx, in one run: the same certificates, the same client, mutual TLS 1.3.

usage: python3 tests/bench/serve.py [--seconds 3] [--rounds 5] [BUILD]

`/healthz` and a small table on kept connections, against nginx with one worker serving files of the same size; and
connections opened anew for each request. Rounds take turns, medians are printed. Needs Debian's nginx-light.
"""
import argparse
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
    ssl_client_certificate {keys}/ca/ca.crt; ssl_verify_client on; }} }}
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=3)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--connections', type=int, default=8)
    parser.add_argument('build', nargs='?', default='build/release')
    args = parser.parse_args()
    source, build = pathlib.Path(__file__).resolve().parents[2], pathlib.Path(args.build).resolve()
    os.environ['TC_BINARY_DIR'] = str(build)
    sys.path.insert(0, str(source / 'tests' / 'system'))
    from harness import Unit, make_registers

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        registers = make_registers(folder / 'registers', 600, 1)
        with Unit(folder / 'unit', max_connections=1024, max_connections_per_client=1024) as unit:
            unit.push_registers(registers)
            unit.publish('--as-of', '2025-06-30')
            table = '/v1/tables/continuity_by_quarter'
            answers = {path: unit.request('analyst', 'GET', path) for path in ('/healthz', table)}
            assert all(status == 200 for status, _, _ in answers.values()), answers
            nginx, nginx_port = start_nginx(folder / 'nginx', unit.keys,
                                            {'healthz': answers['/healthz'][2], 'table': answers[table][2]})

            def ask(port, path, how):
                client = unit.keys / 'analyst'
                done = subprocess.run([build / 'tests' / 'bench_http', str(port), unit.keys / 'ca' / 'ca.crt',
                                       client / 'client.crt', client / 'client.key', path, str(args.connections),
                                       str(args.seconds), how], capture_output=True, text=True)
                if done.returncode != 0:
                    raise SystemExit(f'{path}: {done.stderr}')
                n, seconds = done.stdout.split()
                return int(n) / float(seconds)

            try:
                print(f'{args.connections} connections, {args.seconds} s a round, medians of {args.rounds}:')
                for name, mine, theirs, how in (('/healthz', '/healthz', '/healthz', 'keep'),
                                                (f'a table of {len(answers[table][2])} bytes', table, '/table', 'keep'),
                                                ('a connection for each request', '/healthz', '/healthz', 'handshake')):
                    rates, busy = [], 0
                    for _ in range(args.rounds):
                        before = unit.processor_seconds()
                        rates.append((ask(unit.port, mine, how), ask(nginx_port, theirs, how)))
                        busy += unit.processor_seconds() - before
                    answers_made = args.seconds * sum(r[0] for r in rates)
                    us, nginx_rate = (statistics.median(r[i] for r in rates) for i in (0, 1))
                    ratio = statistics.median(a / b for a, b in rates)
                    print(f'{name:34} throughcared {us:9,.0f}/s   nginx {nginx_rate:9,.0f}/s   {ratio:.2f} x   '
                          f'({1e6 * busy / answers_made:,.0f} µs of processor time each)', flush=True)
            finally:
                nginx.terminate()
                nginx.wait()


if __name__ == '__main__':
    main()
