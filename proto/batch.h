/* Batches of encoded records: writing them at the custodian, checking them at the daemon's border.
 *
 * The reader is a push parser for hostile bytes that arrive in pieces. It bounds every length before it allocates,
 * checks every column against the study, and hands over one checked chunk at a time. The format is in batch.proto. */
#ifndef PROTO_BATCH_H
#define PROTO_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/study.h"

enum {
	BATCH_ID_LEN = 32,
	RECORD_ID_LEN = 16,
	PERSON_ID_LEN = 16,
	KEY_CHECK_LEN = 16,
	CHUNK_MAX_RECORDS = 4096,
	CHUNK_MAX_BYTES = 4 << 20,
	BATCH_MAX_BYTES = 64 << 20,
	BATCH_MAGIC_LEN = 8,
	BATCH_SOFTWARE_CAP = 64,
	BATCH_DAY_MIN = -25567, /* 1900-01-01: an event before it is a mistake, not a date */
};

#define BATCH_MAGIC "TCBATCH1"

struct batch_header {
	char source[STUDY_NAME_CAP];
	uint8_t encoding_id[32];
	uint8_t key_check[KEY_CHECK_LEN];
	char software[BATCH_SOFTWARE_CAP]; /* printable ASCII */
	uint64_t first_row;
};

/* A checked chunk, columnar. Arrays have n_records elements and belong to the chunk. */
struct batch_chunk {
	uint32_t n_records;
	uint8_t (*record_ids)[RECORD_ID_LEN];
	uint64_t *revisions;
	uint8_t (*person_ids)[PERSON_ID_LEN]; /* all zero = none */
	uint8_t *filters[STUDY_MAX_FILTERS];  /* filter f of record i at i * study_filter_bytes(domain, f) */
	uint8_t *missing[STUDY_MAX_FILTERS];  /* one byte a record: 1 = missing (its filter is all zero) */
	uint8_t *events;                      /* index into study->events */
	int32_t *days;
	uint8_t *codes[STUDY_MAX_DIMENSIONS]; /* 0 = unknown */
};

/* How many records a chunk of this domain can hold: at most CHUNK_MAX_RECORDS, fewer where filters are so long that
 * the chunk could pass CHUNK_MAX_BYTES. The canonical chunk size: every writer fills chunks up to it. */
uint32_t batch_chunk_cap(const struct study *study, int domain);
/* Allocate all columns, zeroed, for up to `cap` ≤ CHUNK_MAX_RECORDS records of this domain; n_records is 0.
 * Errors: TOO_LARGE, NOMEM. */
enum rc batch_chunk_new(const struct study *study, int domain, uint32_t cap, struct batch_chunk **ret) MUST_CHECK;
/* Append records first … first + n − 1 of another chunk of the domain. `to` must have room. */
void batch_chunk_append(const struct study *study, int domain, const struct batch_chunk *from, uint32_t first,
			uint32_t n, struct batch_chunk *to);
/* Wipes everything, then frees. */
void batch_chunk_free(struct batch_chunk *chunk);

/* ---- writing ---- */

/* Append magic and header frame / a chunk frame / the trailer frame to `out`. The writer keeps the running digest. */
struct batch_writer;
/* Borrows study and out; `out` may be flushed and reset between calls. Errors: INVALID (source or software of the
 * header), NOMEM. */
enum rc batch_writer_new(const struct study *study, const struct batch_header *header, struct buffer *out,
			 struct batch_writer **ret) MUST_CHECK;
/* Refuses what the reader would refuse. Errors: INVALID, NOT_ALLOWED; TOO_LARGE when the batch would pass
 * BATCH_MAX_BYTES: then nothing was written, so end this batch and start another. */
enum rc batch_writer_chunk(struct batch_writer *w, const struct batch_chunk *chunk) MUST_CHECK;
/* Errors: INVALID when no chunk was written. */
enum rc batch_writer_end(struct batch_writer *w, uint8_t ret_batch_id[BATCH_ID_LEN]) MUST_CHECK;
void batch_writer_free(struct batch_writer *w);
/* The Frame message of one chunk alone (without its length), as it is sealed in the store. Appends to `out`.
 * Errors: INVALID, TOO_LARGE (beyond CHUNK_MAX_BYTES), NOMEM. */
enum rc batch_chunk_encode(const struct study *study, int domain, const struct batch_chunk *chunk,
			   struct buffer *out) MUST_CHECK;
/* The inverse, with every check of the reader but whether the source may send the events. `len` is that of one Frame
 * message. Errors: MALFORMED, INVALID, TOO_LARGE, NOMEM. */
enum rc batch_chunk_decode(const struct study *study, int domain, const uint8_t *frame, size_t len,
			   struct batch_chunk **ret, struct diag *diag) MUST_CHECK;

/* ---- reading ---- */

struct batch_sink {
	/* Called once, after the header was checked against the study. */
	enum rc (*on_header)(void *ctx, const struct batch_header *header, int source, int domain);
	/* Called for each chunk in order; takes ownership of `chunk`. `frame` is its Frame message as received. */
	enum rc (*on_chunk)(void *ctx, struct batch_chunk *chunk, const uint8_t *frame, size_t frame_len);
	void *ctx;
};

struct batch_limits {
	uint64_t max_bytes; /* of one batch, uncompressed */
	int32_t latest_day; /* an event after it is refused; 0 = not checked (the format's own bound stays) */
};

struct batch_reader;
/* A reader for one batch. Borrows study. Errors: NOMEM, CRYPTO (no random numbers). */
enum rc batch_reader_new(const struct study *study, const struct batch_sink *sink, const struct batch_limits *limits,
			 struct batch_reader **ret) MUST_CHECK;
/* Feed any number of bytes. Errors: MALFORMED, INVALID, DIGEST, TOO_LARGE, SCHEMA (encoding_id), SECRET (key check),
 * NOT_ALLOWED (the study's key check is unset; an event this source may not send), or what a callback returned; `diag`
 * names frame and record number (both from 1) and field, never a value. After an error the reader stays failed and
 * repeats it. Chunks are handed over before the trailer was seen: nothing may last until batch_reader_end is RC_OK. */
enum rc batch_reader_feed(struct batch_reader *r, const uint8_t *data, size_t len, struct diag *diag) MUST_CHECK;
/* The input has ended. *ret_batch_id is the SHA-256 of all bytes. Errors: TRUNCATED, or the earlier error. */
enum rc batch_reader_end(struct batch_reader *r, uint8_t ret_batch_id[BATCH_ID_LEN], uint64_t *ret_n_records,
			 struct diag *diag) MUST_CHECK;
void batch_reader_free(struct batch_reader *r);

/* Length of the first batch of a file that is already in memory or mapped: walks frames without parsing records.
 * *ret_n_records (may be NULL) is what the trailer says. Errors: MALFORMED, TRUNCATED, TOO_LARGE. */
enum rc batch_length(const uint8_t *data, size_t len, size_t *ret_len, uint8_t ret_batch_id[BATCH_ID_LEN],
		     uint64_t *ret_n_records) MUST_CHECK;

/* ---- the JSON form ----
 * {"source": "prison", "encoding_id": "<hex>", "key_check": "<hex>", "records": [{"record_id": "<32 hex>",
 *  "revision": 0, "person_id": "<32 hex>", "filters": {"surname": "<base64>", ...}, "event": "release",
 *  "date": "2024-01-25", "dimensions": {"sex": "male"}}, ...]}
 * "software" and "first_row" of the header, and "revision", "person_id" and "dimensions" of a record may be left out; a
 * filter or dimension that is left out or null is missing or unknown. Any other member is an error.
 * Transcoded to the same frames (full chunks of batch_chunk_cap() records in order), so that both forms have one batch
 * id. Memory stays within a small multiple of the frames: records are parsed one by one, never as one document.
 * Appends to `out`. Errors: MALFORMED, INVALID, TOO_LARGE, NOMEM; `diag` names record number and field. */
enum rc batch_from_json(const struct study *study, const char *json, size_t len, struct buffer *out,
			struct diag *diag) MUST_CHECK;

/* ---- Content-Encoding ---- */

enum content_encoding { ENCODING_IDENTITY, ENCODING_GZIP, ENCODING_DEFLATE };

/* A bounded streaming inflater: never gives out more than `max_bytes` in all. */
struct inflater;
enum rc inflater_new(enum content_encoding encoding, uint64_t max_bytes, struct inflater **ret) MUST_CHECK;
/* Inflate `data` and call `sink` with pieces. Errors: MALFORMED, TOO_LARGE, or what sink returned. */
enum rc inflater_feed(struct inflater *z, const uint8_t *data, size_t len,
		      enum rc (*sink)(void *ctx, const uint8_t *data, size_t len), void *ctx) MUST_CHECK;
enum rc inflater_end(struct inflater *z) MUST_CHECK; /* TRUNCATED */
void inflater_free(struct inflater *z);
/* Compress for sending. Appends a gzip stream to `out`. */
enum rc gzip_compress(const uint8_t *data, size_t len, struct buffer *out) MUST_CHECK;

#endif
