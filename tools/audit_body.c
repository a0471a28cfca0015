/* Content-addressed: a body is fetched by the digest that the log has. */
#include "tools/audit_body.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_BODY = 256 << 20 };

enum rc audit_body_get(struct audit_source *source, const struct replay_release *release, struct buffer *body,
		       struct diag *diag)
{
	char path[128], hex[65];

	hex_encode(release->digest, sizeof release->digest, hex);
	snprintf(path, sizeof path, "/audit/release/%s", hex);
	buffer_reset(body);
	enum rc rc = audit_source_get(source, path, "application/json", MAX_BODY, body, diag);
	if (rc == RC_NOTFOUND)
		rc = diag_set(diag, RC_PROTOCOL, "release %" PRIu64 " is in the log, but its body is not served",
			      release->number);
	return rc == RC_OK ? replay_check_body(release, body->data, body->len, diag) : rc;
}
