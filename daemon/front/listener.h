/* The listening socket: bound early (while privileges last), listening late (once the core is open). */
#ifndef DAEMON_FRONT_LISTENER_H
#define DAEMON_FRONT_LISTENER_H

#include <event2/util.h>
#include <stdint.h>

#include "daemon/base/conf.h"
#include "proto/rc.h"

struct server;
struct listener;

/* Bind conf->listen_address and port; *ret_port is the one got. Errors: CONFIG. */
enum rc listener_bind(const struct conf *conf, evutil_socket_t *ret_fd, uint16_t *ret_port,
		      struct diag *diag) MUST_CHECK;
/* Listen on `fd` (takes it on success): clients wait. Errors: IO, NOMEM. */
enum rc listener_open(struct server *server, evutil_socket_t fd, struct listener **ret, struct diag *diag) MUST_CHECK;
/* Accept who waits, and who comes, into the server. */
void listener_accept(struct listener *listener);
void listener_close(struct listener *listener);

#endif
