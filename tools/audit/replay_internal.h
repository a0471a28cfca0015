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

/* Other fields; false where they are not of that form. */
bool replay_get_text(const json_t *object, const char *key, char *out, size_t cap);
bool replay_get_digest(const json_t *object, const char *key, uint8_t ret[32]);
bool replay_get_hex(const json_t *object, const char *key, char out[65]);

/* Entries of each kind. Errors: PROTOCOL, NOMEM. */
enum rc replay_take_batch(struct replay *replay, const json_t *fields, struct diag *diag) MUST_CHECK;
enum rc replay_take_withdrawal(struct replay *replay, const json_t *fields, struct diag *diag) MUST_CHECK;
enum rc replay_take_purge(struct replay *replay, const json_t *fields, struct diag *diag) MUST_CHECK;
enum rc replay_take_started(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag) MUST_CHECK;
enum rc replay_take_release(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag) MUST_CHECK;
enum rc replay_take_query(struct replay *replay, const json_t *fields, struct diag *diag) MUST_CHECK;
enum rc replay_take_restore(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag) MUST_CHECK;

/* Find a batch that was logged twice. Errors: PROTOCOL. */
enum rc replay_sort_batches(struct replay *replay, struct diag *diag) MUST_CHECK;
/* Is the cut of a release of exactly the batches so far? Fills in what it counts. Errors: PROTOCOL. */
enum rc replay_check_cut(struct replay *replay, const json_t *cut, struct replay_release *r,
			 struct diag *diag) MUST_CHECK;
/* How many sources sent a batch since the last cut. */
size_t replay_count_new_sources(const struct replay *replay);

/* A release carries those before it: does the study in force ask for all that any of them waits for? */
enum rc replay_check_waiting(const struct replay *replay, int64_t time, struct diag *diag) MUST_CHECK;
enum rc replay_take_witnessed(struct replay *replay, int64_t time, const json_t *fields, struct diag *diag) MUST_CHECK;
/* Are the log's witnesses those of the study? */
bool replay_has_witnesses_of(const struct replay *replay, const struct study *study);

#endif
