/* Rows of one source with the same filters, found as they arrive.
 *
 * A register may hold thousands of identical records, by carelessness or in order to flood the linkage unit: as pairs
 * they would be quadratically many. Only the first such row, the lead, is compared; link_run lets it stand for all of
 * them and sees to it that nothing depends on which one came first (crowds.c). Rows that say so little that no two of
 * them could be called one person are not compared at all: empty ones would agree with everybody. */
#ifndef DAEMON_LINK_SAME_H
#define DAEMON_LINK_SAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"
#include "proto/study.h"

struct link_pool;

enum {
	SAME_NO_LEAD = UINT32_MAX, /* says too little */
	/* Agreement on all that a row has must bring as much reference weight, in 1/256 log2 units: one name
	 * is not enough. A study that cannot reach it is content with all it has. */
	SAME_MIN_WEIGHT = 9 * 256,
};

struct same_rows {
	uint32_t *table; /* open addressing; of leads, 0 = free, else row + 1 */
	size_t cap, n;
};

void same_rows_deinit(struct same_rows *same);
uint32_t same_hash_row(const struct link_pool *pool, uint32_t row); /* of source and filters */
/* The lead of `row`, whose source, filters and hash stand in the pool already: itself, or the first one like it.
 * Errors: NOMEM. */
enum rc same_rows_add(struct same_rows *same, const struct link_pool *pool, uint32_t row,
		      uint32_t *ret_lead) MUST_CHECK;

/* Hash and equality of one filter of a row, and of bytes. */
uint64_t same_hash_bytes(uint64_t h, const uint8_t *bytes, size_t len);
uint64_t same_hash_filter(const struct link_pool *pool, uint64_t h, uint32_t row, unsigned f);
bool same_filter(const struct link_pool *pool, uint32_t a, uint32_t b, unsigned f);

/* Reference weight of a row with itself: what agreement on all that it has would say. UINT32_MAX = on everything. */
int32_t same_weight(const struct link_pool *pool, uint32_t row);

#endif
