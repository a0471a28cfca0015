/* A bit-sliced store of filters of one length, and the exact search for those that resemble a query.
 *
 * Blocks of KERNEL_BLOCK filters are kept as bit planes beside the row-major filters. Planes lie in ascending density,
 * one order for the whole store, so that the first set bits of a query rule out most; filters are in ascending number
 * of set bits, so that the miss budget of a block is tight. A query reads as many planes as a few sample blocks show
 * to be worth reading; what is then alive is checked exactly. Every filter that reaches the level is found. */
#ifndef DAEMON_LINK_SLICE_H
#define DAEMON_LINK_SLICE_H

#include "daemon/link/kernel.h"
#include "daemon/link/levels.h"

enum { SLICE_TILE = 256 }; /* queries of one search */

struct slice {
	unsigned bits;
	size_t n_lines;
	uint32_t n, n_blocks;
	const uint8_t *rows;       /* borrowed; n filters of n_lines lines */
	const uint16_t *popcounts; /* borrowed; ascending */
	uint16_t *bit_of_plane;    /* ascending density */
	uint8_t *planes;           /* n_blocks of bits + 1 lines; the last line of each is zero: no misses */
	size_t planes_bytes;
};

struct slice_filters {
	const uint8_t *rows;       /* n × n_lines lines, in ascending popcount */
	const uint16_t *popcounts; /* n */
	uint32_t n;
	unsigned bits;
	size_t n_lines;
};

/* Build over filters that stay where they are for the life of the slice. Errors: NOMEM, IO (see locked_map). */
enum rc slice_init(struct slice *slice, const struct slice_filters *filters, enum link_memory memory,
		   atomic_bool *not_locked) MUST_CHECK;
void slice_deinit(struct slice *slice); /* of a zeroed slice too */

/* The level that is searched for: at least `digit` of these cuts. digit >= 2. */
struct slice_level {
	const struct level_inverse *inverse;
	const uint16_t *cuts;
	unsigned n_cuts, digit;
};

/* What is common to searches of one slice for one level: what each number of set bits needs in common. */
struct slice_plan;
/* is_present[a] says whether queries with `a` bits set will come, for a = 0 … bits. Errors: NOMEM. */
enum rc slice_plan_new(const struct slice *slice, const struct kernel *kernel, const struct slice_level *level,
		       const bool *is_present, struct slice_plan **ret) MUST_CHECK;
void slice_plan_free(struct slice_plan *plan);

struct slice_query {
	const uint8_t *filter; /* n_lines lines */
	uint16_t popcount;
};
struct slice_hit {
	uint32_t value; /* index of the filter */
	uint16_t query; /* index of the query */
	uint16_t both;  /* bits in common */
};
struct slice_hits {
	struct slice_hit *hits; /* owned */
	size_t n, cap;
};

/* Append every pair of a query and a filter that reaches the level, in no particular order. At most SLICE_TILE
 * queries. Empty filters and queries reach nothing. Errors: NOMEM, STOPPING (*cancel, which may be NULL). */
enum rc slice_search(const struct slice_plan *plan, const struct slice_query *queries, size_t n,
		     const atomic_bool *cancel, struct slice_hits *hits) MUST_CHECK;

#endif
