/* The store: a narrow interface of sealed values under ordered keys, with LMDB behind it (a replicated engine comes
 * later behind the same interface). Values are sealed and opened here; callers see plain bytes, the engine never does.
 *
 * A key is a class byte and up to 96 more bytes (big-endian fields, so that byte order is the wanted order). One thread
 * at a time may hold the write transaction; any number may read. No transaction outlives one work item. */
#ifndef DAEMON_STORE_STORE_H
#define DAEMON_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keys/seal.h"
#include "proto/bytes.h"
#include "proto/rc.h"

enum store_class {
	STORE_META = 'M',         /* name → value: format version, store id, study digest */
	STORE_ENTRY = 'E',        /* be64 index → log entry */
	STORE_BATCH = 'B',        /* source, batch id → batch record (sequence, counts, log index) */
	STORE_SEQUENCE = 'Q',     /* be64 batch sequence → source, batch id */
	STORE_CHUNK = 'C',        /* be64 batch sequence, be32 chunk → sealed chunk */
	STORE_RECEIPT = 'R',      /* source, batch id → receipt bytes */
	STORE_PATTERN = 'P',      /* domain, be64 slice → candidate pairs (derived; can be rebuilt) */
	STORE_RELEASE = 'L',      /* be32 number → release body */
	STORE_DIGEST = 'D',       /* release digest → number */
	STORE_LEDGER = 'G',       /* ledger of ρ */
	STORE_TOMBSTONE = 'W',    /* source, keyed digest of a withdrawn record id → nothing */
	STORE_KEY_CAP = 97,
};

struct store;
struct txn;

struct store_options {
	const char *directory;
	uint64_t map_bytes;
	bool create;
	bool inspect; /* open it to look at it even if some of it is missing; not with `create` */
};

/* Borrows `seal`, and takes up the second key of a rotation that was interrupted.
 * Errors: IO, DAMAGED, KEY (sealed under another key), CONFLICT (open in another process), CONFIG (format version). */
enum rc store_open(const struct store_options *options, struct seal *seal, struct store **ret,
                   struct diag *diag) MUST_CHECK;
void store_close(struct store *store);
/* The older format that it was brought up from when it was opened (with `create`); 0 = it was of the present one. */
unsigned store_migrated_from(const struct store *store);
/* True once the engine failed in a way that forbids acknowledging anything more: stop and start again. */
bool store_must_stop(const struct store *store);
/* Free bytes of the map and of the disk below it. */
enum rc store_space(struct store *store, uint64_t *ret_map_free, uint64_t *ret_disk_free) MUST_CHECK;
/* Room that bulk leaves, so that there is some for what must be written whatever happens. */
struct store_reserve {
	uint64_t map_bytes, disk_bytes;
};
/* NOSPACE unless `bytes` more leave the reserve untouched; the second of what store_space() said. */
enum rc store_check_room(struct store *store, uint64_t bytes, const struct store_reserve *reserve) MUST_CHECK;
enum rc store_room_leaves(uint64_t map_free, uint64_t disk_free, uint64_t bytes,
                          const struct store_reserve *reserve) MUST_CHECK;

/* A transaction has a sticky error: after the first failure every call returns it and commit fails. */
enum rc txn_begin_read(struct store *store, struct txn **ret) MUST_CHECK;
enum rc txn_begin_write(struct store *store, struct txn **ret) MUST_CHECK;
/* Durable when it returns RC_OK. Sets *txn to NULL, even on failure. Errors: NOSPACE, IO. */
enum rc txn_commit(struct txn **txn) MUST_CHECK;
void txn_abort(struct txn *txn);                 /* NULL is a no-op */
enum rc txn_status(const struct txn *txn);       /* the sticky error; NOTFOUND never is one */

struct store_key {
	uint8_t bytes[STORE_KEY_CAP];
	size_t len;
};
void store_key_init(struct store_key *key, enum store_class class);
void store_key_u32(struct store_key *key, uint32_t v);
void store_key_u64(struct store_key *key, uint64_t v);
void store_key_bytes(struct store_key *key, const void *data, size_t len);
void store_key_string(struct store_key *key, const char *s);      /* bytes and a NUL */

enum rc store_put(struct txn *txn, const struct store_key *key, const void *value, size_t len) MUST_CHECK;
/* Appends the opened value to `out`. Errors: NOTFOUND, DAMAGED. */
enum rc store_get(struct txn *txn, const struct store_key *key, struct buffer *out) MUST_CHECK;
enum rc store_has(struct txn *txn, const struct store_key *key) MUST_CHECK;      /* RC_OK or NOTFOUND */
enum rc store_delete(struct txn *txn, const struct store_key *key) MUST_CHECK;

/* Visit every value whose key starts with `prefix`, ascending. The visitor returns RC_OK to go on; any other code
 * ends the scan and is returned. `value` is wiped after the call. Chunks cannot be scanned (INVALID). */
typedef enum rc (*store_visit)(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len);
enum rc store_scan(struct txn *txn, const struct store_key *prefix, store_visit visit, void *ctx) MUST_CHECK;
/* The same without opening the values, which are passed as NULL: for removing even damaged ones. */
enum rc store_scan_keys(struct txn *txn, const struct store_key *prefix, store_visit visit, void *ctx) MUST_CHECK;
/* Last key with this prefix: for counters. Errors: NOTFOUND. */
enum rc store_last(struct txn *txn, const struct store_key *prefix, struct store_key *ret) MUST_CHECK;

/* Chunks: sealed each under a key of its own, whose salt lives wrapped in a slot file beside the store. The salt is
 * durable before the transaction commits. */
enum rc store_put_chunk(struct txn *txn, uint64_t sequence, uint32_t chunk, const void *plain, size_t len) MUST_CHECK;
enum rc store_get_chunk(struct txn *txn, uint64_t sequence, uint32_t chunk, struct buffer *out) MUST_CHECK;
enum rc store_has_chunk(struct txn *txn, uint64_t sequence, uint32_t chunk) MUST_CHECK;      /* RC_OK or NOTFOUND */
/* Put `plain` in the place of a chunk that is there, under a new key. The old key is destroyed by
 * store_destroy_replaced, which must come after this transaction and in one of its own: a crash between the two leaves a
 * note of the key, and a start calls it again. Errors: NOTFOUND. */
enum rc store_replace_chunk(struct txn *txn, uint64_t sequence, uint32_t chunk, const void *plain,
                            size_t len) MUST_CHECK;
/* Destroy every key that replaced chunks have left behind. On RC_OK no copy of the slot file made from now on opens
 * them, whatever becomes of `txn`, in which the notes of them are removed. */
enum rc store_destroy_replaced(struct txn *txn) MUST_CHECK;

/* A secret that must be destroyed later without trace in LMDB's old pages (a release secret): kept in a slot,
 * wrapped. Slots are named by a small number chosen by the caller in a range of their own (below STORE_MAX_SECRETS). Each
 * call is durable when it returns RC_OK, on its own, outside any transaction. A name whose secret was destroyed is never
 * used again (CONFLICT); one whose secret was not may be overwritten. */
enum { STORE_MAX_SECRETS = 1 << 20 };
enum rc store_secret_put(struct store *store, uint32_t name, const uint8_t secret[32]) MUST_CHECK;
enum rc store_secret_get(struct store *store, uint32_t name, uint8_t ret[32]) MUST_CHECK;   /* NOTFOUND once destroyed */
enum rc store_secret_destroy(struct store *store, uint32_t name) MUST_CHECK;

/* ---- rotation of the sealing key ---- */

/* While requests are served: begin, then slices until all is done, then finish in a transaction of its own, then end.
 * All of them on the thread that writes. Whenever the process dies in between, either key opens the store (the file
 * `rotation` beside it holds each sealed under the other) and it is begun for; slices then start over, and pass what is
 * done. After the end the old key opens nothing of the store any more. */
struct store_rotation {
	uint8_t at[STORE_KEY_CAP + 1];    /* values from here on are to do; zeroed: none is done */
	size_t at_len;
	uint64_t next_salt, next_secret;
	uint64_t n_values, n_slots;       /* sealed again, looked at */
	uint64_t n_damaged;               /* values that do not open, left as they are */
};
/* From here on the key of `handover` seals. Errors: CONFLICT (a rotation is under way, or still read), KEY (the handover
 * was not made for the present key), IO, NOSPACE. */
enum rc store_rotation_begin(struct store *store, const uint8_t handover[SEAL_HANDOVER_LEN]) MUST_CHECK;
bool store_is_rotating(struct store *store);
/* Some hundred values or slots. *ret_next is where to go on once this transaction is durable; *ret_done: nothing is left. */
enum rc store_rotation_slice(struct txn *txn, const struct store_rotation *rotation, struct store_rotation *ret_next,
                             bool *ret_done) MUST_CHECK;
enum rc store_rotation_finish(struct txn *txn) MUST_CHECK;
/* The transaction of finish is durable: destroy the file; the old key is wiped from memory with the last transaction
 * that may still read what it sealed. */
enum rc store_rotation_end(struct store *store) MUST_CHECK;

#endif
