/* The pairs of persons that recall is estimated from: which of them are links, whose group they are in, how much of a
 * person each stands for, and how many chance would bring of each weight. */
#include "daemon/link/recall.h"

#include <stdlib.h>
#include <string.h>

unsigned recall_band_of(int32_t weight)
{
	int64_t band = ((int64_t)weight - (int64_t)RECALL_LOWEST_BAND * RECALL_BAND) / RECALL_BAND;

	return band < 0 ? 0 : band >= RECALL_BANDS ? RECALL_BANDS - 1 : (unsigned)band;
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

static void look_within(struct recall *r, unsigned side, const struct run_pair *median)
{
	const struct run *run = r->run;
	uint16_t slot = side == 0 ? r->segment->slot_a : r->segment->slot_b;
	const struct within_estimate *estimate = &run->within[slot];
	const struct run_edges *edges = &run_find_segment(run, slot, slot)->edges;
	double n = run->n_persons[slot], n_pairs = n * (n - 1) / 2, scale = r->n_pairs / n_pairs / 2, odds;

	if (n < 3)
		return;
	r->lambda_within[side] = doubles_share(edges->at, edges->n, n_pairs, median);
	if (estimate->has_duplicates && estimate->lambda > r->lambda_within[side])
		r->lambda_within[side] = estimate->lambda;
	r->has_doubles = r->has_doubles || estimate->has_duplicates;
	odds = r->lambda_within[side] / (1 - r->lambda_within[side]);
	for (size_t i = 0; i < edges->n; i++) {
		double stranger = 1 / (1 + odds * run->pairs[edges->at[i].pair].ratio);

		r->chance[recall_band_of(edges->at[i].weight)] += stranger * scale;
		r->variance[recall_band_of(edges->at[i].weight)] += stranger * scale * scale;
		recall_tally_add(r->tally, run, &run->pairs[edges->at[i].pair], -stranger * scale);
	}
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

/* Of persons of a source who have a sure link, the mean number of records. */
static double mean_linked(const struct run *run, const double *sure, const uint32_t *n_records, uint16_t slot)
{
	double n = 0, sum = 0;

	for (uint32_t i = 0; i < run->n; i++) {
		if (run->person[i] == i && run->slot[i] == slot && sure[i] >= 0) {
			n += 1;
			sum += n_records[i];
		}
	}
	return n > 0 ? sum / n : 1;
}

/* Who matches a person with a sure link to somebody else is most likely a part of that somebody, whom the register
 * numbers twice: as much of a person is missed as there are records in that part. */
static enum rc weigh_parts(struct recall *r, const struct run_edge *edges, const double *sure)
{
	const struct run *run = r->run;
	uint32_t *n_records = calloc(run->n > 0 ? run->n : 1, sizeof *n_records);

	if (n_records == NULL)
		return RC_NOMEM;
	for (uint32_t i = 0; i < run->n; i++)
		n_records[run->person[i]]++;
	double mean_a = mean_linked(run, sure, n_records, r->segment->slot_a);
	double mean_b = mean_linked(run, sure, n_records, r->segment->slot_b);
	for (size_t i = 0; i < r->n; i++) {
		double part_a = n_records[edges[i].person_a] / mean_a, part_b = n_records[edges[i].person_b] / mean_b;

		r->edges[i].worth = 1;
		if (sure[edges[i].person_b] >= 0 && part_a < 1)
			r->edges[i].worth *= part_a;
		if (sure[edges[i].person_a] >= 0 && part_b < 1)
			r->edges[i].worth *= part_b;
	}
	free(n_records);
	return RC_OK;
}

/* Those of the segment, not yet links of anybody. */
static enum rc take_edges(struct recall *r)
{
	const struct run_edges *edges = &r->segment->edges;

	r->n = edges->n;
	r->edges = calloc(r->n + 1, sizeof *r->edges);
	r->part = calloc(r->n + 1, sizeof *r->part);
	r->odds = calloc(r->n + 1, sizeof *r->odds);
	r->blocks = calloc(r->n / RECALL_BLOCK + 2, sizeof *r->blocks);
	if (r->edges == NULL || r->part == NULL || r->odds == NULL || r->blocks == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < r->n; i++) {
		const struct run_edge *edge = &edges->at[i];
		const struct run_pair *pair = &r->run->pairs[edge->pair];
		uint8_t group = r->group[edge->person_a];

		r->edges[i] = (struct recall_edge){.pair = edge->pair,
						   .weight = edge->weight,
						   .frequency = pair->frequency,
						   .probability = pair->probability,
						   .pattern = pair->pattern,
						   .group = group != 0 ? group : r->group[edge->person_b]};
	}
	return RC_OK;
}

enum rc recall_find_edges(struct recall *r, int32_t threshold)
{
	const struct run *run = r->run;
	const struct run_edge *edges = r->segment->edges.at;
	double *sure = malloc((run->n > 0 ? run->n : 1) * sizeof *sure);
	enum rc rc = sure == NULL ? RC_NOMEM : RC_OK;

	for (uint32_t i = 0; rc == RC_OK && i < run->n; i++)
		sure[i] = -1;
	if (rc == RC_OK && run->options->group != NULL)
		rc = group_persons(r);
	if (rc == RC_OK)
		rc = take_edges(r);
	if (rc == RC_OK) {
		mark_links(r, edges, threshold, sure);
		const struct run_pair *median = median_link(r);
		if (median != NULL) {
			look_within(r, 0, median);
			look_within(r, 1, median);
		}
	}
	for (size_t i = 0; rc == RC_OK && i < r->n; i++) {
		r->in_band[recall_band_of(edges[i].weight)] += 1;
		recall_tally_add(r->tally, run, &run->pairs[edges[i].pair], 1);
	}
	for (size_t i = 0; rc == RC_OK && i < r->n; i++)
		r->edges[i].slots = r->edges[i].is_link ? 1
							: slot_factor(r, 0, sure[edges[i].person_b]) *
								  slot_factor(r, 1, sure[edges[i].person_a]);
	if (rc == RC_OK)
		rc = weigh_parts(r, edges, sure);
	free(sure);
	return rc;
}
