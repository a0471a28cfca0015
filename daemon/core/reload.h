/* Files that may change while the daemon runs: the clients' authorities, their revocation list and the access file. The
 * core reads them, since the front has no files; what is in force is what the log says is in force. */
#ifndef DAEMON_CORE_RELOAD_H
#define DAEMON_CORE_RELOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/pipe.h"
#include "daemon/core/state.h"

enum { RELOAD_EVERY_MS = 200 }; /* how often the files are looked at */

struct reload;

/* Read and check the access file; where there is none, that is checked as well. Errors: CONFIG, NOMEM. */
enum rc reload_check_access(struct core *core, struct diag *diag) MUST_CHECK;

/* `send` hands a whole file to the front, or a message without one; it is called from the functions below alone. Errors:
 * NOMEM. */
enum rc reload_new(struct core *core, void (*send)(void *ctx, enum pipe_type type, const void *data, size_t len),
		   void *ctx, struct reload **ret) MUST_CHECK;
void reload_free(struct reload *reload);
/* Send what has changed since the last call; the first call sends everything. `asked`: whether it has changed or not. A
 * file that is not right is left alone, with a line in the daemon's log, and the one before stays in force. What the log
 * could not take is tried again. Waits for the log. Main loop only. */
void reload_run(struct reload *reload, bool asked);
/* Log what a revocation list in use names, as far as the log does not know it. Waits for the log. Main loop only. */
void reload_listed(struct reload *reload, const struct pipe_listed *listed);
/* Log which authorities are in force, before any request that comes after this. Errors: PROTOCOL (nobody asked). */
enum rc reload_trusted(struct reload *reload, const struct pipe_trusted *trusted) MUST_CHECK;
/* What became of a file: log it, or send it again in a while. */
void reload_renewed(struct reload *reload, const struct pipe_renewed *renewed);

#endif
