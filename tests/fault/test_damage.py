# labels: full
"""Bits of the store flipped, one to 32 at a time: the daemon does not start, or says that it cannot answer, or answers as if
nothing were (the bit was not in use, or not for this). It never gives a wrong answer: a receipt that damage has hidden is
made anew, with a newer checkpoint, and says and proves the same."""
import json
import random
import shutil

import pytest

from history import History, World, ask_for_release, kill_hard, wait_for_port, wait_for_release
from harness import tool               # history says where it is

N_FLIPS = 24


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp('world'))


def flip(path, rng, n=1):
    """One random bit, in each of `n` equal parts of the file."""
    data = bytearray(path.read_bytes())
    part = len(data) // n
    for i in range(n):
        data[i * part + rng.randrange(part)] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def same_receipt(unit, answer, receipt):
    """The very bytes, or another proof of the same entry at the same place, which the log's key verifies."""
    if answer == receipt:
        return True
    now, then = json.loads(answer), json.loads(receipt)
    now.pop('proof'), then.pop('proof')
    (unit.folder / 'anew.receipt').write_bytes(answer)
    return now == then and tool('audit', 'proof', unit.folder / 'anew.receipt', '--vkey', unit.keys / 'log.vkey',
                                check=False).returncode == 0


def answers(unit, history, body):
    """Everything asked again; returns how many answers were refused. A wrong answer is a failure."""
    refused = 0
    for key, receipt in history.receipts.items():
        code, _, answer = unit.post_batch(*key)
        assert code >= 500 or (code == 200 and same_receipt(unit, answer, receipt)), (code, answer)
        refused += code >= 500
    for path in [f'/audit/release/{digest}' for digest in history.digests]:
        code, _, answer = unit.request('auditor', 'GET', path)
        assert code >= 500 or (code, answer) == (200, body), code
        refused += code >= 500
    return refused


def test_flipped_bits(world):
    unit, history, rng = world.unit, History(), random.Random(7)
    world.put(world.pristine)
    with unit:
        for key in world.pieces:
            code, _, body = unit.post_batch(*key)
            history.answered(key, code, body)
        assert ask_for_release(unit)[0] == 202
        wait_for_release(unit)
        history.digests = [e['digest'] for e in unit.entries() if e['kind'] == 'release']
    whole = world.folder / 'whole'
    shutil.copytree(world.data, whole)
    refused_start = refused_answer = unharmed = 0
    for i in range(N_FLIPS):
        world.put(whole)
        # One bit rarely hits what a start or an answer reads; towards the end it is more of them.
        flip(world.data / 'store' / ('salts' if i % 8 == 7 else 'data.mdb'), rng, 1 << (i // 4))
        unit.start(ready=False)
        if not wait_for_port(unit):
            assert unit.daemon.returncode != 0
            unit.daemon, refused_start = None, refused_start + 1
            continue
        try:
            refused = answers(unit, history, world.body)
        except OSError:
            refused = 1                              # it ended rather than answer
        refused_answer += refused > 0
        unharmed += refused == 0
        if unit.daemon.poll() is None:
            kill_hard(unit)
        unit.daemon = None
    print(f'{N_FLIPS} damaged stores: {refused_start} starts refused, {refused_answer} refused answers, {unharmed} not in use')
    assert refused_start >= 3 and unharmed >= 3, 'control: damage in use is found, and not all of it is in use'
