/* The access file: what a certificate may do here beyond, or instead of, what it says itself. YAML, for the operator to
 * write; the daemon reads it again while it runs.
 *
 *	other_certificates: as-certified        # or: refuse. Certificates that no rule below is about
 *	requests_per_minute: 600                # of each certificate whose rule says no other number; left out: no
 *limit certificates:
 *	- fingerprint: 64 hex digits            # SHA-256 of the certificate; colons between pairs are allowed
 *	  client: NAME                          # needed where the certificate has no urn:throughcare: names
 *	  roles: [submitter, analyst]           # left out: as certified; []: none, so that it is refused
 *	  source: NAME                          # for submitter
 *	  tables: [NAME, …]                     # for analyst; left out: all
 *	  requests_per_minute: 60
 *	policies:                               # certificates of an authority that knows nothing of Throughcare,
 *	- oid: 1.3.6.1.4.1.55555.7.1            # by a certificate policy
 *	  client: clinic                        # the client is clinic-, and 16 digits of the fingerprint
 *	  roles: [submitter]
 *	  …                                     # source, tables, requests_per_minute as above
 *
 * A rule about the certificate itself goes before one about a policy, the first policy in the file before a later one.
 * A certificate that says itself what it may do (SAN URIs, proto/route.h) is never given more by a rule: roles are what
 * both allow, client and source must agree, and policies are not asked. */
#ifndef PROTO_ACCESS_H
#define PROTO_ACCESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"
#include "proto/route.h"
#include "proto/study.h"

enum {
	ACCESS_MAX_RULES = 4096, /* about certificates */
	ACCESS_MAX_POLICIES = 64,
	ACCESS_MAX_TABLES = STUDY_MAX_TABLES,
	ACCESS_MAX_REQUESTS = 1000000, /* a minute */
	ACCESS_OID_CAP = 64,
	ACCESS_MAX_CLAIMED = 32, /* URIs, and policies, of one certificate */
};

struct access_rule {
	uint8_t fingerprint[32];  /* of a certificate; or SHA-256 of "policy", NUL, OID */
	char oid[ACCESS_OID_CAP]; /* "" = about the certificate */
	char client[64];          /* "" = as certified */
	bool has_roles;           /* false = as certified */
	unsigned roles;
	char source[64];                /* "" = as certified */
	char (*tables)[STUDY_NAME_CAP]; /* owned; NULL = all */
	size_t n_tables;
	uint32_t requests_per_minute; /* 0 = no limit */
};

struct access {
	bool refuse_others;
	uint32_t requests_per_minute; /* 0 = no limit */
	struct access_rule *rules;    /* about certificates, ascending by fingerprint */
	size_t n_rules;
	struct access_rule *policies; /* as in the file */
	size_t n_policies;
};

/* Parse `len` bytes (borrowed). `name` is what errors call the file. With `study`, sources and tables must be in it.
 * Errors: INVALID, TOO_LARGE, NOMEM; diag says line and key. */
enum rc access_parse(const char *name, const char *yaml, size_t len, const struct study *study, struct access **ret,
		     struct diag *diag) MUST_CHECK;
void access_free(struct access *access);

/* The rule about this certificate (by fingerprint) or policy (by the digest of its OID); NULL = none. */
const struct access_rule *access_find_rule(const struct access *access, const uint8_t key[32]);

/* What a certificate of our authority says, as far as it matters here; everything is borrowed. */
struct access_claim {
	uint8_t fingerprint[32];
	const char *uris[ACCESS_MAX_CLAIMED];
	size_t n_uris;
	char policies[ACCESS_MAX_CLAIMED][ACCESS_OID_CAP];
	size_t n_policies;
};

struct access_grant {
	struct identity who;
	const struct access_rule *rule; /* borrowed; NULL = none is about it */
	uint32_t requests_per_minute;   /* 0 = no limit */
};

/* What this certificate may do. `access` NULL: what it says itself. On failure ret->who.fingerprint is set all the
 * same, and where they are known client and roles, so that the refusal can be logged. Errors: FORBIDDEN, ROLE_PAIR,
 * SOURCE. */
enum rc access_grant(const struct access *access, const struct access_claim *claim, struct access_grant *ret,
		     struct diag *diag) MUST_CHECK;
/* May it read this table? */
bool access_allows_table(const struct access_grant *grant, const char *table);

/* A rule as the audit log has it: fp or policy, client, roles, source, tables, requests_per_minute; what is left out is
 * as certified, or has no limit. A new reference; NULL without memory. */
json_t *access_rule_json(const struct access_rule *rule);

#endif
