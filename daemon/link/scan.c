/* The plain scan: every query against every row. It serves where there is too little to be worth an index.
 *
 * The comparisons of a pair are made in the order that rules pairs out fastest, and a pair is dropped when what it has
 * plus the most that the rest can bring stays below the floor. The bound is a true upper bound, so no pair is lost.
 */
#include "daemon/link/scan.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"

enum { N_MASKS = 1 << STUDY_MAX_COMPARED };

struct job {
	const struct link_pool *pool;
	uint32_t first_row, end_row, first_query, end_query;
	const atomic_bool *cancel;
	unsigned order[STUDY_MAX_COMPARISONS];
	/* The most a comparison can bring when the filters in the mask are missing from the query. */
	int32_t best[STUDY_MAX_COMPARISONS][N_MASKS];
	struct pair_list *chunks;
	_Atomic int rc;
};

/* What is known so far of one query against one block. */
struct strip {
	size_t n;
	uint16_t list[POOL_BLOCK_ROWS];
	int32_t weight[POOL_BLOCK_ROWS];
	uint8_t level[STUDY_MAX_COMPARISONS][POOL_BLOCK_ROWS]; /* indexed by place in the block */
	uint16_t counts[POOL_BLOCK_ROWS];
	uint16_t popcounts[POOL_BLOCK_ROWS];
	uint16_t digits[POOL_BLOCK_ROWS];
	uint16_t levels[POOL_BLOCK_ROWS];
};

static unsigned missing_mask(const struct link_pool *pool, const struct study_comparison *c, uint32_t row)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < c->n_filters; i++)
		mask |= (unsigned)pool_is_missing(pool, row, c->filters[i]) << i;
	return mask;
}

static int32_t best_weight(const struct study_comparison *c, unsigned mask)
{
	int32_t best = c->reference_weight[0];

	for (unsigned level = 1; level <= c->n_levels; level++) {
		unsigned rest = level;
		bool possible = true;

		for (unsigned i = 0; i < c->n_filters; i++) {
			if ((mask >> i & 1) != 0 && rest % (c->n_cuts[i] + 2u) != 0)
				possible = false;
			rest /= c->n_cuts[i] + 2u;
		}
		if (possible && c->reference_weight[level] > best)
			best = c->reference_weight[level];
	}
	return best;
}

static int32_t worst_weight(const struct study_comparison *c)
{
	int32_t worst = 0;

	for (unsigned level = 1; level <= c->n_levels; level++) {
		if (c->reference_weight[level] < worst)
			worst = c->reference_weight[level];
	}
	return worst;
}

/* Widest range of reference weights first: it rules out most. Ties keep the order of the study. */
static void plan(struct job *job)
{
	const struct study_domain *domain = job->pool->domain;
	int32_t range[STUDY_MAX_COMPARISONS];

	for (unsigned c = 0; c < domain->n_comparisons; c++) {
		unsigned at = c;

		for (unsigned mask = 0; mask < 1u << domain->comparisons[c].n_filters; mask++)
			job->best[c][mask] = best_weight(&domain->comparisons[c], mask);
		range[c] = job->best[c][0] - worst_weight(&domain->comparisons[c]);
		for (; at > 0 && range[job->order[at - 1]] < range[c]; at--)
			job->order[at] = job->order[at - 1];
		job->order[at] = c;
	}
}

/* Digits of one filter of a comparison for every pair of the strip, into strip->digits. */
static void find_digits(const struct link_pool *pool, const struct study_comparison *comparison, unsigned i,
			uint32_t query, const struct pool_block *block, bool whole, struct strip *strip)
{
	unsigned f = comparison->filters[i], n_cuts = comparison->n_cuts[i];
	unsigned a = pool_block_of(pool, query)->popcounts[f][query % POOL_BLOCK_ROWS];
	const uint16_t *popcounts = block->popcounts[f];

	if (whole) {
		pool->kernel->count_run(pool_filter(pool, query, f), block->filters[f], pool->n_lines[f], strip->n,
					strip->counts);
	} else {
		pool->kernel->count_list(pool_filter(pool, query, f), block->filters[f], pool->n_lines[f], strip->list,
					 strip->n, strip->counts);
		for (size_t j = 0; j < strip->n; j++)
			strip->popcounts[j] = popcounts[strip->list[j]];
		popcounts = strip->popcounts;
	}
	if (!pool->inverse[f].is_diffused) {
		pool->kernel->digits(strip->counts, popcounts, strip->n, a, comparison->cuts[i], n_cuts, strip->digits);
		return;
	}
	for (size_t j = 0; j < strip->n; j++)
		strip->digits[j] =
			(uint16_t)(popcounts[j] == 0 ? 0
						     : level_digit(&pool->inverse[f], comparison->cuts[i], n_cuts, a,
								   popcounts[j], strip->counts[j]));
}

/* Add one comparison to every pair of the strip. `whole`: nothing of the block was dropped yet. */
static void add_comparison(const struct link_pool *pool, unsigned c, uint32_t query, const struct pool_block *block,
			   bool whole, struct strip *strip)
{
	const struct study_comparison *comparison = &pool->domain->comparisons[c];
	unsigned radix = 1;

	memset(strip->levels, 0, strip->n * sizeof *strip->levels);
	for (unsigned i = 0; i < comparison->n_filters; i++) {
		if (!pool_is_missing(pool, query, comparison->filters[i])) {
			find_digits(pool, comparison, i, query, block, whole, strip);
			for (size_t j = 0; j < strip->n; j++)
				strip->levels[j] = (uint16_t)(strip->levels[j] + radix * strip->digits[j]);
		}
		radix *= comparison->n_cuts[i] + 2u;
	}
	for (size_t j = 0; j < strip->n; j++) {
		strip->weight[j] += comparison->reference_weight[strip->levels[j]];
		strip->level[c][strip->list[j]] = (uint8_t)strip->levels[j];
	}
}

/* Keep the pairs that can still reach the floor. */
static void drop_hopeless(struct strip *strip, int32_t needed)
{
	size_t kept = 0;

	for (size_t j = 0; j < strip->n; j++) {
		strip->list[kept] = strip->list[j];
		strip->weight[kept] = strip->weight[j];
		kept += strip->weight[j] >= needed;
	}
	strip->n = kept;
}

static enum rc keep(const struct link_pool *pool, const struct strip *strip, uint32_t first_row, uint32_t query,
		    struct pair_list *pairs)
{
	enum rc rc = RC_OK;

	for (size_t j = 0; j < strip->n && rc == RC_OK; j++) {
		struct link_pair pair = {.a = first_row + strip->list[j], .b = query};

		if (!pool_is_lead(pool, pair.a))
			continue;
		for (unsigned c = 0; c < pool->domain->n_comparisons; c++)
			pair.pattern.level[c] = strip->level[c][strip->list[j]];
		rc = pair_list_add(pairs, &pair);
	}
	return rc;
}

static enum rc compare_strip(const struct job *job, struct strip *strip, uint32_t query, uint32_t first_row,
			     size_t n_rows, struct pair_list *pairs)
{
	const struct link_pool *pool = job->pool;
	const struct study_domain *domain = pool->domain;
	const struct pool_block *block = pool_block_of(pool, first_row);
	int32_t rest = 0;

	for (unsigned k = 0; k < domain->n_comparisons; k++)
		rest += job->best[k][missing_mask(pool, &domain->comparisons[k], query)];
	if (rest < domain->floor)
		return RC_OK;
	strip->n = n_rows;
	for (size_t j = 0; j < n_rows; j++)
		strip->list[j] = (uint16_t)j;
	memset(strip->weight, 0, n_rows * sizeof *strip->weight);
	for (unsigned k = 0; k < domain->n_comparisons && strip->n > 0; k++) {
		unsigned c = job->order[k];

		rest -= job->best[c][missing_mask(pool, &domain->comparisons[c], query)];
		add_comparison(pool, c, query, block, strip->n == n_rows, strip);
		drop_hopeless(strip, domain->floor - rest);
	}
	return keep(pool, strip, first_row, query, pairs);
}

static void run_chunk(void *ctx, size_t index)
{
	struct job *job = ctx;
	uint32_t query = job->first_query + (uint32_t)index * JOIN_CHUNK;
	uint32_t end = job->end_query - query < JOIN_CHUNK ? job->end_query : query + JOIN_CHUNK;
	struct strip *strip;
	enum rc rc = RC_OK;

	if (atomic_load(&job->rc) != RC_OK)
		return;
	strip = malloc(sizeof *strip);
	if (strip == NULL)
		rc = RC_NOMEM;
	for (; query < end && rc == RC_OK; query++) {
		uint32_t last = query < job->end_row ? query : job->end_row;

		if (!pool_is_lead(job->pool, query))
			continue;
		for (uint32_t row = job->first_row; row < last && rc == RC_OK; row += POOL_BLOCK_ROWS) {
			size_t n_rows = last - row < POOL_BLOCK_ROWS ? last - row : POOL_BLOCK_ROWS;

			rc = compare_strip(job, strip, query, row, n_rows, &job->chunks[index]);
			if (job->cancel != NULL && atomic_load(job->cancel))
				rc = RC_STOPPING;
		}
	}
	free(strip);
	if (rc != RC_OK)
		atomic_store(&job->rc, (int)rc);
}

enum rc scan_run(const struct link_pool *pool, const struct scan_range *range, const atomic_bool *cancel,
		 struct pair_list *chunks)
{
	struct job job = {.pool = pool,
			  .first_row = range->first_row,
			  .end_row = range->end_row,
			  .first_query = range->first_query,
			  .end_query = range->end_query,
			  .cancel = cancel,
			  .chunks = chunks};

	if (range->first_row % POOL_BLOCK_ROWS != 0)
		return RC_INVALID;
	plan(&job);
	parallel_for(pool->options.n_threads, (range->end_query - range->first_query + JOIN_CHUNK - 1) / JOIN_CHUNK,
		     run_chunk, &job);
	return (enum rc)atomic_load(&job.rc);
}
