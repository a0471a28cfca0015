/* Inside of the pool, for the other files of this folder. */
#ifndef DAEMON_LINK_POOL_H
#define DAEMON_LINK_POOL_H

#include "daemon/link/kernel.h"
#include "daemon/link/levels.h"
#include "daemon/link/link.h"
#include "daemon/link/same.h"

enum {
	POOL_BLOCK_ROWS = 4096,
	POOL_MAX_BLOCKS = 1 << 16,
	POOL_SEAL_ROWS = 8 * POOL_BLOCK_ROWS, /* 32,768: so many are indexed anew for each batch at most */
};

struct pool_meta {
	uint16_t source;
	uint8_t record_id[RECORD_ID_LEN];
	uint8_t person_id[PERSON_ID_LEN];
	uint64_t revision, tie;
	uint32_t lead; /* the first row with this source and these filters (same.h), or SAME_NO_LEAD */
	uint32_t hash; /* of source and filters */
};

/* POOL_BLOCK_ROWS rows in one mapping that never moves. Filter f of row i is at filters[f] + i * n_lines[f] lines. */
struct pool_block {
	size_t mapped_bytes;
	struct pool_meta *meta;
	uint8_t *filters[STUDY_MAX_FILTERS];
	uint16_t *popcounts[STUDY_MAX_FILTERS];
	uint16_t *missing; /* bit f: filter f is missing */
};

/* A compared filter. The study sees to it that a filter is compared once. */
struct pool_axis {
	uint8_t filter, comparison;
	uint8_t place; /* among the filters of the comparison */
};

struct sealed;
struct link_pool {
	const struct study_domain *domain;
	const struct kernel *kernel;
	struct link_options options;
	size_t max_pairs; /* of one link_compare; 0 = no limit */
	size_t n_lines[STUDY_MAX_FILTERS];
	struct pool_axis axes[STUDY_MAX_FILTERS];
	unsigned n_axes;
	struct level_inverse inverse[STUDY_MAX_FILTERS];
	struct pool_block **blocks; /* POOL_MAX_BLOCKS pointers, so that the directory does not move either */
	_Atomic uint32_t n_rows;    /* published after the row is written: readers may run beside link_pool_add */
	atomic_bool not_locked;
	struct sealed *sealed;
	struct same_rows same; /* of the thread that adds */
	uint32_t seal_rows;    /* of the shortest segment, a multiple of POOL_BLOCK_ROWS; tests make it small */
};

static inline const struct pool_block *pool_block_of(const struct link_pool *pool, uint32_t row)
{
	return pool->blocks[row / POOL_BLOCK_ROWS];
}

static inline const struct pool_meta *pool_meta_of(const struct link_pool *pool, uint32_t row)
{
	return &pool_block_of(pool, row)->meta[row % POOL_BLOCK_ROWS];
}

static inline const uint8_t *pool_filter(const struct link_pool *pool, uint32_t row, unsigned f)
{
	return pool_block_of(pool, row)->filters[f] + (size_t)(row % POOL_BLOCK_ROWS) * pool->n_lines[f] * KERNEL_LINE;
}

static inline bool pool_is_missing(const struct link_pool *pool, uint32_t row, unsigned f)
{
	return (pool_block_of(pool, row)->missing[row % POOL_BLOCK_ROWS] >> f & 1) != 0;
}

/* Takes the row part in comparisons? It then stands for all rows with its source and filters. */
static inline bool pool_is_lead(const struct link_pool *pool, uint32_t row)
{
	return pool_meta_of(pool, row)->lead == row;
}

/* Order of record keys: source, then record_id. */
int pool_compare_keys(const struct link_pool *pool, uint32_t a, uint32_t b);
bool pool_has_person_id(const struct link_pool *pool, uint32_t row);

#endif
