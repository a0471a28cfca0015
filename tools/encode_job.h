/* The two jobs of `throughcare encode`, behind its options. Internal to the command. */
#ifndef TOOLS_ENCODE_JOB_H
#define TOOLS_ENCODE_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/bytes.h"
#include "proto/rc.h"
#include "tools/encode/register.h"
#include "tools/output_file.h"
#include "tools/progress.h"

struct encode_job {
	const char *study, *secret, *source, *record_key; /* files and a name; NULL where not given */
	bool found_key;                                   /* nobody gave the record key */
	const char *schema, *clks;
	const char *from_clks; /* filters that clkhash made */
	const char *output, *reject, *report;
	const char *input; /* "-" = standard input */
	uint64_t batch_records;
	uint64_t threads; /* 0 = one a processor */
};

/* What both jobs share: the register, the file of rows set aside, and the progress bar. */
struct encode_input {
	const char *name; /* of the register, for messages */
	int fd;
	struct register_file *file;
	struct output_file *reject; /* NULL = stop at the first bad row */
	struct buffer refusals;     /* what the reject file did not get yet */
	bool complete;              /* all rows were taken */
	uint64_t rows, rejected;
	uint64_t bytes; /* read so far */
	struct progress progress;
};

/* Where the custodian's own key lies when nobody says: where 'throughcare keys init' puts it, ../SOURCE/record.key from
 * the secret, or record.key beside that. *ret is NULL when there is none; free() it. Errors: USAGE (there are both),
 * NOMEM. */
enum rc encode_paths_record_key(const struct encode_job *job, char **ret, struct diag *diag) MUST_CHECK;
/* Before anything is opened: no output is an input, a key or another output, or anything but a regular file.
 * Errors: USAGE. */
enum rc encode_paths_check(const struct encode_job *job, struct diag *diag) MUST_CHECK;
/* Open register and reject file. Errors are in diag, with the name of the file. */
enum rc encode_input_open(const struct encode_job *job, struct encode_input *in, struct diag *diag) MUST_CHECK;
/* The next row, counted. Errors as register_next(), with the name of the file. */
enum rc encode_input_next(struct encode_input *in, struct register_row *row, bool *ret_more,
			  struct diag *diag) MUST_CHECK;
/* A bad row: set aside (RC_OK) where the user asked for it, else the error that ends the job. */
enum rc encode_input_refuse(struct encode_input *in, const struct register_row *row, const char *column,
			    const char *rule, struct diag *diag) MUST_CHECK;
/* The reject file is put in place where all rows were taken; else nothing is left of it. Errors: IO, NOSPACE, NOMEM
 * when it could not be written. */
enum rc encode_input_close(struct encode_input *in, struct diag *diag) MUST_CHECK;

/* Encode for a study, into batches. */
enum rc encode_study(const struct encode_job *job, struct diag *diag) MUST_CHECK;
/* Make clkhash's own CLKs. */
enum rc encode_clks(const struct encode_job *job, struct diag *diag) MUST_CHECK;

#endif
