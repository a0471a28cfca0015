/* libs: tc_link tc_population */
/* Many records resident: memory, and how long a batch takes to be compared with all of them. Records of invented
 * people, six filters of 512 bits, come in batches and are compared as they would be in the daemon, but for the first
 * ones, which are only indexed. Prints JSON lines: after each stage its seconds, by the clock and of the processor, and
 * the peak of memory so far.
 *
 *     bench_pool [N-RECORDS [THREADS [BATCHES]]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "daemon/link/link.h"
#include "tools/lab/population.h"

enum { FLOOR = 10, N_LEVELS = 8 };

static double seconds_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct stage {
	double clock, processor;
};

static struct stage begin(void)
{
	return (struct stage){seconds_of(CLOCK_MONOTONIC), seconds_of(CLOCK_PROCESS_CPUTIME_ID)};
}

static void report(const char *what, uint32_t n, size_t hits, const struct stage *stage)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("{\"stage\": \"%s\", \"records\": %u, \"hits\": %zu, \"seconds\": %.2f, \"processor_seconds\": %.2f, "
	       "\"peak_mib\": %ld}\n",
	       what, n, hits, seconds_of(CLOCK_MONOTONIC) - stage->clock,
	       seconds_of(CLOCK_PROCESS_CPUTIME_ID) - stage->processor, usage.ru_maxrss / 1024);
	fflush(stdout);
}

/* A comparison a field, with the weights of a usual study. */
static void make_domain(struct study_domain *domain)
{
	static const uint16_t cuts[N_LEVELS - 1] = {300, 400, 500, 600, 700, 850, 1000};
	static const int16_t weights[N_LEVELS] = {-4, -3, -1, 1, 2, 5, 7, 8};

	domain->n_filters = domain->n_comparisons = POPULATION_FIELDS;
	for (unsigned f = 0; f < POPULATION_FIELDS; f++) {
		struct study_comparison *c = &domain->comparisons[f];

		domain->filters[f].bits = 512;
		c->filters[0] = (uint8_t)f;
		c->n_filters = 1;
		c->n_cuts[0] = N_LEVELS - 1;
		memcpy(c->cuts[0], cuts, sizeof cuts);
		for (unsigned i = 0; i < N_LEVELS; i++)
			c->reference_weight[i + 1] = (int16_t)(weights[i] * 256);
		c->n_levels = N_LEVELS;
	}
	domain->floor = FLOOR * 256;
}

static enum rc add(struct link_pool *pool, uint32_t first, uint32_t end)
{
	const struct population population = {POPULATION_FIELDS, 512, 10};
	uint8_t filters[POPULATION_FIELDS][POPULATION_MAX_BITS / 8];
	struct link_row row = {0};
	uint32_t number;
	enum rc rc = RC_OK;

	for (uint32_t i = first; i < end && rc == RC_OK; i++) {
		memcpy(row.record_id, &i, sizeof i);
		population_record(&population, i, filters);
		for (unsigned f = 0; f < POPULATION_FIELDS; f++)
			row.filters[f] = filters[f];
		rc = link_pool_add(pool, &row, &number);
	}
	return rc;
}

/* Rows n … n + n_new - 1 come and are compared. */
static enum rc batch(struct link_pool *pool, uint32_t n, uint32_t n_new, const char *what)
{
	struct link_pair *pairs = NULL;
	size_t n_pairs = 0;
	enum rc rc = add(pool, n, n + n_new);
	struct stage stage = begin();

	if (rc == RC_OK)
		rc = link_compare(pool, n, n + n_new, NULL, &pairs, &n_pairs);
	if (rc == RC_OK)
		report(what, n_new, n_pairs, &stage);
	free(pairs);
	return rc;
}

static enum rc run(struct link_pool *pool, uint32_t n, unsigned n_batches)
{
	const uint32_t step = 1 << 20;
	struct stage stage = begin();
	enum rc rc = RC_OK;

	/* In steps, so that segments are sealed and merged as in a daemon that records come to over time. */
	for (uint32_t first = 0; first < n && rc == RC_OK; first += step) {
		uint32_t end = n - first < step ? n : first + step;
		struct link_pair *pairs = NULL;
		size_t n_pairs;

		rc = add(pool, first, end);
		if (rc == RC_OK)
			rc = link_compare(pool, end, end, NULL, &pairs, &n_pairs);
		free(pairs);
	}
	link_pool_settle(pool);
	if (rc == RC_OK)
		report("resident", n, 0, &stage);
	for (unsigned i = 0; i < n_batches && rc == RC_OK; i++)
		rc = batch(pool, n + i * 1000, 1000, "a batch");
	if (rc == RC_OK)
		rc = batch(pool, n + n_batches * 1000, 1, "one record");
	return rc;
}

int main(int argc, char **argv)
{
	static struct study_domain domain;
	uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 10000000;
	struct link_options options = {.kernel = LINK_KERNEL_AUTO,
				       .memory = LINK_MEMORY_TRY_LOCK,
				       .n_threads = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2};
	struct link_pool *pool = NULL;
	enum rc rc;

	make_domain(&domain);
	rc = link_pool_new(&domain, &options, &pool);
	if (rc == RC_OK)
		rc = run(pool, n, argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 3);
	link_pool_free(pool);
	if (rc != RC_OK)
		fprintf(stderr, "bench_pool: %s\n", rc_text(rc));
	return rc == RC_OK ? 0 : 1;
}
