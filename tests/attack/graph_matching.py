"""Graph matching at 50 % overlap: align the similarity graph of encoded records with that of known people.

The attacker has encoded records, and as many people in clear text, of whom half are among the records (written alike). He
knows the public study, and so encodes his people under a secret of his own: similarities come out alike, whatever the
secret. A node's first description is how its similarities to all others are distributed, in each filter, and those of its
nearest neighbours; the pairs of nodes that are most alike become seeds, and every node is then described by its
similarities to the seeds, round after round (after Culnane, Rubinstein and Teague 2017; Vidanage et al. 2020; Schaefer et
al. 2024). A record is named when it ends up with its own person. Needs numpy.

usage: graph_matching.py PRISON.csv [RECORDS [PROFILE]]     prints one line of JSON a profile
"""
import csv
import json
import pathlib
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / 'system'), str(ROOT / 'ref')]
import batch                                                       # noqa: E402
from harness import SOURCE, study_file, tool                       # noqa: E402

STUDIES = {'quality': (SOURCE / 'tests/data/study-labelled.yaml', [64] * 6, [0] * 6),
           'balanced': (SOURCE / 'tests/data/study-hardened.yaml', [128] * 2, [2] * 2),
           'hardened': (SOURCE / 'tests/data/study-hardened.yaml', [256] * 2, [5] * 2)}
ROUNDS, FIRST_SEEDS = 30, 60


def encode(folder, profile, rows):
    """Filters of the rows as matrices of bits, under a secret of this call."""
    study, lengths, _ = STUDIES[profile]
    tool('keys', 'init', folder / 'keys', '--study', study_file(folder / 'study.yaml', study, profile=profile))
    with open(folder / 'in.csv', 'w', newline='') as f:
        writer = csv.DictWriter(f, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    keys = folder / 'keys'
    tool('encode', '--study', keys / 'study.yaml', '--secret', keys / 'custodians/main.secret', '--source', 'prison',
         '--record-key', keys / 'prison/record.key', '-o', folder / 'out.batch', folder / 'in.csv')
    _, chunks = batch.read((folder / 'out.batch').read_bytes(), lengths)
    return [np.unpackbits(np.frombuffer(b''.join(v or bytes(n) for c in chunks for v in c['filters'][at]), np.uint8)
                          .reshape(-1, n), axis=1).astype(np.float32) for at, n in enumerate(lengths)]


def similarity(bits, t):
    """Dice coefficients of what the bits were before diffusion."""
    def undo(share):
        return share if t == 0 else (1 - np.clip(1 - 2 * share, 0, None) ** (1 / t)) / 2
    n, length = bits.sum(1), bits.shape[1]
    apart = undo((n[:, None] + n[None, :] - 2 * bits @ bits.T) / length)
    fill = undo(n / length)
    both = fill[:, None] + fill[None, :]
    dice = np.where(both > 0, 1 - apart / np.maximum(both, 1e-9), 0)
    np.fill_diagonal(dice, 0)
    return dice


def describe(graphs):
    out = []
    for s in graphs:
        ordered = np.sort(s, axis=1)[:, ::-1]
        own = np.hstack([ordered[:, :20], np.quantile(s, np.linspace(.05, .95, 19), axis=1).T])
        near = np.argsort(-s, axis=1)[:, :5]
        out += [own, own[near].mean(1)]
    return np.hstack(out)


def standard(x):
    return (x - x.mean(0)) / (x.std(0) + 1e-9)


def cosine(a, b):
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    return (a / (np.linalg.norm(a, axis=1, keepdims=True) + 1e-9)) @ \
        (b / (np.linalg.norm(b, axis=1, keepdims=True) + 1e-9)).T


def best_pairs(score, n):
    """Pairs that are each other's best, the clearest first."""
    to, back = score.argmax(1), score.argmax(0)
    mutual = [i for i in range(len(to)) if back[to[i]] == i]
    two = np.sort(score, axis=1)[:, -2:]
    mutual.sort(key=lambda i: two[i, 0] - two[i, 1])
    return [(i, to[i]) for i in mutual[:n]]


def attack(encoded, known):
    score = cosine(standard(describe(encoded)), standard(describe(known)))
    for i in range(ROUNDS):
        pairs = best_pairs(score, FIRST_SEEDS + i * len(encoded[0]) // (2 * ROUNDS))
        a, b = (list(x) for x in zip(*pairs))
        score = cosine(np.hstack([standard(s[:, a]) for s in encoded]), np.hstack([standard(s[:, b]) for s in known]))
    return best_pairs(score, len(encoded[0]))


def measure(profile, rows, n):
    """Share of the n/2 records that both have, that are named."""
    half = n // 2
    with tempfile.TemporaryDirectory() as folder:
        graphs = []
        for i, mine in enumerate((rows[:n], rows[half:half + n])):
            place = pathlib.Path(folder) / str(i)
            place.mkdir()
            graphs.append([similarity(b, t) for b, t in zip(encode(place, profile, mine), STUDIES[profile][2])])
    right = sum(1 for i, j in attack(*graphs) if i == j + half)
    return {'profile': profile, 'records': n, 'overlap': half, 'named': right, 'share': round(right / half, 4)}


if __name__ == '__main__':
    with open(sys.argv[1], newline='') as register:
        people = list(csv.DictReader(register))
    for name in sys.argv[3:] or STUDIES:
        print(json.dumps(measure(name, people, int(sys.argv[2]) if len(sys.argv) > 2 else 1000)), flush=True)
