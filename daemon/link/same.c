/* A hash table of leads. The hash needs no secret: whoever makes rows collide pays one memcmp a pair of them, less than
 * the comparison of the same pair costs anyway. */
#include "daemon/link/same.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/link/pool.h"

void same_rows_deinit(struct same_rows *same)
{
	free(same->table);
	*same = (struct same_rows){0};
}

uint64_t same_hash_bytes(uint64_t h, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = 0;

		memcpy(&word, bytes + i, len - i < 8 ? len - i : 8);
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return h;
}

uint64_t same_hash_filter(const struct link_pool *pool, uint64_t h, uint32_t row, unsigned f)
{
	return same_hash_bytes(h, pool_filter(pool, row, f), pool->domain->filters[f].bits / 8);
}

bool same_filter(const struct link_pool *pool, uint32_t a, uint32_t b, unsigned f)
{
	return memcmp(pool_filter(pool, a, f), pool_filter(pool, b, f), pool->domain->filters[f].bits / 8) == 0;
}

int32_t same_weight(const struct link_pool *pool, uint32_t row)
{
	int32_t weight = 0;

	for (unsigned c = 0; c < pool->domain->n_comparisons; c++) {
		const struct study_comparison *comparison = &pool->domain->comparisons[c];
		unsigned level = 0, radix = 1;

		for (unsigned i = 0; i < comparison->n_filters; i++) {
			if (row == UINT32_MAX || !pool_is_missing(pool, row, comparison->filters[i]))
				level += radix * (comparison->n_cuts[i] + 1u);
			radix *= comparison->n_cuts[i] + 2u;
		}
		weight += comparison->reference_weight[level];
	}
	return weight;
}

uint32_t same_hash_row(const struct link_pool *pool, uint32_t row)
{
	uint64_t h = pool_meta_of(pool, row)->source;

	for (unsigned f = 0; f < pool->domain->n_filters; f++)
		h = same_hash_filter(pool, h, row, f);
	return (uint32_t)h;
}

static bool same_row(const struct link_pool *pool, uint32_t a, uint32_t b)
{
	if (pool_meta_of(pool, a)->hash != pool_meta_of(pool, b)->hash ||
	    pool_meta_of(pool, a)->source != pool_meta_of(pool, b)->source)
		return false;
	for (unsigned f = 0; f < pool->domain->n_filters; f++) {
		if (!same_filter(pool, a, b, f))
			return false;
	}
	return true;
}

static size_t find(const struct same_rows *same, const struct link_pool *pool, uint32_t row)
{
	size_t at = pool_meta_of(pool, row)->hash & (same->cap - 1);

	while (same->table[at] != 0 && !same_row(pool, same->table[at] - 1, row))
		at = (at + 1) & (same->cap - 1);
	return at;
}

static enum rc grow(struct same_rows *same, const struct link_pool *pool)
{
	struct same_rows grown = {.cap = same->cap > 0 ? same->cap * 2 : 1024, .n = same->n};

	grown.table = calloc(grown.cap, sizeof *grown.table);
	if (grown.table == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < same->cap; i++) {
		if (same->table[i] != 0)
			grown.table[find(&grown, pool, same->table[i] - 1)] = same->table[i];
	}
	free(same->table);
	*same = grown;
	return RC_OK;
}

enum rc same_rows_add(struct same_rows *same, const struct link_pool *pool, uint32_t row, uint32_t *ret_lead)
{
	int32_t all = same_weight(pool, UINT32_MAX);
	size_t at;

	if (same_weight(pool, row) < (all < SAME_MIN_WEIGHT ? all : SAME_MIN_WEIGHT)) {
		*ret_lead = SAME_NO_LEAD;
		return RC_OK;
	}
	if (2 * (same->n + 1) > same->cap) {
		enum rc rc = grow(same, pool);

		if (rc != RC_OK)
			return rc;
	}
	at = find(same, pool, row);
	if (same->table[at] == 0) {
		same->table[at] = row + 1;
		same->n++;
	}
	*ret_lead = same->table[at] - 1;
	return RC_OK;
}
