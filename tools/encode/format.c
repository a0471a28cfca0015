#include "tools/encode/format.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "tools/encode/date_forms.h"
#include "tools/encode/normalise.h"
#include "tools/encode/regex.h"
#include "tools/encode/sex.h"

struct format {
	const struct schema_feature *feature;
	struct format_rules rules;
	struct regex *regex;
	struct text scratch;
};

static enum rc rule_set(char rule[RULE_TEXT_CAP], enum rc rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static enum rc rule_set(char rule[RULE_TEXT_CAP], enum rc rc, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(rule, RULE_TEXT_CAP, format, args);
	va_end(args);
	return rc;
}

void format_free(struct format *format)
{
	if (format == NULL)
		return;
	regex_free(format->regex);
	text_deinit(&format->scratch);
	free(format);
}

enum rc format_new(const struct schema_feature *feature, const struct format_rules *rules, struct format **ret,
		   char ret_rule[RULE_TEXT_CAP])
{
	struct format *format = calloc(1, sizeof *format);
	enum rc rc = RC_OK;
	if (format == NULL)
		return rule_set(ret_rule, RC_NOMEM, "out of memory");
	format->feature = feature;
	format->rules = *rules;
	text_init(&format->scratch);
	if (feature->pattern != NULL) {
		const char *why = "";
		rc = regex_compile(feature->pattern, &format->regex, &why);
		if (rc != RC_OK)
			rule_set(ret_rule, rc, "format.pattern: %s", why);
	}
	if (rc == RC_OK && feature->format == FORMAT_DATE) {
		size_t at = 0;
		if (feature->date_format == NULL)
			rc = rule_set(ret_rule, RC_INVALID, "format.format: a date needs one");
		else if (date_format_check(feature->date_format, &at) != RC_OK)
			rc = rule_set(ret_rule, RC_INVALID,
				      "format.format: the directive at character %zu is not known", at + 1);
	}
	if (rc != RC_OK) {
		format_free(format);
		return rc;
	}
	*ret = format;
	return RC_OK;
}

/* Upper-case forms of several letters, which a simple mapping does not show: Python's str.upper() expands them. */
static bool upper_expands(uint32_t c)
{
	return c == 0xDF || c == 0x149 || c == 0x1F0 || c == 0x390 || c == 0x3B0 || c == 0x587 ||
	       (c >= 0x1E96 && c <= 0x1E9A) || (c >= 0xFB00 && c <= 0xFB06) || (c >= 0xFB13 && c <= 0xFB17);
}

static bool case_holds(const struct text *text, enum schema_case letter_case)
{
	for (size_t i = 0; i < text->len; i++) {
		utf8proc_int32_t c = (utf8proc_int32_t)text->cp[i];
		if (letter_case == CASE_UPPER && (utf8proc_toupper(c) != c || upper_expands(text->cp[i])))
			return false;
		if (letter_case == CASE_LOWER && utf8proc_tolower(c) != c)
			return false;
	}
	return true;
}

static enum rc check_encoding(const struct schema_feature *f, const struct text *text, char rule[RULE_TEXT_CAP])
{
	if (f->encoding != ENCODING_ASCII)
		return RC_OK;
	for (size_t i = 0; i < text->len; i++) {
		if (text->cp[i] >= 0x80)
			return rule_set(rule, RC_INVALID, "expected ASCII characters only");
	}
	return RC_OK;
}

static enum rc check_string(struct format *format, const struct text *text, char rule[RULE_TEXT_CAP])
{
	const struct schema_feature *f = format->feature;
	bool matches = true;
	enum rc rc = check_encoding(f, text, rule);
	if (rc != RC_OK)
		return rc;
	if (format->regex != NULL) {
		rc = regex_match(format->regex, text->cp, text->len, &matches);
		if (rc != RC_OK)
			return rc;
		return matches ? RC_OK : rule_set(rule, RC_INVALID, "expected text that matches the schema's pattern");
	}
	/* Folding decides the case of what is hashed, so the register's own does not matter then. */
	if (f->letter_case != CASE_MIXED && !format->rules.normalise.lower && !case_holds(text, f->letter_case))
		return rule_set(rule, RC_INVALID, "expected %s case", f->letter_case == CASE_UPPER ? "upper" : "lower");
	if (text->len < f->min_length)
		return rule_set(rule, RC_INVALID, "expected at least %u characters", f->min_length);
	if (text->len > f->max_length)
		return rule_set(rule, RC_INVALID, "expected at most %u characters", f->max_length);
	return RC_OK;
}

static enum rc check_enum(const struct schema_feature *f, const struct text *text, char rule[RULE_TEXT_CAP])
{
	for (size_t i = 0; i < f->n_values; i++) {
		if (text_equals(text, f->values[i]))
			return RC_OK;
	}
	return rule_set(rule, RC_INVALID, "expected one of the schema's %zu values", f->n_values);
}

enum { MAX_INTEGER_DIGITS = 4300 }; /* Python's own limit on int() */

/* Compare a decimal without leading zeros with an int64. */
static int compare_decimal(bool negative, const struct text *digits, size_t from, int64_t limit)
{
	uint64_t magnitude = limit < 0 ? -(uint64_t)limit : (uint64_t)limit, v = 0;
	int sign = negative ? -1 : 1;
	if (negative != (limit < 0))
		return sign;
	if (digits->len - from > 19)
		return sign;
	for (size_t i = from; i < digits->len; i++)
		v = v * 10 + (digits->cp[i] - '0');
	return v == magnitude ? 0 : v > magnitude ? sign : -sign;
}

/* Python's int(): white space around, one sign, digits with single underscores between, any length. `out` gets the
 * decimal without leading zeros. */
static enum rc format_integer(const struct format *format, const struct text *in, struct text *out,
			      char rule[RULE_TEXT_CAP])
{
	const struct schema_feature *f = format->feature;
	size_t from = 0, to = in->len, n_digits = 0;
	while (from < to && text_is_space(in->cp[from]))
		from++;
	while (to > from && text_is_space(in->cp[to - 1]))
		to--;
	bool negative = from < to && in->cp[from] == '-';
	if (from < to && (in->cp[from] == '-' || in->cp[from] == '+'))
		from++;
	out->len = 0;
	enum rc rc = text_push(out, '-');
	for (size_t i = from; i < to && rc == RC_OK; i++) {
		uint32_t c = in->cp[i];
		if (c == '_' && i > from && i + 1 < to && in->cp[i - 1] != '_')
			continue;
		if (c < '0' || c > '9' || ++n_digits > MAX_INTEGER_DIGITS)
			return rule_set(rule, RC_INVALID, "expected an integer");
		if (out->len > 1 || c != '0')
			rc = text_push(out, c);
	}
	if (rc != RC_OK)
		return rc;
	if (n_digits == 0)
		return rule_set(rule, RC_INVALID, "expected an integer");
	if (out->len == 1) {
		negative = false;
		rc = text_push(out, '0');
		if (rc != RC_OK)
			return rc;
	}
	bool validate = !format->rules.no_validation;
	if (validate && f->has_minimum && compare_decimal(negative, out, 1, f->minimum) < 0)
		return rule_set(rule, RC_INVALID, "expected an integer of at least %lld", (long long)f->minimum);
	if (validate && f->has_maximum && compare_decimal(negative, out, 1, f->maximum) > 0)
		return rule_set(rule, RC_INVALID, "expected an integer of at most %lld", (long long)f->maximum);
	if (!negative)
		memmove(out->cp, out->cp + 1, --out->len * sizeof *out->cp);
	return RC_OK;
}

static enum rc format_date(struct format *format, struct formatted *out, char rule[RULE_TEXT_CAP])
{
	const struct schema_feature *f = format->feature;
	bool sentinels = format->rules.normalise.sentinel_dates;
	if (sentinels && normalise_is_zero_date(&out->text)) {
		out->text.len = 0;
		return RC_OK;
	}
	enum rc rc = date_parse(f->date_format, &out->text, &out->date);
	if (rc != RC_OK && sentinels && date_parse_zero(f->date_format, &out->text, &out->date) == RC_OK &&
	    normalise_is_sentinel_date(&out->date)) {
		out->text.len = 0;
		return RC_OK;
	}
	if (rc != RC_OK && format->rules.normalise.date_forms) {
		rc = date_parse_national(&out->text, &out->date);
		bool zero = out->date.year == 0 || out->date.month == 0 || out->date.day == 0;
		if (rc == RC_OK && zero && !sentinels)
			rc = RC_INVALID;
	}
	if (rc != RC_OK)
		return rule_set(rule, RC_INVALID, "expected a date in the form %.60s", f->date_format);
	if (sentinels && normalise_is_sentinel_date(&out->date)) {
		out->text.len = 0;
		return RC_OK;
	}
	/* As strftime prints it on Linux, where clkhash runs: a year below 1000 is not padded. */
	char text[40];
	int n = snprintf(text, sizeof text, "%d%02d%02d", out->date.year, out->date.month, out->date.day);
	out->is_date = true;
	return text_set_ascii(&out->text, text, (size_t)n);
}

static bool has_value(const struct schema_feature *f, const char *value)
{
	for (size_t i = 0; i < f->n_values; i++) {
		if (strcmp(f->values[i], value) == 0)
			return true;
	}
	return false;
}

/* A code for sex, in a list that has male and female. */
static enum rc format_sex(const struct format *format, struct text *text)
{
	char code[64];
	size_t n = 0;
	if (!has_value(format->feature, "male") || !has_value(format->feature, "female") || text->len > sizeof code / 4)
		return RC_OK;
	for (size_t i = 0; i < text->len; i++)
		n += text_encode_utf8(text->cp[i], (uint8_t *)code + n);
	const char *sex = sex_from_code(format->rules.normalise.language, code, n);
	return sex != NULL ? text_set_ascii(text, sex, strlen(sex)) : RC_OK;
}

static enum rc format_missing(const struct schema_feature *f, struct formatted *out)
{
	const char *text = f->replace_with != NULL ? f->replace_with : f->sentinel;
	return text_decode(&out->text, text, strlen(text));
}

/* A date that comes as text, since its register has days that do not exist. One that can be read is put down as
 * YYYYMMDD; what cannot be, or has a part that is zero, stays text, so that the digits that are right can still agree.
 */
static enum rc format_text_date(const struct format *format, struct text *text)
{
	const struct study_normalise *n = &format->rules.normalise;
	struct date d;
	char digits[40];
	if (n->sentinel_dates && normalise_is_zero_date(text)) {
		text->len = 0;
		return RC_OK;
	}
	if (date_parse_national(text, &d) != RC_OK || d.year == 0 || d.month == 0 || d.day == 0)
		return RC_OK;
	if (n->sentinel_dates && normalise_is_sentinel_date(&d)) {
		text->len = 0;
		return RC_OK;
	}
	if (!n->date_forms)
		return RC_OK;
	int len = snprintf(digits, sizeof digits, "%04d%02d%02d", d.year, d.month, d.day);
	return text_set_ascii(text, digits, (size_t)len);
}

static enum rc format_text(struct format *format, struct formatted *out, char rule[RULE_TEXT_CAP])
{
	const struct schema_feature *f = format->feature;
	enum rc rc = RC_OK;
	if (f->format == FORMAT_ENUM && format->rules.normalise.sex_codes) {
		rc = format_sex(format, &out->text);
		if (rc != RC_OK || out->text.len == 0)
			return rc;
	}
	if (!format->rules.no_validation)
		rc = f->format == FORMAT_ENUM ? check_enum(f, &out->text, rule)
					      : check_string(format, &out->text, rule);
	if (rc == RC_OK && f->format == FORMAT_STRING && format->rules.is_date)
		rc = format_text_date(format, &out->text);
	if (rc != RC_OK)
		return rc;
	rc = normalise_text(&format->rules.normalise, &out->text, &format->scratch);
	if (rc == RC_TOO_LARGE)
		return rule_set(rule, RC_INVALID, "expected at most 65536 characters");
	return rc;
}

enum rc format_value(struct format *format, const char *value, size_t len, struct formatted *out,
		     char ret_rule[RULE_TEXT_CAP])
{
	const struct schema_feature *f = format->feature;
	out->is_date = false;
	enum rc rc = text_decode(&out->text, value, len);
	if (rc == RC_INVALID)
		return rule_set(ret_rule, rc, "expected UTF-8 text");
	if (rc != RC_OK)
		return rc;
	if (f->sentinel != NULL && text_equals(&out->text, f->sentinel))
		return format_missing(f, out);
	if (format->rules.normalise.trim) {
		normalise_trim(&out->text);
		if (f->sentinel != NULL && text_equals(&out->text, f->sentinel))
			return format_missing(f, out);
	}
	if (out->text.len == 0 && format->rules.empty_is_missing)
		return RC_OK;
	switch (f->format) {
	case FORMAT_INTEGER:
		rc = format_integer(format, &out->text, &format->scratch, ret_rule);
		return rc == RC_OK ? text_set(&out->text, format->scratch.cp, format->scratch.len) : rc;
	case FORMAT_DATE:
		return format_date(format, out, ret_rule);
	default:
		return format_text(format, out, ret_rule);
	}
}
