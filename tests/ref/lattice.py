"""Tables whose common margins are made to agree, a reference for daemon/stats/consistent.c and proto/lattice.c.

Nothing of the decomposition that the C code uses: the least-squares estimate comes from the normal equations of the full
cross of all dimensions, in fractions, solved by elimination; the variances are the diagonal of its covariance. Integers at
the end: running sums of each table, rounded (halves up), and differences of neighbours.
"""
import itertools
import json
import pathlib
import sys
from fractions import Fraction
from math import floor

VECTORS = pathlib.Path(__file__).parents[1] / 'data/vectors/lattice.json'


def solve(matrix, columns):
    """Solve matrix x = column for each column; free unknowns are 0 (the margins do not depend on them)."""
    n, rows = len(matrix), [list(map(Fraction, a)) + list(map(Fraction, b)) for a, b in zip(matrix, columns)]
    pivots = []
    for c in range(n):
        found = next((r for r in range(len(pivots), n) if rows[r][c] != 0), None)
        if found is None:
            continue
        at = len(pivots)
        rows[at], rows[found] = rows[found], rows[at]
        rows[at] = [v / rows[at][c] for v in rows[at]]
        for r in range(n):
            if r != at and rows[r][c] != 0:
                rows[r] = [v - rows[r][c] * w for v, w in zip(rows[r], rows[at])]
        pivots.append(c)
    x = [[Fraction(0)] * len(columns[0]) for _ in range(n)]
    for at, c in enumerate(pivots):
        x[c] = rows[at][n:]
    return x


def least_squares(codes, tables, noisy):
    """codes: number of codes of each dimension; tables: (dimensions, sigma2); noisy: counts of each table, last dimension
    fastest. Returns the estimates and the variance of a cell of each table."""
    cells = list(itertools.product(*map(range, codes)))
    rows_of = [list(itertools.product(*(range(codes[d]) for d in by))) for by, _ in tables]
    at = [[rows.index(tuple(cell[d] for d in by)) for cell in cells] for (by, _), rows in zip(tables, rows_of)]
    normal = [[sum(Fraction(1, s2) for t, (_, s2) in enumerate(tables) if at[t][i] == at[t][j]) for j in range(len(cells))]
              for i in range(len(cells))]
    right = [[sum(Fraction(noisy[t][at[t][i]], s2) for t, (_, s2) in enumerate(tables))]
             + [Fraction(int(at[t][i] == 0)) for t in range(len(tables))] for i in range(len(cells))]
    x = solve(normal, right)
    estimates = [[sum((x[i][0] for i in range(len(cells)) if at[t][i] == r), Fraction(0)) for r in range(len(rows))]
                 for t, rows in enumerate(rows_of)]
    variances = [sum(x[i][1 + t] for i in range(len(cells)) if at[t][i] == 0) for t in range(len(tables))]
    return estimates, variances


def to_integers(codes, by, estimate):
    shape = [codes[d] for d in by]
    places = list(itertools.product(*map(range, shape)))
    value = dict(zip(places, estimate))
    sums = {p: floor(sum(v for q, v in value.items() if all(a <= b for a, b in zip(q, p))) + Fraction(1, 2))
            for p in places}
    result = []
    for p in places:
        result.append(sum((-1) ** sum(step) * sums[tuple(a - b for a, b in zip(p, step))]
                          for step in itertools.product((0, 1), repeat=len(p)) if all(a >= b for a, b in zip(p, step))))
    return result


CASES = [
    ([3, 2], [([], 10), ([0], 10), ([0, 1], 10)]),
    ([4, 3], [([0], 4), ([1], 9), ([1, 0], 16)]),
    ([3, 3, 2], [([0, 1], 5), ([1, 2], 8), ([0, 2], 2)]),
    ([2, 3, 4], [([0], 3), ([1], 3), ([2], 7), ([], 1)]),
    ([3, 2, 2], [([2, 0, 1], 6), ([0, 1], 12), ([2], 1)]),
]


def cases():
    state = 20260101
    for codes, tables in CASES:
        for _ in range(3):
            noisy = []
            for by, _ in tables:
                n, counts = 1, []
                for d in by:
                    n *= codes[d]
                for _ in range(n):
                    state = (state * 6364136223846793005 + 1442695040888963407) % 2 ** 64
                    counts.append((state >> 33) % 61 - 10)
                noisy.append(counts)
            yield codes, tables, noisy


def vectors():
    result = []
    for codes, tables, noisy in cases():
        estimates, variances = least_squares(codes, tables, noisy)
        result.append({'codes': codes, 'by': [list(by) for by, _ in tables], 'sigma2': [s2 for _, s2 in tables],
                       'noisy': noisy, 'variance_micro': [int(v * 1000000) for v in variances],
                       'integers': [to_integers(codes, by, e) for (by, _), e in zip(tables, estimates)]})
    return result


if __name__ == '__main__':
    json.dump(vectors(), sys.stdout)
    print()
