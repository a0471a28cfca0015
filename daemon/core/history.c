/* The log's summary; history.h says what for.
 *
 * Invariant: releases are numbered 1 … n without a gap, only the last may be unfinished, and rho_total is the sum of
 * what every release_started charged, whichever study it was under. */
#include "daemon/core/history.h"

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/day.h"

void history_init(struct history *history)
{
	memset(history, 0, sizeof *history);
}

void history_deinit(struct history *history)
{
	free(history->releases);
	witness_history_deinit(&history->witnesses);
	certificates_deinit(&history->certificates);
	json_decref(history->options);
	json_decref(history->authorities);
	for (size_t i = 0; i < history->n_successions; i++)
		free(history->successions[i].note);
	free(history->successions);
	history_init(history);
}

static bool get_uint(const json_t *object, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(object, key);
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

static bool get_hex32(const json_t *object, const char *key, uint8_t ret[32])
{
	const char *text = json_string_value(json_object_get(object, key));
	return text != NULL && hex_decode(text, strlen(text), ret, 32) == RC_OK;
}

enum rc history_add_release(struct history *history, const struct release_info *info)
{
	struct release_info *grown =
		realloc(history->releases, (history->n_releases + (size_t)1) * sizeof history->releases[0]);
	if (grown == NULL)
		return RC_NOMEM;
	history->releases = grown;
	grown[history->n_releases++] = *info;
	history->rho_total_micro += info->rho_micro;
	return RC_OK;
}

static enum rc replay_started(struct history *h, uint64_t index, int64_t t, const json_t *fields)
{
	struct release_info info = {.started_index = index, .started_at = t};
	uint64_t number, rho_total;
	const json_t *cut = json_object_get(fields, "cut");
	const char *as_of = json_string_value(json_object_get(fields, "as_of"));
	if (!get_uint(fields, "number", &number) || number != (uint64_t)h->n_releases + 1 ||
	    !get_uint(cut, "batches", &info.cut_batches) || !get_uint(cut, "records", &info.cut_records) ||
	    !get_hex32(cut, "digest", info.cut_digest) || !get_hex32(fields, "commitment", info.commitment) ||
	    !get_hex32(fields, "study_digest", info.study_digest) || !get_uint(fields, "rho_micro", &info.rho_micro) ||
	    !get_uint(fields, "rho_total_micro", &rho_total) || as_of == NULL || day_parse(as_of, &info.as_of) != RC_OK)
		return RC_DAMAGED;
	/* One at a time, and the running sum in the entry is what the entries before it add up to. */
	if ((h->n_releases > 0 && !h->releases[h->n_releases - 1].released) || info.cut_batches != h->n_batches ||
	    info.rho_micro > UINT64_MAX - h->rho_total_micro || rho_total != h->rho_total_micro + info.rho_micro)
		return RC_DAMAGED;
	info.number = (uint32_t)number;
	return history_add_release(h, &info);
}

static enum rc replay_release(struct history *h, uint64_t index, const json_t *fields)
{
	uint64_t number, started;
	uint8_t digest[32];
	if (h->n_releases == 0)
		return RC_DAMAGED;
	struct release_info *last = &h->releases[h->n_releases - 1];
	if (!get_uint(fields, "number", &number) || !get_uint(fields, "started_index", &started) ||
	    !get_hex32(fields, "digest", digest) || number != last->number || started != last->started_index ||
	    last->released)
		return RC_DAMAGED;
	memcpy(last->digest, digest, sizeof last->digest);
	last->released = true;
	last->released_index = index;
	last->witness_rule = h->witnesses.in_force;
	return RC_OK;
}

static enum rc replay_witnessed(struct history *h, const json_t *fields)
{
	uint64_t number;
	if (!get_uint(fields, "number", &number) || number < 1 || number > h->n_releases)
		return RC_DAMAGED;
	struct release_info *info = &h->releases[number - 1];
	if (!history_is_waiting(h, info))
		return RC_DAMAGED;
	info->witnessed = true;
	return RC_OK;
}

static enum rc replay_batch(struct history *h, const json_t *fields)
{
	uint64_t records;
	if (!get_uint(fields, "records", &records))
		return RC_DAMAGED;
	h->n_batches++;
	h->n_records += records;
	return RC_OK;
}

static enum rc replay_withdrawal(struct history *h, const json_t *fields)
{
	uint64_t records;
	if (!get_uint(fields, "records", &records) || records > h->n_records - h->n_withdrawn)
		return RC_DAMAGED;
	h->n_withdrawn += records;
	return RC_OK;
}

enum rc history_add_succession(struct history *h, uint64_t index, const char *note, const char *new_vkey)
{
	if (strlen(new_vkey) >= sizeof h->log_key)
		return RC_DAMAGED;
	struct log_succession *grown = reallocarray(h->successions, h->n_successions + 1, sizeof *grown);
	if (grown == NULL)
		return RC_NOMEM;
	h->successions = grown;
	grown[h->n_successions] = (struct log_succession){.index = index, .note = strdup(note)};
	if (grown[h->n_successions].note == NULL)
		return RC_NOMEM;
	h->n_successions++;
	strcpy(h->log_key, new_vkey);
	return RC_OK;
}

static enum rc copy_text(const char *text, char *out, size_t cap)
{
	if (text == NULL || strlen(text) >= cap)
		return RC_DAMAGED;
	strcpy(out, text);
	return RC_OK;
}

static enum rc replay_keys(struct history *h, const json_t *fields)
{
	const char *key = json_string_value(json_object_get(fields, "key"));
	const char *public = json_string_value(json_object_get(fields, "public"));
	if (key != NULL && strcmp(key, "tls") == 0)
		return copy_text(public, h->server_certificate, sizeof h->server_certificate);
	return copy_text(public, h->log_key, sizeof h->log_key);
}

static enum rc replay_rotated(struct history *h, uint64_t index, const json_t *fields)
{
	const char *key = json_string_value(json_object_get(fields, "key"));
	const char *old = json_string_value(json_object_get(fields, "old"));
	const char *new = json_string_value(json_object_get(fields, "new"));
	const char *note = json_string_value(json_object_get(fields, "note"));
	if (key == NULL || old == NULL || new == NULL)
		return RC_DAMAGED;
	if (strcmp(key, "tls") == 0)
		return copy_text(new, h->server_certificate, sizeof h->server_certificate);
	if (strcmp(key, "log") != 0)
		return RC_OK;
	if (note == NULL || strcmp(old, h->log_key) != 0)
		return RC_DAMAGED;
	return history_add_succession(h, index, note, new);
}

/* Releases that a restore has lost: what was charged for them together stands with the last of them. */
static enum rc replay_restore(struct history *h, uint64_t index, int64_t t, const json_t *fields)
{
	enum { MAX_RELEASES = 1 << 20 };
	const struct release_info *last = history_last(h);
	struct release_info lost = {.started_index = index, .started_at = t, .released = true, .lost = true};
	uint64_t releases, rho_total;
	enum rc rc = RC_OK;
	if (!get_uint(fields, "releases", &releases) || !get_uint(fields, "rho_total_micro", &rho_total) ||
	    releases < h->n_releases || releases > MAX_RELEASES || rho_total < h->rho_total_micro ||
	    (releases == h->n_releases && rho_total != h->rho_total_micro) || (last != NULL && !last->released))
		return RC_DAMAGED;
	if (last != NULL) {
		lost.as_of = last->as_of;
		lost.cut_batches = last->cut_batches;
		lost.cut_records = last->cut_records;
	}
	while (h->n_releases < releases && rc == RC_OK) {
		lost.number = h->n_releases + 1;
		lost.rho_micro = lost.number == releases ? rho_total - h->rho_total_micro : 0;
		rc = history_add_release(h, &lost);
	}
	return rc;
}

enum rc history_replay(struct history *h, uint64_t index, enum entry_kind kind, int64_t unix_time, const json_t *fields)
{
	if (unix_time > h->clock_known && (index == 0 || unix_time - h->clock_known <= CLOCK_MAX_GAP_S))
		h->clock_known = unix_time;
	switch (kind) {
	case ENTRY_BATCH:
		return replay_batch(h, fields);
	case ENTRY_WITHDRAWAL:
	case ENTRY_PURGE:
		return replay_withdrawal(h, fields);
	case ENTRY_RELEASE_STARTED:
		return replay_started(h, index, unix_time, fields);
	case ENTRY_RELEASE:
		return replay_release(h, index, fields);
	case ENTRY_WITNESSED:
		return replay_witnessed(h, fields);
	case ENTRY_STUDY:
		h->has_real_study |= !json_is_true(json_object_get(fields, "synthetic"));
		if (witness_history_add(&h->witnesses, json_object_get(fields, "witnesses"), unix_time) != RC_OK)
			return RC_DAMAGED;
		return get_hex32(fields, "digest", h->study_digest) ? RC_OK : RC_DAMAGED;
	case ENTRY_RESTORE:
		return replay_restore(h, index, unix_time, fields);
	case ENTRY_BACKUP:
		h->last_backup_at = unix_time;
		return RC_OK;
	case ENTRY_KEY_ROTATED:
		return replay_rotated(h, index, fields);
	case ENTRY_KEYS:
		return replay_keys(h, fields);
	case ENTRY_START:
		json_decref(h->options);
		h->options = json_incref(json_object_get(fields, "options"));
		return RC_OK;
	case ENTRY_ACCESS:
		return get_hex32(fields, "digest", h->access_digest) ? RC_OK : RC_DAMAGED;
	case ENTRY_AUTHORITIES:
		json_decref(h->authorities);
		h->authorities = json_incref(json_object_get(fields, "certificates"));
		return json_is_array(h->authorities) ? RC_OK : RC_DAMAGED;
	case ENTRY_CERTIFICATE:
		return certificates_replay(&h->certificates, fields);
	default:
		return RC_OK;
	}
}

/* Are the fields of this kind none of the summary's business? */
static bool is_by_the_way(enum entry_kind kind)
{
	return kind == ENTRY_QUERY || kind == ENTRY_REFUSED || kind == ENTRY_STOP || kind == ENTRY_CONFIG ||
	       kind == ENTRY_BATCH_REJECTED || kind == ENTRY_RENEWAL_REFUSED;
}

enum rc history_replay_text(void *ctx, uint64_t index, enum entry_kind kind, int64_t unix_time, const char *text,
			    size_t len)
{
	json_t *fields = NULL;

	if (is_by_the_way(kind))
		return history_replay(ctx, index, kind, unix_time, NULL);
	enum rc rc = entry_parse(text, len, &kind, &unix_time, &fields, NULL);
	if (rc != RC_OK)
		return rc == RC_NOMEM ? rc : RC_DAMAGED;
	rc = history_replay(ctx, index, kind, unix_time, fields);
	json_decref(fields);
	return rc;
}

const struct release_info *history_last(const struct history *history)
{
	return history->n_releases == 0 ? NULL : &history->releases[history->n_releases - 1];
}

const struct release_info *history_last_released(const struct history *history)
{
	uint32_t n = history->n_releases;
	if (n > 0 && !history->releases[n - 1].released)
		n--;
	return n == 0 ? NULL : &history->releases[n - 1];
}

uint32_t history_readable_before(const struct history *history, uint32_t number)
{
	uint32_t n = number - 1 < history->n_releases ? number - 1 : history->n_releases;
	while (n > 0 && (!history->releases[n - 1].released || history->releases[n - 1].lost))
		n--;
	return n;
}

unsigned history_witnesses_needed(const struct history *history, const struct release_info *info)
{
	return witness_history_get(&history->witnesses, info->witness_rule)->needed;
}

bool history_is_readable(const struct history *history, const struct release_info *info)
{
	return info->released && !info->lost && (info->witnessed || history_witnesses_needed(history, info) == 0);
}

bool history_is_waiting(const struct history *history, const struct release_info *info)
{
	return info->released && !info->lost && !history_is_readable(history, info);
}

const struct release_info *history_last_readable(const struct history *history)
{
	for (uint32_t n = history->n_releases; n > 0; n--) {
		if (history_is_readable(history, &history->releases[n - 1]))
			return &history->releases[n - 1];
	}
	return NULL;
}

enum rc history_check_readable(const struct history *history, uint32_t number, struct diag *diag)
{
	if (number < 1 || number > history->n_releases || !history->releases[number - 1].released ||
	    history->releases[number - 1].lost)
		return diag_set(diag, RC_NOTFOUND, "there is no such release");
	const struct release_info *info = &history->releases[number - 1];
	if (history_is_readable(history, info))
		return RC_OK;
	return diag_set(diag, RC_TOO_EARLY,
			"release %u is published, and waits until %u witnesses of the study have cosigned the log",
			(unsigned)number, history_witnesses_needed(history, info));
}

uint32_t history_n_waiting(const struct history *history)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < history->n_releases; i++)
		n += history_is_waiting(history, &history->releases[i]);
	return n;
}

const struct release_info *history_not_to_carry(const struct history *history, int64_t unix_time)
{
	for (uint32_t i = 0; i < history->n_releases; i++) {
		const struct release_info *info = &history->releases[i];
		if (history_is_waiting(history, info) &&
		    !witness_history_may_carry(&history->witnesses, info->witness_rule, unix_time))
			return info;
	}
	return NULL;
}

uint32_t history_release_of(const struct history *history, uint64_t sequence)
{
	for (uint32_t i = 0; i < history->n_releases; i++) {
		const struct release_info *info = &history->releases[i];
		if (info->released && !info->lost && sequence < info->cut_batches)
			return info->number;
	}
	return 0;
}
