/* The threshold, from what links by chance: the within-source null.
 *
 * Each source, deduplicated by person numbers and identical filters only, is linked to itself in the same way: best
 * pair of every two persons, greedily one to one. What links there is false, less the duplicates that within.c
 * estimates. Scaled from n(n-1)/2 pairs within the source to n_a · n_b pairs across, and to the persons that have no
 * heavier link yet, this is the expected number of false links at every threshold; the mean of both sources is taken.
 * The threshold is where true links less false ones are most: a link more costs as much as it brings. */
#include "daemon/link/run.h"

#include <stdlib.h>
#include <string.h>

/* Heaviest first, one link a person. `edges` is sorted by weight and becomes the links; returns their number. */
static size_t link_greedily(struct run_edge *edges, size_t n, bool *taken)
{
	size_t n_links = 0;

	for (size_t i = 0; i < n; i++) {
		if (taken[edges[i].person_a] || taken[edges[i].person_b])
			continue;
		taken[edges[i].person_a] = taken[edges[i].person_b] = true;
		edges[n_links++] = edges[i];
	}
	return n_links;
}

struct null_links {
	struct run_edge *edges;
	size_t n;
	struct within_estimate within;
	double scale; /* false links across for each one within; 0 = the source says nothing */
};

static enum rc link_to_itself(const struct run *run, const struct run_segment *cross, uint16_t slot, bool *taken,
			      struct null_links *ret)
{
	const struct run_segment *segment = run_find_segment(run, slot, slot);
	double n = run->n_certain[slot];
	enum rc rc;

	rc = run_best_edges(run, run->certain, segment->first, segment->end, &ret->edges, &ret->n);
	if (rc != RC_OK)
		return rc;
	rc = within_estimate(run, slot, ret->edges, ret->n, &ret->within);
	if (rc != RC_OK)
		return rc;
	ret->n = link_greedily(ret->edges, ret->n, taken);
	if (n >= 2)
		ret->scale = (double)run->n_persons[cross->slot_a] * run->n_persons[cross->slot_b] / (n * (n - 1) / 2);
	return RC_OK;
}

/* Walk down the weights, both nulls beside the links, and remember the best place to stop. */
static void choose(const struct run *run, const struct run_segment *segment, const struct run_edge *links,
		   size_t n_links, const struct null_links null[2], struct null_estimate *ret)
{
	double n_a = run->n_persons[segment->slot_a], n_b = run->n_persons[segment->slot_b];
	double n_nulls = (null[0].scale > 0 ? 1 : 0) + (null[1].scale > 0 ? 1 : 0);
	size_t at[2] = {0, 0};
	double n_false = 0, best = 0;

	for (size_t i = 0; i < n_links; i++) {
		for (unsigned k = 0; k < 2; k++) {
			for (; null[k].scale > 0 && at[k] < null[k].n && null[k].edges[at[k]].weight >= links[i].weight;
			     at[k]++) {
				double share = null[k].within.false_share[within_bin(null[k].edges[at[k]].weight)];

				n_false +=
					share * null[k].scale * (1 - (double)i / n_a) * (1 - (double)i / n_b) / n_nulls;
			}
		}
		if (i + 1 < n_links && links[i + 1].weight == links[i].weight)
			continue;
		if ((double)(i + 1) - 2 * n_false > best) {
			best = (double)(i + 1) - 2 * n_false;
			*ret = (struct null_estimate){links[i].weight, (double)(i + 1), n_false};
		}
	}
}

enum rc run_choose_threshold(const struct run *run, const struct run_segment *segment, struct null_estimate *ret)
{
	struct null_links null[2] = {{0}};
	struct null_estimate estimate = {.threshold = INT32_MAX};
	struct run_edge *links = NULL;
	size_t n_links = 0;
	bool *taken = calloc(run->n > 0 ? run->n : 1, sizeof *taken);
	double surplus;
	enum rc rc = RC_NOMEM;

	if (taken == NULL)
		return RC_NOMEM;
	rc = run_best_edges(run, run->person, segment->first, segment->end, &links, &n_links);
	if (rc != RC_OK)
		goto out;
	n_links = link_greedily(links, n_links, taken);
	memset(taken, 0, run->n * sizeof *taken);
	rc = link_to_itself(run, segment, segment->slot_a, taken, &null[0]);
	if (rc == RC_OK)
		rc = link_to_itself(run, segment, segment->slot_b, taken, &null[1]);
	if (rc != RC_OK)
		goto out;
	choose(run, segment, links, n_links, null, &estimate);
	/* Fewer true links than three standard errors of the false ones, and three: that is no linkage. */
	surplus = estimate.n_links - estimate.n_false - 3;
	if (surplus < 0 || surplus * surplus < 9 * estimate.n_false)
		estimate = (struct null_estimate){.threshold = INT32_MAX};
	*ret = estimate;
out:
	free(taken);
	free(links);
	free(null[0].edges);
	free(null[1].edges);
	return rc;
}
