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

enum { VALUE_AD_CAP = 1 + STORE_KEY_CAP };

static bool key_is_valid(const struct store_key *key)
{
	return key->len >= 1 && key->len <= STORE_KEY_CAP;
}

/* ---- transactions ---- */

enum rc store_fail(struct txn *txn, enum rc rc)
{
	if (rc != RC_OK && rc != RC_NOTFOUND && txn->status == RC_OK)
		txn->status = rc;
	return rc;
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
		rc = store_settle_salts(txn);
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

enum rc store_buffer_room(struct buffer *out, size_t len, uint8_t **ret)
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
	*ret = len == 0 ? NULL : out->data + before; /* an empty buffer may have no bytes at all */
	return RC_OK;
}

enum rc store_open_value(const struct store *store, const uint8_t *key, size_t key_len, const uint8_t *sealed,
			 size_t len, struct buffer *out)
{
	uint8_t ad[VALUE_AD_CAP], *room = NULL, empty[1];
	if (len < SEAL_OVERHEAD || key_len > STORE_KEY_CAP)
		return RC_DAMAGED;
	size_t before = out->len, plain_len = len - SEAL_OVERHEAD;
	enum rc rc = store_buffer_room(out, plain_len, &room);
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
		return store_fail(txn, RC_INTERNAL);
	enum rc rc = count_put(txn, key);
	if (rc == RC_OK)
		rc = engine_reserve(txn->engine_txn, key->bytes, key->len, len + SEAL_OVERHEAD, &room);
	if (rc == RC_OK)
		rc = seal_value(txn->store->seal, "value", ad, value_ad(key->bytes, key->len, ad), value, len, room);
	return store_fail(txn, rc);
}

enum rc store_get(struct txn *txn, const struct store_key *key, struct buffer *out)
{
	const uint8_t *sealed;
	size_t len;
	if (txn->status != RC_OK)
		return txn->status;
	if (!key_is_valid(key))
		return store_fail(txn, RC_INTERNAL);
	enum rc rc = engine_get(txn->engine_txn, key->bytes, key->len, &sealed, &len);
	if (rc == RC_OK)
		rc = store_open_value(txn->store, key->bytes, key->len, sealed, len, out);
	return store_fail(txn, rc);
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
	return store_fail(txn, rc);
}

enum rc store_has(struct txn *txn, const struct store_key *key)
{
	const uint8_t *sealed;
	size_t len;
	if (txn->status != RC_OK)
		return txn->status;
	if (!key_is_valid(key))
		return store_fail(txn, RC_INTERNAL);
	return store_fail(txn, engine_get(txn->engine_txn, key->bytes, key->len, &sealed, &len));
}

enum rc store_delete(struct txn *txn, const struct store_key *key)
{
	if (txn->status != RC_OK)
		return txn->status;
	if (!txn->write || !key_is_valid(key))
		return store_fail(txn, RC_INTERNAL);
	enum rc rc = engine_delete(txn->engine_txn, key->bytes, key->len);
	int counted = store_counted(key->bytes, key->len);
	if (rc == RC_OK && counted >= 0)
		txn->counted[counted]--;
	return store_fail(txn, rc);
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
	return scan.own_error ? store_fail(txn, rc) : rc;
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
		return store_fail(txn, RC_INTERNAL);
	enum rc rc = engine_last(txn->engine_txn, prefix->bytes, prefix->len, last.bytes, STORE_KEY_CAP, &last.len);
	if (rc == RC_OK)
		*ret = last;
	return store_fail(txn, rc);
}
