/* Canonical JSON: UTF-8, no white space, object keys in code-point order, integers only (no fraction, no exponent),
 * shortest escapes. A subset of RFC 8785 in which no number needs a floating-point rule. Digests are taken over it. */
#ifndef PROTO_JSON_H
#define PROTO_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"

/* Append the canonical form. Reals are refused. Errors: INVALID, NOMEM. */
enum rc json_canonical(const json_t *value, struct buffer *out) MUST_CHECK;
/* SHA-256 of label, NUL, canonical form. */
enum rc json_digest(const char *label, const json_t *value, uint8_t out[32]) MUST_CHECK;
/* A copy of an object with its members shared; NULL = no memory. jansson's own json_copy leaves out, without a word, the
 * members that it has no memory for. */
json_t *json_copy_object(const json_t *object);
/* Parse hostile text: depth ≤ 32, no duplicate keys, whole input used. Errors: MALFORMED with line and column,
 * NOMEM. */
enum rc json_parse_strict(const char *text, size_t len, json_t **ret, struct diag *diag) MUST_CHECK;

#endif
