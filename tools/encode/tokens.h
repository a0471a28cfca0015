/* Tokens: what a value is cut into before hashing. Exactly clkhash 0.18's comparisons (n-gram, positional, exact,
 * numeric), over code points, duplicates kept and in order, since `bitsPerFeature` gives the first tokens more bits. */
#ifndef TOOLS_ENCODE_TOKENS_H
#define TOOLS_ENCODE_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"
#include "proto/schema.h"
#include "tools/encode/text.h"

enum { TOKENS_MAX_BYTES = 16 << 20 }; /* of one value; more is refused, not cut */

/* Encoded tokens one after the other; token i is bytes[ends[i-1] … ends[i]). */
struct tokens {
	uint8_t *bytes;
	uint32_t *ends;
	size_t n, cap_n, cap_bytes;
};

struct token {
	const uint8_t *bytes; /* borrows */
	size_t len;
};

void tokens_init(struct tokens *tokens);
void tokens_deinit(struct tokens *tokens); /* wipes */
void tokens_reset(struct tokens *tokens);  /* keeps the memory */
struct token tokens_at(const struct tokens *tokens, size_t i);

/* Append the tokens of a formatted value; an empty value gives none. `ret_rule` borrows a constant text on INVALID.
 * Errors: INVALID (not a number, number out of range, cannot be said in the encoding), TOO_LARGE, NOMEM. */
enum rc tokens_make(const struct schema_feature *feature, const struct text *value, struct tokens *tokens,
		    const char **ret_rule) MUST_CHECK;

/* Append the sorted digits of year, month and day of "YYYYMMDD" as "y0149", "m07", "d03": what transposed and
 * swapped digits of a date leave in place. */
enum rc tokens_sorted_digits(const struct schema_feature *feature, const struct text *yyyymmdd, struct tokens *tokens,
			     const char **ret_rule) MUST_CHECK;

/* Bits of token i of n under the feature's strategy: bitsPerToken k each; bitsPerFeature spread, the first get one
 * more. */
uint32_t tokens_bits(const struct schema_feature *feature, size_t i, size_t n);

/* Distance of neighbouring tokens of a numeric comparison, round(thresholdDistance * 10^fractional_precision).
 * Errors: INVALID (it is below 1 or out of range). */
enum rc tokens_numeric_distance(const struct schema_feature *feature, int64_t *ret) MUST_CHECK;

#endif
