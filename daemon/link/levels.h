/* From popcounts to levels of agreement, in integers only. */
#ifndef DAEMON_LINK_LEVELS_H
#define DAEMON_LINK_LEVELS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/rc.h"
#include "proto/study.h"

/* Expected number of set input bits for each number of set output bits of a filter, scaled: the inverse of keyed
 * diffusion, h' = ½(1 − (1 − 2h)^t). Without diffusion it is the identity. */
struct level_inverse {
	uint16_t *of; /* 0 … bits, owned */
	uint16_t bits;
};
/* Errors: NOMEM. */
enum rc level_inverse_init(struct level_inverse *inverse, unsigned bits, unsigned diffusion) MUST_CHECK;
void level_inverse_deinit(struct level_inverse *inverse);

/* Digit (1 … n_cuts + 1) of a pair of filters with `a` and `b` bits set, `both` of them in common: the number of cuts
 * that the Dice coefficient 2·both/(a + b) reaches, plus one. Two empty filters reach none. */
unsigned level_digit(const struct level_inverse *inverse, const uint16_t *cuts, unsigned n_cuts, unsigned a, unsigned b,
		     unsigned both);

#endif
