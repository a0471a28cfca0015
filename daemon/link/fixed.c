/* Fixed-point logarithms without libm, so that a weight is the same on every machine. */
#include <assert.h>

#include "daemon/link/link.h"

enum { LOG_FRACTION_BITS = 40 };

/* log2(x) in units of 2^-40, by repeated squaring of the mantissa (Knuth, The Art of Computer Programming 1.2.2,
 * exercise 25 and its neighbours): the next binary digit of log2 m is whether m² reaches 2. */
static int64_t log2_fixed(uint64_t x)
{
	int exponent = 63 - __builtin_clzll(x);
	uint64_t mantissa = x << (63 - exponent); /* 1.63 */
	int64_t log = (int64_t)exponent << LOG_FRACTION_BITS;

	for (int bit = LOG_FRACTION_BITS - 1; bit >= 0; bit--) {
		unsigned __int128 square = (unsigned __int128)mantissa * mantissa; /* 2.126 */

		if (square >> 127 != 0) {
			log += INT64_C(1) << bit;
			mantissa = (uint64_t)(square >> 64);
		} else {
			mantissa = (uint64_t)(square >> 63);
		}
	}
	return log;
}

int32_t fixed_log2_ratio(uint64_t num, uint64_t den)
{
	const int64_t half = INT64_C(1) << (LOG_FRACTION_BITS - 17);
	int64_t log;

	assert(num > 0 && den > 0);
	log = log2_fixed(num) - log2_fixed(den);
	/* Round half away from zero, so that the ratio and its inverse differ in sign alone. */
	return (int32_t)(log >= 0 ? (log + half) >> (LOG_FRACTION_BITS - 16)
				  : -((-log + half) >> (LOG_FRACTION_BITS - 16)));
}
