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
	bool is_diffused; /* false = `of` is the identity */
};
/* Errors: NOMEM. */
enum rc level_inverse_init(struct level_inverse *inverse, unsigned bits, unsigned diffusion) MUST_CHECK;
void level_inverse_deinit(struct level_inverse *inverse);

/* Digit (1 … n_cuts + 1) of a pair of filters with `a` and `b` bits set, `both` of them in common: the number of cuts
 * that the Dice coefficient 2·both/(a + b) reaches, plus one. Two empty filters reach none. Inline: it runs once a pair
 * and filter. */
static inline unsigned level_digit(const struct level_inverse *inverse, const uint16_t *cuts, unsigned n_cuts,
				   unsigned a, unsigned b, unsigned both)
{
	uint32_t sum = a + b, common = 2 * both;
	unsigned digit = 0;

	if (inverse->is_diffused) {
		uint32_t apart = inverse->of[a + b - 2 * both];

		sum = (uint32_t)inverse->of[a] + inverse->of[b];
		common = apart < sum ? sum - apart : 0;
	}
	if (sum == 0)
		return 1;
	while (digit < n_cuts && common * 1000 >= cuts[digit] * sum)
		digit++;
	return digit + 1;
}

#endif
