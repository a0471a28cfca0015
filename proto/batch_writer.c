/* Writing a batch: magic, header, chunks, trailer, with the running digest. The digest covers what was appended, so the
 * caller may flush and reset the buffer between calls. */
#include <stdlib.h>
#include <string.h>

#include "proto/batch_frame.h"

struct batch_writer {
	const struct study *study;
	struct buffer *out;
	struct sha256_ctx *digest;
	int source, domain;
	uint64_t n_bytes, n_records;
	uint32_t n_chunks;
};

/* The trailer and its length always have room left. */
enum { TRAILER_ROOM = TRAILER_MAX_BYTES + FRAME_LENGTH_LEN };

static void put_be32(uint8_t out[4], size_t v)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(v >> (8 * (3 - i)));
}

/* Take the `len` bytes at the end of the buffer into the digest. */
static void count_bytes(struct batch_writer *w, size_t len)
{
	sha256_update(w->digest, w->out->data + w->out->len - len, len);
	w->n_bytes += len;
}

static enum rc append_frame(struct batch_writer *w, const Throughcare__Batch__Frame *frame)
{
	size_t start = w->out->len, len = protobuf_c_message_get_packed_size(&frame->base);
	uint8_t prefix[FRAME_LENGTH_LEN];

	put_be32(prefix, len);
	buffer_append(w->out, prefix, sizeof prefix);
	enum rc rc = message_append(&frame->base, w->out);
	if (rc != RC_OK) {
		w->out->len = start;
		return rc;
	}
	count_bytes(w, len + sizeof prefix);
	return RC_OK;
}

static enum rc append_header(struct batch_writer *w, const struct batch_header *header)
{
	Throughcare__Batch__Frame frame = THROUGHCARE__BATCH__FRAME__INIT;
	Throughcare__Batch__Header m = THROUGHCARE__BATCH__HEADER__INIT;

	m.format = 1;
	m.source = (char *)header->source;
	m.encoding_id = (ProtobufCBinaryData){sizeof header->encoding_id, (uint8_t *)header->encoding_id};
	m.key_check = (ProtobufCBinaryData){sizeof header->key_check, (uint8_t *)header->key_check};
	m.software = (char *)header->software;
	m.first_row = header->first_row;
	frame.body_case = THROUGHCARE__BATCH__FRAME__BODY_HEADER;
	frame.header = &m;
	return append_frame(w, &frame);
}

static bool is_printable(const char *text, size_t cap)
{
	for (size_t i = 0; i < cap; i++) {
		if (text[i] == '\0')
			return true;
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	}
	return false;
}

enum rc batch_writer_new(const struct study *study, const struct batch_header *header, struct buffer *out,
			 struct batch_writer **ret)
{
	if (!is_printable(header->source, sizeof header->source) ||
	    !is_printable(header->software, sizeof header->software))
		return RC_INVALID;
	int source = study_find_source(study, header->source);
	if (source < 0)
		return RC_INVALID;
	struct batch_writer *w = calloc(1, sizeof *w);
	if (w == NULL)
		return RC_NOMEM;
	w->study = study;
	w->out = out;
	w->source = source;
	w->domain = study->sources[source].domain;
	w->digest = sha256_new();
	buffer_append(out, BATCH_MAGIC, BATCH_MAGIC_LEN);
	enum rc rc = out->failed ? RC_NOMEM : RC_OK;
	if (rc == RC_OK) {
		count_bytes(w, BATCH_MAGIC_LEN);
		rc = append_header(w, header);
	}
	if (rc != RC_OK) {
		batch_writer_free(w);
		return rc;
	}
	*ret = w;
	return RC_OK;
}

enum rc batch_writer_chunk(struct batch_writer *w, const struct batch_chunk *chunk)
{
	const struct chunk_place place = {.first_record = w->n_records, .source = w->source};
	size_t start = w->out->len;
	uint8_t prefix[FRAME_LENGTH_LEN] = {0};

	enum rc rc = batch_chunk_check(w->study, w->domain, chunk, &place, NULL);
	if (rc != RC_OK)
		return rc;
	buffer_append(w->out, prefix, sizeof prefix);
	rc = batch_chunk_encode(w->study, w->domain, chunk, w->out);
	if (rc == RC_OK && w->n_bytes + (w->out->len - start) + TRAILER_ROOM > BATCH_MAX_BYTES)
		rc = RC_TOO_LARGE;
	if (rc != RC_OK) {
		w->out->len = start;
		return rc;
	}
	put_be32(w->out->data + start, w->out->len - start - sizeof prefix);
	count_bytes(w, w->out->len - start);
	w->n_records += chunk->n_records;
	w->n_chunks++;
	return RC_OK;
}

enum rc batch_writer_end(struct batch_writer *w, uint8_t ret_batch_id[BATCH_ID_LEN])
{
	Throughcare__Batch__Frame frame = THROUGHCARE__BATCH__FRAME__INIT;
	Throughcare__Batch__Trailer m = THROUGHCARE__BATCH__TRAILER__INIT;
	uint8_t digest[32];

	if (w->n_chunks == 0)
		return RC_INVALID;
	struct sha256_ctx *so_far = sha256_copy(w->digest);
	sha256_final(so_far, digest);
	sha256_free(so_far);
	m.n_records = w->n_records;
	m.n_chunks = w->n_chunks;
	m.sha256 = (ProtobufCBinaryData){sizeof digest, digest};
	frame.body_case = THROUGHCARE__BATCH__FRAME__BODY_TRAILER;
	frame.trailer = &m;
	enum rc rc = append_frame(w, &frame);
	if (rc == RC_OK)
		sha256_final(w->digest, ret_batch_id);
	return rc;
}

void batch_writer_free(struct batch_writer *w)
{
	if (w == NULL)
		return;
	sha256_free(w->digest);
	free(w);
}
