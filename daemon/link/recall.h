/* Inside of the estimate of recall: what its two files share. recall_edges.c finds the pairs and what chance brings,
 * recall.c estimates from them. */
#ifndef DAEMON_LINK_RECALL_H
#define DAEMON_LINK_RECALL_H

#include "daemon/link/run.h"

enum {
	RECALL_BAND = 2 * WEIGHT_ONE, /* of match weights that are calibrated together … */
	RECALL_LOWEST_BAND = -20,     /* … from here on, and the rest in one at each end */
	RECALL_BANDS = 64,
	RECALL_BLOCK = 1 << 14, /* edges that a thread takes at a time */
};

typedef double level_table[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1];

struct recall_edge {
	uint32_t pair; /* of run.pairs */
	int32_t weight;
	double slots; /* factor of the odds where sure links take both persons' slots */
	double worth; /* how much of a person is missed where it is no link */
	double frequency, probability; /* as of the pair; what is of many pairs lies side by side */
	struct link_pattern pattern;
	uint8_t group;
	bool is_link;
};

/* What a block of a part's edges adds to sums over all of them. */
struct recall_sums {
	double strangers, above, links;
	level_table seen;
};

struct recall {
	const struct run *run;
	const struct run_segment *segment;
	struct recall_edge *edges, *part; /* heaviest first; `part`: those of one group */
	size_t n, n_part;
	uint8_t *group; /* of each person, 0 = none */
	unsigned n_groups;
	bool has_doubles; /* in the sources: the null holds them too */
	/* Non-matches expected among all pairs of persons, by band of weights, and the variance of that. */
	double chance[RECALL_BANDS], variance[RECALL_BANDS];
	double lambda_within[2]; /* share of the pairs within the source that are doubles */
	/* of the part that is estimated */
	double n_pairs, share_of_chance, start;
	bool is_lowered[RECALL_BANDS]; /* by the null */
	double above, links,
		first_links; /* expected matches above the floor; among the links; those in the first round */
	level_table ratio, seen, share, next;
	level_table pooled; /* levels of all matches … */
	bool is_tied;       /* … which those of the part share but for how often they agree in full */
	unsigned part_group;
	double untied[LINK_MAX_GROUPS + 1]; /* matches of each group without that */
	double *sums, *spare;               /* distribution of reference weights */
	/* Of each edge of the part, and what its blocks add up to. */
	double *odds;
	struct recall_sums *blocks;
	/* For all blocks: the prior odds of a step; the edges that are added up and by what their odds are multiplied. */
	double prior, factor;
	bool with_slots;
	size_t first, end;
};

unsigned recall_band_of(int32_t weight);
/* All edges of the segment, links marked down to the threshold, their groups, and what chance brings, into `r`, whose
 * `run`, `segment`, `n_pairs` and `group` stand. Errors: NOMEM, STOPPING. */
enum rc recall_find_edges(struct recall *r, int32_t threshold) MUST_CHECK;

#endif
