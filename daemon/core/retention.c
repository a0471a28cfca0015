/* Retention; retention.h has the rules, erase.c the erasing.
 *
 * Invariant: a source's records of before the first day are looked for once for each first day, over all batches there
 * are; later ones are refused at the border under the day of then, so nothing that is over stays for longer than until
 * the day after. Nothing is erased by a clock that is not believed. */
#include "daemon/core/retention.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/base/log.h"
#include "daemon/base/monotonic.h"
#include "daemon/core/erase.h"
#include "proto/day.h"

enum { TICK_S = 30, SECONDS_A_DAY = 86400 };

struct retention {
	struct core *core;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	bool stopping, asked;
	uint64_t begun; /* looks */
	struct retention_status status;
	/* The thread's own. */
	struct clock_guard clock;
	int64_t warn_at;                 /* CLOCK_MONOTONIC */
	int32_t done[STUDY_MAX_SOURCES]; /* what was over before this day is erased */
	struct erase_notes interrupted;  /* by a crash before the start; none once they are finished */
};

int32_t retention_first_day(const struct core *core)
{
	int year, month, day;
	if (core->study->retention_years == 0)
		return DAY_MIN - 1;
	day_to_civil((int32_t)(time(NULL) / SECONDS_A_DAY), &year, &month, &day);
	year -= core->study->retention_years;
	/* The years of the 29th of February are over on the 1st of March. */
	if (!day_is_valid_civil(year, month, day))
		return day_from_civil(year, 3, 1);
	return day_from_civil(year, month, day);
}

static enum rc purge_source(void *ctx, int index, int32_t first_day)
{
	struct core *core = ctx;
	const char *source = core->study->sources[index].name;
	struct erasure erasure;
	char text[DAY_TEXT_LEN];
	enum rc rc = erasure_init(&erasure, core, source);
	if (rc != RC_OK)
		return rc;
	erasure.is_retention = true;
	erasure.before = first_day;
	rc = erase_run(&erasure);
	day_format(first_day, text);
	if (erasure.n_removed > 0)
		log_info("the retention of %" PRIu64 " records of %s, of before %s, is over: erased", erasure.n_removed,
			 source, text);
	erasure_deinit(&erasure);
	return rc;
}

enum rc retention_sweep(int n_sources, int32_t first_day, int32_t done[], retention_purge_one purge_one, void *ctx)
{
	enum rc first = RC_OK;
	for (int s = 0; s < n_sources; s++) {
		enum rc rc = first_day > done[s] ? purge_one(ctx, s, first_day) : RC_OK;
		if (rc == RC_OK && first_day > done[s])
			done[s] = first_day;
		if (first == RC_OK)
			first = rc;
	}
	return first;
}

/* ---- may the clock be believed? ---- */

bool clock_guard_passes(struct clock_guard *guard, int64_t wall, int64_t monotonic)
{
	int64_t due = guard->wall == 0 ? wall : guard->wall + (monotonic - guard->monotonic);
	if (wall < due)
		return true; /* behind: too little is over, never too much */
	if (wall - due > (guard->settled ? SECONDS_A_DAY : CLOCK_MAX_GAP_S))
		return false;
	*guard = (struct clock_guard){.wall = wall, .monotonic = monotonic, .settled = true};
	return true;
}

static void day_text(int64_t seconds, char out[DAY_TEXT_LEN])
{
	int64_t day = seconds / SECONDS_A_DAY;
	day_format(day > DAY_MAX ? DAY_MAX : (int32_t)day, out);
}

static void warn_of_clock(struct retention *r, int64_t wall, int64_t monotonic)
{
	char is[DAY_TEXT_LEN], due[DAY_TEXT_LEN];
	if (monotonic < r->warn_at)
		return;
	r->warn_at = monotonic + SECONDS_A_DAY;
	day_text(wall, is);
	day_text(r->clock.wall + (monotonic - r->clock.monotonic), due);
	log_warning("retention waits, nothing is erased: the clock says %s, the log and the time since lead to %s; "
		    "check the clock: if it is wrong, set it and start again; if it is right, say clock_confirmed: %s "
		    "in the configuration and start again",
		    is, due, is);
}

static enum rc purge_what_is_over(struct retention *r, struct retention_status *status)
{
	struct timespec now;
	int64_t wall = (int64_t)time(NULL);
	status->before = retention_first_day(r->core);
	status->state = RETENTION_NONE;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (status->before < DAY_MIN)
		return RC_OK;
	status->state = RETENTION_WAITS;
	if (!clock_guard_passes(&r->clock, wall, now.tv_sec)) {
		warn_of_clock(r, wall, now.tv_sec);
		return RC_OK;
	}
	status->state = RETENTION_DONE;
	return retention_sweep(r->core->study->n_sources, status->before, r->done, purge_source, r->core);
}

static void look(struct retention *r)
{
	struct retention_status status = {.before = DAY_MIN - 1};
	pthread_mutex_lock(&r->lock);
	r->asked = false;
	r->begun++;
	pthread_mutex_unlock(&r->lock);
	enum rc rc = erase_finish_interrupted(r->core, &r->interrupted);
	if (rc == RC_OK)
		r->interrupted.n = 0;
	if (rc == RC_OK)
		rc = purge_what_is_over(r, &status);
	if (rc != RC_OK && rc != RC_STOPPING)
		log_warning("records that are to be erased wait: %s", rc_text(rc));
	if (rc != RC_OK)
		status.state = RETENTION_FAILED;
	status.error = rc;
	pthread_mutex_lock(&r->lock);
	status.looks = r->begun;
	r->status = status;
	pthread_mutex_unlock(&r->lock);
}

/* False when it is time to end. */
static bool wait(struct retention *r)
{
	struct timespec until = monotonic_after(TICK_S);
	int err = 0;
	pthread_mutex_lock(&r->lock);
	while (!r->stopping && !r->asked && err == 0)
		err = pthread_cond_timedwait(&r->wake, &r->lock, &until);
	bool go_on = !r->stopping;
	pthread_mutex_unlock(&r->lock);
	return go_on;
}

static void *retention_thread(void *arg)
{
	struct retention *r = arg;
	do {
		look(r);
	} while (wait(r));
	return NULL;
}

enum rc retention_new(struct core *core, struct retention **ret)
{
	struct timespec now;
	struct retention *r = calloc(1, sizeof *r);
	if (r == NULL)
		return RC_NOMEM;
	clock_gettime(CLOCK_MONOTONIC, &now);
	r->core = core;
	r->clock = (struct clock_guard){.wall = core->history.clock_known, .monotonic = now.tv_sec};
	r->warn_at = now.tv_sec;
	r->status = (struct retention_status){.state = RETENTION_RUNNING, .before = DAY_MIN - 1};
	for (int s = 0; s < STUDY_MAX_SOURCES; s++)
		r->done[s] = DAY_MIN - 1;
	enum rc rc = erase_find_interrupted(core, &r->interrupted);
	if (rc != RC_OK) {
		free(r);
		return rc;
	}
	pthread_mutex_init(&r->lock, NULL);
	monotonic_cond_init(&r->wake);
	if (pthread_create(&r->thread, NULL, retention_thread, r) != 0) {
		pthread_cond_destroy(&r->wake);
		pthread_mutex_destroy(&r->lock);
		free(r->interrupted.ids);
		free(r);
		return RC_NOMEM;
	}
	*ret = r;
	return RC_OK;
}

const char *retention_state_name(enum retention_state state)
{
	static const char *const names[] = {[RETENTION_NONE] = "none",
					    [RETENTION_RUNNING] = "running",
					    [RETENTION_DONE] = "done",
					    [RETENTION_WAITS] = "waits-for-clock",
					    [RETENTION_FAILED] = "failed"};
	return names[state];
}

void retention_status(struct retention *r, struct retention_status *ret)
{
	pthread_mutex_lock(&r->lock);
	*ret = r->status;
	if (r->asked || r->begun > r->status.looks)
		ret->state = RETENTION_RUNNING;
	pthread_mutex_unlock(&r->lock);
}

uint64_t retention_look_now(struct retention *r)
{
	pthread_mutex_lock(&r->lock);
	r->asked = true;
	uint64_t number = r->begun + 1;
	pthread_cond_broadcast(&r->wake);
	pthread_mutex_unlock(&r->lock);
	return number;
}

void retention_free(struct retention *r)
{
	if (r == NULL)
		return;
	pthread_mutex_lock(&r->lock);
	r->stopping = true;
	pthread_cond_broadcast(&r->wake);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	free(r->interrupted.ids);
	free(r);
}
