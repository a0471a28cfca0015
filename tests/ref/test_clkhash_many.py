# labels: full
"""10,000 random pairs of schema and record: the C encoder equals the Python reference bit for bit on every one."""
import random

import clkhash_ref
from test_clkhash import encode_with_c, random_schema

N_PAIRS, N_RECORDS, FIRST_SEED = 10_000, 6, 100_000


def test_ten_thousand_pairs(tmp_path):
    n_pairs = n_schemas = 0
    seed = FIRST_SEED
    while n_pairs < N_PAIRS:
        rng = random.Random(seed)
        seed += 1
        schema, makers = random_schema(rng)
        secret = rng.randbytes(rng.randint(1, 100))
        good = []
        for record in [[make() for make in makers] for _ in range(N_RECORDS)]:
            try:
                good.append((record, clkhash_ref.encode(schema, secret, record)))
            except (clkhash_ref.Invalid, UnicodeEncodeError, ValueError):
                continue
        if not good:
            continue
        got = encode_with_c(tmp_path, schema, secret, [record for record, _ in good])
        assert got == [clk for _, clk in good], f'seed {seed - 1}'
        n_pairs += len(good)
        n_schemas += 1
    print(f'{n_pairs} pairs of {n_schemas} schemas')
    assert n_schemas > 1000
