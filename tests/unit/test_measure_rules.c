/* libs: tc_stats tc_proto */
/* Every rule of docs/methods.md, "Measures", in every measure: what is expected is written as "DAY OUTCOME" for each
 * index event of a person, days counted from R. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/measure_fixture.h"

enum { CONTINUITY, RETURN, MORTALITY, RETENTION, POPULATION, N_MEASURES };

struct rules {
	struct study *study;
	struct study_measure *measure[N_MEASURES];
};

static int set_up(void **state)
{
	static struct rules rules;
	struct study *s = fixture_study();

	rules = (struct rules){s,
			       {&s->measures[0], fixture_measure(s, "return", MEASURE_RETURN, 3, return_bands),
				fixture_measure(s, "mortality", MEASURE_MORTALITY, 3, mortality_bands),
				fixture_retention(s), fixture_population(s, 2)}};
	*state = &rules;
	return 0;
}

static int tear_down(void **state)
{
	free(((struct rules *)*state)->study);
	return 0;
}

static void expect(const struct rules *rules, unsigned measure, int32_t as_of, const char *wanted,
		   const struct case_event *events, size_t n)
{
	struct found f = measure_run(rules->study, rules->measure[measure], events, n, as_of);
	char text[1024] = "";

	for (size_t i = 0; i < f.n; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d %s", i > 0 ? ", " : "",
			 (int)(f.x[i].day - R), f.names[i]);
	assert_string_equal(text, wanted);
}

#define EXPECT_AS_OF(as_of, measure, wanted, ...)                                                                      \
	expect(*state, measure, as_of, wanted, (const struct case_event[]){__VA_ARGS__},                               \
	       sizeof((const struct case_event[]){__VA_ARGS__}) / sizeof(struct case_event))
#define EXPECT(measure, wanted, ...) EXPECT_AS_OF(LATE, measure, wanted, __VA_ARGS__)

/* A release to liberty; a treatment start after one; any event of a list. Nothing else. */
static void test_index_event(void **state)
{
	EXPECT(CONTINUITY, "", {F_RECEPTION, R}, {F_START, R + 1}, {F_END, R + 2}, {F_OTHER, R + 3});
	EXPECT(CONTINUITY, "0 none", {F_RELEASE, R});
	EXPECT(RETURN, "", {F_START, R}, {F_RECEPTION, R + 5});
	EXPECT(RETURN, "0 none", {F_RELEASE, R});
	EXPECT(MORTALITY, "", {F_RECEPTION, R}, {F_DEATH, R + 5});
	EXPECT(MORTALITY, "0 none", {F_RELEASE, R});
	EXPECT(RETENTION, "", {F_RELEASE, R}, {F_END, R + 3});
	EXPECT(RETENTION, "4 180+", {F_RELEASE, R}, {F_START, R + 4}, {F_START, R + 8});
	EXPECT(POPULATION, "", {F_END, R}, {F_OTHER, R + 1});
	EXPECT(POPULATION, "0 prison", {F_RECEPTION, R});
}

/* Day 0 is the day of the index event, and both ends of a band count. */
static void test_day_counting(void **state)
{
	EXPECT(CONTINUITY, "0 0-7", {F_RELEASE, R}, {F_START, R});
	EXPECT(CONTINUITY, "0 0-7", {F_RELEASE, R}, {F_START, R + 7});
	EXPECT(CONTINUITY, "0 8-14", {F_RELEASE, R}, {F_START, R + 8});
	EXPECT(CONTINUITY, "0 29-90", {F_RELEASE, R}, {F_START, R + 90});
	EXPECT(CONTINUITY, "0 none", {F_RELEASE, R}, {F_START, R + 91});
	EXPECT(RETURN, "0 0-30", {F_RELEASE, R}, {F_RECEPTION, R + 30});
	EXPECT(RETURN, "0 31-90", {F_RELEASE, R}, {F_RECEPTION, R + 31});
	EXPECT(RETURN, "0 none", {F_RELEASE, R}, {F_RECEPTION, R + 366});
	EXPECT(MORTALITY, "0 0-14", {F_RELEASE, R}, {F_DEATH, R});
	EXPECT(MORTALITY, "0 0-14", {F_RELEASE, R}, {F_DEATH, R + 14});
	EXPECT(MORTALITY, "0 15-28", {F_RELEASE, R}, {F_DEATH, R + 15});
	/* Treatment from day 0 on; its first day without is day 29 or 30. */
	EXPECT(RETENTION, "0 0-29", {F_RELEASE, R}, {F_START, R}, {F_END, R + 29});
	EXPECT(RETENTION, "0 30-89", {F_RELEASE, R}, {F_START, R}, {F_END, R + 30});
	EXPECT(RETENTION, "90 180+", {F_RELEASE, R}, {F_START, R + 90});
	EXPECT(RETENTION, "", {F_RELEASE, R}, {F_START, R + 91});
	/* The last day of a quarter and the first of the next. */
	int32_t last = fixture_day("2024-03-31");
	EXPECT(POPULATION, "13 prison, 14 treatment", {F_RELEASE, last}, {F_START, last + 1});
	EXPECT(POPULATION, "12 prison+treatment", {F_RELEASE, last - 1}, {F_START, last});
}

/* What comes first decides; on one day the measure's own event, then custody, then death. On a list nothing competes.
 */
static void test_competing_events(void **state)
{
	EXPECT(CONTINUITY, "0 died", {F_RELEASE, R}, {F_DEATH, R + 5});
	EXPECT(CONTINUITY, "0 reimprisoned", {F_RELEASE, R}, {F_RECEPTION, R + 5}, {F_START, R + 6});
	EXPECT(CONTINUITY, "0 0-7", {F_RELEASE, R}, {F_START, R + 5}, {F_RECEPTION, R + 5}, {F_DEATH, R + 5});
	EXPECT(CONTINUITY, "0 reimprisoned", {F_RELEASE, R}, {F_RECEPTION, R + 5}, {F_DEATH, R + 5});
	EXPECT(RETURN, "0 died", {F_RELEASE, R}, {F_DEATH, R + 5});
	EXPECT(RETURN, "0 0-30", {F_RELEASE, R}, {F_START, R + 1}, {F_RECEPTION, R + 5}, {F_DEATH, R + 5});
	EXPECT(MORTALITY, "0 reimprisoned", {F_RELEASE, R}, {F_RECEPTION, R + 5}, {F_DEATH, R + 6});
	EXPECT(MORTALITY, "0 0-14", {F_RELEASE, R}, {F_START, R + 1}, {F_RECEPTION, R + 5}, {F_DEATH, R + 5});
	EXPECT(RETENTION, "0 0-29", {F_RELEASE, R}, {F_START, R}, {F_RECEPTION, R + 5});
	EXPECT(RETENTION, "0 0-29", {F_RELEASE, R}, {F_START, R}, {F_DEATH, R + 5});
	EXPECT(RETENTION, "", {F_RELEASE, R}, {F_RECEPTION, R + 5}, {F_START, R + 5});
	EXPECT(POPULATION, "0 prison+treatment", {F_RELEASE, R}, {F_START, R + 5}, {F_RECEPTION, R + 5},
	       {F_DEATH, R + 5});
}

/* Each release is an index event with its own outcome; a start belongs to the last release before it; on a list a
 * person counts once a period. */
static void test_recurrent_releases(void **state)
{
	EXPECT(CONTINUITY, "0 reimprisoned, 10 0-7", {F_RELEASE, R}, {F_RECEPTION, R + 5}, {F_RELEASE, R + 10},
	       {F_START, R + 12});
	EXPECT(RETURN, "0 0-30, 10 31-90", {F_RELEASE, R}, {F_RECEPTION, R + 5}, {F_RELEASE, R + 10},
	       {F_RECEPTION, R + 50});
	EXPECT(MORTALITY, "0 reimprisoned, 10 0-14", {F_RELEASE, R}, {F_RECEPTION, R + 5}, {F_RELEASE, R + 10},
	       {F_DEATH, R + 12});
	EXPECT(RETENTION, "12 180+", {F_RELEASE, R}, {F_RECEPTION, R + 5}, {F_RELEASE, R + 10}, {F_START, R + 12});
	EXPECT(POPULATION, "0 prison", {F_RELEASE, R}, {F_RECEPTION, R + 5}, {F_RELEASE, R + 10});
	/* A release without a reception in between shows that one went unreported. */
	EXPECT(CONTINUITY, "0 reimprisoned, 10 none", {F_RELEASE, R}, {F_RELEASE, R + 10});
	EXPECT(RETURN, "0 0-30, 10 none", {F_RELEASE, R}, {F_RELEASE, R + 10});
	EXPECT(MORTALITY, "0 reimprisoned, 10 none", {F_RELEASE, R}, {F_RELEASE, R + 10});
	EXPECT(RETENTION, "10 180+", {F_RELEASE, R}, {F_RELEASE, R + 10}, {F_START, R + 10});
}

/* A release with a reception on its day is a transfer: no index event, but custody. */
static void test_transfers(void **state)
{
	EXPECT(CONTINUITY, "", {F_RELEASE, R}, {F_RECEPTION, R}, {F_START, R + 3});
	EXPECT(CONTINUITY, "0 reimprisoned", {F_RELEASE, R}, {F_RELEASE, R + 9}, {F_RECEPTION, R + 9});
	EXPECT(RETURN, "", {F_RELEASE, R}, {F_RECEPTION, R});
	EXPECT(RETURN, "0 0-30", {F_RELEASE, R}, {F_RELEASE, R + 9}, {F_RECEPTION, R + 9});
	EXPECT(MORTALITY, "", {F_RELEASE, R}, {F_RECEPTION, R}, {F_DEATH, R + 3});
	EXPECT(MORTALITY, "0 reimprisoned", {F_RELEASE, R}, {F_RELEASE, R + 9}, {F_RECEPTION, R + 9},
	       {F_DEATH, R + 10});
	EXPECT(RETENTION, "", {F_RELEASE, R}, {F_RECEPTION, R}, {F_START, R + 3});
	EXPECT(RETENTION, "0 0-29", {F_RELEASE, R}, {F_START, R}, {F_RELEASE, R + 9}, {F_RECEPTION, R + 9});
	EXPECT(POPULATION, "0 prison", {F_RELEASE, R}, {F_RECEPTION, R});
}

/* A start before the release does not count, an episode that goes on is none of its own. On a list it does count. */
static void test_treatment_already_running(void **state)
{
	EXPECT(CONTINUITY, "0 none", {F_START, R - 1}, {F_RELEASE, R});
	EXPECT(CONTINUITY, "0 0-7", {F_START, R - 1}, {F_RELEASE, R}, {F_START, R + 4});
	EXPECT(RETURN, "0 0-30", {F_START, R - 1}, {F_RELEASE, R}, {F_RECEPTION, R + 4});
	EXPECT(MORTALITY, "0 0-14", {F_START, R - 1}, {F_RELEASE, R}, {F_DEATH, R + 4});
	EXPECT(RETENTION, "", {F_START, R - 1}, {F_RELEASE, R}, {F_END, R + 40});
	EXPECT(RETENTION, "4 30-89", {F_START, R - 1}, {F_RELEASE, R}, {F_START, R + 4}, {F_END, R + 40});
	EXPECT(POPULATION, "-1 prison+treatment", {F_START, R - 1}, {F_RELEASE, R});
}

static void test_nothing_after_death(void **state)
{
	EXPECT(CONTINUITY, "0 died", {F_RELEASE, R}, {F_DEATH, R + 2}, {F_START, R + 3}, {F_RELEASE, R + 9});
	EXPECT(CONTINUITY, "", {F_DEATH, R - 1}, {F_RELEASE, R});
	EXPECT(RETURN, "0 died", {F_RELEASE, R}, {F_DEATH, R + 2}, {F_RECEPTION, R + 3}, {F_RELEASE, R + 9});
	EXPECT(RETURN, "", {F_DEATH, R - 1}, {F_RELEASE, R});
	EXPECT(MORTALITY, "0 0-14", {F_RELEASE, R}, {F_DEATH, R + 2}, {F_RELEASE, R + 9}, {F_DEATH, R + 20});
	EXPECT(MORTALITY, "", {F_DEATH, R - 1}, {F_RELEASE, R});
	EXPECT(RETENTION, "", {F_RELEASE, R}, {F_DEATH, R + 2}, {F_START, R + 3});
	EXPECT(POPULATION, "0 prison", {F_RELEASE, R}, {F_DEATH, R + 2}, {F_START, R + 3});
}

/* Complete with the last day of the last band and the longest lag of a source whose events the measure reads: 30 days
 * of treatment services, 10 of prisons and death registers. Before that an early outcome is not counted either. */
static void test_follow_up_and_lag(void **state)
{
	EXPECT_AS_OF(R + 90 + 29, CONTINUITY, "0 not_observable", {F_RELEASE, R}, {F_START, R + 1});
	EXPECT_AS_OF(R + 90 + 30, CONTINUITY, "0 0-7", {F_RELEASE, R}, {F_START, R + 1});
	EXPECT_AS_OF(R + 365 + 9, RETURN, "0 not_observable", {F_RELEASE, R}, {F_RECEPTION, R + 1});
	EXPECT_AS_OF(R + 365 + 10, RETURN, "0 0-30", {F_RELEASE, R}, {F_RECEPTION, R + 1});
	EXPECT_AS_OF(R + 365 + 9, MORTALITY, "0 not_observable", {F_RELEASE, R}, {F_DEATH, R + 1});
	EXPECT_AS_OF(R + 365 + 10, MORTALITY, "0 0-14", {F_RELEASE, R}, {F_DEATH, R + 1});
	EXPECT_AS_OF(R + 5 + 179 + 29, RETENTION, "5 not_observable", {F_RELEASE, R}, {F_START, R + 5}, {F_END, R + 6});
	EXPECT_AS_OF(R + 5 + 179 + 30, RETENTION, "5 0-29", {F_RELEASE, R}, {F_START, R + 5}, {F_END, R + 6});
	/* A list has no outcome to wait for: it is the period that closes, 30 days after its end. */
	EXPECT_AS_OF(R, POPULATION, "0 prison", {F_RELEASE, R});
	const struct rules *rules = *state;
	assert_int_equal(measure_follow_up_days(rules->study, rules->measure[POPULATION]), 30);
	/* What comes after the as-of date is not read. */
	EXPECT_AS_OF(R - 1, CONTINUITY, "", {F_RELEASE, R});
	EXPECT_AS_OF(R + 365 + 10, RETURN, "0 none", {F_RELEASE, R}, {F_RECEPTION, R + 365 + 11});
}

/* Unknown is a row of its own and takes no value from another stay; who is eligible by a dimension must be known in it,
 * unless unknown is listed. */
static void test_unknown_strata(void **state)
{
	const struct rules *rules = *state;
	const struct case_event unknown[] = {
		{WITH(F_RELEASE, 1, 0), R - 100}, {F_RECEPTION, R - 95}, {WITH(F_RELEASE, 0, 2), R}, {F_START, R + 1}};

	for (unsigned m = 0; m < N_MEASURES; m++) {
		struct study_measure *measure = rules->measure[m];
		struct found f = measure_run(rules->study, measure, unknown, 4, LATE);
		assert_true(f.n > 0);
		assert_int_equal(f.x[f.n - 1].codes[INTERVENTION], 0);
		assert_int_equal(f.x[f.n - 1].codes[SEX], 2);
		measure->n_eligible = 1;
		measure->eligible[0] = (struct study_rule){.dimension = INTERVENTION, .codes = {[1] = true}};
		f = measure_run(rules->study, measure, &unknown[2], 2, LATE);
		assert_int_equal(f.n, 0);
		measure->eligible[0].codes[0] = true;
		f = measure_run(rules->study, measure, &unknown[2], 2, LATE);
		assert_int_equal(f.n, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_index_event, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_day_counting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_competing_events, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_recurrent_releases, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_transfers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_treatment_already_running, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_after_death, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_follow_up_and_lag, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unknown_strata, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("measure rules", tests, NULL, NULL);
}
