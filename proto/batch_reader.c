/* The border: a push parser for batches that arrive in pieces from somebody who may be hostile.
 *
 * Invariant: memory held is at most what was received of one frame (doubled while growing), what one unpacked chunk
 * needs (batch_frame.c), and the record ids seen. A length is bounded before it is believed, and a frame is held only
 * as far as its bytes have really come. Chunks go to the sink as they are checked; only the trailer proves that they
 * are whole. */
#include <stdlib.h>
#include <string.h>

#include "proto/batch_frame.h"

enum reader_state { READ_MAGIC, READ_LENGTH, READ_FRAME, READ_DONE };

struct batch_reader {
	const struct study *study;
	struct batch_sink sink;
	struct batch_limits limits;
	enum reader_state state;
	enum rc failed; /* sticky */
	struct diag why;
	uint8_t small[BATCH_MAGIC_LEN]; /* magic or length, as far as it has come */
	size_t n_small;
	struct buffer frame; /* the frame, as far as it has come */
	size_t frame_len;
	struct sha256_ctx *digest; /* of all frames before the current one */
	struct id_set *ids;
	int source, domain; /* -1 before the header */
	unsigned n_frames;
	uint64_t n_bytes; /* up to the end of the current frame */
	uint64_t n_records;
	uint32_t n_chunks;
	uint8_t batch_id[BATCH_ID_LEN];
};

enum rc batch_reader_new(const struct study *study, const struct batch_sink *sink, const struct batch_limits *limits,
			 struct batch_reader **ret)
{
	struct batch_reader *r = calloc(1, sizeof *r);
	if (r == NULL)
		return RC_NOMEM;
	r->study = study;
	r->sink = *sink;
	r->limits = *limits;
	r->source = r->domain = -1;
	buffer_init(&r->frame);
	r->digest = sha256_new();
	enum rc rc = id_set_new(&r->ids);
	if (rc != RC_OK) {
		batch_reader_free(r);
		return rc;
	}
	*ret = r;
	return RC_OK;
}

void batch_reader_free(struct batch_reader *r)
{
	if (r == NULL)
		return;
	buffer_wipe(&r->frame);
	sha256_free(r->digest);
	id_set_free(r->ids);
	free(r);
}

/* ---- header ---- */

static enum rc copy_header(const Throughcare__Batch__Header *m, struct batch_header *header, struct diag *diag)
{
	if (message_has_unknown(&m->base))
		return diag_set(diag, RC_MALFORMED, "header: it has fields that batch.proto does not know");
	if (m->format != 1)
		return diag_set(diag, RC_INVALID, "header: format: expected 1");
	if (m->encoding_id.len != sizeof header->encoding_id)
		return diag_set(diag, RC_INVALID, "header: encoding_id: expected %zu bytes",
				sizeof header->encoding_id);
	if (m->key_check.len != sizeof header->key_check)
		return diag_set(diag, RC_INVALID, "header: key_check: expected %zu bytes", sizeof header->key_check);
	if (strlen(m->source) >= sizeof header->source)
		return diag_set(diag, RC_INVALID, "header: source: longer than any name of a study");
	if (strlen(m->software) >= sizeof header->software)
		return diag_set(diag, RC_INVALID, "header: software: longer than %zu bytes",
				sizeof header->software - 1);
	for (const char *c = m->software; *c != '\0'; c++) {
		if (*c < 0x20 || *c > 0x7e)
			return diag_set(diag, RC_INVALID, "header: software: expected printable ASCII");
	}
	memcpy(header->encoding_id, m->encoding_id.data, sizeof header->encoding_id);
	memcpy(header->key_check, m->key_check.data, sizeof header->key_check);
	memcpy(header->source, m->source, strlen(m->source) + 1);
	memcpy(header->software, m->software, strlen(m->software) + 1);
	header->first_row = m->first_row;
	return RC_OK;
}

static enum rc check_header(struct batch_reader *r, const struct batch_header *header, struct diag *diag)
{
	int source = study_find_source(r->study, header->source);
	if (source < 0)
		return diag_set(diag, RC_INVALID, "header: source: it is not in the study");
	const struct study_domain *d = &r->study->domains[r->study->sources[source].domain];

	if (memcmp(header->encoding_id, d->encoding_id, sizeof header->encoding_id) != 0)
		return diag_set(diag, RC_SCHEMA, "header: encoded for another study or schema: encoding_id differs");
	if (!d->has_key_check)
		return diag_set(
			diag, RC_NOT_ALLOWED,
			"header: the study's key_check of domain '%s' is unset; pin it with 'throughcare keys init'",
			d->name);
	if (!bytes_equal_const_time(header->key_check, d->key_check, sizeof header->key_check))
		return diag_set(diag, RC_SECRET, "header: encoded with another linkage secret: key_check differs");
	r->source = source;
	r->domain = r->study->sources[source].domain;
	return RC_OK;
}

static enum rc take_header(struct batch_reader *r, const uint8_t *body, size_t len, struct diag *diag)
{
	struct batch_header header = {0};
	struct unpack_arena arena;

	if (len > HEADER_MAX_BYTES)
		return diag_set(diag, RC_TOO_LARGE, "header: longer than %d bytes", HEADER_MAX_BYTES);
	enum rc rc = unpack_arena_init(&arena, len);
	if (rc != RC_OK)
		return rc;
	Throughcare__Batch__Header *m = throughcare__batch__header__unpack(&arena.allocator, len, body);
	rc = m != NULL ? copy_header(m, &header, diag)
		       : diag_set(diag, RC_MALFORMED, "header: it is not a Header message");
	unpack_arena_deinit(&arena);
	if (rc == RC_OK)
		rc = check_header(r, &header, diag);
	if (rc == RC_OK && r->sink.on_header != NULL)
		rc = r->sink.on_header(r->sink.ctx, &header, r->source, r->domain);
	return rc;
}

/* ---- chunks ---- */

static enum rc add_ids(struct batch_reader *r, const struct batch_chunk *chunk, struct diag *diag)
{
	for (uint32_t i = 0; i < chunk->n_records; i++) {
		enum rc rc = id_set_add(r->ids, chunk->record_ids[i]);
		if (rc == RC_CONFLICT)
			return diag_set(diag, RC_INVALID,
					"frame %u, record %llu: record_id: it stands in this batch already",
					r->n_frames, (unsigned long long)r->n_records + i + 1);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static enum rc take_chunk(struct batch_reader *r, const uint8_t *frame, size_t frame_len, const uint8_t *body,
			  size_t len, struct diag *diag)
{
	const struct chunk_place place = {
		.frame = r->n_frames,
		.first_record = r->n_records,
		.source = r->source,
		.latest_day = r->limits.latest_day,
	};
	struct batch_chunk *chunk = NULL;

	enum rc rc = batch_chunk_unpack(r->study, r->domain, body, len, &place, &chunk, diag);
	if (rc != RC_OK)
		return rc;
	rc = add_ids(r, chunk, diag);
	if (rc != RC_OK) {
		batch_chunk_free(chunk);
		return rc;
	}
	r->n_records += chunk->n_records;
	r->n_chunks++;
	if (r->sink.on_chunk == NULL) {
		batch_chunk_free(chunk);
		return RC_OK;
	}
	return r->sink.on_chunk(r->sink.ctx, chunk, frame, frame_len);
}

/* ---- trailer ---- */

static enum rc compare_trailer(struct batch_reader *r, const Throughcare__Batch__Trailer *m, struct diag *diag)
{
	uint8_t digest[32];

	if (message_has_unknown(&m->base))
		return diag_set(diag, RC_MALFORMED, "trailer: it has fields that batch.proto does not know");
	if (m->sha256.len != sizeof digest)
		return diag_set(diag, RC_INVALID, "trailer: sha256: expected %zu bytes", sizeof digest);
	if (m->n_records != r->n_records || m->n_chunks != r->n_chunks)
		return diag_set(diag, RC_DIGEST, "trailer: it counts other records or chunks than have come");
	struct sha256_ctx *so_far = sha256_copy(r->digest);
	sha256_final(so_far, digest);
	sha256_free(so_far);
	if (memcmp(m->sha256.data, digest, sizeof digest) != 0)
		return diag_set(diag, RC_DIGEST, "trailer: sha256: the content does not match it");
	return RC_OK;
}

static enum rc take_trailer(struct batch_reader *r, const uint8_t *body, size_t len, struct diag *diag)
{
	struct unpack_arena arena;

	if (len > TRAILER_MAX_BYTES)
		return diag_set(diag, RC_TOO_LARGE, "trailer: longer than %d bytes", TRAILER_MAX_BYTES);
	if (r->n_chunks == 0)
		return diag_set(diag, RC_INVALID, "a batch needs at least one record");
	enum rc rc = unpack_arena_init(&arena, len);
	if (rc != RC_OK)
		return rc;
	Throughcare__Batch__Trailer *m = throughcare__batch__trailer__unpack(&arena.allocator, len, body);
	rc = m != NULL ? compare_trailer(r, m, diag)
		       : diag_set(diag, RC_MALFORMED, "trailer: it is not a Trailer message");
	unpack_arena_deinit(&arena);
	return rc;
}

/* ---- frames ---- */

static void count_frame(struct batch_reader *r, const uint8_t *frame, size_t len)
{
	uint8_t prefix[FRAME_LENGTH_LEN] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
					    (uint8_t)len};
	sha256_update(r->digest, prefix, sizeof prefix);
	sha256_update(r->digest, frame, len);
}

static enum rc take_frame(struct batch_reader *r, const uint8_t *frame, size_t len, struct diag *diag)
{
	enum frame_kind kind;
	const uint8_t *body;
	size_t body_len;

	r->n_frames++;
	if (frame_split(frame, len, &kind, &body, &body_len) != RC_OK)
		return diag_set(diag, RC_MALFORMED, "frame %u: expected one header, chunk or trailer", r->n_frames);
	if ((kind == FRAME_HEADER) != (r->n_frames == 1))
		return diag_set(diag, RC_MALFORMED, "frame %u: %s", r->n_frames,
				r->n_frames == 1 ? "expected the header" : "a second header");
	r->state = READ_LENGTH;
	if (kind == FRAME_TRAILER) {
		enum rc rc = take_trailer(r, body, body_len, diag);
		if (rc != RC_OK)
			return rc;
		count_frame(r, frame, len);
		sha256_final(r->digest, r->batch_id);
		r->state = READ_DONE;
		return RC_OK;
	}
	count_frame(r, frame, len);
	if (kind == FRAME_HEADER)
		return take_header(r, body, body_len, diag);
	return take_chunk(r, frame, len, body, body_len, diag);
}

static enum rc take_length(struct batch_reader *r, struct diag *diag)
{
	uint32_t len =
		(uint32_t)r->small[0] << 24 | (uint32_t)r->small[1] << 16 | (uint32_t)r->small[2] << 8 | r->small[3];
	uint32_t max = r->n_frames == 0 ? HEADER_MAX_BYTES : FRAME_MAX_BYTES;

	if (len > max)
		return diag_set(diag, RC_TOO_LARGE, "frame %u: its length is above %u bytes", r->n_frames + 1, max);
	r->n_bytes += FRAME_LENGTH_LEN + len;
	if (r->n_bytes > r->limits.max_bytes)
		return diag_set(diag, RC_TOO_LARGE, "the batch is larger than %llu bytes",
				(unsigned long long)r->limits.max_bytes);
	r->frame_len = len;
	buffer_reset(&r->frame);
	r->state = READ_FRAME;
	return RC_OK;
}

/* Gather magic or length. True when it is complete. */
static bool gather_small(struct batch_reader *r, size_t want, const uint8_t **data, size_t *len)
{
	size_t n = want - r->n_small < *len ? want - r->n_small : *len;
	if (n > 0)
		memcpy(r->small + r->n_small, *data, n);
	r->n_small += n;
	*data += n;
	*len -= n;
	if (r->n_small < want)
		return false;
	r->n_small = 0;
	return true;
}

/* A frame that came in one piece is parsed where it lies. */
static enum rc gather_frame(struct batch_reader *r, const uint8_t **data, size_t *len, struct diag *diag)
{
	const uint8_t *piece = *data;
	size_t have = r->frame.len, want = r->frame_len - have, n = want < *len ? want : *len;

	*data += n;
	*len -= n;
	if (have == 0 && n == r->frame_len)
		return take_frame(r, piece, n, diag);
	buffer_append(&r->frame, piece, n);
	if (r->frame.failed)
		return RC_NOMEM;
	return n == want ? take_frame(r, r->frame.data, r->frame_len, diag) : RC_OK;
}

static enum rc feed(struct batch_reader *r, const uint8_t *data, size_t len, struct diag *diag)
{
	enum rc rc = RC_OK;

	while (len > 0 && rc == RC_OK) {
		switch (r->state) {
		case READ_MAGIC:
			if (!gather_small(r, BATCH_MAGIC_LEN, &data, &len))
				break;
			if (memcmp(r->small, BATCH_MAGIC, BATCH_MAGIC_LEN) != 0)
				return diag_set(diag, RC_MALFORMED, "it does not begin like a batch");
			sha256_update(r->digest, BATCH_MAGIC, BATCH_MAGIC_LEN);
			r->n_bytes = BATCH_MAGIC_LEN;
			r->state = READ_LENGTH;
			break;
		case READ_LENGTH:
			if (gather_small(r, FRAME_LENGTH_LEN, &data, &len))
				rc = take_length(r, diag);
			break;
		case READ_FRAME:
			rc = gather_frame(r, &data, &len, diag);
			break;
		case READ_DONE:
			return diag_set(diag, RC_MALFORMED, "bytes after the trailer");
		}
	}
	return rc;
}

static enum rc fail(struct batch_reader *r, enum rc rc, struct diag *diag)
{
	r->failed = rc;
	if (r->why.text[0] == '\0')
		diag_set(&r->why, rc, "%s", rc_text(rc));
	return diag_set(diag, rc, "%s", r->why.text);
}

enum rc batch_reader_feed(struct batch_reader *r, const uint8_t *data, size_t len, struct diag *diag)
{
	enum rc rc = r->failed != RC_OK ? r->failed : feed(r, data, len, &r->why);
	return rc == RC_OK ? RC_OK : fail(r, rc, diag);
}

enum rc batch_reader_end(struct batch_reader *r, uint8_t ret_batch_id[BATCH_ID_LEN], uint64_t *ret_n_records,
			 struct diag *diag)
{
	if (r->failed != RC_OK)
		return fail(r, r->failed, diag);
	if (r->state != READ_DONE)
		return fail(r, diag_set(&r->why, RC_TRUNCATED, "the batch ends in frame %u", r->n_frames + 1), diag);
	memcpy(ret_batch_id, r->batch_id, BATCH_ID_LEN);
	*ret_n_records = r->n_records;
	return RC_OK;
}
