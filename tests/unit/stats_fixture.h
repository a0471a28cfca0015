/* A small study and events, made by hand, for the tests of daemon/stats. */
#ifndef TESTS_UNIT_STATS_FIXTURE_H
#define TESTS_UNIT_STATS_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "daemon/stats/stats.h"
#include "proto/day.h"

enum { F_RECEPTION, F_RELEASE, F_START, F_END, F_DEATH, F_OTHER };
enum { F_PRISON, F_TREATMENT, F_DEATHS };
enum { F_BY_QUARTER, F_BY_INTERVENTION, F_BY_BOTH }; /* tables */

static inline void fixture_name(char *to, const char *name)
{
	strncpy(to, name, STUDY_NAME_CAP - 1);
}

static inline void fixture_dimension(struct study *s, const char *name, const char *const *codes, unsigned n)
{
	struct study_dimension *d = &s->dimensions[s->n_dimensions++];

	fixture_name(d->name, name);
	fixture_name(d->codes[0], "unknown");
	for (unsigned i = 0; i < n; i++)
		fixture_name(d->codes[i + 1], codes[i]);
	d->n_codes = (uint8_t)n;
}

static inline void fixture_table(struct study *s, const char *name, enum period_kind period, unsigned n_by,
				 uint8_t first, uint8_t second)
{
	struct study_table *t = &s->tables[s->n_tables++];

	fixture_name(t->name, name);
	t->period = period;
	t->n_by = (uint8_t)n_by;
	t->by[0] = first;
	t->by[1] = second;
	t->sigma2_milli = 10000;
}

/* Returned owned; free() is enough. Follow-up: 90 days and 30 of reporting lag. */
static inline struct study *fixture_study(void)
{
	static const struct {
		const char *name;
		enum study_event_role role;
		uint32_t kinds;
	} events[] = {{"reception", EVENT_RECEPTION, 1U << SOURCE_PRISON},
		      {"release", EVENT_RELEASE, 1U << SOURCE_PRISON},
		      {"treatment_start", EVENT_TREATMENT_START, 1U << SOURCE_TREATMENT},
		      {"treatment_end", EVENT_TREATMENT_END, 1U << SOURCE_TREATMENT},
		      {"death", EVENT_DEATH, 1U << SOURCE_DEATH},
		      {"visit", EVENT_OTHER, 1U << SOURCE_OTHER}};
	static const uint16_t bands[] = {7, 14, 21, 28, 90};
	static const char *const sources[] = {"prison", "treatment", "deaths"};
	static const char *const interventions[] = {"ost", "psychosocial", "none"}, *const sexes[] = {"male", "female"};
	struct study *s = calloc(1, sizeof *s);

	if (s == NULL)
		abort();
	fixture_name(s->name, "fixture");
	strcpy(s->title, "A study \"by hand\"");
	s->synthetic = true;
	for (unsigned i = 0; i < 6; i++) {
		fixture_name(s->events[i].name, events[i].name);
		s->events[i].role = events[i].role;
		s->events[i].kinds = events[i].kinds;
	}
	s->n_events = 6;
	for (unsigned i = 0; i < 3; i++) {
		fixture_name(s->sources[i].name, sources[i]);
		s->sources[i].kind = (enum study_source_kind)i;
		s->sources[i].reporting_lag_days = i == F_TREATMENT ? 30 : 10;
	}
	s->n_sources = 3;
	fixture_dimension(s, "intervention", interventions, 3);
	fixture_dimension(s, "sex", sexes, 2);
	fixture_name(s->measures[0].name, "continuity");
	memcpy(s->measures[0].band_ends, bands, sizeof bands);
	s->measures[0].n_bands = 5;
	s->n_measures = 1;
	fixture_table(s, "continuity_by_quarter", PERIOD_QUARTER, 0, 0, 0);
	fixture_table(s, "continuity_by_intervention", PERIOD_QUARTER, 1, 0, 0);
	fixture_table(s, "continuity_by_both", PERIOD_QUARTER, 2, 0, 1);
	s->disclosure.method = DISCLOSURE_KEYED_NOISE;
	s->disclosure.threshold = 10;
	s->disclosure.rho_limit_micro = 4000000;
	s->disclosure.max_index_events = 4;
	return s;
}

static inline struct study_measure *fixture_measure(struct study *s, const char *name, enum study_measure_kind kind,
						    unsigned n_bands, const uint16_t *bands)
{
	struct study_measure *m = &s->measures[s->n_measures++];

	fixture_name(m->name, name);
	m->kind = kind;
	m->n_bands = (uint8_t)n_bands;
	for (unsigned i = 0; i < n_bands; i++)
		m->band_ends[i] = bands[i];
	return m;
}

static inline struct stats_event fixture_event(uint32_t person, unsigned event, int32_t day)
{
	static const uint16_t source_of[] = {F_PRISON, F_PRISON, F_TREATMENT, F_TREATMENT, F_DEATHS, F_PRISON};
	struct stats_event e = {.person = person, .source = source_of[event], .event = (uint8_t)event, .day = day};

	for (int i = 0; i < 4; i++)
		e.record_id[i] = (uint8_t)(person >> (24 - 8 * i));
	e.record_id[4] = (uint8_t)event;
	for (int i = 0; i < 4; i++)
		e.record_id[5 + i] = (uint8_t)((uint32_t)day >> (24 - 8 * i));
	return e;
}

/* A PRF for tests: SHA-256 under a label. */
static inline enum rc fixture_prf(void *ctx, const void *identity, size_t len, uint8_t out[32])
{
	sha256_labelled(ctx != NULL ? ctx : "test secret", identity, len, out);
	return RC_OK;
}

/* 31-bit numbers of a fixed sequence (Knuth's MMIX generator). */
static inline uint32_t fixture_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 33);
}

static inline int32_t fixture_day(const char *text)
{
	int32_t day = 0;

	if (day_parse(text, &day) != RC_OK)
		abort();
	return day;
}

#endif
