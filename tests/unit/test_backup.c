/* libs: tc_store tc_keys tc_proto */
/* Backups of a store: what comes back is the same store; destroyed keys do not; what was changed on the way is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/store/backup.h"
#include "daemon/store/check.h"
#include "daemon/store/internal.h"

enum { MAP_BYTES = 64 << 20, N_ENTRIES = 300, N_CHUNKS = 12, BIG_LEN = 600 * 1024 };

struct fixture {
	char folder[64], directory[96], restored[96], file[96];
	struct seal *seal;
	struct store *store;
	uint8_t *big;
};

static const uint8_t key_a[32] = {1, 2, 3}, key_b[32] = {3, 2, 1};
static const char plain_text[] = "A VALUE THAT MUST NEVER STAND IN A FILE IN PLAIN BYTES";
static const char facts[] = "what the caller says of it";

static enum rc open_at(const struct fixture *f, const char *directory, bool create, struct store **ret)
{
	struct store_options options = {.directory = directory, .map_bytes = MAP_BYTES, .create = create};
	return store_open(&options, f->seal, ret, NULL);
}

static struct store_key entry(uint64_t n)
{
	struct store_key key;
	store_key_init(&key, STORE_ENTRY);
	store_key_u64(&key, n);
	return key;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct txn *txn = NULL;
	snprintf(f->folder, sizeof f->folder, "/tmp/test_backup.XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->directory, sizeof f->directory, "%s/store", f->folder);
	snprintf(f->restored, sizeof f->restored, "%s/restored", f->folder);
	snprintf(f->file, sizeof f->file, "%s/file", f->folder);
	assert_int_equal(mkdir(f->restored, 0700), 0);
	assert_int_equal(seal_new(key_a, &f->seal), RC_OK);
	assert_int_equal(open_at(f, f->directory, true, &f->store), RC_OK);
	f->big = malloc(BIG_LEN);
	for (size_t i = 0; i < BIG_LEN; i++)
		f->big[i] = (uint8_t)(i * 31 >> 3);
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	for (uint64_t i = 0; i < N_ENTRIES; i++) {
		struct store_key key = entry(i);
		assert_int_equal(store_put(txn, &key, plain_text, i % sizeof plain_text), RC_OK);
	}
	for (uint32_t c = 0; c < N_CHUNKS; c++)
		assert_int_equal(store_put_chunk(txn, 0, c, f->big, c == 0 ? BIG_LEN : 100 + c), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	store_close(f->store);
	seal_close(f->seal);
	assert_int_equal(store_remove(f->directory), RC_OK);
	assert_int_equal(store_remove(f->restored), RC_OK);
	unlink(f->file);
	rmdir(f->directory);
	rmdir(f->restored);
	assert_int_equal(rmdir(f->folder), 0);
	free(f->big);
	free(f);
	return 0;
}

/* Replace chunk 3 and destroy its old key. */
static void replace_one(struct fixture *f)
{
	struct txn *txn = NULL;
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_replace_chunk(txn, 0, 3, "new", 3), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_destroy_replaced(txn), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
}

static enum rc write_backup(struct fixture *f, const atomic_bool *stop, struct backup_written *written)
{
	struct store_snapshot *snapshot = NULL;
	struct store_key key = entry(9999);
	struct txn *txn = NULL;
	assert_int_equal(store_snapshot_new(f->store, &snapshot), RC_OK);
	/* What comes after that moment is not in it; what is destroyed after it still is. */
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_put(txn, &key, "late", 4), RC_OK);
	assert_int_equal(store_replace_chunk(txn, 0, 5, "new", 3), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_destroy_replaced(txn), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	int fd = open(f->file, O_RDWR | O_CREAT | O_TRUNC, 0600);
	enum rc rc = store_backup_write(snapshot, facts, sizeof facts, fd, stop, written);
	close(fd);
	store_snapshot_free(snapshot);
	return rc;
}

static enum rc restore_file_until(struct fixture *f, struct seal *seal, const atomic_bool *stop, struct buffer *out)
{
	struct store_options options = {.directory = f->restored, .map_bytes = MAP_BYTES};
	struct diag diag;
	int fd = open(f->file, O_RDONLY);
	enum rc rc = store_backup_restore(fd, &options, seal, stop, out, &diag);
	close(fd);
	assert_true(rc == RC_OK || diag.text[0] != '\0');
	return rc;
}

static enum rc restore_file(struct fixture *f, struct seal *seal, struct buffer *out)
{
	return restore_file_until(f, seal, NULL, out);
}

static void test_round_trip(void **state)
{
	struct fixture *f = *state;
	struct backup_written written;
	const atomic_bool go = false;
	struct store *restored = NULL;
	struct store_tally tally;
	struct txn *txn = NULL;
	struct buffer b;
	uint8_t secret[32] = {0x77}, old_salt[SLOT_LEN], raw[SLOT_LEN];
	buffer_init(&b);
	assert_int_equal(store_secret_put(f->store, 1, secret), RC_OK);
	replace_one(f);
	assert_int_equal(slots_read_raw(f->store->salts, 5, 1, old_salt), RC_OK);
	assert_int_equal(write_backup(f, &go, &written), RC_OK);
	assert_int_equal(written.n_records, N_ENTRIES + N_CHUNKS + 2); /* and the two counters */
	assert_int_equal(restore_file(f, f->seal, &b), RC_OK);
	assert_int_equal(b.len, sizeof facts);
	assert_memory_equal(b.data, facts, sizeof facts);

	assert_int_equal(open_at(f, f->restored, false, &restored), RC_OK);
	assert_memory_equal(restored->id, f->store->id, STORE_ID_LEN);
	assert_int_equal(store_check(restored, NULL, NULL, NULL, &tally), RC_OK);
	assert_int_equal(tally.n_chunks, N_CHUNKS);
	assert_int_equal(tally.n_values, N_ENTRIES + N_CHUNKS + 2);
	/* Keys: the one of a chunk that was replaced before is gone, of one replaced after it is there; no secret. */
	assert_int_equal(slots_count(restored->salts), N_CHUNKS + 1);
	assert_int_equal(slots_read_raw(restored->salts, 3, 1, raw), RC_OK);
	assert_int_equal(raw[0], 0);
	assert_int_equal(slots_read_raw(restored->salts, 5, 1, raw), RC_OK);
	assert_memory_equal(raw, old_salt, SLOT_LEN);
	assert_int_equal(store_secret_get(restored, 1, secret), RC_NOTFOUND);
	assert_int_equal(txn_begin_read(restored, &txn), RC_OK);
	buffer_reset(&b);
	assert_int_equal(store_get_chunk(txn, 0, 0, &b), RC_OK);
	assert_int_equal(b.len, BIG_LEN);
	assert_memory_equal(b.data, f->big, BIG_LEN);
	struct store_key late = entry(9999);
	assert_int_equal(store_has(txn, &late), RC_NOTFOUND);
	txn_abort(txn);
	/* It goes on as a store does. */
	assert_int_equal(txn_begin_write(restored, &txn), RC_OK);
	assert_int_equal(store_put_chunk(txn, 1, 0, plain_text, 20), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	store_close(restored);
	/* Nothing is ever overwritten. */
	assert_int_equal(restore_file(f, f->seal, &b), RC_CONFLICT);
	buffer_deinit(&b);
}

static void test_an_empty_store(void **state)
{
	struct fixture *f = *state;
	const atomic_bool go = false;
	struct backup_written written;
	struct store_snapshot *snapshot = NULL;
	struct store *restored = NULL;
	struct buffer b;
	buffer_init(&b);
	store_close(f->store);
	assert_int_equal(store_remove(f->directory), RC_OK);
	assert_int_equal(open_at(f, f->directory, true, &f->store), RC_OK);
	assert_int_equal(store_snapshot_new(f->store, &snapshot), RC_OK);
	int fd = open(f->file, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(store_backup_write(snapshot, facts, BACKUP_MAX_FACTS + 1, fd, &go, &written), RC_INVALID);
	assert_int_equal(store_backup_write(snapshot, "", 0, fd, &go, &written), RC_OK);
	close(fd);
	store_snapshot_free(snapshot);
	assert_int_equal(restore_file(f, f->seal, &b), RC_OK);
	assert_int_equal(open_at(f, f->restored, false, &restored), RC_OK);
	store_close(restored);
	buffer_deinit(&b);
}

static void test_stopping_and_the_wrong_key(void **state)
{
	struct fixture *f = *state;
	const atomic_bool go = false, stop = true;
	struct backup_written written;
	struct seal *other = NULL;
	struct store *restored = NULL;
	struct buffer b;
	buffer_init(&b);
	assert_int_equal(write_backup(f, &stop, &written), RC_STOPPING);
	assert_int_equal(restore_file(f, f->seal, &b), RC_DAMAGED);
	assert_int_equal(write_backup(f, &go, &written), RC_OK);
	assert_int_equal(seal_new(key_b, &other), RC_OK);
	assert_int_equal(restore_file(f, other, &b), RC_KEY);
	seal_close(other);
	assert_int_equal(open_at(f, f->restored, false, &restored), RC_NOTFOUND);
	assert_int_equal(store_remove(f->restored), RC_OK);
	assert_int_equal(restore_file_until(f, f->seal, &stop, &b), RC_STOPPING);
	assert_int_equal(b.len, 0);
	assert_int_equal(open_at(f, f->restored, false, &restored), RC_NOTFOUND);
	assert_int_equal(restore_file(f, f->seal, &b), RC_CONFLICT); /* opening made an empty engine */
	buffer_deinit(&b);
}

/* Cut anywhere, any byte changed, parts exchanged: never a store. */
static void test_a_changed_file(void **state)
{
	struct fixture *f = *state;
	const atomic_bool go = false;
	struct backup_written written;
	struct buffer b;
	struct stat st;
	buffer_init(&b);
	assert_int_equal(write_backup(f, &go, &written), RC_OK);
	assert_int_equal(stat(f->file, &st), 0);
	assert_int_equal((uint64_t)st.st_size, written.bytes);
	size_t size = (size_t)st.st_size;
	uint8_t *data = malloc(size);
	int fd = open(f->file, O_RDONLY);
	assert_int_equal(read(fd, data, size), (ssize_t)size);
	close(fd);
	assert_null(memmem(data, size, plain_text, 20));
	for (size_t i = 0; i < 60; i++) {
		size_t at = i < 30 ? i : size / 30 * (i - 30);
		bool cut = i % 5 == 4;
		fd = open(f->file, O_WRONLY | O_TRUNC);
		data[at] ^= 0x10;
		assert_int_equal(write(fd, data, cut ? at : size), (ssize_t)(cut ? at : size));
		data[at] ^= 0x10;
		close(fd);
		enum rc rc = restore_file(f, f->seal, &b);
		assert_true(rc == RC_DAMAGED || rc == RC_KEY || rc == RC_MALFORMED || rc == RC_CONFIG);
		struct store *restored = NULL;
		assert_int_not_equal(open_at(f, f->restored, false, &restored), RC_OK);
		assert_int_equal(store_remove(f->restored), RC_OK);
	}
	assert_int_equal(b.len, 0);
	free(data);
	buffer_deinit(&b);
}

static void count_fault(void *ctx, const struct store_fault *fault)
{
	char place[STORE_PLACE_CAP];
	unsigned *n = ctx;
	store_place(fault->key, fault->key_len, place);
	assert_string_equal(place, *n == 0 ? "records of batch 0, chunk 7" : "log entry 41");
	++*n;
}

static void test_what_is_damaged_is_named(void **state)
{
	struct fixture *f = *state;
	const atomic_bool go = false, stop = true;
	struct backup_written written;
	struct store_tally tally;
	struct engine_txn *txn = NULL;
	struct store_key key = entry(41);
	uint8_t raw[SLOT_LEN], *room;
	unsigned n = 0;
	struct buffer b;
	buffer_init(&b);
	assert_int_equal(store_check(f->store, count_fault, &n, &stop, &tally), RC_STOPPING);
	assert_int_equal(store_check(f->store, count_fault, &n, NULL, &tally), RC_OK);
	assert_int_equal(n, 0);
	assert_int_equal(slots_read_raw(f->store->salts, 7, 1, raw), RC_OK);
	raw[40] ^= 1;
	assert_int_equal(slots_write_raw(f->store->salts, 7, raw, 1), RC_OK);
	assert_int_equal(engine_begin(f->store->engine, true, &txn), RC_OK);
	assert_int_equal(engine_reserve(txn, key.bytes, key.len, 50, &room), RC_OK);
	memset(room, 1, 50);
	assert_int_equal(engine_commit(txn), RC_OK);
	assert_int_equal(store_check(f->store, count_fault, &n, NULL, &tally), RC_DAMAGED);
	assert_int_equal(n, 2);
	assert_int_equal(tally.n_faults, 2);
	/* A backup takes damage along, as it takes everything; the check of what was restored finds it. */
	assert_int_equal(write_backup(f, &go, &written), RC_OK);
	assert_int_equal(restore_file(f, f->seal, &b), RC_OK);
	struct store *restored = NULL;
	assert_int_equal(open_at(f, f->restored, false, &restored), RC_OK);
	n = 0;
	assert_int_equal(store_check(restored, count_fault, &n, NULL, &tally), RC_DAMAGED);
	assert_int_equal(n, 2);
	store_close(restored);
	buffer_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_empty_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stopping_and_the_wrong_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_changed_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_damaged_is_named, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
