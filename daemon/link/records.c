/* Records at the cut of a run: the current revision of each, ranked by record key; which of them are certainly one
 * person within their source; and how frequent their values are.
 *
 * Certain means: the custodian's person number is the same, or all filters are the same and say enough: two records
 * that share a given name and are empty otherwise are not one person. Different person numbers are never joined. */
#include "daemon/link/run.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/link/order.h"

/* What agreement on identical records must say to make one person of them, in 1/256 log2 units of reference weight:
 * names and date of birth together do, names and a town do not. A study that cannot reach it is content with all it
 * has. */
enum { CERTAIN_WEIGHT = 25 * 256 };

/* ---- ranks ---- */

struct keyed {
	const struct link_pool *pool;
	uint32_t row;
};

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
static int compare_keyed(const void *x, const void *y)
{
	const struct keyed *p = x, *q = y;
	const struct pool_meta *a = pool_meta_of(p->pool, p->row), *b = pool_meta_of(p->pool, q->row);
	int order = pool_compare_keys(p->pool, p->row, q->row);
	uint8_t digest_a[32], digest_b[32];

	if (order != 0)
		return order;
	if (a->revision != b->revision)
		return a->revision > b->revision ? -1 : 1;
	filters_digest(p->pool, p->row, digest_a);
	filters_digest(p->pool, q->row, digest_b);
	order = memcmp(digest_b, digest_a, sizeof digest_a);
	if (order != 0)
		return order;
	order = memcmp(b->person_id, a->person_id, PERSON_ID_LEN);
	if (order != 0)
		return order;
	if (a->tie != b->tie)
		return a->tie > b->tie ? -1 : 1;
	/* The same content twice: either row will do. */
	return (p->row > q->row) - (p->row < q->row);
}

static enum rc allocate(struct run *run, uint32_t n_rows)
{
	size_t cap = n_rows > 0 ? n_rows : 1;

	run->row = malloc(cap * sizeof *run->row);
	run->rank = malloc(cap * sizeof *run->rank);
	run->slot = malloc(cap * sizeof *run->slot);
	run->copy_of = malloc(cap * sizeof *run->copy_of);
	run->certain = malloc(cap * sizeof *run->certain);
	run->person = malloc(cap * sizeof *run->person);
	if (run->row == NULL || run->rank == NULL || run->slot == NULL || run->copy_of == NULL ||
	    run->certain == NULL || run->person == NULL)
		return RC_NOMEM;
	for (uint32_t i = 0; i < n_rows; i++)
		run->rank[i] = UINT32_MAX;
	return RC_OK;
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
	if (!pool_has_person_id(run->pool, run->row[rank]))
		run->all_numbered[run->n_slots - 1] = false;
	return RC_OK;
}

/* The first bytes of a record id, most significant first: they order all but a few keys of a source. */
static uint32_t key_start(const struct pool_meta *meta)
{
	struct reader r;

	reader_init(&r, meta->record_id, sizeof meta->record_id);
	return read_u32(&r);
}

/* Rows by source and the first bytes of the record id, without looking a row up more than once. */
static enum rc sort_by_start(const struct run *run, struct order *order)
{
	uint32_t end = run->options->end;
	uint32_t *starts = malloc(((size_t)end + 1) * sizeof *starts);
	uint32_t *sources = malloc(((size_t)end + 1) * sizeof *sources);
	enum rc rc = starts == NULL || sources == NULL ? RC_NOMEM : order_init(order, end);

	for (uint32_t row = 0; rc == RC_OK && row < end; row++) {
		const struct pool_meta *meta = pool_meta_of(run->pool, row);

		starts[row] = key_start(meta);
		sources[row] = meta->source;
	}
	if (rc == RC_OK) {
		order_by(order, starts);
		order_by(order, sources);
	}
	free(starts);
	free(sources);
	return rc;
}

/* Sort the runs of rows that begin alike. */
static void sort_alike(struct keyed *keyed, uint32_t n)
{
	for (uint32_t i = 0, j; i < n; i = j) {
		const struct pool_meta *first = pool_meta_of(keyed[i].pool, keyed[i].row), *next;

		for (j = i + 1; j < n; j++) {
			next = pool_meta_of(keyed[j].pool, keyed[j].row);
			if (next->source != first->source || key_start(next) != key_start(first))
				break;
		}
		if (j - i > 1)
			qsort(&keyed[i], j - i, sizeof *keyed, compare_keyed);
	}
}

static enum rc sort_by_key(const struct run *run, struct keyed **ret, uint32_t *ret_n)
{
	const struct link_run_options *options = run->options;
	struct order order = {0};
	struct keyed *keyed = malloc(((size_t)options->end + 1) * sizeof *keyed);
	uint32_t n = 0;
	enum rc rc = keyed == NULL ? RC_NOMEM : sort_by_start(run, &order);

	for (uint32_t i = 0; rc == RC_OK && i < options->end; i++) {
		if (options->excluded == NULL || !options->excluded[order.at[i]])
			keyed[n++] = (struct keyed){run->pool, order.at[i]};
	}
	order_deinit(&order);
	if (rc != RC_OK) {
		free(keyed);
		return rc;
	}
	sort_alike(keyed, n);
	*ret = keyed;
	*ret_n = n;
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
		uint32_t lead = pool_meta_of(run->pool, run->row[i])->lead;

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
	struct keyed *keyed = NULL;
	uint32_t n = 0;
	enum rc rc = allocate(run, run->options->end);

	if (rc == RC_OK)
		rc = sort_by_key(run, &keyed, &n);
	for (uint32_t i = 0; i < n && rc == RC_OK; i++) {
		if (i > 0 && pool_compare_keys(run->pool, keyed[i - 1].row, keyed[i].row) == 0)
			continue; /* superseded */
		run->row[run->n] = keyed[i].row;
		run->rank[keyed[i].row] = run->n;
		rc = take_slot(run, run->n, pool_meta_of(run->pool, keyed[i].row)->source);
		run->n++;
	}
	run->first_of_slot[run->n_slots] = run->n;
	free(keyed);
	return rc == RC_OK ? find_copies(run) : rc;
}

unsigned run_missing_mask(const struct run *run, unsigned c, uint32_t rank)
{
	const struct study_comparison *comparison = &run->domain->comparisons[c];
	unsigned mask = 0;

	for (unsigned i = 0; i < comparison->n_filters; i++)
		mask |= (unsigned)pool_is_missing(run->pool, run->row[rank], comparison->filters[i]) << i;
	return mask;
}

/* ---- union-find ---- */

uint32_t run_root(uint32_t *parent, uint32_t x)
{
	while (parent[x] != x) {
		parent[x] = parent[parent[x]];
		x = parent[x];
	}
	return x;
}

void run_join(uint32_t *parent, uint32_t x, uint32_t y)
{
	x = run_root(parent, x);
	y = run_root(parent, y);
	if (x < y)
		parent[y] = x;
	else
		parent[x] = y;
}

/* ---- equal things by hashing, checked byte by byte ---- */

struct same_ctx {
	const struct run *run;
	unsigned c;
};
typedef uint64_t (*hash_fn)(const struct same_ctx *ctx, uint32_t rank);
typedef bool (*same_fn)(const struct same_ctx *ctx, uint32_t a, uint32_t b);

/* first[i] = the smallest rank that is the same as rank i. With `copies` those are the same as what they are copies of.
 * Errors: NOMEM. */
static enum rc find_first_same(const struct same_ctx *ctx, hash_fn hash, same_fn same, const uint32_t *copies,
			       uint32_t *first)
{
	size_t cap = 16;
	uint32_t *table;

	while (cap < (size_t)ctx->run->n * 2)
		cap *= 2;
	table = malloc(cap * sizeof *table);
	if (table == NULL)
		return RC_NOMEM;
	memset(table, 0xff, cap * sizeof *table);
	for (uint32_t i = 0; i < ctx->run->n; i++) {
		size_t at;

		if (copies != NULL && copies[i] != i) {
			first[i] = first[copies[i]];
			continue;
		}
		at = hash(ctx, i) & (cap - 1);
		while (table[at] != UINT32_MAX && !same(ctx, table[at], i))
			at = (at + 1) & (cap - 1);
		if (table[at] == UINT32_MAX)
			table[at] = i;
		first[i] = table[at];
	}
	free(table);
	return RC_OK;
}

static uint64_t hash_value(const struct same_ctx *ctx, uint32_t rank)
{
	const struct study_comparison *comparison = &ctx->run->domain->comparisons[ctx->c];
	uint64_t h = 0;

	for (unsigned i = 0; i < comparison->n_filters; i++)
		h = same_hash_filter(ctx->run->pool, h, ctx->run->row[rank], comparison->filters[i]);
	return h;
}

static bool same_value(const struct same_ctx *ctx, uint32_t a, uint32_t b)
{
	const struct study_comparison *comparison = &ctx->run->domain->comparisons[ctx->c];

	for (unsigned i = 0; i < comparison->n_filters; i++) {
		if (!same_filter(ctx->run->pool, ctx->run->row[a], ctx->run->row[b], comparison->filters[i]))
			return false;
	}
	return true;
}

static uint64_t hash_record(const struct same_ctx *ctx, uint32_t rank)
{
	return same_hash_bytes(ctx->run->copy_of[rank], pool_meta_of(ctx->run->pool, ctx->run->row[rank])->person_id,
			       PERSON_ID_LEN);
}

/* The same source, filters and person number (or none): records with and without a number are not joined by filters,
 * since a number may later tell two namesakes apart. Of records that say too little to be joined, copies are not known.
 */
static bool same_record(const struct same_ctx *ctx, uint32_t a, uint32_t b)
{
	const struct run *run = ctx->run;

	return run->copy_of[a] == run->copy_of[b] &&
	       memcmp(pool_meta_of(run->pool, run->row[a])->person_id, pool_meta_of(run->pool, run->row[b])->person_id,
		      PERSON_ID_LEN) == 0;
}

static uint64_t hash_number(const struct same_ctx *ctx, uint32_t rank)
{
	uint32_t row = ctx->run->row[rank];

	if (!pool_has_person_id(ctx->run->pool, row)) /* like nobody: must not crowd into one chain */
		return same_hash_bytes(~(uint64_t)0, (const uint8_t *)&rank, sizeof rank);
	return same_hash_bytes(ctx->run->slot[rank], pool_meta_of(ctx->run->pool, row)->person_id, PERSON_ID_LEN);
}

static bool same_number(const struct same_ctx *ctx, uint32_t a, uint32_t b)
{
	const struct run *run = ctx->run;

	if (a == b)
		return true;
	return run->slot[a] == run->slot[b] && pool_has_person_id(run->pool, run->row[a]) &&
	       memcmp(pool_meta_of(run->pool, run->row[a])->person_id, pool_meta_of(run->pool, run->row[b])->person_id,
		      PERSON_ID_LEN) == 0;
}

/* ---- certain persons ---- */

enum rc run_find_certain_persons(struct run *run)
{
	struct same_ctx ctx = {run, 0};
	uint32_t *first = malloc((run->n > 0 ? run->n : 1) * sizeof *first);
	int32_t all = same_weight(run->pool, UINT32_MAX), enough = all < CERTAIN_WEIGHT ? all : CERTAIN_WEIGHT;
	enum rc rc;

	if (first == NULL)
		return RC_NOMEM;
	for (uint32_t i = 0; i < run->n; i++)
		run->certain[i] = i;
	rc = find_first_same(&ctx, hash_record, same_record, NULL, first);
	if (rc != RC_OK)
		goto out;
	for (uint32_t i = 0; i < run->n; i++) {
		if (first[i] != i && same_weight(run->pool, run->row[i]) >= enough)
			run_join(run->certain, first[i], i);
	}
	rc = find_first_same(&ctx, hash_number, same_number, NULL, first);
	if (rc != RC_OK)
		goto out;
	for (uint32_t i = 0; i < run->n; i++) {
		if (pool_has_person_id(run->pool, run->row[i]))
			run_join(run->certain, first[i], i);
	}
	for (uint32_t i = 0; i < run->n; i++) {
		run->certain[i] = run_root(run->certain, i);
		run->person[i] = run->certain[i];
		run->n_certain[run->slot[i]] += run->certain[i] == i;
	}
	memcpy(run->n_persons, run->n_certain, sizeof run->n_persons);
out:
	free(first);
	return rc;
}

/* ---- values and their frequencies ---- */

enum rc run_find_values(struct run *run)
{
	size_t cap = (size_t)run->n + 1;

	for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
		struct same_ctx ctx = {run, c};
		unsigned all_missing = (1u << run->domain->comparisons[c].n_filters) - 1;
		enum rc rc;

		run->value[c] = malloc(cap * sizeof *run->value[c]);
		run->value_count[c] = calloc(cap, sizeof *run->value_count[c]);
		if (run->value[c] == NULL || run->value_count[c] == NULL)
			return RC_NOMEM;
		rc = find_first_same(&ctx, hash_value, same_value, run->copy_of, run->value[c]);
		if (rc != RC_OK)
			return rc;
		/* Count persons, not records: somebody who was released ten times does not make a name common. */
		for (uint32_t i = 0; i < run->n; i++) {
			unsigned mask;
			uint32_t *count;

			if (run->copy_of[i] != i)
				run->value[c][i] = run->value[c][run->copy_of[i]];
			else
				run->value[c][i] =
					run_missing_mask(run, c, i) == all_missing ? 0 : run->value[c][i] + 1;
			if (run->value[c][i] == 0 || run->certain[i] != i)
				continue;
			mask = run_missing_mask(run, c, i);
			count = &run->value_count[c][run->value[c][i]];
			run->value_squares[c][mask] += 2 * (uint64_t)*count + 1;
			run->value_total[c][mask]++;
			++*count;
		}
	}
	return RC_OK;
}

void run_forget_values(struct run *run)
{
	for (unsigned c = 0; c < STUDY_MAX_COMPARISONS; c++) {
		free(run->value[c]);
		free(run->value_count[c]);
		run->value[c] = run->value_count[c] = NULL;
	}
	memset(run->value_total, 0, sizeof run->value_total);
	memset(run->value_squares, 0, sizeof run->value_squares);
}
