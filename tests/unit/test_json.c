/* libs: tc_proto */
/* Canonical JSON: one text a value, whatever the spelling; hostile text is refused without quoting it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "proto/json.h"

static void assert_canonical(const char *text, const char *expected)
{
	struct buffer out;
	json_t *value = NULL;

	buffer_init(&out);
	assert_int_equal(json_parse_strict(text, strlen(text), &value, NULL), RC_OK);
	assert_int_equal(json_canonical(value, &out), RC_OK);
	assert_int_equal(out.len, strlen(expected));
	assert_memory_equal(out.data, expected, out.len);
	json_decref(value);
	buffer_deinit(&out);
}

static void test_canonical(void **state)
{
	assert_canonical("{ \"b\" : 1, \"a\" : [ true , null, -7 ] }", "{\"a\":[true,null,-7],\"b\":1}");
	assert_canonical("{\"\\u00e9\":1,\"z\":2,\"\":3}", "{\"\":3,\"z\":2,\"\xc3\xa9\":1}");
	assert_canonical("[\"\\u0001\\n\\\"\\\\\\/\"]", "[\"\\u0001\\n\\\"\\\\/\"]");
	assert_canonical("[9007199254740993]", "[9007199254740993]");
}

static void test_reals_are_refused(void **state)
{
	struct buffer out;
	json_t *value = NULL;

	buffer_init(&out);
	buffer_append(&out, "x", 1);
	assert_int_equal(json_parse_strict("{\"a\":[1.5]}", 11, &value, NULL), RC_OK);
	assert_int_equal(json_canonical(value, &out), RC_INVALID);
	assert_int_equal(out.len, 1);             /* nothing of it was left behind */
	json_decref(value);
	buffer_deinit(&out);
}

static void test_hostile_text(void **state)
{
	static const char *const bad[] = {"", "{", "{\"a\":1,\"a\":2}", "[1] x", "{\"secret\" 1}", "[\"\xff\"]", "nul", "[01]"};
	char deep[100];
	json_t *value = NULL;
	struct diag diag;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_int_equal(json_parse_strict(bad[i], strlen(bad[i]), &value, &diag), RC_MALFORMED);
		assert_null(strstr(diag.text, "secret"));
		assert_non_null(strstr(diag.text, "line"));
	}
	memset(deep, '[', 50);
	memset(deep + 50, ']', 50);
	assert_int_equal(json_parse_strict(deep, 100, &value, &diag), RC_MALFORMED);
	assert_non_null(strstr(diag.text, "deeper"));
	assert_null(value);
}

static void test_digest_is_of_the_value(void **state)
{
	json_t *a = json_loads("{\"x\":1,\"y\":\"\\u0061\"}", 0, NULL), *b = json_loads(" {\"y\":\"a\", \"x\":1}", 0, NULL);
	uint8_t da[32], db[32];

	assert_int_equal(json_digest("label", a, da), RC_OK);
	assert_int_equal(json_digest("label", b, db), RC_OK);
	assert_memory_equal(da, db, 32);
	assert_int_equal(json_digest("other", b, db), RC_OK);
	assert_memory_not_equal(da, db, 32);
	json_decref(a);
	json_decref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_reals_are_refused),
		cmocka_unit_test(test_hostile_text),
		cmocka_unit_test(test_digest_is_of_the_value),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
