#!/usr/bin/env python3
"""Labelled registers linked under several linkage secrets: what does a profile cost, and does it depend on the secret?

    python3 tests/bench/linkage_secrets.py [--build build/release] [--secrets 10] [--profiles quality,balanced,hardened] [--floor N] FOLDER...

For each register and profile: F1 in the median, at worst and at best, precision and the linkage's own expectation of it, recall, and the range of the
threshold in log2 units. The secrets are fixed: SHA-256 of "linkage secret 0", "linkage secret 1" and so on. No labels are used but to count.
tests/system/test_profiles.py asserts what a profile may cost.
"""
import argparse
import hashlib
import os
import pathlib
import re
import statistics
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests' / 'ref'))
import calibration                     # noqa: E402

PROFILES = ('quality', 'balanced', 'hardened')


def write_study(profile, path, floor=-3):
    """The labelled study under a profile and a candidate floor; `quality` writes its filters, the others take them from roles."""
    if profile == 'quality':
        text = (ROOT / 'tests/data/study-labelled.yaml').read_text()
    else:
        text = (ROOT / 'tests/data/study-hardened.yaml').read_text()
        assert text.count('  profile: balanced\n') == 1
        text = text.replace('  profile: balanced\n', f'  profile: {profile}\n')
    text, found = re.subn(r'(?m)^  floor: -?\d+', f'  floor: {floor}', text)
    assert found == 1
    path.write_text(text)


def write_secret(number, path):
    path.write_text('throughcare-linkage-v1:' + hashlib.sha256(b'linkage secret %d' % number).hexdigest() + '\n')
    os.chmod(path, 0o600)


def link(build, folder, profile, numbers, floor=-3):
    """The reports of `throughcare lab link` on a folder, one a secret."""
    with tempfile.TemporaryDirectory() as temporary:
        study, secret = pathlib.Path(temporary) / 'study.yaml', pathlib.Path(temporary) / 'main.secret'
        write_study(profile, study, floor)
        runs = []
        for number in numbers:
            write_secret(number, secret)
            runs.append(calibration.link(build, secret, pathlib.Path(folder), study))
        return runs


def line(name, profile, runs):
    def column(key):
        return [run[key] for run in runs]

    f1, thresholds = column('f1'), [run['threshold'] for run in runs if run['threshold'] is not None]
    error = max((run['expected_precision'] - run['precision'] for run in runs), key=abs)
    return (f'{name:11} {profile:9} {statistics.median(f1):7.4f} {min(f1):7.4f} {max(f1):7.4f}   '
            f'{statistics.median(column("precision")):7.4f} {statistics.median(column("expected_precision")):7.4f} {100 * error:+6.2f}   '
            f'{statistics.median(column("recall")):7.4f}   {min(thresholds, default=0):6.2f} … {max(thresholds, default=0):.2f}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--build', type=pathlib.Path, default=ROOT / 'build' / 'release')
    parser.add_argument('--secrets', type=int, default=10)
    parser.add_argument('--first', type=int, default=0, help='number of the first secret')
    parser.add_argument('--profiles', default=','.join(PROFILES))
    parser.add_argument('--floor', type=int, default=-3, help='candidate floor of the study')
    parser.add_argument('folder', nargs='+')
    args = parser.parse_args()
    print('register    profile    F1: med     min     max   precision expected  worst   recall    threshold')
    for folder in args.folder:
        for profile in args.profiles.split(','):
            runs = link(args.build, folder, profile, range(args.first, args.first + args.secrets), args.floor)
            print(line(pathlib.Path(folder).name, profile, runs), flush=True)


if __name__ == '__main__':
    main()
