/* libs: tc_link */
/* labels: quick threads */
/* A run of the linkage over more rows, persons and pairs than a thread takes at a time gives the same result to the
 * last bit with one thread, two and three. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/link_fixture.h"

enum {
	PERSONS = 2000, /* of each source; half of them in both */
	ROWS = 2 * PERSONS + 500,
	VALUES = 38, /* of a field: many pairs agree by chance */
};

struct world {
	struct study_domain domain;
	struct link_pool *pools[3]; /* of one thread, two and three */
	struct link_pair *pairs;
	size_t n_pairs;
	uint8_t group[ROWS];
	int32_t last_day[ROWS], death_day[ROWS];
};

/* Row i: both sources, then second records of some persons, most with the custodian's number. */
static void make_row(const struct world *w, struct fixture_row *r, uint32_t i)
{
	uint32_t who = i % PERSONS + (i / PERSONS == 1 ? PERSONS / 2 : 0);

	fixture_person(&w->domain, r, (uint16_t)(i / PERSONS == 1), i, who, VALUES, 8, 30);
	if (i % 5 != 0) {
		memcpy(r->row.person_id, &who, sizeof who);
		r->row.person_id[15] = 1;
	}
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct fixture_row r;
	uint32_t number;

	assert_non_null(w);
	fixture_domain(&w->domain, NULL);
	w->domain.floor = 0;
	for (unsigned t = 0; t < 3; t++) {
		struct link_options options = {LINK_KERNEL_AUTO, LINK_MEMORY_PLAIN, t + 1};
		assert_int_equal(link_pool_new(&w->domain, &options, &w->pools[t]), RC_OK);
	}
	for (uint32_t i = 0; i < ROWS; i++) {
		make_row(w, &r, i);
		w->group[i] = r.row.source == 0 ? (uint8_t)(1 + i % 3) : 0;
		w->last_day[i] = 0;
		w->death_day[i] = INT32_MAX;
		for (unsigned t = 0; t < 3; t++)
			assert_int_equal(link_pool_add(w->pools[t], &r.row, &number), RC_OK);
	}
	assert_int_equal(link_compare(w->pools[0], 0, ROWS, NULL, &w->pairs, &w->n_pairs), RC_OK);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	for (unsigned t = 0; t < 3; t++)
		link_pool_free(w->pools[t]);
	free(w->pairs);
	free(w);
	return 0;
}

static void expect_step(void *ctx, enum link_step step)
{
	unsigned *n_steps = ctx;

	assert_int_equal(step, (*n_steps)++);
}

static struct link_result *run(const struct world *w, unsigned t)
{
	unsigned n_steps = 0;
	struct link_run_options options = {.end = ROWS,
					   .last_day = w->last_day,
					   .death_day = w->death_day,
					   .group = w->group,
					   .on_step = expect_step,
					   .on_step_ctx = &n_steps};
	struct link_result *result = NULL;

	assert_int_equal(link_run(w->pools[t], w->pairs, w->n_pairs, &options, &result), RC_OK);
	assert_int_equal(n_steps, LINK_N_STEPS);
	return result;
}

static void assert_same(const struct link_result *a, const struct link_result *b)
{
	assert_int_equal(a->outcome, b->outcome);
	assert_int_equal(a->n_persons, b->n_persons);
	assert_memory_equal(a->person, b->person, ROWS * sizeof *a->person);
	assert_int_equal(a->n_links, b->n_links);
	for (size_t i = 0; i < a->n_links; i++) {
		assert_int_equal(a->links[i].a, b->links[i].a);
		assert_int_equal(a->links[i].b, b->links[i].b);
		assert_int_equal(a->links[i].weight, b->links[i].weight);
	}
	assert_int_equal(a->n_comparisons, b->n_comparisons);
	for (size_t c = 0; c < a->n_comparisons; c++)
		assert_memory_equal(a->comparisons[c].weight, b->comparisons[c].weight,
				    sizeof a->comparisons[c].weight);
	assert_int_equal(a->n_quality, 1);
	assert_int_equal(a->quality[0].threshold, b->quality[0].threshold);
	assert_int_equal(a->quality[0].expected_precision, b->quality[0].expected_precision);
	assert_int_equal(a->quality[0].expected_recall, b->quality[0].expected_recall);
	assert_int_equal(a->quality[0].recall_low, b->quality[0].recall_low);
	assert_int_equal(a->quality[0].recall_high, b->quality[0].recall_high);
	assert_int_equal(a->n_groups, 3);
	assert_int_equal(b->n_groups, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(a->groups[i].n_true, b->groups[i].n_true);
		assert_int_equal(a->groups[i].n_false, b->groups[i].n_false);
		assert_int_equal(a->groups[i].n_missed, b->groups[i].n_missed);
		assert_int_equal(a->groups[i].n_doubt, b->groups[i].n_doubt);
	}
}

static void test_threads_do_not_matter(void **state)
{
	struct world *w = *state;
	struct link_result *one = run(w, 0);

	/* Several blocks of everything. */
	assert_true(w->n_pairs > 60000);
	assert_int_equal(one->outcome, LINK_DONE);
	assert_true(one->n_links > PERSONS / 3);
	for (unsigned t = 1; t < 3; t++) {
		struct link_result *more = run(w, t);
		assert_same(one, more);
		link_result_free(more);
	}
	link_result_free(one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_do_not_matter),
	};
	return cmocka_run_group_tests_name("link_threads", tests, setup, teardown);
}
