"""The Python reference of the normalisation rules: against the tables of names, and against what the standards' tables say."""
import os
import pathlib
import unicodedata

import pytest

import normalise_ref

SOURCE = pathlib.Path(os.environ.get('TC_SOURCE_DIR', pathlib.Path(__file__).parents[2]))
FORMATS = {'name': {'type': 'string'}, 'date': {'type': 'date', 'format': '%Y-%m-%d'},
           'sex': {'type': 'enum', 'values': ['female', 'male']}}


def cases():
    for path in sorted((SOURCE / 'tests/data/names').glob('*.tsv')):
        for line in path.read_text(encoding='utf-8').splitlines():
            if line and not line.startswith('#'):
                kind, rules, value, *expected = line.split('\t')
                yield path.stem, kind, set(rules.split(',')) - {'none'}, value, expected[0] if expected else ''


@pytest.mark.parametrize('language', sorted({case[0] for case in cases()}))
def test_tables_of_names(language):
    for _, kind, rules, value, expected in (case for case in cases() if case[0] == language):
        feature = {'format': FORMATS[kind], 'hashing': {}}
        try:
            found = normalise_ref.format_value(feature, value, rules, language if len(language) == 2 else '')
        except normalise_ref.Invalid:
            found = '!'
        assert found == expected, value


@pytest.mark.parametrize('word, latin', [
    # Names with the spelling that the standards give: Doc 9303 in passports, ISO 843 type 2 in Greek identity papers.
    ('Щукин', 'shchukin'), ('Юрьев', 'iurev'), ('Подъяпольский', 'podieiapolskii'), ('Алёхин', 'alekhin'), ('Жуков', 'zhukov'),
    ('Хрущёв', 'khrushchev'), ('Цой', 'tsoi'), ('Эйхе', 'eikhe'), ('Їжак', 'izhak'), ('Єва', 'ieva'), ('Ђорђе', 'dorde'),
    ('Љубица', 'ljubitsa'), ('Ѓорѓи', 'gorgi'), ('Ѕвезда', 'dzvezda'), ('Һ', 'c'), ('Ғ', 'g'), ('Ѫ', 'u'), ('Џ', 'dz'),
    ('Γεώργιος', 'georgios'), ('Μπότσαρης', 'botsaris'), ('Λάμπρος', 'lampros'), ('Αύγουστος', 'avgoustos'),
    ('Ευτυχία', 'eftychia'), ('Άγγελος', 'angelos'), ('Σφίγξ', 'sfinx'), ('Μελαγχρινός', 'melanchrinos'), ('Ψυχή', 'psychi'),
    ('Θεόδωρος', 'theodoros'), ('Μαΐου', 'maiou'), ('Ταΰγετος', 'taygetos'), ('ούτε', 'oute'), ('άυλος', 'aylos'), ('κόμπ', 'kob')])
def test_standards(word, latin):
    for text in (word, word.upper()):
        assert normalise_ref.latin(unicodedata.normalize('NFD', text)).lower() == latin


def test_every_letter_has_latin_ones():
    for first, last in ((0x400, 0x45F), (0x386, 0x3CE)):
        for c in map(chr, range(first, last + 1)):
            if unicodedata.category(c)[0] == 'L':
                out = normalise_ref.latin(unicodedata.normalize('NFD', c))
                assert out.isascii() and (out or c in 'Ьь'), hex(ord(c))
