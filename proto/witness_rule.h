/* How many of whose witnesses must have cosigned the log before a release may be read: part of a study, and of the
 * log's `study` entry, so that the daemon and an auditor who has nothing but the log apply the same rule. */
#ifndef PROTO_WITNESS_RULE_H
#define PROTO_WITNESS_RULE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"
#include "proto/tlog.h"

enum {
	WITNESS_MAX = 16,
	/* How long other witnesses must have been named in the log before what waits for those before them may go by
	 * them: long enough for whoever reads the log, and for those who were replaced, to object. */
	WITNESS_CHANGE_S = 30 * 86400,
};

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
/* Are enough cosignatures under `rule` always enough under `other`, too: is no release that satisfies the one readable
 * before it satisfies the other? */
bool witness_rule_covers(const struct witness_rule *rule, const struct witness_rule *other);
/* How many of these witnesses have cosigned the note. Errors: DIGEST (a cosignature of one of them is wrong),
 * MALFORMED. */
enum rc witness_rule_count(const struct witness_rule *rule, const char *note, size_t len, unsigned *ret) MUST_CHECK;

/* The rules of a log's studies, one after the other. What a release waits for is the rule that was in force when it was
 * published, whatever a later study says; so witnesses cannot be swapped for others to read it sooner. Where they are
 * gone for good, those whom a later study names stand in for them, once the log has said so for WITNESS_CHANGE_S. */
struct witness_history {
	struct witness_rule *rules; /* of each study that asks for witnesses */
	size_t n;
	size_t in_force; /* number of one: 0 = no rule, i = rules[i - 1] */
	int64_t since;   /* the time from which on the same witnesses have been named as are now */
};
void witness_history_deinit(struct witness_history *history);
/* A study came into force at this time, and says this (NULL = nothing). Errors: INVALID, NOMEM. */
enum rc witness_history_add(struct witness_history *history, const json_t *json, int64_t unix_time) MUST_CHECK;
/* The rule of that number; it is good until the next study. */
const struct witness_rule *witness_history_get(const struct witness_history *history, size_t number);
/* The witnesses who may stand in at this time for those of rule `number`, as many as that asks for; NULL = nobody. */
const struct witness_rule *witness_history_stand_in(const struct witness_history *history, size_t number,
						    int64_t unix_time);
/* May a release that is made now, under the rule in force, carry what one carries that waits under rule `number`? */
bool witness_history_may_carry(const struct witness_history *history, size_t number, int64_t unix_time);

#endif
