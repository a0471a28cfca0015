/* libs: tc_stats tc_proto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include <jansson.h>

#include "daemon/stats/interval.h"

static void check(struct rate r, uint32_t value, uint32_t low, uint32_t high)
{
	assert_true(r.available);
	assert_int_equal(r.value, value);
	assert_int_equal(r.low, low);
	assert_int_equal(r.high, high);
}

/* Without noise it is Wilson's interval; limits rounded outwards to 1/10,000. Figures: Newcombe 1998, table I
 * (81/263: .2553-.3662, 15/148: .0624-.1605, 0/20: 0-.1611, 1/29: .0061-.1718). */
static void test_wilson(void **state)
{
	(void)state;
	check(rate_interval(81, 182, 1, 1, 0), 3080, 2552, 3663);
	check(rate_interval(15, 133, 1, 1, 0), 1014, 623, 1605);
	check(rate_interval(0, 20, 1, 1, 0), 0, 0, 1612);
	check(rate_interval(1, 28, 1, 1, 0), 345, 61, 1718);
	check(rate_interval(20, 0, 1, 1, 0), 10000, 8388, 10000);
}

static void test_noise_widens(void **state)
{
	struct rate narrow = rate_interval(300, 700, 3, 5, 0), wide = rate_interval(300, 700, 3, 5, 10000);

	(void)state;
	assert_int_equal(narrow.value, wide.value);
	assert_true(wide.low < narrow.low && wide.high > narrow.high);
	struct rate wider = rate_interval(300, 700, 300, 500, 10000);
	assert_true(wider.low < wide.low && wider.high > wide.high);
}

/* Mirrored counts give mirrored limits. */
static void test_symmetry(void **state)
{
	(void)state;
	for (int64_t a = -20; a < 400; a += 7) {
		struct rate r = rate_interval(a, 400 - a, 3, 5, 10000), m = rate_interval(400 - a, a, 5, 3, 10000);
		assert_int_equal(r.low, RATE_SCALE - m.high);
		assert_int_equal(r.high, RATE_SCALE - m.low);
		assert_true(r.low <= r.value && r.value <= r.high && r.high <= RATE_SCALE);
	}
}

static void test_edges(void **state)
{
	(void)state;
	/* A noisy denominator that is not positive has no rate. */
	assert_false(rate_interval(0, 0, 3, 5, 10000).available);
	assert_false(rate_interval(-5, 5, 3, 5, 10000).available);
	assert_false(rate_interval(-5, 2, 3, 5, 10000).available);
	/* Noise drowns the count: anything is possible. */
	check(rate_interval(3, 4, 3, 5, 10000), 4286, 0, RATE_SCALE);
	/* A slightly negative count is a rate of 0 with a real upper limit; a wildly negative one says nothing. */
	struct rate r = rate_interval(-5, 300, 3, 5, 10000);
	assert_int_equal(r.value, 0);
	assert_int_equal(r.low, 0);
	assert_in_range(r.high, 1, 1000);
	check(rate_interval(-200, 1000, 3, 5, 10000), 0, 0, RATE_SCALE);
	check(rate_interval(1000, -200, 3, 5, 10000), RATE_SCALE, 0, RATE_SCALE);
	/* The largest counts do not overflow: with them the interval shrinks to the grid. */
	check(rate_interval(INT64_C(1) << 30, INT64_C(1) << 30, 3, 5, 10000), 5000, 4999, 5001);
	check(rate_interval(INT64_C(1) << 31, INT64_C(1) << 31, 1 << 24, 1 << 24, UINT32_MAX), 5000, 4972, 5028);
	assert_false(rate_interval(INT64_MAX, 1, 3, 5, 10000).available);
	assert_false(rate_interval(5, INT64_MIN, 3, 5, 10000).available);
	assert_false(rate_interval(5, 5, UINT64_MAX, 5, 10000).available);
}

/* The vectors of tests/ref/interval.py, which solves the quadratic instead of bisecting. */
static void test_reference(void **state)
{
	json_t *file = json_load_file(TC_SOURCE_DIR "/tests/data/vectors/interval.json", 0, NULL), *v;
	size_t i;

	(void)state;
	assert_true(json_array_size(json_object_get(file, "vectors")) > 700);
	json_array_foreach(json_object_get(file, "vectors"), i, v)
	{
		int64_t x[8];
		for (size_t c = 0; c < 8; c++)
			x[c] = json_integer_value(json_array_get(v, c));
		struct rate r = rate_interval(x[0], x[1], (uint64_t)x[2], (uint64_t)x[3], (uint32_t)x[4]);
		if (r.available == json_is_null(json_array_get(v, 5)) ||
		    (r.available && (r.value != x[5] || r.low != x[6] || r.high != x[7])))
			fail_msg("vector %zu: %u %u %u", i, r.value, r.low, r.high);
	}
	json_decref(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference), cmocka_unit_test(test_wilson), cmocka_unit_test(test_noise_widens),
		cmocka_unit_test(test_symmetry),  cmocka_unit_test(test_edges),
	};
	return cmocka_run_group_tests_name("interval", tests, NULL, NULL);
}
