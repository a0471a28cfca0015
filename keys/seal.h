/* Sealing: AES-256-GCM under keys derived from the sealing key. Who has the store alone has nothing.
 *
 * Two forms. A *value* (log entries, receipts, releases, indexes) is sealed under a key for its label, with label, the
 * caller's data (its place), format and the number of the sealing key as associated data, so that a value that was
 * moved, or that was sealed under a key that has gone, does not open. A *chunk* of records is sealed under a key of its
 * own, derived by HKDF from a random 256-bit salt; the salts live wrapped as values outside LMDB (store/slots.h), so
 * that destroying a salt erases the chunk from every page and backup at once, and a new sealing key asks for the salts
 * to be wrapped again, not for every chunk.
 *
 * Rotation. A seal holds one sealing key, or two while a rotation lasts: the new one seals, both open. Each key has a
 * number (16 bits that HKDF derives from it, never 0), which stands in every message. The new key reaches a running
 * daemon sealed under the old one (a *handover*), and leaves the old one beside it sealed under the new (a *handback*),
 * so that either of them opens a store whose rotation a crash interrupted.
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
	SEAL_FORMAT = 2,
	SEAL_OVERHEAD = 1 + 2 + 12 + 16, /* format, number of the key, nonce, tag */
	SEAL_SALT_LEN = 32,
	SEAL_LABEL_CAP = 32,
	SEAL_MAX_LABELS = 32,   /* different labels a sealing key is used with in one process */
	SEAL_MAX_LEN = 1 << 30, /* of one message */
	SEAL_HANDOVER_LEN = 32 + SEAL_OVERHEAD,
};

/* A handover as people carry it about: this and hex digits. It opens with the old key alone. */
#define SEAL_HANDOVER_PREFIX "throughcare-seal-handover-v1:"

struct seal; /* the sealing key, in locked memory */
/* `token_uri`: the key of a token under which the file's key is wrapped (keys/token.h); NULL or "" = none.
 * Errors: KEY (file missing, unsafe, not a sealing key; the token), CONFIG (its URI), NOMEM, CRYPTO. */
enum rc seal_open_file(const char *path, const char *token_uri, struct seal **ret, struct diag *diag) MUST_CHECK;
enum rc seal_new(const uint8_t key[32], struct seal **ret) MUST_CHECK; /* copies; wipe the original */
void seal_close(struct seal *seal);                                    /* wipes; NULL is a no-op */
/* False when the keys could not be locked in memory. */
bool seal_is_locked(const struct seal *seal);

/* ---- rotation ---- */

uint16_t seal_key_number(const struct seal *seal); /* of the key that seals */
uint16_t seal_old_number(const struct seal *seal); /* of the other one; 0 = there is none */
/* Which key a message says it was sealed under; 0 = a chunk's, or no message. */
uint16_t seal_message_number(const uint8_t *sealed, size_t len);
/* `key`, sealed under the one that seals. Errors: CONFLICT (it has the number of that one: draw another), CRYPTO. */
enum rc seal_hand_over(const struct seal *seal, const uint8_t key[32], uint8_t out[SEAL_HANDOVER_LEN]) MUST_CHECK;
/* The key in a handover, for keys that are not sealing keys: a log's. Errors: KEY (not made with the key that seals),
 * NOMEM. */
struct secret_key;
enum rc seal_open_handover(const struct seal *seal, const uint8_t handover[SEAL_HANDOVER_LEN],
			   struct secret_key **ret) MUST_CHECK;
/* Take up the key of a handover: from here on it seals. Errors: CONFLICT (a rotation is under way), KEY (it was not made
 * with the key that seals), NOMEM. */
enum rc seal_take_over(struct seal *seal, const uint8_t handover[SEAL_HANDOVER_LEN]) MUST_CHECK;
/* The key that seals, sealed under that of a handover, before it is taken up. Errors: KEY, CONFLICT, NOMEM. */
enum rc seal_hand_back(const struct seal *seal, const uint8_t handover[SEAL_HANDOVER_LEN],
		       uint8_t out[SEAL_HANDOVER_LEN]) MUST_CHECK;
/* The seal of the new key alone takes up the old one to open with. Errors: CONFLICT (there is one), KEY, NOMEM. */
enum rc seal_take_back(struct seal *seal, const uint8_t handback[SEAL_HANDOVER_LEN]) MUST_CHECK;
/* Wipe the old key. No other thread may be opening what it sealed. Nothing to do without one. */
void seal_drop_old(struct seal *seal);

/* ---- messages ---- */

/* `label` names the use ("value", "slot"); `ad` is bound. out has len + SEAL_OVERHEAD bytes and does not overlap
 * plain. Thread-safe. Errors: CRYPTO, TOO_LARGE, INVALID (label too long, or too many labels). */
enum rc seal_value(const struct seal *seal, const char *label, const void *ad, size_t ad_len, const void *plain,
		   size_t len, uint8_t *out) MUST_CHECK;
/* out has len - SEAL_OVERHEAD bytes. Errors: DAMAGED (does not open; out is wiped). */
enum rc unseal_value(const struct seal *seal, const char *label, const void *ad, size_t ad_len, const uint8_t *sealed,
		     size_t len, uint8_t *out) MUST_CHECK;

/* The same under the key that HKDF derives from `salt`, which must be secret: the sealing key has no part in it. */
enum rc seal_chunk(const struct seal *seal, const uint8_t salt[SEAL_SALT_LEN], const void *ad, size_t ad_len,
		   const void *plain, size_t len, uint8_t *out) MUST_CHECK;
enum rc unseal_chunk(const struct seal *seal, const uint8_t salt[SEAL_SALT_LEN], const void *ad, size_t ad_len,
		     const uint8_t *sealed, size_t len, uint8_t *out) MUST_CHECK;

#endif
