/* One row that asks: how deep each axis is read, the entries there, and which of them are pairs. */
#include <string.h>

#include "daemon/link/join_worker.h"

enum { FETCH_AHEAD = 12, NEVER = -30000 };

/* ---- pairs whose bounds reach the floor ---- */

/* Do its weights? The digits of listed values are known. */
static enum rc check_pair(struct join_worker *w, const struct join_doubt *doubt)
{
	const struct join_job *job = w->job;
	const uint32_t *entry = doubt->entry;
	const struct join_plan *plan = job->plan;
	struct link_pair pair = {.a = job->indexed->first + entry[0], .b = w->row};
	int32_t weight = 0;

	for (unsigned a = 0; a < plan->n_axes; a++) {
		uint32_t value = a == doubt->own_axis ? doubt->own_value : entry[job->column[doubt->own_axis][a]];
		unsigned digit;

		if (w->side[a].is_missing)
			continue;
		digit = w->table[a][value];
		if (digit == plan->axes[a].n_digits)
			digit = join_digit(job->asking, job->indexed, a, w->values[a], value);
		pair.pattern.level[plan->pool_axes[a].comparison] =
			(uint8_t)(pair.pattern.level[plan->pool_axes[a].comparison] + digit * plan->axes[a].level_step);
	}
	for (unsigned c = 0; c < plan->domain->n_comparisons; c++)
		weight += plan->domain->comparisons[c].reference_weight[pair.pattern.level[c]];
	return weight >= plan->domain->floor ? pair_list_add(w->hits, &pair) : RC_OK;
}

static enum rc check_doubts(struct join_worker *w)
{
	enum rc rc = RC_OK;

	for (unsigned i = 0; i < w->n_doubts && rc == RC_OK; i++)
		rc = check_pair(w, &w->doubts[i]);
	w->n_doubts = 0;
	return rc;
}

/* Fetch the filters that are not listed; they are looked at when there are several such pairs. */
static enum rc add_doubt(struct join_worker *w, unsigned own_axis, uint32_t own_value, const uint32_t *entry)
{
	const struct join_job *job = w->job;
	const struct join_plan *plan = job->plan;

	w->doubts[w->n_doubts++] = (struct join_doubt){entry, own_value, (uint8_t)own_axis};
	for (unsigned a = 0; a < plan->n_axes; a++) {
		const struct dictionary *dictionary = &job->indexed->dictionaries[a];
		size_t bytes = job->indexed->pool->n_lines[plan->pool_axes[a].filter] * KERNEL_LINE;
		uint32_t value;

		if (a == own_axis || w->side[a].is_missing)
			continue;
		value = entry[job->column[own_axis][a]];
		if (w->table[a][value] != plan->axes[a].n_digits)
			continue;
		__builtin_prefetch(&dictionary->popcounts[value]);
		for (size_t at = 0; at < bytes; at += KERNEL_LINE)
			__builtin_prefetch(dictionary->filters + value * bytes + at);
	}
	return w->n_doubts == JOIN_DOUBTS ? check_doubts(w) : RC_OK;
}

/* ---- how deep the axes of one row are read ---- */

static unsigned n_readable(const struct join_axis *axis, const struct join_side *side)
{
	unsigned n = 0;

	while (n < side->list.n_groups && side->list.groups[n].rank < axis->n_listed)
		n++;
	return side->is_missing ? 0 : n;
}

static unsigned missing_mask(const struct join_worker *w, unsigned c)
{
	const struct join_plan *plan = w->job->plan;
	unsigned mask = 0;

	for (unsigned i = 0; i < plan->domain->comparisons[c].n_filters; i++)
		mask |= (unsigned)w->side[plan->axis_of[c][i]].is_missing << i;
	return mask;
}

/* All ways to read comparison c: some of the groups of each of its axes. */
static void list_options(struct join_worker *w, unsigned c)
{
	const struct join_plan *plan = w->job->plan;
	unsigned n_filters = plan->domain->comparisons[c].n_filters, mask = missing_mask(w, c);
	unsigned n[STUDY_MAX_COMPARED], k[STUDY_MAX_COMPARED] = {0}, i = 0;
	uint64_t rows[STUDY_MAX_COMPARED] = {0};
	struct join_options *options = &w->options[c];

	for (unsigned j = 0; j < n_filters; j++)
		n[j] = n_readable(&plan->axes[plan->axis_of[c][j]], &w->side[plan->axis_of[c][j]]);
	options->n = 0;
	while (i < n_filters) {
		struct join_option *option = &options->option[options->n++];
		unsigned depths = 0;

		option->cost = 0;
		for (unsigned j = 0; j < n_filters; j++) {
			const struct join_axis *axis = &plan->axes[plan->axis_of[c][j]];
			const struct join_side *side = &w->side[plan->axis_of[c][j]];

			option->depth[j] = (uint8_t)(side->is_missing ? 0 : join_depth_after(axis, side, k[j]));
			option->cost += rows[j];
			depths += (unsigned)option->depth[j] * axis->level_step;
		}
		option->below = plan->below[c][mask][depths];
		for (i = 0; i < n_filters; i++) {
			if (k[i] < n[i]) {
				rows[i] += w->side[plan->axis_of[c][i]].list.groups[k[i]++].n_rows;
				break;
			}
			k[i] = 0;
			rows[i] = 0;
		}
	}
	join_options_prune(options);
}

/* False when the lists do not go deep enough. */
static bool choose_depths(struct join_worker *w)
{
	const struct join_plan *plan = w->job->plan;

	for (unsigned c = 0; c < plan->domain->n_comparisons; c++)
		list_options(w, c);
	if (!join_options_choose(w->options, plan->domain->n_comparisons, plan->floor))
		return false;
	for (unsigned a = 0; a < plan->n_axes; a++) {
		const struct join_options *options = &w->options[plan->pool_axes[a].comparison];
		struct join_side *side = &w->side[a];

		side->depth = options->option[options->chosen].depth[plan->pool_axes[a].place];
		side->n_rows = 0;
		for (uint32_t g = 0; g < side->list.n_groups && side->list.groups[g].rank < side->depth; g++)
			side->n_rows += side->list.groups[g].n_rows;
	}
	return true;
}

/* ---- candidates ---- */

struct check {
	const uint8_t *table;
	const int16_t *worth; /* of the comparison that ends here; NULL = it goes on */
	int32_t needed;       /* of the sum so far, for the rest to be able to reach the floor */
	uint16_t step;
	uint8_t column;
};

/* How entries of one axis are checked. */
struct reading {
	unsigned axis, n_checks;
	struct check checks[STUDY_MAX_FILTERS];
	bool own_goes_on; /* the comparison of the axis has other axes to check: they come first */
	int32_t base;     /* of comparisons that the row that asks lacks */
	int32_t rest;     /* the most of all but that and the comparison of the axis */
	unsigned own_depths;
};

/* The depth that a pair must lie below: on an axis that was read before, the one chosen. */
static unsigned depth_of(const struct join_side *side, bool is_earlier)
{
	return is_earlier ? side->depth : side->least;
}

static unsigned depths_of(const struct join_worker *w, unsigned c, const bool *is_earlier)
{
	const struct join_plan *plan = w->job->plan;
	unsigned depths = 0;

	for (unsigned i = 0; i < plan->domain->comparisons[c].n_filters; i++) {
		unsigned a = plan->axis_of[c][i];

		if (!w->side[a].is_missing)
			depths += depth_of(&w->side[a], is_earlier[a]) * plan->axes[a].level_step;
	}
	return depths;
}

/* Bounds by code, with what an earlier axis has brought already ruled out. */
static const int16_t *worth_of(struct join_worker *w, unsigned c, unsigned own_axis, const bool *is_earlier)
{
	const struct join_plan *plan = w->job->plan;
	const int16_t *worth = plan->worth[c];

	for (unsigned i = 0; i < plan->domain->comparisons[c].n_filters; i++) {
		unsigned a = plan->axis_of[c][i];
		const struct join_axis *axis = &plan->axes[a];

		if (a == own_axis || !is_earlier[a])
			continue;
		if (worth == plan->worth[c])
			memcpy(w->worth[c], worth, plan->n_codes[c] * sizeof *worth);
		worth = w->worth[c];
		for (unsigned code = 0; code < plan->n_codes[c]; code++) {
			unsigned digit = code / axis->code_step % (axis->n_digits + 1u);

			if (digit < axis->n_digits && axis->rank[digit] < w->side[a].depth)
				w->worth[c][code] = NEVER;
		}
	}
	return worth;
}

/* Append the checks of comparison c; false when there is nothing to check of it. */
static bool add_checks(struct join_worker *w, unsigned c, const bool *is_earlier, struct reading *reading)
{
	const struct join_job *job = w->job;
	const struct join_plan *plan = job->plan;
	unsigned before = reading->n_checks;

	for (unsigned i = 0; i < plan->domain->comparisons[c].n_filters; i++) {
		unsigned a = plan->axis_of[c][i];

		if (a != reading->axis && !w->side[a].is_missing)
			reading->checks[reading->n_checks++] = (struct check){.table = w->table[a],
									      .step = plan->axes[a].code_step,
									      .column = job->column[reading->axis][a]};
	}
	if (reading->n_checks == before)
		return false;
	reading->checks[reading->n_checks - 1].worth = worth_of(w, c, reading->axis, is_earlier);
	return true;
}

static void prepare_reading(struct join_worker *w, unsigned axis, const bool *is_earlier, struct reading *reading)
{
	const struct join_plan *plan = w->job->plan;
	unsigned own = plan->pool_axes[axis].comparison;
	unsigned last[STUDY_MAX_COMPARISONS], n_last = 0, most[STUDY_MAX_COMPARISONS];
	bool is_done[STUDY_MAX_COMPARISONS] = {false};

	reading->axis = axis;
	reading->n_checks = 0;
	reading->base = 0;
	reading->rest = 0;
	reading->own_goes_on = add_checks(w, own, is_earlier, reading);
	reading->own_depths = depths_of(w, own, is_earlier);
	if (!w->side[axis].is_missing)
		reading->own_depths -= depth_of(&w->side[axis], is_earlier[axis]) * plan->axes[axis].level_step;
	is_done[own] = true;
	if (reading->own_goes_on) {
		most[n_last] = 0;
		last[n_last++] = reading->n_checks - 1;
	}
	for (unsigned k = 0; k < plan->n_axes; k++) {
		unsigned c = plan->pool_axes[w->job->indexed->order[k]].comparison;

		if (is_done[c])
			continue;
		is_done[c] = true;
		if (!add_checks(w, c, is_earlier, reading)) {
			reading->base += plan->worth[c][0];
			continue;
		}
		most[n_last] = plan->below[c][missing_mask(w, c)][depths_of(w, c, is_earlier)];
		reading->rest += (int32_t)most[n_last];
		last[n_last++] = reading->n_checks - 1;
	}
	for (int32_t rest = 0; n_last-- > 0; rest += (int32_t)most[n_last])
		reading->checks[last[n_last]].needed = plan->floor - rest;
}

/* The entries of one value, of which `code` is the digit. */
static enum rc read_value(struct join_worker *w, const struct reading *reading, uint32_t value, unsigned code)
{
	const struct join_plan *plan = w->job->plan;
	const struct index_postings *postings = &w->job->indexed->postings[reading->axis];
	size_t width = plan->n_axes;
	const uint32_t *entry = postings->entries + postings->start[value] * width;
	const uint32_t *end = postings->entries + postings->start[value + 1] * width;
	const struct check *checks = reading->checks;
	unsigned own = plan->pool_axes[reading->axis].comparison, n_checks = reading->n_checks;
	unsigned own_code = code * plan->axes[reading->axis].code_step;
	unsigned start = reading->own_goes_on ? own_code : 0;
	int32_t base = reading->base + (reading->own_goes_on ? 0 : plan->worth[own][own_code]);

	for (; entry < end; entry += width) {
		int32_t sum = base;
		unsigned at = start, j;
		enum rc rc;

		if (entry[0] >= w->limit)
			break; /* ascending */
		for (j = 0; j < n_checks; j++) {
			const struct check *check = &checks[j];

			at += check->step * check->table[entry[check->column]];
			if (check->worth == NULL)
				continue;
			sum += check->worth[at];
			at = 0;
			if (sum < check->needed)
				break;
		}
		if (j < n_checks)
			continue;
		rc = add_doubt(w, reading->axis, value, entry);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

/* Most lists are short and far apart, so they are fetched ahead: where they start, then what is there. */
static enum rc read_group(struct join_worker *w, const struct reading *reading, const struct similar_group *group)
{
	const struct index_postings *postings = &w->job->indexed->postings[reading->axis];
	const uint32_t *list = w->side[reading->axis].list.values + group->first;
	size_t width = w->job->plan->n_axes;
	enum rc rc = RC_OK;

	for (uint32_t i = 0; i < group->n && rc == RC_OK; i++) {
		if (i + 2 * FETCH_AHEAD < group->n)
			__builtin_prefetch(&postings->start[list[i + 2 * FETCH_AHEAD]]);
		if (i + FETCH_AHEAD < group->n)
			__builtin_prefetch(postings->entries + postings->start[list[i + FETCH_AHEAD]] * width);
		rc = read_value(w, reading, list[i], group->digit);
	}
	return rc;
}

static enum rc read_axis(struct join_worker *w, unsigned axis, const bool *is_earlier)
{
	const struct join_plan *plan = w->job->plan;
	const struct join_side *side = &w->side[axis];
	unsigned own = plan->pool_axes[axis].comparison, mask = missing_mask(w, own);
	struct reading reading;
	enum rc rc = RC_OK;

	prepare_reading(w, axis, is_earlier, &reading);
	for (uint32_t g = 0; g < side->list.n_groups && rc == RC_OK; g++) {
		const struct similar_group *group = &side->list.groups[g];
		unsigned depths = reading.own_depths + group->rank * plan->axes[axis].level_step;

		if (group->rank >= side->depth ||
		    plan->below[own][mask][depths] + reading.base + reading.rest < plan->floor)
			break;
		rc = read_group(w, &reading, group);
	}
	return rc;
}

/* The floor is so low, or values so alike, that no depth leaves anything out. */
static enum rc read_all(struct join_worker *w)
{
	static const bool none[STUDY_MAX_FILTERS];
	const struct index *indexed = w->job->indexed;
	unsigned axis = indexed->order[0];
	struct reading reading;
	enum rc rc = RC_OK;

	prepare_reading(w, axis, none, &reading);
	for (uint32_t v = 0; v < indexed->dictionaries[axis].n && rc == RC_OK; v++)
		rc = read_value(w, &reading, v, w->side[axis].is_missing ? 0 : w->table[axis][v]);
	return rc == RC_OK ? check_doubts(w) : rc;
}

/* Axes by what they bring, least first: the longest lists then meet the tightest bounds. */
static void order_by_cost(const struct join_worker *w, uint8_t *order)
{
	for (unsigned a = 0; a < w->job->plan->n_axes; a++) {
		unsigned at = a;

		for (; at > 0 && w->side[order[at - 1]].n_rows > w->side[a].n_rows; at--)
			order[at] = order[at - 1];
		order[at] = (uint8_t)a;
	}
}

enum rc join_ask(struct join_worker *w)
{
	uint8_t order[STUDY_MAX_FILTERS];
	bool is_earlier[STUDY_MAX_FILTERS] = {false};
	enum rc rc = RC_OK;

	if (!choose_depths(w))
		return read_all(w);
	order_by_cost(w, order);
	for (unsigned k = 0; k < w->job->plan->n_axes && rc == RC_OK; k++) {
		unsigned a = order[k];

		if (w->side[a].is_missing)
			continue;
		if (w->side[a].n_rows > 0)
			rc = read_axis(w, a, is_earlier);
		is_earlier[a] = true;
	}
	return rc == RC_OK ? check_doubts(w) : rc;
}
