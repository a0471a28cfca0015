/* The study's retention: records whose event lies longer ago than retention.years are erased, and refused when they are
 * sent. See docs/operations.md for what is erased when. */
#ifndef DAEMON_CORE_RETENTION_H
#define DAEMON_CORE_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/core/state.h"
#include "proto/rc.h"

/* Events before this day are over, by the clock (not the log's, which a clock that was wrong once keeps ahead);
 * DAY_MIN - 1 where the study says nothing of retention. */
int32_t retention_first_day(const struct core *core);

/* A wrong clock must not erase what is not over: nothing is erased while the clock is further ahead than the time that was
 * last believed, and the time that has passed since, lead to. All in seconds; `wall` 0 = nothing is known. */
struct clock_guard {
	int64_t wall, monotonic; /* last believed, and when that was */
	bool settled;            /* was believed since the start: from then on it may not jump by more than a day */
};
bool clock_guard_passes(struct clock_guard *guard, int64_t wall, int64_t monotonic);

/* Purge each source for which that is not done yet, and note for which it is; what is BUSY (a source that keeps sending)
 * or fails does not keep the next from its turn. `done` is by source. Errors: the first of purge_one. */
typedef enum rc (*retention_purge_one)(void *ctx, int source, int32_t first_day);
enum rc retention_sweep(int n_sources, int32_t first_day, int32_t done[], retention_purge_one purge_one,
			void *ctx) MUST_CHECK;

enum retention_state {
	RETENTION_NONE,    /* the study says nothing of it */
	RETENTION_RUNNING, /* also before the first look */
	RETENTION_DONE,
	RETENTION_WAITS,   /* the clock is not believed; nothing is erased */
	RETENTION_FAILED,
};
struct retention_status {
	enum retention_state state;
	int32_t before; /* events before this day are over, as of the last look; DAY_MIN - 1 = none are */
	uint64_t looks; /* number of the last that has ended: they grow, over starts too */
	enum rc error;  /* of a failure */
};
const char *retention_state_name(enum retention_state state);

struct retention;
/* A thread that erases what is over, at once and then within a minute of each new day (UTC), and finishes withdrawals
 * that a crash interrupted. Errors: NOMEM. */
enum rc retention_new(struct core *core, struct retention **ret) MUST_CHECK;
void retention_status(struct retention *retention, struct retention_status *ret);
/* Have it look now. Returns the number of the look: once status.looks has come to it, what was over at the time of this
 * call is erased, or the state says why not. */
uint64_t retention_look_now(struct retention *retention);
/* Ends it; core->stopping is set before. NULL is a no-op. */
void retention_free(struct retention *retention);

#endif
