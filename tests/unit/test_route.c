/* libs: tc_proto */
/* Routes, roles and certificate names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "proto/route.h"

static void test_routes(void **state)
{
	enum request_type type;
	char argument[ROUTE_ARGUMENT_CAP], long_path[400] = "/v1/tables/";

	assert_int_equal(route_match("POST", "/v1/batches", &type, argument), RC_OK);
	assert_int_equal(type, REQUEST_BATCH_PUT);
	assert_string_equal(argument, "");
	assert_int_equal(route_match("GET", "/v1/batches/abc", &type, argument), RC_OK);
	assert_int_equal(type, REQUEST_BATCH_STATUS);
	assert_string_equal(argument, "abc");
	assert_int_equal(route_match("GET", "/audit/tile/0/x001/067", &type, argument), RC_OK);
	assert_string_equal(argument, "0/x001/067");
	assert_int_equal(route_match("GET", "/v1/batches/a/b", &type, argument), RC_NOTFOUND);
	assert_int_equal(route_match("GET", "/v1/batches/", &type, argument), RC_NOTFOUND);
	assert_int_equal(route_match("GET", "/v1/batches", &type, argument), RC_METHOD);
	assert_int_equal(route_match("DELETE", "/healthz", &type, argument), RC_METHOD);
	assert_int_equal(route_match("GET", "/v1/records", &type, argument), RC_NOTFOUND);
	assert_int_equal(route_match("GET", "/HEALTHZ", &type, argument), RC_NOTFOUND);
	memset(long_path + 11, 'a', 380);
	assert_int_equal(route_match("GET", long_path, &type, argument), RC_TOO_LARGE);
}

static void test_every_route_has_a_role(void **state)
{
	for (int i = 0; i < REQUEST_TYPE_COUNT; i++) {
		const struct route *route = route_get((enum request_type)i);
		assert_int_equal(route->type, i);
		assert_true(route->roles != 0);
		assert_int_equal(route->roles & ~(unsigned)ROLE_ANY, 0);
		assert_int_equal(route->has_body, strcmp(route->method, "POST") == 0);
	}
	assert_null(route_get(REQUEST_TYPE_COUNT));
}

static void test_role_sets(void **state)
{
	assert_int_equal(role_check_set(ROLE_SUBMITTER | ROLE_ANALYST), RC_OK);
	assert_int_equal(role_check_set(ROLE_SUBMITTER | ROLE_OPERATOR), RC_OK);
	assert_int_equal(role_check_set(ROLE_OPERATOR | ROLE_ANALYST), RC_ROLE_PAIR);
	assert_int_equal(role_check_set(ROLE_OPERATOR | ROLE_AUDITOR), RC_ROLE_PAIR);
	assert_int_equal(role_check_set(ROLE_SUBMITTER | ROLE_AUDITOR), RC_ROLE_PAIR);
	assert_int_equal(role_check_set(ROLE_ANY), RC_ROLE_PAIR);
	assert_int_equal(role_check_set(0), RC_FORBIDDEN);
	assert_int_equal(role_check_set(1 << 7), RC_FORBIDDEN);
	assert_int_equal(role_parse("analyst"), ROLE_ANALYST);
	assert_int_equal(role_parse("Analyst"), 0);
	assert_string_equal(role_name(ROLE_AUDITOR), "auditor");
}

static enum rc identify(const char *const *uris, size_t n, struct identity *ret)
{
	static const uint8_t fingerprint[32] = {5};
	return identity_from_uris(uris, n, fingerprint, ret, NULL);
}

#define IDENTIFY(ret, ...) identify((const char *const[]){__VA_ARGS__}, \
	sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), ret)

static void test_identities(void **state)
{
	struct identity id = {.client = "untouched"};

	assert_int_equal(IDENTIFY(&id, "urn:throughcare:client:a", "urn:throughcare:role:god"), RC_FORBIDDEN);
	assert_int_equal(IDENTIFY(&id, "urn:throughcare:client:a"), RC_FORBIDDEN);
	assert_int_equal(IDENTIFY(&id, "urn:throughcare:role:analyst"), RC_INVALID);
	assert_int_equal(IDENTIFY(&id, "urn:throughcare:client:a", "urn:throughcare:client:b", "urn:throughcare:role:analyst"),
	                 RC_INVALID);
	assert_int_equal(IDENTIFY(&id, "urn:throughcare:client:a", "urn:throughcare:role:submitter"), RC_INVALID);
	assert_int_equal(IDENTIFY(&id, "urn:throughcare:client:a", "urn:throughcare:role:analyst",
	                          "urn:throughcare:source:prison"), RC_INVALID);
	assert_int_equal(IDENTIFY(&id, "urn:throughcare:client:a b", "urn:throughcare:role:analyst"), RC_INVALID);
	assert_int_equal(IDENTIFY(&id, "urn:throughcare:client:a", "urn:throughcare:rolle:analyst"), RC_INVALID);
	assert_int_equal(IDENTIFY(&id, "urn:throughcare:client:a", "urn:throughcare:role:operator",
	                          "urn:throughcare:role:auditor"), RC_ROLE_PAIR);
	assert_string_equal(id.client, "untouched");
	assert_int_equal(IDENTIFY(&id, "https://example.org/", "urn:throughcare:client:prison-1", "urn:throughcare:role:submitter",
	                          "urn:throughcare:role:analyst", "urn:throughcare:source:prison"), RC_OK);
	assert_string_equal(id.client, "prison-1");
	assert_string_equal(id.source, "prison");
	assert_int_equal(id.roles, ROLE_SUBMITTER | ROLE_ANALYST);
	assert_int_equal(id.fingerprint[0], 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_every_route_has_a_role),
		cmocka_unit_test(test_role_sets),
		cmocka_unit_test(test_identities),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
