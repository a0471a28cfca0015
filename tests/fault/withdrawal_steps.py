"""A withdrawal that is killed at its Nth step: the call of write, sync or rename with which the core goes on, strace kills
it before (`kill -9`).

Where its first entry stands in the log, the next start finishes it unasked: all records erased, each counted once, the keys
of every chunk that held one destroyed. Where none stands, nothing has happened, and sending it again does it. So what was
promised within 72 hours needs one start in that time."""
import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'system'))

from harness import PATIENCE_S, Unit, make_registers, read_csv  # noqa: E402

CALLS = 'write,pwrite64,pwritev,fdatasync,fsync,msync,sync_file_range,ftruncate,renameat2,rename,unlink'
SLOT_LEN, DESTROYED = 64, 2


class Withdrawal:
    """A unit with a register in chunks of three records, all of which its custodian takes back."""

    def __init__(self, folder):
        self.strace = shutil.which('strace')
        assert self.strace, 'strace is needed: see deploy/dependencies.sh'
        registers = make_registers(folder / 'registers', 60, 5)
        self.unit = Unit(folder / 'unit', store_map_bytes='64M')
        with self.unit as unit:
            for source in ('prison', 'treatment'):
                batch = folder / f'{source}.batch'
                unit.encode(source, registers / f'{source}.csv', batch, '--batch-records', '3')
                unit.push(source, batch)
        self.ids = [row['record_id'] for row in read_csv(registers / 'treatment.csv')]
        self.path = folder / 'ids.txt'
        self.path.write_text(''.join(f'{i}\n' for i in self.ids))
        self.n_chunks = -(-len(self.ids) // 3)
        self.pristine = folder / 'pristine'
        shutil.copytree(self.unit.keys / 'daemon', self.pristine)
        self.kinds = {'not begun': 0, 'begun': 0, 'done': 0}

    def ask(self, check=False):
        return self.unit.as_('treatment', 'push', '--withdraw', self.path, '--record-key',
                             self.unit.keys / 'treatment' / 'record.key', '--tries', '1', check=check)

    def entries(self):
        return [e for e in self.unit.entries() if e['kind'] == 'withdrawal']

    def n_destroyed(self):
        data = (self.unit.keys / 'daemon/store/salts').read_bytes()
        return sum(data[at] == DESTROYED for at in range(SLOT_LEN, len(data), SLOT_LEN))

    def await_erased(self):
        deadline = time.monotonic() + PATIENCE_S
        while sum(e['records'] for e in self.entries()) < len(self.ids):
            assert time.monotonic() < deadline, (self.entries(), self.unit.log())
            time.sleep(0.02)

    def attach(self, n):
        """Kill the core at its nth call from now on."""
        core = self.unit.processes()[0]
        tracer = subprocess.Popen([self.strace, '-f', '-qq', '-o', '/dev/null', '-p', str(core), '-e', f'trace={CALLS}', '-e',
                                   f'inject={CALLS}:signal=SIGKILL:when={n}'], stdin=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while '\nTracerPid:\t0\n' in pathlib.Path(f'/proc/{core}/status').read_text() or not all(
                f'TracerPid:\t{tracer.pid}' in (task / 'status').read_text()
                for task in pathlib.Path(f'/proc/{core}/task').iterdir()):
            assert tracer.poll() is None and time.monotonic() < deadline, 'strace does not attach'
            time.sleep(0.01)
        return tracer

    def interrupt(self, n):
        """One run that dies at that step; False when the withdrawal was over before."""
        shutil.rmtree(self.unit.keys / 'daemon')
        shutil.copytree(self.pristine, self.unit.keys / 'daemon')
        unit = self.unit.start()
        before = len(self.entries())
        assert before == 0
        tracer = self.attach(n)
        answered = self.ask().returncode == 0
        died = unit.daemon.poll() is not None if answered else unit.daemon.wait(PATIENCE_S) != 0
        if died:
            unit.daemon.wait(PATIENCE_S)
            unit.daemon = None
        else:
            unit.kill()
        tracer.wait(PATIENCE_S)
        n_dead = self.n_destroyed()
        unit.start()
        entries = self.entries()
        if not entries:
            assert not answered and n_dead == 0, 'no key goes before the entry that tells of it'
            self.kinds['not begun'] += 1
            self.ask(check=True)
        else:
            self.kinds['done' if answered else 'begun'] += 1
        self.await_erased()                                 # nobody asked again where an entry stood
        entries = self.entries()
        assert sum(e['records'] for e in entries) == len(self.ids) and sum(e['ids'] for e in entries) == len(self.ids)
        assert sum(e['chunks'] for e in entries) == self.n_chunks
        deadline = time.monotonic() + PATIENCE_S
        while self.n_destroyed() < self.n_chunks:           # the key goes after the entry
            assert time.monotonic() < deadline, self.n_destroyed()
            time.sleep(0.02)
        unit.as_('auditor', 'audit', 'verify', '--vkey', unit.keys / 'log.vkey')
        # Nor do the records come back: the same batch is known, and a release has none of them.
        assert '0 stored records erased' in self.ask(check=True).stdout
        assert self.n_destroyed() == self.n_chunks
        assert unit.stop() == 0, unit.log()
        return died
