/* The rules, one function a kind of entry. The log may have been written by anybody: sizes are bounded, and a field
 * that is missing or of another type is a breach, never a guess. */
#include "tools/audit/replay.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/day.h"
#include "proto/json.h"
#include "proto/log_rotation.h"
#include "tools/audit/replay_internal.h"


void replay_init(struct replay *replay, const struct study *study)
{
	memset(replay, 0, sizeof *replay);
	replay->study = study;
}

void replay_deinit(struct replay *replay)
{
	free(replay->batches);
	for (size_t i = 0; i < replay->n_releases; i++)
		json_decref(replay->releases[i].disclosure);
	free(replay->releases);
	free(replay->restores);
	roots_deinit(&replay->roots);
	witness_history_deinit(&replay->witnesses);
	memset(replay, 0, sizeof *replay);
}

enum rc replay_breach(uint64_t index, struct diag *diag, const char *rule)
{
	return diag_set(diag, RC_PROTOCOL, "entry %" PRIu64 ": %s", index, rule);
}

/* ---- fields -------------------------------------------------------------------------------------------------- */

bool replay_get_count(const json_t *object, const char *key, uint64_t *ret)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(value);
	return true;
}

bool replay_get_text(const json_t *object, const char *key, char *out, size_t cap)
{
	const json_t *value = json_object_get(object, key);
	size_t len = json_string_length(value);

	if (!json_is_string(value) || len == 0 || len >= cap || strlen(json_string_value(value)) != len)
		return false;
	memcpy(out, json_string_value(value), len + 1);
	return true;
}

bool replay_get_digest(const json_t *object, const char *key, uint8_t ret[32])
{
	char text[65];

	return replay_get_text(object, key, text, sizeof text) && hex_decode(text, strlen(text), ret, 32) == RC_OK;
}

bool replay_get_hex(const json_t *object, const char *key, char out[65])
{
	uint8_t bytes[32];

	if (!replay_get_digest(object, key, bytes))
		return false;
	hex_encode(bytes, sizeof bytes, out);
	return true;
}

static enum rc take_study(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag)
{
	const json_t *synthetic = json_object_get(fields, "synthetic");

	if (!replay_get_hex(fields, "digest", replay->study_digest) ||
	    !replay_get_count(fields, "rho_limit_micro", &replay->study_limit_micro) || !json_is_boolean(synthetic))
		return BREACH(replay, diag, "a study without digest, limit or synthetic");
	enum rc rc = witness_history_add(&replay->witnesses, json_object_get(fields, "witnesses"), time);
	if (rc == RC_NOMEM)
		return rc;
	if (rc != RC_OK)
		return BREACH(replay, diag, "a study with witnesses that are none");
	replay->study_synthetic = json_is_true(synthetic);
	return RC_OK;
}

static enum rc take_keys(struct replay *replay, const json_t *fields, struct diag *diag)
{
	const char *key = json_string_value(json_object_get(fields, "key"));

	if (key == NULL)
		return BREACH(replay, diag, "a key came into use without its kind");
	if (strcmp(key, "log") != 0)
		return RC_OK;
	if (replay->n_log_keys > 0)
		return BREACH(replay, diag, "a second log key that the first did not sign");
	if (!replay_get_text(fields, "public", replay->log_key, sizeof replay->log_key))
		return BREACH(replay, diag, "a log key without its public part");
	replay->n_log_keys = 1;
	return RC_OK;
}

/* The old key of the log must be the one in use, and have signed the new. */
static enum rc take_rotated(struct replay *replay, const json_t *fields, struct diag *diag)
{
	const char *key = json_string_value(json_object_get(fields, "key"));
	const char *old = json_string_value(json_object_get(fields, "old"));
	const char *new = json_string_value(json_object_get(fields, "new"));
	const json_t *note = json_object_get(fields, "note");
	struct tlog_vkey by, next, named;

	if (key == NULL || old == NULL || new == NULL)
		return BREACH(replay, diag, "a key was rotated without its kind, the old and the new one");
	if (strcmp(key, "log") != 0)
		return RC_OK;
	if (strcmp(old, replay->log_key) != 0)
		return BREACH(replay, diag, "the log key that was rotated is not the one in use");
	if (!json_is_string(note) || tlog_vkey_parse(old, &by) != RC_OK || tlog_vkey_parse(new, &named) != RC_OK ||
	    log_rotation_verify(json_string_value(note), json_string_length(note), &by, &next) != RC_OK ||
	    memcmp(next.public_key, named.public_key, sizeof next.public_key) != 0)
		return BREACH(replay, diag, "the old log key did not sign the new one");
	if (strlen(new) >= sizeof replay->log_key)
		return BREACH(replay, diag, "a log key that is too long");
	strcpy(replay->old_log_key, replay->log_key);
	strcpy(replay->log_key, new);
	replay->n_log_keys++;
	return RC_OK;
}

static enum rc take_daemon_start(struct replay *replay, const json_t *fields, struct diag *diag)
{
	if (!replay_get_text(fields, "version", replay->version, sizeof replay->version))
		return BREACH(replay, diag, "a start without the daemon's version");
	return RC_OK;
}

static enum rc take_backup(struct replay *replay, const json_t *fields, struct diag *diag)
{
	uint8_t digest[32];
	uint64_t entries;

	if (!replay_get_count(fields, "entries", &entries) || !replay_get_digest(fields, "root", digest) ||
	    !replay_get_digest(fields, "digest", digest))
		return BREACH(replay, diag, "a backup without entries, root or digest");
	if (entries > replay->n_entries)
		return BREACH(replay, diag, "a backup is of more entries than the log had");
	return RC_OK;
}

static enum rc take_access(struct replay *replay, const json_t *fields, struct diag *diag)
{
	uint8_t digest[32];
	uint64_t n;

	if (!replay_get_digest(fields, "digest", digest) || !replay_get_count(fields, "certificates", &n) ||
	    !replay_get_count(fields, "policies", &n) || !json_is_string(json_object_get(fields, "other_certificates")))
		return BREACH(replay, diag, "an access file without digest, certificates, policies or other_certificates");
	return RC_OK;
}

static enum rc take_authorities(struct replay *replay, const json_t *fields, struct diag *diag)
{
	const json_t *list = json_object_get(fields, "certificates"), *one;
	const char *before = "";
	uint8_t digest[32];
	size_t i;

	if (!json_is_array(list) || json_array_size(list) == 0)
		return BREACH(replay, diag, "the clients' authorities without any");
	json_array_foreach(list, i, one)
	{
		const char *text = json_string_value(one);
		if (text == NULL || hex_decode(text, strlen(text), digest, sizeof digest) != RC_OK ||
		    strcmp(text, before) <= 0)
			return BREACH(replay, diag, "the clients' authorities are not digests in ascending order");
		before = text;
	}
	return RC_OK;
}

static enum rc take_certificate(struct replay *replay, const json_t *fields, struct diag *diag)
{
	const char *change = json_string_value(json_object_get(fields, "change"));
	uint8_t digest[32];

	if (change == NULL)
		return BREACH(replay, diag, "a certificate without change");
	if (strcmp(change, "revoked") == 0) {
		if (!replay_get_digest(fields, "authority", digest) || !json_is_string(json_object_get(fields, "serial")))
			return BREACH(replay, diag, "a certificate is revoked without authority or serial");
		return RC_OK;
	}
	if (strcmp(change, "added") != 0 && strcmp(change, "changed") != 0 && strcmp(change, "removed") != 0)
		return BREACH(replay, diag, "a certificate is neither added, changed, removed nor revoked");
	if (replay_get_digest(fields, "fp", digest) == json_is_string(json_object_get(fields, "policy")))
		return BREACH(replay, diag, "a rule is about a certificate or a policy, one of the two");
	return RC_OK;
}

static enum rc take_kind(struct replay *replay, enum entry_kind kind, int64_t time, const json_t *fields,
			 struct diag *diag)
{
	switch (kind) {
	case ENTRY_START:
		return take_daemon_start(replay, fields, diag);
	case ENTRY_BATCH:
		return replay_take_batch(replay, fields, diag);
	case ENTRY_WITHDRAWAL:
		return replay_take_withdrawal(replay, fields, diag);
	case ENTRY_PURGE:
		return replay_take_purge(replay, fields, diag);
	case ENTRY_RELEASE_STARTED:
		return replay_take_started(replay, time, fields, diag);
	case ENTRY_RELEASE:
		return replay_take_release(replay, time, fields, diag);
	case ENTRY_QUERY:
		return replay_take_query(replay, fields, diag);
	case ENTRY_STUDY:
		return take_study(replay, time, fields, diag);
	case ENTRY_BACKUP:
		return take_backup(replay, fields, diag);
	case ENTRY_RESTORE:
		return replay_take_restore(replay, time, fields, diag);
	case ENTRY_KEYS:
		return take_keys(replay, fields, diag);
	case ENTRY_ACCESS:
		return take_access(replay, fields, diag);
	case ENTRY_AUTHORITIES:
		return take_authorities(replay, fields, diag);
	case ENTRY_CERTIFICATE:
		return take_certificate(replay, fields, diag);
	case ENTRY_KEY_ROTATED:
		return take_rotated(replay, fields, diag);
	case ENTRY_WITNESSED:
		return replay_take_witnessed(replay, time, fields, diag);
	default:
		return RC_OK;
	}
}

enum rc replay_entry(struct replay *replay, const void *text, size_t len, struct diag *diag)
{
	struct diag why = {""};
	json_t *fields = NULL;
	enum entry_kind kind;
	int64_t time;

	enum rc rc = entry_parse(text, len, &kind, &time, &fields, &why);
	if (rc != RC_OK)
		return rc == RC_NOMEM ? rc : BREACH(replay, diag, why.text);
	if (replay->n_entries == 0)
		replay->first_time = time;
	else if (time < replay->last_time)
		rc = BREACH(replay, diag, "its time is before that of the entry before it");
	if (rc == RC_OK)
		rc = take_kind(replay, kind, time, fields, diag);
	if (rc == RC_OK)
		rc = roots_append(&replay->roots, text, len);
	json_decref(fields);
	if (rc != RC_OK)
		return rc;
	replay->last_time = time;
	replay->n_of_kind[kind]++;
	replay->n_entries++;
	return RC_OK;
}

enum rc replay_end(struct replay *replay, struct diag *diag)
{
	return replay_sort_batches(replay, diag);
}
