/* What is checked, finished and logged at a start. */
#ifndef DAEMON_CORE_START_H
#define DAEMON_CORE_START_H

#include "daemon/core/state.h"
#include "proto/rc.h"

/* Compare the store with what the log says: batches, volumes, ledger, releases; count volumes by source; refuse a study
 * under which stored records would mean something else. Errors: DAMAGED, CONFIG, with the reason in diag. */
enum rc start_check(struct core *core, struct diag *diag) MUST_CHECK;
/* Log keys and study where they are new, and the start; destroy release secrets that a crash left. */
enum rc start_log(struct core *core, struct diag *diag) MUST_CHECK;

#endif
