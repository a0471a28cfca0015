/* Intersection popcounts of one filter with many, and the bit-sliced scan: the only arithmetic of a comparison that is
 * worth vector code.
 *
 * Invariant: every kernel gives the same counts as the scalar one, bit for bit, for any input; tests compare them. The
 * filters are padded with zeros to whole lines of 64 bytes, so that no kernel has a tail. */
#ifndef DAEMON_LINK_KERNEL_H
#define DAEMON_LINK_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/link/link.h"

enum {
	KERNEL_LINE = 64,
	KERNEL_BLOCK = 8 * KERNEL_LINE, /* filters of a bit-sliced block */
	KERNEL_ROUND = 16,              /* planes added at a time */
	KERNEL_OFFSET_UNIT = 8,         /* bytes: so that the offset of any plane of a block fits 16 bits */
};

/* A query against bit-sliced blocks: n_rounds * KERNEL_ROUND planes to read, as offsets into the block in units of
 * KERNEL_OFFSET_UNIT bytes. */
struct kernel_slice_query {
	const uint16_t *offsets;
	uint16_t n_rounds;
};

struct kernel {
	enum link_kernel id;
	/* ret[i] = |query & rows[i]| for i = 0 … n-1. `query` and each row are n_lines lines of KERNEL_LINE bytes,
	 * aligned to KERNEL_LINE; rows lie side by side. n_lines >= 1, and a filter has at most 65,535 bits. */
	void (*count_run)(const uint8_t *query, const uint8_t *rows, size_t n_lines, size_t n, uint16_t *ret);
	/* ret[i] = |query & rows[list[i]]| for i = 0 … n-1. */
	void (*count_list)(const uint8_t *query, const uint8_t *rows, size_t n_lines, const uint16_t *list, size_t n,
			   uint16_t *ret);
	/* ret[i] = 1 + number of cuts (thousandths, ascending) that 2 · both[i] / (a + b[i]) reaches, or 0 where b[i]
	 * is 0: a missing filter. As level_digit() for filters without diffusion; a > 0. */
	void (*digits)(const uint16_t *both, const uint16_t *b, size_t n, unsigned a, const uint16_t *cuts,
		       unsigned n_cuts, uint16_t *ret);
	/* For each of n queries (queries[chosen[i]]), which filters of the block have at most budgets[i] set bits in
	 * the planes that the query reads: KERNEL_BLOCK bits in ret_alive, KERNEL_BLOCK / 64 words a query. The block
	 * is lines of KERNEL_LINE bytes, aligned; budgets are below 8,192. */
	void (*slice_scan)(const uint8_t *block, const struct kernel_slice_query *queries, const uint16_t *chosen,
			   const uint16_t *budgets, size_t n, uint64_t *ret_alive);
	/* Cost of the exact check of one survivor of a scan, in rounds of the scan: measured, and used only to choose
	 * how many planes to read. */
	unsigned check_rounds;
};

#if defined(__clang__)
#define KERNEL_VECTORISED
#else
#define KERNEL_VECTORISED __attribute__((optimize("O3")))
#endif

/* The body of `digits`, written so that a compiler can vectorise it: each kernel builds it for its own target. */
static inline __attribute__((always_inline)) void kernel_digits(const uint16_t *both, const uint16_t *b, size_t n,
								unsigned a, const uint16_t *cuts, unsigned n_cuts,
								uint16_t *ret)
{
	enum { STEP = 64 };
	uint32_t common[STEP], sum[STEP], digit[STEP];

	for (size_t from = 0; from < n; from += STEP) {
		size_t len = n - from < STEP ? n - from : STEP;

		for (size_t i = 0; i < len; i++) {
			common[i] = 2000u * both[from + i];
			sum[i] = a + b[from + i];
			digit[i] = 1;
		}
		for (size_t i = len; i < STEP; i++)
			common[i] = sum[i] = digit[i] = 0;
		for (unsigned k = 0; k < n_cuts; k++) {
			uint32_t cut = cuts[k];

			for (size_t i = 0; i < STEP; i++)
				digit[i] += common[i] >= cut * sum[i];
		}
		for (size_t i = 0; i < len; i++)
			ret[from + i] = b[from + i] != 0 ? (uint16_t)digit[i] : 0;
	}
}

/* The kernel asked for, or with AUTO the fastest of this processor; NULL when it is not there. */
const struct kernel *kernel_choose(enum link_kernel kernel);

/* The implementations, one a file. scalar_popcnt is the same C built for the popcnt instruction. */
extern const struct kernel kernel_scalar, kernel_scalar_popcnt;
#if defined(__x86_64__)
extern const struct kernel kernel_avx2, kernel_avx512;
#endif

#endif
