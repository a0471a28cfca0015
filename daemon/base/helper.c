/* Threads that wait for work; see helper.h. */
#include "daemon/base/helper.h"

#include "daemon/base/monotonic.h"
#include "daemon/base/thread.h"

static void deinit(struct helper *helper)
{
	pthread_cond_destroy(&helper->wake);
	pthread_mutex_destroy(&helper->lock);
}

enum rc helper_start(struct helper *helper, void *(*run)(void *ctx), void *ctx)
{
	helper->stopping = helper->woken = false;
	pthread_mutex_init(&helper->lock, NULL);
	monotonic_cond_init(&helper->wake);
	if (thread_start(&helper->thread, run, ctx) == 0)
		return RC_OK;
	deinit(helper);
	return RC_NOMEM;
}

void helper_end(struct helper *helper)
{
	pthread_mutex_lock(&helper->lock);
	helper->stopping = true;
	pthread_cond_broadcast(&helper->wake);
	pthread_mutex_unlock(&helper->lock);
	pthread_join(helper->thread, NULL);
	deinit(helper);
}

void helper_wake_locked(struct helper *helper)
{
	helper->woken = true;
	pthread_cond_broadcast(&helper->wake);
}

void helper_wake(struct helper *helper)
{
	pthread_mutex_lock(&helper->lock);
	helper_wake_locked(helper);
	pthread_mutex_unlock(&helper->lock);
}

bool helper_wait(struct helper *helper, int seconds)
{
	struct timespec until = monotonic_after(seconds);
	int err = 0;

	pthread_mutex_lock(&helper->lock);
	while (!helper->stopping && !helper->woken && err == 0)
		err = seconds == 0 ? pthread_cond_wait(&helper->wake, &helper->lock)
				   : pthread_cond_timedwait(&helper->wake, &helper->lock, &until);
	helper->woken = false;
	bool go_on = !helper->stopping;
	pthread_mutex_unlock(&helper->lock);
	return go_on;
}

bool helper_is_ending(struct helper *helper)
{
	pthread_mutex_lock(&helper->lock);
	bool ending = helper->stopping;
	pthread_mutex_unlock(&helper->lock);
	return ending;
}
