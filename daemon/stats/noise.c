/* The samplers. A failed stream is sticky inside `struct trial`, so that the algorithms read as in the paper and the
 * caller checks once. Bounds that hold for every input: numerators and denominators stay below 2^127 (see each). */
#include "daemon/stats/noise.h"

#include <stdbool.h>
#include <string.h>

#include "proto/bytes.h"

typedef unsigned __int128 u128;

enum { MAX_STEPS = 1 << 20 }; /* of a geometric draw; each step goes on with probability 1/e */

struct fraction {
	u128 num, den;
};

struct trial {
	struct noise_stream *stream;
	bool failed;
};

void noise_init(struct noise_stream *stream, const uint8_t seed[NOISE_SEED_LEN])
{
	memset(stream, 0, sizeof *stream);
	memcpy(stream->seed, seed, NOISE_SEED_LEN);
	stream->bits_used = 256;
}

void noise_deinit(struct noise_stream *stream)
{
	explicit_bzero(stream, sizeof *stream);
}

static unsigned next_bit(struct trial *t)
{
	struct noise_stream *s = t->stream;

	if (s->bits_used == 256) {
		uint8_t input[NOISE_SEED_LEN + 4];

		if (s->next_block >= NOISE_MAX_BLOCKS) {
			t->failed = true;
			return 0;
		}
		memcpy(input, s->seed, NOISE_SEED_LEN);
		for (int i = 0; i < 4; i++)
			input[NOISE_SEED_LEN + i] = (uint8_t)(s->next_block >> (24 - 8 * i));
		sha256(input, sizeof input, s->block);
		explicit_bzero(input, sizeof input);
		s->next_block++;
		s->bits_used = 0;
	}
	unsigned at = s->bits_used++;
	return ((unsigned)s->block[at / 8] >> (7 - at % 8)) & 1U;
}

static unsigned bit_length(u128 v)
{
	unsigned n = 0;

	for (; v != 0; v >>= 1)
		n++;
	return n;
}

/* Uniform on 0 … m−1 by rejection; m = 1 takes no bits. */
static u128 uniform(struct trial *t, u128 m)
{
	unsigned n_bits = bit_length(m - 1);

	while (!t->failed) {
		u128 v = 0;
		for (unsigned i = 0; i < n_bits; i++)
			v = v << 1 | next_bit(t);
		if (v < m)
			return v;
	}
	return 0;
}

static struct fraction reduced(u128 num, u128 den)
{
	u128 a = num, b = den;

	while (b != 0) {
		u128 rest = a % b;
		a = b;
		b = rest;
	}
	return (struct fraction){num / a, den / a};
}

static bool bernoulli(struct trial *t, u128 num, u128 den)
{
	struct fraction p = reduced(num, den);

	return uniform(t, p.den) < p.num;
}

/* True with probability exp(−x), 0 ≤ x ≤ 1 (algorithm 1). k grows past 64 with probability below 1/64!. */
static bool bernoulli_exp_unit(struct trial *t, struct fraction x)
{
	uint32_t k = 1;

	while (!t->failed && k < MAX_STEPS && bernoulli(t, x.num, x.den * k))
		k++;
	return k % 2 == 1;
}

static bool bernoulli_exp(struct trial *t, struct fraction x)
{
	while (x.num > x.den) {
		if (t->failed || !bernoulli_exp_unit(t, (struct fraction){1, 1}))
			return false;
		x.num -= x.den;
	}
	return bernoulli_exp_unit(t, x);
}

/* Algorithm 2 with an integer scale. The magnitude stays below (MAX_STEPS + 1) · scale. */
static int64_t laplace(struct trial *t, uint32_t scale)
{
	while (!t->failed) {
		bool negative = bernoulli(t, 1, 2);
		uint32_t u, v = 0;

		do {
			u = (uint32_t)uniform(t, scale);
		} while (!t->failed && !bernoulli_exp(t, reduced(u, scale)));
		while (!t->failed && v < MAX_STEPS && bernoulli_exp(t, (struct fraction){1, 1}))
			v++;
		int64_t magnitude = (int64_t)v * scale + u;
		if (!negative || magnitude != 0)
			return negative ? -magnitude : magnitude;
	}
	return 0;
}

enum rc noise_laplace(struct noise_stream *stream, uint32_t scale, int64_t *ret)
{
	struct trial t = {.stream = stream};

	if (scale == 0 || scale > NOISE_MAX_SCALE)
		return RC_INVALID;
	int64_t v = laplace(&t, scale);
	if (t.failed)
		return RC_CRYPTO;
	*ret = v;
	return RC_OK;
}

static uint32_t integer_sqrt(uint32_t v)
{
	uint32_t root = 0;

	while ((uint64_t)(root + 1) * (root + 1) <= v)
		root++;
	return root;
}

/* Algorithm 3. With σ² = n/d in lowest terms and scale s = ⌊σ⌋ + 1 ≤ 1001, a candidate c is kept with probability
 * exp(−(|c| − σ²/s)² / 2σ²) = exp(−(|c|·d·s − n)² / (2·n·d·s²)). |c| < 2^31, d ≤ 1000: the numerator stays below 2^102,
 * the denominator below 2^61, times k of algorithm 1 below 2^81. */
enum rc noise_gaussian(struct noise_stream *stream, uint32_t sigma2_milli, int64_t *ret)
{
	struct trial t = {.stream = stream};

	if (sigma2_milli > NOISE_MAX_SIGMA2_MILLI)
		return RC_INVALID;
	if (sigma2_milli == 0) {
		*ret = 0;
		return RC_OK;
	}
	struct fraction sigma2 = reduced(sigma2_milli, 1000);
	uint64_t n = (uint64_t)sigma2.num, d = (uint64_t)sigma2.den;
	uint32_t scale = integer_sqrt(sigma2_milli / 1000) + 1;

	while (!t.failed) {
		int64_t c = laplace(&t, scale);
		u128 left = (u128)(uint64_t)(c < 0 ? -c : c) * d * scale;
		u128 distance = left > n ? left - n : n - left;
		struct fraction x = reduced(distance * distance, (u128)2 * n * d * scale * scale);
		if (bernoulli_exp(&t, x) && !t.failed) {
			*ret = c;
			return RC_OK;
		}
	}
	return RC_CRYPTO;
}
