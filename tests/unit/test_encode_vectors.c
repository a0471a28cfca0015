/* libs: tc_encode tc_proto PkgConfig::JANSSON */
/* The encoder against clkhash 0.18: every golden vector (formatted value, tokens, bit indices, CLK), and every bad
 * input that clkhash was asked about, with the same verdict. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "proto/bytes.h"
#include "tools/encode/bloom.h"
#include "tools/encode/derive.h"
#include "tools/encode/encoder.h"
#include "tools/encode/register.h"
#include "tools/encode/tokens.h"

#define VECTORS TC_SOURCE_DIR "/tests/data/vectors/clkhash/"

enum { MAX_OUT = 1 << 17 };

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void load_values(const json_t *record, struct encode_value *values)
{
	for (size_t i = 0; i < json_array_size(record); i++) {
		const json_t *v = json_array_get(record, i);
		values[i] = (struct encode_value){json_string_value(v), json_string_length(v)};
	}
}

/* Tokens and indices of one feature against the trace of clkhash. */
static void check_trace(const struct schema *schema, uint16_t i, const struct encode_value *value, const uint8_t *keys,
			const json_t *trace)
{
	const struct schema_feature *feature = &schema->features[i];
	struct format_rules rules = {.empty_is_missing = false};
	struct format *format = NULL;
	struct formatted formatted = {.is_date = false};
	struct tokens tokens;
	struct bloom_hasher *hasher = NULL;
	char rule[RULE_TEXT_CAP];
	const char *why = NULL;

	tokens_init(&tokens);
	assert_int_equal(format_new(feature, &rules, &format, rule), RC_OK);
	assert_int_equal(bloom_hasher_new(&hasher), RC_OK);
	assert_int_equal(format_value(format, value->bytes, value->len, &formatted, rule), RC_OK);
	assert_true(text_equals(&formatted.text, text_of(trace, "formatted")));
	assert_int_equal(tokens_make(feature, &formatted.text, &tokens, &why), RC_OK);
	const json_t *expected = json_object_get(trace, "tokens");
	assert_int_equal(tokens.n, json_array_size(expected));
	const uint8_t *key0 = keys + 2u * i * schema->key_size;
	struct bloom_key key = {feature->hash, feature->prevent_singularity, schema->l << schema->xor_folds,
				key0,          key0 + schema->key_size,      schema->key_size};
	for (size_t t = 0; t < tokens.n; t++) {
		const json_t *want = json_array_get(expected, t);
		struct token token = tokens_at(&tokens, t);
		char hex[1024];
		uint32_t positions[1024], k = tokens_bits(feature, t, tokens.n);
		hex_encode(token.bytes, token.len, hex);
		assert_string_equal(hex, text_of(want, "bytes_hex"));
		assert_int_equal(k, json_integer_value(json_object_get(want, "k")));
		assert_int_equal(bloom_positions(hasher, &key, token.bytes, token.len, k, positions), RC_OK);
		for (size_t p = 0; p < k; p++)
			assert_int_equal(positions[p],
					 json_integer_value(json_array_get(json_object_get(want, "indices"), p)));
	}
	tokens_deinit(&tokens);
	text_deinit(&formatted.text);
	bloom_hasher_free(hasher);
	format_free(format);
}

static void check_keys(const struct schema *schema, const uint8_t *keys, uint16_t i, const json_t *trace)
{
	char hex[2 * 1024 + 1];
	const uint8_t *key0 = keys + 2u * i * schema->key_size;
	hex_encode(key0, schema->key_size, hex);
	assert_string_equal(hex, text_of(trace, "key0_hex"));
	hex_encode(key0 + schema->key_size, schema->key_size, hex);
	assert_string_equal(hex, text_of(trace, "key1_hex"));
}

/* One vector has a version 2 schema, which `clkhash convert-schema` turns into version 3 like this. */
static void convert_version_2(json_t *schema)
{
	size_t i;
	json_t *feature;
	if (json_integer_value(json_object_get(schema, "version")) != 2)
		return;
	json_object_set_new(schema, "version", json_integer(3));
	json_array_foreach(json_object_get(schema, "features"), i, feature)
	{
		json_t *hashing = json_object_get(feature, "hashing"), *strategy = json_object_get(hashing, "strategy");
		json_t *k = json_object_get(strategy, "k"), *bits = json_object_get(strategy, "numBits");
		json_object_set_new(hashing, "comparison",
				    json_pack("{s:s, s:O, s:b}", "type", "ngram", "n",
					      json_object_get(hashing, "ngram"), "positional",
					      json_is_true(json_object_get(hashing, "positional"))));
		json_object_set_new(
			hashing, "strategy",
			json_pack("{s:O}", k != NULL ? "bitsPerToken" : "bitsPerFeature", k != NULL ? k : bits));
		json_object_del(hashing, "ngram");
		json_object_del(hashing, "positional");
	}
}

static void check_file(const char *path)
{
	json_error_t json_error;
	struct diag diag = {""};
	json_t *root = json_load_file(path, 0, &json_error);
	struct schema *schema = NULL;
	struct encoder *encoder = NULL;
	struct encoder_worker *worker = NULL;
	uint8_t *keys = NULL;
	size_t keys_len = 0;

	assert_non_null(root);
	const char *secret = text_of(root, "secret");
	convert_version_2(json_object_get(root, "schema"));
	if (schema_from_json(json_object_get(root, "schema"), &schema, &diag) != RC_OK)
		fail_msg("%s: %s", path, diag.text);
	assert_int_equal(encoder_new_clk(schema, (const uint8_t *)secret, strlen(secret), true, &encoder, &diag),
			 RC_OK);
	assert_int_equal(encoder_worker_new(encoder, &worker, &diag), RC_OK);
	assert_int_equal(derive_feature_keys(schema, (const uint8_t *)secret, strlen(secret), &keys, &keys_len), RC_OK);

	const json_t *vectors = json_object_get(root, "vectors");
	assert_true(json_array_size(vectors) > 0);
	/* Twice: the second time every token comes from the cache. */
	for (size_t v = 0; v < 2 * json_array_size(vectors); v++) {
		const json_t *vector = json_array_get(vectors, v / 2);
		const json_t *features = json_object_get(json_object_get(vector, "trace"), "features");
		struct encode_value values[SCHEMA_MAX_FEATURES];
		struct encode_error error;
		uint8_t out[4096];
		char hex[2 * 4096 + 1];
		bool missing[1];
		load_values(json_object_get(vector, "record"), values);
		if (encoder_encode(worker, values, out, missing, &error) != RC_OK)
			fail_msg("%s: feature %u: %s", path, error.feature, error.rule);
		hex_encode(out, encoder_record_bytes(encoder), hex);
		assert_string_equal(hex, text_of(vector, "clk_hex"));
		assert_int_equal(missing[0], json_integer_value(json_object_get(vector, "popcount")) == 0);
		for (uint16_t i = 0; i < schema->n_features; i++) {
			const json_t *trace = json_array_get(features, i);
			if (schema->features[i].ignored)
				continue;
			check_keys(schema, keys, i, trace);
			check_trace(schema, i, &values[i], keys, trace);
		}
	}
	free(keys);
	encoder_worker_free(worker);
	encoder_free(encoder);
	schema_free(schema);
	json_decref(root);
}

static void test_every_vector_file(void **state)
{
	int n_files = 0;
	DIR *dir = opendir(VECTORS);
	(void)state;
	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		char path[4096];
		size_t len = strlen(e->d_name);
		if (len < 6 || strcmp(e->d_name + len - 5, ".json") != 0)
			continue;
		snprintf(path, sizeof path, "%s%s", VECTORS, e->d_name);
		check_file(path);
		n_files++;
	}
	closedir(dir);
	assert_int_equal(n_files, 24);
}

/* ---- bad inputs ---- */

struct memory {
	const char *at;
	size_t left;
};

static ssize_t memory_read(void *ctx, void *buffer, size_t cap)
{
	struct memory *m = ctx;
	size_t n = m->left < cap ? m->left : cap;
	memcpy(buffer, m->at, n);
	m->at += n;
	m->left -= n;
	return (ssize_t)n;
}

/* Encode a CSV as `throughcare encode --clks` does; CLKs one after the other in `out`. */
static enum rc encode_csv(struct encoder_worker *worker, const struct encoder *encoder, const char *csv, uint8_t *out,
			  size_t *ret_len)
{
	struct memory memory = {csv, strlen(csv)};
	struct register_source source = {memory_read, &memory};
	const struct schema *schema = encoder_schema(encoder);
	struct register_file *file = NULL;
	struct register_row row;
	struct diag diag;
	bool more = true, missing[1];
	size_t len = 0;
	enum rc rc = register_open(&source, &file, &diag);
	while (rc == RC_OK) {
		struct encode_value values[SCHEMA_MAX_FEATURES] = {{"", 0}};
		struct encode_error error;
		rc = register_next(file, &row, &more, &diag);
		if (rc != RC_OK || !more)
			break;
		if (row.problem != NULL)
			rc = RC_INVALID;
		for (uint16_t i = 0; i < schema->n_features && rc == RC_OK; i++) {
			int column = register_column(file, schema->features[i].identifier, 0);
			if (column < 0)
				rc = RC_INVALID;
			else
				values[i] = row.fields[column];
		}
		if (rc == RC_OK)
			rc = encoder_encode(worker, values, out + len, missing, &error);
		if (rc == RC_OK)
			len += encoder_record_bytes(encoder);
	}
	register_close(file);
	*ret_len = len;
	return rc;
}

static enum rc verdict(const json_t *entry, uint8_t *out, size_t *ret_len, struct diag *diag)
{
	struct schema *schema = NULL;
	struct encoder *encoder = NULL;
	struct encoder_worker *worker = NULL;
	struct encode_value values[SCHEMA_MAX_FEATURES] = {{"", 0}};
	struct encode_error error = {0};
	bool missing[1];
	const json_t *record = json_object_get(entry, "record");
	const char *csv = text_of(entry, "csv");
	bool validate = json_is_true(json_object_get(entry, "validate"));
	enum rc rc = schema_from_json(json_object_get(entry, "schema"), &schema, diag);
	*ret_len = 0;
	if (rc == RC_OK)
		rc = encoder_new_clk(schema, (const uint8_t *)"k", 1, validate, &encoder, diag);
	if (rc == RC_OK)
		rc = encoder_worker_new(encoder, &worker, diag);
	if (rc == RC_OK && csv != NULL) {
		rc = encode_csv(worker, encoder, csv, out, ret_len);
	} else if (rc == RC_OK && json_is_array(record)) {
		load_values(record, values);
		rc = json_array_size(record) < schema->n_features
			     ? RC_INVALID
			     : encoder_encode(worker, values, out, missing, &error);
		*ret_len = rc == RC_OK ? encoder_record_bytes(encoder) : 0;
		if (rc != RC_OK && error.rule[0] != '\0')
			diag_set(diag, rc, "%s", error.rule);
	}
	encoder_worker_free(worker);
	encoder_free(encoder);
	schema_free(schema);
	return rc;
}

/* Where we differ from clkhash on purpose. */
static const struct {
	const char *name;
	bool ours_accepts;
} deliberate[] = {
	{"csv header count", true}, /* columns are found by name, further ones are ignored */
	{"csv BOM", true},          /* spreadsheets write it */
};

/* clkhash's answers show the first 16 bytes of a CLK, the first 8 of each of several. */
static void check_bits(const char *name, const char *result, const uint8_t *out, size_t len)
{
	char hex[33];
	(void)len;
	if (strncmp(result, "CLK ", 4) == 0) {
		hex_encode(out, 16, hex);
		if (strcmp(hex, result + 4) != 0)
			fail_msg("%s: CLK %s, expected %s", name, hex, result + 4);
	} else {
		hex_encode(out, 8, hex);
		if (strcmp(hex, result + 5) != 0)
			fail_msg("%s: CLKs %s, expected %s", name, hex, result + 5);
	}
}

static void test_every_bad_input(void **state)
{
	FILE *f = fopen(VECTORS "errors.jsonl", "r");
	char *line = NULL;
	size_t cap = 0;
	int n = 0, n_wrong = 0;
	uint8_t *out = malloc(MAX_OUT);
	(void)state;
	assert_non_null(f);
	assert_non_null(out);
	while (getline(&line, &cap, f) > 0) {
		json_t *entry = json_loads(line, 0, NULL);
		struct diag diag = {""};
		size_t len = 0;
		assert_non_null(entry);
		const char *name = text_of(entry, "case"), *result = text_of(entry, "result");
		bool theirs_accepts = strncmp(result, "CLK", 3) == 0, ours_expected = theirs_accepts;
		for (size_t i = 0; i < sizeof deliberate / sizeof deliberate[0]; i++) {
			if (strcmp(deliberate[i].name, name) == 0)
				ours_expected = deliberate[i].ours_accepts;
		}
		enum rc rc = verdict(entry, out, &len, &diag);
		if ((rc == RC_OK) != ours_expected) {
			print_error("%s: ours says %s (%s), clkhash: %s\n", name, rc_name(rc), diag.text, result);
			n_wrong++;
		} else if (rc == RC_OK && theirs_accepts) {
			check_bits(name, result, out, len);
		}
		n++;
		json_decref(entry);
	}
	free(line);
	free(out);
	fclose(f);
	assert_int_equal(n, 57);
	assert_int_equal(n_wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_vector_file),
		cmocka_unit_test(test_every_bad_input),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
