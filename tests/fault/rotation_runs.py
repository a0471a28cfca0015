"""kill -9 during rotations of the sealing key, under load: nothing acknowledged is lost, while the rotation is not done
either key opens the store, when it is done the new one alone does, and the release is that of an undisturbed run."""
import itertools
import json
import random
import shutil
import time

from history import History, Pushers, finish, kill_hard, wait_for_port
from harness import PATIENCE_S, tool  # noqa: I001: history.py puts it into the path

KEY_REFUSED = 78
numbers = itertools.count(1)    # of new keys, whose files are never overwritten


class Ring:
    """The sealing key in use and, while a rotation lasts or may last, the one that follows it."""

    def __init__(self, unit):
        self.unit, self.path = unit, unit.keys / 'daemon' / 'seal.key'
        self.old, self.next = self.path.read_text(), None

    def put(self, text):
        self.path.write_text(text)

    def begin(self):
        """Ask for a rotation, the one that was asked for before if it may be under way."""
        if self.next is None:
            n = next(numbers)
            new = self.unit.folder / f'seal-{n}.key'
            current = self.unit.folder / f'current-{n}.key'
            shutil.copy2(self.path, current)
            current.write_text(self.old)
            tool('keys', 'rotate', '--seal', current, '-o', new)
            self.next = new.read_text()
            self.handover = new.with_suffix('.key.handover').read_text().strip()
        code, _, body = self.unit.request('operator', 'POST', '/v1/keys', json.dumps({'handover': self.handover}),
                                          {'Content-Type': 'application/json'})
        return code, body

    def in_file(self):
        path = self.unit.keys / 'daemon' / 'store' / 'rotation'
        return path.exists() and any(path.read_bytes())     # zeros: the rotation was done, and the file being removed

    def start(self, rng):
        """With either key while there is a choice; returns whether the rotation is still to be done."""
        choices = [self.old] if self.next is None else rng.sample([self.old, self.next], 2)
        both = self.in_file()
        self.put(choices[0])
        self.unit.start(ready=False)
        if not wait_for_port(self.unit):
            assert self.unit.daemon.wait() == KEY_REFUSED and len(choices) == 2 and not both, self.unit.log()
            self.put(choices[1])
            self.unit.start()
            choices.reverse()
        if not both and self.next is not None:
            if choices[0] == self.next:
                self.old = self.next
                self.next = None
        return both


def rotation_epoch(world, rng, n_kills):
    """From an empty store to a checked release. Returns (kills, those with a rotation under way, batches acknowledged)."""
    unit, history = world.unit, History()
    world.put(world.pristine)
    ring = Ring(unit)
    during = 0
    for _ in range(n_kills):
        ring.start(rng)
        pushers = Pushers(world, history, rng)
        code, body = ring.begin()
        if code == 400:                                     # what the last kill interrupted is done by now
            ring.old, ring.next = ring.next, None
            code, body = ring.begin()
        assert code in (202, 409), body                     # 409: it goes on from before the last kill
        time.sleep(rng.uniform(0, 0.06))
        assert unit.daemon.poll() is None, unit.log()
        kill_hard(unit)
        pushers.join()
        assert not history.wrong, history.wrong[0]
        during += ring.in_file()
    ring.start(rng)
    deadline = time.monotonic() + PATIENCE_S
    while unit.status()['sealing']['rotating']:
        assert time.monotonic() < deadline, unit.log()
        time.sleep(0.02)
    history.check(unit)
    finish(world)
    assert unit.stop() == 0, unit.log()
    assert not ring.in_file()
    if ring.next is not None:                               # the last one was finished after the last start
        ring.put(ring.old)
        unit.start(ready=False)
        if not wait_for_port(unit):
            assert unit.daemon.wait() == KEY_REFUSED
            ring.put(ring.next)
            unit.start()
        assert unit.stop() == 0, unit.log()
    return n_kills, during, len(history.receipts)
