/* A chunk of records in memory, and its form on the wire.
 *
 * Invariant: a chunk that left this file through decode fits its study in every length and every value, so that nobody
 * after the border checks again. The same checks stand in front of encode: what we write, we also read. */
#include <stdlib.h>
#include <string.h>

#include "proto/batch_frame.h"

/* One allocation: the chunk, then its columns. Knowing its size, free can wipe it whole. */
struct chunk_block {
	struct batch_chunk chunk;
	size_t size;
};

enum { COLUMN_ALIGN = 16 };

static size_t aligned(size_t n)
{
	return (n + COLUMN_ALIGN - 1) & ~(size_t)(COLUMN_ALIGN - 1);
}

/* The most bytes a record can take on the wire: ids, revision (10), filters with a missing bit each (rounded up to a
 * byte), event (1), day (5), codes. */
static size_t worst_record_bytes(const struct study *study, int domain)
{
	const struct study_domain *d = &study->domains[domain];
	return RECORD_ID_LEN + 10 + PERSON_ID_LEN + study_record_bytes(d) + d->n_filters + 1 + 5 + study->n_dimensions;
}

uint32_t batch_chunk_cap(const struct study *study, int domain)
{
	/* 1 KiB is more than the tags and lengths of all columns. */
	size_t cap = (CHUNK_MAX_BYTES - 1024) / worst_record_bytes(study, domain);
	return cap < CHUNK_MAX_RECORDS ? (uint32_t)cap : CHUNK_MAX_RECORDS;
}

static uint8_t *take_column(uint8_t *base, size_t *at, size_t len)
{
	uint8_t *column = base + *at;
	*at += aligned(len);
	return column;
}

enum rc batch_chunk_new(const struct study *study, int domain, uint32_t cap, struct batch_chunk **ret)
{
	const struct study_domain *d = &study->domains[domain];
	size_t fixed = 2 * RECORD_ID_LEN + sizeof(uint64_t) + sizeof(int32_t) + 1u + d->n_filters + study->n_dimensions;

	if (cap == 0 || cap > CHUNK_MAX_RECORDS)
		return RC_TOO_LARGE;
	size_t n_columns = 5u + 2u * d->n_filters + study->n_dimensions;
	size_t at = aligned(sizeof(struct chunk_block));
	size_t size = at + cap * (fixed + study_record_bytes(d)) + n_columns * COLUMN_ALIGN;
	uint8_t *base = calloc(1, size);
	if (base == NULL)
		return RC_NOMEM;
	struct chunk_block *block = (void *)base;
	struct batch_chunk *c = &block->chunk;
	block->size = size;
	c->record_ids = (void *)take_column(base, &at, (size_t)cap * RECORD_ID_LEN);
	c->revisions = (void *)take_column(base, &at, cap * sizeof(uint64_t));
	c->person_ids = (void *)take_column(base, &at, (size_t)cap * PERSON_ID_LEN);
	for (int f = 0; f < d->n_filters; f++) {
		c->filters[f] = take_column(base, &at, cap * study_filter_bytes(d, f));
		c->missing[f] = take_column(base, &at, cap);
	}
	c->events = take_column(base, &at, cap);
	c->days = (void *)take_column(base, &at, cap * sizeof(int32_t));
	for (int i = 0; i < study->n_dimensions; i++)
		c->codes[i] = take_column(base, &at, cap);
	*ret = c;
	return RC_OK;
}

void batch_chunk_append(const struct study *study, int domain, const struct batch_chunk *from, uint32_t first,
			uint32_t n, struct batch_chunk *to)
{
	const struct study_domain *d = &study->domains[domain];
	size_t at = to->n_records;

	memcpy(to->record_ids[at], from->record_ids[first], (size_t)n * RECORD_ID_LEN);
	memcpy(to->revisions + at, from->revisions + first, n * sizeof *to->revisions);
	memcpy(to->person_ids[at], from->person_ids[first], (size_t)n * PERSON_ID_LEN);
	for (int f = 0; f < d->n_filters; f++) {
		size_t bytes = study_filter_bytes(d, f);
		memcpy(to->filters[f] + at * bytes, from->filters[f] + first * bytes, n * bytes);
		memcpy(to->missing[f] + at, from->missing[f] + first, n);
	}
	memcpy(to->events + at, from->events + first, n);
	memcpy(to->days + at, from->days + first, n * sizeof *to->days);
	for (int i = 0; i < study->n_dimensions; i++)
		memcpy(to->codes[i] + at, from->codes[i] + first, n);
	to->n_records += n;
}

void batch_chunk_free(struct batch_chunk *chunk)
{
	if (chunk == NULL)
		return;
	struct chunk_block *block = (struct chunk_block *)(void *)chunk;
	explicit_bzero(block, block->size);
	free(block);
}

/* ---- checking ---- */

static enum rc refuse(const struct chunk_place *place, uint32_t i, enum rc rc, const char *what, const char *name,
		      const char *why, struct diag *diag)
{
	unsigned long long record = (unsigned long long)place->first_record + i + 1;
	const char *dot = name[0] != '\0' ? "." : "";

	if (place->frame == 0)
		return diag_set(diag, rc, "record %llu: %s%s%s: %s", record, what, dot, name, why);
	return diag_set(diag, rc, "frame %u, record %llu: %s%s%s: %s", place->frame, record, what, dot, name, why);
}

static bool is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static enum rc check_filters(const struct study_domain *d, const struct batch_chunk *c, const struct chunk_place *place,
			     struct diag *diag)
{
	for (int f = 0; f < d->n_filters; f++) {
		size_t len = study_filter_bytes(d, f);
		for (uint32_t i = 0; i < c->n_records; i++) {
			if (c->missing[f][i] > 1 || (c->missing[f][i] && !is_zero(c->filters[f] + i * len, len)))
				return refuse(place, i, RC_INVALID, "filters", d->filters[f].name,
					      "it is marked missing but has bits", diag);
		}
	}
	return RC_OK;
}

static enum rc check_codes(const struct study *study, const struct batch_chunk *c, const struct chunk_place *place,
			   struct diag *diag)
{
	for (int k = 0; k < study->n_dimensions; k++) {
		const struct study_dimension *dim = &study->dimensions[k];
		for (uint32_t i = 0; i < c->n_records; i++) {
			if (c->codes[k][i] > dim->n_codes)
				return refuse(place, i, RC_INVALID, "dimensions", dim->name,
					      "the code is not in the study", diag);
		}
	}
	return RC_OK;
}

static enum rc check_event(const struct study *study, const struct batch_chunk *c, uint32_t i,
			   const struct chunk_place *place, struct diag *diag)
{
	int32_t latest = place->latest_day != 0 && place->latest_day < DAY_MAX ? place->latest_day : DAY_MAX;

	if (c->events[i] >= study->n_events)
		return refuse(place, i, RC_INVALID, "event", "", "the study has no such event", diag);
	if (place->source >= 0 && !study_source_may_send(study, place->source, c->events[i]))
		return refuse(place, i, RC_NOT_ALLOWED, "event", study->events[c->events[i]].name,
			      "a source of this kind may not send it", diag);
	if (c->days[i] < BATCH_DAY_MIN)
		return refuse(place, i, RC_INVALID, "day", "", "it is before 1900-01-01", diag);
	if (c->days[i] > latest)
		return refuse(place, i, RC_INVALID, "day", "", "it lies in the future", diag);
	return RC_OK;
}

enum rc batch_chunk_check(const struct study *study, int domain, const struct batch_chunk *chunk,
			  const struct chunk_place *place, struct diag *diag)
{
	enum rc rc = RC_OK;

	if (chunk->n_records == 0 || chunk->n_records > CHUNK_MAX_RECORDS)
		return diag_set(diag, RC_INVALID, "frame %u: a chunk has 1 to %d records", place->frame,
				CHUNK_MAX_RECORDS);
	for (uint32_t i = 0; i < chunk->n_records && rc == RC_OK; i++)
		rc = check_event(study, chunk, i, place, diag);
	if (rc == RC_OK)
		rc = check_filters(&study->domains[domain], chunk, place, diag);
	if (rc == RC_OK)
		rc = check_codes(study, chunk, place, diag);
	return rc;
}

/* ---- encoding ---- */

/* What the packed message points at beyond the chunk's own columns. */
struct pack_space {
	Throughcare__Batch__FilterColumn filters[STUDY_MAX_FILTERS], *filter_pointers[STUDY_MAX_FILTERS];
	Throughcare__Batch__DimensionColumn dimensions[STUDY_MAX_DIMENSIONS], *dimension_pointers[STUDY_MAX_DIMENSIONS];
	uint8_t missing[STUDY_MAX_FILTERS][CHUNK_MAX_RECORDS / 8];
	uint32_t events[CHUNK_MAX_RECORDS];
};

static bool any_nonzero(const void *column, size_t len)
{
	return !is_zero(column, len);
}

static void pack_filter(const struct batch_chunk *c, int f, size_t filter_bytes, struct pack_space *s)
{
	size_t n = c->n_records;
	Throughcare__Batch__FilterColumn *column = &s->filters[f];

	throughcare__batch__filter_column__init(column);
	s->filter_pointers[f] = column;
	column->bits = (ProtobufCBinaryData){n * filter_bytes, c->filters[f]};
	if (!any_nonzero(c->missing[f], n))
		return;
	for (size_t i = 0; i < n; i++) {
		if (c->missing[f][i])
			s->missing[f][i >> 3] |= (uint8_t)(0x80 >> (i & 7));
	}
	column->missing = (ProtobufCBinaryData){(n + 7) / 8, s->missing[f]};
}

static void pack_chunk(const struct study *study, const struct study_domain *d, const struct batch_chunk *c,
		       struct pack_space *s, Throughcare__Batch__Chunk *m)
{
	size_t n = c->n_records;

	throughcare__batch__chunk__init(m);
	m->n_records = c->n_records;
	m->record_ids = (ProtobufCBinaryData){n * RECORD_ID_LEN, c->record_ids[0]};
	if (any_nonzero(c->revisions, n * sizeof c->revisions[0])) {
		m->n_revisions = n;
		m->revisions = c->revisions;
	}
	if (any_nonzero(c->person_ids, n * PERSON_ID_LEN))
		m->person_ids = (ProtobufCBinaryData){n * PERSON_ID_LEN, c->person_ids[0]};
	for (int f = 0; f < d->n_filters; f++)
		pack_filter(c, f, study_filter_bytes(d, f), s);
	m->n_filters = d->n_filters;
	m->filters = s->filter_pointers;
	for (size_t i = 0; i < n; i++)
		s->events[i] = c->events[i];
	m->n_events = n;
	m->events = s->events;
	m->n_days = n;
	m->days = c->days;
	for (int i = 0; i < study->n_dimensions; i++) {
		throughcare__batch__dimension_column__init(&s->dimensions[i]);
		s->dimensions[i].codes = (ProtobufCBinaryData){n, c->codes[i]};
		s->dimension_pointers[i] = &s->dimensions[i];
	}
	m->n_dimensions = study->n_dimensions;
	m->dimensions = s->dimension_pointers;
}

enum rc batch_chunk_encode(const struct study *study, int domain, const struct batch_chunk *chunk, struct buffer *out)
{
	const struct chunk_place place = {.source = -1};
	Throughcare__Batch__Frame frame;
	Throughcare__Batch__Chunk message;
	size_t start = out->len;

	enum rc rc = batch_chunk_check(study, domain, chunk, &place, NULL);
	if (rc != RC_OK)
		return rc;
	struct pack_space *space = calloc(1, sizeof *space);
	if (space == NULL)
		return RC_NOMEM;
	pack_chunk(study, &study->domains[domain], chunk, space, &message);
	throughcare__batch__frame__init(&frame);
	frame.body_case = THROUGHCARE__BATCH__FRAME__BODY_CHUNK;
	frame.chunk = &message;
	if (protobuf_c_message_get_packed_size(&frame.base) > CHUNK_MAX_BYTES)
		rc = RC_TOO_LARGE;
	else
		rc = message_append(&frame.base, out);
	if (rc != RC_OK)
		out->len = start;
	free(space);
	return rc;
}

/* ---- decoding ---- */

static enum rc wrong_length(const struct chunk_place *place, const char *what, const char *name, struct diag *diag)
{
	return diag_set(diag, RC_INVALID, "frame %u: %s%s%s: its length does not fit n_records and the study",
			place->frame, what, name[0] != '\0' ? "." : "", name);
}

/* Every length of the message against n_records and the study, before a column is allocated. */
static enum rc check_lengths(const struct study *study, const struct study_domain *d,
			     const Throughcare__Batch__Chunk *m, const struct chunk_place *place, struct diag *diag)
{
	size_t n = m->n_records;

	if (n == 0 || n > CHUNK_MAX_RECORDS)
		return diag_set(diag, RC_INVALID, "frame %u: n_records: expected 1 to %d", place->frame,
				CHUNK_MAX_RECORDS);
	if (m->record_ids.len != n * RECORD_ID_LEN)
		return wrong_length(place, "record_ids", "", diag);
	if (m->n_revisions != 0 && m->n_revisions != n)
		return wrong_length(place, "revisions", "", diag);
	if (m->person_ids.len != 0 && m->person_ids.len != n * PERSON_ID_LEN)
		return wrong_length(place, "person_ids", "", diag);
	if (m->n_events != n)
		return wrong_length(place, "events", "", diag);
	if (m->n_days != n)
		return wrong_length(place, "days", "", diag);
	if (m->n_filters != d->n_filters)
		return diag_set(diag, RC_INVALID, "frame %u: filters: expected %d columns", place->frame, d->n_filters);
	for (int f = 0; f < d->n_filters; f++) {
		const Throughcare__Batch__FilterColumn *column = m->filters[f];
		if (column->bits.len != n * study_filter_bytes(d, f) ||
		    (column->missing.len != 0 && column->missing.len != (n + 7) / 8))
			return wrong_length(place, "filters", d->filters[f].name, diag);
	}
	if (m->n_dimensions != study->n_dimensions)
		return diag_set(diag, RC_INVALID, "frame %u: dimensions: expected %d columns", place->frame,
				study->n_dimensions);
	for (int i = 0; i < study->n_dimensions; i++) {
		if (m->dimensions[i]->codes.len != n)
			return wrong_length(place, "dimensions", study->dimensions[i].name, diag);
	}
	return RC_OK;
}

static bool has_unknown(const Throughcare__Batch__Chunk *m)
{
	bool unknown = message_has_unknown(&m->base);
	for (size_t f = 0; f < m->n_filters; f++)
		unknown |= message_has_unknown(&m->filters[f]->base);
	for (size_t i = 0; i < m->n_dimensions; i++)
		unknown |= message_has_unknown(&m->dimensions[i]->base);
	return unknown;
}

/* A missing bitmap to one byte a record. Errors: INVALID when bits after the last record are set. */
static enum rc unpack_missing(const ProtobufCBinaryData *bitmap, uint32_t n, uint8_t *out)
{
	if (bitmap->len == 0)
		return RC_OK;
	for (uint32_t i = 0; i < n; i++)
		out[i] = bitmap->data[i >> 3] >> (7 - (i & 7)) & 1;
	return n % 8 != 0 && (bitmap->data[n >> 3] & (0xff >> (n & 7))) != 0 ? RC_INVALID : RC_OK;
}

static enum rc fill_chunk(const struct study *study, const struct study_domain *d, const Throughcare__Batch__Chunk *m,
			  const struct chunk_place *place, struct batch_chunk *c, struct diag *diag)
{
	size_t n = m->n_records;

	c->n_records = m->n_records;
	memcpy(c->record_ids, m->record_ids.data, m->record_ids.len);
	if (m->n_revisions != 0)
		memcpy(c->revisions, m->revisions, n * sizeof c->revisions[0]);
	if (m->person_ids.len != 0)
		memcpy(c->person_ids, m->person_ids.data, m->person_ids.len);
	memcpy(c->days, m->days, n * sizeof c->days[0]);
	for (uint32_t i = 0; i < n; i++) {
		if (m->events[i] >= study->n_events)
			return refuse(place, i, RC_INVALID, "event", "", "the study has no such event", diag);
		c->events[i] = (uint8_t)m->events[i];
	}
	for (int f = 0; f < d->n_filters; f++) {
		memcpy(c->filters[f], m->filters[f]->bits.data, m->filters[f]->bits.len);
		if (unpack_missing(&m->filters[f]->missing, c->n_records, c->missing[f]) != RC_OK)
			return diag_set(diag, RC_INVALID, "frame %u: filters.%s: missing: bits after the last record",
					place->frame, d->filters[f].name);
	}
	for (int i = 0; i < study->n_dimensions; i++)
		memcpy(c->codes[i], m->dimensions[i]->codes.data, n);
	return RC_OK;
}

enum rc batch_chunk_unpack(const struct study *study, int domain, const uint8_t *body, size_t len,
			   const struct chunk_place *place, struct batch_chunk **ret, struct diag *diag)
{
	const struct study_domain *d = &study->domains[domain];
	struct batch_chunk *c = NULL;
	struct unpack_arena arena;

	enum rc rc = unpack_arena_init(&arena, len);
	if (rc != RC_OK)
		return rc;
	Throughcare__Batch__Chunk *m = throughcare__batch__chunk__unpack(&arena.allocator, len, body);
	if (m == NULL)
		rc = diag_set(diag, RC_MALFORMED, "frame %u: it is not a Chunk message", place->frame);
	else if (has_unknown(m))
		rc = diag_set(diag, RC_MALFORMED, "frame %u: it has fields that batch.proto does not know",
			      place->frame);
	else
		rc = check_lengths(study, d, m, place, diag);
	if (rc == RC_OK)
		rc = batch_chunk_new(study, domain, m->n_records, &c);
	if (rc == RC_OK)
		rc = fill_chunk(study, d, m, place, c, diag);
	if (rc == RC_OK)
		rc = batch_chunk_check(study, domain, c, place, diag);
	if (rc == RC_OK)
		*ret = c;
	else
		batch_chunk_free(c);
	unpack_arena_deinit(&arena);
	return rc;
}

enum rc batch_chunk_decode(const struct study *study, int domain, const uint8_t *frame, size_t len,
			   struct batch_chunk **ret, struct diag *diag)
{
	const struct chunk_place place = {.source = -1};
	enum frame_kind kind;
	const uint8_t *body;
	size_t body_len;

	if (len > FRAME_MAX_BYTES)
		return diag_set(diag, RC_TOO_LARGE, "a frame has at most %d bytes", FRAME_MAX_BYTES);
	if (frame_split(frame, len, &kind, &body, &body_len) != RC_OK || kind != FRAME_CHUNK)
		return diag_set(diag, RC_MALFORMED, "it is not a chunk frame");
	return batch_chunk_unpack(study, domain, body, body_len, &place, ret, diag);
}
