/* libs: tc_encode tc_keys tc_proto */
/* From a row to a record: filters of a study, hidden ids, strata, and every refusal, without a value in any message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "keys/key_file.h"
#include "proto/bytes.h"
#include "tools/encode/bloom.h"
#include "tools/encode/derive.h"
#include "tools/encode/record.h"

static const char study_text[] =
	"study: 1\n"
	"name: small\n"
	"title: A small study\n"
	"synthetic: true\n"
	"linkage:\n"
	"  profile: quality\n"
	"  key_check: unset\n"
	"  normalise: [trim, lower, strip_marks, drop_punctuation, sentinel_dates]\n"
	"  schema:\n"
	"    {\"version\": 3, \"clkConfig\": {\"l\": 512, \"kdf\": {\"type\": \"HKDF\"}},\n"
	"     \"features\": [\n"
	"      {\"identifier\": \"given_name\", \"format\": {\"type\": \"string\"}, \"hashing\": {\"comparison\": "
	"{\"type\": "
	"\"ngram\", \"n\": 2}, \"strategy\": {\"bitsPerToken\": 10}}},\n"
	"      {\"identifier\": \"surname\", \"format\": {\"type\": \"string\"}, \"hashing\": {\"comparison\": "
	"{\"type\": "
	"\"ngram\", \"n\": 2}, \"strategy\": {\"bitsPerToken\": 10}}},\n"
	"      {\"identifier\": \"date_of_birth\", \"format\": {\"type\": \"date\", \"format\": \"%Y-%m-%d\"}, "
	"\"hashing\": "
	"{\"comparison\": {\"type\": \"ngram\", \"n\": 1, \"positional\": true}, \"strategy\": {\"bitsPerToken\": "
	"10}}}]}\n"
	"  filters:\n"
	"    a_name: {features: [given_name, surname], bits: 1024}\n"
	"    birth: {features: [date_of_birth], bits: 512, sorted_digits: true}\n"
	"sources:\n"
	"  prison: {kind: prison, reporting_lag_days: 30}\n"
	"  treatment: {kind: treatment, reporting_lag_days: 30}\n"
	"events:\n"
	"  reception: {role: reception, from: [prison]}\n"
	"  release: {role: release, from: [prison]}\n"
	"  treatment_start: {role: treatment_start, from: [treatment]}\n"
	"dimensions:\n"
	"  sex: {column: sex, codes: [male, female]}\n"
	"  age_band: {derived: age_band, column: date_of_birth, bands: [18, 25, 35]}\n"
	"measures:\n"
	"  continuity: {kind: continuity, bands: [7, 14, 21, 28, 90]}\n"
	"tables:\n"
	"  by_quarter: {measure: continuity, period: quarter, by: [], sigma2: 10}\n"
	"disclosure: {method: keyed-noise, threshold: 10, rho_limit: 4, max_index_events: 4, interval_days: 0, "
	"min_new_records: 1, min_sources: 2, provisional: false}\n";

static const uint8_t record_key[32] = {7, 1, 3};
static const uint8_t secret[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

struct memory {
	const char *at;
	size_t left;
};

static ssize_t memory_read(void *ctx, void *buffer, size_t cap)
{
	struct memory *m = ctx;
	size_t n = m->left < cap ? m->left : cap;
	memcpy(buffer, m->at, n);
	m->at += n;
	m->left -= n;
	return (ssize_t)n;
}

struct fixture {
	struct study *study;
	struct encoder *encoder;
};

static int set_up(void **state)
{
	static struct fixture f;
	struct diag diag = {""};
	f = (struct fixture){NULL, NULL};
	if (study_parse("study.yaml", study_text, sizeof study_text - 1, &f.study, &diag) != RC_OK) {
		print_error("%s\n", diag.text);
		return -1;
	}
	assert_int_equal(encoder_new_domain(&f.study->domains[0], secret, sizeof secret, &f.encoder, &diag), RC_OK);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	encoder_free(f->encoder);
	study_free(f->study);
	return 0;
}

/* Read a CSV into a chunk; the first error ends it. */
static enum rc read_csv(const struct fixture *f, const char *source_name, const char *csv, struct batch_chunk **ret,
			struct record_counts *counts, char message[RECORD_RULE_CAP + 80])
{
	struct memory memory = {csv, strlen(csv)};
	struct register_source source = {memory_read, &memory};
	struct record_options options = {f->study, study_find_source(f->study, source_name), f->encoder, record_key,
					 25000};
	struct register_file *file = NULL;
	struct record_reader *reader = NULL;
	struct record_ledger *ledger = NULL;
	struct record_error error = {.column = ""};
	struct register_row row;
	struct diag diag = {""};
	bool more = true;
	message[0] = '\0';
	assert_int_equal(batch_chunk_new(f->study, 0, 16, ret), RC_OK);
	assert_int_equal(register_open(&source, &file, &diag), RC_OK);
	assert_int_equal(record_ledger_new(f->study, 0, &ledger), RC_OK);
	enum rc rc = record_reader_new(&options, file, &reader, &diag);
	if (rc != RC_OK)
		strcpy(message, diag.text);
	while (rc == RC_OK) {
		assert_int_equal(register_next(file, &row, &more, &diag), RC_OK);
		if (!more)
			break;
		rc = record_read(reader, ledger, &row, *ret, (*ret)->n_records, &error);
		if (rc == RC_OK)
			(*ret)->n_records++;
		else
			snprintf(message, RECORD_RULE_CAP + 80, "row %llu, %s: %s", (unsigned long long)row.number,
				 error.column, error.rule);
	}
	*counts = *record_ledger_counts(ledger);
	record_ledger_free(ledger);
	record_reader_free(reader);
	register_close(file);
	return rc;
}

#define HEADER "record_id,person_id,revision,given_name,surname,date_of_birth,event,event_date,sex\n"

static void test_good_rows(void **state)
{
	const struct fixture *f = *state;
	struct batch_chunk *chunk = NULL;
	struct record_counts counts;
	char message[RECORD_RULE_CAP + 80];
	uint8_t mac[32];
	static const uint8_t nobody[PERSON_ID_LEN];
	enum rc rc = read_csv(f, "prison",
			      HEADER "A1,77,,Zo\xC3\xAB,O'Brien,1990-03-07,release,2024-03-06,female\n"
				     "A2,,5,ZOE,obrien,1990-03-07,reception,2024-03-07,\n"
				     "A2,77,6,,,,release,2023-01-01,male\n"
				     "A3,,,x,y,1900-01-01,release,2023-01-01,male\n"
				     "A4,,,x,y,2020-01-01,release,2023-01-01,male\n",
			      &chunk, &counts, message);
	assert_string_equal(message, "");
	assert_int_equal(rc, RC_OK);
	assert_int_equal(chunk->n_records, 5);
	/* Ids: HMACs with labels of their own, truncated. */
	assert_int_equal(hmac_sha256(record_key, 32, "throughcare record id v1\0A1", 27, mac), RC_OK);
	assert_memory_equal(chunk->record_ids[0], mac, 16);
	assert_int_equal(hmac_sha256(record_key, 32, "throughcare person id v1\00077", 27, mac), RC_OK);
	assert_memory_equal(chunk->person_ids[0], mac, 16);
	assert_memory_equal(chunk->person_ids[1], nobody, 16);
	assert_memory_equal(chunk->person_ids[2], mac, 16);
	assert_int_equal(chunk->revisions[1], 5);
	assert_int_equal(chunk->revisions[2], 6);
	/* Normalisation makes the names of rows 1 and 2 one. */
	assert_memory_equal(chunk->filters[0], chunk->filters[0] + 128, 128);
	assert_int_equal(chunk->missing[0][0], 0);
	assert_int_equal(chunk->missing[0][2], 1);
	assert_int_equal(chunk->missing[1][2], 1);
	/* The sentinel date is missing, and so is the age; a birth after the event gives no age either. */
	assert_int_equal(chunk->missing[1][3], 1);
	assert_int_equal(chunk->codes[0][3], 0);
	assert_int_equal(chunk->missing[1][4], 0);
	assert_int_equal(chunk->codes[0][4], 0);
	/* 33 the day before the birthday, 34 on it: both 25–34. */
	assert_int_equal(chunk->codes[0][0], 2);
	assert_int_equal(chunk->codes[1][0], 2);
	assert_int_equal(chunk->codes[1][1], 0);
	assert_int_equal(chunk->events[1], study_find_event(f->study, "reception"));
	assert_int_equal(chunk->days[0], 19788);
	assert_int_equal(counts.records, 5);
	assert_int_equal(counts.nothing_to_encode, 1);
	assert_int_equal(counts.missing[2], 2);
	assert_int_equal(counts.unknown[1], 1);
	assert_int_equal(counts.no_person_id, 3);
	batch_chunk_free(chunk);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *source, *row, *message;
	} cases[] = {
		{"prison", ",,,SECRETNAME,x,1990-03-07,release,2024-03-07,male\n", "row 1, record_id: is empty"},
		{"prison", "1,,x,SECRETNAME,x,1990-03-07,release,2024-03-07,male\n",
		 "row 1, revision: expected a whole"},
		{"prison", "1,,-1,SECRETNAME,x,1990-03-07,release,2024-03-07,male\n",
		 "row 1, revision: expected a whole"},
		{"prison", "1,,9999999999999999999,a,x,1990-03-07,release,2024-03-07,male\n",
		 "row 1, revision: expected"},
		{"prison", "1,,,a,x,1990-13-07,release,2024-03-07,male\n",
		 "row 1, date_of_birth: expected a date in the form"},
		{"prison", "1,,,a,x,1990-03-07,SECRETNAME,2024-03-07,male\n",
		 "expected one of the study's events: reception, release"},
		{"prison", "1,,,a,x,1990-03-07,treatment_start,2024-03-07,male\n", "does not let this source send"},
		{"treatment", "1,,,a,x,1990-03-07,release,2024-03-07,male\n", "does not let this source send"},
		{"prison", "1,,,a,x,1990-03-07,release,07-03-2024,male\n", "row 1, event_date: expected a date"},
		{"prison", "1,,,a,x,1990-03-07,release,1899-03-07,male\n", "row 1, event_date: lies before 1900-01-01"},
		{"prison", "1,,,a,x,1990-03-07,release,9999-12-31,male\n", "row 1, event_date: lies in the future"},
		{"prison", "1,,,a,x,1990-03-07,release,2099-03-07,male\n", "row 1, event_date: lies in the future"},
		{"prison", "1,,,a,x,1990-03-07,release,,male\n", "row 1, event_date: expected a date"},
		{"prison", "1,,,a,x,1990-03-07,release,2024-03-07,SECRETNAME\n",
		 "row 1, sex: expected one of male, female"},
		{"prison", "1,,,a\xff,x,1990-03-07,release,2024-03-07,male\n", "row 1, given_name: is not UTF-8"},
		{"prison", "1,,,a\n", "row 1, : has fewer fields"},
		{"prison",
		 "1,,,a,x,1990-03-07,release,2024-03-07,male\n1,,,SECRETNAME,x,1990-03-07,release,2024-03-07,male\n",
		 "row 2, record_id: stands in the file before, with the same revision"},
	};
	const struct fixture *f = *state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct batch_chunk *chunk = NULL;
		struct record_counts counts;
		char csv[1024], message[RECORD_RULE_CAP + 80];
		snprintf(csv, sizeof csv, "%s%s", HEADER, cases[i].row);
		assert_int_equal(read_csv(f, cases[i].source, csv, &chunk, &counts, message), RC_INVALID);
		if (strstr(message, cases[i].message) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", message, cases[i].message);
		assert_null(strstr(message, "SECRETNAME"));
		assert_null(strstr(message, "1990"));
		batch_chunk_free(chunk);
	}
}

/* A row that was refused may come again, corrected. */
static void test_refused_row_is_forgotten(void **state)
{
	const struct fixture *f = *state;
	struct memory memory = {NULL, 0};
	static const char csv[] =
		HEADER "1,,,a,x,bad,release,2024-03-07,male\n1,,,a,x,1990-03-07,release,2024-03-07,male\n";
	struct register_source source = {memory_read, &memory};
	struct record_options options = {f->study, 0, f->encoder, record_key, DAY_MAX};
	struct register_file *file = NULL;
	struct record_reader *reader = NULL;
	struct record_ledger *ledger = NULL;
	struct record_error error;
	struct register_row row;
	struct batch_chunk *chunk = NULL;
	struct diag diag;
	bool more;
	memory = (struct memory){csv, sizeof csv - 1};
	assert_int_equal(batch_chunk_new(f->study, 0, 4, &chunk), RC_OK);
	assert_int_equal(register_open(&source, &file, &diag), RC_OK);
	assert_int_equal(record_ledger_new(f->study, 0, &ledger), RC_OK);
	assert_int_equal(record_reader_new(&options, file, &reader, &diag), RC_OK);
	assert_int_equal(register_next(file, &row, &more, &diag), RC_OK);
	assert_int_equal(record_read(reader, ledger, &row, chunk, 0, &error), RC_INVALID);
	assert_int_equal(register_next(file, &row, &more, &diag), RC_OK);
	assert_int_equal(record_read(reader, ledger, &row, chunk, 0, &error), RC_OK);
	record_ledger_free(ledger);
	record_reader_free(reader);
	register_close(file);
	batch_chunk_free(chunk);
}

static void test_missing_columns(void **state)
{
	static const struct {
		const char *header, *message;
	} cases[] = {
		{"person_id,given_name,surname,date_of_birth,event,event_date\n", "no column 'record_id'"},
		{"record_id,given_name,date_of_birth,event,event_date\n", "no column 'surname'"},
		{"record_id,given_name,surname,date_of_birth,event\n", "no column 'event_date'"},
		{"record_id,given_name,surname,surname,date_of_birth,event,event_date\n", "column 'surname' twice"},
		{"record_id;given_name;SECRETNAME\n", "semicolons"},
	};
	const struct fixture *f = *state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct batch_chunk *chunk = NULL;
		struct record_counts counts;
		char message[RECORD_RULE_CAP + 80];
		assert_int_equal(read_csv(f, "prison", cases[i].header, &chunk, &counts, message), RC_INVALID);
		if (strstr(message, cases[i].message) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", message, cases[i].message);
		assert_null(strstr(message, "SECRETNAME"));
		batch_chunk_free(chunk);
	}
}

static unsigned n_bits_set(const uint8_t *filter, size_t n)
{
	unsigned sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (unsigned)__builtin_popcount(filter[i]);
	return sum;
}

/* A filter of a study is the OR of its features' tokens under their clkhash keys, in a length of its own; sorted
 * digits are further tokens under the same key. */
static void test_filter_by_hand(void **state)
{
	const struct fixture *f = *state;
	const struct study_domain *domain = &f->study->domains[0];
	struct encoder_worker *worker = NULL;
	struct encode_value values[3] = {{"", 0}, {"", 0}, {"1990-12-07", 10}};
	struct encode_error error;
	struct diag diag;
	struct bloom_hasher *hasher = NULL;
	uint8_t out[192], expected[64] = {0}, *keys = NULL;
	size_t keys_len;
	bool missing[2];
	static const char *const tokens[] = {"1 1", "2 9", "3 9",   "4 0", "5 1", "6 2",
					     "7 0", "8 7", "y0199", "m12", "d07"};
	assert_int_equal(encoder_worker_new(f->encoder, &worker, &diag), RC_OK);
	assert_int_equal(encoder_record_bytes(f->encoder), 192);
	assert_int_equal(encoder_encode(worker, values, out, missing, &error), RC_OK);
	assert_true(missing[0]);
	assert_false(missing[1]);
	assert_int_equal(n_bits_set(out, 128), 0);
	assert_int_equal(derive_feature_keys(domain->schema, secret, sizeof secret, &keys, &keys_len), RC_OK);
	assert_int_equal(bloom_hasher_new(&hasher), RC_OK);
	struct bloom_key key = {HASH_BLAKE, false, 512, keys + 4 * 64, keys + 5 * 64, 64};
	for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
		uint32_t positions[10];
		assert_int_equal(
			bloom_positions(hasher, &key, (const uint8_t *)tokens[i], strlen(tokens[i]), 10, positions),
			RC_OK);
		bloom_set(expected, positions, 10);
	}
	assert_memory_equal(out + 128, expected, 64);
	bloom_hasher_free(hasher);
	free(keys);
	encoder_worker_free(worker);
}

/* More different values than the cache holds: what was hashed anew equals what was remembered. */
static void test_cache_changes_nothing(void **state)
{
	const struct fixture *f = *state;
	struct encoder_worker *warm = NULL, *cold = NULL;
	struct encode_error error;
	struct diag diag;
	uint8_t a[192], b[192];
	bool missing[2];
	char name[32];
	/* Of so many workers each has the smallest cache there is. */
	encoder_set_workers(f->encoder, 1000000);
	assert_int_equal(encoder_worker_new(f->encoder, &warm, &diag), RC_OK);
	for (uint32_t i = 0; i < 30000; i++) {
		int n = snprintf(name, sizeof name, "%c%c%c%c", (int)(0x21 + i % 90), (int)(0x21 + i / 90 % 90),
				 (int)(0x21 + i / 7 % 90), (int)(0x21 + i * 31 % 90));
		struct encode_value values[3] = {{name, (size_t)n}, {name, (size_t)n}, {"", 0}};
		assert_int_equal(encoder_encode(warm, values, a, missing, &error), RC_OK);
		if (i % 5000 != 0)
			continue;
		assert_int_equal(encoder_worker_new(f->encoder, &cold, &diag), RC_OK);
		assert_int_equal(encoder_encode(cold, values, b, missing, &error), RC_OK);
		assert_memory_equal(a, b, sizeof a);
		encoder_worker_free(cold);
	}
	encoder_worker_free(warm);
	encoder_set_workers(f->encoder, 1);
}

/* Diffusion is linear over XOR, keyed, and leaves nothing where there was nothing. */
static void test_diffusion(void **state)
{
	const struct fixture *f = *state;
	struct study_domain domain = f->study->domains[0];
	struct encoder *diffused = NULL, *other = NULL, *undiffused = NULL;
	struct encoder_worker *w = NULL, *w_other = NULL, *plain = NULL;
	struct encode_value values[3] = {{"anna", 4}, {"", 0}, {"", 0}};
	struct encode_error error;
	struct diag diag;
	uint8_t a[192], b[192], p[192], secret_2[32];
	uint16_t *inputs = NULL;
	bool missing[2];
	memcpy(secret_2, secret, sizeof secret_2);
	secret_2[31] ^= 1;
	domain.filters[0].incomplete = INCOMPLETE_KEEP; /* one name of two is given */
	assert_int_equal(encoder_new_domain(&domain, secret, 32, &undiffused, &diag), RC_OK);
	domain.filters[0].diffusion = 3;
	assert_int_equal(encoder_new_domain(&domain, secret, 32, &diffused, &diag), RC_OK);
	assert_int_equal(encoder_new_domain(&domain, secret_2, 32, &other, &diag), RC_OK);
	assert_int_equal(encoder_worker_new(diffused, &w, &diag), RC_OK);
	assert_int_equal(encoder_worker_new(other, &w_other, &diag), RC_OK);
	assert_int_equal(encoder_worker_new(undiffused, &plain, &diag), RC_OK);
	assert_int_equal(encoder_encode(w, values, a, missing, &error), RC_OK);
	assert_int_equal(encoder_encode(w_other, values, b, missing, &error), RC_OK);
	assert_int_equal(encoder_encode(plain, values, p, missing, &error), RC_OK);
	assert_memory_not_equal(a, b, 128);
	assert_int_equal(derive_diffusion(secret, 32, "a_name", 1024, 3, &inputs), RC_OK);
	for (size_t j = 0; j < 1024; j++) {
		unsigned bit = 0;
		for (size_t t = 0; t < 3; t++) {
			uint16_t i = inputs[3 * j + t];
			assert_true(i < 1024);
			bit ^= (unsigned)(p[i >> 3] >> (7 - (i & 7))) & 1u;
		}
		assert_int_equal((unsigned)(a[j >> 3] >> (7 - (j & 7))) & 1u, bit);
		assert_true(inputs[3 * j] != inputs[3 * j + 1] && inputs[3 * j] != inputs[3 * j + 2] &&
			    inputs[3 * j + 1] != inputs[3 * j + 2]);
	}
	values[0] = (struct encode_value){"", 0};
	assert_int_equal(encoder_encode(w, values, a, missing, &error), RC_OK);
	assert_true(missing[0]);
	assert_int_equal(n_bits_set(a, 128), 0);
	free(inputs);
	assert_int_equal(derive_diffusion(secret, 32, "name", 16, 17, &inputs), RC_INVALID);
	assert_int_equal(derive_diffusion(secret, 32, "name", 16, 0, &inputs), RC_INVALID);
	encoder_worker_free(w);
	encoder_worker_free(w_other);
	encoder_worker_free(plain);
	encoder_free(diffused);
	encoder_free(other);
	encoder_free(undiffused);
}

static struct encoder_worker *hardened_worker(const struct study_domain *domain, struct encoder **encoder)
{
	struct encoder_worker *w = NULL;
	struct diag diag;
	assert_int_equal(encoder_new_domain(domain, secret, 32, encoder, &diag), RC_OK);
	assert_int_equal(encoder_worker_new(*encoder, &w, &diag), RC_OK);
	return w;
}

/* Half of the bits are set whatever the value, and two values differ in twice as many bits as before. */
static void test_balanced(void **state)
{
	const struct fixture *f = *state;
	struct study_domain domain = f->study->domains[0], half = domain;
	struct encode_value anna[3] = {{"anna", 4}, {"", 0}, {"", 0}}, hanna[3] = {{"hanna", 5}, {"", 0}, {"", 0}};
	struct encoder *encoder[2];
	struct encode_error error;
	uint8_t a[192], b[192];
	uint16_t *order = NULL;
	bool missing[2], seen[1024] = {false};
	unsigned apart[2] = {0};
	domain.filters[0].incomplete = half.filters[0].incomplete = INCOMPLETE_KEEP;
	domain.filters[0].balanced = true;
	half.filters[0].bits = 512;
	struct encoder_worker *w[2] = {hardened_worker(&domain, &encoder[0]), hardened_worker(&half, &encoder[1])};
	for (int i = 0; i < 2; i++) {
		assert_int_equal(encoder_encode(w[i], anna, a, missing, &error), RC_OK);
		assert_int_equal(encoder_encode(w[i], hanna, b, missing, &error), RC_OK);
		assert_true(i == 1 || (n_bits_set(a, 128) == 512 && n_bits_set(b, 128) == 512));
		for (size_t j = 0; j < (i == 0 ? 128 : 64); j++)
			apart[i] += (unsigned)__builtin_popcount((unsigned)(a[j] ^ b[j]));
		encoder_worker_free(w[i]);
		encoder_free(encoder[i]);
	}
	assert_true(apart[1] > 0);
	assert_int_equal(apart[0], 2 * apart[1]);
	assert_int_equal(derive_balance(secret, 32, "a_name", 1024, &order), RC_OK);
	for (size_t j = 0; j < 1024; j++) {
		assert_true(order[j] < 1024 && !seen[order[j]]);
		seen[order[j]] = true;
	}
	free(order);
	assert_int_equal(derive_balance(secret, 32, "a_name", 0, &order), RC_INVALID);
}

/* A composite filter with one part left: as it is, filled up by what else the record says, or not sent. */
static void test_incomplete(void **state)
{
	const struct fixture *f = *state;
	struct study_domain domain = f->study->domains[0];
	struct encode_value one[3] = {{"anna", 4}, {"", 0}, {"", 0}},
			    record[3] = {{"anna", 4}, {"", 0}, {"1980-02-03", 10}},
			    other[3] = {{"anna", 4}, {"", 0}, {"1980-02-04", 10}},
			    whole[3] = {{"anna", 4}, {"smith", 5}, {"1980-02-03", 10}};
	struct encode_error error;
	uint8_t plain[192], a[192], b[192];
	bool missing[2];
	assert_int_equal(study_filter_n_parts(&domain.filters[0]), 2);
	for (int act = INCOMPLETE_KEEP; act <= INCOMPLETE_REJECT; act++) {
		struct encoder *encoder;
		domain.filters[0].incomplete = (enum study_incomplete)act;
		struct encoder_worker *w = hardened_worker(&domain, &encoder);
		assert_int_equal(encoder_encode(w, record, a, missing, &error), RC_OK);
		assert_int_equal(missing[0], act == INCOMPLETE_REJECT);
		if (act == INCOMPLETE_KEEP)
			memcpy(plain, a, sizeof plain);
		if (act == INCOMPLETE_REJECT)
			assert_int_equal(n_bits_set(a, 128), 0);
		if (act == INCOMPLETE_PAD) {
			for (size_t j = 0; j < 128; j++)
				assert_int_equal(a[j] & plain[j], plain[j]);
			assert_true(n_bits_set(a, 128) > n_bits_set(plain, 128));
			assert_int_equal(encoder_encode(w, record, b, missing, &error), RC_OK);
			assert_memory_equal(a, b, 128); /* the same record again: the same filter */
			assert_int_equal(encoder_encode(w, other, b, missing, &error), RC_OK);
			assert_memory_not_equal(a, b, 128); /* another one of the same name: another */
		}
		assert_int_equal(encoder_encode(w, one, a, missing, &error), RC_OK);
		assert_int_equal(missing[0], act != INCOMPLETE_KEEP); /* nothing to fill it up with */
		assert_int_equal(encoder_encode(w, whole, a, missing, &error), RC_OK);
		assert_false(missing[0]);
		encoder_worker_free(w);
		encoder_free(encoder);
	}
}

static void test_bad_encoders(void **state)
{
	const struct fixture *f = *state;
	struct study_domain domain = f->study->domains[0];
	struct encoder *encoder = NULL;
	struct diag diag = {""};
	assert_int_equal(encoder_new_domain(&domain, secret, 0, &encoder, &diag), RC_INVALID);
	domain.filters[0].bits = 1000;
	assert_int_equal(encoder_new_domain(&domain, secret, 32, &encoder, &diag), RC_INVALID);
	assert_non_null(strstr(diag.text, "power of two"));
	domain.filters[0].bits = 0;
	assert_int_equal(encoder_new_domain(&domain, secret, 32, &encoder, &diag), RC_INVALID);
	assert_null(encoder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_rows),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_refused_row_is_forgotten),
		cmocka_unit_test(test_missing_columns),
		cmocka_unit_test(test_filter_by_hand),
		cmocka_unit_test(test_cache_changes_nothing),
		cmocka_unit_test(test_diffusion),
		cmocka_unit_test(test_balanced),
		cmocka_unit_test(test_incomplete),
		cmocka_unit_test(test_bad_encoders),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
