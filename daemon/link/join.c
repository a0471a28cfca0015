/* All rows that ask: tile by tile, with the lists and tables that neighbours share. */
#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"
#include "daemon/link/join_worker.h"
#include "daemon/link/order.h"

enum { TILE_ROWS = 131072 };

/* ---- pairs ---- */

enum rc pair_list_add(struct pair_list *list, const struct link_pair *pair)
{
	if (list->n == list->cap) {
		size_t cap = list->cap * 2 + 64, more = cap - list->cap;
		struct link_pair *grown;

		if (list->budget != NULL && list->budget->max != 0 &&
		    atomic_fetch_add(&list->budget->taken, more) + more > list->budget->max)
			return RC_TOO_LARGE;
		grown = realloc(list->pairs, cap * sizeof *grown);
		if (grown == NULL)
			return RC_NOMEM;
		list->pairs = grown;
		list->cap = cap;
	}
	list->pairs[list->n++] = *pair;
	return RC_OK;
}

/* ---- tables ---- */

static void worker_free(struct join_worker *w)
{
	if (w == NULL)
		return;
	for (unsigned a = 0; a < STUDY_MAX_FILTERS; a++)
		free(w->table[a]);
	free(w);
}

static struct join_worker *worker_new(const struct join_job *job)
{
	struct join_worker *w = calloc(1, sizeof *w);

	if (w == NULL)
		return NULL;
	w->job = job;
	for (unsigned a = 0; a < job->plan->n_axes; a++) {
		uint32_t n = job->indexed->dictionaries[a].n;

		w->asked[a] = UINT32_MAX;
		w->table[a] = malloc(n + 1u);
		if (w->table[a] == NULL) {
			worker_free(w);
			return NULL;
		}
		memset(w->table[a], job->plan->axes[a].n_digits, n);
	}
	return w;
}

static void set_table(struct join_worker *w, unsigned a, uint32_t value)
{
	struct join_side *side = &w->side[a];
	const struct join_axis *axis = &w->job->plan->axes[a];
	uint8_t *table = w->table[a];

	if (w->asked[a] == value)
		return;
	for (uint32_t g = 0; g < side->list.n_groups; g++) {
		for (uint32_t i = 0; i < side->list.groups[g].n; i++)
			table[side->list.values[side->list.groups[g].first + i]] = axis->n_digits;
	}
	w->asked[a] = value;
	side->list = similar_list_of(w->job->lists, a, value);
	side->is_missing = w->job->asking->dictionaries[a].popcounts[value] == 0;
	side->least = (uint8_t)join_depth_after(axis, side, 0);
	side->depth = 0;
	side->n_rows = 0;
	for (uint32_t g = 0; g < side->list.n_groups; g++) {
		for (uint32_t i = 0; i < side->list.groups[g].n; i++)
			table[side->list.values[side->list.groups[g].first + i]] = side->list.groups[g].digit;
	}
}

static enum rc ask_row(struct join_worker *w, uint32_t row, struct pair_list *hits)
{
	const struct index *asking = w->job->asking, *indexed = w->job->indexed;

	w->row = asking->first + row;
	w->limit = w->row < indexed->end ? w->row - indexed->first : UINT32_MAX;
	w->values = asking->value_of_row + (size_t)row * asking->n_axes;
	w->hits = hits;
	for (unsigned a = 0; a < asking->n_axes; a++)
		set_table(w, a, w->values[a]);
	return join_ask(w);
}

static void run_chunk(void *ctx, size_t index)
{
	struct join_job *job = ctx;
	uint32_t first = (uint32_t)index * JOIN_CHUNK;
	struct join_worker *w;
	enum rc rc = RC_OK;

	if (atomic_load(&job->rc) != RC_OK)
		return;
	w = worker_new(job);
	if (w == NULL)
		rc = RC_NOMEM;
	for (uint32_t i = first; i < job->n_rows && i < first + JOIN_CHUNK && rc == RC_OK; i++) {
		rc = ask_row(w, job->rows[i], &job->chunks[index]);
		if (job->cancel != NULL && atomic_load(job->cancel))
			rc = RC_STOPPING;
	}
	worker_free(w);
	if (rc != RC_OK)
		atomic_store(&job->rc, (int)rc);
}

/* ---- all rows ---- */

/* Which rows ask: leads that come after some row of the index. Those that have the same values on the two axes with
 * most values lie side by side, so that lists and tables serve several. */
static enum rc list_rows(const struct index *asking, const struct index *indexed, struct order *rows)
{
	uint32_t n_rows = index_n_rows(asking), *keys = malloc((n_rows + 1u) * sizeof *keys);
	unsigned axes[2] = {0, 0};
	enum rc rc = order_init(rows, n_rows);

	if (keys == NULL)
		rc = RC_NOMEM;
	for (unsigned a = 1; a < asking->n_axes; a++) {
		if (asking->dictionaries[a].n > asking->dictionaries[axes[0]].n) {
			axes[1] = axes[0];
			axes[0] = a;
		} else if (axes[1] == axes[0] || asking->dictionaries[a].n > asking->dictionaries[axes[1]].n) {
			axes[1] = a;
		}
	}
	for (unsigned k = 2; rc == RC_OK && k-- > 0;) {
		for (size_t row = 0; row < n_rows; row++)
			keys[row] = asking->value_of_row[row * asking->n_axes + axes[k]];
		order_by(rows, keys);
	}
	if (rc == RC_OK) {
		size_t n = 0;

		for (size_t i = 0; i < rows->n; i++) {
			uint32_t row = asking->first + rows->at[i];

			if (row > indexed->first && pool_is_lead(asking->pool, row))
				rows->at[n++] = rows->at[i];
		}
		rows->n = n;
	}
	free(keys);
	return rc;
}

static enum rc run_tiles(struct join_job *job, const struct order *rows)
{
	enum rc rc = RC_OK;
	struct pair_list *chunks = job->chunks;

	for (size_t first = 0; first < rows->n && rc == RC_OK; first += TILE_ROWS) {
		struct similar_lists *lists;

		job->rows = rows->at + first;
		job->n_rows = (uint32_t)(rows->n - first < TILE_ROWS ? rows->n - first : TILE_ROWS);
		job->chunks = chunks + first / JOIN_CHUNK;
		rc = similar_lists_new(job->plan, job->asking, job->indexed, job->rows, job->n_rows, job->cancel,
				       &lists);
		if (rc != RC_OK)
			break;
		job->lists = lists;
		parallel_for(job->indexed->pool->options.n_threads, (job->n_rows + JOIN_CHUNK - 1) / JOIN_CHUNK,
			     run_chunk, job);
		similar_lists_free(lists);
		rc = (enum rc)atomic_load(&job->rc);
	}
	return rc;
}

enum rc join_run(const struct index *asking, const struct index *indexed, const atomic_bool *cancel,
		 struct pair_list *chunks)
{
	struct join_plan *plan = malloc(sizeof *plan);
	struct join_job job = {.plan = plan, .asking = asking, .indexed = indexed, .cancel = cancel, .chunks = chunks};
	struct order rows = {0};
	enum rc rc;

	if (plan == NULL)
		return RC_NOMEM;
	rc = join_plan_make(asking, indexed, plan);
	if (rc == RC_OK)
		rc = list_rows(asking, indexed, &rows);
	for (unsigned a = 0; a < indexed->n_axes; a++) {
		for (unsigned j = 0; j + 1 < indexed->n_axes; j++)
			job.column[a][index_other(indexed, a, j)] = (uint8_t)(j + 1);
	}
	if (rc == RC_OK)
		rc = run_tiles(&job, &rows);
	order_deinit(&rows);
	free(plan);
	return rc;
}
