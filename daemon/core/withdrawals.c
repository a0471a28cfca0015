/* POST /v1/withdrawals: erase records by their ids (erase.c does it), and keep them out. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/erase.h"
#include "daemon/core/handlers.h"
#include "proto/json.h"

enum { MAX_IDS = 1000 };

static enum rc parse_ids(struct erasure *w, const json_t *root, struct diag *diag)
{
	const json_t *list = json_object_get(root, "record_ids");
	size_t n = json_array_size(list);
	if (!json_is_array(list) || json_object_size(root) != 1 || n == 0 || n > MAX_IDS)
		return diag_set(diag, RC_INVALID,
				"expected {\"record_ids\": [\"32 hex digits\", …]} with 1 to %d of them", MAX_IDS);
	w->ids = calloc(n, sizeof *w->ids);
	if (w->ids == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < n; i++) {
		const json_t *id = json_array_get(list, i);
		if (!json_is_string(id) ||
		    hex_decode(json_string_value(id), json_string_length(id), w->ids[i], RECORD_ID_LEN) != RC_OK)
			return diag_set(diag, RC_INVALID, "record_ids: item %zu: expected 32 hex digits", i + 1);
	}
	qsort(w->ids, n, sizeof *w->ids, erase_compare_ids);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || erase_compare_ids(w->ids[i], w->ids[w->n_ids - 1]) != 0)
			memmove(w->ids[w->n_ids++], w->ids[i], RECORD_ID_LEN);
	}
	return RC_OK;
}

static enum rc prepare(struct erasure *w, const struct pipe_request *head, const uint8_t *body, size_t len,
		       struct diag *diag)
{
	json_t *root = NULL;
	enum rc rc = request_expect_json(head, diag);
	if (rc == RC_OK)
		rc = json_parse_strict((const char *)body, len, &root, diag);
	if (rc == RC_OK)
		rc = parse_ids(w, root, diag);
	json_decref(root);
	return rc;
}

void withdrawal_run(struct request *request, const uint8_t *body, size_t len)
{
	const struct pipe_request *head = request_head(request);
	struct erasure w;
	struct diag diag = {""};
	enum rc rc = erasure_init(&w, request_core(request), head->who.source);
	if (rc != RC_OK)
		diag_set(&diag, rc, "the study has no source of the certificate's name");
	w.who = entry_who_of(&head->who, ROLE_SUBMITTER);
	if (rc == RC_OK)
		rc = prepare(&w, head, body, len, &diag);
	if (rc == RC_OK)
		rc = erase_run(&w);
	if (rc == RC_OK)
		request_reply_json(request, 200,
				   json_pack("{s:I, s:I, s:I}", "ids", (json_int_t)w.n_ids, "records",
					     (json_int_t)w.n_removed, "index", (json_int_t)w.log_index));
	else
		request_problem(request, rc, diag.text);
	erasure_deinit(&w);
}
