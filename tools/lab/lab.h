/* throughcare lab: measurements on labelled or synthetic data, for people who choose a study or check a machine. */
#ifndef TOOLS_LAB_LAB_H
#define TOOLS_LAB_LAB_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/link/link.h"
#include "daemon/stats/stats.h"
#include "proto/rc.h"
#include "proto/study.h"

int lab_link(int argc, char **argv);
int lab_encode(int argc, char **argv);
int lab_kernel(int argc, char **argv);
int lab_coverage(int argc, char **argv);

double lab_seconds(void); /* of a monotonic clock */
/* Print as indented JSON on standard output and release it. Errors: NOMEM (json is NULL), IO. */
enum rc lab_print(json_t *json) MUST_CHECK;

/* How link_compare searches the records of the pool: an array, an object a comparison. The caller releases *ret.
 * Errors: NOMEM, IO. */
enum rc lab_plan(struct link_pool *pool, json_t **ret) MUST_CHECK;

/* ---- registers of a study, encoded into a pool ---- */

enum { LAB_SIDES = 2 };

struct lab_registers {
	struct study *study;
	int source[LAB_SIDES]; /* index of the prison and of the treatment source */
	int domain;
	struct link_pool *pool;
	uint32_t n_rows[LAB_SIDES];
	bool with_events;           /* set between lab_study_load and lab_registers_encode */
	struct stats_event *events; /* of each row, where with_events is set; persons are left 0 */
	uint32_t events_cap;
};

struct lab_input {
	const char *study, *secret;
	const char *csv[LAB_SIDES];
	struct link_options options;
};

/* Load the study and encode both registers into a pool. Errors as of `throughcare encode`, in diag. */
enum rc lab_registers_load(const struct lab_input *input, struct lab_registers *ret, struct diag *diag) MUST_CHECK;
/* The same in two steps: a study of which the lab changes the domain before the registers are encoded, or between. */
enum rc lab_study_load(const struct lab_input *input, struct lab_registers *ret, struct diag *diag) MUST_CHECK;
enum rc lab_registers_encode(const struct lab_input *input, struct lab_registers *registers,
			     struct diag *diag) MUST_CHECK;
void lab_registers_deinit(struct lab_registers *registers);

/* ---- truth ---- */

struct lab_score {
	uint64_t true_pairs, linked_pairs, right_pairs; /* pairs of rows, one of each register */
	uint64_t below_floor;                           /* true pairs whose reference weight is below the floor */
};

/* Read truth.csv (file, record_id, entity; file is the source's name) and compare. `person` is of each row of the pool.
 * Errors: INVALID (a row or column is missing), IO, NOMEM. */
enum rc lab_truth_score(const char *path, const struct lab_registers *registers, const uint32_t *person,
			struct lab_score *ret, struct diag *diag) MUST_CHECK;

/* A number for the person behind each row of the pool; equal rows of one person. `ret` has place for all rows. */
enum rc lab_truth_entities(const char *path, const struct lab_registers *registers, uint64_t *ret,
			   struct diag *diag) MUST_CHECK;

/* ---- attacks on the encoding ---- */

/* What a row says in clear text: a number for each value, 0 = missing. Only equality means something. */
enum { LAB_FIELDS = SCHEMA_MAX_FEATURES };
struct lab_clear {
	uint64_t *values[LAB_FIELDS]; /* of each feature of the schema, of each row; owned */
};
enum rc lab_clear_load(const struct lab_input *input, const struct lab_registers *registers, struct lab_clear *ret,
		       struct diag *diag) MUST_CHECK;
void lab_clear_deinit(struct lab_clear *clear);

enum { LAB_COMMONEST = 100 };
/* Frequency alignment: of the 100 commonest values of a feature, how many are named by an attacker who knows how often
 * every value stands in each register (align.c has the attack); *ret_rest, of the 100 commonest among records whose
 * filter holds this one part alone. Errors: NOMEM, INVALID (no filter has the feature). */
enum rc lab_align(const struct lab_registers *registers, const struct lab_clear *clear, unsigned feature,
		  unsigned *ret_named, unsigned *ret_rest) MUST_CHECK;

/* The key under which the lab hides record numbers, so that rows can be found again; it protects nothing. */
extern const uint8_t lab_record_key[32];

/* ---- files ---- */

struct register_file;
struct lab_csv {
	int fd;
	struct register_file *file;
};
enum rc lab_csv_open(const char *path, struct lab_csv *ret, struct diag *diag) MUST_CHECK;
void lab_csv_close(struct lab_csv *csv);

#endif
