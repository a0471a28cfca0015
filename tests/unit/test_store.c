/* libs: tc_store tc_keys tc_proto */
/* The store: sealed on disk, all or nothing, and a clear error when the key is wrong, a value damaged or the room gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/store/internal.h"
#include "daemon/store/store.h"

struct fixture {
	char folder[64], directory[96];
	struct seal *seal;
	struct store *store;
};

static const uint8_t key_a[32] = {1, 2, 3}, key_b[32] = {3, 2, 1};
static const char plain_text[] = "A VALUE THAT MUST NEVER STAND IN A FILE IN PLAIN BYTES";

static enum rc open_store(struct fixture *f, uint64_t map_bytes, bool create, struct diag *diag)
{
	struct store_options options = {.directory = f->directory, .map_bytes = map_bytes, .create = create};
	return store_open(&options, f->seal, &f->store, diag);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	snprintf(f->folder, sizeof f->folder, "/tmp/test_store.XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->directory, sizeof f->directory, "%s/store", f->folder);
	assert_int_equal(seal_new(key_a, &f->seal), RC_OK);
	assert_int_equal(open_store(f, 64 << 20, true, NULL), RC_OK);
	*state = f;
	return 0;
}

static void each_file(const struct fixture *f, void (*fn)(void *ctx, const char *path), void *ctx)
{
	DIR *d = opendir(f->directory);
	char path[512];
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", f->directory, e->d_name);
		fn(ctx, path);
	}
	if (d != NULL)
		closedir(d);
}

static void remove_file(void *ctx, const char *path)
{
	unlink(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	store_close(f->store);
	seal_close(f->seal);
	each_file(f, remove_file, NULL);
	rmdir(f->directory);
	rmdir(f->folder);
	free(f);
	return 0;
}

static struct store_key key_of(enum store_class class, uint64_t n)
{
	struct store_key key;
	store_key_init(&key, class);
	store_key_u64(&key, n);
	return key;
}

static void put_one(struct store *store, uint64_t n, const char *text)
{
	struct txn *txn = NULL;
	struct store_key key = key_of(STORE_ENTRY, n);
	assert_int_equal(txn_begin_write(store, &txn), RC_OK);
	assert_int_equal(store_put(txn, &key, text, strlen(text)), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	assert_null(txn);
}

static enum rc get_one(struct store *store, const struct store_key *key, struct buffer *out)
{
	struct txn *txn = NULL;
	assert_int_equal(txn_begin_read(store, &txn), RC_OK);
	enum rc rc = store_get(txn, key, out);
	txn_abort(txn);
	return rc;
}

static void test_values(void **state)
{
	struct fixture *f = *state;
	struct buffer b;
	buffer_init(&b);
	struct store_key key = key_of(STORE_ENTRY, 7);
	assert_int_equal(get_one(f->store, &key, &b), RC_NOTFOUND);
	put_one(f->store, 7, plain_text);
	assert_int_equal(get_one(f->store, &key, &b), RC_OK);
	assert_int_equal(b.len, strlen(plain_text));
	assert_memory_equal(b.data, plain_text, b.len);
	/* Replace, the empty value, delete, and abort. */
	put_one(f->store, 7, "");
	buffer_reset(&b);
	assert_int_equal(get_one(f->store, &key, &b), RC_OK);
	assert_int_equal(b.len, 0);
	struct txn *txn = NULL;
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_delete(txn, &key), RC_OK);
	assert_int_equal(store_has(txn, &key), RC_NOTFOUND);
	assert_int_equal(txn_status(txn), RC_OK);
	txn_abort(txn);
	assert_int_equal(get_one(f->store, &key, &b), RC_OK);
	txn_abort(NULL);
	/* It outlives the process that wrote it. */
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(open_store(f, 64 << 20, false, NULL), RC_OK);
	assert_int_equal(get_one(f->store, &key, &b), RC_OK);
	buffer_deinit(&b);
}

static void test_keys_are_bounded(void **state)
{
	struct fixture *f = *state;
	uint8_t big[STORE_KEY_CAP] = {0};
	struct store_key key;
	struct txn *txn = NULL;
	store_key_init(&key, STORE_BATCH);
	store_key_bytes(&key, big, sizeof big);
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_put(txn, &key, "x", 1), RC_INTERNAL);
	/* The error is sticky: nothing of this transaction is committed. */
	key = key_of(STORE_ENTRY, 1);
	assert_int_equal(store_put(txn, &key, "x", 1), RC_INTERNAL);
	assert_int_equal(txn_status(txn), RC_INTERNAL);
	assert_int_equal(txn_commit(&txn), RC_INTERNAL);
	assert_null(txn);
	/* A read transaction does not write. */
	assert_int_equal(txn_begin_read(f->store, &txn), RC_OK);
	assert_int_equal(store_put(txn, &key, "x", 1), RC_INTERNAL);
	txn_abort(txn);
}

struct seen {
	uint64_t n, last, stop_at;
};

static enum rc count_visit(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
	struct seen *seen = ctx;
	struct reader r;
	reader_init(&r, key + 1, key_len - 1);
	uint64_t n = read_u64(&r);
	assert_true(seen->n == 0 || n > seen->last);
	seen->last = n;
	seen->n++;
	return seen->stop_at != 0 && n == seen->stop_at ? RC_BUSY : RC_OK;
}

static void test_scan_and_last(void **state)
{
	struct fixture *f = *state;
	struct txn *txn = NULL;
	struct store_key prefix, last;
	struct seen seen = {0};
	for (uint64_t i = 0; i < 300; i++)
		put_one(f->store, i * 3, "v");
	store_key_init(&prefix, STORE_ENTRY);
	assert_int_equal(txn_begin_read(f->store, &txn), RC_OK);
	assert_int_equal(store_scan(txn, &prefix, count_visit, &seen), RC_OK);
	assert_int_equal(seen.n, 300);
	assert_int_equal(store_last(txn, &prefix, &last), RC_OK);
	struct store_key want = key_of(STORE_ENTRY, 897);
	assert_int_equal(last.len, want.len);
	assert_memory_equal(last.bytes, want.bytes, want.len);
	seen = (struct seen){.stop_at = 30};
	assert_int_equal(store_scan(txn, &prefix, count_visit, &seen), RC_BUSY);
	assert_int_equal(seen.n, 11);
	assert_int_equal(txn_status(txn), RC_OK);
	/* Classes do not run into each other, the meta class with the raw head included. */
	store_key_init(&prefix, STORE_RELEASE);
	assert_int_equal(store_last(txn, &prefix, &last), RC_NOTFOUND);
	seen = (struct seen){0};
	store_key_init(&prefix, STORE_META);
	assert_int_equal(store_scan(txn, &prefix, count_visit, &seen), RC_OK);
	assert_int_equal(seen.n, 0);
	store_key_init(&prefix, STORE_CHUNK);
	assert_int_equal(store_scan(txn, &prefix, count_visit, &seen), RC_INVALID);
	txn_abort(txn);
}

static void test_chunks(void **state)
{
	struct fixture *f = *state;
	struct txn *txn = NULL;
	struct buffer b;
	static uint8_t big[4 << 20];
	buffer_init(&b);
	memset(big, 0x5a, sizeof big);
	for (uint64_t round = 0; round < 2; round++) {
		assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
		for (uint32_t c = 0; c < 20; c++)
			assert_int_equal(store_put_chunk(txn, round, c, plain_text, 10 + c), RC_OK);
		assert_int_equal(store_put_chunk(txn, round, 20, big, sizeof big), RC_OK);
		assert_int_equal(txn_commit(&txn), RC_OK);
	}
	/* An aborted transaction's salts are not referred to, and its slots are taken again. */
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_put_chunk(txn, 9, 0, plain_text, 20), RC_OK);
	txn_abort(txn);
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(open_store(f, 64 << 20, false, NULL), RC_OK);
	assert_int_equal(txn_begin_read(f->store, &txn), RC_OK);
	for (uint64_t round = 0; round < 2; round++) {
		for (uint32_t c = 0; c < 20; c++) {
			buffer_reset(&b);
			assert_int_equal(store_get_chunk(txn, round, c, &b), RC_OK);
			assert_int_equal(b.len, 10 + c);
			assert_memory_equal(b.data, plain_text, b.len);
		}
	}
	buffer_reset(&b);
	assert_int_equal(store_get_chunk(txn, 1, 20, &b), RC_OK);
	assert_int_equal(b.len, sizeof big);
	assert_memory_equal(b.data, big, sizeof big);
	assert_int_equal(store_get_chunk(txn, 9, 0, &b), RC_NOTFOUND);
	txn_abort(txn);
	buffer_deinit(&b);
}

/* A replaced chunk's key is destroyed: in the same run, or, when that was cut short, by the next. */
static void test_replaced_chunks(void **state)
{
	struct fixture *f = *state;
	struct txn *txn = NULL;
	struct buffer b;
	buffer_init(&b);
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	for (uint32_t c = 0; c < 100; c++)
		assert_int_equal(store_put_chunk(txn, 0, c, plain_text, 40), RC_OK);
	assert_int_equal(store_replace_chunk(txn, 1, 0, plain_text, 10), RC_NOTFOUND);
	assert_int_equal(txn_commit(&txn), RC_OK);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
		for (uint32_t c = 0; c < 99; c++)
			assert_int_equal(store_replace_chunk(txn, 0, c, plain_text + 1 + round, 20), RC_OK);
		assert_int_equal(txn_commit(&txn), RC_OK);
		if (round == 1) {
			store_close(f->store);
			f->store = NULL;
			assert_int_equal(open_store(f, 64 << 20, false, NULL), RC_OK);
		}
		for (uint64_t slot = 0; slot < 99; slot++)
			assert_int_equal(slots_was_destroyed(f->store->salts, round == 0 ? slot : 100 + slot),
					 RC_NOTFOUND);
		assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
		assert_int_equal(store_destroy_replaced(txn), RC_OK);
		assert_int_equal(txn_commit(&txn), RC_OK);
	}
	/* 100 first ones, 99 of the first round, 99 of the second: only the last and the one never replaced are left.
	 */
	for (uint64_t slot = 0; slot < 298; slot++) {
		bool kept = slot == 99 || slot >= 199;
		assert_int_equal(slots_was_destroyed(f->store->salts, slot), kept ? RC_NOTFOUND : RC_OK);
	}
	assert_int_equal(txn_begin_read(f->store, &txn), RC_OK);
	for (uint32_t c = 0; c < 100; c++) {
		buffer_reset(&b);
		assert_int_equal(store_get_chunk(txn, 0, c, &b), RC_OK);
		assert_memory_equal(b.data, c < 99 ? plain_text + 2 : plain_text, b.len);
	}
	txn_abort(txn);
	buffer_deinit(&b);
}

struct search {
	const void *needle;
	size_t len;
	unsigned n_files, n_hits;
};

static void search_file(void *ctx, const char *path)
{
	struct search *s = ctx;
	struct stat st;
	int fd = open(path, O_RDONLY);
	assert_int_equal(fstat(fd, &st), 0);
	if (st.st_size > 0) {
		void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		assert_ptr_not_equal(p, MAP_FAILED);
		s->n_hits += memmem(p, (size_t)st.st_size, s->needle, s->len) != NULL;
		munmap(p, (size_t)st.st_size);
	}
	s->n_files++;
	close(fd);
	assert_int_equal(st.st_mode & 077, 0);
}

static void test_sealed_on_disk(void **state)
{
	struct fixture *f = *state;
	struct txn *txn = NULL;
	uint8_t secret[32];
	memset(secret, 0xc7, sizeof secret);
	put_one(f->store, 1, plain_text);
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_put_chunk(txn, 0, 0, plain_text, strlen(plain_text)), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	assert_int_equal(store_secret_put(f->store, 1, secret), RC_OK);
	store_close(f->store);
	f->store = NULL;
	const struct {
		const void *needle;
		size_t len;
	} needles[] = {{plain_text, 8}, {secret, 16}, {key_a, 32}};
	for (size_t i = 0; i < sizeof needles / sizeof needles[0]; i++) {
		struct search s = {.needle = needles[i].needle, .len = needles[i].len};
		each_file(f, search_file, &s);
		assert_true(s.n_files >= 4);
		assert_int_equal(s.n_hits, 0);
	}
}

static void test_wrong_key_and_second_process(void **state)
{
	struct fixture *f = *state;
	struct diag diag;
	struct store *second = NULL;
	struct store_options options = {.directory = f->directory, .map_bytes = 64 << 20};
	assert_int_equal(store_open(&options, f->seal, &second, &diag), RC_CONFLICT);
	assert_non_null(strstr(diag.text, "another process"));
	store_close(f->store);
	f->store = NULL;
	seal_close(f->seal);
	f->seal = NULL;
	assert_int_equal(seal_new(key_b, &f->seal), RC_OK);
	assert_int_equal(open_store(f, 64 << 20, true, &diag), RC_KEY);
	assert_non_null(strstr(diag.text, "another sealing key"));
	assert_null(f->store);
	options.directory = "/tmp/no-such-store-here";
	assert_int_equal(store_open(&options, f->seal, &second, &diag), RC_NOTFOUND);
}

/* Find the sealed bytes of the entry on disk and flip one bit of each of some. */
static void test_damaged_value(void **state)
{
	struct fixture *f = *state;
	struct buffer b;
	char path[160];
	buffer_init(&b);
	for (uint64_t i = 0; i < 40; i++)
		put_one(f->store, i, plain_text);
	store_close(f->store);
	f->store = NULL;
	/* Swap two sealed values of one length: each is whole, but not in its place. */
	snprintf(path, sizeof path, "%s/data.mdb", f->directory);
	int fd = open(path, O_RDWR);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	uint8_t *p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	struct store_key key3 = key_of(STORE_ENTRY, 3), key4 = key_of(STORE_ENTRY, 4);
	size_t sealed_len = strlen(plain_text) + SEAL_OVERHEAD, swapped = 0;
	for (uint8_t *at = p; (at = memmem(at, (size_t)(p + st.st_size - at), key3.bytes, key3.len)) != NULL; at++) {
		size_t page = (size_t)(at - p) / 4096 * 4096;
		uint8_t *other = memmem(p + page, 4096, key4.bytes, key4.len);
		if (other == NULL)
			continue;
		for (size_t i = 0; i < sealed_len; i++) {
			uint8_t t = at[key3.len + i];
			at[key3.len + i] = other[key4.len + i];
			other[key4.len + i] = t;
		}
		swapped++;
	}
	munmap(p, (size_t)st.st_size);
	close(fd);
	assert_true(swapped > 0);
	assert_int_equal(open_store(f, 64 << 20, false, NULL), RC_OK);
	assert_int_equal(get_one(f->store, &key3, &b), RC_DAMAGED);
	assert_int_equal(get_one(f->store, &key4, &b), RC_DAMAGED);
	assert_int_equal(b.len, 0);
	struct store_key key5 = key_of(STORE_ENTRY, 5);
	assert_int_equal(get_one(f->store, &key5, &b), RC_OK);
	buffer_deinit(&b);
}

static void test_missing_or_older_slots(void **state)
{
	struct fixture *f = *state;
	struct diag diag;
	struct txn *txn = NULL;
	char path[160];
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	for (uint32_t c = 0; c < 4; c++)
		assert_int_equal(store_put_chunk(txn, 0, c, plain_text, 20), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	store_close(f->store);
	f->store = NULL;
	snprintf(path, sizeof path, "%s/salts", f->directory);
	assert_int_equal(truncate(path, 64 + 2 * 64), 0);
	assert_int_equal(open_store(f, 64 << 20, true, &diag), RC_DAMAGED);
	assert_non_null(strstr(diag.text, "shorter"));
	unlink(path);
	assert_int_equal(open_store(f, 64 << 20, true, &diag), RC_DAMAGED);
	assert_non_null(strstr(diag.text, "salts"));
}

static void test_lost_store_is_not_remade(void **state)
{
	struct fixture *f = *state;
	struct diag diag;
	struct txn *txn = NULL;
	char path[160];
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_put_chunk(txn, 0, 0, plain_text, 20), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	store_close(f->store);
	f->store = NULL;
	snprintf(path, sizeof path, "%s/data.mdb", f->directory);
	unlink(path);
	assert_int_equal(open_store(f, 64 << 20, true, &diag), RC_DAMAGED);
	assert_non_null(strstr(diag.text, "data.mdb"));
}

static void test_map_full(void **state)
{
	struct fixture *f = *state;
	struct txn *txn = NULL;
	struct buffer b;
	static uint8_t big[1 << 20];
	uint64_t map_free, disk_free;
	buffer_init(&b);
	put_one(f->store, 1, plain_text);
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(open_store(f, 4 << 20, false, NULL), RC_OK);
	assert_int_equal(store_space(f->store, &map_free, &disk_free), RC_OK);
	assert_true(map_free > (1 << 20) && map_free < (4 << 20) && disk_free > 0);
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	enum rc rc = RC_OK;
	for (uint32_t c = 0; c < 8 && rc == RC_OK; c++)
		rc = store_put_chunk(txn, 0, c, big, sizeof big);
	assert_int_equal(rc, RC_NOSPACE);
	assert_int_equal(store_put_chunk(txn, 1, 0, "a", 1), RC_NOSPACE);
	assert_int_equal(txn_commit(&txn), RC_NOSPACE);
	/* Nothing is half there, and the store goes on. */
	assert_false(store_must_stop(f->store));
	struct store_key key = key_of(STORE_ENTRY, 1);
	assert_int_equal(get_one(f->store, &key, &b), RC_OK);
	assert_int_equal(txn_begin_read(f->store, &txn), RC_OK);
	assert_int_equal(store_get_chunk(txn, 0, 0, &b), RC_NOTFOUND);
	txn_abort(txn);
	put_one(f->store, 2, plain_text);
	buffer_deinit(&b);
}

static void test_full_disk(void **state)
{
	struct fixture *f = *state;
	struct txn *txn = NULL;
	static uint8_t big[1 << 20];
	struct buffer b;
	if (mount("tmpfs", f->folder, "tmpfs", 0, "size=6m") != 0) {
		print_message("[  NOTE    ] full disk not tested: a small tmpfs cannot be mounted (%s)\n",
			      strerror(errno));
		skip();
	}
	buffer_init(&b);
	store_close(f->store);
	f->store = NULL;
	enum rc rc = open_store(f, 64 << 20, true, NULL);
	if (rc == RC_OK) {
		put_one(f->store, 1, plain_text);
		rc = txn_begin_write(f->store, &txn);
		for (uint32_t c = 0; c < 12 && rc == RC_OK; c++)
			rc = store_put_chunk(txn, 0, c, big, sizeof big);
		if (rc == RC_OK)
			rc = txn_commit(&txn);
		else
			txn_abort(txn);
		txn = NULL;
	}
	struct store_key key = key_of(STORE_ENTRY, 1);
	enum rc still = f->store == NULL ? RC_INTERNAL : get_one(f->store, &key, &b);
	store_close(f->store);
	f->store = NULL;
	enum rc again = open_store(f, 64 << 20, false, NULL);
	enum rc kept = again == RC_OK ? get_one(f->store, &key, &b) : again;
	store_close(f->store);
	f->store = NULL;
	umount2(f->folder, MNT_DETACH);
	buffer_deinit(&b);
	assert_int_equal(rc, RC_NOSPACE);
	assert_int_equal(still, RC_OK);
	assert_int_equal(kept, RC_OK);
}

static void test_secrets(void **state)
{
	struct fixture *f = *state;
	uint8_t secret[32], got[32] = {0};
	memset(secret, 9, sizeof secret);
	assert_int_equal(store_secret_get(f->store, 3, got), RC_NOTFOUND);
	assert_int_equal(store_secret_put(f->store, 3, secret), RC_OK);
	secret[0] = 8;
	assert_int_equal(store_secret_put(f->store, 3, secret), RC_OK);
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(open_store(f, 64 << 20, false, NULL), RC_OK);
	assert_int_equal(store_secret_get(f->store, 3, got), RC_OK);
	assert_memory_equal(got, secret, 32);
	assert_int_equal(store_secret_destroy(f->store, 3), RC_OK);
	assert_int_equal(store_secret_get(f->store, 3, got), RC_NOTFOUND);
	assert_int_equal(store_secret_put(f->store, 3, secret), RC_CONFLICT);
	assert_int_equal(store_secret_put(f->store, STORE_MAX_SECRETS, secret), RC_TOO_LARGE);
	assert_int_equal(store_secret_get(f->store, UINT32_MAX, got), RC_NOTFOUND);
}

/* Bare changes below the store's feet. */
static void put_raw(struct store *store, const struct store_key *key, const void *value, size_t len)
{
	struct engine_txn *txn = NULL;
	uint8_t *room;
	assert_int_equal(engine_begin(store->engine, true, &txn), RC_OK);
	if (value == NULL) {
		assert_int_equal(engine_delete(txn, key->bytes, key->len), RC_OK);
	} else {
		assert_int_equal(engine_reserve(txn, key->bytes, key->len, len, &room), RC_OK);
		memcpy(room, value, len);
	}
	assert_int_equal(engine_commit(txn), RC_OK);
}

static enum rc reopen(struct fixture *f, bool create, struct diag *diag)
{
	store_close(f->store);
	f->store = NULL;
	return open_store(f, 64 << 20, create, diag);
}

static void put_class(struct store *store, enum store_class class, uint64_t n, bool keep)
{
	struct txn *txn = NULL;
	struct store_key key = key_of(class, n);
	assert_int_equal(txn_begin_write(store, &txn), RC_OK);
	assert_int_equal(keep ? store_put(txn, &key, "x", 1) : store_delete(txn, &key), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
}

/* A receipt or a tombstone that damage hides is missed; put twice it is one, and deleted it is none. */
static void test_counted_values(void **state)
{
	struct fixture *f = *state;
	struct diag diag;
	struct store_key hidden = key_of(STORE_TOMBSTONE, 4);
	struct txn *txn = NULL;
	for (uint64_t i = 0; i < 10; i++) {
		put_class(f->store, STORE_RECEIPT, i, true);
		put_class(f->store, STORE_TOMBSTONE, i / 2, true);
	}
	put_class(f->store, STORE_RECEIPT, 3, false);
	struct store_key aborted = key_of(STORE_RECEIPT, 77);
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_put(txn, &aborted, "x", 1), RC_OK);
	txn_abort(txn);
	assert_int_equal(reopen(f, false, NULL), RC_OK);
	put_raw(f->store, &hidden, NULL, 0);
	assert_int_equal(reopen(f, true, &diag), RC_DAMAGED);
	assert_non_null(strstr(diag.text, "there are 4 tombstones of withdrawn records of 5"));
	assert_int_equal(open_store(f, 64 << 20, false, &diag), RC_DAMAGED);
}

static void head_of_format(struct fixture *f, uint8_t format)
{
	struct store_key key;
	struct engine_txn *txn = NULL;
	const uint8_t *head;
	size_t len;
	uint8_t copy[256];
	store_head_key(&key);
	assert_int_equal(engine_begin(f->store->engine, false, &txn), RC_OK);
	assert_int_equal(engine_get(txn, key.bytes, key.len, &head, &len), RC_OK);
	memcpy(copy, head, len);
	engine_abort(txn);
	copy[11] = format; /* magic, then be32 */
	/* The check of the head is bound to the format. */
	assert_int_equal(seal_value(f->seal, "check", copy, 28, "throughcare seal", 16, copy + 28), RC_OK);
	put_raw(f->store, &key, copy, len);
}

static void test_formats(void **state)
{
	struct fixture *f = *state;
	struct diag diag;
	struct store_key counted;
	put_class(f->store, STORE_RECEIPT, 1, true);
	store_key_init(&counted, STORE_META);
	store_key_string(&counted, "counted");
	assert_int_equal(store_migrated_from(f->store), 0);
	/* The oldest: read as it is when nothing may be written, brought up when it may. */
	put_raw(f->store, &counted, NULL, 0);
	head_of_format(f, STORE_OLDEST_FORMAT);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(reopen(f, false, NULL), RC_OK);
		assert_int_equal(f->store->format, STORE_OLDEST_FORMAT);
	}
	assert_int_equal(reopen(f, true, NULL), RC_OK);
	assert_int_equal(store_migrated_from(f->store), STORE_OLDEST_FORMAT);
	assert_int_equal(f->store->counted[0], 1);
	assert_int_equal(reopen(f, true, NULL), RC_OK);
	assert_int_equal(store_migrated_from(f->store), 0);
	head_of_format(f, STORE_OLDEST_FORMAT - 1);
	assert_int_equal(reopen(f, true, &diag), RC_CONFIG);
	assert_non_null(strstr(diag.text, "this version reads formats 2 to 3"));
}

static void test_a_newer_format(void **state)
{
	struct fixture *f = *state;
	struct diag diag;
	head_of_format(f, STORE_FORMAT + 1);
	assert_int_equal(reopen(f, true, &diag), RC_CONFIG);
	assert_non_null(strstr(diag.text, "a later version"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scan_and_last, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chunks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaced_chunks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sealed_on_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_key_and_second_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_value, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_or_older_slots, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_store_is_not_remade, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counted_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_formats, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_newer_format, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
