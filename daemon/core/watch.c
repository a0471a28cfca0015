/* Warnings before limits are met; see watch.h. Only what an operator may know: room, dates, the budget that is
 * published anyway. */
#include "daemon/core/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "daemon/base/log.h"

enum {
	EVERY_S = 60,
	SILENT_S = 24 * 3600,
	DAY_S = 24 * 3600,
	EXPIRY_DAYS = 30,
};

unsigned watch_near(const struct core *core, const struct watch_figures *f)
{
	const struct conf *conf = core->conf;
	uint64_t limit = core->study->disclosure.rho_limit_micro;
	unsigned near = 0;
	if (f->disk_free / 2 < conf->store_min_free_bytes)
		near |= 1u << WATCH_DISK;
	if (f->map_free < conf->store_map_bytes / 10)
		near |= 1u << WATCH_MAP;
	if (f->expires_at != 0 && (int64_t)f->expires_at < (int64_t)time(NULL) + EXPIRY_DAYS * DAY_S)
		near |= 1u << WATCH_EXPIRY;
	if (f->rho_total_micro >= limit - limit / 10)
		near |= 1u << WATCH_BUDGET;
	return near;
}

void watch_text(enum watch_limit limit, const struct watch_figures *figures, char out[WATCH_TEXT_CAP])
{
	static const char *const texts[WATCH_N] = {
		[WATCH_DISK] = "the store's disk has less than twice store_min_free_bytes left; below that batches are "
			       "refused",
		[WATCH_MAP] = "less than a tenth of store_map_bytes is left: enlarge it and restart",
		[WATCH_BUDGET] = "less than a tenth of the study's privacy budget is left",
	};
	int64_t left = (int64_t)figures->expires_at - (int64_t)time(NULL);
	if (limit == WATCH_EXPIRY)
		snprintf(out, WATCH_TEXT_CAP,
			 "a certificate or the revocation list runs out in %" PRId64 " days; then nobody is let in",
			 left < 0 ? 0 : left / DAY_S);
	else
		snprintf(out, WATCH_TEXT_CAP, "%s", texts[limit]);
}

void watch_front(struct core *core, const struct pipe_counts *counts)
{
	pthread_mutex_lock(&core->lock);
	core->front = *counts;
	pthread_mutex_unlock(&core->lock);
}

void watch_limits(struct watch *watch, struct core *core, int64_t now_s)
{
	struct watch_figures figures = {UINT64_MAX, UINT64_MAX, 0, 0};
	char text[WATCH_TEXT_CAP];
	if (now_s < watch->next_s)
		return;
	pthread_mutex_lock(&core->lock);
	figures.expires_at = core->front.expires_at;
	figures.rho_total_micro = core->history.rho_total_micro;
	pthread_mutex_unlock(&core->lock);
	if (figures.expires_at == 0)
		return; /* the front has not spoken yet */
	watch->next_s = now_s + EVERY_S;
	if (store_space(core->store, &figures.map_free, &figures.disk_free) != RC_OK)
		figures.map_free = figures.disk_free = UINT64_MAX;
	unsigned near = watch_near(core, &figures);
	for (enum watch_limit limit = 0; limit < WATCH_N; limit++) {
		if ((near >> limit & 1) == 0 || now_s < watch->silent_until[limit])
			continue;
		watch->silent_until[limit] = now_s + SILENT_S;
		watch_text(limit, &figures, text);
		log_warning("%s", text);
	}
}
