/* Erasing records; erase.h has how.
 *
 * Invariant: tombstones, resealed chunks and the log's entry are of one durable transaction; the old keys are
 * destroyed, and the tombstones are listed outside the store, before erase_run returns, at the latest by the next
 * start. Chunks are looked for outside the write transaction; in it, only whether this source has sent more since.
 * Nothing is erased twice. */
#include "daemon/core/erase.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/core/linker.h"
#include "daemon/core/pairs.h"
#include "daemon/core/rows.h"
#include "daemon/core/withdrawn_list.h"
#include "keys/key_file.h"
#include "proto/day.h"

enum { SLICE_CHUNKS = 8 };

/* ---- notes of what is still to do ---- */

static void note_prefix(struct store_key *key)
{
	store_key_init(key, STORE_META);
	store_key_string(key, "erasing");
}

static void note_key(const struct erasure *w, struct store_key *key)
{
	note_prefix(key);
	store_key_bytes(key, w->note, sizeof w->note);
}

/* Source and ids, sealed as any value: a crash between two slices must not leave it to the source to ask again. */
static enum rc put_note(const struct erasure *w, struct txn *txn)
{
	struct store_key key;
	struct buffer value;
	buffer_init(&value);
	note_key(w, &key);
	buffer_append(&value, w->source, strlen(w->source) + 1);
	buffer_append(&value, w->ids, w->n_ids * RECORD_ID_LEN);
	enum rc rc = value.failed ? RC_NOMEM : store_put(txn, &key, value.data, value.len);
	buffer_wipe(&value);
	return rc;
}

/* ---- looking for the records ---- */

int erase_compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, RECORD_ID_LEN);
}

static bool is_to_go(const struct erasure *w, const struct batch_chunk *chunk, uint32_t i)
{
	if (w->is_retention)
		return chunk->days[i] < w->before;
	return bsearch(chunk->record_ids[i], w->ids, w->n_ids, sizeof w->ids[0], erase_compare_ids) != NULL;
}

static enum rc add_place(struct erasure *w, uint64_t sequence, uint32_t chunk)
{
	if (w->n_places == w->cap_places) {
		size_t cap = w->cap_places == 0 ? 16 : 2 * w->cap_places;
		struct erase_place *grown = reallocarray(w->places, cap, sizeof *grown);
		if (grown == NULL)
			return RC_NOMEM;
		w->places = grown;
		w->cap_places = cap;
	}
	w->places[w->n_places++] = (struct erase_place){sequence, chunk};
	return RC_OK;
}

static enum rc add_id(struct erasure *w, const uint8_t id[RECORD_ID_LEN])
{
	if ((w->n_ids & (w->n_ids - 1)) == 0) {
		uint8_t(*grown)[RECORD_ID_LEN] = reallocarray(w->ids, 2 * w->n_ids + 1, sizeof *grown);
		if (grown == NULL)
			return RC_NOMEM;
		w->ids = grown;
	}
	memcpy(w->ids[w->n_ids++], id, RECORD_ID_LEN);
	return RC_OK;
}

/* Whose records are known by their tombstones: the ids of the chunk's, not yet in order. */
static enum rc add_ids(struct erasure *w, struct txn *txn, const struct batch_chunk *chunk)
{
	uint8_t key[TOMBSTONE_KEY_LEN];
	struct tombstone tombstone;
	enum rc rc = tombstones_read_key(txn, key);
	for (uint32_t k = 0; k < chunk->n_records && rc == RC_OK; k++) {
		rc = tombstone_make(key, w->source, chunk->record_ids[k], &tombstone);
		if (rc == RC_OK &&
		    bsearch(&tombstone, w->tombstones, w->n_tombstones, sizeof tombstone, tombstone_compare) != NULL)
			rc = add_id(w, chunk->record_ids[k]);
	}
	explicit_bzero(key, sizeof key);
	return rc;
}

static enum rc scan_chunk(struct erasure *w, const struct batch_record *record, uint32_t i)
{
	struct batch_chunk *chunk = NULL;
	struct txn *txn = NULL;
	bool found = false;
	size_t n_ids = w->n_ids;
	enum rc rc = txn_begin_read(w->core->store, &txn);
	if (rc == RC_OK)
		rc = rows_read_chunk(w->core, txn, record, i, &chunk);
	if (rc == RC_OK && chunk != NULL && w->tombstones != NULL)
		rc = add_ids(w, txn, chunk);
	txn_abort(txn);
	if (w->tombstones != NULL)
		found = w->n_ids > n_ids;
	for (uint32_t k = 0; w->tombstones == NULL && rc == RC_OK && chunk != NULL && k < chunk->n_records && !found;
	     k++)
		found = is_to_go(w, chunk, k);
	batch_chunk_free(chunk);
	return rc == RC_OK && found ? add_place(w, record->sequence, i) : rc;
}

/* All batches that are there and were not looked through yet. */
static enum rc scan(struct erasure *w)
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
	if (w->tombstones != NULL && w->n_ids > 0)
		qsort(w->ids, w->n_ids, sizeof *w->ids, erase_compare_ids);
	return rc == RC_NOTFOUND ? RC_DAMAGED : rc;
}

/* ---- one slice ---- */

struct slice_job {
	struct write_job job; /* first: cast back from it */
	struct erasure *w;
	const struct erase_place *places;
	size_t n_places;
	bool first, more; /* of several slices */
	bool marks;       /* puts the tombstones, and says how many */
	struct tombstone *fresh; /* of these, those that were not there */
	size_t n_fresh;
	bool list_all;                      /* what was put before may not be in the list */
	struct buffer frames[SLICE_CHUNKS]; /* what the chunks are from now on */
	uint64_t n_removed;
};

/* What the list outside the store does not have yet is kept for it. */
static enum rc put_tombstone(struct slice_job *slice, struct txn *txn, const struct tombstone *tombstone)
{
	enum rc rc = tombstone_has(txn, tombstone);
	if (rc != RC_NOTFOUND)
		return rc;
	slice->fresh[slice->n_fresh++] = *tombstone;
	return tombstone_put(txn, tombstone);
}

static enum rc put_tombstones(struct slice_job *slice, struct txn *txn)
{
	const struct erasure *w = slice->w;
	uint8_t key[TOMBSTONE_KEY_LEN];
	struct tombstone made;
	size_t n = w->tombstones != NULL ? w->n_tombstones : w->n_ids;
	free(slice->fresh);
	slice->n_fresh = 0;
	slice->fresh = calloc(n + 1, sizeof *slice->fresh);
	enum rc rc = slice->fresh == NULL ? RC_NOMEM : tombstones_read_key(txn, key);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		if (w->tombstones == NULL)
			rc = tombstone_make(key, w->source, w->ids[i], &made);
		if (rc == RC_OK)
			rc = put_tombstone(slice, txn, w->tombstones != NULL ? &w->tombstones[i] : &made);
	}
	explicit_bzero(key, sizeof key);
	slice->list_all = w->core->unlisted_tombstones;
	w->core->unlisted_tombstones = true;
	return rc == RC_NOTFOUND ? RC_DAMAGED : rc;
}

/* Has this source sent anything that was not looked through? Nobody else writes while this is asked. */
static enum rc check_nothing_new(const struct erasure *w, struct txn *txn)
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
static enum rc make_frame(struct slice_job *slice, struct txn *txn, const struct erase_place *place, struct buffer *out)
{
	struct erasure *w = slice->w;
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
		if (is_to_go(w, chunk, i))
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
	struct erasure *w = slice->w;
	char day[DAY_TEXT_LEN];
	size_t n_ids = !slice->marks ? 0 : w->tombstones != NULL ? w->n_tombstones : w->n_ids;
	json_t *fields = json_pack("{s:s, s:I, s:I}", "source", w->source, "records", (json_int_t)slice->n_removed,
				   "chunks", (json_int_t)slice->n_places);
	day_format(w->before, day);
	int failed = w->is_retention ? json_object_set_new(fields, "before", json_string(day))
				     : json_object_set_new(fields, "ids", json_integer((json_int_t)n_ids));
	if (w->tombstones != NULL && failed == 0)
		failed = json_object_set_new(fields, "again", json_true());
	if (fields == NULL || failed != 0) {
		json_decref(fields);
		return RC_NOMEM;
	}
	enum rc rc = audit_log_append(w->core->log, txn, w->is_retention ? ENTRY_PURGE : ENTRY_WITHDRAWAL,
				      w->who.client[0] == '\0' ? NULL : &w->who, fields, &w->log_index);
	json_decref(fields);
	return rc;
}

static enum rc slice_apply(struct write_job *job, struct txn *txn)
{
	struct slice_job *slice = (struct slice_job *)job;
	struct erasure *w = slice->w;
	slice->n_removed = 0;
	drop_frames(slice);
	enum rc rc = slice->first ? check_nothing_new(w, txn) : RC_OK;
	for (size_t i = 0; i < slice->n_places && rc == RC_OK; i++)
		rc = make_frame(slice, txn, &slice->places[i], &slice->frames[i]);
	if (rc != RC_OK)
		return rc;
	/* From here on it is written. Batches that were checked against fewer tombstones must be checked again. */
	atomic_fetch_add(&w->core->withdrawals, 1);
	if (slice->marks)
		rc = put_tombstones(slice, txn);
	if (rc == RC_OK && slice->marks && slice->more)
		rc = put_note(w, txn);
	for (size_t i = 0; i < slice->n_places && rc == RC_OK; i++)
		rc = store_replace_chunk(txn, slice->places[i].sequence, slice->places[i].chunk, slice->frames[i].data,
					 slice->frames[i].len);
	if (rc == RC_OK && slice->n_places > 0)
		rc = pairs_rows_changed(txn, w->domain);
	return rc == RC_OK ? log_slice(slice, txn) : rc;
}

static enum rc list_tombstones(const struct slice_job *slice, struct txn *txn)
{
	struct core *core = slice->w->core;
	enum rc rc = slice->list_all ? withdrawn_list_write(core->conf, txn)
				     : withdrawn_list_append(core->conf, slice->fresh, slice->n_fresh);
	if (rc == RC_OK)
		core->unlisted_tombstones = false;
	else
		log_warning("the list of withdrawals beside the signer's state cannot be written: %s", rc_text(rc));
	return rc;
}

static enum rc slice_settle(struct write_job *job, struct txn *txn)
{
	const struct slice_job *slice = (struct slice_job *)job;
	enum rc listed = slice->marks ? list_tombstones(slice, txn) : RC_OK;
	enum rc rc = store_destroy_replaced(txn);
	return rc == RC_OK ? listed : rc;
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

static enum rc run_slice(struct erasure *w, size_t at, size_t n)
{
	struct slice_job slice = {
		.job = {.apply = slice_apply, .settle = slice_settle, .done = slice_done},
		.w = w,
		.places = w->places + at,
		.n_places = n,
		.first = at == 0 && !w->resumed,
		.more = at + n < w->n_places,
	};
	slice.marks = w->tombstones != NULL ? !slice.more : slice.first && !w->is_retention;
	for (size_t i = 0; i < SLICE_CHUNKS; i++)
		buffer_init(&slice.frames[i]);
	slice.job.bytes = n * CHUNK_MAX_BYTES;
	enum rc rc = write_queue_call(w->core->writes, &slice.job);
	drop_frames(&slice);
	free(slice.fresh);
	return rc;
}

/* ---- all of it ---- */

enum rc erasure_init(struct erasure *w, struct core *core, const char *source)
{
	int i = study_find_source(core->study, source);
	*w = (struct erasure){.core = core, .source = source};
	if (i < 0)
		return RC_SOURCE;
	w->domain_index = core->study->sources[i].domain;
	w->domain = &core->study->domains[w->domain_index];
	return RC_OK;
}

void erasure_deinit(struct erasure *w)
{
	free(w->ids);
	free(w->places);
}

struct note_job {
	struct write_job job; /* first: cast back from it */
	const struct erasure *w;
};

static enum rc drop_note(struct write_job *job, struct txn *txn)
{
	struct store_key key;
	note_key(((struct note_job *)job)->w, &key);
	enum rc rc = store_delete(txn, &key);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc erase_run(struct erasure *w)
{
	enum { TRIES = 20 };
	size_t at = 0;
	enum rc rc = w->resumed ? RC_BUSY : random_bytes(w->note, sizeof w->note);
	if (rc == RC_OK)
		rc = RC_BUSY;
	for (int i = 0; i < TRIES && rc == RC_BUSY; i++) {
		rc = scan(w);
		at = w->n_places < SLICE_CHUNKS ? w->n_places : SLICE_CHUNKS;
		/* A withdrawal is logged even where there is nothing to erase: it keeps records out. */
		if (rc == RC_OK && (at > 0 || !(w->is_retention || w->resumed)))
			rc = run_slice(w, 0, at);
	}
	/* Now the tombstones are there: no more can come. */
	while (rc == RC_OK && at < w->n_places) {
		size_t n = w->n_places - at < SLICE_CHUNKS ? w->n_places - at : SLICE_CHUNKS;
		rc = run_slice(w, at, n);
		at += n;
	}
	if (rc == RC_OK && !w->is_retention && w->tombstones == NULL && (w->resumed || w->n_places > SLICE_CHUNKS)) {
		struct note_job drop = {.job = {.apply = drop_note}, .w = w};
		rc = write_queue_call(w->core->writes, &drop.job);
	}
	return rc;
}

/* ---- what a crash interrupted ---- */

static enum rc list_note(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct erase_notes *notes = ctx;
	if (key_len < ERASE_NOTE_LEN)
		return RC_DAMAGED;
	uint8_t(*grown)[ERASE_NOTE_LEN] = reallocarray(notes->ids, notes->n + 1, ERASE_NOTE_LEN);
	if (grown == NULL)
		return RC_NOMEM;
	notes->ids = grown;
	memcpy(notes->ids[notes->n++], key + key_len - ERASE_NOTE_LEN, ERASE_NOTE_LEN);
	return RC_OK;
}

enum rc erase_find_interrupted(struct core *core, struct erase_notes *notes)
{
	struct store_key prefix;
	struct txn *txn = NULL;
	struct erase_notes found = {NULL, 0};
	note_prefix(&prefix);
	enum rc rc = txn_begin_read(core->store, &txn);
	if (rc == RC_OK)
		rc = store_scan(txn, &prefix, list_note, &found);
	txn_abort(txn);
	if (rc == RC_OK)
		*notes = found;
	else
		free(found.ids);
	return rc;
}

struct notes {
	struct core *core;
	const struct erase_notes *wanted;
	struct erasure found;
	char source[STUDY_NAME_CAP];
	bool any;
};

static bool is_wanted(const struct erase_notes *wanted, const uint8_t id[ERASE_NOTE_LEN])
{
	for (size_t i = 0; i < wanted->n; i++) {
		if (memcmp(wanted->ids[i], id, ERASE_NOTE_LEN) == 0)
			return true;
	}
	return false;
}

/* The first note of those that are wanted. */
static enum rc take_note(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct notes *notes = ctx;
	if (key_len >= ERASE_NOTE_LEN && !is_wanted(notes->wanted, key + key_len - ERASE_NOTE_LEN))
		return RC_OK;
	size_t source_len = strnlen((const char *)value, len);
	if (source_len == 0 || source_len >= sizeof notes->source || source_len + 1 > len ||
	    (len - source_len - 1) % RECORD_ID_LEN != 0 || key_len < sizeof notes->found.note)
		return RC_DAMAGED;
	memcpy(notes->source, value, source_len + 1);
	enum rc rc = erasure_init(&notes->found, notes->core, notes->source);
	if (rc != RC_OK)
		return rc;
	size_t n = (len - source_len - 1) / RECORD_ID_LEN;
	notes->found.ids = calloc(n + 1, RECORD_ID_LEN);
	if (notes->found.ids == NULL)
		return RC_NOMEM;
	memcpy(notes->found.ids, value + source_len + 1, n * RECORD_ID_LEN);
	memcpy(notes->found.note, key + key_len - sizeof notes->found.note, sizeof notes->found.note);
	notes->found.n_ids = n;
	notes->found.resumed = true;
	notes->any = true;
	return RC_BUSY; /* one at a time */
}

enum rc erase_finish_interrupted(struct core *core, const struct erase_notes *wanted)
{
	for (;;) {
		struct notes notes = {.core = core, .wanted = wanted};
		struct txn *txn = NULL;
		struct store_key prefix;
		note_prefix(&prefix);
		enum rc rc = txn_begin_read(core->store, &txn);
		if (rc == RC_OK)
			rc = store_scan(txn, &prefix, take_note, &notes);
		txn_abort(txn);
		if (rc == RC_BUSY && notes.any)
			rc = erase_run(&notes.found);
		bool done = rc == RC_OK && notes.any;
		if (done)
			log_info("a withdrawal that was interrupted is finished");
		erasure_deinit(&notes.found);
		if (!done)
			return rc;
	}
}
