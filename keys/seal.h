/* Sealing: AES-256-GCM under keys derived from the sealing key. Who has the store alone has nothing.
 *
 * Two forms. A *value* (log entries, receipts, releases, indexes) is sealed under a key for its class, with class, key
 * and format version as associated data, so that a moved or replayed-elsewhere value does not open. A *chunk* of
 * records is sealed under a key of its own, derived by HKDF from a random 256-bit salt; the salts live wrapped outside
 * LMDB (store/slots.h), so that destroying a salt erases the chunk from every page and backup at once. */
#ifndef KEYS_SEAL_H
#define KEYS_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

enum {
	SEAL_FORMAT = 1,
	SEAL_OVERHEAD = 1 + 12 + 16,           /* format, nonce, tag */
	SEAL_SALT_LEN = 32,
};

struct seal;                                  /* the sealing key, in locked memory */
enum rc seal_open_file(const char *path, struct seal **ret, struct diag *diag) MUST_CHECK;
enum rc seal_new(const uint8_t key[32], struct seal **ret) MUST_CHECK;
void seal_close(struct seal *seal);           /* wipes */

/* `label` names the use ("value", "slot"); `ad` is bound. out has len + SEAL_OVERHEAD bytes. Thread-safe. */
enum rc seal_value(const struct seal *seal, const char *label, const void *ad, size_t ad_len, const void *plain,
                   size_t len, uint8_t *out) MUST_CHECK;
/* out has len - SEAL_OVERHEAD bytes. Errors: DAMAGED (does not open; out is wiped). */
enum rc unseal_value(const struct seal *seal, const char *label, const void *ad, size_t ad_len, const uint8_t *sealed,
                     size_t len, uint8_t *out) MUST_CHECK;

/* The same under the key that HKDF derives from `salt`. */
enum rc seal_chunk(const struct seal *seal, const uint8_t salt[SEAL_SALT_LEN], const void *ad, size_t ad_len,
                   const void *plain, size_t len, uint8_t *out) MUST_CHECK;
enum rc unseal_chunk(const struct seal *seal, const uint8_t salt[SEAL_SALT_LEN], const void *ad, size_t ad_len,
                     const uint8_t *sealed, size_t len, uint8_t *out) MUST_CHECK;

#endif
