/* libs: tc_core tc_proto */
/* The log's summary: what entries add up to, and that entries which contradict each other are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "daemon/core/history.h"

#define HEX32 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static enum rc feed(struct history *h, uint64_t index, enum entry_kind kind, json_t *fields)
{
	enum rc rc = history_replay(h, index, kind, 1000 + (int64_t)index, fields);
	json_decref(fields);
	return rc;
}

static json_t *batch(int records)
{
	return json_pack("{s:s, s:s, s:i}", "source", "prison", "batch", HEX32, "records", records);
}

static json_t *started(int number, int batches, int rho, int total)
{
	return json_pack("{s:i, s:s, s:{s:i, s:i, s:s}, s:s, s:s, s:i, s:i}", "number", number, "as_of", "2025-06-30",
			 "cut", "batches", batches, "records", 7, "digest", HEX32, "commitment", HEX32, "study_digest",
			 HEX32, "rho_micro", rho, "rho_total_micro", total);
}

static json_t *released(int number, int index)
{
	return json_pack("{s:i, s:s, s:i}", "number", number, "digest", HEX32, "started_index", index);
}

static void test_sums(void **state)
{
	struct history h;
	history_init(&h);
	assert_null(history_last(&h));
	assert_null(history_last_released(&h));
	assert_int_equal(feed(&h, 0, ENTRY_KEYS, json_pack("{s:s, s:s}", "key", "log", "public", "a+b+c")), RC_OK);
	assert_int_equal(feed(&h, 1, ENTRY_STUDY, json_pack("{s:s}", "digest", HEX32)), RC_OK);
	assert_int_equal(feed(&h, 2, ENTRY_BATCH, batch(5)), RC_OK);
	assert_int_equal(feed(&h, 3, ENTRY_BATCH, batch(6)), RC_OK);
	assert_int_equal(feed(&h, 4, ENTRY_RELEASE_STARTED, started(1, 2, 100, 100)), RC_OK);
	assert_int_equal(history_last(&h)->number, 1);
	assert_int_equal(history_last(&h)->started_index, 4);
	assert_null(history_last_released(&h));
	assert_int_equal(history_release_of(&h, 0), 0);
	assert_int_equal(feed(&h, 5, ENTRY_BATCH, batch(1)), RC_OK);
	assert_int_equal(feed(&h, 6, ENTRY_RELEASE, released(1, 4)), RC_OK);
	/* Another study: the ledger goes on. */
	assert_int_equal(feed(&h, 7, ENTRY_STUDY, json_pack("{s:s}", "digest", HEX32)), RC_OK);
	assert_int_equal(feed(&h, 8, ENTRY_RELEASE_STARTED, started(2, 3, 50, 150)), RC_OK);
	assert_int_equal(h.rho_total_micro, 150);
	assert_int_equal(h.n_batches, 3);
	assert_int_equal(h.n_records, 12);
	assert_string_equal(h.log_key, "a+b+c");
	assert_int_equal(history_last_released(&h)->number, 1);
	assert_int_equal(history_last(&h)->number, 2);
	assert_int_equal(history_release_of(&h, 1), 1);
	assert_int_equal(history_release_of(&h, 2), 0);
	assert_int_equal(feed(&h, 9, ENTRY_QUERY, json_object()), RC_OK);
	history_deinit(&h);
}

static void test_contradictions(void **state)
{
	struct history h;
	history_init(&h);
	assert_int_equal(feed(&h, 0, ENTRY_RELEASE, released(1, 0)), RC_DAMAGED);
	assert_int_equal(feed(&h, 0, ENTRY_BATCH, json_object()), RC_DAMAGED);
	assert_int_equal(feed(&h, 0, ENTRY_BATCH, json_pack("{s:i}", "records", -1)), RC_DAMAGED);
	assert_int_equal(feed(&h, 0, ENTRY_STUDY, json_pack("{s:s}", "digest", "00")), RC_DAMAGED);
	assert_int_equal(feed(&h, 0, ENTRY_KEYS, json_object()), RC_DAMAGED);
	assert_int_equal(feed(&h, 0, ENTRY_BATCH, batch(5)), RC_OK);
	/* A number left out, a sum that is not one, a cut that is not what is there. */
	assert_int_equal(feed(&h, 1, ENTRY_RELEASE_STARTED, started(2, 1, 10, 10)), RC_DAMAGED);
	assert_int_equal(feed(&h, 1, ENTRY_RELEASE_STARTED, started(1, 1, 10, 9)), RC_DAMAGED);
	assert_int_equal(feed(&h, 1, ENTRY_RELEASE_STARTED, started(1, 2, 10, 10)), RC_DAMAGED);
	assert_int_equal(feed(&h, 1, ENTRY_RELEASE_STARTED, json_object()), RC_DAMAGED);
	assert_int_equal(h.n_releases, 0);
	assert_int_equal(feed(&h, 1, ENTRY_RELEASE_STARTED, started(1, 1, 10, 10)), RC_OK);
	/* A second one while the first runs; a release of another start; one that is out twice. */
	assert_int_equal(feed(&h, 2, ENTRY_RELEASE_STARTED, started(2, 1, 10, 20)), RC_DAMAGED);
	assert_int_equal(feed(&h, 2, ENTRY_RELEASE, released(1, 0)), RC_DAMAGED);
	assert_int_equal(feed(&h, 2, ENTRY_RELEASE, released(2, 1)), RC_DAMAGED);
	assert_int_equal(feed(&h, 2, ENTRY_RELEASE, released(1, 1)), RC_OK);
	assert_int_equal(feed(&h, 3, ENTRY_RELEASE, released(1, 1)), RC_DAMAGED);
	history_deinit(&h);
}

static json_t *restored(int releases, int rho)
{
	return json_pack("{s:i, s:i}", "releases", releases, "rho_total_micro", rho);
}

/* What a restore has lost is counted and charged, and nothing of it can be read. */
static void test_a_restore(void **state)
{
	struct history h;
	history_init(&h);
	assert_int_equal(history_readable_before(&h, UINT32_MAX), 0);
	assert_int_equal(feed(&h, 0, ENTRY_BATCH, batch(5)), RC_OK);
	assert_int_equal(feed(&h, 1, ENTRY_RELEASE_STARTED, started(1, 1, 10, 10)), RC_OK);
	/* No backup is made of an unfinished release. */
	assert_int_equal(feed(&h, 2, ENTRY_RESTORE, restored(2, 30)), RC_DAMAGED);
	assert_int_equal(feed(&h, 2, ENTRY_RELEASE, released(1, 1)), RC_OK);
	/* Neither numbers nor charges are given back, and a charge has its release. */
	assert_int_equal(feed(&h, 3, ENTRY_RESTORE, restored(0, 10)), RC_DAMAGED);
	assert_int_equal(feed(&h, 3, ENTRY_RESTORE, restored(2, 9)), RC_DAMAGED);
	assert_int_equal(feed(&h, 3, ENTRY_RESTORE, restored(1, 11)), RC_DAMAGED);
	assert_int_equal(feed(&h, 3, ENTRY_RESTORE, restored(1 << 21, 11)), RC_DAMAGED);
	assert_int_equal(feed(&h, 3, ENTRY_RESTORE, json_object()), RC_DAMAGED);
	assert_int_equal(h.n_releases, 1);
	assert_int_equal(feed(&h, 3, ENTRY_RESTORE, restored(1, 10)), RC_OK);
	assert_int_equal(feed(&h, 4, ENTRY_RESTORE, restored(3, 35)), RC_OK);
	assert_int_equal(h.n_releases, 3);
	assert_int_equal(h.rho_total_micro, 35);
	assert_true(h.releases[1].lost && h.releases[2].lost && h.releases[2].released);
	assert_int_equal(h.releases[2].started_at, 1004);
	assert_int_equal(history_last_released(&h)->number, 3);
	assert_int_equal(history_readable_before(&h, UINT32_MAX), 1);
	assert_int_equal(history_readable_before(&h, 4), 1);
	assert_int_equal(history_readable_before(&h, 2), 1);
	assert_int_equal(history_readable_before(&h, 1), 0);
	assert_int_equal(history_release_of(&h, 0), 1);
	assert_int_equal(feed(&h, 5, ENTRY_BATCH, batch(1)), RC_OK);
	assert_int_equal(feed(&h, 6, ENTRY_RELEASE_STARTED, started(4, 2, 5, 40)), RC_OK);
	assert_int_equal(feed(&h, 7, ENTRY_RELEASE, released(4, 6)), RC_OK);
	assert_int_equal(history_readable_before(&h, UINT32_MAX), 4);
	assert_int_equal(history_readable_before(&h, 4), 1);
	assert_int_equal(history_release_of(&h, 1), 4);
	history_deinit(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_a_restore),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
