/* libs: tc_stats tc_proto */
/* The continuity measure against the true counts of the labelled registers: with the true persons and without noise,
 * every quarter of every register must come out exactly. The registers lie outside the repository and may be absent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "daemon/stats/answer.h"
#include "tests/unit/stats_fixture.h"

enum { MAX_ROWS = 60000, MAX_FIELDS = 24, ID_CAP = 64 };
#define FOLDER TC_SOURCE_DIR "/../shared/data/"

struct truth {
	char key[ID_CAP]; /* file, comma, record id */
	char entity[ID_CAP];
};

struct loader {
	struct truth *truth;
	size_t n_truth;
	char (*entities)[ID_CAP];
	size_t n_entities;
	struct stats_event *events;
	size_t n_events;
};

/* These files hold no quotes; a line is cut at its commas. */
static int split(char *line, char *fields[MAX_FIELDS])
{
	int n = 0;

	assert_null(strchr(line, '"'));
	line[strcspn(line, "\r\n")] = '\0';
	for (char *at = line; at != NULL && n < MAX_FIELDS;)
		fields[n++] = strsep(&at, ",");
	return n;
}

static int find_column(char *fields[MAX_FIELDS], int n, const char *name)
{
	for (int i = 0; i < n; i++) {
		if (strcmp(fields[i], name) == 0)
			return i;
	}
	fail_msg("no column %s", name);
	return -1;
}

static FILE *open_file(const char *set, const char *name)
{
	char path[512];

	snprintf(path, sizeof path, FOLDER "%s/%s", set, name);
	return fopen(path, "r");
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void load_truth(struct loader *l, const char *set)
{
	FILE *f = open_file(set, "truth.csv");
	char line[1024], *fields[MAX_FIELDS];

	assert_non_null(f);
	assert_non_null(fgets(line, sizeof line, f));
	while (fgets(line, sizeof line, f) != NULL) {
		assert_int_equal(split(line, fields), 3);
		assert_true(l->n_truth < MAX_ROWS);
		snprintf(l->truth[l->n_truth].key, ID_CAP, "%.20s,%.40s", fields[0], fields[1]);
		snprintf(l->truth[l->n_truth].entity, ID_CAP, "%.60s", fields[2]);
		memcpy(l->entities[l->n_truth], l->truth[l->n_truth].entity, ID_CAP);
		l->n_truth++;
	}
	fclose(f);
	l->n_entities = l->n_truth;
	qsort(l->truth, l->n_truth, sizeof *l->truth, compare_text);
	qsort(l->entities, l->n_entities, ID_CAP, compare_text);
}

/* A person's number: where the first copy of the entity stands in the sorted list. */
static uint32_t find_person(const struct loader *l, const char *file, const char *record_id)
{
	char key[ID_CAP];

	snprintf(key, sizeof key, "%.20s,%.40s", file, record_id);
	const struct truth *t = bsearch(key, l->truth, l->n_truth, sizeof *t, compare_text);
	assert_non_null(t);
	char(*at)[ID_CAP] = bsearch(t->entity, l->entities, l->n_entities, ID_CAP, compare_text);
	assert_non_null(at);
	while (at > l->entities && strcmp(at[-1], t->entity) == 0)
		at--;
	return (uint32_t)(at - l->entities);
}

static void load_register(struct loader *l, const char *set, const char *file, unsigned event)
{
	char name[64], line[1024], *fields[MAX_FIELDS];

	snprintf(name, sizeof name, "%s.csv", file);
	FILE *f = open_file(set, name);
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof line, f));
	int n = split(line, fields), id = find_column(fields, n, "record_id"),
	    date = find_column(fields, n, "event_date");
	while (fgets(line, sizeof line, f) != NULL) {
		assert_int_equal(split(line, fields), n);
		assert_true(l->n_events < MAX_ROWS);
		struct stats_event e =
			fixture_event(find_person(l, file, fields[id]), event, fixture_day(fields[date]));
		for (size_t i = 0; i < sizeof e.record_id; i++)
			e.record_id[i] = (uint8_t)(l->n_events >> (i % 4 * 8));
		l->events[l->n_events++] = e;
	}
	fclose(f);
}

static void compare_quarter(const struct answer *a, size_t at, const json_t *expected)
{
	static const char *const names[] = {"within_7", "within_14", "within_21", "within_28", "within_90"};
	const json_t *quarter = json_object_get(expected, a->periods[at].period);

	if (quarter == NULL)
		return;
	assert_int_equal(answer_observable(a, &a->rows[at]), json_integer_value(json_object_get(quarter, "releases")));
	assert_int_equal(outcome_n_statistics(&a->table.shape), 5);
	for (unsigned b = 0; b < 5; b++) {
		struct outcome_statistic within = outcome_statistic(&a->table.shape, b);
		assert_string_equal(within.name, names[b]);
		assert_int_equal(answer_sum(a, &a->rows[at], within.mask),
				 json_integer_value(json_object_get(quarter, names[b])));
	}
}

static size_t check_set(const char *set)
{
	struct loader l = {.truth = calloc(MAX_ROWS, sizeof *l.truth),
			   .entities = calloc(MAX_ROWS, ID_CAP),
			   .events = calloc(MAX_ROWS, sizeof *l.events)};
	struct study *study = fixture_study();
	struct stats_params params = {.release = 1, .as_of = fixture_day("2025-12-31"), .prf = fixture_prf};
	struct stats_query query = {.table = "continuity_by_quarter"};
	struct answer answer;
	char path[512];
	json_t *body = NULL;
	size_t n = 0;

	assert_true(l.truth != NULL && l.entities != NULL && l.events != NULL);
	load_truth(&l, set);
	load_register(&l, set, "prison", F_RELEASE);
	load_register(&l, set, "treatment", F_START);
	study->disclosure.method = DISCLOSURE_NONE;
	assert_int_equal(stats_release(study, l.events, l.n_events, &params, &body), RC_OK);
	assert_int_equal(answer_init(&answer, body, &query, NULL), RC_OK);
	snprintf(path, sizeof path, FOLDER "%s/expected.json", set);
	json_t *file = json_load_file(path, 0, NULL);
	const json_t *expected = json_object_get(file, "expected");
	for (size_t p = 0; p < answer.n_periods; p++) {
		compare_quarter(&answer, p, expected);
		n += json_object_get(expected, answer.periods[p].period) != NULL;
	}
	assert_int_equal(n, json_object_size(expected) - 1); /* all quarters; "all" is their sum */
	printf("%s: %zu quarters are exact\n", set, n);
	answer_deinit(&answer);
	json_decref(file);
	json_decref(body);
	free(study);
	free(l.truth);
	free(l.entities);
	free(l.events);
	return n;
}

static void test_labelled(void **state)
{
	static const char *const sets[] = {"febrl4", "fake1000", "rl10000", "census_cis"};

	(void)state;
	for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
		FILE *f = open_file(sets[i], "expected.json");
		if (f == NULL) {
			printf("labelled register %s is absent: nothing checked on it\n", sets[i]);
			continue;
		}
		fclose(f);
		assert_int_equal(check_set(sets[i]), 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labelled),
	};
	return cmocka_run_group_tests_name("labelled_counts", tests, NULL, NULL);
}
