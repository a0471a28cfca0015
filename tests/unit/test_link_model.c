/* libs: tc_link */
/* The model finds what the data were made with, and the share below the floor is what counting gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "daemon/link/run.h"
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
	assert_true(m->share_above_floor > 0.97 && m->share_above_floor <= 1);
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

/* Two comparisons, counted by hand. */
static void test_share_above_floor(void **state)
{
	struct study_domain domain;
	double counts[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1] = {{0}}, share = 0;

	fixture_domain(&domain, NULL);
	domain.n_comparisons = 2;                            /* weights -4 -2 1 4 8, missing 0 */
	counts[0][5] = 3;                                    /* 8: three quarters */
	counts[0][1] = 1;                                    /* -4: a quarter */
	counts[1][5] = 1;                                    /* 8: a half */
	counts[1][0] = 1;                                    /* missing: a half */
	domain.floor = 9 * 256;
	assert_int_equal(run_share_above_floor(&domain, (const double(*)[STUDY_MAX_LEVELS + 1])counts, &share), RC_OK);
	assert_true(share > 0.374999 && share < 0.375001);   /* 8 + 8 only */
	domain.floor = 8 * 256;
	assert_int_equal(run_share_above_floor(&domain, (const double(*)[STUDY_MAX_LEVELS + 1])counts, &share), RC_OK);
	assert_true(share > 0.749999 && share < 0.750001);   /* … and 8 + 0 */
	domain.floor = -100 * 256;
	assert_int_equal(run_share_above_floor(&domain, (const double(*)[STUDY_MAX_LEVELS + 1])counts, &share), RC_OK);
	assert_true(share > 0.999999);
	domain.floor = 100 * 256;
	assert_int_equal(run_share_above_floor(&domain, (const double(*)[STUDY_MAX_LEVELS + 1])counts, &share), RC_OK);
	assert_true(share < 0.000001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_finds_what_was_put_in, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ratios_rise_with_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_probabilities_are_one_to_one, setup, teardown),
		cmocka_unit_test(test_share_above_floor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
