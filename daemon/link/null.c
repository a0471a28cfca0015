/* The threshold, from what links by chance: the within-source null.
 *
 * Each source, deduplicated by person numbers and identical filters only, is linked to itself in the same way: best
 * pair of every two persons, greedily one to one. What links there is false, less the duplicates that within.c
 * estimates.
 *
 * Links and nulls are walked from the heaviest weight down, side by side. A person who has a true link across sources
 * has no slot left for a false one, so at every weight the null is taken among the persons still free; f_a free persons
 * make f_a²/2 pairs within their source and f_a · f_b across, so that each null link stands for 2 · f_b / f_a false
 * links. The mean of both sources is taken. The model has its own expectation, Σ (1 − p) over the links, p with the
 * share of matches among those who are free. The larger of the two counts, since the null is blind where nearly
 * everybody is taken, and the model to twins. The threshold is where true links less false ones are most: a link more
 * costs as much as it brings. */
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

/* Where the walk stands: persons still free on each side, matches not yet found, false links by each account. */
struct walk {
	double free_a, free_b, matches;
	double false_by_null, false_by_model;
};

/* Probability of a match of the next link, all heavier ones taken. */
static double next_probability(const struct run_segment *segment, const struct walk *walk, double ratio)
{
	double most = 1 / (walk->free_a > walk->free_b ? walk->free_a + 1 : walk->free_b + 1);
	double lambda = walk->matches / ((walk->free_a + 1) * (walk->free_b + 1)), odds;

	if (lambda > most)
		lambda = most;
	if (lambda < segment->lambda)
		lambda = segment->lambda;
	odds = lambda / (1 - lambda) * ratio;
	return odds / (1 + odds);
}

struct chooser {
	const struct run *run;
	const struct run_segment *segment;
	struct run_edge *links; /* heaviest first, one a person */
	size_t n_links;
	struct null_links null[2];
	bool *taken, *used; /* by person */
};

/* Walk down the weights and remember the best place to stop; `matches` are expected in all. With `by_null_alone` the
 * model's own expectation is left out. */
static void choose(struct chooser *c, double matches, bool by_null_alone, struct null_estimate *ret)
{
	const struct run *run = c->run;
	struct walk walk = {run->n_persons[c->segment->slot_a], run->n_persons[c->segment->slot_b], matches, 0, 0};
	double best = 0;

	c->null[0].at = c->null[1].at = 0;
	memset(c->taken, 0, run->n * sizeof *c->taken);
	memset(c->used, 0, run->n * sizeof *c->used);
	for (size_t i = 0; i < c->n_links; i++) {
		const struct run_edge *link = &c->links[i];
		double p = next_probability(c->segment, &walk, run->pairs[link->pair].ratio), n_false;

		c->null[0].other = walk.free_a > 0 ? walk.free_b / walk.free_a : 0;
		c->null[1].other = walk.free_b > 0 ? walk.free_a / walk.free_b : 0;
		walk.false_by_null += (null_down_to(run, &c->null[0], link->weight, c->taken, c->used) +
				       null_down_to(run, &c->null[1], link->weight, c->taken, c->used)) /
				      2;
		walk.false_by_model += 1 - p;
		walk.matches = walk.matches > p ? walk.matches - p : 0;
		/* A false link does not keep chance from striking: only what is more likely a match than not blocks. */
		if (p > 0.5) {
			c->taken[link->person_a] = c->taken[link->person_b] = true;
			walk.free_a -= 1;
			walk.free_b -= 1;
		}
		if (i + 1 < c->n_links && c->links[i + 1].weight == link->weight)
			continue;
		/* Further down, where chance makes most of the links, one to one assignment is saturated on both sides
		 * and the difference says nothing. */
		if (walk.false_by_null <= (double)(i + 1) / 2 && (double)(i + 1) - walk.false_by_null > ret->most_true)
			ret->most_true = (double)(i + 1) - walk.false_by_null;
		n_false = walk.false_by_null > walk.false_by_model || by_null_alone ? walk.false_by_null
										    : walk.false_by_model;
		if ((double)(i + 1) - 2 * n_false > best) {
			best = (double)(i + 1) - 2 * n_false;
			ret->threshold = link->weight;
			ret->n_links = (double)(i + 1);
			ret->n_false = n_false;
		}
	}
}

/* Fewer true links than chance explains are no linkage. The best of many thresholds is good by chance too: what is left
 * must exceed three standard errors of the false links, of which there may be one more than the null happened to show,
 * and three. */
static bool is_more_than_chance(const struct null_estimate *estimate)
{
	double surplus = estimate->n_links - estimate->n_false - 3;

	return surplus >= 0 && surplus * surplus >= 9 * (estimate->n_false + 1);
}

static enum rc prepare(struct chooser *c)
{
	enum rc rc = run_best_edges(c->run, c->run->person, c->segment->first, c->segment->end, &c->links, &c->n_links);

	if (rc == RC_OK)
		rc = gather_null(c->run, c->segment->slot_a, &c->null[0]);
	if (rc == RC_OK)
		rc = gather_null(c->run, c->segment->slot_b, &c->null[1]);
	if (rc == RC_OK)
		c->n_links = link_greedily(c->links, c->n_links, c->taken);
	return rc;
}

enum rc run_choose_threshold(const struct run *run, const struct run_segment *segment, struct null_estimate *ret)
{
	size_t n = run->n > 0 ? run->n : 1;
	struct chooser c = {
		.run = run, .segment = segment, .taken = calloc(n, sizeof *c.taken), .used = calloc(n, sizeof *c.used)};
	struct null_estimate estimate = {.threshold = INT32_MAX}, by_null = {0};
	double matches = segment->expected_matches;
	enum rc rc = c.taken == NULL || c.used == NULL ? RC_NOMEM : prepare(&c);

	if (rc == RC_OK) {
		/* EM counts only matches that stand out from all pairs. Where the sources overlap so far that few
		 * persons are left, the null shows that there are more. */
		choose(&c, matches, true, &by_null);
		if (by_null.n_links - by_null.n_false > matches)
			matches = by_null.n_links - by_null.n_false;
		choose(&c, matches, false, &estimate);
		for (size_t i = 0; i < c.n_links && c.links[i].weight >= estimate.threshold; i++)
			estimate.n_near += c.links[i].weight - RECALL_WINDOW < estimate.threshold;
		if (!is_more_than_chance(&estimate))
			estimate = (struct null_estimate){.threshold = INT32_MAX};
		estimate.is_conditional = !run->all_numbered[segment->slot_a] || !run->all_numbered[segment->slot_b] ||
					  c.null[0].within.numbers_repeat || c.null[1].within.numbers_repeat;
		estimate.most_true = by_null.most_true;
		*ret = estimate;
	}
	free(c.taken);
	free(c.used);
	free(c.links);
	free(c.null[0].edges);
	free(c.null[1].edges);
	return rc;
}
