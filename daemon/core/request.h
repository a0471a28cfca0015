/* One request of the front inside the core: its body as it comes, the work on it, its one answer.
 *
 * A request lives until its last reference is gone; a worker, a write job and the main loop each hold one. It is worked on
 * by one thread at a time. It knows nothing of pipes: answers and credit go through a port, so that handlers are tested
 * without a network. */
#ifndef DAEMON_CORE_REQUEST_H
#define DAEMON_CORE_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/pipe.h"
#include "daemon/core/state.h"
#include "proto/bytes.h"
#include "proto/rc.h"

struct request;

/* Where answers go. Called from any thread, once each request for `reply`; `body` is borrowed for the call. */
struct request_port {
	void (*reply)(void *ctx, uint64_t id, const struct pipe_reply *reply, const void *body, size_t len);
	void (*credit)(void *ctx, uint64_t id, uint32_t bytes);
	void *ctx;
};

/* What answers a request type. */
struct handler {
	/* For routes without a body, on the main loop's thread, before a worker is asked: answer, or hand the answer over
	 * to the writer, if that takes neither waiting nor work; false = not so, and nothing was done. NULL = never. */
	bool (*quick)(struct request *request);
	/* NULL: the body is collected up to max_body and given to `run`. Otherwise called for each piece; an error ends
	 * the request, which the handler has then answered. */
	enum rc (*feed)(struct request *request, const uint8_t *data, size_t len);
	/* The whole body is there. */
	void (*run)(struct request *request, const uint8_t *body, size_t len);
	/* Free request_state(). */
	void (*free_state)(void *state);
	size_t max_body;
};
const struct handler *handler_of(enum request_type type);        /* handlers.c */

/* Take up a request; work on it begins when its body (if its route has one) comes. The caller holds one reference.
 * When it cannot be taken it is answered at once and *ret_request is still set. Errors: NOMEM (not answered). */
enum rc request_new(struct core *core, uint64_t id, const struct pipe_request *head, const struct request_port *port,
                    struct request **ret_request) MUST_CHECK;
void request_ref(struct request *request);
void request_unref(struct request *request);

/* The main loop's side. Errors of feed: PROTOCOL (more body than credit). */
enum rc request_feed(struct request *request, const uint8_t *data, size_t len) MUST_CHECK;
void request_end(struct request *request);
void request_cancel(struct request *request);
bool request_is_answered(struct request *request);
uint64_t request_id(const struct request *request);

/* The handlers' side. */
struct core *request_core(struct request *request);
const struct pipe_request *request_head(struct request *request);
void **request_state(struct request *request);
/* Errors: MEDIA_TYPE unless the body is JSON as it is. */
enum rc request_expect_json(const struct pipe_request *head, struct diag *diag) MUST_CHECK;
/* The same, and the body is {}. Errors: MEDIA_TYPE, INVALID. */
enum rc request_expect_empty(const struct pipe_request *head, const uint8_t *body, size_t len,
                             struct diag *diag) MUST_CHECK;
bool request_is_cancelled(struct request *request);

/* The one answer; a second one is ignored. */
void request_reply(struct request *request, const struct pipe_reply *reply, const void *body, size_t len);
void request_reply_text(struct request *request, uint16_t status, enum pipe_media media, const struct buffer *body);
/* The same of JSON, which is taken; NULL = there was no memory for it. */
void request_reply_json(struct request *request, uint16_t status, json_t *answer);
/* application/problem+json by the result code; `detail` may be NULL or empty. */
void request_problem(struct request *request, enum rc rc, const char *detail);

#endif
