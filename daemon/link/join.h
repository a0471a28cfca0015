/* The exact join on similar values: all pairs of a record that asks and an indexed record whose reference weights reach
 * the floor.
 *
 * For every axis (compared filter) some depth is chosen, such that what the values below all depths can bring adds up
 * to less than the floor: every hit then is at or above one of them. So for a record that asks, the entries of the
 * values above the depths are all there is to look at. Their other values are looked up in small tables of digits, with
 * an early stop when what is left cannot reach the floor, and each hit is counted on the first axis that brought it.
 *
 * Filters that are compared as one are axes of their own: below their depths the comparison brings what the best of the
 * levels below both brings, and what it brings to a pair is known when both digits are.
 *
 * Weights are handled as 8-bit upper bounds: rounding may let a pair through to the exact check, never the other way.
 */
#ifndef DAEMON_LINK_JOIN_H
#define DAEMON_LINK_JOIN_H

#include "daemon/link/index.h"

enum {
	JOIN_MAX_DIGITS = STUDY_MAX_CUTS + 2,
	/* The levels of a comparison, its digits with one more that says "not listed": Π (n_digits + 1) at most, where
	 * Π n_digits is no more than STUDY_MAX_LEVELS + 1 (two digits thrice and thirty of the fourth filter). */
	JOIN_MAX_CODES = 840,
	JOIN_MAX_OPTIONS = STUDY_MAX_LEVELS + 1,
};

/* ---- join_options.c: how deep each axis is read ---- */

/* One way to read the axes of a comparison. */
struct join_option {
	int32_t below; /* the most that a pair can bring whose values are on no axis above the depth */
	uint8_t depth[STUDY_MAX_COMPARED];
	uint64_t cost;
};
/* Ways to read one comparison, from nothing on; each costs more and leaves less than the one before. */
struct join_options {
	unsigned n, chosen;
	struct join_option option[JOIN_MAX_OPTIONS];
};
/* Sort and leave out what costs more for nothing. */
void join_options_prune(struct join_options *options);
/* Choose of each of n comparisons, the cheapest gain first, until what is left below all depths is below the floor.
 * False when no choice does that. */
bool join_options_choose(struct join_options *options, unsigned n, int32_t floor);

/* ---- join_plan.c: what is listed on each axis ---- */

struct join_axis {
	uint8_t n_digits;                 /* 0 = missing, 1 = below the first cut, … */
	uint8_t digit;                    /* values of at least this digit are listed; n_digits = none are */
	uint8_t n_listed;                 /* ranks that are listed: how deep the axis can be read */
	uint8_t at_rank[JOIN_MAX_DIGITS]; /* digits, what can bring most first */
	uint8_t rank[JOIN_MAX_DIGITS];
	uint16_t level_step, code_step; /* of one digit in the levels of the comparison and in its codes */
	bool nearly_unique;             /* values repeat too little to share their lists */
};

struct join_plan {
	const struct study_domain *domain;
	const struct pool_axis *pool_axes;
	unsigned n_axes;
	int32_t floor; /* of the sum of bounds: below it no pair reaches the study's floor */
	struct join_axis axes[STUDY_MAX_FILTERS];
	uint8_t axis_of[STUDY_MAX_COMPARISONS][STUDY_MAX_COMPARED];
	/* [missing filters of the record that asks][Σ depth · level_step]: see join_option.below. */
	uint8_t below[STUDY_MAX_COMPARISONS][1 << STUDY_MAX_COMPARED][JOIN_MAX_OPTIONS];
	/* [Σ digit · code_step]: bound of a level; with the digit n_digits for what is not listed. */
	int16_t worth[STUDY_MAX_COMPARISONS][JOIN_MAX_CODES];
	uint16_t n_codes[STUDY_MAX_COMPARISONS];
};
/* Depends on the values in both and how often they occur, not on how records are ordered. Errors: NOMEM. */
enum rc join_plan_make(const struct index *asking, const struct index *indexed, struct join_plan *plan) MUST_CHECK;
/* The digit of values of two indexes. */
unsigned join_digit(const struct index *asking, const struct index *indexed, unsigned axis, uint32_t asked,
		    uint32_t value);

/* ---- similar.c: similar values of the values that ask ---- */

struct similar_group {
	uint32_t first, n; /* values */
	uint64_t n_rows;   /* that have them */
	uint8_t digit, rank;
};
struct similar_list {
	const struct similar_group *groups; /* by rank */
	const uint32_t *values;             /* of the index */
	uint32_t n_groups;
};
struct similar_lists;
/* Lists for the values of `n` rows (counted from the start of `asking`) on every axis. Runs on the pool's threads.
 * Errors: NOMEM, STOPPING. */
enum rc similar_lists_new(const struct join_plan *plan, const struct index *asking, const struct index *indexed,
			  const uint32_t *rows, uint32_t n, const atomic_bool *cancel,
			  struct similar_lists **ret) MUST_CHECK;
void similar_lists_free(struct similar_lists *lists);
struct similar_list similar_list_of(const struct similar_lists *lists, unsigned axis, uint32_t value);

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

/* Append to chunks, one for every JOIN_CHUNK rows that ask, the pairs of these rows with rows of the index that came
 * before them; in which chunk a pair is, and where, says nothing. Runs on the pool's threads. Errors: NOMEM, STOPPING.
 */
enum rc join_run(const struct index *asking, const struct index *indexed, const atomic_bool *cancel,
		 struct pair_list *chunks) MUST_CHECK;

#endif
