/* The single writer and its group commit; write_queue.h has the order and why. */
#include "daemon/core/write_queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/base/thread.h"

enum { MAX_JOBS = 1024, GROUP_MAX_JOBS = 256 };
static const size_t group_max_bytes = (size_t)128 << 20;
static const size_t queue_max_bytes = (size_t)1 << 30;

struct job_list {
	struct write_job *first, **last;
	size_t n, bytes;
};

struct write_queue {
	struct store *store;
	struct audit_log *log;
	void (*on_fault)(void *ctx, enum rc rc);
	void *fault_ctx;
	pthread_t writer, signer;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake, to_sign, all_signed;
	struct job_list urgent, bulk;
	struct job_list durable; /* not yet signed */
	uint64_t durable_began;  /* when the first of them was taken */
	struct write_times times;
	bool signing, writer_ended, stopping, failed;
};

static void list_init(struct job_list *list)
{
	*list = (struct job_list){.first = NULL};
	list->last = &list->first;
}

static void list_push(struct job_list *list, struct write_job *job)
{
	job->next = NULL;
	*list->last = job;
	list->last = &job->next;
	list->n++;
	list->bytes += job->bytes;
}

static struct write_job *list_pop(struct job_list *list)
{
	struct write_job *job = list->first;
	if (job == NULL)
		return NULL;
	list->first = job->next;
	if (list->first == NULL)
		list->last = &list->first;
	list->n--;
	list->bytes -= job->bytes;
	job->next = NULL;
	return job;
}

static void list_move(struct job_list *to, struct job_list *from)
{
	for (struct write_job *job; (job = list_pop(from)) != NULL;)
		list_push(to, job);
}

static void set_fault(struct write_queue *q, enum rc rc)
{
	pthread_mutex_lock(&q->lock);
	bool first = !q->failed;
	q->failed = true;
	pthread_mutex_unlock(&q->lock);
	if (first)
		q->on_fault(q->fault_ctx, rc);
}

/* ---- one group ---- */

/* The store's room as it was before the transaction, looked up once for a group. */
struct room {
	bool is_known;
	uint64_t map_free, disk_free;
	size_t taken; /* by the jobs so far that leave room */
};

static enum rc check_room(struct write_queue *q, struct room *room, const struct write_job *job)
{
	if (job->leave == NULL)
		return RC_OK;
	enum rc rc = room->is_known ? RC_OK : store_space(q->store, &room->map_free, &room->disk_free);
	if (rc != RC_OK)
		return rc;
	room->is_known = true;
	return store_room_leaves(room->map_free, room->disk_free, room->taken + job->bytes, job->leave);
}

/* The machine's fault rather than the job's answer: it may have come in the middle of an effect. */
static bool is_failure(enum rc rc)
{
	return rc == RC_NOMEM || rc == RC_CRYPTO || rc == RC_IO || rc == RC_INTERNAL;
}

static enum rc apply_all(struct write_queue *q, struct job_list *group, struct txn *txn)
{
	struct room room = {.is_known = false};
	for (struct write_job *job = group->first; job != NULL; job = job->next) {
		uint64_t size = audit_log_size(q->log);
		job->rc = check_room(q, &room, job);
		if (job->rc == RC_OK)
			job->rc = job->apply(job, txn);
		if (job->rc == RC_OK && job->leave != NULL)
			room.taken += job->bytes;
		if (txn_status(txn) != RC_OK)
			return txn_status(txn);
		/* A job that refuses has written nothing (write_queue.h); one that failed may have. And an entry in the
		 * log is half an effect in any case. */
		if (is_failure(job->rc) || (job->rc != RC_OK && audit_log_size(q->log) != size))
			return job->rc;
	}
	return RC_OK;
}

static enum rc commit_group(struct write_queue *q, struct job_list *group)
{
	struct txn *txn = NULL;
	enum rc rc = txn_begin_write(q->store, &txn);
	if (rc == RC_OK)
		rc = apply_all(q, group, txn);
	if (rc == RC_OK)
		rc = txn_commit(&txn);
	txn_abort(txn);
	if (rc == RC_OK)
		audit_log_commit(q->log);
	else
		audit_log_rollback(q->log);
	for (struct write_job *job = group->first; job != NULL; job = job->next)
		job->committed = rc == RC_OK && job->rc == RC_OK;
	return rc;
}

static void settle_group(struct write_queue *q, struct job_list *group)
{
	struct txn *txn = NULL;
	bool any = false;
	for (struct write_job *job = group->first; job != NULL; job = job->next)
		any = any || (job->rc == RC_OK && job->settle != NULL);
	if (!any)
		return;
	enum rc rc = txn_begin_write(q->store, &txn);
	for (struct write_job *job = group->first; job != NULL && rc == RC_OK; job = job->next) {
		if (job->rc == RC_OK && job->settle != NULL) {
			job->rc = job->settle(job, txn);
			rc = txn_status(txn);
		}
	}
	if (rc == RC_OK)
		rc = txn_commit(&txn);
	txn_abort(txn);
	for (struct write_job *job = group->first; job != NULL && rc != RC_OK; job = job->next) {
		if (job->rc == RC_OK && job->settle != NULL)
			job->rc = rc;
	}
}

static void set_result(struct job_list *group, enum rc rc)
{
	for (struct write_job *job = group->first; job != NULL; job = job->next)
		job->rc = rc;
}

static void finish_group(struct job_list *group)
{
	for (struct write_job *job; (job = list_pop(group)) != NULL;)
		job->done(job, job->rc);
}

static uint64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void count_time(struct write_queue *q, uint64_t us)
{
	pthread_mutex_lock(&q->lock);
	q->times.n++;
	q->times.total_us += us;
	if (us > q->times.slowest_us)
		q->times.slowest_us = us;
	pthread_mutex_unlock(&q->lock);
}

/* Sign all that is durable, and give the results of this group out. */
static void sign_group(struct write_queue *q, struct job_list *group, uint64_t began)
{
	bool bulk = group->first->bulk;
	enum rc rc = audit_log_sign(q->log);
	if (rc == RC_OK) {
		settle_group(q, group);
		if (!bulk)
			count_time(q, now_us() - began);
	} else {
		set_result(group, rc);
		set_fault(q, rc);
	}
	/* Whichever of the transactions it was: who only reads must not go on being turned away. */
	if (store_must_stop(q->store))
		set_fault(q, RC_IO);
	finish_group(group);
}

/* ---- the thread that signs what only logs ---- */

static bool is_signed(const struct write_queue *q)
{
	return q->durable.n == 0 && !q->signing;
}

static void *signing_thread(void *arg)
{
	struct write_queue *q = arg;
	struct job_list group;
	pthread_mutex_lock(&q->lock);
	for (;;) {
		while (q->durable.n == 0 && !q->writer_ended)
			pthread_cond_wait(&q->to_sign, &q->lock);
		if (q->durable.n == 0)
			break;
		list_init(&group);
		list_move(&group, &q->durable);
		uint64_t began = q->durable_began;
		bool failed = q->failed;
		q->signing = true;
		pthread_mutex_unlock(&q->lock);
		if (failed) {
			set_result(&group, RC_STOPPING);
			finish_group(&group);
		} else {
			sign_group(q, &group, began);
		}
		pthread_mutex_lock(&q->lock);
		q->signing = false;
		if (is_signed(q))
			pthread_cond_signal(&q->all_signed);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

static void leave_to_signer(struct write_queue *q, struct job_list *group, uint64_t began)
{
	pthread_mutex_lock(&q->lock);
	if (q->durable.n == 0)
		q->durable_began = began;
	list_move(&q->durable, group);
	pthread_cond_signal(&q->to_sign);
	pthread_mutex_unlock(&q->lock);
}

/* Wait for it, unless the group may overlap with that. False when nothing may be written any more. */
static bool wait_for_turn(struct write_queue *q, bool may_overlap)
{
	pthread_mutex_lock(&q->lock);
	while (!may_overlap && !is_signed(q))
		pthread_cond_wait(&q->all_signed, &q->lock);
	bool failed = q->failed;
	pthread_mutex_unlock(&q->lock);
	return !failed;
}

static void end_signer(struct write_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->writer_ended = true;
	pthread_cond_signal(&q->to_sign);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->signer, NULL);
}

/* ---- the thread that writes ---- */

static bool only_logs(const struct job_list *group)
{
	const struct write_job *job = group->first;
	while (job != NULL && job->only_logs)
		job = job->next;
	return job == NULL;
}

static void run_group(struct write_queue *q, struct job_list *group)
{
	uint64_t began = now_us();
	bool may_overlap = only_logs(group);
	if (!wait_for_turn(q, may_overlap)) {
		set_result(group, RC_STOPPING);
		finish_group(group);
		return;
	}
	enum rc rc = commit_group(q, group);
	if (rc != RC_OK && group->n > 1 && !store_must_stop(q->store)) {
		/* One that does not fit must not take the others with it. */
		for (struct write_job *job; (job = list_pop(group)) != NULL;) {
			struct job_list one;
			list_init(&one);
			list_push(&one, job);
			run_group(q, &one);
		}
		return;
	}
	if (rc == RC_OK && may_overlap) {
		leave_to_signer(q, group, began);
		return;
	}
	if (rc == RC_OK) {
		sign_group(q, group, began);
		return;
	}
	set_result(group, rc);
	if (store_must_stop(q->store))
		set_fault(q, RC_IO);
	finish_group(group);
}

static void take_group(struct write_queue *q, struct job_list *group)
{
	list_init(group);
	while (q->urgent.first != NULL && group->n < GROUP_MAX_JOBS &&
	       (group->n == 0 || group->bytes + q->urgent.first->bytes <= group_max_bytes))
		list_push(group, list_pop(&q->urgent));
	if (group->n == 0)
		list_push(group, list_pop(&q->bulk));
}

static void *writer_thread(void *arg)
{
	struct write_queue *q = arg;
	struct job_list group;
	pthread_mutex_lock(&q->lock);
	for (;;) {
		while (q->urgent.n + q->bulk.n == 0 && !q->stopping)
			pthread_cond_wait(&q->wake, &q->lock);
		if (q->urgent.n + q->bulk.n == 0)
			break;
		take_group(q, &group);
		pthread_mutex_unlock(&q->lock);
		run_group(q, &group);
		pthread_mutex_lock(&q->lock);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

static void free_queue(struct write_queue *q)
{
	pthread_cond_destroy(&q->wake);
	pthread_cond_destroy(&q->to_sign);
	pthread_cond_destroy(&q->all_signed);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

enum rc write_queue_new(struct store *store, struct audit_log *log, void (*on_fault)(void *ctx, enum rc rc), void *ctx,
			struct write_queue **ret)
{
	struct write_queue *q = calloc(1, sizeof *q);
	if (q == NULL)
		return RC_NOMEM;
	q->store = store;
	q->log = log;
	q->on_fault = on_fault;
	q->fault_ctx = ctx;
	list_init(&q->urgent);
	list_init(&q->bulk);
	list_init(&q->durable);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->wake, NULL);
	pthread_cond_init(&q->to_sign, NULL);
	pthread_cond_init(&q->all_signed, NULL);
	if (thread_start(&q->signer, signing_thread, q) != 0) {
		free_queue(q);
		return RC_NOMEM;
	}
	if (thread_start(&q->writer, writer_thread, q) != 0) {
		end_signer(q);
		free_queue(q);
		return RC_NOMEM;
	}
	*ret = q;
	return RC_OK;
}

void write_queue_free(struct write_queue *q)
{
	if (q == NULL)
		return;
	pthread_mutex_lock(&q->lock);
	q->stopping = true;
	pthread_cond_broadcast(&q->wake);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->writer, NULL);
	end_signer(q);
	free_queue(q);
}

enum rc write_queue_push(struct write_queue *q, struct write_job *job)
{
	enum rc rc = RC_OK;
	pthread_mutex_lock(&q->lock);
	size_t bytes = q->urgent.bytes + q->bulk.bytes;
	if (q->stopping || q->failed)
		rc = RC_STOPPING;
	else if (q->urgent.n + q->bulk.n + q->durable.n >= MAX_JOBS ||
		 (bytes > 0 && bytes + job->bytes > queue_max_bytes))
		rc = RC_BUSY;
	else
		list_push(job->bulk ? &q->bulk : &q->urgent, job);
	if (rc == RC_OK)
		pthread_cond_signal(&q->wake);
	pthread_mutex_unlock(&q->lock);
	return rc;
}

/* ---- waiting for one ---- */

struct call {
	struct write_job job; /* first: stands for the caller's */
	struct write_job *inner;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool finished;
	enum rc rc;
};

static enum rc call_apply(struct write_job *job, struct txn *txn)
{
	struct write_job *inner = ((struct call *)job)->inner;
	return inner->apply(inner, txn);
}

static enum rc call_settle(struct write_job *job, struct txn *txn)
{
	struct write_job *inner = ((struct call *)job)->inner;
	return inner->settle(inner, txn);
}

static void call_done(struct write_job *job, enum rc rc)
{
	struct call *call = (struct call *)job;
	call->inner->committed = job->committed;
	if (call->inner->done != NULL)
		call->inner->done(call->inner, rc);
	pthread_mutex_lock(&call->lock);
	call->rc = rc;
	call->finished = true;
	pthread_cond_signal(&call->wake);
	pthread_mutex_unlock(&call->lock);
}

enum rc write_queue_call(struct write_queue *q, struct write_job *job)
{
	struct call call = {.inner = job};
	call.job = (struct write_job){
		.apply = call_apply,
		.settle = job->settle == NULL ? NULL : call_settle,
		.done = call_done,
		.bytes = job->bytes,
		.bulk = job->bulk,
		.only_logs = job->only_logs,
		.leave = job->leave,
	};
	pthread_mutex_init(&call.lock, NULL);
	pthread_cond_init(&call.wake, NULL);
	enum rc rc = write_queue_push(q, &call.job);
	if (rc == RC_OK) {
		pthread_mutex_lock(&call.lock);
		while (!call.finished)
			pthread_cond_wait(&call.wake, &call.lock);
		rc = call.rc;
		pthread_mutex_unlock(&call.lock);
	}
	pthread_cond_destroy(&call.wake);
	pthread_mutex_destroy(&call.lock);
	return rc;
}

size_t write_queue_depth(struct write_queue *q)
{
	pthread_mutex_lock(&q->lock);
	size_t n = q->urgent.n + q->bulk.n;
	pthread_mutex_unlock(&q->lock);
	return n;
}

void write_queue_times(struct write_queue *q, struct write_times *ret)
{
	pthread_mutex_lock(&q->lock);
	*ret = q->times;
	pthread_mutex_unlock(&q->lock);
}
