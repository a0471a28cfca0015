/* Two labelled registers, encoded exactly as `throughcare encode` does, straight into a pool. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keys/key_file.h"
#include "keys/linkage_secret.h"
#include "tools/encode/record.h"
#include "tools/encode/register.h"
#include "tools/lab/lab.h"
#include "tools/whole_file.h"

const uint8_t lab_record_key[32] = {0x6c, 0x61, 0x62};

static ssize_t read_fd(void *ctx, void *buffer, size_t cap)
{
	const int *fd = ctx;
	ssize_t n;

	do
		n = read(*fd, buffer, cap);
	while (n < 0 && errno == EINTR);
	return n;
}

enum rc lab_csv_open(const char *path, struct lab_csv *ret, struct diag *diag)
{
	struct register_source source = {read_fd, &ret->fd};
	struct diag inner = {""};
	enum rc rc;

	ret->file = NULL;
	ret->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (ret->fd < 0)
		return diag_set(diag, RC_IO, "%s: %s", path, strerror(errno));
	rc = register_open(&source, &ret->file, &inner);
	if (rc != RC_OK) {
		close(ret->fd);
		ret->fd = -1;
		return diag_set(diag, rc, "%s: %s", path, inner.text);
	}
	return RC_OK;
}

void lab_csv_close(struct lab_csv *csv)
{
	register_close(csv->file);
	if (csv->fd >= 0)
		close(csv->fd);
}

static enum rc load_study(const struct lab_input *input, struct lab_registers *r, struct diag *diag)
{
	static const enum study_source_kind kinds[LAB_SIDES] = {SOURCE_PRISON, SOURCE_TREATMENT};
	struct buffer yaml;
	enum rc rc;

	buffer_init(&yaml);
	rc = whole_file_read(input->study, STUDY_MAX_BYTES, &yaml, diag);
	if (rc == RC_OK)
		rc = study_parse(input->study, (const char *)yaml.data, yaml.len, &r->study, diag);
	buffer_deinit(&yaml);
	if (rc != RC_OK)
		return rc;
	for (int side = 0; side < LAB_SIDES; side++) {
		r->source[side] = -1;
		for (int s = r->study->n_sources; s-- > 0;) {
			if (r->study->sources[s].kind == kinds[side])
				r->source[side] = s;
		}
		if (r->source[side] < 0)
			return diag_set(diag, RC_INVALID, "%s: there is no source of kind '%s'", input->study,
					study_source_kind_name(kinds[side]));
	}
	r->domain = r->study->sources[r->source[0]].domain;
	if (r->domain != r->study->sources[r->source[1]].domain)
		return diag_set(
			diag, RC_INVALID,
			"%s: its first prison and its first treatment source are of two encoding domains, which never "
			"compare",
			input->study);
	return RC_OK;
}

/* A study that is not pinned yet may be tried with any secret; one that is, with its own only. */
static enum rc make_encoder(const struct lab_input *input, const struct study_domain *domain, struct encoder **ret,
			    struct diag *diag)
{
	struct secret_key *secret = NULL;
	struct diag inner = {""};
	uint8_t check[LINKAGE_KEY_CHECK_LEN];
	enum rc rc = key_file_read(input->secret, "linkage", &secret, diag);

	if (rc == RC_OK)
		rc = linkage_key_check(secret_key_bytes(secret), LINKAGE_SECRET_LEN, domain->name, check);
	if (rc == RC_OK && domain->has_key_check && !bytes_equal_const_time(check, domain->key_check, sizeof check))
		rc = diag_set(diag, RC_SECRET, "%s: this is not the linkage secret that the study pins", input->secret);
	if (rc == RC_OK) {
		rc = encoder_new_domain(domain, secret_key_bytes(secret), LINKAGE_SECRET_LEN, ret, &inner);
		if (rc != RC_OK)
			diag_set(diag, rc, "%s: %s", input->study, inner.text);
	}
	secret_key_free(secret);
	return rc;
}

static enum rc keep_event(struct lab_registers *r, int side, const struct batch_chunk *chunk)
{
	uint32_t n = r->n_rows[0] + r->n_rows[1];

	if (!r->with_events)
		return RC_OK;
	if (n == r->events_cap) {
		uint32_t cap = r->events_cap * 2 + 4096;
		struct stats_event *events = reallocarray(r->events, cap, sizeof *events);

		if (events == NULL)
			return RC_NOMEM;
		r->events = events;
		r->events_cap = cap;
	}
	r->events[n] = (struct stats_event){
		.source = (uint16_t)r->source[side], .event = chunk->events[0], .day = chunk->days[0]};
	for (int d = 0; d < r->study->n_dimensions; d++)
		r->events[n].codes[d] = chunk->codes[d][0];
	memcpy(r->events[n].record_id, chunk->record_ids[0], sizeof r->events[n].record_id);
	return RC_OK;
}

static enum rc add_record(struct lab_registers *r, int side, const struct batch_chunk *chunk)
{
	const struct study_domain *domain = &r->study->domains[r->domain];
	struct link_row row = {.source = (uint16_t)r->source[side], .revision = chunk->revisions[0]};
	uint32_t number;
	enum rc rc;

	memcpy(row.record_id, chunk->record_ids[0], RECORD_ID_LEN);
	memcpy(row.person_id, chunk->person_ids[0], PERSON_ID_LEN);
	for (int f = 0; f < domain->n_filters; f++) {
		row.filters[f] = chunk->filters[f];
		row.missing[f] = chunk->missing[f][0] != 0;
	}
	rc = link_pool_add(r->pool, &row, &number);
	if (rc == RC_OK)
		rc = keep_event(r, side, chunk);
	if (rc == RC_OK)
		r->n_rows[side]++;
	return rc;
}

static enum rc encode_rows(struct lab_registers *r, int side, const char *path, struct record_reader *reader,
			   struct record_ledger *ledger, struct lab_csv *csv, struct batch_chunk *chunk,
			   struct diag *diag)
{
	struct register_row row;
	struct diag inner = {""};
	bool more = true;
	enum rc rc = RC_OK;

	while (rc == RC_OK) {
		struct record_error error = {.column = ""};

		rc = register_next(csv->file, &row, &more, &inner);
		if (rc != RC_OK)
			return diag_set(diag, rc, "%s: %s", path, inner.text);
		if (!more)
			break;
		rc = record_read(reader, ledger, &row, chunk, 0, &error);
		if (rc == RC_INVALID)
			return diag_set(diag, rc, "%s: row %llu%s%s: %s", path, (unsigned long long)row.number,
					error.column[0] != '\0' ? ", column " : "", error.column, error.rule);
		if (rc == RC_OK)
			rc = add_record(r, side, chunk);
	}
	return rc;
}

static enum rc encode_register(struct lab_registers *r, int side, const char *path, const struct encoder *encoder,
			       struct diag *diag)
{
	struct record_options options = {.study = r->study,
					 .source = r->source[side],
					 .encoder = encoder,
					 .record_key = lab_record_key,
					 .latest_day = DAY_MAX};
	struct lab_csv csv;
	struct record_reader *reader = NULL;
	struct record_ledger *ledger = NULL;
	struct batch_chunk *chunk = NULL;
	struct diag inner = {""};
	enum rc rc = lab_csv_open(path, &csv, diag);

	if (rc != RC_OK)
		return rc;
	rc = record_reader_new(&options, csv.file, &reader, &inner);
	if (rc != RC_OK)
		diag_set(diag, rc, "%s: %s", path, inner.text);
	if (rc == RC_OK)
		rc = record_ledger_new(r->study, r->domain, &ledger);
	if (rc == RC_OK)
		rc = batch_chunk_new(r->study, r->domain, 1, &chunk);
	if (rc == RC_OK)
		rc = encode_rows(r, side, path, reader, ledger, &csv, chunk, diag);
	batch_chunk_free(chunk);
	record_ledger_free(ledger);
	record_reader_free(reader);
	lab_csv_close(&csv);
	return rc;
}

enum rc lab_study_load(const struct lab_input *input, struct lab_registers *ret, struct diag *diag)
{
	memset(ret, 0, sizeof *ret);
	return load_study(input, ret, diag);
}

enum rc lab_registers_encode(const struct lab_input *input, struct lab_registers *r, struct diag *diag)
{
	struct encoder *encoder = NULL;
	enum rc rc;

	link_pool_free(r->pool);
	r->pool = NULL;
	memset(r->n_rows, 0, sizeof r->n_rows);
	rc = make_encoder(input, &r->study->domains[r->domain], &encoder, diag);
	if (rc == RC_OK)
		rc = link_pool_new(&r->study->domains[r->domain], &input->options, &r->pool);
	for (int side = 0; side < LAB_SIDES && rc == RC_OK; side++)
		rc = encode_register(r, side, input->csv[side], encoder, diag);
	encoder_free(encoder);
	return rc;
}

enum rc lab_registers_load(const struct lab_input *input, struct lab_registers *ret, struct diag *diag)
{
	enum rc rc = lab_study_load(input, ret, diag);

	return rc == RC_OK ? lab_registers_encode(input, ret, diag) : rc;
}

void lab_registers_deinit(struct lab_registers *registers)
{
	link_pool_free(registers->pool);
	free(registers->events);
	study_free(registers->study);
}
