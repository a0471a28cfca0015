/* libs: tc_proto */
/* The study file: what is read, and what changes a digest and what does not. */
#include "tests/unit/study_example.h"

/* ---- what is read ---- */

static void reads_linkage(void **state)
{
	struct study *s = parse(base);
	const struct study_domain *d = &s->domains[0];

	assert_int_equal(s->n_domains, 1);
	assert_string_equal(d->name, "main");
	assert_string_equal(d->language, "nl");
	assert_int_equal(d->profile, PROFILE_QUALITY);
	assert_int_equal(d->floor, 640);
	assert_true(d->normalise.trim && d->normalise.lower);
	assert_false(d->normalise.strip_marks || d->normalise.drop_punctuation || d->normalise.sentinel_dates);
	assert_false(d->has_key_check);
	assert_memory_equal(base + d->key_check_offset, "unset", 5);
	assert_int_equal(d->key_check_length, 5);

	/* filters in the order of their names */
	assert_int_equal(d->n_filters, 3);
	assert_string_equal(d->filters[0].name, "when");
	assert_string_equal(d->filters[1].name, "where");
	assert_string_equal(d->filters[2].name, "who");
	assert_int_equal(d->filters[0].bits, 256);
	assert_int_equal(d->filters[1].bits, 512);
	assert_int_equal(d->filters[0].features[0], 2);
	assert_true(d->filters[0].sorted_digits);
	assert_true(study_filter_is_date(d, 0));
	assert_false(study_filter_is_date(d, 1));
	assert_int_equal(study_filter_bytes(d, 0), 32);
	assert_int_equal(study_record_bytes(d), 160);

	assert_int_equal(d->n_comparisons, 2);
	const struct study_comparison *rest = &d->comparisons[0], *who = &d->comparisons[1];
	assert_string_equal(rest->name, "rest");
	assert_int_equal(rest->n_filters, 2);
	assert_int_equal(rest->filters[0], 0);
	assert_int_equal(rest->n_cuts[0], 10);
	assert_int_equal(rest->n_cuts[1], 2);
	assert_int_equal(rest->cuts[1][0], 600);
	assert_int_equal(rest->n_levels, 12 * 4 - 1);
	assert_int_equal(who->n_levels, 4);
	assert_int_equal(who->cuts[0][1], 750);
	study_free(s);
}

static void reads_what_is_sent(void **state)
{
	struct study *s = parse(base);

	assert_int_equal(study_find_source(s, "clinic"), 0);
	assert_int_equal(study_find_source(s, "prison"), 1);
	assert_int_equal(study_find_source(s, "other"), -1);
	assert_int_equal(s->sources[1].reporting_lag_days, 30);
	assert_int_equal(s->sources[0].kind, SOURCE_TREATMENT);
	int release = study_find_event(s, "release"), death = study_find_event(s, "death");
	assert_true(study_source_may_send(s, 1, release));
	assert_false(study_source_may_send(s, 0, release));
	assert_true(study_source_may_send(s, 0, death));
	assert_false(study_source_may_send(s, -1, death));
	assert_false(study_source_may_send(s, 2, death));
	assert_false(study_source_may_send(s, 0, 3));

	const struct study_dimension *age = &s->dimensions[study_find_dimension(s, "age")];
	assert_int_equal(age->n_codes, 4);
	assert_string_equal(age->codes[0], "unknown");
	assert_string_equal(age->codes[1], "18-24");
	assert_string_equal(age->codes[2], "25");
	assert_string_equal(age->codes[3], "26-39");
	assert_string_equal(age->codes[4], "40+");
	static const struct {
		int age;
		uint8_t code;
	} ages[] = {
		{-1, 0}, {0, 0}, {17, 0}, {18, 1}, {24, 1}, {25, 2}, {26, 3}, {39, 3}, {40, 4}, {120, 4},
	};
	for (size_t i = 0; i < sizeof ages / sizeof ages[0]; i++)
		assert_int_equal(study_age_code(age, ages[i].age), ages[i].code);

	const struct study_dimension *country = &s->dimensions[study_find_dimension(s, "country")];
	assert_int_equal(country->source_code[study_find_source(s, "prison")], 1);
	assert_int_equal(country->source_code[study_find_source(s, "clinic")], 2);
	assert_int_equal(study_find_code(country, "be"), 2);
	assert_int_equal(study_find_code(country, "unknown"), 0);
	assert_int_equal(study_find_code(country, "fr"), -1);
	study_free(s);
}

static void reads_what_is_published(void **state)
{
	struct study *s = parse(base);
	const struct study_table *all = &s->tables[study_find_table(s, "all")], *by_sex = &s->tables[1];

	assert_int_equal(s->measures[0].n_bands, 3);
	assert_int_equal(s->measures[0].band_ends[2], 90);
	assert_int_equal(all->n_by, 0);
	assert_int_equal(all->sigma2_milli, 10000);
	assert_int_equal(by_sex->period, PERIOD_YEAR);
	assert_int_equal(by_sex->n_by, 2);
	assert_int_equal(by_sex->by[0], study_find_dimension(s, "sex"));
	assert_int_equal(study_table_rho_micro(s, all), 100000);
	assert_int_equal(study_table_rho_micro(s, by_sex), 333334); /* rounded up */
	assert_int_equal(study_release_rho_micro(s), 433334);
	assert_int_equal(s->disclosure.rho_limit_micro, 2250000);
	assert_int_equal(s->disclosure.threshold, 12);
	assert_int_equal(s->disclosure.max_index_events, 3);
	assert_int_equal(s->disclosure.interval_days, 28);
	assert_int_equal(s->disclosure.min_new_records, 100);
	assert_int_equal(s->retention_years, 10);
	assert_true(s->synthetic);
	study_free(s);
}

/* Each kind of measure with what only it has; the order of measures is that of their names. */
static void reads_every_kind_of_measure(void **state)
{
	struct study *s =
		parse_edited("  continuity: {kind: continuity, bands: [7, 21, 90]}\n",
			     "  a: {kind: continuity, eligible: {sex: [female, unknown], age: ['26-39']}}\n"
			     "  b: {kind: mortality, drug_related: {country: [be]}}\n"
			     "  c: {kind: population, captures: {inside: [release], outside: [start, death]}}\n"
			     "  continuity: {kind: mortality, bands: [5]}\n");

	(void)state;
	assert_int_equal(s->n_measures, 4); /* c and b stand in no table, so their bands need not nest */
	const struct study_measure *a = &s->measures[0], *b = &s->measures[1], *c = &s->measures[2];
	assert_int_equal(a->n_bands, 5); /* the default */
	assert_int_equal(a->band_ends[4], 90);
	assert_int_equal(a->n_eligible, 2);
	uint8_t codes[STUDY_MAX_DIMENSIONS] = {0};
	codes[study_find_dimension(s, "sex")] = 2;
	codes[study_find_dimension(s, "age")] = 3;
	assert_true(study_rule_holds(&a->eligible[0], codes) && study_rule_holds(&a->eligible[1], codes));
	codes[study_find_dimension(s, "sex")] = 1;
	assert_true(study_rule_holds(&a->eligible[0], codes) != study_rule_holds(&a->eligible[1], codes));
	codes[study_find_dimension(s, "sex")] = 255;
	assert_false(study_rule_holds(&a->eligible[0], codes) && study_rule_holds(&a->eligible[1], codes));
	assert_int_equal(b->kind, MEASURE_MORTALITY);
	assert_true(b->by_cause && b->drug_related.codes[2] && !b->drug_related.codes[0]);
	assert_int_equal(b->band_ends[0], 14);
	assert_int_equal(c->n_bands, 0);
	assert_int_equal(c->n_captures, 2);
	assert_string_equal(c->captures[1].name, "outside");
	assert_int_equal(c->captures[1].events,
			 1U << study_find_event(s, "start") | 1U << study_find_event(s, "death"));
	study_free(s);
}

/* ---- domains ---- */

static void reads_domains(void **state)
{
	static const char domains[] = "  domains:\n"
				      "    nl: {language: nl, key_check: 000102030405060708090a0b0c0d0e0f}\n"
				      "    be: {language: fr-BE, key_check: 'unset', floor: -1.5, normalise: none,\n"
				      "         hardening: {diffusion: 4}}\n"
				      "  hardening: {diffusion: 2, incomplete: reject}\n"
				      "sources:\n"
				      "  prison: {kind: prison, domain: nl}\n"
				      "  clinic: {kind: treatment, domain: be}\n"
				      "events:\n";
	char *text = edited(
		"sources:\n  prison: {kind: prison, reporting_lag_days: 30}\n  clinic: {kind: treatment}\nevents:\n",
		domains);
	char *unset = strstr(text, "  key_check: unset\n  floor"), *language = strstr(text, "  language: nl\n");

	memset(unset, ' ', strlen("  key_check: unset"));
	memset(language, ' ', strlen("  language: nl"));
	struct study *s = parse(text);
	assert_int_equal(s->n_domains, 2);
	const struct study_domain *be = &s->domains[0], *nl = &s->domains[1];
	assert_string_equal(be->name, "be");
	assert_string_equal(be->language, "fr-BE");
	assert_int_equal(be->floor, -384);
	assert_false(be->normalise.trim);
	assert_int_equal(be->filters[0].diffusion, 4);
	assert_int_equal(nl->filters[0].diffusion, 2);
	assert_memory_equal(text + be->key_check_offset, "'unset'", 7);
	assert_int_equal(be->key_check_length, 7);
	assert_int_equal(nl->floor, 640);
	assert_true(nl->normalise.trim);
	assert_true(nl->has_key_check);
	assert_int_equal(nl->key_check[15], 15);
	assert_memory_not_equal(nl->encoding_id, be->encoding_id, 32);
	assert_int_equal(s->sources[study_find_source(s, "prison")].domain, 1);
	study_free(s);
	free(text);
}

/* Offsets are in bytes although libyaml counts characters, and hold with a byte order mark and CRLF line ends. */
static void key_check_offset(void **state)
{
	char *text = edited("title: An example\n", "title: Één vöörbeeld — 𝄞 # Übung\n");
	struct study *s = parse(text);

	assert_memory_equal(text + s->domains[0].key_check_offset, "unset", 5);
	study_free(s);
	char *dos = malloc(2 * strlen(text) + 4), *to = dos;
	assert_non_null(dos);
	to = stpcpy(to, "\xef\xbb\xbf");
	for (const char *from = text; *from != '\0'; from++) {
		if (*from == '\n')
			*to++ = '\r';
		*to++ = *from;
	}
	*to = '\0';
	struct study *t = parse(dos);
	assert_memory_equal(dos + t->domains[0].key_check_offset, "unset", 5);
	study_free(t);
	free(dos);
	free(text);
}

/* ---- digests ---- */

static void same_digests(const char *from, const char *to, bool same_encoding, bool same_study)
{
	struct study *a = parse(base), *b = parse_edited(from, to);
	bool encoding = memcmp(a->domains[0].encoding_id, b->domains[0].encoding_id, 32) == 0;
	bool whole = memcmp(a->digest, b->digest, 32) == 0;

	if (encoding != same_encoding || whole != same_study)
		fail_msg("\"%s\" instead of \"%s\": encoding %s, study %s", to, from, encoding ? "equal" : "differs",
			 whole ? "equal" : "differs");
	study_free(a);
	study_free(b);
}

static void digests(void **state)
{
	/* how it is written */
	same_digests("study: 1\n", "# a comment\nstudy: 1   # another\n", true, true);
	same_digests("study: 1\nname: example\n", "name: \"example\"\nstudy: '1'\n", true, true);
	same_digests("sigma2: 10}", "sigma2: 10.000}", true, true);
	same_digests("quarter, sigma2: 10}", "quarter, by: [], sigma2: '10.0'}", true, true);
	same_digests("{features: [place]}", "{bits: 512, sorted_digits: false, features: [place]}", true, true);
	same_digests("  prison: {kind: prison, reporting_lag_days: 30}\n  clinic: {kind: treatment}\n",
		     "  clinic: {kind: treatment, reporting_lag_days: 0}\n  prison:\n    reporting_lag_days: 30\n    "
		     "kind: prison\n",
		     true, true);
	same_digests("\"kdf\": {\"type\": \"HKDF\"}",
		     "\"kdf\": {\"hash\": \"SHA256\", \"type\": \"HKDF\", \"keySize\": 64}", true, true);
	same_digests("{\"type\": \"string\"}", "{\"type\": \"string\", \"description\": \"a\", \"case\": \"mixed\"}",
		     true, true);
	same_digests("[trim, lower]", "[lower, trim]", true, true);
	same_digests("key_check: unset", "key_check: \"unset\"", true, true);
	/* what is published */
	same_digests("title: An example", "title: Another", true, false);
	same_digests("threshold: 12", "threshold: 11", true, false);
	same_digests("sigma2: 3}", "sigma2: 3.001}", true, false);
	same_digests("synthetic: true", "synthetic: false", true, false);
	same_digests("bands: [7, 21, 90]", "bands: [7, 21, 91]", true, false);
	same_digests("bands: [7, 21, 90]", "bands: [7, 21, 90], eligible: {sex: [male]}", true, false);
	same_digests("kind: continuity,", "kind: mortality,", true, false);
	same_digests("provisional: false", "provisional: false\n  linkage_sigma2: 9", true, false);
	same_digests("provisional: false", "provisional: false\n  linkage_sigma2: 9\n  linkage_by: sex", true, false);
	same_digests("provisional: false", "provisional: false\n  revision_after_days: 365", true, false);
	same_digests("provisional: false", "provisional: false\n  release_dates: [2026-03-31, 2026-09-30]", true,
		     false);
	same_digests("floor: 2.5", "floor: 2.6", true, false);
	same_digests("floor: 2.5", "floor: 2.5\n  merge_dependent: false", true, true);
	same_digests("floor: 2.5", "floor: 2.5\n  merge_dependent: true", true, false);
	same_digests("levels: [0.5, 0.75, 1]", "levels: [0.5, 0.76, 1]", true, false);
	same_digests("reporting_lag_days: 30", "reporting_lag_days: 31", true, false);
	same_digests("by: [sex, age]", "by: [age, sex]", true, false);
	same_digests("years: 10", "years: 11", true, false);
	same_digests("language: nl", "language: de", true, false);
	/* what is encoded */
	same_digests("key_check: unset", "key_check: 000102030405060708090a0b0c0d0e0f", false, false);
	same_digests("\"n\": 2", "\"n\": 3", false, false);
	same_digests("bitsPerToken\": 10", "bitsPerToken\": 11", false, false);
	same_digests("\"kdf\": {\"type\": \"HKDF\"}", "\"kdf\": {\"type\": \"HKDF\", \"salt\": \"YQ==\"}", false,
		     false);
	same_digests("bits: 256", "bits: 128", false, false);
	same_digests("[trim, lower]", "[trim]", false, false);
	same_digests("sorted_digits: true", "sorted_digits: false", false, false);
	same_digests("[male, female]", "[female, male]", false, false);
	same_digests("bands: [18,", "bands: [17,", false, false);
}

/* The resolved form must stay as it is: stored batches and releases name these digests. */
static void digests_are_pinned(void **state)
{
	struct study *s = parse(base);
	char encoding[65], whole[65];

	hex_encode(s->domains[0].encoding_id, 32, encoding);
	hex_encode(s->digest, 32, whole);
	assert_string_equal(encoding, "b9afb1b7f3b520a043a2acb6e3a38a5ef13b6ba6e1fe0ab31f7ca52ee5c1eaca");
	assert_string_equal(whole, "e4c7e915fe4aeed5e79215e722b36aab51c1a18f7e8936ddf351f9b2cfd20698");
	study_free(s);
}

/* A schema as a block of JSON text means the same as one written in place. */
static void schema_as_block(void **state)
{
	struct study *a = parse(base), *b = parse_edited("  schema:\n", "  schema: |\n");

	assert_memory_equal(a->digest, b->digest, 32);
	study_free(a);
	study_free(b);
}

/* ---- the files of this repository ---- */

static void check_file(const char *path, unsigned n_domains)
{
	char full[512];
	struct study *study = NULL;
	struct diag diag = {""};
	char *text = calloc(1, STUDY_MAX_BYTES);

	assert_non_null(text);
	snprintf(full, sizeof full, "%s/%s", TC_SOURCE_DIR, path);
	FILE *f = fopen(full, "rb");
	assert_non_null(f);
	size_t len = fread(text, 1, STUDY_MAX_BYTES, f);
	fclose(f);
	if (study_parse(path, text, len, &study, &diag) != RC_OK)
		fail_msg("%s", diag.text);
	assert_int_equal(study->n_domains, n_domains);
	for (unsigned i = 0; i < n_domains; i++)
		assert_memory_equal(text + study->domains[i].key_check_offset, "unset", 5);
	study_free(study);
	free(text);
}

static void sample_files(void **state)
{
	check_file("deploy/study-two-registers.yaml", 1);
	check_file("deploy/study-five-countries.yaml", 5);
	check_file("deploy/study-five-measures.yaml", 1);
	check_file("tests/data/study-labelled.yaml", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_linkage),
		cmocka_unit_test(reads_what_is_sent),
		cmocka_unit_test(reads_what_is_published),
		cmocka_unit_test(reads_every_kind_of_measure),
		cmocka_unit_test(reads_domains),
		cmocka_unit_test(key_check_offset),
		cmocka_unit_test(digests),
		cmocka_unit_test(digests_are_pinned),
		cmocka_unit_test(schema_as_block),
		cmocka_unit_test(sample_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
