/* The audit log inside the core: entries in the store, their Merkle tree in memory, the signer outside the store.
 *
 * Order, always: append (in a write transaction) → commit → sign → release what depended on it. Time in entries never
 * runs backwards. Appending, committing and rolling back are the writer thread's; signing is its or another thread's, one
 * at a time; reading is anybody's and sees signed entries only. */
#ifndef DAEMON_CORE_AUDIT_LOG_H
#define DAEMON_CORE_AUDIT_LOG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/store/store.h"
#include "keys/log_key.h"
#include "proto/bytes.h"
#include "proto/entry.h"
#include "proto/rc.h"

struct audit_log;

/* One stored entry, in order, when the log is opened; `text` is what entry_parse() takes. An error ends the opening. */
typedef enum rc (*audit_log_replay)(void *ctx, uint64_t index, enum entry_kind kind, int64_t unix_time, const char *text,
                                    size_t len);

/* Rebuild the tree from the stored entries, compare it with what the signer signed last, and sign what a crash left
 * unsigned. Borrows store and signer; without one (NULL) the log can be appended to, and is signed by whoever opens it next. Errors: FORK (store older than, or other than, what was signed; diag says which),
 * DAMAGED, NOMEM, IO, or what `replay` returned. */
enum rc audit_log_open(struct store *store, struct log_signer *signer, audit_log_replay replay, void *ctx,
                       struct audit_log **ret, struct diag *diag) MUST_CHECK;
void audit_log_free(struct audit_log *log);

/* Rebuild the tree of a store that nobody signs for now: a backup that is looked at. Errors: DAMAGED, NOMEM, IO, or what
 * `replay` (may be NULL) returned. */
enum rc audit_log_look(struct store *store, audit_log_replay replay, void *ctx, uint64_t *ret_size,
                       struct tlog_hash *ret_root, struct diag *diag) MUST_CHECK;

/* Writer thread. `who` NULL = the daemon itself. *ret_index may be NULL. */
enum rc audit_log_append(struct audit_log *log, struct txn *txn, enum entry_kind kind, const struct entry_who *who,
                         const json_t *fields, uint64_t *ret_index) MUST_CHECK;
/* The same with the time that the caller has read, by audit_log_now() in this transaction, and judged by. */
enum rc audit_log_append_at(struct audit_log *log, struct txn *txn, int64_t time, enum entry_kind kind,
                            const struct entry_who *who, const json_t *fields, uint64_t *ret_index) MUST_CHECK;
uint64_t audit_log_size(struct audit_log *log);           /* appended ones included */
void audit_log_rollback(struct audit_log *log);           /* the transaction failed: back to the committed size */
void audit_log_commit(struct audit_log *log);             /* the transaction is durable */
/* Sign the committed size; from here on it is readable. Nothing to do is RC_OK. Errors: FORK, IO, CRYPTO. */
enum rc audit_log_sign(struct audit_log *log) MUST_CHECK;

/* Any thread. */
uint64_t audit_log_signed_size(struct audit_log *log);
enum rc audit_log_signed(struct audit_log *log, uint64_t *ret_size, struct tlog_hash *ret_root) MUST_CHECK;
int64_t audit_log_now(struct audit_log *log);             /* the clock, or the last entry's time if that is later */
enum rc audit_log_checkpoint(struct audit_log *log, struct buffer *out) MUST_CHECK;
/* Is this a tree that was signed: of that size, with that root? Errors: NOTFOUND (larger than what is signed),
 * CONFLICT. */
enum rc audit_log_was_signed(struct audit_log *log, uint64_t size, const struct tlog_hash *root) MUST_CHECK;
/* tlog-proof of the entry at `index` under the present checkpoint. Errors: NOTFOUND. */
enum rc audit_log_proof(struct audit_log *log, uint64_t index, struct buffer *out) MUST_CHECK;
/* Proof that the signed tree of new_size extends that of old_size, as tlog_hashes_format() has it. Errors: NOTFOUND. */
enum rc audit_log_consistency(struct audit_log *log, uint64_t old_size, uint64_t new_size, struct buffer *out) MUST_CHECK;
/* The bytes of one entry. Errors: NOTFOUND, DAMAGED. */
enum rc audit_log_entry(struct txn *txn, uint64_t index, struct buffer *out) MUST_CHECK;
/* A tile or entry bundle by its C2SP path (what follows /audit/tile/). Errors: NOTFOUND, INVALID, DAMAGED. */
enum rc audit_log_tile(struct audit_log *log, struct txn *txn, const char *path, struct buffer *out,
                       bool *ret_full) MUST_CHECK;

#endif
