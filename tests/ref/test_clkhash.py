"""The Python reference against clkhash's golden vectors, and the C encoder against the reference on random schemas."""
import base64
import csv
import json
import os
import pathlib
import random
import string
import subprocess

import pytest

import clkhash_ref

SOURCE = pathlib.Path(os.environ.get('TC_SOURCE_DIR', pathlib.Path(__file__).parents[2]))
BINARY = pathlib.Path(os.environ.get('TC_BINARY_DIR', SOURCE / 'build/release')) / 'tools/throughcare'
VECTORS = sorted((SOURCE / 'tests/data/vectors/clkhash').glob('[0-9]*.json'))
N_SCHEMAS, N_RECORDS = int(os.environ.get('TC_CLKHASH_SCHEMAS', '40')), 12


def test_there_are_24_vector_files():
    assert len(VECTORS) == 24


@pytest.mark.parametrize('path', VECTORS, ids=lambda path: path.stem)
def test_golden_vector(path):
    data = json.loads(path.read_text())
    schema = clkhash_ref.upgrade(data['schema'])
    for vector in data['vectors']:
        clk = clkhash_ref.encode(schema, data['secret'].encode(), vector['record'])
        assert clk.hex() == vector['clk_hex']
        assert base64.b64encode(clk).decode() == vector['clk_base64']


# ---- random schemas ----

ALPHABETS = [string.ascii_lowercase, string.ascii_letters + " -'", 'aeiouéèüßñçøłđ', 'абвгдежз', 'ab', '毛泽东😀🎉x',
             string.digits]


def random_text(rng, longest):
    alphabet = rng.choice(ALPHABETS)
    return ''.join(rng.choice(alphabet) for _ in range(rng.randint(0, longest)))


def random_date(rng, form):
    return f'{rng.randint(1900, 2024):04}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}' if form == '%Y-%m-%d' else \
        f'{rng.randint(1, 28):02}/{rng.randint(1, 12):02}/{rng.randint(1000, 2024):04}'


def random_format(rng):
    """A format and a function that makes values of it."""
    kind = rng.choice(['string', 'string', 'string', 'pattern', 'integer', 'date', 'enum'])
    if kind == 'integer':
        low = rng.randint(-1000, 0)
        form = {'type': 'integer', 'minimum': low, 'maximum': 10 ** 6}
        return form, lambda: rng.choice(['{}', ' {} ', '{:+d}', '{:_}', '{:08d}']).format(rng.randint(low, 10 ** 6))
    if kind == 'date':
        form = rng.choice(['%Y-%m-%d', '%d/%m/%Y'])
        return {'type': 'date', 'format': form}, lambda: random_date(rng, form)
    if kind == 'enum':
        values = [f'v{i}' for i in range(rng.randint(1, 5))]
        return {'type': 'enum', 'values': values}, lambda: rng.choice(values)
    if kind == 'pattern':
        return {'type': 'string', 'pattern': r'[A-Z]?\d{2,5}(\.\d+)?', 'encoding': 'utf-8'}, \
            lambda: rng.choice(['', 'A', 'Z']) + str(rng.randint(10, 99999)) + rng.choice(['', '.5', '.25'])
    encoding = rng.choice([None, 'utf-8', 'utf-16', 'utf-32'])
    form = {'type': 'string', **({'encoding': encoding} if encoding else {})}
    return form, lambda: random_text(rng, 14)


def random_comparison(rng, form):
    choices = ['ngram', 'ngram', 'ngram', 'exact']
    if form['type'] == 'integer':
        choices.append('numeric')
    kind = rng.choice(choices)
    if kind == 'exact':
        return {'type': 'exact'}
    if kind == 'numeric':
        precision = rng.randint(0, 3)
        return {'type': 'numeric', 'thresholdDistance': rng.choice([1, 3, 8, 2.5, 0.75]) if precision > 1 else rng.randint(1, 9),
                'resolution': rng.randint(1, 6), 'fractional_precision': precision}
    return {'type': 'ngram', 'n': rng.randint(1, 4), 'positional': rng.random() < 0.4}


def random_feature(rng, number, power_of_two):
    if rng.random() < 0.1:
        return {'identifier': f'f{number}', 'ignored': True}, lambda: random_text(rng, 5)
    form, make = random_format(rng)
    hashing = {'comparison': random_comparison(rng, form),
               'strategy': {rng.choice(['bitsPerToken', 'bitsPerFeature']): rng.randint(1, 80)}}
    if not power_of_two or rng.random() < 0.4:
        hashing['hash'] = {'type': 'doubleHash', 'prevent_singularity': rng.random() < 0.5}
    elif rng.random() < 0.5:
        hashing['hash'] = {'type': 'blakeHash'}
    if rng.random() < 0.5:
        missing = {'sentinel': rng.choice(['', 'N/A'])}
        if rng.random() < 0.5:
            missing['replaceWith'] = rng.choice(['', 'unknown'])
        if 'replaceWith' not in missing or hashing['comparison']['type'] != 'numeric':
            hashing['missingValue'] = missing
    sentinel = hashing.get('missingValue', {}).get('sentinel')
    if sentinel and hashing['comparison']['type'] == 'numeric':
        del hashing['missingValue']
        sentinel = None

    def value():
        return sentinel if sentinel is not None and rng.random() < 0.2 else make()
    return {'identifier': f'f{number}', 'format': form, 'hashing': hashing}, value


def random_schema(rng):
    power_of_two = rng.random() < 0.8
    kdf = {'type': 'HKDF'}
    if rng.random() < 0.5:
        kdf['hash'] = rng.choice(['SHA256', 'SHA512'])
    if rng.random() < 0.5:
        kdf['keySize'] = rng.randint(1, 64)
    if rng.random() < 0.5:
        kdf['salt'] = base64.b64encode(rng.randbytes(rng.randint(1, 100))).decode()
    if rng.random() < 0.5:
        kdf['info'] = base64.b64encode(rng.randbytes(rng.randint(1, 40))).decode()
    config = {'l': 2 ** rng.randint(6, 11) if power_of_two else rng.randint(65, 1500), 'kdf': kdf}
    if rng.random() < 0.3:
        config['xor_folds'] = rng.randint(1, 3)
    features = [random_feature(rng, i, power_of_two) for i in range(rng.randint(1, 6))]
    return {'version': 3, 'clkConfig': config, 'features': [f for f, _ in features]}, [make for _, make in features]


def encode_with_c(folder, schema, secret, records):
    (folder / 'schema.json').write_text(json.dumps(schema))
    (folder / 'secret').write_bytes(secret)
    names = [feature['identifier'] for feature in schema['features']]
    order = list(range(len(names)))[::-1]      # columns are found by name, not by place
    with open(folder / 'in.csv', 'w', newline='', encoding='utf-8') as f:
        writer = csv.writer(f, quoting=csv.QUOTE_ALL)
        writer.writerow(['further'] + [names[i] for i in order])
        for record in records:
            writer.writerow(['x'] + [record[i] for i in order])
    subprocess.run([BINARY, 'encode', '--schema', folder / 'schema.json', '--secret', folder / 'secret', '--clks',
                    folder / 'out.json', folder / 'in.csv'], check=True, capture_output=True, text=True)
    text = (folder / 'out.json').read_text()
    assert text.count('\n') == 0
    return [base64.b64decode(clk, validate=True) for clk in json.loads(text)['clks']]


@pytest.mark.parametrize('seed', range(N_SCHEMAS))
def test_c_equals_reference(tmp_path, seed):
    rng = random.Random(seed)
    schema, makers = random_schema(rng)
    secret = rng.randbytes(rng.randint(1, 100))
    records = [[make() for make in makers] for _ in range(N_RECORDS)]
    good = []
    for record in records:
        try:
            good.append((record, clkhash_ref.encode(schema, secret, record)))
        except (clkhash_ref.Invalid, UnicodeEncodeError, ValueError):
            continue
    assert len(good) > 0
    assert encode_with_c(tmp_path, schema, secret, [record for record, _ in good]) == [clk for _, clk in good]


def test_summary_counts_empty_records(tmp_path):
    schema = {'version': 3, 'clkConfig': {'l': 64, 'kdf': {'type': 'HKDF'}},
              'features': [{'identifier': 'a', 'format': {'type': 'string'},
                            'hashing': {'comparison': {'type': 'ngram', 'n': 2}, 'strategy': {'bitsPerToken': 3}}}]}
    (tmp_path / 'schema.json').write_text(json.dumps(schema))
    (tmp_path / 'secret').write_bytes(b'k\n')
    (tmp_path / 'in.csv').write_text('a\nx\n""\n')
    run = subprocess.run([BINARY, 'encode', '--schema', tmp_path / 'schema.json', '--secret', tmp_path / 'secret', '--clks',
                          tmp_path / 'out.json', tmp_path / 'in.csv'], check=True, capture_output=True, text=True)
    assert '2 rows, 2 CLKs, 0 rows set aside, 1 records with nothing to encode' in run.stdout
    clks = json.loads((tmp_path / 'out.json').read_text())['clks']
    # The secret's bytes as they are, newline and all.
    assert base64.b64decode(clks[0]) == clkhash_ref.encode(schema, b'k\n', ['x'])
    assert base64.b64decode(clks[1]) == bytes(8)
