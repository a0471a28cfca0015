/* What the modules of the front share: one process, one thread, one loop. Only the files of this folder include it. */
#ifndef DAEMON_FRONT_SERVER_H
#define DAEMON_FRONT_SERVER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/base/conf.h"
#include "daemon/base/monotonic.h"
#include "daemon/base/pipe.h"
#include "daemon/front/rates.h"
#include "daemon/front/tls.h"
#include "proto/access.h"
#include "proto/bytes.h"

struct connection;
struct core_link;
struct listener;
TAILQ_HEAD(connection_list, connection);
LIST_HEAD(request_bucket, connection);
enum { N_REQUEST_BUCKETS = 1024 };

/* At most `per_s` a second, in bursts of as many: for log lines and reports that a stranger can cause. */
struct rate_limit {
	unsigned per_s, used;
	int64_t second;
	uint64_t n_suppressed;
};
bool rate_limit_allows(struct rate_limit *limit, int64_t now_ms);

struct server {
	const struct conf *conf;
	struct event_base *base;
	struct tls *tls;
	struct access *access; /* NULL = no access file */
	struct rates *rates;
	struct listener *listener;
	struct core_link *core;
	struct connection_list connections;                /* oldest first */
	struct request_bucket requests[N_REQUEST_BUCKETS]; /* connections by the id of their request */
	uint32_t n_connections;
	uint64_t inflight_bytes; /* request bodies announced or received, not yet answered */
	uint64_t reply_bytes;    /* answers that clients have not taken yet */
	bool stopping;
	int exit_status;
	struct event *drain_timer;
	int pair_fd; /* of the reader of the server's certificate and key; -1 = it has ended */
	struct event *pair_event, *pair_timer;
	struct rate_limit tls_log, refused_report;
	struct {
		uint64_t accepted, requests, refused, tls_failures, timeouts, overloads;
	} count;
	struct buffer scratch; /* for one message or head at a time */
};

/* Stop accepting, let running requests finish, then end the loop. */
void server_stop(struct server *server);
/* End the loop now: the core has gone, or does not keep to the protocol. */
void server_abort(struct server *server, enum rc rc);
/* Have the server's certificate and key read again. */
void server_ask_pair(struct server *server);
/* A connection has gone: ends the loop when it was the last one of a stopping server. */
void server_connection_gone(struct server *server);

#endif
