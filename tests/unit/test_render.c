/* libs: tc_stats tc_proto */
/* Answers: JSON-stat and CSV say the same as the body, hidden rows are never zero, and hostile bodies are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "daemon/stats/answer.h"
#include "tests/unit/stats_fixture.h"

static const char outcomes_text[] =
	"[\"0-7\",\"8-14\",\"15-21\",\"22-28\",\"29-90\",\"died\",\"reimprisoned\",\"none\",\"not_observable\"]";

/* A body by hand: two quarters, a table by intervention and sex whose rows are all shown but one, and, if asked for,
 * one by intervention alone. */
static json_t *make_body(bool with_fitting_table)
{
	struct buffer b;
	json_error_t error;

	buffer_init(&b);
	buffer_printf(
		&b,
		"{\"v\":1,\"study\":\"s\",\"study_digest\":\"00\",\"title\":\"A \\\"title\\\"\",\"synthetic\":true,"
		"\"release\":3,\"as_of\":\"2025-06-30\",\"disclosure\":{\"method\":\"keyed-noise\",\"threshold\":10,"
		"\"rho_micro\":200000,\"rho_total_micro\":300000,\"max_index_events\":4,\"secret\":\"injected\"},"
		"\"facts\":{\"log_index\":17},\"tables\":[");
	for (int t = 0; t < (with_fitting_table ? 2 : 1); t++) {
		buffer_printf(
			&b,
			"%s{\"name\":\"%s\",\"measure\":\"continuity\",\"kind\":\"continuity\",\"period_kind\":"
			"\"quarter\",\"sigma2_milli\":10000,\"threshold\":24,\"eligible\":[],\"bands\":[7,14,21,28,90],"
			"\"outcomes\":%s,"
			"\"by\":[{\"name\":\"intervention\",\"codes\":[\"unknown\",\"ost, daily\"]}%s],\"periods\":[",
			t ? "," : "", t ? "by_intervention" : "by_both", outcomes_text,
			t ? "" : ",{\"name\":\"sex\",\"codes\":[\"unknown\",\"m\",\"f\"]}");
		for (int q = 1; q <= 2; q++) {
			buffer_printf(&b, "%s{\"period\":\"2024-Q%d\",\"state\":\"%s\",\"released_in\":%d,\"rows\":[",
				      q > 1 ? "," : "", q, "final", q);
			for (int r = 0; r < (t ? 2 : 6); r++) {
				if (t)
					buffer_printf(&b, "%s{\"codes\":[%d],", r ? "," : "", r);
				else
					buffer_printf(&b, "%s{\"codes\":[%d,%d],", r ? "," : "", r / 3, r % 3);
				if (!t && r == 0 && q == 1)
					buffer_printf(&b, "\"shown\":false}");
				else
					buffer_printf(&b,
						      "\"shown\":true,\"n\":%d,\"cells\":[40,30,20,10,5,-2,3,90,%d]}",
						      196 + r + 100 * t, r + 100 * t);
			}
			buffer_printf(&b, "]}");
		}
		buffer_printf(&b, "]}");
	}
	buffer_printf(&b, "]}");
	json_t *body = json_loadb((const char *)b.data, b.len, 0, &error);
	if (body == NULL)
		fail_msg("fixture: %s", error.text);
	buffer_deinit(&b);
	return body;
}

static struct stats_query make_query(const char *table, const char *period, int n_by, const char *first,
				     const char *second)
{
	struct stats_query q = {0};

	fixture_name(q.table, table);
	strncpy(q.period, period, sizeof q.period - 1);
	q.by_given = n_by >= 0;
	q.n_by = (uint8_t)(n_by > 0 ? n_by : 0);
	if (n_by > 0)
		fixture_name(q.by[0], first != NULL ? first : "");
	if (n_by > 1)
		fixture_name(q.by[1], second != NULL ? second : "");
	return q;
}

static json_t *render(const json_t *body, const struct stats_query *q)
{
	struct buffer out;
	json_error_t error;

	buffer_init(&out);
	assert_int_equal(stats_render_jsonstat(body, q, &out, NULL), RC_OK);
	json_t *dataset = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, &error);
	if (dataset == NULL)
		fail_msg("not JSON: %s at %d", error.text, error.position);
	buffer_deinit(&out);
	return dataset;
}

/* What JSON-stat 2.0 asks of a dataset: id, size and dimensions agree, and there is a value for every cell. */
static void check_dataset(const json_t *dataset)
{
	const json_t *id = json_object_get(dataset, "id"), *size = json_object_get(dataset, "size");
	size_t n = 1;

	assert_string_equal(json_string_value(json_object_get(dataset, "version")), "2.0");
	assert_string_equal(json_string_value(json_object_get(dataset, "class")), "dataset");
	assert_int_equal(json_array_size(id), json_array_size(size));
	assert_int_equal(json_object_size(json_object_get(dataset, "dimension")), json_array_size(id));
	for (size_t i = 0; i < json_array_size(id); i++) {
		const json_t *dimension = json_object_get(json_object_get(dataset, "dimension"),
							  json_string_value(json_array_get(id, i)));
		const json_t *index = json_object_get(json_object_get(dimension, "category"), "index");
		assert_int_equal(json_array_size(index), json_integer_value(json_array_get(size, i)));
		n *= json_array_size(index);
	}
	assert_int_equal(json_array_size(json_object_get(dataset, "value")), n);
}

static json_int_t value_at(const json_t *dataset, size_t at)
{
	return json_integer_value(json_array_get(json_object_get(dataset, "value"), at));
}

static const json_t *rate_at(const json_t *dataset, const char *list, size_t row, size_t band)
{
	const json_t *rates = json_object_get(json_object_get(dataset, "extension"), list);

	return json_array_get(json_object_get(json_array_get(rates, row), "within"), band);
}

static void test_whole_table(void **state)
{
	json_t *body = make_body(false);
	struct stats_query q = make_query("by_both", "", -1, NULL, NULL);
	json_t *dataset = render(body, &q);
	const json_t *extension = json_object_get(dataset, "extension"), *status = json_object_get(dataset, "status");

	(void)state;
	check_dataset(dataset);
	assert_int_equal(json_array_size(json_object_get(dataset, "id")), 4);
	assert_true(json_is_true(json_object_get(extension, "synthetic")));
	assert_int_equal(json_integer_value(json_object_get(extension, "log_index")), 17);
	/* The hidden row: null and said so, for its nine values and no other. */
	assert_int_equal(json_object_size(status), 9);
	for (size_t c = 0; c < 9; c++) {
		char key[8];
		snprintf(key, sizeof key, "%zu", c);
		assert_true(json_is_null(json_array_get(json_object_get(dataset, "value"), c)));
		assert_string_equal(json_string_value(json_object_get(status, key)), "hidden");
	}
	assert_int_equal(value_at(dataset, 9), 40);
	assert_int_equal(value_at(dataset, 14), -2);
	/* 21 days: 90 of 196 observable, 45.92 %. */
	const json_t *rate = rate_at(dataset, "rates", 1, 2);
	assert_int_equal(json_integer_value(json_object_get(rate, "days")), 21);
	assert_int_equal(json_integer_value(json_object_get(rate, "count")), 90);
	struct rate expected = rate_interval(90, 106, 3, 5, 10000);
	assert_int_equal((long)(json_real_value(json_object_get(rate, "percent")) * 100 + 0.5), 4592);
	assert_int_equal((long)(json_real_value(json_object_get(rate, "low")) * 100 + 0.5), expected.low);
	assert_int_equal((long)(json_real_value(json_object_get(rate, "high")) * 100 + 0.5), expected.high);
	/* Pooled: the row that is hidden in one quarter has one left and is no pool. */
	assert_int_equal(json_array_size(json_object_get(extension, "pooled")), 5);
	assert_int_equal(json_integer_value(json_object_get(rate_at(dataset, "pooled", 0, 2), "count")), 180);
	json_decref(dataset);
	json_decref(body);
}

static double number_in(const json_t *object, const char *outer, const char *inner)
{
	return json_number_value(json_object_get(json_object_get(object, outer), inner));
}

/* Of the row by_both [period 1][ost, m] against [unknown, m], and standardised over sex. */
static void test_comparison(void **state)
{
	json_t *body = make_body(false);
	struct stats_query q = make_query("by_both", "", -1, NULL, NULL);

	(void)state;
	fixture_name(q.compare, "intervention");
	fixture_name(q.against, "unknown");
	json_t *dataset = render(body, &q);
	const json_t *comparison = json_object_get(json_object_get(dataset, "extension"), "comparison");
	const json_t *rows = json_object_get(comparison, "rows"), *row, *pooled = json_object_get(comparison, "pooled");
	check_dataset(dataset);
	assert_string_equal(json_string_value(json_object_get(comparison, "against")), "unknown");
	/* A period: three rows of ost, one standardised. */
	assert_int_equal(json_array_size(rows), 8);
	/* Its reference is hidden in the first quarter: no difference, and no standardised rate of the reference. */
	row = json_array_get(json_object_get(json_array_get(rows, 0), "within"), 2);
	assert_true(json_is_null(json_object_get(row, "difference")) && json_is_real(json_object_get(row, "percent")));
	row = json_array_get(json_object_get(json_array_get(rows, 3), "within"), 2);
	assert_true(json_is_true(json_object_get(json_array_get(rows, 3), "standardised")));
	assert_true(json_is_null(json_object_get(row, "difference")));
	/* Shown on both sides: 90 of 196 each, so no difference and a ratio of 1. */
	struct rate same = rate_interval(90, 106, 3, 5, 10000);
	struct contrast expected = contrast_of(&same, &same);
	row = json_array_get(json_object_get(json_array_get(rows, 1), "within"), 2);
	assert_true(number_in(row, "difference", "points") == 0 && number_in(row, "ratio", "value") == 1);
	assert_int_equal((long)(number_in(row, "difference", "high") * 100 + 0.5), expected.high);
	assert_int_equal((long)(number_in(row, "ratio", "low") * 1000 + 0.5), expected.ratio_low);
	/* Standardised in the second quarter: three strata of one rate, narrower than one of them. */
	row = json_array_get(json_object_get(json_array_get(rows, 7), "within"), 2);
	assert_true(number_in(row, "difference", "points") == 0);
	assert_true(number_in(row, "difference", "high") * 100 < expected.high * 0.62);
	assert_int_equal(json_array_size(pooled), 4);
	json_decref(dataset);
	json_decref(body);
}

/* Counts of links of two arms, and of none for those that are not asked. */
static json_t *make_links(void)
{
	return json_pack("{s:i, s:s, s:[{s:s,s:i,s:i,s:i,s:i},{s:s,s:i,s:i,s:i,s:i}]}", "sigma2_milli", 10000, "by",
			 "intervention", "arms", "code", "unknown", "true", 9000, "false", 10, "missed", 1000, "doubt",
			 200, "code", "ost, daily", "true", 8000, "false", 10, "missed", 2000, "doubt", 300);
}

static const json_t *first_corrected(const json_t *dataset, size_t at)
{
	const json_t *comparison = json_object_get(json_object_get(dataset, "extension"), "comparison");
	const json_t *row = json_array_get(json_object_get(comparison, "rows"), at);

	return json_object_get(json_array_get(json_object_get(row, "within"), 0), "corrected");
}

static bool has_note(const json_t *dataset, const char *words)
{
	const json_t *notes = json_object_get(dataset, "note");
	bool found = false;

	for (size_t i = 0; i < json_array_size(notes); i++)
		found |= strstr(json_string_value(json_array_get(notes, i)), words) != NULL;
	return found;
}

static json_t *render_compared(const json_t *body, const char *dimension, const char *against)
{
	struct stats_query q = make_query("by_both", "2024-Q2", -1, NULL, NULL);

	fixture_name(q.compare, dimension);
	fixture_name(q.against, against);
	return render(body, &q);
}

/* All rows of 2024-Q2 have 40 of 196 within 7 days, 20.41 %. Of the arms 90 and 80 % of the links are found: 22.68 and
 * 25.51 %. */
static void test_corrected_comparison(void **state)
{
	json_t *body = make_body(false);

	(void)state;
	json_object_set_new(body, "linkage", make_links());
	json_t *dataset = render_compared(body, "intervention", "unknown");
	for (size_t at = 0; at < 4; at += 3) { /* ost, of unknown sex; standardised over sex */
		const json_t *corrected = first_corrected(dataset, at);
		assert_in_range((long)(number_in(corrected, "difference", "points") * 100), 280, 286);
		assert_true(number_in(corrected, "difference", "low") < -3);
		assert_true(number_in(corrected, "difference", "high") > 8);
		assert_in_range((long)(number_in(corrected, "ratio", "value") * 1000), 1123, 1127);
		assert_in_range((long)(json_number_value(json_object_get(corrected, "percent")) * 100), 2545, 2555);
	}
	assert_true(has_note(dataset, "links that it misses itself"));
	json_decref(dataset);
	/* Between sexes of one arm the share found is the same: nothing is standardised over arms. */
	dataset = render_compared(body, "sex", "m");
	assert_int_equal((long)number_in(first_corrected(dataset, 0), "difference", "points"), 0);
	assert_true(json_is_null(first_corrected(dataset, 4)));
	assert_true(has_note(dataset, "equally often"));
	json_decref(dataset);
	/* An arm of which too little is known leaves no comparison. */
	json_object_set_new(json_array_get(json_object_get(json_object_get(body, "linkage"), "arms"), 0), "doubt",
			    json_integer(9000));
	dataset = render_compared(body, "intervention", "unknown");
	assert_true(json_is_null(first_corrected(dataset, 0)) && json_is_null(first_corrected(dataset, 3)));
	json_decref(dataset);
	json_decref(body);
}

static void test_corrected_comparison_csv(void **state)
{
	json_t *body = make_body(false);
	struct stats_query q = make_query("by_both", "2024-Q2", -1, NULL, NULL);
	struct buffer out;

	(void)state;
	json_object_set_new(body, "linkage", make_links());
	fixture_name(q.compare, "intervention");
	fixture_name(q.against, "unknown");
	buffer_init(&out);
	assert_int_equal(stats_render_csv(body, &q, &out, NULL), RC_OK);
	buffer_append(&out, "", 1);
	assert_non_null(strstr((char *)out.data, "\"ost, daily\",m,within_7_corrected_difference,2.8"));
	assert_non_null(strstr((char *)out.data, "\"ost, daily\",m,within_7_corrected_ratio,1.12"));
	assert_non_null(strstr((char *)out.data, "\"ost, daily\",m,within_7_difference,0.0"));
	assert_null(strstr((char *)out.data, ",unknown,m,within_7_corrected_difference"));
	/* Linkage quality of the row's arm: 80 and 90 % found. */
	const char *row = strstr((char *)out.data, "\"ost, daily\",m,0-7,");
	assert_non_null(row);
	assert_non_null(strstr(row, ",10.000,,,80.00,"));
	row = strstr((char *)out.data, ",unknown,m,0-7,");
	assert_non_null(row);
	assert_non_null(strstr(row, ",10.000,,,90.00,"));
	buffer_deinit(&out);
	json_decref(body);
}

static void test_comparison_refusals(void **state)
{
	static const struct {
		const char *compare, *against, *words;
	} cases[] = {{"height", "m", "no dimension"}, {"sex", "x", "no code x"}};
	json_t *body = make_body(false);
	struct buffer out;

	(void)state;
	buffer_init(&out);
	for (size_t i = 0; i < 2; i++) {
		struct stats_query q = make_query("by_both", "", -1, NULL, NULL);
		struct diag diag = {""};
		fixture_name(q.compare, cases[i].compare);
		fixture_name(q.against, cases[i].against);
		assert_int_equal(stats_render_jsonstat(body, &q, &out, &diag), RC_USAGE);
		assert_non_null(strstr(diag.text, cases[i].words));
		assert_int_equal(out.len, 0);
	}
	struct stats_query q = make_query("by_both", "", 1, "intervention", NULL);
	fixture_name(q.compare, "sex");
	fixture_name(q.against, "m");
	assert_int_equal(stats_render_csv(body, &q, &out, NULL), RC_USAGE);
	buffer_deinit(&out);
	json_decref(body);
}

static void test_sum_with_hidden_row_is_hidden(void **state)
{
	json_t *body = make_body(false);
	struct stats_query q = make_query("by_both", "", 1, "intervention", NULL);
	json_t *dataset = render(body, &q);

	(void)state;
	check_dataset(dataset);
	assert_true(json_is_null(json_array_get(json_object_get(dataset, "value"), 0)));
	assert_int_equal(value_at(dataset, 9), 120);  /* Q1, ost: three rows */
	assert_int_equal(value_at(dataset, 18), 120); /* Q2, unknown */
	/* Noise of three rows: nine cells in the numerator, fifteen in the rest. */
	struct rate expected = rate_interval(270, 318, 9, 15, 10000);
	const json_t *rate = rate_at(dataset, "rates", 1, 2);
	assert_int_equal((long)(json_real_value(json_object_get(rate, "low")) * 100 + 0.5), expected.low);
	json_decref(dataset);
	json_decref(body);
}

static void test_fitting_table_is_preferred(void **state)
{
	json_t *body = make_body(true);
	struct stats_query q = make_query("by_both", "2024-Q1", 1, "intervention", NULL);
	json_t *dataset = render(body, &q);
	const json_t *extension = json_object_get(dataset, "extension");

	(void)state;
	check_dataset(dataset);
	assert_string_equal(json_string_value(json_object_get(extension, "table")), "by_both");
	assert_string_equal(json_string_value(json_object_get(extension, "source_table")), "by_intervention");
	assert_int_equal(value_at(dataset, 0), 40);
	assert_int_equal(value_at(dataset, 8), 100);
	json_decref(dataset);
	json_decref(body);
}

/* A table that another release drew says so, and only where the period is the same and the release is not. */
static void test_tables_drawn_apart(void **state)
{
	json_t *body = make_body(true), *table = json_array_get(json_object_get(body, "tables"), 1);
	struct stats_query q = make_query("by_both", "", -1, NULL, NULL);
	json_t *dataset = render(body, &q);

	(void)state;
	assert_false(has_note(dataset, "sums of the two"));
	json_decref(dataset);
	json_object_set_new(json_array_get(json_object_get(table, "periods"), 1), "released_in", json_integer(3));
	dataset = render(body, &q);
	assert_true(
		has_note(dataset, "Table by_intervention counts the same, but has 2024-Q2 as release 3 published it"));
	json_decref(dataset);
	strcpy(q.period, "2024-Q1");
	dataset = render(body, &q);
	assert_false(has_note(dataset, "sums of the two"));
	json_decref(dataset);
	json_decref(body);
}

static void test_totals(void **state)
{
	json_t *body = make_body(false);
	struct stats_query q = make_query("by_both", "2024-Q2", 0, NULL, NULL);
	json_t *dataset = render(body, &q);

	(void)state;
	check_dataset(dataset);
	assert_int_equal(json_array_size(json_object_get(dataset, "id")), 2);
	assert_int_equal(value_at(dataset, 0), 240);
	json_decref(dataset);
	json_decref(body);
}

static void expect_error(const json_t *body, struct stats_query q, enum rc wanted, const char *words)
{
	struct buffer out;
	struct diag diag = {""};

	buffer_init(&out);
	assert_int_equal(stats_render_jsonstat(body, &q, &out, &diag), wanted);
	assert_int_equal(out.len, 0);
	if (strstr(diag.text, words) == NULL)
		fail_msg("'%s' is not in '%s'", words, diag.text);
	assert_int_equal(stats_render_csv(body, &q, &out, NULL), wanted);
	assert_int_equal(out.len, 0);
	buffer_deinit(&out);
}

static void test_clear_errors(void **state)
{
	json_t *body = make_body(false);

	(void)state;
	expect_error(body, make_query("nothing", "", -1, NULL, NULL), RC_NOTFOUND, "release 3 has no table nothing");
	expect_error(body, make_query("by_both", "2031-Q1", -1, NULL, NULL), RC_NOTFOUND, "period 2031-Q1");
	expect_error(body, make_query("by_both", "", 1, "height", NULL), RC_USAGE, "no dimension height");
	json_object_set_new(json_array_get(json_object_get(body, "tables"), 0), "periods", json_array());
	expect_error(body, make_query("by_both", "", -1, NULL, NULL), RC_NOTFOUND, "no published period");
	json_decref(body);
}

/* Each way of breaking a body is found before anything is written. */
static void test_damaged_bodies(void **state)
{
	static const char *const breaks[] = {"v", "study", "title", "synthetic", "release", "disclosure", "tables"};
	static const char *const table_breaks[] = {"name",  "measure",  "period_kind", "sigma2_milli", "threshold",
						   "bands", "outcomes", "by",          "periods"};
	struct stats_query q = make_query("by_both", "", -1, NULL, NULL);

	(void)state;
	for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
		json_t *body = make_body(false);
		json_object_set_new(body, breaks[i], json_real(1.5));
		expect_error(body, q, RC_DAMAGED, "damaged");
		json_decref(body);
	}
	for (size_t i = 1; i < sizeof table_breaks / sizeof *table_breaks; i++) {
		json_t *body = make_body(false);
		json_object_set_new(json_array_get(json_object_get(body, "tables"), 0), table_breaks[i], json_null());
		expect_error(body, q, RC_DAMAGED, "damaged");
		json_decref(body);
	}
	json_t *body = make_body(false);
	json_t *rows = json_object_get(
		json_array_get(json_object_get(json_array_get(json_object_get(body, "tables"), 0), "periods"), 0),
		"rows");
	json_object_set_new(json_array_get(rows, 1), "n", json_integer(1));
	expect_error(body, q, RC_DAMAGED, "damaged");
	json_array_set(rows, 1, json_array_get(rows, 2));
	expect_error(body, q, RC_DAMAGED, "damaged");
	json_array_remove(rows, 1);
	expect_error(body, q, RC_DAMAGED, "damaged");
	json_decref(body);
	expect_error(NULL, q, RC_DAMAGED, "damaged");
}

static void test_csv(void **state)
{
	json_t *body = make_body(false);
	struct stats_query q = make_query("by_both", "", -1, NULL, NULL);
	struct buffer out;
	size_t n_lines = 0;

	(void)state;
	buffer_init(&out);
	assert_int_equal(stats_render_csv(body, &q, &out, NULL), RC_OK);
	buffer_append(&out, "", 1);
	const char *text = (const char *)out.data;
	for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
		n_lines++;
	assert_int_equal(n_lines, 1 + 2 * 6 * (1 + 9 + 5));
	assert_int_equal(
		strncmp(text,
			"study,synthetic,release,as_of,table,measure,period,period_state,released_in,"
			"intervention,sex,statistic,value,low,high,unit,status,method,sigma2,threshold,log_index,"
			"study_digest,variance,revision,next_release,links_found,links_found_low,links_found_high,"
			"links_false_high\n",
			270),
		0);
	/* A hidden row has no value, a code with a comma is quoted, a negative count stays. */
	assert_non_null(strstr(text,
			       "\ns,synthetic,3,2025-06-30,by_both,continuity,2024-Q1,final,1,unknown,unknown,0-7,,,,"
			       "releases,hidden,keyed-noise,10.000,24,17,00,10.000,,,,,,\n"));
	assert_non_null(strstr(text, ",2024-Q1,final,1,\"ost, daily\",m,died,-2,,,releases,final,"));
	assert_non_null(strstr(text, ",unknown,unknown,within_21,,,,percent,hidden,"));
	struct rate r = rate_interval(90, 106, 3, 5, 10000);
	char line[128];
	snprintf(line, sizeof line, ",2024-Q1,final,1,unknown,m,within_21,%u.%02u,%u.%02u,%u.%02u,percent,final,",
		 r.value / 100, r.value % 100, r.low / 100, r.low % 100, r.high / 100, r.high % 100);
	assert_non_null(strstr(text, line));
	buffer_deinit(&out);
	json_decref(body);
}

static void test_catalogue(void **state)
{
	struct study *study = fixture_study();
	json_t *body = make_body(true);
	struct buffer out;

	(void)state;
	buffer_init(&out);
	assert_int_equal(stats_render_catalogue(study, NULL, &out), RC_OK);
	json_t *list = json_loadb((const char *)out.data, out.len, 0, NULL);
	assert_true(json_is_null(json_object_get(list, "release")));
	assert_int_equal(json_array_size(json_object_get(list, "tables")), 3);
	json_decref(list);
	buffer_reset(&out);
	assert_int_equal(stats_render_catalogue(study, body, &out), RC_OK);
	list = json_loadb((const char *)out.data, out.len, 0, NULL);
	const json_t *table = json_array_get(json_object_get(list, "tables"), 1);
	assert_int_equal(json_integer_value(json_object_get(list, "release")), 3);
	assert_string_equal(json_string_value(json_object_get(table, "name")), "by_intervention");
	assert_int_equal(json_array_size(json_object_get(table, "periods")), 2);
	assert_null(json_object_get(json_array_get(json_object_get(table, "periods"), 0), "rows"));
	json_decref(list);
	json_object_del(body, "title");
	buffer_reset(&out);
	assert_int_equal(stats_render_catalogue(study, body, &out), RC_DAMAGED);
	buffer_deinit(&out);
	json_decref(body);
	free(study);
}

static json_t *block_of(json_t *body, size_t at)
{
	json_t *table = json_array_get(json_object_get(body, "tables"), 0);

	return json_array_get(json_object_get(table, "periods"), at);
}

static enum rc render_both(const json_t *body, struct buffer *json, struct buffer *csv)
{
	struct stats_query q = {.table = "by_both", .period = ""};

	buffer_reset(json);
	buffer_reset(csv);
	enum rc rc = stats_render_jsonstat(body, &q, json, NULL), csv_rc = stats_render_csv(body, &q, csv, NULL);
	assert_int_equal(rc, csv_rc);
	buffer_append(json, "", 1);
	buffer_append(csv, "", 1);
	return rc;
}

/* What a study announces, what a period says of its revision, and the variance that intervals go by. */
static void test_policy(void **state)
{
	json_t *body = make_body(false), *disclosure = json_object_get(body, "disclosure");
	struct buffer json, csv;

	(void)state;
	buffer_init(&json);
	buffer_init(&csv);
	assert_int_equal(render_both(body, &json, &csv), RC_OK);
	assert_non_null(strstr((char *)json.data, "\"revision_after_days\":null,\"release_dates\":[],"
						  "\"next_release\":null"));
	json_object_set_new(disclosure, "revision_after_days", json_integer(365));
	json_object_set_new(disclosure, "release_dates", json_pack("[sss]", "2025-03-31", "2025-09-30", "2026-03-31"));
	json_object_set_new(block_of(body, 0), "revised_from", json_integer(1));
	json_object_set_new(block_of(body, 1), "revision_due", json_string("2026-01-28"));
	json_object_set_new(block_of(body, 1), "variance_milli", json_pack("[iiii]", 1, 2, 3, 7583));
	assert_int_equal(render_both(body, &json, &csv), RC_OK);
	assert_non_null(strstr((char *)json.data,
			       "\"revision_after_days\":365,\"release_dates\":[\"2025-03-31\",\"2025-09-30\","
			       "\"2026-03-31\"],\"next_release\":\"2025-09-30\""));
	assert_non_null(strstr((char *)json.data, "\"released_in\":1,\"revised_from\":1,"));
	assert_non_null(strstr((char *)json.data, "\"released_in\":2,\"revision_due\":\"2026-01-28\","));
	assert_non_null(strstr((char *)json.data, "\"variance\":7.583"));
	assert_non_null(strstr((char *)csv.data, ",00,10.000,revised; first in release 1,2025-09-30,,,,\n"));
	assert_non_null(strstr((char *)csv.data, ",00,7.583,due 2026-01-28,2025-09-30,,,,\n"));
	/* What is not such a body is damaged. */
	json_object_set_new(block_of(body, 1), "revision_due", json_string("soon"));
	assert_int_equal(render_both(body, &json, &csv), RC_DAMAGED);
	json_object_del(block_of(body, 1), "revision_due");
	json_object_set_new(block_of(body, 1), "variance_milli", json_pack("[ii]", 1, 2));
	assert_int_equal(render_both(body, &json, &csv), RC_DAMAGED);
	json_object_set_new(block_of(body, 1), "variance_milli", json_pack("[iiii]", 1, 2, 3, -4));
	assert_int_equal(render_both(body, &json, &csv), RC_DAMAGED);
	json_object_del(block_of(body, 1), "variance_milli");
	json_object_set_new(disclosure, "release_dates", json_pack("[s]", "2025-02-30"));
	assert_int_equal(render_both(body, &json, &csv), RC_DAMAGED);
	buffer_deinit(&json);
	buffer_deinit(&csv);
	json_decref(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comparison),
		cmocka_unit_test(test_corrected_comparison),
		cmocka_unit_test(test_corrected_comparison_csv),
		cmocka_unit_test(test_comparison_refusals),
		cmocka_unit_test(test_whole_table),
		cmocka_unit_test(test_sum_with_hidden_row_is_hidden),
		cmocka_unit_test(test_fitting_table_is_preferred),
		cmocka_unit_test(test_tables_drawn_apart),
		cmocka_unit_test(test_totals),
		cmocka_unit_test(test_clear_errors),
		cmocka_unit_test(test_damaged_bodies),
		cmocka_unit_test(test_csv),
		cmocka_unit_test(test_catalogue),
		cmocka_unit_test(test_policy),
	};
	return cmocka_run_group_tests_name("render", tests, NULL, NULL);
}
