# labels: quick
"""The linkage in C against tests/ref/link_ref.py, on random small registers: with and without person numbers, doubles, a third
source, composite filters, deaths and persons whose every value is damaged; records incomplete, copied, corrected and left out."""
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import link_ref                        # noqa: E402

SOURCE = pathlib.Path(os.environ.get('TC_SOURCE_DIR', HERE.parents[1]))
BINARY = pathlib.Path(os.environ.get('TC_BINARY_DIR', SOURCE / 'build' / 'release'))
N_SEEDS = 48
# Sums run in another order, so the last bits differ: a weight may round to the next 1/65536 log2 unit, rarely two of them.
WEIGHT_TOLERANCE = 2
PAIR_TOLERANCE = 8
PRECISION_TOLERANCE = 20               # millionths


def compare(seed):
    done = subprocess.run([BINARY / 'tests' / 'link_dump', str(seed)], capture_output=True, text=True, check=True)
    world = json.loads(done.stdout)
    c, ref = world['result'], link_ref.link(world['domain'], world['rows'])
    assert (ref['outcome'], ref['crowded']) == (c['outcome'], c['crowded']), seed
    assert ref['person'] == c['person'], seed
    assert [link[:2] for link in ref['links']] == [link[:2] for link in c['links']], seed
    for mine, its in zip(ref['links'], c['links']):
        assert abs(mine[2] - its[2]) <= PAIR_TOLERANCE, (seed, mine, its)
    assert [len(w) for w in ref['weights']] == [len(w) for w in c['weights']], seed
    for mine, its in zip(ref['weights'], c['weights']):
        assert max(abs(x - y) for x, y in zip(mine, its)) <= WEIGHT_TOLERANCE, (seed, mine, its)
    assert len(ref['quality']) == len(c['quality']), seed
    for mine, its in zip(ref['quality'], c['quality']):
        assert [mine[k] for k in ('a', 'b', 'conditional')] == [its[k] for k in ('a', 'b', 'conditional')], seed
        assert abs(mine['threshold'] - its['threshold']) <= PAIR_TOLERANCE, (seed, mine, its)
        assert abs(mine['precision'] - its['precision']) <= PRECISION_TOLERANCE, (seed, mine, its)
    return c, len(set(ref['person']) - {-1}), sum(p >= 0 for p in ref['person'])


def test_c_equals_the_reference():
    outcomes, n_links, n_joined = [0, 0, 0], 0, 0
    for seed in range(N_SEEDS):
        c, n_persons, n_records = compare(seed)
        outcomes[c['outcome']] += 1
        n_links += len(c['links'])
        n_joined += n_records - n_persons - len(c['links'])
    print(f'{N_SEEDS} registers: {outcomes[link_ref.DONE]} linked, {outcomes[link_ref.NOT_IDENTIFIABLE]} with nothing to tell from '
          f'chance; {n_links} links across, {n_joined} records joined within')
    assert outcomes[link_ref.DONE] > N_SEEDS / 2 and outcomes[link_ref.NOT_IDENTIFIABLE] > 0 and n_joined > 0
