# labels: full
"""The same as test_rotate_kill, 120 times, from an empty store after each dozen: so that batches, comparison and publication are
under way too."""
import random

import pytest

from history import World
from rotation_runs import rotation_epoch


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp('world'))


def test_kills_during_rotation(world):
    rng = random.Random(6)
    kills, during, acknowledged = (sum(figures) for figures in zip(*(rotation_epoch(world, rng, 12) for _ in range(10))))
    print(f'{kills} kills, {during} of them with a rotation under way, {acknowledged} batches acknowledged between them')
    assert kills == 120 and during >= 30
