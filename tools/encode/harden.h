/* Hardening of one filter: keyed diffusion, balancing, and what becomes of a composite filter that lost its parts.
 * Constant after hardening_new(); shared by all workers. docs/encoding.md has the exact construction. */
#ifndef TOOLS_ENCODE_HARDEN_H
#define TOOLS_ENCODE_HARDEN_H

#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"
#include "proto/study.h"

enum { HARDENING_PAD_TOKENS = 8, HARDENING_PAD_LEN = 32 };

struct hardening;
/* NULL where the filter asks for none. Errors: INVALID (diffusion wider than the filter, empty secret), CRYPTO, NOMEM.
 */
enum rc hardening_new(const struct study_filter *filter, const uint8_t *secret, size_t len,
		      struct hardening **ret) MUST_CHECK;
void hardening_free(struct hardening *hardening); /* wipes; NULL is a no-op */

enum hardening_act { ACT_ENCODE, ACT_PAD, ACT_MISSING };
/* What to do with a filter of which the groups in `present` have something to encode. Padding needs a second group
 * somewhere in the record (`n_groups` of all filters): alone, one value would always be padded the same. */
enum hardening_act hardening_act(const struct hardening *hardening, uint32_t present, unsigned n_groups);

/* From the folded filter to what is sent. `in` is used up; `scratch` has the length of the filter before hardening. */
void hardening_apply(const struct hardening *hardening, uint8_t *in, uint8_t *scratch, uint8_t *out);

/* Padding token i of a group: HMAC-SHA256 under the filter's padding key of the record's digest, the group and i, a
 * byte each. The digest is the SHA-256 of the bits before folding of every feature of every filter, one after the
 * other. Errors: CRYPTO. */
enum rc hardening_pad_token(const struct hardening *hardening, const uint8_t record[32], uint8_t group, uint8_t i,
			    uint8_t ret[HARDENING_PAD_LEN]) MUST_CHECK;

#endif
