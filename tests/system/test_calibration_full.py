# labels: full
"""Expected precision and recall against the truth, on 20 random cuts of two labelled registers to 5 % overlap: minutes."""
import pytest

from test_calibration import check


@pytest.mark.parametrize('name', ['febrl4', 'census_cis'])
def test_twenty_cuts(tmp_path, name):
    check(tmp_path, name, 20)
