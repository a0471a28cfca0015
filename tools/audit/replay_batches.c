/* What custodians sent and took back: a batch is logged once, nobody withdraws more than it sent, and the cut of a
 * release is of exactly the batches so far. */
#include <stdlib.h>
#include <string.h>

#include "proto/day.h"
#include "tools/audit/replay_internal.h"

static int compare_batches(const void *a, const void *b)
{
	const struct replay_batch *x = a, *y = b;
	int order = strcmp(x->source, y->source);

	return order != 0 ? order : memcmp(x->id, y->id, sizeof x->id);
}

static struct replay_source *find_source(struct replay *replay, const char *name)
{
	size_t i = 0;

	while (i < replay->n_sources && strcmp(replay->sources[i].name, name) != 0)
		i++;
	if (i == replay->n_sources) {
		if (i == REPLAY_MAX_SOURCES)
			return NULL;
		memset(&replay->sources[i], 0, sizeof replay->sources[i]);
		strcpy(replay->sources[i].name, name);
		replay->n_sources++;
	}
	return &replay->sources[i];
}

static enum rc keep_batch(struct replay *replay, const struct replay_batch *batch)
{
	if (replay->n_batches == replay->batches_cap) {
		size_t cap = replay->batches_cap ? 2 * replay->batches_cap : 64;
		struct replay_batch *grown = reallocarray(replay->batches, cap, sizeof *grown);
		if (grown == NULL)
			return RC_NOMEM;
		replay->batches = grown;
		replay->batches_cap = cap;
	}
	replay->batches[replay->n_batches++] = *batch;
	return RC_OK;
}

enum rc replay_take_batch(struct replay *replay, const json_t *fields, struct diag *diag)
{
	struct replay_batch batch = {.source = ""};
	uint64_t records;

	if (!replay_get_text(fields, "source", batch.source, sizeof batch.source) ||
	    !replay_get_digest(fields, "batch", batch.id) || !replay_get_count(fields, "records", &records))
		return BREACH(replay, diag, "a batch without source, batch or records");
	struct replay_source *source = find_source(replay, batch.source);
	if (source == NULL)
		return BREACH(replay, diag, "more sources than a study can have");
	source->n_batches++;
	source->n_records += records;
	replay->n_records += records;
	return keep_batch(replay, &batch);
}

enum rc replay_take_withdrawal(struct replay *replay, const json_t *fields, struct diag *diag)
{
	char name[STUDY_NAME_CAP];
	uint64_t ids, records, chunks;

	if (!replay_get_text(fields, "source", name, sizeof name) || !replay_get_count(fields, "ids", &ids) ||
	    !replay_get_count(fields, "records", &records) || !replay_get_count(fields, "chunks", &chunks))
		return BREACH(replay, diag, "a withdrawal without source, ids, records or chunks");
	struct replay_source *source = find_source(replay, name);
	if (source == NULL)
		return BREACH(replay, diag, "more sources than a study can have");
	if (records > source->n_records - source->n_withdrawn)
		return BREACH(replay, diag, "a source withdraws more records than it sent");
	source->n_withdrawn += records;
	return RC_OK;
}

enum rc replay_take_purge(struct replay *replay, const json_t *fields, struct diag *diag)
{
	char name[STUDY_NAME_CAP], before[DAY_TEXT_LEN];
	uint64_t records, chunks;
	int32_t day;

	if (!replay_get_text(fields, "source", name, sizeof name) ||
	    !replay_get_text(fields, "before", before, sizeof before) || day_parse(before, &day) != RC_OK ||
	    !replay_get_count(fields, "records", &records) || !replay_get_count(fields, "chunks", &chunks))
		return BREACH(replay, diag, "a purge without source, day, records or chunks");
	struct replay_source *source = find_source(replay, name);
	if (source == NULL)
		return BREACH(replay, diag, "more sources than a study can have");
	if (records > source->n_records - source->n_withdrawn)
		return BREACH(replay, diag, "more records of a source are purged than it sent");
	source->n_withdrawn += records;
	return RC_OK;
}

/* Sort what came since the last time into place; a batch that stands there twice was logged twice. */
enum rc replay_sort_batches(struct replay *replay, struct diag *diag)
{
	if (replay->n_sorted == replay->n_batches)
		return RC_OK;
	qsort(replay->batches, replay->n_batches, sizeof *replay->batches, compare_batches);
	replay->n_sorted = replay->n_batches;
	for (size_t i = 1; i < replay->n_batches; i++) {
		if (compare_batches(&replay->batches[i - 1], &replay->batches[i]) == 0)
			return BREACH(replay, diag, "by here a batch was logged twice");
	}
	return RC_OK;
}

/* SHA-256 over the ascending (source, NUL, batch id). */
static void cut_digest(const struct replay *replay, uint8_t ret[32])
{
	struct sha256_ctx *ctx = sha256_new();

	for (size_t i = 0; i < replay->n_batches; i++) {
		sha256_update(ctx, replay->batches[i].source, strlen(replay->batches[i].source) + 1);
		sha256_update(ctx, replay->batches[i].id, sizeof replay->batches[i].id);
	}
	sha256_final(ctx, ret);
	sha256_free(ctx);
}

enum rc replay_check_cut(struct replay *replay, const json_t *cut, struct replay_release *r, struct diag *diag)
{
	uint8_t said[32], is[32];

	if (!replay_get_count(cut, "batches", &r->cut_batches) || !replay_get_count(cut, "records", &r->cut_records) ||
	    !replay_get_digest(cut, "digest", said))
		return BREACH(replay, diag, "a release is started without its cut");
	if (r->cut_batches != replay->n_batches || r->cut_records != replay->n_records)
		return BREACH(replay, diag, "the cut of a release counts other batches or records than were logged");
	enum rc rc = replay_sort_batches(replay, diag);
	if (rc != RC_OK)
		return rc;
	cut_digest(replay, is);
	return memcmp(said, is, sizeof is) == 0
		       ? RC_OK
		       : BREACH(replay, diag, "the cut of a release is of other batches than were logged");
}

/* How many sources sent a batch since the last cut. */
size_t replay_count_new_sources(const struct replay *replay)
{
	size_t n = 0;

	for (size_t i = 0; i < replay->n_sources; i++)
		n += replay->sources[i].n_batches > replay->sources[i].n_batches_at_cut;
	return n;
}
