/* One table-driven wrapper around getopt_long, so that every command treats its options, its --help and its mistakes
 * alike. Messages name the option and what was expected; values are never repeated, since one may be a path to a
 * secret or a mistyped identifier. */
#include "tools/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_ONLY = 256, HELP_KEY = 1024 };

static enum rc refuse(const struct option_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

static enum rc refuse(const struct option_table *table, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", table->command);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n'%s --help' shows options and an example.\n", table->command);
	return RC_USAGE;
}

static void help_row(char letter, const char *name, const char *argument)
{
	char left[64];
	int n = letter ? snprintf(left, sizeof left, "-%c, --%s", letter, name)
		       : snprintf(left, sizeof left, "    --%s", name);
	if (argument != NULL && n > 0 && (size_t)n < sizeof left)
		snprintf(left + n, sizeof left - (size_t)n, " %s", argument);
	printf("  %-26s ", left);
	if (strlen(left) > 26)
		printf("\n  %-26s ", "");
}

void options_help(const struct option_table *table)
{
	printf("usage: %s %s\n\n%s\n\noptions:\n", table->command, table->usage, table->about);
	for (size_t i = 0; i < table->n_rows; i++) {
		const struct option_row *row = &table->rows[i];
		help_row(row->letter, row->name, row->argument);
		printf("%s", row->help);
		if (row->env != NULL)
			printf(" [or %s]", row->env);
		printf("%s\n", row->required ? " (needed)" : "");
	}
	help_row('h', "help", NULL);
	printf("show this text\n\nexample:\n");
	for (const char *line = table->example; line != NULL && *line != '\0';) {
		size_t n = strcspn(line, "\n");
		printf("  %.*s\n", (int)n, line);
		line += n + (line[n] == '\n');
	}
}

static enum rc take_number(const struct option_table *table, const struct option_row *row, const char *text)
{
	char *end;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || v < row->min || v > row->max)
		return refuse(table, "--%s: expected a whole number from %llu to %llu", row->name,
			      (unsigned long long)row->min, (unsigned long long)row->max);
	*(uint64_t *)row->value = v;
	return RC_OK;
}

static enum rc take(const struct option_table *table, const struct option_row *row, const char *text)
{
	switch (row->kind) {
	case OPTION_FLAG:
		*(bool *)row->value = true;
		return RC_OK;
	case OPTION_TEXT:
		if (text[0] == '\0')
			return refuse(table, "--%s: expected %s, got nothing", row->name,
				      row->argument != NULL ? row->argument : "a value");
		*(const char **)row->value = text;
		return RC_OK;
	case OPTION_NUMBER:
		return take_number(table, row, text);
	case OPTION_LIST: {
		struct option_list *list = row->value;
		if (list->n == OPTION_LIST_MAX)
			return refuse(table, "--%s: given more than %d times", row->name, OPTION_LIST_MAX);
		list->item[list->n++] = text;
		return RC_OK;
	}
	}
	return RC_INTERNAL;
}

/* What getopt_long needs, derived from the table. */
struct getopt_form {
	struct option long_options[OPTION_MAX_ROWS + 2];
	char letters[2 * OPTION_MAX_ROWS + 3];
};

static void make_getopt_form(const struct option_table *table, struct getopt_form *form)
{
	size_t n = 0;

	memset(form, 0, sizeof *form);
	form->letters[n++] = ':'; /* tell a missing argument from an unknown option */
	for (size_t i = 0; i < table->n_rows; i++) {
		const struct option_row *row = &table->rows[i];
		int has_arg = row->kind == OPTION_FLAG ? no_argument
			      : row->bare != NULL      ? optional_argument
						       : required_argument;
		form->long_options[i] = (struct option){row->name, has_arg, NULL, LONG_ONLY + (int)i};
		if (row->letter) {
			form->letters[n++] = row->letter;
			if (has_arg != no_argument)
				form->letters[n++] = ':';
		}
	}
	form->long_options[table->n_rows] = (struct option){"help", no_argument, NULL, HELP_KEY};
	form->letters[n] = 'h';
}

static const struct option_row *find_row(const struct option_table *table, int key)
{
	for (size_t i = 0; i < table->n_rows; i++) {
		if (key == LONG_ONLY + (int)i || (table->rows[i].letter && key == table->rows[i].letter))
			return &table->rows[i];
	}
	return NULL;
}

static enum rc fill_missing(const struct option_table *table, const bool *given)
{
	for (size_t i = 0; i < table->n_rows; i++) {
		const struct option_row *row = &table->rows[i];
		if (given[i])
			continue;
		const char *text = row->env != NULL ? getenv(row->env) : NULL;
		if (text != NULL && text[0] != '\0') {
			enum rc rc = take(table, row, text);
			if (rc != RC_OK)
				return rc;
		} else if (row->required) {
			return row->env != NULL
				       ? refuse(table, "--%s is needed (or %s in the environment)", row->name, row->env)
				       : refuse(table, "--%s is needed", row->name);
		}
	}
	return RC_OK;
}

/* What getopt_long does not take: a missing value (':'), an unknown option, or a value for a flag. A letter may stand
 * in a cluster, so it is named alone; of a long option only what is before '='. */
static enum rc refuse_option(const struct option_table *table, int key, const char *text)
{
	const struct option_row *row = find_row(table, optopt);
	int len = (int)strcspn(text, "=");

	if (optopt > 0 && optopt < LONG_ONLY)
		return refuse(table, key == ':' ? "-%c needs a value" : "there is no option '-%c'", optopt);
	if (key == ':')
		return refuse(table, "%.*s needs a value", len, text);
	if (row != NULL || optopt == HELP_KEY)
		return refuse(table, "%.*s takes no value", len, text);
	return refuse(table, "there is no option '%.*s'", len, text);
}

/* The value of an option that may stand without: what follows, unless that is an option. */
static const char *value_or_bare(const struct option_row *row, int argc, char **argv)
{
	if (optarg != NULL || row->bare == NULL)
		return optarg;
	if (optind < argc && (argv[optind][0] != '-' || argv[optind][1] == '\0'))
		return argv[optind++];
	return row->bare;
}

enum rc options_parse(const struct option_table *table, int argc, char **argv, int *ret_operands, bool *ret_help)
{
	struct getopt_form form;
	bool given[OPTION_MAX_ROWS] = {false};
	int key;

	if (table->n_rows > OPTION_MAX_ROWS)
		return RC_INTERNAL;
	make_getopt_form(table, &form);
	optind = 0; /* GNU: start over; a command may parse twice, for a subcommand */
	opterr = 0;
	while ((key = getopt_long(argc, argv, form.letters, form.long_options, NULL)) != -1) {
		if (key == 'h' || key == HELP_KEY) {
			options_help(table);
			*ret_help = true;
			*ret_operands = argc;
			return RC_OK;
		}
		const struct option_row *row = find_row(table, key);
		if (row == NULL)
			return refuse_option(table, key, argv[optind - 1]);
		enum rc rc = take(table, row, value_or_bare(row, argc, argv));
		if (rc != RC_OK)
			return rc;
		given[row - table->rows] = true;
	}
	size_t n_operands = (size_t)(argc - optind);
	if (n_operands < table->min_operands)
		return refuse(table, "too few arguments; usage: %s %s", table->command, table->usage);
	if (n_operands > table->max_operands)
		return refuse(table, "too many arguments; usage: %s %s", table->command, table->usage);
	enum rc rc = fill_missing(table, given);
	if (rc != RC_OK)
		return rc;
	*ret_operands = optind;
	*ret_help = false;
	return RC_OK;
}
