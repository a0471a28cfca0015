/* The linkage secret's key check, and the refusal of secrets that could be guessed with it. A library of its own:
 * custodians' tools link it, the daemon never does (a test looks with nm). */
#include "keys/linkage_secret.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <string.h>

static const char key_check_label[] = "throughcare key check v1";

enum rc linkage_key_check(const uint8_t *secret, size_t len, const char *domain, uint8_t ret[LINKAGE_KEY_CHECK_LEN])
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	uint8_t out[LINKAGE_KEY_CHECK_LEN];
	OSSL_PARAM params[5], *p = params;
	enum rc rc = RC_CRYPTO;

	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, len);
	if (domain[0] != '\0')
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)domain, strlen(domain));
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)key_check_label, strlen(key_check_label));
	*p = OSSL_PARAM_construct_end();
	if (ctx != NULL && EVP_KDF_derive(ctx, out, sizeof out, params) == 1) {
		memcpy(ret, out, sizeof out);
		rc = RC_OK;
	}
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return rc;
}

/* 32 random bytes have 30 different values on average; fewer than 20 happens less than once in 10^9. */
enum { LEAST_DISTINCT = 20 };

static int count_distinct(const uint8_t *secret, size_t len)
{
	uint8_t seen[256] = {0};
	int n = 0;

	for (size_t i = 0; i < len; i++) {
		n += seen[secret[i]] == 0;
		seen[secret[i]] = 1;
	}
	explicit_bzero(seen, sizeof seen);
	return n;
}

static int is_printable(const uint8_t *secret, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (secret[i] < 0x20 || secret[i] > 0x7e)
			return 0;
	}
	return 1;
}

/* 00 01 02 …, and its like with any step. */
static int is_sequence(const uint8_t *secret, size_t len)
{
	for (size_t i = 2; i < len; i++) {
		if ((uint8_t)(secret[i] - secret[i - 1]) != (uint8_t)(secret[1] - secret[0]))
			return 0;
	}
	return 1;
}

enum rc linkage_secret_check(const uint8_t *secret, size_t len, struct diag *diag)
{
	const char *advice = "make one with 'throughcare keys linkage'";

	if (len != LINKAGE_SECRET_LEN)
		return diag_set(diag, RC_KEY, "the linkage secret has %zu bytes, expected %d; %s", len,
				LINKAGE_SECRET_LEN, advice);
	if (is_printable(secret, len))
		return diag_set(diag, RC_KEY, "the linkage secret is text, which can be guessed; %s", advice);
	if (is_sequence(secret, len))
		return diag_set(diag, RC_KEY, "the linkage secret is a sequence, which can be guessed; %s", advice);
	if (count_distinct(secret, len) < LEAST_DISTINCT)
		return diag_set(diag, RC_KEY, "the linkage secret repeats too few byte values to be random; %s",
				advice);
	return RC_OK;
}
