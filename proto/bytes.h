/* Bounded byte cursors: the one way to read and write binary forms (pipe messages, store keys, sealed values).
 *
 * After the first error every call is a no-op that leaves its output zero, so that a decoder can read all fields and
 * check once at the end. All integers are big-endian. */
#ifndef PROTO_BYTES_H
#define PROTO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

struct reader {
	const uint8_t *at, *end;
	bool failed;
};

struct writer {
	uint8_t *start, *at, *end;
	bool failed;               /* the buffer was too small */
};

void reader_init(struct reader *r, const void *data, size_t len);      /* borrows data */
uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
/* Borrow the next `len` bytes; NULL and failed when there are fewer. */
const uint8_t *read_bytes(struct reader *r, size_t len);
void read_copy(struct reader *r, void *out, size_t len);
/* A u16 length followed by that many bytes, copied to `out` with a NUL; fails when it does not fit or holds a NUL. */
void read_string(struct reader *r, char *out, size_t cap);
size_t reader_left(const struct reader *r);
/* RC_OK when nothing failed and nothing is left over. */
enum rc reader_end(const struct reader *r) MUST_CHECK;

void writer_init(struct writer *w, void *buffer, size_t cap);          /* borrows buffer */
void write_u8(struct writer *w, uint8_t v);
void write_u16(struct writer *w, uint16_t v);
void write_u32(struct writer *w, uint32_t v);
void write_u64(struct writer *w, uint64_t v);
void write_bytes(struct writer *w, const void *data, size_t len);
void write_string(struct writer *w, const char *s);                    /* u16 length, bytes, no NUL */
size_t writer_len(const struct writer *w);

/* A growing buffer. Allocation failure sets `failed`; later appends are no-ops. */
struct buffer {
	uint8_t *data;
	size_t len, cap;
	bool failed;
};

void buffer_init(struct buffer *b);
void buffer_deinit(struct buffer *b);
void buffer_append(struct buffer *b, const void *data, size_t len);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_reset(struct buffer *b);                                    /* keeps the memory */
void buffer_drop(struct buffer *b, size_t n);                           /* the first n ≤ len bytes; keeps the memory */
/* Wipe, then free: for buffers that held records or keys. */
void buffer_wipe(struct buffer *b);
/* The same of plain memory; NULL is a no-op. */
void wipe_free(void *memory, size_t len);

/* What a character means as a digit of hexadecimal (either case) or of base64; -1 for any other. */
int hex_digit(int c);
int base64_digit(int c);
/* Lower-case hexadecimal. `out` has 2*len+1 bytes. */
void hex_encode(const void *data, size_t len, char *out);
/* Exactly `len` bytes from 2*len digits, either case. Errors: MALFORMED. */
enum rc hex_decode(const char *text, size_t text_len, void *out, size_t len) MUST_CHECK;
/* Standard base64 with padding. base64_encoded_len() counts no NUL; `out` has one byte more. */
size_t base64_encoded_len(size_t len);
void base64_encode(const void *data, size_t len, char *out);
/* Strict: canonical padding, no white space. *ret_len <= cap. Errors: MALFORMED. */
enum rc base64_decode(const char *text, size_t text_len, void *out, size_t cap, size_t *ret_len) MUST_CHECK;

/* SHA-256, and SHA-256 that binds a label. */
void sha256(const void *data, size_t len, uint8_t out[32]);
void sha256_labelled(const char *label, const void *data, size_t len, uint8_t out[32]); /* label, NUL, data */

/* An incremental SHA-256. */
struct sha256_ctx;
struct sha256_ctx *sha256_new(void);
void sha256_update(struct sha256_ctx *ctx, const void *data, size_t len);
void sha256_final(struct sha256_ctx *ctx, uint8_t out[32]);            /* may be called once, then free */
/* A second context with the same state, for the digest so far of something that goes on. */
struct sha256_ctx *sha256_copy(const struct sha256_ctx *ctx);
void sha256_free(struct sha256_ctx *ctx);

/* Compare without a data-dependent branch. */
bool bytes_equal_const_time(const void *a, const void *b, size_t len);

#endif
