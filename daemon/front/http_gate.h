/* The byte-level gate in front of llhttp: which bytes make up a head and a body in the strict subset of HTTP/1.1.
 *
 * Smuggling needs two parsers that disagree about where a message ends. So the gate takes one reading only (RFC 9112
 * without a single one of its "MAY be lenient" clauses) and finds every boundary itself; llhttp then parses the same
 * bytes, and http_parser.c refuses the message when the two differ. Refused here: anything but CRLF line ends, folded
 * lines, a space before the colon, control and non-ASCII bytes, empty lines before the request line, any version but
 * HTTP/1.1, chunk extensions, trailers, chunk sizes that are not 1 to 8 plain hex digits. */
#ifndef DAEMON_FRONT_HTTP_GATE_H
#define DAEMON_FRONT_HTTP_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

enum {
	HTTP_HEAD_CAP = 16 * 1024, /* bytes of request line and fields */
	HTTP_METHOD_CAP = 16,
	HTTP_TARGET_CAP = 2048,
	HTTP_MAX_FIELDS = 64,
	HTTP_CHUNK_DIGITS = 8,
};

struct http_gate {
	unsigned state;
	size_t n; /* bytes in the present token */
	size_t head_len, n_fields;
	uint64_t left; /* of the body, or of the present chunk */
};

/* What a range of bytes turned out to be. */
enum http_range {
	HTTP_RANGE_MORE,     /* part of the head or of chunk framing; more is to come */
	HTTP_RANGE_HEAD_END, /* the head ends with this range */
	HTTP_RANGE_BODY,     /* body bytes, all of it */
	HTTP_RANGE_END,      /* the chunked body ends with this range */
};

void http_gate_init(struct http_gate *g);
/* Length of the first range of `data` that is of one kind; at least 1 where len is.
 * Errors: MALFORMED, HEADERS (a limit of the head). After an error the gate must not be used again. */
enum rc http_gate_scan(struct http_gate *g, const uint8_t *data, size_t len, enum http_range *ret_kind,
		       size_t *ret_len) MUST_CHECK;
/* After HTTP_RANGE_HEAD_END: how the body is framed. Without either call there is none. */
void http_gate_expect_length(struct http_gate *g, uint64_t length);
void http_gate_expect_chunks(struct http_gate *g);

#endif
