/* libs: tc_front tc_proto */
/* Heads of answers, byte for byte, and a problem for every result code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/front/http_reply.h"
#include "proto/json.h"

static const char *text_of(struct buffer *b)
{
	buffer_append(b, "", 1);
	assert_false(b->failed);
	return (const char *)b->data;
}

static void test_head(void **state)
{
	struct buffer b;
	struct pipe_reply reply = {200, MEDIA_CSV, 0, false, 1234567890123};
	struct http_reply_options options = {.now = 784111777, .keep_alive = true};

	buffer_init(&b);
	http_reply_head(&b, &reply, &options);
	assert_string_equal(text_of(&b), "HTTP/1.1 200 OK\r\n"
					 "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
					 "Content-Type: text/csv; charset=utf-8\r\n"
					 "Content-Length: 1234567890123\r\n"
					 "Cache-Control: no-store\r\n"
					 "X-Content-Type-Options: nosniff\r\n\r\n");

	buffer_reset(&b);
	reply = (struct pipe_reply){503, MEDIA_OCTETS, 7, true, 0};
	options = (struct http_reply_options){.now = 0, .keep_alive = false, .allow = "GET, POST"};
	http_reply_head(&b, &reply, &options);
	assert_string_equal(text_of(&b), "HTTP/1.1 503 Service Unavailable\r\n"
					 "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
					 "Content-Type: application/octet-stream\r\n"
					 "Content-Length: 0\r\n"
					 "Cache-Control: private, max-age=31536000, immutable\r\n"
					 "X-Content-Type-Options: nosniff\r\n"
					 "Retry-After: 7\r\n"
					 "Allow: GET, POST\r\n"
					 "Connection: close\r\n\r\n");
	buffer_deinit(&b);
}

static void test_every_media_type_and_status(void **state)
{
	struct buffer b;
	struct http_reply_options options = {.keep_alive = true};

	buffer_init(&b);
	for (int media = MEDIA_JSON; media <= MEDIA_METRICS; media++)
		for (unsigned status = 200; status < 600; status++) {
			struct pipe_reply reply = {(uint16_t)status, (enum pipe_media)media, 0, false, 0};
			char line[32];
			buffer_reset(&b);
			http_reply_head(&b, &reply, &options);
			const char *text = text_of(&b);
			snprintf(line, sizeof line, "HTTP/1.1 %u ", status);
			assert_memory_equal(text, line, strlen(line));
			assert_non_null(strstr(text, "\r\nContent-Type: "));
			assert_null(strstr(text, "(null)"));
			assert_string_equal(text + strlen(text) - 4, "\r\n\r\n");
		}
	buffer_deinit(&b);
}

/* Each is well-formed JSON with type, title and status, and its Content-Length is right. */
static void test_problem_of_every_code(void **state)
{
	for (int rc = RC_OK + 1; rc < RC_COUNT; rc++) {
		struct buffer b;
		struct http_reply_options options = {.keep_alive = rc % 2 == 0};
		json_t *body;
		char type[80], length[64];

		buffer_init(&b);
		http_reply_problem(&b, (enum rc)rc, rc % 3 ? "some detail" : NULL, &options);
		const char *text = text_of(&b), *start = strstr(text, "\r\n\r\n") + 4;
		snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", strlen(start));
		assert_non_null(strstr(text, length));
		assert_non_null(strstr(text, "\r\nContent-Type: application/problem+json\r\n"));
		int status = rc_http_status((enum rc)rc);
		assert_int_equal(strstr(text, "\r\nRetry-After: ") != NULL, status == 503 || status == 429);

		assert_int_equal(json_parse_strict(start, strlen(start), &body, NULL), RC_OK);
		snprintf(type, sizeof type, "urn:throughcare:error:%s", rc_name((enum rc)rc));
		assert_string_equal(json_string_value(json_object_get(body, "type")), type);
		assert_string_equal(json_string_value(json_object_get(body, "title")), rc_text((enum rc)rc));
		assert_int_equal(json_integer_value(json_object_get(body, "status")), status);
		assert_int_equal(json_object_get(body, "detail") != NULL, rc % 3 != 0);
		json_decref(body);
		buffer_deinit(&b);
	}
}

static void test_problem_without_body(void **state)
{
	struct buffer b;
	struct http_reply_options options = {.without_body = true};

	buffer_init(&b);
	http_reply_problem(&b, RC_METHOD, NULL, &options);
	const char *text = text_of(&b);
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
	assert_null(strstr(text, "Content-Length: 0"));
	buffer_deinit(&b);
}

static void test_continue(void **state)
{
	struct buffer b;

	buffer_init(&b);
	http_reply_continue(&b);
	assert_string_equal(text_of(&b), "HTTP/1.1 100 Continue\r\n\r\n");
	buffer_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_every_media_type_and_status),
		cmocka_unit_test(test_problem_of_every_code),
		cmocka_unit_test(test_problem_without_body),
		cmocka_unit_test(test_continue),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
