#include "proto/witness_rule.h"

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
