/* One walk backwards over a person's days carries all that an outcome needs: the next treatment start, the next sign of
 * custody, and the day of death. Invariant: when a day is looked at, `next_treatment` includes that day (day 0 counts)
 * and `next_custody` does not (a reception on the day of release makes it a transfer, not a re-imprisonment). */
#include "daemon/stats/continuity.h"

#include <stdio.h>
#include <string.h>

static const char *const tail_names[CONTINUITY_TAIL_LEN] = {"died", "reimprisoned", "none", "not_observable"};
static const int32_t NEVER = INT32_MAX;

unsigned continuity_n_outcomes(const struct study_measure *measure)
{
	return measure->n_bands + (unsigned)CONTINUITY_TAIL_LEN;
}

void continuity_outcome_name(const struct study_measure *measure, unsigned outcome, char out[32])
{
	if (outcome >= measure->n_bands) {
		unsigned tail = outcome - measure->n_bands;
		snprintf(out, 32, "%s", tail < CONTINUITY_TAIL_LEN ? tail_names[tail] : "");
		return;
	}
	int first = outcome == 0 ? 0 : measure->band_ends[outcome - 1] + 1;
	snprintf(out, 32, "%d-%d", first, (int)measure->band_ends[outcome]);
}

static int32_t last_band_end(const struct study_measure *measure)
{
	return measure->n_bands == 0 ? 0 : measure->band_ends[measure->n_bands - 1];
}

static bool source_matters(const struct study *study, int source)
{
	for (int e = 0; e < study->n_events; e++) {
		enum study_event_role role = study->events[e].role;
		if (role != EVENT_OTHER && role != EVENT_TREATMENT_END &&
		    (study->events[e].kinds >> study->sources[source].kind & 1U) != 0)
			return true;
	}
	return false;
}

int32_t continuity_follow_up_days(const struct study *study, const struct study_measure *measure)
{
	int32_t lag = 0;

	for (int s = 0; s < study->n_sources; s++) {
		if (source_matters(study, s) && study->sources[s].reporting_lag_days > lag)
			lag = study->sources[s].reporting_lag_days;
	}
	return last_band_end(measure) + lag;
}

struct walk {
	int32_t next_treatment, next_custody, death;
};

/* The first of treatment, custody and death decides; on one day they rank in this order. */
static uint8_t outcome_of(const struct study_measure *measure, int32_t release, const struct walk *w)
{
	int32_t first = w->next_treatment;
	int tail = -1;

	if (w->next_custody < first) {
		first = w->next_custody;
		tail = CONTINUITY_REIMPRISONED;
	}
	if (w->death < first) {
		first = w->death;
		tail = CONTINUITY_DIED;
	}
	if (first == NEVER || first - release > last_band_end(measure))
		tail = CONTINUITY_NONE;
	if (tail >= 0)
		return (uint8_t)(measure->n_bands + tail);
	uint8_t band = 0;
	while (first - release > measure->band_ends[band])
		band++;
	return band;
}

/* What happened on one day of the person. */
struct day_signs {
	bool release, reception, treatment;
	uint8_t codes[STUDY_MAX_DIMENSIONS];
};

static void read_day(const struct study *study, const struct stats_event *events, size_t n, struct day_signs *ret)
{
	memset(ret, 0, sizeof *ret);
	for (size_t i = 0; i < n; i++) {
		enum study_event_role role = study->events[events[i].event].role;
		ret->reception |= role == EVENT_RECEPTION;
		ret->treatment |= role == EVENT_TREATMENT_START;
		if (role != EVENT_RELEASE)
			continue;
		ret->release = true;
		for (int d = 0; d < study->n_dimensions; d++) {
			if (ret->codes[d] == 0 && events[i].codes[d] <= study->dimensions[d].n_codes)
				ret->codes[d] = events[i].codes[d];
		}
	}
}

static int32_t day_of_death(const struct study *study, const struct stats_event *events, size_t n_events)
{
	for (size_t i = 0; i < n_events; i++) {
		if (study->events[events[i].event].role == EVENT_DEATH)
			return events[i].day;
	}
	return NEVER;
}

static void reverse(struct index_event *events, size_t n)
{
	for (size_t i = 0; i + 1 < n - i; i++) {
		struct index_event swap = events[i];
		events[i] = events[n - 1 - i];
		events[n - 1 - i] = swap;
	}
}

size_t continuity_index_events(const struct study *study, const struct study_measure *measure,
			       const struct stats_event *events, size_t n_events, int32_t as_of,
			       struct index_event *ret)
{
	struct walk w = {NEVER, NEVER, day_of_death(study, events, n_events)};
	int64_t follow_up = continuity_follow_up_days(study, measure);
	size_t n = 0, end = n_events, start;

	for (; end > 0; end = start) {
		struct day_signs signs;
		int32_t day = events[end - 1].day;

		for (start = end - 1; start > 0 && events[start - 1].day == day;)
			start--;
		if (day > w.death || day > as_of)
			continue;
		read_day(study, &events[start], end - start, &signs);
		if (signs.treatment)
			w.next_treatment = day;
		if (signs.release && !signs.reception) {
			struct index_event *x = &ret[n++];
			x->day = day;
			memcpy(x->codes, signs.codes, sizeof x->codes);
			x->outcome = day + follow_up > as_of ? (uint8_t)(measure->n_bands + CONTINUITY_NOT_OBSERVABLE)
							     : outcome_of(measure, day, &w);
		}
		if (signs.release || signs.reception)
			w.next_custody = day;
	}
	if (n > 1)
		reverse(ret, n);
	return n;
}

size_t continuity_limit(struct index_event *events, size_t n_events, enum period_kind kind, unsigned max)
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
