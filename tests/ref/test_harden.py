"""Composite, padded, diffused and balanced filters: the C encoder against the Python reference on random studies."""
import csv
import json
import os
import pathlib
import random
import re
import subprocess

import pytest

import batch
import harden_ref

SOURCE = pathlib.Path(os.environ.get('TC_SOURCE_DIR', pathlib.Path(__file__).parents[2]))
BINARY = pathlib.Path(os.environ.get('TC_BINARY_DIR', SOURCE / 'build/release')) / 'tools/throughcare'
N_STUDIES, N_RECORDS = int(os.environ.get('TC_HARDEN_STUDIES', '12')), 25
ROLES = {'given': 0, 'middle': 0, 'surname': 1, 'date': 2, 'place': 3, 'postcode': 3}


def random_feature(rng, identifier, role):
    comparison = {'type': 'ngram', 'n': rng.randint(1, 3), 'positional': rng.random() < 0.3}
    strategy = {'bitsPerToken': rng.randint(1, 40)} if rng.random() < 0.7 else {'bitsPerFeature': rng.randint(1, 300)}
    method = {'type': 'blakeHash'} if rng.random() < 0.6 else {'type': 'doubleHash', 'prevent_singularity': True}
    form = {'type': 'date', 'format': '%Y-%m-%d'} if role == 'date' and rng.random() < 0.5 else {'type': 'string'}
    return {'identifier': identifier, 'format': form,
            'hashing': {'comparison': comparison, 'strategy': strategy, 'hash': method}}


def random_filters(rng, features, roles):
    places = list(range(len(features)))
    rng.shuffle(places)
    filters = []
    for name in 'ab':
        mine, places = (places[:len(places) // 2], places[len(places) // 2:]) if name == 'a' else (places, [])
        parts = [ROLES[roles[i]] if roles[i] else 2 if features[i]['format']['type'] == 'date' else 4 + at
                 for at, i in enumerate(mine)]
        filters.append({'name': name, 'features': mine, 'parts': parts, 'bits': 2 ** rng.randint(7, 11),
                        'diffusion': rng.choice([0, 2, 3, 5, 10]), 'balanced': rng.random() < 0.4,
                        'incomplete': rng.choice(['keep', 'pad', 'pad', 'reject']), 'sorted_digits': rng.random() < 0.5})
    return filters


def random_record(rng, features):
    def value(feature):
        if rng.random() < 0.5:
            return ''
        if feature['format']['type'] == 'date':
            return f'{rng.randint(1900, 2020)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}'
        if rng.random() < 0.2:
            return f'{rng.randint(0, 99999999):08}'
        return ''.join(rng.choice('abcdeé ') for _ in range(rng.randint(1, 9))).strip() or 'x'
    return [value(feature) for feature in features]


HARDNESS = ('diffusion', 'balanced', 'incomplete')


def hardening_of(rng, filters):
    """Some of what the first filter says, said once for all filters, which then need not say it."""
    return {key: filters[0][key] for key in HARDNESS if rng.random() < 0.5}


def study_text(schema, filters, roles, hardening, normalise='none', language=None):
    names = [f['identifier'] for f in schema['features']]
    text = (SOURCE / 'deploy/study-two-registers.yaml').read_text()
    rest = re.search(r'\nsources:.*', text, re.S).group().replace('column: date_of_birth', 'column: born')
    written = {f['name']: {'features': [names[i] for i in f['features']],
                           **{key: f[key] for key in ('bits', 'sorted_digits', *HARDNESS) if hardening.get(key) != f[key]}}
               for f in filters}
    # Levels decide nothing here, but a balanced filter must have some.
    compared = {f['name']: {'filters': [f['name']], 'levels': [0.8, 1]} for f in filters}
    given = {name: role for name, role in zip(names, roles) if role}
    return ('study: 1\nname: random\ntitle: random\nsynthetic: true\nlinkage:\n  key_check: unset\n'
            f'  normalise: {normalise}\n' + (f'  language: {language}\n' if language else '') +
            f'  schema: {json.dumps(schema)}\n' + (f'  roles: {json.dumps(given)}\n' if given else '') +
            (f'  hardening: {json.dumps(hardening)}\n' if hardening else '') +
            f'  filters: {json.dumps(written)}\n  comparisons: {json.dumps(compared)}\n' + rest)


def encode_with_c(folder, study, names, records, *options):
    (folder / 'study.yaml').write_text(study)
    subprocess.run([BINARY, 'keys', 'init', folder / 'keys', '--study', folder / 'study.yaml'], check=True,
                   capture_output=True, text=True)
    with open(folder / 'in.csv', 'w', newline='', encoding='utf-8') as f:
        writer = csv.writer(f)
        writer.writerow(['record_id', 'event', 'event_date', *names])
        writer.writerows([i, 'release', '2024-01-05', *record] for i, record in enumerate(records))
    secret = folder / 'keys/custodians/main.secret'
    subprocess.run([BINARY, 'encode', '--study', folder / 'keys/study.yaml', '--secret', secret, '--source', 'prison',
                    '--record-key', folder / 'keys/prison/record.key', '-o', folder / 'out.batch', folder / 'in.csv', *options],
                   check=True, capture_output=True, text=True)
    return (folder / 'out.batch').read_bytes(), secret


@pytest.mark.parametrize('seed', range(N_STUDIES))
def test_c_equals_reference(tmp_path, seed):
    rng = random.Random(seed)
    roles = rng.choice([list(ROLES), ['given', 'surname', 'date', 'place'], [None] * 4, ['given', None, 'date', None]])
    names = [f'f{i}' for i in range(len(roles))]
    features = [random_feature(rng, name, role) for name, role in zip(names, roles)]
    schema = {'version': 3, 'clkConfig': {'l': 64, 'kdf': {'type': 'HKDF'}, 'xor_folds': rng.choice([0, 0, 1, 2])},
              'features': features}
    filters = random_filters(rng, features, roles)
    records = [random_record(rng, features) for _ in range(N_RECORDS)]
    text = study_text(schema, filters, roles, hardening_of(rng, filters))
    encoded, secret_file = encode_with_c(tmp_path, text, names, records)
    secret = secret_of(secret_file)
    _, chunks = batch.read(encoded, [f['bits'] // 8 for f in filters])
    for at in range(len(filters)):
        ours = [values for c in chunks for values in c['filters'][at]]
        theirs = [harden_ref.encode(schema, filters, secret, record)[at] for record in records]
        assert ours == theirs


def secret_of(path):
    return bytes.fromhex(re.search('[0-9a-f]{64}', path.read_text()).group())
