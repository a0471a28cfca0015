"""Rates with 95 % intervals that hold sampling and noise, a reference for daemon/stats/interval.c.

The limits are those p in [0, 1] with ((1-p)a - pb)^2 <= z^2 {(a+b) p (1-p) + s2 [k_a (1-p)^2 + k_b p^2]}: Wilson's score
interval (1927) for a ratio of noisy counts, after Fieller (1954). Here by the roots of the quadratic, in floating point and
then settled exactly on the grid with fractions; the C code bisects on the grid with integers.
"""
from fractions import Fraction
from math import ceil, floor, sqrt

GRID = 10000
Z2 = Fraction(3841459, 1000000)


def outside(p, a, b, k_a, k_b, s2):
    return ((1 - p) * a - p * b) ** 2 > Z2 * ((a + b) * p * (1 - p) + s2 * (k_a * (1 - p) ** 2 + k_b * p ** 2))


def roots(a, b, k_a, k_b, s2):
    """Of the quadratic in p; None where the p that fit are no interval."""
    n, z2, s2 = a + b, float(Z2), float(s2)
    c2 = n * n + z2 * n - z2 * s2 * (k_a + k_b)
    c1 = -2 * a * n - z2 * n + 2 * z2 * s2 * k_a
    c0 = a * a - z2 * s2 * k_a
    if c2 <= 0 or c1 * c1 < 4 * c2 * c0:
        return None
    root = sqrt(c1 * c1 - 4 * c2 * c0)
    return (-c1 - root) / (2 * c2), (-c1 + root) / (2 * c2)


def rate(a, b, k_a, k_b, sigma2_milli):
    """(value, low, high) in 1/10,000, low rounded down and high up; None without a positive denominator."""
    n, s2 = a + b, Fraction(sigma2_milli, 1000)
    if n <= 0:
        return None
    value = min(max(floor(Fraction(a * GRID, n) + Fraction(1, 2)), 0), GRID)
    found = roots(a, b, k_a, k_b, s2)
    edge = 0 if a < 0 else GRID if b < 0 else None
    if found is None or (edge is not None and outside(Fraction(edge, GRID), a, b, k_a, k_b, s2)):
        return value, 0, GRID
    low, high = (min(max(x, 0.0), 1.0) * GRID for x in found)
    low, high = floor(low), ceil(high)
    # Floating point may be off by one step at a root: settle both limits exactly.
    estimate = min(max(Fraction(a, n), Fraction(0)), Fraction(1))
    while low > 0 and not outside(Fraction(low, GRID), a, b, k_a, k_b, s2):
        low -= 1
    while Fraction(low + 1, GRID) <= estimate and outside(Fraction(low + 1, GRID), a, b, k_a, k_b, s2):
        low += 1
    while high < GRID and not outside(Fraction(high, GRID), a, b, k_a, k_b, s2):
        high += 1
    while Fraction(high - 1, GRID) >= estimate and outside(Fraction(high - 1, GRID), a, b, k_a, k_b, s2):
        high -= 1
    return value, low, high


def cases():
    """The cases of tests/data/vectors/interval.json."""
    for sigma2_milli in (0, 1000, 10000, 40500):
        for n in (1, 10, 15, 60, 251, 5000, 80000):
            for share in (-3, 0, 1, 10, 43, 50, 99, 100, 103):
                a = n * share // 100
                for k_a, k_b in ((3, 5), (1, 7), (12, 20)):
                    yield a, n - a, k_a, k_b, sigma2_milli
