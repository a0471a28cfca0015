/* The plan of a join: bounds of weights, and down to which digit similar values are listed. Whatever it says, the join
 * is exact; it decides how much work that is. */
#include "daemon/link/join.h"

#include <stdlib.h>
#include <string.h>

enum {
	SAMPLE_ASKED = 32,    /* values that ask … */
	SAMPLE_VALUES = 2048, /* … against so many values of the index at most, evenly spread over both … */
	MIN_VALUES = 64,      /* … or so many where that few pairs are compared … */
	PAIRS_A_SAMPLE = 500, /* … that one sampled digit in so many of them would be much of the work */
	LIST_COST = 4,        /* of a listed value that serves one record only, in entries read */
	TABLE_COST = 1,       /* of a listed value that has to be set in a table */
	FEW_MISSING = 256,    /* one record in so many without a value is rare */
};

unsigned join_digit(const struct index *asking, const struct index *indexed, unsigned axis, uint32_t asked,
		    uint32_t value)
{
	const struct link_pool *pool = indexed->pool;
	const struct pool_axis *a = &pool->axes[axis];
	const struct study_comparison *comparison = &pool->domain->comparisons[a->comparison];
	const struct dictionary *x = &asking->dictionaries[axis], *y = &indexed->dictionaries[axis];
	size_t n_lines = pool->n_lines[a->filter], bytes = n_lines * KERNEL_LINE;
	uint16_t both;

	if (x->popcounts[asked] == 0 || y->popcounts[value] == 0)
		return 0;
	pool->kernel->count_run(x->filters + asked * bytes, y->filters + value * bytes, n_lines, 1, &both);
	return level_digit(&pool->inverse[a->filter], comparison->cuts[a->place], comparison->n_cuts[a->place],
			   x->popcounts[asked], y->popcounts[value], both);
}

/* ---- bounds ---- */

/* One scale for all comparisons, so that bounds add up: a bound is the weight above the comparison's least, in steps
 * rounded up. */
static void make_bounds(struct join_plan *plan, uint8_t bound[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1])
{
	const struct study_domain *domain = plan->domain;
	int32_t least[STUDY_MAX_COMPARISONS], step = 1, rest = domain->floor;

	for (unsigned c = 0; c < domain->n_comparisons; c++) {
		const struct study_comparison *comparison = &domain->comparisons[c];
		int32_t most = comparison->reference_weight[0];

		least[c] = most;
		for (unsigned level = 1; level <= comparison->n_levels; level++) {
			int32_t weight = comparison->reference_weight[level];

			least[c] = weight < least[c] ? weight : least[c];
			most = weight > most ? weight : most;
		}
		if ((most - least[c] + 254) / 255 > step)
			step = (most - least[c] + 254) / 255;
		rest -= least[c];
	}
	for (unsigned c = 0; c < domain->n_comparisons; c++) {
		for (unsigned level = 0; level <= domain->comparisons[c].n_levels; level++)
			bound[c][level] =
				(uint8_t)((domain->comparisons[c].reference_weight[level] - least[c] + step - 1) /
					  step);
	}
	plan->floor = rest <= 0 ? 0 : (rest + step - 1) / step;
}

static unsigned digit_at(const struct join_axis *axis, unsigned level)
{
	return level / axis->level_step % axis->n_digits;
}

/* Steps of the digits in levels and codes, and which digits can bring most. */
static void order_digits(struct join_plan *plan, unsigned c, const uint8_t *bound)
{
	const struct study_comparison *comparison = &plan->domain->comparisons[c];
	unsigned level_step = 1, code_step = 1;

	for (unsigned i = 0; i < comparison->n_filters; i++) {
		struct join_axis *axis = &plan->axes[plan->axis_of[c][i]];
		int most[JOIN_MAX_DIGITS];

		axis->n_digits = (uint8_t)(comparison->n_cuts[i] + 2u);
		axis->level_step = (uint16_t)level_step;
		axis->code_step = (uint16_t)code_step;
		level_step *= axis->n_digits;
		code_step *= axis->n_digits + 1u;
		memset(most, 0xff, sizeof most);
		for (unsigned level = 0; level <= comparison->n_levels; level++) {
			unsigned digit = digit_at(axis, level);

			most[digit] = bound[level] > most[digit] ? bound[level] : most[digit];
		}
		for (unsigned digit = 0; digit < axis->n_digits; digit++) {
			unsigned at = digit;

			for (; at > 0 && most[axis->at_rank[at - 1]] <= most[digit]; at--)
				axis->at_rank[at] = axis->at_rank[at - 1];
			axis->at_rank[at] = (uint8_t)digit;
		}
		for (unsigned rank = 0; rank < axis->n_digits; rank++)
			axis->rank[axis->at_rank[rank]] = (uint8_t)rank;
	}
	plan->n_codes[c] = (uint16_t)code_step;
}

/* The most that levels bring with no digit above its depth, the digits of missing filters being 0. */
static uint8_t most_below(const struct join_plan *plan, unsigned c, const uint8_t *bound, unsigned mask,
			  unsigned depths)
{
	const struct study_comparison *comparison = &plan->domain->comparisons[c];
	uint8_t most = 0;

	for (unsigned level = 0; level <= comparison->n_levels; level++) {
		bool is_below = true;

		for (unsigned i = 0; i < comparison->n_filters && is_below; i++) {
			const struct join_axis *axis = &plan->axes[plan->axis_of[c][i]];
			unsigned digit = digit_at(axis, level);

			is_below = (mask >> i & 1) != 0 ? digit == 0 : axis->rank[digit] >= digit_at(axis, depths);
		}
		if (is_below && bound[level] > most)
			most = bound[level];
	}
	return most;
}

static void fill_below(struct join_plan *plan, unsigned c, const uint8_t *bound)
{
	const struct study_comparison *comparison = &plan->domain->comparisons[c];

	for (unsigned mask = 0; mask < 1u << comparison->n_filters; mask++) {
		for (unsigned depths = 0; depths <= comparison->n_levels; depths++)
			plan->below[c][mask][depths] = most_below(plan, c, bound, mask, depths);
	}
}

/* Bounds by code. A value that is not listed has a digit of 1 or more, but less than those listed. */
static void fill_worth(struct join_plan *plan, unsigned c, const uint8_t *bound)
{
	const struct study_comparison *comparison = &plan->domain->comparisons[c];

	for (unsigned code = 0; code < plan->n_codes[c]; code++) {
		int16_t most = 0;

		for (unsigned level = 0; level <= comparison->n_levels; level++) {
			bool is_of_code = true;

			for (unsigned i = 0; i < comparison->n_filters && is_of_code; i++) {
				const struct join_axis *axis = &plan->axes[plan->axis_of[c][i]];
				unsigned digit = digit_at(axis, level);
				unsigned wanted = code / axis->code_step % (axis->n_digits + 1u);

				is_of_code =
					wanted == axis->n_digits ? digit > 0 && digit < axis->digit : digit == wanted;
			}
			if (is_of_code && bound[level] > most)
				most = bound[level];
		}
		plan->worth[c][code] = most;
	}
}

/* ---- what is listed ---- */

/* Sampled values and rows by digit. */
struct digits_seen {
	uint64_t values[JOIN_MAX_DIGITS], rows[JOIN_MAX_DIGITS], n_values, n_rows;
	uint64_t per_row; /* thousandths of a list that a record that asks has built for it */
};

/* How many values of the index are sampled on each axis. */
static uint32_t sample_size(const struct index *asking, const struct index *indexed)
{
	uint64_t n = (uint64_t)index_n_rows(asking) * index_n_rows(indexed) /
		     (PAIRS_A_SAMPLE * SAMPLE_ASKED * (uint64_t)indexed->n_axes);

	return n > SAMPLE_VALUES ? SAMPLE_VALUES : n < MIN_VALUES ? MIN_VALUES : (uint32_t)n;
}

static void sample_digits(const struct index *asking, const struct index *indexed, unsigned axis,
			  struct digits_seen *seen)
{
	const struct index_postings *postings = &indexed->postings[axis];
	uint32_t n = indexed->dictionaries[axis].n, n_asking = asking->dictionaries[axis].n;
	uint32_t n_asked = n_asking < SAMPLE_ASKED ? n_asking : SAMPLE_ASKED;
	uint32_t most = sample_size(asking, indexed), n_values = n < most ? n : most;

	memset(seen, 0, sizeof *seen);
	for (uint32_t i = 0; i < n_asked; i++) {
		uint32_t asked = (uint32_t)((uint64_t)n_asking * (2 * i + 1) / (2 * n_asked));

		for (uint32_t j = 0; j < n_values; j++) {
			uint32_t value = (uint32_t)((uint64_t)n * (2 * j + 1) / (2 * n_values));
			unsigned digit = join_digit(asking, indexed, axis, asked, value);
			uint32_t n_rows = postings->start[value + 1] - postings->start[value];

			seen->values[digit]++;
			seen->rows[digit] += n_rows;
			seen->n_values++;
			seen->n_rows += n_rows;
		}
	}
	seen->per_row = index_n_rows(asking) == 0 ? 0 : UINT64_C(1000) * n_asking / index_n_rows(asking);
}

static uint64_t scaled(uint64_t part, uint64_t of, uint64_t to)
{
	return of == 0 ? 0 : part * to / of + (part > 0);
}

/* Of ranks 0 … depth-1. */
static uint64_t values_above(const struct join_axis *axis, const struct digits_seen *seen, unsigned depth, uint32_t n)
{
	uint64_t values = 0;

	for (unsigned rank = 0; rank < depth; rank++)
		values += axis->at_rank[rank] == 0 ? 0 : seen->values[axis->at_rank[rank]];
	return scaled(values, seen->n_values, n);
}

static uint64_t cost_of(const struct join_axis *axis, const struct digits_seen *seen, unsigned depth,
			const struct index *indexed, unsigned a)
{
	uint64_t rows = 0, values = values_above(axis, seen, depth, indexed->dictionaries[a].n);

	for (unsigned rank = 0; rank < depth; rank++)
		rows += seen->rows[axis->at_rank[rank]];
	return scaled(rows, seen->n_rows, index_n_rows(indexed)) + TABLE_COST * values +
	       LIST_COST * values * seen->per_row / 1000;
}

/* Ranks before that of the digit below the first cut, whose values nothing can find. */
static unsigned deepest(const struct join_axis *axis)
{
	return axis->rank[1];
}

/* All ways to read comparison c. `mask`: filters that records often lack. */
static void list_options(const struct join_plan *plan, const struct index *indexed, unsigned c, unsigned mask,
			 const struct digits_seen *seen, struct join_options *options)
{
	const struct study_comparison *comparison = &plan->domain->comparisons[c];

	options->n = 0;
	for (unsigned depths = 0; depths <= comparison->n_levels; depths++) {
		struct join_option *option = &options->option[options->n];
		bool is_possible = true;

		*option = (struct join_option){0};
		for (unsigned i = 0; i < comparison->n_filters; i++) {
			unsigned a = plan->axis_of[c][i], depth = digit_at(&plan->axes[a], depths);

			is_possible = is_possible && depth <= deepest(&plan->axes[a]);
			option->depth[i] = (uint8_t)depth;
			option->cost += cost_of(&plan->axes[a], &seen[a], depth, indexed, a);
		}
		for (unsigned missing = 0; missing < 1u << comparison->n_filters; missing++) {
			if ((missing & ~mask) == 0 && plan->below[c][missing][depths] > option->below)
				option->below = plan->below[c][missing][depths];
		}
		options->n += is_possible;
	}
	join_options_prune(options);
}

/* The smallest digit of the ranks above the depth, which is what has to be searched for. */
static unsigned digit_for(const struct join_axis *axis, unsigned depth)
{
	unsigned digit = axis->n_digits;

	for (unsigned rank = 0; rank < depth; rank++) {
		if (axis->at_rank[rank] != 0 && axis->at_rank[rank] < digit)
			digit = axis->at_rank[rank];
	}
	return digit;
}

/* Filters of a comparison that more than a few of the records that ask lack. */
static unsigned often_missing(const struct join_plan *plan, const struct index *asking, unsigned c)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < plan->domain->comparisons[c].n_filters; i++) {
		unsigned a = plan->axis_of[c][i];
		const struct dictionary *dictionary = &asking->dictionaries[a];
		uint64_t n = 0;

		if (dictionary->n == 0 || dictionary->popcounts[0] != 0)
			continue;
		for (size_t row = 0; row < index_n_rows(asking); row++)
			n += asking->value_of_row[row * asking->n_axes + a] == 0;
		mask |= (unsigned)(n * FEW_MISSING > index_n_rows(asking)) << i;
	}
	return mask;
}

/* What listing values of at least some digit on each axis costs, and what comparison c still brings to a pair with
 * nothing listed; from what has to be listed on. */
static void list_prunings(const struct join_plan *plan, const struct index *indexed, unsigned c, unsigned mask,
			  const uint8_t *bound, const struct digits_seen *seen, struct join_options *options)
{
	const struct study_comparison *comparison = &plan->domain->comparisons[c];

	options->n = 0;
	for (unsigned digits = 0; digits <= comparison->n_levels; digits++) {
		struct join_option *option = &options->option[options->n];
		bool is_possible = true;

		*option = (struct join_option){0};
		for (unsigned i = 0; i < comparison->n_filters; i++) {
			unsigned a = plan->axis_of[c][i], first = digit_at(&plan->axes[a], digits);
			uint64_t values = 0;

			is_possible = is_possible && first >= 1 && first < plan->axes[a].digit;
			/* A list of its own for every record costs more than the checks it saves. */
			is_possible = is_possible && (!plan->axes[a].nearly_unique || first + 1 == plan->axes[a].digit);
			for (unsigned digit = first + 1; digit < plan->axes[a].n_digits; digit++)
				values += seen[a].values[digit];
			option->depth[i] = (uint8_t)(first + 1);
			option->cost += (TABLE_COST + LIST_COST * seen[a].per_row / 1000) *
					scaled(values, seen[a].n_values, indexed->dictionaries[a].n);
		}
		for (unsigned level = 0; level <= comparison->n_levels; level++) {
			bool is_unlisted = true;

			for (unsigned i = 0; i < comparison->n_filters && is_unlisted; i++) {
				unsigned digit = digit_at(&plan->axes[plan->axis_of[c][i]], level);

				is_unlisted = digit > 0 ? digit < option->depth[i] : (mask >> i & 1) != 0;
			}
			if (is_unlisted && bound[level] > option->below)
				option->below = bound[level];
		}
		options->n += is_possible;
	}
	join_options_prune(options);
}

/* What an entry reaches at most of which nothing is listed but the value that brought it. */
static int32_t most_alone(const struct join_plan *plan, const struct join_options *options)
{
	int32_t sum = 0, most = 0;

	for (unsigned c = 0; c < plan->domain->n_comparisons; c++) {
		int32_t unlisted = options[c].option[options[c].chosen].below;

		sum += unlisted;
		if (plan->below[c][0][0] - unlisted > most)
			most = plan->below[c][0][0] - unlisted;
	}
	return sum + most;
}

/* An entry of which nothing else is listed should need no exact check: list so much more that it cannot reach the
 * floor. */
static void list_more(struct join_plan *plan, const struct index *asking, const struct index *indexed,
		      uint8_t bound[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1], const struct digits_seen *seen,
		      struct join_options *options)
{
	int32_t excess;
	bool goes_on = true;

	for (unsigned c = 0; c < plan->domain->n_comparisons; c++)
		list_prunings(plan, indexed, c, often_missing(plan, asking, c), bound[c], seen, &options[c]);
	while (goes_on && (excess = most_alone(plan, options) - plan->floor) >= 0) {
		int32_t sum = 0;

		for (unsigned c = 0; c < plan->domain->n_comparisons; c++)
			sum += options[c].option[options[c].chosen].below;
		goes_on = join_options_choose(options, plan->domain->n_comparisons, sum - excess);
	}
	for (unsigned a = 0; a < plan->n_axes; a++) {
		const struct pool_axis *p = &plan->pool_axes[a];
		const struct join_options *o = &options[p->comparison];

		plan->axes[a].digit = o->option[o->chosen].depth[p->place];
		while (plan->axes[a].n_listed < deepest(&plan->axes[a]) &&
		       (plan->axes[a].at_rank[plan->axes[a].n_listed] == 0 ||
			plan->axes[a].at_rank[plan->axes[a].n_listed] >= plan->axes[a].digit))
			plan->axes[a].n_listed++;
	}
}

static void choose_lists(struct join_plan *plan, const struct index *asking, const struct index *indexed,
			 uint8_t bound[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1], struct join_options *options,
			 struct digits_seen *seen)
{
	const struct study_domain *domain = plan->domain;

	for (unsigned a = 0; a < plan->n_axes; a++) {
		plan->axes[a].nearly_unique = index_is_nearly_unique(indexed, a);
		sample_digits(asking, indexed, a, &seen[a]);
	}
	for (unsigned c = 0; c < domain->n_comparisons; c++)
		list_options(plan, indexed, c, often_missing(plan, asking, c), seen, &options[c]);
	if (!join_options_choose(options, domain->n_comparisons, plan->floor)) {
		/* Not for records that lack something; they read all, and the others what they need. */
		for (unsigned c = 0; c < domain->n_comparisons; c++)
			list_options(plan, indexed, c, 0, seen, &options[c]);
		(void)join_options_choose(options, domain->n_comparisons, plan->floor);
	}
	for (unsigned a = 0; a < plan->n_axes; a++) {
		const struct pool_axis *p = &plan->pool_axes[a];
		const struct join_options *o = &options[p->comparison];

		plan->axes[a].digit = (uint8_t)digit_for(&plan->axes[a], o->option[o->chosen].depth[p->place]);
	}
	list_more(plan, asking, indexed, bound, seen, options);
}

enum rc join_plan_make(const struct index *asking, const struct index *indexed, struct join_plan *plan)
{
	uint8_t bound[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1];
	struct join_options *options = malloc(STUDY_MAX_COMPARISONS * sizeof *options);
	struct digits_seen *seen = malloc(STUDY_MAX_FILTERS * sizeof *seen);

	if (options == NULL || seen == NULL) {
		free(options);
		free(seen);
		return RC_NOMEM;
	}
	memset(plan, 0, sizeof *plan);
	plan->domain = indexed->pool->domain;
	plan->pool_axes = indexed->pool->axes;
	plan->n_axes = indexed->n_axes;
	for (unsigned a = 0; a < plan->n_axes; a++)
		plan->axis_of[plan->pool_axes[a].comparison][plan->pool_axes[a].place] = (uint8_t)a;
	make_bounds(plan, bound);
	for (unsigned c = 0; c < plan->domain->n_comparisons; c++) {
		order_digits(plan, c, bound[c]);
		fill_below(plan, c, bound[c]);
	}
	choose_lists(plan, asking, indexed, bound, options, seen);
	for (unsigned c = 0; c < plan->domain->n_comparisons; c++)
		fill_worth(plan, c, bound[c]);
	free(options);
	free(seen);
	return RC_OK;
}
