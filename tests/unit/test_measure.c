/* libs: tc_stats tc_proto */
/* One test a rule of docs/methods.md, "Measures: continuity". */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "daemon/stats/measure.h"
#include "daemon/stats/timeline.h"
#include "tests/unit/stats_fixture.h"

enum { R = 19800, LATE = R + 1000 }; /* day of release; an as-of date with all follow-up complete */
enum { B7, B14, B21, B28, B90, DIED, REIMPRISONED, NONE, NOT_OBSERVABLE };

struct case_event {
	unsigned event;
	int32_t day;
};

/* Index events of one person with these events; events are shuffled by `rotate` first. */
static size_t run_rotated(const struct case_event *given, size_t n, int32_t as_of, size_t rotate,
			  struct index_event *ret)
{
	struct study *study = fixture_study();
	struct stats_event events[32];
	struct timeline timeline;

	for (size_t i = 0; i < n; i++)
		events[i] = fixture_event(5, given[(i + rotate) % n].event, given[(i + rotate) % n].day);
	assert_int_equal(timeline_init(&timeline, study, events, n, as_of), RC_OK);
	size_t found = measure_index_events(study, &study->measures[0], PERIOD_QUARTER, timeline.events,
					    timeline.n_events, as_of, ret);
	timeline_deinit(&timeline);
	free(study);
	return found;
}

static size_t run(const struct case_event *given, size_t n, int32_t as_of, struct index_event *ret)
{
	size_t found = run_rotated(given, n, as_of, 0, ret);

	for (size_t rotate = 1; rotate < n; rotate++) {
		struct index_event other[32];
		assert_int_equal(run_rotated(given, n, as_of, rotate, other), found);
		for (size_t i = 0; i < found; i++) {
			assert_int_equal(other[i].day, ret[i].day);
			assert_int_equal(other[i].outcome, ret[i].outcome);
		}
	}
	return found;
}

#define RUN(as_of, ret, ...)                                                                                           \
	run((const struct case_event[]){__VA_ARGS__},                                                                  \
	    sizeof((const struct case_event[]){__VA_ARGS__}) / sizeof(struct case_event), as_of, ret)

/* The outcome of a person's only index event. */
#define assert_outcome(wanted, ...)                                                                                    \
	do {                                                                                                           \
		struct index_event x_[32];                                                                             \
		assert_int_equal(RUN(LATE, x_, __VA_ARGS__), 1);                                                       \
		assert_int_equal(x_[0].day, R);                                                                        \
		assert_int_equal(x_[0].outcome, wanted);                                                               \
	} while (0)

static void test_days_count_both_ends(void **state)
{
	static const struct {
		int32_t day;
		int outcome;
	} cases[] = {{0, B7},   {1, B7},   {7, B7},   {8, B14},  {14, B14},  {15, B21},  {21, B21},
		     {22, B28}, {28, B28}, {29, B90}, {90, B90}, {91, NONE}, {400, NONE}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_outcome(cases[i].outcome, {F_RELEASE, R}, {F_START, R + cases[i].day});
	assert_outcome(NONE, {F_RELEASE, R});
}

static void test_first_treatment_counts(void **state)
{
	(void)state;
	assert_outcome(B14, {F_RELEASE, R}, {F_START, R + 60}, {F_START, R + 10}, {F_START, R + 20});
}

/* An episode that started earlier does not count, open or closed later; its end is no start. */
static void test_treatment_already_running(void **state)
{
	(void)state;
	assert_outcome(NONE, {F_START, R - 1}, {F_RELEASE, R});
	assert_outcome(NONE, {F_START, R - 100}, {F_RELEASE, R}, {F_END, R + 5});
	assert_outcome(B28, {F_START, R - 100}, {F_RELEASE, R}, {F_END, R + 5}, {F_START, R + 25});
}

static void test_treatment_on_day_of_release(void **state)
{
	(void)state;
	assert_outcome(B7, {F_RELEASE, R}, {F_START, R});
	assert_outcome(B7, {F_RELEASE, R}, {F_START, R}, {F_DEATH, R});
}

static void test_death_first(void **state)
{
	(void)state;
	assert_outcome(DIED, {F_RELEASE, R}, {F_DEATH, R + 3}, {F_START, R + 4});
	assert_outcome(DIED, {F_RELEASE, R}, {F_DEATH, R});
	assert_outcome(DIED, {F_RELEASE, R}, {F_DEATH, R + 90});
	assert_outcome(NONE, {F_RELEASE, R}, {F_DEATH, R + 91});
	assert_outcome(B7, {F_RELEASE, R}, {F_START, R + 4}, {F_DEATH, R + 5});
}

/* On one day: treatment before custody before death. */
static void test_ties_of_a_day(void **state)
{
	(void)state;
	assert_outcome(B7, {F_RELEASE, R}, {F_START, R + 4}, {F_DEATH, R + 4});
	assert_outcome(B7, {F_RELEASE, R}, {F_START, R + 4}, {F_RECEPTION, R + 4});
	assert_outcome(REIMPRISONED, {F_RELEASE, R}, {F_RECEPTION, R + 4}, {F_DEATH, R + 4});
}

static void test_reimprisonment_first(void **state)
{
	(void)state;
	assert_outcome(REIMPRISONED, {F_RELEASE, R}, {F_RECEPTION, R + 1}, {F_START, R + 2});
	assert_outcome(REIMPRISONED, {F_RELEASE, R}, {F_RECEPTION, R + 90});
	assert_outcome(NONE, {F_RELEASE, R}, {F_RECEPTION, R + 91});
	assert_outcome(B7, {F_RELEASE, R}, {F_START, R + 1}, {F_RECEPTION, R + 2});
	assert_outcome(NONE, {F_RECEPTION, R - 300}, {F_RELEASE, R});
}

/* A second release without a reception in between: custody in between went unreported, known on that day at the latest.
 */
static void test_release_after_release(void **state)
{
	struct index_event x[32];

	(void)state;
	assert_int_equal(RUN(LATE, x, {F_RELEASE, R}, {F_RELEASE, R + 40}, {F_START, R + 50}), 2);
	assert_int_equal(x[0].day, R);
	assert_int_equal(x[0].outcome, REIMPRISONED);
	assert_int_equal(x[1].day, R + 40);
	assert_int_equal(x[1].outcome, B14);
	assert_int_equal(RUN(LATE, x, {F_RELEASE, R}, {F_START, R + 20}, {F_RELEASE, R + 40}), 2);
	assert_int_equal(x[0].outcome, B21);
}

static void test_transfer_is_no_release(void **state)
{
	struct index_event x[32];

	(void)state;
	assert_int_equal(RUN(LATE, x, {F_RELEASE, R}, {F_RECEPTION, R}), 0);
	assert_int_equal(RUN(LATE, x, {F_RECEPTION, R - 9}, {F_RELEASE, R - 5}, {F_RECEPTION, R - 5}, {F_RELEASE, R},
			     {F_START, R + 3}),
			 1);
	assert_int_equal(x[0].day, R);
	assert_int_equal(x[0].outcome, B7);
	/* A day in custody after a release is a re-imprisonment, and no second release to liberty. */
	assert_int_equal(RUN(LATE, x, {F_RELEASE, R}, {F_RECEPTION, R + 5}, {F_RELEASE, R + 5}, {F_START, R + 6}), 1);
	assert_int_equal(x[0].outcome, REIMPRISONED);
}

static void test_nothing_after_death(void **state)
{
	struct index_event x[32];

	(void)state;
	assert_int_equal(RUN(LATE, x, {F_DEATH, R - 1}, {F_RELEASE, R}, {F_START, R + 1}), 0);
	assert_outcome(DIED, {F_RELEASE, R}, {F_DEATH, R + 10}, {F_RELEASE, R + 20}, {F_START, R + 21});
	/* Of two deaths the earlier stands. */
	assert_outcome(DIED, {F_RELEASE, R}, {F_DEATH, R + 10}, {F_DEATH, R + 200}, {F_START, R + 21});
}

/* Follow-up is 90 days and the longest lag (30); before it is complete nothing is counted, not even a known outcome. */
static void test_follow_up(void **state)
{
	struct index_event x[32];

	(void)state;
	assert_int_equal(RUN(R + 119, x, {F_RELEASE, R}, {F_START, R + 2}), 1);
	assert_int_equal(x[0].outcome, NOT_OBSERVABLE);
	assert_int_equal(RUN(R + 119, x, {F_RELEASE, R}, {F_DEATH, R + 2}), 1);
	assert_int_equal(x[0].outcome, NOT_OBSERVABLE);
	assert_int_equal(RUN(R + 120, x, {F_RELEASE, R}, {F_START, R + 2}), 1);
	assert_int_equal(x[0].outcome, B7);
	/* Events after the as-of date are not read. */
	assert_int_equal(RUN(R - 1, x, {F_RELEASE, R}, {F_START, R + 2}), 0);
	assert_int_equal(RUN(R + 1, x, {F_RELEASE, R}, {F_DEATH, R + 2}), 1);
}

static void test_lag_is_that_of_sources_that_matter(void **state)
{
	struct study *study = fixture_study();

	(void)state;
	assert_int_equal(measure_follow_up_days(study, &study->measures[0]), 120);
	fixture_name(study->sources[3].name, "visits");
	study->sources[3].kind = SOURCE_OTHER;
	study->sources[3].reporting_lag_days = 300;
	study->n_sources = 4;
	assert_int_equal(measure_follow_up_days(study, &study->measures[0]), 120);
	study->sources[F_DEATHS].reporting_lag_days = 180;
	assert_int_equal(measure_follow_up_days(study, &study->measures[0]), 270);
	free(study);
}

static void test_other_events_do_not_matter(void **state)
{
	(void)state;
	assert_outcome(B14, {F_OTHER, R}, {F_RELEASE, R}, {F_OTHER, R + 1}, {F_START, R + 9}, {F_OTHER, R + 9});
}

/* First in a period, and the earliest `max` of them. */
static void test_cap(void **state)
{
	struct index_event x[8];
	static const char *const days[] = {"2024-01-10", "2024-02-10", "2024-04-01", "2024-06-30",
					   "2024-07-01", "2024-12-31", "2025-01-01", "2025-03-31"};

	(void)state;
	memset(x, 0, sizeof x);
	for (int i = 0; i < 8; i++)
		x[i].day = fixture_day(days[i]);
	struct index_event y[8];
	memcpy(y, x, sizeof x);
	assert_int_equal(measure_limit(y, 8, PERIOD_QUARTER, 99), 5);
	assert_int_equal(y[0].day, x[0].day);
	assert_int_equal(y[1].day, x[2].day);
	assert_int_equal(y[4].day, x[6].day);
	memcpy(y, x, sizeof x);
	assert_int_equal(measure_limit(y, 8, PERIOD_QUARTER, 2), 2);
	assert_int_equal(y[1].day, x[2].day);
	memcpy(y, x, sizeof x);
	assert_int_equal(measure_limit(y, 8, PERIOD_YEAR, 4), 2);
	memcpy(y, x, sizeof x);
	assert_int_equal(measure_limit(y, 8, PERIOD_ALL, 4), 1);
	assert_int_equal(measure_limit(y, 0, PERIOD_ALL, 4), 0);
	assert_int_equal(measure_limit(y, 1, PERIOD_ALL, 0), 0);
}

/* Strata come from the release itself, unknown where it does not say; a code out of range is unknown. */
static void test_strata(void **state)
{
	struct study *study = fixture_study();
	struct stats_event events[3] = {fixture_event(1, F_RECEPTION, R - 50), fixture_event(1, F_RELEASE, R),
					fixture_event(1, F_RELEASE, R)};
	struct timeline timeline;
	struct index_event x[3];

	(void)state;
	events[0].codes[0] = 2;
	events[1].codes[1] = 2;
	events[2].codes[1] = 1;
	events[2].record_id[0] = 0xff; /* later in the order */
	events[2].codes[0] = 200;
	assert_int_equal(timeline_init(&timeline, study, events, 3, LATE), RC_OK);
	assert_int_equal(measure_index_events(study, &study->measures[0], PERIOD_QUARTER, timeline.events, 3, LATE, x),
			 1);
	assert_int_equal(x[0].codes[0], 0);
	assert_int_equal(x[0].codes[1], 2);
	timeline_deinit(&timeline);
	free(study);
}

static void test_outcome_names(void **state)
{
	static const char *const names[] = {"0-7",  "8-14",         "15-21", "22-28",         "29-90",
					    "died", "reimprisoned", "none",  "not_observable"};
	struct study *study = fixture_study();
	struct outcome_shape shape = outcome_shape_of(&study->measures[0]);
	char name[OUTCOME_NAME_CAP];

	(void)state;
	assert_int_equal(outcome_count(&shape), 9);
	for (unsigned i = 0; i < 9; i++) {
		outcome_name(&study->measures[0], i, name);
		assert_string_equal(name, names[i]);
	}
	free(study);
}

static void test_hostile_events(void **state)
{
	struct study *study = fixture_study();
	struct stats_event e = fixture_event(1, F_RELEASE, R);
	struct timeline timeline = {NULL, 99};

	(void)state;
	e.event = 6;
	assert_int_equal(timeline_init(&timeline, study, &e, 1, LATE), RC_INVALID);
	e = fixture_event(1, F_RELEASE, DAY_MAX + 1);
	assert_int_equal(timeline_init(&timeline, study, &e, 1, LATE), RC_INVALID);
	e = fixture_event(1, F_RELEASE, R);
	e.source = 3;
	assert_int_equal(timeline_init(&timeline, study, &e, 1, LATE), RC_INVALID);
	assert_int_equal(timeline.n_events, 99);
	assert_int_equal(timeline_init(&timeline, study, NULL, 0, LATE), RC_OK);
	assert_int_equal(timeline.n_events, 0);
	timeline_deinit(&timeline);
	free(study);
}

static int compare_full(const struct stats_event *a, const struct stats_event *b)
{
	if (a->person != b->person)
		return a->person < b->person ? -1 : 1;
	return a->day < b->day ? -1 : a->day > b->day;
}

static void test_timeline_order(void **state)
{
	enum { N = 5000 };
	struct study *study = fixture_study();
	struct stats_event *events = calloc(N, sizeof *events);
	struct timeline a, b;
	uint64_t random = 7;

	(void)state;
	assert_non_null(events);
	for (int i = 0; i < N; i++) {
		events[i] = fixture_event(fixture_random(&random) % 400 * 0x01000193U, fixture_random(&random) % 6,
					  DAY_MIN + (int32_t)(fixture_random(&random) % 40));
		events[i].record_id[15] = (uint8_t)(i % 251);
	}
	assert_int_equal(timeline_init(&a, study, events, N, DAY_MAX), RC_OK);
	for (int i = N - 1; i > 0; i--) {
		int j = (int)(fixture_random(&random) % (uint32_t)(i + 1));
		struct stats_event swap = events[i];
		events[i] = events[j];
		events[j] = swap;
	}
	assert_int_equal(timeline_init(&b, study, events, N, DAY_MAX), RC_OK);
	assert_int_equal(a.n_events, N);
	assert_memory_equal(a.events, b.events, N * sizeof *events);
	for (int i = 1; i < N; i++)
		assert_true(compare_full(&a.events[i - 1], &a.events[i]) <= 0);
	timeline_deinit(&a);
	timeline_deinit(&b);
	free(events);
	free(study);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_days_count_both_ends),
		cmocka_unit_test(test_first_treatment_counts),
		cmocka_unit_test(test_treatment_already_running),
		cmocka_unit_test(test_treatment_on_day_of_release),
		cmocka_unit_test(test_death_first),
		cmocka_unit_test(test_ties_of_a_day),
		cmocka_unit_test(test_reimprisonment_first),
		cmocka_unit_test(test_release_after_release),
		cmocka_unit_test(test_transfer_is_no_release),
		cmocka_unit_test(test_nothing_after_death),
		cmocka_unit_test(test_follow_up),
		cmocka_unit_test(test_lag_is_that_of_sources_that_matter),
		cmocka_unit_test(test_other_events_do_not_matter),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_strata),
		cmocka_unit_test(test_outcome_names),
		cmocka_unit_test(test_hostile_events),
		cmocka_unit_test(test_timeline_order),
	};
	return cmocka_run_group_tests_name("continuity", tests, NULL, NULL);
}
