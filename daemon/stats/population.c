/* Bisection on whole numbers, as in interval.c. Magnitudes: counts up to 10^7 and N up to 10^9 keep every product below
 * 10^36. */
#include "daemon/stats/population.h"

#include "daemon/stats/interval.h"

typedef __int128 i128;

enum { MAX_CELLS = 1 << 24, RATIO_SCALE = 10000, RATIO_MAX = 1000000 };

static bool counts_are_sane(const int64_t *counts, unsigned n, uint64_t k)
{
	for (unsigned i = 0; i < n; i++) {
		if (counts[i] > POPULATION_MAX_COUNT || counts[i] < -POPULATION_MAX_COUNT)
			return false;
	}
	return k <= MAX_CELLS;
}

static i128 not_negative(i128 v)
{
	return v < 0 ? 0 : v;
}

/* z² · v, rounded down, without leaving 128 bits. */
static i128 z2_times(i128 v)
{
	return v / 1000000 * INTERVAL_Z2_MICRO + v % 1000000 * INTERVAL_Z2_MICRO / 1000000;
}

/* ---- two lists ---- */

struct two {
	i128 n1, n2, m, noise_milli; /* kσ² */
};

static bool two_is_outside(const struct two *t, i128 n)
{
	i128 miss = t->n1 * t->n2 - n * t->m, slope = t->n1 + t->n2 - n;
	i128 sampling = t->n1 * t->n2 * not_negative(n - t->n1) * not_negative(n - t->n2) / (n > 1 ? n - 1 : 1);
	i128 noise = t->noise_milli * (slope * slope + t->n1 * t->n1 + t->n2 * t->n2) / 1000;

	return miss * miss > z2_times(sampling + noise);
}

/* The number nearest to `inside` in the direction of `end` that is outside; `end` when there is none. */
static i128 two_limit(const struct two *t, i128 inside, i128 end)
{
	if (two_is_outside(t, inside))
		return inside;
	if (!two_is_outside(t, end))
		return end;
	while (end - inside > 1 || inside - end > 1) {
		i128 middle = (inside + end) / 2;
		if (two_is_outside(t, middle))
			end = middle;
		else
			inside = middle;
	}
	return end;
}

struct population population_two(const int64_t counts[3], uint64_t k, uint64_t sigma2_milli)
{
	struct population p = {0};

	if (!counts_are_sane(counts, 3, k))
		return p;
	int64_t m = counts[2], n1 = counts[0] + m, n2 = counts[1] + m, seen = n1 + n2 - m;
	if (m <= 0 || n1 <= 0 || n2 <= 0)
		return p;
	struct two t = {n1, n2, m, (i128)k * (i128)sigma2_milli};
	i128 chapman = ((i128)(n1 + 1) * (n2 + 1) + (m + 1) / 2) / (m + 1) - 1, middle = (i128)n1 * n2 / m;
	if (seen < 1)
		seen = 1;
	if (chapman < seen)
		chapman = seen;
	if (middle < seen)
		middle = seen;
	if (chapman > POPULATION_MAX || middle > POPULATION_MAX)
		return p;
	p.available = true;
	p.value = (int64_t)chapman;
	p.low = (int64_t)two_limit(&t, middle, seen);
	p.high = (int64_t)two_limit(&t, middle, POPULATION_MAX);
	p.is_bounded = p.high < POPULATION_MAX;
	if (p.low > p.value)
		p.low = p.value;
	if (p.high < p.value)
		p.high = p.value;
	return p;
}

/* ---- three lists ---- */

struct three {
	i128 v_nano, w_nano;
};

static bool three_is_outside(const struct three *t, i128 ratio)
{
	i128 miss = RATIO_SCALE - ratio;
	i128 variance_nano = t->v_nano * RATIO_SCALE * RATIO_SCALE + t->w_nano * ratio * ratio;

	return miss * miss * 1000000000 * 1000000 > INTERVAL_Z2_MICRO * variance_nano;
}

static i128 three_limit(const struct three *t, i128 end)
{
	i128 inside = RATIO_SCALE;

	if (!three_is_outside(t, end))
		return end;
	while (end - inside > 1 || inside - end > 1) {
		i128 middle = (inside + end) / 2;
		if (three_is_outside(t, middle))
			end = middle;
		else
			inside = middle;
	}
	return end;
}

struct population population_three(const int64_t counts[7], uint64_t k, uint64_t sigma2_milli)
{
	enum { A, B, AB, C, AC, BC, ABC };
	struct population p = {0};
	struct three t = {0};
	i128 noise_milli = (i128)k * (i128)sigma2_milli, seen = 0;

	if (!counts_are_sane(counts, 7, k))
		return p;
	for (int h = 0; h < 7; h++) {
		i128 n = counts[h];
		if (n <= 0)
			return p;
		i128 relative = (n * 1000 + noise_milli) * 1000000 / (n * n) + 1;
		*(h == AB || h == AC || h == BC ? &t.w_nano : &t.v_nano) += relative;
		seen += n;
	}
	i128 above = (i128)counts[ABC] * counts[A] * counts[B] * counts[C],
	     below = (i128)counts[AB] * counts[AC] * counts[BC];
	i128 unseen = (above + below / 2) / below;
	i128 margin = (i128)integer_root_up((unsigned __int128)(INTERVAL_Z2_MICRO * 7 * noise_milli)) / 31622 + 1;
	if (seen + unseen > POPULATION_MAX)
		return p;
	i128 low = three_limit(&t, 0), high = three_limit(&t, RATIO_MAX);
	p.available = true;
	p.value = (int64_t)(seen + unseen);
	p.low = (int64_t)(seen + unseen * low / RATIO_SCALE - (noise_milli > 0 ? margin : 0));
	i128 upper = seen + (unseen + 1) * high / RATIO_SCALE + 1 + (noise_milli > 0 ? margin : 0);
	p.is_bounded = high < RATIO_MAX && upper < POPULATION_MAX;
	p.high = p.is_bounded ? (int64_t)upper : POPULATION_MAX;
	if (p.low < 0)
		p.low = 0;
	return p;
}
