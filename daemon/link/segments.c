/* Candidate pairs of a run: by rank, and cut into segments of equal sources in which the pairs of two persons lie side
 * by side. */
#include "daemon/link/run.h"

#include <stdlib.h>
#include <string.h>

enum rc run_take_pairs(struct run *run, const struct link_pair *pairs, size_t n_pairs)
{
	if (n_pairs > UINT32_MAX)
		return RC_NOMEM;
	run->pairs = malloc((n_pairs > 0 ? n_pairs : 1) * sizeof *run->pairs);
	if (run->pairs == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < n_pairs; i++) {
		struct run_pair *pair = &run->pairs[run->n_pairs];
		uint32_t a, b;

		if (pairs[i].a >= run->options->end || pairs[i].b >= run->options->end || pairs[i].a == pairs[i].b)
			return RC_INVALID;
		for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
			if (pairs[i].pattern.level[c] > run->domain->comparisons[c].n_levels)
				return RC_INVALID;
		}
		a = run->rank[pairs[i].a];
		b = run->rank[pairs[i].b];
		if (a == UINT32_MAX || b == UINT32_MAX)
			continue; /* withdrawn, after the cut, or superseded */
		*pair = (struct run_pair){.a = a < b ? a : b, .b = a < b ? b : a, .pattern = pairs[i].pattern};
		run->n_pairs++;
	}
	return RC_OK;
}

struct sortable {
	uint32_t person_a, person_b;
	struct run_pair pair;
};

/* Ranks are sorted by source, so the order of persons is also that of sources. */
static int compare_sortable(const void *x, const void *y)
{
	const struct sortable *p = x, *q = y;

	if (p->person_a != q->person_a)
		return p->person_a < q->person_a ? -1 : 1;
	if (p->person_b != q->person_b)
		return p->person_b < q->person_b ? -1 : 1;
	if (p->pair.a != q->pair.a)
		return p->pair.a < q->pair.a ? -1 : 1;
	return p->pair.b < q->pair.b ? -1 : p->pair.b > q->pair.b;
}

static unsigned segment_of(const struct run *run, const struct run_pair *pair)
{
	return (unsigned)run->slot[pair->a] * run->n_slots + run->slot[pair->b];
}

/* Stable distribution by segment of what is sorted by persons already. */
static enum rc distribute(struct run *run, const struct sortable *sorted)
{
	size_t n_all = (size_t)run->n_slots * run->n_slots;
	size_t *start = calloc(n_all + 1, sizeof *start);

	if (start == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < run->n_pairs; i++)
		start[segment_of(run, &sorted[i].pair) + 1]++;
	run->n_segments = 0;
	for (size_t s = 0; s < n_all; s++) {
		uint16_t slot_a = (uint16_t)(s / run->n_slots), slot_b = (uint16_t)(s % run->n_slots);

		if (slot_a <= slot_b)
			run->segments[run->n_segments++] = (struct run_segment){
				.slot_a = slot_a, .slot_b = slot_b, .first = start[s], .end = start[s] + start[s + 1]};
		start[s + 1] += start[s];
	}
	for (size_t i = 0; i < run->n_pairs; i++)
		run->pairs[start[segment_of(run, &sorted[i].pair)]++] = sorted[i].pair;
	free(start);
	return RC_OK;
}

enum rc run_cut_segments(struct run *run)
{
	struct sortable *sorted = malloc((run->n_pairs > 0 ? run->n_pairs : 1) * sizeof *sorted);
	enum rc rc = RC_NOMEM;

	if (run->segments == NULL)
		run->segments = calloc((size_t)run->n_slots * run->n_slots + 1, sizeof *run->segments);
	if (sorted == NULL || run->segments == NULL)
		goto out;
	for (size_t i = 0; i < run->n_pairs; i++) {
		uint32_t a = run->person[run->pairs[i].a], b = run->person[run->pairs[i].b];

		/* Within a source the smaller person comes first, whichever of its records is in the pair. */
		if (a > b) {
			uint32_t rank = run->pairs[i].a;

			run->pairs[i].a = run->pairs[i].b;
			run->pairs[i].b = rank;
		}
		sorted[i] = (struct sortable){a < b ? a : b, a < b ? b : a, run->pairs[i]};
	}
	qsort(sorted, run->n_pairs, sizeof *sorted, compare_sortable);
	rc = distribute(run, sorted);
out:
	free(sorted);
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

static int compare_by_persons(const void *x, const void *y)
{
	const struct run_edge *p = x, *q = y;

	if (p->person_a != q->person_a)
		return p->person_a < q->person_a ? -1 : 1;
	if (p->person_b != q->person_b)
		return p->person_b < q->person_b ? -1 : 1;
	if (p->weight != q->weight)
		return p->weight > q->weight ? -1 : 1;
	return p->pair < q->pair ? -1 : p->pair > q->pair;
}

static int compare_by_weight(const void *x, const void *y)
{
	const struct run_edge *p = x, *q = y;

	if (p->weight != q->weight)
		return p->weight > q->weight ? -1 : 1;
	return compare_by_persons(x, y);
}

enum rc run_best_edges(const struct run *run, const uint32_t *person, size_t first, size_t end,
		       struct run_edge **ret_edges, size_t *ret_n)
{
	struct run_edge *edges = malloc((end > first ? end - first : 1) * sizeof *edges);
	size_t n = 0, n_best = 0;

	if (edges == NULL)
		return RC_NOMEM;
	for (size_t i = first; i < end; i++) {
		uint32_t a = person[run->pairs[i].a], b = person[run->pairs[i].b];

		if (a != b)
			edges[n++] = (struct run_edge){a < b ? a : b, a < b ? b : a, (uint32_t)i, run->pairs[i].weight};
	}
	qsort(edges, n, sizeof *edges, compare_by_persons);
	for (size_t i = 0; i < n; i++) {
		if (n_best == 0 || edges[n_best - 1].person_a != edges[i].person_a ||
		    edges[n_best - 1].person_b != edges[i].person_b)
			edges[n_best++] = edges[i];
	}
	qsort(edges, n_best, sizeof *edges, compare_by_weight);
	*ret_edges = edges;
	*ret_n = n_best;
	return RC_OK;
}
