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
 * one output bit. HKDF-SHA256 with info "throughcare diffusion v1" and the filter's name as salt gives an AES-256-CTR
 * key; its stream is read as big-endian 32-bit numbers, rejected above the largest multiple of n_bits.
 * Errors: INVALID (t is 0 or above n_bits), CRYPTO, NOMEM. */
enum rc derive_diffusion(const uint8_t *secret, size_t len, const char *filter, uint32_t n_bits, uint32_t t,
			 uint16_t **ret_inputs) MUST_CHECK;

#endif
