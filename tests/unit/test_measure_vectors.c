/* libs: tc_stats tc_proto */
/* Random lives: the same index events and outcomes as the reference in tests/ref/measures.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <jansson.h>

#include "daemon/stats/measure.h"
#include "daemon/stats/timeline.h"
#include "tests/unit/stats_fixture.h"

enum { N_MEASURES = 6, MAX_EVENTS = 32, INTERVENTION = 0, SEX = 1 };

/* As MEASURES of the reference; the first is the fixture's own. */
static struct study *make_study(void)
{
	static const uint16_t return_bands[] = {30, 90, 365}, mortality_bands[] = {14, 28, 365},
			      retention_bands[] = {29, 89, 179}, c20_bands[] = {21};
	struct study *s = fixture_study();

	fixture_measure(s, "return", MEASURE_RETURN, 3, return_bands);
	fixture_measure(s, "mortality", MEASURE_MORTALITY, 3, mortality_bands);
	struct study_measure *m = fixture_measure(s, "causes", MEASURE_MORTALITY, 3, mortality_bands);
	m->by_cause = true;
	m->drug_related = (struct study_rule){.dimension = SEX, .codes = {[2] = true}};
	fixture_measure(s, "retention", MEASURE_RETENTION, 3, retention_bands)->start_within = 90;
	m = fixture_measure(s, "c20", MEASURE_CONTINUITY, 1, c20_bands);
	m->eligible[0] = (struct study_rule){.dimension = INTERVENTION, .codes = {[1] = true, [2] = true}};
	m->eligible[1] = (struct study_rule){.dimension = SEX, .codes = {[0] = true, [2] = true}};
	m->n_eligible = 2;
	assert_int_equal(s->n_measures, N_MEASURES);
	return s;
}

static unsigned event_named(const struct study *study, const char *name)
{
	for (unsigned e = 0; e < study->n_events; e++) {
		if (strcmp(study->events[e].name, name) == 0)
			return e;
	}
	fail_msg("no event %s", name);
	return 0;
}

static void check_measure(const struct study *study, int which, const struct timeline *timeline, int32_t as_of,
			  const json_t *expected, size_t vector)
{
	const struct study_measure *measure = &study->measures[which];
	const json_t *list = json_object_get(expected, measure->name);
	struct index_event found[MAX_EVENTS];
	size_t n = measure_index_events(study, measure, PERIOD_QUARTER, timeline->events, timeline->n_events, as_of,
					found);

	if (!json_is_array(list) || n != json_array_size(list))
		fail_msg("vector %zu, %s: %zu index events", vector, measure->name, n);
	for (size_t i = 0; i < n; i++) {
		const json_t *want = json_array_get(list, i), *codes = json_array_get(want, 2);
		char name[OUTCOME_NAME_CAP];
		outcome_name(measure, found[i].outcome, name);
		if (found[i].day != json_integer_value(json_array_get(want, 0)) ||
		    strcmp(name, json_string_value(json_array_get(want, 1))) != 0 ||
		    found[i].codes[0] != json_integer_value(json_array_get(codes, 0)) ||
		    found[i].codes[1] != json_integer_value(json_array_get(codes, 1)))
			fail_msg("vector %zu, %s, event %zu: day %d %s", vector, measure->name, i, (int)found[i].day,
				 name);
	}
}

static void test_reference(void **state)
{
	json_t *file = json_load_file(TC_SOURCE_DIR "/tests/data/vectors/measures.json", 0, NULL), *v;
	struct study *study = make_study();
	size_t at, n_checked = 0;

	(void)state;
	json_array_foreach(json_object_get(file, "vectors"), at, v)
	{
		const json_t *given = json_object_get(v, "events");
		int32_t as_of = (int32_t)json_integer_value(json_object_get(v, "as_of"));
		struct stats_event events[MAX_EVENTS];
		struct timeline timeline;
		size_t n = json_array_size(given);
		assert_true(n <= MAX_EVENTS);
		for (size_t i = 0; i < n; i++) {
			const json_t *e = json_array_get(given, i);
			events[i] = fixture_event(9, event_named(study, json_string_value(json_array_get(e, 1))),
						  (int32_t)json_integer_value(json_array_get(e, 0)));
			events[i].codes[0] = (uint8_t)json_integer_value(json_array_get(e, 2));
			events[i].codes[1] = (uint8_t)json_integer_value(json_array_get(e, 3));
			events[i].record_id[15] = (uint8_t)i; /* the order of the reference */
		}
		assert_int_equal(timeline_init(&timeline, study, events, n, as_of), RC_OK);
		for (int m = 0; m < N_MEASURES; m++)
			check_measure(study, m, &timeline, as_of, json_object_get(v, "expected"), at);
		timeline_deinit(&timeline);
		n_checked++;
	}
	assert_int_equal(n_checked, 400);
	free(study);
	json_decref(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference)};

	return cmocka_run_group_tests_name("measure_vectors", tests, NULL, NULL);
}
