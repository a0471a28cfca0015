/* The linkage secret: 32 random bytes shared among custodians only. Never linked into the daemon. */
#ifndef KEYS_LINKAGE_SECRET_H
#define KEYS_LINKAGE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

enum { LINKAGE_SECRET_LEN = 32, LINKAGE_KEY_CHECK_LEN = 16 };

/* Key-check value: HKDF-SHA256 of the secret with label "throughcare key check v1" and the domain's name as salt. It
 * is pinned in the study. */
enum rc linkage_key_check(const uint8_t *secret, size_t len, const char *domain,
			  uint8_t ret[LINKAGE_KEY_CHECK_LEN]) MUST_CHECK;

/* The key check is an offline oracle for weak secrets, so short or worn ones are refused (KEY, reason in diag):
 * not 32 bytes, few distinct byte values, all printable text. */
enum rc linkage_secret_check(const uint8_t *secret, size_t len, struct diag *diag) MUST_CHECK;

#endif
