/* The route table: path, method, role and request type in one place, for front, core, tools and documentation.
 * There is no request for a record, a pair, a score, a cluster or a true count; none can be added elsewhere. */
#ifndef PROTO_ROUTE_H
#define PROTO_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/rc.h"

enum role {
	ROLE_SUBMITTER = 1 << 0,
	ROLE_ANALYST = 1 << 1,
	ROLE_AUDITOR = 1 << 2,
	ROLE_OPERATOR = 1 << 3,
	ROLE_ANY = ROLE_SUBMITTER | ROLE_ANALYST | ROLE_AUDITOR | ROLE_OPERATOR,
};

/*      request type             method  path                     roles                            body */
#define ROUTE_TABLE(X) \
	X(REQUEST_BATCH_PUT,      "POST", "/v1/batches",           ROLE_SUBMITTER,                  true) \
	X(REQUEST_BATCH_STATUS,   "GET",  "/v1/batches/{}",        ROLE_SUBMITTER,                  false) \
	X(REQUEST_WITHDRAWAL,     "POST", "/v1/withdrawals",       ROLE_SUBMITTER,                  true) \
	X(REQUEST_STUDY,          "GET",  "/v1/study",             ROLE_ANY,                        false) \
	X(REQUEST_TABLES,         "GET",  "/v1/tables",            ROLE_ANALYST,                    false) \
	X(REQUEST_TABLE,          "GET",  "/v1/tables/{}",         ROLE_ANALYST,                    false) \
	X(REQUEST_CHECKPOINT,     "GET",  "/audit/checkpoint",     ROLE_AUDITOR | ROLE_SUBMITTER,   false) \
	X(REQUEST_TILE,           "GET",  "/audit/tile/{*}",       ROLE_AUDITOR,                    false) \
	X(REQUEST_RELEASE_BODY,   "GET",  "/audit/release/{}",     ROLE_AUDITOR,                    false) \
	X(REQUEST_PROOF,          "GET",  "/audit/proof/{}",       ROLE_AUDITOR | ROLE_SUBMITTER,   false) \
	X(REQUEST_CONSISTENCY,    "GET",  "/audit/consistency/{}", ROLE_AUDITOR | ROLE_SUBMITTER,   false) \
	X(REQUEST_LOG_KEYS,       "GET",  "/audit/keys",           ROLE_AUDITOR | ROLE_SUBMITTER,   false) \
	X(REQUEST_COSIGNED,       "GET",  "/audit/cosigned",       ROLE_AUDITOR | ROLE_SUBMITTER,   false) \
	X(REQUEST_COSIGN,         "POST", "/audit/cosignatures",   ROLE_AUDITOR,                    true) \
	X(REQUEST_PUBLISH,        "POST", "/v1/releases",          ROLE_OPERATOR,                   true) \
	X(REQUEST_KEYS,           "POST", "/v1/keys",              ROLE_OPERATOR,                   true) \
	X(REQUEST_BACKUP,         "POST", "/v1/backups",           ROLE_OPERATOR,                   true) \
	X(REQUEST_PURGE,          "POST", "/v1/purges",            ROLE_OPERATOR,                   true) \
	X(REQUEST_STATUS,         "GET",  "/v1/status",            ROLE_OPERATOR,                   false) \
	X(REQUEST_METRICS,        "GET",  "/metrics",              ROLE_OPERATOR,                   false) \
	X(REQUEST_HEALTH,         "GET",  "/healthz",              ROLE_ANY,                        false)

enum request_type {
#define ROUTE_ENUM(type, method, path, roles, body) type,
	ROUTE_TABLE(ROUTE_ENUM)
#undef ROUTE_ENUM
	REQUEST_TYPE_COUNT
};

struct route {
	enum request_type type;
	const char *method, *path;
	unsigned roles;
	bool has_body;
};

enum { ROUTE_ARGUMENT_CAP = 256 };

const struct route *route_get(enum request_type type);
/* Match method and decoded path (no query part). "{}" matches one segment, "{*}" the rest; what it matched is copied to
 * ret_argument. Errors: NOTFOUND, METHOD (the path exists with another method), TOO_LARGE. */
enum rc route_match(const char *method, const char *path, enum request_type *ret_type,
                    char ret_argument[ROUTE_ARGUMENT_CAP]) MUST_CHECK;

/* "submitter", … ; 0 = unknown. */
unsigned role_parse(const char *name);
const char *role_name(enum role role);
/* operator with analyst or auditor, and submitter with auditor, are refused (docs/threat-model.md says why).
 * Errors: ROLE_PAIR, FORBIDDEN (no role at all). */
enum rc role_check_set(unsigned roles) MUST_CHECK;

/* Who a certificate says it is: SAN URIs urn:throughcare:role:R (one or more), urn:throughcare:source:S (submitters,
 * exactly one), urn:throughcare:client:C (exactly one, an opaque client name). */
struct identity {
	char client[64];
	unsigned roles;
	char source[64];               /* "" where not a submitter */
	uint8_t fingerprint[32];       /* SHA-256 of the certificate (DER) */
};
/* Letters, digits and . _ -: what client and source names are made of. */
bool identity_name_is_valid(const char *name);
/* Does any of these URIs say something about Throughcare? */
bool identity_is_named(const char *const *uris, size_t n);
/* Build an identity from the URI texts of a certificate. Unknown urn:throughcare: URIs are refused.
 * Errors: FORBIDDEN, ROLE_PAIR, INVALID. */
enum rc identity_from_uris(const char *const *uris, size_t n, const uint8_t fingerprint[32], struct identity *ret,
                           struct diag *diag) MUST_CHECK;

#endif
