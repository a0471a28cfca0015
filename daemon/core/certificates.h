/* What the log says of certificates: which rules of the access file are in force, which certificates are revoked. Part
 * of the log's summary (history.h), so that a change is logged once however often the daemon starts. Not locked. */
#ifndef DAEMON_CORE_CERTIFICATES_H
#define DAEMON_CORE_CERTIFICATES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/access.h"
#include "proto/rc.h"

/* A rule of the access file, as it was last logged. */
struct certificate_rule {
	uint8_t key[32];          /* access_rule.fingerprint */
	uint8_t digest[32];       /* of what the rule says */
	char oid[ACCESS_OID_CAP]; /* "" = about a certificate */
};

struct certificates {
	struct certificate_rule *rules; /* ascending by key */
	size_t n_rules;
	uint8_t (*revoked)[32]; /* hash table of n_slots digests; all zero = free */
	size_t n_revoked, n_slots;
};

void certificates_init(struct certificates *certificates);
void certificates_deinit(struct certificates *certificates);
/* Take in a `certificate` entry. Errors: DAMAGED, NOMEM. */
enum rc certificates_replay(struct certificates *certificates, const json_t *fields) MUST_CHECK;

/* NULL = no rule with this key is in force. */
const struct certificate_rule *certificates_find(const struct certificates *certificates, const uint8_t key[32]);
/* What of a rule's entry makes up its digest: all that access_rule_json() says. Errors: NOMEM, INVALID. */
enum rc certificates_rule_digest(const json_t *fields, uint8_t ret[32]) MUST_CHECK;
bool certificates_is_revoked(const struct certificates *certificates, const uint8_t authority[32], const void *serial,
			     size_t len);

#endif
