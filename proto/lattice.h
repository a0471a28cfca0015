/* The lattice of a study's tables: which of them count the same index events, and what their noise comes to once their
 * common margins are made to agree.
 *
 * Tables of one measure and one kind of period count the same people, so that summing one of them over a dimension
 * gives what another one says. With independent noise on each cell, least squares over all cells of such tables splits
 * into a weighted mean for each set of dimensions: for a set A the part of a table that is its effect of A alone (the
 * margin over A less all lower effects, as in an analysis of variance) has a covariance that is the same but for a
 * factor in every table S that has A, namely sigma2(S) times the rows of S per row of A. So its best estimate is the
 * mean of these effects weighted by the reciprocals, and nothing larger than a margin is ever solved for. Effects of
 * different sets do not disturb each other. (The decomposition is that of any balanced analysis of variance; for noisy
 * margins see Xiao, He, Zhang, Kifer 2023, "An Optimal and Scalable Matrix Mechanism for Noisy Marginals".)
 *
 * Everything is a function of the study alone: no count enters. In integers, so that it is the same everywhere. */
#ifndef PROTO_LATTICE_H
#define PROTO_LATTICE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/study.h"

enum { LATTICE_SHARE_BITS = 30 };

/* Tables that are made to agree: all of one measure and kind of period, each with noise. */
struct lattice {
	const struct study *study; /* borrowed */
	uint8_t tables[STUDY_MAX_TABLES];
	uint8_t n_tables;
};

/* Bit d: dimension d of the study. */
typedef uint32_t lattice_set;

bool lattice_same_events(const struct study *study, const struct study_table *a, const struct study_table *b);
/* All tables of the study that count the same index events as table `at`, which is one of them. */
void lattice_of_table(const struct study *study, unsigned at, struct lattice *ret);

lattice_set lattice_table_set(const struct study_table *table);
/* Rows of a table by just these dimensions: the product of their codes, unknown included. */
uint32_t lattice_n_rows(const struct study *study, lattice_set set);
/* The weight of the lattice's table number `at` in the effect of `set`, in 2^-30; 0 when it has not all of it. The
 * weights of all tables add up to 2^30 where one has it. */
uint32_t lattice_share(const struct lattice *lattice, unsigned at, lattice_set set);

/* Variance, in 10^-9, of the noise of one cell of a table by `set`, a subset of the dimensions of one of the lattice's
 * tables, after adjustment: that of the least-squares estimate, and 2^|set| / 12 for making it an integer. With one
 * table there is nothing to adjust, and it is σ² for each cell that is summed. */
uint64_t lattice_variance_nano(const struct lattice *lattice, lattice_set set);
/* In thousandths, rounded up; 0 with method none. */
uint64_t lattice_variance_milli(const struct lattice *lattice, lattice_set set);
/* A row of this table, one of the study's, is shown when its noisy total is at least this: the study's threshold, or,
 * where noise alone would lift more than 1 % of empty rows above it, 2.5 standard deviations of a row total. */
int64_t lattice_threshold(const struct study *study, const struct study_table *table);

#endif
