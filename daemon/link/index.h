/* An index over a run of rows of the pool: the distinct values of every comparison, and which rows have them.
 * Immutable once built. */
#ifndef DAEMON_LINK_INDEX_H
#define DAEMON_LINK_INDEX_H

#include "daemon/link/dictionary.h"

/* The values of one comparison. Of one filter: those of its dictionary. Of several: the tuples that occur. */
struct index_values {
	uint32_t n;
	uint32_t *tuples; /* n × n_filters values of the dictionaries; NULL for one filter */
	uint32_t *start;  /* n + 1: the entries of each value */
	/* An entry is a row (counted from first) and its values in all other comparisons, in the order that `others`
	 * of the index gives, side by side so that a list is read without a jump. Ascending rows within a value;
	 * leads alone (same.h). */
	uint32_t *entries;
};

struct index {
	struct link_pool *pool;
	uint32_t first, end; /* rows */
	unsigned n_comparisons;
	/* Comparisons that rule a pair out soonest first. */
	uint8_t order[STUDY_MAX_COMPARISONS];
	struct dictionary dictionaries[STUDY_MAX_FILTERS];
	struct index_values values[STUDY_MAX_COMPARISONS];
	uint32_t *value_of_row; /* n_comparisons a row */
};

/* Build over rows first … end-1. A searchable index has entries and bit-sliced dictionaries, one that only asks has
 * not. Errors: NOMEM, IO, STOPPING (*cancel, which may be NULL). */
enum rc index_new(struct link_pool *pool, uint32_t first, uint32_t end, bool searchable, const atomic_bool *cancel,
		  struct index **ret) MUST_CHECK;
void index_free(struct index *index);

static inline uint32_t index_n_rows(const struct index *index)
{
	return index->end - index->first;
}

/* The dictionary value of filter i of comparison c that value `value` of the comparison has. */
static inline uint32_t index_part(const struct index *index, unsigned c, uint32_t value, unsigned i)
{
	const struct index_values *values = &index->values[c];

	return values->tuples == NULL
		       ? value
		       : values->tuples[(size_t)value * index->pool->domain->comparisons[c].n_filters + i];
}

/* The comparison of the j-th further value of an entry of comparison c. */
static inline unsigned index_other(const struct index *index, unsigned c, unsigned j)
{
	unsigned at = 0;

	for (unsigned k = 0;; k++) {
		if (index->order[k] != c && at++ == j)
			return index->order[k];
	}
}

#endif
