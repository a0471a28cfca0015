/* Rotation of the sealing key and of the log key while requests are served: POST /v1/keys.
 *
 * The sealing key: a thread carries it through in small jobs of the writer's, and a start takes up what a crash left. The
 * log says who began it, and when it was done. The log key: the old one signs the new, the log holds the statement, and
 * from then on both sign every checkpoint, until the daemon is started with the new one alone. */
#ifndef DAEMON_CORE_ROTATION_H
#define DAEMON_CORE_ROTATION_H

#include <stdbool.h>

#include "daemon/core/state.h"
#include "proto/rc.h"

struct rotator;

/* Goes on at once with a rotation that was not finished. Errors: NOMEM. */
enum rc rotator_new(struct core *core, struct rotator **ret) MUST_CHECK;
/* Ends the thread at the next slice; a rotation goes on at the next start. NULL is a no-op. */
void rotator_free(struct rotator *rotator);
/* Log that the signer's key follows the one that the log names: on the writer's thread, in whose transaction the entry
 * is, then when that is durable. Errors: KEY (it does not follow it). */
struct log_succession_entry {
	char old[TLOG_VKEY_CAP], new[TLOG_VKEY_CAP];
	struct buffer note;
	uint64_t index;
};
enum rc log_succession_append(struct core *core, struct txn *txn, const struct entry_who *who,
			      struct log_succession_entry *ret) MUST_CHECK;
enum rc log_succession_committed(struct core *core, const struct log_succession_entry *entry) MUST_CHECK;

/* A rotation was begun: carry it through. */
void rotator_wake(struct rotator *rotator);

#endif
