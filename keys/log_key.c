/* Ed25519 signing of checkpoints, behind a memory of what was signed. Invariant: every checkpoint ever signed extends
 * the one before, even across restarts, crashes and restored stores. The order is check, remember durably, sign. */
#include "keys/log_key.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys/key_file.h"
#include "keys/signer_state.h"
#include "proto/log_rotation.h"

/* While a rotation lasts `seed` is the old key's and `next_seed` signs too. Once it is over, `old_vkey` is known until the
 * state is saved under the new key alone. */
struct log_signer {
	struct secret_key *seed, *next_seed;
	struct tlog_vkey vkey, next_vkey, old_vkey;
	atomic_bool has_next; /* set last: next_seed and next_vkey never change after */
	struct signer_state state;
};

static EVP_PKEY *key_from_seed(const uint8_t seed[32])
{
	return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
}

enum rc log_key_public(const uint8_t seed[32], uint8_t ret_public[32])
{
	EVP_PKEY *key = key_from_seed(seed);
	uint8_t public_key[32];
	size_t len = sizeof public_key;
	enum rc rc = RC_CRYPTO;

	if (key != NULL && EVP_PKEY_get_raw_public_key(key, public_key, &len) == 1 && len == sizeof public_key) {
		memcpy(ret_public, public_key, sizeof public_key);
		rc = RC_OK;
	}
	EVP_PKEY_free(key);
	return rc;
}

/* Key, verifier key and the opened (not yet loaded) state. */
static enum rc signer_new(const char *key_path, const char *state_path, const char *origin, struct log_signer **ret,
			  struct diag *diag)
{
	struct log_signer *signer = calloc(1, sizeof *signer);
	char beside_key[PATH_MAX];
	uint8_t public_key[32];
	enum rc rc;

	if (signer == NULL)
		return RC_NOMEM;
	signer->state.folder_fd = signer->state.lock_fd = -1;
	rc = key_file_read(key_path, "log", &signer->seed, diag);
	if (rc != RC_OK)
		goto out;
	rc = log_key_public(secret_key_bytes(signer->seed), public_key);
	if (rc == RC_OK)
		rc = tlog_vkey_make(origin, public_key, &signer->vkey);
	if (rc != RC_OK) {
		diag_set(diag, rc, "log origin: expected a name of at most %d bytes without spaces and plus signs",
			 TLOG_ORIGIN_CAP - 1);
		goto out;
	}
	if (state_path == NULL || state_path[0] == '\0') {
		if (snprintf(beside_key, sizeof beside_key, "%s.state", key_path) >= (int)sizeof beside_key) {
			rc = diag_set(diag, RC_INVALID, "%s: the path is too long", key_path);
			goto out;
		}
		state_path = beside_key;
	}
	rc = signer_state_init(&signer->state, state_path, origin, secret_key_bytes(signer->seed), diag);
	if (rc != RC_OK)
		goto out;
	*ret = signer;
	return RC_OK;
out:
	log_signer_close(signer);
	return rc;
}

/* ---- rotation ---- */

/* The new key, from the handover in the state. */
static enum rc open_next(struct log_signer *signer)
{
	struct signer_state *state = &signer->state;
	struct secret_key *seed = NULL;
	struct tlog_vkey vkey;
	struct seal *seal = NULL;
	uint8_t public_key[32];

	enum rc rc = seal_new(secret_key_bytes(signer->seed), &seal);
	if (rc == RC_OK)
		rc = seal_open_handover(seal, state->next.handover, &seed);
	if (rc == RC_OK)
		rc = log_key_public(secret_key_bytes(seed), public_key);
	if (rc == RC_OK)
		rc = tlog_vkey_make(signer->vkey.name, public_key, &vkey);
	if (rc == RC_OK)
		rc = signer_state_mac_key(state->origin, secret_key_bytes(seed), state->next.mac_key);
	seal_close(seal);
	if (rc != RC_OK) {
		secret_key_free(seed);
		return rc == RC_KEY ? RC_DAMAGED : rc;
	}
	signer->next_seed = seed;
	signer->next_vkey = vkey;
	atomic_store(&signer->has_next, true);
	return RC_OK;
}

enum rc log_key_hand_over(const struct secret_key *old, const uint8_t seed[32], uint8_t out[SEAL_HANDOVER_LEN])
{
	struct seal *seal = NULL;

	enum rc rc = seal_new(secret_key_bytes(old), &seal);
	if (rc == RC_OK)
		rc = seal_hand_over(seal, seed, out);
	seal_close(seal);
	return rc;
}

/* What the old key signs, as it stands in the state. */
static enum rc sign_next(struct log_signer *signer, const struct secret_key *next_seed)
{
	struct tlog_vkey next;
	struct buffer text;
	uint8_t public_key[32];

	buffer_init(&text);
	enum rc rc = log_key_public(secret_key_bytes(next_seed), public_key);
	if (rc == RC_OK)
		rc = tlog_vkey_make(signer->vkey.name, public_key, &next);
	if (rc == RC_OK)
		rc = log_rotation_text(&next, &text);
	if (rc == RC_OK)
		rc = log_key_sign(signer->seed, text.data, text.len, signer->state.next.old_signature);
	buffer_deinit(&text);
	memcpy(signer->state.next.old_public, signer->vkey.public_key, 32);
	return rc;
}

enum rc log_signer_take_over(struct log_signer *signer, const uint8_t handover[SEAL_HANDOVER_LEN])
{
	struct signer_state *state = &signer->state;
	struct secret_key *seed = NULL;
	struct seal *seal = NULL;

	if (state->has_next)
		return RC_CONFLICT;
	enum rc rc = seal_new(secret_key_bytes(signer->seed), &seal);
	if (rc == RC_OK)
		rc = seal_open_handover(seal, handover, &seed);
	seal_close(seal);
	if (rc == RC_OK)
		rc = sign_next(signer, seed);
	if (rc == RC_OK)
		rc = signer_state_mac_key(state->origin, secret_key_bytes(seed), state->next.mac_key);
	secret_key_free(seed);
	if (rc != RC_OK)
		return rc;
	memcpy(state->next.handover, handover, SEAL_HANDOVER_LEN);
	state->has_next = true;
	rc = signer_state_save(state, state->size, &state->root, false);
	if (rc == RC_OK)
		rc = open_next(signer);
	if (rc != RC_OK)
		state->has_next = false;
	return rc;
}

const struct tlog_vkey *log_signer_old_vkey(const struct log_signer *signer)
{
	if (atomic_load(&signer->has_next))
		return &signer->vkey;
	return signer->old_vkey.name[0] != '\0' ? &signer->old_vkey : NULL;
}

enum rc log_signer_statement(const struct log_signer *signer, struct buffer *out)
{
	const struct tlog_vkey *old = log_signer_old_vkey(signer), *now = log_signer_vkey(signer);
	uint8_t signature[64];
	size_t start = out->len;

	if (old == NULL)
		return RC_NOTFOUND;
	enum rc rc = log_rotation_text(now, out);
	if (rc == RC_OK)
		rc = log_key_sign(signer->next_seed != NULL ? signer->next_seed : signer->seed, out->data + start,
				  out->len - start, signature);
	if (rc == RC_OK) {
		buffer_append(out, "\n", 1);
		tlog_note_signature_line(old, signer->state.next.old_signature, out);
		tlog_note_signature_line(now, signature, out);
		rc = out->failed ? RC_NOMEM : RC_OK;
	}
	if (rc != RC_OK)
		out->len = start;
	return rc;
}

/* ---- opening ---- */

enum rc log_signer_open(const char *key_path, const char *state_path, const char *origin, struct log_signer **ret,
			struct diag *diag)
{
	struct log_signer *signer = NULL;

	enum rc rc = signer_new(key_path, state_path, origin, &signer, diag);
	if (rc != RC_OK)
		return rc;
	rc = signer_state_load(&signer->state);
	if (rc == RC_OK && signer->state.has_next)
		rc = open_next(signer);
	if (rc == RC_OK && signer->state.by_next)
		rc = tlog_vkey_make(origin, signer->state.next.old_public, &signer->old_vkey);
	if (rc == RC_OK) {
		*ret = signer;
		return RC_OK;
	}
	if (rc == RC_NOTFOUND)
		rc = diag_set(diag, RC_KEY,
			      "the log signer's state file '%s' is missing; signing without it could fork the "
			      "log. Make it with 'throughcare keys signer-state'",
			      signer->state.name);
	else
		diag_set(diag, rc, "the log signer's state file '%s' %s", signer->state.name,
			 rc == RC_DAMAGED ? "was changed, or belongs to another key or origin" : "cannot be read");
	log_signer_close(signer);
	return rc;
}

enum rc log_signer_create(const char *key_path, const char *state_path, const char *origin, const char *checkpoint,
			  size_t checkpoint_len, struct diag *diag)
{
	struct log_signer *signer = NULL;
	struct tlog_checkpoint c = {.size = 0, .root = tlog_empty_root()};

	enum rc rc = signer_new(key_path, state_path, origin, &signer, diag);
	if (rc != RC_OK)
		return rc;
	if (checkpoint != NULL) {
		rc = tlog_checkpoint_verify(checkpoint, checkpoint_len, &signer->vkey, &c);
		if (rc != RC_OK)
			diag_set(diag, rc, "the checkpoint is not signed by this key for this origin");
	}
	if (rc == RC_OK && (rc = signer_state_save(&signer->state, c.size, &c.root, true)) != RC_OK)
		diag_set(diag, rc, "the log signer's state file '%s' %s", signer->state.name,
			 rc == RC_CONFLICT ? "is there already and is not overwritten" : "cannot be written");
	log_signer_close(signer);
	return rc;
}

void log_signer_close(struct log_signer *signer)
{
	if (signer == NULL)
		return;
	signer_state_deinit(&signer->state);
	secret_key_free(signer->seed);
	secret_key_free(signer->next_seed);
	free(signer);
}

void log_signer_state(const struct log_signer *signer, uint64_t *ret_size, struct tlog_hash *ret_root)
{
	*ret_size = signer->state.size;
	*ret_root = signer->state.root;
}

const struct tlog_vkey *log_signer_vkey(const struct log_signer *signer)
{
	return atomic_load(&signer->has_next) ? &signer->next_vkey : &signer->vkey;
}

bool log_signer_is_locked(const struct log_signer *signer)
{
	return secret_key_is_locked(signer->seed) &&
	       (!atomic_load(&signer->has_next) || secret_key_is_locked(signer->next_seed));
}

/* The key object lives for one signature, so that OpenSSL's copy is cleansed at once. */
enum rc log_key_sign(const struct secret_key *seed, const void *text, size_t len, uint8_t ret[64])
{
	EVP_PKEY *key = key_from_seed(secret_key_bytes(seed));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = 64;
	enum rc rc = RC_CRYPTO;

	if (key != NULL && ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestSign(ctx, ret, &n, text, len) == 1 && n == 64)
		rc = RC_OK;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return rc;
}

enum rc log_signer_sign(struct log_signer *signer, uint64_t size, const struct tlog_hash *root,
			const struct tlog_proof *proof, struct buffer *out)
{
	struct signer_state *state = &signer->state;
	struct tlog_checkpoint c = {.size = size, .root = *root};
	uint8_t signature[64];
	size_t start = out->len;

	if (size < state->size || tlog_check_consistency(proof, state->size, &state->root, size, root) != RC_OK)
		return RC_FORK;
	if (size != state->size) {
		enum rc rc = signer_state_save(state, size, root, false);
		if (rc != RC_OK)
			return rc;
	}
	memcpy(c.origin, signer->vkey.name, sizeof c.origin);
	tlog_checkpoint_body(&c, out);
	if (out->failed)
		return RC_NOMEM;
	enum rc rc = log_key_sign(signer->seed, out->data + start, out->len - start, signature);
	size_t body_len = out->len - start;
	if (rc == RC_OK) {
		buffer_append(out, "\n", 1);
		tlog_note_signature_line(&signer->vkey, signature, out);
	}
	if (rc == RC_OK && signer->next_seed != NULL) {
		rc = out->failed ? RC_NOMEM
				 : log_key_sign(signer->next_seed, out->data + start, body_len, signature);
		tlog_note_signature_line(&signer->next_vkey, signature, out);
	}
	if (rc == RC_OK && out->failed)
		rc = RC_NOMEM;
	if (rc != RC_OK)
		out->len = start;
	return rc;
}

enum rc log_signer_wind_back(struct log_signer *signer, uint64_t size, const struct tlog_hash *root)
{
	if (size > signer->state.size)
		return RC_INVALID;
	return signer_state_save(&signer->state, size, root, false);
}
