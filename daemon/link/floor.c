/* What the candidate floor leaves out: the share of matches whose reference weight is below it.
 *
 * Matches below the floor are never seen, so neither links nor the model's count of matches hold them, and recall would
 * be told too high. Their share follows from the distribution of levels among matches: the sum of reference weights of
 * independent comparisons, by convolution. The levels of the matches that were seen are taken, which makes the share a
 * little too small (docs/methods.md). */
#include "daemon/link/run.h"

#include <stdlib.h>
#include <string.h>

/* Range of a comparison's reference weights. */
static void weight_range(const struct study_comparison *c, int32_t *ret_min, int32_t *ret_max)
{
	*ret_min = *ret_max = c->reference_weight[0];
	for (unsigned level = 1; level <= c->n_levels; level++) {
		if (c->reference_weight[level] < *ret_min)
			*ret_min = c->reference_weight[level];
		if (c->reference_weight[level] > *ret_max)
			*ret_max = c->reference_weight[level];
	}
}

/* to[w] = Σ over levels of share(level) · from[w - weight of level]; both start at their smallest sum. */
static void convolve(const struct study_comparison *c, const double *counts, int32_t min, const double *from,
		     size_t n_from, double *to)
{
	double total = 0;

	for (unsigned level = 0; level <= c->n_levels; level++)
		total += counts[level];
	for (unsigned level = 0; level <= c->n_levels; level++) {
		double share = total > 0 ? counts[level] / total : level == 0;
		size_t shift = (size_t)(c->reference_weight[level] - min);

		for (size_t w = 0; share > 0 && w < n_from; w++)
			to[w + shift] += share * from[w];
	}
}

enum rc run_share_above_floor(const struct study_domain *domain,
			      const double counts[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1], double *ret)
{
	double *from = calloc(1, sizeof *from), *to, above = 0;
	size_t n = 1;
	int32_t lowest = 0;

	if (from == NULL)
		return RC_NOMEM;
	from[0] = 1;
	for (unsigned c = 0; c < domain->n_comparisons; c++) {
		int32_t min, max;

		weight_range(&domain->comparisons[c], &min, &max);
		to = calloc(n + (size_t)(max - min), sizeof *to);
		if (to == NULL) {
			free(from);
			return RC_NOMEM;
		}
		convolve(&domain->comparisons[c], counts[c], min, from, n, to);
		free(from);
		from = to;
		n += (size_t)(max - min);
		lowest += min;
	}
	for (size_t w = 0; w < n; w++) {
		if (lowest + (int32_t)w >= domain->floor)
			above += from[w];
	}
	free(from);
	*ret = above < 1 ? above : 1;
	return RC_OK;
}
