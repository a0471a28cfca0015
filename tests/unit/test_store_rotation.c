/* libs: tc_store tc_keys tc_proto */
/* Rotation of the sealing key: at every step either key opens everything, at the end only the new one opens anything,
 * and a reader that began before the end reads on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store/store.h"
#include "keys/key_file.h"

enum { N_VALUES = 1500, N_CHUNKS = 70, N_SECRETS = 3, LONG_LEN = 300000 };
static const uint8_t key_a[32] = {1, 2, 3}, key_b[32] = {3, 2, 1}, key_c[32] = {9};

struct fixture {
	char folder[64], directory[96];
	struct seal *seal;
	struct store *store;
	uint8_t handover[SEAL_HANDOVER_LEN];
};

static enum rc open_with(struct fixture *f, const uint8_t key[32], struct diag *diag)
{
	struct store_options options = {.directory = f->directory, .map_bytes = 64 << 20, .create = true};
	store_close(f->store);
	f->store = NULL;
	seal_close(f->seal);
	f->seal = NULL;
	assert_int_equal(seal_new(key, &f->seal), RC_OK);
	return store_open(&options, f->seal, &f->store, diag);
}

static void value_at(uint64_t i, char text[64])
{
	snprintf(text, 64, "value %llu of the store", (unsigned long long)i);
}

static struct store_key key_of(enum store_class class, uint64_t n)
{
	struct store_key key;
	store_key_init(&key, class);
	store_key_u64(&key, n);
	return key;
}

static void fill(struct fixture *f)
{
	struct txn *txn = NULL;
	char text[64];
	uint8_t secret[32] = {0}, *big = calloc(1, LONG_LEN);
	assert_non_null(big);
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	for (uint64_t i = 0; i < N_VALUES; i++) {
		/* Classes on both sides of the chunks. */
		struct store_key key = key_of(i % 2 == 0 ? STORE_BATCH : STORE_ENTRY, i);
		value_at(i, text);
		assert_int_equal(store_put(txn, &key, text, strlen(text)), RC_OK);
	}
	struct store_key key = key_of(STORE_RELEASE, 1);
	assert_int_equal(store_put(txn, &key, big, LONG_LEN), RC_OK);
	for (uint32_t c = 0; c < N_CHUNKS; c++)
		assert_int_equal(store_put_chunk(txn, 7, c, "a chunk of records", 18), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	for (uint32_t s = 0; s < N_SECRETS; s++) {
		secret[0] = (uint8_t)(s + 1);
		assert_int_equal(store_secret_put(f->store, s, secret), RC_OK);
	}
	assert_int_equal(store_secret_destroy(f->store, 1), RC_OK);
	free(big);
}

static void check_in(struct txn *txn)
{
	struct buffer b;
	char text[64];
	buffer_init(&b);
	for (uint64_t i = 0; i < N_VALUES; i++) {
		struct store_key key = key_of(i % 2 == 0 ? STORE_BATCH : STORE_ENTRY, i);
		value_at(i, text);
		buffer_reset(&b);
		assert_int_equal(store_get(txn, &key, &b), RC_OK);
		assert_int_equal(b.len, strlen(text));
		assert_memory_equal(b.data, text, b.len);
	}
	struct store_key key = key_of(STORE_RELEASE, 1);
	buffer_reset(&b);
	assert_int_equal(store_get(txn, &key, &b), RC_OK);
	assert_int_equal(b.len, LONG_LEN);
	for (uint32_t c = 0; c < N_CHUNKS; c++) {
		buffer_reset(&b);
		assert_int_equal(store_get_chunk(txn, 7, c, &b), RC_OK);
		assert_memory_equal(b.data, "a chunk of records", 18);
	}
	buffer_deinit(&b);
}

static void check_all(struct fixture *f)
{
	struct txn *txn = NULL;
	uint8_t secret[32];
	assert_int_equal(txn_begin_read(f->store, &txn), RC_OK);
	check_in(txn);
	txn_abort(txn);
	assert_int_equal(store_secret_get(f->store, 0, secret), RC_OK);
	assert_int_equal(secret[0], 1);
	assert_int_equal(store_secret_get(f->store, 1, secret), RC_NOTFOUND);
	assert_int_equal(store_secret_get(f->store, 2, secret), RC_OK);
	assert_int_equal(secret[0], 3);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	snprintf(f->folder, sizeof f->folder, "/tmp/test_rotation.XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->directory, sizeof f->directory, "%s/store", f->folder);
	assert_int_equal(open_with(f, key_a, NULL), RC_OK);
	fill(f);
	assert_int_equal(seal_hand_over(f->seal, key_b, f->handover), RC_OK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	store_close(f->store);
	seal_close(f->seal);
	DIR *d = opendir(f->directory);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d != NULL)
		closedir(d);
	rmdir(f->directory);
	rmdir(f->folder);
	free(f);
	return 0;
}

static bool has_file(const struct fixture *f, const char *name)
{
	char path[160];
	snprintf(path, sizeof path, "%s/%s", f->directory, name);
	return access(path, F_OK) == 0;
}

/* At most n slices; true when all is done. */
static bool slices(struct fixture *f, struct store_rotation *at, unsigned n)
{
	bool done = false;
	for (unsigned i = 0; i < n && !done; i++) {
		struct store_rotation next;
		struct txn *txn = NULL;
		assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
		assert_int_equal(store_rotation_slice(txn, at, &next, &done), RC_OK);
		assert_int_equal(txn_commit(&txn), RC_OK);
		*at = next;
	}
	return done;
}

static void finish(struct fixture *f)
{
	struct txn *txn = NULL;
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_rotation_finish(txn), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
}

static void rotate_to_end(struct fixture *f)
{
	struct store_rotation at = {.at_len = 0};
	assert_true(slices(f, &at, 1000));
	assert_int_equal(at.n_damaged, 0);
	finish(f);
	assert_int_equal(store_rotation_end(f->store), RC_OK);
	assert_false(store_is_rotating(f->store));
	assert_int_equal(seal_old_number(f->seal), 0);
}

static void check_new_key_alone(struct fixture *f)
{
	struct diag diag;
	check_all(f);
	assert_false(has_file(f, "rotation"));
	assert_int_equal(open_with(f, key_a, &diag), RC_KEY);
	assert_int_equal(open_with(f, key_b, NULL), RC_OK);
	assert_false(store_is_rotating(f->store));
	check_all(f);
}

static void test_whole(void **state)
{
	struct fixture *f = *state;
	struct txn *txn = NULL;
	uint16_t old = seal_key_number(f->seal);
	assert_int_equal(store_rotation_begin(f->store, f->handover), RC_OK);
	assert_true(store_is_rotating(f->store));
	assert_int_equal(seal_old_number(f->seal), old);
	assert_int_not_equal(seal_key_number(f->seal), old);
	assert_int_equal(store_rotation_begin(f->store, f->handover), RC_CONFLICT);
	/* Writing goes on in between. */
	struct store_rotation at = {.at_len = 0};
	slices(f, &at, 4);
	struct store_key key = key_of(STORE_LEDGER, 1);
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_put(txn, &key, "between", 7), RC_OK);
	assert_int_equal(store_put_chunk(txn, 8, 0, "another chunk", 13), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	check_all(f);
	assert_true(slices(f, &at, 1000));
	finish(f);
	assert_int_equal(store_rotation_end(f->store), RC_OK);
	check_new_key_alone(f);
}

/* A crash after any number of steps, then either key: all is there, and the rotation can be finished. */
static void test_crashes(void **state)
{
	struct fixture *f = *state;
	const uint8_t *keys[] = {key_a, key_b};
	for (unsigned n = 0; n < 12; n++) {
		struct store_rotation at = {.at_len = 0};
		if (n == 0)
			assert_int_equal(store_rotation_begin(f->store, f->handover), RC_OK);
		slices(f, &at, n);
		assert_int_equal(open_with(f, keys[n % 2], NULL), RC_OK);
		assert_true(store_is_rotating(f->store));
		check_all(f);
		assert_int_equal(open_with(f, key_c, NULL), RC_KEY);
		assert_int_equal(open_with(f, keys[(n / 2) % 2], NULL), RC_OK);
		check_all(f);
	}
	/* All done and durable but for the file. */
	struct store_rotation at = {.at_len = 0};
	assert_true(slices(f, &at, 1000));
	finish(f);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(open_with(f, keys[i], NULL), RC_OK);
		assert_true(store_is_rotating(f->store));
		check_all(f);
	}
	assert_int_equal(open_with(f, key_a, NULL), RC_OK);
	rotate_to_end(f);
	check_new_key_alone(f);
	/* And once more, from a new key to the next. */
	assert_int_equal(seal_hand_over(f->seal, key_a, f->handover), RC_OK);
	assert_int_equal(store_rotation_begin(f->store, f->handover), RC_OK);
	rotate_to_end(f);
	check_all(f);
	assert_int_equal(open_with(f, key_b, NULL), RC_KEY);
	assert_int_equal(open_with(f, key_a, NULL), RC_OK);
}

/* Whoever began to read before the end reads what the old key sealed; with the last of them it goes. */
static void test_reader_of_before(void **state)
{
	struct fixture *f = *state;
	struct txn *before = NULL, *after = NULL;
	assert_int_equal(txn_begin_read(f->store, &before), RC_OK);
	assert_int_equal(store_rotation_begin(f->store, f->handover), RC_OK);
	struct store_rotation at = {.at_len = 0};
	assert_true(slices(f, &at, 1000));
	finish(f);
	assert_int_equal(store_rotation_end(f->store), RC_OK);
	assert_false(store_is_rotating(f->store));
	assert_int_equal(txn_begin_read(f->store, &after), RC_OK);
	check_in(after);
	txn_abort(after);
	check_in(before);
	assert_int_not_equal(seal_old_number(f->seal), 0);
	/* Not a second one while the first is still read. */
	uint8_t next[SEAL_HANDOVER_LEN];
	assert_int_equal(seal_hand_over(f->seal, key_c, next), RC_OK);
	assert_int_equal(store_rotation_begin(f->store, next), RC_CONFLICT);
	txn_abort(before);
	assert_int_equal(seal_old_number(f->seal), 0);
	check_new_key_alone(f);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	struct diag diag;
	uint8_t bad[SEAL_HANDOVER_LEN];
	char path[160];
	/* A handover that was not made with the key in use, or that was changed. */
	for (size_t i = 0; i < SEAL_HANDOVER_LEN; i++) {
		memcpy(bad, f->handover, sizeof bad);
		bad[i] ^= 1;
		assert_int_equal(store_rotation_begin(f->store, bad), RC_KEY);
	}
	struct seal *other = NULL;
	assert_int_equal(seal_new(key_c, &other), RC_OK);
	assert_int_equal(seal_hand_over(other, key_b, bad), RC_OK);
	seal_close(other);
	assert_int_equal(store_rotation_begin(f->store, bad), RC_KEY);
	assert_int_equal(seal_hand_over(f->seal, key_a, bad), RC_CONFLICT);
	assert_false(store_is_rotating(f->store));
	assert_false(has_file(f, "rotation"));
	check_all(f);

	/* The file of a rotation, damaged: nothing is guessed. */
	assert_int_equal(store_rotation_begin(f->store, f->handover), RC_OK);
	snprintf(path, sizeof path, "%s/rotation", f->directory);
	store_close(f->store);
	f->store = NULL;
	int fd = open(path, O_RDWR);
	uint8_t byte, was;
	assert_int_equal(pread(fd, &was, 1, 40), 1);
	byte = was ^ 4;
	assert_int_equal(pwrite(fd, &byte, 1, 40), 1);
	assert_int_equal(open_with(f, key_a, &diag), RC_KEY);
	assert_int_equal(pwrite(fd, &was, 1, 40), 1);
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	assert_int_equal(open_with(f, key_a, &diag), RC_DAMAGED);
	assert_non_null(strstr(diag.text, "rotation"));
	assert_int_equal(pwrite(fd, "T", 1, 0), 1);
	close(fd);
	assert_int_equal(open_with(f, key_a, &diag), RC_OK);
	check_all(f);
}

/* What is damaged stays damaged and is counted; the rest is sealed again. */
static void test_damaged_slot(void **state)
{
	struct fixture *f = *state;
	struct buffer b;
	struct txn *txn = NULL;
	char path[160];
	buffer_init(&b);
	snprintf(path, sizeof path, "%s/salts", f->directory);
	int fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "damage", 6, 64 + 10), 6); /* slot 0 */
	close(fd);
	assert_int_equal(store_rotation_begin(f->store, f->handover), RC_OK);
	rotate_to_end(f);
	assert_int_equal(txn_begin_read(f->store, &txn), RC_OK);
	assert_int_equal(store_get_chunk(txn, 7, 1, &b), RC_OK);
	assert_int_equal(store_get_chunk(txn, 7, 0, &b), RC_DAMAGED);
	txn_abort(txn);
	buffer_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crashes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_of_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_slot, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
