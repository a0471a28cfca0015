/* The pool: encoded records of one domain, resident for comparison.
 *
 * Rows live in blocks that are mapped once and never move, so that a comparison may run while rows are added, and so
 * that the memory can be locked and kept out of core dumps as a whole. A row is written before the row count that
 * makes it visible. All revisions of a record stay rows of the pool: which of them counts is decided at the cut of a
 * release (persons.c), because a release must not depend on what arrived after its cut. */
#include "daemon/link/pool.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/link/locked.h"
#include "daemon/link/sealed.h"

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* Lay the arrays of a block out from `base`; with NULL only the size is wanted. */
static size_t block_lay_out(const struct link_pool *pool, struct pool_block *block, uint8_t *base)
{
	size_t at = 0;

	for (unsigned f = 0; f < pool->domain->n_filters; f++) {
		block->filters[f] = base + at;
		at += POOL_BLOCK_ROWS * pool->n_lines[f] * KERNEL_LINE;
	}
	for (unsigned f = 0; f < pool->domain->n_filters; f++) {
		block->popcounts[f] = (uint16_t *)(void *)(base + at);
		at += round_up(POOL_BLOCK_ROWS * sizeof(uint16_t), KERNEL_LINE);
	}
	block->missing = (uint16_t *)(void *)(base + at);
	at += round_up(POOL_BLOCK_ROWS * sizeof(uint16_t), KERNEL_LINE);
	block->meta = (struct pool_meta *)(void *)(base + at);
	at += POOL_BLOCK_ROWS * sizeof(struct pool_meta);
	return round_up(at, 4096);
}

static void block_free(struct pool_block *block)
{
	if (block == NULL)
		return;
	locked_unmap(block->filters[0], block->mapped_bytes);
	free(block);
}

static enum rc block_new(struct link_pool *pool, struct pool_block **ret)
{
	struct pool_block *block = calloc(1, sizeof *block);
	struct pool_block measure;
	void *memory;
	enum rc rc;

	if (block == NULL)
		return RC_NOMEM;
	block->mapped_bytes = block_lay_out(pool, &measure, (uint8_t *)KERNEL_LINE);
	rc = locked_map(block->mapped_bytes, pool->options.memory, &pool->not_locked, &memory);
	if (rc != RC_OK) {
		free(block);
		return rc;
	}
	block_lay_out(pool, block, memory);
	*ret = block;
	return RC_OK;
}

static bool domain_is_usable(const struct study_domain *domain)
{
	uint32_t compared = 0;

	if (domain->n_filters == 0 || domain->n_filters > STUDY_MAX_FILTERS || domain->n_comparisons == 0 ||
	    domain->n_comparisons > STUDY_MAX_COMPARISONS)
		return false;
	for (unsigned f = 0; f < domain->n_filters; f++) {
		if (domain->filters[f].bits == 0 || domain->filters[f].bits > STUDY_MAX_FILTER_BITS ||
		    domain->filters[f].bits % 8 != 0)
			return false;
	}
	for (unsigned c = 0; c < domain->n_comparisons; c++) {
		const struct study_comparison *comparison = &domain->comparisons[c];
		unsigned n_levels = 1;

		if (comparison->n_filters == 0 || comparison->n_filters > STUDY_MAX_COMPARED)
			return false;
		for (unsigned i = 0; i < comparison->n_filters; i++) {
			if (comparison->filters[i] >= domain->n_filters || comparison->n_cuts[i] > STUDY_MAX_CUTS ||
			    (compared >> comparison->filters[i] & 1) != 0)
				return false;
			compared |= UINT32_C(1) << comparison->filters[i];
			n_levels *= comparison->n_cuts[i] + 2u;
		}
		if (n_levels - 1 != comparison->n_levels || n_levels - 1 > STUDY_MAX_LEVELS)
			return false;
	}
	return true;
}

static void list_axes(struct link_pool *pool)
{
	for (unsigned c = 0; c < pool->domain->n_comparisons; c++) {
		for (unsigned i = 0; i < pool->domain->comparisons[c].n_filters; i++)
			pool->axes[pool->n_axes++] =
				(struct pool_axis){pool->domain->comparisons[c].filters[i], (uint8_t)c, (uint8_t)i};
	}
}

enum rc link_pool_new(const struct study_domain *domain, const struct link_options *options, struct link_pool **ret)
{
	struct link_pool *pool;
	enum rc rc = RC_NOMEM;

	if (!domain_is_usable(domain))
		return RC_INVALID;
	pool = calloc(1, sizeof *pool);
	if (pool == NULL)
		return RC_NOMEM;
	pool->domain = domain;
	pool->options = *options;
	pool->seal_rows = POOL_SEAL_ROWS;
	list_axes(pool);
	if (pool->options.n_threads == 0)
		pool->options.n_threads = 1;
	pool->kernel = kernel_choose(options->kernel);
	if (pool->kernel == NULL) {
		rc = RC_INVALID;
		goto fail;
	}
	pool->blocks = calloc(POOL_MAX_BLOCKS, sizeof *pool->blocks);
	if (pool->blocks == NULL)
		goto fail;
	atomic_store(&pool->not_locked, options->memory == LINK_MEMORY_PLAIN);
	rc = sealed_new(pool, &pool->sealed);
	if (rc != RC_OK)
		goto fail;
	for (unsigned f = 0; f < domain->n_filters; f++) {
		pool->n_lines[f] = round_up(domain->filters[f].bits / 8, KERNEL_LINE) / KERNEL_LINE;
		rc = level_inverse_init(&pool->inverse[f], domain->filters[f].bits, domain->filters[f].diffusion);
		if (rc != RC_OK)
			goto fail;
	}
	/* The first block now, so that a lock that must be had and cannot is known at start, not at the first record.
	 */
	rc = block_new(pool, &pool->blocks[0]);
	if (rc != RC_OK)
		goto fail;
	*ret = pool;
	return RC_OK;
fail:
	link_pool_free(pool);
	return rc;
}

void link_pool_free(struct link_pool *pool)
{
	if (pool == NULL)
		return;
	sealed_free(pool->sealed);
	for (size_t i = 0; pool->blocks != NULL && i < POOL_MAX_BLOCKS && pool->blocks[i] != NULL; i++)
		block_free(pool->blocks[i]);
	free(pool->blocks);
	same_rows_deinit(&pool->same);
	for (unsigned f = 0; f < STUDY_MAX_FILTERS; f++)
		level_inverse_deinit(&pool->inverse[f]);
	free(pool);
}

enum rc link_pool_add(struct link_pool *pool, const struct link_row *row, uint32_t *ret_row)
{
	uint32_t n = atomic_load_explicit(&pool->n_rows, memory_order_relaxed);
	size_t at = n % POOL_BLOCK_ROWS;
	struct pool_block *block;
	struct pool_meta *meta;
	enum rc rc;

	if (n / POOL_BLOCK_ROWS >= POOL_MAX_BLOCKS)
		return RC_NOMEM;
	if (pool->blocks[n / POOL_BLOCK_ROWS] == NULL) {
		rc = block_new(pool, &pool->blocks[n / POOL_BLOCK_ROWS]);
		if (rc != RC_OK)
			return rc;
	}
	block = pool->blocks[n / POOL_BLOCK_ROWS];
	block->missing[at] = 0; /* a row that failed before may have stood here */
	for (unsigned f = 0; f < pool->domain->n_filters; f++) {
		size_t len = pool->domain->filters[f].bits / 8;
		uint8_t *to = block->filters[f] + at * pool->n_lines[f] * KERNEL_LINE;

		/* A filter without a bit set says nothing, whatever its flag: it would agree with every other empty
		 * one. */
		memcpy(to, row->filters[f], len);
		pool->kernel->count_run(to, to, pool->n_lines[f], 1, &block->popcounts[f][at]);
		if (row->missing[f] || block->popcounts[f][at] == 0) {
			memset(to, 0, len);
			block->popcounts[f][at] = 0;
			block->missing[at] = (uint16_t)(block->missing[at] | 1u << f);
		}
	}
	meta = &block->meta[at];
	meta->source = row->source;
	meta->revision = row->revision;
	meta->tie = row->tie;
	memcpy(meta->record_id, row->record_id, RECORD_ID_LEN);
	memcpy(meta->person_id, row->person_id, PERSON_ID_LEN);
	meta->hash = same_hash_row(pool, n);
	rc = same_rows_add(&pool->same, pool, n, &meta->lead);
	if (rc != RC_OK)
		return rc;
	atomic_store_explicit(&pool->n_rows, n + 1, memory_order_release);
	*ret_row = n;
	return RC_OK;
}

uint32_t link_pool_n_rows(const struct link_pool *pool)
{
	return atomic_load_explicit(&pool->n_rows, memory_order_acquire);
}

bool link_pool_memory_is_locked(const struct link_pool *pool)
{
	return !atomic_load(&pool->not_locked);
}

uint16_t link_pool_source(const struct link_pool *pool, uint32_t row)
{
	return pool_meta_of(pool, row)->source;
}

const uint8_t *link_pool_record_id(const struct link_pool *pool, uint32_t row)
{
	return pool_meta_of(pool, row)->record_id;
}

int pool_compare_keys(const struct link_pool *pool, uint32_t a, uint32_t b)
{
	const struct pool_meta *x = pool_meta_of(pool, a), *y = pool_meta_of(pool, b);

	if (x->source != y->source)
		return x->source < y->source ? -1 : 1;
	return memcmp(x->record_id, y->record_id, RECORD_ID_LEN);
}

bool pool_has_person_id(const struct link_pool *pool, uint32_t row)
{
	static const uint8_t none[PERSON_ID_LEN];

	return memcmp(pool_meta_of(pool, row)->person_id, none, PERSON_ID_LEN) != 0;
}
