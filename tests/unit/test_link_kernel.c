/* libs: tc_link */
/* Every kernel of this machine counts like a bit-by-bit loop, for every length and for lists in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "daemon/link/kernel.h"
#include "daemon/link/levels.h"
#include "tests/unit/link_fixture.h"

enum { MAX_LINES = 8, MAX_ROWS = 67 };

static unsigned count_bits(const uint8_t *a, const uint8_t *b, size_t len)
{
	unsigned n = 0;

	for (size_t i = 0; i < len * 8; i++)
		n += (unsigned)(a[i / 8] & b[i / 8]) >> i % 8 & 1;
	return n;
}

static void fill(uint8_t *bytes, size_t len, unsigned density, struct random *r)
{
	for (size_t i = 0; i < len; i++) {
		bytes[i] = (uint8_t)random_next(r);
		for (unsigned k = 0; k < density; k++)
			bytes[i] = (uint8_t)(bytes[i] & random_next(r));
		if (density == 3)
			bytes[i] = 0xff;
	}
}

static void check_kernel(const struct kernel *kernel)
{
	static _Alignas(64) uint8_t query[MAX_LINES * 64], rows[MAX_ROWS * MAX_LINES * 64];
	uint16_t list[MAX_ROWS], run[MAX_ROWS], listed[MAX_ROWS];
	struct random r = {42};

	for (size_t n_lines = 1; n_lines <= MAX_LINES; n_lines++) {
		for (unsigned density = 0; density < 4; density++) {
			size_t n = 1 + random_below(&r, MAX_ROWS);

			fill(query, n_lines * 64, density, &r);
			fill(rows, n * n_lines * 64, density, &r);
			for (size_t i = 0; i < n; i++)
				list[i] = (uint16_t)random_below(&r, (uint32_t)n);
			kernel->count_run(query, rows, n_lines, n, run);
			kernel->count_list(query, rows, n_lines, list, n, listed);
			for (size_t i = 0; i < n; i++) {
				assert_int_equal(run[i], count_bits(query, rows + i * n_lines * 64, n_lines * 64));
				assert_int_equal(listed[i], run[list[i]]);
			}
		}
	}
}

/* The vectorised levels equal the plain ones at every popcount that can be, missing filters included. */
static void check_digits(const struct kernel *kernel)
{
	static const uint16_t cuts[] = {1, 300, 425, 500, 667, 700, 850, 999, 1000};
	uint16_t both[MAX_ROWS * 3], b[MAX_ROWS * 3], digits[MAX_ROWS * 3];
	struct level_inverse plain;
	struct random r = {43};

	assert_int_equal(level_inverse_init(&plain, 4096, 0), RC_OK);
	for (unsigned round = 0; round < 300; round++) {
		unsigned bits = round % 3 == 0 ? 4096 : 1 + random_below(&r, 300), n_cuts = 1 + round % 9;
		unsigned a = 1 + random_below(&r, bits);
		size_t n = 1 + random_below(&r, MAX_ROWS * 3);

		for (size_t i = 0; i < n; i++) {
			unsigned least;

			b[i] = (uint16_t)(random_below(&r, 8) == 0 ? 0 : 1 + random_below(&r, bits));
			least = a < b[i] ? a : b[i];
			both[i] = (uint16_t)(random_below(&r, 4) == 0 ? least : random_below(&r, least + 1));
			if (a + b[i] - 2u * both[i] > 4096)          /* more than fits a filter of 4,096 bits */
				both[i] = (uint16_t)least;
		}
		kernel->digits(both, b, n, a, cuts, n_cuts, digits);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(digits[i],
			                 b[i] == 0 ? 0 : level_digit(&plain, cuts, n_cuts, a, b[i], both[i]));
	}
	level_inverse_deinit(&plain);
}

static void test_kernels_count_alike(void **state)
{
	unsigned n_checked = 0;

	for (enum link_kernel id = LINK_KERNEL_SCALAR; id <= LINK_KERNEL_AVX512; id++) {
		if (!link_kernel_is_available(id)) {
			print_message("kernel %s is not on this processor: not checked here\n", link_kernel_name(id));
			continue;
		}
		assert_int_equal(kernel_choose(id)->id, id);
		check_kernel(kernel_choose(id));
		check_digits(kernel_choose(id));
		n_checked++;
	}
	check_kernel(&kernel_scalar);
	check_digits(&kernel_scalar);
	assert_true(n_checked >= 1);
}

static void test_names(void **state)
{
	enum link_kernel id = LINK_KERNEL_AVX2;

	assert_true(link_kernel_parse("auto", &id));
	assert_int_equal(id, LINK_KERNEL_AUTO);
	assert_true(link_kernel_parse("avx512", &id));
	assert_string_equal(link_kernel_name(id), "avx512");
	assert_false(link_kernel_parse("AVX512", &id));
	assert_false(link_kernel_parse("", &id));
	assert_int_equal(id, LINK_KERNEL_AVX512);
	assert_string_equal(link_kernel_name((enum link_kernel)99), "unknown");
	assert_non_null(kernel_choose(LINK_KERNEL_AUTO));
	assert_null(kernel_choose((enum link_kernel)99));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_count_alike),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
