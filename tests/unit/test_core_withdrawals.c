/* libs: tc_core tc_store tc_link tc_stats tc_audit tc_keys tc_proto */
/* labels: quick threads */
/* Withdrawals through the core: the records are gone from chunks and from releases as if they had never been sent, they
 * cannot come again, the log says how many, and only their own source can do it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/core/pairs.h"
#include "daemon/core/publish.h"
#include "daemon/core/rows.h"
#include "tests/unit/core_fixture.h"

static int setup(void **state)
{
	struct cf *f = malloc(sizeof *f);
	cf_init(f);
	cf_path(f, "release.key", f->conf.test_release_secret);
	cf_must_open(f);
	*state = f;
	return 0;
}

static void add_id(struct buffer *body, uint64_t person, int source)
{
	buffer_printf(body, "%s\"%016llx00000000000000%02x\"", body->len == 0 ? "{\"record_ids\":[" : ",",
		      (unsigned long long)person, source + 1);
}

static int post(struct cf *f, const char *source, const char *body, struct cf_answer *a)
{
	struct pipe_request head = {.type = REQUEST_WITHDRAWAL, .content = CONTENT_JSON};
	head.who = cf_who(ROLE_SUBMITTER, source);
	cf_answer_init(a);
	cf_send(f, &head, body, strlen(body), a);
	return a->reply.http_status;
}

/* Withdraw persons first … first+n-1 of this source; returns what the answer says was removed. */
static uint64_t withdraw(struct cf *f, int source, uint64_t first, uint32_t n)
{
	struct buffer body;
	struct cf_answer a;
	json_t *answer = NULL;
	buffer_init(&body);
	for (uint32_t i = 0; i < n; i++)
		add_id(&body, first + i, source);
	buffer_append(&body, "]}", 3);
	assert_int_equal(post(f, f->study->sources[source].name, (const char *)body.data, &a), 200);
	assert_int_equal(json_parse_strict(cf_text(&a), a.body.len, &answer, NULL), RC_OK);
	assert_int_equal(json_integer_value(json_object_get(answer, "ids")), n);
	uint64_t removed = (uint64_t)json_integer_value(json_object_get(answer, "records"));
	json_decref(answer);
	cf_answer_deinit(&a);
	buffer_deinit(&body);
	return removed;
}

static enum rc count_rows(void *ctx, int source, int domain, const struct batch_chunk *chunk)
{
	uint32_t *n = ctx;
	n[source] += chunk->n_records;
	return RC_OK;
}

static void expect_rows(struct cf *f, uint32_t prison, uint32_t treatment)
{
	uint32_t n[STUDY_MAX_SOURCES] = {0};
	assert_int_equal(rows_each(f->core, 0, f->core->n_batches, NULL, count_rows, n), RC_OK);
	assert_int_equal(n[CF_PRISON], prison);
	assert_int_equal(n[CF_TREATMENT], treatment);
}

static int push_status(struct cf *f, int source, uint64_t first, uint32_t n, struct cf_answer *a)
{
	struct buffer batch;
	uint8_t id[BATCH_ID_LEN];
	buffer_init(&batch);
	cf_batch(f, source, first, n, &batch, id);
	int status = cf_post_batch(f, f->study->sources[source].name, CONTENT_PROTOBUF, batch.data, batch.len, a);
	buffer_deinit(&batch);
	return status;
}

static void test_erased_and_refused(void **state)
{
	struct cf *f = *state;
	struct cf_answer a;
	cf_push(f, CF_PRISON, 0, 250);
	cf_push(f, CF_TREATMENT, 0, 250);
	cf_wait_compared(f);
	/* Of three chunks: some of the first, all of the second; and two that were never sent. */
	assert_int_equal(withdraw(f, CF_PRISON, 90, 110), 110);
	expect_rows(f, 140, 250);
	assert_int_equal(withdraw(f, CF_PRISON, 1000, 2), 0);
	/* Again: nothing is left to remove. */
	assert_int_equal(withdraw(f, CF_PRISON, 90, 110), 0);
	cf_wait_compared(f);

	json_t *entries = cf_entries(f, "withdrawal"), *entry = json_array_get(entries, 0);
	assert_int_equal(json_array_size(entries), 3);
	assert_string_equal(json_string_value(json_object_get(entry, "source")), "prison");
	assert_int_equal(json_integer_value(json_object_get(entry, "ids")), 110);
	assert_int_equal(json_integer_value(json_object_get(entry, "records")), 110);
	assert_int_equal(json_integer_value(json_object_get(entry, "chunks")), 2);
	json_decref(entries);

	/* A batch with one of them is refused, in log and answer; the batch that is known keeps its receipt. */
	assert_int_equal(push_status(f, CF_PRISON, 199, 30, &a), 409);
	assert_non_null(strstr(cf_text(&a), "record 1 of the batch was withdrawn"));
	cf_answer_deinit(&a);
	assert_int_equal(push_status(f, CF_PRISON, 900, 130, &a), 409);
	assert_non_null(strstr(cf_text(&a), "record 101 of the batch"));
	cf_answer_deinit(&a);
	assert_int_equal(cf_count_entries(f, "batch_rejected"), 2);
	assert_int_equal(push_status(f, CF_PRISON, 0, 250, &a), 200);
	cf_answer_deinit(&a);
	expect_rows(f, 140, 250);
	/* The same person of another source is another record. */
	assert_int_equal(push_status(f, CF_TREATMENT, 199, 30, &a), 201);
	cf_answer_deinit(&a);

	/* All of it stands after a start. */
	cf_close(f);
	cf_must_open(f);
	expect_rows(f, 140, 280);
	assert_int_equal(f->core->history.n_withdrawn, 110);
	assert_int_equal(push_status(f, CF_PRISON, 199, 30, &a), 409);
	cf_answer_deinit(&a);
	cf_wait_compared(f);
}

static void test_only_by_its_source(void **state)
{
	struct cf *f = *state;
	struct cf_answer a;
	struct buffer body;
	static const char *const wrong[] = {"",
					    "[]",
					    "{}",
					    "{\"record_ids\":[]}",
					    "{\"record_ids\":[1]}",
					    "{\"record_ids\":[\"00\"]}",
					    "{\"record_ids\":[\"zz000000000000000000000000000000\"]}",
					    "{\"record_ids\":[\"00000000000000000000000000000000\"],\"x\":1}"};
	cf_push(f, CF_PRISON, 0, 50);
	buffer_init(&body);
	add_id(&body, 7, CF_PRISON);
	buffer_append(&body, "]}", 3);
	/* Another source's number is a number of its own that was never sent. */
	assert_int_equal(post(f, "treatment", (const char *)body.data, &a), 200);
	assert_non_null(strstr(cf_text(&a), "\"records\":0"));
	cf_answer_deinit(&a);
	assert_int_equal(post(f, "elsewhere", (const char *)body.data, &a), 403);
	cf_answer_deinit(&a);
	expect_rows(f, 50, 0);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		assert_int_equal(post(f, "prison", wrong[i], &a), 400);
		cf_answer_deinit(&a);
	}
	buffer_reset(&body);
	for (uint64_t i = 0; i <= 1000; i++)
		add_id(&body, i, CF_PRISON);
	buffer_append(&body, "]}", 3);
	assert_int_equal(post(f, "prison", (const char *)body.data, &a), 400);
	cf_answer_deinit(&a);
	assert_int_equal(cf_count_entries(f, "withdrawal"), 1);
	expect_rows(f, 50, 0);
	buffer_deinit(&body);
}

static void publish(struct cf *f)
{
	struct cf_answer a;
	assert_int_equal(cf_publish(f, "{\"as_of\": \"2025-06-30\"}", &a), 202);
	cf_answer_deinit(&a);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
}

static void body_text(struct cf *f, struct buffer *out)
{
	struct store_key key;
	struct txn *txn = NULL;
	assert_int_equal(txn_begin_read(f->core->store, &txn), RC_OK);
	release_key(&key, 1);
	assert_int_equal(store_get(txn, &key, out), RC_OK);
	buffer_append(out, "", 1);
	txn_abort(txn);
}

/* The release is byte for byte that of a unit that never had the records, whenever they were withdrawn. */
static void test_release_as_if_never_sent(void **state)
{
	struct cf *f = *state, other;
	struct buffer with, without;
	cf_push(f, CF_PRISON, 0, 300);
	cf_push(f, CF_TREATMENT, 0, 300);
	cf_wait_compared(f);
	assert_int_equal(withdraw(f, CF_PRISON, 30, 190), 190);
	/* In the midst of comparing anew. */
	assert_int_equal(withdraw(f, CF_TREATMENT, 250, 50), 50);
	publish(f);

	cf_init(&other);
	cf_path(&other, "release.key", other.conf.test_release_secret);
	cf_must_open(&other);
	cf_push(&other, CF_PRISON, 0, 30);
	cf_push(&other, CF_PRISON, 220, 80);
	cf_push(&other, CF_TREATMENT, 0, 250);
	publish(&other);

	buffer_init(&with);
	buffer_init(&without);
	body_text(f, &with);
	body_text(&other, &without);
	assert_non_null(strstr((char *)with.data, "\"records\":360"));
	assert_string_equal((char *)with.data, (char *)without.data);
	buffer_deinit(&with);
	buffer_deinit(&without);
	cf_deinit(&other);
}

/* Withdrawn while the release is being made: it holds them or not, but as the order of the log says. */
static void test_during_a_release(void **state)
{
	struct cf *f = *state;
	struct cf_answer a;
	struct buffer body;
	cf_push(f, CF_PRISON, 0, 1200);
	cf_push(f, CF_TREATMENT, 0, 1200);
	assert_int_equal(cf_publish(f, "{\"as_of\": \"2025-06-30\"}", &a), 202);
	cf_answer_deinit(&a);
	assert_int_equal(withdraw(f, CF_PRISON, 0, 500), 500);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	json_t *entry = cf_entries(f, "withdrawal"), *release = cf_entries(f, "release");
	const char *erased = json_string_value(json_object_get(json_array_get(entry, 0), "t"));
	assert_non_null(erased);
	assert_int_equal(json_array_size(release), 1);
	buffer_init(&body);
	body_text(f, &body);
	bool before = strstr((char *)body.data, "\"records\":1900") != NULL;
	assert_true(before || strstr((char *)body.data, "\"records\":2400") != NULL);
	/* Find the order of the two in the log. */
	struct txn *txn = NULL;
	int64_t at_withdrawal = -1, at_release = -1;
	struct buffer text;
	buffer_init(&text);
	assert_int_equal(txn_begin_read(f->core->store, &txn), RC_OK);
	for (uint64_t i = 0; i < audit_log_signed_size(f->core->log); i++) {
		buffer_reset(&text);
		assert_int_equal(audit_log_entry(txn, i, &text), RC_OK);
		buffer_append(&text, "", 1);
		if (strstr((char *)text.data, "\"kind\":\"withdrawal\"") != NULL)
			at_withdrawal = (int64_t)i;
		if (strstr((char *)text.data, "\"kind\":\"release\"") != NULL)
			at_release = (int64_t)i;
	}
	txn_abort(txn);
	assert_true(at_withdrawal >= 0 && at_release >= 0);
	assert_int_equal(before, at_withdrawal < at_release);
	buffer_deinit(&text);
	buffer_deinit(&body);
	json_decref(entry);
	json_decref(release);
}

/* ---- the list outside the store ---- */

static size_t listed(const struct cf *f)
{
	char path[CONF_PATH_CAP], line[256];
	size_t n = 0;
	cf_path(f, "log.key.state.withdrawn", path);
	FILE *in = fopen(path, "r");
	while (in != NULL && fgets(line, sizeof line, in) != NULL)
		n++;
	if (in != NULL)
		fclose(in);
	return n == 0 ? 0 : n - 1; /* the first says whose list it is */
}

/* Nobody is told of a withdrawal that the list does not have; it is made good by the next one, or by the next start. */
static void test_listed_before_told(void **state)
{
	struct cf *f = *state;
	struct cf_answer a;
	struct buffer body;
	char path[CONF_PATH_CAP], aside[CONF_PATH_CAP];
	cf_path(f, "log.key.state.withdrawn", path);
	cf_path(f, "aside", aside);
	buffer_init(&body);
	add_id(&body, 7, CF_PRISON);
	buffer_append(&body, "]}", 3);
	cf_push(f, CF_PRISON, 0, 50);
	assert_int_equal(withdraw(f, CF_PRISON, 0, 3), 3);
	assert_int_equal(withdraw(f, CF_PRISON, 0, 3), 0);
	assert_int_equal(listed(f), 3);
	for (int by_start = 0; by_start < 2; by_start++) {
		assert_int_equal(rename(path, aside), 0);
		assert_int_equal(mkdir(path, 0700), 0);
		assert_int_equal(post(f, "prison", (const char *)body.data, &a), 503);
		cf_answer_deinit(&a);
		assert_int_equal(rmdir(path), 0);
		assert_int_equal(rename(aside, path), 0);
		assert_int_equal(listed(f), by_start ? 5 : 3);
		if (by_start) {
			cf_close(f);
			cf_must_open(f);
		} else {
			assert_int_equal(withdraw(f, CF_PRISON, 10, 1), 1);
		}
		assert_int_equal(listed(f), by_start ? 6 : 5);
		buffer_reset(&body);
		add_id(&body, 20, CF_PRISON);
		buffer_append(&body, "]}", 3);
	}
	expect_rows(f, 44, 0);
	assert_int_equal(withdraw(f, CF_PRISON, 30, 2), 2); /* appended, not written anew */
	assert_int_equal(listed(f), 8);
	buffer_deinit(&body);
}

/* ---- no room ---- */

static uint64_t map_free(struct cf *f)
{
	uint64_t free_map, free_disk;
	assert_int_equal(store_space(f->core->store, &free_map, &free_disk), RC_OK);
	return free_map;
}

static int query(struct cf *f)
{
	struct cf_answer a;
	int status = cf_get(f, REQUEST_TABLE, ROLE_ANALYST, "", "continuity_by_quarter", "", &a);
	cf_answer_deinit(&a);
	return status;
}

/* As large ones as an entry may be, until so much is left: the rest is for queries. */
static void fill_log(struct cf *f, uint64_t leave)
{
	char filler[20001];
	memset(filler, 'x', sizeof filler - 1);
	filler[sizeof filler - 1] = '\0';
	json_t *fields = json_pack("{s:s, s:s, s:i}", "source", "prison", "reason", filler, "bytes", 1);
	while (map_free(f) > leave)
		assert_int_equal(core_log_entry(f->core, ENTRY_BATCH_REJECTED, NULL, fields), RC_OK);
	json_decref(fields);
}

static void stop_and_start(struct cf *f)
{
	core_drain(f->core);
	assert_int_equal(core_log_entry(f->core, ENTRY_STOP, NULL, NULL), RC_OK);
	cf_close(f);
	cf_must_open(f);
}

/* However much an analyst asks: records can be withdrawn, and the daemon stops and starts. */
static void test_queries_leave_the_last_room(void **state)
{
	struct cf *f = *state;
	struct pipe_refused refused = {.reason = RC_FORBIDDEN, .request_type = REQUEST_TABLES};
	struct cf_answer a;
	int status = 200;
	refused.who = cf_who(ROLE_SUBMITTER, "prison");
	cf_push(f, CF_PRISON, 0, 60);
	cf_push(f, CF_TREATMENT, 0, 60);
	assert_int_equal(cf_publish(f, "{\"as_of\": \"2025-06-30\"}", &a), 202);
	cf_answer_deinit(&a);
	assert_int_equal(cf_wait_release(f, 1), LINKER_DONE);
	cf_close(f);
	f->conf.store_map_bytes = 5 << 20;
	cf_must_open(f);
	fill_log(f, (1 << 20) + (200 << 10));
	for (int i = 0; i < 5000 && status == 200; i++)
		status = query(f);
	assert_int_equal(status, 507);
	assert_int_equal(query(f), 507);
	uint64_t left = map_free(f);
	assert_in_range(left, 900 << 10, (1 << 20) + (64 << 10));
	size_t n_refused = cf_count_entries(f, "refused");
	for (int i = 0; i < 10; i++)
		core_log_refused(f->core, &refused);

	assert_int_equal(withdraw(f, CF_PRISON, 20, 10), 10);
	expect_rows(f, 50, 60);
	assert_int_equal(cf_count_entries(f, "refused"), n_refused);
	assert_int_equal(f->core->refused_dropped, 10); /* and are told of later */
	for (int i = 0; i < 5; i++)
		stop_and_start(f);
	assert_int_equal(query(f), 507);
	assert_int_equal(withdraw(f, CF_TREATMENT, 0, 60), 60);
	for (int i = 0; i < 10; i++)
		core_log_refused(f->core, &refused);
	stop_and_start(f);
	assert_int_equal(cf_count_entries(f, "refused"), n_refused);
	cf_close(f);
	f->conf.store_map_bytes = 64 << 20;
	cf_must_open(f);
	assert_int_equal(query(f), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_erased_and_refused, setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_only_by_its_source, setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_release_as_if_never_sent, setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_during_a_release, setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_listed_before_told, setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_queries_leave_the_last_room, setup, cf_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
