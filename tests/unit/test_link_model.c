/* libs: tc_link */
/* The model finds what the data were made with, and the share of matches below the floor is what counting gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "daemon/link/recall.h"
#include "tests/unit/link_fixture.h"

enum { N_PERSONS = 400, N_SHARED = 250 };

struct world {
	struct study_domain domain;
	struct link_pool *pool;
	struct link_pair *pairs;
	size_t n_pairs;
	struct link_run_options options;
	struct link_result result;
	struct run run;
};

/* Source 0 has persons 0 … 399, source 1 persons 150 … 549; every fourth field is damaged. */
static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct link_options options = {LINK_KERNEL_AUTO, LINK_MEMORY_PLAIN, 1};
	struct fixture_row r;
	uint32_t row;

	fixture_domain(&w->domain, NULL);
	w->domain.floor = 0;
	assert_int_equal(link_pool_new(&w->domain, &options, &w->pool), RC_OK);
	for (uint32_t i = 0; i < 2 * N_PERSONS; i++) {
		uint32_t who = i < N_PERSONS ? i : i - N_SHARED;

		fixture_person(&w->domain, &r, (uint16_t)(i / N_PERSONS), i, who, 100, 8, 20);
		assert_int_equal(link_pool_add(w->pool, &r.row, &row), RC_OK);
	}
	w->options.end = link_pool_n_rows(w->pool);
	assert_int_equal(link_compare(w->pool, 0, w->options.end, NULL, &w->pairs, &w->n_pairs), RC_OK);
	w->run = (struct run){
		.pool = w->pool, .domain = &w->domain, .options = &w->options, .result = &w->result};
	assert_int_equal(run_rank_records(&w->run), RC_OK);
	assert_int_equal(run_find_certain_persons(&w->run), RC_OK);
	assert_int_equal(run_find_values(&w->run), RC_OK);
	assert_int_equal(run_take_pairs(&w->run, w->pairs, w->n_pairs), RC_OK);
	assert_int_equal(run_cut_segments(&w->run), RC_OK);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	run_deinit(&w->run);
	free(w->pairs);
	link_pool_free(w->pool);
	free(w);
	return 0;
}

static void test_finds_what_was_put_in(void **state)
{
	struct world *w = *state;
	const struct run_segment *cross;
	const struct model *m = &w->run.model;

	assert_int_equal(w->run.n_slots, 2);
	assert_int_equal(w->run.n_segments, 3);
	assert_int_equal(model_fit(&w->run), RC_OK);
	model_weigh(&w->run);
	cross = run_find_segment(&w->run, 0, 1);
	assert_true(cross->expected_matches > 0.97 * N_SHARED && cross->expected_matches < 1.03 * N_SHARED);
	assert_true(cross->lambda <= 1.0 / N_PERSONS);
	for (unsigned c = 0; c < 3; c++) {
		double sum_m = 0, sum_u = 0;

		for (unsigned level = 1; level <= 5; level++) {
			sum_m += m->m[c][level];
			sum_u += m->u[c][level];
		}
		assert_true(sum_m > 0.999999 && sum_m < 1.000001 && sum_u > 0.999999 && sum_u < 1.000001);
		/* Both copies undamaged: (7/8)²; another person with the same value: one in a hundred. */
		assert_true(m->m[c][5] > 0.70 && m->m[c][5] < 0.83);
		assert_true(m->u[c][5] > 0.004 && m->u[c][5] < 0.012);
		assert_true(m->weight[c][5] > 6 * WEIGHT_ONE && m->weight[c][1] < 0);
		assert_int_equal(m->weight[c][0], 0);
	}
}

/* Of composite filters: more alike never speaks less for a match, however few pairs a level has. */
static void test_ratios_rise_with_levels(void **state)
{
	struct world *w = *state;
	const struct model *m = &w->run.model;
	unsigned n_falls = 0;

	for (unsigned composite = 0; composite < 2; composite++) {
		for (unsigned f = 0; composite == 1 && f < 3; f++) {
			w->domain.filters[f].n_features = 2;
			w->domain.filters[f].part[1] = 1;
		}
		assert_int_equal(model_fit(&w->run), RC_OK);
		n_falls = 0;
		for (unsigned c = 0; c < 3; c++) {
			for (unsigned level = 2; level <= 5; level++)
				n_falls += m->m[c][level] * m->u[c][level - 1] <
					   m->m[c][level - 1] * m->u[c][level] * 0.999999;
		}
		print_message("%s: the ratio falls %u times\n", composite ? "composite" : "single", n_falls);
	}
	assert_int_equal(n_falls, 0);
}

static void test_probabilities_are_one_to_one(void **state)
{
	struct world *w = *state;
	const struct run_segment *cross;
	double by_person[2 * N_PERSONS] = {0};

	assert_int_equal(model_fit(&w->run), RC_OK);
	cross = run_find_segment(&w->run, 0, 1);
	for (size_t i = cross->first; i < cross->end; i++) {
		const struct run_pair *pair = &w->run.pairs[i];

		assert_true(pair->probability >= 0 && pair->probability <= 1);
		by_person[pair->a] += pair->probability;
		by_person[pair->b] += pair->probability;
	}
	for (uint32_t i = 0; i < w->run.n; i++)
		assert_true(by_person[i] <= 1.5);            /* p = W/(1 + row + column − W): bounded, not exactly one */
}

/* Share of the matches whose reference weight is at least that. */
static double share_above(const struct recall_joint *sums, int32_t reference)
{
	const double *row = recall_joint_above(sums, recall_reference_halves(reference));
	double share = 0;

	for (size_t i = 0; row != NULL && i < sums->n_match; i++)
		share += row[i];
	return share;
}

static bool is_near(double x, double y)
{
	return x > y - 1e-6 && x < y + 1e-6;
}

/* Two comparisons, counted by hand. */
static void test_sums_of_weights(void **state)
{
	struct study_domain domain;
	struct run run = {.domain = &domain};
	struct recall_joint sums = {0};
	struct recall_levels *levels = calloc(1, sizeof *levels);
	double mean = 0;

	(void)state;
	assert_non_null(levels);
	fixture_domain(&domain, NULL);
	domain.n_comparisons = 2;                            /* reference weights -4 -2 1 4 8, missing 0 */
	levels->share[0][5] = 0.75;
	levels->share[0][1] = 0.25;
	levels->share[1][5] = levels->share[1][0] = 0.5;
	levels->bin[0][RECALL_BINS / 2] = levels->bin[1][RECALL_BINS / 2] = 1;
	run.model.weight[0][5] = run.model.weight[1][5] = 7 * WEIGHT_ONE + WEIGHT_ONE / 5;
	run.model.weight[0][1] = -3 * WEIGHT_ONE;
	assert_int_equal(recall_joint_init(&sums, &run), RC_OK);
	recall_joint_add_up(&sums, levels, STUDY_MAX_COMPARISONS);
	assert_true(is_near(share_above(&sums, 9 * 256), 0.375)); /* 8 + 8 only */
	assert_true(is_near(share_above(&sums, 8 * 256), 0.75)); /* … and 8 + 0 */
	assert_true(is_near(share_above(&sums, -100 * 256), 1));
	assert_true(is_near(share_above(&sums, 100 * 256), 0));
	for (size_t i = 0; i < sums.n_match; i++)            /* means are those of the weights: 5.4 - .75 + 3.6 */
		mean += (sums.match + (double)i) / 2 * sums.cells[i];
	assert_true(mean > 8.249 && mean < 8.251);
	recall_joint_add_up(&sums, levels, 0);
	assert_true(is_near(share_above(&sums, 8 * 256), 0.5)); /* the second alone */
	recall_joint_deinit(&sums);
	free(levels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_finds_what_was_put_in, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ratios_rise_with_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_probabilities_are_one_to_one, setup, teardown),
		cmocka_unit_test(test_sums_of_weights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
