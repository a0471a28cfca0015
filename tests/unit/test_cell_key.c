/* libs: tc_stats tc_keys tc_proto */
/* The cell-key method: golden vectors, what the p-table is, the same noise for the same contributors in every table of
 * a release, and what is suppressed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "daemon/stats/body.h"
#include "daemon/stats/cell_key.h"
#include "daemon/stats/tables.h"
#include "keys/key_file.h"
#include "tests/unit/stats_fixture.h"

static enum rc hmac_prf(void *ctx, const void *identity, size_t len, uint8_t out[32])
{
	return hmac_sha256(ctx, 32, identity, len, out);
}

static void test_vectors(void **state)
{
	json_t *file = json_load_file(TC_SOURCE_DIR "/tests/data/vectors/cell_key.json", 0, NULL), *v;
	const char *key_hex = json_string_value(json_object_get(file, "key_hex"));
	uint8_t key[32];
	size_t i, n_checked = 0;

	(void)state;
	assert_non_null(key_hex);
	assert_int_equal(hex_decode(key_hex, strlen(key_hex), key, sizeof key), RC_OK);
	json_array_foreach(json_object_get(file, "vectors"), i, v)
	{
		uint32_t n = (uint32_t)json_integer_value(json_object_get(v, "n"));
		cell_key_sum sum = 0, one = 0;
		char text[33] = "";
		int64_t noise = 99;
		for (uint32_t person = 1; person <= n; person++) {
			char id[32];
			int len = snprintf(id, sizeof id, "person-%06u", (unsigned)person);
			assert_int_equal(cell_key_of_record(hmac_prf, key, id, (size_t)len, &one), RC_OK);
			sum += one;
		}
		for (int b = 0; b < 16; b++)
			snprintf(text + 2 * b, 3, "%02x", (unsigned)(uint8_t)(sum >> (120 - 8 * b)));
		assert_string_equal(text, json_string_value(json_object_get(v, "sum_hex")));
		assert_int_equal(cell_key_noise(hmac_prf, key, sum, n, &noise), RC_OK);
		assert_int_equal(noise, json_integer_value(json_object_get(v, "noise")));
		n_checked++;
	}
	assert_int_equal(n_checked, 11);
	json_decref(file);
}

/* A PRF that gives the number that it is told. */
static enum rc told_prf(void *ctx, const void *identity, size_t len, uint8_t out[32])
{
	struct writer w;

	(void)identity;
	(void)len;
	memset(out, 0, 32);
	writer_init(&w, out, 4);
	write_u32(&w, *(const uint32_t *)ctx);
	return RC_OK;
}

/* Over all u in 65,536 even steps: mean 0, variance 3 (as steps of the table allow), nothing published below 0, never 1
 * or 2, at most 5 away. */
static void test_what_the_table_is(void **state)
{
	(void)state;
	for (uint32_t n = 1; n <= 12; n++) {
		int64_t sum = 0, squares = 0;
		for (uint32_t step = 0; step < 65536; step++) {
			uint32_t u = step * 65536 + 32768;
			int64_t v = 0;
			assert_int_equal(cell_key_noise(told_prf, &u, 5, n, &v), RC_OK);
			assert_in_range(v + 5, 0, 10);
			assert_true((int64_t)n + v == 0 || (int64_t)n + v > 2);
			sum += v;
			squares += v * v;
		}
		assert_in_range(sum + 200, 0, 400);
		assert_in_range(squares * 1000 / 65536, 2990, 3010);
	}
	int64_t v = 7;
	uint32_t u = UINT32_MAX;
	assert_int_equal(cell_key_noise(told_prf, &u, 5, 0, &v), RC_OK);
	assert_int_equal(v, 0);
	assert_int_equal(cell_key_noise(told_prf, &u, 5, UINT32_MAX, &v), RC_OK);
	assert_int_equal(v, 5);
}

/* ---- releases ---- */

struct sample {
	struct study *study;
	struct stats_event events[4000];
	size_t n_events;
};

static struct sample *sample_new(void)
{
	struct sample *s = calloc(1, sizeof *s);

	assert_non_null(s);
	s->study = fixture_study();
	s->study->disclosure.method = DISCLOSURE_CELL_KEY;
	for (int t = 0; t < s->study->n_tables; t++)
		s->study->tables[t].sigma2_milli = STUDY_CELL_KEY_SIGMA2_MILLI;
	return s;
}

static void sample_free(struct sample *s)
{
	free(s->study);
	free(s);
}

/* `n` persons released in 2024-Q1 of whom nothing more is heard. */
static void sample_add(struct sample *s, uint32_t n, uint8_t intervention, uint8_t sex)
{
	for (uint32_t i = 0; i < n; i++) {
		struct stats_event e =
			fixture_event((uint32_t)s->n_events, F_RELEASE, fixture_day("2024-02-01") + (int32_t)(i % 20));
		e.codes[0] = intervention;
		e.codes[1] = sex;
		s->events[s->n_events++] = e;
	}
}

static json_t *publish(const struct sample *s, const char *secret)
{
	struct stats_params params = {.release = 1,
				      .as_of = fixture_day("2024-08-01"),
				      .prf = fixture_prf,
				      .prf_ctx = (void *)secret,
				      .secret_injected = true};
	json_t *body = NULL;

	assert_int_equal(stats_release(s->study, s->events, s->n_events, &params, &body), RC_OK);
	return body;
}

static struct body_row row_of(const json_t *body, const char *name, unsigned at)
{
	struct body_table table;
	struct body_period period;
	struct body_row row;

	assert_int_equal(body_read_table(body_find_table(body, name), &table), RC_OK);
	assert_int_equal(body_read_period(&table, json_array_size(table.periods) - 1, &period), RC_OK);
	assert_string_equal(period.period, "2024-Q1");
	assert_int_equal(body_read_row(&table, &period, at, &row), RC_OK);
	return row;
}

enum { NONE = 7 }; /* cell of those of whom nothing is heard */

/* Everybody had the same intervention, and is of one sex: three tables hold the very same people in one cell. */
static void test_same_people_same_noise(void **state)
{
	struct sample *s = sample_new();
	int64_t first_noise = 0;
	bool differs = false;

	(void)state;
	sample_add(s, 50, 1, 2);
	for (uint32_t i = 0; i < 30; i++) {
		char secret[16];
		snprintf(secret, sizeof secret, "secret %u", (unsigned)i);
		json_t *body = publish(s, secret);
		int64_t all = row_of(body, "continuity_by_quarter", 0).cells[NONE];
		assert_in_range(all, 45, 55);
		assert_int_equal(row_of(body, "continuity_by_intervention", 1).cells[NONE], all);
		assert_int_equal(row_of(body, "continuity_by_both", 1 * 3 + 2).cells[NONE], all);
		for (unsigned c = 0; c < 9; c++)
			assert_true(c == NONE || row_of(body, "continuity_by_quarter", 0).cells[c] == 0);
		if (i == 0)
			first_noise = all;
		differs |= all != first_noise;
		json_decref(body);
	}
	assert_true(differs);
	sample_free(s);
}

/* Nothing is charged, and the order of arrival does not matter. */
static void test_a_release(void **state)
{
	struct sample *s = sample_new();
	uint64_t charge = 99;

	(void)state;
	sample_add(s, 60, 1, 1);
	sample_add(s, 40, 2, 2);
	json_t *body = publish(s, NULL);
	assert_int_equal(stats_release_charge(s->study, fixture_day("2024-08-01"), NULL, &charge), RC_OK);
	assert_int_equal(charge, 0);
	const json_t *disclosure = json_object_get(body, "disclosure");
	assert_string_equal(json_string_value(json_object_get(disclosure, "method")), "cell-key");
	assert_int_equal(json_integer_value(json_object_get(disclosure, "rho_micro")), 0);
	for (size_t i = 0; i < s->n_events / 2; i++) {
		struct stats_event swap = s->events[i];
		s->events[i] = s->events[s->n_events - 1 - i];
		s->events[s->n_events - 1 - i] = swap;
	}
	json_t *again = publish(s, NULL);
	assert_true(json_equal(body, again));
	json_decref(again);
	json_decref(body);
	sample_free(s);
}

/* Rows by intervention: unknown 0, 5 with ost (hidden), 40 psychosocial, 60 none. The total is published, so one hidden
 * row could be had by subtraction: the smaller of the others is hidden with it. An empty row is shown as empty. */
static void test_suppression(void **state)
{
	struct sample *s = sample_new();

	(void)state;
	sample_add(s, 3, 1, 1);
	sample_add(s, 40, 2, 1);
	sample_add(s, 60, 3, 1);
	json_t *body = publish(s, NULL);
	assert_true(row_of(body, "continuity_by_quarter", 0).shown);
	assert_true(row_of(body, "continuity_by_intervention", 0).shown);
	assert_false(row_of(body, "continuity_by_intervention", 1).shown);
	assert_false(row_of(body, "continuity_by_intervention", 2).shown);
	assert_true(row_of(body, "continuity_by_intervention", 3).shown);
	/* By both: only along sex is there a margin (by intervention), and each line has one row that is not empty. */
	assert_true(row_of(body, "continuity_by_both", 3 * 3 + 1).shown);
	assert_false(row_of(body, "continuity_by_both", 1 * 3 + 1).shown);
	assert_true(row_of(body, "continuity_by_both", 1 * 3 + 2).shown);
	json_decref(body);
	/* Without a published total nothing can be subtracted. */
	s->study->tables[0] = s->study->tables[F_BY_BOTH];
	s->study->n_tables = 2;
	body = publish(s, NULL);
	assert_false(row_of(body, "continuity_by_intervention", 1).shown);
	assert_true(row_of(body, "continuity_by_intervention", 2).shown);
	json_decref(body);
	sample_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_what_the_table_is),
		cmocka_unit_test(test_same_people_same_noise),
		cmocka_unit_test(test_a_release),
		cmocka_unit_test(test_suppression),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
