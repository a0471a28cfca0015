# labels: quick once
"""kill -9 at random moments of start, push, comparison and publication: a few dozen here, hundreds in test_kill_often."""
import pytest

from history import World, crash_until


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp('world'))


def test_kills(world):
    kills, acknowledged, epochs = crash_until(world, 1, 30)
    print(f'{kills} kills, {acknowledged} batches acknowledged between them, {epochs} releases equal')
    assert kills >= 30 and acknowledged > 10 and epochs >= 2
