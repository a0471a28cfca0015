/* What the files of the store share. Private to daemon/store. */
#ifndef DAEMON_STORE_INTERNAL_H
#define DAEMON_STORE_INTERNAL_H

#include <limits.h>
#include <pthread.h>

#include "daemon/store/engine.h"
#include "daemon/store/slots.h"
#include "daemon/store/store.h"

enum {
	STORE_FORMAT = 3,        /* of the store; the oldest that can be read is 2 (migrate.c) */
	STORE_OLDEST_FORMAT = 2,
	STORE_VALUE_FORMAT = 2,  /* bound into every value and chunk */
	STORE_N_COUNTED = 4,
};

struct store {
	struct engine *engine;
	struct seal *seal;
	char *directory;
	struct slots *salts, *secrets;
	int lock_fd;
	uint8_t id[STORE_ID_LEN];
	uint32_t format, migrated_from;   /* migrated_from: 0 = it was of this format */
	uint64_t next_slot;               /* written by the one writer only */
	uint64_t counted[STORE_N_COUNTED]; /* under the lock of the write transaction; counts.c */

	pthread_mutex_t lock;             /* guards what follows */
	unsigned n_readers[2], epoch;     /* read transactions, by the epoch they began in */
	bool rotating, drop_old;          /* drop_old: the old key goes with the last reader of the last epoch */
};

struct txn {
	struct store *store;
	struct engine_txn *engine_txn;
	enum rc status;                   /* sticky */
	bool write;
	unsigned epoch;                   /* of a reader */
	uint8_t (*salts)[SLOT_SECRET_LEN]; /* of chunks put in this transaction */
	size_t n_salts, cap_salts;
	int64_t counted[STORE_N_COUNTED]; /* how many more there are of each counted class */
	bool counts_settled;              /* … and the store's counts have them */
};

/* The head of a store, the one value that is not sealed whole: which store it is, in which format, under which key. */
void store_head_key(struct store_key *key);
bool store_key_is_head(const uint8_t *key, size_t key_len);
/* Put the head into a transaction, its check sealed under the key that seals now. */
enum rc store_write_head(struct store *store, struct engine_txn *txn) MUST_CHECK;
/* Check a head and take over its id. Errors: DAMAGED, CONFIG (format), KEY. */
enum rc store_head_check(struct store *store, const char *directory, const uint8_t *head, size_t len,
                         struct diag *diag) MUST_CHECK;
/* Parts of opening. Errors: IO, NOSPACE, CONFLICT (open elsewhere; slots of another store), DAMAGED. */
enum rc store_take_lock(struct store *store, const char *directory, struct diag *diag) MUST_CHECK;
enum rc store_open_slots(struct store *store, const char *directory, bool create, struct diag *diag) MUST_CHECK;
/* Errors: TOO_LARGE. */
enum rc store_path_in(const char *directory, const char *name, char out[PATH_MAX]) MUST_CHECK;
enum rc store_path(const struct store *store, const char *name, char out[PATH_MAX]) MUST_CHECK;

/* rotation.c: take up the key of a rotation that a crash interrupted; the head is not read yet. Errors: KEY, DAMAGED, IO. */
enum rc store_rotation_resume(struct store *store, struct diag *diag) MUST_CHECK;

/* Open what the engine gave: a value that is no chunk, or a chunk. Appends to `out`. Errors: DAMAGED, IO, NOMEM. */
enum rc store_open_value(const struct store *store, const uint8_t *key, size_t key_len, const uint8_t *sealed, size_t len,
                         struct buffer *out) MUST_CHECK;
enum rc store_open_chunk(const struct store *store, const struct store_key *key, const uint8_t *value, size_t len,
                         struct buffer *out) MUST_CHECK;
/* store.c: open a value and seal it again under the key that seals now. One that does not open stays as it is and is
 * counted. */
enum rc store_reseal(struct txn *txn, const struct store_key *key, uint64_t *n_damaged) MUST_CHECK;
/* Fail the transaction, unless `rc` is RC_OK or NOTFOUND; returns it. */
enum rc store_fail(struct txn *txn, enum rc rc);
/* chunks.c: make the salts of a transaction durable, and note in it how far the slot file is used. */
enum rc store_settle_salts(struct txn *txn) MUST_CHECK;
/* Room for `len` more bytes at the end of `out`, NULL for none; the caller fills it. Errors: NOMEM. */
enum rc store_buffer_room(struct buffer *out, size_t len, uint8_t **ret) MUST_CHECK;

/* counts.c: index of what a key is counted as, -1 = it is not. */
int store_counted(const uint8_t *key, size_t key_len);
enum rc store_counts_write(struct txn *txn, const uint64_t counts[STORE_N_COUNTED]) MUST_CHECK;
enum rc store_counts_take(struct txn *txn, uint64_t ret[STORE_N_COUNTED]) MUST_CHECK;   /* by looking */
/* Compare what is there with what was counted, and take that over. Errors: DAMAGED. */
enum rc store_counts_check(struct store *store, const char *directory, struct diag *diag) MUST_CHECK;
/* migrate.c: to the present format. */
enum rc store_migrate(struct store *store, const char *directory, struct diag *diag) MUST_CHECK;

/* Where the transaction notes how far the slot file is used. */
void store_slots_key(struct store_key *key);

#endif
