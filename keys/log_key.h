/* The log's signer. It keeps (size, root) of the last checkpoint it signed in a file outside the store, and refuses to
 * sign what does not extend it (FORK): a restored backup can neither fork the log nor refund the ledger. */
#ifndef KEYS_LOG_KEY_H
#define KEYS_LOG_KEY_H

#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/tlog.h"

struct log_signer;
/* `key_path`: the key file (kind "log"); `state_path`: its (size, root) file, made when absent. `origin` is the
 * checkpoint origin and key name. Errors: KEY, IO, DAMAGED (state file). */
enum rc log_signer_open(const char *key_path, const char *state_path, const char *origin, struct log_signer **ret,
                        struct diag *diag) MUST_CHECK;
void log_signer_close(struct log_signer *signer);

void log_signer_state(const struct log_signer *signer, uint64_t *ret_size, struct tlog_hash *ret_root);
const struct tlog_vkey *log_signer_vkey(const struct log_signer *signer);

/* Sign the checkpoint of (size, root). `proof` shows that it extends the signer's state; it is checked here, and
 * the new state is durable before the signature is given out. Appends the signed note to `out`.
 * Signing the very same (size, root) again is allowed. Errors: FORK, IO, CRYPTO. */
enum rc log_signer_sign(struct log_signer *signer, uint64_t size, const struct tlog_hash *root,
                        const struct tlog_proof *proof, struct buffer *out) MUST_CHECK;

/* Ed25519 key pair from a 32-byte seed: the public half. */
enum rc log_key_public(const uint8_t seed[32], uint8_t ret_public[32]) MUST_CHECK;

#endif
