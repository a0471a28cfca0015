/* Comparisons that are not independent, made one where the study allows it (merge_dependent).
 *
 * Two comparisons a and b become one whose levels are all combinations of theirs, at the place of a: the level of a
 * plus (levels of a) times that of b, which is how a joint comparison of their filters counts anyway (proto/study.h).
 * So the run gets a domain of its own, and model, null, recall and persons do not know the difference. Candidate pairs
 * stay what they are: reference weights add up as before. */
#include "daemon/link/run.h"

#include <stdlib.h>
#include <string.h>

/* Whether the study could have compared the filters of both together. */
static bool can_merge(const struct study_comparison *a, const struct study_comparison *b)
{
	return a->n_filters + b->n_filters <= STUDY_MAX_COMPARED &&
	       (a->n_levels + 1) * (b->n_levels + 1) - 1 <= STUDY_MAX_LEVELS;
}

static void merge_comparisons(struct study_comparison *a, const struct study_comparison *b)
{
	struct study_comparison both = *a;
	unsigned radix = a->n_levels + 1u;

	for (unsigned i = 0; i < b->n_filters; i++) {
		both.filters[a->n_filters + i] = b->filters[i];
		both.n_cuts[a->n_filters + i] = b->n_cuts[i];
		memcpy(both.cuts[a->n_filters + i], b->cuts[i], sizeof b->cuts[i]);
	}
	both.n_filters = (uint8_t)(a->n_filters + b->n_filters);
	both.n_levels = (uint8_t)(radix * (b->n_levels + 1u) - 1);
	for (unsigned level = 0; level <= both.n_levels; level++)
		both.reference_weight[level] =
			(int16_t)(a->reference_weight[level % radix] + b->reference_weight[level / radix]);
	*a = both;
}

static void merge_levels(const struct run_merge *merge, unsigned n, struct link_pattern *pattern)
{
	uint8_t *level = pattern->level;

	level[merge->a] = (uint8_t)(level[merge->a] + merge->radix * level[merge->b]);
	memmove(level + merge->b, level + merge->b + 1, n - merge->b - 1u);
	level[n - 1] = 0;
}

struct link_pattern run_pattern_of(const struct run *run, uint32_t a, uint32_t b)
{
	struct link_pattern pattern = link_pattern_of(run->pool, run->row[a], run->row[b]);
	unsigned n = run->pool->domain->n_comparisons;

	for (unsigned i = 0; i < run->n_merges; i++)
		merge_levels(&run->merges[i], n - i, &pattern);
	return pattern;
}

/* Comparison c of the run's domain: the first comparison of the study in it. */
static uint8_t study_comparison_of(const struct run *run, unsigned c)
{
	for (unsigned i = run->n_merges; i-- > 0;)
		c += c >= run->merges[i].b;
	return (uint8_t)c;
}

static void apply(struct run *run, unsigned a, unsigned b)
{
	unsigned n = run->domain->n_comparisons;
	struct study_comparison *comparisons = run->merged.comparisons;
	struct run_merge merge = {(uint8_t)a, (uint8_t)b, (uint8_t)(run->domain->comparisons[a].n_levels + 1u)};

	if (run->n_merges == 0)
		run->merged = *run->domain;
	run->domain = &run->merged;
	run->merges[run->n_merges++] = merge;
	merge_comparisons(&comparisons[a], &comparisons[b]);
	memmove(comparisons + b, comparisons + b + 1, (n - b - 1) * sizeof *comparisons);
	run->merged.n_comparisons--;
	for (size_t i = 0; i < run->n_pairs; i++)
		merge_levels(&merge, n, &run->pairs[i].pattern);
	for (size_t i = 0; i < run->n_sampled; i++)
		merge_levels(&merge, n, &run->sampled[i]);
}

enum rc run_merge_dependent(struct run *run, bool *ret_merged)
{
	struct link_dependence found[LINK_MAX_DEPENDENCES], *worst = NULL;
	size_t n = run_find_dependences(run, found);

	for (size_t i = 0; i < n; i++) {
		if (can_merge(&run->domain->comparisons[found[i].a], &run->domain->comparisons[found[i].b]) &&
		    (worst == NULL || found[i].excess > worst->excess))
			worst = &found[i];
	}
	*ret_merged = worst != NULL;
	if (worst == NULL)
		return RC_OK;
	run->result->dependences[run->result->n_dependences++] = (struct link_dependence){
		study_comparison_of(run, worst->a), study_comparison_of(run, worst->b), worst->excess, true};
	apply(run, worst->a, worst->b);
	run_forget_values(run);
	return run_find_values(run);
}

void run_report_dependences(struct run *run)
{
	struct link_dependence found[LINK_MAX_DEPENDENCES];
	size_t n = run_find_dependences(run, found);

	for (size_t i = 0; i < n; i++)
		run->result->dependences[run->result->n_dependences++] =
			(struct link_dependence){study_comparison_of(run, found[i].a),
						 study_comparison_of(run, found[i].b), found[i].excess, false};
}
