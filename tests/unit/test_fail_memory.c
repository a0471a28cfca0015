/* libs: tc_proto */
/* wraps: malloc calloc realloc reallocarray aligned_alloc strdup strndup */
/* wraps: sha256 sha256_new sha256_copy sha256_labelled */
/* No memory at the Nth call: what reads studies, schemas, JSON, batches and receipts says so, leaves its outputs alone
 * and loses nothing; the next time it works. Where jansson reads text it calls a token that it had no memory for an
 * invalid one, so the code may then be that of bad input. */
#define FAIL_MEMORY
#include "tests/unit/fail_nth.h"

#include <stdio.h>
#include <string.h>

#include "proto/batch.h"
#include "proto/entry.h"
#include "proto/json.h"
#include "proto/schema.h"
#include "proto/study.h"
#include "tests/unit/batch_fixture.h"

static enum rc status_of(const struct buffer *b)
{
	return b->failed ? RC_NOMEM : RC_OK;
}

/* What an operation gave, as bytes, beside what an undisturbed run gave. */
struct result {
	struct buffer out, expected;
	bool is_known;
};

static void result_init(struct result *r)
{
	memset(r, 0, sizeof *r);
	buffer_init(&r->out);
	buffer_init(&r->expected);
}

static void result_deinit(struct result *r)
{
	buffer_deinit(&r->out);
	buffer_deinit(&r->expected);
}

/* The first run, which meets no failure, says what is right. */
static bool result_is_right(struct result *r)
{
	if (!r->is_known) {
		r->is_known = true;
		buffer_append(&r->expected, r->out.data, r->out.len);
		return status_of(&r->expected) == RC_OK && r->out.len > 0;
	}
	return r->out.len == r->expected.len && memcmp(r->out.data, r->expected.data, r->out.len) == 0;
}

static void read_text(const char *path, struct buffer *out)
{
	char piece[4096];
	FILE *in = fopen(path, "r");
	assert_non_null(in);
	buffer_init(out);
	for (size_t n; (n = fread(piece, 1, sizeof piece, in)) > 0;)
		buffer_append(out, piece, n);
	fclose(in);
	assert_int_equal(status_of(out), RC_OK);
}

/* ---- studies and schemas ---- */

struct study_case {
	struct buffer text;
	struct study *study;
	uint8_t digest[32];
	bool is_known;
};

static void study_case_free(void *ctx)
{
	struct study_case *c = ctx;
	study_free(c->study);
	c->study = NULL;
}

static enum rc study_case_run(void *ctx)
{
	struct study_case *c = ctx;
	struct diag diag;
	return study_parse("study.yaml", (const char *)c->text.data, c->text.len, &c->study, &diag);
}

static bool study_case_check(void *ctx, enum rc rc)
{
	struct study_case *c = ctx;
	if (rc != RC_OK)
		return c->study == NULL;
	if (!c->is_known)
		memcpy(c->digest, c->study->digest, sizeof c->digest);
	c->is_known = true;
	return memcmp(c->digest, c->study->digest, sizeof c->digest) == 0;
}

static void test_studies(void **state)
{
	static const char *const names[] = {"two-registers", "small-service", "five-countries", "five-measures"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct study_case c = {.is_known = false};
		char path[512];
		snprintf(path, sizeof path, TC_SOURCE_DIR "/deploy/study-%s.yaml", names[i]);
		read_text(path, &c.text);
		struct fail_case f = {.name = names[i],
				      .run = study_case_run,
				      .check = study_case_check,
				      .teardown = study_case_free,
				      .ctx = &c,
				      .dense = 40,
				      .never = RC_INVALID};
		fail_each(&f);
		buffer_deinit(&c.text);
	}
}

static const char schema_text[] =
	"{\"version\": 3, \"clkConfig\": {\"l\": 1024, \"xor_folds\": 0, \"kdf\": {\"type\": \"HKDF\", \"hash\": "
	"\"SHA256\","
	"\"info\": \"c2NoZW1hX2V4YW1wbGU=\", \"salt\": \"SCbL2zHNnmsckfzchsNkZY9XoHk96P/G5nUBrM7ybymlEFsMV6PAeDZCNp3r"
	"fNUPCtLDMOGQHG4pCQpfhiHCyA==\", \"keySize\": 64}}, \"features\": [{\"identifier\": \"name\", \"format\": "
	"{\"type\":"
	"\"string\", \"encoding\": \"utf-8\", \"case\": \"lower\", \"maxLength\": 30},"
	"\"hashing\": {\"comparison\": {\"type\": \"ngram\", \"n\": 2}, \"strategy\": {\"bitsPerToken\": 20}, \"hash\":"
	"{\"type\": \"doubleHash\"}}}, {\"identifier\": \"sex\", \"format\": {\"type\": \"enum\", \"values\": [\"m\", "
	"\"f\"]},"
	"\"hashing\": {\"comparison\": {\"type\": \"exact\"}, \"strategy\": {\"bitsPerFeature\": 40}}}, "
	"{\"identifier\":"
	"\"unused\", \"ignored\": true}]}";

static void schema_case_free(void *ctx)
{
	struct schema **schema = ctx;
	schema_free(*schema);
	*schema = NULL;
}

static enum rc schema_case_run(void *ctx)
{
	struct diag diag;
	return schema_parse(schema_text, sizeof schema_text - 1, (struct schema **)ctx, &diag);
}

static bool schema_case_check(void *ctx, enum rc rc)
{
	const struct schema *s = *(struct schema **)ctx;
	if (rc != RC_OK)
		return s == NULL;
	return s->n_features == 3 && s->l == 1024 && schema_find(s, "sex") == 1 && s->features[1].n_values == 2 &&
	       strcmp(s->features[1].values[1], "f") == 0 && s->features[0].max_length == 30 && s->kdf_salt_len == 64 &&
	       s->features[2].ignored;
}

static void test_schema(void **state)
{
	struct schema *schema = NULL;
	struct fail_case f = {.name = "schema",
			      .run = schema_case_run,
			      .check = schema_case_check,
			      .teardown = schema_case_free,
			      .ctx = &schema,
			      .never = RC_OK};
	fail_each(&f);
}

/* ---- JSON ---- */

static enum rc json_case_run(void *ctx)
{
	static const char text[] = "{\"b\": [1, -2, true, null, {\"k\": \"v\\u00e9\\n\"}], \"a\": \"text\", \"\": {}}";
	struct result *r = ctx;
	uint8_t digest[32];
	json_t *value = NULL;
	struct diag diag;
	buffer_deinit(&r->out);
	enum rc rc = json_parse_strict(text, sizeof text - 1, &value, &diag);
	if (rc != RC_OK)
		return value == NULL ? rc : RC_OK;
	rc = json_canonical(value, &r->out);
	if (rc == RC_OK)
		rc = json_digest("test", value, digest);
	json_decref(value);
	if (rc == RC_OK)
		buffer_append(&r->out, digest, sizeof digest);
	return rc == RC_OK ? status_of(&r->out) : rc;
}

static bool result_check(void *ctx, enum rc rc)
{
	return rc != RC_OK || result_is_right(ctx);
}

static void test_json(void **state)
{
	struct result r;
	result_init(&r);
	struct fail_case f = {.name = "json", .run = json_case_run, .check = result_check, .ctx = &r, .never = RC_OK};
	fail_each(&f);
	result_deinit(&r);
}

/* ---- batches ---- */

struct batch_case {
	struct result result;
	struct study study;
	struct buffer batch, json;
	struct fixture_result read;
};

static void batch_case_free(void *ctx)
{
	struct batch_case *c = ctx;
	batch_chunk_free(c->read.first);
	memset(&c->read, 0, sizeof c->read);
	buffer_deinit(&c->result.out);
}

static enum rc batch_read_run(void *ctx)
{
	struct batch_case *c = ctx;
	batch_case_free(c);
	enum rc rc = fixture_read(&c->study, c->batch.data, c->batch.len, 1000, &c->read);
	if (rc == RC_OK)
		buffer_append(&c->result.out, c->read.id, sizeof c->read.id);
	return rc == RC_OK ? status_of(&c->result.out) : rc;
}

static bool batch_read_check(void *ctx, enum rc rc)
{
	struct batch_case *c = ctx;
	return rc != RC_OK || (c->read.n_records == 40 && result_is_right(&c->result));
}

static enum rc batch_json_run(void *ctx)
{
	struct batch_case *c = ctx;
	struct diag diag;
	buffer_deinit(&c->result.out);
	return batch_from_json(&c->study, (const char *)c->json.data, c->json.len, &c->result.out, &diag);
}

static bool batch_json_check(void *ctx, enum rc rc)
{
	struct batch_case *c = ctx;
	return rc != RC_OK || result_is_right(&c->result);
}

static enum rc append_piece(void *ctx, const uint8_t *data, size_t len)
{
	struct buffer *out = ctx;
	buffer_append(out, data, len);
	return status_of(out);
}

static enum rc gzip_run(void *ctx)
{
	struct batch_case *c = ctx;
	struct inflater *z = NULL;
	struct buffer packed;
	buffer_init(&packed);
	buffer_deinit(&c->result.out);
	enum rc rc = gzip_compress(c->batch.data, c->batch.len, &packed);
	if (rc == RC_OK)
		rc = inflater_new(ENCODING_GZIP, BATCH_MAX_BYTES, &z);
	if (rc == RC_OK)
		rc = inflater_feed(z, packed.data, packed.len, append_piece, &c->result.out);
	if (rc == RC_OK)
		rc = inflater_end(z);
	inflater_free(z);
	buffer_deinit(&packed);
	return rc;
}

static void test_batches(void **state)
{
	struct batch_case c = {.batch.data = NULL};
	uint8_t id[BATCH_ID_LEN];
	fixture_study(&c.study);
	buffer_init(&c.batch);
	buffer_init(&c.json);
	fixture_batch(&c.study, 40, 20, &c.batch, id);
	fixture_json(&c.study, 40, &c.json);
	struct fail_case f = {.name = "batch",
			      .run = batch_read_run,
			      .check = batch_read_check,
			      .teardown = batch_case_free,
			      .ctx = &c,
			      .never = RC_MALFORMED};
	result_init(&c.result);
	fail_each(&f);
	result_deinit(&c.result);
	f.name = "batch as JSON";
	f.run = batch_json_run;
	f.check = batch_json_check;
	f.dense = 100;
	f.never = RC_OK;
	result_init(&c.result);
	fail_each(&f);
	result_deinit(&c.result);
	f.name = "gzip";
	f.run = gzip_run;
	result_init(&c.result);
	fail_each(&f);
	result_deinit(&c.result);
	buffer_deinit(&c.batch);
	buffer_deinit(&c.json);
}

/* ---- receipts ---- */

static enum rc receipt_run(void *ctx)
{
	static char entry[] = "{\"kind\":\"batch\"}", proof[] = "c2sp.org/tlog-proof@v1\n";
	const struct receipt receipt = {
		.source = "prison", .n_records = 12, .index = 2, .entry = entry, .proof = proof, .batch_id = {0xab, 1}};
	struct receipt back = {.index = 77};
	struct result *r = ctx;
	struct diag diag;
	struct buffer text;
	buffer_deinit(&r->out);
	buffer_init(&text);
	enum rc rc = receipt_format(&receipt, &text);
	if (rc != RC_OK)
		goto out;
	rc = receipt_parse((const char *)text.data, text.len, &back, &diag);
	if (rc != RC_OK) {
		rc = back.index == 77 && back.entry == NULL ? rc : RC_OK;
		goto out;
	}
	rc = receipt_format(&back, &r->out);
	receipt_deinit(&back);
out:
	buffer_deinit(&text);
	return rc;
}

static void test_receipts(void **state)
{
	struct result r;
	result_init(&r);
	struct fail_case f = {.name = "receipt", .run = receipt_run, .check = result_check, .ctx = &r, .never = RC_OK};
	fail_each(&f);
	result_deinit(&r);
}

/* ---- log entries ---- */

static enum rc entry_run(void *ctx)
{
	const struct entry_who who = {.client = "clinic-7", .role = "submitter", .fingerprint = {7}};
	struct result *r = ctx;
	buffer_deinit(&r->out);
	json_t *fields = json_pack("{s:s, s:s, s:i}", "source", "prison", "batch", "0a", "records", 3);
	enum rc rc = fields == NULL ? RC_NOMEM : entry_build(ENTRY_BATCH, 1767225600, &who, fields, &r->out);
	json_decref(fields);
	return rc;
}

/* With all of its fields or none. */
static void test_entries(void **state)
{
	struct result r;
	result_init(&r);
	struct fail_case f = {.name = "entry", .run = entry_run, .check = result_check, .ctx = &r, .never = RC_INVALID};
	fail_each(&f);
	result_deinit(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_studies), cmocka_unit_test(test_schema),   cmocka_unit_test(test_json),
		cmocka_unit_test(test_batches), cmocka_unit_test(test_receipts), cmocka_unit_test(test_entries),
	};
	json_set_alloc_funcs(fail_jansson_malloc, free);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
