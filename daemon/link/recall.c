/* How many matches there are in all, of those found and those missed, between two sources and by group of persons.
 *
 * EM of model.c lets the candidates of a person compete, and learns m from pairs above the floor. That is right for
 * links and no count of matches: a person who is twice in a source splits one match, at little overlap chance is taken
 * for matches by the thousand, and what is below the floor teaches nothing. Matches of all are counted band by band of
 * weights (recall_bands.c).
 *
 * A group of persons has too few matches for that. There every pair of persons stands alone, and m is that of all
 * matches of the group, those below the floor included: from the levels of what is above follows how often independent
 * errors add up to less (Dempster, Laird and Rubin 1977, section 4.2, truncated data). Where pairs within the sources
 * show more resemblance by chance than m and u expect, the odds of a band of weights are lowered until as many
 * non-matches are left as the null counts. The answer depends on whether m is taken from the links (first round) or
 * from everything that resembles them (last round): the first leans to agreement, the last to chance. The estimate is
 * the middle, and the two are its limits, unless groups can be tied to each other; and where sources hold doubles, the
 * groups together have no more matches than there are of all (docs/methods.md). */
#include "daemon/link/recall.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"

enum {
	ROUNDS = 8,
	TIED_ROUNDS = 60, /* at most, until the matches of a group stand still */
	SHARE_ROUNDS = 5,
	HALVINGS = 30,
	COARSE = 32, /* reference weights (1/256 log2 units) are added up in eighths of a unit */
};

static const double least_share = 0.05;  /* above the floor, that is believed */
static const double most_moved = 0.1;    /* share of a group's matches by which it may be moved, if it is tied */
static const double least_doubt = 0.005; /* there may be that share more matches, even where the rounds agree */

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

/* The number of matches after the first and after the last round. */
static enum rc count_matches(struct recall *r, unsigned n_rounds, bool with_slots, double *ret_first, double *ret_last)
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
		if (round >= ROUNDS && matches - before < 1e-4 * matches && before - matches < 1e-4 * matches)
			break;
	}
	*ret_last = matches;
	return RC_OK;
}

/* Room for the sums of all comparisons. */
static enum rc make_room(struct recall *r)
{
	size_t n = 1;

	for (unsigned c = 0; c < r->run->domain->n_comparisons; c++) {
		int32_t min, max;

		weight_range(&r->run->domain->comparisons[c], &min, &max);
		n += (size_t)(max - min);
	}
	r->sums = calloc(n, sizeof *r->sums);
	r->spare = calloc(n, sizeof *r->spare);
	r->group = calloc(r->run->n > 0 ? r->run->n : 1, sizeof *r->group);
	return r->sums == NULL || r->spare == NULL || r->group == NULL ? RC_NOMEM : RC_OK;
}

/* Take the edges of a group; false when it has no pairs. */
static bool take_part(struct recall *r, unsigned group, double n_all)
{
	const struct run *run = r->run;
	const struct run_segment *segment = r->segment;
	double n_a = 0, n_b = 0;

	for (uint32_t i = 0; i < run->n; i++) {
		if (run->person[i] != i || r->group[i] != group)
			continue;
		n_a += run->slot[i] == segment->slot_a;
		n_b += run->slot[i] == segment->slot_b;
	}
	r->n_pairs = n_a * run->n_persons[segment->slot_b] + n_b * (run->n_persons[segment->slot_a] - n_a);
	r->share_of_chance = r->n_pairs / n_all;
	r->n_part = 0;
	r->start = 0;
	for (size_t i = 0; i < r->n; i++) {
		if (r->edges[i].group != group)
			continue;
		r->part[r->n_part++] = r->edges[i];
		r->start += r->edges[i].probability;
	}
	return r->n_pairs > 0 && r->start > 0;
}

static double hypotenuse(double a, double b)
{
	return square_root(a * a + b * b);
}

/* Of the matches that are no links those of somebody who has a sure link already: most likely a further number of one
 * person. */
static double further_numbers(const struct recall *r)
{
	double parts = 0;

	for (size_t i = 0; i < r->n_part; i++) {
		if (!r->part[i].is_link)
			parts += (1 - r->part[i].worth) * r->odds[i] / (1 + r->odds[i]);
	}
	return parts;
}

/* All rounds of a group, and how many matches there are after them: the middle of what the first and the last round
 * say; if it is tied, the last. */
static enum rc count_part(struct recall *r, struct recall_estimate *ret)
{
	double first, last, limited, error = 0;
	struct recall_estimate e = {0};
	enum rc rc = count_matches(r, 1, true, &limited, &limited);

	if (rc == RC_OK)
		rc = count_matches(r, r->is_tied ? TIED_ROUNDS : ROUNDS, false, &first, &last);
	if (rc != RC_OK)
		return rc;
	for (unsigned band = 0; band < RECALL_BANDS; band++)
		error += r->is_lowered[band] ? r->variance[band] * r->share_of_chance * r->share_of_chance +
						       r->chance[band] * r->share_of_chance
					     : 0;
	e.n_matches = r->is_tied ? last : (first + last) / 2;
	e.least = 2 / (1 / first + 1 / limited);
	e.most = last > first ? last : first;
	if (r->is_tied) {
		double doubt = hypotenuse((last - first) / 2, 2 * square_root(error)), parts = further_numbers(r);

		doubt = hypotenuse(doubt, last - r->untied[r->part_group]);

		e.n_matches = last > parts ? last - parts : 0;
		e.least = e.n_matches > doubt ? e.n_matches - doubt : 0;
		e.most = e.n_matches + doubt;
	}
	*ret = e;
	return RC_OK;
}

/* `false_share`: of the doubt about the links of all, how much is false. */
static enum rc estimate_part(struct recall *r, double false_share, struct recall_estimate *ret)
{
	double n_links = 0, doubt = 0;
	struct recall_estimate e;
	enum rc rc = count_part(r, &e);

	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < r->n_part; i++) {
		n_links += r->part[i].is_link;
		doubt += r->part[i].is_link ? 1 - r->part[i].probability : 0;
	}
	e.n_false = doubt * false_share < n_links ? doubt * false_share : n_links;
	e.n_true = n_links - e.n_false > r->first_links ? n_links - e.n_false : r->first_links;
	if (r->is_tied)
		e.n_true = r->links;
	e.least = e.least < e.n_matches ? e.least : e.n_matches;
	e.n_matches = e.n_matches > e.n_true ? e.n_matches : e.n_true;
	e.least = e.least > e.n_true ? e.least : e.n_true;
	e.most = e.most > e.n_matches ? e.most : e.n_matches;
	e.most = e.most > (1 + least_doubt) * e.n_matches ? e.most : (1 + least_doubt) * e.n_matches;
	*ret = e;
	return RC_OK;
}

static uint64_t rounded(double x)
{
	return x > 0 ? (uint64_t)(x + 0.5) : 0;
}

struct group_estimate {
	unsigned group;
	struct recall_estimate of;
	double further; /* numbers of persons who were found, among what is missed; where sources hold doubles */
};

static void add_group(const struct recall *r, const struct group_estimate *g)
{
	struct link_result *result = r->run->result;
	const struct recall_estimate *e = &g->of;

	result->groups[result->n_groups++] = (struct link_group){
		.source_a = r->run->source_of_slot[r->segment->slot_a],
		.source_b = r->run->source_of_slot[r->segment->slot_b],
		.group = (uint8_t)g->group,
		.n_true = rounded(e->n_true),
		.n_false = rounded(e->n_false),
		.n_missed = rounded(e->n_matches - e->n_true - g->further),
		.n_doubt = rounded(hypotenuse((e->most - e->least) / 2, g->further)),
	};
}

/* What the levels of all groups' matches are together, each group by itself so far: one model of all would know little
 * of the errors of a group that has far more of them. */
static enum rc pool_groups(struct recall *r, double n_all)
{
	double first = 0, last = 0;
	enum rc rc = RC_OK;

	memset(r->pooled, 0, sizeof r->pooled);
	for (unsigned g = 1; rc == RC_OK && g <= r->n_groups; g++) {
		if (!take_part(r, g, n_all))
			continue;
		rc = count_matches(r, ROUNDS, false, &first, &last);
		for (unsigned c = 0; c < r->run->domain->n_comparisons; c++) {
			for (unsigned level = 0; level <= r->run->domain->comparisons[c].n_levels; level++)
				r->pooled[c][level] += last * r->share[c][level];
		}
		r->untied[g] = (first + last) / 2;
	}
	return rc;
}

/* A group that is moved far has errors of its own kinds, and stands alone. */
static bool agrees_with_untied(const struct recall *r, const struct recall_estimate *tied)
{
	double untied = r->untied[r->part_group], by = tied->n_matches - untied;

	return by <= most_moved * untied && -by <= most_moved * untied;
}

/* Where a source holds doubles the null does too, and does not keep a group from taking chance in. Groups that together
 * miss more than all do by their limits have: what they miss is cut to what all miss, in the same proportion, and their
 * doubt is that about all. */
static void limit_groups(const struct recall_estimate *whole, struct group_estimate *groups, size_t n)
{
	double found = 0, missed = 0, share, doubt;

	for (size_t i = 0; i < n; i++) {
		found += groups[i].of.n_true;
		missed += groups[i].of.n_matches - groups[i].of.n_true;
	}
	if (missed <= 0 || found + missed <= whole->most)
		return;
	share = whole->n_matches > found ? (whole->n_matches - found) / missed : 0;
	doubt = (whole->most - whole->n_matches) / missed;
	for (size_t i = 0; i < n; i++) {
		struct recall_estimate *e = &groups[i].of;
		double own = e->n_matches - e->n_true;

		e->n_matches = e->n_true + own * share;
		e->most = e->n_matches + own * doubt;
		e->least = e->n_matches - own * doubt;
		groups[i].further *= share;
	}
}

static enum rc estimate_groups(struct recall *r, double false_share, const struct recall_estimate *whole)
{
	const struct run *run = r->run;
	struct group_estimate groups[LINK_MAX_GROUPS];
	double n_all = (double)run->n_persons[r->segment->slot_a] * run->n_persons[r->segment->slot_b];
	size_t n = 0;
	enum rc rc = RC_OK;

	if (run->result->groups == NULL)
		run->result->groups = calloc(run->n_segments * LINK_MAX_GROUPS, sizeof *run->result->groups);
	if (run->result->groups == NULL)
		return RC_NOMEM;
	/* Where a source holds doubles the null does too, and nothing keeps many rounds from taking chance in. */
	bool is_tied = r->n_groups > 1 && !r->has_doubles;
	if (is_tied)
		rc = pool_groups(r, n_all);
	for (unsigned g = 1; rc == RC_OK && g <= r->n_groups; g++) {
		struct group_estimate *estimate = &groups[n];

		if (!take_part(r, g, n_all))
			continue;
		r->part_group = g;
		r->is_tied = is_tied;
		rc = estimate_part(r, false_share, &estimate->of);
		if (rc == RC_OK && r->is_tied && !agrees_with_untied(r, &estimate->of)) {
			r->is_tied = false;
			rc = estimate_part(r, false_share, &estimate->of);
		}
		estimate->group = g;
		estimate->further = r->has_doubles ? further_numbers(r) : 0;
		n++;
	}
	if (rc != RC_OK)
		return rc;
	if (r->has_doubles)
		limit_groups(whole, groups, n);
	for (size_t i = 0; i < n; i++)
		add_group(r, &groups[i]);
	return RC_OK;
}

/* Of all persons of both sources. What only the expectation says may be twice as much, or half. Where a source holds
 * doubles, half of what is left beside the links may be resemblance that the null took for doubles. */
static enum rc estimate_whole(struct recall *r, const struct null_estimate *null, struct recall_estimate *ret)
{
	struct recall_count count;
	double n_true = null->n_links - null->n_false, r2, doubt;
	enum rc rc = recall_count_matches(r, n_true, &count);

	if (rc != RC_OK)
		return rc;
	doubt = count.by_model + count.below;
	struct recall_estimate e = {
		.n_true = n_true,
		.n_false = null->n_false,
		.n_matches = count.matches > n_true ? count.matches : n_true,
	};
	e.most = e.n_matches + (doubt > least_doubt * e.n_matches ? doubt : least_doubt * e.n_matches);
	e.least = e.n_matches - doubt / 2 > n_true ? e.n_matches - doubt / 2 : n_true;
	if (r->has_doubles)
		e.least = (e.least + n_true) / 2;
	r2 = n_true / e.n_matches;
	e.error = square_root(r2 * (1 - r2) * e.n_matches + 1 + r2 * r2 * count.variance) / e.n_matches;
	*ret = e;
	return RC_OK;
}

static enum rc estimate(struct recall *r, const struct null_estimate *null, struct recall_estimate *ret)
{
	double doubt = 0, false_share;
	struct recall_estimate whole = {0};
	enum rc rc = RC_OK;

	if (null->threshold == INT32_MAX)
		return RC_OK;
	for (size_t i = 0; i < r->n; i++)
		doubt += r->edges[i].is_link ? 1 - r->edges[i].probability : 0;
	false_share = doubt > 0 ? null->n_false / doubt : 0;
	rc = estimate_whole(r, null, &whole);
	if (rc == RC_OK && r->n_groups > 0)
		rc = estimate_groups(r, false_share, &whole);
	if (rc == RC_OK)
		*ret = whole;
	return rc;
}

enum rc run_estimate_recall(const struct run *run, const struct run_segment *segment, const struct null_estimate *null,
			    struct recall_estimate *ret)
{
	struct recall *r = calloc(1, sizeof *r);
	enum rc rc = r == NULL ? RC_NOMEM : RC_OK;

	if (rc != RC_OK)
		return rc;
	r->run = run;
	r->segment = segment;
	r->n_pairs = (double)run->n_persons[segment->slot_a] * run->n_persons[segment->slot_b];
	rc = make_room(r);
	if (rc == RC_OK)
		rc = recall_tally_new(&r->tally);
	if (rc == RC_OK)
		rc = recall_joint_init(&r->joint, run);
	if (rc == RC_OK)
		rc = recall_find_edges(r, null->threshold);
	if (rc == RC_OK)
		rc = estimate(r, null, ret);
	free(r->edges);
	free(r->part);
	free(r->odds);
	free(r->blocks);
	free(r->group);
	free(r->sums);
	free(r->spare);
	free(r->tally);
	recall_joint_deinit(&r->joint);
	free(r);
	return rc;
}
