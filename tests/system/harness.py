"""Starts the real daemon with a throw-away key set and talks to it with the real tools and with Python's own TLS.

Nothing here stands in for a part of Throughcare: keys come from `throughcare keys`, registers from `throughcare synth`,
the daemon is `throughcared`, and a request that the tools would never make goes over a raw TLS socket.
"""
import contextlib
import csv
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

SOURCE = pathlib.Path(os.environ.get('TC_SOURCE_DIR', pathlib.Path(__file__).resolve().parents[2]))
BINARY = pathlib.Path(os.environ.get('TC_BINARY_DIR', SOURCE / 'build' / 'release'))
THROUGHCARE = BINARY / 'tools' / 'throughcare'
THROUGHCARED = BINARY / 'daemon' / 'throughcared'
STUDY = SOURCE / 'deploy' / 'study-two-registers.yaml'
FIELDS = SOURCE / 'tests' / 'data' / 'study-fields.yaml'          # the same with a filter a field
SHARED = SOURCE.parent / 'shared'
# Sanitizer builds are several times slower; a limit is there to end a hang, not to measure.
PATIENCE_S = 300


def sanitizers():
    """Which ones the daemon was built with: of 'asan' and 'tsan'."""
    program = THROUGHCARED.read_bytes()
    return {name for name in ('asan', 'tsan') if f'__{name}_init'.encode() in program}


def tool(*args, env=None, check=True, stdin=None):
    """Run `throughcare ARGS`; returns the finished process with text output."""
    done = subprocess.run([str(THROUGHCARE), *map(str, args)], env={**os.environ, **(env or {})}, input=stdin,
                          capture_output=True, text=not isinstance(stdin, bytes), timeout=PATIENCE_S)
    if check and done.returncode != 0:
        raise AssertionError(f'throughcare {" ".join(map(str, args))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}')
    return done


def study_file(path, study=STUDY, **replace):
    """A copy of a study with lines `key: value` replaced (the first that has the key)."""
    text = pathlib.Path(study).read_text()
    for key, value in replace.items():
        text, n = re.subn(rf'(?m)^(\s*){key}:.*$', rf'\g<1>{key}: {value}', text, count=1)
        assert n == 1, f'{key} is not in {study}'
    path = pathlib.Path(path)
    path.write_text(text)
    return path


def make_registers(folder, persons=600, seed=1, *options):
    tool('synth', '--persons', persons, '--seed', seed, '-o', folder, *options)
    return pathlib.Path(folder)


def wait_for(condition, what, limit_s=PATIENCE_S):
    """Until the condition holds; returns what it gave. `what` is said, or called and said, when it does not."""
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.02)
    return found


def descriptors(pid):
    """{number: what it stands for} of a process; one that is closed meanwhile is none."""
    found = {}
    for fd in os.listdir(f'/proc/{pid}/fd'):
        with contextlib.suppress(FileNotFoundError):
            found[int(fd)] = os.readlink(f'/proc/{pid}/fd/{fd}')
    return found


def fix_secrets(keys):
    """Secrets of custodians and sources of a key set that are the same in every run, and so are filters and links. Returns the
    path of a release secret, for noise that is."""
    def put(path, kind):
        path.write_text(f'throughcare-{kind}-v1:{hashlib.sha256(f"{kind} {path.name} {path.parent.name}".encode()).hexdigest()}\n')
        path.chmod(0o600)

    def key_check(path):
        return tool('keys', 'linkage', path, '--show', '--study', study, '--domain', path.stem).stdout.split()[1]
    study = keys / 'study.yaml'
    for path in sorted((keys / 'custodians').glob('*.secret')):
        before = key_check(path)
        put(path, 'linkage')
        text, after = study.read_text(), key_check(path)
        assert before in text
        study.write_text(text.replace(before, after))
    for path in keys.glob('*/record.key'):
        put(path, 'record')
    put(keys / 'release.secret', 'release')
    return keys / 'release.secret'


def read_csv(path):
    with open(path, newline='') as f:
        return list(csv.DictReader(f))


def write_csv(path, rows):
    with open(path, 'w', newline='') as f:
        writer = csv.DictWriter(f, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def with_children(parent):
    with open(f'/proc/{parent}/task/{parent}/children') as f:
        return [parent, *map(int, f.read().split())]


def processor_seconds(parent):
    """Of a process and its children so far, in user and kernel mode."""
    ticks = 0
    for pid in with_children(parent):
        fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(') ', 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf('SC_CLK_TCK')


class Unit:
    """A linkage unit in a folder: key set, configuration, daemon."""

    def __init__(self, folder, study=STUDY, like=None, fixed=False, **conf):
        """`like` is a unit whose keys are taken instead of new ones: linkage and release depend on them. `fixed`: figures are
        the same in every run, as whoever compares them with bounds wants it; the study must say that it is synthetic."""
        self.folder = pathlib.Path(folder)
        self.keys = self.folder / 'keys'
        self.daemon = None
        self.program = THROUGHCARED
        self.log_path = self.folder / 'daemon.log'
        self.folder.mkdir(parents=True, exist_ok=True)
        self.study = self.keys / 'study.yaml'
        self.conf_path = self.keys / 'daemon' / 'throughcared.yaml'
        if like is None:
            tool('keys', 'init', self.keys, '--study', study, '--listen', '127.0.0.1:0')
        else:
            shutil.copytree(like.keys, self.keys)
            self.conf_path.write_text(self.conf_path.read_text().replace(str(like.keys), str(self.keys)))
        if fixed:
            conf = {'test_release_secret': fix_secrets(self.keys), **conf}
        # A confined process cannot write which lines it ran.
        counting = {'confinement': 'off'} if os.environ.get('TC_COVERAGE') else {}
        # A client of a test may be late, on a machine that does other things beside it.
        patient = {'header_timeout_s': 120, 'idle_timeout_s': 600, 'min_body_bytes_per_s': 1}
        self.configure(**{'store_map_bytes': '1G', **patient, **counting, **conf})

    def configure(self, **options):
        """Set options of the daemon's configuration; None removes one."""
        lines = self.conf_path.read_text().splitlines()
        for name, value in options.items():
            lines = [line for line in lines if not line.startswith(f'{name}:')]
            if value is not None:
                lines.append(f'{name}: {value}')
        self.conf_path.write_text('\n'.join(lines) + '\n')

    # ---- the daemon ----

    def start(self, wrapper=(), env=None, ready=True):
        port_file = self.folder / 'port'
        port_file.unlink(missing_ok=True)
        with open(self.log_path, 'ab') as log:
            self.daemon = subprocess.Popen([*wrapper, str(self.program), '-c', str(self.conf_path), '--port-file',
                                            str(port_file)], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                           env={**os.environ, **(env or {})})
        if not ready:
            return self
        deadline = time.monotonic() + PATIENCE_S
        while not (port_file.exists() and port_file.read_text().strip()):
            if self.daemon.poll() is not None:
                raise AssertionError(f'throughcared ended with {self.daemon.returncode}:\n{self.log()}')
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f'throughcared is not ready:\n{self.log()}')
            time.sleep(0.02)
        self.port = int(port_file.read_text())
        return self

    def log(self):
        return self.log_path.read_text(errors='replace') if self.log_path.exists() else ''

    def stop(self):
        """SIGTERM and wait; returns the exit status."""
        if self.daemon is None:
            return None
        if self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
        try:
            status = self.daemon.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f'throughcared did not stop:\n{self.log()}')
        self.daemon = None
        return status

    def processes(self):
        """Process ids of the daemon: core (the parent) first, then front."""
        return with_children(self.daemon.pid)

    def processor_seconds(self):
        return processor_seconds(self.daemon.pid)

    def resident_bytes(self):
        """Resident memory of both processes."""
        text = ''.join(pathlib.Path(f'/proc/{pid}/status').read_text() for pid in self.processes())
        return 1024 * sum(int(line.split()[1]) for line in text.splitlines() if line.startswith('VmRSS:'))

    def kill(self):
        """kill -9 of both processes, as a power cut would."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.daemon.wait(PATIENCE_S)
        self.daemon = None

    def restart(self):
        self.stop()
        return self.start()

    # ---- clients ----

    def environment(self, who):
        return {'THROUGHCARE_URL': f'https://localhost:{self.port}', 'THROUGHCARE_CA': str(self.keys / 'ca' / 'ca.crt'),
                'THROUGHCARE_CERT': str(self.keys / who / 'client.crt'),
                'THROUGHCARE_KEY': str(self.keys / who / 'client.key')}

    def as_(self, who, *args, **options):
        return tool(*args, env=self.environment(who), **options)

    def encode(self, source, csv_path, out, *options, domain='main', check=True):
        return tool('encode', '--study', self.study, '--secret', self.keys / 'custodians' / f'{domain}.secret',
                    '--record-key', self.keys / source / 'record.key', '--source', source, csv_path, '-o', out, *options,
                    check=check)

    def push(self, source, *batches, check=True, options=()):
        return self.as_(source, 'push', *options, *batches, check=check)

    def push_registers(self, registers, *options):
        """Encode and push prison.csv and treatment.csv."""
        for source in ('prison', 'treatment'):
            batch = self.folder / f'{source}.batch'
            self.encode(source, pathlib.Path(registers) / f'{source}.csv', batch, *options)
            self.push(source, batch)

    def publish(self, *options, check=True):
        return self.as_('operator', 'admin', 'publish', *options, check=check)

    def status(self):
        code, _, body = self.request('operator', 'GET', '/v1/status')
        assert code == 200, body
        return json.loads(body)

    def release_body(self, number=None):
        """The canonical body of a release, found through the log as an auditor would."""
        releases = [e for e in self.entries() if e['kind'] == 'release' and number in (None, e['number'])]
        code, _, body = self.request('auditor', 'GET', f'/audit/release/{releases[-1]["digest"]}')
        assert code == 200, body
        return body

    def refusals(self, n):
        """The log's `refused` entries, once there are n of them: they are written while the client already has its answer."""
        def found():
            found = [e for e in self.entries() if e['kind'] == 'refused']
            return found if len(found) + sum(e.get('not_logged_before', 0) for e in found) >= n else None
        return wait_for(found, self.log)

    def entries(self):
        """All entries of the audit log, from the entry bundles."""
        code, _, note = self.request('auditor', 'GET', '/audit/checkpoint')
        assert code == 200, note
        size, out = int(note.split(b'\n')[1]), []
        for tile in range((size + 255) // 256):
            width = min(256, size - tile * 256)
            path = f'/audit/tile/entries/{tile_path(tile)}' + ('' if width == 256 else f'.p/{width}')
            code, _, bundle = self.request('auditor', 'GET', path)
            assert code == 200, (path, bundle)
            while bundle:
                length = int.from_bytes(bundle[:2], 'big')
                out.append(json.loads(bundle[2:2 + length]))
                bundle = bundle[2 + length:]
        assert len(out) == size
        return out

    def tls(self, who=None, cert=None, key=None, timeout=PATIENCE_S, raw=None):
        """A TLS 1.3 socket to the daemon with that client's certificate (None = without one), over `raw` if given."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.keys / 'ca' / 'ca.crt')
        if who is not None:
            cert, key = self.keys / who / 'client.crt', self.keys / who / 'client.key'
        if cert is not None:
            context.load_cert_chain(cert, key)
        raw = raw or socket.create_connection(('127.0.0.1', self.port), timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)   # as http.client does: a head and its body are two writes
        return context.wrap_socket(raw, server_hostname='localhost')

    def request(self, who, method, path, body=None, headers=None, cert=None, key=None):
        """One request on a connection of its own: (status, headers, body)."""
        connection = http.client.HTTPConnection('localhost', self.port)
        connection.sock = self.tls(who, cert, key)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def post_batch(self, who, data, content_type='application/x-protobuf', **headers):
        return self.request(who, 'POST', '/v1/batches', data, {'Content-Type': content_type, **headers})

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        if self.daemon is not None:
            if exc[0] is None:
                assert self.stop() == 0, self.log()
            else:
                self.kill()
                print(self.log())


def tile_path(n):
    """C2SP tlog-tiles: 1234067 → x001/x234/067."""
    groups = [f'{n % 1000:03d}']
    while n >= 1000:
        n //= 1000
        groups.insert(0, f'x{n % 1000:03d}')
    return '/'.join(groups)


def problem(body):
    """Name and detail of an application/problem+json answer."""
    parsed = json.loads(body)
    assert parsed['type'].startswith('urn:throughcare:error:'), parsed
    return parsed['type'].rsplit(':', 1)[1], parsed.get('detail', '')


def batches_of(path):
    """Split a batch file into its batches by walking the frames."""
    data, out, at = pathlib.Path(path).read_bytes(), [], 0
    while at < len(data):
        start = at
        assert data[at:at + 8] == b'TCBATCH1'
        at += 8
        while True:
            length = int.from_bytes(data[at:at + 4], 'big')
            kind = data[at + 4] >> 3            # field number of the frame's one field
            at += 4 + length
            if kind == 3:                       # trailer
                break
        out.append(data[start:at])
    return out


def copy_store(unit, target):
    shutil.copytree(unit.keys / 'daemon', target)
