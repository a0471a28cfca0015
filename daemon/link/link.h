/* Linkage of the records of one encoding domain: compare, candidate pairs, model, persons. Pure: no I/O and no
 * globals. Weights are fixed-point; the model and the threshold are computed in doubles with + - * / alone, without
 * libm or contraction and in an order that record keys decide, so that they too come out equal on every machine.
 *
 * Rows are numbered by arrival; results never depend on that number, on the number of threads or on the kernel:
 * everything that chooses (samples, ties) goes by record key = (source, record_id).
 *
 * Literature: Fellegi and Sunter 1969 (weights); Winkler 1988 (EM); Schnell, Bachteler and Reiher 2009 (Bloom filters);
 * docs/methods.md has every formula. */
#ifndef DAEMON_LINK_LINK_H
#define DAEMON_LINK_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/batch.h"
#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/study.h"

/* ---- the pool: encoded records of one domain, resident ---- */

enum link_kernel { LINK_KERNEL_AUTO, LINK_KERNEL_SCALAR, LINK_KERNEL_AVX2, LINK_KERNEL_AVX512 };
bool link_kernel_parse(const char *name, enum link_kernel *ret);
const char *link_kernel_name(enum link_kernel kernel);
bool link_kernel_is_available(enum link_kernel kernel); /* on this processor */

enum link_memory { LINK_MEMORY_PLAIN, LINK_MEMORY_TRY_LOCK, LINK_MEMORY_MUST_LOCK };

struct link_options {
	enum link_kernel kernel;
	enum link_memory memory; /* filters: mlock and MADV_DONTDUMP */
	unsigned n_threads;
};

struct link_pool;
/* Borrows `domain` for its whole life. Errors: NOMEM, IO (memory could not be locked), INVALID (kernel not there). */
enum rc link_pool_new(const struct study_domain *domain, const struct link_options *options,
		      struct link_pool **ret) MUST_CHECK;
void link_pool_free(struct link_pool *pool); /* wipes */
/* How many pairs one link_compare may make room for, up to twice as many as it finds; 0 = no limit, as at first. */
void link_pool_limit_pairs(struct link_pool *pool, size_t max_pairs);

/* Wait until the indexes that link_compare keeps are not being merged: for tests and benchmarks, since nobody else
 * needs to. Not while link_compare runs. */
void link_pool_settle(struct link_pool *pool);

/* How often merging the indexes that link_compare keeps has failed, and the last code if any did (NOMEM, IO). Comparing
 * finds the same without, but takes longer. Any thread. */
uint64_t link_pool_merge_failures(struct link_pool *pool, enum rc *ret_last);

/* One record as it arrives. Filters are borrowed for the call and copied. */
struct link_row {
	uint16_t source;
	uint8_t record_id[RECORD_ID_LEN];
	uint8_t person_id[PERSON_ID_LEN]; /* all zero = none */
	uint64_t revision;
	uint64_t tie;                              /* of what the pool does not hold (event, day, strata): the
						    * larger one counts where all else is equal */
	const uint8_t *filters[STUDY_MAX_FILTERS]; /* study_filter_bytes() each */
	bool missing[STUDY_MAX_FILTERS];
};
/* Add a row; *ret_row is its number, 0, 1, 2 … One thread adds at a time; comparisons may run meanwhile. Every revision
 * of a record stays a row; link_run takes, of the rows at the cut, the highest revision of each record (ties: the
 * larger SHA-256 of the filters). Errors: NOMEM, IO (memory that must be locked was not). */
enum rc link_pool_add(struct link_pool *pool, const struct link_row *row, uint32_t *ret_row) MUST_CHECK;
uint32_t link_pool_n_rows(const struct link_pool *pool);
bool link_pool_memory_is_locked(const struct link_pool *pool);
/* The record key of a row. The id is RECORD_ID_LEN bytes that stand as long as the pool. */
uint16_t link_pool_source(const struct link_pool *pool, uint32_t row);
const uint8_t *link_pool_record_id(const struct link_pool *pool, uint32_t row);

/* ---- candidate pairs ---- */

/* Levels of one pair, a byte a comparison; 0 = missing. */
struct link_pattern {
	uint8_t level[STUDY_MAX_COMPARISONS];
};
struct link_pair {
	uint32_t a, b; /* rows, a < b */
	struct link_pattern pattern;
};

/* All pairs (a, b) with first_new <= b < end and a < b whose reference weights add up to the study's floor or more, in
 * ascending (b, a). Exact: no such pair is left out, but of the rows of one source with the same filters only the first
 * is paired, and stands for the others in link_run; rows that say too little to link are not paired (same.h). Runs on
 * options.n_threads; polls *cancel (may be NULL) every few milliseconds while it compares, and between the steps of
 * building an index (a second for a million rows). The caller frees *ret_pairs with free(). Rows 0 … end-1 must not
 * change meanwhile; rows may be added. One call at a time: it keeps indexes of the rows in the pool,
 * and has them merged on a thread of the pool.
 * Errors: NOMEM, STOPPING (cancelled), TOO_LARGE (link_pool_limit_pairs: ask for fewer rows), IO (memory that must
 * be locked was not). */
enum rc link_compare(struct link_pool *pool, uint32_t first_new, uint32_t end, const atomic_bool *cancel,
		     struct link_pair **ret_pairs, size_t *ret_n) MUST_CHECK;
/* Levels of one pair, whatever their weight. */
struct link_pattern link_pattern_of(const struct link_pool *pool, uint32_t a, uint32_t b);

/* ---- model and persons ---- */

enum { LINK_MAX_GROUPS = STUDY_MAX_CODES + 1 };

/* What a run does one after the other, for whoever waits. */
enum link_step { LINK_STEP_RECORDS, LINK_STEP_MODEL, LINK_STEP_QUALITY, LINK_STEP_PERSONS, LINK_N_STEPS };

struct link_run_options {
	uint32_t end;                        /* rows 0 … end-1 are at the cut */
	const bool *excluded;                /* rows withdrawn or after the cut; NULL = none */
	const int32_t *last_day, *death_day; /* of each row: its last event, its death (INT32_MAX = none);
					      * for contradictions; NULL = unknown */
	const uint8_t *group;                /* of each row, 1 … LINK_MAX_GROUPS, 0 = none: links found and missed are
					      * estimated for each group of persons as well; NULL = no groups */
	const atomic_bool *cancel;           /* polled in each step; may be NULL */
	void (*on_step)(void *ctx, enum link_step step); /* called as each step begins; may be NULL */
	void *on_step_ctx;
	uint64_t max_pairs;                  /* of records, each person of a content with each of another; 0 = no limit
					      * but that of the memory's layout */
};

/* What is known of the quality of linkage between two sources, all in millionths; nothing of it leaves the core but
 * noised. expected_* come without labels: threshold and precision from the within-source null, recall from the model.
 */
struct link_quality {
	uint16_t source_a, source_b;
	uint64_t n_links;
	int32_t threshold; /* match weight, 1/65536 log2 units */
	uint32_t expected_precision, expected_recall;
	uint32_t recall_low, recall_high; /* interval of the expected recall (docs/methods.md) */
	bool null_is_conditional;         /* a source has no person numbers (docs/methods.md) */
};

/* Links between two sources of the persons whose records are mostly in one group, as expected without labels. */
struct link_group {
	uint16_t source_a, source_b;
	uint8_t group;
	uint64_t n_true, n_false, n_missed;
	uint64_t n_doubt; /* so many more or less may be missed, beside sampling error */
};

enum link_outcome {
	LINK_DONE,
	LINK_NOTHING_TO_LINK,  /* one source only, or no rows */
	LINK_NOT_IDENTIFIABLE, /* the model finds no matches it can tell from chance */
};

/* Two comparisons that agree together far more often among non-matches than if they were independent: they say the same
 * thing twice, and belong in one comparison of the study. */
struct link_dependence {
	uint8_t a, b;   /* comparisons of the study; of those that were merged before, the first */
	int32_t excess; /* log2 of how much more often, 1/65536 units: what is counted twice when both agree */
	bool is_merged; /* the model took them for one (merge_dependent) */
};
enum { LINK_MAX_DEPENDENCES = STUDY_MAX_COMPARISONS * (STUDY_MAX_COMPARISONS - 1) / 2 };

/* What the model makes of a comparison, for lab and tests. */
struct link_comparison {
	uint8_t n_levels;
	int32_t weight[STUDY_MAX_LEVELS + 1]; /* of each level: log2 of m/u in 1/65536 units */
};

/* One accepted link between rows, for lab and tests. */
struct link_link {
	uint32_t a, b;
	int32_t weight;
};

struct link_result {
	enum link_outcome outcome;
	char statement[256]; /* one plain sentence, e.g. why nothing was linked */
	uint32_t n_rows, n_persons;
	uint32_t n_crowded;      /* records that nobody can tell apart, or that say too little: left unlinked */
	uint32_t *person;        /* of each row; UINT32_MAX = excluded or superseded. Numbered
				  * by the smallest record key of the person */
	struct link_link *links; /* cross-source, accepted, ascending by record keys */
	size_t n_links;
	struct link_quality *quality; /* one a pair of sources with records */
	size_t n_quality;
	struct link_group *groups; /* of every two sources, by group; groups without candidate pairs are left out */
	size_t n_groups;
	struct link_dependence dependences[LINK_MAX_DEPENDENCES];
	size_t n_dependences; /* of the model; 0 where there was nothing to estimate */
	struct link_comparison comparisons[STUDY_MAX_COMPARISONS];
	size_t n_comparisons; /* of the model, after merging; 0 where there was nothing to estimate */
};

/* Estimate the model over `pairs` (all candidate pairs of rows < end, any order, borrowed), weigh, choose the
 * threshold, form persons. Deterministic. Errors: NOMEM, INVALID, TOO_LARGE (options.max_pairs), STOPPING (cancelled).
 */
enum rc link_run(const struct link_pool *pool, const struct link_pair *pairs, size_t n_pairs,
		 const struct link_run_options *options, struct link_result **ret) MUST_CHECK;
void link_result_free(struct link_result *result);

/* ---- fixed point ---- */

/* log2 of num/den in 1/65536 units, rounded to nearest, for 1 <= num, den < 2^63; the same on every machine. */
int32_t fixed_log2_ratio(uint64_t num, uint64_t den);

#endif
