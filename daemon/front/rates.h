/* How many requests a minute each certificate may still make. One bucket a certificate, by its fingerprint, however
 * many connections it has: it holds a minute's worth and fills evenly. A bucket that is full again is forgotten, so
 * memory goes by the certificates that asked within the last minute. */
#ifndef DAEMON_FRONT_RATES_H
#define DAEMON_FRONT_RATES_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/rc.h"

struct rates;

/* Errors: NOMEM. */
enum rc rates_new(struct rates **ret) MUST_CHECK;
void rates_free(struct rates *rates);
/* Take one request of `per_minute` (not 0) at `now_ms`. Errors: RATE (*ret_wait_s is when the next one may come), NOMEM
 * (more certificates than there is room for). */
enum rc rates_take(struct rates *rates, const uint8_t fingerprint[32], uint32_t per_minute, int64_t now_ms,
		   unsigned *ret_wait_s) MUST_CHECK;

#endif
