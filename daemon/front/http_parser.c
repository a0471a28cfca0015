/* The request parser: see http_parser.h. The gate finds a range of bytes of one kind; llhttp gets the same range and
 * must come to the same conclusion about it. */
#include "daemon/front/http_parser.h"

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NAME_CAP = 32, VALUE_CAP = 1024 };

enum phase { IN_HEAD, IN_BODY, AT_END };

/* Fields that we read; all others pass unread. */
enum field {
	FIELD_OTHER,
	FIELD_HOST,
	FIELD_CONTENT_LENGTH,
	FIELD_TRANSFER_ENCODING,
	FIELD_CONTENT_TYPE,
	FIELD_CONTENT_ENCODING,
	FIELD_EXPECT,
	FIELD_ORIGIN,
	FIELD_ACCEPT,
	FIELD_CONNECTION,
	FIELD_UPGRADE,
	N_FIELDS,
};

static const struct {
	const char *name;
	bool may_repeat;
} fields[N_FIELDS] = {
	[FIELD_HOST] = {"host", false},
	[FIELD_CONTENT_LENGTH] = {"content-length", false},
	[FIELD_TRANSFER_ENCODING] = {"transfer-encoding", false},
	[FIELD_CONTENT_TYPE] = {"content-type", false},
	[FIELD_CONTENT_ENCODING] = {"content-encoding", false},
	[FIELD_EXPECT] = {"expect", false},
	[FIELD_ORIGIN] = {"origin", false},
	[FIELD_ACCEPT] = {"accept", true},
	[FIELD_CONNECTION] = {"connection", true},
	[FIELD_UPGRADE] = {"upgrade", true},
};

struct http_parser {
	llhttp_t ll;
	struct http_gate gate;
	enum phase phase;
	bool any_byte; /* of the present request */
	/* what llhttp has said about the present range */
	bool ll_head_end, ll_end;
	const char *ll_body;
	size_t ll_body_len;
	enum rc error; /* why a callback stopped llhttp */
	/* the head, as it comes in */
	char target[HTTP_TARGET_CAP];
	size_t target_len;
	char name[NAME_CAP];
	size_t name_len;
	char value[VALUE_CAP];
	size_t value_len;
	bool seen[N_FIELDS];
	char host[HTTP_HOST_CAP], origin[HTTP_HOST_CAP + 16];
	struct http_head head;
};

/* ---- fields ---- */

static enum field find_field(const struct http_parser *p)
{
	for (int i = FIELD_OTHER + 1; i < N_FIELDS; i++)
		if (strlen(fields[i].name) == p->name_len && strncasecmp(fields[i].name, p->name, p->name_len) == 0)
			return (enum field)i;
	return FIELD_OTHER;
}

static enum rc copy_value(const char *value, char *out, size_t cap)
{
	if (strlen(value) >= cap)
		return RC_HEADERS;
	strcpy(out, value);
	return RC_OK;
}

static enum rc take_field(struct http_parser *p, enum field field)
{
	struct http_head *h = &p->head;
	enum rc rc;

	switch (field) {
	case FIELD_HOST:
		rc = http_check_host(p->value);
		return rc != RC_OK ? rc : copy_value(p->value, p->host, sizeof p->host);
	case FIELD_CONTENT_LENGTH:
		return http_parse_length(p->value, &h->content_length);
	case FIELD_TRANSFER_ENCODING:
		/* Not "gzip, chunked", not "chunked, chunked", not "identity". */
		if (strcasecmp(p->value, "chunked") != 0)
			return RC_MALFORMED;
		h->content_length = -1;
		return RC_OK;
	case FIELD_CONTENT_TYPE:
		if (http_parse_content_type(p->value, &h->content) != RC_OK)
			h->content_rc = RC_MEDIA_TYPE;
		return RC_OK;
	case FIELD_CONTENT_ENCODING:
		if (http_parse_content_encoding(p->value, &h->encoding) != RC_OK)
			h->content_rc = RC_MEDIA_TYPE;
		return RC_OK;
	case FIELD_EXPECT:
		h->expect_continue = strcasecmp(p->value, "100-continue") == 0;
		return h->expect_continue ? RC_OK : RC_MALFORMED;
	case FIELD_ORIGIN:
		return copy_value(p->value, p->origin, sizeof p->origin);
	case FIELD_ACCEPT:
		h->accept = http_parse_accept(p->value);
		return RC_OK;
	case FIELD_CONNECTION:
		if (http_list_has(p->value, "close"))
			h->keep_alive = false;
		return RC_OK;
	case FIELD_UPGRADE:
		return RC_MALFORMED;
	default:
		return RC_OK;
	}
}

/* A name and its value are complete. */
static enum rc end_field(struct http_parser *p)
{
	enum field field = find_field(p);
	enum rc rc = RC_OK;

	if (field != FIELD_OTHER) {
		if (p->seen[field] && !fields[field].may_repeat)
			return RC_MALFORMED;
		p->seen[field] = true;
		if (p->value_len >= sizeof p->value)
			return RC_HEADERS;
		while (p->value_len > 0 && strchr(" \t", p->value[p->value_len - 1]) != NULL)
			p->value_len--;
		p->value[p->value_len] = '\0';
		rc = take_field(p, field);
	}
	p->name_len = p->value_len = 0;
	return rc;
}

/* All fields are in: what they mean together. */
static enum rc end_head(struct http_parser *p)
{
	struct http_head *h = &p->head;

	if (!p->seen[FIELD_HOST] || (p->seen[FIELD_CONTENT_LENGTH] && p->seen[FIELD_TRANSFER_ENCODING]))
		return RC_MALFORMED;
	if (p->ll.http_major != 1 || p->ll.http_minor != 1)
		return RC_MALFORMED;
	const char *method = llhttp_method_name((llhttp_method_t)p->ll.method);
	if (strlen(method) >= sizeof h->method)
		return RC_MALFORMED;
	strcpy(h->method, method);
	/* A POST that does not say how long it is may have lost the field that did. */
	if (p->ll.method == HTTP_POST && !p->seen[FIELD_CONTENT_LENGTH] && !p->seen[FIELD_TRANSFER_ENCODING])
		return RC_MALFORMED;
	p->target[p->target_len] = '\0';
	enum rc rc = http_parse_target(p->target, h->path, h->query);
	if (rc != RC_OK)
		return rc;
	h->foreign_origin = p->seen[FIELD_ORIGIN] && !http_origin_is_own(p->origin, p->host);
	return RC_OK;
}

/* ---- llhttp's callbacks: record, refuse, never interpret ---- */

static struct http_parser *parser_of(llhttp_t *ll)
{
	return ll->data;
}

static int stop_unless_ok(struct http_parser *p, enum rc rc)
{
	if (rc == RC_OK)
		return 0;
	p->error = rc;
	return HPE_USER;
}

static int on_url(llhttp_t *ll, const char *at, size_t len)
{
	struct http_parser *p = parser_of(ll);

	if (len >= sizeof p->target - p->target_len)
		return stop_unless_ok(p, RC_HEADERS);
	memcpy(p->target + p->target_len, at, len);
	p->target_len += len;
	return 0;
}

static int on_name(llhttp_t *ll, const char *at, size_t len)
{
	struct http_parser *p = parser_of(ll);

	if (p->phase != IN_HEAD)
		return stop_unless_ok(p, RC_MALFORMED); /* a trailer */
	/* A name that does not fit is none of ours; its length alone keeps it from matching one. */
	for (size_t i = 0; i < len; i++, p->name_len++)
		if (p->name_len < sizeof p->name)
			p->name[p->name_len] = at[i];
	return 0;
}

static int on_value(llhttp_t *ll, const char *at, size_t len)
{
	struct http_parser *p = parser_of(ll);

	for (size_t i = 0; i < len; i++, p->value_len++)
		if (p->value_len < sizeof p->value)
			p->value[p->value_len] = at[i];
	return 0;
}

static int on_value_complete(llhttp_t *ll)
{
	return stop_unless_ok(parser_of(ll), end_field(parser_of(ll)));
}

static int on_headers_complete(llhttp_t *ll)
{
	struct http_parser *p = parser_of(ll);

	p->ll_head_end = true;
	/* 0 = go on as the fields say; an error is -1 here, since other values would skip the body. */
	return stop_unless_ok(p, end_head(p)) == 0 ? 0 : -1;
}

static int on_body(llhttp_t *ll, const char *at, size_t len)
{
	struct http_parser *p = parser_of(ll);

	if (p->ll_body == NULL)
		p->ll_body = at;
	p->ll_body_len += len;
	return 0;
}

static int on_extension(llhttp_t *ll, const char *at, size_t len)
{
	return stop_unless_ok(parser_of(ll), RC_MALFORMED);
}

static int on_message_complete(llhttp_t *ll)
{
	parser_of(ll)->ll_end = true;
	return 0;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_header_field = on_name,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_chunk_extension_name = on_extension,
	.on_chunk_extension_value = on_extension,
	.on_message_complete = on_message_complete,
};

/* ---- the parser ---- */

static void start_request(struct http_parser *p)
{
	memset(p, 0, sizeof *p);
	llhttp_init(&p->ll, HTTP_REQUEST, &settings);
	p->ll.data = p;
	http_gate_init(&p->gate);
	p->head.keep_alive = true;
}

enum rc http_parser_new(struct http_parser **ret)
{
	struct http_parser *p = malloc(sizeof *p);
	if (p == NULL)
		return RC_NOMEM;
	start_request(p);
	*ret = p;
	return RC_OK;
}

void http_parser_free(struct http_parser *p)
{
	free(p);
}

const struct http_head *http_parser_head(const struct http_parser *p)
{
	return &p->head;
}

bool http_parser_in_head(const struct http_parser *p)
{
	return p->phase == IN_HEAD && p->any_byte;
}

/* llhttp reads the range that the gate has found; both must agree on what it was. */
static enum rc second_opinion(struct http_parser *p, const uint8_t *data, size_t len, enum http_range kind)
{
	p->ll_head_end = false;
	p->ll_body = NULL;
	p->ll_body_len = 0;

	llhttp_errno_t err = llhttp_execute(&p->ll, (const char *)data, len);
	if (p->error != RC_OK)
		return p->error;
	if (err != HPE_OK || p->ll_head_end != (kind == HTTP_RANGE_HEAD_END))
		return RC_MALFORMED;
	if (kind == HTTP_RANGE_BODY)
		return p->ll_body == (const char *)data && p->ll_body_len == len ? RC_OK : RC_MALFORMED;
	return p->ll_body_len == 0 ? RC_OK : RC_MALFORMED;
}

/* The head has ended: tell the gate how the body is framed. */
static void begin_body(struct http_parser *p)
{
	int64_t length = p->head.content_length;

	if (length < 0)
		http_gate_expect_chunks(&p->gate);
	else
		http_gate_expect_length(&p->gate, (uint64_t)length);
	p->phase = IN_BODY;
}

static enum rc one_range(struct http_parser *p, const uint8_t *data, size_t len, struct http_event *ret)
{
	enum http_range kind;
	size_t n;

	enum rc rc = http_gate_scan(&p->gate, data, len, &kind, &n);
	if (rc == RC_OK)
		rc = second_opinion(p, data, n, kind);
	if (rc != RC_OK)
		return rc;

	bool is_end = false;
	switch (kind) {
	case HTTP_RANGE_MORE:
		break;
	case HTTP_RANGE_HEAD_END:
		begin_body(p);
		is_end = p->head.content_length == 0;
		ret->kind = HTTP_EVENT_HEAD;
		break;
	case HTTP_RANGE_BODY:
		is_end = p->head.content_length >= 0 && p->gate.left == 0;
		ret->kind = HTTP_EVENT_BODY;
		ret->data = data;
		ret->len = n;
		break;
	case HTTP_RANGE_END:
		is_end = true;
		break;
	}
	if (p->ll_end != is_end)
		return RC_MALFORMED;
	if (is_end)
		p->phase = AT_END;
	ret->used += n;
	return RC_OK;
}

enum rc http_parser_next(struct http_parser *p, const uint8_t *data, size_t len, struct http_event *ret)
{
	struct http_event event = {.kind = HTTP_EVENT_MORE};

	/* Framing bytes make no event: go on to the next range. */
	while (event.kind == HTTP_EVENT_MORE) {
		if (p->phase == AT_END) {
			start_request(p);
			event.kind = HTTP_EVENT_END;
			break;
		}
		if (event.used == len)
			break;
		p->any_byte = true;
		enum rc rc = one_range(p, data + event.used, len - event.used, &event);
		if (rc != RC_OK)
			return rc;
	}
	*ret = event;
	return RC_OK;
}
