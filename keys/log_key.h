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

#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/tlog.h"

struct log_signer;
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
const struct tlog_vkey *log_signer_vkey(const struct log_signer *signer);
/* False when the key could not be locked in memory. */
bool log_signer_is_locked(const struct log_signer *signer);

/* Sign the checkpoint of (size, root). `proof` shows that it extends the signer's state; it is checked here, and
 * the new state is durable before the signature is given out. Appends the signed note to `out`; on failure `out` is as
 * before. Signing the very same (size, root) again is allowed, with an empty proof. Not thread-safe.
 * Errors: FORK, IO, NOSPACE, CRYPTO, NOMEM. */
enum rc log_signer_sign(struct log_signer *signer, uint64_t size, const struct tlog_hash *root,
			const struct tlog_proof *proof, struct buffer *out) MUST_CHECK;

/* Ed25519 signature of any text under such a seed, for keys that are not a log's: a witness's. Errors: CRYPTO. */
struct secret_key;
enum rc log_key_sign(const struct secret_key *seed, const void *text, size_t len, uint8_t ret[64]) MUST_CHECK;
/* Ed25519 key pair from a 32-byte seed: the public half. */
enum rc log_key_public(const uint8_t seed[32], uint8_t ret_public[32]) MUST_CHECK;

#endif
