/* Reading stored batches back, record by record, in the order of commit: the rows of linkage and the events of tables. */
#ifndef DAEMON_CORE_ROWS_H
#define DAEMON_CORE_ROWS_H

#include <stdint.h>

#include "daemon/core/state.h"
#include "proto/batch.h"

/* One checked chunk; freed after the call. `source` and `domain` are indexes of the study. */
typedef enum rc (*rows_visit)(void *ctx, int source, int domain, const struct batch_chunk *chunk);

/* Visit all chunks of batches with from <= sequence < to, in order. Polls *cancel (may be NULL) between chunks.
 * Errors: DAMAGED (does not open, or does not fit the study), STOPPING (cancelled), or the visitor's. */
enum rc rows_each(struct core *core, uint64_t from, uint64_t to, const atomic_bool *cancel, rows_visit visit,
                  void *ctx) MUST_CHECK;

#endif
