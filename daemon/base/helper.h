/* A thread that does something now and then: it waits to be woken or for some time to pass, and ends when it is told
 * to. */
#ifndef DAEMON_BASE_HELPER_H
#define DAEMON_BASE_HELPER_H

#include <pthread.h>
#include <stdbool.h>

#include "proto/rc.h"

/* Embedded in the state of what it does; `lock` guards its fields, and whatever else that state says it guards. */
struct helper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping, woken;
};

/* Start `run`, which calls helper_wait() between two pieces of work and returns when that is false. Errors: NOMEM,
 * after which there is nothing to end. */
enum rc helper_start(struct helper *helper, void *(*run)(void *ctx), void *ctx) MUST_CHECK;
/* Tell it to end, and wait until it has. */
void helper_end(struct helper *helper);
/* Let it go on now. With the lock held, or without. */
void helper_wake_locked(struct helper *helper);
void helper_wake(struct helper *helper);

/* The thread's own: wait until it is woken, or `seconds` have passed (0: however long); false when it is time to end.
 */
bool helper_wait(struct helper *helper, int seconds) MUST_CHECK;
bool helper_is_ending(struct helper *helper);

#endif
