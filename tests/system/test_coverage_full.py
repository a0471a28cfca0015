# labels: full once
"""The intervals of corrected rates, and of their differences and ratios, over 400 releases, in which 10 to 20 % of the links are
missed, differently by arm."""
from test_coverage import coverage


def test_four_hundred_releases(tmp_path):
    arms, comparisons = coverage(tmp_path, 400, 1500, '--typos', '40', '--typos-by', 'ost=60')
    for name in ('all', 'ost', 'psychosocial', 'none'):
        arm = arms[name]
        assert arm['published'] == 400
        assert arm['covered'] >= 368 and arm['width_ratio'] <= 1.5
        assert abs(arm['corrected_percent'] - arm['true_percent']) < abs(arm['crude_percent'] - arm['true_percent'])
    for name in ('ost', 'psychosocial'):
        arm = comparisons[name]
        assert arm['published'] == 400 and arm['width_ratio'] <= 1.5
        assert arm['difference_covered'] >= 368 and arm['ratio_covered'] >= 368
        assert abs(arm['corrected_points'] - arm['true_points']) < abs(arm['crude_points'] - arm['true_points'])
        assert arm['correlation_of_errors'] > -0.1                # MOVER takes 0: too wide, not too narrow, where it is above
