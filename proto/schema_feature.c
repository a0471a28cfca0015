/* One feature of a linkage schema: its format and its hashing. */
#include "proto/schema_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- format ---- */

static enum rc read_string_format(struct schema_feature *f, const json_t *format, const struct schema_place *at)
{
	static const char *const plain_keys[] = {"type",      "encoding",    "case", "minLength",
						 "maxLength", "description", NULL};
	static const char *const pattern_keys[] = {"type", "encoding", "pattern", "description", NULL};
	static const char *const encodings[] = {"utf-8", "utf-16", "utf-32", "ascii", NULL};
	static const char *const cases[] = {"mixed", "upper", "lower", NULL};
	bool has_pattern = json_object_get(format, "pattern") != NULL, has_min = false, has_max = false;
	int encoding = ENCODING_UTF8, letter_case = CASE_MIXED;
	int64_t min = 0, max = UINT32_MAX;

	enum rc rc = schema_only_keys(at, format, has_pattern ? pattern_keys : plain_keys);
	if (rc == RC_OK)
		rc = schema_get_word(at, format, "encoding", encodings, &encoding);
	if (rc == RC_OK)
		rc = schema_get_word(at, format, "case", cases, &letter_case);
	if (rc == RC_OK)
		rc = schema_get_text(at, format, "pattern", &f->pattern);
	if (rc == RC_OK)
		rc = schema_get_bound(at, format, "minLength", &has_min, &min);
	if (rc == RC_OK)
		rc = schema_get_bound(at, format, "maxLength", &has_max, &max);
	if (rc != RC_OK)
		return rc;
	if (min < 0)
		return schema_fail(at, "minLength", "%lld is below 0", (long long)min);
	if (max < 1)
		return schema_fail(at, "maxLength", "%lld is below 1", (long long)max);
	f->format = has_pattern ? FORMAT_STRING_PATTERN : FORMAT_STRING;
	f->encoding = (enum schema_encoding)encoding;
	f->letter_case = (enum schema_case)letter_case;
	f->min_length = min > UINT32_MAX ? UINT32_MAX : (uint32_t)min;
	f->max_length = max > UINT32_MAX ? UINT32_MAX : (uint32_t)max;
	return RC_OK;
}

static enum rc read_integer_format(struct schema_feature *f, const json_t *format, const struct schema_place *at)
{
	static const char *const keys[] = {"type", "minimum", "maximum", "description", NULL};

	f->format = FORMAT_INTEGER;
	enum rc rc = schema_only_keys(at, format, keys);
	if (rc == RC_OK)
		rc = schema_get_bound(at, format, "minimum", &f->has_minimum, &f->minimum);
	if (rc == RC_OK)
		rc = schema_get_bound(at, format, "maximum", &f->has_maximum, &f->maximum);
	return rc;
}

/* clkhash finds a wrong directive only at the first date; here it is found at once. */
static enum rc read_date_format(struct schema_feature *f, const json_t *format, const struct schema_place *at)
{
	static const char *const keys[] = {"type", "format", "description", NULL};

	f->format = FORMAT_DATE;
	enum rc rc = schema_only_keys(at, format, keys);
	if (rc == RC_OK && json_object_get(format, "format") == NULL)
		rc = schema_fail(at, "format", "is missing");
	if (rc == RC_OK)
		rc = schema_get_text(at, format, "format", &f->date_format);
	if (rc != RC_OK)
		return rc;
	for (const char *s = f->date_format; (s = strchr(s, '%')) != NULL; s += 2) {
		if (s[1] == 0 || strchr("aAbBcdfGHIjmMpSuUVwWxXyYzZ%", s[1]) == NULL)
			return schema_fail(at, "format", "a %% is not followed by a directive of strptime");
	}
	return RC_OK;
}

static enum rc read_enum_format(struct schema_feature *f, const json_t *format, const struct schema_place *at)
{
	static const char *const keys[] = {"type", "values", "description", NULL};
	const json_t *values = json_object_get(format, "values");

	f->format = FORMAT_ENUM;
	enum rc rc = schema_only_keys(at, format, keys);
	if (rc != RC_OK)
		return rc;
	if (!json_is_array(values))
		return schema_fail(at, "values", "a list of texts is needed here");
	if (json_array_size(values) > SCHEMA_MAX_ENUM)
		return schema_fail(at, "values", "%zu values; at most %d are allowed", json_array_size(values),
				   SCHEMA_MAX_ENUM);
	f->values = calloc(json_array_size(values) + 1, sizeof *f->values);
	if (f->values == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < json_array_size(values); i++) {
		const json_t *value = json_array_get(values, i);
		if (!json_is_string(value))
			return schema_fail(at, "values", "item %zu is not text", i);
		f->values[i] = strdup(json_string_value(value));
		if (f->values[i] == NULL)
			return RC_NOMEM;
		f->n_values++;
	}
	return RC_OK;
}

static enum rc read_format(struct schema_feature *f, const json_t *format, const struct schema_place *at)
{
	static const char *const types[] = {"string", "integer", "date", "enum", NULL};
	int type = 0;

	f->max_length = UINT32_MAX;
	if (json_object_get(format, "type") == NULL)
		return schema_fail(at, "type", "is missing");
	enum rc rc = schema_get_word(at, format, "type", types, &type);
	if (rc == RC_OK)
		rc = schema_check_description(at, format);
	if (rc != RC_OK)
		return rc;
	return type == 0   ? read_string_format(f, format, at)
	       : type == 1 ? read_integer_format(f, format, at)
	       : type == 2 ? read_date_format(f, format, at)
			   : read_enum_format(f, format, at);
}

/* ---- hashing ---- */

static enum rc read_numeric(struct schema_feature *f, const json_t *comparison, const struct schema_place *at)
{
	const json_t *distance = json_object_get(comparison, "thresholdDistance");
	double scaled;

	if (!json_is_number(distance))
		return schema_fail(at, "thresholdDistance",
				   distance == NULL ? "is missing" : "a number is needed here");
	f->threshold_distance = json_number_value(distance);
	if (!(f->threshold_distance > 0))
		return schema_fail(at, "thresholdDistance", "a number above 0 is needed here");
	enum rc rc = schema_need_integer(at, comparison, "resolution", 1, SCHEMA_MAX_RESOLUTION, &f->resolution);
	if (rc == RC_OK)
		rc = schema_get_integer(at, comparison, "fractional_precision", 0, SCHEMA_MAX_PRECISION,
					&f->fractional_precision);
	if (rc != RC_OK)
		return rc;
	double unit = 1;
	for (uint32_t i = 0; i < f->fractional_precision; i++)
		unit *= 10; /* exact up to 10^22 */
	scaled = f->threshold_distance * unit;
	if (!(scaled <= 9007199254740992.0))
		return schema_fail(at, "thresholdDistance", "it is too large");
	f->distance_interval = (int64_t)scaled;
	double rest = scaled - (double)f->distance_interval;
	if (rest > 0.5 || (rest == 0.5 && f->distance_interval % 2 != 0))
		f->distance_interval++; /* half to even, as Python rounds */
	if (f->distance_interval == 0)
		return schema_fail(at, "fractional_precision",
				   "too few digits for this thresholdDistance, which rounds to 0");
	return RC_OK;
}

static enum rc read_comparison(struct schema_feature *f, const json_t *comparison, const struct schema_place *at)
{
	static const char *const types[] = {"ngram", "exact", "numeric", NULL};
	int type = 0;

	if (json_object_get(comparison, "type") == NULL)
		return schema_fail(at, "type", "is missing");
	enum rc rc = schema_get_word(at, comparison, "type", types, &type);
	if (rc != RC_OK)
		return rc;
	f->comparison = (enum schema_comparison)type;
	if (f->comparison == COMPARE_EXACT)
		return RC_OK;
	if (f->comparison == COMPARE_NUMERIC)
		return read_numeric(f, comparison, at);
	rc = schema_need_integer(at, comparison, "n", 1, SCHEMA_MAX_N, &f->n);
	return rc == RC_OK ? schema_get_bool(at, comparison, "positional", &f->positional) : rc;
}

static enum rc read_strategy(struct schema_feature *f, const json_t *strategy, const struct schema_place *at)
{
	bool token = json_object_get(strategy, "bitsPerToken") != NULL;

	f->bits_per_feature = json_object_get(strategy, "bitsPerFeature") != NULL;
	if (token == f->bits_per_feature || json_object_size(strategy) != 1)
		return schema_fail(at, "",
				   "exactly one of bitsPerToken and bitsPerFeature is needed here, and nothing else");
	return schema_need_integer(at, strategy, token ? "bitsPerToken" : "bitsPerFeature", 1, SCHEMA_MAX_K, &f->k);
}

static enum rc read_hash(struct schema_feature *f, const json_t *hash, const struct schema_place *at)
{
	static const char *const types[] = {"blakeHash", "doubleHash", NULL};
	const json_t *singularity = json_object_get(hash, "prevent_singularity");
	int type = 0;

	if (json_object_get(hash, "type") == NULL)
		return schema_fail(at, "type", "is missing");
	enum rc rc = schema_get_word(at, hash, "type", types, &type);
	if (rc != RC_OK)
		return rc;
	f->hash = (enum schema_hash)type;
	if (f->hash == HASH_DOUBLE)
		return schema_get_bool(at, hash, "prevent_singularity", &f->prevent_singularity);
	if (singularity != NULL && !json_is_null(singularity) && !f->ignored)
		return schema_fail(at, "prevent_singularity", "only doubleHash takes it");
	return RC_OK;
}

static enum rc read_missing(struct schema_feature *f, const json_t *missing, const struct schema_place *at)
{
	if (json_object_get(missing, "sentinel") == NULL)
		return schema_fail(at, "sentinel", "is missing");
	enum rc rc = schema_get_text(at, missing, "sentinel", &f->sentinel);
	return rc == RC_OK ? schema_get_text(at, missing, "replaceWith", &f->replace_with) : rc;
}

typedef enum rc (*read_part)(struct schema_feature *f, const json_t *part, const struct schema_place *at);

/* One sub-object of `parent`, with its path. */
static enum rc read_child(struct schema_feature *f, const json_t *parent, const char *key,
			  const struct schema_place *at, bool required, read_part read)
{
	char path[96];
	const struct schema_place below = {at->diag, path};
	const json_t *part = NULL;

	if (!required && json_object_get(parent, key) == NULL)
		return RC_OK;
	enum rc rc = schema_need_object(at, parent, key, &part);
	snprintf(path, sizeof path, "%s.%s", at->path, key);
	return rc == RC_OK ? read(f, part, &below) : rc;
}

static enum rc read_hashing(struct schema_feature *f, const json_t *hashing, const struct schema_place *at)
{
	static const char *const keys[] = {"comparison", "strategy", "hash", "missingValue", NULL};

	enum rc rc = schema_only_keys(at, hashing, keys);
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

void schema_feature_deinit(struct schema_feature *f)
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
enum rc schema_read_feature(struct schema_feature *f, const json_t *feature, const struct schema_place *at)
{
	static const char *const ignored_keys[] = {"identifier", "ignored", "description", NULL};
	const json_t *ignored = json_object_get(feature, "ignored");

	if (!json_is_object(feature))
		return schema_fail(at, "", "an object is needed here");
	if (json_object_get(feature, "identifier") == NULL)
		return schema_fail(at, "identifier", "is missing");
	enum rc rc = schema_get_text(at, feature, "identifier", &f->identifier);
	if (rc == RC_OK)
		rc = schema_check_description(at, feature);
	if (rc != RC_OK)
		return rc;
	f->ignored = ignored != NULL;
	if (json_is_true(ignored) && json_object_get(feature, "format") == NULL &&
	    json_object_get(feature, "hashing") == NULL)
		return schema_only_keys(at, feature, ignored_keys);
	if (ignored != NULL && !json_is_boolean(ignored))
		return schema_fail(at, "ignored", "true or false is needed here");
	rc = read_child(f, feature, "format", at, true, read_format);
	return rc == RC_OK ? read_child(f, feature, "hashing", at, true, read_hashing) : rc;
}

void schema_feature_forget(struct schema_feature *f)
{
	char *identifier = f->identifier;

	f->identifier = NULL;
	schema_feature_deinit(f);
	*f = (struct schema_feature){.identifier = identifier, .ignored = true, .max_length = UINT32_MAX};
}
