/* AVX2: popcount of 32 bytes by table look-up of nibbles (Muła, Kurz and Lemire 2018, "Faster population counts using
 * AVX2 instructions"), summed bytewise over a filter's lines before the horizontal add. */
#include "daemon/link/kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2,popcnt")))

AVX2 static inline __m256i popcount_bytes(__m256i v)
{
	const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3,
					       1, 2, 2, 3, 2, 3, 3, 4);
	const __m256i low = _mm256_set1_epi8(0x0f);
	__m256i lo = _mm256_shuffle_epi8(table, _mm256_and_si256(v, low));
	__m256i hi = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), low));

	return _mm256_add_epi8(lo, hi);
}

AVX2 static inline uint16_t count_one(const uint8_t *a, const uint8_t *b, size_t n_lines)
{
	__m256i sum = _mm256_setzero_si256();
	__m128i half;

	for (size_t i = 0; i < n_lines; i++) {
		const __m256i *x = (const __m256i *)(const void *)(a + i * KERNEL_LINE);
		const __m256i *y = (const __m256i *)(const void *)(b + i * KERNEL_LINE);
		/* At most 16 a byte here, so the bytewise sum of one line cannot overflow. */
		__m256i bytes = _mm256_add_epi8(
			popcount_bytes(_mm256_and_si256(_mm256_load_si256(x), _mm256_load_si256(y))),
			popcount_bytes(_mm256_and_si256(_mm256_load_si256(x + 1), _mm256_load_si256(y + 1))));

		sum = _mm256_add_epi64(sum, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
	}
	half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
	return (uint16_t)(_mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1));
}

AVX2 static void count_run(const uint8_t *query, const uint8_t *rows, size_t n_lines, size_t n, uint16_t *ret)
{
	for (size_t i = 0; i < n; i++)
		ret[i] = count_one(query, rows + i * n_lines * KERNEL_LINE, n_lines);
}

AVX2 static void count_list(const uint8_t *query, const uint8_t *rows, size_t n_lines, const uint16_t *list, size_t n,
			    uint16_t *ret)
{
	for (size_t i = 0; i < n; i++)
		ret[i] = count_one(query, rows + list[i] * n_lines * KERNEL_LINE, n_lines);
}

AVX2 KERNEL_VECTORISED static void digits(const uint16_t *both, const uint16_t *b, size_t n, unsigned a,
					  const uint16_t *cuts, unsigned n_cuts, uint16_t *ret)
{
	kernel_digits(both, b, n, a, cuts, n_cuts, ret);
}

typedef uint64_t slice_vec __attribute__((vector_size(32)));
enum { SLICE_VEC_BYTES = 32 };
#define SLICE_TARGET AVX2
#define slice_xor3(a, b, c) ((a) ^ (b) ^ (c))
#define slice_majority(a, b, c) (((a) & (b)) | (((a) ^ (b)) & (c)))
#include "daemon/link/kernel_slice.h"

const struct kernel kernel_avx2 = {LINK_KERNEL_AVX2, count_run, count_list, digits, slice_scan, 2};
#else
typedef int kernel_avx2_is_for_x86;
#endif
