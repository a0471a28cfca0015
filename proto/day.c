/* Days and reporting periods. All arithmetic is on whole days, so that no time zone can move an event. */
#include "proto/day.h"

#include <stdio.h>
#include <string.h>

int32_t day_from_civil(int year, int month, int day_of_month)
{
	int y = month <= 2 ? year - 1 : year;
	int era = (y >= 0 ? y : y - 399) / 400;
	int yoe = y - era * 400;                                              /* 0 … 399 */
	int doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day_of_month - 1;   /* March-based */
	int doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return (int32_t)(era * 146097 + doe - 719468);
}

void day_to_civil(int32_t day, int *ret_year, int *ret_month, int *ret_day_of_month)
{
	int z = day + 719468;
	int era = (z >= 0 ? z : z - 146096) / 146097;
	int doe = z - era * 146097;
	int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int mp = (5 * doy + 2) / 153;
	int month = mp < 10 ? mp + 3 : mp - 9;

	*ret_day_of_month = doy - (153 * mp + 2) / 5 + 1;
	*ret_month = month;
	*ret_year = yoe + era * 400 + (month <= 2);
}

bool day_is_valid_civil(int year, int month, int day_of_month)
{
	static const int lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	if (month < 1 || month > 12 || day_of_month < 1 || year < 1 || year > 9999)
		return false;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return day_of_month <= lengths[month - 1] + (month == 2 && leap);
}

/* `n` ASCII digits as a number, -1 when one is something else. */
static int digits(const char *text, size_t n)
{
	int v = 0;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		v = v * 10 + (text[i] - '0');
	}
	return v;
}

bool day_parse_civil(const char *text, int *ret_year, int *ret_month, int *ret_day_of_month)
{
	if (strlen(text) != 10 || text[4] != '-' || text[7] != '-')
		return false;
	int year = digits(text, 4), month = digits(text + 5, 2), day_of_month = digits(text + 8, 2);
	if (!day_is_valid_civil(year, month, day_of_month))
		return false;
	*ret_year = year;
	*ret_month = month;
	*ret_day_of_month = day_of_month;
	return true;
}

enum rc day_parse(const char *text, int32_t *ret_day)
{
	int year, month, day_of_month;

	if (!day_parse_civil(text, &year, &month, &day_of_month))
		return RC_INVALID;
	int32_t day = day_from_civil(year, month, day_of_month);
	if (day < DAY_MIN || day > DAY_MAX)
		return RC_INVALID;
	*ret_day = day;
	return RC_OK;
}

void day_format(int32_t day, char out[DAY_TEXT_LEN])
{
	int year, month, day_of_month;
	char text[48];

	day_to_civil(day, &year, &month, &day_of_month);
	snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, day_of_month);
	memcpy(out, text, DAY_TEXT_LEN - 1);
	out[DAY_TEXT_LEN - 1] = '\0';
}

int32_t period_of_day(enum period_kind kind, int32_t day)
{
	int year, month, day_of_month;

	day_to_civil(day, &year, &month, &day_of_month);
	if (kind == PERIOD_QUARTER)
		return (int32_t)((year - 1970) * 4 + (month - 1) / 3);
	return kind == PERIOD_YEAR ? (int32_t)(year - 1970) : 0;
}

/* Year and quarter of a quarter index, also before 1970. */
static void split_quarter(int32_t index, int *ret_year, int *ret_quarter)
{
	int year = (int)(index >= 0 ? index / 4 : -((3 - index) / 4));
	*ret_year = 1970 + year;
	*ret_quarter = (int)index - year * 4;
}

int32_t period_first_day(enum period_kind kind, int32_t index)
{
	int year, quarter;

	if (kind == PERIOD_ALL)
		return DAY_MIN;
	if (kind == PERIOD_YEAR)
		return day_from_civil(1970 + index, 1, 1);
	split_quarter(index, &year, &quarter);
	return day_from_civil(year, quarter * 3 + 1, 1);
}

int32_t period_last_day(enum period_kind kind, int32_t index)
{
	return kind == PERIOD_ALL ? DAY_MAX : period_first_day(kind, index + 1) - 1;
}

void period_format(enum period_kind kind, int32_t index, char out[PERIOD_TEXT_LEN])
{
	int year, quarter;
	char text[48];

	if (kind == PERIOD_ALL) {
		snprintf(text, sizeof text, "all");
	} else if (kind == PERIOD_YEAR) {
		snprintf(text, sizeof text, "%04d", 1970 + (int)index);
	} else {
		split_quarter(index, &year, &quarter);
		snprintf(text, sizeof text, "%04d-Q%d", year, quarter + 1);
	}
	memcpy(out, text, PERIOD_TEXT_LEN - 1);
	out[PERIOD_TEXT_LEN - 1] = '\0';
}

enum rc period_parse(const char *text, enum period_kind *ret_kind, int32_t *ret_index)
{
	size_t len = strlen(text);

	if (strcmp(text, "all") == 0) {
		*ret_kind = PERIOD_ALL;
		*ret_index = 0;
		return RC_OK;
	}
	if (len != 4 && len != 7)
		return RC_INVALID;
	int year = digits(text, 4);
	if (year < 1671 || year > 2198)
		return RC_INVALID;
	if (len == 4) {
		*ret_kind = PERIOD_YEAR;
		*ret_index = year - 1970;
		return RC_OK;
	}
	if (text[4] != '-' || text[5] != 'Q' || text[6] < '1' || text[6] > '4')
		return RC_INVALID;
	*ret_kind = PERIOD_QUARTER;
	*ret_index = (year - 1970) * 4 + (text[6] - '1');
	return RC_OK;
}
