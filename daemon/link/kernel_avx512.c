/* AVX-512 with VPOPCNTDQ: a 512-bit filter is one load, one and, one popcount. */
#include "daemon/link/kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define AVX512 __attribute__((target("avx512f,avx512vpopcntdq")))

AVX512 static inline uint16_t count_one(const uint8_t *a, const uint8_t *b, size_t n_lines)
{
	__m512i sum = _mm512_setzero_si512();

	for (size_t i = 0; i < n_lines; i++) {
		__m512i both = _mm512_and_si512(_mm512_load_si512(a + i * KERNEL_LINE),
						_mm512_load_si512(b + i * KERNEL_LINE));

		sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(both));
	}
	return (uint16_t)_mm512_reduce_add_epi64(sum);
}

AVX512 static void count_run(const uint8_t *query, const uint8_t *rows, size_t n_lines, size_t n, uint16_t *ret)
{
	for (size_t i = 0; i < n; i++)
		ret[i] = count_one(query, rows + i * n_lines * KERNEL_LINE, n_lines);
}

AVX512 static void count_list(const uint8_t *query, const uint8_t *rows, size_t n_lines, const uint16_t *list, size_t n,
			      uint16_t *ret)
{
	for (size_t i = 0; i < n; i++)
		ret[i] = count_one(query, rows + list[i] * n_lines * KERNEL_LINE, n_lines);
}

AVX512 KERNEL_VECTORISED static void digits(const uint16_t *both, const uint16_t *b, size_t n, unsigned a,
					    const uint16_t *cuts, unsigned n_cuts, uint16_t *ret)
{
	kernel_digits(both, b, n, a, cuts, n_cuts, ret);
}

typedef uint64_t slice_vec __attribute__((vector_size(64)));
enum { SLICE_VEC_BYTES = 64 };
#define SLICE_TARGET AVX512
#define slice_ternary(a, b, c, table)                                                                                  \
	((slice_vec)_mm512_ternarylogic_epi64((__m512i)(a), (__m512i)(b), (__m512i)(c), table))
#define slice_xor3(a, b, c) slice_ternary(a, b, c, 0x96)
#define slice_majority(a, b, c) slice_ternary(a, b, c, 0xe8)
#include "daemon/link/kernel_slice.h"

const struct kernel kernel_avx512 = {LINK_KERNEL_AVX512, count_run, count_list, digits, slice_scan, 3};
#else
typedef int kernel_avx512_is_for_x86;
#endif
