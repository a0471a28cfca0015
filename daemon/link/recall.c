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
#include "daemon/link/run.h"

#include <stdlib.h>
#include <string.h>

enum {
	BAND = 2 * WEIGHT_ONE, /* of match weights that are calibrated together … */
	LOWEST_BAND = -20,     /* … from here on, and the rest in one at each end */
	N_BANDS = 64,
	ROUNDS = 8,
	SHARE_ROUNDS = 5,
	HALVINGS = 30,
	COARSE = 32, /* reference weights (1/256 log2 units) are added up in eighths of a unit */
};

static const double least_share = 0.05;  /* above the floor, that is believed */
static const double least_doubt = 0.005; /* there may be that share more matches, even where the rounds agree */

typedef double level_table[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1];

struct recall_edge {
	uint32_t pair; /* of run.pairs */
	int32_t weight;
	double slots; /* factor of the odds where sure links take both persons' slots */
	double odds;
	uint8_t group;
	bool is_link;
};

struct recall {
	const struct run *run;
	const struct run_segment *segment;
	struct recall_edge *edges, *part; /* heaviest first; `part`: those of one group */
	size_t n, n_part;
	uint8_t *group; /* of each person, 0 = none */
	unsigned n_groups;
	bool has_doubles; /* in the sources: the null holds them too */
	/* Non-matches expected among all pairs of persons, by band of weights, and the variance of that. */
	double chance[N_BANDS], variance[N_BANDS];
	double lambda_within[2]; /* share of the pairs within the source that are doubles */
	/* of the part that is estimated */
	double n_pairs, share_of_chance, start;
	bool is_lowered[N_BANDS]; /* by the null */
	double above, links,
		first_links; /* expected matches above the floor; among the links; those in the first round */
	level_table ratio, seen, share, next;
	double *sums, *spare; /* distribution of reference weights */
};

static unsigned band_of(int32_t weight)
{
	int64_t band = ((int64_t)weight - (int64_t)LOWEST_BAND * BAND) / BAND;

	return band < 0 ? 0 : band >= N_BANDS ? N_BANDS - 1 : (unsigned)band;
}

/* ---- what chance brings, from pairs within the sources ---- */

/* Doubles of a source that are still apart: twice as many as there are pairs above the median link, less what chance
 * explains there (P_u(ratio >= x) <= P_m(ratio >= x) / x). */
static double doubles_share(const struct run_edge *edges, size_t n, double n_pairs, const struct run_pair *median)
{
	double top = 0;

	for (size_t i = 0; i < n && edges[i].weight >= median->weight; i++)
		top += 1;
	top -= n_pairs / (2 * median->ratio);
	return top > 0 ? 2 * top / n_pairs : 0;
}

static enum rc look_within(struct recall *r, unsigned side, const struct run_pair *median)
{
	const struct run *run = r->run;
	uint16_t slot = side == 0 ? r->segment->slot_a : r->segment->slot_b;
	const struct run_segment *within = run_find_segment(run, slot, slot);
	double n = run->n_persons[slot], n_pairs = n * (n - 1) / 2, scale = r->n_pairs / n_pairs / 2, odds;
	struct within_estimate estimate;
	struct run_edge *edges;
	size_t n_edges;
	enum rc rc;

	if (n < 3)
		return RC_OK;
	rc = run_best_edges(run, run->certain, within->first, within->end, &edges, &n_edges);
	if (rc != RC_OK)
		return rc;
	rc = within_estimate(run, slot, edges, n_edges, &estimate);
	free(edges);
	if (rc == RC_OK)
		rc = run_best_edges(run, run->person, within->first, within->end, &edges, &n_edges);
	if (rc != RC_OK)
		return rc;
	r->lambda_within[side] = doubles_share(edges, n_edges, n_pairs, median);
	if (estimate.has_duplicates && estimate.lambda > r->lambda_within[side])
		r->lambda_within[side] = estimate.lambda;
	r->has_doubles = r->has_doubles || estimate.has_duplicates;
	odds = r->lambda_within[side] / (1 - r->lambda_within[side]);
	for (size_t i = 0; i < n_edges; i++) {
		double stranger = 1 / (1 + odds * run->pairs[edges[i].pair].ratio);

		r->chance[band_of(edges[i].weight)] += stranger * scale;
		r->variance[band_of(edges[i].weight)] += stranger * scale * scale;
	}
	free(edges);
	return RC_OK;
}

/* Lower the odds of the bands in which the null counts more strangers than are left. */
static void calibrate(struct recall *r)
{
	memset(r->is_lowered, 0, sizeof r->is_lowered);
	for (size_t i = 0, j; i < r->n_part; i = j) {
		unsigned band = band_of(r->part[i].weight);
		double chance = r->chance[band] * r->share_of_chance, strangers = 0, low = 0, high = 1;
		double error = square_root(r->variance[band] * r->share_of_chance + 1);

		for (j = i; j < r->n_part && band_of(r->part[j].weight) == band; j++)
			strangers += 1 / (1 + r->part[j].odds);
		if (chance > 0.999 * (double)(j - i))
			chance = 0.999 * (double)(j - i);
		if (strangers >= chance - error)
			continue;
		for (unsigned step = 0; step < HALVINGS; step++) {
			double middle = (low + high) / 2, sum = 0;

			for (size_t k = i; k < j; k++)
				sum += 1 / (1 + middle * r->part[k].odds);
			if (sum > chance)
				low = middle;
			else
				high = middle;
		}
		for (size_t k = i; k < j; k++)
			r->part[k].odds *= high;
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

static void expect(struct recall *r, double matches, bool with_slots)
{
	const struct run *run = r->run;
	double lambda = matches < r->n_pairs / 2 ? matches / r->n_pairs : 0.5, prior = lambda / (1 - lambda);

	for (size_t i = 0; i < r->n_part; i++) {
		const struct run_pair *pair = &run->pairs[r->part[i].pair];
		double odds = prior * pair->frequency;

		for (unsigned c = 0; c < run->domain->n_comparisons; c++)
			odds *= r->ratio[c][pair->pattern.level[c]];
		r->part[i].odds = with_slots ? odds * r->part[i].slots : odds;
	}
	if (!r->has_doubles)
		calibrate(r);
	memset(r->seen, 0, sizeof r->seen);
	r->above = r->links = 0;
	for (size_t i = 0; i < r->n_part; i++) {
		const struct link_pattern *pattern = &run->pairs[r->part[i].pair].pattern;
		double p = r->part[i].odds / (1 + r->part[i].odds);

		r->above += p;
		r->links += r->part[i].is_link ? p : 0;
		for (unsigned c = 0; c < run->domain->n_comparisons; c++)
			r->seen[c][pattern->level[c]] += p;
	}
}

/* The number of matches after the first and after the last round. */
static enum rc count_matches(struct recall *r, unsigned n_rounds, bool with_slots, double *ret_first, double *ret_last)
{
	const struct study_domain *domain = r->run->domain;
	double matches = r->start;

	memcpy(r->share, r->run->model.m, sizeof r->share);
	for (unsigned round = 0; round < n_rounds; round++) {
		if (run_is_stopped(r->run))
			return RC_STOPPING;
		/* m of the model has its priors already: 2⁵⁰ matches are not moved by another. */
		set_ratios(r, round == 0 ? 0x1p50 : matches, r->share);
		expect(r, matches, with_slots);
		for (unsigned c = 0; round == 0 && c < domain->n_comparisons; c++) {
			for (unsigned level = 0; level <= domain->comparisons[c].n_levels; level++)
				r->share[c][level] = r->above > 0 ? r->seen[c][level] / r->above : level == 0;
		}
		for (unsigned i = 0; i < (round == 0 ? SHARE_ROUNDS : 1); i++)
			matches = add_unseen(r);
		if (round == 0) {
			*ret_first = matches;
			r->first_links = r->links;
		}
	}
	*ret_last = matches;
	return RC_OK;
}

/* ---- the pairs ---- */

/* Greedily one to one down to the threshold, as links are made. Edges come heaviest first. */
static void mark_links(struct recall *r, const struct run_edge *edges, int32_t threshold, double *sure)
{
	double prior = r->segment->lambda / (1 - r->segment->lambda);

	for (size_t i = 0; i < r->n && edges[i].weight >= threshold; i++) {
		double odds = prior * r->run->pairs[edges[i].pair].ratio;

		if (sure[edges[i].person_a] >= 0 || sure[edges[i].person_b] >= 0)
			continue;
		sure[edges[i].person_a] = sure[edges[i].person_b] = odds / (1 + odds);
		r->edges[i].is_link = true;
	}
}

static const struct run_pair *median_link(const struct recall *r)
{
	size_t n = 0, at = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->edges[i].is_link;
	for (size_t i = 0; i < r->n; i++) {
		at += r->edges[i].is_link;
		if (r->edges[i].is_link && at * 2 >= n)
			return &r->run->pairs[r->edges[i].pair];
	}
	return NULL;
}

/* The group of a person: the one that most of its records are in, ties to the smaller number. */
static enum rc group_persons(struct recall *r)
{
	const struct run *run = r->run;
	const uint8_t *group = run->options->group;
	uint32_t *best = calloc(run->n > 0 ? run->n : 1, sizeof *best);
	uint32_t *n = malloc((run->n > 0 ? run->n : 1) * sizeof *n);
	enum rc rc = best == NULL || n == NULL ? RC_NOMEM : RC_OK;

	for (uint32_t i = 0; rc == RC_OK && i < run->n; i++)
		r->n_groups = group[run->row[i]] > r->n_groups ? group[run->row[i]] : r->n_groups;
	for (unsigned g = 1; rc == RC_OK && g <= r->n_groups; g++) {
		memset(n, 0, run->n * sizeof *n);
		for (uint32_t i = 0; i < run->n; i++)
			n[run->person[i]] += group[run->row[i]] == g;
		for (uint32_t i = 0; i < run->n; i++) {
			if (n[i] > best[i]) {
				best[i] = n[i];
				r->group[i] = (uint8_t)g;
			}
		}
	}
	free(best);
	free(n);
	return rc;
}

/* A person with a sure link has a match beside it only as far as the other source holds people twice. */
static double slot_factor(const struct recall *r, unsigned side, double sure)
{
	double lambda = r->segment->lambda;

	return sure > 0 && r->lambda_within[side] < lambda ? 1 - sure * (1 - r->lambda_within[side] / lambda) : 1;
}

static enum rc prepare(struct recall *r, int32_t threshold)
{
	const struct run *run = r->run;
	struct run_edge *edges = NULL;
	double *sure = malloc((run->n > 0 ? run->n : 1) * sizeof *sure);
	enum rc rc = sure == NULL ? RC_NOMEM
				  : run_best_edges(run, run->person, r->segment->first, r->segment->end, &edges, &r->n);

	for (uint32_t i = 0; rc == RC_OK && i < run->n; i++)
		sure[i] = -1;
	if (rc == RC_OK) {
		r->edges = calloc(r->n + 1, sizeof *r->edges);
		r->part = calloc(r->n + 1, sizeof *r->part);
		rc = r->edges == NULL || r->part == NULL ? RC_NOMEM : RC_OK;
	}
	if (rc == RC_OK && run->options->group != NULL)
		rc = group_persons(r);
	for (size_t i = 0; rc == RC_OK && i < r->n; i++)
		r->edges[i] =
			(struct recall_edge){.pair = edges[i].pair,
					     .weight = edges[i].weight,
					     .group = r->group[edges[i].person_a] != 0 ? r->group[edges[i].person_a]
										       : r->group[edges[i].person_b]};
	if (rc == RC_OK) {
		mark_links(r, edges, threshold, sure);
		const struct run_pair *median = median_link(r);
		if (median != NULL)
			rc = look_within(r, 0, median);
		if (median != NULL && rc == RC_OK)
			rc = look_within(r, 1, median);
	}
	for (size_t i = 0; rc == RC_OK && i < r->n; i++)
		r->edges[i].slots = r->edges[i].is_link ? 1
							: slot_factor(r, 0, sure[edges[i].person_b]) *
								  slot_factor(r, 1, sure[edges[i].person_a]);
	free(edges);
	free(sure);
	return rc;
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
		r->start += run->pairs[r->edges[i].pair].probability;
	}
	return r->n_pairs > 0 && r->start > 0;
}

/* `false_share`: of the doubt about the links of all, how much is false. */
static enum rc estimate_part(struct recall *r, double false_share, struct recall_estimate *ret)
{
	double n_links = 0, doubt = 0, first, last, limited, spread = 0, r2;
	struct recall_estimate e = {0};
	enum rc rc = count_matches(r, 1, true, &limited, &limited);

	if (rc == RC_OK)
		rc = count_matches(r, ROUNDS, false, &first, &last);
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < r->n_part; i++) {
		n_links += r->part[i].is_link;
		doubt += r->part[i].is_link ? 1 - r->run->pairs[r->part[i].pair].probability : 0;
	}
	e.n_false = doubt * false_share < n_links ? doubt * false_share : n_links;
	e.n_true = n_links - e.n_false > r->first_links ? n_links - e.n_false : r->first_links;
	for (unsigned band = 0; band < N_BANDS; band++)
		spread += r->is_lowered[band] ? r->variance[band] * r->share_of_chance : 0;
	e.is_lowered = spread > 0 || r->has_doubles;
	e.n_matches = (first + last) / 2;
	e.least = 2 / (1 / first + 1 / limited);
	e.most = last > first ? last : first;
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

	result->groups[result->n_groups++] = (struct link_group){
		.source_a = r->run->source_of_slot[r->segment->slot_a],
		.source_b = r->run->source_of_slot[r->segment->slot_b],
		.group = (uint8_t)group,
		.n_true = rounded(e->n_true),
		.n_false = rounded(e->n_false),
		.n_missed = rounded(e->n_matches - e->n_true),
		.n_doubt = rounded((e->most - e->least) / 2),
	};
}

static enum rc estimate(struct recall *r, const struct null_estimate *null, struct recall_estimate *ret)
{
	struct link_result *result = r->run->result;
	double doubt = 0, false_share;
	struct recall_estimate whole = {0}, part;
	enum rc rc = RC_OK;

	if (null->threshold == INT32_MAX)
		return RC_OK;
	for (size_t i = 0; i < r->n; i++)
		doubt += r->edges[i].is_link ? 1 - r->run->pairs[r->edges[i].pair].probability : 0;
	false_share = doubt > 0 ? null->n_false / doubt : 0;
	if (take_part(r, 0, r->n_pairs))
		rc = estimate_part(r, false_share, &whole);
	if (rc == RC_OK && r->n_groups > 0 && result->groups == NULL)
		result->groups = calloc(r->run->n_segments * LINK_MAX_GROUPS, sizeof *result->groups);
	if (rc == RC_OK && r->n_groups > 0 && result->groups == NULL)
		rc = RC_NOMEM;
	for (unsigned g = 1; rc == RC_OK && g <= r->n_groups; g++) {
		if (!take_part(r, g,
			       (double)r->run->n_persons[r->segment->slot_a] * r->run->n_persons[r->segment->slot_b]))
			continue;
		rc = estimate_part(r, false_share, &part);
		if (rc == RC_OK)
			add_group(r, g, &part);
	}
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
		rc = prepare(r, null->threshold);
	if (rc == RC_OK)
		rc = estimate(r, null, ret);
	free(r->edges);
	free(r->part);
	free(r->group);
	free(r->sums);
	free(r->spare);
	free(r);
	return rc;
}
