/* Synthetic rows for the tests of daemon/link: a small domain, and persons whose filters are copied with errors. All
 * from one generator with a fixed seed, so that a failure can be repeated. */
#ifndef TESTS_UNIT_LINK_FIXTURE_H
#define TESTS_UNIT_LINK_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "daemon/link/link.h"

struct random {
	uint64_t state;
};

/* splitmix64 (Steele, Lea and Flood 2014). */
static inline uint64_t random_next(struct random *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline uint32_t random_below(struct random *r, uint32_t n)
{
	return (uint32_t)(random_next(r) >> 32) % n;
}

/* A comparison over filters first … first+n-1 with cuts .4 .6 .8 1, weights -4 -2 1 4 8 log2 units a filter. */
static inline void fixture_comparison(struct study_comparison *c, unsigned first, unsigned n)
{
	static const uint16_t cuts[] = {400, 600, 800, 1000};
	static const int16_t weights[] = {0, -4 * 256, -2 * 256, 256, 4 * 256, 8 * 256};
	unsigned n_levels = 1;

	c->n_filters = (uint8_t)n;
	for (unsigned i = 0; i < n; i++) {
		c->filters[i] = (uint8_t)(first + i);
		c->n_cuts[i] = 4;
		memcpy(c->cuts[i], cuts, sizeof cuts);
		n_levels *= 6;
	}
	c->n_levels = (uint8_t)(n_levels - 1);
	for (unsigned level = 1; level < n_levels; level++) {
		unsigned rest = level;

		for (unsigned i = 0; i < n; i++, rest /= 6)
			c->reference_weight[level] = (int16_t)(c->reference_weight[level] + weights[rest % 6]);
	}
}

/* Five filters of odd lengths; the last two are compared together. Zero-initialises *domain; n_bits may be NULL. */
static inline void fixture_domain(struct study_domain *domain, const uint16_t *n_bits)
{
	static const uint16_t usual[5] = {512, 512, 512, 256, 264};

	memset(domain, 0, sizeof *domain);
	domain->n_filters = 5;
	for (unsigned f = 0; f < 5; f++)
		domain->filters[f].bits = n_bits != NULL ? n_bits[f] : usual[f];
	domain->n_comparisons = 4;
	for (unsigned c = 0; c < 3; c++)
		fixture_comparison(&domain->comparisons[c], c, 1);
	fixture_comparison(&domain->comparisons[3], 3, 2);
	domain->floor = 10 * 256;
}

enum { FIXTURE_MAX_BYTES = STUDY_MAX_FILTER_BITS / 8 };

/* A row with its own filter memory. */
struct fixture_row {
	struct link_row row;
	uint8_t bytes[STUDY_MAX_FILTERS][FIXTURE_MAX_BYTES];
};

/* The filter of value `value` of field f: a hundred bits or so, the same each time. */
static inline void fixture_value(const struct study_domain *domain, struct fixture_row *r, unsigned f, uint64_t value)
{
	struct random bits = {value * 1000003 + f};

	memset(r->bytes[f], 0, FIXTURE_MAX_BYTES);
	for (unsigned i = 0; i < domain->filters[f].bits / 6u; i++) {
		uint32_t bit = random_below(&bits, domain->filters[f].bits);

		r->bytes[f][bit / 8] = (uint8_t)(r->bytes[f][bit / 8] | 1u << bit % 8);
	}
}

/* Flip n random bits of field f, as a typing error would. */
static inline void fixture_damage(const struct study_domain *domain, struct fixture_row *r, unsigned f, unsigned n,
				  struct random *random)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t bit = random_below(random, domain->filters[f].bits);

		r->bytes[f][bit / 8] = (uint8_t)(r->bytes[f][bit / 8] ^ 1u << bit % 8);
	}
}

/* Person `person` as source `source` knows them in its record `record`: values of each field out of `n_values`, chosen
 * by the person, one field in `error_in` damaged, one in `missing_in` missing (0 = none). */
static inline void fixture_person(const struct study_domain *domain, struct fixture_row *r, uint16_t source,
				  uint32_t record, uint32_t person, uint32_t n_values, unsigned error_in,
				  unsigned missing_in)
{
	struct random who = {person * UINT64_C(77777)}, noise = {(uint64_t)source << 40 | record};

	memset(&r->row, 0, sizeof r->row);
	r->row.source = source;
	for (unsigned i = 0; i < 4; i++)
		r->row.record_id[i] = (uint8_t)((record * UINT32_C(2654435761)) >> (8 * i));
	memcpy(r->row.record_id + 4, &record, 4);
	for (unsigned f = 0; f < domain->n_filters; f++) {
		fixture_value(domain, r, f, random_below(&who, n_values));
		if (error_in != 0 && random_below(&noise, error_in) == 0)
			fixture_damage(domain, r, f, 1 + random_below(&noise, 60), &noise);
		if (missing_in != 0 && random_below(&noise, missing_in) == 0) {
			memset(r->bytes[f], 0, FIXTURE_MAX_BYTES);
			r->row.missing[f] = true;
		}
		r->row.filters[f] = r->bytes[f];
	}
}

#endif
