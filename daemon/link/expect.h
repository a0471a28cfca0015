/* The E-step of the model over the candidate pairs of different sources, by several threads.
 *
 * A unit is all candidate pairs of the same two persons. Everything but the sums over all pairs is of one unit or of
 * one person; those sums are made by blocks of units, each in order, and blocks are added in order, so that the last
 * bit depends on neither the number of threads nor on which was faster. */
#ifndef DAEMON_LINK_EXPECT_H
#define DAEMON_LINK_EXPECT_H

#include "daemon/link/run.h"

typedef double expect_levels[STUDY_MAX_COMPARISONS][STUDY_MAX_LEVELS + 1];

struct expect;
/* Borrows run, whose pairs, persons and segments stay as they are meanwhile. Errors: NOMEM. */
enum rc expect_new(struct run *run, struct expect **ret) MUST_CHECK;
void expect_free(struct expect *expect); /* NULL is a no-op */
/* One step for segment `s`, which is of two sources: given its lambda and m/u of each level, expected_matches, and the
 * matches of each level added to `matches`. */
void expect_segment(struct expect *expect, size_t s, const expect_levels ratio, expect_levels matches);
/* The probabilities of the last step, and the likelihood ratios, into all pairs. */
void expect_keep(struct expect *expect, const expect_levels ratio);

#endif
