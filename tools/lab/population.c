#include "tools/lab/population.h"

#include <string.h>

enum field { GIVEN, MIDDLE, SURNAME, BIRTH, PLACE, POSTCODE };

/* splitmix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint32_t below(uint64_t *state, uint32_t n)
{
	return (uint32_t)((next_random(state) >> 32) * n >> 32);
}

/* An index below n, small ones far more often: the cube of a uniform number. */
static uint32_t skewed(uint64_t *state, uint32_t n)
{
	uint64_t u = next_random(state) >> 32, square = u * u >> 32;

	return (uint32_t)((square * u >> 32) * n >> 32);
}

static void add_token(const struct population *p, uint8_t *filter, uint64_t token, unsigned k)
{
	for (unsigned i = 0; i < k; i++) {
		uint32_t bit = below(&token, p->bits);

		filter[bit / 8] = (uint8_t)(filter[bit / 8] | 1u << bit % 8);
	}
}

static uint64_t token_of(enum field space, unsigned a, unsigned b)
{
	return (uint64_t)space << 40 | (uint64_t)a << 20 | b;
}

/* Padded bigrams of a word of two to four syllables. All names share a token space, as in a study. */
static void add_word(const struct population *p, uint8_t *filter, enum field field, uint32_t value)
{
	static const char first[] = "nrlstmdkbvgjhpfcwz", second[] = "aeioaeiuaeoy", ends[] = "nrslmt";
	uint64_t state = (uint64_t)field << 32 | value;
	char word[16] = "";
	unsigned n = 0, before = 0;

	for (unsigned syllables = 2 + skewed(&state, 3); syllables > 0; syllables--) {
		word[n++] = first[skewed(&state, sizeof first - 1) / 2 + below(&state, sizeof first / 2)];
		word[n++] = second[below(&state, sizeof second - 1)];
		if (below(&state, 3) == 0)
			word[n++] = ends[below(&state, sizeof ends - 1)];
	}
	for (unsigned i = 0; i <= n; i++) {
		unsigned letter = (unsigned char)word[i];

		add_token(p, filter, token_of(GIVEN, before, letter), p->k);
		before = letter;
	}
}

/* Digits with their positions; of a date also the digits of year, month and day in order. */
static void add_digits(const struct population *p, uint8_t *filter, enum field field, uint32_t number, unsigned n)
{
	for (unsigned i = 0; i < n; i++, number /= 10)
		add_token(p, filter, token_of(field, i + 1, number % 10), p->k);
}

static uint32_t date_of(uint32_t day)
{
	return (1940 + day / 372) * 10000 + (day % 372 / 31 + 1) * 100 + day % 31 + 1;
}

static void add_field(const struct population *p, uint8_t *filter, enum field field, uint32_t value)
{
	if (field == BIRTH)
		add_digits(p, filter, field, date_of(value), 8);
	else if (field == POSTCODE)
		add_digits(p, filter, field, 10000 + value * 3, 6);
	else
		add_word(p, filter, field, value);
}

/* How many values a field has: some 300,000 in all at a million people. */
static const uint32_t n_values[POPULATION_FIELDS] = {60000, 40000, 160000, 65 * 372, 12000, 25000};

void population_record(const struct population *population, uint32_t number,
		       uint8_t filters[POPULATION_FIELDS][POPULATION_MAX_BITS / 8])
{
	uint64_t noise = ~(uint64_t)number;
	uint32_t person = number > 0 && below(&noise, 10) == 0 ? below(&noise, number) : number;
	uint32_t changed = person != number ? below(&noise, POPULATION_FIELDS) : POPULATION_FIELDS;
	uint64_t state = person;

	for (unsigned f = 0; f < population->n_fields; f++)
		memset(filters[f], 0, population->bits / 8);
	for (unsigned f = 0; f < POPULATION_FIELDS; f++) {
		uint32_t value = f == BIRTH ? below(&state, n_values[f]) : skewed(&state, n_values[f]);

		if (f == changed)
			value = skewed(&noise, n_values[f]);
		if (population->n_fields == POPULATION_FIELDS)
			add_field(population, filters[f], (enum field)f, value);
		else if (f == GIVEN || f == SURNAME || f == BIRTH)
			add_field(population, filters[0], (enum field)f, value);
	}
}
