#include "tools/encode/derive.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static enum rc hkdf(const char *hash, const uint8_t *key, size_t key_len, const uint8_t *salt, size_t salt_len,
		    const uint8_t *info, size_t info_len, uint8_t *out, size_t out_len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[5], *p = params;
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)hash, 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key, key_len);
	if (salt_len != 0)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt, salt_len);
	if (info_len != 0)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, info_len);
	*p = OSSL_PARAM_construct_end();
	int ok = ctx != NULL && EVP_KDF_derive(ctx, out, out_len, params) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok ? RC_OK : RC_CRYPTO;
}

enum rc derive_feature_keys(const struct schema *schema, const uint8_t *secret, size_t len, uint8_t **ret_keys,
			    size_t *ret_len)
{
	size_t n = (size_t)2 * schema->n_features * schema->key_size, hash_len = schema->kdf_sha512 ? 64 : 32;
	if (n == 0 || n > 255 * hash_len || len == 0)
		return RC_INVALID;
	uint8_t *keys = malloc(n);
	if (keys == NULL)
		return RC_NOMEM;
	enum rc rc = hkdf(schema->kdf_sha512 ? "SHA512" : "SHA256", secret, len, schema->kdf_salt, schema->kdf_salt_len,
			  schema->kdf_info, schema->kdf_info_len, keys, n);
	if (rc != RC_OK) {
		free(keys);
		return rc;
	}
	*ret_keys = keys;
	*ret_len = n;
	return RC_OK;
}

/* A keyed stream of numbers: block i is HMAC-SHA256 of i, 64 bits big-endian, under the stream's key. */
struct stream {
	uint8_t key[32], block[32];
	uint64_t next;
	size_t at;
};

static enum rc stream_next(struct stream *s, uint32_t *ret)
{
	if (s->at == sizeof s->block) {
		uint8_t counter[8];
		unsigned n = 0;
		for (int i = 0; i < 8; i++)
			counter[i] = (uint8_t)(s->next >> (56 - 8 * i));
		if (HMAC(EVP_sha256(), s->key, sizeof s->key, counter, sizeof counter, s->block, &n) == NULL)
			return RC_CRYPTO;
		s->next++;
		s->at = 0;
	}
	const uint8_t *b = s->block + s->at;
	*ret = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	s->at += 4;
	return RC_OK;
}

static enum rc stream_open(struct stream *s, const uint8_t *secret, size_t len, const char *filter, const char *label)
{
	s->next = 0;
	s->at = sizeof s->block;
	return hkdf("SHA256", secret, len, (const uint8_t *)filter, strlen(filter), (const uint8_t *)label,
		    strlen(label), s->key, sizeof s->key);
}

/* A number below n, every one as likely. */
static enum rc draw_below(struct stream *s, uint32_t n, uint32_t *ret)
{
	uint32_t limit = UINT32_MAX - UINT32_MAX % n, r;
	do {
		enum rc rc = stream_next(s, &r);
		if (rc != RC_OK)
			return rc;
	} while (r >= limit);
	*ret = r % n;
	return RC_OK;
}

/* t distinct numbers below n. */
static enum rc draw_distinct(struct stream *s, uint32_t n, uint32_t t, uint16_t *out)
{
	for (uint32_t i = 0; i < t;) {
		uint32_t r;
		enum rc rc = draw_below(s, n, &r);
		if (rc != RC_OK)
			return rc;
		bool known = false;
		for (uint32_t j = 0; j < i && !known; j++)
			known = out[j] == r;
		if (!known)
			out[i++] = (uint16_t)r;
	}
	return RC_OK;
}

enum rc derive_diffusion(const uint8_t *secret, size_t len, const char *filter, uint32_t n_bits, uint32_t t,
			 uint16_t **ret_inputs)
{
	struct stream s;
	if (t == 0 || t > n_bits || n_bits > UINT16_MAX || len == 0)
		return RC_INVALID;
	uint16_t *inputs = reallocarray(NULL, (size_t)n_bits * t, sizeof *inputs);
	if (inputs == NULL)
		return RC_NOMEM;
	enum rc rc = stream_open(&s, secret, len, filter, "throughcare diffusion v1");
	for (uint32_t j = 0; j < n_bits && rc == RC_OK; j++)
		rc = draw_distinct(&s, n_bits, t, inputs + (size_t)j * t);
	explicit_bzero(&s, sizeof s);
	if (rc != RC_OK) {
		free(inputs);
		return rc;
	}
	*ret_inputs = inputs;
	return RC_OK;
}

enum rc derive_balance(const uint8_t *secret, size_t len, const char *filter, uint32_t n_bits, uint16_t **ret_order)
{
	struct stream s;
	if (n_bits == 0 || n_bits > UINT16_MAX || len == 0)
		return RC_INVALID;
	uint16_t *order = reallocarray(NULL, n_bits, sizeof *order);
	if (order == NULL)
		return RC_NOMEM;
	for (uint32_t j = 0; j < n_bits; j++)
		order[j] = (uint16_t)j;
	enum rc rc = stream_open(&s, secret, len, filter, "throughcare balance v1");
	for (uint32_t j = n_bits - 1; j > 0 && rc == RC_OK; j--) {
		uint32_t r = 0;
		rc = draw_below(&s, j + 1, &r);
		uint16_t kept = order[j];
		order[j] = order[r];
		order[r] = kept;
	}
	explicit_bzero(&s, sizeof s);
	if (rc != RC_OK) {
		free(order);
		return rc;
	}
	*ret_order = order;
	return RC_OK;
}

enum rc derive_pad_key(const uint8_t *secret, size_t len, const char *filter, uint8_t ret[DERIVE_PAD_KEY_LEN])
{
	static const char label[] = "throughcare padding v1";
	if (len == 0)
		return RC_INVALID;
	return hkdf("SHA256", secret, len, (const uint8_t *)filter, strlen(filter), (const uint8_t *)label,
		    sizeof label - 1, ret, DERIVE_PAD_KEY_LEN);
}

enum rc derive_pad_mac(const uint8_t key[DERIVE_PAD_KEY_LEN], const uint8_t *data, size_t len, uint8_t ret[32])
{
	unsigned n = 0;
	return HMAC(EVP_sha256(), key, DERIVE_PAD_KEY_LEN, data, len, ret, &n) != NULL && n == 32 ? RC_OK : RC_CRYPTO;
}
