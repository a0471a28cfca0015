/* What the log says has happened: releases, the ledger of ρ, the study and keys in use. The log is the truth; this is
 * its summary in memory, rebuilt at every start, and kept up by the writer thread. Not locked: its owner does that. */
#ifndef DAEMON_CORE_HISTORY_H
#define DAEMON_CORE_HISTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/core/certificates.h"
#include "proto/entry.h"
#include "proto/rc.h"
#include "proto/witness_rule.h"

enum { CLOCK_MAX_GAP_S = 35 * 86400 };

struct release_info {
	uint32_t number;                  /* from 1, without a gap */
	uint64_t started_index;
	int64_t started_at;
	int32_t as_of;
	uint64_t cut_batches, cut_records;
	uint8_t cut_digest[32], commitment[32];
	uint8_t study_digest[32];         /* that it was started, and charged, under */
	uint64_t rho_micro;
	bool released;                    /* its `release` entry is there, or was */
	bool lost;                        /* by a restore: it is counted and charged, its body is gone */
	uint64_t released_index;          /* of that entry */
	size_t witness_rule;              /* of the study that was then in force: a number of history.witnesses */
	bool witnessed;                   /* its `witnessed` entry is there */
	uint8_t digest[32];               /* of the body, once released */
};

/* A log key followed another: the entry that says so, and the old key's statement in it. */
struct log_succession {
	uint64_t index;
	char *note; /* owned */
};

struct history {
	struct release_info *releases;
	uint32_t n_releases;
	uint64_t rho_total_micro;
	uint64_t n_batches, n_records;    /* by the batch entries */
	uint64_t n_withdrawn;             /* of those records: erased, by withdrawal or retention */
	int64_t last_backup_at;           /* 0 = none yet */
	/* The newest time that is believed: of the last entry to which no gap leads that is longer than CLOCK_MAX_GAP_S. What
	 * a wrong clock dated is not, however often the daemon was started with it. May be set before the first entry. */
	int64_t clock_known;
	uint8_t study_digest[32];         /* zero = none yet */
	bool has_real_study;              /* some study so far did not say synthetic */
	struct witness_history witnesses; /* of the studies so far */
	json_t *options;                  /* of the last `start` entry; NULL = it has none */
	uint8_t access_digest[32];        /* of the access file in force; zero = never one */
	struct certificates certificates; /* rules of that file, and revoked certificates */
	json_t *authorities;              /* digests of the clients' authorities in force; NULL = none yet */
	char log_key[256];                /* the last that the log names; "" = none yet */
	char server_certificate[65];      /* SHA-256 of the server's, in hex; "" = none yet */
	struct log_succession *successions; /* of log keys, in order */
	size_t n_successions;
};

void history_init(struct history *history);
void history_deinit(struct history *history);
/* Take in one entry. Errors: DAMAGED (entries contradict each other), NOMEM. */
enum rc history_replay(struct history *history, uint64_t index, enum entry_kind kind, int64_t unix_time,
                       const json_t *fields);
/* The same of its text, which is parsed only where the summary needs what it says: an audit_log_replay. */
enum rc history_replay_text(void *ctx, uint64_t index, enum entry_kind kind, int64_t unix_time, const char *text,
                            size_t len);

/* Record what was just logged. Errors: NOMEM. */
enum rc history_add_release(struct history *history, const struct release_info *info) MUST_CHECK;

/* Copies the strings. Errors: NOMEM, DAMAGED (too long). */
enum rc history_add_succession(struct history *history, uint64_t index, const char *note,
			       const char *new_vkey) MUST_CHECK;

/* The last one, NULL = none. */
const struct release_info *history_last(const struct history *history);
/* The last release that was published, NULL = none. */
const struct release_info *history_last_released(const struct history *history);
/* Number of the last release below `number` whose body is there, readable or waiting, 0 = none. */
uint32_t history_readable_before(const struct history *history, uint32_t number);
/* May it be read: is it published, and have as many witnesses as it needs cosigned the log since? */
bool history_is_readable(const struct history *history, const struct release_info *info);
/* The last one that may, NULL = none. */
const struct release_info *history_last_readable(const struct history *history);
/* May release `number` be read? Errors: NOTFOUND, TOO_EARLY (it waits for witnesses; diag says for how many). */
enum rc history_check_readable(const struct history *history, uint32_t number, struct diag *diag) MUST_CHECK;
/* How many witnesses must have cosigned the log with this release in it before it may be read; 0 = none. */
unsigned history_witnesses_needed(const struct history *history, const struct release_info *info);
/* Does it wait for witnesses: is it published, there, and not yet cosigned by enough of them? */
bool history_is_waiting(const struct history *history, const struct release_info *info);
/* A release that waits and that one made now would carry, under rules by which that might be read sooner; NULL = none. */
const struct release_info *history_not_to_carry(const struct history *history, int64_t unix_time);
/* Published releases that wait for witnesses. */
uint32_t history_n_waiting(const struct history *history);
/* First release whose cut holds this batch, 0 = none yet. */
uint32_t history_release_of(const struct history *history, uint64_t sequence);

#endif
