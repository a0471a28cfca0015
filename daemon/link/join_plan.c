/* The plan of a join: bounds of weights, and down to which level similar values are listed. Whatever it says, the join
 * is exact; it decides how much work that is. */
#include "daemon/link/join.h"

#include <string.h>

enum {
	SAMPLE_ASKED = 16,      /* values that ask … */
	SAMPLE_VALUES = 2048,   /* … against so many values of the index, evenly spread over both */
	LIST_PER_THOUSAND = 60, /* of the values of an index at most, where the thresholds do not need more */
	LIST_COST = 4,          /* of a listed value that serves one record only, in entries read */
	MAX_STEPS = 256,
};

unsigned join_level(const struct index *asking, const struct index *indexed, unsigned c, uint32_t asked, uint32_t value)
{
	const struct link_pool *pool = indexed->pool;
	const struct study_comparison *comparison = &pool->domain->comparisons[c];
	unsigned level = 0, radix = 1;

	for (unsigned i = 0; i < comparison->n_filters; i++) {
		unsigned f = comparison->filters[i];
		const struct dictionary *x = &asking->dictionaries[f], *y = &indexed->dictionaries[f];
		uint32_t a = index_part(asking, c, asked, i), b = index_part(indexed, c, value, i);
		size_t bytes = pool->n_lines[f] * KERNEL_LINE;
		uint16_t both;

		if (x->popcounts[a] != 0 && y->popcounts[b] != 0) {
			pool->kernel->count_run(x->filters + a * bytes, y->filters + b * bytes, pool->n_lines[f], 1,
						&both);
			level += radix * level_digit(&pool->inverse[f], comparison->cuts[i], comparison->n_cuts[i],
						     x->popcounts[a], y->popcounts[b], both);
		}
		radix *= comparison->n_cuts[i] + 2u;
	}
	return level;
}

/* One scale for all comparisons, so that bounds add up: a bound is the weight above the comparison's least, in steps
 * rounded up. */
static void make_bounds(struct join_plan *plan)
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
			plan->bound[c][level] =
				(uint8_t)((domain->comparisons[c].reference_weight[level] - least[c] + step - 1) /
					  step);
	}
	plan->floor = rest <= 0 ? 0 : (rest + step - 1) / step;
}

/* What listing down to some level costs and leaves over. */
struct step {
	uint8_t unlisted, digit;
	uint64_t cost;     /* entries to read, of a record that asks */
	uint64_t n_listed; /* values */
};
struct steps {
	struct step step[MAX_STEPS];
	unsigned n, chosen;
};

/* Sampled values and rows by level. */
struct levels_seen {
	uint64_t values[STUDY_MAX_LEVELS + 1], rows[STUDY_MAX_LEVELS + 1], n_values, n_rows;
};

static void sample_levels(const struct index *asking, const struct index *indexed, unsigned c, struct levels_seen *seen)
{
	const struct index_values *values = &indexed->values[c];
	uint32_t n_asked = asking->values[c].n < SAMPLE_ASKED ? asking->values[c].n : SAMPLE_ASKED;
	uint32_t n_values = values->n < SAMPLE_VALUES ? values->n : SAMPLE_VALUES;

	memset(seen, 0, sizeof *seen);
	for (uint32_t i = 0; i < n_asked; i++) {
		uint32_t asked = (uint32_t)((uint64_t)asking->values[c].n * (2 * i + 1) / (2 * n_asked));

		for (uint32_t j = 0; j < n_values; j++) {
			uint32_t value = (uint32_t)((uint64_t)values->n * (2 * j + 1) / (2 * n_values));
			unsigned level = join_level(asking, indexed, c, asked, value);
			uint32_t n_rows = values->start[value + 1] - values->start[value];

			seen->values[level]++;
			seen->rows[level] += n_rows;
			seen->n_values++;
			seen->n_rows += n_rows;
		}
	}
}

static uint64_t scaled(uint64_t part, uint64_t of, uint64_t to)
{
	return of == 0 ? 0 : part * to / of + (part > 0);
}

/* The ways to list comparison c: nothing, then one level more at a time, heaviest first. */
static void make_steps(const struct join_plan *plan, const struct index *indexed, unsigned c,
		       const struct levels_seen *seen, struct steps *steps)
{
	const struct study_comparison *comparison = &plan->domain->comparisons[c];
	bool is_one = comparison->n_filters == 1;
	int last = 256;

	steps->n = 0;
	steps->chosen = 0;
	for (unsigned k = 0; k < MAX_STEPS; k++) {
		struct step *step = &steps->step[steps->n];
		uint64_t values = 0, rows = 0;
		int unlisted = -1;

		/* Of one filter: at least digit n_cuts + 2 - k. Of several: above the next smaller bound. */
		if (is_one && k > comparison->n_cuts[0])
			break;
		step->digit = (uint8_t)(comparison->n_cuts[0] + 2u - k);
		for (unsigned level = 0; level <= comparison->n_levels; level++) {
			int bound = plan->bound[c][level];

			if ((is_one ? level > 0 && level < step->digit : bound < last) && bound > unlisted)
				unlisted = bound;
		}
		if (unlisted < 0)
			break;
		for (unsigned level = 0; level <= comparison->n_levels; level++) {
			bool listed = plan->bound[c][level] > unlisted;

			values += listed ? seen->values[level] : 0;
			rows += listed ? seen->rows[level] : 0;
		}
		last = unlisted;
		step->unlisted = (uint8_t)unlisted;
		step->n_listed = scaled(values, seen->n_values, indexed->values[c].n);
		step->cost = scaled(rows, seen->n_rows, index_n_rows(indexed)) +
			     (plan->nearly_unique[c] ? LIST_COST * step->n_listed : 0) + 1;
		steps->n++;
	}
}

/* Lower the thresholds, the cheapest gain first, until what lies below all of them is below the floor. */
static void choose_steps(const struct join_plan *plan, struct steps *all)
{
	unsigned n = plan->domain->n_comparisons;

	for (;;) {
		int32_t sum = 0;
		double best_gain = 0;
		unsigned best = n, best_step = 0;

		for (unsigned c = 0; c < n; c++)
			sum += all[c].step[all[c].chosen].unlisted;
		if (sum < plan->floor)
			return;
		for (unsigned c = 0; c < n; c++) {
			const struct step *now = &all[c].step[all[c].chosen];

			for (unsigned k = all[c].chosen + 1; k < all[c].n; k++) {
				const struct step *next = &all[c].step[k];
				int32_t gain = now->unlisted - next->unlisted, needed = sum - plan->floor + 1;
				uint64_t cost = next->cost > now->cost ? next->cost - now->cost : 1;
				double worth = (double)(gain < needed ? gain : needed) / (double)cost;

				if (worth > best_gain) {
					best_gain = worth;
					best = c;
					best_step = k;
				}
			}
		}
		if (best == n)
			return; /* the floor is so low that nothing can be left out: the join reads all */
		all[best].chosen = best_step;
	}
}

void join_plan_make(const struct index *asking, const struct index *indexed, struct join_plan *plan)
{
	struct steps steps[STUDY_MAX_COMPARISONS];

	memset(plan, 0, sizeof *plan);
	plan->domain = indexed->pool->domain;
	make_bounds(plan);
	for (unsigned c = 0; c < plan->domain->n_comparisons; c++) {
		struct levels_seen seen;

		plan->nearly_unique[c] = (uint64_t)indexed->values[c].n * 2 > index_n_rows(indexed) &&
					 plan->domain->comparisons[c].n_filters == 1;
		sample_levels(asking, indexed, c, &seen);
		make_steps(plan, indexed, c, &seen, &steps[c]);
	}
	choose_steps(plan, steps);
	for (unsigned c = 0; c < plan->domain->n_comparisons; c++) {
		struct steps *s = &steps[c];

		while (!plan->nearly_unique[c] && s->chosen + 1 < s->n &&
		       s->step[s->chosen + 1].n_listed * 1000 <= (uint64_t)indexed->values[c].n * LIST_PER_THOUSAND)
			s->chosen++;
		plan->unlisted[c] = s->step[s->chosen].unlisted;
		plan->digit[c] = s->step[s->chosen].digit;
	}
}
