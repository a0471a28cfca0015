"""Graph matching by node embeddings: the attack of Vidanage et al. (2020) and Schaefer et al. (2024), on similarity graphs.

As graph_matching.py the attacker has encoded records and as many people in clear text, of whom half are among the records,
and encodes his people under a secret of his own. Both graphs keep the strongest edges of the mean Dice coefficient over all
filters, weighted. Then
1. nodes are embedded by their neighbourhoods: NetMF, the matrix that DeepWalk and node2vec factorise (Qiu et al. 2018);
2. the two spaces, each turned its own way, are laid upon each other as by Grave, Joulin and Berthet (2019): an assignment and
   the best rotation for it (Procrustes), in turns; the assignment is of pairs that are each other's nearest, the clearest tenth
   at first and half at last. It begins from features of each node that are the same on both sides: how its similarities are
   distributed, and those of its neighbours;
3. pairs that are each other's nearest are matched.
Several densities of the graph are tried, and the best result for the attacker counts. Needs numpy.

usage: node_embedding.py PRISON.csv [RECORDS [PROFILE]]     prints one line of JSON a profile
"""
import csv
import json
import pathlib
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from graph_matching import STUDIES, best_pairs, cosine, describe, encode, similarity, standard   # noqa: E402

DENSITIES, WINDOW, DIMENSIONS, ROUNDS = (.05, .15, .4), 2, 64, 30


def graph(dice, density):
    dice = np.mean(dice, axis=0)
    cut = np.quantile(dice[np.triu_indices(len(dice), 1)], 1 - density)
    return np.where(dice > cut, dice - cut / 2, 0).astype(np.float64)


def embed(a):
    """NetMF: log of how often a walk within the window meets, more than chance; its first singular vectors."""
    degree = a.sum(1)
    walk = a / np.maximum(degree, 1e-9)[:, None]
    power, total = np.eye(len(a)), np.zeros_like(a)
    for _ in range(WINDOW):
        power = power @ walk
        total += power
    met = degree.sum() / WINDOW * total / np.maximum(degree, 1e-9)[None, :]
    u, s, _ = np.linalg.svd(np.log(np.maximum(met, 1)))
    return unit(u[:, :DIMENSIONS] * np.sqrt(s[:DIMENSIONS]))


def unit(x):
    return x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-9)


def rotation(x, y, pairs):
    a, b = (list(side) for side in zip(*pairs))
    u, _, v = np.linalg.svd(x[a].T @ y[b])
    return u @ v


def align(first, a, b):
    """Scores of all pairs of nodes of two graphs, from first scores."""
    x, y = embed(a), embed(b)
    pairs = best_pairs(first, len(a) // 10)
    for i in range(ROUNDS):
        score = x @ rotation(x, y, pairs) @ y.T
        pairs = best_pairs(score, len(a) // 10 + i * 4 * len(a) // (10 * ROUNDS))
    return score


def measure(profile, rows, n):
    """Share of the n/2 records that both have, that are named."""
    half = n // 2
    with tempfile.TemporaryDirectory() as folder:
        sides = []
        for i, mine in enumerate((rows[:n], rows[half:half + n])):
            place = pathlib.Path(folder) / str(i)
            place.mkdir()
            sides.append([similarity(bits, t) for bits, t in zip(encode(place, profile, mine), STUDIES[profile][2])])
    first = cosine(*(standard(describe(side)) for side in sides))
    right = max(sum(1 for i, j in best_pairs(align(first, *(graph(side, density) for side in sides)), n) if i == j + half)
                for density in DENSITIES)
    return {'attack': 'node embedding', 'profile': profile, 'records': n, 'overlap': half, 'named': right,
            'share': round(right / half, 4)}


if __name__ == '__main__':
    with open(sys.argv[1], newline='') as register:
        people = list(csv.DictReader(register))
    for name in sys.argv[3:] or STUDIES:
        print(json.dumps(measure(name, people, int(sys.argv[2]) if len(sys.argv) > 2 else 600)), flush=True)
