/* clkhash linkage schema version 3: reading and checking. The rules are those of clkhash's own schema document and of
 * what its code refuses later; where the two differ (numbers written 2.0, `xorFolds`) the code wins, since the bits do.
 */
#include "proto/schema.h"

#include "proto/json.h"
#include "proto/schema_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HKDF_BLOCKS 255

/* Where we are: the path of the object being read, for errors. */
struct place {
	struct diag *diag;
	const char *path; /* "" = the whole schema */
};

static enum rc fail(const struct place *at, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static enum rc fail(const struct place *at, const char *key, const char *format, ...)
{
	char message[300];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	return diag_set(at->diag, RC_INVALID, "%s%s%s%s%s", at->path, at->path[0] != 0 && key[0] != 0 ? "." : "", key,
			at->path[0] != 0 || key[0] != 0 ? ": " : "", message);
}

/* ---- typed reading; a key that is not there leaves the default ---- */

static enum rc get_integer(const struct place *at, const json_t *object, const char *key, int64_t min, int64_t max,
			   uint32_t *value)
{
	const json_t *v = json_object_get(object, key);

	if (v == NULL)
		return RC_OK;
	if (!json_is_integer(v))
		return fail(at, key, "a whole number is needed here");
	if (json_integer_value(v) < min)
		return fail(at, key, "%lld is below %lld", (long long)json_integer_value(v), (long long)min);
	if (json_integer_value(v) > max)
		return fail(at, key, "%lld is above %lld", (long long)json_integer_value(v), (long long)max);
	*value = (uint32_t)json_integer_value(v);
	return RC_OK;
}

static enum rc need_integer(const struct place *at, const json_t *object, const char *key, int64_t min, int64_t max,
			    uint32_t *value)
{
	if (json_object_get(object, key) == NULL)
		return fail(at, key, "is missing");
	return get_integer(at, object, key, min, max, value);
}

/* Bounds of values and lengths: clkhash compares with them and also takes 5.0. */
static enum rc get_bound(const struct place *at, const json_t *object, const char *key, bool *ret_has, int64_t *value)
{
	const json_t *v = json_object_get(object, key);

	if (v == NULL)
		return RC_OK;
	if (json_is_integer(v)) {
		*value = json_integer_value(v);
	} else if (json_is_real(v) && json_real_value(v) >= -9007199254740992.0 &&
		   json_real_value(v) <= 9007199254740992.0 &&
		   json_real_value(v) == (double)(int64_t)json_real_value(v)) {
		*value = (int64_t)json_real_value(v);
	} else {
		return fail(at, key, "a whole number is needed here");
	}
	*ret_has = true;
	return RC_OK;
}

static enum rc get_bool(const struct place *at, const json_t *object, const char *key, bool *value)
{
	const json_t *v = json_object_get(object, key);

	if (v == NULL)
		return RC_OK;
	if (!json_is_boolean(v))
		return fail(at, key, "true or false is needed here");
	*value = json_is_true(v);
	return RC_OK;
}

static enum rc get_text(const struct place *at, const json_t *object, const char *key, char **value)
{
	const json_t *v = json_object_get(object, key);

	if (v == NULL)
		return RC_OK;
	if (!json_is_string(v))
		return fail(at, key, "text is needed here");
	*value = strdup(json_string_value(v));
	return *value == NULL ? RC_NOMEM : RC_OK;
}

static enum rc check_description(const struct place *at, const json_t *object)
{
	const json_t *v = json_object_get(object, "description");

	return v == NULL || json_is_string(v) ? RC_OK : fail(at, "description", "text is needed here");
}

/* One of the NULL-terminated words. */
static enum rc get_word(const struct place *at, const json_t *object, const char *key, const char *const *words,
			int *value)
{
	const json_t *v = json_object_get(object, key);
	char known[160] = "";

	if (v == NULL)
		return RC_OK;
	for (int i = 0; words[i] != NULL; i++) {
		if (json_is_string(v) && strcmp(json_string_value(v), words[i]) == 0) {
			*value = i;
			return RC_OK;
		}
		size_t used = strlen(known);
		snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "", words[i]);
	}
	return fail(at, key, "one of these is needed here: %s", known);
}

static enum rc need_object(const struct place *at, const json_t *object, const char *key, const json_t **ret)
{
	const json_t *v = json_object_get(object, key);

	if (v == NULL)
		return fail(at, key, "is missing");
	if (!json_is_object(v))
		return fail(at, key, "an object is needed here");
	*ret = v;
	return RC_OK;
}

static enum rc only_keys(const struct place *at, const json_t *object, const char *const *keys)
{
	for (void *it = json_object_iter((json_t *)object); it != NULL;
	     it = json_object_iter_next((json_t *)object, it)) {
		const char *const *key = keys;
		while (*key != NULL && strcmp(*key, json_object_iter_key(it)) != 0)
			key++;
		if (*key == NULL)
			return fail(at, json_object_iter_key(it), "this key is not allowed here");
	}
	return RC_OK;
}

/* ---- clkConfig ---- */

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 as Python reads it, since the salt decides the bits: characters outside the alphabet are skipped, reading
 * stops at the padding that completes a group, and only an incomplete group is an error. */
static enum rc get_base64(const struct place *at, const json_t *object, const char *key, uint8_t **ret, size_t *ret_len)
{
	const json_t *v = json_object_get(object, key);
	unsigned in_group = 0, pads = 0, left = 0;
	size_t n = 0;

	if (v == NULL)
		return RC_OK;
	if (!json_is_string(v))
		return fail(at, key, "base64 text is needed here");
	uint8_t *out = malloc(json_string_length(v) + 1);
	if (out == NULL)
		return RC_NOMEM;
	for (const char *s = json_string_value(v); *s != 0; s++) {
		if ((unsigned char)*s >= 0x80) {
			free(out);
			return fail(at, key, "not base64: it may hold ASCII characters only");
		}
		if (*s == '=') {
			if (in_group >= 2 && in_group + ++pads >= 4) {
				in_group = 0;
				break;
			}
			continue;
		}
		int value = base64_value(*s);
		if (value < 0)
			continue;
		pads = 0;
		left = left << 6 | (unsigned)value;
		if (in_group > 0)
			out[n++] = (uint8_t)(left >> (in_group == 1 ? 4 : in_group == 2 ? 2 : 0));
		in_group = (in_group + 1) % 4;
	}
	if (in_group != 0) {
		free(out);
		return fail(at, key, "not base64: the padding is wrong");
	}
	*ret = out;
	*ret_len = n;
	return RC_OK;
}

static enum rc read_kdf(struct schema *schema, const json_t *kdf, struct diag *diag)
{
	static const char *const types[] = {"HKDF", NULL}, *const hashes[] = {"SHA256", "SHA512", NULL};
	const struct place at = {diag, "clkConfig.kdf"};
	int word = 0;

	if (json_object_get(kdf, "type") == NULL)
		return fail(&at, "type", "is missing");
	enum rc rc = get_word(&at, kdf, "type", types, &word);
	if (rc == RC_OK)
		rc = get_word(&at, kdf, "hash", hashes, &word);
	if (rc != RC_OK)
		return rc;
	schema->kdf_sha512 = word == 1;
	schema->key_size = 64;
	rc = get_integer(&at, kdf, "keySize", 1, SCHEMA_MAX_KEY_BYTES, &schema->key_size);
	if (rc == RC_OK)
		rc = get_base64(&at, kdf, "salt", &schema->kdf_salt, &schema->kdf_salt_len);
	if (rc == RC_OK)
		rc = get_base64(&at, kdf, "info", &schema->kdf_info, &schema->kdf_info_len);
	return rc;
}

static enum rc read_config(struct schema *schema, const json_t *root, struct diag *diag)
{
	const struct place top = {diag, ""}, at = {diag, "clkConfig"};
	const json_t *config = NULL, *kdf = NULL;
	uint32_t ignored_folds;

	enum rc rc = need_object(&top, root, "clkConfig", &config);
	if (rc == RC_OK)
		rc = need_integer(&at, config, "l", 1, SCHEMA_MAX_L, &schema->l);
	if (rc == RC_OK)
		rc = get_integer(&at, config, "xor_folds", 0, 20, &schema->xor_folds);
	/* clkhash checks this spelling and then does not use it. */
	if (rc == RC_OK)
		rc = get_integer(&at, config, "xorFolds", 0, UINT32_MAX, &ignored_folds);
	if (rc != RC_OK)
		return rc;
	schema->has_xorFolds = json_object_get(config, "xorFolds") != NULL;
	if ((uint64_t)schema->l << schema->xor_folds > SCHEMA_MAX_L)
		return fail(&at, "xor_folds", "l doubled so often is above %d bits", SCHEMA_MAX_L);
	rc = need_object(&at, config, "kdf", &kdf);
	return rc == RC_OK ? read_kdf(schema, kdf, diag) : rc;
}

/* ---- format ---- */

static enum rc read_string_format(struct schema_feature *f, const json_t *format, const struct place *at)
{
	static const char *const plain_keys[] = {"type",      "encoding",    "case", "minLength",
						 "maxLength", "description", NULL};
	static const char *const pattern_keys[] = {"type", "encoding", "pattern", "description", NULL};
	static const char *const encodings[] = {"utf-8", "utf-16", "utf-32", "ascii", NULL};
	static const char *const cases[] = {"mixed", "upper", "lower", NULL};
	bool has_pattern = json_object_get(format, "pattern") != NULL, has_min = false, has_max = false;
	int encoding = ENCODING_UTF8, letter_case = CASE_MIXED;
	int64_t min = 0, max = UINT32_MAX;

	enum rc rc = only_keys(at, format, has_pattern ? pattern_keys : plain_keys);
	if (rc == RC_OK)
		rc = get_word(at, format, "encoding", encodings, &encoding);
	if (rc == RC_OK)
		rc = get_word(at, format, "case", cases, &letter_case);
	if (rc == RC_OK)
		rc = get_text(at, format, "pattern", &f->pattern);
	if (rc == RC_OK)
		rc = get_bound(at, format, "minLength", &has_min, &min);
	if (rc == RC_OK)
		rc = get_bound(at, format, "maxLength", &has_max, &max);
	if (rc != RC_OK)
		return rc;
	if (min < 0)
		return fail(at, "minLength", "%lld is below 0", (long long)min);
	if (max < 1)
		return fail(at, "maxLength", "%lld is below 1", (long long)max);
	f->format = has_pattern ? FORMAT_STRING_PATTERN : FORMAT_STRING;
	f->encoding = (enum schema_encoding)encoding;
	f->letter_case = (enum schema_case)letter_case;
	f->min_length = min > UINT32_MAX ? UINT32_MAX : (uint32_t)min;
	f->max_length = max > UINT32_MAX ? UINT32_MAX : (uint32_t)max;
	return RC_OK;
}

static enum rc read_integer_format(struct schema_feature *f, const json_t *format, const struct place *at)
{
	static const char *const keys[] = {"type", "minimum", "maximum", "description", NULL};

	f->format = FORMAT_INTEGER;
	enum rc rc = only_keys(at, format, keys);
	if (rc == RC_OK)
		rc = get_bound(at, format, "minimum", &f->has_minimum, &f->minimum);
	if (rc == RC_OK)
		rc = get_bound(at, format, "maximum", &f->has_maximum, &f->maximum);
	return rc;
}

/* clkhash finds a wrong directive only at the first date; here it is found at once. */
static enum rc read_date_format(struct schema_feature *f, const json_t *format, const struct place *at)
{
	static const char *const keys[] = {"type", "format", "description", NULL};

	f->format = FORMAT_DATE;
	enum rc rc = only_keys(at, format, keys);
	if (rc == RC_OK && json_object_get(format, "format") == NULL)
		rc = fail(at, "format", "is missing");
	if (rc == RC_OK)
		rc = get_text(at, format, "format", &f->date_format);
	if (rc != RC_OK)
		return rc;
	for (const char *s = f->date_format; (s = strchr(s, '%')) != NULL; s += 2) {
		if (s[1] == 0 || strchr("aAbBcdfGHIjmMpSuUVwWxXyYzZ%", s[1]) == NULL)
			return fail(at, "format", "a %% is not followed by a directive of strptime");
	}
	return RC_OK;
}

static enum rc read_enum_format(struct schema_feature *f, const json_t *format, const struct place *at)
{
	static const char *const keys[] = {"type", "values", "description", NULL};
	const json_t *values = json_object_get(format, "values");

	f->format = FORMAT_ENUM;
	enum rc rc = only_keys(at, format, keys);
	if (rc != RC_OK)
		return rc;
	if (!json_is_array(values))
		return fail(at, "values", "a list of texts is needed here");
	if (json_array_size(values) > SCHEMA_MAX_ENUM)
		return fail(at, "values", "%zu values; at most %d are allowed", json_array_size(values),
			    SCHEMA_MAX_ENUM);
	f->values = calloc(json_array_size(values) + 1, sizeof *f->values);
	if (f->values == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < json_array_size(values); i++) {
		const json_t *value = json_array_get(values, i);
		if (!json_is_string(value))
			return fail(at, "values", "item %zu is not text", i);
		f->values[i] = strdup(json_string_value(value));
		if (f->values[i] == NULL)
			return RC_NOMEM;
		f->n_values++;
	}
	return RC_OK;
}

static enum rc read_format(struct schema_feature *f, const json_t *format, const struct place *at)
{
	static const char *const types[] = {"string", "integer", "date", "enum", NULL};
	int type = 0;

	f->max_length = UINT32_MAX;
	if (json_object_get(format, "type") == NULL)
		return fail(at, "type", "is missing");
	enum rc rc = get_word(at, format, "type", types, &type);
	if (rc == RC_OK)
		rc = check_description(at, format);
	if (rc != RC_OK)
		return rc;
	return type == 0   ? read_string_format(f, format, at)
	       : type == 1 ? read_integer_format(f, format, at)
	       : type == 2 ? read_date_format(f, format, at)
			   : read_enum_format(f, format, at);
}

/* ---- hashing ---- */

static enum rc read_numeric(struct schema_feature *f, const json_t *comparison, const struct place *at)
{
	const json_t *distance = json_object_get(comparison, "thresholdDistance");
	double scaled;

	if (!json_is_number(distance))
		return fail(at, "thresholdDistance", distance == NULL ? "is missing" : "a number is needed here");
	f->threshold_distance = json_number_value(distance);
	if (!(f->threshold_distance > 0))
		return fail(at, "thresholdDistance", "a number above 0 is needed here");
	enum rc rc = need_integer(at, comparison, "resolution", 1, SCHEMA_MAX_RESOLUTION, &f->resolution);
	if (rc == RC_OK)
		rc = get_integer(at, comparison, "fractional_precision", 0, SCHEMA_MAX_PRECISION,
				 &f->fractional_precision);
	if (rc != RC_OK)
		return rc;
	double unit = 1;
	for (uint32_t i = 0; i < f->fractional_precision; i++)
		unit *= 10; /* exact up to 10^22 */
	scaled = f->threshold_distance * unit;
	if (!(scaled <= 9007199254740992.0))
		return fail(at, "thresholdDistance", "it is too large");
	f->distance_interval = (int64_t)scaled;
	double rest = scaled - (double)f->distance_interval;
	if (rest > 0.5 || (rest == 0.5 && f->distance_interval % 2 != 0))
		f->distance_interval++; /* half to even, as Python rounds */
	if (f->distance_interval == 0)
		return fail(at, "fractional_precision", "too few digits for this thresholdDistance, which rounds to 0");
	return RC_OK;
}

static enum rc read_comparison(struct schema_feature *f, const json_t *comparison, const struct place *at)
{
	static const char *const types[] = {"ngram", "exact", "numeric", NULL};
	int type = 0;

	if (json_object_get(comparison, "type") == NULL)
		return fail(at, "type", "is missing");
	enum rc rc = get_word(at, comparison, "type", types, &type);
	if (rc != RC_OK)
		return rc;
	f->comparison = (enum schema_comparison)type;
	if (f->comparison == COMPARE_EXACT)
		return RC_OK;
	if (f->comparison == COMPARE_NUMERIC)
		return read_numeric(f, comparison, at);
	rc = need_integer(at, comparison, "n", 1, SCHEMA_MAX_N, &f->n);
	return rc == RC_OK ? get_bool(at, comparison, "positional", &f->positional) : rc;
}

static enum rc read_strategy(struct schema_feature *f, const json_t *strategy, const struct place *at)
{
	bool token = json_object_get(strategy, "bitsPerToken") != NULL;

	f->bits_per_feature = json_object_get(strategy, "bitsPerFeature") != NULL;
	if (token == f->bits_per_feature || json_object_size(strategy) != 1)
		return fail(at, "", "exactly one of bitsPerToken and bitsPerFeature is needed here, and nothing else");
	return need_integer(at, strategy, token ? "bitsPerToken" : "bitsPerFeature", 1, SCHEMA_MAX_K, &f->k);
}

static enum rc read_hash(struct schema_feature *f, const json_t *hash, const struct place *at)
{
	static const char *const types[] = {"blakeHash", "doubleHash", NULL};
	const json_t *singularity = json_object_get(hash, "prevent_singularity");
	int type = 0;

	if (json_object_get(hash, "type") == NULL)
		return fail(at, "type", "is missing");
	enum rc rc = get_word(at, hash, "type", types, &type);
	if (rc != RC_OK)
		return rc;
	f->hash = (enum schema_hash)type;
	if (f->hash == HASH_DOUBLE)
		return get_bool(at, hash, "prevent_singularity", &f->prevent_singularity);
	if (singularity != NULL && !json_is_null(singularity) && !f->ignored)
		return fail(at, "prevent_singularity", "only doubleHash takes it");
	return RC_OK;
}

static enum rc read_missing(struct schema_feature *f, const json_t *missing, const struct place *at)
{
	if (json_object_get(missing, "sentinel") == NULL)
		return fail(at, "sentinel", "is missing");
	enum rc rc = get_text(at, missing, "sentinel", &f->sentinel);
	return rc == RC_OK ? get_text(at, missing, "replaceWith", &f->replace_with) : rc;
}

typedef enum rc (*read_part)(struct schema_feature *f, const json_t *part, const struct place *at);

/* One sub-object of `parent`, with its path. */
static enum rc read_child(struct schema_feature *f, const json_t *parent, const char *key, const struct place *at,
			  bool required, read_part read)
{
	char path[96];
	const struct place below = {at->diag, path};
	const json_t *part = NULL;

	if (!required && json_object_get(parent, key) == NULL)
		return RC_OK;
	enum rc rc = need_object(at, parent, key, &part);
	snprintf(path, sizeof path, "%s.%s", at->path, key);
	return rc == RC_OK ? read(f, part, &below) : rc;
}

static enum rc read_hashing(struct schema_feature *f, const json_t *hashing, const struct place *at)
{
	static const char *const keys[] = {"comparison", "strategy", "hash", "missingValue", NULL};

	enum rc rc = only_keys(at, hashing, keys);
	if (rc == RC_OK)
		rc = read_child(f, hashing, "comparison", at, true, read_comparison);
	if (rc == RC_OK)
		rc = read_child(f, hashing, "strategy", at, true, read_strategy);
	if (rc == RC_OK)
		rc = read_child(f, hashing, "hash", at, false, read_hash);
	if (rc == RC_OK)
		rc = read_child(f, hashing, "missingValue", at, false, read_missing);
	return rc;
}

/* ---- features ---- */

static void feature_deinit(struct schema_feature *f)
{
	free(f->identifier);
	free(f->pattern);
	free(f->date_format);
	for (size_t i = 0; i < f->n_values; i++)
		free(f->values[i]);
	free(f->values);
	free(f->sentinel);
	free(f->replace_with);
}

/* A feature that has `ignored` at all is ignored by clkhash, whatever its value; but one that has no format and hashing
 * must say `true`. */
static enum rc read_feature(struct schema_feature *f, const json_t *feature, const struct place *at)
{
	static const char *const ignored_keys[] = {"identifier", "ignored", "description", NULL};
	const json_t *ignored = json_object_get(feature, "ignored");

	if (!json_is_object(feature))
		return fail(at, "", "an object is needed here");
	if (json_object_get(feature, "identifier") == NULL)
		return fail(at, "identifier", "is missing");
	enum rc rc = get_text(at, feature, "identifier", &f->identifier);
	if (rc == RC_OK)
		rc = check_description(at, feature);
	if (rc != RC_OK)
		return rc;
	f->ignored = ignored != NULL;
	if (json_is_true(ignored) && json_object_get(feature, "format") == NULL &&
	    json_object_get(feature, "hashing") == NULL)
		return only_keys(at, feature, ignored_keys);
	if (ignored != NULL && !json_is_boolean(ignored))
		return fail(at, "ignored", "true or false is needed here");
	rc = read_child(f, feature, "format", at, true, read_format);
	return rc == RC_OK ? read_child(f, feature, "hashing", at, true, read_hashing) : rc;
}

/* What an ignored feature says of its format was checked, and is not kept. */
static void forget_rest(struct schema_feature *f)
{
	char *identifier = f->identifier;

	f->identifier = NULL;
	feature_deinit(f);
	*f = (struct schema_feature){.identifier = identifier, .ignored = true, .max_length = UINT32_MAX};
}

static enum rc read_features(struct schema *schema, const json_t *root, struct diag *diag)
{
	const struct place top = {diag, ""};
	const json_t *features = json_object_get(root, "features");

	if (!json_is_array(features))
		return fail(&top, "features", features == NULL ? "is missing" : "a list is needed here");
	size_t n = json_array_size(features);
	if (n == 0)
		return fail(&top, "features", "is empty; at least one feature is needed");
	if (n > SCHEMA_MAX_FEATURES)
		return fail(&top, "features", "%zu features; at most %d are allowed", n, SCHEMA_MAX_FEATURES);
	for (size_t i = 0; i < n; i++) {
		struct schema_feature *f = &schema->features[schema->n_features++];
		char path[32];
		snprintf(path, sizeof path, "features[%zu]", i);
		const struct place at = {diag, path};
		enum rc rc = read_feature(f, json_array_get(features, i), &at);
		if (rc != RC_OK)
			return rc;
		if (f->ignored)
			forget_rest(f);
	}
	return RC_OK;
}

/* What only shows when all parts are known, and what clkhash notices only when it hashes. */
static enum rc check_whole(const struct schema *schema, struct diag *diag)
{
	const struct place config = {diag, "clkConfig"};
	uint64_t limit = HKDF_BLOCKS * (schema->kdf_sha512 ? 64u : 32u);
	bool has_blake = false;

	for (unsigned i = 0; i < schema->n_features; i++)
		has_blake = has_blake || (!schema->features[i].ignored && schema->features[i].hash == HASH_BLAKE);
	if (has_blake && (schema->l & (schema->l - 1)) != 0)
		return fail(&config, "l", "%u is not a power of two, which blakeHash needs", (unsigned)schema->l);
	if (has_blake && schema->key_size > 64)
		return fail(&config, "kdf.keySize", "%u is above 64, the longest key of blakeHash",
			    (unsigned)schema->key_size);
	if (2ull * schema->n_features * schema->key_size > limit)
		return fail(&config, "kdf.keySize",
			    "%u features with two keys of %u bytes are more than the %u bytes that HKDF "
			    "can derive",
			    (unsigned)schema->n_features, (unsigned)schema->key_size, (unsigned)limit);
	return RC_OK;
}

static enum rc check_version(const json_t *root, struct diag *diag)
{
	const struct place top = {diag, ""};
	const json_t *version = json_object_get(root, "version");

	if (!json_is_object(root))
		return fail(&top, "", "a linkage schema is a JSON object");
	if (version == NULL)
		return fail(&top, "version", "is missing");
	if (!json_is_number(version) || (json_number_value(version) != 3.0 && json_number_value(version) != 2.0))
		return fail(&top, "version", "linkage schema version 3 is needed here (2 is converted)");
	return RC_OK;
}

static enum rc read_version_3(const json_t *root, struct schema **ret_schema, struct diag *diag)
{
	struct schema *schema = calloc(1, sizeof *schema);

	if (schema == NULL)
		return RC_NOMEM;
	enum rc rc = read_config(schema, root, diag);
	if (rc == RC_OK)
		rc = read_features(schema, root, diag);
	if (rc == RC_OK)
		rc = check_whole(schema, diag);
	if (rc != RC_OK) {
		schema_free(schema);
		return rc;
	}
	*ret_schema = schema;
	return RC_OK;
}

enum rc schema_from_json(const json_t *root, struct schema **ret_schema, struct diag *diag)
{
	enum rc rc = check_version(root, diag);

	if (rc != RC_OK)
		return rc;
	if (json_number_value(json_object_get(root, "version")) == 2.0) {
		json_t *converted = schema_convert_v2(root);
		rc = converted == NULL ? RC_NOMEM : read_version_3(converted, ret_schema, diag);
		json_decref(converted);
	} else {
		rc = read_version_3(root, ret_schema, diag);
	}
	if (rc == RC_NOMEM)
		diag_set(diag, rc, "%s", rc_text(rc));
	return rc;
}

enum rc schema_parse(const char *json, size_t len, struct schema **ret_schema, struct diag *diag)
{
	json_t *root = NULL;
	enum rc rc = json_parse_strict(json, len, &root, diag);

	if (rc == RC_OK)
		rc = schema_from_json(root, ret_schema, diag);
	json_decref(root);
	return rc == RC_MALFORMED ? RC_INVALID : rc;
}

void schema_free(struct schema *schema)
{
	if (schema == NULL)
		return;
	for (unsigned i = 0; i < schema->n_features; i++)
		feature_deinit(&schema->features[i]);
	free(schema->kdf_salt);
	free(schema->kdf_info);
	free(schema);
}

int schema_find(const struct schema *schema, const char *identifier)
{
	for (unsigned i = 0; i < schema->n_features; i++) {
		if (strcmp(schema->features[i].identifier, identifier) == 0)
			return (int)i;
	}
	return -1;
}
