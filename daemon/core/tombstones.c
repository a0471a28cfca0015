/* Tombstones of withdrawn records; tombstones.h says what they are. */
#include "daemon/core/tombstones.h"

#include <string.h>

#include "keys/key_file.h"

static void key_name(struct store_key *key)
{
	store_key_init(key, STORE_META);
	store_key_string(key, "tombstones");
}

enum rc tombstones_read_key(struct txn *txn, uint8_t ret[TOMBSTONE_KEY_LEN])
{
	struct store_key key;
	struct buffer value;
	buffer_init(&value);
	key_name(&key);
	enum rc rc = store_get(txn, &key, &value);
	if (rc == RC_OK && value.len != TOMBSTONE_KEY_LEN)
		rc = RC_DAMAGED;
	if (rc == RC_OK)
		memcpy(ret, value.data, TOMBSTONE_KEY_LEN);
	buffer_wipe(&value);
	return rc;
}

enum rc tombstones_make_key(struct txn *txn)
{
	uint8_t made[TOMBSTONE_KEY_LEN];
	struct store_key key;
	key_name(&key);
	enum rc rc = random_bytes(made, sizeof made);
	if (rc == RC_OK)
		rc = store_put(txn, &key, made, sizeof made);
	explicit_bzero(made, sizeof made);
	return rc;
}

enum rc tombstone_make(const uint8_t key[TOMBSTONE_KEY_LEN], const char *source, const uint8_t id[RECORD_ID_LEN],
		       struct tombstone *ret)
{
	uint8_t text[STUDY_NAME_CAP + RECORD_ID_LEN];
	size_t len = strnlen(source, STUDY_NAME_CAP - 1);
	*ret = (struct tombstone){.source = ""};
	memcpy(ret->source, source, len);
	memcpy(text, ret->source, len + 1);
	memcpy(text + len + 1, id, RECORD_ID_LEN);
	return hmac_sha256(key, TOMBSTONE_KEY_LEN, text, len + 1 + RECORD_ID_LEN, ret->tag);
}

int tombstone_compare(const void *a, const void *b)
{
	const struct tombstone *x = a, *y = b;
	int order = strcmp(x->source, y->source);
	return order != 0 ? order : memcmp(x->tag, y->tag, sizeof x->tag);
}

static void place_of(const struct tombstone *tombstone, struct store_key *key)
{
	store_key_init(key, STORE_TOMBSTONE);
	store_key_string(key, tombstone->source);
	store_key_bytes(key, tombstone->tag, sizeof tombstone->tag);
}

enum rc tombstone_put(struct txn *txn, const struct tombstone *tombstone)
{
	struct store_key key;
	place_of(tombstone, &key);
	return store_put(txn, &key, "", 0);
}

enum rc tombstone_has(struct txn *txn, const struct tombstone *tombstone)
{
	struct store_key key;
	place_of(tombstone, &key);
	return store_has(txn, &key);
}

struct each {
	tombstone_visit visit;
	void *ctx;
};

static enum rc visit_key(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	const struct each *each = ctx;
	struct tombstone tombstone = {.source = ""};
	/* Class, name, NUL, tag. */
	if (key_len < 1 + 1 + TOMBSTONE_TAG_LEN || key_len - 1 - TOMBSTONE_TAG_LEN > sizeof tombstone.source ||
	    key[key_len - TOMBSTONE_TAG_LEN - 1] != '\0')
		return RC_DAMAGED;
	memcpy(tombstone.source, key + 1, key_len - 1 - TOMBSTONE_TAG_LEN);
	memcpy(tombstone.tag, key + key_len - TOMBSTONE_TAG_LEN, TOMBSTONE_TAG_LEN);
	return each->visit(each->ctx, &tombstone);
}

enum rc tombstones_each(struct txn *txn, tombstone_visit visit, void *ctx)
{
	struct each each = {visit, ctx};
	struct store_key prefix;
	store_key_init(&prefix, STORE_TOMBSTONE);
	return store_scan_keys(txn, &prefix, visit_key, &each);
}

enum rc tombstones_check(struct txn *txn, const char *source, const struct batch_chunk *chunk, uint32_t *ret_record)
{
	uint8_t key[TOMBSTONE_KEY_LEN];
	struct tombstone tombstone;
	enum rc rc = tombstones_read_key(txn, key);
	if (rc == RC_NOTFOUND)
		return RC_OK; /* nothing was ever withdrawn */
	for (uint32_t i = 0; i < chunk->n_records && rc == RC_OK; i++) {
		rc = tombstone_make(key, source, chunk->record_ids[i], &tombstone);
		if (rc == RC_OK)
			rc = tombstone_has(txn, &tombstone);
		if (rc == RC_OK) {
			*ret_record = i;
			rc = RC_CONFLICT;
		} else if (rc == RC_NOTFOUND) {
			rc = RC_OK;
		}
	}
	explicit_bzero(key, sizeof key);
	return rc;
}
