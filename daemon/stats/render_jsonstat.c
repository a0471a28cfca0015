/* JSON-stat 2.0 (https://json-stat.org/full): one dataset, dimensions period, those asked for, outcome. Values are
 * noisy counts; a hidden row is null with status "hidden", never zero. Rates and metadata stand under `extension`
 * (docs/protocol.md "Answers"). Written directly, since percentages are decimals and no floating point is used here. */
#include <inttypes.h>
#include <string.h>

#include "daemon/stats/answer.h"
#include "daemon/stats/text.h"

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
	buffer_printf(out, "\"outcome\":{\"label\":\"Outcome after release\",\"category\":{\"index\":[");
	for (unsigned i = 0; i < a->table.n_outcomes; i++) {
		put_comma(out, i == 0);
		text_json(out, a->table.outcomes[i]);
	}
	buffer_printf(out, "],\"unit\":{");
	for (unsigned i = 0; i < a->table.n_outcomes; i++) {
		put_comma(out, i == 0);
		put_key(out, a->table.outcomes[i]);
		buffer_printf(out, "{\"label\":\"releases to liberty\",\"decimals\":0}");
	}
	buffer_printf(out, "}}}");
}

static void put_dimensions(struct buffer *out, const struct answer *a)
{
	buffer_printf(out, ",\"dimension\":{\"period\":{\"label\":\"Period of release\",\"category\":{\"index\":[");
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

static void put_rates_of(struct buffer *out, const struct answer *a, const struct answer_row *row)
{
	buffer_printf(out, ",\"n\":%" PRId64 ",\"observable\":%" PRId64 ",\"within\":[", answer_total(a, row),
		      answer_observable(a, row));
	for (unsigned b = 0; b < a->table.n_bands; b++) {
		struct rate r = answer_rate(a, row, b);
		buffer_printf(out, "%s{\"days\":%u,\"count\":%" PRId64, b == 0 ? "" : ",", a->table.bands[b],
			      answer_within(a, row, b));
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
		buffer_append(out, "}", 1);
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
		put_codes(out, a, (unsigned)(i % a->n_rows));
		buffer_printf(out, ",\"shown\":%s", a->rows[i].shown ? "true" : "false");
		if (a->rows[i].shown)
			put_rates_of(out, a, &a->rows[i]);
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
		put_rates_of(out, a, &a->pooled[r]);
		buffer_append(out, "}", 1);
	}
	buffer_append(out, "]", 1);
}

/* ---- metadata ---- */

static void put_notes(struct buffer *out, const struct answer *a)
{
	buffer_printf(out, ",\"note\":[");
	if (a->head.synthetic)
		buffer_printf(out, "\"Synthetic data: these figures describe no real person.\",");
	if (a->table.sigma2_milli > 0)
		buffer_printf(out, "\"Every count carries random noise; a small one may be negative.\",");
	buffer_printf(out,
		      "\"Hidden rows are unknown, not zero.\","
		      "\"Counts are releases to liberty, a person's first in a period; pooled periods may count a "
		      "person once each.\","
		      "\"Rates are not corrected for linkage errors: a missed link reads as no treatment. Intervals "
		      "hold sampling and noise.\"]");
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
	put_rates(out, a);
	put_pooled(out, a);
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
