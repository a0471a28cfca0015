"""Runs of the daemon in which the kernel fails it: strace makes the Nth call of a kind return an error.

Whatever fails, the daemon may refuse, or stop, or refuse to start; it may not crash, and once the kernel behaves again
everything it acknowledged is there once and the release is that of an undisturbed run.
"""
import contextlib
import os
import pathlib
import random
import shutil
import signal

from history import PATIENCE_S, AssertLimit, History, Pushers, finish, wait_for_port, wait_for_release


def traced_daemon(tracer):
    with contextlib.suppress(OSError, IndexError):
        return int(pathlib.Path(f'/proc/{tracer.pid}/task/{tracer.pid}/children').read_text().split()[0])
    return None


def stop_traced(unit):
    """SIGTERM to the daemon below the tracer; returns the tracer's exit status, which is the daemon's."""
    tracer = unit.daemon
    pid = traced_daemon(tracer)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    status = tracer.wait(PATIENCE_S)
    unit.daemon = None
    return status


def run_with(world, inject, seed=1):
    """One run with that injection, then one without. Returns (what happened, batches acknowledged under it)."""
    world.put(world.pristine)
    unit, history = world.unit, History(may_fail=True)
    log_before = len(unit.log())
    unit.start(ready=False, wrapper=[shutil.which('strace'), '-f', '-qqq', '-o', '/dev/null', '-e', 'trace=' +
                                     inject.split(':')[0], '-e', f'inject={inject}', '-e', 'signal=none'])
    started = wait_for_port(unit)
    if started:
        Pushers(world, history, random.Random(seed)).join()
        if history.release_asked is not None:
            with contextlib.suppress(OSError, AssertLimit):
                wait_for_release(unit, 20)
    status = stop_traced(unit)
    said = unit.log()[log_before:]
    assert status is not None and 0 <= status < 128, f'{inject}: ended by a signal, {status}:\n{said[-600:]}'
    assert 'Sanitizer' not in said, said[-3000:]
    assert not history.wrong, (inject, history.wrong[0])
    unit.start()
    history.check(unit)
    finish(world)
    assert unit.stop() == 0, unit.log()
    what = 'refused to start' if not started else 'stopped' if status != 0 else 'failed some' if history.failed else 'went on'
    return what, len(history.receipts)
