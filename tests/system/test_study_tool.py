"""`throughcare study`: what it prints, how it ends, and that every sample of this repository passes."""
import itertools
import json
import math
import re

import pytest

from harness import SOURCE, STUDY, study_file, tool

SAMPLES = sorted([*SOURCE.glob('deploy/study-*.yaml'), *SOURCE.glob('tests/data/study-*.yaml')])


@pytest.mark.parametrize('path', SAMPLES, ids=lambda path: path.stem)
def test_samples_are_valid(path):
    done = tool('study', 'check', path)
    assert f'{path}: a valid study' in done.stdout
    assert re.search(r'digest +[0-9a-f]{64}\n', done.stdout)
    assert 'key_check is unset' in done.stdout
    assert done.stderr == ''


def test_five_countries_are_five_domains():
    out = tool('study', 'check', SOURCE / 'deploy' / 'study-five-countries.yaml').stdout
    assert re.findall(r'^domain (\w+)', out, re.M) == ['be', 'de', 'es', 'fr', 'nl']
    assert len(set(re.findall(r'encoding +([0-9a-f]{64})', out))) == 5


def test_pinned_key_check_is_no_warning(tmp_path):
    out = tool('study', 'check', study_file(tmp_path / 'study.yaml', key_check='00112233445566778899aabbccddeeff')).stdout
    assert 'key check    pinned' in out and 'warning' not in out


@pytest.mark.parametrize('cut, message', [
    (lambda text: '', 'study.yaml:1: the file is empty'),
    (lambda text: re.sub(r'(?s)\ntables:.*?\n\n', '\n', text), 'the key tables is missing'),
    (lambda text: re.sub(r'(?s)\ntables:.*?\n\n', '\ntables: {}\n\n', text), 'tables: is empty; at least one entry is needed'),
    (lambda text: re.sub(r'(?s)\nmeasures:.*?\n\n', '\n', text), 'the key measures is missing'),
], ids=['empty', 'no tables', 'empty tables', 'no measures'])
def test_empty_study(tmp_path, cut, message):
    text = cut(STUDY.read_text())
    (tmp_path / 'study.yaml').write_text(text)
    for what in ('check', 'plan'):
        done = tool('study', what, tmp_path / 'study.yaml', check=False)
        assert done.returncode == 65 and message in done.stderr, done.stderr


def test_misspelled_key_names_line_and_the_nearest_key(tmp_path):
    text = STUDY.read_text().replace('  roles:', '  filtrs: {}\n  roles:')
    (tmp_path / 'study.yaml').write_text(text)
    line = next(n for n, l in enumerate(text.splitlines(), 1) if 'filtrs' in l)
    done = tool('study', 'check', tmp_path / 'study.yaml', check=False)
    assert done.returncode == 65 and done.stdout == ''
    assert f'study.yaml:{line}: linkage.filtrs: unknown key; did you mean filters?' in done.stderr


def test_pattern_that_the_encoder_refuses(tmp_path):
    text = STUDY.read_text().replace('"surname", "format": {"type": "string", "encoding": "utf-8"}',
                                     '"surname", "format": {"type": "string", "pattern": "("}')
    (tmp_path / 'study.yaml').write_text(text)
    done = tool('study', 'check', tmp_path / 'study.yaml', check=False)
    assert done.returncode == 65 and 'domain main: schema.features[1]' in done.stderr


def test_folds_that_clkhash_ignores_are_a_warning(tmp_path):
    text = STUDY.read_text().replace('{"l": 512,', '{"l": 512, "xorFolds": 1,')
    (tmp_path / 'study.yaml').write_text(text)
    assert 'clkConfig.xorFolds has no effect' in tool('study', 'check', tmp_path / 'study.yaml').stdout


def test_rules_for_dates_without_a_date_are_a_warning(tmp_path):
    text = STUDY.read_text().replace('{"type": "date", "format": "%Y-%m-%d"}', '{"type": "string"}')
    assert text != STUDY.read_text()
    (tmp_path / 'role.yaml').write_text(text)
    assert 'sentinel_dates' not in tool('study', 'check', tmp_path / 'role.yaml').stdout      # the role says that it is one
    (tmp_path / 'none.yaml').write_text(re.sub(r'  profile: .*\n  roles: .*\n', '  profile: quality\n', text))
    assert 'normalise has sentinel_dates, and no feature is a date' in tool('study', 'check', tmp_path / 'none.yaml').stdout


def test_roles_without_a_profile_are_a_warning(tmp_path):
    (tmp_path / 'study.yaml').write_text(re.sub(r'  profile: .*\n', '', STUDY.read_text()))
    out = tool('study', 'check', tmp_path / 'study.yaml').stdout
    assert 'there are roles and no profile' in out and 'clk (512 bits)' in out
    assert 'there are roles' not in tool('study', 'check', STUDY).stdout


def test_plan_adds_up():
    out = tool('study', 'plan', STUDY, '--releases', 50).stdout
    rho, epsilon = map(float, re.search(r'one release +rho +([\d.]+) +epsilon +([\d.]+)', out).groups())
    assert rho == pytest.approx(0.2)               # two tables at sigma2 10: 1/10 each
    assert epsilon == pytest.approx(rho + 2 * math.sqrt(rho * math.log(1e6)), abs=0.01)
    assert 'The limit allows 20 releases.' in out  # rho_limit 4
    assert '50 releases are more than the limit allows' in out


def test_plan_says_within_the_limit_when_it_is():
    assert 'more than the limit' not in tool('study', 'plan', STUDY, '--releases', 20).stdout


FIVE = SOURCE / 'deploy' / 'study-five-measures.yaml'


def plan_of(*args):
    return json.loads(tool('study', 'plan', '--json', *args).stdout)


def tables_of(plan):
    return {table['name']: table for table in plan['tables']}


def test_plan_says_what_volumes_give():
    """Two tables of one measure: margins agree, so a count has less noise than was drawn; hand-made figures."""
    plan = plan_of(STUDY, '--volume', '4000', '--releases', '3')
    fine = tables_of(plan)['continuity_by_intervention']
    assert fine['typical_events'] == 4000 / 4 / 4                        # a quarter, four known interventions
    assert fine['sampling_points'] == pytest.approx(196 * 0.5 / math.sqrt(250), rel=1e-3)
    assert fine['noise_points'] == pytest.approx(196 * fine['sd_count'] * math.sqrt(8) / 2 / 250, rel=1e-3)
    assert 2.8 < fine['sd_count'] < 3.0 and fine['sd_drawn'] == pytest.approx(math.sqrt(10), rel=1e-4)
    assert fine['shown_percent'] > 99
    assert plan['cost']['index_event_releases']['rho'] == pytest.approx(3 * plan['cost']['index_event_release']['rho'])
    # With 60 a year a row of a quarter has 3.75: nearly nothing is shown.
    assert tables_of(plan_of(STUDY, '--volume', '60'))['continuity_by_intervention']['shown_percent'] < 5


def test_plan_reads_volumes(tmp_path):
    (tmp_path / 'volumes.csv').write_text('measure,dimension,code,per_year\ncontinuity,,,2400\n'
                                          'continuity,intervention,ost,600\ncontinuity,intervention,none,1800\n'
                                          'return,intervention,none,70\nreturn,intervention,unknown,30\n')
    tables = tables_of(plan_of(FIVE, '--volumes', tmp_path / 'volumes.csv'))
    assert tables['continuity_by_intervention']['typical_events'] == 1800 / 4   # the median of two: the upper one
    assert tables['return_by_intervention']['typical_events'] == 70             # the total is that of the codes
    text = tool('study', 'plan', FIVE, '--volumes', tmp_path / 'volumes.csv').stdout
    assert re.search(r'continuity_by_intervention +450.0 ', text)
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize('text,message', [
    ('measure,code,per_year\n', '1: expected four fields'),
    ('a,b,c,d\n', '1: expected the header'),
    ('measure,dimension,code,per_year\ncontinuty,,,4\n', '2: the study has no measure'),
    ('measure,dimension,code,per_year\ncontinuity,sax,male,4\n', '2: the study has no dimension'),
    ('measure,dimension,code,per_year\ncontinuity,sex,man,4\n', '2: the dimension has no code'),
    ('measure,dimension,code,per_year\n\ncontinuity,,,many\n', '3: per_year: expected a number'),
    ('measure,dimension,code,per_year\ncontinuity,,male,4\n', '2: a code without a dimension'),
])
def test_volumes_that_are_wrong(tmp_path, text, message):
    (tmp_path / 'volumes.csv').write_text(text)
    done = tool('study', 'plan', FIVE, '--volumes', tmp_path / 'volumes.csv', check=False)
    assert done.returncode == 65 and f'volumes.csv:{message}' in done.stderr and done.stdout == ''


@pytest.mark.parametrize('study', [STUDY, FIVE], ids=lambda path: path.stem)
def test_best_variances(tmp_path, study):
    """They cost no more than was asked for, and no shift between two tables makes the sum of squares smaller."""
    def badness(variances):
        text = study.read_text()
        for name, sigma2 in variances.items():
            text = re.sub(rf'({name}: .*sigma2: )[\d.]+', rf'\g<1>{sigma2:.3f}', text)
        path.write_text(text)
        return sum(t.get('noise_points', 0) ** 2 for t in plan_of(path, '--volume', '4000')['tables'])

    path = tmp_path / 'study.yaml'
    found = tables_of(plan_of(study, '--volume', '4000', '--rho', '0.5'))
    linkage = 2 / 20 if study == FIVE else 0
    assert 0.499 < sum(1 / t['best_sigma2'] for t in found.values()) + linkage <= 0.5
    best = {name: t['best_sigma2'] for name, t in found.items() if 'noise_points' in t}
    least = badness(best)
    for a, b in itertools.permutations(best, 2):
        moved = 0.1 / max(best[a], best[b])
        other = dict(best, **{a: 1 / (1 / best[a] - moved), b: 1 / (1 / best[b] + moved)})
        assert badness(other) > least * 0.999, (a, b)


def test_check_says_what_is_announced(tmp_path):
    out = tool('study', 'check', STUDY).stdout
    assert 'no days announced; at least 0 days apart' in out and 'revision     never' in out
    (tmp_path / 'study.yaml').write_text(STUDY.read_text().replace(
        'provisional: false', 'provisional: false\n  revision_after_days: 365\n  release_dates: [2026-03-31, 2026-09-30]'))
    out = tool('study', 'check', tmp_path / 'study.yaml').stdout
    assert '2 announced, 2026-03-31 to 2026-09-30' in out and 'once, 365 days after a period closed, at full cost' in out
    # Each index event then pays twice.
    one = plan_of(STUDY)['cost']['person_at_cap']['rho']
    assert plan_of(tmp_path / 'study.yaml')['cost']['person_at_cap']['rho'] == pytest.approx(2 * one)


def test_plan_of_other_methods(tmp_path):
    text = re.sub(r', sigma2: \d+', '', STUDY.read_text()).replace('method: keyed-noise', 'method: cell-key')
    (tmp_path / 'study.yaml').write_text(text)
    assert 'no rho bounds it' in tool('study', 'plan', tmp_path / 'study.yaml').stdout
    assert 'not differentially private' in tool('study', 'check', tmp_path / 'study.yaml').stdout
    done = tool('study', 'plan', tmp_path / 'study.yaml', '--rho', '1', check=False)
    assert done.returncode == 64 and 'only the method keyed-noise' in done.stderr
    done = tool('study', 'plan', FIVE, '--rho', '0.05', check=False)
    assert done.returncode == 64 and 'the counts of links alone cost more' in done.stderr


@pytest.mark.parametrize('args,status', [
    ((), 64), (('chek',), 64), (('check',), 64), (('check', 'a', 'b'), 64), (('check', '/nonexistent'), 66),
    (('plan', '--releases', '0', str(STUDY)), 64), (('--help',), 0), (('check', '--help'), 0), (('plan', '--help'), 0),
])
def test_exit_status(args, status):
    assert tool('study', *args, check=False).returncode == status
