/* A clkhash linkage schema, version 3 (2 is converted), parsed from JSON exactly as clkhash 0.18 reads it (Data61,
 * clkhash documentation, "Linkage Schema"). Parsing only; the hashing is in tools/encode, which the daemon does not
 * link. */
#ifndef PROTO_SCHEMA_H
#define PROTO_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

enum {
	SCHEMA_MAX_FEATURES = 64,
	SCHEMA_MAX_L = 1 << 20,          /* of l << xor_folds; blakeHash reaches the first 65,536 bits only */
	SCHEMA_MAX_KEY_BYTES = 255 * 64, /* HKDF's own bound with SHA-512 */
	/* Bounds of ours on what clkhash leaves open, so that one value cannot ask for unbounded work. */
	SCHEMA_MAX_N = 64,
	SCHEMA_MAX_K = 1 << 16,
	SCHEMA_MAX_RESOLUTION = 4096,
	SCHEMA_MAX_PRECISION = 12,
	SCHEMA_MAX_ENUM = 4096,
};

enum schema_format { FORMAT_STRING, FORMAT_STRING_PATTERN, FORMAT_INTEGER, FORMAT_DATE, FORMAT_ENUM };
enum schema_case { CASE_MIXED, CASE_UPPER, CASE_LOWER };
enum schema_encoding { ENCODING_UTF8, ENCODING_UTF16, ENCODING_UTF32, ENCODING_ASCII };
enum schema_comparison { COMPARE_NGRAM, COMPARE_EXACT, COMPARE_NUMERIC };
enum schema_hash { HASH_BLAKE, HASH_DOUBLE };

struct schema_feature {
	char *identifier; /* column name */
	bool ignored;     /* consumes its keys, gives no bits; nothing below is set */
	/* format */
	enum schema_format format;
	enum schema_encoding encoding;
	enum schema_case letter_case;
	char *pattern;                   /* whole-value regular expression, or NULL */
	char *date_format;               /* strptime form, FORMAT_DATE only */
	uint32_t min_length, max_length; /* code points; UINT32_MAX = no limit */
	bool has_minimum, has_maximum;
	int64_t minimum, maximum; /* FORMAT_INTEGER */
	char **values;            /* FORMAT_ENUM */
	size_t n_values;
	char *sentinel, *replace_with; /* missing value; NULL where not given */
	/* hashing */
	enum schema_comparison comparison;
	uint32_t n; /* of the n-gram */
	bool positional;
	double threshold_distance; /* numeric */
	uint32_t resolution, fractional_precision;
	int64_t distance_interval; /* numeric: round-half-even(thresholdDistance * 10^precision), 1 … 2^53 */
	bool bits_per_feature;     /* strategy: true = k bits a feature, false = k a token */
	uint32_t k;
	enum schema_hash hash;
	bool prevent_singularity;
};

struct schema {
	uint32_t l; /* filter length before folding is l << xor_folds */
	uint32_t xor_folds;
	bool kdf_sha512;
	uint8_t *kdf_salt, *kdf_info;
	size_t kdf_salt_len, kdf_info_len;
	uint32_t key_size;
	struct schema_feature features[SCHEMA_MAX_FEATURES];
	uint16_t n_features;
	bool has_xorFolds; /* the misspelling that clkhash ignores: callers warn */
};

/* Parse a schema from a JSON value (borrowed). Accepts and refuses what clkhash 0.18 does, with errors at once that
 * clkhash raises only when the first row is hashed (l that is no power of two, keys beyond HKDF's bound, …). Keys that
 * clkhash does not know are ignored where it ignores them, and version 2 is converted as it converts it. Errors:
 * INVALID, and `diag` reads "features[1].hashing.strategy.bitsPerToken: 0 is below 1", the path first; NOMEM. */
enum rc schema_from_json(const json_t *root, struct schema **ret_schema, struct diag *diag) MUST_CHECK;
/* The same from text. */
enum rc schema_parse(const char *json, size_t len, struct schema **ret_schema, struct diag *diag) MUST_CHECK;
void schema_free(struct schema *schema);

/* Index of the feature with that column name, -1 if there is none. */
int schema_find(const struct schema *schema, const char *identifier);

#endif
