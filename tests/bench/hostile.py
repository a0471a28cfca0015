"""Four honest custodians push while hostile connections do what they can: what is left of the honest throughput?

usage: python3 tests/bench/hostile.py [--hostile 2000] [--records 80000] [BUILD]

A sixth of the hostile connections each: silent after connecting; half a handshake; garbage; a header that drips; a body that
drips, and a decompression bomb (with good certificates, of another custodian); requests without waiting for
answers. Whoever is thrown out comes back, 100 a second at most. Prints the honest rate beside the undisturbed one (the better
of one before and one after), the largest resident memory, and how long a connection of each kind was held at most.
"""
import argparse
import asyncio
import collections
import gzip
import os
import pathlib
import resource
import ssl
import subprocess
import sys
import tempfile
import threading
import time

KINDS = ('silent', 'half a handshake', 'garbage', 'slow header', 'slow body', 'pipelining', 'bomb')


class Hostile:
    """One event loop of its own with `n` connections."""

    def __init__(self, unit, n):
        self.unit, self.n, self.stop, self.ready = unit, n, False, threading.Event()
        self.held, self.tries = collections.Counter(), collections.Counter()
        self.bomb = gzip.compress(bytes(64 << 20), 9)
        self.thread = threading.Thread(target=lambda: asyncio.run(self.main()), daemon=True)

    def context(self, who):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.unit.keys / 'ca' / 'ca.crt')
        context.load_cert_chain(self.unit.keys / who / 'client.crt', self.unit.keys / who / 'client.key')
        return context

    async def speak(self, kind, writer):
        if kind == 'half a handshake':
            writer.write(bytes.fromhex('16030100c8010000c40303') + os.urandom(40))
        elif kind == 'garbage':
            writer.write(os.urandom(600))
        elif kind == 'pipelining':
            writer.write(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n' * 50)
        elif kind == 'bomb':
            writer.write(b'POST /v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n'
                         b'Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n' % len(self.bomb) + self.bomb)
        elif kind == 'slow header':
            writer.write(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-')
        elif kind == 'slow body':
            writer.write(b'POST /v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n'
                         b'Content-Length: 1000000\r\n\r\n')
        await writer.drain()
        while kind in ('slow header', 'slow body'):
            await asyncio.sleep(1)
            writer.write(b'a')
            await writer.drain()

    async def one(self, i):
        kind = KINDS[i % len(KINDS)]
        tls = kind in ('slow header', 'slow body', 'pipelining', 'bomb')
        while not self.stop:
            async with self.pace:
                await asyncio.sleep(0.01)
            began, writer = time.monotonic(), None
            try:
                context = self.contexts['analyst' if kind in ('slow header', 'pipelining') else 'treatment'] if tls else None
                reader, writer = await asyncio.wait_for(asyncio.open_connection(
                    '127.0.0.1', self.unit.port, ssl=context, server_hostname='localhost' if tls else None), 60)
                began = time.monotonic()
                self.tries[kind] += 1
                task = asyncio.create_task(self.speak(kind, writer))
                try:
                    while await reader.read(65536):
                        pass
                finally:
                    task.cancel()
            except (OSError, ssl.SSLError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                pass
            finally:
                if writer is not None:
                    writer.close()
                self.held[kind] = max(self.held[kind], time.monotonic() - began)

    async def main(self):
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        self.pace = asyncio.Semaphore(1)
        self.contexts = {who: self.context(who) for who in ('analyst', 'treatment')}
        tasks = [asyncio.create_task(self.one(i)) for i in range(self.n)]
        while not self.stop:
            await asyncio.sleep(0.2)
            if sum(self.tries.values()) >= self.n:
                self.ready.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def push_all(unit, files):
    """Records a second of all pushers together, and the largest resident memory meanwhile."""
    from harness import THROUGHCARE
    start, largest = time.monotonic(), 0
    pushers = [subprocess.Popen([THROUGHCARE, 'push', file], env={**os.environ, **unit.environment(source)},
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for source, file in files]
    while any(p.poll() is None for p in pushers):
        largest = max(largest, unit.resident_bytes())
        time.sleep(0.1)
    for p in pushers:
        if p.returncode != 0:
            raise SystemExit(f'an honest pusher failed: {p.stderr.read()}')
    return time.monotonic() - start, largest


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--hostile', type=int, default=2000)
    parser.add_argument('--records', type=int, default=80000)
    parser.add_argument('build', nargs='?', default='build/release')
    args = parser.parse_args()
    source = pathlib.Path(__file__).resolve().parents[2]
    os.environ['TC_BINARY_DIR'] = str(pathlib.Path(args.build).resolve())
    sys.path.insert(0, str(source / 'tests' / 'system'))
    from harness import Unit, make_registers, read_csv, write_csv

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 65536), limit))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        registers = make_registers(folder / 'registers', args.records // 3, 1)
        with Unit(folder / 'unit', store_map_bytes='4G', header_timeout_s=10, idle_timeout_s=20, min_body_bytes_per_s=4096) as unit:
            rounds = [[], [], []]
            rows = read_csv(registers / 'prison.csv')
            for part in range(12):  # four pushers, three rounds
                write_csv(folder / 'part.csv', rows[part::12])
                unit.encode('prison', folder / 'part.csv', folder / f'{part}.batch', '--batch-records', 500)
                rounds[part % 3].append(('prison', folder / f'{part}.batch'))
            n_records = len(rows) / 3
            before, memory_before = push_all(unit, rounds[0])
            hostile = Hostile(unit, args.hostile)
            hostile.thread.start()
            hostile.ready.wait(120)
            beset, memory_beset = push_all(unit, rounds[1])
            time.sleep(25)  # longer than every deadline
            hostile.stop = True
            hostile.thread.join(60)
            status = unit.request('operator', 'GET', '/healthz')[0]
            after, memory_after = push_all(unit, rounds[2])
            alone = min(before, after)
    print(f'{n_records:,.0f} records by 4 pushers: {n_records / alone:,.0f} records/s alone, {n_records / beset:,.0f} records/s among '
          f'{args.hostile} hostile connections ({alone / beset:.0%}); afterwards /healthz answers {status}')
    memory = [f'{n / 2**20:.0f}' for n in (memory_before, memory_beset, memory_after)]
    print('resident memory of both processes, records and the store\'s map included, at most '
          f'{memory[0]} MiB before, {memory[1]} MiB among them, {memory[2]} MiB after')
    for kind in KINDS:
        print(f'  {kind:18} {hostile.tries[kind]:6} connections, held at most {hostile.held[kind]:5.1f} s')


if __name__ == '__main__':
    main()
