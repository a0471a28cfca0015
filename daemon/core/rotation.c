/* Rotation of keys; rotation.h has what, daemon/store/rotation.c and keys/log_key.c how.
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

#include "daemon/base/helper.h"
#include "daemon/base/log.h"
#include "daemon/core/handlers.h"
#include "daemon/core/key_statements.h"
#include "proto/json.h"
#include "proto/log_rotation.h"

enum { RETRY_S = 1, NUMBER_CAP = 8 };

struct rotator {
	struct core *core;
	struct helper helper;
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

static enum rc carry_through(struct rotator *r)
{
	static const size_t slice_bytes = (size_t)2 << 20;
	struct store_reserve reserve = core_reserve(r->core);
	struct slice_job slice = {.core = r->core};
	enum rc rc = RC_OK;
	while (!slice.done && rc == RC_OK) {
		if (helper_is_ending(&r->helper))
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
			  "--check-store",
			  slice.at.n_damaged);
	slice.job = (struct write_job){.apply = finish_apply, .settle = finish_settle};
	return write_queue_call(r->core->writes, &slice.job);
}

static void *rotator_thread(void *arg)
{
	struct rotator *r = arg;
	int seconds = 0;
	do {
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
	} while (helper_wait(&r->helper, seconds));
	return NULL;
}

enum rc rotator_new(struct core *core, struct rotator **ret)
{
	struct rotator *r = calloc(1, sizeof *r);
	if (r == NULL)
		return RC_NOMEM;
	r->core = core;
	enum rc rc = helper_start(&r->helper, rotator_thread, r);
	if (rc == RC_OK)
		*ret = r;
	else
		free(r);
	return rc;
}

void rotator_free(struct rotator *r)
{
	if (r == NULL)
		return;
	helper_end(&r->helper);
	free(r);
}

void rotator_wake(struct rotator *r)
{
	helper_wake(&r->helper);
}

/* ---- the log key ---- */

/* The statement of the key that the log names, by which another follows: the signer's, as long as it has it, then kept
 * beside its state before the entry is durable; else one that was kept. Errors: KEY (there is none). */
static enum rc find_statement(const struct core *core, struct log_succession_entry *ret)
{
	const struct tlog_vkey *old = log_signer_old_vkey(core->signer);
	struct tlog_vkey named, next = *log_signer_vkey(core->signer);
	enum rc rc = tlog_vkey_parse(ret->old, &named);
	if (rc != RC_OK)
		return RC_KEY;
	if (old != NULL && tlog_vkey_equal(old, &named)) {
		rc = log_signer_statement(core->signer, &ret->note);
		if (rc == RC_OK)
			rc = key_statements_keep(core->conf, (const char *)ret->note.data, ret->note.len);
	} else {
		rc = key_statements_find(core->conf, &named, &ret->note, &next);
	}
	if (rc == RC_OK)
		rc = tlog_vkey_format(next.name, next.public_key, ret->new, sizeof ret->new);
	return rc == RC_NOTFOUND ? RC_KEY : rc;
}

enum rc log_succession_append(struct core *core, struct txn *txn, const struct entry_who *who,
			      struct log_succession_entry *ret)
{
	/* The writer's thread alone changes what the log names as its key. */
	strcpy(ret->old, core->history.log_key);
	enum rc rc = find_statement(core, ret);
	if (rc != RC_OK)
		return rc;
	json_t *fields = json_pack("{s:s, s:s, s:s, s:s%}", "key", "log", "old", ret->old, "new", ret->new, "note",
				   (const char *)ret->note.data, ret->note.len);
	rc = fields == NULL ? RC_NOMEM
			    : audit_log_append(core->log, txn, ENTRY_KEY_ROTATED, who, fields, &ret->index);
	json_decref(fields);
	return rc;
}

enum rc log_succession_committed(struct core *core, const struct log_succession_entry *entry)
{
	char note[LOG_ROTATION_CAP];
	if (entry->note.len >= sizeof note)
		return RC_INTERNAL;
	memcpy(note, entry->note.data, entry->note.len);
	note[entry->note.len] = '\0';
	pthread_mutex_lock(&core->lock);
	enum rc rc = history_add_succession(&core->history, entry->index, note, entry->new);
	pthread_mutex_unlock(&core->lock);
	return rc;
}

struct log_job {
	struct write_job job; /* first: cast back from it */
	struct core *core;
	struct entry_who who;
	uint8_t handover[SEAL_HANDOVER_LEN];
	struct log_succession_entry entry;
	bool begun;
};

/* Called again after a transaction that failed: the key is taken up once, and stays; a start logs what is left out. */
static enum rc log_apply(struct write_job *job, struct txn *txn)
{
	struct log_job *log = (struct log_job *)job;
	if (!log->begun) {
		enum rc rc = log_signer_take_over(log->core->signer, log->handover);
		if (rc != RC_OK)
			return rc;
		log->begun = true;
	}
	buffer_reset(&log->entry.note);
	return log_succession_append(log->core, txn, &log->who, &log->entry);
}

static void log_done(struct write_job *job, enum rc rc)
{
	struct log_job *log = (struct log_job *)job;
	if (job->committed && log_succession_committed(log->core, &log->entry) != RC_OK)
		log_error("the succession of the log key is logged, but cannot be shown before the next start");
}

static enum rc rotate_log(struct core *core, const struct entry_who *who, const uint8_t handover[SEAL_HANDOVER_LEN],
			  json_t **ret_answer, struct diag *diag)
{
	struct log_job log = {.job = {.apply = log_apply, .done = log_done}, .core = core, .who = *who};
	memcpy(log.handover, handover, sizeof log.handover);
	buffer_init(&log.entry.note);
	enum rc rc = write_queue_call(core->writes, &log.job);
	if (rc == RC_KEY)
		rc = diag_set(diag, RC_INVALID, "the handover was not made with the log key that is in use");
	else if (rc == RC_CONFLICT)
		diag_set(diag, rc,
			 "the log key was rotated since the daemon was started: start it with the new key first");
	if (rc == RC_OK)
		*ret_answer = json_pack("{s:s, s:s}", "key", "log", "new", log.entry.new);
	buffer_deinit(&log.entry.note);
	return rc;
}

/* GET /audit/keys: the statements, oldest first, so that whoever holds an old public key finds the present one. */
void log_keys_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	json_t *list = json_array(), *root = json_pack("{s:o}", "rotations", list);
	int failed = root == NULL;
	pthread_mutex_lock(&core->lock);
	for (size_t i = 0; i < core->history.n_successions && !failed; i++) {
		const struct log_succession *s = &core->history.successions[i];
		failed |= json_array_append_new(list, json_pack("{s:I, s:s}", "index", (json_int_t)s->index, "note",
								s->note));
	}
	pthread_mutex_unlock(&core->lock);
	if (failed) {
		json_decref(root);
		root = NULL;
	}
	request_reply_json(request, 200, root);
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

static enum rc rotate_seal(struct core *core, const struct entry_who *who, const uint8_t handover[SEAL_HANDOVER_LEN],
			   json_t **ret_answer, struct diag *diag)
{
	struct begin_job begin = {.job = {.apply = begin_apply}, .core = core, .who = *who};
	memcpy(begin.handover, handover, sizeof begin.handover);
	enum rc rc = write_queue_call(core->writes, &begin.job);
	if (rc == RC_KEY)
		rc = diag_set(diag, RC_INVALID, "the handover was not made with the sealing key that is in use");
	else if (rc == RC_CONFLICT)
		diag_set(diag, rc, "the sealing key is being rotated already");
	if (begin.begun)
		rotator_wake(core->rotator);
	if (rc == RC_OK) {
		char number[NUMBER_CAP];
		number_text(seal_key_number(core->seal), number);
		*ret_answer = json_pack("{s:s, s:s}", "key", "seal", "new", number);
	}
	return rc;
}

static bool read_handover(const char *text, const char *prefix, uint8_t ret[SEAL_HANDOVER_LEN])
{
	size_t len = strlen(prefix);
	return strncmp(text, prefix, len) == 0 &&
	       hex_decode(text + len, strlen(text) - len, ret, SEAL_HANDOVER_LEN) == RC_OK;
}

static enum rc parse_handover(const uint8_t *body, size_t len, uint8_t ret[SEAL_HANDOVER_LEN], bool *ret_is_log,
			      struct diag *diag)
{
	json_t *root = NULL;
	enum rc rc = json_parse_strict((const char *)body, len, &root, diag);
	const char *text = json_string_value(json_object_get(root, "handover"));
	if (rc == RC_OK) {
		*ret_is_log = text != NULL && strncmp(text, LOG_HANDOVER_PREFIX, strlen(LOG_HANDOVER_PREFIX)) == 0;
		if (text == NULL || json_object_size(root) != 1 ||
		    !read_handover(text, *ret_is_log ? LOG_HANDOVER_PREFIX : SEAL_HANDOVER_PREFIX, ret))
			rc = diag_set(diag, RC_INVALID,
				      "expected {\"handover\": \"...\"} with what `throughcare keys rotate` made");
	}
	json_decref(root);
	return rc;
}

void keys_run(struct request *request, const uint8_t *body, size_t len)
{
	const struct pipe_request *head = request_head(request);
	struct core *core = request_core(request);
	struct entry_who who = entry_who_of(&head->who, ROLE_OPERATOR);
	uint8_t handover[SEAL_HANDOVER_LEN];
	struct diag diag = {""};
	json_t *answer = NULL;
	bool is_log = false;
	enum rc rc = request_expect_json(head, &diag);
	if (rc == RC_OK)
		rc = parse_handover(body, len, handover, &is_log, &diag);
	if (rc == RC_OK)
		rc = is_log ? rotate_log(core, &who, handover, &answer, &diag)
			    : rotate_seal(core, &who, handover, &answer, &diag);
	if (rc == RC_OK)
		request_reply_json(request, 202, answer);
	else
		request_problem(request, rc, diag.text);
}
