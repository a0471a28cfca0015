/* Limits that an operator should hear of before they are met: a line of the daemon's log each, once a day, and of the
 * status as long as it is so. */
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

/* What is near: bit `1 << limit` for each limit. Room that is not known is not near its end. */
struct watch_figures {
	uint64_t map_free, disk_free, rho_total_micro;
	uint64_t expires_at; /* 0 = the front has not said so yet */
};
unsigned watch_near(const struct core *core, const struct watch_figures *figures);
/* A sentence. Also says in how many days. */
enum { WATCH_TEXT_CAP = 160 };
void watch_text(enum watch_limit limit, const struct watch_figures *figures, char out[WATCH_TEXT_CAP]);

/* Look, at most once a minute; `now_s` is of the monotonic clock. Main loop only. */
void watch_limits(struct watch *watch, struct core *core, int64_t now_s);
/* Keep what the front has counted. */
void watch_front(struct core *core, const struct pipe_counts *counts);
#endif
