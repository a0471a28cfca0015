/* Limits of a ratio by bisection on the grid in which it is published; roots are rounded outwards. */
#include "daemon/stats/contrast.h"

typedef __int128 i128;

static i128 square(i128 v)
{
	return v * v;
}

static int32_t root_of_sum(int64_t a, int64_t b)
{
	return (int32_t)integer_root_up((unsigned __int128)(square(a) + square(b)));
}

/* Is 0 below the lower limit of p₁ − r·p₂, that is, is r too small? */
static bool is_below(const struct rate *a, const struct rate *b, i128 ratio)
{
	i128 miss = (i128)a->value * RATIO_SCALE - ratio * b->value;

	return miss > 0 &&
	       square(miss) > square((i128)(a->value - a->low) * RATIO_SCALE) + square(ratio * (b->high - b->value));
}

static bool is_above(const struct rate *a, const struct rate *b, i128 ratio)
{
	i128 miss = ratio * b->value - (i128)a->value * RATIO_SCALE;

	return miss > 0 &&
	       square(miss) > square((i128)(a->high - a->value) * RATIO_SCALE) + square(ratio * (b->value - b->low));
}

/* The largest ratio that is too small, 0 when none is; the smallest that is too large, RATIO_MAX when none is. */
static void ratio_limits(const struct rate *a, const struct rate *b, struct contrast *ret)
{
	uint32_t low = 0, high = RATIO_MAX;

	while (high - low > 1 && is_below(a, b, 0)) {
		uint32_t middle = low + (high - low) / 2;
		if (is_below(a, b, middle))
			low = middle;
		else
			high = middle;
	}
	ret->ratio_low = low;
	low = ret->ratio < RATIO_MAX ? ret->ratio : RATIO_MAX;
	high = RATIO_MAX;
	ret->ratio_is_bounded = is_above(a, b, RATIO_MAX);
	while (high - low > 1 && ret->ratio_is_bounded) {
		uint32_t middle = low + (high - low) / 2;
		if (is_above(a, b, middle))
			high = middle;
		else
			low = middle;
	}
	ret->ratio_high = high;
}

struct contrast contrast_of(const struct rate *arm, const struct rate *against)
{
	struct contrast c = {0};

	if (!arm->available || !against->available)
		return c;
	c.available = true;
	c.value = (int32_t)arm->value - (int32_t)against->value;
	c.low = c.value - root_of_sum(arm->value - arm->low, against->high - against->value);
	c.high = c.value + root_of_sum(arm->high - arm->value, against->value - against->low);
	if (c.low < -RATE_SCALE)
		c.low = -RATE_SCALE;
	if (c.high > RATE_SCALE)
		c.high = RATE_SCALE;
	c.has_ratio = against->value > 0;
	if (!c.has_ratio)
		return c;
	uint64_t ratio = ((uint64_t)arm->value * RATIO_SCALE + against->value / 2) / against->value;
	c.ratio = ratio > RATIO_MAX ? RATIO_MAX : (uint32_t)ratio;
	ratio_limits(arm, against, &c);
	return c;
}

/* With the quotient r, is 0 below the lower limit of D − r·T? `sign` −1 asks the mirror: above the upper one. */
static bool is_off(const struct contrast *d, const struct rate *t, int32_t quotient, int sign)
{
	i128 miss = sign * ((i128)d->value * RATE_SCALE - (i128)quotient * t->value);
	i128 own = (i128)(sign > 0 ? d->value - d->low : d->high - d->value) * RATE_SCALE;
	bool takes_high = (quotient > 0) == (sign > 0); /* which limit of T brings D − r·T nearer to 0 */
	i128 others = (i128)quotient * (takes_high ? t->high - t->value : t->value - t->low);

	return miss > 0 && square(miss) > square(own) + square(others);
}

/* The largest quotient from −1 up that is too small (sign 1), or its mirror. */
static int32_t quotient_limit(const struct contrast *d, const struct rate *t, int32_t value, int sign)
{
	int32_t off = -sign * RATE_SCALE, on = value;

	if (!is_off(d, t, off, sign))
		return off;
	while (on - off > 1 || off - on > 1) {
		int32_t middle = off + (on - off) / 2;
		if (is_off(d, t, middle, sign))
			off = middle;
		else
			on = middle;
	}
	return off;
}

void contrast_divide(struct contrast *c, const struct rate *share)
{
	int32_t half = (int32_t)share->value / 2 * (c->value < 0 ? -1 : 1), value;

	value = (int32_t)(((int64_t)c->value * RATE_SCALE + half) / (int32_t)share->value);
	value = value > RATE_SCALE ? RATE_SCALE : value < -RATE_SCALE ? -RATE_SCALE : value;
	int32_t low = quotient_limit(c, share, value, 1), high = quotient_limit(c, share, value, -1);
	c->value = value;
	c->low = low;
	c->high = high;
}

struct rate rate_standardised(const struct rate *rates, const int64_t *weights, size_t n)
{
	struct rate r = {false, 0, 0, RATE_SCALE};
	unsigned __int128 below = 0, above = 0;
	int64_t sum = 0, value = 0;

	for (size_t i = 0; i < n; i++) {
		if (weights[i] <= 0)
			continue;
		if (!rates[i].available || weights[i] > (INT64_C(1) << 31))
			return r;
		sum += weights[i];
		value += weights[i] * rates[i].value;
		below += (unsigned __int128)square((i128)weights[i] * (rates[i].value - rates[i].low));
		above += (unsigned __int128)square((i128)weights[i] * (rates[i].high - rates[i].value));
	}
	if (sum == 0)
		return r;
	int64_t low = value - (int64_t)integer_root_up(below), high = value + (int64_t)integer_root_up(above);
	r.available = true;
	r.value = (uint32_t)((value + sum / 2) / sum);
	r.low = low <= 0 ? 0 : (uint32_t)(low / sum);
	high = (high + sum - 1) / sum;
	r.high = high > RATE_SCALE ? RATE_SCALE : (uint32_t)high;
	return r;
}
