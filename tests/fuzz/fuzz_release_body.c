/* libs: tc_stats tc_proto */
/* Rendering from hostile release bodies: every table of the body, whole and by each of its dimensions; and using the
 * body as the previous one of a release. Whatever is rendered must be JSON. */
#include <stdlib.h>
#include <string.h>

#include "daemon/stats/body.h"
#include "daemon/stats/stats.h"
#include "proto/json.h"
#include "tests/unit/stats_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void render(const json_t *body, const struct stats_query *query)
{
	struct buffer out;
	struct diag diag;

	buffer_init(&out);
	if (stats_render_jsonstat(body, query, &out, &diag) == RC_OK) {
		json_t *parsed = json_loadb((const char *)out.data, out.len, 0, NULL);
		if (parsed == NULL)
			abort();
		json_decref(parsed);
	}
	buffer_reset(&out);
	if (stats_render_csv(body, query, &out, &diag) == RC_OK && out.len == 0)
		abort();
	buffer_deinit(&out);
}

static void render_table(const json_t *body, const json_t *table)
{
	const char *name = json_string_value(json_object_get(table, "name"));
	struct stats_query query = {.by_given = false};
	struct body_table view;

	if (name == NULL || strlen(name) >= sizeof query.table)
		return;
	memcpy(query.table, name, strlen(name) + 1);
	render(body, &query);
	query.by_given = true;
	render(body, &query);
	if (body_read_table(table, &view) != RC_OK)
		return;
	query.n_by = 1;
	for (unsigned i = 0; i < view.n_by; i++) {
		strcpy(query.by[0], view.by[i].name);
		render(body, &query);
		strcpy(query.compare, view.by[i].name);
		strcpy(query.against, "unknown");
		render(body, &query);
		query.by_given = false;
		render(body, &query);
		query.by_given = true;
		query.compare[0] = '\0';
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct study *study;
	json_t *body = NULL;
	struct buffer out;
	uint64_t charge;

	if (study == NULL)
		study = fixture_study();
	if (size > (1 << 18) || json_parse_strict((const char *)data, size, &body, NULL) != RC_OK)
		return 0;
	const json_t *tables = json_object_get(body, "tables");
	for (size_t i = 0; i < json_array_size(tables) && i < 8; i++)
		render_table(body, json_array_get(tables, i));
	buffer_init(&out);
	if (stats_render_catalogue(study, body, &out) == RC_OK && out.len == 0)
		abort();
	buffer_deinit(&out);
	if (stats_release_charge(study, fixture_day("2025-06-30"), body, &charge) == RC_OK && charge > 300000)
		abort();
	json_decref(body);
	return 0;
}
