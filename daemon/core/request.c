/* Requests; request.h has their life.
 *
 * Invariant: at most one worker is on a request at a time, pieces of the body are seen in order, credit is given back
 * only for what was used, and there is exactly one answer. */
#include "daemon/core/request.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"

enum { RETRY_AFTER_S = 2 };

struct request {
	struct core *core;
	uint64_t id;
	struct pipe_request head;
	struct request_port port;
	const struct handler *handler;
	atomic_uint refs;

	pthread_mutex_t lock; /* guards all below but state and body */
	struct buffer inbox;  /* received, not yet worked on */
	uint64_t credit;      /* body bytes the front may still send */
	bool ended, working, finished, cancelled, answered;

	void *state;        /* the handler's own */
	struct buffer body; /* collected for handlers without feed */
};

static void request_work(void *item);

void request_ref(struct request *request)
{
	atomic_fetch_add(&request->refs, 1);
}

void request_unref(struct request *request)
{
	if (request == NULL || atomic_fetch_sub(&request->refs, 1) != 1)
		return;
	if (request->state != NULL && request->handler->free_state != NULL)
		request->handler->free_state(request->state);
	buffer_wipe(&request->inbox);
	buffer_wipe(&request->body);
	pthread_mutex_destroy(&request->lock);
	atomic_fetch_sub(&request->core->n_requests, 1);
	free(request);
}

/* Put the request in the work queue unless it is there. Called with the lock held. */
static enum rc schedule(struct request *request)
{
	if (request->working)
		return RC_OK;
	request_ref(request);
	enum rc rc = workq_push(request->core->workers, request_work, request);
	if (rc == RC_OK)
		request->working = true;
	else
		atomic_fetch_sub(&request->refs, 1); /* never the last one: the caller holds it */
	return rc;
}

/* What ends or asks for it again meanwhile finds it finished. */
static bool answer_quickly(struct request *request)
{
	if (request->handler->quick == NULL)
		return false;
	request->ended = request->finished = true;
	if (request->handler->quick(request))
		return true;
	request->ended = request->finished = false;
	return false;
}

enum rc request_new(struct core *core, uint64_t id, const struct pipe_request *head, const struct request_port *port,
		    struct request **ret_request)
{
	struct request *request = calloc(1, sizeof *request);
	if (request == NULL)
		return RC_NOMEM;
	request->core = core;
	request->id = id;
	request->head = *head;
	request->port = *port;
	request->handler = handler_of(head->type);
	request->credit = PIPE_INITIAL_CREDIT;
	atomic_init(&request->refs, 1);
	pthread_mutex_init(&request->lock, NULL);
	buffer_init(&request->inbox);
	buffer_init(&request->body);
	unsigned n = atomic_fetch_add(&core->n_requests, 1);
	if (atomic_load(&core->must_stop))
		request_problem(request, RC_STOPPING, NULL);
	else if (n >= CORE_MAX_REQUESTS || core->renewals.trusted_waits)
		request_problem(request, RC_BUSY, NULL);
	else if (!route_get(head->type)->has_body && !answer_quickly(request))
		request_end(request);
	*ret_request = request;
	return RC_OK;
}

enum rc request_feed(struct request *request, const uint8_t *data, size_t len)
{
	enum rc rc = RC_OK, scheduled = RC_OK;
	pthread_mutex_lock(&request->lock);
	if (len > request->credit || request->ended) {
		rc = RC_PROTOCOL;
	} else {
		request->credit -= len;
		if (!request->answered && !request->cancelled) {
			buffer_append(&request->inbox, data, len);
			scheduled = request->inbox.failed ? RC_NOMEM : schedule(request);
		}
	}
	pthread_mutex_unlock(&request->lock);
	if (scheduled != RC_OK)
		request_problem(request, scheduled, NULL);
	return rc;
}

void request_end(struct request *request)
{
	pthread_mutex_lock(&request->lock);
	request->ended = true;
	enum rc rc = request->answered || request->cancelled ? RC_OK : schedule(request);
	pthread_mutex_unlock(&request->lock);
	if (rc != RC_OK)
		request_problem(request, rc, NULL);
}

void request_cancel(struct request *request)
{
	pthread_mutex_lock(&request->lock);
	request->cancelled = true;
	pthread_mutex_unlock(&request->lock);
}

bool request_is_cancelled(struct request *request)
{
	pthread_mutex_lock(&request->lock);
	bool cancelled = request->cancelled;
	pthread_mutex_unlock(&request->lock);
	return cancelled;
}

bool request_is_answered(struct request *request)
{
	pthread_mutex_lock(&request->lock);
	bool answered = request->answered;
	pthread_mutex_unlock(&request->lock);
	return answered;
}

uint64_t request_id(const struct request *request)
{
	return request->id;
}

struct core *request_core(struct request *request)
{
	return request->core;
}

const struct pipe_request *request_head(struct request *request)
{
	return &request->head;
}

enum rc request_expect_json(const struct pipe_request *head, struct diag *diag)
{
	if (head->content == CONTENT_JSON && head->encoding == ENCODING_IDENTITY)
		return RC_OK;
	return diag_set(diag, RC_MEDIA_TYPE, "expected application/json without Content-Encoding");
}

enum rc request_expect_empty(const struct pipe_request *head, const uint8_t *body, size_t len, struct diag *diag)
{
	enum rc rc = request_expect_json(head, diag);
	if (rc == RC_OK && (len != 2 || memcmp(body, "{}", 2) != 0))
		rc = diag_set(diag, RC_INVALID, "expected {}");
	return rc;
}

void **request_state(struct request *request)
{
	return &request->state;
}

/* ---- the worker ---- */

static enum rc collect(struct request *request, const uint8_t *data, size_t len)
{
	if (len > request->handler->max_body - request->body.len) {
		request_problem(request, RC_TOO_LARGE, NULL);
		return RC_TOO_LARGE;
	}
	buffer_append(&request->body, data, len);
	if (request->body.failed) {
		request_problem(request, RC_NOMEM, NULL);
		return RC_NOMEM;
	}
	return RC_OK;
}

static void give_credit(struct request *request, size_t len)
{
	pthread_mutex_lock(&request->lock);
	request->credit += len;
	bool more = !request->ended && !request->answered && !request->cancelled;
	pthread_mutex_unlock(&request->lock);
	if (more && len > 0)
		request->port.credit(request->port.ctx, request->id, (uint32_t)len);
}

/* One round: work on what has come. False when there is nothing to do at present. */
static bool work_once(struct request *request)
{
	struct buffer piece;
	pthread_mutex_lock(&request->lock);
	bool dead = request->answered || request->cancelled;
	bool run = request->ended && !request->finished;
	if (dead || (request->inbox.len == 0 && !run)) {
		request->working = false;
		pthread_mutex_unlock(&request->lock);
		return false;
	}
	piece = request->inbox;
	buffer_init(&request->inbox);
	request->finished = request->ended;
	pthread_mutex_unlock(&request->lock);

	enum rc rc = RC_OK;
	if (piece.len > 0)
		rc = request->handler->feed != NULL ? request->handler->feed(request, piece.data, piece.len)
						    : collect(request, piece.data, piece.len);
	size_t used = piece.len;
	buffer_wipe(&piece);
	if (rc == RC_OK && run)
		request->handler->run(request, request->body.data, request->body.len);
	else if (rc == RC_OK)
		give_credit(request, used);
	return true;
}

static void request_work(void *item)
{
	struct request *request = item;
	while (work_once(request))
		;
	request_unref(request);
}

/* ---- answers ---- */

void request_reply(struct request *request, const struct pipe_reply *reply, const void *body, size_t len)
{
	pthread_mutex_lock(&request->lock);
	bool first = !request->answered;
	bool wanted = first && !request->cancelled;
	request->answered = true;
	pthread_mutex_unlock(&request->lock);
	if (!wanted)
		return;
	atomic_fetch_add(&request->core->n_answered, 1);
	struct pipe_reply sent = *reply;
	sent.length = len;
	request->port.reply(request->port.ctx, request->id, &sent, body, len);
}

void request_reply_text(struct request *request, uint16_t status, enum pipe_media media, const struct buffer *body)
{
	if (body->failed) {
		request_problem(request, RC_NOMEM, NULL);
		return;
	}
	struct pipe_reply reply = {.http_status = status, .media = media};
	request_reply(request, &reply, body->data, body->len);
}

void request_reply_json(struct request *request, uint16_t status, json_t *answer)
{
	struct buffer body;
	buffer_init(&body);
	enum rc rc = answer == NULL ? RC_NOMEM : json_canonical(answer, &body);
	json_decref(answer);
	if (rc == RC_OK)
		request_reply_text(request, status, MEDIA_JSON, &body);
	else
		request_problem(request, rc, NULL);
	buffer_deinit(&body);
}

void request_problem(struct request *request, enum rc rc, const char *detail)
{
	struct buffer body;
	char type[96];
	int status = rc_http_status(rc);
	struct pipe_reply reply = {.http_status = (uint16_t)status, .media = MEDIA_PROBLEM};
	if (status == 503 || status == 507)
		reply.retry_after_s = RETRY_AFTER_S;
	snprintf(type, sizeof type, "urn:throughcare:error:%s", rc_name(rc));
	json_t *problem = json_pack("{s:s, s:s, s:i}", "type", type, "title", rc_text(rc), "status", status);
	if (problem != NULL && detail != NULL && detail[0] != '\0')
		json_object_set_new(problem, "detail", json_string(detail));
	buffer_init(&body);
	/* Without memory for the text the bare status still says what matters. */
	if (problem == NULL || json_canonical(problem, &body) != RC_OK || body.failed)
		buffer_reset(&body);
	atomic_fetch_add(&request->core->n_problems, 1);
	request_reply(request, &reply, body.data, body.len);
	buffer_deinit(&body);
	json_decref(problem);
}
