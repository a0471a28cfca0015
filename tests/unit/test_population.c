/* libs: tc_stats tc_proto */
/* Estimates of hidden populations: equal to the reference, sane at the edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <jansson.h>

#include "daemon/stats/interval.h"
#include "daemon/stats/population.h"

static json_t *load_vectors(void)
{
	json_error_t error;
	json_t *file = json_load_file(TC_SOURCE_DIR "/tests/data/vectors/population.json", 0, &error);

	if (file == NULL)
		fail_msg("population.json: %s", error.text);
	return file;
}

static json_int_t integer_at(const json_t *array, size_t at)
{
	return json_integer_value(json_array_get(array, at));
}

static void read_counts(const json_t *vector, int64_t *ret, size_t n)
{
	const json_t *counts = json_array_get(vector, 0);

	assert_int_equal(json_array_size(counts), n);
	for (size_t i = 0; i < n; i++)
		ret[i] = integer_at(counts, i);
}

static void test_two_equals_reference(void **state)
{
	json_t *file = load_vectors();
	const json_t *vectors = json_object_get(file, "two");

	(void)state;
	assert_true(json_array_size(vectors) >= 40);
	for (size_t i = 0; i < json_array_size(vectors); i++) {
		const json_t *v = json_array_get(vectors, i);
		int64_t counts[3];
		read_counts(v, counts, 3);
		struct population p = population_two(counts, (uint64_t)integer_at(v, 1), (uint32_t)integer_at(v, 2));
		assert_int_equal(p.available, json_is_integer(json_array_get(v, 3)));
		if (!p.available)
			continue;
		assert_int_equal(p.value, integer_at(v, 3));
		assert_int_equal(p.low, integer_at(v, 4));
		assert_int_equal(p.is_bounded, json_is_integer(json_array_get(v, 5)));
		if (p.is_bounded)
			assert_int_equal(p.high, integer_at(v, 5));
	}
	json_decref(file);
}

/* The reference has real numbers; here limits are rounded outwards on a grid of a ten-thousandth of the unseen. */
static void test_three_equals_reference(void **state)
{
	json_t *file = load_vectors();
	const json_t *vectors = json_object_get(file, "three");

	(void)state;
	assert_true(json_array_size(vectors) >= 12);
	for (size_t i = 0; i < json_array_size(vectors); i++) {
		const json_t *v = json_array_get(vectors, i);
		int64_t counts[7];
		read_counts(v, counts, 7);
		struct population p = population_three(counts, (uint64_t)integer_at(v, 1), (uint32_t)integer_at(v, 2));
		assert_int_equal(p.available, !json_is_null(json_array_get(v, 3)));
		if (!p.available)
			continue;
		double low = json_number_value(json_array_get(v, 4)), high = json_number_value(json_array_get(v, 5));
		assert_int_equal(p.value, integer_at(v, 3));
		assert_true((double)p.low <= low && (double)p.low >= low - 3 - low / 1000);
		assert_int_equal(p.is_bounded, !json_is_null(json_array_get(v, 5)));
		if (p.is_bounded)
			assert_true((double)p.high >= high && (double)p.high <= high + 4 + high / 100);
	}
	json_decref(file);
}

/* Chapman 1951 by hand: 60 marked, 40 caught, 12 of them marked: 61·41/13 − 1 = 191.4. */
static void test_chapman(void **state)
{
	const int64_t counts[3] = {48, 28, 12};
	struct population p = population_two(counts, 1, 0), noisy = population_two(counts, 1, 10000);

	(void)state;
	assert_int_equal(p.value, 191);
	assert_true(p.is_bounded && p.low > 76 && p.low < 191 && p.high > 191);
	assert_true(noisy.low < p.low && (!noisy.is_bounded || noisy.high > p.high));
}

/* Opiate users in Bangkok, 1991 (Mastro et al., Am J Public Health 1994; 84: 1094): 4,064 in methadone treatment, 1,540
 * of those held by the police, 171 on both lists; published without Chapman's correction as 36,600. With it
 * 4065·1541/172 − 1, and ± 1.96 of its standard error (Seber 1970) 31,413 to 41,424. */
static void test_published_two_lists(void **state)
{
	const int64_t counts[3] = {4064 - 171, 1540 - 171, 171};
	struct population p = population_two(counts, 1, 0);

	(void)state;
	assert_int_equal(p.value, 36419);
	assert_in_range(p.value, 36600 * 99 / 100, 36600);
	/* The score interval lies a little higher, as the distribution is skewed. */
	assert_true(p.is_bounded);
	assert_in_range(p.low, 31413, 32500);
	assert_in_range(p.high, 41424, 43000);
}

/* Hepatitis A at a college in Taiwan, 1995, 271 cases on three lists of 135, 122 and 126 (Chao, Tsay, Lin, Shau, Chao,
 * Stat Med 2001; 20: 3123; R package CARE1): the model of three lists that depend on each other in pairs gives 1,313.
 * Two of the lists give 336 without and 334 with Chapman's correction. */
static void test_published_three_lists(void **state)
{
	const int64_t counts[7] = {69, 55, 21, 63, 17, 18, 28}, two[3] = {135 - 49, 122 - 49, 49};
	struct population p = population_three(counts, 1, 0);

	(void)state;
	assert_int_equal(p.value, 1313);
	/* The standard error of log x̂ is √Σ1/n = 0.496, so about two fifths to two and a half times the 1,042 unseen.
	 */
	assert_true(p.is_bounded && p.low > 271 + 300 && p.low < 271 + 700 && p.high > 271 + 2084 &&
		    p.high < 271 + 60000);
	assert_int_equal(population_two(two, 1, 0).value, 334);
}

static void test_edges(void **state)
{
	static const int64_t hostile[][3] = {{0, 0, 0}, {5, 5, -1}, {-9, 5, 3}, {INT64_MAX, 1, 1}, {1, INT64_MIN, 1}};
	const int64_t all_in_both[3] = {0, 0, 50}, zeros[7] = {0},
		      largest[7] = {10000000, 10000000, 1, 10000000, 1, 1, 10000000};

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_false(population_two(hostile[i], 1, 10000).available);
	struct population p = population_two(all_in_both, 1, 0);
	assert_true(p.available && p.value == 50 && p.low == 50 && p.high == 51);
	assert_false(population_two(all_in_both, UINT64_MAX, 0).available);
	assert_false(population_three(zeros, 1, 10000).available);
	assert_false(population_three(largest, 1, 10000).available);
}

static void test_root(void **state)
{
	(void)state;
	assert_int_equal(integer_root_up(0), 0);
	assert_int_equal(integer_root_up(1), 1);
	assert_int_equal(integer_root_up(2), 2);
	assert_int_equal(integer_root_up(4), 2);
	assert_int_equal(integer_root_up(((unsigned __int128)1 << 64) * 4), UINT64_C(1) << 33);
	assert_true(integer_root_up(~(unsigned __int128)0) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_equals_reference),
		cmocka_unit_test(test_three_equals_reference),
		cmocka_unit_test(test_chapman),
		cmocka_unit_test(test_published_two_lists),
		cmocka_unit_test(test_published_three_lists),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
