/* How many of whose witnesses must have cosigned the log before a release may be read: part of a study, and of the
 * log's `study` entry, so that the daemon and an auditor who has nothing but the log apply the same rule. */
#ifndef PROTO_WITNESS_RULE_H
#define PROTO_WITNESS_RULE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"
#include "proto/tlog.h"

enum { WITNESS_MAX = 16 };

struct witness_rule {
	uint8_t needed; /* 0 = no rule */
	uint8_t n;
	struct tlog_vkey keys[WITNESS_MAX]; /* each name once */
};

/* Add the verifier key of a witness. Errors: INVALID (no such key; a name that is there), TOO_LARGE. */
enum rc witness_rule_add(struct witness_rule *rule, const char *vkey) MUST_CHECK;
/* {"needed": n, "keys": [text, …]}; a new reference, NULL without memory. */
json_t *witness_rule_json(const struct witness_rule *rule);
/* The same back; `json` NULL is no rule. Errors: INVALID. */
enum rc witness_rule_parse(const json_t *json, struct witness_rule *ret) MUST_CHECK;
/* How many of these witnesses have cosigned the note. Errors: DIGEST (a cosignature of one of them is wrong),
 * MALFORMED. */
enum rc witness_rule_count(const struct witness_rule *rule, const char *note, size_t len, unsigned *ret) MUST_CHECK;

#endif
