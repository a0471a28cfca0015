/* A seal that seals nothing, for one test: tests/system/test_disk_scan.py links the whole daemon with this file in the
 * place of keys/seal.c, and its scanner must then find everything that it must not find in a real store. It stays a
 * program of the tests: nothing in the daemon can choose it, and it is not installed. The linker refuses the program
 * when keys/seal.h has a function that is missing here. */
#include <stdlib.h>
#include <string.h>

#include "keys/key_file.h"
#include "keys/seal.h"

struct seal {
	int unused;
};

/* What the test looks for to tell the two programs apart. */
extern const char throughcare_test_without_sealing[];
const char throughcare_test_without_sealing[] = "values are not sealed";

enum { NUMBER = 0xffff };

enum rc seal_new(const uint8_t key[32], struct seal **ret)
{
	*ret = calloc(1, sizeof **ret);
	return *ret == NULL ? RC_NOMEM : RC_OK;
}

enum rc seal_open_file(const char *path, const char *token_uri, struct seal **ret, struct diag *diag)
{
	struct secret_key *key = NULL;
	enum rc rc = key_file_read(path, "seal", &key, diag);
	secret_key_free(key);
	return rc == RC_OK ? seal_new(NULL, ret) : rc;
}

void seal_close(struct seal *seal)
{
	free(seal);
}

bool seal_is_locked(const struct seal *seal)
{
	return true;
}

uint16_t seal_key_number(const struct seal *seal)
{
	return NUMBER;
}

uint16_t seal_old_number(const struct seal *seal)
{
	return 0;
}

uint16_t seal_message_number(const uint8_t *sealed, size_t len)
{
	return NUMBER;
}

enum rc seal_hand_over(const struct seal *seal, const uint8_t key[32], uint8_t out[SEAL_HANDOVER_LEN])
{
	return RC_CRYPTO;
}

enum rc seal_open_handover(const struct seal *seal, const uint8_t handover[SEAL_HANDOVER_LEN], struct secret_key **ret)
{
	return RC_CRYPTO;
}

enum rc seal_take_over(struct seal *seal, const uint8_t handover[SEAL_HANDOVER_LEN])
{
	return RC_CRYPTO;
}

enum rc seal_hand_back(const struct seal *seal, const uint8_t handover[SEAL_HANDOVER_LEN],
		       uint8_t out[SEAL_HANDOVER_LEN])
{
	return RC_CRYPTO;
}

enum rc seal_take_back(struct seal *seal, const uint8_t handback[SEAL_HANDOVER_LEN])
{
	return RC_CRYPTO;
}

void seal_drop_old(struct seal *seal)
{
}

static enum rc copy_in(const void *plain, size_t len, uint8_t *out)
{
	memset(out, 0, SEAL_OVERHEAD);
	if (len > 0)
		memcpy(out + SEAL_OVERHEAD, plain, len);
	return RC_OK;
}

static enum rc copy_out(const uint8_t *sealed, size_t len, uint8_t *out)
{
	if (len < SEAL_OVERHEAD)
		return RC_DAMAGED;
	if (len > SEAL_OVERHEAD)
		memcpy(out, sealed + SEAL_OVERHEAD, len - SEAL_OVERHEAD);
	return RC_OK;
}

enum rc seal_value(const struct seal *seal, const char *label, const void *ad, size_t ad_len, const void *plain,
		   size_t len, uint8_t *out)
{
	return copy_in(plain, len, out);
}

enum rc unseal_value(const struct seal *seal, const char *label, const void *ad, size_t ad_len, const uint8_t *sealed,
		     size_t len, uint8_t *out)
{
	return copy_out(sealed, len, out);
}

enum rc seal_chunk(const struct seal *seal, const uint8_t salt[SEAL_SALT_LEN], const void *ad, size_t ad_len,
		   const void *plain, size_t len, uint8_t *out)
{
	return copy_in(plain, len, out);
}

enum rc unseal_chunk(const struct seal *seal, const uint8_t salt[SEAL_SALT_LEN], const void *ad, size_t ad_len,
		     const uint8_t *sealed, size_t len, uint8_t *out)
{
	return copy_out(sealed, len, out);
}
