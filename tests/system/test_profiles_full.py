# labels: full
"""What a profile costs on the larger register: minutes."""
from test_profiles import check


def test_census():
    check('census_cis', 3, 0.995)
