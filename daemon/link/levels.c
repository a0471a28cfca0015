/* Levels of agreement. A cut is in thousandths of the Dice coefficient, so that 2·both/(a+b) >= cut/1000 is a
 * comparison of integers; nothing is divided and nothing is rounded.
 *
 * A diffused filter (output bit = XOR of t input bits) is undone in expectation: of the numbers of bits set and of the
 * number of bits that differ, d = a + b − 2·both. The estimates are scaled by 8 to keep their fractions. */
#include "daemon/link/levels.h"

#include <stdlib.h>

enum { DIFFUSED_SCALE = 8 };

/* (1 - 2p/(scale·bits))^t in units of 2^-32. */
static uint64_t power(unsigned p, unsigned bits, unsigned t)
{
	uint64_t full = (uint64_t)DIFFUSED_SCALE * bits;
	uint64_t base = ((full - 2 * (uint64_t)p) << 32) / full;
	uint64_t x = UINT64_C(1) << 32;

	for (unsigned i = 0; i < t; i++)
		x = (uint64_t)(((unsigned __int128)x * base) >> 32);
	return x;
}

enum rc level_inverse_init(struct level_inverse *inverse, unsigned bits, unsigned diffusion)
{
	unsigned p = 0;

	inverse->bits = (uint16_t)bits;
	inverse->is_diffused = diffusion >= 2;
	inverse->of = calloc(bits + 1, sizeof *inverse->of);
	if (inverse->of == NULL)
		return RC_NOMEM;
	for (unsigned q = 0; q <= bits; q++) {
		uint64_t want;

		if (diffusion < 2) {
			inverse->of[q] = (uint16_t)q;
			continue;
		}
		/* The smallest p that explains q bits; p only grows with q. Past half full nothing is left to tell. */
		want = 2 * q >= bits ? 0 : ((uint64_t)(bits - 2 * q) << 32) / bits;
		while (p < DIFFUSED_SCALE * bits / 2 && power(p, bits, diffusion) > want)
			p++;
		inverse->of[q] = (uint16_t)p;
	}
	return RC_OK;
}

void level_inverse_deinit(struct level_inverse *inverse)
{
	free(inverse->of);
	inverse->of = NULL;
}
