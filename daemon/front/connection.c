/* Client connections: see connection.h. Every phase has a deadline, so that no client, however slow, stays for ever; a
 * connection that is turned away to make room is the one that has proved least: first those still shaking hands, then
 * those that wait between requests. */
#include "daemon/front/connection.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/bufferevent_struct.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/front/core_link.h"
#include "daemon/front/server.h"
#include "daemon/front/session.h"

enum { LINGER_MS = 2000, LINGER_MAX_BYTES = 16 << 20 };

/* ---- the end of a connection ---- */

/* The socket stays: it lingers, or is closed with the connection. */
static void release_stream(struct connection *c)
{
	if (c->bev != NULL) {
		bufferevent_disable(c->bev, EV_READ | EV_WRITE);
		bufferevent_free(c->bev);
		SSL_free(c->ssl);
	}
	c->bev = NULL;
	c->ssl = NULL;
}

void connection_free(struct connection *c)
{
	struct server *server = c->server;

	session_abandon(c);
	release_stream(c);
	if (c->linger != NULL)
		event_free(c->linger);
	close(c->fd);
	event_free(c->timer);
	http_parser_free(c->parser);
	TAILQ_REMOVE(&server->connections, c, link);
	server->n_connections--;
	free(c);
	server_connection_gone(server);
}

static void on_linger(evutil_socket_t fd, short what, void *ctx)
{
	struct connection *c = ctx;
	char waste[16384];
	ssize_t n = recv(fd, waste, sizeof waste, MSG_DONTWAIT);

	if (n > 0) {
		c->moved += (uint64_t)n;
		if (c->moved < LINGER_MAX_BYTES)
			return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	connection_free(c);
}

/* Shut our side and wait a moment for the client's end. Closing at once while bytes are unread would reset the
 * connection and could take our last answer, or the TLS alert, with it. */
static void begin_linger(struct connection *c)
{
	session_abandon(c);
	release_stream(c);
	shutdown(c->fd, SHUT_WR);
	c->linger = event_new(c->server->base, c->fd, EV_READ | EV_PERSIST, on_linger, c);
	bool lingers = c->linger != NULL && event_add(c->linger, NULL) == 0;
	c->phase = PHASE_LINGER;
	c->moved = 0;
	/* Where lingering is impossible the end comes in the next turn; callers may still hold `c` in this one. */
	connection_set_timer(c, lingers ? LINGER_MS : 0);
}

static void close_stream(struct connection *c)
{
	ERR_clear_error();
	(void)SSL_shutdown(c->ssl); /* close_notify; we do not wait for theirs */
	begin_linger(c);
}

void connection_finish(struct connection *c)
{
	c->phase = PHASE_CLOSING;
	bufferevent_disable(c->bev, EV_READ);
	connection_set_timer(c, (int64_t)c->server->conf->header_timeout_s * 1000);
	if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
		close_stream(c);
}

/* ---- the handshake ---- */

static const char *handshake_failure(struct connection *c)
{
	long verify = SSL_get_verify_result(c->ssl);
	unsigned long err = bufferevent_get_openssl_error(c->bev);

	if (err != 0 && ERR_GET_REASON(err) == SSL_R_CERTIFICATE_VERIFY_FAILED && verify != X509_V_OK)
		return X509_verify_cert_error_string(verify);
	const char *reason = err ? ERR_reason_error_string(err) : NULL;
	return reason ? reason : "the client went away";
}

static void on_handshake_failed(struct connection *c)
{
	struct server *server = c->server;

	server->count.tls_failures++;
	if (c->turned_away.is_ours) {
		struct pipe_refused refused = {.reason = RC_UNAUTHENTIC, .request_type = REQUEST_TYPE_COUNT};
		memcpy(refused.who.fingerprint, c->turned_away.fingerprint, sizeof refused.who.fingerprint);
		core_link_refused(server->core, &refused);
	}
	if (rate_limit_allows(&server->tls_log, monotonic_ms()))
		log_info("tls failed: %s (%llu so far)", handshake_failure(c),
			 (unsigned long long)server->count.tls_failures);
	/* OpenSSL has sent its alert; leave it time to arrive. */
	begin_linger(c);
}

static bool is_same_client(const struct connection *a, const struct connection *b)
{
	const struct identity *x = &a->grant.who, *y = &b->grant.who;

	if (x->client[0] != '\0' || y->client[0] != '\0')
		return strcmp(x->client, y->client) == 0;
	return memcmp(x->fingerprint, y->fingerprint, sizeof x->fingerprint) == 0;
}

static uint32_t count_of_client(const struct connection *c)
{
	const struct connection *other;
	uint32_t n = 0;

	TAILQ_FOREACH(other, &c->server->connections, link)
	if (other->phase != PHASE_HANDSHAKE && other->phase != PHASE_LINGER && is_same_client(other, c))
		n++;
	return n;
}

/* What its certificate and the access file say of it. */
static void judge(struct connection *c)
{
	struct server *server = c->server;
	struct diag diag = {""};

	c->standing = tls_peer_grant(c->ssl, server->access, &c->grant, &c->not_after, &diag);
	if (c->standing != RC_OK && c->standing != RC_UNAUTHENTIC &&
	    rate_limit_allows(&server->tls_log, monotonic_ms()))
		log_info("certificate without use here: %s", diag.text);
}

static void on_connected(struct connection *c)
{
	struct server *server = c->server;

	judge(c);
	if (c->standing == RC_UNAUTHENTIC || !tls_peer_is_accepted(server->tls, c->ssl)) {
		/* The handshake has seen to this already, but for what was renewed meanwhile. */
		server->count.tls_failures++;
		close_stream(c);
		return;
	}
	uint32_t n = count_of_client(c);
	if (n >= 2 * server->conf->max_connections_per_client) {
		server->count.overloads++;
		close_stream(c);
		return;
	}
	if (c->standing == RC_OK && n >= server->conf->max_connections_per_client)
		c->standing = RC_RATE;
	session_await_request(c);
}

/* ---- callbacks of the loop ---- */

static void on_readable(struct bufferevent *bev, void *ctx)
{
	struct connection *c = ctx;

	if (c->phase == PHASE_HEAD || c->phase == PHASE_BODY)
		session_read(c);
	else if (c->phase == PHASE_ANSWER)
		session_read_ahead(c);
}

static void on_written(struct bufferevent *bev, void *ctx)
{
	struct connection *c = ctx;

	if (c->phase == PHASE_CLOSING)
		close_stream(c);
	else if (c->phase == PHASE_ANSWER)
		session_drained(c);
}

static void on_event(struct bufferevent *bev, short what, void *ctx)
{
	struct connection *c = ctx;

	if (what & BEV_EVENT_CONNECTED)
		on_connected(c);
	else if (c->phase == PHASE_HANDSHAKE)
		on_handshake_failed(c);
	else if ((what & BEV_EVENT_EOF) && c->phase != PHASE_CLOSING)
		close_stream(c); /* the client's close_notify is answered with ours */
	else
		connection_free(c);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct connection *c = ctx;

	if (c->has_no_deadline) {
		connection_free(c);
		return;
	}
	switch (c->phase) {
	case PHASE_HEAD:
	case PHASE_BODY:
	case PHASE_ANSWER:
		session_timeout(c);
		break;
	case PHASE_LINGER:
		connection_free(c);
		break;
	default:
		c->server->count.timeouts++;
		connection_free(c);
	}
}

/* The event is one that libevent has added for what is queued; run in this turn, it writes and takes itself back before
 * epoll has heard of it. */
void connection_flush(struct connection *c)
{
	if (evbuffer_get_length(bufferevent_get_output(c->bev)) > 0)
		event_active(&c->bev->ev_write, EV_WRITE, 0);
}

void connection_set_timer(struct connection *c, int64_t ms)
{
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	/* Nobody stays without a deadline: where there is no memory for one, the end comes in this turn. Not at once,
	 * since callers still hold `c`. */
	if (evtimer_add(c->timer, &tv) != 0) {
		c->has_no_deadline = true;
		event_active(c->timer, EV_TIMEOUT, 0);
	}
}

/* ---- a new connection ---- */

/* When all places are taken: free the one that has proved least, if any may go. */
static bool make_room(struct server *server)
{
	struct connection *c, *idle = NULL;

	TAILQ_FOREACH(c, &server->connections, link)
	{
		if (c->phase == PHASE_HANDSHAKE || c->phase == PHASE_LINGER) {
			idle = c;
			break;
		}
		if (idle == NULL && c->phase == PHASE_HEAD)
			idle = c;
	}
	server->count.overloads++;
	if (idle == NULL)
		return false;
	connection_free(idle);
	return true;
}

static struct connection *connection_new(struct server *server, evutil_socket_t fd)
{
	struct connection *c = calloc(1, sizeof *c);
	if (c == NULL)
		return NULL;
	c->server = server;
	c->fd = fd;
	c->timer = evtimer_new(server->base, on_timer, c);
	c->ssl = tls_session_new(server->tls, &c->turned_away);
	if (c->timer == NULL || c->ssl == NULL || http_parser_new(&c->parser) != RC_OK)
		goto fail;
	c->bev = bufferevent_openssl_socket_new(server->base, fd, c->ssl, BUFFEREVENT_SSL_ACCEPTING,
						BEV_OPT_DEFER_CALLBACKS);
	if (c->bev == NULL)
		goto fail;
	return c;
fail:
	http_parser_free(c->parser);
	SSL_free(c->ssl);
	if (c->timer != NULL)
		event_free(c->timer);
	free(c);
	return NULL;
}

void connection_accept(struct server *server, evutil_socket_t fd)
{
	if (server->stopping || (server->n_connections >= server->conf->max_connections && !make_room(server))) {
		close(fd);
		return;
	}
	struct connection *c = connection_new(server, fd);
	if (c == NULL) {
		close(fd);
		return;
	}
	TAILQ_INSERT_TAIL(&server->connections, c, link);
	server->n_connections++;
	server->count.accepted++;
	bufferevent_setcb(c->bev, on_readable, on_written, on_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	connection_set_timer(c, (int64_t)server->conf->header_timeout_s * 1000);
}

/* ---- all connections ---- */

/* Ids are handed out one by one, so that their low bits spread them evenly. */
static struct request_bucket *bucket_of(struct server *server, uint64_t request_id)
{
	return &server->requests[request_id % N_REQUEST_BUCKETS];
}

struct connection *connection_find(struct server *server, uint64_t request_id)
{
	struct connection *c;

	LIST_FOREACH(c, bucket_of(server, request_id), by_request)
	{
		if (c->now.id == request_id)
			return c;
	}
	return NULL;
}

void connection_set_request(struct connection *c, uint64_t request_id)
{
	if (c->now.id != 0)
		LIST_REMOVE(c, by_request);
	c->now.id = request_id;
	if (request_id != 0)
		LIST_INSERT_HEAD(bucket_of(c->server, request_id), c, by_request);
}

/* The next one is fetched before `c` may go; freeing one connection frees no other. */
#define FOREACH_CONNECTION(c, next, server)                                                                            \
	for (c = TAILQ_FIRST(&(server)->connections); c != NULL && (next = TAILQ_NEXT(c, link), true); c = next)

unsigned connections_verify_anew(struct server *server)
{
	struct connection *c, *next;
	unsigned n = 0;

	FOREACH_CONNECTION(c, next, server)
	if (c->ssl != NULL && c->phase != PHASE_HANDSHAKE && !tls_peer_is_accepted(server->tls, c->ssl)) {
		connection_free(c);
		n++;
	}
	return n;
}

unsigned connections_reconsider(struct server *server)
{
	struct connection *c, *next;
	unsigned n = 0;

	FOREACH_CONNECTION(c, next, server)
	{
		if (c->ssl == NULL || c->phase == PHASE_HANDSHAKE)
			continue;
		bool was_one_too_many = c->standing == RC_RATE;
		judge(c);
		if (c->standing == RC_OK && was_one_too_many)
			c->standing = RC_RATE;
		/* Between two requests it hears why at the next one, and that is logged. */
		if (c->standing != RC_OK && (c->phase == PHASE_BODY || c->phase == PHASE_ANSWER)) {
			connection_free(c);
			n++;
		}
	}
	return n;
}

void connections_drain(struct server *server)
{
	struct connection *c, *next;

	FOREACH_CONNECTION(c, next, server)
	{
		if (c->phase == PHASE_HANDSHAKE)
			connection_free(c);
		else if (c->phase == PHASE_HEAD)
			connection_finish(c);
	}
}

void connections_free_all(struct server *server)
{
	while (!TAILQ_EMPTY(&server->connections))
		connection_free(TAILQ_FIRST(&server->connections));
}
