/* The true counts of a release's tables, for tables.c alone: what leaves it is noised.
 *
 * Parts of the events are counted by several threads, each into a tally of its own, and tallies are added: whole
 * numbers, and record keys mod 2^128, so that neither the cut into parts nor who counted which is in the sums. */
#ifndef DAEMON_STATS_TALLY_H
#define DAEMON_STATS_TALLY_H

#include "daemon/stats/tables.h"

struct tally {
	const struct table_cells *cells; /* one a table: shapes and plans; values are not looked at */
	const struct study *study;
	int64_t *values[STUDY_MAX_TABLES];    /* as table_cells.values */
	cell_key_sum *keys[STUDY_MAX_TABLES]; /* with cell-key: the contributors' record keys, added up */
};

/* All zero. Borrows both. On failure too it is to be deinitialised. Errors: NOMEM. */
enum rc tally_init(struct tally *tally, const struct study *study, const struct table_cells *cells) MUST_CHECK;
void tally_deinit(struct tally *tally); /* wipes */
/* Count all parts into it. Errors: NOMEM, INVALID (an event out of range), STOPPING, the PRF's. */
enum rc tally_count(struct tally *tally, const struct stats_parts *parts, const struct stats_params *params) MUST_CHECK;

#endif
