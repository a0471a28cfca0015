/* The outcome cells of a measure: how many, what they are called, and which sums of them are its rates. Counting,
 * release bodies and answers all go by this, so that they cannot disagree.
 *
 * Cells exclude each other and add up to the index events. By kind, in order:
 *   continuity   a band each; died, reimprisoned, none, not_observable
 *   return       a band each; died, none, not_observable
 *   mortality    a band each (two where causes stand apart: …_drug_related, …_other); reimprisoned, none,
 * not_observable retention    a band each; "180+" (longer than the last band), unknown, not_observable population   a
 * capture history each: bit l of cell + 1 says that list l caught the person */
#ifndef PROTO_OUTCOMES_H
#define PROTO_OUTCOMES_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/study.h"

enum {
	OUTCOMES_MAX = 2 * STUDY_MAX_BANDS + 4,
	OUTCOME_NAME_CAP = STUDY_MAX_CAPTURES * STUDY_NAME_CAP,
	OUTCOME_STATISTICS_MAX = 2 * STUDY_MAX_BANDS,
};

struct outcome_shape {
	enum study_measure_kind kind;
	uint16_t bands[STUDY_MAX_BANDS]; /* last days, ascending */
	uint8_t n_bands;
	bool by_cause; /* mortality */
	uint8_t n_lists;
};

enum outcome_tail {
	OUTCOME_DIED,
	OUTCOME_REIMPRISONED,
	OUTCOME_NONE,
	OUTCOME_LONGER,
	OUTCOME_UNKNOWN,
	OUTCOME_NOT_OBSERVABLE
};

struct outcome_shape outcome_shape_of(const struct study_measure *measure);
unsigned outcome_count(const struct outcome_shape *shape);
/* Cell of a band, and of a tail that the kind has. */
uint8_t outcome_of_band(const struct outcome_shape *shape, unsigned band, bool drug_related);
uint8_t outcome_of_tail(const struct outcome_shape *shape, enum outcome_tail tail);
void outcome_name(const struct study_measure *measure, unsigned outcome, char out[OUTCOME_NAME_CAP]);

/* A rate: the cells of `mask` over those of outcome_denominator(). */
struct outcome_statistic {
	char name[48]; /* "within_21", "within_14_drug_related", "at_least_30" */
	uint16_t days;
	bool drug_related;
	uint32_t mask;
};
unsigned outcome_n_statistics(const struct outcome_shape *shape); /* 0 for population */
struct outcome_statistic outcome_statistic(const struct outcome_shape *shape, unsigned at);
/* All cells but those of which nothing is known (not_observable, unknown). */
uint32_t outcome_denominator(const struct outcome_shape *shape);

#endif
