/* throughcare lab kernel: how many pairs a second every kernel of this machine compares, on the records of invented
 * people.
 *
 * All take turns on the same records in one run, on one thread, and are timed by the processor time they used, so that
 * a busy machine disturbs them alike: trust the ratios. The baseline is the plain popcount loop over rows, not
 * vectorised, with every field of every pair counted. The others are link_compare() itself, the index of the records
 * being there already as it is in the daemon; making it is timed apart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/link/pool.h"
#include "tools/lab/lab.h"
#include "tools/lab/population.h"
#include "tools/options.h"

enum { N_ROUNDS = 3, MAX_THRESHOLDS = 3 };

struct shape {
	const char *name;
	struct population population;
	unsigned thresholds[MAX_THRESHOLDS]; /* thousandths of Dice, or log2 units */
};

static const struct shape shapes[] = {
	{"1x1024", {1, 1024, 23}, {700, 800, 900}},
	{"1x1024", {1, 1024, 10}, {700, 800, 900}},
	{"6x512", {POPULATION_FIELDS, 512, 10}, {5, 10, 15}},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

/* One comparison a field. With one field its weight is whether Dice reaches the threshold; with six that of a usual
 * study. */
static void make_domain(const struct shape *shape, unsigned threshold, struct study_domain *domain)
{
	static const uint16_t cuts[] = {300, 400, 500, 600, 700, 850, 1000};
	static const int16_t weights[] = {-4, -3, -1, 1, 2, 5, 7, 8};
	unsigned n_fields = shape->population.n_fields;

	memset(domain, 0, sizeof *domain);
	domain->n_filters = domain->n_comparisons = (uint8_t)n_fields;
	for (unsigned f = 0; f < n_fields; f++) {
		struct study_comparison *c = &domain->comparisons[f];

		domain->filters[f].bits = (uint16_t)shape->population.bits;
		c->filters[0] = (uint8_t)f;
		c->n_filters = 1;
		if (n_fields == 1) {
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
	domain->floor = n_fields == 1 ? 256 : (int32_t)threshold * 256;
}

/* ---- records ---- */

struct sample {
	const struct shape *shape;
	struct study_domain domain; /* of the threshold at hand: records and index do not depend on it */
	struct link_pool *pool;
	uint32_t n_rows, n_queries, n_baseline; /* queries are the last rows; the baseline takes the first of them */
	double fill, index_seconds;
};

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static enum rc fill_pool(struct sample *sample)
{
	const struct population *population = &sample->shape->population;
	uint8_t filters[POPULATION_FIELDS][POPULATION_MAX_BITS / 8];
	struct link_row row = {0};
	uint64_t n_set = 0;
	uint32_t number;
	enum rc rc = RC_OK;

	for (uint32_t i = 0; i < sample->n_rows && rc == RC_OK; i++) {
		memcpy(row.record_id, &i, sizeof i);
		population_record(population, i, filters);
		for (unsigned f = 0; f < population->n_fields; f++)
			row.filters[f] = filters[f];
		rc = link_pool_add(sample->pool, &row, &number);
		for (unsigned f = 0; rc == RC_OK && f < population->n_fields; f++)
			n_set += pool_block_of(sample->pool, i)->popcounts[f][i % POOL_BLOCK_ROWS];
	}
	sample->fill = (double)n_set / sample->n_rows / population->n_fields / population->bits;
	return rc;
}

/* The first comparison makes the index; later ones find it. */
static enum rc sample_init(struct sample *sample)
{
	struct link_options options = {LINK_KERNEL_AUTO, LINK_MEMORY_PLAIN, 1};
	struct link_pair *pairs = NULL;
	size_t n;
	double start;
	enum rc rc;

	make_domain(sample->shape, sample->shape->thresholds[MAX_THRESHOLDS - 1], &sample->domain);
	rc = link_pool_new(&sample->domain, &options, &sample->pool);
	if (rc == RC_OK)
		rc = fill_pool(sample);
	start = cpu_seconds();
	if (rc == RC_OK)
		rc = link_compare(sample->pool, sample->n_rows, sample->n_rows, NULL, &pairs, &n);
	if (rc == RC_OK)
		link_pool_settle(sample->pool); /* nothing else may run beside what is measured */
	sample->index_seconds = cpu_seconds() - start;
	free(pairs);
	return rc;
}

/* ---- the baseline ---- */

/* Hits of one query among n rows from `first`, the start of a block, every field of every pair counted. Identical rows
 * of one source count once, as link_compare pairs them. */
static size_t baseline_block(const struct sample *sample, const struct kernel *kernel, uint32_t query, uint32_t first,
			     size_t n)
{
	static uint16_t counts[POOL_BLOCK_ROWS];
	static int32_t weights[POOL_BLOCK_ROWS];
	const struct link_pool *pool = sample->pool;
	const struct pool_block *block = pool_block_of(pool, first);
	size_t hits = 0;

	memset(weights, 0, n * sizeof *weights);
	for (unsigned c = 0; c < sample->domain.n_comparisons; c++) {
		const struct study_comparison *comparison = &sample->domain.comparisons[c];
		unsigned a = pool_block_of(pool, query)->popcounts[c][query % POOL_BLOCK_ROWS];

		kernel->count_run(pool_filter(pool, query, c), block->filters[c], pool->n_lines[c], n, counts);
		for (size_t i = 0; i < n; i++)
			weights[i] += comparison->reference_weight[level_digit(&pool->inverse[c], comparison->cuts[0],
									       comparison->n_cuts[0], a,
									       block->popcounts[c][i], counts[i])];
	}
	for (uint32_t i = 0; i < n; i++) {
		if (weights[i] >= sample->domain.floor)
			hits += pool_is_lead(pool, query) && pool_is_lead(pool, first + i);
	}
	return hits;
}

static size_t run_baseline(const struct sample *sample)
{
	const struct kernel *kernel = kernel_choose(LINK_KERNEL_SCALAR);
	uint32_t first = sample->n_rows - sample->n_queries;
	size_t hits = 0;

	for (uint32_t b = first; b < first + sample->n_baseline; b++) {
		for (uint32_t row = 0; row < b; row += POOL_BLOCK_ROWS)
			hits += baseline_block(sample, kernel, b, row,
					       b - row < POOL_BLOCK_ROWS ? b - row : POOL_BLOCK_ROWS);
	}
	return hits;
}

/* ---- runs ---- */

/* The baseline, and every kernel that this processor has. */
struct contender {
	const char *name;
	const struct kernel *kernel; /* NULL = the baseline */
	double n_pairs, best;        /* best: processor seconds */
	size_t hits;                 /* of the queries of the baseline */
};

static enum rc run_once(struct sample *sample, struct contender *contender)
{
	uint32_t first = sample->n_rows - sample->n_queries;
	struct link_pair *pairs = NULL;
	size_t n = 0;
	double start = cpu_seconds(), seconds;
	enum rc rc = RC_OK;

	if (contender->kernel == NULL) {
		contender->hits = run_baseline(sample);
	} else {
		sample->pool->kernel = contender->kernel;
		rc = link_compare(sample->pool, first, sample->n_rows, NULL, &pairs, &n);
	}
	seconds = cpu_seconds() - start;
	if (contender->kernel != NULL) {
		for (contender->hits = 0; contender->hits < n; contender->hits++) {
			if (pairs[contender->hits].b >= first + sample->n_baseline)
				break; /* ascending b */
		}
	}
	free(pairs);
	if (contender->best == 0 || seconds < contender->best)
		contender->best = seconds;
	return rc;
}

static enum rc add_results(json_t *out, const struct sample *sample, unsigned threshold,
			   const struct contender *contenders, size_t n)
{
	double baseline = contenders[0].n_pairs / contenders[0].best;

	for (size_t i = 0; i < n; i++) {
		const struct contender *c = &contenders[i];
		double rate = c->n_pairs / c->best;
		json_t *run = json_pack(
			"{s:s, s:s, s:f, s:f, s:I, s:f, s:f, s:b, s:I, s:f}", "kernel", c->name, "shape",
			sample->shape->name, "fill", sample->fill, "threshold",
			sample->shape->population.n_fields == 1 ? threshold / 1000.0 : (double)threshold, "records",
			(json_int_t)sample->n_rows, "gpairs_per_s", rate / 1e9, "ratio_to_scalar", rate / baseline,
			"hits_equal", c->hits == contenders[0].hits, "hits", (json_int_t)c->hits, "index_seconds",
			c->kernel != NULL ? sample->index_seconds : 0.0);

		if (json_array_append_new(out, run) != 0)
			return RC_NOMEM;
	}
	return RC_OK;
}

/* Pairs of the last n of n_rows rows, the first n_asking of them asking, with all rows before. */
static double count_pairs(uint32_t n_rows, uint32_t n, uint32_t n_asking)
{
	return (double)n_asking * ((double)n_rows - n) + (double)n_asking * (n_asking - 1.0) / 2;
}

static enum rc measure(struct sample *sample, unsigned threshold, json_t *out)
{
	static const enum link_kernel ids[] = {LINK_KERNEL_SCALAR, LINK_KERNEL_AVX2, LINK_KERNEL_AVX512};
	static const char *const names[] = {"portable", "avx2", "avx512"};
	struct contender contenders[4] = {
		{.name = "scalar", .n_pairs = count_pairs(sample->n_rows, sample->n_queries, sample->n_baseline)}};
	size_t n = 1;
	enum rc rc = RC_OK;

	make_domain(sample->shape, threshold, &sample->domain);
	for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
		if (link_kernel_is_available(ids[i]))
			contenders[n++] = (struct contender){
				.name = names[i],
				.kernel = kernel_choose(ids[i]),
				.n_pairs = count_pairs(sample->n_rows, sample->n_queries, sample->n_queries)};
	}
	for (unsigned round = 0; round < N_ROUNDS && rc == RC_OK; round++) {
		for (size_t i = 0; i < n && rc == RC_OK; i++)
			rc = run_once(sample, &contenders[i]);
	}
	return rc == RC_OK ? add_results(out, sample, threshold, contenders, n) : rc;
}

static enum rc measure_shape(const struct shape *shape, uint32_t n_rows, uint32_t n_queries, json_t *out)
{
	struct sample *sample = calloc(1, sizeof *sample);
	enum rc rc;

	if (sample == NULL)
		return RC_NOMEM;
	sample->shape = shape;
	sample->n_rows = n_rows;
	sample->n_queries = n_queries;
	sample->n_baseline = n_queries < 16 ? n_queries : 16;
	rc = sample_init(sample);
	for (unsigned t = 0; t < MAX_THRESHOLDS && rc == RC_OK; t++)
		rc = measure(sample, shape->thresholds[t], out);
	link_pool_free(sample->pool);
	free(sample);
	return rc;
}

int lab_kernel(int argc, char **argv)
{
	uint64_t n_rows = 1 << 20, n_queries = 2048;
	const char *only = NULL;
	bool help = false;
	int operands = 0;
	const struct option_row rows[] = {
		{"records", 0, OPTION_NUMBER, &n_rows, 1000, 10000000, .argument = "N",
		 .help = "records to compare with (1048576)"},
		{"queries", 0, OPTION_NUMBER, &n_queries, 1, 100000, .argument = "N",
		 .help = "records to compare (2048)"},
		{"shape", 0, OPTION_TEXT, &only, .argument = "NAME", .help = "1x1024 or 6x512 alone"},
	};
	const struct option_table table = {
		.command = "throughcare lab kernel",
		.usage = "[OPTION]...",
		.about = "Measure how many pairs a second each kernel of this machine compares, on one thread, for one "
			 "filter of\n"
			 "1024 bits (threshold: Dice coefficient) and six of 512 (threshold: floor in log2 units). "
			 "Kernels take\n"
			 "turns in one run; the ratios to the plain scalar loop are what to trust.",
		.example = "throughcare lab kernel --shape 1x1024",
		OPTION_ROWS(rows),
	};
	json_t *results = json_array();
	enum rc rc = options_parse(&table, argc, argv, &operands, &help);

	if (rc != RC_OK || help) {
		json_decref(results);
		return rc_exit_code(rc);
	}
	if (n_queries > n_rows)
		n_queries = n_rows;
	for (size_t s = 0; s < N_SHAPES && rc == RC_OK; s++) {
		if (only == NULL || strcmp(only, shapes[s].name) == 0)
			rc = measure_shape(&shapes[s], (uint32_t)n_rows, (uint32_t)n_queries, results);
	}
	if (rc == RC_OK && json_array_size(results) == 0) {
		fprintf(stderr, "throughcare lab kernel: --shape: expected 1x1024 or 6x512\n");
		json_decref(results);
		return rc_exit_code(RC_USAGE);
	}
	if (rc == RC_OK)
		rc = lab_print(json_pack("{s:o}", "runs", results));
	else
		json_decref(results);
	if (rc != RC_OK)
		fprintf(stderr, "throughcare lab kernel: %s\n", rc_text(rc));
	return rc_exit_code(rc);
}
