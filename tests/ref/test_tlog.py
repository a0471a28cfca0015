# labels: quick once
"""The reference against the golden vectors, RFC 8032's own vectors, and itself; the C reads the same vectors."""
import base64
import json
import os
import pathlib

import pytest

import tlog

ROOT = pathlib.Path(os.environ.get('TC_SOURCE_DIR', pathlib.Path(__file__).parents[2]))
VECTORS = json.loads((ROOT / 'tests/data/vectors/tlog.json').read_text())
LEAVES = [tlog.leaf_hash(bytes.fromhex(x)) for x in VECTORS['leaves_hex']]


def test_hashes():
    assert LEAVES[0].hex() == VECTORS['leaf_hash']['0']
    assert LEAVES[2].hex() == VECTORS['leaf_hash']['2']
    for n, want in VECTORS['root'].items():
        assert tlog.root(LEAVES[:int(n)]).hex() == want


def test_proofs():
    assert [h.hex() for h in tlog.inclusion(2, LEAVES)] == VECTORS['inclusion_2_in_5']
    assert [h.hex() for h in tlog.consistency(3, LEAVES)] == VECTORS['consistency_3_to_5']
    for n in range(1, 33):
        leaves = [tlog.leaf_hash(bytes([i])) for i in range(n)]
        for m in range(n):
            proof = tlog.inclusion(m, leaves)
            assert tlog.root_from_inclusion(m, n, leaves[m], proof) == tlog.root(leaves)
            assert tlog.root_from_inclusion(m, n, leaves[m], proof + [leaves[0]]) is None


@pytest.mark.parametrize('seed, public, message, signature', [
    ('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
     'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', '',
     'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b'
     'd25bf5f0595bbe24655141438e7a100b'),
    ('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
     '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c', '72',
     '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c'
     '387b2eaeb4302aeeb00d291612bb0c00'),
])
def test_ed25519(seed, public, message, signature):
    seed, public = bytes.fromhex(seed), bytes.fromhex(public)
    message, signature = bytes.fromhex(message), bytes.fromhex(signature)
    assert tlog.public_key(seed) == public
    assert tlog.sign(seed, message) == signature
    assert tlog.verify(public, message, signature)
    assert not tlog.verify(public, message + b'x', signature)


def test_checkpoint():
    seed = bytes.fromhex(VECTORS['ed25519_seed_hex'])
    origin, note, vkey = VECTORS['origin'], VECTORS['checkpoint'], VECTORS['vkey']
    assert tlog.format_vkey(origin, tlog.public_key(seed)) == vkey
    assert tlog.sign_checkpoint(origin, 5, tlog.root(LEAVES), seed) == note
    assert tlog.open_checkpoint(note, vkey) == (5, tlog.root(LEAVES))
    for i in range(0, len(note), 7):
        bad = note[:i] + ('B' if note[i] == 'A' else 'A') + note[i + 1:]
        with pytest.raises(ValueError):
            tlog.open_checkpoint(bad, vkey)


def test_witness_cosignature():
    """C2SP tlog-cosignature: what a witness adds is checked over a time line and the note's text."""
    w = VECTORS['witness']
    public = tlog.public_key(bytes.fromhex(w['seed_hex']))
    data = base64.b64decode(w['cosignature_b64'])
    text = VECTORS['checkpoint'].rpartition('\n\n')[0] + '\n'
    assert data[:4] == tlog.sha256(w['name'].encode() + b'\n\x04' + public)[:4]
    assert int.from_bytes(data[4:12], 'big') == w['time']
    message = f'cosignature/v1\ntime {w["time"]}\n{text}'.encode()
    assert tlog.verify(public, message, data[12:])
