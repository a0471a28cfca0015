/* Key bytes in files and memory: 0600 or refused, locked, outside core dumps, wiped. */
#ifndef KEYS_KEY_FILE_H
#define KEYS_KEY_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"

/* 32 secret bytes in pages of their own, between two guard pages: outside core dumps, not inherited by a forked child,
 * locked where the limit allows it. Errors: NOMEM. */
struct secret_key;
enum rc secret_key_new(const uint8_t bytes[32], struct secret_key **ret) MUST_CHECK; /* copies; wipe the original */
const uint8_t *secret_key_bytes(const struct secret_key *key);                       /* borrows 32 bytes */
void secret_key_free(struct secret_key *key);                                        /* wipes; NULL is a no-op */
/* False when mlock failed (RLIMIT_MEMLOCK): the key may then reach the swap. For `admin status`. */
bool secret_key_is_locked(const struct secret_key *key);

/* The memory below secret_key, for larger tables of keys: zeroed, `len` <= 4096. */
void *secret_memory_new(size_t len, bool *ret_locked);
void secret_memory_free(void *memory);

/* A key file is one line: "throughcare-<kind>-v1:" and 64 hex digits. `kind`: "seal", "log", "linkage", "record".
 * A file that group or others may read or write, that is not a regular file, or that belongs to somebody else than
 * the caller or root, is refused (KEY), with the reason in diag. */
enum rc key_file_read(const char *path, const char *kind, struct secret_key **ret, struct diag *diag) MUST_CHECK;
/* Create with mode 0600, never overwrite (CONFLICT), fsync file and folder. */
enum rc key_file_write(const char *path, const char *kind, const uint8_t bytes[32], struct diag *diag) MUST_CHECK;
/* The same rules for any other private file (a TLS key in PEM): create with mode 0600, never overwrite, durable. */
enum rc private_file_write(const char *path, const void *data, size_t len, struct diag *diag) MUST_CHECK;
/* Append such a file's bytes, at most `max`, to `out` (to be wiped). Errors: KEY (absent or unsafe, as for key files),
 * TOO_LARGE, IO, NOMEM. */
enum rc private_file_read(const char *path, size_t max, struct buffer *out, struct diag *diag) MUST_CHECK;

/* Random bytes from the kernel (getrandom). Errors: CRYPTO. */
enum rc random_bytes(void *out, size_t len) MUST_CHECK;

/* HKDF-SHA256 (RFC 5869) with the label as info: 1 to 8,160 bytes out. */
enum rc hkdf_label(const uint8_t *ikm, size_t ikm_len, const uint8_t *salt, size_t salt_len, const char *label,
		   uint8_t *out, size_t out_len) MUST_CHECK;
/* HMAC-SHA256. */
enum rc hmac_sha256(const uint8_t *key, size_t key_len, const void *data, size_t len, uint8_t out[32]) MUST_CHECK;

#endif
