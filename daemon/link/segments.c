/* Candidate pairs of a run, cut into segments of equal sources in which the pairs of two persons lie side
 * by side. */
#include "daemon/link/run.h"

#include <stdlib.h>

#include "daemon/base/workq.h"
#include "daemon/link/order.h"

static unsigned segment_of(const struct run *run, const struct run_pair *pair)
{
	return (unsigned)run->slot[pair->a] * run->n_slots + run->slot[pair->b];
}

/* Within a source the smaller person comes first, whichever of its records is in the pair. */
static void orient_pairs(struct run *run)
{
	for (size_t i = 0; i < run->n_pairs; i++) {
		struct run_pair *pair = &run->pairs[i];

		if (run->person[pair->a] > run->person[pair->b]) {
			uint32_t rank = pair->a;

			pair->a = pair->b;
			pair->b = rank;
		}
	}
}

/* By segment, person of a, person of b, a, b: the least important first. */
static void order_pairs(const struct run *run, struct order *order, uint32_t *keys)
{
	for (unsigned key = 0; key < 5; key++) {
		for (size_t i = 0; i < run->n_pairs; i++) {
			const struct run_pair *pair = &run->pairs[i];

			keys[i] = key == 0   ? pair->b
				  : key == 1 ? pair->a
				  : key == 2 ? run->person[pair->b]
				  : key == 3 ? run->person[pair->a]
					     : segment_of(run, pair);
		}
		order_by(order, keys);
	}
}

/* Where the segments begin and end in pairs that are sorted. */
static void find_segments(struct run *run)
{
	size_t at = 0;

	run->n_segments = 0;
	for (uint16_t slot_a = 0; slot_a < run->n_slots; slot_a++) {
		for (uint16_t slot_b = slot_a; slot_b < run->n_slots; slot_b++) {
			size_t first = at;

			while (at < run->n_pairs && run->slot[run->pairs[at].a] == slot_a &&
			       run->slot[run->pairs[at].b] == slot_b)
				at++;
			run->segments[run->n_segments++] =
				(struct run_segment){.slot_a = slot_a, .slot_b = slot_b, .first = first, .end = at};
		}
	}
}

enum rc run_cut_segments(struct run *run)
{
	size_t cap = run->n_pairs > 0 ? run->n_pairs : 1;
	struct order order = {0};
	struct run_pair *sorted = malloc(cap * sizeof *sorted);
	uint32_t *keys = malloc(cap * sizeof *keys);
	enum rc rc = order_init(&order, run->n_pairs);

	if (run->segments == NULL)
		run->segments = calloc((size_t)run->n_slots * run->n_slots + 1, sizeof *run->segments);
	if (sorted == NULL || keys == NULL || run->segments == NULL)
		rc = RC_NOMEM;
	if (rc != RC_OK)
		goto out;
	run_forget_edges(run);
	orient_pairs(run);
	order_pairs(run, &order, keys);
	for (size_t i = 0; i < run->n_pairs; i++)
		sorted[i] = run->pairs[order.at[i]];
	free(run->pairs);
	run->pairs = sorted;
	sorted = NULL;
	find_segments(run);
out:
	free(sorted);
	free(keys);
	order_deinit(&order);
	return rc;
}

const struct run_segment *run_find_segment(const struct run *run, uint16_t slot_a, uint16_t slot_b)
{
	for (size_t s = 0; s < run->n_segments; s++) {
		if (run->segments[s].slot_a == slot_a && run->segments[s].slot_b == slot_b)
			return &run->segments[s];
	}
	return NULL;
}

/* ---- edges between persons ---- */

/* Descending weights as ascending keys. */
static uint32_t weight_key(int32_t weight)
{
	return ~((uint32_t)weight ^ UINT32_C(0x80000000));
}

/* Reorder edges by weight alone, heaviest first, or by weight within each two persons. */
static enum rc sort_edges(struct run_edge **edges, size_t n, bool by_persons)
{
	size_t cap = n > 0 ? n : 1;
	struct run_edge *sorted = malloc(cap * sizeof *sorted);
	uint32_t *keys = malloc(cap * sizeof *keys);
	struct order order = {0};
	enum rc rc = order_init(&order, n);

	if (sorted == NULL || keys == NULL)
		rc = RC_NOMEM;
	for (unsigned key = 0; rc == RC_OK && key < (by_persons ? 3 : 1); key++) {
		for (size_t i = 0; i < n; i++)
			keys[i] = key == 0   ? weight_key((*edges)[i].weight)
				  : key == 1 ? (*edges)[i].person_b
					     : (*edges)[i].person_a;
		order_by(&order, keys);
	}
	if (rc == RC_OK) {
		for (size_t i = 0; i < n; i++)
			sorted[i] = (*edges)[order.at[i]];
		free(*edges);
		*edges = sorted;
		sorted = NULL;
	}
	free(sorted);
	free(keys);
	order_deinit(&order);
	return rc;
}

static enum rc best_edges(const struct run *run, const uint32_t *person, const struct run_segment *segment,
			  struct run_edges *ret)
{
	size_t first = segment->first, end = segment->end;
	struct run_edge *edges = malloc((end > first ? end - first : 1) * sizeof *edges);
	size_t n = 0, n_best = 0;
	enum rc rc;

	if (edges == NULL)
		return RC_NOMEM;
	for (size_t i = first; i < end; i++) {
		uint32_t a = person[run->pairs[i].a], b = person[run->pairs[i].b];

		if (a != b)
			edges[n++] = (struct run_edge){a < b ? a : b, a < b ? b : a, (uint32_t)i, run->pairs[i].weight};
	}
	rc = run_is_stopped(run) ? RC_STOPPING : sort_edges(&edges, n, true);
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		if (n_best == 0 || edges[n_best - 1].person_a != edges[i].person_a ||
		    edges[n_best - 1].person_b != edges[i].person_b)
			edges[n_best++] = edges[i];
	}
	if (rc == RC_OK)
		rc = sort_edges(&edges, n_best, false);
	if (rc != RC_OK) {
		free(edges);
		return rc;
	}
	*ret = (struct run_edges){edges, n_best};
	return RC_OK;
}

struct edge_finder {
	struct run *run;
	atomic_int rc;
};

/* Of segment i / 2: by persons, or by certain persons. */
static void find_edges_of(void *ctx, size_t i)
{
	struct edge_finder *finder = ctx;
	struct run *run = finder->run;
	struct run_segment *segment = &run->segments[i / 2];
	enum rc rc = RC_OK;

	if (i % 2 == 0)
		rc = best_edges(run, run->person, segment, &segment->edges);
	else if (segment->slot_a == segment->slot_b)
		rc = best_edges(run, run->certain, segment, &segment->certain);
	if (rc != RC_OK)
		atomic_store(&finder->rc, (int)rc);
}

static void look_within(void *ctx, size_t slot)
{
	struct edge_finder *finder = ctx;
	enum rc rc = within_estimate(finder->run, (uint16_t)slot, &finder->run->within[slot]);

	if (rc != RC_OK)
		atomic_store(&finder->rc, (int)rc);
}

enum rc run_find_edges(struct run *run)
{
	struct edge_finder finder = {run, RC_OK};

	run_forget_edges(run);
	parallel_for(run_n_threads(run), 2 * run->n_segments, find_edges_of, &finder);
	if (atomic_load(&finder.rc) == RC_OK)
		parallel_for(run_n_threads(run), run->n_slots, look_within, &finder);
	return (enum rc)atomic_load(&finder.rc);
}

void run_forget_edges(struct run *run)
{
	for (size_t s = 0; s < run->n_segments; s++) {
		free(run->segments[s].edges.at);
		free(run->segments[s].certain.at);
		run->segments[s].edges = run->segments[s].certain = (struct run_edges){NULL, 0};
	}
}
