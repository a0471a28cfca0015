/* Units of pairs and the passes over them; expect.h says what for. */
#include "daemon/link/expect.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"
#include "daemon/link/order.h"

enum { BLOCK = 1 << 14 }; /* units, persons or pairs */

/* Things side by side in runs: run i is first[i] … first[i + 1] − 1. */
struct runs {
	uint32_t *first;
	size_t n;
};

struct units {
	struct runs pairs; /* of each unit, from the segment's first on */
	struct runs of_a;  /* units of each person of the first source, which follow each other */
	struct runs of_b;  /* of each person of the second, by places in by_b */
	uint32_t *by_b;
	double *best; /* odds of the best pair of each unit */
};

/* What one block of units adds to sums over all. */
struct block_sums {
	double expected;
	expect_levels matches;
};

struct expect {
	struct run *run;
	struct units *units; /* of each segment */
	double *odds;        /* of each pair; after a step its probability */
	double *person_sum;  /* of the best odds of a person's units */
	struct block_sums *sums;
	/* The step that is being made. */
	const struct run_segment *segment;
	const struct units *at;
	const double (*ratio)[STUDY_MAX_LEVELS + 1];
};

/* ---- units ---- */

static void units_deinit(struct units *units)
{
	free(units->pairs.first);
	free(units->of_a.first);
	free(units->of_b.first);
	free(units->by_b);
	free(units->best);
}

static void end_runs(struct runs *runs, size_t n)
{
	runs->first[runs->n] = (uint32_t)n;
}

static uint32_t person_of_unit(const struct expect *expect, const struct units *units,
			       const struct run_segment *segment, uint32_t unit, bool of_a)
{
	const struct run_pair *pair = &expect->run->pairs[segment->first + units->pairs.first[unit]];

	return expect->run->person[of_a ? pair->a : pair->b];
}

static void find_units(const struct expect *expect, const struct run_segment *segment, struct units *units)
{
	const struct run_pair *pairs = expect->run->pairs + segment->first;
	const uint32_t *person = expect->run->person;
	size_t n = segment->end - segment->first;

	for (size_t i = 0; i < n; i++) {
		bool new_a = i == 0 || person[pairs[i].a] != person[pairs[i - 1].a];

		if (new_a)
			units->of_a.first[units->of_a.n++] = (uint32_t)units->pairs.n;
		if (new_a || person[pairs[i].b] != person[pairs[i - 1].b])
			units->pairs.first[units->pairs.n++] = (uint32_t)i;
	}
	end_runs(&units->pairs, n);
	end_runs(&units->of_a, units->pairs.n);
}

/* Units by person of the second source, and among those in order. */
static enum rc sort_by_b(const struct expect *expect, const struct run_segment *segment, struct units *units)
{
	struct order order;
	uint32_t *keys = malloc((units->pairs.n + 1) * sizeof *keys);
	enum rc rc = order_init(&order, units->pairs.n);

	if (keys == NULL)
		rc = RC_NOMEM;
	if (rc == RC_OK) {
		for (uint32_t u = 0; u < units->pairs.n; u++)
			keys[u] = person_of_unit(expect, units, segment, u, false);
		order_by(&order, keys);
		for (uint32_t i = 0; i < units->pairs.n; i++) {
			if (i == 0 || keys[order.at[i]] != keys[order.at[i - 1]])
				units->of_b.first[units->of_b.n++] = i;
		}
		end_runs(&units->of_b, units->pairs.n);
		units->by_b = order.at;
		order.at = NULL;
	}
	order_deinit(&order);
	free(keys);
	return rc;
}

static enum rc units_init(const struct expect *expect, const struct run_segment *segment, struct units *units)
{
	size_t cap = segment->end - segment->first + 1;

	units->pairs.first = malloc(cap * sizeof *units->pairs.first);
	units->of_a.first = malloc(cap * sizeof *units->of_a.first);
	units->of_b.first = malloc(cap * sizeof *units->of_b.first);
	units->best = malloc(cap * sizeof *units->best);
	if (units->pairs.first == NULL || units->of_a.first == NULL || units->of_b.first == NULL || units->best == NULL)
		return RC_NOMEM;
	find_units(expect, segment, units);
	return sort_by_b(expect, segment, units);
}

enum rc expect_new(struct run *run, struct expect **ret)
{
	struct expect *expect = calloc(1, sizeof *expect);
	size_t most = 0;
	enum rc rc = RC_OK;

	if (expect == NULL)
		return RC_NOMEM;
	expect->run = run;
	expect->units = calloc(run->n_segments + 1, sizeof *expect->units);
	expect->odds = calloc(run->n_pairs + 1, sizeof *expect->odds);
	expect->person_sum = malloc(((size_t)run->n + 1) * sizeof *expect->person_sum);
	if (expect->units == NULL || expect->odds == NULL || expect->person_sum == NULL)
		rc = RC_NOMEM;
	for (size_t s = 0; rc == RC_OK && s < run->n_segments; s++) {
		if (run->segments[s].slot_a == run->segments[s].slot_b)
			continue;
		rc = units_init(expect, &run->segments[s], &expect->units[s]);
		most = expect->units[s].pairs.n > most ? expect->units[s].pairs.n : most;
	}
	if (rc == RC_OK) {
		expect->sums = malloc((most / BLOCK + 1) * sizeof *expect->sums);
		rc = expect->sums == NULL ? RC_NOMEM : RC_OK;
	}
	if (rc == RC_OK)
		*ret = expect;
	else
		expect_free(expect);
	return rc;
}

void expect_free(struct expect *expect)
{
	if (expect == NULL)
		return;
	for (size_t s = 0; expect->units != NULL && s < expect->run->n_segments; s++)
		units_deinit(&expect->units[s]);
	free(expect->units);
	free(expect->odds);
	free(expect->person_sum);
	free(expect->sums);
	free(expect);
}

/* ---- a step ---- */

static double pair_ratio(const struct expect *expect, const struct run_pair *pair)
{
	double ratio = pair->frequency;

	for (unsigned c = 0; c < expect->run->domain->n_comparisons; c++)
		ratio *= expect->ratio[c][pair->pattern.level[c]];
	return ratio;
}

static void find_odds(void *ctx, size_t begin, size_t end)
{
	struct expect *expect = ctx;
	const struct units *units = expect->at;
	const struct run_pair *pairs = expect->run->pairs + expect->segment->first;
	double *odds = expect->odds + expect->segment->first;
	double prior = expect->segment->lambda / (1 - expect->segment->lambda);

	for (size_t u = begin; u < end; u++) {
		double best = 0;

		for (uint32_t i = units->pairs.first[u]; i < units->pairs.first[u + 1]; i++) {
			odds[i] = prior * pair_ratio(expect, &pairs[i]);
			best = odds[i] > best ? odds[i] : best;
		}
		units->best[u] = best;
	}
}

static void sum_of_a(void *ctx, size_t begin, size_t end)
{
	struct expect *expect = ctx;
	const struct units *units = expect->at;

	for (size_t i = begin; i < end; i++) {
		double sum = 0;

		for (uint32_t u = units->of_a.first[i]; u < units->of_a.first[i + 1]; u++)
			sum += units->best[u];
		expect->person_sum[person_of_unit(expect, units, expect->segment, units->of_a.first[i], true)] = sum;
	}
}

static void sum_of_b(void *ctx, size_t begin, size_t end)
{
	struct expect *expect = ctx;
	const struct units *units = expect->at;

	for (size_t i = begin; i < end; i++) {
		uint32_t first = units->of_b.first[i];
		double sum = 0;

		for (uint32_t k = first; k < units->of_b.first[i + 1]; k++)
			sum += units->best[units->by_b[k]];
		expect->person_sum[person_of_unit(expect, units, expect->segment, units->by_b[first], false)] = sum;
	}
}

/* The candidates of a person compete; ten releases of one person do not, nor do they count ten times. */
static void find_probabilities(void *ctx, size_t begin, size_t end)
{
	struct expect *expect = ctx;
	const struct run *run = expect->run;
	const struct units *units = expect->at;
	const struct run_pair *pairs = run->pairs + expect->segment->first;
	double *odds = expect->odds + expect->segment->first;
	struct block_sums *sums = &expect->sums[begin / BLOCK];

	memset(sums, 0, sizeof *sums);
	for (size_t u = begin; u < end; u++) {
		uint32_t first = units->pairs.first[u], n = units->pairs.first[u + 1] - first;
		double others = expect->person_sum[run->person[pairs[first].a]] +
				expect->person_sum[run->person[pairs[first].b]] - 2 * units->best[u];

		if (others < 0)
			others = 0;
		sums->expected += units->best[u] / (1 + units->best[u] + others);
		for (uint32_t i = first; i < first + n; i++) {
			odds[i] = odds[i] / (1 + odds[i] + others);
			for (unsigned c = 0; c < run->domain->n_comparisons; c++)
				sums->matches[c][pairs[i].pattern.level[c]] += odds[i] / (double)n;
		}
	}
}

void expect_segment(struct expect *expect, size_t s, const expect_levels ratio, expect_levels matches)
{
	struct run *run = expect->run;
	struct run_segment *segment = &run->segments[s];
	const struct units *units = &expect->units[s];
	unsigned n_threads = run_n_threads(run);

	expect->segment = segment;
	expect->at = units;
	expect->ratio = ratio;
	parallel_blocks(n_threads, units->pairs.n, BLOCK, find_odds, expect);
	parallel_blocks(n_threads, units->of_a.n, BLOCK, sum_of_a, expect);
	parallel_blocks(n_threads, units->of_b.n, BLOCK, sum_of_b, expect);
	parallel_blocks(n_threads, units->pairs.n, BLOCK, find_probabilities, expect);
	segment->expected_matches = 0;
	for (size_t block = 0; block * BLOCK < units->pairs.n; block++) {
		segment->expected_matches += expect->sums[block].expected;
		for (unsigned c = 0; c < run->domain->n_comparisons; c++) {
			for (unsigned level = 0; level <= run->domain->comparisons[c].n_levels; level++)
				matches[c][level] += expect->sums[block].matches[c][level];
		}
	}
}

static void keep_block(void *ctx, size_t begin, size_t end)
{
	struct expect *expect = ctx;

	for (size_t i = begin; i < end; i++) {
		struct run_pair *pair = &expect->run->pairs[i];

		pair->probability = expect->odds[i];
		pair->ratio = pair_ratio(expect, pair);
	}
}

void expect_keep(struct expect *expect, const expect_levels ratio)
{
	expect->ratio = ratio;
	parallel_blocks(run_n_threads(expect->run), expect->run->n_pairs, BLOCK, keep_block, expect);
}
