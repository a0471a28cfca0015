/* Weights and variances; lattice.h has the reasoning. Magnitudes: σ² in thousandths is at most 10^9, a table has at
 * most 10,000 rows, so that one table's precision 2^90/(σ²·rows) lies between 2^46 and 2^90, and the sum of 32 of them
 * below 2^95. */
#include "proto/lattice.h"

#include "proto/outcomes.h"

typedef unsigned __int128 u128;

enum { PRECISION_BITS = 90 };

bool lattice_same_events(const struct study *study, const struct study_table *a, const struct study_table *b)
{
	return study->disclosure.method == DISCLOSURE_KEYED_NOISE && a->measure == b->measure && a->period == b->period;
}

void lattice_of_table(const struct study *study, unsigned at, struct lattice *ret)
{
	*ret = (struct lattice){.study = study};
	for (uint8_t t = 0; t < study->n_tables; t++) {
		if (t == at || lattice_same_events(study, &study->tables[t], &study->tables[at]))
			ret->tables[ret->n_tables++] = t;
	}
}

lattice_set lattice_table_set(const struct study_table *table)
{
	lattice_set set = 0;

	for (unsigned i = 0; i < table->n_by; i++)
		set |= UINT32_C(1) << table->by[i];
	return set;
}

uint32_t lattice_n_rows(const struct study *study, lattice_set set)
{
	uint32_t n = 1;

	for (unsigned d = 0; d < study->n_dimensions; d++) {
		if ((set >> d & 1) != 0)
			n *= study->dimensions[d].n_codes + 1U;
	}
	return n;
}

/* 1 / (σ² · rows of the table per row of the set), in 2^-90 per thousandth; 0 when the table has not all of the set. */
static u128 precision(const struct lattice *lattice, unsigned at, lattice_set set)
{
	const struct study_table *table = &lattice->study->tables[lattice->tables[at]];
	lattice_set own = lattice_table_set(table);

	if ((set & ~own) != 0 || table->sigma2_milli == 0)
		return 0;
	return ((u128)1 << PRECISION_BITS) / ((u128)table->sigma2_milli * lattice_n_rows(lattice->study, own & ~set));
}

static u128 precision_of_all(const struct lattice *lattice, lattice_set set)
{
	u128 sum = 0;

	for (unsigned i = 0; i < lattice->n_tables; i++)
		sum += precision(lattice, i, set);
	return sum;
}

uint32_t lattice_share(const struct lattice *lattice, unsigned at, lattice_set set)
{
	u128 all = precision_of_all(lattice, set);
	uint32_t before = 0;

	if (precision(lattice, at, set) == 0)
		return 0;
	for (unsigned i = 0; i < at; i++)
		before += (uint32_t)((precision(lattice, i, set) << LATTICE_SHARE_BITS) / all);
	for (unsigned i = at + 1; i < lattice->n_tables; i++) {
		if (precision(lattice, i, set) != 0)
			return (uint32_t)((precision(lattice, at, set) << LATTICE_SHARE_BITS) / all);
	}
	return (UINT32_C(1) << LATTICE_SHARE_BITS) - before; /* the last one takes what rounding left */
}

/* The effect of `part` in one cell of a table by `set`: its variance is 1/precision · Π (n−1)/n over the dimensions of
 * `part`, and a cell holds one of as many equal shares of it as the other dimensions have rows. */
static u128 effect_variance_nano(const struct lattice *lattice, lattice_set set, lattice_set part)
{
	const struct study *study = lattice->study;
	u128 all = precision_of_all(lattice, part), others = lattice_n_rows(study, set & ~part);

	if (all == 0)
		return 0;
	u128 variance = ((u128)1000000 << PRECISION_BITS) / all + 1;
	for (unsigned d = 0; d < study->n_dimensions; d++) {
		if ((part >> d & 1) != 0)
			variance *= study->dimensions[d].n_codes;
	}
	return variance / ((u128)lattice_n_rows(study, part) * others * others);
}

/* Is there a single table in which nothing is adjusted? Then a margin is a plain sum. */
static bool is_alone(const struct lattice *lattice)
{
	return lattice->n_tables == 1;
}

uint64_t lattice_variance_nano(const struct lattice *lattice, lattice_set set)
{
	const struct study_table *first = &lattice->study->tables[lattice->tables[0]];
	u128 sum = 0;

	if (is_alone(lattice))
		return (uint64_t)first->sigma2_milli * 1000000 *
		       lattice_n_rows(lattice->study, lattice_table_set(first) & ~set);
	for (lattice_set part = set;; part = (part - 1) & set) {
		sum += effect_variance_nano(lattice, set, part);
		if (part == 0)
			break;
	}
	return (uint64_t)sum + (UINT64_C(1000000000) << __builtin_popcount(set)) / 12;
}

uint64_t lattice_variance_milli(const struct lattice *lattice, lattice_set set)
{
	if (lattice->study->disclosure.method == DISCLOSURE_NONE)
		return 0;
	return (lattice_variance_nano(lattice, set) + 999999) / 1000000;
}

int64_t lattice_threshold(const struct study *study, const struct study_table *table)
{
	struct outcome_shape shape = outcome_shape_of(&study->measures[table->measure]);
	struct lattice lattice;
	int64_t raised = 0;

	if (study->disclosure.method == DISCLOSURE_CELL_KEY) /* empty rows stay empty */
		return study->disclosure.threshold;
	lattice_of_table(study, (unsigned)(table - study->tables), &lattice);
	/* (2.5)² · cells · variance, compared as squares: 6.25 · cells · milli / 1000. */
	uint64_t square = (uint64_t)outcome_count(&shape) * lattice_variance_milli(&lattice, lattice_table_set(table)) *
			  25 / 4000;

	while ((uint64_t)raised * (uint64_t)raised < square)
		raised++;
	return raised > study->disclosure.threshold ? raised : study->disclosure.threshold;
}
