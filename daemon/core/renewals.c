/* Renewed files in the log: see renewals.h. What is in force is in force already when it is logged here; the access
 * file, which may let somebody in, is logged before (reload.c). The authorities may let somebody in as well: no request
 * is taken before they are logged. */
#include "daemon/core/renewals.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/base/monotonic.h"
#include "daemon/core/state.h"

static const uint8_t no_digest[32];

/* The front says that it happened: it may not take the last room. */
static enum rc log_fields(struct core *core, enum entry_kind kind, json_t *fields)
{
	const struct store_reserve leave = core_entry_reserve(core);
	const struct entry_draft draft = {kind, fields};
	enum rc rc = fields == NULL ? RC_NOMEM : core_log_entries(core, &draft, 1, &leave);

	json_decref(fields);
	return rc;
}

/* ---- how often ---- */

/* Entries that the front can cause, however often it says so. */
static bool is_allowed(struct renewals *renewals)
{
	enum { ENTRIES_AN_HOUR = 20, WINDOW_S = 3600 };
	int64_t now_s = monotonic_ms() / 1000;

	if (renewals->n_in_window == 0 || now_s - renewals->window_s >= WINDOW_S) {
		renewals->window_s = now_s;
		renewals->n_in_window = 0;
	}
	if (renewals->n_in_window == ENTRIES_AN_HOUR)
		return false;
	renewals->n_in_window++;
	return true;
}

/* ---- the server's certificate ---- */

/* Errors: RATE, and those of the log. */
static enum rc log_certificate(struct core *core, const uint8_t digest[32])
{
	char now[65], before[65];
	enum rc rc;

	hex_encode(digest, 32, now);
	pthread_mutex_lock(&core->lock);
	strcpy(before, core->history.server_certificate);
	pthread_mutex_unlock(&core->lock);
	if (strcmp(before, now) == 0)
		return RC_OK;
	if (!is_allowed(&core->renewals))
		return RC_RATE;
	if (before[0] == '\0')
		rc = log_fields(core, ENTRY_KEYS, json_pack("{s:s, s:s}", "key", "tls", "public", now));
	else
		rc = log_fields(core, ENTRY_KEY_ROTATED,
				json_pack("{s:s, s:s, s:s}", "key", "tls", "old", before, "new", now));
	if (rc != RC_OK)
		return rc;
	pthread_mutex_lock(&core->lock);
	strcpy(core->history.server_certificate, now);
	pthread_mutex_unlock(&core->lock);
	return RC_OK;
}

static void take_certificate(struct core *core, const uint8_t digest[32])
{
	struct renewals *renewals = &core->renewals;
	enum rc rc = log_certificate(core, digest);

	if (rc == RC_RATE && !renewals->certificate_waits)
		log_warning("the server's certificate changes too often; the log says so within the hour");
	else if (rc != RC_OK && rc != RC_RATE)
		log_error("the server's certificate cannot be logged yet: %s", rc_text(rc));
	renewals->certificate_waits = rc != RC_OK;
	memmove(renewals->certificate, digest, sizeof renewals->certificate);
}

/* ---- the clients' authorities ---- */

static json_t *digests_json(const struct pipe_trusted *trusted)
{
	json_t *list = json_array();
	bool ok = list != NULL;
	char hex[65];

	for (size_t i = 0; ok && i < trusted->n; i++) {
		hex_encode(trusted->authorities[i], sizeof trusted->authorities[i], hex);
		ok = json_array_append_new(list, json_string(hex)) == 0;
	}
	if (!ok) {
		json_decref(list);
		list = NULL;
	}
	return list;
}

static enum rc log_trusted(struct core *core, const struct pipe_trusted *trusted)
{
	json_t *list = digests_json(trusted), *fields;
	enum rc rc = RC_OK;

	if (list == NULL)
		return RC_NOMEM;
	pthread_mutex_lock(&core->lock);
	bool is_known = json_equal(core->history.authorities, list) == 1;
	pthread_mutex_unlock(&core->lock);
	if (is_known)
		goto out;
	fields = json_pack("{s:O}", "certificates", list);
	/* No more often than the file changes: they may take the last room, as the access file may. */
	rc = fields == NULL ? RC_NOMEM : core_log_entry(core, ENTRY_AUTHORITIES, NULL, fields);
	json_decref(fields);
	if (rc != RC_OK)
		goto out;
	pthread_mutex_lock(&core->lock);
	json_decref(core->history.authorities);
	core->history.authorities = json_incref(list);
	pthread_mutex_unlock(&core->lock);
out:
	json_decref(list);
	return rc;
}

void renewals_trusted(struct core *core, const struct pipe_trusted *trusted)
{
	struct renewals *renewals = &core->renewals;
	enum rc rc = log_trusted(core, trusted);

	if (rc != RC_OK)
		log_error("the clients' authorities cannot be logged: %s; requests wait until they are", rc_text(rc));
	renewals->trusted = *trusted;
	renewals->trusted_waits = rc != RC_OK;
	if (rc == RC_OK)
		renewals_good(core, RENEWAL_AUTHORITIES);
}

void renewals_run(struct core *core)
{
	enum { AGAIN_MS = 2000 };
	struct renewals *renewals = &core->renewals;
	int64_t now_ms = monotonic_ms();

	if (now_ms < renewals->again_ms)
		return;
	renewals->again_ms = now_ms + AGAIN_MS;
	if (renewals->trusted_waits) {
		const struct pipe_trusted trusted = renewals->trusted;
		renewals_trusted(core, &trusted);
	}
	if (renewals->certificate_waits)
		take_certificate(core, renewals->certificate);
}

/* ---- refusals ---- */

static bool is_same(const struct pipe_renewed *a, const struct pipe_renewed *b)
{
	return a->fault == b->fault && memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

static void take_refused(struct core *core, const struct pipe_renewed *refused)
{
	struct renewals *renewals = &core->renewals;
	char digest[65];

	if (is_same(&renewals->refused[refused->file], refused))
		return;
	renewals->refused[refused->file] = *refused;
	if (!is_allowed(renewals)) {
		renewals->n_dropped++;
		return;
	}
	json_t *fields = json_pack("{s:s, s:s}", "file", renewal_file_name(refused->file), "reason",
				   renewal_fault_name(refused->fault));
	hex_encode(refused->digest, sizeof refused->digest, digest);
	if (fields != NULL && memcmp(refused->digest, no_digest, sizeof no_digest) != 0)
		json_object_set_new(fields, "digest", json_string(digest));
	if (fields != NULL && renewals->n_dropped > 0)
		json_object_set_new(fields, "not_logged_before", json_integer(renewals->n_dropped));
	enum rc rc = log_fields(core, ENTRY_RENEWAL_REFUSED, fields);
	if (rc == RC_OK) {
		renewals->n_dropped = 0;
	} else {
		renewals->n_dropped++;
		log_error("the refusal of a renewed file cannot be logged: %s", rc_text(rc));
	}
}

void renewals_take(struct core *core, const struct pipe_renewed *renewed)
{
	if (renewed->fault != RENEWAL_GOOD) {
		take_refused(core, renewed);
		return;
	}
	renewals_good(core, renewed->file);
	if (renewed->file == RENEWAL_PAIR)
		take_certificate(core, renewed->digest);
}

void renewals_refuse(struct core *core, enum renewal_file file, enum renewal_fault fault, const struct buffer *text)
{
	struct pipe_renewed refused = {.file = file, .fault = fault};

	if (text != NULL)
		sha256(text->data, text->len, refused.digest);
	take_refused(core, &refused);
}

void renewals_good(struct core *core, enum renewal_file file)
{
	core->renewals.refused[file].fault = RENEWAL_GOOD;
}
