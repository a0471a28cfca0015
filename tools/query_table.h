/* A released table as text for people, from the JSON-stat 2.0 answer of the linkage unit (docs/protocol.md). */
#ifndef TOOLS_QUERY_TABLE_H
#define TOOLS_QUERY_TABLE_H

#include <jansson.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"

enum { QUERY_WIDTH = 100 };            /* columns of a terminal that the text fits into */

/* Append the table: a line for each period and combination of codes with the number of releases, how many were in
 * treatment within `within_days` (0 = 21 where the measure has that band, else the last), rate and 95 % interval, and
 * markers; then what the figures rest on. Errors: PROTOCOL (the answer is not of that form), USAGE (no such band). */
enum rc query_table_format(const json_t *answer, uint64_t within_days, struct buffer *out,
                           struct diag *diag) MUST_CHECK;
/* Append the list of tables, from the answer of GET /v1/tables. Errors: PROTOCOL. */
enum rc query_list_format(const json_t *answer, struct buffer *out, struct diag *diag) MUST_CHECK;

#endif
