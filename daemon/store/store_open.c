/* Opening a store: lock, engine, head, slot files; and the making of keys.
 *
 * Invariant: one process has the store open; a store of another format, under another sealing key, or without its slot
 * files is refused before anything is read or written; slot files that hold keys are never made anew. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/store/internal.h"
#include "keys/key_file.h"

enum {
	HEAD_MAGIC_LEN = 8,
	HEAD_CLEAR_LEN = HEAD_MAGIC_LEN + 4 + STORE_ID_LEN,
	HEAD_CHECK_LEN = 16,
	HEAD_LEN = HEAD_CLEAR_LEN + HEAD_CHECK_LEN + SEAL_OVERHEAD,
};
static const uint64_t max_chunk_slots = UINT64_C(1) << 32;

/* ---- keys ---- */

void store_key_init(struct store_key *key, enum store_class class)
{
	key->bytes[0] = (uint8_t) class;
	key->len = 1;
}

void store_key_bytes(struct store_key *key, const void *data, size_t len)
{
	/* Too long a key is a fault of ours; it is made unusable rather than cut, so that no two keys can meet. */
	if (key->len > STORE_KEY_CAP || len > STORE_KEY_CAP - key->len) {
		key->len = STORE_KEY_CAP + 1;
		return;
	}
	memcpy(key->bytes + key->len, data, len);
	key->len += len;
}

void store_key_u32(struct store_key *key, uint32_t v)
{
	uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
	store_key_bytes(key, b, sizeof b);
}

void store_key_u64(struct store_key *key, uint64_t v)
{
	store_key_u32(key, (uint32_t)(v >> 32));
	store_key_u32(key, (uint32_t)v);
}

void store_key_string(struct store_key *key, const char *s)
{
	store_key_bytes(key, s, strlen(s) + 1);
}

/* ---- opening ---- */

void store_head_key(struct store_key *key)
{
	store_key_init(key, STORE_META);
	store_key_string(key, "head");
}

void store_slots_key(struct store_key *key)
{
	store_key_init(key, STORE_META);
	store_key_string(key, "slots");
}

static const uint8_t head_magic[HEAD_MAGIC_LEN] = "TCSTORE1";
static const uint8_t check_text[HEAD_CHECK_LEN] = "throughcare seal";

bool store_key_is_head(const uint8_t *key, size_t key_len)
{
	struct store_key head;
	store_head_key(&head);
	return key_len == head.len && memcmp(key, head.bytes, key_len) == 0;
}

enum rc store_write_head(struct store *store, struct engine_txn *txn)
{
	struct store_key key;
	uint8_t head[HEAD_LEN], *room;
	struct writer w;
	writer_init(&w, head, sizeof head);
	write_bytes(&w, head_magic, HEAD_MAGIC_LEN);
	write_u32(&w, STORE_FORMAT);
	write_bytes(&w, store->id, STORE_ID_LEN);
	enum rc rc = seal_value(store->seal, "check", head, HEAD_CLEAR_LEN, check_text, HEAD_CHECK_LEN,
				head + HEAD_CLEAR_LEN);
	if (rc != RC_OK)
		return rc;
	store_head_key(&key);
	rc = engine_reserve(txn, key.bytes, key.len, HEAD_LEN, &room);
	if (rc == RC_OK)
		memcpy(room, head, HEAD_LEN);
	return rc;
}

static enum rc make_head(struct store *store)
{
	struct engine_txn *txn;
	enum rc rc = engine_begin(store->engine, true, &txn);
	if (rc != RC_OK)
		return rc;
	rc = store_write_head(store, txn);
	if (rc == RC_OK)
		return engine_commit(txn);
	engine_abort(txn);
	return rc;
}

enum rc store_head_check(struct store *store, const char *directory, const uint8_t *head, size_t len, struct diag *diag)
{
	uint8_t text[HEAD_CHECK_LEN];
	struct reader r;
	reader_init(&r, head, len);
	const uint8_t *magic = read_bytes(&r, HEAD_MAGIC_LEN);
	if (magic == NULL || memcmp(magic, head_magic, HEAD_MAGIC_LEN) != 0)
		return diag_set(diag, RC_DAMAGED, "%s: not a store of throughcared", directory);
	uint32_t format = read_u32(&r);
	if (!r.failed && format > STORE_FORMAT)
		return diag_set(
			diag, RC_CONFIG,
			"%s: the store has format %u, which a later version of throughcared made; this one reads "
			"up to format %d. Start the later version; nothing was changed",
			directory, format, STORE_FORMAT);
	if (!r.failed && format < STORE_OLDEST_FORMAT)
		return diag_set(diag, RC_CONFIG, "%s: the store has format %u, this version reads formats %d to %d",
				directory, format, STORE_OLDEST_FORMAT, STORE_FORMAT);
	store->format = format;
	read_copy(&r, store->id, STORE_ID_LEN);
	if (r.failed || reader_left(&r) != HEAD_CHECK_LEN + SEAL_OVERHEAD)
		return diag_set(diag, RC_DAMAGED, "%s: the head of the store is damaged", directory);
	if (unseal_value(store->seal, "check", head, HEAD_CLEAR_LEN, head + HEAD_CLEAR_LEN,
			 HEAD_CHECK_LEN + SEAL_OVERHEAD, text) != RC_OK ||
	    memcmp(text, check_text, HEAD_CHECK_LEN) != 0)
		return diag_set(diag, RC_KEY,
				"%s: the store is sealed under another sealing key: number %04x, not %04x", directory,
				seal_message_number(head + HEAD_CLEAR_LEN, HEAD_CHECK_LEN + SEAL_OVERHEAD),
				seal_key_number(store->seal));
	return RC_OK;
}

/* Read the head; *ret_found says whether there is one. */
static enum rc read_head(struct store *store, const char *directory, bool *ret_found, struct diag *diag)
{
	struct engine_txn *txn;
	struct store_key key;
	const uint8_t *head;
	size_t len;
	enum rc rc = engine_begin(store->engine, false, &txn);
	if (rc != RC_OK)
		return diag_set(diag, rc, "%s: the store cannot be read", directory);
	store_head_key(&key);
	rc = engine_get(txn, key.bytes, key.len, &head, &len);
	*ret_found = rc == RC_OK;
	if (rc == RC_OK)
		rc = store_head_check(store, directory, head, len, diag);
	else if (rc == RC_NOTFOUND)
		rc = RC_OK;
	engine_abort(txn);
	return rc;
}

enum rc store_path_in(const char *directory, const char *name, char out[PATH_MAX])
{
	int n = snprintf(out, PATH_MAX, "%s/%s", directory, name);
	return n > 0 && n < PATH_MAX ? RC_OK : RC_TOO_LARGE;
}

enum rc store_path(const struct store *store, const char *name, char out[PATH_MAX])
{
	return store_path_in(store->directory, name, out);
}

enum rc store_open_slots(struct store *store, const char *directory, bool create, struct diag *diag)
{
	char salts[PATH_MAX], secrets[PATH_MAX];
	enum rc rc = store_path_in(directory, "salts", salts);
	if (rc == RC_OK)
		rc = store_path_in(directory, "secrets", secrets);
	if (rc == RC_OK)
		rc = slots_open(salts, "TCSALTS1", store->id, max_chunk_slots, store->seal, create, &store->salts,
				diag);
	if (rc == RC_OK)
		rc = slots_open(secrets, "TCSECRT1", store->id, STORE_MAX_SECRETS, store->seal, create, &store->secrets,
				diag);
	/* A store without its slot files has lost its keys; it is not remade, since that would hide the loss. */
	return rc == RC_NOTFOUND ? RC_DAMAGED : rc;
}

static enum rc make_store(struct store *store, const char *directory, struct diag *diag)
{
	enum rc rc = random_bytes(store->id, STORE_ID_LEN);
	if (rc == RC_OK)
		rc = store_open_slots(store, directory, true, diag);
	if (rc == RC_CONFLICT) {
		/* Slot files of another store, but no store: data.mdb was removed or never finished. Never overwrite
		 * keys. */
		return diag_set(
			diag, RC_DAMAGED,
			"%s: there are key slots (salts, secrets) but no store in data.mdb; if it was never used, "
			"remove the folder and start again",
			directory);
	}
	store->format = STORE_FORMAT;
	if (rc == RC_OK)
		rc = make_head(store);
	if (rc != RC_OK && diag != NULL && diag->text[0] == '\0')
		diag_set(diag, rc, "%s: the store cannot be made: %s", directory, rc_text(rc));
	return rc;
}

static enum rc load_next_slot(struct store *store, const char *directory, struct diag *diag)
{
	struct txn *txn = NULL;
	struct store_key key;
	struct buffer value;
	struct reader r;
	buffer_init(&value);
	store_slots_key(&key);
	enum rc rc = txn_begin_read(store, &txn);
	if (rc == RC_OK)
		rc = store_get(txn, &key, &value);
	if (rc == RC_OK) {
		reader_init(&r, value.data, value.len);
		store->next_slot = read_u64(&r);
		rc = reader_end(&r) == RC_OK ? RC_OK : RC_DAMAGED;
	} else if (rc == RC_NOTFOUND) {
		store->next_slot = 0;
		rc = RC_OK;
	}
	if (rc == RC_OK && store->next_slot > slots_count(store->salts))
		rc = diag_set(diag, RC_DAMAGED, "%s/salts: shorter than the store says; it is from another time",
			      directory);
	else if (rc != RC_OK)
		diag_set(diag, rc, "%s: the slot counter cannot be read: %s", directory, rc_text(rc));
	txn_abort(txn);
	buffer_deinit(&value);
	return rc;
}

enum rc store_take_lock(struct store *store, const char *directory, struct diag *diag)
{
	char path[PATH_MAX];
	enum rc rc = store_path_in(directory, "open.lock", path);
	if (rc != RC_OK)
		return rc;
	store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->lock_fd < 0)
		return diag_set(diag, errno == ENOSPC ? RC_NOSPACE : RC_IO, "%s: %s", path, strerror(errno));
	if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return diag_set(diag, RC_CONFLICT, "%s: the store is open in another process", directory);
	return RC_OK;
}

enum rc store_open(const struct store_options *options, struct seal *seal, struct store **ret, struct diag *diag)
{
	const char *directory = options->directory;
	bool found = false;
	if (diag != NULL)
		diag->text[0] = '\0';
	if (options->create && mkdir(directory, 0700) != 0 && errno != EEXIST)
		return diag_set(diag, RC_IO, "%s: %s", directory, strerror(errno));
	if (!options->create && access(directory, F_OK) != 0)
		return diag_set(diag, RC_NOTFOUND, "%s: there is no store here", directory);
	struct store *store = calloc(1, sizeof *store);
	if (store == NULL)
		return RC_NOMEM;
	store->seal = seal;
	store->lock_fd = -1;
	pthread_mutex_init(&store->lock, NULL);
	store->directory = strdup(directory);
	enum rc rc = store->directory == NULL ? RC_NOMEM : store_take_lock(store, directory, diag);
	if (rc == RC_OK)
		rc = store_rotation_resume(store, diag);
	if (rc == RC_OK)
		rc = engine_open(directory, options->map_bytes, options->create, &store->engine, diag);
	if (rc == RC_OK)
		rc = read_head(store, directory, &found, diag);
	if (rc == RC_OK && found)
		rc = store_open_slots(store, directory, false, diag);
	else if (rc == RC_OK && options->create)
		rc = make_store(store, directory, diag);
	else if (rc == RC_OK)
		rc = diag_set(diag, RC_NOTFOUND, "%s: there is no store here", directory);
	if (rc == RC_OK)
		rc = load_next_slot(store, directory, diag);
	if (options->inspect && rc == RC_DAMAGED && store->salts != NULL && store->secrets != NULL)
		rc = RC_OK;
	if (rc == RC_OK && store->format < STORE_FORMAT && options->create)
		rc = store_migrate(store, directory, diag);
	if (rc == RC_OK && store->format == STORE_FORMAT && !options->inspect)
		rc = store_counts_check(store, directory, diag);
	if (rc != RC_OK) {
		if (diag != NULL && diag->text[0] == '\0')
			diag_set(diag, rc, "%s: the store cannot be opened: %s", directory, rc_text(rc));
		store_close(store);
		return rc;
	}
	*ret = store;
	return RC_OK;
}

void store_close(struct store *store)
{
	if (store == NULL)
		return;
	slots_close(store->salts);
	slots_close(store->secrets);
	engine_close(store->engine);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	pthread_mutex_destroy(&store->lock);
	free(store->directory);
	free(store);
}

unsigned store_migrated_from(const struct store *store)
{
	return store->migrated_from;
}

bool store_must_stop(const struct store *store)
{
	return engine_is_failed(store->engine);
}

enum rc store_space(struct store *store, uint64_t *ret_map_free, uint64_t *ret_disk_free)
{
	return engine_space(store->engine, ret_map_free, ret_disk_free);
}

enum rc store_room_leaves(uint64_t map_free, uint64_t disk_free, uint64_t bytes, const struct store_reserve *reserve)
{
	if (map_free < reserve->map_bytes || map_free - reserve->map_bytes < bytes || disk_free < reserve->disk_bytes ||
	    disk_free - reserve->disk_bytes < bytes)
		return RC_NOSPACE;
	return RC_OK;
}

enum rc store_check_room(struct store *store, uint64_t bytes, const struct store_reserve *reserve)
{
	uint64_t map_free, disk_free;
	enum rc rc = store_space(store, &map_free, &disk_free);
	return rc == RC_OK ? store_room_leaves(map_free, disk_free, bytes, reserve) : rc;
}
