/* Inside of the estimate of recall: what its files share. recall_edges.c finds the pairs and what chance brings,
 * recall_bands.c counts the matches of all, recall_joint.c adds up weights for it, recall_part.c counts
 * those of a group, recall.c has the groups and the limits. */
#ifndef DAEMON_LINK_RECALL_H
#define DAEMON_LINK_RECALL_H

#include "daemon/link/run.h"

enum {
	RECALL_BAND = 2 * WEIGHT_ONE, /* of match weights that are calibrated together … */
	RECALL_LOWEST_BAND = -20,     /* … from here on, and the rest in one at each end */
	RECALL_BANDS = 64,
	RECALL_ROUNDS = 8,
	RECALL_BLOCK = 1 << 14, /* edges that a thread takes at a time */
	RECALL_BINS = 13,       /* of term frequency, in halves of a log2 unit; the middle one is none */
	RECALL_NO_BIN = 255,
};

typedef double level_table[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1];

struct recall_edge {
	uint32_t pair; /* of run.pairs */
	int32_t weight;
	double slots;                  /* factor of the odds where sure links take both persons' slots */
	double worth;                  /* how much of a person is missed where it is no link */
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

/* How often matches have each level, and of those that agree in full, each term frequency. */
struct recall_levels {
	level_table share;
	double bin[STUDY_MAX_COMPARISONS][RECALL_BINS];
};

/* Pairs by band of weight, comparison and level, less what chance brings; and by term frequency. */
struct recall_tally {
	double level[STUDY_MAX_COMPARISONS][RECALL_BANDS][STUDY_MAX_LEVELS + 1];
	double bin[STUDY_MAX_COMPARISONS][RECALL_BANDS][RECALL_BINS];
};

/* What a level of a comparison, with one term frequency, adds to the weights of a match, in halves of a log2 unit;
 * `part`: of the two steps between which its match weight lies, how much goes to this one. */
struct recall_step {
	uint16_t level;
	uint8_t bin; /* RECALL_NO_BIN: any */
	int32_t reference, match;
	double part;
};

/* Joint distribution of reference and match weight of a match. A row is a sum of reference weights or more, the first
 * the smallest one; a column a sum of match weights. */
struct recall_joint {
	const struct run *run;
	struct recall_step *steps[STUDY_MAX_COMPARISONS];
	size_t n_steps[STUDY_MAX_COMPARISONS];
	double *cells, *spare;
	size_t n_reference, n_match;
	int32_t reference, match; /* of the first row and column */
};

/* Matches in all; of these, what only the expectation says, above the floor and below it; the null's variance. */
struct recall_count {
	double matches, by_model, below, variance;
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
	double lambda_within[2];      /* share of the pairs within the source that are doubles */
	double in_band[RECALL_BANDS]; /* all pairs of persons */
	struct recall_tally *tally;
	struct recall_joint joint;
	struct recall_levels levels, next_levels;             /* of all matches */
	double gaps[STUDY_MAX_COMPARISONS][N_COMPARED_MASKS]; /* share of the pairs that lack these filters */
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
	/* For all blocks: the prior odds of a step; the edges that are added up and by what their odds are multiplied.
	 */
	double prior, factor;
	bool with_slots;
	size_t first, end;
};

unsigned recall_band_of(int32_t weight);
/* All edges of the segment, links marked down to the threshold, their groups, and what chance brings, into `r`, whose
 * `run`, `segment`, `n_pairs` and `group` stand. Errors: NOMEM, STOPPING. */
enum rc recall_find_edges(struct recall *r, int32_t threshold) MUST_CHECK;

/* recall_part.c: the number of matches of the part after the first and after the last round. Errors: STOPPING. */
enum rc recall_count_part(struct recall *r, unsigned n_rounds, bool with_slots, double *ret_first,
			  double *ret_last) MUST_CHECK;
size_t recall_n_sums(const struct run *run); /* room for the sums of reference weights */

/* recall_bands.c. Errors: NOMEM; STOPPING. `n_links`: links held true, to begin with. */
enum rc recall_tally_new(struct recall_tally **ret) MUST_CHECK;
void recall_tally_add(struct recall_tally *tally, const struct run *run, const struct run_pair *pair, double count);
enum rc recall_count_matches(struct recall *r, double n_links, struct recall_count *ret) MUST_CHECK;

/* recall_joint.c. Errors: NOMEM; recall_joint_deinit is needed then too. */
enum rc recall_joint_init(struct recall_joint *sums, const struct run *run) MUST_CHECK;
void recall_joint_deinit(struct recall_joint *sums);
/* The joint distribution of all comparisons but `without`. */
void recall_joint_add_up(struct recall_joint *sums, const struct recall_levels *levels, unsigned without);
/* The row from that reference weight up; NULL = none reaches it. */
const double *recall_joint_above(const struct recall_joint *sums, int32_t reference);
/* Share of the matches that take the step; 0 where it is next to nothing. */
double recall_step_share(const struct recall_step *step, const struct recall_levels *levels, unsigned c);
/* Bands on both sides of a match weight in halves of a log2 unit: one unless it is where two meet. */
void recall_halves_bands(int32_t match, unsigned ret_bands[2]);
int32_t recall_reference_halves(int32_t weight);
/* All filters of the level that are not missing are at the highest one. */
bool recall_level_is_full(const struct study_comparison *comparison, unsigned level);

#endif
