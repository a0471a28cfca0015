# labels: quick once
"""Power cuts at moments of a recorded run: a dozen here, hundreds in test_power_often; and what happens without syncing."""
import shutil

import pytest

from power_runs import RecordedWorld, cut_often, losses_without_syncing

pytestmark = pytest.mark.skipif(shutil.which('strace') is None, reason='strace is not installed: cannot record a run')


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return RecordedWorld(tmp_path_factory.mktemp('world'))


def test_power_cuts(world):
    assert cut_often(world, 1, 12) > 20, 'control: there was something to lose'


def test_control_without_syncing(world):
    assert losses_without_syncing(world, 2, 4) == 4
