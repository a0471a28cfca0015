/* The operator's asking for a purge now rather than at the next look. What is erased is for the study alone to say. */
#include <inttypes.h>
#include <jansson.h>

#include "daemon/core/handlers.h"
#include "daemon/core/retention.h"

void purge_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	struct diag diag = {""};
	enum rc rc = request_expect_empty(request_head(request), body, len, &diag);
	if (rc == RC_OK && core->study->retention_years == 0)
		rc = diag_set(&diag, RC_CONFLICT, "the study says nothing of retention, so nothing is ever over");
	if (rc != RC_OK) {
		request_problem(request, rc, diag.text);
		return;
	}
	request_reply_json(
		request, 202,
		json_pack("{s:I, s:s}", "look", (json_int_t)retention_look_now(core->retention), "state", "started"));
}
