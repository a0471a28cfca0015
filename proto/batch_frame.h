/* Inside proto only: frames, and unpacking of their messages within a memory budget. */
#ifndef PROTO_BATCH_FRAME_H
#define PROTO_BATCH_FRAME_H

#include <protobuf-c/protobuf-c.h>

#include "proto/batch.h"
#include "proto/batch.pb-c.h"

enum {
	FRAME_LENGTH_LEN = 4,
	/* One chunk, and the tag and length around it. */
	FRAME_MAX_BYTES = CHUNK_MAX_BYTES + 16,
	HEADER_MAX_BYTES = 1024,
	TRAILER_MAX_BYTES = 256,
};

enum frame_kind { FRAME_HEADER = 1, FRAME_CHUNK = 2, FRAME_TRAILER = 3 };

/* What is inside a Frame message. It must be exactly one member of the oneof: protobuf would also take several, of
 * which the last wins, and then two readers could disagree on what a frame is. Borrows. Errors: MALFORMED. */
enum rc frame_split(const uint8_t *frame, size_t len, enum frame_kind *ret_kind, const uint8_t **ret_body,
		    size_t *ret_len) MUST_CHECK;

/* Memory for one unpacked message: handed out from one block, given back at once. Its size is the message's length plus
 * a fixed allowance for what honest messages need (docs in batch_frame.c), so that a message made of millions of empty
 * elements fails instead of growing. */
struct unpack_arena {
	uint8_t *block;
	size_t used, cap;
	ProtobufCAllocator allocator;
};
enum rc unpack_arena_init(struct unpack_arena *a, size_t message_len) MUST_CHECK;
void unpack_arena_deinit(struct unpack_arena *a); /* wipes */

/* Where a chunk stands, for messages; `source` -1 = do not check who may send the events. */
struct chunk_place {
	unsigned frame;        /* from 1; 0 = not said */
	uint64_t first_record; /* of the batch, from 0 */
	int source;
	int32_t latest_day;
};

/* Check every value of a chunk against the study. Errors: INVALID, NOT_ALLOWED. */
enum rc batch_chunk_check(const struct study *study, int domain, const struct batch_chunk *chunk,
			  const struct chunk_place *place, struct diag *diag) MUST_CHECK;
/* Unpack and check the body of a chunk frame. */
enum rc batch_chunk_unpack(const struct study *study, int domain, const uint8_t *body, size_t len,
			   const struct chunk_place *place, struct batch_chunk **ret, struct diag *diag) MUST_CHECK;

/* Pack a message to the end of `out`. Errors: NOMEM. */
enum rc message_append(const ProtobufCMessage *message, struct buffer *out) MUST_CHECK;
bool message_has_unknown(const ProtobufCMessage *message);

/* The record ids seen in a batch. */
struct id_set;
/* Errors: NOMEM, CRYPTO (the system has no random numbers). */
enum rc id_set_new(struct id_set **ret) MUST_CHECK;
void id_set_free(struct id_set *set);
/* Errors: CONFLICT (it is in already), NOMEM. */
enum rc id_set_add(struct id_set *set, const uint8_t id[RECORD_ID_LEN]) MUST_CHECK;

#endif
