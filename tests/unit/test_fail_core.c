/* libs: tc_core tc_store tc_link tc_stats tc_audit tc_keys tc_proto */
/* wraps: malloc calloc realloc reallocarray aligned_alloc strdup strndup sha256 sha256_new sha256_copy */
/* wraps: sha256_labelled */
/* wraps: open openat read write pread pwrite fsync fdatasync fstat flock mkdir renameat linkat mmap mlock */
/* wraps: getrandom EVP_DigestVerifyInit EVP_DigestVerify EVP_DigestSignInit EVP_DigestSign */
/* wraps: EVP_PKEY_new_raw_public_key EVP_PKEY_new_raw_private_key EVP_PKEY_get_raw_public_key */
/* wraps: EVP_CIPHER_fetch EVP_CIPHER_CTX_new EVP_CIPHER_CTX_ctrl EVP_CipherInit_ex2 EVP_CipherUpdate */
/* wraps: EVP_CipherFinal_ex EVP_KDF_fetch EVP_KDF_CTX_new EVP_KDF_derive HMAC */
/* wraps: mdb_env_create mdb_env_set_mapsize mdb_env_set_maxreaders mdb_env_open mdb_txn_begin mdb_dbi_open */
/* wraps: mdb_txn_commit mdb_put mdb_get mdb_del mdb_cursor_open mdb_cursor_get mdb_env_info mdb_env_stat */
/* Memory, files, OpenSSL or LMDB failing at the Nth call of the writer with its log and signer, and of a rotation of
 * the sealing key: what was said to be done is there, once and signed; what was not is there whole or not at all; and
 * the next start goes on. */
#define FAIL_MEMORY
#define FAIL_FILES
#define FAIL_CRYPTO
#define FAIL_LMDB
#include "tests/unit/fail_nth.h"

#include "daemon/core/write_queue.h"
#include "daemon/store/store.h"
#include "keys/key_file.h"
#include "keys/log_key.h"

#define ORIGIN "example.org/fail"

enum { MAP_BYTES = 1 << 20 };
static const uint8_t key_a[32] = {1, 2, 3}, key_b[32] = {4, 5, 6};

struct place {
	char folder[64], store[96], key[96];
	struct seal *seal;
	uint64_t n_acknowledged; /* jobs of the runs in this place */
	uint8_t handover[SEAL_HANDOVER_LEN];
};

static void must(bool fits)
{
	if (!fits)
		abort();
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	fail_make_folder(p->folder);
	snprintf(p->store, sizeof p->store, "%s/store", p->folder);
	snprintf(p->key, sizeof p->key, "%s/log.key", p->folder);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	fail_empty_both(p->folder, p->store);
	rmdir(p->folder);
	free(p);
	return 0;
}

static void remove_all(void *ctx)
{
	struct place *p = ctx;
	fail_empty_both(p->folder, p->store);
}

static enum rc open_store(const struct place *p, struct seal *seal, struct store **ret)
{
	const struct store_options options = {.directory = p->store, .map_bytes = MAP_BYTES, .create = true};
	return store_open(&options, seal, ret, NULL);
}

/* ---- the writer, its log and its signer ---- */

/* Everything that a job needs, opened in the daemon's order. */
struct writer_side {
	struct seal *seal;
	struct store *store;
	struct log_signer *signer;
	struct audit_log *log;
	struct write_queue *q;
};

static void on_fault(void *ctx, enum rc rc)
{
}

static enum rc side_open(const struct place *p, struct writer_side *s)
{
	memset(s, 0, sizeof *s);
	enum rc rc = seal_new(key_a, &s->seal);
	if (rc == RC_OK)
		rc = log_signer_open(p->key, "", ORIGIN, &s->signer, NULL);
	if (rc == RC_OK)
		rc = open_store(p, s->seal, &s->store);
	if (rc == RC_OK)
		rc = audit_log_open(s->store, s->signer, NULL, NULL, &s->log, NULL);
	return rc == RC_OK ? write_queue_new(s->store, s->log, on_fault, NULL, &s->q) : rc;
}

static void side_close(struct writer_side *s)
{
	write_queue_free(s->q);
	audit_log_free(s->log);
	store_close(s->store);
	log_signer_close(s->signer);
	seal_close(s->seal);
}

/* Of entry n: its effect, and what needed the signature. */
static struct store_key effect_key(uint64_t n, bool settled)
{
	struct store_key key;
	store_key_init(&key, settled ? STORE_RECEIPT : STORE_BATCH);
	store_key_u64(&key, n);
	return key;
}

struct job {
	struct write_job job; /* first: cast back from it */
	struct audit_log *log;
	uint64_t index;
};

static enum rc apply(struct write_job *job, struct txn *txn)
{
	struct job *j = (struct job *)job;
	json_t *fields = json_pack("{s:s}", "source", "prison");
	enum rc rc = fields == NULL ? RC_NOMEM : audit_log_append(j->log, txn, ENTRY_BATCH, NULL, fields, &j->index);
	json_decref(fields);
	if (rc != RC_OK)
		return rc;
	struct store_key key = effect_key(j->index, false);
	rc = store_put(txn, &key, "effect", 6);
	return rc == RC_OK ? store_put_chunk(txn, j->index, 0, "records", 7) : rc;
}

static enum rc settle(struct write_job *job, struct txn *txn)
{
	struct job *j = (struct job *)job;
	struct store_key key = effect_key(j->index, true);
	return store_put(txn, &key, "receipt", 7);
}

static void writer_setup(void *ctx)
{
	static const uint8_t log_key[32] = {7};
	struct place *p = ctx;
	struct writer_side s;
	p->n_acknowledged = 0;
	must(key_file_write(p->key, "log", log_key, NULL) == RC_OK);
	must(log_signer_create(p->key, "", ORIGIN, NULL, 0, NULL) == RC_OK);
	must(side_open(p, &s) == RC_OK); /* a store that is there */
	side_close(&s);
}

static enum rc writer_run(void *ctx)
{
	struct place *p = ctx;
	struct writer_side s;
	enum rc rc = side_open(p, &s);
	for (int i = 0; i < 2 && rc == RC_OK; i++) {
		struct job job = {.job = {.apply = apply, .settle = settle}, .log = s.log};
		rc = write_queue_call(s.q, &job.job);
		p->n_acknowledged += rc == RC_OK;
	}
	side_close(&s);
	return rc;
}

/* Is what entry n stands for there? *ret_settled: with what needed the signature. */
static bool effect_is_there(struct store *store, uint64_t n, bool *ret_settled)
{
	struct store_key effect = effect_key(n, false), settled = effect_key(n, true);
	struct txn *txn = NULL;
	must(txn_begin_read(store, &txn) == RC_OK);
	enum rc rc = store_has(txn, &effect), chunk = store_has_chunk(txn, n, 0), receipt = store_has(txn, &settled);
	txn_abort(txn);
	must(rc == chunk && (rc == RC_OK || rc == RC_NOTFOUND)); /* both or neither */
	*ret_settled = receipt == RC_OK;
	return rc == RC_OK;
}

/* Log, signer and store agree; every entry has its effect and no other effect is there; no less than what was
 * acknowledged, each with what needed its signature. */
static bool writer_check(void *ctx, enum rc rc)
{
	struct place *p = ctx;
	struct writer_side s;
	uint64_t n_settled = 0;
	bool settled, fits = side_open(p, &s) == RC_OK;
	uint64_t size = fits ? audit_log_size(s.log) : 0;
	fits = fits && audit_log_signed_size(s.log) == size && size >= p->n_acknowledged;
	for (uint64_t i = 0; fits && i < size; i++) {
		fits = effect_is_there(s.store, i, &settled);
		n_settled += settled;
	}
	fits = fits && !effect_is_there(s.store, size, &settled) && !settled && n_settled >= p->n_acknowledged;
	side_close(&s);
	return fits && rc != RC_FORK;
}

static void test_writer(void **state)
{
	struct fail_case f = {.name = "writer, log and signer",
			      .setup = writer_setup,
			      .run = writer_run,
			      .check = writer_check,
			      .teardown = remove_all,
			      .ctx = *state};
	fail_each(&f);
}

/* ---- rotation of the sealing key ---- */

enum { N_VALUES = 40, N_CHUNKS = 4 };

static void rotation_setup(void *ctx)
{
	struct place *p = ctx;
	struct seal *seal = NULL;
	struct store *store = NULL;
	struct txn *txn = NULL;
	uint8_t secret[32] = {5};
	must(seal_new(key_a, &seal) == RC_OK && open_store(p, seal, &store) == RC_OK);
	must(seal_hand_over(seal, key_b, p->handover) == RC_OK);
	must(txn_begin_write(store, &txn) == RC_OK);
	for (uint64_t n = 0; n < N_VALUES; n++) {
		struct store_key key = effect_key(n, false);
		must(store_put(txn, &key, "effect", 6) == RC_OK);
	}
	for (uint32_t c = 0; c < N_CHUNKS; c++)
		must(store_put_chunk(txn, 0, c, "records", 7) == RC_OK);
	must(txn_commit(&txn) == RC_OK);
	must(store_secret_put(store, 3, secret) == RC_OK);
	store_close(store);
	seal_close(seal);
}

static enum rc rotate(struct store *store, const uint8_t handover[SEAL_HANDOVER_LEN])
{
	struct store_rotation at = {.at_len = 0}, next;
	struct txn *txn = NULL;
	bool done = false;
	enum rc rc = store_is_rotating(store) ? RC_OK : store_rotation_begin(store, handover);
	while (rc == RC_OK && !done) {
		rc = txn_begin_write(store, &txn);
		if (rc == RC_OK)
			rc = store_rotation_slice(txn, &at, &next, &done);
		if (rc == RC_OK)
			rc = txn_commit(&txn);
		txn_abort(txn);
		txn = NULL;
		if (rc == RC_OK)
			at = next;
	}
	if (rc == RC_OK && at.n_damaged > 0)
		rc = RC_INTERNAL;
	if (rc == RC_OK)
		rc = txn_begin_write(store, &txn);
	if (rc == RC_OK)
		rc = store_rotation_finish(txn);
	if (rc == RC_OK)
		rc = txn_commit(&txn);
	txn_abort(txn);
	return rc == RC_OK ? store_rotation_end(store) : rc;
}

/* With the old key, or with the new one where that is the only one by now. */
static enum rc rotation_run(void *ctx)
{
	struct place *p = ctx;
	struct seal *seal = NULL;
	struct store *store = NULL;
	enum rc rc = seal_new(key_a, &seal);
	if (rc == RC_OK)
		rc = open_store(p, seal, &store);
	if (rc == RC_OK) {
		rc = rotate(store, p->handover);
	} else if (rc == RC_KEY) {
		seal_close(seal);
		seal = NULL;
		rc = seal_new(key_b, &seal);
		if (rc == RC_OK)
			rc = open_store(p, seal, &store);
		if (rc == RC_OK && store_is_rotating(store))
			rc = rotate(store, p->handover);
	}
	store_close(store);
	seal_close(seal);
	return rc;
}

static bool all_can_be_read(struct store *store)
{
	struct txn *txn = NULL;
	struct buffer out;
	uint8_t secret[32] = {0};
	buffer_init(&out);
	must(txn_begin_read(store, &txn) == RC_OK);
	bool fits = store_secret_get(store, 3, secret) == RC_OK && secret[0] == 5;
	for (uint64_t n = 0; n < N_VALUES && fits; n++) {
		struct store_key key = effect_key(n, false);
		buffer_reset(&out);
		fits = store_get(txn, &key, &out) == RC_OK && out.len == 6 && memcmp(out.data, "effect", 6) == 0;
	}
	for (uint32_t c = 0; c < N_CHUNKS && fits; c++) {
		buffer_reset(&out);
		fits = store_get_chunk(txn, 0, c, &out) == RC_OK && out.len == 7 && memcmp(out.data, "records", 7) == 0;
	}
	txn_abort(txn);
	buffer_deinit(&out);
	return fits;
}

/* RC_OK: it opens with this key, and everything in it. */
static enum rc open_with(const struct place *p, const uint8_t key[32], bool *ret_rotating)
{
	struct seal *seal = NULL;
	struct store *store = NULL;
	must(seal_new(key, &seal) == RC_OK);
	enum rc rc = open_store(p, seal, &store);
	if (rc == RC_OK && !all_can_be_read(store))
		rc = RC_DAMAGED;
	if (rc == RC_OK)
		*ret_rotating = store_is_rotating(store);
	store_close(store);
	seal_close(seal);
	return rc;
}

/* Either key while it lasts, then the new one alone; never none. */
static bool rotation_check(void *ctx, enum rc rc)
{
	const struct place *p = ctx;
	bool by_old = false, by_new = false;
	enum rc old = open_with(p, key_a, &by_old), new = open_with(p, key_b, &by_new);
	if (rc == RC_OK)
		return old == RC_KEY && new == RC_OK && !by_new;
	if (old == RC_OK && new == RC_OK)
		return by_old && by_new;
	return (old == RC_OK && new == RC_KEY && !by_old) || (old == RC_KEY && new == RC_OK && !by_new);
}

static void test_rotation(void **state)
{
	struct fail_case f = {.name = "rotation",
			      .setup = rotation_setup,
			      .run = rotation_run,
			      .check = rotation_check,
			      .teardown = remove_all,
			      .ctx = *state,
			      .dense = 300};
	fail_each(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
	};
	json_set_alloc_funcs(fail_jansson_malloc, free);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
