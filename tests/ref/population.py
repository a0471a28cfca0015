"""Hidden populations from capture histories, a reference for daemon/stats/population.c.

Two lists: Chapman's estimator (1951); the limits are those N with
  (n1 n2 - N m)^2 <= z^2 { n1 n2 (N-n1)(N-n2)/(N-1) + k s2 [(n1+n2-N)^2 + n1^2 + n2^2] },
the score interval of a hypergeometric count with the variance of the noise. Three lists: the log-linear model without the
interaction of all three (Fienberg 1972); Fieller limits for r = x/x^ with (1-r)^2 <= z^2 (v + r^2 w). The C code bisects
in integers; here the limits come from fractions and, for three lists, from the roots of the quadratic.
"""
from fractions import Fraction
from math import floor, sqrt

Z2 = Fraction(3841459, 1000000)
MAX = 10 ** 9


def outside(N, n1, n2, m, noise):
    miss, slope = n1 * n2 - N * m, n1 + n2 - N
    sampling = Fraction(n1 * n2 * max(N - n1, 0) * max(N - n2, 0), max(N - 1, 1))
    return miss ** 2 > Z2 * (sampling + noise * (slope ** 2 + n1 ** 2 + n2 ** 2))


def limit(inside, end, *args):
    """Step from `inside` towards `end` until outside, doubling and then halving."""
    if outside(inside, *args) or inside == end:
        return inside
    sign, step, at = (1 if end > inside else -1), 1, inside
    while not outside(at, *args):
        last, at = at, min(max(at + sign * step, min(inside, end)), max(inside, end))
        step *= 2
        if at == end and not outside(end, *args):
            return end
    while abs(at - last) > 1:
        middle = (at + last) // 2
        at, last = (middle, last) if outside(middle, *args) else (at, middle)
    return at


def two(counts, k, sigma2_milli):
    """(value, low, high), high None without a bound; None where there is no estimate."""
    only1, only2, m = counts
    n1, n2 = only1 + m, only2 + m
    if m <= 0 or n1 <= 0 or n2 <= 0:
        return None
    seen = max(n1 + n2 - m, 1)
    value = max((Fraction((n1 + 1) * (n2 + 1), m + 1) + Fraction(1, 2)).__floor__() - 1, seen)
    middle = max(n1 * n2 // m, seen)
    if max(value, middle) > MAX:
        return None
    args = n1, n2, m, Fraction(k * sigma2_milli, 1000)
    low, high = limit(middle, seen, *args), limit(middle, MAX, *args)
    return value, min(low, value), None if high == MAX else max(high, value)


def three(counts, k, sigma2_milli):
    if min(counts) <= 0:
        return None
    a, b, ab, c, ac, bc, abc = counts
    noise = k * sigma2_milli / 1000
    v = sum((n + noise) / n ** 2 for n in (a, b, c, abc))
    w = sum((n + noise) / n ** 2 for n in (ab, ac, bc))
    seen, unseen = sum(counts), floor(Fraction(abc * a * b * c, ab * ac * bc) + Fraction(1, 2))
    z2 = float(Z2)
    # (1 - z2 w) r^2 - 2 r + 1 - z2 v = 0
    lead = 1 - z2 * w
    root = 1 - lead * (1 - z2 * v)
    low = max((1 - sqrt(root)) / lead if lead != 0 else (1 - z2 * v) / 2, 0) if root >= 0 else 0
    high = (1 + sqrt(root)) / lead if lead > 0 and root >= 0 else None
    margin = sqrt(z2 * 7 * noise)
    return seen + unseen, max(seen + unseen * low - margin, 0), None if high is None or high > 100 else seen + unseen * high + margin


def cases_two():
    """The cases of tests/data/vectors/population.json."""
    for sigma2_milli in (0, 10000):
        for k in (1, 12):
            for counts in ((40, 30, 10), (400, 300, 100), (5, 3, 2), (2000, 900, 37), (100000, 50000, 7000), (0, 20, 15),
                           (-4, 60, 12), (30, 40, 0), (300, -300, 250), (7, 9, 1), (9999000, 9000000, 1000)):
                yield counts, k, sigma2_milli
