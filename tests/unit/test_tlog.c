/* libs: tc_proto */
/* The log's public side: RFC 6962 hashing and proofs against golden vectors and against a naive recursive tree written
 * from the RFC's definitions; notes, checkpoints, proof files and tile paths with every class of tampering. */
#include <jansson.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/tlog.h"

enum { MAX_LEAVES = 64 };

static json_t *vectors;
static struct tlog_hash leaf[MAX_LEAVES];

static const char *vector_text(const char *key)
{
	const char *text = json_string_value(json_object_get(vectors, key));
	assert_non_null(text);
	return text;
}

static struct tlog_hash hash_from_hex(const char *hex)
{
	struct tlog_hash h;
	assert_int_equal(hex_decode(hex, strlen(hex), h.b, sizeof h.b), RC_OK);
	return h;
}

static int group_setup(void **state)
{
	json_error_t error;
	vectors = json_load_file(TC_SOURCE_DIR "/tests/data/vectors/tlog.json", 0, &error);
	for (int i = 0; i < MAX_LEAVES; i++) {
		uint8_t entry[2] = {(uint8_t)i, 7};
		leaf[i] = tlog_leaf_hash(entry, sizeof entry);
	}
	return vectors == NULL;
}

static int group_teardown(void **state)
{
	json_decref(vectors);
	return 0;
}

/* ---- the RFC's own definitions, as plainly as possible ------------------------------------------------------- */

static uint64_t below(uint64_t n)
{
	uint64_t k = 1;
	while (2 * k < n)
		k *= 2;
	return k;
}

static struct tlog_hash mth(uint64_t from, uint64_t to)
{
	if (to == from)
		return tlog_empty_root();
	if (to - from == 1)
		return leaf[from];
	uint64_t k = below(to - from);
	struct tlog_hash left = mth(from, from + k), right = mth(from + k, to);
	return tlog_node_hash(&left, &right);
}

static void path(uint64_t m, uint64_t from, uint64_t to, struct tlog_proof *out)
{
	if (to - from == 1)
		return;
	uint64_t k = below(to - from);
	if (m < k) {
		path(m, from, from + k, out);
		out->hash[out->n++] = mth(from + k, to);
	} else {
		path(m - k, from + k, to, out);
		out->hash[out->n++] = mth(from, from + k);
	}
}

static void subproof(uint64_t m, uint64_t from, uint64_t to, bool whole, struct tlog_proof *out)
{
	if (m == to - from) {
		if (!whole)
			out->hash[out->n++] = mth(from, to);
		return;
	}
	uint64_t k = below(to - from);
	if (m <= k) {
		subproof(m, from, from + k, whole, out);
		out->hash[out->n++] = mth(from + k, to);
	} else {
		subproof(m - k, from + k, to, false, out);
		out->hash[out->n++] = mth(from, from + k);
	}
}

/* ---- hashing and proofs -------------------------------------------------------------------------------------- */

static void test_golden_hashes(void **state)
{
	json_t *leaves = json_object_get(vectors, "leaves_hex"), *value;
	const char *key;
	struct tlog_stack stack;
	size_t i;

	tlog_stack_init(&stack);
	json_array_foreach(leaves, i, value)
	{
		uint8_t entry[256];
		const char *hex = json_string_value(value);
		char number[24];
		assert_int_equal(hex_decode(hex, strlen(hex), entry, strlen(hex) / 2), RC_OK);
		struct tlog_hash h = tlog_leaf_hash(entry, strlen(hex) / 2);
		snprintf(number, sizeof number, "%zu", i);
		const char *want = json_string_value(json_object_get(json_object_get(vectors, "leaf_hash"), number));
		if (want != NULL) {
			struct tlog_hash expected = hash_from_hex(want);
			assert_memory_equal(h.b, expected.b, 32);
		}
		leaf[i] = h;
		tlog_stack_append(&stack, &h);
		snprintf(number, sizeof number, "%zu", i + 1);
		want = json_string_value(json_object_get(json_object_get(vectors, "root"), number));
		if (want != NULL) {
			struct tlog_hash expected = hash_from_hex(want), root = tlog_stack_root(&stack),
					 again = mth(0, i + 1);
			assert_memory_equal(root.b, expected.b, 32);
			assert_memory_equal(again.b, expected.b, 32);
		}
	}
	assert_int_equal(stack.size, 5);
	json_object_foreach(json_object_get(vectors, "root"), key, value) assert_true(atoi(key) <= 5);
}

static void proof_from_json(const char *key, struct tlog_proof *out)
{
	json_t *list = json_object_get(vectors, key), *value;
	size_t i;

	out->n = 0;
	json_array_foreach(list, i, value) out->hash[out->n++] = hash_from_hex(json_string_value(value));
	assert_true(out->n > 0);
}

static void test_golden_proofs(void **state)
{
	json_t *roots = json_object_get(vectors, "root"), *leaves = json_object_get(vectors, "leaf_hash");
	struct tlog_hash root3 = hash_from_hex(json_string_value(json_object_get(roots, "3")));
	struct tlog_hash root5 = hash_from_hex(json_string_value(json_object_get(roots, "5")));
	struct tlog_hash leaf2 = hash_from_hex(json_string_value(json_object_get(leaves, "2")));
	struct tlog_proof proof;

	proof_from_json("inclusion_2_in_5", &proof);
	assert_int_equal(tlog_check_inclusion(&proof, 2, 5, &leaf2, &root5), RC_OK);
	assert_int_equal(tlog_check_inclusion(&proof, 3, 5, &leaf2, &root5), RC_DIGEST);
	proof_from_json("consistency_3_to_5", &proof);
	assert_int_equal(tlog_check_consistency(&proof, 3, &root3, 5, &root5), RC_OK);
	assert_int_equal(tlog_check_consistency(&proof, 3, &root5, 5, &root5), RC_FORK);
}

/* Every proof of every tree up to 64 leaves holds; with any hash changed, dropped or added, or with any other index,
 * size or leaf, it does not. */
static void test_inclusion_of_all_sizes(void **state)
{
	for (uint64_t size = 1; size <= MAX_LEAVES; size++) {
		struct tlog_hash root = mth(0, size);
		for (uint64_t index = 0; index < size; index++) {
			struct tlog_proof proof = {.n = 0}, bad;
			path(index, 0, size, &proof);
			assert_int_equal(tlog_check_inclusion(&proof, index, size, &leaf[index], &root), RC_OK);
			for (size_t i = 0; i < proof.n; i++) {
				bad = proof;
				bad.hash[i].b[(i * 7) % 32] ^= 1;
				assert_int_equal(tlog_check_inclusion(&bad, index, size, &leaf[index], &root),
						 RC_DIGEST);
			}
			bad = proof;
			bad.hash[bad.n++] = leaf[0];
			assert_int_equal(tlog_check_inclusion(&bad, index, size, &leaf[index], &root), RC_DIGEST);
			if (proof.n > 0) {
				bad = proof;
				bad.n--;
				assert_int_equal(tlog_check_inclusion(&bad, index, size, &leaf[index], &root),
						 RC_DIGEST);
			}
			for (uint64_t other = 0; other < size; other++) {
				if (other != index)
					assert_int_not_equal(
						tlog_check_inclusion(&proof, other, size, &leaf[index], &root), RC_OK);
			}
			struct tlog_hash other_leaf = leaf[(index + 1) % MAX_LEAVES];
			assert_int_equal(tlog_check_inclusion(&proof, index, size, &other_leaf, &root), RC_DIGEST);
		}
	}
}

static void test_consistency_of_all_sizes(void **state)
{
	for (uint64_t new_size = 0; new_size <= MAX_LEAVES; new_size++) {
		struct tlog_hash new_root = mth(0, new_size);
		for (uint64_t old_size = 0; old_size <= new_size; old_size++) {
			struct tlog_hash old_root = mth(0, old_size), wrong = old_root;
			struct tlog_proof proof = {.n = 0}, bad;
			if (old_size > 0)
				subproof(old_size, 0, new_size, true, &proof);
			assert_int_equal(tlog_check_consistency(&proof, old_size, &old_root, new_size, &new_root),
					 RC_OK);
			wrong.b[31] ^= 0x80;
			assert_int_equal(tlog_check_consistency(&proof, old_size, &wrong, new_size, &new_root),
					 RC_FORK);
			if (old_size > 0) {
				wrong = new_root;
				wrong.b[0] ^= 1;
				assert_int_equal(tlog_check_consistency(&proof, old_size, &old_root, new_size, &wrong),
						 RC_FORK);
			}
			for (size_t i = 0; i < proof.n; i++) {
				bad = proof;
				bad.hash[i].b[i % 32] ^= 4;
				assert_int_equal(tlog_check_consistency(&bad, old_size, &old_root, new_size, &new_root),
						 RC_FORK);
			}
			bad = proof;
			bad.hash[bad.n++] = leaf[1];
			assert_int_equal(tlog_check_consistency(&bad, old_size, &old_root, new_size, &new_root),
					 RC_FORK);
			if (proof.n > 0) {
				bad = proof;
				bad.n--;
				assert_int_equal(tlog_check_consistency(&bad, old_size, &old_root, new_size, &new_root),
						 RC_FORK);
			}
		}
	}
}

static void test_hostile_sizes(void **state)
{
	struct tlog_proof proof = {.n = 0};
	struct tlog_hash h = leaf[0];

	assert_int_equal(tlog_check_inclusion(&proof, 0, 0, &h, &h), RC_INVALID);
	assert_int_equal(tlog_check_inclusion(&proof, 5, 5, &h, &h), RC_INVALID);
	assert_int_equal(tlog_check_inclusion(&proof, 0, UINT64_MAX, &h, &h), RC_INVALID);
	assert_int_equal(tlog_check_consistency(&proof, 2, &h, 1, &h), RC_INVALID);
	assert_int_equal(tlog_check_consistency(&proof, 1, &h, UINT64_MAX, &h), RC_INVALID);
	proof.n = TLOG_MAX_PROOF + 1;
	assert_int_equal(tlog_check_inclusion(&proof, 0, 1, &h, &h), RC_INVALID);
	assert_int_equal(tlog_check_consistency(&proof, 1, &h, 2, &h), RC_INVALID);
	proof.n = TLOG_MAX_PROOF;
	memset(proof.hash, 0, sizeof proof.hash);
	assert_int_equal(tlog_check_inclusion(&proof, 1, (uint64_t)1 << 63, &h, &h), RC_DIGEST);
	assert_int_equal(tlog_check_consistency(&proof, 3, &h, (uint64_t)1 << 63, &h), RC_FORK);
}

static void test_stack_equals_definition(void **state)
{
	struct tlog_stack stack;

	tlog_stack_init(&stack);
	for (uint64_t n = 0; n <= MAX_LEAVES; n++) {
		struct tlog_hash want = mth(0, n), got = tlog_stack_root(&stack);
		assert_memory_equal(want.b, got.b, 32);
		if (n < MAX_LEAVES)
			tlog_stack_append(&stack, &leaf[n]);
	}
}

/* ---- notes --------------------------------------------------------------------------------------------------- */

static struct tlog_vkey golden_vkey(void)
{
	struct tlog_vkey vkey;
	assert_int_equal(tlog_vkey_parse(vector_text("vkey"), &vkey), RC_OK);
	return vkey;
}

static void test_vkey(void **state)
{
	struct tlog_vkey vkey = golden_vkey(), untouched;
	char text[TLOG_VKEY_CAP], bad[TLOG_VKEY_CAP];

	assert_string_equal(vkey.name, vector_text("origin"));
	assert_int_equal(tlog_vkey_format(vkey.name, vkey.public_key, text, sizeof text), RC_OK);
	assert_string_equal(text, vector_text("vkey"));
	assert_int_equal(tlog_vkey_format(vkey.name, vkey.public_key, text, 20), RC_TOO_LARGE);
	assert_int_equal(tlog_vkey_format("two words", vkey.public_key, text, sizeof text), RC_INVALID);

	memset(&untouched, 0x5a, sizeof untouched);
	for (size_t i = 0; i < strlen(text); i++) {
		snprintf(bad, sizeof bad, "%s", text);
		bad[i] = (char)(bad[i] == 'A' ? 'B' : 'A');
		struct tlog_vkey v = untouched;
		/* Hexadecimal digits may be of either case, so that 'a' to 'A' is the same key. */
		if (tlog_vkey_parse(bad, &v) == RC_OK)
			assert_memory_equal(&v, &vkey, sizeof v);
		else
			assert_memory_equal(&v, &untouched, sizeof v);
	}
	assert_int_equal(tlog_vkey_parse("", &vkey), RC_MALFORMED);
	assert_int_equal(tlog_vkey_parse("name", &vkey), RC_MALFORMED);
	assert_int_equal(tlog_vkey_parse("name+00000000", &vkey), RC_MALFORMED);
	assert_int_equal(tlog_vkey_parse("+00000000+AQ==", &vkey), RC_MALFORMED);
	char *longest = calloc(1, 100000);
	memset(longest, 'a', 99999);
	assert_int_equal(tlog_vkey_parse(longest, &vkey), RC_MALFORMED);
	free(longest);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"",
					  "a b",
					  "a+b",
					  "a\tb",
					  "a\nb",
					  "a\xc2\xa0"
					  "b",
					  "a\xe2\x80\x83"
					  "b",
					  "\xff",
					  "a\xc0\xaf",
					  "a\xed\xa0\x80",
					  "a\x7f"};
	char longest[TLOG_ORIGIN_CAP + 1];

	assert_int_equal(tlog_name_check("log.example/study-1"), RC_OK);
	assert_int_equal(tlog_name_check("b\xc3\xbc"
					 "cher.example"),
			 RC_OK);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(tlog_name_check(bad[i]), RC_INVALID);
	memset(longest, 'x', sizeof longest);
	longest[TLOG_ORIGIN_CAP] = '\0';
	assert_int_equal(tlog_name_check(longest), RC_INVALID);
	longest[TLOG_ORIGIN_CAP - 1] = '\0';
	assert_int_equal(tlog_name_check(longest), RC_OK);
}

static void test_checkpoint_golden(void **state)
{
	struct tlog_vkey vkey = golden_vkey();
	const char *note = vector_text("checkpoint");
	struct tlog_checkpoint c;
	struct buffer body;
	struct tlog_hash root5 =
		hash_from_hex(json_string_value(json_object_get(json_object_get(vectors, "root"), "5")));

	assert_int_equal(tlog_checkpoint_verify(note, strlen(note), &vkey, &c), RC_OK);
	assert_string_equal(c.origin, vector_text("origin"));
	assert_int_equal(c.size, 5);
	assert_memory_equal(c.root.b, root5.b, 32);
	buffer_init(&body);
	tlog_checkpoint_body(&c, &body);
	assert_memory_equal(body.data, note, body.len);
	buffer_deinit(&body);
}

/* Every single bit of a signed checkpoint matters, and every truncation is refused. */
static void test_checkpoint_tampering(void **state)
{
	struct tlog_vkey vkey = golden_vkey();
	const char *golden = vector_text("checkpoint");
	size_t len = strlen(golden);
	char *note = malloc(len);
	struct tlog_checkpoint c;

	for (size_t i = 0; i < len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			memcpy(note, golden, len);
			note[i] = (char)(note[i] ^ 1 << bit);
			assert_int_not_equal(tlog_checkpoint_verify(note, len, &vkey, &c), RC_OK);
		}
	}
	for (size_t n = 0; n < len; n++) {
		memcpy(note, golden, n);
		assert_int_not_equal(tlog_checkpoint_verify(note, n, &vkey, &c), RC_OK);
	}
	free(note);
}

static enum rc verify_text(const char *text)
{
	struct tlog_vkey vkey = golden_vkey();
	struct tlog_checkpoint c;
	return tlog_checkpoint_verify(text, strlen(text), &vkey, &c);
}

static void test_other_signatures(void **state)
{
	static const char unknown[] = "\xe2\x80\x94 witness.example/w1 AAAAAHh4eHh4\n";
	char text[8192];
	const char *golden = vector_text("checkpoint");

	/* Signatures of keys that we do not know are ignored, before or after ours. */
	snprintf(text, sizeof text, "%s%s", golden, unknown);
	assert_int_equal(verify_text(text), RC_OK);
	const char *mark = strstr(golden, "\n\n") + 2;
	snprintf(text, sizeof text, "%.*s%s%s", (int)(mark - golden), golden, unknown, mark);
	assert_int_equal(verify_text(text), RC_OK);
	/* Alone they do not suffice. */
	snprintf(text, sizeof text, "%.*s%s", (int)(mark - golden), golden, unknown);
	assert_int_equal(verify_text(text), RC_DIGEST);
	/* A line that is no signature spoils the note; so does a control character, or a wrong second signature of
	 * ours. */
	snprintf(text, sizeof text, "%snot a signature\n", golden);
	assert_int_equal(verify_text(text), RC_MALFORMED);
	snprintf(text, sizeof text, "%s\xe2\x80\x94 a\tb AAAAAHh4eHh4\n", golden);
	assert_int_equal(verify_text(text), RC_MALFORMED);
	snprintf(text, sizeof text, "%s\xe2\x80\x94 %s IKDhc3h4eHg=\n", golden, vector_text("origin"));
	assert_int_equal(verify_text(text), RC_DIGEST);
	/* Sixteen others are accepted, a flood is not. */
	strcpy(text, golden);
	for (int i = 0; i < 16; i++)
		strcat(text, unknown);
	assert_int_equal(verify_text(text), RC_OK);
	for (int i = 0; i < 60; i++)
		strcat(text, unknown);
	assert_int_equal(verify_text(text), RC_MALFORMED);
}

static enum rc parse_text(const char *text)
{
	struct tlog_checkpoint c;
	return tlog_checkpoint_parse(text, strlen(text), &c);
}

static void test_checkpoint_form(void **state)
{
#define ROOT "JA5+zLxmlbobYsud87VUS8o9QDHTQANzyjBpjAA10eg="
#define EMPTY "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define SIG "\n\xe2\x80\x94 a AAAAAHh4\n"
	assert_int_equal(parse_text("a\n5\n" ROOT "\n" SIG), RC_OK);
	assert_int_equal(parse_text("a\n5\n" ROOT "\nextension\n" SIG), RC_OK);
	assert_int_equal(parse_text("a\n0\n" EMPTY "\n" SIG), RC_OK);
	assert_int_equal(parse_text("a\n0\n" ROOT "\n" SIG), RC_MALFORMED);
	assert_int_equal(parse_text("a\n05\n" ROOT "\n" SIG), RC_MALFORMED);
	assert_int_equal(parse_text("a\n+5\n" ROOT "\n" SIG), RC_MALFORMED);
	assert_int_equal(parse_text("a\n9223372036854775808\n" ROOT "\n" SIG), RC_MALFORMED);
	assert_int_equal(parse_text("a\n99999999999999999999999\n" ROOT "\n" SIG), RC_MALFORMED);
	assert_int_equal(parse_text("a\n\n" ROOT "\n" SIG), RC_MALFORMED);
	assert_int_equal(parse_text("\n5\n" ROOT "\n" SIG), RC_MALFORMED);
	assert_int_equal(parse_text("a\n5\n" ROOT "=\n" SIG), RC_MALFORMED);
	assert_int_equal(parse_text("a\n5\n" SIG), RC_MALFORMED);
	assert_int_equal(parse_text("a\n5\n" ROOT "\n\nextension\n" SIG), RC_MALFORMED);
	assert_int_equal(parse_text("a\r\n5\r\n" ROOT "\r\n" SIG), RC_MALFORMED);
	assert_int_equal(parse_text(""), RC_MALFORMED);
	assert_int_equal(parse_text("\n"), RC_MALFORMED);
	assert_int_equal(parse_text("\n\n"), RC_MALFORMED);
}

/* ---- proof files --------------------------------------------------------------------------------------------- */

static void golden_proof_file(struct buffer *out)
{
	const char *note = vector_text("checkpoint");
	struct tlog_proof proof;

	proof_from_json("inclusion_2_in_5", &proof);
	buffer_init(out);
	assert_int_equal(tlog_proof_format(2, &proof, note, strlen(note), out), RC_OK);
}

static void test_proof_file(void **state)
{
	struct tlog_vkey vkey = golden_vkey();
	struct tlog_hash leaf2 =
		hash_from_hex(json_string_value(json_object_get(json_object_get(vectors, "leaf_hash"), "2")));
	struct tlog_checkpoint c;
	struct buffer file;
	uint64_t index = 99;

	golden_proof_file(&file);
	assert_memory_equal(file.data, "c2sp.org/tlog-proof@v1\nindex 2\n", 31);
	assert_int_equal(tlog_proof_verify((char *)file.data, file.len, &vkey, &leaf2, &index, &c), RC_OK);
	assert_int_equal(index, 2);
	assert_int_equal(c.size, 5);
	char *text = malloc(file.len);
	for (size_t i = 0; i < file.len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			memcpy(text, file.data, file.len);
			text[i] = (char)(text[i] ^ 1 << bit);
			index = 99;
			assert_int_not_equal(tlog_proof_verify(text, file.len, &vkey, &leaf2, &index, &c), RC_OK);
			assert_int_equal(index, 99);
		}
	}
	for (size_t n = 0; n < file.len; n++)
		assert_int_not_equal(tlog_proof_verify((char *)file.data, n, &vkey, &leaf2, &index, &c), RC_OK);
	free(text);
	buffer_deinit(&file);
}

static void test_proof_file_form(void **state)
{
	struct tlog_proof proof = {.n = 0};
	const char *note;
	size_t note_len;
	uint64_t index;
	char text[8192];

#define PARSE(t) tlog_proof_parse(t, strlen(t), &index, &proof, &note, &note_len)
	assert_int_equal(PARSE("c2sp.org/tlog-proof@v1\nextra YWdl\nindex 7\n" ROOT "\n\nnote\n"), RC_OK);
	assert_int_equal(index, 7);
	assert_int_equal(proof.n, 1);
	assert_int_equal(note_len, 5);
	assert_int_equal(PARSE("c2sp.org/tlog-proof@v1\nindex 0\n\n"), RC_OK);
	assert_int_equal(PARSE("c2sp.org/tlog-proof@v1\nindex 00\n\n"), RC_MALFORMED);
	assert_int_equal(PARSE("c2sp.org/tlog-proof@v2\nindex 0\n\n"), RC_MALFORMED);
	assert_int_equal(PARSE("c2sp.org/tlog-proof@v1\nextra YWdl\nextra YWdl\nindex 7\n\n"), RC_MALFORMED);
	assert_int_equal(PARSE("c2sp.org/tlog-proof@v1\nindex 0\n"), RC_MALFORMED);
	strcpy(text, "c2sp.org/tlog-proof@v1\nindex 0\n");
	for (int i = 0; i < 65; i++)
		strcat(text, ROOT "\n");
	strcat(text, "\n");
	assert_int_equal(PARSE(text), RC_MALFORMED);
}

/* ---- tiles --------------------------------------------------------------------------------------------------- */

static void test_tile_paths(void **state)
{
	static const struct {
		const char *path;
		int level;
		uint64_t index;
		unsigned width;
	} good[] = {
		{"0/000", 0, 0, 256},
		{"0/x001/067", 0, 1067, 256},
		{"0/x001/x234/067", 0, 1234067, 256},
		{"entries/000.p/5", -1, 0, 5},
		{"entries/x001/000", -1, 1000, 256},
		{"63/001.p/255", 63, 1, 255},
		{"5/x999/x999/x999/x999/x999/999", 5, 999999999999999999, 256},
	};
	static const char *const bad[] = {
		"",
		"0",
		"0/",
		"0/0",
		"0/00",
		"0/0000",
		"00/000",
		"64/000",
		"-1/000",
		"0/x000/001",
		"0/001/002",
		"0/x001",
		"0/000.p/0",
		"0/000.p/256",
		"0/000.p/05",
		"0/000.p/",
		"0/000.p/5x",
		"0/000/",
		"/0/000",
		"0//000",
		"0/000.p/5/6",
		"entries",
		"entries/",
		"entriesx/000",
		"data/000",
		"0/x001/x002",
		"0/../000",
		"0/x999/x999/x999/x999/x999/x999/999",
		"0/000.p/-5",
		"0/ 00",
		"0/0x1",
		"0/000000000000000000000000000000000000000000000000000000000000000000000000000000000",
	};
	int level;
	uint64_t index;
	unsigned width;
	char text[64];

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_int_equal(tlog_tile_path_parse(good[i].path, &level, &index, &width), RC_OK);
		assert_int_equal(level, good[i].level);
		assert_true(index == good[i].index);
		assert_int_equal(width, good[i].width);
		tlog_tile_path_format(level, index, width, text, sizeof text);
		assert_string_equal(text, good[i].path);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		level = 77;
		assert_int_equal(tlog_tile_path_parse(bad[i], &level, &index, &width), RC_MALFORMED);
		assert_int_equal(level, 77);
	}
}

static void test_bundles(void **state)
{
	struct buffer bundle;
	struct reader reader;
	const uint8_t *entry;
	size_t len;
	char *large = calloc(1, TLOG_MAX_ENTRY + 1);

	buffer_init(&bundle);
	assert_int_equal(tlog_bundle_append(&bundle, "abc", 3), RC_OK);
	assert_int_equal(tlog_bundle_append(&bundle, "", 0), RC_OK);
	assert_int_equal(tlog_bundle_append(&bundle, large, TLOG_MAX_ENTRY), RC_OK);
	assert_int_equal(tlog_bundle_append(&bundle, large, TLOG_MAX_ENTRY + 1), RC_TOO_LARGE);
	assert_int_equal(bundle.len, 2 + 3 + 2 + 2 + TLOG_MAX_ENTRY);
	reader_init(&reader, bundle.data, bundle.len);
	assert_int_equal(tlog_bundle_next(&reader, &entry, &len), RC_OK);
	assert_int_equal(len, 3);
	assert_memory_equal(entry, "abc", 3);
	assert_int_equal(tlog_bundle_next(&reader, &entry, &len), RC_OK);
	assert_int_equal(len, 0);
	assert_int_equal(tlog_bundle_next(&reader, &entry, &len), RC_OK);
	assert_int_equal(len, TLOG_MAX_ENTRY);
	assert_int_equal(tlog_bundle_next(&reader, &entry, &len), RC_NOTFOUND);
	for (size_t cut = 1; cut < 5; cut++) {
		reader_init(&reader, bundle.data, cut);
		assert_int_equal(tlog_bundle_next(&reader, &entry, &len), RC_TRUNCATED);
	}
	buffer_deinit(&bundle);
	free(large);
}

/* C2SP tlog-cosignature against the golden vector, and every bit of it that can be wrong. */
static void test_cosignature(void **state)
{
	const json_t *w = json_object_get(vectors, "witness");
	const char *name = json_string_value(json_object_get(w, "name"));
	const char *signature = json_string_value(json_object_get(w, "cosignature_b64"));
	/* The public half of the vector's seed. */
	static const char public_hex[] = "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12";
	uint8_t public_key[32];
	char text[TLOG_VKEY_CAP];
	struct tlog_vkey vkey, again, log;
	struct tlog_cosignature c;
	struct tlog_checkpoint checkpoint;
	struct buffer note, message, line;
	assert_int_equal(hex_decode(public_hex, strlen(public_hex), public_key, sizeof public_key), RC_OK);
	assert_int_equal(tlog_witness_make(name, public_key, &vkey), RC_OK);
	assert_int_equal(tlog_witness_format(name, public_key, text, sizeof text), RC_OK);
	assert_int_equal(tlog_witness_parse(text, &again), RC_OK);
	assert_memory_equal(&vkey, &again, sizeof vkey);
	/* A log's key is no witness's, and the other way round. */
	assert_int_equal(tlog_vkey_parse(text, &again), RC_MALFORMED);
	assert_int_equal(tlog_witness_parse(vector_text("vkey"), &again), RC_MALFORMED);

	buffer_init(&note);
	buffer_init(&message);
	buffer_init(&line);
	buffer_printf(&note, "%s\xe2\x80\x94 %s %s\n", vector_text("checkpoint"), name, signature);
	assert_int_equal(tlog_cosignature_verify((char *)note.data, note.len, &vkey, &c), RC_OK);
	assert_int_equal(c.time, json_integer_value(json_object_get(w, "time")));
	assert_int_equal(tlog_vkey_parse(vector_text("vkey"), &log), RC_OK);
	assert_int_equal(tlog_checkpoint_verify((char *)note.data, note.len, &log, &checkpoint), RC_OK);
	tlog_cosign_message(&checkpoint, c.time, &message);
	assert_int_equal(tlog_ed25519_verify(public_key, message.data, message.len, c.signature), RC_OK);
	tlog_cosignature_line(&vkey, &c, &line);
	assert_memory_equal(line.data, note.data + note.len - line.len, line.len);
	uint8_t own[64];
	assert_int_equal(tlog_note_signature((char *)note.data, note.len, &log, own), RC_OK);
	assert_int_equal(tlog_note_signature((char *)note.data, note.len, &vkey, own), RC_NOTFOUND);

	const char *plain = vector_text("checkpoint");
	assert_int_equal(tlog_cosignature_verify(plain, strlen(plain), &vkey, &c), RC_NOTFOUND);
	for (size_t i = 0; i < note.len; i++) {
		uint8_t good = note.data[i];
		note.data[i] = (uint8_t)(good == 'A' ? 'B' : 'A');
		enum rc rc = tlog_cosignature_verify((char *)note.data, note.len, &vkey, &c);
		/* The log's own signature line is no part of what a witness signs. */
		bool in_own_line = i >= strlen(plain) - strlen(strstr(plain, "\n\n") + 2) && i < strlen(plain);
		if (in_own_line)
			assert_true(rc == RC_OK || rc == RC_MALFORMED);
		else
			assert_true(rc == RC_DIGEST || rc == RC_MALFORMED || rc == RC_NOTFOUND);
		note.data[i] = good;
	}
	buffer_deinit(&note);
	buffer_deinit(&message);
	buffer_deinit(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inclusion_of_all_sizes),
		cmocka_unit_test(test_consistency_of_all_sizes),
		cmocka_unit_test(test_stack_equals_definition),
		cmocka_unit_test(test_hostile_sizes),
		cmocka_unit_test(test_golden_hashes),
		cmocka_unit_test(test_golden_proofs),
		cmocka_unit_test(test_vkey),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_checkpoint_golden),
		cmocka_unit_test(test_checkpoint_tampering),
		cmocka_unit_test(test_other_signatures),
		cmocka_unit_test(test_checkpoint_form),
		cmocka_unit_test(test_proof_file),
		cmocka_unit_test(test_proof_file_form),
		cmocka_unit_test(test_tile_paths),
		cmocka_unit_test(test_bundles),
		cmocka_unit_test(test_cosignature),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
