/* throughcare lab kernel: how many pairs a second every kernel of this machine compares, on synthetic filters.
 *
 * The kernels take turns in one run, so that a noisy machine disturbs them alike: trust the ratios. The baseline is the
 * plain popcount loop over rows, not vectorised, with every field of every pair counted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/link/pool.h"
#include "tools/lab/lab.h"
#include "tools/options.h"

enum { N_ROUNDS = 5 };

/* One way to do the work. */
struct contender {
	const char *name;
	enum link_kernel kernel;
	bool baseline;
};

static const struct contender contenders[] = {
	{"scalar", LINK_KERNEL_SCALAR, true},
	{"scalar-stop", LINK_KERNEL_SCALAR, false},
	{"avx2", LINK_KERNEL_AVX2, false},
	{"avx512", LINK_KERNEL_AVX512, false},
};
enum { N_CONTENDERS = sizeof contenders / sizeof contenders[0] };

/* splitmix64 (Steele, Lea and Flood 2014): the same rows in every run. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void set_bits(uint8_t *filter, unsigned n_bits, uint64_t token, unsigned k)
{
	for (unsigned i = 0; i < k; i++) {
		unsigned bit = (unsigned)(next_random(&token) % n_bits);

		filter[bit / 8] = (uint8_t)(filter[bit / 8] | 1u << bit % 8);
	}
}

/* Tokens of a value: few are common and most are rare, so that values resemble each other as names do. */
static void make_value(uint8_t *filter, unsigned n_bits, unsigned n_tokens, unsigned k, uint64_t value, unsigned field)
{
	uint64_t state = value * 64 + field;

	memset(filter, 0, n_bits / 8);
	for (unsigned i = 0; i < n_tokens; i++) {
		uint64_t r = next_random(&state) % 700;

		set_bits(filter, n_bits, (r * r / 700 + 1) << 8 | field, k);
	}
}

/* ---- the two shapes ---- */

struct shape {
	const char *name;
	unsigned n_fields, n_bits, n_tokens, k;
	unsigned thresholds[2]; /* thousandths of Dice, or log2 units */
	unsigned n_thresholds;
};

static const struct shape shapes[] = {
	{"1x1024", 1, 1024, 24, 20, {800, 900}, 2},
	{"6x512", 6, 512, 8, 10, {10, 15}, 2},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

/* One comparison a field. With one field its weight is the level of Dice itself; with six it is that of a usual study.
 */
static void make_domain(const struct shape *shape, unsigned threshold, struct study_domain *domain)
{
	static const uint16_t cuts[] = {300, 400, 500, 600, 700, 850, 1000};
	static const int16_t weights[] = {-4, -3, -1, 1, 2, 5, 7, 8};

	memset(domain, 0, sizeof *domain);
	domain->n_filters = domain->n_comparisons = (uint8_t)shape->n_fields;
	for (unsigned f = 0; f < shape->n_fields; f++) {
		struct study_comparison *c = &domain->comparisons[f];

		domain->filters[f].bits = (uint16_t)shape->n_bits;
		c->filters[0] = (uint8_t)f;
		c->n_filters = 1;
		if (shape->n_fields == 1) {
			c->n_cuts[0] = 1;
			c->cuts[0][0] = (uint16_t)threshold;
			c->reference_weight[1] = -256;
			c->reference_weight[2] = 256;
		} else {
			c->n_cuts[0] = sizeof cuts / sizeof cuts[0];
			memcpy(c->cuts[0], cuts, sizeof cuts);
			for (unsigned i = 0; i < sizeof weights / sizeof weights[0]; i++)
				c->reference_weight[i + 1] = (int16_t)(weights[i] * 256);
		}
		c->n_levels = (uint8_t)(c->n_cuts[0] + 1);
	}
	domain->floor = shape->n_fields == 1 ? 256 : (int32_t)threshold * 256;
}

static enum rc fill_pool(const struct shape *shape, struct link_pool *pool, uint32_t n_rows)
{
	uint8_t filters[6][1024 / 8];
	struct link_row row = {0};
	uint32_t number;
	enum rc rc = RC_OK;

	for (uint32_t i = 0; i < n_rows && rc == RC_OK; i++) {
		uint64_t state = i;

		memcpy(row.record_id, &i, sizeof i);
		for (unsigned f = 0; f < shape->n_fields; f++) {
			uint64_t r = next_random(&state) % 3000;

			/* One field: every person has a value of their own. Six: values repeat, few of them often. */
			make_value(filters[f], shape->n_bits, shape->n_tokens, shape->k,
				   shape->n_fields == 1 ? i : r * r / 3000, f);
			row.filters[f] = filters[f];
		}
		rc = link_pool_add(pool, &row, &number);
	}
	return rc;
}

/* ---- the baseline ---- */

static bool baseline_hit(const struct study_domain *domain, const struct link_pool *pool, uint32_t a, uint32_t b)
{
	int32_t weight = 0;

	for (unsigned c = 0; c < domain->n_comparisons; c++) {
		unsigned f = domain->comparisons[c].filters[0];
		uint16_t both;

		pool->kernel->count_run(pool_filter(pool, b, f), pool_filter(pool, a, f), pool->n_lines[f], 1, &both);
		weight += domain->comparisons[c].reference_weight[level_digit(
			&pool->inverse[f], domain->comparisons[c].cuts[0], domain->comparisons[c].n_cuts[0],
			pool_block_of(pool, a)->popcounts[f][a % POOL_BLOCK_ROWS],
			pool_block_of(pool, b)->popcounts[f][b % POOL_BLOCK_ROWS], both)];
	}
	return weight >= domain->floor;
}

static size_t run_baseline(const struct study_domain *domain, const struct link_pool *pool, uint32_t first,
			   uint32_t end)
{
	size_t hits = 0;

	for (uint32_t b = first; b < end; b++) {
		for (uint32_t a = 0; a < b; a++)
			hits += baseline_hit(domain, pool, a, b);
	}
	return hits;
}

/* ---- runs ---- */

struct run_state {
	const struct contender *contender;
	struct link_pool *pool;
	double best; /* seconds */
	size_t hits;
};

static enum rc run_once(const struct study_domain *domain, struct run_state *run, uint32_t first, uint32_t end)
{
	double start = lab_seconds(), seconds;
	struct link_pair *pairs = NULL;
	enum rc rc = RC_OK;

	if (run->contender->baseline)
		run->hits = run_baseline(domain, run->pool, first, end);
	else
		rc = link_compare(run->pool, first, end, NULL, &pairs, &run->hits);
	seconds = lab_seconds() - start;
	free(pairs);
	if (run->best == 0 || seconds < run->best)
		run->best = seconds;
	return rc;
}

static enum rc add_results(json_t *out, const struct shape *shape, unsigned threshold, const struct run_state *runs,
			   size_t n_runs, uint32_t n_rows, double n_pairs)
{
	for (size_t i = 0; i < n_runs; i++) {
		json_t *run = json_pack(
			"{s:s, s:s, s:f, s:I, s:f, s:f, s:b}", "kernel", runs[i].contender->name, "shape", shape->name,
			"threshold", shape->n_fields == 1 ? threshold / 1000.0 : (double)threshold, "records",
			(json_int_t)n_rows, "gpairs_per_s", n_pairs / runs[i].best / 1e9, "ratio_to_scalar",
			runs[0].best / runs[i].best, "hits_equal", runs[i].hits == runs[0].hits);
		if (json_array_append_new(out, run) != 0)
			return RC_NOMEM;
	}
	return RC_OK;
}

static enum rc measure(const struct shape *shape, unsigned threshold, uint32_t n_rows, uint32_t n_queries, json_t *out)
{
	struct run_state runs[N_CONTENDERS] = {0};
	struct study_domain *domain = malloc(sizeof *domain);
	size_t n_runs = 0;
	double n_pairs =
		(double)n_queries * ((double)n_rows - (double)n_queries) + (double)n_queries * (n_queries - 1) / 2;
	enum rc rc = domain == NULL ? RC_NOMEM : RC_OK;

	if (rc == RC_OK)
		make_domain(shape, threshold, domain);
	for (size_t i = 0; i < N_CONTENDERS && rc == RC_OK; i++) {
		struct link_options options = {contenders[i].kernel, LINK_MEMORY_PLAIN, 1};

		if (!link_kernel_is_available(contenders[i].kernel))
			continue;
		runs[n_runs].contender = &contenders[i];
		rc = link_pool_new(domain, &options, &runs[n_runs].pool);
		if (rc == RC_OK)
			rc = fill_pool(shape, runs[n_runs++].pool, n_rows);
	}
	for (unsigned round = 0; round < N_ROUNDS && rc == RC_OK; round++) {
		for (size_t i = 0; i < n_runs && rc == RC_OK; i++)
			rc = run_once(domain, &runs[i], n_rows - n_queries, n_rows);
	}
	if (rc == RC_OK)
		rc = add_results(out, shape, threshold, runs, n_runs, n_rows, n_pairs);
	for (size_t i = 0; i < n_runs; i++)
		link_pool_free(runs[i].pool);
	free(domain);
	return rc;
}

int lab_kernel(int argc, char **argv)
{
	uint64_t n_rows = 200000, n_queries = 32;
	bool help = false;
	int operands = 0;
	const struct option_row rows[] = {
		{"records", 0, OPTION_NUMBER, &n_rows, 1000, 10000000, .argument = "N",
		 .help = "records to compare with"},
		{"queries", 0, OPTION_NUMBER, &n_queries, 1, 1000, .argument = "N", .help = "records to compare"},
	};
	const struct option_table table = {
		.command = "throughcare lab kernel",
		.usage = "[OPTION]...",
		.about = "Measure how many pairs a second each kernel of this machine compares, on one thread, for one "
			 "filter of\n"
			 "1024 bits (threshold: Dice coefficient) and six of 512 (threshold: floor in log2 units). "
			 "Kernels take\n"
			 "turns in one run; the ratios to the plain scalar loop are what to trust.",
		.example = "throughcare lab kernel --records 1000000",
		OPTION_ROWS(rows),
	};
	json_t *results = json_array();
	enum rc rc = options_parse(&table, argc, argv, &operands, &help);

	if (rc != RC_OK || help) {
		json_decref(results);
		return rc_exit_code(rc);
	}
	for (size_t s = 0; s < N_SHAPES && rc == RC_OK; s++) {
		for (unsigned t = 0; t < shapes[s].n_thresholds && rc == RC_OK; t++)
			rc = measure(&shapes[s], shapes[s].thresholds[t], (uint32_t)n_rows, (uint32_t)n_queries,
				     results);
	}
	if (rc == RC_OK)
		rc = lab_print(json_pack("{s:o}", "runs", results));
	else
		json_decref(results);
	if (rc != RC_OK)
		fprintf(stderr, "throughcare lab kernel: %s\n", rc_text(rc));
	return rc_exit_code(rc);
}
