/* libs: tc_keys tc_audit tc_proto */
/* An entry has one text, and a receipt is evidence only while it agrees with its entry, its proof and the log's key. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/audit/tree.h"
#include "keys/key_file.h"
#include "keys/log_key.h"
#include "proto/entry.h"

static const struct entry_who who = {.client = "prison-1", .fingerprint = {0xab, 1}, .role = "submitter"};
static const char hex_ab[] = "ab01000000000000000000000000000000000000000000000000000000000000";

static void test_build(void **state)
{
	struct buffer out;
	char want[512];
	json_t *fields = json_pack("{s:i, s:s}", "zeta", 1, "alpha", "\xc3\xa9\"\n");

	buffer_init(&out);
	assert_int_equal(entry_build(ENTRY_STOP, 0, NULL, NULL, &out), RC_OK);
	buffer_append(&out, "", 1);
	assert_string_equal((char *)out.data, "{\"kind\":\"stop\",\"t\":\"1970-01-01T00:00:00Z\",\"v\":1}");
	buffer_reset(&out);
	assert_int_equal(entry_build(ENTRY_QUERY, 1709211661, &who, fields, &out), RC_OK);
	buffer_append(&out, "", 1);
	snprintf(want, sizeof want,
		 "{\"alpha\":\"\xc3\xa9\\\"\\n\",\"kind\":\"query\",\"t\":\"2024-02-29T13:01:01Z\",\"v\":1,"
		 "\"who\":{\"client\":\"prison-1\",\"fp\":\"%s\",\"role\":\"submitter\"},\"zeta\":1}",
		 hex_ab);
	assert_string_equal((char *)out.data, want);
	assert_int_equal(json_object_size(fields), 2); /* borrowed, not changed */
	json_decref(fields);
	buffer_deinit(&out);
}

static void test_build_refuses(void **state)
{
	static const char *const common[] = {"v", "t", "kind", "who"};
	struct entry_who bad = who;
	struct buffer out;

	buffer_init(&out);
	buffer_append(&out, "before", 6);
	for (size_t i = 0; i < 4; i++) {
		json_t *fields = json_pack("{s:i}", common[i], 1);
		assert_int_equal(entry_build(ENTRY_STOP, 0, NULL, fields, &out), RC_INVALID);
		json_decref(fields);
	}
	json_t *array = json_array(), *real = json_pack("{s:f}", "x", 0.5);
	assert_int_equal(entry_build(ENTRY_STOP, 0, NULL, array, &out), RC_INVALID);
	assert_int_equal(entry_build(ENTRY_STOP, 0, NULL, real, &out), RC_INVALID);
	json_decref(array);
	json_decref(real);
	assert_int_equal(entry_build(ENTRY_STOP, -1, NULL, NULL, &out), RC_INVALID);
	assert_int_equal(entry_build(ENTRY_STOP, INT64_MAX, NULL, NULL, &out), RC_INVALID);
	assert_int_equal(entry_build(ENTRY_KIND_COUNT, 0, NULL, NULL, &out), RC_INVALID);
	strcpy(bad.client, "two words");
	assert_int_equal(entry_build(ENTRY_STOP, 0, &bad, NULL, &out), RC_INVALID);
	bad = who;
	strcpy(bad.role, "root");
	assert_int_equal(entry_build(ENTRY_STOP, 0, &bad, NULL, &out), RC_INVALID);

	char *large = malloc(TLOG_MAX_ENTRY + 1);
	memset(large, 'x', TLOG_MAX_ENTRY);
	large[TLOG_MAX_ENTRY] = '\0';
	json_t *fields = json_pack("{s:s}", "x", large);
	assert_int_equal(entry_build(ENTRY_STOP, 0, NULL, fields, &out), RC_TOO_LARGE);
	json_decref(fields);
	free(large);
	assert_int_equal(out.len, 6);
	buffer_deinit(&out);
}

static enum rc parse(const char *text)
{
	enum entry_kind kind;
	int64_t time;
	json_t *fields = NULL;
	struct diag diag = {""};
	enum rc rc = entry_parse(text, strlen(text), &kind, &time, &fields, &diag);

	if (rc == RC_OK)
		json_decref(fields);
	else
		assert_null(fields);
	return rc;
}

static void test_parse(void **state)
{
	enum entry_kind kind;
	int64_t time;
	json_t *fields;
	struct diag diag;
	char text[512];

	snprintf(text, sizeof text,
		 "{\"kind\":\"query\",\"t\":\"2024-02-29T13:01:01Z\",\"v\":1,\"who\":{\"client\":\"c\",\"fp\":\"%s\","
		 "\"role\":\"analyst\"}}",
		 hex_ab);
	assert_int_equal(entry_parse(text, strlen(text), &kind, &time, &fields, &diag), RC_OK);
	assert_int_equal(kind, ENTRY_QUERY);
	assert_int_equal(time, 1709211661);
	json_decref(fields);

	assert_int_equal(parse("{\"kind\":\"stop\",\"t\":\"1970-01-01T00:00:00Z\",\"v\":1}"), RC_OK);
	static const char *const malformed[] = {
		"",
		"{",
		"null ",
		"{\"kind\":\"stop\",\"t\":\"1970-01-01T00:00:00Z\",\"v\":1} ",
		"{\"kind\":\"stop\",\"t\":\"1970-01-01T00:00:00Z\",\"v\":1}\n",
		"{ \"kind\":\"stop\",\"t\":\"1970-01-01T00:00:00Z\",\"v\":1}",
		"{\"t\":\"1970-01-01T00:00:00Z\",\"kind\":\"stop\",\"v\":1}",
		"{\"kind\":\"stop\",\"kind\":\"stop\",\"t\":\"1970-01-01T00:00:00Z\",\"v\":1}",
		"{\"kind\":\"st\\u006fp\",\"t\":\"1970-01-01T00:00:00Z\",\"v\":1}",
	};
	for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
		assert_int_not_equal(parse(malformed[i]), RC_OK);
	static const char *const invalid[] = {
		"[]",
		"{}",
		"{\"kind\":\"stop\",\"t\":\"1970-01-01T00:00:00Z\"}",
		"{\"kind\":\"stop\",\"t\":\"1970-01-01T00:00:00Z\",\"v\":2}",
		"{\"kind\":\"stop\",\"t\":\"1970-01-01T00:00:00Z\",\"v\":\"1\"}",
		"{\"kind\":\"stopp\",\"t\":\"1970-01-01T00:00:00Z\",\"v\":1}",
		"{\"kind\":7,\"t\":\"1970-01-01T00:00:00Z\",\"v\":1}",
		"{\"kind\":\"stop\",\"t\":\"1970-02-30T00:00:00Z\",\"v\":1}",
		"{\"kind\":\"stop\",\"t\":\"1970-01-01T24:00:00Z\",\"v\":1}",
		"{\"kind\":\"stop\",\"t\":\"1970-01-01T00:60:00Z\",\"v\":1}",
		"{\"kind\":\"stop\",\"t\":\"1970-01-01T00:00:00\",\"v\":1}",
		"{\"kind\":\"stop\",\"t\":\"1970-01-01 00:00:00Z\",\"v\":1}",
		"{\"kind\":\"stop\",\"t\":\"1969-12-31T23:59:59Z\",\"v\":1}",
		"{\"kind\":\"stop\",\"t\":\"1970-01-01T00:00:00Z\",\"v\":1,\"who\":\"me\"}",
		"{\"kind\":\"stop\",\"t\":\"1970-01-01T00:00:00Z\",\"v\":1,\"who\":{\"client\":\"c\"}}",
	};
	for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
		assert_int_equal(parse(invalid[i]), RC_INVALID);
}

static void test_names_and_times(void **state)
{
	char text[ENTRY_TIME_CAP];
	int64_t time;

	for (int k = 0; k < ENTRY_KIND_COUNT; k++)
		assert_int_equal(entry_kind_find(entry_kind_name((enum entry_kind)k)), k);
	assert_int_equal(entry_kind_find("nothing"), -1);
	assert_string_equal(entry_kind_name((enum entry_kind)99), "unknown");
	for (int64_t t = 0; t < 7000000000; t += 86399 * 31 + 7) {
		assert_int_equal(entry_time_format(t, text), RC_OK);
		assert_int_equal(entry_time_parse(text, &time), RC_OK);
		assert_true(time == t);
	}
}

/* ---- receipts ------------------------------------------------------------------------------------------------ */

static struct tlog_vkey vkey;
static struct buffer receipt_text;
static char *proof_text, *entry_text;

/* A log of five entries, the third a batch, signed, with its receipt. */
static int receipt_setup(void **state)
{
	char folder[] = "/tmp/tc-entry-XXXXXX", path[64], command[128];
	uint8_t seed[32] = {5};
	struct log_signer *signer = NULL;
	struct tree *tree = NULL;
	struct tlog_proof proof;
	struct tlog_hash root;
	struct buffer entry, note, text;
	struct diag diag;

	buffer_init(&entry);
	buffer_init(&note);
	buffer_init(&text);
	json_t *fields =
		json_pack("{s:s, s:s, s:i, s:i}", "batch", hex_ab, "source", "prison", "records", 12, "chunks", 1);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/log.key", folder);
	assert_int_equal(key_file_write(path, "log", seed, &diag), RC_OK);
	assert_int_equal(log_signer_create(path, "", "log.example/t", NULL, 0, &diag), RC_OK);
	assert_int_equal(log_signer_open(path, "", "log.example/t", &signer, &diag), RC_OK);
	vkey = *log_signer_vkey(signer);
	assert_int_equal(tree_new(&tree), RC_OK);
	assert_int_equal(entry_build(ENTRY_BATCH, 1000, &who, fields, &entry), RC_OK);
	json_decref(fields);
	for (int i = 0; i < 5; i++) {
		struct tlog_hash leaf = i == 2 ? tlog_leaf_hash(entry.data, entry.len) : tlog_leaf_hash(&i, sizeof i);
		assert_int_equal(tree_append(tree, &leaf), RC_OK);
	}
	assert_int_equal(tree_root(tree, 5, &root), RC_OK);
	assert_int_equal(tree_consistency(tree, 0, 5, &proof), RC_OK);
	assert_int_equal(log_signer_sign(signer, 5, &root, &proof, &note), RC_OK);
	assert_int_equal(tree_inclusion(tree, 2, 5, &proof), RC_OK);
	assert_int_equal(tlog_proof_format(2, &proof, (char *)note.data, note.len, &text), RC_OK);
	entry_text = strndup((char *)entry.data, entry.len);
	proof_text = strndup((char *)text.data, text.len);

	struct receipt receipt = {.source = "prison",
				  .n_records = 12,
				  .index = 2,
				  .entry = entry_text,
				  .proof = proof_text,
				  .batch_id = {0xab, 1}};
	buffer_init(&receipt_text);
	assert_int_equal(receipt_format(&receipt, &receipt_text), RC_OK);
	log_signer_close(signer);
	tree_free(tree);
	buffer_deinit(&entry);
	buffer_deinit(&note);
	buffer_deinit(&text);
	snprintf(command, sizeof command, "rm -rf '%s'", folder);
	return system(command);
}

static int receipt_teardown(void **state)
{
	free(entry_text);
	free(proof_text);
	buffer_deinit(&receipt_text);
	return 0;
}

static enum rc check(const char *text, size_t len)
{
	struct receipt receipt = {.index = 77};
	struct tlog_checkpoint c = {.size = 77};
	struct diag diag;

	enum rc rc = receipt_parse(text, len, &receipt, &diag);
	if (rc != RC_OK) {
		assert_int_equal(receipt.index, 77);
		return rc;
	}
	rc = receipt_verify(&receipt, &vkey, &c, &diag);
	assert_int_equal(c.size, rc == RC_OK ? 5 : 77);
	receipt_deinit(&receipt);
	return rc;
}

static void test_receipt(void **state)
{
	struct receipt receipt;
	struct diag diag;
	struct buffer again;

	assert_int_equal(check((char *)receipt_text.data, receipt_text.len), RC_OK);
	assert_int_equal(receipt_parse((char *)receipt_text.data, receipt_text.len, &receipt, &diag), RC_OK);
	assert_int_equal(receipt.n_records, 12);
	assert_string_equal(receipt.source, "prison");
	buffer_init(&again);
	assert_int_equal(receipt_format(&receipt, &again), RC_OK);
	assert_int_equal(again.len, receipt_text.len);
	assert_memory_equal(again.data, receipt_text.data, again.len);
	buffer_deinit(&again);
	receipt_deinit(&receipt);
}

/* No changed bit is taken for evidence. Hexadecimal digits of the batch id may be of either case, so that such a change
 * still says the same batch. */
static void test_receipt_tampering(void **state)
{
	size_t len = receipt_text.len;
	char *text = malloc(len);
	const char *golden = (const char *)receipt_text.data;
	size_t batch = (size_t)((char *)memmem(golden, len, "\"batch\":\"ab", 11) - golden);

	for (size_t i = 0; i < len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			memcpy(text, golden, len);
			text[i] = (char)(text[i] ^ 1 << bit);
			if (bit == 5 && i >= batch + 9 && i < batch + 9 + 64)
				continue;
			assert_int_not_equal(check(text, len), RC_OK);
		}
	}
	for (size_t n = 0; n < len; n++)
		assert_int_not_equal(check(golden, n), RC_OK);
	free(text);
}

static enum rc check_struct(struct receipt r, const struct tlog_vkey *key)
{
	struct tlog_checkpoint c;
	struct diag diag;

	return receipt_verify(&r, key, &c, &diag);
}

static void test_receipt_contradictions(void **state)
{
	struct receipt good = {.source = "prison",
			       .n_records = 12,
			       .index = 2,
			       .entry = entry_text,
			       .proof = proof_text,
			       .batch_id = {0xab, 1}};
	struct receipt bad = good;
	struct tlog_vkey other = vkey;

	assert_int_equal(check_struct(good, &vkey), RC_OK);
	bad.index = 3;
	assert_int_equal(check_struct(bad, &vkey), RC_INVALID);
	bad = good;
	bad.n_records = 13;
	assert_int_equal(check_struct(bad, &vkey), RC_INVALID);
	bad = good;
	strcpy(bad.source, "treatment");
	assert_int_equal(check_struct(bad, &vkey), RC_INVALID);
	bad = good;
	bad.batch_id[31] = 1;
	assert_int_equal(check_struct(bad, &vkey), RC_INVALID);
	bad = good;
	bad.entry = (char *)"{\"kind\":\"stop\",\"t\":\"1970-01-01T00:00:00Z\",\"v\":1}";
	assert_int_equal(check_struct(bad, &vkey), RC_INVALID);
	other.public_key[3] ^= 1;
	assert_int_equal(check_struct(good, &other), RC_DIGEST);
	other = vkey;
	strcpy(other.name, "log.example/u");
	assert_int_equal(check_struct(good, &other), RC_DIGEST);
}

static void test_receipt_form(void **state)
{
	struct buffer out;
	struct receipt receipt = {.source = "\xff", .entry = (char *)"", .proof = (char *)""};
	struct diag diag;
	static const char *const bad[] = {"", "{}", "[]", "{\"v\":1}", "nonsense"};

	buffer_init(&out);
	assert_int_equal(receipt_format(&receipt, &out), RC_INVALID);
	receipt.source[0] = 'a';
	receipt.n_records = UINT64_MAX;
	assert_int_equal(receipt_format(&receipt, &out), RC_INVALID);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_not_equal(receipt_parse(bad[i], strlen(bad[i]), &receipt, &diag), RC_OK);
	buffer_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_build_refuses),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_names_and_times),
		cmocka_unit_test(test_receipt),
		cmocka_unit_test(test_receipt_tampering),
		cmocka_unit_test(test_receipt_contradictions),
		cmocka_unit_test(test_receipt_form),
	};
	return cmocka_run_group_tests(tests, receipt_setup, receipt_teardown);
}
