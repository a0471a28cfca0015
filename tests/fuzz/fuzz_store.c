/* libs: tc_core tc_store tc_keys tc_proto */
/* What LMDB may hold: a store is filled with records of hostile keys and values, and everything that reads a store at a
 * start, at a request, at a release and at --check-store reads it. A record is a byte that says how its value is put,
 * u8 length of the key, the key, be16 length of the value, the value: sealed as the store's own (a fault of ours, or of
 * whoever has the key), as a chunk with its salt, or as it comes (the disk's), and then it may not open. Pages that do
 * not hang together are another matter: LMDB may end its process (unit/test_damage_everywhere.c). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/pairs.h"
#include "daemon/core/publish.h"
#include "daemon/core/rows.h"
#include "daemon/store/backup.h"
#include "daemon/store/check.h"
#include "daemon/store/internal.h"
#include "tests/unit/batch_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_RECORDS = 64, MAP_BYTES = 16 << 20 };
enum { PUT_SEALED, PUT_CHUNK, PUT_AS_IT_IS, N_PUTS };

static char folder[64];

static void must(bool fits)
{
	if (!fits)
		abort();
}

/* Hostile bytes are somebody's fault: never ours, and never a matter of memory. */
static bool blames_the_store(enum rc rc)
{
	return rc != RC_INTERNAL && rc != RC_NOMEM && rc != RC_NOSPACE && rc != RC_IO;
}

static void remove_folder(void)
{
	(void)!store_remove(folder);
	rmdir(folder);
}

static void make_folder(void)
{
	snprintf(folder, sizeof folder, "%s/fuzz_store.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	must(mkdtemp(folder) != NULL);
	atexit(remove_folder);
}

/* ---- filling ---- */

struct record {
	uint8_t how;
	struct store_key key;
	const uint8_t *value;
	size_t len;
};

static bool next_record(struct reader *r, struct record *ret)
{
	ret->how = read_u8(r) % N_PUTS;
	ret->key.len = read_u8(r);
	const uint8_t *key = read_bytes(r, ret->key.len);
	ret->len = read_u16(r);
	ret->value = read_bytes(r, ret->len);
	if (r->failed || ret->key.len == 0 || ret->key.len > STORE_KEY_CAP)
		return false;
	memcpy(ret->key.bytes, key, ret->key.len);
	return true;
}

static void put_as_it_is(struct txn *txn, const struct record *record)
{
	uint8_t *room = NULL;
	must(engine_reserve(txn->engine_txn, record->key.bytes, record->key.len, record->len, &room) == RC_OK);
	if (record->len > 0)
		memcpy(room, record->value, record->len);
}

static size_t fill(struct store *store, const uint8_t *data, size_t size, struct record records[MAX_RECORDS])
{
	struct txn *txn = NULL;
	struct reader r;
	size_t n = 0;
	reader_init(&r, data, size);
	must(txn_begin_write(store, &txn) == RC_OK);
	for (; n < MAX_RECORDS && next_record(&r, &records[n]); n++) {
		const struct record *record = &records[n];
		if (record->how == PUT_AS_IT_IS)
			put_as_it_is(txn, record);
		else if (record->how == PUT_CHUNK)
			must(store_put_chunk(txn, record->key.bytes[0], (uint32_t)record->key.len - 1, record->value,
					     record->len) == RC_OK);
		else if (record->key.bytes[0] != STORE_CHUNK && !store_key_is_head(record->key.bytes, record->key.len))
			must(store_put(txn, &record->key, record->value, record->len) == RC_OK);
	}
	must(txn_commit(&txn) == RC_OK);
	return n;
}

/* ---- reading ---- */

static void read_foreign(struct txn *txn, const struct record *records, size_t n)
{
	struct buffer out;
	buffer_init(&out);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *value;
		size_t len;
		must(engine_get(txn->engine_txn, records[i].key.bytes, records[i].key.len, &value, &len) == RC_OK ||
		     records[i].how != PUT_AS_IT_IS);
		/* The same key may have been put again, sealed. */
		if (records[i].how != PUT_AS_IT_IS || len != records[i].len ||
		    memcmp(value, records[i].value, len) != 0)
			continue;
		must(store_open_value(txn->store, records[i].key.bytes, records[i].key.len, value, len, &out) ==
		     RC_DAMAGED);
		must(store_open_chunk(txn->store, &records[i].key, value, len, &out) == RC_DAMAGED);
		must(out.len == 0);
	}
	buffer_deinit(&out);
}

static enum rc visit_batch(void *ctx, const struct batch_record *record)
{
	must(memchr(record->source, '\0', sizeof record->source) != NULL);
	return RC_OK;
}

static void read_batches(struct core *core)
{
	struct txn *txn = NULL;
	struct batch_record record;
	struct batch_chunk *chunk = NULL;
	struct batch_cut cut;
	uint64_t n = 0;
	must(txn_begin_read(core->store, &txn) == RC_OK);
	must(blames_the_store(batches_count(txn, &n)));
	must(blames_the_store(batches_each(txn, visit_batch, NULL)));
	txn_abort(txn);
	must(txn_begin_read(core->store, &txn) == RC_OK);
	must(blames_the_store(batches_cut(txn, 0, &cut)));
	txn_abort(txn);
	for (uint64_t sequence = 0; sequence < n && sequence < 8; sequence++) {
		must(txn_begin_read(core->store, &txn) == RC_OK);
		enum rc rc = batches_at(txn, sequence, &record);
		must(blames_the_store(rc) && (rc != RC_OK || record.sequence == sequence));
		for (uint32_t i = 0; rc == RC_OK && i < record.n_chunks && i < 4; i++) {
			rc = rows_read_chunk(core, txn, &record, i, &chunk);
			must(blames_the_store(rc));
			if (rc == RC_OK)
				batch_chunk_free(chunk);
		}
		txn_abort(txn);
	}
}

static void read_pairs(struct core *core)
{
	struct txn *txn = NULL;
	struct link_pair *pairs = NULL;
	uint64_t version = 0;
	size_t n = 0;
	must(txn_begin_read(core->store, &txn) == RC_OK);
	must(blames_the_store(pairs_rows_version(txn, &core->study->domains[0], &version)));
	txn_abort(txn);
	enum rc rc = pairs_load(core->store, &core->study->domains[0], 1000, &pairs, &n);
	must(blames_the_store(rc));
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		must(pairs[i].a < 1000 && pairs[i].b < 1000);
	free(pairs);
}

static void read_releases(struct core *core)
{
	struct txn *txn = NULL;
	json_t *body = NULL;
	must(txn_begin_read(core->store, &txn) == RC_OK);
	enum rc rc = release_body_load(txn, 1, &body);
	must(blames_the_store(rc) && (rc == RC_OK) == (body != NULL));
	json_decref(body);
	txn_abort(txn);
}

static void read_log(struct core *core)
{
	struct history history;
	struct tlog_hash root;
	struct diag diag = {""};
	uint64_t n = 0;
	history_init(&history);
	must(blames_the_store(audit_log_look(core->store, history_replay_text, &history, &n, &root, &diag)));
	history_deinit(&history);
}

static void count_fault(void *ctx, const struct store_fault *fault)
{
	char place[STORE_PLACE_CAP];
	store_place(fault->key, fault->key_len, place);
	must(place[0] != '\0');
	++*(uint64_t *)ctx;
}

static void check(struct store *store)
{
	struct store_tally tally;
	struct diag diag = {""};
	uint64_t n = 0;
	enum rc rc = store_check(store, count_fault, &n, NULL, &tally);
	must(blames_the_store(rc) && n == tally.n_faults && (rc == RC_OK || n > 0));
	must(blames_the_store(store_check_counts(store, &diag)));
}

static void read_all(struct store *store, const struct record *records, size_t n)
{
	static struct study study;
	struct core core = {.study = &study, .store = store};
	struct txn *txn = NULL;
	fixture_study(&study);
	must(txn_begin_read(store, &txn) == RC_OK);
	read_foreign(txn, records, n);
	txn_abort(txn);
	read_batches(&core);
	read_pairs(&core);
	read_releases(&core);
	read_log(&core);
	check(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[32] = {9};
	static struct record records[MAX_RECORDS];
	struct seal *seal = NULL;
	struct store *store = NULL;
	struct diag diag = {""};
	if (folder[0] == '\0')
		make_folder();
	must(seal_new(key, &seal) == RC_OK);
	struct store_options options = {.directory = folder, .map_bytes = MAP_BYTES, .create = true};
	must(store_open(&options, seal, &store, NULL) == RC_OK);
	size_t n = fill(store, data, size, records);
	read_all(store, records, n);
	store_close(store);
	/* And once more: the head, the slot counter and the counts may be among what was put. */
	store = NULL;
	options.create = false;
	enum rc rc = store_open(&options, seal, &store, &diag);
	must(blames_the_store(rc) && (rc == RC_OK || diag.text[0] != '\0'));
	store_close(store);
	seal_close(seal);
	must(store_remove(folder) == RC_OK);
	return 0;
}
