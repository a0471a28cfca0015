/* The front process: see front.h. Everything that needs a file or a privilege happens in front_open(), before the first
 * stranger's byte is read; what follows is one loop on one thread. */
#include "daemon/front/front.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#ifdef TC_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "daemon/base/confine.h"
#include "daemon/base/log.h"
#include "daemon/front/connection.h"
#include "daemon/front/core_link.h"
#include "daemon/front/listener.h"
#include "daemon/front/pair_reader.h"
#include "daemon/front/server.h"
#include "daemon/front/tls.h"

enum { DRAIN_S = 20, LOG_LINES_PER_S = 10, REPORTS_PER_S = 20, SPARE_DESCRIPTORS = 64 };

bool rate_limit_allows(struct rate_limit *limit, int64_t now_ms)
{
	if (limit->second != now_ms / 1000) {
		limit->second = now_ms / 1000;
		limit->used = 0;
	}
	if (limit->used >= limit->per_s) {
		limit->n_suppressed++;
		return false;
	}
	limit->used++;
	return true;
}

static void tell_systemd(const char *state)
{
#ifdef TC_HAVE_SYSTEMD
	(void)sd_notify(0, state);
#endif
}

/* ---- the end ---- */

static void on_drained(evutil_socket_t fd, short what, void *ctx)
{
	struct server *server = ctx;

	log_warning("%u connections did not finish in time", server->n_connections);
	event_base_loopbreak(server->base);
}

void server_connection_gone(struct server *server)
{
	if (server->stopping && server->n_connections == 0)
		event_base_loopbreak(server->base);
}

void server_stop(struct server *server)
{
	static const struct timeval limit = {DRAIN_S, 0};

	if (server->stopping)
		return;
	server->stopping = true;
	tell_systemd("STOPPING=1");
	listener_close(server->listener);
	server->listener = NULL;
	evtimer_add(server->drain_timer, &limit);
	connections_drain(server);
	server_connection_gone(server);
}

void server_abort(struct server *server, enum rc rc)
{
	server->exit_status = rc_exit_code(rc);
	event_base_loopbreak(server->base);
}

static void on_signal(evutil_socket_t signal_number, short what, void *ctx)
{
	server_stop(ctx);
}

/* ---- the server's certificate and key ---- */

static void forget_reader(struct server *server)
{
	if (server->pair_event != NULL)
		event_free(server->pair_event);
	if (server->pair_fd >= 0)
		close(server->pair_fd);
	server->pair_event = NULL;
	server->pair_fd = -1;
}

static void tell_pair(struct server *server, enum renewal_fault fault, const struct server_pair *refused)
{
	struct pipe_renewed renewed = {.file = RENEWAL_PAIR, .fault = fault};

	if (fault == RENEWAL_GOOD)
		tls_server_certificate(server->tls, renewed.digest);
	else if (refused->certificate.len > 0)
		sha256(refused->certificate.data, refused->certificate.len, renewed.digest);
	core_link_renewed(server->core, &renewed);
}

/* What failed for want of memory or descriptors is tried again, though the files stay as they are. */
static void ask_later(struct server *server)
{
	static const struct timeval later = {2, 0};

	evtimer_add(server->pair_timer, &later);
}

static void on_pair_timer(evutil_socket_t fd, short what, void *ctx)
{
	server_ask_pair(ctx);
}

static void on_pair(evutil_socket_t fd, short what, void *ctx)
{
	struct server *server = ctx;
	struct server_pair pair;
	struct diag diag = {""};
	enum renewal_fault fault = RENEWAL_GOOD;

	server_pair_init(&pair);
	enum rc rc = pair_reader_take(fd, &pair, &diag);
	if (rc == RC_STOPPING || rc == RC_MALFORMED) {
		log_error("%s; a new certificate and key need a restart", diag.text);
		forget_reader(server);
		goto out;
	}
	if (rc == RC_OK)
		rc = tls_renew_pair(server->tls, &pair, &fault, &diag);
	else if (rc == RC_CONFIG || rc == RC_KEY)
		fault = RENEWAL_UNREADABLE;
	if (rc == RC_OK)
		log_info("server's certificate and key read again and in use");
	else
		log_error("server's certificate and key not renewed, those before stay: %s",
			  diag.text[0] != '\0' ? diag.text : rc_text(rc));
	if (rc != RC_OK && (fault == RENEWAL_GOOD || fault == RENEWAL_LATER))
		ask_later(server);
	else
		tell_pair(server, fault, &pair);
out:
	server_pair_deinit(&pair);
}

void server_ask_pair(struct server *server)
{
	if (server->pair_fd >= 0 && pair_reader_ask(server->pair_fd) != RC_OK)
		log_warning("the reader of the server's key does not answer");
}

static enum rc open_tls(struct server *server, struct diag *diag)
{
	struct server_pair pair;

	server_pair_init(&pair);
	enum rc rc = pair_reader_start(server->conf, &server->pair_fd, diag);
	if (rc == RC_OK)
		rc = pair_reader_ask(server->pair_fd);
	if (rc == RC_OK)
		rc = pair_reader_take(server->pair_fd, &pair, diag);
	if (rc == RC_STOPPING)
		rc = RC_INTERNAL;
	if (rc == RC_OK)
		rc = tls_open(server->conf, &pair, &server->tls, diag);
	server_pair_deinit(&pair);
	return rc;
}

/* ---- the beginning ---- */

/* Whoever started us waits for this file: it appears complete, or not at all. */
static enum rc write_port_file(const char *path, uint16_t port, struct diag *diag)
{
	char temporary[CONF_PATH_CAP + 8];

	if (path[0] == '\0')
		return RC_OK;
	snprintf(temporary, sizeof temporary, "%s.new", path);
	FILE *f = fopen(temporary, "we");
	if (f == NULL)
		return diag_set(diag, RC_IO, "--port-file %s: %s", path, strerror(errno));
	bool ok = fprintf(f, "%u\n", (unsigned)port) > 0;
	ok = fclose(f) == 0 && ok;
	if (!ok || rename(temporary, path) != 0)
		return diag_set(diag, RC_IO, "--port-file %s: %s", path, strerror(errno));
	return RC_OK;
}

/* Each connection takes a descriptor. */
static void raise_descriptors(const struct conf *conf)
{
	struct rlimit limit;
	rlim_t needed = (rlim_t)conf->max_connections + SPARE_DESCRIPTORS;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
		return;
	if (limit.rlim_max < needed) {
		log_warning("max_connections needs %llu file descriptors, the limit is %llu",
			    (unsigned long long)needed, (unsigned long long)limit.rlim_max);
		needed = limit.rlim_max;
	}
	limit.rlim_cur = needed;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static enum rc make_loop(struct server *server)
{
	struct event_config *config = event_config_new();

	if (config != NULL) {
		/* What is added and removed within a turn is no system call; no descriptor may be a dup() of another.
		 */
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
						      EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
		server->base = event_base_new_with_config(config);
		event_config_free(config);
	}
	if (server->base == NULL)
		return RC_NOMEM;
	server->drain_timer = evtimer_new(server->base, on_drained, server);
	server->pair_timer = evtimer_new(server->base, on_pair_timer, server);
	server->pair_event = event_new(server->base, server->pair_fd, EV_READ | EV_PERSIST, on_pair, server);
	if (server->drain_timer == NULL || server->pair_timer == NULL || server->pair_event == NULL)
		return RC_NOMEM;
	return event_add(server->pair_event, NULL) == 0 ? RC_OK : RC_NOMEM;
}

static enum rc confine(const struct conf *conf, struct diag *diag)
{
	bool files = false, calls = false;

	enum rc rc = confine_process(conf->user, diag);
	if (rc != RC_OK || strcmp(conf->confinement, "on") != 0)
		return rc;
	rc = confine_files(NULL, 0, &files, diag);
	if (rc == RC_OK)
		rc = confine_system_calls(CONFINE_FRONT, &calls, diag);
	if (rc == RC_OK)
		log_info("confined: files %s, system calls %s", files ? "none" : "as the user's",
			 calls ? "few" : "any");
	return rc;
}

/* Open everything; afterwards the process needs no file and no privilege. */
static enum rc front_open(struct server *server, int pipe_fd, uint16_t *ret_port, struct diag *diag)
{
	const struct conf *conf = server->conf;
	evutil_socket_t fd = -1;

	tzset(); /* gmtime_r() would read the time zone's file on its first call */
	raise_descriptors(conf);
	enum rc rc = open_tls(server, diag);
	if (rc == RC_OK)
		rc = rates_new(&server->rates);
	if (rc == RC_OK)
		rc = listener_bind(conf, &fd, ret_port, diag);
	if (rc == RC_OK)
		rc = core_link_wait_open(pipe_fd);
	if (rc == RC_OK)
		rc = make_loop(server);
	if (rc == RC_OK)
		rc = core_link_open(server, pipe_fd, &server->core);
	if (rc == RC_OK)
		rc = listener_open(server, fd, &server->listener, diag);
	if (rc != RC_OK && fd >= 0)
		close(fd);
	if (rc == RC_OK)
		rc = write_port_file(conf->port_file, *ret_port, diag);
	if (rc == RC_OK)
		rc = confine(conf, diag);
	return rc;
}

static void front_close(struct server *server)
{
	if (server->core != NULL)
		connections_free_all(server);
	listener_close(server->listener);
	core_link_close(server->core);
	tls_close(server->tls);
	forget_reader(server);
	access_free(server->access);
	rates_free(server->rates);
	if (server->drain_timer != NULL)
		event_free(server->drain_timer);
	if (server->pair_timer != NULL)
		event_free(server->pair_timer);
	if (server->base != NULL)
		event_base_free(server->base);
	buffer_deinit(&server->scratch);
}

static void on_count(evutil_socket_t fd, short what, void *ctx)
{
	const struct server *server = ctx;
	struct pipe_counts counts = {
		.accepted = server->count.accepted,
		.requests = server->count.requests,
		.refused = server->count.refused,
		.tls_failures = server->count.tls_failures,
		.timeouts = server->count.timeouts,
		.overloads = server->count.overloads,
		.n_connections = server->n_connections,
		.expires_at = (uint64_t)tls_expires_at(server->tls),
	};

	core_link_counts(server->core, &counts);
}

static enum rc serve(struct server *server, uint16_t port)
{
	static const struct timeval second = {1, 0};
	struct event *on_term = evsignal_new(server->base, SIGTERM, on_signal, server);
	struct event *on_int = evsignal_new(server->base, SIGINT, on_signal, server);
	struct event *on_second = event_new(server->base, -1, EV_PERSIST, on_count, server);
	enum rc rc = RC_NOMEM;

	if (on_term != NULL && on_int != NULL && on_second != NULL) {
		event_add(on_term, NULL);
		event_add(on_int, NULL);
		event_add(on_second, &second);
		core_link_ready(server->core, port);
		tell_pair(server, RENEWAL_GOOD, NULL);
		core_link_trusted(server->core);
		on_count(-1, 0, server);
		/* Where there is an access file nobody is let in before the core has sent it. */
		if (server->conf->access_file[0] == '\0')
			listener_accept(server->listener);
		log_info("listening on %s port %u", server->conf->listen_address, (unsigned)port);
		tell_systemd("READY=1");
		rc = event_base_dispatch(server->base) < 0 ? RC_INTERNAL : RC_OK;
	}
	if (on_term != NULL)
		event_free(on_term);
	if (on_int != NULL)
		event_free(on_int);
	if (on_second != NULL)
		event_free(on_second);
	return rc;
}

int front_run(const struct conf *conf, int pipe_fd)
{
	struct server server = {
		.conf = conf,
		.pair_fd = -1,
		.tls_log.per_s = LOG_LINES_PER_S,
		.refused_report.per_s = REPORTS_PER_S,
	};
	struct diag diag = {""};
	uint16_t port = 0;

	log_init_from("front", conf->log_level, conf->log);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* the core's business */
	TAILQ_INIT(&server.connections);
	buffer_init(&server.scratch);

	enum rc rc = front_open(&server, pipe_fd, &port, &diag);
	if (rc == RC_OK)
		rc = serve(&server, port);
	else if (rc != RC_STOPPING)
		log_error("cannot start: %s", diag.text[0] ? diag.text : rc_text(rc));
	if (rc == RC_OK)
		log_info("ended: %llu connections, %llu requests, %llu refused, %llu tls failures, %llu timeouts, %llu "
			 "overloads",
			 (unsigned long long)server.count.accepted, (unsigned long long)server.count.requests,
			 (unsigned long long)server.count.refused, (unsigned long long)server.count.tls_failures,
			 (unsigned long long)server.count.timeouts, (unsigned long long)server.count.overloads);
	int status = rc == RC_OK ? server.exit_status : rc_exit_code(rc);
	server.stopping = true;
	front_close(&server);
	return status;
}

enum rc front_check(const struct conf *conf, struct diag *diag)
{
	struct server_pair pair;
	struct tls *tls;

	server_pair_init(&pair);
	enum rc rc = server_pair_read(conf, &pair, diag);
	if (rc == RC_OK)
		rc = tls_open(conf, &pair, &tls, diag);
	if (rc == RC_OK)
		tls_close(tls);
	server_pair_deinit(&pair);
	return rc;
}
