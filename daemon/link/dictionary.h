/* The distinct values of one filter among some rows of the pool. */
#ifndef DAEMON_LINK_DICTIONARY_H
#define DAEMON_LINK_DICTIONARY_H

#include "daemon/link/pool.h"
#include "daemon/link/slice.h"

struct dictionary {
	uint32_t n;
	uint16_t *popcounts; /* ascending; a missing filter is the value without a bit set, always the first */
	uint8_t *filters;    /* row-major, locked */
	size_t filters_bytes;
	struct slice slice; /* of all values; only where it was asked for */
};

struct dictionary_range {
	unsigned filter;
	uint32_t first, end; /* rows */
	bool with_slice;
};
/* Collect the values of a filter of these rows; ret_ids[i] is the value of row first + i. Values are in the order of
 * their popcounts, then of their bytes, so that they are numbered alike however the rows came.
 * Errors: NOMEM, IO (memory that must be locked was not), STOPPING (*cancel, which may be NULL). */
enum rc dictionary_init(struct dictionary *dictionary, struct link_pool *pool, const struct dictionary_range *range,
			const atomic_bool *cancel, uint32_t *ret_ids) MUST_CHECK;
void dictionary_deinit(struct dictionary *dictionary); /* of a zeroed one too */

#endif
