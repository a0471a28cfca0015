/* AES-256-GCM with derived keys. Invariant: a sealed message opens only in its place, with its label, format and key;
 * everything else is DAMAGED and leaves nothing in the output. The keys of labels are derived once and kept in the same
 * locked page as the sealing key; a chunk's key exists for one call. */
#include "keys/seal.h"

#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "keys/key_file.h"

enum { NONCE_LEN = 12, TAG_LEN = 16, KEY_LEN = 32 };

/* One page of locked memory. */
struct seal_keys {
	uint8_t root[KEY_LEN];
	struct {
		char name[SEAL_LABEL_CAP];
		uint8_t key[KEY_LEN];
	} label[SEAL_MAX_LABELS];
	unsigned n_labels;
};
_Static_assert(sizeof(struct seal_keys) <= 4096, "the keys fit one page");

struct shared {
	struct seal_keys *keys;
	pthread_mutex_t mutex; /* guards the table of labels */
	EVP_CIPHER *cipher;    /* fetched once; a fetch for each value costs more than the sealing */
	bool locked;
};

struct seal {
	struct shared *shared; /* const struct seal: callers cannot change it, the table of labels can grow */
};

enum rc seal_new(const uint8_t key[32], struct seal **ret)
{
	struct seal *seal = calloc(1, sizeof *seal);
	struct shared *shared = calloc(1, sizeof *shared);
	enum rc rc = RC_NOMEM;

	if (seal == NULL || shared == NULL)
		goto out;
	seal->shared = shared;
	shared->keys = secret_memory_new(sizeof *shared->keys, &shared->locked);
	if (shared->keys == NULL)
		goto out;
	memcpy(shared->keys->root, key, KEY_LEN);
	rc = RC_CRYPTO;
	shared->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (shared->cipher == NULL)
		goto out;
	pthread_mutex_init(&shared->mutex, NULL);
	*ret = seal;
	return RC_OK;
out:
	if (shared != NULL)
		secret_memory_free(shared->keys);
	free(shared);
	free(seal);
	return rc;
}

enum rc seal_open_file(const char *path, struct seal **ret, struct diag *diag)
{
	struct secret_key *key = NULL;
	enum rc rc = key_file_read(path, "seal", &key, diag);

	if (rc != RC_OK)
		return rc;
	rc = seal_new(secret_key_bytes(key), ret);
	secret_key_free(key);
	return rc == RC_OK ? RC_OK : diag_set(diag, rc, "%s: %s", path, rc_text(rc));
}

void seal_close(struct seal *seal)
{
	if (seal == NULL)
		return;
	struct shared *shared = seal->shared;
	secret_memory_free(shared->keys);
	EVP_CIPHER_free(shared->cipher);
	pthread_mutex_destroy(&shared->mutex);
	free(shared);
	free(seal);
}

bool seal_is_locked(const struct seal *seal)
{
	return seal->shared->locked;
}

/* The key of a label, derived when first asked for. Entries never move or change once made, so the pointer stays good
 * outside the mutex. */
static enum rc label_key(const struct seal *seal, const char *label, const uint8_t **ret)
{
	struct shared *shared = seal->shared;
	struct seal_keys *keys = shared->keys;
	size_t len = strnlen(label, SEAL_LABEL_CAP);
	enum rc rc = RC_OK;
	unsigned i = 0;

	if (len == 0 || len >= SEAL_LABEL_CAP)
		return RC_INVALID;
	pthread_mutex_lock(&shared->mutex);
	while (i < keys->n_labels && strcmp(keys->label[i].name, label) != 0)
		i++;
	if (i == keys->n_labels && i < SEAL_MAX_LABELS) {
		char info[SEAL_LABEL_CAP + 32] = "throughcare seal value v1 ";
		strcat(info, label);
		rc = hkdf_label(keys->root, KEY_LEN, NULL, 0, info, keys->label[i].key, KEY_LEN);
		if (rc == RC_OK) {
			memcpy(keys->label[i].name, label, len + 1);
			keys->n_labels++;
		}
	} else if (i == SEAL_MAX_LABELS) {
		rc = RC_INVALID;
	}
	pthread_mutex_unlock(&shared->mutex);
	if (rc == RC_OK)
		*ret = keys->label[i].key;
	return rc;
}

/* Associated data: format, length of the label, label, the caller's bytes. The length keeps label and bytes apart. */
struct place {
	const char *label;
	const void *ad;
	size_t ad_len;
};

static bool feed_place(EVP_CIPHER_CTX *ctx, const struct place *place)
{
	size_t label_len = strlen(place->label);
	uint8_t head[2] = {SEAL_FORMAT, (uint8_t)label_len};
	int n;

	return EVP_CipherUpdate(ctx, NULL, &n, head, sizeof head) == 1 &&
	       EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *)place->label, (int)label_len) == 1 &&
	       (place->ad_len == 0 || EVP_CipherUpdate(ctx, NULL, &n, place->ad, (int)place->ad_len) == 1);
}

static enum rc encrypt(const struct seal *seal, const uint8_t key[KEY_LEN], const struct place *place,
		       const void *plain, size_t len, uint8_t *out)
{
	uint8_t *nonce = out + 1, *body = nonce + NONCE_LEN;
	EVP_CIPHER_CTX *ctx = NULL;
	int n = 0;

	if (len > SEAL_MAX_LEN || place->ad_len > SEAL_MAX_LEN)
		return RC_TOO_LARGE;
	out[0] = SEAL_FORMAT;
	enum rc rc = random_bytes(nonce, NONCE_LEN);
	if (rc != RC_OK)
		return rc;
	rc = RC_CRYPTO;
	ctx = EVP_CIPHER_CTX_new();
	if (ctx == NULL || EVP_CipherInit_ex2(ctx, seal->shared->cipher, key, nonce, 1, NULL) != 1 ||
	    !feed_place(ctx, place))
		goto out;
	if (len > 0 && (EVP_CipherUpdate(ctx, body, &n, plain, (int)len) != 1 || (size_t)n != len))
		goto out;
	if (EVP_CipherFinal_ex(ctx, body + len, &n) != 1 || n != 0 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, body + len) != 1)
		goto out;
	rc = RC_OK;
out:
	EVP_CIPHER_CTX_free(ctx); /* cleanses the key schedule */
	return rc;
}

static enum rc decrypt(const struct seal *seal, const uint8_t key[KEY_LEN], const struct place *place,
		       const uint8_t *sealed, size_t len, uint8_t *out)
{
	if (len < SEAL_OVERHEAD || len - SEAL_OVERHEAD > SEAL_MAX_LEN || sealed[0] != SEAL_FORMAT)
		return RC_DAMAGED;
	if (place->ad_len > SEAL_MAX_LEN)
		return RC_TOO_LARGE;
	size_t plain_len = len - SEAL_OVERHEAD;
	const uint8_t *nonce = sealed + 1, *body = nonce + NONCE_LEN;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	enum rc rc = RC_CRYPTO;
	uint8_t rest[TAG_LEN];
	int n = 0;

	if (ctx == NULL || EVP_CipherInit_ex2(ctx, seal->shared->cipher, key, nonce, 0, NULL) != 1 ||
	    !feed_place(ctx, place))
		goto out;
	if (plain_len > 0 && (EVP_CipherUpdate(ctx, out, &n, body, (int)plain_len) != 1 || (size_t)n != plain_len))
		goto out;
	if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, (void *)(body + plain_len)) != 1)
		goto out;
	rc = EVP_CipherFinal_ex(ctx, rest, &n) == 1 ? RC_OK : RC_DAMAGED;
out:
	EVP_CIPHER_CTX_free(ctx);
	if (rc != RC_OK && plain_len > 0)
		explicit_bzero(out, plain_len);
	return rc;
}

enum rc seal_value(const struct seal *seal, const char *label, const void *ad, size_t ad_len, const void *plain,
		   size_t len, uint8_t *out)
{
	const uint8_t *key = NULL;
	enum rc rc = label_key(seal, label, &key);

	return rc == RC_OK ? encrypt(seal, key, &(struct place){label, ad, ad_len}, plain, len, out) : rc;
}

enum rc unseal_value(const struct seal *seal, const char *label, const void *ad, size_t ad_len, const uint8_t *sealed,
		     size_t len, uint8_t *out)
{
	const uint8_t *key = NULL;
	enum rc rc = label_key(seal, label, &key);

	return rc == RC_OK ? decrypt(seal, key, &(struct place){label, ad, ad_len}, sealed, len, out) : rc;
}

static enum rc chunk_key(const struct seal *seal, const uint8_t salt[SEAL_SALT_LEN], uint8_t ret[KEY_LEN])
{
	return hkdf_label(seal->shared->keys->root, KEY_LEN, salt, SEAL_SALT_LEN, "throughcare seal chunk v1", ret,
			  KEY_LEN);
}

enum rc seal_chunk(const struct seal *seal, const uint8_t salt[SEAL_SALT_LEN], const void *ad, size_t ad_len,
		   const void *plain, size_t len, uint8_t *out)
{
	uint8_t key[KEY_LEN];
	enum rc rc = chunk_key(seal, salt, key);

	if (rc == RC_OK)
		rc = encrypt(seal, key, &(struct place){"chunk", ad, ad_len}, plain, len, out);
	explicit_bzero(key, sizeof key);
	return rc;
}

enum rc unseal_chunk(const struct seal *seal, const uint8_t salt[SEAL_SALT_LEN], const void *ad, size_t ad_len,
		     const uint8_t *sealed, size_t len, uint8_t *out)
{
	uint8_t key[KEY_LEN];
	enum rc rc = chunk_key(seal, salt, key);

	if (rc == RC_OK)
		rc = decrypt(seal, key, &(struct place){"chunk", ad, ad_len}, sealed, len, out);
	explicit_bzero(key, sizeof key);
	return rc;
}
