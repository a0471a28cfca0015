"""A small reference of the transparency log: RFC 6962 trees and proofs, C2SP notes and checkpoints, RFC 8032 Ed25519.

Written from the specifications, in the plainest form, apart from the C: recursion where that iterates, big integers
where that calls OpenSSL. Slow, and never used for secrets that matter.
"""
import base64
import hashlib


def sha256(data):
    return hashlib.sha256(data).digest()


# ---- RFC 6962 section 2.1 ----

def leaf_hash(entry):
    return sha256(b'\0' + entry)


def node_hash(left, right):
    return sha256(b'\1' + left + right)


def split(n):
    """The largest power of two below n."""
    return 1 << (n - 1).bit_length() - 1


def root(leaves):
    if not leaves:
        return sha256(b'')
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return node_hash(root(leaves[:k]), root(leaves[k:]))


def inclusion(m, leaves):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return inclusion(m, leaves[:k]) + [root(leaves[k:])]
    return inclusion(m - k, leaves[k:]) + [root(leaves[:k])]


def consistency(m, leaves, whole=True):
    if m == len(leaves):
        return [] if whole else [root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return consistency(m, leaves[:k], whole) + [root(leaves[k:])]
    return consistency(m - k, leaves[k:], False) + [root(leaves[:k])]


def root_from_inclusion(m, n, leaf, proof):
    """The root that an inclusion proof leads to, or None when the proof has the wrong length."""
    if n == 1:
        return leaf if not proof else None
    if not proof:
        return None
    k = split(n)
    if m < k:
        left = root_from_inclusion(m, k, leaf, proof[:-1])
        return left and node_hash(left, proof[-1])
    right = root_from_inclusion(m - k, n - k, leaf, proof[:-1])
    return right and node_hash(proof[-1], right)


# ---- RFC 8032 Ed25519 ----

P = 2 ** 255 - 19
ORDER = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    aa, bb = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    cc, dd = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = bb - aa, dd - cc, dd + cc, bb + aa
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def recover_x(y, sign):
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P or y >= P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def decompress(data):
    y = int.from_bytes(data, 'little')
    sign, y = y >> 255, y & (1 << 255) - 1
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = decompress(BASE_Y.to_bytes(32, 'little'))


def compress(point):
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, 'little')


def hash_to_scalar(*parts):
    return int.from_bytes(hashlib.sha512(b''.join(parts)).digest(), 'little') % ORDER


def expand(seed):
    h = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(h[:32], 'little') & (1 << 254) - 8 | 1 << 254
    return scalar, h[32:]


def public_key(seed):
    return compress(multiply(expand(seed)[0], BASE))


def sign(seed, text):
    scalar, prefix = expand(seed)
    public = compress(multiply(scalar, BASE))
    r = hash_to_scalar(prefix, text)
    big_r = compress(multiply(r, BASE))
    s = (r + hash_to_scalar(big_r, public, text) * scalar) % ORDER
    return big_r + s.to_bytes(32, 'little')


def verify(public, text, signature):
    a, r = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], 'little')
    if a is None or r is None or len(signature) != 64 or s >= ORDER:
        return False
    k = hash_to_scalar(signature[:32], public, text)
    return compress(multiply(s, BASE)) == compress(add(r, multiply(k, a)))


# ---- C2SP signed-note and tlog-checkpoint ----

def decode64(text):
    """Canonical base64 only: no stray bits behind the last byte."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError('not canonical base64')
    return data


def key_id(name, public):
    return sha256(name.encode() + b'\n\x01' + public)[:4]


def parse_vkey(vkey):
    name, key_hash, key = vkey.strip().split('+', 2)
    key = decode64(key)
    assert key[0] == 1 and len(key) == 33 and key_id(name, key[1:]).hex() == key_hash
    return name, key[1:]


def format_vkey(name, public):
    return f'{name}+{key_id(name, public).hex()}+{base64.b64encode(bytes([1]) + public).decode()}'


def sign_checkpoint(origin, size, root_hash, seed):
    text = f'{origin}\n{size}\n{base64.b64encode(root_hash).decode()}\n'
    signature = key_id(origin, public_key(seed)) + sign(seed, text.encode())
    return f'{text}\n\u2014 {origin} {base64.b64encode(signature).decode()}\n'


def open_checkpoint(note, vkey):
    """(size, root) of a checkpoint signed by vkey; raises ValueError otherwise."""
    name, public = parse_vkey(vkey)
    text, mark, signatures = note.rpartition('\n\n')
    if not mark or not signatures.endswith('\n'):
        raise ValueError('not a note')
    text += '\n'
    good = False
    for line in signatures[:-1].split('\n'):
        dash, signer, encoded = line.split(' ')
        data = decode64(encoded)
        if dash != '\u2014' or len(data) < 5:
            raise ValueError('not a signature line')
        if signer == name and data[:4] == key_id(name, public):
            if not verify(public, text.encode(), data[4:]):
                raise ValueError('wrong signature')
            good = True
    origin, size, root_hash = text.split('\n')[:3]
    if not good or origin != name:
        raise ValueError('not signed by this key')
    return int(size), decode64(root_hash)
