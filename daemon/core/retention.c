/* Retention; retention.h has the rules, erase.c the erasing.
 *
 * Invariant: a source's records of before the first day are looked for once for each first day, over all batches there
 * are; later ones are refused at the border under the day on which their upload begins, and where the day changes before
 * they are stored all is looked for once more. Nothing is erased by a clock that is not believed. */
#include "daemon/core/retention.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/base/helper.h"
#include "daemon/base/log.h"
#include "daemon/core/erase.h"
#include "proto/day.h"

enum {
	TICK_S = 30,
	SECONDS_A_DAY = 86400,
	LOOK_BITS = 24, /* for the looks of one run of the daemon, at the least 15 years of them */
};

struct retention {
	struct core *core;
	struct helper helper; /* its lock guards what follows */
	bool asked;
	uint64_t begun; /* number of the last look */
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
	pthread_mutex_lock(&r->helper.lock);
	/* Who asks wants to have looked at all that is there. */
	bool all = atomic_exchange(&r->core->stored_late, false) || r->asked;
	for (int s = 0; all && s < STUDY_MAX_SOURCES; s++)
		r->done[s] = DAY_MIN - 1;
	r->asked = false;
	r->begun++;
	pthread_mutex_unlock(&r->helper.lock);
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
	pthread_mutex_lock(&r->helper.lock);
	status.looks = r->begun;
	r->status = status;
	pthread_mutex_unlock(&r->helper.lock);
}

static void *retention_thread(void *arg)
{
	struct retention *r = arg;
	do {
		look(r);
	} while (helper_wait(&r->helper, TICK_S));
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
	/* The log grows with every start: so do the numbers, and who waits for one need not know of a restart. */
	r->begun = audit_log_size(core->log) << LOOK_BITS;
	r->status = (struct retention_status){.state = RETENTION_RUNNING, .before = DAY_MIN - 1, .looks = r->begun};
	for (int s = 0; s < STUDY_MAX_SOURCES; s++)
		r->done[s] = DAY_MIN - 1;
	enum rc rc = erase_find_interrupted(core, &r->interrupted);
	if (rc == RC_OK)
		rc = helper_start(&r->helper, retention_thread, r);
	if (rc == RC_OK) {
		*ret = r;
		return RC_OK;
	}
	free(r->interrupted.ids);
	free(r);
	return rc;
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
	pthread_mutex_lock(&r->helper.lock);
	*ret = r->status;
	if (r->asked || r->begun > r->status.looks)
		ret->state = RETENTION_RUNNING;
	pthread_mutex_unlock(&r->helper.lock);
}

uint64_t retention_look_now(struct retention *r)
{
	pthread_mutex_lock(&r->helper.lock);
	r->asked = true;
	uint64_t number = r->begun + 1;
	helper_wake_locked(&r->helper);
	pthread_mutex_unlock(&r->helper.lock);
	return number;
}

void retention_free(struct retention *r)
{
	if (r == NULL)
		return;
	helper_end(&r->helper);
	free(r->interrupted.ids);
	free(r);
}
