# labels: quick once threads
"""A release is a function of the records at the cut, the study, the keys, the release number and the as-of date alone.

The same records are pushed in other batch sizes, in other orders, with restarts and a kill -9 in between, compared by
every kernel this processor has, with other numbers of threads: with the release secret injected, the body of the
release is the same byte for byte.
"""
import itertools
import random
import re
import secrets

import pytest

from harness import PATIENCE_S, STUDY, Unit, batches_of, make_registers, read_csv, tool, wait_for, write_csv

AS_OF = '2026-01-31'
CPU_FLAGS = open('/proc/cpuinfo').read()
KERNELS = ['scalar'] + (['avx2'] if ' avx2 ' in CPU_FLAGS else []) + (['avx512'] if ' avx512_vpopcntdq' in CPU_FLAGS else [])


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """One key set for all runs: keys are an input of the release."""
    folder = tmp_path_factory.mktemp('world')
    registers = make_registers(folder / 'registers', 500, 7)
    (folder / 'release.secret').write_text(f'throughcare-release-v1:{secrets.token_hex(32)}\n')
    (folder / 'release.secret').chmod(0o600)
    first = Unit(folder / 'first')
    return folder, registers, first


class Run(Unit):
    """The key set of the first unit with a store and a log of its own."""

    def __init__(self, world, name, **conf):
        folder, self.registers, first = world
        super().__init__(folder / name, like=first, test_release_secret=folder / 'release.secret', **conf)

    def pieces(self, source, batch_records, rows=None):
        path = self.registers / f'{source}.csv'
        if rows is not None:
            path = self.folder / f'{source}-{len(list(self.folder.iterdir()))}.csv'
            write_csv(path, rows)
        out = self.folder / f'{source}.batch'
        out.unlink(missing_ok=True)
        self.encode(source, path, out, '--batch-records', batch_records)
        return [(source, piece) for piece in batches_of(out)]

    def send(self, pieces):
        for source, piece in pieces:
            code, _, body = self.post_batch(source, piece)
            assert code in (200, 201), body

    def released(self):
        self.publish('--as-of', AS_OF)
        return self.release_body()


@pytest.fixture(scope='module')
def reference(world):
    with Run(world, 'reference') as unit:
        unit.send(unit.pieces('prison', 4096) + unit.pieces('treatment', 4096))
        body = unit.released()
    assert b'"tables"' in body and b'"injected"' in body
    return body


def test_small_batches_in_another_order(world, reference):
    with Run(world, 'shuffled') as unit:
        rng = random.Random(5)
        pieces = []
        for source in ('prison', 'treatment'):
            rows = read_csv(unit.registers / f'{source}.csv')
            rng.shuffle(rows)
            pieces += unit.pieces(source, 37, rows)
        rng.shuffle(pieces)
        unit.send(pieces)
        assert unit.released() == reference


def test_one_revision_twice_with_other_events(world):
    """Two batches hold the same record numbers and identifiers with other days: which one counts is not who came first."""
    bodies = []
    for name in ('a-b', 'b-a'):
        with Run(world, f'tie-{name}') as unit:
            rows = read_csv(unit.registers / 'prison.csv')
            moved = [{**row, 'event_date': row['event_date'][:8] + '15'} for row in rows]
            pieces = [unit.pieces('prison', 4096, rows), unit.pieces('prison', 4096, moved)]
            for piece in pieces if name == 'a-b' else reversed(pieces):
                unit.send(piece)
            unit.send(unit.pieces('treatment', 4096))
            bodies.append(unit.released())
    assert bodies[0] == bodies[1]


def test_restart_and_kill_in_between(world, reference):
    with Run(world, 'restarted') as unit:
        pieces = unit.pieces('treatment', 90) + unit.pieces('prison', 90)
        third = len(pieces) // 3
        unit.send(pieces[:third])
        unit.restart()
        unit.send(pieces[third:2 * third])
        unit.kill()
        unit.start()
        unit.send(pieces[third:])               # a part is known already
        unit.restart()
        assert unit.released() == reference


def test_killed_while_comparing(world, reference):
    """kill -9 in the middle of a first load: comparing goes on from the last durable slice, to the same release."""
    with Run(world, 'killed', compare_step_pairs='1M', worker_threads=1) as unit:
        unit.send(unit.pieces('treatment', 4096) + unit.pieces('prison', 4096))
        wait_for(lambda: unit.status()['comparing']['comparisons_done'] > 0, unit.log)
        unit.kill()
        unit.start()
        assert unit.released() == reference
        comparing = unit.status()['comparing']
        assert comparing['comparisons_left'] == comparing['seconds_left'] == comparing['pending_records'] == 0
        goes_on = [int(n) for n in re.findall(r'domain main: (\d+) records are compared already', unit.log())]
        assert goes_on and goes_on[-1] > 0
        assert ' pairs' not in unit.log()           # a figure of linkage is nobody's, not even the operator's


@pytest.mark.parametrize('kernel,threads', list(itertools.product(KERNELS, (1, 4))))
def test_kernels_and_threads(world, reference, kernel, threads):
    with Run(world, f'{kernel}-{threads}', link_kernel=kernel, worker_threads=threads) as unit:
        assert unit.status()['kernel'] == kernel
        unit.send(unit.pieces('treatment', 200) + unit.pieces('prison', 1000))
        assert unit.released() == reference


def test_another_secret_gives_other_noise(world, reference, tmp_path):
    (tmp_path / 'other').write_text('throughcare-release-v1:' + '11' * 32 + '\n')
    (tmp_path / 'other').chmod(0o600)
    with Run(world, 'other-secret') as unit:
        unit.stop()
        unit.configure(test_release_secret=tmp_path / 'other')
        unit.start()
        unit.send(unit.pieces('prison', 4096) + unit.pieces('treatment', 4096))
        assert unit.released() != reference


def test_an_injected_secret_needs_a_synthetic_study(world, tmp_path):
    study = tmp_path / 'study.yaml'
    study.write_text(STUDY.read_text().replace('synthetic: true', 'synthetic: false'))
    unit = Unit(tmp_path / 'unit', study, test_release_secret=world[0] / 'release.secret')
    unit.start(ready=False)
    assert unit.daemon.wait(PATIENCE_S) == 78
    assert 'synthetic' in unit.log()


def test_the_study_says_synthetic_in_every_output(reference):
    assert b'"synthetic":true' in reference
    tool('study', 'check', STUDY)
