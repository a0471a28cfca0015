/* libs: tc_stats tc_proto */
/* One test a rule of docs/methods.md for return, mortality, retention and population, and for eligibility. The rules
 * that all measures share stand in test_measure.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/measure_fixture.h"

/* ---- return ---- */

static void test_return_bands(void **state)
{
	static const struct {
		int32_t day;
		const char *outcome;
	} cases[] = {{1, "0-30"},    {30, "0-30"},    {31, "31-90"}, {90, "31-90"},
		     {91, "91-365"}, {365, "91-365"}, {366, "none"}};
	struct study *s = fixture_study();
	struct study_measure *m = fixture_measure(s, "return", MEASURE_RETURN, 3, return_bands);

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_only(cases[i].outcome, R, s, m, {F_RELEASE, R}, {F_RECEPTION, R + cases[i].day});
	assert_only("none", R, s, m, {F_RELEASE, R});
	free(s);
}

/* Treatment does not compete with a return; death does, but not on the same day. */
static void test_return_competing(void **state)
{
	struct study *s = fixture_study();
	struct study_measure *m = fixture_measure(s, "return", MEASURE_RETURN, 3, return_bands);

	(void)state;
	assert_only("0-30", R, s, m, {F_RELEASE, R}, {F_START, R + 2}, {F_RECEPTION, R + 9});
	assert_only("died", R, s, m, {F_RELEASE, R}, {F_DEATH, R + 8}, {F_RECEPTION, R + 9});
	assert_only("0-30", R, s, m, {F_RELEASE, R}, {F_DEATH, R + 9}, {F_RECEPTION, R + 9});
	assert_only("none", R, s, m, {F_RELEASE, R}, {F_DEATH, R + 366});
	free(s);
}

/* Each release is an index event of its own; a transfer is none, and no return either. */
static void test_return_recurrent(void **state)
{
	struct study *s = fixture_study();
	struct study_measure *m = fixture_measure(s, "return", MEASURE_RETURN, 3, return_bands);

	(void)state;
	struct found f = RUN(s, m, LATE, {F_RELEASE, R}, {F_RECEPTION, R + 40}, {F_RELEASE, R + 60},
			     {F_RECEPTION, R + 70}, {F_RELEASE, R + 70}, {F_RELEASE, R + 80});
	assert_int_equal(f.n, 3);
	assert_string_equal(f.names[0], "31-90");
	assert_string_equal(f.names[1], "0-30");
	assert_int_equal(f.x[2].day, R + 80);
	assert_string_equal(f.names[2], "none");
	/* A release without a reception in between: custody went unreported, known on that day. */
	f = RUN(s, m, LATE, {F_RELEASE, R}, {F_RELEASE, R + 50});
	assert_string_equal(f.names[0], "31-90");
	free(s);
}

/* Follow-up goes by the sources that matter to the measure: treatment services (lag 30) do not. */
static void test_return_follow_up(void **state)
{
	struct study *s = fixture_study();
	struct study_measure *m = fixture_measure(s, "return", MEASURE_RETURN, 3, return_bands);

	(void)state;
	assert_int_equal(measure_follow_up_days(s, m), 365 + 10);
	struct found f = RUN(s, m, R + 374, {F_RELEASE, R}, {F_RECEPTION, R + 3});
	assert_string_equal(f.names[0], "not_observable");
	f = RUN(s, m, R + 375, {F_RELEASE, R}, {F_RECEPTION, R + 3});
	assert_string_equal(f.names[0], "0-30");
	free(s);
}

/* ---- mortality ---- */

static struct study_measure *by_cause(struct study *s)
{
	struct study_measure *m = fixture_measure(s, "mortality", MEASURE_MORTALITY, 3, mortality_bands);

	m->by_cause = true;
	m->drug_related = (struct study_rule){.dimension = SEX, .codes = {[2] = true}}; /* stands for the cause */
	return m;
}

static void test_mortality_bands(void **state)
{
	static const struct {
		int32_t day;
		const char *outcome;
	} cases[] = {{0, "0-14"},    {14, "0-14"},    {15, "15-28"}, {28, "15-28"},
		     {29, "29-365"}, {365, "29-365"}, {366, "none"}};
	struct study *s = fixture_study();
	struct study_measure *m = fixture_measure(s, "mortality", MEASURE_MORTALITY, 3, mortality_bands);

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_only(cases[i].outcome, R, s, m, {F_RELEASE, R}, {F_DEATH, R + cases[i].day});
	assert_only("0-14", R, s, m, {F_RELEASE, R}, {F_START, R + 1}, {F_DEATH, R + 2});
	assert_int_equal(measure_follow_up_days(s, m), 375);
	free(s);
}

/* A death after a return to prison belongs to the later release, if there is one; on one day the death counts. */
static void test_mortality_at_liberty_only(void **state)
{
	struct study *s = fixture_study();
	struct study_measure *m = fixture_measure(s, "mortality", MEASURE_MORTALITY, 3, mortality_bands);

	(void)state;
	assert_only("reimprisoned", R, s, m, {F_RELEASE, R}, {F_RECEPTION, R + 5}, {F_DEATH, R + 6});
	assert_only("0-14", R, s, m, {F_RELEASE, R}, {F_RECEPTION, R + 6}, {F_DEATH, R + 6});
	struct found f = RUN(s, m, LATE, {F_RELEASE, R}, {F_RECEPTION, R + 5}, {F_RELEASE, R + 20}, {F_DEATH, R + 21});
	assert_int_equal(f.n, 2);
	assert_string_equal(f.names[0], "reimprisoned");
	assert_string_equal(f.names[1], "0-14");
	free(s);
}

/* Unknown causes are not drug-related; of several records of the day of death one that says drug-related decides. */
static void test_mortality_by_cause(void **state)
{
	struct study *s = fixture_study();
	struct study_measure *m = by_cause(s);

	(void)state;
	assert_only("0-14_drug_related", R, s, m, {F_RELEASE, R}, {WITH(F_DEATH, 0, 2), R + 3});
	assert_only("0-14_other", R, s, m, {F_RELEASE, R}, {WITH(F_DEATH, 0, 1), R + 3});
	assert_only("29-365_other", R, s, m, {F_RELEASE, R}, {WITH(F_DEATH, 0, 0), R + 30});
	assert_only("15-28_drug_related", R, s, m, {F_RELEASE, R}, {WITH(F_DEATH, 0, 1), R + 15},
		    {WITH(F_DEATH, 1, 2), R + 15});
	/* The earliest death stands, and with it its cause. */
	assert_only("0-14_other", R, s, m, {F_RELEASE, R}, {WITH(F_DEATH, 0, 1), R + 3}, {WITH(F_DEATH, 0, 2), R + 9});
	/* What the release says of the same dimension is not a cause. */
	assert_only("0-14_other", R, s, m, {WITH(F_RELEASE, 0, 2), R}, {WITH(F_DEATH, 0, 1), R + 3});
	free(s);
}

static void test_mortality_statistics(void **state)
{
	struct study *s = fixture_study();
	struct outcome_shape shape = outcome_shape_of(by_cause(s));

	(void)state;
	assert_int_equal(outcome_count(&shape), 9);
	assert_int_equal(outcome_n_statistics(&shape), 6);
	struct outcome_statistic all = outcome_statistic(&shape, 1), drug = outcome_statistic(&shape, 4);
	assert_string_equal(all.name, "within_28");
	assert_int_equal(all.mask, 0xf);
	assert_string_equal(drug.name, "within_28_drug_related");
	assert_int_equal(drug.mask, 0x5);
	assert_int_equal(outcome_denominator(&shape), 0xff);
	free(s);
}

/* ---- retention ---- */

static void test_retention_bands(void **state)
{
	static const struct {
		int32_t days;
		const char *outcome;
	} cases[] = {{1, "0-29"},    {29, "0-29"},    {30, "30-89"}, {89, "30-89"},
		     {90, "90-179"}, {179, "90-179"}, {180, "180+"}};
	struct study *s = fixture_study();
	struct study_measure *m = fixture_retention(s);

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_only(cases[i].outcome, R + 5, s, m, {F_RELEASE, R}, {F_START, R + 5},
			    {F_END, R + 5 + cases[i].days});
	assert_only("180+", R + 5, s, m, {F_RELEASE, R}, {F_START, R + 5});
	free(s);
}

/* The first start after a release to liberty, 90 days after it at the latest, before custody. */
static void test_retention_index(void **state)
{
	struct study *s = fixture_study();
	struct study_measure *m = fixture_retention(s);

	(void)state;
	assert_int_equal(RUN(s, m, LATE, {F_RELEASE, R}).n, 0);
	assert_int_equal(RUN(s, m, LATE, {F_START, R}).n, 0);
	assert_int_equal(RUN(s, m, LATE, {F_START, R - 1}, {F_RELEASE, R}).n, 0);
	assert_int_equal(RUN(s, m, LATE, {F_RELEASE, R}, {F_START, R + 91}).n, 0);
	assert_int_equal(RUN(s, m, LATE, {F_RELEASE, R}, {F_RECEPTION, R + 4}, {F_START, R + 5}).n, 0);
	assert_int_equal(RUN(s, m, LATE, {F_RELEASE, R}, {F_RECEPTION, R + 5}, {F_START, R + 5}).n, 0);
	assert_int_equal(RUN(s, m, LATE, {F_RELEASE, R}, {F_DEATH, R + 4}, {F_START, R + 5}).n, 0);
	assert_only("180+", R, s, m, {F_RELEASE, R}, {F_START, R});
	assert_only("180+", R + 90, s, m, {F_RELEASE, R}, {F_START, R + 90}, {F_START, R + 95});
	/* Two releases, one start: it belongs to the later release, even on that very day. */
	assert_only("180+", R + 40, s, m, {F_RELEASE, R}, {F_RELEASE, R + 40}, {F_START, R + 40});
	free(s);
}

/* Custody and death end a treatment; an end on the day of a start is a change of service. */
static void test_retention_end(void **state)
{
	struct study *s = fixture_study();
	struct study_measure *m = fixture_retention(s);

	(void)state;
	assert_only("30-89", R, s, m, {F_RELEASE, R}, {F_START, R}, {F_RECEPTION, R + 40}, {F_END, R + 100});
	assert_only("0-29", R, s, m, {F_RELEASE, R}, {F_START, R}, {F_DEATH, R + 10});
	assert_only("90-179", R, s, m, {F_RELEASE, R}, {F_START, R}, {F_END, R + 20}, {F_START, R + 20},
		    {F_END, R + 120});
	assert_only("0-29", R, s, m, {F_RELEASE, R}, {F_START, R}, {F_END, R + 20}, {F_START, R + 21},
		    {F_END, R + 120});
	assert_only("30-89", R, s, m, {F_RELEASE, R}, {F_END, R}, {F_START, R}, {F_END, R + 50});
	free(s);
}

/* A service that reports no ends says nothing about how long. */
static void test_retention_unknown(void **state)
{
	struct study *s = fixture_study();
	struct study_measure *m = fixture_retention(s);

	(void)state;
	s->events[F_END].kinds = 1U << SOURCE_OTHER;
	assert_only("unknown", R + 5, s, m, {F_RELEASE, R}, {F_START, R + 5});
	struct outcome_shape shape = outcome_shape_of(m);
	assert_int_equal(outcome_denominator(&shape), 0xf);
	free(s);
}

static void test_retention_statistics(void **state)
{
	struct study *s = fixture_study();
	struct outcome_shape shape = outcome_shape_of(fixture_retention(s));

	(void)state;
	assert_int_equal(outcome_count(&shape), 6);
	struct outcome_statistic first = outcome_statistic(&shape, 0), last = outcome_statistic(&shape, 2);
	assert_string_equal(first.name, "at_least_30");
	assert_int_equal(first.mask, 0xe);
	assert_string_equal(last.name, "at_least_180");
	assert_int_equal(last.mask, 0x8);
	free(s);
}

/* Days are counted from the start, and so is follow-up. Strata: the release's, where unknown the start's. */
static void test_retention_follow_up_and_strata(void **state)
{
	struct study *s = fixture_study();
	struct study_measure *m = fixture_retention(s);

	(void)state;
	assert_int_equal(measure_follow_up_days(s, m), 179 + 30);
	struct found f =
		RUN(s, m, R + 5 + 208, {WITH(F_RELEASE, 2, 0), R}, {WITH(F_START, 1, 1), R + 5}, {F_END, R + 6});
	assert_string_equal(f.names[0], "not_observable");
	f = RUN(s, m, R + 5 + 209, {WITH(F_RELEASE, 2, 0), R}, {WITH(F_START, 1, 1), R + 5}, {F_END, R + 6});
	assert_string_equal(f.names[0], "0-29");
	assert_int_equal(f.x[0].codes[INTERVENTION], 2);
	assert_int_equal(f.x[0].codes[SEX], 1);
	free(s);
}

/* ---- population ---- */

/* Q1 2024 begins on day 19723; R is in it. One person counts once a period, whatever the number of events. */
static void test_population_histories(void **state)
{
	struct study *s = fixture_study();
	struct study_measure *m = fixture_population(s, 2);
	int32_t next_quarter = fixture_day("2024-04-01");

	(void)state;
	assert_only("prison", R, s, m, {F_RELEASE, R});
	assert_only("treatment", R, s, m, {F_START, R}, {F_START, R + 1});
	assert_only("prison+treatment", R, s, m, {F_RECEPTION, R}, {F_START, R + 1}, {F_RELEASE, R + 2});
	assert_int_equal(RUN(s, m, LATE, {F_END, R}, {F_OTHER, R}).n, 0);
	struct found f = RUN(s, m, LATE, {F_RELEASE, next_quarter - 1}, {F_START, next_quarter});
	assert_int_equal(f.n, 2);
	assert_string_equal(f.names[0], "prison");
	assert_string_equal(f.names[1], "treatment");
	m = fixture_population(s, 3);
	assert_only("prison+deaths", R, s, m, {F_RELEASE, R}, {F_DEATH, R + 1}, {F_START, R + 2});
	struct outcome_shape shape = outcome_shape_of(m);
	assert_int_equal(outcome_count(&shape), 7);
	assert_int_equal(measure_follow_up_days(s, m), 30);
	free(s);
}

/* Codes: the first that is known in the period; eligibility goes by them. */
static void test_population_strata(void **state)
{
	struct study *s = fixture_study();
	struct study_measure *m = fixture_population(s, 2);

	(void)state;
	struct found f = RUN(s, m, LATE, {WITH(F_RELEASE, 0, 2), R}, {WITH(F_START, 3, 1), R + 1});
	assert_int_equal(f.x[0].codes[INTERVENTION], 3);
	assert_int_equal(f.x[0].codes[SEX], 2);
	m->eligible[0] = (struct study_rule){.dimension = SEX, .codes = {[1] = true}};
	m->n_eligible = 1;
	assert_int_equal(RUN(s, m, LATE, {WITH(F_RELEASE, 0, 2), R}, {WITH(F_START, 3, 1), R + 1}).n, 0);
	assert_int_equal(RUN(s, m, LATE, {WITH(F_RELEASE, 0, 0), R}, {WITH(F_START, 3, 1), R + 1}).n, 1);
	free(s);
}

/* ---- eligibility ---- */

/* All rules hold, by the codes of the release; unknown only where the study lists it. */
static void test_eligibility(void **state)
{
	static const uint16_t bands[] = {21};
	struct study *s = fixture_study();
	struct study_measure *m = fixture_measure(s, "c20", MEASURE_CONTINUITY, 1, bands);

	(void)state;
	m->eligible[0] = (struct study_rule){.dimension = INTERVENTION, .codes = {[1] = true, [2] = true}};
	m->eligible[1] = (struct study_rule){.dimension = SEX, .codes = {[0] = true, [2] = true}};
	m->n_eligible = 2;
	assert_only("0-21", R, s, m, {WITH(F_RELEASE, 1, 2), R}, {F_START, R + 21});
	assert_only("0-21", R, s, m, {WITH(F_RELEASE, 2, 0), R}, {F_START, R + 21});
	assert_int_equal(RUN(s, m, LATE, {WITH(F_RELEASE, 3, 2), R}, {F_START, R + 21}).n, 0);
	assert_int_equal(RUN(s, m, LATE, {WITH(F_RELEASE, 0, 2), R}, {F_START, R + 21}).n, 0);
	assert_int_equal(RUN(s, m, LATE, {WITH(F_RELEASE, 1, 1), R}, {F_START, R + 21}).n, 0);
	/* A release that is not eligible still is the return to custody of the one before. */
	assert_only("reimprisoned", R, s, m, {WITH(F_RELEASE, 1, 2), R}, {WITH(F_RELEASE, 3, 2), R + 5},
		    {F_START, R + 9});
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_return_bands),         cmocka_unit_test(test_return_competing),
		cmocka_unit_test(test_return_recurrent),     cmocka_unit_test(test_return_follow_up),
		cmocka_unit_test(test_mortality_bands),      cmocka_unit_test(test_mortality_at_liberty_only),
		cmocka_unit_test(test_mortality_by_cause),   cmocka_unit_test(test_mortality_statistics),
		cmocka_unit_test(test_retention_bands),      cmocka_unit_test(test_retention_index),
		cmocka_unit_test(test_retention_end),        cmocka_unit_test(test_retention_unknown),
		cmocka_unit_test(test_retention_statistics), cmocka_unit_test(test_retention_follow_up_and_strata),
		cmocka_unit_test(test_population_histories), cmocka_unit_test(test_population_strata),
		cmocka_unit_test(test_eligibility),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
