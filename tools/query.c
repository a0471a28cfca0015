/* throughcare query: print a released table, or list the tables. */
#include <stdio.h>
#include <string.h>

#include "proto/json.h"
#include "proto/study.h"
#include "tools/command.h"
#include "tools/https.h"
#include "tools/options.h"
#include "tools/output_file.h"
#include "tools/query_plot.h"
#include "tools/query_table.h"

struct query {
	struct https_options https_options;
	const char *table, *period, *format, *compare, *svg;
	struct option_list by;
	bool total, plot;
	uint64_t release;
	struct query_view view;
	struct https *https;
	struct diag diag;
};

static bool is_name(const char *text)
{
	size_t len = strlen(text);
	return len > 0 && len < STUDY_NAME_CAP && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

/* Names and periods hold nothing that a URL would have to escape, so what does is a mistake. */
static enum rc check_names(struct query *q)
{
	static const char *const formats[] = {"table", "csv", "json"};
	bool known = false;

	for (size_t i = 0; i < 3; i++)
		known |= strcmp(q->format, formats[i]) == 0;
	if (!known)
		return diag_set(&q->diag, RC_USAGE, "--format: expected table, csv or json");
	if (q->table != NULL && !is_name(q->table))
		return diag_set(&q->diag, RC_USAGE, "TABLE: expected the name of a table; without one they are listed");
	for (size_t i = 0; i < q->by.n; i++) {
		if (!is_name(q->by.item[i]))
			return diag_set(&q->diag, RC_USAGE, "--by: expected the name of a dimension");
	}
	if (q->total && q->by.n > 0)
		return diag_set(&q->diag, RC_USAGE,
				"--total sums over all dimensions, so --by cannot be given with it");
	if (q->period != NULL &&
	    (strlen(q->period) >= PERIOD_TEXT_LEN || q->period[strspn(q->period, "0123456789Qal-")] != '\0'))
		return diag_set(&q->diag, RC_USAGE, "--period: expected a period such as 2024-Q1, 2024 or all");
	if (q->compare != NULL && (strchr(q->compare, ':') == NULL || strpbrk(q->compare, "&%#?/ ") != NULL))
		return diag_set(&q->diag, RC_USAGE, "--compare: expected DIM:CODE, such as intervention:none");
	if ((q->plot || q->svg != NULL) && (q->table == NULL || strcmp(q->format, "table") != 0))
		return diag_set(&q->diag, RC_USAGE, "--plot and --svg need a TABLE and no other --format");
	if (q->table == NULL && (q->by.n > 0 || q->total || q->period != NULL || q->release != 0 || q->compare != NULL))
		return diag_set(&q->diag, RC_USAGE, "TABLE is needed with these options");
	if (q->table == NULL && strcmp(q->format, "csv") == 0)
		return diag_set(&q->diag, RC_USAGE, "the list of tables has no CSV form");
	return RC_OK;
}

static void make_path(const struct query *q, struct buffer *out)
{
	char separator = '?';

	buffer_printf(out, "/v1/tables");
	if (q->table != NULL)
		buffer_printf(out, "/%s", q->table);
	if (q->total || q->by.n > 0) {
		buffer_printf(out, "%cby=", separator);
		separator = '&';
	}
	for (size_t i = 0; i < q->by.n; i++)
		buffer_printf(out, "%s%s", i > 0 ? "," : "", q->by.item[i]);
	if (q->period != NULL) {
		buffer_printf(out, "%cperiod=%s", separator, q->period);
		separator = '&';
	}
	if (q->release != 0) {
		buffer_printf(out, "%crelease=%llu", separator, (unsigned long long)q->release);
		separator = '&';
	}
	if (q->compare != NULL)
		buffer_printf(out, "%ccompare=%s", separator, q->compare);
	buffer_append(out, "", 1);
}

static enum rc write_svg(struct query *q, const json_t *answer)
{
	struct output_file *file = NULL;
	struct buffer svg;

	buffer_init(&svg);
	enum rc rc = query_svg_format(answer, &q->view, &svg, &q->diag);
	if (rc == RC_OK)
		rc = output_file_open(q->svg, &file, &q->diag);
	if (rc == RC_OK)
		rc = output_file_write(file, svg.data, svg.len, &q->diag);
	if (rc == RC_OK)
		rc = output_file_commit(file, &q->diag);
	output_file_close(file);
	buffer_deinit(&svg);
	return rc;
}

static enum rc print_answer(struct query *q, const struct buffer *body)
{
	json_t *answer = NULL;
	struct buffer text;

	if (strcmp(q->format, "table") != 0) {
		fwrite(body->data, 1, body->len, stdout);
		if (body->len > 0 && body->data[body->len - 1] != '\n')
			putchar('\n');
		return RC_OK;
	}
	if (json_parse_strict((const char *)body->data, body->len, &answer, NULL) != RC_OK)
		return diag_set(&q->diag, RC_PROTOCOL, "the answer is not JSON");
	buffer_init(&text);
	enum rc rc = q->table == NULL ? query_list_format(answer, &text, &q->diag)
		     : q->plot        ? query_plot_format(answer, &q->view, &text, &q->diag)
		     : q->svg != NULL ? write_svg(q, answer)
				      : query_table_format(answer, &q->view, &text, &q->diag);
	if (rc == RC_OK && text.len > 0) /* an SVG went to its file */
		fwrite(text.data, 1, text.len, stdout);
	buffer_deinit(&text);
	json_decref(answer);
	return rc;
}

static enum rc ask(struct query *q)
{
	struct https_response response;
	struct buffer path;

	enum rc rc = check_names(q);
	if (rc == RC_OK)
		rc = https_open(&q->https_options, &q->https, &q->diag);
	if (rc != RC_OK)
		return rc;
	buffer_init(&path);
	make_path(q, &path);
	const struct https_request request = {
		.method = "GET",
		.path = (const char *)path.data,
		.accept = strcmp(q->format, "csv") == 0 ? "text/csv" : "application/json",
	};
	rc = path.failed ? RC_NOMEM : https_send(q->https, &request, &response, &q->diag);
	if (rc == RC_OK) {
		rc = https_check(&response, &q->diag);
		if (rc == RC_OK)
			rc = print_answer(q, &response.body);
		https_response_deinit(&response);
	}
	buffer_deinit(&path);
	if (rc == RC_OK && fflush(stdout) != 0)
		rc = diag_set(&q->diag, RC_IO, "the answer cannot be written");
	return rc;
}

int cmd_query(int argc, char **argv)
{
	struct query q = {.format = "table"};
	const struct option_row rows[] = {
		HTTPS_OPTION_ROWS(q.https_options),
		{.name = "by",
		 .letter = 'b',
		 .kind = OPTION_LIST,
		 .value = &q.by,
		 .argument = "DIM",
		 .help = "keep this dimension, sum over those not named; may be repeated (all)"},
		{.name = "total", .kind = OPTION_FLAG, .value = &q.total, .help = "sum over all dimensions"},
		{.name = "period",
		 .letter = 'p',
		 .kind = OPTION_TEXT,
		 .value = &q.period,
		 .argument = "PERIOD",
		 .help = "one period only, such as 2024-Q1 (all)"},
		{.name = "release",
		 .letter = 'n',
		 .kind = OPTION_NUMBER,
		 .value = &q.release,
		 .min = 1,
		 .max = 999999999,
		 .argument = "N",
		 .help = "an earlier release (the latest)"},
		{.name = "within",
		 .kind = OPTION_NUMBER,
		 .value = &q.view.within_days,
		 .min = 1,
		 .max = 3660,
		 .argument = "DAYS",
		 .help = "which band's rate the text shows (21, else the last)"},
		{.name = "drug-related",
		 .kind = OPTION_FLAG,
		 .value = &q.view.drug_related,
		 .help = "mortality: the text shows drug-related deaths only"},
		{.name = "compare",
		 .letter = 'c',
		 .kind = OPTION_TEXT,
		 .value = &q.compare,
		 .argument = "DIM:CODE",
		 .help = "risk difference and ratio of each code of the dimension against this one"},
		{.name = "plot",
		 .kind = OPTION_FLAG,
		 .value = &q.plot,
		 .help = "draw the cumulative incidence in place of the table"},
		{.name = "svg",
		 .kind = OPTION_TEXT,
		 .value = &q.svg,
		 .argument = "FILE",
		 .help = "write the same chart, with intervals, to an SVG file"},
		{.name = "format",
		 .letter = 'f',
		 .kind = OPTION_TEXT,
		 .value = &q.format,
		 .argument = "FORMAT",
		 .help = "table, csv or json (JSON-stat 2.0) (table)"},
	};
	const struct option_table table = {
		.command = "throughcare query",
		.usage = "[OPTION]... [TABLE]",
		.about = "Print a published table; without TABLE, list the tables.",
		.example = "throughcare query continuity_by_intervention --period 2024-Q1 \\\n"
			   "  --url https://linkage.example:8443 --cert analyst/client.crt \\\n"
			   "  --key analyst/client.key --ca ca/ca.crt",
		OPTION_ROWS(rows),
		.max_operands = 1,
	};
	int first;
	bool help;

	enum rc rc = options_parse(&table, argc, argv, &first, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	q.table = first < argc ? argv[first] : NULL;
	rc = ask(&q);
	https_close(q.https);
	return rc == RC_OK ? 0 : https_fail(table.command, rc, &q.diag);
}
