#include "tools/encode/bloom.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/encode/text.h"

struct bloom_hasher {
	EVP_MAC *blake;
	EVP_MAC_CTX *blake_ctx;
};

void bloom_hasher_free(struct bloom_hasher *hasher)
{
	if (hasher == NULL)
		return;
	EVP_MAC_CTX_free(hasher->blake_ctx);
	EVP_MAC_free(hasher->blake);
	free(hasher);
}

enum rc bloom_hasher_new(struct bloom_hasher **ret)
{
	struct bloom_hasher *hasher = calloc(1, sizeof *hasher);
	if (hasher == NULL)
		return RC_NOMEM;
	hasher->blake = EVP_MAC_fetch(NULL, "BLAKE2BMAC", NULL);
	if (hasher->blake != NULL)
		hasher->blake_ctx = EVP_MAC_CTX_new(hasher->blake);
	if (hasher->blake_ctx == NULL) {
		bloom_hasher_free(hasher);
		return RC_CRYPTO;
	}
	*ret = hasher;
	return RC_OK;
}

/* 32 positions a call: the 64 bytes of the MAC as little-endian 16-bit numbers, the call's number as salt. */
static enum rc blake_positions(struct bloom_hasher *hasher, const struct bloom_key *key, const uint8_t *token,
			       size_t len, uint32_t k, uint32_t *ret)
{
	for (uint32_t done = 0, call = 0; done < k; call++) {
		char salt[17] = {0};
		uint8_t mac[64];
		size_t mac_len = 0;
		snprintf(salt, sizeof salt, "%u", call);
		OSSL_PARAM params[] = {
			OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_SALT, salt, 16),
			OSSL_PARAM_construct_end(),
		};
		if (EVP_MAC_init(hasher->blake_ctx, key->key0, key->key_len, params) != 1 ||
		    EVP_MAC_update(hasher->blake_ctx, token, len) != 1 ||
		    EVP_MAC_final(hasher->blake_ctx, mac, &mac_len, sizeof mac) != 1 || mac_len != sizeof mac)
			return RC_CRYPTO;
		for (size_t i = 0; i < 32 && done < k; i++, done++)
			ret[done] = (uint32_t)(mac[2 * i] | mac[2 * i + 1] << 8) % key->n_bits;
	}
	return RC_OK;
}

/* A big-endian number modulo n. */
static uint32_t mod_bytes(const uint8_t *bytes, size_t len, uint32_t n)
{
	uint64_t r = 0;
	for (size_t i = 0; i < len; i++)
		r = (r << 8 | bytes[i]) % n;
	return (uint32_t)r;
}

enum { MAX_RETRIES = 4096 }; /* of a second hash of zero; only an absurdly short filter needs many */

static enum rc second_hash(const struct bloom_key *key, const uint8_t *token, size_t len, uint32_t *ret)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned mac_len = 0;
	if (HMAC(EVP_md5(), key->key1, (int)key->key_len, token, len, mac, &mac_len) == NULL)
		return RC_CRYPTO;
	*ret = mod_bytes(mac, mac_len, key->n_bits);
	if (*ret != 0 || !key->prevent_singularity)
		return RC_OK;
	uint8_t *longer = malloc(len + 4);
	if (longer == NULL)
		return RC_NOMEM;
	memcpy(longer, token, len);
	enum rc rc = RC_INVALID;
	for (uint32_t c = 0; c < MAX_RETRIES && rc == RC_INVALID; c++) {
		size_t more = text_encode_utf8(c, longer + len);
		if (HMAC(EVP_md5(), key->key1, (int)key->key_len, longer, len + more, mac, &mac_len) == NULL)
			rc = RC_CRYPTO;
		else if ((*ret = mod_bytes(mac, mac_len, key->n_bits)) != 0)
			rc = RC_OK;
	}
	explicit_bzero(longer, len + 4);
	free(longer);
	return rc;
}

static enum rc double_positions(const struct bloom_key *key, const uint8_t *token, size_t len, uint32_t k,
				uint32_t *ret)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned mac_len = 0;
	uint32_t h2 = 0;
	if (HMAC(EVP_sha1(), key->key0, (int)key->key_len, token, len, mac, &mac_len) == NULL)
		return RC_CRYPTO;
	uint32_t h1 = mod_bytes(mac, mac_len, key->n_bits);
	enum rc rc = second_hash(key, token, len, &h2);
	if (rc != RC_OK)
		return rc;
	for (uint32_t i = 0; i < k; i++)
		ret[i] = (uint32_t)((h1 + (uint64_t)i * h2) % key->n_bits);
	return RC_OK;
}

enum rc bloom_positions(struct bloom_hasher *hasher, const struct bloom_key *key, const uint8_t *token, size_t len,
			uint32_t k, uint32_t *ret_positions)
{
	if (k == 0)
		return RC_OK;
	if (key->hash == HASH_DOUBLE)
		return double_positions(key, token, len, k, ret_positions);
	return blake_positions(hasher, key, token, len, k, ret_positions);
}

void bloom_set(uint8_t *filter, const uint32_t *positions, size_t n)
{
	for (size_t i = 0; i < n; i++)
		filter[positions[i] >> 3] |= (uint8_t)(0x80 >> (positions[i] & 7));
}

void bloom_fold(const uint8_t *filter, uint32_t n_bits, uint32_t folds, uint8_t *out)
{
	size_t n_bytes = ((size_t)n_bits + 7) / 8;
	if (n_bits % 8 == 0) {
		memcpy(out, filter, n_bytes);
		for (size_t part = 1; part < (size_t)1 << folds; part++) {
			for (size_t i = 0; i < n_bytes; i++)
				out[i] ^= filter[part * n_bytes + i];
		}
		return;
	}
	/* Halving again and again is the XOR of all parts of n_bits; parts need not start on a byte. */
	memset(out, 0, n_bytes);
	for (size_t i = 0; i < (size_t)n_bits << folds; i++) {
		if (filter[i >> 3] & 0x80 >> (i & 7))
			out[i % n_bits >> 3] ^= (uint8_t)(0x80 >> (i % n_bits & 7));
	}
}
