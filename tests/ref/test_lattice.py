"""The reference least squares equal the shared vectors (tests/unit/test_lattice.c checks the C against the same file)."""
import itertools
import json

from lattice import VECTORS, vectors


def margin(codes, by, values, to):
    sums = {}
    for place, value in zip(itertools.product(*(range(codes[d]) for d in by)), values):
        key = tuple(place[by.index(d)] for d in to)
        sums[key] = sums.get(key, 0) + value
    return sums


def test_vectors():
    stored = json.loads(VECTORS.read_text())
    assert stored == vectors()
    for v in stored:
        for a, b in itertools.combinations(range(len(v['by'])), 2):
            both = [d for d in v['by'][a] if d in v['by'][b]]
            assert margin(v['codes'], v['by'][a], v['integers'][a], both) == margin(v['codes'], v['by'][b],
                                                                                  v['integers'][b], both)
        assert all(var <= s2 * 1000000 for var, s2 in zip(v['variance_micro'], v['sigma2']))
