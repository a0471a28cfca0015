/* All pairs above the study's floor, exactly.
 *
 * Rows that came long ago lie in sealed segments, each with an index; the rows since then are the tail, scanned as it
 * is or indexed for one call, whichever is less work. Every query asks every segment and the tail. Each chunk of
 * queries has its own list of pairs; all are sorted in the end, so that the result depends neither on threads nor on
 * segments. */
#include <stdlib.h>
#include <string.h>

#include "daemon/link/order.h"
#include "daemon/link/scan.h"
#include "daemon/link/sealed.h"

enum {
	INDEX_MIN_PAIRS = 1 << 23, /* below so many pairs an index costs more than the scan */
	INDEX_MIN_QUERIES = 32,
};

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

static enum rc compare_tail(const struct comparison *cmp, const struct index *asking, uint32_t first)
{
	struct scan_range scan = {first, cmp->end, cmp->first_new, cmp->end};
	struct index_range range = {first, cmp->end, true, cmp->pool->options.n_threads};
	struct index *tail;
	enum rc rc;

	if (first >= cmp->end)
		return RC_OK;
	if (asking == NULL || !is_worth_an_index(cmp, cmp->end - first))
		return scan_run(cmp->pool, &scan, cmp->cancel, cmp->chunks);
	rc = index_new(cmp->pool, &range, cmp->cancel, &tail);
	if (rc != RC_OK)
		return rc;
	rc = join_run(asking, tail, cmp->cancel, cmp->chunks);
	index_free(tail);
	return rc;
}

static enum rc compare_with(const struct comparison *cmp, struct index *const *segments, unsigned n)
{
	struct index_range range = {cmp->first_new, cmp->end, false, cmp->pool->options.n_threads};
	struct index *asking = NULL;
	enum rc rc = RC_OK;

	if (cmp->first_new == cmp->end)
		return RC_OK;
	if (n > 0 || is_worth_an_index(cmp, cmp->end))
		rc = index_new(cmp->pool, &range, cmp->cancel, &asking);
	for (unsigned i = 0; i < n && segments[i]->first + 1 < cmp->end && rc == RC_OK; i++)
		rc = join_run(asking, segments[i], cmp->cancel, cmp->chunks);
	if (rc == RC_OK)
		rc = compare_tail(cmp, asking, n > 0 ? segments[n - 1]->end : 0);
	index_free(asking);
	return rc;
}

static enum rc compare_all(const struct comparison *cmp)
{
	struct index *const *segments;
	unsigned n;
	enum rc rc = sealed_use(cmp->pool->sealed, cmp->first_new, cmp->cancel, &segments, &n);

	if (rc != RC_OK)
		return rc;
	rc = compare_with(cmp, segments, n);
	sealed_release(cmp->pool->sealed, rc == RC_OK ? cmp->end : cmp->first_new);
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

void link_pool_settle(struct link_pool *pool)
{
	sealed_settle(pool->sealed);
}

uint64_t link_pool_merge_failures(struct link_pool *pool, enum rc *ret_last)
{
	return sealed_failures(pool->sealed, ret_last);
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
