/* libs: tc_stats tc_proto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/stats_fixture.h"

static void check(const char *table, const char *text, const char *canonical)
{
	struct study *study = fixture_study();
	struct stats_query query;
	uint32_t release = 77;
	struct diag diag = {""};
	struct buffer out;

	if (stats_query_parse(study, table, text, &query, &release, &diag) != RC_OK)
		fail_msg("%s: %s", text, diag.text);
	buffer_init(&out);
	assert_int_equal(stats_query_canonical(&query, release, &out), RC_OK);
	buffer_append(&out, "", 1);
	assert_string_equal((const char *)out.data, canonical);
	buffer_deinit(&out);
	free(study);
}

static void refuse(const char *table, const char *text, enum rc wanted, const char *words)
{
	struct study *study = fixture_study();
	struct stats_query query;
	uint32_t release = 77;
	struct diag diag = {""};

	memset(&query, 0x5a, sizeof query);
	assert_int_equal(stats_query_parse(study, table, text, &query, &release, &diag), wanted);
	assert_int_equal(release, 77);
	assert_int_equal(query.n_by, 0x5a);
	if (strstr(diag.text, words) == NULL)
		fail_msg("'%s' is not in '%s'", words, diag.text);
	free(study);
}

static void test_good(void **state)
{
	(void)state;
	check("continuity_by_both", NULL, "continuity_by_both?release=0");
	check("continuity_by_both", "", "continuity_by_both?release=0");
	check("continuity_by_both", "release=12&period=2024-Q3", "continuity_by_both?release=12&period=2024-Q3");
	check("continuity_by_both", "by=sex", "continuity_by_both?release=0&by=sex");
	check("continuity_by_both", "by=", "continuity_by_both?release=0&by=");
	/* All dimensions in any order are the whole table; escapes make no other query. */
	check("continuity_by_both", "by=sex,intervention", "continuity_by_both?release=0");
	check("continuity_by_both", "by=intervention%2Csex", "continuity_by_both?release=0");
	check("continuity_by_both", "period=2024%2dQ3&by=%73ex", "continuity_by_both?release=0&period=2024-Q3&by=sex");
	/* An older release may have had a table or dimension that the study has no more. */
	check("old_table", "release=1&by=b,a&period=2024", "old_table?release=1&period=2024&by=b,a");
	check("continuity_by_both", "compare=sex:female", "continuity_by_both?release=0&compare=sex:female");
	check("continuity_by_both", "compare=sex%3A18-24&by=sex",
	      "continuity_by_both?release=0&by=sex&compare=sex:18-24");
	check("continuity_by_both", "by=height&release=2", "continuity_by_both?release=2&by=height");
}

static void test_bad(void **state)
{
	static const char *const not_understood[] = {
		"x=1",
		"release",
		"release=1&",
		"&release=1",
		"release=1&&period=2024-Q1",
		"=1",
		"by=%2",
		"by=%zz",
		"by=%00",
		"by=a+b%20c",
		"Release=1",
		"by%3dsex=1",
		"compare=sex",
		"compare=:a",
		"compare=sex:",
		"compare=sex:a:b",
		"compare=Sex:a",
	};
	char longest[2000];

	(void)state;
	for (size_t i = 0; i < sizeof not_understood / sizeof *not_understood; i++)
		refuse("continuity_by_both", not_understood[i], RC_USAGE, "");
	refuse("continuity_by_both", "release=0", RC_USAGE, "release");
	refuse("continuity_by_both", "release=-1", RC_USAGE, "release");
	refuse("continuity_by_both", "release=99999999999", RC_USAGE, "release");
	refuse("continuity_by_both", "release=1&release=1", RC_USAGE, "release is given twice");
	refuse("continuity_by_both", "by=sex&by=sex", RC_USAGE, "by is given twice");
	refuse("continuity_by_both", "by=sex,sex", RC_USAGE, "twice");
	refuse("continuity_by_both", "by=sex,", RC_USAGE, "comma");
	refuse("continuity_by_both", "by=,sex", RC_USAGE, "by:");
	refuse("continuity_by_both", "by=a,b,c,d&release=1", RC_USAGE, "at most 3");
	refuse("continuity_by_both", "by=height", RC_USAGE, "no dimension height");
	refuse("continuity_by_both", "period=2024-Q5", RC_USAGE, "period");
	refuse("continuity_by_both", "period=2024", RC_USAGE, "2024-Q1");
	refuse("no_such_table", "", RC_NOTFOUND, "no table no_such_table");
	refuse("../../etc/passwd", "release=1", RC_NOTFOUND, "no table of this name");
	refuse("", "", RC_NOTFOUND, "no table");
	memset(longest, 'a', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	refuse("continuity_by_both", longest, RC_USAGE, "longer");
	refuse(longest, "release=1", RC_NOTFOUND, "no table");
	memcpy(longest, "by=", 3);
	longest[400] = '\0';
	refuse("continuity_by_both", longest, RC_USAGE, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};
	return cmocka_run_group_tests_name("query", tests, NULL, NULL);
}
