/* Similar values. The values that ask are cut into items of SLICE_TILE; each item is searched at once in the bit-sliced
 * dictionary and keeps its own lists. */
#include "daemon/link/join.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"

struct item {
	unsigned axis;
	uint32_t first, n; /* of asked[axis] */
	struct similar_group *groups;
	size_t n_groups, cap_groups;
	uint32_t *values;
	size_t n_values, cap_values;
};

struct list_place {
	uint32_t item, n_groups;
	size_t first_group, first_value;
};

struct similar_lists {
	const struct join_plan *plan;
	const struct index *asking, *indexed;
	const atomic_bool *cancel;
	struct slice_plan *searches[STUDY_MAX_FILTERS]; /* by axis; NULL = nothing is listed */
	uint32_t *asked[STUDY_MAX_FILTERS];             /* values that ask, ascending */
	uint32_t n_asked[STUDY_MAX_FILTERS];
	struct list_place *places[STUDY_MAX_FILTERS];
	uint32_t *place_of[STUDY_MAX_FILTERS]; /* of each value that asks, in places[axis] */
	struct item *items;
	size_t n_items;
	_Atomic int rc;
};

/* What a thread needs for one item. */
struct scratch {
	struct slice_hits hits;
	uint32_t start[SLICE_TILE + 2]; /* hits by query */
	struct slice_hit *sorted;
	uint8_t *digits; /* of a query's sorted hits */
	size_t cap;
};

/* ---- one item ---- */

static enum rc reserve(void *pointer, size_t *cap, size_t wanted, size_t size)
{
	void **memory = pointer, *grown;

	if (wanted <= *cap)
		return RC_OK;
	grown = realloc(*memory, wanted * 2 * size);
	if (grown == NULL)
		return RC_NOMEM;
	*memory = grown;
	*cap = wanted * 2;
	return RC_OK;
}

/* Bring the hits into the order of queries. */
static enum rc sort_hits(struct scratch *scratch)
{
	struct slice_hits *hits = &scratch->hits;
	uint32_t *start = scratch->start;

	if (hits->n + 1 > scratch->cap) {
		free(scratch->sorted);
		free(scratch->digits);
		scratch->cap = 2 * hits->n + 1;
		scratch->sorted = malloc(scratch->cap * sizeof *scratch->sorted);
		scratch->digits = malloc(scratch->cap);
		if (scratch->sorted == NULL || scratch->digits == NULL)
			return RC_NOMEM;
	}
	memset(start, 0, sizeof scratch->start);
	for (size_t h = 0; h < hits->n; h++)
		start[hits->hits[h].query + 2]++;
	for (unsigned q = 2; q < SLICE_TILE + 2; q++)
		start[q] += start[q - 1];
	for (size_t h = 0; h < hits->n; h++)
		scratch->sorted[start[hits->hits[h].query + 1]++] = hits->hits[h];
	return RC_OK;
}

static enum rc search_item(struct similar_lists *lists, const struct item *item, struct scratch *scratch)
{
	const struct dictionary *dictionary = &lists->asking->dictionaries[item->axis];
	unsigned f = lists->plan->pool_axes[item->axis].filter;
	struct slice_query queries[SLICE_TILE];
	enum rc rc = RC_OK;

	for (uint32_t q = 0; q < item->n; q++) {
		uint32_t v = lists->asked[item->axis][item->first + q];

		queries[q] =
			(struct slice_query){dictionary->filters + v * lists->asking->pool->n_lines[f] * KERNEL_LINE,
					     dictionary->popcounts[v]};
	}
	scratch->hits.n = 0;
	if (lists->searches[item->axis] != NULL)
		rc = slice_search(lists->searches[item->axis], queries, item->n, lists->cancel, &scratch->hits);
	return rc == RC_OK ? sort_hits(scratch) : rc;
}

/* Digits of the hits of one query, and how many there are of each rank. */
static void find_digits(const struct similar_lists *lists, const struct item *item, uint32_t asked, uint32_t first,
			uint32_t end, struct scratch *scratch, uint32_t *n_of_rank)
{
	const struct pool_axis *pool_axis = &lists->plan->pool_axes[item->axis];
	const struct join_axis *axis = &lists->plan->axes[item->axis];
	const struct study_comparison *comparison = &lists->plan->domain->comparisons[pool_axis->comparison];
	const struct level_inverse *inverse = &lists->indexed->pool->inverse[pool_axis->filter];
	const uint16_t *popcounts = lists->indexed->dictionaries[item->axis].popcounts;
	const uint16_t *cuts = comparison->cuts[pool_axis->place] + (axis->digit - 2);
	unsigned n_cuts = comparison->n_cuts[pool_axis->place] - (axis->digit - 2u);
	unsigned a = lists->asking->dictionaries[item->axis].popcounts[asked];

	/* A hit reaches the digit that was searched for: the cuts below it need no look. */
	for (uint32_t h = first; h < end; h++) {
		const struct slice_hit *hit = &scratch->sorted[h];
		unsigned digit =
			level_digit(inverse, cuts, n_cuts, a, popcounts[hit->value], hit->both) + (axis->digit - 2u);

		scratch->digits[h] = (uint8_t)digit;
		n_of_rank[axis->rank[digit]]++;
	}
}

/* Append the groups of one value and reserve their places; at[rank] becomes where its first value goes. */
static void add_groups(const struct join_axis *axis, struct item *item, struct list_place *place, uint32_t *at)
{
	uint32_t n = 0;

	for (unsigned rank = 0; rank < axis->n_digits; rank++) {
		uint32_t count = at[rank];

		at[rank] = n;
		if (count > 0) {
			item->groups[item->n_groups++] =
				(struct similar_group){n, count, 0, axis->at_rank[rank], (uint8_t)rank};
			place->n_groups++;
		}
		n += count;
	}
}

/* How many rows there are to read: of the groups that can be. */
static void count_rows(const struct similar_lists *lists, struct item *item, const struct list_place *place)
{
	const struct index_postings *postings = &lists->indexed->postings[item->axis];

	for (uint32_t g = 0; g < place->n_groups; g++) {
		struct similar_group *group = &item->groups[place->first_group + g];
		const uint32_t *values = item->values + place->first_value + group->first;

		if (group->rank >= lists->plan->axes[item->axis].n_listed)
			continue;
		for (uint32_t i = 0; i < group->n; i++)
			group->n_rows += postings->start[values[i] + 1] - postings->start[values[i]];
	}
}

static enum rc add_list(struct similar_lists *lists, struct item *item, uint32_t q, struct scratch *scratch)
{
	const struct join_axis *axis = &lists->plan->axes[item->axis];
	const struct dictionary *indexed = &lists->indexed->dictionaries[item->axis];
	uint32_t asked = lists->asked[item->axis][item->first + q], first = scratch->start[q],
		 end = scratch->start[q + 1];
	struct list_place *place = &lists->places[item->axis][item->first + q];
	uint32_t at[JOIN_MAX_DIGITS] = {0}, *to;
	bool has_missing = indexed->n > 0 && indexed->popcounts[0] == 0;
	enum rc rc =
		reserve(&item->values, &item->cap_values, item->n_values + (end - first) + 1, sizeof *item->values);

	if (rc == RC_OK)
		rc = reserve(&item->groups, &item->cap_groups, item->n_groups + axis->n_digits, sizeof *item->groups);
	if (rc != RC_OK)
		return rc;
	*place = (struct list_place){
		.item = (uint32_t)(item - lists->items), .first_group = item->n_groups, .first_value = item->n_values};
	if (lists->asking->dictionaries[item->axis].popcounts[asked] == 0)
		return RC_OK;
	find_digits(lists, item, asked, first, end, scratch, at);
	at[axis->rank[0]] += has_missing;
	add_groups(axis, item, place, at);
	to = item->values + item->n_values;
	for (uint32_t h = first; h < end; h++)
		to[at[axis->rank[scratch->digits[h]]]++] = scratch->sorted[h].value;
	if (has_missing)
		to[at[axis->rank[0]]] = 0;
	item->n_values += end - first + has_missing;
	count_rows(lists, item, place);
	return RC_OK;
}

static void run_item(void *ctx, size_t index)
{
	struct similar_lists *lists = ctx;
	struct item *item = &lists->items[index];
	struct scratch *scratch;
	enum rc rc;

	if (atomic_load(&lists->rc) != RC_OK)
		return;
	scratch = calloc(1, sizeof *scratch);
	rc = scratch == NULL ? RC_NOMEM : search_item(lists, item, scratch);
	for (uint32_t q = 0; q < item->n && rc == RC_OK; q++) {
		rc = add_list(lists, item, q, scratch);
		if (lists->cancel != NULL && atomic_load(lists->cancel))
			rc = RC_STOPPING;
	}
	if (scratch != NULL) {
		free(scratch->hits.hits);
		free(scratch->sorted);
		free(scratch->digits);
	}
	free(scratch);
	if (rc != RC_OK)
		atomic_store(&lists->rc, (int)rc);
}

/* ---- all items ---- */

static enum rc plan_search(struct similar_lists *lists, unsigned axis)
{
	const struct pool_axis *pool_axis = &lists->plan->pool_axes[axis];
	const struct study_comparison *comparison = &lists->plan->domain->comparisons[pool_axis->comparison];
	const struct dictionary *asking = &lists->asking->dictionaries[axis];
	bool is_present[STUDY_MAX_FILTER_BITS + 1] = {false};
	struct slice_level level = {.inverse = &lists->indexed->pool->inverse[pool_axis->filter],
				    .cuts = comparison->cuts[pool_axis->place],
				    .n_cuts = comparison->n_cuts[pool_axis->place],
				    .digit = lists->plan->axes[axis].digit};

	if (level.digit > level.n_cuts + 1)
		return RC_OK;
	for (uint32_t v = 0; v < asking->n; v++)
		is_present[asking->popcounts[v]] = true;
	return slice_plan_new(&lists->indexed->dictionaries[axis].slice, lists->indexed->pool->kernel, &level,
			      is_present, &lists->searches[axis]);
}

static enum rc gather_asked(struct similar_lists *lists, unsigned axis, const uint32_t *rows, uint32_t n_rows)
{
	const struct index *asking = lists->asking;
	uint32_t n = asking->dictionaries[axis].n;
	uint32_t *place_of = malloc((n + 1u) * sizeof *place_of);

	lists->place_of[axis] = place_of;
	lists->asked[axis] = malloc(((n < n_rows ? n : n_rows) + 1u) * sizeof *lists->asked[axis]);
	if (place_of == NULL || lists->asked[axis] == NULL)
		return RC_NOMEM;
	memset(place_of, 0xff, n * sizeof *place_of);
	for (uint32_t i = 0; i < n_rows; i++)
		place_of[asking->value_of_row[(size_t)rows[i] * asking->n_axes + axis]] = 0;
	for (uint32_t v = 0; v < n; v++) {
		if (place_of[v] == 0) {
			place_of[v] = lists->n_asked[axis];
			lists->asked[axis][lists->n_asked[axis]++] = v;
		}
	}
	lists->places[axis] = calloc(lists->n_asked[axis] + 1u, sizeof *lists->places[axis]);
	return lists->places[axis] == NULL ? RC_NOMEM : RC_OK;
}

static enum rc cut_items(struct similar_lists *lists)
{
	size_t n = 0;

	for (unsigned axis = 0; axis < lists->plan->n_axes; axis++)
		n += (lists->n_asked[axis] + SLICE_TILE - 1) / SLICE_TILE;
	lists->items = calloc(n + 1, sizeof *lists->items);
	if (lists->items == NULL)
		return RC_NOMEM;
	for (unsigned axis = 0; axis < lists->plan->n_axes; axis++) {
		for (uint32_t first = 0; first < lists->n_asked[axis]; first += SLICE_TILE) {
			uint32_t left = lists->n_asked[axis] - first;

			lists->items[lists->n_items++] =
				(struct item){.axis = axis, .first = first, .n = left < SLICE_TILE ? left : SLICE_TILE};
		}
	}
	return RC_OK;
}

enum rc similar_lists_new(const struct join_plan *plan, const struct index *asking, const struct index *indexed,
			  const uint32_t *rows, uint32_t n, const atomic_bool *cancel, struct similar_lists **ret)
{
	struct similar_lists *lists = calloc(1, sizeof *lists);
	enum rc rc = RC_OK;

	if (lists == NULL)
		return RC_NOMEM;
	lists->plan = plan;
	lists->asking = asking;
	lists->indexed = indexed;
	lists->cancel = cancel;
	for (unsigned axis = 0; axis < plan->n_axes && rc == RC_OK; axis++) {
		rc = gather_asked(lists, axis, rows, n);
		if (rc == RC_OK)
			rc = plan_search(lists, axis);
	}
	if (rc == RC_OK)
		rc = cut_items(lists);
	if (rc == RC_OK) {
		parallel_for(indexed->pool->options.n_threads, lists->n_items, run_item, lists);
		rc = (enum rc)atomic_load(&lists->rc);
	}
	if (rc != RC_OK) {
		similar_lists_free(lists);
		return rc;
	}
	*ret = lists;
	return RC_OK;
}

void similar_lists_free(struct similar_lists *lists)
{
	if (lists == NULL)
		return;
	for (unsigned axis = 0; axis < STUDY_MAX_FILTERS; axis++) {
		slice_plan_free(lists->searches[axis]);
		free(lists->asked[axis]);
		free(lists->place_of[axis]);
		free(lists->places[axis]);
	}
	for (size_t i = 0; i < lists->n_items; i++) {
		free(lists->items[i].groups);
		free(lists->items[i].values);
	}
	free(lists->items);
	free(lists);
}

struct similar_list similar_list_of(const struct similar_lists *lists, unsigned axis, uint32_t value)
{
	const struct list_place *place = &lists->places[axis][lists->place_of[axis][value]];
	const struct item *item = &lists->items[place->item];

	return (struct similar_list){.groups = item->groups + place->first_group,
				     .values = item->values + place->first_value,
				     .n_groups = place->n_groups};
}
