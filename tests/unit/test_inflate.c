/* libs: tc_proto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/batch.h"

static enum rc collect(void *ctx, const uint8_t *data, size_t len)
{
	buffer_append(ctx, data, len);
	return RC_OK;
}

static enum rc refuse(void *ctx, const uint8_t *data, size_t len)
{
	return RC_BUSY;
}

static enum rc inflate_in_steps(enum content_encoding encoding, uint64_t max, const uint8_t *data, size_t len,
				size_t step, struct buffer *out)
{
	struct inflater *z = NULL;

	enum rc rc = inflater_new(encoding, max, &z);
	for (size_t at = 0; at < len && rc == RC_OK; at += step)
		rc = inflater_feed(z, data + at, len - at < step ? len - at : step, collect, out);
	if (rc == RC_OK)
		rc = inflater_end(z);
	inflater_free(z);
	return rc;
}

static void sample(uint8_t *data, size_t len)
{
	uint32_t x = 1;
	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		data[i] = (uint8_t)(x >> 24) & 0x3f;
	}
}

static void test_gzip_comes_back_in_any_pieces(void **state)
{
	enum { LEN = 300000 };
	uint8_t *data = malloc(LEN);
	struct buffer packed, out;

	assert_non_null(data);
	sample(data, LEN);
	buffer_init(&packed);
	assert_int_equal(gzip_compress(data, LEN, &packed), RC_OK);
	assert_true(packed.len < LEN);
	for (size_t step = 1; step <= packed.len; step = step * 17 + 3) {
		buffer_init(&out);
		assert_int_equal(inflate_in_steps(ENCODING_GZIP, LEN, packed.data, packed.len, step, &out), RC_OK);
		assert_int_equal(out.len, LEN);
		assert_memory_equal(out.data, data, LEN);
		buffer_deinit(&out);
	}
	/* One byte less allowed than it has. */
	buffer_init(&out);
	assert_int_equal(inflate_in_steps(ENCODING_GZIP, LEN - 1, packed.data, packed.len, 4096, &out), RC_TOO_LARGE);
	buffer_deinit(&out);
	buffer_deinit(&packed);
	free(data);
}

static void test_zlib_form_is_deflate(void **state)
{
	uint8_t data[1000], packed[2000];
	uLongf packed_len = sizeof packed;
	struct buffer out;

	sample(data, sizeof data);
	assert_int_equal(compress(packed, &packed_len, data, sizeof data), Z_OK);
	buffer_init(&out);
	assert_int_equal(inflate_in_steps(ENCODING_DEFLATE, sizeof data, packed, packed_len, 7, &out), RC_OK);
	assert_int_equal(out.len, sizeof data);
	assert_memory_equal(out.data, data, sizeof data);
	buffer_reset(&out);
	assert_int_equal(inflate_in_steps(ENCODING_GZIP, sizeof data, packed, packed_len, 7, &out), RC_MALFORMED);
	buffer_deinit(&out);
}

static void test_bomb_stops_at_the_bound(void **state)
{
	/* 64 MiB of zeros are 64 KiB of gzip; 1 MiB is allowed. */
	size_t len = (size_t)64 << 20;
	uint8_t *zeros = calloc(1, len);
	struct buffer packed, out;

	assert_non_null(zeros);
	buffer_init(&packed);
	buffer_init(&out);
	assert_int_equal(gzip_compress(zeros, len, &packed), RC_OK);
	assert_true(packed.len < 100000);
	assert_int_equal(inflate_in_steps(ENCODING_GZIP, 1 << 20, packed.data, packed.len, packed.len, &out),
			 RC_TOO_LARGE);
	assert_true(out.len <= 1 << 20);
	/* A bomb in a bomb is bytes to us: one layer is taken off, never two. */
	struct buffer twice;
	buffer_init(&twice);
	buffer_reset(&out);
	assert_int_equal(gzip_compress(packed.data, packed.len, &twice), RC_OK);
	assert_int_equal(inflate_in_steps(ENCODING_GZIP, 1 << 20, twice.data, twice.len, 100, &out), RC_OK);
	assert_int_equal(out.len, packed.len);
	buffer_deinit(&twice);
	buffer_deinit(&packed);
	buffer_deinit(&out);
	free(zeros);
}

static void test_every_cut_and_every_flip_is_seen(void **state)
{
	uint8_t data[200];
	struct buffer packed, out;

	sample(data, sizeof data);
	buffer_init(&packed);
	buffer_init(&out);
	assert_int_equal(gzip_compress(data, sizeof data, &packed), RC_OK);
	for (size_t cut = 0; cut < packed.len; cut++) {
		buffer_reset(&out);
		assert_int_equal(inflate_in_steps(ENCODING_GZIP, 1000, packed.data, cut, 3, &out), RC_TRUNCATED);
	}
	/* Behind the ten bytes of the gzip header, whose time and system say nothing about the content. A flip in the
	 * bits that fill up the last byte before the checksum changes nothing either. */
	int without_effect = 0;
	for (size_t i = 10; i < packed.len; i++) {
		packed.data[i] ^= 0x10;
		buffer_reset(&out);
		enum rc rc = inflate_in_steps(ENCODING_GZIP, 1000, packed.data, packed.len, 3, &out);
		packed.data[i] ^= 0x10;
		if (rc != RC_OK)
			continue;
		without_effect++;
		assert_int_equal(out.len, sizeof data);
		assert_memory_equal(out.data, data, sizeof data);
	}
	assert_true(without_effect <= 1);
	buffer_append(&packed, "x", 1);
	buffer_reset(&out);
	assert_int_equal(inflate_in_steps(ENCODING_GZIP, 1000, packed.data, packed.len, packed.len, &out),
			 RC_MALFORMED);
	buffer_reset(&out);
	assert_int_equal(inflate_in_steps(ENCODING_GZIP, 1000, packed.data, packed.len, 1, &out), RC_MALFORMED);
	buffer_deinit(&packed);
	buffer_deinit(&out);
}

static void test_a_failure_stays(void **state)
{
	struct inflater *z = NULL;
	struct buffer packed, out;
	uint8_t data[100] = {0};

	buffer_init(&packed);
	buffer_init(&out);
	assert_int_equal(gzip_compress(data, sizeof data, &packed), RC_OK);
	assert_int_equal(inflater_new(ENCODING_GZIP, 1000, &z), RC_OK);
	assert_int_equal(inflater_feed(z, packed.data, packed.len, refuse, NULL), RC_BUSY);
	assert_int_equal(inflater_feed(z, packed.data, packed.len, collect, &out), RC_BUSY);
	assert_int_equal(inflater_end(z), RC_BUSY);
	assert_int_equal(out.len, 0);
	inflater_free(z);
	buffer_deinit(&packed);
	buffer_deinit(&out);
}

static void test_identity_is_bounded_too(void **state)
{
	struct buffer out;

	buffer_init(&out);
	assert_int_equal(inflate_in_steps(ENCODING_IDENTITY, 5, (const uint8_t *)"abcde", 5, 2, &out), RC_OK);
	assert_memory_equal(out.data, "abcde", 5);
	assert_int_equal(inflate_in_steps(ENCODING_IDENTITY, 4, (const uint8_t *)"abcde", 5, 2, &out), RC_TOO_LARGE);
	buffer_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gzip_comes_back_in_any_pieces),
		cmocka_unit_test(test_zlib_form_is_deflate),
		cmocka_unit_test(test_bomb_stops_at_the_bound),
		cmocka_unit_test(test_every_cut_and_every_flip_is_seen),
		cmocka_unit_test(test_a_failure_stays),
		cmocka_unit_test(test_identity_is_bounded_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
