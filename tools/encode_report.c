/* Counting for the report: constant memory whatever the register, so common values and twins are found by sketches. */
#include "tools/encode_report.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/day.h"
#include "tools/encode/date.h"
#include "tools/encode/date_forms.h"

enum { MIN_AGE = 12, MAX_AGE = 100, LONG_BYTES = 200 };

static const char *const placeholders[] = {
	"unknown", "unk",         "test",        "onbekend", "inconnu", "inconnue", "unbekannt",
	"ignoto",  "sconosciuto", "desconocido", "anonym",   "none",    "null",     "na",
	"n/a",     "nn",          "n.n.",        "xxx",      "xx",      "?",        "-"};

enum rc encode_report_new(const struct study *study, int domain, const struct register_file *file,
			  struct encode_report **ret)
{
	struct encode_report *r = calloc(1, sizeof *r);
	if (r == NULL)
		return RC_NOMEM;
	const struct study_domain *d = &study->domains[domain];
	r->study = study;
	r->domain = domain;
	r->sample = calloc(COSTS_SAMPLE, sizeof *r->sample);
	r->persons = calloc(REPORT_PERSONS, sizeof *r->persons);
	if (r->sample == NULL || r->persons == NULL) {
		encode_report_free(r);
		return RC_NOMEM;
	}
	for (uint16_t f = 0; f < d->schema->n_features; f++)
		r->fields[f].column = d->schema->features[f].ignored
					      ? -1
					      : register_column(file, d->schema->features[f].identifier, 0);
	*ret = r;
	return RC_OK;
}

void encode_report_free(struct encode_report *r)
{
	if (r == NULL)
		return;
	if (r->persons != NULL)
		explicit_bzero(r->persons, REPORT_PERSONS * sizeof *r->persons);
	free(r->persons);
	if (r->sample != NULL)
		explicit_bzero(r->sample, COSTS_SAMPLE * sizeof *r->sample);
	free(r->sample);
	explicit_bzero(r, sizeof *r);
	free(r);
}

static uint64_t hash_bytes(uint64_t h, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	for (; len > 0;) {
		uint64_t word = 0;
		size_t n = len < sizeof word ? len : sizeof word;
		if (n == sizeof word)
			memcpy(&word, bytes, sizeof word);
		else
			memcpy(&word, bytes, n);
		h = (h ^ word ^ n << 59) * 0x9FB21C651E98DF25u;
		h ^= h >> 32;
		bytes += n;
		len -= n;
	}
	return h * 0x9E3779B97F4A7C15u ^ h >> 29;
}

/* In a set of counters by hash, so that few are looked at: what is in none of them takes one from each. */
static void count_value(struct report_field *f, uint64_t hash)
{
	size_t first = (hash >> 32) % (REPORT_COUNTERS / REPORT_SET) * REPORT_SET, free_place = SIZE_MAX;
	for (size_t i = first; i < first + REPORT_SET; i++) {
		if (f->counts[i] != 0 && f->hashes[i] == hash) {
			f->counts[i]++;
			return;
		}
		if (f->counts[i] == 0)
			free_place = i;
	}
	if (free_place != SIZE_MAX) {
		f->hashes[free_place] = hash;
		f->counts[free_place] = 1;
		return;
	}
	for (size_t i = first; i < first + REPORT_SET; i++)
		f->counts[i]--;
}

bool encode_report_is_date(const struct encode_report *r, uint16_t feature)
{
	return study_feature_is_date(&r->study->domains[r->domain], feature);
}

static bool is_placeholder(const struct encode_value *v)
{
	if (v->len == 0)
		return false;
	for (size_t i = 0; i < sizeof placeholders / sizeof placeholders[0]; i++) {
		if ((v->bytes[0] | 0x20) == (placeholders[i][0] | 0x20) && strlen(placeholders[i]) == v->len &&
		    strncasecmp(v->bytes, placeholders[i], v->len) == 0)
			return true;
	}
	return false;
}

static void look_at_date(struct report_field *field, const struct schema_feature *f, const struct encode_value *v,
			 int32_t day)
{
	struct text text;
	struct date birth, on;
	text_init(&text);
	if (text_decode(&text, v->bytes, v->len) == RC_OK &&
	    (date_parse(f->format == FORMAT_DATE ? f->date_format : "%Y-%m-%d", &text, &birth) == RC_OK ||
	     date_parse_national(&text, &birth) == RC_OK)) {
		day_to_civil(day, &on.year, &on.month, &on.day);
		int age = date_age(&birth, &on);
		field->odd[ODD_FIRST_OF_JANUARY] += birth.month == 1 && birth.day == 1;
		field->odd[ODD_AGE] += age < MIN_AGE || age > MAX_AGE;
	} else {
		field->odd[ODD_NO_DATE]++; /* of a string: a date that is none is refused */
	}
	text_deinit(&text);
}

static void look_at_text(struct report_field *field, const struct schema_feature *f, const struct encode_value *v)
{
	bool digit = false;
	for (size_t i = 0; i < v->len; i++)
		digit |= v->bytes[i] >= '0' && v->bytes[i] <= '9';
	/* Codes have positions; names have not. */
	field->odd[ODD_DIGITS] += digit && f->comparison == COMPARE_NGRAM && !f->positional;
	field->odd[ODD_ONE_LETTER] += v->len == 1;
	field->odd[ODD_PLACEHOLDER] += is_placeholder(v);
	/* A quote that should not be there makes one value of all up to the next one. */
	field->odd[ODD_LONG] += v->len > LONG_BYTES || memchr(v->bytes, '\n', v->len) != NULL;
}

/* A place in the sample for the record at hand, so that all records have the same chance; NULL = not taken. Which ones
 * depends on nothing but their places in the file. */
static struct costs_sample *sample_place(struct encode_report *r)
{
	uint64_t n = r->records - 1, z = r->records * 0x9E3779B97F4A7C15u;

	if (n < COSTS_SAMPLE)
		return &r->sample[n];
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	z = (z ^ z >> 31) % r->records;
	return z < COSTS_SAMPLE ? &r->sample[z] : NULL;
}

static void add_pattern(struct encode_report *r, uint64_t missing)
{
	for (size_t i = 0; i < r->n_patterns; i++) {
		if (r->patterns[i].missing == missing) {
			r->patterns[i].n++;
			return;
		}
	}
	if (r->n_patterns < COSTS_PATTERNS)
		r->patterns[r->n_patterns++] = (struct costs_pattern){missing, 1};
}

static void add_fields(struct encode_report *r, const struct register_row *row, const struct record_facts *facts,
		       int32_t day, struct costs_sample *sample)
{
	const struct schema *schema = r->study->domains[r->domain].schema;
	for (uint16_t f = 0; f < schema->n_features; f++) {
		struct report_field *field = &r->fields[f];
		if (field->column < 0)
			continue;
		if ((facts->missing >> f & 1) != 0) {
			field->missing++;
			continue;
		}
		const struct encode_value *v = &row->fields[field->column];
		uint64_t hash = hash_bytes(f + 1, v->bytes, v->len);
		field->present++;
		count_value(field, hash);
		if (sample != NULL)
			sample->values[f] = hash != 0 ? hash : 1;
		if (encode_report_is_date(r, f))
			look_at_date(field, &schema->features[f], v, day);
		else if (schema->features[f].format == FORMAT_STRING)
			look_at_text(field, &schema->features[f], v);
	}
}

/* ---- twins ---- */

static struct report_person *person_place(const struct encode_report *r, uint64_t hash)
{
	size_t i = (size_t)(hash >> 40) & (REPORT_PERSONS - 1);
	while (r->persons[i].hash != 0 && r->persons[i].hash != hash)
		i = (i + 1) & (REPORT_PERSONS - 1);
	return &r->persons[i];
}

static bool in_sample(const struct encode_report *r, uint64_t hash)
{
	return (hash & (((uint64_t)1 << r->sample_bits) - 1)) == 0;
}

/* Half of the sample goes when the table is three quarters full. */
static void thin_out(struct encode_report *r)
{
	struct report_person *kept = malloc(REPORT_PERSONS * sizeof *kept);
	if (kept == NULL)
		return; /* then no more are taken up: the count is of what was seen so far */
	size_t n = 0;
	r->sample_bits++;
	for (size_t i = 0; i < REPORT_PERSONS; i++) {
		if (r->persons[i].hash != 0 && in_sample(r, r->persons[i].hash))
			kept[n++] = r->persons[i];
	}
	memset(r->persons, 0, REPORT_PERSONS * sizeof *r->persons);
	for (size_t i = 0; i < n; i++)
		*person_place(r, kept[i].hash) = kept[i];
	r->n_persons = n;
	explicit_bzero(kept, n * sizeof *kept);
	free(kept);
}

static void add_person(struct encode_report *r, uint64_t hash, uint64_t person)
{
	hash |= (uint64_t)1 << 63; /* never 0 */
	if (!in_sample(r, hash))
		return;
	if (r->n_persons >= REPORT_PERSONS / 4 * 3)
		thin_out(r);
	struct report_person *p = person_place(r, hash);
	if (!in_sample(r, hash) || (p->hash == 0 && r->n_persons >= REPORT_PERSONS / 4 * 3))
		return;
	if (p->hash == 0) {
		*p = (struct report_person){.hash = hash, .person = person};
		r->n_persons++;
	}
	p->records++;
	if (p->person == 0)
		p->person = person;
	p->others |= person != 0 && person != p->person;
}

uint64_t encode_report_twins(const struct encode_report *r)
{
	uint64_t n = 0;
	for (size_t i = 0; i < REPORT_PERSONS; i++)
		n += r->persons[i].others ? r->persons[i].records : 0;
	return n << r->sample_bits;
}

static uint32_t count_bits(const uint8_t *bits, size_t n)
{
	uint64_t word;
	uint32_t ones = 0;
	for (; n >= sizeof word; bits += sizeof word, n -= sizeof word) {
		memcpy(&word, bits, sizeof word);
		ones += (uint32_t)__builtin_popcountll(word);
	}
	for (; n > 0; n--)
		ones += (uint32_t)__builtin_popcount(*bits++);
	return ones;
}

void encode_report_add(struct encode_report *r, const struct register_row *row, const struct record_facts *facts,
		       const struct batch_chunk *chunk, uint32_t i)
{
	const struct study_domain *d = &r->study->domains[r->domain];
	uint32_t missing = 0;
	uint64_t hash = 0, person;
	r->records++;
	memcpy(&person, chunk->person_ids[i], sizeof person);
	struct costs_sample *sample = sample_place(r);
	if (sample != NULL)
		*sample = (struct costs_sample){.person = person};
	add_fields(r, row, facts, chunk->days[i], sample);
	add_pattern(r, facts->missing);
	for (int f = 0; f < d->n_filters; f++) {
		struct report_filter *filter = &r->filters[f];
		size_t n = study_filter_bytes(d, f);
		const uint8_t *bits = chunk->filters[f] + (size_t)i * n;
		uint32_t ones;
		missing |= (uint32_t)chunk->missing[f][i] << f;
		filter->missing += chunk->missing[f][i];
		hash = hash_bytes(hash + (uint64_t)f, bits, n);
		if (chunk->missing[f][i] != 0)
			continue;
		ones = count_bits(bits, n);
		filter->least = filter->n == 0 || ones < filter->least ? ones : filter->least;
		filter->most = ones > filter->most ? ones : filter->most;
		filter->n++;
		filter->bits += ones;
		size_t bin = (size_t)ones * REPORT_FILL_BINS / (8 * n);
		filter->bins[bin < REPORT_FILL_BINS ? bin : REPORT_FILL_BINS - 1]++;
	}
	if (missing + 1 != 1u << d->n_filters)
		add_person(r, hash, person);
}

void encode_report_refuse(struct encode_report *r, const char *column, const char *rule)
{
	for (size_t i = 0; i < r->n_refusals; i++) {
		if (strncmp(r->refusals[i].column, column, STUDY_NAME_CAP - 1) == 0 &&
		    strcmp(r->refusals[i].rule, rule) == 0) {
			r->refusals[i].n++;
			return;
		}
	}
	if (r->n_refusals == REPORT_MAX_REFUSALS) {
		r->refusals_beyond++;
		return;
	}
	struct report_refusal *refusal = &r->refusals[r->n_refusals++];
	strncpy(refusal->column, column, sizeof refusal->column - 1);
	strncpy(refusal->rule, rule, sizeof refusal->rule - 1);
	refusal->n = 1;
}
