/* libs: tc_proto */
/* labels: quick */
/* The access file: what it takes, what it refuses and how it says so, and that no rule gives a certificate more than
 * its authority did. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/access.h"
#include "proto/bytes.h"
#include "proto/json.h"

#define FP_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define FP_B "BB:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb:bb"
#define FP_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static struct access *must_parse(const char *text)
{
	struct access *access = NULL;
	struct diag diag = {""};

	if (access_parse("access.yaml", text, strlen(text), NULL, &access, &diag) != RC_OK)
		fail_msg("%s", diag.text);
	return access;
}

static struct access_claim claim(uint8_t byte, const char *const *uris, size_t n)
{
	struct access_claim c = {.n_uris = n};

	memset(c.fingerprint, byte, sizeof c.fingerprint);
	for (size_t i = 0; i < n; i++)
		c.uris[i] = uris[i];
	return c;
}

static const char *const analyst[] = {"urn:throughcare:role:analyst", "urn:throughcare:client:desk-1"};
static const char *const both[] = {"urn:throughcare:role:analyst", "urn:throughcare:role:submitter",
				   "urn:throughcare:source:treatment", "urn:throughcare:client:clinic-7"};
static const char *const other[] = {"https://example.org/device/4"};

static void test_no_file(void **state)
{
	struct access_grant grant;
	struct access_claim c = claim(0xaa, analyst, 2);

	assert_int_equal(access_grant(NULL, &c, &grant, NULL), RC_OK);
	assert_string_equal(grant.who.client, "desk-1");
	assert_int_equal(grant.who.roles, ROLE_ANALYST);
	assert_int_equal(grant.requests_per_minute, 0);
	assert_true(access_allows_table(&grant, "continuity"));
	c = claim(0xaa, other, 1);
	assert_int_equal(access_grant(NULL, &c, &grant, NULL), RC_FORBIDDEN);
	assert_int_equal(grant.who.fingerprint[0], 0xaa); /* so that the refusal can be logged */
	c = claim(0xaa, NULL, 0);
	assert_int_equal(access_grant(NULL, &c, &grant, NULL), RC_FORBIDDEN);
}

static void test_a_rule_narrows(void **state)
{
	struct access_grant grant;
	struct access *access = must_parse("requests_per_minute: 600\n"
					   "certificates:\n"
					   "- fingerprint: " FP_A "\n"
					   "  roles: [analyst, auditor]\n"
					   "  tables: [continuity]\n"
					   "  requests_per_minute: 30\n"
					   "- fingerprint: " FP_B "\n"
					   "  source: prison\n"
					   "- fingerprint: " FP_C "\n"
					   "  roles: []\n");
	struct access_claim c = claim(0xaa, both, 4);

	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_OK);
	assert_int_equal(grant.who.roles, ROLE_ANALYST); /* auditor is not added */
	assert_string_equal(grant.who.source, "");
	assert_string_equal(grant.who.client, "clinic-7");
	assert_int_equal(grant.requests_per_minute, 30);
	assert_true(access_allows_table(&grant, "continuity"));
	assert_false(access_allows_table(&grant, "mortality"));
	assert_false(access_allows_table(&grant, ""));

	c = claim(0xbb, both, 4); /* bound to another source by its authority */
	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_SOURCE);
	c = claim(0xbb, analyst, 2); /* where it submits nothing the source does not matter */
	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_OK);
	assert_int_equal(grant.requests_per_minute, 600);
	assert_true(access_allows_table(&grant, "mortality"));
	c = claim(0xcc, analyst, 2);
	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_FORBIDDEN);
	c = claim(0x11, analyst, 2); /* no rule is about it */
	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_OK);
	assert_int_equal(grant.requests_per_minute, 600);
	access_free(access);
}

static void test_client_names_must_agree(void **state)
{
	struct access_grant grant;
	struct access *access = must_parse("certificates:\n- fingerprint: " FP_A "\n  client: somebody-else\n");
	struct access_claim c = claim(0xaa, analyst, 2);

	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_FORBIDDEN);
	access_free(access);
}

static void test_others_refused(void **state)
{
	struct access_grant grant;
	struct access *access = must_parse("other_certificates: refuse\ncertificates:\n- fingerprint: " FP_A "\n");
	struct access_claim c = claim(0xaa, analyst, 2);

	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_OK);
	c = claim(0xbb, analyst, 2);
	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_FORBIDDEN);
	assert_string_equal(grant.who.client, "desk-1"); /* known all the same, for the log */
	access_free(access);
}

static void test_policies_of_another_authority(void **state)
{
	struct access_grant grant;
	struct access *access =
		must_parse("policies:\n"
			   "- {oid: 1.3.6.1.4.1.55555.7.1, client: clinic, roles: [submitter], source: treatment}\n"
			   "- {oid: 1.3.6.1.4.1.55555.7.2, client: desk, roles: [analyst], requests_per_minute: 5}\n"
			   "certificates:\n"
			   "- {fingerprint: " FP_A ", client: ward-9, roles: [auditor]}\n"
			   "- {fingerprint: " FP_C ", roles: [auditor]}\n");
	struct access_claim c = claim(0xdd, other, 1);

	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_FORBIDDEN);
	c.n_policies = 2;
	strcpy(c.policies[0], "1.3.6.1.4.1.55555.7.2");
	strcpy(c.policies[1], "1.3.6.1.4.1.55555.7.1");
	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_OK); /* the first of the file */
	assert_int_equal(grant.who.roles, ROLE_SUBMITTER);
	assert_string_equal(grant.who.source, "treatment");
	assert_string_equal(grant.who.client, "clinic-dddddddddddddddd");
	c.n_policies = 1;
	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_OK);
	assert_int_equal(grant.who.roles, ROLE_ANALYST);
	assert_int_equal(grant.requests_per_minute, 5);
	memset(c.fingerprint, 0xaa, sizeof c.fingerprint); /* a rule about itself goes before one about its policy */
	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_OK);
	assert_string_equal(grant.who.client, "ward-9");
	assert_int_equal(grant.who.roles, ROLE_AUDITOR);
	memset(c.fingerprint, 0xcc, sizeof c.fingerprint); /* nobody says what it is called */
	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_FORBIDDEN);

	/* A certificate that says itself what it may do gets nothing from a policy. */
	c = claim(0xdd, analyst, 2);
	c.n_policies = 1;
	strcpy(c.policies[0], "1.3.6.1.4.1.55555.7.1");
	assert_int_equal(access_grant(access, &c, &grant, NULL), RC_OK);
	assert_int_equal(grant.who.roles, ROLE_ANALYST);
	assert_null(grant.rule);
	access_free(access);
}

/* Over every claim and every rule: what is granted is within what the authority said, and is a lawful set of roles. */
static void test_never_more_than_certified(void **state)
{
	static const char *const names[] = {"submitter", "analyst", "auditor", "operator"};
	char text[512], uris[4][40];
	unsigned n_granted = 0;

	for (unsigned certified = 1; certified < 16; certified++) {
		for (unsigned ruled = 0; ruled < 16; ruled++) {
			struct access *access = NULL;
			struct access_grant grant;
			struct access_claim c = claim(0xaa, NULL, 0);
			int len = snprintf(text, sizeof text, "certificates:\n- fingerprint: " FP_A "\n  roles: [");
			const char *comma = "";
			for (unsigned i = 0; i < 4; i++) {
				if ((certified >> i & 1) != 0) {
					snprintf(uris[i], sizeof uris[i], "urn:throughcare:role:%s", names[i]);
					c.uris[c.n_uris++] = uris[i];
				}
				if ((ruled >> i & 1) != 0) {
					len += snprintf(text + len, sizeof text - (size_t)len, "%s%s", comma, names[i]);
					comma = ", ";
				}
			}
			snprintf(text + len, sizeof text - (size_t)len, "]\n");
			c.uris[c.n_uris++] = "urn:throughcare:client:x";
			if ((certified & ROLE_SUBMITTER) != 0)
				c.uris[c.n_uris++] = "urn:throughcare:source:prison";
			enum rc rc = access_parse("a", text, strlen(text), NULL, &access, NULL);
			assert_int_equal(rc, ruled == 0 || role_check_set(ruled) == RC_OK ? RC_OK : RC_INVALID);
			if (rc != RC_OK)
				continue;
			rc = access_grant(access, &c, &grant, NULL);
			if (rc == RC_OK) {
				n_granted++;
				assert_int_equal(grant.who.roles & ~certified, 0);
				assert_int_equal(grant.who.roles & ~ruled, 0);
				assert_int_equal(role_check_set(grant.who.roles), RC_OK);
				assert_int_equal((grant.who.roles & ROLE_SUBMITTER) != 0, grant.who.source[0] != '\0');
			} else {
				assert_true((certified & ruled) == 0 || role_check_set(certified) != RC_OK);
			}
			access_free(access);
		}
	}
	assert_true(n_granted > 20);
}

static void test_mistakes_are_named(void **state)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
		{"certificate:\n", "did you mean certificates"},
		{"", "is empty"},
		{"[]", "mapping"},
		{"other_certificates: maybe\n", "as-certified, refuse"},
		{"requests_per_minute: 0\n", "0 is below 1"},
		{"requests_per_minute: 1000001\n", "above"},
		{"certificates:\n- roles: [analyst]\n", "fingerprint is missing"},
		{"certificates:\n- fingerprint: 00ff\n", "access.yaml:2: certificates[0].fingerprint: 64 hex digits"},
		{"certificates:\n- fingerprint: " FP_A "a\n", "64 hex digits"},
		{"certificates:\n- {fingerprint: " FP_A "}\n- {fingerprint: " FP_A "}\n", "the same certificate"},
		{"certificates:\n- {fingerprint: " FP_A ", roles: [boss]}\n",
		 "submitter, analyst, auditor and operator"},
		{"certificates:\n- {fingerprint: " FP_A ", roles: [auditor, auditor]}\n", "stands twice"},
		{"certificates:\n- {fingerprint: " FP_A ", roles: [operator, auditor]}\n", "may not be joined"},
		{"certificates:\n- {fingerprint: " FP_A ", roles: [analyst], source: prison}\n", "only a submitter"},
		{"certificates:\n- {fingerprint: " FP_A ", roles: [auditor], tables: [x]}\n", "only an analyst"},
		{"certificates:\n- {fingerprint: " FP_A ", client: \"Ann Smith\"}\n", "letters, digits"},
		{"certificates:\n- {fingerprint: " FP_A ", tables: [\"NO\"]}\n", "a name is needed"},
		{"certificates:\n- {fingerprint: " FP_A ", oid: 1.2.3}\n", "unknown key"},
		{"policies:\n- {oid: 1.2.3, roles: [analyst]}\n", "client is missing"},
		{"policies:\n- {oid: 1.2.3, client: a}\n", "roles is missing"},
		{"policies:\n- {oid: 1..3, client: a, roles: [analyst]}\n", "object identifier"},
		{"policies:\n- {oid: 1.2.3, client: a, roles: [submitter]}\n", "source is missing"},
		{"policies:\n- {oid: 1.2.3, client: a, roles: [analyst]}\n- {oid: 1.2.3, client: b, roles: "
		 "[auditor]}\n",
		 "the same policy"},
		{"policies:\n- {oid: 1.2.3, client: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, roles: "
		 "[analyst]}\n",
		 "too long"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct access *access = NULL;
		struct diag diag = {""};
		enum rc rc = access_parse("access.yaml", cases[i].text, strlen(cases[i].text), NULL, &access, &diag);
		if (rc == RC_OK || access != NULL || strstr(diag.text, cases[i].said) == NULL)
			fail_msg("%s: %s: '%s'", cases[i].text, rc_name(rc), diag.text);
	}
}

static void test_for_the_log(void **state)
{
	struct access *access =
		must_parse("certificates:\n- {fingerprint: " FP_A ", client: c, roles: [submitter, analyst],"
			   " source: s, tables: [t], requests_per_minute: 9}\n"
			   "- {fingerprint: " FP_C "}\n"
			   "policies:\n- {oid: 1.2.3, client: p, roles: []}\n");
	static const char *const want[] = {
		"{\"client\":\"c\",\"fp\":\"" FP_A "\",\"requests_per_minute\":9,\"roles\":[\"submitter\",\"analyst\"],"
		"\"source\":\"s\",\"tables\":[\"t\"]}",
		"{\"fp\":\"" FP_C "\"}",
		"{\"client\":\"p\",\"policy\":\"1.2.3\",\"roles\":[]}",
	};
	const struct access_rule *rules[] = {&access->rules[0], &access->rules[1], &access->policies[0]};
	for (size_t i = 0; i < 3; i++) {
		struct buffer b;
		buffer_init(&b);
		json_t *fields = access_rule_json(rules[i]);
		assert_int_equal(json_canonical(fields, &b), RC_OK);
		buffer_append(&b, "", 1);
		assert_string_equal((char *)b.data, want[i]);
		assert_ptr_equal(access_find_rule(access, rules[i]->fingerprint), rules[i]);
		json_decref(fields);
		buffer_deinit(&b);
	}
	access_free(access);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_a_rule_narrows),
		cmocka_unit_test(test_client_names_must_agree),
		cmocka_unit_test(test_others_refused),
		cmocka_unit_test(test_policies_of_another_authority),
		cmocka_unit_test(test_never_more_than_certified),
		cmocka_unit_test(test_mistakes_are_named),
		cmocka_unit_test(test_for_the_log),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
