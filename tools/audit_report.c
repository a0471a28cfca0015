/* throughcare audit report: a year of the log as one page for people, without scripts and without anything fetched.
 *
 * The whole log is verified, its rules are replayed, and the bodies of the year's releases are compared with it;
 * nothing is written when they do not hold. Everything from the log is escaped: it was written by others. What the page
 * says of linkage is what released bodies say, noise and all. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/day.h"
#include "proto/json.h"
#include "tools/audit.h"
#include "tools/audit/replay.h"
#include "tools/audit_body.h"
#include "tools/audit_source.h"
#include "tools/options.h"
#include "tools/output_file.h"

enum { MAX_REFUSALS = 5000, MAX_CLIENTS = 200, N_COLOURS = 8, SECONDS_A_DAY = 86400 };

struct refusal {
	char time[ENTRY_TIME_CAP], kind[16], client[64], what[64], reason[64];
};

struct asking {
	char client[64];
	uint64_t n;
};

/* Of one release: how many of the links that there are it found, and how many of its links are wrong. */
struct quality {
	const struct replay_release *release; /* borrowed */
	unsigned found_percent, false_percent;
};

struct report {
	struct https_options https;
	const char *vkey_path, *output_path;
	uint64_t year;
	int64_t from, to; /* Unix time, to excluded */

	struct audit_source source;
	struct replay replay;
	/* Of the year. */
	uint64_t records[REPLAY_MAX_SOURCES][12], batches[REPLAY_MAX_SOURCES], withdrawn[REPLAY_MAX_SOURCES];
	uint64_t n_of_kind[ENTRY_KIND_COUNT], n_not_logged;
	struct refusal *refusals;
	size_t n_refusals, refusals_cap;
	uint64_t n_refused;
	struct asking asking[MAX_CLIENTS];
	size_t n_asking;
	struct quality *quality;
	size_t n_quality;
	struct buffer page;
};

/* ---- collecting ---------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text != NULL ? text : "";
}

static uint64_t count_of(const json_t *object, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(object, key));
	return n > 0 ? (uint64_t)n : 0;
}

/* The replay has taken the entry before, so the source is among its own. */
static size_t source_index(const struct report *r, const char *name)
{
	size_t i = 0;
	while (i + 1 < r->replay.n_sources && strcmp(r->replay.sources[i].name, name) != 0)
		i++;
	return i;
}

static enum rc add_refusal(struct report *r, enum entry_kind kind, const json_t *fields)
{
	r->n_refused++;
	r->n_not_logged += count_of(fields, "not_logged_before");
	if (r->n_refusals == MAX_REFUSALS)
		return RC_OK;
	if (r->n_refusals == r->refusals_cap) {
		size_t cap = r->refusals_cap ? 2 * r->refusals_cap : 64;
		struct refusal *grown = reallocarray(r->refusals, cap, sizeof *grown);
		if (grown == NULL)
			return RC_NOMEM;
		r->refusals = grown;
		r->refusals_cap = cap;
	}
	struct refusal *x = &r->refusals[r->n_refusals++];
	const json_t *who = json_object_get(fields, "who");
	const char *what = text_of(fields, kind == ENTRY_REFUSED ? "route" : "source");
	snprintf(x->time, sizeof x->time, "%s", text_of(fields, "t"));
	snprintf(x->kind, sizeof x->kind, "%s", kind == ENTRY_REFUSED ? "request" : "batch");
	snprintf(x->client, sizeof x->client, "%s", text_of(who, "client"));
	snprintf(x->what, sizeof x->what, "%s", what);
	snprintf(x->reason, sizeof x->reason, "%s", text_of(fields, "reason"));
	return RC_OK;
}

static void count_query(struct report *r, const char *client)
{
	size_t i = 0;
	while (i < r->n_asking && strcmp(r->asking[i].client, client) != 0)
		i++;
	if (i == MAX_CLIENTS)
		return;
	if (i == r->n_asking) {
		snprintf(r->asking[i].client, sizeof r->asking[i].client, "%s", client);
		r->n_asking++;
	}
	r->asking[i].n++;
}

static enum rc collect(struct report *r, enum entry_kind kind, int64_t time, const json_t *fields)
{
	int year, month, day;
	size_t source;

	if (time < r->from || time >= r->to)
		return RC_OK;
	day_to_civil((int32_t)(time / SECONDS_A_DAY), &year, &month, &day);
	r->n_of_kind[kind]++;
	switch (kind) {
	case ENTRY_BATCH:
		source = source_index(r, text_of(fields, "source"));
		r->batches[source]++;
		r->records[source][month - 1] += count_of(fields, "records");
		return RC_OK;
	case ENTRY_WITHDRAWAL:
	case ENTRY_PURGE:
		r->withdrawn[source_index(r, text_of(fields, "source"))] += count_of(fields, "records");
		return RC_OK;
	case ENTRY_QUERY:
		count_query(r, text_of(json_object_get(fields, "who"), "client"));
		return RC_OK;
	case ENTRY_REFUSED:
	case ENTRY_BATCH_REJECTED:
		return add_refusal(r, kind, fields);
	default:
		return RC_OK;
	}
}

static enum rc visit(void *ctx, uint64_t index, const uint8_t *entry, size_t len, struct diag *diag)
{
	struct report *r = ctx;
	json_t *fields = NULL;
	enum entry_kind kind;
	int64_t time;

	enum rc rc = replay_entry(&r->replay, entry, len, diag);
	if (rc == RC_OK)
		rc = entry_parse((const char *)entry, len, &kind, &time, &fields, diag);
	if (rc == RC_OK)
		rc = collect(r, kind, time, fields);
	json_decref(fields);
	return rc;
}

static void add_links(const json_t *counts, json_int_t sums[3])
{
	static const char *const names[] = {"true", "false", "missed"};
	for (int i = 0; i < 3; i++) {
		json_int_t n = json_integer_value(json_object_get(counts, names[i]));
		sums[i] += n > -INT32_MAX && n < INT32_MAX ? n : 0;
	}
}

/* Noise may make a count negative: then it says nothing. */
static unsigned percent(json_int_t part, json_int_t rest)
{
	part = part > 0 ? part : 0;
	rest = rest > 0 ? rest : 0;
	return part + rest == 0 ? 0 : (unsigned)((100 * part + (part + rest) / 2) / (part + rest));
}

static enum rc add_quality(struct report *r, const struct replay_release *release, const struct buffer *body,
			   struct diag *diag)
{
	json_t *root = NULL, *arm;
	json_int_t sums[3] = {0}; /* true, false, missed */
	size_t i;

	enum rc rc = json_parse_strict((const char *)body->data, body->len, &root, diag);
	if (rc != RC_OK)
		return rc;
	const json_t *linkage = json_object_get(root, "linkage");
	add_links(linkage, sums);
	json_array_foreach(json_object_get(linkage, "arms"), i, arm) add_links(arm, sums);
	if (sums[0] > 0)
		r->quality[r->n_quality++] = (struct quality){
			.release = release,
			.found_percent = percent(sums[0], sums[2]),
			.false_percent = percent(sums[1], sums[0]),
		};
	json_decref(root);
	return RC_OK;
}

static bool is_of_year(const struct report *r, const struct replay_release *release)
{
	return release->started_at >= r->from && release->started_at < r->to;
}

static enum rc collect_quality(struct report *r, struct diag *diag)
{
	struct buffer body;
	enum rc rc = RC_OK;

	buffer_init(&body);
	r->quality = calloc(r->replay.n_releases + 1, sizeof *r->quality);
	if (r->quality == NULL)
		rc = RC_NOMEM;
	for (size_t i = 0; rc == RC_OK && i < r->replay.n_releases; i++) {
		const struct replay_release *x = &r->replay.releases[i];
		if (!is_of_year(r, x) || !replay_is_readable(&r->replay, x))
			continue;
		rc = audit_body_get(&r->source, x, &body, diag);
		if (rc == RC_OK)
			rc = add_quality(r, x, &body, diag);
	}
	buffer_deinit(&body);
	return rc;
}

/* ---- the page ------------------------------------------------------------------------------------------------ */

static void put(struct report *r, const char *text)
{
	buffer_append(&r->page, text, strlen(text));
}

/* Text of the log: markup is escaped, control characters become '?'. */
static void put_text(struct report *r, const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'')
			buffer_printf(&r->page, "&#%d;", c);
		else
			buffer_append(&r->page, c < 0x20 || c == 0x7f ? "?" : text, 1);
	}
}

static void put_micro(struct report *r, uint64_t micro)
{
	buffer_printf(&r->page, "%" PRIu64 ".%06" PRIu64, micro / 1000000, micro % 1000000);
}

static const char page_head[] =
	"<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
	"table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;border-bottom:1px solid #ccc;"
	"text-align:left}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.85em;"
	"overflow-wrap:anywhere}svg{max-width:100%;height:auto}</style>\n</head>\n<body>\n";

static const char *const colours[N_COLOURS] = {"#4477aa", "#ee6677", "#228833", "#ccbb44",
					       "#66ccee", "#aa3377", "#777777", "#222222"};

enum { PLOT_W = 720, PLOT_H = 200, PLOT_LEFT = 80, PLOT_TOP = 10 };

static void plot_frame(struct report *r, const char *title, const char *top_label)
{
	buffer_printf(&r->page,
		      "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\"><g font-size=\"12\" fill=\"#333\">"
		      "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#999\"/><text x=\"%d\" y=\"%d\" "
		      "text-anchor=\"end\">%s</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">0</text>",
		      PLOT_LEFT + PLOT_W + 10, PLOT_TOP + PLOT_H + 30, title, PLOT_LEFT, PLOT_TOP, PLOT_TOP + PLOT_H,
		      PLOT_LEFT + PLOT_W, PLOT_LEFT - 6, PLOT_TOP + 10, top_label, PLOT_LEFT - 6, PLOT_TOP + PLOT_H);
	for (int m = 0; m < 12; m++)
		buffer_printf(&r->page, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%d</text>",
			      PLOT_LEFT + m * PLOT_W / 12 + PLOT_W / 24, PLOT_TOP + PLOT_H + 18, m + 1);
	put(r, "</g>");
}

/* Records a month, a bar a custodian. */
static void put_volumes(struct report *r)
{
	const struct replay *log = &r->replay;
	uint64_t top = 1;
	char label[24];

	for (size_t s = 0; s < log->n_sources; s++)
		for (int m = 0; m < 12; m++)
			top = r->records[s][m] > top ? r->records[s][m] : top;
	snprintf(label, sizeof label, "%" PRIu64, top);
	put(r, "<h2>Submitted, by custodian</h2>\n");
	plot_frame(r, "Records submitted a month, by custodian", label);
	for (size_t s = 0; s < log->n_sources; s++) {
		for (int m = 0; m < 12; m++) {
			int width = PLOT_W / 12 * 4 / 5, left = PLOT_LEFT + m * PLOT_W / 12 + PLOT_W / 120;
			int n = (int)log->n_sources, height = (int)((double)r->records[s][m] * PLOT_H / (double)top);
			int x = left + width * (int)s / n, w = width / n > 0 ? width / n : 1;
			if (r->records[s][m] > 0)
				buffer_printf(&r->page,
					      "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>", x,
					      PLOT_TOP + PLOT_H - height, w, height, colours[s % N_COLOURS]);
		}
	}
	put(r, "</svg>\n<table><tr><th>custodian</th><th class=\"n\">batches</th><th class=\"n\">records</th>"
	       "<th class=\"n\">erased</th></tr>\n");
	for (size_t s = 0; s < log->n_sources; s++) {
		uint64_t records = 0;
		for (int m = 0; m < 12; m++)
			records += r->records[s][m];
		buffer_printf(&r->page, "<tr><td><span style=\"color:%s\">&#9632;</span> ", colours[s % N_COLOURS]);
		put_text(r, log->sources[s].name);
		buffer_printf(&r->page,
			      "</td><td class=\"n\">%" PRIu64 "</td><td class=\"n\">%" PRIu64
			      "</td><td class=\"n\">%" PRIu64 "</td></tr>\n",
			      r->batches[s], records, r->withdrawn[s]);
	}
	put(r, "</table>\n");
}

static int place_in_year(const struct report *r, const struct replay_release *release)
{
	double at = (double)(release->started_at - r->from) / (double)(r->to - r->from);
	return PLOT_LEFT + (int)(at * PLOT_W);
}

/* What was spent of the study's budget by when: a step at each release, at its place in the year. */
static void put_budget(struct report *r)
{
	const struct replay *log = &r->replay;
	uint64_t spent = 0, limit = 1;
	char label[32];

	for (size_t i = 0; i < log->n_releases; i++) {
		const struct replay_release *x = &log->releases[i];
		if (x->started_at < r->from)
			spent = x->rho_total_micro;
		if (x->started_at < r->to)
			limit = x->rho_limit_micro > limit ? x->rho_limit_micro : limit;
	}
	snprintf(label, sizeof label, "%" PRIu64 ".%02" PRIu64, limit / 1000000, limit % 1000000 / 10000);
	put(r, "<h2>Privacy budget</h2>\n<p>&#961; spent since the beginning; the top is the study's limit.</p>\n");
	plot_frame(r, "Privacy budget spent", label);
	buffer_printf(&r->page, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"2\" d=\"M%d %d", colours[0],
		      PLOT_LEFT, PLOT_TOP + PLOT_H - (int)((double)spent * PLOT_H / (double)limit));
	for (size_t i = 0; i < log->n_releases; i++) {
		const struct replay_release *x = &log->releases[i];
		if (!is_of_year(r, x))
			continue;
		buffer_printf(&r->page, "H%dV%d", place_in_year(r, x),
			      PLOT_TOP + PLOT_H - (int)((double)x->rho_total_micro * PLOT_H / (double)limit));
	}
	buffer_printf(&r->page, "H%d\"/></svg>\n", PLOT_LEFT + PLOT_W);
}

static void put_releases(struct report *r)
{
	char when[ENTRY_TIME_CAP], hex[65];
	size_t n = 0;

	put_budget(r);
	put(r, "<h2>Releases</h2>\n<table><tr><th class=\"n\">no.</th><th>as of</th><th>published</th>"
	       "<th class=\"n\">records</th><th class=\"n\">&#961;</th><th class=\"n\">&#961; in all</th>"
	       "<th class=\"n\">limit</th><th>body</th></tr>\n");
	for (size_t i = 0; i < r->replay.n_releases; i++) {
		const struct replay_release *x = &r->replay.releases[i];
		if (!is_of_year(r, x))
			continue;
		n++;
		if (x->lost)
			snprintf(when, sizeof when, "lost");
		else if (!x->released || entry_time_format(x->released_at, when) != RC_OK)
			snprintf(when, sizeof when, "not yet");
		hex_encode(x->digest, sizeof x->digest, hex);
		buffer_printf(&r->page, "<tr><td class=\"n\">%" PRIu64 "</td><td>", x->number);
		put_text(r, x->as_of);
		buffer_printf(&r->page, "</td><td>%s</td><td class=\"n\">%" PRIu64 "</td><td class=\"n\">", when,
			      x->cut_records);
		put_micro(r, x->rho_micro);
		put(r, "</td><td class=\"n\">");
		put_micro(r, x->rho_total_micro);
		put(r, "</td><td class=\"n\">");
		put_micro(r, x->rho_limit_micro);
		buffer_printf(&r->page, "</td><td><code>%s</code></td></tr>\n", x->released && !x->lost ? hex : "");
	}
	put(r, "</table>\n");
	if (n == 0)
		put(r, "<p>None in this year.</p>\n");
}

static void put_quality_points(struct report *r, bool of_found, const char *colour)
{
	buffer_printf(&r->page, "<g fill=\"%s\">", colour);
	for (size_t i = 0; i < r->n_quality; i++) {
		const struct quality *q = &r->quality[i];
		unsigned value = of_found ? q->found_percent : q->false_percent;
		buffer_printf(&r->page, "<circle cx=\"%d\" cy=\"%d\" r=\"4\"/>", place_in_year(r, q->release),
			      PLOT_TOP + PLOT_H - (int)(value * PLOT_H / 100));
	}
	put(r, "</g>");
}

static void put_quality(struct report *r)
{
	put(r, "<h2>Linkage quality</h2>\n");
	if (r->n_quality == 0) {
		put(r, "<p>No release of this year says anything of it: the study may have no "
		       "<code>linkage_sigma2</code>.</p>\n");
		return;
	}
	put(r, "<p>By the noisy counts in each release's body: of the links between prisons and treatment services "
	       "that the model expects there to be, the share that was found; and of the links found, the share "
	       "that it expects to be false. A jump says that a register, its encoding or its volume has "
	       "changed.</p>\n");
	plot_frame(r, "Links found and false links, by release", "100 %");
	put_quality_points(r, true, colours[0]);
	put_quality_points(r, false, colours[1]);
	buffer_printf(&r->page,
		      "</svg>\n<table><tr><th class=\"n\">release</th><th class=\"n\"><span style=\"color:%s\">&#9679;"
		      "</span> found</th><th class=\"n\"><span style=\"color:%s\">&#9679;</span> false</th></tr>\n",
		      colours[0], colours[1]);
	for (size_t i = 0; i < r->n_quality; i++)
		buffer_printf(&r->page,
			      "<tr><td class=\"n\">%" PRIu64 "</td><td class=\"n\">%u %%</td><td class=\"n\">%u %%"
			      "</td></tr>\n",
			      r->quality[i].release->number, r->quality[i].found_percent, r->quality[i].false_percent);
	put(r, "</table>\n");
}

static void put_refusals(struct report *r)
{
	buffer_printf(&r->page, "<h2>Refused</h2>\n<p>%" PRIu64 " requests and batches", r->n_refused);
	if (r->n_not_logged > 0)
		buffer_printf(&r->page, "; %" PRIu64 " more requests were refused that the log only counts",
			      r->n_not_logged);
	if (r->n_refused > r->n_refusals)
		buffer_printf(&r->page, "; the first %zu are listed", r->n_refusals);
	put(r, ".</p>\n<table><tr><th>when</th><th>what</th><th>client</th><th>route or source</th><th>reason</th>"
	       "</tr>\n");
	for (size_t i = 0; i < r->n_refusals; i++) {
		const struct refusal *x = &r->refusals[i];
		const char *const cells[] = {x->time, x->kind, x->client, x->what, x->reason};
		put(r, "<tr>");
		for (size_t c = 0; c < sizeof cells / sizeof cells[0]; c++) {
			put(r, "<td>");
			put_text(r, cells[c]);
			put(r, "</td>");
		}
		put(r, "</tr>\n");
	}
	put(r, "</table>\n");
}

static void put_counts(struct report *r)
{
	put(r, "<h2>Who asked</h2>\n<table><tr><th>client</th><th class=\"n\">queries</th></tr>\n");
	for (size_t i = 0; i < r->n_asking; i++) {
		put(r, "<tr><td>");
		put_text(r, r->asking[i].client);
		buffer_printf(&r->page, "</td><td class=\"n\">%" PRIu64 "</td></tr>\n", r->asking[i].n);
	}
	put(r, "</table>\n<h2>Entries</h2>\n<table><tr><th>kind</th><th class=\"n\">entries</th></tr>\n");
	for (int k = 0; k < ENTRY_KIND_COUNT; k++) {
		if (r->n_of_kind[k] > 0)
			buffer_printf(&r->page, "<tr><td>%s</td><td class=\"n\">%" PRIu64 "</td></tr>\n",
				      entry_kind_name((enum entry_kind)k), r->n_of_kind[k]);
	}
	put(r, "</table>\n");
}

static enum rc make_page(struct report *r)
{
	const struct tlog_checkpoint *c = &r->source.checkpoint;
	char root[65];

	hex_encode(c->root.b, sizeof c->root.b, root);
	put(r, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>");
	put_text(r, c->origin);
	buffer_printf(&r->page, ", %" PRIu64 "</title>\n", r->year);
	put(r, page_head);
	put(r, "<h1>");
	put_text(r, c->origin);
	buffer_printf(
		&r->page,
		", %" PRIu64 "</h1>\n<p>From the audit log, which was verified whole: %" PRIu64
		" entries, root <code>%s</code>, signed by its key; its rules hold. Volumes are what custodians "
		"submitted; of linkage the page says what releases say, and their bodies are those of the log.</p>\n",
		r->year, c->size, root);
	put_volumes(r);
	put_releases(r);
	put_quality(r);
	put_refusals(r);
	put_counts(r);
	put(r, "</body>\n</html>\n");
	return r->page.failed ? RC_NOMEM : RC_OK;
}

/* ---- command ------------------------------------------------------------------------------------------------- */

static enum rc write_page(const struct report *r, struct diag *diag)
{
	struct output_file *file = NULL;

	enum rc rc = output_file_open(r->output_path, &file, diag);
	if (rc == RC_OK)
		rc = output_file_write(file, r->page.data, r->page.len, diag);
	if (rc == RC_OK)
		rc = output_file_commit(file, diag);
	output_file_close(file);
	return rc;
}

static enum rc run(struct report *r, struct diag *diag)
{
	struct https *https = NULL;
	struct tlog_vkey vkey;

	r->from = (int64_t)day_from_civil((int)r->year, 1, 1) * SECONDS_A_DAY;
	r->to = (int64_t)day_from_civil((int)r->year + 1, 1, 1) * SECONDS_A_DAY;
	enum rc rc = audit_read_vkey(r->vkey_path, &vkey, diag);
	if (rc == RC_OK)
		rc = https_open(&r->https, &https, diag);
	if (rc == RC_OK)
		rc = audit_source_open(https, &vkey, &r->source, diag);
	if (rc == RC_OK)
		rc = audit_source_walk(&r->source, NULL, 0, visit, r, diag);
	if (rc == RC_OK)
		rc = replay_end(&r->replay, diag);
	if (rc == RC_OK)
		rc = collect_quality(r, diag);
	if (rc == RC_OK)
		rc = make_page(r);
	if (rc == RC_OK)
		rc = write_page(r, diag);
	if (rc == RC_OK)
		printf("%s: %" PRIu64 ", from %" PRIu64 " verified entries\n", r->output_path, r->year,
		       r->source.checkpoint.size);
	https_close(https);
	return rc;
}

int audit_report(int argc, char **argv)
{
	struct report *r = calloc(1, sizeof *r);
	if (r == NULL)
		return rc_exit_code(RC_NOMEM);
	const struct option_row rows[] = {
		HTTPS_OPTION_ROWS(r->https),
		{"vkey", 'v', OPTION_TEXT, &r->vkey_path, .argument = "FILE", .required = true,
		 .env = "THROUGHCARE_VKEY", .help = "the log's public key"},
		{"year", 'y', OPTION_NUMBER, &r->year, .min = 1971, .max = 2198, .argument = "YEAR", .required = true,
		 .help = "the year to report on, in UTC"},
		{"output", 'o', OPTION_TEXT, &r->output_path, .argument = "FILE", .required = true,
		 .help = "the page to write, HTML with nothing outside it"},
	};
	const struct option_table table = {
		.command = "throughcare audit report",
		.usage = "--vkey FILE --year YEAR --output FILE.html",
		.about = "Verify the log and write a year of it as a page to read: volumes by custodian, every release "
			 "with its\n"
			 "budget and what it says of linkage quality, every refusal, who asked.",
		.example = "throughcare audit report --url https://localhost:8443 --cert auditor/client.crt \\\n"
			   "  --key auditor/client.key --ca ca/ca.crt --vkey log.vkey --year 2026 -o 2026.html",
		OPTION_ROWS(rows)};
	struct diag diag = {""};
	bool help = false;
	int at = 0;

	replay_init(&r->replay, NULL);
	buffer_init(&r->page);
	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc == RC_OK && !help)
		rc = run(r, &diag);
	int status = rc == RC_OK                              ? 0
		     : rc == RC_USAGE && diag.text[0] == '\0' ? rc_exit_code(rc)
							      : audit_fail(rc, &diag);
	if (rc == RC_FORK || rc == RC_PROTOCOL)
		fprintf(stderr, "AUDIT FAILED: no report is written\n");
	audit_source_deinit(&r->source);
	replay_deinit(&r->replay);
	buffer_deinit(&r->page);
	free(r->refusals);
	free(r->quality);
	free(r);
	return status;
}
