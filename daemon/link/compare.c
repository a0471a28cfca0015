/* All pairs above the study's floor, exactly.
 *
 * The comparisons of a pair are made in the order that rules pairs out fastest, and a pair is dropped when what it has
 * plus the most that the rest can bring stays below the floor. The bound is a true upper bound, so no pair is lost.
 * Work is cut into tiles of queries by blocks of rows; each tile writes its own list, and the lists are put into
 * ascending (b, a) at the end, so that the result does not depend on threads. */
#include "daemon/link/pool.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"

enum {
	TILE_QUERIES = 32,
	TILE_BLOCKS = 8, /* of POOL_BLOCK_ROWS rows: about a million pairs a tile, some 10 ms at worst */
	N_MASKS = 1 << STUDY_MAX_COMPARED,
};

struct tile {
	struct link_pair *pairs;
	size_t n, cap;
};

struct job {
	const struct link_pool *pool;
	uint32_t first_new, end;
	size_t n_stripes;
	const atomic_bool *cancel;
	unsigned order[STUDY_MAX_COMPARISONS];
	/* The most a comparison can bring when the filters in the mask are missing from the query. */
	int32_t best[STUDY_MAX_COMPARISONS][N_MASKS];
	struct tile *tiles;
	atomic_bool no_memory, stopped;
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

static bool tile_append(struct tile *tile, const struct study_domain *domain, const struct strip *strip,
			uint32_t first_row, uint32_t query)
{
	if (tile->n + strip->n > tile->cap) {
		size_t cap = (tile->n + strip->n) * 2;
		struct link_pair *pairs = realloc(tile->pairs, cap * sizeof *pairs);

		if (pairs == NULL)
			return false;
		tile->pairs = pairs;
		tile->cap = cap;
	}
	for (size_t j = 0; j < strip->n; j++) {
		struct link_pair *pair = &tile->pairs[tile->n++];

		*pair = (struct link_pair){.a = first_row + strip->list[j], .b = query};
		for (unsigned c = 0; c < domain->n_comparisons; c++)
			pair->pattern.level[c] = strip->level[c][strip->list[j]];
	}
	return true;
}

static bool compare_strip(const struct job *job, struct strip *strip, uint32_t query, uint32_t first_row, size_t n_rows,
			  struct tile *tile)
{
	const struct link_pool *pool = job->pool;
	const struct study_domain *domain = pool->domain;
	const struct pool_block *block = pool_block_of(pool, first_row);
	int32_t rest = 0;

	for (unsigned k = 0; k < domain->n_comparisons; k++)
		rest += job->best[k][missing_mask(pool, &domain->comparisons[k], query)];
	if (rest < domain->floor)
		return true;
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
	return tile_append(tile, domain, strip, first_row, query);
}

static void run_tile(void *ctx, size_t index)
{
	struct job *job = ctx;
	uint32_t first_query = job->first_new + (uint32_t)(index / job->n_stripes) * TILE_QUERIES;
	uint32_t end_query = job->end - first_query > TILE_QUERIES ? first_query + TILE_QUERIES : job->end;
	uint32_t row = (uint32_t)(index % job->n_stripes) * TILE_BLOCKS * POOL_BLOCK_ROWS;
	struct strip *strip;

	if (row + 1 >= end_query || atomic_load(&job->no_memory) || atomic_load(&job->stopped))
		return;
	strip = malloc(sizeof *strip);
	if (strip == NULL) {
		atomic_store(&job->no_memory, true);
		return;
	}
	for (unsigned i = 0; i < TILE_BLOCKS && row < end_query; i++, row += POOL_BLOCK_ROWS) {
		if (job->cancel != NULL && atomic_load(job->cancel)) {
			atomic_store(&job->stopped, true);
			break;
		}
		for (uint32_t query = first_query; query < end_query; query++) {
			size_t n_rows = query <= row ? 0 : query - row;

			if (n_rows > POOL_BLOCK_ROWS)
				n_rows = POOL_BLOCK_ROWS;
			if (n_rows > 0 && !compare_strip(job, strip, query, row, n_rows, &job->tiles[index])) {
				atomic_store(&job->no_memory, true);
				break;
			}
		}
	}
	free(strip);
}

static int compare_pairs(const void *x, const void *y)
{
	const struct link_pair *p = x, *q = y;

	if (p->b != q->b)
		return p->b < q->b ? -1 : 1;
	return p->a < q->a ? -1 : p->a > q->a;
}

static enum rc collect(const struct job *job, size_t n_tiles, struct link_pair **ret_pairs, size_t *ret_n)
{
	size_t n = 0;
	struct link_pair *pairs;

	for (size_t i = 0; i < n_tiles; i++)
		n += job->tiles[i].n;
	pairs = malloc((n > 0 ? n : 1) * sizeof *pairs);
	if (pairs == NULL)
		return RC_NOMEM;
	n = 0;
	for (size_t i = 0; i < n_tiles; i++) {
		if (job->tiles[i].n > 0)
			memcpy(pairs + n, job->tiles[i].pairs, job->tiles[i].n * sizeof *pairs);
		n += job->tiles[i].n;
	}
	qsort(pairs, n, sizeof *pairs, compare_pairs);
	*ret_pairs = pairs;
	*ret_n = n;
	return RC_OK;
}

enum rc link_compare(struct link_pool *pool, uint32_t first_new, uint32_t end, const atomic_bool *cancel,
		     struct link_pair **ret_pairs, size_t *ret_n)
{
	struct job job = {.pool = pool, .first_new = first_new, .end = end, .cancel = cancel};
	size_t n_tiles;
	enum rc rc;

	if (end > link_pool_n_rows(pool) || first_new > end)
		return RC_INVALID;
	plan(&job);
	job.n_stripes = (end + (size_t)TILE_BLOCKS * POOL_BLOCK_ROWS - 1) / ((size_t)TILE_BLOCKS * POOL_BLOCK_ROWS);
	n_tiles = ((size_t)(end - first_new) + TILE_QUERIES - 1) / TILE_QUERIES * job.n_stripes;
	job.tiles = calloc(n_tiles > 0 ? n_tiles : 1, sizeof *job.tiles);
	if (job.tiles == NULL)
		return RC_NOMEM;
	parallel_for(pool->options.n_threads, n_tiles, run_tile, &job);
	if (atomic_load(&job.stopped))
		rc = RC_STOPPING;
	else if (atomic_load(&job.no_memory))
		rc = RC_NOMEM;
	else
		rc = collect(&job, n_tiles, ret_pairs, ret_n);
	for (size_t i = 0; i < n_tiles; i++)
		free(job.tiles[i].pairs);
	free(job.tiles);
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
