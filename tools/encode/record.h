/* From a row of a register to a record of a batch: ids hidden, event, day, strata and filters. */
#ifndef TOOLS_ENCODE_RECORD_H
#define TOOLS_ENCODE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/batch.h"
#include "proto/rc.h"
#include "proto/study.h"
#include "tools/encode/encoder.h"
#include "tools/encode/register.h"

enum { RECORD_RULE_CAP = 320 };

/* What is wrong with a row: column (borrowed from study or schema; "" = the row as such) and rule; never the value. */
struct record_error {
	const char *column;
	char rule[RECORD_RULE_CAP];
};

/* Counts over the rows that were read without error. */
struct record_counts {
	uint64_t records;
	uint64_t nothing_to_encode;             /* every filter missing: such a record links to nobody */
	uint64_t missing[SCHEMA_MAX_FEATURES];  /* a feature of the schema */
	uint64_t unknown[STUDY_MAX_DIMENSIONS]; /* code 0 */
	uint64_t no_person_id;
};

/* What is known of one record beside its columns. */
struct record_facts {
	uint64_t digest;  /* of record id and revision */
	uint64_t missing; /* bit f: feature f of the schema */
	bool nothing, no_person;
};

/* What one file had so far: the ids, to find what comes twice, and the counts. */
struct record_ledger;
enum rc record_ledger_new(const struct study *study, int domain, struct record_ledger **ret) MUST_CHECK; /* NOMEM */
void record_ledger_free(struct record_ledger *ledger);
/* Count record `i` of a chunk. INVALID when its id and revision were there before: *error is set, nothing counted.
 * Errors: INVALID, NOMEM, IO. */
enum rc record_ledger_add(struct record_ledger *ledger, const struct record_facts *facts,
			  const struct batch_chunk *chunk, uint32_t i, struct record_error *error) MUST_CHECK;
/* Say that a record is going to be added soon. */
void record_ledger_expect(const struct record_ledger *ledger, const struct record_facts *facts);
const struct record_counts *record_ledger_counts(const struct record_ledger *ledger);

struct record_reader;
struct record_options {
	const struct study *study; /* borrowed, as all of these */
	int source;
	const struct encoder *encoder; /* of the source's domain; NULL = filters are given, see below */
	const uint8_t *record_key;     /* 32 bytes: the custodian's own */
	int32_t latest_day;            /* an event after it is refused; DAY_MAX = no limit */
};

/* Find the columns. Borrows file. Errors: INVALID (a needed column is missing or stands twice; diag names it), NOMEM,
 * CRYPTO. */
enum rc record_reader_new(const struct record_options *options, const struct register_file *file,
			  struct record_reader **ret, struct diag *diag) MUST_CHECK;
void record_reader_free(struct record_reader *reader);

/* Read a row into place `i` of a chunk of the domain (n_records is not changed). On INVALID, *error says what is wrong
 * with the row, and the place may be used again. What depends on this row alone is checked: rows may be shared among
 * readers, each in a thread of its own. Errors: INVALID, CRYPTO, NOMEM. */
enum rc record_convert(struct record_reader *reader, const struct register_row *row, struct batch_chunk *chunk,
		       uint32_t i, struct record_facts *ret_facts, struct record_error *error) MUST_CHECK;
/* Without an encoder: the one filter of the next row, borrowed until it was converted; all zero is missing. */
void record_reader_give(struct record_reader *reader, const uint8_t *filter);
/* The same as record_convert(), and into a ledger. Errors: INVALID, CRYPTO, NOMEM, IO. */
enum rc record_read(struct record_reader *reader, struct record_ledger *ledger, const struct register_row *row,
		    struct batch_chunk *chunk, uint32_t i, struct record_error *error) MUST_CHECK;

/* How a custodian's number leaves him: the first 16 bytes of HMAC-SHA256 under his record key of label, NUL, number,
 * with label "throughcare record id v1" or "throughcare person id v1". */
enum rc record_hide_id(const uint8_t key[32], const char *label, const char *id, size_t len,
		       uint8_t ret[RECORD_ID_LEN]) MUST_CHECK;
#define RECORD_LABEL "throughcare record id v1"
#define PERSON_LABEL "throughcare person id v1"

#endif
