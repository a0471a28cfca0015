# labels: quick once
"""Five countries, each an encoding domain and a language of its own: records of two countries never link, and their
tables add up. The same people stand in two countries' registers here, so that a link across a border would show."""
import json

import pytest

from harness import SOURCE, Unit, make_registers, read_csv, write_csv

STUDY = SOURCE / 'deploy' / 'study-five-countries.yaml'
COUNTRIES = ('nl', 'be', 'fr', 'de', 'es')


def national(country, row):
    """The row as that country's register would export it."""
    year, month, day = row['date_of_birth'].split('-') if row['date_of_birth'] else ('', '', '')
    row = dict(row)
    if country == 'es':
        row['first_surname'], row['second_surname'] = row['surname'], row['middle_name']
    if country == 'de':
        row['birth_name'] = row['surname']
    if country == 'fr':
        row['place_of_birth'] = row['place']
    if year and country in ('fr', 'es', 'de'):
        row['date_of_birth'] = (f'{day}.{month}.{year}' if country == 'de' else f'{day}/{month}/{year}')
    return row


@pytest.fixture(scope='module')
def unit(tmp_path_factory):
    folder = tmp_path_factory.mktemp('five')
    # nl and be get the very same register.
    registers = {c: make_registers(folder / c, 700, {'nl': 1, 'be': 1}.get(c, i)) for i, c in enumerate(COUNTRIES, 2)}
    (folder / 'study.yaml').write_text(STUDY.read_text() + '\nsynthetic: true\n')
    with Unit(folder / 'unit', folder / 'study.yaml', fixed=True) as unit:
        for country in COUNTRIES:
            for kind in ('prison', 'treatment'):
                source = f'{kind}-{country}'
                rows = [national(country, row) for row in read_csv(registers[country] / f'{kind}.csv')]
                write_csv(folder / f'{source}.csv', rows)
                unit.encode(source, folder / f'{source}.csv', folder / f'{source}.batch', domain=country)
                unit.push(source, folder / f'{source}.batch')
        unit.publish('--as-of', '2025-09-30')
        unit.registers = registers
        yield unit


def test_every_country_is_in_the_table_with_its_own_figures(unit):
    body = json.loads(unit.release_body())
    table = next(t for t in body['tables'] if t['name'] == 'continuity_by_country')
    codes = table['by'][0]['codes']
    within = [i for i, o in enumerate(table['outcomes']) if o in ('0-7', '8-14', '15-21')]
    got = {}
    for period in table['periods']:
        for row in period['rows']:
            country = codes[row['codes'][0]]
            if country == 'unknown':  # a row without releases, that noise alone lifts over the threshold now and then
                assert row.get('n', 0) < 80, 'every source has its country'
            elif row['shown']:
                n, started = got.get(country, (0, 0))
                got[country] = n + row['n'], started + sum(row['cells'][i] for i in within)
    assert sorted(got) == sorted(COUNTRIES)
    for country, (n, started) in got.items():
        expected = json.loads((unit.registers[country] / 'expected.json').read_text())['expected']['all']
        rate, truth = 100 * started / n, 100 * expected['within_21'] / expected['releases']
        # Four quarters of noise of sigma 4 a cell on some 550 releases, and linkage errors.
        assert abs(rate - truth) < 10, (country, rate, truth)
        assert abs(n - expected['releases']) < 0.1 * expected['releases'] + 60


def test_the_same_people_in_two_countries_do_not_link(unit):
    """nl and be hold the same register: had they linked, each release would have a second one on the same day in the
    other country, and a person would stand in one country's row only."""
    body = json.loads(unit.release_body())
    table = next(t for t in body['tables'] if t['name'] == 'continuity_by_country')
    codes = table['by'][0]['codes']
    total = {c: sum(row.get('n', 0) for p in table['periods'] for row in p['rows'] if codes[row['codes'][0]] == c)
             for c in ('nl', 'be')}
    assert abs(total['nl'] - total['be']) < 120 and min(total.values()) > 300, total


def test_a_batch_of_one_country_is_refused_for_another(unit, tmp_path):
    """The encoder itself refuses the other country's secret."""
    done = unit.encode('prison-nl', unit.registers['nl'] / 'prison.csv', tmp_path / 'x.batch', domain='be', check=False)
    assert done.returncode != 0 and not (tmp_path / 'x.batch').exists()
    assert 'secret' in done.stderr
