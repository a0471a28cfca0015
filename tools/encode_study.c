/* throughcare encode for a study: everything about keys and study is checked before the register is read, so that a
 * wrong secret, schema or source is told at once; then blocks of rows are encoded by all processors, and their records
 * go in the order of the file into chunks and batches. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "keys/key_file.h"
#include "keys/linkage_secret.h"
#include "proto/batch.h"
#include "proto/bytes.h"
#include "proto/study.h"
#include "tools/encode/encoder.h"
#include "tools/encode/idset.h"
#include "tools/encode/record.h"
#include "tools/encode_job.h"
#include "tools/encode_report.h"
#include "tools/encode_rows.h"
#include "tools/output_file.h"
#include "tools/pipeline.h"
#include "tools/whole_file.h"

enum { AHEAD = 16 /* rows: time enough for memory to answer */ };

struct study_job {
	const struct encode_job *job;
	struct study *study;
	int source, domain;
	struct secret_key *record_key;
	struct encoder *encoder;
	struct record_reader *readers[PIPELINE_MAX_WORKERS]; /* one a worker */
	struct row_run run;
	struct record_ledger *ledger;
	int clk_fd; /* of --from-clks, else -1 */
	struct clk_file *clks;
	size_t clk_bytes;
	struct encode_report *report;   /* NULL = none was asked for */
	struct output_file *report_out; /* NULL = standard output */
	struct encode_input in;
	struct output_file *out;
	struct buffer buffer; /* what a batch writer made and the file did not get yet */
	struct batch_header header;
	struct batch_writer *writer; /* NULL = no batch is open */
	struct batch_chunk *chunk;
	uint32_t chunk_cap;
	uint64_t chunk_first_row, batch_records, batches;
};

static enum rc load_study(struct study_job *s, struct diag *diag)
{
	struct buffer yaml;
	buffer_init(&yaml);
	enum rc rc = whole_file_read(s->job->study, STUDY_MAX_BYTES, &yaml, diag);
	if (rc == RC_OK)
		rc = study_parse(s->job->study, (const char *)yaml.data, yaml.len, &s->study, diag);
	buffer_deinit(&yaml);
	if (rc != RC_OK)
		return rc;
	s->source = study_find_source(s->study, s->job->source);
	if (s->source < 0)
		return diag_set(diag, RC_INVALID,
				"%s: there is no source of that name; its sources are under 'sources'", s->job->study);
	s->domain = s->study->sources[s->source].domain;
	return RC_OK;
}

/* The secret against the study's pinned key check: a custodian with another secret would silently link to nobody. */
static enum rc check_secret(struct study_job *s, const uint8_t *secret, struct diag *diag)
{
	const struct study_domain *domain = &s->study->domains[s->domain];
	struct diag inner = {""};
	uint8_t check[LINKAGE_KEY_CHECK_LEN];
	char ours[2 * LINKAGE_KEY_CHECK_LEN + 1], pinned[2 * LINKAGE_KEY_CHECK_LEN + 1];
	enum rc rc = linkage_secret_check(secret, LINKAGE_SECRET_LEN, &inner);
	if (rc != RC_OK)
		return diag_set(diag, rc, "%s: %s", s->job->secret, inner.text);
	if (!domain->has_key_check)
		return diag_set(diag, RC_NOT_ALLOWED,
				"%s: linkage.key_check is unset; take the study that 'throughcare keys init' pinned",
				s->job->study);
	rc = linkage_key_check(secret, LINKAGE_SECRET_LEN, domain->name, check);
	if (rc != RC_OK)
		return diag_set(diag, rc, "the key check could not be computed");
	memcpy(s->header.key_check, check, sizeof check);
	if (bytes_equal_const_time(check, domain->key_check, sizeof check))
		return RC_OK;
	hex_encode(check, sizeof check, ours);
	hex_encode(domain->key_check, sizeof domain->key_check, pinned);
	return diag_set(diag, RC_SECRET,
			"%s: this is not the linkage secret of domain '%s': its key check is %s, the study has %s. "
			"Compare both files with the other custodians; nothing was read",
			s->job->secret, domain->name, ours, pinned);
}

/* ---- filters that clkhash made ---- */

static ssize_t read_clks(void *ctx, void *buffer, size_t cap)
{
	ssize_t n;
	do
		n = read(*(int *)ctx, buffer, cap);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Such a filter stands for all of a person, and is sent as it is. */
static enum rc open_clks(struct study_job *s, struct diag *diag)
{
	const struct study_domain *domain = &s->study->domains[s->domain];
	const struct study_filter *filter = &domain->filters[0];
	const struct register_source source = {read_clks, &s->clk_fd};
	struct diag inner = {""};
	bool hardened = filter->diffusion != 0 || filter->balanced || filter->incomplete != INCOMPLETE_KEEP;
	if (domain->n_filters != 1 || hardened)
		return diag_set(
			diag, RC_NOT_ALLOWED,
			"%s: --from-clks needs a domain with one filter that is sent as it is; this one has %u%s",
			s->job->study, domain->n_filters, hardened ? ", and hardens them" : "");
	if (!domain->has_key_check)
		return diag_set(diag, RC_NOT_ALLOWED,
				"%s: linkage.key_check is unset; take the study that 'throughcare keys init' pinned",
				s->job->study);
	if (s->job->secret == NULL) {
		memcpy(s->header.key_check, domain->key_check, sizeof s->header.key_check);
		fprintf(stderr,
			"throughcare encode: %s: note: that these filters are from the study's secret and schema is "
			"taken on trust; where they are not, they link to nobody\n",
			s->job->from_clks);
	}
	s->clk_bytes = study_filter_bytes(domain, 0);
	s->clk_fd = open(s->job->from_clks, O_RDONLY | O_CLOEXEC);
	if (s->clk_fd < 0)
		return diag_set(diag, RC_IO, "%s: %s", s->job->from_clks, strerror(errno));
	enum rc rc = clk_file_open(&source, s->clk_bytes, &s->clks, &inner);
	return rc == RC_OK ? RC_OK : diag_set(diag, rc, "%s: %s", s->job->from_clks, inner.text);
}

static enum rc load_keys(struct study_job *s, struct diag *diag)
{
	const struct study_domain *domain = &s->study->domains[s->domain];
	struct secret_key *secret = NULL;
	struct diag inner = {""};
	enum rc rc = key_file_read(s->job->record_key, "record", &s->record_key, diag);
	if (s->job->secret == NULL)
		return rc;
	if (rc == RC_OK)
		rc = key_file_read(s->job->secret, "linkage", &secret, diag);
	if (rc == RC_OK)
		rc = check_secret(s, secret_key_bytes(secret), diag);
	if (rc == RC_OK && s->job->from_clks == NULL) {
		rc = encoder_new_domain(domain, secret_key_bytes(secret), LINKAGE_SECRET_LEN, &s->encoder, &inner);
		if (rc != RC_OK)
			diag_set(diag, rc, "%s: %s", s->job->study, inner.text);
	}
	secret_key_free(secret);
	if (rc == RC_OK && domain->schema->has_xorFolds)
		fprintf(stderr,
			"throughcare encode: %s: warning: xorFolds is not read, as by clkhash; xor_folds would be\n",
			s->job->study);
	return rc;
}

/* ---- batches ---- */

static enum rc flush_buffer(struct study_job *s, struct diag *diag)
{
	if (s->buffer.failed)
		return diag_set(diag, RC_NOMEM, "out of memory");
	enum rc rc = output_file_write(s->out, s->buffer.data, s->buffer.len, diag);
	buffer_reset(&s->buffer);
	return rc;
}

static enum rc end_batch(struct study_job *s, struct diag *diag)
{
	uint8_t id[BATCH_ID_LEN];
	if (s->writer == NULL)
		return RC_OK;
	enum rc rc = batch_writer_end(s->writer, id);
	if (rc != RC_OK)
		diag_set(diag, rc, "a batch could not be ended: %s", rc_text(rc));
	batch_writer_free(s->writer);
	s->writer = NULL;
	s->batch_records = 0;
	s->batches++;
	return rc == RC_OK ? flush_buffer(s, diag) : rc;
}

static enum rc begin_batch(struct study_job *s, struct diag *diag)
{
	s->header.first_row = s->chunk_first_row;
	enum rc rc = batch_writer_new(s->study, &s->header, &s->buffer, &s->writer);
	return rc == RC_OK ? RC_OK : diag_set(diag, rc, "a batch could not be begun: %s", rc_text(rc));
}

/* Write the chunk at hand, into the next batch where this one is full. */
static enum rc end_chunk(struct study_job *s, struct diag *diag)
{
	enum rc rc = RC_OK;
	if (s->chunk->n_records == 0)
		return RC_OK;
	if (s->writer == NULL)
		rc = begin_batch(s, diag);
	if (rc == RC_OK) {
		rc = batch_writer_chunk(s->writer, s->chunk);
		if (rc == RC_TOO_LARGE && s->batch_records > 0) {
			rc = end_batch(s, diag);
			if (rc == RC_OK)
				rc = begin_batch(s, diag);
			if (rc == RC_OK)
				rc = batch_writer_chunk(s->writer, s->chunk);
		}
		if (rc != RC_OK && diag->text[0] == '\0')
			diag_set(diag, rc, "a chunk could not be written: %s", rc_text(rc));
	}
	if (rc != RC_OK)
		return rc;
	s->batch_records += s->chunk->n_records;
	s->chunk->n_records = 0;
	rc = flush_buffer(s, diag);
	if (rc == RC_OK && s->batch_records >= s->job->batch_records)
		rc = end_batch(s, diag);
	return rc;
}

/* Records first … end − 1 of a block, none of them refused, into the chunk at hand and, when it is full, the next. */
static enum rc add_records(struct study_job *s, const struct row_block *block, uint32_t first, uint32_t end,
			   struct diag *diag)
{
	enum rc rc = RC_OK;
	while (first < end && rc == RC_OK) {
		uint64_t left = s->job->batch_records - s->batch_records - s->chunk->n_records;
		uint32_t room = s->chunk_cap - s->chunk->n_records, n = end - first;
		n = n < room ? n : room;
		n = n < left ? n : (uint32_t)left;
		if (s->chunk->n_records == 0)
			s->chunk_first_row = block->rows[first].number;
		batch_chunk_append(s->study, s->domain, block->chunk, first, n, s->chunk);
		first += n;
		if (n == room || n == left)
			rc = end_chunk(s, diag);
	}
	return rc;
}

/* The records of a block in their order; the first bad row is an error or is set aside. */
static enum rc take_block(void *ctx, unsigned at, struct diag *diag)
{
	struct study_job *s = ctx;
	struct row_block *block = s->run.blocks[at];
	uint32_t first = 0;
	enum rc rc = RC_OK;
	for (uint32_t i = 0; i < block->n && rc == RC_OK; i++) {
		struct row_result *result = &block->results[i];
		struct record_error repeated;
		const struct record_error *error = result->error;
		if (i + AHEAD < block->n)
			record_ledger_expect(s->ledger, &block->results[i + AHEAD].facts);
		if (result->rc == RC_OK) {
			result->rc = record_ledger_add(s->ledger, &result->facts, block->chunk, i, &repeated);
			error = &repeated;
			if (result->rc == RC_IO || result->rc == RC_NOSPACE)
				return diag_set(diag, result->rc,
						"%s: the temporary file of record numbers: %s; TMPDIR names its folder",
						idset_folder(), strerror(errno));
		}
		if (result->rc == RC_OK && s->report != NULL)
			encode_report_add(s->report, &block->rows[i], &result->facts, block->chunk, i);
		if (result->rc == RC_OK)
			continue;
		if (result->rc == RC_INVALID && s->report != NULL)
			encode_report_refuse(s->report, error->column, error->rule);
		rc = row_block_report(block, i, &s->in, error, diag);
		if (rc == RC_OK)
			rc = add_records(s, block, first, i, diag);
		first = i + 1;
	}
	return rc == RC_OK ? add_records(s, block, first, (uint32_t)block->n, diag) : rc;
}

static void encode_block(void *ctx, unsigned worker, unsigned piece)
{
	struct study_job *s = ctx;
	row_block_encode(s->run.blocks[piece], s->readers[worker]);
}

/* A block without its filters is not encoded at all. */
static enum rc take_clks(void *ctx, struct row_block *block, bool *more, struct diag *diag)
{
	struct study_job *s = ctx;
	struct diag inner = {""};
	enum rc rc = row_block_take_clks(block, s->clks, s->clk_bytes, !*more, &inner);
	if (rc == RC_OK)
		return RC_OK;
	block->n = 0;
	*more = false;
	return diag_set(diag, rc, "%s: %s", s->job->from_clks, inner.text);
}

static enum rc encode_rows(struct study_job *s, struct diag *diag)
{
	s->run.encode = encode_block;
	s->run.filled = s->clks != NULL ? take_clks : NULL;
	s->run.take = take_block;
	s->run.ctx = s;
	enum rc rc = row_run(&s->run, &s->in, diag);
	if (rc == RC_OK)
		rc = end_chunk(s, diag);
	if (rc == RC_OK)
		rc = end_batch(s, diag);
	if (rc == RC_OK && s->batches == 0)
		rc = diag_set(diag, RC_INVALID, "%s: there is no record to encode after the header", s->in.name);
	return rc;
}

static enum rc prepare_workers(struct study_job *s, const struct record_options *options, struct diag *diag)
{
	struct diag inner = {""};
	enum rc rc = RC_OK;
	row_run_workers(&s->run, s->job->threads);
	if (s->encoder != NULL)
		encoder_set_workers(s->encoder, s->run.n_workers);
	for (unsigned i = 0; i < s->run.n_workers && rc == RC_OK; i++)
		rc = record_reader_new(options, s->in.file, &s->readers[i], &inner);
	if (rc != RC_OK)
		return diag_set(diag, rc, "%s: %s", s->in.name, inner.text);
	for (unsigned i = 0; i < s->run.n_blocks && rc == RC_OK; i++)
		rc = row_block_new(s->study, s->domain, s->run.block_rows, &s->run.blocks[i]);
	if (rc == RC_OK)
		rc = record_ledger_new(s->study, s->domain, &s->ledger);
	if (rc == RC_OK && s->job->report != NULL)
		rc = encode_report_new(s->study, s->domain, s->in.file, &s->report);
	return rc == RC_OK ? RC_OK : diag_set(diag, rc, "out of memory");
}

static enum rc prepare(struct study_job *s, struct diag *diag)
{
	const struct study_domain *domain = &s->study->domains[s->domain];
	struct record_options options = {
		.study = s->study,
		.source = s->source,
		.encoder = s->encoder,
		.record_key = secret_key_bytes(s->record_key),
		/* One day of grace, since the daemon counts days in UTC. */
		.latest_day = (int32_t)(time(NULL) / 86400) + 1,
	};
	memcpy(s->header.source, s->study->sources[s->source].name, sizeof s->header.source);
	memcpy(s->header.encoding_id, domain->encoding_id, sizeof s->header.encoding_id);
	snprintf(s->header.software, sizeof s->header.software, "throughcare %s", TC_VERSION);
	enum rc rc = encode_input_open(s->job, &s->in, diag);
	if (rc != RC_OK)
		return rc;
	rc = prepare_workers(s, &options, diag);
	if (rc != RC_OK)
		return rc;
	s->chunk_cap = batch_chunk_cap(s->study, s->domain);
	rc = batch_chunk_new(s->study, s->domain, s->chunk_cap, &s->chunk);
	if (rc != RC_OK)
		return diag_set(diag, rc, "out of memory");
	/* Before the register is read, not hours later. */
	if (s->job->report != NULL && strcmp(s->job->report, "-") != 0)
		rc = output_file_open(s->job->report, &s->report_out, diag);
	return rc == RC_OK ? output_file_open(s->job->output, &s->out, diag) : rc;
}

static void print_share(const char *name, uint64_t n, uint64_t of)
{
	if (n > 0)
		printf("  %-24s %10llu  %5.1f %%\n", name, (unsigned long long)n, 100.0 * (double)n / (double)of);
}

static void print_summary(const struct study_job *s)
{
	const struct record_counts *c = record_ledger_counts(s->ledger);
	const struct schema *schema = s->study->domains[s->domain].schema;
	char size[BYTES_TEXT_CAP];
	printf("%s: %llu rows, %llu records in %llu batch%s, %s; %llu rows set aside\n", s->in.name,
	       (unsigned long long)s->in.rows, (unsigned long long)c->records, (unsigned long long)s->batches,
	       s->batches == 1 ? "" : "es", bytes_text(output_file_size(s->out), size),
	       (unsigned long long)s->in.rejected);
	if (s->job->found_key)
		printf("record numbers are hidden under %s\n", s->job->record_key);
	printf("missing, by field:\n");
	for (uint16_t f = 0; f < schema->n_features; f++)
		print_share(schema->features[f].identifier, c->missing[f], c->records);
	printf("unknown, by dimension:\n");
	for (uint8_t d = 0; d < s->study->n_dimensions; d++)
		print_share(s->study->dimensions[d].name, c->unknown[d], c->records);
	if (c->nothing_to_encode > 0)
		printf("%llu records have nothing to encode and can link to nobody\n",
		       (unsigned long long)c->nothing_to_encode);
}

enum rc encode_study(const struct encode_job *job, struct diag *diag)
{
	struct study_job s = {.job = job, .in.fd = -1, .clk_fd = -1};
	buffer_init(&s.buffer);
	enum rc rc = load_study(&s, diag);
	if (rc == RC_OK)
		rc = load_keys(&s, diag);
	if (rc == RC_OK && job->from_clks != NULL)
		rc = open_clks(&s, diag);
	if (rc == RC_OK)
		rc = prepare(&s, diag);
	if (rc == RC_OK)
		rc = encode_rows(&s, diag);
	struct diag close_diag = {""};
	enum rc closed = encode_input_close(&s.in, &close_diag);
	if (rc == RC_OK && closed != RC_OK)
		rc = diag_set(diag, closed, "%s", close_diag.text);
	if (rc == RC_OK)
		rc = output_file_commit(s.out, diag);
	if (rc == RC_OK)
		print_summary(&s);
	if (rc == RC_OK && s.report != NULL) {
		const struct report_summary summary = {s.in.name, s.in.rows, s.in.rejected};
		rc = encode_report_write(s.report, &summary, job->report, s.report_out, diag);
	}
	output_file_close(s.report_out);
	encode_report_free(s.report);
	clk_file_close(s.clks);
	if (s.clk_fd >= 0)
		close(s.clk_fd);
	output_file_close(s.out);
	batch_writer_free(s.writer);
	batch_chunk_free(s.chunk);
	buffer_wipe(&s.buffer);
	for (unsigned i = 0; i < s.run.n_workers; i++)
		record_reader_free(s.readers[i]);
	row_run_deinit(&s.run);
	record_ledger_free(s.ledger);
	encoder_free(s.encoder);
	secret_key_free(s.record_key);
	study_free(s.study);
	return rc;
}
