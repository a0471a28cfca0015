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
#include "keys/token.h"

enum { NONCE_LEN = 12, TAG_LEN = 16, KEY_LEN = 32, NONCE_AT = 3 };

/* One sealing key with its labels', in a page of locked memory. */
struct seal_keys {
	uint8_t root[KEY_LEN];
	struct {
		char name[SEAL_LABEL_CAP];
		uint8_t key[KEY_LEN];
	} label[SEAL_MAX_LABELS];
	unsigned n_labels;
	uint16_t number;
};
_Static_assert(sizeof(struct seal_keys) <= 4096, "the keys fit one page");

struct shared {
	struct seal_keys *current, *old; /* old: NULL but while a rotation lasts */
	pthread_mutex_t mutex;		 /* guards both and their tables of labels */
	EVP_CIPHER *cipher;		 /* fetched once; a fetch for each value costs more than the sealing */
	bool locked;
};

struct seal {
	struct shared *shared; /* const struct seal: callers cannot change it, the table of labels can grow */
};

/* ---- keys ---- */

static enum rc keys_new(const uint8_t root[KEY_LEN], bool *locked, struct seal_keys **ret)
{
	uint8_t number[2];
	bool is_locked = false;
	struct seal_keys *keys = secret_memory_new(sizeof *keys, &is_locked);

	if (keys == NULL)
		return RC_NOMEM;
	memcpy(keys->root, root, KEY_LEN);
	enum rc rc = hkdf_label(root, KEY_LEN, NULL, 0, "throughcare seal number v1", number, sizeof number);
	if (rc != RC_OK) {
		secret_memory_free(keys);
		return rc;
	}
	/* 0 means none; that two keys of a rotation have one number is looked for where the new one is made. */
	keys->number = (uint16_t)(number[0] << 8 | number[1]);
	if (keys->number == 0)
		keys->number = 1;
	*locked = *locked && is_locked;
	*ret = keys;
	return RC_OK;
}

enum rc seal_new(const uint8_t key[32], struct seal **ret)
{
	struct seal *seal = calloc(1, sizeof *seal);
	struct shared *shared = calloc(1, sizeof *shared);
	enum rc rc = RC_NOMEM;

	if (seal == NULL || shared == NULL)
		goto out;
	seal->shared = shared;
	shared->locked = true;
	rc = keys_new(key, &shared->locked, &shared->current);
	if (rc != RC_OK)
		goto out;
	rc = RC_CRYPTO;
	shared->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (shared->cipher == NULL)
		goto out;
	pthread_mutex_init(&shared->mutex, NULL);
	*ret = seal;
	return RC_OK;
out:
	if (shared != NULL)
		secret_memory_free(shared->current);
	free(shared);
	free(seal);
	return rc;
}

enum rc seal_open_file(const char *path, const char *token_uri, struct seal **ret, struct diag *diag)
{
	struct secret_key *key = NULL;
	enum rc rc = seal_key_read(path, token_uri, false, &key, diag);

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
	secret_memory_free(shared->current);
	secret_memory_free(shared->old);
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
static enum rc label_key(struct seal_keys *keys, const char *label, const uint8_t **ret)
{
	size_t len = strnlen(label, SEAL_LABEL_CAP);
	enum rc rc = RC_OK;
	unsigned i = 0;

	if (len == 0 || len >= SEAL_LABEL_CAP)
		return RC_INVALID;
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
	if (rc == RC_OK)
		*ret = keys->label[i].key;
	return rc;
}

/* *number 0: the key that seals, whose number is given back. Otherwise the one with that number. Errors: DAMAGED (there
 * is none). */
static enum rc find_key(const struct seal *seal, const char *label, uint16_t *number, const uint8_t **ret)
{
	struct shared *shared = seal->shared;
	struct seal_keys *keys = NULL;

	pthread_mutex_lock(&shared->mutex);
	if (*number == 0 || *number == shared->current->number)
		keys = shared->current;
	else if (shared->old != NULL && *number == shared->old->number)
		keys = shared->old;
	enum rc rc = keys == NULL ? RC_DAMAGED : label_key(keys, label, ret);
	if (rc == RC_OK)
		*number = keys->number;
	pthread_mutex_unlock(&shared->mutex);
	return rc;
}

/* ---- messages ---- */

/* Associated data: format, number of the key, length of the label, label, the caller's bytes. The length keeps label and
 * bytes apart. */
struct place {
	const char *label;
	const void *ad;
	size_t ad_len;
	uint16_t number; /* of the sealing key; 0 = a chunk's own key */
};

static bool feed_place(EVP_CIPHER_CTX *ctx, const struct place *place)
{
	size_t label_len = strlen(place->label);
	uint8_t head[4] = {SEAL_FORMAT, (uint8_t)(place->number >> 8), (uint8_t)place->number, (uint8_t)label_len};
	int n;

	return EVP_CipherUpdate(ctx, NULL, &n, head, sizeof head) == 1 &&
	       EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *)place->label, (int)label_len) == 1 &&
	       (place->ad_len == 0 || EVP_CipherUpdate(ctx, NULL, &n, place->ad, (int)place->ad_len) == 1);
}

static enum rc encrypt(const struct seal *seal, const uint8_t key[KEY_LEN], const struct place *place,
		       const void *plain, size_t len, uint8_t *out)
{
	uint8_t *nonce = out + NONCE_AT, *body = nonce + NONCE_LEN;
	EVP_CIPHER_CTX *ctx = NULL;
	int n = 0;

	if (len > SEAL_MAX_LEN || place->ad_len > SEAL_MAX_LEN)
		return RC_TOO_LARGE;
	out[0] = SEAL_FORMAT;
	out[1] = (uint8_t)(place->number >> 8);
	out[2] = (uint8_t)place->number;
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
	const uint8_t *nonce = sealed + NONCE_AT, *body = nonce + NONCE_LEN;
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

static uint16_t number_of(const uint8_t *sealed)
{
	return (uint16_t)(sealed[1] << 8 | sealed[2]);
}

uint16_t seal_message_number(const uint8_t *sealed, size_t len)
{
	return len < SEAL_OVERHEAD || sealed[0] != SEAL_FORMAT ? 0 : number_of(sealed);
}

enum rc seal_value(const struct seal *seal, const char *label, const void *ad, size_t ad_len, const void *plain,
		   size_t len, uint8_t *out)
{
	const uint8_t *key = NULL;
	uint16_t number = 0;
	enum rc rc = find_key(seal, label, &number, &key);

	return rc == RC_OK ? encrypt(seal, key, &(struct place){label, ad, ad_len, number}, plain, len, out) : rc;
}

enum rc unseal_value(const struct seal *seal, const char *label, const void *ad, size_t ad_len, const uint8_t *sealed,
		     size_t len, uint8_t *out)
{
	const uint8_t *key = NULL;
	uint16_t number = seal_message_number(sealed, len);
	enum rc rc = number == 0 ? RC_DAMAGED : find_key(seal, label, &number, &key);

	if (rc == RC_OK)
		return decrypt(seal, key, &(struct place){label, ad, ad_len, number}, sealed, len, out);
	if (len > SEAL_OVERHEAD)
		explicit_bzero(out, len - SEAL_OVERHEAD);
	return rc;
}

static enum rc chunk_key(const uint8_t salt[SEAL_SALT_LEN], uint8_t ret[KEY_LEN])
{
	return hkdf_label(salt, SEAL_SALT_LEN, NULL, 0, "throughcare seal chunk v2", ret, KEY_LEN);
}

enum rc seal_chunk(const struct seal *seal, const uint8_t salt[SEAL_SALT_LEN], const void *ad, size_t ad_len,
		   const void *plain, size_t len, uint8_t *out)
{
	uint8_t key[KEY_LEN];
	enum rc rc = chunk_key(salt, key);

	if (rc == RC_OK)
		rc = encrypt(seal, key, &(struct place){"chunk", ad, ad_len, 0}, plain, len, out);
	explicit_bzero(key, sizeof key);
	return rc;
}

enum rc unseal_chunk(const struct seal *seal, const uint8_t salt[SEAL_SALT_LEN], const void *ad, size_t ad_len,
		     const uint8_t *sealed, size_t len, uint8_t *out)
{
	uint8_t key[KEY_LEN];
	enum rc rc = chunk_key(salt, key);

	if (rc == RC_OK && (len < SEAL_OVERHEAD || number_of(sealed) != 0))
		rc = RC_DAMAGED;
	if (rc == RC_OK)
		rc = decrypt(seal, key, &(struct place){"chunk", ad, ad_len, 0}, sealed, len, out);
	explicit_bzero(key, sizeof key);
	return rc;
}

/* ---- rotation ---- */

uint16_t seal_key_number(const struct seal *seal)
{
	pthread_mutex_lock(&seal->shared->mutex);
	uint16_t number = seal->shared->current->number;
	pthread_mutex_unlock(&seal->shared->mutex);
	return number;
}

uint16_t seal_old_number(const struct seal *seal)
{
	pthread_mutex_lock(&seal->shared->mutex);
	uint16_t number = seal->shared->old == NULL ? 0 : seal->shared->old->number;
	pthread_mutex_unlock(&seal->shared->mutex);
	return number;
}

static const char handover_label[] = "handover", handback_label[] = "handback";

enum rc seal_hand_over(const struct seal *seal, const uint8_t key[32], uint8_t out[SEAL_HANDOVER_LEN])
{
	struct seal_keys *keys = NULL;
	bool locked = true;

	enum rc rc = keys_new(key, &locked, &keys);
	if (rc == RC_OK && keys->number == seal_key_number(seal))
		rc = RC_CONFLICT;
	if (rc == RC_OK)
		rc = seal_value(seal, handover_label, NULL, 0, key, KEY_LEN, out);
	secret_memory_free(keys);
	return rc;
}

/* Open a key that stands sealed under the one that seals. */
static enum rc open_key(const struct seal *seal, const char *label, const uint8_t sealed[SEAL_HANDOVER_LEN],
			uint8_t ret[KEY_LEN])
{
	if (seal_message_number(sealed, SEAL_HANDOVER_LEN) != seal_key_number(seal))
		return RC_KEY;
	enum rc rc = unseal_value(seal, label, NULL, 0, sealed, SEAL_HANDOVER_LEN, ret);
	return rc == RC_DAMAGED ? RC_KEY : rc;
}

enum rc seal_open_handover(const struct seal *seal, const uint8_t handover[SEAL_HANDOVER_LEN], struct secret_key **ret)
{
	uint8_t key[KEY_LEN];

	enum rc rc = open_key(seal, handover_label, handover, key);
	if (rc == RC_OK)
		rc = secret_key_new(key, ret);
	explicit_bzero(key, sizeof key);
	return rc;
}

enum rc seal_hand_back(const struct seal *seal, const uint8_t handover[SEAL_HANDOVER_LEN],
		       uint8_t out[SEAL_HANDOVER_LEN])
{
	uint8_t key[KEY_LEN];
	struct seal *next = NULL;

	enum rc rc = seal_old_number(seal) != 0 ? RC_CONFLICT : open_key(seal, handover_label, handover, key);
	if (rc == RC_OK)
		rc = seal_new(key, &next);
	if (rc == RC_OK && seal_key_number(next) == seal_key_number(seal))
		rc = RC_CONFLICT;
	if (rc == RC_OK)
		rc = seal_value(next, handback_label, NULL, 0, seal->shared->current->root, KEY_LEN, out);
	seal_close(next);
	explicit_bzero(key, sizeof key);
	return rc;
}

/* Put a second key in: as the one that seals from now on, or as the one that went before. */
static enum rc add_key(struct seal *seal, const char *label, const uint8_t sealed[SEAL_HANDOVER_LEN], bool is_new)
{
	struct shared *shared = seal->shared;
	struct seal_keys *keys = NULL;
	uint8_t key[KEY_LEN];

	enum rc rc = seal_old_number(seal) != 0 ? RC_CONFLICT : open_key(seal, label, sealed, key);
	if (rc == RC_OK)
		rc = keys_new(key, &shared->locked, &keys);
	explicit_bzero(key, sizeof key);
	if (rc != RC_OK)
		return rc;
	pthread_mutex_lock(&shared->mutex);
	if (shared->old != NULL || keys->number == shared->current->number) {
		rc = RC_CONFLICT;
	} else if (is_new) {
		shared->old = shared->current;
		shared->current = keys;
	} else {
		shared->old = keys;
	}
	pthread_mutex_unlock(&shared->mutex);
	if (rc != RC_OK)
		secret_memory_free(keys);
	return rc;
}

enum rc seal_take_over(struct seal *seal, const uint8_t handover[SEAL_HANDOVER_LEN])
{
	return add_key(seal, handover_label, handover, true);
}

enum rc seal_take_back(struct seal *seal, const uint8_t handback[SEAL_HANDOVER_LEN])
{
	return add_key(seal, handback_label, handback, false);
}

void seal_drop_old(struct seal *seal)
{
	struct shared *shared = seal->shared;

	pthread_mutex_lock(&shared->mutex);
	struct seal_keys *old = shared->old;
	shared->old = NULL;
	pthread_mutex_unlock(&shared->mutex);
	secret_memory_free(old);
}
