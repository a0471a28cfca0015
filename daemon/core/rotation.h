/* Rotation of the sealing key while requests are served: POST /v1/keys begins it, a thread carries it through in small
 * jobs of the writer's, and a start takes up what a crash left. The log says who began it, and when it was done. */
#ifndef DAEMON_CORE_ROTATION_H
#define DAEMON_CORE_ROTATION_H

#include <stdbool.h>

#include "daemon/core/state.h"
#include "proto/rc.h"

struct rotator;

/* Goes on at once with a rotation that was not finished. Errors: NOMEM. */
enum rc rotator_new(struct core *core, struct rotator **ret) MUST_CHECK;
/* Ends the thread at the next slice; a rotation goes on at the next start. NULL is a no-op. */
void rotator_free(struct rotator *rotator);
/* A rotation was begun: carry it through. */
void rotator_wake(struct rotator *rotator);

#endif
