/* A sealing key that lies wrapped under a key in a PKCS#11 token: a smart card, an HSM, a TPM behind tpm2-pkcs11.
 *
 * The token's key (AES, not extractable) never leaves it: the token opens the file with C_Decrypt (CKM_AES_GCM), and
 * gives back the 32 bytes of the sealing key, which then live in locked memory as any sealing key does. Whoever has the
 * disk, the wrapped file and the PIN, but not the token, has nothing.
 *
 * A key is named by a PKCS#11 URI (RFC 7512) with module-path and pin-source=file:PATH, whose file is private as a key
 * file is; a PIN in the URI itself is refused. The module is called
 * from a process of its own, which has ended when seal_key_read returns: nothing of it is ever in the daemon. Call it
 * before threads are started. */
#ifndef KEYS_TOKEN_H
#define KEYS_TOKEN_H

#include <stdint.h>

#include "keys/key_file.h"
#include "proto/rc.h"

/* Read the sealing key of a file: a key file, or (with a `uri` that is not NULL or "") a wrapped one. With a URI, a plain
 * key file is refused unless `may_be_plain`. Errors: KEY (missing, unsafe, not of the token), CONFIG (the URI; or this
 * build has no PKCS#11), IO. */
enum rc seal_key_read(const char *path, const char *uri, bool may_be_plain, struct secret_key **ret,
		      struct diag *diag) MUST_CHECK;
/* Write one, wrapped under the token's key; "" or NULL: a plain key file. Never overwrites. Errors: also CONFLICT. */
enum rc seal_key_write(const char *path, const char *uri, const uint8_t key[32], struct diag *diag) MUST_CHECK;

#endif
