/* Withdrawals: the custodian's own record numbers never leave; what is sent are the ids that encoding made of them. */
#include "tools/withdraw.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keys/key_file.h"
#include "proto/batch.h"
#include "tools/encode/record.h"
#include "tools/whole_file.h"

enum { IDS_A_REQUEST = 1000, MAX_IDS_FILE = 64 << 20 };

struct withdraw {
	const struct withdraw_job *job;
	struct https *https;
	struct secret_key *record_key;
	struct buffer body;
	size_t n_in_body;
	uint64_t n_asked, n_erased, line;
	struct diag *diag;
};

static enum rc send_body(struct withdraw *w)
{
	struct https_request request = {
		.method = "POST", .path = "/v1/withdrawals", .content_type = "application/json"};
	struct https_response response;
	json_t *answer = NULL;
	if (w->n_in_body == 0)
		return RC_OK;
	buffer_printf(&w->body, "]}");
	if (w->body.failed)
		return RC_NOMEM;
	request.body = w->body.data;
	request.body_len = w->body.len;
	enum rc rc = https_send_patiently(w->https, &request, &w->job->patience, false, &response, w->diag);
	if (rc != RC_OK)
		return rc;
	answer = json_loadb((const char *)response.body.data, response.body.len, 0, NULL);
	const json_t *records = json_object_get(answer, "records");
	if (json_is_integer(records) && json_integer_value(records) >= 0)
		w->n_erased += (uint64_t)json_integer_value(records);
	else
		rc = diag_set(w->diag, RC_PROTOCOL, "the answer does not say how many records were erased");
	json_decref(answer);
	https_response_deinit(&response);
	w->n_in_body = 0;
	buffer_reset(&w->body);
	return rc;
}

static enum rc add_line(struct withdraw *w, const char *text, size_t len)
{
	uint8_t id[RECORD_ID_LEN];
	char hex[2 * RECORD_ID_LEN + 1];
	w->line++;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (len == 0)
		return RC_OK;
	if (record_hide_id(secret_key_bytes(w->record_key), RECORD_LABEL, text, len, id) != RC_OK)
		return diag_set(w->diag, RC_INVALID, "%s:%" PRIu64 ": is longer than a record number can be",
				w->job->ids_path, w->line);
	hex_encode(id, sizeof id, hex);
	buffer_printf(&w->body, "%s\"%s\"", w->n_in_body == 0 ? "{\"record_ids\":[" : ",", hex);
	w->n_in_body++;
	w->n_asked++;
	return w->n_in_body == IDS_A_REQUEST ? send_body(w) : RC_OK;
}

static enum rc send_all(struct withdraw *w, const char *text, size_t len)
{
	enum rc rc = RC_OK;
	for (size_t at = 0; rc == RC_OK && at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end == NULL ? len - at : (size_t)(end - (text + at));
		rc = add_line(w, text + at, n);
		at += n + 1;
	}
	if (rc == RC_OK)
		rc = send_body(w);
	if (rc == RC_OK && w->n_asked == 0)
		rc = diag_set(w->diag, RC_INVALID, "%s: there is no record number in it", w->job->ids_path);
	return rc;
}

enum rc withdraw_run(const struct withdraw_job *job, struct diag *diag)
{
	struct withdraw w = {.job = job, .diag = diag};
	struct buffer text;
	if (job->ids_path == NULL || job->record_key_path == NULL)
		return diag_set(diag, RC_USAGE, "--withdraw and --record-key go together");
	buffer_init(&text);
	buffer_init(&w.body);
	enum rc rc = key_file_read(job->record_key_path, "record", &w.record_key, diag);
	if (rc == RC_OK)
		rc = whole_file_read(job->ids_path, MAX_IDS_FILE, &text, diag);
	if (rc == RC_OK)
		rc = https_open(&job->https_options, &w.https, diag);
	if (rc == RC_OK)
		rc = send_all(&w, (const char *)text.data, text.len);
	if (rc == RC_OK)
		printf("%" PRIu64 " record numbers withdrawn: %" PRIu64 " stored records erased\n", w.n_asked,
		       w.n_erased);
	https_close(w.https);
	secret_key_free(w.record_key);
	buffer_deinit(&w.body);
	buffer_wipe(&text);
	return rc;
}
