/* Inside the replay of the log's rules: shared by tools/audit/replay*.c and by nothing else. */
#ifndef TOOLS_AUDIT_REPLAY_INTERNAL_H
#define TOOLS_AUDIT_REPLAY_INTERNAL_H

#include <jansson.h>

#include "tools/audit/replay.h"

#define BREACH(replay, diag, ...) replay_breach((replay)->n_entries, diag, __VA_ARGS__)

/* Say which entry breaks which rule; returns RC_PROTOCOL. */
enum rc replay_breach(uint64_t index, struct diag *diag, const char *rule);
/* A field that is a whole number, not negative; false where it is none. */
bool replay_get_count(const json_t *object, const char *key, uint64_t *ret);

/* A release carries those before it: does the study in force ask for all that any of them waits for? */
enum rc replay_check_waiting(const struct replay *replay, int64_t time, struct diag *diag) MUST_CHECK;
enum rc replay_take_witnessed(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag) MUST_CHECK;
/* Are the log's witnesses those of the study? */
bool replay_has_witnesses_of(const struct replay *replay, const struct study *study);

#endif
