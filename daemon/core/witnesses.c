/* POST /audit/cosignatures and GET /audit/cosigned.
 *
 * Kept is one note: the newest checkpoint that any witness has cosigned (while a release waits, for a day, one that
 * more have), with the log's own signature and one line a witness. Invariant: every line in it was verified here, and
 * the checkpoint is one that this log signed and still extends. It is an aid and no truth: whoever relies on a witness
 * verifies its signature himself. Where the study asks for witnesses, a note with enough of their lines goes into the
 * log and makes the releases before it readable. */
#include "daemon/core/witnesses.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/core/handlers.h"
#include "proto/json.h"

enum {
	MAX_CLOCK_AHEAD_S = 300,
	SECONDS_A_DAY = 86400,
	MAX_CONFIGURED = 2 * WITNESS_MAX, /* of the study and of the file */
};

/* ---- configuration ---- */

static enum rc add_witness(struct core *core, const char *line)
{
	struct tlog_vkey vkey;
	if (core->n_witnesses == MAX_CONFIGURED || tlog_witness_parse(line, &vkey) != RC_OK)
		return RC_CONFIG;
	for (size_t i = 0; i < core->n_witnesses; i++) {
		const struct tlog_vkey *there = &core->witnesses[i];
		if (strcmp(there->name, vkey.name) != 0)
			continue;
		/* The file may name those of the study again. */
		bool same = memcmp(there->public_key, vkey.public_key, sizeof vkey.public_key) == 0;
		return i < core->study->witnesses.n && same ? RC_OK : RC_CONFIG;
	}
	core->witnesses[core->n_witnesses++] = vkey;
	return RC_OK;
}

enum rc witnesses_load(struct core *core, struct diag *diag)
{
	const char *path = core->conf->witnesses;
	const struct witness_rule *rule = &core->study->witnesses;
	char line[TLOG_VKEY_CAP + 2];
	enum rc rc = RC_OK;
	core->witnesses = calloc(CORE_MAX_WITNESSES, sizeof *core->witnesses);
	if (core->witnesses == NULL)
		return RC_NOMEM;
	memcpy(core->witnesses, rule->keys, rule->n * sizeof rule->keys[0]);
	core->n_witnesses = rule->n;
	if (path[0] == '\0')
		return RC_OK;
	FILE *in = fopen(path, "re");
	if (in == NULL)
		return diag_set(diag, RC_CONFIG, "witnesses: %s: %s", path, strerror(errno));
	for (unsigned n = 1; rc == RC_OK && fgets(line, sizeof line, in) != NULL; n++) {
		if (line[0] != '#' && line[0] != '\n')
			rc = add_witness(core, line);
		if (rc != RC_OK)
			diag_set(diag, rc,
				 "%s:%u: expected the public key of a witness, NAME+HASH+BASE64, each name once, at "
				 "most %d of them",
				 path, n, MAX_CONFIGURED);
	}
	fclose(in);
	return rc;
}

/* False when there is no room for them all. */
static bool add_awaited(struct core *core, const struct witness_rule *rule)
{
	for (unsigned k = 0; k < rule->n; k++) {
		size_t i = 0;
		while (i < core->n_witnesses && !tlog_vkey_equal(&core->witnesses[i], &rule->keys[k]))
			i++;
		if (i == CORE_MAX_WITNESSES)
			return false;
		if (i == core->n_witnesses)
			core->witnesses[core->n_witnesses++] = rule->keys[k];
	}
	return true;
}

void witnesses_add_awaited(struct core *core)
{
	const struct history *history = &core->history;
	bool all = true;
	for (uint32_t i = history->n_releases; i > 0 && all; i--) {
		const struct release_info *info = &history->releases[i - 1];
		if (history_is_waiting(history, info))
			all = add_awaited(core, witness_history_get(&history->witnesses, info->witness_rule));
	}
	if (!all)
		log_warning("releases wait for more witnesses of earlier studies than can be known at once; the "
			    "oldest go on waiting");
}

/* ---- the note that is kept ---- */

static void cosigned_key(struct store_key *key)
{
	store_key_init(key, STORE_META);
	store_key_string(key, "cosigned");
}

/* A note with what is verified in it: whose checkpoint, and each witness's line. */
struct cosigned {
	const struct tlog_vkey *own; /* which key of the log's signed it */
	struct tlog_checkpoint checkpoint;
	uint8_t signature[64];
	struct tlog_cosignature by[CORE_MAX_WITNESSES];
	bool has[CORE_MAX_WITNESSES];
	size_t n;
};

static enum rc read_note(const struct core *core, const char *note, size_t len, struct cosigned *ret)
{
	struct cosigned c = {.own = log_signer_vkey(core->signer)};
	enum rc rc = tlog_checkpoint_verify(note, len, c.own, &c.checkpoint);
	/* A witness that has not heard of a new key hands in what the old one signed. */
	if (rc == RC_DIGEST && log_signer_old_vkey(core->signer) != NULL) {
		c.own = log_signer_old_vkey(core->signer);
		rc = tlog_checkpoint_verify(note, len, c.own, &c.checkpoint);
	}
	if (rc == RC_OK)
		rc = tlog_note_signature(note, len, c.own, c.signature);
	for (size_t i = 0; i < core->n_witnesses && rc == RC_OK; i++) {
		rc = tlog_cosignature_verify(note, len, &core->witnesses[i], &c.by[i]);
		c.has[i] = rc == RC_OK;
		c.n += c.has[i];
		if (rc == RC_NOTFOUND)
			rc = RC_OK;
	}
	if (rc == RC_OK)
		*ret = c;
	return rc;
}

static enum rc write_note(const struct core *core, const struct cosigned *c, struct buffer *out)
{
	tlog_checkpoint_body(&c->checkpoint, out);
	buffer_append(out, "\n", 1);
	tlog_note_signature_line(c->own, c->signature, out);
	for (size_t i = 0; i < core->n_witnesses; i++) {
		if (c->has[i])
			tlog_cosignature_line(&core->witnesses[i], &c->by[i], out);
	}
	return out->failed ? RC_NOMEM : RC_OK;
}

/* NOTFOUND where there is none, or none that present keys verify. */
static enum rc load_cosigned(struct core *core, struct txn *txn, struct cosigned *ret)
{
	struct store_key key;
	struct buffer note;
	buffer_init(&note);
	cosigned_key(&key);
	enum rc rc = store_get(txn, &key, &note);
	if (rc == RC_OK && (read_note(core, (const char *)note.data, note.len, ret) != RC_OK || ret->n == 0))
		rc = RC_NOTFOUND;
	buffer_deinit(&note);
	return rc;
}

void cosigned_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	struct cosigned cosigned;
	struct buffer out;
	struct txn *txn = NULL;
	buffer_init(&out);
	enum rc rc = txn_begin_read(core->store, &txn);
	if (rc == RC_OK)
		rc = load_cosigned(core, txn, &cosigned);
	txn_abort(txn);
	if (rc == RC_OK)
		rc = write_note(core, &cosigned, &out);
	if (rc == RC_OK)
		request_reply_text(request, 200, MEDIA_TEXT, &out);
	else
		request_problem(request, rc, rc == RC_NOTFOUND ? "no checkpoint is cosigned" : NULL);
	buffer_deinit(&out);
}

/* ---- taking cosignatures ---- */

struct cosign_job {
	struct write_job job; /* first: cast back from it */
	struct core *core;
	struct entry_who who;
	struct cosigned cosigned; /* as sent; then as kept */
	int64_t at;               /* when it was judged whom this is enough for */
	struct diag diag;
};

static unsigned count_of(const struct core *core, const struct witness_rule *rule, const struct cosigned *c)
{
	unsigned n = 0;
	for (unsigned k = 0; k < rule->n; k++) {
		for (size_t i = 0; i < core->n_witnesses; i++)
			n += c->has[i] && tlog_vkey_equal(&core->witnesses[i], &rule->keys[k]);
	}
	return n;
}

/* Does this release wait, and is it in this checkpoint? */
static bool is_awaited(const struct history *history, const struct release_info *info, const struct cosigned *c)
{
	return history_is_waiting(history, info) && info->released_index < c->checkpoint.size;
}

/* How many have cosigned this of those whom the release waits for, or who may stand in for them. */
static unsigned count_for(const struct core *core, const struct release_info *info, const struct cosigned *c,
			  int64_t now)
{
	const struct witness_history *rules = &core->history.witnesses;
	const struct witness_rule *stand_in = witness_history_stand_in(rules, info->witness_rule, now);
	unsigned n = count_of(core, witness_history_get(rules, info->witness_rule), c);
	unsigned n_in = stand_in == NULL ? 0 : count_of(core, stand_in, c);

	return n > n_in ? n : n_in;
}

/* Can this release be read, now that this is cosigned? */
static bool is_witnessed(const struct core *core, const struct release_info *info, const struct cosigned *c,
			 int64_t now)
{
	return is_awaited(&core->history, info, c) &&
	       count_for(core, info, c, now) >= history_witnesses_needed(&core->history, info);
}

/* Is what is kept nearer to what a release waits for than the newer one that was sent? One witness that signs every
 * checkpoint first, and alone, would else keep the others from coming together. But for a day only: a witness never
 * signs what is older than it has signed, and may have passed by the one that is kept. */
static bool must_keep(struct core *core, const struct cosigned *kept, const struct cosigned *sent)
{
	int64_t now = audit_log_now(core->log);
	bool nearer = false;
	if (core->cosigned_size != kept->checkpoint.size) {
		core->cosigned_size = kept->checkpoint.size;
		core->cosigned_since = now;
	}
	pthread_mutex_lock(&core->lock);
	for (uint32_t i = 0; i < core->history.n_releases && !nearer; i++) {
		const struct release_info *info = &core->history.releases[i];
		nearer = is_awaited(&core->history, info, kept) &&
			 count_for(core, info, kept, now) > count_for(core, info, sent, now);
	}
	pthread_mutex_unlock(&core->lock);
	return nearer && kept->checkpoint.size < sent->checkpoint.size && now - core->cosigned_since < SECONDS_A_DAY;
}

/* An entry for each release that waited for this: the note in it lets auditors see for themselves. */
static enum rc log_witnessed(struct cosign_job *c, struct txn *txn, const struct cosigned *merged,
			     const struct buffer *note)
{
	struct core *core = c->core;
	enum rc rc = RC_OK;
	c->at = audit_log_now(core->log); /* of the entry at the earliest */
	pthread_mutex_lock(&core->lock);
	uint32_t n = core->history.n_releases;
	pthread_mutex_unlock(&core->lock);
	for (uint32_t i = 0; i < n && rc == RC_OK; i++) {
		pthread_mutex_lock(&core->lock);
		bool now = is_witnessed(core, &core->history.releases[i], merged, c->at);
		pthread_mutex_unlock(&core->lock);
		if (!now)
			continue;
		json_t *fields = json_pack("{s:I, s:s%}", "number", (json_int_t)i + 1, "note", (const char *)note->data,
					   note->len);
		rc = fields == NULL ? RC_NOMEM
				    : audit_log_append(core->log, txn, ENTRY_WITNESSED, &c->who, fields, NULL);
		json_decref(fields);
	}
	return rc;
}

/* The entries are durable and signed: what they are about can be read. */
static void cosign_done(struct write_job *job, enum rc rc)
{
	struct cosign_job *c = (struct cosign_job *)job;
	struct core *core = c->core;
	pthread_mutex_lock(&core->lock);
	for (uint32_t i = 0; i < core->history.n_releases && rc == RC_OK; i++) {
		struct release_info *info = &core->history.releases[i];
		info->witnessed |= is_witnessed(core, info, &c->cosigned, c->at);
	}
	pthread_mutex_unlock(&core->lock);
}

static enum rc cosign_apply(struct write_job *job, struct txn *txn)
{
	struct cosign_job *c = (struct cosign_job *)job;
	struct cosigned kept, merged = c->cosigned;
	struct store_key key;
	struct buffer note;
	enum rc rc = load_cosigned(c->core, txn, &kept);
	if (rc != RC_OK && rc != RC_NOTFOUND)
		return rc;
	if (rc == RC_OK && kept.checkpoint.size > merged.checkpoint.size)
		return diag_set(&c->diag, RC_CONFLICT, "a newer checkpoint is cosigned already");
	if (rc == RC_OK && must_keep(c->core, &kept, &merged))
		merged = kept;
	for (size_t i = 0; rc == RC_OK && kept.checkpoint.size == merged.checkpoint.size && i < CORE_MAX_WITNESSES;
	     i++) {
		if (kept.has[i] && (!merged.has[i] || kept.by[i].time > merged.by[i].time)) {
			merged.n += !merged.has[i];
			merged.by[i] = kept.by[i];
			merged.has[i] = true;
		}
	}
	buffer_init(&note);
	cosigned_key(&key);
	rc = write_note(c->core, &merged, &note);
	if (rc == RC_OK)
		rc = store_put(txn, &key, note.data, note.len);
	if (rc == RC_OK)
		rc = log_witnessed(c, txn, &merged, &note);
	buffer_deinit(&note);
	if (rc == RC_OK)
		c->cosigned = merged;
	return rc;
}

static enum rc check_note(struct cosign_job *c, const char *note, size_t len)
{
	struct core *core = c->core;
	enum rc rc = read_note(core, note, len, &c->cosigned);
	if (rc == RC_NOMEM)
		return rc;
	if (rc != RC_OK)
		return diag_set(&c->diag, rc,
				"expected a checkpoint of this log with cosignatures; a signature does not fit");
	if (c->cosigned.n == 0)
		return diag_set(&c->diag, RC_INVALID, "no cosignature is of a witness that this daemon knows");
	for (size_t i = 0; i < core->n_witnesses; i++) {
		if (c->cosigned.has[i] && c->cosigned.by[i].time > audit_log_now(core->log) + MAX_CLOCK_AHEAD_S)
			return diag_set(&c->diag, RC_INVALID, "a cosignature is dated in the future");
	}
	rc = audit_log_was_signed(core->log, c->cosigned.checkpoint.size, &c->cosigned.checkpoint.root);
	return rc == RC_OK ? rc : diag_set(&c->diag, RC_CONFLICT, "the checkpoint is not one of this log as it is now");
}

static enum rc parse_body(struct cosign_job *c, const struct pipe_request *head, const uint8_t *body, size_t len)
{
	json_t *root = NULL;
	enum rc rc = request_expect_json(head, &c->diag);
	if (rc == RC_OK)
		rc = json_parse_strict((const char *)body, len, &root, &c->diag);
	if (rc != RC_OK)
		return rc;
	const json_t *note = json_object_get(root, "note");
	if (!json_is_string(note) || json_object_size(root) != 1)
		rc = diag_set(&c->diag, RC_INVALID, "expected {\"note\": \"a cosigned checkpoint\"}");
	else
		rc = check_note(c, json_string_value(note), json_string_length(note));
	json_decref(root);
	return rc;
}

void cosign_run(struct request *request, const uint8_t *body, size_t len)
{
	struct core *core = request_core(request);
	struct cosign_job c = {
		.job = {.apply = cosign_apply, .done = cosign_done, .bytes = TLOG_CHECKPOINT_CAP},
		.core = core,
		.who = entry_who_of(&request_head(request)->who, ROLE_AUDITOR),
	};
	struct buffer out;
	buffer_init(&out);
	enum rc rc = parse_body(&c, request_head(request), body, len);
	if (rc == RC_OK)
		rc = write_queue_call(core->writes, &c.job);
	if (rc == RC_OK) {
		buffer_printf(&out, "{\"size\":%" PRIu64 ",\"witnesses\":%zu}", c.cosigned.checkpoint.size,
			      c.cosigned.n);
		request_reply_text(request, 200, MEDIA_JSON, &out);
	} else {
		request_problem(request, rc, c.diag.text);
	}
	buffer_deinit(&out);
}
