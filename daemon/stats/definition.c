/* What a table is, as a release body says it: name, measure, bands, outcomes, dimensions with their codes, noise. Two
 * releases carry the same table when this is equal but for the threshold. */
#include "daemon/stats/body.h"
#include "daemon/stats/tables.h"

static json_t *texts_of_outcomes(const struct study_measure *measure)
{
	json_t *list = json_array();
	char name[32];

	for (unsigned i = 0; i < continuity_n_outcomes(measure); i++) {
		continuity_outcome_name(measure, i, name);
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

enum rc table_definition(const struct study *study, const struct study_table *table, json_t **ret)
{
	const struct study_measure *measure = &study->measures[table->measure];
	json_t *bands = numbers_of_bands(measure), *outcomes = texts_of_outcomes(measure);
	json_t *by = list_of_dimensions(study, table), *definition = NULL;

	if (bands != NULL && outcomes != NULL && by != NULL)
		definition = json_pack(
			"{s:s, s:s, s:s, s:s, s:I, s:I, s:O, s:O, s:O}", "name", table->name, "measure", measure->name,
			"kind", "continuity", "period_kind", period_kind_name(table->period), "sigma2_milli",
			(json_int_t)table_sigma2_milli(study, table), "threshold",
			(json_int_t)table_threshold(study, table), "bands", bands, "outcomes", outcomes, "by", by);
	json_decref(bands);
	json_decref(outcomes);
	json_decref(by);
	if (definition == NULL)
		return RC_NOMEM;
	*ret = definition;
	return RC_OK;
}
