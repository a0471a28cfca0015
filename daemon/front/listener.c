/* The listening socket: see listener.h. When descriptors run out it pauses instead of spinning. */
#include "daemon/front/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/front/connection.h"
#include "daemon/front/server.h"

enum { BACKLOG = 512, PAUSE_MS = 200 };

struct listener {
	struct server *server;
	struct evconnlistener *evl;
	struct event *resume;
};

static socklen_t make_address(const struct conf *conf, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof *out);
	if (inet_pton(AF_INET, conf->listen_address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(conf->listen_port);
		return sizeof *v4;
	}
	if (inet_pton(AF_INET6, conf->listen_address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(conf->listen_port);
		return sizeof *v6;
	}
	return 0;
}

enum rc listener_bind(const struct conf *conf, evutil_socket_t *ret_fd, uint16_t *ret_port, struct diag *diag)
{
	struct sockaddr_storage address;
	socklen_t len = make_address(conf, &address);
	int on = 1;

	int fd = len ? socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
	if (fd < 0)
		return diag_set(diag, RC_CONFIG, "listen: no socket for this address");
	/* Accepted sockets inherit TCP_NODELAY; without it a small answer waits 40 ms for an acknowledgement. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
	    (address.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
	    bind(fd, (struct sockaddr *)&address, len) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
		enum rc rc = diag_set(diag, RC_CONFIG, "listen: cannot bind %s port %u: %s", conf->listen_address,
				      (unsigned)conf->listen_port, strerror(errno));
		close(fd);
		return rc;
	}
	*ret_port = ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
						       : ((struct sockaddr_in6 *)&address)->sin6_port);
	*ret_fd = fd;
	return RC_OK;
}

static void on_accept(struct evconnlistener *evl, evutil_socket_t fd, struct sockaddr *address, int len, void *ctx)
{
	struct listener *listener = ctx;

	connection_accept(listener->server, fd);
}

static void on_resume(evutil_socket_t fd, short what, void *ctx)
{
	struct listener *listener = ctx;

	evconnlistener_enable(listener->evl);
}

static void on_error(struct evconnlistener *evl, void *ctx)
{
	struct listener *listener = ctx;
	static const struct timeval pause = {0, PAUSE_MS * 1000};

	if (rate_limit_allows(&listener->server->tls_log, monotonic_ms()))
		log_warning("cannot accept a connection: %s", strerror(errno));
	evconnlistener_disable(evl);
	evtimer_add(listener->resume, &pause);
}

enum rc listener_open(struct server *server, evutil_socket_t fd, struct listener **ret, struct diag *diag)
{
	struct listener *listener = calloc(1, sizeof *listener);
	if (listener == NULL)
		return RC_NOMEM;
	listener->server = server;
	if (listen(fd, BACKLOG) != 0) {
		free(listener);
		return diag_set(diag, RC_IO, "listen: %s", strerror(errno));
	}
	listener->resume = evtimer_new(server->base, on_resume, listener);
	if (listener->resume != NULL)
		listener->evl = evconnlistener_new(server->base, on_accept, listener,
						   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_DISABLED, 0,
						   fd);
	if (listener->evl == NULL) {
		listener_close(listener);
		return RC_NOMEM;
	}
	evconnlistener_set_error_cb(listener->evl, on_error);
	*ret = listener;
	return RC_OK;
}

void listener_accept(struct listener *listener)
{
	evconnlistener_enable(listener->evl);
}

void listener_close(struct listener *listener)
{
	if (listener == NULL)
		return;
	if (listener->evl != NULL)
		evconnlistener_free(listener->evl);
	if (listener->resume != NULL)
		event_free(listener->resume);
	free(listener);
}
