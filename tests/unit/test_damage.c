/* libs: tc_store tc_keys tc_proto */
/* Bits of a store flipped, one at a time, all through its files. Whatever is then read is what was written, or is found
 * damaged and named; a value that is hidden without a trace is one that the core misses by itself (an entry, a batch, a
 * chunk), never a receipt or a tombstone. Each look is a child process, since LMDB may end it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/store/backup.h"
#include "daemon/store/check.h"
#include "daemon/store/internal.h"

#ifndef STEP
#define STEP 211 /* every so manyth byte */
#endif
enum { MAP_BYTES = 16 << 20, N_VALUES = 40, N_CHUNKS = 4, CHUNK_LEN = 3000 };
enum { SAME, FOUND, WRONG };

static char folder[] = "/tmp/test_damage.XXXXXX", directory[64];
static const uint8_t key[32] = {9};
static const enum store_class classes[] = {STORE_ENTRY, STORE_RECEIPT, STORE_TOMBSTONE, STORE_META, STORE_DIGEST};
enum { N_CLASSES = sizeof classes / sizeof classes[0] };

static struct store_key key_of(enum store_class class, uint64_t n)
{
	struct store_key k;
	store_key_init(&k, class);
	store_key_u64(&k, n);
	return k;
}

static size_t text_of(enum store_class class, uint64_t n, char out[128])
{
	return (size_t)snprintf(out, 128, "value %c %060llu", class, (unsigned long long)(n * 7919));
}

static void fill_chunk(uint32_t n, uint8_t out[CHUNK_LEN])
{
	for (size_t i = 0; i < CHUNK_LEN; i++)
		out[i] = (uint8_t)(i * (n + 3) >> 2);
}

static enum rc open_store(bool create, struct seal *seal, struct store **ret, struct diag *diag)
{
	struct store_options options = {.directory = directory, .map_bytes = MAP_BYTES, .create = create};
	return store_open(&options, seal, ret, diag);
}

static void make_store(void)
{
	struct seal *seal = NULL;
	struct store *store = NULL;
	struct txn *txn = NULL;
	uint8_t chunk[CHUNK_LEN];
	char text[128];
	assert_int_equal(seal_new(key, &seal), RC_OK);
	assert_int_equal(open_store(true, seal, &store, NULL), RC_OK);
	for (uint64_t n = 0; n < N_VALUES; n++) {
		assert_int_equal(txn_begin_write(store, &txn), RC_OK);
		for (size_t c = 0; c < N_CLASSES; c++) {
			struct store_key k = key_of(classes[c], n);
			size_t len = text_of(classes[c], n, text);
			assert_int_equal(store_put(txn, &k, text, len), RC_OK);
		}
		if (n < N_CHUNKS) {
			fill_chunk((uint32_t)n, chunk);
			assert_int_equal(store_put_chunk(txn, n, 0, chunk, sizeof chunk), RC_OK);
		}
		assert_int_equal(txn_commit(&txn), RC_OK);
	}
	store_close(store);
	seal_close(seal);
}

/* Is it hidden together with the last entry? A damaged root makes LMDB go back to the one before: the last transaction
 * is gone, entry and all, and the core knows by the signer's high-water mark that it is. */
static bool is_rolled_back(struct store *store, uint64_t n)
{
	struct store_key k = key_of(STORE_ENTRY, n);
	struct txn *txn = NULL;
	enum rc rc = n == N_VALUES - 1 ? txn_begin_read(store, &txn) : RC_OK;
	if (rc == RC_OK && txn != NULL)
		rc = store_has(txn, &k);
	txn_abort(txn);
	return rc == RC_NOTFOUND;
}

/* One value: what was written, found damaged, or hidden. */
static int look_at(struct store *store, size_t c, uint64_t n)
{
	struct store_key k = key_of(classes[c], n);
	struct txn *txn = NULL;
	struct buffer b;
	char text[128];
	buffer_init(&b);
	size_t len = text_of(classes[c], n, text);
	enum rc rc = txn_begin_read(store, &txn);
	if (rc == RC_OK)
		rc = store_get(txn, &k, &b);
	txn_abort(txn);
	bool same = rc == RC_OK && b.len == len && memcmp(b.data, text, len) == 0;
	buffer_deinit(&b);
	if (rc == RC_NOTFOUND)
		return classes[c] == STORE_ENTRY || is_rolled_back(store, n) ? FOUND
									     : WRONG; /* the core misses an entry */
	return rc != RC_OK ? FOUND : same ? SAME : WRONG;
}

static int look_at_chunk(struct store *store, uint32_t n)
{
	uint8_t want[CHUNK_LEN];
	struct txn *txn = NULL;
	struct buffer b;
	buffer_init(&b);
	fill_chunk(n, want);
	enum rc rc = txn_begin_read(store, &txn);
	if (rc == RC_OK)
		rc = store_get_chunk(txn, n, 0, &b);
	txn_abort(txn);
	bool same = rc == RC_OK && b.len == CHUNK_LEN && memcmp(b.data, want, CHUNK_LEN) == 0;
	buffer_deinit(&b);
	return rc != RC_OK ? FOUND : same ? SAME : WRONG;
}

static void name_it(void *ctx, const struct store_fault *fault)
{
	char place[STORE_PLACE_CAP] = "";
	unsigned *n_named = ctx;
	store_place(fault->key, fault->key_len, place);
	*n_named += place[0] != '\0';
}

static int look(void)
{
	struct seal *seal = NULL;
	struct store *store = NULL;
	struct store_tally tally;
	struct diag diag = {""};
	unsigned n_named = 0;
	int worst = SAME;
	if (seal_new(key, &seal) != RC_OK)
		return WRONG;
	/* Refused, with a reason. */
	if (open_store(false, seal, &store, &diag) != RC_OK)
		return diag.text[0] != '\0' ? FOUND : WRONG;
	bool whole = store_check(store, name_it, &n_named, NULL, &tally) == RC_OK;
	if (n_named != tally.n_faults)
		return WRONG;
	for (uint64_t n = 0; n < N_VALUES; n++) {
		for (size_t c = 0; c < N_CLASSES; c++) {
			int is = look_at(store, c, n);
			worst = is > worst ? is : worst;
		}
	}
	for (uint32_t n = 0; n < N_CHUNKS; n++) {
		int is = look_at_chunk(store, n);
		worst = is > worst ? is : worst;
	}
	store_close(store);
	seal_close(seal);
	return worst == SAME && !whole ? FOUND : worst;
}

/* In a child; a signal is a finding, and the parent is still there to tell. */
static int look_in_child(void)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		const struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		/* LMDB says on standard error what it stumbled over. */
		int null = open("/dev/null", O_WRONLY);
		dup2(null, STDERR_FILENO);
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		signal(SIGABRT, SIG_DFL);
		alarm(60);
		_exit(look());
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_not_equal(WTERMSIG(status), SIGALRM);
		return FOUND;
	}
	/* A sanitizer ends with a code of its own. */
	return WEXITSTATUS(status) > WRONG ? FOUND : WEXITSTATUS(status);
}

static void flip(const char *name, unsigned counts[3])
{
	char path[96];
	struct stat st;
	snprintf(path, sizeof path, "%s/%s", directory, name);
	int fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at += STEP) {
		uint8_t was, is;
		assert_int_equal(pread(fd, &was, 1, at), 1);
		is = was ^ (uint8_t)(1 << (at * 5 / STEP) % 8);
		assert_int_equal(pwrite(fd, &is, 1, at), 1);
		int found = look_in_child();
		if (found == WRONG)
			fail_msg("%s: a bit of byte %lld flipped is not noticed", name, (long long)at);
		counts[found]++;
		assert_int_equal(pwrite(fd, &was, 1, at), 1);
	}
	close(fd);
	assert_int_equal(look_in_child(), SAME);
}

static void test_every_bit_counts(void **state)
{
	unsigned data[3] = {0}, salts[3] = {0};
	assert_non_null(mkdtemp(folder));
	snprintf(directory, sizeof directory, "%s/store", folder);
	make_store();
	assert_int_equal(look_in_child(), SAME);
	flip("data.mdb", data);
	flip("salts", salts);
	printf("data.mdb: %u flips found, %u not in use; salts: %u found, %u not in use\n", data[FOUND], data[SAME],
	       salts[FOUND], salts[SAME]);
	/* Controls: much is in use, much is not, and a key is found wherever it is hit. */
	assert_true(data[FOUND] > (data[FOUND] + data[SAME]) / 10);
	assert_true(data[SAME] > 0 && salts[FOUND] > 0);
	assert_int_equal(store_remove(directory), RC_OK);
	rmdir(directory);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_bit_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
