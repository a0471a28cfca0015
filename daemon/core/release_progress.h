/* How far a release has come, and how long its steps took. Its owner's lock guards it. */
#ifndef DAEMON_CORE_RELEASE_PROGRESS_H
#define DAEMON_CORE_RELEASE_PROGRESS_H

#include <stdint.h>

#include "daemon/link/link.h"

/* What is done one after the other: the steps of linkage, for each domain, and then these. */
enum release_step { RELEASE_COUNTING = LINK_N_STEPS, RELEASE_PUBLISHING, RELEASE_N_STEPS };
const char *release_step_name(unsigned step);

struct release_progress {
	unsigned step; /* that goes on */
	int64_t since_ms, step_since_ms, step_ms[RELEASE_N_STEPS];
};

void release_progress_begin(struct release_progress *progress);
void release_progress_step(struct release_progress *progress, unsigned step);
int64_t release_progress_seconds(const struct release_progress *progress); /* since it began */
/* One line in the daemon's log; the step that goes on has ended. */
void release_progress_log(struct release_progress *progress, uint32_t release);

#endif
