/* Splitting a linkage secret into printed shares: any `needed` of `n` give it back, fewer say nothing about it.
 *
 * Shamir, "How to share a secret", 1979, byte by byte over GF(2^8) with the polynomial of AES. A share is one line:
 * "throughcare-share-v1:NEEDED:NUMBER:SET:64 hex digits:CHECK", SET 8 random hex digits that all shares of one split
 * have, CHECK the first 8 hex digits of a SHA-256 over all before it, which finds typing errors. */
#ifndef KEYS_SECRET_SHARES_H
#define KEYS_SECRET_SHARES_H

#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

enum { SHARE_SECRET_LEN = 32, SHARE_SET_LEN = 4, SHARE_MAX = 16, SHARE_TEXT_CAP = 128 };

struct secret_share {
	uint8_t needed, number; /* 2 ≤ needed ≤ SHARE_MAX, 1 ≤ number ≤ SHARE_MAX */
	uint8_t set[SHARE_SET_LEN];
	uint8_t value[SHARE_SECRET_LEN];
};

/* Shares 1 … n. Errors: INVALID (not 2 ≤ needed ≤ n ≤ SHARE_MAX), CRYPTO. */
enum rc secret_split(const uint8_t secret[SHARE_SECRET_LEN], uint8_t needed, uint8_t n,
                     struct secret_share *ret) MUST_CHECK;
/* Errors: INVALID (too few, or of different splits; reason in diag), CONFLICT (a number twice). That the result is the
 * secret is for its key check to say. */
enum rc secret_join(const struct secret_share *shares, size_t n, uint8_t ret[SHARE_SECRET_LEN],
                    struct diag *diag) MUST_CHECK;

void secret_share_format(const struct secret_share *share, char out[SHARE_TEXT_CAP]);
/* The first line of `text` that begins as a share does; white space in it and case are nothing. Errors: MALFORMED,
 * DIGEST (mistyped). */
enum rc secret_share_parse(const char *text, size_t len, struct secret_share *ret) MUST_CHECK;

#endif
