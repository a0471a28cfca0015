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
#include "tools/pipeline.h"

enum {
	ROW_BLOCK_ROWS = 1024,                     /* at most; of many blocks each has fewer */
	ROW_RUN_ROWS = 4 * ROW_BLOCK_ROWS,         /* of all blocks: memory does not grow with threads */
	ROW_BLOCK_BYTES = 1 << 18,                 /* a block of so many rows ends after the row that passes this */
	ROW_BLOCK_CLK_BYTES = 1 << 21,             /* and has so many bytes of filters; they may be long */
	ROW_MAX_BLOCKS = PIPELINE_MAX_WORKERS + 2, /* one that is being read or written, and one to come */
};

struct row_result {
	enum rc rc;                 /* INVALID = refused */
	struct record_facts facts;  /* of record i of the chunk, for row i */
	struct record_error *error; /* owned; NULL = none */
};

struct row_block {
	struct register_row rows[ROW_BLOCK_ROWS];
	struct row_result results[ROW_BLOCK_ROWS];
	size_t n, max_rows, max_bytes;
	struct batch_chunk *chunk; /* record i is that of row i; NULL without a study */
	char *bytes;
	size_t n_bytes, cap_bytes;
	struct encode_value *fields;
	size_t n_fields, cap_fields;
	size_t *offsets; /* of fields among the bytes, while the block is filled */
	size_t cap_offsets;
	size_t clk_bytes; /* 0 = there are no filters beside the chunk */
	uint8_t *clks;    /* one a row: given, or made without a study */
};

/* `max_rows` is 1 … ROW_BLOCK_ROWS. Errors: NOMEM. */
enum rc row_block_new(const struct study *study, int domain, size_t max_rows, struct row_block **ret) MUST_CHECK;
/* Without a study: `clks` takes the filters, of `clk_bytes` each, not 0. Errors: NOMEM. */
enum rc row_block_new_clks(size_t clk_bytes, size_t max_rows, struct row_block **ret) MUST_CHECK;
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
/* Put down what is wrong with row i: its result is INVALID, or NOMEM. `error` is copied. */
void row_block_refuse(struct row_block *block, size_t i, const struct record_error *error);
/* Row i was refused, or it failed: set it aside (RC_OK) or say so in diag. */
enum rc row_block_report(const struct row_block *block, size_t i, struct encode_input *in,
			 const struct record_error *error, struct diag *diag) MUST_CHECK;

/* All rows of a register through blocks: filled by the caller's thread, encoded by workers, taken by the caller's
 * thread in the order of the file. */
struct row_run {
	struct row_block *blocks[ROW_MAX_BLOCKS]; /* owned; n_workers + 2 of them, see row_run_workers() */
	unsigned n_workers, n_blocks;
	size_t block_rows;     /* of each block */
	pipeline_work *encode; /* piece i is block i */
	/* NULL, or called with every block once it has its rows; *more may become false. */
	enum rc (*filled)(void *ctx, struct row_block *block, bool *more, struct diag *diag);
	enum rc (*take)(void *ctx, unsigned block, struct diag *diag);
	void *ctx; /* of all three */
};
/* How many workers and blocks, and of how many rows, for a number of threads that was asked for (0 = one a processor).
 */
void row_run_workers(struct row_run *run, uint64_t threads);
/* An error of the file comes after those of the rows before it. Errors: of the callbacks, of the register, NOMEM. */
enum rc row_run(struct row_run *run, struct encode_input *in, struct diag *diag) MUST_CHECK;
void row_run_deinit(struct row_run *run);

#endif
