/* Dates in the forms that European registers write them, where the schema's own format does not fit. */
#ifndef TOOLS_ENCODE_DATE_FORMS_H
#define TOOLS_ENCODE_DATE_FORMS_H

#include "proto/rc.h"
#include "tools/encode/date.h"

/* Year first (1980-01-31, 1980/1/31, 1980. 01. 31., 19800131), or day first (31.1.1980, 31/01/1980, 31-1-1980,
 * 31 01 1980), or the month by a word that begins like its name (three letters) in French, Dutch, German, Italian,
 * Spanish, Portuguese or English ("31 janvier 1980", "31. Jän. 1980", "31 de enero de 1980"). Years have four digits;
 * the month never comes before the day. It must be a real date, or one with a zero for the day, the month or the year
 * that is not known. Errors: INVALID. */
enum rc date_parse_national(const struct text *value, struct date *ret) MUST_CHECK;

#endif
