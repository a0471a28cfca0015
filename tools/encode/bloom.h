/* Keyed hashing of tokens to bit positions, exactly as clkhash 0.18: blakeHash and doubleHash.
 *
 * A `bloom_key` is the constant part (keys and filter length of one feature in one filter); a `bloom_hasher` is the
 * scratch of one thread (OpenSSL contexts), so that nothing is shared between threads. */
#ifndef TOOLS_ENCODE_BLOOM_H
#define TOOLS_ENCODE_BLOOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"
#include "proto/schema.h"

struct bloom_key {
	enum schema_hash hash;
	bool prevent_singularity;
	uint32_t n_bits;            /* L, before folding; a power of two for blakeHash */
	const uint8_t *key0, *key1; /* borrows; blakeHash uses key0 alone */
	size_t key_len;             /* at most 64 for blakeHash */
};

struct bloom_hasher;
enum rc bloom_hasher_new(struct bloom_hasher **ret) MUST_CHECK; /* CRYPTO, NOMEM */
void bloom_hasher_free(struct bloom_hasher *hasher);

/* The k positions of a token, each below n_bits, in clkhash's order, repeats kept.
 * blakeHash: BLAKE2b-512 (RFC 7693) with key and salt. doubleHash: HMAC-SHA1 and HMAC-MD5 (Schnell et al. 2009).
 * Errors: CRYPTO; INVALID when prevent_singularity finds no second hash. */
enum rc bloom_positions(struct bloom_hasher *hasher, const struct bloom_key *key, const uint8_t *token, size_t len,
			uint32_t k, uint32_t *ret_positions) MUST_CHECK;

/* Bit i is byte i >> 3, mask 0x80 >> (i & 7). */
void bloom_set(uint8_t *filter, const uint32_t *positions, size_t n);
/* XOR the halves `folds` times: n_bits << folds bits in, n_bits out (its bytes are all written, padding zero). */
void bloom_fold(const uint8_t *filter, uint32_t n_bits, uint32_t folds, uint8_t *out);

#endif
