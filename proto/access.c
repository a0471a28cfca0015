/* The access file; access.h has its form. One rule holds above all: nothing in it can give a certificate more than its
 * authority did, where that authority knows our roles; where it does not, nothing is given that the file does not say.
 */
#include "proto/access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/study_internal.h"

enum { FINGERPRINT_DIGITS = 64, CLIENT_DIGITS = 16 };

void access_free(struct access *access)
{
	if (access == NULL)
		return;
	for (size_t i = 0; i < access->n_rules; i++)
		free(access->rules[i].tables);
	for (size_t i = 0; i < access->n_policies; i++)
		free(access->policies[i].tables);
	free(access->rules);
	free(access->policies);
	free(access);
}

/* ---- reading a rule ------------------------------------------------------------------------------------------ */

struct access_reader {
	struct study_reader yaml;
	const struct study *study; /* NULL = names are not looked up */
};

static enum rc read_fingerprint(const struct study_reader *r, const struct yaml_node *node, uint8_t ret[32])
{
	char text[2 * FINGERPRINT_DIGITS], digits[FINGERPRINT_DIGITS + 1];
	size_t n = 0;
	enum rc rc = read_text(r, node, text, sizeof text);

	if (rc != RC_OK)
		return rc;
	for (const char *at = text; *at != '\0'; at++) {
		if (*at == ':' && n % 2 == 0)
			continue;
		if (n < FINGERPRINT_DIGITS)
			digits[n] = *at;
		n++;
	}
	if (n != FINGERPRINT_DIGITS || hex_decode(digits, FINGERPRINT_DIGITS, ret, 32) != RC_OK)
		return READ_ERROR(r, node, "64 hex digits are needed here: the SHA-256 fingerprint of the certificate");
	return RC_OK;
}

static enum rc read_oid(const struct study_reader *r, const struct yaml_node *node, struct access_rule *rule)
{
	enum rc rc = read_text(r, node, rule->oid, sizeof rule->oid);
	const char *oid = rule->oid;

	if (rc != RC_OK)
		return rc;
	size_t len = strlen(oid);
	if (strspn(oid, "0123456789.") != len || oid[0] == '.' || oid[len - 1] == '.' || strstr(oid, "..") != NULL ||
	    strchr(oid, '.') == NULL)
		return READ_ERROR(r, node, "an object identifier is needed here, such as 1.3.6.1.4.1.55555.7.1");
	sha256_labelled("policy", oid, len, rule->fingerprint);
	return RC_OK;
}

static enum rc read_client(const struct study_reader *r, const struct yaml_node *node, char *out, size_t cap)
{
	if (node == NULL)
		return RC_OK;
	enum rc rc = read_text(r, node, out, cap);
	if (rc == RC_OK && !identity_name_is_valid(out))
		rc = READ_ERROR(r, node, "letters, digits and . _ - are allowed here");
	return rc;
}

static enum rc read_roles(const struct study_reader *r, const struct yaml_node *node, struct access_rule *rule)
{
	if (node == NULL)
		return RC_OK;
	enum rc rc = read_sequence(r, node, 0, 4);
	for (const struct yaml_node *item = node->first; rc == RC_OK && item != NULL; item = item->next) {
		char name[16];
		rc = read_text(r, item, name, sizeof name);
		unsigned role = rc == RC_OK ? role_parse(name) : 0;
		if (rc == RC_OK && role == 0)
			rc = READ_ERROR(r, item, "one of submitter, analyst, auditor and operator is needed here");
		else if (rc == RC_OK && (rule->roles & role) != 0)
			rc = READ_ERROR(r, item, "stands twice");
		rule->roles |= role;
	}
	rule->has_roles = true;
	if (rc == RC_OK && rule->roles != 0 && role_check_set(rule->roles) != RC_OK)
		rc = READ_ERROR(r, node,
				"operator with analyst or auditor, and submitter with auditor, may not be joined");
	return rc;
}

static enum rc read_source(const struct access_reader *a, const struct yaml_node *node, struct access_rule *rule)
{
	enum rc rc = node == NULL ? RC_OK : read_client(&a->yaml, node, rule->source, sizeof rule->source);

	if (rc == RC_OK && node != NULL && a->study != NULL && study_find_source(a->study, rule->source) < 0)
		rc = READ_ERROR(&a->yaml, node, "the study has no source of this name");
	return rc;
}

static bool study_has_table(const struct study *study, const char *name)
{
	for (int i = 0; i < study->n_tables; i++) {
		if (strcmp(study->tables[i].name, name) == 0)
			return true;
	}
	return false;
}

static enum rc read_tables(const struct access_reader *a, const struct yaml_node *node, struct access_rule *rule)
{
	if (node == NULL)
		return RC_OK;
	enum rc rc = read_sequence(&a->yaml, node, 0, ACCESS_MAX_TABLES);
	if (rc != RC_OK)
		return rc;
	/* One more, so that "none" is not the NULL of "all". */
	rule->tables = calloc(node->n_children + (size_t)1, sizeof *rule->tables);
	if (rule->tables == NULL)
		return RC_NOMEM;
	for (const struct yaml_node *item = node->first; rc == RC_OK && item != NULL; item = item->next) {
		rc = read_name(&a->yaml, item, rule->tables[rule->n_tables]);
		if (rc == RC_OK && a->study != NULL && !study_has_table(a->study, rule->tables[rule->n_tables]))
			rc = READ_ERROR(&a->yaml, item, "the study has no table of this name");
		rule->n_tables++;
	}
	return rc;
}

static enum rc read_rate(const struct study_reader *r, const struct yaml_node *node, uint32_t *value)
{
	int64_t v = *value;
	enum rc rc = read_integer(r, node, 1, ACCESS_MAX_REQUESTS, &v);

	*value = (uint32_t)v;
	return rc;
}

/* What both sorts of rules have. The rule is zero, but for the limit, which is that of the file. */
static enum rc read_rule(const struct access_reader *a, const struct yaml_node *node, struct access_rule *rule)
{
	enum rc rc = read_client(&a->yaml, yaml_get(node, "client"), rule->client, sizeof rule->client);

	if (rc == RC_OK)
		rc = read_roles(&a->yaml, yaml_get(node, "roles"), rule);
	if (rc == RC_OK)
		rc = read_source(a, yaml_get(node, "source"), rule);
	if (rc == RC_OK)
		rc = read_tables(a, yaml_get(node, "tables"), rule);
	if (rc == RC_OK)
		rc = read_rate(&a->yaml, yaml_get(node, "requests_per_minute"), &rule->requests_per_minute);
	if (rc == RC_OK && rule->has_roles && rule->source[0] != '\0' && (rule->roles & ROLE_SUBMITTER) == 0)
		rc = READ_ERROR(&a->yaml, yaml_get(node, "source"), "only a submitter has a source");
	if (rc == RC_OK && rule->has_roles && rule->tables != NULL && (rule->roles & ROLE_ANALYST) == 0)
		rc = READ_ERROR(&a->yaml, yaml_get(node, "tables"), "only an analyst reads tables");
	return rc;
}

static enum rc read_certificate(const struct access_reader *a, const struct yaml_node *node, struct access_rule *rule)
{
	static const char *const keys[] = {"fingerprint",         "client", "roles", "source", "tables",
					   "requests_per_minute", NULL};
	const struct yaml_node *fingerprint;

	enum rc rc = read_keys(&a->yaml, node, keys);
	if (rc == RC_OK)
		rc = read_required(&a->yaml, node, "fingerprint", &fingerprint);
	if (rc == RC_OK)
		rc = read_fingerprint(&a->yaml, fingerprint, rule->fingerprint);
	return rc == RC_OK ? read_rule(a, node, rule) : rc;
}

static enum rc read_policy(const struct access_reader *a, const struct yaml_node *node, struct access_rule *rule)
{
	static const char *const keys[] = {"oid", "client", "roles", "source", "tables", "requests_per_minute", NULL};
	const struct yaml_node *oid, *unused;

	enum rc rc = read_keys(&a->yaml, node, keys);
	if (rc == RC_OK)
		rc = read_required(&a->yaml, node, "oid", &oid);
	if (rc == RC_OK)
		rc = read_oid(&a->yaml, oid, rule);
	if (rc == RC_OK)
		rc = read_required(&a->yaml, node, "roles", &unused);
	if (rc == RC_OK)
		rc = read_required(&a->yaml, node, "client", &unused);
	if (rc == RC_OK)
		rc = read_rule(a, node, rule);
	if (rc == RC_OK && strlen(rule->client) + 1 + CLIENT_DIGITS >= sizeof rule->client)
		rc = READ_ERROR(&a->yaml, yaml_get(node, "client"), "is too long");
	if (rc == RC_OK && (rule->roles & ROLE_SUBMITTER) != 0 && rule->source[0] == '\0')
		rc = READ_ERROR(&a->yaml, node, "the key source is missing; a submitter needs one");
	return rc;
}

/* ---- reading the file ---------------------------------------------------------------------------------------- */

typedef enum rc (*read_one)(const struct access_reader *a, const struct yaml_node *node, struct access_rule *rule);

static enum rc read_rules(const struct access_reader *a, const struct yaml_node *node, size_t max, uint32_t limit,
			  read_one read, struct access_rule **ret, size_t *ret_n)
{
	if (node == NULL)
		return RC_OK;
	enum rc rc = read_sequence(&a->yaml, node, 0, max);
	if (rc != RC_OK)
		return rc;
	*ret = calloc(node->n_children + (size_t)1, sizeof **ret);
	if (*ret == NULL)
		return RC_NOMEM;
	for (const struct yaml_node *item = node->first; rc == RC_OK && item != NULL; item = item->next) {
		struct access_rule *rule = &(*ret)[(*ret_n)++];
		rule->requests_per_minute = limit;
		rc = read(a, item, rule);
	}
	return rc;
}

static int compare_rules(const void *a, const void *b)
{
	const struct access_rule *x = a, *y = b;

	return memcmp(x->fingerprint, y->fingerprint, sizeof x->fingerprint);
}

static enum rc sort_rules(const struct study_reader *r, const struct yaml_node *node, struct access *access)
{
	if (access->n_rules > 1)
		qsort(access->rules, access->n_rules, sizeof *access->rules, compare_rules);
	for (size_t i = 1; i < access->n_rules; i++) {
		if (compare_rules(&access->rules[i - 1], &access->rules[i]) == 0)
			return READ_ERROR(r, node, "two rules are about the same certificate");
	}
	return RC_OK;
}

static enum rc check_policies(const struct study_reader *r, const struct yaml_node *node, const struct access *access)
{
	for (size_t i = 0; i < access->n_policies; i++) {
		for (size_t k = 0; k < i; k++) {
			if (compare_rules(&access->policies[i], &access->policies[k]) == 0)
				return READ_ERROR(r, node, "two rules are about the same policy");
		}
	}
	return RC_OK;
}

static enum rc read_file(const struct access_reader *a, const struct yaml_node *root, struct access *access)
{
	static const char *const keys[] = {"other_certificates", "requests_per_minute", "certificates", "policies",
					   NULL};
	static const char *const others[] = {"as-certified", "refuse", NULL};
	int refuse = 0;

	enum rc rc = read_keys(&a->yaml, root, keys);
	if (rc == RC_OK)
		rc = read_word(&a->yaml, yaml_get(root, "other_certificates"), others, &refuse);
	access->refuse_others = refuse == 1;
	if (rc == RC_OK)
		rc = read_rate(&a->yaml, yaml_get(root, "requests_per_minute"), &access->requests_per_minute);
	if (rc == RC_OK)
		rc = read_rules(a, yaml_get(root, "certificates"), ACCESS_MAX_RULES, access->requests_per_minute,
				read_certificate, &access->rules, &access->n_rules);
	if (rc == RC_OK)
		rc = sort_rules(&a->yaml, yaml_get(root, "certificates"), access);
	if (rc == RC_OK)
		rc = read_rules(a, yaml_get(root, "policies"), ACCESS_MAX_POLICIES, access->requests_per_minute,
				read_policy, &access->policies, &access->n_policies);
	if (rc == RC_OK)
		rc = check_policies(&a->yaml, yaml_get(root, "policies"), access);
	return rc;
}

enum rc access_parse(const char *name, const char *yaml, size_t len, const struct study *study, struct access **ret,
		     struct diag *diag)
{
	struct yaml_tree *tree = NULL;
	struct access *access = calloc(1, sizeof *access);

	if (access == NULL)
		return RC_NOMEM;
	enum rc rc = yaml_tree_parse(name, yaml, len, &tree, diag);
	if (rc == RC_OK) {
		struct access_reader a = {{tree, diag}, study};
		const struct yaml_node *root = yaml_tree_root(tree);
		rc = root == NULL ? diag_set(diag, RC_INVALID, "%s: is empty", name) : read_file(&a, root, access);
	}
	yaml_tree_free(tree);
	if (rc == RC_OK)
		*ret = access;
	else
		access_free(access);
	return rc;
}

/* ---- granting ------------------------------------------------------------------------------------------------ */

static const struct access_rule *find_certificate(const struct access *access, const uint8_t fingerprint[32])
{
	struct access_rule wanted;

	memcpy(wanted.fingerprint, fingerprint, sizeof wanted.fingerprint);
	return access->n_rules == 0
		       ? NULL
		       : bsearch(&wanted, access->rules, access->n_rules, sizeof *access->rules, compare_rules);
}

const struct access_rule *access_find_rule(const struct access *access, const uint8_t key[32])
{
	const struct access_rule *rule = find_certificate(access, key);

	for (size_t i = 0; rule == NULL && i < access->n_policies; i++) {
		if (memcmp(access->policies[i].fingerprint, key, 32) == 0)
			rule = &access->policies[i];
	}
	return rule;
}

static const struct access_rule *find_rule(const struct access *access, const struct access_claim *claim, bool named)
{
	if (access == NULL)
		return NULL;
	const struct access_rule *rule = find_certificate(access, claim->fingerprint);
	for (size_t i = 0; rule == NULL && !named && i < access->n_policies; i++) {
		for (size_t k = 0; k < claim->n_policies; k++) {
			if (strcmp(access->policies[i].oid, claim->policies[k]) == 0)
				return &access->policies[i];
		}
	}
	return rule;
}

/* A certificate that says what it may do: a rule takes from that, and adds nothing. */
static enum rc narrow(const struct access_rule *rule, struct identity *who, struct diag *diag)
{
	if (rule->client[0] != '\0' && strcmp(rule->client, who->client) != 0)
		return diag_set(diag, RC_FORBIDDEN, "the access file knows the certificate by another client name");
	if (rule->has_roles)
		who->roles &= rule->roles;
	if ((who->roles & ROLE_SUBMITTER) == 0)
		who->source[0] = '\0';
	else if (rule->source[0] != '\0' && strcmp(rule->source, who->source) != 0)
		return diag_set(diag, RC_SOURCE, "the access file binds the certificate to another source");
	return RC_OK;
}

/* A certificate that says nothing of Throughcare: it is what the rule says. */
static enum rc describe(const struct access_rule *rule, struct identity *who, struct diag *diag)
{
	char digits[65];

	if (rule->client[0] == '\0' || !rule->has_roles)
		return diag_set(diag, RC_FORBIDDEN,
				"the certificate has no role of its own, and its rule says no client or no roles");
	who->roles = rule->roles;
	memcpy(who->source, rule->source, sizeof who->source);
	if ((who->roles & ROLE_SUBMITTER) != 0 && who->source[0] == '\0')
		return diag_set(diag, RC_FORBIDDEN, "the certificate's rule says no source");
	if (rule->oid[0] == '\0') {
		memcpy(who->client, rule->client, sizeof who->client);
		return RC_OK;
	}
	hex_encode(who->fingerprint, sizeof who->fingerprint, digits);
	/* It fits: read_policy() saw to that. */
	snprintf(who->client, sizeof who->client, "%.*s-%.*s", (int)(sizeof who->client - 2 - CLIENT_DIGITS),
		 rule->client, CLIENT_DIGITS, digits);
	return RC_OK;
}

enum rc access_grant(const struct access *access, const struct access_claim *claim, struct access_grant *ret,
		     struct diag *diag)
{
	bool named = identity_is_named(claim->uris, claim->n_uris);
	const struct access_rule *rule = find_rule(access, claim, named);
	struct access_grant grant = {.rule = rule};
	enum rc rc = RC_OK;

	memcpy(grant.who.fingerprint, claim->fingerprint, sizeof grant.who.fingerprint);
	if (named || rule == NULL)
		rc = identity_from_uris(claim->uris, claim->n_uris, claim->fingerprint, &grant.who, diag);
	if (rc == RC_OK && rule == NULL && access != NULL && access->refuse_others)
		rc = diag_set(diag, RC_FORBIDDEN, "no rule of the access file is about the certificate");
	if (rc == RC_OK && rule != NULL)
		rc = named ? narrow(rule, &grant.who, diag) : describe(rule, &grant.who, diag);
	if (rc == RC_OK && grant.who.roles == 0)
		rc = diag_set(diag, RC_FORBIDDEN, "the access file leaves the certificate no role");
	grant.requests_per_minute = rule != NULL     ? rule->requests_per_minute
				    : access != NULL ? access->requests_per_minute
						     : 0;
	*ret = grant;
	/* Whatever else is wrong with a certificate that our own authority signed, its holder may do nothing here. */
	return rc == RC_OK || rc == RC_ROLE_PAIR || rc == RC_SOURCE ? rc : RC_FORBIDDEN;
}

bool access_allows_table(const struct access_grant *grant, const char *table)
{
	const struct access_rule *rule = grant->rule;

	if (rule == NULL || rule->tables == NULL)
		return true;
	for (size_t i = 0; i < rule->n_tables; i++) {
		if (strcmp(rule->tables[i], table) == 0)
			return true;
	}
	return false;
}

/* ---- for the log --------------------------------------------------------------------------------------------- */

static bool add_text(json_t *object, const char *key, const char *text)
{
	return text[0] == '\0' || json_object_set_new(object, key, json_string(text)) == 0;
}

static bool add_roles(json_t *object, const struct access_rule *rule)
{
	json_t *roles = json_array();
	bool ok = roles != NULL;

	for (unsigned role = 1; ok && role <= ROLE_OPERATOR; role <<= 1) {
		if ((rule->roles & role) != 0)
			ok = json_array_append_new(roles, json_string(role_name((enum role)role))) == 0;
	}
	if (ok)
		return json_object_set_new(object, "roles", roles) == 0;
	json_decref(roles);
	return false;
}

static bool add_tables(json_t *object, const struct access_rule *rule)
{
	json_t *tables = json_array();
	bool ok = tables != NULL;

	for (size_t i = 0; ok && i < rule->n_tables; i++)
		ok = json_array_append_new(tables, json_string(rule->tables[i])) == 0;
	if (ok)
		return json_object_set_new(object, "tables", tables) == 0;
	json_decref(tables);
	return false;
}

json_t *access_rule_json(const struct access_rule *rule)
{
	char fingerprint[65];
	json_t *object = json_object();

	hex_encode(rule->fingerprint, sizeof rule->fingerprint, fingerprint);
	bool ok = object != NULL && add_text(object, rule->oid[0] != '\0' ? "policy" : "fp",
					     rule->oid[0] != '\0' ? rule->oid : fingerprint);
	ok = ok && add_text(object, "client", rule->client) && add_text(object, "source", rule->source);
	if (ok && rule->has_roles)
		ok = add_roles(object, rule);
	if (ok && rule->tables != NULL)
		ok = add_tables(object, rule);
	if (ok && rule->requests_per_minute != 0)
		ok = json_object_set_new(object, "requests_per_minute", json_integer(rule->requests_per_minute)) == 0;
	if (ok)
		return object;
	json_decref(object);
	return NULL;
}
