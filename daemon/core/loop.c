/* The core's main loop: the pipe to the front on one side, requests on the other.
 *
 * One thread reads and writes the pipe. Workers and the writer leave answers in the outbox and wake the loop through an
 * eventfd. Every byte of the front is taken as hostile: what does not decode ends the process. While too much waits to
 * be sent, nothing more is read, so memory is bounded by what the front takes off. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/monotonic.h"
#include "daemon/base/pipe.h"
#include "daemon/core/core.h"
#include "daemon/core/publish.h"
#include "daemon/core/reload.h"
#include "daemon/core/request.h"
#include "daemon/core/state.h"
#include "daemon/core/watch.h"

enum {
	READ_BYTES = 256 * 1024,
	STOP_S = 60, /* for the front to drain after PIPE_STOP */
	/* Requests of one client may wait to be answered; beyond this many the front is at fault. */
	MAX_TABLE = 4 * CORE_MAX_REQUESTS,
};
static const size_t outbox_high = (size_t)64 << 20;

struct loop {
	const struct conf *conf;
	struct core *core;
	int pipe_fd, event_fd, signal_fd;
	struct request *table[MAX_TABLE];
	size_t n_table;
	uint64_t last_id;
	struct buffer in;  /* received, not yet a whole message */
	struct buffer out; /* being sent, from out_at */
	size_t out_at;
	bool front_gone, stop_sent, protocol_error;
	bool has_answered; /* what was collected answered requests that may be forgotten */
	int64_t stop_deadline, next_schedule, next_reload_ms;
	struct reload *reload;
	struct watch watch;

	pthread_mutex_t lock; /* guards outbox */
	struct buffer outbox;
};

static int64_t monotonic_s(void)
{
	return monotonic_ms() / 1000;
}

static void wake(struct loop *loop)
{
	uint64_t one = 1;
	/* A full counter means that a wake is already on its way. */
	if (write(loop->event_fd, &one, sizeof one) < 0 && errno != EAGAIN)
		log_error("cannot wake the main loop");
}

static void wake_on_fault(void *ctx)
{
	wake(ctx);
}

/* ---- the port: called from workers and the writer ----
 *
 * Whoever puts the first message into an empty outbox wakes the loop; those after it are collected with that one. */

static void port_reply(void *ctx, uint64_t id, const struct pipe_reply *reply, const void *body, size_t len)
{
	struct loop *loop = ctx;
	const uint8_t *at = body;
	pthread_mutex_lock(&loop->lock);
	size_t before = loop->outbox.len;
	enum rc rc = len > PIPE_MAX_REPLY ? RC_TOO_LARGE : pipe_put_reply(&loop->outbox, id, reply);
	while (rc == RC_OK && len > 0) {
		size_t n = len < PIPE_MAX_PAYLOAD ? len : PIPE_MAX_PAYLOAD;
		rc = pipe_put_raw(&loop->outbox, PIPE_REPLY_BODY, id, at, n);
		at += n;
		len -= n;
	}
	if (rc == RC_OK)
		rc = pipe_put_raw(&loop->outbox, PIPE_REPLY_END, id, NULL, 0);
	if (rc != RC_OK) {
		/* An answer that cannot be sent whole is not sent; the front times the client out. */
		loop->outbox.len = before;
		loop->outbox.failed = false;
	}
	pthread_mutex_unlock(&loop->lock);
	if (rc != RC_OK)
		log_error("an answer could not be handed to the front: %s", rc_text(rc));
	if (before == 0)
		wake(loop);
}

static void port_credit(void *ctx, uint64_t id, uint32_t bytes)
{
	struct loop *loop = ctx;
	pthread_mutex_lock(&loop->lock);
	size_t before = loop->outbox.len;
	enum rc rc = pipe_put_credit(&loop->outbox, id, bytes);
	pthread_mutex_unlock(&loop->lock);
	if (rc != RC_OK)
		log_error("credit could not be given to the front: %s", rc_text(rc));
	if (before == 0)
		wake(loop);
}

/* ---- messages from the front ---- */

static struct request *find(struct loop *loop, uint64_t id, size_t *ret_at)
{
	for (size_t i = 0; i < loop->n_table; i++) {
		if (request_id(loop->table[i]) == id) {
			*ret_at = i;
			return loop->table[i];
		}
	}
	return NULL;
}

static void forget(struct loop *loop, size_t at)
{
	request_unref(loop->table[at]);
	loop->table[at] = loop->table[--loop->n_table];
}

static void sweep(struct loop *loop)
{
	for (size_t i = loop->n_table; i > 0; i--) {
		if (request_is_answered(loop->table[i - 1]))
			forget(loop, i - 1);
	}
}

static enum rc on_request(struct loop *loop, const struct pipe_message *m)
{
	struct pipe_request head;
	struct request_port port = {.reply = port_reply, .credit = port_credit, .ctx = loop};
	enum rc rc = pipe_get_request(m, &head);
	if (rc != RC_OK)
		return rc;
	if (m->id <= loop->last_id)
		return RC_PROTOCOL;
	loop->last_id = m->id;
	if (loop->n_table == MAX_TABLE)
		sweep(loop);
	if (loop->n_table == MAX_TABLE)
		return RC_PROTOCOL;
	struct request *request = NULL;
	rc = request_new(loop->core, m->id, &head, &port, &request);
	if (rc != RC_OK)
		return rc;
	if (request_is_answered(request))
		request_unref(request);
	else
		loop->table[loop->n_table++] = request;
	return RC_OK;
}

/* Messages for a request that is gone are late, not wrong: its answer crossed them. */
static enum rc on_part(struct loop *loop, const struct pipe_message *m)
{
	size_t at;
	if (m->id == 0 || m->id > loop->last_id)
		return RC_PROTOCOL;
	struct request *request = find(loop, m->id, &at);
	if (request == NULL)
		return RC_OK;
	switch (m->type) {
	case PIPE_BODY:
		return request_feed(request, m->data, m->len);
	case PIPE_BODY_END:
		request_end(request);
		return RC_OK;
	default:
		request_cancel(request);
		forget(loop, at);
		return RC_OK;
	}
}

static enum rc on_message(struct loop *loop, const struct pipe_message *m)
{
	struct pipe_refused refused;
	struct pipe_ready ready;
	struct pipe_counts counts;
	struct pipe_renewed renewed;
	struct pipe_trusted trusted;
	static struct pipe_listed listed; /* one thread; too large for a stack */
	enum rc rc;
	switch (m->type) {
	case PIPE_FRONT_READY:
		rc = pipe_get_ready(m, &ready);
		if (rc == RC_OK)
			log_info("the front listens on port %u", ready.port);
		return rc;
	case PIPE_REQUEST:
		return on_request(loop, m);
	case PIPE_REFUSED:
		rc = pipe_get_refused(m, &refused);
		if (rc == RC_OK)
			core_log_refused(loop->core, &refused);
		return rc;
	case PIPE_COUNTS:
		rc = pipe_get_counts(m, &counts);
		if (rc == RC_OK)
			watch_front(loop->core, &counts);
		return rc;
	case PIPE_LISTED:
		rc = pipe_get_listed(m, &listed);
		if (rc == RC_OK)
			reload_listed(loop->reload, &listed);
		return rc;
	case PIPE_RENEWED:
		rc = pipe_get_renewed(m, &renewed);
		if (rc == RC_OK)
			reload_renewed(loop->reload, &renewed);
		return rc;
	case PIPE_TRUSTED:
		rc = pipe_get_trusted(m, &trusted);
		return rc == RC_OK ? reload_trusted(loop->reload, &trusted) : rc;
	case PIPE_BODY:
	case PIPE_BODY_END:
	case PIPE_CANCEL:
		return on_part(loop, m);
	default:
		return RC_PROTOCOL;
	}
}

static enum rc take_messages(struct loop *loop)
{
	size_t at = 0;
	enum rc rc = RC_OK;
	while (rc == RC_OK) {
		struct pipe_message m;
		size_t used = 0;
		rc = pipe_next(PIPE_CORE, loop->in.data + at, loop->in.len - at, &m, &used);
		if (rc != RC_OK || used == 0)
			break;
		rc = on_message(loop, &m);
		at += used;
	}
	buffer_drop(&loop->in, at);
	return rc;
}

static void read_pipe(struct loop *loop)
{
	static uint8_t bytes[READ_BYTES];
	ssize_t n = read(loop->pipe_fd, bytes, sizeof bytes);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		loop->front_gone = true;
		return;
	}
	buffer_append(&loop->in, bytes, (size_t)n);
	explicit_bzero(bytes, (size_t)n);
	enum rc rc = loop->in.failed ? RC_NOMEM : take_messages(loop);
	if (rc != RC_OK) {
		log_error("the front does not keep to the protocol of the pipe: %s", rc_text(rc));
		loop->protocol_error = true;
	}
}

/* ---- sending ---- */

static void collect_outbox(struct loop *loop)
{
	if (loop->out_at < loop->out.len)
		return;
	buffer_reset(&loop->out);
	loop->out_at = 0;
	pthread_mutex_lock(&loop->lock);
	struct buffer empty = loop->out;
	loop->out = loop->outbox;
	loop->outbox = empty;
	pthread_mutex_unlock(&loop->lock);
	loop->has_answered |= loop->out.len > 0;
	/* One large answer must not pin its memory for good. */
	if (empty.cap > READ_BYTES * 4) {
		pthread_mutex_lock(&loop->lock);
		if (loop->outbox.len == 0) {
			buffer_deinit(&loop->outbox);
			buffer_init(&loop->outbox);
		}
		pthread_mutex_unlock(&loop->lock);
	}
}

static void write_pipe(struct loop *loop)
{
	collect_outbox(loop);
	while (loop->out_at < loop->out.len) {
		ssize_t n = write(loop->pipe_fd, loop->out.data + loop->out_at, loop->out.len - loop->out_at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			loop->front_gone = true;
			return;
		}
		loop->out_at += (size_t)n;
		if (loop->out_at == loop->out.len)
			collect_outbox(loop);
	}
}

static size_t waiting_bytes(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	size_t n = loop->outbox.len;
	pthread_mutex_unlock(&loop->lock);
	return n + loop->out.len - loop->out_at;
}

static void put_out(struct loop *loop, enum rc rc)
{
	if (rc != RC_OK) {
		log_error("a message to the front could not be made: %s", rc_text(rc));
		loop->protocol_error = true;
	}
}

/* ---- signals and time ---- */

/* About nobody's request: a whole file, or `len` 0. */
static void send_message(void *ctx, enum pipe_type type, const void *data, size_t len)
{
	struct loop *loop = ctx;
	pthread_mutex_lock(&loop->lock);
	enum rc rc = len > 0 ? pipe_put_file(&loop->outbox, type, data, len)
			     : pipe_put_raw(&loop->outbox, type, 0, NULL, 0);
	pthread_mutex_unlock(&loop->lock);
	put_out(loop, rc);
}

static void begin_stop(struct loop *loop)
{
	if (loop->stop_sent)
		return;
	loop->stop_sent = true;
	loop->stop_deadline = monotonic_s() + STOP_S;
	log_info("stopping");
	send_message(loop, PIPE_STOP, NULL, 0);
}

static void on_signal(struct loop *loop)
{
	struct signalfd_siginfo info;
	while (read(loop->signal_fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo != SIGHUP) {
			begin_stop(loop);
			continue;
		}
		reload_run(loop->reload, true);
		send_message(loop, PIPE_READ_PAIR, NULL, 0);
	}
}

static void on_tick(struct loop *loop)
{
	int64_t now_ms = monotonic_ms(), now = now_ms / 1000;
	if (now_ms >= loop->next_reload_ms) {
		loop->next_reload_ms = now_ms + RELOAD_EVERY_MS;
		reload_run(loop->reload, false);
	}
	watch_limits(&loop->watch, loop->core, now);
	if (loop->conf->publish_every_hours > 0 && now >= loop->next_schedule && !loop->stop_sent) {
		loop->next_schedule = now + (int64_t)loop->conf->publish_every_hours * 3600;
		publish_by_schedule(loop->core);
	}
	if (loop->stop_sent && now >= loop->stop_deadline) {
		log_warning("the front did not drain in time");
		loop->front_gone = true;
	}
}

/* ---- running ---- */

static bool must_end(struct loop *loop)
{
	return loop->front_gone || loop->protocol_error || atomic_load(&loop->core->must_stop);
}

static void run(struct loop *loop)
{
	while (!must_end(loop)) {
		size_t waiting = waiting_bytes(loop);
		struct pollfd fds[] = {
			{.fd = loop->pipe_fd,
			 .events = (short)((waiting < outbox_high ? POLLIN : 0) | (waiting > 0 ? POLLOUT : 0))},
			{.fd = loop->event_fd, .events = POLLIN},
			{.fd = loop->signal_fd, .events = POLLIN},
		};
		int n = poll(fds, 3, RELOAD_EVERY_MS);
		if (n < 0 && errno != EINTR) {
			log_error("poll: %s", strerror(errno));
			break;
		}
		if (n > 0 && (fds[1].revents & POLLIN) != 0) {
			uint64_t count;
			if (read(loop->event_fd, &count, sizeof count) < 0 && errno != EAGAIN)
				break;
		}
		if (n > 0 && (fds[2].revents & POLLIN) != 0)
			on_signal(loop);
		write_pipe(loop);
		if (loop->has_answered)
			sweep(loop);
		loop->has_answered = false;
		if (n > 0 && (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && waiting < outbox_high)
			read_pipe(loop);
		on_tick(loop);
	}
}

static enum rc open_fds(struct loop *loop)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
		return RC_IO;
	signal(SIGPIPE, SIG_IGN);
	loop->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	loop->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int flags = fcntl(loop->pipe_fd, F_GETFL);
	if (loop->signal_fd < 0 || loop->event_fd < 0 || flags < 0 ||
	    fcntl(loop->pipe_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return RC_IO;
	return RC_OK;
}

/* A store on a file that was cut short under the map: say so, and end, rather than die in silence. */
static void on_sigbus(int sig)
{
	log_from_handler(
		"the store's map cannot be read (SIGBUS): its file is shorter than it was, or the disk failed");
	_exit(74);
}

static void close_loop(struct loop *loop)
{
	/* No worker may answer into a loop that is gone: the core is closed first. */
	while (loop->n_table > 0)
		forget(loop, loop->n_table - 1);
	if (loop->signal_fd >= 0)
		close(loop->signal_fd);
	if (loop->event_fd >= 0)
		close(loop->event_fd);
	reload_free(loop->reload);
	buffer_wipe(&loop->in);
	buffer_deinit(&loop->out);
	buffer_deinit(&loop->outbox);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

static void cancel_requests(struct loop *loop)
{
	for (size_t i = 0; i < loop->n_table; i++)
		request_cancel(loop->table[i]);
}

static int end(struct loop *loop)
{
	struct core *core = loop->core;
	bool orderly = loop->stop_sent && !loop->protocol_error && !atomic_load(&core->must_stop);
	if (!orderly && !atomic_load(&core->must_stop) && !loop->protocol_error)
		log_error("the front has gone");
	cancel_requests(loop);
	atomic_store(&core->stopping, true);
	core_drain(core);
	if (!atomic_load(&core->must_stop) && core_log_entry(core, ENTRY_STOP, NULL, NULL) != RC_OK)
		orderly = false;
	while (loop->n_table > 0)
		forget(loop, loop->n_table - 1);
	enum rc why = atomic_load(&core->must_stop) ? (enum rc)atomic_load(&core->fault) : RC_INTERNAL;
	core_close(core);
	log_info("stopped");
	return orderly ? 0 : rc_exit_code(why);
}

int core_run(const struct conf *conf, int pipe_fd)
{
	struct diag diag = {""};
	struct loop *loop = calloc(1, sizeof *loop);
	if (loop == NULL)
		return rc_exit_code(RC_NOMEM);
	loop->conf = conf;
	loop->pipe_fd = pipe_fd;
	loop->event_fd = loop->signal_fd = -1;
	pthread_mutex_init(&loop->lock, NULL);
	buffer_init(&loop->in);
	buffer_init(&loop->out);
	buffer_init(&loop->outbox);
	signal(SIGBUS, on_sigbus);
	enum rc rc = open_fds(loop);
	if (rc == RC_OK)
		rc = core_open(conf, &loop->core, &diag);
	if (rc != RC_OK) {
		log_error("cannot start: %s", diag.text[0] != '\0' ? diag.text : rc_text(rc));
		close_loop(loop);
		return rc_exit_code(rc);
	}
	loop->core->fault_ctx = loop;
	loop->core->on_fault = wake_on_fault;
	loop->next_schedule = monotonic_s() + (int64_t)conf->publish_every_hours * 3600;
	/* "I am open": only now does the front listen. */
	put_out(loop, pipe_put_credit(&loop->out, 0, 0));
	/* The front read authorities and revocation list before the store was opened, which may have taken minutes: what
	 * it has may be out of date, so they are sent again. The access file it waits for. */
	rc = reload_new(loop->core, send_message, loop, &loop->reload);
	if (rc == RC_OK) {
		reload_run(loop->reload, false);
		run(loop);
	} else {
		log_error("cannot start: %s", rc_text(rc));
		loop->protocol_error = true;
	}
	int status = end(loop);
	close_loop(loop);
	return status;
}
