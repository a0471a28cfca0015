/* Content-Encoding: inflating what a client sends, in bounded memory.
 *
 * The output window is fixed and the total is bounded by `max_bytes`, so a gzip bomb costs the time of max_bytes at
 * most; the ratio itself is not judged, since honest filters with many zeros compress well. One stream only: bytes
 * after its end are refused, since two readers could disagree about them. "deflate" is the zlib format, as RFC 9110
 * says. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/batch.h"

enum { WINDOW_BYTES = 64 << 10, ZLIB_BITS = 15, GZIP_BITS = 15 + 16 };

struct inflater {
	enum content_encoding encoding;
	uint64_t left;  /* bytes that may still be given out */
	enum rc failed; /* sticky */
	bool ended;
	z_stream z;
	uint8_t window[WINDOW_BYTES];
};

enum rc inflater_new(enum content_encoding encoding, uint64_t max_bytes, struct inflater **ret)
{
	struct inflater *z = calloc(1, sizeof *z);
	if (z == NULL)
		return RC_NOMEM;
	z->encoding = encoding;
	z->left = max_bytes;
	if (encoding != ENCODING_IDENTITY &&
	    inflateInit2(&z->z, encoding == ENCODING_GZIP ? GZIP_BITS : ZLIB_BITS) != Z_OK) {
		free(z);
		return RC_NOMEM;
	}
	*ret = z;
	return RC_OK;
}

void inflater_free(struct inflater *z)
{
	if (z == NULL)
		return;
	if (z->encoding != ENCODING_IDENTITY)
		inflateEnd(&z->z);
	explicit_bzero(z, sizeof *z);
	free(z);
}

typedef enum rc (*inflate_sink)(void *ctx, const uint8_t *data, size_t len);

static enum rc give(struct inflater *z, const uint8_t *data, size_t len, inflate_sink sink, void *ctx)
{
	if (len > z->left)
		return RC_TOO_LARGE;
	z->left -= len;
	return len > 0 ? sink(ctx, data, len) : RC_OK;
}

/* One call of zlib: as much as the window takes. */
static enum rc inflate_step(struct inflater *z, inflate_sink sink, void *ctx)
{
	z->z.next_out = z->window;
	z->z.avail_out = WINDOW_BYTES;
	int status = inflate(&z->z, Z_NO_FLUSH);
	if (status == Z_MEM_ERROR)
		return RC_NOMEM;
	if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
		return RC_MALFORMED;
	z->ended = status == Z_STREAM_END;
	return give(z, z->window, WINDOW_BYTES - z->z.avail_out, sink, ctx);
}

static enum rc feed(struct inflater *z, const uint8_t *data, size_t len, inflate_sink sink, void *ctx)
{
	enum rc rc = RC_OK;

	if (z->encoding == ENCODING_IDENTITY)
		return give(z, data, len, sink, ctx);
	if (len > UINT32_MAX)
		return RC_TOO_LARGE;
	z->z.next_in = (uint8_t *)data;
	z->z.avail_in = (uInt)len;
	/* A full window may hide more output that needs no further input. */
	do {
		if (z->ended)
			return z->z.avail_in > 0 ? RC_MALFORMED : RC_OK;
		rc = inflate_step(z, sink, ctx);
	} while (rc == RC_OK && (z->z.avail_in > 0 || z->z.avail_out == 0));
	return rc;
}

enum rc inflater_feed(struct inflater *z, const uint8_t *data, size_t len,
		      enum rc (*sink)(void *ctx, const uint8_t *data, size_t len), void *ctx)
{
	if (z->failed == RC_OK)
		z->failed = feed(z, data, len, sink, ctx);
	return z->failed;
}

enum rc inflater_end(struct inflater *z)
{
	if (z->failed == RC_OK && z->encoding != ENCODING_IDENTITY && !z->ended)
		z->failed = RC_TRUNCATED;
	return z->failed;
}

enum rc gzip_compress(const uint8_t *data, size_t len, struct buffer *out)
{
	uint8_t window[16 << 10];
	z_stream z = {0};
	size_t start = out->len;
	int status;

	if (len > UINT32_MAX)
		return RC_TOO_LARGE;
	if (deflateInit2(&z, 6, Z_DEFLATED, GZIP_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return RC_NOMEM;
	z.next_in = (uint8_t *)data;
	z.avail_in = (uInt)len;
	do {
		z.next_out = window;
		z.avail_out = sizeof window;
		status = deflate(&z, Z_FINISH);
		buffer_append(out, window, sizeof window - z.avail_out);
	} while (status == Z_OK || status == Z_BUF_ERROR);
	deflateEnd(&z);
	if (status != Z_STREAM_END || out->failed) {
		out->len = start;
		return RC_NOMEM;
	}
	return RC_OK;
}
