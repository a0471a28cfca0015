# labels: quick once
"""Where keys are in memory: in pages that are locked and outside core dumps, nowhere else, in no file that is open, and no
longer anywhere once they were rotated away."""
import os
import pathlib
import re

import pytest

from harness import Unit, descriptors, make_registers, tool


def mappings(pid):
    """(start, end, flags of the kernel) of what the process can write to."""
    out, span = [], None
    for line in pathlib.Path(f'/proc/{pid}/smaps').read_text().splitlines():
        head = re.match(r'([0-9a-f]+)-([0-9a-f]+) (\S+)', line)
        if head:
            span = (int(head.group(1), 16), int(head.group(2), 16), head.group(3))
        elif line.startswith('VmFlags:') and span[2].startswith('rw'):
            out.append((span[0], span[1], line.split()[1:]))
    return out


def find(pid, needle):
    """The flags of each place where the bytes stand."""
    found = []
    with open(f'/proc/{pid}/mem', 'rb', 0) as memory:
        for start, end, flags in mappings(pid):
            if end - start > 1 << 28:
                continue                                    # the store's map: tests/system/test_disk_scan.py looks at files
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except OSError:
                continue
            at = data.find(needle)
            while at >= 0:
                found.append(flags)
                at = data.find(needle, at + 1)
    return found


def key_bytes(path):
    return bytes.fromhex(path.read_text().strip().split(':')[1])


def check_guarded(pid, needle):
    places = find(pid, needle)
    assert places, 'control: the key is there'
    for flags in places:
        # locked, not dumped, not for a forked child
        assert {'lo', 'dd', 'dc'} <= set(flags), flags


def test_keys_in_memory(tmp_path):
    if os.geteuid() != 0:
        pytest.skip('the processes are not dumpable: reading their memory needs root')
    unit = Unit(tmp_path / 'unit', store_map_bytes='1G')
    daemon = unit.keys / 'daemon'
    seal, log = daemon / 'seal.key', daemon / 'log.key'
    registers = make_registers(tmp_path / 'registers', 80)
    with unit:
        core, front = unit.processes()
        unit.push_registers(registers)
        unit.publish()
        for path in (seal, log):
            check_guarded(core, key_bytes(path))
            assert not find(front, key_bytes(path))
        old = {path: key_bytes(path) for path in (seal, log)}
        for kind, path in (('--seal', seal), ('--log', log)):
            new = tmp_path / f'next-{path.name}'
            tool('keys', 'rotate', kind, path, '-o', new)
            unit.as_('operator', 'admin', 'rotate', f'{new}.handover')
            new.replace(path)
            check_guarded(core, key_bytes(path))
        assert not find(core, old[seal]), 'a sealing key that was rotated away is wiped'
        for pid in (core, front):
            assert not [path for path in descriptors(pid).values() if path.endswith('.key') or '.key ' in path]
        status = pathlib.Path(f'/proc/{core}/limits').read_text()
        assert re.search(r'Max core file size\s+0\s+0', status)
    with unit:
        core, front = unit.processes()
        assert not find(core, old[log]), 'the old log key is not read again'
        check_guarded(core, key_bytes(seal))
        check_guarded(core, key_bytes(log))
