/* Body of the bit-sliced kernel: one source for every vector unit. A kernel's file defines, and then includes this,
 *
 *   SLICE_TARGET          attributes of the functions
 *   slice_vec             a vector of SLICE_VEC_BYTES bytes
 *   slice_xor3(a, b, c)   a ^ b ^ c
 *   slice_majority(a, b, c)
 *
 * A block is KERNEL_BLOCK filters as bit planes, one line of 64 bytes a bit position, complemented: a set bit is a
 * miss of a query that has this bit. Misses are added for all filters of the block at once by carry-save adders
 * (Harley and Seal; Muła, Kurz and Lemire 2018), sixteen planes a round. The counter starts at its overflow less one
 * less the miss budget, so that what overflows has more misses than the budget and stays dead; the rest is alive. */
#ifndef SLICE_TARGET
#error "define SLICE_TARGET, slice_vec, SLICE_VEC_BYTES, slice_xor3 and slice_majority first"
#endif

enum { SLICE_PARTS = KERNEL_LINE / SLICE_VEC_BYTES, SLICE_MAX_HIGH = 9 };

#define SLICE_INLINE SLICE_TARGET static inline __attribute__((always_inline))

SLICE_INLINE slice_vec slice_fill(unsigned bit)
{
	return (slice_vec){0} - (slice_vec)((slice_vec){0} + (uint64_t)(bit & 1));
}

SLICE_INLINE slice_vec slice_load(const uint8_t *planes, unsigned offset)
{
	return *(const slice_vec *)(const void *)(planes + (size_t)offset * KERNEL_OFFSET_UNIT);
}

/* sum and carry of a + b + c */
#define SLICE_ADD(ret_carry, sum, b, c)                                                                                \
	do {                                                                                                           \
		slice_vec slice_a = (sum), slice_b = (b), slice_c = (c);                                               \
		(ret_carry) = slice_majority(slice_a, slice_b, slice_c);                                               \
		(sum) = slice_xor3(slice_a, slice_b, slice_c);                                                         \
	} while (0)

/* The carry out of four more planes. */
#define SLICE_FOUR(ret_carry, offsets)                                                                                 \
	do {                                                                                                           \
		slice_vec slice_t1, slice_t2;                                                                          \
		SLICE_ADD(slice_t1, ones, slice_load(planes, (offsets)[0]), slice_load(planes, (offsets)[1]));         \
		SLICE_ADD(slice_t2, ones, slice_load(planes, (offsets)[2]), slice_load(planes, (offsets)[3]));         \
		SLICE_ADD(ret_carry, twos, slice_t1, slice_t2);                                                        \
	} while (0)

/* One block, one query; the counter has 4 + n_high bits. */
SLICE_INLINE void slice_scan_one(const uint8_t *block, const struct kernel_slice_query *query, unsigned budget,
				 const unsigned n_high, uint64_t *ret_alive)
{
	unsigned preset = (16u << n_high) - 1 - budget;

	for (unsigned part = 0; part < SLICE_PARTS; part++) {
		const uint8_t *planes = block + (size_t)part * SLICE_VEC_BYTES;
		const uint16_t *offsets = query->offsets;
		slice_vec ones = slice_fill(preset), twos = slice_fill(preset >> 1), fours = slice_fill(preset >> 2),
			  eights = slice_fill(preset >> 3), dead = {0}, high[SLICE_MAX_HIGH];

#pragma GCC unroll 16
		for (unsigned k = 0; k < n_high; k++)
			high[k] = slice_fill(preset >> (4 + k));
		for (unsigned round = 0; round < query->n_rounds; round++, offsets += KERNEL_ROUND) {
			slice_vec f1, f2, e1, e2, carry;

			SLICE_FOUR(f1, offsets);
			SLICE_FOUR(f2, offsets + 4);
			SLICE_ADD(e1, fours, f1, f2);
			SLICE_FOUR(f1, offsets + 8);
			SLICE_FOUR(f2, offsets + 12);
			SLICE_ADD(e2, fours, f1, f2);
			SLICE_ADD(carry, eights, e1, e2);
#pragma GCC unroll 16
			for (unsigned k = 0; k < n_high; k++) {
				slice_vec next = high[k] & carry;

				high[k] ^= carry;
				carry = next;
			}
			dead |= carry;
		}
		dead = ~dead;
		memcpy(ret_alive + part * (SLICE_VEC_BYTES / 8), &dead, sizeof dead);
	}
}

SLICE_TARGET static void slice_scan(const uint8_t *block, const struct kernel_slice_query *queries,
				    const uint16_t *chosen, const uint16_t *budgets, size_t n, uint64_t *ret_alive)
{
	for (size_t i = 0; i < n; i++, ret_alive += KERNEL_BLOCK / 64) {
		const struct kernel_slice_query *query = &queries[chosen[i]];
		unsigned budget = budgets[i];

		if (budget < 16)
			slice_scan_one(block, query, budget, 0, ret_alive);
		else if (budget < 32)
			slice_scan_one(block, query, budget, 1, ret_alive);
		else if (budget < 64)
			slice_scan_one(block, query, budget, 2, ret_alive);
		else if (budget < 128)
			slice_scan_one(block, query, budget, 3, ret_alive);
		else if (budget < 256)
			slice_scan_one(block, query, budget, 4, ret_alive);
		else if (budget < 1024)
			slice_scan_one(block, query, budget, 6, ret_alive);
		else
			slice_scan_one(block, query, budget, SLICE_MAX_HIGH, ret_alive);
	}
}
