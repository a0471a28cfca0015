/* A small study built by hand, and batches for it, shared by the tests of the batch format and its fuzz targets. */
#ifndef TESTS_UNIT_BATCH_FIXTURE_H
#define TESTS_UNIT_BATCH_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/batch.h"

enum { FIXTURE_PRISON, FIXTURE_TREATMENT };
enum { FIXTURE_RELEASE, FIXTURE_START };

static inline void fixture_study(struct study *s)
{
	struct study_domain *d = &s->domains[0];

	memset(s, 0, sizeof *s);
	strcpy(s->name, "fixture");
	s->n_domains = 1;
	strcpy(d->name, "main");
	d->n_filters = 2;
	strcpy(d->filters[0].name, "name");
	d->filters[0].bits = 64;
	strcpy(d->filters[1].name, "date_of_birth");
	d->filters[1].bits = 128;
	memset(d->encoding_id, 0xe1, sizeof d->encoding_id);
	d->has_key_check = true;
	memset(d->key_check, 0xc4, sizeof d->key_check);
	s->n_sources = 2;
	strcpy(s->sources[0].name, "prison");
	s->sources[0].kind = SOURCE_PRISON;
	strcpy(s->sources[1].name, "treatment");
	s->sources[1].kind = SOURCE_TREATMENT;
	s->n_events = 2;
	strcpy(s->events[0].name, "release");
	s->events[0].kinds = 1u << SOURCE_PRISON;
	strcpy(s->events[1].name, "treatment_start");
	s->events[1].kinds = 1u << SOURCE_TREATMENT;
	s->n_dimensions = 1;
	strcpy(s->dimensions[0].name, "sex");
	s->dimensions[0].n_codes = 2;
	strcpy(s->dimensions[0].codes[0], "unknown");
	strcpy(s->dimensions[0].codes[1], "male");
	strcpy(s->dimensions[0].codes[2], "female");
}

static inline void fixture_header(const struct study *s, struct batch_header *h)
{
	memset(h, 0, sizeof *h);
	strcpy(h->source, "prison");
	memcpy(h->encoding_id, s->domains[0].encoding_id, sizeof h->encoding_id);
	memcpy(h->key_check, s->domains[0].key_check, sizeof h->key_check);
	strcpy(h->software, "test 1");
	h->first_row = 7;
}

/* Record number `n` of the fixture, into place i. Every third has no person id, every fourth lacks the second filter.
 */
static inline void fixture_record(const struct study *s, struct batch_chunk *c, uint32_t i, uint32_t n)
{
	for (int b = 0; b < 4; b++)
		c->record_ids[i][b] = (uint8_t)(n >> (24 - 8 * b));
	c->record_ids[i][15] = 1;
	c->revisions[i] = n % 5 == 4 ? n : 0;
	if (n % 3 != 0)
		memset(c->person_ids[i], (int)(n % 250 + 1), PERSON_ID_LEN);
	for (int f = 0; f < 2; f++) {
		size_t len = study_filter_bytes(&s->domains[0], f);
		c->missing[f][i] = f == 1 && n % 4 == 3;
		for (size_t b = 0; b < len && !c->missing[f][i]; b++)
			c->filters[f][i * len + b] = (uint8_t)(n * 31 + b * 7 + (size_t)f);
	}
	c->events[i] = FIXTURE_RELEASE;
	c->days[i] = 19700 + (int32_t)(n % 400);
	c->codes[0][i] = (uint8_t)(n % 3);
}

/* A batch of n records in chunks of `per_chunk`, appended to `out`. Aborts on failure. */
static inline void fixture_batch(const struct study *s, uint32_t n, uint32_t per_chunk, struct buffer *out,
				 uint8_t id[BATCH_ID_LEN])
{
	struct batch_header header;
	struct batch_writer *w = NULL;

	fixture_header(s, &header);
	if (batch_writer_new(s, &header, out, &w) != RC_OK)
		abort();
	for (uint32_t done = 0; done < n;) {
		struct batch_chunk *c = NULL;
		if (batch_chunk_new(s, 0, per_chunk, &c) != RC_OK)
			abort();
		for (; c->n_records < per_chunk && done < n; done++)
			fixture_record(s, c, c->n_records++, done);
		if (batch_writer_chunk(w, c) != RC_OK)
			abort();
		batch_chunk_free(c);
	}
	if (batch_writer_end(w, id) != RC_OK)
		abort();
	batch_writer_free(w);
}

/* The same records in the JSON form. */
static inline void fixture_json(const struct study *s, uint32_t n, struct buffer *out)
{
	struct batch_header h;
	struct batch_chunk *c = NULL;
	char hex[65], base64[64], date[DAY_TEXT_LEN];

	fixture_header(s, &h);
	hex_encode(h.encoding_id, sizeof h.encoding_id, hex);
	buffer_printf(out, "{\"source\": \"prison\", \"encoding_id\": \"%s\", ", hex);
	hex_encode(h.key_check, sizeof h.key_check, hex);
	buffer_printf(out, "\"key_check\": \"%s\", \"software\": \"test 1\", \"first_row\": 7, \"records\": [", hex);
	for (uint32_t i = 0; i < n; i++) {
		if (batch_chunk_new(s, 0, 1, &c) != RC_OK)
			abort();
		fixture_record(s, c, 0, i);
		hex_encode(c->record_ids[0], RECORD_ID_LEN, hex);
		buffer_printf(out, "%s{\"record_id\": \"%s\", \"revision\": %llu, ", i ? ", " : "", hex,
			      (unsigned long long)c->revisions[0]);
		if (i % 3 != 0) {
			hex_encode(c->person_ids[0], PERSON_ID_LEN, hex);
			buffer_printf(out, "\"person_id\": \"%s\", ", hex);
		}
		base64_encode(c->filters[0], 8, base64);
		buffer_printf(out, "\"filters\": {\"name\": \"%s\"", base64);
		if (!c->missing[1][0]) {
			base64_encode(c->filters[1], 16, base64);
			buffer_printf(out, ", \"date_of_birth\": \"%s\"", base64);
		}
		day_format(c->days[0], date);
		buffer_printf(out, "}, \"event\": \"release\", \"date\": \"%s\", \"dimensions\": {\"sex\": \"%s\"}}",
			      date, s->dimensions[0].codes[c->codes[0][0]]);
		batch_chunk_free(c);
	}
	buffer_append(out, "]}", 2);
}

/* Read a whole batch in pieces of `step` bytes and count what comes out. */
struct fixture_result {
	uint64_t n_records, n_chunks, n_headers, end_records;
	uint8_t id[BATCH_ID_LEN];
	struct batch_chunk *first; /* owned */
	struct diag diag;
};

static inline enum rc fixture_on_header(void *ctx, const struct batch_header *header, int source, int domain)
{
	struct fixture_result *result = ctx;
	result->n_headers++;
	return RC_OK;
}

static inline enum rc fixture_on_chunk(void *ctx, struct batch_chunk *chunk, const uint8_t *frame, size_t frame_len)
{
	struct fixture_result *result = ctx;
	result->n_records += chunk->n_records;
	result->n_chunks++;
	if (result->first == NULL)
		result->first = chunk;
	else
		batch_chunk_free(chunk);
	return RC_OK;
}

static inline enum rc fixture_read(const struct study *s, const uint8_t *data, size_t len, size_t step,
				   struct fixture_result *result)
{
	const struct batch_sink sink = {fixture_on_header, fixture_on_chunk, result};
	const struct batch_limits limits = {.max_bytes = BATCH_MAX_BYTES};
	struct batch_reader *r = NULL;

	memset(result, 0, sizeof *result);
	enum rc rc = batch_reader_new(s, &sink, &limits, &r);
	for (size_t at = 0; at < len && rc == RC_OK; at += step)
		rc = batch_reader_feed(r, data + at, len - at < step ? len - at : step, &result->diag);
	if (rc == RC_OK)
		rc = batch_reader_end(r, result->id, &result->end_records, &result->diag);
	batch_reader_free(r);
	return rc;
}

#endif
