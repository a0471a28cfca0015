/* libs: tc_proto */
/* The access file, and what it grants to a few certificates: never a role that one did not bring, where it brought any.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const analyst[] = {"urn:throughcare:role:analyst", "urn:throughcare:client:a"};
	struct access *access = NULL;
	struct access_grant grant;
	struct diag diag;

	if (access_parse("access.yaml", (const char *)data, size, NULL, &access, &diag) != RC_OK)
		return 0;
	for (size_t i = 0; i < access->n_rules + 1; i++) {
		struct access_claim claim = {.n_uris = 0};
		if (i < access->n_rules)
			memcpy(claim.fingerprint, access->rules[i].fingerprint, sizeof claim.fingerprint);
		if (access->n_policies > 0)
			strcpy(claim.policies[claim.n_policies++], access->policies[0].oid);
		if (access_grant(access, &claim, &grant, &diag) == RC_OK &&
		    (role_check_set(grant.who.roles) != RC_OK || grant.who.client[0] == '\0'))
			abort();
		claim.uris[0] = analyst[0];
		claim.uris[1] = analyst[1];
		claim.n_uris = 2;
		if (access_grant(access, &claim, &grant, &diag) == RC_OK && grant.who.roles != ROLE_ANALYST)
			abort();
		if (i < access->n_rules)
			json_decref(access_rule_json(&access->rules[i]));
	}
	access_free(access);
	return 0;
}
