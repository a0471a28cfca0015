/* libs: tc_core tc_store tc_link tc_stats tc_audit tc_keys tc_proto */
/* labels: quick threads */
/* wraps: time getrandom */
/* The clock steps by hours, descriptors run out, the kernel gives no random numbers: while batches come and a release
 * is made. After each: what was acknowledged is there once, with the receipt that was given; what a core refused that
 * went on is not there at all; one that stops may have kept the last one, once; the log is consistent and its time
 * never runs back; and the release is, byte for byte, that of a run that nothing disturbed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <cmocka.h>

#include "daemon/core/publish.h"
#include "tests/unit/core_fixture.h"

#define AS_OF "{\"as_of\": \"2025-06-30\"}"

/* ---- the seam ---- */

static atomic_llong clock_step;
static atomic_long random_calls, random_fails_from; /* 0: it never fails */
static atomic_bool random_fails_once;

time_t __real_time(time_t *ret);
time_t __wrap_time(time_t *ret);
ssize_t __real_getrandom(void *to, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags);

time_t __wrap_time(time_t *ret)
{
	time_t now = __real_time(NULL) + (time_t)atomic_load(&clock_step);
	if (ret != NULL)
		*ret = now;
	return now;
}

ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags)
{
	long from = atomic_load(&random_fails_from), n = atomic_fetch_add(&random_calls, 1) + 1;
	if (from != 0 && (n == from || (n > from && !atomic_load(&random_fails_once)))) {
		errno = ENOSYS;
		return -1;
	}
	return __real_getrandom(to, len, flags);
}

static void random_fails(long from, bool once)
{
	atomic_store(&random_calls, 0);
	atomic_store(&random_fails_once, once);
	atomic_store(&random_fails_from, from);
}

/* Take every descriptor that is left; returns how many, to be closed by give_descriptors. */
enum { MOST_OPEN = 256 };
static int taken[MOST_OPEN];

static int take_descriptors(void)
{
	int n = 0;
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = MOST_OPEN;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (n < MOST_OPEN && (taken[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	assert_int_equal(errno, EMFILE);
	assert_true(n > 0);
	return n;
}

static void give_descriptors(int n)
{
	while (n > 0)
		close(taken[--n]);
}

/* ---- batches, and what was said of them ---- */

enum { N_PIECES = 12, PIECE_RECORDS = 40 };

struct piece {
	const char *source;
	struct buffer batch, receipt; /* receipt: empty until it is acknowledged */
	uint8_t id[BATCH_ID_LEN];
	bool refused, unknown; /* by a core that went on; by one that stopped */
};

struct world {
	struct cf cf;
	struct piece pieces[N_PIECES];
	int n_acknowledged, n_refused;
};

static void world_init(struct world *w)
{
	memset(w, 0, sizeof *w);
	cf_init(&w->cf);
	cf_path(&w->cf, "release.key", w->cf.conf.test_release_secret);
	for (int i = 0; i < N_PIECES; i++) {
		struct piece *p = &w->pieces[i];
		int source = i % 2 == 0 ? CF_PRISON : CF_TREATMENT;
		p->source = w->cf.study->sources[source].name;
		buffer_init(&p->batch);
		buffer_init(&p->receipt);
		cf_batch(&w->cf, source, (uint64_t)(i / 2) * PIECE_RECORDS, PIECE_RECORDS, &p->batch, p->id);
	}
	cf_must_open(&w->cf);
}

static void world_deinit(struct world *w)
{
	for (int i = 0; i < N_PIECES; i++) {
		buffer_deinit(&w->pieces[i].batch);
		buffer_deinit(&w->pieces[i].receipt);
	}
	cf_deinit(&w->cf);
}

static void reopen(struct world *w)
{
	cf_close(&w->cf);
	cf_must_open(&w->cf);
}

/* Push one and note what was said. True when it is acknowledged. */
static bool push(struct world *w, int i)
{
	struct piece *p = &w->pieces[i];
	struct cf_answer a;
	int status = cf_post_batch(&w->cf, p->source, CONTENT_PROTOBUF, p->batch.data, p->batch.len, &a);
	bool said_yes = status == 200 || status == 201;
	if (said_yes && p->receipt.len > 0) {
		assert_int_equal(status, 200);
		assert_int_equal(a.body.len, p->receipt.len);
		assert_memory_equal(a.body.data, p->receipt.data, a.body.len);
	} else if (said_yes) {
		buffer_append(&p->receipt, a.body.data, a.body.len);
		w->n_acknowledged++;
	} else {
		assert_true(status >= 500);
		assert_int_equal(p->receipt.len, 0);
		w->n_refused++;
	}
	p->unknown = !said_yes && atomic_load(&w->cf.core->must_stop);
	p->refused = !said_yes && !p->unknown;
	cf_answer_deinit(&a);
	return said_yes;
}

static size_t count_in_log(const json_t *entries, const struct piece *p)
{
	char id[2 * BATCH_ID_LEN + 1];
	size_t n = 0, i;
	json_t *entry;
	hex_encode(p->id, BATCH_ID_LEN, id);
	json_array_foreach(entries, i, entry) n += strcmp(json_string_value(json_object_get(entry, "batch")), id) == 0;
	return n;
}

static bool is_known(struct world *w, const struct piece *p)
{
	char id[2 * BATCH_ID_LEN + 1];
	struct cf_answer a;
	hex_encode(p->id, BATCH_ID_LEN, id);
	int status = cf_get(&w->cf, REQUEST_BATCH_STATUS, ROLE_SUBMITTER, p->source, id, "", &a);
	assert_true(status == 200 || status == 404);
	cf_answer_deinit(&a);
	return status == 200;
}

/* Time in the log never runs back, in all entries. */
static void check_times(struct world *w)
{
	struct txn *txn = NULL;
	struct buffer text;
	char last[64] = "";
	buffer_init(&text);
	assert_int_equal(txn_begin_read(w->cf.core->store, &txn), RC_OK);
	for (uint64_t i = 0; i < audit_log_signed_size(w->cf.core->log); i++) {
		json_t *entry = NULL;
		buffer_reset(&text);
		assert_int_equal(audit_log_entry(txn, i, &text), RC_OK);
		assert_int_equal(json_parse_strict((const char *)text.data, text.len, &entry, NULL), RC_OK);
		const char *t = json_string_value(json_object_get(entry, "t"));
		assert_non_null(t);
		assert_true(strcmp(last, t) <= 0);
		snprintf(last, sizeof last, "%s", t);
		json_decref(entry);
	}
	txn_abort(txn);
	buffer_deinit(&text);
}

/* After a start, which itself compares log, signer, ledger, batches and releases. */
static void check(struct world *w)
{
	uint64_t n_there = 0;
	reopen(w);
	json_t *entries = cf_entries(&w->cf, "batch");
	for (int i = 0; i < N_PIECES; i++) {
		struct piece *p = &w->pieces[i];
		size_t n = count_in_log(entries, p);
		assert_int_equal(is_known(w, p), n);
		assert_in_range(n, 0, 1);
		assert_true(p->receipt.len == 0 || n == 1);
		assert_true(!p->refused || n == 0);
		n_there += n;
		if (p->receipt.len > 0)
			assert_true(push(w, i)); /* the same receipt */
	}
	assert_int_equal(json_array_size(entries), n_there);
	assert_int_equal(w->cf.core->n_batches, n_there);
	assert_int_equal(w->cf.core->n_records, n_there * PIECE_RECORDS);
	json_decref(entries);
	check_times(w);
}

static void read_body(struct world *w, struct buffer *out)
{
	struct store_key key;
	struct txn *txn = NULL;
	release_key(&key, 1);
	assert_int_equal(txn_begin_read(w->cf.core->store, &txn), RC_OK);
	assert_int_equal(store_get(txn, &key, out), RC_OK);
	txn_abort(txn);
}

static int publish(struct world *w)
{
	struct cf_answer a;
	int status = cf_publish(&w->cf, AS_OF, &a);
	cf_answer_deinit(&a);
	return status;
}

static struct buffer undisturbed;

/* Push what is left, release, and compare. */
static void finish(struct world *w)
{
	struct buffer body;
	buffer_init(&body);
	for (int i = 0; i < N_PIECES; i++)
		assert_true(push(w, i));
	if (w->cf.core->history.n_releases == 0)
		assert_int_equal(publish(w), 202);
	assert_int_equal(cf_wait_release(&w->cf, 1), LINKER_DONE);
	check(w);
	assert_int_equal(w->cf.core->history.n_releases, 1);
	read_body(w, &body);
	if (undisturbed.len == 0) {
		buffer_append(&undisturbed, body.data, body.len);
	} else {
		assert_int_equal(body.len, undisturbed.len);
		assert_memory_equal(body.data, undisturbed.data, body.len);
	}
	buffer_deinit(&body);
}

static int run_undisturbed(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	buffer_init(&undisturbed);
	world_init(w);
	finish(w);
	world_deinit(w);
	free(w);
	return undisturbed.len > 100 ? 0 : -1;
}

static int forget_undisturbed(void **state)
{
	buffer_deinit(&undisturbed);
	return 0;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	world_init(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	atomic_store(&clock_step, 0);
	random_fails(0, false);
	world_deinit(w);
	free(w);
	return 0;
}

/* ---- the clock ---- */

static void test_clock_steps(void **state)
{
	static const long long hours[] = {0, 5, -9, 30, -30, 2};
	struct world *w = *state;
	for (int i = 0; i < N_PIECES; i++) {
		atomic_store(&clock_step, hours[i % 6] * 3600);
		assert_true(push(w, i));
		if (i % 4 == 3)
			check(w); /* a start under this clock */
	}
	cf_wait_compared(&w->cf);
	atomic_store(&clock_step, -100 * 3600);
	assert_int_equal(publish(w), 202);
	atomic_store(&clock_step, 100 * 3600);
	assert_int_equal(cf_wait_release(&w->cf, 1), LINKER_DONE);
	atomic_store(&clock_step, -3600);
	finish(w);
	assert_int_equal(w->n_refused, 0);
}

/* ---- descriptors ---- */

static void test_no_descriptors(void **state)
{
	struct world *w = *state;
	int stopped = 0;
	for (int i = 0; i < N_PIECES; i++) {
		if (i % 3 != 1) {
			assert_true(push(w, i));
			continue;
		}
		int n = take_descriptors();
		(void)push(w, i);
		bool stops = atomic_load(&w->cf.core->must_stop);
		stopped += stops;
		struct cf again = w->cf; /* nor can another be opened, which is said */
		if (stops) {
			cf_close(&w->cf);
			again.core = NULL;
			enum rc rc = cf_open(&again);
			assert_true(rc != RC_OK && again.diag.text[0] != '\0');
		}
		give_descriptors(n);
		if (stops)
			cf_must_open(&w->cf);
		check(w);
	}
	assert_true(stopped > 0); /* the signer's state needs one: nothing is acknowledged that is not signed */
	/* A release that cannot be charged outside the store is not started. */
	for (int i = 0; i < N_PIECES; i++)
		assert_true(push(w, i));
	int n = take_descriptors();
	int status = publish(w);
	give_descriptors(n);
	assert_true(status >= 500);
	check(w);
	finish(w);
}

/* ---- random numbers ---- */

/* Each place in a push at which a random number is wanted, once and from there on. */
static void test_no_random_numbers(void **state)
{
	struct world *w = *state;
	int i = 0;
	for (int onwards = 0; onwards < 2; onwards++) {
		for (long from = 1; i < N_PIECES; from++) {
			linker_wake(w->cf.core->linker); /* who wants random numbers too, has them */
			cf_wait_compared(&w->cf);
			random_fails(from, onwards == 0);
			bool yes = push(w, i);
			bool met = atomic_load(&random_calls) >= from;
			random_fails(0, false);
			struct piece *p = &w->pieces[i];
			/* What is committed is not refused any more: the answer is, and asking again gives the receipt.
			 */
			if (p->refused && is_known(w, p)) {
				p->refused = false;
				assert_true(push(w, i));
			}
			if (from < 4)
				check(w);
			if (yes || p->receipt.len > 0)
				i++;
			if (yes && !met)
				break;
		}
	}
	check(w);
	assert_true(w->n_refused >= 4);
	/* Nothing at all of a release whose charge could not be written. */
	for (int k = 0; k < N_PIECES; k++)
		assert_true(push(w, k));
	cf_wait_compared(&w->cf);
	random_fails(1, false);
	int status = publish(w);
	random_fails(0, false);
	assert_true(status >= 500);
	assert_int_equal(cf_count_entries(&w->cf, "release_started"), 0);
	finish(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_clock_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_random_numbers, setup, teardown),
	};
	return cmocka_run_group_tests(tests, run_undisturbed, forget_undisturbed);
}
