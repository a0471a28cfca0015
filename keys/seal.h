/* Sealing: AES-256-GCM under keys derived from the sealing key. Who has the store alone has nothing.
 *
 * Two forms. A *value* (log entries, receipts, releases, indexes) is sealed under a key for its label, with label, the
 * caller's data (its place) and format version as associated data, so that a moved or replayed-elsewhere value does
 * not open. A *chunk* of records is sealed under a key of its own, derived by HKDF from a random 256-bit salt; the
 * salts live wrapped outside LMDB (store/slots.h), so that destroying a salt erases the chunk from every page and
 * backup at once.
 *
 * Nonces are 96 random bits for each message. Under one key the chance that any two of n messages share a nonce is
 * below n^2 / 2^97: at 2^32 messages, which is where SP 800-38D section 8.3 draws the line, 2^-33. A label has a key of
 * its own, so the line is 2^32 values *written* a label in the life of a sealing key: at 1,000 writes a second, 136
 * years. Keep labels apart by class of value where a store rewrites more than that, and rotate the sealing key. A
 * chunk's key seals that one chunk (and again only when a withdrawal reseals it under a new salt). */
#ifndef KEYS_SEAL_H
#define KEYS_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

enum {
	SEAL_FORMAT = 1,
	SEAL_OVERHEAD = 1 + 12 + 16, /* format, nonce, tag */
	SEAL_SALT_LEN = 32,
	SEAL_LABEL_CAP = 32,
	SEAL_MAX_LABELS = 32,   /* different labels a sealing key is used with in one process */
	SEAL_MAX_LEN = 1 << 30, /* of one message */
};

struct seal; /* the sealing key, in locked memory */
/* Errors: KEY (file missing, unsafe, not a sealing key), NOMEM, CRYPTO. */
enum rc seal_open_file(const char *path, struct seal **ret, struct diag *diag) MUST_CHECK;
enum rc seal_new(const uint8_t key[32], struct seal **ret) MUST_CHECK; /* copies; wipe the original */
void seal_close(struct seal *seal);                                    /* wipes; NULL is a no-op */
/* False when the keys could not be locked in memory. */
bool seal_is_locked(const struct seal *seal);

/* `label` names the use ("value", "slot"); `ad` is bound. out has len + SEAL_OVERHEAD bytes and does not overlap
 * plain. Thread-safe. Errors: CRYPTO, TOO_LARGE, INVALID (label too long, or too many labels). */
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
