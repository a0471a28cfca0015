"""Some random pairs of study and record, the whole way of a study: C equals the Python reference (10,000 with --full)."""
import study_pairs


def test_studies(tmp_path):
    n_refused = 0
    for seed in range(8):
        (tmp_path / str(seed)).mkdir()
        n_refused += study_pairs.check(tmp_path / str(seed), seed, 25)[1]
    assert 0 < n_refused < 150
