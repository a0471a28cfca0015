/* libs: tc_keys tc_proto */
/* HMAC-SHA256 with a prepared key: RFC 4231, and equal to the one-shot function at every length. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "keys/hmac.h"
#include "keys/key_file.h"
#include "proto/bytes.h"

static void check(const char *key, size_t key_len, const char *data, const char *expected_hex)
{
	struct hmac_key *prepared = NULL;
	uint8_t mac[32], expected[32];
	assert_int_equal(hex_decode(expected_hex, 64, expected, 32), RC_OK);
	assert_int_equal(hmac_key_new((const uint8_t *)key, key_len, &prepared), RC_OK);
	assert_int_equal(hmac_key_mac(prepared, data, strlen(data), mac), RC_OK);
	assert_memory_equal(mac, expected, 32);
	hmac_key_free(prepared);
}

static void test_rfc_4231(void **state)
{
	static const char key_1[] = "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b";
	check(key_1, 20, "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	check("Jefe", 4, "what do ya want for nothing?",
	      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void test_equals_one_shot(void **state)
{
	uint8_t key[64], data[300], one[32], other[32];
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7);
	memcpy(key, data + 100, sizeof key);
	for (size_t key_len = 0; key_len <= 64; key_len += 16) {
		struct hmac_key *prepared = NULL;
		assert_int_equal(hmac_key_new(key, key_len, &prepared), RC_OK);
		for (size_t len = 0; len <= sizeof data; len++) {
			assert_int_equal(hmac_key_mac(prepared, data, len, one), RC_OK);
			assert_int_equal(hmac_sha256(key, key_len, data, len, other), RC_OK);
			assert_memory_equal(one, other, 32);
		}
		hmac_key_free(prepared);
	}
	struct hmac_key *prepared = NULL;
	assert_int_equal(hmac_key_new(data, 65, &prepared), RC_CRYPTO);
	assert_null(prepared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_4231),
		cmocka_unit_test(test_equals_one_shot),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
