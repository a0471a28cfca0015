/* EM over the pairs of persons of a part, each of which stands alone: how many matches the part has.
 *
 * m is that of all matches of the part, those below the floor included: from the levels of what is above follows how
 * often independent errors add up to less (Dempster, Laird and Rubin 1977, section 4.2, truncated data). Where pairs
 * within the sources show more resemblance by chance than m and u expect, the odds of a band of weights are lowered
 * until as many non-matches are left as the null counts. */
#include "daemon/link/recall.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"

enum {
	SHARE_ROUNDS = 5,
	HALVINGS = 30,
	COARSE = 32, /* reference weights (1/256 log2 units) are added up in eighths of a unit */
};

static const double least_share = 0.05; /* above the floor, that is believed */

/* ---- sums over many edges ---- */

/* Call fn for the blocks of edges first … end-1 of the part; those sums are then added in order. */
static size_t each_block(struct recall *r, size_t first, size_t end, void (*fn)(void *ctx, size_t block))
{
	size_t n = (end - first + RECALL_BLOCK - 1) / RECALL_BLOCK;

	r->first = first;
	r->end = end;
	parallel_for(run_n_threads(r->run), n, fn, r);
	return n;
}

static size_t block_end(const struct recall *r, size_t block, size_t *ret_first)
{
	*ret_first = r->first + block * RECALL_BLOCK;
	return r->end - *ret_first < RECALL_BLOCK ? r->end : *ret_first + RECALL_BLOCK;
}

static void block_strangers(void *ctx, size_t block)
{
	struct recall *r = ctx;
	size_t i, end = block_end(r, block, &i);
	double sum = 0;

	for (; i < end; i++)
		sum += 1 / (1 + r->factor * r->odds[i]);
	r->blocks[block].strangers = sum;
}

/* Of edges first … end-1, how many are expected to be no matches if their odds are multiplied by the factor. */
static double strangers_in(struct recall *r, size_t first, size_t end, double factor)
{
	double sum = 0;

	r->factor = factor;
	size_t n = each_block(r, first, end, block_strangers);
	for (size_t block = 0; block < n; block++)
		sum += r->blocks[block].strangers;
	return sum;
}

/* ---- calibration ---- */

/* Lower the odds of the bands in which the null counts more strangers than are left: to its count, or in a group, whose
 * rounds go on until they stand still, half-way to what its error allows, since nothing raises the odds of bands in
 * which chance made the null too small. */
static void calibrate(struct recall *r)
{
	memset(r->is_lowered, 0, sizeof r->is_lowered);
	for (size_t i = 0, j; i < r->n_part; i = j) {
		unsigned band = recall_band_of(r->part[i].weight);
		double chance = r->chance[band] * r->share_of_chance, low = 0, high = 1;
		double error = square_root(r->variance[band] * r->share_of_chance + 1);

		for (j = i; j < r->n_part && recall_band_of(r->part[j].weight) == band;)
			j++;
		if (chance > 0.999 * (double)(j - i))
			chance = 0.999 * (double)(j - i);
		if (strangers_in(r, i, j, 1) >= chance - error)
			continue;
		if (r->is_tied)
			chance = chance > error / 2 ? chance - error / 2 : 0;
		for (unsigned step = 0; step < HALVINGS; step++) {
			double middle = (low + high) / 2;

			if (strangers_in(r, i, j, middle) > chance)
				low = middle;
			else
				high = middle;
		}
		for (size_t k = i; k < j; k++)
			r->odds[k] *= high;
		r->is_lowered[band] = true;
	}
}

/* ---- what the floor leaves out ---- */

static int32_t coarse_weight(const struct study_comparison *comparison, unsigned level)
{
	int32_t weight = comparison->reference_weight[level];

	return weight >= 0 ? (weight + COARSE / 2) / COARSE : -((COARSE / 2 - weight) / COARSE);
}

/* The smallest and the largest weight of a comparison. */
static void weight_range(const struct study_comparison *comparison, int32_t *ret_min, int32_t *ret_max)
{
	*ret_min = *ret_max = 0;
	for (unsigned level = 0; level <= comparison->n_levels; level++) {
		int32_t weight = coarse_weight(comparison, level);

		*ret_min = weight < *ret_min ? weight : *ret_min;
		*ret_max = weight > *ret_max ? weight : *ret_max;
	}
}

/* How likely the weights of all comparisons but `without` add up to each sum, the smallest first; *ret_min is it. Into
 * r->sums; returns how many there are. */
static size_t add_up(struct recall *r, unsigned without, int32_t *ret_min)
{
	const struct study_domain *domain = r->run->domain;
	size_t n = 1;

	*ret_min = 0;
	r->sums[0] = 1;
	for (unsigned c = 0; c < domain->n_comparisons; c++) {
		int32_t min, max;
		double *swap = r->sums;

		if (c == without)
			continue;
		weight_range(&domain->comparisons[c], &min, &max);
		memset(r->spare, 0, (n + (size_t)(max - min)) * sizeof *r->spare);
		for (unsigned level = 0; level <= domain->comparisons[c].n_levels; level++) {
			double *to = r->spare + (coarse_weight(&domain->comparisons[c], level) - min);
			double share = r->share[c][level];

			for (size_t w = 0; share > 0 && w < n; w++)
				to[w] += share * r->sums[w];
		}
		r->sums = r->spare;
		r->spare = swap;
		n += (size_t)(max - min);
		*ret_min += min;
	}
	return n;
}

static double share_below(const struct recall *r, size_t n, int32_t min, int32_t limit)
{
	double below = 0;

	for (size_t w = 0; w < n && min + (int32_t)w < limit; w++)
		below += r->sums[w];
	return below < 1 ? below : 1;
}

/* One round for the levels of all matches, given those of the matches above the floor: share[c][l] is proportional to
 * seen[c][l] + matches · share[c][l] · P(below | l). Returns the number of matches. */
static double add_unseen(struct recall *r)
{
	const struct study_domain *domain = r->run->domain;
	int32_t floor = domain->floor >= 0 ? domain->floor / COARSE : -(-domain->floor / COARSE), min;
	size_t n = add_up(r, STUDY_MAX_COMPARISONS, &min);
	double above = 1 - share_below(r, n, min, floor), matches;

	matches = r->above / (above > least_share ? above : least_share);
	for (unsigned c = 0; c < domain->n_comparisons; c++) {
		const struct study_comparison *comparison = &domain->comparisons[c];
		double sum = 0;

		n = add_up(r, c, &min);
		for (unsigned level = 0; level <= comparison->n_levels; level++) {
			double below = r->share[c][level] > 0
					       ? share_below(r, n, min, floor - coarse_weight(comparison, level))
					       : 0;

			r->next[c][level] = r->seen[c][level] + matches * r->share[c][level] * below;
			sum += r->next[c][level];
		}
		for (unsigned level = 0; level <= comparison->n_levels; level++)
			r->next[c][level] = sum > 0 ? r->next[c][level] / sum : level == 0;
	}
	memcpy(r->share, r->next, sizeof r->share);
	return matches;
}

/* ---- EM over pairs that stand alone ---- */

static void set_ratios(struct recall *r, double matches, const level_table m)
{
	const struct model *model = &r->run->model;

	for (unsigned c = 0; c < r->run->domain->n_comparisons; c++) {
		const struct study_comparison *comparison = &r->run->domain->comparisons[c];
		double total[N_COMPARED_MASKS] = {0};

		r->ratio[c][0] = 1;
		for (unsigned level = 1; level <= comparison->n_levels; level++)
			total[run_level_mask(comparison, level)] += matches * m[c][level] + model->u[c][level];
		for (unsigned level = 1; level <= comparison->n_levels; level++) {
			double u = model->u[c][level], sum = total[run_level_mask(comparison, level)];

			r->ratio[c][level] = u > 0 && sum > 0 ? (matches * m[c][level] + u) / sum / u : 1;
		}
	}
}

static void block_odds(void *ctx, size_t block)
{
	struct recall *r = ctx;
	size_t i, end = block_end(r, block, &i);

	for (; i < end; i++) {
		const struct recall_edge *edge = &r->part[i];
		double odds = r->prior * edge->frequency;

		for (unsigned c = 0; c < r->run->domain->n_comparisons; c++)
			odds *= r->ratio[c][edge->pattern.level[c]];
		r->odds[i] = r->with_slots ? odds * edge->slots : odds;
	}
}

static void block_levels(void *ctx, size_t block)
{
	struct recall *r = ctx;
	struct recall_sums *sums = &r->blocks[block];
	size_t i, end = block_end(r, block, &i);

	memset(sums, 0, sizeof *sums);
	for (; i < end; i++) {
		const struct recall_edge *edge = &r->part[i];
		double p = r->odds[i] / (1 + r->odds[i]);

		sums->above += p;
		sums->links += edge->is_link ? p : 0;
		for (unsigned c = 0; c < r->run->domain->n_comparisons; c++)
			sums->seen[c][edge->pattern.level[c]] += p;
	}
}

static void expect(struct recall *r, double matches, bool with_slots)
{
	const struct study_domain *domain = r->run->domain;
	double lambda = matches < r->n_pairs / 2 ? matches / r->n_pairs : 0.5;

	r->prior = lambda / (1 - lambda);
	r->with_slots = with_slots;
	each_block(r, 0, r->n_part, block_odds);
	if (!r->has_doubles)
		calibrate(r);
	memset(r->seen, 0, sizeof r->seen);
	r->above = r->links = 0;
	size_t n = each_block(r, 0, r->n_part, block_levels);
	for (size_t block = 0; block < n; block++) {
		r->above += r->blocks[block].above;
		r->links += r->blocks[block].links;
		for (unsigned c = 0; c < domain->n_comparisons; c++) {
			for (unsigned level = 0; level <= domain->comparisons[c].n_levels; level++)
				r->seen[c][level] += r->blocks[block].seen[c][level];
		}
	}
}

/* Errors may be more frequent in a group than elsewhere, but are of the same kinds: what is not full agreement is
 * spread over the other levels as among all matches. Else the few matches of a group that are hard to tell from chance
 * would take their levels from it, and draw more of it in with every round. */
static void tie_to_pooled(struct recall *r)
{
	for (unsigned c = 0; c < r->run->domain->n_comparisons; c++) {
		const struct study_comparison *comparison = &r->run->domain->comparisons[c];
		double own[N_COMPARED_MASKS] = {0}, pooled[N_COMPARED_MASKS] = {0};
		unsigned full[N_COMPARED_MASKS] = {0};

		for (unsigned level = 1; level <= comparison->n_levels; level++) {
			unsigned mask = run_level_mask(comparison, level);

			own[mask] += r->share[c][level];
			pooled[mask] += r->pooled[c][level];
			full[mask] = level; /* the last of them */
		}
		for (unsigned level = 1; level <= comparison->n_levels; level++) {
			unsigned mask = run_level_mask(comparison, level);
			double rest = pooled[mask] - r->pooled[c][full[mask]];

			if (level != full[mask] && rest > 0)
				r->share[c][level] =
					(own[mask] - r->share[c][full[mask]]) * (r->pooled[c][level] / rest);
		}
	}
}

enum rc recall_count_part(struct recall *r, unsigned n_rounds, bool with_slots, double *ret_first, double *ret_last)
{
	const struct study_domain *domain = r->run->domain;
	double matches = r->start;

	memcpy(r->share, r->run->model.m, sizeof r->share);
	for (unsigned round = 0; round < n_rounds; round++) {
		double before = matches;

		if (run_is_stopped(r->run))
			return RC_STOPPING;
		/* m of the model has its priors already: 2⁵⁰ matches are not moved by another. */
		set_ratios(r, round == 0 ? 0x1p50 : matches, r->share);
		expect(r, matches, with_slots);
		for (unsigned c = 0; round == 0 && c < domain->n_comparisons; c++) {
			for (unsigned level = 0; level <= domain->comparisons[c].n_levels; level++)
				r->share[c][level] = r->above > 0 ? r->seen[c][level] / r->above : level == 0;
		}
		for (unsigned i = 0; i < (round == 0 ? SHARE_ROUNDS : 1); i++) {
			matches = add_unseen(r);
			if (r->is_tied)
				tie_to_pooled(r);
		}
		if (round == 0) {
			*ret_first = matches;
			r->first_links = r->links;
		}
		if (round >= RECALL_ROUNDS && matches - before < 1e-4 * matches && before - matches < 1e-4 * matches)
			break;
	}
	*ret_last = matches;
	return RC_OK;
}

size_t recall_n_sums(const struct run *run)
{
	size_t n = 1;

	for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
		int32_t min, max;

		weight_range(&run->domain->comparisons[c], &min, &max);
		n += (size_t)(max - min);
	}
	return n;
}
