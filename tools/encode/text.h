/* Text as Unicode code points. clkhash counts, slices and compares code points, never bytes or grapheme clusters, so
 * every value is decoded once at the border and stays an array of code points until tokens are encoded. */
#ifndef TOOLS_ENCODE_TEXT_H
#define TOOLS_ENCODE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

struct text {
	uint32_t *cp;
	size_t len, cap;
};

void text_init(struct text *t);
void text_deinit(struct text *t); /* wipes: values are personal data */
/* Replace the content. Errors: NOMEM. */
enum rc text_set(struct text *t, const uint32_t *cp, size_t len) MUST_CHECK;
enum rc text_set_ascii(struct text *t, const char *s, size_t len) MUST_CHECK;
enum rc text_push(struct text *t, uint32_t cp) MUST_CHECK;
enum rc text_reserve(struct text *t, size_t cap) MUST_CHECK;
/* Decode UTF-8 strictly: no surrogates, no overlong forms, nothing above U+10FFFF. Errors: INVALID, NOMEM. */
enum rc text_decode(struct text *t, const char *utf8, size_t len) MUST_CHECK;
/* Whether `utf8` is valid in the same strict sense. */
bool text_is_utf8(const char *utf8, size_t len);
/* Whether the text equals a UTF-8 string. */
bool text_equals(const struct text *t, const char *utf8);
/* UTF-8 form of one code point: 1 to 4 bytes. */
size_t text_encode_utf8(uint32_t cp, uint8_t out[4]);
/* White space in Python's sense (str.isspace), which decides what int() and float() strip. */
bool text_is_space(uint32_t cp);

#endif
