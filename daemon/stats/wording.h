/* What an answer says about itself in words: units, labels and notes of each kind of measure. */
#ifndef DAEMON_STATS_WORDING_H
#define DAEMON_STATS_WORDING_H

#include "daemon/stats/answer.h"

struct wording {
	const char *unit;             /* of a count: "releases to liberty" */
	const char *csv_unit;         /* "releases" */
	const char *period, *outcome; /* labels of these dimensions */
	const char *rate;             /* what a rate is the share of: "back in prison within {days} days of release" */
};
const struct wording *wording_of(enum study_measure_kind kind);

/* Call `put` for each note that holds for the answer, in order. */
void wording_notes(const struct answer *answer, void (*put)(void *ctx, const char *note), void *ctx);

#endif
