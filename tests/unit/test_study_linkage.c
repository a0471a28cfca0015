/* libs: tc_proto */
/* What a study says of linkage: filters by default and by profile, hardening, weights. */
#include "tests/unit/study_example.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_filters),
		cmocka_unit_test(composite_profiles),
		cmocka_unit_test(profiles_of_all_roles),
		cmocka_unit_test(hardening_refines_a_profile),
		cmocka_unit_test(text_that_is_a_date_is_in_the_digest),
		cmocka_unit_test(hardening_of_filters),
		cmocka_unit_test(clk_without_profile),
		cmocka_unit_test(weights_are_monotone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
