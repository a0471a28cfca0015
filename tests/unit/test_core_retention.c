/* libs: tc_core tc_store tc_link tc_stats tc_audit tc_keys tc_proto */
/* labels: quick threads */
/* Retention under clocks that are wrong: what is not over is never erased by one, however often the daemon is started
 * with it, and goes when the clock is confirmed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/core/erase.h"
#include "daemon/core/retention.h"
#include "proto/day.h"
#include "tests/unit/core_fixture.h"

enum { DAY_S = 86400 };

/* The clock of this program and of the daemon's code in it. */
static _Atomic int64_t clock_now;

time_t time(time_t *ret)
{
	if (ret != NULL)
		*ret = (time_t)clock_now;
	return (time_t)clock_now;
}

static void set_clock(const char *text)
{
	int32_t day;
	assert_int_equal(day_parse(text, &day), RC_OK);
	clock_now = (int64_t)day * DAY_S + 3600;
}

static enum retention_state look_now(struct cf *f)
{
	struct retention_status status;
	uint64_t look = retention_look_now(f->core->retention);
	for (retention_status(f->core->retention, &status); status.looks < look;
	     retention_status(f->core->retention, &status)) {
		assert_int_equal(status.state, RETENTION_RUNNING);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return status.state;
}

/* Start on this day, look for what is over, in this state, and stop; returns how many purges the log has then. */
static size_t purges_after_start(struct cf *f, const char *day, enum retention_state state)
{
	set_clock(day);
	cf_must_open(f);
	assert_int_equal(look_now(f), state);
	size_t n = cf_count_entries(f, "purge");
	cf_close(f);
	return n;
}

static void test_wrong_clock_erases_nothing(void **state)
{
	struct cf f;
	cf_init(&f); /* a study that keeps records for ten years */
	set_clock("2025-06-30");
	cf_must_open(&f);
	cf_push(&f, CF_PRISON, 0, 50); /* events of 2024 */
	cf_close(&f);
	assert_int_equal(purges_after_start(&f, "2025-07-30", RETENTION_DONE), 0);
	/* Wrong, and again, when the log has entries of that day; then right again, although the log's time stays
	 * ahead. */
	assert_int_equal(purges_after_start(&f, "2036-01-01", RETENTION_WAITS), 0);
	assert_int_equal(purges_after_start(&f, "2036-01-02", RETENTION_WAITS), 0);
	assert_int_equal(purges_after_start(&f, "2025-08-01", RETENTION_DONE), 0);
	assert_int_equal(purges_after_start(&f, "2036-01-03", RETENTION_WAITS), 0);
	strcpy(f.conf.clock_confirmed, "2025-12-01");
	assert_int_equal(purges_after_start(&f, "2036-01-03", RETENTION_WAITS), 0);
	strcpy(f.conf.clock_confirmed, "2036-01-03");
	assert_int_equal(purges_after_start(&f, "2036-01-03", RETENTION_DONE), 1);
	cf_deinit(&f);
}

/* Entries no more than 35 days apart lead from year to year: nobody needs to confirm anything. */
static void test_right_clock_needs_nobody(void **state)
{
	struct cf f;
	char text[DAY_TEXT_LEN];
	int32_t day;
	cf_init(&f);
	cf_write_study(&f, "years: 10", "years: 1}");
	set_clock("2024-12-01");
	cf_must_open(&f);
	cf_push(&f, CF_PRISON, 0, 50); /* events from 2024-01-08 on */
	cf_close(&f);
	assert_int_equal(day_parse("2024-12-01", &day), RC_OK);
	for (int i = 0; i < 2; i++) {
		day += 34;
		day_format(day, text);
		assert_int_equal(purges_after_start(&f, text, RETENTION_DONE), i);
	}
	cf_deinit(&f);
}

/* A batch whose upload begins before midnight and ends after it: what is over by then does not stay until the day after. */
static void test_upload_over_midnight(void **state)
{
	struct request_port port = {cf_on_reply, cf_on_credit, NULL};
	struct pipe_request head = {.type = REQUEST_BATCH_PUT, .content = CONTENT_PROTOBUF, .content_length = -1};
	struct request *request = NULL;
	struct retention_status status;
	struct cf_answer a;
	struct buffer batch;
	struct cf f;
	uint8_t id[BATCH_ID_LEN];
	cf_init(&f);
	cf_write_study(&f, "years: 10", "years: 1}");
	set_clock("2025-01-08");
	assert_int_equal(cf_open(&f), RC_OK);
	buffer_init(&batch);
	cf_batch(&f, CF_PRISON, 0, 50, &batch, id); /* events from 2024-01-08 on */
	head.who = cf_who(ROLE_SUBMITTER, "prison");
	cf_answer_init(&a);
	port.ctx = &a;
	assert_int_equal(request_new(f.core, 1, &head, &port, &request), RC_OK);
	assert_int_equal(request_feed(request, batch.data, 100), RC_OK);
	pthread_mutex_lock(&a.lock);
	while (a.credit == PIPE_INITIAL_CREDIT)
		pthread_cond_wait(&a.wake, &a.lock); /* begun: something of it was used up */
	pthread_mutex_unlock(&a.lock);
	set_clock("2025-01-09");
	assert_int_equal(look_now(&f), RETENTION_DONE);
	assert_int_equal(request_feed(request, batch.data + 100, batch.len - 100), RC_OK);
	request_end(request);
	pthread_mutex_lock(&a.lock);
	while (a.n_replies == 0)
		pthread_cond_wait(&a.wake, &a.lock);
	pthread_mutex_unlock(&a.lock);
	assert_int_equal(a.reply.http_status, 201);
	assert_true(atomic_load(&f.core->stored_late)); /* the next look, in half a minute, takes all once more */
	assert_int_equal(cf_count_entries(&f, "purge"), 0);
	uint64_t look = retention_look_now(f.core->retention);
	assert_int_equal(look_now(&f), RETENTION_DONE);
	assert_int_equal(cf_count_entries(&f, "purge"), 1);
	assert_false(atomic_load(&f.core->stored_late));
	request_unref(request);
	cf_answer_deinit(&a);
	buffer_deinit(&batch);
	/* Who waits for a look while the daemon is started anew waits no longer for it. */
	cf_close(&f);
	assert_int_equal(cf_open(&f), RC_OK);
	retention_status(f.core->retention, &status);
	assert_true(status.looks > look);
	cf_deinit(&f);
}

static void test_guard(void **state)
{
	struct clock_guard guard = {.wall = 1000 * (int64_t)DAY_S, .monotonic = 50};
	/* Behind, as a clock without a battery is at first, then set: that is no jump. */
	assert_true(clock_guard_passes(&guard, 5, 60));
	assert_false(clock_guard_passes(&guard, 1036 * (int64_t)DAY_S, 70));
	assert_true(clock_guard_passes(&guard, 1034 * (int64_t)DAY_S, 70));
	/* From now on it may run ahead by a day at most, whatever time has passed; and it may come back. */
	assert_true(clock_guard_passes(&guard, 1035 * (int64_t)DAY_S, 100));
	assert_false(clock_guard_passes(&guard, 1037 * (int64_t)DAY_S, 130));
	assert_false(clock_guard_passes(&guard, 1037 * (int64_t)DAY_S + 30, 160));
	assert_true(clock_guard_passes(&guard, 1035 * (int64_t)DAY_S + 90, 190));
	assert_true(clock_guard_passes(&guard, 1095 * (int64_t)DAY_S, 190 + 60 * DAY_S));
	assert_true(clock_guard_passes(&guard, 0, 200 + 60 * DAY_S));
	assert_true(clock_guard_passes(&guard, 1095 * (int64_t)DAY_S + 40, 230 + 60 * DAY_S));
	/* Nothing is known: the first log of all. */
	guard = (struct clock_guard){0};
	assert_true(clock_guard_passes(&guard, 9000 * (int64_t)DAY_S, 1));
	assert_false(clock_guard_passes(&guard, 9002 * (int64_t)DAY_S, 2));
}

/* An entry that was rolled back leaves no trace in the log's time. */
static void test_rollback_restores_the_time(void **state)
{
	struct cf f;
	struct txn *txn = NULL;
	cf_init(&f);
	set_clock("2025-06-30");
	cf_must_open(&f);
	retention_free(f.core->retention);
	f.core->retention = NULL;
	int64_t before = audit_log_now(f.core->log);
	/* The writer rests: this is its part. */
	assert_int_equal(txn_begin_write(f.core->store, &txn), RC_OK);
	set_clock("2036-01-01");
	json_t *fields = json_object();
	assert_int_equal(audit_log_append(f.core->log, txn, ENTRY_STOP, NULL, fields, NULL), RC_OK);
	json_decref(fields);
	txn_abort(txn);
	audit_log_rollback(f.core->log);
	clock_now = before;
	assert_int_equal(audit_log_now(f.core->log), before);
	cf_deinit(&f);
}

struct sweep {
	int busy; /* this source */
	unsigned n[3];
};

static enum rc sweep_one(void *ctx, int source, int32_t first_day)
{
	struct sweep *sweep = ctx;
	sweep->n[source]++;
	return source == sweep->busy ? RC_BUSY : RC_OK;
}

static void test_a_busy_source_holds_nobody_off(void **state)
{
	int32_t done[3] = {DAY_MIN - 1, DAY_MIN - 1, DAY_MIN - 1};
	struct sweep sweep = {.busy = 0};
	assert_int_equal(retention_sweep(3, 100, done, sweep_one, &sweep), RC_BUSY);
	assert_int_equal(retention_sweep(3, 100, done, sweep_one, &sweep), RC_BUSY);
	assert_true(sweep.n[0] == 2 && sweep.n[1] == 1 && sweep.n[2] == 1);
	sweep.busy = -1;
	assert_int_equal(retention_sweep(3, 100, done, sweep_one, &sweep), RC_OK);
	assert_int_equal(retention_sweep(3, 100, done, sweep_one, &sweep), RC_OK);
	assert_int_equal(retention_sweep(3, 101, done, sweep_one, &sweep), RC_OK);
	assert_true(sweep.n[0] == 4 && sweep.n[1] == 2 && sweep.n[2] == 2);
}

/* A note as a withdrawal of many chunks leaves it with its first: of the person 7 of the prison. */
static void put_note(struct cf *f)
{
	struct txn *txn = NULL;
	struct store_key key;
	uint8_t value[7 + RECORD_ID_LEN] = "prison";
	value[7 + 7] = 7;
	value[7 + 15] = CF_PRISON + 1;
	store_key_init(&key, STORE_META);
	store_key_string(&key, "erasing");
	store_key_bytes(&key, (const uint8_t *)"12345678", 8);
	assert_int_equal(txn_begin_write(f->core->store, &txn), RC_OK);
	assert_int_equal(store_put(txn, &key, value, sizeof value), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
}

static void test_only_notes_of_before_are_taken_up(void **state)
{
	struct cf f;
	struct erase_notes notes = {NULL, 0};
	cf_init(&f);
	set_clock("2025-06-30");
	cf_must_open(&f);
	cf_push(&f, CF_PRISON, 0, 50);
	cf_wait_compared(&f);
	retention_free(f.core->retention);
	f.core->retention = NULL;
	/* One that comes while requests are served is of a withdrawal that is running. */
	assert_int_equal(erase_find_interrupted(f.core, &notes), RC_OK);
	assert_int_equal(notes.n, 0);
	put_note(&f);
	assert_int_equal(erase_finish_interrupted(f.core, &notes), RC_OK);
	assert_int_equal(cf_count_entries(&f, "withdrawal"), 0);
	assert_int_equal(erase_find_interrupted(f.core, &notes), RC_OK);
	assert_int_equal(notes.n, 1);
	free(notes.ids);
	/* After a start it is of one that was interrupted. */
	cf_close(&f);
	cf_must_open(&f);
	retention_free(f.core->retention);
	f.core->retention = NULL;
	assert_int_equal(cf_count_entries(&f, "withdrawal"), 1);
	assert_int_equal(erase_find_interrupted(f.core, &notes), RC_OK);
	assert_int_equal(notes.n, 0);
	cf_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_clock_erases_nothing),
		cmocka_unit_test(test_right_clock_needs_nobody),
		cmocka_unit_test(test_upload_over_midnight),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_a_busy_source_holds_nobody_off),
		cmocka_unit_test(test_only_notes_of_before_are_taken_up),
		cmocka_unit_test(test_rollback_restores_the_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
