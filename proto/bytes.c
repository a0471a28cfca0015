/* Bounded cursors, growing buffers, hexadecimal, base64 and SHA-256: the small tools that every binary form uses.
 * After its first error a cursor ignores every further call, so that decoders check once, at the end. */
#include "proto/bytes.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void reader_init(struct reader *r, const void *data, size_t len)
{
	r->at = data;
	r->end = len ? r->at + len : r->at;
	r->failed = false;
}

size_t reader_left(const struct reader *r)
{
	return r->failed ? 0 : (size_t)(r->end - r->at);
}

const uint8_t *read_bytes(struct reader *r, size_t len)
{
	if (r->failed || (size_t)(r->end - r->at) < len) {
		r->failed = true;
		return NULL;
	}
	const uint8_t *at = r->at;
	if (len > 0)
		r->at += len;
	return at;
}

/* A big-endian integer of up to 8 bytes; 0 once the cursor has failed. */
static uint64_t read_integer(struct reader *r, size_t len)
{
	const uint8_t *at = read_bytes(r, len);
	uint64_t v = 0;
	for (size_t i = 0; at != NULL && i < len; i++)
		v = v << 8 | at[i];
	return v;
}

uint8_t read_u8(struct reader *r)
{
	return (uint8_t)read_integer(r, 1);
}

uint16_t read_u16(struct reader *r)
{
	return (uint16_t)read_integer(r, 2);
}

uint32_t read_u32(struct reader *r)
{
	return (uint32_t)read_integer(r, 4);
}

uint64_t read_u64(struct reader *r)
{
	return read_integer(r, 8);
}

void read_copy(struct reader *r, void *out, size_t len)
{
	const uint8_t *at = read_bytes(r, len);
	if (at == NULL)
		memset(out, 0, len);
	else if (len > 0)
		memcpy(out, at, len);
}

void read_string(struct reader *r, char *out, size_t cap)
{
	size_t len = read_u16(r);
	const uint8_t *at = len < cap ? read_bytes(r, len) : NULL;

	out[0] = '\0';
	if (at == NULL || (len > 0 && memchr(at, 0, len) != NULL)) {
		r->failed = true;
		return;
	}
	memcpy(out, at, len);
	out[len] = '\0';
}

enum rc reader_end(const struct reader *r)
{
	return !r->failed && r->at == r->end ? RC_OK : RC_MALFORMED;
}

void writer_init(struct writer *w, void *buffer, size_t cap)
{
	w->start = w->at = buffer;
	w->end = w->start + cap;
	w->failed = false;
}

void write_bytes(struct writer *w, const void *data, size_t len)
{
	if (w->failed || (size_t)(w->end - w->at) < len) {
		w->failed = true;
		return;
	}
	if (len > 0)
		memcpy(w->at, data, len);
	w->at += len;
}

static void write_integer(struct writer *w, uint64_t v, size_t len)
{
	uint8_t bytes[8];
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(v >> (8 * (len - 1 - i)));
	write_bytes(w, bytes, len);
}

void write_u8(struct writer *w, uint8_t v)
{
	write_integer(w, v, 1);
}

void write_u16(struct writer *w, uint16_t v)
{
	write_integer(w, v, 2);
}

void write_u32(struct writer *w, uint32_t v)
{
	write_integer(w, v, 4);
}

void write_u64(struct writer *w, uint64_t v)
{
	write_integer(w, v, 8);
}

void write_string(struct writer *w, const char *s)
{
	size_t len = strlen(s);
	if (len > UINT16_MAX) {
		w->failed = true;
		return;
	}
	write_u16(w, (uint16_t)len);
	write_bytes(w, s, len);
}

size_t writer_len(const struct writer *w)
{
	return (size_t)(w->at - w->start);
}

void buffer_init(struct buffer *b)
{
	*b = (struct buffer){0};
}

void buffer_deinit(struct buffer *b)
{
	free(b->data);
	buffer_init(b);
}

void buffer_reset(struct buffer *b)
{
	b->len = 0;
	b->failed = false;
}

void buffer_drop(struct buffer *b, size_t n)
{
	if (n == 0)
		return; /* there may be no memory yet */
	b->len -= n;
	memmove(b->data, b->data + n, b->len);
}

void wipe_free(void *memory, size_t len)
{
	if (memory != NULL)
		explicit_bzero(memory, len);
	free(memory);
}

void buffer_wipe(struct buffer *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	buffer_deinit(b);
}

/* Room for `more` bytes. Grown by copying and wiping, not by realloc, so that a buffer of secrets leaves no old copy. */
static bool buffer_grow(struct buffer *b, size_t more)
{
	if (b->failed || more > SIZE_MAX / 2 - b->len) {
		b->failed = true;
		return false;
	}
	if (b->len + more <= b->cap)
		return true;
	size_t cap = b->cap < 256 ? 256 : b->cap;
	while (cap < b->len + more)
		cap *= 2;
	uint8_t *data = malloc(cap);
	if (data == NULL) {
		b->failed = true;
		return false;
	}
	if (b->len > 0)
		memcpy(data, b->data, b->len);
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	free(b->data);
	b->data = data;
	b->cap = cap;
	return true;
}

void buffer_append(struct buffer *b, const void *data, size_t len)
{
	if (!buffer_grow(b, len))
		return;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int need = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (need < 0) {
		b->failed = true;
		return;
	}
	if (!buffer_grow(b, (size_t)need + 1))
		return;
	va_start(args, format);
	vsnprintf((char *)b->data + b->len, (size_t)need + 1, format, args);
	va_end(args);
	b->len += (size_t)need;
}

void hex_encode(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *at = data;
	for (size_t i = 0; i < len; i++) {
		*out++ = digits[at[i] >> 4];
		*out++ = digits[at[i] & 15];
	}
	*out = '\0';
}

int hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum rc hex_decode(const char *text, size_t text_len, void *out, size_t len)
{
	uint8_t *at = out;

	if (text_len != 2 * len)
		return RC_MALFORMED;
	for (size_t i = 0; i < text_len; i++) {
		if (hex_digit(text[i]) < 0)
			return RC_MALFORMED;
	}
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
	return RC_OK;
}

size_t base64_encoded_len(size_t len)
{
	return (len + 2) / 3 * 4;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t len, char *out)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = (uint32_t)at[i] << 16;
		if (n > 1)
			v |= (uint32_t)at[i + 1] << 8;
		if (n > 2)
			v |= at[i + 2];
		*out++ = base64_digits[v >> 18];
		*out++ = base64_digits[v >> 12 & 63];
		*out++ = n > 1 ? base64_digits[v >> 6 & 63] : '=';
		*out++ = n > 2 ? base64_digits[v & 63] : '=';
	}
	*out = '\0';
}

int base64_digit(int c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

enum rc base64_decode(const char *text, size_t text_len, void *out, size_t cap, size_t *ret_len)
{
	uint8_t *at = out;
	size_t pad = 0;

	if (text_len % 4 != 0)
		return RC_MALFORMED;
	if (text_len > 0 && text[text_len - 1] == '=')
		pad = text[text_len - 2] == '=' ? 2 : 1;
	size_t len = text_len / 4 * 3 - pad;
	if (len > cap)
		return RC_MALFORMED;
	for (size_t i = 0; i < text_len; i += 4) {
		size_t n = i + 4 == text_len ? 4 - pad : 4;
		uint32_t v = 0;
		for (size_t j = 0; j < 4; j++) {
			int digit = j < n ? base64_digit(text[i + j]) : 0;
			if (digit < 0)
				return RC_MALFORMED;
			v = v << 6 | (uint32_t)digit;
		}
		/* Bits that padding cuts off must be zero: one text for one value. */
		if ((n == 2 && (v & 0xffff) != 0) || (n == 3 && (v & 0xff) != 0))
			return RC_MALFORMED;
		*at++ = (uint8_t)(v >> 16);
		if (n > 2)
			*at++ = (uint8_t)(v >> 8);
		if (n > 3)
			*at++ = (uint8_t)v;
	}
	*ret_len = len;
	return RC_OK;
}

struct sha256_ctx {
	EVP_MD_CTX *md;
};

/* A digest context cannot fail but for memory, which is small and fixed here: abort, as for any small allocation. */
struct sha256_ctx *sha256_new(void)
{
	struct sha256_ctx *ctx = malloc(sizeof *ctx);
	if (ctx == NULL)
		abort();
	ctx->md = EVP_MD_CTX_new();
	if (ctx->md == NULL || EVP_DigestInit_ex(ctx->md, EVP_sha256(), NULL) != 1)
		abort();
	return ctx;
}

struct sha256_ctx *sha256_copy(const struct sha256_ctx *ctx)
{
	struct sha256_ctx *copy = sha256_new();
	if (EVP_MD_CTX_copy_ex(copy->md, ctx->md) != 1)
		abort();
	return copy;
}

void sha256_update(struct sha256_ctx *ctx, const void *data, size_t len)
{
	if (EVP_DigestUpdate(ctx->md, data, len) != 1)
		abort();
}

void sha256_final(struct sha256_ctx *ctx, uint8_t out[32])
{
	if (EVP_DigestFinal_ex(ctx->md, out, NULL) != 1)
		abort();
}

void sha256_free(struct sha256_ctx *ctx)
{
	if (ctx == NULL)
		return;
	EVP_MD_CTX_free(ctx->md);
	free(ctx);
}

void sha256(const void *data, size_t len, uint8_t out[32])
{
	struct sha256_ctx *ctx = sha256_new();
	sha256_update(ctx, data, len);
	sha256_final(ctx, out);
	sha256_free(ctx);
}

void sha256_labelled(const char *label, const void *data, size_t len, uint8_t out[32])
{
	struct sha256_ctx *ctx = sha256_new();
	sha256_update(ctx, label, strlen(label) + 1);
	sha256_update(ctx, data, len);
	sha256_final(ctx, out);
	sha256_free(ctx);
}

bool bytes_equal_const_time(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}
