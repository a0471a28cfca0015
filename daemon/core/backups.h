/* Backups of a running unit: one at a time, on a thread of their own, into conf.backup_directory.
 *
 * Order: a moment of the store is held (no release may be unfinished in it, since the secret of one is in no backup) →
 * the file is written → it is restored into a scratch folder, every value and chunk of that store is opened and the root
 * of its log compared → the log has its entry → the file gets its name → old ones are removed. */
#ifndef DAEMON_CORE_BACKUPS_H
#define DAEMON_CORE_BACKUPS_H

#include <stdint.h>

#include "daemon/core/state.h"
#include "proto/rc.h"
#include "proto/tlog.h"

/* What a backup says of itself. */
struct backup_facts {
	int64_t made_at;
	uint64_t log_size;
	struct tlog_hash log_root;
};
enum { BACKUP_FACTS_LEN = 8 + 8 + TLOG_HASH_LEN };
void backup_facts_encode(const struct backup_facts *facts, uint8_t out[BACKUP_FACTS_LEN]);
enum rc backup_facts_decode(const void *data, size_t len, struct backup_facts *ret) MUST_CHECK;   /* MALFORMED */

/* Is the store in `directory` the one that the facts say, with everything in it readable? *stop may be NULL.
 * Errors: DAMAGED with the reason in diag, STOPPING, or what opening a store returns. */
enum rc backup_check(const char *directory, uint64_t map_bytes, struct seal *seal,
                     const struct backup_facts *facts, const atomic_bool *stop, struct diag *diag) MUST_CHECK;

/* Make the folders of conf.backup_directory, before the process is confined to them, and remove what a run that was
 * killed left there; nothing where it has none.
 * Errors: CONFIG. */
enum rc backups_prepare(const struct conf *conf, struct diag *diag) MUST_CHECK;
/* Errors: NOMEM. */
enum rc backups_new(struct core *core, struct backups **ret) MUST_CHECK;
/* End one that is running, and wait; none can be started after. NULL is a no-op. */
void backups_stop(struct backups *backups);
void backups_free(struct backups *backups);

enum backup_state { BACKUP_NONE, BACKUP_RUNNING, BACKUP_DONE, BACKUP_FAILED };   /* since the start */
#define BACKUP_NAME_CAP 64
struct backups_status {
	enum backup_state state;
	char name[BACKUP_NAME_CAP];       /* of the file that the state is about */
	enum rc error;
	struct diag why;                  /* of a failure */
};
void backups_status(struct backups *backups, struct backups_status *ret);
const char *backup_state_name(enum backup_state state);

#endif
