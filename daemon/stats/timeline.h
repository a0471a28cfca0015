/* Timelines: the events of each person in one fixed order, whatever order they arrived in.
 *
 * Order: person, day, role of the event (death last), source, record id, then every remaining field, so that two events
 * that compare equal are the same event twice. Events after the as-of date are left out. */
#ifndef DAEMON_STATS_TIMELINE_H
#define DAEMON_STATS_TIMELINE_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/stats/stats.h"
#include "proto/rc.h"
#include "proto/study.h"

struct timeline {
	struct stats_event *events; /* owned, sorted */
	size_t n_events;
};

/* Copy and sort. Errors: INVALID (an event, source or day out of range), NOMEM. */
enum rc timeline_init(struct timeline *timeline, const struct study *study, const struct stats_event *events,
		      size_t n_events, int32_t as_of) MUST_CHECK;
void timeline_deinit(struct timeline *timeline); /* wipes */
/* Number of events of the person whose first event is at `start`. */
size_t timeline_person_len(const struct timeline *timeline, size_t start);

#endif
