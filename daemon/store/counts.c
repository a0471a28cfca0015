/* How many values of some classes there are: for those that nothing else misses when damage hides them.
 *
 * A lost log entry leaves a gap, a lost batch contradicts the log, a lost chunk is missed by its batch. A receipt may
 * be missing after a crash, and is made anew; a tombstone that is missing lets a withdrawn record come back, and
 * without the note of how far the slots are used keys would be overwritten. So the store keeps their numbers, in the
 * transaction that changes them, and compares when it is opened: what is fewer then was lost to damage, not to a crash.
 * They are opened to be counted, since a bit that flips in a key hides a value as well, and leaves their number as it
 * was. */
#include <inttypes.h>
#include <string.h>

#include "daemon/store/internal.h"

static const struct {
	enum store_class class;
	const char *name;
} counted[STORE_N_COUNTED] = {
	{STORE_RECEIPT, "receipts"},
	{STORE_TOMBSTONE, "tombstones of withdrawn records"},
	{STORE_META, "values of the store itself"},
	{STORE_DIGEST, "digests of releases"},
};

static void counts_key(struct store_key *key)
{
	store_key_init(key, STORE_META);
	store_key_string(key, "counted");
}

int store_counted(const uint8_t *key, size_t key_len)
{
	struct store_key own;
	counts_key(&own);
	if (key_len == own.len && memcmp(key, own.bytes, own.len) == 0)
		return -1;
	for (int i = 0; i < STORE_N_COUNTED; i++) {
		if ((uint8_t)counted[i].class == key[0])
			return i;
	}
	return -1;
}

enum rc store_counts_write(struct txn *txn, const uint64_t counts[STORE_N_COUNTED])
{
	struct store_key key;
	struct writer w;
	uint8_t value[8 * STORE_N_COUNTED];
	counts_key(&key);
	writer_init(&w, value, sizeof value);
	for (int i = 0; i < STORE_N_COUNTED; i++)
		write_u64(&w, counts[i]);
	return store_put(txn, &key, value, sizeof value);
}

static enum rc read_counts(struct txn *txn, uint64_t ret[STORE_N_COUNTED])
{
	struct store_key key;
	struct buffer value;
	struct reader r;
	buffer_init(&value);
	counts_key(&key);
	enum rc rc = store_get(txn, &key, &value);
	if (rc == RC_OK) {
		reader_init(&r, value.data, value.len);
		for (int i = 0; i < STORE_N_COUNTED; i++)
			ret[i] = read_u64(&r);
		rc = reader_end(&r) == RC_OK ? RC_OK : RC_DAMAGED;
	}
	buffer_deinit(&value);
	return rc;
}

static enum rc count_one(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	uint64_t *n = ctx;
	*n += store_counted(key, key_len) >= 0;
	return RC_OK;
}

enum rc store_counts_take(struct txn *txn, uint64_t ret[STORE_N_COUNTED])
{
	enum rc rc = RC_OK;
	for (int i = 0; i < STORE_N_COUNTED && rc == RC_OK; i++) {
		struct store_key prefix;
		store_key_init(&prefix, counted[i].class);
		ret[i] = 0;
		rc = store_scan(txn, &prefix, count_one, &ret[i]);
	}
	return rc;
}

enum rc store_counts_check(struct store *store, const char *directory, struct diag *diag)
{
	uint64_t is[STORE_N_COUNTED], was[STORE_N_COUNTED] = {0};
	struct txn *txn = NULL;
	enum rc rc = txn_begin_read(store, &txn);
	if (rc == RC_OK)
		rc = read_counts(txn, was);
	if (rc == RC_NOTFOUND)
		rc = RC_OK; /* none was ever put */
	if (rc == RC_OK)
		rc = store_counts_take(txn, is);
	if (rc == RC_OK)
		rc = engine_check_paths(txn->engine_txn);
	txn_abort(txn);
	for (int i = 0; i < STORE_N_COUNTED && rc == RC_OK; i++) {
		if (is[i] != was[i])
			rc = diag_set(diag, RC_DAMAGED,
				      "%s: there are %" PRIu64 " %s of %" PRIu64
				      "; no crash does that, the store is damaged (see --check-store)",
				      directory, is[i], counted[i].name, was[i]);
	}
	if (rc == RC_OK)
		memcpy(store->counted, was, sizeof was);
	else if (diag != NULL && diag->text[0] == '\0')
		diag_set(diag, rc,
			 "%s: values that are counted do not open, or keys are not where they are looked for: %s (see "
			 "--check-store)",
			 directory, rc_text(rc));
	return rc;
}
