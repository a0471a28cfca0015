/* What became of files that are replaced while the daemon runs, in the audit log: which certificate the server has, which
 * authorities of clients are in force, and which files were refused. Main loop only; each call may wait for the log. */
#ifndef DAEMON_CORE_RENEWALS_H
#define DAEMON_CORE_RENEWALS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/pipe.h"

struct core;

/* What was refused last, so that it is not logged again, and how much was logged of late. Zero to begin with. */
struct renewals {
	struct pipe_renewed refused[RENEWAL_FILE_COUNT]; /* fault RENEWAL_GOOD = nothing, or a good one came since */
	int64_t window_s;                                /* start of the hour that is being counted */
	unsigned n_in_window, n_dropped;
	/* In force, but the log could not take it yet. */
	bool certificate_waits, trusted_waits;
	uint8_t certificate[32];
	struct pipe_trusted trusted;
	int64_t again_ms;
};

/* Log it, where it is new: the server's certificate (`keys`, or `key_rotated` where another was in use), a file that
 * was refused (`renewal_refused`: the same one once, and at most some an hour, since some of these files are fetched
 * from elsewhere; the rest is counted). */
void renewals_take(struct core *core, const struct pipe_renewed *renewed);
/* Log other authorities than those the log knows. Where that fails no request is taken until it has been done. */
void renewals_trusted(struct core *core, const struct pipe_trusted *trusted);
/* Try again what could not be logged. */
void renewals_run(struct core *core);
/* The same as renewals_take() for a file that the core read itself; `text` NULL = it could not be read. */
void renewals_refuse(struct core *core, enum renewal_file file, enum renewal_fault fault, const struct buffer *text);
void renewals_good(struct core *core, enum renewal_file file);

#endif
