/* POST /v1/withdrawals: erase records by their ids.
 *
 * Chunks that hold one are sealed again without it under a new key, and the old key is destroyed, so that no page and
 * no free space of the store gives the record back. A tombstone (source, keyed digest of the id) keeps it from being
 * pushed again. Invariant: tombstones, resealed chunks and the log's entry are of one durable transaction; the old keys
 * are destroyed before the answer is given, at the latest by the next start. Chunks are looked for outside the write
 * transaction; in it, only whether this source has sent more since. Many chunks are done in several slices, each with
 * an entry that tells what it did; whoever was interrupted asks again, and nothing is erased twice. */
#include "daemon/core/withdrawals.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/handlers.h"
#include "daemon/core/linker.h"
#include "daemon/core/pairs.h"
#include "daemon/core/rows.h"
#include "keys/key_file.h"
#include "proto/json.h"

enum { MAX_IDS = 1000, SLICE_CHUNKS = 8, TAG_LEN = 32 };

struct place {
	uint64_t sequence;
	uint32_t chunk;
};

struct withdrawal {
	struct core *core;
	const char *source;
	const struct study_domain *domain;
	int domain_index;
	struct entry_who who;
	uint8_t (*ids)[RECORD_ID_LEN]; /* ascending, each once */
	size_t n_ids;
	struct place *places;
	size_t n_places, cap_places;
	uint64_t scanned; /* batches looked through */
	uint64_t n_removed, log_index;
	struct diag diag;
};

/* ---- tombstones ---- */

/* Random, sealed in the store: the tag of an id outlives a change of the sealing key. */
static void tag_key_name(struct store_key *key)
{
	store_key_init(key, STORE_META);
	store_key_string(key, "tombstones");
}

static enum rc read_tag_key(struct txn *txn, uint8_t ret[32])
{
	struct store_key key;
	struct buffer value;
	buffer_init(&value);
	tag_key_name(&key);
	enum rc rc = store_get(txn, &key, &value);
	if (rc == RC_OK && value.len != 32)
		rc = RC_DAMAGED;
	if (rc == RC_OK)
		memcpy(ret, value.data, 32);
	buffer_wipe(&value);
	return rc;
}

static enum rc tombstone_key(const uint8_t tag_key[32], const char *source, const uint8_t id[RECORD_ID_LEN],
			     struct store_key *ret)
{
	uint8_t text[STUDY_NAME_CAP + RECORD_ID_LEN], tag[TAG_LEN];
	size_t len = strlen(source) + 1;
	memcpy(text, source, len);
	memcpy(text + len, id, RECORD_ID_LEN);
	enum rc rc = hmac_sha256(tag_key, 32, text, len + RECORD_ID_LEN, tag);
	store_key_init(ret, STORE_TOMBSTONE);
	store_key_string(ret, source);
	store_key_bytes(ret, tag, sizeof tag);
	return rc;
}

enum rc withdrawals_check(struct txn *txn, const char *source, const struct batch_chunk *chunk, uint32_t *ret_record)
{
	uint8_t tag_key[32];
	struct store_key key;
	enum rc rc = read_tag_key(txn, tag_key);
	if (rc == RC_NOTFOUND)
		return RC_OK; /* nothing was ever withdrawn */
	for (uint32_t i = 0; i < chunk->n_records && rc == RC_OK; i++) {
		rc = tombstone_key(tag_key, source, chunk->record_ids[i], &key);
		if (rc == RC_OK)
			rc = store_has(txn, &key);
		if (rc == RC_OK) {
			*ret_record = i;
			rc = RC_CONFLICT;
		} else if (rc == RC_NOTFOUND) {
			rc = RC_OK;
		}
	}
	explicit_bzero(tag_key, sizeof tag_key);
	return rc;
}

static enum rc put_tombstones(const struct withdrawal *w, struct txn *txn)
{
	uint8_t tag_key[32];
	struct store_key key;
	enum rc rc = read_tag_key(txn, tag_key);
	if (rc == RC_NOTFOUND) {
		tag_key_name(&key);
		rc = random_bytes(tag_key, sizeof tag_key);
		if (rc == RC_OK)
			rc = store_put(txn, &key, tag_key, sizeof tag_key);
	}
	for (size_t i = 0; i < w->n_ids && rc == RC_OK; i++) {
		rc = tombstone_key(tag_key, w->source, w->ids[i], &key);
		if (rc == RC_OK)
			rc = store_put(txn, &key, "", 0);
	}
	explicit_bzero(tag_key, sizeof tag_key);
	return rc;
}

/* ---- looking for the records ---- */

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, RECORD_ID_LEN);
}

static bool is_withdrawn(const struct withdrawal *w, const uint8_t id[RECORD_ID_LEN])
{
	return bsearch(id, w->ids, w->n_ids, sizeof w->ids[0], compare_ids) != NULL;
}

static enum rc add_place(struct withdrawal *w, uint64_t sequence, uint32_t chunk)
{
	if (w->n_places == w->cap_places) {
		size_t cap = w->cap_places == 0 ? 16 : 2 * w->cap_places;
		struct place *grown = reallocarray(w->places, cap, sizeof *grown);
		if (grown == NULL)
			return RC_NOMEM;
		w->places = grown;
		w->cap_places = cap;
	}
	w->places[w->n_places++] = (struct place){sequence, chunk};
	return RC_OK;
}

static enum rc scan_chunk(struct withdrawal *w, const struct batch_record *record, uint32_t i)
{
	struct batch_chunk *chunk = NULL;
	struct txn *txn = NULL;
	bool found = false;
	enum rc rc = txn_begin_read(w->core->store, &txn);
	if (rc == RC_OK)
		rc = rows_read_chunk(w->core, txn, record, i, &chunk);
	txn_abort(txn);
	for (uint32_t k = 0; rc == RC_OK && chunk != NULL && k < chunk->n_records && !found; k++)
		found = is_withdrawn(w, chunk->record_ids[k]);
	batch_chunk_free(chunk);
	return rc == RC_OK && found ? add_place(w, record->sequence, i) : rc;
}

/* All batches that are there and were not looked through yet. */
static enum rc scan(struct withdrawal *w)
{
	struct batch_record record;
	struct txn *txn = NULL;
	uint64_t n_batches = 0;
	enum rc rc = txn_begin_read(w->core->store, &txn);
	if (rc == RC_OK)
		rc = batches_count(txn, &n_batches);
	txn_abort(txn);
	for (; rc == RC_OK && w->scanned < n_batches; w->scanned += rc == RC_OK) {
		txn = NULL;
		rc = txn_begin_read(w->core->store, &txn);
		if (rc == RC_OK)
			rc = batches_at(txn, w->scanned, &record);
		txn_abort(txn);
		if (rc != RC_OK || strcmp(record.source, w->source) != 0)
			continue;
		for (uint32_t i = 0; i < record.n_chunks && rc == RC_OK; i++)
			rc = atomic_load(&w->core->stopping) ? RC_STOPPING : scan_chunk(w, &record, i);
	}
	return rc == RC_NOTFOUND ? RC_DAMAGED : rc;
}

/* ---- one slice ---- */

struct slice_job {
	struct write_job job; /* first: cast back from it */
	struct withdrawal *w;
	const struct place *places;
	size_t n_places;
	bool first;
	struct buffer frames[SLICE_CHUNKS]; /* what the chunks are from now on */
	uint64_t n_removed;
};

/* Has this source sent anything that was not looked through? Nobody else writes while this is asked. */
static enum rc check_nothing_new(const struct withdrawal *w, struct txn *txn)
{
	struct batch_record record;
	uint64_t n_batches;
	enum rc rc = batches_count(txn, &n_batches);
	for (uint64_t s = w->scanned; rc == RC_OK && s < n_batches; s++) {
		rc = batches_at(txn, s, &record);
		if (rc == RC_OK && strcmp(record.source, w->source) == 0)
			rc = RC_BUSY;
	}
	return rc;
}

static void copy_record(const struct study *study, const struct study_domain *domain, struct batch_chunk *chunk,
			uint32_t to, uint32_t from)
{
	memcpy(chunk->record_ids[to], chunk->record_ids[from], RECORD_ID_LEN);
	chunk->revisions[to] = chunk->revisions[from];
	memcpy(chunk->person_ids[to], chunk->person_ids[from], PERSON_ID_LEN);
	for (int f = 0; f < domain->n_filters; f++) {
		size_t len = study_filter_bytes(domain, f);
		memcpy(chunk->filters[f] + to * len, chunk->filters[f] + from * len, len);
		chunk->missing[f][to] = chunk->missing[f][from];
	}
	chunk->events[to] = chunk->events[from];
	chunk->days[to] = chunk->days[from];
	for (int d = 0; d < study->n_dimensions; d++)
		chunk->codes[d][to] = chunk->codes[d][from];
}

/* The chunk without the withdrawn records, encoded. */
static enum rc make_frame(struct slice_job *slice, struct txn *txn, const struct place *place, struct buffer *out)
{
	struct withdrawal *w = slice->w;
	const struct study *study = w->core->study;
	struct batch_record record;
	struct batch_chunk *chunk = NULL;
	static const uint8_t no_records = ROWS_NO_RECORDS;
	uint32_t kept = 0;
	enum rc rc = batches_at(txn, place->sequence, &record);
	if (rc == RC_OK)
		rc = rows_read_chunk(w->core, txn, &record, place->chunk, &chunk);
	if (rc != RC_OK)
		return rc == RC_NOTFOUND ? RC_DAMAGED : rc;
	uint32_t n = chunk == NULL ? 0 : chunk->n_records;
	for (uint32_t i = 0; i < n; i++) {
		if (is_withdrawn(w, chunk->record_ids[i]))
			continue;
		if (kept < i)
			copy_record(study, w->domain, chunk, kept, i);
		kept++;
	}
	slice->n_removed += n - kept;
	if (kept > 0) {
		chunk->n_records = kept;
		rc = batch_chunk_encode(study, w->domain_index, chunk, out);
		chunk->n_records = n;
	} else {
		buffer_append(out, &no_records, 1);
	}
	batch_chunk_free(chunk);
	return rc == RC_OK && out->failed ? RC_NOMEM : rc;
}

static void drop_frames(struct slice_job *slice)
{
	for (size_t i = 0; i < SLICE_CHUNKS; i++) {
		buffer_wipe(&slice->frames[i]);
		buffer_init(&slice->frames[i]);
	}
}

static enum rc log_slice(struct slice_job *slice, struct txn *txn)
{
	struct withdrawal *w = slice->w;
	json_t *fields =
		json_pack("{s:s, s:I, s:I, s:I}", "source", w->source, "ids", (json_int_t)(slice->first ? w->n_ids : 0),
			  "records", (json_int_t)slice->n_removed, "chunks", (json_int_t)slice->n_places);
	if (fields == NULL)
		return RC_NOMEM;
	enum rc rc = audit_log_append(w->core->log, txn, ENTRY_WITHDRAWAL, &w->who, fields, &w->log_index);
	json_decref(fields);
	return rc;
}

static enum rc slice_apply(struct write_job *job, struct txn *txn)
{
	struct slice_job *slice = (struct slice_job *)job;
	struct withdrawal *w = slice->w;
	slice->n_removed = 0;
	drop_frames(slice);
	enum rc rc = slice->first ? check_nothing_new(w, txn) : RC_OK;
	for (size_t i = 0; i < slice->n_places && rc == RC_OK; i++)
		rc = make_frame(slice, txn, &slice->places[i], &slice->frames[i]);
	if (rc != RC_OK)
		return rc;
	/* From here on it is written. Batches that were checked against fewer tombstones must be checked again. */
	atomic_fetch_add(&w->core->withdrawals, 1);
	if (slice->first)
		rc = put_tombstones(w, txn);
	for (size_t i = 0; i < slice->n_places && rc == RC_OK; i++)
		rc = store_replace_chunk(txn, slice->places[i].sequence, slice->places[i].chunk, slice->frames[i].data,
					 slice->frames[i].len);
	if (rc == RC_OK && slice->n_places > 0)
		rc = pairs_rows_changed(txn, w->domain);
	return rc == RC_OK ? log_slice(slice, txn) : rc;
}

static enum rc slice_settle(struct write_job *job, struct txn *txn)
{
	return store_destroy_replaced(txn);
}

static void slice_done(struct write_job *job, enum rc rc)
{
	struct slice_job *slice = (struct slice_job *)job;
	struct core *core = slice->w->core;
	if (!job->committed)
		return;
	pthread_mutex_lock(&core->lock);
	core->history.n_withdrawn += slice->n_removed;
	pthread_mutex_unlock(&core->lock);
	slice->w->n_removed += slice->n_removed;
	/* Who looked between the two saw the old rows. */
	atomic_fetch_add(&core->withdrawals, 1);
	linker_wake(core->linker);
}

static enum rc run_slice(struct withdrawal *w, size_t at, size_t n)
{
	struct slice_job slice = {
		.job = {.apply = slice_apply, .settle = slice_settle, .done = slice_done},
		.w = w,
		.places = w->places + at,
		.n_places = n,
		.first = at == 0,
	};
	for (size_t i = 0; i < SLICE_CHUNKS; i++)
		buffer_init(&slice.frames[i]);
	slice.job.bytes = n * CHUNK_MAX_BYTES;
	enum rc rc = write_queue_call(w->core->writes, &slice.job);
	drop_frames(&slice);
	return rc;
}

static enum rc withdraw(struct withdrawal *w)
{
	enum { TRIES = 20 };
	size_t at = 0;
	enum rc rc = RC_BUSY;
	for (int i = 0; i < TRIES && rc == RC_BUSY; i++) {
		rc = scan(w);
		at = w->n_places < SLICE_CHUNKS ? w->n_places : SLICE_CHUNKS;
		if (rc == RC_OK)
			rc = run_slice(w, 0, at);
	}
	/* Now the tombstones are there: no more can come. */
	while (rc == RC_OK && at < w->n_places) {
		size_t n = w->n_places - at < SLICE_CHUNKS ? w->n_places - at : SLICE_CHUNKS;
		rc = run_slice(w, at, n);
		at += n;
	}
	return rc;
}

/* ---- the request ---- */

static enum rc parse_ids(struct withdrawal *w, const json_t *root)
{
	const json_t *list = json_object_get(root, "record_ids");
	size_t n = json_array_size(list);
	if (!json_is_array(list) || json_object_size(root) != 1 || n == 0 || n > MAX_IDS)
		return diag_set(&w->diag, RC_INVALID,
				"expected {\"record_ids\": [\"32 hex digits\", …]} with 1 to %d of them", MAX_IDS);
	w->ids = calloc(n, sizeof *w->ids);
	if (w->ids == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < n; i++) {
		const json_t *id = json_array_get(list, i);
		if (!json_is_string(id) ||
		    hex_decode(json_string_value(id), json_string_length(id), w->ids[i], RECORD_ID_LEN) != RC_OK)
			return diag_set(&w->diag, RC_INVALID, "record_ids: item %zu: expected 32 hex digits", i + 1);
	}
	qsort(w->ids, n, sizeof *w->ids, compare_ids);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || compare_ids(w->ids[i], w->ids[w->n_ids - 1]) != 0)
			memmove(w->ids[w->n_ids++], w->ids[i], RECORD_ID_LEN);
	}
	return RC_OK;
}

static enum rc prepare(struct withdrawal *w, const struct pipe_request *head, const uint8_t *body, size_t len)
{
	json_t *root = NULL;
	const struct study *study = w->core->study;
	int source = study_find_source(study, w->source);
	if (head->content != CONTENT_JSON || head->encoding != ENCODING_IDENTITY)
		return diag_set(&w->diag, RC_MEDIA_TYPE, "expected application/json without Content-Encoding");
	if (source < 0)
		return diag_set(&w->diag, RC_SOURCE, "the study has no source of the certificate's name");
	w->domain_index = study->sources[source].domain;
	w->domain = &study->domains[w->domain_index];
	enum rc rc = json_parse_strict((const char *)body, len, &root, &w->diag);
	if (rc == RC_OK)
		rc = parse_ids(w, root);
	json_decref(root);
	return rc;
}

void withdrawal_run(struct request *request, const uint8_t *body, size_t len)
{
	const struct pipe_request *head = request_head(request);
	struct withdrawal w = {.core = request_core(request), .source = head->who.source};
	struct buffer out;
	buffer_init(&out);
	w.who = entry_who_of(&head->who, ROLE_SUBMITTER);
	enum rc rc = prepare(&w, head, body, len);
	if (rc == RC_OK)
		rc = withdraw(&w);
	if (rc == RC_OK) {
		json_t *answer = json_pack("{s:I, s:I, s:I}", "ids", (json_int_t)w.n_ids, "records",
					   (json_int_t)w.n_removed, "index", (json_int_t)w.log_index);
		rc = answer == NULL ? RC_NOMEM : json_canonical(answer, &out);
		json_decref(answer);
	}
	if (rc == RC_OK)
		request_reply_text(request, 200, MEDIA_JSON, &out);
	else
		request_problem(request, rc, w.diag.text);
	buffer_deinit(&out);
	free(w.places);
	free(w.ids);
}
