"""What a thief finds who takes the disk: every file of the linkage unit's host but the sealing key. A scanner looks for each
record's filters, its record and person number, and for the columns of dates, events and strata of each chunk, as they
were sent. It must find none of them after batches, comparison, a release, a withdrawal and a rotation of the sealing
key; and the same scanner must find all of them where the daemon is built without sealing, or it would show nothing."""
import json
import mmap
import pathlib
import subprocess

import pytest

from harness import BINARY, THROUGHCARED, Unit, batches_of, make_registers, tool

UNSEALED = BINARY / 'tests' / 'throughcared_unsealed'
MARK = b'throughcare_test_without_sealing'


def fields(message):
    """(number, value) of each field of a protobuf message: int, or bytes."""
    def varint(at):
        value = shift = 0
        while True:
            byte = message[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at
    at = 0
    while at < len(message):
        tag, at = varint(at)
        if tag & 7 == 0:
            value, at = varint(at)
        else:
            assert tag & 7 == 2
            length, at = varint(at)
            value, at = message[at:at + length], at + length
        yield tag >> 3, value


def rows(column, width):
    return [column[i:i + width] for i in range(0, len(column), width)]


def needles_of(batch):
    """{what: [bytes]} of a batch; what is the same in too many records to tell anything is left out."""
    found = {'filter': [], 'record number': [], 'person number': [], 'dates': [], 'events': [], 'strata': []}
    at = 8
    while at < len(batch):
        length = int.from_bytes(batch[at:at + 4], 'big')
        (kind, body), = fields(batch[at + 4:at + 4 + length])
        at += 4 + length
        if kind != 2:
            continue
        parts = list(fields(body))
        n = dict(parts)[1]
        for number, value in parts:
            if number == 2:
                found['record number'] += rows(value, 16)
            elif number == 4:
                found['person number'] += [row for row in rows(value, 16) if any(row)]
            elif number == 5:
                bits = dict(fields(value))[1]
                found['filter'] += [row for row in rows(bits, len(bits) // n) if any(row)]
            elif number == 6:
                found['events'].append(value)
            elif number == 7:
                found['dates'].append(value)
            elif number == 8:
                found['strata'].append(dict(fields(value))[1])
    for what, limit in (('dates', 30), ('events', 30), ('strata', 30)):
        found[what] = [column for column in found[what] if len(column) >= limit and len(set(column)) > 1]
    return found


def scan(folder, needles, leave=()):
    """Which needles stand in some file below the folder, as they are or as hex digits: {what: how many}."""
    hits = {what: set() for what in needles}
    files = [path for path in pathlib.Path(folder).rglob('*') if path.is_file() and path not in leave and path.stat().st_size]
    for path in files:
        with open(path, 'rb') as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
            hits_here = {what: {n for n in list_ if data.find(n) >= 0 or data.find(n.hex().encode()) >= 0}
                         for what, list_ in needles.items()}
        for what, found in hits_here.items():
            hits[what] |= found
    assert len(files) >= 8                                  # the store's four, the signer's, keys, configuration, log
    return {what: len(found) for what, found in hits.items()}


def merge(parts):
    return {what: sorted({needle for part in parts for needle in part[what]}) for what in parts[0]}


@pytest.fixture(scope='module')
def registers(tmp_path_factory):
    folder = tmp_path_factory.mktemp('scan')
    return make_registers(folder / 'registers', 150, 7)


def run_unit(folder, registers, program):
    """A unit that has seen all that one sees; the custodians' files are not on its host."""
    unit = Unit(folder / 'unit', store_map_bytes='256M')
    unit.program = program
    needles, withdrawn = [], None
    with unit:
        for source in ('prison', 'treatment'):
            out = folder / f'{source}.batch'
            unit.encode(source, registers / f'{source}.csv', out)
            for batch in batches_of(out):
                needles.append(needles_of(batch))
                assert unit.post_batch(source, batch)[0] == 201
        unit.publish()
        code, _, body = unit.request('analyst', 'GET', '/v1/tables/continuity_by_quarter')
        assert code == 200, body
        if program == THROUGHCARED:
            withdrawn = needles[0]['record number'][3].hex()
            code, _, body = unit.request('prison', 'POST', '/v1/withdrawals', json.dumps({'record_ids': [withdrawn]}),
                                         {'Content-Type': 'application/json'})
            assert code == 200 and json.loads(body)['records'] == 1, body
            before = scan(unit.folder, merge(needles), leave={unit.keys / 'daemon' / 'seal.key'})
            assert not any(before.values()), before         # while it runs
            seal, new = unit.keys / 'daemon' / 'seal.key', unit.folder / 'new.key'
            tool('keys', 'rotate', '--seal', seal, '-o', new)
            unit.as_('operator', 'admin', 'rotate', f'{new}.handover')
            new.replace(seal)
    return unit, merge(needles)


def test_sealed_and_unsealed(tmp_path, registers):
    unit, needles = run_unit(tmp_path / 'sealed', registers, THROUGHCARED)
    assert all(len(list_) >= least for list_, least in zip(needles.values(), (200, 200, 100, 1, 1, 2))), \
        {what: len(list_) for what, list_ in needles.items()}
    found = scan(unit.folder, needles, leave={unit.keys / 'daemon' / 'seal.key'})
    assert not any(found.values()), found

    unit, needles = run_unit(tmp_path / 'unsealed', registers, UNSEALED)
    found = scan(unit.folder, needles, leave={unit.keys / 'daemon' / 'seal.key'})
    print(f'looked for, and found without sealing: {found}')
    assert found == {what: len(list_) for what, list_ in needles.items()}


def test_sealing_cannot_be_switched_off():
    """The two programs differ in what is linked, not in an option."""
    names = {program: subprocess.run(['nm', program], check=True, capture_output=True).stdout
             for program in (THROUGHCARED, UNSEALED)}
    assert MARK in names[UNSEALED] and MARK not in names[THROUGHCARED]
