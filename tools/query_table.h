/* A released table as text for people, from the JSON-stat 2.0 answer of the linkage unit (docs/protocol.md). */
#ifndef TOOLS_QUERY_TABLE_H
#define TOOLS_QUERY_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"

enum { QUERY_WIDTH = 100 }; /* columns of a terminal that the text fits into */

struct query_view {
	uint64_t within_days; /* 0 = 21 where the measure has that band, else the last */
	bool drug_related;    /* mortality: drug-related deaths only */
};

/* Append the table: a line for each period and combination of codes with the number of index events, how many had the
 * outcome, rate and 95 % interval, and markers; for a population measure the persons seen and the estimate. Periods in
 * which every row is hidden take one line together. Then what the figures rest on. Errors: PROTOCOL (the answer is not
 * of that form), USAGE (no such band). */
enum rc query_table_format(const json_t *answer, const struct query_view *view, struct buffer *out,
			   struct diag *diag) MUST_CHECK;
/* Append the list of tables, from the answer of GET /v1/tables. Errors: PROTOCOL. */
enum rc query_list_format(const json_t *answer, struct buffer *out, struct diag *diag) MUST_CHECK;

#endif
