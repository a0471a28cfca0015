/* What was withdrawn after the backup that a store was restored from is withdrawn again, before anything is served. */
#ifndef DAEMON_CORE_WITHDRAWN_AGAIN_H
#define DAEMON_CORE_WITHDRAWN_AGAIN_H

#include <stdint.h>

#include "daemon/core/state.h"
#include "proto/rc.h"

/* At a start, once entries can be written: make the tombstones' key where there is none, withdraw what the list outside
 * the store has and the store has not, and make the list anew where it lacks something.
 * Errors: FORK (the list is of another key), DAMAGED (lines of it, and the store is older than it), CONFIG, IO, …, with
 * the reason in diag. */
enum rc withdrawn_again(struct core *core, struct diag *diag) MUST_CHECK;
/* How many a start would withdraw again. Errors: NOTFOUND (there is no list), FORK, DAMAGED, … */
enum rc withdrawn_again_count(const struct conf *conf, struct store *store, uint64_t *ret_n) MUST_CHECK;

#endif
