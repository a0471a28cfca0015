/* Rotation of the sealing key; store.h has the steps.
 *
 * Invariant: at every moment all that is sealed opens under the key that head and `rotation` file lead to from either
 * key. The file (magic, numbers of both keys, the new key sealed under the old, the old sealed under the new) is durable
 * before the new key seals anything, and is destroyed only after the head, which is sealed under the new key as the last
 * of all values, is durable. Slots are wrapped again in place, so that not even the old pages that LMDB keeps can be
 * opened: what they refer to is gone. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/store/internal.h"
#include "keys/durable.h"

enum {
	MAGIC_LEN = 8,
	FILE_LEN = MAGIC_LEN + 2 * SEAL_HANDOVER_LEN,
	SLICE_VALUES = 256,
	SLICE_VISITS = 4096,
	SLICE_SLOTS = 2048,
};
static const size_t slice_bytes = (size_t)1 << 20;
static const uint8_t file_magic[MAGIC_LEN] = "TCROTAT1";

/* ---- the file ---- */

static enum rc rotation_path(const struct store *store, const char *suffix, char out[PATH_MAX])
{
	char name[32];
	snprintf(name, sizeof name, "rotation%s", suffix);
	return store_path(store, name, out);
}

static enum rc write_synced(const char *path, int flags, const uint8_t data[FILE_LEN])
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	if (fd < 0)
		return errno == ENOENT ? RC_NOTFOUND : errno == ENOSPC ? RC_NOSPACE : RC_IO;
	enum rc rc = durable_write(fd, data, FILE_LEN);
	if (rc == RC_OK && fsync(fd) != 0)
		rc = RC_IO;
	if (close(fd) != 0 && rc == RC_OK)
		rc = RC_IO;
	return rc;
}

static enum rc write_file(const struct store *store, const uint8_t file[FILE_LEN])
{
	char path[PATH_MAX], temporary[PATH_MAX];
	enum rc rc = rotation_path(store, "", path);
	if (rc == RC_OK)
		rc = rotation_path(store, ".new", temporary);
	if (rc != RC_OK)
		return rc;
	/* What a crash left half-made was never used. */
	rc = write_synced(temporary, O_CREAT | O_TRUNC, file);
	if (rc == RC_OK && rename(temporary, path) != 0)
		rc = RC_IO;
	return rc == RC_OK ? durable_sync_folder(path) : rc;
}

/* Errors: NOTFOUND. */
static enum rc read_file(const struct store *store, uint8_t file[FILE_LEN])
{
	char path[PATH_MAX];
	uint8_t raw[FILE_LEN + 1];
	enum rc rc = rotation_path(store, "", path);
	if (rc != RC_OK)
		return rc;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? RC_NOTFOUND : RC_IO;
	ssize_t n = read(fd, raw, sizeof raw);
	close(fd);
	if (n < 0)
		return RC_IO;
	if (n != FILE_LEN || memcmp(raw, file_magic, MAGIC_LEN) != 0)
		return RC_DAMAGED;
	memcpy(file, raw, FILE_LEN);
	return RC_OK;
}

/* Overwrite, then remove: the wraps of the keys must not lie about in free space. */
static enum rc destroy_file(const struct store *store)
{
	static const uint8_t zeros[FILE_LEN];
	char path[PATH_MAX];
	enum rc rc = rotation_path(store, "", path);
	if (rc != RC_OK)
		return rc;
	rc = write_synced(path, 0, zeros);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc == RC_OK && unlink(path) != 0)
		rc = RC_IO;
	return rc == RC_OK ? durable_sync_folder(path) : rc;
}

/* ---- begin and resume ---- */

enum rc store_rotation_begin(struct store *store, const uint8_t handover[SEAL_HANDOVER_LEN])
{
	uint8_t file[FILE_LEN];
	memcpy(file, file_magic, MAGIC_LEN);
	memcpy(file + MAGIC_LEN, handover, SEAL_HANDOVER_LEN);
	enum rc rc = seal_hand_back(store->seal, handover, file + MAGIC_LEN + SEAL_HANDOVER_LEN);
	if (rc == RC_OK)
		rc = write_file(store, file);
	if (rc == RC_OK)
		rc = seal_take_over(store->seal, handover);
	if (rc != RC_OK)
		return rc;
	pthread_mutex_lock(&store->lock);
	store->rotating = true;
	pthread_mutex_unlock(&store->lock);
	return RC_OK;
}

/* A file of zeros is one that was being destroyed: the rotation was over. */
static bool is_destroyed(const struct store *store)
{
	char path[PATH_MAX];
	uint8_t raw[FILE_LEN];
	int fd = rotation_path(store, "", path) == RC_OK ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	if (fd < 0)
		return false;
	ssize_t n = read(fd, raw, sizeof raw);
	close(fd);
	for (ssize_t i = 0; i < n; i++) {
		if (raw[i] != 0)
			return false;
	}
	return n == FILE_LEN;
}

enum rc store_rotation_resume(struct store *store, struct diag *diag)
{
	uint8_t file[FILE_LEN];
	enum rc rc = read_file(store, file);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc == RC_DAMAGED && is_destroyed(store))
		return destroy_file(store);
	if (rc != RC_OK)
		return diag_set(diag, rc, "%s/rotation: the file of an unfinished rotation of the sealing key is %s",
				store->directory, rc == RC_DAMAGED ? "damaged" : "not readable");
	uint16_t old = seal_message_number(file + MAGIC_LEN, SEAL_HANDOVER_LEN);
	uint16_t new = seal_message_number(file + MAGIC_LEN + SEAL_HANDOVER_LEN, SEAL_HANDOVER_LEN);
	if (seal_key_number(store->seal) == old)
		rc = seal_take_over(store->seal, file + MAGIC_LEN);
	else
		rc = seal_take_back(store->seal, file + MAGIC_LEN + SEAL_HANDOVER_LEN);
	if (rc != RC_OK)
		return diag_set(diag, rc,
				"%s: the sealing key is being rotated from number %04x to %04x, and seal_key is neither",
				store->directory, old, new);
	store->rotating = true;
	return RC_OK;
}

bool store_is_rotating(struct store *store)
{
	pthread_mutex_lock(&store->lock);
	bool rotating = store->rotating;
	pthread_mutex_unlock(&store->lock);
	return rotating;
}

/* ---- slices ---- */

struct gather {
	struct store_rotation *rotation;
	uint16_t number; /* of the key that seals */
	struct store_key keys[SLICE_VALUES];
	size_t n, n_visits, bytes;
};

static enum rc gather_one(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct gather *g = ctx;
	struct store_rotation *rotation = g->rotation;
	if (g->n == SLICE_VALUES || g->bytes > slice_bytes || g->n_visits == SLICE_VISITS || key_len > STORE_KEY_CAP)
		return key_len > STORE_KEY_CAP ? RC_DAMAGED : RC_BUSY;
	if (key[0] == STORE_CHUNK) {
		/* Chunks have keys of their own, which are in the slots: on to the class behind. */
		rotation->at[0] = STORE_CHUNK + 1;
		rotation->at_len = 1;
		g->n_visits++;
		return RC_BUSY;
	}
	memcpy(rotation->at, key, key_len);
	rotation->at[key_len] = 0; /* the next key there can be */
	rotation->at_len = key_len + 1;
	g->n_visits++;
	if (store_key_is_head(key, key_len) || seal_message_number(value, len) == g->number)
		return RC_OK;
	memcpy(g->keys[g->n].bytes, key, key_len);
	g->keys[g->n++].len = key_len;
	g->bytes += len;
	return RC_OK;
}

static enum rc reseal_values(struct txn *txn, struct store_rotation *rotation, bool *ret_done)
{
	struct gather *g = calloc(1, sizeof *g);
	if (g == NULL)
		return RC_NOMEM;
	g->rotation = rotation;
	g->number = seal_key_number(txn->store->seal);
	if (rotation->at_len == 0)
		rotation->at_len = 1; /* a zero byte: before every class */
	enum rc rc = engine_scan_from(txn->engine_txn, rotation->at, rotation->at_len, gather_one, g);
	*ret_done = rc == RC_OK;
	if (rc == RC_BUSY)
		rc = RC_OK;
	for (size_t i = 0; i < g->n && rc == RC_OK; i++)
		rc = store_reseal(txn, &g->keys[i], &rotation->n_damaged);
	rotation->n_values += g->n;
	free(g);
	return rc;
}

static enum rc rewrap_slots(struct slots *slots, uint64_t *next, uint64_t *n_slots, bool *ret_done)
{
	uint64_t count = slots_count(slots), n = *next < count ? count - *next : 0;
	if (n > SLICE_SLOTS)
		n = SLICE_SLOTS;
	*ret_done = n == 0;
	enum rc rc = n == 0 ? RC_OK : slots_rewrap(slots, *next, n);
	if (rc == RC_OK) {
		*next += n;
		*n_slots += n;
	}
	return rc;
}

enum rc store_rotation_slice(struct txn *txn, const struct store_rotation *rotation, struct store_rotation *ret_next,
			     bool *ret_done)
{
	struct store *store = txn->store;
	struct store_rotation r = *rotation;
	bool done = false;
	enum rc rc = txn_status(txn);
	if (rc == RC_OK)
		rc = rewrap_slots(store->secrets, &r.next_secret, &r.n_slots, &done);
	if (rc == RC_OK && done)
		rc = rewrap_slots(store->salts, &r.next_salt, &r.n_slots, &done);
	if (rc == RC_OK && done)
		rc = reseal_values(txn, &r, &done);
	if (rc != RC_OK)
		return store_fail(txn, rc);
	*ret_next = r;
	*ret_done = done;
	return RC_OK;
}

/* ---- the end ---- */

enum rc store_rotation_finish(struct txn *txn)
{
	return store_fail(txn, store_write_head(txn->store, txn->engine_txn));
}

enum rc store_rotation_end(struct store *store)
{
	enum rc rc = destroy_file(store);
	if (rc != RC_OK)
		return rc;
	pthread_mutex_lock(&store->lock);
	store->rotating = false;
	store->epoch = !store->epoch;
	store->drop_old = store->n_readers[!store->epoch] > 0;
	if (!store->drop_old)
		seal_drop_old(store->seal);
	pthread_mutex_unlock(&store->lock);
	return RC_OK;
}
