/* Heads of answers, and the front's own answers: problem+json made from a result code (RFC 9457). Pure. The front makes
 * no text of its own beyond these: media types are a closed list, and a `detail` is always a constant. */
#ifndef DAEMON_FRONT_HTTP_REPLY_H
#define DAEMON_FRONT_HTTP_REPLY_H

#include <stdbool.h>
#include <time.h>

#include "daemon/base/pipe.h"
#include "proto/bytes.h"
#include "proto/rc.h"

struct http_reply_options {
	time_t now;
	bool keep_alive;
	bool without_body; /* the answer to HEAD: its length is said, its bytes are not sent */
	const char *allow; /* Allow field of a 405; NULL = none */
	unsigned retry_after_s; /* of a 429 or 503; 0 = the usual */
};

void http_reply_continue(struct buffer *out);
void http_reply_head(struct buffer *out, const struct pipe_reply *reply, const struct http_reply_options *options);
/* A whole answer. `detail` (may be NULL) is printable ASCII without quotes or backslashes. */
void http_reply_problem(struct buffer *out, enum rc rc, const char *detail, const struct http_reply_options *options);

#endif
