/* Reading a release body. The body that core passes is its own, but it has been stored in between, and the renderers
 * are fuzzed with hostile ones: every type, length and range is checked here once, so that the rest can index freely.
 */
#ifndef DAEMON_STATS_BODY_H
#define DAEMON_STATS_BODY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/stats/correction.h"
#include "proto/outcomes.h"
#include "proto/rc.h"
#include "proto/study.h"

enum { BODY_MAX_COUNT = 1 << 30, BODY_MAX_PERIODS = 4096 };
#define BODY_MAX_VARIANCE_MILLI (INT64_C(1) << 44) /* of a cell, or a sum of cells of one period */

/* Strings are borrowed from the body. */
struct body_head {
	const char *study, *study_digest, *title, *as_of, *method, *secret;
	bool synthetic;
	int64_t release, threshold, rho_micro, rho_total_micro;
	int64_t log_index;           /* -1 = not in the facts */
	int64_t revision_after_days; /* 0 = closed periods are never revised */
	const json_t *release_dates; /* array of announced dates, ascending; NULL = none */
	const char *next_release;    /* the first of them after as_of; NULL = none */
	bool has_links;              /* false: the study does not publish them */
	struct link_counts links;    /* of all arms together */
	const char *links_by;        /* dimension of the arms, NULL = there are none */
	const json_t *arms;          /* array of {"code", and the counts}; checked */
	const json_t *tables;        /* array */
};

struct body_dimension {
	const char *name;
	unsigned n_codes; /* unknown included */
	const char *codes[STUDY_MAX_CODES + 1];
};

struct body_table {
	const char *name, *measure, *kind;
	struct outcome_shape shape;
	enum period_kind period_kind;
	int64_t sigma2_milli, threshold;
	unsigned n_outcomes, n_by, n_rows;
	const char *outcomes[OUTCOMES_MAX];
	struct body_dimension by[STUDY_MAX_BY];
	const json_t *eligible; /* array of {"dimension", "codes"}; for text only */
	const char *lists[STUDY_MAX_CAPTURES];
	uint32_t start_within;
	const json_t *periods; /* array of at most BODY_MAX_PERIODS */
};

struct body_period {
	const char *period;
	int32_t index;
	bool is_final;
	int64_t released_in, revised_from; /* revised_from 0: as first published */
	const char *revision_due;          /* NULL: none is to come */
	/* Of one cell's noise, summed to those by[i] with bit i in the place's mask. Bodies without it: σ² for each row
	 * that is summed. */
	int64_t variance_milli[1 << STUDY_MAX_BY];
	const json_t *rows; /* array of n_rows */
};

struct body_row {
	bool shown;
	int64_t cells[OUTCOMES_MAX];
};

const char *period_kind_name(enum period_kind kind);
/* All return DAMAGED for what is not a body. */
enum rc body_read_head(const json_t *body, struct body_head *ret) MUST_CHECK;
enum rc body_read_table(const json_t *table, struct body_table *ret) MUST_CHECK;
enum rc body_read_period(const struct body_table *table, size_t at, struct body_period *ret) MUST_CHECK;
/* Row `at` of a period; also checks that it stands where its codes say. */
enum rc body_read_row(const struct body_table *table, const struct body_period *period, unsigned at,
		      struct body_row *ret) MUST_CHECK;
/* Counts of links of one arm; false when the body has none for that code. */
bool body_find_arm(const struct body_head *head, const char *code, struct link_counts *ret);
/* NULL when there is none. */
const json_t *body_find_table(const json_t *body, const char *name);

#endif
