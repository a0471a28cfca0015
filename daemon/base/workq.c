/* Work queue: see workq.h. A ring of fixed capacity under one lock: a full queue refuses, it never grows, so that load
 * turns into 503 at the border and not into memory. Signals are the main thread's (thread.h). */
#include "daemon/base/workq.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "daemon/base/thread.h"

struct work {
	work_fn fn;
	void *item;
};

struct workq {
	pthread_mutex_t lock;
	pthread_cond_t not_empty;
	struct work *ring;
	size_t capacity, head, n;
	bool stopping;
	unsigned n_threads;
	pthread_t threads[];
};

enum { MAX_THREADS = 256 };

static void *worker(void *arg)
{
	struct workq *q = arg;

	pthread_mutex_lock(&q->lock);
	for (;;) {
		while (q->n == 0 && !q->stopping)
			pthread_cond_wait(&q->not_empty, &q->lock);
		if (q->n == 0)
			break;
		struct work work = q->ring[q->head];
		q->head = (q->head + 1) % q->capacity;
		q->n--;
		pthread_mutex_unlock(&q->lock);
		work.fn(work.item);
		pthread_mutex_lock(&q->lock);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

enum rc workq_new(unsigned n_threads, size_t capacity, struct workq **ret)
{
	if (n_threads == 0)
		n_threads = 1;
	if (n_threads > MAX_THREADS)
		n_threads = MAX_THREADS;
	if (capacity == 0)
		capacity = 1;

	struct workq *q = calloc(1, sizeof *q + n_threads * sizeof q->threads[0]);
	if (q == NULL)
		return RC_NOMEM;
	q->ring = calloc(capacity, sizeof *q->ring);
	if (q->ring == NULL) {
		free(q);
		return RC_NOMEM;
	}
	q->capacity = capacity;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->not_empty, NULL);
	for (unsigned i = 0; i < n_threads; i++) {
		if (thread_start(&q->threads[i], worker, q) != 0) {
			workq_free(q);
			return RC_NOMEM;
		}
		q->n_threads++;
	}
	*ret = q;
	return RC_OK;
}

enum rc workq_push(struct workq *q, work_fn fn, void *item)
{
	enum rc rc = RC_OK;

	pthread_mutex_lock(&q->lock);
	if (q->stopping) {
		rc = RC_STOPPING;
	} else if (q->n == q->capacity) {
		rc = RC_BUSY;
	} else {
		q->ring[(q->head + q->n) % q->capacity] = (struct work){fn, item};
		q->n++;
		pthread_cond_signal(&q->not_empty);
	}
	pthread_mutex_unlock(&q->lock);
	return rc;
}

size_t workq_depth(struct workq *q)
{
	pthread_mutex_lock(&q->lock);
	size_t n = q->n;
	pthread_mutex_unlock(&q->lock);
	return n;
}

void workq_free(struct workq *q)
{
	if (q == NULL)
		return;
	pthread_mutex_lock(&q->lock);
	q->stopping = true;
	pthread_cond_broadcast(&q->not_empty);
	pthread_mutex_unlock(&q->lock);
	for (unsigned i = 0; i < q->n_threads; i++)
		pthread_join(q->threads[i], NULL);
	pthread_cond_destroy(&q->not_empty);
	pthread_mutex_destroy(&q->lock);
	free(q->ring);
	free(q);
}

struct loop {
	atomic_size_t next;
	size_t n;
	void (*fn)(void *ctx, size_t i);
	void *ctx;
};

static void *loop_worker(void *arg)
{
	struct loop *loop = arg;

	for (;;) {
		size_t i = atomic_fetch_add_explicit(&loop->next, 1, memory_order_relaxed);
		if (i >= loop->n)
			return NULL;
		loop->fn(loop->ctx, i);
	}
}

void parallel_for(unsigned n_threads, size_t n, void (*fn)(void *ctx, size_t i), void *ctx)
{
	struct loop loop = {.n = n, .fn = fn, .ctx = ctx};
	pthread_t threads[MAX_THREADS];
	unsigned n_started = 0;

	if (n_threads > MAX_THREADS)
		n_threads = MAX_THREADS;
	/* A thread that cannot be had is no error: the caller's own thread does the rest. */
	while (n_started + 1 < n_threads && n_started + 1 < n &&
	       thread_start(&threads[n_started], loop_worker, &loop) == 0)
		n_started++;
	loop_worker(&loop);
	for (unsigned i = 0; i < n_started; i++)
		pthread_join(threads[i], NULL);
}

struct blocks {
	size_t n, block;
	void (*fn)(void *ctx, size_t first, size_t end);
	void *ctx;
};

static void run_block(void *ctx, size_t i)
{
	const struct blocks *blocks = ctx;
	size_t first = i * blocks->block, left = blocks->n - first;

	blocks->fn(blocks->ctx, first, left < blocks->block ? blocks->n : first + blocks->block);
}

void parallel_blocks(unsigned n_threads, size_t n, size_t block, void (*fn)(void *ctx, size_t first, size_t end),
		     void *ctx)
{
	struct blocks blocks = {n, block, fn, ctx};

	parallel_for(n_threads, n / block + (n % block != 0), run_block, &blocks);
}
