/* Records at the cut of a run: which of them are certainly one person within their source, and how frequent their
 * values are.
 *
 * Certain means: the custodian's person number is the same, or all filters are the same and say enough: two records
 * that share a given name and are empty otherwise are not one person. Different person numbers are never joined. */
#include "daemon/link/run.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"

/* What agreement on identical records must say to make one person of them, in 1/256 log2 units of reference weight:
 * names and date of birth together do, names and a town do not. A study that cannot reach it is content with all it
 * has. */
enum { CERTAIN_WEIGHT = 25 * 256 };

unsigned run_missing_mask(const struct run *run, unsigned c, uint32_t rank)
{
	const struct study_comparison *comparison = &run->domain->comparisons[c];
	unsigned mask = 0;

	for (unsigned i = 0; i < comparison->n_filters; i++)
		mask |= ((unsigned)run->missing[rank] >> comparison->filters[i] & 1u) << i;
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

/* Things of one kind: ranks, a hash of each, and when two are the same. */
struct alike {
	const struct run *run;
	unsigned c; /* of values: the comparison */
	bool (*same)(const struct alike *alike, uint32_t a, uint32_t b);
	const uint32_t *ranks; /* ascending */
	size_t n;
	const uint32_t *hash; /* by rank */
	uint32_t *first;      /* by rank: the smallest rank that is the same; only those of `ranks` are set */
};

/* Errors: NOMEM. */
static enum rc find_first_same(const struct alike *alike)
{
	size_t cap = 16;
	uint32_t *table;

	while (cap < alike->n * 2)
		cap *= 2;
	table = malloc(cap * sizeof *table);
	if (table == NULL)
		return RC_NOMEM;
	memset(table, 0xff, cap * sizeof *table);
	for (size_t i = 0; i < alike->n; i++) {
		uint32_t rank = alike->ranks[i];
		size_t at = alike->hash[rank] & (cap - 1);

		while (table[at] != UINT32_MAX &&
		       (alike->hash[table[at]] != alike->hash[rank] || !alike->same(alike, table[at], rank)))
			at = (at + 1) & (cap - 1);
		if (table[at] == UINT32_MAX)
			table[at] = rank;
		alike->first[rank] = table[at];
	}
	free(table);
	return RC_OK;
}

/* ---- persons by their numbers ---- */

enum { BLOCK = 1 << 12, BUCKET_BITS = 8, N_BUCKETS = 1 << BUCKET_BITS };

/* Ranks with a person number, by the first bits of its hash: buckets are of one thread each, and small enough for its
 * cache. */
struct numbers {
	const struct run *run;
	uint32_t *hash, *ranks, *first;
	size_t start[N_BUCKETS + 1];
	atomic_bool failed;
};

static void hash_numbers(void *ctx, size_t first, size_t end)
{
	struct numbers *numbers = ctx;
	const struct run *run = numbers->run;

	for (size_t i = first; i < end; i++) {
		const struct pool_meta *meta = pool_meta_of(run->pool, run->row[i]);

		numbers->hash[i] = run->is_numbered[i] ? (uint32_t)same_hash_bytes(run->slot[i], meta->person_id,
										   sizeof meta->person_id)
						       : 0;
	}
}

static bool same_number(const struct alike *alike, uint32_t a, uint32_t b)
{
	const struct run *run = alike->run;

	return run->slot[a] == run->slot[b] &&
	       memcmp(pool_meta_of(run->pool, run->row[a])->person_id, pool_meta_of(run->pool, run->row[b])->person_id,
		      PERSON_ID_LEN) == 0;
}

static void find_in_bucket(void *ctx, size_t bucket)
{
	struct numbers *numbers = ctx;
	struct alike alike = {.run = numbers->run,
			      .same = same_number,
			      .ranks = numbers->ranks + numbers->start[bucket],
			      .n = numbers->start[bucket + 1] - numbers->start[bucket],
			      .hash = numbers->hash,
			      .first = numbers->first};

	if (find_first_same(&alike) != RC_OK)
		atomic_store(&numbers->failed, true);
}

static unsigned bucket_of(uint32_t hash)
{
	return hash >> (32 - BUCKET_BITS);
}

static void fill_buckets(struct numbers *numbers)
{
	const struct run *run = numbers->run;
	size_t at[N_BUCKETS + 1] = {0};

	for (uint32_t i = 0; i < run->n; i++)
		at[bucket_of(numbers->hash[i]) + 1] += run->is_numbered[i];
	for (unsigned b = 0; b < N_BUCKETS; b++)
		at[b + 1] += at[b];
	memcpy(numbers->start, at, sizeof at);
	for (uint32_t i = 0; i < run->n; i++) {
		if (run->is_numbered[i])
			numbers->ranks[at[bucket_of(numbers->hash[i])]++] = i;
	}
}

/* Join the records of one source with one number. */
static enum rc join_by_number(struct run *run)
{
	size_t cap = (size_t)run->n + 1;
	struct numbers numbers = {.run = run,
				  .hash = malloc(cap * sizeof *numbers.hash),
				  .ranks = malloc(cap * sizeof *numbers.ranks),
				  .first = malloc(cap * sizeof *numbers.first)};
	enum rc rc = numbers.hash == NULL || numbers.ranks == NULL || numbers.first == NULL ? RC_NOMEM : RC_OK;

	if (rc == RC_OK) {
		parallel_blocks(run_n_threads(run), run->n, BLOCK, hash_numbers, &numbers);
		fill_buckets(&numbers);
		parallel_for(run_n_threads(run), N_BUCKETS, find_in_bucket, &numbers);
		rc = atomic_load(&numbers.failed) ? RC_NOMEM : RC_OK;
	}
	for (uint32_t i = 0; rc == RC_OK && i < run->n; i++) {
		if (run->is_numbered[i])
			run_join(run->certain, numbers.first[i], i);
	}
	free(numbers.hash);
	free(numbers.ranks);
	free(numbers.first);
	return rc;
}

/* ---- certain persons ---- */

/* Join records without a number that have the same source and filters, and say enough. Records with and without one are
 * not joined by filters, since a number may later tell two namesakes apart. Of records that say too little, copies are
 * not known. */
static enum rc join_copies(struct run *run)
{
	int32_t all = same_weight(run->pool, UINT32_MAX), enough = all < CERTAIN_WEIGHT ? all : CERTAIN_WEIGHT;
	uint32_t *first = malloc(((size_t)run->n + 1) * sizeof *first); /* without a number, by what it is a copy of */

	if (first == NULL)
		return RC_NOMEM;
	memset(first, 0xff, ((size_t)run->n + 1) * sizeof *first);
	for (uint32_t i = 0; i < run->n; i++) {
		uint32_t *same = &first[run->copy_of[i]];

		if (run->is_numbered[i])
			continue;
		if (*same == UINT32_MAX)
			*same = i;
		else if (same_weight(run->pool, run->row[i]) >= enough)
			run_join(run->certain, *same, i);
	}
	free(first);
	return RC_OK;
}

enum rc run_find_certain_persons(struct run *run)
{
	for (uint32_t i = 0; i < run->n; i++)
		run->certain[i] = i;
	enum rc rc = join_copies(run);
	if (rc == RC_OK)
		rc = join_by_number(run);
	if (rc != RC_OK)
		return rc;
	for (uint32_t i = 0; i < run->n; i++) {
		run->certain[i] = run_root(run->certain, i);
		run->person[i] = run->certain[i];
		run->n_certain[run->slot[i]] += run->certain[i] == i;
	}
	memcpy(run->n_persons, run->n_certain, sizeof run->n_persons);
	return RC_OK;
}

/* ---- values and their frequencies ---- */

static bool same_value(const struct alike *alike, uint32_t a, uint32_t b)
{
	const struct run *run = alike->run;
	const struct study_comparison *comparison = &run->domain->comparisons[alike->c];

	for (unsigned i = 0; i < comparison->n_filters; i++) {
		if (!same_filter(run->pool, run->row[a], run->row[b], comparison->filters[i]))
			return false;
	}
	return true;
}

static uint32_t hash_value(const struct run *run, unsigned c, uint32_t rank)
{
	const struct study_comparison *comparison = &run->domain->comparisons[c];
	uint64_t h = 0;

	for (unsigned i = 0; i < comparison->n_filters; i++)
		h = same_hash_filter(run->pool, h, run->row[rank], comparison->filters[i]);
	return (uint32_t)h;
}

/* From the first rank with each value to values from 1 on, 0 = all missing; copies have their original's. Counts are
 * of persons, not records: somebody who was released ten times does not make a name common. */
static void count_values(struct run *run, unsigned c)
{
	unsigned all_missing = (1u << run->domain->comparisons[c].n_filters) - 1;
	uint32_t *value = run->value[c];

	for (uint32_t i = 0; i < run->n; i++) {
		unsigned mask = run_missing_mask(run, c, i);
		uint32_t *count;

		if (run->copy_of[i] != i)
			value[i] = value[run->copy_of[i]];
		else
			value[i] = mask == all_missing ? 0 : value[i] + 1;
		if (value[i] == 0 || run->certain[i] != i)
			continue;
		count = &run->value_count[c][value[i]];
		run->value_squares[c][mask] += 2 * (uint64_t)*count + 1;
		run->value_total[c][mask]++;
		++*count;
	}
}

struct values {
	struct run *run;
	uint32_t *ranks; /* that are no copies */
	size_t n;
	atomic_bool failed;
};

static void find_values_of(void *ctx, size_t c)
{
	struct values *values = ctx;
	struct run *run = values->run;
	size_t cap = (size_t)run->n + 1;
	uint32_t *hash = malloc(cap * sizeof *hash);

	run->value[c] = malloc(cap * sizeof *run->value[c]);
	run->value_count[c] = calloc(cap, sizeof *run->value_count[c]);
	struct alike alike = {.run = run,
			      .c = (unsigned)c,
			      .same = same_value,
			      .ranks = values->ranks,
			      .n = values->n,
			      .hash = hash,
			      .first = run->value[c]};
	bool ok = hash != NULL && run->value[c] != NULL && run->value_count[c] != NULL;
	for (size_t i = 0; ok && i < values->n; i++)
		hash[values->ranks[i]] = hash_value(run, (unsigned)c, values->ranks[i]);
	ok = ok && find_first_same(&alike) == RC_OK;
	if (ok)
		count_values(run, (unsigned)c);
	else
		atomic_store(&values->failed, true);
	free(hash);
}

enum rc run_find_values(struct run *run)
{
	struct values values = {.run = run, .ranks = malloc(((size_t)run->n + 1) * sizeof *values.ranks)};

	if (values.ranks == NULL)
		return RC_NOMEM;
	for (uint32_t i = 0; i < run->n; i++) {
		if (run->copy_of[i] == i)
			values.ranks[values.n++] = i;
	}
	parallel_for(run_n_threads(run), run->domain->n_comparisons, find_values_of, &values);
	free(values.ranks);
	return atomic_load(&values.failed) ? RC_NOMEM : RC_OK;
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
