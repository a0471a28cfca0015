/* Erasing records from the chunks that hold them, for a withdrawal or because the study's retention is over.
 *
 * Chunks that hold one are sealed again without it under a new key, and the old key is destroyed, so that no page and no
 * free space of the store gives the record back. Many chunks are done in several slices, each with an entry that tells
 * what it did; what a crash interrupts is on record in the store, and is finished without being asked for again. */
#ifndef DAEMON_CORE_ERASE_H
#define DAEMON_CORE_ERASE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/core/state.h"
#include "daemon/core/tombstones.h"
#include "proto/rc.h"

enum { ERASE_NOTE_LEN = 8 };

struct erase_place {
	uint64_t sequence;
	uint32_t chunk;
};

struct erasure {
	struct core *core;
	const char *source;               /* borrowed */
	const struct study_domain *domain;
	int domain_index;
	struct entry_who who;             /* empty: the daemon itself */
	/* What goes: records with these ids (ascending, each once), which may not come again; or, without ids, those whose
	 * event is before a day. */
	uint8_t (*ids)[RECORD_ID_LEN];
	size_t n_ids;
	int32_t before;
	bool is_retention;
	/* Instead of ids, whose records these are the tombstones of, ascending; borrowed. Only before requests are
	 * served: the tombstones are put last, so that a crash leaves it all to do again. */
	const struct tombstone *tombstones;
	size_t n_tombstones;

	uint64_t n_removed, log_index;    /* what was done */

	/* Its own. */
	struct erase_place *places;
	size_t n_places, cap_places;
	uint64_t scanned;                 /* batches looked through */
	bool resumed;                     /* begun before a crash: ids are logged and kept out already */
	uint8_t note[ERASE_NOTE_LEN];     /* names the note of what is still to do */
};

/* `source` is one of the study's. Errors: SOURCE. */
enum rc erasure_init(struct erasure *erasure, struct core *core, const char *source) MUST_CHECK;
void erasure_deinit(struct erasure *erasure); /* frees ids and places */
/* Returns when the records are gone and their keys destroyed. Not from the writer thread. Errors: BUSY (the source keeps
 * sending), STOPPING, NOSPACE, … */
enum rc erase_run(struct erasure *erasure) MUST_CHECK;
int erase_compare_ids(const void *a, const void *b); /* the order of `ids` */
/* What a crash interrupted: the notes that are there before requests are served; a note that comes later is of a
 * withdrawal that is running. `notes` are the caller's to free. */
struct erase_notes {
	uint8_t (*ids)[ERASE_NOTE_LEN];
	size_t n;
};
enum rc erase_find_interrupted(struct core *core, struct erase_notes *notes) MUST_CHECK;
/* Finish those of them that are there still. */
enum rc erase_finish_interrupted(struct core *core, const struct erase_notes *notes) MUST_CHECK;

#endif
