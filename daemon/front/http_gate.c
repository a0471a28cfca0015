/* The byte-level gate of the HTTP parser: see http_gate.h. One state a byte position, no look-ahead, so that it makes
 * no difference how the bytes are cut into pieces. */
#include "daemon/front/http_gate.h"

#include <string.h>

#include "proto/bytes.h"

enum state {
	METHOD,
	TARGET,
	VERSION,
	LINE_LF,
	LINE_START,
	NAME,
	VALUE,
	HEAD_LF,
	LENGTH_BODY,
	CHUNK_SIZE,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	LAST_CR,
	LAST_LF,
	NOTHING, /* the message is over, or has failed: no byte is right */
};

void http_gate_init(struct http_gate *g)
{
	*g = (struct http_gate){.state = METHOD};
}

void http_gate_expect_length(struct http_gate *g, uint64_t length)
{
	g->left = length;
	g->state = length > 0 ? LENGTH_BODY : NOTHING;
}

void http_gate_expect_chunks(struct http_gate *g)
{
	g->state = CHUNK_SIZE;
	g->n = 0;
	g->left = 0;
}

/* RFC 9110 section 5.6.2: the characters of a token. */
static bool is_token_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static enum rc step_to(struct http_gate *g, enum state state)
{
	g->state = state;
	g->n = 0;
	return RC_OK;
}

static enum rc step_request_line(struct http_gate *g, uint8_t c)
{
	static const char version[] = "HTTP/1.1";

	switch (g->state) {
	case METHOD:
		if (c == ' ' && g->n > 0)
			return step_to(g, TARGET);
		if (c < 'A' || c > 'Z' || ++g->n >= HTTP_METHOD_CAP)
			return RC_MALFORMED;
		return RC_OK;
	case TARGET:
		if (c == ' ' && g->n > 0)
			return step_to(g, VERSION);
		if (c <= ' ' || c > '~')
			return RC_MALFORMED;
		return ++g->n >= HTTP_TARGET_CAP ? RC_HEADERS : RC_OK;
	default:
		if (g->n == sizeof version - 1 && c == '\r')
			return step_to(g, LINE_LF);
		if (g->n >= sizeof version - 1 || c != (uint8_t)version[g->n])
			return RC_MALFORMED;
		g->n++;
		return RC_OK;
	}
}

static enum rc step_field(struct http_gate *g, uint8_t c)
{
	switch (g->state) {
	case LINE_LF:
		return c == '\n' ? step_to(g, LINE_START) : RC_MALFORMED;
	case LINE_START:
		if (c == '\r')
			return step_to(g, HEAD_LF);
		/* A space here would fold the line into the one before. */
		if (!is_token_char(c))
			return RC_MALFORMED;
		g->state = NAME;
		return ++g->n_fields > HTTP_MAX_FIELDS ? RC_HEADERS : RC_OK;
	case NAME:
		if (c == ':')
			return step_to(g, VALUE);
		return is_token_char(c) ? RC_OK : RC_MALFORMED;
	case VALUE:
		if (c == '\r')
			return step_to(g, LINE_LF);
		return c == '\t' || (c >= ' ' && c <= '~') ? RC_OK : RC_MALFORMED;
	default:
		return c == '\n' ? step_to(g, NOTHING) : RC_MALFORMED;
	}
}

static enum rc step_chunk(struct http_gate *g, uint8_t c)
{
	switch (g->state) {
	case CHUNK_SIZE:
		if (c == '\r' && g->n > 0)
			return step_to(g, CHUNK_SIZE_LF);
		if (hex_digit(c) < 0 || ++g->n > HTTP_CHUNK_DIGITS)
			return RC_MALFORMED;
		g->left = g->left << 4 | (unsigned)hex_digit(c);
		return RC_OK;
	case CHUNK_SIZE_LF:
		if (c != '\n')
			return RC_MALFORMED;
		return step_to(g, g->left > 0 ? CHUNK_DATA : LAST_CR);
	case CHUNK_DATA_CR:
		return c == '\r' ? step_to(g, CHUNK_DATA_LF) : RC_MALFORMED;
	case CHUNK_DATA_LF:
		return c == '\n' ? step_to(g, CHUNK_SIZE) : RC_MALFORMED;
	case LAST_CR:
		/* Anything else would be a trailer field. */
		return c == '\r' ? step_to(g, LAST_LF) : RC_MALFORMED;
	case LAST_LF:
		return c == '\n' ? step_to(g, NOTHING) : RC_MALFORMED;
	default:
		return RC_MALFORMED;
	}
}

static enum rc scan_head(struct http_gate *g, const uint8_t *data, size_t len, enum http_range *ret_kind,
			 size_t *ret_len)
{
	size_t i = 0;

	while (i < len && g->state != NOTHING) {
		if (++g->head_len > HTTP_HEAD_CAP)
			return RC_HEADERS;
		enum rc rc = g->state <= VERSION ? step_request_line(g, data[i]) : step_field(g, data[i]);
		if (rc != RC_OK)
			return rc;
		i++;
	}
	*ret_kind = g->state == NOTHING ? HTTP_RANGE_HEAD_END : HTTP_RANGE_MORE;
	*ret_len = i;
	return RC_OK;
}

static enum rc scan_framing(struct http_gate *g, const uint8_t *data, size_t len, enum http_range *ret_kind,
			    size_t *ret_len)
{
	size_t i = 0;

	while (i < len && g->state != NOTHING && g->state != CHUNK_DATA) {
		enum rc rc = step_chunk(g, data[i]);
		if (rc != RC_OK)
			return rc;
		i++;
	}
	*ret_kind = g->state == NOTHING ? HTTP_RANGE_END : HTTP_RANGE_MORE;
	*ret_len = i;
	return RC_OK;
}

enum rc http_gate_scan(struct http_gate *g, const uint8_t *data, size_t len, enum http_range *ret_kind, size_t *ret_len)
{
	if (g->state == NOTHING)
		return RC_MALFORMED;
	if (g->state < LENGTH_BODY)
		return scan_head(g, data, len, ret_kind, ret_len);
	if (g->state != LENGTH_BODY && g->state != CHUNK_DATA)
		return scan_framing(g, data, len, ret_kind, ret_len);

	size_t n = len < g->left ? len : (size_t)g->left;
	g->left -= n;
	if (g->left == 0)
		step_to(g, g->state == LENGTH_BODY ? NOTHING : CHUNK_DATA_CR);
	*ret_kind = HTTP_RANGE_BODY;
	*ret_len = n;
	return RC_OK;
}
