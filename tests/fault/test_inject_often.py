# labels: full
"""As test_inject: each of these calls at each of these places, once and from then on (but for
accept4: nobody gets in as long as it fails, and clients wait)."""
import itertools
import shutil

import pytest

from history import World
from injection import run_with

pytestmark = pytest.mark.skipif(shutil.which('strace') is None, reason='strace is not installed: cannot make calls fail')

KINDS = {'fdatasync': ['EIO', 'ENOSPC'], 'fsync': ['EIO'], 'pwrite64': ['EIO', 'ENOSPC'], 'writev': ['EIO', 'ENOSPC'],
         'write': ['EIO'], 'renameat': ['EIO'], 'openat': ['EMFILE'], 'pread64': ['EIO'], 'getrandom': ['EIO'],
         'mmap': ['ENOMEM'], 'clone': ['EAGAIN'], 'accept4': ['EMFILE'], 'statfs': ['EIO'], 'lseek': ['EIO']}
PLACES = [*range(1, 7), 9, 14, 30]
# The first are the dynamic loader's, which does not look whether they fail.
MMAP_PLACES = [60, 70, 80, 90, 100, 120, 140, 160, 200]


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp('world'))


@pytest.mark.parametrize('call', KINDS)
def test_call(world, call):
    results = [run_with(world, f'{call}:error={error}:when={place}{on}')
               for error, place, on in itertools.product(KINDS[call], MMAP_PLACES if call == 'mmap' else PLACES,
                                                        ('',) if call == 'accept4' else ('', '+'))]
    print(call, {what: sum(w == what for w, _ in results) for what, _ in results})
    assert any(what != 'went on' for what, _ in results) or call in ('accept4', 'lseek')
