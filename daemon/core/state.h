/* The core's state, for the files of this folder that answer requests. */
#ifndef DAEMON_CORE_STATE_H
#define DAEMON_CORE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/conf.h"
#include "daemon/base/pipe.h"
#include "daemon/base/workq.h"
#include "daemon/core/audit_log.h"
#include "daemon/core/batches.h"
#include "daemon/core/history.h"
#include "daemon/core/renewals.h"
#include "daemon/core/write_queue.h"
#include "daemon/store/store.h"
#include "keys/key_file.h"
#include "keys/log_key.h"
#include "keys/seal.h"
#include "proto/route.h"
#include "proto/study.h"

struct answers;
struct linker;
struct rotator;
struct retention;
struct backups;

enum { CORE_MAX_WITNESSES = 3 * WITNESS_MAX }; /* of the study, of the file, of releases that wait */

struct source_volume {
	uint64_t n_batches, n_records;
};

struct core {
	const struct conf *conf;
	char *study_text;                 /* the file as it was read */
	size_t study_text_len;
	struct study *study;
	struct seal *seal;
	struct log_signer *signer;
	struct tlog_vkey *witnesses;      /* who may cosign checkpoints */
	size_t n_witnesses;
	struct secret_key *test_secret;   /* NULL but in tests with a synthetic study */
	struct store *store;
	struct audit_log *log;
	struct write_queue *writes;
	struct workq *workers;
	struct answers *answers;          /* published releases in memory */
	struct linker *linker;
	struct rotator *rotator;
	struct retention *retention;
	struct backups *backups;
	int64_t started_at;               /* seconds, CLOCK_MONOTONIC */
	unsigned n_threads;
	void (*on_fault)(void *ctx);      /* wakes the main loop; set before requests come */
	void *fault_ctx;

	atomic_bool must_stop;            /* the store or the signer failed, */
	atomic_int fault;                 /* with this code; set before */
	atomic_bool stopping;             /* no new work */
	atomic_size_t intake_bytes;       /* memory held by batches being received */
	atomic_uint n_requests;
	atomic_ullong withdrawals;        /* moves with every withdrawal, before and after its commit: rows have changed */
	atomic_ullong n_answered, n_problems;
	atomic_bool stored_late;          /* a batch had records that were over by the time it was stored */

	struct renewals renewals;         /* main loop */
	bool unlisted_tombstones;         /* writer thread: some may not be in the list outside the store */
	uint64_t cosigned_size;           /* writer thread: of the cosigned checkpoint that is kept, */
	int64_t cosigned_since;           /* and when it was first found to be */

	pthread_mutex_t lock;             /* guards what follows */
	struct history history;
	uint64_t n_batches, n_records;    /* committed */
	struct source_volume volumes[STUDY_MAX_SOURCES];
	struct pipe_counts front;         /* as the front last told */
	int64_t refused_window;           /* start of the minute that is being counted */
	unsigned refused_in_window, refused_dropped;
};

enum {
	CORE_MAX_REQUESTS = 256,
	CORE_WORK_CAPACITY = 2 * CORE_MAX_REQUESTS,
};

/* ---- core.c ---- */

/* Open everything but the pipe. `borrow` conf for the life of the core. */
enum rc core_open(const struct conf *conf, struct core **ret, struct diag *diag) MUST_CHECK;
void core_close(struct core *core);
/* End the workers and the linker: what workers have begun is done, nothing new is begun. A release that is being made is
 * left to the next start, so that no entry of it can follow `stop`. */
void core_drain(struct core *core);
/* What batches and candidate pairs leave of the store's room, for log entries, receipts and releases. */
struct store_reserve core_reserve(const struct core *core);
/* What entries leave that clients cause as often as they like, or that the front says should be: of queries, refusals,
 * renewals. Half of it, for withdrawals, purges, releases, the access file and the next start. */
struct store_reserve core_entry_reserve(const struct core *core);
enum { CORE_ENTRY_BYTES = 512 }; /* of an entry, roughly */
/* A batch was committed (writer thread): count it and let the linker know. */
void core_batch_committed(struct core *core, const struct batch_record *record);
/* Append one entry durably; waits. Not from the writer thread. */
enum rc core_log_entry(struct core *core, enum entry_kind kind, const struct entry_who *who, json_t *fields) MUST_CHECK;
/* The same; *ret_time is the entry's. */
enum rc core_log_entry_time(struct core *core, enum entry_kind kind, const struct entry_who *who, json_t *fields,
                            int64_t *ret_time) MUST_CHECK;
/* The same for several entries, in one transaction; fields are borrowed. NULL: they take the last room. */
struct entry_draft {
	enum entry_kind kind;
	json_t *fields;
};
enum rc core_log_entries(struct core *core, const struct entry_draft *drafts, size_t n,
			 const struct store_reserve *leave) MUST_CHECK;
struct entry_who entry_who_of(const struct identity *identity, enum role role);
/* Like core_log_entry for what the front refused, without waiting, at most so many a minute: the rest is counted. */
struct pipe_refused;
void core_log_refused(struct core *core, const struct pipe_refused *refused);

#endif
