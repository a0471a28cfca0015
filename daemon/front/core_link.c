/* The front's end of the pipe: see core_link.h. Output is bounded by the flow control of bodies: each running request
 * has at most its credit in flight. What is sent in one turn of the loop leaves at its end in one write; libevent's own
 * buffered socket would read 4 KiB at a time and ask epoll before each write. */
#include "daemon/front/core_link.h"

#include <errno.h>
#include <event2/event.h>
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

enum { READ_BYTES = 256 * 1024, OUT_KEEP_BYTES = 1 << 20 };

struct core_link {
	struct server *server;
	struct event *readable, *writable;
	bool is_flushing; /* `writable` will run */
	uint64_t last_id;
	struct buffer in;  /* the beginning of a message whose end has not come */
	struct buffer out; /* from out_at not yet written */
	size_t out_at;
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

	buffer_append(&core->out, scratch->data, scratch->len);
	if (!core->is_flushing) {
		core->is_flushing = true;
		event_active(core->writable, EV_WRITE, 0);
	}
	if (rc != RC_OK || core->out.failed) {
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

void core_link_trusted(struct core_link *core)
{
	struct pipe_trusted trusted;

	clients_trusted(tls_clients(core->server->tls), &trusted);
	send_scratch(core, pipe_put_trusted(&core->server->scratch, &trusted));
}

/* The file that is in `core->file` was not taken. */
static void tell_refused(struct core_link *core, enum renewal_file file, enum renewal_fault fault)
{
	struct pipe_renewed renewed = {.file = file, .fault = fault == RENEWAL_GOOD ? RENEWAL_LATER : fault};

	sha256(core->file.data, core->file.len, renewed.digest);
	core_link_renewed(core, &renewed);
}

/* In force at once; the log hears of it before it hears of any request of whom they let in. */
static void use_authorities(struct core_link *core)
{
	struct server *server = core->server;
	enum renewal_fault fault;
	struct diag diag = {""};

	if (tls_set_authorities(server->tls, core->file.data, core->file.len, &fault, &diag) != RC_OK) {
		log_error("clients' authorities not renewed, those before stay: %s", diag.text);
		tell_refused(core, RENEWAL_AUTHORITIES, fault);
		return;
	}
	core_link_trusted(core);
	log_info("clients' authorities in use; %u connections ended", connections_verify_anew(server));
}

static void use_revoked(struct core_link *core)
{
	struct server *server = core->server;
	struct pipe_renewed renewed = {.file = RENEWAL_REVOCATIONS};
	enum renewal_fault fault;
	struct diag diag = {""};

	if (tls_set_revoked(server->tls, core->file.data, core->file.len, &fault, &diag) != RC_OK) {
		log_error("revocation list not renewed, the one before stays: %s", diag.text);
		tell_refused(core, RENEWAL_REVOCATIONS, fault);
		return;
	}
	core_link_renewed(core, &renewed);
	log_info("revocation list renewed; %u connections ended", connections_verify_anew(server));
	clients_report_listed(tls_clients(server->tls), false, send_listed, core);
}

/* The core has read it already, so that it fits; should it not, the one before stays. */
static void use_access(struct core_link *core)
{
	struct server *server = core->server;
	struct access *access = NULL, *before = server->access;
	struct diag diag = {""};

	if (access_parse("access file", (const char *)core->file.data, core->file.len, NULL, &access, &diag) != RC_OK) {
		log_error("access file not renewed, the one before stays: %s", diag.text);
		tell_refused(core, RENEWAL_ACCESS, RENEWAL_LATER);
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
	case PIPE_AUTHORITIES:
		return on_file(core, m, use_authorities);
	case PIPE_REVOKED:
		return on_file(core, m, use_revoked);
	case PIPE_LIST_AGAIN:
		clients_report_listed(tls_clients(core->server->tls), true, send_listed, core);
		return RC_OK;
	case PIPE_ACCESS:
		return on_file(core, m, use_access);
	case PIPE_READ_PAIR:
		server_ask_pair(core->server);
		return RC_OK;
	default:
		return on_request_message(core, m);
	}
}

/* Take what whole messages there are; *ret_used is how much that was. */
static enum rc take_messages(struct core_link *core, const uint8_t *data, size_t len, size_t *ret_used)
{
	size_t at = 0, used = 1;
	enum rc rc = RC_OK;

	while (rc == RC_OK && used > 0) {
		struct pipe_message m;
		rc = pipe_next(PIPE_FRONT, data + at, len - at, &m, &used);
		if (rc == RC_OK && used > 0)
			rc = on_message(core, &m);
		at += used;
	}
	*ret_used = at;
	return rc;
}

/* Most reads end with a whole message, so that nothing has to be put aside. */
static enum rc take_bytes(struct core_link *core, const uint8_t *data, size_t len)
{
	struct buffer *in = &core->in;
	size_t used = 0;

	if (in->len > 0) {
		buffer_append(in, data, len);
		data = in->data;
		len = in->len;
		if (in->failed)
			return RC_NOMEM;
	}
	enum rc rc = take_messages(core, data, len, &used);
	if (rc != RC_OK)
		return rc;
	if (in->len > 0)
		buffer_drop(in, used);
	else if (used < len)
		buffer_append(in, data + used, len - used);
	return in->failed ? RC_NOMEM : RC_OK;
}

static void on_end(struct core_link *core)
{
	event_del(core->readable);
	event_del(core->writable);
	core->is_flushing = true; /* nothing is written any more */
	if (!core->server->stopping)
		log_error("the core has ended");
	server_abort(core->server, core->server->stopping ? RC_OK : RC_INTERNAL);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct core_link *core = ctx;
	static uint8_t bytes[READ_BYTES]; /* one thread; too large for a stack */
	ssize_t n = read(fd, bytes, sizeof bytes);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		on_end(core);
		return;
	}
	enum rc rc = take_bytes(core, bytes, (size_t)n);
	if (rc != RC_OK) {
		event_del(core->readable);
		log_error("the core does not keep to the pipe's protocol");
		server_abort(core->server, RC_PROTOCOL);
	}
}

/* ---- sending ---- */

/* A core that never takes all of it must not make it grow for ever. What is left is moved only when it is no more than
 * what has gone, so that each byte is moved once at most. */
static void forget_written(struct core_link *core)
{
	if (core->out_at < core->out.len - core->out_at)
		return;
	buffer_drop(&core->out, core->out_at);
	core->out_at = 0;
}

/* At the end of a turn in which something was put into `out`, and whenever the pipe has room again for the rest. */
static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
	struct core_link *core = ctx;

	core->is_flushing = false;
	while (core->out_at < core->out.len) {
		ssize_t n = write(fd, core->out.data + core->out_at, core->out.len - core->out_at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			forget_written(core);
			core->is_flushing = event_add(core->writable, NULL) == 0;
			return;
		}
		if (n <= 0) {
			on_end(core);
			return;
		}
		core->out_at += (size_t)n;
	}
	core->out_at = 0;
	buffer_reset(&core->out);
	/* One large body must not pin its memory for good. */
	if (core->out.cap > OUT_KEEP_BYTES) {
		buffer_deinit(&core->out);
		buffer_init(&core->out);
	}
}

void core_link_ready(struct core_link *core, uint16_t port)
{
	send_scratch(core, pipe_put_ready(&core->server->scratch, &(struct pipe_ready){port}));
}

void core_link_counts(struct core_link *core, const struct pipe_counts *counts)
{
	send_scratch(core, pipe_put_counts(&core->server->scratch, counts));
}

void core_link_renewed(struct core_link *core, const struct pipe_renewed *renewed)
{
	send_scratch(core, pipe_put_renewed(&core->server->scratch, renewed));
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

	if (!rate_limit_allows(limit, monotonic_ms()))
		return;
	limit->n_suppressed = 0;
	report.n_before = suppressed > UINT32_MAX ? UINT32_MAX : (uint32_t)suppressed;
	send_scratch(core, pipe_put_refused(&core->server->scratch, &report));
}

size_t core_link_held_bytes(const struct core_link *core)
{
	return core->in.cap + core->out.cap + core->file.cap;
}

/* ---- life ---- */

enum rc core_link_open(struct server *server, int pipe_fd, struct core_link **ret)
{
	struct core_link *core = calloc(1, sizeof *core);
	if (core == NULL)
		return RC_NOMEM;
	core->server = server;
	buffer_init(&core->in);
	buffer_init(&core->out);
	buffer_init(&core->file);
	evutil_make_socket_nonblocking(pipe_fd);
	core->readable = event_new(server->base, pipe_fd, EV_READ | EV_PERSIST, on_readable, core);
	core->writable = event_new(server->base, pipe_fd, EV_WRITE, on_writable, core);
	if (core->readable == NULL || core->writable == NULL || event_add(core->readable, NULL) != 0) {
		core_link_close(core);
		return RC_NOMEM;
	}
	*ret = core;
	return RC_OK;
}

void core_link_close(struct core_link *core)
{
	if (core == NULL)
		return;
	if (core->readable != NULL)
		event_free(core->readable);
	if (core->writable != NULL)
		event_free(core->writable);
	buffer_deinit(&core->in);
	buffer_deinit(&core->out);
	buffer_deinit(&core->file);
	free(core);
}
