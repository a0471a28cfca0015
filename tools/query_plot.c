/* Charts of rates by days. Both forms are drawn from the same list of curves, and carry study, release, period and the
 * notes that the table has: a picture travels without its table. */
#include "tools/query_plot.h"

#include <stdio.h>
#include <string.h>

#include "proto/study.h"
#include "tools/query_text.h"

enum { MAX_CURVES = 8, MAX_POINTS = STUDY_MAX_BANDS, WIDTH = 80, HEIGHT = 20 };

struct point {
	double days, percent, low, high;
};

struct curve {
	char name[QUERY_CELL_CAP];
	struct point points[MAX_POINTS];
	size_t n;
};

struct chart {
	const json_t *extension;
	char title[256], period[QUERY_CELL_CAP];
	struct curve curves[MAX_CURVES];
	size_t n;
	double last_day, top; /* of the axes */
	bool is_corrected;    /* curves are of corrected rates; else, where these are withheld for a group, crude */
	bool has_withheld;
};

/* ---- reading ---- */

static bool read_point(struct chart *chart, const json_t *rate, const struct query_view *view, struct point *ret)
{
	const json_t *from = chart->is_corrected ? json_object_get(rate, "corrected") : rate,
		     *percent = json_object_get(from, "percent"), *low = json_object_get(from, "low"),
		     *high = json_object_get(from, "high"), *days = json_object_get(rate, "days");

	chart->has_withheld |= chart->is_corrected && !json_is_object(from);
	bool drug_related = strcmp(query_text(rate, "cause"), "drug_related") == 0;

	if (!json_is_number(percent) || !json_is_number(low) || !json_is_number(high) || !json_is_integer(days) ||
	    drug_related != view->drug_related)
		return false;
	*ret = (struct point){(double)json_integer_value(days), json_number_value(percent), json_number_value(low),
			      json_number_value(high)};
	return ret->days >= 0 && ret->days <= 3660 && ret->low >= 0 && ret->high <= 100 && ret->percent >= 0 &&
	       ret->percent <= 100;
}

static void name_curve(const json_t *by, struct curve *curve)
{
	char name[3 * QUERY_CELL_CAP] = "";
	const char *key;
	json_t *code;

	json_object_foreach((json_t *)by, key, code)
	{
		size_t at = strlen(name);
		if (json_is_string(code))
			snprintf(name + at, sizeof name - at, "%s%s", at > 0 ? ", " : "", json_string_value(code));
	}
	query_clean(name[0] != '\0' ? name : "all", curve->name, 30);
}

static enum rc add_curve(struct chart *chart, const json_t *row, const struct query_view *view, struct diag *diag)
{
	const json_t *rates = json_object_get(row, "within");
	struct curve curve = {.n = 0};

	for (size_t i = 0; i < json_array_size(rates) && curve.n < MAX_POINTS; i++) {
		struct point *p = &curve.points[curve.n];
		if (read_point(chart, json_array_get(rates, i), view, p) && (curve.n == 0 || p->days > p[-1].days))
			curve.n++;
	}
	if (curve.n == 0)
		return RC_OK;
	if (chart->n == MAX_CURVES)
		return diag_set(diag, RC_USAGE,
				"more than %d groups to plot: name fewer dimensions with --by, or --total", MAX_CURVES);
	name_curve(json_object_get(row, "by"), &curve);
	for (size_t i = 0; i < curve.n; i++) {
		if (curve.points[i].days > chart->last_day)
			chart->last_day = curve.points[i].days;
		while (curve.points[i].high > chart->top && chart->top < 100)
			chart->top += chart->top < 10 ? 1 : 10;
	}
	chart->curves[chart->n++] = curve;
	return RC_OK;
}

/* All periods together where there are several, else the last one of which a row is shown. */
static enum rc choose_rows(struct chart *chart, const struct query_view *view, struct diag *diag)
{
	const json_t *pooled = json_object_get(chart->extension, "pooled"),
		     *rows = json_object_get(chart->extension, "rates");
	const char *period = NULL;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < json_array_size(pooled); i++)
		rc = add_curve(chart, json_array_get(pooled, i), view, diag);
	snprintf(chart->period, sizeof chart->period, "all closed periods together");
	if (rc != RC_OK || chart->n > 0)
		return rc;
	for (size_t i = 0; i < json_array_size(rows); i++) {
		if (json_is_true(json_object_get(json_array_get(rows, i), "shown")))
			period = query_text(json_array_get(rows, i), "period");
	}
	for (size_t i = 0; period != NULL && rc == RC_OK && i < json_array_size(rows); i++) {
		if (strcmp(query_text(json_array_get(rows, i), "period"), period) == 0)
			rc = add_curve(chart, json_array_get(rows, i), view, diag);
	}
	if (rc == RC_OK && chart->n == 0)
		return diag_set(diag, RC_USAGE, "there is nothing to plot: no row of this answer is shown");
	if (rc == RC_OK)
		query_clean(period, chart->period, QUERY_CELL_CAP);
	return rc;
}

/* Corrected rates, where there are some for every group that is shown; never both in one chart. */
static enum rc choose_curves(struct chart *chart, bool is_continuity, const struct query_view *view, struct diag *diag)
{
	const json_t *extension = chart->extension;

	chart->is_corrected = is_continuity && json_is_object(json_object_get(extension, "linkage"));
	enum rc rc = choose_rows(chart, view, diag);
	if (!chart->has_withheld)
		return rc;
	*chart = (struct chart){.extension = extension, .top = 1, .has_withheld = true};
	return choose_rows(chart, view, diag);
}

static enum rc read_chart(struct chart *chart, const json_t *answer, const struct query_view *view, struct diag *diag)
{
	const char *kind, *rate, *days;

	chart->extension = json_object_get(answer, "extension");
	chart->top = 1;
	if (!json_is_array(json_object_get(chart->extension, "rates")))
		return diag_set(diag, RC_PROTOCOL,
				"the answer is not a released table as docs/protocol.md describes it");
	kind = query_text(chart->extension, "kind");
	if (strcmp(kind, "retention") == 0 || strcmp(kind, "population") == 0)
		return diag_set(diag, RC_USAGE, "only continuity, return and mortality have a cumulative incidence");
	enum rc rc = choose_curves(chart, strcmp(kind, "continuity") == 0, view, diag);
	rate = query_text(chart->extension, "rate");
	days = strstr(rate, "{days}");
	snprintf(chart->title, sizeof chart->title, "%s%s: %.*sN%s%s%s",
		 json_is_true(json_object_get(chart->extension, "synthetic")) ? "SYNTHETIC DATA. " : "",
		 query_text(chart->extension, "table"), days != NULL ? (int)(days - rate) : 0, rate,
		 days != NULL ? days + strlen("{days}") : rate, view->drug_related ? ", drug-related deaths only" : "",
		 chart->is_corrected   ? ", corrected for missed links"
		 : chart->has_withheld ? ", not corrected for missed links (withheld for a group)"
				       : ", not corrected for missed links");
	return rc;
}

/* ---- the terminal ---- */

static size_t column_of(const struct chart *chart, double days)
{
	return chart->last_day > 0 ? (size_t)(days / chart->last_day * (WIDTH - 1) + 0.5) : 0;
}

static size_t line_of(const struct chart *chart, double percent)
{
	return HEIGHT - (size_t)(percent / chart->top * HEIGHT + 0.5);
}

/* Dots lead from point to point: what is known are the letters. */
static void draw_curve(const struct chart *chart, size_t at, char grid[HEIGHT + 1][WIDTH + 1])
{
	const struct curve *curve = &chart->curves[at];
	double days = 0, percent = 0;

	for (size_t i = 0; i < curve->n; i++) {
		const struct point *p = &curve->points[i];
		size_t from = column_of(chart, days), to = column_of(chart, p->days);
		for (size_t c = from + 1; c < to; c++) {
			double part = (double)(c - from) / (double)(to - from);
			char *cell = &grid[line_of(chart, percent + part * (p->percent - percent))][c];
			if (*cell == ' ')
				*cell = '.';
		}
		days = p->days;
		percent = p->percent;
	}
	for (size_t i = 0; i < curve->n; i++) {
		char *cell = &grid[line_of(chart, curve->points[i].percent)][column_of(chart, curve->points[i].days)];
		*cell = *cell == ' ' || *cell == '.' ? (char)('a' + at) : '*';
	}
}

static void put_axis(const struct chart *chart, struct buffer *out)
{
	char line[WIDTH + 16];
	const struct curve *curve = &chart->curves[0];
	size_t end = 0;

	buffer_printf(out, "       +");
	for (int i = 0; i < WIDTH; i++)
		buffer_append(out, "-", 1);
	memset(line, ' ', sizeof line);
	for (size_t i = 0; i < curve->n; i++) {
		char label[16];
		size_t len = (size_t)snprintf(label, sizeof label, "%.0f", curve->points[i].days);
		size_t at = column_of(chart, curve->points[i].days) + 8;
		if (at < end || at + len > sizeof line)
			continue;
		memcpy(line + at, label, len);
		end = at + len + 1;
	}
	buffer_printf(out, "\n%.*s days\n", (int)end, line);
}

static void put_legend(const struct chart *chart, struct buffer *out)
{
	for (size_t i = 0; i < chart->n; i++) {
		const struct curve *c = &chart->curves[i];
		const struct point *p = &c->points[c->n - 1];
		buffer_printf(out, "  %c  %-30s  %.0f days: %.1f %% (%.1f - %.1f)\n", (char)('a' + i), c->name, p->days,
			      p->percent, p->low, p->high);
	}
	if (chart->n > 1)
		buffer_printf(out, "  *  several of them\n");
}

static void format_basis(const struct chart *chart, const char *intervals, char *line, size_t cap)
{
	const json_t *e = chart->extension, *log_index = json_object_get(e, "log_index");
	char entry[40] = "";

	if (json_is_integer(log_index))
		snprintf(entry, sizeof entry, " (log entry %lld)", (long long)json_integer_value(log_index));
	snprintf(line, cap, "%s; study %s, release %lld%s as of %s, method %s; %s 95 %% intervals", chart->period,
		 query_text(e, "study"), (long long)json_integer_value(json_object_get(e, "release")), entry,
		 query_text(e, "as_of"), query_text(e, "method"), intervals);
}

enum rc query_plot_format(const json_t *answer, const struct query_view *view, struct buffer *out, struct diag *diag)
{
	char grid[HEIGHT + 1][WIDTH + 1], basis[512];
	struct chart chart = {.n = 0};
	enum rc rc = read_chart(&chart, answer, view, diag);

	if (rc != RC_OK)
		return rc;
	memset(grid, ' ', sizeof grid);
	for (size_t i = 0; i < chart.n; i++)
		draw_curve(&chart, i, grid);
	query_put_wrapped(out, chart.title);
	buffer_append(out, "\n", 1);
	for (size_t l = 0; l <= HEIGHT; l++) {
		size_t len = WIDTH;
		while (len > 0 && grid[l][len - 1] == ' ')
			len--;
		if (l % 5 == 0)
			buffer_printf(out, "%5.1f %%|", chart.top * (double)(HEIGHT - l) / HEIGHT);
		else
			buffer_printf(out, "       |");
		buffer_append(out, grid[l], len);
		buffer_append(out, "\n", 1);
	}
	put_axis(&chart, out);
	put_legend(&chart, out);
	format_basis(&chart, "in brackets", basis, sizeof basis);
	query_put_wrapped(out, basis);
	return out->failed ? RC_NOMEM : RC_OK;
}

/* ---- SVG ---- */

enum { SVG_LEFT = 70, SVG_TOP = 60, SVG_WIDTH = 620, SVG_HEIGHT = 320 };
/* Okabe and Ito's colours, told apart by readers who do not see red or green. */
static const char *const colours[MAX_CURVES] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
						"#e69f00", "#56b4e9", "#000000", "#999999"};

static void put_xml(struct buffer *out, const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '&')
			buffer_printf(out, "&amp;");
		else if (c == '<')
			buffer_printf(out, "&lt;");
		else if (c == '>')
			buffer_printf(out, "&gt;");
		else
			buffer_append(out, c < 0x20 || c > 0x7e ? "?" : text, 1);
	}
}

static double svg_x(const struct chart *chart, double days)
{
	return SVG_LEFT + (chart->last_day > 0 ? days / chart->last_day : 0) * SVG_WIDTH;
}

static double svg_y(const struct chart *chart, double percent)
{
	return SVG_TOP + SVG_HEIGHT - percent / chart->top * SVG_HEIGHT;
}

static void put_svg_text(struct buffer *out, double x, double y, const char *anchor, int size, const char *text)
{
	buffer_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" font-size=\"%d\">", x, y, anchor, size);
	put_xml(out, text);
	buffer_printf(out, "</text>\n");
}

static void put_svg_axes(struct buffer *out, const struct chart *chart)
{
	const struct curve *curve = &chart->curves[0];
	char label[32];

	for (int i = 0; i <= 4; i++) {
		double percent = chart->top * i / 4, y = svg_y(chart, percent);
		buffer_printf(out, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", SVG_LEFT, y,
			      SVG_LEFT + SVG_WIDTH, y);
		snprintf(label, sizeof label, "%.4g %%", percent);
		put_svg_text(out, SVG_LEFT - 8, y + 4, "end", 12, label);
	}
	for (size_t i = 0; i < curve->n; i++) {
		snprintf(label, sizeof label, "%.0f", curve->points[i].days);
		put_svg_text(out, svg_x(chart, curve->points[i].days), SVG_TOP + SVG_HEIGHT + 18, "middle", 12, label);
	}
	put_svg_text(out, SVG_LEFT + SVG_WIDTH / 2.0, SVG_TOP + SVG_HEIGHT + 38, "middle", 12, "days since release");
}

/* Whiskers of different curves stand side by side. */
static void put_svg_curve(struct buffer *out, const struct chart *chart, size_t at)
{
	const struct curve *c = &chart->curves[at];

	buffer_printf(
		out,
		"<g stroke=\"%s\" fill=\"%s\">\n<polyline fill=\"none\" stroke-dasharray=\"4 3\" points=\"%.1f,%.1f",
		colours[at], colours[at], svg_x(chart, 0), svg_y(chart, 0));
	for (size_t i = 0; i < c->n; i++)
		buffer_printf(out, " %.1f,%.1f", svg_x(chart, c->points[i].days), svg_y(chart, c->points[i].percent));
	buffer_printf(out, "\"/>\n");
	for (size_t i = 0; i < c->n; i++) {
		double x = svg_x(chart, c->points[i].days) + 3.0 * ((double)at - (double)(chart->n - 1) / 2);
		buffer_printf(out,
			      "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/><circle cx=\"%.1f\" cy=\"%.1f\" "
			      "r=\"3\"/>\n",
			      x, svg_y(chart, c->points[i].low), x, svg_y(chart, c->points[i].high), x,
			      svg_y(chart, c->points[i].percent));
	}
	buffer_printf(out, "</g>\n");
}

static void put_svg_legend(struct buffer *out, const struct chart *chart)
{
	for (size_t i = 0; i < chart->n; i++) {
		double y = SVG_TOP + 10 + 20.0 * (double)i;
		buffer_printf(out, "<circle cx=\"%d\" cy=\"%.1f\" r=\"5\" fill=\"%s\"/>\n", SVG_LEFT + SVG_WIDTH + 24,
			      y, colours[i]);
		put_svg_text(out, SVG_LEFT + SVG_WIDTH + 34, y + 4, "start", 12, chart->curves[i].name);
	}
}

enum rc query_svg_format(const json_t *answer, const struct query_view *view, struct buffer *out, struct diag *diag)
{
	struct chart chart = {.n = 0};
	const json_t *notes = json_object_get(answer, "note");
	char basis[512];
	size_t n_notes = json_array_size(notes);
	enum rc rc = read_chart(&chart, answer, view, diag);

	if (rc != RC_OK)
		return rc;
	if (n_notes > 16)
		n_notes = 16;
	buffer_printf(
		out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"940\" height=\"%zu\" font-family=\"sans-serif\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
		SVG_TOP + SVG_HEIGHT + 80 + 14 * n_notes);
	put_svg_text(out, SVG_LEFT, 24, "start", 16, query_text(answer, "label"));
	put_svg_text(out, SVG_LEFT, 44, "start", 13, chart.title);
	put_svg_axes(out, &chart);
	for (size_t i = 0; i < chart.n; i++)
		put_svg_curve(out, &chart, i);
	put_svg_legend(out, &chart);
	format_basis(&chart, "bars are", basis, sizeof basis);
	put_svg_text(out, SVG_LEFT, SVG_TOP + SVG_HEIGHT + 62, "start", 11, basis);
	for (size_t i = 0; i < n_notes; i++) {
		const char *note = json_string_value(json_array_get(notes, i));
		put_svg_text(out, SVG_LEFT, SVG_TOP + SVG_HEIGHT + 78 + 14.0 * (double)i, "start", 9,
			     note != NULL ? note : "");
	}
	buffer_printf(out, "</svg>\n");
	return out->failed ? RC_NOMEM : RC_OK;
}
