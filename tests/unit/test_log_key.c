/* libs: tc_keys tc_audit tc_proto */
/* wraps: write fsync */
/* The signer never signs two trees of which neither extends the other: not for a wrong proof, not after a restart, not
 * with its state file removed, changed, exchanged or half written. Signatures against the golden vectors. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/audit/tree.h"
#include "keys/key_file.h"
#include "keys/log_key.h"
#include "proto/log_rotation.h"

/* Writes that stop half-way: so many more of them write half; after `then_full` there is no more room for one. */
static int n_short, n_folder_syncs;
static bool then_full;

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len)
{
	if (n_short > 0) {
		n_short--;
		return __real_write(fd, data, len / 2);
	}
	if (then_full) {
		then_full = false;
		errno = ENOSPC;
		return -1;
	}
	return __real_write(fd, data, len);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	struct stat st;
	n_folder_syncs += fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
	return __real_fsync(fd);
}

static const char origin[] = "audit.example/pprl-1";
static char folder[] = "/tmp/tc-log-XXXXXX", key_path[64], state_path[64], other_state[64];

static void put_bytes(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static size_t get_bytes(const char *path, char *data, size_t cap)
{
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	ssize_t n = read(fd, data, cap);
	assert_true(n >= 0);
	close(fd);
	return (size_t)n;
}

static int group_setup(void **state)
{
	uint8_t seed[32];
	struct diag diag;

	for (uint8_t i = 0; i < 32; i++)
		seed[i] = i; /* the seed of tlog.json */
	if (mkdtemp(folder) == NULL)
		return 1;
	snprintf(key_path, sizeof key_path, "%s/log.key", folder);
	snprintf(state_path, sizeof state_path, "%s/log.key.state", folder);
	snprintf(other_state, sizeof other_state, "%s/other.state", folder);
	return key_file_write(key_path, "log", seed, &diag) != RC_OK;
}

static int group_teardown(void **state)
{
	char command[300];
	snprintf(command, sizeof command, "rm -rf '%s'", folder);
	return system(command);
}

/* A fresh, empty state for each test. */
static int setup(void **state)
{
	struct diag diag;
	unlink(state_path);
	unlink(other_state);
	return log_signer_create(key_path, "", origin, NULL, 0, &diag) != RC_OK;
}

static struct log_signer *open_signer(void)
{
	struct log_signer *signer = NULL;
	struct diag diag = {""};
	enum rc rc = log_signer_open(key_path, "", origin, &signer, &diag);
	if (rc != RC_OK)
		fail_msg("%s: %s", rc_name(rc), diag.text);
	return signer;
}

static void grow(struct tree *tree, uint64_t n, uint8_t salt)
{
	for (uint64_t i = 0; i < n; i++) {
		uint8_t entry[2] = {salt, (uint8_t)i};
		struct tlog_hash leaf = tlog_leaf_hash(entry, sizeof entry);
		assert_int_equal(tree_append(tree, &leaf), RC_OK);
	}
}

static enum rc sign(struct log_signer *signer, const struct tree *tree, uint64_t from, struct buffer *out)
{
	struct tlog_proof proof;
	struct tlog_hash root;

	assert_int_equal(tree_root(tree, tree_size(tree), &root), RC_OK);
	if (tree_consistency(tree, from, tree_size(tree), &proof) != RC_OK)
		proof.n = 0;
	return log_signer_sign(signer, tree_size(tree), &root, &proof, out);
}

/* Ed25519 is deterministic: our checkpoint of the golden tree is the golden one. */
static void test_golden(void **state)
{
	static const char *const entries[] = {"", "a"};
	json_error_t error;
	json_t *vectors = json_load_file(TC_SOURCE_DIR "/tests/data/vectors/tlog.json", 0, &error), *value;
	struct log_signer *signer = open_signer();
	struct tree *tree = NULL;
	struct buffer out;
	char vkey[TLOG_VKEY_CAP];
	size_t i;

	assert_non_null(vectors);
	assert_int_equal(tree_new(&tree), RC_OK);
	json_array_foreach(json_object_get(vectors, "leaves_hex"), i, value)
	{
		uint8_t bytes[64];
		size_t len = json_string_length(value) / 2;
		assert_int_equal(hex_decode(json_string_value(value), 2 * len, bytes, len), RC_OK);
		if (i < 2)
			assert_memory_equal(bytes, entries[i], len);
		struct tlog_hash leaf = tlog_leaf_hash(bytes, len);
		assert_int_equal(tree_append(tree, &leaf), RC_OK);
	}
	buffer_init(&out);
	assert_int_equal(sign(signer, tree, 0, &out), RC_OK);
	buffer_append(&out, "", 1);
	assert_string_equal((char *)out.data, json_string_value(json_object_get(vectors, "checkpoint")));
	const struct tlog_vkey *v = log_signer_vkey(signer);
	assert_int_equal(tlog_vkey_format(v->name, v->public_key, vkey, sizeof vkey), RC_OK);
	assert_string_equal(vkey, json_string_value(json_object_get(vectors, "vkey")));
	buffer_deinit(&out);
	tree_free(tree);
	log_signer_close(signer);
	json_decref(vectors);
}

static void test_grows_and_refuses(void **state)
{
	struct log_signer *signer = open_signer();
	struct tree *tree = NULL, *fork = NULL;
	struct tlog_checkpoint c;
	struct tlog_hash root;
	struct buffer out;
	uint64_t size;

	assert_int_equal(tree_new(&tree), RC_OK);
	assert_int_equal(tree_new(&fork), RC_OK);
	buffer_init(&out);
	log_signer_state(signer, &size, &root);
	assert_int_equal(size, 0);

	for (int step = 0; step < 20; step++) {
		uint64_t from = tree_size(tree);
		grow(tree, 3, (uint8_t)step);
		buffer_reset(&out);
		assert_int_equal(sign(signer, tree, from, &out), RC_OK);
		assert_int_equal(tlog_checkpoint_verify((char *)out.data, out.len, log_signer_vkey(signer), &c), RC_OK);
		assert_int_equal(c.size, tree_size(tree));
	}
	/* The same again is fine: a restart serves the same checkpoint. */
	buffer_reset(&out);
	assert_int_equal(sign(signer, tree, 60, &out), RC_OK);

	/* A tree of other leaves, larger or of the same size or smaller, with any proof; and going back. */
	buffer_reset(&out);
	grow(fork, 60, 99);
	assert_int_equal(sign(signer, fork, 60, &out), RC_FORK);
	grow(fork, 5, 99);
	assert_int_equal(sign(signer, fork, 60, &out), RC_FORK);
	assert_int_equal(sign(signer, fork, 0, &out), RC_FORK);
	tree_truncate(tree, 59);
	assert_int_equal(sign(signer, tree, 59, &out), RC_FORK);
	tree_truncate(tree, 0);
	assert_int_equal(sign(signer, tree, 0, &out), RC_FORK);
	struct tlog_proof huge = {.n = SIZE_MAX};
	assert_int_equal(log_signer_sign(signer, 61, &root, &huge, &out), RC_FORK);
	assert_int_equal(out.len, 0);
	log_signer_state(signer, &size, &root);
	assert_int_equal(size, 60);

	/* And after a restart the same. */
	log_signer_close(signer);
	signer = open_signer();
	log_signer_state(signer, &size, &root);
	assert_int_equal(size, 60);
	assert_int_equal(sign(signer, fork, 60, &out), RC_FORK);
	buffer_deinit(&out);
	tree_free(tree);
	tree_free(fork);
	log_signer_close(signer);
}

static enum rc try_open(const char *path, const char *name, struct diag *diag)
{
	struct log_signer *signer = NULL;
	enum rc rc = log_signer_open(key_path, path, name, &signer, diag);
	if (rc == RC_OK)
		log_signer_close(signer);
	else
		assert_null(signer);
	return rc;
}

/* A missing state file is refused and not made; making it over an existing one is refused. */
static void test_missing_state(void **state)
{
	struct diag diag;

	assert_int_equal(try_open("", origin, &diag), RC_OK);
	assert_int_equal(log_signer_create(key_path, "", origin, NULL, 0, &diag), RC_CONFLICT);
	assert_int_equal(unlink(state_path), 0);
	assert_int_equal(try_open("", origin, &diag), RC_KEY);
	assert_non_null(strstr(diag.text, "missing"));
	assert_int_not_equal(access(state_path, F_OK), 0);
	assert_int_equal(log_signer_create(key_path, "", origin, NULL, 0, &diag), RC_OK);
	assert_int_equal(try_open("", origin, &diag), RC_OK);
}

static void test_state_tampering(void **state)
{
	char golden[512], bad[512];
	struct diag diag;

	size_t len = get_bytes(state_path, golden, sizeof golden);
	assert_true(len > 100 && len < sizeof golden);
	for (size_t i = 0; i < len; i++) {
		memcpy(bad, golden, len);
		bad[i] = (char)(bad[i] ^ (1 << (i % 8)));
		put_bytes(state_path, bad, len);
		assert_int_equal(try_open("", origin, &diag), RC_DAMAGED);
	}
	for (size_t n = 0; n < len; n++) {
		put_bytes(state_path, golden, n);
		assert_int_equal(try_open("", origin, &diag), RC_DAMAGED);
	}
	memcpy(bad, golden, len);
	memcpy(bad + len, "x", 1);
	put_bytes(state_path, bad, len + 1);
	assert_int_equal(try_open("", origin, &diag), RC_DAMAGED);
	put_bytes(state_path, golden, len);
	assert_int_equal(try_open("", "audit.example/other", &diag), RC_DAMAGED);
	assert_int_equal(try_open("", "no spaces please", &diag), RC_INVALID);
	assert_int_equal(try_open("", origin, &diag), RC_OK);
}

/* A state file of another key, with a MAC that is right for that key. */
static void test_state_of_another_key(void **state)
{
	char path[64], text[512];
	uint8_t seed[32] = {9};
	struct diag diag;

	snprintf(path, sizeof path, "%s/other.key", folder);
	assert_int_equal(key_file_write(path, "log", seed, &diag), RC_OK);
	assert_int_equal(log_signer_create(path, other_state, origin, NULL, 0, &diag), RC_OK);
	size_t len = get_bytes(other_state, text, sizeof text);
	put_bytes(state_path, text, len);
	assert_int_equal(try_open("", origin, &diag), RC_DAMAGED);
	assert_int_equal(try_open("", origin, NULL), RC_DAMAGED);
}

/* A crash between writing the new state and renaming it leaves a stray file: the old state holds, and the next
 * state with more digits overwrites the stray one. */
static void test_crash_between(void **state)
{
	char stray[80];
	struct log_signer *signer = open_signer();
	struct tree *tree = NULL;
	struct buffer out;
	struct tlog_hash root;
	uint64_t size;

	buffer_init(&out);
	assert_int_equal(tree_new(&tree), RC_OK);
	grow(tree, 4, 1);
	assert_int_equal(sign(signer, tree, 0, &out), RC_OK);
	log_signer_close(signer);

	snprintf(stray, sizeof stray, "%s.new", state_path);
	put_bytes(stray, "throughcare-signer-state-v1 9", 29);
	signer = open_signer();
	log_signer_state(signer, &size, &root);
	assert_int_equal(size, 4);
	grow(tree, 6, 2);
	assert_int_equal(sign(signer, tree, 4, &out), RC_OK);
	assert_int_not_equal(access(stray, F_OK), 0);
	log_signer_close(signer);
	signer = open_signer();
	log_signer_state(signer, &size, &root);
	assert_int_equal(size, 10);
	log_signer_close(signer);
	tree_free(tree);
	buffer_deinit(&out);
}

/* When the state cannot be made durable nothing is signed, and the state stays where it was. */
static void test_unwritable_state(void **state)
{
	char stray[80];
	struct log_signer *signer = open_signer();
	struct tree *tree = NULL;
	struct buffer out;
	struct tlog_hash root;
	uint64_t size;

	buffer_init(&out);
	assert_int_equal(tree_new(&tree), RC_OK);
	grow(tree, 10, 1);
	/* A folder in the place of the temporary file: works for root too, whom modes do not stop. */
	snprintf(stray, sizeof stray, "%s.new", state_path);
	assert_int_equal(mkdir(stray, 0700), 0);
	assert_int_equal(sign(signer, tree, 0, &out), RC_IO);
	assert_int_equal(out.len, 0);
	log_signer_state(signer, &size, &root);
	assert_int_equal(size, 0);
	assert_int_equal(rmdir(stray), 0);
	assert_int_equal(sign(signer, tree, 0, &out), RC_OK);
	log_signer_close(signer);
	tree_free(tree);
	buffer_deinit(&out);
}

static ino_t inode_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

/* With as many digits the state is written over the one before; with more of them, or where the file has another name
 * too, it is a new file. */
static void test_state_in_place(void **state)
{
	char copy[80], before[512], after[512];
	struct log_signer *signer = open_signer();
	struct tree *tree = NULL;
	struct buffer out;
	struct tlog_hash root;
	uint64_t size;

	buffer_init(&out);
	assert_int_equal(tree_new(&tree), RC_OK);
	ino_t first = inode_of(state_path);
	grow(tree, 4, 1);
	assert_int_equal(sign(signer, tree, 0, &out), RC_OK);
	assert_int_equal(inode_of(state_path), first);
	log_signer_close(signer);
	signer = open_signer();
	log_signer_state(signer, &size, &root);
	assert_int_equal(size, 4);

	snprintf(copy, sizeof copy, "%s.copy", state_path);
	assert_int_equal(link(state_path, copy), 0);
	size_t len = get_bytes(copy, before, sizeof before);
	grow(tree, 1, 2);
	assert_int_equal(sign(signer, tree, 4, &out), RC_OK);
	assert_int_equal(get_bytes(copy, after, sizeof after), len);
	assert_memory_equal(before, after, len);
	assert_int_equal(unlink(copy), 0);

	ino_t fifth = inode_of(state_path);
	assert_int_not_equal(fifth, first);
	grow(tree, 4, 3);
	assert_int_equal(sign(signer, tree, 5, &out), RC_OK);
	assert_int_equal(inode_of(state_path), fifth);
	grow(tree, 1, 4);
	/* Held open, so that its number is not given out again. */
	int held = open(state_path, O_RDONLY);
	assert_true(held >= 0);
	assert_int_equal(sign(signer, tree, 9, &out), RC_OK);
	assert_int_not_equal(inode_of(state_path), fifth);
	close(held);
	log_signer_close(signer);
	signer = open_signer();
	log_signer_state(signer, &size, &root);
	assert_int_equal(size, 10);
	log_signer_close(signer);
	tree_free(tree);
	buffer_deinit(&out);
}

/* A text that is written in pieces is whole in the end; one that stops half-way is followed by a new file, so that what is
 * there is always a state of ours. */
static void test_short_writes(void **state)
{
	struct log_signer *signer = open_signer();
	struct tree *tree = NULL;
	struct buffer out;
	struct tlog_hash root;
	uint64_t size;

	buffer_init(&out);
	assert_int_equal(tree_new(&tree), RC_OK);
	ino_t first = inode_of(state_path);
	grow(tree, 4, 1);
	n_short = 3;
	assert_int_equal(sign(signer, tree, 0, &out), RC_OK);
	assert_int_equal(n_short, 0);
	assert_int_equal(inode_of(state_path), first);
	log_signer_close(signer);
	signer = open_signer();
	log_signer_state(signer, &size, &root);
	assert_int_equal(size, 4);
	grow(tree, 4, 2);
	n_short = 1;
	then_full = true;
	int held = open(state_path, O_RDONLY);
	assert_int_equal(sign(signer, tree, 4, &out), RC_OK);
	assert_false(then_full);
	assert_int_not_equal(inode_of(state_path), first);
	close(held);
	log_signer_close(signer);
	signer = open_signer();
	log_signer_state(signer, &size, &root);
	assert_int_equal(size, 8);
	log_signer_close(signer);
	tree_free(tree);
	buffer_deinit(&out);
}

/* Whoever finds a state cannot know whether its name is durable: the folder is synced before it is written over, once. */
static void test_name_is_durable_before_it_is_written_over(void **state)
{
	struct log_signer *signer = open_signer();
	struct tree *tree = NULL;
	struct buffer out;

	buffer_init(&out);
	assert_int_equal(tree_new(&tree), RC_OK);
	ino_t first = inode_of(state_path);
	n_folder_syncs = 0;
	for (uint64_t i = 0; i < 3; i++) {
		grow(tree, 1, (uint8_t)i);
		assert_int_equal(sign(signer, tree, i, &out), RC_OK);
		assert_int_equal(inode_of(state_path), first);
		assert_int_equal(n_folder_syncs, 1);
	}
	log_signer_close(signer);
	tree_free(tree);
	buffer_deinit(&out);
}

static void test_one_signer_at_a_time(void **state)
{
	struct log_signer *signer = open_signer();
	struct diag diag;

	assert_int_equal(try_open("", origin, &diag), RC_CONFLICT);
	log_signer_close(signer);
	assert_int_equal(try_open("", origin, &diag), RC_OK);
}

/* After the loss of a disk: the state is made from a checkpoint that somebody kept; the log must then extend it. */
static void test_create_from_checkpoint(void **state)
{
	struct log_signer *signer = open_signer();
	struct tree *tree = NULL, *fork = NULL;
	struct buffer note, out;
	struct tlog_hash root;
	struct diag diag;
	uint64_t size;

	buffer_init(&note);
	buffer_init(&out);
	assert_int_equal(tree_new(&tree), RC_OK);
	assert_int_equal(tree_new(&fork), RC_OK);
	grow(tree, 7, 1);
	assert_int_equal(sign(signer, tree, 0, &note), RC_OK);
	log_signer_close(signer);

	const char *text = (const char *)note.data;
	note.data[5] ^= 1;
	assert_int_not_equal(log_signer_create(key_path, other_state, origin, text, note.len, &diag), RC_OK);
	note.data[5] ^= 1;
	assert_int_not_equal(access(other_state, F_OK), 0);
	assert_int_equal(log_signer_create(key_path, other_state, origin, text, note.len, &diag), RC_OK);
	assert_int_equal(log_signer_open(key_path, other_state, origin, &signer, &diag), RC_OK);
	log_signer_state(signer, &size, &root);
	assert_int_equal(size, 7);
	grow(fork, 9, 2);
	assert_int_equal(sign(signer, fork, 7, &out), RC_FORK);
	grow(tree, 2, 2);
	assert_int_equal(sign(signer, tree, 7, &out), RC_OK);
	log_signer_close(signer);
	tree_free(tree);
	tree_free(fork);
	buffer_deinit(&note);
	buffer_deinit(&out);
}

static void test_bad_keys(void **state)
{
	struct log_signer *signer = NULL;
	struct diag diag;
	char path[64];

	assert_int_equal(log_signer_open("/nonexistent/log.key", "", origin, &signer, &diag), RC_KEY);
	snprintf(path, sizeof path, "%s/loose.key", folder);
	uint8_t seed[32] = {3};
	assert_int_equal(key_file_write(path, "log", seed, &diag), RC_OK);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(log_signer_open(path, "", origin, &signer, &diag), RC_KEY);
	assert_null(signer);
	assert_int_equal(log_signer_open(key_path, "/nonexistent/state", origin, &signer, &diag), RC_IO);
}

/* ---- rotation ---- */

static char next_path[72];

static enum rc open_with(const char *key, struct log_signer **ret)
{
	struct diag diag = {""};
	return log_signer_open(key, state_path, origin, ret, &diag);
}

static void make_handover(uint8_t first, uint8_t handover[SEAL_HANDOVER_LEN])
{
	struct secret_key *old = NULL;
	struct diag diag;
	uint8_t seed[32] = {first};
	snprintf(next_path, sizeof next_path, "%s/next-%d.key", folder, first);
	unlink(next_path);
	assert_int_equal(key_file_write(next_path, "log", seed, &diag), RC_OK);
	assert_int_equal(key_file_read(key_path, "log", &old, &diag), RC_OK);
	assert_int_equal(log_key_hand_over(old, seed, handover), RC_OK);
	secret_key_free(old);
}

/* Sign one entry more; which of the two keys has signed? */
static void sign_more(struct log_signer *signer, struct tree *tree, const struct tlog_vkey *a,
		      const struct tlog_vkey *b, bool *by_a, bool *by_b)
{
	struct tlog_checkpoint c;
	struct tlog_hash root;
	struct buffer out;
	uint64_t size;
	buffer_init(&out);
	log_signer_state(signer, &size, &root);
	grow(tree, 1, 9);
	assert_int_equal(sign(signer, tree, size, &out), RC_OK);
	*by_a = tlog_checkpoint_verify((char *)out.data, out.len, a, &c) == RC_OK;
	*by_b = tlog_checkpoint_verify((char *)out.data, out.len, b, &c) == RC_OK;
	assert_int_equal(c.size, size + 1);
	buffer_deinit(&out);
}

static void test_rotation(void **state)
{
	struct log_signer *signer = open_signer();
	struct tlog_vkey old = *log_signer_vkey(signer), new, named;
	struct tree *tree = NULL;
	struct buffer note;
	uint8_t handover[SEAL_HANDOVER_LEN], wrong[SEAL_HANDOVER_LEN];
	bool by_old = false, by_new = false;
	buffer_init(&note);
	assert_int_equal(tree_new(&tree), RC_OK);
	make_handover(77, handover);
	sign_more(signer, tree, &old, &old, &by_old, &by_new);
	assert_null(log_signer_old_vkey(signer));
	assert_int_equal(log_signer_statement(signer, &note), RC_NOTFOUND);
	for (size_t i = 0; i < sizeof handover; i++) {
		memcpy(wrong, handover, sizeof wrong);
		wrong[i] ^= 1;
		assert_int_equal(log_signer_take_over(signer, wrong), RC_KEY);
	}
	sign_more(signer, tree, &old, &old, &by_old, &by_new);

	assert_int_equal(log_signer_take_over(signer, handover), RC_OK);
	new = *log_signer_vkey(signer);
	assert_memory_not_equal(new.public_key, old.public_key, 32);
	assert_memory_equal(log_signer_old_vkey(signer), &old, sizeof old);
	assert_int_equal(log_signer_take_over(signer, handover), RC_CONFLICT);
	assert_int_equal(log_signer_statement(signer, &note), RC_OK);
	assert_int_equal(log_rotation_verify((char *)note.data, note.len, &old, &named), RC_OK);
	assert_memory_equal(&named, &new, sizeof new);
	assert_int_equal(log_rotation_verify((char *)note.data, note.len, &new, &named), RC_DIGEST);
	for (size_t i = 0; i < note.len; i++) {
		uint8_t was = note.data[i];
		note.data[i] ^= 0x01;
		assert_int_not_equal(log_rotation_verify((char *)note.data, note.len, &old, &named), RC_OK);
		note.data[i] = was;
	}
	for (size_t n = 0; n < note.len; n++)
		assert_int_not_equal(log_rotation_verify((char *)note.data, n, &old, &named), RC_OK);
	sign_more(signer, tree, &old, &new, &by_old, &by_new);
	assert_true(by_old && by_new);

	/* After a crash both go on, whichever key is in its place, until something is signed by the new one alone. */
	log_signer_close(signer);
	assert_int_equal(open_with(key_path, &signer), RC_OK);
	assert_memory_equal(log_signer_vkey(signer), &new, sizeof new);
	sign_more(signer, tree, &old, &new, &by_old, &by_new);
	assert_true(by_old && by_new);
	log_signer_close(signer);
	for (int i = 0; i < 2; i++) {
		struct buffer again;
		buffer_init(&again);
		assert_int_equal(open_with(next_path, &signer), RC_OK);
		assert_memory_equal(log_signer_vkey(signer), &new, sizeof new);
		assert_memory_equal(log_signer_old_vkey(signer), &old, sizeof old);
		assert_int_equal(log_signer_statement(signer, &again), RC_OK);
		assert_int_equal(again.len, note.len);
		assert_memory_equal(again.data, note.data, note.len);
		buffer_deinit(&again);
		if (i == 1)
			sign_more(signer, tree, &old, &new, &by_old, &by_new);
		log_signer_close(signer);
	}
	assert_true(!by_old && by_new);
	assert_int_equal(open_with(key_path, &signer), RC_DAMAGED);
	assert_int_equal(open_with(next_path, &signer), RC_OK);
	assert_null(log_signer_old_vkey(signer));
	log_signer_close(signer);
	tree_free(tree);
	buffer_deinit(&note);
}

/* Either line of the state changed by a byte: not with the key whose line it is. */
static void test_rotation_state_damage(void **state)
{
	struct log_signer *signer = open_signer();
	uint8_t handover[SEAL_HANDOVER_LEN];
	char text[2048];
	make_handover(78, handover);
	assert_int_equal(log_signer_take_over(signer, handover), RC_OK);
	log_signer_close(signer);
	size_t len = get_bytes(state_path, text, sizeof text), first = (size_t)((char *)memchr(text, '\n', len) - text);
	for (size_t i = 0; i < len; i++) {
		text[i] ^= 2;
		put_bytes(state_path, text, len);
		const char *key = i <= first ? key_path : next_path;
		enum rc rc = open_with(key, &signer);
		if (rc == RC_OK)
			fail_msg("byte %zu", i);
		text[i] ^= 2;
	}
	put_bytes(state_path, text, len);
	uint8_t other[32] = {99};
	char path[72];
	snprintf(path, sizeof path, "%s/third.key", folder);
	assert_int_equal(key_file_write(path, "log", other, NULL), RC_OK);
	assert_int_equal(open_with(path, &signer), RC_DAMAGED);
	assert_int_equal(open_with(next_path, &signer), RC_OK);
	log_signer_close(signer);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		T(test_golden),
		T(test_grows_and_refuses),
		T(test_missing_state),
		T(test_state_tampering),
		T(test_state_of_another_key),
		T(test_crash_between),
		T(test_unwritable_state),
		T(test_state_in_place),
		T(test_short_writes),
		T(test_name_is_durable_before_it_is_written_over),
		T(test_one_signer_at_a_time),
		T(test_create_from_checkpoint),
		T(test_bad_keys),
		cmocka_unit_test_setup(test_rotation, setup),
		cmocka_unit_test_setup(test_rotation_state_damage, setup),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
