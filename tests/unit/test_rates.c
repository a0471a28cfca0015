/* libs: tc_front */
/* labels: quick */
/* Requests a minute: what fits into a minute, how it fills again, and that certificates do not share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/front/rates.h"

static const uint8_t alice[32] = {1, 2}, bob[32] = {1, 2, 3};

static unsigned take_all(struct rates *rates, const uint8_t who[32], uint32_t per_minute, int64_t now_ms)
{
	unsigned n = 0, wait_s = 0;

	while (n < 10 * per_minute && rates_take(rates, who, per_minute, now_ms, &wait_s) == RC_OK)
		n++;
	return n;
}

static void test_a_minutes_worth_at_once(void **state)
{
	struct rates *rates;
	unsigned wait_s = 0;

	assert_int_equal(rates_new(&rates), RC_OK);
	assert_int_equal(take_all(rates, alice, 60, 5000), 60);
	assert_int_equal(take_all(rates, bob, 10, 5000), 10); /* a bucket of its own */
	assert_int_equal(rates_take(rates, alice, 60, 5000, &wait_s), RC_RATE);
	assert_int_equal(wait_s, 1);
	assert_int_equal(rates_take(rates, bob, 10, 5000, &wait_s), RC_RATE);
	assert_int_equal(wait_s, 6);
	rates_free(rates);
}

static void test_it_fills_evenly(void **state)
{
	struct rates *rates;

	assert_int_equal(rates_new(&rates), RC_OK);
	assert_int_equal(take_all(rates, alice, 60, 0), 60);
	assert_int_equal(take_all(rates, alice, 60, 999), 0);
	assert_int_equal(take_all(rates, alice, 60, 1000), 1);
	assert_int_equal(take_all(rates, alice, 60, 31000), 30);
	assert_int_equal(take_all(rates, alice, 60, 31000 + 3600 * 1000), 60); /* never more than a minute's */
	rates_free(rates);
}

/* Any minute, however it is cut out, sees at most two minutes' worth. */
static void test_any_window(void **state)
{
	struct rates *rates;
	unsigned taken[600] = {0};

	assert_int_equal(rates_new(&rates), RC_OK);
	for (int second = 0; second < 600; second++)
		taken[second] = take_all(rates, alice, 30, second * 1000);
	for (int from = 0; from + 60 <= 600; from++) {
		unsigned n = 0;
		for (int i = 0; i < 60; i++)
			n += taken[from + i];
		assert_true(n <= 60);
		assert_true(from == 0 || n <= 31);
	}
	rates_free(rates);
}

static void test_another_rate_takes_effect(void **state)
{
	struct rates *rates;
	unsigned wait_s = 0;

	assert_int_equal(rates_new(&rates), RC_OK);
	assert_int_equal(take_all(rates, alice, 1, 0), 1);
	assert_int_equal(rates_take(rates, alice, 1, 0, &wait_s), RC_RATE);
	assert_int_equal(wait_s, 60);
	assert_int_equal(take_all(rates, alice, 1000000, 30000), 500000); /* half a minute has passed */
	rates_free(rates);
}

/* More certificates than buckets: those that ask no more are forgotten; while all of them ask, there is no room. */
static void test_many_certificates(void **state)
{
	struct rates *rates;
	unsigned wait_s = 0;
	int64_t now_ms = 0;

	assert_int_equal(rates_new(&rates), RC_OK);
	for (int round = 0; round < 3; round++, now_ms += 61 * 1000) {
		uint8_t who[32] = {0};
		enum rc rc = RC_OK;
		uint32_t n = 0;
		for (; n < 100000 && rc == RC_OK; n++) {
			memcpy(who, &n, sizeof n);
			who[31] = (uint8_t)round;
			rc = rates_take(rates, who, 1, now_ms, &wait_s);
		}
		assert_int_equal(rc, RC_NOMEM);
		assert_true(n > 60000);
	}
	rates_free(rates);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_minutes_worth_at_once),
		cmocka_unit_test(test_it_fills_evenly),
		cmocka_unit_test(test_any_window),
		cmocka_unit_test(test_another_rate_takes_effect),
		cmocka_unit_test(test_many_certificates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
