/* How many matches there are in all, of those found and those missed, between two sources and by group of persons.
 *
 * EM of model.c lets the candidates of a person compete, and learns m from pairs above the floor. That is right for
 * links and counts too few matches: a person who is twice in a source splits one match, and what is below the floor
 * teaches nothing. Here every pair of persons stands alone, and m is that of all matches, those below the floor
 * included: from the levels of what is above follows how often independent errors add up to less (Dempster, Laird and
 * Rubin 1977, section 4.2, truncated data). Where pairs within the sources show more resemblance by chance than m and u
 * expect, the odds of a band of weights are lowered until as many non-matches are left as the null counts.
 *
 * The answer depends on whether m is taken from the links (first round) or from everything that resembles them (last
 * round): the first leans to agreement, the last to chance. The estimate is the middle, and the two are its limits; the
 * upper one also looks at what is left if persons with a sure link have no other match (docs/methods.md). */
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

/* Take the edges of a group, 0 = all; false when it has no pairs. */
static bool take_part(struct recall *r, unsigned group, double n_all)
{
	const struct run *run = r->run;
	const struct run_segment *segment = r->segment;
	double n_a = 0, n_b = 0;

	for (uint32_t i = 0; i < run->n; i++) {
		if (run->person[i] != i || (group != 0 && r->group[i] != group))
			continue;
		n_a += run->slot[i] == segment->slot_a;
		n_b += run->slot[i] == segment->slot_b;
	}
	r->n_pairs = n_all;
	if (group != 0)
		r->n_pairs = n_a * run->n_persons[segment->slot_b] + n_b * (run->n_persons[segment->slot_a] - n_a);
	r->share_of_chance = r->n_pairs / n_all;
	r->n_part = 0;
	r->start = 0;
	for (size_t i = 0; i < r->n; i++) {
		if (group != 0 && r->edges[i].group != group)
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

/* All rounds of a part, and how many matches there are after them: of all, the middle of what the first and the last
 * round say; of a group that is tied, the last. */
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
	double n_links = 0, doubt = 0, spread = 0, r2;
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
	for (unsigned band = 0; band < RECALL_BANDS; band++)
		spread += r->is_lowered[band] ? r->variance[band] * r->share_of_chance : 0;
	e.is_lowered = spread > 0 || r->has_doubles;
	e.least = e.least < e.n_matches ? e.least : e.n_matches;
	e.n_matches = e.n_matches > e.n_true ? e.n_matches : e.n_true;
	e.least = e.least > e.n_true ? e.least : e.n_true;
	e.most = e.most > e.n_matches ? e.most : e.n_matches;
	r2 = e.n_true / e.n_matches;
	e.error = square_root((r2 * (1 - r2) * e.n_matches + 1 + r2 * r2 * spread)) / e.n_matches;
	e.most = e.most > (1 + least_doubt) * e.n_matches ? e.most : (1 + least_doubt) * e.n_matches;
	*ret = e;
	return RC_OK;
}

static uint64_t rounded(double x)
{
	return x > 0 ? (uint64_t)(x + 0.5) : 0;
}

static void add_group(const struct recall *r, unsigned group, const struct recall_estimate *e)
{
	struct link_result *result = r->run->result;
	/* Where sources hold doubles, what is missed of a person who was found has been counted as missed so far. */
	double parts = r->has_doubles ? further_numbers(r) : 0, missed = e->n_matches - e->n_true - parts;

	result->groups[result->n_groups++] = (struct link_group){
		.source_a = r->run->source_of_slot[r->segment->slot_a],
		.source_b = r->run->source_of_slot[r->segment->slot_b],
		.group = (uint8_t)group,
		.n_true = rounded(e->n_true),
		.n_false = rounded(e->n_false),
		.n_missed = rounded(missed),
		.n_doubt = rounded(hypotenuse((e->most - e->least) / 2, parts)),
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

static enum rc estimate_groups(struct recall *r, double false_share)
{
	const struct run *run = r->run;
	struct recall_estimate part;
	double n_all = (double)run->n_persons[r->segment->slot_a] * run->n_persons[r->segment->slot_b];
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
		if (!take_part(r, g, n_all))
			continue;
		r->part_group = g;
		r->is_tied = is_tied;
		rc = estimate_part(r, false_share, &part);
		if (rc == RC_OK && r->is_tied && !agrees_with_untied(r, &part)) {
			r->is_tied = false;
			rc = estimate_part(r, false_share, &part);
		}
		if (rc == RC_OK)
			add_group(r, g, &part);
	}
	return rc;
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
	if (take_part(r, 0, r->n_pairs))
		rc = estimate_part(r, false_share, &whole);
	if (rc == RC_OK && r->n_groups > 0)
		rc = estimate_groups(r, false_share);
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
	free(r);
	return rc;
}
