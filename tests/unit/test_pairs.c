/* libs: tc_core tc_store tc_link tc_audit tc_keys tc_proto */
/* Slices of candidate pairs: what goes in comes out, comparing resumes where it stopped, other settings or damage throw
 * all away, and nothing that is not whole is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/core/pairs.h"
#include "daemon/core/write_queue.h"
#include "tests/unit/core_fixture.h"

struct fixture {
	struct cf cf;
	struct seal *seal;
	struct store *store;
	struct log_signer *signer;
	struct audit_log *log;
	struct write_queue *q;
	struct study_domain *domain;
};

static void on_fault(void *ctx, enum rc rc)
{
	fail_msg("the writer failed: %s", rc_text(rc));
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	cf_init(&f->cf);
	struct store_options options = {.directory = f->cf.conf.store_directory, .map_bytes = 64 << 20, .create = true};
	assert_int_equal(seal_open_file(f->cf.conf.seal_key, NULL, &f->seal, NULL), RC_OK);
	assert_int_equal(log_signer_open(f->cf.conf.log_key, "", CF_ORIGIN, &f->signer, NULL), RC_OK);
	assert_int_equal(store_open(&options, f->seal, &f->store, NULL), RC_OK);
	assert_int_equal(audit_log_open(f->store, f->signer, NULL, NULL, &f->log, NULL), RC_OK);
	assert_int_equal(write_queue_new(f->store, f->log, on_fault, f, &f->q), RC_OK);
	f->domain = &f->cf.study->domains[0];
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	write_queue_free(f->q);
	audit_log_free(f->log);
	store_close(f->store);
	log_signer_close(f->signer);
	seal_close(f->seal);
	cf_deinit(&f->cf);
	free(f);
	return 0;
}

/* Row b has b % 7 pairs, row 500 has 40,000: more than a slice. */
static size_t make_pairs(uint32_t from, uint32_t to, struct link_pair **ret)
{
	struct link_pair *pairs = calloc(250000, sizeof *pairs);
	size_t n = 0;
	for (uint32_t b = from; b < to; b++) {
		uint32_t of_row = b == 50000 ? 40000 : b % 7 < b ? b % 7 : 0;
		for (uint32_t a = 0; a < of_row; a++, n++) {
			pairs[n].a = a;
			pairs[n].b = b;
			for (int c = 0; c < 4; c++)
				pairs[n].pattern.level[c] = (uint8_t)(a + b + (uint32_t)c);
		}
	}
	*ret = pairs;
	return n;
}

static const struct store_reserve reserve = {.map_bytes = 2 << 20};

static void store(struct fixture *f, struct pairs_position *at, uint32_t to)
{
	struct link_pair *pairs;
	size_t n = make_pairs(at->compared, to, &pairs);
	assert_int_equal(pairs_store(f->q, &reserve, f->domain, at, to, pairs, n), RC_OK);
	assert_int_equal(at->compared, to);
	free(pairs);
}

static void expect(struct fixture *f, uint32_t end)
{
	struct link_pair *want, *got = NULL;
	size_t n_want = make_pairs(0, end, &want), n_got = 0;
	assert_int_equal(pairs_load(f->store, f->domain, end, &got, &n_got), RC_OK);
	assert_int_equal(n_got, n_want);
	for (size_t i = 0; i < n_got; i++) {
		assert_int_equal(got[i].a, want[i].a);
		assert_int_equal(got[i].b, want[i].b);
		assert_memory_equal(got[i].pattern.level, want[i].pattern.level, f->domain->n_comparisons);
	}
	free(want);
	free(got);
}

static void test_store_and_resume(void **state)
{
	struct fixture *f = *state;
	struct pairs_position at, again;
	assert_int_equal(pairs_open(f->store, f->q, f->domain, 0, &at), RC_OK);
	assert_int_equal(at.compared, 0);
	store(f, &at, 1); /* a row without a pair */
	store(f, &at, 900);
	assert_int_equal(pairs_open(f->store, f->q, f->domain, 0, &again), RC_OK);
	assert_int_equal(again.compared, at.compared);
	assert_int_equal(again.next_slice, at.next_slice);
	assert_int_equal(again.n_pairs, at.n_pairs);
	assert_true(at.n_pairs > 2000);
	store(f, &again, 901);
	expect(f, 901);
	expect(f, 450); /* pairs beyond the cut are left out */
	struct link_pair *pairs = NULL;
	size_t n;
	assert_int_equal(pairs_load(f->store, f->domain, 902, &pairs, &n), RC_DAMAGED);
}

static void test_a_row_stays_in_one_slice(void **state)
{
	struct fixture *f = *state;
	struct pairs_position at;
	assert_int_equal(pairs_open(f->store, f->q, f->domain, 0, &at), RC_OK);
	at.compared = 0;
	store(f, &at, 49990);
	uint64_t slices = at.next_slice;
	store(f, &at, 50002);
	assert_true(slices >= 2 && at.next_slice <= slices + 2);
}

/* Pairs stop before the last room is taken, whole slice by whole slice; what must be written still can be. */
static void test_last_room_is_left(void **state)
{
	struct fixture *f = *state;
	struct pairs_position at, again;
	struct link_pair *pairs;
	uint64_t map_free, disk_free;
	enum rc rc = RC_OK;
	assert_int_equal(pairs_open(f->store, f->q, f->domain, 0, &at), RC_OK);
	assert_int_equal(store_space(f->store, &map_free, &disk_free), RC_OK);
	struct store_reserve leave = {.map_bytes = map_free - (1 << 20)};
	size_t n = make_pairs(0, 49990, &pairs);
	rc = pairs_store(f->q, &leave, f->domain, &at, 49990, pairs, n);
	assert_int_equal(rc, RC_NOSPACE);
	assert_true(at.next_slice >= 2 && at.compared > 0 && at.compared < 49990);
	assert_int_equal(store_space(f->store, &map_free, &disk_free), RC_OK);
	assert_true(map_free > leave.map_bytes - (64 << 10));
	free(pairs);
	/* The disk's room is kept as well. */
	leave = (struct store_reserve){.disk_bytes = disk_free + ((uint64_t)1 << 40)};
	assert_int_equal(pairs_store(f->q, &leave, f->domain, &at, at.compared + 1, NULL, 0), RC_NOSPACE);
	/* What was stored stands, and it goes on from there once there is room. */
	assert_int_equal(pairs_open(f->store, f->q, f->domain, 0, &again), RC_OK);
	assert_int_equal(again.compared, at.compared);
	store(f, &again, 49990);
	expect(f, 49990);
}

static void test_other_settings(void **state)
{
	struct fixture *f = *state;
	struct pairs_position at;
	assert_int_equal(pairs_open(f->store, f->q, f->domain, 0, &at), RC_OK);
	for (uint32_t to = 10; to <= 3000; to += 10)
		store(f, &at, to);
	assert_true(at.next_slice >= 300);
	f->domain->floor += 256;
	assert_int_equal(pairs_open(f->store, f->q, f->domain, 0, &at), RC_OK);
	assert_int_equal(at.compared, 0);
	assert_int_equal(at.next_slice, 0);
	store(f, &at, 30);
	expect(f, 30);
}

static void test_damage(void **state)
{
	struct fixture *f = *state;
	struct pairs_position at;
	struct link_pair *pairs = NULL;
	struct txn *txn = NULL;
	struct store_key key;
	size_t n;
	assert_int_equal(pairs_open(f->store, f->q, f->domain, 0, &at), RC_OK);
	store(f, &at, 100);
	store(f, &at, 200);
	store(f, &at, 300);
	/* A slice in the middle is gone. */
	store_key_init(&key, STORE_PATTERN);
	store_key_string(&key, f->domain->name);
	store_key_u64(&key, 1);
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_delete(txn, &key), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	assert_int_equal(pairs_load(f->store, f->domain, 300, &pairs, &n), RC_DAMAGED);
	/* The last one is nonsense: all are made again. */
	key.len -= 8;
	store_key_u64(&key, 2);
	assert_int_equal(txn_begin_write(f->store, &txn), RC_OK);
	assert_int_equal(store_put(txn, &key, "nonsense", 8), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	assert_int_equal(pairs_open(f->store, f->q, f->domain, 0, &at), RC_OK);
	assert_int_equal(at.compared, 0);
	store(f, &at, 120);
	expect(f, 120);
	assert_int_equal(pairs_drop(f->q, f->domain, 0, &at), RC_OK);
	assert_int_equal(at.next_slice, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_store_and_resume, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_row_stays_in_one_slice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_room_is_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_settings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
