/* The portable kernel, and what the others are measured against: a popcount loop over rows. The same body is built
 * twice, with and without the popcnt instruction; vectorising is off so that the baseline stays one. */
#include "daemon/link/kernel.h"

#include <string.h>

#if defined(__clang__)
#define NOT_VECTORISED /* not tempted without a target that has vector popcounts */
#else
#define NOT_VECTORISED __attribute__((optimize("O3", "no-tree-vectorize")))
#endif

static inline __attribute__((always_inline)) uint16_t count_one(const uint8_t *a, const uint8_t *b, size_t n_lines)
{
	unsigned count = 0;

	for (size_t line = 0; line < n_lines; line++, a += KERNEL_LINE, b += KERNEL_LINE) {
#pragma GCC unroll 8
		for (size_t i = 0; i < KERNEL_LINE; i += 8) {
			uint64_t x, y;

			memcpy(&x, a + i, 8);
			memcpy(&y, b + i, 8);
			count += (unsigned)__builtin_popcountll(x & y);
		}
	}
	return (uint16_t)count;
}

/* The bit-sliced scan in plain C: the compiler puts 16 bytes into whatever registers there are. */
typedef uint64_t slice_vec __attribute__((vector_size(16)));
enum { SLICE_VEC_BYTES = 16 };
#define SLICE_TARGET
#define slice_xor3(a, b, c) ((a) ^ (b) ^ (c))
#define slice_majority(a, b, c) (((a) & (b)) | (((a) ^ (b)) & (c)))
#include "daemon/link/kernel_slice.h"

#define SCALAR_KERNEL(suffix, attributes)                                                                              \
	attributes static void count_run##suffix(const uint8_t *query, const uint8_t *rows, size_t n_lines, size_t n,  \
						 uint16_t *ret)                                                        \
	{                                                                                                              \
		for (size_t i = 0; i < n; i++)                                                                         \
			ret[i] = count_one(query, rows + i * n_lines * KERNEL_LINE, n_lines);                          \
	}                                                                                                              \
	attributes static void count_list##suffix(const uint8_t *query, const uint8_t *rows, size_t n_lines,           \
						  const uint16_t *list, size_t n, uint16_t *ret)                       \
	{                                                                                                              \
		for (size_t i = 0; i < n; i++)                                                                         \
			ret[i] = count_one(query, rows + list[i] * n_lines * KERNEL_LINE, n_lines);                    \
	}                                                                                                              \
	attributes static void digits##suffix(const uint16_t *both, const uint16_t *b, size_t n, unsigned a,           \
					      const uint16_t *cuts, unsigned n_cuts, uint16_t *ret)                    \
	{                                                                                                              \
		kernel_digits(both, b, n, a, cuts, n_cuts, ret);                                                       \
	}                                                                                                              \
	const struct kernel kernel_scalar##suffix = {LINK_KERNEL_SCALAR, count_run##suffix, count_list##suffix,        \
						     digits##suffix,     slice_scan,        1}

SCALAR_KERNEL(, NOT_VECTORISED);
#if defined(__x86_64__)
SCALAR_KERNEL(_popcnt, NOT_VECTORISED __attribute__((target("popcnt"))));
#endif
