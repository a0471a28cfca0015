/* Batch records; batches.h says what for.
 *
 * Invariant: the record of a batch, its place in the sequence, its chunks and its log entry are of one transaction, so
 * sequences are 0 … n-1 without a gap and every one has its entry. */
#include "daemon/core/batches.h"

#include <string.h>

#include "proto/bytes.h"

enum { RECORD_CAP = 2 + STUDY_NAME_CAP + BATCH_ID_LEN + 3 * 8 + 4 + 32 };

static void batch_key(struct store_key *key, const char *source, const uint8_t id[BATCH_ID_LEN])
{
	store_key_init(key, STORE_BATCH);
	store_key_string(key, source);
	store_key_bytes(key, id, BATCH_ID_LEN);
}

void receipt_key(struct store_key *key, const char *source, const uint8_t id[BATCH_ID_LEN])
{
	store_key_init(key, STORE_RECEIPT);
	/* A source's name and a batch id together outgrow no key: 1 + 64 + 32 bytes. */
	store_key_string(key, source);
	store_key_bytes(key, id, BATCH_ID_LEN);
}

static void sequence_key(struct store_key *key, uint64_t sequence)
{
	store_key_init(key, STORE_SEQUENCE);
	store_key_u64(key, sequence);
}

static size_t encode(const struct batch_record *record, uint8_t out[RECORD_CAP])
{
	struct writer w;
	writer_init(&w, out, RECORD_CAP);
	write_string(&w, record->source);
	write_bytes(&w, record->id, BATCH_ID_LEN);
	write_u64(&w, record->sequence);
	write_u64(&w, record->n_records);
	write_u32(&w, record->n_chunks);
	write_u64(&w, record->log_index);
	write_bytes(&w, record->encoding_id, sizeof record->encoding_id);
	return writer_len(&w);
}

static enum rc decode(const uint8_t *data, size_t len, struct batch_record *ret)
{
	struct reader r;
	struct batch_record record;
	reader_init(&r, data, len);
	read_string(&r, record.source, sizeof record.source);
	read_copy(&r, record.id, BATCH_ID_LEN);
	record.sequence = read_u64(&r);
	record.n_records = read_u64(&r);
	record.n_chunks = read_u32(&r);
	record.log_index = read_u64(&r);
	read_copy(&r, record.encoding_id, sizeof record.encoding_id);
	if (reader_end(&r) != RC_OK)
		return RC_DAMAGED;
	*ret = record;
	return RC_OK;
}

enum rc batches_find(struct txn *txn, const char *source, const uint8_t id[BATCH_ID_LEN], struct batch_record *ret)
{
	struct store_key key;
	struct buffer value;
	buffer_init(&value);
	batch_key(&key, source, id);
	enum rc rc = store_get(txn, &key, &value);
	if (rc == RC_OK)
		rc = decode(value.data, value.len, ret);
	buffer_deinit(&value);
	return rc;
}

enum rc batches_at(struct txn *txn, uint64_t sequence, struct batch_record *ret)
{
	struct store_key key;
	struct buffer value;
	buffer_init(&value);
	sequence_key(&key, sequence);
	enum rc rc = store_get(txn, &key, &value);
	if (rc == RC_OK)
		rc = decode(value.data, value.len, ret);
	if (rc == RC_OK && ret->sequence != sequence)
		rc = RC_DAMAGED;
	buffer_deinit(&value);
	return rc;
}

enum rc batches_put(struct txn *txn, const struct batch_record *record)
{
	struct store_key key;
	uint8_t value[RECORD_CAP];
	size_t len = encode(record, value);
	batch_key(&key, record->source, record->id);
	enum rc rc = store_put(txn, &key, value, len);
	sequence_key(&key, record->sequence);
	return rc == RC_OK ? store_put(txn, &key, value, len) : rc;
}

enum rc batches_count(struct txn *txn, uint64_t *ret)
{
	struct store_key prefix, last;
	struct reader r;
	store_key_init(&prefix, STORE_SEQUENCE);
	enum rc rc = store_last(txn, &prefix, &last);
	if (rc == RC_NOTFOUND) {
		*ret = 0;
		return RC_OK;
	}
	if (rc != RC_OK)
		return rc;
	reader_init(&r, last.bytes + 1, last.len - 1);
	uint64_t sequence = read_u64(&r);
	if (reader_end(&r) != RC_OK || sequence == UINT64_MAX)
		return RC_DAMAGED;
	*ret = sequence + 1;
	return RC_OK;
}

struct each {
	batches_visit visit;
	void *ctx;
};

static enum rc each_one(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct each *each = ctx;
	struct batch_record record;
	enum rc rc = decode(value, len, &record);
	return rc == RC_OK ? each->visit(each->ctx, &record) : rc;
}

enum rc batches_each(struct txn *txn, batches_visit visit, void *ctx)
{
	struct each each = {.visit = visit, .ctx = ctx};
	struct store_key prefix;
	store_key_init(&prefix, STORE_BATCH);
	return store_scan(txn, &prefix, each_one, &each);
}

struct cutting {
	uint64_t since;
	struct batch_cut cut;
	struct sha256_ctx *sha;
	char last_new_source[STUDY_NAME_CAP]; /* batches come ordered by source */
};

static enum rc cut_one(void *ctx, const struct batch_record *record)
{
	struct cutting *c = ctx;
	c->cut.n_batches++;
	c->cut.n_records += record->n_records;
	if (record->sequence >= c->since) {
		c->cut.new_records += record->n_records;
		if (c->cut.new_sources == 0 || strcmp(c->last_new_source, record->source) != 0)
			c->cut.new_sources++;
		memcpy(c->last_new_source, record->source, sizeof c->last_new_source);
	}
	sha256_update(c->sha, record->source, strlen(record->source) + 1);
	sha256_update(c->sha, record->id, BATCH_ID_LEN);
	return RC_OK;
}

enum rc batches_cut(struct txn *txn, uint64_t since, struct batch_cut *ret)
{
	struct cutting c = {.since = since, .sha = sha256_new()};
	if (c.sha == NULL)
		return RC_NOMEM;
	enum rc rc = batches_each(txn, cut_one, &c);
	sha256_final(c.sha, c.cut.digest);
	sha256_free(c.sha);
	if (rc == RC_OK)
		*ret = c.cut;
	return rc;
}
