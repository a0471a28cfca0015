/* The exact join on similar values: all pairs of a record that asks and an indexed record whose reference weights reach
 * the floor.
 *
 * For every comparison a threshold is chosen such that weights just below all thresholds add up to less than the
 * floor: every hit then is at or above one of them. So for a record that asks, the entries of the values above the
 * thresholds are all there is to look at. Their other comparisons are looked up in small tables, with an early stop
 * when what is left cannot reach the floor, and each hit is counted at the first comparison that brought it.
 *
 * Weights are handled as 8-bit upper bounds: rounding may let a pair through to the exact check, never the other way.
 */
#ifndef DAEMON_LINK_JOIN_H
#define DAEMON_LINK_JOIN_H

#include "daemon/link/index.h"

/* ---- join_plan.c: what is listed of each comparison ---- */

struct join_plan {
	const struct study_domain *domain;
	int32_t floor; /* of the sum of bounds: below it no pair reaches the study's floor */
	uint8_t bound[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1]; /* of the weight of each level */
	/* Values with a bound above this are listed as similar; of one filter these are those of at least `digit`. */
	uint8_t unlisted[STUDY_MAX_COMPARISONS];
	uint8_t digit[STUDY_MAX_COMPARISONS];
	bool nearly_unique[STUDY_MAX_COMPARISONS]; /* values repeat too little to be worth more than the threshold */
};
/* Depends on the values in both and how often they occur, not on how records are ordered. */
void join_plan_make(const struct index *asking, const struct index *indexed, struct join_plan *plan);
/* The level of values of two indexes. */
unsigned join_level(const struct index *asking, const struct index *indexed, unsigned c, uint32_t asked,
		    uint32_t value);

/* ---- similar.c: similar values of the values that ask ---- */

struct similar_group {
	uint32_t first, n; /* values */
	uint64_t n_rows;   /* that have them */
	uint8_t bound;
};
struct similar_list {
	const struct similar_group *groups; /* heaviest first, all above `unlisted` */
	const uint32_t *values;             /* of the index */
	uint32_t n_groups;
	uint8_t unlisted; /* bound of all other values */
};
struct similar_lists;
/* Lists for the values of rows first … end-1 (counted from the start of `asking`). Runs on the pool's threads.
 * Errors: NOMEM, STOPPING. */
enum rc similar_lists_new(const struct join_plan *plan, const struct index *asking, const struct index *indexed,
			  uint32_t first, uint32_t end, const atomic_bool *cancel,
			  struct similar_lists **ret) MUST_CHECK;
void similar_lists_free(struct similar_lists *lists);
struct similar_list similar_list_of(const struct similar_lists *lists, unsigned c, uint32_t value);

/* ---- join.c ---- */

struct pair_list {
	struct link_pair *pairs; /* owned */
	size_t n, cap;
	struct pair_budget *budget; /* borrowed; NULL = no limit */
};
/* Of all lists of one call. */
struct pair_budget {
	atomic_size_t taken; /* pairs that lists have room for */
	size_t max;          /* 0 = no limit */
};
/* Errors: NOMEM, TOO_LARGE (beyond the budget). */
enum rc pair_list_add(struct pair_list *list, const struct link_pair *pair) MUST_CHECK;

enum { JOIN_CHUNK = 256 }; /* rows that ask at a time */

/* Append to chunks[i] the pairs of rows asking->first + i * JOIN_CHUNK … with rows of the index that came before them.
 * Runs on the pool's threads. Errors: NOMEM, STOPPING. */
enum rc join_run(const struct index *asking, const struct index *indexed, const atomic_bool *cancel,
		 struct pair_list *chunks) MUST_CHECK;

#endif
