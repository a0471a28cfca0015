/* The noise on one table's counts, by the study's method. After this nothing true is left in `values`. */
#include <string.h>

#include "daemon/stats/cell_key.h"
#include "daemon/stats/noise.h"
#include "daemon/stats/tables.h"
#include "proto/day.h"
#include "proto/json.h"

/* What every cell of one row says of itself; the outcome is set cell by cell. */
static json_t *row_identity(const struct table_cells *cells, uint32_t period, unsigned row)
{
	const struct study *study = cells->study;
	const struct study_table *table = cells->table;
	char period_text[PERIOD_TEXT_LEN];
	unsigned codes[STUDY_MAX_BY];
	json_t *by = json_object();

	table_row_codes(study, table, row, codes);
	for (int i = 0; i < table->n_by; i++) {
		const struct study_dimension *d = &study->dimensions[table->by[i]];
		if (json_object_set_new(by, d->name, json_string(d->codes[codes[i]])) != 0) {
			json_decref(by);
			return NULL;
		}
	}
	period_format(table->period, table_plan_index(&cells->plan, period), period_text);
	return json_pack("{s:s, s:s, s:o, s:I, s:s}", "measure", study->measures[table->measure].name, "period",
			 period_text, "by", by, "sigma2_milli", (json_int_t)table_sigma2_milli(study, table), "study",
			 study->name);
}

static enum rc add_cell_noise(const struct table_cells *cells, json_t *identity, unsigned outcome,
			      const struct stats_params *params, struct buffer *text, int64_t *value)
{
	char name[OUTCOME_NAME_CAP];
	uint8_t seed[NOISE_SEED_LEN] = {0};
	struct noise_stream stream;
	int64_t noise = 0;

	outcome_name(&cells->study->measures[cells->table->measure], outcome, name);
	if (json_object_set_new(identity, "outcome", json_string(name)) != 0)
		return RC_NOMEM;
	buffer_reset(text);
	enum rc rc = json_canonical(identity, text);
	if (rc == RC_OK)
		rc = params->prf(params->prf_ctx, text->data, text->len, seed);
	if (rc != RC_OK)
		return rc;
	noise_init(&stream, seed);
	rc = noise_gaussian(&stream, table_sigma2_milli(cells->study, cells->table), &noise);
	if (rc == RC_OK)
		*value += noise;
	noise_deinit(&stream);
	explicit_bzero(seed, sizeof seed);
	return rc;
}

static enum rc add_keyed_noise(struct table_cells *cells, const struct stats_params *params)
{
	uint32_t n_periods = table_plan_n_periods(&cells->plan);
	struct buffer text;
	enum rc rc = RC_OK;

	if (cells->table->sigma2_milli == 0)
		return RC_INVALID;
	buffer_init(&text);
	for (uint32_t p = 0; p < n_periods && rc == RC_OK; p++) {
		for (unsigned row = 0; row < cells->n_rows && rc == RC_OK; row++) {
			int64_t *values = &cells->values[((size_t)p * cells->n_rows + row) * cells->n_cells];
			json_t *identity = row_identity(cells, p, row);
			if (identity == NULL)
				rc = RC_NOMEM;
			for (unsigned c = 0; c < cells->n_cells && rc == RC_OK; c++)
				rc = add_cell_noise(cells, identity, c, params, &text, &values[c]);
			json_decref(identity);
		}
	}
	buffer_deinit(&text);
	return rc;
}

static enum rc add_cell_key_noise(struct table_cells *cells, const struct stats_params *params,
				  const cell_key_sum *keys)
{
	size_t n_values = (size_t)table_plan_n_periods(&cells->plan) * cells->n_rows * cells->n_cells;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < n_values && rc == RC_OK; i++) {
		int64_t noise = 0;
		rc = cell_key_noise(params->prf, params->prf_ctx, keys[i], (uint32_t)cells->values[i], &noise);
		cells->values[i] += noise;
	}
	return rc;
}

enum rc table_cells_perturb(struct table_cells *cells, const struct stats_params *params, const cell_key_sum *keys)
{
	switch (cells->study->disclosure.method) {
	case DISCLOSURE_KEYED_NOISE:
		return add_keyed_noise(cells, params);
	case DISCLOSURE_CELL_KEY:
		return add_cell_key_noise(cells, params, keys);
	case DISCLOSURE_NONE:
		break;
	}
	return cells->study->synthetic ? RC_OK : RC_NOT_ALLOWED;
}
