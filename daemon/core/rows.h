/* Reading stored batches back, record by record, in the order of commit: the rows of linkage and the events of tables. */
#ifndef DAEMON_CORE_ROWS_H
#define DAEMON_CORE_ROWS_H

#include <stdint.h>

#include "daemon/core/state.h"
#include "proto/batch.h"

/* One checked chunk; freed after the call. `source` and `domain` are indexes of the study. */
typedef enum rc (*rows_visit)(void *ctx, int source, int domain, const struct batch_chunk *chunk);

/* Read one chunk of a batch. *ret is NULL when all of its records were withdrawn; the caller frees it. Errors: DAMAGED
 * (does not open, or does not fit the study), NOMEM. */
enum rc rows_read_chunk(struct core *core, struct txn *txn, const struct batch_record *record, uint32_t i,
                        struct batch_chunk **ret) MUST_CHECK;
/* What stands in the store for a chunk without records. */
enum { ROWS_NO_RECORDS = 'w' };

/* Visit all chunks of batches with from <= sequence < to, in order. Polls *cancel (may be NULL) between chunks.
 * Errors: DAMAGED (does not open, or does not fit the study), STOPPING (cancelled), or the visitor's. */
enum rc rows_each(struct core *core, uint64_t from, uint64_t to, const atomic_bool *cancel, rows_visit visit,
                  void *ctx) MUST_CHECK;

#endif
