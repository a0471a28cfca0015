/* The rule of witnesses: a release of a study that asks for them is read only after an entry that shows who they were.
 */
#include <string.h>

#include "tools/audit/replay_internal.h"

static const struct witness_rule *in_force(const struct replay *replay)
{
	return witness_history_get(&replay->witnesses, replay->witnesses.in_force);
}

bool replay_has_witnesses_of(const struct replay *replay, const struct study *study)
{
	json_t *said = witness_rule_json(in_force(replay)), *is = witness_rule_json(&study->witnesses);
	bool same = said != NULL && is != NULL && json_equal(said, is);

	json_decref(said);
	json_decref(is);
	return same;
}

unsigned replay_witnesses_needed(const struct replay *replay, const struct replay_release *release)
{
	return witness_history_get(&replay->witnesses, release->witness_rule)->needed;
}

bool replay_is_readable(const struct replay *replay, const struct replay_release *release)
{
	return release->released && !release->lost &&
	       (release->witnessed || replay_witnesses_needed(replay, release) == 0);
}

static bool waits(const struct replay *replay, const struct replay_release *release)
{
	return release->released && !release->lost && !replay_is_readable(replay, release);
}

enum rc replay_check_waiting(const struct replay *replay, int64_t time, struct diag *diag)
{
	for (size_t i = 0; i < replay->n_releases; i++) {
		const struct replay_release *r = &replay->releases[i];
		if (!waits(replay, r) || witness_history_may_carry(&replay->witnesses, r->witness_rule, time))
			continue;
		return BREACH(replay, diag,
			      in_force(replay)->needed < replay_witnesses_needed(replay, r)
				      ? "a release asks for fewer witnesses than one before it waits for"
				      : "a release asks for other witnesses than one before it waits for");
	}
	return RC_OK;
}

static bool is_signed_by(const char *vkey, const char *note, size_t len, struct tlog_checkpoint *ret)
{
	struct tlog_vkey key;

	return tlog_vkey_parse(vkey, &key) == RC_OK && tlog_checkpoint_verify(note, len, &key, ret) == RC_OK;
}

/* Have as many as the release asks for cosigned it, of those it waits for or of those who may stand in for them? */
static enum rc check_count(const struct replay *replay, const struct replay_release *r, int64_t time, const char *note,
			   size_t len, struct diag *diag)
{
	const struct witness_history *rules = &replay->witnesses;
	const struct witness_rule *stand_in = witness_history_stand_in(rules, r->witness_rule, time);
	unsigned n = 0, n_in = 0;

	if (witness_rule_count(witness_history_get(rules, r->witness_rule), note, len, &n) != RC_OK ||
	    (stand_in != NULL && witness_rule_count(stand_in, note, len, &n_in) != RC_OK))
		return BREACH(replay, diag, "a cosignature of a release is wrong");
	if (n < replay_witnesses_needed(replay, r) && n_in < replay_witnesses_needed(replay, r))
		return BREACH(replay, diag, "fewer witnesses than the study asks for have cosigned a release");
	return RC_OK;
}

/* A checkpoint of this very log, with the release in it, that enough witnesses have cosigned. */
static enum rc check_cosigned(struct replay *replay, const struct replay_release *r, int64_t time, const char *note,
			      size_t len, struct diag *diag)
{
	struct tlog_checkpoint c;

	/* While a log key is rotated a witness may still go by the old one. */
	if (!is_signed_by(replay->log_key, note, len, &c) && !is_signed_by(replay->old_log_key, note, len, &c))
		return BREACH(replay, diag, "the cosigned checkpoint of a release is not signed by the log's key");
	const struct tlog_hash *root = roots_at(&replay->roots, c.size);
	if (c.size <= r->released_index || root == NULL)
		return BREACH(replay, diag, "the cosigned checkpoint of a release does not have the release in it");
	if (memcmp(root->b, c.root.b, sizeof c.root.b) != 0)
		return BREACH(replay, diag, "the cosigned checkpoint of a release is of another log");
	return check_count(replay, r, time, note, len, diag);
}

enum rc replay_take_witnessed(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag)
{
	const json_t *note = json_object_get(fields, "note");
	uint64_t number;
	size_t n_waiting = 0;

	if (!replay_get_count(fields, "number", &number) || !json_is_string(note))
		return BREACH(replay, diag, "witnesses without the number of a release, or without what they signed");
	if (number < 1 || number > replay->n_releases || !waits(replay, &replay->releases[number - 1]))
		return BREACH(replay, diag, "a release is witnessed that did not wait for it");
	struct replay_release *r = &replay->releases[number - 1];
	enum rc rc = check_cosigned(replay, r, time, json_string_value(note), json_string_length(note), diag);
	if (rc != RC_OK)
		return rc;
	r->witnessed = true;
	for (size_t i = 0; i < replay->n_releases; i++)
		n_waiting += waits(replay, &replay->releases[i]);
	if (n_waiting == 0)
		roots_drop(&replay->roots);
	return RC_OK;
}
