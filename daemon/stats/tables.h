/* Tables: which periods of a table a release publishes, the true counts of their cells, and the noise on them.
 *
 * Nothing true leaves tables_init: cells are counted (tally.h) and noised (perturb.c) in one call, what several tables say of
 * one margin is then made to agree (table_cells_adjust), and what decides over showing a row (suppress.c) or leaving out
 * a period reads noisy values alone. Which periods are published depends on dates and earlier releases only, never on
 * records.
 */
#ifndef DAEMON_STATS_TABLES_H
#define DAEMON_STATS_TABLES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/stats/cell_key.h"
#include "daemon/stats/measure.h"
#include "daemon/stats/stats.h"

/* Periods of one table that a release computes anew: first … last, as period indexes. `n_final` of them, from the
 * first on, are closed; the rest are provisional. Before them stand those that are revised. All together they are
 * numbered from 0, ascending: the slots. */
struct table_plan {
	int32_t first;
	uint32_t n_final, n_provisional;
	int32_t first_revised;
	uint32_t n_revised;
};

/* The day on which a period closes; of the whole time, never (DAY_MAX + 1). */
int32_t table_closing_day(const struct study *study, const struct study_table *table, int32_t period);

uint32_t table_plan_n_periods(const struct table_plan *plan);
int32_t table_plan_index(const struct table_plan *plan, uint32_t slot);
/* Where a period of this index stands; false when it is not computed. */
bool table_plan_find(const struct table_plan *plan, int32_t index, uint32_t *ret_slot);

/* `last_published` is the index of the last closed period that an earlier release published; has_published false =
 * none, then closed periods reach back as far as the study keeps records (`retention_years`, 10 where it does not say).
 */
struct table_plan table_plan(const struct study *study, const struct study_table *table, int32_t as_of,
			     bool has_published, int32_t last_published);

/* The code of each dimension of a row; the last dimension varies fastest. */
void table_row_codes(const struct study *study, const struct study_table *table, unsigned row,
		     unsigned ret[STUDY_MAX_BY]);
unsigned table_n_rows(const struct study *study, const struct study_table *table);
unsigned table_n_cells(const struct study *study, const struct study_table *table); /* of a row */
/* σ² in thousandths; 0 with method none. */
uint32_t table_sigma2_milli(const struct study *study, const struct study_table *table);
/* All of a table in a release body but its periods. On RC_OK the caller owns *ret. Errors: NOMEM. */
enum rc table_definition(const struct study *study, const struct study_table *table, json_t **ret) MUST_CHECK;

/* What the study announces, set in `json`: "revision_after_days" and "release_dates", those of them that it has. False =
 * no memory. */
bool table_policy(const struct study_disclosure *disclosure, json_t *json) MUST_CHECK;

/* The noisy cells of the planned periods, [slot][row][cell]. */
struct table_cells {
	const struct study *study;
	const struct study_table *table;
	struct table_plan plan;
	unsigned n_rows, n_cells;
	int64_t *values; /* owned */
	/* Of each period, the tables of the study (a bit each) whose common margins were made to agree; this one alone
	 * after tables_init. Owned. */
	uint32_t *adjusted_with;
	bool *shown; /* [period][row], owned; none before table_cells_decide */
};

/* Count all tables of the study, as planned, and add noise, into as many cells. Errors: NOMEM, TOO_LARGE, INVALID (an
 * event out of range), STOPPING, NOT_ALLOWED (no noise in a study that is not synthetic), the PRF's. */
enum rc tables_init(struct table_cells *cells, const struct study *study, const struct table_plan *plans,
		    const struct stats_parts *parts, const struct stats_params *params) MUST_CHECK;
size_t table_cells_n_values(const struct table_cells *cells);
/* The second half of it: noise on true counts, by the study's method. `keys` are the sums of record keys of each cell
 * where that is cell-key. Errors: NOMEM, NOT_ALLOWED, INVALID (no σ²), the PRF's. */
enum rc table_cells_perturb(struct table_cells *cells, const struct stats_params *params,
			    const cell_key_sum *keys) MUST_CHECK;
void table_cells_deinit(struct table_cells *cells); /* wipes */
/* Make the margins agree that the study's tables have in common: `cells[t]` of table t, those periods that are computed
 * in several of them. Reads noisy values alone. Errors: NOMEM. */
enum rc table_cells_adjust(const struct study *study, struct table_cells *cells) MUST_CHECK;
/* Which rows are shown, from noisy values alone: those at or above the threshold. With the method cell-key an empty row
 * is shown as well, and complementary suppression hides a further row where one alone is hidden and could be had by
 * subtracting the others from a margin that another table publishes. */
void table_cells_decide(const struct study *study, struct table_cells *cells);

int64_t table_row_total(const struct table_cells *cells, uint32_t period, unsigned row);
bool table_row_is_shown(const struct table_cells *cells, uint32_t period, unsigned row);
/* Leading closed periods in which nothing stands out of the noise: they are left out of a first publication. A function
 * of noisy values; the last closed period always stays. */
uint32_t table_skip_empty(const struct table_cells *cells);
/* One period of the release body. `revised_from` is the release that first published it, 0 = this one. A closed period
 * says when it will be revised, where that is still to come. Errors: NOMEM. */
enum rc table_block_json(const struct table_cells *cells, uint32_t period, const struct stats_params *params,
			 int64_t revised_from, json_t **ret) MUST_CHECK;

#endif
