/* Requests and answers: see session.h. A request is checked in the order certificate, route, role, origin, content,
 * quota; only then does the core hear of it and only then is its body read. Every answer that leaves a body unread, and
 * every doubt about framing, closes the connection. */
#include "daemon/front/session.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/front/connection.h"
#include "daemon/front/core_link.h"
#include "daemon/front/http_reply.h"
#include "daemon/front/server.h"

enum {
	ANSWER_LIMIT_S = 300,         /* for the core to answer */
	READ_AHEAD_BYTES = 16 * 1024, /* of requests that wait behind the present one */
	RECORD_BYTES = 16 * 1024,     /* of TLS */
};

/* ---- answers ---- */

static void send_bytes(struct connection *c, const void *data, size_t len)
{
	/* Without memory the answer is cut short, which TLS and Content-Length both show to the client. */
	if (bufferevent_write(c->bev, data, len) != 0)
		c->now.keep_alive = false;
	c->moved += len;
}

static void release_reservations(struct connection *c)
{
	c->server->inflight_bytes -= c->now.reserved;
	c->server->reply_bytes -= c->now.reply_reserved;
	c->now.reserved = c->now.reply_reserved = 0;
}

void session_abandon(struct connection *c)
{
	if (c->now.id != 0)
		core_link_cancel(c->server->core, c->now.id);
	connection_set_request(c, 0);
	release_reservations(c);
}

/* Begin to answer: nothing more is understood until the answer has gone out. After a whole request the socket is still
 * read, up to a bound, since that is how we hear that the client has gone. */
static void begin_answer(struct connection *c)
{
	c->phase = PHASE_ANSWER;
	if (c->now.body_ended)
		bufferevent_enable(c->bev, EV_READ);
	else
		bufferevent_disable(c->bev, EV_READ);
	c->was_paused = true;
	connection_set_timer(c, (int64_t)c->server->conf->header_timeout_s * 1000);
}

/* The whole answer is queued: it goes out in this turn; or nothing of it is left, be it that there was no memory. */
static void finish_answer(struct connection *c)
{
	c->now.reply_complete = true;
	if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
		session_drained(c);
	else
		connection_flush(c);
}

static void answer_problem(struct connection *c, enum rc rc, const char *detail, const char *allow)
{
	struct buffer *out = &c->server->scratch;
	struct http_reply_options options = {
		.now = time(NULL),
		.keep_alive = c->now.keep_alive && !c->server->stopping,
		.without_body = c->now.is_head,
		.allow = allow,
		.retry_after_s = c->now.retry_after_s,
	};

	session_abandon(c);
	begin_answer(c);
	c->now.keep_alive = options.keep_alive;
	c->now.reply_begun = true;
	http_reply_problem(out, rc, detail, &options);
	send_bytes(c, out->data, out->len);
	buffer_reset(out);
	finish_answer(c);
}

/* Answer and close: the rest of what the client sends cannot be or need not be understood. */
static void answer_and_close(struct connection *c, enum rc rc, const char *detail)
{
	c->now.keep_alive = false;
	answer_problem(c, rc, detail, NULL);
}

static void report_refusal(struct connection *c, enum rc reason, unsigned request_type)
{
	struct pipe_refused refused = {reason, c->grant.who, (uint8_t)request_type, 0};

	c->server->count.refused++;
	core_link_refused(c->server->core, &refused);
}

void session_await_request(struct connection *c)
{
	const struct conf *conf = c->server->conf;
	bool first = c->phase == PHASE_HANDSHAKE;

	memset(&c->now, 0, sizeof c->now);
	c->phase = PHASE_HEAD;
	c->was_paused = false;
	bufferevent_enable(c->bev, EV_READ);
	/* A client that has just shaken hands has something to say. */
	connection_set_timer(c, (int64_t)(first ? conf->header_timeout_s : conf->idle_timeout_s) * 1000);
}

void session_drained(struct connection *c)
{
	if (!c->now.reply_complete)
		return;
	release_reservations(c);
	if (!c->now.keep_alive || c->server->stopping) {
		connection_finish(c);
		return;
	}
	session_await_request(c);
	session_read(c); /* what was pipelined */
}

/* ---- checks before the body ---- */

/* The methods a path takes, for the Allow field. */
static const char *allowed_methods(const char *path)
{
	enum request_type type;
	char argument[ROUTE_ARGUMENT_CAP];

	bool get = route_match("GET", path, &type, argument) == RC_OK;
	bool post = route_match("POST", path, &type, argument) == RC_OK;
	return get && post ? "GET, POST" : post ? "POST" : "GET";
}

static enum rc check_body(const struct route *route, const struct http_head *head, const struct conf *conf,
			  const char **ret_detail)
{
	if (!route->has_body) {
		*ret_detail = "this route takes no body";
		return head->content_length != 0 ? RC_INVALID : RC_OK;
	}
	*ret_detail = "Content-Type application/json or application/x-protobuf, Content-Encoding gzip, deflate or none";
	if (head->content_rc != RC_OK || head->content == CONTENT_NONE)
		return RC_MEDIA_TYPE;
	*ret_detail = NULL;
	return head->content_length > 0 && (uint64_t)head->content_length > conf->max_body_bytes ? RC_TOO_LARGE : RC_OK;
}

static bool certificate_has_expired(const struct connection *c)
{
	return time(NULL) > c->not_after;
}

static enum rc check_rate(struct connection *c)
{
	const struct access_grant *grant = &c->grant;

	if (grant->requests_per_minute == 0)
		return RC_OK;
	enum rc rc = rates_take(c->server->rates, grant->who.fingerprint, grant->requests_per_minute, monotonic_ms(),
				&c->now.retry_after_s);
	if (rc == RC_RATE)
		report_refusal(c, rc, REQUEST_TYPE_COUNT);
	return rc;
}

/* May this client ask for this at all? */
static enum rc check_access(struct connection *c, const struct http_head *head, const char *argument,
			    const char **ret_detail)
{
	const struct route *route = c->now.route;

	*ret_detail = "the certificate has no role for this route";
	if ((route->roles & c->grant.who.roles) == 0)
		return RC_FORBIDDEN;
	*ret_detail = "the request comes from a page of another origin";
	if (route->has_body && head->foreign_origin)
		return RC_FORBIDDEN;
	*ret_detail = "the certificate may not read this table";
	if (route->type == REQUEST_TABLE && !access_allows_table(&c->grant, argument))
		return RC_FORBIDDEN;
	*ret_detail = NULL;
	return RC_OK;
}

/* Everything that can be said about a request from its head. Fills in route and argument. */
static enum rc check_request(struct connection *c, const struct http_head *head, struct pipe_request *request,
			     const char **ret_detail)
{
	struct server *server = c->server;
	enum request_type type;

	*ret_detail = NULL;
	if (c->standing != RC_OK) {
		report_refusal(c, c->standing, REQUEST_TYPE_COUNT);
		return c->standing;
	}
	enum rc rc = check_rate(c);
	if (rc != RC_OK)
		return rc;
	rc = route_match(head->method, head->path, &type, request->argument);
	if (rc != RC_OK)
		return rc;
	c->now.route = route_get(type);
	rc = check_access(c, head, request->argument, ret_detail);
	if (rc != RC_OK) {
		report_refusal(c, rc, type);
		return rc;
	}
	rc = check_body(c->now.route, head, server->conf, ret_detail);
	if (rc != RC_OK)
		return rc;
	if (server->stopping)
		return RC_STOPPING;
	uint64_t wanted = head->content_length > 0 ? (uint64_t)head->content_length : 0;
	if (wanted > server->conf->max_inflight_bytes - server->inflight_bytes ||
	    server->reply_bytes > server->conf->max_inflight_bytes) {
		server->count.overloads++;
		return RC_BUSY;
	}
	c->now.reserved = wanted;
	server->inflight_bytes += wanted;
	request->type = type;
	return RC_OK;
}

static void begin_body(struct connection *c, const struct http_head *head)
{
	struct buffer *out = &c->server->scratch;

	c->phase = PHASE_BODY;
	c->now.credit = PIPE_INITIAL_CREDIT;
	if (head->expect_continue) {
		http_reply_continue(out);
		send_bytes(c, out->data, out->len);
		buffer_reset(out);
	}
	c->moved = c->moved_at_timer = 0;
	c->was_paused = false;
	connection_set_timer(c, (int64_t)c->server->conf->header_timeout_s * 1000);
}

static void on_head(struct connection *c)
{
	const struct http_head *head = http_parser_head(c->parser);
	struct pipe_request request = {.who = c->grant.who};
	const char *detail;

	c->server->count.requests++;
	if (certificate_has_expired(c) || !tls_peer_is_accepted(c->server->tls, c->ssl)) {
		connection_finish(c);
		return;
	}
	/* HEAD has no route; where a client expects a body nonetheless, the end of the connection sets it right. */
	c->now.is_head = strcmp(head->method, "HEAD") == 0;
	c->now.keep_alive = head->keep_alive && !c->now.is_head;
	enum rc rc = check_request(c, head, &request, &detail);
	if (rc != RC_OK) {
		if (head->content_length != 0 || c->standing != RC_OK)
			c->now.keep_alive = false;
		answer_problem(c, rc, detail, rc == RC_METHOD ? allowed_methods(head->path) : NULL);
		return;
	}
	strcpy(request.query, head->query);
	request.accept = head->accept;
	request.content = head->content;
	request.encoding = head->encoding;
	request.content_length = head->content_length;
	connection_set_request(c, core_link_request(c->server->core, &request));
	begin_body(c, head);
}

/* ---- the body ---- */

static enum rc count_body(struct connection *c, size_t len)
{
	struct server *server = c->server;

	c->now.body_bytes += len;
	if (c->now.body_bytes > server->conf->max_body_bytes)
		return RC_TOO_LARGE;
	if (c->now.body_bytes > c->now.reserved) {
		uint64_t more = c->now.body_bytes - c->now.reserved;
		if (more > server->conf->max_inflight_bytes - server->inflight_bytes) {
			server->count.overloads++;
			return RC_BUSY;
		}
		c->now.reserved += more;
		server->inflight_bytes += more;
	}
	return RC_OK;
}

/* The body is complete; the rest is up to the core. */
static void on_request_end(struct connection *c)
{
	if (c->now.route->has_body)
		core_link_body_end(c->server->core, c->now.id);
	c->now.body_ended = true;
	begin_answer(c);
	connection_set_timer(c, (int64_t)ANSWER_LIMIT_S * 1000);
}

/* Body bytes of one turn, put together so that tiny chunks do not become tiny messages. */
struct gather {
	uint8_t bytes[16 * 1024];
	size_t n;
};

static void gather_flush(struct connection *c, struct gather *g)
{
	if (g->n > 0 && c->now.id != 0)
		core_link_body(c->server->core, c->now.id, g->bytes, g->n);
	g->n = 0;
}

static void gather_add(struct connection *c, struct gather *g, const uint8_t *data, size_t len)
{
	if (len > sizeof g->bytes - g->n)
		gather_flush(c, g);
	if (len > sizeof g->bytes) {
		core_link_body(c->server->core, c->now.id, data, len);
		return;
	}
	memcpy(g->bytes + g->n, data, len);
	g->n += len;
}

static void on_body(struct connection *c, struct gather *g, const uint8_t *data, size_t len)
{
	enum rc rc = count_body(c, len);

	if (rc != RC_OK) {
		answer_and_close(c, rc, rc == RC_TOO_LARGE ? "the body is larger than max_body_bytes" : NULL);
		return;
	}
	c->now.credit -= len;
	gather_add(c, g, data, len);
}

/* ---- reading ---- */

/* One event of the parser. Returns false when there is nothing more to do now. */
static bool read_step(struct connection *c, struct gather *g)
{
	struct evbuffer *input = bufferevent_get_input(c->bev);
	struct evbuffer_iovec extent = {NULL, 0};
	struct http_event event;

	(void)evbuffer_peek(input, -1, NULL, &extent, 1);
	size_t len = extent.iov_len;
	if (c->phase == PHASE_BODY && len > c->now.credit)
		len = (size_t)c->now.credit;
	bool was_in_head = http_parser_in_head(c->parser);
	enum rc rc = http_parser_next(c->parser, extent.iov_base, len, &event);
	if (rc != RC_OK) {
		gather_flush(c, g);
		answer_and_close(c, rc, "the request is not in the strict form of HTTP/1.1 that is spoken here");
		return false;
	}
	switch (event.kind) {
	case HTTP_EVENT_MORE:
		break;
	case HTTP_EVENT_HEAD:
		on_head(c);
		break;
	case HTTP_EVENT_BODY:
		c->moved += event.len;
		on_body(c, g, event.data, event.len);
		break;
	case HTTP_EVENT_END:
		gather_flush(c, g);
		if (c->phase == PHASE_BODY)
			on_request_end(c);
		break;
	}
	if (c->bev == NULL)
		return false;
	evbuffer_drain(input, event.used);
	/* The deadline of a head runs from its first byte, however it trickles. */
	if (c->phase == PHASE_HEAD && !was_in_head && http_parser_in_head(c->parser))
		connection_set_timer(c, (int64_t)c->server->conf->header_timeout_s * 1000);
	return event.kind != HTTP_EVENT_MORE;
}

void session_read_ahead(struct connection *c)
{
	if (evbuffer_get_length(bufferevent_get_input(c->bev)) > READ_AHEAD_BYTES)
		bufferevent_disable(c->bev, EV_READ);
}

void session_read(struct connection *c)
{
	struct gather g;

	g.n = 0;
	while ((c->phase == PHASE_HEAD || c->phase == PHASE_BODY) && read_step(c, &g))
		;
	gather_flush(c, &g);
	if (c->phase == PHASE_BODY && c->now.credit == 0) {
		bufferevent_disable(c->bev, EV_READ);
		c->was_paused = true;
	}
}

/* ---- from the core ---- */

enum rc session_on_credit(struct connection *c, uint32_t n_bytes)
{
	if (c->now.reply_begun || c->now.body_ended)
		return RC_OK; /* granted before the core knew */
	if (c->now.credit + n_bytes > PIPE_MAX_CREDIT)
		return RC_MALFORMED;
	c->now.credit += n_bytes;
	bufferevent_enable(c->bev, EV_READ);
	session_read(c);
	return RC_OK;
}

enum rc session_on_reply(struct connection *c, const struct pipe_reply *reply)
{
	struct server *server = c->server;
	struct buffer *out = &server->scratch;

	if (c->now.reply_begun)
		return RC_MALFORMED;
	if (!c->now.body_ended)
		c->now.keep_alive = false; /* the rest of the body stays unread */
	if (server->stopping)
		c->now.keep_alive = false;
	begin_answer(c);
	c->now.reply_begun = true;
	c->now.reply_left = reply->length;
	c->now.reply_reserved = reply->length;
	server->reply_bytes += reply->length;
	struct http_reply_options options = {.now = time(NULL), .keep_alive = c->now.keep_alive};
	http_reply_head(out, reply, &options);
	/* In one piece with its body, as far as that fits a record: a record each costs a write each. Without memory
	 * for it there are two. */
	(void)evbuffer_expand(bufferevent_get_output(c->bev),
			      out->len + (size_t)(reply->length < RECORD_BYTES ? reply->length : RECORD_BYTES));
	send_bytes(c, out->data, out->len);
	buffer_reset(out);
	return RC_OK;
}

enum rc session_on_reply_body(struct connection *c, const uint8_t *data, size_t len)
{
	if (!c->now.reply_begun || len > c->now.reply_left)
		return RC_MALFORMED;
	c->now.reply_left -= len;
	send_bytes(c, data, len);
	return RC_OK;
}

enum rc session_on_reply_end(struct connection *c)
{
	if (!c->now.reply_begun || c->now.reply_left != 0)
		return RC_MALFORMED;
	connection_set_request(c, 0);
	finish_answer(c);
	return RC_OK;
}

/* ---- deadlines ---- */

/* Has this client kept the minimum pace since the timer was set? */
static bool keeps_pace(struct connection *c, uint64_t moved)
{
	const struct conf *conf = c->server->conf;
	uint64_t needed = (uint64_t)conf->min_body_bytes_per_s * conf->header_timeout_s;
	bool fast_enough = c->was_paused || moved - c->moved_at_timer >= needed;

	c->moved_at_timer = moved;
	c->was_paused = false;
	return fast_enough;
}

static void answer_timeout(struct connection *c)
{
	/* What was queued and has gone to the client, not what was queued. */
	size_t pending = evbuffer_get_length(bufferevent_get_output(c->bev));

	if (!c->now.reply_begun) {
		log_error("the core has not answered a request for %d s", (int)ANSWER_LIMIT_S);
		answer_and_close(c, RC_BUSY, NULL);
		return;
	}
	if (pending > 0 && !keeps_pace(c, c->moved - pending)) {
		c->server->count.timeouts++;
		connection_free(c);
		return;
	}
	connection_set_timer(c, (int64_t)c->server->conf->header_timeout_s * 1000);
}

void session_timeout(struct connection *c)
{
	switch (c->phase) {
	case PHASE_HEAD:
		c->server->count.timeouts++;
		if (http_parser_in_head(c->parser))
			answer_and_close(c, RC_TIMEOUT, "the head of the request took too long");
		else
			connection_finish(c);
		break;
	case PHASE_BODY:
		if (c->now.credit > 0 && !keeps_pace(c, c->moved)) {
			c->server->count.timeouts++;
			answer_and_close(c, RC_TIMEOUT, "the body came too slowly");
			break;
		}
		connection_set_timer(c, (int64_t)c->server->conf->header_timeout_s * 1000);
		break;
	default:
		answer_timeout(c);
	}
}
