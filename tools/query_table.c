/* Rendering of a released table as text.
 *
 * Nothing is computed here: rates and intervals are the daemon's, from noisy counts. A hidden row says so and shows no
 * number, since a blank or a zero would be read as 'nobody'. Text of the server passes query_clean before it reaches a
 * terminal. */
#include "tools/query_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/study.h"
#include "tools/query_text.h"

enum { MAX_COLUMNS = STUDY_MAX_BY + 8, WIDE_GAP = 2, NARROW_GAP = 1, READABLE = 8, SHORTEST = 4 };

struct column {
	char head[QUERY_CELL_CAP];
	bool is_number;
	size_t width;
};

struct table {
	const json_t *answer, *extension, *rows, *by; /* by: names of the dimensions */
	struct query_view view;
	const char *rates_key;    /* "within", "at_least"; NULL = a population */
	bool is_corrected;        /* rates corrected for missed links stand in the place of counts */
	const json_t *comparison; /* NULL = none: then counts and rates are shown */
	struct column columns[MAX_COLUMNS];
	size_t n_columns;
	size_t gap; /* between columns */
	char (*cells)[MAX_COLUMNS][QUERY_CELL_CAP];
	bool *is_text; /* a line that is its first cell only */
	size_t n_lines;
};

/* ---- reading the answer ---- */

static enum rc not_understood(struct diag *diag, const char *what)
{
	return diag_set(diag, RC_PROTOCOL, "the answer is not a released table as docs/protocol.md describes it: %s",
			what);
}

/* The rate of a row for the chosen band and cause, or NULL. */
static const json_t *find_rate(const struct table *t, const json_t *row)
{
	const json_t *rates = t->rates_key != NULL ? json_object_get(row, t->rates_key) : NULL;
	for (size_t i = 0; i < json_array_size(rates); i++) {
		const json_t *rate = json_array_get(rates, i);
		bool drug_related = strcmp(query_text(rate, "cause"), "drug_related") == 0;
		if ((uint64_t)json_integer_value(json_object_get(rate, "days")) == t->view.within_days &&
		    drug_related == t->view.drug_related)
			return rate;
	}
	return NULL;
}

/* 21 days where any row has that band, else the last band; what was asked for must exist. */
static enum rc choose_band(struct table *t, const struct query_view *wanted, struct diag *diag)
{
	uint64_t last = 0;
	bool has_wanted = false, has_21 = false, has_any = false, has_cause = false;

	for (size_t i = 0; t->rates_key != NULL && i < json_array_size(t->rows) && !has_any; i++) {
		const json_t *rates = json_object_get(json_array_get(t->rows, i), t->rates_key);
		for (size_t b = 0; b < json_array_size(rates); b++) {
			const json_t *rate = json_array_get(rates, b);
			json_int_t days = json_integer_value(json_object_get(rate, "days"));
			has_any = true;
			last = (uint64_t)days;
			has_21 |= days == 21;
			has_wanted |= (uint64_t)days == wanted->within_days;
			has_cause |= json_object_get(rate, "cause") != NULL;
		}
	}
	if (wanted->within_days != 0 && (t->rates_key == NULL || (has_any && !has_wanted)))
		return diag_set(diag, RC_USAGE, "--within: the measure has no band that ends on that day");
	if (wanted->drug_related && (t->rates_key == NULL || (has_any && !has_cause)))
		return diag_set(diag, RC_USAGE, "--drug-related: the measure does not tell causes of death apart");
	t->view = *wanted;
	if (wanted->within_days == 0)
		t->view.within_days = has_21 || !has_any ? 21 : last;
	return RC_OK;
}

static enum rc read_answer(struct table *t, const json_t *answer, const struct query_view *view, struct diag *diag)
{
	const json_t *id = json_object_get(answer, "id");

	t->answer = answer;
	t->extension = json_object_get(answer, "extension");
	t->rows = json_object_get(t->extension, "rates");
	if (!json_is_array(t->rows))
		return not_understood(diag, "extension.rates");
	if (json_array_size(id) < 2 || json_array_size(id) > 2 + STUDY_MAX_BY)
		return not_understood(diag, "id");
	for (size_t i = 0; i < json_array_size(id); i++) {
		if (!json_is_string(json_array_get(id, i)))
			return not_understood(diag, "id");
	}
	t->by = id;
	const char *kind = query_text(t->extension, "kind");
	t->comparison = json_object_get(t->extension, "comparison");
	if (t->comparison != NULL && !json_is_array(json_object_get(t->comparison, "rows")))
		return not_understood(diag, "extension.comparison");
	t->is_corrected = strcmp(kind, "continuity") == 0 && json_object_get(t->extension, "linkage") != NULL;
	t->rates_key = strcmp(kind, "population") == 0 ? NULL : strcmp(kind, "retention") == 0 ? "at_least" : "within";
	return choose_band(t, view, diag);
}

/* ---- cells ---- */

static void add_column(struct table *t, const char *head, bool is_number)
{
	struct column *c = &t->columns[t->n_columns++];
	query_clean(head, c->head, QUERY_CELL_CAP);
	c->is_number = is_number;
}

static size_t n_by(const struct table *t)
{
	return json_array_size(t->by) - 2;
}

static void make_columns(struct table *t)
{
	char within[QUERY_CELL_CAP];
	bool is_retention = t->rates_key != NULL && strcmp(t->rates_key, "at_least") == 0;

	add_column(t, "period", false);
	for (size_t i = 0; i < n_by(t); i++)
		add_column(t, json_string_value(json_array_get(t->by, 1 + i)), false);
	if (t->rates_key == NULL) {
		add_column(t, "seen", true);
		add_column(t, "estimate", true);
		add_column(t, "95 % interval", true);
		add_column(t, "", false);
		return;
	}
	if (t->comparison != NULL) {
		add_column(t, "rate %", true);
		add_column(t, "points", true);
		add_column(t, "95 % interval", true);
		add_column(t, "ratio", true);
		add_column(t, "95 % interval", true);
		add_column(t, "", false);
		return;
	}
	snprintf(within, sizeof within, is_retention ? "%llu d or more" : "within %llu d",
		 (unsigned long long)t->view.within_days);
	add_column(t, is_retention ? "starts" : "releases", true);
	if (!t->is_corrected)
		add_column(t, is_retention ? "known" : "observed", true);
	if (!t->is_corrected)
		add_column(t, within, true);
	add_column(t, t->is_corrected ? "crude %" : "rate %", true);
	add_column(t, "95 % interval", true);
	if (t->is_corrected) {
		add_column(t, "corrected %", true);
		add_column(t, "95 % interval", true);
	}
	add_column(t, "", false);
}

static void put_count(char cell[QUERY_CELL_CAP], const json_t *value)
{
	if (json_is_integer(value))
		snprintf(cell, QUERY_CELL_CAP, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		strcpy(cell, "-");
}

/* Rate and interval. */
static void fill_interval(char (*line)[QUERY_CELL_CAP], const json_t *rate)
{
	const json_t *percent = json_object_get(rate, "percent"), *low = json_object_get(rate, "low"),
		     *high = json_object_get(rate, "high");

	strcpy(line[0], "-");
	strcpy(line[1], "-");
	if (json_is_number(percent))
		snprintf(line[0], QUERY_CELL_CAP, "%.1f", json_number_value(percent));
	if (json_is_number(low) && json_is_number(high))
		snprintf(line[1], QUERY_CELL_CAP, "%5.1f - %5.1f", json_number_value(low), json_number_value(high));
}

static void fill_rate(const struct table *t, char (*line)[QUERY_CELL_CAP], const json_t *row, const json_t *rate)
{
	size_t c = 0;

	put_count(line[c++], json_object_get(row, "n"));
	if (!t->is_corrected)
		put_count(line[c++], json_object_get(row, "observable"));
	if (!t->is_corrected)
		put_count(line[c++], json_object_get(rate, "count"));
	fill_interval(&line[c], rate);
	if (t->is_corrected)
		fill_interval(&line[c + 2], json_object_get(rate, "corrected"));
}

static void fill_comparison(char (*line)[QUERY_CELL_CAP], const json_t *rate)
{
	const json_t *difference = json_object_get(rate, "difference"), *ratio = json_object_get(rate, "ratio"),
		     *percent = json_object_get(rate, "percent"), *high = json_object_get(ratio, "high");

	for (int c = 0; c < 5; c++)
		strcpy(line[c], "-");
	if (json_is_number(percent))
		snprintf(line[0], QUERY_CELL_CAP, "%.1f", json_number_value(percent));
	if (json_is_object(difference)) {
		snprintf(line[1], QUERY_CELL_CAP, "%+.1f", json_number_value(json_object_get(difference, "points")));
		snprintf(line[2], QUERY_CELL_CAP, "%+5.1f to %+5.1f",
			 json_number_value(json_object_get(difference, "low")),
			 json_number_value(json_object_get(difference, "high")));
	}
	if (json_is_object(ratio)) {
		snprintf(line[3], QUERY_CELL_CAP, "%.2f", json_number_value(json_object_get(ratio, "value")));
		snprintf(line[4], QUERY_CELL_CAP, json_is_number(high) ? "%.2f - %.2f" : "%.2f or more",
			 json_number_value(json_object_get(ratio, "low")), json_number_value(high));
	}
}

static void fill_population(char (*line)[QUERY_CELL_CAP], const json_t *row)
{
	const json_t *population = json_object_get(row, "population"), *low = json_object_get(population, "low"),
		     *high = json_object_get(population, "high");

	put_count(line[0], json_object_get(row, "n"));
	put_count(line[1], json_object_get(population, "estimate"));
	strcpy(line[2], "-");
	if (json_is_integer(low) && json_is_integer(high))
		snprintf(line[2], QUERY_CELL_CAP, "%" JSON_INTEGER_FORMAT " - %" JSON_INTEGER_FORMAT,
			 json_integer_value(low), json_integer_value(high));
	else if (json_is_integer(low))
		snprintf(line[2], QUERY_CELL_CAP, "%" JSON_INTEGER_FORMAT " or more", json_integer_value(low));
}

/* `markers` tells what the line is beside final; `compared` is the rate whose comparison it shows, in such a table. */
static void fill_line(struct table *t, const json_t *row, const json_t *compared, const char *period,
		      const char *markers)
{
	char(*line)[QUERY_CELL_CAP] = t->cells[t->n_lines++];
	const json_t *codes = json_object_get(row, "by");
	size_t c = 0;

	query_clean(period, line[c++], QUERY_CELL_CAP);
	for (size_t i = 0; i < n_by(t); i++)
		query_clean(query_text(codes, json_string_value(json_array_get(t->by, 1 + i))), line[c++],
			    QUERY_CELL_CAP);
	if (t->comparison != NULL)
		fill_comparison(&line[c], compared);
	else if (t->rates_key != NULL)
		fill_rate(t, &line[c], row, find_rate(t, row));
	else
		fill_population(&line[c], row);
	query_clean(markers, line[t->n_columns - 1], QUERY_CELL_CAP);
}

static bool is_hidden(const json_t *row)
{
	return !json_is_true(json_object_get(row, "shown"));
}

/* Number of rows from `at` on that belong to whole periods in which every row is hidden. */
static size_t hidden_run(const struct table *t, size_t at, size_t *ret_periods)
{
	size_t end = at, n = json_array_size(t->rows);

	*ret_periods = 0;
	while (end < n) {
		const char *period = query_text(json_array_get(t->rows, end), "period");
		size_t next = end;
		while (next < n && strcmp(query_text(json_array_get(t->rows, next), "period"), period) == 0) {
			if (!is_hidden(json_array_get(t->rows, next)))
				return end - at;
			next++;
		}
		end = next;
		++*ret_periods;
	}
	return end - at;
}

/* Periods in which there is nothing to see take one line together. */
static void fill_hidden(struct table *t, size_t at, size_t n, size_t n_periods)
{
	char first[QUERY_CELL_CAP], last[QUERY_CELL_CAP];

	query_clean(query_text(json_array_get(t->rows, at), "period"), first, PERIOD_TEXT_LEN - 1);
	query_clean(query_text(json_array_get(t->rows, at + n - 1), "period"), last, PERIOD_TEXT_LEN - 1);
	t->is_text[t->n_lines] = true;
	if (n_periods > 1)
		snprintf(t->cells[t->n_lines++][0], QUERY_CELL_CAP, "%.12s to %.12s: %u periods, all hidden", first,
			 last, (unsigned)n_periods);
	else
		snprintf(t->cells[t->n_lines++][0], QUERY_CELL_CAP, "%.12s: all hidden", first);
}

/* What a line of a comparison says: where rates are corrected for missed links each stands twice, and says which it is.
 */
static const char *comparison_marker(const struct table *t, const json_t *row, bool corrected)
{
	bool standardised = json_is_true(json_object_get(row, "standardised"));

	if (corrected)
		return standardised ? "std. corrected" : "corrected";
	return standardised ? "standardised" : t->is_corrected ? "crude" : "";
}

/* Rows without a rate of their own have nothing to say here. */
static void fill_comparisons(struct table *t)
{
	static const char *const lists[] = {"rows", "pooled"};

	for (int l = 0; l < 2; l++) {
		const json_t *rows = json_object_get(t->comparison, lists[l]);
		for (size_t i = 0; i < json_array_size(rows); i++) {
			const json_t *row = json_array_get(rows, i), *rate = find_rate(t, row);
			const char *period = l == 0 ? query_text(row, "period") : "together";
			if (!json_is_number(json_object_get(rate, "percent")))
				continue;
			fill_line(t, row, rate, period, comparison_marker(t, row, false));
			if (t->is_corrected)
				fill_line(t, row, json_object_get(rate, "corrected"), period,
					  comparison_marker(t, row, true));
		}
	}
}

static void fill_rows(struct table *t)
{
	const json_t *pooled = json_object_get(t->extension, "pooled");

	for (size_t i = 0; i < json_array_size(t->rows);) {
		const json_t *row = json_array_get(t->rows, i);
		size_t n_periods, n = hidden_run(t, i, &n_periods);
		bool is_first = i == 0 || strcmp(query_text(json_array_get(t->rows, i - 1), "period"),
						 query_text(row, "period")) != 0;
		if (is_first && n > 1) {
			fill_hidden(t, i, n, n_periods);
			i += n;
			continue;
		}
		bool provisional = strcmp(query_text(row, "state"), "provisional") == 0;
		bool revised = json_object_get(row, "revised_from") != NULL;
		fill_line(t, row, NULL, query_text(row, "period"),
			  is_hidden(row) ? "hidden"
			  : provisional  ? "provisional"
			  : revised      ? "revised"
					 : "");
		i++;
	}
	for (size_t i = 0; i < json_array_size(pooled); i++) {
		const json_t *row = json_array_get(pooled, i);
		char markers[QUERY_CELL_CAP];
		snprintf(markers, sizeof markers, "%" JSON_INTEGER_FORMAT " periods",
			 json_integer_value(json_object_get(row, "periods")));
		fill_line(t, row, NULL, "together", markers);
	}
}

/* ---- layout ---- */

static size_t line_width(const struct table *t)
{
	size_t width = 0;
	for (size_t c = 0; c < t->n_columns; c++)
		width += t->columns[c].width + (c > 0 ? t->gap : 0);
	return width;
}

static void widths_of_contents(struct table *t)
{
	for (size_t c = 0; c < t->n_columns; c++) {
		t->columns[c].width = strlen(t->columns[c].head);
		for (size_t i = 0; i < t->n_lines; i++) {
			size_t len = t->is_text[i] ? 0 : strlen(t->cells[i][c]);
			if (len > t->columns[c].width)
				t->columns[c].width = len;
		}
	}
}

/* The widest dimension gives way until the line fits, or all are down to `least`. */
static bool shorten_dimensions(struct table *t, size_t least)
{
	while (n_by(t) > 0 && line_width(t) > QUERY_WIDTH) {
		size_t widest = 1;
		for (size_t c = 1; c <= n_by(t); c++) {
			if (t->columns[c].width > t->columns[widest].width)
				widest = c;
		}
		if (t->columns[widest].width <= least)
			return false;
		t->columns[widest].width--;
	}
	return true;
}

/* Rather less room between columns than names that nobody can read. */
static void fit_columns(struct table *t)
{
	t->gap = WIDE_GAP;
	widths_of_contents(t);
	if (shorten_dimensions(t, READABLE))
		return;
	t->gap = NARROW_GAP;
	widths_of_contents(t);
	shorten_dimensions(t, SHORTEST);
}

static void put_line(const struct table *t, const char *const *cells, struct buffer *out)
{
	struct buffer line;

	buffer_init(&line);
	for (size_t c = 0; c < t->n_columns; c++) {
		char cell[QUERY_CELL_CAP];
		int width = (int)t->columns[c].width;
		query_clean(cells[c], cell, t->columns[c].width);
		buffer_printf(&line, "%*s%*s", c > 0 ? (int)t->gap : 0, "", t->columns[c].is_number ? width : -width,
			      cell);
	}
	while (line.len > 0 && line.data[line.len - 1] == ' ')
		line.len--;
	buffer_append(out, line.data, line.len);
	buffer_append(out, "\n", 1);
	buffer_deinit(&line);
}

static void put_grid(const struct table *t, struct buffer *out)
{
	const char *cells[MAX_COLUMNS];
	bool was_pooled = false;

	for (size_t c = 0; c < t->n_columns; c++)
		cells[c] = t->columns[c].head;
	put_line(t, cells, out);
	for (size_t i = 0; i < t->n_lines; i++) {
		bool new_period = i > 0 && strcmp(t->cells[i][0], t->cells[i - 1][0]) != 0;
		bool is_pooled = strcmp(t->cells[i][0], "together") == 0;
		if (new_period && (n_by(t) > 0 || (is_pooled && !was_pooled)))
			buffer_append(out, "\n", 1);
		was_pooled = is_pooled;
		for (size_t c = 0; c < t->n_columns; c++)
			cells[c] = t->cells[i][c];
		if (t->is_text[i])
			buffer_printf(out, "%s\n", t->cells[i][0]);
		else
			put_line(t, cells, out);
	}
	if (t->n_lines == 0)
		buffer_printf(out, "(no period of this table is published yet)\n");
}

/* ---- what the figures rest on ---- */

/* The noise of one count: as it was drawn, and what is left of it where common margins were made to agree. */
static void put_noise(const struct table *t, struct buffer *line)
{
	double drawn = sqrt(json_number_value(json_object_get(t->extension, "sigma2"))), left = drawn;

	for (size_t i = json_array_size(t->rows); i-- > 0;) {
		const json_t *variance = json_object_get(json_array_get(t->rows, i), "variance");
		if (json_is_number(variance))
			left = sqrt(json_number_value(variance));
	}
	buffer_printf(line, "noise sigma %.2f a cell", left);
	if (left < drawn - 0.005)
		buffer_printf(line, " (%.2f before common margins were made to agree)", drawn);
}

static void put_basis(const struct table *t, struct buffer *out)
{
	const json_t *e = t->extension, *log_index = json_object_get(e, "log_index");
	struct buffer line;

	buffer_init(&line);
	buffer_printf(&line, "study %s, digest %.16s..; release %" JSON_INTEGER_FORMAT " as of %s; ",
		      query_text(e, "study"), query_text(e, "study_digest"),
		      json_integer_value(json_object_get(e, "release")), query_text(e, "as_of"));
	if (json_is_integer(log_index))
		buffer_printf(&line, "log entry %" JSON_INTEGER_FORMAT "; ", json_integer_value(log_index));
	buffer_printf(&line, "method %s, ", query_text(e, "method"));
	put_noise(t, &line);
	buffer_printf(&line, ", rows below %" JSON_INTEGER_FORMAT " hidden",
		      json_integer_value(json_object_get(e, "threshold")));
	if (query_text(e, "next_release")[0] != '\0')
		buffer_printf(&line, "; next release announced for %s", query_text(e, "next_release"));
	if (json_is_integer(json_object_get(e, "revision_after_days")))
		buffer_printf(&line,
			      "; a closed period is counted once more, %" JSON_INTEGER_FORMAT " days after it closed",
			      json_integer_value(json_object_get(e, "revision_after_days")));
	if (strcmp(query_text(e, "table"), query_text(e, "source_table")) != 0)
		buffer_printf(&line, "; answered from table %s, which has just these dimensions",
			      query_text(e, "source_table"));
	if (strcmp(query_text(e, "secret"), "injected") == 0)
		buffer_printf(&line, "; THE NOISE SECRET WAS INJECTED FOR A TEST");
	buffer_append(&line, "", 1);
	if (!line.failed)
		query_put_wrapped(out, (const char *)line.data);
	buffer_deinit(&line);
}

/* How good linkage was, as the release itself says. */
static void put_linkage(const struct table *t, struct buffer *out)
{
	const json_t *linkage = json_object_get(t->extension, "linkage"),
		     *found = json_object_get(linkage, "found_percent"), *low = json_object_get(linkage, "found_low"),
		     *high = json_object_get(linkage, "found_high"), *wrong = json_object_get(linkage, "false_high");
	char line[256];

	if (!json_is_object(linkage)) {
		query_put_wrapped(out, "Linkage quality: not published by this study.");
		return;
	}
	if (!json_is_number(found) || !json_is_number(wrong)) {
		query_put_wrapped(out, "Linkage quality: too poorly known to be told.");
		return;
	}
	snprintf(line, sizeof line,
		 "Linkage of prisons and treatment, as expected without labels: %.1f %% of the links found (%.1f - "
		 "%.1f), at most %.1f %% of them false%s%s.",
		 json_number_value(found), json_number_value(low), json_number_value(high), json_number_value(wrong),
		 json_is_array(json_object_get(linkage, "arms")) ? "; csv and json have it by " : "",
		 json_is_array(json_object_get(linkage, "arms")) ? query_text(linkage, "by") : "");
	query_put_wrapped(out, line);
}

static void put_notes(const struct table *t, struct buffer *out)
{
	const json_t *notes = json_object_get(t->answer, "note");
	for (size_t i = 0; i < json_array_size(notes); i++) {
		if (json_is_string(json_array_get(notes, i)))
			query_put_wrapped(out, json_string_value(json_array_get(notes, i)));
	}
}

/* "treatment started within {days} days of release", and who is counted. */
static void put_rate_text(const struct table *t, struct buffer *line)
{
	const char *text = query_text(t->extension, "rate"), *days = strstr(text, "{days}");
	const json_t *eligible = json_object_get(t->extension, "eligible");

	if (t->rates_key == NULL)
		buffer_printf(line, "people, seen or not");
	else if (days != NULL)
		buffer_printf(line, "%.*s%llu%s%s", (int)(days - text), text, (unsigned long long)t->view.within_days,
			      days + strlen("{days}"), t->view.drug_related ? ", drug-related deaths only" : "");
	if (t->comparison != NULL)
		buffer_printf(line, "; each %s against \"%s\": difference in percentage points, and ratio",
			      query_text(t->comparison, "dimension"), query_text(t->comparison, "against"));
	for (size_t i = 0; i < json_array_size(eligible); i++) {
		const json_t *rule = json_array_get(eligible, i), *codes = json_object_get(rule, "codes");
		buffer_printf(line, "%s%s", i == 0 ? "; only where " : " and ", query_text(rule, "dimension"));
		for (size_t c = 0; c < json_array_size(codes); c++) {
			const char *code = json_string_value(json_array_get(codes, c));
			buffer_printf(line, "%s%s", c == 0 ? " is " : " or ", code != NULL ? code : "");
		}
	}
}

static void put_title(const struct table *t, struct buffer *out)
{
	struct buffer line;

	buffer_init(&line);
	if (json_is_true(json_object_get(t->extension, "synthetic")))
		buffer_printf(&line, "SYNTHETIC DATA. ");
	buffer_printf(&line, "%s", query_text(t->answer, "label"));
	buffer_append(&line, "", 1);
	if (!line.failed)
		query_put_wrapped(out, (const char *)line.data);
	buffer_reset(&line);
	buffer_printf(&line, "%s: ", query_text(t->extension, "table"));
	put_rate_text(t, &line);
	buffer_append(&line, "", 1);
	if (!line.failed)
		query_put_wrapped(out, (const char *)line.data);
	buffer_append(out, "\n", 1);
	buffer_deinit(&line);
}

enum rc query_table_format(const json_t *answer, const struct query_view *view, struct buffer *out, struct diag *diag)
{
	struct table t = {0};

	enum rc rc = read_answer(&t, answer, view, diag);
	if (rc != RC_OK)
		return rc;
	size_t n = json_array_size(t.rows) + json_array_size(json_object_get(t.extension, "pooled")) +
		   2 * json_array_size(json_object_get(t.comparison, "rows")) +
		   2 * json_array_size(json_object_get(t.comparison, "pooled"));
	t.cells = calloc(n ? n : 1, sizeof *t.cells);
	t.is_text = calloc(n ? n : 1, sizeof *t.is_text);
	if (t.cells == NULL || t.is_text == NULL) {
		free(t.cells);
		free(t.is_text);
		return RC_NOMEM;
	}
	make_columns(&t);
	if (t.comparison != NULL)
		fill_comparisons(&t);
	else
		fill_rows(&t);
	fit_columns(&t);
	put_title(&t, out);
	put_grid(&t, out);
	buffer_append(out, "\n", 1);
	put_basis(&t, out);
	put_linkage(&t, out);
	put_notes(&t, out);
	free(t.cells);
	free(t.is_text);
	return out->failed ? RC_NOMEM : RC_OK;
}
