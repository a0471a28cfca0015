# labels: quick once
"""Intervals of corrected rates over many synthetic releases. The linkage secret and the seeds of people, errors and noise are fixed,
and no step depends on the machine: the figures are the same every time."""
import json
import subprocess

from harness import FIELDS, STUDY, THROUGHCARE, study_file

SECRET = 'throughcare-linkage-v1:' + bytes(range(7, 39)).hex() + '\n'


def coverage(folder, repetitions, persons, *options):
    secret = folder / 'main.secret'
    secret.write_text(SECRET)
    secret.chmod(0o600)
    study = study_file(folder / 'study.yaml', FIELDS, rho_limit='4\n  linkage_sigma2: 10\n  linkage_by: intervention')
    done = subprocess.run([THROUGHCARE, 'lab', 'coverage', '--study', study, '--secret', secret, '--repetitions', str(repetitions),
                           '--persons', str(persons), *options], capture_output=True, text=True, timeout=7200)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for arm in found['arms']:
        print(f'{arm["arm"]:12} links found {arm["links_found_percent"]:.1f} %, rate true {arm["true_percent"]:.2f} crude '
              f'{arm["crude_percent"]:.2f} corrected {arm["corrected_percent"]:.2f}; of {arm["published"]} published '
              f'{arm["covered"]} cover the truth of their people, {arm["covered_chance"]} the mean of all, {arm["nearer"]} are '
              f'nearer than crude; median width {arm["median_width"]:.2f}, {arm["width_ratio"]:.2f} times that of known links')
    for arm in found['comparisons']:
        print(f'{arm["arm"]:12} - {arm["against"]}: true {arm["true_points"]:.2f} points, crude {arm["crude_points"]:.2f}, corrected '
              f'{arm["corrected_points"]:.2f}; of {arm["published"]} published {arm["difference_covered"]} differences and '
              f'{arm["ratio_covered"]} ratios cover, {arm["nearer"]} are nearer than crude; median width {arm["median_width"]:.2f}, '
              f'{arm["width_ratio"]:.2f} times that of known links; correlation of errors {arm["correlation_of_errors"]:.2f}')
    return {arm['arm']: arm for arm in found['arms']}, {arm['arm']: arm for arm in found['comparisons']}


def test_a_few_releases(tmp_path):
    arms, comparisons = coverage(tmp_path, 12, 1500, '--typos', '30', '--typos-by', 'ost=50')
    for name in ('all', 'ost', 'psychosocial', 'none'):
        arm = arms[name]
        assert arm['published'] == 12 and arm['covered'] >= 10
        assert abs(arm['corrected_percent'] - arm['true_percent']) < abs(arm['crude_percent'] - arm['true_percent'])
    assert arms['ost']['links_found_percent'] < arms['none']['links_found_percent']
    assert arms['all']['nearer'] >= 10
    for arm in (comparisons[name] for name in ('ost', 'psychosocial')):
        assert arm['published'] == 12 and arm['difference_covered'] >= 10 and arm['ratio_covered'] >= 10
    ost = comparisons['ost']
    assert abs(ost['corrected_points'] - ost['true_points']) < abs(ost['crude_points'] - ost['true_points'])


def test_refuses_what_has_no_arms(tmp_path):
    secret = tmp_path / 'main.secret'
    secret.write_text(SECRET)
    secret.chmod(0o600)
    done = subprocess.run([THROUGHCARE, 'lab', 'coverage', '--study', STUDY, '--secret', secret, '--repetitions', '1',
                           '--persons', '50'], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and 'linkage_by' in done.stderr
