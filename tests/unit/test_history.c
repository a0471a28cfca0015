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

static void add_study(struct history *h, int needed)
{
	uint8_t public_key[32] = {1};
	struct witness_rule rule = {.needed = (uint8_t)needed, .n = 3};
	for (int i = 0; i < rule.n; i++) {
		char name[] = "w.example/0";
		name[sizeof name - 2] = (char)('0' + i);
		assert_int_equal(tlog_witness_make(name, public_key, &rule.keys[i]), RC_OK);
	}
	json_t *json = needed == 0 ? NULL : witness_rule_json(&rule);
	assert_int_equal(witness_history_add(&h->witnesses, json, 1000), RC_OK);
	json_decref(json);
}

/* A release that needs witnesses is there, and cannot be read, until they have signed. */
static void test_witnesses(void **state)
{
	static const char key[] = "w.example+00000000+x";
	struct history h;
	struct diag diag = {""};
	history_init(&h);
	assert_int_equal(feed(&h, 0, ENTRY_STUDY,
					json_pack("{s:s, s:{s:i, s:[s]}}", "digest", HEX32, "witnesses", "needed", 1, "keys",
						  key)),
			 RC_DAMAGED); /* no key */
	assert_int_equal(feed(&h, 0, ENTRY_BATCH, batch(7)), RC_OK);
	add_study(&h, 2);
	assert_int_equal(feed(&h, 1, ENTRY_RELEASE_STARTED, started(1, 1, 10, 10)), RC_OK);
	assert_int_equal(feed(&h, 2, ENTRY_WITNESSED, json_pack("{s:i}", "number", 1)), RC_DAMAGED);
	assert_int_equal(feed(&h, 2, ENTRY_RELEASE, released(1, 1)), RC_OK);
	assert_int_equal(history_last_released(&h)->number, 1);
	assert_null(history_last_readable(&h));
	assert_int_equal(history_n_waiting(&h), 1);
	assert_int_equal(history_check_readable(&h, 1, &diag), RC_TOO_EARLY);
	assert_non_null(strstr(diag.text, "2 witnesses"));
	assert_int_equal(history_check_readable(&h, 0, NULL), RC_NOTFOUND);
	assert_int_equal(history_check_readable(&h, 2, NULL), RC_NOTFOUND);
	add_study(&h, 0); /* another study asks for none: what waits goes on waiting, the next one does not */
	assert_int_equal(feed(&h, 3, ENTRY_RELEASE_STARTED, started(2, 1, 10, 20)), RC_OK);
	assert_int_equal(feed(&h, 4, ENTRY_RELEASE, released(2, 3)), RC_OK);
	assert_int_equal(history_last_readable(&h)->number, 2);
	assert_int_equal(history_check_readable(&h, 1, NULL), RC_TOO_EARLY);
	assert_int_equal(feed(&h, 5, ENTRY_WITNESSED, json_pack("{s:i}", "number", 2)), RC_DAMAGED);
	assert_int_equal(feed(&h, 5, ENTRY_WITNESSED, json_pack("{s:i}", "number", 1)), RC_OK);
	assert_int_equal(history_check_readable(&h, 1, NULL), RC_OK);
	assert_int_equal(feed(&h, 6, ENTRY_WITNESSED, json_pack("{s:i}", "number", 1)), RC_DAMAGED);
	assert_int_equal(history_n_waiting(&h), 0);
	history_deinit(&h);
}

/* Rules of the access file come and go in order; a revoked certificate stays revoked. */
static void test_certificates(void **state)
{
	struct history h;
	uint8_t key[32], serial[4] = {0, 0, 1, 7};
	assert_int_equal(hex_decode(HEX32, 64, key, sizeof key), RC_OK);
	history_init(&h);
	for (int round = 0; round < 2; round++) {
		assert_null(certificates_find(&h.certificates, key));
		assert_int_equal(feed(&h, 0, ENTRY_CERTIFICATE, json_pack("{s:s, s:s}", "change", "changed", "fp", HEX32)),
				 RC_DAMAGED);
		assert_int_equal(feed(&h, 0, ENTRY_CERTIFICATE, json_pack("{s:s, s:s}", "change", "removed", "fp", HEX32)),
				 RC_DAMAGED);
		assert_int_equal(feed(&h, 0, ENTRY_CERTIFICATE, json_pack("{s:s, s:s}", "change", "added", "fp", HEX32)),
				 RC_OK);
		assert_int_equal(feed(&h, 0, ENTRY_CERTIFICATE, json_pack("{s:s, s:s}", "change", "added", "fp", HEX32)),
				 RC_DAMAGED);
		uint8_t before[32];
		memcpy(before, certificates_find(&h.certificates, key)->digest, sizeof before);
		assert_int_equal(feed(&h, 0, ENTRY_CERTIFICATE,
				      json_pack("{s:s, s:s, s:s}", "change", "changed", "fp", HEX32, "client", "a")),
				 RC_OK);
		assert_memory_not_equal(certificates_find(&h.certificates, key)->digest, before, sizeof before);
		assert_int_equal(feed(&h, 0, ENTRY_CERTIFICATE, json_pack("{s:s, s:s}", "change", "removed", "fp", HEX32)),
				 RC_OK);
	}
	for (int i = 0; i < 1000; i++) {
		char hex[9];
		memcpy(serial, &i, sizeof serial);
		hex_encode(serial, sizeof serial, hex);
		assert_false(certificates_is_revoked(&h.certificates, key, serial, sizeof serial));
		for (int twice = 0; twice < 2; twice++)
			assert_int_equal(feed(&h, 0, ENTRY_CERTIFICATE,
					      json_pack("{s:s, s:s, s:s}", "change", "revoked", "authority", HEX32, "serial",
							hex)),
					 RC_OK);
		assert_true(certificates_is_revoked(&h.certificates, key, serial, sizeof serial));
	}
	assert_int_equal(h.certificates.n_revoked, 1000);
	assert_int_equal(feed(&h, 0, ENTRY_CERTIFICATE, json_pack("{s:s, s:s, s:s}", "change", "revoked", "authority",
								   HEX32, "serial", "")),
			 RC_DAMAGED);
	assert_int_equal(feed(&h, 0, ENTRY_CERTIFICATE, json_pack("{s:s}", "change", "lost")), RC_DAMAGED);
	history_deinit(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_a_restore),
		cmocka_unit_test(test_witnesses),
		cmocka_unit_test(test_certificates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
