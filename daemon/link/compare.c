/* All pairs above the study's floor, exactly.
 *
 * Rows that came long ago lie in sealed segments, each with an index; the rows since then are the tail, scanned as it
 * is or indexed for one call, whichever is less work. Every query asks every segment and the tail. Segments of like
 * size are merged, so that there are few. Each chunk of queries has its own list of pairs; all are sorted in the end,
 * so that the result depends neither on threads nor on segments. */
#include <stdlib.h>
#include <string.h>

#include "daemon/link/order.h"
#include "daemon/link/scan.h"

enum {
	SEGMENT_MAX_SEALS = 16,    /* 4 M rows: bounds what a merge needs beside what it replaces */
	INDEX_MIN_PAIRS = 1 << 23, /* below so many pairs an index costs more than the scan */
	INDEX_MIN_QUERIES = 32,
};

/* ---- segments ---- */

static enum rc replace_last(struct link_pool *pool, unsigned n_replaced, uint32_t end, const atomic_bool *cancel)
{
	unsigned at = pool->n_segments - n_replaced;
	uint32_t first = at > 0 ? pool->segments[at - 1]->end : 0;
	struct index *index;
	enum rc rc = index_new(pool, first, end, true, cancel, &index);

	if (rc != RC_OK)
		return rc;
	for (unsigned i = at; i < pool->n_segments; i++)
		index_free(pool->segments[i]);
	pool->segments[at] = index;
	pool->n_segments = at + 1;
	return RC_OK;
}

static uint32_t sealed_end(const struct link_pool *pool)
{
	return pool->n_segments > 0 ? pool->segments[pool->n_segments - 1]->end : 0;
}

/* Seal what is long enough, in one segment with those before it that are not longer. */
static enum rc seal(struct link_pool *pool, uint32_t end, const atomic_bool *cancel)
{
	uint32_t most = SEGMENT_MAX_SEALS * pool->seal_rows;
	enum rc rc = RC_OK;

	while (rc == RC_OK && end > sealed_end(pool) && end - sealed_end(pool) >= pool->seal_rows) {
		uint32_t left = end - sealed_end(pool);
		uint32_t n_rows = (left < most ? left : most) / pool->seal_rows * pool->seal_rows;
		uint32_t new_end = sealed_end(pool) + n_rows;
		unsigned n_replaced = 0;

		while (n_replaced < pool->n_segments) {
			uint32_t last = index_n_rows(pool->segments[pool->n_segments - 1 - n_replaced]);

			if (last > n_rows || n_rows + last > most)
				break;
			n_rows += last;
			n_replaced++;
		}
		if (n_replaced == 0 && pool->n_segments == POOL_MAX_SEGMENTS)
			return RC_NOMEM;
		rc = replace_last(pool, n_replaced, new_end, cancel);
	}
	return rc;
}

void pool_free_segments(struct link_pool *pool)
{
	for (unsigned i = 0; i < pool->n_segments; i++)
		index_free(pool->segments[i]);
	pool->n_segments = 0;
}

/* ---- one comparison ---- */

struct comparison {
	struct link_pool *pool;
	uint32_t first_new, end;
	const atomic_bool *cancel;
	struct pair_list *chunks;
	size_t n_chunks;
	struct pair_budget budget;
};

static bool is_worth_an_index(const struct comparison *cmp, uint32_t n_rows)
{
	uint32_t n_queries = cmp->end - cmp->first_new;

	return n_queries >= INDEX_MIN_QUERIES && (uint64_t)n_queries * n_rows >= INDEX_MIN_PAIRS;
}

static enum rc compare_tail(const struct comparison *cmp, const struct index *asking)
{
	uint32_t first = sealed_end(cmp->pool);
	struct scan_range range = {first, cmp->end, cmp->first_new, cmp->end};
	struct index *tail;
	enum rc rc;

	if (first >= cmp->end)
		return RC_OK;
	if (asking == NULL || !is_worth_an_index(cmp, cmp->end - first))
		return scan_run(cmp->pool, &range, cmp->cancel, cmp->chunks);
	rc = index_new(cmp->pool, first, cmp->end, true, cmp->cancel, &tail);
	if (rc == RC_OK)
		rc = join_run(asking, tail, cmp->cancel, cmp->chunks);
	else
		return rc;
	index_free(tail);
	return rc;
}

static enum rc compare_all(const struct comparison *cmp)
{
	struct link_pool *pool = cmp->pool;
	struct index *asking = NULL;
	/* All there are, those that are asked for later too: a first load then makes one index, not one a step. */
	enum rc rc = seal(pool, link_pool_n_rows(pool), cmp->cancel);

	if (rc == RC_OK && (pool->n_segments > 0 || is_worth_an_index(cmp, cmp->end)))
		rc = index_new(pool, cmp->first_new, cmp->end, false, cmp->cancel, &asking);
	for (unsigned i = 0; i < pool->n_segments && rc == RC_OK; i++)
		rc = join_run(asking, pool->segments[i], cmp->cancel, cmp->chunks);
	if (rc == RC_OK)
		rc = compare_tail(cmp, asking);
	index_free(asking);
	return rc;
}

/* Ascending (b, a). */
static enum rc sort_pairs(struct link_pair **pairs, size_t n)
{
	struct link_pair *sorted = malloc((n > 0 ? n : 1) * sizeof *sorted);
	uint32_t *keys = malloc((n > 0 ? n : 1) * sizeof *keys);
	struct order order = {0};
	enum rc rc = order_init(&order, n);

	if (sorted == NULL || keys == NULL)
		rc = RC_NOMEM;
	for (unsigned k = 0; k < 2 && rc == RC_OK; k++) {
		for (size_t i = 0; i < n; i++)
			keys[i] = k == 0 ? (*pairs)[i].a : (*pairs)[i].b;
		order_by(&order, keys);
	}
	if (rc == RC_OK) {
		for (size_t i = 0; i < n; i++)
			sorted[i] = (*pairs)[order.at[i]];
		free(*pairs);
		*pairs = sorted;
		sorted = NULL;
	}
	free(sorted);
	free(keys);
	order_deinit(&order);
	return rc;
}

static enum rc collect(struct comparison *cmp, struct link_pair **ret_pairs, size_t *ret_n)
{
	struct link_pair *pairs;
	size_t n = 0;
	enum rc rc;

	for (size_t i = 0; i < cmp->n_chunks; i++)
		n += cmp->chunks[i].n;
	pairs = malloc((n > 0 ? n : 1) * sizeof *pairs);
	if (pairs == NULL)
		return RC_NOMEM;
	n = 0;
	for (size_t i = 0; i < cmp->n_chunks; i++) {
		if (cmp->chunks[i].n > 0)
			memcpy(pairs + n, cmp->chunks[i].pairs, cmp->chunks[i].n * sizeof *pairs);
		n += cmp->chunks[i].n;
		free(cmp->chunks[i].pairs);
		cmp->chunks[i].pairs = NULL;
	}
	rc = sort_pairs(&pairs, n);
	if (rc != RC_OK) {
		free(pairs);
		return rc;
	}
	*ret_pairs = pairs;
	*ret_n = n;
	return RC_OK;
}

void link_pool_limit_pairs(struct link_pool *pool, size_t max_pairs)
{
	pool->max_pairs = max_pairs;
}

enum rc link_compare(struct link_pool *pool, uint32_t first_new, uint32_t end, const atomic_bool *cancel,
		     struct link_pair **ret_pairs, size_t *ret_n)
{
	struct comparison cmp = {.pool = pool, .first_new = first_new, .end = end, .cancel = cancel};
	enum rc rc;

	if (end > link_pool_n_rows(pool) || first_new > end)
		return RC_INVALID;
	cmp.n_chunks = ((size_t)(end - first_new) + JOIN_CHUNK - 1) / JOIN_CHUNK;
	cmp.chunks = calloc(cmp.n_chunks + 1, sizeof *cmp.chunks);
	if (cmp.chunks == NULL)
		return RC_NOMEM;
	cmp.budget.max = pool->max_pairs;
	for (size_t i = 0; i < cmp.n_chunks; i++)
		cmp.chunks[i].budget = &cmp.budget;
	rc = compare_all(&cmp);
	if (rc == RC_OK)
		rc = collect(&cmp, ret_pairs, ret_n);
	for (size_t i = 0; i < cmp.n_chunks; i++)
		free(cmp.chunks[i].pairs);
	free(cmp.chunks);
	return rc;
}

struct link_pattern link_pattern_of(const struct link_pool *pool, uint32_t a, uint32_t b)
{
	struct link_pattern pattern = {0};

	for (unsigned c = 0; c < pool->domain->n_comparisons; c++) {
		const struct study_comparison *comparison = &pool->domain->comparisons[c];
		unsigned level = 0, radix = 1;

		for (unsigned i = 0; i < comparison->n_filters; i++) {
			unsigned f = comparison->filters[i];
			unsigned pa = pool_block_of(pool, a)->popcounts[f][a % POOL_BLOCK_ROWS];
			unsigned pb = pool_block_of(pool, b)->popcounts[f][b % POOL_BLOCK_ROWS];
			uint16_t both;

			if (pa != 0 && pb != 0) {
				pool->kernel->count_run(pool_filter(pool, a, f), pool_filter(pool, b, f),
							pool->n_lines[f], 1, &both);
				level += radix * level_digit(&pool->inverse[f], comparison->cuts[i],
							     comparison->n_cuts[i], pa, pb, both);
			}
			radix *= comparison->n_cuts[i] + 2u;
		}
		pattern.level[c] = (uint8_t)level;
	}
	return pattern;
}
