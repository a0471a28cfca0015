#include "tools/pipeline.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum state { IDLE, GIVEN, DONE };

struct worker {
	struct pipeline *pipeline;
	unsigned number;
	pthread_t thread;
};

struct pipeline {
	pthread_mutex_t mutex;
	pthread_cond_t given, done;
	pipeline_work *work;
	void *ctx;
	bool stop;
	unsigned n_workers, n_pieces;
	unsigned turn;      /* of the caller */
	unsigned begin;     /* the next piece to be begun */
	unsigned n_waiting; /* given and not begun; they stand in a row from `begin` on */
	enum state *states; /* of each piece */
	struct worker workers[PIPELINE_MAX_WORKERS];
};

unsigned pipeline_processors(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
	return n > 0 ? (unsigned)n : 1;
}

static void *run(void *arg)
{
	struct worker *w = arg;
	struct pipeline *p = w->pipeline;
	pthread_mutex_lock(&p->mutex);
	for (;;) {
		while (p->n_waiting == 0 && !p->stop)
			pthread_cond_wait(&p->given, &p->mutex);
		if (p->stop)
			break;
		unsigned piece = p->begin;
		p->begin = (p->begin + 1) % p->n_pieces;
		p->n_waiting--;
		pthread_mutex_unlock(&p->mutex);
		p->work(p->ctx, w->number, piece);
		pthread_mutex_lock(&p->mutex);
		p->states[piece] = DONE;
		pthread_cond_signal(&p->done);
	}
	pthread_mutex_unlock(&p->mutex);
	return NULL;
}

enum rc pipeline_new(unsigned n_workers, unsigned n_pieces, pipeline_work *work, void *ctx, struct pipeline **ret)
{
	struct pipeline *p = calloc(1, sizeof *p);
	if (p == NULL)
		return RC_NOMEM;
	p->states = calloc(n_pieces, sizeof *p->states);
	p->n_pieces = n_pieces;
	p->work = work;
	p->ctx = ctx;
	pthread_mutex_init(&p->mutex, NULL);
	pthread_cond_init(&p->given, NULL);
	pthread_cond_init(&p->done, NULL);
	for (; p->states != NULL && p->n_workers < n_workers && p->n_workers < PIPELINE_MAX_WORKERS; p->n_workers++) {
		struct worker *w = &p->workers[p->n_workers];
		*w = (struct worker){.pipeline = p, .number = p->n_workers};
		if (pthread_create(&w->thread, NULL, run, w) != 0)
			break;
	}
	if (p->n_workers == 0) {
		pipeline_free(p);
		return RC_NOMEM;
	}
	*ret = p;
	return RC_OK;
}

unsigned pipeline_next(struct pipeline *p, bool *ret_done)
{
	unsigned piece = p->turn;
	pthread_mutex_lock(&p->mutex);
	while (p->states[piece] == GIVEN)
		pthread_cond_wait(&p->done, &p->mutex);
	*ret_done = p->states[piece] == DONE;
	p->states[piece] = IDLE;
	pthread_mutex_unlock(&p->mutex);
	return piece;
}

void pipeline_give(struct pipeline *p)
{
	pthread_mutex_lock(&p->mutex);
	p->states[p->turn] = GIVEN;
	p->turn = (p->turn + 1) % p->n_pieces;
	p->n_waiting++;
	pthread_cond_signal(&p->given);
	pthread_mutex_unlock(&p->mutex);
}

void pipeline_pass(struct pipeline *p)
{
	p->turn = (p->turn + 1) % p->n_pieces;
}

void pipeline_free(struct pipeline *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->mutex);
	p->stop = true;
	pthread_cond_broadcast(&p->given);
	pthread_mutex_unlock(&p->mutex);
	for (unsigned i = 0; i < p->n_workers; i++)
		pthread_join(p->workers[i].thread, NULL);
	pthread_cond_destroy(&p->given);
	pthread_cond_destroy(&p->done);
	pthread_mutex_destroy(&p->mutex);
	free(p->states);
	free(p);
}
