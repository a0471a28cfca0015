/* libs: tc_stats tc_proto m */
/* Tables made to agree: against exact least squares, that margins are the same in every table, that nothing else moves,
 * and by how much the noise goes down. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <jansson.h>

#include "daemon/stats/consistent.h"
#include "daemon/stats/interval.h"
#include "daemon/stats/noise.h"
#include "tests/unit/stats_fixture.h"

enum { MAX_ROWS = 4096 };

struct sample {
	struct study *study;
	struct lattice lattice;
	int64_t *values[STUDY_MAX_TABLES];
};

/* Dimensions with so many codes, unknown included; their names do not matter. */
static void sample_init(struct sample *s, unsigned n_dimensions, const unsigned *codes)
{
	s->study = fixture_study();
	s->study->n_tables = 0;
	s->study->n_dimensions = (uint8_t)n_dimensions;
	for (unsigned d = 0; d < n_dimensions; d++)
		s->study->dimensions[d].n_codes = (uint8_t)(codes[d] - 1);
}

static void sample_table(struct sample *s, unsigned n_by, const uint8_t *by, uint32_t sigma2_milli)
{
	struct study_table *t = &s->study->tables[s->study->n_tables++];

	t->period = PERIOD_QUARTER;
	t->n_by = (uint8_t)n_by;
	memcpy(t->by, by, n_by);
	t->sigma2_milli = sigma2_milli;
}

static void sample_ready(struct sample *s, unsigned n_cells)
{
	lattice_of_table(s->study, 0, &s->lattice);
	assert_int_equal(s->lattice.n_tables, s->study->n_tables);
	for (unsigned i = 0; i < s->lattice.n_tables; i++) {
		s->values[i] = calloc(MAX_ROWS * n_cells, sizeof **s->values);
		assert_non_null(s->values[i]);
	}
}

static void sample_deinit(struct sample *s)
{
	for (unsigned i = 0; i < s->lattice.n_tables; i++)
		free(s->values[i]);
	free(s->study);
}

static uint32_t n_rows(const struct sample *s, unsigned table)
{
	return lattice_n_rows(s->study, lattice_table_set(&s->study->tables[table]));
}

/* Sum of a table to the dimensions of `set`, one outcome; place by code, the lowest dimension first. */
static void margin_of(const struct sample *s, unsigned table, lattice_set set, unsigned cell, unsigned n_cells,
		      int64_t *ret)
{
	const struct study_table *t = &s->study->tables[table];

	memset(ret, 0, MAX_ROWS * sizeof *ret);
	for (uint32_t row = 0; row < n_rows(s, table); row++) {
		uint32_t rest = row, codes[STUDY_MAX_DIMENSIONS] = {0}, at = 0;
		for (unsigned i = t->n_by; i-- > 0;) {
			codes[t->by[i]] = rest % (s->study->dimensions[t->by[i]].n_codes + 1U);
			rest /= s->study->dimensions[t->by[i]].n_codes + 1U;
		}
		for (unsigned d = 0; d < s->study->n_dimensions; d++) {
			if ((set >> d & 1) != 0)
				at = at * (s->study->dimensions[d].n_codes + 1U) + codes[d];
		}
		ret[at] += s->values[table][(size_t)row * n_cells + cell];
	}
}

static unsigned assert_consistent(const struct sample *s, unsigned n_cells)
{
	static int64_t first[MAX_ROWS], second[MAX_ROWS];
	unsigned n = 0;

	for (unsigned a = 0; a < s->study->n_tables; a++) {
		for (unsigned b = 0; b < a; b++) {
			lattice_set both =
				lattice_table_set(&s->study->tables[a]) & lattice_table_set(&s->study->tables[b]);
			for (unsigned cell = 0; cell < n_cells; cell++) {
				margin_of(s, a, both, cell, n_cells, first);
				margin_of(s, b, both, cell, n_cells, second);
				assert_memory_equal(first, second, sizeof first);
				n++;
			}
		}
	}
	return n;
}

/* ---- the vectors ---- */

static void read_numbers(const json_t *array, int64_t *ret)
{
	assert_true(json_array_size(array) <= MAX_ROWS);
	for (size_t i = 0; i < json_array_size(array); i++)
		ret[i] = json_integer_value(json_array_get(array, i));
}

static void check_vector(const json_t *v)
{
	const json_t *codes = json_object_get(v, "codes"), *by = json_object_get(v, "by");
	unsigned n_codes[4];
	struct sample s;

	for (size_t d = 0; d < json_array_size(codes); d++)
		n_codes[d] = (unsigned)json_integer_value(json_array_get(codes, d));
	sample_init(&s, (unsigned)json_array_size(codes), n_codes);
	for (size_t t = 0; t < json_array_size(by); t++) {
		const json_t *dimensions = json_array_get(by, t);
		uint8_t list[STUDY_MAX_BY];
		for (size_t i = 0; i < json_array_size(dimensions); i++)
			list[i] = (uint8_t)json_integer_value(json_array_get(dimensions, i));
		sample_table(&s, (unsigned)json_array_size(dimensions), list,
			     (uint32_t)json_integer_value(json_array_get(json_object_get(v, "sigma2"), t)) * 1000);
	}
	sample_ready(&s, 1);
	for (unsigned t = 0; t < s.study->n_tables; t++)
		read_numbers(json_array_get(json_object_get(v, "noisy"), t), s.values[t]);
	assert_int_equal(consistent_adjust(&s.lattice, s.values, 1), RC_OK);
	for (unsigned t = 0; t < s.study->n_tables; t++) {
		int64_t wanted[MAX_ROWS] = {0};
		lattice_set set = lattice_table_set(&s.study->tables[t]);
		json_int_t exact = json_integer_value(json_array_get(json_object_get(v, "variance_micro"), t));
		json_int_t found = (json_int_t)(lattice_variance_nano(&s.lattice, set) / 1000) -
				   (json_int_t)(1000000U << __builtin_popcount(set)) / 12;
		read_numbers(json_array_get(json_object_get(v, "integers"), t), wanted);
		assert_memory_equal(s.values[t], wanted, n_rows(&s, t) * sizeof *wanted);
		assert_in_range(found - exact + 2, 0, 4);
	}
	sample_deinit(&s);
}

static void test_vectors(void **state)
{
	json_t *vectors = json_load_file(TC_SOURCE_DIR "/tests/data/vectors/lattice.json", 0, NULL), *v;
	size_t i;

	(void)state;
	assert_int_equal(json_array_size(vectors), 15);
	json_array_foreach(vectors, i, v) check_vector(v);
	json_decref(vectors);
}

/* ---- properties ---- */

/* Any numbers, many shapes, several outcomes: afterwards all common margins are the same, and doing it again moves
 * nothing. */
static void test_margins_agree(void **state)
{
	uint64_t random = 7;
	unsigned n_compared = 0;

	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		unsigned codes[5];
		struct sample s;
		for (unsigned d = 0; d < 5; d++)
			codes[d] = 2 + fixture_random(&random) % 5;
		sample_init(&s, 5, codes);
		for (unsigned t = 0; t < 2 + round % 6; t++) {
			unsigned first = fixture_random(&random) % 5, n_by = fixture_random(&random) % 4;
			uint8_t by[STUDY_MAX_BY] = {(uint8_t)first, (uint8_t)((first + 1 + t % 2) % 5),
						    (uint8_t)((first + 3) % 5)};
			sample_table(&s, n_by, by, 500 + fixture_random(&random) % 40000);
		}
		sample_ready(&s, 3);
		for (unsigned t = 0; t < s.study->n_tables; t++) {
			for (size_t i = 0; i < (size_t)n_rows(&s, t) * 3; i++)
				s.values[t][i] = (int64_t)(fixture_random(&random) % 100000) - 20000;
		}
		assert_int_equal(consistent_adjust(&s.lattice, s.values, 3), RC_OK);
		n_compared += assert_consistent(&s, 3);
		int64_t *before = calloc(MAX_ROWS * 3, sizeof *before);
		assert_non_null(before);
		memcpy(before, s.values[0], (size_t)MAX_ROWS * 3 * sizeof *before);
		assert_int_equal(consistent_adjust(&s.lattice, s.values, 3), RC_OK);
		assert_memory_equal(before, s.values[0], (size_t)MAX_ROWS * 3 * sizeof *before);
		free(before);
		sample_deinit(&s);
	}
	assert_true(n_compared > 1000);
}

/* One table is left as it was drawn; the largest counts of all fit. */
static void test_bounds(void **state)
{
	static const unsigned codes[] = {21, 21, 21};
	static const uint8_t by[] = {0, 1, 2};
	struct sample s;

	(void)state;
	sample_init(&s, 3, codes);
	sample_table(&s, 2, by, 10000);
	sample_ready(&s, 1);
	s.values[0][5] = -77;
	assert_int_equal(consistent_adjust(&s.lattice, s.values, 1), RC_OK);
	assert_int_equal(s.values[0][5], -77);
	assert_int_equal(lattice_variance_milli(&s.lattice, 3), 10000);
	assert_int_equal(lattice_variance_milli(&s.lattice, 1), 210000);
	sample_deinit(&s);
	sample_init(&s, 2, codes);
	sample_table(&s, 2, by, 1);
	sample_table(&s, 1, by, 1000000000);
	sample_ready(&s, 1);
	for (uint32_t i = 0; i < 21 * 21; i++)
		s.values[0][i] = INT64_C(1) << 31;
	assert_int_equal(consistent_adjust(&s.lattice, s.values, 1), RC_OK);
	assert_consistent(&s, 1);
	/* The other table says 0, and has 2 · 10⁻⁸ of the weight. */
	assert_true(llabs(s.values[1][0] - 21 * (INT64_C(1) << 31)) < 2000);
	sample_deinit(&s);
}

/* ---- what it is worth ---- */

/* What a margin's variance is when the best table that has it is just summed. */
static uint64_t summed_milli(const struct sample *s, lattice_set set)
{
	uint64_t least = UINT64_MAX;

	for (unsigned t = 0; t < s->study->n_tables; t++) {
		lattice_set own = lattice_table_set(&s->study->tables[t]);
		uint64_t v = (uint64_t)s->study->tables[t].sigma2_milli * lattice_n_rows(s->study, own & ~set);
		if ((set & ~own) == 0 && v < least)
			least = v;
	}
	return least;
}

/* A quarter's tables as docs/methods.md advises them, 400 draws with fixed seeds, and every margin that can be asked of
 * them: the mean squared error is that of the formula, never above that of a plain sum but for rounding, and much below
 * it for what several tables say. */
static void test_noise_goes_down(void **state)
{
	static const unsigned codes[] = {5, 3, 9, 5, 7}, n_by[] = {2, 1, 1, 1};
	static const uint8_t by[][2] = {{0, 1}, {2, 0}, {3, 0}, {4, 0}};
	static const struct {
		const char *name;
		unsigned table;
		lattice_set set;
		uint64_t most_percent; /* of the plain sum's standard deviation */
	} asked[] = {{"total", 2, 0, 65},        {"sex", 0, 2, 86},
		     {"intervention", 0, 1, 96}, {"intervention x sex", 0, 3, 101},
		     {"region", 1, 4, 101},      {"drug", 2, 8, 98},
		     {"age", 3, 16, 99}};
	enum { RUNS = 400, N_ASKED = 7, SIGMA2_MILLI = 10000 };
	static int64_t margin[MAX_ROWS];
	int64_t squares[N_ASKED] = {0};
	struct sample s;

	(void)state;
	sample_init(&s, 5, codes);
	for (unsigned t = 0; t < 4; t++)
		sample_table(&s, n_by[t], by[t], SIGMA2_MILLI);
	sample_ready(&s, 1);
	for (uint32_t run = 0; run < RUNS; run++) {
		struct noise_stream stream;
		uint8_t seed[NOISE_SEED_LEN];
		sha256_labelled("lattice", &run, sizeof run, seed);
		noise_init(&stream, seed);
		for (unsigned t = 0; t < 4; t++) {
			for (uint32_t row = 0; row < n_rows(&s, t); row++)
				assert_int_equal(noise_gaussian(&stream, SIGMA2_MILLI, &s.values[t][row]), RC_OK);
		}
		assert_int_equal(consistent_adjust(&s.lattice, s.values, 1), RC_OK);
		for (unsigned i = 0; i < N_ASKED; i++) {
			margin_of(&s, asked[i].table, asked[i].set, 0, 1, margin);
			for (uint32_t row = 0; row < lattice_n_rows(s.study, asked[i].set); row++)
				squares[i] += margin[row] * margin[row];
		}
	}
	printf("noise of one count, sd       summed   adjusted   measured\n");
	for (unsigned i = 0; i < N_ASKED; i++) {
		uint64_t rows = lattice_n_rows(s.study, asked[i].set);
		uint64_t measured = (uint64_t)squares[i] * 1000 / (RUNS * rows);
		uint64_t formula = lattice_variance_milli(&s.lattice, asked[i].set);
		uint64_t summed = summed_milli(&s, asked[i].set);
		printf("%-26s %8.2f   %8.2f   %8.2f\n", asked[i].name, sqrt((double)summed / 1000),
		       sqrt((double)formula / 1000), sqrt((double)measured / 1000));
		assert_in_range(measured * 100 / formula, i < 2 ? 80 : 90, i < 2 ? 120 : 110);
		assert_true(formula * 10000 < summed * asked[i].most_percent * asked[i].most_percent);
	}
	sample_deinit(&s);
}

/* One world: 300 people with codes by chance, a share of 40 % with the outcome, counted in all tables with noise. */
static void draw_world(struct sample *s, uint64_t *random, struct noise_stream *stream)
{
	for (unsigned t = 0; t < s->study->n_tables; t++) {
		for (uint32_t i = 0; i < n_rows(s, t) * 2; i++)
			assert_int_equal(noise_gaussian(stream, s->study->tables[t].sigma2_milli, &s->values[t][i]),
					 RC_OK);
	}
	for (unsigned person = 0; person < 300; person++) {
		uint32_t codes[5], outcome = fixture_random(random) % 1000 < 400 ? 0 : 1;
		for (unsigned d = 0; d < 5; d++)
			codes[d] = fixture_random(random) % (s->study->dimensions[d].n_codes + 1U);
		for (unsigned t = 0; t < s->study->n_tables; t++) {
			const struct study_table *table = &s->study->tables[t];
			uint32_t row = 0;
			for (unsigned i = 0; i < table->n_by; i++)
				row = row * (s->study->dimensions[table->by[i]].n_codes + 1U) + codes[table->by[i]];
			s->values[t][row * 2 + outcome]++;
		}
	}
}

/* Intervals from adjusted counts, with the variance that is left: 95 % of them hold the truth, in every table, and they
 * are narrower than those of the noise that was drawn. */
static void test_intervals_cover(void **state)
{
	static const unsigned codes[] = {5, 3, 9, 5, 7}, n_by[] = {1, 1, 1, 0};
	static const uint8_t by[][2] = {{1, 0}, {3, 0}, {4, 0}, {0, 0}};
	enum { RUNS = 400, SIGMA2_MILLI = 10000, TRUTH = 4000 };
	uint64_t random = 99, held[4] = {0}, width[4] = {0}, drawn_width[4] = {0};
	struct sample s;

	(void)state;
	sample_init(&s, 5, codes);
	for (unsigned t = 0; t < 4; t++)
		sample_table(&s, n_by[t], by[t], SIGMA2_MILLI);
	sample_ready(&s, 2);
	for (uint32_t run = 0; run < RUNS; run++) {
		struct noise_stream stream;
		uint8_t seed[NOISE_SEED_LEN];
		sha256_labelled("coverage", &run, sizeof run, seed);
		noise_init(&stream, seed);
		draw_world(&s, &random, &stream);
		assert_int_equal(consistent_adjust(&s.lattice, s.values, 2), RC_OK);
		for (unsigned t = 0; t < 4; t++) {
			uint64_t left = lattice_variance_milli(&s.lattice, lattice_table_set(&s.study->tables[t]));
			for (uint32_t row = 0; row < n_rows(&s, t); row++) {
				const int64_t *v = &s.values[t][row * 2];
				struct rate r = rate_interval(v[0], v[1], 1, 1, left);
				struct rate drawn = rate_interval(v[0], v[1], 1, 1, SIGMA2_MILLI);
				held[t] += r.available && r.low <= TRUTH && r.high >= TRUTH;
				width[t] += r.high - r.low;
				drawn_width[t] += drawn.high - drawn.low;
			}
		}
	}
	for (unsigned t = 0; t < 4; t++) {
		uint64_t n = (uint64_t)RUNS * n_rows(&s, t), permille = held[t] * 1000 / n;
		printf("%2u rows: %llu of 1000 intervals hold the truth, mean width %llu/10000 (%llu by the noise "
		       "drawn)\n",
		       n_rows(&s, t), (unsigned long long)permille, (unsigned long long)(width[t] / n),
		       (unsigned long long)(drawn_width[t] / n));
		assert_in_range(permille, 935, 975);
		assert_true(width[t] < drawn_width[t]);
	}
	sample_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),         cmocka_unit_test(test_margins_agree),
		cmocka_unit_test(test_bounds),          cmocka_unit_test(test_noise_goes_down),
		cmocka_unit_test(test_intervals_cover),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
