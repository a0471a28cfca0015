/* A register as CSV (RFC 4180: comma, double quotes, a header line, UTF-8), read row by row in constant memory.
 *
 * What is wrong with the file as a whole (no header, an open quote, a line that never ends) is an error; what is wrong
 * with one row is handed over with the row, so that the caller may stop or set the row aside. Messages name row, column
 * and rule, and never show what the file holds, not even a header that is not known: a file without a header line has a
 * person in its first line. Row 1 is the first after the header; the line is where it begins in the file, as an editor
 * shows it (the header is line 1, and a quoted field may span several). */
#ifndef TOOLS_ENCODE_REGISTER_H
#define TOOLS_ENCODE_REGISTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/rc.h"
#include "tools/encode/encoder.h"

enum {
	REGISTER_MAX_ROW_BYTES = 1 << 20,
	REGISTER_MAX_COLUMNS = 4096,
};

/* Where the bytes come from; no I/O happens here. Like read(2): bytes read, 0 at the end, -1 on failure. */
struct register_source {
	ssize_t (*read)(void *ctx, void *buffer, size_t cap);
	void *ctx;
};

struct register_row {
	uint64_t number; /* 1 is the first after the header */
	uint64_t line;   /* in the file, from 1 */
	size_t n_fields;
	const struct encode_value *fields; /* borrowed until the next call; one after another in memory */
	const char *problem;               /* what is wrong with the row as such; NULL = nothing; constant text */
	int problem_column;                /* its place, or -1 */
};

struct register_file;
/* Read the header. Errors: INVALID (empty, not UTF-8, a broken header), IO, NOMEM, TOO_LARGE. */
enum rc register_open(const struct register_source *source, struct register_file **ret, struct diag *diag) MUST_CHECK;
void register_close(struct register_file *file); /* wipes */

/* Place of the nth (from 0) column of that name, -1 when there is none. */
int register_column(const struct register_file *file, const char *name, unsigned nth);
/* Name of a column, borrowed. Show it only when the columns that are needed were found: else it may be a person's data.
 */
const char *register_column_name(const struct register_file *file, int column);
size_t register_n_columns(const struct register_file *file);
/* What probably went wrong when the column of that name is not found, as a sentence part, or "". */
const char *register_hint(const struct register_file *file, const char *name);

/* The next row; *ret_more is false at the end. Errors: INVALID (quotes), TOO_LARGE (row), IO, NOMEM. */
enum rc register_next(struct register_file *file, struct register_row *ret, bool *ret_more,
		      struct diag *diag) MUST_CHECK;

#endif
