/* libs: tc_encode tc_keys tc_proto */
/* The set that finds repeated records: against sorting, with many small runs in its temporary file. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tools/encode/idset.h"

static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15u;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

/* Every digest of a sequence is new the first time and old ever after, wherever it has gone. */
static void check(size_t max_cap, size_t n)
{
	struct idset *set = NULL;
	uint64_t state = 1, again = 1, other = 77;
	bool new;
	assert_int_equal(idset_new(max_cap, &set), RC_OK);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(idset_add(set, next(&state), &new), RC_OK);
		assert_true(new);
		if (i % 3 != 0)
			continue;
		/* One from the distant past, in order, and a neighbour of it. */
		uint64_t old = next(&again);
		assert_int_equal(idset_add(set, old, &new), RC_OK);
		assert_false(new);
		assert_int_equal(idset_add(set, old + 1 + i % 2, &new), RC_OK);
		assert_true(new);
		assert_int_equal(idset_add(set, next(&other) | 1ull << 63, &new), RC_OK);
		assert_true(new);
	}
	idset_free(set);
}

static void test_in_memory(void **state)
{
	check(IDSET_MAX_CAP, 20000);
}

static void test_in_many_runs(void **state)
{
	check(1024, 20000);
	check(1 << 15, 200000);
}

/* Digests that are far from uniform are found too, only more slowly. */
static void test_crowded_digests(void **state)
{
	struct idset *set = NULL;
	bool new;
	assert_int_equal(idset_new(1 << 14, &set), RC_OK);
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < 40000; i++) {
			assert_int_equal(idset_add(set, i % 2 == 0 ? i : UINT64_MAX - i, &new), RC_OK);
			assert_int_equal(new, round == 0);
		}
	}
	idset_free(set);
}

static void test_no_room_for_the_file(void **state)
{
	struct idset *set = NULL;
	uint64_t random = 5;
	bool new;
	enum rc rc = RC_OK;
	assert_int_equal(setenv("TMPDIR", "/nonexistent", 1), 0);
	assert_int_equal(idset_new(1024, &set), RC_OK);
	for (int i = 0; i < 2000 && rc == RC_OK; i++)
		rc = idset_add(set, next(&random), &new);
	assert_int_equal(rc, RC_IO);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(idset_folder(), "/nonexistent");
	idset_free(set);
	assert_int_equal(unsetenv("TMPDIR"), 0);
	assert_string_equal(idset_folder(), "/tmp");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_memory),
		cmocka_unit_test(test_in_many_runs),
		cmocka_unit_test(test_crowded_digests),
		cmocka_unit_test(test_no_room_for_the_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
