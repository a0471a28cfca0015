/* Shared by encoder.c, which makes an encoder, and encoder_worker.c, which encodes with it. */
#ifndef TOOLS_ENCODE_ENCODER_INTERNAL_H
#define TOOLS_ENCODE_ENCODER_INTERNAL_H

#include "tools/encode/bloom.h"
#include "tools/encode/encoder.h"
#include "tools/encode/harden.h"

enum { ENCODER_MAX_K = 1 << 16 }; /* bits of a token or feature; a filter has no more */

/* One feature in one filter. */
struct encoder_part {
	uint16_t feature;
	uint8_t group; /* parts of one group stand for each other: given and middle name */
	size_t at;     /* its bits in the feature's value_entry, in words */
	struct bloom_key key;
};

struct encoder_filter {
	const char *name;
	uint32_t out_bits;  /* as sent */
	uint32_t n_bits;    /* after folding: all of them, or half where the filter is balanced */
	uint32_t hash_bits; /* before folding */
	bool sorted_digits;
	struct hardening *hardening; /* owned; NULL = none */
	struct encoder_part parts[SCHEMA_MAX_FEATURES];
	uint16_t n_parts;
};

struct encoder {
	const struct schema *schema;
	struct format_rules rules;
	uint8_t *keys;
	size_t keys_len;
	struct encoder_filter filters[STUDY_MAX_FILTERS];
	uint32_t n_filters, folds;
	bool used[SCHEMA_MAX_FEATURES], is_date[SCHEMA_MAX_FEATURES], hardened;
	size_t n_words[SCHEMA_MAX_FEATURES]; /* bits of a feature in all of its filters, before folding */
	uint32_t n_used, n_parts /* of all filters */, n_workers;
	bool sorted[SCHEMA_MAX_FEATURES]; /* some filter wants the sorted digits of this feature */
};

/* A filter before folding, in 64-bit words. */
static inline size_t encoder_hash_words(const struct encoder_filter *f)
{
	return ((size_t)f->hash_bits + 63) / 64;
}

#endif
