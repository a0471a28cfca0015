/* libs: tc_store tc_keys tc_proto */
/* Slot files: what is written is sealed, belongs to its slot and store, and is gone once destroyed. */
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

#include "daemon/store/slots.h"

static const char magic[] = "TCTESTS1";
static const uint8_t id_a[STORE_ID_LEN] = {1}, id_b[STORE_ID_LEN] = {2};

struct fixture {
	char folder[64], path[96];
	struct seal *seal;
	struct slots *slots;
};

static int setup(void **state)
{
	static const uint8_t key[32] = {7};
	struct fixture *f = calloc(1, sizeof *f);
	snprintf(f->folder, sizeof f->folder, "/tmp/test_slots.XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof f->path, "%s/slots", f->folder);
	assert_int_equal(seal_new(key, &f->seal), RC_OK);
	assert_int_equal(slots_open(f->path, magic, id_a, 1000, f->seal, true, &f->slots, NULL), RC_OK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	slots_close(f->slots);
	seal_close(f->seal);
	unlink(f->path);
	rmdir(f->folder);
	free(f);
	return 0;
}

static void fill(uint8_t secrets[][SLOT_SECRET_LEN], size_t n)
{
	for (size_t i = 0; i < n; i++)
		memset(secrets[i], (int)(0x30 + i % 64), SLOT_SECRET_LEN);
}

static bool file_holds(const char *path, const void *needle, size_t len)
{
	static uint8_t data[1 << 20];
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, data, sizeof data);
	close(fd);
	assert_true(n > 0);
	return memmem(data, (size_t)n, needle, len) != NULL;
}

static void poke(const char *path, long offset, uint8_t mask)
{
	uint8_t b;
	int fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &b, 1, offset), 1);
	b ^= mask;
	assert_int_equal(pwrite(fd, &b, 1, offset), 1);
	close(fd);
}

static void test_write_and_read(void **state)
{
	struct fixture *f = *state;
	static uint8_t secrets[600][SLOT_SECRET_LEN], got[SLOT_SECRET_LEN];
	fill(secrets, 600);
	assert_int_equal(slots_write(f->slots, 0, (const uint8_t(*)[SLOT_SECRET_LEN])secrets, 600), RC_OK);
	assert_int_equal(slots_sync(f->slots), RC_OK);
	assert_int_equal(slots_count(f->slots), 600);
	for (size_t i = 0; i < 600; i++) {
		assert_int_equal(slots_read(f->slots, i, got), RC_OK);
		assert_memory_equal(got, secrets[i], SLOT_SECRET_LEN);
	}
	assert_false(file_holds(f->path, secrets[0], SLOT_SECRET_LEN));
	/* It is all there after opening again. */
	slots_close(f->slots);
	f->slots = NULL;
	assert_int_equal(slots_open(f->path, magic, id_a, 1000, f->seal, false, &f->slots, NULL), RC_OK);
	assert_int_equal(slots_count(f->slots), 600);
	assert_int_equal(slots_read(f->slots, 599, got), RC_OK);
	assert_memory_equal(got, secrets[599], SLOT_SECRET_LEN);
}

static void test_bounds(void **state)
{
	struct fixture *f = *state;
	uint8_t secrets[2][SLOT_SECRET_LEN], got[SLOT_SECRET_LEN];
	fill(secrets, 2);
	assert_int_equal(slots_write(f->slots, 999, (const uint8_t(*)[SLOT_SECRET_LEN])secrets, 2), RC_TOO_LARGE);
	assert_int_equal(slots_write(f->slots, UINT64_MAX, (const uint8_t(*)[SLOT_SECRET_LEN])secrets, 2),
			 RC_TOO_LARGE);
	assert_int_equal(slots_read(f->slots, 0, got), RC_NOTFOUND);
	assert_int_equal(slots_read(f->slots, UINT64_MAX, got), RC_NOTFOUND);
	/* A gap reads as never written. */
	assert_int_equal(slots_write(f->slots, 5, (const uint8_t(*)[SLOT_SECRET_LEN])secrets, 1), RC_OK);
	assert_int_equal(slots_read(f->slots, 3, got), RC_NOTFOUND);
	assert_int_equal(slots_was_destroyed(f->slots, 3), RC_NOTFOUND);
}

static void test_destroy(void **state)
{
	struct fixture *f = *state;
	uint8_t secrets[3][SLOT_SECRET_LEN], got[SLOT_SECRET_LEN], before[SLOT_LEN], after[SLOT_LEN];
	fill(secrets, 3);
	assert_int_equal(slots_write(f->slots, 0, (const uint8_t(*)[SLOT_SECRET_LEN])secrets, 3), RC_OK);
	int fd = open(f->path, O_RDONLY);
	assert_int_equal(pread(fd, before, SLOT_LEN, 2 * SLOT_LEN), SLOT_LEN);
	assert_int_equal(slots_destroy(f->slots, 1), RC_OK);
	assert_int_equal(slots_read(f->slots, 1, got), RC_NOTFOUND);
	assert_int_equal(slots_was_destroyed(f->slots, 1), RC_OK);
	assert_int_equal(slots_was_destroyed(f->slots, 0), RC_NOTFOUND);
	/* Nothing of the sealed bytes is left in the file; neighbours are. */
	assert_int_equal(pread(fd, after, SLOT_LEN, 2 * SLOT_LEN), SLOT_LEN);
	for (size_t i = 3; i < SLOT_LEN; i++)
		assert_int_equal(after[i], 0);
	close(fd);
	assert_false(file_holds(f->path, before + 3, 16));
	assert_int_equal(slots_read(f->slots, 0, got), RC_OK);
	assert_int_equal(slots_read(f->slots, 2, got), RC_OK);
	assert_int_equal(slots_destroy(f->slots, 1), RC_OK);
	assert_int_equal(slots_destroy(f->slots, 900), RC_OK);
}

static void test_damage(void **state)
{
	struct fixture *f = *state;
	uint8_t secrets[2][SLOT_SECRET_LEN], got[SLOT_SECRET_LEN] = {0}, slot[SLOT_LEN];
	fill(secrets, 2);
	assert_int_equal(slots_write(f->slots, 0, (const uint8_t(*)[SLOT_SECRET_LEN])secrets, 2), RC_OK);
	for (long at = 3; at < SLOT_LEN; at++) {
		poke(f->path, SLOT_LEN + at, 0x10);
		assert_int_equal(slots_read(f->slots, 0, got), RC_DAMAGED);
		poke(f->path, SLOT_LEN + at, 0x10);
	}
	poke(f->path, SLOT_LEN, 0x40);
	assert_int_equal(slots_read(f->slots, 0, got), RC_DAMAGED);
	poke(f->path, SLOT_LEN, 0x40);
	assert_int_equal(slots_read(f->slots, 0, got), RC_OK);
	/* A slot that was moved does not open in its new place. */
	int fd = open(f->path, O_RDWR);
	assert_int_equal(pread(fd, slot, SLOT_LEN, SLOT_LEN), SLOT_LEN);
	assert_int_equal(pwrite(fd, slot, SLOT_LEN, 2 * SLOT_LEN), SLOT_LEN);
	close(fd);
	assert_int_equal(slots_read(f->slots, 1, got), RC_DAMAGED);
}

static void test_refused_files(void **state)
{
	struct fixture *f = *state;
	struct slots *other = NULL;
	struct diag diag;
	uint8_t secrets[1][SLOT_SECRET_LEN];
	fill(secrets, 1);
	assert_int_equal(slots_write(f->slots, 0, (const uint8_t(*)[SLOT_SECRET_LEN])secrets, 1), RC_OK);
	assert_int_equal(slots_open(f->path, magic, id_b, 1000, f->seal, true, &other, &diag), RC_CONFLICT);
	assert_non_null(strstr(diag.text, "another store"));
	assert_int_equal(slots_open(f->path, "TCOTHER1", id_a, 1000, f->seal, false, &other, &diag), RC_DAMAGED);
	assert_int_equal(slots_open("/tmp/no/such/file", magic, id_a, 1000, f->seal, false, &other, &diag),
			 RC_NOTFOUND);
	assert_int_equal(slots_open("/dev/null", magic, id_a, 1000, f->seal, false, &other, &diag), RC_DAMAGED);
	poke(f->path, SLOTS_MAGIC_LEN + 3, 2);
	assert_int_equal(slots_open(f->path, magic, id_a, 1000, f->seal, false, &other, &diag), RC_CONFIG);
	poke(f->path, SLOTS_MAGIC_LEN + 3, 2);
	assert_int_equal(truncate(f->path, 10), 0);
	assert_int_equal(slots_open(f->path, magic, id_a, 1000, f->seal, false, &other, &diag), RC_DAMAGED);
	assert_int_equal(truncate(f->path, SLOT_LEN * 1002), 0);
	assert_int_equal(slots_open(f->path, magic, id_a, 1000, f->seal, false, &other, &diag), RC_DAMAGED);
	assert_null(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_write_and_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destroy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_files, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
