/* libs: tc_link */
/* labels: quick threads */
/* The bit-sliced search and the join find exactly what a loop over all pairs finds: random shapes, odd lengths, joint
 * comparisons, diffusion, odd weights, empty filters, all equal, all missing; any kernel, any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "daemon/link/join.h"
#include "tests/unit/link_fixture.h"

/* ---- the bit-sliced search ---- */

enum { MAX_FILTERS = 1400, MAX_BITS = 1032, MAX_LINES = 3 };

struct shape {
	unsigned bits, n_filters, fill; /* fill: set bits a filter, of 256 */
	bool alike;                     /* filters are copies of a few, with errors */
};

static uint16_t count_bits(const uint8_t *filter, unsigned bits)
{
	unsigned n = 0;

	for (unsigned b = 0; b < bits; b++)
		n += filter[b / 8] >> b % 8 & 1;
	return (uint16_t)n;
}

static void fill_filter(uint8_t *filter, const struct shape *shape, struct random *r)
{
	struct random value = {shape->alike ? random_below(r, 5) : random_next(r)};

	memset(filter, 0, MAX_LINES * KERNEL_LINE);
	for (unsigned b = 0; b < shape->bits; b++) {
		bool bit = random_below(&value, 256) < shape->fill;

		if (shape->alike && random_below(r, 12) == 0)
			bit = !bit;
		filter[b / 8] = (uint8_t)(filter[b / 8] | (unsigned)bit << b % 8);
	}
	if (random_below(r, 40) == 0)
		memset(filter, 0, MAX_LINES * KERNEL_LINE);
}

static int compare_popcounts(const void *x, const void *y)
{
	unsigned a = count_bits(x, MAX_BITS), b = count_bits(y, MAX_BITS);

	return (a > b) - (a < b);
}

static void check_slice(const struct kernel *kernel, const struct shape *shape, unsigned diffusion, struct random *r)
{
	static const uint16_t cuts[] = {300, 600, 800, 1000};
	static _Alignas(64) uint8_t rows[MAX_FILTERS * MAX_LINES * KERNEL_LINE], asked[40 * MAX_LINES * KERNEL_LINE];
	static uint16_t popcounts[MAX_FILTERS];
	static bool expected[40][MAX_FILTERS];
	size_t n_lines = (shape->bits + 511) / 512, stride = n_lines * KERNEL_LINE;
	bool is_present[MAX_BITS + 1] = {false};
	struct slice_query queries[40];
	struct level_inverse inverse;
	atomic_bool not_locked = false;

	for (unsigned i = 0; i < shape->n_filters; i++)
		fill_filter(rows + i * MAX_LINES * KERNEL_LINE, shape, r);
	qsort(rows, shape->n_filters, MAX_LINES * KERNEL_LINE, compare_popcounts);
	for (unsigned i = 0; i < shape->n_filters; i++) {
		memmove(rows + i * stride, rows + i * MAX_LINES * KERNEL_LINE, stride);
		popcounts[i] = count_bits(rows + i * stride, shape->bits);
	}
	for (unsigned q = 0; q < 40; q++) {
		uint8_t filter[MAX_LINES * KERNEL_LINE];

		fill_filter(filter, shape, r);
		memcpy(asked + q * stride, filter, stride);
		queries[q] = (struct slice_query){asked + q * stride, count_bits(filter, shape->bits)};
		is_present[queries[q].popcount] = true;
	}
	assert_int_equal(level_inverse_init(&inverse, shape->bits, diffusion), RC_OK);
	for (unsigned digit = 2; digit <= 5; digit++) {
		struct slice_filters filters = {rows, popcounts, shape->n_filters, shape->bits, n_lines};
		struct slice_level level = {&inverse, cuts, 4, digit};
		struct slice_hits hits = {0};
		struct slice_plan *plan = NULL;
		struct slice slice;
		size_t n_expected = 0;

		assert_int_equal(slice_init(&slice, &filters, LINK_MEMORY_PLAIN, &not_locked), RC_OK);
		assert_int_equal(slice_plan_new(&slice, kernel, &level, is_present, &plan), RC_OK);
		assert_int_equal(slice_search(plan, queries, 40, NULL, &hits), RC_OK);
		for (unsigned q = 0; q < 40; q++) {
			for (unsigned i = 0; i < shape->n_filters; i++) {
				uint16_t both;

				kernel_scalar.count_run(queries[q].filter, rows + i * stride, n_lines, 1, &both);
				expected[q][i] = popcounts[i] != 0 && queries[q].popcount != 0 &&
						 level_digit(&inverse, cuts, 4, queries[q].popcount, popcounts[i],
							     both) >= digit;
				n_expected += expected[q][i];
			}
		}
		assert_int_equal(hits.n, n_expected);
		for (size_t h = 0; h < hits.n; h++) {
			assert_true(expected[hits.hits[h].query][hits.hits[h].value]);
			expected[hits.hits[h].query][hits.hits[h].value] = false; /* once only */
		}
		free(hits.hits);
		slice_plan_free(plan);
		slice_deinit(&slice);
	}
	level_inverse_deinit(&inverse);
}

static void test_slice_finds_what_a_loop_finds(void **state)
{
	static const struct shape shapes[] = {
		{1024, 1400, 95, false}, {1024, 900, 95, true}, {1024, 513, 128, true}, {512, 512, 40, true},
		{512, 511, 20, false},   {264, 700, 60, true},  {64, 600, 30, false},   {64, 1, 200, true},
		{512, 0, 40, false},     {1032, 30, 250, true}, {512, 600, 0, false},   {512, 600, 256, false},
	};
	struct random r = {7};

	for (enum link_kernel id = LINK_KERNEL_SCALAR; id <= LINK_KERNEL_AVX512; id++) {
		if (!link_kernel_is_available(id))
			continue;
		for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
			check_slice(kernel_choose(id), &shapes[s], s % 3 == 1 ? 2 : 0, &r);
	}
}

static void test_slice_stops(void **state)
{
	static _Alignas(64) uint8_t row[KERNEL_LINE] = {1};
	uint16_t popcount = 1;
	static const uint16_t cuts[] = {500};
	bool is_present[513] = {[1] = true};
	struct level_inverse inverse;
	struct slice_filters filters = {row, &popcount, 1, 512, 1};
	struct slice_level level = {&inverse, cuts, 1, 2};
	struct slice_query query = {row, 1};
	struct slice_hits hits = {0};
	struct slice_plan *plan = NULL;
	struct slice slice;
	atomic_bool cancel = true, not_locked = false;

	assert_int_equal(level_inverse_init(&inverse, 512, 0), RC_OK);
	assert_int_equal(slice_init(&slice, &filters, LINK_MEMORY_TRY_LOCK, &not_locked), RC_OK);
	assert_int_equal(slice_plan_new(&slice, kernel_choose(LINK_KERNEL_AUTO), &level, is_present, &plan), RC_OK);
	assert_int_equal(slice_search(plan, &query, 1, &cancel, &hits), RC_STOPPING);
	assert_int_equal(slice_search(plan, &query, SLICE_TILE + 1, NULL, &hits), RC_INVALID);
	free(hits.hits);
	slice_plan_free(plan);
	slice_deinit(&slice);
	level_inverse_deinit(&inverse);
}

/* ---- the join ---- */

enum { MAX_ROWS = 420 };

static void random_comparison(struct study_comparison *c, unsigned first, unsigned n, struct random *r)
{
	unsigned n_levels = 1;
	bool is_odd = random_below(r, 4) == 0;

	memset(c, 0, sizeof *c);
	c->n_filters = (uint8_t)n;
	for (unsigned i = 0; i < n; i++) {
		unsigned most = n == 1 ? 11 : n == 2 ? 7 : 2;

		c->filters[i] = (uint8_t)(first + i);
		c->n_cuts[i] = (uint8_t)(1 + random_below(r, most));
		for (unsigned k = 0; k < c->n_cuts[i]; k++)
			c->cuts[i][k] = (uint16_t)(1000 * (k + 1) / c->n_cuts[i]);
		n_levels *= c->n_cuts[i] + 2u;
	}
	c->n_levels = (uint8_t)(n_levels - 1);
	for (unsigned level = 1; level < n_levels; level++) {
		unsigned rest = level;
		int weight = 0;

		for (unsigned i = 0; i < n; rest /= c->n_cuts[i] + 2u, i++) {
			int digit = (int)(rest % (c->n_cuts[i] + 2u));

			weight += digit == 0 ? 0 : -4 * 256 + 12 * 256 * (digit - 1) / c->n_cuts[i];
		}
		/* Odd: no order at all, as a study may have it. */
		c->reference_weight[level] = (int16_t)(is_odd ? (int)random_below(r, 3000) - 1500 : weight);
	}
}

static void random_domain(struct study_domain *domain, struct random *r)
{
	static const uint16_t lengths[] = {64, 72, 256, 264, 512, 520, 1024};

	memset(domain, 0, sizeof *domain);
	while (domain->n_filters == 0 || random_below(r, 4) != 0) {
		unsigned n = random_below(r, 3) == 0 ? 2 + random_below(r, 2) : 1;

		if (domain->n_filters + n > 7)
			break;
		random_comparison(&domain->comparisons[domain->n_comparisons++], domain->n_filters, n, r);
		for (unsigned i = 0; i < n; i++) {
			struct study_filter *filter = &domain->filters[domain->n_filters++];

			filter->bits = lengths[random_below(r, sizeof lengths / sizeof lengths[0])];
			filter->diffusion = (uint16_t)(random_below(r, 4) == 0 ? 2 + random_below(r, 2) : 0);
		}
	}
	domain->floor = ((int32_t)random_below(r, 40) - 10) * 200;
}

static struct link_pool *random_pool(const struct study_domain *domain, enum link_kernel kernel, uint32_t n_rows,
				     struct random *r)
{
	static const uint32_t n_values[] = {1, 3, 30, 1000, 100000};
	struct link_options options = {kernel, LINK_MEMORY_PLAIN, 1 + random_below(r, 3)};
	uint32_t values = n_values[random_below(r, 5)], all_missing = random_below(r, 12) == 0;
	unsigned error_in = random_below(r, 4), missing_in = all_missing ? 1 : random_below(r, 3) * 4;
	struct link_pool *pool = NULL;
	struct fixture_row row;

	assert_int_equal(link_pool_new(domain, &options, &pool), RC_OK);
	for (uint32_t i = 0; i < n_rows; i++) {
		uint32_t number;

		fixture_person(domain, &row, (uint16_t)(i % 2), i, i / 2, values, error_in, missing_in);
		assert_int_equal(link_pool_add(pool, &row.row, &number), RC_OK);
	}
	return pool;
}

static int compare_rows(const void *x, const void *y)
{
	const struct link_pair *p = x, *q = y;

	if (p->b != q->b)
		return p->b < q->b ? -1 : 1;
	return (p->a > q->a) - (p->a < q->a);
}

/* Rows asking_first … end-1 ask an index of rows 0 … indexed_end-1. */
static size_t check_join(struct link_pool *pool, uint32_t indexed_end, uint32_t asking_first, uint32_t end)
{
	struct index *asking = NULL, *indexed = NULL;
	struct pair_list chunks[MAX_ROWS / JOIN_CHUNK + 1] = {{0}};
	const struct study_domain *domain = pool->domain;
	size_t n_found = 0, at = 0;
	struct link_pair *found;

	assert_int_equal(index_new(pool, &(struct index_range){asking_first, end, false, 2}, NULL, &asking), RC_OK);
	assert_int_equal(index_new(pool, &(struct index_range){0, indexed_end, true, 2}, NULL, &indexed), RC_OK);
	assert_int_equal(join_run(asking, indexed, NULL, chunks), RC_OK);
	for (size_t i = 0; i < MAX_ROWS / JOIN_CHUNK + 1; i++)
		n_found += chunks[i].n;
	found = malloc((n_found + 1) * sizeof *found);
	assert_non_null(found);
	for (size_t i = 0; i < MAX_ROWS / JOIN_CHUNK + 1; i++) {
		if (chunks[i].n > 0)
			memcpy(found + at, chunks[i].pairs, chunks[i].n * sizeof *found);
		at += chunks[i].n;
		free(chunks[i].pairs);
	}
	qsort(found, n_found, sizeof *found, compare_rows);
	at = 0;
	for (uint32_t b = asking_first; b < end; b++) {
		for (uint32_t a = 0; a < b && a < indexed_end; a++) {
			struct link_pattern pattern = link_pattern_of(pool, a, b);
			int32_t weight = 0;

			for (unsigned c = 0; c < domain->n_comparisons; c++)
				weight += domain->comparisons[c].reference_weight[pattern.level[c]];
			if (weight < domain->floor || !pool_is_lead(pool, a) || !pool_is_lead(pool, b))
				continue;
			assert_true(at < n_found);
			assert_int_equal(found[at].b, b);
			assert_int_equal(found[at].a, a);
			assert_memory_equal(&found[at].pattern, &pattern, sizeof pattern);
			at++;
		}
	}
	assert_int_equal(at, n_found);
	free(found);
	index_free(asking);
	index_free(indexed);
	return n_found;
}

static void test_join_finds_what_a_loop_finds(void **state)
{
	static const uint32_t n_rows[] = {0, 1, 2, 60, 257, MAX_ROWS};
	struct random r = {2024};
	size_t n_found = 0;

	for (unsigned round = 0; round < 90; round++) {
		enum link_kernel kernel = (enum link_kernel)(round % 4);
		uint32_t n = n_rows[random_below(&r, 6)], middle = n > 0 ? random_below(&r, n) : 0;
		struct study_domain domain;
		struct link_pool *pool;

		random_domain(&domain, &r);
		if (!link_kernel_is_available(kernel))
			kernel = LINK_KERNEL_SCALAR;
		pool = random_pool(&domain, kernel, n, &r);
		n_found += check_join(pool, n, 0, n);           /* all at once */
		n_found += check_join(pool, middle, middle, n); /* newcomers against a segment */
		n_found += check_join(pool, n, middle, n);      /* newcomers are in the segment themselves */
		link_pool_free(pool);
	}
	assert_true(n_found > 100000);
}

static void test_join_stops(void **state)
{
	struct random r = {5};
	struct study_domain domain;
	struct link_pool *pool;
	struct index *index = NULL, *asking = NULL;
	struct pair_list chunks[2] = {{0}};
	atomic_bool cancel = true;

	fixture_domain(&domain, NULL);
	pool = random_pool(&domain, LINK_KERNEL_AUTO, 300, &r);
	assert_int_equal(index_new(pool, &(struct index_range){0, 300, true, 2}, &cancel, &index), RC_STOPPING);
	assert_null(index);
	assert_int_equal(index_new(pool, &(struct index_range){0, 300, true, 2}, NULL, &index), RC_OK);
	assert_int_equal(index_new(pool, &(struct index_range){0, 300, false, 2}, NULL, &asking), RC_OK);
	assert_int_equal(join_run(asking, index, &cancel, chunks), RC_STOPPING);
	index_free(asking);
	free(chunks[0].pairs);
	free(chunks[1].pairs);
	index_free(index);
	link_pool_free(pool);
}

/* The plan goes by the values, not by the order in which rows came. */
static void test_plan_is_the_same_in_any_order(void **state)
{
	struct study_domain domain;
	static struct join_plan plans[2];

	fixture_domain(&domain, NULL);
	for (unsigned turn = 0; turn < 2; turn++) {
		struct link_options options = {LINK_KERNEL_AUTO, LINK_MEMORY_PLAIN, 1};
		struct link_pool *pool = NULL;
		struct index *index = NULL, *asking = NULL;
		struct fixture_row row;
		uint32_t number;

		assert_int_equal(link_pool_new(&domain, &options, &pool), RC_OK);
		for (uint32_t i = 0; i < 500; i++) {
			uint32_t record = turn == 0 ? i : i * 7 % 500;

			fixture_person(&domain, &row, 0, record, record / 2, 40, 3, 9);
			assert_int_equal(link_pool_add(pool, &row.row, &number), RC_OK);
		}
		assert_int_equal(index_new(pool, &(struct index_range){0, 500, true, 2}, NULL, &index), RC_OK);
		assert_int_equal(index_new(pool, &(struct index_range){0, 500, false, 2}, NULL, &asking), RC_OK);
		assert_int_equal(join_plan_make(asking, index, &plans[turn]), RC_OK);
		index_free(asking);
		index_free(index);
		link_pool_free(pool);
	}
	plans[0].domain = plans[1].domain = NULL;
	plans[0].pool_axes = plans[1].pool_axes = NULL; /* of two pools */
	assert_memory_equal(&plans[0], &plans[1], sizeof plans[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slice_finds_what_a_loop_finds), cmocka_unit_test(test_slice_stops),
		cmocka_unit_test(test_join_finds_what_a_loop_finds),  cmocka_unit_test(test_join_stops),
		cmocka_unit_test(test_plan_is_the_same_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
