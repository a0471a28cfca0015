/* The continuity measure: what happens to a person after a release to liberty. docs/methods.md has the rules in words;
 * each has its test in tests/unit/test_continuity.c. */
#ifndef DAEMON_STATS_CONTINUITY_H
#define DAEMON_STATS_CONTINUITY_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/stats/stats.h"
#include "proto/study.h"

/* Outcome cells: the bands in order (0 … n_bands − 1), then these. */
enum continuity_tail {
	CONTINUITY_DIED,
	CONTINUITY_REIMPRISONED,
	CONTINUITY_NONE,
	CONTINUITY_NOT_OBSERVABLE,
	CONTINUITY_TAIL_LEN
};
enum { CONTINUITY_MAX_OUTCOMES = STUDY_MAX_BANDS + CONTINUITY_TAIL_LEN };

/* One index event: a release to liberty, and the one outcome it has. */
struct index_event {
	int32_t day;
	uint8_t outcome;
	uint8_t codes[STUDY_MAX_DIMENSIONS]; /* of the release records of that day; 0 = unknown */
};

unsigned continuity_n_outcomes(const struct study_measure *measure);
/* "0-7", "8-14", …, "died", "reimprisoned", "none", "not_observable". `out` has 32 bytes. */
void continuity_outcome_name(const struct study_measure *measure, unsigned outcome, char out[32]);
/* Days after a release until its outcome is complete: the last band and the longest reporting lag of the sources that
 * may send an event the measure reads. */
int32_t continuity_follow_up_days(const struct study *study, const struct study_measure *measure);

/* All index events of one person, ascending by day. `events` are those of one person in timeline order; `ret` has room
 * for n_events. Returns how many. */
size_t continuity_index_events(const struct study *study, const struct study_measure *measure,
			       const struct stats_event *events, size_t n_events, int32_t as_of,
			       struct index_event *ret);

/* Keep the first index event of each period, and of those at most `max`, the earliest. In place; returns how many. */
size_t continuity_limit(struct index_event *events, size_t n_events, enum period_kind kind, unsigned max);

#endif
