/* Coding of the messages between front and core: see pipe.h.
 *
 * Every field is checked on the way in, whichever side reads: a closed set of types a side, exact lengths, enums in
 * range, text in printable ASCII. What passes here can be used as an index or in a log line without a second look. */
#include "daemon/base/pipe.h"

#include <string.h>

enum {
	SMALL_MESSAGE_CAP = PIPE_HEADER_LEN + 4096,
	COUNTS_LEN = 6 * 8 + 4 + 8,
	RENEWED_LEN = 2 + 32,
};

/* ---- writing ---- */

static void put_header(struct writer *w, enum pipe_type type, uint64_t id, uint32_t len)
{
	write_u8(w, (uint8_t)type);
	write_u8(w, 0);
	write_u16(w, 0);
	write_u32(w, len);
	write_u64(w, id);
}

/* Finish a message whose payload stands in w behind room for the header. */
static enum rc put_message(struct buffer *out, enum pipe_type type, uint64_t id, struct writer *w)
{
	if (w->failed)
		return RC_TOO_LARGE;

	struct writer header;
	size_t len = writer_len(w);
	writer_init(&header, w->start, PIPE_HEADER_LEN);
	put_header(&header, type, id, (uint32_t)(len - PIPE_HEADER_LEN));
	buffer_append(out, w->start, len);
	return out->failed ? RC_NOMEM : RC_OK;
}

static void payload_init(struct writer *w, uint8_t *bytes, size_t cap)
{
	writer_init(w, bytes, cap);
	memset(bytes, 0, PIPE_HEADER_LEN);
	w->at = bytes + PIPE_HEADER_LEN;
}

static void put_identity(struct writer *w, const struct identity *who)
{
	write_string(w, who->client);
	write_u8(w, (uint8_t)who->roles);
	write_string(w, who->source);
	write_bytes(w, who->fingerprint, sizeof who->fingerprint);
}

enum rc pipe_put_request(struct buffer *out, uint64_t id, const struct pipe_request *request)
{
	uint8_t bytes[SMALL_MESSAGE_CAP];
	struct writer w;

	payload_init(&w, bytes, sizeof bytes);
	write_u8(&w, (uint8_t)request->type);
	put_identity(&w, &request->who);
	write_string(&w, request->argument);
	write_string(&w, request->query);
	write_u8(&w, (uint8_t)request->accept);
	write_u8(&w, (uint8_t)request->content);
	write_u8(&w, (uint8_t)request->encoding);
	write_u64(&w, (uint64_t)request->content_length);
	return put_message(out, PIPE_REQUEST, id, &w);
}

enum rc pipe_put_reply(struct buffer *out, uint64_t id, const struct pipe_reply *reply)
{
	uint8_t bytes[SMALL_MESSAGE_CAP];
	struct writer w;

	payload_init(&w, bytes, sizeof bytes);
	write_u16(&w, reply->http_status);
	write_u8(&w, (uint8_t)reply->media);
	write_u32(&w, reply->retry_after_s);
	write_u8(&w, reply->immutable);
	write_u64(&w, reply->length);
	return put_message(out, PIPE_REPLY, id, &w);
}

enum rc pipe_put_refused(struct buffer *out, const struct pipe_refused *refused)
{
	uint8_t bytes[SMALL_MESSAGE_CAP];
	struct writer w;

	payload_init(&w, bytes, sizeof bytes);
	write_u16(&w, (uint16_t)refused->reason);
	put_identity(&w, &refused->who);
	write_u8(&w, refused->request_type);
	write_u32(&w, refused->n_before);
	return put_message(out, PIPE_REFUSED, 0, &w);
}

enum rc pipe_put_ready(struct buffer *out, const struct pipe_ready *ready)
{
	uint8_t bytes[SMALL_MESSAGE_CAP];
	struct writer w;

	payload_init(&w, bytes, sizeof bytes);
	write_u16(&w, ready->port);
	return put_message(out, PIPE_FRONT_READY, 0, &w);
}

enum rc pipe_put_counts(struct buffer *out, const struct pipe_counts *counts)
{
	uint8_t bytes[SMALL_MESSAGE_CAP];
	struct writer w;

	payload_init(&w, bytes, sizeof bytes);
	write_u64(&w, counts->accepted);
	write_u64(&w, counts->requests);
	write_u64(&w, counts->refused);
	write_u64(&w, counts->tls_failures);
	write_u64(&w, counts->timeouts);
	write_u64(&w, counts->overloads);
	write_u32(&w, counts->n_connections);
	write_u64(&w, counts->expires_at);
	return put_message(out, PIPE_COUNTS, 0, &w);
}

enum rc pipe_put_credit(struct buffer *out, uint64_t id, uint32_t n_bytes)
{
	uint8_t bytes[SMALL_MESSAGE_CAP];
	struct writer w;

	payload_init(&w, bytes, sizeof bytes);
	write_u32(&w, n_bytes);
	return put_message(out, PIPE_CREDIT, id, &w);
}

enum rc pipe_put_raw(struct buffer *out, enum pipe_type type, uint64_t id, const void *data, size_t len)
{
	uint8_t bytes[PIPE_HEADER_LEN];
	struct writer w;

	if (len > PIPE_MAX_PAYLOAD)
		return RC_TOO_LARGE;
	writer_init(&w, bytes, sizeof bytes);
	put_header(&w, type, id, (uint32_t)len);
	buffer_append(out, bytes, sizeof bytes);
	if (len > 0)
		buffer_append(out, data, len);
	return out->failed ? RC_NOMEM : RC_OK;
}

enum rc pipe_put_listed(struct buffer *out, const struct pipe_listed *listed)
{
	static const struct pipe_listed none;
	uint8_t bytes[PIPE_HEADER_LEN + sizeof none.authority + sizeof none.serials];
	struct writer w;

	if (listed->n == 0 || listed->n > PIPE_MAX_LISTED)
		return RC_TOO_LARGE;
	payload_init(&w, bytes, sizeof bytes);
	write_bytes(&w, listed->authority, sizeof listed->authority);
	for (size_t i = 0; i < listed->n; i++) {
		write_u8(&w, listed->serials[i].len);
		write_bytes(&w, listed->serials[i].bytes, listed->serials[i].len);
	}
	return put_message(out, PIPE_LISTED, 0, &w);
}

enum rc pipe_put_renewed(struct buffer *out, const struct pipe_renewed *renewed)
{
	uint8_t bytes[PIPE_HEADER_LEN + RENEWED_LEN];
	struct writer w;

	payload_init(&w, bytes, sizeof bytes);
	write_u8(&w, (uint8_t)renewed->file);
	write_u8(&w, (uint8_t)renewed->fault);
	write_bytes(&w, renewed->digest, sizeof renewed->digest);
	return put_message(out, PIPE_RENEWED, 0, &w);
}

enum rc pipe_put_trusted(struct buffer *out, const struct pipe_trusted *trusted)
{
	uint8_t bytes[PIPE_HEADER_LEN + sizeof trusted->authorities];
	struct writer w;

	if (trusted->n == 0 || trusted->n > PIPE_MAX_AUTHORITIES)
		return RC_TOO_LARGE;
	payload_init(&w, bytes, sizeof bytes);
	write_bytes(&w, trusted->authorities, trusted->n * sizeof trusted->authorities[0]);
	return put_message(out, PIPE_TRUSTED, 0, &w);
}

enum rc pipe_put_file(struct buffer *out, enum pipe_type type, const void *data, size_t len)
{
	const uint8_t *at = data;
	enum { PIECE = PIPE_MAX_PAYLOAD - 1 };

	if (len == 0 || len > PIPE_MAX_FILE)
		return RC_TOO_LARGE;
	while (len > 0) {
		size_t n = len < PIECE ? len : PIECE;
		uint8_t last = n == len;
		uint8_t bytes[PIPE_HEADER_LEN + 1];
		struct writer w;

		writer_init(&w, bytes, sizeof bytes);
		put_header(&w, type, 0, (uint32_t)n + 1);
		write_u8(&w, last);
		buffer_append(out, bytes, sizeof bytes);
		buffer_append(out, at, n);
		at += n;
		len -= n;
	}
	return out->failed ? RC_NOMEM : RC_OK;
}

/* ---- reading ---- */

enum about { ABOUT_REQUEST, ABOUT_PROCESS, ABOUT_EITHER };

/* What a side may receive: the message's length bounds, and whether it belongs to a request (id not 0). */
static const struct rule {
	enum pipe_type type;
	enum pipe_side receiver;
	enum about about;
	uint32_t min_len, max_len;
} rules[] = {
	{PIPE_FRONT_READY, PIPE_CORE, ABOUT_PROCESS, 2, 2},
	{PIPE_REQUEST, PIPE_CORE, ABOUT_REQUEST, 1, SMALL_MESSAGE_CAP},
	{PIPE_BODY, PIPE_CORE, ABOUT_REQUEST, 1, PIPE_MAX_PAYLOAD},
	{PIPE_BODY_END, PIPE_CORE, ABOUT_REQUEST, 0, 0},
	{PIPE_CANCEL, PIPE_CORE, ABOUT_REQUEST, 0, 0},
	{PIPE_REFUSED, PIPE_CORE, ABOUT_PROCESS, 1, SMALL_MESSAGE_CAP},
	{PIPE_COUNTS, PIPE_CORE, ABOUT_PROCESS, COUNTS_LEN, COUNTS_LEN},
	{PIPE_LISTED, PIPE_CORE, ABOUT_PROCESS, 32 + 2, PIPE_MAX_PAYLOAD},
	{PIPE_RENEWED, PIPE_CORE, ABOUT_PROCESS, RENEWED_LEN, RENEWED_LEN},
	{PIPE_TRUSTED, PIPE_CORE, ABOUT_PROCESS, 32, 32 * PIPE_MAX_AUTHORITIES},
	{PIPE_REPLY, PIPE_FRONT, ABOUT_REQUEST, 16, 16},
	{PIPE_REPLY_BODY, PIPE_FRONT, ABOUT_REQUEST, 1, PIPE_MAX_PAYLOAD},
	{PIPE_REPLY_END, PIPE_FRONT, ABOUT_REQUEST, 0, 0},
	{PIPE_CREDIT, PIPE_FRONT, ABOUT_EITHER, 4, 4},
	{PIPE_STOP, PIPE_FRONT, ABOUT_PROCESS, 0, 0},
	{PIPE_REVOKED, PIPE_FRONT, ABOUT_PROCESS, 2, PIPE_MAX_PAYLOAD},
	{PIPE_ACCESS, PIPE_FRONT, ABOUT_PROCESS, 2, PIPE_MAX_PAYLOAD},
	{PIPE_READ_PAIR, PIPE_FRONT, ABOUT_PROCESS, 0, 0},
	{PIPE_AUTHORITIES, PIPE_FRONT, ABOUT_PROCESS, 2, PIPE_MAX_PAYLOAD},
	{PIPE_LIST_AGAIN, PIPE_FRONT, ABOUT_PROCESS, 0, 0},
};

static const struct rule *find_rule(enum pipe_side receiver, uint8_t type)
{
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
		if ((uint8_t)rules[i].type == type && rules[i].receiver == receiver)
			return &rules[i];
	return NULL;
}

enum rc pipe_next(enum pipe_side receiver, const uint8_t *data, size_t len, struct pipe_message *ret, size_t *ret_used)
{
	struct reader r;

	if (len < PIPE_HEADER_LEN) {
		*ret_used = 0;
		return RC_OK;
	}
	reader_init(&r, data, PIPE_HEADER_LEN);
	uint8_t type = read_u8(&r);
	uint8_t zero8 = read_u8(&r);
	uint16_t zero16 = read_u16(&r);
	uint32_t payload = read_u32(&r);
	uint64_t id = read_u64(&r);

	const struct rule *rule = find_rule(receiver, type);
	if (rule == NULL || zero8 != 0 || zero16 != 0 || payload < rule->min_len || payload > rule->max_len)
		return RC_MALFORMED;
	if ((rule->about == ABOUT_REQUEST && id == 0) || (rule->about == ABOUT_PROCESS && id != 0))
		return RC_MALFORMED;
	if (len - PIPE_HEADER_LEN < payload) {
		*ret_used = 0;
		return RC_OK;
	}
	*ret = (struct pipe_message){rule->type, id, data + PIPE_HEADER_LEN, payload};
	*ret_used = PIPE_HEADER_LEN + (size_t)payload;
	return RC_OK;
}

static bool text_is_plain(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s < 0x20 || *s > 0x7e)
			return false;
	return true;
}

static bool get_bool(struct reader *r)
{
	uint8_t v = read_u8(r);
	if (v > 1)
		r->failed = true;
	return v == 1;
}

/* A value below `n`. */
static unsigned get_enum(struct reader *r, unsigned n)
{
	uint8_t v = read_u8(r);
	if (v >= n)
		r->failed = true;
	return r->failed ? 0 : v;
}

static void get_text(struct reader *r, char *out, size_t cap)
{
	read_string(r, out, cap);
	if (!r->failed && !text_is_plain(out))
		r->failed = true;
}

static void get_identity(struct reader *r, struct identity *who)
{
	get_text(r, who->client, sizeof who->client);
	who->roles = read_u8(r);
	get_text(r, who->source, sizeof who->source);
	read_copy(r, who->fingerprint, sizeof who->fingerprint);
	if ((who->roles & ~(unsigned)ROLE_ANY) != 0)
		r->failed = true;
}

/* Every reader below ends here: nothing failed, nothing left over. */
static enum rc get_end(const struct reader *r)
{
	return reader_end(r) == RC_OK ? RC_OK : RC_MALFORMED;
}

enum rc pipe_get_request(const struct pipe_message *m, struct pipe_request *ret)
{
	struct pipe_request request = {0};
	struct reader r;

	if (m->type != PIPE_REQUEST)
		return RC_MALFORMED;
	reader_init(&r, m->data, m->len);
	request.type = (enum request_type)get_enum(&r, REQUEST_TYPE_COUNT);
	get_identity(&r, &request.who);
	get_text(&r, request.argument, sizeof request.argument);
	get_text(&r, request.query, sizeof request.query);
	request.accept = (enum pipe_accept)get_enum(&r, ACCEPT_TEXT + 1);
	request.content = (enum pipe_content)get_enum(&r, CONTENT_PROTOBUF + 1);
	request.encoding = (enum content_encoding)get_enum(&r, ENCODING_DEFLATE + 1);
	request.content_length = (int64_t)read_u64(&r);
	enum rc rc = get_end(&r);
	if (rc != RC_OK)
		return rc;
	/* Nobody without a name and a lawful set of roles gets a request through. */
	if (request.content_length < -1 || request.who.client[0] == '\0' || role_check_set(request.who.roles) != RC_OK)
		return RC_MALFORMED;
	*ret = request;
	return RC_OK;
}

enum rc pipe_get_reply(const struct pipe_message *m, struct pipe_reply *ret)
{
	struct pipe_reply reply = {0};
	struct reader r;

	if (m->type != PIPE_REPLY)
		return RC_MALFORMED;
	reader_init(&r, m->data, m->len);
	reply.http_status = read_u16(&r);
	reply.media = (enum pipe_media)get_enum(&r, MEDIA_METRICS + 1);
	reply.retry_after_s = read_u32(&r);
	reply.immutable = get_bool(&r);
	reply.length = read_u64(&r);
	enum rc rc = get_end(&r);
	if (rc != RC_OK)
		return rc;
	if (reply.http_status < 200 || reply.http_status > 599 || reply.length > PIPE_MAX_REPLY)
		return RC_MALFORMED;
	*ret = reply;
	return RC_OK;
}

enum rc pipe_get_refused(const struct pipe_message *m, struct pipe_refused *ret)
{
	struct pipe_refused refused = {0};
	struct reader r;

	if (m->type != PIPE_REFUSED)
		return RC_MALFORMED;
	reader_init(&r, m->data, m->len);
	uint16_t reason = read_u16(&r);
	get_identity(&r, &refused.who);
	refused.request_type = (uint8_t)get_enum(&r, REQUEST_TYPE_COUNT + 1);
	refused.n_before = read_u32(&r);
	enum rc rc = get_end(&r);
	if (rc != RC_OK)
		return rc;
	if (reason == RC_OK || reason >= RC_COUNT)
		return RC_MALFORMED;
	refused.reason = (enum rc)reason;
	*ret = refused;
	return RC_OK;
}

enum rc pipe_get_ready(const struct pipe_message *m, struct pipe_ready *ret)
{
	struct reader r;

	if (m->type != PIPE_FRONT_READY)
		return RC_MALFORMED;
	reader_init(&r, m->data, m->len);
	uint16_t port = read_u16(&r);
	enum rc rc = get_end(&r);
	if (rc != RC_OK)
		return rc;
	ret->port = port;
	return RC_OK;
}

enum rc pipe_get_counts(const struct pipe_message *m, struct pipe_counts *ret)
{
	struct pipe_counts counts;
	struct reader r;

	if (m->type != PIPE_COUNTS)
		return RC_MALFORMED;
	reader_init(&r, m->data, m->len);
	counts.accepted = read_u64(&r);
	counts.requests = read_u64(&r);
	counts.refused = read_u64(&r);
	counts.tls_failures = read_u64(&r);
	counts.timeouts = read_u64(&r);
	counts.overloads = read_u64(&r);
	counts.n_connections = read_u32(&r);
	counts.expires_at = read_u64(&r);
	enum rc rc = get_end(&r);
	/* Beyond the year 9999 is no date, and would overflow what is computed from it. */
	if (rc == RC_OK && counts.expires_at > UINT64_C(253402300799))
		rc = RC_MALFORMED;
	if (rc == RC_OK)
		*ret = counts;
	return rc;
}

enum rc pipe_get_credit(const struct pipe_message *m, uint32_t *ret)
{
	struct reader r;

	if (m->type != PIPE_CREDIT)
		return RC_MALFORMED;
	reader_init(&r, m->data, m->len);
	uint32_t n_bytes = read_u32(&r);
	enum rc rc = get_end(&r);
	if (rc != RC_OK)
		return rc;
	/* Id 0 says that the core is open, and grants nothing. */
	if ((m->id == 0) != (n_bytes == 0) || n_bytes > PIPE_MAX_CREDIT)
		return RC_MALFORMED;
	*ret = n_bytes;
	return RC_OK;
}

enum rc pipe_get_listed(const struct pipe_message *m, struct pipe_listed *ret)
{
	struct reader r;

	if (m->type != PIPE_LISTED)
		return RC_MALFORMED;
	reader_init(&r, m->data, m->len);
	ret->n = 0;
	read_copy(&r, ret->authority, sizeof ret->authority);
	while (!r.failed && reader_left(&r) > 0 && ret->n < PIPE_MAX_LISTED) {
		struct pipe_serial *serial = &ret->serials[ret->n++];
		serial->len = read_u8(&r);
		if (serial->len == 0 || serial->len > sizeof serial->bytes)
			return RC_MALFORMED;
		read_copy(&r, serial->bytes, serial->len);
	}
	return get_end(&r) == RC_OK && ret->n > 0 ? RC_OK : RC_MALFORMED;
}

enum rc pipe_get_renewed(const struct pipe_message *m, struct pipe_renewed *ret)
{
	struct pipe_renewed renewed;
	struct reader r;

	if (m->type != PIPE_RENEWED)
		return RC_MALFORMED;
	reader_init(&r, m->data, m->len);
	renewed.file = (enum renewal_file)get_enum(&r, RENEWAL_FILE_COUNT);
	renewed.fault = (enum renewal_fault)get_enum(&r, RENEWAL_FAULT_COUNT);
	read_copy(&r, renewed.digest, sizeof renewed.digest);
	enum rc rc = get_end(&r);
	if (rc == RC_OK)
		*ret = renewed;
	return rc;
}

enum rc pipe_get_trusted(const struct pipe_message *m, struct pipe_trusted *ret)
{
	enum { LEN = sizeof ret->authorities[0] };

	if (m->type != PIPE_TRUSTED || m->len == 0 || m->len % LEN != 0 || m->len > sizeof ret->authorities)
		return RC_MALFORMED;
	for (size_t at = LEN; at < m->len; at += LEN) {
		if (memcmp(m->data + at - LEN, m->data + at, LEN) >= 0)
			return RC_MALFORMED;
	}
	ret->n = m->len / LEN;
	memcpy(ret->authorities, m->data, m->len);
	return RC_OK;
}

enum rc pipe_get_file(const struct pipe_message *m, bool *ret_last, const uint8_t **ret_piece, size_t *ret_len)
{
	bool is_file = m->type == PIPE_REVOKED || m->type == PIPE_ACCESS || m->type == PIPE_AUTHORITIES;
	if (!is_file || m->len < 2 || m->data[0] > 1)
		return RC_MALFORMED;
	*ret_last = m->data[0] == 1;
	*ret_piece = m->data + 1;
	*ret_len = m->len - 1;
	return RC_OK;
}
