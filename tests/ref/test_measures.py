"""The reference measures equal the shared vectors; tests/unit/test_measure_vectors.c checks the C against the same file."""
import json
import pathlib

from measures import MEASURES, index_events, vectors

VECTORS = pathlib.Path(__file__).parents[1] / 'data/vectors/measures.json'


def test_vectors():
    stored = json.loads(VECTORS.read_text())['vectors']
    assert stored == vectors()
    assert len(stored) == 400
    seen = {outcome for v in stored for events in v['expected'].values() for _, outcome, _ in events}
    assert {'0-7', 'died', 'reimprisoned', 'none', 'not_observable', '0-30', '0-14', '0-14_drug_related', '0-14_other',
            '0-29', '180+'} <= seen


def test_a_life_by_hand():
    events = [(0, 'reception', True, (0, 0)), (100, 'release', True, (1, 2)), (110, 'treatment_start', True, (0, 0)),
              (150, 'reception', True, (0, 0))]
    found = {name: index_events(events, m, 5000, 30) for name, m in MEASURES.items()}
    assert found['continuity'] == [[100, '8-14', [1, 2]]] and found['return'] == [[100, '31-90', [1, 2]]]
    assert found['mortality'] == [[100, 'reimprisoned', [1, 2]]] and found['retention'] == [[110, '30-89', [1, 2]]]
