/* The bodies of releases, as an auditor gets them: what the log promised, or an error. */
#ifndef TOOLS_AUDIT_BODY_H
#define TOOLS_AUDIT_BODY_H

#include "proto/bytes.h"
#include "proto/rc.h"
#include "tools/audit/replay.h"
#include "tools/audit_source.h"

/* Fetch a readable release's body by its digest into `body` (emptied first) and check it against its entries.
 * Errors: PROTOCOL (not served, or not what the log says), those of audit_source_get(). */
enum rc audit_body_get(struct audit_source *source, const struct replay_release *release, struct buffer *body,
		       struct diag *diag) MUST_CHECK;

#endif
