"""A linkage unit that lies: serves any log, well-formed or not, over the routes of the real one.

The log is built and signed by the Python reference (tests/ref/tlog.py) with the key set's own log key, so that every kind
of misbehaviour that a real operator could show to an auditor can be shown here.
"""
import hashlib
import http.server
import json
import pathlib
import ssl
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'ref'))
import tlog  # noqa: E402

from harness import tile_path  # noqa: E402


def cosign(note, seed, name, at=1700000000):
    """The note with a line more: that a witness with this seed saw it at that time."""
    text, public = note.rpartition('\n\n')[0] + '\n', tlog.public_key(seed)
    head = tlog.sha256(f'{name}\n'.encode() + b'\x04' + public)[:4] + at.to_bytes(8, 'big')
    line = tlog.base64.b64encode(head + tlog.sign(seed, f'cosignature/v1\ntime {at}\n{text}'.encode())).decode()
    return f'{note}\u2014 {name} {line}\n'


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(',', ':'), ensure_ascii=False).encode()


class Log:
    """Entries and their signed checkpoint; `files` is what the server gives out, to be tampered with."""

    def __init__(self, keys, origin='localhost/two-registers'):
        self.seed = bytes.fromhex((keys / 'daemon/log.key').read_text().strip().split(':')[1])
        self.origin, self.entries, self.bodies = origin, [], []

    def add(self, kind, second=0, **fields):
        """Entry at so many seconds after 2026-01-01T00:00:00Z; returns its index."""
        time = f'2026-01-{1 + second // 86400:02d}T{second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z'
        self.entries.append(canonical({'v': 1, 't': time, 'kind': kind, **fields}))
        return len(self.entries) - 1

    def leaves(self):
        return [tlog.leaf_hash(e) for e in self.entries]

    def checkpoint(self, size=None, seed=None, origin=None):
        leaves = self.leaves()[:size]
        return tlog.sign_checkpoint(origin or self.origin, len(leaves), tlog.root(leaves), seed or self.seed).encode()

    def proof(self, index, size=None):
        proof = b''.join(tlog.base64.b64encode(h) + b'\n' for h in tlog.inclusion(index, self.leaves()[:size]))
        return b'c2sp.org/tlog-proof@v1\nindex %d\n%s\n%s' % (index, proof, self.checkpoint(size))

    def receipt(self, index, size=None):
        entry, text = json.loads(self.entries[index]), self.proof(index, size)
        return canonical({'v': 1, 'batch': entry['batch'], 'source': entry['source'], 'records': entry['records'],
                          'index': index, 'entry': self.entries[index].decode(), 'proof': text.decode()})

    def files(self):
        """path → bytes of the whole log: checkpoint, bundles, hash tiles of level 0, bodies."""
        out = {'/audit/checkpoint': self.checkpoint()}
        leaves = self.leaves()
        for start in range(0, len(self.entries), 256):
            some = self.entries[start:start + 256]
            name = tile_path(start // 256) + ('' if len(some) == 256 else f'.p/{len(some)}')
            out[f'/audit/tile/entries/{name}'] = b''.join(len(e).to_bytes(2, 'big') + e for e in some)
            out[f'/audit/tile/0/{name}'] = b''.join(leaves[start:start + 256])
        for body in self.bodies:
            out[f'/audit/release/{hashlib.sha256(body).hexdigest()}'] = body
        return out


    def all_files(self):
        """The same with hash tiles of every level and the proofs of entries 0, 1, 3, 7, … ."""
        out, level, hashes = self.files(), 0, self.leaves()
        for index in (2 ** n - 1 for n in range(len(hashes).bit_length())):
            out[f'/audit/proof/{index}'] = self.proof(index)
        while len(hashes) >= 256:
            hashes = [tlog.root(hashes[i:i + 256]) for i in range(0, len(hashes) - 255, 256)]
            level += 1
            for start in range(0, len(hashes), 256):
                some = hashes[start:start + 256]
                name = tile_path(start // 256) + ('' if len(some) == 256 else f'.p/{len(some)}')
                out[f'/audit/tile/{level}/{name}'] = b''.join(some)
        return out


class Server:
    """HTTPS on a free port of localhost with the key set's server certificate."""

    def __init__(self, keys):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                body = server.files.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header('Content-Type', 'text/plain' if body is not None else 'application/problem+json')
                body = body if body is not None else b'{"type":"urn:throughcare:error:not-found","status":404}'
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(keys / 'daemon/tls.crt', keys / 'daemon/tls.key')
        context.load_verify_locations(keys / 'ca/ca.crt')
        context.verify_mode = ssl.CERT_REQUIRED
        self.files = {}
        self.http = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.http.daemon_threads = True
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.environment = {'THROUGHCARE_URL': f'https://localhost:{self.http.server_address[1]}',
                            'THROUGHCARE_CA': str(keys / 'ca/ca.crt'),
                            'THROUGHCARE_CERT': str(keys / 'auditor/client.crt'),
                            'THROUGHCARE_KEY': str(keys / 'auditor/client.key')}
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
