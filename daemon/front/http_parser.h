/* Parser of one HTTP/1.1 request after another, in the strict subset that this daemon speaks. Pure: bytes in, events
 * out; it makes no difference how the bytes are cut into pieces.
 *
 * Two readers go over every byte, the gate (http_gate.h) and llhttp, and a message on whose head, body or end they
 * differ is refused. On top of RFC 9112 it refuses: no Host or two, any Transfer-Encoding but `chunked`, a second
 * Content-Length, Content-Type, Content-Encoding, Expect or Origin, Upgrade, a POST
 * without a length, targets that are not in origin form.
 * After an error the connection cannot be used any more, since nobody knows where the next request starts. */
#ifndef DAEMON_FRONT_HTTP_PARSER_H
#define DAEMON_FRONT_HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/pipe.h"
#include "daemon/front/http_fields.h"
#include "daemon/front/http_gate.h"
#include "proto/rc.h"

struct http_head {
	char method[HTTP_METHOD_CAP];
	char path[HTTP_PATH_CAP];   /* decoded */
	char query[PIPE_QUERY_CAP]; /* still encoded, without '?' */
	enum pipe_accept accept;
	enum pipe_content content;
	enum rc content_rc; /* MEDIA_TYPE: a content type or encoding that we do not take */
	enum content_encoding encoding;
	int64_t content_length; /* of the body; 0 = none, -1 = chunked */
	bool expect_continue;
	bool keep_alive;
	bool foreign_origin; /* Origin is there and is not our own */
};

enum http_event_kind {
	HTTP_EVENT_MORE, /* the bytes are used up */
	HTTP_EVENT_HEAD, /* http_parser_head() is complete */
	HTTP_EVENT_BODY, /* `data`, `len`: some body bytes, as sent */
	HTTP_EVENT_END,  /* the request is over; the parser is ready for the next */
};

struct http_event {
	enum http_event_kind kind;
	size_t used;         /* bytes of the input that are done with; may be 0 */
	const uint8_t *data; /* HTTP_EVENT_BODY: borrows the input */
	size_t len;
};

struct http_parser;
enum rc http_parser_new(struct http_parser **ret) MUST_CHECK; /* NOMEM */
void http_parser_free(struct http_parser *p);
/* Parse up to the next event. `data` is NULL-safe where len is 0. Errors: MALFORMED, HEADERS (too long or too many);
 * after one, only http_parser_free() is allowed. */
enum rc http_parser_next(struct http_parser *p, const uint8_t *data, size_t len, struct http_event *ret) MUST_CHECK;
/* The head of the present request; valid from HTTP_EVENT_HEAD until HTTP_EVENT_END. */
const struct http_head *http_parser_head(const struct http_parser *p);
/* Has a request begun whose head is not complete? */
bool http_parser_in_head(const struct http_parser *p);

#endif
