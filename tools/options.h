/* Options of a command, from one table: parsing, defaults from the environment, and the --help text cannot disagree.
 *
 *	static const struct option_row rows[] = {
 *		{"url", 'u', OPTION_TEXT, &url, .argument = "URL", .env = "THROUGHCARE_URL", .required = true,
 *		 .help = "address of the linkage unit"},
 *		{"gzip", 0, OPTION_FLAG, &gzip, .help = "compress what is sent"},
 *	};
 *	static const struct option_table table = {
 *		.command = "throughcare push", .usage = "[OPTION]... OUT.batch...", .about = "Send batches …",
 *		.example = "throughcare push --url … prison.batch", OPTION_ROWS(rows), .min_operands = 1, …};
 */
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

enum option_kind {
	OPTION_FLAG,   /* value is a bool *, set to true */
	OPTION_TEXT,   /* value is a const char **, borrows argv or the environment */
	OPTION_NUMBER, /* value is a uint64_t *, checked against min … max */
	OPTION_LIST,   /* value is a struct option_list *; may be given several times */
};

enum { OPTION_LIST_MAX = 16, OPTION_MAX_ROWS = 32 };

struct option_list {
	const char *item[OPTION_LIST_MAX];
	size_t n;
};

struct option_row {
	const char *name; /* long name, without the dashes */
	char letter;      /* 0 = none */
	enum option_kind kind;
	void *value;          /* holds the default before parsing */
	uint64_t min, max;    /* OPTION_NUMBER */
	const char *argument; /* what --help calls it; NULL for flags */
	const char *env;      /* environment variable to take the value from when not given (text), or NULL */
	const char *bare;     /* text: the value where none follows, but an option or the end; NULL = one is needed */
	bool required;
	const char *help;
};

struct option_table {
	const char *command; /* "throughcare push" */
	const char *usage;   /* what follows the command: "[OPTION]... OUT.batch..." */
	const char *about;   /* one or more lines, no newline at the end */
	const char *example; /* one or more lines, no newline at the end */
	const struct option_row *rows;
	size_t n_rows;                     /* ≤ OPTION_MAX_ROWS */
	size_t min_operands, max_operands; /* max 0 = none allowed, SIZE_MAX = any */
};

#define OPTION_ROWS(array) .rows = (array), .n_rows = sizeof(array) / sizeof((array)[0])

/* Parse argv[1 …]; options and operands may be mixed ("--" ends options). On RC_OK operands are argv[*ret_operands …
 * argc-1] (argv is permuted, as getopt_long does). With --help the help goes to standard output and *ret_help is true:
 * end with status 0. Errors, already printed to standard error with a hint at --help: USAGE. */
enum rc options_parse(const struct option_table *table, int argc, char **argv, int *ret_operands,
		      bool *ret_help) MUST_CHECK;

/* The help text, on standard output. */
void options_help(const struct option_table *table);

#endif
