/* libs: tc_linkage_secret tc_keys tc_proto */
/* The key check is HKDF with its own label and the domain as salt, and weak secrets are refused with a reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "keys/key_file.h"
#include "keys/linkage_secret.h"

static void test_key_check(void **state)
{
	uint8_t secret[32], a[16], b[16], want[16];

	assert_int_equal(random_bytes(secret, sizeof secret), RC_OK);
	assert_int_equal(linkage_key_check(secret, 32, "main", a), RC_OK);
	assert_int_equal(hkdf_label(secret, 32, (const uint8_t *)"main", 4, "throughcare key check v1", want, 16),
			 RC_OK);
	assert_memory_equal(a, want, 16);
	assert_int_equal(linkage_key_check(secret, 32, "north", b), RC_OK);
	assert_memory_not_equal(a, b, 16);
	secret[31] ^= 1;
	assert_int_equal(linkage_key_check(secret, 32, "main", b), RC_OK);
	assert_memory_not_equal(a, b, 16);
}

/* Computed apart with Python's hmac: secret 00 … 1f, domain "main". */
static void test_key_check_golden(void **state)
{
	static const uint8_t want[16] = {0x52, 0x78, 0x39, 0xed, 0xff, 0xb2, 0xb5, 0x87,
					 0x23, 0x22, 0x2f, 0xb2, 0x97, 0xff, 0xcf, 0xb3};
	uint8_t secret[32], got[16];

	for (uint8_t i = 0; i < 32; i++)
		secret[i] = i;
	assert_int_equal(linkage_key_check(secret, 32, "main", got), RC_OK);
	assert_memory_equal(got, want, 16);
}

static void test_weak_secrets(void **state)
{
	struct diag diag;
	uint8_t secret[64];

	memset(secret, 0, sizeof secret);
	assert_int_equal(linkage_secret_check(secret, 32, &diag), RC_KEY);
	assert_int_equal(linkage_secret_check((const uint8_t *)"correct horse battery staple, 32", 32, &diag), RC_KEY);
	assert_non_null(strstr(diag.text, "text"));
	assert_null(strstr(diag.text, "horse"));
	for (int step = 1; step < 256; step++) {
		for (int i = 0; i < 32; i++)
			secret[i] = (uint8_t)(200 + i * step);
		assert_int_equal(linkage_secret_check(secret, 32, &diag), RC_KEY);
	}
	for (size_t len = 0; len < 64; len++) {
		assert_int_equal(random_bytes(secret, sizeof secret), RC_OK);
		if (len != 32)
			assert_int_equal(linkage_secret_check(secret, len, &diag), RC_KEY);
	}
	/* Half of it repeated. */
	memcpy(secret + 16, secret, 16);
	assert_int_equal(linkage_secret_check(secret, 32, NULL), RC_KEY);
}

static void test_random_secrets_pass(void **state)
{
	struct diag diag;
	uint8_t secret[32];

	for (int i = 0; i < 2000; i++) {
		assert_int_equal(random_bytes(secret, sizeof secret), RC_OK);
		assert_int_equal(linkage_secret_check(secret, 32, &diag), RC_OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_check),
		cmocka_unit_test(test_key_check_golden),
		cmocka_unit_test(test_weak_secrets),
		cmocka_unit_test(test_random_secrets_pass),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
