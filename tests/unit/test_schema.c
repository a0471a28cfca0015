/* libs: tc_proto */
/* The schema reader against what clkhash 0.18 said of the same schemas: 24 golden vector files (all good) and 57 cases
 * of errors.jsonl. Cases that depend on a row of data belong to the encoder's tests; here their schema must be
 * accepted. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/json.h"
#include "proto/schema.h"

#define VECTORS TC_SOURCE_DIR "/tests/data/vectors/clkhash/"

/* ---- clkhash's verdicts ---- */

/* Refused by clkhash because of the schema, with the place our message must begin with. "bad regex" is missing:
 * patterns are compiled by the encoder. */
static const struct {
	const char *name, *begins;
} refused[] = {
	{"no version", "version: "},
	{"version 4", "version: "},
	{"version \"3\"", "version: "},
	{"l=0", "clkConfig.l: 0 is below 1"},
	{"l=1000 blake", "clkConfig.l: 1000 is not a power of two"},
	{"l=1024.0 float", "clkConfig.l: "},
	{"kdf legacy", "clkConfig.kdf.type: "},
	{"keySize 65 blake", "clkConfig.kdf.keySize: 65"},
	{"64 features keySize 64 SHA256 (OKM 8192 > 8160)", "clkConfig.kdf.keySize: 64 features"},
	{"salt bad padding", "clkConfig.kdf.salt: "},
	{"n=0", "features[0].hashing.comparison.n: 0 is below 1"},
	{"ngram no n", "features[0].hashing.comparison.n: is missing"},
	{"bitsPerToken 0", "features[0].hashing.strategy.bitsPerToken: 0 is below 1"},
	{"both strategies", "features[0].hashing.strategy: "},
	{"thresholdDistance 0", "features[0].hashing.comparison.thresholdDistance: "},
	{"thresholdDistance 0.1 fp 0", "features[0].hashing.comparison.fractional_precision: "},
	{"prevent_singularity with blake", "features[0].hashing.hash.prevent_singularity: "},
	{"pattern + case", "features[0].format.case: "},
	{"encoding latin-1", "features[0].format.encoding: "},
	{"ignored false no hashing", "features[0].format: is missing"},
	{"features empty", "features: "},
};

static const char *expected_refusal(const char *name)
{
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		if (strcmp(refused[i].name, name) == 0)
			return refused[i].begins;
	}
	return NULL;
}

/* The table above must agree with clkhash: what it lists clkhash refused, and what clkhash refused before it saw a row
 * (SchemaError) is listed. */
static void check_table(const char *name, const char *result, bool listed)
{
	bool clkhash_took_it = strncmp(result, "CLK", 3) == 0;
	bool schema_error = strncmp(result, "clkhash.schema.SchemaError", 26) == 0 && strcmp(name, "bad regex") != 0;

	if ((listed && clkhash_took_it) || (schema_error && !listed))
		fail_msg("%s: the table and clkhash disagree (%s)", name, result);
}

static void same_verdicts_as_clkhash(void **state)
{
	FILE *f = fopen(VECTORS "errors.jsonl", "r");
	char *line = NULL;
	size_t cap = 0, n_cases = 0, n_refused = 0;

	assert_non_null(f);
	for (ssize_t len; (len = getline(&line, &cap, f)) > 0; n_cases++) {
		struct schema *schema = NULL;
		struct diag diag = {""};
		json_t *entry = json_loads(line, 0, NULL);
		assert_non_null(entry);
		const char *name = json_string_value(json_object_get(entry, "case"));
		const char *begins = expected_refusal(name);
		check_table(name, json_string_value(json_object_get(entry, "result")), begins != NULL);
		enum rc rc = schema_from_json(json_object_get(entry, "schema"), &schema, &diag);
		if (begins == NULL && rc != RC_OK)
			fail_msg("%s: refused, but clkhash takes the schema: %s", name, diag.text);
		if (begins != NULL && rc != RC_INVALID)
			fail_msg("%s: accepted, but clkhash refuses it", name);
		if (begins != NULL && strncmp(diag.text, begins, strlen(begins)) != 0)
			fail_msg("%s: the message is \"%s\"", name, diag.text);
		n_refused += rc != RC_OK;
		schema_free(schema);
		json_decref(entry);
	}
	free(line);
	fclose(f);
	assert_int_equal(n_cases, 57);
	assert_int_equal(n_refused, sizeof refused / sizeof refused[0]);
}

static struct schema *load_vector(const char *file)
{
	char path[512];
	struct schema *schema = NULL;
	struct diag diag = {""};

	snprintf(path, sizeof path, VECTORS "%s", file);
	json_t *vector = json_load_file(path, 0, NULL);
	assert_non_null(vector);
	enum rc rc = schema_from_json(json_object_get(vector, "schema"), &schema, &diag);
	if (rc != RC_OK)
		fail_msg("%s: %s", file, diag.text);
	json_decref(vector);
	return schema;
}

static void takes_every_vector(void **state)
{
	static const char *const files[] = {
		"01_bigram_bits_per_token.json",
		"02_bigram_bits_per_feature.json",
		"03_bits_per_feature_fewer_bits_than_tokens.json",
		"04_positional_bigram.json",
		"05_unigram_positional_integer_normalised.json",
		"06_trigram.json",
		"07_exact_enum_k_over_32.json",
		"08_numeric_integer.json",
		"09_numeric_fractional.json",
		"10_double_hash.json",
		"11_double_hash_singular.json",
		"12_double_hash_prevent_singularity.json",
		"13_double_hash_l_not_multiple_of_8.json",
		"14_date.json",
		"15_missing_values.json",
		"16_ignored_feature_consumes_keys.json",
		"17_xor_folds_underscore.json",
		"18_xorFolds_camel_is_ignored.json",
		"19_kdf_sha512_salt_info_keysize32.json",
		"20_utf8_code_points.json",
		"21_utf16_bom_per_token.json",
		"22_unicode_secret_default_everything.json",
		"23_full_schema_2048.json",
		"24_v2_schema_converted.json",
	};

	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
		schema_free(load_vector(files[i]));
}

/* ---- what is read ---- */

static void reads_all_parts(void **state)
{
	struct schema *s = load_vector("23_full_schema_2048.json");

	assert_int_equal(s->n_features, 7);
	assert_int_equal(s->l, 2048);
	assert_int_equal(s->key_size, 64);
	assert_int_equal(s->kdf_salt_len, 32);
	assert_memory_equal(s->kdf_salt, "0123456789abcdef0123456789abcdef", 32);
	assert_int_equal(s->kdf_info_len, 9);
	assert_true(s->features[0].ignored);
	assert_int_equal(s->features[1].letter_case, CASE_LOWER);
	assert_int_equal(s->features[1].max_length, 40);
	assert_string_equal(s->features[1].sentinel, "");
	assert_null(s->features[1].replace_with);
	assert_true(s->features[1].bits_per_feature);
	assert_int_equal(s->features[3].format, FORMAT_DATE);
	assert_string_equal(s->features[3].date_format, "%Y-%m-%d");
	assert_int_equal(s->features[4].n_values, 3);
	assert_int_equal(s->features[4].comparison, COMPARE_EXACT);
	assert_string_equal(s->features[5].pattern, "[0-9]{4}");
	assert_true(s->features[5].positional);
	assert_int_equal(s->features[6].comparison, COMPARE_NUMERIC);
	assert_int_equal(s->features[6].distance_interval, 10);
	assert_int_equal(s->features[6].hash, HASH_DOUBLE);
	assert_int_equal(schema_find(s, "postcode"), 5);
	assert_int_equal(schema_find(s, "nothing"), -1);
	schema_free(s);

	s = load_vector("09_numeric_fractional.json");
	assert_int_equal(s->features[0].distance_interval, 50);
	schema_free(s);
	s = load_vector("17_xor_folds_underscore.json");
	assert_int_equal(s->xor_folds, 1);
	assert_false(s->has_xorFolds);
	schema_free(s);
	s = load_vector("18_xorFolds_camel_is_ignored.json");
	assert_int_equal(s->xor_folds, 0);
	assert_true(s->has_xorFolds);
	schema_free(s);
	s = load_vector("19_kdf_sha512_salt_info_keysize32.json");
	assert_true(s->kdf_sha512);
	assert_int_equal(s->key_size, 32);
	schema_free(s);
}

/* clkhash converts version 2 by itself: k, numBits, ngram and positional under new names. */
static void converts_version_2(void **state)
{
	struct schema *s = load_vector("24_v2_schema_converted.json");

	assert_int_equal(s->xor_folds, 1);
	assert_int_equal(s->features[0].comparison, COMPARE_NGRAM);
	assert_int_equal(s->features[0].n, 2);
	assert_false(s->features[0].bits_per_feature);
	assert_int_equal(s->features[0].k, 20);
	assert_int_equal(s->features[0].hash, HASH_DOUBLE);
	assert_int_equal(s->features[1].n, 1);
	assert_true(s->features[1].positional);
	assert_true(s->features[1].bits_per_feature);
	assert_int_equal(s->features[1].k, 50);
	schema_free(s);
}

/* ---- one small change at a time ---- */

#define CONFIG "\"clkConfig\":{\"l\":1024,\"kdf\":{\"type\":\"HKDF\"}}"
#define STRING "\"format\":{\"type\":\"string\"}"
#define HASHING "\"hashing\":{\"comparison\":{\"type\":\"ngram\",\"n\":2},\"strategy\":{\"bitsPerToken\":20}}"
#define WITH_CONFIG(config)                                                                                            \
	"{\"version\":3,\"clkConfig\":" config ",\"features\":[{\"identifier\":\"a\"," STRING "," HASHING "}]}"
#define WITH_FEATURE(feature) "{\"version\":3," CONFIG ",\"features\":[" feature "]}"
#define WITH_FORMAT(format) WITH_FEATURE("{\"identifier\":\"a\",\"format\":" format "," HASHING "}")
#define WITH_HASHING(hashing) WITH_FEATURE("{\"identifier\":\"a\"," STRING ",\"hashing\":" hashing "}")
#define WITH_COMPARISON(c) WITH_HASHING("{\"comparison\":" c ",\"strategy\":{\"bitsPerToken\":20}}")
#define WITH_STRATEGY(s) WITH_HASHING("{\"comparison\":{\"type\":\"exact\"},\"strategy\":" s "}")
#define WITH_HASH(h)                                                                                                   \
	WITH_HASHING("{\"comparison\":{\"type\":\"exact\"},\"strategy\":{\"bitsPerToken\":1},\"hash\":" h "}")
#define WITH_MISSING(m)                                                                                                \
	WITH_HASHING("{\"comparison\":{\"type\":\"exact\"},\"strategy\":{\"bitsPerToken\":1},\"missingValue\":" m "}")

/* message NULL = must be accepted */
static const struct {
	const char *json, *message;
} small[] = {
	{"", "line "},
	{"[]", "a linkage schema is a JSON object"},
	{"{\"version\":3}", "clkConfig: is missing"},
	{"{\"version\":true}", "version: "},
	{"{\"version\":1}", "version: "},
	{"{\"version\":3,\"version\":3}", "line 1"},
	{"{\"version\":3," CONFIG "}", "features: is missing"},
	{"{\"version\":3," CONFIG ",\"features\":{}}", "features: a list"},
	{WITH_CONFIG("7"), "clkConfig: an object"},
	{WITH_CONFIG("{\"kdf\":{\"type\":\"HKDF\"}}"), "clkConfig.l: is missing"},
	{WITH_CONFIG("{\"l\":1024}"), "clkConfig.kdf: is missing"},
	{WITH_CONFIG("{\"l\":\"1024\",\"kdf\":{\"type\":\"HKDF\"}}"), "clkConfig.l: a whole number"},
	{WITH_CONFIG("{\"l\":2097152,\"kdf\":{\"type\":\"HKDF\"}}"), "clkConfig.l: 2097152 is above"},
	{WITH_CONFIG("{\"l\":1024,\"kdf\":{}}"), "clkConfig.kdf.type: is missing"},
	{WITH_CONFIG("{\"l\":1024,\"kdf\":{\"type\":\"HKDF\",\"hash\":\"MD5\"}}"), "clkConfig.kdf.hash: one of"},
	{WITH_CONFIG("{\"l\":1024,\"kdf\":{\"type\":\"HKDF\",\"keySize\":0}}"), "clkConfig.kdf.keySize: 0 is below 1"},
	{WITH_CONFIG("{\"l\":1024,\"kdf\":{\"type\":\"HKDF\",\"salt\":5}}"), "clkConfig.kdf.salt: base64"},
	{WITH_CONFIG("{\"l\":1024,\"kdf\":{\"type\":\"HKDF\",\"info\":\"é\"}}"), "clkConfig.kdf.info: not base64"},
	{WITH_CONFIG("{\"l\":1024,\"kdf\":{\"type\":\"HKDF\",\"info\":\"YQ==YQ==\"}}"), NULL},
	{WITH_CONFIG("{\"l\":1024,\"kdf\":{\"type\":\"HKDF\"},\"xor_folds\":-1}"),
	 "clkConfig.xor_folds: -1 is below 0"},
	{WITH_CONFIG("{\"l\":1024,\"kdf\":{\"type\":\"HKDF\"},\"xor_folds\":11}"), "clkConfig.xor_folds: l doubled"},
	{WITH_CONFIG("{\"l\":1024,\"kdf\":{\"type\":\"HKDF\"},\"xor_folds\":10}"), NULL},
	{WITH_CONFIG("{\"l\":1024,\"kdf\":{\"type\":\"HKDF\"},\"xorFolds\":\"1\"}"),
	 "clkConfig.xorFolds: a whole number"},
	{WITH_FEATURE("7"), "features[0]: an object"},
	{WITH_FEATURE("{}"), "features[0].identifier: is missing"},
	{WITH_FEATURE("{\"identifier\":7}"), "features[0].identifier: text"},
	{WITH_FEATURE("{\"identifier\":\"a\",\"ignored\":true}"), NULL},
	{WITH_FEATURE("{\"identifier\":\"a\",\"ignored\":true,\"extra\":1}"), "features[0].extra: this key"},
	{WITH_FEATURE("{\"identifier\":\"a\",\"ignored\":1," STRING "," HASHING "}"),
	 "features[0].ignored: true or false"},
	{WITH_FEATURE("{\"identifier\":\"a\"," STRING "," HASHING ",\"extra\":1}"), NULL},
	{WITH_FEATURE("{\"identifier\":\"a\"," STRING "," HASHING ",\"description\":1}"),
	 "features[0].description: text"},
	{WITH_FEATURE("{\"identifier\":\"a\"," STRING "}"), "features[0].hashing: is missing"},
	{WITH_FEATURE("{\"identifier\":\"a\"," HASHING "}"), "features[0].format: is missing"},
	{WITH_FORMAT("{}"), "features[0].format.type: is missing"},
	{WITH_FORMAT("{\"type\":\"text\"}"), "features[0].format.type: one of"},
	{WITH_FORMAT("{\"type\":\"string\",\"max\":3}"), "features[0].format.max: this key"},
	{WITH_FORMAT("{\"type\":\"string\",\"minLength\":-1}"), "features[0].format.minLength: -1 is below 0"},
	{WITH_FORMAT("{\"type\":\"string\",\"maxLength\":0}"), "features[0].format.maxLength: 0 is below 1"},
	{WITH_FORMAT("{\"type\":\"string\",\"maxLength\":20.0}"), NULL},
	{WITH_FORMAT("{\"type\":\"string\",\"maxLength\":20.5}"), "features[0].format.maxLength: a whole number"},
	{WITH_FORMAT("{\"type\":\"string\",\"pattern\":\"x\",\"minLength\":1}"),
	 "features[0].format.minLength: this key"},
	{WITH_FORMAT("{\"type\":\"string\",\"case\":\"title\"}"), "features[0].format.case: one of"},
	{WITH_FORMAT("{\"type\":\"integer\",\"minimum\":\"0\"}"), "features[0].format.minimum: a whole number"},
	{WITH_FORMAT("{\"type\":\"integer\",\"minimum\":-5,\"maximum\":1e3}"), NULL},
	{WITH_FORMAT("{\"type\":\"integer\",\"encoding\":\"ascii\"}"), "features[0].format.encoding: this key"},
	{WITH_FORMAT("{\"type\":\"date\"}"), "features[0].format.format: is missing"},
	{WITH_FORMAT("{\"type\":\"date\",\"format\":\"%Y-%m-%Q\"}"), "features[0].format.format: a % is not"},
	{WITH_FORMAT("{\"type\":\"date\",\"format\":\"%Y%\"}"), "features[0].format.format: a % is not"},
	{WITH_FORMAT("{\"type\":\"date\",\"format\":\"%d/%m/%y %%\"}"), NULL},
	{WITH_FORMAT("{\"type\":\"enum\"}"), "features[0].format.values: a list"},
	{WITH_FORMAT("{\"type\":\"enum\",\"values\":[1]}"), "features[0].format.values: item 0"},
	{WITH_FORMAT("{\"type\":\"enum\",\"values\":[]}"), NULL},
	{WITH_HASHING("[]"), "features[0].hashing: an object"},
	{WITH_HASHING("{\"strategy\":{\"bitsPerToken\":20}}"), "features[0].hashing.comparison: is missing"},
	{WITH_HASHING("{\"comparison\":{\"type\":\"exact\"}}"), "features[0].hashing.strategy: is missing"},
	{WITH_HASHING("{\"comparison\":{\"type\":\"exact\"},\"strategy\":{\"bitsPerToken\":1},\"weight\":1}"),
	 "features[0].hashing.weight: this key"},
	{WITH_COMPARISON("{}"), "features[0].hashing.comparison.type: is missing"},
	{WITH_COMPARISON("{\"type\":\"phonetic\"}"), "features[0].hashing.comparison.type: one of"},
	{WITH_COMPARISON("{\"type\":\"ngram\",\"n\":2.0}"), "features[0].hashing.comparison.n: a whole number"},
	{WITH_COMPARISON("{\"type\":\"ngram\",\"n\":65}"), "features[0].hashing.comparison.n: 65 is above 64"},
	{WITH_COMPARISON("{\"type\":\"ngram\",\"n\":2,\"positional\":\"yes\"}"),
	 "features[0].hashing.comparison.positional: true or false"},
	{WITH_COMPARISON("{\"type\":\"exact\",\"n\":0,\"extra\":1}"), NULL},
	{WITH_COMPARISON("{\"type\":\"numeric\",\"resolution\":1}"),
	 "features[0].hashing.comparison.thresholdDistance: is missing"},
	{WITH_COMPARISON("{\"type\":\"numeric\",\"thresholdDistance\":\"1\",\"resolution\":1}"),
	 "features[0].hashing.comparison.thresholdDistance: a number"},
	{WITH_COMPARISON("{\"type\":\"numeric\",\"thresholdDistance\":1e300,\"resolution\":1}"),
	 "features[0].hashing.comparison.thresholdDistance: it is too large"},
	{WITH_COMPARISON("{\"type\":\"numeric\",\"thresholdDistance\":1}"),
	 "features[0].hashing.comparison.resolution: is missing"},
	{WITH_COMPARISON("{\"type\":\"numeric\",\"thresholdDistance\":0.5,\"resolution\":1}"),
	 "features[0].hashing.comparison.fractional_precision: too few"},
	{WITH_COMPARISON("{\"type\":\"numeric\",\"thresholdDistance\":0.51,\"resolution\":1}"), NULL},
	{WITH_STRATEGY("{}"), "features[0].hashing.strategy: exactly one"},
	{WITH_STRATEGY("{\"bitsPerToken\":1,\"k\":2}"), "features[0].hashing.strategy: exactly one"},
	{WITH_STRATEGY("{\"bitsPerFeature\":1.5}"), "features[0].hashing.strategy.bitsPerFeature: a whole number"},
	{WITH_STRATEGY("{\"bitsPerFeature\":70000}"), "features[0].hashing.strategy.bitsPerFeature: 70000 is above"},
	{WITH_HASH("{}"), "features[0].hashing.hash.type: is missing"},
	{WITH_HASH("{\"type\":\"md5\"}"), "features[0].hashing.hash.type: one of"},
	{WITH_HASH("{\"type\":\"doubleHash\",\"prevent_singularity\":1}"),
	 "features[0].hashing.hash.prevent_singularity: true or false"},
	{WITH_HASH("{\"type\":\"blakeHash\",\"prevent_singularity\":null}"), NULL},
	{WITH_HASH("{\"type\":\"blakeHash\",\"prevent_singularity\":false}"),
	 "features[0].hashing.hash.prevent_singularity: "},
	{WITH_MISSING("{}"), "features[0].hashing.missingValue.sentinel: is missing"},
	{WITH_MISSING("{\"sentinel\":0}"), "features[0].hashing.missingValue.sentinel: text"},
	{WITH_MISSING("{\"sentinel\":\"\",\"replaceWith\":null}"),
	 "features[0].hashing.missingValue.replaceWith: text"},
	{WITH_MISSING("{\"sentinel\":\"\",\"replaceWith\":\"?\",\"note\":1}"), NULL},
};

static void small_changes(void **state)
{
	for (size_t i = 0; i < sizeof small / sizeof small[0]; i++) {
		struct schema *schema = NULL;
		struct diag diag = {""};
		enum rc rc = schema_parse(small[i].json, strlen(small[i].json), &schema, &diag);
		if (small[i].message == NULL) {
			if (rc != RC_OK)
				fail_msg("refused: %s\n%s", small[i].json, diag.text);
		} else if (rc != RC_INVALID || strncmp(diag.text, small[i].message, strlen(small[i].message)) != 0) {
			fail_msg("%s\nsays \"%s\", expected \"%s…\"", small[i].json, diag.text, small[i].message);
		}
		if (rc != RC_OK)
			assert_null(schema);
		schema_free(schema);
	}
}

/* Every prefix of a good schema is refused and leaks nothing (the sanitizers look). */
static void truncated(void **state)
{
	static const char good[] = WITH_COMPARISON("{\"type\":\"numeric\",\"thresholdDistance\":2,\"resolution\":3}");
	struct schema *schema = NULL;

	for (size_t len = 0; len < sizeof good - 1; len++)
		assert_int_equal(schema_parse(good, len, &schema, NULL), RC_INVALID);
	assert_int_equal(schema_parse(good, sizeof good - 1, &schema, NULL), RC_OK);
	schema_free(schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_verdicts_as_clkhash),
		cmocka_unit_test(takes_every_vector),
		cmocka_unit_test(reads_all_parts),
		cmocka_unit_test(converts_version_2),
		cmocka_unit_test(small_changes),
		cmocka_unit_test(truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
