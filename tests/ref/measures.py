"""Index events and outcomes of one person, a reference for daemon/stats/measure.c, written from docs/methods.md.

An event is (day, role, reports_end, codes): roles as in a study; reports_end says whether the source of a treatment start may
also send ends; codes are those of two dimensions, 0 = unknown. The C code walks backwards once; here every index event looks
forward on its own.
"""
import random

MEASURES = {
    'continuity': dict(kind='continuity', bands=[7, 14, 21, 28, 90]),
    'return': dict(kind='return', bands=[30, 90, 365]),
    'mortality': dict(kind='mortality', bands=[14, 28, 365]),
    'causes': dict(kind='mortality', bands=[14, 28, 365], drug_related=(1, [2])),
    'retention': dict(kind='retention', bands=[29, 89, 179], start_within=90),
    'c20': dict(kind='continuity', bands=[21], eligible=[(0, [1, 2]), (1, [0, 2])]),
}


def merged(day_events, start=(0, 0)):
    codes = list(start)
    for event in day_events:
        codes = [old or new for old, new in zip(codes, event[3])]
    return codes


def band(bands, days, suffix=''):
    first = 0
    for last in bands:
        if days <= last:
            return f'{first}-{last}{suffix}'
        first = last + 1
    return None


def first_after(days, day):
    return min((d for d in days if d > day), default=None)


def index_events(events, measure, as_of, lag):
    """[(day, outcome, codes), …] of one person; events of one day in their fixed order."""
    events = [e for e in events if e[0] <= as_of]
    deaths = [e for e in events if e[1] == 'death']
    death = min((e[0] for e in deaths), default=None)
    events = [e for e in events if death is None or e[0] <= death]
    days = {role: {e[0] for e in events if e[1] == role} for role in
            ('reception', 'release', 'treatment_start', 'treatment_end', 'death')}
    custody = days['reception'] | days['release']
    ends = days['treatment_end'] - days['treatment_start']
    found = []
    for release in sorted(days['release'] - days['reception']):
        codes = merged([e for e in events if e[0] == release and e[1] == 'release'])
        back = first_after(custody, release)
        start = first_after(days['treatment_start'], release - 1)
        day = release
        if measure['kind'] == 'retention':
            if start is None or (back is not None and start >= back) or start - release > measure['start_within']:
                continue
            day = start
            starts = [e for e in events if e[0] == start and e[1] == 'treatment_start']
            codes = merged(starts, codes)
        if not all(codes[d] in allowed for d, allowed in measure.get('eligible', [])):
            continue
        follow_up = measure['bands'][-1] + lag
        if day + follow_up > as_of:
            outcome = 'not_observable'
        elif measure['kind'] == 'retention':
            over = min(d for d in (first_after(ends, start), back, death, 10 ** 9) if d is not None)
            if not any(e[2] for e in starts):
                outcome = 'unknown'
            else:
                outcome = band(measure['bands'], over - start) or f"{measure['bands'][-1] + 1}+"
        else:
            own = {'continuity': start, 'return': back, 'mortality': death}[measure['kind']]
            suffix = ''
            if 'drug_related' in measure:
                d, codes_of = measure['drug_related']
                suffix = '_drug_related' if any(e[3][d] in codes_of for e in deaths if e[0] == death) else '_other'
            # Ties: the measure's own event, then custody, then death.
            ranked = [(d, rank) for rank, d in enumerate((own, back, death)) if d is not None]
            day_first, which = min(ranked, default=(None, None))
            if day_first is None or day_first - release > measure['bands'][-1]:
                outcome = 'none'
            else:
                outcome = [band(measure['bands'], day_first - release, suffix), 'reimprisoned', 'died'][which]
        found.append([day, outcome, codes])
    return found


def cases(n=400, seed=5):
    """Random lives, dense enough that ties and odd orders are common."""
    rng = random.Random(seed)
    for _ in range(n):
        span = rng.choice((6, 40, 200, 500))
        events = []
        for _ in range(rng.randrange(1, 12)):
            role = rng.choice(('reception', 'release', 'release', 'treatment_start', 'treatment_start', 'treatment_end',
                               'death' if rng.random() < 0.3 else 'release'))
            events.append([19800 + rng.randrange(span), role, True, [rng.randrange(4), rng.randrange(3)]])
        order = ['reception', 'release', 'treatment_start', 'treatment_end', 'death']
        events.sort(key=lambda e: (e[0], order.index(e[1])))
        yield events, 19800 + rng.choice((100, 250, 450, 2000))


def vectors():
    """What tests/data/vectors/measures.json holds. Lags are those of tests/unit/stats_fixture.h: 30 days where treatment
    is read, 10 elsewhere."""
    out = []
    for events, as_of in cases():
        expected = {}
        for name, measure in MEASURES.items():
            lag = 30 if measure['kind'] in ('continuity', 'retention') else 10
            expected[name] = index_events(events, measure, as_of, lag)
        out.append({'events': [[e[0], e[1], *e[3]] for e in events], 'as_of': as_of, 'expected': expected})
    return out
