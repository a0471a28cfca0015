/* OpenSSL 3's EVP interface allocates six times a MAC, which is most of what a short one costs; its SHA256_CTX can be
 * copied like any struct. That interface is deprecated since 3.0 in favour of EVP, and part of every OpenSSL 3. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "keys/hmac.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 };

struct hmac_key {
	SHA256_CTX inner, outer;
};

static int begin(SHA256_CTX *ctx, const uint8_t *key, size_t len, uint8_t pad)
{
	uint8_t block[BLOCK];
	memset(block, pad, sizeof block);
	for (size_t i = 0; i < len; i++)
		block[i] ^= key[i];
	int ok = SHA256_Init(ctx) == 1 && SHA256_Update(ctx, block, sizeof block) == 1;
	explicit_bzero(block, sizeof block);
	return ok;
}

enum rc hmac_key_new(const uint8_t *key, size_t len, struct hmac_key **ret)
{
	if (len > BLOCK)
		return RC_CRYPTO;
	struct hmac_key *k = malloc(sizeof *k);
	if (k == NULL)
		return RC_NOMEM;
	if (!begin(&k->inner, key, len, 0x36) || !begin(&k->outer, key, len, 0x5C)) {
		hmac_key_free(k);
		return RC_CRYPTO;
	}
	*ret = k;
	return RC_OK;
}

void hmac_key_free(struct hmac_key *key)
{
	if (key != NULL)
		explicit_bzero(key, sizeof *key);
	free(key);
}

enum rc hmac_key_mac(const struct hmac_key *key, const void *data, size_t len, uint8_t out[32])
{
	SHA256_CTX ctx = key->inner;
	uint8_t digest[SHA256_DIGEST_LENGTH];
	int ok = SHA256_Update(&ctx, data, len) == 1 && SHA256_Final(digest, &ctx) == 1;
	ctx = key->outer;
	ok = ok && SHA256_Update(&ctx, digest, sizeof digest) == 1 && SHA256_Final(out, &ctx) == 1;
	explicit_bzero(&ctx, sizeof ctx);
	return ok ? RC_OK : RC_CRYPTO;
}
