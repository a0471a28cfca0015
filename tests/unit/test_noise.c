/* libs: tc_stats tc_proto */
/* The samplers against golden vectors, against their distribution, and at their bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "daemon/stats/noise.h"
#include "proto/bytes.h"

static void test_golden(void **state)
{
	json_t *file = json_load_file(TC_SOURCE_DIR "/tests/data/vectors/discrete_gaussian.json", 0, NULL);
	json_t *vectors = json_object_get(file, "vectors"), *vector, *sample;
	size_t i, j, n_checked = 0;

	(void)state;
	json_array_foreach(vectors, i, vector)
	{
		const char *seed_hex = json_string_value(json_object_get(vector, "seed_hex"));
		const char *sigma2 = json_string_value(json_object_get(vector, "sigma2"));
		const char *scale = json_string_value(json_object_get(vector, "scale"));
		uint8_t seed[NOISE_SEED_LEN];
		struct noise_stream stream;

		assert_int_equal(hex_decode(seed_hex, strlen(seed_hex), seed, sizeof seed), RC_OK);
		noise_init(&stream, seed);
		json_array_foreach(json_object_get(vector, "samples"), j, sample)
		{
			int64_t v = 0;
			enum rc rc = sigma2 != NULL ? noise_gaussian(&stream, (uint32_t)(atoi(sigma2) * 1000), &v)
						    : noise_laplace(&stream, (uint32_t)atoi(scale), &v);
			assert_int_equal(rc, RC_OK);
			assert_int_equal(v, json_integer_value(sample));
			n_checked++;
		}
	}
	assert_int_equal(n_checked, 16 * 24);
	json_decref(file);
}

enum { MAX_BIN = 13 };

/* Draws, each from a seed of its own as cells have, against the probabilities: sum, sum of squares, and a chi-square
 * statistic over the values −(n−1) … n−1 and all beyond. Seeds are fixed, so the test never flickers; a sampler with
 * another distribution would be far outside. */
static void check_distribution(uint32_t sigma2_milli, unsigned n_bins, const int64_t *expected_ppb, uint32_t n_draws,
			       int64_t most_chi2_milli)
{
	int64_t sum = 0, sum2 = 0, count[2 * MAX_BIN] = {0}, chi2_milli = 0, rest_ppb = 1000000000;

	for (uint32_t i = 0; i < n_draws; i++) {
		uint8_t seed[NOISE_SEED_LEN];
		struct noise_stream stream;
		int64_t v = 0;

		sha256_labelled("distribution", &i, sizeof i, seed);
		noise_init(&stream, seed);
		assert_int_equal(noise_gaussian(&stream, sigma2_milli, &v), RC_OK);
		sum += v;
		sum2 += v * v;
		count[llabs(v) < n_bins ? (size_t)(v + n_bins) : 0]++;
	}
	for (int at = 1; at < 2 * (int)n_bins; at++) {
		int64_t ppb = expected_ppb[abs(at - (int)n_bins)], expected = ppb * n_draws / 1000000000;
		chi2_milli += (count[at] - expected) * (count[at] - expected) * 1000 / expected;
		rest_ppb -= ppb;
	}
	int64_t expected = rest_ppb * n_draws / 1000000000;
	chi2_milli += (count[0] - expected) * (count[0] - expected) * 1000 / expected;
	printf("sigma2 %u/1000, %u draws: chi-square %lld/1000 of %u bins, sum %lld, sum of squares %lld\n",
	       sigma2_milli, n_draws, (long long)chi2_milli, 2 * n_bins, (long long)sum, (long long)sum2);
	assert_true(chi2_milli < most_chi2_milli);
	/* Five standard deviations: σ√n of the sum, σ²√(2n) of the sum of squares. */
	assert_true(sum * sum * 1000 < (int64_t)25 * sigma2_milli * n_draws);
	int64_t miss = llabs(sum2 * 1000 - (int64_t)sigma2_milli * n_draws) / sigma2_milli;
	assert_true(miss * miss < 50 * (int64_t)n_draws);
}

/* A million draws at σ² = 10, and fewer at a fraction. P(χ² > 64) with 25 degrees of freedom, and P(χ² > 43) with 13,
 * are 3·10⁻⁵ and 5·10⁻⁵. Probabilities in 10⁻⁹ of 0, 1, 2, …: exp(−v²/2σ²) over their sum. */
static void test_distribution(void **state)
{
	static const int64_t at_10[] = {126156626, 120003895, 103288309, 80441016, 56685826, 36144479, 20853550,
					10886508,  5142422,   2197948,   850037,   297460,   94187};
	static const int64_t at_2_5[] = {252313252, 206576619, 113371652, 41707100, 10284844, 1700073, 188373};

	(void)state;
	check_distribution(10000, 13, at_10, 1000000, 64000);
	check_distribution(2500, 7, at_2_5, 400000, 43000);
}

/* A variance that is no whole number, and the smallest and largest: the right spread, and no failure. */
static void test_other_variances(void **state)
{
	static const struct {
		uint32_t sigma2_milli;
		int64_t low, high; /* of Σ v² over 20,000 draws */
	} cases[] = {{1, 0, 0},
		     {500, 9000, 11000},
		     {2500, 46000, 54000},
		     {NOISE_MAX_SIGMA2_MILLI, 18500000000, 21500000000}};

	(void)state;
	for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
		uint8_t seed[NOISE_SEED_LEN] = {(uint8_t)c};
		struct noise_stream stream;
		int64_t sum2 = 0;

		for (int i = 0; i < 20000; i++) {
			int64_t v = 0;
			if (i % 1000 == 0) {
				seed[1] = (uint8_t)(i / 1000);
				noise_init(&stream, seed);
			}
			assert_int_equal(noise_gaussian(&stream, cases[c].sigma2_milli, &v), RC_OK);
			sum2 += v * v;
		}
		if (sum2 < cases[c].low || sum2 > cases[c].high)
			fail_msg("variance case %zu: sum of squares %lld", c, (long long)sum2);
	}
}

static void test_bounds(void **state)
{
	uint8_t seed[NOISE_SEED_LEN] = {1};
	struct noise_stream stream;
	int64_t v = 77;

	(void)state;
	noise_init(&stream, seed);
	assert_int_equal(noise_gaussian(&stream, NOISE_MAX_SIGMA2_MILLI + 1, &v), RC_INVALID);
	assert_int_equal(noise_laplace(&stream, 0, &v), RC_INVALID);
	assert_int_equal(noise_laplace(&stream, NOISE_MAX_SCALE + 1, &v), RC_INVALID);
	assert_int_equal(v, 77);
	assert_int_equal(noise_gaussian(&stream, 0, &v), RC_OK);
	assert_int_equal(v, 0);
	/* A stream that is used up fails instead of going on for ever, and leaves the output alone. */
	stream.next_block = NOISE_MAX_BLOCKS;
	v = 77;
	assert_int_equal(noise_gaussian(&stream, 10000, &v), RC_CRYPTO);
	assert_int_equal(noise_laplace(&stream, 5, &v), RC_CRYPTO);
	assert_int_equal(v, 77);
	noise_deinit(&stream);
	for (size_t i = 0; i < sizeof stream.seed; i++)
		assert_int_equal(stream.seed[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_distribution),
		cmocka_unit_test(test_other_variances),
		cmocka_unit_test(test_bounds),
	};
	return cmocka_run_group_tests_name("noise", tests, NULL, NULL);
}
