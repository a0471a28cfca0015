/* Sealed segments: indexes over the rows of a pool that came long ago.
 *
 * As in a log-structured merge tree, a segment is made of new rows alone, by the comparison that finds enough of them;
 * segments of like size are merged, so that there are few. Merging goes on beside everything else, on a thread of its
 * own that gives way to others: no comparison waits for it. What a comparison finds does not depend on how rows lie in
 * segments, so neither does anything depend on when a merge is done. */
#ifndef DAEMON_LINK_SEALED_H
#define DAEMON_LINK_SEALED_H

#include <stdatomic.h>
#include <stdint.h>

#include "proto/rc.h"

enum {
	SEALED_APART_SEALS = 4, /* 131,072 rows: see sealed.c */
	SEALED_MAX_SEGMENTS = 1 << 11,
	SEALED_MAX_SEALS = 128, /* of the shortest segment: 4 M rows, which bounds what a merge needs beside what it
				 * replaces */
};

struct index;
struct link_pool;
struct sealed;

enum rc sealed_new(struct link_pool *pool, struct sealed **ret) MUST_CHECK;
void sealed_free(struct sealed *sealed); /* stops a merge; NULL is a no-op */

/* Seal the rows that are enough for it, and hold the segments still until sealed_release: (*ret)[i] for i < *ret_n, of
 * rows 0 … in order, borrowed. Rows before `compared` are compared already. One user at a time. On failure nothing is
 * held. Errors: NOMEM, IO, STOPPING (*cancel, which may be NULL). */
enum rc sealed_use(struct sealed *sealed, uint32_t compared, const atomic_bool *cancel, struct index *const **ret,
		   unsigned *ret_n) MUST_CHECK;
void sealed_release(struct sealed *sealed, uint32_t compared);

/* How many merges failed: nothing is wrong then but that comparing takes longer. *ret_last is set if any did. */
uint64_t sealed_failures(struct sealed *sealed, enum rc *ret_last);
/* Wait until nothing is being merged. Not between sealed_use and sealed_release. */
void sealed_settle(struct sealed *sealed);

#endif
