/* Requests and answers on one connection: who may ask what is decided here, before a body is read. */
#ifndef DAEMON_FRONT_SESSION_H
#define DAEMON_FRONT_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/pipe.h"
#include "proto/rc.h"

struct connection;

/* The handshake is done, or the answer before has gone out: wait for the next request. */
void session_await_request(struct connection *c);
/* Bytes have come in, or may be looked at again. */
void session_read(struct connection *c);
/* Bytes have come in that belong to a later request. */
void session_read_ahead(struct connection *c);
/* All output has gone out. */
void session_drained(struct connection *c);
/* The timer rang in a phase of the session. May free the connection. */
void session_timeout(struct connection *c);
/* The connection goes away: tell the core, give back what was reserved. */
void session_abandon(struct connection *c);

/* What the core says about the present request. Errors: MALFORMED (out of place; ends the front). */
enum rc session_on_credit(struct connection *c, uint32_t n_bytes) MUST_CHECK;
enum rc session_on_reply(struct connection *c, const struct pipe_reply *reply) MUST_CHECK;
enum rc session_on_reply_body(struct connection *c, const uint8_t *data, size_t len) MUST_CHECK;
enum rc session_on_reply_end(struct connection *c) MUST_CHECK;

#endif
