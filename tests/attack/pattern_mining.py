"""Pattern mining (Christen, Vidanage, Ranbaduge and Schnell 2018): bits that are often set together are those of one n-gram.

The attacker has the filters that hold surnames and knows, from a population like this one, how often each bigram stands in the
names of a record, also among records that have or lack others. In a part of the records the largest set of columns that are set
together about as often as its commonest bigram is taken for that bigram's, or, while there is none for any, for the next; then
the part is split into records that have all of these columns and records that have not, and each half is mined again. In the
end a record is named by the known surname whose bigrams all show in it, the one with most of them.

A bigram counts as isolated when the columns found for it are all set in nearly the records that have it: what they say agrees
with the truth in precision and recall of at least .9. Needs numpy.

usage: pattern_mining.py PRISON.csv [RECORDS [PROFILE]]     prints one line of JSON a profile
"""
import collections
import csv
import json
import pathlib
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from graph_matching import STUDIES, encode                         # noqa: E402

PLACES = {'quality': 5, 'balanced': 1, 'hardened': 1}              # of the filter with the surname, in the order of names
NAMES = {'quality': ['surname'], 'balanced': ['given_name', 'middle_name', 'surname'],
         'hardened': ['given_name', 'middle_name', 'surname']}
N_TOKENS, LEAST_PART, LEAST_COLUMNS, MOST_SEEDS, MOST_TRIED, SLACK = 100, 60, 5, 128, 10, .02


def bigrams(field, value):
    value = f' {"".join(c for c in value.lower() if c.isalnum() or c == " ")} '
    return {(field, value[i:i + 2]) for i in range(len(value) - 1)} if value.strip() else set()


def presence(rows, fields):
    """Which record has which of the commonest bigrams, and what these are."""
    sets = [set().union(*(bigrams(f, row[f]) for f in fields)) for row in rows]
    common = [t for t, _ in collections.Counter(t for s in sets for t in s).most_common(N_TOKENS)]
    return np.array([[t in s for t in common] for s in sets]), common


def longest_pattern(bits, together, n_wanted):
    """The largest set of columns that are set together in about n_wanted rows, grown from each of those that are set in
    little more."""
    counts = together.diagonal()
    best, least = [], n_wanted * (1 - SLACK)
    seeds = np.flatnonzero((counts >= least) & (counts <= .95 * len(bits)))
    for seed in seeds[np.argsort(counts[seeds], kind='stable')][:MOST_SEEDS]:
        pattern, rows = [seed], bits[:, seed]
        candidates = np.flatnonzero((together[seed] >= least) & (counts <= .95 * len(bits)))
        candidates = candidates[candidates != seed]
        while candidates.size:
            with_each = bits[np.ix_(rows, candidates)].sum(0)
            at = with_each.argmax()
            if with_each[at] < least:
                break
            pattern.append(candidates[at])
            rows = rows & bits[:, candidates[at]]
            candidates = candidates[with_each >= least]
            candidates = candidates[candidates != pattern[-1]]
        if len(pattern) > len(best) and rows.sum() <= n_wanted * (1 + SLACK):
            best = pattern
    return best


def mine(bits, known):
    """Columns of each bigram that was found. `known` is the attacker's population: which of its records has which."""
    found, parts = {}, [(np.ones(len(bits), bool), np.ones(len(known), bool), frozenset())]
    while parts:
        parts.sort(key=lambda part: part[0].sum())
        here, known_here, done = parts.pop()
        if here.sum() < LEAST_PART or not known_here.any():
            continue
        token, columns = find_one(bits[here], known[known_here].mean(0), done, found)
        if token is None:
            continue
        found.setdefault(token, columns)
        has = here & bits[:, columns].all(1)
        parts += [(has, known_here & known[:, token], done | {token}), (here & ~has, known_here & ~known[:, token], done | {token})]
    return found


def find_one(bits, share, done, found):
    """The commonest bigram and its columns, if there is a pattern for it; as long as there was none for any, also the next ones."""
    order = [int(t) for t in np.argsort(-share) if t not in done]
    together = None
    for token, second in list(zip(order, order[1:]))[:1 if found else MOST_TRIED]:
        if share[token] * len(bits) < 15:
            break
        if token in found:
            return token, found[token]
        # It must stand out from the next, or one could be taken for the other.
        if share[token] - share[second] < .01 * share[token]:
            continue
        if together is None:
            together = bits.T.astype(np.float32) @ bits.astype(np.float32)
        columns = longest_pattern(bits, together, share[token] * len(bits))
        if len(columns) >= LEAST_COLUMNS:
            return token, columns
    return None, None


def count_isolated(bits, truth, found):
    n = 0
    for token, columns in found.items():
        said = bits[:, columns].all(1)
        right = (said & truth[:, token]).sum()
        n += right >= .9 * said.sum() and right >= .9 * truth[:, token].sum()
    return n


def count_named(bits, found, common, rows, population):
    """Records that get their own surname, among those that have one of the 100 commonest."""
    said = {t: bits[:, columns].all(1) for t, columns in found.items()}
    frequent = [name for name, _ in collections.Counter(row['surname'] for row in population if row['surname']).most_common(100)]
    own = [[t for t in found if common[t] in bigrams('surname', name)] for name in frequent]
    scores = np.array([np.all([said[t] for t in tokens], axis=0) * len(tokens) if tokens else np.zeros(len(bits)) for tokens in own])
    unique = (scores == scores.max(0)).sum(0) == 1
    named = [unique[i] and scores[:, i].max() > 0 and frequent[scores[:, i].argmax()] == row['surname'] for i, row in enumerate(rows)]
    return int(sum(named)), sum(row['surname'] in frequent for row in rows)


def measure(profile, rows, n):
    with tempfile.TemporaryDirectory() as folder:
        bits = encode(pathlib.Path(folder), profile, rows[:n])[PLACES[profile]].astype(bool)
    truth, common = presence(rows[:n], NAMES[profile])
    found = mine(bits, truth)                                      # he knows the very frequencies of these records
    named, of = count_named(bits, found, common, rows[:n], rows[:n])
    return {'attack': 'pattern mining', 'profile': profile, 'records': n, 'bigrams': N_TOKENS, 'found': len(found),
            'isolated': int(count_isolated(bits, truth, found)), 'named': named, 'with_common_surname': of}


if __name__ == '__main__':
    with open(sys.argv[1], newline='') as register:
        people = list(csv.DictReader(register))
    for name in sys.argv[3:] or STUDIES:
        print(json.dumps(measure(name, people, int(sys.argv[2]) if len(sys.argv) > 2 else 5000)), flush=True)
