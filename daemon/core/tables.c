/* Published tables. A query reads releases and nothing else, and is in the log, durable and signed, before its answer
 * leaves. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/handlers.h"
#include "daemon/core/publish.h"
#include "daemon/stats/stats.h"
#include "proto/day.h"

/* The release that is meant where none is named: the last that may be read; where none may be, the last that waits. */
static uint32_t last_published(struct core *core)
{
	pthread_mutex_lock(&core->lock);
	const struct release_info *last = history_last_readable(&core->history);
	uint32_t number = last != NULL ? last->number : history_readable_before(&core->history, UINT32_MAX);
	pthread_mutex_unlock(&core->lock);
	return number;
}

/* Only releases whose entry is signed are there, and where the study asks for witnesses, cosigned. */
static enum rc load_published(struct core *core, uint32_t number, json_t **ret, struct diag *diag)
{
	struct txn *txn = NULL;
	pthread_mutex_lock(&core->lock);
	enum rc rc = history_check_readable(&core->history, number, diag);
	pthread_mutex_unlock(&core->lock);
	if (rc != RC_OK)
		return rc;
	rc = txn_begin_read(core->store, &txn);
	if (rc == RC_OK)
		rc = release_body_load(txn, number, ret);
	txn_abort(txn);
	return rc == RC_NOTFOUND ? RC_DAMAGED : rc;
}

void tables_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	struct buffer out;
	json_t *release = NULL;
	buffer_init(&out);
	uint32_t number = last_published(core);
	enum rc rc = number == 0 ? RC_OK : load_published(core, number, &release, NULL);
	if (rc == RC_TOO_EARLY)
		rc = RC_OK; /* what there will be the study says */
	if (rc == RC_OK)
		rc = stats_render_catalogue(core->study, release, &out);
	json_decref(release);
	if (rc == RC_OK)
		request_reply_text(request, 200, MEDIA_JSON, &out);
	else
		request_problem(request, rc, NULL);
	buffer_deinit(&out);
}

/* ---- a query: logged first, answered then ----
 *
 * No worker waits for the log: as many queries as come while one group of entries is made durable go into the next. */

struct query_job {
	struct write_job job;
	struct request *request;
	json_t *fields;
	struct buffer answer;
	struct store_reserve leave;
};

static void query_job_free(struct query_job *q)
{
	json_decref(q->fields);
	buffer_deinit(&q->answer);
	request_unref(q->request);
	free(q);
}

static enum rc query_apply(struct write_job *job, struct txn *txn)
{
	struct query_job *q = (struct query_job *)job;
	struct entry_who who = entry_who_of(&request_head(q->request)->who, ROLE_ANALYST);
	return audit_log_append(request_core(q->request)->log, txn, ENTRY_QUERY, &who, q->fields, NULL);
}

static void query_done(struct write_job *job, enum rc rc)
{
	struct query_job *q = (struct query_job *)job;
	if (rc == RC_OK)
		request_reply_text(q->request, 200,
				   request_head(q->request)->accept == ACCEPT_CSV ? MEDIA_CSV : MEDIA_JSON, &q->answer);
	else
		request_problem(q->request, rc, NULL);
	query_job_free(q);
}

static enum rc query_fields(const struct stats_query *query, uint32_t number, const struct buffer *answer, json_t **ret)
{
	struct buffer text;
	uint8_t digest[32];
	char hex[65];
	buffer_init(&text);
	enum rc rc = stats_query_canonical(query, number, &text);
	if (rc == RC_OK && text.failed)
		rc = RC_NOMEM;
	if (rc == RC_OK) {
		sha256(answer->data, answer->len, digest);
		hex_encode(digest, sizeof digest, hex);
		*ret = json_pack("{s:I, s:s%, s:s}", "release", (json_int_t)number, "query", (const char *)text.data,
				 text.len, "answer", hex);
		rc = *ret == NULL ? RC_NOMEM : RC_OK;
	}
	buffer_deinit(&text);
	return rc;
}

/* Takes `answer` over. */
static enum rc log_and_answer(struct request *request, const struct stats_query *query, uint32_t number,
			      struct buffer *answer)
{
	struct query_job *q = calloc(1, sizeof *q);
	if (q == NULL)
		return RC_NOMEM;
	q->leave = core_entry_reserve(request_core(request));
	q->job = (struct write_job){.apply = query_apply, .done = query_done, .leave = &q->leave};
	q->request = request;
	request_ref(request);
	q->answer = *answer;
	buffer_init(answer);
	enum rc rc = query_fields(query, number, &q->answer, &q->fields);
	q->job.bytes = CORE_ENTRY_BYTES + json_string_length(json_object_get(q->fields, "query"));
	if (rc == RC_OK)
		rc = write_queue_push(request_core(request)->writes, &q->job);
	if (rc != RC_OK)
		query_job_free(q);
	return rc;
}

/* ---- why there is no answer ---- */

static enum rc no_such_release(uint32_t number, uint32_t last, struct diag *diag)
{
	if (last == 0)
		return diag_set(diag, RC_NOTFOUND, "no release is published yet");
	return diag_set(diag, RC_NOTFOUND, "there is no release %" PRIu32 "; the last one is release %" PRIu32, number,
			last);
}

/* What the release alone cannot say: when a period that it has not closes, and that it was made under another study. */
static enum rc explain(const struct core *core, const json_t *release, const struct stats_query *query, enum rc rc,
		       struct diag *diag)
{
	const char *digest = json_string_value(json_object_get(release, "study_digest"));
	const char *as_of = json_string_value(json_object_get(release, "as_of"));
	char own[65], closes[DAY_TEXT_LEN], why[sizeof diag->text];
	int32_t day;
	snprintf(why, sizeof why, "%s", diag->text);
	if (rc == RC_NOTFOUND && query->period[0] != '\0' && as_of != NULL &&
	    stats_query_closing_day(core->study, query, &day) == RC_OK) {
		day_format(day, closes);
		if (strcmp(closes, as_of) > 0)
			return diag_set(diag, rc,
					"%.300s; it closes on %s, and the first release as of that day or later has it",
					why, closes);
	}
	hex_encode(core->study->digest, sizeof core->study->digest, own);
	if ((rc == RC_NOTFOUND || rc == RC_USAGE) && digest != NULL && strcmp(digest, own) != 0)
		return diag_set(diag, rc, "%.300s; the study has changed since that release", why);
	return rc;
}

/* On RC_OK the answer is on its way. */
static enum rc answer_query(struct request *request, struct buffer *out, struct diag *diag)
{
	struct core *core = request_core(request);
	const struct pipe_request *head = request_head(request);
	struct stats_query query;
	uint32_t number = 0;
	json_t *release = NULL;
	enum rc rc = stats_query_parse(core->study, head->argument, head->query, &query, &number, diag);
	if (rc != RC_OK)
		return rc;
	uint32_t last = last_published(core);
	if (number == 0)
		number = last;
	rc = load_published(core, number, &release, diag);
	if (rc == RC_NOTFOUND)
		return no_such_release(number, last, diag);
	if (rc == RC_OK)
		rc = head->accept == ACCEPT_CSV ? stats_render_csv(release, &query, out, diag)
						: stats_render_jsonstat(release, &query, out, diag);
	if (rc != RC_OK && release != NULL)
		rc = explain(core, release, &query, rc, diag);
	json_decref(release);
	if (rc == RC_OK && out->failed)
		rc = RC_NOMEM;
	return rc == RC_OK ? log_and_answer(request, &query, number, out) : rc;
}

void table_run(struct request *request, const uint8_t *body, size_t len)
{
	struct buffer out;
	struct diag diag = {""};
	buffer_init(&out);
	enum rc rc = answer_query(request, &out, &diag);
	if (rc != RC_OK)
		request_problem(request, rc, diag.text);
	buffer_deinit(&out);
}
