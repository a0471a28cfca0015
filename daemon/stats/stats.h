/* Statistics: timelines, the continuity measure, tables, disclosure control, release documents, and their renderings.
 * Pure: no I/O, no globals, no floating point; the noise's pseudo-random function comes as a callback. */
#ifndef DAEMON_STATS_STATS_H
#define DAEMON_STATS_STATS_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/study.h"

enum { STATS_MAX_CELLS = 1 << 20 }; /* that one release computes anew */

/* ---- input: the events of linked persons ---- */

struct stats_event {
	uint32_t person;
	uint16_t source;
	uint8_t event; /* index into study->events */
	int32_t day;
	uint8_t codes[STUDY_MAX_DIMENSIONS];
	uint8_t record_id[16]; /* tie-break for events of one day */
};

/* Events in parts that are read one at a time by each of n_threads threads, so that they never lie in memory all at once:
 * all events of one person are in one part. Both functions are called from several threads. */
struct stats_parts {
	size_t n;
	size_t (*size)(void *ctx, size_t part); /* number of its events */
	void (*read)(void *ctx, size_t part, struct stats_event *ret); /* in any order */
	void *ctx;
	unsigned n_threads;
	const atomic_bool *cancel; /* polled between parts; may be NULL */
	atomic_size_t *n_read;     /* counts parts; may be NULL */
};

/* 32 pseudo-random bytes for a cell's canonical identity (HMAC under the release secret). */
typedef enum rc (*stats_prf)(void *ctx, const void *identity, size_t len, uint8_t out[32]);

/* Links between prison and treatment persons, expected without labels, over all domains: of the arms that
 * disclosure.linkage_by makes, in the order of its codes (unknown first), or of all in the first. `n_doubt`: so many
 * more or less may be missed. */
struct stats_linkage {
	struct {
		uint64_t n_true, n_false, n_missed, n_doubt;
	} arms[STUDY_MAX_CODES + 1];
};

struct stats_params {
	uint32_t release; /* number, from 1 */
	int32_t as_of;    /* day */
	stats_prf prf;
	void *prf_ctx;
	uint64_t rho_spent_micro;     /* ledger before this release's charge */
	struct stats_linkage linkage; /* read where the study publishes it */
	bool secret_injected;         /* synthetic studies only; else it is drawn and destroyed */
	const json_t *previous;       /* body of the last release, NULL = none: its closed periods are
				       * carried forward verbatim */
	const json_t *facts;          /* merged into the body as "facts": cut, log index, versions */
};

/* Compute the body of a release: canonical-JSON-able object, see docs/protocol.md "Release body". Events after as_of are
 * left out. The same bytes however the events are cut into parts and whatever the number of threads. Errors: NOMEM,
 * TOO_LARGE (more than STATS_MAX_CELLS new cells), INVALID (an event out of range, the previous body), NOT_ALLOWED (no
 * noise in a study that is not synthetic), STOPPING (cancelled), or the PRF's. */
enum rc stats_release_parts(const struct study *study, const struct stats_parts *parts,
			    const struct stats_params *params, json_t **ret_body) MUST_CHECK;
/* The same of events (borrowed, in any order) that are all there, on the caller's thread. */
enum rc stats_release(const struct study *study, const struct stats_event *events, size_t n_events,
		      const struct stats_params *params, json_t **ret_body) MUST_CHECK;

/* ρ in millionths, per index event, that the next release will charge: Σ 1/σ² over tables with a period that is newly
 * closed (or provisional) as of `as_of`, given the previous body; an index event sits in one period of a table. Known
 * before any record is read, so that it can be charged first. Errors: INVALID (previous body), TOO_LARGE, NOMEM. */
enum rc stats_release_charge(const struct study *study, int32_t as_of, const json_t *previous,
			     uint64_t *ret_rho_micro) MUST_CHECK;

/* ---- output ---- */

struct stats_query {
	char table[STUDY_NAME_CAP];
	char period[PERIOD_TEXT_LEN];          /* "" = every published period */
	char by[STUDY_MAX_BY][STUDY_NAME_CAP]; /* must be dimensions of the table; others are summed over */
	uint8_t n_by;
	bool by_given; /* false = all dimensions of the table */
	/* Compare every code of this dimension, which must be one of the answer, with this one; "" = no comparison. */
	char compare[STUDY_NAME_CAP], against[STUDY_NAME_CAP];
};
/* Parse the percent-encoded query part of GET /v1/tables/{name} (NULL or "" = none): release=N, period=P, by=DIM,DIM
 * ("by=" = totals), compare=DIM:CODE. `ret_release` 0 = the latest. Unknown or repeated keys are errors; dimensions
 * come out in the table's order, so that one query has one text. A table that the study does not declare may still be
 * asked for by release number, since an earlier study may have declared it. Errors: USAGE, NOTFOUND (table). */
enum rc stats_query_parse(const struct study *study, const char *table, const char *query_string,
			  struct stats_query *ret, uint32_t *ret_release, struct diag *diag) MUST_CHECK;
/* The day on which the asked period closes in the study's own table: the first release as of that day or later has it.
 * Errors: NOTFOUND (no such table, no period asked for, or one that never closes). */
enum rc stats_query_closing_day(const struct study *study, const struct stats_query *query,
				int32_t *ret_day) MUST_CHECK;
/* One canonical text of a query, for the log. */
enum rc stats_query_canonical(const struct stats_query *query, uint32_t release, struct buffer *out) MUST_CHECK;

/* Render from a release body alone (docs/protocol.md "Answers"). Errors: NOTFOUND (table or period not in this
 * release), USAGE (dimension not in this table), DAMAGED (the body is not one), NOMEM. */
enum rc stats_render_jsonstat(const json_t *body, const struct stats_query *query, struct buffer *out,
			      struct diag *diag) MUST_CHECK;
enum rc stats_render_csv(const json_t *body, const struct stats_query *query, struct buffer *out,
			 struct diag *diag) MUST_CHECK;
/* The list of tables of a release, and what the study announces (GET /v1/tables). `body` NULL = no release yet: the declared tables only. */
enum rc stats_render_catalogue(const struct study *study, const json_t *body, struct buffer *out) MUST_CHECK;

#endif
