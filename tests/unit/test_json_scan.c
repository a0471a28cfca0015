/* libs: tc_proto */
/* labels: quick */
/* Canonical JSON looked at where it stands, against the parser and the writer: every text that differs from a canonical
 * one by one byte, and what the rules of the form are about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "proto/entry.h"
#include "proto/json.h"
#include "proto/json_scan.h"
#include "tests/canonical.h"

static const char *const texts[] = {
	"{}",
	"[]",
	"[[],{}]",
	"{\"a\":1}",
	"[0,-1,10,-9223372036854775808,9223372036854775807,true,false,null]",
	"{\"\":0,\"A\":1,\"a\":2,\"a\\u0001\":3,\"a "
	"\":4,\"aa\":5,\"\xc3\xa9\":6,\"\xe2\x82\xac\":7,\"\xf0\x9f\x99\x82\":8}",
	"[\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000x\",\"\\u001f\x7f\"]",
	"[\"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\"]",
	"{\"fp\":\"00\",\"kind\":\"x\",\"t\":\"2026-01-01T00:00:00Z\",\"v\":1,\"who\":{\"client\":\"c\",\"role\":"
	"\"auditor\"}}",
};

static void test_texts(void **state)
{
	static const char *const wrong[] = {
		"",
		"1",
		"\"a\"",
		"null",
		"[1.0]",
		"[1e2]",
		"[-0]",
		"[00]",
		"[+1]",
		"[-]",
		"[9223372036854775808]",
		"[-9223372036854775809]",
		"[99999999999999999999999]",
		"[1,]",
		"[,1]",
		"[1 ]",
		" [1]",
		"[1]\n",
		"{\"a\":1,}",
		"{\"b\":1,\"a\":2}",
		"{\"a\":1,\"a\":2}",
		"{\"a\\u0041\":1}",
		"[\"\\/\"]",
		"[\"\\u000A\"]",
		"[\"\\u0008\"]",
		"[\"\\u001F\"]",
		"[\"\\u0020\"]",
		"[\"\\u00e9\"]",
		"[\"\x01\"]",
		"[\"\xff\"]",
		"[\"\xc0\x80\"]",
		"[\"\xed\xa0\x80\"]",
		"[\"\xe0\x80\x80\"]",
		"[\"\xf0\x80\x80\x80\"]",
		"[\"\xf4\x90\x80\x80\"]",
		"[\"\xc3\"]",
		"[\"a]",
		"[true,fals]",
		"{1:2}",
		"{\"a\"}",
		"[tru",
		"[\"\\x\"]",
		"[\"\\u00\"]",
		"{\"a\\n\":1,\"a\\t\":2}",
	};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		assert_int_equal(json_scan(texts[i], strlen(texts[i]), NULL, NULL),
				 is_canonical(texts[i], strlen(texts[i])));
	assert_true(json_scan(texts[5], strlen(texts[5]), NULL, NULL) &&
		    json_scan(texts[7], strlen(texts[7]), NULL, NULL));
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		assert_false(is_canonical(wrong[i], strlen(wrong[i])));
		assert_false(json_scan(wrong[i], strlen(wrong[i]), NULL, NULL));
	}
	assert_false(json_scan("[1]\0", 4, NULL, NULL));
	assert_false(json_scan("[1\0]", 4, NULL, NULL));
}

/* Each byte of each text as every other byte, and left out. */
static void test_one_byte(void **state)
{
	char text[256];
	int n_canonical = 0;

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		size_t len = strlen(texts[i]);
		memcpy(text, texts[i], len);
		for (size_t at = 0; at < len; at++) {
			for (int v = 0; v < 256; v++) {
				text[at] = (char)v;
				bool is = is_canonical(text, len);
				assert_int_equal(json_scan(text, len, NULL, NULL), is);
				n_canonical += is;
			}
			memmove(text + at, texts[i] + at + 1, len - at - 1);
			assert_int_equal(json_scan(text, len - 1, NULL, NULL), is_canonical(text, len - 1));
			memcpy(text + at, texts[i] + at, len - at);
		}
	}
	assert_true(n_canonical > 1000);
}

static void test_depth(void **state)
{
	char text[80];

	for (size_t depth = 30; depth < 36; depth++) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		assert_int_equal(json_scan(text, 2 * depth, NULL, NULL), depth <= 32);
		assert_int_equal(is_canonical(text, 2 * depth), depth <= 32);
	}
}

static void check_entry(const char *text, size_t len)
{
	enum entry_kind kind = ENTRY_KIND_COUNT, skimmed = ENTRY_KIND_COUNT;
	int64_t t = -1, at = -1;
	json_t *fields = NULL;

	enum rc rc = entry_parse(text, len, &kind, &t, &fields, NULL);
	assert_int_equal(entry_skim(text, len, &skimmed, &at) == RC_OK, rc == RC_OK);
	assert_int_equal(kind, skimmed);
	assert_int_equal(t, at);
	json_decref(fields);
}

/* An entry, each of its bytes changed: what is skimmed is what is parsed. */
static void test_entries(void **state)
{
	struct entry_who who = {.client = "ward-\"7\\", .role = "analyst"};
	json_t *fields = json_pack("{s:s, s:{s:i, s:[i]}, s:s}", "route", "/v1/tables", "nested", "kind", 7, "t", 1,
				   "zz", "\xc3\xa9");
	struct buffer text;
	enum entry_kind kind = ENTRY_KIND_COUNT;
	int64_t t = 0;

	buffer_init(&text);
	assert_int_equal(entry_build(ENTRY_REFUSED, 1700000000, &who, fields, &text), RC_OK);
	assert_int_equal(entry_skim((const char *)text.data, text.len, &kind, &t), RC_OK);
	assert_true(kind == ENTRY_REFUSED && t == 1700000000);
	for (size_t at = 0; at < text.len; at++) {
		uint8_t was = text.data[at];
		for (int v = 0; v < 128; v++) {
			text.data[at] = (uint8_t)v;
			check_entry((const char *)text.data, text.len);
		}
		text.data[at] = was;
		check_entry((const char *)text.data, at);
	}
	json_decref(fields);
	buffer_deinit(&text);
}

struct seen {
	int n;
	char last[16];
};

static void on_member(void *ctx, struct json_span key, struct json_span value)
{
	struct seen *seen = ctx;

	seen->n++;
	if (json_span_is(key, "s"))
		assert_true(json_span_string(value, seen->last, sizeof seen->last));
	else
		assert_false(json_span_string(value, seen->last, sizeof seen->last));
}

static void test_members(void **state)
{
	static const char text[] = "{\"a\":{\"s\":1},\"b\":[2],\"s\":\"x\\n\\u0001y\"}";
	struct seen seen = {.n = 0};
	char small[3];

	assert_true(json_scan(text, strlen(text), on_member, &seen));
	assert_int_equal(seen.n, 3);
	assert_string_equal(seen.last, "x\n\x01y");
	assert_false(json_span_string((struct json_span){"\"abc\"", 5}, small, sizeof small));
	assert_true(json_span_string((struct json_span){"\"ab\"", 4}, small, sizeof small));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),   cmocka_unit_test(test_one_byte), cmocka_unit_test(test_depth),
		cmocka_unit_test(test_entries), cmocka_unit_test(test_members),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
