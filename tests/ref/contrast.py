"""Risk difference and risk ratio by MOVER, a reference for daemon/stats/contrast.c: Zou, Donner 2008 and the closed form of
Donner, Zou 2012, in floating point. Rates and limits in 1/10,000."""
from math import sqrt


def difference(a, b):
    """(value, low, high) of a - b; a and b are (value, low, high)."""
    (p1, l1, u1), (p2, l2, u2) = a, b
    d = p1 - p2
    return d, d - sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2), d + sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)


def ratio(a, b):
    """(value, low, high); high None without a bound; None where b is 0."""
    (p1, l1, u1), (p2, l2, u2) = a, b
    if p2 == 0:
        return None
    # Roots of (p1 - r p2)^2 = (p1-l1)^2 + r^2 (u2-p2)^2, and the mirror.
    def root(d1, d2, sign):
        A, B, C = p2 ** 2 - d2 ** 2, -2 * p1 * p2, p1 ** 2 - d1 ** 2
        if A == 0:
            return -C / B if B else 0
        return (-B + sign * sqrt(max(B * B - 4 * A * C, 0))) / (2 * A)
    low = root(p1 - l1, u2 - p2, -1) if l1 > 0 else 0
    high = root(u1 - p1, p2 - l2, 1) if l2 > 0 else None
    return p1 / p2, max(low, 0), high


def quotient(d, t):
    """A difference (value, low, high) divided by an independent share t: (value, low, high), cut to -1 ... 1."""
    (v, low, high), (p, l, u) = d, t

    def root(own, other, sign):
        A, B, C = p ** 2 - other ** 2, -2 * v * p, v ** 2 - own ** 2
        return (-B + sign * sqrt(max(B * B - 4 * A * C, 0))) / (2 * A)
    found = (v / p, root(v - low, u - p if low > 0 else p - l, -1), root(high - v, p - l if high > 0 else u - p, 1))
    return tuple(max(-10000, min(10000, 10000 * x)) for x in found)


def divided_cases():
    shares = [(10000, 10000, 10000), (9000, 8800, 9200), (8200, 7000, 9400), (6000, 5200, 6900)]
    differences = [(0, -300, 300), (1500, 900, 2100), (400, -250, 1020), (-2100, -2500, -1600), (-90, -800, 700), (7000, 6000, 8100),
                   (-9300, -9900, -8200)]
    for d in differences:
        for t in shares:
            yield d, t


def cases():
    rates = [(0, 0, 90), (50, 10, 140), (60, 55, 66), (1800, 1300, 2450), (3900, 3410, 4450), (5000, 0, 10000),
             (9000, 8600, 9300), (10000, 9700, 10000)]
    for a in rates:
        for b in rates:
            yield a, b
