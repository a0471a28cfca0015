/* What store_open.c and store.c share. Private to daemon/store. */
#ifndef DAEMON_STORE_INTERNAL_H
#define DAEMON_STORE_INTERNAL_H

#include <limits.h>
#include <pthread.h>

#include "daemon/store/engine.h"
#include "daemon/store/slots.h"
#include "daemon/store/store.h"

enum { STORE_FORMAT = 2 };

struct store {
	struct engine *engine;
	struct seal *seal;
	char *directory;
	struct slots *salts, *secrets;
	int lock_fd;
	uint8_t id[STORE_ID_LEN];
	uint64_t next_slot;               /* written by the one writer only */

	pthread_mutex_t lock;             /* guards what follows */
	unsigned n_readers[2], epoch;     /* read transactions, by the epoch they began in */
	bool rotating, drop_old;          /* drop_old: the old key goes with the last reader of the last epoch */
};

/* Put the head into a transaction, its check sealed under the key that seals now. */
enum rc store_write_head(struct store *store, struct engine_txn *txn) MUST_CHECK;
bool store_key_is_head(const uint8_t *key, size_t key_len);
enum rc store_path(const struct store *store, const char *name, char out[PATH_MAX]) MUST_CHECK;

/* rotation.c: take up the key of a rotation that a crash interrupted; the head is not read yet. Errors: KEY, DAMAGED, IO. */
enum rc store_rotation_resume(struct store *store, struct diag *diag) MUST_CHECK;

/* store.c: open a value and seal it again under the key that seals now. One that does not open stays as it is and is
 * counted. */
enum rc store_reseal(struct txn *txn, const struct store_key *key, uint64_t *n_damaged) MUST_CHECK;
struct engine_txn *store_engine_txn(struct txn *txn);
struct store *store_of(struct txn *txn);
/* Fail the transaction. */
enum rc store_fail(struct txn *txn, enum rc rc);

/* Where the transaction notes how far the slot file is used. */
void store_slots_key(struct store_key *key);

#endif
