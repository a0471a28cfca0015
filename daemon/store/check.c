/* Reading a whole store; see check.h. */
#include "daemon/store/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/store/internal.h"

/* Before every class. */
static const uint8_t first_key[1] = {0};

struct check {
	struct store *store;
	store_fault_fn on_fault;
	void *ctx;
	const atomic_bool *stop;
	struct store_tally *tally;
	struct buffer plain;
};

static enum rc open_one(struct check *check, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct store_key at = {.len = key_len};
	if (key_len == 0 || key_len > STORE_KEY_CAP)
		return RC_DAMAGED;
	memcpy(at.bytes, key, key_len);
	buffer_reset(&check->plain);
	if (key[0] == STORE_CHUNK)
		return store_open_chunk(check->store, &at, value, len, &check->plain);
	return store_open_value(check->store, key, key_len, value, len, &check->plain);
}

static enum rc check_one(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct check *check = ctx;
	if (check->stop != NULL && atomic_load(check->stop))
		return RC_STOPPING;
	if (store_key_is_head(key, key_len))
		return RC_OK; /* checked when the store was opened */
	enum rc rc = open_one(check, key, key_len, value, len);
	if (check->plain.len > 0)
		explicit_bzero(check->plain.data, check->plain.len);
	check->tally->n_values++;
	check->tally->n_chunks += key_len > 0 && key[0] == STORE_CHUNK;
	if (rc == RC_OK || rc == RC_NOMEM)
		return rc;
	check->tally->n_faults++;
	if (check->on_fault != NULL)
		check->on_fault(check->ctx, &(struct store_fault){.class = key_len > 0 ? (enum store_class)key[0] : 0,
								  .key = key,
								  .key_len = key_len,
								  .rc = rc});
	return RC_OK;
}

enum rc store_check(struct store *store, store_fault_fn on_fault, void *ctx, const atomic_bool *stop,
		    struct store_tally *ret_tally)
{
	struct check check = {.store = store, .on_fault = on_fault, .ctx = ctx, .stop = stop, .tally = ret_tally};
	struct txn *txn = NULL;
	memset(ret_tally, 0, sizeof *ret_tally);
	buffer_init(&check.plain);
	enum rc rc = txn_begin_read(store, &txn);
	if (rc == RC_OK)
		rc = engine_scan_from(txn->engine_txn, first_key, sizeof first_key, check_one, &check);
	txn_abort(txn);
	buffer_wipe(&check.plain);
	return rc == RC_OK && ret_tally->n_faults > 0 ? RC_DAMAGED : rc;
}

enum rc store_check_counts(struct store *store, struct diag *diag)
{
	return store->format < STORE_FORMAT ? RC_OK : store_counts_check(store, store->directory, diag);
}

void store_place(const uint8_t *key, size_t key_len, char out[STORE_PLACE_CAP])
{
	struct reader r;
	reader_init(&r, key, key_len);
	enum store_class class = (enum store_class)read_u8(&r);
	uint64_t number = 0;
	switch (class) {
	case STORE_ENTRY:
	case STORE_SEQUENCE:
		number = read_u64(&r);
		snprintf(out, STORE_PLACE_CAP, "%s %" PRIu64, class == STORE_ENTRY ? "log entry" : "place of batch",
			 number);
		return;
	case STORE_CHUNK:
		number = read_u64(&r);
		snprintf(out, STORE_PLACE_CAP, "records of batch %" PRIu64 ", chunk %" PRIu32, number, read_u32(&r));
		return;
	case STORE_RELEASE:
		snprintf(out, STORE_PLACE_CAP, "body of release %" PRIu32, read_u32(&r));
		return;
	case STORE_BATCH:
		snprintf(out, STORE_PLACE_CAP, "description of a batch");
		return;
	case STORE_RECEIPT:
		snprintf(out, STORE_PLACE_CAP, "receipt of a batch (made anew when it is pushed again)");
		return;
	case STORE_PATTERN:
		snprintf(out, STORE_PLACE_CAP, "candidate pairs (derived)");
		return;
	case STORE_DIGEST:
		snprintf(out, STORE_PLACE_CAP, "index of releases by digest");
		return;
	case STORE_LEDGER:
		snprintf(out, STORE_PLACE_CAP, "ledger");
		return;
	case STORE_TOMBSTONE:
		snprintf(out, STORE_PLACE_CAP, "tombstone of a withdrawn record");
		return;
	case STORE_META:
		snprintf(out, STORE_PLACE_CAP, "a value of the store itself");
		return;
	default:
		snprintf(out, STORE_PLACE_CAP, "a key of no known class");
	}
}
