/* The audit log; audit_log.h has the rules.
 *
 * Invariant: signed_size <= committed <= tree size, and the signer's own state is what signed_size was last. The
 * entries are the truth; the tree is rebuilt from them at every start, so that a damaged or foreign entry is found
 * then and not when an auditor looks. */
#include "daemon/core/audit_log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/audit/tree.h"
#include "proto/tlog.h"

struct audit_log {
	struct store *store;
	struct log_signer *signer;
	int64_t committed_time; /* the writer thread's own */

	pthread_mutex_t lock; /* guards all below */
	uint64_t committed;
	struct tree *tree;
	int64_t last_time;
	uint64_t signed_size;
	struct buffer checkpoint; /* signed note of signed_size */
};

static void entry_key(struct store_key *key, uint64_t index)
{
	store_key_init(key, STORE_ENTRY);
	store_key_u64(key, index);
}

/* ---- opening ---- */

struct rebuild {
	struct audit_log *log;
	audit_log_replay replay;
	void *ctx;
	struct diag *diag;
};

/* What was skimmed is no entry: what the parser says is wrong with it. */
static enum rc say_what_it_is(struct rebuild *r, uint64_t index, const char *text, size_t len)
{
	struct diag why = {""};
	enum entry_kind kind;
	json_t *fields = NULL;
	int64_t t;
	if (entry_parse(text, len, &kind, &t, &fields, &why) == RC_OK)
		json_decref(fields);
	return diag_set(r->diag, RC_DAMAGED, "log entry %" PRIu64 " is not a log entry: %s", index, why.text);
}

static enum rc rebuild_one(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct rebuild *r = ctx;
	struct audit_log *log = r->log;
	struct reader in;
	enum entry_kind kind;
	int64_t t;
	const char *text = (const char *)value;
	reader_init(&in, key + 1, key_len - 1);
	uint64_t index = read_u64(&in), expected = tree_size(log->tree);
	if (reader_end(&in) != RC_OK || index != expected)
		return diag_set(r->diag, RC_DAMAGED, "log entry %" PRIu64 " is missing from the store", expected);
	enum rc rc = entry_skim(text, len, &kind, &t);
	if (rc != RC_OK)
		return say_what_it_is(r, index, text, len);
	if (t < log->last_time)
		rc = diag_set(r->diag, RC_DAMAGED, "log entry %" PRIu64 " is dated before the one in front of it",
			      index);
	struct tlog_hash leaf = tlog_leaf_hash(value, len);
	if (rc == RC_OK)
		rc = tree_append(log->tree, &leaf);
	if (rc == RC_OK)
		log->last_time = t;
	if (rc == RC_OK && r->replay != NULL)
		rc = r->replay(r->ctx, index, kind, t, text, len);
	return rc;
}

static enum rc rebuild(struct audit_log *log, audit_log_replay replay, void *ctx, struct diag *diag)
{
	struct rebuild r = {.log = log, .replay = replay, .ctx = ctx, .diag = diag};
	struct store_key prefix;
	struct txn *txn = NULL;
	enum rc rc = txn_begin_read(log->store, &txn);
	if (rc != RC_OK)
		return rc;
	store_key_init(&prefix, STORE_ENTRY);
	rc = store_scan(txn, &prefix, rebuild_one, &r);
	txn_abort(txn);
	if (rc == RC_DAMAGED && diag != NULL && diag->text[0] == '\0')
		diag_set(diag, rc, "log entry %" PRIu64 " does not open: it was damaged on disk", tree_size(log->tree));
	return rc;
}

/* A store that is not the one that was signed must never be served: it would fork the log or refund the ledger. */
static enum rc compare_with_signer(struct audit_log *log, struct diag *diag)
{
	uint64_t signed_size, size = tree_size(log->tree);
	struct tlog_hash signed_root, root;
	log_signer_state(log->signer, &signed_size, &signed_root);
	if (size < signed_size)
		return diag_set(diag, RC_FORK,
				"the store holds %" PRIu64 " log entries but %" PRIu64
				" were signed: it is an older copy; restore the newest store, never sign over a gap",
				size, signed_size);
	if (signed_size == 0)
		return RC_OK;
	enum rc rc = tree_root(log->tree, signed_size, &root);
	if (rc != RC_OK)
		return rc;
	if (memcmp(root.b, signed_root.b, TLOG_HASH_LEN) != 0)
		return diag_set(diag, RC_FORK,
				"the first %" PRIu64 " log entries of the store are not the ones that were signed: "
				"it belongs to another log or was changed",
				signed_size);
	return RC_OK;
}

enum rc audit_log_open(struct store *store, struct log_signer *signer, audit_log_replay replay, void *ctx,
		       struct audit_log **ret, struct diag *diag)
{
	struct audit_log *log = calloc(1, sizeof *log);
	if (log == NULL)
		return RC_NOMEM;
	if (diag != NULL)
		diag->text[0] = '\0';
	log->store = store;
	log->signer = signer;
	pthread_mutex_init(&log->lock, NULL);
	buffer_init(&log->checkpoint);
	enum rc rc = tree_new(&log->tree);
	if (rc == RC_OK)
		rc = rebuild(log, replay, ctx, diag);
	if (rc == RC_OK && signer != NULL)
		rc = compare_with_signer(log, diag);
	if (rc == RC_OK) {
		audit_log_commit(log);
		rc = signer != NULL ? audit_log_sign(log) : RC_OK;
	}
	if (rc != RC_OK) {
		if (diag != NULL && diag->text[0] == '\0')
			diag_set(diag, rc, "the log cannot be opened: %s", rc_text(rc));
		audit_log_free(log);
		return rc;
	}
	*ret = log;
	return RC_OK;
}

void audit_log_free(struct audit_log *log)
{
	if (log == NULL)
		return;
	tree_free(log->tree);
	buffer_deinit(&log->checkpoint);
	pthread_mutex_destroy(&log->lock);
	free(log);
}

enum rc audit_log_look(struct store *store, audit_log_replay replay, void *ctx, uint64_t *ret_size,
		       struct tlog_hash *ret_root, struct diag *diag)
{
	struct audit_log log = {.store = store};
	struct tlog_hash root;
	if (diag != NULL)
		diag->text[0] = '\0';
	enum rc rc = tree_new(&log.tree);
	if (rc == RC_OK)
		rc = rebuild(&log, replay, ctx, diag);
	if (rc == RC_OK)
		rc = tree_root(log.tree, tree_size(log.tree), &root);
	if (rc == RC_OK) {
		*ret_size = tree_size(log.tree);
		*ret_root = root;
	} else if (diag != NULL && diag->text[0] == '\0') {
		diag_set(diag, rc, "the log cannot be read: %s", rc_text(rc));
	}
	tree_free(log.tree);
	return rc;
}

/* ---- the writer thread's part ---- */

enum rc audit_log_append(struct audit_log *log, struct txn *txn, enum entry_kind kind, const struct entry_who *who,
			 const json_t *fields, uint64_t *ret_index)
{
	return audit_log_append_at(log, txn, audit_log_now(log), kind, who, fields, ret_index);
}

enum rc audit_log_append_at(struct audit_log *log, struct txn *txn, int64_t time, enum entry_kind kind,
			    const struct entry_who *who, const json_t *fields, uint64_t *ret_index)
{
	struct buffer text;
	struct store_key key;
	buffer_init(&text);
	uint64_t index = audit_log_size(log);
	enum rc rc = entry_build(kind, time, who, fields, &text);
	entry_key(&key, index);
	/* The tree first: where that has no memory, nothing was put, and the job may be refused without the others of
	 * its transaction. A put that fails takes the transaction with it, and audit_log_rollback() the leaf. */
	if (rc == RC_OK) {
		struct tlog_hash leaf = tlog_leaf_hash(text.data, text.len);
		pthread_mutex_lock(&log->lock);
		rc = tree_append(log->tree, &leaf);
		if (rc == RC_OK)
			log->last_time = time;
		pthread_mutex_unlock(&log->lock);
	}
	if (rc == RC_OK)
		rc = store_put(txn, &key, text.data, text.len);
	if (rc == RC_OK && ret_index != NULL)
		*ret_index = index;
	buffer_deinit(&text);
	return rc;
}

uint64_t audit_log_size(struct audit_log *log)
{
	pthread_mutex_lock(&log->lock);
	uint64_t size = tree_size(log->tree);
	pthread_mutex_unlock(&log->lock);
	return size;
}

void audit_log_rollback(struct audit_log *log)
{
	pthread_mutex_lock(&log->lock);
	tree_truncate(log->tree, log->committed);
	log->last_time = log->committed_time;
	pthread_mutex_unlock(&log->lock);
}

void audit_log_commit(struct audit_log *log)
{
	pthread_mutex_lock(&log->lock);
	log->committed = tree_size(log->tree);
	log->committed_time = log->last_time;
	pthread_mutex_unlock(&log->lock);
}

enum rc audit_log_sign(struct audit_log *log)
{
	uint64_t old_size;
	struct tlog_hash old_root, root;
	struct tlog_proof proof = {.n = 0};
	struct buffer note;
	log_signer_state(log->signer, &old_size, &old_root);
	pthread_mutex_lock(&log->lock);
	uint64_t size = log->committed;
	bool is_signed = log->checkpoint.len > 0 && log->signed_size == size;
	enum rc rc = is_signed ? RC_OK : tree_root(log->tree, size, &root);
	if (rc == RC_OK && !is_signed && old_size > 0 && old_size < size)
		rc = tree_consistency(log->tree, old_size, size, &proof);
	pthread_mutex_unlock(&log->lock);
	if (rc != RC_OK || is_signed)
		return rc;
	buffer_init(&note);
	rc = log_signer_sign(log->signer, size, &root, &proof, &note);
	if (rc == RC_OK && note.failed)
		rc = RC_NOMEM;
	if (rc != RC_OK) {
		buffer_deinit(&note);
		return rc;
	}
	pthread_mutex_lock(&log->lock);
	buffer_deinit(&log->checkpoint);
	log->checkpoint = note;
	log->signed_size = size;
	pthread_mutex_unlock(&log->lock);
	return RC_OK;
}

/* ---- reading ---- */

uint64_t audit_log_signed_size(struct audit_log *log)
{
	pthread_mutex_lock(&log->lock);
	uint64_t size = log->signed_size;
	pthread_mutex_unlock(&log->lock);
	return size;
}

enum rc audit_log_signed(struct audit_log *log, uint64_t *ret_size, struct tlog_hash *ret_root)
{
	pthread_mutex_lock(&log->lock);
	enum rc rc = tree_root(log->tree, log->signed_size, ret_root);
	if (rc == RC_OK)
		*ret_size = log->signed_size;
	pthread_mutex_unlock(&log->lock);
	return rc;
}

int64_t audit_log_now(struct audit_log *log)
{
	pthread_mutex_lock(&log->lock);
	int64_t now = (int64_t)time(NULL), last = log->last_time;
	pthread_mutex_unlock(&log->lock);
	return now > last ? now : last;
}

enum rc audit_log_checkpoint(struct audit_log *log, struct buffer *out)
{
	pthread_mutex_lock(&log->lock);
	buffer_append(out, log->checkpoint.data, log->checkpoint.len);
	pthread_mutex_unlock(&log->lock);
	return out->failed ? RC_NOMEM : RC_OK;
}

enum rc audit_log_was_signed(struct audit_log *log, uint64_t size, const struct tlog_hash *root)
{
	struct tlog_hash is;
	pthread_mutex_lock(&log->lock);
	enum rc rc = size <= log->signed_size ? tree_root(log->tree, size, &is) : RC_NOTFOUND;
	pthread_mutex_unlock(&log->lock);
	return rc == RC_OK && memcmp(is.b, root->b, TLOG_HASH_LEN) != 0 ? RC_CONFLICT : rc;
}

enum rc audit_log_proof(struct audit_log *log, uint64_t index, struct buffer *out)
{
	struct tlog_proof proof;
	pthread_mutex_lock(&log->lock);
	enum rc rc =
		index < log->signed_size ? tree_inclusion(log->tree, index, log->signed_size, &proof) : RC_NOTFOUND;
	if (rc == RC_OK)
		rc = tlog_proof_format(index, &proof, (const char *)log->checkpoint.data, log->checkpoint.len, out);
	pthread_mutex_unlock(&log->lock);
	return rc;
}

enum rc audit_log_consistency(struct audit_log *log, uint64_t old_size, uint64_t new_size, struct buffer *out)
{
	struct tlog_proof proof;
	pthread_mutex_lock(&log->lock);
	enum rc rc = old_size > 0 && old_size <= new_size && new_size <= log->signed_size
			     ? tree_consistency(log->tree, old_size, new_size, &proof)
			     : RC_NOTFOUND;
	pthread_mutex_unlock(&log->lock);
	return rc == RC_OK ? tlog_hashes_format(&proof, out) : rc;
}

enum rc audit_log_entry(struct txn *txn, uint64_t index, struct buffer *out)
{
	struct store_key key;
	entry_key(&key, index);
	return store_get(txn, &key, out);
}

static enum rc entry_bundle(struct txn *txn, uint64_t first, unsigned width, struct buffer *out)
{
	struct buffer entry;
	enum rc rc = RC_OK;
	buffer_init(&entry);
	for (unsigned i = 0; i < width && rc == RC_OK; i++) {
		buffer_reset(&entry);
		rc = audit_log_entry(txn, first + i, &entry);
		if (rc == RC_OK)
			rc = tlog_bundle_append(out, entry.data, entry.len);
	}
	buffer_deinit(&entry);
	return rc == RC_NOTFOUND ? RC_DAMAGED : rc;
}

/* Do the `width` first hashes (or entries) of this tile lie inside the signed tree? */
static bool tile_is_signed(uint64_t signed_size, int level, uint64_t index, unsigned width)
{
	unsigned shift = level <= 0 ? 0 : TLOG_TILE_HEIGHT * (unsigned)level;
	if (shift >= 64 || width == 0)
		return false;
	uint64_t there = signed_size >> shift;
	return index < UINT64_MAX / TLOG_TILE_WIDTH && index * TLOG_TILE_WIDTH + width <= there;
}

enum rc audit_log_tile(struct audit_log *log, struct txn *txn, const char *path, struct buffer *out, bool *ret_full)
{
	int level;
	uint64_t index;
	unsigned width;
	enum rc rc = tlog_tile_path_parse(path, &level, &index, &width);
	if (rc != RC_OK)
		return rc;
	pthread_mutex_lock(&log->lock);
	if (!tile_is_signed(log->signed_size, level, index, width))
		rc = RC_NOTFOUND;
	else if (level >= 0)
		rc = tree_tile(log->tree, (unsigned)level, index, width, out);
	pthread_mutex_unlock(&log->lock);
	if (rc == RC_OK && level < 0)
		rc = entry_bundle(txn, index * TLOG_TILE_WIDTH, width, out);
	if (rc == RC_OK)
		*ret_full = width == TLOG_TILE_WIDTH;
	return rc;
}
