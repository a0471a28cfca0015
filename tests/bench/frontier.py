#!/usr/bin/env python3
"""The table of docs/threat-model.md: every construction of filters that was tried, what it costs in links and what it gives away.

    python3 tests/bench/frontier.py [--build build/release] [--secrets 20] [--only TEXT] [--floor N] FOLDER

For each construction of `throughcare lab encode`, on a labelled register: bytes a record; F1 without labels in the median, at worst and at best of
so many fixed secrets (linkage_secrets.py); recall of movers in the median; and, under the first secret, how many of the 100 commonest values
of a field a frequency alignment names, also among filters that lost their other parts. Minutes a secret on a large register.
"""
import argparse
import json
import pathlib
import re
import statistics
import subprocess
import tempfile

import linkage_secrets

ROOT = pathlib.Path(__file__).resolve().parents[2]


def measure(build, folder, study, secret, what, only):
    done = subprocess.run([build / 'tools/throughcare', 'lab', 'encode', '--measure', what, *(['--only', only] if only else []), '--study',
                           study, '--secret', secret, '--truth', folder / 'truth.csv',
                           folder / 'prison.csv', folder / 'treatment.csv'], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)['constructions']


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', type=pathlib.Path, default=ROOT / 'build' / 'release')
    parser.add_argument('--secrets', type=int, default=20)
    parser.add_argument('--only')
    parser.add_argument('--floor', type=int, default=-3, help='candidate floor of the study')
    parser.add_argument('folder', type=pathlib.Path)
    args = parser.parse_args()
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        secret, study = pathlib.Path(folder) / 'main.secret', pathlib.Path(folder) / 'study.yaml'
        study.write_text(re.sub(r'floor: .*', f'floor: {args.floor}', (ROOT / 'tests/data/study-hardened.yaml').read_text()))
        for number in range(args.secrets):
            linkage_secrets.write_secret(number, secret)
            for found in measure(args.build, args.folder, study, secret, 'links' if number else 'all', args.only):
                runs.setdefault(found['construction'], []).append(found)
    for name, found in runs.items():
        first, f1 = found[0], [run['f1'] for run in found]
        movers = [run['movers_recall'] for run in found if run['movers_recall'] is not None]
        moved = f'{statistics.median(movers):.3f} of {first["movers"]}' if movers else 'none'
        named, alone = (' / '.join(map(str, first[key].values())) for key in ('named_of_100', 'named_of_100_incomplete'))
        print(f'{name:52} {first["bytes"]:4} bytes  F1 {statistics.median(f1):.4f} ({min(f1):.4f} … {max(f1):.4f})  '
              f'movers {moved}  '
              f'named {named}; incomplete {alone}   ({", ".join(first["named_of_100"])})')


if __name__ == '__main__':
    main()
