#include "tools/encode/tokens.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tokens_init(struct tokens *tokens)
{
	*tokens = (struct tokens){0};
}

void tokens_deinit(struct tokens *tokens)
{
	if (tokens->bytes != NULL)
		explicit_bzero(tokens->bytes, tokens->cap_bytes);
	free(tokens->bytes);
	free(tokens->ends);
	*tokens = (struct tokens){0};
}

void tokens_reset(struct tokens *tokens)
{
	tokens->n = 0;
}

struct token tokens_at(const struct tokens *tokens, size_t i)
{
	uint32_t start = i == 0 ? 0 : tokens->ends[i - 1];
	return (struct token){tokens->bytes + start, tokens->ends[i] - start};
}

/* Room for one more token of up to `len` bytes. */
static enum rc reserve(struct tokens *t, size_t len)
{
	size_t used = t->n == 0 ? 0 : t->ends[t->n - 1];
	if (len > TOKENS_MAX_BYTES || used + len > TOKENS_MAX_BYTES)
		return RC_TOO_LARGE;
	if (used + len > t->cap_bytes) {
		size_t cap = (used + len) * 2 + 256;
		uint8_t *bytes = malloc(cap);
		if (bytes == NULL)
			return RC_NOMEM;
		if (t->bytes != NULL) {
			memcpy(bytes, t->bytes, used);
			explicit_bzero(t->bytes, t->cap_bytes);
			free(t->bytes);
		}
		t->bytes = bytes;
		t->cap_bytes = cap;
	}
	if (t->n == t->cap_n) {
		size_t cap = t->cap_n ? t->cap_n * 2 : 64;
		uint32_t *ends = reallocarray(t->ends, cap, sizeof *ends);
		if (ends == NULL)
			return RC_NOMEM;
		t->ends = ends;
		t->cap_n = cap;
	}
	return RC_OK;
}

/* Little-endian units, as Python's utf-16 and utf-32 write them on the hosts that clkhash runs on. */
static size_t put_le(uint8_t *out, uint32_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(v >> 8 * i);
	return n;
}

static size_t put_utf16(uint8_t *out, uint32_t cp)
{
	if (cp < 0x10000)
		return put_le(out, cp, 2);
	cp -= 0x10000;
	put_le(out, 0xD800 | cp >> 10, 2);
	return 2 + put_le(out + 2, 0xDC00 | (cp & 0x3FF), 2);
}

static enum rc put_code_points(enum schema_encoding encoding, const uint32_t *cp, size_t len, uint8_t *out,
			       size_t *ret_n)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		switch (encoding) {
		case ENCODING_UTF16:
			n += put_utf16(out + n, cp[i]);
			break;
		case ENCODING_UTF32:
			n += put_le(out + n, cp[i], 4);
			break;
		case ENCODING_ASCII:
			if (cp[i] >= 0x80)
				return RC_INVALID;
			out[n++] = (uint8_t)cp[i];
			break;
		default:
			n += text_encode_utf8(cp[i], out + n);
		}
	}
	*ret_n = n;
	return RC_OK;
}

/* Append prefix (ASCII) and code points as one token in the feature's encoding; utf-16 and utf-32 carry a byte order
 * mark on every token, because Python's codecs of those names do. */
static enum rc push_token(struct tokens *t, enum schema_encoding encoding, const char *prefix, const uint32_t *cp,
			  size_t len)
{
	size_t prefix_len = strlen(prefix), used = t->n == 0 ? 0 : t->ends[t->n - 1], n = 0, part = 0;
	if (len > TOKENS_MAX_BYTES / 4)
		return RC_TOO_LARGE;
	enum rc rc = reserve(t, 4 * (1 + prefix_len + len));
	if (rc != RC_OK)
		return rc;
	uint8_t *out = t->bytes + used;
	uint32_t head[33] = {0xFEFF};
	size_t n_head = encoding == ENCODING_UTF16 || encoding == ENCODING_UTF32 ? 1 : 0;
	for (size_t i = 0; i < prefix_len && n_head < 33; i++)
		head[n_head++] = (unsigned char)prefix[i];
	rc = put_code_points(encoding, head, n_head, out, &n);
	if (rc == RC_OK)
		rc = put_code_points(encoding, cp, len, out + n, &part);
	if (rc == RC_OK)
		t->ends[t->n++] = (uint32_t)(used + n + part);
	return rc;
}

static enum rc make_ngrams(const struct schema_feature *f, const struct text *value, struct tokens *tokens)
{
	size_t n = f->n, pad = n - 1;
	if (n == 0 || n > TOKENS_MAX_BYTES / 16)
		return RC_TOO_LARGE;
	/* n - 1 spaces on each side, so that every code point stands in n grams. */
	struct text padded;
	text_init(&padded);
	enum rc rc = text_reserve(&padded, value->len + 2 * pad);
	if (rc != RC_OK)
		goto out;
	for (size_t i = 0; i < pad; i++)
		padded.cp[i] = padded.cp[pad + value->len + i] = ' ';
	memcpy(padded.cp + pad, value->cp, value->len * sizeof *value->cp);
	padded.len = value->len + 2 * pad;
	for (size_t i = 0; i + n <= padded.len; i++) {
		char prefix[32] = "";
		if (f->positional)
			snprintf(prefix, sizeof prefix, "%zu ", i + 1);
		rc = push_token(tokens, f->encoding, prefix, padded.cp + i, n);
		if (rc != RC_OK)
			goto out;
	}
out:
	text_deinit(&padded);
	return rc;
}

enum rc tokens_numeric_distance(const struct schema_feature *f, int64_t *ret)
{
	/* pow(10, fp) with an integer exponent up to 22 is exact in a double; beyond, no threshold can be meant. */
	if (f->fractional_precision > 15)
		return RC_INVALID;
	double scale = 1;
	for (uint32_t i = 0; i < f->fractional_precision; i++)
		scale *= 10;
	double d = rint(f->threshold_distance * scale);
	if (!(d >= 1) || d > 1e15)
		return RC_INVALID;
	*ret = (int64_t)d;
	return RC_OK;
}

/* Strip white space and underscores between digits, as Python's int() and float() do. False when there is no number. */
static bool number_text(const struct text *value, char *out, size_t cap, bool *ret_is_integer)
{
	size_t from = 0, to = value->len, n = 0;
	while (from < to && text_is_space(value->cp[from]))
		from++;
	while (to > from && text_is_space(value->cp[to - 1]))
		to--;
	bool digits = false, integer = true;
	for (size_t i = from; i < to; i++) {
		uint32_t c = value->cp[i];
		bool is_digit = c >= '0' && c <= '9';
		if (c == '_') {
			bool between = i > from && i + 1 < to && value->cp[i - 1] >= '0' && value->cp[i - 1] <= '9' &&
				       value->cp[i + 1] >= '0' && value->cp[i + 1] <= '9';
			if (!between)
				return false;
			continue;
		}
		if (!is_digit && strchr("+-.eE", (int)(c < 0x80 ? c : 0x7F)) == NULL)
			return false;
		if (!is_digit && !((c == '+' || c == '-') && i == from))
			integer = false;
		digits |= is_digit;
		if (n + 1 >= cap)
			return false;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	*ret_is_integer = integer;
	return digits;
}

enum { NUMERIC_LIMIT = 1000000000 }; /* of resolution and 10^fp together, see numeric_value() */
static const __int128 VALUE_LIMIT = (__int128)1 << 100;

/* The value times 10^fp as an integer: exact for integers; through a double and half-to-even for the others (with
 * fp = 0 the fraction is cut), which is what clkhash does. */
static enum rc numeric_value(const struct schema_feature *f, const struct text *value, __int128 *ret,
			     const char **ret_rule)
{
	char number[64];
	bool is_integer;
	if (!number_text(value, number, sizeof number, &is_integer)) {
		*ret_rule = "not a number";
		return RC_INVALID;
	}
	double scale = 1;
	__int128 v = 0;
	for (uint32_t i = 0; i < f->fractional_precision; i++)
		scale *= 10;
	if (is_integer) {
		const char *s = number + (number[0] == '-' || number[0] == '+');
		for (; *s != '\0' && v < VALUE_LIMIT / 10; s++)
			v = v * 10 + (*s - '0');
		if (*s != '\0' || v > VALUE_LIMIT / (__int128)scale)
			goto out_of_range;
		v *= (__int128)scale;
		v = number[0] == '-' ? -v : v;
	} else {
		char *end;
		double d = strtod(number, &end) * scale;
		if (*end != '\0') {
			*ret_rule = "not a number";
			return RC_INVALID;
		}
		if (!(fabs(d) < 1e18))
			goto out_of_range;
		v = (__int128)(f->fractional_precision == 0 ? trunc(d) : rint(d));
	}
	*ret = v;
	return RC_OK;
out_of_range:
	*ret_rule = "a number that is too large";
	return RC_INVALID;
}

static size_t format_int128(__int128 v, char out[48])
{
	char digits[48];
	size_t n = 0, len = 0;
	unsigned __int128 u = v < 0 ? -(unsigned __int128)v : (unsigned __int128)v;
	do {
		digits[n++] = (char)('0' + (int)(u % 10));
		u /= 10;
	} while (u != 0);
	if (v < 0)
		out[len++] = '-';
	while (n > 0)
		out[len++] = digits[--n];
	out[len] = '\0';
	return len;
}

/* clkhash's NumericComparison (Vatsalan and Christen 2016): neighbours of the value on a grid of width D. */
static enum rc make_numeric(const struct schema_feature *f, const struct text *value, struct tokens *tokens,
			    const char **ret_rule)
{
	int64_t distance;
	__int128 v;
	enum rc rc = tokens_numeric_distance(f, &distance);
	if (rc != RC_OK) {
		*ret_rule = "a threshold distance that the fractional precision can say";
		return rc;
	}
	if (f->resolution > NUMERIC_LIMIT)
		return RC_TOO_LARGE;
	rc = numeric_value(f, value, &v, ret_rule);
	if (rc != RC_OK)
		return rc;
	if (v > VALUE_LIMIT / NUMERIC_LIMIT || v < -VALUE_LIMIT / NUMERIC_LIMIT) {
		*ret_rule = "a number that is too large";
		return RC_INVALID;
	}
	v *= 2 * (__int128)f->resolution;
	__int128 r = v % distance;
	if (r < 0)
		r += distance;
	v = 2 * r < distance ? v - r : v + distance - r;
	for (int64_t i = -(int64_t)f->resolution; i <= (int64_t)f->resolution; i++) {
		char text[48];
		format_int128(v + (__int128)i * distance, text);
		rc = push_token(tokens, f->encoding, text, NULL, 0);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

enum rc tokens_make(const struct schema_feature *feature, const struct text *value, struct tokens *tokens,
		    const char **ret_rule)
{
	enum rc rc;
	if (value->len == 0)
		return RC_OK;
	*ret_rule = "text that the schema's encoding can say";
	switch (feature->comparison) {
	case COMPARE_EXACT:
		rc = push_token(tokens, feature->encoding, "", value->cp, value->len);
		break;
	case COMPARE_NUMERIC:
		rc = make_numeric(feature, value, tokens, ret_rule);
		break;
	default:
		rc = make_ngrams(feature, value, tokens);
	}
	if (rc == RC_TOO_LARGE)
		*ret_rule = "a value short enough to be cut into tokens";
	return rc;
}

static enum rc push_sorted(const struct schema_feature *f, const struct text *date, size_t from, size_t n,
			   const char *prefix, struct tokens *tokens)
{
	uint32_t digits[4];
	memcpy(digits, date->cp + from, n * sizeof *digits);
	for (size_t i = 1; i < n; i++) {
		for (size_t j = i; j > 0 && digits[j - 1] > digits[j]; j--) {
			uint32_t swap = digits[j];
			digits[j] = digits[j - 1];
			digits[j - 1] = swap;
		}
	}
	return push_token(tokens, f->encoding, prefix, digits, n);
}

enum rc tokens_sorted_digits(const struct schema_feature *feature, const struct text *yyyymmdd, struct tokens *tokens,
			     const char **ret_rule)
{
	*ret_rule = "a date of eight digits";
	if (yyyymmdd->len != 8)
		return RC_INVALID;
	enum rc rc = push_sorted(feature, yyyymmdd, 0, 4, "y", tokens);
	if (rc == RC_OK)
		rc = push_sorted(feature, yyyymmdd, 4, 2, "m", tokens);
	if (rc == RC_OK)
		rc = push_sorted(feature, yyyymmdd, 6, 2, "d", tokens);
	return rc;
}

uint32_t tokens_bits(const struct schema_feature *feature, size_t i, size_t n)
{
	if (!feature->bits_per_feature)
		return feature->k;
	return (uint32_t)(feature->k / n + (i < feature->k % n ? 1 : 0));
}
