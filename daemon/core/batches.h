/* Batch records in the store: which batches there are, in the order they came, and what a cut through them is. */
#ifndef DAEMON_CORE_BATCHES_H
#define DAEMON_CORE_BATCHES_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/store/store.h"
#include "proto/batch.h"
#include "proto/rc.h"
#include "proto/study.h"

struct batch_record {
	char source[STUDY_NAME_CAP];
	uint8_t id[BATCH_ID_LEN];
	uint64_t sequence;                /* 0, 1, 2 … over all sources, in order of commit */
	uint64_t n_records;
	uint32_t n_chunks;
	uint64_t log_index;
	uint8_t encoding_id[32];
};

/* The batch of this very source; another source's batch of the same bytes is another batch. Errors: NOTFOUND, DAMAGED. */
enum rc batches_find(struct txn *txn, const char *source, const uint8_t id[BATCH_ID_LEN],
                     struct batch_record *ret) MUST_CHECK;
enum rc batches_at(struct txn *txn, uint64_t sequence, struct batch_record *ret) MUST_CHECK;
enum rc batches_put(struct txn *txn, const struct batch_record *record) MUST_CHECK;
/* Number of batches = next sequence. */
enum rc batches_count(struct txn *txn, uint64_t *ret) MUST_CHECK;

typedef enum rc (*batches_visit)(void *ctx, const struct batch_record *record);
/* Ascending by (source, id). */
enum rc batches_each(struct txn *txn, batches_visit visit, void *ctx) MUST_CHECK;

/* All batches that are there now. */
struct batch_cut {
	uint64_t n_batches, n_records;
	uint64_t new_records;             /* in batches with sequence >= since */
	uint32_t new_sources;             /* sources those come from */
	uint8_t digest[32];               /* SHA-256 over the ascending (source, NUL, batch id) */
};
enum rc batches_cut(struct txn *txn, uint64_t since, struct batch_cut *ret) MUST_CHECK;

void receipt_key(struct store_key *key, const char *source, const uint8_t id[BATCH_ID_LEN]);

#endif
