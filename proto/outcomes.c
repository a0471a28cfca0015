/* Tables of what each kind has; everything else follows from them. */
#include "proto/outcomes.h"

#include <stdio.h>
#include <string.h>

enum { MAX_TAIL = 4 };

static const struct {
	enum outcome_tail tail[MAX_TAIL];
	unsigned n;
} tails[] = {
	[MEASURE_CONTINUITY] = {{OUTCOME_DIED, OUTCOME_REIMPRISONED, OUTCOME_NONE, OUTCOME_NOT_OBSERVABLE}, 4},
	[MEASURE_RETURN] = {{OUTCOME_DIED, OUTCOME_NONE, OUTCOME_NOT_OBSERVABLE}, 3},
	[MEASURE_MORTALITY] = {{OUTCOME_REIMPRISONED, OUTCOME_NONE, OUTCOME_NOT_OBSERVABLE}, 3},
	[MEASURE_RETENTION] = {{OUTCOME_LONGER, OUTCOME_UNKNOWN, OUTCOME_NOT_OBSERVABLE}, 3},
	[MEASURE_POPULATION] = {{0}, 0},
};

static const char *const tail_names[] = {
	[OUTCOME_DIED] = "died",       [OUTCOME_REIMPRISONED] = "reimprisoned",     [OUTCOME_NONE] = "none",
	[OUTCOME_UNKNOWN] = "unknown", [OUTCOME_NOT_OBSERVABLE] = "not_observable",
};

struct outcome_shape outcome_shape_of(const struct study_measure *measure)
{
	struct outcome_shape shape = {.kind = measure->kind,
				      .n_bands = measure->n_bands,
				      .by_cause = measure->by_cause,
				      .n_lists = measure->n_captures};

	memcpy(shape.bands, measure->band_ends, sizeof shape.bands);
	return shape;
}

static unsigned n_causes(const struct outcome_shape *shape)
{
	return shape->by_cause ? 2 : 1;
}

static unsigned n_band_cells(const struct outcome_shape *shape)
{
	return shape->kind == MEASURE_POPULATION ? (1U << shape->n_lists) - 1 : shape->n_bands * n_causes(shape);
}

unsigned outcome_count(const struct outcome_shape *shape)
{
	return n_band_cells(shape) + tails[shape->kind].n;
}

uint8_t outcome_of_band(const struct outcome_shape *shape, unsigned band, bool drug_related)
{
	return (uint8_t)(band * n_causes(shape) + (shape->by_cause && !drug_related ? 1 : 0));
}

uint8_t outcome_of_tail(const struct outcome_shape *shape, enum outcome_tail tail)
{
	unsigned at = 0;

	while (at + 1 < tails[shape->kind].n && tails[shape->kind].tail[at] != tail)
		at++;
	return (uint8_t)(n_band_cells(shape) + at);
}

/* "prison", "treatment", "prison+treatment" */
static void history_name(const struct study_measure *measure, unsigned history, char out[OUTCOME_NAME_CAP])
{
	size_t at = 0;

	out[0] = '\0';
	for (unsigned l = 0; l < measure->n_captures; l++) {
		if ((history >> l & 1) != 0 && at < OUTCOME_NAME_CAP)
			at += (size_t)snprintf(out + at, OUTCOME_NAME_CAP - at, "%s%s", at > 0 ? "+" : "",
					       measure->captures[l].name);
	}
}

void outcome_name(const struct study_measure *measure, unsigned outcome, char out[OUTCOME_NAME_CAP])
{
	const struct outcome_shape shape = outcome_shape_of(measure);
	unsigned n_cells = n_band_cells(&shape);

	if (shape.kind == MEASURE_POPULATION) {
		history_name(measure, outcome + 1, out);
		return;
	}
	if (outcome >= n_cells) {
		enum outcome_tail tail = tails[shape.kind].tail[outcome - n_cells];
		if (tail == OUTCOME_LONGER)
			snprintf(out, OUTCOME_NAME_CAP, "%d+", shape.bands[shape.n_bands - 1] + 1);
		else
			snprintf(out, OUTCOME_NAME_CAP, "%s", tail_names[tail]);
		return;
	}
	unsigned band = outcome / n_causes(&shape);
	const char *cause = !shape.by_cause ? "" : outcome % 2 == 0 ? "_drug_related" : "_other";
	snprintf(out, OUTCOME_NAME_CAP, "%d-%d%s", band == 0 ? 0 : shape.bands[band - 1] + 1, shape.bands[band], cause);
}

unsigned outcome_n_statistics(const struct outcome_shape *shape)
{
	return shape->n_bands * n_causes(shape);
}

/* Days 0 … end of a band, or, for retention, everything after it; with causes, all deaths first, then drug-related. */
struct outcome_statistic outcome_statistic(const struct outcome_shape *shape, unsigned at)
{
	struct outcome_statistic s = {.drug_related = at >= shape->n_bands};
	unsigned band = at % shape->n_bands;

	if (shape->kind == MEASURE_RETENTION) {
		s.days = (uint16_t)(shape->bands[band] + 1);
		for (unsigned b = band + 1; b < shape->n_bands; b++)
			s.mask |= UINT32_C(1) << outcome_of_band(shape, b, false);
		s.mask |= UINT32_C(1) << outcome_of_tail(shape, OUTCOME_LONGER);
		snprintf(s.name, sizeof s.name, "at_least_%u", s.days);
		return s;
	}
	s.days = shape->bands[band];
	for (unsigned b = 0; b <= band; b++) {
		s.mask |= UINT32_C(1) << outcome_of_band(shape, b, true);
		if (!s.drug_related)
			s.mask |= UINT32_C(1) << outcome_of_band(shape, b, false);
	}
	snprintf(s.name, sizeof s.name, "within_%u%s", s.days, s.drug_related ? "_drug_related" : "");
	return s;
}

uint32_t outcome_denominator(const struct outcome_shape *shape)
{
	uint32_t mask = (UINT32_C(1) << outcome_count(shape)) - 1;

	for (unsigned i = 0; i < tails[shape->kind].n; i++) {
		enum outcome_tail tail = tails[shape->kind].tail[i];
		if (tail == OUTCOME_NOT_OBSERVABLE || tail == OUTCOME_UNKNOWN)
			mask &= ~(UINT32_C(1) << outcome_of_tail(shape, tail));
	}
	return mask;
}
