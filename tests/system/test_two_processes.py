# labels: quick once
"""The process that holds records has no network; the process that has the network holds no records."""
import os
import pathlib
import re
import subprocess

import pytest

from harness import BINARY, SOURCE, THROUGHCARED, Unit, batches_of, descriptors, make_registers


@pytest.fixture(scope='module')
def unit(tmp_path_factory):
    folder = tmp_path_factory.mktemp('two')
    registers = make_registers(folder / 'registers', 300)
    with Unit(folder / 'unit') as unit:
        unit.push_registers(registers)
        unit.publish()
        yield unit


def symbols(path):
    done = subprocess.run(['nm', '--defined-only', path], capture_output=True, text=True, check=True)
    return {line.split()[-1] for line in done.stdout.splitlines() if line}


def test_the_daemon_cannot_encode():
    """Neither the encoder's nor the linkage secret's functions are in the daemon; they are in the tools (control)."""
    daemon, tools = symbols(THROUGHCARED), symbols(BINARY / 'tools' / 'throughcare')
    libraries = [BINARY / 'tools' / 'libtc_encode.a', BINARY / 'keys' / 'libtc_linkage_secret.a']
    for library in libraries:
        done = subprocess.run(['nm', '--defined-only', '--extern-only', library], capture_output=True, text=True, check=True)
        names = {line.split()[-1] for line in done.stdout.splitlines() if re.match(r'^[0-9a-f]+ T ', line)}
        assert names, f'{library} defines nothing: the test would prove nothing'
        assert not names & daemon, sorted(names & daemon)
        assert names & tools
    assert not [name for name in daemon if 'linkage_secret' in name or 'bloom' in name]
    text = THROUGHCARED.read_bytes()
    assert b'throughcare key check v1' not in text, 'the label of the key check is not in the daemon'


def sockets_of(pid):
    return [target for target in descriptors(pid).values() if target.startswith('socket:')]


def network_inodes(pid):
    """Inodes of TCP and UDP sockets in the process's network namespace."""
    found = set()
    for table in ('tcp', 'tcp6', 'udp', 'udp6', 'raw', 'packet'):
        path = pathlib.Path(f'/proc/{pid}/net/{table}')
        if path.exists():
            for line in path.read_text().splitlines()[1:]:
                found.add(line.split()[9 if table != 'packet' else 8])
    return found


def need_root():
    if os.geteuid() != 0:
        pytest.skip('the processes are not dumpable: reading their descriptors needs root')


def test_the_core_has_no_socket_but_the_pipe(unit):
    need_root()
    core, front = unit.processes()
    assert len(sockets_of(core)) == 1
    inodes = {re.search(r'\d+', s).group() for s in sockets_of(core)}
    assert not inodes & network_inodes(core)
    with unit.tls('analyst'):                       # control: the front has a listener, a connection and the pipe
        assert len(sockets_of(front)) >= 3


def test_the_front_has_no_file_of_the_store_and_no_key(unit):
    need_root()
    core, front = unit.processes()

    assert any('store' in path for path in descriptors(core).values()), 'control'
    assert not [path for path in descriptors(front).values() if 'store' in path or path.endswith('.key')]
    maps = pathlib.Path(f'/proc/{front}/maps').read_text()
    assert 'store' not in maps and 'liblmdb' in pathlib.Path(f'/proc/{core}/maps').read_text()
    seal = (unit.keys / 'daemon' / 'seal.key').read_text().strip().split(':')[1]
    assert not find_in_memory(front, bytes.fromhex(seal))
    assert find_in_memory(core, bytes.fromhex(seal)), 'control: the core has it'


def find_in_memory(pid, needle):
    for line in pathlib.Path(f'/proc/{pid}/maps').read_text().splitlines():
        span, mode = line.split()[:2]
        start, end = (int(x, 16) for x in span.split('-'))
        if not mode.startswith('rw') or end - start > 1 << 28 or line.endswith('[vvar]'):
            continue
        try:
            with open(f'/proc/{pid}/mem', 'rb', 0) as memory:
                memory.seek(start)
                if needle in memory.read(end - start):
                    return True
        except OSError:
            continue
    return False


def test_tls_key_is_not_in_the_core(unit):
    need_root()
    der = subprocess.run(['openssl', 'pkey', '-in', unit.keys / 'daemon' / 'tls.key', '-text', '-noout'],
                         capture_output=True, text=True, check=True).stdout
    private = bytes.fromhex(''.join(re.search(r'priv:\s*((?:[0-9a-f]{2}:?\s*)+)', der).group(1).split()).replace(':', ''))
    core, front = unit.processes()
    needles = [private, private[::-1]]              # OpenSSL keeps big numbers in little-endian words
    assert not any(find_in_memory(core, n) for n in needles)
    assert any(find_in_memory(front, n) for n in needles), 'control: the front has it'


def test_processes_are_closed_to_others(unit):
    for pid in unit.processes():
        status = pathlib.Path(f'/proc/{pid}/status').read_text()
        assert re.search(r'NoNewPrivs:\s*1', status)
        limits = pathlib.Path(f'/proc/{pid}/limits').read_text()
        assert re.search(r'Max core file size\s+0\s+0', limits)


def test_no_request_gives_a_record(unit):
    """Everything the front can ask for, asked by everyone: no answer holds bytes of a record that was pushed.

    The route table is read from its header, so that a route added later is asked too."""
    header = (SOURCE / 'proto' / 'route.h').read_text()
    routes = re.findall(r'X\((REQUEST_\w+),\s*"(\w+)",\s*"([^"]+)"', header)
    assert len(routes) >= 13
    data = batches_of(unit.folder / 'prison.batch')[0]
    needles = record_needles(data)
    assert len(needles) > 100
    entries = unit.entries()
    batch = next(e['batch'] for e in entries if e['kind'] == 'batch')
    digest = next(e['digest'] for e in entries if e['kind'] == 'release')
    arguments = {'REQUEST_BATCH_STATUS': [batch, '0'], 'REQUEST_TABLE': ['continuity_by_quarter', 'records'],
                 'REQUEST_TILE': ['0/000', 'entries/000.p/5', '0/000.p/3'], 'REQUEST_RELEASE_BODY': [digest, '1'],
                 'REQUEST_PROOF': ['0', '3'], 'REQUEST_CONSISTENCY': ['1-2', '1-0']}
    answered = 0
    for name, method, pattern in routes:
        for argument in arguments.get(name, ['']):
            path = pattern.replace('{*}', argument).replace('{}', argument)
            for who in ('prison', 'treatment', 'analyst', 'auditor', 'operator'):
                body = '{}' if method == 'POST' else None
                headers = {'Content-Type': 'application/json'} if body else {}
                code, _, answer = unit.request(who, method, path, body, headers)
                answered += code == 200
                for needle in needles:
                    assert needle not in answer and needle.hex().encode() not in answer, (path, who)
    assert answered >= 12, 'control: the requests were answered'


def record_needles(data):
    """16-byte pieces of the records' ids and filters that are no plain zeros."""
    header = int.from_bytes(data[8:12], 'big')
    body = data[12 + header + 4:]
    pieces = {body[at:at + 16] for at in range(0, len(body) - 16, 97)}
    return [p for p in pieces if len(set(p)) > 6]
