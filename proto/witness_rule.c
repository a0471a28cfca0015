#include "proto/witness_rule.h"

#include <stdlib.h>
#include <string.h>

enum rc witness_rule_add(struct witness_rule *rule, const char *vkey)
{
	struct tlog_vkey key;
	enum rc rc = tlog_witness_parse(vkey, &key);

	for (unsigned i = 0; rc == RC_OK && i < rule->n; i++) {
		if (strcmp(rule->keys[i].name, key.name) == 0)
			rc = RC_INVALID;
	}
	if (rc == RC_OK && rule->n == WITNESS_MAX)
		rc = RC_TOO_LARGE;
	if (rc != RC_OK)
		return rc == RC_TOO_LARGE ? rc : RC_INVALID;
	rule->keys[rule->n++] = key;
	return RC_OK;
}

json_t *witness_rule_json(const struct witness_rule *rule)
{
	char vkey[TLOG_VKEY_CAP];
	json_t *keys = json_array();

	for (unsigned i = 0; i < rule->n; i++) {
		if (tlog_witness_format(rule->keys[i].name, rule->keys[i].public_key, vkey, sizeof vkey) != RC_OK ||
		    json_array_append_new(keys, json_string(vkey)) != 0) {
			json_decref(keys);
			return NULL;
		}
	}
	return json_pack("{s:i, s:o}", "needed", (int)rule->needed, "keys", keys);
}

enum rc witness_rule_parse(const json_t *json, struct witness_rule *ret)
{
	struct witness_rule rule = {.needed = 0};
	const json_t *needed = json_object_get(json, "needed"), *keys = json_object_get(json, "keys");
	json_int_t n = json_integer_value(needed);

	if (json == NULL) {
		*ret = rule;
		return RC_OK;
	}
	if (!json_is_integer(needed) || !json_is_array(keys) || json_object_size(json) != 2)
		return RC_INVALID;
	for (size_t i = 0; i < json_array_size(keys); i++) {
		const char *vkey = json_string_value(json_array_get(keys, i));
		if (vkey == NULL || witness_rule_add(&rule, vkey) != RC_OK)
			return RC_INVALID;
	}
	if (n < 1 || n > rule.n)
		return RC_INVALID;
	rule.needed = (uint8_t)n;
	*ret = rule;
	return RC_OK;
}

enum rc witness_rule_count(const struct witness_rule *rule, const char *note, size_t len, unsigned *ret)
{
	struct tlog_cosignature by;
	unsigned n = 0;

	for (unsigned i = 0; i < rule->n; i++) {
		enum rc rc = tlog_cosignature_verify(note, len, &rule->keys[i], &by);
		if (rc != RC_OK && rc != RC_NOTFOUND)
			return rc;
		n += rc == RC_OK;
	}
	*ret = n;
	return RC_OK;
}

static bool has_key(const struct witness_rule *rule, const struct tlog_vkey *key)
{
	for (unsigned i = 0; i < rule->n; i++) {
		if (tlog_vkey_equal(&rule->keys[i], key))
			return true;
	}
	return false;
}

/* Of the keys of `rule`, how many are not the other's? */
static unsigned count_others(const struct witness_rule *rule, const struct witness_rule *other)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rule->n; i++)
		n += !has_key(other, &rule->keys[i]);
	return n;
}

bool witness_rule_covers(const struct witness_rule *rule, const struct witness_rule *other)
{
	/* At worst, all that are not the other's are among those who signed. */
	return other->needed == 0 || rule->needed >= other->needed + count_others(rule, other);
}

void witness_history_deinit(struct witness_history *history)
{
	free(history->rules);
	memset(history, 0, sizeof *history);
}

const struct witness_rule *witness_history_get(const struct witness_history *history, size_t number)
{
	static const struct witness_rule none;

	return number == 0 ? &none : &history->rules[number - 1];
}

enum rc witness_history_add(struct witness_history *history, const json_t *json, int64_t unix_time)
{
	const struct witness_rule *before = witness_history_get(history, history->in_force);
	struct witness_rule rule;
	enum rc rc = witness_rule_parse(json, &rule);

	if (rc != RC_OK)
		return rc;
	if (count_others(&rule, before) > 0 || count_others(before, &rule) > 0)
		history->since = unix_time;
	if (rule.n == 0) {
		history->in_force = 0;
		return RC_OK;
	}
	struct witness_rule *grown = reallocarray(history->rules, history->n + 1, sizeof *grown);
	if (grown == NULL)
		return RC_NOMEM;
	history->rules = grown;
	grown[history->n++] = rule;
	history->in_force = history->n;
	return RC_OK;
}

const struct witness_rule *witness_history_stand_in(const struct witness_history *history, size_t number,
						    int64_t unix_time)
{
	const struct witness_rule *now = witness_history_get(history, history->in_force);
	const struct witness_rule *then = witness_history_get(history, number);
	bool settled = unix_time - history->since >= WITNESS_CHANGE_S;

	return settled && now->n >= then->needed ? now : NULL;
}

bool witness_history_may_carry(const struct witness_history *history, size_t number, int64_t unix_time)
{
	const struct witness_rule *now = witness_history_get(history, history->in_force);
	const struct witness_rule *then = witness_history_get(history, number);

	return witness_rule_covers(now, then) ||
	       (witness_history_stand_in(history, number, unix_time) != NULL && now->needed >= then->needed);
}
