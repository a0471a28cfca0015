/* Randomness, HKDF and HMAC: thin, checked wrappers of the kernel and of OpenSSL. */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <string.h>
#include <sys/random.h>

#include "keys/key_file.h"

enum rc random_bytes(void *out, size_t len)
{
	uint8_t *at = out;

	while (len > 0) {
		ssize_t n = getrandom(at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return RC_CRYPTO;
		at += n;
		len -= (size_t)n;
	}
	return RC_OK;
}

enum rc hkdf_label(const uint8_t *ikm, size_t ikm_len, const uint8_t *salt, size_t salt_len, const char *label,
		   uint8_t *out, size_t out_len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[5], *p = params;
	enum rc rc = RC_CRYPTO;

	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)ikm, ikm_len);
	/* No salt means 32 zero bytes (RFC 5869 section 2.2), which is OpenSSL's default too. */
	if (salt_len > 0)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_len);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)label, strlen(label));
	*p = OSSL_PARAM_construct_end();
	if (ctx != NULL && EVP_KDF_derive(ctx, out, out_len, params) == 1)
		rc = RC_OK;
	EVP_KDF_CTX_free(ctx); /* cleanses the key */
	EVP_KDF_free(kdf);
	return rc;
}

enum rc hmac_sha256(const uint8_t *key, size_t key_len, const void *data, size_t len, uint8_t out[32])
{
	unsigned n = 32;

	if (key_len > INT32_MAX || HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &n) == NULL || n != 32)
		return RC_CRYPTO;
	return RC_OK;
}
