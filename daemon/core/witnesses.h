/* Witnesses of the log: parties who sign that every checkpoint they see extends the ones they saw before. */
#ifndef DAEMON_CORE_WITNESSES_H
#define DAEMON_CORE_WITNESSES_H

#include "daemon/core/state.h"
#include "proto/rc.h"

/* Read the configured file of their public keys: one a line, empty lines and lines that begin with # are left out.
 * Errors: CONFIG (diag has file and line), NOMEM. */
enum rc witnesses_load(struct core *core, struct diag *diag) MUST_CHECK;
/* Take in those whom releases still wait for, although the study names others now. Once the log was read. */
void witnesses_add_awaited(struct core *core);

#endif
