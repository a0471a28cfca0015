/* libs: tc_base */
/* Messages of the pipe, from either side: the first byte says which. Every message that a getter takes must encode to
 * the very bytes it came from, so that nothing has two forms. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/pipe.h"

static void must_be(const struct buffer *b, const uint8_t *message, size_t len)
{
	if (b->len != len || memcmp(b->data, message, len) != 0)
		abort();
}

/* Decode the message and encode it again into `b`; false where the getter refuses it. */
static bool again(const struct pipe_message *m, struct buffer *b)
{
	struct pipe_request request;
	struct pipe_reply reply;
	struct pipe_refused refused;
	struct pipe_ready ready;
	struct pipe_counts counts;
	static struct pipe_listed listed;
	uint32_t credit;
	bool last;
	const uint8_t *pem;
	size_t pem_len;

	struct pipe_renewed renewed;
	struct pipe_trusted trusted;

	switch (m->type) {
	case PIPE_REQUEST:
		return pipe_get_request(m, &request) == RC_OK && pipe_put_request(b, m->id, &request) == RC_OK;
	case PIPE_REPLY:
		return pipe_get_reply(m, &reply) == RC_OK && pipe_put_reply(b, m->id, &reply) == RC_OK;
	case PIPE_REFUSED:
		return pipe_get_refused(m, &refused) == RC_OK && pipe_put_refused(b, &refused) == RC_OK;
	case PIPE_COUNTS:
		return pipe_get_counts(m, &counts) == RC_OK && pipe_put_counts(b, &counts) == RC_OK;
	case PIPE_FRONT_READY:
		return pipe_get_ready(m, &ready) == RC_OK && pipe_put_ready(b, &ready) == RC_OK;
	case PIPE_CREDIT:
		return pipe_get_credit(m, &credit) == RC_OK && pipe_put_credit(b, m->id, credit) == RC_OK;
	case PIPE_LISTED:
		return pipe_get_listed(m, &listed) == RC_OK && pipe_put_listed(b, &listed) == RC_OK;
	case PIPE_RENEWED:
		return pipe_get_renewed(m, &renewed) == RC_OK && pipe_put_renewed(b, &renewed) == RC_OK;
	case PIPE_TRUSTED:
		return pipe_get_trusted(m, &trusted) == RC_OK && pipe_put_trusted(b, &trusted) == RC_OK;
	case PIPE_AUTHORITIES:
	case PIPE_REVOKED:
	case PIPE_ACCESS:
		if (pipe_get_file(m, &last, &pem, &pem_len) != RC_OK)
			return false;
		if (pem != m->data + 1 || pem_len != m->len - 1)
			abort();
		return pipe_put_raw(b, m->type, m->id, m->data, m->len) == RC_OK;
	default:
		return pipe_put_raw(b, m->type, m->id, m->data, m->len) == RC_OK;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer b;

	if (size == 0)
		return 0;
	enum pipe_side side = data[0] & 1 ? PIPE_CORE : PIPE_FRONT;
	buffer_init(&b);
	for (size_t at = 1; at < size;) {
		struct pipe_message m;
		size_t used = 0;
		if (pipe_next(side, data + at, size - at, &m, &used) != RC_OK || used == 0)
			break;
		if (used > size - at || m.len != used - PIPE_HEADER_LEN)
			abort();
		buffer_reset(&b);
		if (again(&m, &b))
			must_be(&b, data + at, used);
		at += used;
	}
	buffer_deinit(&b);
	return 0;
}
