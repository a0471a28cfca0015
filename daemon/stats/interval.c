/* The limits are found by bisection on the grid of 1/10,000 in which they are published, so no root is ever taken and
 * nothing is rounded before the end. Magnitudes: counts below 2^31 give (aT − PN)² · 10^9 below 2^123. */
#include "daemon/stats/interval.h"

typedef __int128 i128;

enum { MAX_CELLS = 1 << 24 };
#define MAX_COUNT (INT64_C(1) << 31)
static const i128 Z2_MICRO = INTERVAL_Z2_MICRO;

struct score {
	i128 a, n, k_a, k_b, sigma2_milli;
};

/* Left side minus right side at p = P / RATE_SCALE, times RATE_SCALE² · 10^9. */
static bool is_outside(const struct score *s, int64_t at)
{
	i128 p = at, q = RATE_SCALE - at;
	i128 miss = s->a * RATE_SCALE - p * s->n;
	i128 sampling = Z2_MICRO * 1000 * s->n * p * q;
	i128 noise = Z2_MICRO * s->sigma2_milli * (s->k_a * q * q + s->k_b * p * p);

	return miss * miss * 1000000000 > sampling + noise;
}

/* The grid point nearest to `inside` in the direction of `end` that is outside; `end` when there is none. The set is an
 * interval, so bisection finds it. */
static int64_t find_limit(const struct score *s, int64_t inside, int64_t end)
{
	if (is_outside(s, inside))
		return inside;
	if (!is_outside(s, end))
		return end;
	int64_t outside = end;
	while (outside - inside > 1 || inside - outside > 1) {
		int64_t middle = (inside + outside) / 2;
		if (is_outside(s, middle))
			outside = middle;
		else
			inside = middle;
	}
	return outside;
}

/* The p that fit form an interval only when the quadratic opens upwards. */
static bool opens_upwards(const struct score *s)
{
	return s->n * s->n * 1000000000 + Z2_MICRO * 1000 * s->n > Z2_MICRO * s->sigma2_milli * (s->k_a + s->k_b);
}

struct rate rate_interval(int64_t a, int64_t b, uint64_t k_a, uint64_t k_b, uint64_t sigma2_milli)
{
	struct rate r = {false, 0, 0, RATE_SCALE};

	if (a > MAX_COUNT || a < -MAX_COUNT || b > MAX_COUNT || b < -MAX_COUNT || a + b <= 0 || k_a > MAX_CELLS ||
	    k_b > MAX_CELLS)
		return r;
	struct score s = {a, a + b, (i128)k_a, (i128)k_b, sigma2_milli};
	int64_t n = a + b, floor, ceiling;

	r.available = true;
	if (a <= 0) {
		floor = ceiling = 0;
		r.value = 0;
	} else if (b <= 0) {
		floor = ceiling = RATE_SCALE;
		r.value = RATE_SCALE;
	} else {
		floor = a * RATE_SCALE / n;
		ceiling = (a * RATE_SCALE + n - 1) / n;
		r.value = (uint32_t)((a * RATE_SCALE + n / 2) / n);
	}
	if (!opens_upwards(&s) || ((a < 0 || b < 0) && is_outside(&s, floor)))
		return r;
	r.low = (uint32_t)find_limit(&s, floor, 0);
	r.high = (uint32_t)find_limit(&s, ceiling, RATE_SCALE);
	return r;
}

uint64_t integer_root_up(unsigned __int128 v)
{
	uint64_t root = 0;

	for (int bit = 63; bit >= 0; bit--) {
		uint64_t next = root | UINT64_C(1) << bit;
		if ((unsigned __int128)next * next <= v)
			root = next;
	}
	return (unsigned __int128)root * root < v && root < UINT64_MAX ? root + 1 : root;
}
