/* The front process: TLS 1.3, client certificates, the strict HTTP/1.1 subset, roles and limits. It holds no record and
 * no key but the TLS key, and opens no file once it is confined. */
#ifndef DAEMON_FRONT_FRONT_H
#define DAEMON_FRONT_FRONT_H

#include "daemon/base/conf.h"
#include "proto/rc.h"

/* Run until PIPE_STOP, SIGTERM or the end of the pipe; returns the exit status of the process. `pipe_fd` is this
 * side of the socket pair. Loads the TLS files, binds, drops privileges, tells core and systemd that it is ready. */
int front_run(const struct conf *conf, int pipe_fd);

/* Check everything the front needs without serving (for --check). Errors: CONFIG, KEY. */
enum rc front_check(const struct conf *conf, struct diag *diag) MUST_CHECK;

#endif
