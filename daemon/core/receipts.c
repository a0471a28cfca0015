/* From a checked batch to its receipt.
 *
 * Invariant: batch record, chunks and log entry are of one durable transaction; the receipt is made from the signed log
 * after it, stored in a second one, and only then sent. A batch that this source has sent before gets the stored bytes
 * again; if a crash came between the two transactions its receipt is made then, from the same entry. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/intake.h"
#include "daemon/core/linker.h"
#include "daemon/core/retention.h"
#include "proto/json.h"

struct batch_job {
	struct write_job job; /* first: cast back from it */
	struct core *core;
	struct request *request;
	struct entry_who who;
	struct checked_batch batch;
	struct batch_record record; /* as it stands in the store */
	bool known;
	struct buffer receipt;
};

static json_t *batch_fields(const struct batch_record *record)
{
	char id[2 * BATCH_ID_LEN + 1], encoding[65];
	hex_encode(record->id, BATCH_ID_LEN, id);
	hex_encode(record->encoding_id, 32, encoding);
	return json_pack("{s:s, s:s, s:I, s:i, s:s}", "source", record->source, "batch", id, "records",
			 (json_int_t)record->n_records, "chunks", (int)record->n_chunks, "encoding_id", encoding);
}

static enum rc store_batch(struct batch_job *b, struct txn *txn)
{
	struct batch_record *record = &b->record;
	*record = b->batch.record;
	enum rc rc = batches_count(txn, &record->sequence);
	if (rc != RC_OK)
		return rc;
	json_t *fields = batch_fields(record);
	if (fields == NULL)
		return RC_NOMEM;
	rc = audit_log_append(b->core->log, txn, ENTRY_BATCH, &b->who, fields, &record->log_index);
	json_decref(fields);
	if (rc == RC_OK)
		rc = batches_put(txn, record);
	for (uint32_t i = 0; i < record->n_chunks && rc == RC_OK; i++)
		rc = store_put_chunk(txn, record->sequence, i, b->batch.frames[i].data, b->batch.frames[i].len);
	return rc;
}

static enum rc batch_apply(struct write_job *job, struct txn *txn)
{
	struct batch_job *b = (struct batch_job *)job;
	enum rc rc = batches_find(txn, b->batch.record.source, b->batch.record.id, &b->record);
	b->known = rc == RC_OK;
	if (rc != RC_NOTFOUND)
		return rc;
	/* Something was withdrawn since its records were looked at; a second look is the sender's. */
	if (atomic_load(&b->core->withdrawals) != b->batch.withdrawals)
		return RC_BUSY;
	return store_batch(b, txn);
}

static enum rc make_receipt(struct batch_job *b, struct txn *txn)
{
	struct buffer entry, proof;
	buffer_init(&entry);
	buffer_init(&proof);
	enum rc rc = audit_log_entry(txn, b->record.log_index, &entry);
	if (rc == RC_OK)
		rc = audit_log_proof(b->core->log, b->record.log_index, &proof);
	/* The receipt holds texts: end both with a NUL. */
	buffer_append(&entry, "", 1);
	buffer_append(&proof, "", 1);
	if (rc == RC_OK && (entry.failed || proof.failed))
		rc = RC_NOMEM;
	if (rc == RC_OK) {
		struct receipt receipt = {
			.n_records = b->record.n_records,
			.index = b->record.log_index,
			.entry = (char *)entry.data,
			.proof = (char *)proof.data,
		};
		memcpy(receipt.batch_id, b->record.id, sizeof receipt.batch_id);
		memcpy(receipt.source, b->record.source, sizeof receipt.source);
		rc = receipt_format(&receipt, &b->receipt);
	}
	buffer_deinit(&entry);
	buffer_deinit(&proof);
	return rc;
}

static enum rc batch_settle(struct write_job *job, struct txn *txn)
{
	struct batch_job *b = (struct batch_job *)job;
	struct store_key key;
	buffer_reset(&b->receipt);
	receipt_key(&key, b->record.source, b->record.id);
	enum rc rc = store_get(txn, &key, &b->receipt);
	if (rc != RC_NOTFOUND)
		return rc;
	rc = make_receipt(b, txn);
	return rc == RC_OK ? store_put(txn, &key, b->receipt.data, b->receipt.len) : rc;
}

static void batch_job_free(struct batch_job *b)
{
	checked_batch_deinit(b->core, &b->batch);
	buffer_deinit(&b->receipt);
	request_unref(b->request);
	free(b);
}

static void batch_done(struct write_job *job, enum rc rc)
{
	struct batch_job *b = (struct batch_job *)job;
	/* Committed is committed, whether or not there was room for the receipt: the client is to ask again. */
	if (job->committed && !b->known) {
		core_batch_committed(b->core, &b->record);
		/* The upload began yesterday; the day's look may have been before this. */
		if (b->batch.oldest_day < retention_first_day(b->core))
			atomic_store(&b->core->stored_late, true);
	}
	if (job->committed && rc == RC_NOSPACE)
		rc = RC_BUSY;
	if (rc == RC_OK)
		request_reply_text(b->request, b->known ? 200 : 201, MEDIA_JSON, &b->receipt);
	else
		request_problem(b->request, rc, NULL);
	batch_job_free(b);
}

bool batch_answer_known(struct request *request, const struct checked_batch *batch)
{
	struct core *core = request_core(request);
	struct store_key key;
	struct buffer receipt;
	struct txn *txn = NULL;
	buffer_init(&receipt);
	receipt_key(&key, batch->record.source, batch->record.id);
	enum rc rc = txn_begin_read(core->store, &txn);
	if (rc == RC_OK)
		rc = store_get(txn, &key, &receipt);
	txn_abort(txn);
	if (rc == RC_OK)
		request_reply_text(request, 200, MEDIA_JSON, &receipt);
	buffer_deinit(&receipt);
	return rc == RC_OK;
}

void batch_commit(struct request *request, struct checked_batch *batch)
{
	struct core *core = request_core(request);
	struct batch_job *b = calloc(1, sizeof *b);
	if (b == NULL) {
		request_problem(request, RC_NOMEM, NULL);
		return;
	}
	b->job = (struct write_job){
		.apply = batch_apply, .settle = batch_settle, .done = batch_done, .bytes = batch->bytes};
	b->core = core;
	b->request = request;
	b->who = entry_who_of(&request_head(request)->who, ROLE_SUBMITTER);
	b->batch = *batch;
	memset(batch, 0, sizeof *batch);
	buffer_init(&b->receipt);
	request_ref(request);
	enum rc rc = write_queue_push(core->writes, &b->job);
	if (rc != RC_OK) {
		request_problem(request, rc, NULL);
		batch_job_free(b);
	}
}

/* ---- GET /v1/batches/{id} ---- */

static enum rc batch_status(struct request *request, json_t **ret_answer)
{
	struct core *core = request_core(request);
	const struct pipe_request *head = request_head(request);
	struct batch_record record;
	struct txn *txn = NULL;
	uint8_t id[BATCH_ID_LEN];
	char hex[2 * BATCH_ID_LEN + 1];
	if (hex_decode(head->argument, strlen(head->argument), id, sizeof id) != RC_OK)
		return RC_NOTFOUND;
	enum rc rc = txn_begin_read(core->store, &txn);
	if (rc == RC_OK)
		rc = batches_find(txn, head->who.source, id, &record);
	txn_abort(txn);
	if (rc != RC_OK)
		return rc;
	pthread_mutex_lock(&core->lock);
	uint32_t release = history_release_of(&core->history, record.sequence);
	pthread_mutex_unlock(&core->lock);
	hex_encode(id, sizeof id, hex);
	*ret_answer =
		json_pack("{s:s, s:b, s:I, s:b, s:o}", "batch", hex, "stored", 1, "index", (json_int_t)record.log_index,
			  "compared", linker_has_compared(core->linker, record.sequence), "release",
			  release == 0 ? json_null() : json_integer((json_int_t)release));
	return RC_OK;
}

void batch_status_run(struct request *request, const uint8_t *body, size_t len)
{
	json_t *answer = NULL;
	enum rc rc = batch_status(request, &answer);
	if (rc == RC_OK)
		request_reply_json(request, 200, answer);
	else
		request_problem(request, rc, rc == RC_NOTFOUND ? "this source has sent no such batch" : NULL);
}
