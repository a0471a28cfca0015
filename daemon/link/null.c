/* The threshold, from what links by chance: the within-source null.
 *
 * Each source, deduplicated by person numbers and identical filters only, is linked to itself in the same way: best
 * pair of every two persons, greedily one to one. What links there is false, less the duplicates that within.c
 * estimates.
 *
 * Links and nulls are walked from the heaviest weight down, side by side. A person who has a true link across sources
 * has no slot left for a false one, so at every weight the null is taken among the persons still free; f_a free persons
 * make f_a²/2 pairs within their source and f_a · f_b across, so that each null link of either source stands for
 * 2 f_a f_b / (f_a² + f_b²) false links.
 *
 * The null is a count, and so has noise; the model has an expectation of its own, Σ (1 − p) over the links, which has
 * none, but is only as good as the independence of its comparisons. So the larger of the two counts, but never more
 * than three standard errors above the null: what the null rules out the model does not bring back. With few composite
 * comparisons, whose levels depend on each other among matches as well as among others, it is wrong by orders of
 * magnitude far down, where the null still finds next to no chance pairs among those who are free.
 *
 * The threshold is where true links less false ones are most: a link more costs as much as it brings. Who has a link
 * down to there is more likely than not linked rightly, and so is not free; which leaves less to chance below, so the
 * walk is repeated until the threshold stays. */
#include "daemon/link/run.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_WALKS = 16 };

/* Heaviest first, one link a person, into `links`; returns their number. */
static size_t link_greedily(const struct run_edges *edges, bool *taken, struct run_edge *links)
{
	size_t n_links = 0;

	for (size_t i = 0; i < edges->n; i++) {
		const struct run_edge *edge = &edges->at[i];

		if (taken[edge->person_a] || taken[edge->person_b])
			continue;
		taken[edge->person_a] = taken[edge->person_b] = true;
		links[n_links++] = *edge;
	}
	return n_links;
}

struct null_links {
	const struct run_edges *edges; /* between certain persons of the source, heaviest first */
	size_t at;
	const struct within_estimate *within;
};

static struct null_links null_of(const struct run *run, uint16_t slot)
{
	return (struct null_links){.edges = &run_find_segment(run, slot, slot)->certain, .within = &run->within[slot]};
}

/* Links by chance that one source adds down to `weight`. `taken`: persons with a link across; `used`: with a
 * link within. Inside of a person who was joined by weight, only the doubt about that is left. */
static double null_down_to(const struct run *run, struct null_links *null, int32_t weight, const bool *taken,
			   bool *used)
{
	double n_false = 0;

	for (; null->at < null->edges->n && null->edges->at[null->at].weight >= weight; null->at++) {
		const struct run_edge *edge = &null->edges->at[null->at];
		uint32_t a = run->person[edge->person_a], b = run->person[edge->person_b];
		double share = 1 - within_probability(run, null->within, edge);

		if (taken[a] || taken[b] || (a != b && (used[a] || used[b])))
			continue;
		n_false += share;
		if (share > 0.5)
			used[a] = used[b] = true;
	}
	return n_false;
}

/* Where the walk stands: persons still free on each side and those with a true link, false links by each account. */
struct walk {
	double free_a, free_b, n_taken;
	double by_null, by_null_variance, by_model;
};

/* Probability that one more link of the ratio is true, n_taken being so: all sizes of a one-to-one assignment are as
 * likely as each other, and all assignments of a size (Sadinle 2017, with a uniform prior of the overlap). */
static double next_probability(const struct walk *walk, double ratio)
{
	double odds = (walk->n_taken + 1) / ((walk->free_a + 1) * (walk->free_b + 1)) * ratio;

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

/* The best place to stop so far: most true links less false ones. */
struct stop {
	double gain, n_links, n_false;
	int32_t threshold;
};

/* `error`: standard error of n_false. A place that is best because few chance links happened to show above it is not
 * best. */
static void consider(struct stop *stop, int32_t weight, double n_links, double n_false, double error)
{
	double gain = n_links - 2 * (n_false + error);

	if (gain > stop->gain)
		*stop = (struct stop){gain, n_links, n_false, weight};
}

struct stops {
	struct stop chosen, cautious; /* cautious: the model counts in full, above what the null allows */
};

static const struct stops no_stops = {{.threshold = INT32_MAX}, {.threshold = INT32_MAX}};

static void step_null(struct chooser *c, struct walk *walk, int32_t weight)
{
	double pairs_within = (walk->free_a * walk->free_a + walk->free_b * walk->free_b) / 2;
	double each = pairs_within > 0 ? walk->free_a * walk->free_b / pairs_within : 0;
	double n_false = each * (null_down_to(c->run, &c->null[0], weight, c->taken, c->used) +
				 null_down_to(c->run, &c->null[1], weight, c->taken, c->used));

	walk->by_null += n_false;
	walk->by_null_variance += each * n_false;
}

/* The most that a count allows, at three standard errors: the F with (F - n)² = 9 F, for a Poisson count. */
static double upper_limit(double n, double variance)
{
	return n + 4.5 + 3 * square_root(variance + 2.25);
}

/* Walk down the weights and remember the best places to stop. Links from `held` up are held to be true. */
static void walk_down(struct chooser *c, int32_t held, struct stops *ret)
{
	const struct run *run = c->run;
	struct walk walk = {.free_a = run->n_persons[c->segment->slot_a], .free_b = run->n_persons[c->segment->slot_b]};

	*ret = no_stops;
	c->null[0].at = c->null[1].at = 0;
	memset(c->taken, 0, run->n * sizeof *c->taken);
	memset(c->used, 0, run->n * sizeof *c->used);
	for (size_t i = 0; i < c->n_links; i++) {
		const struct run_edge *link = &c->links[i];
		double p = next_probability(&walk, run->pairs[link->pair].ratio), n_links = (double)(i + 1);
		double most_by_null, larger, error;

		step_null(c, &walk, link->weight);
		walk.by_model += 1 - p;
		/* A false link does not keep chance from striking: only what is more likely a match than not blocks. */
		if (p > 0.5 || link->weight >= held) {
			c->taken[link->person_a] = c->taken[link->person_b] = true;
			walk.free_a -= 1;
			walk.free_b -= 1;
			walk.n_taken += 1;
		}
		if (i + 1 < c->n_links && c->links[i + 1].weight == link->weight)
			continue;
		error = square_root(walk.by_null_variance + 1);
		most_by_null = upper_limit(walk.by_null, walk.by_null_variance);
		larger = walk.by_null > walk.by_model ? walk.by_null : walk.by_model;
		consider(&ret->cautious, link->weight, n_links, larger, error);
		consider(&ret->chosen, link->weight, n_links, larger < most_by_null ? larger : most_by_null, error);
	}
}

/* Walk until the threshold stays where it was. It only ever goes down. */
static void choose(struct chooser *c, struct stops *ret)
{
	int32_t held = INT32_MAX;

	for (unsigned round = 0; round < MOST_WALKS; round++) {
		walk_down(c, held, ret);
		if (ret->chosen.threshold >= held)
			break;
		held = ret->chosen.threshold;
	}
}

/* Fewer true links than chance explains are no linkage. The best of many thresholds is good by chance too: what is left
 * must exceed three standard errors of the false links, of which there may be one more than the null happened to show,
 * and three. */
static bool is_more_than_chance(const struct stop *stop)
{
	double surplus = stop->n_links - stop->n_false - 3;

	return surplus >= 0 && surplus * surplus >= 9 * (stop->n_false + 1);
}

static enum rc prepare(struct chooser *c)
{
	const struct run_edges *edges = &c->segment->edges;

	c->links = malloc((edges->n > 0 ? edges->n : 1) * sizeof *c->links);
	if (c->links == NULL)
		return RC_NOMEM;
	c->null[0] = null_of(c->run, c->segment->slot_a);
	c->null[1] = null_of(c->run, c->segment->slot_b);
	c->n_links = link_greedily(edges, c->taken, c->links);
	return RC_OK;
}

enum rc run_choose_threshold(const struct run *run, const struct run_segment *segment, struct null_estimate *ret)
{
	size_t n = run->n > 0 ? run->n : 1;
	struct chooser c = {
		.run = run, .segment = segment, .taken = calloc(n, sizeof *c.taken), .used = calloc(n, sizeof *c.used)};
	struct null_estimate estimate = {.threshold = INT32_MAX};
	struct stops stops;
	enum rc rc = c.taken == NULL || c.used == NULL ? RC_NOMEM : prepare(&c);

	if (rc == RC_OK) {
		choose(&c, &stops);
		/* Whether there are matches at all is asked with caution: both accounts must allow it. */
		if (is_more_than_chance(&stops.cautious) && is_more_than_chance(&stops.chosen)) {
			estimate.threshold = stops.chosen.threshold;
			estimate.n_links = stops.chosen.n_links;
			estimate.n_false = stops.chosen.n_false;
		}
		for (size_t i = 0; i < c.n_links && c.links[i].weight >= estimate.threshold; i++)
			estimate.n_near += c.links[i].weight - RECALL_WINDOW < estimate.threshold;
		estimate.is_conditional = !run->all_numbered[segment->slot_a] || !run->all_numbered[segment->slot_b] ||
					  c.null[0].within->numbers_repeat || c.null[1].within->numbers_repeat;
		*ret = estimate;
	}
	free(c.taken);
	free(c.used);
	free(c.links);
	return rc;
}
