/* libs: tc_proto */
/* Cursors stop at their first error; hexadecimal and base64 have one text a value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "proto/bytes.h"

static void test_reader_round_trip(void **state)
{
	uint8_t buffer[64];
	char text[8];
	struct writer w;
	struct reader r;

	writer_init(&w, buffer, sizeof buffer);
	write_u8(&w, 0xab);
	write_u16(&w, 0x1234);
	write_u32(&w, 0xdeadbeef);
	write_u64(&w, UINT64_C(0x0123456789abcdef));
	write_string(&w, "prison");
	assert_false(w.failed);
	assert_int_equal(buffer[1], 0x12);      /* big-endian */
	reader_init(&r, buffer, writer_len(&w));
	assert_int_equal(read_u8(&r), 0xab);
	assert_int_equal(read_u16(&r), 0x1234);
	assert_int_equal(read_u32(&r), 0xdeadbeef);
	assert_true(read_u64(&r) == UINT64_C(0x0123456789abcdef));
	read_string(&r, text, sizeof text);
	assert_string_equal(text, "prison");
	assert_int_equal(reader_end(&r), RC_OK);
}

static void test_reader_error_sticks(void **state)
{
	static const uint8_t three[3] = {1, 2, 3};
	uint8_t copy[2] = {9, 9};
	struct reader r;

	reader_init(&r, three, sizeof three);
	assert_int_equal(read_u32(&r), 0);
	assert_true(r.failed);
	assert_int_equal(read_u8(&r), 0);       /* although a byte is there */
	read_copy(&r, copy, sizeof copy);
	assert_int_equal(copy[0], 0);
	assert_null(read_bytes(&r, 1));
	assert_int_equal(reader_left(&r), 0);
	assert_int_equal(reader_end(&r), RC_MALFORMED);
}

static void test_reader_leftover_is_an_error(void **state)
{
	static const uint8_t two[2] = {1, 2};
	struct reader r;

	reader_init(&r, two, sizeof two);
	assert_int_equal(read_u8(&r), 1);
	assert_int_equal(reader_end(&r), RC_MALFORMED);
}

static void test_strings_are_bounded_and_hold_no_nul(void **state)
{
	static const uint8_t with_nul[] = {0, 3, 'a', 0, 'b'}, too_long[] = {0, 4, 'a', 'b', 'c', 'd'};
	char text[4];
	struct reader r;

	reader_init(&r, with_nul, sizeof with_nul);
	read_string(&r, text, sizeof text);
	assert_true(r.failed);
	assert_string_equal(text, "");
	reader_init(&r, too_long, sizeof too_long);
	read_string(&r, text, sizeof text);
	assert_true(r.failed);
}

static void test_writer_full(void **state)
{
	uint8_t small[4];
	struct writer w;

	writer_init(&w, small, sizeof small);
	write_u16(&w, 1);
	write_u32(&w, 2);
	assert_true(w.failed);
	write_u8(&w, 3);
	assert_int_equal(writer_len(&w), 2);
}

static void test_hex(void **state)
{
	char text[7];
	uint8_t out[3] = {7, 7, 7};

	hex_encode("\x00\xff\x1a", 3, text);
	assert_string_equal(text, "00ff1a");
	assert_int_equal(hex_decode("00FF1a", 6, out, 3), RC_OK);
	assert_memory_equal(out, "\x00\xff\x1a", 3);
	assert_int_equal(hex_decode("00ff1", 5, out, 3), RC_MALFORMED);
	assert_int_equal(hex_decode("00ff1g", 6, out, 3), RC_MALFORMED);
	assert_memory_equal(out, "\x00\xff\x1a", 3);    /* untouched on failure */
}

static void test_base64(void **state)
{
	static const struct { const char *plain, *text; } vectors[] = {        /* RFC 4648 section 10 */
		{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
	};
	static const char *const bad[] = {"Zg=", "Zg", "Zh==", "Zm9=", "Z===", "====", "Zm9v\n", " Zm9", "Zm-v", "Zg==Zg=="};
	uint8_t out[16];
	char text[16];
	size_t len;

	for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
		base64_encode(vectors[i].plain, strlen(vectors[i].plain), text);
		assert_string_equal(text, vectors[i].text);
		assert_int_equal(base64_decode(text, strlen(text), out, sizeof out, &len), RC_OK);
		assert_int_equal(len, strlen(vectors[i].plain));
		assert_memory_equal(out, vectors[i].plain, len);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(base64_decode(bad[i], strlen(bad[i]), out, sizeof out, &len), RC_MALFORMED);
	assert_int_equal(base64_decode("Zm9vYmFy", 8, out, 5, &len), RC_MALFORMED);
}

static void test_sha256(void **state)
{
	uint8_t a[32], b[32];
	char text[65];

	sha256("abc", 3, a);                     /* FIPS 180-2 */
	hex_encode(a, 32, text);
	assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_labelled("ab", "c", 1, a);
	sha256("ab\0c", 4, b);
	assert_memory_equal(a, b, 32);
}

static void test_buffer_grows(void **state)
{
	struct buffer b;

	buffer_init(&b);
	for (int i = 0; i < 1000; i++)
		buffer_printf(&b, "%04d", i);
	assert_false(b.failed);
	assert_int_equal(b.len, 4000);
	assert_memory_equal(b.data + 3996, "0999", 4);
	buffer_append(&b, NULL, 0);
	buffer_drop(&b, 0);
	assert_int_equal(b.len, 4000);
	buffer_drop(&b, 8);
	assert_int_equal(b.len, 3992);
	assert_memory_equal(b.data, "0002", 4);
	assert_memory_equal(b.data + 3988, "0999", 4);
	buffer_drop(&b, b.len);
	assert_int_equal(b.len, 0);
	buffer_wipe(&b);
	assert_null(b.data);
}

static void test_rc_table(void **state)
{
	struct diag diag;

	for (int i = 0; i < RC_COUNT; i++) {
		assert_non_null(rc_name((enum rc)i));
		assert_true(strlen(rc_text((enum rc)i)) > 1);
		assert_in_range(rc_http_status((enum rc)i), 200, 507);
		assert_in_range(rc_exit_code((enum rc)i), 0, 78);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(rc_name((enum rc)i), rc_name((enum rc)j));
	}
	assert_int_equal(rc_exit_code((enum rc)9999), rc_exit_code(RC_INTERNAL));
	assert_int_equal(diag_set(&diag, RC_INVALID, "%0600d", 1), RC_INVALID);
	assert_int_equal(strlen(diag.text), sizeof diag.text - 1);
	assert_int_equal(diag_set(NULL, RC_IO, "unheard"), RC_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader_round_trip),
		cmocka_unit_test(test_reader_error_sticks),
		cmocka_unit_test(test_reader_leftover_is_an_error),
		cmocka_unit_test(test_strings_are_bounded_and_hold_no_nul),
		cmocka_unit_test(test_writer_full),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_sha256),
		cmocka_unit_test(test_buffer_grows),
		cmocka_unit_test(test_rc_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
