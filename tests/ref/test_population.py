"""The reference estimates equal the shared vectors, and their intervals cover."""
import json
import math
import pathlib
import random

from noise import Bits, discrete_gaussian
from population import cases_two, three, two

VECTORS = pathlib.Path(__file__).parents[1] / 'data/vectors/population.json'


def test_vectors():
    """tests/unit/test_population.c checks the C code against the same file."""
    stored = json.loads(VECTORS.read_text())['two']
    assert stored == [[list(counts), k, s2, *(two(counts, k, s2) or (None, None, None))] for counts, k, s2 in cases_two()]


def binomial(rng, n, p):
    return sum(rng.random() < p for _ in range(n))


def test_two_lists_cover():
    """Independent lists, with and without noise: at least 93.5 % of 600 intervals hold the truth."""
    rng, bits = random.Random(3), Bits(b'population' + bytes(22))
    noise = [discrete_gaussian(10, bits) for _ in range(4000)]
    for n, p1, p2, sigma2 in ((400, 0.5, 0.3, 0), (400, 0.5, 0.3, 10000), (1500, 0.2, 0.25, 10000)):
        held = 0
        for _ in range(600):
            first = binomial(rng, n, p1)
            both = binomial(rng, first, p2)
            second = binomial(rng, n - first, p2)
            counts = [first - both, second, both]
            if sigma2:
                counts = [c + rng.choice(noise) for c in counts]
            found = two(counts, 1, sigma2)
            held += found is not None and found[1] <= n <= (found[2] or math.inf)
        print(n, p1, p2, sigma2, held / 600)
        assert held / 600 >= 0.935


def test_three_lists_cover():
    """Lists that depend on each other in pairs (two kinds of people), where two lists alone are biased."""
    rng, bits = random.Random(4), Bits(b'population3' + bytes(21))
    noise = [discrete_gaussian(10, bits) for _ in range(4000)]
    for n, sigma2 in ((2000, 0), (4000, 10000)):
        held = runs = 0
        for _ in range(200):
            counts = [0] * 8
            for _ in range(n):
                first = rng.random() < 0.4
                second = rng.random() < (0.6 if first else 0.35)
                third = rng.random() < 0.4
                counts[first + 2 * second + 4 * third] += 1
            seen = [c + (rng.choice(noise) if sigma2 else 0) for c in counts[1:]]
            found = three(seen, 1, sigma2)
            runs += 1
            held += found is not None and found[1] <= n <= (found[2] or math.inf)
        print(n, sigma2, held / runs)
        assert held / runs >= 0.92
