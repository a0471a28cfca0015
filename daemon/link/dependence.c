/* Which comparisons are not independent given that two records are of different persons.
 *
 * The model multiplies their ratios, so what two comparisons have in common counts twice: with place and postcode as
 * comparisons of their own EM takes neighbours for matches. Among the sampled pairs, less what of them is a match, two
 * comparisons agree together n_ab times where n_a n_b / n are expected. It is reported where that is eight times as
 * often and cannot be chance. Agreement given names that are usual in one town, or a generation, stays far below. */
#include "daemon/link/run.h"

enum {
	MIN_TIMES = 8,     /* more often than expected */
	MIN_TOGETHER = 20, /* pairs that agree in both: fewer are few matches that were missed, or chance */
};

bool dependence_agrees(const struct study_comparison *comparison, unsigned level)
{
	return comparison->reference_weight[level] > 0;
}

size_t run_find_dependences(const struct run *run, struct link_dependence found[LINK_MAX_DEPENDENCES])
{
	const struct model *model = &run->model;
	size_t n = 0;

	for (unsigned a = 0; a < run->domain->n_comparisons; a++) {
		for (unsigned b = a + 1; b < run->domain->n_comparisons; b++) {
			double together = model->agree[a][b];
			double expected = model->agree[a][a] * model->agree[b][b];

			/* The two sides of together / n >= MIN_TIMES · (n_a / n) · (n_b / n), times n². */
			if (together < MIN_TOGETHER || together * model->n_sampled < MIN_TIMES * expected)
				continue;
			found[n++] = (struct link_dependence){
				.a = (uint8_t)a,
				.b = (uint8_t)b,
				.excess = fixed_log2_ratio((uint64_t)(together * model->n_sampled * 16),
							   (uint64_t)(expected * 16) + 1),
			};
		}
	}
	return n;
}
