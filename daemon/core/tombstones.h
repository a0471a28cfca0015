/* Tombstones: keyed digests of the ids of withdrawn records, by which they are kept out.
 *
 * The key is random, made at the first start, and sealed in the store: it outlives a change of the sealing key, is in
 * every backup, and without it a digest says nothing of an id. */
#ifndef DAEMON_CORE_TOMBSTONES_H
#define DAEMON_CORE_TOMBSTONES_H

#include <stdint.h>

#include "daemon/store/store.h"
#include "proto/batch.h"
#include "proto/rc.h"

enum { TOMBSTONE_KEY_LEN = 32, TOMBSTONE_TAG_LEN = 32 };

struct tombstone {
	char source[STUDY_NAME_CAP]; /* what follows the name is zero */
	uint8_t tag[TOMBSTONE_TAG_LEN];
};

/* Errors: NOTFOUND (no start has made it yet), DAMAGED. */
enum rc tombstones_read_key(struct txn *txn, uint8_t ret[TOMBSTONE_KEY_LEN]) MUST_CHECK;
enum rc tombstones_make_key(struct txn *txn) MUST_CHECK;
/* Errors: CRYPTO. */
enum rc tombstone_make(const uint8_t key[TOMBSTONE_KEY_LEN], const char *source, const uint8_t id[RECORD_ID_LEN],
		       struct tombstone *ret) MUST_CHECK;
int tombstone_compare(const void *a, const void *b); /* by source, then tag */

enum rc tombstone_put(struct txn *txn, const struct tombstone *tombstone) MUST_CHECK;
enum rc tombstone_has(struct txn *txn, const struct tombstone *tombstone) MUST_CHECK; /* RC_OK or NOTFOUND */
typedef enum rc (*tombstone_visit)(void *ctx, const struct tombstone *tombstone);
/* All of them, by source, then tag. Errors: DAMAGED, or the visitor's. */
enum rc tombstones_each(struct txn *txn, tombstone_visit visit, void *ctx) MUST_CHECK;

/* Has this source withdrawn one of the chunk's records? Errors: CONFLICT (*ret_record is the first such, from 0),
 * DAMAGED. */
enum rc tombstones_check(struct txn *txn, const char *source, const struct batch_chunk *chunk,
			 uint32_t *ret_record) MUST_CHECK;

#endif
