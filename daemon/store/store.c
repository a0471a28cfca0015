/* The store: keys, sealing, and transactions with a sticky error, over the engine and the slot files.
 *
 * Invariant: the engine and the files hold sealed bytes only; a value opens only under the key it was put under (its
 * class, key and format are bound in), and a chunk only with its salt, which is synced to the slot file before the
 * transaction that refers to it commits. One flipped bit was silently wrong in 100 of 300 tries on bare LMDB: here it
 * is DAMAGED. */
#include "daemon/store/store.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/store/internal.h"
#include "keys/key_file.h"

enum {
	VALUE_AD_CAP = 1 + STORE_KEY_CAP,
	CHUNK_AD_CAP = 1 + STORE_KEY_CAP + 8,
	CHUNK_SLOT_LEN = 8, /* in front of a sealed chunk: number of its slot */
	MAX_SALTS_IN_TXN = 1 << 16,
};

struct txn {
	struct store *store;
	struct engine_txn *engine_txn;
	enum rc status;
	bool write;
	unsigned epoch; /* of a reader */
	uint8_t (*salts)[SLOT_SECRET_LEN]; /* of chunks put in this transaction */
	size_t n_salts, cap_salts;
	int64_t counted[STORE_N_COUNTED]; /* how many more there are of each counted class */
	bool counts_settled;              /* … and the store's counts have them */
};

static bool key_is_valid(const struct store_key *key)
{
	return key->len >= 1 && key->len <= STORE_KEY_CAP;
}

/* ---- transactions ---- */

static enum rc fail(struct txn *txn, enum rc rc)
{
	if (rc != RC_OK && rc != RC_NOTFOUND && txn->status == RC_OK)
		txn->status = rc;
	return rc;
}

enum rc store_fail(struct txn *txn, enum rc rc)
{
	return fail(txn, rc);
}

struct engine_txn *store_engine_txn(struct txn *txn)
{
	return txn->engine_txn;
}

struct store *store_of(struct txn *txn)
{
	return txn->store;
}

/* Readers are counted before their snapshot is taken: one of the last epoch may see what the old key sealed, one of this
 * epoch does not. */
static void reader_enter(struct txn *txn)
{
	struct store *store = txn->store;
	pthread_mutex_lock(&store->lock);
	txn->epoch = store->epoch;
	store->n_readers[txn->epoch]++;
	pthread_mutex_unlock(&store->lock);
}

static void reader_leave(struct txn *txn)
{
	struct store *store = txn->store;
	pthread_mutex_lock(&store->lock);
	store->n_readers[txn->epoch]--;
	if (store->drop_old && store->n_readers[!store->epoch] == 0) {
		seal_drop_old(store->seal);
		store->drop_old = false;
	}
	pthread_mutex_unlock(&store->lock);
}

static enum rc begin(struct store *store, bool write, struct txn **ret)
{
	struct txn *txn = calloc(1, sizeof *txn);
	if (txn == NULL)
		return RC_NOMEM;
	txn->store = store;
	txn->write = write;
	if (!write)
		reader_enter(txn);
	enum rc rc = engine_begin(store->engine, write, &txn->engine_txn);
	if (rc != RC_OK) {
		if (!write)
			reader_leave(txn);
		free(txn);
		return rc;
	}
	*ret = txn;
	return RC_OK;
}

enum rc txn_begin_read(struct store *store, struct txn **ret)
{
	return begin(store, false, ret);
}

enum rc txn_begin_write(struct store *store, struct txn **ret)
{
	return begin(store, true, ret);
}

static void txn_free(struct txn *txn)
{
	if (!txn->write)
		reader_leave(txn);
	if (txn->salts != NULL)
		explicit_bzero(txn->salts, txn->cap_salts * SLOT_SECRET_LEN);
	free(txn->salts);
	free(txn);
}

void txn_abort(struct txn *txn)
{
	if (txn == NULL)
		return;
	engine_abort(txn->engine_txn);
	txn_free(txn);
}

enum rc txn_status(const struct txn *txn)
{
	return txn->status;
}

/* Make the salts of this transaction durable, and note in it how far the slot file is used. */
static enum rc settle_salts(struct txn *txn)
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

static void add_counts(struct txn *txn, int sign)
{
	for (int i = 0; i < STORE_N_COUNTED; i++)
		txn->store->counted[i] += (uint64_t)sign * (uint64_t)txn->counted[i];
}

/* Under LMDB's own lock, which the commit gives back: the next transaction must find the new counts. */
static enum rc settle_counts(struct txn *txn)
{
	bool changed = false;
	for (int i = 0; i < STORE_N_COUNTED; i++)
		changed |= txn->counted[i] != 0;
	if (!changed)
		return RC_OK;
	add_counts(txn, 1);
	enum rc rc = store_counts_write(txn, txn->store->counted);
	if (rc != RC_OK)
		add_counts(txn, -1);
	txn->counts_settled = rc == RC_OK;
	return rc;
}

enum rc txn_commit(struct txn **txn_at)
{
	struct txn *txn = *txn_at;
	*txn_at = NULL;
	enum rc rc = txn->status;
	if (rc == RC_OK)
		rc = settle_salts(txn);
	if (rc == RC_OK)
		rc = settle_counts(txn);
	if (rc == RC_OK)
		rc = engine_commit(txn->engine_txn);
	else
		engine_abort(txn->engine_txn);
	/* Whoever puts no chunk does not touch the counter, which belongs to the one who does. */
	if (rc == RC_OK && txn->n_salts > 0)
		txn->store->next_slot += txn->n_salts;
	if (rc != RC_OK && txn->counts_settled)
		add_counts(txn, -1);
	txn_free(txn);
	return rc;
}

/* ---- values ---- */

static size_t value_ad(const uint8_t *key, size_t key_len, uint8_t ad[VALUE_AD_CAP])
{
	ad[0] = STORE_VALUE_FORMAT;
	memcpy(ad + 1, key, key_len);
	return 1 + key_len;
}

/* Room for `len` more bytes at the end of `out`; the caller fills it. */
static enum rc buffer_room(struct buffer *out, size_t len, uint8_t **ret)
{
	size_t before = out->len;
	static const uint8_t zeros[4096];
	for (size_t left = len; left > 0 && !out->failed;) {
		size_t n = left < sizeof zeros ? left : sizeof zeros;
		buffer_append(out, zeros, n);
		left -= n;
	}
	if (out->failed) {
		out->len = before;
		return RC_NOMEM;
	}
	*ret = out->data + before;
	return RC_OK;
}

enum rc store_open_value(const struct store *store, const uint8_t *key, size_t key_len, const uint8_t *sealed,
			 size_t len, struct buffer *out)
{
	uint8_t ad[VALUE_AD_CAP], *room = NULL, empty[1];
	if (len < SEAL_OVERHEAD || key_len > STORE_KEY_CAP)
		return RC_DAMAGED;
	size_t before = out->len, plain_len = len - SEAL_OVERHEAD;
	enum rc rc = buffer_room(out, plain_len, &room);
	if (rc != RC_OK)
		return rc;
	size_t ad_len = value_ad(key, key_len, ad);
	rc = unseal_value(store->seal, "value", ad, ad_len, sealed, len, plain_len == 0 ? empty : room);
	if (rc != RC_OK)
		out->len = before;
	return rc;
}

/* A counted value that was not there yet. */
static enum rc count_put(struct txn *txn, const struct store_key *key)
{
	int counted = store_counted(key->bytes, key->len);
	const uint8_t *value;
	size_t len;
	enum rc rc = counted < 0 ? RC_OK : engine_get(txn->engine_txn, key->bytes, key->len, &value, &len);
	if (rc != RC_NOTFOUND)
		return rc;
	txn->counted[counted]++;
	return RC_OK;
}

enum rc store_put(struct txn *txn, const struct store_key *key, const void *value, size_t len)
{
	uint8_t ad[VALUE_AD_CAP], *room;
	if (txn->status != RC_OK)
		return txn->status;
	if (!txn->write || !key_is_valid(key))
		return fail(txn, RC_INTERNAL);
	enum rc rc = count_put(txn, key);
	if (rc == RC_OK)
		rc = engine_reserve(txn->engine_txn, key->bytes, key->len, len + SEAL_OVERHEAD, &room);
	if (rc == RC_OK)
		rc = seal_value(txn->store->seal, "value", ad, value_ad(key->bytes, key->len, ad), value, len, room);
	return fail(txn, rc);
}

enum rc store_get(struct txn *txn, const struct store_key *key, struct buffer *out)
{
	const uint8_t *sealed;
	size_t len;
	if (txn->status != RC_OK)
		return txn->status;
	if (!key_is_valid(key))
		return fail(txn, RC_INTERNAL);
	enum rc rc = engine_get(txn->engine_txn, key->bytes, key->len, &sealed, &len);
	if (rc == RC_OK)
		rc = store_open_value(txn->store, key->bytes, key->len, sealed, len, out);
	return fail(txn, rc);
}

enum rc store_reseal(struct txn *txn, const struct store_key *key, uint64_t *n_damaged)
{
	const uint8_t *sealed;
	size_t len;
	struct buffer plain;
	buffer_init(&plain);
	enum rc rc = engine_get(txn->engine_txn, key->bytes, key->len, &sealed, &len);
	if (rc == RC_OK)
		rc = store_open_value(txn->store, key->bytes, key->len, sealed, len, &plain);
	if (rc == RC_OK)
		rc = store_put(txn, key, plain.data, plain.len);
	buffer_wipe(&plain);
	if (rc == RC_DAMAGED && txn->status == RC_OK) {
		++*n_damaged;
		return RC_OK;
	}
	return fail(txn, rc);
}

enum rc store_has(struct txn *txn, const struct store_key *key)
{
	const uint8_t *sealed;
	size_t len;
	if (txn->status != RC_OK)
		return txn->status;
	if (!key_is_valid(key))
		return fail(txn, RC_INTERNAL);
	return fail(txn, engine_get(txn->engine_txn, key->bytes, key->len, &sealed, &len));
}

enum rc store_delete(struct txn *txn, const struct store_key *key)
{
	if (txn->status != RC_OK)
		return txn->status;
	if (!txn->write || !key_is_valid(key))
		return fail(txn, RC_INTERNAL);
	enum rc rc = engine_delete(txn->engine_txn, key->bytes, key->len);
	int counted = store_counted(key->bytes, key->len);
	if (rc == RC_OK && counted >= 0)
		txn->counted[counted]--;
	return fail(txn, rc);
}

struct scan_ctx {
	struct txn *txn;
	store_visit visit;
	void *ctx;
	struct buffer plain;
	bool own_error; /* the code came from us, not from the visitor */
};

static enum rc scan_one(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct scan_ctx *scan = ctx;
	if (store_key_is_head(key, key_len))
		return RC_OK; /* not a sealed value */
	buffer_reset(&scan->plain);
	enum rc rc = store_open_value(scan->txn->store, key, key_len, value, len, &scan->plain);
	scan->own_error = rc != RC_OK;
	if (rc != RC_OK)
		return rc;
	rc = scan->visit(scan->ctx, key, key_len, scan->plain.data, scan->plain.len);
	if (scan->plain.len > 0)
		explicit_bzero(scan->plain.data, scan->plain.len);
	return rc;
}

enum rc store_scan(struct txn *txn, const struct store_key *prefix, store_visit visit, void *ctx)
{
	struct scan_ctx scan = {.txn = txn, .visit = visit, .ctx = ctx};
	if (txn->status != RC_OK)
		return txn->status;
	if (!key_is_valid(prefix) || prefix->bytes[0] == STORE_CHUNK)
		return RC_INVALID;
	buffer_init(&scan.plain);
	enum rc rc = engine_scan(txn->engine_txn, prefix->bytes, prefix->len, scan_one, &scan);
	buffer_deinit(&scan.plain);
	return scan.own_error ? fail(txn, rc) : rc;
}

static enum rc scan_one_key(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	const struct scan_ctx *scan = ctx;
	return scan->visit(scan->ctx, key, key_len, NULL, 0);
}

enum rc store_scan_keys(struct txn *txn, const struct store_key *prefix, store_visit visit, void *ctx)
{
	struct scan_ctx scan = {.txn = txn, .visit = visit, .ctx = ctx};
	if (txn->status != RC_OK)
		return txn->status;
	if (!key_is_valid(prefix))
		return RC_INVALID;
	return engine_scan(txn->engine_txn, prefix->bytes, prefix->len, scan_one_key, &scan);
}

enum rc store_last(struct txn *txn, const struct store_key *prefix, struct store_key *ret)
{
	struct store_key last;
	if (txn->status != RC_OK)
		return txn->status;
	if (!key_is_valid(prefix))
		return fail(txn, RC_INTERNAL);
	enum rc rc = engine_last(txn->engine_txn, prefix->bytes, prefix->len, last.bytes, STORE_KEY_CAP, &last.len);
	if (rc == RC_OK)
		*ret = last;
	return fail(txn, rc);
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

enum rc store_put_chunk(struct txn *txn, uint64_t sequence, uint32_t chunk, const void *plain, size_t len)
{
	struct store_key key;
	uint8_t ad[CHUNK_AD_CAP], *room;
	struct writer w;
	if (txn->status != RC_OK)
		return txn->status;
	if (!txn->write)
		return fail(txn, RC_INTERNAL);
	enum rc rc = grow_salts(txn);
	if (rc == RC_OK)
		rc = random_bytes(txn->salts[txn->n_salts], SLOT_SECRET_LEN);
	if (rc != RC_OK)
		return fail(txn, rc);
	uint64_t slot = txn->store->next_slot + txn->n_salts;
	chunk_key(&key, sequence, chunk);
	rc = engine_reserve(txn->engine_txn, key.bytes, key.len, CHUNK_SLOT_LEN + len + SEAL_OVERHEAD, &room);
	if (rc != RC_OK)
		return fail(txn, rc);
	writer_init(&w, room, CHUNK_SLOT_LEN);
	write_u64(&w, slot);
	size_t ad_len = chunk_ad(&key, slot, ad);
	rc = seal_chunk(txn->store->seal, txn->salts[txn->n_salts], ad, ad_len, plain, len, room + CHUNK_SLOT_LEN);
	if (rc == RC_OK)
		txn->n_salts++;
	return fail(txn, rc);
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
	rc = buffer_room(out, len - CHUNK_SLOT_LEN - SEAL_OVERHEAD, &room);
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
	return fail(txn, rc);
}

enum rc store_has_chunk(struct txn *txn, uint64_t sequence, uint32_t chunk)
{
	struct store_key key;
	chunk_key(&key, sequence, chunk);
	return store_has(txn, &key);
}

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
		return fail(txn, rc);
	reader_init(&r, value, value_len);
	uint64_t slot = read_u64(&r);
	if (r.failed)
		return fail(txn, RC_DAMAGED);
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
	return fail(txn, rc);
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
