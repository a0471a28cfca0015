/* The report as text and as HTML: one list of headings, notes and bars, and two ways to print it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/bytes.h"
#include "tools/encode_report.h"
#include "tools/output_file.h"
#include "tools/progress.h"

#define FEW_NAMES_SHARE 0.10 /* of one name or place in a field */
#define FEW_DATES_SHARE 0.01
#define FILL_LOW 0.02
#define FILL_HIGH 0.50

enum { CELL_CAP = 48, LINE_CAP = 512 };

struct page {
	struct buffer *out;
	bool html;
	uint64_t threshold;
};

static void put(struct page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct page *p, const char *format, ...)
{
	char line[2 * LINE_CAP];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	buffer_append(p->out, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
}

/* Names come from schema and study; in HTML their angle brackets must not become tags. */
static const char *safe(const struct page *p, const char *text, char out[LINE_CAP])
{
	size_t n = 0;
	for (; *text != '\0' && n + 7 < LINE_CAP; text++) {
		const char *as = *text == '<'   ? "&lt;"
				 : *text == '>' ? "&gt;"
				 : *text == '&' ? "&amp;"
				 : *text == '"' ? "&quot;"
						: NULL;
		if (p->html && as != NULL)
			n += (size_t)snprintf(out + n, LINE_CAP - n, "%s", as);
		else
			out[n++] = *text;
	}
	out[n] = '\0';
	return out;
}

/* A count and its share; small ones only as small. */
static const char *cell(const struct page *p, uint64_t n, uint64_t of, char out[CELL_CAP])
{
	char count[COUNT_TEXT_CAP];
	if (n == 0)
		snprintf(out, CELL_CAP, "0");
	else if (n < p->threshold)
		snprintf(out, CELL_CAP, "%s%llu", p->html ? "&lt;" : "<", (unsigned long long)p->threshold);
	else
		snprintf(out, CELL_CAP, "%s (%.1f %%)", count_text(n, count),
			 of > 0 ? 100.0 * (double)n / (double)of : 0.0);
	return out;
}

static void heading(struct page *p, const char *text)
{
	if (p->html)
		put(p, "<h2>%s</h2>\n", text);
	else
		put(p, "\n%s\n", text);
}

static void note(struct page *p, const char *text)
{
	put(p, p->html ? "<p>%s</p>\n" : "  %s\n", text);
}

/* A line of a table with a bar for its share. What is suppressed has no bar. */
static void bar(struct page *p, const char *name, uint64_t n, uint64_t of)
{
	char label[LINE_CAP], value[CELL_CAP];
	double share = of > 0 && n >= p->threshold ? (double)n / (double)of : 0;
	safe(p, name, label);
	cell(p, n, of, value);
	if (!p->html) {
		put(p, "  %-32s %20s\n", label, value);
		return;
	}
	put(p,
	    "<div class=row><span class=name>%s</span><svg width=300 height=14 role=img aria-label=\"%.1f percent\">"
	    "<rect width=300 height=14 fill=\"#eee\"/><rect width=%.1f height=14 "
	    "fill=\"#36c\"/></svg><span>%s</span></div>\n",
	    label, 100 * share, 300 * share, value);
}

static void rows_part(struct page *p, const struct encode_report *r, const struct report_summary *s)
{
	heading(p, "Rows");
	bar(p, "rows", s->rows, s->rows);
	/* With the rows it would give away a small number of those set aside. */
	if (s->refused == 0 || s->refused >= p->threshold)
		bar(p, "encoded", r->records, s->rows);
	bar(p, "set aside", s->refused, s->rows);
	if (r->n_refusals > 0)
		heading(p, "Impossible values: rows set aside, by column and rule");
	for (size_t i = 0; i < r->n_refusals; i++) {
		char line[LINE_CAP];
		const char *column = r->refusals[i].column;
		snprintf(line, sizeof line, "%.63s%s%.320s", column, column[0] != '\0' ? ": " : "",
			 r->refusals[i].rule);
		bar(p, line, r->refusals[i].n, s->rows);
	}
	if (r->refusals_beyond > 0)
		bar(p, "other rules", r->refusals_beyond, s->rows);
}

static void fields_part(struct page *p, const struct encode_report *r)
{
	static const char *const oddities[N_ODDITIES] = {"digits in a name", "one letter alone",
							 "a word for 'not known'", "1 January",
							 "an age below 12 or above 100 at the event"};
	const struct schema *schema = r->study->domains[r->domain].schema;
	heading(p, "Missing, by field");
	for (uint16_t f = 0; f < schema->n_features; f++) {
		if (r->fields[f].column >= 0)
			bar(p, schema->features[f].identifier, r->fields[f].missing, r->records);
	}
	heading(p, "Suspicious values, by field");
	for (uint16_t f = 0; f < schema->n_features; f++) {
		for (int o = 0; o < N_ODDITIES; o++) {
			char line[LINE_CAP];
			/* One birthday in 365 is that day: three times as many are a habit of clerks. */
			bool few = o == ODD_FIRST_OF_JANUARY && r->fields[f].odd[o] * 365 <= 3 * r->fields[f].present;
			if (r->fields[f].odd[o] == 0 || few)
				continue;
			snprintf(line, sizeof line, "%.200s: %s", schema->features[f].identifier, oddities[o]);
			bar(p, line, r->fields[f].odd[o], r->records);
		}
	}
	heading(p, "Values shared by too many");
	note(p, "A name or place in more than 10 % of the records that have one, or a date in more than 1 %, "
		"may stand for 'not known'; counted from below.");
	for (uint16_t f = 0; f < schema->n_features; f++) {
		char line[LINE_CAP];
		double share, limit = encode_report_is_date(r, f) ? FEW_DATES_SHARE : FEW_NAMES_SHARE;
		unsigned n = r->fields[f].column >= 0 ? encode_report_common(&r->fields[f], limit, &share) : 0;
		if (n == 0)
			continue;
		snprintf(line, sizeof line, "%.200s: %u value%s", schema->features[f].identifier, n, n > 1 ? "s" : "");
		bar(p, line, (uint64_t)(share * (double)r->fields[f].present), r->fields[f].present);
	}
}

static void histogram(struct page *p, const struct report_filter *f)
{
	uint64_t highest = 1;
	for (int i = 0; i < REPORT_FILL_BINS; i++)
		highest = f->bins[i] > highest ? f->bins[i] : highest;
	put(p, "<svg width=300 height=70 role=img aria-label=\"share of bits that are set\">");
	for (int i = 0; i < REPORT_FILL_BINS; i++) {
		uint64_t n = f->bins[i] < p->threshold ? 0 : f->bins[i];
		double height = 60.0 * (double)n / (double)highest;
		put(p, "<rect x=%d y=%.1f width=14 height=%.1f fill=\"#36c\"/>", 15 * i, 60 - height, height);
	}
	put(p, "<path d=\"M0 60H300M%.0f 0V60M%.0f 0V60\" stroke=\"#c33\" fill=none /></svg>\n", 300 * FILL_LOW,
	    300 * FILL_HIGH);
}

static void filters_part(struct page *p, const struct encode_report *r)
{
	const struct study_domain *d = &r->study->domains[r->domain];
	heading(p, "Fill of the filters");
	note(p, "Share of bits set. Above 50 % filters of different people look alike; below 2 % there is too little "
		"in one to "
		"compare. (Diffused or balanced filters are half full by design.)");
	for (uint8_t f = 0; f < d->n_filters; f++) {
		const struct report_filter *filter = &r->filters[f];
		double mean = filter->n > 0 ? (double)filter->bits / (double)filter->n / d->filters[f].bits : 0;
		bool by_design = d->filters[f].diffusion > 0 || d->filters[f].balanced;
		bool bad = filter->n >= p->threshold && !by_design && (mean > FILL_HIGH || mean < FILL_LOW);
		put(p, "%s%s: %.1f %% on average%s%s\n", p->html ? "<h3>" : "  ", d->filters[f].name, 100 * mean,
		    bad ? ", OUT OF LIMITS" : "", p->html ? "</h3>" : "");
		if (p->html)
			histogram(p, filter);
	}
}

static void links_part(struct page *p, const struct encode_report *r)
{
	const struct study_domain *d = &r->study->domains[r->domain];
	struct report_links links;
	char line[LINE_CAP];
	heading(p, "Possible duplicates");
	note(p, "Records whose filters all equal those of a record with another person number.");
	bar(p, r->sample_bits > 0 ? "such records, from a sample" : "such records", encode_report_twins(r), r->records);
	encode_report_links(r, &links);
	heading(p, "What it costs in links");
	snprintf(line, sizeof line,
		 "To link with one of as many records elsewhere a pair needs about %.1f bits of weight (log2 of their "
		 "number, and "
		 "4). Records that cannot reach it by the study's reference weights, even if all that is there agrees:",
		 links.needed);
	note(p, line);
	bar(p, "cannot link", links.hopeless, r->records);
	for (uint8_t f = 0; f < d->n_filters; f++) {
		if (links.by_filter[f] == 0)
			continue;
		snprintf(line, sizeof line, "could, if %s were there", d->filters[f].name);
		bar(p, line, links.by_filter[f], r->records);
	}
}

static void build(struct page *p, const struct encode_report *r, const struct report_summary *s)
{
	char name[LINE_CAP];
	safe(p, s->name, name);
	if (p->html)
		put(p,
		    "<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><title>Register "
		    "report</title>\n<style>body{font:15px "
		    "sans-serif;max-width:60em;margin:2em auto}.row{display:flex;gap:1em;margin:.2em "
		    "0}.name{width:26em}"
		    "</style>\n<h1>Register report: %s</h1>\n",
		    name);
	else
		put(p, "Register report: %s\n", name);
	note(p, "Counts only; those below the study's threshold are not shown exactly.");
	rows_part(p, r, s);
	fields_part(p, r);
	filters_part(p, r);
	links_part(p, r);
	if (p->html)
		put(p, "</html>\n");
}

enum rc encode_report_write(const struct encode_report *report, const struct report_summary *summary, const char *path,
			    struct diag *diag)
{
	struct buffer text;
	struct output_file *out = NULL;
	size_t len = strlen(path);
	buffer_init(&text);
	struct page page = {.out = &text,
			    .html = len > 5 && strcmp(path + len - 5, ".html") == 0,
			    .threshold = report->study->disclosure.threshold};
	build(&page, report, summary);
	enum rc rc = text.failed ? diag_set(diag, RC_NOMEM, "out of memory") : RC_OK;
	if (rc == RC_OK && strcmp(path, "-") == 0) {
		if (fwrite(text.data, 1, text.len, stdout) != text.len)
			rc = diag_set(diag, RC_IO, "the report could not be written");
	} else if (rc == RC_OK) {
		rc = output_file_open(path, &out, diag);
		if (rc == RC_OK)
			rc = output_file_write(out, text.data, text.len, diag);
		if (rc == RC_OK)
			rc = output_file_commit(out, diag);
		output_file_close(out);
	}
	buffer_deinit(&text);
	return rc;
}
