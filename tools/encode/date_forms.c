#include "tools/encode/date_forms.h"

#include <string.h>

#include <utf8proc.h>

#include "proto/day.h"

/* Beginnings that only one month has in all of the languages, marks removed; longest first where one contains another.
 */
static const struct {
	const char *start;
	int month;
} months[] = {
	{"jan", 1},  {"gen", 1},  {"ene", 1},  {"fev", 2},  {"feb", 2},  {"maa", 3},  {"mar", 3},
	{"mrt", 3},  {"avr", 4},  {"apr", 4},  {"abr", 4},  {"mai", 5},  {"mag", 5},  {"may", 5},
	{"mei", 5},  {"juin", 6}, {"jun", 6},  {"giu", 6},  {"juil", 7}, {"jul", 7},  {"lug", 7},
	{"aou", 8},  {"aug", 8},  {"ago", 8},  {"sep", 9},  {"set", 9},  {"oct", 10}, {"okt", 10},
	{"ott", 10}, {"out", 10}, {"nov", 11}, {"dec", 12}, {"dez", 12}, {"dic", 12},
};

enum { NO_LETTER = 0, MARK = -1 };

/* A letter without its case and marks; marks may stand by themselves behind it. */
static int plain_letter(uint32_t c)
{
	utf8proc_int32_t plain[8];
	int boundary = 0;
	utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
	if (category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME)
		return MARK;
	utf8proc_ssize_t n =
		utf8proc_decompose_char(utf8proc_tolower((utf8proc_int32_t)c), plain, 8, UTF8PROC_DECOMPOSE, &boundary);
	return n >= 1 && n <= 8 && plain[0] >= 'a' && plain[0] <= 'z' ? plain[0] : NO_LETTER;
}

struct part {
	int value, n_digits; /* n_digits 0 = a month by name */
};

static int month_named(const char *word)
{
	for (size_t i = 0; i < sizeof months / sizeof months[0]; i++) {
		if (strncmp(word, months[i].start, strlen(months[i].start)) == 0)
			return months[i].month;
	}
	return 0;
}

/* Cut into at most three numbers and month names; between them only separators, and "de". False on anything else. */
static bool split(const struct text *t, struct part parts[3], size_t *ret_n)
{
	size_t n = 0;
	for (size_t i = 0; i < t->len;) {
		uint32_t c = t->cp[i];
		if (c == '.' || c == '/' || c == '-' || c == ',' || text_is_space(c)) {
			i++;
			continue;
		}
		struct part part = {0, 0};
		if (c >= '0' && c <= '9') {
			for (; i < t->len && t->cp[i] >= '0' && t->cp[i] <= '9' && part.n_digits < 9; i++) {
				part.value = part.value * 10 + (int)(t->cp[i] - '0');
				part.n_digits++;
			}
		} else {
			char word[16];
			size_t len = 0;
			for (; i < t->len && len + 1 < sizeof word; i++) {
				int letter = plain_letter(t->cp[i]);
				if (letter == NO_LETTER)
					break;
				if (letter != MARK)
					word[len++] = (char)letter;
			}
			word[len] = '\0';
			if (strcmp(word, "de") == 0)
				continue;
			part.value = month_named(word);
			if (len < 3 || part.value == 0)
				return false;
		}
		if (n == 3)
			return false;
		parts[n++] = part;
	}
	*ret_n = n;
	return true;
}

enum rc date_parse_national(const struct text *value, struct date *ret)
{
	struct part p[3];
	size_t n = 0;
	struct date d;
	if (!split(value, p, &n))
		return RC_INVALID;
	if (n == 1 && p[0].n_digits == 8)
		d = (struct date){p[0].value / 10000, p[0].value / 100 % 100, p[0].value % 100};
	else if (n == 3 && p[0].n_digits == 4 && p[1].n_digits <= 2 && p[2].n_digits >= 1 && p[2].n_digits <= 2)
		d = (struct date){p[0].value, p[1].value, p[2].value};
	else if (n == 3 && p[2].n_digits == 4 && p[1].n_digits <= 2 && p[0].n_digits >= 1 && p[0].n_digits <= 2)
		d = (struct date){p[2].value, p[1].value, p[0].value};
	else
		return RC_INVALID;
	bool zero = d.year == 0 || d.month == 0 || d.day == 0;
	if (d.month > 12 || d.day > 31 || (!zero && !day_is_valid_civil(d.year, d.month, d.day)))
		return RC_INVALID;
	*ret = d;
	return RC_OK;
}
