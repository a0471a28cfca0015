/* What each process gives up before it meets anything hostile. Later steps (seccomp, Landlock) belong here too. */
#ifndef DAEMON_BASE_CONFINE_H
#define DAEMON_BASE_CONFINE_H

#include "proto/rc.h"

/* Raise the limit on locked memory as far as this process may, so that filters and keys can be locked after privileges
 * are gone. Best effort: what could not be locked is reported where it is locked (conf.memory_lock). */
void confine_raise_memlock(void);

/* Become `user` ("" = stay who we are) with its groups only, for good; no new privileges, no core dump, not
 * traceable by others. Call it once, before threads, after everything that needs privileges is open.
 * Errors: CONFIG (no such user), FORBIDDEN (the system refused, or privileges could be had back). */
enum rc confine_process(const char *user, struct diag *diag) MUST_CHECK;

#endif
