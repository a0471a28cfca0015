/* Duplicates within a source that carry no common person number: a prison register has a row for each release.
 *
 * Pairs within a source are duplicates or chance. Whether there are duplicates at all is read off at the top: above the
 * median weight of the matches across sources, chance pairs are rare. Where next to nothing is found there the source
 * is taken to be free of duplicates, and all that links within it is chance: this is what makes the null (null.c)
 * honest about twins and families, which no model of independent fields sees. Otherwise the share λ_w of duplicates
 * comes from EM with the m and u of the model; pairs more likely than not are joined, and the null counts each pair by
 * the probability that it is no duplicate. Identical records are left out on both sides: they are joined already. */
#include "daemon/link/run.h"

#include <stdlib.h>
#include <string.h>

enum {
	MIN_TOP_PAIRS = 10,   /* below so many pairs at the top, duplicates are not told from none, … */
	MIN_TIMES_CHANCE = 5, /* … nor when they are not that many times more than chance, … */
	LAMBDA_ROUNDS = 60,
};
static const double min_top_share = 0.01; /* … nor below this share of the matches there */

static bool is_identical(const struct run *run, const struct run_pair *pair)
{
	for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
		if (run->value[c][pair->a] != run->value[c][pair->b])
			return false;
	}
	return true;
}

/* Both persons have a number, so they are known to be different. */
static bool is_known_different(const struct run *run, const struct run_pair *pair)
{
	return run->is_numbered[pair->a] && run->is_numbered[pair->b];
}

struct weighed {
	int32_t weight;
	double probability, ratio;
};

static int compare_weighed(const void *x, const void *y)
{
	const struct weighed *p = x, *q = y;

	if (p->weight != q->weight)
		return p->weight > q->weight ? -1 : 1;
	return p->probability > q->probability ? -1 : p->probability < q->probability;
}

/* Matches between the source and others, heaviest first, identical records left out. */
static enum rc gather_matches(const struct run *run, uint16_t slot, struct weighed **ret, size_t *ret_n)
{
	size_t n = 0, cap = 0;
	unsigned n_cross = 0;
	struct weighed *matches;

	for (size_t s = 0; s < run->n_segments; s++)
		cap += run->segments[s].edges.n;
	matches = malloc((cap > 0 ? cap : 1) * sizeof *matches);
	if (matches == NULL)
		return RC_NOMEM;
	for (size_t s = 0; s < run->n_segments; s++) {
		const struct run_segment *segment = &run->segments[s];

		if (segment->slot_a == segment->slot_b || (segment->slot_a != slot && segment->slot_b != slot))
			continue;
		for (size_t i = 0; i < segment->edges.n; i++) {
			const struct run_edge *edge = &segment->edges.at[i];
			const struct run_pair *pair = &run->pairs[edge->pair];

			if (!is_identical(run, pair))
				matches[n++] = (struct weighed){edge->weight, pair->probability, pair->ratio};
		}
		n_cross++;
	}
	/* Edges of one segment are sorted already. */
	if (n_cross > 1)
		qsort(matches, n, sizeof *matches, compare_weighed);
	*ret = matches;
	*ret_n = n;
	return RC_OK;
}

/* How many of n_pairs chance pairs reach the likelihood ratio of the median match, if comparisons are independent:
 * since u = m / ratio, P_u(at least ratio) <= P_m(at least ratio) / ratio, and P_m is a half there. */
static double chance_above_median(double n_pairs, double ratio)
{
	return n_pairs / (2 * ratio);
}

/* Are there as many pairs within the source above the median match as only duplicates explain? And does the custodian
 * number some people twice, as records show that are identical under two numbers? Similar ones would not: they may be
 * twins. */
static void look_at_top(const struct run *run, const struct weighed *matches, size_t n_matches,
			const struct run_edge *edges, size_t n_edges, double n_pairs, struct within_estimate *ret)
{
	double all = 0, top = 0, chance;
	size_t median = 0, within = 0, twice = 0;

	for (size_t i = 0; i < n_matches; i++)
		all += matches[i].probability;
	while (median < n_matches && top < all / 2)
		top += matches[median++].probability;
	if (median == 0)
		return;
	for (size_t i = 0; i < n_edges && edges[i].weight >= matches[median - 1].weight; i++) {
		const struct run_pair *pair = &run->pairs[edges[i].pair];

		within += !is_known_different(run, pair) && !is_identical(run, pair);
		twice += is_known_different(run, pair) && is_identical(run, pair);
	}
	chance = chance_above_median(n_pairs, matches[median - 1].ratio);
	chance = MIN_TOP_PAIRS + MIN_TIMES_CHANCE * chance;
	ret->numbers_repeat = (double)twice >= chance;
	ret->has_duplicates =
		ret->numbers_repeat || ((double)within >= chance && (double)within >= min_top_share * top);
}

double within_probability(const struct run *run, const struct within_estimate *estimate, const struct run_edge *edge)
{
	const struct run_pair *pair = &run->pairs[edge->pair];
	double odds;

	if (!estimate->has_duplicates || (is_known_different(run, pair) && !estimate->numbers_repeat))
		return 0;
	odds = estimate->lambda / (1 - estimate->lambda) * pair->ratio;
	return odds / (1 + odds);
}

/* EM for the share of duplicates alone, m and u held. Pairs known to be different take no part. */
static enum rc fit_lambda(const struct run *run, const struct run_edge *edges, size_t n_edges, double n_pairs,
			  struct within_estimate *estimate)
{
	double *ratios = malloc((n_edges > 0 ? n_edges : 1) * sizeof *ratios), before = -1;
	size_t n = 0;

	if (ratios == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < n_edges; i++) {
		if (estimate->numbers_repeat || !is_known_different(run, &run->pairs[edges[i].pair]))
			ratios[n++] = run->pairs[edges[i].pair].ratio;
	}
	estimate->lambda = 1 / n_pairs;
	for (unsigned round = 0; round < LAMBDA_ROUNDS; round++) {
		double sum = 0, prior_odds = estimate->lambda / (1 - estimate->lambda);

		for (size_t i = 0; i < n; i++)
			sum += prior_odds * ratios[i] / (1 + prior_odds * ratios[i]);
		estimate->lambda = sum < n_pairs / 2 ? sum / n_pairs : 0.5;
		if (sum - before < 1e-5 * sum && before - sum < 1e-5 * sum)
			break;
		before = sum;
	}
	free(ratios);
	return RC_OK;
}

enum rc within_estimate(const struct run *run, uint16_t slot, struct within_estimate *ret)
{
	const struct run_edges *edges = &run_find_segment(run, slot, slot)->certain;
	double n = run->n_certain[slot];
	struct weighed *matches;
	size_t n_matches;
	enum rc rc;

	*ret = (struct within_estimate){0};
	if (n < 3)
		return RC_OK;
	rc = gather_matches(run, slot, &matches, &n_matches);
	if (rc != RC_OK)
		return rc;
	look_at_top(run, matches, n_matches, edges->at, edges->n, n * (n - 1) / 2, ret);
	if (ret->has_duplicates)
		rc = fit_lambda(run, edges->at, edges->n, n * (n - 1) / 2, ret);
	free(matches);
	return rc;
}

/* Person numbers are the custodian's word: two groups that both have one are never joined. */
static bool join_edges(struct run *run, const struct within_estimate *estimate, const struct run_edges *edges,
		       bool *numbered)
{
	bool joined = false;

	for (size_t i = 0; i < edges->n; i++) {
		const struct run_edge *edge = &edges->at[i];
		uint32_t a = run_root(run->person, edge->person_a), b = run_root(run->person, edge->person_b);

		if (a == b || (numbered[a] && numbered[b]) || within_probability(run, estimate, edge) <= 0.5)
			continue;
		numbered[a] = numbered[b] = numbered[a] || numbered[b];
		run_join(run->person, a, b);
		joined = true;
	}
	return joined;
}

enum rc run_join_within(struct run *run, bool *ret_joined)
{
	bool *numbered = calloc(run->n > 0 ? run->n : 1, sizeof *numbered);
	bool joined = false;
	enum rc rc = numbered == NULL ? RC_NOMEM : RC_OK;

	for (uint32_t i = 0; rc == RC_OK && i < run->n; i++) {
		if (run->is_numbered[i])
			numbered[run->person[i]] = true;
	}
	for (uint16_t slot = 0; slot < run->n_slots && rc == RC_OK; slot++) {
		if (join_edges(run, &run->within[slot], &run_find_segment(run, slot, slot)->certain, numbered))
			joined = true;
	}
	if (rc == RC_OK) {
		memset(run->n_persons, 0, sizeof run->n_persons);
		for (uint32_t i = 0; i < run->n; i++) {
			run->person[i] = run_root(run->person, i);
			run->n_persons[run->slot[i]] += run->person[i] == i;
		}
		*ret_joined = joined;
	}
	free(numbered);
	return rc;
}
