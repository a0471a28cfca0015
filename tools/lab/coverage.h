/* Inside of `throughcare lab coverage`: what coverage.c finds in each repetition and coverage_report.c sums up. */
#ifndef TOOLS_LAB_COVERAGE_H
#define TOOLS_LAB_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/rc.h"
#include "proto/study.h"

enum { COVERAGE_MAX_ARMS = STUDY_MAX_CODES + 2, COVERAGE_DAYS = 21 };

/* One arm of one repetition, in per cent. */
struct coverage_figure {
	bool has_corrected;
	double truth, crude, value, low, high, known_width, found;
	double expected, doubt; /* share of the links that are found, as the model has it without noise; ± */
	/* Difference and ratio against the last arm. */
	bool has_contrast;
	double true_difference, difference, low_difference, high_difference, crude_difference, known_difference_width;
	double true_ratio, low_ratio, high_ratio;
};

struct coverage_results {
	const char *table;
	uint64_t n_repetitions, n_persons;
	unsigned n_arms;
	char arms[COVERAGE_MAX_ARMS][STUDY_NAME_CAP]; /* the first is everybody, the second unknown */
	char dimension[STUDY_NAME_CAP];               /* of the others */
	struct coverage_figure *figures;              /* owned, [repetition][arm] */
};

/* Print the JSON. Errors: NOMEM, IO. */
enum rc coverage_report(const struct coverage_results *results) MUST_CHECK;

#endif
