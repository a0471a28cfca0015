#include "tools/encode/register.h"

#include <csv.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/encode/text.h"

enum { READ_BYTES = 64 << 10 };

#define QUOTE_RULE "a quote is not where CSV allows it (fields with quotes are quoted, quotes inside doubled)"

struct span {
	size_t at, len; /* into bytes */
};

struct row {
	uint64_t number, line;
	size_t first, n; /* into spans */
};

struct register_file {
	struct register_source source;
	struct csv_parser parser;
	uint8_t *bytes; /* fields of the rows at hand, and of the one being read */
	size_t n_bytes, cap_bytes;
	struct span *spans;
	size_t n_spans, cap_spans;
	struct row *rows; /* complete rows that were not handed out yet, from next_row */
	size_t n_rows, cap_rows, next_row;
	size_t row_start;                  /* first span of the row being read */
	uint64_t number;                   /* of the row being read; 0 is the header */
	uint64_t line;                     /* where it begins */
	uint64_t breaks;                   /* line feeds inside its fields */
	uint64_t blank_number, blank_line; /* the first of pending blank lines; line 0 = none */
	size_t row_bytes;                  /* read since the last row ended */
	bool row_open;                     /* libcsv is inside a row */
	struct encode_value *view;
	size_t cap_view;
	char **names;
	size_t n_columns;
	bool at_end, failed_alloc;
};

static int is_space(unsigned char c)
{
	/* Spaces belong to values. A carriage return before the line feed is the only thing to be cut off. */
	return c == CSV_CR;
}

static int is_end_of_line(unsigned char c)
{
	return c == CSV_LF;
}

static void *wiping_realloc(void *old, size_t old_size, size_t new_size)
{
	void *p = malloc(new_size);
	if (p == NULL)
		return NULL;
	if (old != NULL) {
		memcpy(p, old, old_size < new_size ? old_size : new_size);
		explicit_bzero(old, old_size);
		free(old);
	}
	return p;
}

static bool grow(void **array, size_t *cap, size_t want, size_t size)
{
	if (want <= *cap)
		return true;
	size_t cap_new = *cap ? *cap : 256;
	while (cap_new < want)
		cap_new *= 2;
	void *p = wiping_realloc(*array, *cap * size, cap_new * size);
	if (p == NULL)
		return false;
	*array = p;
	*cap = cap_new;
	return true;
}

static void on_field(void *data, size_t len, void *ctx)
{
	struct register_file *f = ctx;
	if (f->failed_alloc || !grow((void **)&f->bytes, &f->cap_bytes, f->n_bytes + len, 1) ||
	    !grow((void **)&f->spans, &f->cap_spans, f->n_spans + 1, sizeof *f->spans)) {
		f->failed_alloc = true;
		return;
	}
	if (len != 0)
		memcpy(f->bytes + f->n_bytes, data, len);
	for (const char *at = data, *end = at + len; at < end && (at = memchr(at, CSV_LF, (size_t)(end - at))) != NULL;
	     at++)
		f->breaks++;
	f->spans[f->n_spans++] = (struct span){f->n_bytes, len};
	f->n_bytes += len;
}

static void push_row(struct register_file *f, uint64_t number, uint64_t line, size_t first, size_t n)
{
	if (f->failed_alloc || !grow((void **)&f->rows, &f->cap_rows, f->n_rows + 1, sizeof *f->rows)) {
		f->failed_alloc = true;
		return;
	}
	f->rows[f->n_rows++] = (struct row){number, line, first, n};
}

/* Blank lines at the end of a file are nobody's mistake; elsewhere they are, and one row stands for the run of them. */
static void on_row(int c, void *ctx)
{
	struct register_file *f = ctx;
	size_t n = f->n_spans - f->row_start;
	(void)c;
	f->row_bytes = 0;
	f->row_open = false;
	if (n == 0) {
		if (f->blank_line == 0) {
			f->blank_number = f->number;
			f->blank_line = f->line;
		}
	} else {
		if (f->blank_line != 0)
			push_row(f, f->blank_number, f->blank_line, f->row_start, 0);
		f->blank_line = 0;
		push_row(f, f->number, f->line, f->row_start, n);
	}
	f->number++;
	f->line += 1 + f->breaks;
	f->breaks = 0;
	f->row_start = f->n_spans;
}

/* Forget the rows that were handed out; the beginning of the unfinished one moves to the front. */
static void compact(struct register_file *f)
{
	size_t n = f->n_spans - f->row_start, from = n ? f->spans[f->row_start].at : f->n_bytes;
	if (f->n_bytes > from)
		memmove(f->bytes, f->bytes + from, f->n_bytes - from);
	for (size_t i = 0; i < n; i++) {
		f->spans[i] = f->spans[f->row_start + i];
		f->spans[i].at -= from;
	}
	f->n_bytes -= from;
	f->n_spans = n;
	f->row_start = 0;
	f->n_rows = f->next_row = 0;
}

/* An error in the row being read. */
static enum rc row_error(const struct register_file *f, enum rc rc, const char *what, struct diag *diag)
{
	if (f->number == 0)
		return diag_set(diag, rc, "the header (line %llu): %s", (unsigned long long)f->line, what);
	return diag_set(diag, rc, "row %llu (line %llu): %s", (unsigned long long)f->number,
			(unsigned long long)f->line, what);
}

static enum rc finish(struct register_file *f, struct diag *diag)
{
	f->at_end = true;
	if (csv_fini(&f->parser, on_field, on_row, f) != 0)
		return row_error(f, RC_INVALID, "a quote is open at the end of the file", diag);
	return f->failed_alloc ? diag_set(diag, RC_NOMEM, "out of memory") : RC_OK;
}

/* A whole line (its line feed included) without quotes, and with a carriage return at most before the line feed: then
 * its fields are what stands between the commas. */
static bool is_plain(const uint8_t *line, size_t len)
{
	if (len < 3 || memchr(line, '"', len) != NULL)
		return false;
	const uint8_t *cr = memchr(line, CSV_CR, len);
	return cr == NULL || cr == line + len - 2;
}

static void plain_row(struct register_file *f, const uint8_t *line, size_t len)
{
	size_t at = f->n_bytes;
	len -= line[len - 2] == CSV_CR ? 2 : 1;
	if (!grow((void **)&f->bytes, &f->cap_bytes, f->n_bytes + len, 1)) {
		f->failed_alloc = true;
		return;
	}
	memcpy(f->bytes + at, line, len);
	f->n_bytes += len;
	for (const uint8_t *from = line, *end = line + len; from != NULL;) {
		const uint8_t *comma = memchr(from, CSV_COMMA, (size_t)(end - from));
		if (!grow((void **)&f->spans, &f->cap_spans, f->n_spans + 1, sizeof *f->spans)) {
			f->failed_alloc = true;
			return;
		}
		f->spans[f->n_spans++] =
			(struct span){at + (size_t)(from - line), (size_t)((comma != NULL ? comma : end) - from)};
		from = comma != NULL ? comma + 1 : NULL;
	}
	on_row(CSV_LF, f);
}

/* Most lines of a register have no quotes and need no parser; libcsv reads the others. False as csv_parse() fails. */
static bool parse_piece(struct register_file *f, const uint8_t *piece, size_t len)
{
	while (len > 0 && !f->failed_alloc) {
		const uint8_t *lf = memchr(piece, CSV_LF, len);
		size_t n = lf != NULL ? (size_t)(lf - piece) + 1 : len;
		if (!f->row_open && lf != NULL && is_plain(piece, n)) {
			plain_row(f, piece, n);
		} else {
			f->row_open = true;
			if (csv_parse(&f->parser, piece, n, on_field, on_row, f) != n)
				return false;
		}
		piece += n;
		len -= n;
	}
	return true;
}

/* Whether the first line outside of quotes ends with carriage returns that no line feed follows. */
static bool ends_lines_with_cr(const uint8_t *piece, size_t len)
{
	bool quoted = false, after_cr = false;
	for (size_t i = 0; i < len; i++) {
		if (!quoted && piece[i] == CSV_LF)
			return false;
		if (after_cr && piece[i] != CSV_CR)
			return true;
		if (piece[i] == '"')
			quoted = !quoted;
		after_cr = !quoted && piece[i] == CSV_CR;
	}
	return false;
}

/* What shows at once that a file is no CSV in UTF-8: how it begins, or how its first line ends. NULL = nothing does. */
static const char *beginning_problem(const uint8_t *piece, size_t len)
{
	const uint8_t *lf = memchr(piece, CSV_LF, len);
	size_t first_line = lf != NULL ? (size_t)(lf - piece) : len;
	if (len >= 4 && (memcmp(piece, "PK\3\4", 4) == 0 || memcmp(piece, "\xD0\xCF\x11\xE0", 4) == 0))
		return "is that of a workbook or an archive; save the sheet as CSV UTF-8";
	if (memchr(piece, 0, first_line) != NULL)
		return "holds NUL bytes, as UTF-16 does; save the file as CSV UTF-8";
	if (ends_lines_with_cr(piece, len))
		return "ends with a carriage return alone; save the file with line feeds (as CSV for Unix or Windows)";
	return NULL;
}

/* Read and parse one more piece. */
static enum rc fill(struct register_file *f, struct diag *diag)
{
	uint8_t piece[READ_BYTES];
	compact(f);
	size_t len = 0, from = 0;
	/* Whole pieces, whatever a pipe gives at a time, so that a byte order mark is never split. */
	for (ssize_t n = 1; n > 0 && len < sizeof piece; len += (size_t)n) {
		n = f->source.read(f->source.ctx, piece + len, sizeof piece - len);
		if (n < 0)
			return row_error(f, RC_IO, "reading failed here", diag);
	}
	if (len == 0)
		return finish(f, diag);
	if (f->number == 0 && f->n_spans == 0 && f->row_bytes == 0 && len >= 3 && memcmp(piece, "\xEF\xBB\xBF", 3) == 0)
		from = 3; /* a byte order mark, as spreadsheets write it */
	enum rc rc = RC_OK;
	const char *problem = f->number == 0 && f->row_bytes == 0 ? beginning_problem(piece, len) : NULL;
	if (problem != NULL) {
		explicit_bzero(piece, sizeof piece);
		return row_error(f, RC_INVALID, problem, diag);
	}
	f->row_bytes += len - from;
	if (!parse_piece(f, piece + from, len - from))
		rc = csv_error(&f->parser) == CSV_EPARSE ? row_error(f, RC_INVALID, QUOTE_RULE, diag)
							 : diag_set(diag, RC_NOMEM, "out of memory");
	else if (f->failed_alloc)
		rc = diag_set(diag, RC_NOMEM, "out of memory");
	else if (f->row_bytes > REGISTER_MAX_ROW_BYTES)
		rc = row_error(f, RC_TOO_LARGE, "longer than 1 MiB; is a quote left open?", diag);
	explicit_bzero(piece, sizeof piece);
	return rc;
}

static const char *field_problem(const uint8_t *bytes, size_t len)
{
	if (len != 0 && memchr(bytes, 0, len) != NULL)
		return "holds a NUL byte";
	if (!text_is_utf8((const char *)bytes, len))
		return "is not UTF-8";
	return NULL;
}

/* Fill view and `ret` from a row. */
static enum rc show(struct register_file *f, const struct row *row, struct register_row *ret)
{
	*ret = (struct register_row){
		.number = row->number, .line = row->line, .n_fields = row->n, .problem_column = -1};
	if (!grow((void **)&f->view, &f->cap_view, row->n, sizeof *f->view))
		return RC_NOMEM;
	/* Fields lie one after another: where all of the row is in order, so is each of them. */
	const struct span *first = &f->spans[row->first], *last = &f->spans[row->first + row->n - (row->n > 0)];
	bool fine = row->n > 0 && f->bytes != NULL &&
		    field_problem(f->bytes + first->at, last->at + last->len - first->at) == NULL;
	for (size_t i = 0; i < row->n; i++) {
		const struct span *s = &f->spans[row->first + i];
		const uint8_t *bytes = f->bytes != NULL ? f->bytes + s->at : (const uint8_t *)"";
		f->view[i] = (struct encode_value){(const char *)bytes, s->len};
		const char *problem = !fine && ret->problem == NULL ? field_problem(bytes, s->len) : NULL;
		if (problem != NULL) {
			ret->problem = problem;
			ret->problem_column = (int)i;
		}
	}
	ret->fields = f->view;
	return RC_OK;
}

static enum rc next_row(struct register_file *f, struct register_row *ret, bool *ret_more, struct diag *diag)
{
	while (f->next_row == f->n_rows) {
		if (f->at_end) {
			*ret_more = false;
			return RC_OK;
		}
		enum rc rc = fill(f, diag);
		if (rc != RC_OK)
			return rc;
	}
	enum rc rc = show(f, &f->rows[f->next_row], ret);
	if (rc != RC_OK)
		return diag_set(diag, rc, "out of memory");
	f->next_row++;
	*ret_more = true;
	return RC_OK;
}

/* Rows that end with carriage returns alone, after a header that does not, come as one with very many fields. */
static const char *too_many_fields(const struct register_row *row)
{
	for (size_t i = 0; i < row->n_fields; i++) {
		if (row->fields[i].len > 0 && memchr(row->fields[i].bytes, CSV_CR, row->fields[i].len) != NULL)
			return "has more fields than the header, and carriage returns; save the file with line feeds";
	}
	return "has more fields than the header";
}

enum rc register_next(struct register_file *f, struct register_row *ret, bool *ret_more, struct diag *diag)
{
	enum rc rc = next_row(f, ret, ret_more, diag);
	if (rc != RC_OK || !*ret_more)
		return rc;
	if (ret->n_fields == 0)
		ret->problem = "is blank";
	else if (ret->n_fields < f->n_columns)
		ret->problem = "has fewer fields than the header";
	else if (ret->n_fields > f->n_columns)
		ret->problem = too_many_fields(ret);
	else
		return RC_OK;
	ret->problem_column = -1;
	return RC_OK;
}

static enum rc keep_header(struct register_file *f, const struct register_row *row, struct diag *diag)
{
	if (row->problem != NULL)
		return diag_set(diag, RC_INVALID, "the header (line 1): field %d %s; save the file as CSV UTF-8",
				row->problem_column + 1, row->problem);
	if (row->n_fields > REGISTER_MAX_COLUMNS)
		return diag_set(diag, RC_TOO_LARGE, "the header (line 1): has more than %d columns",
				REGISTER_MAX_COLUMNS);
	f->names = calloc(row->n_fields, sizeof *f->names);
	if (f->names == NULL)
		return diag_set(diag, RC_NOMEM, "out of memory");
	f->n_columns = row->n_fields;
	for (size_t i = 0; i < row->n_fields; i++) {
		f->names[i] = strndup(row->fields[i].bytes, row->fields[i].len);
		if (f->names[i] == NULL)
			return diag_set(diag, RC_NOMEM, "out of memory");
	}
	return RC_OK;
}

enum rc register_open(const struct register_source *source, struct register_file **ret, struct diag *diag)
{
	struct register_file *f = calloc(1, sizeof *f);
	if (f == NULL || csv_init(&f->parser, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL) != 0) {
		free(f);
		return diag_set(diag, RC_NOMEM, "out of memory");
	}
	csv_set_space_func(&f->parser, is_space);
	csv_set_term_func(&f->parser, is_end_of_line);
	f->source = *source;
	f->line = 1;
	struct register_row row;
	bool more = false;
	enum rc rc = next_row(f, &row, &more, diag);
	if (rc == RC_OK && !more)
		rc = diag_set(diag, RC_INVALID, "the file is empty: a header line with column names is needed");
	if (rc == RC_OK && row.n_fields == 0)
		rc = diag_set(diag, RC_INVALID,
			      "the header (line 1): is blank, where a line with column names is needed");
	if (rc == RC_OK)
		rc = keep_header(f, &row, diag);
	if (rc != RC_OK) {
		register_close(f);
		return rc;
	}
	*ret = f;
	return RC_OK;
}

void register_close(struct register_file *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->n_columns; i++)
		free(f->names[i]);
	free(f->names);
	if (f->bytes != NULL)
		explicit_bzero(f->bytes, f->cap_bytes);
	free(f->bytes);
	free(f->spans);
	free(f->rows);
	free(f->view);
	if (f->parser.entry_buf != NULL)
		explicit_bzero(f->parser.entry_buf, f->parser.entry_size);
	csv_free(&f->parser);
	free(f);
}

int register_column(const struct register_file *f, const char *name, unsigned nth)
{
	for (size_t i = 0; i < f->n_columns; i++) {
		if (strcmp(f->names[i], name) == 0 && nth-- == 0)
			return (int)i;
	}
	return -1;
}

const char *register_column_name(const struct register_file *f, int column)
{
	return column >= 0 && (size_t)column < f->n_columns ? f->names[column] : "";
}

size_t register_n_columns(const struct register_file *f)
{
	return f->n_columns;
}

/* Whether a column has this name but for white space around it and the case of ASCII letters. */
static bool is_nearly(const char *column, const char *name)
{
	size_t len = strlen(name);
	column += strspn(column, " \t");
	return strncasecmp(column, name, len) == 0 && column[len + strspn(column + len, " \t")] == '\0';
}

const char *register_hint(const struct register_file *f, const char *name)
{
	if (f->n_columns == 1 && strchr(f->names[0], ';') != NULL)
		return "; the file seems to be separated by semicolons, commas are needed";
	if (f->n_columns == 1 && strchr(f->names[0], '\t') != NULL)
		return "; the file seems to be separated by tabs, commas are needed";
	for (size_t i = 0; i < f->n_columns; i++) {
		if (is_nearly(f->names[i], name))
			return "; there is one that differs in case or spaces, and names are taken exactly";
	}
	return "";
}
