/* Stored batches, read back. Every chunk goes through the full checks of the border again, since the study may have
 * changed and a bug must not turn one kind of value into another. One read transaction a chunk, so that a long walk
 * pins no pages. */
#include "daemon/core/rows.h"

#include "daemon/base/log.h"

enum rc rows_read_chunk(struct core *core, struct txn *txn, const struct batch_record *record, uint32_t i,
			struct batch_chunk **ret)
{
	struct buffer frame;
	struct diag diag = {""};
	int source = study_find_source(core->study, record->source);
	if (source < 0)
		return RC_DAMAGED;
	buffer_init(&frame);
	enum rc rc = store_get_chunk(txn, record->sequence, i, &frame);
	if (rc == RC_OK && frame.len == 1 && frame.data[0] == ROWS_NO_RECORDS) {
		*ret = NULL;
	} else if (rc == RC_OK) {
		rc = batch_chunk_decode(core->study, core->study->sources[source].domain, frame.data, frame.len, ret,
					&diag);
		if (rc != RC_OK && rc != RC_NOMEM) {
			log_error("a stored chunk does not fit the study: %s", diag.text);
			rc = RC_DAMAGED;
		}
	}
	buffer_wipe(&frame);
	return rc == RC_NOTFOUND ? RC_DAMAGED : rc;
}

static enum rc visit_chunk(struct core *core, const struct batch_record *record, uint32_t i, rows_visit visit,
			   void *ctx)
{
	struct batch_chunk *chunk = NULL;
	struct txn *txn = NULL;
	enum rc rc = txn_begin_read(core->store, &txn);
	if (rc == RC_OK)
		rc = rows_read_chunk(core, txn, record, i, &chunk);
	txn_abort(txn);
	if (rc == RC_OK && chunk != NULL) {
		int source = study_find_source(core->study, record->source);
		rc = visit(ctx, source, core->study->sources[source].domain, chunk);
	}
	batch_chunk_free(chunk);
	return rc;
}

enum rc rows_each(struct core *core, uint64_t from, uint64_t to, const atomic_bool *cancel, rows_visit visit, void *ctx)
{
	for (uint64_t sequence = from; sequence < to; sequence++) {
		struct batch_record record;
		struct txn *txn = NULL;
		enum rc rc = txn_begin_read(core->store, &txn);
		if (rc == RC_OK)
			rc = batches_at(txn, sequence, &record);
		txn_abort(txn);
		for (uint32_t i = 0; rc == RC_OK && i < record.n_chunks; i++) {
			if (cancel != NULL && atomic_load(cancel))
				return RC_STOPPING;
			rc = visit_chunk(core, &record, i, visit, ctx);
		}
		if (rc != RC_OK)
			return rc == RC_NOTFOUND ? RC_DAMAGED : rc;
	}
	return RC_OK;
}
