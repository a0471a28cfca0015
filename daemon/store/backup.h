/* Backups: one moment of a store in one sealed file, and a store made from such a file.
 *
 * A backup is written from keys and values, not from the engine's pages: nothing that LMDB has freed gets into it, a
 * damaged page ends it, and what it makes is a store of the same id and format in fresh pages. It has every value as it
 * is sealed in the store and, beside each chunk, the slot of that chunk's key. It does not have keys of chunks that
 * were replaced before that moment, nor release secrets, finished or not: no backup undoes their destruction. What is
 * destroyed *after* that moment is still in it (docs/threat-model.md).
 *
 * File: 8 bytes of magic, be32 format, 16 bytes of backup id; then parts: be32 length, sealed bytes (label "backup",
 * bound to that head, the part's number and whether it is the last). Opened parts make one stream: the caller's
 * facts (be32 length, bytes), the store's head (be16 length, bytes), be64 slots in use, records (u8 class of key, then be16
 * key length, key, be32 value length, value, for chunks 64 bytes of slot), a zero byte, be64 number of records. */
#ifndef DAEMON_STORE_BACKUP_H
#define DAEMON_STORE_BACKUP_H

#include <stdatomic.h>
#include <stdint.h>

#include "daemon/store/store.h"
#include "keys/seal.h"
#include "proto/bytes.h"
#include "proto/rc.h"

enum { BACKUP_ID_LEN = 16, BACKUP_MAX_FACTS = 4096 };

/* A moment of the store that stays readable while others write. */
struct store_snapshot;
/* Writer thread, so that no key is destroyed meanwhile. Errors: NOMEM, TOO_LARGE, IO, BUSY (too many readers). */
enum rc store_snapshot_new(struct store *store, struct store_snapshot **ret) MUST_CHECK;
void store_snapshot_free(struct store_snapshot *snapshot);   /* NULL is a no-op */

struct backup_written {
	uint8_t id[BACKUP_ID_LEN], digest[32];               /* SHA-256 of the file */
	uint64_t bytes, n_records;
};
/* Write the moment to `fd` and sync it. `facts` are given back by a reading, at most BACKUP_MAX_FACTS bytes. *stop ends it
 * with STOPPING. Any thread. Errors: IO, NOSPACE, DAMAGED (the store; nothing that could be restored was written), NOMEM,
 * CRYPTO, STOPPING. */
enum rc store_backup_write(const struct store_snapshot *snapshot, const void *facts, size_t facts_len, int fd,
                           const atomic_bool *stop, struct backup_written *ret) MUST_CHECK;

/* Make a store in `options->directory`, which must be there and hold none, from the backup in `fd`, read from its
 * beginning. Durable on RC_OK; after a failure what is there opens as no store. *ret_facts is appended to. *stop, unless it
 * is NULL, ends it.
 * Errors: CONFLICT (a store is there), KEY (sealed under another key), MALFORMED (not a backup), DAMAGED, CONFIG (format),
 * IO, NOSPACE, NOMEM, STOPPING. */
enum rc store_backup_restore(int fd, const struct store_options *options, struct seal *seal, const atomic_bool *stop,
                             struct buffer *ret_facts, struct diag *diag) MUST_CHECK;

/* Remove the files of a store, and nothing else, from a folder that nobody has open. Errors: IO. */
enum rc store_remove(const char *directory) MUST_CHECK;

#endif
