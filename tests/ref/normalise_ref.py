"""The normalisation rules of docs/encoding.md. Standard library only; it shares nothing with the C encoder.

The tables of Cyrillic and Greek are those of the standards, written down from them and not from the C: ICAO Doc 9303 part 3,
section 6 B (the recommended transliteration of every national character, first column) and ISO 843:1997, type 2.
`format_value(feature, value, rules, language)` gives the text that is cut into tokens, '' where it is missing; Invalid
is raised where the value breaks its format."""
import datetime
import re
import unicodedata

import clkhash_ref
from clkhash_ref import Invalid

# ICAO Doc 9303-3, in the order of its table; the soft sign is not written.
CYRILLIC = dict(zip(
    'а б в г д е ё ж з и і й к л м н о п р с т у ф х ц ч ш щ ы ъ э ю я ѵ ґ ў ѫ ғ ђ ѕ ј ќ љ њ һ џ є ї'.split(),
    'a b v g d e e zh z i i i k l m n o p r s t u f kh ts ch sh shch y ie e iu ia y g u u g d dz j k lj nj c dz ie i'.split()))
# Not in the table: Serbian, Macedonian and old letters that its notes and usage put beside others.
CYRILLIC.update({'ь': '', 'ћ': 'c', 'ѓ': 'g', 'ѣ': 'ie', 'ѳ': 'f', 'ѐ': 'e', 'ѝ': 'i'})

# ISO 843:1997, type 2 (transcription).
GREEK = dict(zip('αβγδεζηθικλμνξοπρσςτυφχψω', 'a v g d e z i th i k l m n x o p r s s t y f ch ps o'.split()))
VOICELESS = set('θκξπσςτφχψ')

PLAIN = {'ß': 'ss', 'ẞ': 'SS', 'æ': 'ae', 'œ': 'oe', 'ø': 'o', 'ł': 'l', 'đ': 'd', 'ð': 'd', 'þ': 'th', 'ı': 'i', 'ħ': 'h', 'ŧ': 't',
         'ŋ': 'n', 'ĸ': 'k', 'ə': 'e', 'ĳ': 'ij', 'ŉ': 'n', 'ŀ': 'l'}
PLAIN.update({letter.upper(): plain.upper() for letter, plain in PLAIN.items() if len(letter.upper()) == 1 and letter not in 'ßẞıĸŉ'})

HYPHENS = set('-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d')
APOSTROPHES = set("'`\u00b4\u02bc\u2018\u2019\u2032\uff07")
DROPPED = HYPHENS | APOSTROPHES | set('.\u00b7\u02b9\u02bb\u02bd\u02c8\u201a\u201b\u2024\u2027\uff0e')

PARTICLES = set("""
    aan de den der des het in op te ten ter tot van vande vanden vander ver 's 't
    am auf dem im vom von zu zum zur
    d du la le les l
    del el las los y
    da das do dos
    dal dalla degli dei della delle dello dell di lo
    af av
    abu al ben bin bint ibn ould""".split())

SENTINELS = {(1, 1, 1), (1111, 11, 11), (1753, 1, 1), (1800, 1, 1), (1899, 12, 30), (1899, 12, 31), (1900, 1, 1), (1901, 1, 1),
             (2099, 12, 31), (2999, 12, 31), (9999, 9, 9), (9999, 12, 31)}

MONTHS = """
    january february march april may june july august september october november december
    janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre
    januari februari maart april mei juni juli augustus september oktober november december
    januar februar marz april mai juni juli august september oktober november dezember
    gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
    enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
    janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro""".split()
MONTHS = [(name, i % 12 + 1) for i, name in enumerate(MONTHS)] + [('janner', 1), ('mrt', 3)]

MALE = 'm 1 male man mann homme hombre uomo homem masculin mannlich männlich maennlich mannelijk maschio maschile masculino varon varón'
FEMALE = ('f 2 female vrouw frau femme mujer donna mulher feminin féminin weiblich vrouwelijk femmina femminile femenino '
          'feminino')
UNKNOWN = '0 9 u x ? unknown inconnu onbekend unbekannt sconosciuto desconocido'
SEX = {**dict.fromkeys(MALE.split(), 'male'), **dict.fromkeys(FEMALE.split(), 'female'), **dict.fromkeys(UNKNOWN.split(), '')}
SEX_OF_LANGUAGE = {'es': {'m': 'female', 'h': 'male', 'v': 'male'}, 'nl': {'v': 'female'}, 'fr': {'h': 'male'}, 'de': {'w': 'female'},
                   'it': {'d': 'female', 'u': 'male'}, 'pt': {'h': 'male'}, 'pl': {'k': 'female'}, 'sv': {'k': 'female'},
                   'da': {'k': 'female'}, 'nb': {'k': 'female'}}


def is_mark(c):
    return unicodedata.category(c) in ('Mn', 'Me')


def base_and_marks(text):
    """Letters of a decomposed text, each with the marks after it."""
    return [(m[0][0], m[0][1:]) for m in re.finditer('(?s).' + '[' + MARKS + ']*', text)]


MARKS = ''.join(chr(c) for c in range(0x300, 0x370))


def latin(text):
    letters = base_and_marks(text)
    lower = [letter.casefold() if len(letter.casefold()) == 1 else letter for letter, _ in letters]
    out, i = [], 0
    while i < len(letters):
        letter, marks = letters[i]
        after = lower[i + 1] if i + 1 < len(letters) else ''
        second_next = lower[i + 2] if i + 2 < len(letters) else ''
        used, to = 1, None
        if lower[i] in GREEK:
            to = GREEK[lower[i]]
            pair = lower[i] + after if not marks else ''
            if pair in ('αυ', 'ευ', 'ηυ', 'ου') and '\u0308' not in letters[i + 1][1]:
                used, end = 2, 'v' if second_next in GREEK and second_next not in VOICELESS else 'f'
                to = 'ou' if pair == 'ου' else GREEK[lower[i]] + end
            elif pair in ('γγ', 'γξ', 'γχ'):
                used, to = 2, {'γγ': 'ng', 'γξ': 'nx', 'γχ': 'nch'}[pair]
            elif pair == 'μπ':
                inside = i > 0 and lower[i - 1] in GREEK and second_next in GREEK
                used, to = 2, 'mp' if inside else 'b'
        elif lower[i] in CYRILLIC:
            to = CYRILLIC[lower[i]]
        if to is None:
            out.append(letter + marks)
        else:
            out.append(to.upper() if letter.lower() != letter else to)
        i += used
    return ''.join(out)


def fold(text, rules):
    if text.isascii():
        return text.lower() if 'lower' in rules else text
    text = unicodedata.normalize('NFD', text)
    if 'latin' in rules:
        text = latin(text)
    if 'strip_marks' in rules:
        text = ''.join(PLAIN.get(c, c) for c in text if not is_mark(c))
    if 'lower' in rules:
        text = unicodedata.normalize('NFD', text.casefold())
    return unicodedata.normalize('NFC', text)


def parts_of(text):
    """Parts of a name, each with what parts it from the next."""
    out, start = [], 0
    for i, c in enumerate(text):
        if c.isspace() or c in HYPHENS or (c in APOSTROPHES and i > start):
            out.append((text[start:i], c))
            start = i + 1
    return out + [(text[start:], '')]


def drop_particles(text):
    def is_particle(part):
        return ''.join("'" if c in APOSTROPHES else c for c in part).lower() in PARTICLES and \
            all(c.isascii() or c in APOSTROPHES for c in part)
    kept = [(part, end) for part, end in parts_of(text) if not is_particle(part)]
    if not any(part for part, _ in kept):
        return text
    out = ''.join(part + end for part, end in kept)
    while out and (out[-1].isspace() or out[-1] in HYPHENS):
        out = out[:-1]
    return out


def normalise(text, rules):
    if rules & {'lower', 'strip_marks', 'latin'}:
        text = fold(text, rules)
    if 'particles' in rules:
        text = drop_particles(text)
    if 'split_hyphens' in rules:
        text = ''.join(' ' if c in HYPHENS else c for c in text)
    if 'drop_punctuation' in rules:
        text = ''.join(c for c in text if c not in DROPPED)
    if 'trim' in rules:
        text = ' '.join(text.split())
    if 'sort_names' in rules and len(text.split()) <= 16:
        text = ' '.join(sorted(text.split()))
    return text


# ---- dates and sex ----

def national_date(text):
    words = [w for w in re.split(r'[\s./,-]+', text) if w]
    words = [piece for word in words for piece in re.findall(r'\d+|\D+', word)]
    plain = [''.join(c for c in unicodedata.normalize('NFD', w.lower()) if not is_mark(c)) for w in words]
    plain = [w for w in plain if w != 'de']
    if len(plain) == 1 and re.fullmatch(r'[0-9]{8}', plain[0]):
        return int(plain[0][:4]), int(plain[0][4:6]), int(plain[0][6:])
    if len(plain) != 3:
        raise Invalid('date')
    if re.fullmatch('[0-9]{4}', plain[2]):
        plain.reverse()
    if not re.fullmatch('[0-9]{4}', plain[0]) or not re.fullmatch('[0-9]{1,2}', plain[2]):
        raise Invalid('date')
    if re.fullmatch('[0-9]{1,2}', plain[1]):
        return int(plain[0]), int(plain[1]), int(plain[2])
    months = {month for name, month in MONTHS if plain[1].startswith(name[:4 if name.startswith('jui') else 3])}
    if len(months) != 1 or not re.fullmatch('[a-z]{3,15}', plain[1]):
        raise Invalid('date')
    return int(plain[0]), months.pop(), int(plain[2])


def is_sentinel(date):
    return date in SENTINELS or 0 in date


def exists(date):
    try:
        datetime.date(*date)
    except ValueError:
        return False
    return True


def format_date(feature, text, rules):
    form = feature['format']['format']
    if 'sentinel_dates' in rules and re.fullmatch(r'[-/. ]*0[-/. 0]*', text):
        return ''
    date = None
    try:
        read = datetime.datetime.strptime(text, form)
        date = read.year, read.month, read.day
    except ValueError:
        fields = {'%Y': '(?P<y>[0-9]{4})', '%m': '(?P<m>[0-9]{1,2})', '%d': '(?P<d>[0-9]{1,2})'}
        zero = re.fullmatch(re.sub('%[Ymd]', lambda m: fields[m[0]], re.escape(form).replace('\\%', '%')), text)
        if zero and 'sentinel_dates' in rules:
            found = int(zero['y']), int(zero['m']), int(zero['d'])
            if 0 in found and found[1] <= 12 and found[2] <= 31:
                return ''
    if date is None:
        if 'date_forms' not in rules:
            raise Invalid('date')
        date = national_date(text)
        if 0 in date and ('sentinel_dates' not in rules or date[1] > 12 or date[2] > 31):
            raise Invalid('date')
        if 0 not in date and not exists(date):
            raise Invalid('date')
    if 'sentinel_dates' in rules and is_sentinel(date):
        return ''
    return f'{date[0]}{date[1]:02}{date[2]:02}'


def sex_of(text, language):
    lower = ''.join(c.lower() if c.isascii() else c for c in text)
    return {**SEX, **SEX_OF_LANGUAGE.get(language[:2], {})}.get(lower)


def format_text_date(text, rules):
    """A date in text: what cannot be read, or has a part that is zero, stays as it is."""
    if 'sentinel_dates' in rules and re.fullmatch(r'[-/. ]*0[-/. 0]*', text):
        return ''
    try:
        date = national_date(text)
    except Invalid:
        return text
    if not exists(date):
        return text
    if 'sentinel_dates' in rules and date in SENTINELS:
        return ''
    return f'{date[0]:04}{date[1]:02}{date[2]:02}' if 'date_forms' in rules else text


def format_value(feature, value, rules, language='', is_date=False):
    """`is_date`: the study calls the feature a date, whatever its format."""
    missing, form = feature['hashing'].get('missingValue'), feature['format']
    for trimmed in (False, True):
        if trimmed and 'trim' in rules:
            value = ' '.join(value.split())
        if missing and value == missing['sentinel']:
            return missing.get('replaceWith', missing['sentinel'])
    if value == '':
        return ''
    if form['type'] == 'integer':
        return clkhash_ref.format_integer(form, value)
    if form['type'] == 'date':
        return format_date(feature, value, rules)
    if form['type'] == 'enum' and 'sex_codes' in rules and {'male', 'female'} <= set(form['values']):
        sex = sex_of(value, language)
        value = value if sex is None else sex
        if value == '':
            return ''
    if form['type'] == 'enum':
        if value not in form['values']:
            raise Invalid('enum')
    else:
        clkhash_ref.check_string({**form, 'case': 'mixed'} if 'lower' in rules else form, value)
        value = format_text_date(value, rules) if is_date else value
    return normalise(value, rules)
