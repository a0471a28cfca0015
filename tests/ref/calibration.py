"""Random cuts of labelled registers to a small overlap, linked by `throughcare lab link` without labels: do the precision
and the recall that the linkage expects hold on average?

A cut keeps the records of some persons in the prison register and of others in the treatment register, so that the wanted share of
the smaller register has a counterpart. Used by tests/system/test_calibration.py; alone it prints a table:

    python3 tests/ref/calibration.py --cuts 20 --overlap 0.05 BUILD SECRET FOLDER...
"""
import argparse
import csv
import json
import math
import pathlib
import random
import subprocess
import tempfile

SIDES = ('prison', 'treatment')
STUDY = pathlib.Path(__file__).resolve().parents[1] / 'data' / 'study-labelled.yaml'


def read(path):
    with open(path, newline='') as f:
        return list(csv.DictReader(f))


def write(path, rows):
    with open(path, 'w', newline='') as f:
        writer = csv.DictWriter(f, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


class Register:
    """A labelled pair of registers: rows and persons of each side."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.rows = {side: read(self.folder / f'{side}.csv') for side in SIDES}
        self.truth = read(self.folder / 'truth.csv')
        self.entity = {(t['file'], t['record_id']): t['entity'] for t in self.truth}

    def persons(self, side):
        return {self.entity[side, row['record_id']] for row in self.rows[side]}

    def cut(self, seed, overlap, out):
        """Half of all persons a side, of which `overlap` are on both."""
        r = random.Random(seed)
        both = sorted(self.persons('prison') & self.persons('treatment'))
        r.shuffle(both)
        n_shared = round(overlap * len(both) / (2 - overlap))
        n_alone = (len(both) - n_shared) // 2
        keep = {'prison': set(both[:n_shared + n_alone]),
                'treatment': set(both[:n_shared]) | set(both[n_shared + n_alone:])}
        kept = set()
        for side in SIDES:
            rows = [row for row in self.rows[side] if self.entity[side, row['record_id']] in keep[side]]
            r.shuffle(rows)
            kept |= {(side, row['record_id']) for row in rows}
            write(out / f'{side}.csv', rows)
        write(out / 'truth.csv', [t for t in self.truth if (t['file'], t['record_id']) in kept])


def link(build, secret, folder, study=STUDY):
    done = subprocess.run([pathlib.Path(build) / 'tools' / 'throughcare', 'lab', 'link', '--study', study, '--secret', secret,
                           '--truth', folder / 'truth.csv', folder / 'prison.csv', folder / 'treatment.csv'],
                          capture_output=True, text=True, check=True, timeout=900)
    return json.loads(done.stdout)


def calibrate(build, secret, folder, n_cuts, overlap=0.05):
    """The runs, the mean error of the expected precision, and its standard error. Cuts on which nothing was linked have no
    precision and are left out of the mean."""
    register = Register(folder)
    runs = []
    for seed in range(n_cuts):
        with tempfile.TemporaryDirectory() as out:
            register.cut(seed, overlap, pathlib.Path(out))
            runs.append(link(build, secret, pathlib.Path(out)))
    return runs, *mean_error([run['expected_precision'] - run['precision'] for run in runs if run['outcome'] == 'done'])


def mean_error(errors):
    """Mean and its standard error."""
    mean = sum(errors) / len(errors) if errors else math.nan
    variance = sum((e - mean) ** 2 for e in errors) / max(1, len(errors) - 1)
    return mean, math.sqrt(variance / max(1, len(errors)))


def covered(runs):
    """How many intervals of recall hold the true recall."""
    return sum(run['expected_recall_interval'][0] <= run['recall'] <= run['expected_recall_interval'][1] for run in runs)


def recall_error(runs):
    """Mean error of the expected recall, and its standard error."""
    return mean_error([run['expected_recall'] - run['recall'] for run in runs if run['outcome'] == 'done'])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--cuts', type=int, default=20)
    parser.add_argument('--overlap', type=float, default=0.05)
    parser.add_argument('build')
    parser.add_argument('secret')
    parser.add_argument('folder', nargs='+')
    args = parser.parse_args()
    for folder in args.folder:
        runs, mean, error = calibrate(args.build, args.secret, folder, args.cuts, args.overlap)
        for run in runs:
            low, high = run['expected_recall_interval']
            print(f'  pairs {run["pairs"]:5}  links {run["links"]:5}  precision {run["precision"]:.3f} expected '
                  f'{run["expected_precision"]:.3f}  recall {run["recall"]:.3f} expected {run["expected_recall"]:.3f} '
                  f'({low:.3f} … {high:.3f})')
        print(f'{pathlib.Path(folder).name}: {len(runs)} cuts to {args.overlap:.0%}, mean error of the expected precision '
              f'{100 * mean:+.2f} points, standard error {100 * error:.2f}; {covered(runs)} of {len(runs)} intervals of recall '
              f'hold it, mean error of the expected recall {100 * recall_error(runs)[0]:+.2f} points, standard error '
              f'{100 * recall_error(runs)[1]:.2f}')


if __name__ == '__main__':
    main()
