/* Wrapping under a token's key; token.h has what for. Internal to keys/. */
#ifndef KEYS_TOKEN_INTERNAL_H
#define KEYS_TOKEN_INTERNAL_H

#include "keys/token.h"

enum { TOKEN_NONCE_LEN = 12, TOKEN_TAG_LEN = 16, TOKEN_WRAPPED_LEN = TOKEN_NONCE_LEN + 32 + TOKEN_TAG_LEN };

enum rc token_wrap(const char *uri, const uint8_t key[32], uint8_t ret[TOKEN_WRAPPED_LEN],
		   struct diag *diag) MUST_CHECK;
/* A module that has not answered after `timeout_ms` is ended with its process. */
enum { TOKEN_TIMEOUT_MS = 60 * 1000 };
enum rc token_unwrap(const char *uri, const uint8_t wrapped[TOKEN_WRAPPED_LEN], unsigned timeout_ms,
		     struct secret_key **ret, struct diag *diag) MUST_CHECK;

#endif
