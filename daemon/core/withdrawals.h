/* Records that a source has taken back: they are erased from their chunks, and may not come again. */
#ifndef DAEMON_CORE_WITHDRAWALS_H
#define DAEMON_CORE_WITHDRAWALS_H

#include <stdint.h>

#include "daemon/store/store.h"
#include "proto/batch.h"
#include "proto/rc.h"

/* Has this source withdrawn one of the chunk's records? Errors: CONFLICT (*ret_record is the first such, from 0),
 * DAMAGED. */
enum rc withdrawals_check(struct txn *txn, const char *source, const struct batch_chunk *chunk,
                          uint32_t *ret_record) MUST_CHECK;

#endif
