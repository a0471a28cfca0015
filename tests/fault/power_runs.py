"""One recorded run of a unit, and power cuts at moments of it."""
import http.client
import os
import pathlib
import random
import shutil
import signal
import time

from history import PATIENCE_S, History, Pushers, World, finish, wait_for_port, wait_for_release
from powercut import Recording, strace_command


class RecordedWorld(World):
    def __init__(self, folder):
        super().__init__(folder)
        self.history = History()
        self.record()

    def record(self):
        self.put(self.pristine)
        unit, trace = self.unit, self.folder / 'trace'
        unit.start(wrapper=strace_command(shutil.which('strace'), trace))
        tracer = unit.daemon
        daemon = int(pathlib.Path(f'/proc/{tracer.pid}/task/{tracer.pid}/children').read_text().split()[0])
        try:
            self.first_ready = time.time()
            while self.history.release_asked is None:
                Pushers(self, self.history, random.Random(5)).join()
                assert not self.history.wrong, self.history.wrong[0]
            wait_for_release(unit)
            self.released = time.time()
        finally:
            os.kill(daemon, signal.SIGTERM)
            assert tracer.wait(PATIENCE_S) == 0, unit.log()
            unit.daemon = None
        self.recording = Recording(trace, self.data)

    def cut(self, t, rng, keep, syncs=True):
        """Power cut at t, start, check. Returns how many acknowledged batches had to be there."""
        image, unit = self.folder / 'image', self.unit
        self.recording.image(self.pristine, image, t, rng, keep, syncs)
        self.put(image)
        unit.start(ready=False)
        try:
            assert wait_for_port(unit), 'the daemon does not start:\n' + unit.log()[-300:]
            n = self.history.check(unit, until=t)
            if t >= self.released:
                assert unit.release_body() == self.body
            finish(self)
            assert unit.stop() == 0, unit.log()[-300:]
        finally:
            if unit.daemon is not None:
                if unit.daemon.poll() is None:
                    unit.kill()
                unit.daemon = None
        return n


def cut_often(world, seed, n):
    """Cuts at `n` moments; returns how many acknowledged batches all of them had to keep, together."""
    rng, kept = random.Random(seed), 0
    for i, t in enumerate(world.recording.moments(rng, n)):
        kept += world.cut(t, rng, keep=(0.0, 0.5, rng.random())[i % 3])
    return kept


def losses_without_syncing(world, seed, n):
    """The same with every sync taken back: how many of `n` cuts, late in the run, the checker calls a loss."""
    rng, losses = random.Random(seed), 0
    for t in world.recording.moments(rng, n, after=world.first_ready + (world.released - world.first_ready) / 2):
        try:
            world.cut(t, rng, keep=0.5, syncs=False)
        except (AssertionError, OSError, http.client.HTTPException):    # or it ends where it should answer
            losses += 1
    return losses
