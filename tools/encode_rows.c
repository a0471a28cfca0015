#include "tools/encode_rows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The share that a block of so many rows has of what a full one may take. */
static size_t share(size_t bytes, size_t max_rows)
{
	return bytes * max_rows / ROW_BLOCK_ROWS;
}

enum rc row_block_new(const struct study *study, int domain, size_t max_rows, struct row_block **ret)
{
	struct row_block *block = calloc(1, sizeof *block);
	if (block == NULL)
		return RC_NOMEM;
	block->max_rows = max_rows;
	block->max_bytes = share(ROW_BLOCK_BYTES, max_rows);
	enum rc rc = batch_chunk_new(study, domain, (uint32_t)max_rows, &block->chunk);
	if (rc != RC_OK) {
		row_block_free(block);
		return rc;
	}
	*ret = block;
	return RC_OK;
}

enum rc row_block_new_clks(size_t clk_bytes, size_t max_rows, struct row_block **ret)
{
	struct row_block *block = calloc(1, sizeof *block);
	if (block == NULL)
		return RC_NOMEM;
	assert(clk_bytes > 0);
	size_t fit = share(ROW_BLOCK_CLK_BYTES, max_rows) / clk_bytes;
	block->max_rows = fit > max_rows ? max_rows : fit > 0 ? fit : 1;
	block->max_bytes = share(ROW_BLOCK_BYTES, max_rows);
	block->clk_bytes = clk_bytes;
	block->clks = calloc(block->max_rows, clk_bytes);
	if (block->clks == NULL) {
		row_block_free(block);
		return RC_NOMEM;
	}
	*ret = block;
	return RC_OK;
}

static void reset(struct row_block *block)
{
	for (size_t i = 0; i < block->n; i++) {
		free(block->results[i].error);
		block->results[i].error = NULL;
	}
	block->n = block->n_bytes = block->n_fields = 0;
}

void row_block_free(struct row_block *block)
{
	if (block == NULL)
		return;
	reset(block);
	if (block->bytes != NULL)
		explicit_bzero(block->bytes, block->cap_bytes);
	batch_chunk_free(block->chunk);
	free(block->bytes);
	if (block->clks != NULL)
		explicit_bzero(block->clks, block->max_rows * block->clk_bytes);
	free(block->clks);
	free(block->fields);
	free(block->offsets);
	free(block);
}

/* Grow an array that holds people's data. */
static bool grow(void **array, size_t *cap, size_t used, size_t want, size_t size)
{
	size_t new_cap = *cap ? *cap : 4096;
	if (want <= *cap)
		return true;
	while (new_cap < want)
		new_cap *= 2;
	void *new = reallocarray(NULL, new_cap, size);
	if (new == NULL)
		return false;
	if (*array != NULL) {
		memcpy(new, *array, used * size);
		explicit_bzero(*array, *cap * size);
		free(*array);
	}
	*array = new;
	*cap = new_cap;
	return true;
}

/* From the first byte of a row's fields to the last: the register keeps them one after another. */
static size_t row_extent(const struct register_row *row)
{
	if (row->n_fields == 0)
		return 0;
	const struct encode_value *last = &row->fields[row->n_fields - 1];
	return (size_t)(last->bytes + last->len - row->fields[0].bytes);
}

/* Fields keep their place in the row in place of an address until the block is full, since its bytes may move. */
static enum rc add_row(struct row_block *block, const struct register_row *row)
{
	size_t n_bytes = row_extent(row);
	if (!grow((void **)&block->bytes, &block->cap_bytes, block->n_bytes, block->n_bytes + n_bytes + 1, 1) ||
	    !grow((void **)&block->fields, &block->cap_fields, block->n_fields, block->n_fields + row->n_fields,
		  sizeof *block->fields) ||
	    !grow((void **)&block->offsets, &block->cap_offsets, block->n_fields, block->n_fields + row->n_fields,
		  sizeof *block->offsets))
		return RC_NOMEM;
	if (n_bytes != 0)
		memcpy(block->bytes + block->n_bytes, row->fields[0].bytes, n_bytes);
	for (size_t i = 0; i < row->n_fields; i++) {
		size_t at = block->n_bytes + (size_t)(row->fields[i].bytes - row->fields[0].bytes);
		block->offsets[block->n_fields] = at;
		block->fields[block->n_fields++].len = row->fields[i].len;
	}
	block->n_bytes += n_bytes;
	block->rows[block->n++] = *row;
	return RC_OK;
}

static void place_fields(struct row_block *block)
{
	struct encode_value *field = block->fields;
	for (size_t i = 0; i < block->n_fields; i++)
		field[i].bytes = block->bytes + block->offsets[i];
	for (size_t r = 0; r < block->n; r++) {
		block->rows[r].fields = field;
		field += block->rows[r].n_fields;
	}
}

enum rc row_block_fill(struct row_block *block, struct encode_input *in, bool *ret_more, struct diag *diag)
{
	struct register_row row;
	enum rc rc = RC_OK;
	bool more = true;
	reset(block);
	while (block->n < block->max_rows && block->n_bytes < block->max_bytes) {
		rc = encode_input_next(in, &row, &more, diag);
		if (rc != RC_OK || !more)
			break;
		rc = add_row(block, &row);
		if (rc != RC_OK) {
			diag_set(diag, rc, "out of memory");
			break;
		}
	}
	place_fields(block);
	*ret_more = rc == RC_OK && more;
	return rc;
}

enum rc row_block_take_clks(struct row_block *block, struct clk_file *clks, size_t clk_bytes, bool last,
			    struct diag *diag)
{
	uint8_t beyond[STUDY_MAX_FILTER_BITS / 8];
	bool more = true;
	enum rc rc = RC_OK;
	if (block->clks == NULL)
		block->clks = reallocarray(NULL, block->max_rows, clk_bytes);
	if (block->clks == NULL)
		return diag_set(diag, RC_NOMEM, "out of memory");
	block->clk_bytes = clk_bytes;
	for (size_t i = 0; i < block->n && rc == RC_OK; i++) {
		rc = clk_file_next(clks, block->clks + i * clk_bytes, &more, diag);
		if (rc == RC_OK && !more)
			rc = diag_set(diag, RC_MALFORMED, "the list ends before row %llu of the register",
				      (unsigned long long)block->rows[i].number);
	}
	if (rc == RC_OK && last) {
		rc = clk_file_next(clks, beyond, &more, diag);
		if (rc == RC_OK && more)
			rc = diag_set(diag, RC_MALFORMED, "the list goes on after the register's last row");
	}
	return rc;
}

void row_block_encode(struct row_block *block, struct record_reader *reader)
{
	struct record_error error;
	for (uint32_t i = 0; i < block->n; i++) {
		struct row_result *result = &block->results[i];
		result->facts = (struct record_facts){0};
		if (block->clks != NULL)
			record_reader_give(reader, block->clks + i * block->clk_bytes);
		result->rc = record_convert(reader, &block->rows[i], block->chunk, i, &result->facts, &error);
		if (result->rc == RC_INVALID)
			row_block_refuse(block, i, &error);
	}
}

void row_block_refuse(struct row_block *block, size_t i, const struct record_error *error)
{
	struct row_result *result = &block->results[i];
	result->error = malloc(sizeof *error);
	result->rc = result->error != NULL ? RC_INVALID : RC_NOMEM;
	if (result->error != NULL)
		*result->error = *error;
}

enum rc row_block_report(const struct row_block *block, size_t i, struct encode_input *in,
			 const struct record_error *error, struct diag *diag)
{
	const struct register_row *row = &block->rows[i];
	enum rc rc = block->results[i].rc;
	if (rc == RC_INVALID)
		return encode_input_refuse(in, row, error->column, error->rule, diag);
	return diag_set(diag, rc, "%s: row %llu (line %llu): %s", in->name, (unsigned long long)row->number,
			(unsigned long long)row->line, rc_text(rc));
}

/* ---- all rows ---- */

void row_run_workers(struct row_run *run, uint64_t threads)
{
	run->n_workers = threads != 0 ? (unsigned)threads : pipeline_processors();
	if (run->n_workers > PIPELINE_MAX_WORKERS)
		run->n_workers = PIPELINE_MAX_WORKERS;
	run->n_blocks = run->n_workers + ROW_MAX_BLOCKS - PIPELINE_MAX_WORKERS;
	run->block_rows = ROW_RUN_ROWS / run->n_blocks;
	if (run->block_rows > ROW_BLOCK_ROWS)
		run->block_rows = ROW_BLOCK_ROWS;
}

static enum rc run_pipeline(struct row_run *run, struct pipeline *pipeline, struct encode_input *in, struct diag *diag)
{
	struct diag read_diag = {""};
	enum rc rc = RC_OK, read_rc = RC_OK;
	bool more = true;
	for (unsigned idle = 0; idle < run->n_blocks;) {
		bool done;
		unsigned at = pipeline_next(pipeline, &done);
		if (done)
			rc = run->take(run->ctx, at, diag);
		if (rc != RC_OK)
			return rc;
		if (more) {
			read_rc = row_block_fill(run->blocks[at], in, &more, &read_diag);
			if (read_rc == RC_OK && run->filled != NULL)
				read_rc = run->filled(run->ctx, run->blocks[at], &more, &read_diag);
			pipeline_give(pipeline);
		} else {
			idle++;
			pipeline_pass(pipeline);
		}
	}
	return read_rc == RC_OK ? RC_OK : diag_set(diag, read_rc, "%s", read_diag.text);
}

enum rc row_run(struct row_run *run, struct encode_input *in, struct diag *diag)
{
	struct pipeline *pipeline = NULL;
	enum rc rc = pipeline_new(run->n_workers, run->n_blocks, run->encode, run->ctx, &pipeline);
	if (rc != RC_OK)
		return diag_set(diag, rc, "threads could not be started");
	rc = run_pipeline(run, pipeline, in, diag);
	in->complete = rc == RC_OK;
	pipeline_free(pipeline);
	return rc;
}

void row_run_deinit(struct row_run *run)
{
	for (unsigned i = 0; i < run->n_blocks; i++)
		row_block_free(run->blocks[i]);
}
