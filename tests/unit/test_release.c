/* libs: tc_stats tc_proto */
/* Release bodies: the same for any order of events, closed periods carried forward verbatim, threshold, noise, charge.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "daemon/stats/body.h"
#include "daemon/stats/noise.h"
#include "daemon/stats/tables.h"
#include "proto/json.h"
#include "proto/lattice.h"
#include "tests/unit/stats_fixture.h"

enum { MAX_EVENTS = 40000 };

struct sample {
	struct study *study;
	struct stats_event *events;
	size_t n_events;
};

/* Releases of 2024, most of them with a treatment start, `n` persons. */
static void sample_init(struct sample *s, uint32_t n)
{
	uint64_t random = 42;

	s->study = fixture_study();
	s->events = calloc(MAX_EVENTS, sizeof *s->events);
	s->n_events = 0;
	assert_non_null(s->events);
	for (uint32_t person = 0; person < n; person++) {
		int32_t day = fixture_day("2024-01-01") + (int32_t)(fixture_random(&random) % 366);
		struct stats_event e = fixture_event(person, F_RELEASE, day);
		e.codes[0] = (uint8_t)(fixture_random(&random) % 3); /* code 3 stays empty */
		e.codes[1] = (uint8_t)(1 + fixture_random(&random) % 2);
		s->events[s->n_events++] = e;
		if (fixture_random(&random) % 3 != 0)
			s->events[s->n_events++] =
				fixture_event(person, F_START, day + (int32_t)(fixture_random(&random) % 120));
	}
}

static void sample_deinit(struct sample *s)
{
	free(s->study);
	free(s->events);
}

static json_t *publish(const struct sample *s, uint32_t number, const char *as_of, const json_t *previous)
{
	struct stats_params params = {.release = number,
				      .as_of = fixture_day(as_of),
				      .prf = fixture_prf,
				      .prf_ctx = number == 1 ? NULL : (void *)"another secret",
				      .secret_injected = true,
				      .previous = previous};
	json_t *body = NULL;

	assert_int_equal(stats_release(s->study, s->events, s->n_events, &params, &body), RC_OK);
	return body;
}

static char *canonical(const json_t *value)
{
	struct buffer b;

	buffer_init(&b);
	assert_int_equal(json_canonical(value, &b), RC_OK);
	buffer_append(&b, "", 1);
	return (char *)b.data;
}

static const json_t *find_block(const json_t *body, const char *table, const char *period)
{
	const json_t *periods = json_object_get(body_find_table(body, table), "periods");

	for (size_t i = 0; i < json_array_size(periods); i++) {
		const json_t *block = json_array_get(periods, i);
		if (strcmp(json_string_value(json_object_get(block, "period")), period) == 0)
			return block;
	}
	return NULL;
}

static int64_t cell(const json_t *block, size_t row, size_t at)
{
	return json_integer_value(
		json_array_get(json_object_get(json_array_get(json_object_get(block, "rows"), row), "cells"), at));
}

static void test_order_does_not_matter(void **state)
{
	struct sample s;
	uint64_t random = 1;

	(void)state;
	sample_init(&s, 4000);
	json_t *body = publish(&s, 1, "2025-06-30", NULL);
	char *before = canonical(body);
	for (size_t i = s.n_events - 1; i > 0; i--) {
		size_t j = fixture_random(&random) % (i + 1);
		struct stats_event swap = s.events[i];
		s.events[i] = s.events[j];
		s.events[j] = swap;
	}
	json_t *shuffled = publish(&s, 1, "2025-06-30", NULL);
	char *after = canonical(shuffled);
	assert_string_equal(before, after);
	free(before);
	free(after);
	json_decref(body);
	json_decref(shuffled);
	sample_deinit(&s);
}

/* Every reader of a body accepts it, row by row. */
static void test_body_is_well_formed(void **state)
{
	struct sample s;
	struct body_head head;
	size_t n_rows = 0;

	(void)state;
	sample_init(&s, 4000);
	json_t *body = publish(&s, 1, "2025-06-30", NULL);
	assert_int_equal(body_read_head(body, &head), RC_OK);
	assert_true(head.synthetic);
	assert_string_equal(head.secret, "injected");
	assert_int_equal(json_array_size(head.tables), 3);
	for (size_t t = 0; t < 3; t++) {
		struct body_table table;
		assert_int_equal(body_read_table(json_array_get(head.tables, t), &table), RC_OK);
		assert_int_equal(json_array_size(table.periods), 4);
		for (size_t p = 0; p < 4; p++) {
			struct body_period period;
			assert_int_equal(body_read_period(&table, p, &period), RC_OK);
			assert_true(period.is_final);
			for (unsigned r = 0; r < table.n_rows; r++) {
				struct body_row row;
				assert_int_equal(body_read_row(&table, &period, r, &row), RC_OK);
				n_rows++;
			}
		}
	}
	assert_int_equal(n_rows, 4 * (1 + 4 + 12));
	json_decref(body);
	sample_deinit(&s);
}

/* True counts, with method none; every person in exactly one cell. */
static void test_counts_without_noise(void **state)
{
	struct sample s;
	int64_t total = 0, by_row = 0;

	(void)state;
	sample_init(&s, 3000);
	s.study->disclosure.method = DISCLOSURE_NONE;
	json_t *body = publish(&s, 1, "2025-06-30", NULL);
	static const char *const quarters[] = {"2024-Q1", "2024-Q2", "2024-Q3", "2024-Q4"};
	for (int q = 0; q < 4; q++) {
		const json_t *block = find_block(body, "continuity_by_quarter", quarters[q]);
		const json_t *split = find_block(body, "continuity_by_intervention", quarters[q]);
		assert_non_null(block);
		for (size_t c = 0; c < 9; c++) {
			total += cell(block, 0, c);
			for (size_t row = 0; row < 4; row++)
				by_row += cell(split, row, c);
		}
		assert_int_equal(cell(block, 0, 8), 0); /* closed periods have nothing unobserved */
		assert_false(json_is_true(json_object_get(json_array_get(json_object_get(split, "rows"), 3), "shown")));
	}
	assert_int_equal(total, 3000);
	assert_int_equal(by_row, 3000);
	uint64_t charge = 99;
	assert_int_equal(stats_release_charge(s.study, fixture_day("2025-06-30"), NULL, &charge), RC_OK);
	assert_int_equal(charge, 0);
	json_decref(body);
	/* Only a synthetic study may go without noise, or with a secret that is known. */
	struct stats_params params = {.release = 1, .as_of = 20000, .prf = fixture_prf};
	s.study->synthetic = false;
	body = NULL;
	assert_int_equal(stats_release(s.study, s.events, s.n_events, &params, &body), RC_NOT_ALLOWED);
	s.study->disclosure.method = DISCLOSURE_KEYED_NOISE;
	params.secret_injected = true;
	assert_int_equal(stats_release(s.study, s.events, s.n_events, &params, &body), RC_INVALID);
	assert_null(body);
	sample_deinit(&s);
}

/* The noise of a cell is the sampler seeded by the PRF of the canonical identity that docs/protocol.md gives; it stands
 * as it was drawn where no other table counts the same events. */
static void test_noise_is_keyed_by_identity(void **state)
{
	static const char identity[] = "{\"by\":{\"intervention\":\"ost\"},\"measure\":\"continuity\",\"outcome\":\"8-"
				       "14\",\"period\":\"2024-Q2\","
				       "\"sigma2_milli\":10000,\"study\":\"fixture\"}";
	struct sample s;
	uint8_t seed[32];
	struct noise_stream stream;
	int64_t noise = 0;

	(void)state;
	sample_init(&s, 4000);
	s.study->tables[0] = s.study->tables[F_BY_INTERVENTION];
	s.study->n_tables = 1;
	json_t *noisy = publish(&s, 1, "2025-06-30", NULL);
	s.study->disclosure.method = DISCLOSURE_NONE;
	json_t *exact = publish(&s, 1, "2025-06-30", NULL);
	assert_int_equal(fixture_prf(NULL, identity, sizeof identity - 1, seed), RC_OK);
	noise_init(&stream, seed);
	assert_int_equal(noise_gaussian(&stream, 10000, &noise), RC_OK);
	assert_int_equal(cell(find_block(noisy, "continuity_by_intervention", "2024-Q2"), 1, 1) -
				 cell(find_block(exact, "continuity_by_intervention", "2024-Q2"), 1, 1),
			 noise);
	json_decref(noisy);
	json_decref(exact);
	sample_deinit(&s);
}

static void test_closed_periods_are_carried_verbatim(void **state)
{
	struct sample s;
	uint64_t charge = 0;

	(void)state;
	sample_init(&s, 4000);
	json_t *first = publish(&s, 1, "2024-11-01", NULL);
	assert_non_null(find_block(first, "continuity_by_quarter", "2024-Q2"));
	assert_null(find_block(first, "continuity_by_quarter", "2024-Q3"));
	/* Late records for a closed period change nothing that was published. */
	for (uint32_t i = 0; i < 500; i++)
		s.events[s.n_events++] = fixture_event(100000 + i, F_RELEASE, fixture_day("2024-02-01"));
	json_t *second = publish(&s, 2, "2025-06-30", first);
	static const char *const tables[] = {"continuity_by_quarter", "continuity_by_intervention",
					     "continuity_by_both"};
	for (int t = 0; t < 3; t++) {
		for (int q = 1; q <= 2; q++) {
			char period[16];
			snprintf(period, sizeof period, "2024-Q%d", q);
			char *before = canonical(find_block(first, tables[t], period));
			char *after = canonical(find_block(second, tables[t], period));
			assert_string_equal(before, after);
			assert_non_null(strstr(after, "\"released_in\":1"));
			free(before);
			free(after);
		}
		assert_int_equal(
			json_integer_value(json_object_get(find_block(second, tables[t], "2024-Q3"), "released_in")),
			2);
	}
	/* Nothing new is closed: nothing is charged and the tables are the same. */
	assert_int_equal(stats_release_charge(s.study, fixture_day("2025-06-30"), second, &charge), RC_OK);
	assert_int_equal(charge, 0);
	json_t *third = publish(&s, 3, "2025-06-30", second);
	assert_true(json_equal(json_object_get(second, "tables"), json_object_get(third, "tables")));
	/* Nor when the as-of date goes back. */
	json_t *back = publish(&s, 4, "2024-11-01", second);
	assert_true(json_equal(json_object_get(second, "tables"), json_object_get(back, "tables")));
	json_decref(first);
	json_decref(second);
	json_decref(third);
	json_decref(back);
	sample_deinit(&s);
}

static uint64_t charge_of(const struct sample *s, const char *as_of, const json_t *previous)
{
	uint64_t charge = 0;

	assert_int_equal(stats_release_charge(s->study, fixture_day(as_of), previous, &charge), RC_OK);
	return charge;
}

static json_int_t first_variance(const json_t *block)
{
	return json_integer_value(json_array_get(json_object_get(block, "variance_milli"), 0));
}

/* Tables that join a study with published periods: they are charged alone, reach back as far as at first, and take
 * nothing from what is carried forward, which stays as it is. From the next period on margins of all agree. */
static void test_tables_added_later(void **state)
{
	struct sample s;

	(void)state;
	sample_init(&s, 4000);
	s.study->n_tables = 1;
	json_t *first = publish(&s, 1, "2024-11-01", NULL);
	assert_int_equal(charge_of(&s, "2024-11-01", first), 0);
	s.study->n_tables = 3;
	assert_int_equal(charge_of(&s, "2024-11-01", first), 200000);
	json_t *second = publish(&s, 2, "2025-06-30", first);
	for (int q = 1; q <= 2; q++) {
		char period[16];
		snprintf(period, sizeof period, "2024-Q%d", q);
		assert_true(json_equal(find_block(first, "continuity_by_quarter", period),
				       find_block(second, "continuity_by_quarter", period)));
		const json_t *added = find_block(second, "continuity_by_intervention", period);
		assert_int_equal(json_integer_value(json_object_get(added, "released_in")), 2);
		/* The two new ones agree with each other: better than 4 rows of 10 alone, worse than with the old one.
		 */
		assert_in_range(first_variance(added), 20000, 39999);
		assert_int_equal(first_variance(find_block(second, "continuity_by_both", period)),
				 first_variance(added));
	}
	const json_t *old = find_block(second, "continuity_by_quarter", "2024-Q3"),
		     *added = find_block(second, "continuity_by_intervention", "2024-Q3");
	assert_int_equal(first_variance(old), first_variance(added));
	assert_true(first_variance(old) < 10000);
	for (unsigned c = 0; c < 9; c++) {
		int64_t sum = 0;
		for (size_t row = 0; row < 3; row++)
			sum += cell(added, row, c);
		assert_in_range(cell(old, 0, c) - sum + 100, 100 - 25, 100 + 25); /* the row that is hidden: noise */
	}
	/* Nothing is left to be charged; what the second release added is carried from now on. */
	assert_int_equal(charge_of(&s, "2025-06-30", second), 0);
	json_t *third = publish(&s, 3, "2025-06-30", second);
	assert_true(json_equal(json_object_get(second, "tables"), json_object_get(third, "tables")));
	json_decref(first);
	json_decref(second);
	json_decref(third);
	sample_deinit(&s);
}

static const char *text_of(const json_t *block, const char *key)
{
	return json_string_value(json_object_get(block, key));
}

/* With revision after 90 days: a closed period says when, is counted once more then, with new noise, and never again.
 * As of November, Q1 (closed 29 July) is past its day when it is first published; Q2 (closed 28 October) is not. */
static void test_revision(void **state)
{
	struct sample s;
	uint64_t charge = 0;

	(void)state;
	sample_init(&s, 4000);
	s.study->disclosure.revision_after_days = 90;
	json_t *first = publish(&s, 1, "2024-11-01", NULL);
	assert_null(text_of(find_block(first, "continuity_by_both", "2024-Q1"), "revision_due"));
	assert_string_equal(text_of(find_block(first, "continuity_by_both", "2024-Q2"), "revision_due"), "2025-01-26");
	for (uint32_t i = 0; i < 500; i++) {
		s.events[s.n_events++] = fixture_event(100000 + i, F_RELEASE, fixture_day("2024-02-01"));
		s.events[s.n_events++] = fixture_event(200000 + i, F_RELEASE, fixture_day("2024-05-01"));
	}
	/* The day before: nothing. On the day: the table's cost, as it was announced. */
	assert_int_equal(stats_release_charge(s.study, fixture_day("2025-01-25"), first, &charge), RC_OK);
	assert_int_equal(charge, 0);
	assert_int_equal(stats_release_charge(s.study, fixture_day("2025-01-26"), first, &charge), RC_OK);
	assert_int_equal(charge, 300000);
	json_t *second = publish(&s, 2, "2025-01-27", first), *third;
	assert_true(json_equal(find_block(first, "continuity_by_quarter", "2024-Q1"),
			       find_block(second, "continuity_by_quarter", "2024-Q1")));
	const json_t *before = find_block(first, "continuity_by_quarter", "2024-Q2");
	const json_t *after = find_block(second, "continuity_by_quarter", "2024-Q2");
	assert_in_range(cell(after, 0, 7) - cell(before, 0, 7), 450, 550);
	assert_int_equal(json_integer_value(json_object_get(after, "revised_from")), 1);
	assert_int_equal(json_integer_value(json_object_get(after, "released_in")), 2);
	assert_null(text_of(after, "revision_due"));
	/* It stands where it stood, once, and its margins agree with those of the other tables of its release. */
	assert_int_equal(json_array_size(json_object_get(body_find_table(second, "continuity_by_quarter"), "periods")),
			 2);
	/* The next periods close, and the one that was revised stays. */
	third = publish(&s, 3, "2026-06-30", second);
	assert_true(json_equal(after, find_block(third, "continuity_by_quarter", "2024-Q2")));
	assert_null(text_of(find_block(third, "continuity_by_quarter", "2024-Q4"), "revision_due"));
	assert_string_equal(text_of(find_block(third, "continuity_by_quarter", "2025-Q4"), "revision_due"),
			    "2026-07-29");
	json_decref(third);
	/* A study that no longer revises carries forward what it said. */
	s.study->disclosure.revision_after_days = 0;
	third = publish(&s, 2, "2025-01-27", first);
	assert_true(json_equal(before, find_block(third, "continuity_by_quarter", "2024-Q2")));
	json_decref(first);
	json_decref(second);
	json_decref(third);
	sample_deinit(&s);
}

/* A period closes at its end, plus 90 days, plus the longest lag of 30. */
static void test_closing_day(void **state)
{
	struct study *study = fixture_study();
	const struct study_table *table = &study->tables[F_BY_QUARTER];
	int32_t q2 = period_of_day(PERIOD_QUARTER, fixture_day("2024-06-30"));
	int32_t closes = fixture_day("2024-06-30") + 120;

	(void)state;
	assert_int_equal(table_plan(study, table, closes - 1, true, q2 - 1).n_final, 0);
	struct table_plan plan = table_plan(study, table, closes, true, q2 - 1);
	assert_int_equal(plan.first, q2);
	assert_int_equal(plan.n_final, 1);
	assert_int_equal(plan.n_provisional, 0);
	study->disclosure.provisional = true;
	plan = table_plan(study, table, closes, true, q2 - 1);
	assert_int_equal(plan.n_final, 1);
	assert_int_equal(plan.n_provisional, 2); /* Q3 and the running Q4 */
	plan = table_plan(study, table, closes - 1, true, q2 - 1);
	assert_int_equal(plan.n_final, 0);
	assert_int_equal(plan.n_provisional, 3);
	/* How far back a first release goes depends on the study alone. */
	study->disclosure.provisional = false;
	plan = table_plan(study, table, closes, false, 0);
	assert_int_equal(plan.first, period_of_day(PERIOD_QUARTER, fixture_day("2014-10-01")));
	study->retention_years = 2;
	plan = table_plan(study, table, closes, false, 0);
	assert_int_equal(plan.first, period_of_day(PERIOD_QUARTER, fixture_day("2022-10-01")));
	/* The whole time is never closed. */
	struct study_table whole = *table;
	whole.period = PERIOD_ALL;
	plan = table_plan(study, &whole, closes, false, 0);
	assert_int_equal(plan.n_final + plan.n_provisional, 0);
	free(study);
}

static void test_charge(void **state)
{
	struct sample s;
	uint64_t charge = 0;

	(void)state;
	sample_init(&s, 2000);
	/* Three tables of σ² = 10: an index event can enter one cell of each, whatever the number of periods. */
	assert_int_equal(stats_release_charge(s.study, fixture_day("2025-06-30"), NULL, &charge), RC_OK);
	assert_int_equal(charge, 300000);
	s.study->tables[0].sigma2_milli = 3000;
	assert_int_equal(stats_release_charge(s.study, fixture_day("2025-06-30"), NULL, &charge), RC_OK);
	assert_int_equal(charge, 200000 + 333334); /* rounded up */
	/* What is charged does not depend on records, and the body says it. */
	json_t *body = publish(&s, 1, "2025-06-30", NULL);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(body, "disclosure"), "rho_micro")), 533334);
	/* A table that changed is a new table: its closed periods are drawn again, and charged again. */
	s.study->tables[0].sigma2_milli = 5000;
	assert_int_equal(stats_release_charge(s.study, fixture_day("2025-06-30"), body, &charge), RC_OK);
	assert_int_equal(charge, 200000);
	/* Another threshold makes no new table. */
	s.study->tables[0].sigma2_milli = 3000;
	s.study->disclosure.threshold = 500;
	assert_int_equal(stats_release_charge(s.study, fixture_day("2025-06-30"), body, &charge), RC_OK);
	assert_int_equal(charge, 0);
	/* Provisional periods cost their share in every release. */
	s.study->disclosure.provisional = true;
	assert_int_equal(stats_release_charge(s.study, fixture_day("2025-06-30"), body, &charge), RC_OK);
	assert_int_equal(charge, 533334);
	json_decref(body);
	sample_deinit(&s);
}

static void test_provisional(void **state)
{
	struct sample s;

	(void)state;
	sample_init(&s, 4000);
	s.study->disclosure.provisional = true;
	json_t *first = publish(&s, 1, "2024-11-01", NULL);
	const json_t *open = find_block(first, "continuity_by_quarter", "2024-Q4");
	assert_string_equal(json_string_value(json_object_get(open, "state")), "provisional");
	/* Its follow-up is not complete: all of it is not observable, up to noise. */
	for (size_t c = 0; c < 8; c++)
		assert_in_range(cell(open, 0, c) + 25, 0, 50);
	assert_true(cell(open, 0, 8) > 150);
	/* It is not carried forward: once closed, it is counted again. */
	json_t *second = publish(&s, 2, "2025-06-30", first);
	const json_t *closed = find_block(second, "continuity_by_quarter", "2024-Q4");
	assert_string_equal(json_string_value(json_object_get(closed, "state")), "final");
	assert_int_equal(json_integer_value(json_object_get(closed, "released_in")), 2);
	assert_in_range(cell(closed, 0, 8) + 25, 0, 50);
	json_decref(first);
	json_decref(second);
	sample_deinit(&s);
}

/* A hidden row has neither total nor cells; a shown one is at or above the threshold in its noisy total. */
static void test_threshold(void **state)
{
	struct sample s;
	size_t n_hidden = 0, n_shown = 0;

	(void)state;
	sample_init(&s, 700);
	json_t *body = publish(&s, 1, "2025-06-30", NULL);
	/* 9 cells of σ² = 10: 2.5 standard deviations of a total are 24, which is above the study's 10. Three tables
	 * that are made to agree bring the variance of a cell down to 7.6. */
	assert_int_equal(lattice_threshold(s.study, &s.study->tables[F_BY_QUARTER]), 21);
	assert_int_equal(lattice_threshold(s.study, &s.study->tables[F_BY_BOTH]), 21);
	const json_t *periods = json_object_get(body_find_table(body, "continuity_by_both"), "periods"), *row;
	for (size_t p = 0; p < json_array_size(periods); p++) {
		size_t r;
		json_array_foreach(json_object_get(json_array_get(periods, p), "rows"), r, row)
		{
			if (json_is_true(json_object_get(row, "shown"))) {
				assert_true(json_integer_value(json_object_get(row, "n")) >= 21);
				n_shown++;
			} else {
				assert_null(json_object_get(row, "n"));
				assert_null(json_object_get(row, "cells"));
				n_hidden++;
			}
		}
	}
	assert_true(n_hidden >= 12 && n_shown >= 12);
	json_decref(body);
	s.study->n_tables = 1;
	assert_int_equal(lattice_threshold(s.study, &s.study->tables[0]), 24);
	s.study->tables[0].sigma2_milli = 1000;
	assert_int_equal(lattice_threshold(s.study, &s.study->tables[0]), 10);
	s.study->disclosure.method = DISCLOSURE_NONE;
	s.study->disclosure.threshold = 0;
	assert_int_equal(lattice_threshold(s.study, &s.study->tables[0]), 0);
	sample_deinit(&s);
}

static void test_no_events(void **state)
{
	struct sample s;

	(void)state;
	sample_init(&s, 0);
	json_t *body = publish(&s, 1, "2025-06-30", NULL);
	/* The last closed period always stands there, with its rows hidden (but for noise). */
	assert_non_null(find_block(body, "continuity_by_quarter", "2024-Q4"));
	assert_null(find_block(body, "continuity_by_quarter", "2025-Q1"));
	json_decref(body);
	sample_deinit(&s);
}

static enum rc failing_prf(void *ctx, const void *identity, size_t len, uint8_t out[32])
{
	(void)ctx;
	(void)identity;
	(void)len;
	(void)out;
	return RC_CRYPTO;
}

static void test_refusals(void **state)
{
	struct sample s;
	json_t *body = NULL;
	uint64_t charge = 5;

	(void)state;
	sample_init(&s, 100);
	struct stats_params params = {.release = 1, .as_of = fixture_day("2025-06-30"), .prf = failing_prf};
	assert_int_equal(stats_release(s.study, s.events, s.n_events, &params, &body), RC_CRYPTO);
	params.prf = fixture_prf;
	params.release = 0;
	assert_int_equal(stats_release(s.study, s.events, s.n_events, &params, &body), RC_INVALID);
	params.release = 2;
	json_t *previous = json_pack("{s:i}", "v", 1);
	params.previous = previous;
	assert_int_equal(stats_release(s.study, s.events, s.n_events, &params, &body), RC_INVALID);
	assert_int_equal(stats_release_charge(s.study, params.as_of, previous, &charge), RC_INVALID);
	json_decref(previous);
	/* A body of another study is not a previous one. */
	previous = publish(&s, 1, "2025-06-30", NULL);
	json_object_set_new(previous, "study", json_string("other"));
	assert_int_equal(stats_release_charge(s.study, params.as_of, previous, &charge), RC_INVALID);
	json_object_set_new(previous, "study", json_string("fixture"));
	/* Nor is one whose rows are missing. */
	json_t *block = (json_t *)find_block(previous, "continuity_by_both", "2024-Q4");
	json_object_set_new(block, "rows", json_array());
	assert_int_equal(stats_release_charge(s.study, params.as_of, previous, &charge), RC_INVALID);
	json_decref(previous);
	s.events[0].event = 77;
	params.previous = NULL;
	assert_int_equal(stats_release(s.study, s.events, s.n_events, &params, &body), RC_INVALID);
	s.events[0].event = F_RELEASE;
	/* Too many cells are refused before anything is charged. */
	s.study->dimensions[0].n_codes = s.study->dimensions[1].n_codes = 60;
	assert_int_equal(stats_release_charge(s.study, params.as_of, NULL, &charge), RC_TOO_LARGE);
	assert_int_equal(charge, 5);
	assert_null(body);
	sample_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_does_not_matter),
		cmocka_unit_test(test_body_is_well_formed),
		cmocka_unit_test(test_counts_without_noise),
		cmocka_unit_test(test_noise_is_keyed_by_identity),
		cmocka_unit_test(test_closed_periods_are_carried_verbatim),
		cmocka_unit_test(test_tables_added_later),
		cmocka_unit_test(test_revision),
		cmocka_unit_test(test_closing_day),
		cmocka_unit_test(test_charge),
		cmocka_unit_test(test_provisional),
		cmocka_unit_test(test_threshold),
		cmocka_unit_test(test_no_events),
		cmocka_unit_test(test_refusals),
	};
	return cmocka_run_group_tests_name("release", tests, NULL, NULL);
}
