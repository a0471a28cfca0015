#include "tools/encode/date.h"

#include <string.h>

#include "proto/day.h"

/* Numeric directives: how many digits, and which values. */
static const struct directive {
	char letter;
	int min_width, max_width, low, high;
} directives[] = {
	{'Y', 4, 4, 0, 9999}, {'y', 2, 2, 0, 99}, {'m', 1, 2, 1, 12},     {'d', 1, 2, 1, 31},
	{'j', 1, 3, 1, 366},  {'H', 1, 2, 0, 23}, {'I', 1, 2, 1, 12},     {'M', 1, 2, 0, 59},
	{'S', 1, 2, 0, 61},   {'w', 1, 1, 0, 6},  {'f', 1, 6, 0, 999999},
};

/* Full names first: the longer is tried before the shorter, as in Python. */
static const char *const months[] = {"january",   "february", "march",    "april",    "may", "june", "july", "august",
				     "september", "october",  "november", "december", "jan", "feb",  "mar",  "apr",
				     "may",       "jun",      "jul",      "aug",      "sep", "oct",  "nov",  "dec"};
static const char *const weekdays[] = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
				       "mon",    "tue",     "wed",       "thu",      "fri",    "sat",      "sun"};
static const char *const halves[] = {"am", "pm"};

static const struct {
	char letter;
	const char *const *names;
	size_t n;
} name_directives[] = {
	{'B', months, 12}, {'b', months + 12, 12}, {'A', weekdays, 7}, {'a', weekdays + 7, 7}, {'p', halves, 2},
};

static const struct directive *find_directive(char letter)
{
	for (size_t i = 0; i < sizeof directives / sizeof directives[0]; i++) {
		if (directives[i].letter == letter)
			return &directives[i];
	}
	return NULL;
}

static int find_name_directive(char letter)
{
	for (size_t i = 0; i < sizeof name_directives / sizeof name_directives[0]; i++) {
		if (name_directives[i].letter == letter)
			return (int)i;
	}
	return -1;
}

enum rc date_format_check(const char *format, size_t *ret_at)
{
	for (const char *f = format; *f != '\0'; f++) {
		if (*f != '%')
			continue;
		f++;
		if (*f == '\0' || (*f != '%' && find_directive(*f) == NULL && find_name_directive(*f) < 0)) {
			*ret_at = (size_t)(f - format) - 1;
			return RC_INVALID;
		}
	}
	return RC_OK;
}

struct parse {
	const uint32_t *cp;
	size_t len;
	bool allow_zero;
	int depth;
	int year, month, day, day_of_year;
	size_t end;
};

enum { MAX_DIRECTIVES = 32 };

static bool match(struct parse *p, const char *f, size_t at);

static void keep(struct parse *p, char letter, int value)
{
	switch (letter) {
	case 'Y':
		p->year = value;
		break;
	case 'y':
		p->year = value <= 68 ? 2000 + value : 1900 + value;
		break;
	case 'm':
		p->month = value;
		break;
	case 'd':
		p->day = value;
		break;
	case 'j':
		p->day_of_year = value;
		break;
	}
}

static bool match_number(struct parse *p, const struct directive *d, const char *rest, size_t at)
{
	int low = p->allow_zero && (d->letter == 'm' || d->letter == 'd') ? 0 : d->low;
	for (int width = d->max_width; width >= d->min_width; width--) {
		int value = 0, i;
		for (i = 0; i < width && at + (size_t)i < p->len; i++) {
			uint32_t c = p->cp[at + (size_t)i];
			if (c < '0' || c > '9')
				break;
			value = value * 10 + (int)(c - '0');
		}
		if (i < width || value < low || value > d->high)
			continue;
		if (match(p, rest, at + (size_t)width)) {
			keep(p, d->letter, value);
			return true;
		}
	}
	/* " 7" for %d */
	if (d->letter == 'd' && at + 1 < p->len && p->cp[at] == ' ' && p->cp[at + 1] >= '1' && p->cp[at + 1] <= '9' &&
	    match(p, rest, at + 2)) {
		keep(p, 'd', (int)(p->cp[at + 1] - '0'));
		return true;
	}
	return false;
}

static uint32_t lower_ascii(uint32_t c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static bool match_name(struct parse *p, int which, const char *rest, size_t at)
{
	for (size_t i = 0; i < name_directives[which].n; i++) {
		const char *name = name_directives[which].names[i];
		size_t n = strlen(name), j = 0;
		while (j < n && at + j < p->len && lower_ascii(p->cp[at + j]) == (unsigned char)name[j])
			j++;
		if (j == n && match(p, rest, at + n)) {
			if (name_directives[which].names == months || name_directives[which].names == months + 12)
				p->month = (int)i + 1;
			return true;
		}
	}
	return false;
}

/* White space in the format stands for one or more white-space characters. */
static bool match_space(struct parse *p, const char *f, size_t at)
{
	size_t n = 0;
	while (text_is_space((unsigned char)*f))
		f++;
	while (at + n < p->len && text_is_space(p->cp[at + n]))
		n++;
	for (; n > 0; n--) {
		if (match(p, f, at + n))
			return true;
	}
	return false;
}

/* Match the rest of the format at `at`; alternatives in the order of Python's expressions, first success wins. */
static bool match(struct parse *p, const char *f, size_t at)
{
	if (p->depth >= MAX_DIRECTIVES * 2)
		return false;
	p->depth++;
	bool ok = false;
	for (;;) {
		unsigned char c = (unsigned char)*f;
		if (c == '\0') {
			p->end = at;
			ok = true;
			break;
		}
		if (text_is_space(c)) {
			ok = match_space(p, f, at);
			break;
		}
		if (c == '%' && f[1] != '%') {
			const struct directive *d = find_directive(f[1]);
			int which = find_name_directive(f[1]);
			ok = d != NULL ? match_number(p, d, f + 2, at) : which >= 0 && match_name(p, which, f + 2, at);
			break;
		}
		f += c == '%' ? 2 : 1;
		if (at >= p->len || lower_ascii(p->cp[at]) != lower_ascii(c))
			break;
		at++;
	}
	p->depth--;
	return ok;
}

static bool run(struct parse *p, const char *format, const struct text *value, bool allow_zero)
{
	*p = (struct parse){.cp = value->cp,
			    .len = value->len,
			    .allow_zero = allow_zero,
			    .year = 1900,
			    .month = 1,
			    .day = 1,
			    .day_of_year = -1};
	/* No date is this long; it bounds the search. */
	return value->len <= 256 && match(p, format, 0) && p->end == value->len;
}

enum rc date_parse(const char *format, const struct text *value, struct date *ret)
{
	struct parse p;
	if (!run(&p, format, value, false) || p.year < 1)
		return RC_INVALID;
	if (p.day_of_year > 0)
		day_to_civil(day_from_civil(p.year, 1, 1) + p.day_of_year - 1, &p.year, &p.month, &p.day);
	if (!day_is_valid_civil(p.year, p.month, p.day))
		return RC_INVALID;
	*ret = (struct date){p.year, p.month, p.day};
	return RC_OK;
}

enum rc date_parse_zero(const char *format, const struct text *value, struct date *ret)
{
	struct parse p;
	if (!run(&p, format, value, true))
		return RC_INVALID;
	*ret = (struct date){p.year, p.month, p.day};
	return RC_OK;
}

int date_age(const struct date *birth, const struct date *on)
{
	int age = on->year - birth->year;
	if (on->month < birth->month || (on->month == birth->month && on->day < birth->day))
		age--;
	return age;
}
