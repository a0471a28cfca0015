#include "daemon/link/index.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"

enum { MANY_VALUES = 2048 };

struct building {
	struct index *index;
	bool searchable;
	const atomic_bool *cancel;
	uint32_t *ids[STUDY_MAX_FILTERS]; /* value of each row, by axis */
	_Atomic int rc;
};

static void fail(struct building *b, enum rc rc)
{
	if (rc != RC_OK)
		atomic_store(&b->rc, (int)rc);
}

static bool has_failed(struct building *b)
{
	if (b->cancel != NULL && atomic_load(b->cancel))
		fail(b, RC_STOPPING);
	return atomic_load(&b->rc) != RC_OK;
}

static void build_dictionary(void *ctx, size_t axis)
{
	struct building *b = ctx;
	struct index *index = b->index;
	struct dictionary_range range = {index->pool->axes[axis].filter, index->first, index->end, b->searchable};

	if (has_failed(b))
		return;
	b->ids[axis] = malloc((index_n_rows(index) + 1u) * sizeof *b->ids[axis]);
	if (b->ids[axis] == NULL)
		fail(b, RC_NOMEM);
	else
		fail(b, dictionary_init(&index->dictionaries[axis], index->pool, &range, b->cancel, b->ids[axis]));
}

static void note_values(void *ctx, size_t axis)
{
	struct building *b = ctx;
	struct index *index = b->index;

	if (has_failed(b))
		return;
	for (uint32_t row = 0; row < index_n_rows(index); row++)
		index->value_of_row[(size_t)row * index->n_axes + axis] = b->ids[axis][row];
}

/* ---- postings ---- */

static void build_postings(void *ctx, size_t axis)
{
	struct building *b = ctx;
	struct index *index = b->index;
	struct index_postings *postings = &index->postings[axis];
	uint32_t n_values = index->dictionaries[axis].n, n_rows = index_n_rows(index), n_leads = 0;
	unsigned width = index->n_axes;

	if (has_failed(b))
		return;
	postings->start = calloc(n_values + 2u, sizeof *postings->start);
	if (postings->start == NULL) {
		fail(b, RC_NOMEM);
		return;
	}
	/* start[v + 2] counts; after the sum start[v + 1] is where v begins, and moves to where it ends. */
	for (uint32_t row = 0; row < n_rows; row++) {
		bool is_lead = pool_is_lead(index->pool, index->first + row);

		postings->start[index->value_of_row[(size_t)row * width + axis] + 2] += is_lead;
		n_leads += is_lead;
	}
	for (uint32_t v = 2; v <= n_values + 1; v++)
		postings->start[v] += postings->start[v - 1];
	postings->entries = malloc(((size_t)n_leads + 1) * width * sizeof *postings->entries);
	if (postings->entries == NULL) {
		fail(b, RC_NOMEM);
		return;
	}
	for (uint32_t row = 0; row < n_rows; row++) {
		const uint32_t *own = index->value_of_row + (size_t)row * width;
		uint32_t *entry;

		if (!pool_is_lead(index->pool, index->first + row))
			continue;
		entry = postings->entries + (size_t)postings->start[own[axis] + 1]++ * width;
		*entry++ = row;
		for (unsigned k = 0; k < width; k++) {
			if (index->order[k] != axis)
				*entry++ = own[index->order[k]];
		}
	}
}

/* The most telling filter of a comparison. */
static uint32_t most_values(const struct index *index, unsigned c)
{
	uint32_t most = 0;

	for (unsigned axis = 0; axis < index->n_axes; axis++) {
		if (index->pool->axes[axis].comparison == c && index->dictionaries[axis].n > most)
			most = index->dictionaries[axis].n;
	}
	return most;
}

/* Does axis x rule pairs out sooner than y? Many values say more than few; of those that have many, the smaller
 * table is the faster one. */
static bool goes_before(const struct index *index, unsigned x, unsigned y)
{
	unsigned c = index->pool->axes[x].comparison, d = index->pool->axes[y].comparison;
	uint32_t n = most_values(index, c), m = most_values(index, d);

	if (c == d)
		return x < y;
	if (n == m)
		return c < d;
	if (n >= MANY_VALUES && m >= MANY_VALUES)
		return n < m;
	return n > m;
}

static void order_axes(struct index *index)
{
	for (unsigned axis = 0; axis < index->n_axes; axis++) {
		unsigned at = axis;

		for (; at > 0 && goes_before(index, axis, index->order[at - 1]); at--)
			index->order[at] = index->order[at - 1];
		index->order[at] = (uint8_t)axis;
	}
}

enum rc index_new(struct link_pool *pool, const struct index_range *range, const atomic_bool *cancel,
		  struct index **ret)
{
	struct index *index = calloc(1, sizeof *index);
	struct building b = {.index = index, .searchable = range->is_searchable, .cancel = cancel, .rc = RC_OK};
	unsigned n_threads = range->n_threads;

	if (index == NULL)
		return RC_NOMEM;
	index->pool = pool;
	index->first = range->first;
	index->end = range->end;
	index->n_axes = pool->n_axes;
	index->value_of_row = malloc(((size_t)index_n_rows(index) + 1) * index->n_axes * sizeof *index->value_of_row);
	if (index->value_of_row == NULL)
		fail(&b, RC_NOMEM);
	parallel_for(n_threads, index->n_axes, build_dictionary, &b);
	parallel_for(n_threads, index->n_axes, note_values, &b);
	for (unsigned axis = 0; axis < STUDY_MAX_FILTERS; axis++)
		free(b.ids[axis]);
	order_axes(index);
	if (range->is_searchable) {
		parallel_for(n_threads, index->n_axes, build_postings, &b);
		free(index->value_of_row);
		index->value_of_row = NULL;
	}
	if (has_failed(&b)) {
		index_free(index);
		return (enum rc)atomic_load(&b.rc);
	}
	*ret = index;
	return RC_OK;
}

void index_free(struct index *index)
{
	if (index == NULL)
		return;
	for (unsigned axis = 0; axis < STUDY_MAX_FILTERS; axis++) {
		dictionary_deinit(&index->dictionaries[axis]);
		free(index->postings[axis].start);
		free(index->postings[axis].entries);
	}
	free(index->value_of_row);
	free(index);
}
