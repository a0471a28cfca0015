/* libs: tc_stats tc_proto */
/* Differences and ratios of rates: equal to the reference, and standardised rates by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <jansson.h>

#include "daemon/stats/contrast.h"

static struct rate rate_at(const json_t *vector, size_t at)
{
	const json_t *r = json_array_get(vector, at);

	return (struct rate){true, (uint32_t)json_integer_value(json_array_get(r, 0)),
			     (uint32_t)json_integer_value(json_array_get(r, 1)),
			     (uint32_t)json_integer_value(json_array_get(r, 2))};
}

static double number_at(const json_t *array, size_t at)
{
	return json_number_value(json_array_get(array, at));
}

static double clip(double v)
{
	return v < -RATE_SCALE ? -RATE_SCALE : v > RATE_SCALE ? RATE_SCALE : v;
}

/* Rounded outwards: by less than a step of the grid, and by one for the root. */
static void assert_outwards(double low, double high, double true_low, double true_high)
{
	assert_true(low <= true_low + 1e-6 && low >= true_low - 2);
	assert_true(high >= true_high - 1e-6 && high <= true_high + 2);
}

static void test_reference(void **state)
{
	json_t *file = json_load_file(TC_SOURCE_DIR "/tests/data/vectors/contrast.json", 0, NULL), *v;
	size_t i;

	(void)state;
	assert_int_equal(json_array_size(json_object_get(file, "vectors")), 64);
	json_array_foreach(json_object_get(file, "vectors"), i, v)
	{
		struct rate a = rate_at(v, 0), b = rate_at(v, 1);
		const json_t *difference = json_array_get(v, 2), *ratio = json_array_get(v, 3);
		struct contrast c = contrast_of(&a, &b);
		assert_true(c.available);
		assert_int_equal(c.value, (int32_t)number_at(difference, 0));
		assert_outwards(c.low, c.high, clip(number_at(difference, 1)), clip(number_at(difference, 2)));
		assert_int_equal(c.has_ratio, !json_is_null(ratio));
		if (!c.has_ratio)
			continue;
		double high = json_is_null(json_array_get(ratio, 2)) ? RATIO_MAX : number_at(ratio, 2) * RATIO_SCALE;
		assert_true((double)c.ratio <= number_at(ratio, 0) * RATIO_SCALE + 0.51 &&
			    (double)c.ratio >= number_at(ratio, 0) * RATIO_SCALE - 0.51);
		assert_int_equal(c.ratio_is_bounded, high < RATIO_MAX);
		assert_outwards(c.ratio_low, c.ratio_is_bounded ? c.ratio_high : RATIO_MAX,
				number_at(ratio, 1) * RATIO_SCALE, high < RATIO_MAX ? high : RATIO_MAX);
	}
	json_decref(file);
}

/* Value to the nearest step, limits outwards; cut to −1 … 1. */
static void test_divided(void **state)
{
	json_t *file = json_load_file(TC_SOURCE_DIR "/tests/data/vectors/contrast.json", 0, NULL), *v;
	size_t i;

	(void)state;
	assert_int_equal(json_array_size(json_object_get(file, "divided")), 28);
	json_array_foreach(json_object_get(file, "divided"), i, v)
	{
		const json_t *d = json_array_get(v, 0), *wanted = json_array_get(v, 2);
		struct contrast c = {.available = true,
				     .value = (int32_t)number_at(d, 0),
				     .low = (int32_t)number_at(d, 1),
				     .high = (int32_t)number_at(d, 2),
				     .has_ratio = true,
				     .ratio = 1234};
		struct rate share = rate_at(v, 1);
		contrast_divide(&c, &share);
		assert_true(c.value <= number_at(wanted, 0) + 0.51 && c.value >= number_at(wanted, 0) - 0.51);
		assert_outwards(c.low, c.high, number_at(wanted, 1), number_at(wanted, 2));
		assert_int_equal(c.ratio, 1234);
	}
	json_decref(file);
}

static void test_not_available(void **state)
{
	struct rate good = {true, 100, 50, 200}, none = {false, 0, 0, RATE_SCALE}, zero = {true, 0, 0, 10};

	(void)state;
	assert_false(contrast_of(&good, &none).available);
	assert_false(contrast_of(&none, &good).available);
	assert_false(contrast_of(&good, &zero).has_ratio);
	assert_int_equal(contrast_of(&good, &good).ratio, RATIO_SCALE);
}

/* Weights 1 : 3: (1·40 + 3·20)/4 = 25 %; limits ∓ √((1·10)² + (3·4)²)/4 = 3.905 points. */
static void test_standardised(void **state)
{
	const struct rate rates[] = {{true, 4000, 3000, 5000}, {true, 2000, 1600, 2400}, {false, 0, 0, RATE_SCALE}};
	const int64_t weights[] = {100, 300, 0}, all[] = {100, 300, 1}, none[] = {0, -4, 0};
	struct rate r = rate_standardised(rates, weights, 3);

	(void)state;
	assert_true(r.available);
	assert_int_equal(r.value, 2500);
	assert_int_equal(r.low, 2109);
	assert_int_equal(r.high, 2891);
	assert_false(rate_standardised(rates, all, 3).available);
	assert_false(rate_standardised(rates, none, 3).available);
	assert_int_equal(rate_standardised(rates, weights, 1).value, 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference), cmocka_unit_test(test_divided),
					   cmocka_unit_test(test_not_available), cmocka_unit_test(test_standardised)};

	return cmocka_run_group_tests_name("contrast", tests, NULL, NULL);
}
