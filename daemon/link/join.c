#include "daemon/link/join.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"

enum { TILE_ROWS = 65536, NO_CAP = 255, FETCH_AHEAD = 12 };

struct job {
	const struct join_plan *plan;
	const struct index *asking, *indexed;
	const struct similar_lists *lists;
	const atomic_bool *cancel;
	struct pair_list *chunks;
	uint8_t other[STUDY_MAX_COMPARISONS][STUDY_MAX_COMPARISONS]; /* comparison of each further value of an entry */
	uint32_t first_row, end_row;                                 /* of the tile */
	_Atomic int rc;
};

/* One comparison of the row that asks. */
struct side {
	struct similar_list list;
	const uint8_t *table; /* bound of every value of the index */
	uint32_t n_taken;     /* groups above the threshold */
	uint64_t n_rows;      /* in them */
	uint8_t below;        /* the most a value below the threshold can bring */
	uint8_t most;
};

struct query {
	const struct job *job;
	uint32_t row;   /* of the pool */
	uint32_t limit; /* rows of the index from here on do not come before it */
	struct side side[STUDY_MAX_COMPARISONS];
	struct pair_list *hits;
};

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

/* A pair whose bounds reach the floor: do its weights? */
static enum rc check_pair(struct query *query, uint32_t row)
{
	const struct index *indexed = query->job->indexed;
	const struct study_domain *domain = query->job->plan->domain;
	struct link_pair pair = {.a = indexed->first + row, .b = query->row};
	int32_t weight = 0;

	if (!pool_is_lead(indexed->pool, pair.a))
		return RC_OK;
	pair.pattern = link_pattern_of(indexed->pool, pair.a, pair.b);
	for (unsigned c = 0; c < domain->n_comparisons; c++)
		weight += domain->comparisons[c].reference_weight[pair.pattern.level[c]];
	return weight >= domain->floor ? pair_list_add(query->hits, &pair) : RC_OK;
}

/* ---- thresholds of one query ---- */

static uint8_t bound_after(const struct side *side, uint32_t n_taken)
{
	return n_taken < side->list.n_groups ? side->list.groups[n_taken].bound : side->list.unlisted;
}

/* Take groups, the cheapest gain first, until what lies below all thresholds is below the floor. False when the lists
 * do not go that far. */
static bool choose_thresholds(struct query *query)
{
	unsigned n = query->job->indexed->n_comparisons;
	int32_t floor = query->job->plan->floor, sum = 0;

	for (unsigned c = 0; c < n; c++)
		sum += query->side[c].below;
	while (sum >= floor) {
		double best_worth = 0;
		unsigned best = n;
		uint32_t best_taken = 0;
		struct side *side;

		for (unsigned c = 0; c < n; c++) {
			uint64_t n_rows = 1;

			side = &query->side[c];
			for (uint32_t taken = side->n_taken; taken < side->list.n_groups; taken++) {
				int32_t gain = side->below - bound_after(side, taken + 1), needed = sum - floor + 1;
				double worth;

				n_rows += side->list.groups[taken].n_rows;
				worth = (double)(gain < needed ? gain : needed) / (double)n_rows;
				if (worth > best_worth) {
					best_worth = worth;
					best = c;
					best_taken = taken + 1;
				}
			}
		}
		if (best == n)
			return false;
		side = &query->side[best];
		for (; side->n_taken < best_taken; side->n_taken++)
			side->n_rows += side->list.groups[side->n_taken].n_rows;
		sum -= side->below;
		side->below = bound_after(side, best_taken);
		sum += side->below;
	}
	return true;
}

/* Comparisons by what they bring, least first: the longest lists then meet the tightest caps. */
static void order_by_cost(const struct query *query, uint8_t *order)
{
	unsigned n = query->job->indexed->n_comparisons;

	for (unsigned c = 0; c < n; c++) {
		unsigned at = c;

		for (; at > 0 && query->side[order[at - 1]].n_rows > query->side[c].n_rows; at--)
			order[at] = order[at - 1];
		order[at] = (uint8_t)c;
	}
}

/* ---- candidates ---- */

struct check {
	const uint8_t *table;
	int32_t needed; /* of the sum with this comparison, for the rest to be able to reach the floor */
	uint8_t cap;    /* above it an earlier comparison has brought the pair already */
};

static enum rc read_entries(struct query *query, const uint32_t *entry, const uint32_t *end, int32_t bound,
			    const struct check *checks, unsigned n_checks)
{
	for (; entry < end; entry += n_checks + 1) {
		int32_t sum = bound;
		unsigned j;
		enum rc rc;

		if (entry[0] >= query->limit)
			break; /* ascending */
		for (j = 0; j < n_checks; j++) {
			uint8_t b = checks[j].table[entry[j + 1]];

			sum += b;
			if (sum < checks[j].needed || b > checks[j].cap)
				break;
		}
		if (j < n_checks)
			continue;
		rc = check_pair(query, entry[0]);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

/* Most lists are short and far apart, so they are fetched ahead: where they start, then what is there. */
static enum rc read_group(struct query *query, unsigned c, const uint32_t *list, const struct similar_group *group,
			  const struct check *checks)
{
	const struct index_values *values = &query->job->indexed->values[c];
	unsigned n_checks = query->job->indexed->n_comparisons - 1;
	size_t width = n_checks + 1;
	enum rc rc = RC_OK;

	for (uint32_t i = 0; i < group->n && rc == RC_OK; i++) {
		if (i + 2 * FETCH_AHEAD < group->n)
			__builtin_prefetch(&values->start[list[i + 2 * FETCH_AHEAD]]);
		if (i + FETCH_AHEAD < group->n)
			__builtin_prefetch(values->entries + values->start[list[i + FETCH_AHEAD]] * width);
		rc = read_entries(query, values->entries + values->start[list[i]] * width,
				  values->entries + values->start[list[i] + 1] * width, group->bound, checks, n_checks);
	}
	return rc;
}

static enum rc read_lists(struct query *query, unsigned c, const bool *is_earlier)
{
	const struct job *job = query->job;
	unsigned n_checks = job->indexed->n_comparisons - 1;
	const struct side *side = &query->side[c];
	struct check checks[STUDY_MAX_COMPARISONS];
	int32_t rest = 0;
	enum rc rc = RC_OK;

	for (unsigned j = n_checks; j-- > 0;) {
		unsigned other = job->other[c][j];
		const struct side *s = &query->side[other];

		checks[j] = (struct check){s->table, job->plan->floor - rest, is_earlier[other] ? s->below : NO_CAP};
		rest += is_earlier[other] ? s->below : s->most;
	}
	for (uint32_t g = 0; g < side->n_taken && rc == RC_OK; g++) {
		const struct similar_group *group = &side->list.groups[g];

		if (group->bound + rest < job->plan->floor)
			break;
		rc = read_group(query, c, side->list.values + group->first, group, checks);
	}
	return rc;
}

/* The floor is so low, or values so alike, that no threshold leaves anything out. */
static enum rc read_all(struct query *query)
{
	const struct index *indexed = query->job->indexed;
	const uint32_t *value = indexed->value_of_row;
	enum rc rc = RC_OK;

	for (uint32_t row = 0; row < index_n_rows(indexed) && row < query->limit && rc == RC_OK; row++) {
		int32_t sum = 0;

		for (unsigned c = 0; c < indexed->n_comparisons; c++)
			sum += query->side[c].table[*value++];
		if (sum >= query->job->plan->floor)
			rc = check_pair(query, row);
	}
	return rc;
}

static enum rc ask(struct query *query)
{
	uint8_t order[STUDY_MAX_COMPARISONS];
	bool is_earlier[STUDY_MAX_COMPARISONS] = {false};
	enum rc rc = RC_OK;

	if (!choose_thresholds(query))
		return read_all(query);
	order_by_cost(query, order);
	for (unsigned k = 0; k < query->job->indexed->n_comparisons && rc == RC_OK; k++) {
		rc = read_lists(query, order[k], is_earlier);
		is_earlier[order[k]] = true;
	}
	return rc;
}

/* ---- tables ---- */

struct tables {
	uint8_t *usual[STUDY_MAX_COMPARISONS];   /* all at the plan's bound of what is not listed, between queries */
	uint8_t *missing[STUDY_MAX_COMPARISONS]; /* for a query that has no list: all at one other bound */
};

static void tables_deinit(struct tables *tables)
{
	for (unsigned c = 0; c < STUDY_MAX_COMPARISONS; c++) {
		free(tables->usual[c]);
		free(tables->missing[c]);
	}
}

static enum rc tables_init(struct tables *tables, const struct job *job)
{
	memset(tables, 0, sizeof *tables);
	for (unsigned c = 0; c < job->indexed->n_comparisons; c++) {
		uint32_t n = job->indexed->values[c].n;

		tables->usual[c] = malloc(n + 1u);
		tables->missing[c] = malloc(n + 1u);
		if (tables->usual[c] == NULL || tables->missing[c] == NULL)
			return RC_NOMEM;
		memset(tables->usual[c], job->plan->unlisted[c], n);
		memset(tables->missing[c], job->plan->bound[c][0], n);
	}
	return RC_OK;
}

static void set_values(uint8_t *table, const struct similar_list *list, int bound)
{
	for (uint32_t g = 0; g < list->n_groups; g++) {
		const struct similar_group *group = &list->groups[g];
		uint8_t b = bound < 0 ? group->bound : (uint8_t)bound;

		for (uint32_t i = 0; i < group->n; i++)
			table[list->values[group->first + i]] = b;
	}
}

static enum rc ask_row(const struct job *job, uint32_t row, struct tables *tables, struct pair_list *hits)
{
	const struct index *asking = job->asking, *indexed = job->indexed;
	struct query query = {.job = job, .row = asking->first + row, .limit = UINT32_MAX, .hits = hits};
	enum rc rc;

	if (query.row <= indexed->first || !pool_is_lead(asking->pool, query.row))
		return RC_OK;
	if (query.row < indexed->end)
		query.limit = query.row - indexed->first;
	for (unsigned c = 0; c < indexed->n_comparisons; c++) {
		struct side *side = &query.side[c];

		side->list =
			similar_list_of(job->lists, c, asking->value_of_row[(size_t)row * asking->n_comparisons + c]);
		side->table = side->list.unlisted == job->plan->unlisted[c] ? tables->usual[c] : tables->missing[c];
		side->most = side->below = bound_after(side, 0);
		set_values(tables->usual[c], &side->list, -1);
	}
	rc = ask(&query);
	for (unsigned c = 0; c < indexed->n_comparisons; c++)
		set_values(tables->usual[c], &query.side[c].list, job->plan->unlisted[c]);
	return rc;
}

static void run_chunk(void *ctx, size_t index)
{
	struct job *job = ctx;
	uint32_t first = job->first_row + (uint32_t)index * JOIN_CHUNK;
	struct tables tables;
	enum rc rc;

	if (atomic_load(&job->rc) != RC_OK)
		return;
	rc = tables_init(&tables, job);
	for (uint32_t row = first; row < job->end_row && row < first + JOIN_CHUNK && rc == RC_OK; row++) {
		rc = ask_row(job, row, &tables, &job->chunks[row / JOIN_CHUNK]);
		if (job->cancel != NULL && atomic_load(job->cancel))
			rc = RC_STOPPING;
	}
	tables_deinit(&tables);
	if (rc != RC_OK)
		atomic_store(&job->rc, (int)rc);
}

enum rc join_run(const struct index *asking, const struct index *indexed, const atomic_bool *cancel,
		 struct pair_list *chunks)
{
	struct join_plan *plan = malloc(sizeof *plan);
	struct job job = {.plan = plan, .asking = asking, .indexed = indexed, .cancel = cancel, .chunks = chunks};
	uint32_t n_rows = index_n_rows(asking);
	enum rc rc = RC_OK;

	if (plan == NULL)
		return RC_NOMEM;
	join_plan_make(asking, indexed, plan);
	for (unsigned c = 0; c < indexed->n_comparisons; c++) {
		for (unsigned j = 0; j + 1 < indexed->n_comparisons; j++)
			job.other[c][j] = (uint8_t)index_other(indexed, c, j);
	}
	for (uint32_t first = 0; first < n_rows && rc == RC_OK; first += TILE_ROWS) {
		struct similar_lists *lists;

		job.first_row = first;
		job.end_row = n_rows - first < TILE_ROWS ? n_rows : first + TILE_ROWS;
		rc = similar_lists_new(plan, asking, indexed, first, job.end_row, cancel, &lists);
		if (rc != RC_OK)
			break;
		job.lists = lists;
		parallel_for(indexed->pool->options.n_threads, (job.end_row - first + JOIN_CHUNK - 1) / JOIN_CHUNK,
			     run_chunk, &job);
		similar_lists_free(lists);
		rc = (enum rc)atomic_load(&job.rc);
	}
	free(plan);
	return rc;
}
