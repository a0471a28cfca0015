/* libs: tc_core tc_store tc_link tc_stats tc_audit tc_keys tc_proto */
/* The log through the core: tiles, bundles and proofs that verify with the public key alone; own proofs only for
 * submitters; a store that is older or other than what was signed is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/audit/tree.h"
#include "tests/unit/core_fixture.h"

static int get(struct cf *f, enum request_type type, unsigned role, const char *source, const char *argument,
	       struct buffer *out)
{
	struct cf_answer a;
	int status = cf_get(f, type, role, source, argument, "", &a);
	buffer_reset(out);
	buffer_append(out, a.body.data, a.body.len + 1);
	out->len--;
	if (status == 404)
		assert_non_null(strstr(cf_text(&a), "not-found"));
	cf_answer_deinit(&a);
	return status;
}

static void checkpoint(struct cf *f, struct tlog_checkpoint *ret)
{
	struct buffer note;
	buffer_init(&note);
	assert_int_equal(get(f, REQUEST_CHECKPOINT, ROLE_AUDITOR, "", "", &note), 200);
	assert_int_equal(tlog_checkpoint_verify((char *)note.data, note.len, log_signer_vkey(f->core->signer), ret),
			 RC_OK);
	buffer_deinit(&note);
}

/* Read the whole log as a client would, and rebuild its root from the entries alone. */
static void test_bundles_add_up_to_the_root(void **state)
{
	struct cf *f = *state;
	struct tlog_checkpoint c;
	struct buffer bundle, tile;
	struct tlog_stack stack;
	char path[64];
	buffer_init(&bundle);
	buffer_init(&tile);
	for (uint64_t i = 0; i < 300; i++)
		cf_push(f, (int)(i % 2), i * 10, 1);
	checkpoint(f, &c);
	assert_string_equal(c.origin, CF_ORIGIN);
	assert_int_equal(c.size, 303);
	tlog_stack_init(&stack);
	for (uint64_t at = 0; at < c.size; at += 256) {
		struct reader r;
		const uint8_t *entry;
		size_t len;
		unsigned width = c.size - at < 256 ? (unsigned)(c.size - at) : 256;
		tlog_tile_path_format(-1, at / 256, width, path, sizeof path);
		assert_int_equal(get(f, REQUEST_TILE, ROLE_AUDITOR, "", path, &bundle), 200);
		tlog_tile_path_format(0, at / 256, width, path, sizeof path);
		assert_int_equal(get(f, REQUEST_TILE, ROLE_AUDITOR, "", path, &tile), 200);
		assert_int_equal(tile.len, width * TLOG_HASH_LEN);
		reader_init(&r, bundle.data, bundle.len);
		for (size_t i = 0; tlog_bundle_next(&r, &entry, &len) == RC_OK; i++) {
			struct tlog_hash leaf = tlog_leaf_hash(entry, len);
			assert_memory_equal(tile.data + i * TLOG_HASH_LEN, leaf.b, TLOG_HASH_LEN);
			tlog_stack_append(&stack, &leaf);
		}
	}
	struct tlog_hash root = tlog_stack_root(&stack);
	assert_memory_equal(root.b, c.root.b, sizeof root.b);
	/* Beyond the signed tree, and what is no path at all. */
	const char *bad[] = {"0/002",
			     "0/001",
			     "0/001.p/48",
			     "entries/001.p/48",
			     "entries/001",
			     "1/001",
			     "",
			     "x",
			     "9/000",
			     "0/000.p/0",
			     "0/000.p/257",
			     "../store",
			     "-1/000",
			     "0/x001/067",
			     "63/000",
			     "entries/99999999999999999999"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(get(f, REQUEST_TILE, ROLE_AUDITOR, "", bad[i], &bundle), 404);
	assert_int_equal(get(f, REQUEST_TILE, ROLE_AUDITOR, "", "1/000.p/1", &bundle), 200);
	buffer_deinit(&bundle);
	buffer_deinit(&tile);
}

static void test_proofs(void **state)
{
	struct cf *f = *state;
	struct buffer proof, entry;
	struct tlog_checkpoint c;
	struct txn *txn = NULL;
	uint64_t index;
	char text[32];
	buffer_init(&proof);
	buffer_init(&entry);
	cf_push(f, CF_PRISON, 0, 5);
	cf_push(f, CF_TREATMENT, 0, 5);
	for (uint64_t i = 0; i < 5; i++) {
		snprintf(text, sizeof text, "%d", (int)i);
		assert_int_equal(get(f, REQUEST_PROOF, ROLE_AUDITOR, "", text, &proof), 200);
		buffer_reset(&entry);
		assert_int_equal(txn_begin_read(f->core->store, &txn), RC_OK);
		assert_int_equal(audit_log_entry(txn, i, &entry), RC_OK);
		txn_abort(txn);
		struct tlog_hash leaf = tlog_leaf_hash(entry.data, entry.len);
		assert_int_equal(tlog_proof_verify((char *)proof.data, proof.len, log_signer_vkey(f->core->signer),
						   &leaf, &index, &c),
				 RC_OK);
		assert_int_equal(index, i);
		/* keys, study, start: not a submitter's; then the prison's batch, then the treatment service's. */
		assert_int_equal(get(f, REQUEST_PROOF, ROLE_SUBMITTER, "prison", text, &proof), i == 3 ? 200 : 404);
		assert_int_equal(get(f, REQUEST_PROOF, ROLE_SUBMITTER, "treatment", text, &proof), i == 4 ? 200 : 404);
	}
	const char *bad[] = {"5", "05", "-1", "", "x", "18446744073709551616", "1e3", " 1"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(get(f, REQUEST_PROOF, ROLE_AUDITOR, "", bad[i], &proof), 404);
	buffer_deinit(&proof);
	buffer_deinit(&entry);
}

static void test_log_extends_over_restarts(void **state)
{
	struct cf *f = *state;
	struct tlog_checkpoint before, after;
	struct tlog_proof proof;
	cf_push(f, CF_PRISON, 0, 5);
	checkpoint(f, &before);
	cf_close(f);
	cf_must_open(f);
	cf_push(f, CF_PRISON, 10, 5);
	checkpoint(f, &after);
	assert_true(after.size >= before.size + 2);
	/* The proof comes from a tree rebuilt here from the entries. */
	json_t *entries = cf_entries(f, "start");
	assert_int_equal(json_array_size(entries), 2);
	json_decref(entries);
	struct tree *tree = NULL;
	struct txn *txn = NULL;
	struct buffer entry;
	assert_int_equal(tree_new(&tree), RC_OK);
	assert_int_equal(txn_begin_read(f->core->store, &txn), RC_OK);
	buffer_init(&entry);
	for (uint64_t i = 0; i < after.size; i++) {
		buffer_reset(&entry);
		assert_int_equal(audit_log_entry(txn, i, &entry), RC_OK);
		struct tlog_hash leaf = tlog_leaf_hash(entry.data, entry.len);
		assert_int_equal(tree_append(tree, &leaf), RC_OK);
	}
	txn_abort(txn);
	buffer_deinit(&entry);
	assert_int_equal(tree_consistency(tree, before.size, after.size, &proof), RC_OK);
	assert_int_equal(tlog_check_consistency(&proof, before.size, &before.root, after.size, &after.root), RC_OK);
	tree_free(tree);
}

/* Entries that the signer has not seen were committed by a crash before the signature: they are signed at the start. */
static void test_unsigned_entries_are_signed_at_start(void **state)
{
	struct cf *f = *state;
	struct txn *txn = NULL;
	struct tlog_checkpoint c;
	uint64_t size = audit_log_signed_size(f->core->log), index;
	cf_close(f);
	struct seal *seal = NULL;
	struct store *store = NULL;
	struct store_options options = {.directory = f->conf.store_directory, .map_bytes = f->conf.store_map_bytes};
	struct buffer text;
	struct store_key key;
	buffer_init(&text);
	assert_int_equal(seal_open_file(f->conf.seal_key, NULL, &seal, NULL), RC_OK);
	assert_int_equal(store_open(&options, seal, &store, NULL), RC_OK);
	assert_int_equal(entry_build(ENTRY_STOP, (int64_t)time(NULL), NULL, NULL, &text), RC_OK);
	store_key_init(&key, STORE_ENTRY);
	store_key_u64(&key, size);
	assert_int_equal(txn_begin_write(store, &txn), RC_OK);
	assert_int_equal(store_put(txn, &key, text.data, text.len), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	store_close(store);
	seal_close(seal);
	buffer_deinit(&text);
	cf_must_open(f);
	checkpoint(f, &c);
	index = size;
	assert_true(c.size >= index + 2);
	assert_int_equal(cf_count_entries(f, "stop"), 1);
}

static void copy_file(const char *from, const char *to)
{
	static uint8_t bytes[1 << 20];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(in >= 0 && out >= 0);
	for (ssize_t n; (n = read(in, bytes, sizeof bytes)) > 0;)
		assert_int_equal(write(out, bytes, (size_t)n), n);
	close(in);
	close(out);
}

static void test_older_store_is_refused(void **state)
{
	struct cf *f = *state;
	static const char *const names[] = {"data.mdb", "salts", "secrets"};
	char from[CONF_PATH_CAP], to[CONF_PATH_CAP], name[64];
	cf_push(f, CF_PRISON, 0, 5);
	cf_close(f);
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof name, "store/%s", names[i]);
		cf_path(f, name, from);
		snprintf(name, sizeof name, "old.%s", names[i]);
		cf_path(f, name, to);
		copy_file(from, to);
	}
	cf_must_open(f);
	cf_push(f, CF_PRISON, 10, 5);
	cf_close(f);
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof name, "old.%s", names[i]);
		cf_path(f, name, from);
		snprintf(name, sizeof name, "store/%s", names[i]);
		cf_path(f, name, to);
		copy_file(from, to);
	}
	assert_int_equal(cf_open(f), RC_FORK);
	assert_non_null(strstr(f->diag.text, "older copy"));
	assert_int_equal(core_check(&f->conf, &f->diag), RC_FORK);
}

/* A new store under a log key that has signed before: the log cannot begin again. */
static void test_emptied_store_is_refused(void **state)
{
	struct cf *f = *state;
	cf_close(f);
	cf_remove(f->conf.store_directory);
	assert_int_equal(cf_open(f), RC_FORK);
	assert_non_null(strstr(f->diag.text, "0 log entries"));
}

static void test_changed_entry_is_found(void **state)
{
	struct cf *f = *state;
	struct txn *txn = NULL;
	struct store_key key;
	struct buffer text;
	cf_push(f, CF_PRISON, 0, 5);
	buffer_init(&text);
	assert_int_equal(txn_begin_write(f->core->store, &txn), RC_OK);
	assert_int_equal(audit_log_entry(txn, 2, &text), RC_OK);
	/* By somebody with the sealing key: the entry opens, the tree is another. */
	buffer_append(&text, "", 1);
	char *digest = strstr((char *)text.data, "config_digest\":\"");
	assert_non_null(digest);
	digest[16] = digest[16] == '0' ? '1' : '0';
	store_key_init(&key, STORE_ENTRY);
	store_key_u64(&key, 2);
	assert_int_equal(store_put(txn, &key, text.data, text.len - 1), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	buffer_deinit(&text);
	cf_close(f);
	assert_int_equal(cf_open(f), RC_FORK);
	assert_non_null(strstr(f->diag.text, "not the ones that were signed"));
}

static void test_missing_entry_is_found(void **state)
{
	struct cf *f = *state;
	struct txn *txn = NULL;
	struct store_key key;
	cf_push(f, CF_PRISON, 0, 5);
	store_key_init(&key, STORE_ENTRY);
	store_key_u64(&key, 1);
	assert_int_equal(txn_begin_write(f->core->store, &txn), RC_OK);
	assert_int_equal(store_delete(txn, &key), RC_OK);
	assert_int_equal(txn_commit(&txn), RC_OK);
	cf_close(f);
	assert_int_equal(cf_open(f), RC_DAMAGED);
	assert_non_null(strstr(f->diag.text, "log entry 1 is missing"));
}

static void test_refusals_are_logged_and_bounded(void **state)
{
	struct cf *f = *state;
	struct pipe_refused refused = {.reason = RC_FORBIDDEN, .request_type = REQUEST_TABLES};
	refused.who = cf_who(ROLE_SUBMITTER, "prison");
	for (int i = 0; i < 500; i++)
		core_log_refused(f->core, &refused);
	refused = (struct pipe_refused){.reason = RC_UNAUTHENTIC, .request_type = REQUEST_TYPE_COUNT};
	core_log_refused(f->core, &refused);
	cf_push(f, CF_PRISON, 0, 5); /* what was queued before it is written before it */
	json_t *entries = cf_entries(f, "refused");
	assert_int_equal(json_array_size(entries), 60);
	json_t *first = json_array_get(entries, 0);
	assert_string_equal(json_string_value(json_object_get(first, "route")), "/v1/tables");
	assert_string_equal(json_string_value(json_object_get(first, "reason")), "forbidden");
	assert_non_null(json_object_get(first, "who"));
	json_decref(entries);
}

static void test_open_routes(void **state)
{
	struct cf *f = *state;
	struct buffer out;
	buffer_init(&out);
	assert_int_equal(get(f, REQUEST_HEALTH, ROLE_ANALYST, "", "", &out), 200);
	assert_int_equal(get(f, REQUEST_STUDY, ROLE_ANALYST, "", "", &out), 200);
	assert_int_equal(out.len, f->core->study_text_len);
	assert_memory_equal(out.data, f->core->study_text, out.len);
	assert_int_equal(get(f, REQUEST_METRICS, ROLE_OPERATOR, "", "", &out), 200);
	assert_non_null(strstr((char *)out.data, "throughcare_records_total 0\n"));
	assert_int_equal(get(f, REQUEST_STATUS, ROLE_OPERATOR, "", "", &out), 200);
	json_t *status = NULL;
	assert_int_equal(json_parse_strict((char *)out.data, out.len, &status, NULL), RC_OK);
	assert_string_equal(json_string_value(json_object_get(json_object_get(status, "release"), "state")), "idle");
	/* Nothing that comes from linkage has a name here. */
	const char *forbidden[] = {"link", "pair", "person", "match", "score", "precision", "recall", "threshold"};
	for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
		assert_null(strstr((char *)out.data, forbidden[i]));
	json_decref(status);
	buffer_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bundles_add_up_to_the_root, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_proofs, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_log_extends_over_restarts, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_unsigned_entries_are_signed_at_start, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_older_store_is_refused, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_emptied_store_is_refused, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_changed_entry_is_found, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_missing_entry_is_found, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_refusals_are_logged_and_bounded, cf_setup, cf_teardown),
		cmocka_unit_test_setup_teardown(test_open_routes, cf_setup, cf_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
