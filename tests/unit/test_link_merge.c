/* libs: tc_link */
/* Comparisons that say the same thing twice are merged where the study allows it, and only there: the model is then that
 * of a study which compares their filters together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/link_fixture.h"

enum { N_PERSONS = 250, N_SHARED = 150, N_TOWNS = 25, N_ROWS = 2 * N_PERSONS };

struct world {
	struct study_domain apart, together; /* filters 3 and 4 in two comparisons, or in one */
	struct fixture_row rows[N_ROWS];
	bool dependent;
};

/* The postcode of the fixture's town: the same for all who live there, or drawn for each person. */
static void move_in(struct world *w, struct fixture_row *r, uint32_t who, struct random *random)
{
	uint32_t town = (who * 2654435761u >> 8) % N_TOWNS, code = w->dependent ? town : (who * 40503u >> 3) % N_TOWNS;

	if (random_below(random, 12) == 0)
		code = town = random_below(random, N_TOWNS);
	fixture_value(&w->apart, r, 3, 100 + town);
	fixture_value(&w->apart, r, 4, 900 + code);
	r->row.missing[3] = r->row.missing[4] = false;
}

static void fill(struct world *w, bool dependent)
{
	struct random random = {dependent ? 11 : 12};

	w->dependent = dependent;
	fixture_domain(&w->apart, NULL);
	w->apart.filters[4].bits = 256;
	w->apart.floor = 0;
	w->together = w->apart;
	w->apart.n_comparisons = 5;
	memset(&w->apart.comparisons[3], 0, 2 * sizeof w->apart.comparisons[3]);
	fixture_comparison(&w->apart.comparisons[3], 3, 1);
	fixture_comparison(&w->apart.comparisons[4], 4, 1);
	for (uint32_t i = 0; i < N_ROWS; i++) {
		uint32_t who = i < N_PERSONS ? i : i - N_PERSONS < N_SHARED ? i - N_PERSONS : 10000 + i;

		fixture_person(&w->apart, &w->rows[i], (uint16_t)(i / N_PERSONS), i, who, 60, 5, 20);
		move_in(w, &w->rows[i], who, &random);
	}
}

/* Persons are of the rows in order, whatever the order in which they went in. */
static struct link_result *run(const struct world *w, const struct study_domain *domain, uint32_t step,
			       unsigned n_threads, uint32_t *person)
{
	struct link_options options = {LINK_KERNEL_AUTO, LINK_MEMORY_PLAIN, n_threads};
	struct link_run_options ro = {.end = N_ROWS};
	struct link_pool *pool = NULL;
	struct link_pair *pairs = NULL;
	struct link_result *result = NULL;
	size_t n = 0;

	assert_int_equal(link_pool_new(domain, &options, &pool), RC_OK);
	for (uint32_t i = 0; i < N_ROWS; i++) {
		struct link_row row = w->rows[i * step % N_ROWS].row;
		uint32_t number;

		assert_int_equal(link_pool_add(pool, &row, &number), RC_OK);
	}
	assert_int_equal(link_compare(pool, 0, N_ROWS, NULL, &pairs, &n), RC_OK);
	assert_int_equal(link_run(pool, pairs, n, &ro, &result), RC_OK);
	for (uint32_t i = 0; i < N_ROWS; i++)
		person[i * step % N_ROWS] = result->person[i];
	free(pairs);
	link_pool_free(pool);
	return result;
}

static void assert_same_model(const struct link_result *x, const struct link_result *y)
{
	assert_int_equal(x->n_comparisons, y->n_comparisons);
	for (unsigned c = 0; c < x->n_comparisons; c++) {
		assert_int_equal(x->comparisons[c].n_levels, y->comparisons[c].n_levels);
		for (unsigned level = 0; level <= x->comparisons[c].n_levels; level++)
			assert_int_equal(x->comparisons[c].weight[level], y->comparisons[c].weight[level]);
	}
	assert_int_equal(x->quality[0].threshold, y->quality[0].threshold);
	assert_int_equal(x->quality[0].expected_precision, y->quality[0].expected_precision);
	assert_int_equal(x->quality[0].expected_recall, y->quality[0].expected_recall);
	assert_int_equal(x->n_links, y->n_links);
}

static void test_merges_what_depends(void **state)
{
	struct world *w = *state;
	uint32_t person[N_ROWS], other[N_ROWS];
	struct link_result *together, *merged, *apart;

	fill(w, true);
	together = run(w, &w->together, 1, 1, person);
	assert_int_equal(together->outcome, LINK_DONE);
	assert_int_equal(together->n_dependences, 0);

	apart = run(w, &w->apart, 1, 1, other);
	assert_int_equal(apart->n_dependences, 1);
	assert_false(apart->dependences[0].is_merged);
	assert_int_equal(apart->n_comparisons, 5);

	w->apart.merge_dependent = true;
	for (uint32_t step = 1; step <= 7; step += 6) {
		merged = run(w, &w->apart, step, step == 1 ? 1 : 3, other);
		assert_int_equal(merged->n_dependences, 1);
		assert_true(merged->dependences[0].is_merged);
		assert_int_equal(merged->dependences[0].a, 3);
		assert_int_equal(merged->dependences[0].b, 4);
		assert_int_equal(merged->dependences[0].excess, apart->dependences[0].excess);
		assert_same_model(merged, together);
		assert_memory_equal(person, other, sizeof person);
		link_result_free(merged);
	}
	link_result_free(apart);
	link_result_free(together);
}

static void test_leaves_alone_what_does_not(void **state)
{
	struct world *w = *state;
	uint32_t person[N_ROWS], other[N_ROWS];
	struct link_result *plain, *allowed;

	fill(w, false);
	plain = run(w, &w->apart, 1, 1, person);
	w->apart.merge_dependent = true;
	allowed = run(w, &w->apart, 1, 1, other);
	assert_int_equal(allowed->n_dependences, 0);
	assert_int_equal(allowed->n_comparisons, 5);
	assert_same_model(allowed, plain);
	assert_memory_equal(person, other, sizeof person);
	link_result_free(plain);
	link_result_free(allowed);
}

/* Too many levels for one comparison: it is said, and nothing is merged. */
static void test_reports_what_cannot_be_merged(void **state)
{
	struct world *w = *state;
	uint32_t person[N_ROWS];
	struct link_result *result;

	fill(w, true);
	w->apart.merge_dependent = true;
	for (unsigned c = 3; c < 5; c++) {
		struct study_comparison *comparison = &w->apart.comparisons[c];

		comparison->n_cuts[0] = 20;
		comparison->n_levels = 21;
		for (unsigned i = 0; i < 20; i++) {
			comparison->cuts[0][i] = (uint16_t)(50 * (i + 1));
			comparison->reference_weight[i + 1] = (int16_t)(i < 14 ? -512 : 1024);
		}
		comparison->reference_weight[21] = 2048;
	}
	result = run(w, &w->apart, 1, 1, person);
	assert_int_equal(result->n_comparisons, 5);
	assert_int_equal(result->n_dependences, 1);
	assert_false(result->dependences[0].is_merged);
	link_result_free(result);
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct world));
	return *state == NULL;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_merges_what_depends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves_alone_what_does_not, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reports_what_cannot_be_merged, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
