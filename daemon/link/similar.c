/* Similar values. The values that ask are cut into items of SLICE_TILE; each item is searched at once in the bit-sliced
 * dictionaries and keeps its own lists. */
#include "daemon/link/join.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"

struct item {
	unsigned c;
	uint32_t first, n; /* of asked[c] */
	struct similar_group *groups;
	size_t n_groups, cap_groups;
	uint32_t *values;
	size_t n_values, cap_values;
};

struct list_place {
	uint32_t item, n_groups;
	size_t first_group, first_value;
	uint8_t unlisted;
};

struct similar_lists {
	const struct join_plan *plan;
	const struct index *asking, *indexed;
	const atomic_bool *cancel;
	struct slice_plan *searches[STUDY_MAX_COMPARISONS][STUDY_MAX_COMPARED];
	uint32_t *asked[STUDY_MAX_COMPARISONS]; /* values that ask, ascending */
	uint32_t n_asked[STUDY_MAX_COMPARISONS];
	uint32_t *place_of[STUDY_MAX_COMPARISONS]; /* of each value that asks, in places[c] */
	struct list_place *places[STUDY_MAX_COMPARISONS];
	struct item *items;
	size_t n_items;
	_Atomic int rc;
};

/* What a thread needs for one item. */
struct scratch {
	struct slice_hits hits[STUDY_MAX_COMPARED];
	uint32_t *start[STUDY_MAX_COMPARED]; /* hits by query: SLICE_TILE + 1 */
	struct slice_hit *sorted[STUDY_MAX_COMPARED];
	uint8_t *digits[STUDY_MAX_COMPARED]; /* of every value of a dictionary against one query */
	uint32_t *found;                     /* values listed, and their bounds */
	uint8_t *bounds;
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

/* Append the list of one value: what was found, heaviest bound first. */
static enum rc add_list(struct similar_lists *lists, struct item *item, uint32_t which, uint8_t unlisted,
			const struct scratch *scratch, size_t n_found)
{
	const struct index_values *values = &lists->indexed->values[item->c];
	uint32_t at[256] = {0}, n = 0;
	uint32_t *to;
	enum rc rc = reserve(&item->values, &item->cap_values, item->n_values + n_found, sizeof *item->values);

	if (rc == RC_OK)
		rc = reserve(&item->groups, &item->cap_groups, item->n_groups + 256, sizeof *item->groups);
	if (rc != RC_OK)
		return rc;
	lists->places[item->c][which] = (struct list_place){.item = (uint32_t)(item - lists->items),
							    .first_group = item->n_groups,
							    .first_value = item->n_values,
							    .unlisted = unlisted};
	for (size_t i = 0; i < n_found; i++)
		at[scratch->bounds[i]]++;
	for (int bound = 255; bound >= 0; bound--) {
		uint32_t count = at[bound];

		at[bound] = n;
		if (count > 0) {
			item->groups[item->n_groups++] = (struct similar_group){n, count, 0, (uint8_t)bound};
			lists->places[item->c][which].n_groups++;
		}
		n += count;
	}
	to = item->values + item->n_values;
	for (size_t i = 0; i < n_found; i++)
		to[at[scratch->bounds[i]]++] = scratch->found[i];
	for (size_t g = lists->places[item->c][which].first_group; g < item->n_groups; g++) {
		for (uint32_t i = 0; i < item->groups[g].n; i++) {
			uint32_t v = to[item->groups[g].first + i];

			item->groups[g].n_rows += values->start[v + 1] - values->start[v];
		}
	}
	item->n_values += n_found;
	return RC_OK;
}

/* Bring the hits of one filter into the order of queries. */
static enum rc sort_hits(struct scratch *scratch, unsigned i)
{
	struct slice_hits *hits = &scratch->hits[i];
	uint32_t *start = scratch->start[i];
	struct slice_hit *sorted = realloc(scratch->sorted[i], (hits->n + 1) * sizeof *sorted);

	if (sorted == NULL)
		return RC_NOMEM;
	scratch->sorted[i] = sorted;
	memset(start, 0, (SLICE_TILE + 2) * sizeof *start);
	for (size_t h = 0; h < hits->n; h++)
		start[hits->hits[h].query + 2]++;
	for (unsigned q = 2; q < SLICE_TILE + 2; q++)
		start[q] += start[q - 1];
	for (size_t h = 0; h < hits->n; h++)
		sorted[start[hits->hits[h].query + 1]++] = hits->hits[h];
	return RC_OK;
}

static enum rc search_filter(struct similar_lists *lists, const struct item *item, unsigned i, struct scratch *scratch)
{
	const struct study_comparison *comparison = &lists->plan->domain->comparisons[item->c];
	unsigned f = comparison->filters[i];
	const struct dictionary *dictionary = &lists->asking->dictionaries[f];
	struct slice_query queries[SLICE_TILE];
	enum rc rc = RC_OK;

	for (uint32_t q = 0; q < item->n; q++) {
		uint32_t v = index_part(lists->asking, item->c, lists->asked[item->c][item->first + q], i);

		queries[q] =
			(struct slice_query){dictionary->filters + v * lists->asking->pool->n_lines[f] * KERNEL_LINE,
					     dictionary->popcounts[v]};
	}
	scratch->hits[i].n = 0;
	if (lists->searches[item->c][i] != NULL)
		rc = slice_search(lists->searches[item->c][i], queries, item->n, lists->cancel, &scratch->hits[i]);
	return rc == RC_OK ? sort_hits(scratch, i) : rc;
}

static unsigned digit_of(const struct similar_lists *lists, unsigned c, unsigned i, uint32_t asked,
			 const struct slice_hit *hit)
{
	const struct study_comparison *comparison = &lists->plan->domain->comparisons[c];
	unsigned f = comparison->filters[i];

	return level_digit(&lists->indexed->pool->inverse[f], comparison->cuts[i], comparison->n_cuts[i],
			   lists->asking->dictionaries[f].popcounts[index_part(lists->asking, c, asked, i)],
			   lists->indexed->dictionaries[f].popcounts[hit->value], hit->both);
}

static enum rc list_one_filter(struct similar_lists *lists, struct item *item, uint32_t q, struct scratch *scratch)
{
	unsigned c = item->c, f = lists->plan->domain->comparisons[c].filters[0];
	const uint8_t *bound = lists->plan->bound[c];
	uint32_t asked = lists->asked[c][item->first + q];
	const struct dictionary *indexed = &lists->indexed->dictionaries[f];
	uint8_t unlisted = lists->plan->unlisted[c];
	size_t n = 0;

	if (lists->asking->dictionaries[f].popcounts[asked] == 0)
		return add_list(lists, item, item->first + q, bound[0], scratch, 0);
	for (uint32_t h = scratch->start[0][q]; h < scratch->start[0][q + 1]; h++) {
		const struct slice_hit *hit = &scratch->sorted[0][h];
		uint8_t b = bound[digit_of(lists, c, 0, asked, hit)];

		scratch->found[n] = hit->value;
		scratch->bounds[n] = b;
		n += b > unlisted;
	}
	if (indexed->n > 0 && indexed->popcounts[0] == 0 && bound[0] > unlisted) {
		scratch->found[n] = 0;
		scratch->bounds[n++] = bound[0];
	}
	return add_list(lists, item, item->first + q, unlisted, scratch, n);
}

/* Digits of every value of filter i against one query: 0 for missing, 1 unless it was found. */
static void fill_digits(const struct similar_lists *lists, const struct item *item, uint32_t q, unsigned i,
			struct scratch *scratch)
{
	unsigned f = lists->plan->domain->comparisons[item->c].filters[i];
	uint32_t asked = lists->asked[item->c][item->first + q];
	const struct dictionary *indexed = &lists->indexed->dictionaries[f];
	bool is_missing = lists->asking->dictionaries[f].popcounts[index_part(lists->asking, item->c, asked, i)] == 0;

	memset(scratch->digits[i], !is_missing, indexed->n);
	if (is_missing)
		return;
	if (indexed->popcounts[0] == 0)
		scratch->digits[i][0] = 0;
	for (uint32_t h = scratch->start[i][q]; h < scratch->start[i][q + 1]; h++)
		scratch->digits[i][scratch->sorted[i][h].value] =
			(uint8_t)digit_of(lists, item->c, i, asked, &scratch->sorted[i][h]);
}

static enum rc list_tuples(struct similar_lists *lists, struct item *item, uint32_t q, struct scratch *scratch)
{
	unsigned c = item->c;
	const struct study_comparison *comparison = &lists->plan->domain->comparisons[c];
	const struct index_values *values = &lists->indexed->values[c];
	const uint32_t *tuple = values->tuples;
	size_t n = 0;

	for (unsigned i = 0; i < comparison->n_filters; i++)
		fill_digits(lists, item, q, i, scratch);
	for (uint32_t v = 0; v < values->n; v++) {
		unsigned level = 0, radix = 1;

		for (unsigned i = 0; i < comparison->n_filters; i++) {
			level += radix * scratch->digits[i][*tuple++];
			radix *= comparison->n_cuts[i] + 2u;
		}
		scratch->found[n] = v;
		scratch->bounds[n] = lists->plan->bound[c][level];
		n += scratch->bounds[n] > lists->plan->unlisted[c];
	}
	return add_list(lists, item, item->first + q, lists->plan->unlisted[c], scratch, n);
}

static void scratch_deinit(struct scratch *scratch)
{
	for (unsigned i = 0; i < STUDY_MAX_COMPARED; i++) {
		free(scratch->hits[i].hits);
		free(scratch->start[i]);
		free(scratch->sorted[i]);
		free(scratch->digits[i]);
	}
	free(scratch->found);
	free(scratch->bounds);
}

static enum rc scratch_init(struct scratch *scratch, const struct similar_lists *lists, unsigned c)
{
	const struct study_comparison *comparison = &lists->plan->domain->comparisons[c];

	memset(scratch, 0, sizeof *scratch);
	scratch->found = malloc((lists->indexed->values[c].n + 1u) * sizeof *scratch->found);
	scratch->bounds = malloc(lists->indexed->values[c].n + 1u);
	if (scratch->found == NULL || scratch->bounds == NULL)
		return RC_NOMEM;
	for (unsigned i = 0; i < comparison->n_filters; i++) {
		scratch->start[i] = malloc((SLICE_TILE + 2) * sizeof *scratch->start[i]);
		scratch->digits[i] = malloc(lists->indexed->dictionaries[comparison->filters[i]].n + 1u);
		if (scratch->start[i] == NULL || scratch->digits[i] == NULL)
			return RC_NOMEM;
	}
	return RC_OK;
}

static void run_item(void *ctx, size_t index)
{
	struct similar_lists *lists = ctx;
	struct item *item = &lists->items[index];
	unsigned n_filters = lists->plan->domain->comparisons[item->c].n_filters;
	struct scratch scratch;
	enum rc rc;

	if (atomic_load(&lists->rc) != RC_OK)
		return;
	rc = scratch_init(&scratch, lists, item->c);
	for (unsigned i = 0; i < n_filters && rc == RC_OK; i++)
		rc = search_filter(lists, item, i, &scratch);
	for (uint32_t q = 0; q < item->n && rc == RC_OK; q++) {
		rc = n_filters == 1 ? list_one_filter(lists, item, q, &scratch) : list_tuples(lists, item, q, &scratch);
		if (lists->cancel != NULL && atomic_load(lists->cancel))
			rc = RC_STOPPING;
	}
	scratch_deinit(&scratch);
	if (rc != RC_OK)
		atomic_store(&lists->rc, (int)rc);
}

/* ---- all items ---- */

static enum rc plan_searches(struct similar_lists *lists, unsigned c)
{
	const struct study_comparison *comparison = &lists->plan->domain->comparisons[c];

	for (unsigned i = 0; i < comparison->n_filters; i++) {
		unsigned f = comparison->filters[i];
		const struct dictionary *asking = &lists->asking->dictionaries[f];
		bool is_present[STUDY_MAX_FILTER_BITS + 1] = {false};
		struct slice_level level = {.inverse = &lists->indexed->pool->inverse[f],
					    .cuts = comparison->cuts[i],
					    .n_cuts = comparison->n_cuts[i],
					    .digit = comparison->n_filters == 1 ? lists->plan->digit[c] : 2};
		enum rc rc;

		if (level.digit > level.n_cuts + 1)
			continue; /* nothing is listed */
		for (uint32_t v = 0; v < asking->n; v++)
			is_present[asking->popcounts[v]] = true;
		rc = slice_plan_new(&lists->indexed->dictionaries[f].slice, lists->indexed->pool->kernel, &level,
				    is_present, &lists->searches[c][i]);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static enum rc gather_asked(struct similar_lists *lists, unsigned c, uint32_t first, uint32_t end)
{
	const struct index *asking = lists->asking;
	uint32_t n = asking->values[c].n;
	uint32_t *place_of = malloc((n + 1u) * sizeof *place_of);

	lists->place_of[c] = place_of;
	lists->asked[c] = malloc((n + 1u) * sizeof *lists->asked[c]);
	if (place_of == NULL || lists->asked[c] == NULL)
		return RC_NOMEM;
	memset(place_of, 0xff, n * sizeof *place_of);
	for (uint32_t row = first; row < end; row++)
		place_of[asking->value_of_row[(size_t)row * asking->n_comparisons + c]] = 0;
	for (uint32_t v = 0; v < n; v++) {
		if (place_of[v] == 0) {
			place_of[v] = lists->n_asked[c];
			lists->asked[c][lists->n_asked[c]++] = v;
		}
	}
	lists->places[c] = calloc(lists->n_asked[c] + 1u, sizeof *lists->places[c]);
	return lists->places[c] == NULL ? RC_NOMEM : RC_OK;
}

static enum rc cut_items(struct similar_lists *lists)
{
	size_t n = 0;

	for (unsigned c = 0; c < lists->plan->domain->n_comparisons; c++)
		n += (lists->n_asked[c] + SLICE_TILE - 1) / SLICE_TILE;
	lists->items = calloc(n + 1, sizeof *lists->items);
	if (lists->items == NULL)
		return RC_NOMEM;
	for (unsigned c = 0; c < lists->plan->domain->n_comparisons; c++) {
		for (uint32_t first = 0; first < lists->n_asked[c]; first += SLICE_TILE) {
			uint32_t left = lists->n_asked[c] - first;

			lists->items[lists->n_items++] =
				(struct item){.c = c, .first = first, .n = left < SLICE_TILE ? left : SLICE_TILE};
		}
	}
	return RC_OK;
}

enum rc similar_lists_new(const struct join_plan *plan, const struct index *asking, const struct index *indexed,
			  uint32_t first, uint32_t end, const atomic_bool *cancel, struct similar_lists **ret)
{
	struct similar_lists *lists = calloc(1, sizeof *lists);
	enum rc rc = RC_OK;

	if (lists == NULL)
		return RC_NOMEM;
	lists->plan = plan;
	lists->asking = asking;
	lists->indexed = indexed;
	lists->cancel = cancel;
	for (unsigned c = 0; c < plan->domain->n_comparisons && rc == RC_OK; c++) {
		rc = gather_asked(lists, c, first, end);
		if (rc == RC_OK)
			rc = plan_searches(lists, c);
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
	for (unsigned c = 0; c < STUDY_MAX_COMPARISONS; c++) {
		for (unsigned i = 0; i < STUDY_MAX_COMPARED; i++)
			slice_plan_free(lists->searches[c][i]);
		free(lists->asked[c]);
		free(lists->place_of[c]);
		free(lists->places[c]);
	}
	for (size_t i = 0; i < lists->n_items; i++) {
		free(lists->items[i].groups);
		free(lists->items[i].values);
	}
	free(lists->items);
	free(lists);
}

struct similar_list similar_list_of(const struct similar_lists *lists, unsigned c, uint32_t value)
{
	const struct list_place *place = &lists->places[c][lists->place_of[c][value]];
	const struct item *item = &lists->items[place->item];

	return (struct similar_list){.groups = item->groups + place->first_group,
				     .values = item->values + place->first_value,
				     .n_groups = place->n_groups,
				     .unlisted = place->unlisted};
}
