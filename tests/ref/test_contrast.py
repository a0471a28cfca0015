"""The reference equals the shared vectors, and differences and ratios of noisy rates cover."""
import json
import math
import pathlib
import random

from contrast import cases, difference, divided_cases, quotient, ratio
from interval import GRID, rate
from noise import Bits, discrete_gaussian

VECTORS = pathlib.Path(__file__).parents[1] / 'data/vectors/contrast.json'


def test_vectors():
    """tests/unit/test_contrast.c checks the C code against the same file."""
    stored = json.loads(VECTORS.read_text())
    assert stored['vectors'] == json.loads(json.dumps([[a, b, difference(a, b), ratio(a, b)] for a, b in cases()]))
    assert stored['divided'] == json.loads(json.dumps([[d, t, quotient(d, t)] for d, t in divided_cases()]))


def test_coverage_after_correction():
    """A difference of two arms in which the same share of 0.85 is found, known to +- 4 points: 95 % and more hold the truth."""
    rng, runs, held = random.Random(5), 700, 0
    for _ in range(runs):
        a, b = (rate(x, n - x, 1, 1, 0) for n, p in ((500, 0.6 * 0.85), (700, 0.35 * 0.85)) for x in [sum(rng.random() < p for _ in range(n))])
        share = 8500 + rng.gauss(0, 400 / 1.96)
        _, low, high = quotient(difference(a, b), (share, share - 400, share + 400))
        held += low <= 2500 <= high
    print(held / runs)
    assert held / runs >= 0.94


def test_coverage():
    """Two arms with binomial counts and noise of three and five cells: at least 94 % hold the truth."""
    rng, bits = random.Random(11), Bits(b'contrast' + bytes(24))
    noise = [discrete_gaussian(10, bits) for _ in range(4000)]

    def arm(n, p):
        a = sum(rng.random() < p for _ in range(n))
        return rate(a + sum(rng.choices(noise, k=3)), n - a + sum(rng.choices(noise, k=5)), 3, 5, 10000)

    for (n1, p1), (n2, p2) in (((250, 0.45), (400, 0.3)), ((900, 0.1), (1200, 0.05)), ((120, 0.7), (90, 0.2))):
        held_d = held_r = runs = 0
        for _ in range(700):
            a, b = arm(n1, p1), arm(n2, p2)
            runs += 1
            _, low, high = difference(a, b)
            held_d += low <= (p1 - p2) * GRID <= high
            found = ratio(a, b)
            held_r += found is None or found[1] <= p1 / p2 <= (found[2] or math.inf)
        print(n1, p1, n2, p2, held_d / runs, held_r / runs)
        assert held_d / runs >= 0.94 and held_r / runs >= 0.94
