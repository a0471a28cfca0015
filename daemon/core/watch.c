/* Warnings before limits are met; see watch.h. Only what an operator may know: room, dates, the budget that is
 * published anyway. */
#include "daemon/core/watch.h"

#include <inttypes.h>
#include <time.h>

#include "daemon/base/log.h"

enum {
	EVERY_S = 60,
	SILENT_S = 24 * 3600,
	DAY_S = 24 * 3600,
	EXPIRY_DAYS = 30,
};

static bool is_due(struct watch *watch, enum watch_limit limit, bool near, int64_t now_s)
{
	if (!near || now_s < watch->silent_until[limit])
		return false;
	watch->silent_until[limit] = now_s + SILENT_S;
	return true;
}

void watch_front(struct core *core, const struct pipe_counts *counts)
{
	pthread_mutex_lock(&core->lock);
	core->front = *counts;
	pthread_mutex_unlock(&core->lock);
}

int64_t watch_days_left(const struct pipe_counts *counts)
{
	int64_t left = (int64_t)counts->expires_at - (int64_t)time(NULL);
	return left < 0 ? -1 : left / DAY_S;
}

void watch_limits(struct watch *watch, struct core *core, int64_t now_s)
{
	uint64_t map_free = 0, disk_free = 0;
	if (now_s < watch->next_s)
		return;
	pthread_mutex_lock(&core->lock);
	struct pipe_counts front = core->front;
	uint64_t spent = core->history.rho_total_micro, limit = core->study->disclosure.rho_limit_micro;
	pthread_mutex_unlock(&core->lock);
	if (front.expires_at == 0)
		return; /* the front has not spoken yet */
	watch->next_s = now_s + EVERY_S;
	bool known = store_space(core->store, &map_free, &disk_free) == RC_OK;
	if (is_due(watch, WATCH_DISK, known && disk_free / 2 < core->conf->store_min_free_bytes, now_s))
		log_warning("the store's disk has less than twice store_min_free_bytes left; below that batches are "
			    "refused");
	if (is_due(watch, WATCH_MAP, known && map_free < core->conf->store_map_bytes / 10, now_s))
		log_warning("less than a tenth of store_map_bytes is left: enlarge it and restart");
	int64_t days = watch_days_left(&front);
	if (is_due(watch, WATCH_EXPIRY, days < EXPIRY_DAYS, now_s))
		log_warning("a certificate or the revocation list runs out in %" PRId64 " days; then nobody is let in",
			    days < 0 ? 0 : days);
	if (is_due(watch, WATCH_BUDGET, spent >= limit - limit / 10, now_s))
		log_warning("less than a tenth of the study's privacy budget is left");
}
