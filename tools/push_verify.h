/* throughcare push --verify: are the batches that were acknowledged still in the log, and is it still the same log? */
#ifndef TOOLS_PUSH_VERIFY_H
#define TOOLS_PUSH_VERIFY_H

#include "tools/https.h"
#include "tools/patience.h"

struct push_verify {
	struct https_options https_options;
	struct patience patience;
	const char *receipts; /* folder; the last checkpoint is kept in it */
	const char *log_key;  /* file of the log's public key */
};

/* Check every receipt of the folder against the log's present checkpoint, and that against the last one seen, which it
 * replaces. Prints what it found. Errors: FORK, PROTOCOL (diag names the receipt and what is wrong), NETWORK, … */
enum rc push_verify_run(const struct push_verify *job, struct diag *diag) MUST_CHECK;

#endif
