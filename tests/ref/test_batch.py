"""The Python form of the batch format against tests/data/batch/fixture.batch, which tests/unit/test_batch.c compares with
what the C writes: so both agree byte for byte without one calling the other."""
import json
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import batch                                                       # noqa: E402

DATA = pathlib.Path(os.environ.get('TC_SOURCE_DIR', pathlib.Path(__file__).parents[2])) / 'tests/data/batch'


def test_writes_what_the_c_writes():
    assert batch.fixture(100, 30) == (DATA / 'fixture.batch').read_bytes()


def test_json_form_is_the_one_the_c_reads():
    head, chunks = batch.read((DATA / 'fixture.batch').read_bytes(), batch.FIXTURE_FILTER_BYTES)
    assert batch.to_json(head, chunks, batch.FIXTURE_NAMES) == json.loads((DATA / 'fixture.json').read_text())


def test_round_trip():
    chunks = [batch.fixture_chunk(range(0, 30)), batch.fixture_chunk(range(30, 33))]
    written = batch.write(batch.FIXTURE_HEAD, chunks, batch.FIXTURE_FILTER_BYTES)
    assert batch.read(written, batch.FIXTURE_FILTER_BYTES) == (batch.FIXTURE_HEAD, chunks)


def test_zigzag_round_trip():
    for day in (0, 1, -1, 19000, -25567, 84006):
        assert batch.unzigzag(batch.zigzag(day)) == day


def test_truncation_and_flips_are_seen():
    good = batch.fixture(5, 3)
    for cut in range(len(good)):
        with pytest.raises(ValueError):
            batch.read(good[:cut], batch.FIXTURE_FILTER_BYTES)
    for i in range(len(good)):
        bad = good[:i] + bytes([good[i] ^ 0x20]) + good[i + 1:]
        with pytest.raises(ValueError):
            batch.read(bad, batch.FIXTURE_FILTER_BYTES)
