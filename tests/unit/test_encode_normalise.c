/* libs: tc_encode tc_proto */
/* Normalisation: what must become one, what must stay two, and that everything off changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/encode/normalise.h"

static const struct study_normalise all = {.trim = true,
					   .lower = true,
					   .strip_marks = true,
					   .drop_punctuation = true,
					   .sentinel_dates = true,
					   .latin = true};

static void check(const struct study_normalise *rules, const char *in, const char *expected)
{
	struct text text, scratch;
	text_init(&text);
	text_init(&scratch);
	assert_int_equal(text_decode(&text, in, strlen(in)), RC_OK);
	assert_int_equal(normalise_text(rules, &text, &scratch), RC_OK);
	if (!text_equals(&text, expected))
		fail_msg("\"%s\" did not become \"%s\"", in, expected);
	text_deinit(&text);
	text_deinit(&scratch);
}

static void test_languages(void **state)
{
	static const char *const pairs[][2] = {
		{"Lefèvre", "lefevre"},
		{"D'Angelo", "dangelo"},
		{"d’Aubigné", "daubigne"},
		{"Müller-Lüdenscheidt", "mullerludenscheidt"},
		{"Weiß", "weiss"},
		{"WEISS", "weiss"},
		{"STRAẞE", "strasse"},
		{"Łukasz", "lukasz"},
		{"Søren Ærø", "soren aero"},
		{"Đorđe", "dorde"},
		{"van  den\tBerg ", "van den berg"},
		{"Núñez", "nunez"},
		{"José-María", "josemaria"},
		{"O. Henry", "o henry"},
		{"Þór Ægisson", "thor aegisson"},
		{"Œuvre", "oeuvre"},
		{"\xC4\xB0stanbul", "istanbul"},
		{"Cœur", "coeur"},
		{"Σίσυφος", "sisyfos"},
		{"Йордан", "iordan"},
		{"  ", ""},
		{"", ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
		check(&all, pairs[i][0], pairs[i][1]);
}

static void test_composed_and_decomposed_are_one(void **state)
{
	struct study_normalise lower = {.lower = true};
	(void)state;
	check(&all, "Zoe\xCC\x88", "zoe");
	check(&all, "Zo\xC3\xAB", "zoe");
	/* Without strip_marks the mark stays, as one code point. */
	check(&lower, "Zoe\xCC\x88", "zo\xC3\xAB");
	check(&lower, "ZO\xC3\x8B", "zo\xC3\xAB");
	/* Two marks in either order. */
	check(&lower, "a\xCC\xA3\xCC\x82", "\xE1\xBA\xAD");
	check(&lower, "a\xCC\x82\xCC\xA3", "\xE1\xBA\xAD");
	check(&lower, "\xED\x95\x9C", "\xED\x95\x9C"); /* Hangul is decomposed and composed again */
	check(&all, "\xED\x95\x9C", "\xED\x95\x9C");
}

static void test_each_rule_alone(void **state)
{
	struct study_normalise none = {.trim = false};
	struct study_normalise trim = {.trim = true}, marks = {.strip_marks = true},
			       punctuation = {.drop_punctuation = true};
	(void)state;
	check(&none, "  Zo\xC3\xAB  d'A.-B ", "  Zo\xC3\xAB  d'A.-B ");
	check(&trim,
	      " \xC2\xA0"
	      "A  \xE3\x80\x80 b\n",
	      "A b");
	check(&marks, "Éß Ø", "Ess O");
	check(&punctuation, " d'A.-B\xE2\x80\x93 ", " dAB ");
}

static void test_dates(void **state)
{
	static const struct date sentinels[] = {
		{1900, 1, 1}, {1901, 1, 1}, {9999, 12, 31}, {1111, 11, 11}, {1970, 0, 0}};
	static const struct date real[] = {{1900, 1, 2}, {1970, 1, 1}, {2000, 12, 31}};
	struct text text;
	(void)state;
	for (size_t i = 0; i < sizeof sentinels / sizeof sentinels[0]; i++)
		assert_true(normalise_is_sentinel_date(&sentinels[i]));
	for (size_t i = 0; i < sizeof real / sizeof real[0]; i++)
		assert_false(normalise_is_sentinel_date(&real[i]));
	text_init(&text);
	assert_int_equal(text_decode(&text, "00-00-0000", 10), RC_OK);
	assert_true(normalise_is_zero_date(&text));
	assert_int_equal(text_decode(&text, "00-00-1970", 10), RC_OK);
	assert_false(normalise_is_zero_date(&text));
	assert_int_equal(text_decode(&text, "--", 2), RC_OK);
	assert_false(normalise_is_zero_date(&text));
	text_deinit(&text);
}

/* Random valid text never fails, never grows beyond reason, and normalising twice is normalising once. */
static void test_idempotent(void **state)
{
	struct text text, scratch, again;
	uint64_t x = 12345;
	(void)state;
	text_init(&text);
	text_init(&scratch);
	text_init(&again);
	for (int round = 0; round < 2000; round++) {
		text.len = 0;
		for (int i = 0; i < 12; i++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			uint32_t cp = (uint32_t)(x >> 40) % (round % 2 ? 0x600 : 0x20000);
			if (cp >= 0xD800 && cp <= 0xDFFF)
				cp = 0x301;
			assert_int_equal(text_push(&text, cp), RC_OK);
		}
		assert_int_equal(normalise_text(&all, &text, &scratch), RC_OK);
		assert_true(text.len <= 12 * 18);
		assert_int_equal(text_set(&again, text.cp, text.len), RC_OK);
		assert_int_equal(normalise_text(&all, &again, &scratch), RC_OK);
		if (again.len != text.len ||
		    (text.len != 0 && memcmp(again.cp, text.cp, text.len * sizeof *text.cp) != 0))
			fail_msg("round %d is not idempotent", round);
	}
	text_deinit(&text);
	text_deinit(&scratch);
	text_deinit(&again);
}

static void test_long_text_is_refused(void **state)
{
	struct text text, scratch;
	(void)state;
	text_init(&text);
	text_init(&scratch);
	for (size_t i = 0; i < 70000; i++)
		assert_int_equal(text_push(&text, 0x301), RC_OK);
	assert_int_equal(normalise_text(&all, &text, &scratch), RC_TOO_LARGE);
	text_deinit(&text);
	text_deinit(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_languages),       cmocka_unit_test(test_composed_and_decomposed_are_one),
		cmocka_unit_test(test_each_rule_alone), cmocka_unit_test(test_dates),
		cmocka_unit_test(test_idempotent),      cmocka_unit_test(test_long_text_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
