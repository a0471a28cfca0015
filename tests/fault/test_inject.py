# labels: quick once
"""The kernel fails the daemon: the Nth call of a kind returns an error, once or from then on. A sample here; every kind at
every place in test_inject_often."""
import shutil

import pytest

from history import World
from injection import run_with

pytestmark = pytest.mark.skipif(shutil.which('strace') is None, reason='strace is not installed: cannot make calls fail')

SAMPLE = ['fdatasync:error=EIO:when=5', 'fdatasync:error=EIO:when=6+', 'fsync:error=EIO:when=4', 'pwrite64:error=ENOSPC:when=9',
          'writev:error=EIO:when=5', 'renameat:error=EIO:when=2', 'getrandom:error=EIO:when=10+', 'mmap:error=ENOMEM:when=100+',
          'openat:error=EMFILE:when=4+', 'accept4:error=EMFILE:when=2']


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp('world'))


def test_sample(world):
    results = [run_with(world, inject) for inject in SAMPLE]
    seen = {what for what, _ in results}
    assert {'stopped', 'went on'} <= seen, f'control: the injections reach the daemon, {results}'
    assert sum(n for _, n in results) > 20
