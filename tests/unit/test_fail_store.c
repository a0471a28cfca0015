/* libs: tc_store tc_keys tc_proto */
/* wraps: malloc calloc realloc reallocarray aligned_alloc strdup strndup sha256_new sha256_copy */
/* wraps: sha256 sha256_labelled */
/* wraps: open openat read write pread pwrite fsync fdatasync fstat flock mkdir renameat linkat mmap mlock */
/* wraps: getrandom EVP_DigestVerifyInit EVP_DigestVerify EVP_DigestSignInit EVP_DigestSign */
/* wraps: EVP_PKEY_new_raw_public_key EVP_PKEY_new_raw_private_key EVP_PKEY_get_raw_public_key */
/* wraps: EVP_CIPHER_fetch EVP_CIPHER_CTX_new EVP_CIPHER_CTX_ctrl EVP_CipherInit_ex2 EVP_CipherUpdate */
/* wraps: EVP_CipherFinal_ex EVP_KDF_fetch EVP_KDF_CTX_new EVP_KDF_derive HMAC */
/* wraps: mdb_env_create mdb_env_set_mapsize mdb_env_set_maxreaders mdb_env_open mdb_txn_begin mdb_dbi_open */
/* wraps: mdb_txn_commit mdb_put mdb_get mdb_del mdb_cursor_open mdb_cursor_get mdb_env_info mdb_env_stat */
/* Memory, files, OpenSSL or LMDB failing at the Nth call: key files, seals, slots and the store give an error and are
 * as before the operation or as after it, never between; the next time it works. */
#define FAIL_MEMORY
#define FAIL_FILES
#define FAIL_CRYPTO
#define FAIL_LMDB
#include "tests/unit/fail_nth.h"

#include "daemon/store/slots.h"
#include "daemon/store/store.h"
#include "keys/key_file.h"

static const uint8_t key_bytes[32] = {1, 2, 3};

struct place {
	char folder[64], path[96];
	struct seal *seal;
	bool is_there; /* what the run found or made */
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	fail_make_folder(p->folder);
	snprintf(p->path, sizeof p->path, "%s/it", p->folder);
	assert_int_equal(seal_new(key_bytes, &p->seal), RC_OK);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	seal_close(p->seal);
	fail_empty_both(p->folder, p->path);
	rmdir(p->folder);
	free(p);
	return 0;
}

static void remove_all(void *ctx)
{
	struct place *p = ctx;
	fail_empty_both(p->folder, p->path);
}

/* ---- key files ---- */

static enum rc key_run(void *ctx)
{
	struct place *p = ctx;
	struct secret_key *key = NULL;
	enum rc rc = key_file_write(p->path, "seal", key_bytes, NULL);
	/* A run whose reading failed has left the file. */
	if (rc == RC_CONFLICT && access(p->path, R_OK) == 0)
		rc = RC_OK;
	if (rc == RC_OK)
		rc = key_file_read(p->path, "seal", &key, NULL);
	if (rc == RC_OK && memcmp(secret_key_bytes(key), key_bytes, 32) != 0)
		rc = RC_INTERNAL;
	secret_key_free(key);
	return rc;
}

/* No file, or the whole of it. */
static bool key_check(void *ctx, enum rc rc)
{
	struct place *p = ctx;
	struct secret_key *key = NULL;
	if (rc == RC_INTERNAL)
		return false;
	if (access(p->path, F_OK) != 0)
		return rc != RC_OK;
	bool whole = key_file_read(p->path, "seal", &key, NULL) == RC_OK &&
		     memcmp(secret_key_bytes(key), key_bytes, 32) == 0;
	secret_key_free(key);
	return whole;
}

static void test_key_file(void **state)
{
	struct fail_case f = {
		.name = "key file", .run = key_run, .check = key_check, .teardown = remove_all, .ctx = *state};
	fail_each(&f);
}

/* ---- seals ---- */

static enum rc seal_run(void *ctx)
{
	static const char plain[] = "a value";
	uint8_t sealed[sizeof plain + SEAL_OVERHEAD], opened[sizeof plain], salt[SEAL_SALT_LEN] = {9};
	struct seal *seal = NULL;
	enum rc rc = seal_new(key_bytes, &seal);
	if (rc == RC_OK)
		rc = seal_value(seal, "value", "ad", 2, plain, sizeof plain, sealed);
	if (rc == RC_OK)
		rc = unseal_value(seal, "value", "ad", 2, sealed, sizeof sealed, opened);
	if (rc == RC_OK && memcmp(plain, opened, sizeof plain) != 0)
		rc = RC_INTERNAL;
	if (rc == RC_OK)
		rc = seal_chunk(seal, salt, "ad", 2, plain, sizeof plain, sealed);
	if (rc == RC_OK)
		rc = unseal_chunk(seal, salt, "ad", 2, sealed, sizeof sealed, opened);
	if (rc == RC_OK && memcmp(plain, opened, sizeof plain) != 0)
		rc = RC_INTERNAL;
	seal_close(seal);
	return rc;
}

static bool seal_check(void *ctx, enum rc rc)
{
	return rc != RC_INTERNAL;
}

static void test_seal(void **state)
{
	struct fail_case f = {.name = "seal", .run = seal_run, .check = seal_check, .ctx = *state};
	fail_each(&f);
}

/* ---- slots ---- */

static const uint8_t secrets[2][SLOT_SECRET_LEN] = {{0x31}, {0x32}};

static enum rc open_slots(struct place *p, struct slots **ret)
{
	static const uint8_t id[STORE_ID_LEN] = {1};
	return slots_open(p->path, "TCTESTS1", id, 100, p->seal, true, ret, NULL);
}

static enum rc slots_run(void *ctx)
{
	struct slots *slots = NULL;
	enum rc rc = open_slots(ctx, &slots);
	if (rc == RC_OK)
		rc = slots_write(slots, 3, secrets, 2);
	if (rc == RC_OK)
		rc = slots_sync(slots);
	if (rc == RC_OK)
		rc = slots_destroy(slots, 3);
	slots_close(slots);
	return rc;
}

static bool slots_check(void *ctx, enum rc rc)
{
	struct slots *slots = NULL;
	uint8_t out[SLOT_SECRET_LEN];
	if (open_slots(ctx, &slots) != RC_OK)
		return false;
	enum rc first = slots_read(slots, 3, out);
	bool fits = first != RC_OK || memcmp(out, secrets[0], sizeof out) == 0;
	enum rc second = slots_read(slots, 4, out);
	fits = fits && (second != RC_OK || memcmp(out, secrets[1], sizeof out) == 0);
	slots_close(slots);
	return fits && (rc != RC_OK || (first == RC_NOTFOUND && second == RC_OK));
}

static void test_slots(void **state)
{
	struct fail_case f = {
		.name = "slots", .run = slots_run, .check = slots_check, .teardown = remove_all, .ctx = *state};
	fail_each(&f);
}

/* ---- the store ---- */

static struct store_key the_key(uint64_t n)
{
	struct store_key key;
	store_key_init(&key, STORE_ENTRY);
	store_key_u64(&key, n);
	return key;
}

static enum rc open_store(struct place *p, struct store **ret)
{
	const struct store_options options = {.directory = p->path, .map_bytes = 1 << 20, .create = true};
	return store_open(&options, p->seal, ret, NULL);
}

static enum rc read_back(struct store *store, uint64_t n, const char *text)
{
	struct store_key key = the_key(n);
	struct txn *txn = NULL;
	struct buffer out;
	buffer_init(&out);
	enum rc rc = txn_begin_read(store, &txn);
	if (rc == RC_OK)
		rc = store_get(txn, &key, &out);
	if (rc == RC_OK && (out.len != strlen(text) || memcmp(out.data, text, out.len) != 0))
		rc = RC_INTERNAL;
	buffer_reset(&out);
	if (rc == RC_OK)
		rc = store_get_chunk(txn, 1, 0, &out);
	if (rc == RC_OK && (out.len != 5 || memcmp(out.data, "chunk", 5) != 0))
		rc = RC_INTERNAL;
	txn_abort(txn);
	buffer_deinit(&out);
	return rc;
}

static enum rc store_run(void *ctx)
{
	struct store_key first = the_key(1), second = the_key(2);
	struct store *store = NULL;
	struct txn *txn = NULL;
	enum rc rc = open_store(ctx, &store);
	if (rc == RC_OK)
		rc = txn_begin_write(store, &txn);
	if (rc == RC_OK)
		rc = store_put(txn, &first, "first", 5);
	if (rc == RC_OK)
		rc = store_put(txn, &second, "second", 6);
	if (rc == RC_OK)
		rc = store_put_chunk(txn, 1, 0, "chunk", 5);
	if (rc == RC_OK)
		rc = txn_commit(&txn);
	txn_abort(txn);
	if (rc == RC_OK)
		rc = read_back(store, 2, "second");
	store_close(store);
	return rc;
}

/* Both values and the chunk, or none of them. */
static bool store_check(void *ctx, enum rc rc)
{
	struct store *store = NULL;
	if (rc == RC_INTERNAL || open_store(ctx, &store) != RC_OK)
		return false;
	enum rc first = read_back(store, 1, "first"), second = read_back(store, 2, "second");
	store_close(store);
	return first == second && (first == RC_OK || (first == RC_NOTFOUND && rc != RC_OK));
}

static void test_store(void **state)
{
	struct fail_case f = {.name = "store",
			      .run = store_run,
			      .check = store_check,
			      .teardown = remove_all,
			      .ctx = *state,
			      .dense = 80};
	fail_each(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_key_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_seal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slots, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store, setup, teardown),
	};
	json_set_alloc_funcs(fail_jansson_malloc, free);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
