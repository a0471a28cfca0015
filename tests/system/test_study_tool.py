"""`throughcare study`: what it prints, how it ends, and that every sample of this repository passes."""
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


def test_misspelled_key_names_line_and_the_nearest_key(tmp_path):
    text = STUDY.read_text().replace('  filters:', '  filtrs:')
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


def test_plan_adds_up():
    out = tool('study', 'plan', STUDY, '--releases', 50).stdout
    rho, epsilon = map(float, re.search(r'one release +rho +([\d.]+) +epsilon +([\d.]+)', out).groups())
    assert rho == pytest.approx(0.2)               # two tables at sigma2 10: 1/10 each
    assert epsilon == pytest.approx(rho + 2 * math.sqrt(rho * math.log(1e6)), abs=0.01)
    assert 'The limit allows 20 releases.' in out  # rho_limit 4
    assert '50 releases are more than the limit allows' in out


def test_plan_says_within_the_limit_when_it_is():
    assert 'more than the limit' not in tool('study', 'plan', STUDY, '--releases', 20).stdout


@pytest.mark.parametrize('args,status', [
    ((), 64), (('chek',), 64), (('check',), 64), (('check', 'a', 'b'), 64), (('check', '/nonexistent'), 66),
    (('plan', '--releases', '0', str(STUDY)), 64), (('--help',), 0), (('check', '--help'), 0), (('plan', '--help'), 0),
])
def test_exit_status(args, status):
    assert tool('study', *args, check=False).returncode == status
