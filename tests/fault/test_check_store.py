# labels: quick once
"""throughcared --check-store: what damage took is named, by batch, entry and release; a whole store is called whole."""
import random
import shutil
import subprocess

import pytest

from history import History, Line, World, ask_for_release, wait_for_release
from harness import PATIENCE_S, THROUGHCARED


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp('world'), persons=120, least_pieces=8)
    world.put(world.pristine)
    with world.unit as unit:
        with Line(unit) as line:
            for key in world.pieces:
                assert line.post_batch(*key)[0] == 201
        assert ask_for_release(unit)[0] == 202
        wait_for_release(unit)
        world.batches = [(e['source'], e['batch']) for e in unit.entries() if e['kind'] == 'batch']
        assert run(unit).returncode == 65, 'the store of a running daemon is left alone'
    world.whole = world.folder / 'whole'
    shutil.copytree(world.data, world.whole)
    return world


def run(unit):
    return subprocess.run([THROUGHCARED, '-c', unit.conf_path, '--check-store'], capture_output=True, text=True,
                          timeout=PATIENCE_S)


def flip(path, at, bit=0):
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def test_a_whole_store(world):
    world.put(world.whole)
    done = run(world.unit)
    assert done.returncode == 0 and 'nothing is lost' in done.stdout and '0 do not open' in done.stdout, done
    assert f'records of {len(world.batches)} batches' in done.stdout


def test_a_lost_key_names_its_batch(world):
    world.put(world.whole)
    flip(world.data / 'store' / 'salts', 64 + 3 * 64 + 40)      # the key of the fourth chunk
    done = run(world.unit)
    source, batch = world.batches[3]
    assert done.returncode == 74 and 'lost: records of batch 3, chunk 0' in done.stdout, done
    assert f'batch 3 is {batch} of {source}' in done.stdout and 'restore a backup' in done.stdout


def test_an_older_copy(world):
    """Newer than what is there was signed: nothing in the store is damaged, and it is not the store."""
    world.put(world.whole)
    shutil.rmtree(world.data / 'store')
    shutil.copytree(world.pristine / 'store', world.data / 'store')
    done = run(world.unit)
    assert done.returncode == 76 and 'were signed' in done.stdout and 'nothing is lost' not in done.stdout, done


def test_flips_anywhere(world):
    """Of random bits: a store that is called whole gives every answer, byte for byte."""
    rng, called_whole, named = random.Random(9), 0, 0
    size = (world.whole / 'store' / 'data.mdb').stat().st_size
    for i in range(24):
        world.put(world.whole)
        for _ in range(1 + i % 3):
            flip(world.data / 'store' / 'data.mdb', rng.randrange(size), rng.randrange(8))
        done = run(world.unit)
        assert done.returncode in (0, 74, 76, 78), done
        if done.returncode != 0:
            assert any(word in done.stdout for word in ('lost: ', 'would not start: ', 'cannot be opened: ')), done.stdout
            named += 1
            continue
        called_whole += 1
        with world.unit as unit:
            history = History()
            with Line(unit) as line:
                for key in world.pieces:
                    code, body = line.post_batch(*key)
                    assert code == 200, body
                    history.answered(key, code, body)
            history.check(unit)
            assert unit.release_body() == world.body
    print(f'{named} of 24 found damaged, {called_whole} whole')
    assert named >= 3, 'control: some of it was hit'
