"""Fellegi-Sunter on clear text, to compare the encoded linkage with: levels cut on the Dice coefficient of the token sets themselves,
EM, term frequency, links at match probability one half. No labels are used.

Registers without duplicates (febrl4, census_cis): EM that knows persons to be one to one, greedy one to one links. Registers with
several records a person (rl10000, fake1000): both files are taken as one, every pair within and across competes with none, and the pairs
across are scored.

    python3 tests/ref/clear_text.py FOLDER...       (prison.csv, treatment.csv, truth.csv in each)

Needs numpy. Values are compared once, in a table of levels a field; a pair is then a lookup a field.
"""
import csv
import pathlib
import re
import sys
import unicodedata

import numpy as np

NAME_CUTS = (.3, .4, .5, .6, .7, .85, 1.)
DATE_CUTS = (.3, .4, .5, .6, .65, .7, .75, .8, .9, 1.)
NAME_POINTS = ((0, .3, .4, .5, .6, .7, .85, 1), (-4, -3, -1.5, .5, 2.5, 5, 7, 8))
DATE_POINTS = ((0, .5, .6, .7, .8, .9, 1), (-5, -4, -2.5, 0, 3, 6, 10))
COMPARISONS = (('given_name',), ('middle_name',), ('surname',), ('date_of_birth',), ('place', 'postcode'))
FIELDS = [field for comparison in COMPARISONS for field in comparison]
FLOOR = -3
FREQUENCY_CAP, FREQUENCY_CAP_ALL = 8, 1024
CHUNK = 500
WITHOUT_DUPLICATES = ('febrl4', 'census_cis')


def tokens(field, text):
    text = unicodedata.normalize('NFD', text.casefold())
    text = ' '.join(re.sub(r"[-'.’]", '', ''.join(c for c in text if not unicodedata.combining(c))).split())
    if not text:
        return frozenset()
    if field == 'postcode':
        return frozenset(enumerate(text))
    if field == 'date_of_birth':
        parts = (('y', text[:4]), ('m', text[4:6]), ('d', text[6:])) if re.fullmatch(r'\d{8}', text) else ()
        return frozenset(enumerate(text)) | {name + ''.join(sorted(part)) for name, part in parts}
    return frozenset(f' {text} '[i:i + 2] for i in range(len(text) + 1))


class Field:
    """Distinct values of a field: which one each record has, and the level of every two. Level 0: missing."""

    def __init__(self, name, rows):
        self.cuts = DATE_CUTS if name == 'date_of_birth' else NAME_CUTS
        self.points = DATE_POINTS if name == 'date_of_birth' else NAME_POINTS
        sets = [tokens(name, row[name]) for row in rows]
        values = {s: i for i, s in enumerate(dict.fromkeys([frozenset(), *sets]))}
        self.value = np.array([values[s] for s in sets])
        columns = {t: i for i, t in enumerate({t for s in values for t in s})}
        bits = np.zeros((len(values), max(1, len(columns))), np.float32)
        for s, i in values.items():
            bits[i, [columns[t] for t in s]] = 1
        size = bits.sum(1)
        self.level = np.empty((len(values), len(values)), np.uint8)
        for first in range(0, len(values), CHUNK):
            both = bits[first:first + CHUNK] @ bits.T
            dice = 2 * both / np.maximum(1, size[first:first + CHUNK, None] + size)
            self.level[first:first + CHUNK] = np.searchsorted(np.array(self.cuts) - 1e-6, dice, side='right') + 1
        self.level[0, :] = self.level[:, 0] = 0

    def weights(self):
        return np.array([0, *np.interp((0, *self.cuts), *self.points)])


class Comparison:
    def __init__(self, names, fields):
        self.fields = [fields[name] for name in names]
        self.radix = np.cumprod([1, *(len(f.cuts) + 2 for f in self.fields)])
        levels = np.arange(self.radix[-1])
        digits = [levels // r % (len(f.cuts) + 2) for r, f in zip(self.radix, self.fields)]
        self.mask = sum((d == 0) << i for i, d in enumerate(digits))
        self.weight = sum(f.weights()[d] for f, d in zip(self.fields, digits))
        if len(self.fields) > 1:
            self.weight = np.clip(self.weight, -4, 10)
        self.weight[0] = 0
        self.value = np.unique(np.stack([f.value for f in self.fields], 1), axis=0, return_inverse=True)[1].reshape(-1)
        self.empty = np.all([f.value == 0 for f in self.fields], axis=0)

    def levels(self, a, b):
        return sum(int(r) * f.level[f.value[a][:, None], f.value[b][None, :]].astype(np.int16)
                   for r, f in zip(self.radix, self.fields))

    def share(self, counts, prior):
        """Of each level within its set of missing parts; `prior` weighs one pair a set."""
        p = np.zeros(len(counts))
        for mask in np.unique(self.mask[1:]):
            at = (self.mask == mask) & (np.arange(len(counts)) > 0)
            p[at] = (counts[at] + prior[at]) / max(1e-300, (counts[at] + prior[at]).sum())
        return p


def candidates(comparisons, side_a, side_b, same):
    """Pairs above the floor, their levels, and how often each level occurs among all pairs."""
    found, counts = [], [np.zeros(len(c.weight)) for c in comparisons]
    for first in range(0, len(side_a), CHUNK):
        rows = side_a[first:first + CHUNK]
        levels = [c.levels(rows, side_b) for c in comparisons]
        use = rows[:, None] < side_b[None, :] if same else np.ones((len(rows), len(side_b)), bool)
        for c, n, level in zip(comparisons, counts, levels):
            n += np.bincount(level[use], minlength=len(c.weight))
        weight = sum(c.weight[level].astype(np.float32) for c, level in zip(comparisons, levels))
        i, j = np.nonzero((weight >= FLOOR) & use)
        found.append((rows[i], side_b[j], np.stack([level[i, j] for level in levels], 1)))
    return [np.concatenate(x) for x in zip(*found)], counts


def frequency(comparisons, a, b):
    """Odds factor of agreement on the very same value."""
    factor = np.ones(len(a))
    for c in comparisons:
        count = np.bincount(c.value[~c.empty], minlength=c.value.max() + 1)
        mean = (count.astype(float) ** 2).sum() / max(1, count.sum())
        same = (c.value[a] == c.value[b]) & ~c.empty[a]
        factor[same] *= np.clip(mean / np.maximum(1, count[c.value[a[same]]]), 1 / FREQUENCY_CAP, FREQUENCY_CAP)
    return np.clip(factor, 1 / FREQUENCY_CAP_ALL, FREQUENCY_CAP_ALL)


def em(comparisons, pairs, counts, n_pairs, most, one_to_one):
    """Match probability and likelihood ratio of each candidate."""
    a, b, levels = pairs
    tf = frequency(comparisons, a, b)
    u = [c.share(n, np.full(len(n), 1 / len(n))) for c, n in zip(comparisons, counts)]
    m = [c.share(p * 2. ** c.weight, np.zeros(len(p))) for c, p in zip(comparisons, u)]
    lam, before = most / 2, -1.
    for _ in range(100):
        ratio = tf.copy()
        for k in range(len(comparisons)):
            r = np.where((m[k] > 0) & (u[k] > 0), m[k] / np.maximum(u[k], 1e-300), 1)
            r[0] = 1
            ratio *= r[levels[:, k]]
        odds = lam / (1 - lam) * ratio
        others = 0
        if one_to_one:
            others = np.bincount(a, odds)[a] + np.bincount(b, odds)[b] - 2 * odds
        p = odds / (1 + odds + np.maximum(0, others))
        total = p.sum()
        if abs(total - before) < 1e-5 * total:
            break
        before, lam = total, min(total / n_pairs, most)
        for k, c in enumerate(comparisons):
            match = np.bincount(levels[:, k], p, len(c.weight))
            m[k] = c.share(match, u[k])
            u[k] = c.share(np.maximum(0, counts[k] - match), m[k])
    return p, ratio


def link(folder, one_to_one):
    """F1, precision, recall of pairs of rows across."""
    folder = pathlib.Path(folder)
    read = {name: list(csv.DictReader(open(folder / f'{name}.csv', newline=''))) for name in ('prison', 'treatment', 'truth')}
    rows = read['prison'] + read['treatment']
    n_a = len(read['prison'])
    known = {(t['file'], t['record_id']): t['entity'] for t in read['truth']}
    entity = np.unique([known['prison' if i < n_a else 'treatment', row['record_id']] for i, row in enumerate(rows)],
                       return_inverse=True)[1]
    fields = {name: Field(name, rows) for name in FIELDS}
    comparisons = [Comparison(names, fields) for names in COMPARISONS]
    every = np.arange(len(rows))
    side_a, side_b = (every[:n_a], every[n_a:]) if one_to_one else (every, every)
    n_pairs = n_a * (len(rows) - n_a) if one_to_one else len(rows) * (len(rows) - 1) / 2
    most = 1 / max(n_a, len(rows) - n_a) if one_to_one else 0.5
    pairs, counts = candidates(comparisons, side_a, side_b, not one_to_one)
    p, ratio = em(comparisons, pairs, counts, n_pairs, most if one_to_one else 4 / len(rows), one_to_one)
    linked, taken = [], set()
    for i in np.argsort(-ratio, kind='stable'):
        a, b = pairs[0][i], pairs[1][i]
        if p[i] <= .5 or (one_to_one and (a in taken or b in taken)) or (a < n_a) == (b < n_a):
            continue
        linked.append(entity[a] == entity[b])
        taken |= {a, b}
    n_entities = entity.max() + 1
    n_true = (np.bincount(entity[:n_a], minlength=n_entities) * np.bincount(entity[n_a:], minlength=n_entities)).sum()
    precision, recall = sum(linked) / max(1, len(linked)), sum(linked) / n_true
    return 2 * precision * recall / max(1e-9, precision + recall), precision, recall


def main():
    for folder in sys.argv[1:]:
        f1, precision, recall = link(folder, pathlib.Path(folder).name in WITHOUT_DUPLICATES)
        print(f'{pathlib.Path(folder).name}: F1 {f1:.4f}, precision {precision:.4f}, recall {recall:.4f}', flush=True)


if __name__ == '__main__':
    main()
