/* An index over a run of rows of the pool: the distinct values of every compared filter, and which rows have them.
 * Immutable once built. */
#ifndef DAEMON_LINK_INDEX_H
#define DAEMON_LINK_INDEX_H

#include "daemon/link/dictionary.h"

/* Which rows have each value of one axis. An entry is a row (counted from first) and its values on all other axes, in
 * the order that `order` of the index gives, side by side so that a list is read without a jump. Ascending rows within
 * a value; leads alone (same.h). */
struct index_postings {
	uint32_t *start; /* values + 1 */
	uint32_t *entries;
};

/* An axis is a compared filter (pool.h). */
struct index {
	struct link_pool *pool;
	uint32_t first, end; /* rows */
	unsigned n_axes;
	/* Axes that rule a pair out soonest first, those of one comparison side by side. */
	uint8_t order[STUDY_MAX_FILTERS];
	struct dictionary dictionaries[STUDY_MAX_FILTERS];
	struct index_postings postings[STUDY_MAX_FILTERS];
	uint32_t *value_of_row; /* n_axes a row; NULL once there are postings, which say the same */
	struct index *next;     /* of a list that its owner makes */
};

struct index_range {
	uint32_t first, end; /* rows */
	bool is_searchable;  /* has postings and bit-sliced dictionaries; one that asks has values of rows */
	unsigned n_threads;
};
/* Errors: NOMEM, IO, STOPPING (*cancel, which may be NULL). */
enum rc index_new(struct link_pool *pool, const struct index_range *range, const atomic_bool *cancel,
		  struct index **ret) MUST_CHECK;
void index_free(struct index *index);

static inline uint32_t index_n_rows(const struct index *index)
{
	return index->end - index->first;
}

/* Do values of the axis repeat too little to share anything? */
static inline bool index_is_nearly_unique(const struct index *index, unsigned axis)
{
	return (uint64_t)index->dictionaries[axis].n * 2 > index_n_rows(index) &&
	       index->pool->domain->comparisons[index->pool->axes[axis].comparison].n_filters == 1;
}

/* The axis of the j-th further value of an entry of `axis`. */
static inline unsigned index_other(const struct index *index, unsigned axis, unsigned j)
{
	unsigned at = 0;

	for (unsigned k = 0;; k++) {
		if (index->order[k] != axis && at++ == j)
			return index->order[k];
	}
}

#endif
