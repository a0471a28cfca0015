#include "daemon/link/dictionary.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/link/locked.h"

static uint64_t hash_filter(const uint8_t *filter, size_t n_lines)
{
	uint64_t hash = UINT64_C(0x9e3779b97f4a7c15);

	for (size_t i = 0; i < n_lines * KERNEL_LINE; i += 8) {
		uint64_t word;

		memcpy(&word, filter + i, 8);
		hash = (hash ^ word) * UINT64_C(0xbf58476d1ce4e5b9);
		hash ^= hash >> 29;
	}
	return hash ^ hash >> 32;
}

/* A distinct value while it is collected: one row that has it, and its place in the order of first sight. */
struct seen {
	const uint8_t *filter;
	size_t bytes;
	uint32_t number;
	uint16_t popcount;
};

struct collecting {
	struct seen *seen;
	uint32_t n, cap;
	uint32_t *table; /* of numbers; UINT32_MAX = free */
	size_t table_size;
};

/* Twice the room: the seen values stay, the table is filled anew. */
static enum rc grow(struct collecting *c, size_t n_lines)
{
	uint32_t cap = c->cap == 0 ? 1024 : c->cap * 2;
	struct seen *seen = realloc(c->seen, cap * sizeof *seen);
	uint32_t *table;

	if (seen == NULL)
		return RC_NOMEM;
	c->seen = seen;
	c->cap = cap;
	table = realloc(c->table, (size_t)cap * 2 * sizeof *table);
	if (table == NULL)
		return RC_NOMEM;
	c->table = table;
	c->table_size = (size_t)cap * 2;
	memset(table, 0xff, c->table_size * sizeof *table);
	for (uint32_t i = 0; i < c->n; i++) {
		size_t at = hash_filter(seen[i].filter, n_lines) & (c->table_size - 1);

		while (table[at] != UINT32_MAX)
			at = (at + 1) & (c->table_size - 1);
		table[at] = i;
	}
	return RC_OK;
}

static bool is_cancelled(const atomic_bool *cancel)
{
	return cancel != NULL && atomic_load(cancel);
}

static enum rc collect(struct collecting *c, const struct link_pool *pool, const struct dictionary_range *range,
		       const atomic_bool *cancel, uint32_t *ret_numbers)
{
	unsigned f = range->filter;
	size_t bytes = pool->n_lines[f] * KERNEL_LINE;

	for (uint32_t row = range->first; row < range->end; row++) {
		const uint8_t *filter = pool_filter(pool, row, f);
		size_t at;

		if (row % 4096 == 0 && is_cancelled(cancel))
			return RC_STOPPING;
		if (c->n == c->cap) {
			enum rc rc = grow(c, pool->n_lines[f]);

			if (rc != RC_OK)
				return rc;
		}
		at = hash_filter(filter, pool->n_lines[f]) & (c->table_size - 1);
		while (c->table[at] != UINT32_MAX && memcmp(c->seen[c->table[at]].filter, filter, bytes) != 0)
			at = (at + 1) & (c->table_size - 1);
		if (c->table[at] == UINT32_MAX) {
			c->table[at] = c->n;
			c->seen[c->n] = (struct seen){filter, bytes, c->n,
						      pool_block_of(pool, row)->popcounts[f][row % POOL_BLOCK_ROWS]};
			c->n++;
		}
		ret_numbers[row - range->first] = c->table[at];
	}
	return RC_OK;
}

static int compare_seen(const void *x, const void *y)
{
	const struct seen *p = x, *q = y;

	if (p->popcount != q->popcount)
		return p->popcount < q->popcount ? -1 : 1;
	return memcmp(p->filter, q->filter, p->bytes);
}

/* Copy the sorted values side by side. */
static enum rc copy_values(struct dictionary *dictionary, struct link_pool *pool, const struct collecting *c,
			   size_t bytes)
{
	void *memory;
	enum rc rc;

	dictionary->n = c->n;
	dictionary->popcounts = malloc((c->n + 1u) * sizeof *dictionary->popcounts);
	if (dictionary->popcounts == NULL)
		return RC_NOMEM;
	dictionary->filters_bytes = (c->n + 1u) * bytes;
	rc = locked_map(dictionary->filters_bytes, pool->options.memory, &pool->not_locked, &memory);
	if (rc != RC_OK)
		return rc;
	dictionary->filters = memory;
	for (uint32_t i = 0; i < c->n; i++) {
		memcpy(dictionary->filters + i * bytes, c->seen[i].filter, bytes);
		dictionary->popcounts[i] = c->seen[i].popcount;
	}
	return RC_OK;
}

static enum rc add_slice(struct dictionary *dictionary, struct link_pool *pool, unsigned f)
{
	struct slice_filters filters = {.rows = dictionary->filters,
					.popcounts = dictionary->popcounts,
					.n = dictionary->n,
					.bits = pool->domain->filters[f].bits,
					.n_lines = pool->n_lines[f]};

	return slice_init(&dictionary->slice, &filters, pool->options.memory, &pool->not_locked);
}

enum rc dictionary_init(struct dictionary *dictionary, struct link_pool *pool, const struct dictionary_range *range,
			const atomic_bool *cancel, uint32_t *ret_ids)
{
	struct collecting c = {0};
	uint32_t *sorted = NULL;
	enum rc rc = collect(&c, pool, range, cancel, ret_ids);

	memset(dictionary, 0, sizeof *dictionary);
	if (rc != RC_OK)
		goto out;
	if (c.n > 0)
		qsort(c.seen, c.n, sizeof *c.seen, compare_seen);
	if (is_cancelled(cancel)) {
		rc = RC_STOPPING;
		goto out;
	}
	sorted = malloc((c.n + 1u) * sizeof *sorted);
	rc = sorted == NULL ? RC_NOMEM : copy_values(dictionary, pool, &c, pool->n_lines[range->filter] * KERNEL_LINE);
	if (rc != RC_OK)
		goto out;
	for (uint32_t i = 0; i < c.n; i++)
		sorted[c.seen[i].number] = i;
	for (uint32_t i = 0; i < range->end - range->first; i++)
		ret_ids[i] = sorted[ret_ids[i]];
	if (range->with_slice)
		rc = is_cancelled(cancel) ? RC_STOPPING : add_slice(dictionary, pool, range->filter);
out:
	if (rc != RC_OK)
		dictionary_deinit(dictionary);
	free(sorted);
	free(c.seen);
	free(c.table);
	return rc;
}

void dictionary_deinit(struct dictionary *dictionary)
{
	slice_deinit(&dictionary->slice);
	locked_unmap(dictionary->filters, dictionary->filters_bytes);
	free(dictionary->popcounts);
	memset(dictionary, 0, sizeof *dictionary);
}
