/* Fail the Nth call: an operation is run with its first call failing, then its second, until a whole run meets no
 * failure; once with that call alone failing, once with every call from there on.
 *
 * The seam is the linker's: a test names the symbols in a line "wraps: …" near its top, which become -Wl,--wrap=…, and
 * says with FAIL_MEMORY, FAIL_FILES, FAIL_CRYPTO or FAIL_LMDB, defined before this header, which groups those are.
 * Calls are counted in every thread. Libraries of the system keep their own memory, but jansson, which is given ours.
 */
#ifndef TESTS_UNIT_FAIL_NTH_H
#define TESTS_UNIT_FAIL_NTH_H

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/rc.h"

static atomic_long fail_at, fail_calls; /* fail_at 0: nothing fails */
static atomic_bool fail_onwards;
static _Atomic(const char *) fail_first; /* the first call that failed; NULL = none */

static _Thread_local int fail_spared; /* within a call that stops the program by design when it has no memory */

static inline bool fail_now(const char *name)
{
	long at = atomic_load(&fail_at);
	if (at == 0 || fail_spared > 0)
		return false;
	long n = atomic_fetch_add(&fail_calls, 1) + 1;
	if (n != at && !(atomic_load(&fail_onwards) && n > at))
		return false;
	const char *none = NULL;
	atomic_compare_exchange_strong(&fail_first, &none, name);
	return true;
}

static inline int fail_errno(int err, int value)
{
	errno = err;
	return value;
}

/* A function NAME of which fail_now() makes FAILED. What the tests wrap is declared here by its call alone (pointers as
 * void *), so that no test includes what belongs to one layer. */
#define FAIL_WRAP(type, name, params, args, failed)                                                                    \
	type __real_##name params;                                                                                     \
	type __wrap_##name params;                                                                                     \
	type __wrap_##name params                                                                                      \
	{                                                                                                              \
		return fail_now(#name) ? (failed) : __real_##name args;                                                \
	}

#ifdef FAIL_MEMORY
FAIL_WRAP(void *, malloc, (size_t len), (len), NULL)
FAIL_WRAP(void *, calloc, (size_t n, size_t len), (n, len), NULL)
FAIL_WRAP(void *, realloc, (void *p, size_t len), (p, len), NULL)
FAIL_WRAP(void *, reallocarray, (void *p, size_t n, size_t len), (p, n, len), NULL)
FAIL_WRAP(void *, aligned_alloc, (size_t align, size_t len), (align, len), NULL)
FAIL_WRAP(char *, strdup, (const char *s), (s), NULL)
FAIL_WRAP(char *, strndup, (const char *s, size_t len), (s, len), NULL)

/* A digest cannot fail (proto/bytes.c). */
#define FAIL_SPARE(type, name, params, args)                                                                           \
	type __real_##name params;                                                                                     \
	type __wrap_##name params;                                                                                     \
	type __wrap_##name params                                                                                      \
	{                                                                                                              \
		fail_spared++;                                                                                         \
		type value = __real_##name args;                                                                       \
		fail_spared--;                                                                                         \
		return value;                                                                                          \
	}
FAIL_SPARE(void *, sha256_new, (void), ())
FAIL_SPARE(void *, sha256_copy, (const void *ctx), (ctx))
#define FAIL_SPARE_VOID(name, params, args)                                                                            \
	void __real_##name params;                                                                                     \
	void __wrap_##name params;                                                                                     \
	void __wrap_##name params                                                                                      \
	{                                                                                                              \
		fail_spared++;                                                                                         \
		__real_##name args;                                                                                    \
		fail_spared--;                                                                                         \
	}
FAIL_SPARE_VOID(sha256, (const void *data, size_t len, uint8_t *out), (data, len, out))
FAIL_SPARE_VOID(sha256_labelled, (const char *label, const void *data, size_t len, uint8_t *out),
		(label, data, len, out))

static inline void *fail_jansson_malloc(size_t len)
{
	return malloc(len);
}
#endif

#ifdef FAIL_FILES
FAIL_WRAP(int, open, (const char *path, int flags, mode_t mode), (path, flags, mode), fail_errno(EMFILE, -1))
FAIL_WRAP(int, openat, (int at, const char *path, int flags, mode_t mode), (at, path, flags, mode),
	  fail_errno(EMFILE, -1))
FAIL_WRAP(ssize_t, read, (int fd, void *to, size_t len), (fd, to, len), fail_errno(EIO, -1))
FAIL_WRAP(ssize_t, write, (int fd, const void *from, size_t len), (fd, from, len), fail_errno(ENOSPC, -1))
FAIL_WRAP(ssize_t, pread, (int fd, void *to, size_t len, off_t at), (fd, to, len, at), fail_errno(EIO, -1))
FAIL_WRAP(ssize_t, pwrite, (int fd, const void *from, size_t len, off_t at), (fd, from, len, at),
	  fail_errno(ENOSPC, -1))
FAIL_WRAP(int, fsync, (int fd), (fd), fail_errno(EIO, -1))
FAIL_WRAP(int, fdatasync, (int fd), (fd), fail_errno(EIO, -1))
FAIL_WRAP(int, fstat, (int fd, void *to), (fd, to), fail_errno(EIO, -1))
FAIL_WRAP(int, flock, (int fd, int how), (fd, how), fail_errno(ENOLCK, -1))
FAIL_WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), fail_errno(ENOSPC, -1))
FAIL_WRAP(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), fail_errno(EIO, -1))
FAIL_WRAP(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags),
	  fail_errno(EIO, -1))
FAIL_WRAP(void *, mmap, (void *p, size_t len, int prot, int flags, int fd, off_t at), (p, len, prot, flags, fd, at),
	  (errno = ENOMEM, MAP_FAILED))
FAIL_WRAP(int, mlock, (const void *p, size_t len), (p, len), fail_errno(ENOMEM, -1))
#endif

#ifdef FAIL_CRYPTO
/* Not the calls of a plain SHA-256: without it the program stops by design (proto/bytes.c). */
FAIL_WRAP(ssize_t, getrandom, (void *to, size_t len, unsigned flags), (to, len, flags), fail_errno(ENOSYS, -1))
FAIL_WRAP(int, EVP_DigestVerifyInit, (void *c, void *p, const void *t, void *e, void *k), (c, p, t, e, k), 0)
FAIL_WRAP(int, EVP_DigestVerify, (void *c, const void *s, size_t n, const void *d, size_t len), (c, s, n, d, len), 0)
FAIL_WRAP(int, EVP_DigestSignInit, (void *c, void *p, const void *t, void *e, void *k), (c, p, t, e, k), 0)
FAIL_WRAP(int, EVP_DigestSign, (void *c, void *s, size_t *n, const void *d, size_t len), (c, s, n, d, len), 0)
FAIL_WRAP(void *, EVP_PKEY_new_raw_public_key, (int t, void *e, const void *k, size_t len), (t, e, k, len), NULL)
FAIL_WRAP(void *, EVP_PKEY_new_raw_private_key, (int t, void *e, const void *k, size_t len), (t, e, k, len), NULL)
FAIL_WRAP(int, EVP_PKEY_get_raw_public_key, (const void *p, void *out, size_t *len), (p, out, len), 0)
FAIL_WRAP(void *, EVP_CIPHER_fetch, (void *lib, const char *name, const char *p), (lib, name, p), NULL)
FAIL_WRAP(void *, EVP_CIPHER_CTX_new, (void), (), NULL)
FAIL_WRAP(int, EVP_CIPHER_CTX_ctrl, (void *c, int type, int arg, void *p), (c, type, arg, p), 0)
FAIL_WRAP(int, EVP_CipherInit_ex2, (void *c, const void *t, const void *k, const void *iv, int enc, const void *p),
	  (c, t, k, iv, enc, p), 0)
FAIL_WRAP(int, EVP_CipherUpdate, (void *c, void *out, int *n, const void *in, int len), (c, out, n, in, len), 0)
/* Where it decrypts, its failure is a tag that does not match: damage, not a call that fails. */
int EVP_CIPHER_CTX_is_encrypting(const void *c);
int __real_EVP_CipherFinal_ex(void *c, void *out, int *n);
int __wrap_EVP_CipherFinal_ex(void *c, void *out, int *n);
int __wrap_EVP_CipherFinal_ex(void *c, void *out, int *n)
{
	bool fails = EVP_CIPHER_CTX_is_encrypting(c) && fail_now("EVP_CipherFinal_ex");
	return fails ? 0 : __real_EVP_CipherFinal_ex(c, out, n);
}
FAIL_WRAP(void *, EVP_KDF_fetch, (void *lib, const char *name, const char *p), (lib, name, p), NULL)
FAIL_WRAP(void *, EVP_KDF_CTX_new, (void *kdf), (kdf), NULL)
FAIL_WRAP(int, EVP_KDF_derive, (void *c, void *out, size_t len, const void *p), (c, out, len, p), 0)
FAIL_WRAP(void *, HMAC, (const void *t, const void *k, int kn, const void *d, size_t n, void *out, unsigned *len),
	  (t, k, kn, d, n, out, len), NULL)
#endif

#ifdef FAIL_LMDB
/* LMDB's own numbers; the header is the engine's alone. */
enum { FAIL_MDB_CORRUPTED = -30796, FAIL_MDB_MAP_FULL = -30792 };
void mdb_txn_abort(void *txn);
FAIL_WRAP(int, mdb_env_create, (void *env), (env), ENOMEM)
FAIL_WRAP(int, mdb_env_set_mapsize, (void *env, size_t len), (env, len), EINVAL)
FAIL_WRAP(int, mdb_env_set_maxreaders, (void *env, unsigned n), (env, n), EINVAL)
FAIL_WRAP(int, mdb_env_open, (void *env, const char *path, unsigned flags, mode_t mode), (env, path, flags, mode), EIO)
FAIL_WRAP(int, mdb_txn_begin, (void *env, void *parent, unsigned flags, void *ret), (env, parent, flags, ret), ENOMEM)
FAIL_WRAP(int, mdb_dbi_open, (void *txn, const char *name, unsigned flags, void *ret), (txn, name, flags, ret), ENOMEM)
/* One that fails has ended its transaction. */
FAIL_WRAP(int, mdb_txn_commit, (void *txn), (txn), (mdb_txn_abort(txn), EIO))
FAIL_WRAP(int, mdb_put, (void *txn, unsigned dbi, void *k, void *v, unsigned flags), (txn, dbi, k, v, flags),
	  FAIL_MDB_MAP_FULL)
FAIL_WRAP(int, mdb_get, (void *txn, unsigned dbi, void *k, void *v), (txn, dbi, k, v), FAIL_MDB_CORRUPTED)
FAIL_WRAP(int, mdb_del, (void *txn, unsigned dbi, void *k, void *v), (txn, dbi, k, v), FAIL_MDB_MAP_FULL)
FAIL_WRAP(int, mdb_cursor_open, (void *txn, unsigned dbi, void *ret), (txn, dbi, ret), ENOMEM)
FAIL_WRAP(int, mdb_cursor_get, (void *c, void *k, void *v, int op), (c, k, v, op), FAIL_MDB_CORRUPTED)
FAIL_WRAP(int, mdb_env_info, (void *env, void *ret), (env, ret), EIO)
FAIL_WRAP(int, mdb_env_stat, (void *env, void *ret), (env, ret), EIO)
#endif

/* ---- a folder for it ---- */

/* In memory where there is such a folder: some thousand syncs. */
static inline void fail_make_folder(char ret[64])
{
	snprintf(ret, 64, "%s/test_fail.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(ret) == NULL)
		abort();
}

/* Of the files that are in it, not of folders. */
static inline void fail_empty_folder(const char *folder)
{
	char path[512];
	DIR *d = opendir(folder);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
			snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
			unlink(path);
		}
	}
	if (d != NULL)
		closedir(d);
}

/* The files of a folder with one folder in it, and that one. */
static inline void fail_empty_both(const char *folder, const char *inner)
{
	fail_empty_folder(inner);
	rmdir(inner);
	fail_empty_folder(folder);
}

/* ---- the loop ---- */

struct fail_case {
	const char *name;
	/* Before each run, and after its check; NULL = nothing. They may fail in no way. */
	void (*setup)(void *ctx), (*teardown)(void *ctx);
	/* The operation. Leaves nothing behind but what `check` looks at; may be run again after a failure. */
	enum rc (*run)(void *ctx);
	/* Nothing fails any more: true when all is as it must be after a run that gave `rc`. A run may succeed although
	 * a call failed (memory that could not be locked), and then its result must be right. */
	bool (*check)(void *ctx, enum rc rc);
	void *ctx;
	long dense;    /* each N up to here (0 = all), then in growing steps */
	enum rc never; /* a code that would blame the input, which is good; RC_OK = none */
};

static inline int fail_open_files(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	if (d == NULL)
		abort();
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static inline enum rc fail_run(const struct fail_case *c, long n, bool onwards)
{
	atomic_store(&fail_first, NULL);
	atomic_store(&fail_calls, 0);
	atomic_store(&fail_onwards, onwards);
	atomic_store(&fail_at, n);
	enum rc rc = c->run(c->ctx);
	atomic_store(&fail_at, 0);
	return rc;
}

/* False when nothing failed: there are no more than n - 1 calls. */
static inline bool fail_one(const struct fail_case *c, long n, bool onwards)
{
	if (c->setup != NULL)
		c->setup(c->ctx);
	enum rc rc = fail_run(c, n, onwards);
	const char *failed = atomic_load(&fail_first);
	bool fits = c->check(c->ctx, rc) && (rc == RC_OK || (failed != NULL && rc != c->never));
	if (!fits)
		fail_msg("%s, call %ld%s (%s): %s", c->name, n, onwards ? " and on" : "",
			 failed != NULL ? failed : "none", rc_name(rc));
	/* What failed for a moment may be done again. */
	if (rc != RC_OK) {
		rc = fail_run(c, 0, false);
		if (rc != RC_OK || !c->check(c->ctx, rc))
			fail_msg("%s again after call %ld%s (%s): %s", c->name, n, onwards ? " and on" : "", failed,
				 rc_name(rc));
	}
	if (c->teardown != NULL)
		c->teardown(c->ctx);
	return failed != NULL;
}

static inline void fail_each(const struct fail_case *c)
{
	long runs = 0;
	fail_one(c, LONG_MAX, false); /* what is fetched once is there */
	int files = fail_open_files();
	for (int onwards = 0; onwards < 2; onwards++) {
		for (long n = 1; fail_one(c, n, onwards != 0); n += c->dense == 0 || n < c->dense ? 1 : n / 16)
			runs++;
	}
	assert_int_equal(fail_open_files(), files);
	assert_true(runs > 2);
	print_message("%s: %ld runs\n", c->name, runs);
}

#endif
