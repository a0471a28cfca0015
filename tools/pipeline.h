/* Work in pieces by several threads, taken back in the order in which it was given: so that what is written does not
 * depend on how many threads there are. One thread (the caller's) gives and takes; memory is that of the pieces. */
#ifndef TOOLS_PIPELINE_H
#define TOOLS_PIPELINE_H

#include <stdbool.h>

#include "proto/rc.h"

enum { PIPELINE_MAX_WORKERS = 16 };

struct pipeline;
/* Called in worker `worker` on piece `piece`; no two calls at a time have a worker or a piece in common. */
typedef void pipeline_work(void *ctx, unsigned worker, unsigned piece);

/* Start n_workers threads that share n_pieces pieces, which the caller keeps. Errors: NOMEM. */
enum rc pipeline_new(unsigned n_workers, unsigned n_pieces, pipeline_work *work, void *ctx,
		     struct pipeline **ret) MUST_CHECK;
/* The next piece in turn. If it had been given, this waits for its work and *ret_done is true: what is in it is the
 * oldest that was not taken yet. */
unsigned pipeline_next(struct pipeline *p, bool *ret_done);
/* Give the piece that pipeline_next() returned last to the workers; or pass it over, to take what is left. */
void pipeline_give(struct pipeline *p);
void pipeline_pass(struct pipeline *p);
/* Waits for work under way, and leaves out what was not begun. NULL is a no-op. */
void pipeline_free(struct pipeline *p);

/* How many processors this process may run on. */
unsigned pipeline_processors(void);

#endif
