/* libs: tc_stats tc_proto */
/* Correction for linkage errors: by hand, withheld where too little is known, and the counts in a body. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "daemon/stats/body.h"
#include "daemon/stats/correction.h"
#include "tests/unit/stats_fixture.h"

/* 9,000 of 10,000 matches found and one link in a hundred false: 36 % crude is 40 %. */
static void test_by_hand(void **state)
{
	const struct link_counts links = {9000, 91, 1000, 200, 1, 0};
	struct rate crude = rate_interval(3600, 6400, 1, 1, 0), r = correction_rate(&crude, &links, 21, 21);

	(void)state;
	assert_true(r.available);
	assert_int_equal(r.value, 4000);
	/* Missed: 1,000 ± √(200² + 65²) = ± 211, so found between 88.1 and 91.9 %. Crude between 35.07 and 36.95 %; the
	 * lower limit also has 1.2 % of false links. MOVER by hand. */
	struct rate recall = correction_recall(&links);
	assert_int_equal(recall.value, 9000);
	assert_in_range(recall.low, 8812, 8815);
	assert_in_range(recall.high, 9192, 9195);
	assert_in_range(r.low, 3845, 3860);
	assert_in_range(r.high, 4125, 4145);
	/* Within 21 of 90 days a quarter of the wrong starts, at most. */
	struct rate early = correction_rate(&crude, &links, 21, 90);
	assert_int_equal(early.value, r.value);
	assert_in_range(early.low, r.low + 1, 3870);
	assert_int_equal(early.high, r.high);
}

static void test_wider_than_crude(void **state)
{
	const struct link_counts perfect = {5000, 0, 0, 0, 1, 0};

	(void)state;
	for (int64_t a = 5; a < 1000; a += 45) {
		struct rate crude = rate_interval(a, 1000 - a, 3, 5, 10000),
			    r = correction_rate(&crude, &perfect, 21, 21);
		assert_true(r.available);
		assert_int_equal(r.value, crude.value);
		assert_true(r.low <= crude.low + 10 && r.high + 10 >= crude.high);
		assert_true(r.low <= r.value && r.value <= r.high && r.high <= RATE_SCALE);
	}
}

/* The value is clipped: more were counted than can be. */
static void test_clipped(void **state)
{
	const struct link_counts links = {8500, 10, 1500, 0, 1, 0};
	struct rate crude = rate_interval(9500, 500, 1, 1, 0), r = correction_rate(&crude, &links, 21, 21);

	(void)state;
	assert_true(r.available);
	assert_int_equal(r.value, RATE_SCALE);
	assert_int_equal(r.high, RATE_SCALE);
}

static void test_withheld(void **state)
{
	static const struct link_counts poor[] = {
		{6400, 10, 3600, 2800, 1, 0}, /* 64 % found, but perhaps half */
		{8000, 6000, 500, 0, 1, 0},   /* three of seven links false */
		{30, 1, 2, 5, 1, 400000},     /* the noise drowns the counts */
		{0, 0, 0, 0, 1, 10000},       /* nothing was linked */
		{-5, 3, 2, 0, 1, 10000},
		{1, 0, INT64_C(1) << 37, INT64_C(1) << 37, 65, UINT32_MAX}, /* not a body of ours */
	};
	const struct link_counts good = {6700, 10, 3300, 2000, 1, 0};
	struct rate crude = rate_interval(400, 600, 1, 1, 0), none = {false, 0, 0, RATE_SCALE};

	(void)state;
	for (size_t i = 0; i < sizeof poor / sizeof *poor; i++)
		assert_false(correction_rate(&crude, &poor[i], 21, 21).available);
	assert_true(correction_rate(&crude, &good, 21, 21).available);
	assert_false(correction_rate(&none, &good, 21, 21).available);
}

/* 36 and 27 % crude. One count of links, 90 % ± 1.9 found: 40 and 30 %, so 10 points; of the crude difference ± 1.28
 * points / 0.9 and of TPR 10 · 1.9/90 = 0.21, together 1.44. The ratio stays 36/27. */
static void test_comparison_with_one_count(void **state)
{
	const struct link_counts links = {9000, 0, 1000, 200, 1, 0};
	struct rate arm = rate_interval(3600, 6400, 1, 1, 0), against = rate_interval(2700, 7300, 1, 1, 0);
	struct contrast crude = contrast_of(&arm, &against),
			c = correction_contrast(&arm, &links, &against, &links, true, 21, 90);

	(void)state;
	assert_true(c.available && c.has_ratio);
	assert_int_equal(crude.value, 900);
	assert_int_equal(c.value, 1000);
	assert_in_range(c.low, 850, 860);
	assert_in_range(c.high, 1140, 1150);
	assert_int_equal(c.ratio, 1333);
	assert_in_range(c.ratio_low, crude.ratio_low - 3, crude.ratio_low);
	assert_in_range(c.ratio_high, crude.ratio_high, crude.ratio_high + 3);
	/* The mirror. */
	struct contrast m = correction_contrast(&against, &links, &arm, &links, true, 21, 90);
	assert_int_equal(m.value, -1000);
	assert_int_equal(m.low, -c.high);
	assert_int_equal(m.high, -c.low);
}

/* 80 % found in one arm and 90 % in the other: 45 and 30 %, where crude rates say 36 and 27; MOVER on the limits. */
static void test_comparison_with_a_count_each(void **state)
{
	const struct link_counts poor = {8000, 0, 2000, 300, 1, 0}, good = {9000, 0, 1000, 200, 1, 0};
	struct rate arm = rate_interval(3600, 6400, 1, 1, 0), against = rate_interval(2700, 7300, 1, 1, 0);
	struct rate a = correction_rate(&arm, &poor, 21, 90), b = correction_rate(&against, &good, 21, 90);
	struct contrast c = correction_contrast(&arm, &poor, &against, &good, false, 21, 90);

	(void)state;
	assert_true(c.available && c.has_ratio);
	assert_int_equal(c.value, 1500);
	assert_int_equal(c.ratio, 1500);
	/* 45 % − 1.87 (crude .93/.8 = 1.17, TPR 45 · 2.6/80 = 1.46) and 30 % + 1.17 (.88/.9 = .98, 30 · 1.9/90 = .63):
	 * 15 − √(1.87² + 1.17²) = 12.8. */
	assert_in_range(c.low, 1270, 1290);
	assert_in_range(c.high, 1715, 1735);
	assert_true(c.ratio_low < 1500 - 80 && c.ratio_low > 1500 - 100);
	assert_true(c.low >= (int32_t)(a.low - b.high) && c.high <= (int32_t)(a.high - b.low));
}

/* An arm that is too poorly known leaves nothing to compare; nor does a crude rate that is not there. */
static void test_comparison_withheld(void **state)
{
	const struct link_counts poor = {6400, 10, 3600, 2800, 1, 0}, good = {9000, 0, 1000, 200, 1, 0};
	struct rate crude = rate_interval(400, 600, 1, 1, 0), none = {false, 0, 0, RATE_SCALE};

	(void)state;
	assert_false(correction_contrast(&crude, &poor, &crude, &good, false, 21, 21).available);
	assert_false(correction_contrast(&crude, &good, &crude, &poor, false, 21, 21).available);
	assert_false(correction_contrast(&crude, &poor, &crude, &poor, true, 21, 21).available);
	assert_false(correction_contrast(&none, &good, &crude, &good, true, 21, 21).available);
	assert_false(correction_contrast(&crude, &good, &none, &good, true, 21, 21).available);
	assert_true(correction_contrast(&crude, &good, &crude, &good, true, 21, 21).available);
	assert_true(correction_contrast(&crude, &good, &crude, &good, false, 21, 21).available);
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
	struct stats_params params = {.release = 1,
				      .as_of = fixture_day("2025-01-31"),
				      .prf = fixture_prf,
				      .linkage = {.arms = {{100000, 200, 3000, 500}}}};
	json_t *counts = NULL, *body = NULL;
	uint64_t without, with;

	(void)state;
	assert_int_equal(stats_release_charge(study, params.as_of, NULL, &without), RC_OK);
	assert_int_equal(stats_release(study, NULL, 0, &params, &body), RC_OK);
	assert_null(json_object_get(body, "linkage"));
	json_decref(body);
	study->disclosure.linkage_sigma2_milli = 20000;
	assert_int_equal(stats_release_charge(study, params.as_of, NULL, &with), RC_OK);
	assert_int_equal(with - without, 100000);
	assert_int_equal(stats_release(study, NULL, 0, &params, &body), RC_OK);
	json_t *linkage = json_object_get(body, "linkage");
	assert_in_range(count_of(linkage, "true"), 100000 - 30, 100000 + 30);
	assert_in_range(count_of(linkage, "false"), 200 - 30, 200 + 30);
	assert_in_range(count_of(linkage, "missed"), 3000 - 30, 3000 + 30);
	assert_in_range(count_of(linkage, "doubt"), 500 - 30, 500 + 30);
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

/* With arms each code has its counts and its noise, for the same charge; an answer by the dimension takes those of its
 * row, any other their sum. */
static void test_arms(void **state)
{
	struct study *study = fixture_study();
	struct stats_params params = {.release = 1, .as_of = fixture_day("2025-01-31"), .prf = fixture_prf};
	uint64_t without, with;
	struct body_head head;
	struct link_counts arm = {0};
	json_t *body = NULL;
	int by = study_find_dimension(study, "sex");

	(void)state;
	assert_true(by >= 0);
	params.linkage.arms[1].n_true = 6000;
	params.linkage.arms[1].n_missed = 1000;
	params.linkage.arms[2].n_true = 3000;
	params.linkage.arms[2].n_doubt = 100;
	study->disclosure.linkage_sigma2_milli = 20000;
	assert_int_equal(stats_release_charge(study, params.as_of, NULL, &without), RC_OK);
	study->disclosure.linkage_by = (uint8_t)(by + 1);
	assert_int_equal(stats_release_charge(study, params.as_of, NULL, &with), RC_OK);
	assert_int_equal(with, without);
	assert_int_equal(stats_release(study, NULL, 0, &params, &body), RC_OK);
	assert_int_equal(body_read_head(body, &head), RC_OK);
	assert_string_equal(head.links_by, "sex");
	assert_int_equal(head.links.n_cells, 3);
	assert_in_range(head.links.n_true, 9000 - 60, 9000 + 60);
	assert_true(body_find_arm(&head, "male", &arm));
	assert_in_range(arm.n_true, 6000 - 30, 6000 + 30);
	assert_in_range(arm.n_missed, 1000 - 30, 1000 + 30);
	assert_int_equal(arm.n_cells, 1);
	assert_int_equal(arm.sigma2_milli, 20000);
	assert_true(body_find_arm(&head, "female", &arm));
	assert_in_range(arm.n_doubt, 100 - 30, 100 + 30);
	assert_false(body_find_arm(&head, "neither", &arm));
	/* A body whose arms are not in order is no body. */
	json_object_del(json_array_get(json_object_get(json_object_get(body, "linkage"), "arms"), 1), "doubt");
	assert_int_equal(body_read_head(body, &head), RC_DAMAGED);
	json_decref(body);
	free(study);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_wider_than_crude),
		cmocka_unit_test(test_clipped),
		cmocka_unit_test(test_withheld),
		cmocka_unit_test(test_comparison_with_one_count),
		cmocka_unit_test(test_comparison_with_a_count_each),
		cmocka_unit_test(test_comparison_withheld),
		cmocka_unit_test(test_counts_of_a_body),
		cmocka_unit_test(test_arms),
	};

	return cmocka_run_group_tests_name("correction", tests, NULL, NULL);
}
