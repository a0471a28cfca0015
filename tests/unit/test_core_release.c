/* libs: tc_core tc_store tc_link tc_stats tc_audit tc_keys tc_proto */
/* labels: quick threads */
/* wraps: withdrawn_again */
/* Publication: the study's rules, what is logged before anything is computed, what can be read and when, and that a
 * release does not depend on the order in which records came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/core/publish.h"
#include "daemon/core/withdrawn_again.h"
#include "tests/unit/core_fixture.h"

#define AS_OF "{\"as_of\": \"2025-06-30\"}"

static void publish(struct cf *f, const char *body, int status, const char *text)
{
	struct cf_answer a;
	assert_int_equal(cf_publish(f, body, &a), status);
	if (text != NULL && strstr(cf_text(&a), text) == NULL)
		print_error("%s\n", cf_text(&a));
	assert_true(text == NULL || strstr(cf_text(&a), text) != NULL);
	cf_answer_deinit(&a);
}

static void push_both(struct cf *f, uint64_t first, uint32_t n)
{
	cf_push(f, CF_PRISON, first, n);
	cf_push(f, CF_TREATMENT, first, n);
}

static void get(struct cf *f, enum request_type type, unsigned role, const char *argument, const char *query,
		int status, struct buffer *out)
{
	struct cf_answer a;
	assert_int_equal(cf_get(f, type, role, "", argument, query, &a), status);
	if (out != NULL) {
		buffer_reset(out);
		buffer_append(out, a.body.data, a.body.len + 1);
		out->len--;
	}
	cf_answer_deinit(&a);
}

static void test_rules(void **state)
{
	struct cf *f = *state;
	publish(f, "{}", 409, "too-early");
	cf_push(f, CF_PRISON, 0, 40);
	publish(f, "{}", 409, "1 sources");
	cf_push(f, CF_TREATMENT, 0, 40);
	publish(f, "{\"as_of\": \"2999-01-01\"}", 400, "invalid-input");
	publish(f, "{\"as_of\": \"2190-01-01\"}", 400, "future");
	publish(f, "{\"as_of\": \"2024-02-30\"}", 400, NULL);
	publish(f, "{\"number\": 7}", 400, NULL);
	publish(f, "[]", 400, NULL);
	publish(f, "{", 400, "malformed");
	assert_int_equal(cf_count_entries(f, "release_started"), 0);
	assert_int_equal(f->core->history.rho_total_micro, 0);
	publish(f, AS_OF, 202, "\"release\":1");
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	/* Nothing new since. */
	publish(f, "{}", 409, "too-early");
	push_both(f, 100, 10);
	publish(f, "{\"as_of\": \"2025-06-29\"}", 409, "conflict");
}

static void test_interval_and_budget(void **state)
{
	struct cf *f = *state;
	push_both(f, 0, 30);
	cf_close(f);
	cf_write_study(f, "rho_limit: 4", "rho_limit: 0.3");
	cf_must_open(f);
	publish(f, AS_OF, 202, NULL);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	push_both(f, 100, 30);
	/* The next closed period would cost as much again. */
	publish(f, "{\"as_of\": \"2026-03-31\"}", 409, "budget-spent");
	cf_close(f);
	cf_write_study(f, "interval_days: 0", "interval_days: 30");
	cf_must_open(f);
	publish(f, "{}", 409, "too-early");
	/* The ledger is of the log, whatever the study says now. */
	assert_true(f->core->history.rho_total_micro > 0);
}

/* The daemon itself asks: as of today, by nobody's name; what the study does not allow yet is no fault. */
static void test_by_schedule(void **state)
{
	struct cf *f = *state;
	publish_by_schedule(f->core);
	push_both(f, 0, 40);
	publish_by_schedule(f->core);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	publish_by_schedule(f->core); /* nothing is new */
	publish(f, "{}", 409, "too-early");
	json_t *started = cf_entries(f, "release_started");
	assert_int_equal(json_array_size(started), 1);
	assert_null(json_object_get(json_array_get(started, 0), "who"));
	json_decref(started);
}

/* Each announced date allows one release, and days that nobody announced none. */
static void test_announced_dates(void **state)
{
	struct cf *f = *state;
	push_both(f, 0, 30);
	cf_close(f);
	cf_write_study(f, "interval_days: 0", "interval_days: 0\n  release_dates: [2190-03-31]");
	cf_must_open(f);
	publish(f, AS_OF, 409, "announces the next release for 2190-03-31");
	cf_close(f);
	cf_write_study(f, "interval_days: 0",
		       "interval_days: 0\n  release_dates: [2020-03-31, 2020-06-30, 2190-03-31]");
	cf_must_open(f);
	publish(f, AS_OF, 202, NULL);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	push_both(f, 100, 30);
	/* Both days that have passed are used up by it: what was missed is not made good. */
	publish(f, "{}", 409, "announces the next release for 2190-03-31");
	cf_close(f);
	cf_write_study(f, "interval_days: 0", "interval_days: 0\n  release_dates: [2020-03-31]");
	cf_must_open(f);
	publish(f, "{}", 409, "announces no further release date");
}

static void test_started_entry_and_secret(void **state)
{
	struct cf *f = *state;
	uint8_t secret[32];
	push_both(f, 0, 60);
	publish(f, AS_OF, 202, NULL);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	json_t *started = cf_entries(f, "release_started"), *done = cf_entries(f, "release");
	assert_int_equal(json_array_size(started), 1);
	assert_int_equal(json_array_size(done), 1);
	json_t *s = json_array_get(started, 0), *r = json_array_get(done, 0), *cut = json_object_get(s, "cut");
	assert_int_equal(json_integer_value(json_object_get(cut, "batches")), 2);
	assert_int_equal(json_integer_value(json_object_get(cut, "records")), 120);
	assert_true(json_integer_value(json_object_get(s, "rho_micro")) > 0);
	assert_string_equal(json_string_value(json_object_get(s, "as_of")), "2025-06-30");
	assert_int_equal(json_integer_value(json_object_get(r, "number")), 1);
	/* The secret is gone, and its name with it. */
	assert_int_equal(store_secret_get(f->core->store, 1, secret), RC_NOTFOUND);
	assert_int_equal(store_secret_put(f->core->store, 1, secret), RC_CONFLICT);
	/* The body is found by its digest, and hashes to it. */
	struct buffer body;
	uint8_t digest[32];
	char hex[65];
	const char *named = json_string_value(json_object_get(r, "digest"));
	buffer_init(&body);
	get(f, REQUEST_RELEASE_BODY, ROLE_AUDITOR, named, "", 200, &body);
	sha256(body.data, body.len, digest);
	hex_encode(digest, sizeof digest, hex);
	assert_string_equal(hex, named);
	assert_non_null(strstr((char *)body.data, "\"secret\":\"destroyed\""));
	get(f, REQUEST_RELEASE_BODY, ROLE_AUDITOR, "00", "", 404, NULL);
	hex[0] = hex[0] == '0' ? '1' : '0';
	get(f, REQUEST_RELEASE_BODY, ROLE_AUDITOR, hex, "", 404, NULL);
	buffer_deinit(&body);
	json_decref(started);
	json_decref(done);
}

static void test_queries_are_logged_first(void **state)
{
	struct cf *f = *state;
	struct buffer answer, catalogue;
	uint8_t digest[32];
	char hex[65];
	buffer_init(&answer);
	buffer_init(&catalogue);
	get(f, REQUEST_TABLES, ROLE_ANALYST, "", "", 200, &catalogue);
	assert_non_null(strstr((char *)catalogue.data, "continuity_by_quarter"));
	get(f, REQUEST_TABLE, ROLE_ANALYST, "continuity_by_quarter", "", 404, NULL);
	push_both(f, 0, 60);
	publish(f, AS_OF, 202, NULL);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	get(f, REQUEST_TABLE, ROLE_ANALYST, "continuity_by_quarter", "", 200, &answer);
	json_t *queries = cf_entries(f, "query");
	assert_int_equal(json_array_size(queries), 1);
	sha256(answer.data, answer.len, digest);
	hex_encode(digest, sizeof digest, hex);
	json_t *q = json_array_get(queries, 0);
	assert_string_equal(json_string_value(json_object_get(q, "answer")), hex);
	assert_int_equal(json_integer_value(json_object_get(q, "release")), 1);
	json_decref(queries);
	get(f, REQUEST_TABLE, ROLE_ANALYST, "continuity_by_quarter", "release=2", 404, NULL);
	get(f, REQUEST_TABLE, ROLE_ANALYST, "continuity_by_quarter", "release=x", 400, NULL);
	get(f, REQUEST_TABLE, ROLE_ANALYST, "no_such_table", "", 404, NULL);
	assert_int_equal(cf_count_entries(f, "query"), 1);
	buffer_deinit(&answer);
	buffer_deinit(&catalogue);
}

static void test_earlier_releases_stay(void **state)
{
	struct cf *f = *state;
	struct buffer first, again;
	buffer_init(&first);
	buffer_init(&again);
	push_both(f, 0, 60);
	publish(f, AS_OF, 202, NULL);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	get(f, REQUEST_TABLE, ROLE_ANALYST, "continuity_by_quarter", "release=1", 200, &first);
	push_both(f, 100, 60);
	publish(f, "{}", 202, "\"release\":2");
	assert_int_equal(cf_wait_release(f, 2), LINKER_DONE);
	get(f, REQUEST_TABLE, ROLE_ANALYST, "continuity_by_quarter", "release=1", 200, &again);
	assert_string_equal((char *)first.data, (char *)again.data);
	get(f, REQUEST_TABLE, ROLE_ANALYST, "continuity_by_quarter", "", 200, &again);
	assert_string_not_equal((char *)first.data, (char *)again.data);
	cf_close(f);
	cf_must_open(f);
	get(f, REQUEST_TABLE, ROLE_ANALYST, "continuity_by_quarter", "release=1", 200, &again);
	assert_string_equal((char *)first.data, (char *)again.data);
	buffer_deinit(&first);
	buffer_deinit(&again);
}

/* The body of release 1 after pushing with `push`, with an injected secret. */
static void body_after(void (*push)(struct cf *f), const char *kernel, uint32_t n_threads, struct buffer *out)
{
	struct cf f;
	struct txn *txn = NULL;
	struct store_key key;
	cf_init(&f);
	cf_path(&f, "release.key", f.conf.test_release_secret);
	strcpy(f.conf.link_kernel, kernel);
	f.conf.worker_threads = n_threads;
	cf_must_open(&f);
	push(&f);
	publish(&f, AS_OF, 202, NULL);
	assert_int_equal(cf_wait_release(&f, 1), LINKER_DONE);
	release_key(&key, 1);
	assert_int_equal(txn_begin_read(f.core->store, &txn), RC_OK);
	assert_int_equal(store_get(txn, &key, out), RC_OK);
	txn_abort(txn);
	cf_deinit(&f);
}

static void push_whole(struct cf *f)
{
	push_both(f, 0, 300);
}

static void push_in_pieces(struct cf *f)
{
	for (uint64_t at = 300; at > 0; at -= 50) {
		cf_push(f, CF_TREATMENT, at - 50, 50);
		if (at == 150) {
			cf_close(f);
			cf_must_open(f);
		}
	}
	for (uint64_t at = 0; at < 300; at += 20)
		cf_push(f, CF_PRISON, at, 20);
	/* The same records in batches of another size: superseded by equal ones, counted once. */
	cf_push(f, CF_PRISON, 100, 70);
}

static void test_order_and_threads_do_not_matter(void **state)
{
	struct buffer whole, pieces;
	buffer_init(&whole);
	buffer_init(&pieces);
	body_after(push_whole, "auto", 1, &whole);
	body_after(push_whole, "auto", 2, &pieces);
	assert_int_equal(whole.len, pieces.len);
	assert_memory_equal(whole.data, pieces.data, whole.len);
	buffer_reset(&pieces);
	body_after(push_in_pieces, "scalar", 3, &pieces);
	assert_int_equal(whole.len, pieces.len);
	assert_memory_equal(whole.data, pieces.data, whole.len);
	buffer_append(&whole, "", 1);
	assert_non_null(strstr((char *)whole.data, "\"secret\":\"injected\""));
	assert_non_null(strstr((char *)whole.data, "\"records\":600"));
	buffer_deinit(&whole);
	buffer_deinit(&pieces);
}

static void test_injected_secret_needs_synthetic(void **state)
{
	struct cf *f = *state;
	cf_close(f);
	cf_path(f, "release.key", f->conf.test_release_secret);
	cf_write_study(f, "synthetic: true", "synthetic: false");
	assert_int_equal(cf_open(f), RC_CONFIG);
	assert_non_null(strstr(f->diag.text, "synthetic"));
	assert_int_equal(core_check(&f->conf, &f->diag), RC_CONFIG);
	cf_write_study(f, NULL, NULL);
	assert_int_equal(core_check(&f->conf, &f->diag), RC_OK);
	strcpy(f->conf.link_kernel, "quantum");
	assert_int_equal(cf_open(f), RC_CONFIG);
	assert_non_null(strstr(f->diag.text, "link_kernel"));
}

/* A ledger that disagrees with the log is not believed. */
static void test_ledger_is_checked(void **state)
{
	struct cf *f = *state;
	struct txn *txn = NULL;
	struct store_key key;
	push_both(f, 0, 30);
	publish(f, AS_OF, 202, NULL);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	ledger_key(&key);
	assert_int_equal(txn_begin_write(f->core->store, &txn), RC_OK);
	assert_int_equal(store_put(txn, &key, "\0\0\0\0\0\0\0\0\0\0\0\1", 12), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	cf_close(f);
	assert_int_equal(cf_open(f), RC_DAMAGED);
	assert_non_null(strstr(f->diag.text, "ledger"));
}

static void test_release_in_the_store_is_checked(void **state)
{
	struct cf *f = *state;
	struct txn *txn = NULL;
	struct store_key key;
	push_both(f, 0, 30);
	publish(f, AS_OF, 202, NULL);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	release_key(&key, 1);
	assert_int_equal(txn_begin_write(f->core->store, &txn), RC_OK);
	assert_int_equal(store_put(txn, &key, "{}", 2), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	cf_close(f);
	assert_int_equal(cf_open(f), RC_DAMAGED);
	assert_non_null(strstr(f->diag.text, "release 1"));
}

/* Tables are carried on from one release to the next, within one study: under another name nothing could be published.
 */
static void test_study_keeps_its_name(void **state)
{
	struct cf *f = *state;
	push_both(f, 0, 30);
	cf_close(f);
	cf_write_study(f, "name: two-registers", "name: three-registers");
	cf_must_open(f); /* nothing is published yet */
	publish(f, AS_OF, 202, NULL);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	cf_close(f);
	cf_write_study(f, NULL, NULL);
	assert_int_equal(cf_open(f), RC_CONFIG);
	assert_non_null(strstr(f->diag.text, "release 1 was published as three-registers"));
	cf_write_study(f, "name: two-registers", "name: three-registers");
	cf_must_open(f);
}

/* ---- two starts in one transaction ---- */

struct gate {
	struct write_job job;
	pthread_mutex_t lock;
	atomic_bool reached;
};

static enum rc gate_apply(struct write_job *job, struct txn *txn)
{
	struct gate *gate = (struct gate *)job;
	atomic_store(&gate->reached, true);
	pthread_mutex_lock(&gate->lock);
	pthread_mutex_unlock(&gate->lock);
	return RC_OK;
}

static void gate_done(struct write_job *job, enum rc rc)
{
}

static void wait_a_moment(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
}

struct asking {
	struct cf *f;
	int status;
};

static void *ask(void *ctx)
{
	struct asking *asking = ctx;
	struct cf_answer a;
	asking->status = cf_publish(asking->f, AS_OF, &a);
	cf_answer_deinit(&a);
	return NULL;
}

/* The writer is held up until both wait, so that they come into one group: the second must see the first. */
static void test_two_starts_at_once(void **state)
{
	struct cf *f = *state;
	struct gate gate = {.job = {.apply = gate_apply, .done = gate_done}};
	struct asking asking[2] = {{f, 0}, {f, 0}};
	pthread_t threads[2];
	push_both(f, 0, 40);
	cf_wait_compared(f);
	pthread_mutex_init(&gate.lock, NULL);
	pthread_mutex_lock(&gate.lock);
	assert_int_equal(write_queue_push(f->core->writes, &gate.job), RC_OK);
	while (!atomic_load(&gate.reached))
		wait_a_moment();
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask, &asking[i]), 0);
	while (write_queue_depth(f->core->writes) < 2)
		wait_a_moment();
	pthread_mutex_unlock(&gate.lock);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(asking[0].status + asking[1].status, 202 + 409);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	assert_int_equal(cf_count_entries(f, "release_started"), 1);
	cf_close(f);
	cf_must_open(f);
	pthread_mutex_destroy(&gate.lock);
}

/* A store without room refuses or fails a release; with room again that very release is finished, charged once. */
static int publish_without_room(struct cf *f, size_t smallest, bool comparing)
{
	struct buffer batch;
	struct cf_answer a;
	uint8_t id[BATCH_ID_LEN];
	uint64_t first = 0;
	int status = 201;
	cf_close(f);
	f->conf.store_map_bytes = 5 << 20;
	cf_must_open(f);
	push_both(f, 0, 60);
	for (first = 100; status == 201; first += 100) {
		buffer_init(&batch);
		cf_batch(f, CF_PRISON, first, 100, &batch, id);
		status = cf_post_batch(f, "prison", CONTENT_PROTOBUF, batch.data, batch.len, &a);
		cf_answer_deinit(&a);
		buffer_deinit(&batch);
	}
	assert_int_equal(status, 507);
	if (!comparing)
		linker_stop(f->core->linker);
	/* What a batch must leave free is taken too, entry by entry. */
	struct identity who = cf_who(ROLE_SUBMITTER, "prison");
	struct entry_who by = entry_who_of(&who, ROLE_SUBMITTER);
	char filler[20001];
	for (size_t len = sizeof filler - 1; len >= smallest; len /= 10) {
		memset(filler, 'x', len);
		filler[len] = '\0';
		json_t *fields = json_pack("{s:s, s:s, s:i}", "source", "prison", "reason", filler, "bytes", 1);
		enum rc rc = RC_OK;
		while (rc == RC_OK)
			rc = core_log_entry(f->core, ENTRY_BATCH_REJECTED, &by, fields);
		json_decref(fields);
		assert_int_equal(rc, RC_NOSPACE);
	}
	assert_false(atomic_load(&f->core->must_stop));
	int started = cf_publish(f, AS_OF, &a);
	cf_answer_deinit(&a);
	assert_true(started == 202 || started == 507);
	if (started == 202)
		assert_int_equal(cf_wait_release(f, 1), LINKER_FAILED);
	cf_close(f);
	f->conf.store_map_bytes = 64 << 20;
	cf_must_open(f);
	if (started == 507)
		publish(f, AS_OF, 202, NULL);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	assert_int_equal(cf_count_entries(f, "release_started"), 1);
	assert_int_equal(cf_count_entries(f, "release"), 1);
	cf_close(f);
	cf_must_open(f);
	return started;
}

/* Not even its start can be logged, while comparing gives no pages back; or the start can and the body cannot be
 * stored. */
static void test_no_room_to_start_a_release(void **state)
{
	assert_int_equal(publish_without_room(*state, 20, false), 507);
}

static void test_no_room_to_finish_a_release(void **state)
{
	/* As pages lie today; were it the start that has no room, the helper has checked that as well. */
	(void)publish_without_room(*state, 2000, true);
}

static enum rc wait_compare_error(struct cf *f)
{
	struct linker_status status = {.compare_error = RC_OK};
	for (int i = 0; i < 120000 && status.compare_error == RC_OK;
	     i++) { /* a limit ends a hang, it measures nothing */
		wait_a_moment();
		linker_status(f->core->linker, &status);
	}
	return status.compare_error;
}

static void expect_status(struct cf *f, const char *part)
{
	struct cf_answer a;
	assert_int_equal(cf_get(f, REQUEST_STATUS, ROLE_OPERATOR, "", "", "", &a), 200);
	if (strstr(cf_text(&a), part) == NULL)
		fail_msg("%s is not in %s", part, cf_text(&a));
	cf_answer_deinit(&a);
}

/* Candidate pairs do not take the last room: comparing stands still and says so, the log goes on, and a release that
 * failed for it is taken up again. */
static void test_pairs_leave_the_last_room(void **state)
{
	struct cf *f = *state;
	struct buffer out;
	buffer_init(&out);
	push_both(f, 0, 60);
	cf_close(f);
	/* With another floor all pairs are made again. */
	cf_write_study(f, "floor: 0", "floor: 1");
	f->conf.store_min_free_bytes = UINT64_MAX / 2;
	cf_must_open(f);
	assert_int_equal(wait_compare_error(f), RC_NOSPACE);
	expect_status(f, "\"comparing\":{\"comparisons_done\":0,\"comparisons_left\":7140,\"error\":\"no-space\","
			 "\"pending_records\":120,\"seconds_left\":null}");
	get(f, REQUEST_METRICS, ROLE_OPERATOR, "", "", 200, &out);
	assert_non_null(strstr((char *)out.data, "throughcare_compare_failed 1\n"));
	publish(f, AS_OF, 202, NULL);
	assert_int_equal(cf_wait_release(f, 1), LINKER_FAILED);
	f->conf.store_min_free_bytes = 0;
	publish(f, AS_OF, 202, "resumed");
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	assert_int_equal(cf_count_entries(f, "release_started"), 1);
	expect_status(f, "\"comparing\":{\"comparisons_done\":7140,\"comparisons_left\":0,\"error\":null,"
			 "\"pending_records\":0,\"seconds_left\":0}");
	buffer_deinit(&out);
}

/* More candidate pairs than so many records may have: comparing stands still and says so, and everything else goes on.
 */
static void test_too_many_nearly_equal(void **state)
{
	struct cf *f = *state;
	struct buffer out;
	buffer_init(&out);
	push_both(f, 0, 60);
	cf_wait_compared(f);
	f->conf.max_pairs_per_record = 1;
	f->alike = true;
	cf_push(f, CF_PRISON, 10000, 4500); /* ten million pairs: more than are looked for at a time */
	f->alike = false;
	assert_int_equal(wait_compare_error(f), RC_TOO_LARGE);
	expect_status(f, "\"error\":\"too-large\",\"pending_records\"");
	assert_false(atomic_load(&f->core->must_stop));
	push_both(f, 100, 20);
	/* Nothing of it is lost at a restart, and what had been stored is known to have been. */
	cf_close(f);
	cf_must_open(f);
	assert_int_equal(wait_compare_error(f), RC_TOO_LARGE);
	publish(f, AS_OF, 202, NULL);
	assert_int_equal(cf_wait_release(f, 1), LINKER_FAILED);
	buffer_deinit(&out);
}

static const char *last_kind(struct cf *f)
{
	static const char *const kinds[] = {"stop", "release"};
	struct txn *txn = NULL;
	struct buffer text;
	const char *found = "another";
	json_t *entry = NULL;
	buffer_init(&text);
	assert_int_equal(txn_begin_read(f->core->store, &txn), RC_OK);
	assert_int_equal(audit_log_entry(txn, audit_log_signed_size(f->core->log) - 1, &text), RC_OK);
	txn_abort(txn);
	assert_int_equal(json_parse_strict((char *)text.data, text.len, &entry, NULL), RC_OK);
	for (size_t i = 0; i < 2; i++) {
		if (strcmp(json_string_value(json_object_get(entry, "kind")), kinds[i]) == 0)
			found = kinds[i];
	}
	json_decref(entry);
	buffer_deinit(&text);
	return found;
}

static bool start_is_slow;
static enum linker_state state_at_start;

enum rc __real_withdrawn_again(struct core *core, struct diag *diag);
enum rc __wrap_withdrawn_again(struct core *core, struct diag *diag);
/* The last that a start does to the rows; meanwhile nobody may link them. */
enum rc __wrap_withdrawn_again(struct core *core, struct diag *diag)
{
	struct linker_status status;
	linker_wake(core->linker); /* as withdrawing does */
	for (int i = 0; i < 50 && start_is_slow; i++)
		wait_a_moment();
	linker_status(core->linker, &status);
	state_at_start = status.release_state;
	return __real_withdrawn_again(core, diag);
}

/* A release that is running when the daemon stops says nothing after `stop`; the next start finishes it, once it has
 * itself been logged and has withdrawn what it must. */
static void test_nothing_follows_stop(void **state)
{
	struct cf *f = *state;
	push_both(f, 0, 400);
	publish(f, AS_OF, 202, NULL);
	core_drain(f->core);
	assert_int_equal(core_log_entry(f->core, ENTRY_STOP, NULL, NULL), RC_OK);
	for (int i = 0; i < 300; i++)
		wait_a_moment();
	assert_string_equal(last_kind(f), "stop");
	/* Where the machine held us up until it was done, nothing is left to finish. */
	bool finished = cf_count_entries(f, "release") == 1;
	cf_close(f);
	start_is_slow = true;
	cf_must_open(f);
	start_is_slow = false;
	assert_int_equal(state_at_start, finished ? LINKER_DONE : LINKER_IDLE);
	if (!finished) {
		assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
		assert_string_equal(last_kind(f), "release");
	}
	assert_int_equal(cf_count_entries(f, "release_started"), 1);
	assert_int_equal(cf_count_entries(f, "release"), 1);
}

/* Candidate pairs take room in the store: free room to the byte would be a figure of linkage. */
static void test_status_does_not_count_pairs(void **state)
{
	struct cf *f = *state;
	struct buffer out;
	json_t *before, *after;
	buffer_init(&out);
	get(f, REQUEST_STATUS, ROLE_OPERATOR, "", "", 200, &out);
	assert_int_equal(json_parse_strict((char *)out.data, out.len, &before, NULL), RC_OK);
	push_both(f, 0, 100);
	cf_wait_compared(f);
	get(f, REQUEST_STATUS, ROLE_OPERATOR, "", "", 200, &out);
	assert_int_equal(json_parse_strict((char *)out.data, out.len, &after, NULL), RC_OK);
	json_t *room = json_object_get(after, "free");
	assert_int_equal(json_integer_value(json_object_get(room, "map_bytes")) % (16 << 20), 0);
	assert_int_equal(json_integer_value(json_object_get(room, "disk_bytes")) % (16 << 20), 0);
	assert_int_equal(json_integer_value(json_object_get(room, "map_bytes")),
			 json_integer_value(json_object_get(json_object_get(before, "free"), "map_bytes")));
	json_decref(before);
	json_decref(after);
	buffer_deinit(&out);
}

/* ---- another study while a release is unfinished ---- */

static void test_unfinished_release_keeps_its_study(void **state)
{
	struct cf *f = *state;
	push_both(f, 0, 40);
	cf_close(f);
	/* A chunk slot is lost: reading the rows fails, and the release with it. */
	char salts[CONF_PATH_CAP + 8];
	snprintf(salts, sizeof salts, "%s/salts", f->conf.store_directory);
	int fd = open(salts, O_RDWR);
	uint8_t was[64], lost[64] = {2};
	assert_int_equal(pread(fd, was, sizeof was, 64), sizeof was);
	assert_int_equal(pwrite(fd, lost, sizeof lost, 64), sizeof lost);
	cf_must_open(f);
	publish(f, AS_OF, 202, NULL);
	assert_int_equal(cf_wait_release(f, 1), LINKER_FAILED);
	cf_close(f);
	assert_int_equal(pwrite(fd, was, sizeof was, 64), sizeof was);
	close(fd);
	/* It was charged by the noise of the study it was started under: no other may finish it. */
	cf_write_study(f, "rho_limit: 4", "rho_limit: 3");
	assert_int_equal(cf_open(f), RC_CONFIG);
	assert_non_null(strstr(f->diag.text, "release 1"));
	cf_write_study(f, NULL, NULL);
	cf_must_open(f);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
}

/* Records that came in under a study of real persons are never published without noise. */
static void test_real_records_never_become_synthetic(void **state)
{
	struct cf *f = *state;
	cf_deinit(f);
	cf_init(f);
	cf_write_study(f, "synthetic: true", "synthetic: false");
	cf_must_open(f);
	cf_push(f, CF_PRISON, 0, 10);
	cf_close(f);
	cf_write_study(f, NULL, NULL);
	assert_int_equal(cf_open(f), RC_CONFIG);
	assert_non_null(strstr(f->diag.text, "synthetic"));
	cf_write_study(f, "synthetic: true", "synthetic: false");
	cf_must_open(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rules, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_interval_and_budget, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_by_schedule, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_announced_dates, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_started_entry_and_secret, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_queries_are_logged_first, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_earlier_releases_stay, cf_setup, cf_teardown),
		cmocka_unit_test(test_order_and_threads_do_not_matter),
		cmocka_unit_test_setup_teardown(test_injected_secret_needs_synthetic, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_ledger_is_checked, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_release_in_the_store_is_checked, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_study_keeps_its_name, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_two_starts_at_once, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_no_room_to_start_a_release, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_no_room_to_finish_a_release, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_pairs_leave_the_last_room, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_too_many_nearly_equal, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_nothing_follows_stop, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_status_does_not_count_pairs, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_unfinished_release_keeps_its_study, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_real_records_never_become_synthetic, cf_setup, cf_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
