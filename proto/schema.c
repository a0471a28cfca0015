/* clkhash linkage schema version 3: reading and checking. The rules are those of clkhash's own schema document and of
 * what its code refuses later; where the two differ (numbers written 2.0, `xorFolds`) the code wins, since the bits do.
 */
#include "proto/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/json.h"
#include "proto/schema_internal.h"

#define HKDF_BLOCKS 255

/* ---- clkConfig ---- */

/* Base64 as Python reads it, since the salt decides the bits: characters outside the alphabet are skipped, reading
 * stops at the padding that completes a group, and only an incomplete group is an error. */
static enum rc get_base64(const struct schema_place *at, const json_t *object, const char *key, uint8_t **ret,
			  size_t *ret_len)
{
	const json_t *v = json_object_get(object, key);
	unsigned in_group = 0, pads = 0, left = 0;
	size_t n = 0;

	if (v == NULL)
		return RC_OK;
	if (!json_is_string(v))
		return schema_fail(at, key, "base64 text is needed here");
	uint8_t *out = malloc(json_string_length(v) + 1);
	if (out == NULL)
		return RC_NOMEM;
	for (const char *s = json_string_value(v); *s != 0; s++) {
		if ((unsigned char)*s >= 0x80) {
			free(out);
			return schema_fail(at, key, "not base64: it may hold ASCII characters only");
		}
		if (*s == '=') {
			if (in_group >= 2 && in_group + ++pads >= 4) {
				in_group = 0;
				break;
			}
			continue;
		}
		int value = base64_digit(*s);
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
		return schema_fail(at, key, "not base64: the padding is wrong");
	}
	*ret = out;
	*ret_len = n;
	return RC_OK;
}

static enum rc read_kdf(struct schema *schema, const json_t *kdf, struct diag *diag)
{
	static const char *const types[] = {"HKDF", NULL}, *const hashes[] = {"SHA256", "SHA512", NULL};
	const struct schema_place at = {diag, "clkConfig.kdf"};
	int word = 0;

	if (json_object_get(kdf, "type") == NULL)
		return schema_fail(&at, "type", "is missing");
	enum rc rc = schema_get_word(&at, kdf, "type", types, &word);
	if (rc == RC_OK)
		rc = schema_get_word(&at, kdf, "hash", hashes, &word);
	if (rc != RC_OK)
		return rc;
	schema->kdf_sha512 = word == 1;
	schema->key_size = 64;
	rc = schema_get_integer(&at, kdf, "keySize", 1, SCHEMA_MAX_KEY_BYTES, &schema->key_size);
	if (rc == RC_OK)
		rc = get_base64(&at, kdf, "salt", &schema->kdf_salt, &schema->kdf_salt_len);
	if (rc == RC_OK)
		rc = get_base64(&at, kdf, "info", &schema->kdf_info, &schema->kdf_info_len);
	return rc;
}

static enum rc read_config(struct schema *schema, const json_t *root, struct diag *diag)
{
	const struct schema_place top = {diag, ""}, at = {diag, "clkConfig"};
	const json_t *config = NULL, *kdf = NULL;
	uint32_t ignored_folds;

	enum rc rc = schema_need_object(&top, root, "clkConfig", &config);
	if (rc == RC_OK)
		rc = schema_need_integer(&at, config, "l", 1, SCHEMA_MAX_L, &schema->l);
	if (rc == RC_OK)
		rc = schema_get_integer(&at, config, "xor_folds", 0, 20, &schema->xor_folds);
	/* clkhash checks this spelling and then does not use it. */
	if (rc == RC_OK)
		rc = schema_get_integer(&at, config, "xorFolds", 0, UINT32_MAX, &ignored_folds);
	if (rc != RC_OK)
		return rc;
	schema->has_xorFolds = json_object_get(config, "xorFolds") != NULL;
	if ((uint64_t)schema->l << schema->xor_folds > SCHEMA_MAX_L)
		return schema_fail(&at, "xor_folds", "l doubled so often is above %d bits", SCHEMA_MAX_L);
	rc = schema_need_object(&at, config, "kdf", &kdf);
	return rc == RC_OK ? read_kdf(schema, kdf, diag) : rc;
}
static enum rc read_features(struct schema *schema, const json_t *root, struct diag *diag)
{
	const struct schema_place top = {diag, ""};
	const json_t *features = json_object_get(root, "features");

	if (!json_is_array(features))
		return schema_fail(&top, "features", features == NULL ? "is missing" : "a list is needed here");
	size_t n = json_array_size(features);
	if (n == 0)
		return schema_fail(&top, "features", "is empty; at least one feature is needed");
	if (n > SCHEMA_MAX_FEATURES)
		return schema_fail(&top, "features", "%zu features; at most %d are allowed", n, SCHEMA_MAX_FEATURES);
	for (size_t i = 0; i < n; i++) {
		struct schema_feature *f = &schema->features[schema->n_features++];
		char path[32];
		snprintf(path, sizeof path, "features[%zu]", i);
		const struct schema_place at = {diag, path};
		enum rc rc = schema_read_feature(f, json_array_get(features, i), &at);
		if (rc != RC_OK)
			return rc;
		if (f->ignored)
			schema_feature_forget(f);
	}
	return RC_OK;
}

/* What only shows when all parts are known, and what clkhash notices only when it hashes. */
static enum rc check_whole(const struct schema *schema, struct diag *diag)
{
	const struct schema_place config = {diag, "clkConfig"};
	uint64_t limit = HKDF_BLOCKS * (schema->kdf_sha512 ? 64u : 32u);
	bool has_blake = false;

	for (unsigned i = 0; i < schema->n_features; i++)
		has_blake = has_blake || (!schema->features[i].ignored && schema->features[i].hash == HASH_BLAKE);
	if (has_blake && (schema->l & (schema->l - 1)) != 0)
		return schema_fail(&config, "l", "%u is not a power of two, which blakeHash needs",
				   (unsigned)schema->l);
	if (has_blake && schema->key_size > 64)
		return schema_fail(&config, "kdf.keySize", "%u is above 64, the longest key of blakeHash",
				   (unsigned)schema->key_size);
	if (2ull * schema->n_features * schema->key_size > limit)
		return schema_fail(&config, "kdf.keySize",
				   "%u features with two keys of %u bytes are more than the %u bytes that HKDF "
				   "can derive",
				   (unsigned)schema->n_features, (unsigned)schema->key_size, (unsigned)limit);
	return RC_OK;
}

static enum rc check_version(const json_t *root, struct diag *diag)
{
	const struct schema_place top = {diag, ""};
	const json_t *version = json_object_get(root, "version");

	if (!json_is_object(root))
		return schema_fail(&top, "", "a linkage schema is a JSON object");
	if (version == NULL)
		return schema_fail(&top, "version", "is missing");
	if (!json_is_number(version) || (json_number_value(version) != 3.0 && json_number_value(version) != 2.0))
		return schema_fail(&top, "version", "linkage schema version 3 is needed here (2 is converted)");
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
		schema_feature_deinit(&schema->features[i]);
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
