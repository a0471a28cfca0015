/* Cumulative incidence of a released table, as characters for a terminal and as SVG. */
#ifndef TOOLS_QUERY_PLOT_H
#define TOOLS_QUERY_PLOT_H

#include <jansson.h>

#include "proto/bytes.h"
#include "proto/rc.h"
#include "tools/query_table.h"

/* Append the chart: a curve for each group (at most 8), of all closed periods together where the answer has them, else
 * of its last period that is shown. Rates stand at the last days of the bands, since nothing is known in between. Only
 * the cause of `view` matters. Errors: PROTOCOL (not an answer), USAGE (the measure has no such curve, nothing is
 * shown, too many groups). */
enum rc query_plot_format(const json_t *answer, const struct query_view *view, struct buffer *out,
			  struct diag *diag) MUST_CHECK;
enum rc query_svg_format(const json_t *answer, const struct query_view *view, struct buffer *out,
			 struct diag *diag) MUST_CHECK;

#endif
