/* The core process: keys, store, linkage, statistics and the audit log. It has no socket but the pipe. */
#ifndef DAEMON_CORE_CORE_H
#define DAEMON_CORE_CORE_H

#include "daemon/base/conf.h"
#include "proto/rc.h"

/* Run until SIGTERM or the end of the pipe; returns the exit status of the process. */
int core_run(const struct conf *conf, int pipe_fd);

/* Check study, keys and store without serving (for --check). */
enum rc core_check(const struct conf *conf, struct diag *diag) MUST_CHECK;

#endif
