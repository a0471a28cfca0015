"""An independent implementation of clkhash 0.18's encoding (linkage schema version 3), from docs/encoding.md.

Standard library only. It shares nothing with the C encoder, so that where both agree with each other and with the golden
vectors, neither is likely to be wrong. `encode(schema, secret, record)` gives the CLK's bytes; Invalid is raised where a
value breaks its format (with the rule, never with the value).
"""
import base64
import datetime
import hashlib
import hmac
import re


class Invalid(ValueError):
    pass


def hkdf(secret, salt, info, length, name):
    """RFC 5869."""
    size = hashlib.new(name).digest_size
    if length > 255 * size:
        raise Invalid('HKDF cannot give that many bytes')
    prk = hmac.new(salt or bytes(size), secret, name).digest()
    okm = block = b''
    for i in range(1, -(-length // size) + 1):
        block = hmac.new(prk, block + info + bytes([i]), name).digest()
        okm += block
    return okm[:length]


def feature_keys(schema, secret):
    kdf = schema['clkConfig']['kdf']
    size = kdf.get('keySize', 64)
    name = kdf.get('hash', 'SHA256').lower()
    salt = base64.b64decode(kdf['salt']) if kdf.get('salt') else b''
    info = base64.b64decode(kdf['info']) if kdf.get('info') else b''
    n = len(schema['features'])
    okm = hkdf(secret, salt, info, 2 * n * size, name)
    chunks = [okm[i * size:(i + 1) * size] for i in range(2 * n)]
    return list(zip(chunks[0::2], chunks[1::2]))


def format_value(feature, value):
    missing = feature['hashing'].get('missingValue')
    if missing and value == missing['sentinel']:
        return missing.get('replaceWith', missing['sentinel'])
    form = feature['format']
    if form['type'] == 'integer':
        return format_integer(form, value)
    if form['type'] == 'date':
        try:
            return datetime.datetime.strptime(value, form['format']).strftime('%Y%m%d')
        except ValueError:
            raise Invalid('date') from None
    if form['type'] == 'enum':
        if value not in form['values']:
            raise Invalid('enum')
        return value
    return check_string(form, value)


def format_integer(form, value):
    try:
        number = int(value, 10)
    except ValueError:
        raise Invalid('integer') from None
    if number < form.get('minimum', number) or number > form.get('maximum', number):
        raise Invalid('range')
    return str(number)


def check_string(form, value):
    try:
        value.encode(form.get('encoding', 'utf-8'))
    except UnicodeEncodeError:
        raise Invalid('encoding') from None
    if 'pattern' in form:
        if re.fullmatch(form['pattern'], value) is None:
            raise Invalid('pattern')
        return value
    case = form.get('case', 'mixed')
    if (case == 'upper' and value.upper() != value) or (case == 'lower' and value.lower() != value):
        raise Invalid('case')
    if len(value) < form.get('minLength', 0) or len(value) > form.get('maxLength', len(value)):
        raise Invalid('length')
    return value


def tokens_of(comparison, text):
    if text == '':
        return []
    if comparison['type'] == 'exact':
        return [text]
    if comparison['type'] == 'numeric':
        return numeric_tokens(comparison, text)
    n = comparison['n']
    padded = ' ' * (n - 1) + text + ' ' * (n - 1)
    grams = [padded[i:i + n] for i in range(len(padded) - n + 1)]
    if comparison.get('positional'):
        return [f'{i} {gram}' for i, gram in enumerate(grams, 1)]
    return grams


def numeric_tokens(comparison, text):
    scale = 10 ** comparison.get('fractional_precision', 0)
    resolution = comparison['resolution']
    distance = int(round(comparison['thresholdDistance'] * scale))
    try:
        v = int(text, 10) * scale
    except ValueError:
        v = round(float(text) * scale) if scale > 1 else int(float(text))
    v *= 2 * resolution
    r = v % distance
    v = v - r if r < distance / 2 else v + distance - r
    return [str(v + i * distance) for i in range(-resolution, resolution + 1)]


def blake_positions(keys, token, k, length):
    out = []
    for call in range(-(-k // 32)):
        mac = hashlib.blake2b(token, key=keys[0], salt=str(call).encode()).digest()
        out += [int.from_bytes(mac[i:i + 2], 'little') % length for i in range(0, 64, 2)]
    return out[:k]


def double_positions(keys, token, k, length, prevent):
    h1 = int.from_bytes(hmac.new(keys[0], token, 'sha1').digest(), 'big') % length
    h2 = int.from_bytes(hmac.new(keys[1], token, 'md5').digest(), 'big') % length
    c = 0
    while prevent and h2 == 0:
        h2 = int.from_bytes(hmac.new(keys[1], token + chr(c).encode(), 'md5').digest(), 'big') % length
        c += 1
    return [(h1 + i * h2) % length for i in range(k)]


def feature_positions(feature, keys, value, length):
    hashing = feature['hashing']
    encoding = feature['format'].get('encoding', 'utf-8')
    tokens = tokens_of(hashing['comparison'], format_value(feature, value))
    strategy = hashing['strategy']
    method = hashing.get('hash', {'type': 'blakeHash'})
    for i, token in enumerate(tokens):
        if 'bitsPerToken' in strategy:
            k = strategy['bitsPerToken']
        else:
            q, r = divmod(strategy['bitsPerFeature'], len(tokens))
            k = q + (1 if i < r else 0)
        data = token.encode(encoding)
        if method['type'] == 'blakeHash':
            yield from blake_positions(keys, data, k, length)
        else:
            yield from double_positions(keys, data, k, length, method.get('prevent_singularity', False))


def fold(bits, folds):
    for _ in range(folds):
        half = len(bits) // 2
        bits = [a ^ b for a, b in zip(bits[:half], bits[half:])]
    return bits


def pack(bits):
    bits = bits + [0] * (-len(bits) % 8)
    return bytes(int(''.join(map(str, bits[i:i + 8])), 2) for i in range(0, len(bits), 8))


def encode(schema, secret, record):
    folds = schema['clkConfig'].get('xor_folds', 0)
    bits = [0] * (schema['clkConfig']['l'] << folds)
    for feature, keys, value in zip(schema['features'], feature_keys(schema, secret), record):
        if feature.get('ignored'):
            continue
        for position in feature_positions(feature, keys, value, len(bits)):
            bits[position] = 1
    return pack(fold(bits, folds))


def upgrade(schema):
    """A version 2 schema as version 3, as `clkhash convert-schema` does it."""
    if schema['version'] == 3:
        return schema
    features = []
    for feature in schema['features']:
        old = dict(feature.get('hashing', {}))
        if feature.get('ignored'):
            features.append(feature)
            continue
        strategy = old.pop('strategy')
        names = {'k': 'bitsPerToken', 'numBits': 'bitsPerFeature'}
        new = {'comparison': {'type': 'ngram', 'n': old.pop('ngram'), 'positional': old.pop('positional', False)},
               'strategy': {names[key]: value for key, value in strategy.items()}, **old}
        features.append({**feature, 'hashing': new})
    return {**schema, 'version': 3, 'features': features}
