/* Releases: started, charged, published, asked for, lost by a restore; and their bodies. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/day.h"
#include "proto/json.h"
#include "tools/audit/replay_internal.h"

enum { SECONDS_A_DAY = 86400, MAX_BODY_TEXT = 1 << 28 };

static struct replay_release *last_release(const struct replay *replay)
{
	return replay->n_releases > 0 ? &replay->releases[replay->n_releases - 1] : NULL;
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
	if (replay_count_new_sources(replay) < rules->min_sources)
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

enum rc replay_take_started(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag)
{
	struct replay_release r = {.started_index = replay->n_entries, .started_at = time};
	const struct replay_release *last = last_release(replay);
	uint8_t commitment[32];
	int32_t as_of;

	if (!replay_get_count(fields, "number", &r.number) || r.number != replay->n_releases + 1)
		return BREACH(replay, diag, "the numbers of releases do not ascend by one");
	if (last != NULL && !last->released)
		return BREACH(replay, diag, "a release is started before the one before it was published");
	if (!replay_get_text(fields, "as_of", r.as_of, sizeof r.as_of) || day_parse(r.as_of, &as_of) != RC_OK ||
	    as_of > time / SECONDS_A_DAY)
		return BREACH(replay, diag, "a release is started without a date, or with one in the future");
	if (last != NULL && strcmp(r.as_of, last->as_of) < 0)
		return BREACH(replay, diag, "the date of a release is before that of the one before it");
	if (!replay_get_digest(fields, "commitment", commitment))
		return BREACH(replay, diag, "a release is started without a commitment to its secret");
	if (!replay_get_hex(fields, "study_digest", r.study_digest) ||
	    strcmp(r.study_digest, replay->study_digest) != 0)
		return BREACH(replay, diag, "a release is started under another study than the one in force");
	r.synthetic = replay->study_synthetic;
	enum rc rc = replay_check_waiting(replay, time, diag);
	if (rc == RC_OK)
		rc = replay_check_cut(replay, json_object_get(fields, "cut"), &r, diag);
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

enum rc replay_take_release(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag)
{
	struct replay_release *last = last_release(replay);
	char version[sizeof replay->version];
	uint64_t number, started;

	if (!replay_get_count(fields, "number", &number) || !replay_get_count(fields, "started_index", &started))
		return BREACH(replay, diag, "a release without number or started_index");
	if (last == NULL || number != last->number || started != last->started_index)
		return BREACH(replay, diag, "a release is published that was not started");
	if (last->released)
		return BREACH(replay, diag, "a release is published twice");
	if (!replay_get_digest(fields, "digest", last->digest))
		return BREACH(replay, diag, "a release without the digest of its body");
	if (!replay_get_text(fields, "version", version, sizeof version) || strcmp(version, replay->version) != 0)
		return BREACH(replay, diag, "a release was made by another version than the daemon that ran");
	if (replay_check_waiting(replay, time, diag) != RC_OK)
		return RC_PROTOCOL;
	last->disclosure = json_incref(json_object_get(fields, "disclosure"));
	last->released = true;
	last->released_index = replay->n_entries;
	last->released_at = time;
	last->witness_rule = replay->witnesses.in_force;
	if (replay_witnesses_needed(replay, last) > 0)
		roots_keep(&replay->roots);
	return RC_OK;
}

enum rc replay_take_query(struct replay *replay, const json_t *fields, struct diag *diag)
{
	uint8_t answer[32];
	uint64_t number;

	if (!replay_get_count(fields, "release", &number) || !replay_get_digest(fields, "answer", answer) ||
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

static enum rc add_lost_releases(struct replay *replay, int64_t time, uint64_t releases, uint64_t rho_total)
{
	const struct replay_release *last = last_release(replay);
	struct replay_release lost = {
		.started_index = replay->n_entries, .started_at = time, .released = true, .lost = true};
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

enum rc replay_take_restore(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag)
{
	enum { MAX_RELEASES = 1 << 20 };
	const struct replay_release *last = last_release(replay);
	struct replay_restore r = {.index = replay->n_entries, .at = time};
	uint64_t releases, rho_total, spent = last ? last->rho_total_micro : 0;
	uint8_t root[32];

	if (!replay_get_count(fields, "entries", &r.entries) || !replay_get_digest(fields, "root", root) ||
	    !replay_get_count(fields, "signed_entries", &r.signed_entries) ||
	    !replay_get_digest(fields, "signed_root", root) || !replay_get_count(fields, "releases", &releases) ||
	    !replay_get_count(fields, "rho_total_micro", &rho_total))
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

/* ---- bodies ---- */

/* Are all members of `part` (NULL = none) in `whole`, with the same values? */
static bool says_all_of(const json_t *whole, json_t *part)
{
	const char *key;
	json_t *value;

	json_object_foreach(part, key, value)
	{
		if (json_equal(json_object_get(whole, key), value) != 1)
			return false;
	}
	return true;
}

static enum rc compare_body(const struct replay_release *r, const json_t *body, struct diag *diag)
{
	const json_t *disclosure = json_object_get(body, "disclosure");
	char as_of[11], study[65], secret[16];
	uint64_t number, rho, rho_total;
	const char *wrong = NULL;

	if (!replay_get_count(body, "release", &number) || number != r->number)
		wrong = "release";
	else if (!replay_get_text(body, "as_of", as_of, sizeof as_of) || strcmp(as_of, r->as_of) != 0)
		wrong = "as_of";
	else if (!replay_get_hex(body, "study_digest", study) || strcmp(study, r->study_digest) != 0)
		wrong = "study_digest";
	else if (!replay_get_count(disclosure, "rho_micro", &rho) || rho != r->rho_micro)
		wrong = "disclosure.rho_micro";
	else if (!replay_get_count(disclosure, "rho_total_micro", &rho_total) || rho_total != r->rho_total_micro)
		wrong = "disclosure.rho_total_micro";
	else if (!json_is_boolean(json_object_get(body, "synthetic")) ||
		 json_is_true(json_object_get(body, "synthetic")) != r->synthetic)
		wrong = "synthetic";
	else if (!replay_get_text(disclosure, "secret", secret, sizeof secret) ||
		 (strcmp(secret, "destroyed") != 0 && !r->synthetic))
		wrong = "disclosure.secret";
	else if (!says_all_of(disclosure, r->disclosure))
		wrong = "disclosure";
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
