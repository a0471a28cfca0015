# labels: full once
"""10,000 random pairs of study and record, the whole way of a study: C equals the Python reference."""
import shutil

import study_pairs

N_PAIRS, N_RECORDS, FIRST_SEED = 10_000, 40, 1000


def test_ten_thousand_pairs(tmp_path):
    n_pairs = n_refused = 0
    for seed in range(FIRST_SEED, FIRST_SEED + N_PAIRS // N_RECORDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        n, refused = study_pairs.check(folder, seed, N_RECORDS)
        shutil.rmtree(folder)
        n_pairs, n_refused = n_pairs + n, n_refused + refused
    print(f'{n_pairs} pairs, {n_refused} of them refused by both')
    assert n_pairs >= N_PAIRS and n_refused < n_pairs / 2
