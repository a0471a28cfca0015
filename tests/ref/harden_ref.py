"""Filters of a study from docs/encoding.md: composite, padded, diffused, balanced. Standard library only, on clkhash_ref.

A filter is {'name', 'features' (places in the schema), 'parts' (of each), 'bits', 'diffusion', 'balanced', 'incomplete',
'sorted_digits'}; a study's filters stand in the order of their names."""
import hashlib
import hmac

import clkhash_ref

DATE_PART = 2
PAD_TOKENS = 8


def hkdf(secret, name, label):
    return clkhash_ref.hkdf(secret, name.encode(), label.encode(), 32, 'sha256')


def stream(secret, name, label):
    """A function that gives a number below n."""
    key = hkdf(secret, name, label)

    def numbers():
        i = 0
        while True:
            block = hmac.new(key, i.to_bytes(8, 'big'), 'sha256').digest()
            yield from (int.from_bytes(block[k:k + 4], 'big') for k in range(0, 32, 4))
            i += 1
    source = numbers()

    def below(n):
        limit = 2 ** 32 - 1 - (2 ** 32 - 1) % n
        return next(r for r in source if r < limit) % n
    return below


def diffuse(bits, secret, name, t):
    below, out = stream(secret, name, 'throughcare diffusion v1'), []
    for _ in bits:
        inputs = []
        while len(inputs) < t:
            r = below(len(bits))
            if r not in inputs:
                inputs.append(r)
        out.append(sum(bits[i] for i in inputs) & 1)
    return out


def balance(bits, secret, name):
    both = bits + [1 - b for b in bits]
    below, order = stream(secret, name, 'throughcare balance v1'), list(range(len(both)))
    for j in range(len(both) - 1, 0, -1):
        r = below(j + 1)
        order[j], order[r] = order[r], order[j]
    out = [0] * len(both)
    for j, bit in enumerate(both):
        out[order[j]] = bit
    return out


def sorted_digits(text):
    if len(text) != 8 or any(c not in '0123456789' for c in text):
        return []
    return [mark + ''.join(sorted(text[a:b])) for mark, a, b in (('y', 0, 4), ('m', 4, 6), ('d', 6, 8))]


def hash_tokens(feature, keys, tokens, length):
    hashing, bits = feature['hashing'], [0] * length
    strategy, method = hashing['strategy'], hashing.get('hash', {'type': 'blakeHash'})
    for i, token in enumerate(tokens):
        k = strategy.get('bitsPerToken')
        if k is None:
            q, r = divmod(strategy['bitsPerFeature'], len(tokens))
            k = q + (i < r)
        if method['type'] == 'blakeHash':
            positions = clkhash_ref.blake_positions(keys, token, k, length)
        else:
            positions = clkhash_ref.double_positions(keys, token, k, length, method.get('prevent_singularity', False))
        for position in positions:
            bits[position] = 1
    return bits


def tokens_of(feature, text, digits):
    encoding = feature['format'].get('encoding', 'utf-8')
    tokens = clkhash_ref.tokens_of(feature['hashing']['comparison'], text) + (sorted_digits(text) if digits else [])
    return [token.encode(encoding) for token in tokens]


def unite(filters, length):
    return [int(any(column)) for column in zip(*filters)] if filters else [0] * length


def encode(schema, filters, secret, record, form=clkhash_ref.format_value):
    """The filters of one record, None where one is missing. An empty value is missing; `form` makes a value's text."""
    folds, keys = schema['clkConfig'].get('xor_folds', 0), clkhash_ref.feature_keys(schema, secret)
    texts = [value and form(feature, value) for feature, value in zip(schema['features'], record)]

    def length(f):
        return (f['bits'] // 2 if f['balanced'] else f['bits']) << folds
    own = [[hash_tokens(schema['features'][i], keys[i],
                        tokens_of(schema['features'][i], texts[i], f['sorted_digits']), length(f))
            for i in f['features']] for f in filters]
    present = [{p for i, p in zip(f['features'], f['parts']) if texts[i]} for f in filters]
    digest = hashlib.sha256(b''.join(clkhash_ref.pack(bits) for one in own for bits in one)).digest()
    out = []
    for f, parts, here in zip(filters, own, present):
        alone = len(here) == 1 and here != {DATE_PART} and len(set(f['parts'])) > 1
        if not here or (alone and (f['incomplete'] == 'reject' or
                                   (f['incomplete'] == 'pad' and sum(map(len, present)) < 2))):
            out.append(None)
            continue
        if alone and f['incomplete'] == 'pad':
            parts = parts + pad(schema, keys, f, here, secret, digest, length(f))
        bits = clkhash_ref.fold(unite(parts, length(f)), folds)
        if f['diffusion']:
            bits = diffuse(bits, secret, f['name'], f['diffusion'])
        if f['balanced']:
            bits = balance(bits, secret, f['name'])
        out.append(clkhash_ref.pack(bits))
    return out


def pad(schema, keys, f, here, secret, digest, length):
    key, out, done = hkdf(secret, f['name'], 'throughcare padding v1'), [], set(here)
    for i, part in zip(f['features'], f['parts']):
        if part not in done:
            tokens = [hmac.new(key, digest + bytes([part, n]), 'sha256').digest() for n in range(PAD_TOKENS)]
            out.append(hash_tokens(schema['features'][i], keys[i], tokens, length))
        done.add(part)
    return out
