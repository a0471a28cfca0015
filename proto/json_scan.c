/* A recursive descent over canonical JSON; see json_scan.h. Each rule of the canonical form is one check where it
 * applies: no white space, keys strictly ascending by their bytes, the shortest escapes, whole numbers of 64 bits,
 * UTF-8. */
#include "proto/json_scan.h"

#include <stdint.h>
#include <string.h>

enum { MAX_DEPTH = 32 };

struct scan {
	const unsigned char *at, *end;
};

static bool scan_value(struct scan *s, int depth);

static bool take(struct scan *s, char c)
{
	if (s->at == s->end || *s->at != (unsigned char)c)
		return false;
	s->at++;
	return true;
}

static bool take_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		return false;
	s->at += len;
	return true;
}

/* ---- strings ---- */

/* The byte that an escape stands for, where it is the one that the canonical form has; 0 = it is not. */
static unsigned take_escape(struct scan *s)
{
	static const char names[] = "\"\\bfnrt", bytes[] = "\"\\\b\f\n\r\t";
	static const char digits[] = "0123456789abcdef";
	unsigned value = 0;

	if (s->end - s->at < 2)
		return 0;
	const char *name = s->at[1] == '\0' ? NULL : strchr(names, s->at[1]);
	if (name != NULL) {
		s->at += 2;
		return (unsigned char)bytes[name - names];
	}
	if (s->end - s->at < 6 || memcmp(s->at + 1, "u00", 3) != 0)
		return 0;
	for (int i = 4; i < 6; i++) {
		const char *digit = s->at[i] == '\0' ? NULL : strchr(digits, s->at[i]);
		if (digit == NULL)
			return 0;
		value = value * 16 + (unsigned)(digit - digits);
	}
	if (value >= 0x20 || memchr(bytes, (int)value, sizeof bytes) != NULL) /* also the NUL at their end */
		return 0;
	s->at += 6;
	return value;
}

/* One character of more than one byte (RFC 3629: shortest form, no surrogates, nothing above U+10FFFF). */
static bool take_utf8(struct scan *s)
{
	unsigned char c = s->at[0];
	int len = c >= 0xc2 && c <= 0xdf ? 2 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
	unsigned low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80, high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;

	if (len == 0 || s->end - s->at < len || s->at[1] < low || s->at[1] > high)
		return false;
	for (int i = 2; i < len; i++) {
		if ((s->at[i] & 0xc0) != 0x80)
			return false;
	}
	s->at += len;
	return true;
}

/* From behind the opening quote to behind the closing one. */
static bool scan_string(struct scan *s)
{
	while (s->at < s->end) {
		unsigned char c = *s->at;
		if (c == '"') {
			s->at++;
			return true;
		}
		if (c == '\\') {
			if (take_escape(s) == 0)
				return false;
		} else if (c < 0x20) {
			return false;
		} else if (c < 0x80) {
			s->at++;
		} else if (!take_utf8(s)) {
			return false;
		}
	}
	return false;
}

/* The next byte that a scanned string stands for, -1 at its end. */
static int next_byte(struct scan *s)
{
	if (s->at == s->end)
		return -1;
	return *s->at == '\\' ? (int)take_escape(s) : *s->at++;
}

static bool is_ascending(struct json_span before, struct json_span key)
{
	struct scan a = {(const unsigned char *)before.at, (const unsigned char *)before.at + before.len};
	struct scan b = {(const unsigned char *)key.at, (const unsigned char *)key.at + key.len};
	int x, y;

	do {
		x = next_byte(&a);
		y = next_byte(&b);
	} while (x == y && x >= 0);
	return x < y;
}

/* ---- values ---- */

static bool scan_number(struct scan *s)
{
	bool negative = take(s, '-');
	const unsigned char *first = s->at;
	uint64_t value = 0, limit = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;

	for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++) {
		unsigned digit = *s->at - '0';
		if (value > (limit - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	size_t len = (size_t)(s->at - first);
	if (len == 0 || (first[0] == '0' && (len > 1 || negative)))
		return false;
	/* What goes on is a fraction or an exponent, or no JSON. */
	return s->at == s->end || strchr(",]}", *s->at) != NULL;
}

static bool scan_array(struct scan *s, int depth)
{
	if (take(s, ']'))
		return true;
	do {
		if (!scan_value(s, depth))
			return false;
	} while (take(s, ','));
	return take(s, ']');
}

static bool scan_object(struct scan *s, int depth, json_scan_member visit, void *ctx)
{
	struct json_span before = {NULL, 0};

	if (take(s, '}'))
		return true;
	do {
		if (!take(s, '"'))
			return false;
		struct json_span key = {(const char *)s->at, 0};
		if (!scan_string(s))
			return false;
		key.len = (size_t)((const char *)s->at - key.at) - 1;
		if ((before.at != NULL && !is_ascending(before, key)) || !take(s, ':'))
			return false;
		before = key;
		const char *value = (const char *)s->at;
		if (!scan_value(s, depth))
			return false;
		if (visit != NULL)
			visit(ctx, key, (struct json_span){value, (size_t)((const char *)s->at - value)});
	} while (take(s, ','));
	return take(s, '}');
}

static bool scan_value(struct scan *s, int depth)
{
	if (s->at == s->end)
		return false;
	switch (*s->at) {
	case '{':
		s->at++;
		return depth < MAX_DEPTH && scan_object(s, depth + 1, NULL, NULL);
	case '[':
		s->at++;
		return depth < MAX_DEPTH && scan_array(s, depth + 1);
	case '"':
		s->at++;
		return scan_string(s);
	case 't':
		return take_word(s, "true");
	case 'f':
		return take_word(s, "false");
	case 'n':
		return take_word(s, "null");
	default:
		return scan_number(s);
	}
}

bool json_scan(const char *text, size_t len, json_scan_member visit, void *ctx)
{
	struct scan s = {(const unsigned char *)text, (const unsigned char *)text + len};
	bool ok = take(&s, '{') ? scan_object(&s, 1, visit, ctx) : take(&s, '[') && scan_array(&s, 1);

	return ok && s.at == s.end;
}

/* ---- what was found ---- */

bool json_span_string(struct json_span value, char *out, size_t cap)
{
	if (value.len < 2 || value.at[0] != '"')
		return false;
	struct scan s = {(const unsigned char *)value.at + 1, (const unsigned char *)value.at + value.len - 1};
	size_t n = 0;
	int c;

	while ((c = next_byte(&s)) >= 0) {
		if (n + 1 >= cap)
			return false;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return true;
}

bool json_span_is(struct json_span span, const char *text)
{
	return span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}
