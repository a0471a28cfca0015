/* The front's end of the pipe: see core_link.h. Output is bounded by the flow control of bodies: each running request
 * has at most its credit in flight. */
#include "daemon/front/core_link.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/front/connection.h"
#include "daemon/front/listener.h"
#include "daemon/front/server.h"
#include "daemon/front/session.h"
#include "proto/bytes.h"

struct core_link {
	struct server *server;
	struct bufferevent *bev;
	uint64_t last_id;
	struct buffer file; /* pieces of a revocation list or access file */
};

/* ---- before the loop ---- */

static enum rc read_exactly(int fd, uint8_t *out, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, out + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			(void)poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
			continue;
		}
		if (n <= 0)
			return RC_STOPPING;
		done += (size_t)n;
	}
	return RC_OK;
}

enum rc core_link_wait_open(int pipe_fd)
{
	uint8_t bytes[PIPE_HEADER_LEN + 4];
	struct pipe_message m;
	size_t used;
	uint32_t credit;

	enum rc rc = read_exactly(pipe_fd, bytes, PIPE_HEADER_LEN);
	if (rc != RC_OK)
		return rc;
	if (pipe_next(PIPE_FRONT, bytes, PIPE_HEADER_LEN, &m, &used) != RC_OK)
		return RC_PROTOCOL;
	if (used > 0)
		return m.type == PIPE_STOP ? RC_STOPPING : RC_PROTOCOL;
	if (bytes[0] != PIPE_CREDIT)
		return RC_PROTOCOL;
	rc = read_exactly(pipe_fd, bytes + PIPE_HEADER_LEN, 4);
	if (rc != RC_OK)
		return rc;
	if (pipe_next(PIPE_FRONT, bytes, sizeof bytes, &m, &used) != RC_OK || pipe_get_credit(&m, &credit) != RC_OK ||
	    m.id != 0)
		return RC_PROTOCOL;
	return RC_OK;
}

/* ---- receiving ---- */

/* Send what was put into the scratch buffer. */
static void send_scratch(struct core_link *core, enum rc rc)
{
	struct buffer *scratch = &core->server->scratch;

	if (rc != RC_OK || bufferevent_write(core->bev, scratch->data, scratch->len) != 0) {
		log_error("cannot write to the core: %s", rc_text(rc == RC_OK ? RC_NOMEM : rc));
		server_abort(core->server, RC_INTERNAL);
	}
	if (scratch->failed) {
		buffer_deinit(scratch);
		buffer_init(scratch);
	}
	buffer_reset(scratch);
}

static void send_listed(void *ctx, const struct pipe_listed *listed)
{
	struct core_link *core = ctx;

	send_scratch(core, pipe_put_listed(&core->server->scratch, listed));
}

static void use_revoked(struct core_link *core)
{
	struct server *server = core->server;
	struct diag diag = {""};

	if (tls_set_revoked(server->tls, core->file.data, core->file.len, &diag) != RC_OK) {
		log_error("revocation list not renewed, the one before stays: %s", diag.text);
		return;
	}
	log_info("revocation list renewed; %u connections ended", connections_drop_revoked(server));
	tls_report_listed(server->tls, send_listed, core);
}

/* The core has read it already, so that it fits; should it not, the one before stays. */
static void use_access(struct core_link *core)
{
	struct server *server = core->server;
	struct access *access = NULL, *before = server->access;
	struct diag diag = {""};

	if (access_parse("access file", (const char *)core->file.data, core->file.len, NULL, &access, &diag) != RC_OK) {
		log_error("access file not renewed, the one before stays: %s", diag.text);
		return;
	}
	server->access = access;
	if (before == NULL && server->listener != NULL)
		listener_accept(server->listener);
	log_info("access file in use; %u connections ended", connections_reconsider(server));
	access_free(before);
}

static enum rc on_file(struct core_link *core, const struct pipe_message *m, void (*use)(struct core_link *core))
{
	const uint8_t *piece;
	size_t len;
	bool last;

	enum rc rc = pipe_get_file(m, &last, &piece, &len);
	if (rc != RC_OK)
		return rc;
	buffer_append(&core->file, piece, len);
	if (core->file.failed || core->file.len > PIPE_MAX_FILE)
		return RC_MALFORMED;
	if (!last)
		return RC_OK;
	use(core);
	buffer_deinit(&core->file);
	buffer_init(&core->file);
	return RC_OK;
}

/* A message about a request. One that we have cancelled may still be answered; one that never was may not. */
static enum rc on_request_message(struct core_link *core, const struct pipe_message *m)
{
	struct pipe_reply reply;
	uint32_t credit;
	enum rc rc;

	if (m->id > core->last_id)
		return RC_MALFORMED;
	struct connection *c = connection_find(core->server, m->id);
	switch (m->type) {
	case PIPE_CREDIT:
		rc = pipe_get_credit(m, &credit);
		return rc != RC_OK || c == NULL ? rc : session_on_credit(c, credit);
	case PIPE_REPLY:
		rc = pipe_get_reply(m, &reply);
		return rc != RC_OK || c == NULL ? rc : session_on_reply(c, &reply);
	case PIPE_REPLY_BODY:
		return c == NULL ? RC_OK : session_on_reply_body(c, m->data, m->len);
	case PIPE_REPLY_END:
		return c == NULL ? RC_OK : session_on_reply_end(c);
	default:
		return RC_MALFORMED;
	}
}

static enum rc on_message(struct core_link *core, const struct pipe_message *m)
{
	switch (m->type) {
	case PIPE_STOP:
		server_stop(core->server);
		return RC_OK;
	case PIPE_REVOKED:
		return on_file(core, m, use_revoked);
	case PIPE_ACCESS:
		return on_file(core, m, use_access);
	default:
		return on_request_message(core, m);
	}
}

/* Take one message off the buffer, if it is all there. */
static enum rc take_message(struct core_link *core, struct evbuffer *input, bool *ret_more)
{
	uint8_t header[PIPE_HEADER_LEN];
	struct pipe_message m;
	struct reader r;
	size_t used = 0;

	*ret_more = false;
	if (evbuffer_copyout(input, header, sizeof header) != (ev_ssize_t)sizeof header)
		return RC_OK;
	enum rc rc = pipe_next(PIPE_FRONT, header, sizeof header, &m, &used);
	if (rc != RC_OK)
		return rc;
	reader_init(&r, header + 4, 4);
	size_t total = PIPE_HEADER_LEN + (size_t)read_u32(&r);
	if (evbuffer_get_length(input) < total)
		return RC_OK;
	const uint8_t *bytes = evbuffer_pullup(input, (ev_ssize_t)total);
	if (bytes == NULL)
		return RC_NOMEM;
	rc = pipe_next(PIPE_FRONT, bytes, total, &m, &used);
	if (rc == RC_OK)
		rc = on_message(core, &m);
	evbuffer_drain(input, total);
	*ret_more = true;
	return rc;
}

static void on_readable(struct bufferevent *bev, void *ctx)
{
	struct core_link *core = ctx;
	bool more = true;

	while (more) {
		enum rc rc = take_message(core, bufferevent_get_input(bev), &more);
		if (rc != RC_OK) {
			log_error("the core does not keep to the pipe's protocol");
			server_abort(core->server, RC_PROTOCOL);
			return;
		}
	}
}

static void on_event(struct bufferevent *bev, short what, void *ctx)
{
	struct core_link *core = ctx;

	if (!core->server->stopping)
		log_error("the core has ended");
	server_abort(core->server, core->server->stopping ? RC_OK : RC_INTERNAL);
}

/* ---- sending ---- */

void core_link_ready(struct core_link *core, uint16_t port)
{
	send_scratch(core, pipe_put_ready(&core->server->scratch, &(struct pipe_ready){port}));
}

void core_link_counts(struct core_link *core, const struct pipe_counts *counts)
{
	send_scratch(core, pipe_put_counts(&core->server->scratch, counts));
}

uint64_t core_link_request(struct core_link *core, const struct pipe_request *request)
{
	uint64_t id = ++core->last_id;

	send_scratch(core, pipe_put_request(&core->server->scratch, id, request));
	return id;
}

void core_link_body(struct core_link *core, uint64_t id, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t n = len < PIPE_MAX_PAYLOAD ? len : PIPE_MAX_PAYLOAD;
		send_scratch(core, pipe_put_raw(&core->server->scratch, PIPE_BODY, id, data, n));
		data += n;
		len -= n;
	}
}

void core_link_body_end(struct core_link *core, uint64_t id)
{
	send_scratch(core, pipe_put_raw(&core->server->scratch, PIPE_BODY_END, id, NULL, 0));
}

void core_link_cancel(struct core_link *core, uint64_t id)
{
	send_scratch(core, pipe_put_raw(&core->server->scratch, PIPE_CANCEL, id, NULL, 0));
}

void core_link_refused(struct core_link *core, const struct pipe_refused *refused)
{
	struct rate_limit *limit = &core->server->refused_report;
	struct pipe_refused report = *refused;
	uint64_t suppressed = limit->n_suppressed;

	if (!rate_limit_allows(limit, server_now_ms()))
		return;
	limit->n_suppressed = 0;
	report.n_before = suppressed > UINT32_MAX ? UINT32_MAX : (uint32_t)suppressed;
	send_scratch(core, pipe_put_refused(&core->server->scratch, &report));
}

/* ---- life ---- */

enum rc core_link_open(struct server *server, int pipe_fd, struct core_link **ret)
{
	struct core_link *core = calloc(1, sizeof *core);
	if (core == NULL)
		return RC_NOMEM;
	core->server = server;
	buffer_init(&core->file);
	evutil_make_socket_nonblocking(pipe_fd);
	core->bev = bufferevent_socket_new(server->base, pipe_fd, BEV_OPT_DEFER_CALLBACKS);
	if (core->bev == NULL) {
		free(core);
		return RC_NOMEM;
	}
	bufferevent_setcb(core->bev, on_readable, NULL, on_event, core);
	bufferevent_set_max_single_read(core->bev, PIPE_MAX_PAYLOAD);
	bufferevent_set_max_single_write(core->bev, PIPE_MAX_PAYLOAD);
	bufferevent_enable(core->bev, EV_READ | EV_WRITE);
	*ret = core;
	return RC_OK;
}

void core_link_close(struct core_link *core)
{
	if (core == NULL)
		return;
	bufferevent_free(core->bev);
	buffer_deinit(&core->file);
	free(core);
}
