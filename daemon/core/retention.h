/* The study's retention: records whose event lies longer ago than retention.years are erased, and refused when they are
 * sent. See docs/operations.md for what is erased when. */
#ifndef DAEMON_CORE_RETENTION_H
#define DAEMON_CORE_RETENTION_H

#include <stdint.h>

#include "daemon/core/state.h"
#include "proto/rc.h"

/* Events before this day are over, by the log's clock; DAY_MIN - 1 where the study says nothing of retention. */
int32_t retention_first_day(const struct core *core);

struct retention;
/* A thread that erases what is over, at once and then within a minute of each new day (UTC), and finishes withdrawals
 * that a crash interrupted. Errors: NOMEM. */
enum rc retention_new(struct core *core, struct retention **ret) MUST_CHECK;
/* Ends it; core->stopping is set before. NULL is a no-op. */
void retention_free(struct retention *retention);

#endif
