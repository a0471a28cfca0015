/* Requests that are tried again while what stops them may pass by itself: network, 429, 503. */
#ifndef TOOLS_PATIENCE_H
#define TOOLS_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/https.h"
#include "tools/progress.h"

struct patience {
	const char *command;       /* names it in messages: "throughcare push" */
	uint64_t tries;            /* how often in all */
	struct progress *progress; /* taken away for a message; NULL = there is none */
};

/* Send until there is an answer that is final. On RC_OK the response is a 2xx, or a 404 where `take_404`; else the
 * last error. */
enum rc https_send_patiently(struct https *h, const struct https_request *request, const struct patience *patience,
                             bool take_404, struct https_response *ret, struct diag *diag) MUST_CHECK;

#endif
