/* Counting: each thread takes the next part, sorts its events into timelines, asks every measure once a person and
 * period kind, and counts what it says in all tables of that measure. */
#include "daemon/stats/tally.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/workq.h"
#include "daemon/stats/measure.h"
#include "daemon/stats/timeline.h"
#include "proto/bytes.h"

enum { MOST_COUNTERS = 64 };

/* One thread's. */
struct counter {
	struct tally tally;
	struct stats_event *events; /* of the part, as read */
	size_t events_cap;
	struct index_event *found; /* of one person */
	size_t found_cap;
	enum rc rc;
};

struct counting {
	const struct study *study;
	const struct stats_parts *parts;
	const struct stats_params *params;
	struct counter *counters;
	atomic_size_t next;
	atomic_bool failed;
	/* Of each table, the first one that counts the same index events. */
	uint8_t like[STUDY_MAX_TABLES];
};

/* ---- tallies ---- */

enum rc tally_init(struct tally *tally, const struct study *study, const struct table_cells *cells)
{
	*tally = (struct tally){.cells = cells, .study = study};
	for (int t = 0; t < study->n_tables; t++) {
		size_t n = table_cells_n_values(&cells[t]);

		tally->values[t] = calloc(n ? n : 1, sizeof *tally->values[t]);
		if (tally->values[t] == NULL)
			return RC_NOMEM;
		if (study->disclosure.method != DISCLOSURE_CELL_KEY)
			continue;
		tally->keys[t] = calloc(n ? n : 1, sizeof *tally->keys[t]);
		if (tally->keys[t] == NULL)
			return RC_NOMEM;
	}
	return RC_OK;
}

void tally_deinit(struct tally *tally)
{
	for (int t = 0; tally->study != NULL && t < tally->study->n_tables; t++) {
		size_t n = table_cells_n_values(&tally->cells[t]);

		if (tally->values[t] != NULL)
			explicit_bzero(tally->values[t], n * sizeof *tally->values[t]);
		if (tally->keys[t] != NULL)
			explicit_bzero(tally->keys[t], n * sizeof *tally->keys[t]);
		free(tally->values[t]);
		free(tally->keys[t]);
	}
	*tally = (struct tally){0};
}

static void tally_add(struct tally *tally, const struct tally *more)
{
	for (int t = 0; t < tally->study->n_tables; t++) {
		size_t n = table_cells_n_values(&tally->cells[t]);

		for (size_t i = 0; i < n; i++)
			tally->values[t][i] += more->values[t][i];
		for (size_t i = 0; tally->keys[t] != NULL && i < n; i++)
			tally->keys[t][i] += more->keys[t][i];
	}
}

/* ---- one person ---- */

/* A person is known by the smallest of their record ids, which depends on nothing but what was sent. */
static enum rc person_key(const struct stats_params *params, const struct stats_event *events, size_t n_events,
			  cell_key_sum *ret)
{
	const uint8_t *least = events[0].record_id;

	for (size_t i = 1; i < n_events; i++) {
		if (memcmp(events[i].record_id, least, sizeof events[i].record_id) < 0)
			least = events[i].record_id;
	}
	return cell_key_of_record(params->prf, params->prf_ctx, least, sizeof events[0].record_id, ret);
}

static unsigned row_of(const struct study *study, const struct study_table *table, const struct index_event *x)
{
	unsigned row = 0;

	for (int i = 0; i < table->n_by; i++)
		row = row * (study->dimensions[table->by[i]].n_codes + 1U) + x->codes[table->by[i]];
	return row;
}

/* Index events of one person into table t. */
static void add_to_table(struct tally *tally, int t, const struct index_event *found, size_t n, cell_key_sum key)
{
	const struct table_cells *cells = &tally->cells[t];

	for (size_t i = 0; i < n; i++) {
		uint32_t slot;
		if (!table_plan_find(&cells->plan, period_of_day(cells->table->period, found[i].day), &slot))
			continue;
		unsigned row = row_of(tally->study, cells->table, &found[i]);
		size_t cell = ((size_t)slot * cells->n_rows + row) * cells->n_cells + found[i].outcome;
		tally->values[t][cell]++;
		if (tally->keys[t] != NULL)
			tally->keys[t][cell] += key;
	}
}

static enum rc count_person(const struct counting *counting, struct counter *c, const struct stats_event *events,
			    size_t n_events)
{
	const struct study *study = counting->study;
	const struct stats_params *params = counting->params;
	bool has_key = study->disclosure.method != DISCLOSURE_CELL_KEY;
	cell_key_sum key = 0;

	for (int t = 0; t < study->n_tables; t++) {
		const struct study_table *table = &study->tables[t];
		if (counting->like[t] != t)
			continue;
		size_t n = measure_index_events(study, &study->measures[table->measure], table->period, events,
						n_events, params->as_of, c->found);
		n = measure_limit(c->found, n, table->period, study->disclosure.max_index_events);
		if (n > 0 && !has_key) {
			enum rc rc = person_key(params, events, n_events, &key);
			if (rc != RC_OK)
				return rc;
			has_key = true;
		}
		for (int u = t; u < study->n_tables; u++) {
			if (counting->like[u] == t)
				add_to_table(&c->tally, u, c->found, n, key);
		}
	}
	return RC_OK;
}

/* ---- one part ---- */

static enum rc count_timeline(const struct counting *counting, struct counter *c, const struct timeline *timeline)
{
	enum rc rc = RC_OK;

	for (size_t at = 0, len; rc == RC_OK && at < timeline->n_events; at += len) {
		len = timeline_person_len(timeline, at);
		if (len > c->found_cap) {
			wipe_free(c->found, c->found_cap * sizeof *c->found);
			c->found_cap = 0;
			c->found = calloc(len * 2, sizeof *c->found);
			if (c->found == NULL)
				return RC_NOMEM;
			c->found_cap = len * 2;
		}
		rc = count_person(counting, c, &timeline->events[at], len);
	}
	return rc;
}

static enum rc count_part(const struct counting *counting, struct counter *c, size_t part)
{
	const struct stats_parts *parts = counting->parts;
	size_t n = parts->size(parts->ctx, part);
	struct timeline timeline = {0};

	if (n > c->events_cap || c->events == NULL) {
		wipe_free(c->events, c->events_cap * sizeof *c->events);
		c->events_cap = 0;
		c->events = calloc(n ? n : 1, sizeof *c->events);
		if (c->events == NULL)
			return RC_NOMEM;
		c->events_cap = n;
	}
	parts->read(parts->ctx, part, c->events);
	enum rc rc = timeline_init(&timeline, counting->study, c->events, n, counting->params->as_of);
	if (rc == RC_OK)
		rc = count_timeline(counting, c, &timeline);
	timeline_deinit(&timeline);
	if (parts->n_read != NULL)
		atomic_fetch_add(parts->n_read, 1);
	return rc;
}

static void count_parts(void *ctx, size_t i)
{
	struct counting *counting = ctx;
	const struct stats_parts *parts = counting->parts;
	struct counter *c = &counting->counters[i];

	while (c->rc == RC_OK && !atomic_load(&counting->failed)) {
		size_t part = atomic_fetch_add(&counting->next, 1);
		if (part >= parts->n)
			break;
		c->rc = parts->cancel != NULL && atomic_load(parts->cancel) ? RC_STOPPING
									    : count_part(counting, c, part);
	}
	if (c->rc != RC_OK)
		atomic_store(&counting->failed, true);
}

/* ---- all ---- */

static void find_alike(struct counting *counting)
{
	const struct study *study = counting->study;

	for (int t = 0; t < study->n_tables; t++) {
		int first = 0;
		while (study->tables[first].measure != study->tables[t].measure ||
		       study->tables[first].period != study->tables[t].period)
			first++;
		counting->like[t] = (uint8_t)first;
	}
}

enum rc tally_count(struct tally *tally, const struct stats_parts *parts, const struct stats_params *params)
{
	struct counting counting = {.study = tally->study, .parts = parts, .params = params};
	unsigned n = parts->n_threads < 1 ? 1 : parts->n_threads < MOST_COUNTERS ? parts->n_threads : MOST_COUNTERS;
	enum rc rc = RC_OK;

	if (n > parts->n)
		n = parts->n > 0 ? (unsigned)parts->n : 1;
	find_alike(&counting);
	counting.counters = calloc(n, sizeof *counting.counters);
	if (counting.counters == NULL)
		return RC_NOMEM;
	for (unsigned i = 0; rc == RC_OK && i < n; i++)
		rc = tally_init(&counting.counters[i].tally, tally->study, tally->cells);
	if (rc == RC_OK)
		parallel_for(n, n, count_parts, &counting);
	for (unsigned i = 0; i < n; i++) {
		struct counter *c = &counting.counters[i];
		rc = rc == RC_OK ? c->rc : rc;
		if (rc == RC_OK)
			tally_add(tally, &c->tally);
		tally_deinit(&c->tally);
		wipe_free(c->events, c->events_cap * sizeof *c->events);
		wipe_free(c->found, c->found_cap * sizeof *c->found);
	}
	free(counting.counters);
	return rc;
}
