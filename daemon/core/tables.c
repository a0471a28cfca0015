/* Published tables. A query reads releases and nothing else, and is in the log, durable and signed, before its answer
 * leaves. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/answers.h"
#include "daemon/core/handlers.h"
#include "daemon/core/state.h"
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

/* What the log says release `number` is. Only releases whose entry is signed are there, and where the study asks for
 * witnesses, cosigned; asked for every query, whatever is in memory. */
static enum rc name_published(struct core *core, uint32_t number, struct release_name *ret, struct diag *diag)
{
	pthread_mutex_lock(&core->lock);
	enum rc rc = history_check_readable(&core->history, number, diag);
	if (rc == RC_OK) {
		const struct release_info *info = &core->history.releases[number - 1];
		ret->number = number;
		ret->log_index = info->released_index;
		memcpy(ret->digest, info->digest, sizeof ret->digest);
	}
	pthread_mutex_unlock(&core->lock);
	return rc;
}

void tables_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	struct release_name name;
	struct answer_body *release = NULL;
	struct buffer out;
	buffer_init(&out);
	uint32_t number = last_published(core);
	enum rc rc = number == 0 ? RC_TOO_EARLY : name_published(core, number, &name, NULL);
	if (rc == RC_OK)
		rc = answers_body(core->answers, core->store, &name, &release);
	else if (rc == RC_TOO_EARLY)
		rc = RC_OK; /* what there will be the study says */
	if (rc == RC_OK)
		rc = stats_render_catalogue(core->study, answer_body_json(release), &out);
	answers_drop_body(core->answers, release);
	if (rc == RC_OK)
		request_reply_text(request, 200, MEDIA_JSON, &out);
	else
		request_problem(request, rc, NULL);
	buffer_deinit(&out);
}

/* ---- a query: logged first, answered then ----
 *
 * No worker waits for the log: as many queries as come while one group of entries is made durable go into the next. */

static enum pipe_accept form_of(const struct pipe_request *head)
{
	return head->accept == ACCEPT_CSV ? ACCEPT_CSV : ACCEPT_JSON;
}

struct query_job {
	struct write_job job;
	struct request *request;
	json_t *fields;
	struct answer_text *answer;
	struct store_reserve leave;
};

static void query_job_free(struct query_job *q)
{
	json_decref(q->fields);
	answers_drop(request_core(q->request)->answers, q->answer);
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
				   form_of(request_head(q->request)) == ACCEPT_CSV ? MEDIA_CSV : MEDIA_JSON,
				   answer_text_body(q->answer));
	else
		request_problem(q->request, rc, NULL);
	query_job_free(q);
}

/* Takes `answer` over, also where it fails. */
static enum rc log_and_answer(struct request *request, const char *canonical, uint32_t number,
			      struct answer_text *answer)
{
	struct core *core = request_core(request);
	struct query_job *q = calloc(1, sizeof *q);
	if (q == NULL) {
		answers_drop(core->answers, answer);
		return RC_NOMEM;
	}
	q->leave = core_entry_reserve(core);
	q->job = (struct write_job){.apply = query_apply,
				    .done = query_done,
				    .leave = &q->leave,
				    .only_logs = true,
				    .bytes = CORE_ENTRY_BYTES + strlen(canonical)};
	q->request = request;
	request_ref(request);
	q->answer = answer;
	q->fields = json_pack("{s:I, s:s, s:s}", "release", (json_int_t)number, "query", canonical, "answer",
			      answer_text_digest(answer));
	enum rc rc = q->fields == NULL ? RC_NOMEM : write_queue_push(core->writes, &q->job);
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

static enum rc render(struct core *core, const struct release_name *name, const struct stats_query *query,
		      enum pipe_accept accept, struct buffer *out, struct diag *diag)
{
	struct answer_body *release = NULL;
	enum rc rc = answers_body(core->answers, core->store, name, &release);
	if (rc != RC_OK)
		return rc;
	const json_t *body = answer_body_json(release);
	rc = accept == ACCEPT_CSV ? stats_render_csv(body, query, out, diag)
				  : stats_render_jsonstat(body, query, out, diag);
	if (rc != RC_OK)
		rc = explain(core, body, query, rc, diag);
	answers_drop_body(core->answers, release);
	return rc == RC_OK && out->failed ? RC_NOMEM : rc;
}

/* From memory, or rendered and kept. */
static enum rc find_answer(struct core *core, const struct release_name *name, const struct stats_query *query,
			   enum pipe_accept accept, const char *canonical, struct answer_text **ret, struct diag *diag)
{
	struct buffer out;
	struct answer_text *answer = answers_find(core->answers, name, accept, canonical);
	if (answer != NULL) {
		*ret = answer;
		return RC_OK;
	}
	buffer_init(&out);
	enum rc rc = render(core, name, query, accept, &out, diag);
	if (rc == RC_OK)
		rc = answers_add(core->answers, name, accept, canonical, &out, ret);
	buffer_deinit(&out);
	return rc;
}

static enum rc canonical_text(const struct stats_query *query, uint32_t number, struct buffer *out)
{
	enum rc rc = stats_query_canonical(query, number, out);
	buffer_append(out, "", 1);
	return rc == RC_OK && out->failed ? RC_NOMEM : rc;
}

/* A hit is logged and answered without a worker; everything else, refusals too, is a worker's. */
bool table_quick(struct request *request)
{
	struct core *core = request_core(request);
	const struct pipe_request *head = request_head(request);
	struct release_name name;
	struct stats_query query;
	struct answer_text *answer = NULL;
	struct buffer canonical;
	uint32_t number = 0;
	buffer_init(&canonical);
	enum rc rc = stats_query_parse(core->study, head->argument, head->query, &query, &number, NULL);
	if (rc == RC_OK && number == 0)
		number = last_published(core);
	if (rc == RC_OK)
		rc = name_published(core, number, &name, NULL);
	if (rc == RC_OK)
		rc = canonical_text(&query, number, &canonical);
	if (rc == RC_OK)
		answer = answers_find(core->answers, &name, form_of(head), (const char *)canonical.data);
	if (answer != NULL) {
		rc = log_and_answer(request, (const char *)canonical.data, number, answer);
		if (rc != RC_OK)
			request_problem(request, rc, NULL);
	}
	buffer_deinit(&canonical);
	return answer != NULL;
}

/* On RC_OK the answer is on its way. */
static enum rc answer_query(struct request *request, struct buffer *canonical, struct diag *diag)
{
	struct core *core = request_core(request);
	const struct pipe_request *head = request_head(request);
	struct release_name name;
	struct stats_query query;
	struct answer_text *answer = NULL;
	uint32_t number = 0;
	enum rc rc = stats_query_parse(core->study, head->argument, head->query, &query, &number, diag);
	if (rc != RC_OK)
		return rc;
	uint32_t last = last_published(core);
	if (number == 0)
		number = last;
	rc = name_published(core, number, &name, diag);
	if (rc == RC_NOTFOUND)
		return no_such_release(number, last, diag);
	if (rc == RC_OK)
		rc = canonical_text(&query, number, canonical);
	if (rc == RC_OK)
		rc = find_answer(core, &name, &query, form_of(head), (const char *)canonical->data, &answer, diag);
	return rc == RC_OK ? log_and_answer(request, (const char *)canonical->data, number, answer) : rc;
}

void table_run(struct request *request, const uint8_t *body, size_t len)
{
	struct buffer canonical;
	struct diag diag = {""};
	buffer_init(&canonical);
	enum rc rc = answer_query(request, &canonical, &diag);
	if (rc != RC_OK)
		request_problem(request, rc, diag.text);
	buffer_deinit(&canonical);
}
