/* Synthetic registers with known truth: invented people, their lives between prison and treatment, and what two
 * registers write down of them. Internal to `throughcare synth`.
 *
 * Deterministic: integers only, and a random stream for each person, seeded by the run's seed and the person's number.
 * So person 17 of seed 1 is the same in every run, whatever the number of persons, machine or compiler. */
#ifndef TOOLS_SYNTH_H
#define TOOLS_SYNTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"

/* xoshiro256** (Blackman, Vigna 2018), seeded by SplitMix64. */
struct synth_random {
	uint64_t s[4];
};
void synth_random_init(struct synth_random *random, uint64_t seed, uint64_t stream);
uint64_t synth_random_next(struct synth_random *random);
uint32_t synth_below(struct synth_random *random, uint32_t n); /* 0 … n-1, without bias; n ≥ 1 */
bool synth_chance(struct synth_random *random, uint32_t per_mille);
/* An index below n with the weights 1/(i + 3) of Zipf's law: the first is the commonest. n ≤ 256. */
uint32_t synth_zipf(struct synth_random *random, uint32_t n);

/* ---- names ---- */

enum { SYNTH_LANGUAGES = 5 };
struct synth_names {
	const char *const *men, *const *women, *const *surnames;
	uint32_t n_men, n_women, n_surnames;
};
const struct synth_names *synth_names(uint32_t language);

enum { SYNTH_REGIONS = 4 };
extern const char *const synth_regions[SYNTH_REGIONS];
/* Places of a region, the largest first; the postcode of quarter q of place p is first_postcode(region, p) + q. */
uint32_t synth_n_places(void);
const char *synth_place(uint32_t region, uint32_t place);
uint32_t synth_postcode(uint32_t region, uint32_t place, uint32_t quarter);

enum { SYNTH_FIELD_CAP = 96 };

/* One of n composed words of a kind, the first ones oftener, into `ret` of SYNTH_FIELD_CAP bytes. */
enum synth_rare { SYNTH_RARE_GIVEN, SYNTH_RARE_SURNAME, SYNTH_RARE_PLACE };
void synth_rare_word(struct synth_random *random, enum synth_rare kind, uint32_t n, char *ret);

/* ---- people ---- */

/* What is written down of a person; empty = missing. UTF-8. */
struct synth_identity {
	char given[SYNTH_FIELD_CAP], middle[SYNTH_FIELD_CAP], surname[SYNTH_FIELD_CAP];
	char birth[SYNTH_FIELD_CAP]; /* YYYY-MM-DD */
	char place[SYNTH_FIELD_CAP], postcode[SYNTH_FIELD_CAP];
	uint32_t region;
};

struct synth_person {
	struct synth_identity identity;
	bool woman;
	uint32_t drug; /* index of synth_drugs */
};
extern const char *const synth_drugs[4];
enum { SYNTH_INTERVENTIONS = 4 };
extern const char *const synth_interventions[SYNTH_INTERVENTIONS];

/* `rare` is the chance of a name or place beyond the lists, per cent. */
void synth_person_make(struct synth_random *random, uint32_t rare, struct synth_person *ret);
/* What a register writes down: misspellings, swaps, gaps. `typos` is the chance of an error in a field, per cent. */
void synth_identity_copy(struct synth_random *random, const struct synth_identity *truth, uint32_t typos,
			 struct synth_identity *ret);
/* The person has moved: another place and postcode, one time in three another region. */
void synth_identity_move(struct synth_random *random, uint32_t rare, struct synth_identity *identity);

/* ---- lives ---- */

enum synth_kind {
	SYNTH_RECEPTION,
	SYNTH_RELEASE,
	SYNTH_TREATMENT_START,
	SYNTH_TREATMENT_END,
	SYNTH_DEATH,
	SYNTH_KINDS
};
extern const char *const synth_event_names[SYNTH_KINDS];

struct synth_event {
	enum synth_kind kind;
	bool in_prison_register; /* else in the treatment register */
	int32_t day;
	uint32_t intervention; /* of a release */
};

/* A release and what came first after it. */
struct synth_spell {
	int32_t release;
	uint32_t intervention;
	int32_t treated_after; /* days from release to the first treatment start, -1 = none came first */
};

enum { SYNTH_MAX_SPELLS = 4, SYNTH_MAX_EVENTS = 32 };
struct synth_life {
	struct synth_event events[SYNTH_MAX_EVENTS];
	uint32_t n_events;
	struct synth_spell spells[SYNTH_MAX_SPELLS];
	uint32_t n_spells;
};

struct synth_plan {
	uint32_t max_releases; /* of a person, 1 … SYNTH_MAX_SPELLS */
	uint32_t overlap;      /* per cent of released persons who may turn up in treatment */
};

/* Three of four people are released between 2024-01-01 and 2024-12-31; the others are in treatment only. */
void synth_life_make(struct synth_random *random, const struct synth_plan *plan, const struct synth_person *person,
		     struct synth_life *ret);

/* ---- registers ---- */

struct synth_options {
	uint64_t persons, seed;
	uint64_t typos, typos_by[SYNTH_INTERVENTIONS]; /* per cent; by the intervention of a person's first release */
	uint64_t movers;                               /* per cent */
	uint64_t rare;                                 /* names and places beyond the lists, per cent */
	struct synth_plan plan;
	const char *folder;
};
struct synth_written {
	uint64_t persons;
	size_t prison_rows, treatment_rows;
};
/* Make people and write what the registers know of them, and the truth. Errors: IO, NOMEM, USAGE (a name too long). */
enum rc synth_write(const struct synth_options *options, struct synth_written *ret, struct diag *diag) MUST_CHECK;

struct option_list;
/* Chances of an error: `typos` for everybody but those that the list names. Errors: USAGE. */
enum rc synth_read_typos_by(const struct option_list *list, uint64_t typos, struct synth_options *ret,
			    struct diag *diag) MUST_CHECK;

#endif
