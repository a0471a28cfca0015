/* Chunks of records, each sealed under a key of its own, and the secrets that are kept as their keys are: in slots.
 *
 * Invariant: a salt is durable in the slot file before the transaction that refers to it commits, and gone from it
 * before anybody is told that what it opened is. */
#include <stdlib.h>
#include <string.h>

#include "daemon/store/internal.h"
#include "keys/key_file.h"

enum {
	CHUNK_AD_CAP = 1 + STORE_KEY_CAP + 8,
	CHUNK_SLOT_LEN = 8, /* in front of a sealed chunk: number of its slot */
	MAX_SALTS_IN_TXN = 1 << 16,
};

/* ---- salts ---- */

static enum rc grow_salts(struct txn *txn)
{
	if (txn->n_salts < txn->cap_salts)
		return RC_OK;
	if (txn->n_salts >= MAX_SALTS_IN_TXN)
		return RC_TOO_LARGE;
	size_t cap = txn->cap_salts == 0 ? 16 : 2 * txn->cap_salts;
	uint8_t(*salts)[SLOT_SECRET_LEN] = calloc(cap, sizeof *salts);
	if (salts == NULL)
		return RC_NOMEM;
	if (txn->n_salts > 0) {
		memcpy(salts, txn->salts, txn->n_salts * sizeof *salts);
		explicit_bzero(txn->salts, txn->cap_salts * sizeof *salts);
	}
	free(txn->salts);
	txn->salts = salts;
	txn->cap_salts = cap;
	return RC_OK;
}

enum rc store_settle_salts(struct txn *txn)
{
	struct store *store = txn->store;
	struct store_key key;
	struct writer w;
	uint8_t value[8];
	if (txn->n_salts == 0)
		return RC_OK;
	store_slots_key(&key);
	writer_init(&w, value, sizeof value);
	write_u64(&w, store->next_slot + txn->n_salts);
	enum rc rc = store_put(txn, &key, value, sizeof value);
	if (rc == RC_OK)
		rc = slots_write(store->salts, store->next_slot, (const uint8_t(*)[SLOT_SECRET_LEN])txn->salts,
				 txn->n_salts);
	return rc == RC_OK ? slots_sync(store->salts) : rc;
}

/* ---- chunks ---- */

static void chunk_key(struct store_key *key, uint64_t sequence, uint32_t chunk)
{
	store_key_init(key, STORE_CHUNK);
	store_key_u64(key, sequence);
	store_key_u32(key, chunk);
}

static size_t chunk_ad(const struct store_key *key, uint64_t slot, uint8_t ad[CHUNK_AD_CAP])
{
	struct writer w;
	writer_init(&w, ad, CHUNK_AD_CAP);
	write_u8(&w, STORE_VALUE_FORMAT);
	write_bytes(&w, key->bytes, key->len);
	write_u64(&w, slot);
	return writer_len(&w);
}

enum rc store_put_chunk(struct txn *txn, uint64_t sequence, uint32_t chunk, const void *plain, size_t len)
{
	struct store_key key;
	uint8_t ad[CHUNK_AD_CAP], *room;
	struct writer w;
	if (txn->status != RC_OK)
		return txn->status;
	if (!txn->write)
		return store_fail(txn, RC_INTERNAL);
	enum rc rc = grow_salts(txn);
	if (rc == RC_OK)
		rc = random_bytes(txn->salts[txn->n_salts], SLOT_SECRET_LEN);
	if (rc != RC_OK)
		return store_fail(txn, rc);
	uint64_t slot = txn->store->next_slot + txn->n_salts;
	chunk_key(&key, sequence, chunk);
	rc = engine_reserve(txn->engine_txn, key.bytes, key.len, CHUNK_SLOT_LEN + len + SEAL_OVERHEAD, &room);
	if (rc != RC_OK)
		return store_fail(txn, rc);
	writer_init(&w, room, CHUNK_SLOT_LEN);
	write_u64(&w, slot);
	size_t ad_len = chunk_ad(&key, slot, ad);
	rc = seal_chunk(txn->store->seal, txn->salts[txn->n_salts], ad, ad_len, plain, len, room + CHUNK_SLOT_LEN);
	if (rc == RC_OK)
		txn->n_salts++;
	return store_fail(txn, rc);
}

enum rc store_open_chunk(const struct store *store, const struct store_key *key, const uint8_t *value, size_t len,
			 struct buffer *out)
{
	size_t before = out->len;
	uint8_t ad[CHUNK_AD_CAP], salt[SLOT_SECRET_LEN], *room;
	struct reader r;
	/* An empty chunk does not occur; anything shorter than its frame is damage. */
	if (len <= CHUNK_SLOT_LEN + SEAL_OVERHEAD)
		return RC_DAMAGED;
	reader_init(&r, value, len);
	uint64_t slot = read_u64(&r);
	enum rc rc = slots_read(store->salts, slot, salt);
	if (rc != RC_OK)
		return rc == RC_NOTFOUND ? RC_DAMAGED : rc;
	rc = store_buffer_room(out, len - CHUNK_SLOT_LEN - SEAL_OVERHEAD, &room);
	if (rc == RC_OK) {
		size_t ad_len = chunk_ad(key, slot, ad);
		rc = unseal_chunk(store->seal, salt, ad, ad_len, value + CHUNK_SLOT_LEN, len - CHUNK_SLOT_LEN, room);
	}
	explicit_bzero(salt, sizeof salt);
	if (rc != RC_OK)
		out->len = before;
	return rc;
}

enum rc store_get_chunk(struct txn *txn, uint64_t sequence, uint32_t chunk, struct buffer *out)
{
	struct store_key key;
	const uint8_t *value;
	size_t len;
	if (txn->status != RC_OK)
		return txn->status;
	chunk_key(&key, sequence, chunk);
	enum rc rc = engine_get(txn->engine_txn, key.bytes, key.len, &value, &len);
	if (rc == RC_OK)
		rc = store_open_chunk(txn->store, &key, value, len, out);
	return store_fail(txn, rc);
}

enum rc store_has_chunk(struct txn *txn, uint64_t sequence, uint32_t chunk)
{
	struct store_key key;
	chunk_key(&key, sequence, chunk);
	return store_has(txn, &key);
}

/* ---- keys that are destroyed ---- */

/* The note of a key that is to be destroyed. */
static void replaced_prefix(struct store_key *key)
{
	store_key_init(key, STORE_META);
	store_key_string(key, "replaced");
}

enum rc store_replace_chunk(struct txn *txn, uint64_t sequence, uint32_t chunk, const void *plain, size_t len)
{
	struct store_key key, note;
	const uint8_t *value;
	size_t value_len;
	struct reader r;
	if (txn->status != RC_OK)
		return txn->status;
	chunk_key(&key, sequence, chunk);
	enum rc rc = engine_get(txn->engine_txn, key.bytes, key.len, &value, &value_len);
	if (rc != RC_OK)
		return store_fail(txn, rc);
	reader_init(&r, value, value_len);
	uint64_t slot = read_u64(&r);
	if (r.failed)
		return store_fail(txn, RC_DAMAGED);
	replaced_prefix(&note);
	store_key_u64(&note, slot);
	rc = store_put(txn, &note, "", 0);
	return rc == RC_OK ? store_put_chunk(txn, sequence, chunk, plain, len) : rc;
}

enum { REPLACED_BATCH = 64 };

struct replaced {
	struct store_key notes[REPLACED_BATCH];
	size_t n;
};

static enum rc take_note(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct replaced *replaced = ctx;
	if (replaced->n == REPLACED_BATCH)
		return RC_BUSY;
	memcpy(replaced->notes[replaced->n].bytes, key, key_len);
	replaced->notes[replaced->n++].len = key_len;
	return RC_OK;
}

enum rc store_destroy_replaced(struct txn *txn)
{
	struct replaced replaced;
	struct store_key prefix;
	enum rc rc;
	replaced_prefix(&prefix);
	do {
		replaced.n = 0;
		rc = store_scan_keys(txn, &prefix, take_note, &replaced);
		bool more = rc == RC_BUSY;
		if (more)
			rc = RC_OK;
		for (size_t i = 0; i < replaced.n && rc == RC_OK; i++) {
			struct reader r;
			reader_init(&r, replaced.notes[i].bytes + prefix.len, replaced.notes[i].len - prefix.len);
			uint64_t slot = read_u64(&r);
			rc = reader_end(&r) != RC_OK ? RC_DAMAGED : slots_destroy(txn->store->salts, slot);
			if (rc == RC_OK)
				rc = store_delete(txn, &replaced.notes[i]);
		}
		if (!more)
			break;
	} while (rc == RC_OK);
	return store_fail(txn, rc);
}

/* ---- secrets ---- */

enum rc store_secret_put(struct store *store, uint32_t name, const uint8_t secret[32])
{
	uint8_t one[1][SLOT_SECRET_LEN];
	enum rc rc = slots_was_destroyed(store->secrets, name);
	if (rc == RC_OK)
		return RC_CONFLICT;
	if (rc != RC_NOTFOUND)
		return rc;
	memcpy(one[0], secret, SLOT_SECRET_LEN);
	rc = slots_write(store->secrets, name, (const uint8_t(*)[SLOT_SECRET_LEN])one, 1);
	explicit_bzero(one, sizeof one);
	return rc == RC_OK ? slots_sync(store->secrets) : rc;
}

enum rc store_secret_get(struct store *store, uint32_t name, uint8_t ret[32])
{
	return slots_read(store->secrets, name, ret);
}

enum rc store_secret_destroy(struct store *store, uint32_t name)
{
	return slots_destroy(store->secrets, name);
}
