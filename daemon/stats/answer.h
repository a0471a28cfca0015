/* The answer to a query: rows of one table of a release body, summed over the dimensions that were not asked for. All
 * renderers write what stands here, so that they cannot disagree. Reads a release body and nothing else. */
#ifndef DAEMON_STATS_ANSWER_H
#define DAEMON_STATS_ANSWER_H

#include "daemon/stats/body.h"
#include "daemon/stats/contrast.h"
#include "daemon/stats/interval.h"
#include "daemon/stats/population.h"
#include "daemon/stats/stats.h"

enum { ANSWER_MAX_COMPARED_ROWS = 1000 }; /* a period; what a comparison costs grows faster than the rows */

struct answer_row {
	bool shown;              /* every row that was summed is shown */
	uint32_t n_summed;       /* rows (and, when pooled, periods) of the table in this one */
	uint32_t n_periods;      /* periods in this one */
	uint64_t variance_milli; /* of the noise of one outcome of this row */
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
	int compare_at;            /* dimension of the answer whose codes are compared, -1 = none */
	unsigned against;          /* with this code */
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
/* Whether rates of this answer are given corrected for linkage errors: continuity, where the release has counts of
 * links. */
bool answer_is_corrected(const struct answer *answer);
/* Counts of links that a row with these codes is corrected by: of its arm where the answer has the dimension of the
 * arms, else of all; false where the release has none. */
bool answer_links(const struct answer *answer, const unsigned codes[STUDY_MAX_BY], struct link_counts *ret);
/* The rate of a row with these codes, corrected for linkage errors by its counts of links. */
struct rate answer_corrected(const struct answer *answer, const unsigned codes[STUDY_MAX_BY], const struct rate *crude,
			     uint32_t days);
/* A table of the release that counts the same releases, but has a period of this answer from another release (it was
 * added to the study later, or earlier): drawn apart, their sums do not agree. False where there is none. */
struct answer_apart {
	const char *table, *period;
	int64_t released_in; /* there; here it is another one */
};
bool answer_is_drawn_apart(const struct answer *answer, struct answer_apart *ret);
/* The rate of a row compared with that of the row that has the code `against` and else the same codes. `rows` are all
 * rows of the row's period, or the pooled ones. Not available where one of them is hidden. */
struct contrast answer_contrast(const struct answer *answer, const struct answer_row *rows, unsigned row,
				const struct outcome_statistic *statistic);
/* The same for one code of the compared dimension and all codes of the others, both rates standardised to the noisy
 * denominators of the whole of `rows`. */
struct contrast answer_standardised(const struct answer *answer, const struct answer_row *rows, unsigned code,
				    const struct outcome_statistic *statistic, struct rate *ret_rate);
/* Both, for the corrected rates; *ret_rate is the arm's. Not available where one of the corrected rates is withheld,
 * and standardised also not where the strata are arms with counts of links of their own. */
struct contrast answer_contrast_corrected(const struct answer *answer, const struct answer_row *rows, unsigned row,
					  const struct outcome_statistic *statistic, struct rate *ret_rate);
struct contrast answer_standardised_corrected(const struct answer *answer, const struct answer_row *rows, unsigned code,
					      const struct outcome_statistic *statistic, struct rate *ret_rate);
/* Of a population measure: people seen and not seen. */
struct population answer_population(const struct answer *answer, const struct answer_row *row);

#endif
