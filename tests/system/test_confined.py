# labels: quick once
"""Both processes confine themselves once they are up, and everything still works: reload, publication, restart, stop."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from harness import PATIENCE_S, SOURCE, Unit, make_registers, sanitizers, tool, wait_for

# Sanitizers need system calls that no confined process has: daemon/base/confine.h says why.
SANITIZED = bool(sanitizers())


@pytest.fixture(scope='module')
def registers(tmp_path_factory):
    return make_registers(tmp_path_factory.mktemp('registers'), 300)


def seccomp_of(pid):
    """Mode of every thread of a process: 0 none, 2 a filter."""
    found = set()
    for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):        # a thread that has ended meanwhile
            found.add(int(re.search(r'(?m)^Seccomp:\s*(\d)', (task / 'status').read_text()).group(1)))
    return found


def use_everything(unit, registers):
    """Push, publish, query, reload the revocation list after it was replaced, ask for everything once."""
    unit.push_registers(registers)
    unit.publish()
    assert unit.as_('analyst', 'query', 'continuity_by_quarter').stdout
    assert len(unit.entries()) > 4 and unit.status()['releases'] == 1
    assert unit.request('operator', 'GET', '/metrics')[0] == 200
    assert unit.request('analyst', 'GET', '/v1/tables')[0] == 200
    n = unit.log().count('revocation list: read again')         # every start does so once
    tool('keys', 'revoke', '--ca', unit.keys / 'ca', unit.keys / 'treatment' / 'client.crt')
    unit.daemon.send_signal(signal.SIGHUP)
    wait_for(lambda: unit.log().count('revocation list: read again') > n, unit.log)


def test_both_processes_have_a_filter(tmp_path, registers):
    with Unit(tmp_path / 'unit') as unit:
        expected = {0} if SANITIZED else {2}
        for pid in unit.processes():            # the front writes its port down before it has no files any more
            wait_for(lambda: seccomp_of(pid) == expected, lambda: (seccomp_of(pid), unit.log()))
        use_everything(unit, registers)
        for pid in unit.processes():
            assert seccomp_of(pid) == expected, 'every thread made since has it too'
        unit.restart()
        assert unit.status()['releases'] == 1


def test_off_is_off(tmp_path):
    """Control: what the test above sees is the daemon's doing."""
    with Unit(tmp_path / 'unit', confinement='off') as unit:
        for pid in unit.processes():
            assert seccomp_of(pid) == {0}


def test_nothing_it_needs_is_refused(tmp_path, registers):
    """A whole day's work under a tracer: after the filters are in place the kernel refuses no call."""
    if SANITIZED:
        pytest.skip('a build with a sanitizer has no filter to try')
    strace = shutil.which('strace')
    if strace is None:
        pytest.skip('strace is not installed: cannot see what is refused')
    trace = tmp_path / 'trace'
    unit = Unit(tmp_path / 'unit')
    unit.start(wrapper=[strace, '-f', '-qq', '-Z', '-o', trace, '-e', 'signal=none'])
    wait_for(lambda: 'listening on' in unit.log(), unit.log)
    children = pathlib.Path(f'/proc/{unit.daemon.pid}/task/{unit.daemon.pid}/children').read_text().split()
    daemon = int(children[0])
    tracer, unit.daemon = unit.daemon, Traced(unit.daemon, daemon)
    try:
        use_everything(unit, registers)
    finally:
        os.kill(daemon, signal.SIGTERM)
        assert tracer.wait(PATIENCE_S) == 0, unit.log()
        unit.daemon = None
    text = trace.read_text()
    assert 'ENOENT' in text or 'EAGAIN' in text, 'control: failed calls are seen'
    # The limit on locked memory is raised before, as far as whoever starts the daemon may.
    refused = [line for line in text.splitlines() if re.search(' (EPERM|EACCES) ', line) and 'MEMLOCK' not in line]
    assert not refused, refused[:10]


class Traced:
    """The daemon below its tracer: signals go to the daemon."""

    def __init__(self, tracer, pid):
        self.tracer, self.pid = tracer, pid

    def send_signal(self, number):
        os.kill(self.pid, number)

    def poll(self):
        return self.tracer.poll()


# ---- the unit file ----

UNIT_FILE = SOURCE / 'deploy' / 'throughcared.service'


def need_systemd_analyze():
    if shutil.which('systemd-analyze') is None:
        pytest.skip('systemd-analyze is not installed: the unit file cannot be scored')


def test_unit_file_scores(tmp_path):
    need_systemd_analyze()
    done = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--threshold=15', '--no-pager', UNIT_FILE],
                          capture_output=True, text=True)
    score = re.search(r'Overall exposure level for \S+: ([\d.]+)', done.stdout)
    assert score and float(score.group(1)) <= 1.5 and done.returncode == 0, done.stdout[-400:] + done.stderr
    weak = tmp_path / 'weak.service'
    weak.write_text('\n'.join(line for line in UNIT_FILE.read_text().splitlines()
                              if not line.startswith(('SystemCallFilter', 'CapabilityBoundingSet'))))
    done = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--threshold=15', '--no-pager', weak],
                          capture_output=True, text=True)
    assert done.returncode != 0, 'control: the threshold bites'


def calls_in(group):
    """System calls of a group of systemd, with the groups in it."""
    done = subprocess.run(['systemd-analyze', 'syscall-filter', '--no-pager', group], capture_output=True, text=True,
                          check=True)
    found = set()
    for word in (line.strip() for line in done.stdout.splitlines()[1:]):
        if word.startswith('@'):
            found |= calls_in(word)
        elif word and not word.startswith('#'):
            found.add(word)
    return found


def test_unit_file_allows_what_the_daemon_does():
    """Lists of a unit are a filter as well: what the daemon needs, and what it confines itself with, must pass it."""
    need_systemd_analyze()
    allowed = calls_in('@default')
    for line in UNIT_FILE.read_text().splitlines():
        if not line.startswith('SystemCallFilter='):
            continue
        words = line.split('=', 1)[1]
        remove, words = words.startswith('~'), words.lstrip('~').split()
        named = set().union(*(calls_in(w) if w.startswith('@') else {w} for w in words))
        allowed = allowed - named if remove else allowed | named
    assert 'openat' in allowed and 'ptrace' not in allowed, 'control'
    source = (SOURCE / 'daemon' / 'base' / 'confine_calls.c').read_text()
    lists = re.findall(r'calls_of_\w+\[\] = \{(.*?)\};', source, re.S)
    needed = {name for text in lists for name in re.findall(r'"(\w+)"', text)}
    assert len(lists) == 4 and len(needed) > 60
    needed |= {'mmap', 'mprotect', 'prctl', 'clone', 'socket', 'prlimit64', 'seccomp', 'landlock_create_ruleset',
               'landlock_add_rule', 'landlock_restrict_self', 'socketpair', 'capget', 'close_range',
               'bind', 'listen', 'mkdir', 'epoll_create1'}
    old = {'fcntl64', 'fstat64', '_llseek', 'fstatat64', 'fstatfs64', 'ftruncate64', 'stat64', 'statfs64', 'waitpid', 'recv',
           'send', 'sigreturn'}
    assert not needed - allowed - old, sorted(needed - allowed - old)
