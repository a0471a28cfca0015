/* A small world for attacks on releases: everybody's events are known to the attacker but for one person's, of which
 * there are two versions. Each trial publishes one of them under a fresh secret, and the attacker says which it was.
 *
 * Whatever the attack, ρ-zCDP bounds how often it can be right. The Kullback–Leibler divergence of the releases of two
 * worlds that differ in one timeline is at most ρ (Bun, Steinke 2016, with order → 1), so by Pinsker's inequality their
 * total variation distance is at most √(ρ/2), and of two equally likely worlds the right one is named with a
 * probability of at most 1/2 + √(ρ/2)/2.
 *
 * Secrets and choices come from fixed sequences: each figure is the same in every run. */
#ifndef TESTS_ATTACK_WORLD_H
#define TESTS_ATTACK_WORLD_H

#include <math.h>
#include <stdio.h>

#include "daemon/stats/body.h"
#include "tests/unit/stats_fixture.h"

enum {
	WORLD_MAX_EVENTS = 4096,
	WORLD_MAX_TIMELINE = 16,
	WORLD_MAX_PERIODS = 4,
	WORLD_MAX_ROWS = 16,
	WORLD_TARGET = 1 << 20, /* the person's number */
	WORLD_TRIALS = 1000,
};

struct world {
	struct study *study;
	struct stats_event events[WORLD_MAX_EVENTS + WORLD_MAX_TIMELINE];
	size_t n_events; /* of the others */
	struct stats_event timeline[2][WORLD_MAX_TIMELINE];
	size_t n_timeline[2];
	struct stats_linkage linkage[2];        /* counts of links, where the study publishes them */
	json_t *previous;                       /* the release before; NULL = none */
	const char *periods[WORLD_MAX_PERIODS]; /* that the attacker looks at */
	unsigned n_periods;
	uint64_t random;
};

/* What stands in a release, of the periods looked at. */
struct view {
	int64_t cell[STUDY_MAX_TABLES][WORLD_MAX_PERIODS][WORLD_MAX_ROWS][OUTCOMES_MAX];
	bool shown[STUDY_MAX_TABLES][WORLD_MAX_PERIODS][WORLD_MAX_ROWS];
	int64_t links[WORLD_MAX_ROWS][4]; /* of each arm: true, false, missed, doubt */
	double rho;                       /* what the release says it costs one index event */
};

static inline void world_event(struct stats_event *events, size_t *n, uint32_t person, unsigned event, int32_t day,
			       unsigned intervention, unsigned sex)
{
	struct stats_event e = fixture_event(person, event, day);

	e.codes[0] = (uint8_t)intervention;
	e.codes[1] = (uint8_t)sex;
	events[(*n)++] = e;
}

/* One release, and a start of treatment `start` days later; negative = none. */
static inline void world_release(struct stats_event *events, size_t *n, uint32_t person, const char *day, int start,
				 unsigned intervention, unsigned sex)
{
	world_event(events, n, person, F_RELEASE, fixture_day(day), intervention, sex);
	if (start >= 0)
		world_event(events, n, person, F_START, fixture_day(day) + start, intervention, sex);
}

/* `n_others` people released in the first half of 2024. The target is released in February, with substitution treatment
 * that goes on after five days, or with psychosocial treatment that does not go on. */
static inline void world_init(struct world *w, uint32_t n_others)
{
	memset(w, 0, sizeof *w);
	w->study = fixture_study();
	w->study->synthetic = false;
	w->study->retention_years = 1;
	w->random = 20;
	for (uint32_t person = 0; person < n_others; person++) {
		int32_t day = fixture_day("2024-01-01") + (int32_t)(fixture_random(&w->random) % 180);
		unsigned intervention = 1 + fixture_random(&w->random) % 3, sex = 1 + fixture_random(&w->random) % 2;

		world_event(w->events, &w->n_events, person, F_RELEASE, day, intervention, sex);
		if (fixture_random(&w->random) % 2 == 0)
			world_event(w->events, &w->n_events, person, F_START,
				    day + (int32_t)(fixture_random(&w->random) % 60), intervention, sex);
	}
	world_release(w->timeline[0], &w->n_timeline[0], WORLD_TARGET, "2024-02-10", 5, 1, 1);
	world_release(w->timeline[1], &w->n_timeline[1], WORLD_TARGET, "2024-02-10", -1, 2, 1);
	w->periods[0] = "2024-Q1";
	w->n_periods = 1;
}

static inline void world_deinit(struct world *w)
{
	json_decref(w->previous);
	free(w->study);
}

/* What the daemon does, under the secret of that name. `study` may differ from the world's own: a broken control. */
static inline json_t *world_publish(struct world *w, const struct study *study, int which, const char *secret,
				    uint32_t number, const char *as_of, const json_t *previous)
{
	struct stats_params params = {.release = number,
				      .as_of = fixture_day(as_of),
				      .prf = fixture_prf,
				      .prf_ctx = (void *)secret,
				      .previous = previous,
				      .linkage = w->linkage[which]};
	json_t *body = NULL;

	for (size_t i = 0; i < w->n_timeline[which]; i++)
		w->events[w->n_events + i] = w->timeline[which][i];
	if (stats_release(study, w->events, w->n_events + w->n_timeline[which], &params, &body) != RC_OK)
		abort();
	return body;
}

/* Everything before `as_of` is published once, so that the next release brings what is closed after it. */
static inline void world_publish_past(struct world *w, const char *as_of)
{
	json_decref(w->previous);
	w->previous = NULL;
	w->previous = world_publish(w, w->study, 0, "the past", 1, as_of, NULL);
}

static inline void view_table(const struct world *w, const json_t *json, unsigned t, struct view *ret)
{
	struct body_table table;
	struct body_period period;
	struct body_row row;

	if (body_read_table(json, &table) != RC_OK || table.n_rows > WORLD_MAX_ROWS)
		abort();
	for (size_t at = 0; at < json_array_size(table.periods); at++) {
		if (body_read_period(&table, at, &period) != RC_OK)
			abort();
		for (unsigned p = 0; p < w->n_periods; p++) {
			if (strcmp(period.period, w->periods[p]) != 0)
				continue;
			for (unsigned r = 0; r < table.n_rows; r++) {
				if (body_read_row(&table, &period, r, &row) != RC_OK)
					abort();
				ret->shown[t][p][r] = row.shown;
				memcpy(ret->cell[t][p][r], row.cells, sizeof row.cells);
			}
		}
	}
}

static inline void view_links(const struct world *w, const struct body_head *head, struct view *ret)
{
	const struct study_dimension *arms = &w->study->dimensions[w->study->disclosure.linkage_by - 1];

	for (unsigned i = 0; i <= arms->n_codes && i < WORLD_MAX_ROWS; i++) {
		struct link_counts links;
		if (!body_find_arm(head, arms->codes[i], &links))
			abort();
		memcpy(ret->links[i], (int64_t[]){links.n_true, links.n_false, links.n_missed, links.n_doubt},
		       sizeof ret->links[i]);
	}
}

static inline void world_view(const struct world *w, const json_t *body, struct view *ret)
{
	struct body_head head;

	memset(ret, 0, sizeof *ret);
	if (body_read_head(body, &head) != RC_OK)
		abort();
	for (unsigned t = 0; t < w->study->n_tables; t++)
		view_table(w, body_find_table(body, w->study->tables[t].name), t, ret);
	if (head.links_by != NULL)
		view_links(w, &head, ret);
	ret->rho = (double)head.rho_micro / 1e6;
}

static inline void world_see(struct world *w, int which, const char *secret, uint32_t number, const char *as_of,
			     struct view *ret)
{
	json_t *body = world_publish(w, w->study, which, secret, number, as_of, w->previous);

	world_view(w, body, ret);
	json_decref(body);
}

/* What the attacker can work out beforehand: the true counts of both worlds. */
static inline void world_expect(struct world *w, uint32_t number, const char *as_of, struct view ret[2])
{
	struct study *plain = malloc(sizeof *plain);

	if (plain == NULL)
		abort();
	*plain = *w->study;
	plain->synthetic = true;
	plain->disclosure.method = DISCLOSURE_NONE;
	plain->disclosure.threshold = 0;
	for (int which = 0; which < 2; which++) {
		json_t *body = world_publish(w, plain, which, "none", number, as_of, w->previous);
		world_view(w, body, &ret[which]);
		json_decref(body);
	}
	free(plain);
}

/* Twice the logarithm of the likelihood ratio of world 1 against world 0, of what one table shows. */
static inline double world_evidence(const struct world *w, const struct view *seen, const struct view expect[2],
				    unsigned t)
{
	double sum = 0;

	for (unsigned p = 0; p < w->n_periods; p++) {
		for (unsigned r = 0; r < WORLD_MAX_ROWS; r++) {
			for (unsigned c = 0; c < OUTCOMES_MAX && seen->shown[t][p][r]; c++) {
				int64_t e0 = expect[0].cell[t][p][r][c], e1 = expect[1].cell[t][p][r][c];
				sum += (double)((2 * seen->cell[t][p][r][c] - e0 - e1) * (e1 - e0));
			}
		}
	}
	return sum * 1000 / w->study->tables[t].sigma2_milli;
}

/* The same of the counts of links; 0 where there are none. */
static inline double world_links_evidence(const struct world *w, const struct view *seen, const struct view expect[2])
{
	double sum = 0;

	if (w->study->disclosure.linkage_sigma2_milli == 0)
		return 0;
	for (unsigned i = 0; i < WORLD_MAX_ROWS; i++) {
		for (unsigned k = 0; k < 4; k++) {
			int64_t e0 = expect[0].links[i][k], e1 = expect[1].links[i][k];
			sum += (double)((2 * seen->links[i][k] - e0 - e1) * (e1 - e0));
		}
	}
	return sum * 1000 / w->study->disclosure.linkage_sigma2_milli;
}

static inline double world_all_evidence(const struct world *w, const struct view *seen, const struct view expect[2])
{
	double sum = world_links_evidence(w, seen, expect);

	for (unsigned t = 0; t < w->study->n_tables; t++)
		sum += world_evidence(w, seen, expect, t);
	return sum;
}

/* ---- the score ---- */

struct score {
	unsigned n, n_right;
};

static inline int world_choose(struct world *w)
{
	return (int)(fixture_random(&w->random) >> 7 & 1);
}

/* No evidence at all is a guess. */
static inline void score_guess(struct world *w, struct score *score, double evidence, int truth)
{
	int guess = evidence > 0 ? 1 : evidence < 0 ? 0 : world_choose(w);

	score->n++;
	score->n_right += guess == truth;
}

static inline double bound_of(double rho)
{
	double bound = 0.5 + sqrt(rho / 2) / 2;

	return bound < 1 ? bound : 1;
}

/* Is the attacker right more often than ρ allows, by more than three standard errors of so many trials? */
static inline bool score_exceeds(const char *attack, const struct score *score, double rho)
{
	double share = (double)score->n_right / score->n, bound = bound_of(rho);
	bool exceeds = share > bound + 3 * sqrt(bound * (1 - bound) / score->n);

	printf("%-56s right %5.1f %%, bound %5.1f %% (rho %.3f)%s\n", attack, 100 * share, 100 * bound, rho,
	       exceeds ? "  EXCEEDED" : "");
	return exceeds;
}

#endif
