/* libs: tc_base */
/* labels: quick threads */
/* The work queue: everything pushed is done once, a full queue refuses, a stopping one too; parallel_for visits each
 * index once whatever the number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/workq.h"

static atomic_uint n_done;

static void count_one(void *item)
{
	atomic_fetch_add(&n_done, 1);
	atomic_fetch_add((atomic_uint *)item, 1);
}

static void test_all_work_is_done_once(void **state)
{
	enum { N = 5000 };
	static atomic_uint seen[N];
	struct workq *q;

	memset(seen, 0, sizeof seen);
	atomic_store(&n_done, 0);
	assert_int_equal(workq_new(4, 64, &q), RC_OK);
	for (size_t i = 0; i < N; i++) {
		enum rc rc;
		while ((rc = workq_push(q, count_one, &seen[i])) == RC_BUSY)
			sched_yield();
		assert_int_equal(rc, RC_OK);
	}
	workq_free(q); /* finishes what is queued */
	assert_int_equal(atomic_load(&n_done), N);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(atomic_load(&seen[i]), 1);
}

struct gate {
	atomic_bool open, entered;
};

static void wait_at_gate(void *item)
{
	struct gate *gate = item;
	atomic_store(&gate->entered, true);
	while (!atomic_load(&gate->open))
		sched_yield();
}

static void test_full_queue_refuses(void **state)
{
	struct gate gate = {false, false};
	atomic_uint count = 0;
	struct workq *q;

	assert_int_equal(workq_new(1, 2, &q), RC_OK);
	assert_int_equal(workq_push(q, wait_at_gate, &gate), RC_OK);
	while (!atomic_load(&gate.entered))
		sched_yield();
	assert_int_equal(workq_push(q, count_one, &count), RC_OK);
	assert_int_equal(workq_push(q, count_one, &count), RC_OK);
	assert_int_equal(workq_depth(q), 2);
	assert_int_equal(workq_push(q, count_one, &count), RC_BUSY);
	assert_int_equal(workq_depth(q), 2);
	atomic_store(&gate.open, true);
	workq_free(q);
	assert_int_equal(atomic_load(&count), 2);
}

struct stopper {
	struct workq *q;
	atomic_bool entered;
	_Atomic enum rc result;
};

/* Push until the queue says that it stops; the queue is one long, so BUSY may come first. */
static void push_until_stopping(void *item)
{
	struct stopper *s = item;
	static atomic_uint ignored;
	enum rc rc;

	atomic_store(&s->entered, true);
	while ((rc = workq_push(s->q, count_one, &ignored)) == RC_OK || rc == RC_BUSY)
		sched_yield();
	atomic_store(&s->result, rc);
}

static void test_stopping_queue_refuses(void **state)
{
	struct stopper s = {NULL, false, RC_OK};

	assert_int_equal(workq_new(1, 1, &s.q), RC_OK);
	assert_int_equal(workq_push(s.q, push_until_stopping, &s), RC_OK);
	while (!atomic_load(&s.entered))
		sched_yield();
	workq_free(s.q);
	assert_int_equal(atomic_load(&s.result), RC_STOPPING);
}

static void test_free_of_nothing(void **state)
{
	workq_free(NULL);
	struct workq *q;
	assert_int_equal(workq_new(0, 0, &q), RC_OK); /* at least one thread and one place */
	assert_int_equal(workq_depth(q), 0);
	workq_free(q);
}

static void visit(void *ctx, size_t i)
{
	atomic_uint *seen = ctx;
	atomic_fetch_add(&seen[i], 1);
}

static void test_parallel_for(void **state)
{
	static const unsigned threads[] = {0, 1, 2, 3, 8, 1000};
	static const size_t sizes[] = {0, 1, 2, 7, 1000};

	for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++)
		for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
			atomic_uint *seen = calloc(sizes[s] + 1, sizeof *seen);
			assert_non_null(seen);
			parallel_for(threads[t], sizes[s], visit, seen);
			for (size_t i = 0; i < sizes[s]; i++)
				assert_int_equal(atomic_load(&seen[i]), 1);
			assert_int_equal(atomic_load(&seen[sizes[s]]), 0);
			free(seen);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_work_is_done_once),  cmocka_unit_test(test_full_queue_refuses),
		cmocka_unit_test(test_stopping_queue_refuses), cmocka_unit_test(test_free_of_nothing),
		cmocka_unit_test(test_parallel_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
