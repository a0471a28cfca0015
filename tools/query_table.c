/* Rendering of a released table as text.
 *
 * Nothing is computed here: rates and intervals are the daemon's, from noisy counts. A hidden row says so and shows no
 * number, since a blank or a zero would be read as 'nobody'. Text of the server passes clean_text before it reaches a
 * terminal. */
#include "tools/query_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/study.h"

enum { CELL_CAP = 64, MAX_COLUMNS = STUDY_MAX_BY + 7, FIXED_COLUMNS = 6, GAP = 2 };

struct column {
	char head[CELL_CAP];
	bool is_number;
	size_t width;
};

struct table {
	const json_t *answer, *extension, *rows, *by; /* by: names of the dimensions */
	uint64_t within_days;
	struct column columns[MAX_COLUMNS];
	size_t n_columns;
	char (*cells)[MAX_COLUMNS][CELL_CAP];
	size_t n_lines;
};

/* Copy for a terminal: control characters become '?', and what is too long ends with "..". */
static void clean_text(const char *from, char out[CELL_CAP], size_t max)
{
	size_t n = 0;

	if (max >= CELL_CAP)
		max = CELL_CAP - 1;
	for (; from[n] != '\0' && n < max; n++) {
		unsigned char c = (unsigned char)from[n];
		out[n] = (char)(c < 0x20 || c > 0x7e ? '?' : c);
	}
	out[n] = '\0';
	if (from[n] != '\0' && n >= 2)
		memcpy(out + n - 2, "..", 2);
}

static void append_clean(struct buffer *out, const char *text)
{
	for (size_t i = 0; text != NULL && text[i] != '\0'; i++) {
		unsigned char c = (unsigned char)text[i];
		buffer_append(out, c < 0x20 || c == 0x7f ? "?" : &text[i], 1);
	}
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text != NULL ? text : "";
}

/* ---- reading the answer ---- */

static enum rc not_understood(struct diag *diag, const char *what)
{
	return diag_set(diag, RC_PROTOCOL, "the answer is not a released table as docs/protocol.md describes it: %s",
			what);
}

/* The rate of a row for the chosen band, or NULL. */
static const json_t *find_rate(const struct table *t, const json_t *row)
{
	const json_t *bands = json_object_get(row, "within");
	for (size_t i = 0; i < json_array_size(bands); i++) {
		const json_t *rate = json_array_get(bands, i);
		if ((uint64_t)json_integer_value(json_object_get(rate, "days")) == t->within_days)
			return rate;
	}
	return NULL;
}

/* 21 days where any row has that band, else the last band; what was asked for must exist. */
static enum rc choose_band(struct table *t, uint64_t wanted, struct diag *diag)
{
	uint64_t last = 0;
	bool has_wanted = false, has_21 = false, has_any = false;

	for (size_t i = 0; i < json_array_size(t->rows) && !has_any; i++) {
		const json_t *bands = json_object_get(json_array_get(t->rows, i), "within");
		for (size_t b = 0; b < json_array_size(bands); b++) {
			json_int_t days = json_integer_value(json_object_get(json_array_get(bands, b), "days"));
			has_any = true;
			last = (uint64_t)days;
			has_21 |= days == 21;
			has_wanted |= (uint64_t)days == wanted;
		}
	}
	if (wanted != 0 && has_any && !has_wanted)
		return diag_set(diag, RC_USAGE, "--within: the measure has no band that ends on that day");
	t->within_days = wanted != 0 ? wanted : has_21 || !has_any ? 21 : last;
	return RC_OK;
}

static enum rc read_answer(struct table *t, const json_t *answer, uint64_t within_days, struct diag *diag)
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
	return choose_band(t, within_days, diag);
}

/* ---- cells ---- */

static void add_column(struct table *t, const char *head, bool is_number)
{
	struct column *c = &t->columns[t->n_columns++];
	clean_text(head, c->head, CELL_CAP);
	c->is_number = is_number;
}

static size_t n_by(const struct table *t)
{
	return json_array_size(t->by) - 2;
}

static void make_columns(struct table *t)
{
	char within[CELL_CAP];

	add_column(t, "period", false);
	for (size_t i = 0; i < n_by(t); i++)
		add_column(t, json_string_value(json_array_get(t->by, 1 + i)), false);
	snprintf(within, sizeof within, "within %llu d", (unsigned long long)t->within_days);
	add_column(t, "releases", true);
	add_column(t, "observed", true);
	add_column(t, within, true);
	add_column(t, "rate %", true);
	add_column(t, "95 % interval", true);
	add_column(t, "", false);
}

static void put_count(char cell[CELL_CAP], const json_t *value)
{
	if (json_is_integer(value))
		snprintf(cell, CELL_CAP, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		strcpy(cell, "-");
}

/* `markers` tells what the line is beside final. */
static void fill_line(struct table *t, const json_t *row, const char *period, const char *markers)
{
	char(*line)[CELL_CAP] = t->cells[t->n_lines++];
	const json_t *codes = json_object_get(row, "by"), *rate = find_rate(t, row);
	size_t c = 0;

	clean_text(period, line[c++], CELL_CAP);
	for (size_t i = 0; i < n_by(t); i++)
		clean_text(text_of(codes, json_string_value(json_array_get(t->by, 1 + i))), line[c++], CELL_CAP);
	put_count(line[c++], json_object_get(row, "n"));
	put_count(line[c++], json_object_get(row, "observable"));
	put_count(line[c++], json_object_get(rate, "count"));
	const json_t *percent = json_object_get(rate, "percent"), *low = json_object_get(rate, "low"),
		     *high = json_object_get(rate, "high");
	strcpy(line[c], "-");
	strcpy(line[c + 1], "-");
	if (json_is_number(percent))
		snprintf(line[c], CELL_CAP, "%.1f", json_number_value(percent));
	if (json_is_number(low) && json_is_number(high))
		snprintf(line[c + 1], CELL_CAP, "%5.1f - %5.1f", json_number_value(low), json_number_value(high));
	clean_text(markers, line[c + 2], CELL_CAP);
}

static void fill_rows(struct table *t)
{
	const json_t *pooled = json_object_get(t->extension, "pooled");

	for (size_t i = 0; i < json_array_size(t->rows); i++) {
		const json_t *row = json_array_get(t->rows, i);
		bool hidden = !json_is_true(json_object_get(row, "shown"));
		bool provisional = strcmp(text_of(row, "state"), "provisional") == 0;
		fill_line(t, row, text_of(row, "period"), hidden ? "hidden" : provisional ? "provisional" : "");
	}
	for (size_t i = 0; i < json_array_size(pooled); i++) {
		const json_t *row = json_array_get(pooled, i);
		char markers[CELL_CAP];
		snprintf(markers, sizeof markers, "%" JSON_INTEGER_FORMAT " periods",
			 json_integer_value(json_object_get(row, "periods")));
		fill_line(t, row, "together", markers);
	}
}

/* ---- layout ---- */

static size_t line_width(const struct table *t)
{
	size_t width = 0;
	for (size_t c = 0; c < t->n_columns; c++)
		width += t->columns[c].width + (c > 0 ? GAP : 0);
	return width;
}

/* Widths of the contents; then the widest dimension gives way until the line fits. */
static void fit_columns(struct table *t)
{
	for (size_t c = 0; c < t->n_columns; c++) {
		t->columns[c].width = strlen(t->columns[c].head);
		for (size_t i = 0; i < t->n_lines; i++) {
			size_t len = strlen(t->cells[i][c]);
			if (len > t->columns[c].width)
				t->columns[c].width = len;
		}
	}
	while (n_by(t) > 0 && line_width(t) > QUERY_WIDTH) {
		size_t widest = 1;
		for (size_t c = 1; c <= n_by(t); c++) {
			if (t->columns[c].width > t->columns[widest].width)
				widest = c;
		}
		if (t->columns[widest].width <= 4)
			break;
		t->columns[widest].width--;
	}
}

static void put_line(const struct table *t, const char *const *cells, struct buffer *out)
{
	struct buffer line;

	buffer_init(&line);
	for (size_t c = 0; c < t->n_columns; c++) {
		char cell[CELL_CAP];
		int width = (int)t->columns[c].width;
		clean_text(cells[c], cell, t->columns[c].width);
		buffer_printf(&line, "%s%*s", c > 0 ? "  " : "", t->columns[c].is_number ? width : -width, cell);
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
	size_t n_rows = json_array_size(t->rows);

	for (size_t c = 0; c < t->n_columns; c++)
		cells[c] = t->columns[c].head;
	put_line(t, cells, out);
	for (size_t i = 0; i < t->n_lines; i++) {
		bool new_period = i > 0 && strcmp(t->cells[i][0], t->cells[i - 1][0]) != 0;
		if (new_period && (n_by(t) > 0 || i == n_rows))
			buffer_append(out, "\n", 1);
		for (size_t c = 0; c < t->n_columns; c++)
			cells[c] = t->cells[i][c];
		put_line(t, cells, out);
	}
	if (t->n_lines == 0)
		buffer_printf(out, "(no period of this table is published yet)\n");
}

/* ---- what the figures rest on ---- */

/* Break at spaces so that the footer keeps to the width too. */
static void put_wrapped(struct buffer *out, const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t word = strcspn(text, " ");
		if (column > 0 && column + 1 + word > QUERY_WIDTH) {
			buffer_append(out, "\n", 1);
			column = 0;
		} else if (column > 0) {
			buffer_append(out, " ", 1);
			column++;
		}
		char piece[2] = {0};
		for (size_t i = 0; i < word; i++) {
			piece[0] = text[i];
			append_clean(out, piece);
		}
		column += word;
		text += word + (text[word] == ' ');
	}
	buffer_append(out, "\n", 1);
}

static void put_basis(const struct table *t, struct buffer *out)
{
	const json_t *e = t->extension, *log_index = json_object_get(e, "log_index");
	struct buffer line;

	buffer_init(&line);
	buffer_printf(&line, "study %s, digest %.16s..; release %" JSON_INTEGER_FORMAT " as of %s; ",
		      text_of(e, "study"), text_of(e, "study_digest"),
		      json_integer_value(json_object_get(e, "release")), text_of(e, "as_of"));
	if (json_is_integer(log_index))
		buffer_printf(&line, "log entry %" JSON_INTEGER_FORMAT "; ", json_integer_value(log_index));
	buffer_printf(&line, "method %s, noise sigma %.2f a cell, rows below %" JSON_INTEGER_FORMAT " hidden",
		      text_of(e, "method"), sqrt(json_number_value(json_object_get(e, "sigma2"))),
		      json_integer_value(json_object_get(e, "threshold")));
	if (strcmp(text_of(e, "table"), text_of(e, "source_table")) != 0)
		buffer_printf(&line, "; answered from table %s, which has just these dimensions",
			      text_of(e, "source_table"));
	if (strcmp(text_of(e, "secret"), "injected") == 0)
		buffer_printf(&line, "; THE NOISE SECRET WAS INJECTED FOR A TEST");
	buffer_append(&line, "", 1);
	if (!line.failed)
		put_wrapped(out, (const char *)line.data);
	buffer_deinit(&line);
}

static void put_notes(const struct table *t, struct buffer *out)
{
	const json_t *notes = json_object_get(t->answer, "note");
	for (size_t i = 0; i < json_array_size(notes); i++) {
		if (json_is_string(json_array_get(notes, i)))
			put_wrapped(out, json_string_value(json_array_get(notes, i)));
	}
}

static void put_title(const struct table *t, struct buffer *out)
{
	struct buffer line;

	buffer_init(&line);
	if (json_is_true(json_object_get(t->extension, "synthetic")))
		buffer_printf(&line, "SYNTHETIC DATA. ");
	buffer_printf(&line, "%s", text_of(t->answer, "label"));
	buffer_append(&line, "", 1);
	if (!line.failed)
		put_wrapped(out, (const char *)line.data);
	buffer_reset(&line);
	buffer_printf(&line, "%s: treatment started within %llu days of release", text_of(t->extension, "table"),
		      (unsigned long long)t->within_days);
	buffer_append(&line, "", 1);
	if (!line.failed)
		put_wrapped(out, (const char *)line.data);
	buffer_append(out, "\n", 1);
	buffer_deinit(&line);
}

enum rc query_table_format(const json_t *answer, uint64_t within_days, struct buffer *out, struct diag *diag)
{
	struct table t = {0};

	enum rc rc = read_answer(&t, answer, within_days, diag);
	if (rc != RC_OK)
		return rc;
	size_t n = json_array_size(t.rows) + json_array_size(json_object_get(t.extension, "pooled"));
	t.cells = calloc(n ? n : 1, sizeof *t.cells);
	if (t.cells == NULL)
		return RC_NOMEM;
	make_columns(&t);
	fill_rows(&t);
	fit_columns(&t);
	put_title(&t, out);
	put_grid(&t, out);
	buffer_append(out, "\n", 1);
	put_basis(&t, out);
	put_notes(&t, out);
	free(t.cells);
	return out->failed ? RC_NOMEM : RC_OK;
}

/* ---- the list of tables ---- */

static void put_list_entry(const json_t *table, struct buffer *out)
{
	const json_t *by = json_object_get(table, "by"), *periods = json_object_get(table, "periods");
	size_t n = json_array_size(periods), n_final = 0;

	for (size_t i = 0; i < n; i++)
		n_final += strcmp(text_of(json_array_get(periods, i), "state"), "final") == 0;
	append_clean(out, text_of(table, "name"));
	buffer_printf(out, "\n  ");
	append_clean(out, text_of(table, "measure"));
	buffer_printf(out, " by ");
	append_clean(out, text_of(table, "period_kind"));
	for (size_t i = 0; i < json_array_size(by); i++) {
		buffer_printf(out, ", ");
		append_clean(out, text_of(json_array_get(by, i), "name"));
	}
	if (n == 0) {
		buffer_printf(out, "; nothing published yet\n");
		return;
	}
	buffer_printf(out, "; ");
	append_clean(out, text_of(json_array_get(periods, 0), "period"));
	buffer_printf(out, " to ");
	append_clean(out, text_of(json_array_get(periods, n - 1), "period"));
	buffer_printf(out, ", %zu of %zu periods final\n", n_final, n);
}

enum rc query_list_format(const json_t *answer, struct buffer *out, struct diag *diag)
{
	const json_t *tables = json_object_get(answer, "tables"), *release = json_object_get(answer, "release");

	if (!json_is_array(tables))
		return diag_set(diag, RC_PROTOCOL,
				"the answer is not a list of tables as docs/protocol.md describes it");
	if (json_is_true(json_object_get(answer, "synthetic")))
		buffer_printf(out, "SYNTHETIC DATA. ");
	append_clean(out, text_of(answer, "title"));
	if (json_is_integer(release)) {
		buffer_printf(out, "\nrelease %" JSON_INTEGER_FORMAT " as of ", json_integer_value(release));
		append_clean(out, text_of(answer, "as_of"));
	} else {
		buffer_printf(out, "\nno release yet");
	}
	buffer_printf(out, "\n\n");
	for (size_t i = 0; i < json_array_size(tables); i++)
		put_list_entry(json_array_get(tables, i), out);
	return out->failed ? RC_NOMEM : RC_OK;
}
