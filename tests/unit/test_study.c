/* libs: tc_proto */
/* The study file: what is read, what is refused and in which words, what changes a digest and what does not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/bytes.h"
#include "proto/study.h"

/* Line numbers in the table below count from here. */
static const char base[] =
	/*  1 */
	"study: 1\n"
	/*  2 */ "name: example\n"
	/*  3 */ "title: An example\n"
	/*  4 */ "synthetic: true\n"
	/*  5 */ "linkage:\n"
	/*  6 */ "  profile: quality\n"
	/*  7 */ "  key_check: unset\n"
	/*  8 */ "  floor: 2.5\n"
	/*  9 */ "  language: nl\n"
	/* 10 */ "  normalise: [trim, lower]\n"
	/* 11 */ "  schema:\n"
	/* 12 */ "    {\"version\": 3,\n"
	/* 13 */ "     \"clkConfig\": {\"l\": 512, \"kdf\": {\"type\": \"HKDF\"}},\n"
	/* 14 */ "     \"features\": [\n"
	/* 15 */ "       {\"identifier\": \"id\", \"ignored\": true},\n"
	/* 16 */ "       {\"identifier\": \"name\", \"format\": {\"type\": \"string\"},\n"
	/* 17 */ "        \"hashing\": {\"comparison\": {\"type\": \"ngram\", \"n\": 2},\n"
	/* 18 */ "                    \"strategy\": {\"bitsPerToken\": 10}}},\n"
	/* 19 */ "       {\"identifier\": \"born\", \"format\": {\"type\": \"date\", \"format\": \"%Y-%m-%d\"},\n"
	/* 20 */ "        \"hashing\": {\"comparison\": {\"type\": \"ngram\", \"n\": 1, \"positional\": true},\n"
	/* 21 */ "                    \"strategy\": {\"bitsPerToken\": 10}}},\n"
	/* 22 */ "       {\"identifier\": \"place\", \"format\": {\"type\": \"string\"},\n"
	/* 23 */ "        \"hashing\": {\"comparison\": {\"type\": \"ngram\", \"n\": 2},\n"
	/* 24 */ "                    \"strategy\": {\"bitsPerToken\": 10}}}]}\n"
	/* 25 */ "  filters:\n"
	/* 26 */ "    who: {features: [name], bits: 512}\n"
	/* 27 */ "    when: {features: [born], bits: 256, sorted_digits: true}\n"
	/* 28 */ "    where: {features: [place]}\n"
	/* 29 */ "  comparisons:\n"
	/* 30 */ "    who: {filters: [who], levels: [0.5, 0.75, 1]}\n"
	/* 31 */ "    rest: {filters: [when, where], levels: {where: [0.6, 1]}}\n"
	/* 32 */ "sources:\n"
	/* 33 */ "  prison: {kind: prison, reporting_lag_days: 30}\n"
	/* 34 */ "  clinic: {kind: treatment}\n"
	/* 35 */ "events:\n"
	/* 36 */ "  release: {role: release, from: [prison]}\n"
	/* 37 */ "  start: {role: treatment_start, from: [treatment]}\n"
	/* 38 */ "  death: {role: death, from: [prison, treatment, death]}\n"
	/* 39 */ "dimensions:\n"
	/* 40 */ "  sex: {column: sex, codes: [male, female]}\n"
	/* 41 */ "  age: {derived: age_band, column: born, bands: [18, 25, 26, 40]}\n"
	/* 42 */ "  country: {derived: source, codes: [nl, be], of: {prison: nl, clinic: be}}\n"
	/* 43 */ "measures:\n"
	/* 44 */ "  continuity: {kind: continuity, bands: [7, 21, 90]}\n"
	/* 45 */ "tables:\n"
	/* 46 */ "  all: {measure: continuity, period: quarter, sigma2: 10}\n"
	/* 47 */ "  by_sex: {measure: continuity, period: year, by: [sex, age], sigma2: 3}\n"
	/* 48 */ "disclosure:\n"
	/* 49 */ "  method: keyed-noise\n"
	/* 50 */ "  threshold: 12\n"
	/* 51 */ "  rho_limit: 2.25\n"
	/* 52 */ "  max_index_events: 3\n"
	/* 53 */ "  interval_days: 28\n"
	/* 54 */ "  min_new_records: 100\n"
	/* 55 */ "  min_sources: 2\n"
	/* 56 */ "  provisional: false\n"
	/* 57 */ "retention: {years: 10}\n";

/* base with the first `from` replaced; the caller frees. */
static char *edited(const char *from, const char *to)
{
	const char *at = strstr(base, from);
	char *text = malloc(sizeof base + strlen(to));

	if (at == NULL)
		fail_msg("\"%s\" is not in the example", from);
	assert_non_null(text);
	sprintf(text, "%.*s%s%s", (int)(at - base), base, to, at + strlen(from));
	return text;
}

static struct study *parse(const char *text)
{
	struct study *study = NULL;
	struct diag diag = {""};

	if (study_parse("study.yaml", text, strlen(text), &study, &diag) != RC_OK)
		fail_msg("%s", diag.text);
	return study;
}

static struct study *parse_edited(const char *from, const char *to)
{
	char *text = edited(from, to);
	struct study *study = parse(text);

	free(text);
	return study;
}

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

/* Left out with a profile: one filter a feature, and the same encoding as when the defaults are written out. */
static void default_filters(void **state)
{
	char *text = edited("  filters:\n    who: {features: [name], bits: 512}\n"
			    "    when: {features: [born], bits: 256, sorted_digits: true}\n"
			    "    where: {features: [place]}\n"
			    "  comparisons:\n"
			    "    who: {filters: [who], levels: [0.5, 0.75, 1]}\n"
			    "    rest: {filters: [when, where], levels: {where: [0.6, 1]}}\n",
			    "");
	struct study *s = parse(text);
	const struct study_domain *d = &s->domains[0];

	assert_int_equal(d->n_filters, 3);
	assert_string_equal(d->filters[0].name, "born");
	assert_int_equal(d->filters[0].bits, 512);
	assert_true(d->filters[0].sorted_digits);
	assert_string_equal(d->filters[1].name, "name");
	assert_false(d->filters[1].sorted_digits);
	assert_int_equal(d->n_comparisons, 3);
	assert_int_equal(d->comparisons[0].n_cuts[0], 10);
	assert_int_equal(d->comparisons[1].n_cuts[0], 7);
	assert_int_equal(d->comparisons[1].n_levels, 8);
	free(text);

	text = edited("    who: {features: [name], bits: 512}\n"
		      "    when: {features: [born], bits: 256, sorted_digits: true}\n"
		      "    where: {features: [place]}\n"
		      "  comparisons:\n"
		      "    who: {filters: [who], levels: [0.5, 0.75, 1]}\n"
		      "    rest: {filters: [when, where], levels: {where: [0.6, 1]}}\n",
		      "    place: {features: [place]}\n"
		      "    name: {features: [name], bits: 512}\n"
		      "    born: {features: [born], sorted_digits: true, diffusion: 0}\n");
	struct study *written = parse(text);
	assert_memory_equal(written->domains[0].encoding_id, d->encoding_id, 32);
	assert_memory_equal(written->digest, s->digest, 32);
	free(text);
	study_free(written);
	study_free(s);
}

/* The profiles that join fields: by roles, which every feature must have. */
static void composite_profiles(void **state)
{
	static const char written[] = "  filters:\n    who: {features: [name], bits: 512}\n"
				      "    when: {features: [born], bits: 256, sorted_digits: true}\n"
				      "    where: {features: [place]}\n"
				      "  comparisons:\n"
				      "    who: {filters: [who], levels: [0.5, 0.75, 1]}\n"
				      "    rest: {filters: [when, where], levels: {where: [0.6, 1]}}\n";
	static const struct {
		const char *profile, *roles, *message; /* NULL = good */
	} cases[] = {
		{"balanced", "  roles: {name: given, born: date}\n",
		 "the profile balanced needs roles for every feature"},
		{"hardened", "", "the profile hardened needs roles for every feature"},
		{"hardened", "  roles: {name: given, born: date, place: place}\n", "joins given name with surname"},
		{"balanced", "  roles: {name: date, born: surname, place: given}\n", "joins given name with surname"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char *text = edited(written, cases[i].roles), profile[9];
		struct study *s = NULL;
		struct diag diag = {""};
		char *at = strstr(text, "  profile: quality");
		assert_non_null(at);
		snprintf(profile, sizeof profile, "%s", cases[i].profile);
		char *longer = malloc(strlen(text) + 16);
		assert_non_null(longer);
		sprintf(longer, "%.*s  profile: %s%s", (int)(at - text), text, profile,
			at + strlen("  profile: quality"));
		assert_int_equal(study_parse("study.yaml", longer, strlen(longer), &s, &diag), RC_INVALID);
		assert_non_null(strstr(diag.text, cases[i].message));
		free(longer);
		free(text);
	}
}

/* A study with all six roles: what the two profiles make of it. */
static void profiles_of_all_roles(void **state)
{
	static const char path[] = TC_SOURCE_DIR "/tests/data/study-hardened.yaml";
	static const struct {
		const char *name;
		unsigned bits, diffusion;
	} profiles[] = {{"balanced", 1024, 2}, {"hardened", 2048, 5}};
	char text[16384];
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	size_t len = fread(text, 1, sizeof text - 1, file);
	fclose(file);
	text[len] = 0;
	for (int i = 0; i < 2; i++) {
		struct study *s = NULL;
		struct diag diag = {""};
		char *at = strstr(text, "profile: ");
		assert_non_null(at);
		memcpy(at + strlen("profile: "), profiles[i].name, 8);
		if (study_parse("study.yaml", text, len, &s, &diag) != RC_OK)
			fail_msg("%s", diag.text);
		const struct study_domain *d = &s->domains[0];
		assert_int_equal(d->n_filters, 2);
		assert_int_equal(d->n_comparisons, 2);
		assert_string_equal(d->filters[0].name, "birth");
		assert_string_equal(d->filters[1].name, "names");
		assert_true(d->filters[0].sorted_digits);
		assert_false(d->filters[1].sorted_digits);
		for (int f = 0; f < 2; f++) {
			assert_int_equal(d->filters[f].n_features, 3);
			assert_int_equal(study_filter_n_parts(&d->filters[f]), 2);
			assert_int_equal(d->filters[f].bits, profiles[i].bits);
			assert_int_equal(d->filters[f].diffusion, profiles[i].diffusion);
			assert_int_equal(d->filters[f].incomplete, INCOMPLETE_PAD);
			assert_int_equal(d->comparisons[f].n_levels, 28);
			assert_int_equal(d->comparisons[f].cuts[0][26], 1000);
		}
		study_free(s);
	}
}

/* A sample study with `linkage` added to the keys of linkage. */
static struct study *parse_hardened(const char *profile, const char *linkage)
{
	static const char path[] = TC_SOURCE_DIR "/tests/data/study-hardened.yaml", line[] = "  profile: balanced\n";
	char text[16384], longer[sizeof text + 1024];
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	text[fread(text, 1, sizeof text - 1, file)] = 0;
	fclose(file);
	const char *at = strstr(text, line);
	assert_non_null(at);
	snprintf(longer, sizeof longer, "%.*s  profile: %s\n%s%s", (int)(at - text), text, profile, linkage,
		 at + strlen(line));
	return parse(longer);
}

static void expect_hardness(const struct study_domain *d, const char *name, unsigned diffusion, bool balanced,
			    enum study_incomplete incomplete)
{
	int filter = study_find_filter(d, name);

	assert_true(filter >= 0);
	assert_int_equal(d->filters[filter].diffusion, diffusion);
	assert_int_equal(d->filters[filter].balanced, balanced);
	assert_int_equal(d->filters[filter].incomplete, incomplete);
}

/* What `hardening` says stands above the profile, word by word, and is the same as writing it in every filter. */
static void hardening_refines_a_profile(void **state)
{
	struct study *plain = parse_hardened("balanced", "");
	struct study *kept = parse_hardened("balanced", "  hardening: {incomplete: keep}\n");
	struct study *same =
		parse_hardened("balanced", "  hardening: {diffusion: 2, balanced: false, incomplete: pad}\n");
	struct study *wide = parse_hardened("hardened", "  hardening: {diffusion: 7}\n");
	struct study *field = parse_hardened("quality", "  hardening: {diffusion: 5, incomplete: reject}\n");

	expect_hardness(&kept->domains[0], "names", 2, false, INCOMPLETE_KEEP);
	expect_hardness(&kept->domains[0], "birth", 2, false, INCOMPLETE_KEEP);
	expect_hardness(&wide->domains[0], "names", 7, false, INCOMPLETE_PAD);
	expect_hardness(&field->domains[0], "surname", 5, false, INCOMPLETE_KEEP); /* one part is never incomplete */
	assert_memory_equal(same->domains[0].encoding_id, plain->domains[0].encoding_id, 32);
	assert_memory_equal(same->digest, plain->digest, 32);
	assert_memory_not_equal(kept->domains[0].encoding_id, plain->domains[0].encoding_id, 32);

	struct study *written = parse_hardened("balanced", "  filters:\n"
							   "    names: {features: [given_name, middle_name, surname], "
							   "bits: 1024, diffusion: 2, incomplete: keep}\n"
							   "    birth: {features: [date_of_birth, place, postcode], "
							   "bits: 1024, sorted_digits: true, diffusion: 2, "
							   "incomplete: keep}\n");
	assert_memory_equal(written->domains[0].encoding_id, kept->domains[0].encoding_id, 32);
	struct study *all[] = {plain, kept, same, wide, field, written};
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		study_free(all[i]);
}

/* Whether text is a date decides what the rules for dates make of it, so custodians must agree on it. */
static void text_that_is_a_date_is_in_the_digest(void **state)
{
	static const char line[] = "  normalise: [trim, lower]\n", rule[] = "  normalise: [sentinel_dates]\n",
			  role[] = "  normalise: [sentinel_dates]\n  roles: {place: date}\n",
			  other[] = "  normalise: [sentinel_dates]\n  roles: {place: place}\n",
			  unread[] = "  normalise: [sentinel_dates]\n  roles: {id: date}\n",
			  idle[] = "  normalise: [trim, lower]\n  roles: {place: date}\n";
	enum { BORN = 2, PLACE = 3 };
	struct study *plain = parse_edited(line, line), *ruled = parse_edited(line, rule),
		     *dated = parse_edited(line, role), *placed = parse_edited(line, other),
		     *ignored = parse_edited(line, unread), *off = parse_edited(line, idle);
	struct study *sorted =
		parse_edited("where: {features: [place]}", "where: {features: [place], sorted_digits: true}");

	assert_true(study_feature_is_date(&ruled->domains[0], BORN));
	assert_false(study_feature_is_date(&ruled->domains[0], PLACE));
	assert_true(study_feature_is_date(&dated->domains[0], PLACE));
	assert_true(study_feature_is_date(&sorted->domains[0], PLACE));
	assert_memory_not_equal(dated->domains[0].encoding_id, ruled->domains[0].encoding_id, 32);
	assert_memory_equal(placed->domains[0].encoding_id, ruled->domains[0].encoding_id, 32);
	assert_memory_equal(ignored->domains[0].encoding_id, ruled->domains[0].encoding_id, 32);
	assert_memory_equal(off->domains[0].encoding_id, plain->domains[0].encoding_id, 32);
	struct study *all[] = {plain, ruled, dated, placed, ignored, off, sorted};
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		study_free(all[i]);
}

/* Filters that are written, and clkhash's own: each takes what it does not say itself. */
static void hardening_of_filters(void **state)
{
	struct study *s =
		parse_hardened("none", "  hardening:\n    diffusion: 3\n    balanced: true\n    incomplete: reject\n"
				       "  filters:\n"
				       "    plain: {features: [given_name, surname]}\n"
				       "    own: {features: [place, date_of_birth], diffusion: 0, balanced: false, "
				       "incomplete: pad}\n"
				       "    some: {features: [postcode], diffusion: 4}\n"
				       "  comparisons:\n"
				       "    plain: {filters: [plain], levels: [0.8, 1]}\n"
				       "    own: {filters: [own]}\n"
				       "    some: {filters: [some], levels: [0.7, 1]}\n");

	expect_hardness(&s->domains[0], "plain", 3, true, INCOMPLETE_REJECT);
	expect_hardness(&s->domains[0], "own", 0, false, INCOMPLETE_PAD);
	expect_hardness(&s->domains[0], "some", 4, true, INCOMPLETE_KEEP);
	study_free(s);

	s = parse_hardened("none", "  hardening: {diffusion: 3, incomplete: pad}\n");
	expect_hardness(&s->domains[0], "clk", 3, false, INCOMPLETE_PAD);
	struct study *written =
		parse_hardened("none", "  filters:\n    clk: {features: [given_name, middle_name, surname, "
				       "date_of_birth, place, postcode], diffusion: 3, incomplete: pad}\n");
	assert_memory_equal(written->domains[0].encoding_id, s->domains[0].encoding_id, 32);
	study_free(written);
	study_free(s);
}

/* Left out without a profile: clkhash's own CLK. */
static void clk_without_profile(void **state)
{
	char *text = edited("  filters:\n    who: {features: [name], bits: 512}\n"
			    "    when: {features: [born], bits: 256, sorted_digits: true}\n"
			    "    where: {features: [place]}\n"
			    "  comparisons:\n"
			    "    who: {filters: [who], levels: [0.5, 0.75, 1]}\n"
			    "    rest: {filters: [when, where], levels: {where: [0.6, 1]}}\n",
			    "");
	char *profile = strstr(text, "quality"), *normalise = strstr(text, "  normalise: [trim, lower]\n");

	memcpy(profile, "none   ", 7);
	memset(normalise, ' ', strlen("  normalise: [trim, lower]"));
	struct study *s = parse(text);
	const struct study_domain *d = &s->domains[0];
	assert_int_equal(d->n_filters, 1);
	assert_string_equal(d->filters[0].name, "clk");
	assert_int_equal(d->filters[0].n_features, 3);
	assert_int_equal(d->filters[0].features[0], 1);
	assert_int_equal(d->filters[0].bits, 512);
	assert_false(d->filters[0].sorted_digits);
	assert_false(d->normalise.trim || d->normalise.lower || d->normalise.sentinel_dates);
	study_free(s);
	free(text);
}

/* Reference weights rise with the level, missing says nothing, joint ones stay within their caps. */
static void weights_are_monotone(void **state)
{
	struct study *s = parse_edited("levels: [0.5, 0.75, 1]", "levels: [0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1]");
	const struct study_comparison *rest = &s->domains[0].comparisons[0], *who = &s->domains[0].comparisons[1];

	assert_int_equal(who->reference_weight[0], 0);
	assert_int_equal(who->reference_weight[1], -4 * 256);
	assert_int_equal(who->reference_weight[8], 8 * 256);
	for (unsigned i = 2; i <= who->n_levels; i++)
		assert_true(who->reference_weight[i] > who->reference_weight[i - 1]);
	/* when × where: radix 12 and 4; level = when + 12 · where */
	assert_int_equal(rest->reference_weight[0], 0);
	assert_int_equal(rest->reference_weight[11], 10 * 256);          /* date identical, place missing */
	assert_int_equal(rest->reference_weight[12 * 1], -4 * 256);      /* date missing, place different */
	assert_int_equal(rest->reference_weight[11 + 12 * 3], 10 * 256); /* capped */
	assert_int_equal(rest->reference_weight[1 + 12 * 1], -4 * 256);  /* capped */
	assert_int_equal(rest->reference_weight[11 + 12 * 1], 6 * 256);
	for (unsigned where = 1; where < 4; where++) {
		for (unsigned when = 2; when < 12; when++)
			assert_true(rest->reference_weight[when + 12 * where] >=
				    rest->reference_weight[when - 1 + 12 * where]);
	}
	study_free(s);

	s = parse_edited("levels: [0.5, 0.75, 1]", "levels: [0.5, 0.75, 1], reference_weights: [-3, 0, 4.5, 9]");
	who = &s->domains[0].comparisons[1];
	assert_int_equal(who->reference_weight[1], -768);
	assert_int_equal(who->reference_weight[3], 1152);
	assert_int_equal(who->reference_weight[4], 2304);
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

/* ---- broken studies ---- */

static const struct {
	const char *from, *to, *message;
} broken[] = {
	/* the top */
	{"study: 1\n", "study: 2\n", "study.yaml:1: study: 2 is above 1"},
	{"study: 1\n", "\n", "study.yaml:2: the key study is missing"},
	{"study: 1\n", "study: 1\nwitnesses: {needed: 1}\n", "witnesses: the key keys is missing"},
	{"study: 1\n", "study: 1\nwitnesses: {}\n", "witnesses: the key keys is missing"},
	{"name: example", "name: Example", "study.yaml:2: name: a name is needed here"},
	{"name: example", "name:", "study.yaml:2: name: a name is needed here"},
	{"name: example", "name: [a]", "study.yaml:2: name: a single value is needed here, not a list"},
	{"title: An example", "title: ''", "study.yaml:3: title: is empty"},
	{"title: An example", "title: \"a\\tb\"", "study.yaml:3: title: control characters"},
	{"synthetic: true", "synthetic: yes", "study.yaml:4: synthetic: true or false"},
	{"synthetic: true", "synthetik: true", "study.yaml:4: synthetik: unknown key; did you mean synthetic?"},
	{"synthetic: true", "colour: blue", "study.yaml:4: colour: unknown key; known here: study, name,"},
	{"synthetic: true", "name: again", "study.yaml:4: name: this key stands twice; the first is in line 2"},
	{"retention: {years: 10}", "retention: {years: 0}", "study.yaml:57: retention.years: 0 is below 1"},
	/* YAML itself */
	{"name: example", "name: *alias", "study.yaml:2: anchors"},
	{"name: example", "name: &anchor x", "study.yaml:2: anchors"},
	{"name: example", "name: !!str x", "study.yaml:2: tags"},
	{"name: example", "name: \"a\\0b\"", "study.yaml:2: a value holds a NUL"},
	{"name: example", "name: [a", "study.yaml:3: not valid YAML: "},
	{"name: example", "name: \xff", "study.yaml:2: not valid YAML: "},
	{"name: example", "? [a]\n: b", "study.yaml:2: a key must be plain text"},
	{"retention:", "---\nretention:", "study.yaml:57: a second document"},
	{"study: 1\n", "%YAML 1.1\n---\nstudy: 1\n", "study.yaml:1: directives"},
	/* linkage */
	{"  profile: quality", "  profil: quality", "study.yaml:6: linkage.profil: unknown key; did you mean profile?"},
	{"  filters:", "  filtrs:", "study.yaml:25: linkage.filtrs: unknown key; did you mean filters?"},
	{"profile: quality", "profile: best",
	 "study.yaml:6: linkage.profile: one of these is needed here: none, quality"},
	{"  filters:\n    who: {features: [name], bits: 512}\n",
	 "  roles: {nmae: given}\n  filters:\n    who: {features: [name], bits: 512}\n",
	 "study.yaml:25: linkage.roles.nmae: the schema has no feature"},
	{"  filters:\n    who: {features: [name], bits: 512}\n",
	 "  roles: {name: first}\n  filters:\n    who: {features: [name], bits: 512}\n",
	 "study.yaml:25: linkage.roles.name: one of these is needed here: none, given"},
	{"  key_check: unset\n", "\n", "study.yaml:5: linkage: the key key_check is missing"},
	{"key_check: unset", "key_check: abc",
	 "study.yaml:7: linkage.key_check: 32 hexadecimal digits or the word unset"},
	{"floor: 2.5", "floor: high", "study.yaml:8: linkage.floor: a number with at most 3 decimal places"},
	{"floor: 2.5", "floor: 61", "study.yaml:8: linkage.floor: 61 is above 60"},
	{"floor: 2.5", "floor: -30.5", "study.yaml:8: linkage.floor: -30.5 is below -30"},
	{"floor: 2.5", "floor: 2.5001", "study.yaml:8: linkage.floor: a number with at most 3"},
	{"floor: 2.5", "floor: 99999999999999999999", "study.yaml:8: linkage.floor: a number with"},
	{"language: nl", "language: n", "study.yaml:9: linkage.language: a BCP 47 language tag"},
	{"[trim, lower]", "[trim, lowr]",
	 "study.yaml:10: linkage.normalise[1]: one of these is needed here: trim, lower"},
	{"[trim, lower]", "[trim, trim]", "study.yaml:10: linkage.normalise[1]: stands twice"},
	{"[trim, lower]", "all", "study.yaml:10: linkage.normalise: a list of rules or the word none"},
	/* schema */
	{"\"version\": 3", "\"version\": 4", "study.yaml:12: linkage.schema.version: linkage schema version 3"},
	{"\"l\": 512", "\"l\": 0", "study.yaml:13: linkage.schema.clkConfig.l: 0 is below 1"},
	{"\"l\": 512", "\"l\": 123456789012345678901234567890",
	 "study.yaml:11: linkage.schema: a number in it is too large"},
	{"\"n\": 2", "\"n\": 0", "study.yaml:17: linkage.schema.features[1].hashing.comparison.n: 0 is below 1"},
	{"{\"bitsPerToken\": 10}}},\n       {\"identifier\": \"born\"", "{}}},\n       {\"identifier\": \"born\"",
	 "study.yaml:18: linkage.schema.features[1].hashing.strategy: exactly one of"},
	{"\"identifier\": \"place\", ", "", "study.yaml:22: linkage.schema.features[3]: identifier: is missing"},
	{"{\"type\": \"HKDF\"}", "{\"type\": \"HKDF\", \"hash\": \"MD5\"}",
	 "study.yaml:13: linkage.schema.clkConfig.kdf.hash: one of"},
	{"\"ignored\": true", "\"ignored\": true, \"ignored\": true",
	 "study.yaml:15: linkage.schema.features[0].ignored: this key"},
	{"  schema:\n    {\"version\"", "  schema: |\n    {{\"version\"", "study.yaml:11: linkage.schema: line 1"},
	/* filters */
	{"features: [name]", "features: [nmae]",
	 "study.yaml:26: linkage.filters.who.features[0]: the schema has no feature"},
	{"features: [name]", "features: [id]",
	 "study.yaml:26: linkage.filters.who.features[0]: the schema ignores this"},
	{"features: [name]", "features: []", "study.yaml:26: linkage.filters.who.features: 0 items; at least 1"},
	{"features: [name]", "features: [name, name]",
	 "study.yaml:26: linkage.filters.who.features[1]: this feature is already"},
	{"features: [place]", "features: [name]",
	 "linkage.filters.who.features[0]: this feature is already in the filter where"},
	{"bits: 512", "bits: 0", "study.yaml:26: linkage.filters.who.bits: 0 is below 64"},
	{"bits: 512", "bits: 8192", "study.yaml:26: linkage.filters.who.bits: 8192 is above 4096"},
	{"bits: 512", "bits: 100", "study.yaml:26: linkage.filters.who.bits: 100 is not a multiple of 8"},
	{"bits: 512", "bits: 520", "study.yaml:26: linkage.filters.who.bits: 520 is not a power of two"},
	{"{\"l\": 512,", "{\"l\": 512, \"xor_folds\": 8,",
	 "study.yaml:28: linkage.filters.where: 512 doubled by xor_folds"},
	{"bits: 512", "diffusion: 1", "study.yaml:26: linkage.filters.who.diffusion: 1 input a bit hides nothing"},
	{"bits: 512", "diffusion: 65", "study.yaml:26: linkage.filters.who.diffusion: 65 is above 64"},
	{"bits: 512", "balanced: yes", "study.yaml:26: linkage.filters.who.balanced: true or false"},
	{"levels: [0.5, 0.75, 1]", "levels: {who: 1}", "study.yaml:30: linkage.comparisons.who.levels.who: "},
	{"  filters:\n", "  filters:\n    x: {features: [id]}\n",
	 "study.yaml:26: linkage.filters.x.features[0]: the schema ignores"},
	/* hardening */
	{"  floor: 2.5\n", "  hardening: {difusion: 2}\n",
	 "study.yaml:8: linkage.hardening.difusion: unknown key; did you mean diffusion?"},
	{"  floor: 2.5\n", "  hardning: {diffusion: 2}\n",
	 "study.yaml:8: linkage.hardning: unknown key; did you mean hardening?"},
	{"  floor: 2.5\n", "  hardening: 2\n", "study.yaml:8: linkage.hardening: a mapping"},
	{"  floor: 2.5\n", "  hardening: {bits: 512}\n",
	 "study.yaml:8: linkage.hardening.bits: unknown key; known here: diffusion, balanced, incomplete"},
	{"  floor: 2.5\n", "  hardening: {diffusion: 65}\n",
	 "study.yaml:8: linkage.hardening.diffusion: 65 is above 64"},
	{"  floor: 2.5\n", "  hardening: {diffusion: 1}\n",
	 "study.yaml:8: linkage.hardening.diffusion: 1 input a bit hides nothing"},
	{"  floor: 2.5\n", "  hardening: {diffusion: -1}\n",
	 "study.yaml:8: linkage.hardening.diffusion: -1 is below 0"},
	{"  floor: 2.5\n", "  hardening: {balanced: 1}\n", "study.yaml:8: linkage.hardening.balanced: true or false"},
	{"  floor: 2.5\n", "  hardening: {incomplete: drop}\n",
	 "study.yaml:8: linkage.hardening.incomplete: one of these is needed here: keep, pad, reject"},
	{"  floor: 2.5\n", "  hardening: {balanced: true}\n",
	 "study.yaml:31: linkage.comparisons.rest.levels: the filter when is balanced, so its levels must be written"},
	{"bits: 512", "bits: 64, balanced: true", "study.yaml:26: linkage.filters.who.bits: half of 64"},
	{"bits: 512", "incomplete: drop", "study.yaml:26: linkage.filters.who.incomplete: one of these"},
	{"bits: 512", "bit: 512", "study.yaml:26: linkage.filters.who.bit: unknown key; did you mean bits?"},
	{"    who: {features", "    Who: {features", "study.yaml:26: linkage.filters.Who: a name is needed here"},
	{"bits: 512", "bits: 512, sorted_digits: 1", "study.yaml:26: linkage.filters.who.sorted_digits: true or false"},
	/* comparisons */
	{"filters: [who]", "filters: [whom]", "study.yaml:30: linkage.comparisons.who.filters[0]: there is no filter"},
	{"filters: [when, where], levels: {where: [0.6, 1]}", "filters: [when, who]",
	 "study.yaml:30: linkage.comparisons.who.filters[0]: this filter is compared twice"},
	{"[0.5, 0.75, 1]", "[0.5, 0.5, 1]",
	 "study.yaml:30: linkage.comparisons.who.levels[1]: cuts of the Dice coefficient must"},
	{"[0.5, 0.75, 1]", "[0, 0.5, 1]", "study.yaml:30: linkage.comparisons.who.levels[0]: 0 is below 0.001"},
	{"[0.5, 0.75, 1]", "[0.5, 1.1]", "study.yaml:30: linkage.comparisons.who.levels[1]: 1.1 is above 1"},
	{"{where: [0.6, 1]}", "{were: [0.6, 1]}",
	 "study.yaml:31: linkage.comparisons.rest.levels.were: unknown key; did you mean where?"},
	{"filters: [when, where], levels: {where: [0.6, 1]}", "filters: [when, where, who]",
	 "study.yaml:31: linkage.comparisons.rest: 971 levels; at most 240"},
	{"levels: {where: [0.6, 1]}",
	 "levels: [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75]",
	 "study.yaml:31: linkage.comparisons.rest: 288 levels; at most 240"},
	{"levels: [0.5, 0.75, 1]", "levels: [0.5, 0.75, 1], reference_weights: [1, 2, 3]",
	 "study.yaml:30: linkage.comparisons.who.reference_weights: 3 items; at least 4"},
	/* sources */
	{"{kind: treatment}", "{kind: clinic}",
	 "study.yaml:34: sources.clinic.kind: one of these is needed here: prison, treatment"},
	{"{kind: treatment}", "{}", "study.yaml:34: sources.clinic: the key kind is missing"},
	{"{kind: treatment}", "{kind: treatment, domain: nl}",
	 "study.yaml:34: sources.clinic.domain: there is no domain"},
	{"reporting_lag_days: 30", "reporting_lag_days: -1",
	 "study.yaml:33: sources.prison.reporting_lag_days: -1 is below 0"},
	{"reporting_lag_days: 30", "reporting_lag: 30",
	 "study.yaml:33: sources.prison.reporting_lag: unknown key; did you mean reporting_lag_days?"},
	/* events */
	{"role: release, from: [prison]", "role: release, from: [prisons]",
	 "study.yaml:36: events.release.from[0]: one of these is needed here: prison"},
	{"role: release, from: [prison]", "role: leave, from: [prison]",
	 "study.yaml:36: events.release.role: one of these"},
	{"role: release, from: [prison]", "role: release", "study.yaml:36: events.release: the key from is missing"},
	{"from: [prison, treatment, death]", "from: [prison, prison]",
	 "study.yaml:38: events.death.from[1]: stands twice"},
	{"role: release, from: [prison]", "role: release, from: [death]",
	 "study.yaml:44: measures.continuity: continuity needs an event with the role release"},
	{"role: treatment_start", "role: treatment_end",
	 "study.yaml:44: measures.continuity: continuity needs an event with the role "
	 "treatment_start"},
	/* dimensions */
	{"codes: [male, female]", "codes: [male, male]",
	 "study.yaml:40: dimensions.sex.codes[1]: this code stands twice"},
	{"codes: [male, female]", "codes: [male, unknown]",
	 "study.yaml:40: dimensions.sex.codes[1]: every dimension has the code"},
	{"codes: [male, female]", "codes: [ma le]", "study.yaml:40: dimensions.sex.codes[0]: a code is"},
	{"codes: [male, female]", "code: [male]",
	 "study.yaml:40: dimensions.sex.code: unknown key; did you mean codes?"},
	{"{column: sex, ", "{", "study.yaml:40: dimensions.sex: the key column is missing"},
	{"[18, 25, 26, 40]", "[18, 25, 25, 40]",
	 "study.yaml:41: dimensions.age.bands[2]: the first ages of bands must ascend"},
	{"[18, 25, 26, 40]", "[18, 250]", "study.yaml:41: dimensions.age.bands[1]: 250 is above 120"},
	{"derived: age_band", "derived: age", "study.yaml:41: dimensions.age.derived: one of these"},
	{"{prison: nl, clinic: be}", "{prison: nl}",
	 "study.yaml:42: dimensions.country.of: the source clinic has no code"},
	{"{prison: nl, clinic: be}", "{prison: nl, clinic: fr}",
	 "study.yaml:42: dimensions.country.of.clinic: this dimension has no"},
	{"{prison: nl, clinic: be}", "{prison: nl, ward: be}",
	 "study.yaml:42: dimensions.country.of.ward: there is no source"},
	/* measures and tables */
	{"bands: [7, 21, 90]", "bands: [7, 7, 90]",
	 "study.yaml:44: measures.continuity.bands[1]: the last days of bands must ascend"},
	{"bands: [7, 21, 90]", "bands: [7, 366]", "study.yaml:44: measures.continuity.bands[1]: 366 is above 365"},
	{"bands: [7, 21, 90]", "bands: []", "study.yaml:44: measures.continuity.bands: 0 items; at least 1"},
	{"bands: [7, 21, 90]", "bands: [1,2,3,4,5,6,7,8,9]",
	 "study.yaml:44: measures.continuity.bands: 9 items; at most 8"},
	{"kind: continuity,", "kind: continuty,", "study.yaml:44: measures.continuity.kind: one of these"},
	{"kind: continuity,", "kind: return,", "measures.continuity: return needs an event with the role reception"},
	{"kind: continuity,", "kind: retention,", "retention needs an event with the role treatment_end"},
	{"kind: continuity,", "kind: population,", "measures.continuity.bands: unknown key"},
	{"kind: continuity,", "kind: continuity, drug_related: {sex: [male]},", "drug_related: unknown key"},
	{"kind: continuity,", "kind: mortality, start_within: 9,", "start_within: unknown key"},
	{"kind: continuity,", "kind: mortality, drug_related: {cause: [x]},",
	 "measures.continuity.drug_related.cause: there is no dimension"},
	{"kind: continuity,", "kind: mortality, drug_related: {sex: [male], age: ['18-24']},",
	 "drug_related: 2 entries; at most 1"},
	{"kind: continuity,", "kind: continuity, eligible: {need: [yes]},",
	 "measures.continuity.eligible.need: there is no dimension"},
	{"kind: continuity,", "kind: continuity, eligible: {sex: [other]},",
	 "measures.continuity.eligible.sex[0]: this dimension has no code"},
	{"kind: continuity,", "kind: continuity, eligible: {sex: [male, male]},",
	 "measures.continuity.eligible.sex[1]: this code stands twice"},
	{"kind: continuity,", "kind: continuity, eligible: {sex: []},", "eligible.sex: 0 items; at least 1"},
	{"{kind: continuity, bands: [7, 21, 90]}", "{kind: population}", "continuity: the key captures is missing"},
	{"{kind: continuity, bands: [7, 21, 90]}", "{kind: population, captures: {a: [release]}}",
	 "captures: two or three lists"},
	{"{kind: continuity, bands: [7, 21, 90]}", "{kind: population, captures: {a: [release], b: [rlease]}}",
	 "captures.b[0]: there is no event"},
	{"{kind: continuity, bands: [7, 21, 90]}", "{kind: population, captures: {a: [start], b: [start]}}",
	 "captures.b: an event stands in two lists"},
	{"{measure: continuity, period: quarter", "{measure: continuty, period: quarter",
	 "study.yaml:46: tables.all.measure: there is no measure"},
	{"period: quarter", "period: month",
	 "study.yaml:46: tables.all.period: one of these is needed here: quarter, year, all"},
	{"by: [sex, age]", "by: [sex, region]", "study.yaml:47: tables.by_sex.by[1]: there is no dimension"},
	{"by: [sex, age]", "by: [sex, sex]", "study.yaml:47: tables.by_sex.by[1]: stands twice"},
	{"by: [sex, age]", "by: [sex, age, country, sex]", "study.yaml:47: tables.by_sex.by: 4 items; at most 3"},
	{"provisional: false", "provisional: false\n  linkage_sigma2: 0",
	 "disclosure.linkage_sigma2: 0 is below 0.001"},
	{"provisional: false", "provisional: false\n  linkage_by: sex",
	 "disclosure.linkage_by: needs linkage_sigma2, the variance of the counts"},
	{"provisional: false", "provisional: false\n  linkage_sigma2: 9\n  linkage_by: shoe",
	 "disclosure.linkage_by: there is no dimension of this name"},
	{"provisional: false", "provisional: false\n  release_dates: [2026-03-31, 2026-03-31]",
	 "disclosure.release_dates[1]: release dates must ascend"},
	{"provisional: false", "provisional: false\n  release_dates: [2026-02-30]",
	 "disclosure.release_dates[0]: a date such as 2026-03-31"},
	{"provisional: false", "provisional: false\n  release_dates: []", "disclosure.release_dates: 0 items"},
	{"provisional: false", "provisional: false\n  revision_after_days: 0",
	 "disclosure.revision_after_days: 0 is below 1"},
	{"provisional: false", "provisional: false\n  linkage_sigma2: 0.2",
	 "disclosure.rho_limit: one release costs rho 10.433334"},
	{"sigma2: 10}", "sigma2: 0}", "study.yaml:46: tables.all.sigma2: a sigma2 above 0 is needed"},
	{", sigma2: 10}", "}", "study.yaml:46: tables.all: a sigma2 above 0 is needed"},
	{"sigma2: 10}", "sigma2: -1}", "study.yaml:46: tables.all.sigma2: -1 is below 0"},
	{"tables:\n  all:", "tables:\n  by_sex:",
	 "study.yaml:47: tables.by_sex: this key stands twice; the first is in line 46"},
	/* what does not nest */
	{"period: year, by: [sex, age]", "period: quarter, by: []",
	 "study.yaml:47: tables.by_sex: has the very cells of table all"},
	{"{kind: continuity, bands: [7, 21, 90]}\ntables:\n  all: {measure: continuity,",
	 "{kind: continuity, bands: [7, 21, 90]}\n  other: {kind: continuity, bands: [7, 14, 90]}\n"
	 "tables:\n  all: {measure: other,",
	 "study.yaml:45: measures.other: its bands overlap those of continuity"},
	{"  age: {derived: age_band, column: born, bands: [18, 25, 26, 40]}\n"
	 "  country: {derived: source, codes: [nl, be], of: {prison: nl, clinic: be}}\n"
	 "measures:\n  continuity: {kind: continuity, bands: [7, 21, 90]}\ntables:\n",
	 "  age: {derived: age_band, column: born, bands: [18, 25, 26, 40]}\n"
	 "  young: {derived: age_band, column: born, bands: [18, 21]}\n"
	 "measures:\n  continuity: {kind: continuity, bands: [7, 21, 90]}\ntables:\n"
	 "  by_young: {measure: continuity, period: year, by: [young], sigma2: 3}\n",
	 "dimensions.young: its bands overlap those of age"},
	/* disclosure */
	{"method: keyed-noise", "method: none-at-all",
	 "study.yaml:49: disclosure.method: one of these is needed here: keyed-noise, none, cell-key"},
	{"method: keyed-noise", "method: cell-key", "study.yaml:46: tables.all.sigma2: the method cell-key has noise"},
	{"rho_limit: 2.25", "rho_limit: 0.4",
	 "study.yaml:51: disclosure.rho_limit: one release costs rho 0.433334, more than this"},
	{"  rho_limit: 2.25\n", "", "study.yaml:48: disclosure: the key rho_limit is missing"},
	{"max_index_events: 3", "max_index_events: 0", "study.yaml:52: disclosure.max_index_events: 0 is below 1"},
	{"min_sources: 2", "min_sources: 3", "study.yaml:55: disclosure.min_sources: 3 is above 2"},
	{"interval_days: 28", "interval_day: 28",
	 "study.yaml:53: disclosure.interval_day: unknown key; did you mean interval_days?"},
};

static void broken_studies(void **state)
{
	size_t n_failed = 0;

	for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
		char *text = edited(broken[i].from, broken[i].to);
		struct study *study = NULL;
		struct diag diag = {""};
		enum rc rc = study_parse("study.yaml", text, strlen(text), &study, &diag);
		if (rc != RC_INVALID || strstr(diag.text, broken[i].message) == NULL) {
			print_error("%s => %s\n  says: %s\n  expected: %s\n", broken[i].from, broken[i].to, diag.text,
				    broken[i].message);
			n_failed++;
		}
		if (rc != RC_OK)
			assert_null(study);
		study_free(study);
		free(text);
	}
	assert_int_equal(n_failed, 0);
}

/* Needs no variance and no limit, and charges nothing; counts of links still do. */
static void cell_key_has_its_own_noise(void **state)
{
	struct study *s = parse_edited("  all: {measure: continuity, period: quarter, sigma2: 10}\n"
				       "  by_sex: {measure: continuity, period: year, by: [sex, age], sigma2: 3}\n"
				       "disclosure:\n  method: keyed-noise\n  threshold: 12\n  rho_limit: 2.25\n",
				       "  all: {measure: continuity, period: quarter}\n"
				       "  by_sex: {measure: continuity, period: year, by: [sex, age]}\n"
				       "disclosure:\n  method: cell-key\n  threshold: 12\n");

	(void)state;
	assert_int_equal(s->disclosure.method, DISCLOSURE_CELL_KEY);
	assert_int_equal(s->tables[0].sigma2_milli, STUDY_CELL_KEY_SIGMA2_MILLI);
	assert_int_equal(study_release_rho_micro(s), 0);
	s->disclosure.linkage_sigma2_milli = 20000;
	assert_int_equal(study_release_rho_micro(s), 100000);
	study_free(s);
}

/* True counts are for test data only. */
static void no_noise_needs_synthetic(void **state)
{
	char *text = edited("method: keyed-noise", "method: none");
	struct study *study = parse(text);
	struct diag diag = {""};

	assert_int_equal(study->disclosure.method, DISCLOSURE_NONE);
	study_free(study);
	study = NULL;
	free(text);
	text = edited("synthetic: true\n", "");
	memcpy(strstr(text, "keyed-noise"), "none       ", 11);
	assert_int_equal(study_parse("study.yaml", text, strlen(text), &study, &diag), RC_INVALID);
	assert_non_null(strstr(diag.text, "study.yaml:48: disclosure.method: none is allowed only where"));
	free(text);
}

/* ---- hostile input ---- */

static enum rc parse_bytes(const char *text, size_t len, char message[512])
{
	struct study *study = NULL;
	struct diag diag = {""};
	enum rc rc = study_parse("study.yaml", text, len, &study, &diag);

	study_free(study);
	memcpy(message, diag.text, sizeof diag.text);
	return rc;
}

static void hostile_yaml(void **state)
{
	size_t len = (1 << 20) - 1;
	char *text = malloc(len + 2), message[512];

	assert_non_null(text);
	memset(text, '[', len);
	assert_int_equal(parse_bytes(text, len, message), RC_INVALID);
	assert_non_null(strstr(message, "nested too deeply"));
	memset(text, 'a', len + 2);
	assert_int_equal(parse_bytes(text, len + 2, message), RC_TOO_LARGE);
	for (size_t i = 0; i + 1 < len; i += 2)
		memcpy(text + i, "- ", 2);
	assert_int_not_equal(parse_bytes(text, 4000, message), RC_OK);
	text[0] = '[';
	for (size_t i = 1; i + 1 < len; i += 2)
		memcpy(text + i, "1,", 2);
	assert_int_equal(parse_bytes(text, len, message), RC_TOO_LARGE);
	assert_non_null(strstr(message, "more than"));
	size_t at = 0;
	for (unsigned i = 0; at + 16 < len; i++)
		at += (size_t)sprintf(text + at, "key%u: 1\n", i);
	assert_int_equal(parse_bytes(text, at, message), RC_INVALID);
	assert_non_null(strstr(message, "too many keys"));
	assert_int_equal(parse_bytes("", 0, message), RC_INVALID);
	assert_non_null(strstr(message, "the file is empty"));
	assert_int_equal(parse_bytes(NULL, 0, message), RC_INVALID); /* as a file of no bytes is read */
	assert_non_null(strstr(message, "the file is empty"));
	assert_int_equal(parse_bytes("- a\n", 4, message), RC_INVALID);
	assert_int_equal(parse_bytes("word", 4, message), RC_INVALID);
	free(text);
}

/* No prefix of a study is a study until the last table is whole, and none leaks. */
static void truncated(void **state)
{
	char message[512];
	size_t whole = sizeof base - 1 -
		       strlen("  threshold: 12\n  rho_limit: 2.25\n  max_index_events: 3\n  interval_days: 28\n"
			      "  min_new_records: 100\n  min_sources: 2\n  provisional: false\n"
			      "retention: {years: 10}\n");

	for (size_t len = 0; len < whole; len += 3)
		assert_int_not_equal(parse_bytes(base, len, message), RC_OK);
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
		cmocka_unit_test(default_filters),
		cmocka_unit_test(composite_profiles),
		cmocka_unit_test(profiles_of_all_roles),
		cmocka_unit_test(hardening_refines_a_profile),
		cmocka_unit_test(text_that_is_a_date_is_in_the_digest),
		cmocka_unit_test(hardening_of_filters),
		cmocka_unit_test(clk_without_profile),
		cmocka_unit_test(weights_are_monotone),
		cmocka_unit_test(reads_domains),
		cmocka_unit_test(key_check_offset),
		cmocka_unit_test(digests),
		cmocka_unit_test(digests_are_pinned),
		cmocka_unit_test(schema_as_block),
		cmocka_unit_test(broken_studies),
		cmocka_unit_test(cell_key_has_its_own_noise),
		cmocka_unit_test(no_noise_needs_synthetic),
		cmocka_unit_test(hostile_yaml),
		cmocka_unit_test(truncated),
		cmocka_unit_test(sample_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
