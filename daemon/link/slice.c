#include "daemon/link/slice.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/link/locked.h"

enum {
	SAMPLE_BLOCKS = 4, /* of the calibration of a query */
	BLOCK_WORDS = KERNEL_BLOCK / 64,
	LINE_OFFSETS = KERNEL_LINE / KERNEL_OFFSET_UNIT,
	IMPOSSIBLE = UINT16_MAX,
};

/* ---- the store ---- */

static void count_densities(const struct slice *slice, uint32_t *density)
{
	for (uint32_t i = 0; i < slice->n; i++) {
		const uint8_t *row = slice->rows + (size_t)i * slice->n_lines * KERNEL_LINE;

		for (unsigned w = 0; w < slice->n_lines * KERNEL_LINE / 8; w++) {
			uint64_t word;

			memcpy(&word, row + (size_t)w * 8, 8);
			for (; word != 0; word &= word - 1)
				density[w * 64 + (unsigned)__builtin_ctzll(word)]++;
		}
	}
}

struct dense_bit {
	uint32_t density;
	uint16_t bit;
};

static int compare_density(const void *x, const void *y)
{
	const struct dense_bit *p = x, *q = y;

	if (p->density != q->density)
		return p->density < q->density ? -1 : 1;
	return (p->bit > q->bit) - (p->bit < q->bit);
}

static enum rc order_planes(struct slice *slice)
{
	size_t n_bits = slice->n_lines * KERNEL_LINE * 8;
	uint32_t *density = calloc(n_bits, sizeof *density);
	struct dense_bit *bits = malloc(n_bits * sizeof *bits);
	enum rc rc = RC_NOMEM;

	slice->bit_of_plane = malloc(slice->bits * sizeof *slice->bit_of_plane);
	if (density == NULL || bits == NULL || slice->bit_of_plane == NULL)
		goto out;
	count_densities(slice, density);
	for (unsigned b = 0; b < slice->bits; b++)
		bits[b] = (struct dense_bit){density[b], (uint16_t)b};
	qsort(bits, slice->bits, sizeof *bits, compare_density);
	for (unsigned p = 0; p < slice->bits; p++)
		slice->bit_of_plane[p] = bits[p].bit;
	rc = RC_OK;
out:
	free(density);
	free(bits);
	return rc;
}

static size_t block_bytes(const struct slice *slice)
{
	return ((size_t)slice->bits + 1) * KERNEL_LINE;
}

/* Filters past the end of the last block miss everything. */
static void fill_planes(struct slice *slice, const uint16_t *plane_of_bit)
{
	for (uint32_t block = 0; block < slice->n_blocks; block++) {
		uint8_t *planes = slice->planes + block * block_bytes(slice);
		uint32_t first = block * KERNEL_BLOCK;

		memset(planes, 0xff, (size_t)slice->bits * KERNEL_LINE);
		for (uint32_t i = first; i < slice->n && i < first + KERNEL_BLOCK; i++) {
			const uint8_t *row = slice->rows + (size_t)i * slice->n_lines * KERNEL_LINE;
			uint8_t keep = (uint8_t) ~(1u << i % 8);
			uint8_t *column = planes + i % KERNEL_BLOCK / 8;

			for (unsigned w = 0; w < slice->n_lines * KERNEL_LINE / 8; w++) {
				uint64_t word;

				memcpy(&word, row + (size_t)w * 8, 8);
				for (; word != 0; word &= word - 1)
					column[(size_t)plane_of_bit[w * 64 + (unsigned)__builtin_ctzll(word)] *
					       KERNEL_LINE] &= keep;
			}
		}
	}
}

enum rc slice_init(struct slice *slice, const struct slice_filters *filters, enum link_memory memory,
		   atomic_bool *not_locked)
{
	uint16_t *plane_of_bit = NULL;
	void *planes;
	enum rc rc;

	*slice = (struct slice){.bits = filters->bits,
				.n_lines = filters->n_lines,
				.n = filters->n,
				.n_blocks = (filters->n + KERNEL_BLOCK - 1) / KERNEL_BLOCK,
				.rows = filters->rows,
				.popcounts = filters->popcounts};
	if (slice->n == 0)
		return RC_OK;
	rc = order_planes(slice);
	if (rc != RC_OK)
		goto fail;
	plane_of_bit = calloc(slice->bits, sizeof *plane_of_bit);
	if (plane_of_bit == NULL) {
		rc = RC_NOMEM;
		goto fail;
	}
	for (unsigned p = 0; p < slice->bits; p++)
		plane_of_bit[slice->bit_of_plane[p]] = (uint16_t)p;
	slice->planes_bytes = slice->n_blocks * block_bytes(slice);
	rc = locked_map(slice->planes_bytes, memory, not_locked, &planes);
	if (rc != RC_OK)
		goto fail;
	slice->planes = planes;
	fill_planes(slice, plane_of_bit);
	free(plane_of_bit);
	return RC_OK;
fail:
	free(plane_of_bit);
	slice_deinit(slice);
	return rc;
}

void slice_deinit(struct slice *slice)
{
	locked_unmap(slice->planes, slice->planes_bytes);
	free(slice->bit_of_plane);
	slice->planes = NULL;
	slice->bit_of_plane = NULL;
}

/* ---- what each number of set bits needs ---- */

struct slice_plan {
	const struct slice *slice;
	const struct kernel *kernel;
	unsigned low, n_b;    /* numbers of set bits of the filters: low … low + n_b - 1 */
	unsigned n_a;         /* numbers of set bits of the queries that will come */
	uint16_t *place_of_a; /* bits + 1 */
	uint16_t *need;       /* [place of a][b - low]: bits in common that reach the level; IMPOSSIBLE = none do */
	uint16_t *budget;     /* [block][place of a]: most misses of a filter that reaches it; IMPOSSIBLE = none does */
	unsigned max_rounds;
};

/* The fewest bits in common that reach the level, from a first guess; what is reached only grows with `both`. Filters
 * of a and b set bits have a + b - bits in common at least. */
static unsigned fewest_in_common(const struct slice_level *level, unsigned a, unsigned b, unsigned guess)
{
	unsigned bits = level->inverse->bits, most = a < b ? a : b, least = a + b > bits ? a + b - bits : 0;

	if (level_digit(level->inverse, level->cuts, level->n_cuts, a, b, most) < level->digit)
		return IMPOSSIBLE;
	guess = guess > most ? most : guess < least ? least : guess;
	while (guess > least &&
	       level_digit(level->inverse, level->cuts, level->n_cuts, a, b, guess - 1) >= level->digit)
		guess--;
	while (level_digit(level->inverse, level->cuts, level->n_cuts, a, b, guess) < level->digit)
		guess++;
	return guess;
}

static void fill_need(struct slice_plan *plan, const struct slice_level *level, unsigned a, uint16_t *need)
{
	unsigned guess = 0;

	for (unsigned i = 0; i < plan->n_b; i++) {
		unsigned b = plan->low + i, fewest;

		fewest = a == 0 || b == 0 ? IMPOSSIBLE : fewest_in_common(level, a, b, guess);
		need[i] = (uint16_t)fewest;
		if (fewest != IMPOSSIBLE)
			guess = fewest;
	}
}

static void fill_budgets(struct slice_plan *plan, unsigned a, const uint16_t *need)
{
	const struct slice *slice = plan->slice;

	for (uint32_t block = 0; block < slice->n_blocks; block++) {
		uint32_t first = block * KERNEL_BLOCK, last = first + KERNEL_BLOCK - 1;
		unsigned fewest = IMPOSSIBLE;

		if (last >= slice->n)
			last = slice->n - 1;
		for (unsigned b = slice->popcounts[first]; b <= slice->popcounts[last]; b++)
			fewest = need[b - plan->low] < fewest ? need[b - plan->low] : fewest;
		plan->budget[(size_t)block * plan->n_a + plan->place_of_a[a]] =
			(uint16_t)(fewest == IMPOSSIBLE ? IMPOSSIBLE : a - fewest);
	}
}

enum rc slice_plan_new(const struct slice *slice, const struct kernel *kernel, const struct slice_level *level,
		       const bool *is_present, struct slice_plan **ret)
{
	struct slice_plan *plan = calloc(1, sizeof *plan);

	if (plan == NULL)
		return RC_NOMEM;
	plan->slice = slice;
	plan->kernel = kernel;
	plan->place_of_a = calloc(slice->bits + 1u, sizeof *plan->place_of_a);
	if (plan->place_of_a == NULL)
		goto fail;
	for (unsigned a = 0; a <= slice->bits; a++) {
		plan->place_of_a[a] = (uint16_t)plan->n_a;
		plan->n_a += is_present[a];
	}
	if (slice->n > 0) {
		plan->low = slice->popcounts[0];
		plan->n_b = slice->popcounts[slice->n - 1] - plan->low + 1u;
	}
	plan->max_rounds = (slice->bits + KERNEL_ROUND - 1) / KERNEL_ROUND;
	plan->need = malloc(((size_t)plan->n_a * plan->n_b + 1) * sizeof *plan->need);
	plan->budget = malloc(((size_t)plan->n_a * slice->n_blocks + 1) * sizeof *plan->budget);
	if (plan->need == NULL || plan->budget == NULL)
		goto fail;
	for (unsigned a = 0; slice->n > 0 && a <= slice->bits; a++) {
		uint16_t *need = plan->need + (size_t)plan->place_of_a[a] * plan->n_b;

		if (!is_present[a])
			continue;
		fill_need(plan, level, a, need);
		fill_budgets(plan, a, need);
	}
	*ret = plan;
	return RC_OK;
fail:
	slice_plan_free(plan);
	return RC_NOMEM;
}

void slice_plan_free(struct slice_plan *plan)
{
	if (plan == NULL)
		return;
	free(plan->place_of_a);
	free(plan->need);
	free(plan->budget);
	free(plan);
}

/* ---- a search ---- */

struct search {
	const struct slice_plan *plan;
	const struct slice_query *queries;
	const atomic_bool *cancel;
	struct slice_hits *hits;
	size_t n;
	uint16_t *offsets; /* of all queries */
	struct kernel_slice_query scan[SLICE_TILE];
	uint16_t place[SLICE_TILE]; /* of the query's number of set bits in the plan */
	uint16_t order[SLICE_TILE]; /* queries by planes read, then by set bits: branches then go alike */
	uint16_t chosen[SLICE_TILE], budgets[SLICE_TILE];
	uint64_t alive[SLICE_TILE * BLOCK_WORDS];
	uint32_t n_survivors[SLICE_TILE];
	uint16_t survivors[SLICE_TILE * KERNEL_BLOCK];
	uint16_t counts[KERNEL_BLOCK];
};

static uint16_t budget_of(const struct search *search, uint32_t block, size_t query)
{
	return search->plan->budget[(size_t)block * search->plan->n_a + search->place[query]];
}

/* The planes of the set bits in order of density, filled up to whole rounds with the line of zeros. */
static void list_planes(struct search *search, size_t query, uint16_t *offsets)
{
	const struct slice *slice = search->plan->slice;
	const uint8_t *filter = search->queries[query].filter;
	unsigned n = 0;

	for (unsigned p = 0; p < slice->bits; p++) {
		unsigned bit = slice->bit_of_plane[p];

		offsets[n] = (uint16_t)(p * LINE_OFFSETS);
		n += filter[bit / 8] >> bit % 8 & 1;
	}
	while (n % KERNEL_ROUND != 0)
		offsets[n++] = (uint16_t)(slice->bits * LINE_OFFSETS);
	search->scan[query] = (struct kernel_slice_query){offsets, (uint16_t)(n / KERNEL_ROUND)};
}

/* Cost of reading n_rounds rounds of planes in the sample blocks, survivors' checks included, in rounds. */
static unsigned cost_of(struct search *search, size_t query, unsigned n_rounds, const uint32_t *blocks, unsigned n)
{
	const struct slice *slice = search->plan->slice;
	struct kernel_slice_query scan = {search->scan[query].offsets, (uint16_t)n_rounds};
	unsigned cost = n * n_rounds;

	for (unsigned i = 0; i < n; i++) {
		static const uint16_t first = 0;
		uint16_t budget = budget_of(search, blocks[i], query);
		uint64_t alive[BLOCK_WORDS];

		search->plan->kernel->slice_scan(slice->planes + blocks[i] * block_bytes(slice), &scan, &first, &budget,
						 1, alive);
		for (unsigned w = 0; w < BLOCK_WORDS; w++)
			cost += search->plan->kernel->check_rounds * (unsigned)__builtin_popcountll(alive[w]);
	}
	return cost;
}

/* Walk from what suited the query before to the nearest number of rounds that costs least. */
static unsigned calibrate(struct search *search, size_t query, unsigned start)
{
	const struct slice *slice = search->plan->slice;
	unsigned most = search->scan[query].n_rounds, n = 0, rounds, cost, step;
	uint32_t blocks[SAMPLE_BLOCKS], first = 0, end = slice->n_blocks;

	while (first < end && budget_of(search, first, query) == IMPOSSIBLE)
		first++;
	while (first < end && budget_of(search, end - 1, query) == IMPOSSIBLE)
		end--;
	for (unsigned i = 0; i < SAMPLE_BLOCKS; i++) {
		uint32_t block = first + (uint32_t)((uint64_t)(end - first) * (2 * i + 1) / (2 * SAMPLE_BLOCKS));

		if (block < end && budget_of(search, block, query) != IMPOSSIBLE)
			blocks[n++] = block;
	}
	if (n == 0 || most < 2)
		return most;
	rounds = start < 1 ? 1 : start > most ? most : start;
	cost = cost_of(search, query, rounds, blocks, n);
	for (step = 1; rounds + step <= most; rounds += step) {
		unsigned next = cost_of(search, query, rounds + step, blocks, n);

		if (next >= cost)
			break;
		cost = next;
	}
	for (; rounds > step; rounds -= step) {
		unsigned next = cost_of(search, query, rounds - step, blocks, n);

		if (next > cost)
			break;
		cost = next;
	}
	return rounds;
}

static bool goes_before(const struct search *search, uint16_t x, uint16_t y, bool by_rounds)
{
	if (by_rounds && search->scan[x].n_rounds != search->scan[y].n_rounds)
		return search->scan[x].n_rounds < search->scan[y].n_rounds;
	return search->queries[x].popcount < search->queries[y].popcount;
}

static void sort_queries(struct search *search, bool by_rounds)
{
	for (size_t i = 0; i < search->n; i++) {
		uint16_t q = search->order[i];
		size_t at = i;

		for (; at > 0 && goes_before(search, q, search->order[at - 1], by_rounds); at--)
			search->order[at] = search->order[at - 1];
		search->order[at] = q;
	}
}

static void prepare(struct search *search)
{
	unsigned start = search->plan->max_rounds / 4;

	for (size_t q = 0; q < search->n; q++) {
		search->place[q] = search->plan->place_of_a[search->queries[q].popcount];
		search->order[q] = (uint16_t)q;
		list_planes(search, q, search->offsets + q * (search->plan->max_rounds + 1) * KERNEL_ROUND);
	}
	sort_queries(search, false);
	for (size_t i = 0; i < search->n; i++) {
		size_t q = search->order[i];

		start = calibrate(search, q, start);
		search->scan[q].n_rounds = (uint16_t)start;
	}
	sort_queries(search, true);
}

/* List what is alive, a list a query, and have its rows fetched. */
static void list_survivors(struct search *search, size_t n, const uint8_t *rows, uint32_t n_rows)
{
	size_t row_bytes = search->plan->slice->n_lines * KERNEL_LINE;
	uint32_t n_all = 0;

	for (size_t i = 0; i < n; i++) {
		const uint64_t *alive = search->alive + i * BLOCK_WORDS;
		uint32_t before = n_all;

		for (unsigned w = 0; w < BLOCK_WORDS; w++) {
			for (uint64_t word = alive[w]; word != 0; word &= word - 1) {
				unsigned at = w * 64 + (unsigned)__builtin_ctzll(word);

				if (at >= n_rows)
					break;
				search->survivors[n_all++] = (uint16_t)at;
				__builtin_prefetch(rows + at * row_bytes);
			}
		}
		search->n_survivors[i] = n_all - before;
	}
}

static enum rc add_hit(struct slice_hits *hits, struct slice_hit hit)
{
	if (hits->n == hits->cap) {
		size_t cap = hits->cap * 2 + 256;
		struct slice_hit *grown = realloc(hits->hits, cap * sizeof *grown);

		if (grown == NULL)
			return RC_NOMEM;
		hits->hits = grown;
		hits->cap = cap;
	}
	hits->hits[hits->n++] = hit;
	return RC_OK;
}

static enum rc check_survivors(struct search *search, size_t n, uint32_t first, const uint8_t *rows)
{
	const struct slice_plan *plan = search->plan;
	const struct slice *slice = plan->slice;
	const uint16_t *list = search->survivors;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < n; list += search->n_survivors[i], i++) {
		uint16_t q = search->chosen[i];
		const uint16_t *need = plan->need + (size_t)search->place[q] * plan->n_b;
		uint32_t n_list = search->n_survivors[i];

		if (n_list == 0)
			continue;
		plan->kernel->count_list(search->queries[q].filter, rows, slice->n_lines, list, n_list, search->counts);
		for (uint32_t j = 0; j < n_list && rc == RC_OK; j++) {
			uint32_t value = first + list[j];

			if (search->counts[j] >= need[slice->popcounts[value] - plan->low])
				rc = add_hit(search->hits, (struct slice_hit){value, q, search->counts[j]});
		}
	}
	return rc;
}

static enum rc search_blocks(struct search *search)
{
	const struct slice *slice = search->plan->slice;
	enum rc rc = RC_OK;

	for (uint32_t block = 0; block < slice->n_blocks && rc == RC_OK; block++) {
		uint32_t first = block * KERNEL_BLOCK;
		const uint8_t *rows = slice->rows + (size_t)first * slice->n_lines * KERNEL_LINE;
		size_t n = 0;

		for (size_t i = 0; i < search->n; i++) {
			search->chosen[n] = search->order[i];
			search->budgets[n] = budget_of(search, block, search->order[i]);
			n += search->budgets[n] != IMPOSSIBLE;
		}
		search->plan->kernel->slice_scan(slice->planes + block * block_bytes(slice), search->scan,
						 search->chosen, search->budgets, n, search->alive);
		list_survivors(search, n, rows, slice->n - first);
		rc = check_survivors(search, n, first, rows);
		if (search->cancel != NULL && atomic_load(search->cancel))
			rc = RC_STOPPING;
	}
	return rc;
}

enum rc slice_search(const struct slice_plan *plan, const struct slice_query *queries, size_t n,
		     const atomic_bool *cancel, struct slice_hits *hits)
{
	struct search *search;
	enum rc rc = RC_NOMEM;

	if (n > SLICE_TILE)
		return RC_INVALID;
	if (n == 0 || plan->slice->n == 0)
		return RC_OK;
	search = malloc(sizeof *search);
	if (search == NULL)
		return RC_NOMEM;
	search->plan = plan;
	search->queries = queries;
	search->hits = hits;
	search->cancel = cancel;
	search->n = n;
	search->offsets = malloc(n * (plan->max_rounds + 1) * KERNEL_ROUND * sizeof *search->offsets);
	if (search->offsets != NULL) {
		prepare(search);
		rc = search_blocks(search);
	}
	free(search->offsets);
	free(search);
	return rc;
}
