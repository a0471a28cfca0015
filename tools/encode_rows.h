/* Rows of a register on their way to records: a block of them is read by one thread and encoded by another, so it has
 * bytes, results and refusals of its own. Internal to `throughcare encode`. */
#ifndef TOOLS_ENCODE_ROWS_H
#define TOOLS_ENCODE_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/batch.h"
#include "tools/encode/clk_file.h"
#include "tools/encode/record.h"
#include "tools/encode/register.h"
#include "tools/encode_job.h"

enum {
	ROW_BLOCK_ROWS = 1024,
	ROW_BLOCK_BYTES = 1 << 18, /* a block ends after the row that passes this */
};

struct row_result {
	enum rc rc;                 /* INVALID = refused */
	struct record_facts facts;  /* of record i of the chunk, for row i */
	struct record_error *error; /* owned; NULL = none */
};

struct row_block {
	struct register_row rows[ROW_BLOCK_ROWS];
	struct row_result results[ROW_BLOCK_ROWS];
	size_t n;
	struct batch_chunk *chunk; /* record i is that of row i */
	char *bytes;
	size_t n_bytes, cap_bytes;
	struct encode_value *fields;
	size_t n_fields, cap_fields;
	size_t clk_bytes; /* 0 = filters are not given */
	uint8_t *clks;    /* one a row */
};

/* Errors: NOMEM. */
enum rc row_block_new(const struct study *study, int domain, struct row_block **ret) MUST_CHECK;
void row_block_free(struct row_block *block); /* wipes */
/* Fill with the next rows; *ret_more is false when the register has ended. On failure the rows before the error are in
 * the block. Errors as encode_input_next(), NOMEM. */
enum rc row_block_fill(struct row_block *block, struct encode_input *in, bool *ret_more, struct diag *diag) MUST_CHECK;
/* Take as many filters as the block has rows. `last` = the register has ended, and so must the filters.
 * Errors: MALFORMED (also too few, too many), IO, NOMEM. */
enum rc row_block_take_clks(struct row_block *block, struct clk_file *clks, size_t clk_bytes, bool last,
			    struct diag *diag) MUST_CHECK;
/* Encode all rows. */
void row_block_encode(struct row_block *block, struct record_reader *reader);

#endif
