/* libs: tc_base */
/* The pipe between front and core: every message there and back, every truncation, and bytes from a hostile side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/pipe.h"

static struct identity some_identity(void)
{
	struct identity who = {.client = "clinic-7", .roles = ROLE_SUBMITTER | ROLE_ANALYST, .source = "treatment"};
	for (size_t i = 0; i < sizeof who.fingerprint; i++)
		who.fingerprint[i] = (uint8_t)(i * 7);
	return who;
}

static struct pipe_request some_request(void)
{
	return (struct pipe_request){
		.type = REQUEST_TABLE,
		.who = some_identity(),
		.argument = "continuity_by_quarter",
		.query = "period=2024-Q1&by=sex",
		.accept = ACCEPT_CSV,
		.content = CONTENT_PROTOBUF,
		.encoding = ENCODING_GZIP,
		.content_length = -1,
	};
}

/* The one message in `b`, decoded; nothing shorter may decode, nor fail. */
static struct pipe_message only_message(enum pipe_side side, const struct buffer *b)
{
	struct pipe_message m;
	size_t used;

	for (size_t len = 0; len < b->len; len++) {
		used = 99;
		assert_int_equal(pipe_next(side, b->data, len, &m, &used), RC_OK);
		assert_int_equal(used, 0);
	}
	assert_int_equal(pipe_next(side, b->data, b->len, &m, &used), RC_OK);
	assert_int_equal(used, b->len);
	/* The other side must not take it. */
	enum pipe_side other = side == PIPE_FRONT ? PIPE_CORE : PIPE_FRONT;
	struct pipe_message ignored;
	assert_int_equal(pipe_next(other, b->data, b->len, &ignored, &used), RC_MALFORMED);
	return m;
}

static void test_request_there_and_back(void **state)
{
	struct buffer b;
	struct pipe_request in = some_request(), out;

	buffer_init(&b);
	assert_int_equal(pipe_put_request(&b, 42, &in), RC_OK);
	struct pipe_message m = only_message(PIPE_CORE, &b);
	assert_int_equal(m.type, PIPE_REQUEST);
	assert_int_equal(m.id, 42);
	assert_int_equal(pipe_get_request(&m, &out), RC_OK);
	assert_int_equal(out.type, in.type);
	assert_string_equal(out.who.client, in.who.client);
	assert_string_equal(out.who.source, in.who.source);
	assert_int_equal(out.who.roles, in.who.roles);
	assert_memory_equal(out.who.fingerprint, in.who.fingerprint, 32);
	assert_string_equal(out.argument, in.argument);
	assert_string_equal(out.query, in.query);
	assert_int_equal(out.accept, in.accept);
	assert_int_equal(out.content, in.content);
	assert_int_equal(out.encoding, in.encoding);
	assert_int_equal(out.content_length, -1);
	buffer_deinit(&b);
}

static void test_longest_request_fits(void **state)
{
	struct buffer b;
	struct pipe_request in = some_request(), out;

	memset(in.argument, 'a', sizeof in.argument - 1);
	memset(in.query, 'q', sizeof in.query - 1);
	memset(in.who.client, 'c', sizeof in.who.client - 1);
	memset(in.who.source, 's', sizeof in.who.source - 1);
	in.argument[sizeof in.argument - 1] = in.query[sizeof in.query - 1] = '\0';
	buffer_init(&b);
	assert_int_equal(pipe_put_request(&b, UINT64_MAX, &in), RC_OK);
	struct pipe_message m = only_message(PIPE_CORE, &b);
	assert_int_equal(pipe_get_request(&m, &out), RC_OK);
	assert_string_equal(out.query, in.query);
	buffer_deinit(&b);
}

/* A payload that is cut short or has a byte too many is refused by its getter. */
static void test_request_truncated_or_long(void **state)
{
	struct buffer b;
	struct pipe_request in = some_request(), out = {.query = "untouched"};

	buffer_init(&b);
	assert_int_equal(pipe_put_request(&b, 1, &in), RC_OK);
	buffer_append(&b, "", 1);
	size_t whole = b.len - 1 - PIPE_HEADER_LEN;
	for (size_t len = 0; len <= whole + 1; len++) {
		if (len == whole)
			continue;
		/* An exact copy, so that a sanitizer sees a read past its end. */
		uint8_t *copy = malloc(len ? len : 1);
		assert_non_null(copy);
		memcpy(copy, b.data + PIPE_HEADER_LEN, len);
		struct pipe_message m = {PIPE_REQUEST, 1, copy, len};
		assert_int_equal(pipe_get_request(&m, &out), RC_MALFORMED);
		free(copy);
	}
	assert_string_equal(out.query, "untouched");
	buffer_deinit(&b);
}

static void request_is_refused(const struct pipe_request *in)
{
	struct buffer b;
	struct pipe_request out;
	struct pipe_message m;
	size_t used;

	buffer_init(&b);
	assert_int_equal(pipe_put_request(&b, 1, in), RC_OK);
	assert_int_equal(pipe_next(PIPE_CORE, b.data, b.len, &m, &used), RC_OK);
	assert_true(used > 0);
	assert_int_equal(pipe_get_request(&m, &out), RC_MALFORMED);
	buffer_deinit(&b);
}

static void test_request_fields_out_of_range(void **state)
{
	struct pipe_request r;

	r = some_request(), r.type = REQUEST_TYPE_COUNT, request_is_refused(&r);
	r = some_request(), r.accept = (enum pipe_accept)(ACCEPT_TEXT + 1), request_is_refused(&r);
	r = some_request(), r.content = (enum pipe_content)(CONTENT_PROTOBUF + 1), request_is_refused(&r);
	r = some_request(), r.encoding = (enum content_encoding)(ENCODING_DEFLATE + 1), request_is_refused(&r);
	r = some_request(), r.content_length = -2, request_is_refused(&r);
	r = some_request(), r.who.roles = 0, request_is_refused(&r);
	r = some_request(), r.who.roles = 16, request_is_refused(&r);
	r = some_request(), r.who.roles = ROLE_OPERATOR | ROLE_AUDITOR, request_is_refused(&r);
	r = some_request(), r.who.client[0] = '\0', request_is_refused(&r);
	r = some_request(), r.who.client[0] = '\n', request_is_refused(&r);
	r = some_request(), r.query[0] = (char)0x80, request_is_refused(&r);
	r = some_request(), r.argument[0] = 0x7f, request_is_refused(&r);
}

static void test_reply_there_and_back(void **state)
{
	struct buffer b;
	struct pipe_reply in = {201, MEDIA_JSON, 7, true, 123456}, out;

	buffer_init(&b);
	assert_int_equal(pipe_put_reply(&b, 9, &in), RC_OK);
	struct pipe_message m = only_message(PIPE_FRONT, &b);
	assert_int_equal(pipe_get_reply(&m, &out), RC_OK);
	assert_int_equal(out.http_status, 201);
	assert_int_equal(out.media, MEDIA_JSON);
	assert_int_equal(out.retry_after_s, 7);
	assert_true(out.immutable);
	assert_int_equal(out.length, 123456);
	buffer_deinit(&b);
}

static void reply_is_refused(struct pipe_reply in)
{
	struct buffer b;
	struct pipe_reply out;
	struct pipe_message m;
	size_t used;

	buffer_init(&b);
	assert_int_equal(pipe_put_reply(&b, 9, &in), RC_OK);
	assert_int_equal(pipe_next(PIPE_FRONT, b.data, b.len, &m, &used), RC_OK);
	assert_int_equal(pipe_get_reply(&m, &out), RC_MALFORMED);
	buffer_deinit(&b);
}

static void test_reply_fields_out_of_range(void **state)
{
	reply_is_refused((struct pipe_reply){100, MEDIA_JSON, 0, false, 0});
	reply_is_refused((struct pipe_reply){600, MEDIA_JSON, 0, false, 0});
	reply_is_refused((struct pipe_reply){200, (enum pipe_media)(MEDIA_METRICS + 1), 0, false, 0});
	reply_is_refused((struct pipe_reply){200, MEDIA_JSON, 0, false, (uint64_t)PIPE_MAX_REPLY + 1});

	/* A bool that is neither 0 nor 1. */
	struct buffer b;
	struct pipe_reply in = {200, MEDIA_JSON, 0, false, 0}, out;
	struct pipe_message m;
	size_t used;
	buffer_init(&b);
	assert_int_equal(pipe_put_reply(&b, 9, &in), RC_OK);
	b.data[PIPE_HEADER_LEN + 7] = 2;
	assert_int_equal(pipe_next(PIPE_FRONT, b.data, b.len, &m, &used), RC_OK);
	assert_int_equal(pipe_get_reply(&m, &out), RC_MALFORMED);
	buffer_deinit(&b);
}

static void test_refused_there_and_back(void **state)
{
	struct buffer b;
	struct pipe_refused in = {RC_ROLE_PAIR, some_identity(), REQUEST_TYPE_COUNT, 70000}, out;

	buffer_init(&b);
	in.who.client[0] = '\0'; /* a certificate that said nothing usable */
	in.who.roles = 0;
	assert_int_equal(pipe_put_refused(&b, &in), RC_OK);
	struct pipe_message m = only_message(PIPE_CORE, &b);
	assert_int_equal(pipe_get_refused(&m, &out), RC_OK);
	assert_int_equal(out.reason, RC_ROLE_PAIR);
	assert_int_equal(out.request_type, REQUEST_TYPE_COUNT);
	assert_string_equal(out.who.client, "");
	assert_memory_equal(out.who.fingerprint, in.who.fingerprint, 32);

	/* OK is no reason, nor is a code that does not exist. */
	b.data[PIPE_HEADER_LEN] = b.data[PIPE_HEADER_LEN + 1] = 0;
	assert_int_equal(pipe_get_refused(&m, &out), RC_MALFORMED);
	b.data[PIPE_HEADER_LEN + 1] = RC_COUNT;
	assert_int_equal(pipe_get_refused(&m, &out), RC_MALFORMED);
	buffer_deinit(&b);
}

static void test_counts(void **state)
{
	const struct pipe_counts in = {1, 2, 3, 4, UINT64_MAX, 6, 7, UINT64_C(253402300799)};
	struct pipe_counts out;
	struct buffer b;

	buffer_init(&b);
	assert_int_equal(pipe_put_counts(&b, &in), RC_OK);
	struct pipe_message m = only_message(PIPE_CORE, &b);
	assert_int_equal(pipe_get_counts(&m, &out), RC_OK);
	assert_true(out.accepted == 1 && out.requests == 2 && out.refused == 3 && out.tls_failures == 4);
	assert_true(out.timeouts == UINT64_MAX && out.overloads == 6 && out.n_connections == 7);
	assert_true(out.expires_at == in.expires_at);

	/* No date; and the outcome stays as it was. */
	struct pipe_counts late = in;
	late.expires_at++;
	buffer_reset(&b);
	assert_int_equal(pipe_put_counts(&b, &late), RC_OK);
	m = only_message(PIPE_CORE, &b);
	out.accepted = 99;
	assert_int_equal(pipe_get_counts(&m, &out), RC_MALFORMED);
	assert_int_equal(out.accepted, 99);
	buffer_deinit(&b);
}

static void test_ready_and_credit(void **state)
{
	struct buffer b;
	struct pipe_ready ready;
	uint32_t credit;

	buffer_init(&b);
	assert_int_equal(pipe_put_ready(&b, &(struct pipe_ready){8443}), RC_OK);
	struct pipe_message m = only_message(PIPE_CORE, &b);
	assert_int_equal(pipe_get_ready(&m, &ready), RC_OK);
	assert_int_equal(ready.port, 8443);

	buffer_reset(&b);
	assert_int_equal(pipe_put_credit(&b, 5, 65536), RC_OK);
	m = only_message(PIPE_FRONT, &b);
	assert_int_equal(pipe_get_credit(&m, &credit), RC_OK);
	assert_int_equal(credit, 65536);

	/* The greeting: id 0 and nothing granted. Id 0 with bytes, or a request with none, is wrong; so is too much. */
	static const struct {
		uint64_t id;
		uint32_t bytes;
		enum rc expected;
	} cases[] = {
		{0, 0, RC_OK},
		{0, 1, RC_MALFORMED},
		{1, 0, RC_MALFORMED},
		{1, PIPE_MAX_CREDIT, RC_OK},
		{1, (uint32_t)PIPE_MAX_CREDIT + 1, RC_MALFORMED},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		buffer_reset(&b);
		assert_int_equal(pipe_put_credit(&b, cases[i].id, cases[i].bytes), RC_OK);
		m = only_message(PIPE_FRONT, &b);
		assert_int_equal(pipe_get_credit(&m, &credit), cases[i].expected);
	}
	buffer_deinit(&b);
}

static void test_raw_messages(void **state)
{
	static const struct {
		enum pipe_type type;
		enum pipe_side receiver;
		uint64_t id;
		size_t len;
	} cases[] = {
		{PIPE_BODY, PIPE_CORE, 3, 1},        {PIPE_BODY, PIPE_CORE, 3, PIPE_MAX_PAYLOAD},
		{PIPE_BODY_END, PIPE_CORE, 3, 0},    {PIPE_CANCEL, PIPE_CORE, 3, 0},
		{PIPE_REPLY_BODY, PIPE_FRONT, 3, 1}, {PIPE_REPLY_BODY, PIPE_FRONT, 3, PIPE_MAX_PAYLOAD},
		{PIPE_REPLY_END, PIPE_FRONT, 3, 0},  {PIPE_STOP, PIPE_FRONT, 0, 0},
	};
	static uint8_t data[PIPE_MAX_PAYLOAD + 1];
	struct buffer b;
	struct pipe_message m;
	size_t used;

	memset(data, 0xa5, sizeof data);
	buffer_init(&b);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		buffer_reset(&b);
		assert_int_equal(pipe_put_raw(&b, cases[i].type, cases[i].id, data, cases[i].len), RC_OK);
		assert_int_equal(pipe_next(cases[i].receiver, b.data, b.len, &m, &used), RC_OK);
		assert_int_equal(used, PIPE_HEADER_LEN + cases[i].len);
		assert_int_equal(m.type, cases[i].type);
		assert_int_equal(m.len, cases[i].len);
		if (m.len > 0)
			assert_memory_equal(m.data, data, m.len);
	}
	buffer_reset(&b);
	assert_int_equal(pipe_put_raw(&b, PIPE_BODY, 1, data, sizeof data), RC_TOO_LARGE);
	assert_int_equal(b.len, 0);
	buffer_deinit(&b);
}

static void check_file_in_pieces(enum pipe_type type)
{
	size_t len = (size_t)3 * PIPE_MAX_PAYLOAD + 17, seen = 0, at = 0;
	uint8_t *list = malloc(len);
	struct buffer b;
	bool last = false;

	assert_non_null(list);
	for (size_t i = 0; i < len; i++)
		list[i] = (uint8_t)(i * 31 >> 3);
	buffer_init(&b);
	assert_int_equal(pipe_put_file(&b, PIPE_ACCESS, list, 0), RC_TOO_LARGE);
	assert_int_equal(pipe_put_file(&b, PIPE_ACCESS, list, (size_t)PIPE_MAX_FILE + 1), RC_TOO_LARGE);
	assert_int_equal(pipe_put_file(&b, type, list, len), RC_OK);
	while (at < b.len) {
		struct pipe_message m;
		size_t used, n;
		const uint8_t *pem;
		assert_false(last);
		assert_int_equal(pipe_next(PIPE_FRONT, b.data + at, b.len - at, &m, &used), RC_OK);
		assert_true(used > 0);
		assert_int_equal(m.type, type);
		assert_int_equal(pipe_get_file(&m, &last, &pem, &n), RC_OK);
		assert_memory_equal(pem, list + seen, n);
		seen += n;
		at += used;
	}
	assert_true(last);
	assert_int_equal(seen, len);
	buffer_deinit(&b);
	free(list);
}

static void test_files_in_pieces(void **state)
{
	check_file_in_pieces(PIPE_REVOKED);
	check_file_in_pieces(PIPE_ACCESS);
	check_file_in_pieces(PIPE_AUTHORITIES);
}

/* As many serials as one message takes, of every length; then lengths that none may have. */
static void test_listed_there_and_back(void **state)
{
	static struct pipe_listed in, out;
	struct pipe_message m;
	struct buffer b;
	size_t used;

	buffer_init(&b);
	assert_int_equal(pipe_put_listed(&b, &in), RC_TOO_LARGE);
	memset(in.authority, 7, sizeof in.authority);
	for (in.n = 0; in.n < PIPE_MAX_LISTED; in.n++) {
		in.serials[in.n].len = (uint8_t)(in.n % PIPE_SERIAL_CAP + 1);
		memset(in.serials[in.n].bytes, (int)(in.n & 0xff), in.serials[in.n].len);
	}
	assert_int_equal(pipe_put_listed(&b, &in), RC_OK);
	assert_int_equal(pipe_next(PIPE_FRONT, b.data, b.len, &m, &used), RC_MALFORMED);
	assert_int_equal(pipe_next(PIPE_CORE, b.data, b.len, &m, &used), RC_OK);
	assert_int_equal(used, b.len);
	assert_int_equal(pipe_get_listed(&m, &out), RC_OK);
	assert_memory_equal(&in, &out, sizeof in);
	for (size_t cut = 1; cut < 40; cut++) {
		struct pipe_message shorter = m;
		shorter.len -= cut;
		enum rc rc = pipe_get_listed(&shorter, &out);
		assert_true(rc == RC_MALFORMED || out.n < in.n);
	}
	b.data[PIPE_HEADER_LEN + 32] = 0;
	assert_int_equal(pipe_get_listed(&m, &out), RC_MALFORMED);
	b.data[PIPE_HEADER_LEN + 32] = PIPE_SERIAL_CAP + 1;
	assert_int_equal(pipe_get_listed(&m, &out), RC_MALFORMED);
	in.n++;
	assert_int_equal(pipe_put_listed(&b, &in), RC_TOO_LARGE);
	buffer_deinit(&b);
}

static void test_renewed_there_and_back(void **state)
{
	struct pipe_renewed in = {.file = RENEWAL_PAIR, .fault = RENEWAL_NOT_SERVER}, out;
	struct pipe_message m;
	struct buffer b;
	size_t used;

	buffer_init(&b);
	memset(in.digest, 9, sizeof in.digest);
	assert_int_equal(pipe_put_renewed(&b, &in), RC_OK);
	assert_int_equal(pipe_next(PIPE_FRONT, b.data, b.len, &m, &used), RC_MALFORMED);
	assert_int_equal(pipe_next(PIPE_CORE, b.data, b.len, &m, &used), RC_OK);
	assert_int_equal(pipe_get_renewed(&m, &out), RC_OK);
	assert_true(out.file == in.file && out.fault == in.fault);
	assert_memory_equal(out.digest, in.digest, sizeof in.digest);
	b.data[PIPE_HEADER_LEN] = RENEWAL_FILE_COUNT;
	assert_int_equal(pipe_get_renewed(&m, &out), RC_MALFORMED);
	b.data[PIPE_HEADER_LEN] = 0;
	b.data[PIPE_HEADER_LEN + 1] = RENEWAL_FAULT_COUNT;
	assert_int_equal(pipe_get_renewed(&m, &out), RC_MALFORMED);
	buffer_deinit(&b);
}

static void test_trusted_there_and_back(void **state)
{
	struct pipe_trusted in = {.n = 0}, out;
	struct pipe_message m;
	struct buffer b;
	size_t used;

	buffer_init(&b);
	assert_int_equal(pipe_put_trusted(&b, &in), RC_TOO_LARGE);
	for (in.n = 0; in.n < PIPE_MAX_AUTHORITIES; in.n++)
		memset(in.authorities[in.n], (int)in.n, sizeof in.authorities[in.n]);
	assert_int_equal(pipe_put_trusted(&b, &in), RC_OK);
	assert_int_equal(pipe_next(PIPE_FRONT, b.data, b.len, &m, &used), RC_MALFORMED);
	assert_int_equal(pipe_next(PIPE_CORE, b.data, b.len, &m, &used), RC_OK);
	assert_int_equal(pipe_get_trusted(&m, &out), RC_OK);
	assert_memory_equal(&in, &out, sizeof in);
	m.len--;
	assert_int_equal(pipe_get_trusted(&m, &out), RC_MALFORMED);
	m.len++;
	memset(b.data + PIPE_HEADER_LEN + 32, 0, 32); /* twice the same */
	assert_int_equal(pipe_get_trusted(&m, &out), RC_MALFORMED);
	memset(b.data + PIPE_HEADER_LEN + 32, 9, 32); /* out of order */
	assert_int_equal(pipe_get_trusted(&m, &out), RC_MALFORMED);
	in.n++;
	assert_int_equal(pipe_put_trusted(&b, &in), RC_TOO_LARGE);
	buffer_deinit(&b);
}

static void test_hostile_headers(void **state)
{
	static const struct {
		const char *what;
		uint8_t bytes[PIPE_HEADER_LEN];
	} cases[] = {
		{"type 0", {0}},
		{"type unknown", {200}},
		{"reserved byte", {PIPE_BODY, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}},
		{"reserved pair", {PIPE_BODY, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}},
		{"length 2^32-1", {PIPE_BODY, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 1}},
		{"length over", {PIPE_BODY, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}},
		{"empty body", {PIPE_BODY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}},
		{"end with payload", {PIPE_BODY_END, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}},
		{"request id 0", {PIPE_BODY_END, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		{"ready with id", {PIPE_FRONT_READY, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1}},
		{"front's reply", {PIPE_REPLY, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1}},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct pipe_message m;
		size_t used = 77;
		if (pipe_next(PIPE_CORE, cases[i].bytes, PIPE_HEADER_LEN, &m, &used) != RC_MALFORMED)
			fail_msg("taken: %s", cases[i].what);
		assert_int_equal(used, 77);
	}
}

/* Every byte of a request's message set to every value: refused or decoded, never a crash or a field out of range. */
static void test_each_byte_mutated(void **state)
{
	struct buffer b;
	struct pipe_request in = some_request();
	unsigned n_taken = 0, n_refused = 0;

	buffer_init(&b);
	assert_int_equal(pipe_put_request(&b, 1, &in), RC_OK);
	for (size_t i = 0; i < b.len; i++) {
		uint8_t saved = b.data[i];
		for (unsigned v = 0; v < 256; v++) {
			struct pipe_message m;
			struct pipe_request out;
			size_t used = 0;
			b.data[i] = (uint8_t)v;
			if (pipe_next(PIPE_CORE, b.data, b.len, &m, &used) != RC_OK || used == 0 ||
			    m.type != PIPE_REQUEST || pipe_get_request(&m, &out) != RC_OK) {
				n_refused++;
				continue;
			}
			n_taken++;
			assert_true(out.type < REQUEST_TYPE_COUNT);
			assert_int_equal(role_check_set(out.who.roles), RC_OK);
			assert_true(strlen(out.query) < PIPE_QUERY_CAP);
		}
		b.data[i] = saved;
	}
	assert_true(n_taken > 0);
	assert_true(n_refused > 0);
	buffer_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_there_and_back),    cmocka_unit_test(test_longest_request_fits),
		cmocka_unit_test(test_request_truncated_or_long), cmocka_unit_test(test_request_fields_out_of_range),
		cmocka_unit_test(test_reply_there_and_back),      cmocka_unit_test(test_reply_fields_out_of_range),
		cmocka_unit_test(test_refused_there_and_back),    cmocka_unit_test(test_counts),
		cmocka_unit_test(test_ready_and_credit),          cmocka_unit_test(test_raw_messages),
		cmocka_unit_test(test_files_in_pieces),           cmocka_unit_test(test_listed_there_and_back), cmocka_unit_test(test_renewed_there_and_back),
		cmocka_unit_test(test_trusted_there_and_back),
		cmocka_unit_test(test_hostile_headers),
		cmocka_unit_test(test_each_byte_mutated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
