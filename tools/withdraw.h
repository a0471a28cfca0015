/* throughcare push --withdraw: have records erased at the linkage unit. */
#ifndef TOOLS_WITHDRAW_H
#define TOOLS_WITHDRAW_H

#include "tools/https.h"
#include "tools/patience.h"

struct withdraw_job {
	struct https_options https_options;
	struct patience patience;
	const char *ids_path, *record_key_path;
};

/* Read the custodian's record numbers, one a line, hide them as `throughcare encode` does, and have them erased, a
 * thousand a request. Prints what was done. Errors: USAGE, KEY, IO, INVALID, and the server's. */
enum rc withdraw_run(const struct withdraw_job *job, struct diag *diag) MUST_CHECK;

#endif
