/* libs: tc_encode tc_proto */
/* Names, dates and codes for sex as the registers of several countries write them: tests/data/names, one file a
 * language. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/encode/format.h"

static const char *const rule_names[] = {"trim",           "lower",         "strip_marks", "drop_punctuation",
					 "sentinel_dates", "latin",         "date_forms",  "sex_codes",
					 "particles",      "split_hyphens", "sort_names"};

static struct study_normalise read_rules(const char *language, char *list)
{
	struct study_normalise n = {.trim = false};
	bool *const flags[] = {&n.trim,           &n.lower,         &n.strip_marks, &n.drop_punctuation,
			       &n.sentinel_dates, &n.latin,         &n.date_forms,  &n.sex_codes,
			       &n.particles,      &n.split_hyphens, &n.sort_names};
	if (strlen(language) == 2)
		memcpy(n.language, language, 3);
	for (char *save = NULL, *name = strtok_r(list, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save)) {
		size_t i = 0;
		while (i < sizeof flags / sizeof flags[0] && strcmp(rule_names[i], name) != 0)
			i++;
		if (i < sizeof flags / sizeof flags[0])
			*flags[i] = true;
		else if (strcmp(name, "none") != 0)
			fail_msg("there is no rule %s", name);
	}
	return n;
}

static struct schema_feature feature_of(const char *kind)
{
	static char *sexes[] = {(char *)"female", (char *)"male"};
	struct schema_feature f = {.identifier = (char *)"field", .format = FORMAT_STRING, .max_length = UINT32_MAX};
	if (strcmp(kind, "date") == 0) {
		f.format = FORMAT_DATE;
		f.date_format = (char *)"%Y-%m-%d";
	} else if (strcmp(kind, "sex") == 0) {
		f.format = FORMAT_ENUM;
		f.values = sexes;
		f.n_values = 2;
	} else {
		assert_string_equal(kind, "name");
	}
	return f;
}

static void check(const char *language, char *line)
{
	char *save = NULL, *kind = strtok_r(line, "\t", &save), *list = strtok_r(NULL, "\t", &save),
	     *input = strtok_r(NULL, "\t", &save), *expected = strtok_r(NULL, "\t", &save);
	char rule[RULE_TEXT_CAP] = "";
	assert_non_null(input);
	struct format_rules rules = {.normalise = read_rules(language, list), .empty_is_missing = true};
	struct schema_feature feature = feature_of(kind);
	struct format *format = NULL;
	struct formatted out = {.is_date = false};
	text_init(&out.text);
	assert_int_equal(format_new(&feature, &rules, &format, rule), RC_OK);
	enum rc rc = format_value(format, input, strlen(input), &out, rule);
	if (expected != NULL && strcmp(expected, "!") == 0)
		assert_int_equal(rc, RC_INVALID);
	else if (rc != RC_OK || !text_equals(&out.text, expected != NULL ? expected : ""))
		fail_msg("%s: \"%s\" did not become \"%s\"", language, input, expected != NULL ? expected : "");
	format_free(format);
	text_deinit(&out.text);
}

static unsigned check_file(const char *folder, const char *name)
{
	char path[600], line[512], language[8] = "";
	unsigned n = 0;
	snprintf(path, sizeof path, "%s/%.80s", folder, name);
	snprintf(language, sizeof language, "%.*s", (int)(strcspn(name, ".") & 7), name);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof line, file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || line[0] == '\0')
			continue;
		check(language, line);
		n++;
	}
	fclose(file);
	return n;
}

static void test_every_language(void **state)
{
	static const char folder[] = TC_SOURCE_DIR "/tests/data/names";
	unsigned n_files = 0, n = 0;
	DIR *dir = opendir(folder);
	(void)state;
	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
		if (strstr(entry->d_name, ".tsv") == NULL)
			continue;
		n += check_file(folder, entry->d_name);
		n_files++;
	}
	closedir(dir);
	assert_true(n_files >= 5 && n >= 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_language)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
