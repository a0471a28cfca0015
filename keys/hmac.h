/* HMAC-SHA256 (RFC 2104) under one key many times over: the key's two blocks are hashed once, so that a short message
 * costs two or three compressions and no allocation. */
#ifndef KEYS_HMAC_H
#define KEYS_HMAC_H

#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

struct hmac_key;
/* Errors: CRYPTO (a key longer than 64 bytes), NOMEM. */
enum rc hmac_key_new(const uint8_t *key, size_t len, struct hmac_key **ret) MUST_CHECK;
void hmac_key_free(struct hmac_key *key); /* wipes */
/* Equal to hmac_sha256(). Several threads may use one key. Errors: CRYPTO. */
enum rc hmac_key_mac(const struct hmac_key *key, const void *data, size_t len, uint8_t out[32]) MUST_CHECK;

#endif
