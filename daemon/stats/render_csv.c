/* CSV with one observation a row (RFC 4180, but line ends are LF) and the metadata in columns, so that a row cut out of
 * the file still says what it is. Counts have the unit of the measure ("releases"), rates "percent" with their limits.
 */
#include <inttypes.h>
#include <stdio.h>

#include "daemon/stats/answer.h"
#include "daemon/stats/text.h"
#include "daemon/stats/wording.h"

static void put_header(struct buffer *out, const struct answer *a)
{
	buffer_printf(out, "study,synthetic,release,as_of,table,measure,period,period_state,released_in");
	for (unsigned i = 0; i < a->n_by; i++) {
		buffer_append(out, ",", 1);
		text_csv(out, a->by[i].name);
	}
	buffer_printf(out,
		      ",statistic,value,low,high,unit,status,method,sigma2,threshold,log_index,study_digest,variance,"
		      "revision,next_release,links_found,links_found_low,links_found_high,links_false_high%s\n",
		      a->compare_at >= 0 ? ",compared,against" : "");
}

/* What is the same in every row. */
static void put_head(struct buffer *out, const struct answer *a)
{
	text_csv(out, a->head.study);
	buffer_printf(out, ",%s,%" PRId64 ",", a->head.synthetic ? "synthetic" : "no", a->head.release);
	text_csv(out, a->head.as_of);
	buffer_append(out, ",", 1);
	text_csv(out, a->table.name);
	buffer_append(out, ",", 1);
	text_csv(out, a->table.measure);
}

struct line {
	const struct answer *a;
	const struct body_period *period;
	const struct answer_row *row;
	unsigned codes[STUDY_MAX_BY];
};

/* "due 2026-03-31", "revised; first in release 1", or nothing. */
static void put_revision(struct buffer *out, const struct body_period *p)
{
	if (p->revised_from > 0)
		buffer_printf(out, "revised; first in release %" PRId64, p->revised_from);
	else if (p->revision_due != NULL)
		buffer_printf(out, "due %s", p->revision_due);
}

/* Share of the links that were found, with limits, and the upper limit of the share that is false: of the row's arm. */
static void put_linkage(struct buffer *out, const struct line *line)
{
	struct link_counts links;
	struct rate found = {0}, wrong = {0};

	if (answer_links(line->a, line->codes, &links)) {
		found = correction_recall(&links);
		wrong = correction_false_share(&links);
	}
	for (unsigned i = 0; i < 4; i++) {
		buffer_append(out, ",", 1);
		if (i < 3 ? found.available : wrong.available)
			text_percent(out, i == 0 ? found.value : i == 1 ? found.low : i == 2 ? found.high : wrong.high);
	}
}

static void put_tail(struct buffer *out, const struct line *line)
{
	const struct answer *a = line->a;

	buffer_append(out, ",", 1);
	text_csv(out, a->head.method);
	buffer_append(out, ",", 1);
	text_milli(out, a->table.sigma2_milli);
	buffer_printf(out, ",%" PRId64 ",", a->table.threshold);
	if (a->head.log_index >= 0)
		buffer_printf(out, "%" PRId64, a->head.log_index);
	buffer_append(out, ",", 1);
	text_csv(out, a->head.study_digest);
	buffer_append(out, ",", 1);
	text_milli(out, (int64_t)line->row->variance_milli);
	buffer_append(out, ",", 1);
	put_revision(out, line->period);
	buffer_append(out, ",", 1);
	text_csv(out, a->head.next_release != NULL ? a->head.next_release : "");
	put_linkage(out, line);
	if (a->compare_at >= 0) {
		buffer_append(out, ",", 1);
		text_csv(out, a->by[a->compare_at].name);
		buffer_append(out, ",", 1);
		text_csv(out, a->by[a->compare_at].codes[a->against]);
	}
	buffer_append(out, "\n", 1);
}

static void put_start(struct buffer *out, const struct line *line)
{
	const struct answer *a = line->a;

	put_head(out, a);
	buffer_append(out, ",", 1);
	text_csv(out, line->period->period);
	buffer_printf(out, ",%s,%" PRId64, line->period->is_final ? "final" : "provisional", line->period->released_in);
	for (unsigned i = 0; i < a->n_by; i++) {
		buffer_append(out, ",", 1);
		text_csv(out, a->by[i].codes[line->codes[i]]);
	}
	buffer_append(out, ",", 1);
}

static const char *status_of(const struct line *line)
{
	if (!line->row->shown)
		return "hidden";
	return line->period->is_final ? "final" : "provisional";
}

static void put_count(struct buffer *out, const struct line *line, const char *statistic, int64_t value)
{
	put_start(out, line);
	text_csv(out, statistic);
	if (line->row->shown)
		buffer_printf(out, ",%" PRId64, value);
	else
		buffer_append(out, ",", 1);
	buffer_printf(out, ",,,%s,%s", wording_of(line->a->table.shape.kind)->csv_unit, status_of(line));
	put_tail(out, line);
}

/* Value and limits, then unit and status; all of them empty where there is no figure. */
static void put_estimate(struct buffer *out, const struct line *line, bool available, const char *unit)
{
	if (!available)
		buffer_append(out, ",,", 2);
	buffer_printf(out, ",%s,%s", unit, !line->row->shown || available ? status_of(line) : "unavailable");
	put_tail(out, line);
}

static void put_percent(struct buffer *out, const struct line *line, const char *name, const char *suffix,
			const struct rate *r)
{
	put_start(out, line);
	buffer_printf(out, "%s%s,", name, suffix);
	if (r->available) {
		text_percent(out, r->value);
		buffer_append(out, ",", 1);
		text_percent(out, r->low);
		buffer_append(out, ",", 1);
		text_percent(out, r->high);
	}
	put_estimate(out, line, r->available, "percent");
}

static void put_rate(struct buffer *out, const struct line *line, const struct outcome_statistic *statistic)
{
	struct rate r = {false, 0, 0, 0};

	if (line->row->shown)
		r = answer_rate(line->a, line->row, statistic);
	put_percent(out, line, statistic->name, "", &r);
}

static void put_corrected(struct buffer *out, const struct line *line, const struct outcome_statistic *statistic)
{
	struct rate r = {false, 0, 0, 0};

	if (line->row->shown) {
		struct rate crude = answer_rate(line->a, line->row, statistic);
		r = answer_corrected(line->a, line->codes, &crude, statistic->days);
	}
	put_percent(out, line, statistic->name, "_corrected", &r);
}

/* within_21_difference and within_21_ratio, against the code that the column `against` names; `suffix` "_corrected"
 * stands before that. */
static void put_contrast(struct buffer *out, const struct line *line, const struct outcome_statistic *statistic,
			 const char *suffix, const struct contrast *c)
{
	put_start(out, line);
	buffer_printf(out, "%s%s_difference,", statistic->name, suffix);
	if (c->available) {
		text_signed_percent(out, c->value);
		buffer_append(out, ",", 1);
		text_signed_percent(out, c->low);
		buffer_append(out, ",", 1);
		text_signed_percent(out, c->high);
	}
	put_estimate(out, line, c->available, "percentage points");
	put_start(out, line);
	buffer_printf(out, "%s%s_ratio,", statistic->name, suffix);
	if (c->available && c->has_ratio) {
		text_milli(out, c->ratio);
		buffer_append(out, ",", 1);
		text_milli(out, c->ratio_low);
		buffer_append(out, ",", 1);
		if (c->ratio_is_bounded)
			text_milli(out, c->ratio_high);
	}
	put_estimate(out, line, c->available && c->has_ratio, "ratio");
}

static void put_contrasts(struct buffer *out, const struct line *line, const struct outcome_statistic *statistic)
{
	const struct answer *a = line->a;
	size_t at = (size_t)(line->row - a->rows);
	const struct answer_row *rows = &a->rows[at / a->n_rows * a->n_rows];
	unsigned row = (unsigned)(at % a->n_rows);
	struct contrast c = answer_contrast(a, rows, row, statistic);

	put_contrast(out, line, statistic, "", &c);
	if (answer_is_corrected(a)) {
		struct rate rate;
		c = answer_contrast_corrected(a, rows, row, statistic, &rate);
		put_contrast(out, line, statistic, "_corrected", &c);
	}
}

static void put_population(struct buffer *out, const struct line *line)
{
	struct population p = {0};

	if (line->row->shown)
		p = answer_population(line->a, line->row);
	put_start(out, line);
	buffer_printf(out, "population_%s,", line->a->table.shape.n_lists == 2 ? "chapman" : "log_linear");
	if (p.available)
		buffer_printf(out, "%" PRId64 ",%" PRId64 ",", p.value, p.low);
	if (p.available && p.is_bounded)
		buffer_printf(out, "%" PRId64, p.high);
	put_estimate(out, line, p.available, "persons");
}

static void put_row(struct buffer *out, const struct line *line)
{
	const struct answer *a = line->a;

	put_count(out, line, "n", answer_total(a, line->row));
	for (unsigned c = 0; c < a->table.n_outcomes; c++)
		put_count(out, line, a->table.outcomes[c], line->row->cells[c]);
	for (unsigned i = 0; i < outcome_n_statistics(&a->table.shape); i++) {
		struct outcome_statistic statistic = outcome_statistic(&a->table.shape, i);
		put_rate(out, line, &statistic);
		if (answer_is_corrected(a))
			put_corrected(out, line, &statistic);
		if (a->compare_at >= 0 && line->codes[a->compare_at] != a->against)
			put_contrasts(out, line, &statistic);
	}
	if (a->table.shape.kind == MEASURE_POPULATION)
		put_population(out, line);
}

enum rc stats_render_csv(const json_t *body, const struct stats_query *query, struct buffer *out, struct diag *diag)
{
	struct answer a;
	size_t start = out->len;
	enum rc rc = answer_init(&a, body, query, diag);

	if (rc != RC_OK)
		return rc;
	put_header(out, &a);
	for (size_t i = 0; i < a.n_periods * a.n_rows; i++) {
		struct line line = {&a, &a.periods[i / a.n_rows], &a.rows[i], {0}};
		answer_row_codes(&a, (unsigned)(i % a.n_rows), line.codes);
		put_row(out, &line);
	}
	answer_deinit(&a);
	if (out->failed) {
		out->len = start;
		return RC_NOMEM;
	}
	return RC_OK;
}
