/* libs: tc_encode tc_proto */
/* Formats: dates as Python's strptime, integers as Python's int(), patterns as Python's re.fullmatch, UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/encode/format.h"
#include "tools/encode/regex.h"

static bool matches(const char *pattern, const char *value)
{
	struct regex *regex = NULL;
	const char *why = "";
	struct text text;
	bool match = false;
	text_init(&text);
	if (regex_compile(pattern, &regex, &why) != RC_OK)
		fail_msg("%s: %s", pattern, why);
	assert_int_equal(text_decode(&text, value, strlen(value)), RC_OK);
	assert_int_equal(regex_match(regex, text.cp, text.len, &match), RC_OK);
	text_deinit(&text);
	regex_free(regex);
	return match;
}

static void test_patterns(void **state)
{
	static const struct {
		const char *pattern, *value;
		bool match;
	} cases[] = {
		{"[0-9]{4}", "2600", true},
		{"[0-9]{4}", "26000", false},
		{"[0-9]{4}", "x2600", false},
		{"-?\\d+(\\.\\d+)?", "-1.5", true},
		{"-?\\d+(\\.\\d+)?", "1.", false},
		{"a|b|cd", "cd", true},
		{"a|b|cd", "ad", false},
		{"(?:ab)*", "", true},
		{"(?:ab)*", "ababab", true},
		{"(?:ab)*", "aba", false},
		{"(a*)*b", "aaaab", true},
		{"(a|aa)+", "aaaaa", true},
		{"(a*)+", "", true},
		{"x{2,3}", "xx", true},
		{"x{2,3}", "xxxx", false},
		{"x{2,}", "xxxxx", true},
		{"x{,2}", "", true},
		{"x{,2}", "xxx", false},
		{"x{a}", "x{a}", true},
		{"[^0-9]+", "abc", true},
		{"[^0-9]+", "ab1", false},
		{"[]a]+", "]a", true},
		{"[a-]+", "a-", true},
		{"[\\d\\-x]+", "1-x", true},
		{"\\w+", "Zo\xC3\xAB_9", true},
		{"\\w+", "a b", false},
		{"\\d+", "\xD9\xA3", true},
		{"\\s\\S", "\xC2\xA0x", true},
		{".", "\xF0\x9F\x98\x80", true},
		{".", "\n", false},
		{"^ab$", "ab", true},
		{"a^b", "ab", false},
		{"\\bab\\b", "ab", true},
		{"a\\bb", "ab", false},
		{"a\\Bb", "ab", true},
		{"\\x41\\u00e9", "A\xC3\xA9", true},
		{"a+?", "aaa", true},
		{"(?P<year>\\d{4})", "1999", true},
		{"", "", true},
		{"", "x", false},
		{"a||b", "", true},
		{"\\.\\\\\\[", ".\\[", true},
		{"[A-Z]{1,2}[0-9R][0-9A-Z]? [0-9][A-Z]{2}", "SW1A 1AA", true},
		{"\\n", "\n", true},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		if (matches(cases[i].pattern, cases[i].value) != cases[i].match)
			fail_msg("case %zu: %s against %s", i, cases[i].pattern, cases[i].value);
	}
}

static void test_bad_patterns(void **state)
{
	static const char *const bad[] = {
		"(",
		")",
		"a)",
		"[",
		"[a",
		"[b-a]",
		"*a",
		"a**",
		"\\",
		"\\1",
		"(?=a)",
		"(?!a)",
		"(?i)a",
		"\\q",
		"\\xg0",
		"a{3,2}",
		"a{1001}",
		"\xff",
		"(?P=year)",
		"(?P<year",
		"[\\",
		"((a{1000}){1000}){1000}",
		"((){1000}){1000}(((){1000}){1000}){1000}",
		"[a-\\d]",
	};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct regex *regex = NULL;
		const char *why = NULL;
		if (regex_compile(bad[i], &regex, &why) == RC_OK)
			fail_msg("%s was accepted", bad[i]);
		assert_non_null(why);
		assert_null(regex);
	}
}

static void test_deep_and_long_patterns(void **state)
{
	char pattern[20000];
	struct regex *regex = NULL;
	const char *why = NULL;
	(void)state;
	memset(pattern, '(', sizeof pattern - 1);
	pattern[sizeof pattern - 1] = '\0';
	assert_int_equal(regex_compile(pattern, &regex, &why), RC_TOO_LARGE);
	memset(pattern, 'a', sizeof pattern - 1);
	assert_int_equal(regex_compile(pattern, &regex, &why), RC_TOO_LARGE);
	/* What takes a backtracking matcher 2^28 steps. */
	char value[64];
	memset(value, 'a', 28);
	strcpy(value + 28, "b");
	assert_false(matches("(a|a)*(a|a)*c", value));
	assert_false(matches("((a*)*)*c", value));
}

static void check_date(const char *format, const char *value, int y, int m, int d)
{
	struct text text;
	struct date date = {0, 0, 0};
	size_t at;
	text_init(&text);
	assert_int_equal(text_decode(&text, value, strlen(value)), RC_OK);
	assert_int_equal(date_format_check(format, &at), RC_OK);
	enum rc rc = date_parse(format, &text, &date);
	if ((rc == RC_OK) != (y != 0) || date.year != y || date.month != m || date.day != d)
		fail_msg("%s by %s: %s, %d-%d-%d", value, format, rc_name(rc), date.year, date.month, date.day);
	text_deinit(&text);
}

static void test_dates(void **state)
{
	(void)state;
	check_date("%Y-%m-%d", "2024-02-29", 2024, 2, 29);
	check_date("%Y-%m-%d", "2023-02-29", 0, 0, 0);
	check_date("%Y-%m-%d", "2024-2-9", 2024, 2, 9);
	check_date("%Y-%m-%d", " 2024-02-09", 0, 0, 0);
	check_date("%Y-%m-%d", "2024-02-09 ", 0, 0, 0);
	check_date("%Y-%m-%d", "0000-01-01", 0, 0, 0);
	check_date("%Y-%m-%d", "0999-01-01", 999, 1, 1);
	check_date("%d/%m/%Y", "7/3/1985", 1985, 3, 7);
	check_date("%d.%m.%y", "07.03.68", 2068, 3, 7);
	check_date("%d.%m.%y", "07.03.69", 1969, 3, 7);
	check_date("%Y%m%d", "19850307", 1985, 3, 7);
	check_date("%Y%m%d", "1985111", 1985, 11, 1);
	check_date("%d %B %Y", "7 march 1985", 1985, 3, 7);
	check_date("%d %b %Y", "7   MAR 1985", 1985, 3, 7);
	check_date("%Y-%j", "1985-066", 1985, 3, 7);
	check_date("%Y-%j", "1985-366", 1986, 1, 1);
	check_date("%Y-%m-%dT%H:%M:%S", "1985-03-07T23:59:60", 1985, 3, 7);
	check_date("%Y-%m-%dT%H:%M:%S", "1985-03-07T24:00:00", 0, 0, 0);
	check_date("%Y-%m-%d %I:%M %p", "1985-03-07 11:30 pm", 1985, 3, 7);
	check_date("%d%%%m%%%Y", "7%3%1985", 1985, 3, 7);
	check_date("%d", "31", 1900, 1, 31);
	check_date("%a %d.%m.%Y", "Thu 07.03.1985", 1985, 3, 7);
	check_date("%Y-%m-%d", "", 0, 0, 0);
	check_date("%Y-%m-%d", "\xD9\xA1\xD9\xA9\xD9\xA8\xD9\xA5-03-07", 0, 0, 0);
	size_t at = 0;
	assert_int_equal(date_format_check("%Y-%Q", &at), RC_INVALID);
	assert_int_equal(at, 3);
	assert_int_equal(date_format_check("%Y%", &at), RC_INVALID);
	struct date birth = {1980, 2, 29}, before = {2024, 2, 28}, on = {2024, 2, 29}, march = {2023, 3, 1};
	assert_int_equal(date_age(&birth, &before), 43);
	assert_int_equal(date_age(&birth, &on), 44);
	assert_int_equal(date_age(&birth, &march), 43);
	assert_int_equal(date_age(&on, &birth), -44);
}

static enum rc format_one(const struct schema_feature *feature, const struct format_rules *rules, const char *value,
			  struct text *ret, char rule[RULE_TEXT_CAP])
{
	struct format *format = NULL;
	struct formatted out = {.is_date = false};
	rule[0] = '\0';
	assert_int_equal(format_new(feature, rules, &format, rule), RC_OK);
	enum rc rc = format_value(format, value, strlen(value), &out, rule);
	if (rc == RC_OK)
		assert_int_equal(text_set(ret, out.text.cp, out.text.len), RC_OK);
	text_deinit(&out.text);
	format_free(format);
	return rc;
}

static void check_value(const struct schema_feature *feature, const struct format_rules *rules, const char *value,
			const char *expected)
{
	struct text text;
	char rule[RULE_TEXT_CAP];
	text_init(&text);
	enum rc rc = format_one(feature, rules, value, &text, rule);
	if ((rc == RC_OK) != (expected != NULL) || (rc == RC_OK && !text_equals(&text, expected)))
		fail_msg("\"%s\": %s (%s)", value, rc_name(rc), rule);
	if (rc != RC_OK) {
		assert_true(rule[0] != '\0');
		/* No message repeats what was read. */
		if (strlen(value) > 2)
			assert_null(strstr(rule, value));
	}
	text_deinit(&text);
}

static void test_integers(void **state)
{
	struct schema_feature f = {.identifier = (char *)"n", .format = FORMAT_INTEGER};
	struct schema_feature bounded = {.identifier = (char *)"n",
					 .format = FORMAT_INTEGER,
					 .has_minimum = true,
					 .has_maximum = true,
					 .minimum = INT64_MIN,
					 .maximum = 5000};
	struct format_rules rules = {.no_validation = false};
	(void)state;
	check_value(&f, &rules, " +007 ", "7");
	check_value(&f, &rules, "-12", "-12");
	check_value(&f, &rules, "1_000", "1000");
	check_value(&f, &rules, "-000", "0");
	check_value(&f, &rules, "1__0", NULL);
	check_value(&f, &rules, "_10", NULL);
	check_value(&f, &rules, "10_", NULL);
	check_value(&f, &rules, "- 5", NULL);
	check_value(&f, &rules, "+-5", NULL);
	check_value(&f, &rules, "0x10", NULL);
	check_value(&f, &rules, "1.0", NULL);
	check_value(&f, &rules, "", NULL);
	check_value(&f, &rules, "123456789012345678901234567890", "123456789012345678901234567890");
	check_value(&bounded, &rules, "5000", "5000");
	check_value(&bounded, &rules, "5001", NULL);
	check_value(&bounded, &rules, "123456789012345678901234567890", NULL);
	check_value(&bounded, &rules, "-9223372036854775808", "-9223372036854775808");
	check_value(&bounded, &rules, "-9223372036854775809", NULL);
}

static void test_strings_and_missing(void **state)
{
	char *values[] = {(char *)"m", (char *)"f"};
	struct schema_feature f = {.identifier = (char *)"s",
				   .format = FORMAT_STRING,
				   .letter_case = CASE_UPPER,
				   .min_length = 2,
				   .max_length = 4,
				   .sentinel = (char *)"N/A",
				   .replace_with = (char *)"unknown"};
	struct schema_feature e = {.identifier = (char *)"e",
				   .format = FORMAT_ENUM,
				   .values = values,
				   .n_values = 2,
				   .max_length = UINT32_MAX,
				   .sentinel = (char *)"?"};
	struct format_rules strict = {.no_validation = false}, lax = {.no_validation = true};
	struct format_rules study = {.normalise = {.trim = true,
						   .lower = true,
						   .strip_marks = true,
						   .drop_punctuation = true,
						   .sentinel_dates = true},
				     .empty_is_missing = true};
	(void)state;
	check_value(&f, &strict, "AB", "AB");
	check_value(&f, &strict, "ab", NULL);
	check_value(&f, &strict, "A\xC3\x89", "A\xC3\x89");
	check_value(&f, &strict, "A\xC3\xA9", NULL);
	check_value(&f, &strict, "A\xC3\x9F", NULL); /* Python: "ß".upper() is "SS" */
	check_value(&f, &strict, "ABCDE", NULL);
	check_value(&f, &strict, "A", NULL);
	check_value(&f, &strict, "", NULL);
	check_value(&f, &strict, "N/A", "unknown"); /* unvalidated, as in clkhash */
	check_value(&f, &lax, "abcdefgh", "abcdefgh");
	check_value(&f, &study, " ab ", "ab"); /* folding makes the case rule idle */
	check_value(&f, &study, " N/A ", "unknown");
	check_value(&f, &study, "  ", "");
	check_value(&e, &strict, "m", "m");
	check_value(&e, &strict, "M", NULL);
	check_value(&e, &strict, "?", "?");
	check_value(&e, &study, " m ", "m");
}

static void test_date_values(void **state)
{
	struct schema_feature f = {.identifier = (char *)"d", .format = FORMAT_DATE, .date_format = (char *)"%d-%m-%Y"};
	struct format_rules strict = {.no_validation = true};
	struct format_rules study = {.normalise = {.trim = true,
						   .lower = true,
						   .strip_marks = true,
						   .drop_punctuation = true,
						   .sentinel_dates = true},
				     .empty_is_missing = true};
	(void)state;
	check_value(&f, &strict, "07-03-1985", "19850307");
	check_value(&f, &strict, "01-01-1900", "19000101");
	check_value(&f, &strict, "", NULL);
	check_value(&f, &strict, "30-02-1985", NULL);
	check_value(&f, &study, "", "");
	check_value(&f, &study, " 07-03-1985 ", "19850307");
	check_value(&f, &study, "01-01-1900", "");
	check_value(&f, &study, "00-00-0000", "");
	check_value(&f, &study, "00-00-1970", "");
	check_value(&f, &study, "00-03-1970", "");
	check_value(&f, &study, "30-02-1985", NULL);
	check_value(&f, &study, "32-01-1985", NULL);
}

/* A string that the study calls a date: its sentinels are missing too, and what cannot be read stays text. */
static void test_dates_in_text(void **state)
{
	struct schema_feature f = {.identifier = (char *)"d", .format = FORMAT_STRING, .max_length = UINT32_MAX};
	struct format_rules plain = {.normalise = {.drop_punctuation = true, .sentinel_dates = true},
				     .empty_is_missing = true};
	struct format_rules date = plain, forms = plain, off = {.is_date = true};
	(void)state;
	date.is_date = forms.is_date = true;
	forms.normalise.date_forms = true;
	check_value(&f, &plain, "1900-01-01", "19000101");
	check_value(&f, &off, "1900-01-01", "1900-01-01");
	check_value(&f, &date, "1900-01-01", "");
	check_value(&f, &date, "19000101", "");
	check_value(&f, &date, "01/01/1900", "");
	check_value(&f, &date, "31.12.9999", "");
	check_value(&f, &date, "0000-00-00", "");
	check_value(&f, &date, "00000000", "");
	check_value(&f, &date, "1931-99-24", "19319924"); /* most of its digits are right */
	check_value(&f, &date, "1931-00-00", "19310000");
	check_value(&f, &date, "0000-12-31", "00001231");
	check_value(&f, &date, "31.1.1980", "3111980");
	check_value(&f, &forms, "31.1.1980", "19800131");
	check_value(&f, &forms, "31 janvier 1980", "19800131");
	check_value(&f, &forms, "1 January 1900", "");
	check_value(&f, &forms, "1931-02-30", "19310230");
	check_value(&f, &forms, "not known", "not known");
}

static void test_utf8(void **state)
{
	static const char *const bad[] = {"\x80",
					  "\xC0\x80",
					  "\xC1\xBF",
					  "\xE0\x80\x80",
					  "\xED\xA0\x80",
					  "\xF0\x80\x80\x80",
					  "\xF4\x90\x80\x80",
					  "\xF5\x80\x80\x80",
					  "\xC3",
					  "\xE2\x82",
					  "a\xFF",
					  "\xC3("};
	static const char *const good[] = {
		"", "a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF", "\xEF\xBB\xBF"};
	struct text text;
	(void)state;
	text_init(&text);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		/* Of exact length on the heap, so that a sanitizer sees a read past the end. */
		char *exact = strndup(bad[i], strlen(bad[i]));
		assert_false(text_is_utf8(exact, strlen(bad[i])));
		assert_int_equal(text_decode(&text, exact, strlen(bad[i])), RC_INVALID);
		free(exact);
	}
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_true(text_is_utf8(good[i], strlen(good[i])));
		assert_int_equal(text_decode(&text, good[i], strlen(good[i])), RC_OK);
		assert_true(text_equals(&text, good[i]));
	}
	text_deinit(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_bad_patterns),
		cmocka_unit_test(test_deep_and_long_patterns),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_strings_and_missing),
		cmocka_unit_test(test_date_values),
		cmocka_unit_test(test_dates_in_text),
		cmocka_unit_test(test_utf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
