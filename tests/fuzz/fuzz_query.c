/* libs: tc_stats tc_proto */
/* Query strings: table name, newline, query. What is accepted has a canonical text that is accepted again and does not
 * change. */
#include <stdlib.h>
#include <string.h>

#include "daemon/stats/stats.h"
#include "tests/unit/stats_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct study *study, const struct stats_query *query, uint32_t release)
{
	struct stats_query again;
	uint32_t release_again;
	struct buffer text, text_again;

	buffer_init(&text);
	buffer_init(&text_again);
	if (stats_query_canonical(query, release ? release : 1, &text) != RC_OK)
		abort();
	buffer_append(&text, "", 1);
	const char *mark = strchr((const char *)text.data, '?');
	if (mark == NULL || stats_query_parse(study, query->table, mark + 1, &again, &release_again, NULL) != RC_OK ||
	    stats_query_canonical(&again, release_again, &text_again) != RC_OK)
		abort();
	buffer_append(&text_again, "", 1);
	if (strcmp((const char *)text.data, (const char *)text_again.data) != 0)
		abort();
	buffer_deinit(&text);
	buffer_deinit(&text_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct study *study;
	struct stats_query query;
	uint32_t release;
	char *text = malloc(size + 1);

	if (study == NULL)
		study = fixture_study();
	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	char *line = strchr(text, '\n');
	if (line != NULL)
		*line = '\0';
	if (stats_query_parse(study, text, line != NULL ? line + 1 : NULL, &query, &release, NULL) == RC_OK)
		check_again(study, &query, release);
	free(text);
	return 0;
}
