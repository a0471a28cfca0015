/* Random pairs of persons of different sources, from which the model learns how chance agrees.
 *
 * Which pairs are taken depends on the records at the cut and on nothing else. To look up the filters of a pair is a
 * walk to memory, so several threads do it, and what they found is kept for the next fit of the same run. */
#include "daemon/link/run.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"

enum {
	SAMPLE = 1 << 20,     /* pairs of all sources together */
	SAMPLE_MIN = 1 << 16, /* … but of every two sources at least these */
	KEPT = 1 << 21,       /* with very many sources the rest is looked up each time */
	CHUNK = 1 << 16,      /* pairs between looks at whether to stop */
	BLOCK = 1 << 12,      /* pairs that a thread takes at a time */
};

struct sampler {
	struct run *run;
	uint32_t *ranks; /* to draw from: the first record of each certain person, crowds left out */
	uint32_t first_of_slot[STUDY_MAX_SOURCES + 1];
	uint64_t want;  /* of every two sources */
	size_t n_drawn; /* before the chunk */
	struct link_pattern *scratch;
	/* The chunk that is looked up. */
	const struct run_segment *segment;
	uint64_t start, n_all;
	bool all;
	size_t n;
	struct link_pattern *patterns;
};

/* One record a person: somebody who was released ten times, or a thousand copies of one record, must not make agreement
 * by chance look common. */
static enum rc list_sampled(struct sampler *sampler)
{
	const struct run *run = sampler->run;
	uint32_t n = 0;

	sampler->ranks = malloc((run->n > 0 ? run->n : 1) * sizeof *sampler->ranks);
	if (sampler->ranks == NULL)
		return RC_NOMEM;
	for (uint16_t slot = 0; slot < run->n_slots; slot++) {
		sampler->first_of_slot[slot] = n;
		for (uint32_t i = run->first_of_slot[slot]; i < run->first_of_slot[slot + 1]; i++) {
			if (run->certain[i] == i && !run->is_crowded[i])
				sampler->ranks[n++] = i;
		}
	}
	sampler->first_of_slot[run->n_slots] = n;
	return RC_OK;
}

/* splitmix64 of a counter. */
static uint64_t mix(uint64_t z)
{
	z *= UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void look_up_block(void *ctx, size_t first, size_t end)
{
	struct sampler *sampler = ctx;
	const struct run_segment *segment = sampler->segment;
	const uint32_t *of_a = sampler->ranks + sampler->first_of_slot[segment->slot_a];
	const uint32_t *of_b = sampler->ranks + sampler->first_of_slot[segment->slot_b];
	uint32_t n_b = sampler->first_of_slot[segment->slot_b + 1] - sampler->first_of_slot[segment->slot_b];

	for (size_t i = first; i < end; i++) {
		uint64_t at = sampler->start + i, k = sampler->all ? at : mix(at + 1) % sampler->n_all;

		sampler->patterns[i] = run_pattern_of(sampler->run, of_a[k / n_b], of_b[k % n_b]);
	}
}

/* The levels of the chunk: kept, or looked up now. Errors: NOMEM. */
static enum rc look_up_chunk(struct sampler *sampler)
{
	struct run *run = sampler->run;

	if (sampler->n_drawn + sampler->n <= run->n_sampled) {
		sampler->patterns = run->sampled + sampler->n_drawn;
		return RC_OK;
	}
	bool keep = sampler->n_drawn == run->n_sampled && run->n_sampled + sampler->n <= KEPT;
	if (keep && run->sampled == NULL)
		run->sampled = malloc(KEPT * sizeof *run->sampled);
	if (!keep && sampler->scratch == NULL)
		sampler->scratch = malloc(CHUNK * sizeof *sampler->scratch);
	sampler->patterns = keep ? run->sampled : sampler->scratch;
	if (sampler->patterns == NULL)
		return RC_NOMEM;
	sampler->patterns += keep ? run->n_sampled : 0;
	parallel_blocks(run_n_threads(run), sampler->n, BLOCK, look_up_block, sampler);
	run->n_sampled += keep ? sampler->n : 0;
	return RC_OK;
}

static enum rc sample_segment(struct sampler *sampler, enum rc (*visit)(void *ctx, const struct link_pattern *pattern),
			      void *ctx)
{
	const uint32_t *first = sampler->first_of_slot;
	uint64_t n_a = first[sampler->segment->slot_a + 1] - first[sampler->segment->slot_a];
	uint64_t n_b = first[sampler->segment->slot_b + 1] - first[sampler->segment->slot_b];
	uint64_t n;
	enum rc rc = RC_OK;

	sampler->n_all = n_a * n_b;
	sampler->all = sampler->n_all <= sampler->want;
	n = sampler->all ? sampler->n_all : sampler->want;
	for (sampler->start = 0; rc == RC_OK && sampler->start < n; sampler->start += CHUNK) {
		if (run_is_stopped(sampler->run))
			return RC_STOPPING;
		sampler->n = n - sampler->start < CHUNK ? (size_t)(n - sampler->start) : CHUNK;
		rc = look_up_chunk(sampler);
		for (size_t i = 0; rc == RC_OK && i < sampler->n; i++)
			rc = visit(ctx, &sampler->patterns[i]);
		sampler->n_drawn += sampler->n;
	}
	return rc;
}

enum rc run_each_sampled(struct run *run, enum rc (*visit)(void *ctx, const struct link_pattern *pattern), void *ctx)
{
	struct sampler sampler = {.run = run};
	uint64_t n_cross = 0;
	enum rc rc = list_sampled(&sampler);

	for (size_t s = 0; s < run->n_segments; s++)
		n_cross += run->segments[s].slot_a != run->segments[s].slot_b;
	sampler.want = n_cross > 0 ? SAMPLE / n_cross : 0;
	if (sampler.want < SAMPLE_MIN)
		sampler.want = SAMPLE_MIN;
	for (size_t s = 0; s < run->n_segments && rc == RC_OK; s++) {
		sampler.segment = &run->segments[s];
		if (sampler.segment->slot_a != sampler.segment->slot_b)
			rc = sample_segment(&sampler, visit, ctx);
	}
	free(sampler.ranks);
	free(sampler.scratch);
	return rc;
}
