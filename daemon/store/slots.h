/* Slot files: wrapped salts and secrets beside LMDB, so that they can be destroyed.
 *
 * LMDB never overwrites a page in place, so a key that once was in it may live on in old pages. A slot file is a plain
 * file of fixed 64-byte slots: overwriting one and syncing erases its key from this disk for good (on media that write
 * in place; docs/threat-model.md says what remains on flash and in backups, where the value is still wrapped under the
 * sealing key). A slot fits a disk sector, so it is never torn.
 *
 * File: a 64-byte head (8 bytes of magic, be32 format, be32 slot size, 16 bytes of store id, zeros), then slots.
 * Slot: u8 state, 63 bytes of sealed 32 (bound to magic, store id, slot number and the number of the sealing key). */
#ifndef DAEMON_STORE_SLOTS_H
#define DAEMON_STORE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keys/seal.h"
#include "proto/rc.h"

enum { SLOT_LEN = 64, SLOT_SECRET_LEN = 32, SLOTS_MAGIC_LEN = 8, STORE_ID_LEN = 16 };

struct slots;

/* Open the file, or make it with `create` when it is absent. `magic` has 8 bytes. Borrows `seal`.
 * Errors: IO, NOSPACE, NOMEM, NOTFOUND (absent, no create), DAMAGED (head or size), CONFIG (format), CONFLICT (belongs to
 * another store). */
enum rc slots_open(const char *path, const char *magic, const uint8_t store_id[STORE_ID_LEN], uint64_t max_slots,
                   const struct seal *seal, bool create, struct slots **ret, struct diag *diag) MUST_CHECK;
void slots_close(struct slots *slots);
uint64_t slots_count(const struct slots *slots);             /* slots the file has */

/* Wrap and write n secrets to slots first … first+n-1; durable after slots_sync(). Errors: TOO_LARGE, NOSPACE, IO. */
enum rc slots_write(struct slots *slots, uint64_t first, const uint8_t (*secrets)[SLOT_SECRET_LEN], size_t n) MUST_CHECK;
enum rc slots_sync(struct slots *slots) MUST_CHECK;
/* Errors: NOTFOUND (never written, or destroyed), DAMAGED, IO. */
enum rc slots_read(struct slots *slots, uint64_t slot, uint8_t ret[SLOT_SECRET_LEN]) MUST_CHECK;
/* Wrap what `n` slots from `first` on hold under the present sealing key, in place: the bytes that the old key opens are
 * overwritten, durably when it returns RC_OK. For the thread that writes and destroys slots. Errors: IO, NOSPACE, CRYPTO. */
enum rc slots_rewrap(struct slots *slots, uint64_t first, uint64_t n) MUST_CHECK;
/* n slots as they stand in the file, wrapped: for backups, whose slots belong to the same store and place. */
enum rc slots_read_raw(struct slots *slots, uint64_t first, size_t n, uint8_t *out) MUST_CHECK;
enum rc slots_write_raw(struct slots *slots, uint64_t first, const uint8_t *raw, size_t n) MUST_CHECK;
/* RC_OK when the slot was destroyed before, NOTFOUND when it holds a secret or nothing. */
enum rc slots_was_destroyed(struct slots *slots, uint64_t slot) MUST_CHECK;
/* Overwrite twice (random, then the destroyed mark), syncing each time. RC_OK also when there is nothing. */
enum rc slots_destroy(struct slots *slots, uint64_t slot) MUST_CHECK;

#endif
