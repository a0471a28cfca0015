/* Keys from the linkage secret. Feature keys are clkhash's; everything of our own has a label of its own, so that no
 * two uses share key bytes. */
#ifndef TOOLS_ENCODE_DERIVE_H
#define TOOLS_ENCODE_DERIVE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"
#include "proto/schema.h"

/* clkhash's feature keys: one HKDF (RFC 5869) of 2 · n_features · key_size bytes; feature i has key0 at
 * 2 · i · key_size and key1 right after it. Ignored features count. The caller wipes and frees.
 * Errors: INVALID (longer than HKDF can give, empty secret), CRYPTO, NOMEM. */
enum rc derive_feature_keys(const struct schema *schema, const uint8_t *secret, size_t len, uint8_t **ret_keys,
			    size_t *ret_len) MUST_CHECK;

/* The inputs of a filter's keyed diffusion: n_bits · t bit numbers, those of output bit j at j · t, distinct within
 * one output bit. HKDF-SHA256 with info "throughcare diffusion v1" and the filter's name as salt gives the key of a
 * stream: HMAC-SHA256 of 0, 1, 2 … as 64 bits big-endian, read as big-endian 32-bit numbers; r is taken modulo n_bits
 * and rejected at and above n_bits · floor((2^32 − 1) / n_bits), and where the bit already has it. Errors: INVALID (t
 * is 0 or above n_bits), CRYPTO, NOMEM. */
enum rc derive_diffusion(const uint8_t *secret, size_t len, const char *filter, uint32_t n_bits, uint32_t t,
			 uint16_t **ret_inputs) MUST_CHECK;

/* The order of a balanced filter's bits: a permutation of 0 … n_bits − 1, in which bit j of the filter followed by its
 * complement goes to place order[j]. Fisher and Yates from the end, with the numbers of a stream as above, of label
 * "throughcare balance v1": for j = n_bits − 1 … 1, exchange order[j] with order[r], r uniform on 0 … j.
 * Errors: INVALID, CRYPTO, NOMEM. */
enum rc derive_balance(const uint8_t *secret, size_t len, const char *filter, uint32_t n_bits,
		       uint16_t **ret_order) MUST_CHECK;

enum { DERIVE_PAD_KEY_LEN = 32 };
/* The key of what fills in for a missing part of a composite filter: HKDF-SHA256 with the filter's name as salt and
 * label "throughcare padding v1". Errors: CRYPTO, INVALID (empty secret). */
enum rc derive_pad_key(const uint8_t *secret, size_t len, const char *filter,
		       uint8_t ret[DERIVE_PAD_KEY_LEN]) MUST_CHECK;
/* HMAC-SHA256 under such a key. Errors: CRYPTO. */
enum rc derive_pad_mac(const uint8_t key[DERIVE_PAD_KEY_LEN], const uint8_t *data, size_t len,
		       uint8_t ret[32]) MUST_CHECK;

#endif
