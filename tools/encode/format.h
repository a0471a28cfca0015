/* A value of the register against its feature's format: missing-value rule, validation, and the canonical form that
 * is cut into tokens. Exactly clkhash's rules; a study's normalisation comes on top (docs/encoding.md).
 *
 * With normalisation, format rules are about what the register holds (after trim), and normalisation about what is
 * hashed: a pattern or an enum sees the trimmed value, tokens see the normalised one. */
#ifndef TOOLS_ENCODE_FORMAT_H
#define TOOLS_ENCODE_FORMAT_H

#include <stdbool.h>

#include "proto/rc.h"
#include "proto/schema.h"
#include "proto/study.h"
#include "tools/encode/date.h"
#include "tools/encode/text.h"

enum { RULE_TEXT_CAP = 96 };

/* The compiled form of one feature; has scratch, so one thread at a time. Borrows the feature. */
struct format;

struct format_rules {
	struct study_normalise normalise;
	bool is_date;          /* a string is what the study calls a date, in text */
	bool empty_is_missing; /* an empty field is missing whatever its format, as in a study */
	bool no_validation;    /* skip what clkhash skips with validate=False */
};

/* Compile. On INVALID, `ret_rule` says what is wrong with the pattern or date format. Errors: INVALID, TOO_LARGE,
 * NOMEM. */
enum rc format_new(const struct schema_feature *feature, const struct format_rules *rules, struct format **ret,
		   char ret_rule[RULE_TEXT_CAP]) MUST_CHECK;
void format_free(struct format *format);

struct formatted {
	struct text text; /* what is cut into tokens; empty = missing */
	bool is_date;     /* text is the YYYYMMDD of `date` */
	struct date date;
};

/* Format one value (UTF-8, not NUL-terminated). On INVALID `ret_rule` says what was expected, from the schema alone and
 * never from the value. Errors: INVALID, NOMEM. */
enum rc format_value(struct format *format, const char *value, size_t len, struct formatted *out,
		     char ret_rule[RULE_TEXT_CAP]) MUST_CHECK;

#endif
