/* Making a store from a backup; backup.h has the form.
 *
 * Invariant: the head of the store is written last, in the transaction that has the last records, so that a restore
 * that was cut short leaves nothing that opens as a store. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store/backup_form.h"
#include "daemon/store/internal.h"
#include "keys/durable.h"

enum { TXN_BYTES = 16 << 20 };

void backup_head(const uint8_t id[BACKUP_ID_LEN], uint8_t head[BACKUP_HEAD_LEN])
{
	struct writer w;
	writer_init(&w, head, BACKUP_HEAD_LEN);
	write_bytes(&w, BACKUP_MAGIC, BACKUP_MAGIC_LEN);
	write_u32(&w, BACKUP_FORMAT);
	write_bytes(&w, id, BACKUP_ID_LEN);
}

void backup_part_ad(const uint8_t head[BACKUP_HEAD_LEN], uint64_t part, bool last, uint8_t ad[BACKUP_AD_LEN])
{
	struct writer w;
	writer_init(&w, ad, BACKUP_AD_LEN);
	write_bytes(&w, head, BACKUP_HEAD_LEN);
	write_u64(&w, part);
	write_u8(&w, last);
}

/* ---- the stream ---- */

struct source {
	int fd;
	const struct seal *seal;
	uint8_t head[BACKUP_HEAD_LEN];
	uint64_t part;
	bool last;
	size_t at, len;
	uint8_t *plain, *sealed; /* one part each */
};

/* Errors: TRUNCATED, IO. */
static enum rc read_all(int fd, uint8_t *out, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, out, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? RC_IO : RC_TRUNCATED;
		out += n;
		len -= (size_t)n;
	}
	return RC_OK;
}

static enum rc next_part(struct source *s)
{
	uint8_t ad[BACKUP_AD_LEN], head[4];
	struct reader r;
	if (s->last)
		return RC_DAMAGED;
	enum rc rc = read_all(s->fd, head, sizeof head);
	if (rc != RC_OK)
		return rc;
	reader_init(&r, head, sizeof head);
	size_t len = read_u32(&r);
	if (len <= SEAL_OVERHEAD || len > BACKUP_PART_LEN + SEAL_OVERHEAD)
		return RC_DAMAGED;
	rc = read_all(s->fd, s->sealed, len);
	if (rc != RC_OK)
		return rc;
	backup_part_ad(s->head, s->part, false, ad); /* most are not the last, which is bound as such */
	rc = unseal_value(s->seal, BACKUP_LABEL, ad, sizeof ad, s->sealed, len, s->plain);
	if (rc == RC_DAMAGED) {
		backup_part_ad(s->head, s->part, true, ad);
		rc = unseal_value(s->seal, BACKUP_LABEL, ad, sizeof ad, s->sealed, len, s->plain);
		s->last = rc == RC_OK;
	}
	if (rc == RC_DAMAGED && s->part == 0)
		return RC_KEY;
	s->at = 0;
	s->len = rc == RC_OK ? len - SEAL_OVERHEAD : 0;
	s->part++;
	return rc;
}

static enum rc take(struct source *s, void *out, size_t len)
{
	uint8_t *to = out;
	while (len > 0) {
		enum rc rc = s->at == s->len ? next_part(s) : RC_OK;
		if (rc != RC_OK)
			return rc;
		size_t n = s->len - s->at < len ? s->len - s->at : len;
		memcpy(to, s->plain + s->at, n);
		s->at += n;
		to += n;
		len -= n;
	}
	return RC_OK;
}

static enum rc take_u16(struct source *s, uint16_t *ret)
{
	uint8_t b[2];
	struct reader r;
	enum rc rc = take(s, b, sizeof b);
	reader_init(&r, b, sizeof b);
	if (rc == RC_OK)
		*ret = read_u16(&r);
	return rc;
}

static enum rc take_u32(struct source *s, uint32_t *ret)
{
	uint8_t b[4];
	struct reader r;
	enum rc rc = take(s, b, sizeof b);
	reader_init(&r, b, sizeof b);
	if (rc == RC_OK)
		*ret = read_u32(&r);
	return rc;
}

static enum rc take_u64(struct source *s, uint64_t *ret)
{
	uint32_t high, low;
	enum rc rc = take_u32(s, &high);
	if (rc == RC_OK)
		rc = take_u32(s, &low);
	if (rc == RC_OK)
		*ret = (uint64_t)high << 32 | low;
	return rc;
}

static enum rc take_head(struct source *s, struct diag *diag)
{
	struct reader r;
	enum rc rc = read_all(s->fd, s->head, sizeof s->head);
	if (rc == RC_IO)
		return rc;
	if (rc != RC_OK || memcmp(s->head, BACKUP_MAGIC, BACKUP_MAGIC_LEN) != 0)
		return diag_set(diag, RC_MALFORMED, "not a backup of throughcared");
	reader_init(&r, s->head + BACKUP_MAGIC_LEN, 4);
	uint32_t format = read_u32(&r);
	if (format != BACKUP_FORMAT)
		return diag_set(diag, RC_CONFIG, "the backup has format %u, this version reads format %d", format,
				BACKUP_FORMAT);
	return RC_OK;
}

static enum rc take_facts(struct source *s, struct buffer *out)
{
	uint8_t facts[BACKUP_MAX_FACTS];
	uint32_t len = 0;
	enum rc rc = take_u32(s, &len);
	if (rc == RC_OK && len > sizeof facts)
		rc = RC_DAMAGED;
	if (rc == RC_OK)
		rc = take(s, facts, len);
	if (rc == RC_OK)
		buffer_append(out, facts, len);
	return rc == RC_OK && out->failed ? RC_NOMEM : rc;
}

/* ---- the store ---- */

struct target {
	struct source source;
	const atomic_bool *stop; /* NULL = nobody asks */
	struct store *store;
	struct engine_txn *txn;
	size_t bytes; /* in the transaction */
	uint64_t n_slots, n_records;
	uint8_t head[BACKUP_MAX_HEAD];
	size_t head_len;
};

static enum rc room_for(struct target *t, const struct store_key *key, size_t len, uint8_t **ret_room)
{
	enum rc rc = RC_OK;
	if (t->txn != NULL && t->bytes > TXN_BYTES) {
		rc = engine_commit(t->txn);
		t->txn = NULL;
	}
	if (rc == RC_OK && t->txn == NULL) {
		rc = engine_begin(t->store->engine, true, &t->txn);
		t->bytes = 0;
	}
	if (rc == RC_OK)
		rc = engine_reserve(t->txn, key->bytes, key->len, len, ret_room);
	t->bytes += len;
	return rc;
}

static enum rc put_slot(struct target *t, const uint8_t *value, size_t len)
{
	uint8_t raw[SLOT_LEN];
	struct reader r;
	reader_init(&r, value, len);
	uint64_t slot = read_u64(&r);
	enum rc rc = take(&t->source, raw, sizeof raw);
	if (rc == RC_OK && (r.failed || slot >= t->n_slots))
		rc = RC_DAMAGED;
	return rc == RC_OK ? slots_write_raw(t->store->salts, slot, raw, 1) : rc;
}

static enum rc put_record(struct target *t)
{
	struct store_key key;
	uint8_t *room = NULL;
	uint16_t key_len = 0;
	uint32_t len = 0;
	enum rc rc = take_u16(&t->source, &key_len);
	key.len = key_len;
	if (rc == RC_OK && (key.len == 0 || key.len > STORE_KEY_CAP))
		rc = RC_DAMAGED;
	if (rc == RC_OK)
		rc = take(&t->source, key.bytes, key.len);
	if (rc == RC_OK)
		rc = take_u32(&t->source, &len);
	if (rc == RC_OK && len > BACKUP_MAX_VALUE)
		rc = RC_DAMAGED;
	if (rc == RC_OK)
		rc = room_for(t, &key, len, &room);
	if (rc == RC_OK)
		rc = take(&t->source, room, len);
	if (rc == RC_OK && key.bytes[0] == STORE_CHUNK)
		rc = put_slot(t, room, len);
	t->n_records++;
	return rc;
}

static enum rc put_records(struct target *t)
{
	uint8_t more = 1;
	uint64_t said = 0;
	enum rc rc = RC_OK;
	while (rc == RC_OK && more != 0) {
		rc = t->stop != NULL && atomic_load(t->stop) ? RC_STOPPING : take(&t->source, &more, 1);
		if (rc == RC_OK && more != 0)
			rc = put_record(t);
	}
	if (rc == RC_OK)
		rc = take_u64(&t->source, &said);
	/* Nothing after it, and nothing left out. */
	if (rc == RC_OK && (said != t->n_records || !t->source.last || t->source.at != t->source.len))
		rc = RC_DAMAGED;
	return rc;
}

/* Slot files and, last of all, the head. */
static enum rc put_head(struct target *t)
{
	static const uint8_t none[SLOT_LEN];
	struct store_key key;
	uint8_t *room = NULL;
	enum rc rc = RC_OK;
	store_head_key(&key);
	/* Slots that nothing refers to any more are there, and empty. */
	if (slots_count(t->store->salts) < t->n_slots)
		rc = slots_write_raw(t->store->salts, t->n_slots - 1, none, 1);
	if (rc == RC_OK)
		rc = slots_sync(t->store->salts);
	if (rc == RC_OK)
		rc = room_for(t, &key, t->head_len, &room);
	if (rc == RC_OK) {
		memcpy(room, t->head, t->head_len);
		rc = engine_commit(t->txn);
		t->txn = NULL;
	}
	return rc;
}

static enum rc take_store_head(struct target *t, const struct store_options *options, struct diag *diag)
{
	uint16_t len = 0;
	enum rc rc = take_u16(&t->source, &len);
	if (rc == RC_OK && len > sizeof t->head)
		rc = RC_DAMAGED;
	if (rc == RC_OK)
		rc = take(&t->source, t->head, len);
	t->head_len = len;
	if (rc == RC_OK)
		rc = store_head_check(t->store, options->directory, t->head, len, diag);
	return rc == RC_OK ? take_u64(&t->source, &t->n_slots) : rc;
}

static enum rc restore(struct target *t, const struct store_options *options, struct buffer *ret_facts,
		       struct diag *diag)
{
	enum rc rc = take_head(&t->source, diag);
	if (rc == RC_OK)
		rc = take_facts(&t->source, ret_facts);
	if (rc == RC_OK)
		rc = take_store_head(t, options, diag);
	if (rc == RC_OK)
		rc = store_take_lock(t->store, options->directory, diag);
	if (rc == RC_OK)
		rc = engine_open(options->directory, options->map_bytes, true, &t->store->engine, diag);
	if (rc == RC_OK)
		rc = store_open_slots(t->store, options->directory, true, diag);
	if (rc == RC_OK)
		rc = put_records(t);
	return rc == RC_OK ? put_head(t) : rc;
}

static const char *reason(enum rc rc)
{
	switch (rc) {
	case RC_KEY:
		return "it is sealed under another sealing key, or its beginning is damaged";
	case RC_TRUNCATED:
		return "the end of it is missing";
	case RC_DAMAGED:
		return "it is damaged";
	default:
		return rc_text(rc);
	}
}

enum rc store_backup_restore(int fd, const struct store_options *options, struct seal *seal, const atomic_bool *stop,
			     struct buffer *ret_facts, struct diag *diag)
{
	char data[PATH_MAX];
	struct target t = {.source = {.fd = fd, .seal = seal}, .stop = stop};
	size_t facts_before = ret_facts->len;
	if (diag != NULL)
		diag->text[0] = '\0';
	enum rc rc = store_path_in(options->directory, "data.mdb", data);
	if (rc == RC_OK && access(data, F_OK) == 0)
		return diag_set(diag, RC_CONFLICT, "%s: there is a store here already; nothing was touched",
				options->directory);
	if (rc == RC_OK && lseek(fd, 0, SEEK_SET) != 0)
		rc = RC_IO;
	t.store = calloc(1, sizeof *t.store);
	t.source.plain = malloc(BACKUP_PART_LEN);
	t.source.sealed = malloc(BACKUP_PART_LEN + SEAL_OVERHEAD);
	if (rc == RC_OK && (t.store == NULL || t.source.plain == NULL || t.source.sealed == NULL))
		rc = RC_NOMEM;
	if (rc == RC_OK) {
		t.store->seal = seal;
		t.store->lock_fd = -1;
		pthread_mutex_init(&t.store->lock, NULL);
		rc = restore(&t, options, ret_facts, diag);
	}
	engine_abort(t.txn);
	store_close(t.store);
	free(t.source.plain);
	free(t.source.sealed);
	if (rc == RC_OK)
		return durable_sync_folder(data);
	ret_facts->len = facts_before;
	if (diag != NULL && diag->text[0] == '\0')
		diag_set(diag, rc, "the backup cannot be restored: %s", reason(rc));
	return rc == RC_TRUNCATED ? RC_DAMAGED : rc;
}

enum rc store_remove(const char *directory)
{
	static const char *const names[] = {"data.mdb", "lock.mdb",     "salts",    "secrets",
					    "rotation", "rotation.new", "open.lock"};
	char path[PATH_MAX];
	enum rc rc = RC_OK;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (store_path_in(directory, names[i], path) != RC_OK || (unlink(path) != 0 && errno != ENOENT))
			rc = RC_IO;
	return rc;
}
