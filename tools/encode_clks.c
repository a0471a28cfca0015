/* throughcare encode --clks: clkhash's own output from clkhash's own inputs, no study needed. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/bytes.h"
#include "proto/schema.h"
#include "tools/encode/encoder.h"
#include "tools/encode_job.h"
#include "tools/encode_rows.h"
#include "tools/output_file.h"
#include "tools/whole_file.h"

enum { MAX_SCHEMA_BYTES = 1 << 20, MAX_SECRET_BYTES = 1 << 16 };

struct clk_job {
	struct schema *schema;
	struct encoder *encoder;
	struct encoder_worker *workers[PIPELINE_MAX_WORKERS];
	struct row_run run;
	char *texts[ROW_MAX_BLOCKS]; /* of each block, its filters as JSON, each with a comma before */
	size_t text_lens[ROW_MAX_BLOCKS];
	struct output_file *out;
	struct encode_input in;
	int columns[SCHEMA_MAX_FEATURES];
	uint64_t written, empty;
};

/* Not through stdio, whose buffers nobody wipes. */
static enum rc read_secret(const char *path, size_t max, char **ret, size_t *ret_len, struct diag *diag)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return diag_set(diag, RC_IO, "%s: %s", path, strerror(errno));
	char *data = malloc(max + 1);
	size_t len = 0;
	ssize_t n = data != NULL ? 1 : -1;
	while (n > 0 && len < max + 1) {
		n = read(fd, data + len, max + 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	int error = errno;
	close(fd);
	if (n >= 0 && len <= max) {
		data[len] = '\0';
		*ret = data;
		*ret_len = len;
		return RC_OK;
	}
	if (data != NULL)
		explicit_bzero(data, len < max ? len : max);
	free(data);
	return n < 0 ? diag_set(diag, RC_IO, "%s: %s", path, strerror(error))
		     : diag_set(diag, RC_TOO_LARGE, "%s: larger than %zu bytes", path, max);
}

static enum rc load(const struct encode_job *job, struct clk_job *c, struct diag *diag)
{
	struct buffer schema;
	char *secret = NULL;
	size_t secret_len = 0;
	struct diag inner = {""};
	buffer_init(&schema);
	enum rc rc = whole_file_read(job->schema, MAX_SCHEMA_BYTES, &schema, diag);
	if (rc == RC_OK)
		rc = read_secret(job->secret, MAX_SECRET_BYTES, &secret, &secret_len, diag);
	if (rc != RC_OK)
		goto out;
	rc = schema_parse((const char *)schema.data, schema.len, &c->schema, &inner);
	if (rc == RC_OK)
		rc = encoder_new_clk(c->schema, (const uint8_t *)secret, secret_len, true, &c->encoder, &inner);
	row_run_workers(&c->run, job->threads);
	if (rc == RC_OK)
		encoder_set_workers(c->encoder, c->run.n_workers);
	for (unsigned i = 0; i < c->run.n_workers && rc == RC_OK; i++)
		rc = encoder_worker_new(c->encoder, &c->workers[i], &inner);
	if (rc != RC_OK)
		diag_set(diag, rc, "%s: %s", job->schema, inner.text);
	else if (c->schema->has_xorFolds)
		fprintf(stderr,
			"throughcare encode: %s: warning: xorFolds is not read, as by clkhash; xor_folds would be\n",
			job->schema);
out:
	if (secret != NULL)
		explicit_bzero(secret, secret_len);
	free(secret);
	buffer_deinit(&schema);
	return rc;
}

/* More columns of a name than features: which is meant cannot be told, and clkhash takes no such header either. */
static enum rc check_repeats(const struct clk_job *c, const char *name, struct diag *diag)
{
	unsigned n = 0;
	for (uint16_t i = 0; i < c->schema->n_features; i++)
		n += strcmp(c->schema->features[i].identifier, name) == 0;
	if (register_column(c->in.file, name, n) < 0)
		return RC_OK;
	return diag_set(diag, RC_INVALID, "%s: the header (line 1) has column '%s' more often than the schema",
			c->in.name, name);
}

/* Features of one name take the columns of that name in order, as clkhash allows both to repeat. */
static enum rc find_columns(struct clk_job *c, struct diag *diag)
{
	for (uint16_t i = 0; i < c->schema->n_features; i++) {
		const char *name = c->schema->features[i].identifier;
		unsigned nth = 0;
		for (uint16_t j = 0; j < i; j++)
			nth += strcmp(c->schema->features[j].identifier, name) == 0;
		c->columns[i] = -1;
		enum rc rc = check_repeats(c, name, diag);
		if (rc != RC_OK)
			return rc;
		if (!encoder_uses(c->encoder, i))
			continue;
		c->columns[i] = register_column(c->in.file, name, nth);
		if (c->columns[i] < 0)
			return diag_set(diag, RC_INVALID, "%s: the header (line 1) has no column '%s'%s", c->in.name,
					name, register_hint(c->in.file, name));
	}
	return RC_OK;
}

static void encode_row(struct clk_job *c, struct encoder_worker *worker, struct row_block *block, size_t i)
{
	struct encode_value values[SCHEMA_MAX_FEATURES];
	struct encode_error error = {0, ""};
	struct record_error why = {.column = ""};
	const struct register_row *row = &block->rows[i];
	struct row_result *result = &block->results[i];
	bool missing[1] = {false};
	if (row->problem != NULL) {
		why.column = register_column_name(c->in.file, row->problem_column);
		snprintf(why.rule, sizeof why.rule, "%s", row->problem);
		row_block_refuse(block, i, &why);
		return;
	}
	for (uint16_t f = 0; f < c->schema->n_features; f++)
		values[f] = c->columns[f] < 0 ? (struct encode_value){"", 0} : row->fields[c->columns[f]];
	result->rc = encoder_encode(worker, values, block->clks + i * block->clk_bytes, missing, &error);
	result->facts.nothing = missing[0];
	if (result->rc != RC_INVALID)
		return;
	why.column = c->schema->features[error.feature].identifier;
	snprintf(why.rule, sizeof why.rule, "%s", error.rule);
	row_block_refuse(block, i, &why);
}

/* Room for a comma, a space, quotes, and the NUL of the last. */
static size_t text_cap(const struct row_block *block)
{
	return block->max_rows * (base64_encoded_len(block->clk_bytes) + 4) + 1;
}

static void encode_block(void *ctx, unsigned worker, unsigned piece)
{
	struct clk_job *c = ctx;
	struct row_block *block = c->run.blocks[piece];
	char *at = c->texts[piece];
	for (size_t i = 0; i < block->n; i++) {
		encode_row(c, c->workers[worker], block, i);
		if (block->results[i].rc != RC_OK)
			continue;
		memcpy(at, ", \"", 3);
		base64_encode(block->clks + i * block->clk_bytes, block->clk_bytes, at + 3);
		at += 3 + base64_encoded_len(block->clk_bytes);
		*at++ = '"';
	}
	c->text_lens[piece] = (size_t)(at - c->texts[piece]);
}

static enum rc take_block(void *ctx, unsigned at, struct diag *diag)
{
	struct clk_job *c = ctx;
	const struct row_block *block = c->run.blocks[at];
	size_t skipped = c->written == 0 && c->text_lens[at] > 0 ? 2 : 0; /* no comma before the first */
	enum rc rc = RC_OK;
	for (size_t i = 0; i < block->n && rc == RC_OK; i++) {
		if (block->results[i].rc != RC_OK) {
			rc = row_block_report(block, i, &c->in, block->results[i].error, diag);
			continue;
		}
		c->written++;
		c->empty += block->results[i].facts.nothing;
	}
	return rc == RC_OK ? output_file_write(c->out, c->texts[at] + skipped, c->text_lens[at] - skipped, diag) : rc;
}

static enum rc encode_rows(struct clk_job *c, struct diag *diag)
{
	enum rc rc = RC_OK;
	for (unsigned i = 0; i < c->run.n_blocks && rc == RC_OK; i++) {
		rc = row_block_new_clks(encoder_record_bytes(c->encoder), c->run.block_rows, &c->run.blocks[i]);
		c->texts[i] = rc == RC_OK ? malloc(text_cap(c->run.blocks[i])) : NULL;
		if (c->texts[i] == NULL)
			return diag_set(diag, RC_NOMEM, "out of memory");
	}
	c->run.encode = encode_block;
	c->run.take = take_block;
	c->run.ctx = c;
	rc = output_file_write(c->out, "{\"clks\": [", 10, diag);
	if (rc == RC_OK)
		rc = row_run(&c->run, &c->in, diag);
	return rc == RC_OK ? output_file_write(c->out, "]}", 2, diag) : rc;
}

enum rc encode_clks(const struct encode_job *job, struct diag *diag)
{
	struct clk_job c = {.in.fd = -1};
	enum rc rc = load(job, &c, diag);
	if (rc == RC_OK)
		rc = encode_input_open(job, &c.in, diag);
	if (rc == RC_OK)
		rc = find_columns(&c, diag);
	if (rc == RC_OK)
		rc = output_file_open(job->clks, &c.out, diag);
	if (rc == RC_OK)
		rc = encode_rows(&c, diag);
	struct diag close_diag = {""};
	enum rc closed = encode_input_close(&c.in, &close_diag);
	if (rc == RC_OK && closed != RC_OK)
		rc = diag_set(diag, closed, "%s", close_diag.text);
	if (rc == RC_OK)
		rc = output_file_commit(c.out, diag);
	if (rc == RC_OK)
		printf("%s: %llu rows, %llu CLKs, %llu rows set aside, %llu records with nothing to encode\n",
		       c.in.name, (unsigned long long)c.in.rows, (unsigned long long)c.written,
		       (unsigned long long)c.in.rejected, (unsigned long long)c.empty);
	output_file_close(c.out);
	for (unsigned i = 0; i < c.run.n_blocks; i++)
		free(c.texts[i]);
	row_run_deinit(&c.run);
	for (unsigned i = 0; i < c.run.n_workers; i++)
		encoder_worker_free(c.workers[i]);
	encoder_free(c.encoder);
	schema_free(c.schema);
	return rc;
}
