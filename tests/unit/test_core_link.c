/* libs: tc_front tc_proto PkgConfig::EVENT OpenSSL::SSL OpenSSL::Crypto */
/* The front's end of the pipe against a core that misbehaves: whatever is out of place ends the front's loop with the
 * exit status of a broken protocol; what may come late for a request that is gone is ignored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/log.h"
#include "daemon/front/core_link.h"
#include "daemon/front/server.h"

static void make_pipe(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

/* ---- the greeting ---- */

static enum rc greet(const void *bytes, size_t len)
{
	int fds[2];

	make_pipe(fds);
	assert_int_equal(write(fds[0], bytes, len), (ssize_t)len);
	close(fds[0]);
	enum rc rc = core_link_wait_open(fds[1]);
	close(fds[1]);
	return rc;
}

static void test_greeting(void **state)
{
	struct buffer b;

	buffer_init(&b);
	assert_int_equal(pipe_put_credit(&b, 0, 0), RC_OK);
	assert_int_equal(greet(b.data, b.len), RC_OK);
	for (size_t len = 0; len < b.len; len++) /* the core went away while it spoke */
		assert_int_equal(greet(b.data, len), RC_STOPPING);

	buffer_reset(&b);
	assert_int_equal(pipe_put_raw(&b, PIPE_STOP, 0, NULL, 0), RC_OK);
	assert_int_equal(greet(b.data, b.len), RC_STOPPING);

	buffer_reset(&b);
	assert_int_equal(pipe_put_credit(&b, 1, 1), RC_OK);
	assert_int_equal(greet(b.data, b.len), RC_PROTOCOL);
	buffer_reset(&b);
	assert_int_equal(pipe_put_reply(&b, 1, &(struct pipe_reply){.http_status = 200}), RC_OK);
	assert_int_equal(greet(b.data, b.len), RC_PROTOCOL);
	assert_int_equal(greet("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27), RC_PROTOCOL);
	buffer_deinit(&b);
}

/* ---- in the loop ---- */

struct rig {
	struct server server;
	struct conf conf;
	int core_fd, front_fd;
};

static void rig_init(struct rig *rig)
{
	int fds[2];

	memset(rig, 0, sizeof *rig);
	make_pipe(fds);
	rig->core_fd = fds[0];
	rig->front_fd = fds[1];
	rig->server.conf = &rig->conf;
	rig->server.refused_report.per_s = 3;
	TAILQ_INIT(&rig->server.connections);
	buffer_init(&rig->server.scratch);
	rig->server.base = event_base_new();
	assert_non_null(rig->server.base);
	assert_int_equal(core_link_open(&rig->server, rig->front_fd, &rig->server.core), RC_OK);
	rig->server.exit_status = -1;
}

static void rig_deinit(struct rig *rig)
{
	core_link_close(rig->server.core);
	event_base_free(rig->server.base);
	buffer_deinit(&rig->server.scratch);
	close(rig->core_fd);
	close(rig->front_fd);
}

/* Send bytes as the core; returns the status the front ends with, or -1 where it goes on. */
static int after(struct rig *rig, const void *bytes, size_t len)
{
	if (len > 0)
		assert_int_equal(write(rig->core_fd, bytes, len), (ssize_t)len);
	for (int i = 0; i < 4; i++)
		event_base_loop(rig->server.base, EVLOOP_NONBLOCK);
	return rig->server.exit_status;
}

/* Ask once, so that id 1 exists; nobody waits for it any more. */
static void ask_once(struct rig *rig)
{
	struct pipe_request request = {.type = REQUEST_HEALTH, .who = {.client = "x", .roles = ROLE_ANALYST}};
	assert_int_equal(core_link_request(rig->server.core, &request), 1);
}

static int after_message(enum rc (*put)(struct buffer *b))
{
	struct rig rig;
	struct buffer b;

	buffer_init(&b);
	assert_int_equal(put(&b), RC_OK);
	rig_init(&rig);
	ask_once(&rig);
	int status = after(&rig, b.data, b.len);
	rig_deinit(&rig);
	buffer_deinit(&b);
	return status;
}

static enum rc put_late_answer(struct buffer *b)
{
	enum rc rc = pipe_put_credit(b, 1, 100);
	if (rc == RC_OK)
		rc = pipe_put_reply(b, 1, &(struct pipe_reply){.http_status = 200, .length = 5});
	if (rc == RC_OK)
		rc = pipe_put_raw(b, PIPE_REPLY_BODY, 1, "hello", 5);
	return rc == RC_OK ? pipe_put_raw(b, PIPE_REPLY_END, 1, NULL, 0) : rc;
}

static enum rc put_unasked_answer(struct buffer *b)
{
	return pipe_put_reply(b, 2, &(struct pipe_reply){.http_status = 200});
}

static enum rc put_unasked_credit(struct buffer *b)
{
	return pipe_put_credit(b, UINT64_MAX, 100);
}

static enum rc put_own_message(struct buffer *b)
{
	return pipe_put_ready(b, &(struct pipe_ready){1});
}

static enum rc put_bad_status(struct buffer *b)
{
	return pipe_put_reply(b, 1, &(struct pipe_reply){.http_status = 99});
}

static enum rc put_garbage(struct buffer *b)
{
	for (int i = 0; i < 100; i++)
		buffer_append(b, "\xff\0\0\0", 4);
	return RC_OK;
}

static void test_what_the_core_may_not_say(void **state)
{
	int broken = rc_exit_code(RC_PROTOCOL);

	assert_int_equal(after_message(put_late_answer), -1);
	assert_int_equal(after_message(put_unasked_answer), broken);
	assert_int_equal(after_message(put_unasked_credit), broken);
	assert_int_equal(after_message(put_own_message), broken);
	assert_int_equal(after_message(put_bad_status), broken);
	assert_int_equal(after_message(put_garbage), broken);
}

/* An endless revocation list stops at its bound, and is not kept. */
static void test_revocation_list_is_bounded(void **state)
{
	static uint8_t piece[PIPE_MAX_PAYLOAD];
	struct rig rig;
	struct buffer b;
	int status = -1;
	size_t sent = 0;

	buffer_init(&b);
	assert_int_equal(pipe_put_raw(&b, PIPE_REVOKED, 0, piece, sizeof piece), RC_OK);
	rig_init(&rig);
	while (status == -1 && sent < (size_t)2 * PIPE_MAX_FILE) {
		status = after(&rig, b.data, b.len);
		sent += b.len;
	}
	assert_int_equal(status, rc_exit_code(RC_PROTOCOL));
	assert_true(sent <= (size_t)PIPE_MAX_FILE + 2 * PIPE_MAX_PAYLOAD);
	rig_deinit(&rig);
	buffer_deinit(&b);
}

static void test_end_of_the_pipe(void **state)
{
	struct rig rig;

	rig_init(&rig);
	assert_int_equal(shutdown(rig.core_fd, SHUT_WR), 0);
	assert_int_equal(after(&rig, "", 0), rc_exit_code(RC_INTERNAL));
	rig_deinit(&rig);

	rig_init(&rig);
	rig.server.stopping = true;
	assert_int_equal(shutdown(rig.core_fd, SHUT_WR), 0);
	assert_int_equal(after(&rig, "", 0), 0);
	rig_deinit(&rig);
}

/* ---- what the front sends ---- */

static void test_reports_are_limited(void **state)
{
	struct rig rig;
	struct pipe_refused refused = {.reason = RC_FORBIDDEN, .request_type = REQUEST_TYPE_COUNT};
	uint8_t bytes[65536];
	size_t at = 0, n_messages = 0, used;
	struct pipe_message m;

	rig_init(&rig);
	time_t began = time(NULL);
	for (int i = 0; i < 100; i++)
		core_link_refused(rig.server.core, &refused);
	time_t took = time(NULL) - began;
	assert_int_equal(after(&rig, "", 0), -1);
	ssize_t len = recv(rig.core_fd, bytes, sizeof bytes, MSG_DONTWAIT);
	assert_true(len > 0);
	while (at < (size_t)len) {
		assert_int_equal(pipe_next(PIPE_CORE, bytes + at, (size_t)len - at, &m, &used), RC_OK);
		assert_true(used > 0);
		assert_int_equal(m.type, PIPE_REFUSED);
		at += used;
		n_messages++;
	}
	/* Three a second; the loop above may have met the turn of one, or been held up. */
	assert_in_range(n_messages, 3, 3 * (2 + took));
	assert_true(rig.server.refused_report.n_suppressed > 0);
	rig_deinit(&rig);
}

static void test_bodies_go_in_whole_messages(void **state)
{
	struct rig rig;
	size_t total = (size_t)PIPE_MAX_PAYLOAD * 2 + 10, seen = 0;
	uint8_t *body = calloc(1, total), *bytes = malloc(total + 1024);
	size_t have = 0, at = 0, used;
	struct pipe_message m = {0};

	assert_non_null(body);
	assert_non_null(bytes);
	rig_init(&rig);
	core_link_body(rig.server.core, 7, body, total);
	core_link_body_end(rig.server.core, 7);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(after(&rig, "", 0), -1);
		ssize_t n = recv(rig.core_fd, bytes + have, total + 1024 - have, MSG_DONTWAIT);
		have += n > 0 ? (size_t)n : 0;
	}
	while (at < have) {
		assert_int_equal(pipe_next(PIPE_CORE, bytes + at, have - at, &m, &used), RC_OK);
		assert_true(used > 0);
		assert_int_equal(m.id, 7);
		seen += m.len;
		at += used;
	}
	assert_int_equal(m.type, PIPE_BODY_END);
	assert_int_equal(seen, total);
	rig_deinit(&rig);
	free(body);
	free(bytes);
}

/* A core that is always behind: what has gone is forgotten, what has not comes in order. */
static void test_slow_core_costs_no_memory(void **state)
{
	enum { PIECE = 32 * 1024, AHEAD = 32, ROUNDS = 1000 };
	static uint8_t piece[PIECE], bytes[PIPE_HEADER_LEN + PIECE];
	struct pipe_message m;
	struct rig rig;
	size_t used;

	rig_init(&rig);
	for (unsigned i = 0; i < AHEAD + ROUNDS; i++) {
		memset(piece, (int)(i % 251), sizeof piece);
		core_link_body(rig.server.core, 7, piece, sizeof piece);
		assert_int_equal(after(&rig, "", 0), -1);
		if (i < AHEAD)
			continue;
		assert_int_equal(recv(rig.core_fd, bytes, sizeof bytes, MSG_WAITALL), (ssize_t)sizeof bytes);
		assert_int_equal(pipe_next(PIPE_CORE, bytes, sizeof bytes, &m, &used), RC_OK);
		assert_int_equal(used, sizeof bytes);
		assert_int_equal(m.data[0], (i - AHEAD) % 251);
		assert_int_equal(m.data[PIECE - 1], (i - AHEAD) % 251);
	}
	/* Twice what waits, since a buffer doubles, twice again before it is moved. */
	assert_true(core_link_held_bytes(rig.server.core) <= (size_t)4 * (AHEAD + 2) * sizeof bytes);
	rig_deinit(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greeting),
		cmocka_unit_test(test_what_the_core_may_not_say),
		cmocka_unit_test(test_revocation_list_is_bounded),
		cmocka_unit_test(test_end_of_the_pipe),
		cmocka_unit_test(test_reports_are_limited),
		cmocka_unit_test(test_bodies_go_in_whole_messages),
		cmocka_unit_test(test_slow_core_costs_no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
