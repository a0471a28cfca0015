/* The body of a release. Closed periods that an earlier release published are copied as they stand, so that no second
 * draw of their noise exists to average; what is new is counted, noised and appended. Everything that decides which
 * periods are computed is known before a record is read, so that the ledger is charged first. */
#include <stdlib.h>
#include <string.h>

#include "daemon/stats/body.h"
#include "daemon/stats/correction.h"
#include "daemon/stats/stats.h"
#include "daemon/stats/tables.h"

/* Closed periods are carried forward while the table is the same one. The threshold may change: it decides over the
 * rows of new periods only. */
static bool same_definition(const json_t *definition, const json_t *table)
{
	const char *key;
	const json_t *value;

	json_object_foreach((json_t *)definition, key, value)
	{
		if (strcmp(key, "threshold") != 0 && !json_equal(value, json_object_get(table, key)))
			return false;
	}
	return json_object_size(table) == json_object_size(definition) + 1;
}

/* What one table of a release consists of. */
struct table_work {
	json_t *table; /* owned: definition, and "periods" with the carried ones */
	struct table_plan plan;
	bool is_first;     /* no closed period was published before */
	size_t revised_at; /* place of the first revised period in "periods" */
};

/* Is a carried period to be counted once more? Only one that said so when it was published, and while the study says
 * so. Those that are follow each other; where one stands apart, its turn comes with the next release. */
static bool is_revised(const struct study *study, const struct body_period *period, int32_t as_of,
		       const struct table_plan *plan)
{
	int32_t due = DAY_MAX;

	if (study->disclosure.revision_after_days == 0 || period->revision_due == NULL ||
	    day_parse(period->revision_due, &due) != RC_OK || due > as_of)
		return false;
	return plan->n_revised == 0 || period->index == plan->first_revised + (int32_t)plan->n_revised;
}

/* Closed periods of the previous body, appended as they are. They must ascend. */
static enum rc carry_periods(const struct study *study, int32_t as_of, const json_t *previous_table,
			     struct table_work *work, json_t *periods, int32_t *ret_last)
{
	struct body_table table;
	struct table_plan *plan = &work->plan;
	int32_t last = 0;
	enum rc rc = body_read_table(previous_table, &table);

	for (size_t i = 0; rc == RC_OK && i < json_array_size(table.periods); i++) {
		struct body_period period;
		rc = body_read_period(&table, i, &period);
		if (rc != RC_OK || !period.is_final)
			continue;
		if (json_array_size(periods) > 0 && period.index <= last)
			return RC_INVALID;
		last = period.index;
		if (is_revised(study, &period, as_of, plan)) {
			if (plan->n_revised++ == 0) {
				plan->first_revised = period.index;
				work->revised_at = json_array_size(periods);
			}
		}
		if (json_array_append(periods, json_array_get(table.periods, i)) != 0)
			return RC_NOMEM;
	}
	if (rc != RC_OK)
		return rc == RC_DAMAGED ? RC_INVALID : rc;
	*ret_last = last;
	return RC_OK;
}

static enum rc plan_table(const struct study *study, const struct study_table *table, int32_t as_of,
			  const json_t *previous, struct table_work *ret)
{
	json_t *definition = NULL, *periods = json_array();
	const json_t *before = previous != NULL ? body_find_table(previous, table->name) : NULL;
	int32_t last = 0;
	enum rc rc = table_definition(study, table, &definition);

	struct table_work work = {0};
	if (rc == RC_OK && before != NULL && same_definition(definition, before))
		rc = carry_periods(study, as_of, before, &work, periods, &last);
	if (rc == RC_OK && json_object_set(definition, "periods", periods) != 0)
		rc = RC_NOMEM;
	if (rc == RC_OK) {
		*ret = work;
		ret->is_first = json_array_size(periods) == 0;
		ret->plan = table_plan(study, table, as_of, !ret->is_first, last);
		ret->plan.first_revised = work.plan.first_revised;
		ret->plan.n_revised = work.plan.n_revised;
		ret->table = json_incref(definition);
	}
	json_decref(definition);
	json_decref(periods);
	return rc;
}

static uint64_t table_charge_micro(const struct study *study, const struct study_table *table,
				   const struct table_plan *plan)
{
	uint32_t sigma2_milli = table_sigma2_milli(study, table);

	if (table_plan_n_periods(plan) == 0 || sigma2_milli == 0 || study->disclosure.method == DISCLOSURE_CELL_KEY)
		return 0;
	return (UINT64_C(1000000000) + sigma2_milli - 1) / sigma2_milli;
}

struct release_work {
	struct table_work tables[STUDY_MAX_TABLES];
	uint64_t rho_micro;
};

static void release_work_deinit(struct release_work *work)
{
	for (int i = 0; i < STUDY_MAX_TABLES; i++)
		json_decref(work->tables[i].table);
}

static enum rc check_previous(const struct study *study, const json_t *previous)
{
	struct body_head head;

	if (previous == NULL)
		return RC_OK;
	if (body_read_head(previous, &head) != RC_OK || strcmp(head.study, study->name) != 0)
		return RC_INVALID;
	return RC_OK;
}

static enum rc release_work_init(struct release_work *work, const struct study *study, int32_t as_of,
				 const json_t *previous)
{
	uint64_t n_cells = 0;
	enum rc rc = as_of < DAY_MIN || as_of > DAY_MAX ? RC_INVALID : check_previous(study, previous);

	memset(work, 0, sizeof *work);
	for (int i = 0; rc == RC_OK && i < study->n_tables; i++) {
		const struct study_table *table = &study->tables[i];
		rc = plan_table(study, table, as_of, previous, &work->tables[i]);
		if (rc != RC_OK)
			break;
		const struct table_plan *plan = &work->tables[i].plan;
		n_cells +=
			(uint64_t)table_plan_n_periods(plan) * table_n_rows(study, table) * table_n_cells(study, table);
		if (n_cells > STATS_MAX_CELLS)
			rc = RC_TOO_LARGE;
		work->rho_micro += table_charge_micro(study, table, plan);
	}
	if (study->disclosure.method != DISCLOSURE_NONE)
		work->rho_micro += study_linkage_rho_micro(study);
	if (rc != RC_OK)
		release_work_deinit(work);
	return rc;
}

enum rc stats_release_charge(const struct study *study, int32_t as_of, const json_t *previous, uint64_t *ret_rho_micro)
{
	struct release_work work;
	enum rc rc = release_work_init(&work, study, as_of, previous);

	if (rc != RC_OK)
		return rc;
	*ret_rho_micro = work.rho_micro;
	release_work_deinit(&work);
	return RC_OK;
}

/* What the previous release called the first publication of a period that is now revised. */
static int64_t first_release(const json_t *block)
{
	return json_integer_value(json_object_get(block, "released_in"));
}

/* Revised periods in the place of what they were, and the new ones of one table after those that are carried forward.
 */
static enum rc put_periods(const struct table_work *work, const struct table_cells *cells,
			   const struct stats_params *params)
{
	json_t *periods = json_object_get(work->table, "periods");
	uint32_t n_revised = work->plan.n_revised, n_periods = table_plan_n_periods(&work->plan);
	enum rc rc = RC_OK;

	for (uint32_t p = 0; rc == RC_OK && p < n_revised; p++) {
		json_t *block = NULL;
		size_t at = work->revised_at + p;
		rc = table_block_json(cells, p, params, first_release(json_array_get(periods, at)), &block);
		if (rc == RC_OK && json_array_set_new(periods, at, block) != 0)
			rc = RC_NOMEM;
	}
	for (uint32_t p = n_revised + (work->is_first ? table_skip_empty(cells) : 0); rc == RC_OK && p < n_periods;
	     p++) {
		json_t *block = NULL;
		rc = table_block_json(cells, p, params, 0, &block);
		if (rc == RC_OK && json_array_append_new(periods, block) != 0)
			rc = RC_NOMEM;
	}
	return rc;
}

/* Count and noise all tables, and only then let them be compared with each other. */
static enum rc fill_tables(const struct study *study, struct release_work *work, const struct stats_parts *parts,
			   const struct stats_params *params)
{
	struct table_cells *cells = calloc(STUDY_MAX_TABLES, sizeof *cells);
	struct table_plan plans[STUDY_MAX_TABLES];
	enum rc rc = cells == NULL ? RC_NOMEM : RC_OK;

	for (int i = 0; i < study->n_tables; i++)
		plans[i] = work->tables[i].plan;
	if (rc == RC_OK)
		rc = tables_init(cells, study, plans, parts, params);
	if (rc == RC_OK)
		rc = table_cells_adjust(study, cells);
	if (rc == RC_OK)
		table_cells_decide(study, cells);
	for (int i = 0; rc == RC_OK && i < study->n_tables; i++)
		rc = put_periods(&work->tables[i], &cells[i], params);
	for (int i = 0; cells != NULL && i < study->n_tables; i++)
		table_cells_deinit(&cells[i]);
	free(cells);
	return rc;
}

static json_t *disclosure_json(const struct study *study, const struct stats_params *params, uint64_t rho_micro)
{
	json_t *json = json_pack("{s:s, s:I, s:I, s:I, s:I, s:s}", "method",
				 study_disclosure_method_name(study->disclosure.method), "threshold",
				 (json_int_t)study->disclosure.threshold, "rho_micro", (json_int_t)rho_micro,
				 "rho_total_micro", (json_int_t)(params->rho_spent_micro + rho_micro),
				 "max_index_events", (json_int_t)study->disclosure.max_index_events, "secret",
				 params->secret_injected ? "injected" : "destroyed");
	if (json != NULL && !table_policy(&study->disclosure, json)) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static enum rc add_linkage(const struct study *study, const struct stats_params *params, json_t *body)
{
	json_t *linkage = NULL;
	enum rc rc = correction_counts_json(study, params, &linkage);

	if (rc == RC_OK && json_object_set_new(body, "linkage", linkage) != 0)
		rc = RC_NOMEM;
	return rc;
}

static enum rc assemble(const struct study *study, const struct stats_params *params, const struct release_work *work,
			json_t **ret_body)
{
	char digest[65], as_of[DAY_TEXT_LEN];
	json_t *tables = json_array(), *disclosure = disclosure_json(study, params, work->rho_micro);
	json_t *facts = params->facts != NULL ? json_deep_copy(params->facts) : json_object();
	json_t *body = NULL;
	bool ok = true;

	for (int i = 0; i < study->n_tables; i++)
		ok &= json_array_append(tables, work->tables[i].table) == 0;
	hex_encode(study->digest, sizeof study->digest, digest);
	day_format(params->as_of, as_of);
	if (ok && disclosure != NULL && facts != NULL)
		body = json_pack("{s:i, s:s, s:s, s:s, s:b, s:I, s:s, s:O, s:O, s:O}", "v", 1, "study", study->name,
				 "study_digest", digest, "title", study->title, "synthetic", (int)study->synthetic,
				 "release", (json_int_t)params->release, "as_of", as_of, "disclosure", disclosure,
				 "facts", facts, "tables", tables);
	json_decref(tables);
	json_decref(disclosure);
	json_decref(facts);
	if (body == NULL)
		return RC_NOMEM;
	enum rc rc = study->disclosure.linkage_sigma2_milli > 0 ? add_linkage(study, params, body) : RC_OK;
	if (rc == RC_OK)
		*ret_body = body;
	else
		json_decref(body);
	return rc;
}

enum rc stats_release_parts(const struct study *study, const struct stats_parts *parts,
			    const struct stats_params *params, json_t **ret_body)
{
	struct release_work work;
	enum rc rc;

	if (params->release == 0 || params->prf == NULL || (params->secret_injected && !study->synthetic))
		return RC_INVALID;
	rc = release_work_init(&work, study, params->as_of, params->previous);
	if (rc != RC_OK)
		return rc;
	rc = fill_tables(study, &work, parts, params);
	if (rc == RC_OK)
		rc = assemble(study, params, &work, ret_body);
	release_work_deinit(&work);
	return rc;
}

struct event_array {
	const struct stats_event *events;
	size_t n;
};

static size_t array_size(void *ctx, size_t part)
{
	(void)part;
	return ((const struct event_array *)ctx)->n;
}

static void array_read(void *ctx, size_t part, struct stats_event *ret)
{
	const struct event_array *array = ctx;

	(void)part;
	if (array->n > 0)
		memcpy(ret, array->events, array->n * sizeof *ret);
}

enum rc stats_release(const struct study *study, const struct stats_event *events, size_t n_events,
		      const struct stats_params *params, json_t **ret_body)
{
	struct event_array array = {events, n_events};
	struct stats_parts parts = {.n = 1, .size = array_size, .read = array_read, .ctx = &array, .n_threads = 1};

	return stats_release_parts(study, &parts, params, ret_body);
}
