# labels: full
"""The same as test_power, at 200 moments of each of two runs."""
import shutil

import pytest

from power_runs import RecordedWorld, cut_often, losses_without_syncing

pytestmark = pytest.mark.skipif(shutil.which('strace') is None, reason='strace is not installed: cannot record a run')


@pytest.mark.parametrize('seed', [3, 4])
def test_power_cuts(tmp_path, seed):
    world = RecordedWorld(tmp_path / 'world')
    kept = cut_often(world, seed, 200)
    lost = losses_without_syncing(world, seed, 20)
    print(f'200 power cuts, {kept} acknowledged batches there; without syncing {lost} of 20 lost something')
    assert kept > 400 and lost >= 18
