/* What linkage does not read of the rows of a domain: event, day and strata of each, in memory as well protected as the
 * pool's. A release counts from these columns and the pool's record keys, and opens no stored record.
 *
 * 5 bytes a row and one a dimension of the study, in blocks of EVENT_BLOCK_ROWS rows. */
#ifndef DAEMON_CORE_EVENT_ROWS_H
#define DAEMON_CORE_EVENT_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/link/link.h"
#include "proto/batch.h"
#include "proto/rc.h"

enum { EVENT_BLOCK_ROWS = 1 << 14 };

struct event_row {
	int32_t day;
	uint8_t event;
	const uint8_t *codes; /* one a dimension of the study; stands until event_rows_free */
};

struct event_rows;
enum rc event_rows_new(unsigned n_dimensions, enum link_memory memory, struct event_rows **ret) MUST_CHECK;
void event_rows_free(struct event_rows *rows); /* wipes; NULL is a no-op */
/* Append record i of a chunk. Not while others read. Errors: NOMEM, IO (memory that must be locked was not). */
enum rc event_rows_add(struct event_rows *rows, const struct batch_chunk *chunk, uint32_t i) MUST_CHECK;
uint32_t event_rows_n(const struct event_rows *rows);
struct event_row event_rows_at(const struct event_rows *rows, uint32_t row);
bool event_rows_are_locked(const struct event_rows *rows);

#endif
