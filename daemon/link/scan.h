/* The plain scan: every query against every row, with an early stop. */
#ifndef DAEMON_LINK_SCAN_H
#define DAEMON_LINK_SCAN_H

#include "daemon/link/join.h"

struct scan_range {
	uint32_t first_row, end_row; /* compared with; first_row is the start of a block of the pool */
	uint32_t first_query, end_query;
};

/* Append to chunks[i] the pairs of queries first_query + i * JOIN_CHUNK … with the rows of the range before them.
 * Runs on the pool's threads. Errors: NOMEM, STOPPING. */
enum rc scan_run(const struct link_pool *pool, const struct scan_range *range, const atomic_bool *cancel,
		 struct pair_list *chunks) MUST_CHECK;

#endif
