/* The threshold, from what links by chance: the within-source null.
 *
 * Each source, deduplicated by person numbers and identical filters only, is linked to itself in the same way: best
 * pair of every two persons, greedily one to one. What links there is false, less the duplicates that within.c
 * estimates.
 *
 * Both are walked from the heaviest weight down, side by side. A person who has a true link across sources has no slot left
 * for a false one, so at every weight the null is taken among the persons still free; f_a free persons make f_a²/2
 * pairs within their source and f_a · f_b across, so that each null link stands for 2 · f_b / f_a false links. The mean
 * of both sources is taken. The threshold is where true links less false ones are most: a link more costs as much as it
 * brings. */
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
	struct run_edge *edges; /* between certain persons of the source, heaviest first */
	size_t n, at;
	struct within_estimate within;
	double other; /* free persons of the other source for each free one of this; 0 = none is free */
};

static enum rc gather_null(const struct run *run, uint16_t slot, struct null_links *ret)
{
	const struct run_segment *segment = run_find_segment(run, slot, slot);
	enum rc rc = run_best_edges(run, run->certain, segment->first, segment->end, &ret->edges, &ret->n);

	return rc == RC_OK ? within_estimate(run, slot, ret->edges, ret->n, &ret->within) : rc;
}

/* False links that the null of one source adds down to `weight`. `taken`: persons with a link across; `used`: with a
 * link within. Inside of a person who was joined by weight, only the doubt about that is left. */
static double null_down_to(const struct run *run, struct null_links *null, int32_t weight, const bool *taken,
			   bool *used)
{
	double n_false = 0;

	for (; null->at < null->n && null->edges[null->at].weight >= weight; null->at++) {
		const struct run_edge *edge = &null->edges[null->at];
		uint32_t a = run->person[edge->person_a], b = run->person[edge->person_b];
		double share = 1 - within_probability(run, &null->within, edge);

		if (taken[a] || taken[b] || (a != b && (used[a] || used[b])))
			continue;
		n_false += share * 2 * null->other;
		if (share > 0.5)
			used[a] = used[b] = true;
	}
	return n_false;
}

/* Walk down the weights and remember the best place to stop. */
static void choose(const struct run *run, const struct run_segment *segment, const struct run_edge *links,
		   size_t n_links, struct null_links null[2], bool *taken, bool *used, struct null_estimate *ret)
{
	double free_a = run->n_persons[segment->slot_a], free_b = run->n_persons[segment->slot_b];
	double n_false = 0, best = 0;

	for (size_t i = 0; i < n_links; i++) {
		null[0].other = free_a > 0 ? free_b / free_a : 0;
		null[1].other = free_b > 0 ? free_a / free_b : 0;
		n_false += (null_down_to(run, &null[0], links[i].weight, taken, used) +
			    null_down_to(run, &null[1], links[i].weight, taken, used)) /
			   2;
		/* A false link does not keep chance from striking: only what is more likely a match than not blocks. */
		if (run->pairs[links[i].pair].probability > 0.5) {
			taken[links[i].person_a] = taken[links[i].person_b] = true;
			free_a -= 1;
			free_b -= 1;
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
	size_t n_links = 0, n = run->n > 0 ? run->n : 1;
	bool *taken = calloc(n, sizeof *taken), *used = calloc(n, sizeof *used);
	double surplus;
	enum rc rc = RC_NOMEM;

	if (taken == NULL || used == NULL)
		goto out;
	rc = run_best_edges(run, run->person, segment->first, segment->end, &links, &n_links);
	if (rc == RC_OK)
		rc = gather_null(run, segment->slot_a, &null[0]);
	if (rc == RC_OK)
		rc = gather_null(run, segment->slot_b, &null[1]);
	if (rc != RC_OK)
		goto out;
	n_links = link_greedily(links, n_links, taken);
	memset(taken, 0, n * sizeof *taken);
	choose(run, segment, links, n_links, null, taken, used, &estimate);
	/* Fewer true links than three standard errors of the false ones, and three: that is no linkage. */
	surplus = estimate.n_links - estimate.n_false - 3;
	if (surplus < 0 || surplus * surplus < 9 * estimate.n_false)
		estimate = (struct null_estimate){.threshold = INT32_MAX};
	*ret = estimate;
out:
	free(taken);
	free(used);
	free(links);
	free(null[0].edges);
	free(null[1].edges);
	return rc;
}
