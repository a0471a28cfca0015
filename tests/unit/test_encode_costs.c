/* libs: tc_encode tc_proto */
/* What flaws cost in links: by samples of which agreement is known, in studies with field filters and with joined ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/encode/costs.h"

enum { GIVEN, MIDDLE, SURNAME, BIRTH, PLACE, POSTCODE, N_FEATURES };
enum { ALL = (1 << N_FEATURES) - 1 };

static struct study *load(const char *name)
{
	static char text[STUDY_MAX_BYTES];
	struct study *study = NULL;
	struct diag diag = {""};
	FILE *f = fopen(name, "r");

	assert_non_null(f);
	size_t n = fread(text, 1, sizeof text, f);
	fclose(f);
	assert_int_equal(study_parse(name, text, n, &study, &diag), RC_OK);
	assert_int_equal(study->domains[0].schema->n_features, N_FEATURES);
	return study;
}

/* Feature f has distinct[f] values, evenly, in columns that do not depend on each other. 0 = all missing. */
static struct costs_model *model(const struct study *study, const unsigned distinct[N_FEATURES], bool persons,
				 uint64_t n_records)
{
	struct costs_sample *sample = calloc(COSTS_SAMPLE, sizeof *sample);
	struct costs_model *m = NULL;
	uint64_t z = 1;

	assert_non_null(sample);
	for (unsigned i = 0; i < COSTS_SAMPLE; i++) {
		/* With persons, every one stands eight times. */
		sample[i].person = persons ? i / 8 + 1 : 0;
		for (unsigned f = 0; f < N_FEATURES; f++) {
			if (!persons || i % 8 == 0)
				z = z * 6364136223846793005u + 1442695040888963407u;
			uint64_t value = persons && i % 8 != 0 ? sample[i - 1].values[f]
					 : distinct[f] > 0     ? (z >> 33) % distinct[f] + 1
							       : 0;
			sample[i].values[f] = value;
		}
	}
	assert_int_equal(costs_new(&study->domains[0], ALL, 1 << BIRTH, sample, COSTS_SAMPLE, n_records, &m), RC_OK);
	free(sample);
	return m;
}

static double chance(const struct costs_model *m, uint64_t missing, uint64_t wrong)
{
	struct costs_flaw flaw = COSTS_NO_FLAW;

	flaw.missing = missing;
	flaw.wrong = wrong;
	return costs_chance(m, &flaw);
}

static const unsigned usual[N_FEATURES] = {256, 16, 1024, 16384, 256, 512};

static void a_weight_is_what_the_number_of_values_says(void **state)
{
	/* The date alone has 14 bits less log2 .9: enough for 8,000 records and not for 32,000. */
	struct study *study = load(TC_SOURCE_DIR "/tests/data/study-labelled.yaml");
	const uint64_t others = ALL & ~(1u << BIRTH);

	for (int persons = 0; persons < 2; persons++) {
		for (int large = 0; large < 2; large++) {
			struct costs_flaw flaw = COSTS_NO_FLAW;
			const unsigned distinct[N_FEATURES] = {2, 2, 2, persons ? 64 : 1024, 2, 2};
			uint64_t n = persons ? 16 : 256;
			struct costs_model *m = model(study, distinct, persons != 0, large ? 4 * n : n);
			flaw.missing = others;
			assert_true(costs_can_link(m, &flaw) == !large);
			assert_true(large ? chance(m, others, 0) == 0 : chance(m, others, 0) > .88);
			assert_true(large || chance(m, others, 0) < .92);
			costs_free(m);
		}
	}
	study_free(study);
}

static void less_links_less(void **state)
{
	struct study *study = load(TC_SOURCE_DIR "/tests/data/study-labelled.yaml");
	struct costs_model *m = model(study, usual, false, 1 << 20);
	double whole = chance(m, 0, 0), last = whole;
	struct costs_flaw flaw = COSTS_NO_FLAW;
	uint64_t missing = 0;

	assert_true(costs_needed(m) == 21);
	assert_true(whole > .9 && whole <= 1);
	for (unsigned f = 0; f < N_FEATURES; f++) {
		missing |= 1u << f;
		/* A field that may differ can be a little worse than none. */
		assert_true(chance(m, missing, 0) <= last + .02);
		last = chance(m, missing, 0);
		assert_true(chance(m, 0, 1u << f) <= chance(m, 1u << f, 0)); /* wrong is worse than missing */
	}
	assert_true(last == 0);
	flaw.vague = 1 << BIRTH;
	assert_true(costs_chance(m, &flaw) < whole && costs_chance(m, &flaw) > chance(m, 0, 1 << BIRTH));
	flaw = COSTS_NO_FLAW;
	flaw.blunt = ALL;
	assert_true(costs_chance(m, &flaw) < whole);
	flaw = COSTS_NO_FLAW;
	flaw.shared = BIRTH;
	flaw.share = .5;
	assert_true(costs_chance(m, &flaw) < whole);
	costs_free(m);
	study_free(study);
}

static void place_and_postcode_are_one_fact(void **state)
{
	/* Each place has one postcode: together they are worth no more than one of them. */
	struct study *study = load(TC_SOURCE_DIR "/tests/data/study-labelled.yaml");
	struct costs_sample *sample = calloc(COSTS_SAMPLE, sizeof *sample);
	struct costs_model *m = NULL;
	struct costs_flaw flaw = COSTS_NO_FLAW;

	assert_non_null(sample);
	for (unsigned i = 0; i < COSTS_SAMPLE; i++)
		sample[i].values[PLACE] = sample[i].values[POSTCODE] = i * 2654435761u % 1024 + 1;
	assert_int_equal(costs_new(&study->domains[0], ALL, 1 << BIRTH, sample, COSTS_SAMPLE, 1 << 12, &m), RC_OK);
	assert_false(costs_can_link(m, &flaw)); /* 10 bits twice are not 13 */
	costs_free(m);
	assert_int_equal(costs_new(&study->domains[0], ALL, 1 << BIRTH, sample, COSTS_SAMPLE, 1 << 8, &m), RC_OK);
	assert_true(costs_can_link(m, &flaw));
	flaw.missing = 1 << PLACE;
	assert_true(costs_can_link(m, &flaw));
	costs_free(m);
	free(sample);
	study_free(study);
}

static void a_gap_in_a_joined_filter_looks_like_a_difference(void **state)
{
	struct study *apart = load(TC_SOURCE_DIR "/tests/data/study-labelled.yaml");
	struct study *joined = load(TC_SOURCE_DIR "/tests/data/study-hardened.yaml");
	struct costs_model *a = model(apart, usual, false, 1 << 20), *j = model(joined, usual, false, 1 << 20);

	assert_true(chance(a, 0, 0) == chance(j, 0, 0));
	assert_true(chance(j, 1 << SURNAME, 0) < chance(a, 1 << SURNAME, 0));
	assert_true(chance(j, 1 << SURNAME, 0) == chance(j, 0, 1 << SURNAME));
	/* Given and middle name are one part: one of them is enough. */
	assert_true(chance(j, 1 << MIDDLE, 0) == chance(a, 1 << MIDDLE, 0));
	/* A filter with nothing at all in it is missing. */
	uint64_t names = 1 << GIVEN | 1 << MIDDLE | 1 << SURNAME;
	assert_true(chance(j, names, 0) == chance(a, names, 0));
	costs_free(a);
	costs_free(j);
	study_free(apart);
	study_free(joined);
}

static void a_field_that_nobody_has_costs_nothing(void **state)
{
	struct study *study = load(TC_SOURCE_DIR "/tests/data/study-labelled.yaml");
	const unsigned distinct[N_FEATURES] = {256, 0, 1024, 16384, 256, 512};
	struct costs_model *m = model(study, distinct, false, 1 << 20);

	assert_true(chance(m, 1 << MIDDLE, 0) == chance(m, 0, 0));
	struct study *joined = load(TC_SOURCE_DIR "/tests/data/study-hardened.yaml");
	struct costs_model *j = model(joined, distinct, false, 1 << 20);
	assert_true(chance(j, 1 << MIDDLE | 1 << GIVEN, 0) == chance(j, 1 << GIVEN, 0));
	costs_free(j);
	study_free(joined);
	assert_true(chance(m, 0, 1 << MIDDLE) == chance(m, 0, 0));
	costs_free(m);
	/* Nor does a postcode say less because nobody has a place. */
	const unsigned no_place[N_FEATURES] = {0, 0, 0, 0, 0, 512};
	m = model(study, no_place, false, 1 << 7);
	assert_true(chance(m, ALL & ~(1u << POSTCODE), 0) > .7);
	costs_free(m);
	study_free(study);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_weight_is_what_the_number_of_values_says),
		cmocka_unit_test(less_links_less),
		cmocka_unit_test(place_and_postcode_are_one_fact),
		cmocka_unit_test(a_gap_in_a_joined_filter_looks_like_a_difference),
		cmocka_unit_test(a_field_that_nobody_has_costs_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
