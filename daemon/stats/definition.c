/* What a table is, as a release body says it: name, measure, bands, outcomes, dimensions with their codes, noise. Two
 * releases carry the same table when this is equal but for the threshold. */
#include "daemon/stats/body.h"
#include "daemon/stats/tables.h"
#include "proto/day.h"
#include "proto/lattice.h"

static json_t *texts_of_outcomes(const struct study_measure *measure)
{
	json_t *list = json_array();
	struct outcome_shape shape = outcome_shape_of(measure);
	char name[OUTCOME_NAME_CAP];

	for (unsigned i = 0; i < outcome_count(&shape); i++) {
		outcome_name(measure, i, name);
		if (json_array_append_new(list, json_string(name)) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *numbers_of_bands(const struct study_measure *measure)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < measure->n_bands; i++) {
		if (json_array_append_new(list, json_integer(measure->band_ends[i])) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *list_of_dimensions(const struct study *study, const struct study_table *table)
{
	json_t *list = json_array();

	for (int i = 0; i < table->n_by; i++) {
		const struct study_dimension *d = &study->dimensions[table->by[i]];
		json_t *codes = json_array();
		bool ok = true;
		for (int c = 0; c <= d->n_codes; c++)
			ok &= json_array_append_new(codes, json_string(d->codes[c])) == 0;
		json_t *object = ok ? json_pack("{s:s, s:O}", "name", d->name, "codes", codes) : NULL;
		json_decref(codes);
		if (json_array_append_new(list, object) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* {"dimension", "codes"} */
static json_t *rule_json(const struct study *study, const struct study_rule *rule)
{
	const struct study_dimension *d = &study->dimensions[rule->dimension];
	json_t *codes = json_array(), *object = NULL;
	bool ok = codes != NULL;

	for (int c = 0; c <= d->n_codes; c++)
		ok &= !rule->codes[c] || json_array_append_new(codes, json_string(d->codes[c])) == 0;
	if (ok)
		object = json_pack("{s:s, s:O}", "dimension", d->name, "codes", codes);
	json_decref(codes);
	return object;
}

static json_t *list_of_rules(const struct study *study, const struct study_measure *measure)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < measure->n_eligible; i++) {
		if (json_array_append_new(list, rule_json(study, &measure->eligible[i])) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* What only some kinds of measure have. */
static enum rc add_specifics(const struct study *study, const struct study_measure *measure, json_t *definition)
{
	json_t *lists = json_array();
	bool ok = true;

	if (measure->by_cause)
		ok &= json_object_set_new(definition, "drug_related", rule_json(study, &measure->drug_related)) == 0;
	if (measure->kind == MEASURE_RETENTION)
		ok &= json_object_set_new(definition, "start_within", json_integer(measure->start_within)) == 0;
	for (unsigned i = 0; i < measure->n_captures; i++)
		ok &= json_array_append_new(lists, json_string(measure->captures[i].name)) == 0;
	if (measure->kind == MEASURE_POPULATION)
		ok &= json_object_set(definition, "lists", lists) == 0;
	json_decref(lists);
	return ok ? RC_OK : RC_NOMEM;
}

enum rc table_definition(const struct study *study, const struct study_table *table, json_t **ret)
{
	const struct study_measure *measure = &study->measures[table->measure];
	json_t *bands = numbers_of_bands(measure), *outcomes = texts_of_outcomes(measure);
	json_t *by = list_of_dimensions(study, table), *eligible = list_of_rules(study, measure), *definition = NULL;

	if (bands != NULL && outcomes != NULL && by != NULL && eligible != NULL)
		definition = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:O, s:O, s:O, s:O}", "name", table->name,
				       "measure", measure->name, "kind", study_measure_kind_name(measure->kind),
				       "period_kind", period_kind_name(table->period), "sigma2_milli",
				       (json_int_t)table_sigma2_milli(study, table), "threshold",
				       (json_int_t)lattice_threshold(study, table), "bands", bands, "outcomes",
				       outcomes, "by", by, "eligible", eligible);
	json_decref(bands);
	json_decref(outcomes);
	json_decref(by);
	json_decref(eligible);
	if (definition == NULL)
		return RC_NOMEM;
	if (add_specifics(study, measure, definition) != RC_OK) {
		json_decref(definition);
		return RC_NOMEM;
	}
	*ret = definition;
	return RC_OK;
}

bool table_policy(const struct study_disclosure *d, json_t *json)
{
	json_t *dates = json_array();
	char text[DAY_TEXT_LEN];
	bool ok = dates != NULL;

	if (d->revision_after_days > 0)
		ok &= json_object_set_new(json, "revision_after_days", json_integer(d->revision_after_days)) == 0;
	for (unsigned i = 0; i < d->n_release_dates; i++) {
		day_format(d->release_dates[i], text);
		ok &= json_array_append_new(dates, json_string(text)) == 0;
	}
	if (d->n_release_dates > 0)
		ok &= json_object_set(json, "release_dates", dates) == 0;
	json_decref(dates);
	return ok;
}
