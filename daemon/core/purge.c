/* The operator's asking for a purge now rather than at the next look. What is erased is for the study alone to say. */
#include <inttypes.h>
#include <jansson.h>

#include "daemon/core/handlers.h"
#include "daemon/core/retention.h"
#include "proto/json.h"

void purge_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	struct diag diag = {""};
	struct buffer out;
	enum rc rc = request_expect_empty(request_head(request), body, len, &diag);
	if (rc == RC_OK && core->study->retention_years == 0)
		rc = diag_set(&diag, RC_CONFLICT, "the study says nothing of retention, so nothing is ever over");
	if (rc != RC_OK) {
		request_problem(request, rc, diag.text);
		return;
	}
	buffer_init(&out);
	json_t *answer =
		json_pack("{s:I, s:s}", "look", (json_int_t)retention_look_now(core->retention), "state", "started");
	rc = answer == NULL ? RC_NOMEM : json_canonical(answer, &out);
	json_decref(answer);
	if (rc == RC_OK)
		request_reply_text(request, 202, MEDIA_JSON, &out);
	else
		request_problem(request, rc, NULL);
	buffer_deinit(&out);
}
