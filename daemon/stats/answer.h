/* The answer to a query: rows of one table of a release body, summed over the dimensions that were not asked for. All
 * renderers write what stands here, so that they cannot disagree. Reads a release body and nothing else. */
#ifndef DAEMON_STATS_ANSWER_H
#define DAEMON_STATS_ANSWER_H

#include "daemon/stats/body.h"
#include "daemon/stats/interval.h"
#include "daemon/stats/population.h"
#include "daemon/stats/stats.h"

struct answer_row {
	bool shown;         /* every row that was summed is shown */
	uint32_t n_summed;  /* rows (and, when pooled, periods) of the table in this one */
	uint32_t n_periods; /* periods in this one */
	int64_t cells[OUTCOMES_MAX];
};

struct answer {
	struct body_head head;
	struct body_table table; /* that the rows come from */
	const char *asked_table; /* differs when another declared table fits the asked dimensions exactly */
	struct body_dimension by[STUDY_MAX_BY]; /* of the answer */
	unsigned n_by, n_rows;                  /* rows a period: all combinations of codes */
	size_t n_periods;
	struct body_period *periods; /* owned */
	struct answer_row *rows;     /* owned, [period][row] */
	/* The closed periods of the answer added up a row: periods in which the row is hidden are left out. Counts
	 * releases, since a person has one index event a period. shown = at least two periods. */
	struct answer_row *pooled; /* owned, [row] */
};

/* `body` and `query` must outlive it. Errors as stats_render_*. */
enum rc answer_init(struct answer *answer, const json_t *body, const struct stats_query *query,
		    struct diag *diag) MUST_CHECK;
void answer_deinit(struct answer *answer);

/* Code of each dimension in a row of the answer. */
void answer_row_codes(const struct answer *answer, unsigned row, unsigned ret[STUDY_MAX_BY]);
/* Sum of the outcomes in `mask`; of all of them; of those in the denominator of the rates. */
int64_t answer_sum(const struct answer *answer, const struct answer_row *row, uint32_t mask);
int64_t answer_total(const struct answer *answer, const struct answer_row *row);
int64_t answer_observable(const struct answer *answer, const struct answer_row *row);
struct rate answer_rate(const struct answer *answer, const struct answer_row *row,
			const struct outcome_statistic *statistic);
/* Of a population measure: people seen and not seen. */
struct population answer_population(const struct answer *answer, const struct answer_row *row);

#endif
