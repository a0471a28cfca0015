/* libs: tc_proto */
/* Days against the calendar, one by one over the whole range, and periods that tile it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "proto/day.h"

static void test_every_day_follows_the_last(void **state)
{
	int year = 1670, month = 1, day_of_month = 1;

	for (int32_t day = DAY_MIN; day <= DAY_MAX; day++) {
		int y, m, d;
		int32_t back;
		char text[DAY_TEXT_LEN];

		day_to_civil(day, &y, &m, &d);
		assert_int_equal(y, year);
		assert_int_equal(m, month);
		assert_int_equal(d, day_of_month);
		day_format(day, text);
		assert_int_equal(day_parse(text, &back), RC_OK);
		assert_int_equal(back, day);
		if (day_is_valid_civil(year, month, day_of_month + 1)) {
			day_of_month++;
		} else {
			day_of_month = 1;
			month = month == 12 ? 1 : month + 1;
			year += month == 1;
		}
	}
	assert_int_equal(year, 2200);
	assert_int_equal(month, 1);
	assert_int_equal(day_of_month, 1);
}

static void test_known_days(void **state)
{
	int32_t day;

	assert_int_equal(day_from_civil(1970, 1, 1), 0);
	assert_int_equal(day_from_civil(2000, 3, 1), 11017);
	assert_int_equal(day_parse("2024-02-29", &day), RC_OK);
	assert_int_equal(day, 19782);
}

static void test_civil_dates_reach_beyond_days(void **state)
{
	int year = 0, month = 0, day_of_month = 0;

	assert_true(day_parse_civil("9999-12-31", &year, &month, &day_of_month));
	assert_int_equal(year * 10000 + month * 100 + day_of_month, 99991231);
	assert_true(day_parse_civil("0001-01-01", &year, &month, &day_of_month));
	assert_int_equal(year * 10000 + month * 100 + day_of_month, 10101);
	assert_false(day_parse_civil("0000-01-01", &year, &month, &day_of_month));
	assert_false(day_parse_civil("2023-02-29", &year, &month, &day_of_month));
	assert_int_equal(year * 10000 + month * 100 + day_of_month, 10101);
}

static void test_bad_dates(void **state)
{
	static const char *const bad[] = {"", "2024", "2023-02-29", "1900-02-29", "2024-13-01", "2024-00-10", "2024-01-00",
		"2024-1-01", "2024-01-1 ", "2024/01/01", "24-01-01", "2024-01-011", "+024-01-01", "2024-01-1x", "1600-01-01",
		"2200-01-01", "0000-01-01"};
	int32_t day = 77;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(day_parse(bad[i], &day), RC_INVALID);
	assert_int_equal(day, 77);
}

static void test_periods_tile(void **state)
{
	static const enum period_kind kinds[] = {PERIOD_QUARTER, PERIOD_YEAR};

	for (size_t k = 0; k < 2; k++) {
		int32_t index = period_of_day(kinds[k], day_from_civil(1960, 5, 5));
		for (int i = 0; i < 200; i++, index++) {
			char text[PERIOD_TEXT_LEN];
			enum period_kind kind;
			int32_t back;

			assert_int_equal(period_last_day(kinds[k], index) + 1, period_first_day(kinds[k], index + 1));
			assert_int_equal(period_of_day(kinds[k], period_first_day(kinds[k], index)), index);
			assert_int_equal(period_of_day(kinds[k], period_last_day(kinds[k], index)), index);
			period_format(kinds[k], index, text);
			assert_int_equal(period_parse(text, &kind, &back), RC_OK);
			assert_int_equal(kind, kinds[k]);
			assert_int_equal(back, index);
		}
	}
}

static void test_period_texts(void **state)
{
	static const char *const bad[] = {"", "2024-Q0", "2024-Q5", "2024-q1", "2024Q1", "2024-Q11", "20", "All", "0000", "9999"};
	enum period_kind kind;
	int32_t index;
	char text[PERIOD_TEXT_LEN];

	assert_int_equal(period_parse("2024-Q1", &kind, &index), RC_OK);
	assert_int_equal(index, 216);
	assert_int_equal(period_parse("all", &kind, &index), RC_OK);
	assert_int_equal(kind, PERIOD_ALL);
	period_format(PERIOD_YEAR, 54, text);
	assert_string_equal(text, "2024");
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(period_parse(bad[i], &kind, &index), RC_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_day_follows_the_last),
		cmocka_unit_test(test_known_days),
		cmocka_unit_test(test_civil_dates_reach_beyond_days),
		cmocka_unit_test(test_bad_dates),
		cmocka_unit_test(test_periods_tile),
		cmocka_unit_test(test_period_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
