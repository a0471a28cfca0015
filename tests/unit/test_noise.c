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

/* 200,000 draws, each from a seed of its own as cells have: mean, variance and a chi-square statistic. All bounds are
 * integers and hold with a margin of more than five standard deviations; the seeds are fixed, so the test never
 * flickers. */
static void test_distribution(void **state)
{
	/* 10^6 · P(v) of the discrete Gaussian with σ² = 10, v = 0 … 10. */
	static const int64_t expected_ppm[] = {126157, 120004, 103288, 80440, 56686, 36145,
					       20854,  10887,  5143,   2198,  850};
	enum { N = 200000, SIGMA2_MILLI = 10000 };
	int64_t sum = 0, sum2 = 0, count[41] = {0};

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		uint8_t seed[NOISE_SEED_LEN];
		struct noise_stream stream;
		int64_t v = 0;

		sha256_labelled("distribution", &i, sizeof i, seed);
		noise_init(&stream, seed);
		assert_int_equal(noise_gaussian(&stream, SIGMA2_MILLI, &v), RC_OK);
		sum += v;
		sum2 += v * v;
		assert_in_range(v + 20, 0, 40);
		count[v + 20]++;
	}
	assert_true(llabs(sum) < 8000);            /* sd 1414 */
	assert_true(llabs(sum2 - 10 * N) < 35000); /* sd about 6300 */
	int64_t chi2_milli = 0;
	for (int v = -10; v <= 10; v++) {
		int64_t ppm = expected_ppm[v < 0 ? -v : v], expected = ppm * N / 1000000,
			miss = count[v + 20] - expected;
		chi2_milli += miss * miss * 1000 / expected;
	}
	printf("chi-square over 21 values: %lld/1000\n", (long long)chi2_milli);
	assert_true(chi2_milli < 55000); /* 20 degrees of freedom: P < 5·10^-5 */
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
