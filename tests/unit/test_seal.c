/* libs: tc_keys tc_proto */
/* What was sealed opens in its own place only: any changed byte, place, label, salt, key or length is DAMAGED and
 * leaves nothing of the plain text behind. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "keys/seal.h"

static const uint8_t root_key[32] = {7, 1, 2, 3};
static const char plain[] = "one value of the store";
static const char place[] = "Q\0\0\0\0\0\0\0\1";
enum { PLAIN_LEN = sizeof plain, PLACE_LEN = sizeof place, SEALED_LEN = PLAIN_LEN + SEAL_OVERHEAD };

static int setup(void **state)
{
	struct seal *seal = NULL;
	if (seal_new(root_key, &seal) != RC_OK)
		return 1;
	*state = seal;
	return 0;
}

static int teardown(void **state)
{
	seal_close(*state);
	return 0;
}

static void test_value_round_trip(void **state)
{
	struct seal *seal = *state;
	uint8_t a[SEALED_LEN], b[SEALED_LEN], out[PLAIN_LEN];

	assert_int_equal(seal_value(seal, "value", place, PLACE_LEN, plain, PLAIN_LEN, a), RC_OK);
	assert_int_equal(seal_value(seal, "value", place, PLACE_LEN, plain, PLAIN_LEN, b), RC_OK);
	assert_int_equal(a[0], SEAL_FORMAT);
	assert_memory_not_equal(a, b, SEALED_LEN); /* fresh nonces */
	assert_null(memmem(a, SEALED_LEN, "value", 5));
	assert_int_equal(unseal_value(seal, "value", place, PLACE_LEN, a, SEALED_LEN, out), RC_OK);
	assert_memory_equal(out, plain, PLAIN_LEN);
	assert_int_equal(unseal_value(seal, "value", place, PLACE_LEN, b, SEALED_LEN, out), RC_OK);

	/* Empty plain text and empty place. */
	uint8_t none[SEAL_OVERHEAD];
	assert_int_equal(seal_value(seal, "value", NULL, 0, NULL, 0, none), RC_OK);
	assert_int_equal(unseal_value(seal, "value", NULL, 0, none, sizeof none, out), RC_OK);
	assert_int_equal(unseal_value(seal, "value", "x", 1, none, sizeof none, out), RC_DAMAGED);
}

static void assert_damaged(const struct seal *seal, const char *label, const void *ad, size_t ad_len,
			   const uint8_t *sealed, size_t len)
{
	static const uint8_t zero[PLAIN_LEN];
	uint8_t out[PLAIN_LEN];

	memset(out, 0, sizeof out);
	assert_int_equal(unseal_value(seal, label, ad, ad_len, sealed, len, out), RC_DAMAGED);
	assert_memory_equal(out, zero, PLAIN_LEN);
}

static void test_tampering(void **state)
{
	struct seal *seal = *state, *other = NULL;
	uint8_t sealed[SEALED_LEN], bad[SEALED_LEN], key[32] = {8};

	assert_int_equal(seal_value(seal, "value", place, PLACE_LEN, plain, PLAIN_LEN, sealed), RC_OK);
	for (size_t i = 0; i < SEALED_LEN; i++) {
		for (int bit = 0; bit < 8; bit++) {
			memcpy(bad, sealed, SEALED_LEN);
			bad[i] ^= (uint8_t)(1 << bit);
			assert_damaged(seal, "value", place, PLACE_LEN, bad, SEALED_LEN);
		}
	}
	for (size_t n = 0; n < SEALED_LEN; n++)
		assert_damaged(seal, "value", place, PLACE_LEN, sealed, n);
	assert_damaged(seal, "slot", place, PLACE_LEN, sealed, SEALED_LEN);
	assert_damaged(seal, "value", place, PLACE_LEN - 1, sealed, SEALED_LEN);
	assert_damaged(seal, "value", "elsewhere", 9, sealed, SEALED_LEN);
	/* Label and place do not run into each other. */
	char shifted[PLACE_LEN + 1] = "e";
	memcpy(shifted + 1, place, PLACE_LEN);
	assert_damaged(seal, "valu", shifted, sizeof shifted, sealed, SEALED_LEN);
	assert_int_equal(seal_new(key, &other), RC_OK);
	assert_damaged(other, "value", place, PLACE_LEN, sealed, SEALED_LEN);
	seal_close(other);
}

static void test_chunks(void **state)
{
	struct seal *seal = *state;
	uint8_t salt[SEAL_SALT_LEN] = {1}, salt2[SEAL_SALT_LEN] = {2};
	uint8_t sealed[SEALED_LEN], out[PLAIN_LEN];

	assert_int_equal(seal_chunk(seal, salt, place, PLACE_LEN, plain, PLAIN_LEN, sealed), RC_OK);
	assert_int_equal(unseal_chunk(seal, salt, place, PLACE_LEN, sealed, SEALED_LEN, out), RC_OK);
	assert_memory_equal(out, plain, PLAIN_LEN);
	assert_int_equal(unseal_chunk(seal, salt2, place, PLACE_LEN, sealed, SEALED_LEN, out), RC_DAMAGED);
	assert_int_equal(unseal_chunk(seal, salt, "other", 5, sealed, SEALED_LEN, out), RC_DAMAGED);
	/* A chunk is no value, even with the label that chunks bear inside. */
	assert_damaged(seal, "chunk", place, PLACE_LEN, sealed, SEALED_LEN);
	for (size_t i = 0; i < SEALED_LEN; i++) {
		sealed[i] ^= 0x10;
		assert_int_equal(unseal_chunk(seal, salt, place, PLACE_LEN, sealed, SEALED_LEN, out), RC_DAMAGED);
		sealed[i] ^= 0x10;
	}
	/* A large chunk. */
	size_t len = 4 << 20;
	uint8_t *big = malloc(len), *big_sealed = malloc(len + SEAL_OVERHEAD);
	for (size_t i = 0; i < len; i++)
		big[i] = (uint8_t)(i * 31);
	assert_int_equal(seal_chunk(seal, salt, NULL, 0, big, len, big_sealed), RC_OK);
	uint8_t *back = malloc(len);
	assert_int_equal(unseal_chunk(seal, salt, NULL, 0, big_sealed, len + SEAL_OVERHEAD, back), RC_OK);
	assert_memory_equal(back, big, len);
	free(big);
	free(big_sealed);
	free(back);
}

static void test_bounds(void **state)
{
	struct seal *seal = *state;
	uint8_t sealed[SEALED_LEN];
	char label[SEAL_LABEL_CAP + 1];

	memset(label, 'x', sizeof label);
	label[SEAL_LABEL_CAP] = '\0';
	assert_int_equal(seal_value(seal, label, NULL, 0, plain, PLAIN_LEN, sealed), RC_INVALID);
	assert_int_equal(seal_value(seal, "", NULL, 0, plain, PLAIN_LEN, sealed), RC_INVALID);
	assert_int_equal(seal_value(seal, "value", NULL, 0, plain, (size_t)SEAL_MAX_LEN + 1, sealed), RC_TOO_LARGE);
	assert_int_equal(seal_value(seal, "value", place, (size_t)SEAL_MAX_LEN + 1, plain, PLAIN_LEN, sealed),
			 RC_TOO_LARGE);
	/* More labels than there is room for: refused, and the earlier ones still work. */
	struct seal *fresh = NULL;
	assert_int_equal(seal_new(root_key, &fresh), RC_OK);
	for (int i = 0; i < SEAL_MAX_LABELS; i++) {
		snprintf(label, sizeof label, "label-%d", i);
		assert_int_equal(seal_value(fresh, label, NULL, 0, plain, PLAIN_LEN, sealed), RC_OK);
	}
	assert_int_equal(seal_value(fresh, "one-more", NULL, 0, plain, PLAIN_LEN, sealed), RC_INVALID);
	assert_int_equal(seal_value(fresh, "label-0", NULL, 0, plain, PLAIN_LEN, sealed), RC_OK);
	seal_close(fresh);
	seal_close(NULL);
}

/* The same key gives the same subkeys in another process: what one sealed another opens. */
static void test_two_instances(void **state)
{
	struct seal *again = NULL;
	uint8_t sealed[SEALED_LEN], out[PLAIN_LEN];

	assert_int_equal(seal_new(root_key, &again), RC_OK);
	assert_int_equal(seal_value(*state, "slot", place, PLACE_LEN, plain, PLAIN_LEN, sealed), RC_OK);
	assert_int_equal(unseal_value(again, "slot", place, PLACE_LEN, sealed, SEALED_LEN, out), RC_OK);
	assert_memory_equal(out, plain, PLAIN_LEN);
	seal_close(again);
}

static void *hammer(void *arg)
{
	struct seal *seal = arg;
	uint8_t sealed[SEALED_LEN], out[PLAIN_LEN];
	char label[16];

	for (int i = 0; i < 400; i++) {
		snprintf(label, sizeof label, "thread-%d", i % 20);
		if (seal_value(seal, label, place, PLACE_LEN, plain, PLAIN_LEN, sealed) != RC_OK ||
		    unseal_value(seal, label, place, PLACE_LEN, sealed, SEALED_LEN, out) != RC_OK ||
		    memcmp(out, plain, PLAIN_LEN) != 0)
			return (void *)1;
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct seal *seal = NULL;
	pthread_t thread[4];
	void *result;

	assert_int_equal(seal_new(root_key, &seal), RC_OK);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, hammer, seal), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(thread[i], &result), 0);
		assert_null(result);
	}
	seal_close(seal);
}

static void test_key_file_kind(void **state)
{
	struct seal *seal = NULL;
	struct diag diag;

	assert_int_equal(seal_open_file("/nonexistent/seal.key", NULL, &seal, &diag), RC_KEY);
	assert_null(seal);
	assert_non_null(strstr(diag.text, "seal.key"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_value_round_trip), cmocka_unit_test(test_tampering),
		cmocka_unit_test(test_chunks),           cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_two_instances),    cmocka_unit_test(test_threads),
		cmocka_unit_test(test_key_file_kind),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
