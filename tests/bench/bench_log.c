/* libs: tc_core tc_store tc_audit tc_keys tc_proto */
/* Appends entries to the audit log of a stopped linkage unit through its own writer: each entry a job of its own,
 * durable and signed before it counts, grouped as the writer groups what waits. Prints entries a second by the clock.
 *
 *     bench_log CONFIGURATION N-ENTRIES */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/base/conf.h"
#include "daemon/core/write_queue.h"
#include "proto/route.h"

enum { IN_FLIGHT = 512 }; /* as many requests as the core takes, twice */

struct job {
	struct write_job job;
	struct audit_log *log;
	uint64_t number;
	atomic_bool busy;
};

static atomic_ullong n_done, n_failed;

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What a denial looks like: some 250 bytes. */
static enum rc apply(struct write_job *job, struct txn *txn)
{
	struct job *j = (struct job *)job;
	struct entry_who who = {.client = "clinic-7", .role = "submitter"};
	memcpy(who.fingerprint, &j->number, sizeof j->number);
	json_t *fields = json_pack("{s:s, s:s}", "route", "/v1/tables/{}", "reason", "forbidden");
	enum rc rc = fields == NULL ? RC_NOMEM : audit_log_append(j->log, txn, ENTRY_REFUSED, &who, fields, NULL);
	json_decref(fields);
	return rc;
}

static void done(struct write_job *job, enum rc rc)
{
	struct job *j = (struct job *)job;
	atomic_fetch_add(rc == RC_OK ? &n_done : &n_failed, 1);
	atomic_store(&j->busy, false);
}

static void on_fault(void *ctx, enum rc rc)
{
	fprintf(stderr, "bench_log: the writer failed: %s\n", rc_text(rc));
	exit(1);
}

static void run(struct write_queue *q, struct audit_log *log, uint64_t n)
{
	static struct job jobs[IN_FLIGHT];
	static const struct timespec pause = {0, 100 * 1000};
	double start = seconds();
	uint64_t pushed = 0;
	while (pushed < n) {
		for (size_t i = 0; i < IN_FLIGHT && pushed < n; i++) {
			if (atomic_load(&jobs[i].busy))
				continue;
			jobs[i].job = (struct write_job){.apply = apply, .done = done};
			jobs[i].log = log;
			jobs[i].number = pushed;
			atomic_store(&jobs[i].busy, true);
			if (write_queue_push(q, &jobs[i].job) != RC_OK) {
				atomic_store(&jobs[i].busy, false);
				break;
			}
			pushed++;
		}
		nanosleep(&pause, NULL);
	}
	while (atomic_load(&n_done) + atomic_load(&n_failed) < n)
		nanosleep(&pause, NULL);
	double took = seconds() - start;
	printf("{\"entries\": %llu, \"failed\": %llu, \"seconds\": %.2f, \"entries_per_s\": %.0f, \"log_size\": "
	       "%llu}\n",
	       (unsigned long long)n, (unsigned long long)atomic_load(&n_failed), took, (double)n / took,
	       (unsigned long long)audit_log_signed_size(log));
}

int main(int argc, char **argv)
{
	struct conf conf;
	struct diag diag = {""};
	struct seal *seal = NULL;
	struct store *store = NULL;
	struct log_signer *signer = NULL;
	struct audit_log *log = NULL;
	struct write_queue *q = NULL;
	uint64_t n = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
	if (n == 0) {
		fprintf(stderr, "usage: bench_log CONFIGURATION N-ENTRIES\n");
		return 64;
	}
	enum rc rc = conf_load(argv[1], &conf, &diag);
	struct store_options options = {.directory = conf.store_directory, .map_bytes = conf.store_map_bytes};
	if (rc == RC_OK)
		rc = seal_open_file(conf.seal_key, conf.seal_key_token, &seal, &diag);
	if (rc == RC_OK)
		rc = log_signer_open(conf.log_key, conf.signer_state, conf.log_origin, &signer, &diag);
	if (rc == RC_OK)
		rc = store_open(&options, seal, &store, &diag);
	if (rc == RC_OK)
		rc = audit_log_open(store, signer, NULL, NULL, &log, &diag);
	if (rc == RC_OK)
		rc = write_queue_new(store, log, on_fault, NULL, &q);
	if (rc == RC_OK)
		run(q, log, n);
	else
		fprintf(stderr, "bench_log: %s\n", diag.text[0] != '\0' ? diag.text : rc_text(rc));
	write_queue_free(q);
	audit_log_free(log);
	store_close(store);
	log_signer_close(signer);
	seal_close(seal);
	return rc == RC_OK ? 0 : 1;
}
