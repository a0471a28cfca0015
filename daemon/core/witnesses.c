/* POST /audit/cosignatures and GET /audit/cosigned.
 *
 * Kept is one note: the newest checkpoint that any witness has cosigned, with the log's own signature and one line a
 * witness. Invariant: every line in it was verified here, and the checkpoint is one that this log signed and still
 * extends. It is an aid and no truth: whoever relies on a witness verifies its signature himself. */
#include "daemon/core/witnesses.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/handlers.h"
#include "proto/json.h"

enum { MAX_CLOCK_AHEAD_S = 300 };

/* ---- configuration ---- */

static enum rc add_witness(struct core *core, const char *line)
{
	struct tlog_vkey vkey;
	if (core->n_witnesses == CORE_MAX_WITNESSES || tlog_witness_parse(line, &vkey) != RC_OK)
		return RC_CONFIG;
	for (size_t i = 0; i < core->n_witnesses; i++) {
		if (strcmp(core->witnesses[i].name, vkey.name) == 0)
			return RC_CONFIG;
	}
	core->witnesses[core->n_witnesses++] = vkey;
	return RC_OK;
}

enum rc witnesses_load(struct core *core, struct diag *diag)
{
	const char *path = core->conf->witnesses;
	char line[TLOG_VKEY_CAP + 2];
	enum rc rc = RC_OK;
	if (path[0] == '\0')
		return RC_OK;
	core->witnesses = calloc(CORE_MAX_WITNESSES, sizeof *core->witnesses);
	if (core->witnesses == NULL)
		return RC_NOMEM;
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
				 path, n, CORE_MAX_WITNESSES);
	}
	fclose(in);
	return rc;
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
	struct cosigned cosigned; /* as sent; then as kept */
	struct diag diag;
};

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
	if (head->content != CONTENT_JSON || head->encoding != ENCODING_IDENTITY)
		return diag_set(&c->diag, RC_MEDIA_TYPE, "expected application/json without Content-Encoding");
	enum rc rc = json_parse_strict((const char *)body, len, &root, &c->diag);
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
	struct cosign_job c = {.job = {.apply = cosign_apply, .bytes = TLOG_CHECKPOINT_CAP}, .core = core};
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
