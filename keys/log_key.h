/* The log's signer. It keeps (size, root) of the last checkpoint it signed in a file outside the store, and refuses to
 * sign what does not extend it (FORK): a restored backup can neither fork the log nor refund the ledger.
 *
 * The state file bears a MAC under a key derived from the log key, and is replaced atomically (temporary file, fsync,
 * rename, fsync of the folder) before a signature is given out. It is made with the key, by an operator's command
 * (log_signer_create), and never by opening: a state file that is missing where a log exists is how a fork would look,
 * so log_signer_open refuses (KEY). After a disk is lost, an operator makes it anew from the last checkpoint that
 * anybody holds (log_signer_create with a checkpoint). What a MAC cannot show is an older state file put back together
 * with an older store by somebody with the host's disk: auditors who keep the last checkpoint they saw find that. */
#ifndef KEYS_LOG_KEY_H
#define KEYS_LOG_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "keys/seal.h"
#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/tlog.h"

struct log_signer;
struct secret_key;
/* `key_path`: the key file (kind "log"); `state_path`: its (size, root) file, or "" for the key's path + ".state".
 * `origin` is the checkpoint origin and key name. One process at a time (a lock on state_path + ".lock").
 * Errors: KEY (key unsafe; state file missing), CONFLICT (another process signs), DAMAGED (state file), IO, INVALID. */
enum rc log_signer_open(const char *key_path, const char *state_path, const char *origin, struct log_signer **ret,
			struct diag *diag) MUST_CHECK;
void log_signer_close(struct log_signer *signer);

/* Make the state file: of an empty log, or of `checkpoint` when not NULL (a note signed by this very key, which the
 * log must then reach and extend). Never overwrites. Errors: CONFLICT (there already), KEY, DIGEST, MALFORMED, IO. */
enum rc log_signer_create(const char *key_path, const char *state_path, const char *origin, const char *checkpoint,
			  size_t checkpoint_len, struct diag *diag) MUST_CHECK;

/* What was signed last; size 0 when nothing was. The caller compares it with its log before it serves: a log that is
 * shorter, or has another root at that size, is a rolled-back store (FORK). */
void log_signer_state(const struct log_signer *signer, uint64_t *ret_size, struct tlog_hash *ret_root);
const struct tlog_vkey *log_signer_vkey(const struct log_signer *signer); /* any thread; the newest key */
/* False when the key could not be locked in memory. */
bool log_signer_is_locked(const struct log_signer *signer);

/* Sign the checkpoint of (size, root). `proof` shows that it extends the signer's state; it is checked here, and
 * the new state is durable before the signature is given out. Appends the signed note to `out`; on failure `out` is as
 * before. Signing the very same (size, root) again is allowed, with an empty proof. Not thread-safe.
 * Errors: FORK, IO, NOSPACE, CRYPTO, NOMEM. */
enum rc log_signer_sign(struct log_signer *signer, uint64_t size, const struct tlog_hash *root,
			const struct tlog_proof *proof, struct buffer *out) MUST_CHECK;

/* Go back to (size, root), for good: the log lost entries that were signed, and the operator has decided to go on without
 * them. The last of the entries that are kept must tell of it, since nothing else will; the same size with another root is
 * one signed entry that it takes the place of. Errors: INVALID (more than was signed), IO, NOSPACE. */
enum rc log_signer_wind_back(struct log_signer *signer, uint64_t size, const struct tlog_hash *root) MUST_CHECK;

/* ---- rotation of the key ----
 *
 * The new key reaches the signer sealed under the old one (keys/seal.h, with the old seed as the key). From then on every
 * checkpoint bears both signatures, and the state file opens with either key. The first opening with the new key alone
 * ends that: the old one signs nothing more. */
#define LOG_HANDOVER_PREFIX "throughcare-log-handover-v1:"
/* `seed`, sealed under the log key `old`. Errors: CONFLICT (draw another), CRYPTO, NOMEM. */
enum rc log_key_hand_over(const struct secret_key *old, const uint8_t seed[32],
			  uint8_t out[SEAL_HANDOVER_LEN]) MUST_CHECK;
/* Take up the key of a handover; the state is durable when it returns RC_OK, and log_signer_vkey is the new key's. For
 * the thread that signs. Errors: CONFLICT (a rotation is under way), KEY (made with another key), IO, NOSPACE. */
enum rc log_signer_take_over(struct log_signer *signer, const uint8_t handover[SEAL_HANDOVER_LEN]) MUST_CHECK;
/* The key that the present one follows, while the signer knows it; NULL = none. */
const struct tlog_vkey *log_signer_old_vkey(const struct log_signer *signer);
/* Append the old key's statement that the present one follows it (proto/log_rotation.h). Errors: NOTFOUND. */
enum rc log_signer_statement(const struct log_signer *signer, struct buffer *out) MUST_CHECK;

/* Ed25519 signature of any text under such a seed, for keys that are not a log's: a witness's. Errors: CRYPTO. */
enum rc log_key_sign(const struct secret_key *seed, const void *text, size_t len, uint8_t ret[64]) MUST_CHECK;
/* Ed25519 key pair from a 32-byte seed: the public half. */
enum rc log_key_public(const uint8_t seed[32], uint8_t ret_public[32]) MUST_CHECK;

#endif
