/* libs: tc_proto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/batch_fixture.h"

static struct study study;

static int setup(void **state)
{
	fixture_study(&study);
	return 0;
}

static enum rc read_all(const struct buffer *b, struct fixture_result *result)
{
	enum rc rc = fixture_read(&study, b->data, b->len, b->len, result);
	batch_chunk_free(result->first);
	result->first = NULL;
	return rc;
}

static void assert_refused(const struct buffer *b, enum rc expected, const char *words)
{
	struct fixture_result result;
	assert_int_equal(read_all(b, &result), expected);
	if (strstr(result.diag.text, words) == NULL)
		fail_msg("'%s' does not say '%s'", result.diag.text, words);
}

/* ---- hand-made protobuf, for what the writer would not write ---- */

static void put_varint(struct buffer *out, uint64_t v)
{
	while (v >= 0x80) {
		buffer_append(out, &(uint8_t){(uint8_t)(v | 0x80)}, 1);
		v >>= 7;
	}
	buffer_append(out, &(uint8_t){(uint8_t)v}, 1);
}

static void put_number(struct buffer *out, unsigned field, uint64_t v)
{
	put_varint(out, field << 3);
	put_varint(out, v);
}

static void put_field(struct buffer *out, unsigned field, const void *data, size_t len)
{
	put_varint(out, field << 3 | 2);
	put_varint(out, len);
	buffer_append(out, data, len);
}

static void put_frame(struct buffer *out, unsigned kind, const struct buffer *body)
{
	struct buffer frame;

	buffer_init(&frame);
	put_field(&frame, kind, body->data, body->len);
	const uint8_t prefix[4] = {(uint8_t)(frame.len >> 24), (uint8_t)(frame.len >> 16), (uint8_t)(frame.len >> 8),
				   (uint8_t)frame.len};
	buffer_append(out, prefix, sizeof prefix);
	buffer_append(out, frame.data, frame.len);
	buffer_deinit(&frame);
}

/* Magic and a good header. */
static void begin_batch(struct buffer *out)
{
	struct batch_header header;
	struct batch_writer *w = NULL;

	buffer_init(out);
	fixture_header(&study, &header);
	assert_int_equal(batch_writer_new(&study, &header, out, &w), RC_OK);
	batch_writer_free(w);
}

/* A chunk body of one record, with what `change` alters. */
struct raw_chunk {
	uint64_t n_records;
	size_t ids_len, person_len, bits_len[2], missing_len[2], n_events, n_days, codes_len;
	size_t n_filters, n_dimensions, n_revisions;
	uint8_t event, code, missing;
	int64_t day;
	bool unknown_field, unknown_inner;
};

static const struct raw_chunk good_chunk = {
	.n_records = 1,
	.ids_len = 16,
	.bits_len = {8, 16},
	.n_events = 1,
	.n_days = 1,
	.codes_len = 1,
	.n_filters = 2,
	.n_dimensions = 1,
	.day = 19000,
};

static void put_raw_chunk(struct buffer *out, const struct raw_chunk *c)
{
	static const uint8_t some[64] = {0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a};
	struct buffer body, inner;

	buffer_init(&body);
	buffer_init(&inner);
	put_number(&body, 1, c->n_records);
	put_field(&body, 2, some, c->ids_len);
	for (size_t i = 0; i < c->n_revisions; i++)
		put_number(&body, 3, 1);
	if (c->person_len)
		put_field(&body, 4, some, c->person_len);
	for (size_t f = 0; f < c->n_filters; f++) {
		buffer_reset(&inner);
		put_field(&inner, 1, some, c->bits_len[f % 2]);
		if (c->missing_len[f % 2]) {
			uint8_t bitmap[8] = {c->missing};
			put_field(&inner, 2, bitmap, c->missing_len[f % 2]);
		}
		if (c->unknown_inner)
			put_number(&inner, 9, 1);
		put_field(&body, 5, inner.data, inner.len);
	}
	for (size_t i = 0; i < c->n_events; i++)
		put_number(&body, 6, c->event);
	for (size_t i = 0; i < c->n_days; i++)
		put_number(&body, 7, (uint64_t)c->day << 1 ^ (uint64_t)(c->day >> 63));
	for (size_t i = 0; i < c->n_dimensions; i++) {
		buffer_reset(&inner);
		uint8_t codes[64] = {c->code};
		put_field(&inner, 1, codes, c->codes_len);
		put_field(&body, 8, inner.data, inner.len);
	}
	if (c->unknown_field)
		put_number(&body, 15, 1);
	put_frame(out, 2, &body);
	buffer_deinit(&body);
	buffer_deinit(&inner);
}

static void put_trailer(struct buffer *out, uint64_t n_records, uint32_t n_chunks)
{
	struct buffer body;
	uint8_t digest[32];

	sha256(out->data, out->len, digest);
	buffer_init(&body);
	put_number(&body, 1, n_records);
	put_number(&body, 2, n_chunks);
	put_field(&body, 3, digest, sizeof digest);
	put_frame(out, 3, &body);
	buffer_deinit(&body);
}

/* ---- round trips ---- */

static void test_round_trip_in_any_pieces(void **state)
{
	static const size_t steps[] = {1, 2, 3, 7, 64, 1000, 1 << 20};
	struct fixture_result result;
	struct buffer b;
	uint8_t id[BATCH_ID_LEN], expected[BATCH_ID_LEN];

	buffer_init(&b);
	fixture_batch(&study, 100, 30, &b, id);
	sha256(b.data, b.len, expected);
	assert_memory_equal(id, expected, sizeof id);
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		assert_int_equal(fixture_read(&study, b.data, b.len, steps[i], &result), RC_OK);
		assert_int_equal(result.n_headers, 1);
		assert_int_equal(result.n_chunks, 4);
		assert_int_equal(result.n_records, 100);
		assert_int_equal(result.end_records, 100);
		assert_memory_equal(result.id, id, sizeof id);
		batch_chunk_free(result.first);
	}
	buffer_deinit(&b);
}

static void read_file(const char *name, struct buffer *out)
{
	char path[1024], block[4096];
	size_t n;

	snprintf(path, sizeof path, "%s/tests/data/batch/%s", TC_SOURCE_DIR, name);
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	buffer_init(out);
	while ((n = fread(block, 1, sizeof block, f)) > 0)
		buffer_append(out, block, n);
	fclose(f);
	assert_true(out->len > 0);
}

/* The files were written by tests/ref/batch.py, which knows the format from its description alone. */
static void test_python_writes_the_same_bytes(void **state)
{
	struct buffer expected, json, b;
	uint8_t id[BATCH_ID_LEN];

	read_file("fixture.batch", &expected);
	buffer_init(&b);
	fixture_batch(&study, 100, 30, &b, id);
	assert_int_equal(b.len, expected.len);
	assert_memory_equal(b.data, expected.data, b.len);
	/* Python's JSON form holds the same records; transcoding fills chunks to the full, so the frames differ. */
	buffer_reset(&b);
	buffer_reset(&expected);
	read_file("fixture.json", &json);
	assert_int_equal(batch_from_json(&study, (const char *)json.data, json.len, &b, NULL), RC_OK);
	fixture_batch(&study, 100, CHUNK_MAX_RECORDS, &expected, id);
	assert_int_equal(b.len, expected.len);
	assert_memory_equal(b.data, expected.data, b.len);
	buffer_deinit(&expected);
	buffer_deinit(&json);
	buffer_deinit(&b);
}

static void test_every_value_comes_back(void **state)
{
	struct batch_chunk *c = NULL, *back = NULL;
	struct buffer frame, again;

	buffer_init(&frame);
	buffer_init(&again);
	assert_int_equal(batch_chunk_new(&study, 0, 33, &c), RC_OK);
	for (uint32_t i = 0; i < 33; i++)
		fixture_record(&study, c, c->n_records++, i);
	assert_int_equal(batch_chunk_encode(&study, 0, c, &frame), RC_OK);
	assert_int_equal(batch_chunk_decode(&study, 0, frame.data, frame.len, &back, NULL), RC_OK);
	assert_int_equal(back->n_records, 33);
	assert_memory_equal(back->record_ids, c->record_ids, 33 * 16);
	assert_memory_equal(back->person_ids, c->person_ids, 33 * 16);
	assert_memory_equal(back->revisions, c->revisions, 33 * sizeof(uint64_t));
	assert_memory_equal(back->filters[0], c->filters[0], 33 * 8);
	assert_memory_equal(back->filters[1], c->filters[1], 33 * 16);
	assert_memory_equal(back->missing[1], c->missing[1], 33);
	assert_memory_equal(back->events, c->events, 33);
	assert_memory_equal(back->days, c->days, 33 * sizeof(int32_t));
	assert_memory_equal(back->codes[0], c->codes[0], 33);
	assert_int_equal(batch_chunk_encode(&study, 0, back, &again), RC_OK);
	assert_int_equal(again.len, frame.len);
	assert_memory_equal(again.data, frame.data, frame.len);
	batch_chunk_free(c);
	batch_chunk_free(back);
	buffer_deinit(&frame);
	buffer_deinit(&again);
}

static void test_a_full_chunk_of_the_longest_filters_fits(void **state)
{
	struct batch_chunk *c = NULL;
	struct study *big = malloc(sizeof *big);
	struct buffer frame;

	assert_non_null(big);
	fixture_study(big);
	big->domains[0].n_filters = STUDY_MAX_FILTERS;
	for (int f = 0; f < STUDY_MAX_FILTERS; f++)
		big->domains[0].filters[f].bits = STUDY_MAX_FILTER_BITS;
	uint32_t cap = batch_chunk_cap(big, 0);
	assert_in_range(cap, 500, 512);
	assert_int_equal(batch_chunk_cap(&study, 0), CHUNK_MAX_RECORDS);
	assert_int_equal(batch_chunk_new(big, 0, cap, &c), RC_OK);
	for (c->n_records = 0; c->n_records < cap; c->n_records++) {
		c->revisions[c->n_records] = UINT64_MAX;
		c->missing[0][c->n_records] = 1;
		c->days[c->n_records] = BATCH_DAY_MIN;
	}
	buffer_init(&frame);
	assert_int_equal(batch_chunk_encode(big, 0, c, &frame), RC_OK);
	assert_true(frame.len <= CHUNK_MAX_BYTES);
	batch_chunk_free(c);
	/* One too many is refused, not written. */
	assert_int_equal(batch_chunk_new(big, 0, 600, &c), RC_OK);
	c->n_records = 600;
	size_t before = frame.len;
	assert_int_equal(batch_chunk_encode(big, 0, c, &frame), RC_TOO_LARGE);
	assert_int_equal(frame.len, before);
	assert_int_equal(batch_chunk_new(big, 0, CHUNK_MAX_RECORDS + 1, &c), RC_TOO_LARGE);
	batch_chunk_free(c);
	buffer_deinit(&frame);
	free(big);
}

static void test_unpacked_numbers_are_read_too(void **state)
{
	struct fixture_result result;
	struct buffer b;

	begin_batch(&b);
	put_raw_chunk(&b, &good_chunk);
	put_trailer(&b, 1, 1);
	assert_int_equal(read_all(&b, &result), RC_OK);
	buffer_deinit(&b);
}

/* ---- truncation, flips ---- */

static void test_every_truncation_is_refused(void **state)
{
	struct fixture_result result;
	struct buffer b;
	uint8_t id[BATCH_ID_LEN];

	buffer_init(&b);
	fixture_batch(&study, 5, 3, &b, id);
	for (size_t len = 0; len < b.len; len++) {
		uint8_t *exact = malloc(len ? len : 1);
		assert_non_null(exact);
		memcpy(exact, b.data, len);
		assert_int_equal(fixture_read(&study, exact, len, len ? len : 1, &result), RC_TRUNCATED);
		batch_chunk_free(result.first);
		free(exact);
	}
	buffer_append(&b, "T", 1);
	assert_refused(&b, RC_MALFORMED, "after the trailer");
	buffer_deinit(&b);
}

static void test_every_flipped_bit_is_refused(void **state)
{
	struct fixture_result result;
	struct buffer b;
	uint8_t id[BATCH_ID_LEN];

	buffer_init(&b);
	fixture_batch(&study, 5, 3, &b, id);
	for (size_t i = 0; i < 8 * b.len; i++) {
		b.data[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_not_equal(read_all(&b, &result), RC_OK);
		assert_true(result.diag.text[0] != '\0');
		b.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	assert_int_equal(read_all(&b, &result), RC_OK);
	buffer_deinit(&b);
}

static void test_an_error_stays(void **state)
{
	const struct batch_sink sink = {0};
	const struct batch_limits limits = {.max_bytes = 1000};
	struct batch_reader *r = NULL;
	struct diag first, second;
	uint8_t id[BATCH_ID_LEN];
	uint64_t n;

	assert_int_equal(batch_reader_new(&study, &sink, &limits, &r), RC_OK);
	assert_int_equal(batch_reader_feed(r, (const uint8_t *)"nonsense", 8, &first), RC_MALFORMED);
	assert_int_equal(batch_reader_feed(r, (const uint8_t *)BATCH_MAGIC, 8, &second), RC_MALFORMED);
	assert_string_equal(first.text, second.text);
	assert_int_equal(batch_reader_end(r, id, &n, NULL), RC_MALFORMED);
	batch_reader_free(r);
}

/* ---- hostile claims ---- */

static void test_lengths_are_bounded_before_they_are_believed(void **state)
{
	static const uint8_t claims[][4] = {
		{0xff, 0xff, 0xff, 0xff}, {0x00, 0x40, 0x00, 0x11}, {0x7f, 0xff, 0xff, 0xff}};
	struct buffer b;

	for (size_t i = 0; i < 3; i++) {
		begin_batch(&b);
		buffer_append(&b, claims[i], 4);
		assert_refused(&b, RC_TOO_LARGE, "frame 2");
		buffer_deinit(&b);
	}
	buffer_init(&b);
	buffer_append(&b, BATCH_MAGIC "\0\1\0\0", 12);
	assert_refused(&b, RC_TOO_LARGE, "frame 1");
	buffer_deinit(&b);
}

static void test_2_to_the_32_records_are_refused(void **state)
{
	static const uint64_t claims[] = {0, 4097, 0xffffffffu, 0x100000000u, UINT64_MAX};
	struct raw_chunk c = good_chunk;
	struct buffer b;

	for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
		c.n_records = claims[i];
		begin_batch(&b);
		put_raw_chunk(&b, &c);
		assert_refused(&b, RC_INVALID, "n_records: expected 1 to 4096");
		buffer_deinit(&b);
	}
	begin_batch(&b);
	put_raw_chunk(&b, &good_chunk);
	put_trailer(&b, 0x100000000u, 1);
	assert_refused(&b, RC_DIGEST, "counts");
	buffer_deinit(&b);
}

static void test_columns_must_fit(void **state)
{
	static const struct {
		size_t offset;
		size_t value;
		const char *words;
	} changes[] = {
		{offsetof(struct raw_chunk, ids_len), 15, "record_ids"},
		{offsetof(struct raw_chunk, ids_len), 32, "record_ids"},
		{offsetof(struct raw_chunk, n_revisions), 2, "revisions"},
		{offsetof(struct raw_chunk, person_len), 8, "person_ids"},
		{offsetof(struct raw_chunk, bits_len), 7, "filters.name"},
		{offsetof(struct raw_chunk, bits_len[1]), 17, "filters.date_of_birth"},
		{offsetof(struct raw_chunk, missing_len), 2, "filters.name"},
		{offsetof(struct raw_chunk, n_filters), 1, "filters: expected 2"},
		{offsetof(struct raw_chunk, n_filters), 3, "filters: expected 2"},
		{offsetof(struct raw_chunk, n_events), 0, "events"},
		{offsetof(struct raw_chunk, n_events), 2, "events"},
		{offsetof(struct raw_chunk, n_days), 0, "days"},
		{offsetof(struct raw_chunk, codes_len), 2, "dimensions.sex"},
		{offsetof(struct raw_chunk, n_dimensions), 0, "dimensions: expected 1"},
		{offsetof(struct raw_chunk, n_dimensions), 2, "dimensions: expected 1"},
	};
	struct buffer b;

	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
		struct raw_chunk c = good_chunk;
		memcpy((uint8_t *)&c + changes[i].offset, &changes[i].value, sizeof(size_t));
		begin_batch(&b);
		put_raw_chunk(&b, &c);
		assert_refused(&b, RC_INVALID, changes[i].words);
		buffer_deinit(&b);
	}
}

static void refuse_chunk(const struct raw_chunk *c, enum rc rc, const char *words)
{
	struct buffer b;

	begin_batch(&b);
	put_raw_chunk(&b, c);
	assert_refused(&b, rc, words);
	buffer_deinit(&b);
}

static void test_values_must_fit_the_study(void **state)
{
	struct raw_chunk c = good_chunk;

	c.event = FIXTURE_START;
	refuse_chunk(&c, RC_NOT_ALLOWED, "record 1: event.treatment_start");
	c.event = 2;
	refuse_chunk(&c, RC_INVALID, "no such event");
	c = good_chunk;
	c.code = 3;
	refuse_chunk(&c, RC_INVALID, "dimensions.sex");
	c = good_chunk;
	c.day = BATCH_DAY_MIN - 1;
	refuse_chunk(&c, RC_INVALID, "1900");
	c.day = DAY_MAX + 1;
	refuse_chunk(&c, RC_INVALID, "future");
	c = good_chunk;
	c.missing_len[0] = 1;
	c.missing = 0x80; /* marked missing, but its bits are there */
	refuse_chunk(&c, RC_INVALID, "marked missing");
	c.missing = 0x40; /* a record that is not there */
	refuse_chunk(&c, RC_INVALID, "after the last record");
	c = good_chunk;
	c.unknown_field = true;
	refuse_chunk(&c, RC_MALFORMED, "does not know");
	c = good_chunk;
	c.unknown_inner = true;
	refuse_chunk(&c, RC_MALFORMED, "does not know");
}

static void test_latest_day_is_kept(void **state)
{
	const struct batch_sink sink = {0};
	const struct batch_limits limits = {.max_bytes = BATCH_MAX_BYTES, .latest_day = 18999};
	struct batch_reader *r = NULL;
	struct buffer b;

	begin_batch(&b);
	put_raw_chunk(&b, &good_chunk);
	assert_int_equal(batch_reader_new(&study, &sink, &limits, &r), RC_OK);
	assert_int_equal(batch_reader_feed(r, b.data, b.len, NULL), RC_INVALID);
	batch_reader_free(r);
	buffer_deinit(&b);
}

/* Four megabytes of two-byte empty elements would be 200 MB unpacked. */
static void test_amplification_is_refused(void **state)
{
	static const uint8_t fields[] = {5 << 3 | 2, 8 << 3 | 2, 6 << 3, 15 << 3};
	struct buffer body, b;

	for (size_t i = 0; i < sizeof fields; i++) {
		buffer_init(&body);
		put_number(&body, 1, 1);
		for (int n = 0; n < 2000000; n++)
			buffer_append(&body, (const uint8_t[]){fields[i], 0}, 2);
		begin_batch(&b);
		put_frame(&b, 2, &body);
		assert_refused(&b, RC_MALFORMED, "frame 2");
		buffer_deinit(&b);
		buffer_deinit(&body);
	}
}

static void test_a_record_stands_once(void **state)
{
	struct fixture_result result;
	struct buffer b;

	begin_batch(&b);
	put_raw_chunk(&b, &good_chunk);
	put_raw_chunk(&b, &good_chunk);
	assert_refused(&b, RC_INVALID, "record 2: record_id");
	assert_int_equal(read_all(&b, &result), RC_INVALID);
	assert_null(strstr(result.diag.text, "5a")); /* nothing of the id */
	buffer_deinit(&b);
	/* Many different ones, so that the set grows several times. */
	uint8_t id[BATCH_ID_LEN];
	buffer_init(&b);
	fixture_batch(&study, 20000, 4096, &b, id);
	assert_int_equal(read_all(&b, &result), RC_OK);
	assert_int_equal(result.n_records, 20000);
	buffer_deinit(&b);
}

/* ---- order of frames, header, trailer ---- */

static void test_frames_stand_in_order(void **state)
{
	struct buffer b, header;

	begin_batch(&header);
	buffer_init(&b);
	buffer_append(&b, BATCH_MAGIC, 8);
	put_raw_chunk(&b, &good_chunk);
	assert_refused(&b, RC_MALFORMED, "expected the header");
	buffer_reset(&b);
	buffer_append(&b, header.data, header.len);
	buffer_append(&b, header.data + 8, header.len - 8);
	assert_refused(&b, RC_MALFORMED, "second header");
	buffer_reset(&b);
	buffer_append(&b, header.data, header.len);
	put_trailer(&b, 0, 0);
	assert_refused(&b, RC_INVALID, "at least one record");
	/* Two members of the oneof in one frame. */
	buffer_reset(&b);
	buffer_append(&b, header.data, header.len);
	buffer_append(&b, "\0\0\0\4\x12\0\x1a\0", 8);
	assert_refused(&b, RC_MALFORMED, "frame 2");
	/* An empty frame, and one of an unknown kind. */
	buffer_reset(&b);
	buffer_append(&b, header.data, header.len);
	buffer_append(&b, "\0\0\0\0\0", 5);
	assert_refused(&b, RC_MALFORMED, "frame 2");
	buffer_reset(&b);
	buffer_append(&b, header.data, header.len);
	buffer_append(&b, "\0\0\0\2\x22\0", 6);
	assert_refused(&b, RC_MALFORMED, "frame 2");
	buffer_deinit(&b);
	buffer_deinit(&header);
}

static void refuse_header(const struct study *reader_study, const struct batch_header *header, enum rc expected,
			  const char *words)
{
	struct batch_writer *w = NULL;
	struct fixture_result result;
	struct buffer b;

	buffer_init(&b);
	assert_int_equal(batch_writer_new(&study, header, &b, &w), RC_OK);
	batch_writer_free(w);
	assert_int_equal(fixture_read(reader_study, b.data, b.len, b.len, &result), expected);
	if (strstr(result.diag.text, words) == NULL)
		fail_msg("'%s' does not say '%s'", result.diag.text, words);
	assert_int_equal(result.n_headers, 0);
	buffer_deinit(&b);
}

static void test_header_is_compared_with_the_study(void **state)
{
	struct study *other = malloc(sizeof *other);
	struct batch_header h;

	assert_non_null(other);
	*other = study;
	fixture_header(&study, &h);
	h.encoding_id[31] ^= 1;
	refuse_header(&study, &h, RC_SCHEMA, "another study or schema");
	fixture_header(&study, &h);
	h.key_check[15] ^= 1;
	refuse_header(&study, &h, RC_SECRET, "another linkage secret");
	/* Wrong in both: the schema is said first, since the secret's check depends on nothing else. */
	h.encoding_id[0] ^= 1;
	refuse_header(&study, &h, RC_SCHEMA, "encoding_id");
	fixture_header(&study, &h);
	other->domains[0].has_key_check = false;
	refuse_header(other, &h, RC_NOT_ALLOWED, "unset");
	strcpy(other->sources[0].name, "elsewhere");
	refuse_header(other, &h, RC_INVALID, "source");
	free(other);
	/* The writer refuses what the reader would. */
	struct batch_writer *w = NULL;
	struct buffer b;
	buffer_init(&b);
	strcpy(h.source, "nobody");
	assert_int_equal(batch_writer_new(&study, &h, &b, &w), RC_INVALID);
	fixture_header(&study, &h);
	strcpy(h.software, "a\nb");
	assert_int_equal(batch_writer_new(&study, &h, &b, &w), RC_INVALID);
	memset(h.software, 'x', sizeof h.software);
	assert_int_equal(batch_writer_new(&study, &h, &b, &w), RC_INVALID);
	assert_int_equal(b.len, 0);
	buffer_deinit(&b);
}

static void test_writer_refuses_what_the_reader_would(void **state)
{
	struct batch_header header;
	struct batch_writer *w = NULL;
	struct batch_chunk *c = NULL;
	struct buffer b;
	uint8_t id[BATCH_ID_LEN];

	buffer_init(&b);
	fixture_header(&study, &header);
	assert_int_equal(batch_writer_new(&study, &header, &b, &w), RC_OK);
	assert_int_equal(batch_writer_end(w, id), RC_INVALID);
	assert_int_equal(batch_chunk_new(&study, 0, 1, &c), RC_OK);
	size_t before = b.len;
	assert_int_equal(batch_writer_chunk(w, c), RC_INVALID); /* no record */
	fixture_record(&study, c, c->n_records++, 0);
	c->events[0] = FIXTURE_START;
	assert_int_equal(batch_writer_chunk(w, c), RC_NOT_ALLOWED);
	c->events[0] = FIXTURE_RELEASE;
	c->missing[0][0] = 1;
	assert_int_equal(batch_writer_chunk(w, c), RC_INVALID);
	assert_int_equal(b.len, before);
	batch_chunk_free(c);
	batch_writer_free(w);
	buffer_deinit(&b);
}

static void test_a_batch_ends_before_its_limit(void **state)
{
	struct batch_header header;
	struct batch_writer *w = NULL;
	struct batch_chunk *c = NULL;
	struct buffer b;
	uint8_t id[BATCH_ID_LEN];
	uint64_t total = 0;
	uint32_t n = 0;
	enum rc rc = RC_OK;

	buffer_init(&b);
	fixture_header(&study, &header);
	assert_int_equal(batch_writer_new(&study, &header, &b, &w), RC_OK);
	assert_int_equal(batch_chunk_new(&study, 0, 4096, &c), RC_OK);
	for (c->n_records = 0; c->n_records < 4096; c->n_records++)
		fixture_record(&study, c, c->n_records, n++);
	while ((rc = batch_writer_chunk(w, c)) == RC_OK) {
		total += b.len;
		buffer_reset(&b); /* flushed to a file */
	}
	assert_int_equal(rc, RC_TOO_LARGE);
	assert_int_equal(batch_writer_end(w, id), RC_OK);
	total += b.len;
	assert_true(total <= BATCH_MAX_BYTES && total > BATCH_MAX_BYTES - (1 << 20));
	batch_chunk_free(c);
	batch_writer_free(w);
	buffer_deinit(&b);
}

static void test_reader_keeps_its_limit(void **state)
{
	const struct batch_sink sink = {0};
	struct batch_limits limits = {0};
	struct buffer b;
	uint8_t id[BATCH_ID_LEN];
	uint64_t n;

	buffer_init(&b);
	fixture_batch(&study, 10, 3, &b, id);
	for (int less = 0; less < 2; less++) {
		struct batch_reader *r = NULL;
		limits.max_bytes = b.len - (size_t)less;
		assert_int_equal(batch_reader_new(&study, &sink, &limits, &r), RC_OK);
		assert_int_equal(batch_reader_feed(r, b.data, b.len, NULL), less ? RC_TOO_LARGE : RC_OK);
		assert_int_equal(batch_reader_end(r, id, &n, NULL), less ? RC_TOO_LARGE : RC_OK);
		batch_reader_free(r);
	}
	buffer_deinit(&b);
}

static void test_files_hold_batches_one_after_the_other(void **state)
{
	struct buffer b;
	uint8_t first[BATCH_ID_LEN], second[BATCH_ID_LEN], id[BATCH_ID_LEN];
	size_t len, len2;
	uint64_t n;

	buffer_init(&b);
	fixture_batch(&study, 10, 3, &b, first);
	size_t middle = b.len;
	fixture_batch(&study, 4, 4, &b, second);
	assert_int_equal(batch_length(b.data, b.len, &len, id, &n), RC_OK);
	assert_int_equal(len, middle);
	assert_int_equal(n, 10);
	assert_memory_equal(id, first, sizeof id);
	assert_int_equal(batch_length(b.data + len, b.len - len, &len2, id, NULL), RC_OK);
	assert_int_equal(len + len2, b.len);
	assert_memory_equal(id, second, sizeof id);
	for (size_t cut = 0; cut < middle; cut++)
		assert_int_equal(batch_length(b.data, cut, &len, id, &n), RC_TRUNCATED);
	b.data[0] = 'X';
	assert_int_equal(batch_length(b.data, b.len, &len, id, &n), RC_MALFORMED);
	buffer_deinit(&b);
}

/* ---- the JSON form ---- */

static void test_json_gives_the_same_batch(void **state)
{
	struct buffer frames, json, out;
	uint8_t id[BATCH_ID_LEN];

	buffer_init(&frames);
	buffer_init(&json);
	buffer_init(&out);
	/* More than one chunk, so that the places of the cuts are compared too. */
	fixture_batch(&study, 5000, CHUNK_MAX_RECORDS, &frames, id);
	fixture_json(&study, 5000, &json);
	assert_int_equal(batch_from_json(&study, (const char *)json.data, json.len, &out, NULL), RC_OK);
	assert_int_equal(out.len, frames.len);
	assert_memory_equal(out.data, frames.data, out.len);
	buffer_deinit(&frames);
	buffer_deinit(&json);
	buffer_deinit(&out);
}

/* Take the JSON of two records, replace `from` by `to` once, and expect `rc` and words. */
static void refuse_json(const char *from, const char *to, enum rc expected, const char *words)
{
	struct buffer json, changed, out;
	struct diag diag = {""};

	buffer_init(&json);
	buffer_init(&changed);
	buffer_init(&out);
	fixture_json(&study, 2, &json);
	buffer_append(&json, "", 1);
	const char *text = (const char *)json.data, *at = strstr(text, from);
	if (at == NULL)
		fail_msg("the fixture does not hold %s", from);
	buffer_append(&changed, text, (size_t)(at - text));
	buffer_append(&changed, to, strlen(to));
	buffer_append(&changed, at + strlen(from), strlen(at + strlen(from)));
	assert_int_equal(batch_from_json(&study, (const char *)changed.data, changed.len, &out, &diag), expected);
	assert_int_equal(out.len, 0);
	if (strstr(diag.text, words) == NULL)
		fail_msg("'%s' does not say '%s'", diag.text, words);
	assert_null(strstr(diag.text, "SECRET-VALUE"));
	buffer_deinit(&json);
	buffer_deinit(&changed);
	buffer_deinit(&out);
}

static void test_json_mistakes_are_named(void **state)
{
	refuse_json("\"records\": [", "\"record\": [", RC_INVALID, "records: expected an array");
	refuse_json("\"records\": [", "\"records\": [], \"records\": [", RC_MALFORMED, "twice");
	refuse_json("\"source\": \"prison\"", "\"source\": \"SECRET-VALUE\"", RC_INVALID, "source");
	refuse_json("\"source\"", "\"SECRET-VALUE\"", RC_INVALID, "members");
	refuse_json("\"source\": \"prison\"", "\"source\": 5", RC_INVALID, "source");
	refuse_json("\"first_row\": 7", "\"first_row\": -7", RC_INVALID, "first_row");
	refuse_json("\"software\": \"test 1\"", "\"software\": \"\\u0007\"", RC_INVALID, "software");
	refuse_json("\"revision\": 0", "\"revision\": 0.5", RC_INVALID, "record 1: revision");
	refuse_json("\"revision\"", "\"SECRET-VALUE\"", RC_INVALID, "record 1: members");
	refuse_json("\"record_id\": \"0", "\"record_id\": \"SECRET-VALUE", RC_INVALID, "record 1: record_id");
	refuse_json("\"event\": \"release\"", "\"event\": \"SECRET-VALUE\"", RC_INVALID, "record 1: event");
	refuse_json("\"event\": \"release\"", "\"event\": \"treatment_start\"", RC_NOT_ALLOWED,
		    "record 1: event.treatment_start");
	refuse_json("\"date\": \"2023-", "\"date\": \"2023-13-", RC_INVALID, "record 1: date");
	refuse_json("\"sex\": \"unknown\"", "\"sex\": \"SECRET-VALUE\"", RC_INVALID, "record 1: dimensions.sex");
	refuse_json("\"sex\"", "\"SECRET-VALUE\"", RC_INVALID, "record 1: members");
	refuse_json("\"filters\": {\"name\": \"", "\"filters\": {\"name\": \"SECRET-VALUE", RC_INVALID, "filters.name");
	refuse_json("}, {", "}, SECRET-VALUE, {", RC_MALFORMED, "record 2: not valid JSON");
	refuse_json("}, {", "}, {SECRET-VALUE: 1}, {", RC_MALFORMED, "record 2: not valid JSON");
	refuse_json("]}", "]} SECRET-VALUE", RC_MALFORMED, "after the JSON object");
	refuse_json("]}", "", RC_MALFORMED, "");
}

static void test_json_cuts_are_refused(void **state)
{
	struct buffer json, out;

	buffer_init(&json);
	buffer_init(&out);
	fixture_json(&study, 3, &json);
	for (size_t len = 0; len < json.len; len++) {
		char *exact = malloc(len ? len : 1);
		assert_non_null(exact);
		memcpy(exact, json.data, len);
		assert_int_not_equal(batch_from_json(&study, exact, len, &out, NULL), RC_OK);
		assert_int_equal(out.len, 0);
		free(exact);
	}
	buffer_deinit(&json);
	buffer_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip_in_any_pieces),
		cmocka_unit_test(test_python_writes_the_same_bytes),
		cmocka_unit_test(test_every_value_comes_back),
		cmocka_unit_test(test_a_full_chunk_of_the_longest_filters_fits),
		cmocka_unit_test(test_unpacked_numbers_are_read_too),
		cmocka_unit_test(test_every_truncation_is_refused),
		cmocka_unit_test(test_every_flipped_bit_is_refused),
		cmocka_unit_test(test_an_error_stays),
		cmocka_unit_test(test_lengths_are_bounded_before_they_are_believed),
		cmocka_unit_test(test_2_to_the_32_records_are_refused),
		cmocka_unit_test(test_columns_must_fit),
		cmocka_unit_test(test_values_must_fit_the_study),
		cmocka_unit_test(test_latest_day_is_kept),
		cmocka_unit_test(test_amplification_is_refused),
		cmocka_unit_test(test_a_record_stands_once),
		cmocka_unit_test(test_frames_stand_in_order),
		cmocka_unit_test(test_header_is_compared_with_the_study),
		cmocka_unit_test(test_writer_refuses_what_the_reader_would),
		cmocka_unit_test(test_a_batch_ends_before_its_limit),
		cmocka_unit_test(test_reader_keeps_its_limit),
		cmocka_unit_test(test_files_hold_batches_one_after_the_other),
		cmocka_unit_test(test_json_gives_the_same_batch),
		cmocka_unit_test(test_json_mistakes_are_named),
		cmocka_unit_test(test_json_cuts_are_refused),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
