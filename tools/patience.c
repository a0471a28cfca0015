/* Waiting and trying again; patience.h says when. */
#include "tools/patience.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

enum { MAX_BACKOFF_S = 60, MAX_RETRY_AFTER_S = 600 };

/* May it pass by itself? 413, 422 and their like never do; a full disk is for the operator. */
static bool may_pass(enum rc rc)
{
	return rc == RC_NETWORK || rc == RC_TIMEOUT || rc == RC_BUSY || rc == RC_STOPPING || rc == RC_RATE ||
	       rc == RC_IO || rc == RC_NOMEM;
}

/* Wait before the next try: what the server asks for, else 1, 2, 4 … 60 s, of which a random half to whole, so that
 * clients that were thrown out together do not come back together. */
static void back_off(const struct patience *patience, uint64_t attempt, uint64_t retry_after_s, const struct diag *diag)
{
	uint16_t random = 0;
	uint64_t wait_s = attempt < 6 ? (uint64_t)1 << attempt : MAX_BACKOFF_S;

	if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
		random = 0;
	uint64_t ms = wait_s * 500 + wait_s * 500 * random / UINT16_MAX;
	if (retry_after_s > 0)
		ms = (retry_after_s < MAX_RETRY_AFTER_S ? retry_after_s : MAX_RETRY_AFTER_S) * 1000 + random % 500u;
	if (patience->progress != NULL)
		progress_clear(patience->progress);
	fprintf(stderr, "%s: %s; next try in %llu.%llu s\n", patience->command, diag->text,
		(unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000 / 100));
	struct timespec wait = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	while (nanosleep(&wait, &wait) != 0 && errno == EINTR)
		;
}

enum rc https_send_patiently(struct https *h, const struct https_request *request, const struct patience *patience,
			     bool take_404, struct https_response *ret, struct diag *diag)
{
	for (uint64_t attempt = 0;; attempt++) {
		struct https_response response = {0};
		diag->text[0] = '\0';
		enum rc rc = https_send(h, request, &response, diag);
		uint64_t retry_after_s = response.retry_after_s;
		if (rc == RC_OK && !(take_404 && response.status == 404)) {
			rc = https_check(&response, diag);
			if (rc != RC_OK)
				https_response_deinit(&response);
		}
		if (rc == RC_OK) {
			*ret = response;
			return RC_OK;
		}
		if (!may_pass(rc) || attempt + 1 >= patience->tries)
			return rc;
		back_off(patience, attempt, retry_after_s, diag);
	}
}
