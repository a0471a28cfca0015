/* throughcared --check-store: all of a store read, and what is lost of it named, while no daemon runs.
 *
 * LMDB trusts its pages: a damaged one can end the process that reads it. So each part of the check is a child process,
 * and one that is ended by a signal is itself a finding. Parts: every value and chunk opens; every batch has its chunks
 * and its receipt; and what a start compares (log, signer, ledger, releases). */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/confine.h"
#include "daemon/core/batches.h"
#include "daemon/core/core.h"
#include "daemon/store/check.h"
#include "keys/seal.h"

struct look {
	const struct conf *conf;
	struct store *store;
	uint64_t n_lost;
};

static void lost(struct look *look, const char *what, const char *how)
{
	printf("lost: %s: %s\n", what, how);
	look->n_lost++;
}

/* ---- values ---- */

/* Which batch it is, where that can still be read: who must push it again. */
static void print_batch(const struct look *look, uint64_t sequence)
{
	struct batch_record record;
	struct txn *txn = NULL;
	char id[2 * BATCH_ID_LEN + 1];
	enum rc rc = txn_begin_read(look->store, &txn);
	if (rc == RC_OK)
		rc = batches_at(txn, sequence, &record);
	txn_abort(txn);
	if (rc != RC_OK)
		return;
	hex_encode(record.id, BATCH_ID_LEN, id);
	printf("      batch %" PRIu64 " is %s of %s\n", sequence, id, record.source);
}

static void print_fault(void *ctx, const struct store_fault *fault)
{
	struct look *look = ctx;
	char place[STORE_PLACE_CAP];
	struct reader r;
	store_place(fault->key, fault->key_len, place);
	lost(look, place, rc_text(fault->rc));
	if (fault->class != STORE_CHUNK)
		return;
	reader_init(&r, fault->key + 1, fault->key_len - 1);
	print_batch(look, read_u64(&r));
}

static enum rc check_values(struct look *look)
{
	struct store_tally tally;
	struct diag diag = {""};
	enum rc rc = store_check(look->store, print_fault, look, NULL, &tally);
	printf("read: %" PRIu64 " values, %" PRIu64 " of them chunks of records; %" PRIu64 " do not open\n",
	       tally.n_values, tally.n_chunks, tally.n_faults);
	if (rc == RC_OK)
		rc = store_check_counts(look->store, &diag);
	if (diag.text[0] != '\0')
		lost(look, "counted values", diag.text);
	return rc;
}

/* ---- batches ---- */

static enum rc check_one_batch(struct look *look, struct txn *txn, uint64_t sequence)
{
	char what[STORE_PLACE_CAP];
	struct batch_record record;
	struct store_key key;
	snprintf(what, sizeof what, "batch %" PRIu64, sequence);
	enum rc rc = batches_at(txn, sequence, &record);
	if (rc == RC_NOTFOUND)
		lost(look, what, "there is no such batch, though there are later ones");
	if (rc != RC_OK)
		return rc == RC_NOTFOUND || rc == RC_DAMAGED ? RC_OK : rc; /* damaged: named with the values */
	for (uint32_t chunk = 0; chunk < record.n_chunks; chunk++) {
		if (store_has_chunk(txn, sequence, chunk) != RC_NOTFOUND)
			continue;
		snprintf(what, sizeof what, "records of batch %" PRIu64 ", chunk %" PRIu32, sequence, chunk);
		lost(look, what, "they are not there");
		print_batch(look, sequence);
	}
	receipt_key(&key, record.source, record.id);
	snprintf(what, sizeof what, "receipt of batch %" PRIu64, sequence);
	if (store_has(txn, &key) == RC_NOTFOUND)
		printf("note: %s is not there; it is made when the batch is pushed again\n", what);
	return RC_OK;
}

static enum rc check_batches(struct look *look)
{
	struct txn *txn = NULL;
	uint64_t n = 0;
	enum rc rc = txn_begin_read(look->store, &txn);
	if (rc == RC_OK)
		rc = batches_count(txn, &n);
	txn_abort(txn);
	for (uint64_t sequence = 0; rc == RC_OK && sequence < n; sequence++) {
		txn = NULL; /* one each: a damaged record fails its transaction */
		rc = txn_begin_read(look->store, &txn);
		if (rc == RC_OK)
			rc = check_one_batch(look, txn, sequence);
		txn_abort(txn);
	}
	printf("looked for the records of %" PRIu64 " batches\n", n);
	return rc;
}

/* ---- parts ---- */

static enum rc with_store(const struct conf *conf, enum rc (*part)(struct look *))
{
	struct store_options options = {
		.directory = conf->store_directory, .map_bytes = conf->store_map_bytes, .inspect = true};
	struct look look = {.conf = conf};
	struct seal *seal = NULL;
	struct diag diag = {""};
	enum rc rc = seal_open_file(conf->seal_key, conf->seal_key_token, &seal, &diag);
	if (rc == RC_OK)
		rc = confine_process(conf->user, &diag);
	if (rc == RC_OK)
		rc = store_open(&options, seal, &look.store, &diag);
	if (rc != RC_OK)
		printf("the store cannot be opened: %s\n", diag.text[0] != '\0' ? diag.text : rc_text(rc));
	if (rc == RC_OK) {
		rc = part(&look);
		if (rc != RC_OK && look.n_lost == 0)
			printf("reading ended: %s\n", rc_text(rc));
	}
	store_close(look.store);
	seal_close(seal);
	return rc == RC_OK && look.n_lost > 0 ? RC_DAMAGED : rc;
}

static enum rc part_values(const struct conf *conf)
{
	return with_store(conf, check_values);
}

static enum rc part_batches(const struct conf *conf)
{
	return with_store(conf, check_batches);
}

static enum rc part_start(const struct conf *conf)
{
	struct diag diag = {""};
	enum rc rc = core_check(conf, &diag);
	if (rc == RC_OK)
		printf("log, signer, ledger and releases agree: the daemon would start\n");
	else
		printf("the daemon would not start: %s\n", diag.text[0] != '\0' ? diag.text : rc_text(rc));
	return rc;
}

/* Run a part in a child; its result code is its exit status. */
static enum rc run_part(const struct conf *conf, const char *name, enum rc (*part)(const struct conf *))
{
	int status = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		enum rc rc = part(conf);
		fflush(stdout);
		_exit((int)rc);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (pid < 0)
		return RC_NOMEM;
	if (WIFEXITED(status) && WEXITSTATUS(status) < RC_COUNT)
		return (enum rc)WEXITSTATUS(status);
	printf("lost: looking at %s was ended by signal %d: the pages of data.mdb do not hang together\n", name,
	       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	return RC_DAMAGED;
}

enum rc core_check_store(const struct conf *conf)
{
	static const struct {
		const char *name;
		enum rc (*run)(const struct conf *conf);
	} parts[] = {{"values", part_values}, {"batches", part_batches}, {"what a start compares", part_start}};
	enum rc worst = RC_OK;
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		enum rc rc = run_part(conf, parts[i].name, parts[i].run);
		/* Damage says more than what follows from it. */
		if (rc == RC_DAMAGED || worst == RC_OK)
			worst = rc;
		if (rc == RC_CONFLICT || rc == RC_KEY || rc == RC_CONFIG || rc == RC_NOTFOUND)
			break; /* the others would say the same */
	}
	if (worst == RC_OK)
		printf("nothing is lost\n");
	else if (worst == RC_DAMAGED)
		printf("the store is damaged: keep it, and restore a backup (throughcared --restore)\n");
	return worst;
}
