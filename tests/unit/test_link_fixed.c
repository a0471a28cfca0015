/* libs: tc_link */
/* Fixed-point logarithms against values computed to thirty digits elsewhere, and against their own laws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/link_fixture.h"

static void test_known_values(void **state)
{
	/* log2 of the ratio times 65536, rounded: computed with decimal arithmetic of 50 digits. */
	static const struct {
		uint64_t num, den;
		int32_t log;
	} known[] = {
		{1, 1, 0},
		{2, 1, 65536},
		{1, 2, -65536},
		{3, 1, 103872},                              /* 1.58496250072115618 */
		{1, 3, -103872},
		{10, 3, 113834},                             /* 1.73696559416620616 · 65536 = 113833.8 */
		{1000001, 1000000, 0},                       /* 1.44269e-6 · 65536 = .0945 */
		{65537, 65536, 1},                           /* 2.20137e-5 · 65536 = 1.44269 */
		{UINT64_C(1) << 62, 1, 62 * 65536},
		{1, UINT64_C(1) << 62, -62 * 65536},
		{INT64_MAX, 1, 63 * 65536},
		{INT64_MAX, INT64_MAX, 0},
		{7, 1000000007, -1775370}, /* -27.0899979420275… */
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		assert_int_equal(fixed_log2_ratio(known[i].num, known[i].den), known[i].log);
}

static void test_laws(void **state)
{
	struct random r = {7};

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t a = 1 + (random_next(&r) >> (1 + random_below(&r, 62)));
		uint64_t b = 1 + (random_next(&r) >> (1 + random_below(&r, 62)));
		int32_t log = fixed_log2_ratio(a, b);

		assert_int_equal(fixed_log2_ratio(b, a), -log);
		assert_int_equal(log > 0 && a <= b, 0);
		if (a < UINT64_C(1) << 61)
			assert_int_equal(fixed_log2_ratio(2 * a, b), log + 65536);
	}
	for (uint64_t a = 1; a < 5000; a++)
		assert_true(fixed_log2_ratio(a + 1, 1) >= fixed_log2_ratio(a, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_values),
		cmocka_unit_test(test_laws),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
