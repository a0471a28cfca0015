/* libs: tc_linkage_secret tc_keys tc_proto */
/* Shares of a secret: any as many as are needed give it back, fewer give nothing, mistyped ones are found. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "keys/secret_shares.h"

static const uint8_t secret[SHARE_SECRET_LEN] = {0, 1, 2, 0xff, 0x80, 0x1b, 77, 200};

static void test_every_subset(void **state)
{
	struct secret_share shares[SHARE_MAX], some[SHARE_MAX];
	struct diag diag;
	uint8_t back[SHARE_SECRET_LEN];
	for (uint8_t needed = 2; needed <= 5; needed++) {
		assert_int_equal(secret_split(secret, needed, 5, shares), RC_OK);
		for (unsigned set = 1; set < 32; set++) {
			size_t n = 0;
			for (unsigned i = 5; i-- > 0;) /* in any order */
				if (set >> i & 1)
					some[n++] = shares[i];
			enum rc rc = secret_join(some, n, back, &diag);
			assert_int_equal(rc, n >= needed ? RC_OK : RC_INVALID);
			if (rc == RC_OK)
				assert_memory_equal(back, secret, sizeof secret);
		}
	}
	/* One too few, with its own count of what is needed turned down, gives something else. */
	assert_int_equal(secret_split(secret, 3, 5, shares), RC_OK);
	for (int i = 0; i < 2; i++) {
		some[i] = shares[i];
		some[i].needed = 2;
	}
	assert_int_equal(secret_join(some, 2, back, &diag), RC_OK);
	assert_memory_not_equal(back, secret, sizeof secret);
	assert_int_equal(secret_split(secret, SHARE_MAX, SHARE_MAX, shares), RC_OK);
	assert_int_equal(secret_join(shares, SHARE_MAX, back, &diag), RC_OK);
	assert_memory_equal(back, secret, sizeof secret);
}

/* A line through points that were worked out by hand in the field of AES (FIPS 197, section 4.2). */
static void test_known_field(void **state)
{
	/* f(x) = s + ax with s = 01, a = 53: f(1) = 52, and at x = 2 the product 53·02 = a6, so f(2) = a7. */
	struct secret_share two[2] = {{.needed = 2, .number = 1}, {.needed = 2, .number = 2}};
	struct diag diag;
	uint8_t back[SHARE_SECRET_LEN];
	memset(two[0].value, 0x52, SHARE_SECRET_LEN);
	memset(two[1].value, 0xa7, SHARE_SECRET_LEN);
	assert_int_equal(secret_join(two, 2, back, &diag), RC_OK);
	assert_int_equal(back[0], 1);
	/* At x = 8, where the reduction counts: 53·04 = a6·02 = 14c - 11b = 57, so 53·08 = ae. */
	two[1].number = 8;
	memset(two[1].value, 0xae ^ 1, SHARE_SECRET_LEN);
	assert_int_equal(secret_join(two, 2, back, &diag), RC_OK);
	assert_int_equal(back[0], 1);
}

static void test_refused(void **state)
{
	struct secret_share shares[5], other[5], mixed[3];
	struct diag diag;
	uint8_t back[SHARE_SECRET_LEN];
	static const uint8_t wrong[][2] = {{0, 0}, {1, 3}, {4, 3}, {2, SHARE_MAX + 1}, {3, 0}};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		assert_int_equal(secret_split(secret, wrong[i][0], wrong[i][1], shares), RC_INVALID);
	assert_int_equal(secret_split(secret, 3, 5, shares), RC_OK);
	assert_int_equal(secret_split(secret, 3, 5, other), RC_OK);
	mixed[0] = shares[0];
	mixed[1] = other[1];
	mixed[2] = shares[2];
	assert_int_equal(secret_join(mixed, 3, back, &diag), RC_INVALID);
	assert_non_null(strstr(diag.text, "different splits"));
	mixed[1] = shares[0];
	assert_int_equal(secret_join(mixed, 3, back, &diag), RC_CONFLICT);
	assert_int_equal(secret_join(shares, 0, back, &diag), RC_INVALID);
}

static void test_text(void **state)
{
	struct secret_share shares[5], back;
	char text[SHARE_TEXT_CAP], page[4 * SHARE_TEXT_CAP] = "Share 2 of 5\n\n  ";
	assert_int_equal(secret_split(secret, 3, 5, shares), RC_OK);
	secret_share_format(&shares[1], text);
	assert_int_equal(secret_share_parse(text, strlen(text), &back), RC_OK);
	assert_memory_equal(&back, &shares[1], sizeof back);
	/* As somebody types it from paper: in groups, in capitals, with text around it. */
	size_t n = strlen(page);
	for (size_t i = 0; text[i] != '\0'; i++) {
		if (i % 8 == 7)
			page[n++] = ' ';
		page[n++] = (char)(i % 2 && text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);
	}
	memcpy(page + n, "\r\nend\n", 7);
	assert_int_equal(secret_share_parse(page, strlen(page), &back), RC_OK);
	assert_memory_equal(&back, &shares[1], sizeof back);
	/* Any one character wrong or missing. */
	for (size_t i = 0; text[i] != '\0'; i++) {
		char bad[SHARE_TEXT_CAP];
		strcpy(bad, text);
		bad[i] = (char)(bad[i] == '1' ? '2' : '1');
		assert_int_not_equal(secret_share_parse(bad, strlen(bad), &back), RC_OK);
		strcpy(bad, text);
		memmove(bad + i, bad + i + 1, strlen(bad + i));
		assert_int_not_equal(secret_share_parse(bad, strlen(bad), &back), RC_OK);
	}
	assert_int_equal(secret_share_parse("", 0, &back), RC_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_subset),
		cmocka_unit_test(test_known_field),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
