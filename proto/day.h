/* Days: whole days since 1970-01-01 (UTC), proleptic Gregorian. The only form of date inside the daemon.
 * Algorithm: Howard Hinnant, "chrono-compatible low-level date algorithms". */
#ifndef PROTO_DAY_H
#define PROTO_DAY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/rc.h"

#define DAY_MIN (-109572)         /* 1670-01-01 */
#define DAY_MAX 84005             /* 2199-12-31 */
#define DAY_TEXT_LEN 11           /* "2024-02-29" and NUL */

int32_t day_from_civil(int year, int month, int day_of_month);          /* the date must be valid */
void day_to_civil(int32_t day, int *ret_year, int *ret_month, int *ret_day_of_month);
bool day_is_valid_civil(int year, int month, int day_of_month);
/* Whether the text is exactly "YYYY-MM-DD", a real date of the years 1 … 9999. */
bool day_parse_civil(const char *text, int *ret_year, int *ret_month, int *ret_day_of_month);
/* The same within DAY_MIN … DAY_MAX. Errors: INVALID. */
enum rc day_parse(const char *text, int32_t *ret_day) MUST_CHECK;
void day_format(int32_t day, char out[DAY_TEXT_LEN]);

/* Reporting periods. `index` counts quarters (or years) since 1970: quarter 216 = 2024-Q1. */
enum period_kind { PERIOD_QUARTER, PERIOD_YEAR, PERIOD_ALL };
#define PERIOD_TEXT_LEN 16
int32_t period_of_day(enum period_kind kind, int32_t day);
int32_t period_first_day(enum period_kind kind, int32_t index);
int32_t period_last_day(enum period_kind kind, int32_t index);
void period_format(enum period_kind kind, int32_t index, char out[PERIOD_TEXT_LEN]);  /* "2024-Q1", "2024", "all" */
enum rc period_parse(const char *text, enum period_kind *ret_kind, int32_t *ret_index) MUST_CHECK;

#endif
