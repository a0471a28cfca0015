/* A person's events by hand and what a measure makes of them. Include after cmocka.h. */
#ifndef TESTS_UNIT_MEASURE_FIXTURE_H
#define TESTS_UNIT_MEASURE_FIXTURE_H

#include "daemon/stats/measure.h"
#include "daemon/stats/timeline.h"
#include "tests/unit/stats_fixture.h"

enum { R = 19800, LATE = R + 2000 }; /* day of release; an as-of date with all follow-up complete */
enum { INTERVENTION, SEX };          /* dimensions of the fixture */

static const uint16_t return_bands[] = {30, 90, 365}, mortality_bands[] = {14, 28, 365},
		      retention_bands[] = {29, 89, 179};

struct case_event {
	unsigned event; /* or WITH() */
	int32_t day;
};
#define WITH(event, intervention, sex) ((event) | (intervention) << 8 | (sex) << 16)

struct found {
	size_t n;
	struct index_event x[32];
	char names[32][OUTCOME_NAME_CAP];
};

static inline struct found measure_run(const struct study *study, const struct study_measure *measure,
				       const struct case_event *given, size_t n, int32_t as_of)
{
	struct stats_event events[32];
	struct timeline timeline;
	struct found f = {0};

	for (size_t i = 0; i < n; i++) {
		events[i] = fixture_event(5, given[i].event & 0xff, given[i].day);
		events[i].codes[INTERVENTION] = given[i].event >> 8 & 0xff;
		events[i].codes[SEX] = given[i].event >> 16 & 0xff;
	}
	assert_int_equal(timeline_init(&timeline, study, events, n, as_of), RC_OK);
	f.n = measure_index_events(study, measure, PERIOD_QUARTER, timeline.events, timeline.n_events, as_of, f.x);
	for (size_t i = 0; i < f.n; i++)
		outcome_name(measure, f.x[i].outcome, f.names[i]);
	timeline_deinit(&timeline);
	return f;
}

#define RUN(study, measure, as_of, ...)                                                                                \
	measure_run(study, measure, (const struct case_event[]){__VA_ARGS__},                                          \
		    sizeof((const struct case_event[]){__VA_ARGS__}) / sizeof(struct case_event), as_of)

/* The name of a person's only index event, on day `on`. */
#define assert_only(wanted, on, study, measure, ...)                                                                   \
	do {                                                                                                           \
		struct found f_ = RUN(study, measure, LATE, __VA_ARGS__);                                              \
		assert_int_equal(f_.n, 1);                                                                             \
		assert_int_equal(f_.x[0].day, on);                                                                     \
		assert_string_equal(f_.names[0], wanted);                                                              \
	} while (0)

static inline struct study_measure *fixture_retention(struct study *s)
{
	struct study_measure *m = fixture_measure(s, "retention", MEASURE_RETENTION, 3, retention_bands);

	m->start_within = 90;
	return m;
}

static inline struct study_measure *fixture_population(struct study *s, unsigned n_lists)
{
	struct study_measure *m = fixture_measure(s, "population", MEASURE_POPULATION, 0, NULL);
	static const char *const names[] = {"prison", "treatment", "deaths"};
	static const uint32_t events[] = {1U << F_RECEPTION | 1U << F_RELEASE, 1U << F_START, 1U << F_DEATH};

	for (unsigned l = 0; l < n_lists; l++) {
		fixture_name(m->captures[l].name, names[l]);
		m->captures[l].events = events[l];
	}
	m->n_captures = (uint8_t)n_lists;
	return m;
}

#endif
