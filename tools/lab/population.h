/* Filters of invented people, for measurements of speed: names of syllables, few of them frequent and most rare, dates,
 * places and postcodes, hashed by bigrams or positions as a study would. No keys, no truth; the same in every run. */
#ifndef TOOLS_LAB_POPULATION_H
#define TOOLS_LAB_POPULATION_H

#include <stdint.h>

enum { POPULATION_FIELDS = 6, POPULATION_MAX_BITS = 1024 };

struct population {
	unsigned n_fields; /* 1 = name, surname and date of birth in one filter; POPULATION_FIELDS = a filter a field */
	unsigned bits;
	unsigned k; /* bits a token */
};

/* Filters of record `number`: n_fields arrays of bits/8 bytes. One record in ten is that of an earlier person with
 * another value in one field. */
void population_record(const struct population *population, uint32_t number,
		       uint8_t filters[POPULATION_FIELDS][POPULATION_MAX_BITS / 8]);

#endif
