/* Capture histories: which of the study's two or three lists caught a person in a period. */
#include <string.h>

#include "daemon/stats/measure.h"

static unsigned lists_of_event(const struct study_measure *measure, uint8_t event)
{
	unsigned lists = 0;

	for (unsigned l = 0; l < measure->n_captures; l++)
		lists |= (measure->captures[l].events >> event & 1) << l;
	return lists;
}

static bool is_eligible(const struct study_measure *measure, const struct index_event *x)
{
	for (unsigned i = 0; i < measure->n_eligible; i++) {
		if (!study_rule_holds(&measure->eligible[i], x->codes))
			return false;
	}
	return true;
}

size_t capture_index_events(const struct study *study, const struct study_measure *measure, enum period_kind kind,
			    const struct stats_event *events, size_t n_events, struct index_event *ret)
{
	size_t n = 0, end;

	for (size_t start = 0; start < n_events; start = end) {
		struct index_event x = {.day = events[start].day};
		int32_t period = period_of_day(kind, events[start].day);
		unsigned history = 0;

		for (end = start; end < n_events && period_of_day(kind, events[end].day) == period; end++) {
			unsigned lists = lists_of_event(measure, events[end].event);
			if (lists == 0)
				continue;
			if (history == 0)
				x.day = events[end].day;
			history |= lists;
			for (int d = 0; d < study->n_dimensions; d++) {
				if (x.codes[d] == 0 && events[end].codes[d] <= study->dimensions[d].n_codes)
					x.codes[d] = events[end].codes[d];
			}
		}
		x.outcome = (uint8_t)(history - 1);
		if (history != 0 && is_eligible(measure, &x))
			ret[n++] = x;
	}
	return n;
}
