# labels: quick once
"""Everything that an auditor is shown, tampered with in every way, one at a time: `audit verify` finds each and names it.

Classes: entry, tile, checkpoint, signature, proof, receipt. Ways: a bit flipped, a part dropped, parts reordered, cut short,
and something older or other shown again in its place. Beside that: a log written anew and signed with its own key, and a store
put back to an older copy, which the daemon refuses and, with its signer's state put back too, the auditor finds."""
import base64
import re
import shutil

import pytest

from harness import PATIENCE_S, STUDY, Unit, make_registers, tool
from log_server import Log, Server
from test_audit import add_batch

AUDIT_FAILED = 76
N, SEEN, BATCH = 600, 450, 300
BUNDLE, TILE = '/audit/tile/entries/001', '/audit/tile/0/001'
CHECKPOINT = '/audit/checkpoint'


class Place:
    """An honest log of 600 entries, what an auditor saw of it at 450, and a custodian's receipt of entry 300."""

    def __init__(self, folder):
        tool('keys', 'init', folder / 'keys', '--study', STUDY)
        self.folder, self.keys = folder, folder / 'keys'
        self.server = Server(self.keys)
        self.log = Log(self.keys)
        for n in range(N):
            if n in (BATCH, BATCH + 1):
                add_batch(self.log, n, second=n)
            else:
                self.log.add('refused', n, route='/v1/tables', reason='forbidden')
        self.good = self.log.files()
        self.receipt = self.log.receipt(BATCH, BATCH + 20)

    def verify(self, files=None, receipt=None, state=None):
        self.server.files = files if files is not None else self.good
        (self.folder / 'kept.receipt').write_bytes(receipt if receipt is not None else self.receipt)
        if receipt == b'':
            (self.folder / 'kept.receipt').unlink()
        (self.folder / 'seen').write_bytes(state if state is not None else self.log.checkpoint(SEEN))
        return tool('audit', 'verify', '--tiles', '--vkey', self.keys / 'log.vkey', '--state', self.folder / 'seen',
                    '--receipt', self.folder / 'kept.receipt', env=self.server.environment, check=False)


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    p = Place(tmp_path_factory.mktemp('tampering'))
    done = p.verify()
    assert done.returncode == 0, done.stderr
    yield p
    p.server.close()


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def entries_of(bundle):
    out = []
    while bundle:
        length = int.from_bytes(bundle[:2], 'big')
        out.append(bundle[:2 + length])
        bundle = bundle[2 + length:]
    return out


def swapped(items, a, b):
    items = [*items]
    items[a], items[b] = items[b], items[a]
    return items


def hashes(tile):
    return [tile[i:i + 32] for i in range(0, len(tile), 32)]


def lines(data):
    return data.splitlines(keepends=True)


def signature(note, change):
    """The note with its signature's 68 bytes changed."""
    head, line = note.rsplit(b' ', 1)
    return head + b' ' + base64.b64encode(change(base64.b64decode(line))) + b'\n'


def signature_of(note):
    return base64.b64decode(note.rsplit(b' ', 1)[1])


def proof_lines(receipt, change):
    """The receipt with the hash lines of its proof changed."""
    head, hash_lines, rest = re.fullmatch(rb'(.*"proof":"c2sp.org/tlog-proof@v1\\nindex \d+\\n)(.*?)(\\n\\n.*)', receipt).groups()
    return head + b'\\n'.join(change(hash_lines.split(b'\\n'))) + rest


ENTRY, HASHES, SIGNATURE = r'entry \d+|entry bundle 1\b|root', r'tile 0/0*1\b', r'signature|signed'
MATRIX = {
    # class: way: (what is shown, what the message must say)
    'entry': {
        'flipped': (lambda p: {BUNDLE: flip(p.good[BUNDLE], 5000)}, ENTRY),
        'dropped': (lambda p: {BUNDLE: b''.join(entries_of(p.good[BUNDLE])[:7] + entries_of(p.good[BUNDLE])[8:])}, ENTRY),
        'reordered': (lambda p: {BUNDLE: b''.join(swapped(entries_of(p.good[BUNDLE]), 7, 9))}, ENTRY),
        'truncated': (lambda p: {BUNDLE: p.good[BUNDLE][:-9]}, ENTRY),
        'replayed': (lambda p: {BUNDLE: b''.join(entries_of(p.good[BUNDLE])[:9] + entries_of(p.good[BUNDLE])[8:9] +
                                                 entries_of(p.good[BUNDLE])[10:])}, ENTRY),
    },
    'tile': {
        'flipped': (lambda p: {TILE: flip(p.good[TILE], 700)}, HASHES),
        'dropped': (lambda p: {TILE: None}, HASHES),
        'reordered': (lambda p: {TILE: b''.join(swapped(hashes(p.good[TILE]), 3, 4))}, HASHES),
        'truncated': (lambda p: {TILE: p.good[TILE][:-32]}, HASHES),
        'replayed': (lambda p: {TILE: p.good['/audit/tile/0/000']}, HASHES),
    },
    'checkpoint': {
        'flipped': (lambda p: {CHECKPOINT: flip(p.good[CHECKPOINT], p.good[CHECKPOINT].index(b'\n600\n') + 3)}, SIGNATURE),
        'dropped': (lambda p: {CHECKPOINT: None}, r'checkpoint|404'),
        'reordered': (lambda p: {CHECKPOINT: b''.join(swapped(lines(p.good[CHECKPOINT]), 0, 2))}, r'checkpoint|' + SIGNATURE),
        'truncated': (lambda p: {CHECKPOINT: b''.join(lines(p.good[CHECKPOINT])[:2])}, r'checkpoint|' + SIGNATURE),
        'replayed': (lambda p: {CHECKPOINT: p.log.checkpoint(SEEN - 1)}, r'seen'),
    },
    'signature': {
        'flipped': (lambda p: {CHECKPOINT: signature(p.good[CHECKPOINT], lambda s: flip(s, 40))}, SIGNATURE),
        'dropped': (lambda p: {CHECKPOINT: b''.join(lines(p.good[CHECKPOINT])[:4])}, r'checkpoint|' + SIGNATURE),
        'reordered': (lambda p: {CHECKPOINT: signature(p.good[CHECKPOINT], lambda s: s[:4] + s[36:] + s[4:36])}, SIGNATURE),
        'truncated': (lambda p: {CHECKPOINT: signature(p.good[CHECKPOINT], lambda s: s[:-1])}, SIGNATURE),
        'replayed': (lambda p: {CHECKPOINT: signature(p.good[CHECKPOINT], lambda s: signature_of(p.log.checkpoint(SEEN)))},
                     SIGNATURE),
    },
    'proof': {
        'flipped': (lambda p: proof_lines(p.receipt, lambda h: [h[0], b'A' * 43 + b'=', *h[2:]]), r'kept\.receipt'),
        'dropped': (lambda p: proof_lines(p.receipt, lambda h: h[:1] + h[2:]), r'kept\.receipt'),
        'reordered': (lambda p: proof_lines(p.receipt, lambda h: swapped(h, 0, 1)), r'kept\.receipt'),
        'truncated': (lambda p: proof_lines(p.receipt, lambda h: [*h[:-1], h[-1][:-4]]), r'kept\.receipt'),
        'replayed': (lambda p: proof_lines(p.receipt, lambda h: [base64.b64encode(p.log.leaves()[BATCH]), *h[1:]]),
                     r'kept\.receipt'),
    },
    'receipt': {
        'flipped': (lambda p: flip(p.receipt, p.receipt.index(b'"records":') + 11), r'kept\.receipt'),
        'dropped': (lambda p: b'', r'kept\.receipt'),
        'reordered': (lambda p: p.receipt.replace(b'"index":300', b'"index":301'), r'kept\.receipt'),
        'truncated': (lambda p: p.receipt[:-30], r'kept\.receipt'),
        # One of a log that forked: signed by the same key, and in itself without a fault.
        'replayed': (lambda p: changed(p.log, lambda e: [e[0].replace(b'forbidden', b'forbiddem'), *e[1:]]).receipt(
            BATCH, BATCH + 20), r'kept\.receipt'),
    },
}


def changed(log, change):
    other = Log.__new__(Log)
    other.__dict__ = {**log.__dict__, 'entries': change([*log.entries])}
    return other


@pytest.mark.parametrize('what, way', [(what, way) for what, ways in MATRIX.items() for way in ways])
def test_found_and_named(place, what, way):
    make, said = MATRIX[what][way]
    shown = make(place)
    if isinstance(shown, dict):
        assert all(shown[path] != place.good[path] for path in shown), 'control: something is changed'
        done = place.verify({k: v for k, v in {**place.good, **shown}.items() if v is not None})
    else:
        assert shown != place.receipt, 'control: something is changed'
        done = place.verify(receipt=shown)
    # A file that is not there is 66; all else is a log that does not hold.
    assert done.returncode == (66 if way == 'dropped' and what in ('receipt', 'checkpoint') else AUDIT_FAILED), done.stderr
    assert re.search(said, done.stderr), done.stderr
    assert 'verified' not in done.stdout
    assert (place.folder / 'seen').read_bytes() == place.log.checkpoint(SEEN), 'what does not hold is not kept'


@pytest.mark.parametrize('change, said', [
    (lambda e: e[:100] + [e[100].replace(b'forbidden', b'forbiddem')] + e[101:], r'seen|kept\.receipt'),
    (lambda e: e[:500] + e[501:], None),                  # after all that anybody saw: nobody can tell
    (lambda e: e[:200] + e[201:], r'seen|kept\.receipt|by here|time|entr'),
    (lambda e: e[:SEEN - 1], r'seen'),
    (lambda e: e[:310], r'seen|kept\.receipt'),
    (lambda e: e[:SEEN - 1] + [e[SEEN - 1].replace(b'forbidden', b'forbiddem')] + e[SEEN:], r'seen'),
])
def test_a_forked_log(place, change, said):
    """Written anew and signed with its own key."""
    done = place.verify(changed(place.log, change).files())
    if said is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == AUDIT_FAILED and re.search(said, done.stderr), done.stderr


def test_a_store_put_back(tmp_path):
    unit = Unit(tmp_path / 'unit')
    daemon, state = unit.keys / 'daemon', tmp_path / 'seen'
    verify = ['audit', 'verify', '--vkey', unit.keys / 'log.vkey', '--state', state]
    with unit:
        unit.as_('auditor', *verify)
    shutil.copytree(daemon / 'store', tmp_path / 'last-week')
    shutil.copy(daemon / 'log.key.state', tmp_path / 'state-of-last-week')
    with unit:
        batch = unit.folder / 'prison.batch'
        unit.encode('prison', make_registers(tmp_path / 'registers', 60) / 'prison.csv', batch)
        unit.push('prison', batch)
        unit.as_('auditor', *verify)
    shutil.rmtree(daemon / 'store')
    shutil.copytree(tmp_path / 'last-week', daemon / 'store')
    unit.start(ready=False)
    assert unit.daemon.wait(PATIENCE_S) == 76 and 'it is an older copy' in unit.log()
    # The signer's state put back as well: the daemon cannot know; who looked meanwhile does.
    shutil.copy(tmp_path / 'state-of-last-week', daemon / 'log.key.state')
    with unit:
        done = unit.as_('auditor', *verify, check=False)
        assert done.returncode == AUDIT_FAILED and str(state) in done.stderr, done.stderr
