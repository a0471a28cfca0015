/* What the values of one feature became: a person's surname or place stands in a register thousands of times, and what
 * it gives (whether it is missing, its date, its bits before folding in every filter) depends on nothing else of the
 * record. Looking it up saves format, normalisation, tokens and hashing at once.
 *
 * A table of fixed size with two places a value; a new value takes the place of an older one, so that memory is bounded
 * whatever the register. It is a dictionary of people under the secret: value_cache_free() wipes it. */
#ifndef TOOLS_ENCODE_VALUE_CACHE_H
#define TOOLS_ENCODE_VALUE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"
#include "tools/encode/date.h"

enum { VALUE_CACHE_MAX_LEN = 43 }; /* longer values are encoded anew each time */

/* Two cache lines with one filter of 512 bits. */
struct value_entry {
	uint32_t hash; /* 0 = free */
	uint8_t missing, is_date, len;
	char value[VALUE_CACHE_MAX_LEN];
	struct date date;
	uint64_t bits[]; /* of all filters that hash the feature */
};

struct value_cache;
/* `n_words` of bits an entry; `n_bytes` is what the table may take. Errors: NOMEM. */
enum rc value_cache_new(size_t n_words, size_t n_bytes, struct value_cache **ret) MUST_CHECK;
void value_cache_free(struct value_cache *cache);

/* Hash a value and begin to load its entry; the caller keeps the result for value_cache_find(). */
uint32_t value_cache_hash(const struct value_cache *cache, const char *value, size_t len);
/* The entry of a value: filled (*ret_known), or the one to fill. An entry that was to be filled counts as known only
 * after value_cache_keep(). Borrowed until the next call. */
struct value_entry *value_cache_find(struct value_cache *cache, uint32_t hash, const char *value, size_t len,
				     bool *ret_known);
void value_cache_keep(struct value_entry *entry, uint32_t hash, const char *value, size_t len);

#endif
