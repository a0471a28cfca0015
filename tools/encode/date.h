/* Dates by a strptime format, read as Python's datetime.strptime reads them in the C locale, since that is what
 * clkhash does. Directives that say nothing of the day are checked and forgotten. */
#ifndef TOOLS_ENCODE_DATE_H
#define TOOLS_ENCODE_DATE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/rc.h"
#include "tools/encode/text.h"

struct date {
	int year, month, day; /* 1 … 9999, 1 … 12, 1 … 31; zero only from date_parse_zero() */
};

/* Whether every directive is known: %Y %y %m %d %j %b %B %a %A %H %I %M %S %f %p %w %%. On INVALID *ret_at is the place
 * of the first that is not. */
enum rc date_format_check(const char *format, size_t *ret_at) MUST_CHECK;

/* The whole text must match and be a real date. What the format does not give is 1900-01-01. Errors: INVALID. */
enum rc date_parse(const char *format, const struct text *value, struct date *ret) MUST_CHECK;

/* The same, but year, month and day may also be zero ("00-00-1970"): how registers write an unknown part. The result
 * need not be a real date. Errors: INVALID. */
enum rc date_parse_zero(const char *format, const struct text *value, struct date *ret) MUST_CHECK;

/* Age in whole years on another day; negative when that day is before. People born on 29 February have their birthday
 * on 1 March in other years. */
int date_age(const struct date *birth, const struct date *on);

#endif
