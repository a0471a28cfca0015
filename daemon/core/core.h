/* The core process: keys, store, linkage, statistics and the audit log. It has no socket but the pipe. */
#ifndef DAEMON_CORE_CORE_H
#define DAEMON_CORE_CORE_H

#include <stdbool.h>

#include "daemon/base/conf.h"
#include "daemon/core/ledger_mark.h"
#include "proto/rc.h"

/* Run until SIGTERM or the end of the pipe; returns the exit status of the process. */
int core_run(const struct conf *conf, int pipe_fd);

/* Check study, keys and store without serving (for --check). */
enum rc core_check(const struct conf *conf, struct diag *diag) MUST_CHECK;

/* Read all of the store, while no daemon runs (for --check-store), and say on standard output what is lost.
 * Errors: DAMAGED (something is lost), FORK, and those of opening. */
enum rc core_check_store(const struct conf *conf) MUST_CHECK;

/* Make the store from a backup, while no daemon runs (for --restore); says on standard output what was done. Where
 * more was signed than the backup has, it is refused unless accept_loss; then an entry `restore` in the log says what was
 * lost, and the ledger keeps what was charged. `charged` is for where the mark of the ledger is lost too.
 * Errors: CONFLICT (a store is there), FORK, and those of the backup. After one, no store is there. */
struct restore_options {
	const char *path;
	bool accept_loss, has_charged;
	struct ledger_mark charged;
};
enum rc core_restore(const struct conf *conf, const struct restore_options *options, struct diag *diag) MUST_CHECK;

#endif
