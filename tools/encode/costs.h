/* What the flaws of a register cost in links, by a model of true pairs: if every record had one counterpart in another
 * register, how many would link, and how many more if a flaw were not there.
 *
 * The model (docs/encoding.md, 'The report'). Weights are those of Fellegi and Sunter (1969): agreement in a field is
 * worth log2 m/u, u being how often two persons of this register agree in it, m from labelled registers. A pair links
 * if its weights reach log2 n + 1, n the number of records: true with odds of two to one, as the daemon's threshold.
 * Place and postcode are one fact, worth no more thanboth together. In a filter of several parts a part that is missing
 * looks like one that differs. Fields that next to nobody has say nothing. */
#ifndef TOOLS_ENCODE_COSTS_H
#define TOOLS_ENCODE_COSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"
#include "proto/study.h"

enum {
	COSTS_SAMPLE = 4096,  /* records by which u is measured */
	COSTS_PATTERNS = 256, /* sets of missing fields; records of further ones count as complete */
};

/* Of a record in the sample: the person (0 = not known), and a value a feature as a hash (0 = missing). */
struct costs_sample {
	uint64_t person, values[SCHEMA_MAX_FEATURES];
};

struct costs_pattern {
	uint64_t missing, n; /* bit f: feature f */
};

struct costs_model;
/* `used`: the features that are read; `dates`: those of them that are dates. Borrows domain. Errors: NOMEM. */
enum rc costs_new(const struct study_domain *domain, uint64_t used, uint64_t dates, const struct costs_sample *sample,
		  size_t n_sample, uint64_t n_records, struct costs_model **ret) MUST_CHECK;
void costs_free(struct costs_model *model);

/* The weight that a pair needs to link, in log2 units. */
double costs_needed(const struct costs_model *model);

/* How one record is worse than a complete and true one. A bit a feature. */
struct costs_flaw {
	uint64_t missing; /* nothing is there */
	uint64_t wrong;   /* what is there is not the person's */
	uint64_t vague;   /* it is like the person's at best: the year alone is right */
	uint64_t blunt;   /* the filter cannot tell 'alike' from 'different' */
	int shared;       /* a feature whose value many share, or -1 … */
	double share;     /* … and how many */
};
#define COSTS_NO_FLAW ((struct costs_flaw){.shared = -1})

/* The probability that a record links to its counterpart. */
double costs_chance(const struct costs_model *model, const struct costs_flaw *flaw);
/* Whether it can link at all: everything that is there agrees. */
bool costs_can_link(const struct costs_model *model, const struct costs_flaw *flaw);

#endif
