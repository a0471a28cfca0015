/* libs: tc_core tc_store tc_link tc_stats tc_audit tc_keys tc_proto */
/* labels: quick threads */
/* Batches through the core: receipts that prove themselves, the same bytes for ever; what is refused leaves a line in
 * the log and nothing else; sources do not see each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/core_fixture.h"

static void assert_problem(const struct cf_answer *a, enum rc rc)
{
	char type[96];
	snprintf(type, sizeof type, "\"type\":\"urn:throughcare:error:%s\"", rc_name(rc));
	assert_int_equal(a->reply.http_status, rc_http_status(rc));
	assert_int_equal(a->reply.media, MEDIA_PROBLEM);
	assert_non_null(strstr(cf_text(a), type));
	assert_int_equal(a->n_replies, 1);
}

/* The worker lets go of the request, and of its memory, just after its answer. */
static void wait_let_go(struct cf *f)
{
	for (int i = 0; i < 300000 && atomic_load(&f->core->n_requests) > 0; i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
	assert_int_equal(atomic_load(&f->core->n_requests), 0);
	assert_int_equal(atomic_load(&f->core->intake_bytes), 0);
}

/* Post and expect a refusal, with one more line in the log exactly when `logged`. */
static void refuse(struct cf *f, const char *source, enum pipe_content content, const void *body, size_t len,
		   enum rc rc, bool logged)
{
	struct cf_answer a;
	size_t before = cf_count_entries(f, "batch_rejected"), batches = cf_count_entries(f, "batch");
	cf_post_batch(f, source, content, body, len, &a);
	assert_problem(&a, rc);
	assert_int_equal(cf_count_entries(f, "batch_rejected"), before + logged);
	assert_int_equal(cf_count_entries(f, "batch"), batches);
	wait_let_go(f);
	cf_answer_deinit(&a);
}

static void test_receipt(void **state)
{
	struct cf *f = *state;
	struct buffer batch;
	struct cf_answer first, again;
	struct receipt receipt;
	struct tlog_checkpoint checkpoint;
	struct diag diag;
	uint8_t id[BATCH_ID_LEN];
	buffer_init(&batch);
	cf_batch(f, CF_PRISON, 0, 250, &batch, id);
	assert_int_equal(cf_post_batch(f, "prison", CONTENT_PROTOBUF, batch.data, batch.len, &first), 201);
	assert_int_equal(first.reply.media, MEDIA_JSON);
	assert_int_equal(receipt_parse(cf_text(&first), first.body.len, &receipt, &diag), RC_OK);
	assert_memory_equal(receipt.batch_id, id, sizeof id);
	assert_int_equal(receipt.n_records, 250);
	assert_int_equal(receipt_verify(&receipt, log_signer_vkey(f->core->signer), &checkpoint, &diag), RC_OK);
	assert_true(checkpoint.size > receipt.index);
	receipt_deinit(&receipt);
	/* Known now, and after a restart, whatever came in between. */
	assert_int_equal(cf_post_batch(f, "prison", CONTENT_PROTOBUF, batch.data, batch.len, &again), 200);
	assert_int_equal(again.body.len, first.body.len);
	assert_memory_equal(again.body.data, first.body.data, first.body.len);
	cf_answer_deinit(&again);
	cf_push(f, CF_TREATMENT, 0, 50);
	cf_close(f);
	cf_must_open(f);
	assert_int_equal(cf_post_batch(f, "prison", CONTENT_PROTOBUF, batch.data, batch.len, &again), 200);
	assert_string_equal(cf_text(&again), cf_text(&first));
	assert_int_equal(cf_count_entries(f, "batch"), 2);
	cf_answer_deinit(&again);
	cf_answer_deinit(&first);
	buffer_deinit(&batch);
}

/* A crash between the two transactions: the batch is there, its receipt is not. */
static void test_receipt_is_made_again(void **state)
{
	struct cf *f = *state;
	struct buffer batch;
	struct cf_answer a;
	struct receipt receipt;
	struct tlog_checkpoint checkpoint;
	struct txn *txn = NULL;
	struct store_key key;
	uint8_t id[BATCH_ID_LEN];
	buffer_init(&batch);
	cf_batch(f, CF_PRISON, 0, 20, &batch, id);
	assert_int_equal(cf_post_batch(f, "prison", CONTENT_PROTOBUF, batch.data, batch.len, &a), 201);
	cf_answer_deinit(&a);
	receipt_key(&key, "prison", id);
	assert_int_equal(txn_begin_write(f->core->store, &txn), RC_OK);
	assert_int_equal(store_delete(txn, &key), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	assert_int_equal(cf_post_batch(f, "prison", CONTENT_PROTOBUF, batch.data, batch.len, &a), 200);
	assert_int_equal(receipt_parse(cf_text(&a), a.body.len, &receipt, NULL), RC_OK);
	assert_int_equal(receipt_verify(&receipt, log_signer_vkey(f->core->signer), &checkpoint, NULL), RC_OK);
	assert_int_equal(receipt.n_records, 20);
	assert_int_equal(cf_count_entries(f, "batch"), 1);
	receipt_deinit(&receipt);
	cf_answer_deinit(&a);
	buffer_deinit(&batch);
}

static void test_refusals(void **state)
{
	struct cf *f = *state;
	struct buffer batch;
	uint8_t id[BATCH_ID_LEN];
	buffer_init(&batch);
	cf_batch(f, CF_PRISON, 0, 150, &batch, id);
	refuse(f, "prison", CONTENT_PROTOBUF, batch.data, batch.len - 1, RC_TRUNCATED, true);
	refuse(f, "prison", CONTENT_PROTOBUF, "", 0, RC_TRUNCATED, false);
	refuse(f, "treatment", CONTENT_PROTOBUF, batch.data, batch.len, RC_SOURCE, true);
	refuse(f, "nobody", CONTENT_PROTOBUF, batch.data, batch.len, RC_SOURCE, true);
	refuse(f, "prison", CONTENT_NONE, batch.data, batch.len, RC_MEDIA_TYPE, true);
	refuse(f, "prison", CONTENT_JSON, "{\"source\": ", 11, RC_MALFORMED, true);
	refuse(f, "prison", CONTENT_PROTOBUF, "not a batch at all", 18, RC_MALFORMED, true);
	for (size_t at = 8; at < batch.len; at += batch.len / 40) {
		struct cf_answer a;
		batch.data[at] ^= 0x04;
		int status = cf_post_batch(f, "prison", CONTENT_PROTOBUF, batch.data, batch.len, &a);
		assert_true(status >= 400 && status < 500);
		cf_answer_deinit(&a);
		batch.data[at] ^= 0x04;
	}
	assert_int_equal(cf_count_entries(f, "batch"), 0);
	assert_int_equal(f->core->n_batches, 0);
	/* The good one still goes through. */
	cf_push(f, CF_PRISON, 0, 150);
	buffer_deinit(&batch);
}

static void test_log_of_refusals_says_no_more_than_it_should(void **state)
{
	struct cf *f = *state;
	struct cf_answer a;
	assert_int_equal(cf_post_batch(f, "prison", CONTENT_PROTOBUF, "TCBATCH1 and then nonsense", 26, &a), 413);
	json_t *entries = cf_entries(f, "batch_rejected");
	json_t *entry = json_array_get(entries, 0);
	assert_int_equal(json_object_size(entry), 7);
	assert_string_equal(json_string_value(json_object_get(entry, "source")), "prison");
	assert_int_equal(json_integer_value(json_object_get(entry, "bytes")), 26);
	assert_non_null(json_object_get(entry, "reason"));
	assert_non_null(json_object_get(entry, "who"));
	json_decref(entries);
	cf_answer_deinit(&a);
}

static void test_sources_are_apart(void **state)
{
	struct cf *f = *state;
	struct buffer batch;
	struct cf_answer a;
	uint8_t id[BATCH_ID_LEN];
	char hex[2 * BATCH_ID_LEN + 1];
	buffer_init(&batch);
	cf_batch(f, CF_PRISON, 0, 10, &batch, id);
	assert_int_equal(cf_post_batch(f, "prison", CONTENT_PROTOBUF, batch.data, batch.len, &a), 201);
	cf_answer_deinit(&a);
	cf_wait_compared(f);
	hex_encode(id, sizeof id, hex);
	assert_int_equal(cf_get(f, REQUEST_BATCH_STATUS, ROLE_SUBMITTER, "prison", hex, "", &a), 200);
	assert_non_null(strstr(cf_text(&a), "\"stored\":true"));
	assert_non_null(strstr(cf_text(&a), "\"compared\":true"));
	assert_non_null(strstr(cf_text(&a), "\"release\":null"));
	cf_answer_deinit(&a);
	assert_int_equal(cf_get(f, REQUEST_BATCH_STATUS, ROLE_SUBMITTER, "treatment", hex, "", &a), 404);
	cf_answer_deinit(&a);
	assert_int_equal(cf_get(f, REQUEST_BATCH_STATUS, ROLE_SUBMITTER, "prison", "xyz", "", &a), 404);
	cf_answer_deinit(&a);
	buffer_deinit(&batch);
}

static void test_no_room(void **state)
{
	struct cf *f = *state;
	struct buffer batch, other;
	struct cf_answer a;
	uint8_t id[BATCH_ID_LEN];
	buffer_init(&batch);
	buffer_init(&other);
	cf_batch(f, CF_PRISON, 0, 60, &batch, id);
	cf_batch(f, CF_PRISON, 100, 60, &other, id);
	assert_int_equal(cf_post_batch(f, "prison", CONTENT_PROTOBUF, batch.data, batch.len, &a), 201);
	cf_answer_deinit(&a);
	cf_wait_compared(f); /* the linker reads the configuration too, as long as it has work */
	f->conf.store_min_free_bytes = UINT64_MAX / 2;
	/* What is known is answered; what is new is not taken, and that is not the submitter's fault. */
	assert_int_equal(cf_post_batch(f, "prison", CONTENT_PROTOBUF, batch.data, batch.len, &a), 200);
	cf_answer_deinit(&a);
	refuse(f, "prison", CONTENT_PROTOBUF, other.data, other.len, RC_NOSPACE, false);
	/* Frames are not kept then, but the ids of the records are: many senders together stay within one bound. */
	size_t others = (size_t)8 * BATCH_MAX_BYTES - 60 * RECORD_ID_LEN;
	atomic_fetch_add(&f->core->intake_bytes, others);
	assert_int_equal(cf_post_batch(f, "prison", CONTENT_PROTOBUF, batch.data, batch.len, &a), 503);
	assert_problem(&a, RC_BUSY);
	cf_answer_deinit(&a);
	atomic_fetch_sub(&f->core->intake_bytes, others);
	assert_int_equal(cf_post_batch(f, "prison", CONTENT_PROTOBUF, batch.data, batch.len, &a), 200);
	cf_answer_deinit(&a);
	wait_let_go(f);
	f->conf.store_min_free_bytes = 0;
	assert_int_equal(cf_post_batch(f, "prison", CONTENT_PROTOBUF, other.data, other.len, &a), 201);
	cf_answer_deinit(&a);
	buffer_deinit(&batch);
	buffer_deinit(&other);
}

static void test_more_than_credit(void **state)
{
	struct cf *f = *state;
	struct cf_answer a;
	struct request_port port = {cf_on_reply, cf_on_credit, &a};
	struct pipe_request head = {.type = REQUEST_BATCH_PUT, .content = CONTENT_PROTOBUF, .content_length = -1};
	struct request *request = NULL;
	uint8_t *bytes = calloc(1, PIPE_INITIAL_CREDIT + 1);
	head.who = cf_who(ROLE_SUBMITTER, "prison");
	cf_answer_init(&a);
	assert_int_equal(request_new(f->core, 1, &head, &port, &request), RC_OK);
	assert_int_equal(request_feed(request, bytes, PIPE_INITIAL_CREDIT + 1), RC_PROTOCOL);
	request_cancel(request);
	request_unref(request);
	/* Body after its end. */
	assert_int_equal(request_new(f->core, 2, &head, &port, &request), RC_OK);
	request_cancel(request);
	request_end(request);
	assert_int_equal(request_feed(request, bytes, 1), RC_PROTOCOL);
	request_unref(request);
	free(bytes);
	assert_int_equal(a.n_replies, 0);
	cf_answer_deinit(&a);
}

struct pusher {
	struct cf *f;
	struct buffer *batch;
	int status;
	struct cf_answer a;
};

static void *push_thread(void *arg)
{
	struct pusher *p = arg;
	p->status = cf_post_batch(p->f, "prison", CONTENT_PROTOBUF, p->batch->data, p->batch->len, &p->a);
	return NULL;
}

static void test_same_batch_at_the_same_time(void **state)
{
	struct cf *f = *state;
	enum { N = 8 };
	struct buffer batch;
	struct pusher pushers[N];
	pthread_t threads[N];
	uint8_t id[BATCH_ID_LEN];
	unsigned created = 0;
	buffer_init(&batch);
	cf_batch(f, CF_PRISON, 0, 120, &batch, id);
	for (int i = 0; i < N; i++) {
		pushers[i] = (struct pusher){.f = f, .batch = &batch};
		assert_int_equal(pthread_create(&threads[i], NULL, push_thread, &pushers[i]), 0);
	}
	for (int i = 0; i < N; i++) {
		pthread_join(threads[i], NULL);
		created += pushers[i].status == 201;
		assert_true(pushers[i].status == 200 || pushers[i].status == 201);
		assert_string_equal(cf_text(&pushers[i].a), cf_text(&pushers[0].a));
	}
	assert_int_equal(created, 1);
	assert_int_equal(cf_count_entries(f, "batch"), 1);
	assert_int_equal(f->core->n_records, 120);
	for (int i = 0; i < N; i++)
		cf_answer_deinit(&pushers[i].a);
	buffer_deinit(&batch);
}

static void test_study_that_no_longer_fits(void **state)
{
	struct cf *f = *state;
	cf_push(f, CF_PRISON, 0, 10);
	cf_close(f);
	cf_write_study(f, "drug: {column", "drug: {column: drug, codes: [cocaine, opioids, cannabis, other]}");
	assert_int_equal(cf_open(f), RC_CONFIG);
	assert_non_null(strstr(f->diag.text, "dimensions"));
	cf_write_study(f, "  prison: {kind", "  prison2: {kind: prison, reporting_lag_days: 30}");
	assert_int_equal(cf_open(f), RC_CONFIG);
	assert_non_null(strstr(f->diag.text, "source prison"));
	cf_write_study(f, "profile: balanced", "profile: hardened");
	assert_int_equal(cf_open(f), RC_CONFIG);
	assert_non_null(strstr(f->diag.text, "encoding"));
	/* Another table is no obstacle, and stands in the log. */
	cf_write_study(f, "threshold: 10", "threshold: 12");
	cf_must_open(f);
	assert_int_equal(cf_count_entries(f, "study"), 2);
	assert_int_equal(cf_count_entries(f, "start"), 2);
	assert_int_equal(cf_count_entries(f, "keys"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_receipt, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_receipt_is_made_again, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_refusals, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_log_of_refusals_says_no_more_than_it_should, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_sources_are_apart, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_no_room, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_more_than_credit, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_same_batch_at_the_same_time, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_study_that_no_longer_fits, cf_setup, cf_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
