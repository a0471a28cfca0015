/* Writing a backup; backup.h has what is in it and its form. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store/backup_form.h"
#include "daemon/store/internal.h"
#include "keys/durable.h"
#include "keys/key_file.h"

static const uint8_t first_key[1] = {0}; /* before every class */

struct store_snapshot {
	struct store *store;
	struct txn *txn; /* counted as a reader: while it lasts, the key that sealed all this stays */
	uint64_t n_slots;
	uint8_t *slots; /* as in the file: wrapped */
};

enum rc store_snapshot_new(struct store *store, struct store_snapshot **ret)
{
	static const uint64_t max_slots = UINT64_C(1) << 26; /* 4 GiB of them */
	struct store_snapshot *s = calloc(1, sizeof *s);
	if (s == NULL)
		return RC_NOMEM;
	s->store = store;
	s->n_slots = store->next_slot;
	enum rc rc = s->n_slots > max_slots ? RC_TOO_LARGE : RC_OK;
	if (rc == RC_OK) {
		s->slots = malloc((size_t)s->n_slots * SLOT_LEN + 1);
		rc = s->slots == NULL ? RC_NOMEM : slots_read_raw(store->salts, 0, (size_t)s->n_slots, s->slots);
	}
	if (rc == RC_OK)
		rc = txn_begin_read(store, &s->txn);
	if (rc != RC_OK) {
		store_snapshot_free(s);
		return rc;
	}
	*ret = s;
	return RC_OK;
}

void store_snapshot_free(struct store_snapshot *snapshot)
{
	if (snapshot == NULL)
		return;
	txn_abort(snapshot->txn);
	free(snapshot->slots);
	free(snapshot);
}

struct sink {
	const struct store_snapshot *snapshot;
	const atomic_bool *stop;
	int fd;
	uint8_t head[BACKUP_HEAD_LEN];
	uint64_t part, bytes, n_records;
	struct sha256_ctx *digest;
	size_t len;
	uint8_t *plain;  /* BACKUP_PART_LEN */
	uint8_t *sealed; /* room for its sealed form behind its length */
};

static enum rc put_bytes(struct sink *sink, const void *data, size_t len)
{
	enum rc rc = durable_write(sink->fd, data, len);
	if (rc != RC_OK)
		return rc;
	sha256_update(sink->digest, data, len);
	sink->bytes += len;
	return RC_OK;
}

static enum rc put_part(struct sink *sink, bool last)
{
	uint8_t ad[BACKUP_AD_LEN];
	struct writer w;
	if (atomic_load(sink->stop))
		return RC_STOPPING;
	backup_part_ad(sink->head, sink->part, last, ad);
	writer_init(&w, sink->sealed, 4);
	write_u32(&w, (uint32_t)(sink->len + SEAL_OVERHEAD));
	enum rc rc = seal_value(sink->snapshot->store->seal, BACKUP_LABEL, ad, sizeof ad, sink->plain, sink->len,
				sink->sealed + 4);
	if (rc == RC_OK)
		rc = put_bytes(sink, sink->sealed, 4 + sink->len + SEAL_OVERHEAD);
	sink->len = 0;
	sink->part++;
	return rc;
}

static enum rc put(struct sink *sink, const void *data, size_t len)
{
	const uint8_t *at = data;
	while (len > 0) {
		size_t n = BACKUP_PART_LEN - sink->len;
		if (n > len)
			n = len;
		memcpy(sink->plain + sink->len, at, n);
		sink->len += n;
		at += n;
		len -= n;
		enum rc rc = sink->len == BACKUP_PART_LEN ? put_part(sink, false) : RC_OK;
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static enum rc put_u64(struct sink *sink, uint64_t v)
{
	uint8_t b[8];
	struct writer w;
	writer_init(&w, b, sizeof b);
	write_u64(&w, v);
	return put(sink, b, sizeof b);
}

/* The slot of a chunk's key: the copy from the moment the snapshot was made. */
static enum rc put_slot(struct sink *sink, const uint8_t *value, size_t len)
{
	struct reader r;
	reader_init(&r, value, len);
	uint64_t slot = read_u64(&r);
	if (r.failed || slot >= sink->snapshot->n_slots)
		return RC_DAMAGED;
	return put(sink, sink->snapshot->slots + slot * SLOT_LEN, SLOT_LEN);
}

static enum rc put_record(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct sink *sink = ctx;
	uint8_t head[1 + 2 + STORE_KEY_CAP + 4];
	struct writer w;
	if (key_len == 0 || key_len > STORE_KEY_CAP || len > BACKUP_MAX_VALUE)
		return RC_DAMAGED;
	if (store_key_is_head(key, key_len))
		return RC_OK; /* it stands in front */
	writer_init(&w, head, sizeof head);
	write_u8(&w, key[0]);
	write_u16(&w, (uint16_t)key_len);
	write_bytes(&w, key, key_len);
	write_u32(&w, (uint32_t)len);
	enum rc rc = put(sink, head, writer_len(&w));
	if (rc == RC_OK)
		rc = put(sink, value, len);
	if (rc == RC_OK && key[0] == STORE_CHUNK)
		rc = put_slot(sink, value, len);
	sink->n_records++;
	return rc;
}

static enum rc put_store_head(struct sink *sink)
{
	struct store_key key;
	const uint8_t *head;
	size_t len;
	uint8_t len_bytes[2];
	struct writer w;
	store_head_key(&key);
	enum rc rc = engine_get(sink->snapshot->txn->engine_txn, key.bytes, key.len, &head, &len);
	if (rc != RC_OK || len > BACKUP_MAX_HEAD)
		return rc == RC_OK || rc == RC_NOTFOUND ? RC_DAMAGED : rc;
	writer_init(&w, len_bytes, sizeof len_bytes);
	write_u16(&w, (uint16_t)len);
	rc = put(sink, len_bytes, sizeof len_bytes);
	if (rc == RC_OK)
		rc = put(sink, head, len);
	return rc == RC_OK ? put_u64(sink, sink->snapshot->n_slots) : rc;
}

static enum rc put_stream(struct sink *sink, const void *facts, size_t facts_len)
{
	static const uint8_t end = 0;
	uint8_t len[4];
	struct writer w;
	writer_init(&w, len, sizeof len);
	write_u32(&w, (uint32_t)facts_len);
	enum rc rc = put_bytes(sink, sink->head, sizeof sink->head);
	if (rc == RC_OK)
		rc = put(sink, len, sizeof len);
	if (rc == RC_OK)
		rc = put(sink, facts, facts_len);
	if (rc == RC_OK)
		rc = put_store_head(sink);
	if (rc == RC_OK)
		rc = engine_scan_from(sink->snapshot->txn->engine_txn, first_key, sizeof first_key, put_record, sink);
	if (rc == RC_OK)
		rc = put(sink, &end, 1);
	if (rc == RC_OK)
		rc = put_u64(sink, sink->n_records);
	if (rc == RC_OK)
		rc = put_part(sink, true);
	if (rc == RC_OK && fsync(sink->fd) != 0)
		rc = errno == ENOSPC ? RC_NOSPACE : RC_IO;
	return rc;
}

enum rc store_backup_write(const struct store_snapshot *snapshot, const void *facts, size_t facts_len, int fd,
			   const atomic_bool *stop, struct backup_written *ret)
{
	struct sink sink = {.snapshot = snapshot, .stop = stop, .fd = fd};
	uint8_t id[BACKUP_ID_LEN];
	if (facts_len > BACKUP_MAX_FACTS)
		return RC_INVALID;
	enum rc rc = random_bytes(id, sizeof id);
	if (rc != RC_OK)
		return rc;
	backup_head(id, sink.head);
	sink.digest = sha256_new();
	sink.plain = malloc(BACKUP_PART_LEN);
	sink.sealed = malloc(4 + BACKUP_PART_LEN + SEAL_OVERHEAD);
	rc = sink.digest == NULL || sink.plain == NULL || sink.sealed == NULL ? RC_NOMEM
									      : put_stream(&sink, facts, facts_len);
	if (rc == RC_OK) {
		memcpy(ret->id, id, sizeof id);
		sha256_final(sink.digest, ret->digest);
		ret->bytes = sink.bytes;
		ret->n_records = sink.n_records;
	}
	sha256_free(sink.digest);
	free(sink.plain);
	free(sink.sealed);
	return rc;
}
