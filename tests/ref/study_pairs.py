"""Random pairs of study and record that go the whole way of a study: normalisation, composite filters, padding, diffusion and
balancing. Names are made from tests/data/names (French, Dutch, German, Italian, Spanish, Greek, Cyrillic), with what typists
and word processors do to them."""
import datetime
import random
import unicodedata

import batch
import harden_ref
import normalise_ref
import test_harden
from test_normalise import cases

RULES = ['trim', 'lower', 'strip_marks', 'drop_punctuation', 'sentinel_dates', 'latin', 'date_forms', 'sex_codes', 'particles',
         'split_hyphens', 'sort_names']
LANGUAGES = [None, 'fr', 'nl', 'nl-BE', 'de', 'it', 'es']
VALUES = {kind: sorted({value for _, k, _, value, _ in cases() if k == kind}) for kind in ('name', 'date', 'sex')}
STRANGE = ('ßẞæÆœøØłŁđðþıħŋəĳŉŀ' 'äöüéèçñåůőčšžğşİ' "'`´‘’ʼ′-‐‑–—.\u00ad" ' \u00a0\u2009\t' '\u0301\u0308\u0327\u0306'
           'γξχμπαυουςΣΐΰϊϋ' 'щъьіїєґўђћџљњѓќѕјѣѳѵѫғһёй')
ROLES = ['given', 'surname', 'date', 'place', None]


def mutate(rng, value):
    for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):
        at = rng.randint(0, len(value))
        act = rng.randrange(6)
        if act == 0:
            value = value[:at] + rng.choice(STRANGE) + value[at:]
        elif act == 1:
            value = value.upper() if rng.random() < .5 else value.title()
        elif act == 2:
            value = unicodedata.normalize(rng.choice(['NFD', 'NFC']), value)
        elif act == 3:
            value = value[:at] + value[at + 1:]
        elif act == 4:
            value = value + rng.choice([' ', '-', ' - ', "'", ' van der ', ' de la ', " d'", ' y ', '\u2010']) + rng.choice(VALUES['name'])
        else:
            value = ' ' * rng.randint(0, 2) + value + rng.choice(['', ' ', '\u00a0'])
    return value


def random_date(rng):
    y, m, d = rng.choice([0, 1, 1753, 1900, 1901, 1980, 2003, 9999]), rng.randint(0, 13), rng.randint(0, 32)
    if rng.random() < .5:
        y, m, d = rng.randint(1920, 2010), rng.randint(1, 12), rng.randint(1, 31)
    form = rng.choice(['{y:04}-{m:02}-{d:02}', '{d:02}/{m:02}/{y:04}', '{d}.{m}.{y:04}', '{y:04}{m:02}{d:02}', '{d} {name} {y:04}',
                       '{y:04}/{m}/{d}', '{y:04}. {m:02}. {d:02}.', '{d} de {name} de {y:04}', '{d}. {short} {y:04}', '{d}-{m}-{y}'])
    name = rng.choice([name for name, month in normalise_ref.MONTHS if month == (m or 1) % 13 or m > 12 or m == 0])
    return form.format(y=y, m=m, d=d, name=rng.choice([name, name.title()]), short=name[:3] + rng.choice(['', '.']))


def random_value(rng, feature, role, rules):
    form = feature['format']
    if rng.random() < .15:
        return ''
    if form['type'] == 'string' and role == 'date':
        date = random_date(rng) if rng.random() < .8 else rng.choice(VALUES['date'])
        return mutate(rng, date) if rng.random() < .2 else date
    if form['type'] == 'date':
        if rng.random() < (.7 if 'date_forms' in rules else .9):
            date = datetime.date(rng.choice([1900, 1901, 1753, *range(1920, 2010)]), rng.randint(1, 12), rng.randint(1, 28))
            return date.strftime(form['format'] if 'date_forms' not in rules else rng.choice(['%Y-%m-%d', '%d.%m.%Y', '%Y%m%d']))
        return random_date(rng) if rng.random() < .8 else rng.choice(VALUES['date'])
    if form['type'] == 'enum':
        if rng.random() < (.3 if 'sex_codes' in rules else .9):
            return rng.choice(['male', 'female'])
        code = rng.choice(sorted(normalise_ref.SEX) + VALUES['sex'] + ['v', 'h', 'w', 'd', 'k'])
        return rng.choice([code, code.upper(), code + ' '])
    return mutate(rng, rng.choice(VALUES['name']))


def random_study(rng):
    features = [test_harden.random_feature(rng, f'f{i}', role) for i, role in enumerate(ROLES)]
    for feature, role in zip(features, ROLES):
        if role == 'date' and rng.random() < .5:
            feature['format'] = {'type': 'date', 'format': rng.choice(['%Y-%m-%d', '%d/%m/%Y'])}
        elif role is None:
            feature['format'] = {'type': 'enum', 'values': ['female', 'male']}
        else:
            feature['format'] = {'type': 'string', **({'case': 'lower'} if rng.random() < .1 else {})}
    schema = {'version': 3, 'clkConfig': {'l': 64, 'kdf': {'type': 'HKDF'}, 'xor_folds': rng.choice([0, 0, 1])}, 'features': features}
    filters = test_harden.random_filters(rng, features, ROLES)
    rules = {rule for rule in RULES if rng.random() < rng.choice([.5, .9])}
    return schema, filters, rules, rng.choice(LANGUAGES)


def check(folder, seed, n_records):
    """Encode random records of one random study both ways; how many there were, and how many of them either refused."""
    rng = random.Random(seed)
    schema, filters, rules, language = random_study(rng)
    records = [[random_value(rng, *what, rules) for what in zip(schema['features'], ROLES)] for _ in range(n_records)]

    def form(feature, value):
        return normalise_ref.format_value(feature, value, rules, language or '', ROLES[int(feature['identifier'][1:])] == 'date')
    expected, refused = [], set()
    text = test_harden.study_text(schema, filters, ROLES, test_harden.hardening_of(rng, filters),
                                  f'[{", ".join(sorted(rules))}]' if rules else 'none', language)
    encoded, secret_file = test_harden.encode_with_c(folder, text, [f'f{i}' for i in range(len(ROLES))], records + [[''] * len(ROLES)],
                                                     '--reject', folder / 'aside.csv')
    secret = test_harden.secret_of(secret_file)
    for i, record in enumerate(records + [[''] * len(ROLES)]):
        try:
            expected.append(harden_ref.encode(schema, filters, secret, record, form))
        except normalise_ref.Invalid:
            refused.add(i + 1)
    aside = {int(line.split(',')[0]) for line in (folder / 'aside.csv').read_text().splitlines()[1:]}
    assert aside == refused, f'seed {seed}: refused by one only: {[records[i - 1] for i in sorted(aside ^ refused)]}, {rules}'
    _, chunks = batch.read(encoded, [f['bits'] // 8 for f in filters])
    for at in range(len(filters)):
        ours = [values for c in chunks for values in c['filters'][at]]
        different = [i for i, (a, b) in enumerate(zip(ours, expected)) if a != b[at]]
        good = [record for i, record in enumerate(records) if i + 1 not in refused]
        assert not different and len(ours) == len(expected), \
            f'seed {seed}, filter {at}, {rules}, {language}: {[good[i] for i in different if i < len(good)]}'
    return n_records, len(refused)
