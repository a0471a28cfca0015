#include "tools/encode/record.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys/hmac.h"
#include "tools/encode/idset.h"
#include "tools/encode/sex.h"

enum { MAX_ID_BYTES = 256, RECORD_KEY_LEN = 32 };

struct record_reader {
	struct record_options options;
	const struct study_domain *domain;
	const struct register_file *file;
	struct encoder_worker *worker; /* NULL = filters are given */
	const uint8_t *given;
	struct hmac_key *record_key;
	int record_id, revision, person_id, event, event_date;
	int features[SCHEMA_MAX_FEATURES];       /* -1 = not used */
	int dimensions[STUDY_MAX_DIMENSIONS];    /* -1 = not there */
	int birth_feature[STUDY_MAX_DIMENSIONS]; /* feature that holds an age band's date of birth, or -1 */
};

struct record_ledger {
	const struct study *study;
	const struct schema *schema;
	struct idset *seen;
	struct record_counts counts;
};

static enum rc refuse(struct record_error *error, const char *column, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static enum rc refuse(struct record_error *error, const char *column, const char *format, ...)
{
	va_list args;
	error->column = column;
	va_start(args, format);
	vsnprintf(error->rule, sizeof error->rule, format, args);
	va_end(args);
	return RC_INVALID;
}

/* ---- columns ---- */

static enum rc find_column(const struct register_file *file, const char *name, bool needed, int *ret, struct diag *diag)
{
	*ret = register_column(file, name, 0);
	if (*ret >= 0 && register_column(file, name, 1) >= 0)
		return diag_set(diag, RC_INVALID, "the header (line 1) has column '%s' twice", name);
	if (*ret < 0 && needed)
		return diag_set(diag, RC_INVALID, "the header (line 1) has no column '%s'%s", name,
				register_hint(file, name));
	return RC_OK;
}

static enum rc find_features(struct record_reader *r, const struct register_file *file, struct diag *diag)
{
	const struct schema *schema = r->domain->schema;
	enum rc rc = RC_OK;
	for (uint16_t i = 0; i < schema->n_features && rc == RC_OK; i++) {
		r->features[i] = -1;
		if (r->options.encoder != NULL && encoder_uses(r->options.encoder, i))
			rc = find_column(file, schema->features[i].identifier, true, &r->features[i], diag);
	}
	return rc;
}

static enum rc find_dimensions(struct record_reader *r, const struct register_file *file, struct diag *diag)
{
	const struct study *study = r->options.study;
	enum rc rc = RC_OK;
	for (uint8_t i = 0; i < study->n_dimensions && rc == RC_OK; i++) {
		r->dimensions[i] = r->birth_feature[i] = -1;
		if (study->dimensions[i].derivation != DERIVED_SOURCE)
			rc = find_column(file, study->dimensions[i].column, false, &r->dimensions[i], diag);
		int feature = schema_find(r->domain->schema, study->dimensions[i].column);
		if (study->dimensions[i].derivation == DERIVED_AGE_BAND && feature >= 0 && r->options.encoder != NULL &&
		    encoder_uses(r->options.encoder, (uint16_t)feature))
			r->birth_feature[i] = feature;
	}
	return rc;
}

static enum rc find_columns(struct record_reader *r, const struct register_file *file, struct diag *diag)
{
	enum rc rc = find_column(file, "record_id", true, &r->record_id, diag);
	if (rc == RC_OK)
		rc = find_column(file, "event", true, &r->event, diag);
	if (rc == RC_OK)
		rc = find_column(file, "event_date", true, &r->event_date, diag);
	if (rc == RC_OK)
		rc = find_column(file, "revision", false, &r->revision, diag);
	if (rc == RC_OK)
		rc = find_column(file, "person_id", false, &r->person_id, diag);
	if (rc == RC_OK)
		rc = find_features(r, file, diag);
	if (rc == RC_OK)
		rc = find_dimensions(r, file, diag);
	return rc;
}

enum rc record_reader_new(const struct record_options *options, const struct register_file *file,
			  struct record_reader **ret, struct diag *diag)
{
	struct record_reader *r = calloc(1, sizeof *r);
	if (r == NULL)
		return diag_set(diag, RC_NOMEM, "out of memory");
	r->options = *options;
	r->file = file;
	r->domain = &options->study->domains[options->study->sources[options->source].domain];
	enum rc rc = find_columns(r, file, diag);
	if (rc == RC_OK && options->encoder != NULL)
		rc = encoder_worker_new(options->encoder, &r->worker, diag);
	if (rc == RC_OK) {
		rc = hmac_key_new(options->record_key, RECORD_KEY_LEN, &r->record_key);
		if (rc != RC_OK)
			diag_set(diag, rc, "the record key could not be used");
	}
	if (rc != RC_OK) {
		record_reader_free(r);
		return rc;
	}
	*ret = r;
	return RC_OK;
}

void record_reader_free(struct record_reader *r)
{
	if (r == NULL)
		return;
	encoder_worker_free(r->worker);
	hmac_key_free(r->record_key);
	free(r);
}

/* ---- a row ---- */

static struct encode_value field(const struct register_row *row, int column)
{
	return column < 0 ? (struct encode_value){"", 0} : row->fields[column];
}

/* Copy a short field as a string; false when it does not fit. The fields hold no NUL bytes. */
static bool field_text(const struct register_row *row, int column, char *out, size_t cap)
{
	struct encode_value v = field(row, column);
	if (v.len >= cap)
		return false;
	memcpy(out, v.bytes, v.len);
	out[v.len] = '\0';
	return true;
}

static enum rc hide_id(const struct hmac_key *key, const char *label, const char *id, size_t len,
		       uint8_t ret[RECORD_ID_LEN])
{
	uint8_t message[64 + MAX_ID_BYTES], mac[32];
	size_t label_len = strlen(label) + 1;
	if (label_len > 64 || len > MAX_ID_BYTES)
		return RC_INVALID;
	memcpy(message, label, label_len);
	memcpy(message + label_len, id, len);
	enum rc rc = hmac_key_mac(key, message, label_len + len, mac);
	if (rc == RC_OK)
		memcpy(ret, mac, RECORD_ID_LEN);
	explicit_bzero(message, label_len + len);
	return rc;
}

enum rc record_hide_id(const uint8_t key[32], const char *label, const char *id, size_t len, uint8_t ret[RECORD_ID_LEN])
{
	struct hmac_key *prepared = NULL;
	enum rc rc = hmac_key_new(key, RECORD_KEY_LEN, &prepared);
	if (rc == RC_OK)
		rc = hide_id(prepared, label, id, len, ret);
	hmac_key_free(prepared);
	return rc;
}

static enum rc read_revision(const struct record_reader *r, const struct register_row *row, uint64_t *ret,
			     struct record_error *error)
{
	char text[24];
	uint64_t v = 0;
	if (!field_text(row, r->revision, text, sizeof text))
		return refuse(error, "revision", "expected a whole number from 0 to 999999999999999999");
	for (const char *s = text; *s != '\0'; s++) {
		if (*s < '0' || *s > '9' || s - text >= 18)
			return refuse(error, "revision", "expected a whole number from 0 to 999999999999999999");
		v = v * 10 + (uint64_t)(*s - '0');
	}
	*ret = v;
	return RC_OK;
}

/* Record id, revision and person id. */
static enum rc read_ids(struct record_reader *r, const struct register_row *row, struct batch_chunk *chunk, uint32_t i,
			uint64_t *ret_digest, struct record_error *error)
{
	struct encode_value id = field(row, r->record_id), person = field(row, r->person_id);
	if (id.len == 0)
		return refuse(error, "record_id", "is empty; every record needs one");
	if (id.len > MAX_ID_BYTES)
		return refuse(error, "record_id", "expected at most %d bytes", MAX_ID_BYTES);
	if (person.len > MAX_ID_BYTES)
		return refuse(error, "person_id", "expected at most %d bytes", MAX_ID_BYTES);
	enum rc rc = read_revision(r, row, &chunk->revisions[i], error);
	if (rc == RC_OK)
		rc = hide_id(r->record_key, RECORD_LABEL, id.bytes, id.len, chunk->record_ids[i]);
	memset(chunk->person_ids[i], 0, PERSON_ID_LEN);
	if (rc == RC_OK && person.len != 0)
		rc = hide_id(r->record_key, PERSON_LABEL, person.bytes, person.len, chunk->person_ids[i]);
	if (rc != RC_OK)
		return rc;
	memcpy(ret_digest, chunk->record_ids[i], sizeof *ret_digest);
	*ret_digest ^= chunk->revisions[i] * 0x9E3779B97F4A7C15u;
	return RC_OK;
}

static enum rc read_event(const struct record_reader *r, const struct register_row *row, struct batch_chunk *chunk,
			  uint32_t i, struct record_error *error)
{
	const struct study *study = r->options.study;
	char text[STUDY_NAME_CAP];
	int year, month, day_of_month;
	int event = field_text(row, r->event, text, sizeof text) ? study_find_event(study, text) : -1;
	if (event < 0) {
		char names[200] = "";
		for (uint8_t e = 0; e < study->n_events; e++) {
			if (study_source_may_send(study, r->options.source, e) &&
			    strlen(names) + strlen(study->events[e].name) + 3 < sizeof names)
				snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
					 names[0] ? ", " : "", study->events[e].name);
		}
		return refuse(error, "event", "expected one of the study's events: %s", names);
	}
	if (!study_source_may_send(study, r->options.source, event))
		return refuse(error, "event", "the study does not let this source send '%s'",
			      study->events[event].name);
	if (!field_text(row, r->event_date, text, sizeof text) || !day_parse_civil(text, &year, &month, &day_of_month))
		return refuse(error, "event_date", "expected a date YYYY-MM-DD");
	int32_t day = day_from_civil(year, month, day_of_month);
	if (day < BATCH_DAY_MIN)
		return refuse(error, "event_date", "lies before 1900-01-01");
	if (day > r->options.latest_day)
		return refuse(error, "event_date", "lies in the future");
	chunk->events[i] = (uint8_t)event;
	chunk->days[i] = day;
	return RC_OK;
}

/* The date of birth behind an age band: false when it is missing or no date that can be read. */
static bool birth_date(const struct record_reader *r, const struct register_row *row, uint8_t d, struct date *ret)
{
	char text[16];
	int32_t day;
	if (r->birth_feature[d] >= 0)
		return encoder_feature_date(r->worker, (uint16_t)r->birth_feature[d], ret);
	if (!field_text(row, r->dimensions[d], text, sizeof text) || day_parse(text, &day) != RC_OK)
		return false;
	day_to_civil(day, &ret->year, &ret->month, &ret->day);
	return true;
}

static uint8_t age_code(const struct record_reader *r, const struct register_row *row, uint8_t d, int32_t event_day)
{
	struct date birth, on;
	if (!birth_date(r, row, d, &birth))
		return 0;
	day_to_civil(event_day, &on.year, &on.month, &on.day);
	int age = date_age(&birth, &on);
	return age < 0 ? 0 : study_age_code(&r->options.study->dimensions[d], age);
}

static enum rc refuse_code(const struct study_dimension *dimension, struct record_error *error)
{
	char codes[240] = "";
	for (uint8_t c = 1; c <= dimension->n_codes; c++) {
		size_t n = strlen(codes);
		if (n + strlen(dimension->codes[c]) + 8 >= sizeof codes) {
			snprintf(codes + n, sizeof codes - n, ", …");
			break;
		}
		snprintf(codes + n, sizeof codes - n, "%s%s", n ? ", " : "", dimension->codes[c]);
	}
	return refuse(error, dimension->column, "expected one of %s, or nothing", codes);
}

/* A code that the study lists, or one for sex in the terms of another register. -1 = neither. */
static int find_code(const struct record_reader *r, const struct study_dimension *dimension, const char *text)
{
	int code = study_find_code(dimension, text);
	if (code >= 0 || !r->domain->normalise.sex_codes || study_find_code(dimension, "male") < 0 ||
	    study_find_code(dimension, "female") < 0)
		return code;
	const char *sex = sex_from_code(r->domain->normalise.language, text, strlen(text));
	return sex == NULL ? -1 : sex[0] == '\0' ? 0 : study_find_code(dimension, sex);
}

static enum rc read_codes(const struct record_reader *r, const struct register_row *row, struct batch_chunk *chunk,
			  uint32_t i, struct record_error *error)
{
	const struct study *study = r->options.study;
	for (uint8_t d = 0; d < study->n_dimensions; d++) {
		const struct study_dimension *dimension = &study->dimensions[d];
		char text[STUDY_NAME_CAP] = "";
		int code = 0;
		if (dimension->derivation == DERIVED_SOURCE)
			code = dimension->source_code[r->options.source];
		else if (dimension->derivation == DERIVED_AGE_BAND)
			code = age_code(r, row, d, chunk->days[i]);
		else if (!field_text(row, r->dimensions[d], text, sizeof text))
			code = -1;
		else if (text[0] != '\0')
			code = find_code(r, dimension, text);
		if (code < 0)
			return refuse_code(dimension, error);
		chunk->codes[d][i] = (uint8_t)code;
	}
	return RC_OK;
}

void record_reader_give(struct record_reader *r, const uint8_t *filter)
{
	r->given = filter;
}

static enum rc take_given(const struct record_reader *r, struct batch_chunk *chunk, uint32_t i, bool *ret_nothing)
{
	size_t n = study_filter_bytes(r->domain, 0);
	uint8_t any = 0;
	for (size_t b = 0; b < n; b++)
		any |= r->given[b];
	memcpy(chunk->filters[0] + i * n, r->given, n);
	chunk->missing[0][i] = any == 0;
	*ret_nothing = any == 0;
	return RC_OK;
}

static enum rc read_filters(struct record_reader *r, const struct encode_value *values, struct batch_chunk *chunk,
			    uint32_t i, bool *ret_nothing, struct record_error *error)
{
	struct encode_error encode_error;
	bool missing[STUDY_MAX_FILTERS], nothing = true;
	uint8_t *outs[STUDY_MAX_FILTERS];
	const struct schema *schema = r->domain->schema;
	if (r->worker == NULL)
		return take_given(r, chunk, i, ret_nothing);
	for (uint8_t f = 0; f < r->domain->n_filters; f++)
		outs[f] = chunk->filters[f] + (size_t)i * encoder_filter_bytes(r->options.encoder, f);
	enum rc rc = encoder_encode_to(r->worker, values, outs, missing, &encode_error);
	if (rc == RC_INVALID)
		return refuse(error, schema->features[encode_error.feature].identifier, "%s", encode_error.rule);
	for (uint8_t f = 0; f < r->domain->n_filters && rc == RC_OK; f++) {
		chunk->missing[f][i] = missing[f];
		nothing &= missing[f];
	}
	*ret_nothing = nothing;
	return rc;
}

enum rc record_convert(struct record_reader *r, const struct register_row *row, struct batch_chunk *chunk, uint32_t i,
		       struct record_facts *ret_facts, struct record_error *error)
{
	struct record_facts facts = {.no_person = field(row, r->person_id).len == 0};
	*error = (struct record_error){.column = ""};
	if (row->problem != NULL)
		return refuse(error, register_column_name(r->file, row->problem_column), "%s", row->problem);
	struct encode_value values[SCHEMA_MAX_FEATURES];
	for (uint16_t f = 0; f < r->domain->schema->n_features && r->worker != NULL; f++)
		values[f] = field(row, r->features[f]);
	if (r->worker != NULL)
		encoder_expect(r->worker, values);
	enum rc rc = read_ids(r, row, chunk, i, &facts.digest, error);
	if (rc == RC_OK)
		rc = read_event(r, row, chunk, i, error);
	/* The filters first: an age band needs the date of birth that the encoder has read. */
	if (rc == RC_OK)
		rc = read_filters(r, values, chunk, i, &facts.nothing, error);
	if (rc == RC_OK)
		rc = read_codes(r, row, chunk, i, error);
	if (rc != RC_OK)
		return rc;
	for (uint16_t f = 0; f < r->domain->schema->n_features && r->worker != NULL; f++)
		facts.missing |= (uint64_t)encoder_feature_missing(r->worker, f) << f;
	*ret_facts = facts;
	return RC_OK;
}

/* ---- a file ---- */

enum rc record_ledger_new(const struct study *study, int domain, struct record_ledger **ret)
{
	struct record_ledger *ledger = calloc(1, sizeof *ledger);
	if (ledger == NULL)
		return RC_NOMEM;
	ledger->study = study;
	ledger->schema = study->domains[domain].schema;
	enum rc rc = idset_new(IDSET_MAX_CAP, &ledger->seen);
	if (rc != RC_OK) {
		free(ledger);
		return rc;
	}
	*ret = ledger;
	return RC_OK;
}

void record_ledger_free(struct record_ledger *ledger)
{
	if (ledger != NULL)
		idset_free(ledger->seen);
	free(ledger);
}

void record_ledger_expect(const struct record_ledger *ledger, const struct record_facts *facts)
{
	idset_prefetch(ledger->seen, facts->digest);
}

const struct record_counts *record_ledger_counts(const struct record_ledger *ledger)
{
	return &ledger->counts;
}

enum rc record_ledger_add(struct record_ledger *ledger, const struct record_facts *facts,
			  const struct batch_chunk *chunk, uint32_t i, struct record_error *error)
{
	struct record_counts *counts = &ledger->counts;
	bool new = false;
	enum rc rc = idset_add(ledger->seen, facts->digest, &new);
	if (rc == RC_OK && !new)
		return refuse(error, "record_id", "stands in the file before, with the same revision");
	if (rc != RC_OK)
		return rc;
	counts->records++;
	counts->nothing_to_encode += facts->nothing;
	counts->no_person_id += facts->no_person;
	for (uint16_t f = 0; f < ledger->schema->n_features; f++)
		counts->missing[f] += facts->missing >> f & 1;
	for (uint8_t d = 0; d < ledger->study->n_dimensions; d++)
		counts->unknown[d] += chunk->codes[d][i] == 0;
	return RC_OK;
}

/* The ledger last, so that a row that was refused does not make its correction further down a repetition. */
enum rc record_read(struct record_reader *r, struct record_ledger *ledger, const struct register_row *row,
		    struct batch_chunk *chunk, uint32_t i, struct record_error *error)
{
	struct record_facts facts;
	enum rc rc = record_convert(r, row, chunk, i, &facts, error);
	return rc == RC_OK ? record_ledger_add(ledger, &facts, chunk, i, error) : rc;
}
