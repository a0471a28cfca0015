/* The report as text and as HTML: one list of headings, notes and bars, and two ways to print it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/bytes.h"
#include "tools/encode_report.h"
#include "tools/progress.h"

enum { CELL_CAP = 48, LINE_CAP = 512, MAX_FINDINGS = 256, MOST_SHOWN = 10 };

#define NO_COST (-1.0)

/* For the list of what costs most. */
struct finding {
	char name[LINE_CAP];
	double cost;
};

struct page {
	struct buffer *out;
	bool html;
	uint64_t threshold;
	struct finding findings[MAX_FINDINGS];
	size_t n_findings;
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

/* As small as is not shown. */
static bool is_small(const struct page *p, uint64_t n)
{
	return n > 0 && n < p->threshold;
}

/* A count and its share; small ones only as small, and so what is left of the whole. */
static const char *cell(const struct page *p, uint64_t n, uint64_t of, char out[CELL_CAP])
{
	char count[COUNT_TEXT_CAP];
	if (n == 0)
		snprintf(out, CELL_CAP, "0");
	else if (is_small(p, n))
		snprintf(out, CELL_CAP, "%s%llu", p->html ? "&lt;" : "<", (unsigned long long)p->threshold);
	else if (of > n && is_small(p, of - n))
		snprintf(out, CELL_CAP, "all but %s%llu", p->html ? "&lt;" : "<", (unsigned long long)p->threshold);
	else
		snprintf(out, CELL_CAP, "%s (%.1f %%)", count_text(n, count),
			 of > 0 ? 100.0 * (double)n / (double)of : 0.0);
	return out;
}

/* Links lost, to two digits, since more would be pretence. Few are told as few, and nothing is told of few records. */
static const char *cost_cell(const struct page *p, double cost, uint64_t n, char out[CELL_CAP])
{
	char count[COUNT_TEXT_CAP];
	double unit = 1;

	out[0] = '\0';
	if (cost < 0 || n == 0 || n < p->threshold)
		return out;
	while (cost / unit >= 100)
		unit *= 10;
	uint64_t rounded = (uint64_t)(cost / unit + .5) * (uint64_t)unit;
	if (rounded == 0)
		snprintf(out, CELL_CAP, "none");
	else if (rounded < p->threshold)
		snprintf(out, CELL_CAP, "%s%llu", p->html ? "&lt;" : "<", (unsigned long long)p->threshold);
	else
		snprintf(out, CELL_CAP, "%s", count_text(rounded, count));
	return out;
}

static void heading(struct page *p, const char *text)
{
	if (p->html)
		put(p, "<h2>%s</h2>\n", text);
	else
		put(p, "\n%s\n", text);
}

/* In text, lines end at a space before column 100. */
static void note(struct page *p, const char *text)
{
	while (!p->html && strlen(text) > 96) {
		int n = 96;
		while (n > 0 && text[n] != ' ')
			n--;
		put(p, "  %.*s\n", n, text);
		text += n + 1;
	}
	put(p, p->html ? "<p>%s</p>\n" : "  %s\n", text);
}

static void columns(struct page *p, const char *first, const char *second)
{
	if (p->html)
		put(p, "<div class=\"row head\"><span></span><span></span><b>%s</b><b>%s</b></div>\n", first, second);
	else
		put(p, "  %-52s %20s %12s\n", "", first, second);
}

/* A line of a table with a bar for its share. What is suppressed has no bar. */
static void line_of(struct page *p, const char *name, double share, const char *value, const char *cost)
{
	char label[LINE_CAP];

	safe(p, name, label);
	if (!p->html) {
		put(p, cost[0] != '\0' ? "  %-52s %20s %12s\n" : "  %-52s %20s%s\n", label, value, cost);
		return;
	}
	put(p,
	    "<div class=row><span>%s</span><svg width=200 height=12 role=img aria-label=\"%.1f percent\"><rect "
	    "width=200 height=12 fill=\"#eee\"/><rect width=%.1f height=12 "
	    "fill=\"#36c\"/></svg><span>%s</span><span>%s</span></div>\n",
	    label, 100 * share, 200 * share, value, cost);
}

static void add_finding(struct page *p, const char *name, uint64_t n, double cost)
{
	if (cost <= 0 || n < p->threshold || p->n_findings == MAX_FINDINGS)
		return;
	struct finding *finding = &p->findings[p->n_findings++];
	snprintf(finding->name, sizeof finding->name, "%s", name);
	finding->cost = cost;
}

static void bar(struct page *p, const char *name, uint64_t n, uint64_t of, double cost)
{
	char value[CELL_CAP], lost[CELL_CAP];
	double share = of > 0 && n >= p->threshold ? (double)n / (double)of : 0;

	if (of > n && is_small(p, of - n))
		share = 1;
	line_of(p, name, share, cell(p, n, of, value), cost_cell(p, cost, n, lost));
	add_finding(p, name, n, cost);
}

/* A count that with a sum would give away a small one: only that it is not small. */
static void bar_without_count(struct page *p, const char *name)
{
	char value[CELL_CAP];

	snprintf(value, sizeof value, "%llu or more", (unsigned long long)p->threshold);
	line_of(p, name, 0, value, "");
}

/* Of counts that add up to one that is shown, the smallest of those that are not small; 0 = none must be kept back. */
static uint64_t kept_back(const struct page *p, const struct encode_report *r, bool *ret_any_small)
{
	uint64_t least = UINT64_MAX;

	*ret_any_small = is_small(p, r->refusals_beyond);
	for (size_t i = 0; i <= r->n_refusals; i++) {
		uint64_t n = i < r->n_refusals ? r->refusals[i].n : r->refusals_beyond;
		*ret_any_small |= is_small(p, n);
		least = n >= p->threshold && n < least ? n : least;
	}
	return *ret_any_small && least != UINT64_MAX ? least : 0;
}

/* Small ones alone: their sum would tell of them. */
static bool hides_sum(const struct page *p, const struct encode_report *r)
{
	bool any_small;
	return kept_back(p, r, &any_small) == 0 && any_small;
}

/* What shares are of: all rows where the number of records would tell how many were set aside, and that is not told. */
static uint64_t records_of(const struct page *p, const struct encode_report *r, const struct report_summary *s)
{
	return is_small(p, s->refused) || hides_sum(p, r) ? s->rows : r->records;
}

static void refusal_bar(struct page *p, const char *name, uint64_t n, uint64_t back, const struct report_summary *s,
			const struct report_costs *c)
{
	if (back != 0 && n == back)
		bar_without_count(p, name);
	else
		bar(p, name, n, s->rows, c->refused * (double)n / (double)s->refused);
}

static void rows_part(struct page *p, const struct encode_report *r, const struct report_summary *s,
		      const struct report_costs *c)
{
	bool any_small, no_sum = hides_sum(p, r) && !is_small(p, s->refused);
	uint64_t back = kept_back(p, r, &any_small);

	heading(p, "Rows");
	columns(p, "rows", "links lost");
	bar(p, "rows", s->rows, s->rows, NO_COST);
	/* With the rows it would give away a small number of those set aside. */
	if (!is_small(p, s->refused) && !no_sum)
		bar(p, "encoded", r->records, s->rows, NO_COST);
	if (no_sum)
		bar_without_count(p, "set aside");
	else
		bar(p, "set aside", s->refused, s->rows, NO_COST);
	if (r->n_refusals > 0)
		heading(p, "Impossible values: rows set aside, by column and rule");
	for (size_t i = 0; i < r->n_refusals; i++) {
		char line[LINE_CAP];
		const struct report_refusal *refusal = &r->refusals[i];
		snprintf(line, sizeof line, "%.63s%s%.320s", refusal->column, refusal->column[0] != '\0' ? ": " : "",
			 refusal->rule);
		refusal_bar(p, line, refusal->n, back, s, c);
	}
	if (r->refusals_beyond > 0)
		refusal_bar(p, "other rules", r->refusals_beyond, back, s, c);
}

static void oddities_part(struct page *p, const struct encode_report *r, uint64_t of, const struct report_costs *c)
{
	static const char *const oddities[N_ODDITIES] = {"digits in a name",
							 "one letter alone",
							 "a word for 'not known'",
							 "a line break, or too long for one value",
							 "1 January",
							 "an age below 12 or above 100 at the event",
							 "not a day of any calendar"};
	const struct schema *schema = r->study->domains[r->domain].schema;
	bool found = false;

	heading(p, "Suspicious values, by field");
	for (uint16_t f = 0; f < schema->n_features; f++) {
		for (int o = 0; o < N_ODDITIES; o++) {
			char line[LINE_CAP];
			uint64_t n = r->fields[f].odd[o];
			if (n == 0 || (o == ODD_FIRST_OF_JANUARY && !encode_report_is_habit(&r->fields[f])))
				continue;
			snprintf(line, sizeof line, "%.200s: %s", schema->features[f].identifier, oddities[o]);
			bar(p, line, n, of, c->odd[f][o]);
			found = true;
		}
	}
	if (!found)
		note(p, "None.");
}

static void fields_part(struct page *p, const struct encode_report *r, uint64_t of, const struct report_costs *c)
{
	const struct schema *schema = r->study->domains[r->domain].schema;
	char line[LINE_CAP];
	bool found = false;

	heading(p, "Missing, by field");
	columns(p, "records", "links lost");
	for (uint16_t f = 0; f < schema->n_features; f++) {
		snprintf(line, sizeof line, "%.200s: missing", schema->features[f].identifier);
		if (r->fields[f].column >= 0)
			bar(p, line, r->fields[f].missing, of, c->missing[f]);
	}
	oddities_part(p, r, of, c);
	heading(p, "Values shared by too many");
	note(p, "A name or place in more than 10 % of the records that have one, or a date in more than 1 %, may stand "
		"for 'not known'; counted from below.");
	for (uint16_t f = 0; f < schema->n_features; f++) {
		double share;
		unsigned n = r->fields[f].column >= 0 ? encode_report_common(r, f, &share) : 0;
		if (n == 0)
			continue;
		found = true;
		snprintf(line, sizeof line, "%.200s: %u value%s that many share", schema->features[f].identifier, n,
			 n > 1 ? "s" : "");
		bar(p, line, (uint64_t)(share * (double)r->fields[f].present),
		    is_small(p, r->fields[f].missing) || of != r->records ? of : r->fields[f].present, c->common[f]);
	}
	if (!found)
		note(p, "None.");
}

static void histogram(struct page *p, const struct report_filter *f, bool limits)
{
	uint64_t highest = 1;

	for (int i = 0; i < REPORT_FILL_BINS; i++)
		highest = f->bins[i] > highest ? f->bins[i] : highest;
	put(p, "<svg width=320 height=86 role=img aria-label=\"records by share of bits that are set\">");
	for (int i = 0; i < REPORT_FILL_BINS; i++) {
		uint64_t n = f->bins[i] < p->threshold ? 0 : f->bins[i];
		double height = 60.0 * (double)n / (double)highest;
		put(p, "<rect x=%d y=%.1f width=14 height=%.1f fill=\"#36c\"/>", 10 + 15 * i, 64 - height, height);
	}
	put(p, "<path d=\"M10 64H310\" stroke=\"#666\"/>");
	if (limits)
		put(p, "<path d=\"M%d 4V64M%d 4V64\" stroke=\"#c33\" stroke-dasharray=3 />", 10 + 300 * 2 / 100,
		    10 + 300 / 2);
	for (int percent = 0; percent <= 100; percent += 25)
		put(p, "<text x=%d y=80 font-size=11 text-anchor=%s>%d %%</text>", 10 + 3 * percent,
		    percent == 0     ? "start"
		    : percent == 100 ? "end"
				     : "middle",
		    percent);
	put(p, "</svg>\n");
}

static void filters_part(struct page *p, const struct encode_report *r, const struct report_costs *c)
{
	const struct study_domain *d = &r->study->domains[r->domain];

	heading(p, "Fill of the filters");
	note(p,
	     "Share of bits set, on average over the records. Above 50 % filters of different people look alike; "
	     "below 2 % there is too little in one to compare. A diffused filter is nearly half full unless it was "
	     "nearly empty, a balanced one by design.");
	columns(p, "bits set", "links lost");
	for (uint8_t f = 0; f < d->n_filters; f++) {
		const struct report_filter *filter = &r->filters[f];
		double mean = filter->n > 0 ? (double)filter->bits / (double)filter->n / d->filters[f].bits : 0;
		bool diffused = d->filters[f].diffusion > 0, balanced = d->filters[f].balanced;
		bool bad = encode_report_fill(r, f) != FILL_FINE;
		char line[LINE_CAP], value[CELL_CAP], lost[CELL_CAP];
		snprintf(line, sizeof line, "%s%s%s", d->filters[f].name, bad ? ": OUT OF LIMITS" : "",
			 balanced   ? ": half full by design"
			 : diffused ? ": diffused"
				    : "");
		if (is_small(p, filter->n)) {
			mean = 0;
			snprintf(value, sizeof value, "of too few");
		} else {
			snprintf(value, sizeof value, "%.1f %%", 100 * mean);
		}
		line_of(p, line, mean, value, cost_cell(p, bad ? c->fill[f] : NO_COST, filter->n, lost));
		if (bad)
			add_finding(p, line, filter->n, c->fill[f]);
		if (p->html && filter->n >= p->threshold)
			histogram(p, filter, !balanced && !diffused);
	}
}

static int compare_findings(const void *x, const void *y)
{
	const struct finding *a = x, *b = y;

	return a->cost != b->cost ? (a->cost > b->cost ? -1 : 1) : strcmp(a->name, b->name);
}

static void expectation(struct page *p, const struct report_summary *s, const struct report_costs *c)
{
	char line[LINE_CAP], all[CELL_CAP], now[CELL_CAP];

	if (s->rows < p->threshold) {
		note(p, "There are too few rows to tell.");
		return;
	}
	cost_cell(p, c->at_best, s->rows, all);
	cost_cell(p, c->as_is, s->rows, now);
	snprintf(line, sizeof line,
		 "If every row had one counterpart elsewhere, about %s would link were all complete and true, and "
		 "about %s as they are. To link among as many records a pair needs %.1f bits (log2 of their number, "
		 "and 1). This is an expectation by a model (docs/encoding.md), and each finding is taken by itself.",
		 all, now, c->needed);
	note(p, line);
}

static void costs_part(struct page *p, const struct encode_report *r, const struct report_summary *s,
		       const struct report_costs *c)
{
	char lost[CELL_CAP];
	uint64_t of = records_of(p, r, s);

	heading(p, "Possible duplicates");
	note(p, "Records whose filters all equal those of a record with another person number. Of two such persons a "
		"person elsewhere links to one.");
	columns(p, "records", "links lost");
	bar(p, r->sample_bits > 0 ? "records with a twin, from a sample" : "records with a twin",
	    encode_report_twins(r), of, c->twins);
	heading(p, "What it costs in links");
	expectation(p, s, c);
	bar(p, "too little there to link, whatever agrees", c->hopeless, of, NO_COST);
	qsort(p->findings, p->n_findings, sizeof *p->findings, compare_findings);
	if (p->n_findings > 0) {
		heading(p, "What costs most");
		columns(p, "", "links lost");
	}
	for (size_t i = 0; i < p->n_findings && i < MOST_SHOWN && p->findings[i].cost >= .5; i++)
		line_of(p, p->findings[i].name, p->findings[i].cost / (c->at_best > 0 ? c->at_best : 1), "",
			cost_cell(p, p->findings[i].cost, s->rows, lost));
}

static void build(struct page *p, const struct encode_report *r, const struct report_summary *s,
		  const struct report_costs *c)
{
	char name[LINE_CAP];

	safe(p, s->name, name);
	if (p->html) {
		put(p, "<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><title>Register report</title>\n<style>"
		       "body{font:15px sans-serif;max-width:58em;margin:2em auto;color:#222}"
		       "h2{font-size:1.15em;margin:1.6em 0 .4em}"
		       ".row{display:grid;grid-template-columns:1fr 200px 10em 6em;gap:1em;margin:.2em "
		       "0;align-items:center}"
		       ".row>:nth-child(n+3){text-align:right}.head b{font-size:.9em;color:#666}</style>\n");
		put(p, "<h1>Register report: %s</h1>\n", name);
	} else {
		put(p, "Register report: %s\n", name);
	}
	note(p, "Counts only; those below the study's threshold are not shown exactly.");
	rows_part(p, r, s, c);
	fields_part(p, r, records_of(p, r, s), c);
	filters_part(p, r, c);
	costs_part(p, r, s, c);
	if (p->html)
		put(p, "</html>\n");
}

enum rc encode_report_write(const struct encode_report *report, const struct report_summary *summary, const char *path,
			    struct output_file *out, struct diag *diag)
{
	struct buffer text;
	struct report_costs costs;
	size_t len = strlen(path);
	buffer_init(&text);
	struct page *page = calloc(1, sizeof *page);
	enum rc rc = page != NULL ? encode_report_cost(report, summary->refused, &costs) : RC_NOMEM;
	if (rc == RC_OK) {
		page->out = &text;
		page->html = len > 5 && strcmp(path + len - 5, ".html") == 0;
		page->threshold = report->study->disclosure.threshold;
		build(page, report, summary, &costs);
		rc = text.failed ? RC_NOMEM : RC_OK;
	}
	free(page);
	if (rc != RC_OK)
		diag_set(diag, rc, "the report could not be made: %s", rc_text(rc));
	if (rc == RC_OK && out == NULL) {
		if (fwrite(text.data, 1, text.len, stdout) != text.len)
			rc = diag_set(diag, RC_IO, "the report could not be written");
	} else if (rc == RC_OK) {
		rc = output_file_write(out, text.data, text.len, diag);
		if (rc == RC_OK)
			rc = output_file_commit(out, diag);
	}
	buffer_deinit(&text);
	return rc;
}
