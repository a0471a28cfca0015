# labels: full
"""The same as test_kill, at least 500 times."""
import pytest

from history import World, crash_until


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp('world'))


def test_five_hundred_kills(world):
    kills, acknowledged, epochs = crash_until(world, 2, 500)
    print(f'{kills} kills, {acknowledged} batches acknowledged between them, {epochs} releases equal')
    assert kills >= 500 and epochs >= 20
