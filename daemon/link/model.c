/* The linkage model of Fellegi and Sunter (1969): m and u of every level of every comparison, λ of every two sources.
 *
 * u comes from random cross-source pairs, less what of them is a match; m and λ from EM over the candidate pairs. The
 * E-step knows that a person has at most one counterpart in another source: with W the odds of a pair,
 * p = W / (1 + Σ_row W + Σ_column W − W). Sums run over persons, so that ten releases of one person do not compete with
 * each other and do not count ten times. λ never exceeds min(n_a, n_b) / (n_a · n_b).
 *
 * Within one set of missing filters m and u add up to one: what is missing says nothing. m is shrunk towards u and u
 * towards m by one pair each, so that what was never seen gets a finite weight, at most log2 of the sample's size. In a
 * comparison of a composite filter m/u never falls from a level to a higher one. */
#include "daemon/link/expect.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"

enum {
	BLOCK = 1 << 14, /* pairs that a thread takes at a time */
	EM_ROUNDS = 100,
	FREQUENCY_CAP = 8, /* term frequency changes the odds of one comparison by no more than this factor … */
	FREQUENCY_CAP_ALL = 1024, /* … and of all comparisons together by no more than this */
};

struct sample {
	struct link_pattern *high; /* sampled pairs above the floor: some of them are matches */
	size_t n_high, cap;
	double counts[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1];
};

struct fit {
	struct run *run;
	struct sample sample;
	uint8_t mask[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1];   /* missing filters of a level */
	double ratio[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1];   /* m/u */
	double matches[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1]; /* expected, by level */
	struct expect *expect;
};

unsigned run_level_mask(const struct study_comparison *comparison, unsigned level)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < comparison->n_filters; i++) {
		mask |= (unsigned)(level % (comparison->n_cuts[i] + 2u) == 0) << i;
		level /= comparison->n_cuts[i] + 2u;
	}
	return mask;
}

static bool is_cross(const struct run_segment *segment)
{
	return segment->slot_a != segment->slot_b;
}

static double lambda_cap(const struct run *run, const struct run_segment *segment)
{
	uint32_t a = run->n_persons[segment->slot_a], b = run->n_persons[segment->slot_b];

	/* Of one person against one, half: certainty would divide by zero. */
	return a <= 1 && b <= 1 ? 0.5 : 1.0 / (double)(a > b ? a : b);
}

/* ---- the sample ---- */

static int32_t reference_weight(const struct study_domain *domain, const struct link_pattern *pattern)
{
	int32_t weight = 0;

	for (unsigned c = 0; c < domain->n_comparisons; c++)
		weight += domain->comparisons[c].reference_weight[pattern->level[c]];
	return weight;
}

static void count_agreement(struct run *run, const struct link_pattern *pattern, double count)
{
	unsigned agrees[STUDY_MAX_COMPARISONS], n = 0;

	for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
		if (dependence_agrees(&run->domain->comparisons[c], pattern->level[c]))
			agrees[n++] = c;
	}
	for (unsigned i = 0; i < n; i++) {
		for (unsigned j = i; j < n; j++)
			run->model.agree[agrees[i]][agrees[j]] += count;
	}
	run->model.n_sampled += count;
}

static enum rc sample_pair(void *ctx, const struct link_pattern *pattern)
{
	struct fit *fit = ctx;
	const struct run *run = fit->run;
	struct sample *sample = &fit->sample;

	for (unsigned c = 0; c < run->domain->n_comparisons; c++)
		sample->counts[c][pattern->level[c]] += 1;
	count_agreement(fit->run, pattern, 1);
	if (reference_weight(run->domain, pattern) < run->domain->floor)
		return RC_OK;
	if (sample->n_high == sample->cap) {
		size_t cap = sample->cap * 2 + 64;
		struct link_pattern *high = realloc(sample->high, cap * sizeof *high);

		if (high == NULL)
			return RC_NOMEM;
		sample->high = high;
		sample->cap = cap;
	}
	sample->high[sample->n_high++] = *pattern;
	return RC_OK;
}

/* ---- M-step ---- */

/* p[level] = (counts[level] + prior[level]) / Σ, apart for each set of missing filters. `prior` adds up to one a set.
 */
static void normalise(const struct fit *fit, unsigned c, const double *counts, const double *prior, double *ret)
{
	unsigned n_levels = fit->run->domain->comparisons[c].n_levels;
	double total[N_COMPARED_MASKS] = {0};

	for (unsigned level = 1; level <= n_levels; level++)
		total[fit->mask[c][level]] += counts[level] + prior[level];
	for (unsigned level = 1; level <= n_levels; level++) {
		double sum = total[fit->mask[c][level]];

		ret[level] = sum > 0 ? (counts[level] + prior[level]) / sum : 0;
	}
}

/* The prior of a joint comparison: levels of its filters as if they were independent given a match, so that a joint
 * level that was never seen is not taken for impossible. Of a single filter: u. */
static void match_prior(const struct fit *fit, unsigned c, double *ret)
{
	const struct study_comparison *comparison = &fit->run->domain->comparisons[c];
	double digit[STUDY_MAX_COMPARED][STUDY_MAX_CUTS + 2] = {{0}}, product[STUDY_MAX_LEVELS + 1];
	double total[N_COMPARED_MASKS] = {0};

	for (unsigned level = 1; level <= comparison->n_levels; level++) {
		unsigned rest = level;

		for (unsigned i = 0; i < comparison->n_filters; i++, rest /= comparison->n_cuts[i - 1] + 2u)
			digit[i][rest % (comparison->n_cuts[i] + 2u)] +=
				fit->matches[c][level] + fit->run->model.u[c][level];
	}
	for (unsigned level = 1; level <= comparison->n_levels; level++) {
		unsigned rest = level;

		product[level] = comparison->n_filters == 1 ? fit->run->model.u[c][level] : 1;
		for (unsigned i = 0; comparison->n_filters > 1 && i < comparison->n_filters; i++) {
			product[level] *= digit[i][rest % (comparison->n_cuts[i] + 2u)];
			rest /= comparison->n_cuts[i] + 2u;
		}
		total[fit->mask[c][level]] += product[level];
	}
	for (unsigned level = 1; level <= comparison->n_levels; level++) {
		double sum = total[fit->mask[c][level]];

		ret[level] = sum > 0 ? product[level] / sum : 0;
	}
}

static void update_m(struct fit *fit)
{
	double prior[STUDY_MAX_LEVELS + 1];

	for (unsigned c = 0; c < fit->run->domain->n_comparisons; c++) {
		match_prior(fit, c, prior);
		normalise(fit, c, fit->matches[c], prior, fit->run->model.m[c]);
	}
}

/* Probability of a match of a sampled pair, its competitors unknown. */
static double sampled_probability(const struct fit *fit, const struct link_pattern *pattern, double lambda)
{
	double odds = lambda / (1 - lambda);

	for (unsigned c = 0; c < fit->run->domain->n_comparisons; c++)
		odds *= fit->ratio[c][pattern->level[c]];
	return odds / (1 + odds);
}

static void update_u(struct fit *fit, double lambda)
{
	struct run *run = fit->run;
	double counts[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1];

	memcpy(counts, fit->sample.counts, sizeof counts);
	for (size_t i = 0; i < fit->sample.n_high; i++) {
		const struct link_pattern *pattern = &fit->sample.high[i];
		double p = sampled_probability(fit, pattern, lambda);

		for (unsigned c = 0; c < run->domain->n_comparisons; c++)
			counts[c][pattern->level[c]] -= p;
	}
	for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
		for (unsigned level = 1; level <= run->domain->comparisons[c].n_levels; level++) {
			if (counts[c][level] < 0)
				counts[c][level] = 0;
		}
		normalise(fit, c, counts[c], run->model.m[c], run->model.u[c]);
	}
}

/* A ratio m/u that never falls from a level to a higher one: neighbours that would are pooled, keep their share of u
 * and take one ratio (pool adjacent violators; Dykstra, Kochar and Robertson 1995). With many levels and few matches,
 * single ones would otherwise be learnt by heart. */
static void make_monotone(struct model *model, unsigned c, unsigned n_levels)
{
	const double *u = model->u[c];
	double *m = model->m[c];
	double sum_m[STUDY_MAX_LEVELS], sum_u[STUDY_MAX_LEVELS];
	unsigned first[STUDY_MAX_LEVELS + 1], n = 0;

	for (unsigned level = 1; level <= n_levels; level++) {
		first[n] = level;
		sum_m[n] = m[level];
		sum_u[n] = u[level];
		for (n++; n > 1 && sum_m[n - 2] * sum_u[n - 1] > sum_m[n - 1] * sum_u[n - 2]; n--) {
			sum_m[n - 2] += sum_m[n - 1];
			sum_u[n - 2] += sum_u[n - 1];
		}
	}
	first[n] = n_levels + 1;
	for (unsigned i = 0; i < n; i++) {
		if (first[i + 1] - first[i] == 1)
			continue;
		for (unsigned level = first[i]; level < first[i + 1]; level++)
			m[level] = u[level] * (sum_m[i] / sum_u[i]);
	}
}

/* One filter of several parts. What its many levels mean blurs; those of a single field are few, and an error that is
 * usual there (day and month changed over) may well favour one of them. */
static bool is_composite(const struct study_domain *domain, const struct study_comparison *comparison)
{
	return comparison->n_filters == 1 && study_filter_n_parts(&domain->filters[comparison->filters[0]]) > 1;
}

static void order_ratios(struct fit *fit)
{
	const struct study_domain *domain = fit->run->domain;

	for (unsigned c = 0; c < domain->n_comparisons; c++) {
		if (is_composite(domain, &domain->comparisons[c]))
			make_monotone(&fit->run->model, c, domain->comparisons[c].n_levels);
	}
}

static void update_ratios(struct fit *fit)
{
	const struct model *model = &fit->run->model;

	for (unsigned c = 0; c < fit->run->domain->n_comparisons; c++) {
		fit->ratio[c][0] = 1;
		for (unsigned level = 1; level <= fit->run->domain->comparisons[c].n_levels; level++) {
			double m = model->m[c][level], u = model->u[c][level];

			fit->ratio[c][level] = m > 0 && u > 0 ? m / u : 1;
		}
	}
}

/* ---- E-step ---- */

static void segment_expect(struct fit *fit, size_t s)
{
	struct run *run = fit->run;
	struct run_segment *segment = &run->segments[s];
	double n_pairs = (double)run->n_persons[segment->slot_a] * run->n_persons[segment->slot_b];

	expect_segment(fit->expect, s, fit->ratio, fit->matches);
	segment->lambda = segment->expected_matches / n_pairs;
	if (segment->lambda > lambda_cap(run, segment))
		segment->lambda = lambda_cap(run, segment);
	if (segment->lambda < 1e-15)
		segment->lambda = 1e-15;
}

/* One round; returns the expected number of matches, *ret_lambda their share of all pairs of persons. */
static double em_round(struct fit *fit, double *ret_lambda)
{
	struct run *run = fit->run;
	double total = 0, n_pairs = 0;

	memset(fit->matches, 0, sizeof fit->matches);
	for (size_t s = 0; s < run->n_segments; s++) {
		if (!is_cross(&run->segments[s]))
			continue;
		segment_expect(fit, s);
		total += run->segments[s].expected_matches;
		n_pairs += (double)run->n_persons[run->segments[s].slot_a] * run->n_persons[run->segments[s].slot_b];
	}
	*ret_lambda = n_pairs > 0 && total < n_pairs ? total / n_pairs : 1e-15;
	return total;
}

/* ---- start ---- */

static double power_of_two(int exponent)
{
	double x = 1;

	for (; exponent > 0; exponent--)
		x *= 2;
	for (; exponent < 0; exponent++)
		x /= 2;
	return x;
}

static void start_values(struct fit *fit)
{
	struct run *run = fit->run;
	double none[STUDY_MAX_LEVELS + 1] = {0}, weighted[STUDY_MAX_LEVELS + 1], flat[STUDY_MAX_LEVELS + 1];

	for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
		const struct study_comparison *comparison = &run->domain->comparisons[c];

		for (unsigned level = 0; level <= comparison->n_levels; level++) {
			fit->mask[c][level] = (uint8_t)run_level_mask(comparison, level);
			flat[level] = 1.0 / comparison->n_levels;
		}
		normalise(fit, c, fit->sample.counts[c], flat, run->model.u[c]);
		for (unsigned level = 1; level <= comparison->n_levels; level++)
			weighted[level] =
				run->model.u[c][level] * power_of_two(comparison->reference_weight[level] / 256);
		normalise(fit, c, weighted, none, run->model.m[c]);
	}
	for (size_t s = 0; s < run->n_segments; s++)
		run->segments[s].lambda = lambda_cap(run, &run->segments[s]) / 2;
}

double run_value_factor(const struct run *run, unsigned c, uint32_t rank)
{
	uint32_t value = run->value[c][rank], count;
	unsigned mask;
	double factor;

	if (value == 0)
		return 0;
	mask = run_missing_mask(run, c, rank);
	count = run->value_count[c][value];
	if (run->value_total[c][mask] == 0)
		return 0;
	factor = (double)run->value_squares[c][mask] /
		 ((double)run->value_total[c][mask] * (double)(count > 0 ? count : 1));
	if (factor > FREQUENCY_CAP)
		return FREQUENCY_CAP;
	return factor < 1.0 / FREQUENCY_CAP ? 1.0 / FREQUENCY_CAP : factor;
}

/* Term frequency of a pair's identical values. */
static double frequency_of(const struct run *run, const struct run_pair *pair)
{
	double frequency = 1;

	for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
		double factor;

		if (run->value[c][pair->a] != run->value[c][pair->b])
			continue;
		factor = run_value_factor(run, c, pair->a);
		if (factor > 0)
			frequency *= factor;
	}
	if (frequency > FREQUENCY_CAP_ALL)
		frequency = FREQUENCY_CAP_ALL;
	return frequency < 1.0 / FREQUENCY_CAP_ALL ? 1.0 / FREQUENCY_CAP_ALL : frequency;
}

static void find_frequencies(void *ctx, size_t first, size_t end)
{
	struct run *run = ctx;

	for (size_t i = first; i < end; i++)
		run->pairs[i].frequency = frequency_of(run, &run->pairs[i]);
}

/* Rounds until the number of matches stands still. */
static enum rc run_rounds(struct fit *fit, double *ret_lambda)
{
	double before = -1, lambda = 0;

	for (unsigned round = 0; round < EM_ROUNDS; round++) {
		double total;

		if (run_is_stopped(fit->run))
			return RC_STOPPING;
		update_ratios(fit);
		total = em_round(fit, &lambda);
		if (total - before < 1e-5 * total && before - total < 1e-5 * total)
			break;
		before = total;
		update_m(fit);
		update_u(fit, lambda);
		order_ratios(fit);
	}
	*ret_lambda = lambda;
	return RC_OK;
}

enum rc model_fit(struct run *run)
{
	struct fit *fit = calloc(1, sizeof *fit);
	double lambda = 0;
	enum rc rc = RC_NOMEM;

	if (fit == NULL)
		return RC_NOMEM;
	fit->run = run;
	rc = expect_new(run, &fit->expect);
	if (rc != RC_OK)
		goto out;
	memset(run->model.agree, 0, sizeof run->model.agree);
	run->model.n_sampled = 0;
	rc = run_each_sampled(run, sample_pair, fit);
	if (rc != RC_OK)
		goto out;
	parallel_blocks(run_n_threads(run), run->n_pairs, BLOCK, find_frequencies, run);
	start_values(fit);
	rc = run_rounds(fit, &lambda);
	if (rc != RC_OK)
		goto out;
	for (size_t i = 0; i < fit->sample.n_high; i++)
		count_agreement(run, &fit->sample.high[i], -sampled_probability(fit, &fit->sample.high[i], lambda));
	expect_keep(fit->expect, fit->ratio);
out:
	free(fit->sample.high);
	expect_free(fit->expect);
	free(fit);
	return rc;
}

/* ---- weights ---- */

/* A double in [0, 2^11) as an integer with 52 fraction bits, at least 1. */
static uint64_t to_fixed(double x)
{
	uint64_t v = (uint64_t)(x * 4503599627370496.0);

	return v > 0 ? v : 1;
}

static void weigh_pairs(void *ctx, size_t first, size_t end)
{
	struct run *run = ctx;

	for (size_t i = first; i < end; i++) {
		struct run_pair *pair = &run->pairs[i];

		pair->weight = pair->frequency != 1 ? fixed_log2_ratio(to_fixed(pair->frequency), to_fixed(1)) : 0;
		for (unsigned c = 0; c < run->domain->n_comparisons; c++)
			pair->weight += run->model.weight[c][pair->pattern.level[c]];
	}
}

void model_weigh(struct run *run)
{
	struct model *model = &run->model;

	for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
		model->weight[c][0] = 0;
		for (unsigned level = 1; level <= run->domain->comparisons[c].n_levels; level++) {
			double m = model->m[c][level], u = model->u[c][level];

			model->weight[c][level] = m > 0 && u > 0 ? fixed_log2_ratio(to_fixed(m), to_fixed(u)) : 0;
		}
	}
	parallel_blocks(run_n_threads(run), run->n_pairs, BLOCK, weigh_pairs, run);
}
