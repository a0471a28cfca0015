/* One walk backwards over a person's days carries all that an outcome needs: the next treatment start and how long it
 * lasts, the next sign of custody, and the day of death. Invariant: when a day is looked at, `next_treatment` includes
 * that day (day 0 counts) and `next_custody` does not (a reception on the day of release makes it a transfer, not a
 * re-imprisonment). */
#include "daemon/stats/measure.h"

#include <string.h>

static const int32_t NEVER = INT32_MAX;

/* ---- follow-up ---- */

#define ROLE(role) (1U << (role))
static const unsigned roles_read[] = {
	[MEASURE_CONTINUITY] =
		ROLE(EVENT_RELEASE) | ROLE(EVENT_RECEPTION) | ROLE(EVENT_TREATMENT_START) | ROLE(EVENT_DEATH),
	[MEASURE_RETURN] = ROLE(EVENT_RELEASE) | ROLE(EVENT_RECEPTION) | ROLE(EVENT_DEATH),
	[MEASURE_MORTALITY] = ROLE(EVENT_RELEASE) | ROLE(EVENT_RECEPTION) | ROLE(EVENT_DEATH),
	[MEASURE_RETENTION] = ROLE(EVENT_RELEASE) | ROLE(EVENT_RECEPTION) | ROLE(EVENT_TREATMENT_START) |
			      ROLE(EVENT_TREATMENT_END) | ROLE(EVENT_DEATH),
	[MEASURE_POPULATION] = 0,
};

static bool event_matters(const struct study *study, const struct study_measure *measure, int event)
{
	if ((roles_read[measure->kind] >> study->events[event].role & 1) != 0)
		return true;
	for (unsigned l = 0; l < measure->n_captures; l++) {
		if ((measure->captures[l].events >> event & 1) != 0)
			return true;
	}
	return false;
}

static bool source_matters(const struct study *study, const struct study_measure *measure, int source)
{
	for (int e = 0; e < study->n_events; e++) {
		if (study_source_may_send(study, source, e) && event_matters(study, measure, e))
			return true;
	}
	return false;
}

static int32_t last_band_end(const struct study_measure *measure)
{
	return measure->n_bands == 0 ? 0 : measure->band_ends[measure->n_bands - 1];
}

int32_t measure_follow_up_days(const struct study *study, const struct study_measure *measure)
{
	int32_t lag = 0;

	for (int s = 0; s < study->n_sources; s++) {
		if (source_matters(study, measure, s) && study->sources[s].reporting_lag_days > lag)
			lag = study->sources[s].reporting_lag_days;
	}
	return last_band_end(measure) + lag;
}

/* ---- one day of a person ---- */

struct day_signs {
	bool release, reception, start, end;
	bool end_is_reported; /* a source of the start may send the end of a treatment */
	uint8_t release_codes[STUDY_MAX_DIMENSIONS], start_codes[STUDY_MAX_DIMENSIONS];
};

/* The first known value stands. */
static void take_codes(const struct study *study, uint8_t *codes, const uint8_t *from)
{
	for (int d = 0; d < study->n_dimensions; d++) {
		if (codes[d] == 0 && from[d] <= study->dimensions[d].n_codes)
			codes[d] = from[d];
	}
}

static bool source_reports_end(const struct study *study, int source)
{
	for (int e = 0; e < study->n_events; e++) {
		if (study->events[e].role == EVENT_TREATMENT_END && study_source_may_send(study, source, e))
			return true;
	}
	return false;
}

static void read_day(const struct study *study, const struct stats_event *events, size_t n, struct day_signs *ret)
{
	memset(ret, 0, sizeof *ret);
	for (size_t i = 0; i < n; i++) {
		enum study_event_role role = study->events[events[i].event].role;
		ret->reception |= role == EVENT_RECEPTION;
		ret->end |= role == EVENT_TREATMENT_END;
		if (role == EVENT_RELEASE) {
			ret->release = true;
			take_codes(study, ret->release_codes, events[i].codes);
		} else if (role == EVENT_TREATMENT_START) {
			ret->start = true;
			ret->end_is_reported |= source_reports_end(study, events[i].source);
			take_codes(study, ret->start_codes, events[i].codes);
		}
	}
}

/* ---- the walk ---- */

/* A treatment start, as it looks from its own day on. */
struct treatment {
	int32_t day, over; /* first day without it: its end, death or custody */
	bool end_is_reported;
	uint8_t codes[STUDY_MAX_DIMENSIONS];
};

struct walk {
	const struct study *study;
	const struct study_measure *measure;
	struct outcome_shape shape;
	int32_t as_of, follow_up;
	struct treatment next_treatment; /* day NEVER = none */
	int32_t next_end, next_custody, death;
	bool death_is_drug_related;
};

static int32_t earlier(int32_t a, int32_t b)
{
	return a < b ? a : b;
}

/* The earliest death stands; it is drug-related when any record of that day says so. */
static void read_death(struct walk *w, const struct stats_event *events, size_t n_events)
{
	for (size_t i = 0; i < n_events && events[i].day <= w->death; i++) {
		if (w->study->events[events[i].event].role != EVENT_DEATH)
			continue;
		w->death = events[i].day;
		w->death_is_drug_related |=
			w->measure->by_cause && study_rule_holds(&w->measure->drug_related, events[i].codes);
	}
}

static uint8_t band_of(const struct walk *w, int32_t days, bool drug_related)
{
	unsigned band = 0;

	while (days > w->measure->band_ends[band])
		band++;
	return outcome_of_band(&w->shape, band, drug_related);
}

/* What becomes of a release: the first of the measure's own event, custody and death decides; on one day they rank in
 * this order. */
static uint8_t outcome_of_release(const struct walk *w, int32_t release)
{
	enum study_measure_kind kind = w->measure->kind;
	int32_t custody = w->next_custody, death = w->death;
	int32_t own = kind == MEASURE_CONTINUITY ? w->next_treatment.day : kind == MEASURE_RETURN ? custody : death;
	int32_t first = earlier(own, earlier(custody, death));

	if (first == NEVER || first - release > last_band_end(w->measure))
		return outcome_of_tail(&w->shape, OUTCOME_NONE);
	if (own == first)
		return band_of(w, own - release, w->death_is_drug_related);
	return outcome_of_tail(&w->shape, custody == first ? OUTCOME_REIMPRISONED : OUTCOME_DIED);
}

static uint8_t outcome_of_treatment(const struct walk *w)
{
	const struct treatment *t = &w->next_treatment;

	if (!t->end_is_reported)
		return outcome_of_tail(&w->shape, OUTCOME_UNKNOWN);
	if (t->over == NEVER || t->over - t->day > last_band_end(w->measure))
		return outcome_of_tail(&w->shape, OUTCOME_LONGER);
	return band_of(w, t->over - t->day, false);
}

/* The index event that a release to liberty gives, if any. */
static bool index_event_of(const struct walk *w, int32_t day, const struct day_signs *signs, struct index_event *ret)
{
	const struct treatment *t = &w->next_treatment;

	*ret = (struct index_event){.day = day};
	memcpy(ret->codes, signs->release_codes, sizeof ret->codes);
	if (w->measure->kind == MEASURE_RETENTION) {
		if (t->day == NEVER || t->day >= w->next_custody || t->day - day > w->measure->start_within)
			return false;
		ret->day = t->day;
		take_codes(w->study, ret->codes, t->codes);
	}
	for (unsigned i = 0; i < w->measure->n_eligible; i++) {
		if (!study_rule_holds(&w->measure->eligible[i], ret->codes))
			return false;
	}
	if ((int64_t)ret->day + w->follow_up > w->as_of)
		ret->outcome = outcome_of_tail(&w->shape, OUTCOME_NOT_OBSERVABLE);
	else
		ret->outcome =
			w->measure->kind == MEASURE_RETENTION ? outcome_of_treatment(w) : outcome_of_release(w, day);
	return true;
}

/* A start and an end on one day: handed over from one service to another, treatment goes on. */
static void pass_treatment(struct walk *w, int32_t day, const struct day_signs *signs)
{
	if (signs->start) {
		w->next_treatment = (struct treatment){.day = day, .end_is_reported = signs->end_is_reported};
		w->next_treatment.over = earlier(w->next_end, earlier(w->next_custody, w->death));
		memcpy(w->next_treatment.codes, signs->start_codes, sizeof signs->start_codes);
	} else if (signs->end) {
		w->next_end = day;
	}
}

static void reverse(struct index_event *events, size_t n)
{
	for (size_t i = 0; i + 1 < n - i; i++) {
		struct index_event swap = events[i];
		events[i] = events[n - 1 - i];
		events[n - 1 - i] = swap;
	}
}

size_t measure_index_events(const struct study *study, const struct study_measure *measure, enum period_kind kind,
			    const struct stats_event *events, size_t n_events, int32_t as_of, struct index_event *ret)
{
	struct walk w = {study,
			 measure,
			 outcome_shape_of(measure),
			 as_of,
			 measure_follow_up_days(study, measure),
			 {.day = NEVER},
			 NEVER,
			 NEVER,
			 NEVER,
			 false};
	size_t n = 0, end = n_events, start;

	while (end > 0 && events[end - 1].day > as_of)
		end--;
	n_events = end;
	read_death(&w, events, n_events);
	while (end > 0 && events[end - 1].day > w.death)
		end--;
	if (measure->kind == MEASURE_POPULATION)
		return capture_index_events(study, measure, kind, events, end, ret);
	for (; end > 0; end = start) {
		struct day_signs signs;
		int32_t day = events[end - 1].day;

		for (start = end - 1; start > 0 && events[start - 1].day == day;)
			start--;
		read_day(study, &events[start], end - start, &signs);
		pass_treatment(&w, day, &signs);
		if (signs.release && !signs.reception && index_event_of(&w, day, &signs, &ret[n]))
			n++;
		if (signs.release || signs.reception)
			w.next_custody = day;
	}
	if (n > 1)
		reverse(ret, n);
	return n;
}

size_t measure_limit(struct index_event *events, size_t n_events, enum period_kind kind, unsigned max)
{
	size_t n = 0;
	int32_t last_period = 0;

	for (size_t i = 0; i < n_events && n < max; i++) {
		int32_t period = period_of_day(kind, events[i].day);
		if (n > 0 && period == last_period)
			continue;
		last_period = period;
		events[n++] = events[i];
	}
	return n;
}
