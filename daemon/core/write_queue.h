/* The single writer: one thread owns every write transaction and the head of the log.
 *
 * Jobs are taken in groups. A group is one durable transaction, then one signature over the log, then (where a job asks
 * for it) a second durable transaction for what needs the signature, such as receipts; only then are the jobs' results
 * given out. Nothing is acknowledged that is not on disk and signed. Receipts and requests go first; bulk jobs (slices of
 * derived data, about 20 ms each) go one at a time when nothing else waits.
 *
 * The signature waits for a disk as the commit does. So a group of jobs that only log, as queries do, is left to a second
 * thread once it is durable, which signs it and gives its results out while the next group is committed. Whatever else a
 * group may do, it begins when all before it is signed. */
#ifndef DAEMON_CORE_WRITE_QUEUE_H
#define DAEMON_CORE_WRITE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/audit_log.h"
#include "daemon/store/store.h"
#include "proto/rc.h"

struct write_job {
	/* In the write transaction; may append to the log. May be called a second time after a failed transaction. A
	 * code other than RC_OK without a failure of the transaction is this job's own result, and then nothing may
	 * have been written before it; but NOMEM, CRYPTO, IO and INTERNAL, after which nothing of the transaction is
	 * kept. */
	enum rc (*apply)(struct write_job *job, struct txn *txn);
	/* After commit and signature, in a second transaction; NULL = none. */
	enum rc (*settle)(struct write_job *job, struct txn *txn);
	/* The result; the job is the callee's again. Runs on the writer thread, or on the one that signs: short, and never
	 * waits for either. */
	void (*done)(struct write_job *job, enum rc rc);
	size_t bytes;                     /* of what it will write, roughly */
	bool bulk;
	bool only_logs;                   /* apply does nothing but append to the log; there is no settle */
	const struct store_reserve *leave; /* refused with NOSPACE where less would be left; NULL = takes the last room */

	bool committed;                   /* set by the queue: what apply did is durable, whatever became of the rest */
	enum rc rc;                       /* the queue's own */
	struct write_job *next;
};

struct write_queue;

/* Borrows store and log. `on_fault` is called once, from either thread, when the store or the signer failed so that
 * the process must stop; every later job then fails with RC_STOPPING. Errors: NOMEM. */
enum rc write_queue_new(struct store *store, struct audit_log *log, void (*on_fault)(void *ctx, enum rc rc), void *ctx,
                        struct write_queue **ret) MUST_CHECK;
/* Finish what is queued, end both threads, free. */
void write_queue_free(struct write_queue *q);

/* Errors: BUSY (full; done is not called), STOPPING. */
enum rc write_queue_push(struct write_queue *q, struct write_job *job) MUST_CHECK;
/* Push and wait for the result; job->done may be NULL. Not from the writer thread. */
enum rc write_queue_call(struct write_queue *q, struct write_job *job) MUST_CHECK;
size_t write_queue_depth(struct write_queue *q);

/* How long groups took to be durable and signed. Bulk jobs are left out: how many there are comes from linkage. */
struct write_times {
	uint64_t n, total_us, slowest_us;
};
void write_queue_times(struct write_queue *q, struct write_times *ret);

#endif
