/* The way of a batch into the core: inflate, check, keep the frames until the whole of it is known to be good.
 *
 * Invariant: nothing of a batch reaches the store before its last byte was checked, so a rejected one leaves no trace
 * but a line in the log that says who, why and how many bytes. Memory is bounded twice: a batch by BATCH_MAX_BYTES, all
 * that are being received, with the ids of their records, by max_intake_bytes; also where nothing can be stored and no
 * frame is kept. */
#include "daemon/core/intake.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/retention.h"
#include "daemon/core/tombstones.h"

enum {
	ID_BYTES = 4 * RECORD_ID_LEN, /* a record takes of the reader's set of ids, while that grows */
};
static const size_t max_intake_bytes = (size_t)8 * BATCH_MAX_BYTES;

struct intake {
	struct request *request; /* borrowed: it owns this */
	struct core *core;
	struct inflater *inflater;
	struct batch_reader *reader; /* NULL for the JSON form until it is whole */
	struct buffer json;
	struct checked_batch batch;
	size_t id_bytes; /* charged for the ids that the reader keeps */
	uint64_t bytes_seen;
	int32_t first_day;  /* events before it are over by the study's retention */
	uint64_t expired;   /* number of the first record that is, from 1; 0 = none */
	uint64_t withdrawn; /* number of the first record that was withdrawn, from 1; 0 = none */
	bool no_room;       /* frames are not kept: only a known batch can be answered */
	struct diag diag;
};

/* ---- memory ---- */

static enum rc take_memory(struct core *core, size_t bytes)
{
	size_t before = atomic_fetch_add(&core->intake_bytes, bytes);
	if (before + bytes <= max_intake_bytes)
		return RC_OK;
	atomic_fetch_sub(&core->intake_bytes, bytes);
	return RC_BUSY;
}

static void give_memory(struct core *core, size_t bytes)
{
	atomic_fetch_sub(&core->intake_bytes, bytes);
}

void checked_batch_deinit(struct core *core, struct checked_batch *batch)
{
	for (uint32_t i = 0; i < batch->record.n_chunks; i++) {
		explicit_bzero(batch->frames[i].data, batch->frames[i].len);
		free(batch->frames[i].data);
	}
	free(batch->frames);
	give_memory(core, batch->bytes);
	memset(batch, 0, sizeof *batch);
}

void intake_free(void *state)
{
	struct intake *intake = state;
	if (intake == NULL)
		return;
	batch_reader_free(intake->reader);
	inflater_free(intake->inflater);
	give_memory(intake->core, intake->id_bytes);
	give_memory(intake->core, intake->json.len);
	buffer_wipe(&intake->json);
	checked_batch_deinit(intake->core, &intake->batch);
	free(intake);
}

/* ---- checked pieces ---- */

static enum rc on_header(void *ctx, const struct batch_header *header, int source, int domain)
{
	struct intake *intake = ctx;
	struct batch_record *record = &intake->batch.record;
	if (strcmp(header->source, request_head(intake->request)->who.source) != 0)
		return diag_set(&intake->diag, RC_SOURCE,
				"header: the batch says it comes from another source than the certificate");
	memcpy(record->source, header->source, sizeof record->source);
	memcpy(record->encoding_id, header->encoding_id, sizeof record->encoding_id);
	return RC_OK;
}

static enum rc grow_frames(struct checked_batch *batch)
{
	if (batch->record.n_chunks < batch->cap_frames)
		return RC_OK;
	size_t cap = batch->cap_frames == 0 ? 16 : 2 * batch->cap_frames;
	struct checked_frame *grown = realloc(batch->frames, cap * sizeof *grown);
	if (grown == NULL)
		return RC_NOMEM;
	batch->frames = grown;
	batch->cap_frames = cap;
	return RC_OK;
}

/* A known batch is answered even so; nothing of it is stored again. */
static enum rc check_withdrawn(struct intake *intake, const struct batch_chunk *chunk)
{
	struct txn *txn = NULL;
	uint32_t record;
	if (intake->withdrawn != 0)
		return RC_OK;
	enum rc rc = txn_begin_read(intake->core->store, &txn);
	if (rc == RC_OK)
		rc = tombstones_check(txn, intake->batch.record.source, chunk, &record);
	txn_abort(txn);
	if (rc != RC_CONFLICT)
		return rc;
	intake->withdrawn = intake->batch.record.n_records + record + 1;
	return RC_OK;
}

static void check_retention(struct intake *intake, const struct batch_chunk *chunk)
{
	for (uint32_t i = 0; i < chunk->n_records && intake->expired == 0; i++) {
		if (chunk->days[i] < intake->first_day)
			intake->expired = intake->batch.record.n_records + i + 1;
		if (chunk->days[i] < intake->batch.oldest_day)
			intake->batch.oldest_day = chunk->days[i];
	}
}

static enum rc take_ids(struct intake *intake, uint32_t n_records)
{
	size_t bytes = (size_t)n_records * ID_BYTES;
	enum rc rc = take_memory(intake->core, bytes);
	if (rc == RC_OK)
		intake->id_bytes += bytes;
	return rc;
}

static enum rc on_chunk(void *ctx, struct batch_chunk *chunk, const uint8_t *frame, size_t frame_len)
{
	struct intake *intake = ctx;
	struct checked_batch *batch = &intake->batch;
	enum rc rc = take_ids(intake, chunk->n_records);
	if (rc == RC_OK)
		rc = check_withdrawn(intake, chunk);
	check_retention(intake, chunk);
	batch->record.n_records += chunk->n_records;
	batch_chunk_free(chunk);
	if (rc != RC_OK || intake->no_room)
		return rc;
	rc = take_memory(intake->core, frame_len);
	if (rc != RC_OK)
		return rc;
	rc = grow_frames(batch);
	uint8_t *copy = rc == RC_OK ? malloc(frame_len) : NULL;
	if (copy == NULL) {
		give_memory(intake->core, frame_len);
		return RC_NOMEM;
	}
	memcpy(copy, frame, frame_len);
	batch->frames[batch->record.n_chunks++] = (struct checked_frame){copy, frame_len};
	batch->bytes += frame_len;
	return RC_OK;
}

static enum rc feed_reader(struct intake *intake, const uint8_t *data, size_t len)
{
	struct diag diag = {""};
	enum rc rc = batch_reader_feed(intake->reader, data, len, &diag);
	/* What a callback of ours said is better than what the reader says of it. */
	if (rc != RC_OK && intake->diag.text[0] == '\0')
		intake->diag = diag;
	return rc;
}

static enum rc take_inflated(void *ctx, const uint8_t *data, size_t len)
{
	struct intake *intake = ctx;
	if (intake->reader != NULL)
		return feed_reader(intake, data, len);
	enum rc rc = take_memory(intake->core, len);
	if (rc != RC_OK)
		return rc;
	buffer_append(&intake->json, data, len);
	if (intake->json.failed) {
		give_memory(intake->core, len);
		return RC_NOMEM;
	}
	return RC_OK;
}

/* ---- beginning and refusing ---- */

static enum rc check_room(struct core *core, int64_t content_length)
{
	struct store_reserve reserve = core_reserve(core);
	return store_check_room(core->store, content_length > 0 ? (uint64_t)content_length : 0, &reserve);
}

static enum rc new_reader(struct intake *intake)
{
	struct batch_sink sink = {.on_header = on_header, .on_chunk = on_chunk, .ctx = intake};
	struct batch_limits limits = {.max_bytes = BATCH_MAX_BYTES};
	return batch_reader_new(intake->core->study, &sink, &limits, &intake->reader);
}

static enum rc begin(struct request *request, struct intake **ret)
{
	struct core *core = request_core(request);
	const struct pipe_request *head = request_head(request);
	struct intake *intake = calloc(1, sizeof *intake);
	if (intake == NULL)
		return RC_NOMEM;
	intake->request = request;
	intake->core = core;
	buffer_init(&intake->json);
	intake->first_day = retention_first_day(core);
	intake->batch.oldest_day = INT32_MAX;
	intake->batch.withdrawals = atomic_load(&core->withdrawals);
	*request_state(request) = intake;
	*ret = intake;
	if (atomic_load(&core->stopping))
		return RC_STOPPING;
	if (study_find_source(core->study, head->who.source) < 0)
		return diag_set(&intake->diag, RC_SOURCE, "the study has no source of the certificate's name");
	enum rc rc = check_room(core, head->content_length);
	/* A batch that is here already has its receipt even so, and which batch it is is known at its end. */
	intake->no_room = rc == RC_NOSPACE;
	if (rc == RC_OK || rc == RC_NOSPACE)
		rc = inflater_new(head->encoding, BATCH_MAX_BYTES, &intake->inflater);
	if (rc == RC_OK && head->content == CONTENT_NONE)
		rc = RC_MEDIA_TYPE;
	if (rc == RC_OK && head->content == CONTENT_PROTOBUF)
		rc = new_reader(intake);
	return rc;
}

/* Whose fault it is decides whether it stands in the log: our own lack of room is not the submitter's doing. */
static bool is_submitters_fault(enum rc rc)
{
	int status = rc_http_status(rc);
	return status >= 400 && status < 500;
}

static void reject(struct intake *intake, enum rc rc)
{
	struct request *request = intake->request;
	const struct pipe_request *head = request_head(request);
	if (is_submitters_fault(rc) && !request_is_cancelled(request)) {
		struct entry_who who = entry_who_of(&head->who, ROLE_SUBMITTER);
		json_t *fields = json_pack("{s:s, s:s, s:I}", "source", head->who.source, "reason", rc_name(rc),
					   "bytes", (json_int_t)intake->bytes_seen);
		enum rc logged = core_log_entry(intake->core, ENTRY_BATCH_REJECTED, &who, fields);
		json_decref(fields);
		if (logged != RC_OK) {
			request_problem(request, logged, NULL);
			return;
		}
	}
	request_problem(request, rc, intake->diag.text);
}

enum rc intake_feed(struct request *request, const uint8_t *data, size_t len)
{
	struct intake *intake = *request_state(request);
	enum rc rc = RC_OK;
	if (intake == NULL) {
		rc = begin(request, &intake);
		if (rc == RC_NOMEM && *request_state(request) == NULL) {
			request_problem(request, rc, NULL);
			return rc;
		}
	}
	intake->bytes_seen += len;
	if (rc == RC_OK)
		rc = inflater_feed(intake->inflater, data, len, take_inflated, intake);
	if (rc != RC_OK)
		reject(intake, rc);
	return rc;
}

/* The JSON form is transcoded to the frames it stands for, and those go the same way. */
static enum rc finish_json(struct intake *intake)
{
	struct buffer frames;
	buffer_init(&frames);
	enum rc rc = new_reader(intake);
	if (rc == RC_OK)
		rc = batch_from_json(intake->core->study, (const char *)intake->json.data, intake->json.len, &frames,
				     &intake->diag);
	give_memory(intake->core, intake->json.len);
	buffer_wipe(&intake->json);
	buffer_init(&intake->json);
	if (rc == RC_OK)
		rc = feed_reader(intake, frames.data, frames.len);
	buffer_wipe(&frames);
	return rc;
}

void intake_run(struct request *request, const uint8_t *body, size_t len)
{
	struct intake *intake = *request_state(request);
	struct diag diag = {""};
	uint64_t n_records;
	if (intake == NULL) {
		request_problem(request, RC_TRUNCATED, "the body is empty");
		return;
	}
	enum rc rc = inflater_end(intake->inflater);
	if (rc == RC_OK && intake->reader == NULL)
		rc = finish_json(intake);
	if (rc == RC_OK) {
		rc = batch_reader_end(intake->reader, intake->batch.record.id, &n_records, &diag);
		if (rc != RC_OK)
			intake->diag = diag;
		else if (n_records != intake->batch.record.n_records)
			rc = RC_INTERNAL;
	}
	if (rc == RC_OK && batch_answer_known(request, &intake->batch))
		return;
	if (rc == RC_OK && intake->withdrawn != 0)
		rc = diag_set(&intake->diag, RC_CONFLICT, "record %" PRIu64 " of the batch was withdrawn; leave it out",
			      intake->withdrawn);
	if (rc == RC_OK && intake->expired != 0)
		rc = diag_set(&intake->diag, RC_NOT_ALLOWED,
			      "the event of record %" PRIu64 " of the batch is longer ago than the study keeps records "
			      "(retention.years); leave it out",
			      intake->expired);
	if (rc == RC_OK && intake->no_room)
		rc = RC_NOSPACE;
	if (rc != RC_OK)
		reject(intake, rc);
	else
		batch_commit(request, &intake->batch);
}
