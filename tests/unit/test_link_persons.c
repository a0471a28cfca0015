/* libs: tc_link */
/* Persons: the same whatever the order of rows, threads and kernel; custodians' numbers, corrections and deaths are
 * honoured; where there is nothing to link, that is said and nothing is linked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/link_fixture.h"

enum { MAX_ROWS = 1200, N_VALUES = 60 };

/* A register entry of the test, and the person it is about. */
struct entry {
	struct fixture_row r;
	uint32_t who;
};

struct world {
	struct study_domain domain;
	struct entry *entries;
	uint32_t n;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	fixture_domain(&w->domain, NULL);
	w->domain.floor = 0;
	w->entries = calloc(MAX_ROWS, sizeof *w->entries);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	free(w->entries);
	free(w);
	return 0;
}

static struct entry *add(struct world *w, uint16_t source, uint32_t who, unsigned error_in)
{
	struct entry *e = &w->entries[w->n];

	assert_true(w->n < MAX_ROWS);
	fixture_person(&w->domain, &e->r, source, w->n, who, N_VALUES, error_in, 20);
	e->who = who;
	w->n++;
	return e;
}

static void set_person_id(struct entry *e, uint32_t number)
{
	memcpy(e->r.row.person_id, &number, sizeof number);
	e->r.row.person_id[15] = 1;
}

/* Two sources, `shared` persons in both and `own` more in each. */
static void two_registers(struct world *w, uint32_t shared, uint32_t own)
{
	for (uint32_t i = 0; i < shared + own; i++)
		add(w, 0, i, 6);
	for (uint32_t i = 0; i < shared; i++)
		add(w, 1, i, 6);
	for (uint32_t i = 0; i < own; i++)
		add(w, 1, 10000 + i, 6);
}

struct setting {
	enum link_kernel kernel;
	unsigned n_threads;
	uint64_t shuffle;                    /* 0 = as they stand */
	const bool *excluded;                /* by entry */
	const int32_t *last_day, *death_day; /* by entry */
};

/* Pool, compare and link the entries. ret_person is by entry, whatever the order in which rows went in. */
static struct link_result *run(const struct world *w, const struct setting *s, uint32_t *ret_person)
{
	struct link_options options = {s->kernel, LINK_MEMORY_PLAIN, s->n_threads};
	struct link_pool *pool = NULL;
	struct link_pair *pairs = NULL;
	struct link_result *result = NULL;
	struct link_run_options ro = {.end = w->n};
	uint32_t order[MAX_ROWS];
	bool excluded[MAX_ROWS];
	int32_t last[MAX_ROWS], death[MAX_ROWS];
	uint8_t group[MAX_ROWS];
	struct random r = {s->shuffle};
	size_t n = 0;

	for (uint32_t i = 0; i < w->n; i++)
		order[i] = i;
	for (uint32_t i = w->n; s->shuffle != 0 && i > 1; i--) {
		uint32_t j = random_below(&r, i), swap = order[j];

		order[j] = order[i - 1];
		order[i - 1] = swap;
	}
	assert_int_equal(link_pool_new(&w->domain, &options, &pool), RC_OK);
	for (uint32_t i = 0; i < w->n; i++) {
		struct link_row row = w->entries[order[i]].r.row;
		uint32_t number;

		assert_int_equal(link_pool_add(pool, &row, &number), RC_OK);
		excluded[i] = s->excluded != NULL && s->excluded[order[i]];
		last[i] = s->last_day != NULL ? s->last_day[order[i]] : 0;
		death[i] = s->death_day != NULL ? s->death_day[order[i]] : INT32_MAX;
	}
	/* Three groups of persons of the first source. */
	for (uint32_t i = 0; i < w->n; i++)
		group[i] = w->entries[order[i]].r.row.source == 0 ? (uint8_t)(1 + w->entries[order[i]].who % 3) : 0;
	ro.group = group;
	if (s->excluded != NULL)
		ro.excluded = excluded;
	if (s->last_day != NULL)
		ro.last_day = last;
	if (s->death_day != NULL)
		ro.death_day = death;
	assert_int_equal(link_compare(pool, 0, w->n, NULL, &pairs, &n), RC_OK);
	for (size_t i = n; s->shuffle != 0 && i > 1; i--) { /* pairs may come in any order too */
		size_t j = random_below(&r, (uint32_t)i);
		struct link_pair swap = pairs[j];

		pairs[j] = pairs[i - 1];
		pairs[i - 1] = swap;
	}
	assert_int_equal(link_run(pool, pairs, n, &ro, &result), RC_OK);
	for (uint32_t i = 0; i < w->n; i++)
		ret_person[order[i]] = result->person[i];
	free(pairs);
	link_pool_free(pool);
	return result;
}

static const struct setting plain = {LINK_KERNEL_AUTO, 1, 0, NULL, NULL, NULL};

/* Pairs of entries of different sources: true, linked, both. */
static void count(const struct world *w, const uint32_t *person, unsigned *n_true, unsigned *n_linked,
		  unsigned *n_right)
{
	*n_true = *n_linked = *n_right = 0;
	for (uint32_t i = 0; i < w->n; i++) {
		for (uint32_t j = 0; j < i; j++) {
			bool same = w->entries[i].who == w->entries[j].who;
			bool linked = person[i] == person[j] && person[i] != UINT32_MAX;

			if (w->entries[i].r.row.source == w->entries[j].r.row.source)
				continue;
			*n_true += same;
			*n_linked += linked;
			*n_right += same && linked;
		}
	}
}

static void test_links_who_is_the_same(void **state)
{
	struct world *w = *state;
	uint32_t person[MAX_ROWS];
	unsigned n_true, n_linked, n_right;
	struct link_result *result;

	two_registers(w, 150, 250);
	result = run(w, &plain, person);
	assert_int_equal(result->outcome, LINK_DONE);
	count(w, person, &n_true, &n_linked, &n_right);
	assert_int_equal(n_true, 150);
	assert_true(n_right >= 146);
	assert_true(n_linked - n_right <= 3);
	assert_int_equal(result->n_quality, 1);
	assert_int_equal(result->quality[0].n_links, result->n_links);
	assert_true(result->quality[0].null_is_conditional);
	assert_in_range(result->quality[0].expected_precision, 950000, 1000000);
	assert_in_range(result->quality[0].expected_recall, 950000, 1000000);
	assert_in_range(result->quality[0].expected_recall, result->quality[0].recall_low,
			result->quality[0].recall_high);
	assert_int_equal(result->n_persons, w->n - n_linked);
	assert_int_equal(result->n_groups, 3);
	n_true = 0;
	for (size_t i = 0; i < result->n_groups; i++) {
		const struct link_group *g = &result->groups[i];

		assert_int_equal(g->group, i + 1);
		assert_int_equal(g->source_a, 0);
		assert_int_equal(g->source_b, 1);
		assert_in_range(g->n_true + g->n_missed, 45, 55);
		n_true += (unsigned)(g->n_true + g->n_false);
	}
	assert_in_range(n_true, result->n_links - 3, result->n_links + 3); /* each rounded */
	for (size_t i = 0; i < result->n_links; i++) {
		assert_true(result->links[i].weight >= result->quality[0].threshold);
		assert_int_equal(result->person[result->links[i].a], result->person[result->links[i].b]);
	}
	link_result_free(result);
}

/* 400 persons in both sources, a third of them (group 2) with damage to one value of `error_in` in the first, the
 * others to one of four. Returns the result and how many of the 400 were found. */
static struct link_result *run_dirty(struct world *w, unsigned error_in, unsigned *ret_found)
{
	uint32_t person[MAX_ROWS];
	unsigned n_true, n_linked;
	struct link_result *result;

	w->n = 0;
	w->domain.floor = 8 * 256;
	for (uint32_t i = 0; i < 500; i++)
		add(w, 0, i, i % 3 == 1 ? error_in : 4);
	for (uint32_t i = 0; i < 400; i++)
		add(w, 1, i, 2);
	for (uint32_t i = 0; i < 100; i++)
		add(w, 1, 10000 + i, 2);
	result = run(w, &plain, person);
	assert_int_equal(result->outcome, LINK_DONE);
	count(w, person, &n_true, &n_linked, ret_found);
	assert_int_equal(n_true, 400);
	assert_int_equal(result->n_groups, 3);
	return result;
}

/* Matches fall below the threshold and the floor, and the interval of recall knows it. Where the errors of one group
 * are far more than those of the others, only the estimate by group does. */
static void test_recall_of_dirty_registers(void **state)
{
	struct world *w = *state;
	unsigned n_found;
	struct link_result *result = run_dirty(w, 2, &n_found);

	assert_true(n_found < 380);
	assert_in_range(n_found * UINT64_C(2500), result->quality[0].recall_low, result->quality[0].recall_high);
	assert_true(result->groups[1].n_missed > result->groups[0].n_missed);
	assert_true(result->groups[1].n_missed > result->groups[2].n_missed);
	link_result_free(result);
	result = run_dirty(w, 1, &n_found);
	uint64_t n_missed = 0;
	for (unsigned i = 0; i < 3; i++)
		n_missed += result->groups[i].n_missed;
	print_message("%u of 400 missed; by group %u expected, of all together %.0f\n", 400 - n_found,
		      (unsigned)n_missed, 400 - 400 * result->quality[0].expected_recall / 1e6);
	assert_in_range(n_missed, (400 - n_found) * 8 / 10, (400 - n_found) * 12 / 10);
	assert_in_range(result->groups[1].n_missed, 50, 90);
	link_result_free(result);
}

static void test_order_threads_and_kernel_do_not_matter(void **state)
{
	struct world *w = *state;
	uint32_t person[MAX_ROWS], other[MAX_ROWS];
	struct link_result *first, *second;

	two_registers(w, 120, 80);
	for (uint32_t i = 0; i < 60; i++) /* some were released twice */
		add(w, 0, i, 4);
	for (uint32_t i = 0; i < 40; i++)
		add(w, 2, i * 3, 6);
	first = run(w, &plain, person);
	assert_int_equal(first->outcome, LINK_DONE);
	for (enum link_kernel id = LINK_KERNEL_SCALAR; id <= LINK_KERNEL_AVX512; id++) {
		struct setting s = {id, (unsigned)id, 1000 + (uint64_t)id, NULL, NULL, NULL};

		if (!link_kernel_is_available(id))
			continue;
		second = run(w, &s, other);
		assert_memory_equal(person, other, w->n * sizeof *person);
		assert_int_equal(second->n_persons, first->n_persons);
		assert_int_equal(second->n_quality, first->n_quality);
		assert_int_equal(second->n_links, first->n_links);
		for (size_t i = 0; i < first->n_links; i++)
			assert_int_equal(second->links[i].weight, first->links[i].weight);
		for (size_t i = 0; i < first->n_quality; i++) {
			assert_int_equal(second->quality[i].threshold, first->quality[i].threshold);
			assert_int_equal(second->quality[i].expected_precision, first->quality[i].expected_precision);
			assert_int_equal(second->quality[i].expected_recall, first->quality[i].expected_recall);
			assert_int_equal(second->quality[i].recall_low, first->quality[i].recall_low);
			assert_int_equal(second->quality[i].recall_high, first->quality[i].recall_high);
		}
		assert_int_equal(second->n_groups, first->n_groups);
		for (size_t i = 0; i < first->n_groups; i++) {
			assert_int_equal(second->groups[i].group, first->groups[i].group);
			assert_int_equal(second->groups[i].n_true, first->groups[i].n_true);
			assert_int_equal(second->groups[i].n_false, first->groups[i].n_false);
			assert_int_equal(second->groups[i].n_missed, first->groups[i].n_missed);
			assert_int_equal(second->groups[i].n_doubt, first->groups[i].n_doubt);
		}
		link_result_free(second);
	}
	link_result_free(first);
}

static void test_one_person_a_source(void **state)
{
	struct world *w = *state;
	uint32_t person[MAX_ROWS];
	struct link_result *result;

	two_registers(w, 100, 100);
	for (uint32_t i = 0; i < 50; i++)
		add(w, 1, i, 3); /* noisy second records of source 1, without numbers */
	for (uint32_t i = 0; i < w->n; i++)
		set_person_id(&w->entries[i], i + 1); /* the custodians say that every record is another person */
	result = run(w, &plain, person);
	for (uint32_t i = 0; i < w->n; i++) {
		for (uint32_t j = 0; j < i; j++)
			assert_false(person[i] == person[j] &&
				     w->entries[i].r.row.source == w->entries[j].r.row.source);
	}
	assert_false(result->quality[0].null_is_conditional);
	link_result_free(result);
}

/* Records of one number are one person even if nothing else agrees; identical records without a number are one too. */
static void test_person_numbers_and_identical_records(void **state)
{
	struct world *w = *state;
	uint32_t person[MAX_ROWS], a, b, c, d;
	struct link_result *result;

	two_registers(w, 100, 50);
	a = w->n;
	set_person_id(add(w, 0, 5001, 0), 9);
	b = w->n;
	set_person_id(add(w, 0, 5002, 0), 9);
	c = w->n;
	add(w, 0, 5003, 0);
	d = w->n;
	add(w, 0, 5003, 0);
	for (unsigned f = 0; f < w->domain.n_filters; f++) {
		memcpy(w->entries[d].r.bytes[f], w->entries[c].r.bytes[f], FIXTURE_MAX_BYTES);
		w->entries[d].r.row.missing[f] = w->entries[c].r.row.missing[f];
	}
	result = run(w, &plain, person);
	assert_int_equal(person[a], person[b]);
	assert_int_equal(person[c], person[d]);
	assert_int_not_equal(person[a], person[c]);
	link_result_free(result);
}

static void test_records_that_say_little_are_not_joined(void **state)
{
	struct world *w = *state;
	uint32_t person[MAX_ROWS], first;
	struct link_result *result;

	two_registers(w, 100, 50);
	first = w->n;
	for (unsigned i = 0; i < 5; i++) {
		struct entry *e = add(w, 0, 6000, 0);

		for (unsigned f = 1; f < w->domain.n_filters; f++)
			e->r.row.missing[f] = true; /* nothing but the first field, and that is the same */
	}
	result = run(w, &plain, person);
	for (unsigned i = 1; i < 5; i++)
		assert_int_not_equal(person[first], person[first + i]);
	link_result_free(result);
}

/* The highest revision counts; what it superseded, and what was withdrawn, belongs to nobody. */
static void test_corrections_and_withdrawals(void **state)
{
	struct world *w = *state;
	uint32_t person[MAX_ROWS], other[MAX_ROWS], old, fresh;
	bool excluded[MAX_ROWS] = {false};
	struct setting s = plain;
	struct link_result *result;

	two_registers(w, 100, 50);
	old = 0; /* person 0 in source 0 */
	fresh = w->n;
	add(w, 0, 7777, 0); /* … was somebody else */
	memcpy(w->entries[fresh].r.row.record_id, w->entries[old].r.row.record_id, RECORD_ID_LEN);
	w->entries[fresh].r.row.revision = 1;
	result = run(w, &plain, person);
	assert_int_equal(person[old], UINT32_MAX);
	assert_int_not_equal(person[fresh], UINT32_MAX);
	assert_int_not_equal(person[fresh], person[150]); /* person 0 in source 1 */
	link_result_free(result);

	excluded[fresh] = true; /* the correction itself withdrawn: the old record is back */
	s.excluded = excluded;
	result = run(w, &s, other);
	assert_int_equal(other[fresh], UINT32_MAX);
	assert_int_equal(other[old], other[150]);
	link_result_free(result);

	/* At equal revisions the order of arrival does not matter. */
	w->entries[fresh].r.row.revision = 0;
	result = run(w, &plain, person);
	link_result_free(result);
	s = plain;
	s.shuffle = 99;
	result = run(w, &s, other);
	link_result_free(result);
	assert_memory_equal(person, other, w->n * sizeof *person);
	assert_true((person[old] == UINT32_MAX) != (person[fresh] == UINT32_MAX));
}

static void test_no_event_after_death(void **state)
{
	struct world *w = *state;
	uint32_t person[MAX_ROWS];
	int32_t last[MAX_ROWS], death[MAX_ROWS];
	struct setting s = plain;
	struct link_result *result;

	two_registers(w, 100, 50);
	for (uint32_t i = 0; i < w->n; i++) {
		last[i] = 100;
		death[i] = INT32_MAX;
	}
	result = run(w, &plain, person);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(person[i], person[150 + i]);
	link_result_free(result);
	death[0] = 99; /* died before the other register saw them */
	last[0] = 99;
	death[151] = 100; /* died on the day of the last event: no contradiction */
	s.last_day = last;
	s.death_day = death;
	result = run(w, &s, person);
	assert_int_not_equal(person[0], person[150]);
	assert_int_equal(person[1], person[151]);
	assert_int_equal(person[2], person[152]);
	link_result_free(result);
}

static void test_three_sources(void **state)
{
	struct world *w = *state;
	uint32_t person[MAX_ROWS];
	unsigned n_true, n_linked, n_right;
	struct link_result *result;

	for (uint16_t source = 0; source < 3; source++) {
		for (uint32_t i = 0; i < 160; i++)
			add(w, (uint16_t)(source * 7), source == 0 ? i : source == 1 ? i + 40 : i * 2, 8);
	}
	result = run(w, &plain, person);
	assert_int_equal(result->outcome, LINK_DONE);
	assert_int_equal(result->n_quality, 3);
	count(w, person, &n_true, &n_linked, &n_right);
	assert_true(n_right * 100 >= n_true * 97);
	assert_true(n_right * 100 >= n_linked * 97);
	link_result_free(result);
}

/* ---- nothing to link ---- */

static void assert_nothing(const struct world *w, enum link_outcome outcome)
{
	uint32_t person[MAX_ROWS];
	unsigned n_true, n_linked, n_right;
	struct link_result *result = run(w, &plain, person);

	count(w, person, &n_true, &n_linked, &n_right);
	assert_int_equal(n_linked, 0);
	assert_int_equal(result->n_links, 0);
	assert_int_equal(result->outcome, outcome);
	assert_true(strlen(result->statement) > 20);
	assert_int_equal(result->n_rows, w->n);
	link_result_free(result);
}

static void test_no_records(void **state)
{
	assert_nothing(*state, LINK_NOTHING_TO_LINK);
}

static void test_one_source(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i < 100; i++)
		add(w, 3, i / 2, 6);
	assert_nothing(w, LINK_NOTHING_TO_LINK);
}

static void test_no_overlap(void **state)
{
	struct world *w = *state;

	two_registers(w, 0, 300);
	assert_nothing(w, LINK_NOT_IDENTIFIABLE);
}

static void test_all_missing(void **state)
{
	struct world *w = *state;

	two_registers(w, 50, 0);
	for (uint32_t i = 0; i < w->n; i++) {
		for (unsigned f = 0; f < w->domain.n_filters; f++)
			w->entries[i].r.row.missing[f] = true;
	}
	assert_nothing(w, LINK_NOT_IDENTIFIABLE);
	w->domain.floor = -5 * 256; /* even where the floor lets everything through */
	assert_nothing(w, LINK_NOT_IDENTIFIABLE);
}

static void test_all_records_identical(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i < 60; i++) {
		add(w, (uint16_t)(i % 2), 1, 0);
		for (unsigned f = 0; f < w->domain.n_filters; f++) {
			fixture_value(&w->domain, &w->entries[i].r, f, 1);
			w->entries[i].r.row.missing[f] = false;
		}
	}
	assert_nothing(w, LINK_NOT_IDENTIFIABLE);
}

/* Thousands of copies of one record, by mistake or in order to flood the linkage unit, cost no more candidates than
 * one, and do not keep the others from being linked. `numbers`: each copy under a person number of its own. */
static void flood(struct world *w, unsigned n_copies, bool numbers)
{
	two_registers(w, 150, 100);
	for (uint32_t i = 0; i < n_copies; i++) {
		uint32_t at = w->n;

		add(w, (uint16_t)(i % 2), 5000, 0);
		for (unsigned f = 0; f < w->domain.n_filters; f++) {
			fixture_value(&w->domain, &w->entries[at].r, f, 5);
			w->entries[at].r.row.missing[f] = false;
		}
		if (numbers)
			memcpy(w->entries[at].r.row.person_id, &i, sizeof i);
		w->entries[at].r.row.person_id[PERSON_ID_LEN - 1] = numbers;
	}
}

static size_t count_candidates(const struct world *w)
{
	struct link_options options = {LINK_KERNEL_AUTO, LINK_MEMORY_PLAIN, 1};
	struct link_pool *pool = NULL;
	struct link_pair *pairs = NULL;
	size_t n = 0;
	uint32_t row;

	assert_int_equal(link_pool_new(&w->domain, &options, &pool), RC_OK);
	for (uint32_t i = 0; i < w->n; i++)
		assert_int_equal(link_pool_add(pool, &w->entries[i].r.row, &row), RC_OK);
	assert_int_equal(link_compare(pool, 0, w->n, NULL, &pairs, &n), RC_OK);
	free(pairs);
	link_pool_free(pool);
	return n;
}

static void test_copies_are_not_compared_with_each_other(void **state)
{
	struct world *w = *state;
	static uint32_t person[MAX_ROWS], shuffled[MAX_ROWS];
	const struct setting other = {LINK_KERNEL_AUTO, 2, 12345, NULL, NULL, NULL};
	struct link_result *result;
	size_t before;
	unsigned n_right = 0;

	for (unsigned numbers = 0; numbers <= 1; numbers++) {
		w->n = 0;
		flood(w, 0, false);
		before = count_candidates(w);
		w->n = 0;
		flood(w, 600, numbers != 0);
		assert_true(count_candidates(w) <= before + 1 + w->n);
		result = run(w, &plain, person);
		assert_int_equal(result->outcome, LINK_DONE);
		assert_int_equal(result->n_crowded, numbers != 0 ? 600 : 0);
		link_result_free(result);
		n_right = 0;
		for (uint32_t i = 0; i < 150; i++)
			n_right += person[i] == person[250 + i];
		assert_true(n_right >= 140);
		result = run(w, &other, shuffled);
		assert_memory_equal(person, shuffled, w->n * sizeof *person);
		link_result_free(result);
		/* Without numbers the copies are one person; under numbers of their own nobody can tell them apart. */
		assert_true((person[500] == person[502]) == (numbers == 0));
		assert_true((person[500] == person[501]) == (numbers == 0));
	}
}

/* Two to eight persons with the same content take part, whichever of their records came first. */
static void test_namesakes_take_part_in_any_order(void **state)
{
	struct world *w = *state;
	static uint32_t person[MAX_ROWS], shuffled[MAX_ROWS];
	struct link_result *result;

	flood(w, 8, true);
	result = run(w, &plain, person);
	assert_int_equal(result->n_crowded, 0);
	assert_int_equal(result->outcome, LINK_DONE);
	link_result_free(result);
	for (uint64_t shuffle = 1; shuffle <= 5; shuffle++) {
		const struct setting other = {LINK_KERNEL_AUTO, 1, shuffle, NULL, NULL, NULL};

		result = run(w, &other, shuffled);
		assert_memory_equal(person, shuffled, w->n * sizeof *person);
		link_result_free(result);
	}
}

static void test_stops_when_told(void **state)
{
	struct world *w = *state;
	struct link_options options = {LINK_KERNEL_AUTO, LINK_MEMORY_PLAIN, 1};
	atomic_bool cancel = true;
	struct link_run_options ro = {.cancel = &cancel};
	struct link_pool *pool = NULL;
	struct link_pair *pairs = NULL;
	struct link_result *result = NULL;
	size_t n = 0;
	uint32_t row;

	two_registers(w, 100, 0);
	assert_int_equal(link_pool_new(&w->domain, &options, &pool), RC_OK);
	for (uint32_t i = 0; i < w->n; i++)
		assert_int_equal(link_pool_add(pool, &w->entries[i].r.row, &row), RC_OK);
	ro.end = w->n;
	assert_int_equal(link_compare(pool, 0, w->n, NULL, &pairs, &n), RC_OK);
	assert_int_equal(link_run(pool, pairs, n, &ro, &result), RC_STOPPING);
	assert_null(result);
	atomic_store(&cancel, false);
	assert_int_equal(link_run(pool, pairs, n, &ro, &result), RC_OK);
	link_result_free(result);
	free(pairs);
	link_pool_free(pool);
}

/* A field that is the same for everybody says nothing and must do no harm. */
static void test_constant_field(void **state)
{
	struct world *w = *state;
	uint32_t person[MAX_ROWS];
	unsigned n_true, n_linked, n_right;
	struct link_result *result;

	two_registers(w, 150, 150);
	for (uint32_t i = 0; i < w->n; i++) {
		fixture_value(&w->domain, &w->entries[i].r, 2, 1);
		w->entries[i].r.row.missing[2] = false;
	}
	result = run(w, &plain, person);
	assert_int_equal(result->outcome, LINK_DONE);
	count(w, person, &n_true, &n_linked, &n_right);
	assert_true(n_right >= 143);
	assert_true(n_linked - n_right <= 5);
	link_result_free(result);
}

static void test_bad_pairs_are_refused(void **state)
{
	struct world *w = *state;
	struct link_options options = {LINK_KERNEL_SCALAR, LINK_MEMORY_PLAIN, 1};
	struct link_pool *pool = NULL;
	struct link_run_options ro = {.end = 10};
	struct link_pair pair = {.a = 1, .b = 10};
	struct link_result *result = NULL;
	uint32_t row;

	two_registers(w, 5, 0);
	assert_int_equal(link_pool_new(&w->domain, &options, &pool), RC_OK);
	for (uint32_t i = 0; i < w->n; i++)
		assert_int_equal(link_pool_add(pool, &w->entries[i].r.row, &row), RC_OK);
	assert_int_equal(link_run(pool, &pair, 1, &ro, &result), RC_INVALID);
	pair.b = 1;
	assert_int_equal(link_run(pool, &pair, 1, &ro, &result), RC_INVALID);
	pair.b = 2;
	pair.pattern.level[0] = 200;
	assert_int_equal(link_run(pool, &pair, 1, &ro, &result), RC_INVALID);
	ro.end = 11;
	assert_int_equal(link_run(pool, NULL, 0, &ro, &result), RC_INVALID);
	assert_null(result);
	link_pool_free(pool);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_links_who_is_the_same),
		TEST(test_recall_of_dirty_registers),
		TEST(test_order_threads_and_kernel_do_not_matter),
		TEST(test_one_person_a_source),
		TEST(test_person_numbers_and_identical_records),
		TEST(test_records_that_say_little_are_not_joined),
		TEST(test_corrections_and_withdrawals),
		TEST(test_no_event_after_death),
		TEST(test_three_sources),
		TEST(test_no_records),
		TEST(test_one_source),
		TEST(test_no_overlap),
		TEST(test_all_missing),
		TEST(test_all_records_identical),
		TEST(test_constant_field),
		TEST(test_copies_are_not_compared_with_each_other),
		TEST(test_namesakes_take_part_in_any_order),
		TEST(test_stops_when_told),
		TEST(test_bad_pairs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
