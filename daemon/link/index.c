#include "daemon/link/index.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"

enum { MANY_VALUES = 2048 };

struct building {
	struct index *index;
	bool searchable;
	const atomic_bool *cancel;
	uint32_t *ids[STUDY_MAX_FILTERS]; /* dictionary value of each row */
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

static void build_dictionary(void *ctx, size_t f)
{
	struct building *b = ctx;
	struct index *index = b->index;

	if (has_failed(b))
		return;
	b->ids[f] = malloc((index_n_rows(index) + 1u) * sizeof *b->ids[f]);
	if (b->ids[f] == NULL)
		fail(b, RC_NOMEM);
	else
		fail(b, dictionary_init(&index->dictionaries[f], index->pool, (unsigned)f, index->first, index->end,
					b->searchable, b->ids[f]));
}

/* ---- tuples ---- */

struct tuple_row {
	uint32_t part[STUDY_MAX_COMPARED];
	uint32_t row;
};

static int compare_tuple_rows(const void *x, const void *y)
{
	const struct tuple_row *p = x, *q = y;

	for (unsigned i = 0; i < STUDY_MAX_COMPARED; i++) {
		if (p->part[i] != q->part[i])
			return p->part[i] < q->part[i] ? -1 : 1;
	}
	return 0;
}

static enum rc build_tuples(struct building *b, unsigned c)
{
	struct index *index = b->index;
	const struct study_comparison *comparison = &index->pool->domain->comparisons[c];
	struct index_values *values = &index->values[c];
	uint32_t n_rows = index_n_rows(index), *tuples;
	struct tuple_row *rows = calloc(n_rows + 1u, sizeof *rows);
	size_t n = 0;

	if (rows == NULL)
		return RC_NOMEM;
	for (uint32_t row = 0; row < n_rows; row++) {
		rows[row].row = row;
		for (unsigned i = 0; i < comparison->n_filters; i++)
			rows[row].part[i] = b->ids[comparison->filters[i]][row];
	}
	qsort(rows, n_rows, sizeof *rows, compare_tuple_rows);
	for (uint32_t i = 0; i < n_rows; i++)
		n += i == 0 || compare_tuple_rows(&rows[i - 1], &rows[i]) != 0;
	tuples = malloc((n + 1) * comparison->n_filters * sizeof *tuples);
	if (tuples == NULL) {
		free(rows);
		return RC_NOMEM;
	}
	values->tuples = tuples;
	for (uint32_t i = 0; i < n_rows; i++) {
		if (i == 0 || compare_tuple_rows(&rows[i - 1], &rows[i]) != 0) {
			memcpy(tuples + (size_t)values->n * comparison->n_filters, rows[i].part,
			       comparison->n_filters * sizeof *tuples);
			values->n++;
		}
		index->value_of_row[(size_t)rows[i].row * index->n_comparisons + c] = values->n - 1;
	}
	free(rows);
	return RC_OK;
}

static void build_values(void *ctx, size_t c)
{
	struct building *b = ctx;
	struct index *index = b->index;
	const struct study_comparison *comparison = &index->pool->domain->comparisons[c];

	if (has_failed(b))
		return;
	if (comparison->n_filters > 1) {
		fail(b, build_tuples(b, (unsigned)c));
		return;
	}
	index->values[c].n = index->dictionaries[comparison->filters[0]].n;
	for (uint32_t row = 0; row < index_n_rows(index); row++)
		index->value_of_row[(size_t)row * index->n_comparisons + c] = b->ids[comparison->filters[0]][row];
}

/* ---- entries ---- */

static void build_entries(void *ctx, size_t c)
{
	struct building *b = ctx;
	struct index *index = b->index;
	struct index_values *values = &index->values[c];
	uint32_t n_rows = index_n_rows(index);
	unsigned width = index->n_comparisons;

	if (has_failed(b))
		return;
	values->start = calloc(values->n + 2u, sizeof *values->start);
	values->entries = malloc(((size_t)n_rows + 1) * width * sizeof *values->entries);
	if (values->start == NULL || values->entries == NULL) {
		fail(b, RC_NOMEM);
		return;
	}
	/* start[v + 2] counts; after the sum start[v + 1] is where v begins, and moves to where it ends. */
	for (uint32_t row = 0; row < n_rows; row++)
		values->start[index->value_of_row[(size_t)row * width + c] + 2] +=
			pool_is_lead(index->pool, index->first + row);
	for (uint32_t v = 2; v <= values->n + 1; v++)
		values->start[v] += values->start[v - 1];
	for (uint32_t row = 0; row < n_rows; row++) {
		const uint32_t *own = index->value_of_row + (size_t)row * width;
		uint32_t *entry;

		if (!pool_is_lead(index->pool, index->first + row))
			continue;
		entry = values->entries + (size_t)values->start[own[c] + 1]++ * width;
		*entry++ = row;
		for (unsigned k = 0; k < width; k++) {
			if (index->order[k] != c)
				*entry++ = own[index->order[k]];
		}
	}
}

/* Does comparison x rule pairs out sooner than y? Many values say more than few; of those that have many, the smaller
 * table is the faster one. */
static bool goes_before(const struct index *index, unsigned x, unsigned y)
{
	uint32_t n = index->values[x].n, m = index->values[y].n;

	if (n >= MANY_VALUES && m >= MANY_VALUES)
		return n < m;
	return n > m;
}

static void order_comparisons(struct index *index)
{
	for (unsigned c = 0; c < index->n_comparisons; c++) {
		unsigned at = c;

		for (; at > 0 && goes_before(index, c, index->order[at - 1]); at--)
			index->order[at] = index->order[at - 1];
		index->order[at] = (uint8_t)c;
	}
}

enum rc index_new(struct link_pool *pool, uint32_t first, uint32_t end, bool searchable, const atomic_bool *cancel,
		  struct index **ret)
{
	struct index *index = calloc(1, sizeof *index);
	struct building b = {.index = index, .searchable = searchable, .cancel = cancel, .rc = RC_OK};
	unsigned n_threads = pool->options.n_threads;

	if (index == NULL)
		return RC_NOMEM;
	index->pool = pool;
	index->first = first;
	index->end = end;
	index->n_comparisons = pool->domain->n_comparisons;
	index->value_of_row = malloc(((size_t)(end - first) + 1) * index->n_comparisons * sizeof *index->value_of_row);
	if (index->value_of_row == NULL)
		fail(&b, RC_NOMEM);
	parallel_for(n_threads, pool->domain->n_filters, build_dictionary, &b);
	parallel_for(n_threads, index->n_comparisons, build_values, &b);
	order_comparisons(index);
	if (searchable)
		parallel_for(n_threads, index->n_comparisons, build_entries, &b);
	for (unsigned f = 0; f < STUDY_MAX_FILTERS; f++)
		free(b.ids[f]);
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
	for (unsigned f = 0; f < STUDY_MAX_FILTERS; f++)
		dictionary_deinit(&index->dictionaries[f]);
	for (unsigned c = 0; c < STUDY_MAX_COMPARISONS; c++) {
		free(index->values[c].tuples);
		free(index->values[c].start);
		free(index->values[c].entries);
	}
	free(index->value_of_row);
	free(index);
}
