/* libs: tc_front */
/* The strict subset of HTTP/1.1. Every message of the tables is fed whole, byte by byte, and split at every place; the
 * outcome must be the same each time. The refused ones are the ambiguities that smuggle requests (RFC 9112 section 11,
 * and what llhttp takes by default). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/front/http_parser.h"

struct outcome {
	enum rc rc;
	unsigned n_heads, n_ends;
	size_t body_len;
	uint8_t body[4096];
	struct http_head head; /* the last one */
};

/* Feed one piece, copied so that a sanitizer sees a read past its end. */
static enum rc feed(struct http_parser *p, const char *bytes, size_t len, struct outcome *o)
{
	uint8_t *piece = malloc(len ? len : 1);
	enum rc rc = RC_OK;

	assert_non_null(piece);
	memcpy(piece, bytes, len);
	for (size_t at = 0;;) {
		struct http_event e;
		rc = http_parser_next(p, piece + at, len - at, &e);
		if (rc != RC_OK)
			break;
		assert_true(e.used <= len - at);
		at += e.used;
		if (e.kind == HTTP_EVENT_MORE) {
			assert_int_equal(at, len);
			break;
		}
		if (e.kind == HTTP_EVENT_HEAD) {
			o->n_heads++;
			o->head = *http_parser_head(p);
		} else if (e.kind == HTTP_EVENT_BODY) {
			assert_true(e.len > 0 && o->body_len + e.len <= sizeof o->body);
			memcpy(o->body + o->body_len, e.data, e.len);
			o->body_len += e.len;
		} else if (e.kind == HTTP_EVENT_END) {
			o->n_ends++;
		}
	}
	free(piece);
	return rc;
}

/* Feed `len` bytes in pieces that end at `split` (0 = none), or of one byte each where `split` is SIZE_MAX. */
static void run(const char *bytes, size_t len, size_t split, struct outcome *ret)
{
	struct http_parser *p;

	memset(ret, 0, sizeof *ret);
	assert_int_equal(http_parser_new(&p), RC_OK);
	if (split == SIZE_MAX) {
		for (size_t i = 0; i < len && ret->rc == RC_OK; i++)
			ret->rc = feed(p, bytes + i, 1, ret);
	} else {
		ret->rc = feed(p, bytes, split, ret);
		if (ret->rc == RC_OK)
			ret->rc = feed(p, bytes + split, len - split, ret);
	}
	http_parser_free(p);
}

/* The outcome of the whole, checked to be that of every way to cut it in two and of single bytes. */
static struct outcome parse(const char *bytes, size_t len)
{
	struct outcome whole, other;

	run(bytes, len, 0, &whole);
	for (size_t split = 0; split <= len; split++) {
		run(bytes, len, split == 0 ? SIZE_MAX : split, &other);
		assert_int_equal(other.rc, whole.rc);
		assert_int_equal(other.n_heads, whole.n_heads);
		assert_int_equal(other.n_ends, whole.n_ends);
		if (whole.rc == RC_OK) {
			assert_int_equal(other.body_len, whole.body_len);
			assert_memory_equal(other.body, whole.body, whole.body_len);
			assert_memory_equal(&other.head, &whole.head, sizeof whole.head);
		}
	}
	return whole;
}

#define PARSE(text) parse(text, sizeof(text) - 1)

static void test_get(void **state)
{
	struct outcome o = PARSE("GET /v1/tables/continuity?period=2024-Q1&by=sex%20x HTTP/1.1\r\n"
				 "Host: localhost:8443\r\nAccept: text/csv, */*;q=0.1\r\nUser-Agent: x\r\n\r\n");
	assert_int_equal(o.rc, RC_OK);
	assert_int_equal(o.n_heads, 1);
	assert_int_equal(o.n_ends, 1);
	assert_int_equal(o.body_len, 0);
	assert_string_equal(o.head.method, "GET");
	assert_string_equal(o.head.path, "/v1/tables/continuity");
	assert_string_equal(o.head.query, "period=2024-Q1&by=sex%20x");
	assert_int_equal(o.head.accept, ACCEPT_CSV);
	assert_int_equal(o.head.content_length, 0);
	assert_int_equal(o.head.content, CONTENT_NONE);
	assert_true(o.head.keep_alive);
	assert_false(o.head.expect_continue);
	assert_false(o.head.foreign_origin);
}

static void test_post_with_length(void **state)
{
	struct outcome o = PARSE("POST /v1/batches HTTP/1.1\r\nhost: [::1]:8443\r\nCONTENT-LENGTH:  5  \r\n"
				 "Content-Type: application/x-protobuf\r\nContent-Encoding: gzip\r\n"
				 "Expect: 100-Continue\r\nConnection: foo, Close\r\n\r\nhello");
	assert_int_equal(o.rc, RC_OK);
	assert_int_equal(o.n_ends, 1);
	assert_int_equal(o.body_len, 5);
	assert_memory_equal(o.body, "hello", 5);
	assert_int_equal(o.head.content_length, 5);
	assert_int_equal(o.head.content, CONTENT_PROTOBUF);
	assert_int_equal(o.head.encoding, ENCODING_GZIP);
	assert_int_equal(o.head.content_rc, RC_OK);
	assert_true(o.head.expect_continue);
	assert_false(o.head.keep_alive);
}

static void test_post_chunked(void **state)
{
	struct outcome o = PARSE("POST /v1/batches HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n"
				 "Content-Type: application/json; charset=UTF-8\r\n\r\n"
				 "5\r\nhello\r\n00a\r\n, strange \r\n1\r\n!\r\n0\r\n\r\n");
	assert_int_equal(o.rc, RC_OK);
	assert_int_equal(o.n_ends, 1);
	assert_int_equal(o.head.content_length, -1);
	assert_int_equal(o.head.content, CONTENT_JSON);
	assert_int_equal(o.body_len, 16);
	assert_memory_equal(o.body, "hello, strange !", 16);
}

static void test_pipelined(void **state)
{
	struct outcome o =
		PARSE("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
		      "POST /v1/releases HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
		      "POST /v1/batches HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
		      "GET /v1/study HTTP/1.1\r\nHost: b\r\n\r\n"
		      "GET /un");
	assert_int_equal(o.rc, RC_OK);
	assert_int_equal(o.n_heads, 4);
	assert_int_equal(o.n_ends, 4);
	assert_memory_equal(o.body, "{}x", 3);
	assert_string_equal(o.head.path, "/v1/study");
	/* Nothing of an earlier request is left in a later one. */
	assert_int_equal(o.head.content_length, 0);
}

static void test_escapes_and_fields(void **state)
{
	struct outcome o = PARSE("GET /v1/%74ables/a%2Eb~c HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_int_equal(o.rc, RC_OK);
	assert_string_equal(o.head.path, "/v1/tables/a.b~c");

	o = PARSE("GET / HTTP/1.1\r\nHost: a:443\r\nOrigin: https://A:443\r\n\r\n");
	assert_int_equal(o.rc, RC_OK);
	assert_false(o.head.foreign_origin);
	o = PARSE("GET / HTTP/1.1\r\nHost: a:443\r\nOrigin: https://b:443\r\n\r\n");
	assert_true(o.head.foreign_origin);
	o = PARSE("GET / HTTP/1.1\r\nOrigin: null\r\nHost: a:443\r\n\r\n");
	assert_true(o.head.foreign_origin);
	o = PARSE("GET / HTTP/1.1\r\nOrigin: http://a\r\nHost: a\r\n\r\n");
	assert_true(o.head.foreign_origin);

	o = PARSE("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(o.rc, RC_OK);
	assert_int_equal(o.head.content_rc, RC_MEDIA_TYPE);
	o = PARSE("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json; charset=latin1\r\nContent-Length: "
		  "0\r\n\r\n");
	assert_int_equal(o.head.content_rc, RC_MEDIA_TYPE);
	o = PARSE("POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip, gzip\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(o.head.content_rc, RC_MEDIA_TYPE);
	/* A long name that starts like one of ours is another name, and passes unread. */
	o = PARSE("GET / HTTP/1.1\r\nHost: a\r\nContent-LengthContent-LengthContent-LengthContent-Length: 5\r\n\r\n");
	assert_int_equal(o.rc, RC_OK);
	assert_int_equal(o.head.content_length, 0);
}

#define HOST "Host: a\r\n"
#define POST "POST /v1/batches HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

struct bad {
	const char *what, *bytes;
	size_t len;
};
#define BAD(what, text)                                                                                                \
	{                                                                                                              \
		what, text, sizeof(text) - 1                                                                           \
	}

static const struct bad bad_requests[] = {
	/* the request line */
	BAD("empty line before it", "\r\nGET / HTTP/1.1\r\n" HOST "\r\n"),
	BAD("space before it", " GET / HTTP/1.1\r\n" HOST "\r\n"),
	BAD("two spaces", "GET  / HTTP/1.1\r\n" HOST "\r\n"),
	BAD("a tab", "GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
	BAD("space at its end", "GET / HTTP/1.1 \r\n" HOST "\r\n"),
	BAD("no version (0.9)", "GET /\r\n\r\n"),
	BAD("HTTP/0.9", "GET / HTTP/0.9\r\n" HOST "\r\n"),
	BAD("HTTP/1.0", "GET / HTTP/1.0\r\n" HOST "\r\n"),
	BAD("HTTP/1.2", "GET / HTTP/1.2\r\n" HOST "\r\n"),
	BAD("HTTP/2.0", "GET / HTTP/2.0\r\n" HOST "\r\n"),
	BAD("the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	BAD("version that wraps", "GET / HTTP/1.4294967297\r\n" HOST "\r\n"),
	BAD("version 1.10", "GET / HTTP/1.10\r\n" HOST "\r\n"),
	BAD("version 01.1", "GET / HTTP/01.1\r\n" HOST "\r\n"),
	BAD("lower-case http", "GET / http/1.1\r\n" HOST "\r\n"),
	BAD("lower-case method", "get / HTTP/1.1\r\n" HOST "\r\n"),
	BAD("unknown method", "FETCH / HTTP/1.1\r\n" HOST "\r\n"),
	BAD("endless method", "AAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n" HOST "\r\n"),
	BAD("NUL in the target", "GET /\0 HTTP/1.1\r\n" HOST "\r\n"),
	BAD("high byte in the target", "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"),
	BAD("TLS inside TLS", "\x16\x03\x01\x02\x00\x01"),
	/* targets */
	BAD("absolute form", "GET http://a/healthz HTTP/1.1\r\n" HOST "\r\n"),
	BAD("https absolute form", "GET https://a/healthz HTTP/1.1\r\n" HOST "\r\n"),
	BAD("asterisk form", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"),
	BAD("authority form", "CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n"),
	BAD("no leading slash", "GET healthz HTTP/1.1\r\n" HOST "\r\n"),
	BAD("fragment", "GET /healthz#x HTTP/1.1\r\n" HOST "\r\n"),
	BAD("empty segment", "GET //healthz HTTP/1.1\r\n" HOST "\r\n"),
	BAD("trailing slash", "GET /v1/tables/ HTTP/1.1\r\n" HOST "\r\n"),
	BAD("dot segment", "GET /v1/./tables HTTP/1.1\r\n" HOST "\r\n"),
	BAD("dot-dot segment", "GET /v1/../healthz HTTP/1.1\r\n" HOST "\r\n"),
	BAD("encoded dot-dot", "GET /v1/%2e%2E/healthz HTTP/1.1\r\n" HOST "\r\n"),
	BAD("encoded slash", "GET /v1%2ftables HTTP/1.1\r\n" HOST "\r\n"),
	BAD("encoded backslash", "GET /v1%5ctables HTTP/1.1\r\n" HOST "\r\n"),
	BAD("backslash", "GET /v1\\tables HTTP/1.1\r\n" HOST "\r\n"),
	BAD("encoded NUL", "GET /v1/%00 HTTP/1.1\r\n" HOST "\r\n"),
	BAD("encoded CRLF", "GET /v1/%0d%0a HTTP/1.1\r\n" HOST "\r\n"),
	BAD("encoded percent", "GET /v1/%2574ables HTTP/1.1\r\n" HOST "\r\n"),
	BAD("encoded high byte", "GET /v1/%c3%a9 HTTP/1.1\r\n" HOST "\r\n"),
	BAD("half an escape", "GET /v1/%4 HTTP/1.1\r\n" HOST "\r\n"),
	BAD("an escape that is none", "GET /v1/%zz HTTP/1.1\r\n" HOST "\r\n"),
	BAD("NUL in the query", "GET /v1/tables?x=%00 HTTP/1.1\r\n" HOST "\r\n"),
	BAD("half an escape in the query", "GET /v1/tables?x=% HTTP/1.1\r\n" HOST "\r\n"),
	/* line ends and field syntax */
	BAD("bare LF after the request line", "GET / HTTP/1.1\n" HOST "\r\n"),
	BAD("bare CR after the request line", "GET / HTTP/1.1\r" HOST "\r\n"),
	BAD("bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
	BAD("bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
	BAD("bare CR in a field", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
	BAD("CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
	BAD("folded field", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n"),
	BAD("field folded by a tab", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n"),
	BAD("fold before any field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
	BAD("space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
	BAD("tab before the colon", "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n"),
	BAD("space in a name", "GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n"),
	BAD("no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
	BAD("empty name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
	BAD("NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\0Y: b\r\n\r\n"),
	BAD("NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n"),
	BAD("control byte in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\x0b\r\n\r\n"),
	BAD("DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\x7f\r\n\r\n"),
	BAD("high byte in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n"),
	BAD("high byte in a name", "GET / HTTP/1.1\r\nHost: a\r\n\xe9: b\r\n\r\n"),
	/* Host */
	BAD("no Host", "GET / HTTP/1.1\r\nX: b\r\n\r\n"),
	BAD("no fields at all", "GET / HTTP/1.1\r\n\r\n"),
	BAD("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
	BAD("two equal Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"),
	BAD("empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
	BAD("Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
	BAD("Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
	BAD("Host with a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
	BAD("Host with no port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n"),
	BAD("Host with a long port", "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n"),
	/* how long is the body? */
	BAD("two lengths", POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
	BAD("two equal lengths", POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
	BAD("two lengths, one in other case", POST "Content-Length: 1\r\ncontent-length: 0\r\n\r\nx"),
	BAD("two lengths in a GET", "GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\nContent-Length: 5\r\n\r\n"),
	BAD("length, folded", POST "Content-Length:\r\n 1\r\n\r\nx"),
	BAD("length hidden by a bare LF", POST "Content-Length: 0\nContent-Length: 1\r\n\r\nx"),
	BAD("length with a tail", POST "Content-Length: 1;\r\n\r\nx"),
	BAD("length that is a fraction", POST "Content-Length: 1.0\r\n\r\nx"),
	BAD("length in other digits", POST "Content-Length: \xd9\xa1\r\n\r\nx"),
	BAD("list of lengths", POST "Content-Length: 1, 1\r\n\r\nx"),
	BAD("signed length", POST "Content-Length: +1\r\n\r\nx"),
	BAD("negative length", POST "Content-Length: -1\r\n\r\n"),
	BAD("hexadecimal length", POST "Content-Length: 0x1\r\n\r\nx"),
	BAD("empty length", POST "Content-Length: \r\n\r\n"),
	BAD("length with a space", POST "Content-Length: 1 1\r\n\r\nx"),
	BAD("length that wraps", POST "Content-Length: 18446744073709551617\r\n\r\nx"),
	BAD("length over 2^63", POST "Content-Length: 9999999999999999999\r\n\r\nx"),
	BAD("length and chunked", POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	BAD("chunked and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n"),
	BAD("no length at all", POST "\r\n"),
	BAD("gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
	BAD("chunked, gzip", POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
	BAD("chunked twice", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
	BAD("two codings", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	BAD("identity", POST "Transfer-Encoding: identity\r\n\r\n"),
	BAD("gzip", POST "Transfer-Encoding: gzip\r\n\r\n"),
	BAD("xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n"),
	BAD("chunked with a parameter", POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
	BAD("vertical tab before chunked", POST "Transfer-Encoding: \x0b"
						"chunked\r\n\r\n0\r\n\r\n"),
	BAD("NUL after chunked", POST "Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n"),
	BAD("chunked, nothing", POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"),
	BAD("chunked hidden by a bare LF", POST "X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	BAD("chunked hidden by a bare CR", POST "X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	BAD("chunked, name folded", POST "Transfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n"),
	BAD("chunked, value folded", POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
	BAD("quoted chunked", POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
	BAD("empty coding", POST "Transfer-Encoding:\r\n\r\n"),
	/* chunks */
	BAD("chunk size 0x1", CHUNKED "0x1\r\na\r\n0\r\n\r\n"),
	BAD("chunk size +1", CHUNKED "+1\r\na\r\n0\r\n\r\n"),
	BAD("chunk size -1", CHUNKED "-1\r\na\r\n0\r\n\r\n"),
	BAD("space before a size", CHUNKED " 1\r\na\r\n0\r\n\r\n"),
	BAD("space after a size", CHUNKED "1 \r\na\r\n0\r\n\r\n"),
	BAD("no size", CHUNKED "\r\na\r\n0\r\n\r\n"),
	BAD("size of nine digits", CHUNKED "000000001\r\na\r\n0\r\n\r\n"),
	BAD("size of sixteen digits", CHUNKED "FFFFFFFFFFFFFFFF\r\na\r\n0\r\n\r\n"),
	BAD("size that wraps", CHUNKED "10000000000000001\r\na\r\n0\r\n\r\n"),
	BAD("chunk extension", CHUNKED "1;a=b\r\na\r\n0\r\n\r\n"),
	BAD("extension without a value", CHUNKED "1;\r\na\r\n0\r\n\r\n"),
	BAD("extension with a line end in quotes", CHUNKED "1;a=\"\r\n0\r\n\r\n\"\r\na\r\n0\r\n\r\n"),
	BAD("extension with a bare LF", CHUNKED "1;\na\r\n0\r\n\r\n"),
	BAD("tab before a size", CHUNKED "\t1\r\na\r\n0\r\n\r\n"),
	BAD("size in other letters", CHUNKED "g\r\na\r\n0\r\n\r\n"),
	BAD("size with an underscore", CHUNKED "1_0\r\na\r\n0\r\n\r\n"),
	BAD("size of zeros without end", CHUNKED "0000000000000000\r\n\r\n"),
	BAD("CR CR LF after a size", CHUNKED "1\r\r\na\r\n0\r\n\r\n"),
	BAD("chunk shorter than said", CHUNKED "3\r\na\r\n0\r\n\r\n"),
	BAD("extension of the last chunk", CHUNKED "1\r\na\r\n0;x\r\n\r\n"),
	BAD("bare LF after a size", CHUNKED "1\na\r\n0\r\n\r\n"),
	BAD("bare CR after a size", CHUNKED "1\ra\r\n0\r\n\r\n"),
	BAD("bare LF after a chunk", CHUNKED "1\r\na\n0\r\n\r\n"),
	BAD("no line end after a chunk", CHUNKED "1\r\naX\r\n0\r\n\r\n"),
	BAD("chunk longer than said", CHUNKED "1\r\nab\r\n0\r\n\r\n"),
	BAD("trailer", CHUNKED "1\r\na\r\n0\r\nX: b\r\n\r\n"),
	BAD("trailer that is a length", CHUNKED "0\r\nContent-Length: 5\r\n\r\n"),
	BAD("bare LF at the end of chunks", CHUNKED "1\r\na\r\n0\r\n\n"),
	/* others */
	BAD("Upgrade", "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
	BAD("Upgrade without Connection", "GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n"),
	BAD("another expectation", POST "Expect: 200-ok\r\nContent-Length: 1\r\n\r\n"),
	BAD("two expectations", POST "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"),
	BAD("two content types", POST "Content-Type: application/json\r\nContent-Type: application/json\r\n\r\n"),
	BAD("two content encodings", POST "Content-Encoding: gzip\r\nContent-Encoding: identity\r\n\r\n"),
	BAD("two origins", "GET / HTTP/1.1\r\n" HOST "Origin: https://a\r\nOrigin: https://a\r\n\r\n"),
};

static void test_ambiguities_are_refused(void **state)
{
	for (size_t i = 0; i < sizeof bad_requests / sizeof bad_requests[0]; i++) {
		struct outcome o = parse(bad_requests[i].bytes, bad_requests[i].len);
		if (o.rc != RC_MALFORMED || o.n_ends != 0)
			fail_msg("not refused: %s (rc %s, %u ends)", bad_requests[i].what, rc_name(o.rc), o.n_ends);
	}
}

/* A request before the bad one is still a request, and nothing after the bad one is. */
static void test_error_stays_where_it_is(void **state)
{
	struct outcome o = PARSE("GET /healthz HTTP/1.1\r\n" HOST "\r\n"
				 "GET / HTTP/1.1\r\nHost : a\r\n\r\n"
				 "GET /healthz HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(o.rc, RC_MALFORMED);
	assert_int_equal(o.n_ends, 1);
}

/* Unfinished messages are no error, but no end either. */
static void test_truncated_is_not_an_end(void **state)
{
	static const char *const texts[] = {
		"",
		"GET",
		"GET / HTTP/1.1\r\n" HOST,
		POST "Content-Length: 3\r\n\r\nxx",
		CHUNKED "1\r\na\r\n",
		CHUNKED "1\r\na\r\n0\r\n\r",
	};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct outcome o = parse(texts[i], strlen(texts[i]));
		assert_int_equal(o.rc, RC_OK);
		assert_int_equal(o.n_ends, 0);
	}
}

static enum rc parse_generated(const char *start, const char *repeat, size_t n, const char *end)
{
	size_t len = strlen(start) + n * strlen(repeat) + strlen(end);
	char *text = malloc(len + 1), *at = text;
	struct outcome o;

	assert_non_null(text);
	at = stpcpy(at, start);
	for (size_t i = 0; i < n; i++)
		at = stpcpy(at, repeat);
	at = stpcpy(at, end);
	run(text, len, SIZE_MAX, &o);
	free(text);
	return o.rc;
}

static void test_limits_of_the_head(void **state)
{
	static const char end[] = "\r\n\r\n";

	assert_int_equal(parse_generated("GET /", "a", 400, " HTTP/1.1\r\n" HOST "\r\n"), RC_OK);
	assert_int_equal(parse_generated("GET /", "a", 600, " HTTP/1.1\r\n" HOST "\r\n"), RC_HEADERS);
	assert_int_equal(parse_generated("GET /?", "a", PIPE_QUERY_CAP - 1, " HTTP/1.1\r\n" HOST "\r\n"), RC_OK);
	assert_int_equal(parse_generated("GET /?", "a", PIPE_QUERY_CAP, " HTTP/1.1\r\n" HOST "\r\n"), RC_HEADERS);
	assert_int_equal(parse_generated("GET /", "a", 100000, ""), RC_HEADERS);
	assert_int_equal(parse_generated("GET / HTTP/1.1\r\n" HOST, "X: y\r\n", HTTP_MAX_FIELDS - 1, "\r\n"), RC_OK);
	assert_int_equal(parse_generated("GET / HTTP/1.1\r\n" HOST, "X: y\r\n", HTTP_MAX_FIELDS, "\r\n"), RC_HEADERS);
	assert_int_equal(parse_generated("GET / HTTP/1.1\r\n" HOST "X: ", "y", 10000, end), RC_OK);
	assert_int_equal(parse_generated("GET / HTTP/1.1\r\n" HOST "X: ", "y", HTTP_HEAD_CAP, end), RC_HEADERS);
	assert_int_equal(parse_generated("GET / HTTP/1.1\r\n" HOST "Accept: ", "y", 2000, end), RC_HEADERS);
	assert_int_equal(parse_generated("GET / HTTP/1.1\r\n" HOST, "X", HTTP_HEAD_CAP, end), RC_HEADERS);
}

/* Any single byte of good requests replaced by any other: refused, or the same number of requests. Never a body that is
 * taken for a head. */
static void test_each_byte_mutated(void **state)
{
	static const char good[] = CHUNKED "2\r\nab\r\n0\r\n\r\n"
					   "POST /v1/batches HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\n\r\n"
					   "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
	char text[sizeof good];
	size_t len = sizeof good - 1;
	unsigned n_refused = 0;

	for (size_t i = 0; i < len; i++)
		for (unsigned v = 0; v < 256; v++) {
			struct outcome o;
			memcpy(text, good, sizeof good);
			text[i] = (char)v;
			run(text, len, 0, &o);
			n_refused += o.rc != RC_OK;
			if (strncmp(o.head.path, "/smuggled", 9) == 0 && o.rc == RC_OK)
				fail_msg("smuggled with byte %zu = %u", i, v);
		}
	assert_true(n_refused > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_post_with_length),
		cmocka_unit_test(test_post_chunked),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_escapes_and_fields),
		cmocka_unit_test(test_ambiguities_are_refused),
		cmocka_unit_test(test_error_stays_where_it_is),
		cmocka_unit_test(test_truncated_is_not_an_end),
		cmocka_unit_test(test_limits_of_the_head),
		cmocka_unit_test(test_each_byte_mutated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
