/* One run of the linkage at a cut: what its steps hand to each other.
 *
 * Everything is numbered by rank = place in the order of record keys among the records at the cut, so that nothing
 * depends on the order of arrival. Sums of doubles are made in rank order, or in blocks of a fixed length that are added
 * in order, with + − × ÷ alone: IEEE 754 fixes each of these results to the last bit, so they too are the same on every
 * machine and with any number of threads (docs/methods.md, "Linkage: arithmetic"). */
#ifndef DAEMON_LINK_RUN_H
#define DAEMON_LINK_RUN_H

#include <float.h>

#include "daemon/link/pool.h"

_Static_assert(FLT_EVAL_METHOD == 0, "doubles must not be evaluated in a wider format: results would differ");

enum {
	WEIGHT_ONE = 65536, /* one log2 unit of match weight */
	RECALL_WINDOW = 8 * WEIGHT_ONE,
	N_COMPARED_MASKS = 1 << STUDY_MAX_COMPARED,
};

/* A candidate pair of records at the cut. */
struct run_pair {
	uint32_t a, b; /* ranks; the source of a, then the person of a, is the smaller one */
	struct link_pattern pattern;
	int32_t weight;     /* after model_weigh */
	double frequency;   /* odds factor of term frequency */
	double ratio;       /* likelihood ratio of the pair, term frequency included; after model_fit */
	double probability; /* of a match, given the other candidates of both persons; after model_fit */
};

/* An edge between two persons of a run: their best pair of records. */
struct run_edge {
	uint32_t person_a, person_b; /* ranks */
	uint32_t pair;               /* of run.pairs */
	int32_t weight;
};
struct run_edges {
	struct run_edge *at;
	size_t n;
};

/* What within.c finds of the duplicates within a source. */
struct within_estimate {
	bool has_duplicates;
	bool numbers_repeat; /* some people have two person numbers */
	double lambda;       /* share of the pairs of its certain persons that are duplicates */
};

/* Candidate pairs of the same two sources, sorted by person of a, person of b, a, b. */
struct run_segment {
	uint16_t slot_a, slot_b; /* slots of sources; equal = within a source */
	size_t first, end;       /* of run.pairs */
	double lambda;           /* share of person pairs that are matches; cross-source only */
	double expected_matches; /* among the candidates */
	/* The best pair of every two persons, heaviest first (run_find_edges); within a source of certain persons too. */
	struct run_edges edges, certain;
};

struct model {
	double m[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1], u[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1];
	int32_t weight[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1];
	/* Non-matches of the sample in which both comparisons agree; on the diagonal, the one does. */
	double agree[STUDY_MAX_COMPARISONS][STUDY_MAX_COMPARISONS], n_sampled;
};

/* Comparison b went into a, whose levels without b's are 0 … radix − 1. */
struct run_merge {
	uint8_t a, b, radix;
};

struct run {
	const struct link_pool *pool;
	const struct study_domain *domain; /* the study's, or `merged` */
	struct study_domain merged;
	struct run_merge merges[STUDY_MAX_COMPARISONS];
	unsigned n_merges;
	const struct link_run_options *options;
	uint32_t n;     /* records at the cut */
	uint32_t *row;  /* of each rank */
	uint32_t *rank; /* of each row; UINT32_MAX = not at the cut */
	uint16_t *slot; /* source slot of each rank */
	/* What the pool says of each rank, side by side: its rows lie anywhere. */
	uint32_t *lead;
	uint16_t *missing;
	bool *is_numbered; /* has the custodian's person number */
	uint16_t n_slots;
	uint16_t source_of_slot[STUDY_MAX_SOURCES];
	uint32_t first_of_slot[STUDY_MAX_SOURCES + 1];
	bool all_numbered[STUDY_MAX_SOURCES]; /* every record of the source has a person number */
	uint32_t *copy_of; /* of each rank: the first with the same source and filters; itself where that is unknown */

	/* Persons within their source: the smallest rank of the person, of each rank. `certain` by person numbers and
	 * identical filters alone, `person` with what the model joins. */
	uint32_t *certain, *person;
	bool *is_crowded; /* by rank: takes no part (crowds.c) */
	uint32_t n_certain[STUDY_MAX_SOURCES], n_persons[STUDY_MAX_SOURCES];

	/* Value of each comparison of each rank, for term frequency: index of the value, and how many certain persons
	 * have it; 0 = all missing. */
	uint32_t *value[STUDY_MAX_COMPARISONS];
	uint32_t *value_count[STUDY_MAX_COMPARISONS];
	uint64_t value_total[STUDY_MAX_COMPARISONS][N_COMPARED_MASKS];
	uint64_t value_squares[STUDY_MAX_COMPARISONS][N_COMPARED_MASKS];

	struct run_pair *pairs;
	size_t n_pairs;
	struct run_segment *segments;
	size_t n_segments;
	struct within_estimate within[STUDY_MAX_SOURCES]; /* of each slot; run_find_edges */
	struct link_pattern *sampled; /* those of the sample that are kept (sample.c), in its order */
	size_t n_sampled;
	struct model model;
	struct link_result *result;
};

/* run.c: frees what `run` owns, not itself. */
void run_deinit(struct run *run);

/* ranks.c */
enum rc run_rank_records(struct run *run) MUST_CHECK;

/* records.c: certain persons, values. */
enum rc run_find_values(struct run *run) MUST_CHECK;
void run_forget_values(struct run *run);
enum rc run_find_certain_persons(struct run *run) MUST_CHECK;
/* Missing filters of a comparison, bit i for its filter i. */
unsigned run_missing_mask(const struct run *run, unsigned c, uint32_t rank);
uint32_t run_root(uint32_t *parent, uint32_t x); /* union-find; the root is the smallest rank */
void run_join(uint32_t *parent, uint32_t x, uint32_t y);

/* crowds.c: candidate pairs by ranks, from pairs of rows that stand for all records with the same content. */
enum rc run_take_pairs(struct run *run, const struct link_pair *pairs, size_t n_pairs) MUST_CHECK;

/* segments.c: candidate pairs cut into segments. Called again when persons have changed. */
enum rc run_cut_segments(struct run *run) MUST_CHECK;

static inline unsigned run_n_threads(const struct run *run)
{
	return run->pool->options.n_threads;
}

static inline bool run_is_stopped(const struct run *run)
{
	return run->options->cancel != NULL && atomic_load(run->options->cancel);
}

/* By + and ÷ alone, like every double here. */
static inline double square_root(double x)
{
	double r = x > 1 ? x : 1;

	for (unsigned i = 0; i < 64; i++)
		r = (r + x / r) / 2;
	return r;
}

/* sample.c: visit the levels of random pairs of different sources, always the same ones in the same order. Those that are
 * kept are not looked up again. Errors: NOMEM, STOPPING, the visitor's. */
enum rc run_each_sampled(struct run *run, enum rc (*visit)(void *ctx, const struct link_pattern *pattern),
			 void *ctx) MUST_CHECK;

/* model.c. Odds factor of agreement on the very value that a record has, Σ f² / f, capped; 0 where it is missing. */
double run_value_factor(const struct run *run, unsigned c, uint32_t rank);
unsigned run_level_mask(const struct study_comparison *comparison, unsigned level); /* missing filters of a level */
enum rc model_fit(struct run *run) MUST_CHECK;
void model_weigh(struct run *run);

/* dependence.c: which comparisons of the run's domain say the same thing twice; after model_fit. Returns how many. */
bool dependence_agrees(const struct study_comparison *comparison, unsigned level);
size_t run_find_dependences(const struct run *run, struct link_dependence found[LINK_MAX_DEPENDENCES]);

/* merge.c. Levels of a pair of ranks, as the run's domain has them. */
struct link_pattern run_pattern_of(const struct run *run, uint32_t a, uint32_t b);
/* Make one comparison of the two that depend on each other most; *ret_merged says whether there were any that can be.
 * The model then has to be fitted again. Into run->result. Errors: NOMEM. */
enum rc run_merge_dependent(struct run *run, bool *ret_merged) MUST_CHECK;
/* What is left, into run->result. */
void run_report_dependences(struct run *run);

/* The best pairs of every two persons, into the segments: heaviest first, ties by record keys, pairs inside one person
 * left out; and what they say of duplicates. To be called again when pairs, weights or persons have changed. Errors:
 * NOMEM, STOPPING. */
enum rc run_find_edges(struct run *run) MUST_CHECK;
void run_forget_edges(struct run *run);

/* within.c: duplicates within the source of a slot, from the segments' edges. Errors: NOMEM. */
enum rc within_estimate(const struct run *run, uint16_t slot, struct within_estimate *ret) MUST_CHECK;
/* Probability that the two persons of an edge are one. */
double within_probability(const struct run *run, const struct within_estimate *estimate, const struct run_edge *edge);
/* Join records of a source that are very likely one person. *ret_joined says whether any were. */
enum rc run_join_within(struct run *run, bool *ret_joined) MUST_CHECK;
const struct run_segment *run_find_segment(const struct run *run, uint16_t slot_a, uint16_t slot_b);

/* null.c: thresholds from the within-source null. */
struct null_estimate {
	int32_t threshold;   /* INT32_MAX when no threshold gives more true links than chance explains */
	double n_links;      /* at the threshold, of this pair of sources alone */
	bool is_conditional; /* on there being no duplicates that were not recognised */
	double n_false;      /* of these, expected */
	double n_near;       /* of these, less than RECALL_WINDOW above the threshold */
};
enum rc run_choose_threshold(const struct run *run, const struct run_segment *segment,
			     struct null_estimate *ret) MUST_CHECK;

/* recall.c: how many matches there are in all, found and missed. */
struct recall_estimate {
	double n_true, n_false;        /* links */
	double n_matches, least, most; /* in all, persons of one source and of the other; 0 = nothing was linked */
	double error;                  /* standard error of n_true / n_matches */
};
/* Also adds the figures of each group of persons to run->result, where the run has groups. Errors: NOMEM, STOPPING. */
enum rc run_estimate_recall(const struct run *run, const struct run_segment *segment, const struct null_estimate *null,
			    struct recall_estimate *ret) MUST_CHECK;

/* persons.c: persons across sources, and what is said of them. `estimates` has one element a segment. */
enum rc run_form_persons(struct run *run, const struct null_estimate *estimates,
			 const struct recall_estimate *recalls) MUST_CHECK;

#endif
