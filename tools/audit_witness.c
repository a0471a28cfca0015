/* throughcare audit witness: sign that the log extends what this witness signed before, and hand the signature in.
 *
 * Invariant: a checkpoint is cosigned only when every entry below its size was fetched, hashes to its root, and has the
 * root of the last cosigned one on the way; and it is in the state file, durably, before the signature leaves. A
 * witness judges nothing else: whether the entries keep the rules is for `audit verify`. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "keys/key_file.h"
#include "keys/log_key.h"
#include "proto/json.h"
#include "tools/audit.h"
#include "tools/audit_source.h"
#include "tools/options.h"
#include "tools/whole_file.h"

struct witness {
	struct https_options https_options;
	const char *vkey_path, *key_path, *name, *state_path;
	struct https *https;
	struct tlog_vkey log, vkey;
	struct secret_key *key;
	struct audit_expectation seen;
	struct tlog_checkpoint seen_checkpoint;
	size_t n_seen;
	struct audit_source source;
};

static enum rc load(struct witness *w, struct diag *diag)
{
	uint8_t public_key[32];

	enum rc rc = audit_read_vkey(w->vkey_path, &w->log, diag);
	if (rc == RC_OK)
		rc = key_file_read(w->key_path, "witness", &w->key, diag);
	if (rc == RC_OK)
		rc = log_key_public(secret_key_bytes(w->key), public_key);
	if (rc == RC_OK && tlog_witness_make(w->name, public_key, &w->vkey) != RC_OK)
		rc = diag_set(diag, RC_INVALID, "--name: expected a name without spaces and plus signs");
	return rc;
}

static enum rc load_state(struct witness *w, struct diag *diag)
{
	struct audit_keys keys = {.n = 0};

	enum rc rc = audit_follow_keys(w->https, &w->log, &keys, diag);
	if (rc == RC_OK)
		rc = audit_read_state(w->state_path, &keys, &w->seen_checkpoint, diag);
	audit_keys_deinit(&keys);
	if (rc == RC_NOTFOUND)
		return RC_OK; /* the first time: this checkpoint is taken as it is */
	if (rc == RC_OK) {
		w->seen = (struct audit_expectation){w->seen_checkpoint.root, w->seen_checkpoint.size, w->state_path};
		w->n_seen = 1;
	}
	return rc;
}

/* What another witness has cosigned already, where that is new to this one, so that signatures come together on one
 * checkpoint; else the newest. */
static enum rc choose(struct witness *w, struct diag *diag)
{
	enum rc rc = audit_source_open_at(w->https, "/audit/cosigned", &w->log, &w->source, diag);
	if (rc == RC_OK && (w->n_seen == 0 || w->source.checkpoint.size > w->seen.size))
		return RC_OK;
	if (rc == RC_OK)
		audit_source_deinit(&w->source);
	memset(&w->source, 0, sizeof w->source);
	if (rc != RC_OK && rc != RC_NOTFOUND)
		return rc;
	diag->text[0] = '\0';
	return audit_source_open(w->https, &w->log, &w->source, diag);
}

static enum rc visit(void *ctx, uint64_t index, const uint8_t *entry, size_t len, struct diag *diag)
{
	return RC_OK;
}

/* The log's own signature and ours. */
static enum rc cosign(struct witness *w, struct buffer *out)
{
	struct tlog_cosignature c = {.time = (int64_t)time(NULL)};
	struct buffer message;
	uint8_t signature[64];

	buffer_init(&message);
	tlog_cosign_message(&w->source.checkpoint, c.time, &message);
	enum rc rc = message.failed ? RC_NOMEM : log_key_sign(w->key, message.data, message.len, c.signature);
	buffer_deinit(&message);
	if (rc == RC_OK)
		rc = tlog_note_signature((const char *)w->source.note.data, w->source.note.len, &w->source.vkey,
					 signature);
	if (rc != RC_OK)
		return rc;
	tlog_checkpoint_body(&w->source.checkpoint, out);
	buffer_append(out, "\n", 1);
	tlog_note_signature_line(&w->source.vkey, signature, out);
	tlog_cosignature_line(&w->vkey, &c, out);
	return out->failed ? RC_NOMEM : RC_OK;
}

static enum rc hand_in(struct witness *w, const struct buffer *note, struct diag *diag)
{
	struct https_request request = {
		.method = "POST", .path = "/audit/cosignatures", .content_type = "application/json"};
	struct https_response response;
	struct buffer body;

	buffer_init(&body);
	json_t *root = json_pack("{s:s%}", "note", (const char *)note->data, note->len);
	enum rc rc = root == NULL ? RC_NOMEM : json_canonical(root, &body);
	json_decref(root);
	request.body = body.data;
	request.body_len = body.len;
	if (rc == RC_OK)
		rc = https_send(w->https, &request, &response, diag);
	if (rc == RC_OK) {
		rc = https_check(&response, diag);
		https_response_deinit(&response);
	}
	buffer_deinit(&body);
	return rc;
}

static enum rc run(struct witness *w, struct diag *diag)
{
	struct buffer note;

	buffer_init(&note);
	enum rc rc = load(w, diag);
	if (rc == RC_OK)
		rc = https_open(&w->https_options, &w->https, diag);
	if (rc == RC_OK)
		rc = load_state(w, diag);
	if (rc == RC_OK)
		rc = choose(w, diag);
	if (rc == RC_OK)
		rc = audit_source_walk(&w->source, &w->seen, w->n_seen, visit, w, diag);
	if (rc == RC_OK)
		rc = cosign(w, &note);
	if (rc == RC_OK)
		rc = whole_file_replace(w->state_path, note.data, note.len, 0644, diag);
	if (rc == RC_OK)
		rc = hand_in(w, &note, diag);
	if (rc == RC_OK)
		printf("%s cosigned %" PRIu64 " entries of %s, %" PRIu64 " more than before\n", w->name,
		       w->source.checkpoint.size, w->source.checkpoint.origin,
		       w->source.checkpoint.size - (w->n_seen > 0 ? w->seen.size : 0));
	buffer_deinit(&note);
	return rc;
}

int audit_witness(int argc, char **argv)
{
	struct witness w = {.n_seen = 0};
	const struct option_row rows[] = {
		HTTPS_OPTION_ROWS(w.https_options),
		{"vkey", 'v', OPTION_TEXT, &w.vkey_path, .argument = "FILE", .required = true,
		 .env = "THROUGHCARE_VKEY", .help = "the log's public key"},
		{"witness-key", 0, OPTION_TEXT, &w.key_path, .argument = "FILE", .required = true,
		 .help = "the witness's own key (throughcare keys witness)"},
		{"name", 0, OPTION_TEXT, &w.name, .argument = "NAME", .required = true, .help = "the witness's name"},
		{"state", 's', OPTION_TEXT, &w.state_path, .argument = "FILE", .required = true,
		 .help = "where the last cosigned checkpoint is kept; never lose or copy it back"},
	};
	const struct option_table table = {
		.command = "throughcare audit witness",
		.usage = "--vkey FILE --witness-key FILE --name NAME --state FILE",
		.about =
			"Cosign the log's checkpoint (C2SP tlog-cosignature) when the log extends what this witness "
			"cosigned\n"
			"before, and hand the signature in. Run it by a timer, on a machine that nobody of the linkage "
			"unit runs.",
		.example = "throughcare audit witness --url https://localhost:8443 --cert auditor/client.crt \\\n"
			   "  --key auditor/client.key --ca ca/ca.crt --vkey log.vkey --witness-key w1.key \\\n"
			   "  --name witness.example/w1 --state w1.state",
		OPTION_ROWS(rows)};
	struct diag diag = {""};
	bool help = false;
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	rc = run(&w, &diag);
	if (rc == RC_FORK || rc == RC_PROTOCOL)
		fprintf(stderr, "NOT COSIGNED\n");
	audit_source_deinit(&w.source);
	https_close(w.https);
	secret_key_free(w.key);
	return rc == RC_OK ? 0 : audit_fail(rc, &diag);
}
