/* The list of tables: what the study declares and, per table, which periods a release publishes, or a later one will.
 */
#include <string.h>

#include "daemon/stats/body.h"
#include "daemon/stats/stats.h"
#include "daemon/stats/tables.h"
#include "proto/day.h"
#include "proto/json.h"

static bool append_new(json_t *array, json_t *value)
{
	return json_array_append_new(array, value) == 0;
}

/* The published periods without their rows. */
static enum rc list_periods(const struct body_table *table, json_t *list)
{
	for (size_t i = 0; i < json_array_size(table->periods); i++) {
		struct body_period p;
		enum rc rc = body_read_period(table, i, &p);
		if (rc != RC_OK)
			return rc;
		json_t *entry =
			json_pack("{s:s, s:s, s:I}", "period", p.period, "state", p.is_final ? "final" : "provisional",
				  "released_in", (json_int_t)p.released_in);
		bool ok = entry != NULL;
		if (ok && p.revised_from > 0)
			ok = json_object_set_new(entry, "revised_from", json_integer(p.revised_from)) == 0;
		if (ok && p.revision_due != NULL)
			ok = json_object_set_new(entry, "revision_due", json_string(p.revision_due)) == 0;
		if (!append_new(list, entry) || !ok)
			return RC_NOMEM;
	}
	return RC_OK;
}

/* A table of a release: all of its members but the rows. */
static enum rc released_table(const json_t *json, json_t **ret)
{
	struct body_table table;
	json_t *list = json_array(), *copy = json_copy_object(json);
	enum rc rc = body_read_table(json, &table);

	if (rc == RC_OK)
		rc = list_periods(&table, list);
	if (rc == RC_OK && json_object_set(copy, "periods", list) != 0)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		*ret = json_incref(copy);
	json_decref(list);
	json_decref(copy);
	return rc;
}

static enum rc released_tables(const json_t *body, json_t *tables)
{
	const json_t *from = json_object_get(body, "tables");

	for (size_t i = 0; i < json_array_size(from); i++) {
		json_t *table = NULL;
		enum rc rc = released_table(json_array_get(from, i), &table);
		if (rc != RC_OK)
			return rc;
		if (!append_new(tables, table))
			return RC_NOMEM;
	}
	return RC_OK;
}

static enum rc declared_tables(const struct study *study, json_t *tables)
{
	for (int i = 0; i < study->n_tables; i++) {
		json_t *table = NULL;
		enum rc rc = table_definition(study, &study->tables[i], &table);
		if (rc == RC_OK && json_object_set_new(table, "periods", json_array()) != 0)
			rc = RC_NOMEM;
		if (rc == RC_OK && json_array_append(tables, table) != 0)
			rc = RC_NOMEM;
		json_decref(table);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

enum rc stats_render_catalogue(const struct study *study, const json_t *body, struct buffer *out)
{
	struct body_head head = {.study = study->name, .title = study->title, .synthetic = study->synthetic};
	json_t *tables = json_array(), *catalogue = NULL;
	enum rc rc = body == NULL ? declared_tables(study, tables) : body_read_head(body, &head);

	if (rc == RC_OK && body != NULL)
		rc = released_tables(body, tables);
	if (rc == RC_OK) {
		catalogue = json_pack("{s:i, s:s, s:s, s:b, s:o, s:o, s:O}", "v", 1, "study", head.study, "title",
				      head.title, "synthetic", (int)head.synthetic, "release",
				      body != NULL ? json_integer(head.release) : json_null(), "as_of",
				      body != NULL ? json_string(head.as_of) : json_null(), "tables", tables);
		rc = catalogue != NULL && table_policy(&study->disclosure, catalogue) ? json_canonical(catalogue, out)
										      : RC_NOMEM;
	}
	json_decref(catalogue);
	json_decref(tables);
	return rc;
}

enum rc stats_query_closing_day(const struct study *study, const struct stats_query *query, int32_t *ret_day)
{
	int at = study_find_table(study, query->table);
	enum period_kind kind;
	int32_t index;

	if (at < 0 || period_parse(query->period, &kind, &index) != RC_OK || kind != study->tables[at].period)
		return RC_NOTFOUND;
	int32_t day = table_closing_day(study, &study->tables[at], index);
	if (day > DAY_MAX)
		return RC_NOTFOUND;
	*ret_day = day;
	return RC_OK;
}
