/* Measures: which index events a person has, and the one outcome of each. docs/methods.md has the rules in words; each
 * has its test in tests/unit/test_measure.c. */
#ifndef DAEMON_STATS_MEASURE_H
#define DAEMON_STATS_MEASURE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/outcomes.h"
#include "daemon/stats/stats.h"
#include "proto/study.h"

/* One index event and its outcome (a cell of outcomes.h). */
struct index_event {
	int32_t day;
	uint8_t outcome;
	uint8_t codes[STUDY_MAX_DIMENSIONS]; /* 0 = unknown */
};

/* Days after an index event until its outcome is complete: the last day that the measure looks at, and the longest
 * reporting lag of the sources that may send an event it reads. */
int32_t measure_follow_up_days(const struct study *study, const struct study_measure *measure);

/* All eligible index events of one person, ascending by day. `events` are those of one person in timeline order; `ret`
 * has room for n_events. `kind` is the table's period, by which population counts. Returns how many. */
size_t measure_index_events(const struct study *study, const struct study_measure *measure, enum period_kind kind,
			    const struct stats_event *events, size_t n_events, int32_t as_of, struct index_event *ret);

/* Keep the first index event of each period, and of those at most `max`, the earliest. In place; returns how many. */
size_t measure_limit(struct index_event *events, size_t n_events, enum period_kind kind, unsigned max);

/* For measure_index_events: those of a population measure. */
size_t capture_index_events(const struct study *study, const struct study_measure *measure, enum period_kind kind,
			    const struct stats_event *events, size_t n_events, struct index_event *ret);

#endif
