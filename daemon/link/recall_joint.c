/* How the reference weight and the match weight of a match add up where the errors of its comparisons are independent:
 * by convolution, both in halves of a log2 unit. What falls between two halves is shared out between them, so that
 * means are exact. */
#include "daemon/link/recall.h"

#include <stdlib.h>
#include <string.h>

enum {
	REFERENCE_HALF = 128, /* reference weights are in 1/256 log2 units */
	MATCH_HALF = WEIGHT_ONE / 2,
	STEPS_PER_LEVEL = 2 * RECALL_BINS,
};

static const double least_part = 1e-12; /* of the matches, that is looked at */

static int32_t floor_of(int32_t x, int32_t by)
{
	return x >= 0 ? x / by : -((by - 1 - x) / by);
}

int32_t recall_reference_halves(int32_t weight)
{
	return floor_of(weight + REFERENCE_HALF / 2, REFERENCE_HALF);
}

bool recall_level_is_full(const struct study_comparison *comparison, unsigned level)
{
	if (level == 0)
		return false;
	for (unsigned i = 0; i < comparison->n_filters; i++) {
		unsigned digit = level % (comparison->n_cuts[i] + 2u);

		if (digit != 0 && digit != comparison->n_cuts[i] + 1u)
			return false;
		level /= comparison->n_cuts[i] + 2u;
	}
	return true;
}

static void add_step(struct recall_joint *s, unsigned c, unsigned level, unsigned bin, int32_t weight)
{
	int32_t reference = s->run->domain->comparisons[c].reference_weight[level];
	int32_t below = floor_of(weight, MATCH_HALF), rest = weight - below * MATCH_HALF;

	for (int32_t up = 0; up <= (rest > 0); up++)
		s->steps[c][s->n_steps[c]++] = (struct recall_step){
			.level = (uint16_t)level,
			.bin = (uint8_t)bin,
			.reference = recall_reference_halves(reference),
			.match = below + up,
			.part = (double)(up != 0 ? rest : MATCH_HALF - rest) / MATCH_HALF,
		};
}

static void list_steps(struct recall_joint *s, unsigned c)
{
	const struct study_comparison *comparison = &s->run->domain->comparisons[c];

	for (unsigned level = 0; level <= comparison->n_levels; level++) {
		int32_t weight = s->run->model.weight[c][level];

		if (!recall_level_is_full(comparison, level)) {
			add_step(s, c, level, RECALL_NO_BIN, weight);
			continue;
		}
		for (unsigned bin = 0; bin < RECALL_BINS; bin++)
			add_step(s, c, level, bin, weight + ((int32_t)bin - RECALL_BINS / 2) * MATCH_HALF);
	}
}

/* How far the steps of a comparison reach. */
static void span(const struct recall_joint *s, unsigned c, int32_t *ret_reference, size_t *ret_n_reference,
		 int32_t *ret_match, size_t *ret_n_match)
{
	const struct recall_step *steps = s->steps[c];
	int32_t reference[2] = {steps[0].reference, steps[0].reference}, match[2] = {steps[0].match, steps[0].match};

	for (size_t i = 1; i < s->n_steps[c]; i++) {
		reference[0] = steps[i].reference < reference[0] ? steps[i].reference : reference[0];
		reference[1] = steps[i].reference > reference[1] ? steps[i].reference : reference[1];
		match[0] = steps[i].match < match[0] ? steps[i].match : match[0];
		match[1] = steps[i].match > match[1] ? steps[i].match : match[1];
	}
	*ret_reference = reference[0];
	*ret_n_reference = (size_t)(reference[1] - reference[0]);
	*ret_match = match[0];
	*ret_n_match = (size_t)(match[1] - match[0]);
}

enum rc recall_joint_init(struct recall_joint *sums, const struct run *run)
{
	size_t n_reference = 1, n_match = 1, more_reference, more_match;
	int32_t reference, match;

	sums->run = run;
	for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
		sums->steps[c] = calloc((run->domain->comparisons[c].n_levels + 1u) * (size_t)STEPS_PER_LEVEL,
					sizeof *sums->steps[c]);
		if (sums->steps[c] == NULL)
			return RC_NOMEM;
		list_steps(sums, c);
		span(sums, c, &reference, &more_reference, &match, &more_match);
		n_reference += more_reference;
		n_match += more_match;
	}
	sums->cells = calloc(n_reference * n_match, sizeof *sums->cells);
	sums->spare = calloc(n_reference * n_match, sizeof *sums->spare);
	return sums->cells == NULL || sums->spare == NULL ? RC_NOMEM : RC_OK;
}

void recall_joint_deinit(struct recall_joint *sums)
{
	for (unsigned c = 0; c < STUDY_MAX_COMPARISONS; c++)
		free(sums->steps[c]);
	free(sums->cells);
	free(sums->spare);
}

double recall_step_share(const struct recall_step *step, const struct recall_levels *levels, unsigned c)
{
	double part = levels->share[c][step->level] * step->part;

	if (step->bin != RECALL_NO_BIN)
		part *= levels->bin[c][step->bin];
	return part > least_part ? part : 0;
}

static void add_comparison(struct recall_joint *s, const struct recall_levels *levels, unsigned c)
{
	size_t more_reference, more_match, n_reference = s->n_reference, n_match = s->n_match, n;
	int32_t reference, match;
	double *swap = s->cells;

	span(s, c, &reference, &more_reference, &match, &more_match);
	n = n_match + more_match;
	memset(s->spare, 0, (n_reference + more_reference) * n * sizeof *s->spare);
	for (size_t i = 0; i < s->n_steps[c]; i++) {
		const struct recall_step *step = &s->steps[c][i];
		double share = recall_step_share(step, levels, c);
		double *to = s->spare + (size_t)(step->reference - reference) * n + (size_t)(step->match - match);

		for (size_t row = 0; share > 0 && row < n_reference; row++) {
			for (size_t k = 0; k < n_match; k++)
				to[row * n + k] += share * s->cells[row * n_match + k];
		}
	}
	s->cells = s->spare;
	s->spare = swap;
	s->n_reference += more_reference;
	s->n_match = n;
	s->reference += reference;
	s->match += match;
}

void recall_joint_add_up(struct recall_joint *sums, const struct recall_levels *levels, unsigned without)
{
	sums->n_reference = sums->n_match = 1;
	sums->reference = sums->match = 0;
	sums->cells[0] = 1;
	for (unsigned c = 0; c < sums->run->domain->n_comparisons; c++) {
		if (c != without)
			add_comparison(sums, levels, c);
	}
	for (size_t row = sums->n_reference - 1; row > 0; row--) {
		for (size_t k = 0; k < sums->n_match; k++)
			sums->cells[(row - 1) * sums->n_match + k] += sums->cells[row * sums->n_match + k];
	}
}

const double *recall_joint_above(const struct recall_joint *sums, int32_t reference)
{
	size_t row = reference > sums->reference ? (size_t)(reference - sums->reference) : 0;

	return row < sums->n_reference ? sums->cells + row * sums->n_match : NULL;
}

void recall_halves_bands(int32_t match, unsigned ret_bands[2])
{
	ret_bands[0] = recall_band_of(match * MATCH_HALF - MATCH_HALF / 2);
	ret_bands[1] = recall_band_of(match * MATCH_HALF + MATCH_HALF / 2 - 1);
}
