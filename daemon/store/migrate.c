/* Stores of older formats are brought to the present one when they are opened to be written: each step in one
 * transaction, the new head in it, so that a crash leaves the old store or the new.
 *
 * 2 → 3: receipts and tombstones are counted (counts.c). Format 1, in which values did not name their sealing key, was
 * never in use and is not read. */
#include <inttypes.h>

#include "daemon/store/internal.h"

static enum rc count_what_is_there(struct txn *txn)
{
	uint64_t counts[STORE_N_COUNTED];
	enum rc rc = store_counts_take(txn, counts);
	return rc == RC_OK ? store_counts_write(txn, counts) : rc;
}

enum rc store_migrate(struct store *store, const char *directory, struct diag *diag)
{
	struct txn *txn = NULL;
	enum rc rc = txn_begin_write(store, &txn);
	if (rc == RC_OK)
		rc = count_what_is_there(txn);
	if (rc == RC_OK)
		rc = store_write_head(store, txn->engine_txn);
	if (rc == RC_OK)
		rc = txn_commit(&txn);
	txn_abort(txn);
	if (rc != RC_OK)
		return diag_set(diag, rc, "%s: the store cannot be brought from format %" PRIu32 " to %d: %s",
				directory, store->format, STORE_FORMAT, rc_text(rc));
	store->migrated_from = store->format;
	store->format = STORE_FORMAT;
	return RC_OK;
}
