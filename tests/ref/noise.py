"""Exact discrete Laplace and discrete Gaussian samples, a reference for daemon/stats/noise.c.

Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020), algorithms 1 to 3, over a
deterministic stream of bits: block c is SHA-256(seed || be32(c)), bits are taken most significant first. Rational
arithmetic only; every fraction is in lowest terms, which fixes how many bits a trial takes.
"""
import hashlib
from fractions import Fraction
from math import isqrt


class Bits:
    def __init__(self, seed):
        self.seed, self.block, self.bits = seed, 0, ''

    def bit(self):
        if not self.bits:
            digest = hashlib.sha256(self.seed + self.block.to_bytes(4, 'big')).digest()
            self.bits = ''.join(f'{byte:08b}' for byte in digest)
            self.block += 1
        first, self.bits = self.bits[0], self.bits[1:]
        return int(first)

    def uniform(self, m):
        """Uniform on 0 ... m-1 by rejection; m = 1 takes no bits."""
        while True:
            value = 0
            for _ in range((m - 1).bit_length()):
                value = value << 1 | self.bit()
            if value < m:
                return value


def bernoulli(p, bits):
    return bits.uniform(p.denominator) < p.numerator


def bernoulli_exp(x, bits):
    """True with probability exp(-x)."""
    while x > 1:
        if not bernoulli_exp_unit(Fraction(1), bits):
            return False
        x -= 1
    return bernoulli_exp_unit(x, bits)


def bernoulli_exp_unit(x, bits):
    k = 1
    while bernoulli(x / k, bits):
        k += 1
    return k % 2 == 1


def discrete_laplace(scale, bits):
    """P(v) proportional to exp(-|v| / scale), for a positive rational scale."""
    x = 1 / Fraction(scale)
    while True:
        negative = bernoulli(Fraction(1, 2), bits)
        while True:
            u = bits.uniform(x.denominator)
            if bernoulli_exp(Fraction(u, x.denominator), bits):
                break
        v = 0
        while bernoulli_exp(Fraction(1), bits):
            v += 1
        magnitude = (v * x.denominator + u) // x.numerator
        if not (negative and magnitude == 0):
            return -magnitude if negative else magnitude


def discrete_gaussian(sigma2, bits):
    """P(v) proportional to exp(-v^2 / (2 sigma2)), for a positive rational sigma2."""
    sigma2 = Fraction(sigma2)
    t = isqrt(sigma2.numerator // sigma2.denominator) + 1
    while True:
        candidate = discrete_laplace(t, bits)
        if bernoulli_exp((abs(candidate) - sigma2 / t) ** 2 / (2 * sigma2), bits):
            return candidate
