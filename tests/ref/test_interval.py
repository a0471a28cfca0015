# labels: quick once
"""The reference intervals equal the shared vectors, and they cover."""
import json
import pathlib
import random

from interval import GRID, cases, rate
from noise import Bits, discrete_gaussian

VECTORS = pathlib.Path(__file__).parents[1] / 'data/vectors/interval.json'


def test_vectors():
    """tests/unit/test_interval.c checks the C code against the same file."""
    stored = json.loads(VECTORS.read_text())['vectors']
    assert stored == [[*case, *(rate(*case) or (None, None, None))] for case in cases()]


def test_coverage():
    """Binomial counts and discrete Gaussian noise of three and five cells: at least 94 % hold the truth."""
    rng, bits = random.Random(7), Bits(b'coverage' + bytes(24))
    noise = [discrete_gaussian(10, bits) for _ in range(20000)]
    for n, p in ((40, 0.1), (60, 0.43), (250, 0.43), (1250, 0.02)):
        held, runs = 0, 2000
        for _ in range(runs):
            true = sum(rng.random() < p for _ in range(n))
            a = true + sum(rng.choices(noise, k=3))
            b = n - true + sum(rng.choices(noise, k=5))
            found = rate(a, b, 3, 5, 10000)
            held += found is not None and found[1] <= p * GRID <= found[2]
        print(n, p, held / runs)
        assert held / runs >= 0.94
