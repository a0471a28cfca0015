/* Replaying the audit log's rules over its entries, in order: what the linkage unit promised, checked from its own log.
 * Pure: no I/O. Every breach is named with the index of its entry.
 *
 * Rules: time never runs backwards; entries are canonical and complete for their kind; a batch of a source is logged
 * once; a release is started before it is published, one at a time, numbered upwards, under a study that was logged;
 * its cut is exactly the batches logged so far (count, records and digest); its date does not go back and is not in the
 * future; its charge adds up and stays within that study's limit; a query names a release that was published before; a
 * source withdraws no more records than it sent; a restore tells of no fewer releases and charges than were logged; where
 * the study asks for witnesses, a release is read only after an entry that shows that enough of them cosigned a checkpoint
 * of this log with the release in it (those of the study under which it was published, or others only after a month), and
 * no release could be read before one that it carries, and that still waits. With a study: interval, minimum of new records and of sources. */
#ifndef TOOLS_AUDIT_REPLAY_H
#define TOOLS_AUDIT_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/entry.h"
#include "proto/rc.h"
#include "proto/study.h"
#include "tools/audit/roots.h"

struct replay_release {
	uint64_t number, started_index, released_index;
	int64_t started_at, released_at;
	char as_of[11];
	uint64_t cut_batches, cut_records;
	uint64_t rho_micro, rho_total_micro, rho_limit_micro;
	char study_digest[65];
	uint8_t digest[32]; /* of the body; once released */
	json_t *disclosure; /* owned: what its entry says of how figures are protected; NULL = nothing */
	bool released, synthetic;
	bool lost; /* by a restore: known by its number and, all lost ones together, by its charge */
	size_t witness_rule; /* of the study in force when it was published: a number of replay.witnesses */
	bool witnessed;
};

/* The store was restored from a backup: entries that had been signed are gone. */
struct replay_restore {
	uint64_t index; /* of its entry */
	int64_t at;
	uint64_t entries, signed_entries; /* kept; signed before */
	uint64_t n_lost_releases;
};

struct replay_source {
	char name[STUDY_NAME_CAP];
	uint64_t n_batches, n_records;
	uint64_t n_batches_at_cut; /* of the last release */
	uint64_t n_withdrawn;      /* of n_records */
};

struct replay_batch {
	char source[STUDY_NAME_CAP];
	uint8_t id[32];
};

enum { REPLAY_MAX_SOURCES = 4 * STUDY_MAX_SOURCES };

struct replay {
	const struct study *study; /* borrowed; NULL = its rules are not checked */
	uint64_t n_entries;
	uint64_t n_of_kind[ENTRY_KIND_COUNT];
	int64_t first_time, last_time;
	uint64_t n_records;
	struct replay_source sources[REPLAY_MAX_SOURCES];
	size_t n_sources;
	struct replay_batch *batches; /* the first n_sorted ascending by (source, id) */
	size_t n_batches, n_sorted, batches_cap;
	struct replay_release *releases; /* releases[i].number = i + 1 */
	size_t n_releases;
	struct replay_restore *restores;
	size_t n_restores;
	char study_digest[65]; /* of the study in force; "" = none logged yet */
	uint64_t study_limit_micro;
	bool study_synthetic;
	char version[32]; /* of the daemon that runs; "" = it has said none */
	size_t n_log_keys; /* that have signed it, one after the other */
	struct witness_history witnesses; /* of the studies so far */
	struct roots roots;            /* kept while a release waits for witnesses */
	char old_log_key[TLOG_VKEY_CAP]; /* the one before, "" = none */
	char log_key[TLOG_VKEY_CAP]; /* what the log says its key is; "" = nothing yet */
};

/* May it be read: is it published, and has a `witnessed` entry shown the cosignatures that it needs? */
bool replay_is_readable(const struct replay *replay, const struct replay_release *release);
/* How many witnesses must have cosigned the log with it first; 0 = none. */
unsigned replay_witnesses_needed(const struct replay *replay, const struct replay_release *release);

void replay_init(struct replay *replay, const struct study *study);
void replay_deinit(struct replay *replay);
/* Take the next entry. Errors: PROTOCOL (a rule is broken; diag says entry and rule), NOMEM. */
enum rc replay_entry(struct replay *replay, const void *text, size_t len, struct diag *diag) MUST_CHECK;
/* After the last entry: what can be said only then. Errors: PROTOCOL. */
enum rc replay_end(struct replay *replay, struct diag *diag) MUST_CHECK;
/* A release's body against its entries: digest, number, dates, charge, study. Errors: PROTOCOL, NOMEM. */
enum rc replay_check_body(const struct replay_release *release, const void *body, size_t len,
			  struct diag *diag) MUST_CHECK;

#endif
