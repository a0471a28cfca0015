/* libs: tc_core tc_store tc_audit tc_keys tc_proto */
/* labels: quick threads */
/* The single writer: results only after commit and signature, one job's refusal or lack of room does not touch the
 * others, and nothing is acknowledged once the signer or the store has failed. */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/core/write_queue.h"
#include "tests/unit/core_fixture.h"

struct fixture {
	struct cf cf; /* for its folder and keys; the core is not opened */
	struct seal *seal;
	struct store *store;
	struct log_signer *signer;
	struct audit_log *log;
	struct write_queue *q;
	atomic_int faults;
	atomic_int last_fault;
};

static void on_fault(void *ctx, enum rc rc)
{
	struct fixture *f = ctx;
	atomic_store(&f->last_fault, (int)rc);
	atomic_fetch_add(&f->faults, 1);
}

static int setup_with(void **state, uint64_t map_bytes)
{
	struct fixture *f = calloc(1, sizeof *f);
	cf_init(&f->cf);
	struct store_options options = {
		.directory = f->cf.conf.store_directory, .map_bytes = map_bytes, .create = true};
	assert_int_equal(seal_open_file(f->cf.conf.seal_key, NULL, &f->seal, NULL), RC_OK);
	assert_int_equal(log_signer_open(f->cf.conf.log_key, "", CF_ORIGIN, &f->signer, NULL), RC_OK);
	assert_int_equal(store_open(&options, f->seal, &f->store, NULL), RC_OK);
	assert_int_equal(audit_log_open(f->store, f->signer, NULL, NULL, &f->log, NULL), RC_OK);
	assert_int_equal(write_queue_new(f->store, f->log, on_fault, f, &f->q), RC_OK);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, 64 << 20);
}

static int setup_small(void **state)
{
	return setup_with(state, 2 << 20);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	write_queue_free(f->q);
	audit_log_free(f->log);
	store_close(f->store);
	log_signer_close(f->signer);
	seal_close(f->seal);
	cf_deinit(&f->cf);
	free(f);
	return 0;
}

struct job {
	struct write_job job;
	struct fixture *f;
	uint64_t key;
	size_t len;         /* of the value to put */
	enum rc refusal;    /* the job's own result, before anything is written */
	bool logs, forgets; /* append an entry; then refuse all the same */
	bool puts;          /* put the value, then refuse */
	atomic_int n_applied, n_settled, n_done;
	enum rc rc;
	uint64_t signed_when_applied, signed_when_settled;
	pthread_mutex_t *gate; /* held by the test to make a group gather */
};

static struct store_key job_key(uint64_t n)
{
	struct store_key key;
	store_key_init(&key, STORE_BATCH);
	store_key_u64(&key, n);
	return key;
}

static enum rc apply(struct write_job *job, struct txn *txn)
{
	struct job *j = (struct job *)job;
	j->signed_when_applied = audit_log_signed_size(j->f->log);
	atomic_fetch_add(&j->n_applied, 1);
	if (j->gate != NULL) {
		pthread_mutex_lock(j->gate);
		pthread_mutex_unlock(j->gate);
	}
	if (j->refusal != RC_OK && !j->forgets && !j->puts)
		return j->refusal;
	if (j->logs) {
		enum rc rc = audit_log_append(j->f->log, txn, ENTRY_STOP, NULL, NULL, NULL);
		if (rc != RC_OK)
			return rc;
	}
	if (j->forgets)
		return j->refusal;
	if (job->only_logs)
		return RC_OK;
	struct store_key key = job_key(j->key);
	uint8_t *value = calloc(1, j->len + 1);
	enum rc rc = store_put(txn, &key, value, j->len);
	free(value);
	return rc == RC_OK && j->puts ? j->refusal : rc;
}

static enum rc settle(struct write_job *job, struct txn *txn)
{
	struct job *j = (struct job *)job;
	atomic_fetch_add(&j->n_settled, 1);
	j->signed_when_settled = audit_log_signed_size(j->f->log);
	struct store_key key = job_key(1000 + j->key);
	return store_put(txn, &key, "settled", 7);
}

static void done(struct write_job *job, enum rc rc)
{
	struct job *j = (struct job *)job;
	j->rc = rc;
	atomic_fetch_add(&j->n_done, 1);
}

static void job_init(struct fixture *f, struct job *j, uint64_t key, size_t len)
{
	memset(j, 0, sizeof *j);
	j->job = (struct write_job){.apply = apply, .settle = settle, .done = done, .bytes = len};
	j->f = f;
	j->key = key;
	j->len = len;
	j->logs = true;
}

/* As a query is. */
static void job_init_entry(struct fixture *f, struct job *j)
{
	job_init(f, j, 0, 10);
	j->job.only_logs = true;
	j->job.settle = NULL;
}

static bool is_there(struct fixture *f, uint64_t n)
{
	struct txn *txn = NULL;
	struct store_key key = job_key(n);
	assert_int_equal(txn_begin_read(f->store, &txn), RC_OK);
	enum rc rc = store_has(txn, &key);
	txn_abort(txn);
	assert_true(rc == RC_OK || rc == RC_NOTFOUND);
	return rc == RC_OK;
}

static void wait_done(struct job *j)
{
	while (atomic_load(&j->n_done) == 0)
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
}

static void test_one(void **state)
{
	struct fixture *f = *state;
	struct job j;
	job_init(f, &j, 1, 100);
	assert_int_equal(write_queue_call(f->q, &j.job), RC_OK);
	assert_true(j.job.committed);
	assert_int_equal(j.n_applied, 1);
	assert_int_equal(j.n_settled, 1);
	assert_int_equal(j.n_done, 1);
	assert_int_equal(j.signed_when_settled, 1);
	assert_int_equal(audit_log_signed_size(f->log), 1);
	assert_true(is_there(f, 1));
	assert_int_equal(write_queue_depth(f->q), 0);
}

/* Jobs that wait together are one transaction and one signature; a refusal among them is its own. */
static void test_group(void **state)
{
	struct fixture *f = *state;
	enum { N = 20 };
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct job first, jobs[N];
	job_init(f, &first, 1000, 10);
	first.gate = &gate;
	pthread_mutex_lock(&gate);
	assert_int_equal(write_queue_push(f->q, &first.job), RC_OK);
	while (atomic_load(&first.n_applied) == 0)
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
	for (uint64_t i = 0; i < N; i++) {
		job_init(f, &jobs[i], i, 10);
		if (i == 7)
			jobs[i].refusal = RC_CONFLICT;
		assert_int_equal(write_queue_push(f->q, &jobs[i].job), RC_OK);
	}
	assert_int_equal(write_queue_depth(f->q), N);
	pthread_mutex_unlock(&gate);
	for (int i = 0; i < N; i++) {
		wait_done(&jobs[i]);
		assert_int_equal(jobs[i].rc, i == 7 ? RC_CONFLICT : RC_OK);
		assert_int_equal(jobs[i].n_settled, i != 7);
		assert_int_equal(is_there(f, (uint64_t)i), i != 7);
		assert_int_equal(jobs[i].job.committed, i != 7);
		assert_true(i == 7 || jobs[i].signed_when_settled == N);
	}
	assert_int_equal(audit_log_signed_size(f->log), N);
	assert_int_equal(f->faults, 0);
}

struct asker {
	struct fixture *f;
	uint64_t first;
	unsigned n_failed;
};

enum { N_ASKERS = 8, N_TIMES = 20 };

static void *ask_again(void *arg)
{
	struct asker *asker = arg;
	for (uint64_t i = 0; i < N_TIMES; i++) {
		struct job j;
		if ((asker->first + i) % 4 == 0)
			job_init(asker->f, &j, asker->first + i, 10);
		else
			job_init_entry(asker->f, &j);
		asker->n_failed += write_queue_call(asker->f->q, &j.job) != RC_OK || j.n_applied != 1 || j.n_done != 1;
	}
	return NULL;
}

/* Nobody is left out, whichever thread signs; and what each is told is so: its entry is signed. */
static void test_many_who_ask_again(void **state)
{
	struct fixture *f = *state;
	struct asker askers[N_ASKERS];
	pthread_t threads[N_ASKERS];
	struct write_times times;
	struct job alone;
	for (unsigned i = 0; i < N_ASKERS; i++) {
		askers[i] = (struct asker){.f = f, .first = 1000 * (i + 1)};
		assert_int_equal(pthread_create(&threads[i], NULL, ask_again, &askers[i]), 0);
	}
	for (unsigned i = 0; i < N_ASKERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(askers[i].n_failed, 0);
	}
	job_init(f, &alone, 1, 10);
	assert_int_equal(write_queue_call(f->q, &alone.job), RC_OK);
	assert_int_equal(audit_log_signed_size(f->log), N_ASKERS * N_TIMES + 1);
	write_queue_times(f->q, &times);
	assert_true(times.n > N_TIMES && times.n <= N_ASKERS * N_TIMES + 1);
	assert_int_equal(f->faults, 0);
}

/* Half an effect with a refusal is not let through, and takes nothing else with it. */
static void test_half_an_effect(void **state)
{
	struct fixture *f = *state;
	struct job bad, good;
	job_init(f, &bad, 1, 10);
	bad.refusal = RC_CONFLICT;
	bad.forgets = true;
	assert_int_equal(write_queue_call(f->q, &bad.job), RC_CONFLICT);
	assert_false(bad.job.committed);
	assert_int_equal(audit_log_size(f->log), 0);
	job_init(f, &good, 2, 10);
	assert_int_equal(write_queue_call(f->q, &good.job), RC_OK);
	assert_int_equal(audit_log_signed_size(f->log), 1);
	assert_false(is_there(f, 1));
}

/* Nor with a failure that comes after something was put; the others of its group are done without it. */
static void test_failure_in_the_middle(void **state)
{
	struct fixture *f = *state;
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct job first, before, bad, after;
	job_init(f, &first, 1, 10);
	first.gate = &gate;
	pthread_mutex_lock(&gate);
	assert_int_equal(write_queue_push(f->q, &first.job), RC_OK);
	while (atomic_load(&first.n_applied) == 0)
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
	job_init(f, &before, 2, 10);
	job_init(f, &bad, 3, 10);
	bad.logs = false;
	bad.puts = true;
	bad.refusal = RC_NOMEM;
	job_init(f, &after, 4, 10);
	assert_int_equal(write_queue_push(f->q, &before.job), RC_OK);
	assert_int_equal(write_queue_push(f->q, &bad.job), RC_OK);
	assert_int_equal(write_queue_push(f->q, &after.job), RC_OK);
	pthread_mutex_unlock(&gate);
	wait_done(&before);
	wait_done(&bad);
	wait_done(&after);
	assert_int_equal(before.rc, RC_OK);
	assert_int_equal(bad.rc, RC_NOMEM);
	assert_int_equal(after.rc, RC_OK);
	assert_true(is_there(f, 2) && !is_there(f, 3) && is_there(f, 4));
	assert_int_equal(audit_log_signed_size(f->log), 3);
	assert_int_equal(f->faults, 0);
}

static void test_one_that_does_not_fit(void **state)
{
	struct fixture *f = *state;
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct job first, small_a, large, small_b;
	job_init(f, &first, 1, 10);
	first.gate = &gate;
	pthread_mutex_lock(&gate);
	assert_int_equal(write_queue_push(f->q, &first.job), RC_OK);
	while (atomic_load(&first.n_applied) == 0)
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
	job_init(f, &small_a, 2, 10);
	job_init(f, &large, 3, 4 << 20);
	job_init(f, &small_b, 4, 10);
	assert_int_equal(write_queue_push(f->q, &small_a.job), RC_OK);
	assert_int_equal(write_queue_push(f->q, &large.job), RC_OK);
	assert_int_equal(write_queue_push(f->q, &small_b.job), RC_OK);
	pthread_mutex_unlock(&gate);
	wait_done(&small_a);
	wait_done(&large);
	wait_done(&small_b);
	assert_int_equal(small_a.rc, RC_OK);
	assert_int_equal(large.rc, RC_NOSPACE);
	assert_int_equal(small_b.rc, RC_OK);
	assert_false(is_there(f, 3));
	assert_true(is_there(f, 2) && is_there(f, 4));
	assert_int_equal(audit_log_signed_size(f->log), 3);
	assert_int_equal(f->faults, 0);
	/* What was rolled back left the log as a reader rebuilds it. */
	write_queue_free(f->q);
	audit_log_free(f->log);
	f->q = NULL;
	f->log = NULL;
	assert_int_equal(audit_log_open(f->store, f->signer, NULL, NULL, &f->log, NULL), RC_OK);
	assert_int_equal(audit_log_signed_size(f->log), 3);
}

/* Jobs of one group leave together what each of them must leave. */
static void test_group_leaves_room(void **state)
{
	struct fixture *f = *state;
	enum { N = 20, LEN = 100000, ROOM = 10 * LEN };
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct job first, jobs[N];
	uint64_t map_free, disk_free;
	int n = 0;
	assert_int_equal(store_space(f->store, &map_free, &disk_free), RC_OK);
	const struct store_reserve leave = {.map_bytes = map_free - ROOM};
	job_init(f, &first, 1000, 10);
	first.gate = &gate;
	pthread_mutex_lock(&gate);
	assert_int_equal(write_queue_push(f->q, &first.job), RC_OK);
	while (atomic_load(&first.n_applied) == 0)
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
	for (uint64_t i = 0; i < N; i++) {
		job_init(f, &jobs[i], i, LEN);
		jobs[i].job.leave = &leave;
		assert_int_equal(write_queue_push(f->q, &jobs[i].job), RC_OK);
	}
	pthread_mutex_unlock(&gate);
	for (int i = 0; i < N; i++) {
		wait_done(&jobs[i]);
		assert_true(jobs[i].rc == RC_NOSPACE || (jobs[i].rc == RC_OK && n == i));
		n += jobs[i].rc == RC_OK;
	}
	assert_in_range(n, 5, ROOM / LEN);
	assert_int_equal(f->faults, 0);
}

static void test_bulk_waits_for_others(void **state)
{
	struct fixture *f = *state;
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct job first, bulk, urgent;
	job_init(f, &first, 1, 10);
	first.gate = &gate;
	pthread_mutex_lock(&gate);
	assert_int_equal(write_queue_push(f->q, &first.job), RC_OK);
	while (atomic_load(&first.n_applied) == 0)
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
	job_init(f, &bulk, 2, 10);
	bulk.job.bulk = true;
	job_init(f, &urgent, 3, 10);
	assert_int_equal(write_queue_push(f->q, &bulk.job), RC_OK);
	assert_int_equal(write_queue_push(f->q, &urgent.job), RC_OK);
	pthread_mutex_unlock(&gate);
	wait_done(&bulk);
	wait_done(&urgent);
	assert_true(urgent.signed_when_settled < bulk.signed_when_settled);
}

static void test_full_queue(void **state)
{
	struct fixture *f = *state;
	enum { N = 2000 };
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct job first, *jobs = calloc(N, sizeof *jobs);
	int taken = 0;
	job_init(f, &first, 1, 10);
	first.gate = &gate;
	pthread_mutex_lock(&gate);
	assert_int_equal(write_queue_push(f->q, &first.job), RC_OK);
	while (atomic_load(&first.n_applied) == 0)
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
	enum rc rc = RC_OK;
	for (; taken < N && rc == RC_OK; taken += rc == RC_OK) {
		job_init(f, &jobs[taken], (uint64_t)taken, 10);
		jobs[taken].logs = false;
		rc = write_queue_push(f->q, &jobs[taken].job);
	}
	assert_int_equal(rc, RC_BUSY);
	assert_true(taken > 100 && taken < N);
	assert_int_equal(jobs[taken].n_done, 0);
	pthread_mutex_unlock(&gate);
	for (int i = 0; i < taken; i++) {
		wait_done(&jobs[i]);
		assert_int_equal(jobs[i].rc, RC_OK);
	}
	free(jobs);
}

/* A signer that has signed something else: nothing more may be acknowledged. */
static void test_signer_fails(void **state)
{
	struct fixture *f = *state;
	struct job j, next;
	struct tlog_hash root = {{9}};
	struct tlog_proof proof = {.n = 0};
	struct buffer note;
	buffer_init(&note);
	assert_int_equal(log_signer_sign(f->signer, 50, &root, &proof, &note), RC_OK);
	buffer_deinit(&note);
	job_init(f, &j, 1, 10);
	assert_int_equal(write_queue_call(f->q, &j.job), RC_FORK);
	assert_int_equal(j.n_settled, 0);
	assert_int_equal(f->faults, 1);
	assert_int_equal(f->last_fault, RC_FORK);
	job_init(f, &next, 2, 10);
	assert_int_equal(write_queue_call(f->q, &next.job), RC_STOPPING);
	assert_int_equal(next.n_applied, 0);
	assert_int_equal(f->faults, 1);
}

/* ---- signing one group while the next is committed ---- */

static pthread_mutex_t signature_gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_int n_signatures;
static atomic_bool signatures_fail;

/* In the place of the C library's: the signer makes its state durable with this call before it signs. */
int fdatasync(int fd)
{
	static int (*next)(int);
	char link[64], path[PATH_MAX];
	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "fdatasync");
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	path[n > 0 ? n : 0] = '\0';
	if (strstr(path, ".state") != NULL) {
		atomic_fetch_add(&n_signatures, 1);
		pthread_mutex_lock(&signature_gate);
		pthread_mutex_unlock(&signature_gate);
		if (atomic_load(&signatures_fail)) {
			errno = EIO;
			return -1;
		}
	}
	return next(fd);
}

static bool has_entry(struct fixture *f, uint64_t index)
{
	struct txn *txn = NULL;
	struct buffer entry;
	buffer_init(&entry);
	assert_int_equal(txn_begin_read(f->store, &txn), RC_OK);
	enum rc rc = audit_log_entry(txn, index, &entry);
	txn_abort(txn);
	buffer_deinit(&entry);
	return rc == RC_OK;
}

static void begin_to_sign(struct fixture *f, struct job *j)
{
	atomic_store(&n_signatures, 0);
	pthread_mutex_lock(&signature_gate);
	job_init_entry(f, j);
	assert_int_equal(write_queue_push(f->q, &j->job), RC_OK);
	while (atomic_load(&n_signatures) == 0)
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
}

static void commit_meanwhile(struct fixture *f, struct job *j, uint64_t index)
{
	job_init_entry(f, j);
	assert_int_equal(write_queue_push(f->q, &j->job), RC_OK);
	while (!has_entry(f, index))
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
}

/* What only logs is committed while what was before it waits for its signature; what does more begins when all is
 * signed; nobody hears of success before. */
static void test_next_is_committed_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct job first, second, third, other;
	begin_to_sign(f, &first);
	commit_meanwhile(f, &second, 1);
	commit_meanwhile(f, &third, 2);
	job_init(f, &other, 1, 10);
	assert_int_equal(write_queue_push(f->q, &other.job), RC_OK);
	assert_int_equal(audit_log_signed_size(f->log), 0);
	assert_int_equal(first.n_done + second.n_done + third.n_done + other.n_done, 0);
	pthread_mutex_unlock(&signature_gate);
	wait_done(&first);
	assert_true(audit_log_signed_size(f->log) >= 1);
	wait_done(&third);
	assert_true(audit_log_signed_size(f->log) >= 3);
	wait_done(&other);
	assert_true(first.rc == RC_OK && second.rc == RC_OK && third.rc == RC_OK && other.rc == RC_OK);
	assert_int_equal(other.signed_when_applied, 3);
	assert_int_equal(other.signed_when_settled, 4);
	/* The two that waited share a signature, if both had been handed over when the first was done. */
	assert_in_range(n_signatures, 3, 4);
	assert_int_equal(f->faults, 0);
}

/* Where the signature fails, what was committed meanwhile is not acknowledged either, and the next start signs all. */
static void test_signature_fails_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct job first, second, next;
	begin_to_sign(f, &first);
	commit_meanwhile(f, &second, 1);
	atomic_store(&signatures_fail, true);
	pthread_mutex_unlock(&signature_gate);
	wait_done(&first);
	wait_done(&second);
	assert_int_equal(first.rc, RC_IO);
	assert_int_equal(second.rc, RC_STOPPING);
	assert_int_equal(audit_log_signed_size(f->log), 0);
	assert_int_equal(f->faults, 1);
	assert_int_equal(f->last_fault, RC_IO);
	job_init_entry(f, &next);
	assert_int_equal(write_queue_call(f->q, &next.job), RC_STOPPING);
	assert_int_equal(next.n_applied, 0);
	atomic_store(&signatures_fail, false);

	write_queue_free(f->q);
	audit_log_free(f->log);
	f->q = NULL;
	f->log = NULL;
	assert_int_equal(audit_log_open(f->store, f->signer, NULL, NULL, &f->log, NULL), RC_OK);
	assert_int_equal(audit_log_signed_size(f->log), 2);
}

/* What waits for that signature before it begins does not begin, and the signer is not asked once more. */
static void test_signature_fails_before(void **state)
{
	struct fixture *f = *state;
	struct job first, other;
	begin_to_sign(f, &first);
	job_init(f, &other, 1, 10);
	assert_int_equal(write_queue_push(f->q, &other.job), RC_OK);
	while (write_queue_depth(f->q) > 0)
		nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
	atomic_store(&signatures_fail, true);
	pthread_mutex_unlock(&signature_gate);
	wait_done(&first);
	wait_done(&other);
	assert_int_equal(first.rc, RC_IO);
	assert_int_equal(other.rc, RC_STOPPING);
	assert_int_equal(other.n_applied, 0);
	assert_int_equal(n_signatures, 1);
	assert_int_equal(f->faults, 1);
	assert_false(is_there(f, 1));
	atomic_store(&signatures_fail, false);
}

/* ---- a root that cannot be written ---- */

static atomic_int root_writes_left = INT_MAX;

/* In the place of the C library's: LMDB writes its two roots, the first two pages, with this call. */
ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	static ssize_t (*next)(int, const void *, size_t, off_t);
	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "pwrite");
	if (at < 2 * 4096 && atomic_fetch_sub(&root_writes_left, 1) <= 0) {
		errno = EIO;
		return -1;
	}
	return next(fd, data, len, at);
}

/* The writer learns it from its own transaction, be it the first or the one for receipts: the daemon stops although
 * nobody writes again and only readers are turned away. */
static void root_fails(struct fixture *f, int writes_left)
{
	struct txn *txn = NULL;
	struct job j, next;
	job_init(f, &j, 1, 10);
	atomic_store(&root_writes_left, writes_left);
	assert_int_equal(write_queue_call(f->q, &j.job), RC_IO);
	atomic_store(&root_writes_left, INT_MAX);
	assert_int_equal(j.job.committed, writes_left > 0);
	assert_int_equal(f->faults, 1);
	assert_int_equal(f->last_fault, RC_IO);
	assert_true(store_must_stop(f->store));
	assert_int_equal(txn_begin_read(f->store, &txn), RC_IO);
	job_init(f, &next, 2, 10);
	assert_int_equal(write_queue_call(f->q, &next.job), RC_STOPPING);
	assert_int_equal(next.n_applied, 0);
	assert_int_equal(f->faults, 1);
}

static void test_root_cannot_be_written(void **state)
{
	root_fails(*state, 0);
}

static void test_root_cannot_be_written_again(void **state)
{
	root_fails(*state, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_who_ask_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_an_effect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_in_the_middle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_that_does_not_fit, setup_small, teardown),
		cmocka_unit_test_setup_teardown(test_group_leaves_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bulk_waits_for_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signer_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_next_is_committed_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signature_fails_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signature_fails_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_root_cannot_be_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_root_cannot_be_written_again, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
