# labels: full
"""What a profile costs on the larger register, and at the lower of the floors: minutes."""
from test_profiles import LOW, SHIPPED, check


def test_febrl4():
    check('febrl4', 4, 0.997, [LOW])


def test_census():
    check('census_cis', 3, 0.995, [SHIPPED, LOW])
