/* libs: tc_front */
/* The request parser on hostile bytes. The first byte says in how big pieces the rest is fed; outcome, heads and bodies
 * must be those of one piece. What is taken must keep to the promises of http_parser.h. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/front/http_parser.h"

struct outcome {
	enum rc rc;
	unsigned n_heads, n_ends;
	uint64_t body_len, body_sum, head_sum;
};

static uint64_t mix(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *at = data;
	for (size_t i = 0; i < len; i++)
		sum = (sum ^ at[i]) * 0x100000001b3u;
	return sum;
}

static void check_head(const struct http_head *h, struct outcome *o)
{
	if (h->path[0] != '/' || strstr(h->path, "//") != NULL || strstr(h->path, "/../") != NULL ||
	    strchr(h->path, '%') != NULL || strchr(h->path, '\\') != NULL || h->content_length < -1 ||
	    strlen(h->path) >= HTTP_PATH_CAP || strlen(h->query) >= PIPE_QUERY_CAP)
		abort();
	for (const char *at = h->path; *at != '\0'; at++)
		if (*at < ' ' || *at > '~')
			abort();
	o->head_sum = mix(o->head_sum, h->path, strlen(h->path) + 1);
	o->head_sum = mix(o->head_sum, h->query, strlen(h->query) + 1);
	o->head_sum = mix(o->head_sum, &h->content_length, sizeof h->content_length);
}

static void feed(struct http_parser *p, const uint8_t *data, size_t len, struct outcome *o)
{
	for (size_t at = 0; o->rc == RC_OK;) {
		struct http_event e;
		o->rc = http_parser_next(p, data + at, len - at, &e);
		if (o->rc != RC_OK || e.kind == HTTP_EVENT_MORE)
			break;
		if (e.used > len - at)
			abort();
		at += e.used;
		if (e.kind == HTTP_EVENT_HEAD) {
			o->n_heads++;
			check_head(http_parser_head(p), o);
		} else if (e.kind == HTTP_EVENT_BODY) {
			o->body_len += e.len;
			o->body_sum = mix(o->body_sum, e.data, e.len);
		} else {
			o->n_ends++;
		}
	}
}

static struct outcome run(const uint8_t *data, size_t len, size_t step)
{
	struct outcome o = {.rc = RC_OK};
	struct http_parser *p;

	if (http_parser_new(&p) != RC_OK)
		abort();
	for (size_t at = 0; at < len && o.rc == RC_OK; at += step)
		feed(p, data + at, len - at < step ? len - at : step, &o);
	http_parser_free(p);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t steps[] = {1, 2, 3, 7, 31, 100, 1000, 4096};

	if (size == 0)
		return 0;
	struct outcome whole = run(data + 1, size - 1, size);
	struct outcome pieces = run(data + 1, size - 1, steps[data[0] % 8]);
	/* Of two faults in one head, which is seen first may depend on the pieces; that it is refused may not. */
	if ((whole.rc == RC_OK) != (pieces.rc == RC_OK) || whole.n_heads != pieces.n_heads ||
	    whole.n_ends != pieces.n_ends || whole.head_sum != pieces.head_sum)
		abort();
	/* A refused message may have given out more or less of its body before it was refused. */
	if (whole.rc == RC_OK && (whole.body_len != pieces.body_len || whole.body_sum != pieces.body_sum))
		abort();
	if (whole.n_ends > whole.n_heads || (whole.rc == RC_OK && whole.n_heads > whole.n_ends + 1))
		abort();
	return 0;
}
