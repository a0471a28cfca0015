/* libs: tc_stats tc_proto */
/* Correction for linkage errors: by hand, withheld where too little is known, and the counts in a body. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "daemon/stats/correction.h"
#include "tests/unit/stats_fixture.h"

/* 9,000 of 10,000 matches found and one link in a hundred false: 36 % crude is 40 %. */
static void test_by_hand(void **state)
{
	const struct link_counts links = {9000, 91, 1000, 0};
	struct rate crude = rate_interval(3600, 6400, 1, 1, 0), r = correction_rate(&crude, &links);

	(void)state;
	assert_true(r.available);
	assert_int_equal(r.value, 4000);
	/* Found between 89.4 − 15 and 90.6 %: the limits hold 36/90.6·.99 and 36/74.4, and the sampling error. */
	assert_in_range(r.low, 3700, 3930);
	assert_in_range(r.high, 4750, 5000);
}

static void test_wider_than_crude(void **state)
{
	const struct link_counts perfect = {5000, 0, 0, 0};

	(void)state;
	for (int64_t a = 5; a < 1000; a += 45) {
		struct rate crude = rate_interval(a, 1000 - a, 3, 5, 10000), r = correction_rate(&crude, &perfect);
		assert_true(r.available);
		assert_int_equal(r.value, crude.value);
		assert_true(r.low <= crude.low + 10 && r.high + 10 >= crude.high);
		assert_true(r.low <= r.value && r.value <= r.high && r.high <= RATE_SCALE);
	}
}

/* The value is clipped: more were counted than can be. */
static void test_clipped(void **state)
{
	const struct link_counts links = {8500, 10, 1500, 0};
	struct rate crude = rate_interval(9500, 500, 1, 1, 0), r = correction_rate(&crude, &links);

	(void)state;
	assert_true(r.available);
	assert_int_equal(r.value, RATE_SCALE);
	assert_int_equal(r.high, RATE_SCALE);
}

static void test_withheld(void **state)
{
	static const struct link_counts poor[] = {
		{6400, 10, 3600, 0},  /* 64 % found, less 15 points */
		{8000, 4000, 500, 0}, /* a third of the links false */
		{30, 1, 2, 400000},   /* the noise drowns the counts */
		{0, 0, 0, 10000},     /* nothing was linked */
		{-5, 3, 2, 10000},
	};
	const struct link_counts good = {6700, 10, 3300, 0};
	struct rate crude = rate_interval(400, 600, 1, 1, 0), none = {false, 0, 0, RATE_SCALE};

	(void)state;
	for (size_t i = 0; i < sizeof poor / sizeof *poor; i++)
		assert_false(correction_rate(&crude, &poor[i]).available);
	assert_true(correction_rate(&crude, &good).available);
	assert_false(correction_rate(&none, &good).available);
}

static json_int_t count_of(const json_t *counts, const char *name)
{
	assert_true(json_is_integer(json_object_get(counts, name)));
	return json_integer_value(json_object_get(counts, name));
}

/* The counts of a body carry noise of the declared size, which is charged; without noise only for synthetic people. */
static void test_counts_of_a_body(void **state)
{
	struct study *study = fixture_study();
	struct stats_params params = {
		.release = 1, .as_of = fixture_day("2025-01-31"), .prf = fixture_prf, .linkage = {100000, 200, 3000}};
	json_t *counts = NULL, *body = NULL;
	uint64_t without, with;

	(void)state;
	assert_int_equal(stats_release_charge(study, params.as_of, NULL, &without), RC_OK);
	assert_int_equal(stats_release(study, NULL, 0, &params, &body), RC_OK);
	assert_null(json_object_get(body, "linkage"));
	json_decref(body);
	study->disclosure.linkage_sigma2_milli = 20000;
	assert_int_equal(stats_release_charge(study, params.as_of, NULL, &with), RC_OK);
	assert_int_equal(with - without, 50000);
	assert_int_equal(stats_release(study, NULL, 0, &params, &body), RC_OK);
	json_t *linkage = json_object_get(body, "linkage");
	assert_in_range(count_of(linkage, "true"), 100000 - 30, 100000 + 30);
	assert_in_range(count_of(linkage, "false"), 200 - 30, 200 + 30);
	assert_in_range(count_of(linkage, "missed"), 3000 - 30, 3000 + 30);
	assert_true(count_of(linkage, "true") != 100000 || count_of(linkage, "false") != 200 ||
		    count_of(linkage, "missed") != 3000);
	assert_int_equal(count_of(linkage, "sigma2_milli"), 20000);
	assert_int_equal(count_of(json_object_get(body, "disclosure"), "rho_micro"), (json_int_t)with);
	json_decref(body);
	study->disclosure.method = DISCLOSURE_NONE;
	assert_int_equal(correction_counts_json(study, &params, &counts), RC_OK);
	assert_int_equal(count_of(counts, "true"), 100000);
	assert_int_equal(count_of(counts, "sigma2_milli"), 0);
	json_decref(counts);
	study->synthetic = false;
	assert_int_equal(correction_counts_json(study, &params, &counts), RC_NOT_ALLOWED);
	free(study);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_by_hand), cmocka_unit_test(test_wider_than_crude),
					   cmocka_unit_test(test_clipped), cmocka_unit_test(test_withheld),
					   cmocka_unit_test(test_counts_of_a_body)};

	return cmocka_run_group_tests_name("correction", tests, NULL, NULL);
}
