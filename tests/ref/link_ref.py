"""The linkage of docs/methods.md once more, in plain Python for small registers: levels from filters, the 1:1-aware EM, persons within
a source, the within-source null with its threshold, persons across sources. Written from the document and compared with the C by
test_link_ref.py. Slow and short: every pair is looked at, and nothing is kept that could be computed again.

Records are dictionaries as tests/ref/link_dump.c prints them; `link` returns what it prints under "result".
"""
import itertools
import math
from collections import defaultdict

ONE = 65536                                     # a log2 unit of match weight
NOTHING = 2**31 - 1                             # the threshold where nothing is linked
SAYS_ENOUGH, CERTAIN, CROWD = 9 * 256, 25 * 256, 8
FREQUENCY_CAP, FREQUENCY_CAP_ALL = 8, 1024
DONE, NOTHING_TO_LINK, NOT_IDENTIFIABLE = range(3)


def median_and_top(matches):
    """Of (weight, probability, ratio), heaviest first: the match at which half of all are reached, and how many are by then."""
    half, top = sum(p for _, p, _ in matches) / 2, 0
    for weight, p, ratio in matches:
        top += p
        if top >= half:
            return weight, ratio, top
    return None


def fixed_log2(x, y):
    scaled = math.log2(max(1, int(x * 2**52)) / max(1, int(y * 2**52))) * ONE
    return math.floor(abs(scaled) + 0.5) * (1 if scaled >= 0 else -1)


class Comparison:
    def __init__(self, given):
        self.filters, self.cuts, self.reference, self.composite = (given[k] for k in ('filters', 'cuts', 'weights', 'composite'))
        self.levels = range(1, len(self.reference))
        self.digits = [self.split(level) for level in range(len(self.reference))]

    def split(self, level):
        """The digit of each filter, 0 = missing."""
        digits = []
        for cuts in self.cuts:
            level, digit = divmod(level, len(cuts) + 2)
            digits.append(digit)
        return tuple(digits)

    def mask(self, level):
        return tuple(digit == 0 for digit in self.digits[level])

    def level(self, a, b):
        """a and b: the filters of two records as integers."""
        level, radix = 0, 1
        for f, cuts in zip(self.filters, self.cuts):
            bits = a[f].bit_count() + b[f].bit_count()
            if a[f] and b[f]:
                level += radix * (1 + sum(2000 * (a[f] & b[f]).bit_count() >= cut * bits for cut in cuts))
            radix *= len(cuts) + 2
        return level

    def normalise(self, counts, prior):
        """Shares of the levels; each set of missing filters adds up to one."""
        total, p = defaultdict(float), [0.] * len(self.reference)
        for level in self.levels:
            total[self.mask(level)] += counts[level] + prior[level]
        for level in self.levels:
            if total[self.mask(level)] > 0:
                p[level] = (counts[level] + prior[level]) / total[self.mask(level)]
        return p

    def independent(self, counts):
        """The prior of a joint comparison: its filters as if independent."""
        digit = [defaultdict(float) for _ in self.filters]
        for level in self.levels:
            for i, d in enumerate(self.digits[level]):
                digit[i][d] += counts[level]
        product = [0] + [math.prod(digit[i][d] for i, d in enumerate(self.digits[level])) for level in self.levels]
        return self.normalise(product, [0] * len(product))

    def pooled(self, m, u):
        """m such that m/u never falls from a level to a higher one (pool adjacent violators)."""
        blocks = []
        for level in self.levels:
            blocks.append([m[level], u[level], [level]])
            while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] > blocks[-1][0] * blocks[-2][1]:
                x = blocks.pop()
                blocks[-1] = [blocks[-1][0] + x[0], blocks[-1][1] + x[1], blocks[-1][2] + x[2]]
        pooled = list(m)
        for sum_m, sum_u, levels in blocks:
            for level in levels if len(levels) > 1 else []:
                pooled[level] = u[level] * sum_m / sum_u
        return pooled


class Pair:
    def __init__(self, a, b, pattern):
        self.a, self.b, self.pattern = a, b, pattern
        self.frequency, self.ratio, self.probability, self.weight = 1, 0, 0, 0


class Linkage:
    def __init__(self, domain, rows):
        self.floor = domain['floor']
        self.comparisons = [Comparison(c) for c in domain['comparisons']]
        current = {}
        for i, row in enumerate(rows):
            key = row['source'], row['id']
            if not row['excluded'] and (key not in current or rows[current[key]]['revision'] < row['revision']):
                current[key] = i
        self.row = [current[key] for key in sorted(current)]          # of each rank
        self.records = [rows[i] for i in self.row]
        self.filters = [[int(f, 16) for f in record['filters']] for record in self.records]
        self.number = [record['number'] if record['number'].strip('0') else None for record in self.records]
        self.source = [record['source'] for record in self.records]
        self.sources = sorted(set(self.source))
        self.ranks = range(len(self.records))

    # ---- what is certain before any model ----

    def own_weight(self, rank):
        """Reference weight of agreement on all that a record has; of everything where rank is None."""
        def level(c):
            digits = [0 if rank is not None and not self.filters[rank][f] else len(cuts) + 1 for f, cuts in zip(c.filters, c.cuts)]
            return c.digits.index(tuple(digits))
        return sum(c.reference[level(c)] for c in self.comparisons)

    def find_certain(self):
        """The first rank of each certain person: the same number, or the same filters and number that say enough."""
        enough = min(CERTAIN, self.own_weight(None))
        self.certain = list(self.ranks)
        for same in (lambda i: (self.source[i], self.number[i], tuple(self.filters[i])) if self.own_weight(i) >= enough else i,
                     lambda i: (self.source[i], self.number[i]) if self.number[i] else i):
            first = {}
            for i in self.ranks:
                join(self.certain, first.setdefault(same(i), i), i)
        self.certain = [root(self.certain, i) for i in self.ranks]
        self.person = list(self.certain)

    def find_values(self):
        self.values = []                            # a comparison: value of each rank, persons with it, Σ f and Σ f² by missing parts
        for c in self.comparisons:
            value = [tuple(self.filters[i][f] for f in c.filters) for i in self.ranks]
            count, total, squares = defaultdict(int), defaultdict(int), defaultdict(int)
            for i in self.ranks:
                if self.certain[i] == i:
                    count[value[i]] += 1
            for v, n in count.items():
                total[missing(v)] += n
                squares[missing(v)] += n * n
            self.values.append((value, count, total, squares))

    def find_pairs(self):
        """Candidates. A record stands for all of its person with the same content; crowds and empty records for none."""
        enough = min(SAYS_ENOUGH, self.own_weight(None))
        contents = defaultdict(list)
        for i in self.ranks:
            contents[self.source[i], tuple(self.filters[i])].append(i)
        self.crowded, members = set(), []
        for ranks in contents.values():
            one_each = list({self.certain[i]: i for i in reversed(ranks)}.values())
            if len(one_each) > CROWD or self.own_weight(ranks[0]) < enough:
                self.crowded |= set(ranks)
            else:
                members.append(one_each)
        stand = sorted(itertools.chain(*members))
        self.pairs = []
        for a, b in itertools.combinations(stand, 2):
            pattern = self.pattern(a, b)
            same_person = self.certain[a] == self.certain[b] and self.filters[a] == self.filters[b]
            if not same_person and self.reference_weight(pattern) >= self.floor:
                self.pairs.append(Pair(a, b, pattern))

    def pattern(self, a, b):
        return tuple(c.level(self.filters[a], self.filters[b]) for c in self.comparisons)

    def reference_weight(self, pattern):
        return sum(c.reference[level] for c, level in zip(self.comparisons, pattern))

    def between(self, x, y):
        return [pair for pair in self.pairs if (self.source[pair.a], self.source[pair.b]) == (x, y)]

    def n_persons(self, source, person):
        return sum(person[i] == i and self.source[i] == source for i in self.ranks)

    # ---- the model ----

    def term_frequency(self, pair):
        odds = 1
        for value, count, total, squares in self.values:
            v = value[pair.a]
            if any(v) and v == value[pair.b] and total[missing(v)]:
                odds *= within(squares[missing(v)] / (total[missing(v)] * max(1, count[v])), FREQUENCY_CAP)
        return within(odds, FREQUENCY_CAP_ALL)

    def draw_sample(self):
        """Levels of all pairs of certain persons of different sources, a record each, and the patterns that could be matches."""
        counts, high = [[0.] * len(c.reference) for c in self.comparisons], []
        ranks = [i for i in self.ranks if self.certain[i] == i and i not in self.crowded]
        for a, b in itertools.combinations(ranks, 2):
            if self.source[a] != self.source[b]:
                pattern = self.pattern(a, b)
                for count, level in zip(counts, pattern):
                    count[level] += 1
                if self.reference_weight(pattern) >= self.floor:
                    high.append(pattern)
        return counts, high

    def expect(self, share, ratio, matches):
        """One E-step over all pairs of sources; `share` is λ of each, `matches` collects expected levels."""
        total, n_all = 0, 0
        for x, y in itertools.combinations(self.sources, 2):
            groups, row_sum, expected = defaultdict(list), defaultdict(float), 0
            odds = share[x, y] / (1 - share[x, y])
            for pair in self.between(x, y):
                pair.odds = odds * pair.frequency * math.prod(r[level] for r, level in zip(ratio, pair.pattern))
                groups[self.person[pair.a], self.person[pair.b]].append(pair)
            for (a, b), pairs in groups.items():
                row_sum[a] += max(pair.odds for pair in pairs)
                row_sum[b] += max(pair.odds for pair in pairs)
            for (a, b), pairs in groups.items():
                best = max(pair.odds for pair in pairs)
                others = max(0, row_sum[a] + row_sum[b] - 2 * best)
                expected += best / (1 + best + others)
                for pair in pairs:
                    pair.probability = pair.odds / (1 + pair.odds + others)
                    for match, level in zip(matches, pair.pattern):
                        match[level] += pair.probability / len(pairs)
            n_a, n_b = self.n_persons(x, self.person), self.n_persons(y, self.person)
            share[x, y] = max(1e-15, min(expected / (n_a * n_b), cap(n_a, n_b)))
            total, n_all = total + expected, n_all + n_a * n_b
        return total, total / n_all if total < n_all else 1e-15

    def fit(self):
        counts, high = self.draw_sample()
        share = {(x, y): cap(self.n_persons(x, self.person), self.n_persons(y, self.person)) / 2
                 for x, y in itertools.combinations(self.sources, 2)}
        u = [c.normalise(n, [1 / len(c.levels)] * len(n)) for c, n in zip(self.comparisons, counts)]
        m = [c.normalise([p * 2.**int(w / 256) for p, w in zip(ps, c.reference)], [0] * len(ps)) for c, ps in zip(self.comparisons, u)]
        for pair in self.pairs:
            pair.frequency = self.term_frequency(pair)
        before = -1
        for _ in range(100):
            ratio = [[1.] + [p / q if p > 0 and q > 0 else 1. for p, q in zip(ps[1:], qs[1:])] for ps, qs in zip(m, u)]
            matches = [[0.] * len(ps) for ps in m]
            total, overall = self.expect(share, ratio, matches)
            if abs(total - before) < 1e-5 * total:
                break
            before = total
            for k, c in enumerate(self.comparisons):
                joint = len(c.filters) > 1
                m[k] = c.normalise(matches[k], c.independent([x + y for x, y in zip(matches[k], u[k])]) if joint else u[k])
            rest = [list(n) for n in counts]
            for pattern in high:
                odds = overall / (1 - overall) * math.prod(r[level] for r, level in zip(ratio, pattern))
                for n, level in zip(rest, pattern):
                    n[level] -= odds / (1 + odds)
            u = [c.normalise([max(0, x) for x in n], m[k]) for k, (c, n) in enumerate(zip(self.comparisons, rest))]
            m = [c.pooled(m[k], u[k]) if c.composite else m[k] for k, c in enumerate(self.comparisons)]
        self.weights = [[0] + [fixed_log2(p, q) if p > 0 and q > 0 else 0 for p, q in zip(ps[1:], qs[1:])] for ps, qs in zip(m, u)]
        for pair in self.pairs:
            pair.ratio = pair.frequency * math.prod(r[level] for r, level in zip(ratio, pair.pattern))
            pair.weight = fixed_log2(pair.frequency, 1) + sum(w[level] for w, level in zip(self.weights, pair.pattern))

    def edges(self, person, x, y):
        """The best pair of every two persons, heaviest first: (−weight, person, person, pair)."""
        best = {}
        for pair in sorted(self.between(x, y), key=lambda p: (-p.weight, self.person[p.a], self.person[p.b], p.a, p.b)):
            a, b = sorted((person[pair.a], person[pair.b]))
            if a != b:
                best.setdefault((a, b), pair)
        return sorted(((-pair.weight, a, b, pair) for (a, b), pair in best.items()), key=lambda e: e[:3])

    # ---- persons within a source ----

    def is_identical(self, pair):
        return self.filters[pair.a] == self.filters[pair.b]

    def is_known_different(self, pair):
        return bool(self.number[pair.a] and self.number[pair.b])

    def duplicates(self, source, edges):
        """A function of a pair: how likely it is a duplicate, and whether numbers repeat. `edges` are of certain persons."""
        n = self.n_persons(source, self.certain)
        n_pairs, matches = n * (n - 1) / 2, []
        for x, y in itertools.combinations(self.sources, 2):
            if source in (x, y):
                matches += [(pair.weight, pair.probability, pair.ratio) for *_, pair in self.edges(self.person, x, y)
                            if not self.is_identical(pair)]
        found = median_and_top(sorted(matches, key=lambda match: (-match[0], -match[1]))) if n >= 3 else None
        if found is None:
            return lambda pair: 0, False
        weight, ratio, top = found
        heavy = [pair for *_, pair in edges if pair.weight >= weight]
        different = [self.is_known_different(pair) for pair in heavy]
        identical = [self.is_identical(pair) for pair in heavy]
        alike = sum(not d and not i for d, i in zip(different, identical))
        chance = 10 + 5 * n_pairs / (2 * ratio)
        repeat = sum(d and i for d, i in zip(different, identical)) >= chance
        if not repeat and not (alike >= chance and alike >= 0.01 * top):
            return lambda pair: 0, False

        def may_be(pair):
            return repeat or not self.is_known_different(pair)
        share, before = 1 / n_pairs, -1
        for _ in range(60):
            total = sum(probability(share, pair.ratio) for *_, pair in edges if may_be(pair))
            share = total / n_pairs if total < n_pairs / 2 else 0.5
            if abs(total - before) < 1e-5 * total:
                break
            before = total
        return lambda pair: probability(share, pair.ratio) if may_be(pair) else 0, repeat

    def join_within(self):
        parent, joined = list(self.person), False
        numbered = {self.person[i] for i in self.ranks if self.number[i]}
        for source in self.sources:
            edges = self.edges(self.certain, source, source)
            duplicate, _ = self.duplicates(source, edges)
            for _, a, b, pair in edges:
                a, b = root(parent, a), root(parent, b)
                if a != b and not (a in numbered and b in numbered) and duplicate(pair) > 0.5:
                    if a in numbered or b in numbered:
                        numbered |= {a, b}
                    join(parent, a, b)
                    joined = True
        self.person = [root(parent, i) for i in self.ranks]
        return joined

    # ---- the within-source null ----

    def threshold(self, x, y):
        """(threshold, links, false links, whether a source numbers people twice)."""
        links, taken = [], set()
        for edge in self.edges(self.person, x, y):
            if edge[1] not in taken and edge[2] not in taken:
                taken |= {edge[1], edge[2]}
                links.append(edge)
        nulls, repeats = [], False
        for source in (x, y):
            edges = self.edges(self.certain, source, source)
            duplicate, repeat = self.duplicates(source, edges)
            nulls.append((edges, [1 - duplicate(pair) for *_, pair in edges]))
            repeats = repeats or repeat
        held = NOTHING
        for _ in range(16):
            chosen, cautious = self.walk(x, y, links, nulls, held)
            if chosen[3] >= held:
                break
            held = chosen[3]
        if not more_than_chance(chosen) or not more_than_chance(cautious):
            return NOTHING, 0, 0, repeats
        return chosen[3], chosen[1], chosen[2], repeats

    def walk(self, x, y, links, nulls, held):
        """Down the links; the best places to stop, as (gain, links, false links, threshold), by null and model and by the larger."""
        free = [self.n_persons(x, self.person), self.n_persons(y, self.person)]
        taken, used, at = set(), set(), [0, 0]
        by_null = variance = by_model = n_taken = 0
        chosen = cautious = (0, 0, 0, NOTHING)
        for i, (minus, a, b, pair) in enumerate(links):
            odds = (n_taken + 1) / ((free[0] + 1) * (free[1] + 1)) * pair.ratio
            each = 2 * free[0] * free[1] / (free[0]**2 + free[1]**2) if any(free) else 0
            n_false = 0
            for k, (edges, share) in enumerate(nulls):
                for edge, p in zip(edges[at[k]:], share[at[k]:]):
                    if edge[0] > minus:
                        break
                    at[k] += 1
                    p_a, p_b = self.person[edge[1]], self.person[edge[2]]
                    if p_a in taken or p_b in taken or (p_a != p_b and (p_a in used or p_b in used)):
                        continue
                    n_false += p
                    used |= {p_a, p_b} if p > 0.5 else set()
            by_null, variance, by_model = by_null + each * n_false, variance + each**2 * n_false, by_model + 1 / (1 + odds)
            if odds / (1 + odds) > 0.5 or -minus >= held:
                taken |= {a, b}
                free = [free[0] - 1, free[1] - 1]
                n_taken += 1
            if i + 1 < len(links) and links[i + 1][0] == minus:
                continue
            larger, most, error = max(by_null, by_model), by_null + 4.5 + 3 * math.sqrt(variance + 2.25), math.sqrt(variance + 1)
            cautious = better(cautious, i + 1, larger, error, -minus)
            chosen = better(chosen, i + 1, min(larger, most), error, -minus)
        return chosen, cautious

    # ---- persons across sources ----

    def form_persons(self, thresholds):
        clusters = {}
        for i in self.ranks:
            sources, last, death = clusters.get(self.person[i], (set(), -math.inf, math.inf))
            clusters[self.person[i]] = (sources | {self.source[i]}, max(last, self.records[i]['last_day']),
                                        min(death, self.records[i]['death_day'] if self.records[i]['death_day'] != NOTHING else math.inf))
        parent, accepted = list(self.person), []
        edges = [edge for (x, y), least in thresholds.items() for edge in self.edges(self.person, x, y) if -edge[0] >= least]
        for _, a, b, pair in sorted(edges, key=lambda e: e[:3]):
            a, b = root(parent, a), root(parent, b)
            if a == b:
                continue
            (sources_a, last_a, death_a), (sources_b, last_b, death_b) = clusters[a], clusters[b]
            if sources_a & sources_b or last_a > death_b or last_b > death_a:
                continue
            join(parent, a, b)
            clusters[min(a, b)] = (sources_a | sources_b, max(last_a, last_b), min(death_a, death_b))
            accepted.append((pair.a, pair.b, pair.weight))
        self.person = [root(parent, i) for i in self.ranks]
        return [[self.row[a], self.row[b], weight] for a, b, weight in sorted(accepted)]

    def link_sources(self):
        self.fit()
        if self.join_within():
            self.fit()
        thresholds, quality = {}, []
        for x, y in itertools.combinations(self.sources, 2):
            least, n_links, n_false, repeat = self.threshold(x, y)
            conditional = repeat or any(self.source[i] in (x, y) and not self.number[i] for i in self.ranks)
            if least != NOTHING:
                thresholds[x, y] = least
            quality.append({'a': x, 'b': y, 'threshold': least, 'conditional': conditional,
                            'precision': round((n_links - n_false) / n_links * 1e6) if n_links else 0})
        links = self.form_persons(thresholds)
        return {'outcome': DONE if thresholds else NOT_IDENTIFIABLE, 'links': links, 'weights': self.weights, 'quality': quality}

    def run(self):
        result = {'outcome': NOTHING_TO_LINK, 'links': [], 'weights': [], 'quality': []}
        self.find_certain()
        self.find_values()
        self.find_pairs()
        if len(self.sources) > 1:
            crosses = any(self.source[pair.a] != self.source[pair.b] for pair in self.pairs)
            result = self.link_sources() if crosses else {**result, 'outcome': NOT_IDENTIFIABLE}
        return {**result, 'crowded': len(self.crowded), 'person': self.number_persons()}

    def number_persons(self):
        """Of each row that counts; persons are numbered by their smallest record key."""
        numbers = {}
        for i in self.ranks:
            numbers.setdefault(self.person[i], len(numbers))
        return {self.row[i]: numbers[self.person[i]] for i in self.ranks}


def root(parent, x):
    while parent[x] != x:
        x = parent[x]
    return x


def join(parent, x, y):
    x, y = sorted((root(parent, x), root(parent, y)))
    parent[y] = x


def missing(values):
    return tuple(not v for v in values)


def within(x, most):
    return min(most, max(1 / most, x))


def cap(n_a, n_b):
    return 0.5 if max(n_a, n_b) <= 1 else 1 / max(n_a, n_b)


def probability(share, ratio):
    odds = share / (1 - share) * ratio
    return odds / (1 + odds)


def better(stop, n_links, n_false, error, threshold):
    gain = n_links - 2 * (n_false + error)
    return (gain, n_links, n_false, threshold) if gain > stop[0] else stop


def more_than_chance(stop):
    surplus = stop[1] - stop[2] - 3
    return surplus >= 0 and surplus**2 >= 9 * (stop[2] + 1)


def link(domain, rows):
    result = Linkage(domain, rows).run()
    of_row = result.pop('person')
    return {**result, 'person': [of_row.get(i, -1) for i in range(len(rows))]}
