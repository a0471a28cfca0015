# labels: quick once
"""kill -9 during rotations of the sealing key (rotation_runs.py): a dozen here, more in test_rotate_kill_often."""
import random

import pytest

from history import World
from rotation_runs import rotation_epoch


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp('world'))


def test_kills_during_rotation(world):
    kills, during, acknowledged = rotation_epoch(world, random.Random(5), 12)
    print(f'{kills} kills, {during} of them with a rotation under way, {acknowledged} batches acknowledged')
