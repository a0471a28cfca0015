/* Persons across sources, for any number of sources.
 *
 * Links are taken heaviest first, ties by record keys. A link joins two clusters unless it contradicts what stands: a
 * cluster has at most one person of each source, and nobody has an event after their death. */
#include "daemon/link/run.h"

#include <stdlib.h>
#include <string.h>

/* What is known of a cluster, kept at its root. */
struct cluster {
	uint64_t slots; /* bit s: has a person of source slot s */
	int32_t last_day, death_day;
};

_Static_assert(STUDY_MAX_SOURCES <= 64, "source slots are bits of a uint64_t");

/* Below so many comparisons recall is bounded by the mode of the weights as well. */
enum { LEAST_COMPARISONS = 3 };

struct candidate {
	struct run_edge edge;
	uint32_t segment;
};

static int compare_candidates(const void *x, const void *y)
{
	const struct run_edge *p = &((const struct candidate *)x)->edge, *q = &((const struct candidate *)y)->edge;

	if (p->weight != q->weight)
		return p->weight > q->weight ? -1 : 1;
	if (p->person_a != q->person_a)
		return p->person_a < q->person_a ? -1 : 1;
	return p->person_b < q->person_b ? -1 : p->person_b > q->person_b;
}

static enum rc gather(const struct run *run, const struct null_estimate *estimates, struct candidate **ret,
		      size_t *ret_n)
{
	size_t n = 0, cap = 0;
	struct candidate *candidates;

	for (size_t s = 0; s < run->n_segments; s++)
		cap += run->segments[s].edges.n;
	candidates = malloc((cap > 0 ? cap : 1) * sizeof *candidates);
	if (candidates == NULL)
		return RC_NOMEM;
	for (size_t s = 0; s < run->n_segments; s++) {
		const struct run_segment *segment = &run->segments[s];
		const struct run_edges *edges = &segment->edges;

		if (segment->slot_a == segment->slot_b || estimates[s].threshold == INT32_MAX)
			continue;
		for (size_t i = 0; i < edges->n && edges->at[i].weight >= estimates[s].threshold; i++)
			candidates[n++] = (struct candidate){edges->at[i], (uint32_t)s};
	}
	qsort(candidates, n, sizeof *candidates, compare_candidates);
	*ret = candidates;
	*ret_n = n;
	return RC_OK;
}

static void describe_clusters(const struct run *run, struct cluster *clusters)
{
	for (uint32_t i = 0; i < run->n; i++)
		clusters[i] = (struct cluster){0, INT32_MIN, INT32_MAX};
	for (uint32_t i = 0; i < run->n; i++) {
		struct cluster *cluster = &clusters[run->person[i]];
		int32_t last = run->options->last_day != NULL ? run->options->last_day[run->row[i]] : INT32_MIN;
		int32_t death = run->options->death_day != NULL ? run->options->death_day[run->row[i]] : INT32_MAX;

		cluster->slots |= UINT64_C(1) << run->slot[i];
		if (last > cluster->last_day)
			cluster->last_day = last;
		if (death < cluster->death_day)
			cluster->death_day = death;
	}
}

static bool contradict(const struct cluster *x, const struct cluster *y)
{
	return (x->slots & y->slots) != 0 || x->last_day > y->death_day || y->last_day > x->death_day;
}

static void merge(struct cluster *to, const struct cluster *from)
{
	to->slots |= from->slots;
	if (from->last_day > to->last_day)
		to->last_day = from->last_day;
	if (from->death_day < to->death_day)
		to->death_day = from->death_day;
}

static int compare_links(const void *x, const void *y, void *ctx)
{
	const struct link_link *p = x, *q = y;
	const struct run *run = ctx;

	if (p->a != q->a)
		return run->rank[p->a] < run->rank[q->a] ? -1 : 1;
	return run->rank[p->b] < run->rank[q->b] ? -1 : run->rank[p->b] > run->rank[q->b];
}

/* Accept candidates in order; run->person becomes the person across sources. */
static void accept(struct run *run, const struct candidate *candidates, size_t n, struct cluster *clusters,
		   uint64_t *n_accepted)
{
	struct link_result *result = run->result;

	for (size_t i = 0; i < n; i++) {
		const struct run_edge *edge = &candidates[i].edge;
		uint32_t a = run_root(run->person, edge->person_a), b = run_root(run->person, edge->person_b);

		if (a == b || contradict(&clusters[a], &clusters[b]))
			continue;
		run_join(run->person, a, b);
		merge(&clusters[a < b ? a : b], &clusters[a < b ? b : a]);
		result->links[result->n_links++] = (struct link_link){run->row[run->pairs[edge->pair].a],
								      run->row[run->pairs[edge->pair].b], edge->weight};
		n_accepted[candidates[i].segment]++;
	}
	qsort_r(result->links, result->n_links, sizeof *result->links, compare_links, run);
}

static uint32_t millionths(double share)
{
	return share <= 0 ? 0 : share >= 1 ? 1000000 : (uint32_t)(share * 1000000 + 0.5);
}

/* With one comparison or two nothing says how errors come together, and what lies below the threshold is seen by
 * nothing. If the weights of matches have one mode, above the threshold, there are at most as many for each unit below
 * as just above it; the limit adds two standard errors of that count and goes down to RECALL_WINDOW below zero, where a
 * match would look more like a stranger than 255 strangers of 256. */
static double lowest_by_mode(const struct null_estimate *estimate, double n_true)
{
	double windows = ((double)estimate->threshold + RECALL_WINDOW) / RECALL_WINDOW;
	double near = estimate->n_near + 2 * square_root(estimate->n_near + 1);

	return n_true / (n_true + near * (windows > 0 ? windows : 0));
}

/* What is expected of the links between two sources (recall.c). */
static void describe_recall(const struct run *run, const struct null_estimate *estimate,
			    const struct recall_estimate *recall, struct link_quality *quality)
{
	double n_true = recall->n_true, low, high;

	if (recall->n_matches <= 0)
		return;
	low = n_true / recall->most - 2 * recall->error;
	high = n_true / recall->least + 2 * recall->error;
	if (run->domain->n_comparisons < LEAST_COMPARISONS && lowest_by_mode(estimate, n_true) < low)
		low = lowest_by_mode(estimate, n_true);
	quality->expected_recall = millionths(n_true / recall->n_matches);
	quality->recall_low = millionths(low);
	quality->recall_high = millionths(high);
}

static void describe_quality(struct run *run, const struct null_estimate *estimates,
			     const struct recall_estimate *recalls, const uint64_t *n_accepted)
{
	for (size_t s = 0; s < run->n_segments; s++) {
		const struct run_segment *segment = &run->segments[s];
		const struct null_estimate *estimate = &estimates[s];
		struct link_quality *quality;
		double n_true = estimate->n_links - estimate->n_false;

		if (segment->slot_a == segment->slot_b)
			continue;
		quality = &run->result->quality[run->result->n_quality++];
		*quality = (struct link_quality){
			.source_a = run->source_of_slot[segment->slot_a],
			.source_b = run->source_of_slot[segment->slot_b],
			.n_links = n_accepted[s],
			.threshold = estimate->threshold,
			.null_is_conditional = estimate->is_conditional,
		};
		if (estimate->threshold == INT32_MAX)
			continue;
		quality->expected_precision = millionths(n_true / estimate->n_links);
		describe_recall(run, estimate, &recalls[s], quality);
	}
}

enum rc run_form_persons(struct run *run, const struct null_estimate *estimates, const struct recall_estimate *recalls)
{
	struct link_result *result = run->result;
	struct cluster *clusters = malloc((run->n > 0 ? run->n : 1) * sizeof *clusters);
	uint64_t *n_accepted = calloc(run->n_segments + 1, sizeof *n_accepted);
	struct candidate *candidates = NULL;
	size_t n_candidates = 0;
	enum rc rc = RC_NOMEM;

	if (clusters == NULL || n_accepted == NULL)
		goto out;
	rc = gather(run, estimates, &candidates, &n_candidates);
	if (rc != RC_OK)
		goto out;
	result->links = malloc((n_candidates > 0 ? n_candidates : 1) * sizeof *result->links);
	result->quality = calloc(run->n_segments + 1, sizeof *result->quality);
	if (result->links == NULL || result->quality == NULL) {
		rc = RC_NOMEM;
		goto out;
	}
	describe_clusters(run, clusters);
	accept(run, candidates, n_candidates, clusters, n_accepted);
	describe_quality(run, estimates, recalls, n_accepted);
out:
	free(clusters);
	free(n_accepted);
	free(candidates);
	return rc;
}
