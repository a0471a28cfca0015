/* Rotation of the sealing key; rotation.h has what, daemon/store/rotation.c how.
 *
 * Invariant: a slice is small and goes through the queue like any request, so that none waits for the rotation. Position
 * is kept in memory alone: what is done already is passed quickly when a start begins again. Nothing that is logged or
 * shown counts values, since how many there are comes from linkage. */
#include "daemon/core/rotation.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/base/log.h"
#include "daemon/core/handlers.h"
#include "proto/json.h"

enum { RETRY_S = 1, NUMBER_CAP = 8 };

struct rotator {
	struct core *core;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	bool stopping, look;
};

static void number_text(uint16_t number, char out[NUMBER_CAP])
{
	snprintf(out, NUMBER_CAP, "%04x", number);
}

static enum rc log_rotation(struct core *core, struct txn *txn, const struct entry_who *who, const char *state)
{
	char old[NUMBER_CAP], new[NUMBER_CAP];
	number_text(seal_old_number(core->seal), old);
	number_text(seal_key_number(core->seal), new);
	json_t *fields = json_pack("{s:s, s:s, s:s, s:s}", "key", "seal", "state", state, "old", old, "new", new);
	if (fields == NULL)
		return RC_NOMEM;
	enum rc rc = audit_log_append(core->log, txn, ENTRY_KEY_ROTATED, who, fields, NULL);
	json_decref(fields);
	return rc;
}

/* ---- slices ---- */

struct slice_job {
	struct write_job job; /* first: cast back from it */
	struct core *core;
	struct store_rotation at, next;
	bool done;
};

static enum rc slice_apply(struct write_job *job, struct txn *txn)
{
	struct slice_job *slice = (struct slice_job *)job;
	return store_rotation_slice(txn, &slice->at, &slice->next, &slice->done);
}

static enum rc finish_apply(struct write_job *job, struct txn *txn)
{
	struct slice_job *slice = (struct slice_job *)job;
	enum rc rc = store_rotation_finish(txn);
	return rc == RC_OK ? log_rotation(slice->core, txn, NULL, "done") : rc;
}

static enum rc finish_settle(struct write_job *job, struct txn *txn)
{
	return store_rotation_end(((struct slice_job *)job)->core->store);
}

/* Wait until there is something to do, or `seconds` have passed (0: however long); false when it is time to end. */
static bool wait(struct rotator *r, int seconds)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&r->lock);
	int err = 0;
	while (!r->stopping && !r->look && err == 0)
		err = seconds == 0 ? pthread_cond_wait(&r->wake, &r->lock)
				   : pthread_cond_timedwait(&r->wake, &r->lock, &until);
	r->look = false;
	bool go_on = !r->stopping;
	pthread_mutex_unlock(&r->lock);
	return go_on;
}

static bool is_stopping(struct rotator *r)
{
	pthread_mutex_lock(&r->lock);
	bool stopping = r->stopping;
	pthread_mutex_unlock(&r->lock);
	return stopping;
}

static enum rc carry_through(struct rotator *r)
{
	static const size_t slice_bytes = (size_t)2 << 20;
	struct store_reserve reserve = core_reserve(r->core);
	struct slice_job slice = {.core = r->core};
	enum rc rc = RC_OK;
	while (!slice.done && rc == RC_OK) {
		if (is_stopping(r))
			return RC_STOPPING;
		slice.job = (struct write_job){.apply = slice_apply, .bytes = slice_bytes, .leave = &reserve};
		rc = write_queue_call(r->core->writes, &slice.job);
		if (rc == RC_OK)
			slice.at = slice.next;
	}
	if (rc != RC_OK)
		return rc;
	if (slice.at.n_damaged > 0)
		log_error("%" PRIu64 " values of the store did not open and were not sealed again: see throughcared "
			  "--check",
			  slice.at.n_damaged);
	slice.job = (struct write_job){.apply = finish_apply, .settle = finish_settle};
	return write_queue_call(r->core->writes, &slice.job);
}

static void *rotator_thread(void *arg)
{
	struct rotator *r = arg;
	int seconds = 0;
	while (wait(r, seconds)) {
		seconds = 0;
		if (!store_is_rotating(r->core->store))
			continue;
		log_info("sealing the store under key %04x", seal_key_number(r->core->seal));
		enum rc rc = carry_through(r);
		if (rc == RC_OK) {
			log_info("the store is sealed under key %04x; keep that key, the old one opens nothing of it "
				 "any more",
				 seal_key_number(r->core->seal));
		} else if (rc != RC_STOPPING) {
			log_warning("the rotation of the sealing key waits: %s", rc_text(rc));
			seconds = RETRY_S;
		}
	}
	return NULL;
}

enum rc rotator_new(struct core *core, struct rotator **ret)
{
	struct rotator *r = calloc(1, sizeof *r);
	if (r == NULL)
		return RC_NOMEM;
	r->core = core;
	r->look = true;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->wake, NULL);
	if (pthread_create(&r->thread, NULL, rotator_thread, r) != 0) {
		pthread_cond_destroy(&r->wake);
		pthread_mutex_destroy(&r->lock);
		free(r);
		return RC_NOMEM;
	}
	*ret = r;
	return RC_OK;
}

void rotator_free(struct rotator *r)
{
	if (r == NULL)
		return;
	pthread_mutex_lock(&r->lock);
	r->stopping = true;
	pthread_cond_broadcast(&r->wake);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void rotator_wake(struct rotator *r)
{
	pthread_mutex_lock(&r->lock);
	r->look = true;
	pthread_cond_broadcast(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

/* ---- POST /v1/keys ---- */

struct begin_job {
	struct write_job job; /* first: cast back from it */
	struct core *core;
	struct entry_who who;
	uint8_t handover[SEAL_HANDOVER_LEN];
	bool begun;
};

/* Called again after a transaction that failed: the rotation is begun once, and stays. */
static enum rc begin_apply(struct write_job *job, struct txn *txn)
{
	struct begin_job *begin = (struct begin_job *)job;
	if (!begin->begun) {
		enum rc rc = store_rotation_begin(begin->core->store, begin->handover);
		if (rc != RC_OK)
			return rc;
		begin->begun = true;
	}
	return log_rotation(begin->core, txn, &begin->who, "started");
}

static enum rc parse_handover(const uint8_t *body, size_t len, uint8_t ret[SEAL_HANDOVER_LEN], struct diag *diag)
{
	static const char prefix[] = SEAL_HANDOVER_PREFIX;
	json_t *root = NULL;
	enum rc rc = json_parse_strict((const char *)body, len, &root, diag);
	const char *text = json_string_value(json_object_get(root, "handover"));
	if (rc == RC_OK && (text == NULL || json_object_size(root) != 1 ||
			    strncmp(text, prefix, sizeof prefix - 1) != 0 ||
			    hex_decode(text + sizeof prefix - 1, strlen(text) - (sizeof prefix - 1), ret,
				       SEAL_HANDOVER_LEN) != RC_OK))
		rc = diag_set(diag, RC_INVALID,
			      "expected {\"handover\": \"...\"} with what `throughcare keys rotate` made");
	json_decref(root);
	return rc;
}

void keys_run(struct request *request, const uint8_t *body, size_t len)
{
	const struct pipe_request *head = request_head(request);
	struct core *core = request_core(request);
	struct begin_job begin = {.job = {.apply = begin_apply}, .core = core};
	struct diag diag = {""};
	struct buffer out;
	begin.who = entry_who_of(&head->who, ROLE_OPERATOR);
	enum rc rc = RC_OK;
	if (head->content != CONTENT_JSON || head->encoding != ENCODING_IDENTITY)
		rc = diag_set(&diag, RC_MEDIA_TYPE, "expected application/json without Content-Encoding");
	if (rc == RC_OK)
		rc = parse_handover(body, len, begin.handover, &diag);
	if (rc == RC_OK)
		rc = write_queue_call(core->writes, &begin.job);
	if (rc == RC_KEY)
		rc = diag_set(&diag, RC_INVALID, "the handover was not made with the sealing key that is in use");
	else if (rc == RC_CONFLICT)
		diag_set(&diag, rc, "the sealing key is being rotated already");
	if (begin.begun)
		rotator_wake(core->rotator);
	buffer_init(&out);
	if (rc == RC_OK) {
		char number[NUMBER_CAP];
		number_text(seal_key_number(core->seal), number);
		json_t *answer = json_pack("{s:s, s:s}", "key", "seal", "new", number);
		rc = answer == NULL ? RC_NOMEM : json_canonical(answer, &out);
		json_decref(answer);
	}
	if (rc == RC_OK)
		request_reply_text(request, 202, MEDIA_JSON, &out);
	else
		request_problem(request, rc, diag.text);
	buffer_deinit(&out);
}
