/* What a register looks like to linkage: `throughcare encode --report`. It holds counts, and no value of a person;
 * counts below the study's threshold are written as "<10". Internal to `throughcare encode`. */
#ifndef TOOLS_ENCODE_REPORT_H
#define TOOLS_ENCODE_REPORT_H

#include <stdint.h>

#include "proto/batch.h"
#include "proto/study.h"
#include "tools/encode/costs.h"
#include "tools/encode/record.h"
#include "tools/encode/register.h"
#include "tools/output_file.h"

enum {
	REPORT_FILL_BINS = 20,
	REPORT_COUNTERS = 256, /* of common values, a field … */
	REPORT_SET = 8,        /* … in sets of so many, by hash */
	REPORT_MAX_REFUSALS = 64,
	REPORT_PERSONS = 1 << 16,
};

/* What is odd about a value without being an error. */
enum report_oddity {
	ODD_DIGITS,
	ODD_ONE_LETTER,
	ODD_PLACEHOLDER,
	ODD_LONG,
	ODD_FIRST_OF_JANUARY,
	ODD_AGE,
	ODD_NO_DATE,
	N_ODDITIES
};

struct report_field {
	uint64_t missing, present, odd[N_ODDITIES];
	/* Values that stand often: Misra and Gries 1982 in each set, so a count is too low by at most a ninth of what
	 * else falls into its set, some present / 288. */
	uint64_t hashes[REPORT_COUNTERS], counts[REPORT_COUNTERS];
	int column; /* -1 = not read */
};

struct report_filter {
	uint64_t missing, bins[REPORT_FILL_BINS], n, bits; /* of filters that are there */
	uint32_t least, most;
};

struct report_refusal {
	char column[STUDY_NAME_CAP], rule[RECORD_RULE_CAP];
	uint64_t n;
};

/* A sample of all different contents by hash: those whose hash ends in zeros. */
struct report_person {
	uint64_t hash, person; /* of all filters; of the person number, 0 = none */
	uint64_t records;
	bool others; /* stands under a second person number */
};

struct encode_report {
	const struct study *study;
	int domain;
	uint64_t records;
	struct report_field fields[SCHEMA_MAX_FEATURES];
	struct report_filter filters[STUDY_MAX_FILTERS];
	struct report_refusal refusals[REPORT_MAX_REFUSALS];
	size_t n_refusals;
	uint64_t refusals_beyond;                      /* of kinds that found no place */
	struct costs_pattern patterns[COSTS_PATTERNS]; /* records by what is missing */
	size_t n_patterns;
	struct costs_sample *sample;   /* of the records, each with the same probability; COSTS_SAMPLE */
	struct report_person *persons; /* open addressing, REPORT_PERSONS */
	size_t n_persons;
	unsigned sample_bits;
};

/* Borrows study and nothing else. Errors: NOMEM. */
enum rc encode_report_new(const struct study *study, int domain, const struct register_file *file,
			  struct encode_report **ret) MUST_CHECK;
void encode_report_free(struct encode_report *report);
void encode_report_add(struct encode_report *report, const struct register_row *row, const struct record_facts *facts,
		       const struct batch_chunk *chunk, uint32_t i);
void encode_report_refuse(struct encode_report *report, const char *column, const char *rule);

/* Records whose filters all equal those of a record of another person number, and records with such twins. */
uint64_t encode_report_twins(const struct encode_report *report);
/* Values that stand in a larger share of a field than may be: how many, and their share together. */
unsigned encode_report_common(const struct encode_report *report, uint16_t feature, double *ret_share);
bool encode_report_is_date(const struct encode_report *report, uint16_t feature);

/* What each finding costs: links that would be there without it, if every row had one counterpart elsewhere. */
struct report_costs {
	double needed;         /* weight in log2 units without which nothing links */
	uint64_t hopeless;     /* records that cannot reach it even if all that is there agrees */
	double at_best, as_is; /* expected links, of rows complete and true, and of these */
	double refused;        /* a row set aside */
	double missing[SCHEMA_MAX_FEATURES], odd[SCHEMA_MAX_FEATURES][N_ODDITIES], common[SCHEMA_MAX_FEATURES];
	double fill[STUDY_MAX_FILTERS]; /* out of limits */
	double missing_all;             /* of all missing fields together */
	double twins;
};
/* Errors: NOMEM. */
enum rc encode_report_cost(const struct encode_report *report, uint64_t refused, struct report_costs *ret) MUST_CHECK;
/* Which limits of fill a filter passes: a diffused one can only be too empty, by what it was before; a balanced one is
 * half full by design and passes none. */
enum report_fill { FILL_FINE, FILL_LOW, FILL_HIGH };
enum report_fill encode_report_fill(const struct encode_report *report, uint8_t filter);
/* One birthday in 365 is 1 January: only three times as many are a habit of clerks. */
bool encode_report_is_habit(const struct report_field *field);

struct report_summary {
	const char *name; /* of the register */
	uint64_t rows, refused;
};
/* Write as text, or as HTML where the name of the report ends in .html, to `out`, which is committed, or to standard
 * output where `out` is NULL. Errors: IO, NOSPACE, NOMEM. */
enum rc encode_report_write(const struct encode_report *report, const struct report_summary *summary, const char *path,
			    struct output_file *out, struct diag *diag) MUST_CHECK;

#endif
