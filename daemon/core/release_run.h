/* Compute a release whose start is in the log: link, count, add noise, store, log, sign, destroy the secret. */
#ifndef DAEMON_CORE_RELEASE_RUN_H
#define DAEMON_CORE_RELEASE_RUN_H

#include <stdatomic.h>

#include "daemon/core/history.h"
#include "daemon/core/release_parts.h"
#include "daemon/core/release_progress.h"
#include "daemon/core/state.h"
#include "proto/rc.h"

/* Who is told as a step (release_progress.h) begins, on the thread of the run. */
struct release_watch {
	void (*on_step)(void *ctx, unsigned step);
	void *ctx;
};

/* `rows` has one element a domain of the study, with exactly the rows of the batches at the cut, all compared, as they
 * are after `withdrawals` (core->withdrawals) withdrawals. Runs on the linker's thread; the same result whatever the order, threads or kernel. When it
 * returns RC_OK the release is durable, signed and readable. Errors: DAMAGED (pairs; they must be made again),
 * KEY (the release secret is not the one committed to, or gone), NOMEM, IO, NOSPACE, STOPPING, BUSY (records were withdrawn
 * meanwhile: nothing was published). */
enum rc release_run(struct core *core, const struct release_info *info, const struct release_rows *rows,
                    uint64_t withdrawals, const atomic_bool *cancel, const struct release_watch *watch) MUST_CHECK;

#endif
