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

enum { SECONDS_A_DAY = 86400, MAX_BODY_TEXT = 1 << 28 };

void replay_init(struct replay *replay, const struct study *study)
{
	memset(replay, 0, sizeof *replay);
	replay->study = study;
}

void replay_deinit(struct replay *replay)
{
	free(replay->batches);
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

static bool get_text(const json_t *object, const char *key, char *out, size_t cap)
{
	const json_t *value = json_object_get(object, key);
	size_t len = json_string_length(value);

	if (!json_is_string(value) || len == 0 || len >= cap || strlen(json_string_value(value)) != len)
		return false;
	memcpy(out, json_string_value(value), len + 1);
	return true;
}

static bool get_digest(const json_t *object, const char *key, uint8_t ret[32])
{
	char text[65];

	return get_text(object, key, text, sizeof text) && hex_decode(text, strlen(text), ret, 32) == RC_OK;
}

static bool get_hex(const json_t *object, const char *key, char out[65])
{
	uint8_t bytes[32];

	if (!get_digest(object, key, bytes))
		return false;
	hex_encode(bytes, sizeof bytes, out);
	return true;
}

/* ---- batches ------------------------------------------------------------------------------------------------- */

static int compare_batches(const void *a, const void *b)
{
	const struct replay_batch *x = a, *y = b;
	int order = strcmp(x->source, y->source);

	return order != 0 ? order : memcmp(x->id, y->id, sizeof x->id);
}

static struct replay_source *find_source(struct replay *replay, const char *name)
{
	size_t i = 0;

	while (i < replay->n_sources && strcmp(replay->sources[i].name, name) != 0)
		i++;
	if (i == replay->n_sources) {
		if (i == REPLAY_MAX_SOURCES)
			return NULL;
		memset(&replay->sources[i], 0, sizeof replay->sources[i]);
		strcpy(replay->sources[i].name, name);
		replay->n_sources++;
	}
	return &replay->sources[i];
}

static enum rc keep_batch(struct replay *replay, const struct replay_batch *batch)
{
	if (replay->n_batches == replay->batches_cap) {
		size_t cap = replay->batches_cap ? 2 * replay->batches_cap : 64;
		struct replay_batch *grown = reallocarray(replay->batches, cap, sizeof *grown);
		if (grown == NULL)
			return RC_NOMEM;
		replay->batches = grown;
		replay->batches_cap = cap;
	}
	replay->batches[replay->n_batches++] = *batch;
	return RC_OK;
}

static enum rc take_batch(struct replay *replay, const json_t *fields, struct diag *diag)
{
	struct replay_batch batch = {.source = ""};
	uint64_t records;

	if (!get_text(fields, "source", batch.source, sizeof batch.source) || !get_digest(fields, "batch", batch.id) ||
	    !replay_get_count(fields, "records", &records))
		return BREACH(replay, diag, "a batch without source, batch or records");
	struct replay_source *source = find_source(replay, batch.source);
	if (source == NULL)
		return BREACH(replay, diag, "more sources than a study can have");
	source->n_batches++;
	source->n_records += records;
	replay->n_records += records;
	return keep_batch(replay, &batch);
}

static enum rc take_withdrawal(struct replay *replay, const json_t *fields, struct diag *diag)
{
	char name[STUDY_NAME_CAP];
	uint64_t ids, records, chunks;

	if (!get_text(fields, "source", name, sizeof name) || !replay_get_count(fields, "ids", &ids) ||
	    !replay_get_count(fields, "records", &records) || !replay_get_count(fields, "chunks", &chunks))
		return BREACH(replay, diag, "a withdrawal without source, ids, records or chunks");
	struct replay_source *source = find_source(replay, name);
	if (source == NULL)
		return BREACH(replay, diag, "more sources than a study can have");
	if (records > source->n_records - source->n_withdrawn)
		return BREACH(replay, diag, "a source withdraws more records than it sent");
	source->n_withdrawn += records;
	return RC_OK;
}

static enum rc take_purge(struct replay *replay, const json_t *fields, struct diag *diag)
{
	char name[STUDY_NAME_CAP], before[DAY_TEXT_LEN];
	uint64_t records, chunks;
	int32_t day;

	if (!get_text(fields, "source", name, sizeof name) || !get_text(fields, "before", before, sizeof before) ||
	    day_parse(before, &day) != RC_OK || !replay_get_count(fields, "records", &records) ||
	    !replay_get_count(fields, "chunks", &chunks))
		return BREACH(replay, diag, "a purge without source, day, records or chunks");
	struct replay_source *source = find_source(replay, name);
	if (source == NULL)
		return BREACH(replay, diag, "more sources than a study can have");
	if (records > source->n_records - source->n_withdrawn)
		return BREACH(replay, diag, "more records of a source are purged than it sent");
	source->n_withdrawn += records;
	return RC_OK;
}

/* Sort what came since the last time into place; a batch that stands there twice was logged twice. */
static enum rc sort_batches(struct replay *replay, struct diag *diag)
{
	if (replay->n_sorted == replay->n_batches)
		return RC_OK;
	qsort(replay->batches, replay->n_batches, sizeof *replay->batches, compare_batches);
	replay->n_sorted = replay->n_batches;
	for (size_t i = 1; i < replay->n_batches; i++) {
		if (compare_batches(&replay->batches[i - 1], &replay->batches[i]) == 0)
			return BREACH(replay, diag, "by here a batch was logged twice");
	}
	return RC_OK;
}

/* SHA-256 over the ascending (source, NUL, batch id). */
static void cut_digest(const struct replay *replay, uint8_t ret[32])
{
	struct sha256_ctx *ctx = sha256_new();

	for (size_t i = 0; i < replay->n_batches; i++) {
		sha256_update(ctx, replay->batches[i].source, strlen(replay->batches[i].source) + 1);
		sha256_update(ctx, replay->batches[i].id, sizeof replay->batches[i].id);
	}
	sha256_final(ctx, ret);
	sha256_free(ctx);
}

/* ---- releases ------------------------------------------------------------------------------------------------ */

static struct replay_release *last_release(const struct replay *replay)
{
	return replay->n_releases > 0 ? &replay->releases[replay->n_releases - 1] : NULL;
}

static enum rc check_cut(struct replay *replay, const json_t *cut, struct replay_release *r, struct diag *diag)
{
	uint8_t said[32], is[32];

	if (!replay_get_count(cut, "batches", &r->cut_batches) || !replay_get_count(cut, "records", &r->cut_records) ||
	    !get_digest(cut, "digest", said))
		return BREACH(replay, diag, "a release is started without its cut");
	if (r->cut_batches != replay->n_batches || r->cut_records != replay->n_records)
		return BREACH(replay, diag, "the cut of a release counts other batches or records than were logged");
	enum rc rc = sort_batches(replay, diag);
	if (rc != RC_OK)
		return rc;
	cut_digest(replay, is);
	return memcmp(said, is, sizeof is) == 0
		       ? RC_OK
		       : BREACH(replay, diag, "the cut of a release is of other batches than were logged");
}

static enum rc check_charge(struct replay *replay, const json_t *fields, struct replay_release *r, struct diag *diag)
{
	const struct replay_release *last = last_release(replay);
	uint64_t spent = last ? last->rho_total_micro : 0;

	if (!replay_get_count(fields, "rho_micro", &r->rho_micro) ||
	    !replay_get_count(fields, "rho_total_micro", &r->rho_total_micro) ||
	    !replay_get_count(fields, "rho_limit_micro", &r->rho_limit_micro))
		return BREACH(replay, diag, "a release is started without its charge");
	if (r->rho_micro > INT64_MAX - spent || r->rho_total_micro != spent + r->rho_micro)
		return BREACH(replay, diag, "the charges of the releases do not add up");
	if (r->rho_limit_micro != replay->study_limit_micro)
		return BREACH(replay, diag, "a release has another limit than the study in force");
	if (r->rho_total_micro > r->rho_limit_micro)
		return BREACH(replay, diag, "the releases together cost more than the limit");
	return RC_OK;
}

/* How many sources sent a batch since the last cut. */
static size_t count_new_sources(const struct replay *replay)
{
	size_t n = 0;

	for (size_t i = 0; i < replay->n_sources; i++)
		n += replay->sources[i].n_batches > replay->sources[i].n_batches_at_cut;
	return n;
}

static enum rc check_study_rules(struct replay *replay, const struct replay_release *r, struct diag *diag)
{
	const struct study_disclosure *rules = &replay->study->disclosure;
	const struct replay_release *last = last_release(replay);
	char digest[65];

	hex_encode(replay->study->digest, sizeof replay->study->digest, digest);
	if (strcmp(digest, r->study_digest) != 0)
		return RC_OK; /* started under an earlier study, whose rules are not at hand */
	if (r->rho_limit_micro != rules->rho_limit_micro)
		return BREACH(replay, diag, "the log says another limit than the study itself");
	if (!replay_has_witnesses_of(replay, replay->study))
		return BREACH(replay, diag, "the log says other witnesses than the study itself");
	if (last != NULL && r->started_at - last->started_at < (int64_t)rules->interval_days * SECONDS_A_DAY)
		return BREACH(replay, diag, "a release is started before the study's interval has passed");
	if (r->cut_records - (last ? last->cut_records : 0) < rules->min_new_records)
		return BREACH(replay, diag, "a release is started with fewer new records than the study asks for");
	if (count_new_sources(replay) < rules->min_sources)
		return BREACH(replay, diag,
			      "a release is started with new batches of fewer sources than the study asks");
	return RC_OK;
}

static enum rc append_release(struct replay *replay, const struct replay_release *r)
{
	struct replay_release *grown = reallocarray(replay->releases, replay->n_releases + 1, sizeof *grown);

	if (grown == NULL)
		return RC_NOMEM;
	replay->releases = grown;
	grown[replay->n_releases++] = *r;
	return RC_OK;
}

static enum rc take_started(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag)
{
	struct replay_release r = {.started_index = replay->n_entries, .started_at = time};
	const struct replay_release *last = last_release(replay);
	uint8_t commitment[32];
	int32_t as_of;

	if (!replay_get_count(fields, "number", &r.number) || r.number != replay->n_releases + 1)
		return BREACH(replay, diag, "the numbers of releases do not ascend by one");
	if (last != NULL && !last->released)
		return BREACH(replay, diag, "a release is started before the one before it was published");
	if (!get_text(fields, "as_of", r.as_of, sizeof r.as_of) || day_parse(r.as_of, &as_of) != RC_OK ||
	    as_of > time / SECONDS_A_DAY)
		return BREACH(replay, diag, "a release is started without a date, or with one in the future");
	if (last != NULL && strcmp(r.as_of, last->as_of) < 0)
		return BREACH(replay, diag, "the date of a release is before that of the one before it");
	if (!get_digest(fields, "commitment", commitment))
		return BREACH(replay, diag, "a release is started without a commitment to its secret");
	if (!get_hex(fields, "study_digest", r.study_digest) || strcmp(r.study_digest, replay->study_digest) != 0)
		return BREACH(replay, diag, "a release is started under another study than the one in force");
	r.synthetic = replay->study_synthetic;
	enum rc rc = replay_check_waiting(replay, time, diag);
	if (rc == RC_OK)
		rc = check_cut(replay, json_object_get(fields, "cut"), &r, diag);
	if (rc == RC_OK)
		rc = check_charge(replay, fields, &r, diag);
	if (rc == RC_OK && replay->study != NULL)
		rc = check_study_rules(replay, &r, diag);
	if (rc == RC_OK)
		rc = append_release(replay, &r);
	for (size_t i = 0; rc == RC_OK && i < replay->n_sources; i++)
		replay->sources[i].n_batches_at_cut = replay->sources[i].n_batches;
	return rc;
}

static enum rc take_release(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag)
{
	struct replay_release *last = last_release(replay);
	uint64_t number, started;

	if (!replay_get_count(fields, "number", &number) || !replay_get_count(fields, "started_index", &started))
		return BREACH(replay, diag, "a release without number or started_index");
	if (last == NULL || number != last->number || started != last->started_index)
		return BREACH(replay, diag, "a release is published that was not started");
	if (last->released)
		return BREACH(replay, diag, "a release is published twice");
	if (!get_digest(fields, "digest", last->digest))
		return BREACH(replay, diag, "a release without the digest of its body");
	if (replay_check_waiting(replay, time, diag) != RC_OK)
		return RC_PROTOCOL;
	last->released = true;
	last->released_index = replay->n_entries;
	last->released_at = time;
	last->witness_rule = replay->witnesses.in_force;
	if (replay_witnesses_needed(replay, last) > 0)
		roots_keep(&replay->roots);
	return RC_OK;
}

static enum rc take_query(struct replay *replay, const json_t *fields, struct diag *diag)
{
	uint8_t answer[32];
	uint64_t number;

	if (!replay_get_count(fields, "release", &number) || !get_digest(fields, "answer", answer) ||
	    !json_is_string(json_object_get(fields, "query")))
		return BREACH(replay, diag, "a query without release, query or answer");
	if (number < 1 || number > replay->n_releases || !replay->releases[number - 1].released)
		return BREACH(replay, diag, "a query was answered from a release that was not published");
	if (replay->releases[number - 1].lost)
		return BREACH(replay, diag, "a query was answered from a release that a restore had lost");
	if (!replay_is_readable(replay, &replay->releases[number - 1]))
		return BREACH(replay, diag, "a query was answered from a release that waited for witnesses");
	return RC_OK;
}

static enum rc take_study(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag)
{
	const json_t *synthetic = json_object_get(fields, "synthetic");

	if (!get_hex(fields, "digest", replay->study_digest) ||
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
	if (!get_text(fields, "public", replay->log_key, sizeof replay->log_key))
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

static enum rc take_backup(struct replay *replay, const json_t *fields, struct diag *diag)
{
	uint8_t digest[32];
	uint64_t entries;

	if (!replay_get_count(fields, "entries", &entries) || !get_digest(fields, "root", digest) ||
	    !get_digest(fields, "digest", digest))
		return BREACH(replay, diag, "a backup without entries, root or digest");
	if (entries > replay->n_entries)
		return BREACH(replay, diag, "a backup is of more entries than the log had");
	return RC_OK;
}

static enum rc take_access(struct replay *replay, const json_t *fields, struct diag *diag)
{
	uint8_t digest[32];
	uint64_t n;

	if (!get_digest(fields, "digest", digest) || !replay_get_count(fields, "certificates", &n) ||
	    !replay_get_count(fields, "policies", &n) || !json_is_string(json_object_get(fields, "other_certificates")))
		return BREACH(replay, diag, "an access file without digest, certificates, policies or other_certificates");
	return RC_OK;
}

static enum rc take_certificate(struct replay *replay, const json_t *fields, struct diag *diag)
{
	const char *change = json_string_value(json_object_get(fields, "change"));
	uint8_t digest[32];

	if (change == NULL)
		return BREACH(replay, diag, "a certificate without change");
	if (strcmp(change, "revoked") == 0) {
		if (!get_digest(fields, "authority", digest) || !json_is_string(json_object_get(fields, "serial")))
			return BREACH(replay, diag, "a certificate is revoked without authority or serial");
		return RC_OK;
	}
	if (strcmp(change, "added") != 0 && strcmp(change, "changed") != 0 && strcmp(change, "removed") != 0)
		return BREACH(replay, diag, "a certificate is neither added, changed, removed nor revoked");
	if (get_digest(fields, "fp", digest) == json_is_string(json_object_get(fields, "policy")))
		return BREACH(replay, diag, "a rule is about a certificate or a policy, one of the two");
	return RC_OK;
}

static enum rc add_lost_releases(struct replay *replay, int64_t time, uint64_t releases, uint64_t rho_total)
{
	const struct replay_release *last = last_release(replay);
	struct replay_release lost = {.started_index = replay->n_entries, .started_at = time, .released = true, .lost = true};
	enum rc rc = RC_OK;

	if (last != NULL) {
		memcpy(lost.as_of, last->as_of, sizeof lost.as_of);
		lost.cut_batches = last->cut_batches;
		lost.cut_records = last->cut_records;
		lost.rho_total_micro = last->rho_total_micro;
		lost.rho_limit_micro = last->rho_limit_micro;
	}
	while (rc == RC_OK && replay->n_releases < releases) {
		lost.number = replay->n_releases + 1;
		if (lost.number == releases) {
			lost.rho_micro = rho_total - lost.rho_total_micro;
			lost.rho_total_micro = rho_total;
		}
		rc = append_release(replay, &lost);
	}
	return rc;
}

static enum rc take_restore(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag)
{
	enum { MAX_RELEASES = 1 << 20 };
	const struct replay_release *last = last_release(replay);
	struct replay_restore r = {.index = replay->n_entries, .at = time};
	uint64_t releases, rho_total, spent = last ? last->rho_total_micro : 0;
	uint8_t root[32];

	if (!replay_get_count(fields, "entries", &r.entries) || !get_digest(fields, "root", root) ||
	    !replay_get_count(fields, "signed_entries", &r.signed_entries) || !get_digest(fields, "signed_root", root) ||
	    !replay_get_count(fields, "releases", &releases) || !replay_get_count(fields, "rho_total_micro", &rho_total))
		return BREACH(replay, diag, "a restore that does not say what was kept, signed and charged");
	if (r.entries != replay->n_entries || r.signed_entries < r.entries ||
	    (r.signed_entries == r.entries && releases == replay->n_releases))
		return BREACH(replay, diag, "a restore counts other entries than the log has");
	if (releases < replay->n_releases || releases > MAX_RELEASES || rho_total < spent || rho_total > INT64_MAX ||
	    (releases == replay->n_releases && rho_total != spent))
		return BREACH(replay, diag, "a restore gives back releases or charges");
	if (last != NULL && !last->released)
		return BREACH(replay, diag, "a restore in the middle of a release");
	struct replay_restore *grown = reallocarray(replay->restores, replay->n_restores + 1, sizeof *grown);
	if (grown == NULL)
		return RC_NOMEM;
	replay->restores = grown;
	r.n_lost_releases = releases - replay->n_releases;
	grown[replay->n_restores++] = r;
	return add_lost_releases(replay, time, releases, rho_total);
}

static enum rc take_kind(struct replay *replay, enum entry_kind kind, int64_t time, const json_t *fields,
			 struct diag *diag)
{
	switch (kind) {
	case ENTRY_BATCH:
		return take_batch(replay, fields, diag);
	case ENTRY_WITHDRAWAL:
		return take_withdrawal(replay, fields, diag);
	case ENTRY_PURGE:
		return take_purge(replay, fields, diag);
	case ENTRY_RELEASE_STARTED:
		return take_started(replay, time, fields, diag);
	case ENTRY_RELEASE:
		return take_release(replay, time, fields, diag);
	case ENTRY_QUERY:
		return take_query(replay, fields, diag);
	case ENTRY_STUDY:
		return take_study(replay, time, fields, diag);
	case ENTRY_BACKUP:
		return take_backup(replay, fields, diag);
	case ENTRY_RESTORE:
		return take_restore(replay, time, fields, diag);
	case ENTRY_KEYS:
		return take_keys(replay, fields, diag);
	case ENTRY_ACCESS:
		return take_access(replay, fields, diag);
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
	return sort_batches(replay, diag);
}

/* ---- bodies -------------------------------------------------------------------------------------------------- */

static enum rc compare_body(const struct replay_release *r, const json_t *body, struct diag *diag)
{
	const json_t *disclosure = json_object_get(body, "disclosure");
	char as_of[11], study[65], secret[16];
	uint64_t number, rho, rho_total;
	const char *wrong = NULL;

	if (!replay_get_count(body, "release", &number) || number != r->number)
		wrong = "release";
	else if (!get_text(body, "as_of", as_of, sizeof as_of) || strcmp(as_of, r->as_of) != 0)
		wrong = "as_of";
	else if (!get_hex(body, "study_digest", study) || strcmp(study, r->study_digest) != 0)
		wrong = "study_digest";
	else if (!replay_get_count(disclosure, "rho_micro", &rho) || rho != r->rho_micro)
		wrong = "disclosure.rho_micro";
	else if (!replay_get_count(disclosure, "rho_total_micro", &rho_total) || rho_total != r->rho_total_micro)
		wrong = "disclosure.rho_total_micro";
	else if (!json_is_boolean(json_object_get(body, "synthetic")) ||
		 json_is_true(json_object_get(body, "synthetic")) != r->synthetic)
		wrong = "synthetic";
	else if (!get_text(disclosure, "secret", secret, sizeof secret) ||
		 (strcmp(secret, "destroyed") != 0 && !r->synthetic))
		wrong = "disclosure.secret";
	if (wrong == NULL)
		return RC_OK;
	return diag_set(diag, RC_PROTOCOL, "release %" PRIu64 ": its body contradicts the log in %s", r->number, wrong);
}

enum rc replay_check_body(const struct replay_release *release, const void *body, size_t len, struct diag *diag)
{
	uint8_t digest[32];
	json_t *json = NULL;

	sha256(body, len, digest);
	if (!release->released || memcmp(digest, release->digest, sizeof digest) != 0)
		return diag_set(diag, RC_PROTOCOL, "release %" PRIu64 ": its body does not match the logged digest",
				release->number);
	if (len > MAX_BODY_TEXT || json_parse_strict(body, len, &json, NULL) != RC_OK)
		return diag_set(diag, RC_PROTOCOL, "release %" PRIu64 ": its body is not JSON", release->number);
	enum rc rc = compare_body(release, json, diag);
	json_decref(json);
	return rc;
}
