/* One client connection: TLS life cycle, deadlines, caps, an orderly end. What is said over it is session.h. */
#ifndef DAEMON_FRONT_CONNECTION_H
#define DAEMON_FRONT_CONNECTION_H

#include <event2/bufferevent.h>
#include <event2/util.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

#include "daemon/base/pipe.h"
#include "daemon/front/http_parser.h"
#include "daemon/front/tls.h"
#include "proto/access.h"
#include "proto/rc.h"
#include "proto/route.h"

struct server;

enum phase {
	PHASE_HANDSHAKE,
	PHASE_HEAD,    /* between requests, or inside a head */
	PHASE_BODY,    /* receiving a body and passing it on */
	PHASE_ANSWER,  /* waiting for the core's answer, or for the client to take it */
	PHASE_CLOSING, /* the last answer is on its way; nothing more is read */
	PHASE_LINGER,  /* our side is shut; what still comes is thrown away */
};

/* The request that is being worked on. */
struct exchange {
	uint64_t id; /* in the pipe; 0 = the core does not know of it, or is done with it */
	const struct route *route;
	bool is_head, keep_alive, body_ended, reply_begun, reply_complete;
	uint64_t credit; /* body bytes that the core will still take */
	uint64_t body_bytes;
	uint64_t reserved;       /* of server->inflight_bytes */
	uint64_t reply_left;     /* body bytes that the core still has to send */
	uint64_t reply_reserved; /* of server->reply_bytes */
	unsigned retry_after_s;  /* of a refusal that knows; 0 = the usual */
};

struct connection {
	struct server *server;
	TAILQ_ENTRY(connection) link;
	LIST_ENTRY(connection) by_request; /* while now.id is not 0 */
	evutil_socket_t fd;      /* open as long as the connection lives */
	SSL *ssl;                /* NULL while lingering, as the next */
	struct bufferevent *bev;
	struct event *linger;
	struct event *timer;
	enum phase phase;
	bool has_no_deadline; /* for want of memory: it ends */
	struct tls_turned_away turned_away;
	/* who it is, once the handshake is done */
	struct access_grant grant;
	enum rc standing; /* RC_OK, or why every request is refused */
	time_t not_after;
	struct http_parser *parser;
	struct exchange now;
	/* progress since the timer was set, where a minimum pace holds */
	uint64_t moved, moved_at_timer;
	bool was_paused;
};

/* Take a new socket. */
void connection_accept(struct server *server, evutil_socket_t fd);
/* Set now.id; 0 = the core has nothing more to say about it. */
void connection_set_request(struct connection *c, uint64_t request_id);
/* The connection that waits for this request, or NULL. */
struct connection *connection_find(struct server *server, uint64_t request_id);
/* Authorities or revocation lists are other ones: end those whom a handshake would refuse now; returns how many. */
unsigned connections_verify_anew(struct server *server);
/* The access file is another one: judge everybody anew. Those in the middle of a request that may now make none are ended;
 * returns how many. Before it returns, nothing of the file before may be freed. */
unsigned connections_reconsider(struct server *server);
/* The server stops: end idle connections, let others finish. */
void connections_drain(struct server *server);
void connections_free_all(struct server *server);

/* Begin to send what is queued in this turn of the loop, without waiting for the socket to be ready. */
void connection_flush(struct connection *c);
/* Ring after `ms`; replaces what was set before. */
void connection_set_timer(struct connection *c, int64_t ms);
/* Send what is queued, then close_notify, then wait a moment for the client to read it. */
void connection_finish(struct connection *c);
/* At once, without ceremony. */
void connection_free(struct connection *c);

#endif
