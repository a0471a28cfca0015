/* Records at the cut of a run, ranked: the current revision of each, in the order of record keys; and what the pool
 * says of them, gathered once, since rows lie in the order of their arrival and each look at one is a walk to memory.
 */
#include "daemon/link/run.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"
#include "daemon/link/order.h"

enum { BLOCK = 1 << 12 }; /* rows or ranks that a thread takes at a time */

/* ---- the order of record keys ---- */

/* Of each row: the source and the first eight bytes of the record id, most significant first, which order all but a few
 * keys. */
struct key_starts {
	const struct link_pool *pool;
	uint32_t end;
	uint32_t *source, *high, *low;
};

static void key_starts_deinit(struct key_starts *starts)
{
	free(starts->source);
	free(starts->high);
	free(starts->low);
}

static void read_starts(void *ctx, size_t first, size_t end)
{
	struct key_starts *starts = ctx;

	for (uint32_t row = (uint32_t)first; row < end; row++) {
		const struct pool_meta *meta = pool_meta_of(starts->pool, row);
		struct reader r;

		reader_init(&r, meta->record_id, sizeof meta->record_id);
		starts->source[row] = meta->source;
		starts->high[row] = read_u32(&r);
		starts->low[row] = read_u32(&r);
	}
}

static enum rc key_starts_init(struct key_starts *starts, const struct run *run)
{
	size_t cap = (size_t)run->options->end + 1;

	*starts = (struct key_starts){.pool = run->pool,
				      .end = run->options->end,
				      .source = malloc(cap * sizeof *starts->source),
				      .high = malloc(cap * sizeof *starts->high),
				      .low = malloc(cap * sizeof *starts->low)};
	if (starts->source == NULL || starts->high == NULL || starts->low == NULL)
		return RC_NOMEM;
	parallel_blocks(run_n_threads(run), starts->end, BLOCK, read_starts, starts);
	return RC_OK;
}

static bool start_alike(const struct key_starts *starts, uint32_t a, uint32_t b)
{
	return starts->low[a] == starts->low[b] && starts->high[a] == starts->high[b] &&
	       starts->source[a] == starts->source[b];
}

static void filters_digest(const struct link_pool *pool, uint32_t row, uint8_t out[32])
{
	struct sha256_ctx *ctx = sha256_new();

	for (unsigned f = 0; f < pool->domain->n_filters; f++) {
		uint8_t missing = pool_is_missing(pool, row, f);

		sha256_update(ctx, &missing, 1);
		sha256_update(ctx, pool_filter(pool, row, f), pool->domain->filters[f].bits / 8);
	}
	sha256_final(ctx, out);
	sha256_free(ctx);
}

/* Record key, then the revision that counts first. */
static int compare_rows(const void *x, const void *y, void *ctx)
{
	const struct link_pool *pool = ctx;
	uint32_t row_a = *(const uint32_t *)x, row_b = *(const uint32_t *)y;
	const struct pool_meta *a = pool_meta_of(pool, row_a), *b = pool_meta_of(pool, row_b);
	int order = pool_compare_keys(pool, row_a, row_b);
	uint8_t digest_a[32], digest_b[32];

	if (order != 0)
		return order;
	if (a->revision != b->revision)
		return a->revision > b->revision ? -1 : 1;
	filters_digest(pool, row_a, digest_a);
	filters_digest(pool, row_b, digest_b);
	order = memcmp(digest_b, digest_a, sizeof digest_a);
	if (order != 0)
		return order;
	order = memcmp(b->person_id, a->person_id, PERSON_ID_LEN);
	if (order != 0)
		return order;
	if (a->tie != b->tie)
		return a->tie > b->tie ? -1 : 1;
	/* The same content twice: either row will do. */
	return (row_a > row_b) - (row_a < row_b);
}

/* Sort rows that begin alike, and leave of each record its current revision; returns how many are left. */
static uint32_t keep_current(const struct key_starts *starts, uint32_t *rows, uint32_t n)
{
	uint32_t n_kept = 0;

	for (uint32_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && start_alike(starts, rows[i], rows[j]); j++)
			;
		if (j - i > 1)
			qsort_r(&rows[i], j - i, sizeof *rows, compare_rows, (void *)starts->pool);
		for (uint32_t k = i, last = UINT32_MAX; k < j; k++) {
			if (last != UINT32_MAX && pool_compare_keys(starts->pool, last, rows[k]) == 0)
				continue; /* superseded */
			last = rows[n_kept++] = rows[k];
		}
	}
	return n_kept;
}

/* The current rows by key, into run->row. */
static enum rc sort_rows(struct run *run, const struct key_starts *starts)
{
	const struct link_run_options *options = run->options;
	struct order order = {0};
	uint32_t n = 0;
	enum rc rc = order_init(&order, options->end);

	if (rc != RC_OK)
		return rc;
	order_by(&order, starts->low);
	order_by(&order, starts->high);
	order_by(&order, starts->source);
	for (uint32_t i = 0; i < options->end; i++) {
		if (options->excluded == NULL || !options->excluded[order.at[i]])
			order.at[n++] = order.at[i];
	}
	run->n = keep_current(starts, order.at, n);
	run->row = order.at;
	order.at = NULL;
	order_deinit(&order);
	return RC_OK;
}

/* ---- what is known of each rank ---- */

static enum rc allocate(struct run *run)
{
	size_t cap = (size_t)run->n + 1, n_rows = (size_t)run->options->end + 1;

	run->rank = malloc(n_rows * sizeof *run->rank);
	run->slot = malloc(cap * sizeof *run->slot);
	run->lead = malloc(cap * sizeof *run->lead);
	run->missing = malloc(cap * sizeof *run->missing);
	run->is_numbered = malloc(cap * sizeof *run->is_numbered);
	run->copy_of = malloc(cap * sizeof *run->copy_of);
	run->certain = malloc(cap * sizeof *run->certain);
	run->person = malloc(cap * sizeof *run->person);
	if (run->rank == NULL || run->slot == NULL || run->lead == NULL || run->missing == NULL ||
	    run->is_numbered == NULL || run->copy_of == NULL || run->certain == NULL || run->person == NULL)
		return RC_NOMEM;
	memset(run->rank, 0xff, n_rows * sizeof *run->rank);
	return RC_OK;
}

static void gather_block(void *ctx, size_t first, size_t end)
{
	struct run *run = ctx;

	for (uint32_t i = (uint32_t)first; i < end; i++) {
		const struct pool_block *from = pool_block_of(run->pool, run->row[i]);

		run->rank[run->row[i]] = i;
		run->lead[i] = from->meta[run->row[i] % POOL_BLOCK_ROWS].lead;
		run->missing[i] = from->missing[run->row[i] % POOL_BLOCK_ROWS];
		run->is_numbered[i] = pool_has_person_id(run->pool, run->row[i]);
	}
}

static enum rc take_slot(struct run *run, uint32_t rank, uint16_t source)
{
	if (run->n_slots == 0 || run->source_of_slot[run->n_slots - 1] != source) {
		if (run->n_slots == STUDY_MAX_SOURCES)
			return RC_INVALID;
		run->source_of_slot[run->n_slots] = source;
		run->first_of_slot[run->n_slots] = rank;
		run->all_numbered[run->n_slots] = true;
		run->n_slots++;
	}
	run->slot[rank] = (uint16_t)(run->n_slots - 1);
	if (!run->is_numbered[rank])
		run->all_numbered[run->n_slots - 1] = false;
	return RC_OK;
}

/* The pool knows which rows are alike (same.h); which of them came first is of no account. */
static enum rc find_copies(struct run *run)
{
	uint32_t *first = malloc(((size_t)run->options->end + 1) * sizeof *first); /* rank by lead */

	if (first == NULL)
		return RC_NOMEM;
	memset(first, 0xff, ((size_t)run->options->end + 1) * sizeof *first);
	for (uint32_t i = 0; i < run->n; i++) {
		uint32_t lead = run->lead[i];

		run->copy_of[i] = i;
		if (lead >= run->options->end)
			continue; /* none */
		if (first[lead] == UINT32_MAX)
			first[lead] = i;
		run->copy_of[i] = first[lead];
	}
	free(first);
	return RC_OK;
}

enum rc run_rank_records(struct run *run)
{
	struct key_starts starts = {0};
	enum rc rc = key_starts_init(&starts, run);

	if (rc == RC_OK)
		rc = sort_rows(run, &starts);
	if (rc == RC_OK)
		rc = allocate(run);
	if (rc == RC_OK)
		parallel_blocks(run_n_threads(run), run->n, BLOCK, gather_block, run);
	for (uint32_t i = 0; i < run->n && rc == RC_OK; i++)
		rc = take_slot(run, i, (uint16_t)starts.source[run->row[i]]);
	run->first_of_slot[run->n_slots] = run->n;
	key_starts_deinit(&starts);
	return rc == RC_OK ? find_copies(run) : rc;
}
