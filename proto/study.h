/* The study: one public YAML file shared by custodians and daemon. It fixes what is encoded, how records are linked,
 * what is measured, and what may be published at what cost.
 *
 * Everything here is parsed from memory and validated once; the rest of the program reads the struct and never the
 * YAML. Errors name file, line and field: "study.yaml:12: linkage.filters.name.bits: 0 is below 64".
 *
 * Two digests: `encoding_id` of a domain covers what decides the bytes of a batch (filters, normalisation, key check,
 * and the lists of events and codes, which stand in a batch as numbers), and stands in every batch; `digest` covers the
 * whole study, and stands in every release. Both are SHA-256 over canonical JSON (proto/json.h), so that
 * comments, key order and quoting do not change them. */
#ifndef PROTO_STUDY_H
#define PROTO_STUDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/day.h"
#include "proto/rc.h"
#include "proto/schema.h"
#include "proto/witness_rule.h"

enum {
	STUDY_NAME_CAP = 64, /* names: [a-z][a-z0-9_-]*, shorter than this, NUL included */
	STUDY_MAX_DOMAINS = 32,
	STUDY_MAX_SOURCES = 64,
	STUDY_MAX_FILTERS = 16, /* a domain */
	STUDY_MAX_FILTER_FEATURES = 16,
	STUDY_MAX_COMPARISONS = 12, /* a domain */
	STUDY_MAX_COMPARED = 4,     /* filters compared together as one */
	STUDY_MAX_CUTS = 63,        /* cuts of the Dice coefficient of one filter */
	STUDY_MAX_LEVELS = 240,     /* levels of one comparison, missing not counted */
	STUDY_MAX_DIMENSIONS = 16,
	STUDY_MAX_CODES = 64, /* a dimension, the unknown code not counted */
	STUDY_MAX_EVENTS = 16,
	STUDY_MAX_MEASURES = 8,
	STUDY_MAX_BANDS = 8,
	STUDY_MAX_RULES = 4,    /* of eligibility, a measure */
	STUDY_MAX_CAPTURES = 3, /* lists of a population measure */
	STUDY_MAX_TABLES = 32,
	STUDY_MAX_BY = 3, /* dimensions of one table */
	STUDY_MAX_RELEASE_DATES = 64,
	STUDY_MIN_FILTER_BITS = 64,
	STUDY_MAX_FILTER_BITS = 4096,
	STUDY_DEFAULT_FILTER_BITS = 512,
	STUDY_MAX_DIFFUSION = 64,
	STUDY_MAX_HASH_BITS = 1 << 16, /* of a filter before folding: what blakeHash can reach */
	STUDY_MAX_BYTES = 1 << 20,     /* of the file */
	STUDY_DEFAULT_FLOOR = 0,       /* log2 units of the reference weights */
};

/* ---- linkage ------------------------------------------------------------------------------------------------- */

/* What a feature says about a person. Roles build the filters of the profiles `balanced` and `hardened`. */
enum study_role { ROLE_NONE, ROLE_GIVEN, ROLE_MIDDLE, ROLE_SURNAME, ROLE_DATE, ROLE_PLACE, ROLE_POSTCODE };

/* A filter of several parts in which all but one are missing is a field filter, which frequency alignment reads. KEEP
 * (the default without a profile) sends it so; PAD (the default with one) hashes keyed tokens of this very record in
 * place of what is missing; REJECT sends it as missing. A date alone stands as it is: dates are too many and too even
 * to be told by their frequency (docs/threat-model.md). */
enum study_incomplete { INCOMPLETE_KEEP, INCOMPLETE_PAD, INCOMPLETE_REJECT };

enum { STUDY_PART_DATE = 2 };

/* One Bloom filter of a record: which features of the schema are hashed into it. */
struct study_filter {
	char name[STUDY_NAME_CAP];
	uint16_t features[STUDY_MAX_FILTER_FEATURES]; /* index into schema.features */
	uint8_t part[STUDY_MAX_FILTER_FEATURES];      /* of each feature; given and middle name are one part, and place
						       * and postcode; a feature without a role is a part of its own */
	uint16_t n_features;
	uint16_t bits;      /* length as sent, a multiple of 8 */
	uint16_t diffusion; /* t of keyed diffusion, 0 = none */
	bool balanced;      /* half of the bits, and their complement, in a keyed order: every filter is half full */
	enum study_incomplete incomplete;
	/* A date also gives the sorted digits of its year, month and day as tokens. It goes by the text after format
	 * and normalisation, not by the format: eight digits are YYYYMMDD, whether or not there is such a day; any
	 * other text gives none. So dates that a register got wrong can be sent as strings. */
	bool sorted_digits;
};

/* One comparison: filters compared together as one. Each filter gives a digit: 0 = missing on either side, 1 = below
 * the first cut, …, n_cuts + 1 = at or above the last. The level is the mixed-radix number of the digits, the first
 * filter varying fastest: level = Σ digit[i] · Π_{j<i} (n_cuts[j] + 2). So one filter's level is its digit, level 0 is
 * "all missing", and n_levels = Π (n_cuts[j] + 2) − 1.
 *
 * Reference weights by default: each digit's weight goes by where its level begins, linear between these points of the
 * Dice coefficient, in log2 units:
 *     names, places   0: −4   .3: −3   .4: −1.5   .5: .5   .6: 2.5   .7: 5   .85: 7   1: 8        (missing: 0)
 *     dates           0: −5   .5: −4   .6: −2.5   .7: 0    .8: 3     .9: 6   1: 10
 * A joint level has the sum of its digits' weights, kept within −4 … 10, since its fields say the same thing twice. At
 * the default floor of 0 a true pair passes with a name or the date wholly different, or with a person who has moved.
 */
struct study_comparison {
	char name[STUDY_NAME_CAP];
	uint8_t filters[STUDY_MAX_COMPARED]; /* index into domain.filters */
	uint8_t n_filters;
	uint8_t n_levels; /* levels without missing; levels are 0 … n_levels */
	/* Cuts of each filter in thousandths of the Dice coefficient, ascending; 1000 = identical. */
	uint16_t cuts[STUDY_MAX_COMPARED][STUDY_MAX_CUTS];
	uint8_t n_cuts[STUDY_MAX_COMPARED];
	/* Reference weight of each level in 1/256 log2 units; level 0 is 0. Fixed by the study and used only for the
	 * candidate floor, so that what is kept does not depend on when a record arrived. */
	int16_t reference_weight[STUDY_MAX_LEVELS + 1];
};

/* Rules that change text before tokens are made. All off = clkhash's own bits. */
struct study_normalise {
	bool trim;             /* leading, trailing and double white space */
	bool lower;            /* case folding (Unicode) */
	bool strip_marks;      /* é → e (NFD, marks removed), then ß æ ø ł đ by table */
	bool drop_punctuation; /* apostrophes, hyphens, full stops */
	bool sentinel_dates;   /* 1900-01-01, 00-00-0000 and the like become missing */
	bool latin;            /* Cyrillic (ICAO 9303) and Greek (ISO 843) to Latin letters */
	bool date_forms;       /* dates in national forms where the schema's does not fit */
	bool sex_codes;        /* letters, digits and words for sex become male and female */
	bool particles;        /* van der, de la, al-, d' are left out */
	bool split_hyphens;    /* hyphens become spaces */
	bool sort_names;       /* parts in alphabetical order: Meyer-Schmidt, Schmidt-Meyer */
	char language[3];      /* of the domain, as far as sex_codes needs it; "" = not said */
};

enum study_profile { PROFILE_NONE, PROFILE_QUALITY, PROFILE_BALANCED, PROFILE_HARDENED };

/* An encoding domain: records of two domains never compare; their tables add up. */
struct study_domain {
	char name[STUDY_NAME_CAP]; /* "main" where the study has one only */
	char language[16];         /* BCP 47, informative; "" = not said */
	struct schema *schema;     /* owned; clkhash linkage schema version 3 */
	enum study_profile profile;
	struct study_filter filters[STUDY_MAX_FILTERS];
	uint8_t n_filters;
	uint8_t roles[SCHEMA_MAX_FEATURES]; /* enum study_role of each feature of the schema */
	struct study_comparison comparisons[STUDY_MAX_COMPARISONS];
	uint8_t n_comparisons;
	struct study_normalise normalise;
	bool merge_dependent; /* comparisons that turn out to depend on each other are made one in the model */
	int32_t floor;        /* candidate floor on the sum of reference weights, 1/256 log2 units */
	bool has_key_check;   /* false = "unset": the study cannot be used for pushing yet */
	uint8_t key_check[16];
	size_t key_check_offset, key_check_length; /* bytes of its text in the file, for `keys init` to pin it */
	uint8_t encoding_id[32];
};

/* ---- what is sent -------------------------------------------------------------------------------------------- */

enum study_source_kind { SOURCE_PRISON, SOURCE_TREATMENT, SOURCE_DEATH, SOURCE_OTHER };

struct study_source {
	char name[STUDY_NAME_CAP];
	enum study_source_kind kind;
	uint8_t domain;              /* index */
	uint16_t reporting_lag_days; /* after which a period of this source is complete */
};

/* What an event means to the measures. Other events are kept and counted in no measure. */
enum study_event_role {
	EVENT_OTHER,
	EVENT_RECEPTION,
	EVENT_RELEASE,
	EVENT_TREATMENT_START,
	EVENT_TREATMENT_END,
	EVENT_DEATH,
};

struct study_event {
	char name[STUDY_NAME_CAP]; /* as in the event column of the CSV */
	enum study_event_role role;
	uint32_t kinds; /* bit k: sources of kind k may send it */
};

enum study_derivation { DERIVED_NOT, DERIVED_AGE_BAND, DERIVED_SOURCE };

/* A named code list. Code 0 is "unknown" in every dimension; codes 1 … n_codes are as listed. */
struct study_dimension {
	char name[STUDY_NAME_CAP];
	char column[STUDY_NAME_CAP]; /* of the CSV; for age bands the date of birth; "" for DERIVED_SOURCE */
	enum study_derivation derivation;
	uint16_t band_starts[STUDY_MAX_CODES];  /* age bands: first age of code 1 … n_codes; younger is unknown */
	uint8_t source_code[STUDY_MAX_SOURCES]; /* DERIVED_SOURCE: code of each source's records */
	char codes[STUDY_MAX_CODES + 1][STUDY_NAME_CAP]; /* codes[0] = "unknown" */
	uint8_t n_codes;
};

/* ---- what is published --------------------------------------------------------------------------------------- */

enum study_measure_kind {
	MEASURE_CONTINUITY, /* release to liberty → first treatment start */
	MEASURE_RETURN,     /* release to liberty → first re-imprisonment */
	MEASURE_MORTALITY,  /* release to liberty → death before re-imprisonment */
	MEASURE_RETENTION,  /* first treatment start after a release → how long it lasts */
	MEASURE_POPULATION, /* a person in a period → the lists that caught them */
};

/* Holds for what has one of the codes in the dimension; codes[0] = unknown. */
struct study_rule {
	uint8_t dimension; /* index */
	bool codes[STUDY_MAX_CODES + 1];
};

struct study_capture {
	char name[STUDY_NAME_CAP];
	uint32_t events; /* bit e: event e puts a person on this list */
};

/* docs/methods.md has the exact rules of each kind. */
struct study_measure {
	char name[STUDY_NAME_CAP];
	enum study_measure_kind kind;
	uint16_t band_ends[STUDY_MAX_BANDS]; /* last day of each band, ascending; none with population */
	uint8_t n_bands;
	struct study_rule eligible[STUDY_MAX_RULES]; /* only index events for which all hold */
	uint8_t n_eligible;
	bool by_cause; /* mortality: deaths for which `drug_related` holds stand apart */
	struct study_rule drug_related;
	uint16_t start_within; /* retention: last day after release on which a start is an index event */
	struct study_capture captures[STUDY_MAX_CAPTURES];
	uint8_t n_captures;
};

struct study_table {
	char name[STUDY_NAME_CAP];
	uint8_t measure; /* index */
	enum period_kind period;
	uint8_t by[STUDY_MAX_BY]; /* index of dimensions */
	uint8_t n_by;
	uint32_t sigma2_milli; /* variance of the noise of a cell in thousandths; 0 only with method none */
};

enum study_disclosure_method { DISCLOSURE_KEYED_NOISE, DISCLOSURE_NONE, DISCLOSURE_CELL_KEY };
enum { STUDY_CELL_KEY_SIGMA2_MILLI = 3000 }; /* variance of the p-table */

struct study_disclosure {
	enum study_disclosure_method method;
	uint32_t threshold;            /* a row whose noisy total is below it is not shown */
	uint64_t rho_limit_micro;      /* what all releases together may cost, ρ in millionths */
	uint16_t max_index_events;     /* of a person in all */
	uint32_t interval_days;        /* between releases */
	uint32_t min_new_records;      /* since the last release … */
	uint16_t min_sources;          /* … from at least so many sources */
	uint32_t linkage_sigma2_milli; /* of the counts of links that correct rates; 0 = not published */
	uint8_t linkage_by; /* dimension of a release by whose codes links are counted, 1 + its index; 0 = none */
	bool provisional;   /* publish open periods too (each time at full cost) */
	/* A closed period is counted once more in the first release so many days after it closed; 0 = never. */
	uint16_t revision_after_days;
	int32_t release_dates[STUDY_MAX_RELEASE_DATES]; /* announced, ascending; each allows one release */
	uint8_t n_release_dates;                        /* 0 = none are announced, and none are asked for */
};

struct study {
	char name[STUDY_NAME_CAP];
	char title[256];
	bool synthetic; /* test data: `none` and an injected release secret are allowed, outputs say so */
	struct study_domain domains[STUDY_MAX_DOMAINS];
	uint8_t n_domains;
	struct study_source sources[STUDY_MAX_SOURCES];
	uint8_t n_sources;
	struct study_event events[STUDY_MAX_EVENTS];
	uint8_t n_events;
	struct study_dimension dimensions[STUDY_MAX_DIMENSIONS];
	uint8_t n_dimensions;
	struct study_measure measures[STUDY_MAX_MEASURES];
	uint8_t n_measures;
	struct study_table tables[STUDY_MAX_TABLES];
	uint8_t n_tables;
	struct study_disclosure disclosure;
	uint16_t retention_years;      /* 0 = not said */
	struct witness_rule witnesses; /* who must have cosigned the log before a release is read */
	uint8_t digest[32];
};

/* Parse and check a study. `name` is what errors call the file. On RC_OK the caller owns *ret_study.
 * Errors: INVALID (diag says line, field and what was expected), TOO_LARGE, NOMEM. */
enum rc study_parse(const char *name, const char *yaml, size_t len, struct study **ret_study,
		    struct diag *diag) MUST_CHECK;
void study_free(struct study *study);

/* Look up by name. -1 when there is none. */
int study_find_domain(const struct study *study, const char *name);
int study_find_source(const struct study *study, const char *name);
int study_find_event(const struct study *study, const char *name);
int study_find_dimension(const struct study *study, const char *name);
int study_find_measure(const struct study *study, const char *name);
int study_find_table(const struct study *study, const char *name);
int study_find_filter(const struct study_domain *domain, const char *name);
int study_find_code(const struct study_dimension *dimension, const char *code); /* 0 for "unknown" */
/* The code of an age in completed years on the day of the event; 0 below the first band. */
uint8_t study_age_code(const struct study_dimension *dimension, int age);
/* Whether a feature is a date: by its format, its role, or as the only one of a filter with sorted digits. */
bool study_feature_is_date(const struct study_domain *domain, unsigned feature);
/* Whether dates are hashed into the filter (it decides the default levels and weights). */
bool study_filter_is_date(const struct study_domain *domain, int filter);
bool study_rule_holds(const struct study_rule *rule, const uint8_t codes[STUDY_MAX_DIMENSIONS]);
/* Parts of a filter: two or more make it composite. */
unsigned study_filter_n_parts(const struct study_filter *filter);
bool study_source_may_send(const struct study *study, int source, int event);

/* Bytes of one record's filters laid side by side, and of one of them. */
size_t study_filter_bytes(const struct study_domain *domain, int filter);
size_t study_record_bytes(const struct study_domain *domain);

/* All of ρ is 0 for tables with the method cell-key, which no ρ bounds.
 *
 * ρ of one release in millionths when every table gets a new period cell: the worst squared change of all cells when
 * one person's outcome is substituted, Σ over tables 2 · 1/(2σ²) = Σ 1/σ² (docs/methods.md). */
uint64_t study_release_rho_micro(const struct study *study);
/* The part of one table, and of the counts of links: 1/σ² in millionths, rounded up; 0 without. */
uint64_t study_linkage_rho_micro(const struct study *study);
uint64_t study_table_rho_micro(const struct study *study, const struct study_table *table);

const char *study_incomplete_name(enum study_incomplete incomplete);
const char *study_profile_name(enum study_profile profile);
const char *study_disclosure_method_name(enum study_disclosure_method method);
const char *study_measure_kind_name(enum study_measure_kind kind);
const char *study_source_kind_name(enum study_source_kind kind);

#endif
