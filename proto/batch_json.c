/* The JSON form of a batch, transcoded to frames.
 *
 * A whole document of jansson values would take twenty times its text. So a small scanner finds the extents: the
 * members of the top object, then one record after the other; each extent is short, bounded, and parsed on its own by
 * the strict parser. The scanner only has to find where a value ends; whether it is one, the strict parser says. */
#include <stdlib.h>
#include <string.h>

#include "proto/batch.h"
#include "proto/json.h"

enum {
	RECORD_MAX_BYTES = 256 << 10, /* 16 filters of 4,096 bits in base64 are 11 KiB */
	HEAD_MAX_BYTES = 4 << 10,
};

/* ---- finding extents ---- */

struct span {
	const char *at;
	size_t len;
};

struct scan {
	const char *at, *end;
};

static void skip_space(struct scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
		s->at++;
}

static bool take_char(struct scan *s, char c)
{
	skip_space(s);
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

/* Move behind the string that begins here. */
static bool skip_string(struct scan *s)
{
	if (s->at == s->end || *s->at != '"')
		return false;
	for (s->at++; s->at < s->end; s->at++) {
		if (*s->at == '"') {
			s->at++;
			return true;
		}
		if (*s->at == '\\')
			s->at++;
	}
	s->at = s->end;
	return false;
}

/* Move behind the object or array that begins here. Kinds of brackets are left to the parser. */
static bool skip_nested(struct scan *s)
{
	size_t depth = 0;

	while (s->at < s->end) {
		char c = *s->at;
		if (c == '"') {
			if (!skip_string(s))
				return false;
			continue;
		}
		s->at++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return true;
	}
	return false;
}

static bool take_value(struct scan *s, struct span *ret)
{
	bool whole = true;

	skip_space(s);
	const char *start = s->at;
	if (s->at == s->end)
		return false;
	if (*s->at == '{' || *s->at == '[')
		whole = skip_nested(s);
	else if (*s->at == '"')
		whole = skip_string(s);
	else
		while (s->at < s->end && strchr(",]} \t\r\n", *s->at) == NULL)
			s->at++;
	*ret = (struct span){start, (size_t)(s->at - start)};
	return whole && ret->len > 0;
}

/* Split the top object: `head` gets an object of all members but "records". */
static enum rc split_document(const char *json, size_t len, struct buffer *head, struct span *ret_records,
			      struct diag *diag)
{
	static const char records_key[] = "\"records\"";
	struct scan s = {json, json + len};
	struct span key, value;

	ret_records->at = NULL;
	buffer_append(head, "{", 1);
	if (!take_char(&s, '{'))
		return diag_set(diag, RC_MALFORMED, "expected a JSON object");
	do {
		skip_space(&s);
		if (s.at == s.end || *s.at != '"' || !take_value(&s, &key) || !take_char(&s, ':') ||
		    !take_value(&s, &value))
			return diag_set(diag, RC_MALFORMED, "expected \"name\": value at the top of the JSON document");
		if (key.len == sizeof records_key - 1 && memcmp(key.at, records_key, key.len) == 0) {
			if (ret_records->at != NULL)
				return diag_set(diag, RC_MALFORMED, "\"records\" stands twice");
			*ret_records = value;
			continue;
		}
		if (head->len + key.len + value.len + 3 > HEAD_MAX_BYTES)
			return diag_set(diag, RC_TOO_LARGE, "the members beside \"records\" are longer than %d bytes",
					HEAD_MAX_BYTES);
		if (head->len > 1)
			buffer_append(head, ",", 1);
		buffer_append(head, key.at, key.len);
		buffer_append(head, ":", 1);
		buffer_append(head, value.at, value.len);
	} while (take_char(&s, ','));
	if (!take_char(&s, '}'))
		return diag_set(diag, RC_MALFORMED, "the JSON object does not end with }");
	skip_space(&s);
	if (s.at != s.end)
		return diag_set(diag, RC_MALFORMED, "text after the JSON object");
	buffer_append(head, "}", 1);
	if (ret_records->at == NULL || ret_records->at[0] != '[')
		return diag_set(diag, RC_INVALID, "records: expected an array");
	return head->failed ? RC_NOMEM : RC_OK;
}

/* ---- members ---- */

struct transcoder {
	const struct study *study;
	int source, domain;
	struct batch_writer *writer;
	struct batch_chunk *chunk;
	uint32_t chunk_cap;
	unsigned long long record; /* number of the current record, from 1 */
	struct diag *diag;
};

static enum rc bad(const struct transcoder *t, const char *field, const char *expected)
{
	if (t->record == 0)
		return diag_set(t->diag, RC_INVALID, "%s: %s", field, expected);
	return diag_set(t->diag, RC_INVALID, "record %llu: %s: %s", t->record, field, expected);
}

static enum rc get_hex(const struct transcoder *t, const json_t *object, const char *field, void *out, size_t len)
{
	const json_t *v = json_object_get(object, field);
	if (!json_is_string(v) || hex_decode(json_string_value(v), json_string_length(v), out, len) != RC_OK) {
		char expected[64];
		snprintf(expected, sizeof expected, "expected %zu hexadecimal digits", 2 * len);
		return bad(t, field, expected);
	}
	return RC_OK;
}

static enum rc get_count(const struct transcoder *t, const json_t *object, const char *field, uint64_t *ret)
{
	const json_t *v = json_object_get(object, field);
	if (v == NULL)
		return RC_OK;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return bad(t, field, "expected a whole number from 0");
	*ret = (uint64_t)json_integer_value(v);
	return RC_OK;
}

static enum rc get_text(const struct transcoder *t, const json_t *object, const char *field, char *out, size_t cap)
{
	const json_t *v = json_object_get(object, field);
	if (!json_is_string(v) || json_string_length(v) >= cap)
		return bad(t, field, "expected a short text");
	memcpy(out, json_string_value(v), json_string_length(v) + 1);
	return RC_OK;
}

/* Refuse members that are not in `known` (ends with NULL). The name is not repeated: it could be anything. */
static enum rc check_members(const struct transcoder *t, const json_t *object, const char *const *known)
{
	size_t n = 0;
	for (size_t i = 0; known[i] != NULL; i++)
		n += json_object_get(object, known[i]) != NULL;
	return n == json_object_size(object) ? RC_OK : bad(t, "members", "one is not part of the format");
}

static enum rc read_head(struct transcoder *t, const json_t *head, struct batch_header *header)
{
	static const char *const known[] = {"source", "encoding_id", "key_check", "software", "first_row", NULL};

	enum rc rc = check_members(t, head, known);
	if (rc == RC_OK)
		rc = get_text(t, head, "source", header->source, sizeof header->source);
	if (rc == RC_OK)
		rc = get_hex(t, head, "encoding_id", header->encoding_id, sizeof header->encoding_id);
	if (rc == RC_OK)
		rc = get_hex(t, head, "key_check", header->key_check, sizeof header->key_check);
	if (rc == RC_OK && json_object_get(head, "software") != NULL)
		rc = get_text(t, head, "software", header->software, sizeof header->software);
	if (rc == RC_OK)
		rc = get_count(t, head, "first_row", &header->first_row);
	if (rc != RC_OK)
		return rc;
	t->source = study_find_source(t->study, header->source);
	if (t->source < 0)
		return bad(t, "source", "it is not in the study");
	t->domain = t->study->sources[t->source].domain;
	return RC_OK;
}

static enum rc read_filters(struct transcoder *t, const json_t *filters, uint32_t i)
{
	const struct study_domain *d = &t->study->domains[t->domain];
	const char *known[STUDY_MAX_FILTERS + 1] = {NULL};

	if (!json_is_object(filters))
		return bad(t, "filters", "expected an object");
	for (int f = 0; f < d->n_filters; f++)
		known[f] = d->filters[f].name;
	enum rc rc = check_members(t, filters, known);
	for (int f = 0; f < d->n_filters && rc == RC_OK; f++) {
		const json_t *v = json_object_get(filters, d->filters[f].name);
		size_t want = study_filter_bytes(d, f), got = 0;
		uint8_t *out = t->chunk->filters[f] + i * want;
		char field[STUDY_NAME_CAP + 16];

		t->chunk->missing[f][i] = v == NULL || json_is_null(v);
		if (t->chunk->missing[f][i])
			continue;
		if (!json_is_string(v) ||
		    base64_decode(json_string_value(v), json_string_length(v), out, want, &got) != RC_OK ||
		    got != want) {
			snprintf(field, sizeof field, "filters.%s", d->filters[f].name);
			rc = bad(t, field, "expected base64 of as many bytes as the study says");
		}
	}
	return rc;
}

static int find_code(const struct study_dimension *dim, const char *name)
{
	for (int code = 0; code <= dim->n_codes; code++) {
		if (strcmp(dim->codes[code], name) == 0)
			return code;
	}
	return -1;
}

static enum rc read_dimensions(struct transcoder *t, const json_t *dimensions, uint32_t i)
{
	const char *known[STUDY_MAX_DIMENSIONS + 1] = {NULL};

	if (dimensions == NULL)
		return RC_OK;
	if (!json_is_object(dimensions))
		return bad(t, "dimensions", "expected an object");
	for (int k = 0; k < t->study->n_dimensions; k++)
		known[k] = t->study->dimensions[k].name;
	enum rc rc = check_members(t, dimensions, known);
	for (int k = 0; k < t->study->n_dimensions && rc == RC_OK; k++) {
		const json_t *v = json_object_get(dimensions, known[k]);
		if (v == NULL || json_is_null(v))
			continue;
		int code = json_is_string(v) ? find_code(&t->study->dimensions[k], json_string_value(v)) : -1;
		if (code < 0) {
			char field[STUDY_NAME_CAP + 16];
			snprintf(field, sizeof field, "dimensions.%s", known[k]);
			rc = bad(t, field, "expected a code of the study");
		} else {
			t->chunk->codes[k][i] = (uint8_t)code;
		}
	}
	return rc;
}

static enum rc read_event(struct transcoder *t, const json_t *record, uint32_t i)
{
	const json_t *event = json_object_get(record, "event"), *date = json_object_get(record, "date");
	int index = json_is_string(event) ? study_find_event(t->study, json_string_value(event)) : -1;

	if (index < 0)
		return bad(t, "event", "expected an event of the study");
	if (!study_source_may_send(t->study, t->source, index))
		return diag_set(t->diag, RC_NOT_ALLOWED, "record %llu: event.%s: a source of this kind may not send it",
				t->record, t->study->events[index].name);
	t->chunk->events[i] = (uint8_t)index;
	if (!json_is_string(date) || day_parse(json_string_value(date), &t->chunk->days[i]) != RC_OK ||
	    t->chunk->days[i] < BATCH_DAY_MIN)
		return bad(t, "date", "expected a date YYYY-MM-DD, not before 1900");
	return RC_OK;
}

static enum rc read_record(struct transcoder *t, const json_t *record, uint32_t i)
{
	static const char *const known[] = {"record_id", "revision", "person_id",  "filters",
					    "event",     "date",     "dimensions", NULL};

	if (!json_is_object(record))
		return bad(t, "records", "expected an object");
	enum rc rc = check_members(t, record, known);
	if (rc == RC_OK)
		rc = get_hex(t, record, "record_id", t->chunk->record_ids[i], RECORD_ID_LEN);
	if (rc == RC_OK)
		rc = get_count(t, record, "revision", &t->chunk->revisions[i]);
	if (rc == RC_OK && json_object_get(record, "person_id") != NULL)
		rc = get_hex(t, record, "person_id", t->chunk->person_ids[i], PERSON_ID_LEN);
	if (rc == RC_OK)
		rc = read_event(t, record, i);
	if (rc == RC_OK)
		rc = read_filters(t, json_object_get(record, "filters"), i);
	if (rc == RC_OK)
		rc = read_dimensions(t, json_object_get(record, "dimensions"), i);
	return rc;
}

/* ---- the whole ---- */

static enum rc flush_chunk(struct transcoder *t)
{
	if (t->chunk == NULL)
		return RC_OK;
	enum rc rc = batch_writer_chunk(t->writer, t->chunk);
	batch_chunk_free(t->chunk);
	t->chunk = NULL;
	return rc;
}

static enum rc add_record(struct transcoder *t, struct span text)
{
	json_t *record = NULL;
	enum rc rc = RC_OK;

	if (text.len > RECORD_MAX_BYTES)
		return diag_set(t->diag, RC_TOO_LARGE, "record %llu: longer than %d bytes", t->record,
				RECORD_MAX_BYTES);
	/* The parser's own message may quote the text near an error, so it is not passed on. */
	if (json_parse_strict(text.at, text.len, &record, NULL) != RC_OK)
		return diag_set(t->diag, RC_MALFORMED, "record %llu: not valid JSON", t->record);
	if (t->chunk == NULL)
		rc = batch_chunk_new(t->study, t->domain, t->chunk_cap, &t->chunk);
	if (rc == RC_OK)
		rc = read_record(t, record, t->chunk->n_records);
	json_decref(record);
	if (rc == RC_OK && ++t->chunk->n_records == t->chunk_cap)
		rc = flush_chunk(t);
	return rc;
}

static enum rc add_records(struct transcoder *t, struct span records)
{
	struct scan s = {records.at + 1, records.at + records.len - 1};
	struct span text;

	do {
		t->record++;
		if (!take_value(&s, &text))
			return diag_set(t->diag, RC_MALFORMED, "record %llu: expected an object", t->record);
		enum rc rc = add_record(t, text);
		if (rc != RC_OK)
			return rc;
	} while (take_char(&s, ','));
	skip_space(&s);
	if (s.at != s.end || records.at[records.len - 1] != ']')
		return diag_set(t->diag, RC_MALFORMED, "records: expected , or ] after record %llu", t->record);
	return flush_chunk(t);
}

static enum rc transcode(struct transcoder *t, const json_t *head, struct span records, struct buffer *out)
{
	struct batch_header header = {0};
	uint8_t batch_id[BATCH_ID_LEN];

	enum rc rc = read_head(t, head, &header);
	if (rc != RC_OK)
		return rc;
	t->chunk_cap = batch_chunk_cap(t->study, t->domain);
	rc = batch_writer_new(t->study, &header, out, &t->writer);
	if (rc == RC_INVALID)
		return bad(t, "software", "expected printable ASCII");
	if (rc == RC_OK)
		rc = add_records(t, records);
	if (rc == RC_OK)
		rc = batch_writer_end(t->writer, batch_id);
	batch_chunk_free(t->chunk);
	batch_writer_free(t->writer);
	return rc;
}

enum rc batch_from_json(const struct study *study, const char *json, size_t len, struct buffer *out, struct diag *diag)
{
	struct transcoder t = {.study = study, .diag = diag};
	struct span records = {NULL, 0};
	json_t *head = NULL;
	struct buffer head_text;
	size_t start = out->len;

	buffer_init(&head_text);
	enum rc rc = split_document(json, len, &head_text, &records, diag);
	if (rc == RC_OK && json_parse_strict((const char *)head_text.data, head_text.len, &head, NULL) != RC_OK)
		rc = diag_set(diag, RC_MALFORMED, "the members beside \"records\" are not valid JSON");
	if (rc == RC_OK)
		rc = transcode(&t, head, records, out);
	if (rc != RC_OK)
		out->len = start;
	json_decref(head);
	buffer_deinit(&head_text);
	return rc;
}
