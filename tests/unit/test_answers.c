/* libs: tc_core tc_store tc_link tc_stats tc_audit tc_keys tc_proto */
/* labels: quick threads */
/* Published releases in memory: what is kept is what the log says was published, whatever the store says later; bounds
 * hold; and queries that run while the next release is published get one release or the other, whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/core/answers.h"
#include "daemon/core/publish.h"
#include "tests/unit/core_fixture.h"

#define AS_OF "{\"as_of\": \"2025-06-30\"}"
#define TABLE "continuity_by_quarter"

/* A body of `len` bytes or a few more as release `number` in the store; returns its name. */
static struct release_name put_body(struct cf *f, uint32_t number, const char *what, size_t len)
{
	struct release_name name = {.number = number, .log_index = 40 + number};
	struct buffer text;
	struct store_key key;
	struct txn *txn = NULL;
	buffer_init(&text);
	buffer_printf(&text, "{\"number\":%u,\"what\":\"%s\",\"filler\":\"", (unsigned)number, what);
	while (text.len < len)
		buffer_append(&text, "xxxxxxxxxxxxxxxx", 16);
	buffer_append(&text, "\"}", 2);
	release_key(&key, number);
	assert_int_equal(txn_begin_write(f->core->store, &txn), RC_OK);
	assert_int_equal(store_put(txn, &key, text.data, text.len), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	sha256(text.data, text.len, name.digest);
	buffer_deinit(&text);
	return name;
}

static void expect_body(struct answers *answers, struct cf *f, const struct release_name *name, const char *what)
{
	struct answer_body *body = NULL;
	assert_int_equal(answers_body(answers, f->core->store, name, &body), RC_OK);
	const json_t *json = answer_body_json(body);
	assert_int_equal(json_integer_value(json_object_get(json, "number")), name->number);
	assert_string_equal(json_string_value(json_object_get(json, "what")), what);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "facts"), "log_index")), 40 + name->number);
	answers_drop_body(answers, body);
}

static void test_bodies(void **state)
{
	struct cf *f = *state;
	struct answers *answers = NULL;
	struct answers_counts counts;
	struct answer_body *body = NULL;
	assert_int_equal(answers_new(&answers), RC_OK);
	struct release_name name = put_body(f, 1, "first", 100), wrong = name, missing = {.number = 2};
	/* Not the one of the log, and none at all. */
	wrong.digest[31] ^= 1;
	assert_int_equal(answers_body(answers, f->core->store, &wrong, &body), RC_DAMAGED);
	assert_int_equal(answers_body(answers, f->core->store, &missing, &body), RC_DAMAGED);
	assert_null(body);
	answers_count(answers, &counts);
	assert_int_equal(counts.n_bodies, 0);
	expect_body(answers, f, &name, "first");
	expect_body(answers, f, &name, "first");
	answers_count(answers, &counts);
	assert_int_equal(counts.n_parsed, 1);
	/* What becomes of the store later changes no answer; and it is seen by who asks for what the log does not name.
	 */
	struct release_name other = put_body(f, 1, "other", 100);
	expect_body(answers, f, &name, "first");
	expect_body(answers, f, &other, "other");
	answers_free(answers);
	assert_int_equal(answers_new(&answers), RC_OK);
	assert_int_equal(answers_body(answers, f->core->store, &name, &body), RC_DAMAGED);
	answers_free(answers);
}

static void test_bodies_are_bounded(void **state)
{
	enum { N = ANSWERS_MAX_BODIES + 2 };
	struct cf *f = *state;
	struct answers *answers = NULL;
	struct answers_counts counts;
	struct release_name names[N];
	struct answer_body *held = NULL;
	assert_int_equal(answers_new(&answers), RC_OK);
	for (uint32_t i = 0; i < N; i++)
		names[i] = put_body(f, i + 1, "small", 100);
	assert_int_equal(answers_body(answers, f->core->store, &names[0], &held), RC_OK);
	for (int i = 1; i < N; i++)
		expect_body(answers, f, &names[i], "small");
	answers_count(answers, &counts);
	assert_int_equal(counts.n_bodies, ANSWERS_MAX_BODIES);
	assert_int_equal(counts.n_parsed, N);
	/* The first has gone from the list, not from under who uses it. */
	assert_int_equal(json_integer_value(json_object_get(answer_body_json(held), "number")), 1);
	answers_drop_body(answers, held);
	/* The one used least recently goes first. */
	expect_body(answers, f, &names[N - ANSWERS_MAX_BODIES], "small");
	expect_body(answers, f, &names[0], "small");
	expect_body(answers, f, &names[N - ANSWERS_MAX_BODIES], "small");
	answers_count(answers, &counts);
	assert_int_equal(counts.n_parsed, N + 1);
	/* Nearly all of the room pushes the others out; more than all of it is not kept. */
	struct release_name large = put_body(f, 10, "large", ANSWERS_MAX_BODY_BYTES - 64),
			    huge = put_body(f, 11, "huge", ANSWERS_MAX_BODY_BYTES + 1);
	expect_body(answers, f, &large, "large");
	answers_count(answers, &counts);
	assert_int_equal(counts.n_bodies, 1);
	expect_body(answers, f, &huge, "huge");
	answers_count(answers, &counts);
	assert_int_equal(counts.n_bodies, 1);
	assert_true(counts.body_bytes <= ANSWERS_MAX_BODY_BYTES);
	answers_free(answers);
}

static void add(struct answers *answers, const struct release_name *name, enum pipe_accept accept, const char *query,
		const char *text, size_t filler)
{
	struct answer_text *answer = NULL;
	struct buffer body;
	buffer_init(&body);
	buffer_append(&body, text, strlen(text) + 1);
	for (size_t i = 0; i < filler; i += 1024) {
		static const uint8_t zeros[1024];
		buffer_append(&body, zeros, sizeof zeros);
	}
	assert_int_equal(answers_add(answers, name, accept, query, &body, &answer), RC_OK);
	assert_null(body.data);
	answers_drop(answers, answer);
}

static bool has(struct answers *answers, const struct release_name *name, enum pipe_accept accept, const char *query,
		const char *text)
{
	struct answer_text *answer = answers_find(answers, name, accept, query);
	uint8_t digest[32];
	char hex[65];
	if (answer == NULL)
		return false;
	const struct buffer *body = answer_text_body(answer);
	assert_string_equal((const char *)body->data, text);
	sha256(body->data, body->len, digest);
	hex_encode(digest, sizeof digest, hex);
	assert_string_equal(answer_text_digest(answer), hex);
	answers_drop(answers, answer);
	return true;
}

static void test_texts(void **state)
{
	struct answers *answers = NULL;
	struct answers_counts counts;
	struct release_name one = {1, {1}, 7}, two = {2, {1}, 8}, one_again = {1, {2}, 7};
	assert_int_equal(answers_new(&answers), RC_OK);
	assert_false(has(answers, &one, ACCEPT_JSON, "t?release=1", ""));
	add(answers, &one, ACCEPT_JSON, "t?release=1", "json", 0);
	assert_true(has(answers, &one, ACCEPT_JSON, "t?release=1", "json"));
	/* Another form, release, digest or query is another answer. */
	assert_false(has(answers, &one, ACCEPT_CSV, "t?release=1", ""));
	assert_false(has(answers, &two, ACCEPT_JSON, "t?release=1", ""));
	assert_false(has(answers, &one_again, ACCEPT_JSON, "t?release=1", ""));
	assert_false(has(answers, &one, ACCEPT_JSON, "t?release=10", ""));
	assert_false(has(answers, &one, ACCEPT_JSON, "t?release=", ""));
	add(answers, &one, ACCEPT_CSV, "t?release=1", "csv", 0);
	assert_true(has(answers, &one, ACCEPT_CSV, "t?release=1", "csv"));
	assert_true(has(answers, &one, ACCEPT_JSON, "t?release=1", "json"));
	/* The first of two that rendered the same stays. */
	add(answers, &one, ACCEPT_JSON, "t?release=1", "json", 0);
	answers_count(answers, &counts);
	assert_int_equal(counts.n_texts, 2);
	assert_int_equal(counts.n_added, 3);
	answers_free(answers);
}

static void test_texts_are_bounded(void **state)
{
	struct answers *answers = NULL;
	struct answers_counts counts;
	struct release_name name = {1, {1}, 7};
	char query[64];
	assert_int_equal(answers_new(&answers), RC_OK);
	for (int i = 0; i < ANSWERS_MAX + 10; i++) {
		snprintf(query, sizeof query, "t?release=1&by=d%d", i);
		add(answers, &name, ACCEPT_JSON, query, query, 0);
		assert_true(has(answers, &name, ACCEPT_JSON, "t?release=1&by=d0", "t?release=1&by=d0"));
	}
	answers_count(answers, &counts);
	assert_int_equal(counts.n_texts, ANSWERS_MAX);
	/* The first was used all the time, the second was not. */
	assert_true(has(answers, &name, ACCEPT_JSON, "t?release=1&by=d0", "t?release=1&by=d0"));
	assert_false(has(answers, &name, ACCEPT_JSON, "t?release=1&by=d1", ""));
	struct answer_text *held = answers_find(answers, &name, ACCEPT_JSON, "t?release=1&by=d0");
	assert_non_null(held);
	for (int i = 0; i < 20; i++) {
		snprintf(query, sizeof query, "t?release=1&by=large%d", i);
		add(answers, &name, ACCEPT_JSON, query, query, ANSWERS_MAX_BYTES / 8);
		answers_count(answers, &counts);
		assert_true(counts.text_bytes <= ANSWERS_MAX_BYTES);
	}
	assert_true(has(answers, &name, ACCEPT_JSON, query, query));
	assert_string_equal((const char *)answer_text_body(held)->data, "t?release=1&by=d0");
	answers_drop(answers, held);
	/* Larger than all of the room: answered, not kept, and nothing has to go for it. */
	add(answers, &name, ACCEPT_JSON, "huge", "huge", ANSWERS_MAX_BYTES + 1);
	assert_false(has(answers, &name, ACCEPT_JSON, "huge", ""));
	assert_true(has(answers, &name, ACCEPT_JSON, query, query));
	answers_free(answers);
}

/* ---- many threads ---- */

struct crowd {
	struct cf *f;
	struct answers *answers;
	struct release_name names[8];
	unsigned seed;
};

/* All lists are too small for what is asked, so that everything is pushed out and comes back all the time. */
static void *ask_for_all(void *arg)
{
	struct crowd *crowd = arg;
	uint64_t x = crowd->seed;
	char query[64];
	for (int i = 0; i < 400; i++) {
		x = cf_mix(x + 1);
		const struct release_name *name = &crowd->names[x % 8];
		expect_body(crowd->answers, crowd->f, name, "crowd");
		snprintf(query, sizeof query, "q%u", (unsigned)(x >> 8 & 31));
		if (!has(crowd->answers, name, ACCEPT_JSON, query, query))
			add(crowd->answers, name, ACCEPT_JSON, query, query, ANSWERS_MAX_BYTES / 64);
	}
	return NULL;
}

static void test_crowd(void **state)
{
	enum { N = 4 };
	struct crowd crowds[N], crowd = {.f = *state};
	struct answers_counts counts;
	pthread_t threads[N];
	assert_int_equal(answers_new(&crowd.answers), RC_OK);
	for (uint32_t i = 0; i < 8; i++)
		crowd.names[i] = put_body(crowd.f, i + 1, "crowd", 1000);
	for (unsigned i = 0; i < N; i++) {
		crowds[i] = crowd;
		crowds[i].seed = i + 1;
		assert_int_equal(pthread_create(&threads[i], NULL, ask_for_all, &crowds[i]), 0);
	}
	for (unsigned i = 0; i < N; i++)
		pthread_join(threads[i], NULL);
	answers_count(crowd.answers, &counts);
	assert_true(counts.n_bodies <= ANSWERS_MAX_BODIES && counts.text_bytes <= ANSWERS_MAX_BYTES);
	assert_true(counts.n_parsed > 8 && counts.n_found > 0);
	answers_free(crowd.answers);
}

/* ---- queries ---- */

static void publish(struct cf *f, uint32_t number, uint64_t first)
{
	struct cf_answer a;
	cf_push(f, CF_PRISON, first, 30);
	cf_push(f, CF_TREATMENT, first, 30);
	assert_int_equal(cf_publish(f, AS_OF, &a), 202);
	cf_answer_deinit(&a);
	assert_int_equal(cf_wait_release(f, number), LINKER_DONE);
}

/* From any thread: NULL where the answer is not 200. */
static char *ask(struct cf *f, const char *query)
{
	struct cf_answer a;
	int status = cf_get(f, REQUEST_TABLE, ROLE_ANALYST, "", TABLE, query, &a);
	if (status != 200)
		print_error("%s\n", cf_text(&a));
	char *text = status == 200 ? strdup(cf_text(&a)) : NULL;
	cf_answer_deinit(&a);
	return text;
}

/* The second of two equal queries comes from memory, is the same byte for byte, and is in the log like the first. */
static void test_query_twice(void **state)
{
	struct cf *f = *state;
	struct answers_counts counts;
	publish(f, 1, 0);
	char *first = ask(f, ""), *again = ask(f, "release=1"), *part = ask(f, "period=2024-Q4");
	assert_non_null(first);
	assert_non_null(part);
	assert_string_equal(first, again);
	assert_int_equal(cf_count_entries(f, "query"), 3);
	answers_count(f->core->answers, &counts);
	assert_int_equal(counts.n_parsed, 1);
	assert_int_equal(counts.n_added, 2);
	assert_int_equal(counts.n_found, 1);
	/* A refusal is not kept, and is no answer to another query. */
	struct cf_answer a;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(cf_get(f, REQUEST_TABLE, ROLE_ANALYST, "", TABLE, "period=2190-Q1", &a), 404);
		cf_answer_deinit(&a);
	}
	assert_int_equal(cf_get(f, REQUEST_TABLE, ROLE_ANALYST, "", TABLE, "release=2", &a), 404);
	cf_answer_deinit(&a);
	answers_count(f->core->answers, &counts);
	assert_int_equal(counts.n_added, 2);
	assert_int_equal(cf_count_entries(f, "query"), 3);
	free(first);
	free(again);
	free(part);
}

/* What is answered without a worker is answered and logged once, though a front at fault ends the request once more. */
static void test_quick_once(void **state)
{
	struct cf *f = *state;
	struct cf_answer table, health;
	struct request_port table_port = {cf_on_reply, cf_on_credit, &table},
			    health_port = {cf_on_reply, cf_on_credit, &health};
	struct pipe_request head = {.type = REQUEST_TABLE, .who = cf_who(ROLE_ANALYST, "")};
	struct request *request = NULL;
	strcpy(head.argument, TABLE);
	publish(f, 1, 0);
	free(ask(f, ""));
	cf_answer_init(&table);
	cf_answer_init(&health);
	assert_int_equal(request_new(f->core, 2, &head, &table_port, &request), RC_OK);
	request_end(request);
	pthread_mutex_lock(&table.lock);
	while (table.n_replies == 0)
		pthread_cond_wait(&table.wake, &table.lock);
	pthread_mutex_unlock(&table.lock);
	request_end(request);
	request_unref(request);
	/* Health is answered before request_new() returns. */
	head = (struct pipe_request){.type = REQUEST_HEALTH, .who = cf_who(ROLE_OPERATOR, "")};
	assert_int_equal(request_new(f->core, 3, &head, &health_port, &request), RC_OK);
	assert_true(request_is_answered(request));
	request_end(request);
	request_unref(request);
	/* Whatever was begun is done, and what was queued is written. */
	core_drain(f->core);
	assert_int_equal(core_log_entry(f->core, ENTRY_STOP, NULL, NULL), RC_OK);
	assert_int_equal(cf_count_entries(f, "query"), 2);
	assert_int_equal(table.n_replies, 1);
	assert_int_equal(table.reply.http_status, 200);
	assert_int_equal(health.n_replies, 1);
	assert_int_equal(health.reply.http_status, 200);
	cf_answer_deinit(&table);
	cf_answer_deinit(&health);
}

/* A body that was damaged in the store after it was read is still answered as it was published; a core that starts on
 * that store refuses. */
static void test_store_damaged_later(void **state)
{
	struct cf *f = *state;
	publish(f, 1, 0);
	char *before = ask(f, "");
	(void)put_body(f, 1, "damage", 100);
	char *after = ask(f, ""), *part = ask(f, "period=2024-Q4");
	assert_string_equal(before, after);
	assert_non_null(part);
	cf_close(f);
	assert_int_equal(cf_open(f), RC_DAMAGED);
	assert_non_null(strstr(f->diag.text, "release 1 in the store is not the one in the log"));
	free(before);
	free(after);
	free(part);
}

/* Not in memory and not in the store as it was published: no answer, and nothing is logged as answered. */
static void test_store_damaged_before(void **state)
{
	struct cf *f = *state;
	struct cf_answer a;
	publish(f, 1, 0);
	(void)put_body(f, 1, "damage", 100);
	assert_int_equal(cf_get(f, REQUEST_TABLE, ROLE_ANALYST, "", TABLE, "", &a), rc_http_status(RC_DAMAGED));
	cf_answer_deinit(&a);
	assert_int_equal(cf_get(f, REQUEST_TABLES, ROLE_ANALYST, "", "", "", &a), rc_http_status(RC_DAMAGED));
	cf_answer_deinit(&a);
	assert_int_equal(cf_count_entries(f, "query"), 0);
}

struct asking {
	struct cf *f;
	atomic_bool stop;
	const char *query;
	unsigned n;
	char *of_release[3]; /* the first answer from each release */
	bool went_back, differed, failed;
};

static void *ask_on(void *arg)
{
	struct asking *asking = arg;
	int last = 0;
	while (!atomic_load(&asking->stop) || asking->n == 0) {
		char *text = ask(asking->f, asking->query);
		asking->n++;
		if (text == NULL) {
			asking->failed = true;
			break;
		}
		int release = strstr(text, "\"release\":2") != NULL ? 2 : 1;
		asking->went_back |= release < last;
		last = release;
		if (asking->of_release[release] == NULL)
			asking->of_release[release] = strdup(text);
		asking->differed |= strcmp(asking->of_release[release], text) != 0;
		free(text);
	}
	return NULL;
}

static void test_release_while_queries_run(void **state)
{
	enum { N = 3 };
	static const char *const queries[N] = {"", "", "period=2024-Q4"};
	struct cf *f = *state;
	struct asking asking[N];
	pthread_t threads[N];
	publish(f, 1, 0);
	for (int i = 0; i < N; i++) {
		asking[i] = (struct asking){.f = f, .query = queries[i]};
		assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &asking[i]), 0);
	}
	publish(f, 2, 1000);
	/* From here on every new query is of the second. */
	for (int i = 0; i < 20; i++) {
		char *text = ask(f, "");
		assert_non_null(text);
		assert_non_null(strstr(text, "\"release\":2"));
		free(text);
	}
	unsigned n = 20;
	for (int i = 0; i < N; i++) {
		atomic_store(&asking[i].stop, true);
		pthread_join(threads[i], NULL);
		assert_false(asking[i].went_back || asking[i].differed || asking[i].failed);
		n += asking[i].n;
	}
	assert_int_equal(cf_count_entries(f, "query"), n);
	/* The first is still there under its number, as it was. */
	char *first = ask(f, "release=1");
	assert_non_null(strstr(first, "\"release\":1"));
	for (int i = 0; i < N; i++) {
		if (queries[i][0] == '\0' && asking[i].of_release[1] != NULL)
			assert_string_equal(first, asking[i].of_release[1]);
		free(asking[i].of_release[1]);
		free(asking[i].of_release[2]);
	}
	free(first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bodies, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_bodies_are_bounded, cf_setup, cf_teardown),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_texts_are_bounded),
		cmocka_unit_test_setup_teardown(test_crowd, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_query_twice, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_quick_once, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_store_damaged_later, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_store_damaged_before, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_release_while_queries_run, cf_setup, cf_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
