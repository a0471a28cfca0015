/* The one reader of release bodies. A field that is missing, of another type or out of range makes the whole body
 * RC_DAMAGED: an answer from half a body would be worse than none. */
#include "daemon/stats/body.h"

#include <string.h>

static const char *const kind_names[] = {[PERIOD_QUARTER] = "quarter", [PERIOD_YEAR] = "year", [PERIOD_ALL] = "all"};

const char *period_kind_name(enum period_kind kind)
{
	return kind_names[kind];
}

/* Readers of one member; the first failure sticks in *ok. */
static const char *get_text(const json_t *object, const char *key, bool *ok)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (text == NULL || strlen(text) != json_string_length(json_object_get(object, key)))
		*ok = false;
	return text != NULL ? text : "";
}

static int64_t get_number(const json_t *object, const char *key, int64_t low, int64_t high, bool *ok)
{
	const json_t *value = json_object_get(object, key);
	int64_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < low || number > high) {
		*ok = false;
		return low;
	}
	return number;
}

static bool get_bool(const json_t *object, const char *key, bool *ok)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_boolean(value))
		*ok = false;
	return json_is_true(value);
}

static const json_t *get_array(const json_t *object, const char *key, size_t low, size_t high, bool *ok)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_array(value) || json_array_size(value) < low || json_array_size(value) > high)
		*ok = false;
	return value;
}

static struct link_counts read_counts(const json_t *object, uint32_t sigma2_milli, bool *ok)
{
	const int64_t low = -BODY_MAX_COUNT, high = INT64_C(1) << 31;

	return (struct link_counts){
		.n_true = get_number(object, "true", low, high, ok),
		.n_false = get_number(object, "false", low, high, ok),
		.n_missed = get_number(object, "missed", low, high, ok),
		.n_doubt = get_number(object, "doubt", low, high, ok),
		.n_cells = 1,
		.sigma2_milli = sigma2_milli,
	};
}

static void read_links(const json_t *body, struct body_head *h, bool *ok)
{
	const json_t *linkage = json_object_get(body, "linkage");

	h->has_links = linkage != NULL;
	if (linkage == NULL)
		return;
	uint32_t sigma2_milli = (uint32_t)get_number(linkage, "sigma2_milli", 0, UINT32_MAX, ok);
	if (json_object_get(linkage, "arms") == NULL) {
		h->links = read_counts(linkage, sigma2_milli, ok);
		return;
	}
	h->links_by = get_text(linkage, "by", ok);
	h->arms = get_array(linkage, "arms", 1, STUDY_MAX_CODES + 1, ok);
	h->links.sigma2_milli = sigma2_milli;
	/* Doubts add up in squares: they are errors of estimates from different pairs. */
	unsigned __int128 doubt = 0;
	for (size_t i = 0; *ok && i < json_array_size(h->arms); i++) {
		const json_t *arm = json_array_get(h->arms, i);
		struct link_counts counts = read_counts(arm, sigma2_milli, ok);

		get_text(arm, "code", ok);
		h->links.n_true += counts.n_true;
		h->links.n_false += counts.n_false;
		h->links.n_missed += counts.n_missed;
		if (counts.n_doubt > 0)
			doubt += (unsigned __int128)((uint64_t)counts.n_doubt * (uint64_t)counts.n_doubt);
		h->links.n_cells++;
	}
	h->links.n_doubt = (int64_t)integer_root_up(doubt);
}

/* A date that may be missing. */
static const char *get_day(const json_t *object, const char *key, bool *ok)
{
	int32_t day;

	if (json_object_get(object, key) == NULL)
		return NULL;
	const char *text = get_text(object, key, ok);
	*ok &= day_parse(text, &day) == RC_OK;
	return text;
}

/* Absent in bodies of studies that announce nothing. */
static void read_policy(const json_t *disclosure, struct body_head *h, bool *ok)
{
	h->release_dates = json_object_get(disclosure, "release_dates");
	if (json_object_get(disclosure, "revision_after_days") != NULL)
		h->revision_after_days = get_number(disclosure, "revision_after_days", 1, UINT16_MAX, ok);
	if (h->release_dates == NULL)
		return;
	get_array(disclosure, "release_dates", 1, STUDY_MAX_RELEASE_DATES, ok);
	for (size_t i = 0; *ok && i < json_array_size(h->release_dates); i++) {
		const char *text = json_string_value(json_array_get(h->release_dates, i));
		int32_t day;
		if (text == NULL || day_parse(text, &day) != RC_OK)
			*ok = false;
		else if (h->next_release == NULL && strcmp(text, h->as_of) > 0)
			h->next_release = text;
	}
}

enum rc body_read_head(const json_t *body, struct body_head *ret)
{
	struct body_head h = {0};
	const json_t *disclosure = json_object_get(body, "disclosure");
	const json_t *log_index = json_object_get(json_object_get(body, "facts"), "log_index");
	bool ok = true;

	get_number(body, "v", 1, 1, &ok);
	h.study = get_text(body, "study", &ok);
	h.study_digest = get_text(body, "study_digest", &ok);
	h.title = get_text(body, "title", &ok);
	h.as_of = get_text(body, "as_of", &ok);
	h.synthetic = get_bool(body, "synthetic", &ok);
	h.release = get_number(body, "release", 1, UINT32_MAX, &ok);
	h.method = get_text(disclosure, "method", &ok);
	h.secret = get_text(disclosure, "secret", &ok);
	h.threshold = get_number(disclosure, "threshold", 0, UINT32_MAX, &ok);
	h.rho_micro = get_number(disclosure, "rho_micro", 0, INT64_MAX, &ok);
	h.rho_total_micro = get_number(disclosure, "rho_total_micro", 0, INT64_MAX, &ok);
	read_links(body, &h, &ok);
	read_policy(disclosure, &h, &ok);
	h.tables = get_array(body, "tables", 0, STUDY_MAX_TABLES, &ok);
	h.log_index = json_is_integer(log_index) ? json_integer_value(log_index) : -1;
	if (!ok)
		return RC_DAMAGED;
	*ret = h;
	return RC_OK;
}

static bool read_kind(const char *text, enum period_kind *ret)
{
	for (int k = PERIOD_QUARTER; k <= PERIOD_ALL; k++) {
		if (strcmp(text, kind_names[k]) == 0) {
			*ret = (enum period_kind)k;
			return true;
		}
	}
	return false;
}

static const char *array_text(const json_t *array, size_t at, bool *ok)
{
	const json_t *value = json_array_get(array, at);
	const char *text = json_string_value(value);

	if (text == NULL || strlen(text) != json_string_length(value) || strlen(text) >= OUTCOME_NAME_CAP)
		*ok = false;
	return text != NULL ? text : "";
}

static bool read_measure_kind(const char *text, enum study_measure_kind *ret)
{
	for (int k = MEASURE_CONTINUITY; k <= MEASURE_POPULATION; k++) {
		if (strcmp(text, study_measure_kind_name((enum study_measure_kind)k)) == 0) {
			*ret = (enum study_measure_kind)k;
			return true;
		}
	}
	return false;
}

static void read_bands(const json_t *json, struct body_table *t, bool *ok)
{
	const json_t *bands = get_array(json, "bands", t->shape.kind == MEASURE_POPULATION ? 0 : 1,
					t->shape.kind == MEASURE_POPULATION ? 0 : STUDY_MAX_BANDS, ok);

	if (!*ok)
		return;
	t->shape.n_bands = (uint8_t)json_array_size(bands);
	for (unsigned i = 0; i < t->shape.n_bands; i++) {
		json_int_t end = json_integer_value(json_array_get(bands, i));
		if (end < 0 || end >= UINT16_MAX || (i > 0 && end <= t->shape.bands[i - 1]))
			*ok = false;
		t->shape.bands[i] = (uint16_t)end;
	}
}

/* What only some kinds of measure have, and then the outcomes, whose number follows from all that. */
static void read_outcomes(const json_t *json, struct body_table *t, bool *ok)
{
	const json_t *outcomes = json_object_get(json, "outcomes");

	if (t->shape.kind == MEASURE_POPULATION) {
		const json_t *lists = get_array(json, "lists", 2, STUDY_MAX_CAPTURES, ok);
		for (; *ok && t->shape.n_lists < json_array_size(lists); t->shape.n_lists++)
			t->lists[t->shape.n_lists] = array_text(lists, t->shape.n_lists, ok);
	}
	if (t->shape.kind == MEASURE_MORTALITY)
		t->shape.by_cause = json_object_get(json, "drug_related") != NULL;
	if (t->shape.kind == MEASURE_RETENTION)
		t->start_within = (uint32_t)get_number(json, "start_within", 0, UINT16_MAX, ok);
	t->eligible = get_array(json, "eligible", 0, STUDY_MAX_RULES, ok);
	if (!*ok)
		return;
	t->n_outcomes = outcome_count(&t->shape);
	if (!json_is_array(outcomes) || json_array_size(outcomes) != t->n_outcomes)
		*ok = false;
	for (unsigned i = 0; *ok && i < t->n_outcomes; i++)
		t->outcomes[i] = array_text(outcomes, i, ok);
}

static void read_dimensions(const json_t *json, struct body_table *t, bool *ok)
{
	const json_t *by = get_array(json, "by", 0, STUDY_MAX_BY, ok);

	t->n_rows = 1;
	for (; *ok && t->n_by < json_array_size(by); t->n_by++) {
		struct body_dimension *d = &t->by[t->n_by];
		const json_t *object = json_array_get(by, t->n_by);
		const json_t *codes = get_array(object, "codes", 1, STUDY_MAX_CODES + 1, ok);
		d->name = get_text(object, "name", ok);
		if (strlen(d->name) >= STUDY_NAME_CAP)
			*ok = false;
		for (unsigned i = 0; i < t->n_by; i++)
			*ok &= strcmp(d->name, t->by[i].name) != 0;
		if (!*ok)
			return;
		d->n_codes = (unsigned)json_array_size(codes);
		for (unsigned i = 0; i < d->n_codes; i++)
			d->codes[i] = array_text(codes, i, ok);
		t->n_rows *= d->n_codes;
	}
}

enum rc body_read_table(const json_t *json, struct body_table *ret)
{
	struct body_table t = {0};
	bool ok = true;

	t.name = get_text(json, "name", &ok);
	t.measure = get_text(json, "measure", &ok);
	t.kind = get_text(json, "kind", &ok);
	ok &= read_kind(get_text(json, "period_kind", &ok), &t.period_kind);
	t.sigma2_milli = get_number(json, "sigma2_milli", 0, UINT32_MAX, &ok);
	t.threshold = get_number(json, "threshold", 0, UINT32_MAX, &ok);
	if (strlen(t.name) >= STUDY_NAME_CAP || strlen(t.measure) >= STUDY_NAME_CAP)
		ok = false;
	ok &= read_measure_kind(t.kind, &t.shape.kind);
	read_bands(json, &t, &ok);
	read_outcomes(json, &t, &ok);
	read_dimensions(json, &t, &ok);
	t.periods = get_array(json, "periods", 0, BODY_MAX_PERIODS, &ok);
	if (!ok)
		return RC_DAMAGED;
	*ret = t;
	return RC_OK;
}

static void read_variance(const struct body_table *table, const json_t *json, struct body_period *p, bool *ok)
{
	const json_t *list = json_object_get(json, "variance_milli");
	unsigned n = 1U << table->n_by;

	if (list != NULL)
		get_array(json, "variance_milli", n, n, ok);
	for (unsigned mask = 0; mask < n; mask++) {
		const json_t *value = json_array_get(list, mask);
		p->variance_milli[mask] = json_integer_value(value);
		if (list != NULL && (!json_is_integer(value) || p->variance_milli[mask] < 0 ||
				     p->variance_milli[mask] > BODY_MAX_VARIANCE_MILLI))
			*ok = false;
		if (list != NULL)
			continue;
		p->variance_milli[mask] = table->sigma2_milli;
		for (unsigned i = 0; i < table->n_by; i++)
			p->variance_milli[mask] *= (mask >> i & 1U) != 0 ? 1 : table->by[i].n_codes;
	}
}

enum rc body_read_period(const struct body_table *table, size_t at, struct body_period *ret)
{
	const json_t *json = json_array_get(table->periods, at);
	struct body_period p = {0};
	enum period_kind kind;
	bool ok = true;

	p.period = get_text(json, "period", &ok);
	const char *state = get_text(json, "state", &ok);
	p.is_final = strcmp(state, "final") == 0;
	p.released_in = get_number(json, "released_in", 1, UINT32_MAX, &ok);
	if (json_object_get(json, "revised_from") != NULL)
		p.revised_from = get_number(json, "revised_from", 1, UINT32_MAX, &ok);
	p.revision_due = get_day(json, "revision_due", &ok);
	p.rows = get_array(json, "rows", table->n_rows, table->n_rows, &ok);
	read_variance(table, json, &p, &ok);
	if (!ok || (!p.is_final && strcmp(state, "provisional") != 0) ||
	    period_parse(p.period, &kind, &p.index) != RC_OK || kind != table->period_kind)
		return RC_DAMAGED;
	*ret = p;
	return RC_OK;
}

enum rc body_read_row(const struct body_table *table, const struct body_period *period, unsigned at,
		      struct body_row *ret)
{
	const json_t *json = json_array_get(period->rows, at), *codes, *cells;
	struct body_row row = {0};
	unsigned place = 0;
	int64_t total = 0;
	bool ok = true;

	codes = get_array(json, "codes", table->n_by, table->n_by, &ok);
	row.shown = get_bool(json, "shown", &ok);
	for (unsigned i = 0; ok && i < table->n_by; i++) {
		json_int_t code = json_integer_value(json_array_get(codes, i));
		if (!json_is_integer(json_array_get(codes, i)) || code < 0 || code >= table->by[i].n_codes)
			return RC_DAMAGED;
		place = place * table->by[i].n_codes + (unsigned)code;
	}
	if (!ok || place != at)
		return RC_DAMAGED;
	if (row.shown) {
		cells = get_array(json, "cells", table->n_outcomes, table->n_outcomes, &ok);
		for (unsigned i = 0; ok && i < table->n_outcomes; i++) {
			const json_t *cell = json_array_get(cells, i);
			row.cells[i] = json_integer_value(cell);
			ok = json_is_integer(cell) && row.cells[i] >= -BODY_MAX_COUNT && row.cells[i] <= BODY_MAX_COUNT;
			total += row.cells[i];
		}
		if (!ok || get_number(json, "n", INT64_MIN, INT64_MAX, &ok) != total || !ok)
			return RC_DAMAGED;
	}
	*ret = row;
	return RC_OK;
}

const json_t *body_find_table(const json_t *body, const char *name)
{
	const json_t *tables = json_object_get(body, "tables");

	for (size_t i = 0; i < json_array_size(tables); i++) {
		const json_t *table = json_array_get(tables, i);
		const char *text = json_string_value(json_object_get(table, "name"));
		if (text != NULL && strcmp(text, name) == 0)
			return table;
	}
	return NULL;
}

bool body_find_arm(const struct body_head *head, const char *code, struct link_counts *ret)
{
	bool ok = true;

	for (size_t i = 0; i < json_array_size(head->arms); i++) {
		const json_t *arm = json_array_get(head->arms, i);

		if (strcmp(json_string_value(json_object_get(arm, "code")), code) != 0)
			continue;
		*ret = read_counts(arm, head->links.sigma2_milli, &ok);
		return ok;
	}
	return false;
}
