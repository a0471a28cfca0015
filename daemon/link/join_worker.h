/* What one thread of a join knows of the row that asks; between join.c, which sets it, and join_ask.c, which answers.
 */
#ifndef DAEMON_LINK_JOIN_WORKER_H
#define DAEMON_LINK_JOIN_WORKER_H

#include "daemon/link/join.h"

enum { JOIN_DOUBTS = 32 };

struct join_job {
	const struct join_plan *plan;
	const struct index *asking, *indexed;
	const struct similar_lists *lists;
	const atomic_bool *cancel;
	struct pair_list *chunks; /* of the tile */
	const uint32_t *rows;     /* that ask, in the tile */
	uint32_t n_rows;
	uint8_t column[STUDY_MAX_FILTERS][STUDY_MAX_FILTERS]; /* [axis of an entry][other axis] */
	_Atomic int rc;
};

/* One axis of the row that asks. */
struct join_side {
	struct similar_list list;
	bool is_missing;
	uint8_t depth;   /* chosen */
	uint8_t least;   /* none of the values is above this one */
	uint64_t n_rows; /* above the depth */
};

/* A pair whose bounds reach the floor. */
struct join_doubt {
	const uint32_t *entry;
	uint32_t own_value;
	uint8_t own_axis;
};

/* What one thread needs. Neighbours ask much alike: a table stays as it is until another value asks. */
struct join_worker {
	const struct join_job *job;
	uint8_t *table[STUDY_MAX_FILTERS]; /* digit of every value of the index; n_digits = not listed */
	uint32_t asked[STUDY_MAX_FILTERS]; /* the value that the table is of; UINT32_MAX = none */
	struct join_side side[STUDY_MAX_FILTERS];
	struct join_options options[STUDY_MAX_COMPARISONS];
	int16_t worth[STUDY_MAX_COMPARISONS][JOIN_MAX_CODES];
	/* The row that asks. */
	const uint32_t *values;
	uint32_t row;   /* of the pool */
	uint32_t limit; /* rows of the index from here on do not come before it */
	struct pair_list *hits;
	/* Not checked yet: what has to be looked at is on its way from memory. */
	struct join_doubt doubts[JOIN_DOUBTS];
	unsigned n_doubts;
};

/* Depth after k groups of an axis. */
static inline unsigned join_depth_after(const struct join_axis *axis, const struct join_side *side, uint32_t k)
{
	return k < side->list.n_groups && side->list.groups[k].rank < axis->n_listed ? side->list.groups[k].rank
										     : axis->n_listed;
}

/* Append the pairs of the row that asks to worker->hits; its tables and sides are set. Errors: NOMEM, TOO_LARGE. */
enum rc join_ask(struct join_worker *worker) MUST_CHECK;

#endif
