/* Certificates as the log knows them: see certificates.h. Rules are few and kept sorted; revoked certificates may be
 * many and are only ever added, so they are a hash table of digests. */
#include "daemon/core/certificates.h"

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/json.h"

enum { FIRST_SLOTS = 64, SERIAL_CAP = 32 };

void certificates_init(struct certificates *certificates)
{
	memset(certificates, 0, sizeof *certificates);
}

void certificates_deinit(struct certificates *certificates)
{
	free(certificates->rules);
	free(certificates->revoked);
	certificates_init(certificates);
}

/* ---- revoked certificates ---- */

static void revoked_key(const uint8_t authority[32], const void *serial, size_t len, uint8_t ret[32])
{
	uint8_t both[32 + SERIAL_CAP];

	memcpy(both, authority, 32);
	memcpy(both + 32, serial, len);
	sha256(both, 32 + len, ret);
}

/* The slot that holds the key, or the free one where it belongs. There is always a free one. */
static uint8_t *slot_of(const struct certificates *c, const uint8_t key[32])
{
	static const uint8_t zero[32];
	uint64_t at;

	memcpy(&at, key, sizeof at);
	for (at %= c->n_slots;; at = (at + 1) % c->n_slots) {
		if (memcmp(c->revoked[at], key, 32) == 0 || memcmp(c->revoked[at], zero, 32) == 0)
			return c->revoked[at];
	}
}

static enum rc grow(struct certificates *c)
{
	static const uint8_t zero[32];
	struct certificates larger = *c;

	larger.n_slots = c->n_slots == 0 ? FIRST_SLOTS : 2 * c->n_slots;
	larger.revoked = calloc(larger.n_slots, sizeof *larger.revoked);
	if (larger.revoked == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < c->n_slots; i++) {
		if (memcmp(c->revoked[i], zero, 32) != 0)
			memcpy(slot_of(&larger, c->revoked[i]), c->revoked[i], 32);
	}
	free(c->revoked);
	*c = larger;
	return RC_OK;
}

static enum rc replay_revoked(struct certificates *c, const json_t *fields)
{
	const char *authority_text = json_string_value(json_object_get(fields, "authority"));
	const char *serial_text = json_string_value(json_object_get(fields, "serial"));
	uint8_t authority[32], serial[SERIAL_CAP], key[32];
	size_t len = serial_text == NULL ? 0 : strlen(serial_text) / 2;

	if (authority_text == NULL || len == 0 || len > sizeof serial ||
	    hex_decode(authority_text, strlen(authority_text), authority, sizeof authority) != RC_OK ||
	    hex_decode(serial_text, strlen(serial_text), serial, len) != RC_OK)
		return RC_DAMAGED;
	if (2 * (c->n_revoked + 1) > c->n_slots && grow(c) != RC_OK)
		return RC_NOMEM;
	revoked_key(authority, serial, len, key);
	uint8_t *slot = slot_of(c, key);
	c->n_revoked += memcmp(slot, key, sizeof key) != 0;
	memcpy(slot, key, sizeof key);
	return RC_OK;
}

bool certificates_is_revoked(const struct certificates *certificates, const uint8_t authority[32], const void *serial,
			     size_t len)
{
	uint8_t key[32];

	if (certificates->n_slots == 0 || len > SERIAL_CAP)
		return false;
	revoked_key(authority, serial, len, key);
	return memcmp(slot_of(certificates, key), key, sizeof key) == 0;
}

/* ---- rules ---- */

/* Place of the key, or where it belongs. */
static size_t place_of(const struct certificates *c, const uint8_t key[32], bool *ret_found)
{
	size_t from = 0, to = c->n_rules;

	*ret_found = false;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = memcmp(c->rules[middle].key, key, 32);
		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

const struct certificate_rule *certificates_find(const struct certificates *certificates, const uint8_t key[32])
{
	bool found;
	size_t at = place_of(certificates, key, &found);

	return found ? &certificates->rules[at] : NULL;
}

enum rc certificates_rule_digest(const json_t *fields, uint8_t ret[32])
{
	static const char *const other[] = {"v", "t", "kind", "change"};
	json_t *rule = json_copy_object(fields);

	if (rule == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
		(void)json_object_del(rule, other[i]);
	enum rc rc = json_digest("throughcare access rule v1", rule, ret);
	json_decref(rule);
	return rc;
}

static enum rc rule_key(const json_t *fields, struct certificate_rule *ret)
{
	const char *fp = json_string_value(json_object_get(fields, "fp"));
	const char *oid = json_string_value(json_object_get(fields, "policy"));

	if (fp != NULL && oid == NULL)
		return hex_decode(fp, strlen(fp), ret->key, sizeof ret->key) == RC_OK ? RC_OK : RC_DAMAGED;
	if (oid == NULL || fp != NULL || strlen(oid) >= sizeof ret->oid)
		return RC_DAMAGED;
	strcpy(ret->oid, oid);
	sha256_labelled("policy", oid, strlen(oid), ret->key);
	return RC_OK;
}

static enum rc insert(struct certificates *c, size_t at, const struct certificate_rule *rule)
{
	struct certificate_rule *grown = reallocarray(c->rules, c->n_rules + 1, sizeof *grown);

	if (grown == NULL)
		return RC_NOMEM;
	c->rules = grown;
	memmove(grown + at + 1, grown + at, (c->n_rules - at) * sizeof *grown);
	grown[at] = *rule;
	c->n_rules++;
	return RC_OK;
}

enum rc certificates_replay(struct certificates *certificates, const json_t *fields)
{
	const char *change = json_string_value(json_object_get(fields, "change"));
	struct certificate_rule rule = {.oid = ""};
	bool found;

	if (change == NULL)
		return RC_DAMAGED;
	if (strcmp(change, "revoked") == 0)
		return replay_revoked(certificates, fields);
	bool added = strcmp(change, "added") == 0, removed = strcmp(change, "removed") == 0;
	if (!added && !removed && strcmp(change, "changed") != 0)
		return RC_DAMAGED;
	enum rc rc = rule_key(fields, &rule);
	if (rc == RC_OK)
		rc = certificates_rule_digest(fields, rule.digest);
	if (rc != RC_OK)
		return rc;
	size_t at = place_of(certificates, rule.key, &found);
	if (found == added)
		return RC_DAMAGED; /* what is there cannot be added, what is not there neither changed nor removed */
	if (added)
		return insert(certificates, at, &rule);
	struct certificate_rule *rules = certificates->rules;
	if (removed)
		memmove(rules + at, rules + at + 1, (--certificates->n_rules - at) * sizeof *rules);
	else
		rules[at] = rule;
	return RC_OK;
}
