/* Frames of a batch: what kind each is, and unpacking within a memory budget.
 *
 * protobuf-c allocates while it scans: for each field seen some 40 bytes, for each element of a repeated message some
 * 70, for each varint of a packed field 4 or 8. Four megabytes of two-byte empty elements would so become 200 MB.
 * Honest messages copy their byte columns once (their length in all) and need for 4,096 records 64 KiB of numbers, and
 * 480 KiB of scan notes where another writer does not pack them. So: length + 2 MiB, and what wants more is malformed.
 */
#include "proto/batch_frame.h"

#include <stdlib.h>
#include <string.h>

enum { UNPACK_ALLOWANCE = 2 << 20, UNPACK_ALIGN = 16 };

static enum rc read_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (*at == end)
			return RC_MALFORMED;
		uint8_t byte = *(*at)++;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = v;
			return RC_OK;
		}
	}
	return RC_MALFORMED;
}

enum rc frame_split(const uint8_t *frame, size_t len, enum frame_kind *ret_kind, const uint8_t **ret_body,
		    size_t *ret_len)
{
	const uint8_t *at = frame, *end = frame + len;
	uint64_t body_len;

	if (len < 2 || (frame[0] & 7) != 2)
		return RC_MALFORMED;
	unsigned field = *at++ >> 3;
	if (field < FRAME_HEADER || field > FRAME_TRAILER)
		return RC_MALFORMED;
	if (read_varint(&at, end, &body_len) != RC_OK || body_len != (uint64_t)(end - at))
		return RC_MALFORMED;
	*ret_kind = (enum frame_kind)field;
	*ret_body = at;
	*ret_len = (size_t)body_len;
	return RC_OK;
}

static void *arena_alloc(void *ctx, size_t size)
{
	struct unpack_arena *a = ctx;
	size_t room = (size + UNPACK_ALIGN - 1) & ~(size_t)(UNPACK_ALIGN - 1);

	if (room < size || room > a->cap - a->used)
		return NULL;
	void *at = a->block + a->used;
	a->used += room;
	return at;
}

static void arena_free(void *ctx, void *pointer)
{
}

enum rc unpack_arena_init(struct unpack_arena *a, size_t message_len)
{
	a->cap = message_len + UNPACK_ALLOWANCE;
	a->used = 0;
	a->block = aligned_alloc(UNPACK_ALIGN, (a->cap + UNPACK_ALIGN - 1) & ~(size_t)(UNPACK_ALIGN - 1));
	a->allocator = (ProtobufCAllocator){arena_alloc, arena_free, a};
	return a->block != NULL ? RC_OK : RC_NOMEM;
}

void unpack_arena_deinit(struct unpack_arena *a)
{
	if (a->block != NULL)
		explicit_bzero(a->block, a->used);
	free(a->block);
	a->block = NULL;
}

struct append_buffer {
	ProtobufCBuffer base;
	struct buffer *out;
};

static void append_bytes(ProtobufCBuffer *base, size_t len, const uint8_t *data)
{
	struct append_buffer *b = (struct append_buffer *)base;
	buffer_append(b->out, data, len);
}

enum rc message_append(const ProtobufCMessage *message, struct buffer *out)
{
	struct append_buffer b = {{append_bytes}, out};
	protobuf_c_message_pack_to_buffer(message, &b.base);
	return out->failed ? RC_NOMEM : RC_OK;
}

bool message_has_unknown(const ProtobufCMessage *message)
{
	return message->n_unknown_fields > 0;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum rc trailer_records(const uint8_t *body, size_t len, uint64_t *ret)
{
	struct unpack_arena arena;
	enum rc rc = unpack_arena_init(&arena, len);
	if (rc != RC_OK)
		return rc;
	Throughcare__Batch__Trailer *t = throughcare__batch__trailer__unpack(&arena.allocator, len, body);
	if (t != NULL)
		*ret = t->n_records;
	unpack_arena_deinit(&arena);
	return t != NULL ? RC_OK : RC_MALFORMED;
}

enum rc batch_length(const uint8_t *data, size_t len, size_t *ret_len, uint8_t ret_batch_id[BATCH_ID_LEN],
		     uint64_t *ret_n_records)
{
	size_t at = BATCH_MAGIC_LEN;

	if (memcmp(data, BATCH_MAGIC, len < BATCH_MAGIC_LEN ? len : BATCH_MAGIC_LEN) != 0)
		return RC_MALFORMED;
	if (len < BATCH_MAGIC_LEN)
		return RC_TRUNCATED;
	for (;;) {
		enum frame_kind kind;
		const uint8_t *body;
		size_t body_len;
		uint64_t n_records;

		if (at >= BATCH_MAX_BYTES)
			return RC_TOO_LARGE;
		if (len - at < FRAME_LENGTH_LEN)
			return RC_TRUNCATED;
		uint32_t frame_len = be32(data + at);
		at += FRAME_LENGTH_LEN;
		if (frame_len > FRAME_MAX_BYTES)
			return RC_TOO_LARGE;
		if (len - at < frame_len)
			return RC_TRUNCATED;
		enum rc rc = frame_split(data + at, frame_len, &kind, &body, &body_len);
		if (rc != RC_OK)
			return rc;
		at += frame_len;
		if (kind != FRAME_TRAILER)
			continue;
		rc = body_len <= TRAILER_MAX_BYTES ? trailer_records(body, body_len, &n_records) : RC_MALFORMED;
		if (rc != RC_OK)
			return rc;
		if (at > BATCH_MAX_BYTES)
			return RC_TOO_LARGE;
		sha256(data, at, ret_batch_id);
		*ret_len = at;
		if (ret_n_records != NULL)
			*ret_n_records = n_records;
		return RC_OK;
	}
}
