/* The list of tables as text. */
#include <string.h>

#include "tools/query_table.h"
#include "tools/query_text.h"

static void put_list_entry(const json_t *table, struct buffer *out)
{
	const json_t *by = json_object_get(table, "by"), *periods = json_object_get(table, "periods");
	size_t n = json_array_size(periods), n_final = 0;

	for (size_t i = 0; i < n; i++)
		n_final += strcmp(query_text(json_array_get(periods, i), "state"), "final") == 0;
	query_append_clean(out, query_text(table, "name"));
	buffer_printf(out, "\n  ");
	query_append_clean(out, query_text(table, "measure"));
	buffer_printf(out, " by ");
	query_append_clean(out, query_text(table, "period_kind"));
	for (size_t i = 0; i < json_array_size(by); i++) {
		buffer_printf(out, ", ");
		query_append_clean(out, query_text(json_array_get(by, i), "name"));
	}
	if (n == 0) {
		buffer_printf(out, "; nothing published yet\n");
		return;
	}
	buffer_printf(out, "; ");
	query_append_clean(out, query_text(json_array_get(periods, 0), "period"));
	buffer_printf(out, " to ");
	query_append_clean(out, query_text(json_array_get(periods, n - 1), "period"));
	buffer_printf(out, ", %zu of %zu periods final\n", n_final, n);
}

enum { MAX_DATES = 3 };

/* The first announced dates after the release, if there is one. */
static void put_dates(const json_t *answer, struct buffer *out)
{
	const json_t *dates = json_object_get(answer, "release_dates");
	const char *as_of = query_text(answer, "as_of");
	unsigned n = 0;

	for (size_t i = 0; i < json_array_size(dates) && n < MAX_DATES; i++) {
		const char *date = json_string_value(json_array_get(dates, i));
		if (date == NULL || strcmp(date, as_of) <= 0)
			continue;
		buffer_printf(out, n++ == 0 ? "\nannounced: " : ", ");
		query_append_clean(out, date);
	}
}

enum rc query_list_format(const json_t *answer, struct buffer *out, struct diag *diag)
{
	const json_t *tables = json_object_get(answer, "tables"), *release = json_object_get(answer, "release");

	if (!json_is_array(tables))
		return diag_set(diag, RC_PROTOCOL,
				"the answer is not a list of tables as docs/protocol.md describes it");
	if (json_is_true(json_object_get(answer, "synthetic")))
		buffer_printf(out, "SYNTHETIC DATA. ");
	query_append_clean(out, query_text(answer, "title"));
	if (json_is_integer(release)) {
		buffer_printf(out, "\nrelease %" JSON_INTEGER_FORMAT " as of ", json_integer_value(release));
		query_append_clean(out, query_text(answer, "as_of"));
	} else {
		buffer_printf(out, "\nno release yet");
	}
	put_dates(answer, out);
	buffer_printf(out, "\n\n");
	for (size_t i = 0; i < json_array_size(tables); i++)
		put_list_entry(json_array_get(tables, i), out);
	return out->failed ? RC_NOMEM : RC_OK;
}
