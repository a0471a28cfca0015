/* Duplicates within a source that carry no common person number: a prison register has a row for each release.
 *
 * Pairs within a source are duplicates or chance. How many are duplicates is read off at the top: pairs of persons
 * across sources that are matches have some distribution of weights, M(w); duplicates within a source have the same
 * shape, r · M(w). Above the median of M chance pairs are rare, so r = N_within / M there. Identical records are left
 * out on both sides: they are joined already. With r the share of duplicates is known at every weight, records are
 * joined where duplicates prevail, and the within-source null (null.c) leaves them out of account. Where a source has
 * no duplicates r is near zero and is set to zero. */
#include "daemon/link/run.h"

#include <stdlib.h>
#include <string.h>

enum { MIN_TOP_PAIRS = 10 }; /* below so many pairs at the top, r is not told from zero */
static const double min_ratio = 0.01;

unsigned within_bin(int32_t weight)
{
	int32_t bin =
		WITHIN_BIN_OF_ZERO + (weight >= 0 ? weight / WEIGHT_ONE : -((-weight + WEIGHT_ONE - 1) / WEIGHT_ONE));

	return bin < 0 ? 0 : bin >= WITHIN_BINS ? WITHIN_BINS - 1 : (unsigned)bin;
}

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
	return pool_has_person_id(run->pool, run->row[pair->a]) && pool_has_person_id(run->pool, run->row[pair->b]);
}

/* Expected matches between the source and others by weight, identical records left out. */
static enum rc match_shape(const struct run *run, uint16_t slot, double shape[WITHIN_BINS])
{
	memset(shape, 0, WITHIN_BINS * sizeof shape[0]);
	for (size_t s = 0; s < run->n_segments; s++) {
		const struct run_segment *segment = &run->segments[s];
		struct run_edge *edges;
		size_t n_edges;
		enum rc rc;

		if (segment->slot_a == segment->slot_b || (segment->slot_a != slot && segment->slot_b != slot))
			continue;
		rc = run_best_edges(run, run->person, segment->first, segment->end, &edges, &n_edges);
		if (rc != RC_OK)
			return rc;
		for (size_t i = 0; i < n_edges; i++) {
			const struct run_pair *pair = &run->pairs[edges[i].pair];

			if (!is_identical(run, pair))
				shape[within_bin(edges[i].weight)] += pair->probability;
		}
		free(edges);
	}
	return RC_OK;
}

/* r of the file's comment. */
static double duplicate_ratio(const double shape[WITHIN_BINS], const double within[WITHIN_BINS])
{
	double all = 0, top = 0, top_within = 0;

	for (unsigned bin = 0; bin < WITHIN_BINS; bin++)
		all += shape[bin];
	for (unsigned bin = WITHIN_BINS; bin-- > 0 && top < all / 2;) {
		top += shape[bin];
		top_within += within[bin];
	}
	if (top_within < MIN_TOP_PAIRS || top <= 0 || top_within / top < min_ratio)
		return 0;
	return top_within / top;
}

enum rc within_estimate(const struct run *run, uint16_t slot, const struct run_edge *edges, size_t n_edges,
			struct within_estimate *ret)
{
	double shape[WITHIN_BINS], within[WITHIN_BINS] = {0}, ratio, gain = 0, best = 0;
	enum rc rc = match_shape(run, slot, shape);

	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < n_edges; i++) {
		if (!is_known_different(run, &run->pairs[edges[i].pair]) &&
		    !is_identical(run, &run->pairs[edges[i].pair]))
			within[within_bin(edges[i].weight)] += 1;
	}
	ratio = run->all_numbered[slot] ? 0 : duplicate_ratio(shape, within);
	ret->has_duplicates = ratio > 0;
	ret->join_from = INT32_MAX;
	for (unsigned bin = WITHIN_BINS; bin-- > 0;) {
		double duplicates = ratio * shape[bin] < within[bin] ? ratio * shape[bin] : within[bin];

		ret->false_share[bin] = within[bin] > 0 ? 1 - duplicates / within[bin] : 1;
		gain += 2 * duplicates - within[bin];
		if (gain > best) {
			best = gain;
			ret->join_from = ((int32_t)bin - WITHIN_BIN_OF_ZERO) * WEIGHT_ONE;
		}
	}
	return RC_OK;
}

/* Person numbers are the custodian's word: two groups that both have one are never joined. */
static void join_edges(struct run *run, const struct run_edge *edges, size_t n_edges, int32_t from, bool *numbered,
		       bool *ret_joined)
{
	for (size_t i = 0; i < n_edges && edges[i].weight >= from; i++) {
		uint32_t a = run_root(run->person, edges[i].person_a), b = run_root(run->person, edges[i].person_b);

		if (a == b || (numbered[a] && numbered[b]))
			continue;
		numbered[a] = numbered[b] = numbered[a] || numbered[b];
		run_join(run->person, a, b);
		*ret_joined = true;
	}
}

enum rc run_join_within(struct run *run, bool *ret_joined)
{
	bool *numbered = calloc(run->n > 0 ? run->n : 1, sizeof *numbered);
	bool joined = false;
	enum rc rc = numbered == NULL ? RC_NOMEM : RC_OK;

	for (uint32_t i = 0; rc == RC_OK && i < run->n; i++) {
		if (pool_has_person_id(run->pool, run->row[i]))
			numbered[run->person[i]] = true;
	}
	for (uint16_t slot = 0; slot < run->n_slots && rc == RC_OK; slot++) {
		const struct run_segment *segment = run_find_segment(run, slot, slot);
		struct within_estimate estimate;
		struct run_edge *edges;
		size_t n_edges;

		rc = run_best_edges(run, run->certain, segment->first, segment->end, &edges, &n_edges);
		if (rc != RC_OK)
			break;
		rc = within_estimate(run, slot, edges, n_edges, &estimate);
		if (rc == RC_OK && estimate.join_from != INT32_MAX)
			join_edges(run, edges, n_edges, estimate.join_from, numbered, &joined);
		free(edges);
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
