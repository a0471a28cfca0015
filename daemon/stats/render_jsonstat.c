/* JSON-stat 2.0 (https://json-stat.org/full): one dataset, dimensions period, those asked for, outcome. Values are
 * noisy counts; a hidden row is null with status "hidden", never zero. Rates and metadata stand under `extension`
 * (docs/protocol.md "Answers"). Written directly, since percentages are decimals and no floating point is used here. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/stats/answer.h"
#include "daemon/stats/text.h"
#include "daemon/stats/wording.h"

static void put_key(struct buffer *out, const char *key)
{
	text_json(out, key);
	buffer_append(out, ":", 1);
}

static void put_member(struct buffer *out, const char *key, const char *text)
{
	buffer_append(out, ",", 1);
	put_key(out, key);
	text_json(out, text);
}

static void put_number(struct buffer *out, const char *key, int64_t number)
{
	buffer_append(out, ",", 1);
	put_key(out, key);
	buffer_printf(out, "%" PRId64, number);
}

static void put_comma(struct buffer *out, bool is_first)
{
	if (!is_first)
		buffer_append(out, ",", 1);
}

/* ---- dimensions ---- */

static void put_shape(struct buffer *out, const struct answer *a)
{
	buffer_printf(out, ",\"id\":[\"period\"");
	for (unsigned i = 0; i < a->n_by; i++) {
		buffer_append(out, ",", 1);
		text_json(out, a->by[i].name);
	}
	buffer_printf(out, ",\"outcome\"],\"size\":[%zu", a->n_periods);
	for (unsigned i = 0; i < a->n_by; i++)
		buffer_printf(out, ",%u", a->by[i].n_codes);
	buffer_printf(out, ",%u],\"role\":{\"time\":[\"period\"],\"metric\":[\"outcome\"]}", a->table.n_outcomes);
}

static void put_outcome_dimension(struct buffer *out, const struct answer *a)
{
	const struct wording *words = wording_of(a->table.shape.kind);

	buffer_printf(out, "\"outcome\":{\"label\":\"%s\",\"category\":{\"index\":[", words->outcome);
	for (unsigned i = 0; i < a->table.n_outcomes; i++) {
		put_comma(out, i == 0);
		text_json(out, a->table.outcomes[i]);
	}
	buffer_printf(out, "],\"unit\":{");
	for (unsigned i = 0; i < a->table.n_outcomes; i++) {
		put_comma(out, i == 0);
		put_key(out, a->table.outcomes[i]);
		buffer_printf(out, "{\"label\":\"%s\",\"decimals\":0}", words->unit);
	}
	buffer_printf(out, "}}}");
}

static void put_dimensions(struct buffer *out, const struct answer *a)
{
	buffer_printf(out, ",\"dimension\":{\"period\":{\"label\":\"%s\",\"category\":{\"index\":[",
		      wording_of(a->table.shape.kind)->period);
	for (size_t p = 0; p < a->n_periods; p++) {
		put_comma(out, p == 0);
		text_json(out, a->periods[p].period);
	}
	buffer_printf(out, "]}},");
	for (unsigned i = 0; i < a->n_by; i++) {
		put_key(out, a->by[i].name);
		buffer_printf(out, "{\"category\":{\"index\":[");
		for (unsigned c = 0; c < a->by[i].n_codes; c++) {
			put_comma(out, c == 0);
			text_json(out, a->by[i].codes[c]);
		}
		buffer_printf(out, "]}},");
	}
	put_outcome_dimension(out, a);
	buffer_append(out, "}", 1);
}

/* ---- values ---- */

static void put_values(struct buffer *out, const struct answer *a)
{
	buffer_printf(out, ",\"value\":[");
	for (size_t i = 0; i < a->n_periods * a->n_rows; i++) {
		for (unsigned c = 0; c < a->table.n_outcomes; c++) {
			put_comma(out, i == 0 && c == 0);
			if (a->rows[i].shown)
				buffer_printf(out, "%" PRId64, a->rows[i].cells[c]);
			else
				buffer_append(out, "null", 4);
		}
	}
	buffer_append(out, "]", 1);
}

/* A status for every value that is hidden or provisional; others have none. */
static void put_status(struct buffer *out, const struct answer *a)
{
	bool is_first = true;

	buffer_printf(out, ",\"status\":{");
	for (size_t i = 0; i < a->n_periods * a->n_rows; i++) {
		if (a->rows[i].shown && a->periods[i / a->n_rows].is_final)
			continue;
		for (unsigned c = 0; c < a->table.n_outcomes; c++) {
			put_comma(out, is_first);
			is_first = false;
			buffer_printf(out, "\"%zu\":\"%s\"", i * a->table.n_outcomes + c,
				      a->rows[i].shown ? "provisional" : "hidden");
		}
	}
	buffer_append(out, "}", 1);
}

/* ---- rates ---- */

static void put_codes(struct buffer *out, const struct answer *a, unsigned row)
{
	unsigned codes[STUDY_MAX_BY];

	answer_row_codes(a, row, codes);
	buffer_printf(out, "\"by\":{");
	for (unsigned i = 0; i < a->n_by; i++) {
		put_comma(out, i == 0);
		put_key(out, a->by[i].name);
		text_json(out, a->by[i].codes[codes[i]]);
	}
	buffer_append(out, "}", 1);
}

static const char *rates_key(const struct answer *a)
{
	return a->table.shape.kind == MEASURE_RETENTION ? "at_least" : "within";
}

static void put_cause(struct buffer *out, const struct answer *a, const struct outcome_statistic *statistic)
{
	if (a->table.shape.by_cause)
		put_member(out, "cause", statistic->drug_related ? "drug_related" : "any");
}

/* null = withheld */
static void put_corrected(struct buffer *out, const struct answer *a, const unsigned codes[STUDY_MAX_BY],
			  const struct rate *crude, uint32_t days)
{
	struct rate r = answer_corrected(a, codes, crude, days);

	if (!r.available) {
		buffer_printf(out, ",\"corrected\":null");
		return;
	}
	buffer_printf(out, ",\"corrected\":{\"percent\":");
	text_percent(out, r.value);
	buffer_printf(out, ",\"low\":");
	text_percent(out, r.low);
	buffer_printf(out, ",\"high\":");
	text_percent(out, r.high);
	buffer_append(out, "}", 1);
}

static void put_rate(struct buffer *out, const struct answer *a, const struct answer_row *row,
		     const unsigned codes[STUDY_MAX_BY], const struct outcome_statistic *statistic)
{
	struct rate r = answer_rate(a, row, statistic);

	buffer_printf(out, "{\"days\":%u", statistic->days);
	put_cause(out, a, statistic);
	put_number(out, "count", answer_sum(a, row, statistic->mask));
	if (r.available) {
		buffer_printf(out, ",\"percent\":");
		text_percent(out, r.value);
		buffer_printf(out, ",\"low\":");
		text_percent(out, r.low);
		buffer_printf(out, ",\"high\":");
		text_percent(out, r.high);
	} else {
		buffer_printf(out, ",\"percent\":null,\"low\":null,\"high\":null");
	}
	if (answer_is_corrected(a))
		put_corrected(out, a, codes, &r, statistic->days);
	buffer_append(out, "}", 1);
}

static void put_population(struct buffer *out, const struct answer *a, const struct answer_row *row)
{
	struct population p = answer_population(a, row);

	buffer_printf(out, ",\"population\":{\"method\":\"%s\"",
		      a->table.shape.n_lists == 2 ? "chapman" : "log-linear");
	if (p.available) {
		put_number(out, "estimate", p.value);
		put_number(out, "low", p.low);
	} else {
		buffer_printf(out, ",\"estimate\":null,\"low\":null");
	}
	if (p.available && p.is_bounded)
		put_number(out, "high", p.high);
	else
		buffer_printf(out, ",\"high\":null");
	buffer_append(out, "}", 1);
}

/* `at`: which of the rows of a period it is. */
static void put_rates_of(struct buffer *out, const struct answer *a, const struct answer_row *row, unsigned at)
{
	unsigned codes[STUDY_MAX_BY];

	answer_row_codes(a, at, codes);
	buffer_printf(out, ",\"n\":%" PRId64 ",\"observable\":%" PRId64, answer_total(a, row),
		      answer_observable(a, row));
	buffer_printf(out, ",\"variance\":");
	text_milli(out, (int64_t)row->variance_milli);
	if (a->table.shape.kind == MEASURE_POPULATION) {
		put_population(out, a, row);
		return;
	}
	buffer_printf(out, ",\"%s\":[", rates_key(a));
	for (unsigned i = 0; i < outcome_n_statistics(&a->table.shape); i++) {
		struct outcome_statistic statistic = outcome_statistic(&a->table.shape, i);
		put_comma(out, i == 0);
		put_rate(out, a, row, codes, &statistic);
	}
	buffer_append(out, "]", 1);
}

static void put_rates(struct buffer *out, const struct answer *a)
{
	buffer_printf(out, ",\"rates\":[");
	for (size_t i = 0; i < a->n_periods * a->n_rows; i++) {
		const struct body_period *p = &a->periods[i / a->n_rows];
		put_comma(out, i == 0);
		buffer_append(out, "{", 1);
		put_key(out, "period");
		text_json(out, p->period);
		buffer_printf(out, ",\"state\":\"%s\",\"released_in\":%" PRId64 ",",
			      p->is_final ? "final" : "provisional", p->released_in);
		if (p->revised_from > 0)
			buffer_printf(out, "\"revised_from\":%" PRId64 ",", p->revised_from);
		if (p->revision_due != NULL)
			buffer_printf(out, "\"revision_due\":\"%s\",", p->revision_due);
		put_codes(out, a, (unsigned)(i % a->n_rows));
		buffer_printf(out, ",\"shown\":%s", a->rows[i].shown ? "true" : "false");
		if (a->rows[i].shown)
			put_rates_of(out, a, &a->rows[i], (unsigned)(i % a->n_rows));
		buffer_append(out, "}", 1);
	}
	buffer_append(out, "]", 1);
}

static void put_pooled(struct buffer *out, const struct answer *a)
{
	bool is_first = true;

	buffer_printf(out, ",\"pooled\":[");
	for (unsigned r = 0; r < a->n_rows; r++) {
		if (!a->pooled[r].shown)
			continue;
		put_comma(out, is_first);
		is_first = false;
		buffer_append(out, "{", 1);
		put_codes(out, a, r);
		buffer_printf(out, ",\"periods\":%" PRIu32, a->pooled[r].n_periods);
		put_rates_of(out, a, &a->pooled[r], r);
		buffer_append(out, "}", 1);
	}
	buffer_append(out, "]", 1);
}

/* ---- comparisons ---- */

static void put_contrast(struct buffer *out, const struct contrast *c)
{
	if (!c->available) {
		buffer_printf(out, ",\"difference\":null,\"ratio\":null");
		return;
	}
	buffer_printf(out, ",\"difference\":{\"points\":");
	text_signed_percent(out, c->value);
	buffer_printf(out, ",\"low\":");
	text_signed_percent(out, c->low);
	buffer_printf(out, ",\"high\":");
	text_signed_percent(out, c->high);
	if (!c->has_ratio) {
		buffer_printf(out, "},\"ratio\":null");
		return;
	}
	buffer_printf(out, "},\"ratio\":{\"value\":");
	text_milli(out, c->ratio);
	buffer_printf(out, ",\"low\":");
	text_milli(out, c->ratio_low);
	buffer_printf(out, ",\"high\":");
	if (c->ratio_is_bounded)
		text_milli(out, c->ratio_high);
	else
		buffer_append(out, "null", 4);
	buffer_append(out, "}", 1);
}

/* null = withheld */
static void put_corrected_contrast(struct buffer *out, const struct contrast *c, const struct rate *rate)
{
	if (!c->available) {
		buffer_printf(out, ",\"corrected\":null");
		return;
	}
	buffer_printf(out, ",\"corrected\":{\"percent\":");
	text_percent(out, rate->value);
	put_contrast(out, c);
	buffer_append(out, "}", 1);
}

/* Of one row, crude; or of one code, standardised over all other dimensions. */
static void put_contrasts(struct buffer *out, const struct answer *a, const struct answer_row *rows, unsigned row,
			  bool standardised)
{
	unsigned codes[STUDY_MAX_BY];

	answer_row_codes(a, row, codes);
	unsigned code = codes[a->compare_at];
	buffer_printf(out, ",\"%s\":[", rates_key(a));
	for (unsigned i = 0; i < outcome_n_statistics(&a->table.shape); i++) {
		struct outcome_statistic s = outcome_statistic(&a->table.shape, i);
		struct rate rate = {false, 0, 0, 0}, corrected;
		struct contrast c = standardised ? answer_standardised(a, rows, code, &s, &rate)
						 : answer_contrast(a, rows, row, &s);
		if (!standardised && rows[row].shown)
			rate = answer_rate(a, &rows[row], &s);
		buffer_printf(out, "%s{\"days\":%u", i == 0 ? "" : ",", s.days);
		put_cause(out, a, &s);
		buffer_printf(out, ",\"percent\":");
		if (rate.available)
			text_percent(out, rate.value);
		else
			buffer_append(out, "null", 4);
		put_contrast(out, &c);
		if (answer_is_corrected(a)) {
			c = standardised ? answer_standardised_corrected(a, rows, code, &s, &corrected)
					 : answer_contrast_corrected(a, rows, row, &s, &corrected);
			put_corrected_contrast(out, &c, &corrected);
		}
		buffer_append(out, "}", 1);
	}
	buffer_append(out, "]", 1);
}

/* All comparisons of one period (NULL: of the pooled ones). */
static void put_comparisons(struct buffer *out, const struct answer *a, const struct body_period *p,
			    const struct answer_row *rows, bool *is_first)
{
	unsigned codes[STUDY_MAX_BY];

	for (unsigned pass = 0; pass < (a->n_by > 1 ? 2 : 1); pass++) {
		for (unsigned row = 0; row < a->n_rows; row++) {
			bool others_are_0 = true;
			answer_row_codes(a, row, codes);
			for (unsigned i = 0; i < a->n_by; i++)
				others_are_0 &= (int)i == a->compare_at || codes[i] == 0;
			if (codes[a->compare_at] == a->against || (pass == 1 && !others_are_0) ||
			    (p == NULL && pass == 0 && !rows[row].shown))
				continue;
			put_comma(out, *is_first);
			*is_first = false;
			buffer_printf(out, "{\"standardised\":%s", pass == 1 ? "true" : "false");
			if (p != NULL) {
				put_member(out, "period", p->period);
				put_member(out, "state", p->is_final ? "final" : "provisional");
			}
			buffer_printf(out, ",\"by\":{");
			for (unsigned i = 0, n = 0; i < a->n_by; i++) {
				if (pass == 1 && (int)i != a->compare_at)
					continue;
				put_comma(out, n++ == 0);
				put_key(out, a->by[i].name);
				text_json(out, a->by[i].codes[codes[i]]);
			}
			buffer_append(out, "}", 1);
			put_contrasts(out, a, rows, row, pass == 1);
			buffer_append(out, "}", 1);
		}
	}
}

static void put_comparison(struct buffer *out, const struct answer *a)
{
	bool is_first = true;

	if (a->compare_at < 0)
		return;
	buffer_printf(out, ",\"comparison\":{\"dimension\":");
	text_json(out, a->by[a->compare_at].name);
	put_member(out, "against", a->by[a->compare_at].codes[a->against]);
	buffer_printf(out, ",\"rows\":[");
	for (size_t p = 0; p < a->n_periods; p++)
		put_comparisons(out, a, &a->periods[p], &a->rows[p * a->n_rows], &is_first);
	buffer_printf(out, "],\"pooled\":[");
	is_first = true;
	put_comparisons(out, a, NULL, a->pooled, &is_first);
	buffer_printf(out, "]}");
}

/* ---- metadata ---- */

struct note_list {
	struct buffer *out;
	bool is_first;
};

static void put_note(void *ctx, const char *note)
{
	struct note_list *list = ctx;

	put_comma(list->out, list->is_first);
	list->is_first = false;
	text_json(list->out, note);
}

static void put_notes(struct buffer *out, const struct answer *a)
{
	struct note_list list = {out, true};

	buffer_printf(out, ",\"note\":[");
	wording_notes(a, put_note, &list);
	buffer_append(out, "]", 1);
}

/* Who is counted at all: every rule of them must hold. */
static void put_eligible(struct buffer *out, const struct answer *a)
{
	char *text = json_dumps(a->table.eligible, JSON_COMPACT);

	buffer_printf(out, ",\"eligible\":");
	if (text == NULL)
		out->failed = true;
	else
		buffer_append(out, text, strlen(text));
	free(text);
}

static void put_share(struct buffer *out, const char *name, bool available, uint32_t share)
{
	buffer_printf(out, ",\"%s\":", name);
	if (available)
		text_percent(out, share);
	else
		buffer_append(out, "null", 4);
}

/* The counts, and the two error rates of a person that they say. */
static void put_counts(struct buffer *out, const struct link_counts *links)
{
	struct rate recall = correction_recall(links), wrong = correction_false_share(links);

	buffer_printf(out, "\"true\":%" PRId64 ",\"false\":%" PRId64 ",\"missed\":%" PRId64 ",\"doubt\":%" PRId64,
		      links->n_true, links->n_false, links->n_missed, links->n_doubt);
	put_share(out, "found_percent", recall.available, recall.value);
	put_share(out, "found_low", recall.available, recall.low);
	put_share(out, "found_high", recall.available, recall.high);
	put_share(out, "false_percent", wrong.available, wrong.value);
	put_share(out, "false_high", wrong.available, wrong.high);
}

static void put_links(struct buffer *out, const struct answer *a)
{
	const struct body_head *h = &a->head;

	buffer_printf(out, ",\"linkage\":{\"sigma2\":");
	text_milli(out, h->links.sigma2_milli);
	buffer_append(out, ",", 1);
	put_counts(out, &h->links);
	if (h->links_by != NULL) {
		put_member(out, "by", h->links_by);
		buffer_printf(out, ",\"arms\":[");
		for (size_t i = 0; i < json_array_size(h->arms); i++) {
			const char *code = json_string_value(json_object_get(json_array_get(h->arms, i), "code"));
			struct link_counts links = {0};

			put_comma(out, i == 0);
			buffer_printf(out, "{\"code\":");
			text_json(out, code);
			buffer_append(out, ",", 1);
			body_find_arm(h, code, &links);
			put_counts(out, &links);
			buffer_append(out, "}", 1);
		}
		buffer_append(out, "]", 1);
	}
	buffer_append(out, "}", 1);
}

/* When there will be releases, and what becomes of what is published. */
static void put_policy(struct buffer *out, const struct body_head *h)
{
	buffer_printf(out, ",\"revision_after_days\":");
	if (h->revision_after_days > 0)
		buffer_printf(out, "%" PRId64, h->revision_after_days);
	else
		buffer_append(out, "null", 4);
	buffer_printf(out, ",\"release_dates\":[");
	for (size_t i = 0; i < json_array_size(h->release_dates); i++) {
		put_comma(out, i == 0);
		text_json(out, json_string_value(json_array_get(h->release_dates, i)));
	}
	buffer_append(out, "]", 1);
	if (h->next_release != NULL)
		put_member(out, "next_release", h->next_release);
	else
		buffer_printf(out, ",\"next_release\":null");
}

static void put_extension(struct buffer *out, const struct answer *a)
{
	const struct body_head *h = &a->head;

	buffer_printf(out, ",\"extension\":{\"synthetic\":%s", h->synthetic ? "true" : "false");
	put_member(out, "study", h->study);
	put_member(out, "study_digest", h->study_digest);
	put_number(out, "release", h->release);
	put_member(out, "as_of", h->as_of);
	put_member(out, "table", a->asked_table);
	put_member(out, "source_table", a->table.name);
	put_member(out, "measure", a->table.measure);
	put_member(out, "kind", a->table.kind);
	put_eligible(out, a);
	put_member(out, "unit", wording_of(a->table.shape.kind)->unit);
	put_member(out, "rate", wording_of(a->table.shape.kind)->rate);
	put_member(out, "period_kind", period_kind_name(a->table.period_kind));
	put_member(out, "method", h->method);
	put_member(out, "secret", h->secret);
	buffer_printf(out, ",\"sigma2\":");
	text_milli(out, a->table.sigma2_milli);
	put_number(out, "threshold", a->table.threshold);
	put_number(out, "rho_micro", h->rho_micro);
	put_number(out, "rho_total_micro", h->rho_total_micro);
	if (h->log_index >= 0)
		put_number(out, "log_index", h->log_index);
	else
		buffer_printf(out, ",\"log_index\":null");
	put_policy(out, h);
	if (a->head.has_links)
		put_links(out, a);
	put_rates(out, a);
	put_pooled(out, a);
	put_comparison(out, a);
	buffer_append(out, "}", 1);
}

enum rc stats_render_jsonstat(const json_t *body, const struct stats_query *query, struct buffer *out,
			      struct diag *diag)
{
	struct answer a;
	size_t start = out->len;
	enum rc rc = answer_init(&a, body, query, diag);

	if (rc != RC_OK)
		return rc;
	buffer_printf(out, "{\"version\":\"2.0\",\"class\":\"dataset\"");
	put_member(out, "label", a.head.title);
	put_member(out, "source", a.head.study);
	put_member(out, "updated", a.head.as_of);
	put_shape(out, &a);
	put_dimensions(out, &a);
	put_values(out, &a);
	put_status(out, &a);
	put_notes(out, &a);
	put_extension(out, &a);
	buffer_append(out, "}\n", 2);
	answer_deinit(&a);
	if (out->failed) {
		out->len = start;
		return RC_NOMEM;
	}
	return RC_OK;
}
