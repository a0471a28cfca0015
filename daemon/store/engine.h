/* The engine behind the store: ordered keys, opaque values, one writer, snapshot readers. Private to daemon/store; the
 * engine sees sealed bytes only. LMDB is the one engine today (lmdb_store.c). */
#ifndef DAEMON_STORE_ENGINE_H
#define DAEMON_STORE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

struct engine;
struct engine_txn;

/* Open (or make, with `create`) the engine's files in `directory`. Must be called after fork, once a process.
 * Errors: IO, NOSPACE, NOMEM, DAMAGED, CONFIG. */
enum rc engine_open(const char *directory, uint64_t map_bytes, bool create, struct engine **ret,
                    struct diag *diag) MUST_CHECK;
void engine_close(struct engine *engine);
/* True once a write to the engine's own root failed: nothing that it answers from now on may be acknowledged. */
bool engine_is_failed(const struct engine *engine);
enum rc engine_space(struct engine *engine, uint64_t *ret_map_free, uint64_t *ret_disk_free) MUST_CHECK;

/* Errors of all below: NOMEM, NOSPACE (map or disk full), IO, DAMAGED (page structure). */
enum rc engine_begin(struct engine *engine, bool write, struct engine_txn **ret) MUST_CHECK;
enum rc engine_commit(struct engine_txn *txn) MUST_CHECK;       /* durable on RC_OK; ends the transaction always */
void engine_abort(struct engine_txn *txn);

/* Make room for `len` bytes under `key`, replacing what is there; the caller fills *ret_room before its next call. */
enum rc engine_reserve(struct engine_txn *txn, const uint8_t *key, size_t key_len, size_t len,
                       uint8_t **ret_room) MUST_CHECK;
/* *ret_value borrows engine memory until the next write or the end of the transaction. Errors: also NOTFOUND. */
enum rc engine_get(struct engine_txn *txn, const uint8_t *key, size_t key_len, const uint8_t **ret_value,
                   size_t *ret_len) MUST_CHECK;
enum rc engine_delete(struct engine_txn *txn, const uint8_t *key, size_t key_len) MUST_CHECK;

typedef enum rc (*engine_visit)(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len);
/* Visit keys that start with `prefix`, ascending, until the visitor returns another code than RC_OK. */
enum rc engine_scan(struct engine_txn *txn, const uint8_t *prefix, size_t prefix_len, engine_visit visit,
                    void *ctx) MUST_CHECK;
/* Visit keys from `from` on, ascending, whatever their prefix. */
enum rc engine_scan_from(struct engine_txn *txn, const uint8_t *from, size_t from_len, engine_visit visit,
                         void *ctx) MUST_CHECK;
/* Is every key where a search for it goes? A damaged inner page hides keys from a search that a scan still visits.
 * Errors: DAMAGED. */
enum rc engine_check_paths(struct engine_txn *txn) MUST_CHECK;
/* The last key with that prefix, copied to ret_key of `cap` bytes. Errors: also NOTFOUND. */
enum rc engine_last(struct engine_txn *txn, const uint8_t *prefix, size_t prefix_len, uint8_t *ret_key, size_t cap,
                    size_t *ret_len) MUST_CHECK;

#endif
