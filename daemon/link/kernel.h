/* Intersection popcounts of one filter with many: the only arithmetic of a comparison that is worth vector code.
 *
 * Invariant: every kernel gives the same counts as the scalar one, bit for bit, for any input; tests compare them. The
 * filters are padded with zeros to whole lines of 64 bytes, so that no kernel has a tail. */
#ifndef DAEMON_LINK_KERNEL_H
#define DAEMON_LINK_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/link/link.h"

enum { KERNEL_LINE = 64 };

struct kernel {
	enum link_kernel id;
	/* ret[i] = |query & rows[i]| for i = 0 … n-1. `query` and each row are n_lines lines of KERNEL_LINE bytes,
	 * aligned to KERNEL_LINE; rows lie side by side. n_lines >= 1, and a filter has at most 65,535 bits. */
	void (*count_run)(const uint8_t *query, const uint8_t *rows, size_t n_lines, size_t n, uint16_t *ret);
	/* ret[i] = |query & rows[list[i]]| for i = 0 … n-1. */
	void (*count_list)(const uint8_t *query, const uint8_t *rows, size_t n_lines, const uint16_t *list, size_t n,
			   uint16_t *ret);
};

/* The kernel asked for, or with AUTO the fastest of this processor; NULL when it is not there. */
const struct kernel *kernel_choose(enum link_kernel kernel);

/* The implementations, one a file. scalar_popcnt is the same C built for the popcnt instruction. */
extern const struct kernel kernel_scalar, kernel_scalar_popcnt;
#if defined(__x86_64__)
extern const struct kernel kernel_avx2, kernel_avx512;
#endif

#endif
