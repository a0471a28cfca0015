/* libs: tc_link */
/* labels: quick threads */
/* wraps: index_new */
/* The pool keeps what it is given; the comparison finds exactly the pairs of a brute-force loop, whatever the kernel,
 * the number of threads or the order in which rows came. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "daemon/link/index.h"
#include "daemon/link/pool.h"
#include "daemon/link/sealed.h"
#include "tests/unit/link_fixture.h"

enum { N_ROWS = 700 };

static atomic_bool merges_fail;

enum rc __real_index_new(struct link_pool *pool, const struct index_range *range, const atomic_bool *cancel,
			 struct index **ret);
enum rc __wrap_index_new(struct link_pool *pool, const struct index_range *range, const atomic_bool *cancel,
			 struct index **ret);
/* A merge is what is indexed by one thread, where the pool has two. */
enum rc __wrap_index_new(struct link_pool *pool, const struct index_range *range, const atomic_bool *cancel,
			 struct index **ret)
{
	if (atomic_load(&merges_fail) && range->n_threads == 1)
		return RC_NOMEM;
	return __real_index_new(pool, range, cancel, ret);
}

static void add_rows(struct link_pool *pool, uint32_t end, unsigned n_values)
{
	struct fixture_row r;

	for (uint32_t i = link_pool_n_rows(pool); i < end; i++) {
		uint32_t row = UINT32_MAX;

		fixture_person(pool->domain, &r, (uint16_t)(i % 2), i, i / 2, n_values, 4, 10);
		assert_int_equal(link_pool_add(pool, &r.row, &row), RC_OK);
		assert_int_equal(row, i);
	}
}

static struct link_pool *make_pool(const struct study_domain *domain, enum link_kernel kernel, unsigned n_threads,
				   uint32_t n_rows, unsigned n_values)
{
	struct link_options options = {kernel, LINK_MEMORY_TRY_LOCK, n_threads};
	struct link_pool *pool = NULL;

	assert_int_equal(link_pool_new(domain, &options, &pool), RC_OK);
	add_rows(pool, n_rows, n_values);
	assert_int_equal(link_pool_n_rows(pool), n_rows);
	return pool;
}

/* The level by the definition, in doubles far from any cut's rounding. */
static unsigned level_by_definition(const uint8_t *a, const uint8_t *b, size_t len)
{
	static const double cuts[] = {.4, .6, .8, 1};
	unsigned na = 0, nb = 0, both = 0, digit = 1;

	for (size_t i = 0; i < len * 8; i++) {
		unsigned x = (unsigned)a[i / 8] >> i % 8 & 1, y = (unsigned)b[i / 8] >> i % 8 & 1;

		na += x;
		nb += y;
		both += x & y;
	}
	if (na == 0 || nb == 0)
		return 0;
	for (unsigned k = 0; k < 4; k++)
		digit += 2.0 * both / (na + nb) >= cuts[k] - 1e-9;
	return digit;
}

static size_t brute_force(const struct study_domain *domain, const struct link_pool *pool, struct link_pair *pairs)
{
	size_t n = 0;

	for (uint32_t b = 0; b < N_ROWS; b++) {
		for (uint32_t a = 0; a < b; a++) {
			struct link_pair pair = {.a = a, .b = b};
			int32_t weight = 0;
			unsigned digit[5];

			for (unsigned f = 0; f < 5; f++)
				digit[f] = level_by_definition(pool_filter(pool, a, f), pool_filter(pool, b, f),
							       domain->filters[f].bits / 8);
			for (unsigned c = 0; c < 3; c++)
				pair.pattern.level[c] = (uint8_t)digit[c];
			pair.pattern.level[3] = (uint8_t)(digit[3] + 6 * digit[4]);
			for (unsigned c = 0; c < 4; c++)
				weight += domain->comparisons[c].reference_weight[pair.pattern.level[c]];
			if (weight >= domain->floor)
				pairs[n++] = pair;
		}
	}
	return n;
}

static void assert_same_pairs(const struct link_pair *x, size_t n_x, const struct link_pair *y, size_t n_y)
{
	assert_int_equal(n_x, n_y);
	for (size_t i = 0; i < n_x; i++) {
		assert_int_equal(x[i].a, y[i].a);
		assert_int_equal(x[i].b, y[i].b);
		assert_memory_equal(&x[i].pattern, &y[i].pattern, sizeof x[i].pattern);
	}
}

static void test_equals_brute_force(void **state)
{
	static struct link_pair expected[N_ROWS * N_ROWS / 2];
	struct study_domain domain;
	size_t n_expected = 0;

	fixture_domain(&domain, NULL);
	for (enum link_kernel id = LINK_KERNEL_AUTO; id <= LINK_KERNEL_AVX512; id++) {
		for (unsigned n_threads = 1; n_threads <= 3; n_threads++) {
			struct link_pool *pool;
			struct link_pair *pairs = NULL;
			size_t n = 0;

			if (!link_kernel_is_available(id))
				continue;
			pool = make_pool(&domain, id, n_threads, N_ROWS, 30);
			if (n_expected == 0) /* the same records each time */
				n_expected = brute_force(&domain, pool, expected);
			assert_true(n_expected > N_ROWS / 4);
			assert_int_equal(link_compare(pool, 0, N_ROWS, NULL, &pairs, &n), RC_OK);
			assert_same_pairs(pairs, n, expected, n_expected);
			for (size_t i = 0; i < n; i += 17) {
				struct link_pattern pattern = link_pattern_of(pool, pairs[i].a, pairs[i].b);

				assert_memory_equal(&pattern, &pairs[i].pattern, sizeof pattern);
			}
			free(pairs);
			link_pool_free(pool);
		}
	}
}

static void test_incremental_equals_all_at_once(void **state)
{
	enum { MANY = POOL_BLOCK_ROWS + 123 };
	static const uint32_t ends[] = {0, 1, 2, 700, 701, POOL_BLOCK_ROWS, POOL_BLOCK_ROWS + 1, MANY};
	struct study_domain domain;
	struct link_pool *pool;
	struct link_pair *all = NULL, *joined;
	size_t n_all = 0, n_joined = 0;

	fixture_domain(&domain, NULL);
	domain.floor = 20 * 256;
	pool = make_pool(&domain, LINK_KERNEL_AUTO, 2, MANY, 30);
	assert_int_equal(link_compare(pool, 0, MANY, NULL, &all, &n_all), RC_OK);
	assert_true(n_all > 1000);
	joined = calloc(n_all, sizeof *joined);
	assert_non_null(joined);
	for (size_t i = 1; i < sizeof ends / sizeof ends[0]; i++) {
		struct link_pair *some = NULL;
		size_t n_some = 0;

		assert_int_equal(link_compare(pool, ends[i - 1], ends[i], NULL, &some, &n_some), RC_OK);
		assert_true(n_joined + n_some <= n_all);
		if (n_some > 0)
			memcpy(joined + n_joined, some, n_some * sizeof *some);
		n_joined += n_some;
		free(some);
	}
	assert_same_pairs(joined, n_joined, all, n_all);
	/* Bounded: all at once is refused, rows at a time are not. */
	struct link_pair *some = NULL;
	size_t n_some = 0;
	link_pool_limit_pairs(pool, n_all / 2);
	assert_int_equal(link_compare(pool, 0, MANY, NULL, &some, &n_some), RC_TOO_LARGE);
	assert_null(some);
	assert_int_equal(link_compare(pool, 0, 700, NULL, &some, &n_some), RC_OK);
	assert_same_pairs(some, n_some, all, n_some);
	free(some);
	free(joined);
	free(all);
	link_pool_free(pool);
}

/* How the sealed rows of a pool lie. */
static unsigned n_segments_of(struct link_pool *pool, uint32_t compared, uint32_t *ret_rows)
{
	struct index *const *segments;
	unsigned n;

	assert_int_equal(sealed_use(pool->sealed, compared, NULL, &segments, &n), RC_OK);
	for (unsigned i = 0; i < n && ret_rows != NULL; i++)
		ret_rows[i] = index_n_rows(segments[i]);
	sealed_release(pool->sealed, compared);
	return n;
}

/* Rows in many segments, merged as they come, with a tail: the same pairs as without any. */
static void test_segments_change_nothing(void **state)
{
	enum { MANY = 3 * POOL_BLOCK_ROWS + 77, STEP = 1500 };
	struct study_domain domain;
	struct link_pair *all = NULL;
	struct link_pool *pool;
	size_t n_all = 0, at = 0;

	fixture_domain(&domain, NULL);
	domain.floor = 22 * 256;
	pool = make_pool(&domain, LINK_KERNEL_AUTO, 2, MANY, 200);
	assert_int_equal(link_compare(pool, 0, MANY, NULL, &all, &n_all), RC_OK);
	assert_int_equal(n_segments_of(pool, MANY, NULL), 0);
	assert_true(n_all > MANY / 4);
	link_pool_free(pool);
	pool = make_pool(&domain, LINK_KERNEL_AUTO, 2, 0, 200);
	pool->seal_rows = POOL_BLOCK_ROWS;
	for (uint32_t first = 0; first < MANY; first += STEP) {
		struct link_pair *some = NULL;
		size_t n_some = 0;

		add_rows(pool, first + STEP < MANY ? first + STEP : MANY, 200);
		assert_int_equal(
			link_compare(pool, first, first + STEP < MANY ? first + STEP : MANY, NULL, &some, &n_some),
			RC_OK);
		assert_true(at + n_some <= n_all);
		assert_same_pairs(some, n_some, all + at, n_some);
		at += n_some;
		free(some);
	}
	assert_int_equal(at, n_all);
	free(all);
	link_pool_free(pool);
}

/* Of like sizes, side by side, until they are as long as segments become. */
static void test_segments_are_merged(void **state)
{
	enum { MANY = 7 * POOL_BLOCK_ROWS + 11 };
	static const uint32_t expected[] = {4, 2, 1};
	struct study_domain domain;
	struct link_pool *pool;
	uint32_t n_rows[SEALED_MAX_SEGMENTS];

	fixture_domain(&domain, NULL);
	pool = make_pool(&domain, LINK_KERNEL_AUTO, 1, 0, 200);
	pool->seal_rows = POOL_BLOCK_ROWS;
	for (uint32_t end = POOL_BLOCK_ROWS; end <= MANY; end += POOL_BLOCK_ROWS) {
		struct link_pair *none = NULL;
		size_t n_none;

		add_rows(pool, end + 11, 200);
		assert_int_equal(link_compare(pool, end, end, NULL, &none, &n_none), RC_OK);
		free(none);
		link_pool_settle(pool);
	}
	assert_int_equal(n_segments_of(pool, MANY, n_rows), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(n_rows[i], expected[i] * POOL_BLOCK_ROWS);
	link_pool_free(pool);
}

static void compare_rows_of(struct link_pool *pool, uint32_t first, uint32_t end)
{
	struct link_pair *pairs = NULL;
	size_t n;

	assert_int_equal(link_compare(pool, first, end, NULL, &pairs, &n), RC_OK);
	free(pairs);
}

/* A merge that fails is counted, and tried again when there is more to merge; the pairs are the same. */
static void test_merges_that_fail(void **state)
{
	struct study_domain domain;
	struct link_pool *pool;
	uint32_t n_rows[SEALED_MAX_SEGMENTS];
	enum rc last = RC_OK;

	fixture_domain(&domain, NULL);
	domain.floor = 26 * 256;
	pool = make_pool(&domain, LINK_KERNEL_AUTO, 2, 0, 200);
	pool->seal_rows = POOL_BLOCK_ROWS;
	atomic_store(&merges_fail, true);
	for (unsigned i = 1; i <= 4; i++) {
		add_rows(pool, i * POOL_BLOCK_ROWS, 200);
		compare_rows_of(pool, i * POOL_BLOCK_ROWS, i * POOL_BLOCK_ROWS);
		link_pool_settle(pool);
		assert_int_equal(n_segments_of(pool, i * POOL_BLOCK_ROWS, NULL), i);
		assert_int_equal(link_pool_merge_failures(pool, &last), i - 1);
	}
	assert_int_equal(last, RC_NOMEM);
	atomic_store(&merges_fail, false);
	add_rows(pool, 5 * POOL_BLOCK_ROWS, 200);
	compare_rows_of(pool, 5 * POOL_BLOCK_ROWS, 5 * POOL_BLOCK_ROWS);
	link_pool_settle(pool);
	assert_int_equal(n_segments_of(pool, 5 * POOL_BLOCK_ROWS, n_rows), 1);
	assert_int_equal(link_pool_merge_failures(pool, &last), 3);
	link_pool_free(pool);
}

/* A first load lies in several segments where values are nearly unique, in two where they repeat: the first shows which
 * it is. They stay apart until their rows have asked. */
static void test_first_load_is_sealed_apart(void **state)
{
	enum { APART = SEALED_APART_SEALS * POOL_BLOCK_ROWS, MANY = 3 * APART };
	struct study_domain domain;
	uint32_t n_rows[SEALED_MAX_SEGMENTS];

	fixture_domain(&domain, NULL);
	domain.floor = 26 * 256;
	for (unsigned unique = 0; unique < 2; unique++) {
		struct link_pool *pool =
			make_pool(&domain, LINK_KERNEL_AUTO, 2, MANY, unique != 0 ? UINT32_C(1) << 30 : 200);

		pool->seal_rows = POOL_BLOCK_ROWS;
		compare_rows_of(pool, 10, 20);
		link_pool_settle(pool);
		assert_int_equal(n_segments_of(pool, 20, n_rows), unique != 0 ? 3 : 2);
		assert_int_equal(n_rows[0], APART);
		assert_int_equal(n_rows[1], unique != 0 ? APART : 2 * APART);
		compare_rows_of(pool, MANY, MANY);
		link_pool_settle(pool);
		assert_int_equal(n_segments_of(pool, MANY, n_rows), 1);
		assert_int_equal(n_rows[0], MANY);
		link_pool_free(pool);
	}
}

/* ---- everything at once ---- */

struct beside {
	struct link_pool *pool;
	uint32_t n;
};

static void *add_beside(void *arg)
{
	struct beside *beside = arg;

	add_rows(beside->pool, beside->n, 200);
	return NULL;
}

/* Rows come while others are compared and segments are merged: the pairs are those of a pool that had all at once. */
static void test_merging_beside_all_else(void **state)
{
	enum { MANY = 5 * POOL_BLOCK_ROWS + 5, STEP = POOL_BLOCK_ROWS / 2 + 7 };
	struct study_domain domain;
	struct link_pair *all = NULL;
	struct link_pool *pool;
	pthread_t adder;
	size_t n_all = 0, at = 0;
	uint32_t first = 0;

	fixture_domain(&domain, NULL);
	domain.floor = 26 * 256;
	pool = make_pool(&domain, LINK_KERNEL_AUTO, 2, MANY, 200);
	assert_int_equal(link_compare(pool, 0, MANY, NULL, &all, &n_all), RC_OK);
	assert_true(n_all > MANY / 8);
	link_pool_free(pool);
	pool = make_pool(&domain, LINK_KERNEL_AUTO, 2, 0, 200);
	pool->seal_rows = POOL_BLOCK_ROWS;
	struct beside beside = {pool, MANY};
	assert_int_equal(pthread_create(&adder, NULL, add_beside, &beside), 0);
	while (first < MANY) {
		struct link_pair *some = NULL;
		size_t n_some = 0;
		uint32_t end = first + STEP < MANY ? first + STEP : MANY;

		while (link_pool_n_rows(pool) < end)
			sched_yield();
		assert_int_equal(link_compare(pool, first, end, NULL, &some, &n_some), RC_OK);
		assert_true(at + n_some <= n_all);
		assert_same_pairs(some, n_some, all + at, n_some);
		at += n_some;
		first = end;
		free(some);
	}
	assert_int_equal(pthread_join(adder, NULL), 0);
	assert_int_equal(at, n_all);
	free(all);
	link_pool_free(pool); /* with a merge under way, perhaps */
}

static void test_cancel_and_bad_bounds(void **state)
{
	atomic_bool cancel = true;
	struct study_domain domain;
	struct link_pool *pool;
	struct link_pair *pairs = NULL;
	size_t n = 99;

	fixture_domain(&domain, NULL);
	pool = make_pool(&domain, LINK_KERNEL_AUTO, 2, 100, 30);
	assert_int_equal(link_compare(pool, 0, 100, &cancel, &pairs, &n), RC_STOPPING);
	assert_int_equal(link_compare(pool, 0, 101, NULL, &pairs, &n), RC_INVALID);
	assert_int_equal(link_compare(pool, 51, 50, NULL, &pairs, &n), RC_INVALID);
	assert_null(pairs);
	assert_int_equal(n, 99);
	assert_int_equal(link_compare(pool, 100, 100, NULL, &pairs, &n), RC_OK);
	assert_int_equal(n, 0);
	free(pairs);
	link_pool_free(pool);
}

static void test_unusable_domains_are_refused(void **state)
{
	struct link_options options = {LINK_KERNEL_SCALAR, LINK_MEMORY_PLAIN, 1};
	struct study_domain domain;
	struct link_pool *pool = NULL;

	fixture_domain(&domain, NULL);
	domain.filters[2].bits = 511;
	assert_int_equal(link_pool_new(&domain, &options, &pool), RC_INVALID);
	fixture_domain(&domain, NULL);
	domain.comparisons[3].filters[1] = 5;
	assert_int_equal(link_pool_new(&domain, &options, &pool), RC_INVALID);
	fixture_domain(&domain, NULL);
	domain.comparisons[3].n_levels = 24;
	assert_int_equal(link_pool_new(&domain, &options, &pool), RC_INVALID);
	fixture_domain(&domain, NULL);
	domain.n_comparisons = 0;
	assert_int_equal(link_pool_new(&domain, &options, &pool), RC_INVALID);
	fixture_domain(&domain, NULL);
	options.kernel = (enum link_kernel)99;
	assert_int_equal(link_pool_new(&domain, &options, &pool), RC_INVALID);
	assert_null(pool);
}

/* A filter without a bit, flagged or not, is missing: two of them must not agree. */
static void test_empty_filters_are_missing(void **state)
{
	struct study_domain domain;
	struct link_options options = {LINK_KERNEL_AUTO, LINK_MEMORY_PLAIN, 1};
	struct link_pool *pool = NULL;
	struct fixture_row r;
	struct link_pattern pattern;
	uint32_t row;

	fixture_domain(&domain, NULL);
	assert_int_equal(link_pool_new(&domain, &options, &pool), RC_OK);
	assert_false(link_pool_memory_is_locked(pool));
	for (uint32_t i = 0; i < 2; i++) {
		fixture_person(&domain, &r, 0, i, 7, 30, 0, 0);
		memset(r.bytes[0], 0, sizeof r.bytes[0]);
		r.row.missing[3] = true; /* flagged missing with bits set: the flag wins */
		assert_int_equal(link_pool_add(pool, &r.row, &row), RC_OK);
	}
	pattern = link_pattern_of(pool, 0, 1);
	assert_int_equal(pattern.level[0], 0);
	assert_int_equal(pattern.level[1], 5);
	assert_int_equal(pattern.level[3], 6 * 5);
	link_pool_free(pool);
}

static void test_levels(void **state)
{
	static const uint16_t cuts[] = {300, 700, 1000};
	struct level_inverse plain, diffused;

	assert_int_equal(level_inverse_init(&plain, 512, 0), RC_OK);
	assert_int_equal(level_digit(&plain, cuts, 3, 100, 100, 100), 4);
	assert_int_equal(level_digit(&plain, cuts, 3, 100, 100, 99), 3);
	assert_int_equal(level_digit(&plain, cuts, 3, 100, 100, 70), 3); /* exactly .7 reaches the cut */
	assert_int_equal(level_digit(&plain, cuts, 3, 100, 100, 69), 2);
	assert_int_equal(level_digit(&plain, cuts, 3, 100, 99, 99), 3);
	assert_int_equal(level_digit(&plain, cuts, 3, 1, 1, 0), 1);
	assert_int_equal(level_digit(&plain, cuts, 3, 0, 0, 0), 1);
	level_inverse_deinit(&plain);

	/* t = 2: h' = 2h(1-h). 20 % of the input bits set gives 32 % of the output bits; undone, in eighths of a bit.
	 */
	assert_int_equal(level_inverse_init(&diffused, 1000, 2), RC_OK);
	assert_in_range(diffused.of[320], 200 * 8 - 2, 200 * 8 + 2);
	assert_int_equal(diffused.of[0], 0);
	assert_int_equal(diffused.of[500], 4000);
	assert_int_equal(diffused.of[1000], 4000);
	for (unsigned q = 1; q <= 1000; q++)
		assert_true(diffused.of[q] >= diffused.of[q - 1]);
	assert_int_equal(level_digit(&diffused, cuts, 3, 320, 320, 320), 4);
	/* 60 input bits differ: 112.8 output bits do; Dice (400 - 60) / 400 = .85. */
	assert_int_equal(level_digit(&diffused, cuts, 3, 320, 320, 320 - 56), 3);
	/* Two independent filters differ in 435 output bits: nothing is left in common. */
	assert_int_equal(level_digit(&diffused, cuts, 3, 320, 320, 320 - 217), 1);
	level_inverse_deinit(&diffused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equals_brute_force),
		cmocka_unit_test(test_incremental_equals_all_at_once),
		cmocka_unit_test(test_segments_change_nothing),
		cmocka_unit_test(test_segments_are_merged),
		cmocka_unit_test(test_merges_that_fail),
		cmocka_unit_test(test_first_load_is_sealed_apart),
		cmocka_unit_test(test_merging_beside_all_else),
		cmocka_unit_test(test_cancel_and_bad_bounds),
		cmocka_unit_test(test_unusable_domains_are_refused),
		cmocka_unit_test(test_empty_filters_are_missing),
		cmocka_unit_test(test_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
