/* libs: tc_audit_replay tc_proto */
/* A hostile log: an entry bundle replayed by an auditor's rules, and a body under a release that it made. */
#include <stdint.h>
#include <stdlib.h>

#include "tools/audit/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct replay *replay = malloc(sizeof *replay);
	struct reader bundle;
	const uint8_t *entry;
	struct diag diag;
	size_t len;
	enum rc rc = RC_OK;

	if (replay == NULL)
		return 0;
	replay_init(replay, NULL);
	reader_init(&bundle, data, size);
	while (rc == RC_OK && tlog_bundle_next(&bundle, &entry, &len) == RC_OK)
		rc = replay_entry(replay, entry, len, &diag);
	if (rc == RC_OK)
		rc = replay_end(replay, &diag);
	if (rc != RC_OK && rc != RC_PROTOCOL && rc != RC_NOMEM)
		abort();
	/* What a log that kept the rules may not have done. */
	for (size_t i = 0; i < replay->n_releases; i++) {
		const struct replay_release *r = &replay->releases[i];
		if (r->number != i + 1 || r->rho_total_micro > r->rho_limit_micro ||
		    (i + 1 < replay->n_releases && !r->released))
			abort();
		if (replay_check_body(r, data, size, &diag) == RC_OK)
			abort();
	}
	replay_deinit(replay);
	free(replay);
	return 0;
}
