/* Memory for filters: mapped, outside core dumps, locked where that is asked for, wiped when released. */
#ifndef DAEMON_LINK_LOCKED_H
#define DAEMON_LINK_LOCKED_H

#include <stdatomic.h>
#include <stddef.h>

#include "daemon/link/link.h"

/* Map `bytes` (> 0) of zeros, page-aligned. *not_locked is set when a lock or the exclusion from dumps was not had.
 * Errors: NOMEM, IO (LINK_MEMORY_MUST_LOCK, and it could not be). */
enum rc locked_map(size_t bytes, enum link_memory memory, atomic_bool *not_locked, void **ret) MUST_CHECK;
void locked_unmap(void *memory, size_t bytes); /* wipes; NULL is a no-op */

#endif
