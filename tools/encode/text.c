#include "tools/encode/text.h"

#include <stdlib.h>
#include <string.h>

void text_init(struct text *t)
{
	*t = (struct text){0};
}

void text_deinit(struct text *t)
{
	if (t->cp != NULL)
		explicit_bzero(t->cp, t->cap * sizeof *t->cp);
	free(t->cp);
	*t = (struct text){0};
}

enum rc text_reserve(struct text *t, size_t cap)
{
	if (cap <= t->cap)
		return RC_OK;
	size_t want = t->cap ? t->cap : 64;
	while (want < cap)
		want *= 2;
	uint32_t *bigger = reallocarray(t->cp, want, sizeof *bigger);
	if (bigger == NULL)
		return RC_NOMEM;
	t->cp = bigger;
	t->cap = want;
	return RC_OK;
}

enum rc text_push(struct text *t, uint32_t cp)
{
	enum rc rc = text_reserve(t, t->len + 1);
	if (rc != RC_OK)
		return rc;
	t->cp[t->len++] = cp;
	return RC_OK;
}

enum rc text_set(struct text *t, const uint32_t *cp, size_t len)
{
	enum rc rc = text_reserve(t, len);
	if (rc != RC_OK)
		return rc;
	if (len != 0)
		memmove(t->cp, cp, len * sizeof *cp);
	t->len = len;
	return RC_OK;
}

enum rc text_set_ascii(struct text *t, const char *s, size_t len)
{
	enum rc rc = text_reserve(t, len);
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < len; i++)
		t->cp[i] = (unsigned char)s[i];
	t->len = len;
	return RC_OK;
}

/* One code point from at least one byte; 0 bytes taken = not UTF-8. Table 3-7 of the Unicode Standard. */
static size_t decode_one(const unsigned char *s, size_t len, uint32_t *ret)
{
	unsigned char c = s[0];
	if (c < 0x80) {
		*ret = c;
		return 1;
	}
	size_t n = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
	if (c < 0xC2 || c > 0xF4 || n > len)
		return 0;
	uint32_t cp = c & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xC0) != 0x80)
			return 0;
		cp = cp << 6 | (s[i] & 0x3F);
	}
	if ((n == 3 && cp < 0x800) || (n == 4 && cp < 0x10000) || cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
		return 0;
	*ret = cp;
	return n;
}

enum rc text_decode(struct text *t, const char *utf8, size_t len)
{
	enum rc rc = text_reserve(t, len);
	if (rc != RC_OK)
		return rc;
	t->len = 0;
	for (size_t at = 0; at < len;) {
		size_t n = decode_one((const unsigned char *)utf8 + at, len - at, &t->cp[t->len]);
		if (n == 0)
			return RC_INVALID;
		t->len++;
		at += n;
	}
	return RC_OK;
}

bool text_is_utf8(const char *utf8, size_t len)
{
	uint32_t cp;
	for (size_t at = 0; at < len;) {
		uint64_t word = UINT64_MAX;
		if (len - at >= sizeof word)
			memcpy(&word, utf8 + at, sizeof word);
		size_t n = sizeof word;
		if ((word & 0x8080808080808080u) != 0)
			n = decode_one((const unsigned char *)utf8 + at, len - at, &cp);
		if (n == 0)
			return false;
		at += n;
	}
	return true;
}

bool text_equals(const struct text *t, const char *utf8)
{
	size_t len = strlen(utf8), i = 0;
	for (size_t at = 0; at < len; i++) {
		uint32_t cp;
		size_t n = decode_one((const unsigned char *)utf8 + at, len - at, &cp);
		if (n == 0 || i >= t->len || t->cp[i] != cp)
			return false;
		at += n;
	}
	return i == t->len;
}

size_t text_encode_utf8(uint32_t cp, uint8_t out[4])
{
	if (cp < 0x80) {
		out[0] = (uint8_t)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (uint8_t)(0xC0 | cp >> 6);
		out[1] = (uint8_t)(0x80 | (cp & 0x3F));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (uint8_t)(0xE0 | cp >> 12);
		out[1] = (uint8_t)(0x80 | (cp >> 6 & 0x3F));
		out[2] = (uint8_t)(0x80 | (cp & 0x3F));
		return 3;
	}
	out[0] = (uint8_t)(0xF0 | cp >> 18);
	out[1] = (uint8_t)(0x80 | (cp >> 12 & 0x3F));
	out[2] = (uint8_t)(0x80 | (cp >> 6 & 0x3F));
	out[3] = (uint8_t)(0x80 | (cp & 0x3F));
	return 4;
}

bool text_is_space(uint32_t cp)
{
	return (cp >= 0x09 && cp <= 0x0D) || (cp >= 0x1C && cp <= 0x20) || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
	       (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F ||
	       cp == 0x3000;
}
