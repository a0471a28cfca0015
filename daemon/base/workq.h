/* A bounded queue of work and the threads that take from it. Work items hold no connection pointers. */
#ifndef DAEMON_BASE_WORKQ_H
#define DAEMON_BASE_WORKQ_H

#include <stddef.h>

#include "proto/rc.h"

struct workq;
typedef void (*work_fn)(void *item);

/* Start n_threads. Errors: NOMEM. */
enum rc workq_new(unsigned n_threads, size_t capacity, struct workq **ret) MUST_CHECK;
/* Errors: BUSY (full; the item stays the caller's), STOPPING. */
enum rc workq_push(struct workq *q, work_fn fn, void *item) MUST_CHECK;
size_t workq_depth(struct workq *q);
/* Finish what is queued, join, free. */
void workq_free(struct workq *q);

/* Run fn(ctx, i) for i = 0 … n-1 on n_threads (the caller's included), in any order, and wait. For pure code. */
void parallel_for(unsigned n_threads, size_t n, void (*fn)(void *ctx, size_t i), void *ctx);
/* The same over n things in blocks of `block`, the last of them perhaps shorter: fn(ctx, first, end) with first a multiple
 * of `block`. How they are cut does not depend on the threads, so sums by block that are added in order do not either. */
void parallel_blocks(unsigned n_threads, size_t n, size_t block, void (*fn)(void *ctx, size_t first, size_t end),
		     void *ctx);

#endif
