/* Limits that an operator should hear of before they are met: a line of the daemon's log each, once a day. */
#ifndef DAEMON_CORE_WATCH_H
#define DAEMON_CORE_WATCH_H

#include <stdint.h>

#include "daemon/base/pipe.h"
#include "daemon/core/state.h"

enum watch_limit {
	WATCH_DISK,
	WATCH_MAP,
	WATCH_EXPIRY,
	WATCH_BUDGET,
	WATCH_N,
};

/* All zero to begin with. */
struct watch {
	int64_t next_s;             /* of the monotonic clock */
	int64_t silent_until[WATCH_N];
};

/* Look, at most once a minute; `now_s` is of the monotonic clock. Main loop only. */
void watch_limits(struct watch *watch, struct core *core, int64_t now_s);
/* Keep what the front has counted. */
void watch_front(struct core *core, const struct pipe_counts *counts);
/* Whole days until the first certificate or revocation list runs out; -1 = over, or not known yet. */
int64_t watch_days_left(const struct pipe_counts *counts);

#endif
